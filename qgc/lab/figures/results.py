"""Figures of what was measured: dots with their intervals, curves over n, null distributions (book, part three).

Each takes tables or arrays, as :class:`~qgc.lab.protocol.stored.Stored` gives them, and returns a figure in the book's
style.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...errors import QGCError
from ...scenes import Scene
from ...show.arguments import check_columns
from ...show.style import CYCLE, FAINT, INK, MUTED, OUTLINES, PAGE, PALETTE, SMALL, Sheet, styled

MARKS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ((0, (1, 1)), (0, (5, 1)), (0, (3, 1, 1, 1)))
CHANCE = 0.5


@styled
def dots(
    panels: Mapping[str, pd.DataFrame],
    value: str = "rank",
    *,
    xlabel: str = "rank grounding accuracy",
    reference: float | None = CHANCE,
    bold: Sequence[str] = (),
    width: int = 36,
    surrogate: str | None = None,
    diamond: str = "its no-place surrogate",
) -> Figure:
    """A row for each method: its estimate as a dot, its 95 % interval as a line, a color and mark for each panel.

    Parameters
    ----------
    panels : label → table, indexed by method, with columns ``value``, ``"value low"``, ``"value high"``. All share
        their rows, in the first table's order. reference : where a vertical line is. bold : methods to be set bold.
    surrogate : the column of what the same maps score without their places (:func:`qgc.measure.no_place_surrogate`), an
        open diamond beside the dot; "rank surrogate" goes with the default. diamond : what the legend calls it.
    """
    tables = dict(panels)
    for label, table in tables.items():
        check_columns(table, (value, f"{value} low", f"{value} high"), f"the table {label!r}")
    methods = list(dict.fromkeys(m for t in tables.values() for m in t.index))
    lines = [textwrap.fill(str(m), width) for m in methods]
    rows = sum(1 + 0.75 * line.count("\n") for line in lines)
    tall = 0.3 if len(tables) <= 4 else 0.09 * len(tables)  # so that the marks of many do not lie on each other
    sheet = Sheet(PAGE, tall * rows + 0.9 + 0.34 * (len(tables) > 1))
    ax = sheet.subplots()
    if reference is not None:
        ax.axvline(reference, color=INK, lw=0.9)
    reach = 0.26 if len(tables) <= 4 else 0.36
    spread = np.linspace(-reach, reach, len(tables)) if len(tables) > 1 else [0.0]
    for k, (label, table) in enumerate(tables.items()):
        known = [i for i, m in enumerate(methods) if m in table.index]
        found = table.loc[[methods[i] for i in known]]
        x, low, high = (found[f"{value}{end}"].to_numpy(float) for end in ("", " low", " high"))
        y = np.array(known) + spread[k]
        colour = CYCLE[k % len(CYCLE)]
        ax.hlines(y, low, high, color=colour, lw=1.8)
        ax.plot(x, y, MARKS[k % len(MARKS)], color=colour, ms=6, mec="white", mew=0.8, label=label)
        if surrogate and surrogate in found:
            ax.plot(found[surrogate].to_numpy(float), y, "D", ms=5, mfc="none", mec=colour, mew=1.1, zorder=1.5)
    if surrogate:
        ax.plot([], [], "D", ms=5, mfc="none", mec=INK, mew=1.1, label=diamond)
    ax.set_yticks(range(len(methods)), lines)
    for tick, method in zip(ax.get_yticklabels(), methods, strict=True):
        tick.set_fontweight("bold" if method in bold else "normal")
    # The first row on top, as in a table
    ax.set_ylim(len(methods) - 0.4, -0.6)
    ax.set_xlabel(xlabel)
    ax.xaxis.grid(True)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    if len(tables) > 1 or surrogate:
        sheet.legend(loc="outside upper center", ncols=min(5, len(tables) + 1), frameon=False, fontsize=SMALL)
    return sheet


@styled
def over_n(
    curves: Mapping[str, np.ndarray],
    random: tuple[np.ndarray, np.ndarray] | None = None,
    levels: Mapping[str, float] | None = None,
    chosen: Mapping[str, int] | None = None,
    title: str = "",
    ax: Axes | None = None,
    ylabel: str = "contrastive grounding accuracy",
    ns: Sequence[int] | None = None,
) -> Figure:
    """Accuracy over n, one line a ranking, beside random gates (paper §3.3, Figs 27–77 as numbers).

    Parameters
    ----------
    curves : ranking → (3, N), mean and ends of the interval; the band is drawn for the first one. ns : the N numbers
        of neurons; None for every one from 1 on. random : the grid of n and the 5th, 50th, 95th percentile there.
        levels : maps without a gate, as horizontal lines. chosen : ranking → the n that the validation scenes chose,
        as a mark on its line.
    """
    every = _all_n(curves, ns)
    if ax is None:
        ax = Sheet(PAGE, 4.6).subplots()
    if random is not None:
        n, (low, middle, high) = random
        ax.fill_between(n, low, high, color=FAINT, alpha=0.55, lw=0, label="random gates, middle 90 %")
        ax.plot(n, middle, color=MUTED, lw=1, ls="--", label="random gates, median")
    J = int(every[-1])
    for k, (name, (mean, low, high)) in enumerate(curves.items()):
        at_n, colour = every[: len(mean)], CYCLE[k % len(CYCLE)]
        # A band for each line would hide the lines: the first one, which the text is about, has it
        if k == 0:
            ax.fill_between(at_n, low, high, color=colour, alpha=0.15, lw=0)
        ax.plot(at_n, mean, color=colour, lw=1.6, label=name)
        if chosen and name in chosen:
            at = chosen[name]
            if at not in at_n:
                raise QGCError(f"the n chosen for {name!r}, {at}, is none of those that were tried; give one of them")
            ax.plot([at], [mean[int(np.flatnonzero(at_n == at)[0])]], MARKS[k % len(MARKS)], color=colour, ms=8,
                    mec="white", mew=1, zorder=5)  # fmt: skip
    # Maps without a gate have no n: levels, told apart by dashes, since colors are the rankings'
    for style, (name, level) in zip(cycle(DASHES), (levels or {}).items(), strict=False):
        ax.axhline(level, color=INK, lw=1.2, ls=style, label=name)
    ax.axhline(CHANCE, color=INK, lw=0.8)
    ax.set(xscale="log", xlim=(1, J), xlabel="n, neurons that the gradient may pass", ylabel=ylabel)
    ticks = [k for k in (1, 3, 10, 25, 50, 100, 200, 400, J) if k <= J]
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.minorticks_off()
    ax.yaxis.grid(True)
    if title:
        ax.set_title(title, loc="left")
    figure = ax.figure
    figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False, fontsize=SMALL)
    return figure


def _all_n(curves: Mapping[str, np.ndarray], ns: Sequence[int] | None) -> np.ndarray:
    """The n of curves (3, N); QGCError if they have another shape."""
    every = np.arange(1, max(c.shape[-1] for c in curves.values()) + 1) if ns is None else np.asarray(ns)
    for name, curve in curves.items():
        if curve.ndim != 2 or len(curve) != 3 or curve.shape[1] > len(every):
            raise QGCError(f"the curve {name!r} has the shape {curve.shape}; it must be (3, {len(every)}): mean, low "
                           "and high for every n")  # fmt: skip
    return every


@styled
def at_some_n(table: pd.DataFrame, *, ylabel: str, reference: float | None = None) -> Figure:
    """A line for each ranking over the n that were tried, each value with its 95 % interval (paper §3.3).

    Parameters
    ----------
    table : columns ``ranking``, ``n``, ``estimate``, ``low``, ``high``. reference : where a horizontal line stands.
    """
    check_columns(table, ("ranking", "n", "estimate", "low", "high"))
    sheet = Sheet(PAGE, 4.2)
    ax = sheet.subplots()
    rankings = list(dict.fromkeys(table["ranking"]))
    for k, ranking in enumerate(rankings):
        rows = table[table["ranking"] == ranking].sort_values("n")
        x = rows["n"] * 1.025 ** (k - (len(rankings) - 1) / 2)  # side by side, so that no bar hides another
        colour = CYCLE[k % len(CYCLE)]
        ax.vlines(x, rows["low"], rows["high"], color=colour, lw=1.8)
        ax.plot(x, rows["estimate"], MARKS[k % len(MARKS)], ls="-", lw=1.2, color=colour, ms=6, mec="white", mew=0.8,
                label=ranking)  # fmt: skip
    if reference is not None:
        ax.axhline(reference, color=INK, lw=0.9)
    ns = sorted(table["n"].unique())
    ax.set(xscale="log", xlabel="n, neurons that the gradient may pass", ylabel=ylabel)
    ax.set_xticks(ns, [str(n) for n in ns])
    ax.minorticks_off()
    ax.yaxis.grid(True)
    sheet.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=SMALL)
    return sheet


@styled
def specification_curve(
    curves: Mapping[str, np.ndarray],
    marked: Mapping[str, tuple[str, int]] | None = None,
    level: float | None = None,
    ylabel: str = "contrastive\ngrounding accuracy",
    ns: Sequence[int] | None = None,
) -> Figure:
    """Every choice that could have been made, sorted by its outcome (Simonsohn et al. 2020): rankings × all n.

    Above, the accuracy of all choices in ascending order; below, a row for each ranking, with the places that its
    choices of n take, darker for more of them.

    Parameters
    ----------
    curves : ranking → (3, N). marked : label → (ranking, n), points to be named. level : Grad-CAM's accuracy.
        ns : the N numbers of neurons; None for every one from 1 on.
    """
    names, every = list(curves), _all_n(curves, ns).tolist()
    if len({c.shape for c in curves.values()}) > 1:
        raise QGCError("these curves are of different lengths; give all of them for the same n")
    for label, (name, n) in (marked or {}).items():
        if name not in names or n not in every:
            raise QGCError(f"{label!r} marks {name!r} at n = {n}, which is not among the curves; mark a point of them")
    means = np.stack([c[0] for c in curves.values()])
    flat = means.ravel()
    # Stable, so that ties (all gates of n = J are Grad-CAM) always come in the same order
    order = np.argsort(flat, kind="stable")
    place = np.empty(len(flat), int)
    place[order] = np.arange(len(flat))
    sheet = Sheet(PAGE, 2.6 + 0.27 * len(names))
    top, below = sheet.subplots(2, 1, sharex=True, height_ratios=(2.3, 0.27 * len(names)))
    top.plot(np.arange(len(flat)), flat[order], color=CYCLE[0], lw=2)
    top.axhline(CHANCE, color=INK, lw=0.8)
    if level is not None:
        top.axhline(level, color=INK, lw=1.2, ls=(0, (5, 1)))
        top.annotate("Grad-CAM", (0, level), (4, 3), textcoords="offset points", fontsize=SMALL, va="bottom")
    for k, (label, (name, n)) in enumerate((marked or {}).items()):
        row, at = names.index(name), every.index(n)
        x = place[row * means.shape[1] + at]
        y, colour = means[row, at], CYCLE[1 + k % (len(CYCLE) - 1)]
        top.plot([x], [y], MARKS[k % len(MARKS)], color=colour, ms=8, mec="white", mew=1, label=label, zorder=5)
        below.plot([x], [row], MARKS[k % len(MARKS)], color=colour, ms=6, mec="white", mew=0.8, zorder=5)
    top.set_ylabel(ylabel)
    top.yaxis.grid(True)
    bins = 140
    density = np.stack([np.histogram(row, bins, (0, len(flat)))[0] for row in place.reshape(means.shape)])
    # The root, so that a bin with one choice is still seen beside one with many
    shade = np.sqrt(density / density.max())
    below.imshow(
        shade, cmap="Greys", aspect="auto", interpolation="nearest", vmin=0, vmax=1,
        extent=(0, len(flat), len(names) - 0.5, -0.5),
    )  # fmt: skip
    below.set_yticks(range(len(names)), names)
    below.tick_params(axis="y", length=0)
    below.set_xlabel(f"{len(flat):,} choices of ranking and n, from the worst to the best")
    if marked:
        sheet.legend(loc="outside upper center", ncols=min(3, len(marked)), frameon=False, fontsize=SMALL)
    return sheet


@styled
def null_distributions(
    groups: Mapping[str, np.ndarray], printed: Sequence[float] = (), xlabel: str = "Spearman's ρ of ∂A/∂q"
) -> Figure:
    """How a number is distributed under each null, beside the paper's printed values (paper Tables 5–6).

    Parameters
    ----------
    groups : label → values, one a scene; nan is left out. A histogram each, with the median and the middle 90 %.
    """
    finite = {k: np.asarray(v, float)[np.isfinite(v)] for k, v in groups.items()}
    finite = {k: v for k, v in finite.items() if len(v)}
    if not finite:
        raise QGCError(f"there is no finite value of {', '.join(groups)}; give some")
    low = min(0.0, *(float(v.min()) for v in finite.values()))
    edges = np.linspace(low, 1, 81)
    sheet = Sheet(PAGE, 0.62 * len(finite) + 1.0)
    ax = sheet.subplots()
    for value in printed:
        ax.axvline(value, color=PALETTE["vermilion"], lw=1.2, ls=(0, (4, 2)), zorder=0)
    for row, (values, colour) in enumerate(zip(finite.values(), np.resize(CYCLE[:6], len(finite)), strict=True)):
        height = np.histogram(values, edges)[0]
        ax.fill_between(
            edges[:-1], row, row - 0.72 * height / height.max(), step="post", color=colour, alpha=0.55, lw=0
        )
        five, middle, top = np.percentile(values, (5, 50, 95))
        ax.plot([five, top], [row + 0.1] * 2, color=INK, lw=2, solid_capstyle="butt")
        ax.plot([middle], [row + 0.1], "D", ms=6, mfc="white", mec=INK, mew=1.5)
    ax.set_yticks(range(len(finite)), [textwrap.fill(k, 24) for k in finite])
    ax.set_ylim(len(finite) - 0.6, -0.95)
    ax.set_xlabel(f"{xlabel}\ndiamond: median; bar: middle 90 %")
    if len(printed):
        ax.set_title(
            f"dashed: the paper's values, {min(printed):.2f}–{max(printed):.2f}",
            color=PALETTE["vermilion"], fontsize=10.5, loc="right",
        )  # fmt: skip
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return sheet


@styled
def asked_again(
    scene: Scene, changed: Mapping[str, Scene], effects: Mapping[str, Mapping[str, Sequence[float]]], ylabel: str
) -> Figure:
    """A scene, the same with one object changed, and below what each change was worth to the answers (interventions).

    Parameters
    ----------
    changed : title → the scene after the change. effects : model → question → one number for each of ``changed``, in
        order; a row of bars for each model.
    """
    for model, by_question in effects.items():
        for question, values in by_question.items():
            if len(values) != len(changed):
                raise QGCError(f"{model!r} has {len(values)} numbers for {question!r}; give one for each of the "
                               f"{len(changed)} changes")  # fmt: skip
    columns = 1 + len(changed)
    side = PAGE / columns
    sheet = Sheet(PAGE, 0.9 * side + 0.45 + 1.65 * len(effects))
    pictures, *rows = sheet.subplots(1 + len(effects), columns, height_ratios=(0.9 * side, *[1.4] * len(effects)))
    for ax, (title, shown) in zip(pictures, {"the scene": scene, **changed}.items(), strict=True):
        ax.imshow(shown.render(448))
        ax.set_title(textwrap.fill(title, 16), fontsize=SMALL)
        ax.set_axis_off()
    for (key, *panels), (model, by_question) in zip(rows, effects.items(), strict=True):
        key.set_axis_off()
        values = np.array(list(by_question.values()), float)  # (questions, changes)
        span = np.ptp([0, *values.ravel()]) or 1.0
        # One scale for all changes of a model, with room for the numbers above the bars
        low, high = min(0, values.min() - 0.22 * span) if values.min() < 0 else 0, max(0, values.max()) + 0.22 * span
        for k, (ax, column) in enumerate(zip(panels, values.T, strict=True)):
            drawn = ax.bar(range(len(column)), column, 0.72, color=OUTLINES[: len(column)])
            for x, value in enumerate(column):
                ax.annotate(
                    f"{value:.2f}".replace("-", "−"), (x, value), (0, 2 if value >= 0 else -2),
                    textcoords="offset points", ha="center", va="bottom" if value >= 0 else "top", fontsize=SMALL,
                )  # fmt: skip
            ax.axhline(0, color=INK, lw=0.8)
            ax.set(ylim=(low, high), xlim=(-0.7, len(column) - 0.3), xticks=[])
            ax.spines["bottom"].set_visible(False)
            ax.tick_params(labelleft=not k)
        panels[0].set_ylabel(f"{model}:\n{ylabel}")
    names = [textwrap.fill(q, 14) for q in by_question]
    for key, *_ in rows:
        key.legend(drawn, names, loc="center", frameon=False, fontsize=SMALL, handlelength=0.8)
    return sheet


@styled
def cascade(panels: Mapping[str, pd.DataFrame], rows: Mapping[str, str], maps: Sequence[str]) -> Figure:
    """What is left of the maps when layer after layer is re-initialised (Adebayo et al. 2018).

    Parameters
    ----------
    panels : title → rows of :func:`qgc.lab.experiments.sanity.summarise` with the steps in ``control``, in their order.
    rows : ``measure`` → label, a row of panels each. maps : which of ``map``, one line each, with its interval.
    """
    for title, table in panels.items():
        check_columns(table, ("control", "measure", "map", "estimate", "low", "high"), f"the table {title!r}")
        for measure in rows:
            absent = set(maps) - {*table["map"][table["measure"] == measure]}
            if absent:
                raise QGCError(f"the table {title!r} has no {measure!r} of the map {min(absent)!r}; omit it")
    sheet = Sheet(PAGE, 2.1 * len(rows) + 1.9)
    grid = sheet.subplots(len(rows), len(panels), sharex="col", sharey="row", squeeze=False)
    for column, (title, table) in zip(grid.T, panels.items(), strict=True):
        steps = list(dict.fromkeys(table["control"]))
        for ax, measure in zip(column, rows, strict=True):
            found = table[table["measure"] == measure].set_index(["map", "control"])
            for k, name in enumerate(maps):
                line = found.loc[name].reindex(steps)
                x = np.arange(len(steps)) + 0.09 * (k - (len(maps) - 1) / 2)
                ax.vlines(x, line["low"], line["high"], color=CYCLE[k], lw=1.4)
                ax.plot(x, line["estimate"], MARKS[k] + "-", color=CYCLE[k], ms=4, lw=1, label=name)
            if measure == "grounding":
                ax.axhline(CHANCE, color=INK, lw=0.8)
            ax.yaxis.grid(True)
        column[0].set_title(title, loc="left")
        column[-1].set_xticks(range(len(steps)), [s.removeprefix("cascade: ") for s in steps], rotation=90)
    for ax, label in zip(grid[:, 0], rows.values(), strict=True):
        ax.set_ylabel(label)
    sheet.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False,
                 fontsize=SMALL)  # fmt: skip
    return sheet


@styled
def over_n_panels(
    panels: Mapping[str, tuple[Mapping[str, np.ndarray], tuple[np.ndarray, np.ndarray] | None, Mapping[str, float]]],
    chosen: Mapping[str, int] | None = None,
    columns: int = 2,
    ylabel: str = "contrastive grounding",
    ns: Sequence[int] | None = None,
) -> Figure:
    """:func:`over_n` for several models side by side, with one legend and one scale (paper §3.3).

    Parameters
    ----------
    panels : title → (curves, random, levels) as :func:`over_n` takes them, the same names in each. chosen, ns : as
        there.
    """
    rows = -(-len(panels) // columns)
    sheet = Sheet(PAGE, 2.5 * rows + 0.9)
    grid = sheet.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, (curves, random, levels)) in zip(grid.flat, panels.items(), strict=False):
        over_n(curves, random, levels, chosen, title, ax, ylabel, ns)
        ax.set_xticks([1, 10, 100, 400], ["1", "10", "100", "400"])
        ax.label_outer()
    for legend in sheet.legends[:-1]:  # each panel brought its own, and all are the same
        legend.remove()
    return sheet


COLUMNS = {
    "n": "n",
    "RGA": "rank",
    "its no-place surrogate": "rank surrogate",
    "absent objects": "absent",
    "OGA": "object",
    "OGA, larger object": "larger",
    "OGA, smaller object": "smaller",
    "margin": "margin",
    "CGA": "grounding",
    "RGA without backgrounds": "rank without backgrounds",
    "OGA without backgrounds": "object without backgrounds",
    "CGA without backgrounds": "grounding without backgrounds",
    "ties of RGA": "rank ties",
    "ties of CGA": "grounding ties",
    "empty maps": "empty",
}
ABSENT_AS = {"gate n=25": ("∂A/∂q, l2", 25), "gate n=269": ("∂A/∂q, l2", 269)}
"""Under which (method, n) of :meth:`qgc.lab.protocol.stored.Stored.table` the control of absent objects has a gate."""


def complete(found, model: str, criterion: str = "grounding") -> pd.DataFrame:
    """Every measure of every method of one model, with 95 % intervals, as text: a row for each method, "–" for none.

    Parameters
    ----------
    found : a :class:`~qgc.lab.protocol.stored.Stored`.
    model, criterion : as in its method ``table``.

    The column "absent objects" is RGA under questions about objects that are not in the image, for those methods that
    this control has.
    """
    table, control = found.table(model, criterion), found.absent(model)
    for name, row in control.iterrows():
        method, n = ABSENT_AS.get(name, (name, None))
        if method in table.index and (n is None or n == table.loc[method, "n"]):
            for end in ("", " low", " high"):
                table.loc[method, f"absent{end}"] = row[f"absent{end}"]
    return pd.DataFrame({head: _texts(table, column) for head, column in COLUMNS.items()})


def _texts(table: pd.DataFrame, column: str) -> pd.Series:
    def text(row: pd.Series) -> str:
        if column not in row or pd.isna(row[column]):
            return "–"
        if column == "n":
            return f"{row['n']:.0f}"
        ends = [row.get(f"{column} {end}", np.nan) for end in ("low", "high")]
        return f"{row[column]:.2f}" + ("" if np.isnan(ends).any() else " [{:.2f}, {:.2f}]".format(*ends))

    return table.apply(text, axis=1)
