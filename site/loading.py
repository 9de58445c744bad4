"""Which pages load the scripts of the site's parts, and in which version: quick, without models."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from qgc.files import atomic_write


def version(folder: Path) -> str:
    """Eight hexadecimal digits that change with any file in ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:8]


def stamp(site: Path, folder: Path) -> list[Path]:
    """Let every page of ``site`` that loads files of ``folder`` ask for them by version; return these pages.

    ``maps.js`` asks for the data by the version in its script's own address. So a browser that kept the files of an
    earlier site does not mix them with new ones.
    """
    link = re.compile(rf'((?:src|href)="(?:[^"?]*/)?{re.escape(folder.name)}/[\w.-]+\.(?:js|css|webp))(?:\?v=\w+)?"')
    now, found = version(folder), []
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        stamped = link.sub(rf'\1?v={now}"', text)
        if link.search(text):
            found.append(page)
        if stamped != text:
            atomic_write(page, lambda path, stamped=stamped: path.write_text(stamped, encoding="utf-8"))
    return found


def load_scripts(site: Path, folder: Path) -> list[Path]:
    """Let each page of ``site`` that holds a ``<div class="qgc-NAME">`` load the folder NAME; return these."""
    name = folder.name
    for page in sorted(site.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        there = Path(os.path.relpath(folder, page.parent)).as_posix()
        if f'class="qgc-{name}"' not in text or f'src="{there}/{name}.js' in text:
            continue
        tags = "".join(f'<link rel="stylesheet" href="{there}/{style}.css">\n' for style in ("parts", name))
        tags += "".join(f'<script src="{there}/{script}.js" defer></script>\n' for script in ("maps", name))
        text = text.replace("</head>", f"{tags}</head>", 1)
        atomic_write(page, lambda path, text=text: path.write_text(text, encoding="utf-8"))
    return stamp(site, folder)
