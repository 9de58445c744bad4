"""Any image a person may hand in: read as it looks, or refused in words that help."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, PngImagePlugin

from qgc import images
from qgc.errors import ImageError
from qgc.images import open_image

RED, WHITE = (255, 0, 0), (255, 255, 255)
UNIT = np.linspace(0, 1, 243, dtype=np.float32).reshape(9, 9, 3)


@pytest.fixture
def pixels() -> np.ndarray:
    """A smooth image (40, 60, 3) without any symmetry."""
    y, x = np.mgrid[:40, :60]
    return np.stack([x * 4, y * 6, (x + y) * 2], 2).astype(np.uint8)


@pytest.fixture
def noise() -> Image.Image:
    """An image that no format can make small."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))


def saved(folder: Path, name: str, image: Image.Image, **options) -> Path:
    """The path of an image written into ``folder``."""
    image.save(folder / name, **options)
    return folder / name


# -- refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.png", None, "no file .*check the path"),
        ("x" * 5000, None, "no file"),
        ("zero.png", b"", "empty .0 bytes.*again"),
        ("words.png", b"this is a text, not an image\n" * 20, "not an image.*save it as PNG or JPEG"),
    ],
    ids=["missing", "name too long", "zero bytes", "text"],
)
def test_a_file_that_is_not_an_image_is_refused(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=says):
        open_image(path)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ImageError, match="is a folder; give one image file"):
        open_image(str(tmp_path))


@pytest.mark.parametrize("end", ["png", "jpg", "gif", "tif", "webp"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.8])
def test_a_truncated_file_is_refused(tmp_path, noise, end, share):
    path = saved(tmp_path, f"cut.{end}", noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError, match="damaged or cut off|not an image"):
        open_image(path)


def test_a_truncated_image_opened_by_pillow_is_refused(tmp_path, noise):
    path = saved(tmp_path, "cut.png", noise)
    path.write_bytes(path.read_bytes()[:300])
    with Image.open(path) as image, pytest.raises(ImageError, match="cannot be read"):
        open_image(image)


@pytest.mark.parametrize("side", [20_000, 13_000], ids=["20,000", "13,000"])
def test_a_huge_image_is_refused_before_it_is_unpacked(tmp_path, side):
    path = saved(tmp_path, "huge.png", Image.new("1", (side, side)))
    began = time.perf_counter()
    with pytest.raises(ImageError, match="150 megapixels"):
        open_image(path)
    seconds = time.perf_counter() - began
    print(f"\n{side}×{side} refused after {seconds * 1e3:.1f} ms")
    assert seconds < 0.3  # unpacking takes seconds


class Unreadable:
    """An array that cannot be had."""

    def __array__(self, *_, **__):
        raise ValueError("no numbers today")


@pytest.mark.parametrize(
    "source", [None, 3, object(), {"image": UNIT}, (UNIT,), np.ndarray], ids=lambda source: type(source).__name__
)
def test_what_is_no_source_of_images_is_refused(source):
    with pytest.raises(ImageError, match="give a path, a PIL image or an array"):
        open_image(source)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ([[1, 2], [3, 4]], r"a list of numbers as np.array\(image\)"),
        ([UNIT, UNIT], "of images one of them"),
        ([torch.zeros(3, 9, 9)], "of images one of them"),
        (np.array([[1, 2], [3]], object), r"shape \(2,\) is not an image"),
        (Unreadable(), "no numbers today"),
        (np.ma.masked_array(UNIT, UNIT > 0.5), r"masked places.*image.filled\(0\)"),
        (np.ma.masked_array((UNIT * 255).astype(np.uint8), UNIT > 0.5), "masked places"),
        (io.StringIO("an image"), "open it with 'rb'"),
        (io.TextIOWrapper(io.BytesIO(b"\x89PNG"), "utf-8"), "open it with 'rb'"),
    ],
    ids=["list", "arrays", "tensors", "ragged", "unreadable", "masked", "masked bytes", "text", "text file"],
)
def test_what_is_nearly_an_image_is_refused_with_the_remedy(source, says):
    with pytest.raises(ImageError, match=says):
        open_image(source)


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_a_nested_tensor_is_refused(layout):
    nested = torch.nested.nested_tensor([torch.zeros(3, 9), torch.zeros(3, 8)], layout=layout)
    with pytest.raises(ImageError, match="give one of plain numbers"):
        open_image(nested)


