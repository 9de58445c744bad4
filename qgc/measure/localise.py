"""How much of a map lies on a thing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def mass_on(map_: Tensor, mask: np.ndarray) -> float:
    """Share of a map's mass (Eq. 2, after ReLU) that lies on a thing: Σ L·c / Σ L, from 0 to 1.

    Every cell of the map spreads its value evenly over its own pixels, so c is the share of the cell's
    pixels that ``mask`` covers. A map that is the same everywhere has ``mask.mean()``. nan if it is empty.

    Parameters
    ----------
    map_ : (h, w), no negative values. mask : (H, W) bool, for example ``scene.masks["sink"]``.
    """
    pixels = torch.as_tensor(mask, dtype=map_.dtype, device=map_.device)
    covered = torch.nn.functional.adaptive_avg_pool2d(pixels[None], map_.shape)[0]
    total = float(map_.sum())
    return float((map_ * covered).sum()) / total if total > 0 else float("nan")


def map_share(map_: Tensor, mask: np.ndarray) -> Tensor:
    """Relevance mass accuracy (Arras et al. 2022): Σ L↑ inside a mask / Σ L↑, from 0 to 1; nan if L is empty.

    L↑ is the map (Eq. 2, after ReLU) enlarged to the mask's size as the overlays show it: bilinear,
    ``align_corners=False``. Enlarging is linear, so its transpose carries the mask down to the grid once,
    and any number of maps costs one product.

    Parameters
    ----------
    map_ : (..., h, w), no negative values. mask : (H, W) bool. Returns (...,).
    """
    pixels = torch.as_tensor(mask, dtype=map_.dtype, device=map_.device)
    with torch.enable_grad():
        cells = torch.zeros(map_.shape[-2:], dtype=map_.dtype, device=map_.device, requires_grad=True)
        enlarged = torch.nn.functional.interpolate(
            cells[None, None], pixels.shape, mode="bilinear", align_corners=False
        )[0, 0]
        (inside,) = torch.autograd.grad((enlarged * pixels).sum(), cells, retain_graph=True)
        (anywhere,) = torch.autograd.grad(enlarged.sum(), cells)
    on_thing, everywhere = (map_.flatten(-2) @ torch.stack([inside, anywhere], -1).flatten(0, 1)).unbind(-1)
    return on_thing / everywhere
