"""Contact sheet of random scenes, for the eye: python tools/contact_sheet.py OUT.png natural [COUNT] [FIRST]."""

from __future__ import annotations

import sys

from PIL import Image

import qgc.scenes as scenes


def main(out: str, distribution: str = "natural", count: int = 48, first: int = 0, columns: int = 8, side: int = 224):
    """Draw ``count`` scenes in rows, and write the sheet."""
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * side, rows * side), "white")
    for i in range(count):
        image = scenes.sample(first + i, distribution).render(side)
        sheet.paste(image, (i % columns * side, i // columns * side))
    sheet.save(out)


if __name__ == "__main__":
    main(sys.argv[1], *sys.argv[2:3], *map(int, sys.argv[3:]))
