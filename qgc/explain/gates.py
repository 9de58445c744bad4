"""Which combine neurons the gradient may flow back through (paper §3.3)."""

from __future__ import annotations

import operator
from collections.abc import Iterable

import torch
from torch import Tensor

from ..errors import GateError


def check_n(n, size: int) -> int:
    """``n`` as an int from 1 to ``size``.

    Raises
    ------
    GateError
        If it is no whole number or out of range.
    """
    try:
        whole = operator.index(n)
    except TypeError:
        whole = int(n) if isinstance(n, float) and n.is_integer() else None
    if whole is None or isinstance(n, bool) or not 1 <= whole <= size:
        raise GateError(f"n is {n!r}; it must be a whole number from 1 to {size} (n = {size} is the original Grad-CAM)")
    return whole


def ranking(scores: Tensor) -> Tensor:
    """Neurons from the highest score to the lowest, (J,); equal scores in order of their index."""
    return torch.sort(scores, descending=True, stable=True).indices


def check_indices(indices: Iterable[int], size: int) -> Tensor:
    """A set of combine neurons as a sorted index tensor, without repeats.

    Raises
    ------
    GateError
        If it is empty, holds anything but whole numbers, or an index is not in 0 … size − 1.
    """
    try:
        given = list(indices.tolist() if isinstance(indices, Tensor) else indices)
        if any(isinstance(i, bool) for i in given):
            raise TypeError  # a mask would be read as the neurons 0 and 1
        found = sorted({operator.index(i) for i in given})
    except TypeError:
        raise GateError("neurons must be whole numbers, such as [3, 281]; of a mask, give mask.nonzero()") from None
    if not found:
        raise GateError("the set of neurons is empty: no gradient would flow back; give at least one index")
    if found[0] < 0 or found[-1] >= size:
        raise GateError(
            f"neuron {found[-1] if found[-1] >= size else found[0]} does not exist; indices go from 0 to {size - 1}"
        )
    return torch.tensor(found)
