"""What a model looked at, from the changes of its answer scores: verdicts, how sure they are, and agreement with maps.

Numbers alone are taken here; :mod:`.interventions` and :mod:`.faithfulness` alter the objects of scenes, ask models
again, and say what the symbols stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch

from ...measure.pairs import compared

TIE = 1e-5
"""Sums, or products, of |Δ| nearer than this share of their total are rounding in float32."""


# -- verdicts -------------------------------------------------------------------------------------------
def interventional_grounding(own: Sequence[float], other: Sequence[float]) -> float:
    """I of :mod:`qgc.lab.experiments.interventions`, 1, 0 or ½: from Δ(q1, S1), Δ(q2, S2) and Δ(q1, S2), Δ(q2, S1)."""
    own, other = float(np.abs(own).sum()), float(np.abs(other).sum())
    if abs(own - other) <= TIE * (own + other):
        return 0.5
    return float(own > other)


@dataclass(frozen=True)
class ModelEffects:
    """What altering every object changes in the two questions' answer scores (:mod:`qgc.lab.experiments.faithfulness`).

    Attributes
    ----------
    raw, D, normalised : (2, 2) for question i and object j: mean |Δ|; less the floor, clipped at zero; and that
        divided by its sum over all objects of the scene (nan where nothing is above the floor).
    floor : (2,) mean |Δ| under the null alterations.
    halves : (2, 2, 2): D of the even and of the odd alterations of each object, numbered in their order.
    first : (2, 2) |Δ| of each object's first alteration, a recoloring: what the registered score I looks at.
    """

    raw: np.ndarray
    D: np.ndarray
    normalised: np.ndarray
    floor: np.ndarray
    halves: np.ndarray
    first: np.ndarray

    @property
    def verdict(self) -> float:
        """1, 0 or ½ by :func:`odds_verdict`, from all alterations."""
        return odds_verdict(self.D)

    @property
    def size(self) -> float:
        """:func:`effect_size` of all alterations."""
        return effect_size(self.D)

    @property
    def half_verdicts(self) -> tuple[float, float]:
        """The same from either half of the alterations."""
        return odds_verdict(self.halves[0]), odds_verdict(self.halves[1])

    @property
    def sure(self) -> bool:
        """Whether both halves say the same as the whole, and it is no tie."""
        return self.verdict in (0, 1) and set(self.half_verdicts) == {self.verdict}


def odds_verdict(D) -> float:
    """The model's verdict 1[D_11 D_22 > D_12 D_21] of effects (2, 2): free of a question's or an object's factor.

    Powers and offsets of effects that grow with what is asked can decide it (see :mod:`qgc.lab.experiments.absent`).

    Products nearer than 1e-5 of their sum are a tie, ½ (rounding in float32); so is a model that no alteration moves.
    """
    (a, b), (c, d) = torch.from_numpy(np.array(D, float, order="C"))
    own, other = a * d, b * c
    return float(compared(own, other, TIE * (own + other)))


def effect_size(D) -> float:
    """Yule's Y of effects (2, 2), from −1 to 1; 0 where both products are zero.

    No factor of a question's gain or an object's size changes it; powers and offsets can.
    """
    (a, b), (c, d) = np.asarray(D, float)
    own, other = np.sqrt(a * d), np.sqrt(b * c)
    return float((own - other) / (own + other)) if own + other != 0 else 0.0


def model_effects(deltas: np.ndarray, altered: Sequence[str], objects: tuple[str, str]) -> ModelEffects:
    """D of two questions from the change of their answer scores under every alteration.

    Parameters
    ----------
    deltas : (2, alterations) Δ of either question. altered : what each alteration altered, "" for the null ones; an
        object's alterations are split in halves by their order. objects : what the questions are about.

    Raises
    ------
    ValueError
        If there is no null alteration, or an object has fewer than two alterations.
    """
    size, altered = np.abs(np.asarray(deltas, float)), np.asarray(altered)
    columns_of = {name: np.flatnonzero(altered == name) for name in dict.fromkeys(altered.tolist())}
    if "" not in columns_of or any(len(columns_of.get(o, ())) < 2 for o in objects):
        raise ValueError("give null alterations, and two alterations of either object")
    floor = size[:, columns_of.pop("")].mean(1)

    def above(columns: np.ndarray) -> np.ndarray:
        return np.maximum(size[:, columns].mean(1) - floor, 0)

    every = {name: above(columns) for name, columns in columns_of.items()}
    total = np.sum(list(every.values()), 0)[:, None]
    D = np.stack([every[o] for o in objects], 1)
    return ModelEffects(
        raw=np.stack([size[:, columns_of[o]].mean(1) for o in objects], 1),
        D=D,
        normalised=np.divide(D, total, out=np.full_like(D, np.nan), where=total > 0),
        floor=floor,
        halves=np.stack([np.stack([above(columns_of[o][half::2]) for o in objects], 1) for half in (0, 1)]),
        first=np.stack([size[:, columns_of[o][0]] for o in objects], 1),
    )


# -- agreement ------------------------------------------------------------------------------------------
def agreement(first, second, weights=None) -> np.ndarray:
    """The table (2, 2) of two verdicts, pair by pair: T_kl counts first = k and second = l, 0 and 1.

    Pairs on which either is a tie (½) or unknown are not in it. With ``weights`` (D, N), a table for each row of
    weights, (D, 2, 2).
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    rows = np.ones((1, len(first))) if weights is None else np.atleast_2d(weights)
    cells = [rows @ ((first == k) & (second == m)).astype(float) for k, m in product((0, 1), (0, 1))]
    tables = np.stack(cells, 1).reshape(-1, 2, 2)
    return tables[0] if weights is None else tables


def kappa(table) -> np.ndarray:
    """Cohen's κ (...) of tables (..., 2, 2): (observed − expected agreement) / (1 − expected agreement).

    1 for verdicts that are always the same, 0 for independent ones, however often each is right. nan for a degenerate
    table: an empty one, or one in which both verdicts are the same throughout (expected agreement 1); then nothing can
    be said about agreement beyond chance. If one of them alone never changes, κ is 0.
    """
    table = np.asarray(table, float)
    total = table.sum((-2, -1))
    rows, columns = table.sum(-1), table.sum(-2)
    observed = table[..., 0, 0] + table[..., 1, 1]
    # everything times total², so that tables of counts stay exact
    expected = (rows * columns).sum(-1)
    left = total**2 - expected
    return np.divide(total * observed - expected, left, out=np.full(total.shape, np.nan), where=left > 1e-9 * total**2)
