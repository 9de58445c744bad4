"""Pack the built site into one archive that opens without a network: python tools/offline.py.

The archive is the same to the last byte whenever the site is: names in order, one date, one set of rights.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

from build_book import ROOT, Book, has_site

NAME = "can-you-believe-the-map"
DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
PACKED = {".webp", ".png", ".jpg", ".woff2"}  # these do not get smaller
READ_ME = """Can you believe the map? Question-grounded Grad-CAM, an executable book

Unpack this archive and open index.html in a browser: all pages, the search and the explorer work from the folder.
Nothing is installed, and nothing is asked of the network.

The notebooks of the chapters are in _sources/book. They need Python and the book's package to run; the page
"How to use this book" says how.

Text and figures: CC BY 4.0. Code: MIT.
"""


def pack(site: Path, archive: Path) -> int:
    """Write the archive of a site; return its size in bytes."""
    contents = {p.relative_to(site).as_posix(): p for p in site.rglob("*") if p.is_file() and p.name != ".buildinfo"}
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_suffix(".part")
    with zipfile.ZipFile(part, "w") as pile:
        put(pile, "READ-ME.txt", READ_ME.encode())
        for name in sorted(contents):
            put(pile, name, contents[name].read_bytes())
    part.replace(archive)
    return archive.stat().st_size


def put(pile: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add one file to the archive, with nothing of this machine in its record."""
    record = zipfile.ZipInfo(f"{NAME}/{name}", DATE)
    record.create_system, record.external_attr = 3, 0o100644 << 16
    record.compress_type = zipfile.ZIP_STORED if Path(name).suffix in PACKED else zipfile.ZIP_DEFLATED
    pile.writestr(record, data)


def main() -> int:
    """Pack what was built; say where it is."""
    site = Book(ROOT).site
    if not has_site(site):
        return 1
    archive = ROOT / "_build" / f"{NAME}.zip"
    print(f"{archive}: {pack(site, archive) / 1e6:.1f} MB. Unpack it anywhere and open index.html.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
