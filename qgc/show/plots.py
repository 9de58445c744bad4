"""The book's figures: each function returns a matplotlib figure and names the paper's figure that it serves.

>>> import qgc
>>> scene, vqa = qgc.scene("bathroom"), qgc.load("deeper-lstm/natural")
>>> pair = qgc.explain(vqa, scene, scene.questions, answer="white")
>>> qgc.plot.pair(pair, ns=[None, 25], scene=scene)

Maps are enlarged bilinearly and divided by their own maximum for display only. With ``scene`` a
figure shows the scene sharply and outlines what each question asks about.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import TextPath
from PIL import Image
from scipy import ndimage
from torch import Tensor

from .. import paper as printed
from ..errors import ImageError, QGCError
from ..explain import Explanation
from ..explain.gates import check_n
from ..measure import spearman
from ..models import DeeperLSTM
from ..scenes import Scene
from . import drawing
from .arguments import checked
from .pixels import compose, enlarge_mask, pale, share_of_maximum
from .style import CYCLE, FAINT, HEAT_BAR, INK, MUTED, OUTLINES, PAGE, PALETTE, SMALL, Sheet, styled

LONGEST = 300  # letters of a question that a title shows
SIDE = 448  # pixels at which images are shown
WORDS_LEFT = 112.0  # points: the margin of a question's words, right of their heading
WORD_TINT = LinearSegmentedColormap.from_list("qgc-words", ["white", PALETTE["sky"]])  # black text is read on all of it


# -- maps over scenes -----------------------------------------------------------------------------
def _filled(question: str, width: int) -> str:
    """A question in lines; a very long one is cut, and a $ does not start a formula."""
    text = question if len(question) <= LONGEST else f"{question[:LONGEST]} …"
    return textwrap.fill(text, width).replace("$", r"\$")


@styled
def overlay(
    explanation: Explanation,
    n: int | None = None,
    ax: Axes | None = None,
    outline: bool = True,
    colorbar: bool = True,
    mask: np.ndarray | Tensor | None = None,
    scene: Scene | None = None,
) -> Figure:
    """One map over its image (paper Figs 2–3, 5–6 and every other map).

    Parameters
    ----------
    n : how many combine neurons the gradient may pass; None is all of them, the original Grad-CAM.
    outline : draw the outline of ``mask``, or of the queried object where ``scene`` is given.
    mask : (H, W) bool, pixels of the queried object.
    scene : the scene that the explanation was made of.
    """
    ground = _ground(explanation, scene)
    if ax is None:
        ax = Sheet(4.6, 4.6 * ground.shape[0] / ground.shape[1] + 0.4 * colorbar).subplots()
    if mask is None and scene is not None:
        mask = queried_mask(scene, explanation.question)
    _map(ax, explanation, n, ground, mask if outline else None)
    first = _filled(explanation.question, 40)
    ax.set_title(f"{first}\nA: {explanation.answer} · {label_n(n, explanation)}", fontsize=10.5)
    if colorbar:
        _colour_bar(ax.figure, [ax])
    return _root(ax)


@styled
def pair(explanations: Sequence[Explanation], ns: Sequence[int | None] = (None,), scene: Scene | None = None) -> Figure:
    """The scene and the map of each question, a row for every n (paper Figs 1–6, 7–22, 78–101).

    With ``scene``, the first column names and outlines what is asked about, and each map has the
    outline of its own object.
    """
    explanations, ns = list(explanations), list(ns)
    columns = 1 + len(explanations)
    side = (PAGE - 0.3) / columns
    wide = int(side * 72 / 6.1)  # letters of 10 points that fit over one panel
    titles = [f"{_filled(e.question, wide)}\nA: {e.answer}" for e in explanations]
    grounds = [_ground(e, scene) for e in explanations]
    tall = side * grounds[0].shape[0] / grounds[0].shape[1]
    sheet = Sheet(PAGE, len(ns) * tall + 0.95 + 0.19 * max(t.count("\n") + 1 for t in titles))
    grid = sheet.subplots(len(ns), columns, squeeze=False)
    masks = [queried_mask(scene, e.question) if scene else None for e in explanations]
    for row, n in zip(grid, ns, strict=True):
        _show(row[0], _image(explanations[0], scene))
        row[0].set_ylabel(label_n(n, explanations[0]), fontsize=10.5)
        for k, (ax, e) in enumerate(zip(row[1:], explanations, strict=True)):
            _map(ax, e, n, grounds[k], masks[k], OUTLINES[k % len(OUTLINES)])
            if masks[k] is not None:
                _outline(row[0], masks[k], OUTLINES[k % len(OUTLINES)])
    grid[0, 0].set_title("the scene" if scene else "the image", fontsize=10)
    for ax, title in zip(grid[0, 1:], titles, strict=True):
        ax.set_title(title, fontsize=10)
    _colour_bar(sheet, list(grid.flat))
    return sheet


@styled
def sweep(
    explanation: Explanation, ns: Sequence[int] | None = None, scene: Scene | None = None, columns: int = 6
) -> Figure:
    """The maps of one question over many n, the image first (paper Figs 27–77, one of the questions).

    ``ns`` defaults to the paper's 17 values, 10 to 1024.
    """
    return sweeps([explanation], ns, scene, columns)


@styled
def sweeps(
    explanations: Sequence[Explanation],
    ns: Sequence[int] | None = None,
    scene: Scene | None = None,
    columns: int = 6,
) -> Figure:
    """:func:`sweep` for several questions, one block under the other (paper Figs 27–77)."""
    explanations = list(explanations)
    if ns is None:
        ns = [n for n in printed.sweep_n("bathroom") if n <= explanations[0].vqa.combine]
    ns = list(ns)
    columns = min(columns, 1 + len(ns))
    rows = -(-(1 + len(ns)) // columns)
    block, foot = rows * (PAGE / columns + 0.22) + 0.4, 0.75
    sheet = Sheet(PAGE, block * len(explanations) + foot)
    parts = sheet.subfigures(len(explanations) + 1, 1, height_ratios=[*[block] * len(explanations), foot])
    for k, (part, e) in enumerate(zip(parts[:-1], explanations, strict=True)):
        grid = part.subplots(rows, columns, squeeze=False)
        part.suptitle(f"{_filled(e.question, 60)}  A: {e.answer}", fontsize=11)
        colour = OUTLINES[k % len(OUTLINES)]
        mask = queried_mask(scene, e.question) if scene else None
        _show(grid.flat[0], _image(e, scene))
        grid.flat[0].set_title("scene" if scene else "image", fontsize=SMALL)
        if mask is not None:
            _outline(grid.flat[0], mask, colour, 0.7)
        ground = _ground(e, scene)
        for ax, n in zip(grid.flat[1:], ns, strict=False):
            _map(ax, e, n, ground, mask, colour, 0.7)
            ax.set_title(f"all {n}" if n == e.vqa.combine else f"n = {n}", fontsize=SMALL)
        for ax in grid.flat[1 + len(ns) :]:
            ax.set_axis_off()
    blank, bar, blank_too = parts[-1].subplots(1, 3, width_ratios=(1, 5, 1))
    blank.set_axis_off()
    blank_too.set_axis_off()
    _colour_bar(parts[-1], cax=bar)
    return sheet


# -- ∂A/∂q ----------------------------------------------------------------------------------------
@styled
def sensitivity_bars(explanation: Explanation, n: int | None = None, top: int = 60, ax: Axes | None = None) -> Figure:
    """The highest values of ∂A/∂q in their ranking, with the gate's cut at n (None: 25; paper §3.2–3.3, Tables 1–4)."""
    size = explanation.vqa.combine
    n, top = check_n(min(25, size) if n is None else n, size), check_n(min(top, size), size)
    if ax is None:
        ax = Sheet(6.4, 3.5).subplots()
    values = explanation.scores[explanation.order[:top]].cpu().double().numpy()
    rank = np.arange(1, top + 1)
    ax.bar(rank, values, width=0.82, color=[CYCLE[0] if r <= n else FAINT for r in rank])
    passing = f"top {n}: gradient passes" if n < size else f"all {n} pass"
    if n < top:
        ax.axvline(n + 0.5, color=CYCLE[1], lw=1.6)
        ax.annotate(
            f"cut at n = {n}", (n + 0.5, 0.97), (6, 0), ("data", "axes fraction"), "offset points",
            color=CYCLE[1], va="top", ha="left" if n < 0.6 * top else "right", fontsize=10.5,
        ).set_position((6 if n < 0.6 * top else -6, 0))  # fmt: skip
    else:
        passing += f"; the cut lies beyond the {top} shown" if n > top else ""
    ax.set_title(f"{_filled(explanation.question, 50)}\n{passing}", fontsize=10.5)
    ax.set(xlabel=f"combine neurons, the {top} highest of {size}, ranked", ylabel=explanation.ranked_by)
    ax.set_xlim(0.2, top + 0.8)
    ax.set_ylim(min(0, values.min() * 1.05), max(values.max(), 0) * 1.12 or 1)
    ax.yaxis.grid(True)
    return _root(ax)


