"""The eleven basic color terms of pixels: CIELAB, the nearest focal color, and colors moved from one term to another.

Berlin and Kay's terms; the focal colors are near those of Sturges and Whitfield (1995), with more centers where lamps
and shade spread what people call by one term: dark wood is brown, a red sofa in the dark red. In-between colors
(beige, cream, olive, teal, dusky pink, and what is between white, gray and black) have centers of their own and no
term, so that nobody has to say whether a beige wall is white or brown.
"""

from __future__ import annotations

import numpy as np

CENTRES: dict[str, tuple[tuple[int, int, int], ...]] = {
    "black": ((20, 20, 20), (36, 35, 37), (52, 51, 54)),
    "white": ((247, 247, 247), (215, 215, 213)),
    "gray": ((128, 128, 130), (158, 158, 160), (98, 98, 100)),
    "red": ((205, 30, 40), (150, 25, 32), (105, 22, 28), (190, 65, 65)),
    "orange": ((240, 130, 30), (205, 100, 40)),
    "yellow": ((245, 215, 50), (238, 205, 105), (205, 170, 60)),
    "green": ((60, 150, 70), (45, 85, 50), (140, 180, 110), (100, 150, 120)),
    "blue": ((50, 100, 190), (35, 45, 100), (110, 150, 210), (70, 90, 130)),
    "purple": ((120, 65, 160), (80, 50, 100), (60, 35, 75), (140, 120, 158)),
    "pink": ((240, 140, 180), (222, 150, 165), (200, 100, 130)),
    "brown": ((115, 72, 40), (145, 95, 58), (78, 48, 30), (110, 80, 62), (48, 28, 20), (75, 35, 28), (170, 115, 75)),
}
"""Centers of each term in sRGB, the most typical one first."""

BETWEEN = (
    (230, 210, 180), (205, 185, 155), (178, 150, 115), (118, 110, 82), (100, 88, 48), (140, 122, 110), (200, 175, 168),
    (160, 118, 105), (187, 185, 183), (74, 72, 72), (60, 52, 47), (45, 48, 66), (42, 88, 96),
)  # fmt: skip
"""Colors that people call by several terms, or by none of the eleven."""

COLOURS = tuple(CENTRES)
NO_TERM = len(COLOURS)
# IEC 61966-2-1 (sRGB, white point D65) and CIE 15:2004 (CIELAB), as in any textbook.
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE, FROM_XYZ, EDGE = TO_XYZ.sum(1), np.linalg.inv(TO_XYZ), 6 / 29


def to_lab(rgb) -> np.ndarray:
    """sRGB in 0–255 (..., 3) as CIELAB L*, a*, b* (..., 3)."""
    c = np.asarray(rgb, np.float64) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    t = linear @ TO_XYZ.T / WHITE
    x, y, z = np.moveaxis(np.where(t > EDGE**3, np.cbrt(t), t / (3 * EDGE**2) + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """CIELAB (..., 3) as sRGB bytes (..., 3); what sRGB cannot show is clipped."""
    y = (lab[..., 0] + 16) / 116
    t = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    linear = np.where(t > EDGE, t**3, 3 * EDGE**2 * (t - 4 / 29)) * WHITE @ FROM_XYZ.T
    linear = linear.clip(0, 1)
    c = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (255 * c).round().astype(np.uint8)


_LAB = to_lab([centre for centres in CENTRES.values() for centre in centres] + list(BETWEEN)).astype(np.float32)
_TERM = np.array(
    [i for i, centres in enumerate(CENTRES.values()) for _ in centres] + [NO_TERM] * len(BETWEEN), np.uint8
)


def terms(lab: np.ndarray) -> np.ndarray:
    """The term of each pixel (..., 3) as a number: that of the nearest center in CIELAB; :data:`NO_TERM` for none."""
    nearness = lab.reshape(-1, 3).astype(np.float32) @ _LAB.T - (_LAB**2).sum(1) / 2
    return _TERM[nearness.argmax(1)].reshape(lab.shape[:-1])


def shares(found: np.ndarray) -> np.ndarray:
    """Which part of the pixels has each of :data:`COLOURS` (11,), of what :func:`terms` gave for them."""
    return np.bincount(found.ravel(), minlength=NO_TERM + 1)[:NO_TERM] / max(found.size, 1)
