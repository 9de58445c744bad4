"""A miniature of NYU's photographs and labels, in the layout that ``python -m qgc fetch nyu13`` leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from qgc.data import rooms
from qgc.data.colours import CENTRES

PARTS = {
    "wall": (0, 240, 0, 640),
    "floor": (240, 480, 0, 640),
    "sofa": (200, 360, 60, 260),
    "bed": (280, 440, 330, 560),
}
"""Rows and columns of the label file; the later cover the earlier."""


def write_room(folder: Path, number: int, part: str = "test", **colours: str) -> None:
    """A photograph with these objects in these colors, gray where nothing is, and its label file."""
    labels = np.zeros((480, 640), np.uint8)
    frame = np.full((480, 640, 3), 128, np.uint8)
    noise = np.random.default_rng(number).integers(-3, 4, (480, 640, 1))
    for name, colour in colours.items():
        top, bottom, left, right = PARTS[name]
        labels[top:bottom, left:right] = rooms.CLASSES.index(name)
        frame[top:bottom, left:right] = CENTRES[colour][0]
    frame = (frame + noise).clip(0, 255).astype(np.uint8)
    for place, image in (
        (folder / rooms.LABELS[part] / rooms.LABEL.format(number), Image.fromarray(labels)),
        (folder / "images" / f"image{number}.png", Image.fromarray(frame).crop(rooms.CROP).resize((96, 73))),
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        image.save(place)


def write_rooms(folder: Path, count: int = 12) -> None:
    """Rooms of two photographs, with habits: walls are white, sofas and beds black, red or blue."""
    for room in range(count):
        colour = ("black", "red", "blue")[room % 3]
        for shot in range(2):
            write_room(folder, 20 * room + shot + 1, wall="white", floor="brown", sofa=colour, bed=colour)
