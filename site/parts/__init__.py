"""What every part of the pages that works without a kernel shares: data as script files, numbers, images, outlines.

``maps.js`` beside this file is the same for the browser: it reads these files and paints maps as the figures do.
``parts.css`` is what they look alike in.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.path import Path as Line
from PIL import Image
from scipy import ndimage
from torch import Tensor

from qgc.files import atomic_write
from qgc.measure.localise import cell_weights
from qgc.scenes import Scene
from qgc.show.style import HEAT, OUTLINES, PAPER, Sheet

HERE = Path(__file__).parent
SIDE = 448  # pixels of the images, and the unit of the outlines
GRID = (14, 14)


def copy_scripts(folder: Path, scripts: Sequence[Path]) -> None:
    """Put what is shared, and the ``scripts`` and styles of one part of the pages, into ``folder``."""
    for path in (HERE / "maps.js", HERE / "parts.css", *scripts):
        shutil.copy(path, folder / path.name)


def write_part(folder: Path, registry: str, name: str, data: dict) -> None:
    """Write ``data`` as NAME.js, which hands itself to ``registry`` in the browser: fetch() cannot read a disk."""
    text = f"{registry}.part({json.dumps(name)}, {json.dumps(data, ensure_ascii=False, separators=(',', ':'))});\n"
    atomic_write(folder / f"{name}.js", lambda path: path.write_text(text, encoding="utf-8"))


def read_part(path: Path) -> dict:
    """The data that :func:`write_part` wrote into a file."""
    return json.loads(path.read_text(encoding="utf-8").split(", ", 1)[1].removesuffix(");\n"))


def pack(values) -> str:
    """Numbers of any shape as base64 of little-endian float32, row by row."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()


def unpack(text: str) -> np.ndarray:
    """The inverse of :func:`pack`, flat, as float64."""
    return np.frombuffer(base64.b64decode(text), "<f4").astype(float)


def eight_bits(map_: Tensor) -> str:
    """A map as base64 of a byte a cell, 255 for its maximum; all zeros if it is empty."""
    values = map_.numpy().ravel()
    top = values.max()
    return base64.b64encode(np.rint(values * (255 / top if top > 0 else 0)).astype("u1").tobytes()).decode()


def colours() -> dict:
    """The book's colors: ``heat`` is the tint (256, 3) of a map's share of its maximum."""
    return {"heat": pack(HEAT), "paper": PAPER, "outlines": list(OUTLINES)}


def region(mask: np.ndarray, simplify: float = 0) -> dict:
    """Where an object is: its outline, its share of the image, and how much of each cell's heat falls on it.

    ``inside`` and :func:`anywhere` are :func:`qgc.measure.localise.cell_weights`: a map's share on an object is the
    ratio of its products with the two.
    """
    inside, _ = cell_weights(mask, GRID)
    return {"outline": outline(mask, simplify), "area": round(float(mask.mean()), 5), "inside": pack(inside)}


def anywhere(mask: np.ndarray) -> str:
    """How much of each cell's heat falls into an image of the mask's size, packed."""
    return pack(cell_weights(mask, GRID)[1])


def about(scene: Scene) -> str:
    """A scene in words, for those who do not see its image."""
    return f"a {scene.place} with {', '.join(scene.names[:-1])} and {scene.names[-1]}"


def webp(image: Image.Image, quality: int = 80) -> str:
    """An image as an address that holds it."""
    with io.BytesIO() as file:
        image.save(file, "WEBP", quality=quality, method=6)
        return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def outline(mask: np.ndarray, simplify: float = 0) -> str:
    """The outline of a mask (H, W) as SVG path data on a square of :data:`SIDE` units, its stairs smoothed.

    With ``simplify``, points that lie within so many units of a line between others are omitted.
    """
    soft = np.pad(ndimage.gaussian_filter(mask.astype(float), 0.8), 1)  # the rim of zeros closes it at the border
    at = (
        np.arange(-0.5, mask.shape[1] + 1) * SIDE / mask.shape[1],
        np.arange(-0.5, mask.shape[0] + 1) * SIDE / mask.shape[0],
    )
    contours = Sheet().subplots().contour(*at, soft, [0.5])
    paths = []
    for points in contours.allsegs[0]:
        if simplify:
            line = Line(points)
            line.simplify_threshold = simplify
            line.should_simplify = True
            points = line.cleaned(simplify=True).vertices[:-1]  # the last one only ends the path
        points = np.clip(np.rint(points), 0, SIDE).astype(int)
        if len(points) > 3:
            paths.append("M" + "L".join(f"{x} {y}" for x, y in points) + "Z")
    return "".join(paths)