def test_a_closed_file_is_refused(tmp_path):
    with (tmp_path / "a.png").open("wb+") as file:
        pass
    with pytest.raises(ImageError, match="closed file.*give its path"):
        open_image(file)


def with_outlier(values: np.ndarray, outlier: float) -> np.ndarray:
    """The same with one bright pixel."""
    values = values.copy()
    values[2, 3] = outlier
    return values


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (with_outlier(UNIT, 200), 1),
        (with_outlier(UNIT, 60000), 1),
        (with_outlier(UNIT[..., 0], 200), 1),
        (with_outlier((UNIT * 200).astype(int), 60000), 255),
        (with_outlier(UNIT.repeat(9, 0).repeat(9, 1), 200), 1),
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_outliers_that_would_turn_the_rest_black_are_refused(values, first, kind):
    with pytest.raises(ImageError, match=rf"all but \d+ of the \d+ numbers .* nearly black.*clip\(0, {first}\)"):
        open_image(kind(values))
    assert np.asarray(open_image(np.clip(values, 0, first))).mean() > 90  # the remedy


def test_outliers_in_a_file_of_floats_are_refused():
    with pytest.raises(ImageError, match="all but 1 of the 81 numbers"):
        open_image(Image.fromarray(with_outlier(UNIT[..., 0], 200)))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((UNIT * 16383).astype(np.uint16), "dark: its largest number is 16383, and 65535 is taken for white"),
        ((UNIT * 32767).astype(np.int16), "16383 of 14 bits"),
        ((UNIT * 127).astype(np.int8), "its largest number is 127, and 255"),
        (UNIT * 100, "divide by it .100 of per cent"),
        ((UNIT * 100).astype(int), "is dark"),
        (with_outlier((UNIT * 255).astype(np.uint16), 65535), "all but 3 of the 243 numbers"),
        (with_outlier(UNIT / 200, 1), "cut them off and divide"),
    ],
    ids=["14 bits", "15 bits", "7 bits", "per cent", "whole per cent", "8 bits and one pixel", "one pixel"],
)
def test_what_may_have_been_meant_brighter_is_read_with_a_warning(values, says):
    with pytest.warns(UserWarning, match=says):
        open_image(values)


