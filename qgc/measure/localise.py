"""How well a map lies on an object: what a mask can say, between chance and what a coarse map can reach.

Every measure takes maps (..., h, w) without negative values (Eq. 2, after its ReLU) and a mask (H, W), and gives one
number in 0–1 for each map. L↑ below is the map enlarged to the mask's size as the overlays show it (bilinear,
``align_corners=False``). S is the set of the mask's pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def enlarge(map_: Tensor, size: tuple[int, int]) -> Tensor:
    """L↑: maps (..., h, w) at ``size`` (H, W), bilinear, (..., H, W)."""
    flat = map_.reshape(-1, 1, *map_.shape[-2:])
    return torch.nn.functional.interpolate(flat, size, mode="bilinear", align_corners=False).view(
        *map_.shape[:-2], *size
    )


def _as_tensor(mask: np.ndarray | Tensor) -> Tensor:
    # A copy: of a scene's masks, which are read-only, torch would warn.
    return mask if isinstance(mask, Tensor) else torch.from_numpy(np.array(mask))


def cell_weights(mask: np.ndarray, grid: tuple[int, int], like: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """How much of a cell's mass falls on the mask, and anywhere, when the map is enlarged: two (h·w,) tensors.

    Enlarging is linear, so its transpose carries the mask down to the grid once; then any number of maps costs one
    product (:func:`mass_weights`).
    """
    pixels = _as_tensor(mask)
    pixels = pixels.to(like.dtype).to(like.device) if like is not None else pixels.double()
    with torch.enable_grad():
        cells = torch.zeros(grid, dtype=pixels.dtype, device=pixels.device, requires_grad=True)
        large = enlarge(cells, tuple(pixels.shape))
        (inside,) = torch.autograd.grad((large * pixels).sum(), cells, retain_graph=True)
        (anywhere,) = torch.autograd.grad(large.sum(), cells)
    return inside.flatten(), anywhere.flatten()


def mass_weights(masks: Sequence[np.ndarray], grid: tuple[int, int], like: Tensor | None = None) -> Tensor:
    """:func:`cell_weights` of some masks (objects, H, W) as columns, (h·w, objects + 1): on each of them, and anywhere.

    The product of maps (..., h·w) and these weights is what :func:`mass_shares` takes.
    """
    each = [cell_weights(mask, grid, like) for mask in masks]
    return torch.stack([*(inside for inside, _ in each), each[0][1]], 1)


def mass_shares(sums: Tensor) -> Tensor:
    """Relevance mass accuracy (Arras et al. 2022) on some objects, (..., objects); nan for a map without mass.

    ``sums`` (..., objects + 1): the mass of each map on each object, and anywhere.
    """
    return sums[..., :-1] / sums[..., -1:]


def map_share(map_: Tensor, mask: np.ndarray) -> Tensor:
    """Relevance mass accuracy (Arras et al. 2022): Σ_{p∈S} L↑_p / Σ_p L↑_p; nan if L is empty.

    Parameters
    ----------
    map_ : (..., h, w), no negative values. mask : (H, W) bool. Returns (...,).
    """
    return mass_shares(map_.flatten(-2) @ mass_weights([mask], tuple(map_.shape[-2:]), map_))[..., 0]


def rank_accuracy(map_: Tensor, mask: np.ndarray) -> Tensor:
    """Relevance rank accuracy (Arras et al. 2022): |top-|S| pixels of L↑ ∩ S| / |S|; nan if L or S is empty."""
    size = int(mask.sum())
    large = enlarge(map_, mask.shape).flatten(-2)
    if not size:
        return torch.full(large.shape[:-1], torch.nan, dtype=large.dtype)
    top = large.topk(size, dim=-1).indices
    inside = _as_tensor(mask).to(map_.device).flatten()
    found = inside[top].to(large.dtype).mean(-1)
    return torch.where(large.amax(-1) > 0, found, torch.nan)


def pointing_game(map_: Tensor, mask: np.ndarray) -> Tensor:
    """Pointing game (Zhang et al. 2018): 1 if a highest pixel of L↑ is in S, else 0; nan if L is empty."""
    large = enlarge(map_, mask.shape).flatten(-2)
    top = large.amax(-1, keepdim=True)
    hit = ((large == top) & _as_tensor(mask).to(map_.device).flatten()).any(-1).to(large.dtype)
    return torch.where(top[..., 0] > 0, hit, torch.nan)


def iou(map_: Tensor, mask: np.ndarray, threshold: float = 0.5) -> Tensor:
    """Intersection over union: |T ∩ S| / |T ∪ S| with T = {p : L↑_p ≥ threshold · max L↑}; nan if L is empty."""
    large = enlarge(map_, mask.shape).flatten(-2)
    top = large.amax(-1, keepdim=True)
    hot, inside = large >= threshold * top, _as_tensor(mask).to(map_.device).flatten()
    found = (hot & inside).sum(-1) / (hot | inside).sum(-1)
    return torch.where(top[..., 0] > 0, found.to(large.dtype), torch.nan)


MEASURES: dict[str, Callable[[Tensor, np.ndarray], Tensor]] = {
    "mass accuracy": map_share,
    "rank accuracy": rank_accuracy,
    "pointing game": pointing_game,
    "IoU": iou,
}
"""The four measures by the name that tables use."""


def chance(mask: np.ndarray) -> float:
    """What a map that knows nothing gets in each of the :data:`MEASURES`: the share of pixels that S covers.

    Exactly so for the mass accuracy and the IoU of an even map, and on average for the rank accuracy and the
    pointing game of pixels in random order.
    """
    return float(mask.mean())


def ceiling(measure: str, mask: np.ndarray, grid: tuple[int, int] = (14, 14)) -> float:
    """The most that a map of ``grid`` cells reaches in a measure, if it knew S.

    For the mass accuracy this is exact: a ratio of sums is largest at a single cell. For the others it is the best
    of all single cells and of the map of the cells' coverage by S, so that a clever map may reach a little more.
    """
    inside, anywhere = cell_weights(mask, grid)
    if measure == "mass accuracy":
        return float((inside / anywhere).max())
    h, w = grid
    candidates = torch.cat([torch.eye(h * w, dtype=torch.float64), (inside / anywhere)[None]]).view(-1, h, w)
    return float(MEASURES[measure](candidates, mask).nan_to_num(0).max())


TRIED = 4


def ceilings(mask: np.ndarray, grid: tuple[int, int] = (14, 14)) -> dict[str, float]:
    """:func:`ceiling` of all :data:`MEASURES` at once, trying only the coverage and the cells that S covers most.

    To try every single cell takes seconds a mask, and changes little (tested).
    """
    inside, anywhere = cell_weights(mask, grid)
    coverage = inside / anywhere
    cells = torch.nn.functional.one_hot(coverage.topk(TRIED).indices, len(coverage)).to(coverage.dtype)
    candidates = torch.cat([coverage[None], cells]).view(-1, *grid)
    return {name: float(measure(candidates, mask).nan_to_num(0).max()) for name, measure in MEASURES.items()}


def rescaled(value: Tensor | float, low: float, high: float) -> Tensor | float:
    """(value − chance) / (ceiling − chance): 0 is chance, 1 the best that a map of this size can do."""
    return (value - low) / (high - low)


TIE = 1e-9
"""Differences of shares below this are rounding: a tie."""


def contrastive_grounding(own: Tensor, other: Tensor) -> Tensor:
    """Whether two maps lie on their own objects rather than on each other's: 1, 0, or ½ for a tie; (...,).

    For two questions with the same answer about disjoint objects S1, S2, with RMA the mass accuracy
    (:func:`map_share`, an empty map counting 0):

        RMA(L1, S1) + RMA(L2, S2)  >  RMA(L1, S2) + RMA(L2, S1)

    Its mean over pairs is the *contrastive grounding accuracy*. Equal maps make both sides
    equal: exactly ½, however well they lie on objects.

    Parameters
    ----------
    own : (..., 2) shares RMA(L1, S1), RMA(L2, S2). other : (..., 2) shares RMA(L1, S2), RMA(L2, S1).
    """
    difference = own.nan_to_num(0).sum(-1) - other.nan_to_num(0).sum(-1)
    return torch.where(difference.abs() < TIE, 0.5, (difference > 0).to(own.dtype))
