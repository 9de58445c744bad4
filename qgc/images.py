"""Any picture a person may hand in, as an RGB image, or one clear message why not."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from .errors import ImageError

MOST_PIXELS = 150_000_000  # a 150-megapixel camera; larger files are more likely a mistake or an attack
LEAST_SIDE = 8  # below this there is nothing to see: accepted, with a warning


def open_image(source) -> Image.Image:
    """A path, a file's bytes, a PIL image, an array (H, W[, 3 or 4]) or anything with ``.image``, as an RGB PIL image.

    The camera's rotation (EXIF) is applied; transparent pixels are laid over white; CMYK, palette,
    grey and 16-bit pictures are converted.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated, no picture, or larger than 150 megapixels.
    """
    if hasattr(source, "image"):  # a scene
        source = source.image
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        return to_rgb(source)
    if isinstance(source, bytes | bytearray | memoryview):
        if not len(source):
            raise ImageError("the file is empty (0 bytes); copy or download it again")
        return _decoded(io.BytesIO(source), "the file")
    if not isinstance(source, str | os.PathLike):
        raise ImageError(f"cannot read a picture from {type(source).__name__}; give a path, a PIL image or an array")
    path = Path(source)
    if not os.path.exists(path):  # unlike Path.exists, False for a name that is too long
        if str(source).startswith(("http:/", "https:/", "ftp:/", "file:/", "s3:/", "data:")):
            raise ImageError(f"{str(source)[:80]} is an address; download the picture first, and give the file")
        raise ImageError(f"there is no file {path}; check the path")
    if path.is_dir():
        raise ImageError(f"{path} is a folder; give one picture file")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes); copy or download it again")
    return _decoded(path, path)


def _decoded(file: Path | io.BytesIO, name) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit below says it better
            with Image.open(file) as picture:
                _check_size(picture.size, name)
                picture.load()
                return to_rgb(picture)
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not a picture that can be read; save it as PNG or JPEG") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has too many pixels; scale it down to at most 150 megapixels") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{name} is damaged or cut off ({error}); copy or download it again") from None


def to_rgb(picture: Image.Image) -> Image.Image:
    """A PIL image of any mode as RGB, upright, over white."""
    _check_size(picture.size, "the picture")
    try:
        picture = _over_white(ImageOps.exif_transpose(picture)).convert("RGB")
    except ImageError:
        raise
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"the picture cannot be read or made RGB ({error}); save it as PNG or JPEG") from None
    if min(picture.size) < LEAST_SIDE:
        warnings.warn(
            "the picture is only {}×{} pixels; it is enlarged, but there is little to see".format(*picture.size),
            stacklevel=3,
        )
    return picture


def _over_white(picture: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits as bytes, and what is transparent laid over white."""
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = Image.fromarray(_to_bytes(np.asarray(picture)))
    if picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture


def _check_size(size: tuple[int, int], what) -> None:
    w, h = size
    if w * h > MOST_PIXELS:
        raise ImageError(f"{what} has {w}×{h} pixels, more than 150 megapixels; scale it down first")
    if w == 0 or h == 0:
        raise ImageError(f"{what} has no pixels")


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Other numbers as 0–255: 16-bit ones by their type's range, the rest by their largest value."""
    if values.dtype.kind not in "biuf":
        raise ImageError(f"an array of {values.dtype} is no picture; give whole numbers 0–255 or floats 0–1")
    if not np.isfinite(values).all():
        raise ImageError("the picture holds values that are not finite; a picture is 0–255 or 0–1")
    largest = np.inf if values.dtype.name == "uint16" else values.max(initial=0)
    top = 1.0 if largest <= 1 else 255.0 if largest <= 255 else 65535.0
    values = values.astype(np.float64)
    return np.clip(values / top * 255, 0, 255).round().astype(np.uint8)


def _from_array(values: np.ndarray) -> Image.Image:
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] not in (3, 4)):
        raise ImageError(f"an array of shape {values.shape} is no picture; it must be (H, W), (H, W, 3) or (H, W, 4)")
    if values.dtype != np.uint8:
        values = _to_bytes(values)
    return Image.fromarray(values)
