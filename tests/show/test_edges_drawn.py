"""Boundaries of what is drawn and written: where being off by one would still look right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from explorer.export import scene_part
from loading import load_scripts
from looking import box_of_mask, outlines, pixels
from parts.packing import FEW, pack_maps, random_scores, unpack_maps
from scipy import ndimage

import qgc
from qgc.explain import EncodedImage, explain
from qgc.lab.ledger import show as page
from qgc.paper.figure_list import FIGURES
from qgc.show import plots, widgets
from qgc.show.pixels import enlarge_mask, pale
from qgc.show.style import CYCLE, HEAT, INK, OUTLINES
from qgc.show.widgets import SIDE


def test_a_pixel_half_inside_is_outside():
    assert enlarge_mask(np.array([[True, False]] * 2), (1, 1)).tolist() == [[False]]


def test_heat_is_the_darkened_inferno():
    import matplotlib as mpl

    assert HEAT[0].tolist() == [1, 1, 1] and len(HEAT) == 256
    for level in (3, 15, 128, 255):
        share = level / 255
        opacity = 0.94 * share**0.5 * min(share / 0.06, 1)
        paint = np.array(mpl.colormaps["inferno"](0.93 - 0.68 * share)[:3])
        assert HEAT[level] == pytest.approx(1 - opacity * (1 - paint))


def test_random_scores_are_xorshift32():
    """Marsaglia's (2003) triple 13, 17, 5 from x = 1 gives 270369 and 67634689."""
    one = pow(0x9E3779B1, -1, 2**32)  # the seed that starts it at 1
    assert random_scores(one - 1, 2).tolist() == [270369, 67634689]
    assert random_scores(2**32 - 1, 2).tolist() == [270369, 67634689]  # 0 would stay 0
    assert (random_scores(7, 500) < 2**32).all()


@pytest.mark.parametrize("rank, size", [(FEW, 2), (FEW + 1, 1)])
def test_few_patterns_are_written_as_a_product(rank, size):
    rng = np.random.default_rng(0)
    P = np.linalg.qr(rng.normal(size=(100, rank)))[0] @ np.linalg.qr(rng.normal(size=(60, rank)))[0].T
    packed = pack_maps(P)
    assert packed["bytes"] == size and (packed["patterns"] is None) == (size == 1)
    assert np.abs(unpack_maps(packed, 60) - P).max() < 0.01 * np.abs(P).max()


def test_pages_without_an_exercise_come_between_those_with_one(tmp_path):
    page = "<html><head></head><body>{}</body></html>"
    mount = '<div class="qgc-predict" data-exercise="x"></div>'
    for name, body in (("a", "<p>"), ("b", mount), ("c", "<p>"), ("d", mount)):
        (tmp_path / f"{name}.html").write_text(page.format(body))
    (tmp_path / "predict").mkdir()
    (tmp_path / "predict" / "x.js").write_text("1")
    assert [p.name for p in load_scripts(tmp_path, tmp_path / "predict")] == ["b.html", "d.html"]


@pytest.fixture(scope="module")
def explained(small_model):
    scene = qgc.scene("bathroom")
    return explain(small_model, EncodedImage(small_model, scene), scene.questions[0], "white")


def near(picture, colour, off=60):
    return np.abs(picture - [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).sum(-1) < off


def test_the_cut_is_upright_and_the_ranks_stand_under_their_bars(explained):
    picture = np.asarray(widgets._bars(explained, 5)).astype(int)
    columns = [np.flatnonzero(near(picture[y], CYCLE[1])).tolist() for y in (28, 120, 210)]
    step = (SIDE - 6 - 46) / 32
    assert columns[0] == columns[1] == columns[2] and abs(np.mean(columns[0]) - (46 + 5 * step - 1)) <= 1
    assert not near(picture[:24], CYCLE[1]).any()  # below the title
    below = np.flatnonzero(near(picture[242:258], INK, 200).any(0))
    assert abs((below.min() + below.max()) / 2 - SIDE / 2) < 4 and below.min() > 20  # the name of the axis
    written = np.flatnonzero(near(picture[223:234], INK, 200).any(0))
    expected = [46 + (rank - 0.5) * step for rank in (1, 10, 20, 30)]
    assert all(min(abs(x - at) for at in expected) < 12 for x in written)
    assert all(np.abs(written - at).min() < 5 for at in expected)


def test_every_mask_of_a_scene_has_its_outline():
    scene = qgc.scene("bathroom")
    found = outlines(plots.scene_masks(scene, ["towels", "sink"]).axes[1])
    for name, colour in zip(("towels", "sink"), CYCLE, strict=False):
        assert np.abs(found[colour] - box_of_mask(scene.masks[name])).max() < 4


def test_the_line_from_a_name_ends_where_its_mask_is_deepest():
    scene = qgc.scene("bathroom")
    ax = plots.scene_masks(scene, ["towels", "sink"]).axes[1]
    ends = [line.get_xydata()[0].astype(int) for line in ax.get_lines() if line.get_marker() == "o"]
    assert {text.get_text() for text in ax.texts} == {"towels", "sink"} and len(ends) == 2
    for text, (x, y) in zip(ax.texts, ends, strict=True):
        inside = enlarge_mask(scene.masks[text.get_text()], pixels(ax).shape[1::-1])
        row = ndimage.distance_transform_edt(np.pad(inside, 1))[1 + y]
        assert row[1 + x] == row.max() > 5


def test_a_thumbnail_of_the_ledger_shows_its_map_and_outlines_what_is_asked_first(monkeypatch):
    figure = next(f for f in FIGURES.values() if (f.situation, f.kind) == ("bathroom", "map"))
    map_ = torch.zeros(14, 14)
    map_[1, 12] = 1.0
    monkeypatch.setattr(page.ledger, "drawn_map", lambda figure, sources: map_)
    shown = np.asarray(page.picture_of(figure, None)).astype(int)
    scene, side = qgc.scene("bathroom"), page.SIDE
    ground = pale(scene.render(side)).astype(int)
    darker = (ground - shown).sum(2)
    line = near(shown, OUTLINES[0], 10)
    y, x = np.unravel_index(np.where(line, 0, darker).argmax(), line.shape)
    assert (14 * y // side, 14 * x // side) == (1, 12)
    rows, columns = np.nonzero(line)
    expected = box_of_mask(scene.masks[page.ledger.asked(figure)[0].thing], side)
    assert np.abs(np.array([columns.min(), rows.min(), columns.max(), rows.max()]) - expected).max() < 4


@pytest.mark.parametrize("name, ns", [("toilets", [25, 400, 1024]), ("couple", qgc.paper.sweep_n("bathroom"))])
def test_a_scene_offers_the_papers_n_or_the_bathrooms(name, ns):
    assert scene_part(qgc.scene(name))["paperN"] == list(ns)


def test_objects_are_moved_in_steps_of_four_pixels():
    slider = widgets._shift("Move right")
    assert (slider.min, slider.max, slider.step, slider.value) == (-120, 120, 4, 0)


def test_names_of_explanations_are_those_of_question_and_answer(explained):
    said = repr(explained)
    assert said.startswith("<Explanation 'What is the color of the sink?' → 'white' (") and said.endswith(")>")
    own = explain(explained.vqa, explained.view, explained.question)
    assert repr(own) == f"<Explanation {own.question!r} → {own.answer!r} ({own.confidence:.0%})>"
    assert f"; the model says {own.answer!r})>" in said and torch.equal(own.y, explained.y)
