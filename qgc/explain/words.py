"""∂A/∂w: how much each combine neuron changes with one word of the question (paper §5, book/future-work.ipynb).

The paper leaves it to future work. The chain rule takes ∂A/∂q on through the question encoder, to the
embedding w_t of the word at position t:

    ∂A_j/∂w_t = Σ_i ∂A_j/∂q_i ∂q_i/∂w_t

In the Deeper LSTM ∂A_j/∂q is v_j (1 − u_j²) Wq[j, :]. So the row of neuron j is the factor v_j (1 − u_j²), which
all words share, times Wq[j, :] ∂q/∂w_t, which no image changes.
"""

from __future__ import annotations

import threading
from functools import cached_property

import pandas as pd
import torch
from torch import Tensor, nn

from ..errors import QuestionError, WeightsError
from ..models.evaluation import ModelBound, evaluated, evaluating
from . import sensitivity
from .explanation import EncodedImage, check_model

_CUDNN = threading.Lock()

# Words that questions are built with and that name nothing in the image ("color" is the one the paper names).
FRAME = frozenset(
    "a an the this that these those it is are was were be am there here what which where who whose how why when do "
    "does did doing looking you see can could me tell please if in on of at to from with and or her his its their my "
    "your our color colour picture image photo way direction".split()
)


class Words(ModelBound):
    """What a model computes of one question's words, shared by all images (paper §5).

    >>> words = Words(vqa, "What color is the wall?")     # the question's work, done once
    >>> view = qgc.EncodedImage(vqa, scene)
    >>> words.shares(view)                                # how much of ∂A/∂w each word has
    >>> by_wall = words.sensitivity(view)[words.content]  # (1024,), a ranking:
    >>> qgc.explain(vqa, view, words.question, rank=by_wall)

    Attributes
    ----------
    question : as given. tokens : its T words as the model reads them. q : (1, Q) question embedding.

    Raises
    ------
    QuestionError
        If the question cannot be used.
    """

    @torch.no_grad()
    def __init__(self, vqa, question: str):
        check_model(vqa)
        self.vqa, self.question = vqa, question
        self.tokens = vqa.vocabulary.tokens(question)
        with evaluating(vqa):
            self.q = vqa.encode(question)
            self.mark()
        self._constants: dict[str, Tensor] = {}

    @property
    def content(self) -> int:
        """Position of the content word (paper §5: "such as the word embedding for 'wall'").

        The rule: the last word that is not in :data:`FRAME`. It uses neither the model nor any number.

        Raises
        ------
        QuestionError
            If every word is.
        """
        named = [t for t, word in enumerate(self.tokens) if word not in FRAME]
        if not named:
            raise QuestionError(
                f"no word of {self.question!r} names an object; choose a row of sensitivity(view) by its position"
            )
        return named[-1]

    @cached_property
    def question_jacobian(self) -> Tensor:
        """∂q/∂w (Q, T, E) of paper §5: rows are the numbers of q, columns the words and their embedding."""
        return question_jacobian(self.vqa, self.question)

    @evaluated
    @torch.no_grad()
    def jacobian(self, view: EncodedImage) -> Tensor:
        """∂A/∂w (J, T, E) of paper §5, by the chain rule ∂A/∂q ∂q/∂w."""
        self._check(view)
        closed = self._closed(view)
        if closed is None:
            return self._chain(sensitivity.jacobian(self.vqa, view.F, self.q))
        factor, rows = closed
        return factor[:, None, None] * self._chain(rows)

    @evaluated
    @torch.no_grad()
    def sensitivity(self, view: EncodedImage, reduce: str = "l2") -> Tensor:
        """∂A/∂w reduced to one number per word and combine neuron, (T, J), as §3.2 does with ∂A/∂q (paper §5).

        Raises
        ------
        GateError
            If ``reduce`` is none of :data:`qgc.explain.REDUCTIONS`.
        WeightsError
            If ``view`` is of another model, or the model's weights are no longer those that read the question.
        """
        sensitivity.check_reduction(reduce)
        self._check(view)
        closed = self._closed(view)
        if closed is None:
            return _reduced(self.jacobian(view), reduce)
        factor, rows = closed
        if reduce not in self._constants:
            self._constants[reduce] = _reduced(self._chain(rows), reduce)
        return sensitivity.reduce_product(factor, rows, (reduce,), self._constants)[reduce]

    def shares(self, view: EncodedImage, reduce: str = "l2") -> pd.Series:
        """Each word's share of ∂A/∂w (paper §5), adding up to 1: the length of its (J,) vector over the sum of all."""
        totals = torch.linalg.vector_norm(self.sensitivity(view, reduce), dim=1)
        values = (totals / totals.sum()).cpu().double().numpy()
        return pd.Series(values, index=pd.Index(self.tokens, name="word"), name="share of ∂A/∂w")

    def _check(self, view: EncodedImage) -> None:
        if view.vqa is not self.vqa:
            raise WeightsError("these words were read by another model than the image; make both with one model")
        if not self.is_current:
            raise WeightsError("the model's weights have changed since it read these words; make them again: "
                               "Words(vqa, question)")  # fmt: skip

    def _closed(self, view: EncodedImage) -> tuple[Tensor, Tensor] | None:
        # ∂A/∂q as a factor (J,) and rows (J, Q), where the model has this closed form
        u, v = view.branches(self.q)
        return self.vqa.sensitivity_jacobian(u[0], v[0])

    def _chain(self, rows: Tensor) -> Tensor:
        # (J, Q) times (Q, T, E)
        inner = self.question_jacobian
        return (rows @ inner.flatten(1)).view(len(rows), *inner.shape[1:])


