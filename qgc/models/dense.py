"""Two dense layers on pooled maps, the head of VGG and AlexNet: f = ReLU(fc7 ReLU(fc6 pooled)), and its slope."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .evaluation import WeightsMark


class DenseHead(NamedTuple):
    """What the head makes of one picture's maps: fc6 and fc7 before their ReLU (fc,), and the feature f (1, fc)."""

    a6: Tensor
    a7: Tensor
    f: Tensor


@torch.no_grad()
def dense_head(pooled: Tensor, fc6: nn.Linear, fc7: nn.Linear) -> DenseHead:
    """One pass through the two layers with what they read of one picture (1, K·cells)."""
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
    """fc6 summed over the cells that it reads (fc, K), computed once for the weights at hand.

    Pooling keeps the sum of a gradient: max-pooling hands that of each of its outputs to exactly one of its inputs,
    averaging shares it out. So the gradient of fc6 summed over all cells of F is its weight summed over its own cells.
    """

    def __init__(self):
        self._kept: tuple | None = None

    @torch.no_grad()
    def __call__(self, weight: Tensor, channels: int) -> Tensor:
        mark = WeightsMark([weight])
        if self._kept is None or self._kept[0] != mark:
            self._kept = mark, weight.view(len(weight), channels, -1).sum(2)
        return self._kept[1]
