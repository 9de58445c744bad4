"""Maps over images as plain arrays: what the figures show and the widgets repaint within milliseconds."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scipy import ndimage
from torch import Tensor

from ..errors import ImageError
from .style import HEAT

DARKEST = 0.72  # grey of a pale image's black

_LEVELS = np.arange(256, dtype=np.uint8)
# Every level of heat (rows) over every grey, as one word of four bytes: looked up, an image is composed in half a
# millisecond. The fourth byte stays empty.
_GLASS = np.zeros((256, 256, 4), np.uint8)
_GLASS[..., :3] = _LEVELS[:, None] * HEAT.astype(np.float32)[:, None]
_GLASS = _GLASS.view(np.uint32).ravel()


def pale(image: Image.Image) -> np.ndarray:
    """An image in pale grey, (H, W, 3) bytes: recognisable, and out of the heat's way."""
    grey = np.asarray(image.convert("L"), np.float32)
    # Cut off at both ends, so that dim images keep their contrast.
    low, high = np.percentile(grey, (1, 99))
    share = np.clip((grey - low) / max(high - low, 1.0), 0, 1)
    return np.repeat((255 * (DARKEST + (1 - DARKEST) * share)).astype(np.uint8)[:, :, None], 3, axis=2)


def share_of_maximum(map_: Tensor | np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """A map (h, w) enlarged bilinearly to ``size`` (width, height), as share 0–1 of its own maximum.

    For display only. None for an empty map, in which no cell is positive.

    Raises
    ------
    ImageError
        If it has another shape, or holds numbers that are not finite.
    """
    values = np.asarray(map_.detach().cpu().double() if isinstance(map_, Tensor) else map_, np.float32)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ImageError(f"a map of shape {values.shape} cannot be shown; give finite numbers, (h, w)")
    top = values.max(initial=0)
    if not top > 0:
        return None
    heat = Image.fromarray(np.clip(values / top, 0, 1)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(heat)


def compose(ground: np.ndarray, share: np.ndarray | None) -> np.ndarray:
    """The heat ``share`` (H, W) over the grey image ``ground`` (H, W, 3) of :func:`pale`, as bytes.

    None leaves it plain.
    """
    if share is None:
        return ground
    level = (share * 255 + 0.5).astype(np.uint16)
    words = _GLASS[level << 8 | ground[..., 0]]
    return words.view(np.uint8).reshape(*words.shape, 4)[..., :3]


def enlarge_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A bool mask (H, W) at ``size`` (width, height).

    Raises
    ------
    ImageError
        If it is not a mask, or has another shape than the image.
    """
    mask = np.asarray(mask.cpu() if isinstance(mask, Tensor) else mask)
    if (
        mask.ndim != 2
        or not mask.size
        or mask.dtype.kind not in "biuf"
        or abs(mask.shape[1] * size[1] / (mask.shape[0] * size[0]) - 1) > 0.02
    ):
        raise ImageError(
            f"a mask of shape {mask.shape} does not fit an image of {size[0]}×{size[1]} pixels; "
            "give one bool for every pixel, such as scene.masks['sink']"
        )
    soft = Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(soft) > 0.5


def stroke(mask: np.ndarray, size: tuple[int, int], width: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """The outline of a mask as two bool arrays: a wide halo, and the line within it."""
    inside = enlarge_mask(mask, size)
    edge = inside ^ ndimage.binary_erosion(inside, border_value=1)
    return ndimage.binary_dilation(edge, iterations=width), ndimage.binary_dilation(edge, iterations=width - 1)
