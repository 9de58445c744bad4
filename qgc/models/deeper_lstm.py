"""Deeper LSTM + normalized CNN (Antol et al. 2015), the model of the paper's experiments.

q = [c1, h1, c2, h2]   both LSTM layers' cell and hidden states after the last word
u = tanh(Wq q + bq)    question branch
v = tanh(Wi f/‖f‖ + bi)  image branch, f = fc7 of the CNN
A = u ∘ v              the combine layer
y = Wo A + bo          answer scores
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from . import backbones
from .backbones import SCENES, BackboneConfig
from .jacobian import jacobian
from .text import Vocabulary
from .vqa import VQA


class ImageState(NamedTuple):
    """What is computed of one image's maps: ``head`` by the CNN (f, and what is computed before it), and v (1, J)."""

    head: NamedTuple
    v: Tensor


@dataclass(frozen=True)
class DeeperLSTMConfig:
    """Sizes of a Deeper LSTM + normalized CNN; the defaults are the scene-sized version.

    ``tokens`` is how questions are cut into ``words``, ``longest`` the vocabulary's ``max_tokens``
    (:class:`qgc.models.text.Vocabulary`); stored cards have it under that name.
    """

    words: tuple[str, ...]
    answers: tuple[str, ...]
    embedding: int = 64
    hidden: int = 128
    combine: int = 1024
    longest: int = 26
    dropout: float = 0.5
    tokens: str = "plain"
    cnn: BackboneConfig = field(default=SCENES)

    def as_dict(self) -> dict:
        """Plain data, for the header of a weights file."""
        return asdict(self)


def full_size(words, answers, cnn: str = "vgg19") -> DeeperLSTMConfig:
    """The configuration of the paper: VGG-19, embedding 200, 2×512 LSTM, 1000 answers.

    ``cnn`` may name another backbone (:func:`qgc.models.backbones.named`); the published weights want
    ``"vgg19-caffe"``.

    Raises
    ------
    WeightsError
        If there is no backbone of that name.
    """
    return DeeperLSTMConfig(tuple(words), tuple(answers), embedding=200, hidden=512, cnn=backbones.named(cnn))


class DeeperLSTM(VQA):
    """The model; see the module's docstring for the equations and book/model.ipynb for the recipe."""

    reads_cells = False

    def __init__(self, config: DeeperLSTMConfig):
        super().__init__()
        self.config = config
        self.vocabulary = Vocabulary(config.words, config.longest, config.tokens)
        self.answers = list(config.answers)
        self.combine = config.combine
        self.cnn = backbones.build(config.cnn)
        self.embedding = nn.Embedding(len(self.vocabulary), config.embedding, padding_idx=0)
        self.lstm = nn.LSTM(config.embedding, config.hidden, num_layers=2, batch_first=True, dropout=config.dropout)
        self.question = nn.Linear(4 * config.hidden, config.combine)  # Wq, bq
        self.image = nn.Linear(self.cnn.width, config.combine)  # Wi, bi
        self.output = nn.Linear(config.combine, len(self.answers))  # Wo, bo
        self.drop = nn.Dropout(config.dropout)

    def conv(self, x: Tensor) -> Tensor:
        """Maps F (B, K, h, w) of the CNN's last convolution."""
        return self.cnn(x)

    def embed(self, tokens: Tensor) -> Tensor:
        """Word embeddings w = tanh(embedding) (B, T, E)."""
        return self.embedding(tokens).tanh()

    def encode_words(self, w: Tensor, lengths: Tensor) -> Tensor:
        """q = [c1, h1, c2, h2] (B, 4·hidden) of word embeddings (B, T, E)."""
        packed = nn.utils.rnn.pack_padded_sequence(self.drop(w), lengths.cpu(), True, enforce_sorted=False)
        _, (h, c) = self.lstm(packed)
        return torch.cat([c[0], h[0], c[1], h[1]], 1)

    def question_branch(self, q: Tensor) -> Tensor:
        """u = tanh(Wq q + bq), (B, J)."""
        return self.question(self.drop(q)).tanh()

    def image_branch(self, f: Tensor) -> Tensor:
        """v = tanh(Wi f/‖f‖ + bi), (B, J), from the CNN's global feature f."""
        return self.image(self.drop(nn.functional.normalize(f, dim=1))).tanh()

    def branches(self, F: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """u of the question alone and v of the image alone, (B, J) each."""
        return self.question_branch(q), self.image_branch(self.cnn.feature(F))

    def classify(self, A: Tensor) -> Tensor:
        """y = Wo A + bo, (B, answers)."""
        return self.output(self.drop(A))

    # -- closed forms -----------------------------------------------------------------------------
    @torch.no_grad()
    def image_state(self, F: Tensor) -> ImageState:
        """The CNN's head and v: one forward pass through them, for :meth:`jacobian_factors`."""
        head = self.cnn.head(F)
        return ImageState(head, self.image_branch(head.f))

    @torch.no_grad()
    def jacobian_factors(self, F: Tensor, state: ImageState | None = None) -> tuple[Tensor, ...]:
        """M of :meth:`pooled_jacobian` as a product; with VGG, its inner sizes are the active units of fc7 and fc6.

        The chain rule through tanh, Wi and f/‖f‖, then through the CNN's head (its ``slopes``). For a few rows g·M it
        is cheapest to multiply them with the factors and never form M. Where the head has no closed form, M itself
        is the one factor, by vector-Jacobian products.
        """
        head, v = state or self.image_state(F)
        slopes = self.cnn.slopes(F, head)
        if slopes is None:
            return (jacobian(lambda maps: self.image_branch(self.cnn.feature(maps)), F),)
        active, inner = slopes
        f, outer = head.f[0], self.image.weight
        norm = f.norm().clamp_min(1e-12)
        d = f / norm
        if active is not None:  # index_select: three times as fast as weight[:, active]
            d, outer = d[active], outer.index_select(1, active)
        outer = outer - (outer @ d)[:, None] * d  # the derivative of f/‖f‖: no change along f itself
        outer *= ((1 - v[0] ** 2) / (norm * F.shape[2] * F.shape[3]))[:, None]  # tanh's, and the mean over cells
        return (outer, *inner)

    @torch.no_grad()
    def sensitivity_jacobian(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """∂A/∂q as a product: per-neuron factor v_j(1 − u_j²) (J,) and Wq (J, Q) (book/gate.ipynb)."""
        return v * (1 - u**2), self.question.weight

    def layers(self) -> list[tuple[str, list[str]]] | None:
        """Wo; Wq with the question encoder; Wi; fc7 and fc6; then the convolutions, block by block. For VGGs alone."""
        if not isinstance(self.cnn, backbones.VGGLike):
            return None
        convolutions = [f"cnn.features.{i}" for i, m in enumerate(self.cnn.features) if isinstance(m, nn.Conv2d)]
        blocks, used = [], 0
        for number, block in enumerate(self.cnn.config.blocks, 1):
            blocks.append((f"conv{number}", convolutions[used : used + len(block)]))
            used += len(block)
        if convolutions[used:]:
            blocks.append(("detectors", convolutions[used:]))
        head = [("Wo", ["output"]), ("Wq, LSTM", ["question", "lstm", "embedding"]), ("Wi", ["image"])]
        return [*head, ("fc7", ["cnn.fc7"]), ("fc6", ["cnn.fc6"]), *reversed(blocks)]
