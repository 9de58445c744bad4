"""The widgets paint the map that is chosen, where it is, and say its numbers; the pages' files hold the same."""

from __future__ import annotations

import base64
import io

import numpy as np
import parts
import pytest
import torch
from explorer.export import LIKELY, Distinct, index, model_parts, offered, questions, scene_part
from looking import heat
from parts.packing import unpack_maps
from PIL import Image
from predict.export import centre, eight_bits

import qgc
from qgc.explain import explain
from qgc.measure import map_share
from qgc.show import widgets
from qgc.show.pixels import pale, stroke
from qgc.show.style import CYCLE, HEAT, OUTLINES
from qgc.show.widgets import EDITED, OWN, SIDE, EditorState, ExplorerState

BLUE = [int(OUTLINES[0][i : i + 2], 16) for i in (1, 3, 5)]


@pytest.fixture(scope="module")
def scene():
    return qgc.scene("bathroom")


@pytest.fixture
def state(small_model):
    return ExplorerState(["deeper-lstm/natural"], {"deeper-lstm/natural": small_model}.__getitem__)


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def shown_well(picture: np.ndarray, map_: torch.Tensor, ground: np.ndarray, mask: np.ndarray, side: int) -> bool:
    """As :func:`looking.shows`, but for what JPEG blurs and where the outline is drawn over the heat."""
    rim = stroke(mask, (side, side), width=9)[0]
    middles = (np.arange(14) * 2 + 1) * side // 28
    free = ~rim[np.ix_(middles, middles)]
    expected = (map_.clamp(min=0) / map_.max()).numpy()
    return bool((np.abs(heat(picture, ground) - expected)[free] < 0.09).mean() > 0.97) and free.mean() > 0.5


# -- the explorer -----------------------------------------------------------------------------------
@pytest.mark.parametrize("question, thing", [(0, "sink"), (1, "towels")])
def test_the_explorer_paints_the_chosen_questions_map_of_the_chosen_n(state, scene, question, thing):
    state.question, state.answer = scene.questions[question], "white"
    ground = pale(scene.render(SIDE))
    for n in (1, 8, 32):
        state.n = n
        map_ = state.explanation.map(n)
        assert shown_well(opened(state.image()), map_, ground, scene.masks[thing], SIDE)
        own = f"{float(map_share(map_, scene.masks[thing])):.0%} of the map lies on the {thing}, which covers "
        assert own + f"{scene.masks[thing].mean():.0%}" in state.status()[1]
    other = explain(state.vqa, scene, scene.questions[1 - question], "white").map(32)
    assert not shown_well(opened(state.image()), other, ground, scene.masks[thing], SIDE)


def test_the_outline_lies_round_the_asked_object(state, scene):
    state.question = scene.questions[1]
    close = np.abs(opened(state.image()).astype(int) - BLUE).sum(2) < 60
    rows, columns = np.nonzero(close)
    mask_rows, mask_columns = np.nonzero(scene.masks["towels"])
    side = SIDE / scene.masks["towels"].shape[0]
    for found, there in ((rows, mask_rows), (columns, mask_columns)):
        assert abs(found.min() - there.min() * side) < 6 and abs(found.max() - there.max() * side) < 6


def test_the_bars_are_as_high_as_the_scores_and_coloured_up_to_n(state):
    state.n = 5
    found = state.explanation
    picture = np.asarray(widgets._bars(found, 5)).astype(int)
    scores = found.scores.sort(descending=True).values.numpy()
    step = (SIDE - 6 - 46) / 32
    for k, value in enumerate(scores):
        column = picture[:216, int(46 + (k + 0.4) * step)]
        colour = CYCLE[0] if k < 5 else widgets.FAINT
        is_bar = np.abs(column - [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).sum(1) < 5
        assert abs(is_bar.sum() - (216 - 34) * value / scores[0]) <= 2, k
    cut = np.abs(picture[40] - [int(CYCLE[1][i : i + 2], 16) for i in (1, 3, 5)]).sum(1) < 5
    assert abs(np.flatnonzero(cut).mean() - (46 + 5 * step - 1)) < 2
    whole = np.asarray(widgets._bars(found, 32)).astype(int)
    assert not (np.abs(whole[:33] - [int(CYCLE[1][i : i + 2], 16) for i in (1, 3, 5)]).sum(2) < 5).any()
    assert (np.asarray(widgets._bars(found, 32))[:, :, 0].astype(int) != picture[:, :, 0]).any()


def test_ones_own_image_keeps_its_shape_and_has_no_outline(state):
    own = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 120, 3), dtype=np.uint8))
    state.situation, state.own, state.question, state.n = OWN, own, "What color is the sink?", 32
    shown = opened(state.image())
    assert shown.shape == (SIDE // 2, SIDE, 3)
    map_ = explain(state.vqa, own, state.question).map()
    large = own.resize((SIDE, SIDE // 2), Image.Resampling.BICUBIC)
    assert np.corrcoef(heat(shown, pale(large)).ravel(), map_.numpy().ravel())[0, 1] > 0.9
    assert "lies on" not in state.status()[1]


# -- the editor ---------------------------------------------------------------------------------------
def test_the_editor_paints_the_scene_now_and_the_maps_before_and_now(small_model, scene):
    editor = EditorState(scene, small_model)
    editor.question, editor.n = scene.questions[0], 9
    editor.edit("sink", dx=-40, colour="red")
    changed = editor.scene
    assert changed == scene.recolour("sink", "red").move("sink", -40, 0)
    now, before, after = (opened(p) for p in editor.render())
    assert np.abs(now.astype(int) - np.asarray(changed.render(EDITED))).mean() < 3
    for picture, there in ((before, scene), (after, changed)):
        e = explain(small_model, there, scene.questions[0])
        assert shown_well(picture, e.map(9), pale(there.render(EDITED)), there.masks["sink"], EDITED)
        close = np.abs(picture.astype(int) - BLUE).sum(2) < 60
        left = np.nonzero(there.masks["sink"])[1].min() * EDITED / 224
        assert abs(np.nonzero(close)[1].min() - left) < 6


def test_the_editors_table_says_before_and_after(small_model, scene):
    editor = EditorState(scene, small_model)
    editor.edit("sink", colour="red")
    before = explain(small_model, scene, scene.questions[0])
    after = explain(small_model, scene.recolour("sink", "red"), scene.questions[0])
    row = editor.answers()[0]
    assert (row.question, row.truth, row.truth_after) == (scene.questions[0], "white", "red")
    assert row.answer == f"{before.predicted} ({before.confidence:.0%})"
    assert row.answer_after == f"{after.predicted} ({after.confidence:.0%})"
    html = widgets._table([row])
    cells = [cell.split("<")[0] for cell in html.split("font-weight:")[1:]]
    assert [c.split(">", 1)[1] for c in cells] == [
        scene.questions[0], "white", row.answer, "red", row.answer_after,
    ]  # fmt: skip


# -- the pages' files ---------------------------------------------------------------------------------
def decoded(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1]))).convert("RGB"), int)


