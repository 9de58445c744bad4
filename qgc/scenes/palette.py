"""The eleven basic color terms (Berlin and Kay) as paint."""

from __future__ import annotations

import colorsys

import numpy as np

from .svg import RGB, Shades, mix, shades
from .vocabulary import COLOURS as COLOURS  # its old place: a chapter takes it from here

# One or more centers a term, in 0–255; a drawn color is one of them, a little disturbed.
CENTRES: dict[str, tuple[RGB, ...]] = {
    "black": ((38, 38, 42), (30, 32, 38)),
    "white": ((242, 242, 240), (246, 244, 238)),
    "gray": ((140, 143, 148), (124, 126, 130)),
    "red": ((204, 36, 40), (186, 28, 44)),
    "orange": ((240, 134, 34), (236, 120, 24)),
    "yellow": ((246, 212, 54), (240, 204, 40)),
    "green": ((64, 150, 70), (50, 132, 78)),
    "blue": ((48, 98, 190), (62, 124, 208)),
    "purple": ((124, 66, 164), (108, 58, 150)),
    "pink": ((242, 142, 180), (236, 124, 168)),
    "brown": ((122, 78, 44), (106, 68, 42)),
}


def paint(colour: str, rng: np.random.Generator) -> Shades:
    """Paint of one of the eleven color terms, slightly different each time."""
    centres = CENTRES[colour]
    base = centres[rng.integers(len(centres))]
    hue, light, sat = colorsys.rgb_to_hls(*(x / 255 for x in base))
    hue = (hue + rng.uniform(-0.008, 0.008)) % 1
    light = float(np.clip(light + rng.uniform(-0.025, 0.025), 0, 0.97))
    base = tuple(255 * x for x in colorsys.hls_to_rgb(hue, light, sat))
    tones = shades(base)
    if colour == "white":  # white has no lighter side: its form is told by cool gray shade
        return Shades(base, (255, 255, 255), mix(base, (150, 160, 178), 0.42), mix(base, (90, 98, 114), 0.62))
    if colour == "black":  # and black no darker one
        return Shades(base, mix(base, (170, 176, 190), 0.32), mix(base, (0, 0, 0), 0.45), (8, 8, 10))
    return tones
