"""The dose–response figure: how a map follows the question, against how much the model itself separates questions."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from ...show.style import CYCLE, INK, MUTED, PAGE, PALETTE, SMALL, Sheet, styled
from .results import CHANCE, MARKS

LABEL = {
    "natural-unbound": "natural scenes, unbound CNN",
    "natural-bound": "natural scenes, bound CNN",
    "balanced-unbound": "balanced scenes, unbound CNN",
    "balanced-bound": "balanced scenes, bound CNN",
    "pythia/natural": "Pythia",
    "bilinear/natural": "low-rank bilinear",
    "film/natural": "FiLM",
    "transformer/natural": "transformer",
}

SIGNED = LinearSegmentedColormap.from_list("signed", [PALETTE["orange"], "white", PALETTE["blue"]])


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
    faithful : the column that a faithful map would have; its mean over the graded models is a line in the panels of
        methods.
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
                graded = table[table["step"] > 0]
                line = smoothed(graded["separation"], graded[faithful])
                ax.plot(*line, color=INK, lw=1.2, zorder=1, label="the model's own verdict")
        ax.set(title=names.get(column, column), xlim=(-0.12, 1.05), ylim=(0, 1.04))
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


@styled
def where_from(parts: pd.DataFrame, names: Mapping[str, str] | None = None) -> Figure:
    """A square of numbers for each model: a row is where the gradient comes from, a column where that part's map lies.

    ``parts``: :func:`qgc.lab.protocol2.origin.read`. Darker is more, blue above zero, orange below it.
    """
    models = list(dict.fromkeys(parts["model"]))
    across = min(2, len(models))
    down = -(-len(models) // across)
    sheet = Sheet(PAGE, 2.35 * down)
    axes = sheet.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    for ax, model in zip(axes, models, strict=False):
        rows = parts[parts["model"] == model]
        places = list(dict.fromkeys(rows["from"]))
        table = rows.pivot(index="from", columns="on", values="estimate").loc[places, places]
        ax.imshow(table, cmap=SIGNED, vmin=-0.7, vmax=0.7)
        for (i, j), value in np.ndenumerate(table.to_numpy()):
            ax.text(
                j,
                i,
                f"{round(value, 2) + 0:.2f}",
                ha="center",
                va="center",
                color="white" if abs(value) > 0.45 else INK,
            )
        ax.set(title=(names or {}).get(model, model), xticks=range(3), yticks=range(3))
        ax.set_xticklabels([textwrap.fill(place, 6) for place in places])
        ax.set_yticklabels(places)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    for ax in axes[len(models) :]:
        ax.remove()
    sheet.supxlabel("where its part of the map lies", fontsize=10.5)
    sheet.supylabel("where the gradient comes from", fontsize=10.5)
    return sheet


def _points(ax: Axes, rows: pd.DataFrame, column: str, i: int, label: str) -> None:
    colour, mark = CYCLE[i % len(CYCLE)], MARKS[i % len(MARKS)]
    single = rows["step"].max() == 0  # of no training run: larger, with a dark edge
    for _, run in rows.groupby("seed"):
        run = run.sort_values("step")
        ax.plot(run["separation"], run[column], color=colour, lw=0.6, alpha=0.5)
    down, up = (rows[column] - rows[f"{column} low"], rows[f"{column} high"] - rows[column])
    ax.errorbar(
        rows["separation"], rows[column], yerr=np.clip([down, up], 0, None), fmt=mark, color=colour,
        ms=7 if single else 4, mew=0.9 if single else 0.5, mec=INK if single else "white", elinewidth=0.6, alpha=0.9,
        label=label,
    )  # fmt: skip


def smoothed(x: pd.Series, y: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Means of x and y in bins of equal numbers by x: the curve that a map with the model's own verdicts lies on."""
    order = np.argsort(x.to_numpy())
    parts = np.array_split(order, max(2, min(8, len(order) // 3)))
    return np.array([x.to_numpy()[p].mean() for p in parts]), np.array([y.to_numpy()[p].mean() for p in parts])
