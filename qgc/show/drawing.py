"""The drawing of the Deeper LSTM + normalized CNN (paper Fig. 26), on a page measured in inches.

Code rather than an SVG file, for it shows the model that it is given: its sizes, the layers of its CNN, a scene's
image with its answer, and the share of neurons that a gate leaves.
"""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from torch import nn

from ..explain.gates import check_n
from ..models import DeeperLSTM
from ..models.backbones import VGGLike
from ..scenes.situations import situation
from .style import INK, MUTED, PALETTE, SMALL, Sheet

WIDTH, HEIGHT = 6.4, 8.5
LEFT, RIGHT, MIDDLE = 1.72, 4.68, 3.2  # centres of the question's lane, the image's lane and the joint part
ROWS = (6.42, 5.66, 4.90, 4.14, 3.38)  # centres of the five boxes of each lane
BOX, TALL = 2.45, 0.48
DOTS, DOT_ROWS = 64, 2

QUESTION, IMAGE, JOINT = "#E3EEF6", "#E3F2EC", "#F4F0E2"
BACK, RANK = PALETTE["vermilion"], PALETTE["blue"]


def architecture(vqa: DeeperLSTM, gate: int | None = None) -> Figure:
    """See :func:`qgc.show.plots.architecture`."""
    gate = None if gate is None else check_n(gate, vqa.combine)
    sheet = Sheet(WIDTH, HEIGHT)
    sheet.set_layout_engine("none")
    ax = sheet.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT), aspect="equal")
    ax.set_axis_off()
    scene = situation("bathroom")
    _question_lane(ax, vqa, scene.questions[1])
    _image_lane(ax, vqa, scene)
    _combine(ax, vqa, gate)
    _answers(ax, vqa, scene.asks[1].answer, gate)
    return sheet


def _question_lane(ax: Axes, vqa: DeeperLSTM, question: str) -> None:
    c = vqa.config
    _text(ax, LEFT, 8.25, "question", weight="bold")
    words = question.split()
    widths = [0.084 * len(w) + 0.12 for w in words]
    x = LEFT - (sum(widths) + 0.05 * (len(words) - 1)) / 2
    for word, width in zip(words, widths, strict=True):
        _box(ax, x + width / 2, 7.45, width, 0.34, word, "white")
        x += width + 0.05
    boxes = (
        f"word embedding, tanh\n{c.embedding} numbers a word",
        f"LSTM layer 1\ncell c₁ and state h₁, {c.hidden} each",
        f"LSTM layer 2\ncell c₂ and state h₂, {c.hidden} each",
        f"q = [c₁, h₁, c₂, h₂]\n{4 * c.hidden} numbers",
        f"u = tanh(Wq q + bq)\n{c.combine} numbers",
    )
    above = 7.45 - 0.17
    for y, text in zip(ROWS, boxes, strict=True):
        _arrow(ax, (LEFT, above), (LEFT, y + TALL / 2))
        _box(ax, LEFT, y, BOX, TALL, text, QUESTION)
        above = y - TALL / 2


def _image_lane(ax: Axes, vqa: DeeperLSTM, scene) -> None:
    c = vqa.config
    _text(ax, RIGHT, 8.25, "image", weight="bold")
    half = 0.55
    ax.imshow(scene.render(224), extent=(RIGHT - half, RIGHT + half, 7.0, 7.0 + 2 * half), zorder=2)
    ax.set(xlim=(0, WIDTH), ylim=(0, HEIGHT))
    ax.add_patch(Rectangle((RIGHT - half, 7.0), 2 * half, 2 * half, fill=False, ec=MUTED, lw=0.8, zorder=3))
    side, vgg = c.cnn.side, isinstance(vqa.cnn, VGGLike)
    layers = sum(isinstance(m, nn.Conv2d) for m in vqa.cnn.modules()) - (vgg and c.cnn.detectors > 0)
    with torch.no_grad():
        h, w = vqa.conv(torch.zeros(1, 3, side, side, dtype=vqa.dtype, device=vqa.device)).shape[2:]
    boxes = (
        f"CNN\n{layers} convolution layers",
        f"F, last convolution\n{vqa.cnn.channels} maps of {h}×{w}",
        f"{'f = fc7' if vgg else 'f, global feature'}\n{vqa.cnn.width} numbers",
        "f / ‖f‖\ndivided by its L2 norm",
        f"v = tanh(Wi f/‖f‖ + bi)\n{c.combine} numbers",
    )
    above = 7.0
    for k, (y, text) in enumerate(zip(ROWS, boxes, strict=True)):
        down = RIGHT - 0.16 * (k > 1)  # below F the gradient comes back beside
        _arrow(ax, (down, above), (down, y + TALL / 2 + 0.06 * (k == 1)))  # F is a stack
        if k > 1:
            _arrow(ax, (RIGHT + 0.16, y + TALL / 2), (RIGHT + 0.16, above), BACK)
        if k == 1:  # a stack of maps rather than one box
            for shift in (0.1, 0.05):
                _box(ax, RIGHT + shift, y + shift * 0.6, BOX, TALL, "", IMAGE)
        _box(ax, RIGHT, y, BOX, TALL, text, IMAGE)
        above = y - TALL / 2
    ax.add_patch(
        FancyBboxPatch(
            (RIGHT - BOX / 2, ROWS[1] - TALL / 2),
            BOX,
            TALL,
            "round,pad=0,rounding_size=0.07",
            fill=False,
            ec=BACK,
            lw=2,
            zorder=4,
        )  # fmt: skip
    )