def test_a_file_of_per_cent_is_read_with_a_warning(tmp_path):
    with pytest.warns(UserWarning, match="is dark.*100 of per cent"):
        open_image(saved(tmp_path, "a.tif", Image.fromarray(UNIT[..., 0] * 100)))


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.full((9, 9), np.nan), "not finite"),
        (np.full((9, 9, 3), np.inf), "not finite"),
        (np.zeros(9), r"shape \(9,\) is not an image"),
        (np.zeros((3, 9, 9)), r"must be \(H, W\)"),
        (np.zeros((9, 9, 1)), r"must be \(H, W\)"),
        (np.zeros((2, 9, 9, 3)), r"must be \(H, W\)"),
        (np.zeros((0, 9)), "no pixels"),
        (np.zeros((0, 9), np.uint8), "no pixels"),
        (np.full((9, 9), "red"), "not an image"),
        (np.zeros((9, 9), object), "not an image"),
        (np.zeros((9, 9), complex), "not an image"),
        (np.full((9, 9), 1.05), r"go from 0 to 1.05, not 0–1 .*clip\(0, 1\)"),
        (UNIT * 4.3 - 2.1, r"go from -2.1 to 2.2, not 0–1 .*x \* std \+ mean"),  # ImageNet's
        (UNIT * 2 - 1, "of −1 to 1: x / 2"),
        (UNIT * 300, "from 0 to 300, not .*divide them"),
        (UNIT / 255, "divide them by what stands for white"),
        (UNIT * 1e9, "divide them"),
        (np.full((9, 9), -0.01), "from -0.01 to 0, not"),
        (np.full((9, 9), -3), r"\(int64\) go from -3 to 0"),
        ((UNIT * 255).astype(np.uint16), r"\(uint16\) go from 0 to 255, not 0–65535; divide them"),
        ((UNIT * 4095).astype(np.uint16), "to 4095, not 0–65535"),  # 12 bits
        (np.ones((9, 9, 3), int), r"go from 0 to 1, not 0–255 .*image.astype\(bool\)"),
        ((UNIT * 260).astype(int) * 4, "to 1040, not 0–255 or 0–65535"),
        (np.full((9, 9), 2**40), "e.12, not 0–255"),
        (np.full((9, 9, 4), [0.5, 0.5, 0.5, 0.0]), r"transparent everywhere.*image\[..., :3\]"),
        (np.full((9, 9, 4), [9, 9, 9, 0], np.uint8), "transparent everywhere"),
        (np.zeros((1, 9, 9, 3)), r"of a batch give one, image\[0\]"),
        (np.zeros((3, 9, 9)), r"image.transpose\(1, 2, 0\)"),
        (np.zeros((9, 9, 1)), r"image\[..., 0\]"),
        (np.broadcast_to(np.float32(0.5), (10**6, 10**6)), "150 megapixels"),
        (np.float32(0.5), r"shape \(\) is not an image"),
        (torch.zeros(2, 3, 9, 9), r"image\[0\]"),
        (torch.from_numpy(UNIT) * 4.3 - 2.1, "x \\* std"),
        (torch.ones(3, 9, 9, dtype=torch.long), r"image.astype\(bool\)"),
        (torch.full((3, 9, 9), torch.nan), "not finite"),
        (torch.empty(3, 9, 9, device="meta"), "plain numbers on the CPU"),
        (torch.eye(9).to_sparse(), "plain numbers"),
        (torch.empty(0), "is not an image"),
    ],
    ids=lambda x: f"{x.dtype}{tuple(x.shape)}" if hasattr(x, "dtype") else "",
)
def test_an_array_that_is_not_an_image_is_refused(values, says):
    with pytest.raises(ImageError, match=says):
        open_image(values)


@pytest.mark.parametrize("image", [Image.new("La", (9, 9)), Image.fromarray(np.full((9, 9), np.nan, np.float32))])
def test_a_pil_image_that_cannot_be_shown_is_refused(image):
    with pytest.raises(ImageError):
        open_image(image)


# -- read, with a stated fallback ---------------------------------------------------------------------


def test_a_tiny_image_is_read_with_a_warning(tmp_path, model):
    path = saved(tmp_path, "one.png", Image.new("RGB", (1, 1), RED))
    with pytest.warns(UserWarning, match="only 1×1 pixels"):
        image = open_image(path)
    assert image.size == (1, 1) and image.getpixel((0, 0)) == RED
    with pytest.warns(UserWarning, match="only 1×1 pixels"):
        assert model.prepare(path).shape == (1, 3, 224, 224)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("end", ["jpg", "png", "tif"])
