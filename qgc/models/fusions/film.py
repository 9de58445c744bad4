"""FiLM (Perez et al. 2018): the question scales and shifts the channels of the image's maps.

q = last state of a GRU over the words
[γ_b, β_b] = W_b q + b_b                      one scale and one shift for each channel of block b
x = ReLU(W F)                                 1×1 convolution, d channels
x ← x + ReLU((1 + γ_b) conv_b(x) + β_b)       for each block b: 3×3 convolution, modulation, a way round it
v = ReLU(max over cells of W x)               1×1 convolution, J channels
u = 1, A = u ∘ v = v                          the combine layer: FiLM has no product after its pooling
y = Wo ReLU(Wh A + bh) + bo                   answer scores

What u = 1 means for ∂A/∂q, g and the gate: :mod:`qgc.models.fusions.joint`. Since the classifier has a hidden layer,
c = ∂y_a/∂A depends on A, and even g differs between two questions with one answer. M has no closed form: the maximum
backpropagates, for each of its J channels, to one cell, and which that is depends on the question. As in the original,
γ is learnt as its difference from 1; batch normalisation and the two maps of coordinates are omitted: two blocks learn
without.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .joint import JointConfig, JointVQA


@dataclass(frozen=True)
class FiLMConfig(JointConfig):
    """Sizes of a FiLM: ``size`` is d, ``depth`` the number of blocks, ``hidden`` the size of the question embedding."""

    embedding: int = 64
    hidden: int = 128
    size: int = 64
    depth: int = 2


class FiLM(JointVQA):
    """The model; see the module's docstring for the equations."""

    def __init__(self, config: FiLMConfig):
        super().__init__(config)
        d = config.size
        self.embedding = nn.Embedding(len(self.vocabulary), config.embedding, padding_idx=0)
        self.gru = nn.GRU(config.embedding, config.hidden, batch_first=True)
        self.modulation = nn.Linear(config.hidden, config.depth * 2 * d)
        self.project = nn.Conv2d(self.cnn.channels, d, 1)
        self.blocks = nn.ModuleList(nn.Conv2d(d, d, 3, padding=1) for _ in range(config.depth))
        self.pooled = nn.Conv2d(d, config.combine, 1)
        self.hidden = nn.Linear(config.combine, config.combine)
        self.output = nn.Linear(config.combine, len(self.answers))
        self.drop = nn.Dropout(config.dropout)

    def embed(self, tokens: Tensor) -> Tensor:
        """Word embeddings w (B, T, E)."""
        return self.embedding(tokens)

    def encode_words(self, w: Tensor, lengths: Tensor) -> Tensor:
        """q (B, Q): the GRU's state after the last word."""
        packed = nn.utils.rnn.pack_padded_sequence(self.drop(w), lengths.cpu(), True, enforce_sorted=False)
        return self.gru(packed)[1][0]

    def stem(self, F: Tensor) -> Tensor:
        """x and its first convolution, which no question changes either, (B, 2d, h, w)."""
        x = self.project(F / self.config.scale).relu()
        return torch.cat([x, self.blocks[0](x)], 1)

    def join(self, x: Tensor, q: Tensor) -> Tensor:
        """v (B, J): the blocks with the question's γ and β, and the maximum over cells."""
        x, convolved = x.chunk(2, 1)
        film = self.modulation(self.drop(q)).unflatten(1, (self.config.depth, 2, -1, 1, 1))
        for b, (gamma, beta) in enumerate(f.unbind(1) for f in film.unbind(1)):
            convolved = self.blocks[b](x) if b else convolved
            x = x + ((1 + gamma) * convolved + beta).relu()
        return self.pooled(x).amax((2, 3)).relu()

    def classify(self, A: Tensor) -> Tensor:
        """y (B, answers), from one hidden layer."""
        return self.output(self.drop(self.hidden(self.drop(A)).relu()))

    def own_layers(self) -> list[tuple[str, list[str]]]:
        """The classifier; the pooled layer; the blocks; the question's side; the projection."""
        blocks = [(f"block {b + 1}", [f"blocks.{b}"]) for b in reversed(range(self.config.depth))]
        question = ("γ, β, GRU", ["modulation", "gru", "embedding"])
        head = [("Wo", ["output"]), ("Wh", ["hidden"]), ("pooled", ["pooled"])]
        return [*head, *blocks, question, ("projection", ["project"])]
