"""The contract of a model: what every VQA model here provides, and what it may provide (book/how-to-use.ipynb).

x = vqa.prepare(image)                         # (1, 3, H, W) from a PIL image
F = vqa.conv(x)                                # (1, K, h, w): the maps that Grad-CAM weighs
u, v = vqa.branches(F, vqa.encode(question))   # (1, J) each
y = vqa.classify(u * v)                        # (1, answers), before softmax
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import QGCError, WeightsError
from . import backbones
from .evaluation import evaluated, is_finite
from .jacobian import product
from .text import Vocabulary, answer_index

CLOSED = ("question_branch", "image_state", "jacobian_factors", "pooled_jacobian", "question_pooled_jacobian",
          "sensitivity_jacobian")  # fmt: skip
"""Optional methods that hold for A = u ∘ v alone."""


class VQA(nn.Module):
    """Base of the VQA models: images and questions in, answer scores out.

    **Needed.** A subclass sets ``vocabulary``, ``answers`` and ``combine`` (J, the size of the combine layer) and
    defines :meth:`conv`, :meth:`encode_tokens`, :meth:`branches` and :meth:`classify`. Its CNN is ``cnn``, one of
    :mod:`qgc.models.backbones`; with a CNN of another kind it defines :meth:`prepare` as well. ``qgc.explain`` needs
    no more: it takes every derivative by automatic differentiation.

    **Optional.** A model may know some of these derivatives in closed form, or have a part that others lack. Each such
    method is declared below with its equation and shapes, and returns None here. None means that this model does not
    have it: then automatic differentiation takes its place, or what needs the part is omitted. Any of them can be
    defined without the others.

    ===================================  ======================================  ======================================
    optional method                      what it gives                           without it
    ===================================  ======================================  ======================================
    :meth:`question_branch`              u from the question alone               image and question go through together
    :meth:`image_state`                  v, and what M is made of besides        v by :meth:`branches`
    :meth:`jacobian_factors`             M as a product of narrow matrices       M as a whole
    :meth:`pooled_jacobian`              M, where no question changes it         vector-Jacobian products
    :meth:`question_pooled_jacobian`     M of an image and a question            vector-Jacobian products
    :meth:`sensitivity_jacobian`         ∂A/∂q, as a factor times constant rows  vector-Jacobian products
    :meth:`embed`, :meth:`encode_words`  the question encoder in two steps       ∂A/∂w at its one ``nn.Embedding``
    :meth:`attention`                    how much each cell is attended to       no attention map
    :meth:`attentions`                   the attention of every layer            no rollout, no relevance
    :meth:`layers`                       its modules, from output to input       no cascade in the randomisation test
    :attr:`reads_cells` = False          v needs only f, the CNN's feature       training stores the maps F
    ===================================  ======================================  ======================================
    """

    name: str = ""
    vocabulary: Vocabulary
    answers: list[str]
    combine: int
    cnn: nn.Module
    trained_on: str = ""
    reads_cells: bool = True
    """Whether v needs the cells of F; False where the CNN's global feature f, stored once per photograph, is enough."""

    def __init_subclass__(cls, **kwargs):
        # With a fusion of its own, A takes the place of v, and 1 that of u: A = u ∘ v again, for all that relies on it.
        super().__init_subclass__(**kwargs)
        if cls.fuse is not VQA.fuse and not hasattr(cls.branches, "fuses"):
            cls.branches = _fusing(cls.branches)

    # -- needed -----------------------------------------------------------------------------------
    def conv(self, x: Tensor) -> Tensor:
        """Maps F (B, K, h, w) of the last convolution, of what :meth:`prepare` gives (B, 3, H, W)."""
        raise self._lacks("conv(x)")

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Question embeddings q (B, Q) of word indices (B, T), padded with 0, and lengths (B,), which are on the CPU.

        A model that defines :meth:`embed` and :meth:`encode_words` has it from them.
        """
        w = self.embed(tokens)
        q = None if w is None else self.encode_words(w, lengths)
        if q is None:
            raise self._lacks("encode_tokens(tokens, lengths)")
        return q

    def branches(self, F: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Question branch u and image branch v, (B, J) each; A = u ∘ v is the combine layer.

        One image's maps F (1, K, h, w) may have several questions q (B, Q); v may then be (1, J).
        """
        raise self._lacks("branches(F, q)")

    def fuse(self, u: Tensor, v: Tensor) -> Tensor:
        """The combine layer A (B, J) of u and v: their product, unless a model defines another, such as their sum.

        Then ``branches`` gives ones and A to whoever calls it, so that their product is A (as in
        :mod:`qgc.models.fusions.joint`), and all derivatives are taken by automatic differentiation.
        """
        return u * v

    def classify(self, A: Tensor) -> Tensor:
        """Answer scores y (B, answers), before softmax, of the combine layer A (B, J)."""
        raise self._lacks("classify(A)")

    def _lacks(self, what: str) -> QGCError:
        return QGCError(f"{type(self).__name__} lacks {what}; a model needs vocabulary, answers, combine, conv, "
                        "encode_tokens, branches and classify: see help(qgc.models.VQA)")  # fmt: skip

    def check_contract(self) -> None:
        """QGCError unless all that a model needs is there; the message names what is missing."""
        for name in ("vocabulary", "answers", "combine"):
            if getattr(self, name, None) is None:
                raise self._lacks(name)
        kind = type(self)
        if not isinstance(self.answers, list | tuple):
            raise QGCError(f"{kind.__name__}.answers is a {type(self.answers).__name__}; make it a list in the order "
                           "of the scores, of an id2label: [id2label[i] for i in range(len(id2label))]")  # fmt: skip
        if kind.fuse is not VQA.fuse and (known := [n for n in CLOSED if getattr(kind, n) is not getattr(VQA, n)]):
            raise QGCError(f"{kind.__name__} defines fuse, but its {', '.join(known)} hold for A = u ∘ v alone; derive "
                           "it from qgc.models.VQA, and do without them")  # fmt: skip

    # -- optional: None, unless the model has it --------------------------------------------------
    def question_branch(self, q: Tensor) -> Tensor | None:
        """u (B, J) of question embeddings q (B, Q), where it needs no image *and* v needs no question.

        To define it is to declare both: v and M are then computed once per image, for all questions about it.
        """

    def image_state(self, F: Tensor) -> Any | None:
        """What is computed once of an image's maps F (1, K, h, w): an object with ``v`` (1, J), the image branch.

        Called once; the result is stored with the image and given to :meth:`jacobian_factors`, so that nothing before
        v is computed twice. ``v`` itself is used where there is a :meth:`question_branch`.
        """

    def jacobian_factors(self, F: Tensor, state: Any | None = None) -> tuple[Tensor, ...] | None:
        """M of :meth:`pooled_jacobian` as matrices (J, a), (a, b), …, (z, K), of which it is the product.

        For a few gates, or where a is smaller than K, it is cheaper to multiply by these than to form M. ``state`` is
        what :meth:`image_state` gave; a model without that method need not take it.
        """

    def pooled_jacobian(self, F: Tensor) -> Tensor | None:
        """M (J, K) with M_jk = (1/Z) Σ_ij ∂v_j/∂F^k_ij, of an image F (1, K, h, w) for all questions (book/gate.ipynb).

        By default the product of :meth:`jacobian_factors`, where there are any.
        """
        factors = self.jacobian_factors(F)
        return None if factors is None else product(factors)

    def question_pooled_jacobian(self, F: Tensor, q: Tensor) -> Tensor | None:
        """M (J, K) of :meth:`pooled_jacobian` for a model whose v sees the question: of F (1, K, h, w) and q (1, Q)."""

    def sensitivity_jacobian(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor] | None:
        """∂A/∂q (paper §3.2) as a factor (…, J) of u and v (…, J), times rows (J, Q) that depend on neither.

        Row j of ∂A/∂q is factor_j rows_j. So u must be a function, entry by entry, of a linear layer of q: for
        u = tanh(Wq q + bq) the factor is v (1 − u²) and the rows are Wq.
        """

    def embed(self, tokens: Tensor) -> Tensor | None:
        """Word embeddings w (B, T, E) of word indices (B, T), with respect to which ∂A/∂w is taken (paper §5)."""

    def encode_words(self, w: Tensor, lengths: Tensor) -> Tensor | None:
        """q (B, Q) of word embeddings w (B, T, E): the rest of :meth:`encode_tokens` after :meth:`embed`."""

    def attention(self, F: Tensor, q: Tensor) -> Tensor | None:
        """How much each cell is attended to, (B, h, w), adding up to 1, for maps F (B or 1, K, h, w) and q (B, Q)."""

    def attentions(self, F: Tensor, q: Tensor) -> tuple[Tensor, list[Tensor]] | None:
        """v (B, J), and each layer's attention (B, heads, tokens, tokens); ``to_cells`` maps the last tokens."""

    def layers(self) -> list[tuple[str, list[str]]] | None:
        """The model from its output to its input, for cascading randomisation (Adebayo et al. 2018).

        Steps of (label, names of the modules in it, as ``get_submodule`` takes them); see book/controls.ipynb.
        """

    # -- the same for all -------------------------------------------------------------------------
    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' number type."""
        return next(self.parameters()).dtype

    @property
    def _input(self) -> backbones.BackboneConfig | None:
        # The input that a backbone of this package expects; None for another CNN.
        return getattr(getattr(self, "cnn", None), "config", None)

    def prepare(self, image) -> Tensor:
        """An image as (1, 3, H, W): squeezed to the model's square, normalised (for Caffe's CNN: B, G, R).

        ``image`` is anything that :func:`qgc.images.open_image` reads. As in the original recipe it is squeezed, not
        cropped, so that a map covers all of it. QGCError for a CNN that is not one of :mod:`qgc.models.backbones`.
        """
        if self._input is None:
            raise QGCError(f"{type(self).__name__} has no cnn from qgc.models.backbones, so it has to define "
                           "prepare(image), which gives its CNN's input (1, 3, H, W)")  # fmt: skip
        return self.normalise(backbones.prepare(image, self._input)[None].to(self.device))

    def normalise(self, pixels: Tensor) -> Tensor:
        """RGB bytes (B, 3, H, W) as the CNN expects them."""
        return backbones.normalise(pixels, self._input, self.dtype)

    def colours(self, x: Tensor) -> Tensor:
        """The CNN's input, or its gradient (…, 3, H, W), with its channels in the order red, green, blue."""
        return x.flip(-3) if self._input is not None and self._input.bgr else x

    def encode(self, question: str) -> Tensor:
        """The question embedding q (1, Q); unknown words are warned about by name."""
        tokens = self.vocabulary.encode(question)[None].to(self.device)
        return self.encode_tokens(tokens, torch.tensor([tokens.shape[1]]))

    def encode_all(self, questions: Sequence[str]) -> Tensor:
        """The question embeddings q (B, Q) of several questions, in one batch."""
        tokens = [self.vocabulary.encode(question) for question in questions]
        lengths = torch.tensor([len(t) for t in tokens])
        return self.encode_tokens(nn.utils.rnn.pad_sequence(tokens, batch_first=True).to(self.device), lengths)

    def answer_index(self, answer: str) -> int:
        """Index of an answer; AnswerError, with the nearest ones, if the model cannot give it."""
        return answer_index(self.answers, answer)

    def check_scores(self, y: Tensor) -> None:
        """WeightsError unless all answer scores (B, answers) are finite."""
        if not is_finite(y):
            raise WeightsError(f"the answer scores of this model in {str(self.dtype).removeprefix('torch.')} are not "
                               "finite; load it with dtype=torch.float32 or float64, and if they still are not, train "
                               "it again: its training diverged")  # fmt: skip

    @evaluated
    @torch.no_grad()
    def ask(self, image, question: str) -> tuple[str, float]:
        """The most probable answer and its probability, in evaluation mode; WeightsError if scores are not finite."""
        y = self._scores(image, question)
        self.check_scores(y)
        p = y.softmax(1)[0]
        best = int(p.argmax())
        return self.answers[best], float(p[best])

    @evaluated
    @torch.no_grad()
    def check(self, image, question: str, scores) -> None:
        """QGCError unless the methods give these ``scores`` (answers,), those of the model's own forward method.

        To be called once with a model of your own: what is explained is what the methods compute.
        """
        y = self._scores(image, question)[0]
        own = torch.as_tensor(scores).detach().to(y).flatten()
        if own.shape != y.shape:
            raise QGCError(f"the methods of {type(self).__name__} give {len(y)} scores, its forward pass {len(own)}")
        if (apart := float((y - own).abs().max())) > 1e-3 * own.abs().max():
            raise QGCError(f"the scores of {type(self).__name__} by its methods and by its forward pass are up to "
                           f"{apart:.2g} apart; its methods must do what forward does in evaluation mode")  # fmt: skip

    def _scores(self, image, question: str) -> Tensor:
        return self.classify(torch.mul(*self.branches(self.conv(self.prepare(image)), self.encode(question))))


def _fusing(branches):
    @wraps(branches)
    def fusing(self, F: Tensor, q: Tensor, *rest) -> tuple[Tensor, Tensor]:
        u, v = branches(self, F, q, *rest)
        A = self.fuse(u, v.expand(len(u), *v.shape[1:]))
        if A.dim() != 2:
            raise QGCError(f"fuse gives {tuple(A.shape)}; pool it to (B, J), or explain the channels of a fusion in "
                           "space or along words by qgc.explain_module, which needs no fuse")  # fmt: skip
        return torch.ones_like(A), A

    fusing.fuses = True
    return fusing