@checked
def top10(explanations: Sequence[Explanation] | Mapping[str, Explanation], paper: int | None = None) -> pd.DataFrame:
    """The ten highest values of ∂A/∂q and their neurons, side by side (paper Tables 1–4).

    Columns are (question, "value") and (question, "index"); give a dictionary to choose other
    headings. ``paper`` is the number of one of the paper's Tables 1–4, to compare with.
    """
    blocks = {}
    for heading, e in _headed(explanations).items():
        table = e.top()
        blocks[heading] = pd.DataFrame({"value": table["value"].round(4), "index": table["index"]})
    if paper is not None:
        if paper not in range(1, 5):
            raise QGCError(f"the paper's Table {paper} is not a top-10 table; choose 1 to 4")
        table = printed.table(paper)
        blocks |= {f"paper: {heading}": table[heading] for heading in table.columns.unique(0)}
    return pd.concat(blocks, axis=1)


@styled
def rank_scatter(e1: Explanation, e2: Explanation, ax: Axes | None = None) -> Figure:
    """The ranks that two questions give to every combine neuron (paper Tables 5–6)."""
    if len(e1.order) != len(e2.order):
        raise QGCError(f"the models of these explanations have {len(e1.order)} and {len(e2.order)} combine neurons; "
                       "give two explanations of one model")  # fmt: skip
    if ax is None:
        ax = Sheet(4.8, 5.0).subplots()
    first, second = e1.order.argsort().cpu().numpy() + 1, e2.order.argsort().cpu().numpy() + 1
    size = len(first)
    ax.plot([1, size], [1, size], color=FAINT, lw=1.2, zorder=0)
    ax.scatter(first, second, s=9, color=CYCLE[0], alpha=0.45, linewidths=0)
    ax.set_title(f"Spearman's ρ = {spearman(e1.scores, e2.scores):.3f}")
    ax.set_xlabel(f"rank (1 is highest) for\n{_filled(e1.question, 38)}")
    ax.set_ylabel(f"rank (1 is highest) for\n{_filled(e2.question, 38)}")
    margin = 0.02 * size
    ax.set(xlim=(1 - margin, size + margin), ylim=(1 - margin, size + margin), aspect="equal")
    ticks = [1, *(round(size * k / 4) for k in (1, 2, 3, 4))]
    ax.set_xticks(ticks)
    ax.set_yticks(ticks)
    return _root(ax)


