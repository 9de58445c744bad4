"""Two dense layers on pooled maps, the head of VGG and AlexNet: f = ReLU(fc7 ReLU(fc6 pooled)), and its slope."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .evaluation import WeightsMark


class DenseHead(NamedTuple):
    """What the head computes of one image's maps: fc6 and fc7 before their ReLU (fc,), and the feature f (1, fc)."""

    a6: Tensor
    a7: Tensor
    f: Tensor


@torch.no_grad()
def dense_head(pooled: Tensor, fc6: nn.Linear, fc7: nn.Linear) -> DenseHead:
    """One forward pass through the two layers, of what they read of one image (1, K·cells)."""
    a6 = fc6(pooled)
    a7 = fc7(a6.relu())
    return DenseHead(a6[0], a7[0], a7.relu())


@torch.no_grad()
def dense_slopes(head: DenseHead, fc7: nn.Linear, summed: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Σ_ij ∂f/∂F_ij (fc, K): its rows that are not zero, and the two factors that these are the product of.

    The chain rule through the head, layer by layer and through the active units alone. ``summed`` (fc, K) is fc6 summed
    over its cells (:class:`SpatiallySummedWeight`), so no gradient ever has a spatial extent.
    """
    on6, on7 = (head.a6 > 0).nonzero()[:, 0], (head.a7 > 0).nonzero()[:, 0]
    middle = fc7.weight.index_select(0, on7).index_select(1, on6)
    return on7, (middle, summed.index_select(0, on6))


class SpatiallySummedWeight:
    """fc6 summed over the cells that it reads (fc, K), computed once as long as its weights stay the same.

    Pooling preserves the sum of a gradient: max-pooling passes that of each output to exactly one of its inputs,
    averaging distributes it. So the gradient of fc6 summed over all cells of F is its weight summed over its own cells.
    """

    def __init__(self):
        self._cached: tuple[WeightsMark, Tensor] | None = None

    @torch.no_grad()
    def __call__(self, weight: Tensor, channels: int) -> Tensor:
        """The sum (fc, K) of ``weight`` (fc, K·cells), from the last call if no number of it has changed."""
        mark = WeightsMark([weight])
        if self._cached is None or self._cached[0] != mark:
            self._cached = mark, weight.view(len(weight), channels, -1).sum(2)
        return self._cached[1]