def _combine(ax: Axes, vqa: DeeperLSTM, gate: int | None) -> None:
    size, y, tall = vqa.combine, 1.98, 0.98
    wide = RIGHT + BOX / 2 - (LEFT - BOX / 2)
    top, bottom = y + tall / 2, ROWS[-1] - TALL / 2
    _box(ax, MIDDLE, y, wide, tall, "", JOINT)
    _arrow(ax, (LEFT, bottom), (LEFT, top))
    _arrow(ax, (RIGHT - 0.16, bottom), (RIGHT - 0.16, top))
    _arrow(ax, (RIGHT + 0.16, top), (RIGHT + 0.16, bottom), BACK)
    _text(ax, MIDDLE, top + 0.32, "combine layer\nA = u ∘ v", weight="bold", size=10.5)
    dots = min(DOTS, size)
    lit = dots if gate is None else max(1, round(dots * gate / size))
    shown = np.random.default_rng(3).permutation(dots)[:lit]
    columns = -(-dots // DOT_ROWS)
    step = (wide - 0.3) / columns
    for k in range(dots):
        x = LEFT - BOX / 2 + 0.15 + step * (k % columns + 0.5)
        height = y + 0.3 - 0.24 * (k // columns)
        if k in shown:
            ax.add_patch(Circle((x, height), 0.062, fc=INK if gate is None else BACK, ec="none", zorder=3))
            continue
        ax.add_patch(Circle((x, height), 0.056, fc="#D9D5C8", ec="none", zorder=3))
        for slope in (-1, 1):
            ax.plot(
                [x - 0.055, x + 0.055], [height - 0.055 * slope, height + 0.055 * slope], color=MUTED, lw=1, zorder=4
            )
    each = f"each dot stands for {size // dots}" if size > dots else "a dot each"
    about = f"{size} neurons, {each}"
    if gate is not None:
        about += f"; coloured: the top n = {gate}"
    _text(ax, MIDDLE, y - 0.27, about)
    if gate is not None:
        x0 = LEFT - BOX / 2
        route = [(x0, ROWS[3]), (x0 - 0.22, ROWS[3]), (x0 - 0.22, y), (x0, y)]
        ax.plot(*zip(*route[:3], strict=True), color=RANK, lw=1.6, ls=(0, (4, 2)))
        _arrow(ax, (route[2][0] - 0.008, y), route[3], RANK)
        _text(ax, x0 - 0.14, bottom - 0.32, "∂A/∂q ranks\nthe neurons", RANK, ha="left")


def _answers(ax: Axes, vqa: DeeperLSTM, answer: str, gate: int | None) -> None:
    top, y = 1.98 - 0.49, 0.88
    _arrow(ax, (MIDDLE - 0.16, top), (MIDDLE - 0.16, y + 0.2))
    _arrow(ax, (MIDDLE + 0.16, y + 0.2), (MIDDLE + 0.16, top), BACK)
    note = (
        "all neurons: the original Grad-CAM"
        if gate is None
        else f"gradient flows back only\nthrough the top n = {gate}"
    )
    _text(ax, MIDDLE + 0.34, (top + y + 0.2) / 2, note, BACK, ha="left")
    _box(ax, MIDDLE, y, BOX, 0.4, f"y = Wo A + bo, {len(vqa.answers)} answers", JOINT)
    others = [a for a in ("yes", "blue", "sitting") if a in vqa.answers and a != answer]
    x = MIDDLE - 1.2
    for word in [answer, *others]:
        asked = word == answer
        width = 0.084 * len(word) + 0.16
        _box(ax, x + width / 2, 0.32, width, 0.3, word, BACK if asked else "white", "white" if asked else INK)
        x += width + 0.08
    _text(ax, x + 0.02, 0.3, "…", ha="left")
    for height, text, colour in ((0.72, "forward", INK), (0.46, "gradient of", BACK)):
        _arrow(ax, (0.22, height), (0.6, height), colour)
        _text(ax, 0.7, height, text, colour, ha="left")
    _text(ax, 0.7, 0.28, "one answer", BACK, ha="left")


def _text(
    ax: Axes, x: float, y: float, text: str, colour: str = INK, ha="center", size: float = SMALL, weight="normal"
):
    ax.text(x, y, text, color=colour, ha=ha, va="center", fontsize=size, fontweight=weight, zorder=5, linespacing=1.15)


def _box(ax: Axes, x: float, y: float, width: float, height: float, text: str, fill: str, ink: str = INK) -> None:
    corner = (x - width / 2, y - height / 2)
    ax.add_patch(FancyBboxPatch(corner, width, height, "round,pad=0,rounding_size=0.07", fc=fill, ec=MUTED, lw=0.9))
    if text:
        _text(ax, x, y, text, ink)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = INK) -> None:
    ax.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, lw=1.7, color=colour, shrinkA=0, shrinkB=0)
    )
