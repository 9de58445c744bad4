"""The one-page paper that question 16 has reviewed: made with a school's own scenes, with five flaws planted."""

from __future__ import annotations

from math import comb
from pathlib import Path
from textwrap import fill
from types import ModuleType

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from qgc.explain import normalised
from qgc.measure.localise import enlarge

PAIRS, SHOWN = 6, 2

TITLE = "SharpCAM: heat maps that follow the question"
BEFORE = """\
Grad-CAM gives two questions with the same answer nearly the same heat map. SharpCAM lets the gradient back only through
the n neurons that are most sensitive to the question.

Method. We compared three rankings of the neurons and four measures, and report the ranking and the measure with the
best result on the test scenes. For each image we show the n at which the map is clearest."""
AFTER = """\
Figure 1. Two test scenes. Below each map the n that was chosen for it. Each map is scaled to its own maximum.

Results. On {pairs} test pairs SharpCAM puts both maps on their own objects in {right} cases. Chance is 50 %, so the
probability of such a result by luck is {p:.3f}. As the figure shows, the maps are strong.

Conclusion. SharpCAM shows that the model looks at different places for different questions. It needs no training."""


def write(school: ModuleType, path: Path) -> None:
    """Write the page as a PDF; ``school`` is the module of the hidden tests."""
    effects = torch.stack([school.gate_effects(k) for k in range(PAIRS)])
    chosen = [school.NS[int(n)] for n in effects.argmax(1)]
    right = int((effects.amax(1) > 1e-9).sum())
    page = Figure(figsize=(8.3, 11.7))
    page.text(0.1, 0.93, TITLE, size=18, weight="bold")
    page.text(0.1, 0.89, _wrapped(BEFORE), size=10.5, va="top", linespacing=1.4)
    for row in range(SHOWN):
        _show(page, school, row, chosen[row])
    p = sum(comb(PAIRS, k) for k in range(right, PAIRS + 1)) / 2**PAIRS
    page.text(0.1, 0.29, _wrapped(AFTER.format(pairs=PAIRS, right=right, p=p)), size=10.5, va="top", linespacing=1.4)
    with mpl.rc_context({"pdf.fonttype": 42}), PdfPages(path, metadata={"CreationDate": None}) as pdf:
        pdf.savefig(page)


def _wrapped(text: str) -> str:
    return "\n\n".join(fill(" ".join(part.split("\n")), 92) for part in text.split("\n\n"))


def _show(page: Figure, school: ModuleType, row: int, n: int) -> None:
    scene = school.pairs(row + 1)[row].scene
    for column, e in enumerate((None, *school.explained(row))):
        axes = page.add_axes((0.1 + 0.27 * column, 0.56 - 0.22 * row, 0.25, 0.17))
        axes.imshow(np.asarray(scene.image))
        axes.set_title("image" if e is None else fill(e.question, 32), size=8)
        if e is not None:
            large = enlarge(torch.from_numpy(normalised(e.map(n))), scene.image.size)
            axes.imshow(large, cmap="inferno", alpha=0.6)
            axes.set_xlabel(f"n = {n}", size=8)
        axes.set_xticks([])
        axes.set_yticks([])