@evaluated
def question_jacobian(vqa, question: str, chunk: int = 256) -> Tensor:
    """∂q/∂w (Q, T, E) of paper §5, by automatic differentiation.

    A batch of ``chunk`` copies of the question goes through the encoder, and the gradient of q_i is taken through copy
    i: for an LSTM a batch is faster than a vectorised backward pass.

    w is what ``vqa.embed`` returns (in the Deeper LSTM after its tanh), and ``vqa.encode_words`` does the rest.
    For a model without these it is what the model looks up in its ``nn.Embedding``.

    Raises
    ------
    QuestionError
        If the question cannot be used, or the model looks its words up in no single table.
    """
    tokens = vqa.vocabulary.encode(question, quiet=True)[None].to(vqa.device)
    with torch.no_grad():
        size = vqa.encode_tokens(tokens, torch.tensor([tokens.shape[1]])).shape[1]
    rows = []
    for start in range(0, size, chunk):
        index = torch.arange(start, min(start + chunk, size), device=tokens.device)
        lengths = torch.full((len(index),), tokens.shape[1])
        # cuDNN has no gradients in evaluation mode; its switch is one for all threads
        with _CUDNN, torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            w, q = _embedded(vqa, tokens.expand(len(index), -1), lengths)
            own = q.gather(1, index[:, None]).sum()
        rows.append(torch.autograd.grad(own, w)[0])
    return torch.cat(rows)


def _embedded(vqa, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    # The word embeddings w (B, T, E), as the start of a graph, and q (B, Q) as their function.
    w = vqa.embed(tokens)
    if w is not None:
        w = w.detach().requires_grad_()
        q = vqa.encode_words(w, lengths)
        if q is not None:
            return w, q
    embedded: list[Tensor] = []
    thread = threading.get_ident()

    def start_here(module, inputs, output):
        if threading.get_ident() != thread:  # another thread asks the same model
            return output
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    hooks = [m.register_forward_hook(start_here) for m in vqa.modules() if isinstance(m, nn.Embedding)]
    try:
        q = vqa.encode_tokens(tokens, lengths)
    finally:
        for hook in hooks:
            hook.remove()
    if len(embedded) != 1:
        raise QuestionError("this model looks words up in no single nn.Embedding; give it embed and encode_words")
    return embedded[0], q


def _reduced(jacobian: Tensor, reduce: str) -> Tensor:
    # (J, T, E) to (T, J)
    J, T, E = jacobian.shape
    return sensitivity.reduce_rows(jacobian.reshape(J * T, E), reduce).view(J, T).T
