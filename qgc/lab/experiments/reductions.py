"""Which vector did the paper print as ∂A/∂q? Candidates and clues for Tables 1–4 (book/which-reduction.ipynb)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...errors import QGCError
from ...explain.sensitivity import reduce_product
from ...measure.similarity import spearman
from ...models.evaluation import evaluated
from ...scenes import Scene

Q_PAPER = 2048
"""Entries of q in the paper's model: cell and hidden states, 512 each, of two LSTM layers."""

CANDIDATES: dict[str, str] = {
    "l2": "length of row j of ∂A/∂q",
    "sum": "sum of row j, with its sign",
    "abs-sum": "sum of the absolute values of row j",
    "largest entry": "largest absolute value of row j",
    "tanh only": "|∂A_j/∂(Wq q)_j| = |v_j| (1 − u_j²)",
    "of the answer": "∂y_a/∂(Wq q)_j = Wo[a,j] v_j (1 − u_j²), a = predicted answer",
    "of ΣA": "∂(Σ_j A_j)/∂q, an entry for every entry of q",
}
"""What may have been printed as "∂A/∂q" (paper §3.2): name → formula."""

_GROWTH = {"l2": 0.5, "sum": 0.5, "abs-sum": 1.0}  # power of Q; the others are no sums over q


def to_paper_size(name: str, Q: int) -> float:
    """Factor that carries a candidate's values from a model with Q entries in q to the paper's 2048 (paper §3.2).

    A row of Wq with weights of one size and random signs has a length, and a sum, that grow with √Q, and a sum of
    absolute values that grows with Q; the other candidates sum nothing over q.
    """
    return (Q_PAPER / Q) ** _GROWTH.get(name, 0.0)


@evaluated
@torch.no_grad()
def candidates(vqa, u: Tensor, v: Tensor) -> dict[str, Tensor]:
    """Every candidate for the printed ∂A/∂q (paper §3.2) of a Deeper LSTM, name → (B, J); "of ΣA" is (B, Q).

    Parameters
    ----------
    u, v : (B, J) question and image branch. The answer of "of the answer" is the predicted one.

    Raises
    ------
    QGCError
        If the model has no closed form of ∂A/∂q.
    """
    if (closed := vqa.sensitivity_jacobian(u, v)) is None:
        raise QGCError(f"a {type(vqa).__name__} has no closed form of ∂A/∂q, which the candidates are made of; give a "
                       "Deeper LSTM")  # fmt: skip
    factor, rows = closed
    answer = vqa.classify(u * v).argmax(1)
    return {
        **reduce_product(factor, rows),
        "largest entry": factor.abs() * rows.abs().amax(1),
        "tanh only": factor.abs(),
        "of the answer": vqa.output.weight[answer] * factor,
        "of ΣA": factor @ rows,
    }


@dataclass(frozen=True)
class Candidates:
    """The candidates of many questions: ``asked`` (scene, family, question, answer) and name → values, row by row."""

    asked: pd.DataFrame
    values: dict[str, Tensor]

    def top(self, name: str, k: int = 10) -> torch.return_types.topk:
        """The k largest values of every question and their indices, each (rows, k): a column of Tables 1–4."""
        return self.values[name].topk(k)

    def steepness(self, name: str) -> np.ndarray:
        """Largest over tenth largest value of every question, (rows,) (paper Tables 1–4)."""
        values = self.top(name).values
        return (values[:, 0] / values[:, 9]).numpy()

    def shared(self, name: str, first: Sequence[int], second: Sequence[int], k: int = 10) -> np.ndarray:
        """How many of their top k indices the rows ``first`` and ``second`` share, pair by pair (paper Tables 1–4)."""
        top = torch.zeros(self.values[name].shape).scatter_(1, self.top(name, k).indices, 1.0)
        return (top[list(first)] * top[list(second)]).sum(1).int().numpy()

    def spearman(self, name: str, first: Sequence[int], second: Sequence[int]) -> np.ndarray:
        """Spearman's rank correlation of the rows ``first`` and ``second``, pair by pair (paper Tables 5–6)."""
        values = self.values[name]
        return np.array([spearman(values[a], values[b]) for a, b in zip(first, second, strict=True)])


@evaluated
@torch.no_grad()
def compute_candidates(
    vqa, scenes: Sequence[Scene], families: Sequence[str] = ("colour", "activity", "gaze")
) -> Candidates:
    """All candidates for every question of ``families`` about ``scenes`` (paper §3.2), a row for each question."""
    rows, parts = [], {name: [] for name in CANDIDATES}
    known: dict[str, Tensor] = {}
    for number, scene in enumerate(scenes):
        asked = [a for a in scene.asks if a.family in families]
        if not asked:
            continue
        for a in asked:
            if a.question not in known:
                known[a.question] = vqa.encode(a.question)
            rows.append((number, a.family, a.question, a.answer))
        F = vqa.conv(vqa.prepare(scene.image))
        q = torch.cat([known[a.question] for a in asked])
        for name, values in candidates(vqa, *vqa.branches(F.expand(len(q), -1, -1, -1), q)).items():
            parts[name].append(values.cpu())
    table = pd.DataFrame(rows, columns=["scene", "family", "question", "answer"])
    return Candidates(table, {name: torch.cat(blocks) for name, blocks in parts.items()})


def pairs(asked: pd.DataFrame, kind: str) -> tuple[list[int], list[int]]:
    """Row numbers of the pairs that the paper compares, as two lists of one length (paper §3.2–3.3).

    ``kind``: "same question" (two scenes; Tables 1–2), "other question" (one scene; Tables 3–4) or "same answer"
    (one scene, two color questions with one answer; Tables 5–6).
    """
    group = {"same question": "question", "other question": "scene", "same answer": "scene"}
    if kind not in group:
        raise ValueError(f"unknown kind of pairs {kind!r}; choose one of {', '.join(group)}")
    if kind == "same answer":
        asked = asked[asked["family"] == "colour"]
    found = [pair for rows in asked.groupby(group[kind], sort=False).groups.values() for pair in combinations(rows, 2)]
    if kind == "same answer":
        found = [(a, b) for a, b in found if asked.loc[a, "answer"] == asked.loc[b, "answer"]]
    first, second = zip(*found, strict=True) if found else ((), ())
    return list(first), list(second)


def spanned(groups: Sequence[np.ndarray], level: float = 0.95) -> tuple[float, float]:
    """From the lowest to the highest end of the middle ``level`` of each group (book/which-reduction.ipynb)."""
    tail = 50 * (1 - level)
    ends = [np.percentile(group, (tail, 100 - tail)) for group in groups]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


draw = compute_candidates  # its old name
