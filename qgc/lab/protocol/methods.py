"""Maps by every ranking of :mod:`qgc.explain.rankings`, at every n, and maps that need no gate (:data:`GATE_FREE`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...explain import contrast
from ...explain.rankings import RANKINGS as RANKINGS
from ...explain.rankings import RankingInputs
from ...explain.rankings import neuron_maps as neuron_maps
from ...models.evaluation import evaluated, evaluating


@evaluated
@torch.no_grad()
def question_branches(vqa, questions: Sequence[str]) -> Tensor | None:
    """u (N, J) of many questions; None for a model in which they are not all that carries a question to the answer."""
    found = []
    for first in range(0, len(questions), 64):
        u = vqa.question_branch(vqa.encode_all(questions[first : first + 64]))
        if u is None:
            return None
        found.append(u)
    return torch.cat(found)


@evaluated
def mean_slope(vqa, questions: Sequence[str]) -> Tensor | None:
    """1 − u² (J,), the slope of tanh in ∂A/∂q, averaged over questions; None for models without that closed form."""
    u = question_branches(vqa, questions)
    closed = None if u is None else vqa.sensitivity_jacobian(u, torch.ones_like(u))  # ∂A_j/∂(Wq q)_j where v_j = 1
    return None if closed is None else closed[0].mean(0)


COMMON = "∂A/∂q, l2, common left out"
"""The paper's future work: the top n without those that the other question's top n holds too."""


def cumulative_maps(own: Tensor, order: Tensor) -> Tensor:
    """Maps of every n before the ReLU: row n − 1 sums ``own`` (J, h·w) over the first n of ``order`` (Eq. 1–2)."""
    return own[order].cumsum(0)


def cumulative_maps_without_common(own: Tensor, order: Tensor, partner: Tensor) -> Tensor:
    """The same, leaving out at each n the neurons that the partner's first n holds too (paper §4, future work).

    A neuron is common from n = max(its two ranks) on; what is common is one more cumulative sum. Where nothing is left,
    as at n = J, the map is zero, and not what rounding leaves.
    """
    J = len(order)
    rank = torch.empty(2, J, dtype=torch.long, device=order.device)
    places = torch.arange(J, device=order.device)
    rank[0, order], rank[1, partner] = places, places
    joins = rank.amax(0)
    common = torch.zeros_like(own).index_add_(0, joins, own).cumsum(0)
    left = places + 1 - torch.bincount(joins, minlength=J).cumsum(0)
    return torch.where(left[:, None] > 0, cumulative_maps(own, order) - common, 0.0)


def hires(a: RankingInputs, vqa, c: Tensor | None = None) -> Tensor:
    """HiResCAM (Draelos and Carin 2020), Σ_k ∂y_a/∂F^k ⊙ F^k before the ReLU, (h·w,): no mean over cells as in Eq. 1.

    With ``c`` (J,), of Σ_j c_j v_j in the place of the answer's score.
    """
    with evaluating(vqa), torch.enable_grad():
        F = a.F.detach().clone().requires_grad_()
        u, v = vqa.branches(F, a.q)
        y = vqa.classify(u * v)[0, a.answer] if c is None else (c * v[0]).sum()
        (dF,) = torch.autograd.grad(y, F)
    return (dF * a.F).sum((0, 1)).flatten()


@dataclass(frozen=True)
class FreeMap:
    """A map that needs no n: what it is made of, what it is compared with, and by which norm both are divided first.

    ``base``: "Grad-CAM", "HiResCAM" or "attention" (of a model that has one). ``against``: None, the map itself;
    "other", the other question's; "mean", that of u averaged over all color questions, which needs no partner.
    """

    base: str
    against: str | None = None
    normalise: str | None = None

    def method(self, first: Tensor, second: Tensor, mean: Tensor | None = None) -> Tensor:
        """The map to be scored, from both questions' base maps (..., h, w) and the mean question's."""
        if self.against is None:
            return first
        return contrast(first, second if self.against == "other" else mean, self.normalise)


GATE_FREE: dict[str, FreeMap] = {
    "Grad-CAM": FreeMap("Grad-CAM"),
    "question contrast": FreeMap("Grad-CAM", "other"),
    "question contrast, L1": FreeMap("Grad-CAM", "other", "l1"),
    "question contrast, L2": FreeMap("Grad-CAM", "other", "l2"),
    "contrast with the mean question": FreeMap("Grad-CAM", "mean"),
    "contrast with the mean question, L1": FreeMap("Grad-CAM", "mean", "l1"),
    "contrast with the mean question, L2": FreeMap("Grad-CAM", "mean", "l2"),
    "HiResCAM": FreeMap("HiResCAM"),
    "HiResCAM contrast": FreeMap("HiResCAM", "other"),
    "HiResCAM contrast, L1": FreeMap("HiResCAM", "other", "l1"),
    "HiResCAM contrast, L2": FreeMap("HiResCAM", "other", "l2"),
    "HiResCAM, mean question": FreeMap("HiResCAM", "mean"),
    "HiResCAM, mean question, L1": FreeMap("HiResCAM", "mean", "l1"),
    "HiResCAM, mean question, L2": FreeMap("HiResCAM", "mean", "l2"),
    "attention": FreeMap("attention"),
}
"""Maps without a gate, by the name that tables use."""


def base_maps(
    a: RankingInputs, b: RankingInputs, mean_u: Tensor | None, vqa
) -> dict[str, tuple[Tensor, Tensor, Tensor | None]]:
    """Of each base of :class:`FreeMap` the maps of questions a, b and of the mean question, before the ReLU, (h, w).

    ``mean_u`` (J,) is u averaged over all questions of a's family; None, and no mean question, where u is not all that
    carries the question (Pythia). The answer, and so c, is the same for a and b.
    """
    grid = a.F.shape[2:]
    found = {
        "Grad-CAM": (a.g @ a.P, b.g @ b.P, None if mean_u is None else (a.c * mean_u) @ a.P),
        "HiResCAM": (hires(a, vqa), hires(b, vqa), None if mean_u is None else hires(a, vqa, a.c * mean_u)),
    }
    attention = [vqa.attention(x.F, x.q) for x in (a, b)]
    if attention[0] is not None:
        found["attention"] = (*(x[0] for x in attention), None)
    return {k: tuple(m if m is None else m.reshape(*grid) for m in maps) for k, maps in found.items()}