def test_every_exif_rotation_gives_the_upright_image(tmp_path, pixels, orientation, end):
    upright = Image.fromarray(pixels)
    T = Image.Transpose
    stored = [None, T.FLIP_LEFT_RIGHT, T.ROTATE_180, T.FLIP_TOP_BOTTOM, T.TRANSPOSE, T.ROTATE_90, T.TRANSVERSE,
              T.ROTATE_270][orientation - 1]  # fmt: skip
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(tmp_path, f"a.{end}", upright if stored is None else upright.transpose(stored), exif=exif, quality=98)
    read = open_image(path)
    assert read.size == upright.size
    worst = int(np.abs(np.asarray(read).astype(int) - pixels).max())
    assert worst <= (12 if end == "jpg" else 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_does_not_stop_a_whole_image(tmp_path, pixels):
    path = saved(tmp_path, "a.jpg", Image.fromarray(pixels), exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert open_image(path).size == (60, 40)


@pytest.mark.parametrize("orientation", ["right-top", "6", b"\x06", (6, 7), [6], None, -1, 0, 10**12, float("nan")])
def test_an_orientation_that_is_none_leaves_the_image_as_it_is(pixels, orientation):
    image = Image.fromarray(pixels)
    image.getexif()[274] = orientation
    assert np.array_equal(open_image(image), pixels)


@pytest.mark.parametrize("key", ["exif", "Raw profile type exif", "xmp"])
def test_metadata_that_are_text_do_not_stop_a_whole_image(tmp_path, pixels, key):
    info = PngImagePlugin.PngInfo()
    info.add_text(key, "tiff:Orientation: right-top")
    assert np.array_equal(open_image(saved(tmp_path, "a.png", Image.fromarray(pixels), pnginfo=info)), pixels)


def test_cmyk_jpeg_keeps_its_colours(tmp_path, pixels):
    path = saved(tmp_path, "a.jpg", Image.fromarray(pixels).convert("CMYK"), quality=98)
    assert np.abs(np.asarray(open_image(path)).astype(int) - pixels).mean() < 4


def half_clear(mode: str) -> Image.Image:
    """Left half red (or black), right half transparent; ``mode`` RGBA, LA or P."""
    image = Image.new("RGBA", (20, 10), (*RED, 255))
    image.paste((0, 0, 255, 0), (10, 0, 20, 10))
    if mode == "P":
        image = Image.new("P", (20, 10), 0)
        image.putpalette([*RED, 0, 0, 255])
        image.paste(1, (10, 0, 20, 10))
        image.info["transparency"] = 1
        return image
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("through_file", [True, False], ids=["file", "image"])
def test_what_is_transparent_lies_over_white(tmp_path, mode, through_file):
    image = half_clear(mode)
    source = saved(tmp_path, "a.png", image, **({"transparency": 1} if mode == "P" else {}))
    read = open_image(source if through_file else image)
    assert read.mode == "RGB" and read.getpixel((15, 5)) == WHITE
    assert read.getpixel((5, 5)) == (RED if mode != "LA" else (76, 76, 76))


def test_half_transparent_is_half_white():
    read = open_image(Image.new("RGBA", (9, 9), (0, 0, 0, 128)))
    assert read.getpixel((4, 4)) == (127, 127, 127)


@pytest.mark.filterwarnings("ignore:this image .* is dark")
@pytest.mark.parametrize("value", [0, 5000, 32768, 65535])
@pytest.mark.parametrize("kind", ["png", "array", "big-endian"])
def test_sixteen_bits_are_scaled_by_their_range(tmp_path, value, kind):
    values = np.full((9, 9), value, np.uint16 if kind != "big-endian" else ">u2")
    source = saved(tmp_path, "a.png", Image.fromarray(values)) if kind == "png" else values
    assert open_image(source).getpixel((4, 4)) == (round(value / 257),) * 3


@pytest.mark.filterwarnings("ignore:this image .* is dark")
@pytest.mark.parametrize(("top", "expected"), [(255, 255), (65535, 255), (100, 100)])
def test_32_bit_grey_is_scaled_by_its_largest_value(top, expected):
    ramp = np.linspace(0, top, 81).round().astype(np.int32).reshape(9, 9)
    assert open_image(Image.fromarray(ramp)).getpixel((8, 8)) == (expected,) * 3


@pytest.mark.filterwarnings("ignore:this image .* is dark")
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.full((9, 9, 3), 0.5), 128),
        (np.full((9, 9, 3), 0.5, np.float32), 128),
        (np.full((9, 9), 200.0), 200),
        (np.full((9, 9, 3), 77, np.uint8), 77),
        (np.full((9, 9, 4), 255, np.uint8), 255),
        (np.full((9, 9), 120, np.int64), 120),
        (np.ones((9, 9), bool), 255),
        (np.full((9, 9, 3), 1.02), 255),  # bicubic resizing overshoots
        (np.where(np.eye(9, k=3), -0.02, 0.5), 128),
        (np.full((9, 9), 1.0), 255),
        (np.full((9, 9), 65535.0), 255),
        (np.full((9, 9), 32896, np.int32), 128),
        (np.full((9, 9), 120, np.uint32), 120),
        (np.full((9, 9), 0.5, np.float16), 128),
        (np.zeros((9, 9)), 0),
        (np.zeros((9, 9), np.uint16), 0),
        (np.full((9, 9, 4), [0.5, 0.5, 0.5, 1.0]), 128),
        (np.full((9, 9, 4), [200.0, 200.0, 200.0, 1.0]), 200),
        (np.full((18, 27, 3), 0.5)[::-2, ::3], 128),
        (np.broadcast_to(np.float32(0.5), (9, 9, 3)), 128),
        (torch.full((3, 9, 9), 0.5), 128),
        (torch.full((9, 9, 3), 0.5, requires_grad=True), 128),
        (torch.full((1, 9, 9), 0.5, dtype=torch.bfloat16), 128),
        (torch.full((9, 9), 0.5, dtype=torch.float16), 128),
        (torch.full((3, 9, 9), 77, dtype=torch.uint8), 77),
        (torch.ones(9, 9, dtype=torch.bool), 255),
        (torch.nn.Parameter(torch.full((4, 9, 9), 1.0)), 255),
    ],
    ids=lambda x: f"{x.dtype}{tuple(x.shape)}" if hasattr(x, "dtype") else "",
)
def test_arrays_are_read(values, expected):
    read = open_image(values)
    assert read.mode == "RGB" and read.size == (9, 9) and read.getpixel((4, 4)) == (expected,) * 3


