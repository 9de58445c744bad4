"""How alike two maps, two rankings and two top-10 lists are, and the pairs of questions to compare (Tables 1–6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.stats import hypergeom, rankdata, spearmanr
from torch import Tensor

from ..scenes import Scene

TOP = 10  # the paper's tables list so many neurons


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


def partial_spearman(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Spearman's partial correlation of x and y (J,) given covariates (C, J): Pearson's of the ranks' residuals.

    nan where the covariates explain the ranks of x or y completely.
    """
    ranks = rankdata(np.vstack([x, y, given]), axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    xy, z = ranks[:2].T, ranks[2:].T
    a, b = (xy - z @ np.linalg.lstsq(z, xy, rcond=None)[0]).T
    explained = 1e-9 * np.linalg.norm(ranks[:2], axis=1)
    if np.linalg.norm(a) <= explained[0] or np.linalg.norm(b) <= explained[1]:
        return float("nan")
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def shared(first: Iterable[int], second: Iterable[int]) -> int:
    """How many indices two of the paper's top-10 columns have in common, in whatever order."""
    return len(set(map(int, first)) & set(map(int, second)))


def overlap_by_chance(J: int, k: int = TOP) -> tuple[float, np.ndarray]:
    """Neurons that two unrelated top-k lists of J share: the mean k²/J, and P(at least m) for m = 0 … k.

    The hypergeometric distribution: k draws without replacement from J neurons, k of which are marked.
    """
    return k * k / J, hypergeom(J, k, k).sf(np.arange(k + 1) - 1)


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
