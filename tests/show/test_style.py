"""The book's colours: the heat can be read in grey and by people with a colour blindness."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from IPython.lib.pretty import pretty
from PIL import Image

from qgc.errors import ImageError
from qgc.show import pixels
from qgc.show.style import HEAT, HEAT_BAR, Sheet, styled

GREY = np.array([0.2126, 0.7152, 0.0722])  # luminance of linear RGB (Rec. 709)
# Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB
BLIND = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def test_more_heat_is_darker_on_every_pale_ground():
    for ground in np.linspace(pixels.DARKEST, 1, 5):
        grey = linear(HEAT * ground) @ GREY
        assert (np.diff(grey) < 1e-6).all()
        assert grey[0] - grey[-1] > 0.2


def test_heat_is_ordered_for_the_colour_blind_too():
    seen = linear(np.asarray(HEAT_BAR.colors))
    for kind, matrix in BLIND.items():
        grey = np.clip(seen @ np.transpose(matrix), 0, 1) @ GREY
        assert (np.diff(grey[::8]) < 0).all(), kind


@pytest.mark.parametrize(
    "rc",
    [
        {"text.usetex": True},
        {"image.origin": "lower"},
        {"savefig.bbox": "tight", "savefig.transparent": True, "axes.facecolor": "black", "axes.grid": True},
    ],
    ids=lambda rc: " ".join(rc),
)
def test_what_a_user_set_in_matplotlib_changes_no_figure(rc):
    @styled
    def figure() -> bytes:
        sheet = Sheet(2, 2)
        sheet.subplots().imshow(np.arange(12).reshape(3, 4))
        return sheet

    def drawn() -> tuple[bytes, bytes]:
        saved = io.BytesIO()
        figure().savefig(saved, format="png")
        return figure()._repr_png_(), saved.getvalue()

    plain = drawn()
    with mpl.rc_context(rc):
        assert drawn() == plain


def test_an_interpreter_without_images_says_how_to_save_a_figure():
    sheet = Sheet(2, 1)
    assert repr(sheet) == '<Sheet size 200x100 with 0 Axes>: .savefig("figure.png") saves it'
    assert pretty(sheet) == "<Sheet size 200x100 with 0 Axes>"  # in a notebook, which shows it


def test_no_heat_is_clear_glass():
    assert (HEAT[0] == 1).all() and HEAT.min() > 0 and HEAT.max() == 1


def test_pale_is_grey_bright_and_keeps_the_order():
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (8, 1))).convert("RGB")
    found = pixels.pale(ramp)
    assert found.shape == (8, 256, 3) and np.ptp(found, axis=2).max() == 0
    assert found.min() >= 255 * pixels.DARKEST - 1 and (np.diff(found[0, :, 0].astype(int)) >= 0).all()
    assert pixels.pale(Image.new("RGB", (8, 8), "white")).shape == (8, 8, 3)


def test_share_is_bilinear_and_of_the_maps_own_maximum():
    map_ = np.zeros((14, 14))
    map_[3, 5] = 0.02
    share = pixels.share_of_maximum(map_, (224, 224))
    assert np.unravel_index(share.argmax(), share.shape)[0] // 16 == 3
    assert share.max() <= 1 and share.max() > 0.9
    assert np.isclose(share.sum(), 256, rtol=1e-3)  # bilinear enlarging keeps the mass of 16×16 pixels a cell
    assert pixels.share_of_maximum(np.zeros((14, 14)), (224, 224)) is None
    with pytest.raises(ImageError, match="give finite numbers"):
        pixels.share_of_maximum(np.full((14, 14), np.nan), (224, 224))


def test_compose_leaves_what_has_no_heat():
    ground = np.full((4, 4, 3), 200, np.uint8)
    share = np.zeros((4, 4), np.float32)
    share[0, 0] = 1
    found = pixels.compose(ground, share)
    assert (found[1:] == 200).all() and (found[0, 0] != 200).any()
    assert pixels.compose(ground, None) is ground


def test_stroke_lies_on_the_rim():
    mask = np.zeros((20, 20), bool)
    mask[5:15, 5:15] = True
    halo, line = pixels.stroke(mask, (40, 40))
    assert halo[line].all() and halo.sum() > line.sum() and not halo[20, 20]