@pytest.mark.parametrize("white", [1, 255, 65535])
@pytest.mark.parametrize("through_file", [True, False], ids=["TIFF", "image"])
def test_floats_of_pillow_are_scaled_by_their_range(tmp_path, white, through_file):
    image = Image.fromarray(UNIT[..., 0] * white)
    source = saved(tmp_path, "a.tif", image) if through_file else image
    assert np.array_equal(np.asarray(open_image(source))[..., 1], (UNIT[..., 0] * 255).round())
    with pytest.raises(ImageError, match="normalisation"):
        open_image(Image.fromarray(UNIT[..., 0] * white - white / 2))


def test_every_row_of_a_large_array_is_converted():
    ramp = np.arange(3000, dtype=np.float32)[:, None].repeat(900, 1) / 2999
    assert np.array_equal(np.asarray(open_image(ramp))[..., 0], np.clip(ramp.astype(float) * 255, 0, 255).round())


def test_bytes_that_are_nearly_black_are_read_with_a_warning():
    with pytest.warns(UserWarning, match=r"nearly black: its largest number is 1 of 255; .*image.astype\(bool\)"):
        assert open_image(np.ones((9, 9), np.uint8)).getpixel((4, 4)) == (1, 1, 1)


@pytest.mark.parametrize("mode", ["1", "L", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16", "RGBX"])
def test_every_mode_of_pillow_becomes_rgb(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_image(Image.new(mode, (9, 9))).mode == "RGB"


def test_a_scene_is_an_image():
    image = Image.new("RGB", (9, 9), RED)
    assert open_image(SimpleNamespace(image=image)).getpixel((0, 0)) == RED


def test_random_damage_gives_only_image_errors(tmp_path, pixels):
    """Bytes changed or cut at random: an image or an ImageError, never another exception."""
    rng = np.random.default_rng(0)
    outcomes = {"read": 0, "refused": 0}
    for end in ("png", "jpg", "gif", "webp", "bmp"):
        whole = saved(tmp_path, f"a.{end}", Image.fromarray(pixels)).read_bytes()
        for trial in range(40):
            data = bytearray(whole)
            if trial % 2:
                data = data[: rng.integers(1, len(data))]
            else:
                for place in rng.integers(0, min(len(data), 200), 4):
                    data[place] = rng.integers(256)
            path = tmp_path / "damaged"
            path.write_bytes(data)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    open_image(path)
                    outcomes["read"] += 1
                except ImageError:
                    outcomes["refused"] += 1
    print(f"\ndamaged files: {outcomes}")
    assert outcomes["refused"] > 50


def test_bytes_are_those_of_a_file(tmp_path):
    Image.new("RGB", (20, 10), "red").save(tmp_path / "red.png")
    data = (tmp_path / "red.png").read_bytes()
    assert open_image(data).tobytes() == open_image(tmp_path / "red.png").tobytes()
    for bad, message in ((b"", "is empty"), (b"bytes", "not an image"), (data[:45], "the file is")):
        with pytest.raises(ImageError, match=message):
            open_image(bad)


# -- files that are large, or not what they are called ------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n{} loop\n",  # Ghostscript would never end
        b"%PDF-1.4\n",
        b"\xd7\xcd\xc6\x9a" + bytes(40),
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        b"P" * 99,
    ],
    ids=["EPS", "PDF", "WMF", "SVG", "letters"],
)
def test_what_is_called_jpg_is_opened_as_an_image_or_not_at_all(tmp_path, content):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for source in (path, content):
        with pytest.raises(ImageError, match="is not an image that can be read; save it as PNG or JPEG"):
            open_image(source)


def test_the_formats_are_chosen_at_one_place():
    package = Path(images.__file__).parent
    found = {p.name for p in package.rglob("*.py") if re.search(r"\bImage\.open\(", p.read_text(encoding="utf-8"))}
    assert found == {"images.py"}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("photos.zip", "photos.zip is an archive; unpack it"),
        ("https://example.org/cat.jpg", "https://example.org/cat.jpg is an address; download the file"),
        (Path("https://example.org/cat.jpg"), "is an address; download the file"),
        ("/dev/null", "device or a pipe"),
        ("nul\0.png", "there is no file"),
    ],
    ids=["archive", "address", "address as a path", "device", "nul"],
)
def test_what_is_given_in_place_of_an_image_is_named(tmp_path, monkeypatch, name, says):
    monkeypatch.chdir(tmp_path)
    Path("photos.zip").write_bytes(b"PK\x03\x04" + bytes(99))
    with pytest.raises(ImageError, match=says):
        open_image(name)


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "P", "LA", "L", "1", "CMYK", "I;16", "I", "F"])
def test_strips_give_what_the_whole_gives(tmp_path, monkeypatch, noise, kind):
    image = Image.fromarray(np.asarray(noise.convert("L")).astype(np.uint16) * 257) if kind == "I;16" else None
    image = image or noise.convert("L" if kind in ("I", "F") else kind).convert(kind)
    if kind == "RGBA":
        image.putalpha(noise.convert("L"))
    whole = open_image(image)
    monkeypatch.setattr(images, "BAND", 7 * image.width)
    assert open_image(image).tobytes() == whole.tobytes()
    monkeypatch.setattr(images, "MOST_UNREDUCED", 1000)
    third = open_image(image)
    assert third.size == (-(-whole.width // 3), -(-whole.height // 3))
    assert np.abs(np.asarray(third).astype(int) - np.asarray(whole.reduce(3))).max() <= 1


def test_an_image_of_the_largest_size_takes_less_than_a_gigabyte(tmp_path):
    if not os.environ.get("QGC_SLOW"):
        pytest.skip("set QGC_SLOW=1: 144 megapixels of 16 bits")
    Image.fromarray(np.zeros((12_000, 12_000), np.uint16)).save(tmp_path / "a.png", compress_level=1)
    program = (
        "import qgc, sys\n"
        "assert qgc.open_image(sys.argv[1]).size == (4000, 4000)\n"
        "print(open('/proc/self/status', encoding='utf-8').read().partition('VmHWM:')[2].split()[0])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.png"], capture_output=True, text=True, check=True
    )
    print(f"\n{int(run.stdout) / 1e6:.2f} GB")
    assert int(run.stdout) < 1e6  # kilobytes on Linux


def test_an_open_file_is_read(tmp_path):
    image = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    image.save(tmp_path / "p.png")
    with (tmp_path / "p.png").open("rb") as file:
        assert np.array_equal(open_image(file), image)
    twice = np.frombuffer((tmp_path / "p.png").read_bytes(), np.uint8).repeat(2)
    assert np.array_equal(open_image(memoryview(twice.tobytes())[::2]), image)


@pytest.mark.parametrize("alpha", [1.0, 255.0])
def test_the_range_of_alpha_is_its_own(alpha):
    values = np.full((2, 2, 4), 0.5, np.float32)
    values[..., 3] = alpha
    assert np.asarray(open_image(values)).tolist() == np.full((2, 2, 3), 128).tolist()
