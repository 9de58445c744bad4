"""Does each of two maps follow its own question? Verdicts on a pair of maps, and what they can be fooled by.

Two questions about one image have the same answer and ask about the objects S1 and S2; L1 and L2 are their maps
*before* the ReLU, on their own cells (nothing is enlarged, since enlarging does not commute with a transform of the
values). A cell weighs by the part of it that an object's mask covers (:func:`cell_cover`).

* :func:`rank_grounding` (RGA), the primary measure, looks at the order of a map's cells alone: no strength or
  contrast (any increasing change of a map's values) changes it. A map whose order changes with *what* is asked, such
  as one that is broader for a large object, can decide it: :mod:`qgc.lab.experiments.absent` is held against that.
* Of the shares R (:func:`shares`) of each map on each object: :func:`object_grounding` (OGA) compares the two maps on
  one object at a time, so that gains and sizes cancel, but not how concentrated a map is; :func:`odds_grounding`;
  :func:`cga` and :func:`margin` add differences of shares, so that the larger object decides.
* :func:`no_place_surrogate` keeps each map's values and takes away where they differ in place: a method is credited
  with what it has above each null, of which this is one.

Everything is worked out in float64. A tie counts ½; so does a pair in which a map is empty (for :func:`cga` and
:func:`margin`, as protocol 1 has it, an empty map has no share on either object).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..explain.contrast import EMPTY
from .localise import TIE, mass_shares

Method = Callable[..., Tensor]
"""From a question's own map and the other question's (…, h, w), and maps that both share, to the map to be scored."""


def cell_cover(mask, grid: tuple[int, int]) -> Tensor:
    """The part of every cell that a mask covers: masks (..., H, W) → (..., h·w) in 0–1, float64.

    Cells are rectangles H/h × W/w pixels large; a pixel that two cells share counts in each by its part.
    """
    pixels = _float64(mask)
    rows, columns = (_overlap(n, size) for n, size in zip(grid, pixels.shape[-2:], strict=True))
    return (rows @ pixels @ columns.T).flatten(-2)


def _overlap(cells: int, pixels: int) -> Tensor:
    # (cells, pixels): the part of each cell's length that is in each pixel; a row sums to one.
    edge, size = torch.arange(cells, dtype=torch.float64)[:, None] * pixels / cells, pixels / cells
    pixel = torch.arange(pixels, dtype=torch.float64)
    return (torch.minimum(edge + size, pixel + 1) - torch.maximum(edge, pixel)).clamp_min(0) / size


class RankGrounding(NamedTuple):
    """What :func:`rank_grounding` finds: ``verdict`` (1, 0, or ½), ``a_1`` and ``a_2``, each of shape (...)."""

    verdict: Tensor
    a_1: Tensor
    a_2: Tensor


def rank_grounding(maps, masks, inputs=None) -> RankGrounding:
    """Rank grounding: does map 1 rank object 1 above object 2 more surely than map 2 does?

        a_i = P[L_i(p ∈ S1) > L_i(p ∈ S2)] + ½ P[L_i(p ∈ S1) = L_i(p ∈ S2)],   verdict = 1[a_1 > a_2]

    with a cell of each object drawn by how much of the object it holds: a_i is the area under the ROC curve by which
    map i tells object 1 from object 2. |a_1 − a_2| ≤ 1e-9 is a tie, ½. The mean verdict over pairs is the *rank
    grounding accuracy* (RGA), a_1 − a_2 its effect size. Any increasing transform of a map, one for each question,
    changes nothing. Two maps of one order of cells get exactly ½, whatever the objects' sizes and wherever they lie.

    Parameters
    ----------
    maps : (..., 2, h, w), before the ReLU. masks : (2, H, W) of the two objects; shared pixels count in both.
    inputs : (..., 2) or None. The largest absolute value of what each map was made of, such as the two maps of a
        contrast: a map that is nowhere above 1e-6 of it is rounding, and empty. None: only a map of zeros is.

    Returns
    -------
    RankGrounding
        ``verdict``, ``a_1``, ``a_2``. An empty map has a_i = ½, and its pair the verdict ½; so does an object that is
        not to be seen. Values that are not finite give nan.
    """
    maps = _tensor(maps)  # of whatever precision: their order is all that counts
    S1, S2 = cell_cover(masks, tuple(maps.shape[-2:])).to(maps.device)
    a = _auc(maps.flatten(-2), S1, S2)
    empty = is_empty(maps, inputs)
    a = torch.where(empty, 0.5, torch.where(maps.isfinite().all(-1).all(-1), a, torch.nan))
    a_1, a_2 = a.unbind(-1)
    return RankGrounding(torch.where(empty.any(-1), 0.5, compared(a_1, a_2)), a_1, a_2)


def is_empty(maps, inputs=None) -> Tensor:
    """Which maps (..., h, w) hold nothing: none of their cells is above 1e-6 of ``inputs`` (...), or of zero."""
    largest = _tensor(maps).abs().amax((-2, -1)).double()
    return largest <= (0 if inputs is None else EMPTY * _float64(inputs))


def _auc(values: Tensor, S1: Tensor, S2: Tensor) -> Tensor:
    # P[x1 > x2] + ½ P[x1 = x2] for values (..., cells), x1 and x2 drawn from the cells by the weights S1 and S2.
    if not (S1.sum() and S2.sum()):
        return S1.new_full(values.shape[:-1], 0.5)
    some = (S1 + S2).nonzero()[:, 0]  # other cells change nothing
    ordered, order = values[..., some].sort(-1)
    first, second = (S[some][order] / S.sum() for S in (S1, S2))
    below = torch.nn.functional.pad(second.cumsum(-1), (1, 0))  # of S2, in the first k cells
    won = (below[..., :-1] + below[..., 1:]) / 2
    tied = (ordered[..., 1:] <= ordered[..., :-1]).any(-1)  # rarely: cells of one value share what they win
    if tied.any():
        same, below = ordered[tied].contiguous(), below[tied]
        left, right = (torch.searchsorted(same, same, right=after) for after in (False, True))
        won[tied] = (below.gather(-1, left) + below.gather(-1, right)) / 2
    return (first * won).sum(-1)


def compared(x: Tensor, y: Tensor, tolerance: Tensor | float = TIE) -> Tensor:
    """1 where x > y, 0 where x < y, ½ where they are nearer than ``tolerance``; nan where one of them is."""
    verdict = torch.where((x - y).abs() <= tolerance, 0.5, (x > y).to(x.dtype))
    return torch.where(torch.isnan(x) | torch.isnan(y), torch.nan, verdict)


# -- shares ---------------------------------------------------------------------------------------------
def shares(maps, masks) -> Tensor:
    """R (..., 2, 2): R_ij is the share of ReLU(L_i) on object j; nan for a map without a positive cell.

    Σ_p ReLU(L_i)_p S_jp / Σ_p ReLU(L_i)_p over the map's cells p, S_jp the part of the cell that object j covers.

    Parameters
    ----------
    maps : (..., 2, h, w), before the ReLU (a map after it gives the same). masks : (2, H, W).
    """
    maps = _float64(maps)
    positive = maps.flatten(-2).relu()
    cover = cell_cover(masks, tuple(maps.shape[-2:])).to(positive.device)
    return mass_shares(torch.cat([positive @ cover.T, positive.sum(-1, keepdim=True)], -1))


def object_verdicts(R) -> Tensor:
    """(..., 2): for each object j, does its own question's map have more of itself on it than the other's has?

    1[R_jj > R_ij] with i the other question; |R_jj − R_ij| ≤ 1e-9 is a tie, ½, and so is either map being empty.
    Since each map's shares sum to at most one, the second object is no independent evidence.
    """
    R = _float64(R)
    own = R.diagonal(dim1=-2, dim2=-1)
    other = R.flip(-2).diagonal(dim1=-2, dim2=-1)
    return torch.where(_none(R)[..., None], 0.5, compared(own, other).nan_to_num(0.5))


def object_grounding(R) -> Tensor:
    """Object grounding (…): the mean of :func:`object_verdicts` over both objects; its mean over pairs is OGA.

    No factor of a map's gain or an object's size changes it; powers, offsets and blurs can.
    """
    return object_verdicts(R).mean(-1)


def odds_grounding(R) -> Tensor:
    """Odds grounding (…): 1[R_11 R_22 > R_12 R_21]; nearer than 1e-9 of their sum is a tie, ½, as is an empty map.

    Two hard zeros on both sides (a map that misses both objects) are a tie, too.
    """
    R = _float64(R)
    own, other = R[..., 0, 0] * R[..., 1, 1], R[..., 0, 1] * R[..., 1, 0]
    return torch.where(_none(R), 0.5, compared(own, other, TIE * (own + other)).nan_to_num(0.5))


def margin(R) -> Tensor:
    """Margin (…), protocol 1: [(R_11 + R_22) − (R_12 + R_21)] / 2; an empty map has no share on either object."""
    R = _float64(R).nan_to_num(0)
    return (R.diagonal(dim1=-2, dim2=-1) - R.flip(-1).diagonal(dim1=-2, dim2=-1)).sum(-1) / 2


def cga(R) -> Tensor:
    """Contrastive grounding (…), protocol 1's measure: 1, 0 or ½ for a :func:`margin` above, below, or at zero.

    It adds differences of shares, so the larger object decides: a question with a larger gain wins or loses by its
    object's size alone.
    """
    found = margin(R)
    return compared(found, torch.zeros_like(found), TIE)


def _none(R: Tensor) -> Tensor:
    return torch.isnan(R).any(-1).any(-1)


# -- surrogates -----------------------------------------------------------------------------------------
def own(first: Tensor, second: Tensor) -> Tensor:
    """The method of maps that stand for themselves: a question's own map."""
    return first


