"""Which combine neurons first? The paper's ranking and the ones to compare it with, as data.

Every ranking gives a score to each neuron of one explained question; the gate lets the n highest through. With
c_j = ∂y_a/∂A_j (for a linear classifier the row Wo[a]) the symbols of book/gate.ipynb are u, v, A = u ∘ v and
g = c ∘ u. Gate-free maps, which need no n, are in :data:`GATE_FREE`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..explain import Explanation, contrast, engine
from ..explain.sensitivity import reductions
from ..models.evaluation import evaluated, evaluating


@dataclass(frozen=True)
class Asked:
    """One explained question, with all that a ranking may look at; every tensor is (J,) unless it says otherwise.

    ``c`` = ∂y_a/∂A, ``g`` = c ∘ u. ``sensitivity`` holds ∂A/∂q in each reduction, ``question`` its l2 without the
    picture's factor v, ``word`` the l2 of ∂A/∂w of the content word. ``P`` (J, h·w): row j is the map of neuron j
    alone, Σ_k M_jk F^k, so that every gated map is a sum of rows g_j P_j. ``slope`` is 1 − u² averaged over all
    questions, ``no_question`` the l2 of ∂A/∂q with that average in the place of this question's 1 − u²: neither knows
    what was asked. ``F`` (1, K, h, w), ``answer`` and ``q`` (1, Q) lead back to the model.
    """

    u: Tensor
    v: Tensor
    c: Tensor
    g: Tensor
    sensitivity: dict[str, Tensor]
    question: Tensor
    word: Tensor | None
    slope: Tensor
    no_question: Tensor
    P: Tensor
    F: Tensor
    q: Tensor
    answer: int

    @classmethod
    def of(cls, e: Explanation, word: Tensor | None = None, slope: Tensor | None = None) -> Asked:
        """From an explanation; ``slope`` (J,) is the model's (:func:`mean_slope`), nan without one."""
        vqa, rows = e.vqa, {}
        reduced = reductions(vqa, e.F, e.q, e.u[None], e.v[None], known=rows)
        slope = e.u * torch.nan if slope is None else slope
        if rows:  # the closed form, of which parts can be left out
            question = (1 - e.u**2) * rows["l2"]
            no_question = e.v.abs() * slope * rows["l2"]
        else:
            question = reduced["l2"] / e.v.abs().clamp_min(1e-12)
            no_question = e.u * torch.nan
        with evaluating(vqa):
            P, answer = neuron_maps(e.M, e.F), vqa.answers.index(e.answer)
        return cls(e.u, e.v, e.c, e.g, reduced, question, word, slope, no_question, P, e.F, e.q, answer)


@evaluated
@torch.no_grad()
def question_branches(vqa, questions: Sequence[str]) -> Tensor:
    """u (N, J) of many questions, for a model whose question branch ignores the image."""
    return torch.cat([vqa.question_branch(vqa.encode_all(questions[i : i + 64])) for i in range(0, len(questions), 64)])


@evaluated
def mean_slope(vqa, questions: Sequence[str]) -> Tensor | None:
    """1 − u² (J,), the slope of tanh in ∂A/∂q, averaged over questions; None for models without that closed form."""
    if not hasattr(vqa, "sensitivity_jacobian"):
        return None
    return (1 - question_branches(vqa, questions) ** 2).mean(0)


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
    "1 − u² of no question": lambda a, b: a.slope,
    "∂A/∂q of no question": lambda a, b: a.no_question,
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


def hires(a: Asked, vqa, c: Tensor | None = None) -> Tensor:
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
    "other", the other question's; "mean", that of u averaged over all colour questions, which needs no partner.
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


def base_maps(a: Asked, b: Asked, mean_u: Tensor | None, vqa) -> dict[str, tuple[Tensor, Tensor, Tensor | None]]:
    """Of each base of :class:`FreeMap` the maps of questions a, b and of the mean question, before the ReLU, (h, w).

    ``mean_u`` (J,) is u averaged over all questions of a's family; None, and no mean question, where u is not all that
    carries the question (Pythia). The answer, and so c, is the same for a and b.
    """
    grid = a.F.shape[2:]
    found = {
        "Grad-CAM": (a.g @ a.P, b.g @ b.P, None if mean_u is None else (a.c * mean_u) @ a.P),
        "HiResCAM": (hires(a, vqa), hires(b, vqa), None if mean_u is None else hires(a, vqa, a.c * mean_u)),
    }
    if hasattr(vqa, "attention"):
        found["attention"] = (*(vqa.attention(x.F, x.q)[0] for x in (a, b)), None)
    return {k: tuple(m if m is None else m.reshape(*grid) for m in maps) for k, maps in found.items()}
