"""What every VQA model here is: the same short pipeline (book/how-to-use.ipynb).

x = vqa.prepare(image)                         # (1, 3, H, W) from a PIL image
F = vqa.conv(x)                                # (1, K, h, w): the maps that Grad-CAM weighs
u, v = vqa.branches(F, vqa.encode(question))   # (1, J) each
y = vqa.classify(u * v)                        # (1, answers), before softmax
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import WeightsError
from . import backbones
from .evaluation import evaluated, is_finite
from .text import Vocabulary, answer_index


class VQA(nn.Module):
    """Base of the VQA models: pictures and questions in, answer scores out.

    A subclass sets ``vocabulary``, ``answers`` and ``combine`` (J, the size of the combine layer) and
    defines :meth:`conv`, :meth:`encode_tokens`, :meth:`branches` and :meth:`classify`. It *may*
    define :meth:`pooled_jacobian` and :meth:`sensitivity_jacobian` in closed form; without them
    ``qgc.explain`` falls back on automatic differentiation.
    """

    name: str = ""
    vocabulary: Vocabulary
    answers: list[str]
    combine: int
    trained_on: str = ""

    # -- to be defined ----------------------------------------------------------------------------
    def conv(self, x: Tensor) -> Tensor:
        """Maps F (B, K, h, w) of the last convolution."""
        raise NotImplementedError

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Question embeddings q (B, Q) of padded word indices (B, T)."""
        raise NotImplementedError

    def branches(self, F: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """Question branch u and image branch v, (B, J) each; A = u ∘ v is the combine layer."""
        raise NotImplementedError

    def classify(self, A: Tensor) -> Tensor:
        """Answer scores y (B, answers), before softmax."""
        raise NotImplementedError

    # -- the same for all -------------------------------------------------------------------------
    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def prepare(self, image) -> Tensor:
        """A picture as (1, 3, H, W): squeezed to the model's square, normalised (for Caffe's CNN: B, G, R).

        ``image`` is anything that :func:`qgc.images.open_image` reads. As in the original recipe the
        picture is squeezed, not cropped, so that a map covers all of it.
        """
        return self.normalise(backbones.prepare(image, self.cnn.config)[None].to(self.device))

    def normalise(self, pixels: Tensor) -> Tensor:
        """RGB bytes (B, 3, H, W) as the CNN wants them."""
        return backbones.normalise(pixels, self.cnn.config, self.dtype)

    def colours(self, x: Tensor) -> Tensor:
        """What the CNN is handed, or its gradient (…, 3, H, W), with its channels in the order red, green, blue."""
        return x.flip(-3) if self.cnn.config.bgr else x

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
        """The most probable answer and its probability, in evaluation mode.

        Raises
        ------
        ImageError, QuestionError
            If the picture or the question cannot be used.
        WeightsError
            If the model's scores are not finite.
        """
        F = self.conv(self.prepare(image))
        u, v = self.branches(F, self.encode(question))
        y = self.classify(u * v)
        self.check_scores(y)
        p = y.softmax(1)[0]
        best = int(p.argmax())
        return self.answers[best], float(p[best])
