"""Any image that a person may give, as an RGB image, or one clear message why it cannot be used."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from .errors import ARCHIVES, ImageError, no_file

MOST_PIXELS = 150_000_000  # a 150-megapixel camera; larger files are more likely a mistake or an attack
MOST_UNREDUCED = 40_000_000  # pixels; a larger image is scaled down, since copies of it would take gigabytes
REDUCTION = 3  # by which its sides are then divided
MOST_HEAVY = 40_000_000  # pixels in a format whose decoder takes up to 17 bytes for each
HEAVY = ("WEBP", "AVIF")
MOST_PROGRESSIVE = 100_000_000  # pixels of a JPEG whose decoder takes 6 bytes for each
BAND = 1_000_000  # pixels that are converted at a time
LEAST_SIDE = 8  # below this there is nothing to see: accepted, with a warning
OVERSHOOT = 0.02  # how far numbers may be outside of black and white, as a fraction of the range
DARK = 1 / 16  # of white; an image whose brightest number is no more was most likely meant in another range
DIM = 1 / 2  # of white; less likely so, hence a warning: per cent, 14 bits in 16, or a dark image
FEW, FEWEST = 1 / 1000, 3  # of the numbers; if no more are brighter than DARK, they are outliers, such as one pixel
STRIP = 2**20  # numbers of an array that are converted at a time
# The formats of photographs and drawings. Of Pillow's others, some start another program (EPS: Ghostscript).
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM")
NOT_AN_IMAGE = "is not an image that can be read; save it as PNG or JPEG"


def open_image(source) -> Image.Image:
    """A path, a file's bytes, a PIL image, an array or a tensor, or anything with ``.image``, as an RGB PIL image.

    The camera's rotation (EXIF) is applied; transparent pixels are put on white; CMYK, palette,
    gray and 16-bit images are converted. Of more than 40 megapixels the sides are divided by three, of a JPEG by two
    first. An array is (H, W), (H, W, 3) or (H, W, 4), a tensor also (3, H, W), in floats 0–1, whole numbers 0–255 or
    0–65535, or true and false; others are refused, with a message that says how to convert them. One that is darker
    than half of its range's white is read with a warning.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated, not an image, or larger than 150 megapixels; if an array has another
        shape or range than an image, or masked places.
    """
    if hasattr(source, "image"):  # a scene
        source = source.image
    if hasattr(source, "read"):
        source = _contents(source)
    if hasattr(source, "detach"):
        source = _from_tensor(source)
    elif hasattr(source, "__array__") and not isinstance(source, Image.Image | type):
        source = _from_array(_as_array(source))
    if isinstance(source, Image.Image):
        return to_rgb(source)
    if not isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
        more = ": a list of numbers as np.array(image), of images one of them" if isinstance(source, list) else ""
        raise ImageError(f"cannot read an image from {type(source).__name__}; give a path, a PIL image or an array"
                         + more)  # fmt: skip
    with image_file(source) as image:
        if image.width * image.height > MOST_UNREDUCED:  # a JPEG need not be decoded in full
            image.draft("RGB", (image.width // 2, image.height // 2))
        rgb = _rgb(image)
        image.close()
    return _upright(rgb)


def _contents(file) -> bytes:
    """The rest of an open file."""
    try:
        data = file.read()
    except (OSError, ValueError, TypeError) as error:  # closed, or opened as text
        raise ImageError(f"this open file cannot be read ({str(error)[:80]}); give its path, or open it with 'rb'"
                         ) from None  # fmt: skip
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ImageError(f"this open file gives {type(data).__name__}, not bytes; open it with 'rb'")
    return data


def _as_array(source) -> np.ndarray:
    """``source`` as an array; masked places have no color, and NumPy would show the numbers behind the mask."""
    if np.ma.is_masked(source):
        raise ImageError("this array has masked places, which have no color; give them one with image.filled(0)")
    try:
        return np.asarray(source)
    except Exception as error:  # raised by somebody else's class
        raise ImageError(f"{type(source).__name__} cannot be made an array ({error}); give a NumPy array") from None


@contextmanager
def image_file(source: str | os.PathLike | bytes | bytearray | memoryview) -> Iterator[Image.Image]:
    """An image's file, or its bytes, opened and not yet decoded.

    Raises
    ------
    ImageError
        If the file is missing, empty, not an image, or too large; or if it cannot be decoded.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        if not len(source):
            raise ImageError("the file is empty (0 bytes); copy or download it again")
        file, name = io.BytesIO(bytes(source)), "the file"
    else:
        file, name = _path(source), str(source)
    Image.init()
    formats = [known for known in FORMATS if known in Image.OPEN]  # Pillow may be built without some
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our limit below says it better
            with Image.open(file, formats=formats) as image:
                most = MOST_HEAVY if image.format in HEAVY else MOST_PIXELS
                _check_size(image.size, name, MOST_PROGRESSIVE if image.info.get("progressive") else most)
                yield image
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"{name} {_is_archive(file) or NOT_AN_IMAGE}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has too many pixels; scale it down to at most 150 megapixels") from None
    except Exception as error:  # whatever a decoder raises, the file cannot be used
        if isinstance(error, OSError) and error.errno:
            raise ImageError(f"{name} cannot be read ({error.strerror}); check the path") from None
        raise ImageError(f"{name} is damaged or cut off ({error}); copy or download it again") from None


