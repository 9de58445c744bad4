"""Notebook images in a quarter of their bytes: at most 256 colors, no grain, no more pixels than a page shows."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter
from scipy.spatial import cKDTree

COLOURS = 256
MANY_COLOURS = 10_000  # scenes and heat maps have more, charts and tables fewer
WIDEST = 760  # pixels of an image with many colors: the column of the site has 690
EXACT = 64  # the commonest colors, such as paper and ink, stay exactly as they are …
EXACT_SHARE = 1 / 2000  # … if they cover this share of the image
BLUR = 2  # points to each side over which the eye takes the mean
GRAIN = 3  # levels of 255, of which nobody sees the difference between neighbours …
FLAT_SHARE = 1 / 50  # … except that paper and even grounds, colors of this share of the image, stay as they are
TOLERANCE = 16  # levels of 255, by which a blurred color may be off in one point of a thousand


def small_png(png: bytes) -> bytes:
    """A PNG with a palette in place of full colors, and without grain in its 256; as it was if it shows through.

    The same image gives the same bytes, and a small image itself. One that 256 colors would visibly change keeps
    its own colors, and one of fewer is exact.
    """
    with Image.open(io.BytesIO(png)) as opened:
        if opened.mode == "P" and "transparency" not in opened.info:
            few = without_grain(opened)
            return png if np.array_equal(few, opened) else _packed(few)
        if opened.mode not in ("RGB", "RGBA") or (opened.mode == "RGBA" and opened.getextrema()[3][0] < 255):
            return png
        image = opened.convert("RGB")
    if image.width > WIDEST and len(_counted(image)[0]) > MANY_COLOURS:
        image = image.resize((WIDEST, round(image.height * WIDEST / image.width)), Image.Resampling.LANCZOS)
    few = with_palette(image)
    return _packed(without_grain(few) if looks_the_same(image, few) else image)


def without_grain(few: Image.Image) -> Image.Image:
    """An image of a full palette in which a point has the color to its left if its own is no more than GRAIN away.

    Grain is what a PNG cannot pack: a sixth of the bytes of a book full of walls and meadows. Colors do not run, since
    each point is compared in its own color; so a second time changes nothing.
    """
    if len(few.getpalette()) < 3 * COLOURS:
        return few
    palette, which = np.array(few.getpalette(), int).reshape(-1, 3), np.array(few)
    own = palette[which]
    flat = (np.bincount(which.ravel(), minlength=COLOURS) >= FLAT_SHARE * which.size)[which]
    for x in range(1, few.width):
        near = np.abs(palette[which[:, x - 1]] - own[:, x]).max(axis=1) <= GRAIN
        which[:, x] = np.where(near & ~flat[:, x], which[:, x - 1], which[:, x])
    even = Image.fromarray(which)
    even.putpalette(few.getpalette())
    return even


def with_palette(image: Image.Image) -> Image.Image:
    """An RGB image in 256 colors, without dithering: exact where it has no more than these.

    Colors are chosen by the root of how many points they cover. Pillow alone goes by the points themselves, and spends
    the palette on the grain of a wall: the darkest heat of a map, which is what a reader looks for, loses its color.
    """
    colours, counts, which = _counted(image)
    palette = colours
    if len(colours) > COLOURS:
        common = np.argsort(-counts, kind="stable")[:EXACT]
        common = common[counts[common] >= EXACT_SHARE * which.size]
        others = np.setdiff1d(np.arange(len(colours)), common)
        means, weights = _in_cells(colours[others], counts[others])
        sample = Image.fromarray(np.repeat(means, np.ceil(np.sqrt(weights)).astype(int), axis=0)[None])
        chosen = sample.quantize(COLOURS - len(common), Image.Quantize.MEDIANCUT, kmeans=1).getpalette()
        palette = np.concatenate([colours[common], np.array(chosen, np.uint8).reshape(-1, 3)])
    nearest = cKDTree(palette.astype(float)).query(colours)[1].astype(np.uint8)  # Pillow's own search rounds colors
    few = Image.fromarray(nearest[which].reshape(image.height, image.width))
    few.putpalette(palette.tobytes())
    return few


def looks_the_same(image: Image.Image, few: Image.Image) -> bool:
    """Whether two images, each blurred as the eye does it, differ by no more than TOLERANCE but for a few points."""
    blurred = (np.asarray(i.convert("RGB").filter(ImageFilter.BoxBlur(BLUR)), int) for i in (image, few))
    return bool(np.percentile(np.abs(np.subtract(*blurred)).max(axis=2), 99.9) <= TOLERANCE)


def _packed(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png", optimize=True)
    return file.getvalue()


def _counted(image: Image.Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # The colors (C, 3), how many points have each, and the color's number for every point.
    codes = np.asarray(image, int).reshape(-1, 3) @ (1 << 16, 1 << 8, 1)
    codes, which, counts = np.unique(codes, return_inverse=True, return_counts=True)
    return np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8), counts, which


def _in_cells(colours: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Mean colors (cells, 3) and numbers of points in the cells of a 32 × 32 × 32 cube of colors.
    cells, which = np.unique((colours >> 3).astype(int) @ (1 << 10, 1 << 5, 1), return_inverse=True)
    weights = np.bincount(which, counts, len(cells))
    means = [np.bincount(which, counts * channel, len(cells)) / weights for channel in colours.T.astype(float)]
    return np.stack(means, axis=1).round().astype(np.uint8), weights
