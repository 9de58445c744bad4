"""Jacobians: as products of factors, and by batched vector-Jacobian products where there is no closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def jacobian(function: Callable[[Tensor], Tensor], x: Tensor, chunk: int = 128) -> Tensor:
    """∂function/∂x (J, K) of one input: x (1, K) gives (1, J); of maps x (1, K, h, w) the mean over their cells.

    ``chunk`` rows at a time.
    """
    x = x.detach().clone().requires_grad_()  # a copy, since no gradient is taken of inference tensors
    with torch.enable_grad():
        y = function(x)
    rows = []
    for start in range(0, y.shape[1], chunk):
        size = min(chunk, y.shape[1] - start)
        select = torch.zeros(size, 1, y.shape[1], dtype=y.dtype, device=y.device)
        select[torch.arange(size), 0, torch.arange(start, start + size)] = 1
        (grads,) = torch.autograd.grad(y, x, select, retain_graph=True, is_grads_batched=True)
        rows.append(grads[:, 0].mean((2, 3)) if x.dim() == 4 else grads[:, 0])
    return torch.cat(rows)


def product(factors: Sequence[Tensor]) -> Tensor:
    """The matrix product of one factor or more, from the last to the first: the last ones are small."""
    *outer, result = factors
    for factor in reversed(outer):
        result = factor @ result
    return result