@styled
def architecture(vqa: DeeperLSTM, gate: int | None = None) -> Figure:
    """The Deeper LSTM + normalized CNN with its forward and backward way (paper Fig. 26).

    Sizes are read off ``vqa.config``. With ``gate`` the gradient flows back only through the top n
    neurons of the combine layer: the others are crossed out.
    """
    return drawing.architecture(vqa, gate)


# -- scenes ---------------------------------------------------------------------------------------
@styled
def scene_masks(scene: Scene, objects: Iterable[str] | None = None) -> Figure:
    """A scene beside the visible pixels of its objects, in color and named (book/scenes-gallery.ipynb)."""
    names = [n for n in scene.names if n in scene.masks] if objects is None else list(objects)
    _check_seen(scene, names)
    sheet = Sheet(PAGE, 3.0)
    left, right = sheet.subplots(1, 2, width_ratios=(1, 1))
    image = scene.render(SIDE)
    _show(left, image)
    pixels = pale(image).astype(float)
    h, w = pixels.shape[:2]
    spots, taken = [], []
    for k, name in enumerate(names):
        colour = CYCLE[k % len(CYCLE)]
        inside = enlarge_mask(scene.masks[name], (w, h))
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        pixels[inside] = 0.35 * pixels[inside] + 0.65 * rgb
        depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
        spots.append(_spot(depth, taken, 0.078 * h))
        taken.append(spots[-1][0])
    _show(right, Image.fromarray(pixels.astype(np.uint8)))
    for k, name in enumerate(names):
        _outline(right, scene.masks[name], CYCLE[k % len(CYCLE)], 0.6)
    order = np.argsort([y for y, _ in spots])
    heights = _spread([spots[k][0] for k in order], gap=0.078 * h, low=0.04 * h, high=0.96 * h)
    for k, height in zip(order, heights, strict=True):
        y, x = spots[k]
        right.plot([x, w * 1.03], [y, height], color=INK, lw=0.8, clip_on=False)
        right.plot([x], [y], "o", ms=3.5, mfc="white", mec=INK, mew=0.8)
        right.text(w * 1.05, height, names[k], va="center", ha="left", fontsize=10)
    right.set(xlim=(0, w), ylim=(h, 0))
    return sheet


