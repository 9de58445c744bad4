"""Figures of "The story in 15 minutes" (book/story): narrow, so that a phone shows them whole, and legibly."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ...explain import Explanation
from ...scenes import Scene
from ...show import plots
from ...show.style import CYCLE, FAINT, INK, MUTED, PALETTE, Sheet, styled
from .dose import smoothed
from .results import CHANCE

WIDE = 4.8  # inches; the pages show them 480 points wide
SMALLER = 4.0  # for maps, which need no more, and weigh
BACK = PALETTE["vermilion"]  # the gradient
DRAWN = 32  # neurons of a branch that are drawn
SINGLE = {"pythia/natural": ("Pythia", -5), "film/natural": ("FiLM", 5), "transformer/natural": ("transformer", 0)}
"""A model by itself → its name, and by how many points that is above its dot."""


@styled
def maps(explanations: Sequence[Explanation], scene: Scene, ns: Sequence[int | None] = (None,)) -> Figure:
    """The maps of some questions beside each other, a row for every n, each with the outline of its own object."""
    side = SMALLER / len(explanations)
    sheet = Sheet(SMALLER, side * len(ns) + 0.4)
    for k, (row, n) in enumerate(zip(sheet.subplots(len(ns), len(explanations), squeeze=False), ns, strict=True)):
        for ax, e in zip(row, explanations, strict=True):
            plots.overlay(e, n, ax=ax, scene=scene, colorbar=False)
            ax.set_title("" if k else textwrap.fill(e.question, 22), fontsize=10)
        if len(ns) > 1:
            size = e.vqa.combine
            row[0].set_ylabel(f"all {size:,} neurons" if n is None else f"{n} neurons", fontsize=10)
    return sheet


def jpeg(figure: Figure) -> bytes:
    """The figure as a JPEG: maps over a scene weigh a third of what they do as a PNG."""
    figure.savefig(file := io.BytesIO(), format="jpeg", dpi=150)
    return file.getvalue()


@styled
def meeting(explanation: Explanation, scene: Scene) -> Figure:
    """How question and image meet in y = W_o (u ∘ v), with the model's own u and v, and the way back to the image."""
    e, wide, high = explanation, WIDE, 4.5
    sheet = Sheet(wide, high)
    sheet.set_layout_engine("none")
    ax = sheet.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, wide), ylim=(0, high))
    ax.set_axis_off()
    left, right, middle = 1.2, 3.6, wide / 2
    picture = sheet.add_axes(((right - 0.6) / wide, 3.2 / high, 1.2 / wide, 1.2 / high))
    picture.imshow(scene.render(224))
    picture.set_axis_off()
    _box(ax, left, 3.8, 2.1, 0.7, textwrap.fill(e.question, 20))
    some = np.linspace(0, e.u.numel() - 1, DRAWN).astype(int)
    for x, values, name in ((left, e.u, "u"), (right, e.v, "v")):
        _neurons(sheet, ax, x, 2.3, 1.9, values.flatten()[some], name)
    _neurons(sheet, ax, middle, 1.35, 2.9, (e.u * e.v).flatten()[some], "u ∘ v")
    _box(ax, middle, 0.35, 1.6, 0.42, f"“{e.answer}”")
    for start, end in (((left, 3.42), (left, 2.52)), ((right - 0.25, 3.17), (right - 0.25, 2.52)),
                       ((left, 2.08), (middle - 0.8, 1.57)), ((right - 0.4, 2.08), (middle + 0.55, 1.57)),
                       ((middle - 0.12, 1.13), (middle - 0.12, 0.58))):  # fmt: skip
        _arrow(ax, start, end, INK)
    for start, end in (((middle + 0.12, 0.58), (middle + 0.12, 1.13)), ((middle + 0.95, 1.57), (right, 2.08)),
                       ((right + 0.15, 2.52), (right + 0.15, 3.17))):  # fmt: skip
        _arrow(ax, start, end, BACK)
    for x, y, text, colour, side in (
        (left - 0.1, 2.95, "LSTM", INK, "right"), (right - 0.35, 2.95, "CNN", INK, "right"),
        (middle - 0.22, 0.85, "$W_o$", INK, "right"), (middle + 0.22, 0.85, "$g = W_o[a] \\circ u$", BACK, "left"),
        (right + 0.25, 2.82, "back to\nthe image", BACK, "left"),
    ):  # fmt: skip
        ax.text(x, y, text, color=colour, ha=side, va="center", fontsize=11)
    return sheet


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str) -> None:
    shape = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.08", fc="white", ec=MUTED
    )
    ax.add_patch(shape)
    ax.text(x, y, text, ha="center", va="center", fontsize=12)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=colour, lw=1.5, shrinkA=0, shrinkB=0)
    )


