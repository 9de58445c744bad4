"""The dose–response figure: how a map follows the question, against how much the model itself separates questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...show.style import CYCLE, INK, MUTED, PAGE, SMALL, Sheet, styled
from .results import CHANCE, MARKS

LABEL = {
    "natural-unbound": "natural scenes, unbound CNN",
    "natural-bound": "natural scenes, bound CNN",
    "balanced-unbound": "balanced scenes, unbound CNN",
    "balanced-bound": "balanced scenes, bound CNN",
}


@styled
def dose_response(
    table: pd.DataFrame, shown: Sequence[str], *, across: int = 3, names: Mapping[str, str] | None = None,
    faithful: str | None = "the model itself", highlight: Sequence[str] = (),
) -> Figure:  # fmt: skip
    """A panel for each of ``shown`` against the separation, one point a model, with 95 % intervals over scenes.

    Parameters
    ----------
    table : :func:`qgc.lab.protocol2.results.overview`; the moments of one training run are joined by a line.
    shown : "cosine" or methods' names. names : what a panel is called.
    faithful : the column that a faithful map would have, drawn as a line through its mean in the panels of methods.
    highlight : models to be ringed, by their names.
    """
    names = names or {}
    rows = -(-len(shown) // across)
    sheet = Sheet(PAGE, 2.35 * rows + 0.9)
    axes = sheet.subplots(rows, across, sharex=True, squeeze=False).ravel()
    groups = list(dict.fromkeys(table["cell"]))
    for ax, column in zip(axes, shown, strict=False):
        for i, group in enumerate(groups):
            _points(ax, table[table["cell"] == group], column, i, LABEL.get(group, group))
        if highlight:
            ringed = table.loc[list(highlight)]
            ax.plot(ringed["separation"], ringed[column], "o", ms=12, mfc="none", mec=INK, mew=1.4, zorder=5)
        if column != "cosine":
            ax.axhline(CHANCE, color=MUTED, lw=0.8, ls=(0, (4, 2)))
            if faithful:
                line = _smoothed(table["separation"], table[faithful])
                ax.plot(*line, color=INK, lw=1.2, zorder=1, label="what the model itself separates")
        ax.set(title=names.get(column, column), xlim=(-0.12, 1.05), ylim=(0 if column == "cosine" else 0.15, 1.04))
        ax.tick_params(labelsize=SMALL)
    for ax in axes[len(shown) :]:
        ax.remove()
    labels = {text: handle for ax in axes[: len(shown)] for handle, text in zip(*ax.get_legend_handles_labels())}  # noqa: B905
    sheet.supxlabel("separation of the two questions by the model itself (Yule's Y)", fontsize=10.5)
    sheet.supylabel("cosine of the maps, or rank grounding accuracy", fontsize=10.5)
    sheet.legend(
        labels.values(), labels, loc="outside upper center", ncols=2, frameon=False, fontsize=SMALL, handletextpad=0.4
    )
    return sheet


def _points(ax: Axes, rows: pd.DataFrame, column: str, i: int, label: str) -> None:
    colour, mark = CYCLE[i % len(CYCLE)], MARKS[i % len(MARKS)]
    for _, run in rows.groupby("seed"):
        run = run.sort_values("step")
        ax.plot(run["separation"], run[column], color=colour, lw=0.6, alpha=0.5)
    down, up = (rows[column] - rows[f"{column} low"], rows[f"{column} high"] - rows[column])
    ax.errorbar(
        rows["separation"], rows[column], yerr=np.clip([down, up], 0, None), fmt=mark, color=colour, ms=4, mew=0.5,
        mec="white", elinewidth=0.6, alpha=0.9, label=label,
    )  # fmt: skip


def _smoothed(x: pd.Series, y: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    # Means of bins of equal numbers, joined: the curve that a map with the model's own verdicts would lie on.
    order = np.argsort(x.to_numpy())
    parts = np.array_split(order, max(2, min(8, len(order) // 3)))
    return np.array([x.to_numpy()[p].mean() for p in parts]), np.array([y.to_numpy()[p].mean() for p in parts])
