"""Which combine neurons first? The paper's ranking and the ones to hold it against, as data.

Every ranking gives a score to each neuron of one explained question; the gate lets the n highest through. With
c_j = ∂y_a/∂A_j (for a linear classifier the row Wo[a]) the symbols of book/gate.ipynb are u, v, A = u ∘ v and
g = c ∘ u. Gate-free maps, which need no n, stand beside them in :data:`GATE_FREE`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..explain import Explanation, engine
from ..explain.sensitivity import reduce_rows, reductions


@dataclass(frozen=True)
class Asked:
    """One explained question, with all that a ranking may look at; every tensor is (J,) unless it says otherwise.

    ``c`` = ∂y_a/∂A, ``g`` = c ∘ u. ``sensitivity`` holds ∂A/∂q in each reduction, ``question`` its l2 without the
    picture's factor v, ``word`` the l2 of ∂A/∂w of the content word. ``P`` (J, h·w): row j is the map of neuron j
    alone, Σ_k M_jk F^k, so that every gated map is a sum of rows g_j P_j. ``F`` (1, K, h, w), ``answer`` and
    ``q`` (1, Q) lead back to the model.
    """

    u: Tensor
    v: Tensor
    c: Tensor
    g: Tensor
    sensitivity: dict[str, Tensor]
    question: Tensor
    word: Tensor | None
    P: Tensor
    F: Tensor
    q: Tensor
    answer: int

    @classmethod
    def of(cls, e: Explanation, word: Tensor | None = None) -> Asked:
        """From an explanation."""
        vqa = e.vqa
        reduced = reductions(vqa, e.F, e.q, e.u[None], e.v[None])
        if hasattr(vqa, "sensitivity_jacobian"):
            ones = torch.ones_like(e.v)
            factor, rows = vqa.sensitivity_jacobian(e.u, ones)
            question = factor.abs() * reduce_rows(rows, "l2")
        else:
            question = reduced["l2"] / e.v.abs().clamp_min(1e-12)
        P = neuron_maps(e.M, e.F)
        return cls(e.u, e.v, e.c, e.g, reduced, question, word, P, e.F, e.q, vqa.answers.index(e.answer))


def neuron_maps(M: Tensor, F: Tensor) -> Tensor:
    """P (J, h·w): the map of every combine neuron alone, before its g (book/gate.ipynb)."""
    return engine.maps(M, F).flatten(1)


Score = Callable[[Asked, Asked], Tensor]

RANKINGS: dict[str, Score] = {
    "∂A/∂q, l2": lambda a, b: a.sensitivity["l2"],
    "∂A/∂q, abs-sum": lambda a, b: a.sensitivity["abs-sum"],
    "∂A/∂q, sum": lambda a, b: a.sensitivity["sum"],
    "∂A/∂q, |sum|": lambda a, b: a.sensitivity["sum"].abs(),
    "∂A/∂q, least first": lambda a, b: -a.sensitivity["l2"],
    "∂A/∂q of the other question": lambda a, b: b.sensitivity["l2"],
    "∂u/∂q (no picture)": lambda a, b: a.question,
    "∂A/∂w of the thing's word": lambda a, b: a.word if a.word is not None else a.sensitivity["l2"] * torch.nan,
    "|g|": lambda a, b: a.g.abs(),
    "g": lambda a, b: a.g,
    "contribution g v": lambda a, b: a.g * a.v,
    "|contribution|": lambda a, b: (a.g * a.v).abs(),
    "answer only |c|": lambda a, b: a.c.abs(),
    "picture only |v|": lambda a, b: a.v.abs(),
    "|g − g′|": lambda a, b: (a.g - b.g).abs(),
    "(g − g′) sign(g)": lambda a, b: (a.g - b.g) * a.g.sign(),
}
"""Scores (J,) of a question ``a`` whose same-answer partner is ``b``; the first is the paper's default here."""

COMMON = "∂A/∂q, l2, common left out"
"""The paper's future work: the top n without those that the other question's top n holds too."""


def running(own: Tensor, order: Tensor) -> Tensor:
    """Maps of every n before the ReLU: row n − 1 sums ``own`` (J, h·w) over the first n of ``order`` (Eq. 1–2)."""
    return own[order].cumsum(0)


def running_without_common(own: Tensor, order: Tensor, partner: Tensor) -> Tensor:
    """The same, leaving out at each n the neurons that the partner's first n holds too (paper §4, future work).

    A neuron is common from n = max(its two ranks) on; what is common is one more running sum. Where nothing is left,
    as at n = J, the map is zero, and not what rounding leaves.
    """
    J = len(order)
    rank = torch.empty(2, J, dtype=torch.long, device=order.device)
    places = torch.arange(J, device=order.device)
    rank[0, order], rank[1, partner] = places, places
    joins = rank.amax(0)
    common = torch.zeros_like(own).index_add_(0, joins, own).cumsum(0)
    left = places + 1 - torch.bincount(joins, minlength=J).cumsum(0)
    return torch.where(left[:, None] > 0, running(own, order) - common, 0.0)


def _hires(a: Asked, vqa, c: Tensor | None = None) -> Tensor:
    # Σ_k ∂y/∂F^k ⊙ F^k before the ReLU; the gradient keeps its cells, unlike Eq. 1.
    F = a.F.detach().requires_grad_()
    with torch.enable_grad():
        u, v = vqa.branches(F, a.q)
        if c is None:
            y = vqa.classify(u * v)[0, a.answer]
        else:
            y = (c * v[0]).sum()
    (dF,) = torch.autograd.grad(y, F)
    return (dF * a.F).sum((0, 1)).flatten()


GATE_FREE: dict[str, Callable[[Asked, Asked, Tensor, object], Tensor]] = {
    "Grad-CAM": lambda a, b, mean_u, vqa: a.g @ a.P,
    "question contrast": lambda a, b, mean_u, vqa: a.g @ a.P - b.g @ b.P,
    "contrast with the mean question": lambda a, b, mean_u, vqa: (a.c * (a.u - mean_u)) @ a.P,
    "HiResCAM": lambda a, b, mean_u, vqa: _hires(a, vqa),
    "HiResCAM contrast": lambda a, b, mean_u, vqa: _hires(a, vqa) - _hires(b, vqa),
    "HiResCAM, mean question": lambda a, b, mean_u, vqa: _hires(a, vqa, a.c * (a.u - mean_u)),
}
"""Maps (h·w,) before the ReLU, of a question ``a`` beside ``b``; ``mean_u`` (J,) is u averaged over all questions of
``a``'s family, so that a contrast with it needs no partner. HiResCAM: Draelos and Carin 2020."""
