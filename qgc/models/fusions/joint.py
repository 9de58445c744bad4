"""Models in which the cells of an image meet the question before they are pooled, so that no product follows.

u = 1
v = join(stem(F), q)    of the image's cells, as the question changes them
A = u ∘ v = v           the combine layer

The gate of the paper's §3.3 needs no product: it keeps ∂y_a/∂A_j for some neurons j of the layer in front of the
classifier. With u = 1, g = c ∘ u is c = ∂y_a/∂A itself, and ∂A/∂q is ∂v/∂q: a neuron is sensitive to the question by
what the question does to the image's cells alone. Where the classifier is linear, c is the same for all questions with
one answer; what makes their maps differ is M, which here depends on the question, and which neurons the gate keeps.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from .. import backbones
from ..backbones import SCENES, BackboneConfig
from ..text import Vocabulary
from ..vqa import VQA


@dataclass(frozen=True)
class JointConfig:
    """What all of them have. A subclass adds its own sizes, ``combine`` among them.

    ``scale`` divides the maps F, which are small numbers in the scenes' CNN; ``tokens`` and ``longest`` are the
    vocabulary's (:class:`qgc.models.text.Vocabulary`).
    """

    words: tuple[str, ...]
    answers: tuple[str, ...]
    combine: int = 128
    longest: int = 14
    scale: float = 1.0
    dropout: float = 0.1
    tokens: str = "plain"
    cnn: BackboneConfig = field(default=SCENES)

    def as_dict(self) -> dict:
        """Plain data, for the header of a weights file."""
        return asdict(self)


class JointVQA(VQA):
    """Base of such models. A subclass has ``config`` and defines :meth:`stem`, :meth:`join` and ``own_layers``."""

    def __init__(self, config: JointConfig):
        super().__init__()
        self.config = config
        self.vocabulary = Vocabulary(config.words, config.longest, config.tokens)
        self.answers = list(config.answers)
        self.combine = config.combine
        self.cnn = backbones.build(config.cnn)

    def stem(self, F: Tensor) -> Tensor:
        """What is computed of the maps F (B, K, h, w) before they meet the question, (B, …): once for all questions."""
        raise self._lacks("stem(F)")

    def join(self, x: Tensor, q: Tensor) -> Tensor:
        """v (B, J), of what :meth:`stem` gives (B, …) and question embeddings q (B, Q)."""
        raise self._lacks("join(x, q)")

    def own_layers(self) -> list[tuple[str, list[str]]]:
        """The steps of :meth:`layers` after the CNN, from the output on."""
        raise self._lacks("own_layers()")

    def conv(self, x: Tensor) -> Tensor:
        """Maps F (B, K, h, w) of the CNN's last convolution."""
        return self.cnn(x)

    def branches(self, F: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """u = 1 and v, (B, J) each; one image F (1, K, h, w) may have many questions q (B, Q)."""
        x = self.stem(F)
        v = self.join(x.expand(len(q), *x.shape[1:]), q)
        return torch.ones_like(v), v

    def layers(self) -> list[tuple[str, list[str]]]:
        """The model's own layers from its output on, then the CNN's convolutions, one a step."""
        convolutions = [f"cnn.{name}" for name, m in self.cnn.named_modules() if isinstance(m, nn.Conv2d)]
        steps = [(f"convolution {i}", [name]) for i, name in enumerate(convolutions, 1)]
        return [*self.own_layers(), *reversed(steps)]