def no_place_surrogate(first, second, method: Method = own, common: Sequence = ()) -> Tensor:
    """The same maps without what is specific to their places, (..., 2, h, w): what gain and sparsity alone would score.

    The cells are ordered by z(L1) + z(L2), z being a map's values less their mean, over their standard deviation.
    Each map gets its own sorted values back in that order, and the method is applied to the two as to the originals:
    ``method(first, second, *common)`` and ``method(second, first, *common)``.

    A method is credited where its score is above its surrogate's. Both maps of a surrogate of plain maps have one order
    of cells, so their rank grounding is ½, unless one has more cells of exactly one value than the other (a sparse
    map's zeros); of contrasts it need not be.

    Parameters
    ----------
    first, second : (..., h, w), before the ReLU. method : such as :func:`qgc.explain.contrast`; default, the maps
    themselves. common : further maps that both questions are held against, such as the mean question's; ordered alike.
    """
    parts = [_float64(m) for m in (first, second, *common)]
    shape = parts[0].shape
    flat = torch.stack([m.expand(shape).flatten(-2) for m in parts])
    scale = flat.std(-1, correction=0, keepdim=True)
    z = torch.where(scale > 0, (flat - flat.mean(-1, keepdim=True)) / scale, 0.0).sum(0)
    places = z.sort(dim=-1, stable=True).indices.expand_as(flat)
    placed = torch.empty_like(flat).scatter_(-1, places, flat.sort(-1).values).view(len(parts), *shape)
    one, two, *rest = placed
    return torch.stack([method(one, two, *rest), method(two, one, *rest)], -3)


def _tensor(values) -> Tensor:
    if isinstance(values, Sequence):
        values = np.stack([np.asarray(v) for v in values])
    elif isinstance(values, np.ndarray):
        values = values.copy()  # of a scene's mask, which is read-only, torch would warn
    return torch.as_tensor(values).detach()


def _float64(values) -> Tensor:
    return _tensor(values).double()
