"""Which measures can be fooled: planted maps against measures, as a table with colors (book/ground-truth.ipynb)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...show.arguments import check_columns
from ...show.style import FAINT, INK, MUTED, PAGE, SMALL, Sheet, styled

DISTANCE = LinearSegmentedColormap.from_list("qgc-distance", ["#5AA9DB", "#FFFFFF", "#F0A04B"])
"""Verdict less its right value, −½ to ½: blue is too low, orange too high; dark letters are read on all of it."""
SCALE = Normalize(-0.5, 0.5)
HEADS = {
    "difference AUC": "diff.\nAUC",
    "mass accuracy": "mass",
    "rank accuracy": "rank",
    "pointing game": "point-\ning",
}
ROW, HEADING, COLUMN, NAMES = 0.222, 0.33, 0.464, 2.26  # inches: a row, a group's heading, a column, the row's names
TOP, KEY = 0.5, 0.72  # inches above and below the rows
TEXT = {"fontsize": SMALL, "va": "center_baseline"}


@styled
def which_are_fooled(table: pd.DataFrame) -> Figure:
    """Planted maps down, measures across: the mean verdict in each cell, the right one in the first column.

    A cell that is fooled (further than 0.1 from the right value) is framed and bold; one that is right on average alone
    is in brackets; one that says ½ because it sees nothing is hatched. Below a contrast is its no-place surrogate,
    in gray: a contrast is credited with what it has above that, not above ½.

    Parameters
    ----------
    table : of :func:`qgc.lab.experiments.planted.verdict_table`.
    """
    check_columns(table, ("group", "planted", "measure", "value", "right", "decided", "status"))
    measures = list(dict.fromkeys(table["measure"]))
    cells = {(r.planted, r.measure): r for r in table.itertuples()}
    centers = NAMES + COLUMN * (1.5 + np.arange(len(measures)))
    ends = 0.06, centers[-1] + COLUMN / 2
    groups = [(group, list(dict.fromkeys(part["planted"]))) for group, part in table.groupby("group", sort=False)]
    height = sum(HEADING + ROW * len(names) for _, names in groups)
    sheet = Sheet(PAGE, TOP + height + KEY)
    sheet.set_layout_engine("none")  # everything below is placed in inches
    ax = sheet.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, PAGE), ylim=(height + KEY, -TOP))
    ax.set_axis_off()
    for x, head in zip((centers[0] - COLUMN, *centers), ("right", *(HEADS.get(m, m) for m in measures)), strict=True):
        ax.text(x, -0.05, head, ha="center", va="bottom", fontsize=SMALL, fontweight="bold", linespacing=0.95)
    y = 0.0
    # Group by group: whether maps follow the question decides which value is right
    for group, names in groups:
        ax.plot(ends, [y + 0.02] * 2, color=FAINT, lw=0.8)
        ax.text(ends[0], y + 0.6 * HEADING, group, fontweight="bold", **TEXT)
        y += HEADING
        for name in names:
            middle, right = y + ROW / 2, cells[name, measures[0]].right
            if np.isnan(right):
                ax.text(0.36, middle, "its no-place surrogate", color=MUTED, **TEXT)
            else:
                ax.text(0.18, middle, name, **TEXT)
                ax.text(centers[0] - COLUMN, middle, _number(right, True), ha="center", fontweight="bold", **TEXT)
            for x, measure in zip(centers, measures, strict=True):
                cell = cells[name, measure]
                text = _number(cell.value, cell.decided == 0)
                _cell(ax, x, middle, text, cell.status, cell.value - right)
            y += ROW
    ax.plot(ends, [y + 0.06] * 2, color=FAINT, lw=0.8)
    for x, label, text, status, distance in (
        (0.3, "fooled, too high", ".87", "fooled", 0.37),
        (2.14, "fooled, too low", ".05", "fooled", -0.45),
        (3.9, "sees nothing and says ½", "½", "blind", 0.0),
    ):
        _cell(ax, x, y + 0.26, text, status, distance)
        ax.text(x + 0.6 * COLUMN, y + 0.26, label, **TEXT)
    for x, label, text, status, distance in (
        (0.3, "right on average, wrong pair by pair", ".54", "on average", 0.04),
        (3.9, "every single pair is a tie", "½", "right", 0.0),
    ):
        _cell(ax, x, y + 0.52, text, status, distance)
        ax.text(x + 0.6 * COLUMN, y + 0.52, label, **TEXT)
    return sheet


def _cell(ax: Axes, x: float, y: float, text: str, status: str, distance: float) -> None:
    # One verdict. What its color says, its frame, brackets or hatching say as well.
    box = {"xy": (x - COLUMN / 2 + 0.012, y - ROW / 2 + 0.012), "width": COLUMN - 0.024, "height": ROW - 0.024}
    if status == "blind":
        ax.add_patch(Rectangle(**box, fc="white", ec="#D4D4D4", hatch="/////", lw=0))
    elif status:
        ax.add_patch(Rectangle(**box, fc=DISTANCE(SCALE(distance)), ec=INK if status == "fooled" else "none", lw=1.3))
    ax.text(
        x, y, f"({text})" if status == "on average" else text, ha="center", color=INK if status else MUTED,
        fontweight="bold" if status == "fooled" else "normal", **TEXT,
        bbox={"fc": "white", "ec": "none", "pad": 0.8} if status == "blind" else None,
    )  # fmt: skip


def _number(value: float, of_all: bool) -> str:
    # 0, ½ and 1 where every single pair has it, else two decimals.
    exact = {0.0: "0", 1.0: "1"} | ({0.5: "½"} if of_all else {})
    return exact.get(value, f"{value:.2f}".removeprefix("0"))
