"""The image that a posted link to the book shows: python tools/card.py card.png.

It is made of README's figure whenever the site is built, so the repository holds no second image.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parents[1]
FIGURE = ROOT / "book" / "figures" / "readme.png"
PLACE = "_static/card.png"  # below the site's root
SIZE = (1200, 630)  # what most services show whole
EDGE = 40
INK, GROUND = "#14213d", "white"
TITLE = "Can you believe the map?"
LINES = [
    "Ask about the sink, then about the towels: both answers are “white”.",
    "Does the explanation follow the question?",
]
ALT = (
    "Can you believe the map? A drawn bathroom asked about its sink and its towels, both white: the Grad-CAM maps of "
    "one model mark both objects for both questions, those of another mark the queried one."
)


def draw(figure: Path = FIGURE) -> Image.Image:
    """Title, figure and what it is about, below each other."""
    sheet = Image.new("RGB", SIZE, GROUND)
    pen = ImageDraw.Draw(sheet)
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    pen.text((EDGE, 44), TITLE, INK, ImageFont.truetype(folder / "DejaVuSans-Bold.ttf", 68))
    with Image.open(figure) as opened:
        width = SIZE[0] - 2 * EDGE
        shown = opened.convert("RGB").resize(
            (width, round(opened.height * width / opened.width)), Image.Resampling.LANCZOS
        )
    sheet.paste(shown, (EDGE, 160))
    below = ImageFont.truetype(folder / "DejaVuSans.ttf", 30)
    for number, line in enumerate(LINES):
        pen.text((EDGE, 160 + shown.height + 24 + 44 * number), line, INK, below)
    return sheet


def write(file: Path) -> None:
    """Write the image as a PNG of few colors, which every service can read."""
    draw().quantize(128, dither=Image.Dither.NONE).save(file, "png", optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("Say where to write the image: python tools/card.py card.png")
    write(Path(sys.argv[1]))
