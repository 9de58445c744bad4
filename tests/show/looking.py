"""What a figure shows, read back from it: images, the heat on them, outlines, curves, bars, intervals."""

from __future__ import annotations

import copy

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from qgc.show.style import HEAT

GRID = (14, 14)


def planted(explanation, number: int):
    """The explanation with maps of our own: without any symmetry, and others for every ``number`` and every n."""
    e = copy.copy(explanation)

    def map_(n: int | None = None) -> torch.Tensor:
        n = explanation.vqa.combine if n is None else n
        return torch.rand(GRID, generator=torch.Generator().manual_seed(10_000 * number + n)) ** 3

    e.map = map_
    return e


def pixels(ax: Axes) -> np.ndarray:
    """The axes' only image (H, W, …), as it is seen: row 0 on top, column 0 on the left."""
    (image,) = ax.get_images()
    left, right, bottom, top = image.get_extent()
    assert image.origin == "upper" and left < right and bottom > top
    assert ax.get_xlim()[0] < ax.get_xlim()[1] and ax.get_ylim()[0] > ax.get_ylim()[1]
    return np.asarray(image.get_array())


def heat(shown: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """The share of its maximum that a map shows in the middle of each cell, (14, 14): the tint on the ground."""
    assert shown.shape == ground.shape
    (H, W), (h, w) = shown.shape[:2], GRID
    rows, columns = ((np.arange(n) * 2 + 1) * size // (2 * n) for n, size in ((h, H), (w, W)))
    tint = shown[np.ix_(rows, columns)] / ground[np.ix_(rows, columns)].astype(float)
    return np.abs(tint[:, :, None] - HEAT).sum(-1).argmin(-1) / 255


def shows(shown: np.ndarray, map_: torch.Tensor, ground: np.ndarray, off: float = 0.06) -> bool:
    """Whether it is this map that is drawn, cell by cell (a mirrored, a turned or another one is not)."""
    expected = (map_.clamp(min=0) / map_.max()).numpy()
    return bool(np.abs(heat(shown, ground) - expected).max() < off)


def box(points: np.ndarray) -> np.ndarray:
    """(left, top, right, bottom) of points (N, 2)."""
    return np.concatenate([points.min(0), points.max(0)])


def box_of_mask(mask: np.ndarray, side: int = 448) -> np.ndarray:
    """:func:`box` of a mask's pixels, in units of an image that is ``side`` wide."""
    rows, columns = np.nonzero(mask)
    return box(np.stack([columns, rows], 1)) * side / mask.shape[1]


def outlines(ax: Axes) -> dict[str, np.ndarray]:
    """Colour of a line → :func:`box` of what it goes round."""
    found = {}
    for lines in ax.collections:
        points = np.concatenate([p.vertices for p in lines.get_paths()])
        found[to_hex(lines.get_edgecolor()[0]).upper()] = box(points)
    return found


def curve(ax: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the line with a label."""
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)


def colour_of(ax: Axes, label: str) -> str:
    (line,) = [line for line in ax.get_lines() if line.get_label() == label]
    return to_hex(line.get_color())


def segments(lines) -> np.ndarray:
    """The ends of vertical or horizontal lines, (N, 2, 2)."""
    return np.array(lines.get_segments())


def band(patch) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, lower and upper edge of what ``fill_between`` filled."""
    points = patch.get_paths()[0].vertices
    x = np.unique(points[:, 0])
    ends = [(points[points[:, 0] == at, 1].min(), points[points[:, 0] == at, 1].max()) for at in x]
    return x, *np.array(ends).T
