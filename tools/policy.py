"""A content security policy in every page of the built site: nothing runs but the site's own scripts.

The policy is in the page itself, so it holds wherever the site is put, and for the unpacked archive on a disk
(``file:``, where 'self' means any file: the browser's own rules keep pages of other hosts from those). Scripts within a
page are allowed by the hash of what they say; handlers in attributes become ``data-qgc-click``, which
``book/_static/site.js`` serves. What the policy cannot forbid, and why:

styles within a page (``'unsafe-inline'``)
    The theme, pandas' tables and the widths of drawn bars are style attributes.
``data:`` for fonts and images
    Fonts are in the styles, as Firefox refuses to load a font file beside a page on a disk; so are the theme's small
    drawings, and the images of the explorer and the exercises are in their data.
who puts a page into a frame (``frame-ancestors``)
    Only a server's header can say that.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",  # and the hashes of the page's own
    "style-src": "'self' 'unsafe-inline'",
    "font-src": "'self' data:",
    "img-src": "'self' data:",
    "connect-src": "'self'",  # the search quotes from the pages that it found
    "form-action": "'self'",
    "object-src": "'none'",
    "base-uri": "'none'",
}
HANDLERS = {"toggleFullScreen()": "fullscreen", "window.print()": "print"}
HANDLER = re.compile(rf'\sonclick="({"|".join(map(re.escape, HANDLERS))})"')
CHARSET = re.compile(r'<meta charset="[^"]*"\s*/?>')  # what comes before it is not governed, so the policy is next


class Page(HTMLParser):
    """The scripts that a page holds, and what in it no policy without 'unsafe-inline' lets run."""

    def __init__(self, markup: str):
        super().__init__(convert_charrefs=False)
        self.scripts: list[str] = []
        self.handlers: list[str] = []
        self.within = False
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a script of the page's own; note handlers in attributes."""
        if tag == "script" and "src" not in dict(attrs):
            self.within = True
            self.scripts.append("")
        bad = (f"{k}={v!r}" for k, v in attrs if k.startswith("on") or (v or "").strip().startswith("javascript:"))
        self.handlers += [f"<{tag} {what}>" for what in bad]

    def handle_endtag(self, tag: str) -> None:
        """End a script."""
        if tag == "script":
            self.within = False

    def handle_data(self, data: str) -> None:
        """Collect a script's text."""
        if self.within:
            self.scripts[-1] += data


class Forbidden(ValueError):
    """A page holds a handler that the policy would keep from running; the message says which."""


def policy(scripts: list[str]) -> str:
    """The policy of a page that holds these scripts."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = sorted({f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in digests})
    return "; ".join(f"{name} {value}{''.join(hashes) * (name == 'script-src')}" for name, value in POLICY.items())


def secured(markup: str) -> str:
    """A page with its policy. Raises Forbidden where something in it would no longer run."""
    markup = HANDLER.sub(lambda match: f' data-qgc-click="{HANDLERS[match[1]]}"', markup)
    page = Page(markup)
    if page.handlers:
        raise Forbidden(f"{', '.join(page.handlers)}: let book/_static/site.js do it, and tools/policy.py point there")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy(page.scripts)}" />'
    charset = CHARSET.search(markup)
    at = charset.end() if charset else 0
    return markup[:at] + meta + markup[at:]


def secure(site: Path) -> None:
    """Write the policy into every page of a site; the templates that the theme leaves in its folder are none."""
    for page in sorted(site.rglob("*.html")):
        if "_static" in page.relative_to(site).parts:
            continue
        try:
            markup = secured(page.read_text(encoding="utf-8"))
        except Forbidden as forbidden:
            raise Forbidden(f"The site was not built: {page.relative_to(site)} holds {forbidden}") from None
        page.write_text(markup, encoding="utf-8")
