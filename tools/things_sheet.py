"""Contact sheet of objects, for the eye: python tools/things_sheet.py OUT.png [NAME ...]."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import numpy as np
from PIL import Image

import qgc.scenes.things as things
from qgc.scenes.palette import COLOURS, paint
from qgc.scenes.render import rendered
from qgc.scenes.svg import hexcolour


def drawing(kind, colour, seed, side=220, **pose) -> Image.Image:
    """One object on a plain ground."""
    rng = np.random.default_rng(seed)
    shapes = kind.drawn(paint(colour, rng), rng, **pose)
    defs: list[str] = []
    body = "".join(s.svg(defs, "t") for s in shapes)
    w, h = kind.size
    span = max(w, h) * 1.25
    box = f"{-span / 2:.1f} {-h / 2 - span / 2:.1f} {span:.1f} {span:.1f}"
    ground = hexcolour((214, 222, 212))
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" width="{side}" height="{side}">'
        f"<defs>{''.join(defs)}</defs>"
        f'<rect x="{-span}" y="{-h - span}" width="{3 * span}" height="{3 * span}" fill="{ground}"/>'
        f"{body}</svg>"
    )
    return Image.fromarray(rendered(svg, side))


def main(out: str, names: list[str]) -> None:
    """Draw six of each kind, all kinds or those of ``names``, and write the sheet."""
    for m in pkgutil.iter_modules(things.__path__):
        importlib.import_module(f"qgc.scenes.things.{m.name}")
    kinds = [things.KINDS[n] for n in names] if names else list(things.KINDS.values())
    rows, side, columns = [], 220, 6
    for kind in kinds:
        pool = kind.colours or COLOURS
        row = Image.new("RGB", (side * columns, side))
        for i in range(columns):
            row.paste(drawing(kind, pool[(i * 5 + 1) % len(pool)], i, side), (i * side, 0))
        rows.append(row)
    sheet = Image.new("RGB", (side * columns, side * len(rows)))
    for i, row in enumerate(rows):
        sheet.paste(row, (0, side * i))
    sheet.save(out)
    print(out, [k.name for k in kinds])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
