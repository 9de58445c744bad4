"""What one question's map has more of than another's: contrasts of maps, with and without each map's gain."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import GateError, shown

NORMS = ("l1", "l2")
EMPTY = 1e-6
"""A map whose largest absolute value is at most this fraction of its inputs' is rounding error alone."""


def contrast(a, b, normalise: str | None = None) -> Tensor:
    """The question contrast L(q) − L(q′) before the ReLU, each map divided by its norm first if asked for, (..., h, w).

    With ``normalise``: L(q)/‖L(q)‖ − L(q′)/‖L(q′)‖, the norm (``"l1"``, the sum of absolute values, or ``"l2"``) being
    taken over a map's cells, before the ReLU. Without it the contrast mostly shows which question has the larger
    *gain*: a question whose map exceeds the other's everywhere has all of the contrast, and the other has none
    (book/what-works.ipynb). A contrast that is nowhere above 1e-6 of its inputs is rounding error, and is
    returned as zeros. An empty map stays empty when it is normalised.

    >>> qgc.explain.contrast(sink, towels, normalise="l1").relu()

    Parameters
    ----------
    a, b : explanations of two questions about one image (:func:`qgc.explain`), or maps (..., h, w) *before* the ReLU.

    Returns
    -------
    Tensor
        Before the ReLU; ``contrast(b, a)`` is its negative. ``.relu()`` of it is what to show.

    Raises
    ------
    GateError
        If ``normalise`` is not one of the norms, or the maps differ in shape.
    """
    if normalise not in (None, *NORMS):
        raise GateError(
            f"normalise is {shown(normalise)}; choose one of {', '.join(NORMS)}, or None for the raw difference"
        )
    first, second = (m if isinstance(m, Tensor) else m.map(relu=False) for m in (a, b))
    if first.shape[-2:] != second.shape[-2:]:
        raise GateError(
            f"maps of {tuple(first.shape[-2:])} and {tuple(second.shape[-2:])} cells; give two of one model"
        )
    first, second = (normalised_by(m, normalise) for m in (first, second))
    return without_rounding_error(first - second, first, second)


def normalised_by(map_: Tensor, norm: str | None) -> Tensor:
    """A map (..., h, w), before the ReLU, divided by its norm (:data:`NORMS`; None: by nothing); zeros stay zeros."""
    if norm is None:
        return map_
    size = torch.linalg.vector_norm(map_, ord=int(norm[1]), dim=(-2, -1), keepdim=True)
    return map_ / torch.where(size > 0, size, 1.0)


def without_rounding_error(map_: Tensor, *inputs: Tensor) -> Tensor:
    """``map_`` (..., h, w), or zeros where it is nowhere above 1e-6 of the largest absolute value of ``inputs``."""
    largest = torch.stack([m.abs().amax((-2, -1)).broadcast_to(map_.shape[:-2]) for m in inputs]).amax(0)
    significant = map_.abs().amax((-2, -1)) > EMPTY * largest
    return torch.where(significant[..., None, None], map_, 0.0)
