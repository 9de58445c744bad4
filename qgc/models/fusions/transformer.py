"""A small transformer that reads words and image cells together, after ViLT (Kim et al. 2021).

q = [w_1, …, w_T]                      word embeddings side by side, zeros after the last word
X = [class token, w_t + its position, W p + its position]    one row a token; p: a patch of the maps F
X ← X + attention(norm X);  X ← X + MLP(norm X)              for each layer: pre-norm, several heads
v = the class token's row of norm X
u = 1, A = u ∘ v = v                   the combine layer: the transformer's only output
y = Wo A + bo                          answer scores

No encoder sees one side alone. What u = 1 means for ∂A/∂q, g and the gate: :mod:`qgc.models.fusions.joint`; since the
classifier is linear, g = c = Wo[a] is the same for all questions with one answer, and their maps differ by M. ∂A/∂q has
E entries for each of T places of a word, and is zero where there is no word: those places are nobody's keys. So ∂A/∂w
is ∂A/∂q, cut into words.

A patch is a square with ``patch`` cells a side. Its weight of attention belongs to all of them alike
(:meth:`SceneTransformer.to_cells`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import WeightsError
from .joint import JointConfig, JointVQA


@dataclass(frozen=True)
class SceneTransformerConfig(JointConfig):
    """Sizes of a transformer: ``combine`` is the width of all tokens, ``depth`` the number of layers.

    ``grid`` is h = w of the maps F, ``patch`` how many of its cells a patch has in a row, ``mlp`` the width of the
    hidden layer of an MLP.
    """

    combine: int = 64
    longest: int = 12
    heads: int = 4
    depth: int = 3
    mlp: int = 128
    grid: int = 14
    patch: int = 2


class Attention(nn.Module):
    """Attention with several heads.

    The weights that it returns are the ones that its output is computed from, so that gradients can be taken of them;
    ``nn.MultiheadAttention`` returns a copy, beside the path to the output.
    """

    def __init__(self, size: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(size, size)
        self.key_value = nn.Linear(size, 2 * size)
        self.out = nn.Linear(size, size)

    def forward(self, queries: Tensor, x: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
        """What the queries (B, M, d) read in the tokens x (B, N, d), and the weights (B, heads, M, N).

        ``missing`` (B, N) says which tokens nobody attends to.
        """
        q = self.query(queries).unflatten(2, (self.heads, -1)).transpose(1, 2)
        k, v = self.key_value(x).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        logits = q @ k.mT * q.shape[-1] ** -0.5
        a = logits.masked_fill(missing[:, None, None], -torch.inf).softmax(-1)
        return self.out((a @ v).transpose(1, 2).flatten(2)), a


class Layer(nn.Module):
    """One layer of a pre-norm transformer, with ReLU in its MLP, which guided backpropagation knows."""

    def __init__(self, config: SceneTransformerConfig):
        super().__init__()
        d = config.combine
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = Attention(d, config.heads)
        self.inner, self.outer = nn.Linear(d, config.mlp), nn.Linear(config.mlp, d)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, missing: Tensor, rows: int | None = None) -> tuple[Tensor, Tensor]:
        """The first ``rows`` tokens (B, rows, d) after this layer, None for all of x (B, N, d); and the attention."""
        normed = self.norm1(x)
        read, a = self.attention(normed[:, :rows], normed, missing)
        x = x[:, :rows] + self.drop(read)
        return x + self.drop(self.outer(self.inner(self.norm2(x)).relu())), a


class SceneTransformer(JointVQA):
    """The model; see the module's docstring for the equations. Tokens: class, ``longest`` words, patches by rows.

    Raises
    ------
    WeightsError
        If the heads do not cut a token, or the patches the grid, into equal parts.
    """

    def __init__(self, config: SceneTransformerConfig):
        super().__init__(config)
        if config.combine % config.heads or config.grid % config.patch:
            raise WeightsError(f"{config.heads} heads for tokens of {config.combine}, patches of {config.patch} on a "
                               f"grid of {config.grid}; make combine a multiple of heads, grid of patch")  # fmt: skip
        d, patches = config.combine, (config.grid // config.patch) ** 2
        self.embedding = nn.Embedding(len(self.vocabulary), d, padding_idx=0)
        self.project = nn.Conv2d(self.cnn.channels, d, config.patch, config.patch)
        sizes = {"class": 1, "words": config.longest, "patches": patches}
        self.positions = nn.ParameterDict({name: torch.randn(n, d) for name, n in sizes.items()})
        self.transformer = nn.ModuleList(Layer(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(d)
        self.output = nn.Linear(d, len(self.answers))

    def embed(self, tokens: Tensor) -> Tensor:
        """Word embeddings w (B, T, E), zero for the padding."""
        return self.embedding(tokens)

    def encode_words(self, w: Tensor, lengths: Tensor) -> Tensor:
        """q (B, longest·E): the words side by side, with zeros after the last one, which tell that no word is there."""
        return nn.functional.pad(w, (0, 0, 0, self.config.longest - w.shape[1])).flatten(1)

    def stem(self, F: Tensor) -> Tensor:
        """The image's tokens (B, patches, d)."""
        return self.project(F / self.config.scale).flatten(2).mT + self.positions["patches"]

    def join(self, x: Tensor, q: Tensor) -> Tensor:
        """v (B, J): the class token after all layers. Of the last layer no other row is computed."""
        return self._read(x, q, rows=1)[0]

    def attentions(self, F: Tensor, q: Tensor) -> tuple[Tensor, list[Tensor]]:
        """v (B, J) and the attention of every layer, (B, heads, N, N) each: row n says what token n attends to.

        v depends on the weights that are returned, so gradients can be taken of them (Chefer et al. 2021):

        >>> v, attentions = vqa.attentions(F, q)
        >>> torch.autograd.grad(vqa.classify(v)[0, answer], attentions)

        The N tokens are the class token, ``longest`` words and the patches; the last ones as maps: :meth:`to_cells`.
        Columns of words that are missing are zero.
        """
        x = self.stem(F)
        return self._read(x.expand(len(q), *x.shape[1:]), q)

    def _read(self, x: Tensor, q: Tensor, rows: int | None = None) -> tuple[Tensor, list[Tensor]]:
        words = q.unflatten(1, (self.config.longest, -1))
        missing = nn.functional.pad((words == 0).all(2), (1, x.shape[1]), value=False)
        first = self.positions["class"].expand(len(q), -1, -1)
        x = torch.cat([first, words + self.positions["words"], x], 1)
        attentions = []
        for layer in self.transformer:
            x, a = layer(x, missing, rows if layer is self.transformer[-1] else None)
            attentions.append(a)
        return self.norm(x[:, 0]), attentions

    def classify(self, A: Tensor) -> Tensor:
        """y = Wo A + bo, (B, answers)."""
        return self.output(A)

    def attention(self, F: Tensor, q: Tensor) -> Tensor:
        """How much the class token attends to each cell, (B, h, w), adding up to 1: last layer, mean over heads."""
        x = self.stem(F)
        a = self._read(x.expand(len(q), *x.shape[1:]), q, rows=1)[1][-1].mean(1)[:, 0]
        cells = self.to_cells(a[:, -x.shape[1] :])
        return cells / cells.sum((1, 2), keepdim=True)

    def to_cells(self, weights: Tensor) -> Tensor:
        """Weights of the patches (…, patches) as a map of cells (…, h, w), with the same sum."""
        patch = self.config.patch
        map_ = weights.unflatten(-1, (self.config.grid // patch, -1)) / patch**2
        return map_.repeat_interleave(patch, -2).repeat_interleave(patch, -1)

    def own_layers(self) -> list[tuple[str, list[str]]]:
        """The classifier; the layers; the tokens."""
        parts = ("norm1", "attention.query", "attention.key_value", "attention.out", "norm2", "inner", "outer")
        layers = [(f"layer {n + 1}", [f"transformer.{n}.{part}" for part in parts]) for n in range(self.config.depth)]
        tokens = ("tokens", ["positions", "embedding", "project"])
        return [("Wo", ["output"]), ("norm", ["norm"]), *reversed(layers), tokens]