def _path(source: str | os.PathLike) -> Path:
    path = Path(source)
    if not os.path.exists(path):  # unlike Path.exists, False for a name that is too long
        raise ImageError(no_file(source))
    if path.is_dir():
        raise ImageError(f"{path} is a folder; give one image file")
    if not path.is_file():
        raise ImageError(f"{path} is a device or a pipe; give an image file")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty (0 bytes); copy or download it again")
    return path


def _is_archive(file: Path | io.BytesIO) -> str:
    with io.BytesIO(file.getvalue()) if isinstance(file, io.BytesIO) else file.open("rb") as opened:
        start = opened.read(8)
    return "is an archive; unpack it, then give an image from it" if start.startswith(ARCHIVES) else ""


def to_rgb(image: Image.Image) -> Image.Image:
    """A PIL image of any mode as RGB, upright, over white."""
    _check_size(image.size, "the image")
    try:
        return _upright(_rgb(image))
    except ImageError:
        raise
    except Exception as error:  # Pillow decodes a file only when it is needed
        raise ImageError(f"the image cannot be read or made RGB ({error}); save it as PNG or JPEG") from None


def _rgb(image: Image.Image) -> Image.Image:
    """RGB over white, converted band by band: nothing large but the image and the result is in memory."""
    image.load()  # rotates a TIFF, and removes its orientation
    orientation = _orientation(image)
    w, h = image.size
    every = REDUCTION if w * h > MOST_UNREDUCED else 1
    rgb = Image.new("RGB", (-(-w // every), -(-h // every)))
    rows = max(BAND // w, 1) * every
    boxes = [(0, top, w, min(top + rows, h)) for top in range(0, h, rows)]
    white = None
    if image.mode.startswith("I") or image.mode == "F":  # white is decided by all of its numbers
        white = _white(np.asarray(image.crop(box)) for box in boxes)
    for box in boxes:
        band = image.crop(box)
        if white is not None:
            band = Image.fromarray(_scaled(np.asarray(band), white))
        band = _over_white(band).convert("RGB")
        rgb.paste(band if every == 1 else band.reduce(every), (0, box[1] // every))
    rgb.getexif()[ExifTags.Base.Orientation] = orientation
    return rgb


def _orientation(image: Image.Image) -> int:
    """How the camera was held, 1–8; 1, upright, where the EXIF is damaged or says something else."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged EXIF does not damage the image
        return 1
    return int(orientation) if isinstance(orientation, int | float) and orientation in range(1, 9) else 1


def _upright(rgb: Image.Image) -> Image.Image:
    """The image rotated as its EXIF says; a warning if it is tiny."""
    image = ImageOps.exif_transpose(rgb)
    if min(image.size) < LEAST_SIDE:
        warnings.warn(
            "the image is only {}×{} pixels; it is enlarged, but there is little to see".format(*image.size),
            stacklevel=4,
        )
    return image


def _over_white(image: Image.Image) -> Image.Image:
    """The image on white, if it is transparent anywhere."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image


def _check_size(size: tuple[int, int], what, most: int = MOST_PIXELS) -> None:
    w, h = size
    if w * h > most:
        kind = "" if most == MOST_PIXELS else " of such a file"
        raise ImageError(f"{what} has {w}×{h} pixels, more than {most // 10**6} megapixels{kind}; scale it down first")
    if w == 0 or h == 0:
        raise ImageError(f"{what} has no pixels")


def _from_array(values: np.ndarray) -> Image.Image:
    shape = values.shape
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (3, 4)):
        raise ImageError(f"an array of shape {shape} is not an image; it must be (H, W), (H, W, 3) or (H, W, 4)"
                         + _reshaped(shape))  # fmt: skip
    _check_size((shape[1], shape[0]), "the array")
    given, values = values, values if values.dtype == np.uint8 else _all_to_bytes(values)
    if len(shape) == 3 and shape[2] == 4 and values[..., 3].max() < DARK * 255:
        raise ImageError("this image is transparent everywhere, its fourth channel being 0 or nearly; "
                         "give image[..., :3]")  # fmt: skip
    brightest = (values[..., :3] if len(shape) == 3 else values).max()
    if given is values and 0 < brightest < DARK * 255:
        warnings.warn(f"this image is nearly black: its largest number is {brightest} of 255; of a mask of 0 and 1 "
                      "give image.astype(bool)", stacklevel=3)  # fmt: skip
    return Image.fromarray(values)


def _all_to_bytes(values: np.ndarray) -> np.ndarray:
    """:func:`_to_bytes`; an alpha channel may have another range than the colors."""
    if values.ndim == 2 or values.shape[2] == 3:
        return _to_bytes(values)
    return np.concatenate([_to_bytes(values[..., :3]), _to_bytes(values[..., 3:])], 2)


def _reshaped(shape: tuple[int, ...]) -> str:
    """For a message: how to bring an array of another shape into that of an image."""
    if len(shape) == 4:
        return "; of a batch give one, image[0]"
    if len(shape) == 3 and shape[2] == 1:
        return "; here image[..., 0]"
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "; here image[0]" if shape[0] == 1 else "; here image.transpose(1, 2, 0)"
    return ""


def _from_tensor(tensor) -> Image.Image:
    """A tensor of PyTorch on any device, as an array is read; (3, H, W), as in torchvision, or like an array."""
    try:
        if tensor.ndim == 3 and tensor.shape[0] in (1, 3, 4) and tensor.shape[2] not in (3, 4):
            tensor = tensor[0] if tensor.shape[0] == 1 else tensor.permute(1, 2, 0)
        tensor = tensor.detach().cpu()
        values = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()  # NumPy lacks it
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise ImageError(f"this tensor is not an image ({str(error).splitlines()[0]}); give one of plain numbers on "
                         "the CPU") from None  # fmt: skip
    return _from_array(values)


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Numbers other than bytes as 0–255, strip by strip: all of it in float64 would take eight times the memory."""
    if values.dtype.kind == "b":
        return values * np.uint8(255)
    steps = max(1, STRIP // max(1, values[0].size))
    strips = [slice(start, start + steps) for start in range(0, len(values), steps)]
    white = _white(values[strip] for strip in strips)
    pixels = np.empty(values.shape, np.uint8)
    for strip in strips:
        pixels[strip] = _scaled(values[strip], white)
    return pixels


def _scaled(values: np.ndarray, white: int) -> np.ndarray:
    return np.clip(values.astype(np.float64) / white * 255, 0, 255).round().astype(np.uint8)


def _white(strips: Iterable[np.ndarray]) -> int:
    """The number that means white in an image whose numbers are not bytes, given in strips.

    It is 65535 in ``uint16``; 255 or 65535 in other whole numbers; 1, 255 or 65535 in floats: the first of these that
    the largest number exceeds by 2 % at most. That much is clipped, above and below (bicubic resizing overshoots so).
    An image that would then be nearly black, 1/16 of white or less, most likely has another range, and numbers further
    out are not an image: both are refused, and so are a few outliers that alone would decide for a larger white.

    Raises
    ------
    ImageError
        If these are not numbers, not finite, or in none of these ranges; the message says how to convert them.
    """
    # One pass over the strips: the range, and how many numbers are visibly bright for each white that is possible.
    low, high, size, bright = 0.0, 0.0, 0, {1: 0, 255: 0, 65535: 0}
    for values in strips:
        dtype, kind = values.dtype, values.dtype.kind
        if kind not in "iuf":
            raise ImageError(f"an array of {dtype} is not an image; give whole numbers 0–255 or floats 0–1")
        ends = float(values.min(initial=0)), float(values.max(initial=0))
        if not np.isfinite(ends).all():
            raise ImageError("the image holds values that are not finite; an image is 0–255 or 0–1")
        low, high = min(low, ends[0]), max(high, ends[1])
        size += values.size
        for white in bright:
            bright[white] += np.count_nonzero(values > DARK * white)
    # The smallest white that the numbers fit under, unless they leave its range or use almost nothing of it.
    whites = (65535,) if dtype.name == "uint16" else (1, 255, 65535) if kind == "f" else (255, 65535)
    white = next((w for w in whites if high <= w * (1 + OVERSHOOT)), None)
    if white is None or low < -OVERSHOOT * white or (low < 0 or high > 0) and high <= DARK * white:
        ranges = " or ".join(f"0–{w}" for w in whites)
        raise ImageError(f"the numbers of this image ({dtype}) go from {low:.4g} to {high:.4g}, not {ranges}; "
                         + _ranged(low, high, kind))  # fmt: skip
    # A few bright numbers among dark ones decided: a hot pixel must not set the scale of all others.
    if 0 < bright[white] <= max(FEWEST, FEW * size) and bright[white] < size:
        about = (f"all but {bright[white]} of the {size} numbers of this image ({dtype}) are nearly black when "
                 f"{white} is white, since it goes up to {high:.5g}")  # fmt: skip
        if white > whites[0]:
            raise ImageError(f"{about}; cut off what exceeds the rest, such as image.clip(0, {whites[0]}), or divide "
                             f"by {white} if it is so dark")  # fmt: skip
        warnings.warn(f"{about}; if it is not so dark, cut them off and divide by what is white then", stacklevel=5)
    elif white != 1 and 0 < high < DIM * white:
        warnings.warn(f"this image ({dtype}) is dark: its largest number is {high:.5g}, and {white} is taken for "
                      "white; if another number is, divide by it (100 of per cent, 16383 of 14 bits)",
                      stacklevel=5)  # fmt: skip
    return white


def _ranged(low: float, high: float, kind: str) -> str:
    """For a message: how to bring numbers of another range into that of an image."""
    if low < 0:
        return "undo their normalisation first (x * std + mean; of −1 to 1: x / 2 + 0.5), which gives floats 0–1"
    if kind == "f" and 1 < high < 2:
        return "cut them off with image.clip(0, 1), or undo their normalisation first (x * std + mean)"
    if high == 1:
        return "of a mask of 0 and 1 give image.astype(bool)"
    return "divide them by what stands for white among them, such as 255, which gives floats 0–1"
