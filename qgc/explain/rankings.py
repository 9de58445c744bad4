"""Which combine neurons first? The paper's ranking (§3.2) and its baselines, in one registry.

A ranking gives a score to each neuron of one explained question; the gate keeps the n highest. With
c_j = ∂y_a/∂A_j (for a linear classifier the row Wo[a]) the symbols of book/gate.ipynb are u, v, A = u ∘ v and
g = c ∘ u. To add one, add an entry to :data:`RANKINGS`: ``qgc.explain(..., rank="its name")`` knows it. What is
measured is fixed by the protocol (:data:`qgc.lab.protocol.RANKED`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..errors import GateError, shown
from ..models.evaluation import evaluating
from . import closed_form
from .sensitivity import reductions


class RankingInputs:
    """One explained question, with all that a ranking may use; every tensor is (J,) unless its shape is given.

    Made from an explanation ``e`` (:class:`qgc.explain.Explanation`). What takes long is computed when first needed.

    Attributes
    ----------
    u, v, c, g : from the explanation: ``c`` = ∂y_a/∂A, ``g`` = c ∘ u. F (1, K, h, w), q (1, Q), answer : from there
        too, the answer as its index.
    word : the l2 norm of ∂A/∂w of the content word (:class:`qgc.explain.Words`), nan where it is not given.
    slope : 1 − u² averaged over all questions (:func:`qgc.lab.protocol.methods.mean_slope`), nan where it is not given.
    """

    def __init__(self, e, word: Tensor | None = None, slope: Tensor | None = None):
        self.vqa, self.F, self.q = e.vqa, e.F, e.q
        self.u, self.v, self.c, self.g = e.u, e.v, e.c, e.g
        self.answer = e.vqa.answers.index(e.answer)
        unknown = e.u * torch.nan
        self.word, self.slope = (unknown if given is None else given for given in (word, slope))
        self._e = e
        self._rows: dict[str, Tensor] = {}  # the closed form's reduced rows, if the model has one

    @cached_property
    def sensitivity(self) -> dict[str, Tensor]:
        """∂A/∂q (paper §3.2) in each reduction."""
        return reductions(self.vqa, self.F, self.q, self.u[None], self.v[None], known=self._rows)

    @cached_property
    def question(self) -> Tensor:
        """The l2 norm of ∂u/∂q: ∂A/∂q without the image's factor v."""
        length = self.sensitivity["l2"]
        return (1 - self.u**2) * self._rows["l2"] if self._rows else length / self.v.abs().clamp_min(1e-12)

    @cached_property
    def no_question(self) -> Tensor:
        """The l2 norm of ∂A/∂q with ``slope`` in place of this question's 1 − u²; nan without a closed form."""
        length = self.sensitivity["l2"]
        return self.v.abs() * self.slope * self._rows["l2"] if self._rows else length * torch.nan

    @cached_property
    def P(self) -> Tensor:
        """(J, h·w): row j is the map of neuron j alone, Σ_k M_jk F^k; a gated map is a sum of rows g_j P_j."""
        with evaluating(self.vqa):
            return neuron_maps(self._e.M, self.F)


def neuron_maps(M: Tensor, F: Tensor) -> Tensor:
    """P (J, h·w): the map of every combine neuron alone, before its g (book/gate.ipynb)."""
    return closed_form.maps(M, F).flatten(1)


PARTNER = "another question's explanation"
WORD = "the question's words, as in qgc.explain.Words(vqa, question).sensitivity(view)"
QUESTIONS = "a mean over all questions, as in qgc.lab.protocol.methods.mean_slope(vqa, questions)"


@dataclass(frozen=True)
class Ranking:
    """A ranking of the combine neurons: that of paper §3.2, or one to compare it with.

    ``score`` : from :class:`RankingInputs` to the scores (J,), highest first. ``needs`` : what it takes besides one
    explanation, in words, "" for nothing; with :data:`PARTNER`, ``score`` gets the partner's inputs as well.
    """

    score: Callable[..., Tensor]
    needs: str = ""

    def __call__(self, a: RankingInputs, b: RankingInputs | None = None) -> Tensor:
        """Scores (J,) of a question ``a`` whose same-answer partner is ``b``."""
        return self.score(a, b) if self.needs == PARTNER else self.score(a)


# The names are those of stored columns, and stay, though prose would word some of them otherwise.
RANKINGS: dict[str, Ranking] = {
    "∂A/∂q, l2": Ranking(lambda a: a.sensitivity["l2"]),
    "∂A/∂q, abs-sum": Ranking(lambda a: a.sensitivity["abs-sum"]),
    "∂A/∂q, sum": Ranking(lambda a: a.sensitivity["sum"]),
    "∂A/∂q, |sum|": Ranking(lambda a: a.sensitivity["sum"].abs()),
    "∂A/∂q, least first": Ranking(lambda a: -a.sensitivity["l2"]),
    "∂A/∂q of the other question": Ranking(lambda a, b: b.sensitivity["l2"], PARTNER),
    "∂u/∂q (no picture)": Ranking(lambda a: a.question),
    "∂A/∂w of the thing's word": Ranking(lambda a: a.word, WORD),
    "|g|": Ranking(lambda a: a.g.abs()),
    "g": Ranking(lambda a: a.g),
    "contribution g v": Ranking(lambda a: a.g * a.v),
    "|contribution|": Ranking(lambda a: (a.g * a.v).abs()),
    "answer only |c|": Ranking(lambda a: a.c.abs()),
    "picture only |v|": Ranking(lambda a: a.v.abs()),
    "|g − g′|": Ranking(lambda a, b: (a.g - b.g).abs(), PARTNER),
    "(g − g′) sign(g)": Ranking(lambda a, b: (a.g - b.g) * a.g.sign(), PARTNER),
    "1 − u² of no question": Ranking(lambda a: a.slope, QUESTIONS),
    "∂A/∂q of no question": Ranking(lambda a: a.no_question, QUESTIONS),
}
"""Every ranking by its name in stored results and tables; the first is the paper's, in the default reduction."""

DEFAULT = "sensitivity"
"""What ``qgc.explain`` ranks by unless told otherwise: ∂A/∂q in the explanation's own reduction."""


def check_ranking(name: str) -> None:
    """Is ``name`` a ranking that one explanation is enough for: the default, or one of :data:`RANKINGS` (paper §3.2)?

    Raises
    ------
    GateError
        If there is no such ranking, or it takes more than one explanation.
    """
    if name == DEFAULT:
        return
    if name not in RANKINGS:
        alone = [name for name, ranking in RANKINGS.items() if not ranking.needs]
        raise GateError(
            f"unknown ranking {shown(name)}; choose one of {'; '.join((DEFAULT, *alone))}; or give scores (J,)"
        )
    if needs := RANKINGS[name].needs:
        raise GateError(f"the ranking {name!r} needs {needs}; compute its scores (J,) and give them to qgc.explain")


def scores(name: str, e) -> Tensor:
    """The scores (J,) of one explanation ``e`` in a ranking of :func:`check_ranking` (paper §3.2)."""
    check_ranking(name)
    return e.sensitivity if name == DEFAULT else RANKINGS[name](RankingInputs(e))
