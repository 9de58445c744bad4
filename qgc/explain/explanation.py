"""``qgc.explain``: a question, an answer and everything that leads to their map."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..errors import AnswerError, GateError, ImageError, QGCError, QuestionError, WeightsError, shown
from ..images import open_image
from ..models import VQA
from ..models.evaluation import ModelBound, evaluated, evaluating, is_finite
from ..models.jacobian import product
from . import closed_form, gates, rankings, sensitivity


def check_model(vqa) -> None:
    """QGCError unless this is a model that can be explained (paper §3.1)."""
    if not isinstance(vqa, VQA):
        raise QGCError(f"explaining takes a VQA model, not {type(vqa).__name__}; load one with "
                       "qgc.load('deeper-lstm/natural'), give the one inside of a wrapped model, or name the places "
                       "of any other to qgc.explain_module (book/your-own-model.md)")  # fmt: skip
    vqa.check_contract()


class EncodedImage(ModelBound):
    """What a model computes of one image, shared by all questions about it: F, v and (when first needed) M.

    >>> view = qgc.EncodedImage(vqa, scene)         # the image's work, done once
    >>> qgc.explain(vqa, view, "Is there a cat?")   # quick

    ``F`` may be given where another model with the same CNN has computed it already. The results are valid for the
    weights that the model had: once these have changed, they are refused (:meth:`check`).

    It uses what :class:`qgc.models.VQA` declares. Where an optional method of the model gives None, the general way
    by automatic differentiation takes its place.

    Raises
    ------
    ImageError
        If the image cannot be used.
    QGCError
        If ``vqa`` is not a model, or ``F`` does not have its shape, number type and device.
    """

    @torch.no_grad()
    def __init__(self, vqa, image, F: Tensor | None = None):
        check_model(vqa)
        if F is not None:
            _check_maps(vqa, F)
        self.vqa = vqa
        self.image = open_image(image)
        with evaluating(vqa):
            self.F: Tensor = vqa.conv(vqa.prepare(self.image)) if F is None else F.detach()
            self.mark()
        self._given = F is not None
        self._v: Tensor | None = None
        self._factors: tuple[Tensor, ...] | None = ()  # () until they are first needed
        self._M: Tensor | None = None
        self._last_M: tuple[Tensor, Tensor] | None = None  # where M depends on the question: the last q, and its M

    def check(self) -> None:
        """WeightsError if the model's weights, number type or device have changed since."""
        if not self.is_current:
            raise WeightsError("the model's weights, number type or device have changed since it looked at this "
                               "image; make the EncodedImage and what was explained with it again")  # fmt: skip

    def for_model(self, vqa) -> EncodedImage:
        """The same results for a model that differs in its question side alone: the image's work is reused."""
        other = EncodedImage.__new__(EncodedImage)
        vars(other).update(vars(self), vqa=vqa, _last_M=None)
        other.mark()
        return other

    through = for_model  # its earlier name

    @cached_property
    @evaluated
    def _state(self):
        return self.vqa.image_state(self.F)

    @evaluated
    def factors(self, q: Tensor) -> tuple[Tensor, ...] | None:
        """M as a product, where the image branch ignores the question, so that all share it; else None. Cached.

        Any question q (1, Q) can show which of the two it is. Errors as :meth:`M`.
        """
        if self._factors != ():
            return self._factors
        self.check()
        vqa, F = self.vqa, self.F
        state = self._state
        factors = vqa.jacobian_factors(F) if state is None else vqa.jacobian_factors(F, state)
        if factors is None:
            M = vqa.pooled_jacobian(F)
            if M is None and vqa.question_branch(q) is not None:
                M = closed_form.pooled_jacobian_vjp(vqa, F, q)
            factors = None if M is None else (M,)
        self._factors = factors
        return factors

    @evaluated
    def branches(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """u and v (1, J) of a question q (1, Q); v is cached where the image branch ignores the question.

        Raises
        ------
        QGCError
            If the model cannot read the F that was given.
        """
        try:
            return self._branches(q)
        except RuntimeError as error:
            if not self._given:
                raise
            reason = str(error).splitlines()[0]
            raise QGCError(f"this model cannot read the maps F {tuple(self.F.shape)} that were given to its "
                           f"EncodedImage; give those of a model with the same CNN ({reason})") from error  # fmt: skip

    def _branches(self, q: Tensor) -> tuple[Tensor, Tensor]:
        u = self.vqa.question_branch(q)
        if u is None:
            return self.vqa.branches(self.F, q)
        if self._v is None:
            self._v = self.vqa.branches(self.F, q)[1] if self._state is None else self._state.v
        return u, self._v

    @evaluated
    def M(self, q: Tensor) -> Tensor:
        """The pooled Jacobian (J, K) of book/gate.ipynb for a question q (1, Q); that of the last one is cached.

        Raises
        ------
        WeightsError
            If the model's weights have changed since it encoded the image.
        """
        factors = self.factors(q)
        if factors is None:
            last = self._last_M  # read once: another thread may ask another question
            if last is None or last[0] is not q:
                self.check()
                last = self._last_M = q, closed_form.pooled_jacobian(self.vqa, self.F, q)
            return last[1]
        if self._M is None:
            self._M = product(factors)
        return self._M

    @evaluated
    def gated_maps(self, g: Tensor, order: Tensor, q: Tensor) -> Tensor:
        """The maps of every n before the ReLU, (J, h, w): Σ over the first n neurons of ``order`` of g_j Σ_k M_jk F^k.

        Where M's factors are narrower than M itself, M is not formed: the running sum is taken over the first factor,
        and the others are multiplied with the maps once per image.
        """
        factors = self.factors(q)
        if self._M is None and factors and factors[0].shape[1] < self.F.shape[1]:
            raw = closed_form.weights(g, factors[0], order) @ self._cells
            return closed_form.checked(raw.view(-1, *self.F.shape[2:]))
        return closed_form.maps(closed_form.weights(g, self.M(q), order), self.F)

    @cached_property
    def _cells(self) -> Tensor:
        return product(self._factors[1:]) @ self.F[0].flatten(1)

    @evaluated
    def apply_jacobian(self, rows: Tensor, q: Tensor) -> Tensor:
        """rows (N, J) times M, (N, K): α (Eq. 1) of N gates, each a row of g with zeros outside of its set (§3.3).

        A few rows are multiplied with M's factors, which costs less than forming M. Errors as :meth:`M`.
        """
        few = 8 * len(rows) <= rows.shape[1]
        if self._M is None and few and (factors := self.factors(q)):
            for factor in factors:
                rows = rows @ factor
            return rows
        return rows @ self.M(q)


View = EncodedImage  # its earlier, shorter name


def _check_sizes(vqa: VQA, A: Tensor, y: Tensor) -> None:
    expected = (vqa.combine,), (len(vqa.answers),)
    if (A.shape, y.shape) != expected:
        raise QGCError(f"this model gives a combine layer {tuple(A.shape)} and scores {tuple(y.shape)}, but its "
                       f"combine and answers say {expected[0]} and {expected[1]}; make these agree")  # fmt: skip


def _check_maps(vqa: VQA, F: Tensor) -> None:
    if isinstance(F, Tensor) and F.ndim == 4 and len(F) == 1 and F.numel() and F.layout == torch.strided:
        if (F.dtype, F.device) == (vqa.dtype, vqa.device):
            return
    what = f"{tuple(F.shape)}, {F.dtype} on {F.device}" if isinstance(F, Tensor) else f"a {type(F).__name__}"
    raise QGCError(f"F is {what}; it must be (1, K, h, w) in the model's number type and on its device, "
                   f"{vqa.dtype} on {vqa.device}")  # fmt: skip


class Explanation:
    """One (image, question, answer) explained; made by :func:`explain`.

    Attributes
    ----------
    question, answer : what is explained. predicted : the answer that the model gives.
    u, v, A : (J,) question branch, image branch, combine layer. y : (answers,) scores.
    c : (J,) ∂y_a/∂A_j = Wo[a, j].
    g : (J,) ∂y_a/∂v_j = Wo[a, j] u_j, what carries the question into the map (book/gate.ipynb).
    F : (1, K, h, w) the maps that Grad-CAM weights.
    scores : (J,) what the neurons are ranked by; sensitivity unless another ranking was asked for.
    order : (J,) neurons from first to last in that ranking.
    """

    @torch.no_grad()
    def __init__(
        self, view: EncodedImage, question: str, answer: str | None, rank: str | Tensor, reduce: str,
        q: Tensor | None = None,
    ):  # fmt: skip
        vqa = view.vqa
        sensitivity.check_reduction(reduce)
        self.vqa, self.view, self.question, self.reduce = vqa, view, question, reduce
        with evaluating(vqa):
            self._explain(answer, rank, q)

    def _explain(self, answer: str | None, rank: str | Tensor, q: Tensor | None) -> None:
        vqa, view = self.vqa, self.view
        # Forward pass: from question and image to the answer.
        self.q = vqa.encode(self.question) if q is None else q
        u, v = view.branches(self.q)
        self.u, self.v, self.A = u[0], v[0], (u * v)[0]
        self.y = vqa.classify(u * v)[0]
        _check_sizes(vqa, self.A, self.y)
        vqa.check_scores(self.y)
        self.probabilities = self.y.softmax(0)
        self.predicted = vqa.answers[int(self.y.argmax())]
        self.answer = self.predicted if answer is None else vqa.answers[vqa.answer_index(answer)]
        self._a = vqa.answers.index(self.answer)
        # Backward pass, as far as it needs no map: the score's gradient at the combine layer, and g, M's weights.
        self.c = self._score_gradient(self.A)
        self.g = self.c * self.u
        # The order in which the gate keeps neurons.
        if isinstance(rank, str):
            self.rank = rank
            self.scores = rankings.scores(rank, self)
        else:
            self.rank, self.scores = "given", self._check_scores(rank)
        if not (is_finite(self.g) and is_finite(self.scores)):
            raise WeightsError("the gradients of this model's answer are not finite; load the model with "
                               "dtype=torch.float32 or float64, and if they still are not, train it again")  # fmt: skip
        self.order = gates.ranking(self.scores)

    # -- the image and the numbers ----------------------------------------------------------------
    @property
    def image(self):
        """The image, as a PIL image."""
        return self.view.image

    @property
    def F(self) -> Tensor:
        """Maps of the last convolution (1, K, h, w)."""
        return self.view.F

    @property
    def confidence(self) -> float:
        """The model's probability of the explained answer."""
        return float(self.probabilities[self._a])

    @property
    def ranked_by(self) -> str:
        """What ``scores`` are, in words for a figure."""
        return {rankings.DEFAULT: f"∂A/∂q ({self.reduce})", "given": "score"}.get(self.rank, self.rank)

    @cached_property
    def sensitivity(self) -> Tensor:
        """∂A/∂q reduced to one number per combine neuron (J,), paper §3.2."""
        if "order" in vars(self):  # first needed after construction, when the weights may have changed
            self.view.check()
        with torch.no_grad():
            return sensitivity.sensitivity(self.vqa, self.F, self.q, self.u[None], self.v[None], self.reduce).detach()

    @cached_property
    def M(self) -> Tensor:
        """The pooled Jacobian (J, K) of book/gate.ipynb; WeightsError if the model's weights have changed."""
        return self.view.M(self.q)

    def top(self, k: int | None = None) -> pd.DataFrame:
        """The k (None: 10) first combine neurons and their values, as the paper's Tables 1–4; GateError on a bad k."""
        first = self.order[: 10 if k is None else gates.check_n(k, len(self.order))].cpu()
        values = self.scores.cpu()[first]
        rank = pd.RangeIndex(1, len(first) + 1, name="rank")
        return pd.DataFrame({"index": first.numpy(), "value": values.double().numpy()}, index=rank)

    # -- maps -------------------------------------------------------------------------------------
    @evaluated
    def map(self, n: int | None = None, *, neurons: Iterable[int] | None = None, relu: bool = True) -> Tensor:
        """The map (h, w) with the gradient gated to the top n neurons (paper §3.3), or to ``neurons``.

        ``n=None`` is all of them, the original Grad-CAM (Eq. 1–2). Not normalised.

        Raises
        ------
        GateError
            If n is out of range, or both n and ``neurons`` are given, or ``neurons`` is empty.
        WeightsError
            If the model's weights have changed since then, or the map's numbers are not finite.
        """
        if neurons is None:
            return self.maps([self.vqa.combine if n is None else n], relu=relu)[0]
        if n is not None:
            raise GateError("give either n or neurons, not both")
        keep = gates.check_indices(neurons, self.vqa.combine).to(self.g.device)
        alpha = self.g[keep] @ self.M[keep]
        raw = closed_form.maps(alpha[None], self.F)[0]
        return raw.relu() if relu else raw

    @evaluated
    def maps(self, ns: Sequence[int] | None = None, *, relu: bool = True) -> Tensor:
        """Maps (len(ns), h, w) for several n, or for every n from 1 to J, (J, h, w), from one pass (Eq. 1–2, §3.3).

        Raises
        ------
        GateError, WeightsError
            As :meth:`map`.
        """
        if ns is None:
            raw = self._all_maps
        elif not isinstance(ns, Iterable) or getattr(ns, "ndim", 1) == 0:  # not of a tensor of one number
            raise GateError(f"maps takes a list of n, such as [10, 25, 1024], not {shown(ns)}; map(n) gives one map")
        else:
            alpha = self.view.apply_jacobian(gates.top(self.order, list(ns)).to(self.g) * self.g, self.q)
            raw = closed_form.maps(alpha, self.F)
        return raw.relu() if relu else raw.clone()  # a copy: the caller may change it in place, the cached maps not

    @cached_property
    def _all_maps(self) -> Tensor:
        return self.view.gated_maps(self.g, self.order, self.q)

    def _score_gradient(self, A: Tensor) -> Tensor:
        """∂y_a/∂A (J,); for a linear classifier it is the row Wo[a]."""
        A = A.detach().requires_grad_()
        with torch.enable_grad():
            y = self.vqa.classify(A[None])[0, self._a]
        return torch.autograd.grad(y, A)[0]

    def _check_scores(self, scores) -> Tensor:
        # The caller's own scores (J,), as a copy: theirs may change later.
        try:
            scores = scores.detach() if isinstance(scores, Tensor) else torch.from_numpy(np.array(scores))
            real = not scores.is_complex()  # the conversion would silently drop imaginary parts
            scores = scores.to_dense().to(self.g, copy=True) if real else torch.empty(0)
        except (TypeError, ValueError, RuntimeError):
            scores = torch.empty(0)
        if scores.shape != self.g.shape or not torch.isfinite(scores).all():
            raise GateError(f"a ranking needs one finite real score per combine neuron, shape ({len(self.g)},)")
        return scores

    def __repr__(self) -> str:
        return (
            f"<Explanation {self.question!r} → {self.answer!r} ({self.confidence:.0%}"
            + ("" if self.answer == self.predicted else f"; the model says {self.predicted!r}")
            + ")>"
        )


def explain(vqa, image, question, answer=None, *, rank="sensitivity", reduce: str = "l2"):
    """Explain an answer: Grad-CAM for every n of the paper's gate (Eq. 1–2, §3.2–3.3).

    The model is explained in evaluation mode and in its own number type; afterwards it is in the mode that it was in.

    Parameters
    ----------
    vqa : a model from :func:`qgc.load`, or one of your own (:class:`qgc.models.VQA`).
    image : a scene, PIL image, path, array or tensor; or a :class:`EncodedImage`, to reuse an image's work.
    question : a question, or a list of them; a list gives a list, and the image's work is done once.
    answer : the answer to explain (a list for a list of questions); None is the predicted one.
    rank : ``"sensitivity"`` (the paper's ∂A/∂q, by ``reduce``), another of :data:`qgc.explain.RANKINGS` (``"|g|"``), or
        scores (J,) of your own, highest first.
    reduce : how ∂A/∂q becomes one number per neuron: ``"l2"``, ``"sum"`` or ``"abs-sum"``.

    Raises
    ------
    ImageError, QuestionError, AnswerError, GateError
        On bad input; each message says what to do.
    WeightsError
        If the scores or gradients are not finite, or the EncodedImage's model has other weights by now.
    """
    view = image if isinstance(image, EncodedImage) else EncodedImage(vqa, image)
    if view.vqa is not vqa:
        raise ImageError("this EncodedImage was made with another model; make one with EncodedImage(vqa, image), or "
                         "give its own model, view.vqa")  # fmt: skip
    if view is image:  # it may be older than the model's weights; a new one cannot be
        view.check()
    if isinstance(question, str):
        return Explanation(view, question, answer, rank, reduce)
    if not _is_list(question):
        raise QuestionError(f"a question must be text, or a list of texts, not {type(question).__name__}")
    questions = list(question)
    if not (answer is None or isinstance(answer, str) or _is_list(answer)):
        raise AnswerError(f"the answers to a list of questions must be a list in the same order, one text for all, or "
                          f"None, not {type(answer).__name__}")  # fmt: skip
    answers = list(answer) if _is_list(answer) else [answer] * len(questions)
    if len(answers) != len(questions):
        raise AnswerError(f"{len(questions)} questions but {len(answers)} answers; give one answer for each, or None")
    if not questions:
        return []
    # All questions go through the encoder in one batch; each of them then has its own explanation.
    with torch.no_grad(), evaluating(vqa):
        encoded = vqa.encode_all(questions).split(1)
    rows = zip(questions, answers, encoded, strict=True)
    return [Explanation(view, question, a, rank, reduce, q) for question, a, q in rows]


def _is_list(given) -> bool:
    # Several values with an order of their own: a list, tuple, array, column, generator, …
    if isinstance(given, (str, *gates.BYTES, set, frozenset, Mapping)) or getattr(given, "ndim", 1) == 0:
        return False
    return isinstance(given, Iterable)


@torch.no_grad()
def maps_of(explanations: Sequence[Explanation], ns: Sequence[int], *, relu: bool = True) -> Tensor:
    """Maps (N, len(ns), h, w) of several questions about one image, each at several n (Eq. 1–2, paper §3.3).

    The same as every explanation's :meth:`Explanation.maps`, but all rows are multiplied with M's factors together.

    Raises
    ------
    GateError
        If there is no explanation, they belong to different images, or an n is out of range.
    """
    if len({id(e.view) for e in explanations}) != 1:
        raise GateError("maps_of takes explanations of one EncodedImage: give explain a list of questions")
    view, J = explanations[0].view, explanations[0].vqa.combine
    with evaluating(view.vqa):
        rows = torch.stack([gates.top(e.order, list(ns)).to(e.g) * e.g for e in explanations])
        if view.factors(explanations[0].q) is not None:  # M is the same for all questions
            alpha = view.apply_jacobian(rows.view(-1, J), explanations[0].q)
        else:
            alpha = torch.cat([view.apply_jacobian(r, e.q) for r, e in zip(rows, explanations, strict=True)])
        raw = closed_form.maps(alpha, view.F).view(len(explanations), -1, *view.F.shape[2:])
    return raw.relu() if relu else raw


def normalised(map_: Tensor | np.ndarray) -> np.ndarray:
    """A map divided by its largest value, for display only; an empty map (all zero) stays zero.

    Warns when the map is empty: nothing in it was positive, so there is nothing to show.

    Raises
    ------
    GateError
        If the map holds numbers that are not finite.
    """
    values = np.asarray(map_.detach().cpu().double() if isinstance(map_, Tensor) else map_, dtype=float)
    if not np.isfinite(values).all():
        raise GateError("this map holds numbers that are not finite, so it cannot be shown; explain again with finite "
                        "weights, in float32 or float64")  # fmt: skip
    top = values.max(initial=0)
    if top <= 0:
        warnings.warn("this map is empty: no cell is positive, so nothing is shown; try another n", stacklevel=2)
        return np.zeros_like(values)
    return np.clip(values, 0, None) / top