@styled
def contact_sheet(scenes: Iterable[Scene], columns: int = 8) -> Figure:
    """Many scenes at a glance; those that have a name carry it where there is room (paper Figs 1, 4, 7, …)."""
    scenes = list(scenes)
    columns = min(columns, len(scenes))
    rows = -(-len(scenes) // columns)
    side = PAGE / columns
    named = any(s.name for s in scenes) and side > 1.1
    sheet = Sheet(PAGE, rows * (side + 0.26 * named))
    sheet.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    grid = sheet.subplots(rows, columns, squeeze=False)
    for ax in grid.flat:
        ax.set_axis_off()
    for ax, scene in zip(grid.flat, scenes, strict=False):
        ax.imshow(scene.render(SIDE) if side > 1.4 else scene.image)
        if named:
            ax.set_title(scene.name, fontsize=SMALL)
    return sheet


# -- measurements ---------------------------------------------------------------------------------
@styled
def distribution(
    values_by_label: Mapping[str, Sequence[float]],
    paper_values: Sequence[float] | None = None,
    xlabel: str = "",
    ax: Axes | None = None,
) -> Figure:
    """Every value, the middle half and the median of each label, and the paper's printed values (Tables 5–6).

    Values that are not finite are omitted, and so not counted in the n beside the label.
    """
    groups = {k: np.asarray(v, float)[np.isfinite(np.asarray(v, float))] for k, v in values_by_label.items()}
    if ax is None:
        ax = Sheet(6.4, 1.3 + 0.72 * len(groups)).subplots()
    rng = np.random.default_rng(0)
    for row, (values, colour) in enumerate(zip(groups.values(), np.resize(CYCLE[:6], len(groups)), strict=True)):
        spots = row + rng.uniform(-0.26, 0.26, len(values))
        ax.scatter(values, spots, s=11, color=colour, alpha=0.4, linewidths=0)
        if len(values):
            low, middle, high = np.percentile(values, (25, 50, 75))
            ax.plot([low, high], [row, row], color=INK, lw=3, solid_capstyle="butt")
            ax.plot([middle], [row], "D", ms=7, mfc="white", mec=INK, mew=1.6)
    ax.set_yticks(range(len(groups)), [f"{textwrap.fill(k, 22)}\n(n = {len(v)})" for k, v in groups.items()])
    ax.set_ylim(len(groups) - 0.45, -0.55)
    ax.set_xlabel(f"{xlabel}\n" * bool(xlabel) + "diamond: median; bar: middle half")
    if paper_values is not None and len(paper_values):
        for value in paper_values:
            ax.axvline(value, color=PALETTE["vermilion"], lw=1.2, ls=(0, (4, 2)), zorder=0)
        inner = f"{min(paper_values):.2f}" + (f"–{max(paper_values):.2f}" if len(paper_values) > 1 else "")
        ax.set_title(f"dashed: the paper's values, {inner}", color=PALETTE["vermilion"], fontsize=10.5, loc="right")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return _root(ax)


# -- parts ----------------------------------------------------------------------------------------
@checked
def label_n(n: int | None, explanation: Explanation) -> str:
    """The gate's size in words: "n = 25 of 1024", or "Grad-CAM (all 1024)"."""
    size = explanation.vqa.combine
    n = size if n is None else check_n(n, size)
    return f"Grad-CAM (all {size})" if n == size else f"n = {n} of {size}"


@checked
def queried_mask(scene: Scene, question: str) -> np.ndarray | None:
    """Visible pixels of what a question of the scene asks about; None where there is no such object."""
    name = next((a.thing for a in scene.asks if a.question == question), None)
    return scene.masks.get(name)


def _check_seen(scene: Scene, names: Iterable[str]) -> None:
    for absent in (name for name in names if name not in scene.masks):
        raise ImageError(f"there is no {absent!r} to see in this scene; it has {', '.join(scene.masks)}")


def _image(explanation: Explanation, scene: Scene | None) -> Image.Image:
    if scene is not None:
        if scene.image.tobytes() != explanation.image.tobytes():
            raise ImageError("this is not the scene that was explained; give the one that went into qgc.explain")
        return scene.render(SIDE)
    image = explanation.image.copy()
    image.thumbnail((2 * SIDE, 2 * SIDE))  # a camera's image has more pixels than a figure
    if max(image.size) < SIDE:  # the heat is drawn at this size, and would be blocky on a small image
        factor = SIDE / max(image.size)
        image = image.resize([max(1, round(s * factor)) for s in image.size], Image.Resampling.BICUBIC)
    return image


def _ground(explanation: Explanation, scene: Scene | None) -> np.ndarray:
    return pale(_image(explanation, scene))


def _show(ax: Axes, image) -> None:
    ax.imshow(image, extent=(0, image.width, image.height, 0))
    _bare(ax)


def _bare(ax: Axes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set(visible=True, color=FAINT)


def _map(
    ax: Axes, explanation: Explanation, n: int | None, ground: np.ndarray, mask=None, colour=OUTLINES[0], weight=1.0
) -> None:
    h, w = ground.shape[:2]
    share = share_of_maximum(explanation.map(n), (w, h))
    ax.imshow(compose(ground, share), extent=(0, w, h, 0))
    _bare(ax)
    if share is None:
        ax.text(
            w / 2, h / 2, "empty map", ha="center", va="center", fontsize=10.5 if weight == 1 else SMALL,
            bbox={"fc": "white", "ec": MUTED, "boxstyle": "round"},
        )  # fmt: skip
    if mask is not None:
        _outline(ax, mask, colour, weight)


def _outline(ax: Axes, mask: np.ndarray, colour: str, weight: float = 1.0) -> None:
    # A colored line on a white one is seen on any ground. The rim of zeros closes it at the border.
    w, h = ax.get_images()[0].get_extent()[1:3]
    inside = np.pad(enlarge_mask(mask, (SIDE, round(SIDE * h / w))), 1).astype(float)
    x, y = (np.arange(-0.5, k - 1) for k in inside.shape[::-1])
    x, y = x * w / (len(x) - 2), y * h / (len(y) - 2)
    for line, width in (("white", 4.0), (colour, 1.9)):
        ax.contour(x, y, inside, [0.5], colors=[line], linewidths=[width * weight])


def _colour_bar(figure: FigureBase, axes: list[Axes] | None = None, cax: Axes | None = None) -> None:
    place = {"cax": cax} if cax else {"ax": axes, "shrink": 0.7, "aspect": 30, "pad": 0.03}
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, 1), HEAT_BAR), orientation="horizontal", ticks=[0, 0.5, 1], **place
    )
    bar.set_label("share of the map's maximum", fontsize=10)
    bar.outline.set_visible(False)


