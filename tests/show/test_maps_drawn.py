"""Figures of maps show the maps that they say: the right question, the right n, the right way round."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from legibility import words
from looking import box_of_mask, outlines, pixels, planted, shows
from PIL import Image

import qgc
from qgc.explain import EncodedImage, explain
from qgc.scenes import sample
from qgc.show import plots
from qgc.show.pixels import compose, enlarge_mask, pale, share_of_maximum, stroke
from qgc.show.style import CYCLE, OUTLINES


@pytest.fixture(scope="module")
def scene():
    return qgc.scene("bathroom")


@pytest.fixture(scope="module")
def both(small_model, scene):
    asked = explain(small_model, EncodedImage(small_model, scene), scene.questions, answer="white")
    return [planted(e, k) for k, e in enumerate(asked)]


@pytest.fixture(scope="module")
def ground(scene):
    return pale(scene.render(448))


def near(found, expected, off=4):
    return np.abs(found - expected).max() < off


def titles(figure):
    return [ax.get_title() for ax in figure.axes]


# -- the pixels -----------------------------------------------------------------------------------
@pytest.mark.parametrize("row, column", [(1, 11), (11, 1), (0, 13), (13, 4)])
@pytest.mark.parametrize("size", [(448, 448), (448, 224), (140, 448)])
def test_the_hottest_pixel_lies_in_the_hottest_cell(row, column, size):
    map_ = torch.zeros(14, 14)
    map_[row, column] = 3.0
    share = share_of_maximum(map_, size)
    assert share.shape == size[::-1]
    y, x = np.argwhere(share == share.max()).mean(0)
    assert (int(14 * y / size[1]), int(14 * x / size[0])) == (row, column)
    assert share.max() > 0.9 and (share > 0.02).mean() < 4.5 / 196


def test_share_is_the_enlarged_map_over_its_own_maximum():
    map_ = torch.tensor([[1.0, 2.0], [4.0, -8.0]])
    found = share_of_maximum(map_, (4, 4))
    # clipped to ¼, ½, 1, 0; bilinear: a quarter of a cell further in has a quarter of the neighbour
    assert found[0].tolist() == pytest.approx([1 / 4, 5 / 16, 7 / 16, 1 / 2])
    assert found[:, 0].tolist() == pytest.approx([1 / 4, 7 / 16, 13 / 16, 1])


def test_glass_multiplies_the_ground_by_the_tint():
    from qgc.show.style import HEAT

    ground = np.full((1, 3, 3), 200, np.uint8)
    found = compose(ground, np.array([[0.0, 0.5, 1.0]], np.float32))
    assert found[0].tolist() == [
        (200 * HEAT[level].astype(np.float32)).astype(np.uint8).tolist() for level in (0, 128, 255)
    ]


def test_pale_by_hand():
    # 1 % and 99 % of the greys 0 … 200 are 2 and 198: black and white of the pale image
    picture = Image.fromarray(np.tile(np.arange(201, dtype=np.uint8), (4, 1))).convert("RGB")
    found = pale(picture)[0, :, 0]
    assert found[[0, 2]].tolist() == [183, 183] and found[[198, 200]].tolist() == [255, 255]
    assert found[100] == int(255 * (0.72 + 0.28 * 0.5))
    flat = pale(Image.new("RGB", (4, 4), (90, 90, 90)))  # no contrast is made where there is none
    assert (flat == 183).all()


def test_an_enlarged_mask_covers_the_same_part():
    mask = np.zeros((10, 10), bool)
    mask[2:4, 5:9] = True
    large = enlarge_mask(mask, (40, 40))
    rows, columns = np.nonzero(large)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (8, 15, 20, 35)
    halo, line = stroke(mask, (40, 40), width=2)
    assert np.nonzero(halo.any(1))[0][[0, -1]].tolist() == [6, 17]  # two pixels beyond the rim, and two within
    assert np.nonzero(line.any(1))[0][[0, -1]].tolist() == [7, 16] and not halo[12, 24]
    half = np.zeros((4, 4), bool)
    half[:, :2] = True
    assert enlarge_mask(half, (2, 2)).tolist() == [[True, False]] * 2


# -- one map --------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [None, 1, 7])
def test_an_overlay_shows_the_map_of_its_n(both, scene, ground, n):
    ax = plots.overlay(both[1], n, scene=scene).axes[0]
    assert shows(pixels(ax), both[1].map(n), ground)
    assert not shows(pixels(ax), both[0].map(n), ground) and not shows(pixels(ax), both[1].map(3), ground)
    lines = outlines(ax)
    assert list(lines) == ["#FFFFFF", OUTLINES[0]] and near(lines[OUTLINES[0]], box_of_mask(scene.masks["towels"]))
    label = "Grad-CAM (all 32)" if n is None else f"n = {n} of 32"
    assert ax.get_title() == f"What color are the towels?\nA: white · {label}"


def test_an_overlay_of_a_photograph_shows_map_and_outline_where_they_are(both):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 120, 3), dtype=np.uint8))
    e = planted(explain(both[0].vqa, picture, "What color is the sink?"), 5)
    mask = np.zeros((60, 120), bool)
    mask[10:20, 80:110] = True
    ax = plots.overlay(e, 4, mask=mask).axes[0]
    large = picture.resize((448, 224), Image.Resampling.BICUBIC)
    assert shows(pixels(ax), e.map(4), pale(large))
    assert near(outlines(ax)[OUTLINES[0]], np.array([80, 10, 110, 20]) * 448 / 120)
    wide = Image.new("RGB", (3000, 1000), "gray")
    assert pixels(plots.overlay(planted(explain(both[0].vqa, wide, "Is there a cat?"), 1)).axes[0]).shape == (
        299,
        896,
        3,
    )


# -- several maps ---------------------------------------------------------------------------------
def test_a_pair_has_each_questions_map_in_its_column_and_each_n_in_its_row(both, scene, ground):
    ns = [None, 9, 2]
    figure = plots.pair(both, ns, scene=scene)
    grid = np.array(figure.axes[:9]).reshape(3, 3)
    boxes = [box_of_mask(scene.masks[name]) for name in ("sink", "towels")]
    for row, n in zip(grid, ns, strict=True):
        assert (pixels(row[0]) == np.asarray(scene.render(448))).all()
        assert row[0].get_ylabel() == ("Grad-CAM (all 32)" if n is None else f"n = {n} of 32")
        there = outlines(row[0])
        for k in (0, 1):
            assert shows(pixels(row[1 + k]), both[k].map(n), ground), (k, n)
            own = outlines(row[1 + k])
            assert set(own) == {"#FFFFFF", OUTLINES[k]} and near(own[OUTLINES[k]], boxes[k])
            assert near(there[OUTLINES[k]], boxes[k])
    heads = [ax.get_title() for ax in grid[0]]
    assert [" ".join(h.split()) for h in heads] == [
        "the scene", "What is the color of the sink? A: white", "What color are the towels? A: white",
    ]  # fmt: skip
    assert not any(ax.get_title() for ax in grid[1:].flat)


def test_a_pair_without_a_scene_shows_the_image_and_no_outline(both):
    figure = plots.pair(both, [3])
    picture = both[0].image.resize((448, 448), Image.Resampling.BICUBIC)
    assert (pixels(figure.axes[0]) == np.asarray(picture)).all() and figure.axes[0].get_title() == "the image"
    assert shows(pixels(figure.axes[2]), both[1].map(3), pale(picture))
    assert not any(ax.collections for ax in figure.axes[:3])


def test_sweeps_have_a_block_for_each_question_and_every_n_in_order(both, scene, ground):
    ns = [1, 5, 12, 32]
    figure = plots.sweeps(both, ns, scene=scene, columns=3)
    assert len(figure.subfigs) == 3
    for k, part in enumerate(figure.subfigs[:2]):
        assert " ".join(part.get_suptitle().split()) == f"{both[k].question} A: white"
        axes = part.axes
        assert (pixels(axes[0]) == np.asarray(scene.render(448))).all()
        assert [ax.get_title() for ax in axes] == ["scene", "n = 1", "n = 5", "n = 12", "all 32", ""]
        for ax, n in zip(axes[1:5], ns, strict=True):
            assert shows(pixels(ax), both[k].map(n), ground), (k, n)
            assert near(outlines(ax)[OUTLINES[k]], box_of_mask(scene.masks[("sink", "towels")[k]]))
        assert not axes[5].axison
    one = plots.sweep(both[1], ns, scene=scene, columns=3)
    assert shows(pixels(one.subfigs[0].axes[3]), both[1].map(12), ground)


def test_without_more_than_one_row_a_sweep_has_no_empty_panels(both, scene):
    figure = plots.sweep(both[0], [1, 2], scene=scene)
    assert len(figure.subfigs[0].axes) == 3 and all(ax.axison for ax in figure.subfigs[0].axes)


def test_rows_of_maps_show_each_map_under_its_title(scene, ground):
    maps = {name: planted_map(k) for k, name in enumerate("abcd")}
    rows = {"first": {"a": maps["a"], "b": maps["b"]}, "second": {"c": maps["c"]}, "third": {"d": torch.zeros(14, 14)}}
    figure = plots.map_rows(rows, scene, ["sink", "towels", "sink"])
    for part, (heading, row), colour, thing in zip(
        figure.subfigs, rows.items(), (OUTLINES[0], OUTLINES[1], OUTLINES[0]), ("sink", "towels", "sink"), strict=False
    ):
        assert part.get_suptitle() == heading
        assert (pixels(part.axes[0]) == np.asarray(scene.render(448))).all()
        for ax, (title, map_) in zip(part.axes[1:], row.items(), strict=False):
            if map_.any():
                assert ax.get_title() == title and shows(pixels(ax), map_, ground)
            else:
                assert ax.get_title() == f"{title}: empty" and (pixels(ax) == ground).all()
            assert near(outlines(ax)[colour], box_of_mask(scene.masks[thing]))
        assert not any(ax.axison for ax in part.axes[1 + len(row) :])
    assert not plots.map_rows({"x": {"a": maps["a"]}}, scene).subfigs[0].axes[1].collections


def planted_map(k: int) -> torch.Tensor:
    return torch.rand(14, 14, generator=torch.Generator().manual_seed(k)) ** 3


def test_every_figure_of_maps_has_the_bar_of_the_heat(both, scene):
    for figure in (plots.overlay(both[0]), plots.pair(both), plots.sweep(both[0], [1, 2]).subfigs[-1]):
        bar = figure.axes[-1] if len(figure.axes) < 3 or figure.axes[-1].get_xlabel() else figure.axes[1]
        assert bar.get_xlabel() == "share of the map's maximum" and bar.get_xlim() == (0, 1)


# -- gradients and scenes ---------------------------------------------------------------------------
def test_gradients_are_grey_where_they_are_zero_and_upright(scene):
    gradient = torch.zeros(3, 20, 40)
    gradient[0, 2, 5], gradient[2, 15, 30] = 2.0, -2.0
    gradient[1] = torch.linspace(-1, 1, 800).view(20, 40)
    figure = plots.gradients({"q": {"plain": gradient, "fine": torch.zeros(3, 4, 4)}, "r": {"plain": -gradient}}, scene)
    first, second = figure.subfigs
    assert (first.get_suptitle(), second.get_suptitle()) == ("q", "r")
    assert [ax.get_title() for ax in first.axes] == ["the scene", "plain", "fine"]
    assert (pixels(first.axes[0]) == np.asarray(scene.render(448))).all()
    scale = np.percentile(gradient.abs(), 99.5)
    plain, turned = pixels(first.axes[1]), pixels(second.axes[1])
    assert plain.shape == (20, 40, 3)
    assert plain[2, 5, 0] == 255 and plain[15, 30, 2] == 0 and plain[0, 0, 0] == 127
    assert plain[19, 39, 1] == int(255 * min(0.5 + 1 / (2 * scale), 1)) and turned[2, 5, 0] == 0
    assert (pixels(first.axes[2]) == 127).all()
    alone = plots.gradients({"q": {"plain": gradient}})
    assert len(alone.subfigs[0].axes) == 1


def test_masks_are_tinted_named_and_pointed_at(scene):
    figure = plots.scene_masks(scene, ["towels", "sink"])
    left, right = figure.axes
    assert (pixels(left) == np.asarray(scene.render(448))).all()
    shown, grey = pixels(right), pale(scene.render(448))
    texts = {t.get_text(): t.get_position()[1] for t in right.texts}
    assert set(texts) == {"towels", "sink"}
    dots = [line for line in right.get_lines() if line.get_marker() == "o"]
    lines = [line for line in right.get_lines() if line.get_marker() != "o"]
    tint = {}
    for name, colour in zip(("towels", "sink"), CYCLE, strict=False):
        inside = enlarge_mask(scene.masks[name], (448, 448))
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        tint[name] = inside
        assert np.abs(shown[inside] - (0.35 * grey[inside] + 0.65 * rgb)).max() <= 1
        (line,) = [line for line in lines if line.get_ydata()[1] == texts[name]]
        x, y = line.get_xdata()[0], line.get_ydata()[0]
        assert inside[int(y), int(x)], f"the line of {name} ends elsewhere"
        assert any(dot.get_xdata()[0] == x and dot.get_ydata()[0] == y for dot in dots)
    assert (shown[~tint["towels"] & ~tint["sink"]] == grey[~tint["towels"] & ~tint["sink"]]).all()


def test_a_contact_sheet_shows_the_scenes_in_order():
    scenes = [sample(k) for k in range(5)]
    figure = plots.contact_sheet(scenes, columns=8)
    assert [bool((np.asarray(ax.get_images()[0].get_array()) == np.asarray(s.image)).all())
            for ax, s in zip(figure.axes, scenes, strict=True)] == [True] * 5  # fmt: skip
    named = plots.contact_sheet([qgc.scene("bathroom"), qgc.scene("park"), qgc.scene("phone")], columns=2)
    assert titles(named)[:3] == ["bathroom", "park", "phone"] and len(named.axes) == 4
    assert (np.asarray(named.axes[1].get_images()[0].get_array()) == np.asarray(qgc.scene("park").render(448))).all()
    assert "park" in words(named)


@pytest.mark.parametrize("question", ["What color is the $a_$ sink?", "sink " * 500])
def test_a_question_is_no_mathematics_and_a_long_one_is_cut(small_model, scene, question):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of words that the model does not know
        found = explain(small_model, scene, question)
    figure = plots.overlay(found).get_figure()
    figure.canvas.draw()
    assert len(figure.axes[0].get_title()) < 500
