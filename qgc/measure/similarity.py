"""How alike two maps, two rankings and two top-10 lists are, and the pairs of questions to compare (Tables 1–6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import spearmanr
from torch import Tensor

from ..scenes import Scene


def cosine(a: Tensor, b: Tensor) -> float:
    """Cosine of two maps, Σab / (‖a‖‖b‖); nan if one of them is empty."""
    a, b = a.flatten().double(), b.flatten().double()
    norm = float(a.norm() * b.norm())
    return float(a @ b) / norm if norm > 0 else float("nan")


def spearman(a, b) -> float:
    """Spearman's rank correlation of two vectors (paper Tables 5–6); ties share their mean rank.

    nan where one of them is the same throughout, or is not finite.
    """
    a, b = (x.cpu().double().numpy() if isinstance(x, Tensor) else np.asarray(x, float) for x in (a, b))
    if any(not np.isfinite(x).all() or np.ptp(x) == 0 for x in (a, b)):
        return float("nan")
    return float(spearmanr(a, b).statistic)


def shared(first: Iterable[int], second: Iterable[int]) -> int:
    """How many indices two of the paper's top-10 columns have in common, in whatever order."""
    return len(set(map(int, first)) & set(map(int, second)))


@dataclass(frozen=True)
class Pair:
    """Two questions about one scene with the same true answer and different objects."""

    scene: Scene
    first: tuple
    second: tuple

    @property
    def answer(self) -> str:
        """The true answer to both questions."""
        return self.first[1]


def same_answer_pairs(scenes: Iterable[Scene], families: tuple[str, ...] = ("colour",)) -> list[Pair]:
    """All pairs of questions of one family that share their answer, scene by scene (paper §3)."""
    found = []
    for scene in scenes:
        by_family = [a for a in scene.asks if a.family in families and a.thing]
        found += [
            Pair(scene, a, b)
            for a, b in combinations(by_family, 2)
            if a.answer == b.answer and a.family == b.family and a.thing != b.thing
        ]
    return found