def _spot(depth: np.ndarray, taken: Sequence[int], gap: float) -> tuple[int, int]:
    """A point well inside a mask (``depth`` is the distance to its rim), on another height than those ``taken``."""
    rows = depth.max(1)
    fits = np.flatnonzero(rows >= 0.5 * rows.max())
    apart = np.min([np.abs(fits - t) for t in taken], axis=0) if taken else np.full(len(fits), gap)
    y = fits[np.argmax(np.minimum(apart, gap) / gap + 0.2 * rows[fits] / max(rows.max(), 1))]
    return int(y), int(depth[y].argmax())


def _spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending positions moved apart to at least ``gap``, within low … high where they fit."""
    at = [float(max(w, low)) for w in wanted]
    for k in range(1, len(at)):
        at[k] = max(at[k], at[k - 1] + gap)
    limit = high
    for k in reversed(range(len(at))):
        at[k] = min(at[k], limit)
        limit = at[k] - gap
    return at


def _headed(explanations) -> dict[str, Explanation]:
    if isinstance(explanations, Mapping):
        return dict(explanations)
    questions = [e.question for e in explanations]
    seen: dict[str, int] = {}
    headings = []
    for q in questions:
        seen[q] = seen.get(q, 0) + 1
        headings.append(f"{q} ({seen[q]})" if questions.count(q) > 1 else q)
    return dict(zip(headings, explanations, strict=True))


def _root(ax: Axes) -> Figure:
    return ax.get_figure(root=True)


# -- words ----------------------------------------------------------------------------------------
@styled
def question_words(shares: Mapping[str, pd.Series], marked: Sequence[int | None] = ()) -> Figure:
    """The words of questions, each tinted by its share of ∂A/∂w and with the share below (paper §5).

    Parameters
    ----------
    shares : heading → :meth:`qgc.explain.Words.shares`, a block each. The darkest tint is the largest share of all.
    marked : for each block the position of a word that gets a frame, for example ``asked.content``, or None.
    """
    if len(marked) > len(shares):
        raise QGCError(f"{len(marked)} words are marked in {len(shares)} questions; give at most one for each")
    marks = [*marked, *[None] * (len(shares) - len(marked))]
    most = max(series.max() for series in shares.values())
    lines = [_word_boxes(series, WORDS_LEFT, 72 * PAGE - 12) for series in shares.values()]
    height = 50 * sum(map(len, lines)) + 32
    sheet = Sheet(PAGE, height / 72)
    sheet.set_layout_engine("none")
    ax = sheet.add_axes((0, 0, 1, 1), xlim=(0, 72 * PAGE), ylim=(height, 0))  # in points, from the top left
    ax.set_axis_off()
    top = 8.0
    for (heading, series), mark, rows in zip(shares.items(), marks, lines, strict=True):
        ax.text(WORDS_LEFT - 10, top + 12, textwrap.fill(heading, 15), fontsize=10.5, ha="right", va="center")
        for row in rows:
            for position, x, wide in row:
                share, edge = float(series.iloc[position]), (INK, 2.0) if position == mark else (FAINT, 0.8)
                ax.add_patch(Rectangle((x, top), wide, 24, fc=WORD_TINT(share / most), ec=edge[0], lw=edge[1]))
                ax.text(x + wide / 2, top + 12, series.index[position], fontsize=12, ha="center", va="center")
                ax.text(x + wide / 2, top + 33, f"{100 * share:.0f}", fontsize=SMALL, ha="center", va="center")
            top += 50
    framed = "; framed: the content word" if any(m is not None for m in marks) else ""
    ax.text(WORDS_LEFT, height - 14, f"each word's share of ∂A/∂w in %{framed}", fontsize=10, color=MUTED, va="center")
    return sheet


def _word_boxes(series: pd.Series, left: float, right: float) -> list[list[tuple[int, float, float]]]:
    """Lines of (position, left, width) in points: words set like text between two margins."""
    font, lines, x = FontProperties(family="DejaVu Sans"), [[]], left
    for position, word in enumerate(series.index):
        wide = TextPath((0, 0), str(word), size=12, prop=font).get_extents().width + 16
        if lines[-1] and x + wide > right:
            lines.append([])
            x = left
        lines[-1].append((position, x, wide))
        x += wide + 7
    return lines


# -- sweeps over n --------------------------------------------------------------------------------
@styled
def gate_sweep(
    panels: Mapping[str, tuple[Sequence[float], np.ndarray]],
    marked: Sequence[int] = (),
    ylabel: str = "own share − other share",
    columns: int = 3,
    rank: str = "∂A/∂q",
) -> Figure:
    """A number for every n, compared with random rankings of the neurons (paper Figs 78–101; book/examples.ipynb).

    Parameters
    ----------
    panels : title → (the gate's J values, n = 1 … J; the same of R random rankings, (R, J)). nan is omitted.
    marked : values of n that get a vertical line, for example the paper's.
    rank : what the gate is ranked by, for the legend, for example ``explanation.rank``.
    """
    for title, (gate, random) in panels.items():
        if random.ndim != 2 or random.shape[1] != len(gate):
            raise QGCError(f"{title!r} has {len(gate)} values of the gate, and random ones of shape {random.shape}; "
                           f"these must be (R, {len(gate)})")  # fmt: skip
    rows = -(-len(panels) // columns)
    sheet = Sheet(PAGE, 1.75 * rows + 0.85)  # 0.85 inches for the legend and the label of the axis
    grid = sheet.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in grid.flat[len(panels) :]:
        ax.set_axis_off()
    for ax, (title, (gate, random)) in zip(grid.flat, panels.items(), strict=False):
        n = np.arange(1, len(gate) + 1)
        # Of each n on its own: a random ranking that is high at one n need not be so at the next.
        low, middle, high = np.nanpercentile(np.asarray(random), (5, 50, 95), axis=0)
        band = ax.fill_between(n, low, high, color=FAINT, alpha=0.55, lw=0)
        (line,) = ax.plot(n, middle, color=MUTED, lw=1, ls="--")
        (curve,) = ax.plot(n, gate, color=CYCLE[0], lw=1.5)
        ax.axhline(0, color=INK, lw=0.7)
        for k in marked:
            ax.axvline(k, color=CYCLE[1], lw=1.2, ls=":")
        ax.set_title(title, fontsize=10)
        ax.set(xscale="log", xlim=(1, len(gate)))
        ax.set_xticks([k for k in (1, 10, 100, len(gate)) if k <= len(gate)])
        ax.set_xticklabels([str(int(k)) for k in ax.get_xticks()])
        ax.minorticks_off()
    sheet.supxlabel("n, neurons that the gradient may pass", fontsize=10.5)
    sheet.supylabel(ylabel, fontsize=10.5)
    names = [f"the gate, ranked by {rank}", "random rankings: median", "their middle 90 %"]
    sheet.legend([curve, line, band], names, loc="outside upper center", ncols=3, frameon=False, fontsize=SMALL)
    return sheet


# -- gradients at the image ---------------------------------------------------------------------
@styled
def gradients(rows: Mapping[str, Mapping[str, Tensor | np.ndarray]], scene: Scene | None = None) -> Figure:
    """Gradients with respect to the image, as images around grey (Springenberg et al. 2015; paper §3.1).

    Parameters
    ----------
    rows : heading of a row → title → (3, H, W). Mid-grey is zero; brighter in a color is positive, darker negative.
        Each is divided by its own 99.5th percentile of |gradient|, for display only.
    scene : the scene, to be shown first in every row.
    """
    columns = max(map(len, rows.values())) + (scene is not None)
    side = PAGE / columns
    sheet = Sheet(PAGE, len(rows) * (side + 0.62))
    parts = np.atleast_1d(sheet.subfigures(len(rows), 1))
    for part, (heading, row) in zip(parts, rows.items(), strict=True):
        grid = part.subplots(1, columns, squeeze=False)[0]
        part.suptitle(heading, fontsize=10.5)
        for ax in grid:
            ax.set_axis_off()
        if scene is not None:
            _show(grid[0], scene.render(SIDE))
            grid[0].set_axis_on()
            grid[0].set_title("the scene", fontsize=SMALL)
        for ax, (title, gradient) in zip(grid[scene is not None :], row.items(), strict=False):
            values = torch.as_tensor(gradient).detach().cpu().double().numpy()
            if values.ndim != 3 or len(values) != 3 or not np.isfinite(values).all():
                raise QGCError(f"the gradient {title!r} has the shape {values.shape}; give finite numbers, (3, H, W)")
            values = np.moveaxis(values, 0, 2)
            scale = np.percentile(np.abs(values), 99.5) or 1.0
            ax.set_axis_on()
            _show(ax, Image.fromarray((255 * np.clip(0.5 + values / (2 * scale), 0, 1)).astype(np.uint8)))
            ax.set_title(title, fontsize=SMALL)
    return sheet


# -- maps from several sources --------------------------------------------------------------------
@styled
def map_rows(
    rows: Mapping[str, Mapping[str, Tensor | np.ndarray]], scene: Scene, objects: Sequence[str | None] = ()
) -> Figure:
    """Maps from several sources side by side over one scene, a row for each question (paper Figs 7–22).

    Parameters
    ----------
    rows : heading of a row → title → map (h, w), without negative values.
    objects : for each row the queried object, to be outlined, or None.
    """
    _check_seen(scene, [name for name in objects if name is not None])
    queried = [*objects, *[None] * (len(rows) - len(objects))]
    columns = 1 + max(map(len, rows.values()))
    side = PAGE / columns
    sheet = Sheet(PAGE, len(rows) * (side + 0.5) + 0.75)
    *parts, foot = sheet.subfigures(len(rows) + 1, 1, height_ratios=[*[side + 0.5] * len(rows), 0.75])
    image = scene.render(SIDE)
    ground = pale(image)
    for k, (part, (heading, row)) in enumerate(zip(parts, rows.items(), strict=True)):
        part.suptitle(heading, fontsize=10.5)
        grid = part.subplots(1, columns)
        _show(grid[0], image)
        grid[0].set_title("the scene", fontsize=SMALL)
        for ax in grid[1 + len(row) :]:
            ax.set_axis_off()
        for ax, (title, map_) in zip(grid[1:], row.items(), strict=False):
            share = share_of_maximum(map_, (SIDE, SIDE))
            _show(ax, Image.fromarray(compose(ground, share)))
            ax.set_title(title if share is not None else f"{title}: empty", fontsize=SMALL)
        if queried[k] is not None:
            colour = OUTLINES[queried.index(queried[k]) % len(OUTLINES)]  # an object queried twice keeps its own
            for ax in grid[: 1 + len(row)]:
                _outline(ax, scene.masks[queried[k]], colour, 0.7)
    blank, bar, blank_too = foot.subplots(1, 3, width_ratios=(1, 5, 1))
    blank.set_axis_off()
    blank_too.set_axis_off()
    _colour_bar(foot, cax=bar)
    return sheet
