"""What is in the data set of rooms: objects, pairs, colors, and what the question alone gives."""

from __future__ import annotations

from collections import Counter, defaultdict
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd

from .colours import COLOURS
from .rooms import COLOURED, FOLDS, WORDINGS, load, split_numbers

TITLES = {"as photographed": False, "recoloured": True}


def statistics(folder: str | Path) -> pd.DataFrame:
    """Photographs, clear objects, pairs and question-only accuracy of both distributions, tested over all folds.

    The accuracy is that of the training part's commonest answer to a question's words: a model that never looks can do
    no better, but for luck.
    """
    return pd.DataFrame({title: _counted(Path(folder), recoloured) for title, recoloured in TITLES.items()})


def _counted(folder: Path, recoloured: bool) -> dict[str, str]:
    right: dict[str, list[bool]] = {"colour": [], "existence": [], "check": []}
    objects = pairs = paired = photographs = 0
    for fold in range(FOLDS):
        train, test = (load(folder, split, fold, recoloured) for split in ("train", "test"))
        answers: dict[str, Counter] = defaultdict(Counter)
        for q in train.questions:
            answers[q.text][q.answer] += 1
        of_image: dict[str, Counter] = defaultdict(Counter)
        for q in test.questions:
            guess = min(answers[q.text].items(), key=lambda kv: (-kv[1], kv[0]), default=("", 0))[0]
            right[q.kind].append(guess == q.answer)
            if q.kind == "colour":
                of_image[q.image][q.answer] += 1
        same = [sum(comb(n, 2) for n in counts.values()) for counts in of_image.values()]
        objects, pairs = objects + sum(map(Counter.total, of_image.values())), pairs + sum(same)
        paired, photographs = paired + sum(map(bool, same)), photographs + len(split_numbers(folder, fold, "test"))
    counts = {"photographs": photographs, "objects of a clear color": objects, "pairs of the same color": pairs,
              "photographs with a pair": paired}  # fmt: skip
    only = {f"{kind}, from the question alone": f"{100 * np.mean(r):.1f} %" for kind, r in right.items() if r}
    return {**{name: str(n) for name, n in counts.items()}, **only}


def colours_of_classes(folder: str | Path, recoloured: bool = False) -> pd.DataFrame:
    """How often each class has each color among the tested photographs: the habits of rooms."""
    sets = [load(folder, "test", fold, recoloured) for fold in range(FOLDS)]
    asked = [(q.text, q.answer) for s in sets for q in s.questions if q.kind == "colour"]
    of_text = {WORDINGS[0].format(name): name for name in COLOURED}
    found = pd.crosstab([of_text[text] for text, _ in asked], [answer for _, answer in asked])
    found = found.reindex(index=list(COLOURED), columns=list(COLOURS), fill_value=0)
    return found.rename_axis(index="recoloured" if recoloured else "as photographed", columns=None)