def test_a_scenes_file_has_its_image_pale_and_in_colour(scene):
    part = scene_part(scene)
    assert np.abs(decoded(part["picture"]) - np.asarray(scene.render(448))).mean() < 4
    assert np.abs(decoded(part["pale"]) - pale(scene.render(448))).mean() < 4
    offers = questions(scene)  # the paper's two first, then one about another object
    assert [a.thing for a in offers[:2]] == ["sink", "towels"] and len(offers) == 3
    assert [(q["question"], q["answer"], q["thing"]) for q in part["questions"]] == [tuple(a[:3]) for a in offers]
    assert part["about"] == f"a bathroom with {', '.join(scene.names[:-1])} and {scene.names[-1]}"
    assert part["paperN"] == [int(n) for n in qgc.paper.sweep_n("bathroom")]
    found = index(["bathroom", "park"], ["m"])
    assert found["scenes"]["bathroom"] == "bathroom" and found["models"] == ["m"]
    assert np.allclose(parts.unpack(found["heat"]).reshape(256, 3), HEAT) and found["outlines"] == list(OUTLINES)


def test_a_models_file_gives_the_map_of_every_n(small_model, scene, monkeypatch):
    monkeypatch.setattr(small_model, "name", "some/model", raising=False)
    (name, data), *maps = model_parts("bathroom", small_model)
    maps = dict(maps)
    assert name == "bathroom.some-model" and list(maps) == ["bathroom.some-model.maps-0"]
    for ask, asked in zip(questions(scene), data["questions"], strict=True):
        for answer in data["answers"]:
            e = explain(small_model, scene, ask.question, answer)
            g = parts.unpack(data["rows"][asked["c"][answer]]) * parts.unpack(asked["u"])
            order = np.argsort(-parts.unpack(asked["sensitivity"]), kind="stable")
            assert order.tolist() == e.order.tolist()
            P = unpack_maps(maps[asked["maps"]], 196)
            for n in (1, 5, 32):
                found = np.maximum((g[:, None] * P)[order[:n]].sum(0), 0).reshape(14, 14)
                assert np.allclose(found, e.map(n), atol=0.02 * float(e.map(n).max()) + 1e-12)
            assert asked["probability"][answer] == round(e.confidence, 4)
            assert asked["said"] == e.predicted


def test_answers_on_offer_are_the_true_ones_then_the_probable_ones(small_model, scene):
    asked = [explain(small_model, scene, a.question, a.answer) for a in scene.asks]
    found = offered(asked)
    likely = [small_model.answers[i] for e in asked for i in e.probabilities.argsort(descending=True)[:LIKELY]]
    assert found == list(dict.fromkeys(["white", *likely]))
    distinct = Distinct()
    assert [distinct.index(x) for x in "abca"] == [0, 1, 2, 0] and distinct.values == ["a", "b", "c"]


def test_an_outline_goes_round_its_mask_in_units_of_the_page():
    mask = np.zeros((56, 56), bool)
    mask[8:24, 30:50] = True
    path = parts.outline(mask)
    points = np.array([[int(n) for n in p.split()] for p in path.strip("MZ").split("L")])
    # eight units a pixel; the smoothed rim lies within a pixel of the mask's
    assert np.abs(points.min(0) - [240, 64]).max() <= 8 and np.abs(points.max(0) - [400, 192]).max() <= 8
    whole = np.array(
        [[int(n) for n in p.split()] for p in parts.outline(np.ones((56, 56), bool)).strip("MZ").split("L")]
    )
    assert whole.min() == 0 and whole.max() == 448
    assert len(parts.outline(mask, 2.0)) < len(path) / 2


def test_where_an_object_is_in_words_and_bytes():
    mask = np.zeros((10, 20), bool)
    mask[2:4, 10:16] = True
    assert centre(mask) == [round(12.5 / 20, 2), 0.25]
    map_ = torch.zeros(14, 14)
    map_[1, 2], map_[3, 4] = 4.0, 1.0
    stored = np.frombuffer(base64.b64decode(eight_bits(map_)), "u1").reshape(14, 14)
    assert stored[1, 2] == 255 and stored[3, 4] == 64 and (stored > 0).sum() == 2