def _neurons(sheet: Figure, ax: Axes, x: float, y: float, width: float, values: torch.Tensor, name: str) -> None:
    # A cell each: blue above zero, orange below it
    wide, high = sheet.get_size_inches()
    cells = sheet.add_axes(((x - width / 2) / wide, (y - 0.2) / high, width / wide, 0.4 / high))
    cells.imshow(values[None].double().cpu().numpy(), cmap="PuOr_r", vmin=-1, vmax=1, aspect="auto")
    cells.set(xticks=[], yticks=[])
    cells.spines[:].set(visible=True, color=MUTED)
    ax.text(x - width / 2 - 0.08, y, name, ha="right", va="center", fontsize=12, style="italic")


@styled
def followed(table: pd.DataFrame, bold: Sequence[str] = ()) -> Figure:
    """In how many of 100 pairs maps follow their questions, a row each: its name above a line from its control to it.

    ``table``: a row each, with "own", "own low", "own high" and "absent", what the same map has where neither object
    is in the image (nan: none).
    """
    sheet = Sheet(WIDE, 0.52 * len(table) + 0.75)
    ax = sheet.subplots()
    ax.axvline(100 * CHANCE, color=INK, lw=1)
    for y, (name, row) in enumerate(table.iterrows()):
        colour = CYCLE[1] if name in bold else CYCLE[0]
        own, low, high, absent = (100 * row[k] for k in ("own", "own low", "own high", "absent"))
        ax.plot([low, high], [y, y], color=colour, lw=2)
        ax.plot(own, y, "o", color=colour, ms=8, mec="white")
        ax.plot(absent, y, "D", ms=6, mfc="none", mec=colour, mew=1.4)
        ax.text(35.5, y - 0.42, name, ha="left", va="center", fontsize=11, weight="bold" if name in bold else "normal",
                bbox={"fc": "white", "ec": "none", "pad": 0.5})  # fmt: skip
        ax.text(79.5, y, f"{own:.0f}", ha="right", va="center", fontsize=11, color=colour, weight="bold")
    ax.set(xlim=(35, 80), ylim=(len(table) - 0.5, -0.75), yticks=[], xlabel="of 100 pairs follow their questions")
    ax.plot([], [], "o", color=INK, ms=8, mec="white", label="in the image")
    ax.plot([], [], "D", ms=6, mfc="none", mec=INK, mew=1.4, label="not in the image")
    ax.spines["left"].set_visible(False)
    sheet.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=11, handletextpad=0.2)
    return sheet


@styled
def dose(table: pd.DataFrame, methods: Mapping[str, str]) -> Figure:
    """What maps do, against how far a model itself separates two questions: their cosine, and how often they follow.

    ``table``: a row for each model with "separation", "cosine", "the model itself", "step" (0: a model by itself, to be
    named) and a column for each of ``methods``, column → what the figure calls it.
    """
    sheet = Sheet(WIDE, 5.0)
    above, below = sheet.subplots(2, 1, sharex=True)
    graded, single = table[table["step"] > 0], table[table["step"] == 0]
    above.plot(graded["separation"], graded["cosine"], "o", color=MUTED, ms=4, alpha=0.6, mec="none")
    below.plot(*smoothed(graded["separation"], graded["the model itself"]), color=INK, lw=2, label="the model itself")
    for (column, name), colour, mark in zip(methods.items(), CYCLE, "os^", strict=False):
        below.plot(graded["separation"], graded[column], mark, color=colour, ms=4, alpha=0.7, mec="none", label=name)
    named = {"textcoords": "offset points", "va": "center", "fontsize": 11}
    for ax, key, colour in ((above, "cosine", MUTED), (below, next(iter(methods)), CYCLE[0])):
        for model, row in single[single.index.isin(SINGLE)].iterrows():
            at, (name, higher) = (row["separation"], row[key]), SINGLE[model]
            ax.plot(*at, "o", color=colour, ms=8, mec=INK, mew=1.2)
            ax.annotate(name, at, (7, higher), **named)
    below.axhline(CHANCE, color=FAINT, lw=1, zorder=0)
    above.set_ylabel("cosine of the maps", fontsize=11)
    below.set_ylabel("pairs that follow", fontsize=11)
    below.set_xlabel("how far the model separates the questions", fontsize=11)
    for ax in (above, below):
        ax.set(xlim=(-0.1, 1.32), ylim=(0, 1.05), xticks=np.linspace(0, 1, 6))
    sheet.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=11, handletextpad=0.3, columnspacing=0.8,
                 handlelength=1.2)  # fmt: skip
    return sheet
