"""Any picture a person may hand in, as an RGB image, or one clear message why not."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .errors import ARCHIVES, ImageError, no_file

MOST_PIXELS = 150_000_000  # a 150-megapixel camera; larger files are more likely a mistake or an attack
HALVED = 80_000_000  # above this a picture comes at half its side: two copies of all its pixels would take a gigabyte
MOST_PROGRESSIVE = 100_000_000  # of a JPEG whose decoder keeps 6 bytes a pixel besides
MOST_DEEP = 25_000_000  # of numbers of 32 bits, which are scaled all at once
STRIP = 4_000_000  # pixels that are converted at once
LEAST_SIDE = 8  # below this there is nothing to see: accepted, with a warning
# What a photograph or a drawing comes in. Of Pillow's others, some start another program (EPS: Ghostscript).
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM")
NO_PICTURE = "is not a picture that can be read; save it as PNG or JPEG"


def open_image(source) -> Image.Image:
    """A path, a file's bytes, a PIL image, an array (H, W[, 3 or 4]) or anything with ``.image``, as an RGB PIL image.

    The camera's rotation (EXIF) is applied; transparent pixels are laid over white; CMYK, palette,
    grey and 16-bit pictures are converted. More than 80 megapixels come at half the side.

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
    if not isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
        raise ImageError(f"cannot read a picture from {type(source).__name__}; give a path, a PIL image or an array")
    with picture_file(source) as picture:
        if picture.width * picture.height > HALVED:  # JPEG need not be decoded in full; nothing happens to others
            picture.draft("RGB", (picture.width // 2, picture.height // 2))
        rgb = _rgb(picture)
        picture.close()
    return _upright(rgb)


@contextmanager
def picture_file(source: str | os.PathLike | bytes | bytearray | memoryview) -> Iterator[Image.Image]:
    """A picture's file, or its bytes, opened and not yet decoded.

    Raises
    ------
    ImageError
        If the file is missing, empty, no picture, or too large; or if it cannot be decoded.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        if not len(source):
            raise ImageError("the file is empty (0 bytes); copy or download it again")
        file, name = io.BytesIO(source), "the file"
    else:
        file, name = _path(source), str(source)
    Image.init()
    formats = [known for known in FORMATS if known in Image.OPEN]  # Pillow can be built without some
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit below says it better
            with Image.open(file, formats=formats) as picture:
                _check_size(picture.size, name)
                if picture.info.get("progressive") and picture.width * picture.height > MOST_PROGRESSIVE:
                    raise ImageError(f"{name} is a progressive JPEG of more than 100 megapixels; scale it down first")
                yield picture
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} {_is_archive(file) or NO_PICTURE}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has too many pixels; scale it down to at most 150 megapixels") from None
    except Exception as error:  # whatever a decoder raises, the file is of no use
        if isinstance(error, OSError) and error.errno:
            raise ImageError(f"{name} cannot be read ({error.strerror}); check the path") from None
        raise ImageError(f"{name} is damaged or cut off ({error}); copy or download it again") from None


def _path(source: str | os.PathLike) -> Path:
    path = Path(source)
    if not os.path.exists(path):  # unlike Path.exists, False for a name that is too long
        raise ImageError(no_file(source))
    if path.is_dir():
        raise ImageError(f"{path} is a folder; give one picture file")
    if not path.is_file():
        raise ImageError(f"{path} is a device or a pipe; give a picture file")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes); copy or download it again")
    return path


def _is_archive(file: Path | io.BytesIO) -> str:
    start = file.getvalue()[:8] if isinstance(file, io.BytesIO) else file.open("rb").read(8)
    return "is an archive; unpack it, then give a picture from it" if start.startswith(ARCHIVES) else ""


def to_rgb(picture: Image.Image) -> Image.Image:
    """A PIL image of any mode as RGB, upright, over white."""
    _check_size(picture.size, "the picture")
    try:
        return _upright(_rgb(picture))
    except ImageError:
        raise
    except Exception as error:  # a file that Pillow opened is decoded only now
        raise ImageError(f"the picture cannot be read or made RGB ({error}); save it as PNG or JPEG") from None


def _rgb(picture: Image.Image) -> Image.Image:
    """RGB over white, strip by strip: besides the picture and the result there is little in memory."""
    orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    if picture.mode in ("I", "F"):
        if picture.width * picture.height > MOST_DEEP:
            raise ImageError("the picture has more than 25 megapixels of 32 bits; save it with 8 or 16 bits")
        picture = Image.fromarray(_to_bytes(np.asarray(picture)))
    w, h = picture.size
    every = 2 if w * h > HALVED else 1
    rgb = Image.new("RGB", (-(-w // every), -(-h // every)))
    rows = max(STRIP // w, 1) * every
    for top in range(0, h, rows):
        strip = _over_white(picture.crop((0, top, w, min(top + rows, h)))).convert("RGB")
        rgb.paste(strip if every == 1 else strip.reduce(every), (0, top // every))
    rgb.getexif()[ExifTags.Base.Orientation] = orientation
    return rgb


def _upright(rgb: Image.Image) -> Image.Image:
    """Turned as its EXIF says; a warning if it is tiny."""
    picture = ImageOps.exif_transpose(rgb)
    if min(picture.size) < LEAST_SIDE:
        warnings.warn(
            "the picture is only {}×{} pixels; it is enlarged, but there is little to see".format(*picture.size),
            stacklevel=4,
        )
    return picture


def _over_white(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits as bytes, and what is transparent laid over white."""
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) / 65535 * 255).round().astype(np.uint8))
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
