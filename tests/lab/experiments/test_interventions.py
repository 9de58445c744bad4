"""Interventions: on a model whose every answer is known beforehand, by hand, and on the shipped one."""

import numpy as np
import pandas as pd
import pytest
import torch
from looker import Looker
from PIL import Image

from qgc.explain import explain
from qgc.lab.experiments import interventions
from qgc.measure import map_share, same_answer_pairs
from qgc.models import load
from qgc.scenes import Scene, sample
from qgc.scenes.situations import situation


def looker(like, scene: Scene, blind: bool = False) -> Looker:
    """A model that looks where it is asked to; or, ``blind``, at both objects whatever it is asked."""
    asks = [a for a in scene.asks if a.family == "colour"]
    both = np.any([scene.masks[a.thing] for a in asks], 0)
    return Looker(like, {a.question: both if blind else scene.masks[a.thing] for a in asks})


# -- changes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [3, 8])
def test_changes_change_one_thing(seed):
    scene = sample(seed, "natural")
    found = interventions.changes(scene, {"white"})
    assert {c.kind for c in found} == {"recolour", "remove", "move"}
    for c in found:
        if c.kind == "recolour":
            differ = {n for n in scene.colours if scene.colours[n] != c.scene.colours[n]}
            assert differ == {c.thing} and c.scene.colours[c.thing] != "white"
        elif c.kind == "remove":
            gone = set(scene.names) - set(c.scene.names)
            assert gone == {t.kind for t in scene.things if c.thing in (t.kind, t.on)}
        else:
            moved = c.scene[c.thing]
            assert abs(moved.x - scene[c.thing].x) == pytest.approx(40) and moved.box[0] >= 0 and moved.box[2] <= 224
        assert c.mask.sum() >= interventions.VISIBLE
    assert [(c.kind, c.thing, c.scene.to_json()) for c in found] == [
        (c.kind, c.thing, c.scene.to_json()) for c in interventions.changes(scene, {"white"})
    ]


def test_removing_a_table_counts_what_stands_on_it():
    scene = situation("birthday")
    table = next(c for c in interventions.changes(scene, kinds=["remove"]) if c.thing == "table")
    assert (table.mask == (scene.masks["table"] | scene.masks["cake"])).all()


# -- by hand ------------------------------------------------------------------------------------------------


def test_grounding_by_hand():
    assert interventions.interventional_grounding([2, -1], [0.5, 0.5]) == 1
    assert interventions.interventional_grounding([0.5, 0.5], [2, -1]) == 0
    assert interventions.interventional_grounding([1, -1], [-2, 0]) == 0.5
    assert interventions.interventional_grounding([1, 1], [1, 1 + 1e-7]) == 0.5


def test_rank_correlation_by_hand():
    assert interventions.rank_correlation(np.array([1.0, 2, 3]), np.array([10.0, 20, 15])) == pytest.approx(0.5)
    assert np.isnan(interventions.rank_correlation(np.array([1.0, 2]), np.array([1.0, 2])))
    assert np.isnan(interventions.rank_correlation(np.ones(3), np.arange(3.0)))


def test_summary_by_hand():
    def row(question, thing, role, delta, share):
        return {"scene": 1, "pair": 0, "question": question, "kind": "recolour", "thing": thing, "role": role,
                "delta": delta, "flipped": 0.0, "inside": 1.0, "share/m": share, "share/area": 0.1}  # fmt: skip

    rows = [
        row(0, "a", "own", -3.0, 0.5), row(0, "b", "other", 1.0, 0.4), row(0, "c", "neither", 2.0, 0.1),
        row(1, "a", "other", 1.0, 0.5), row(1, "b", "own", 1.0, 0.3), row(1, "c", "neither", 2.0, np.nan),
    ]  # fmt: skip
    found = interventions.summarise(rows, draws=50)
    effect = found["effect"].set_index(["role", "measure"])["estimate"]
    assert effect["own", "size"] == 2 and effect["other", "size"] == 1
    correlation = found["correlation"].set_index(["map", "measure"])["estimate"]
    # ranks of |Δ| 3 1 2 against 3 2 1: ½; then 1½ 1½ 3 against 3 2 1: −½√3; their mean
    assert correlation["m", "correlation"] == pytest.approx((0.5 - 3**0.5 / 2) / 2)
    assert np.isnan(correlation["area", "correlation"])
    # differences of |Δ| 2 0 0 against 0 0.1 0.1
    assert correlation["m", "difference"] == pytest.approx(-1)
    grounding = found["grounding"].set_index("measure")["estimate"]
    assert grounding["model"] == 1 and grounding["margin"] == pytest.approx((4 - 2) / 6)
    assert grounding["m"] == 0  # 0.5 + 0.3 on their own objects, 0.4 + 0.5 on the other's
    assert found["given"].query("I == 1")["estimate"].tolist() == [0]


# -- models that are known ----------------------------------------------------------------------------------


def rows_of(vqa, scene, **kwargs):
    changed = interventions.changes(scene, {p.answer for p in same_answer_pairs([scene])}, ["recolour"])
    return interventions.intervention_rows(vqa, scene, changed=changed, ns=(25,), **kwargs)


def test_a_model_that_looks_where_it_is_asked_reaches_one(small_model):
    scene = situation("bathroom")
    rows = rows_of(looker(small_model, scene), scene)
    size = pd.DataFrame(rows).assign(size=lambda t: t["delta"].abs()).groupby("role")["size"].mean()
    assert size["own"] > 20 * size["other"]
    found = interventions.summarise(rows, draws=50)["grounding"].set_index("measure")["estimate"]
    assert found["model"] == 1 and found["margin"] > 0.9


def test_a_model_that_ignores_the_question_is_at_a_half(small_model):
    scene = situation("bathroom")
    found = interventions.summarise(rows_of(looker(small_model, scene, blind=True), scene), draws=50)
    grounding = found["grounding"].set_index("measure")["estimate"]
    assert grounding["model"] == 0.5 and grounding["Grad-CAM"] == 0.5
    difference = found["correlation"].query("measure == 'difference'")
    assert difference["estimate"].isna().all() and found["given"].empty


def test_deletion_of_what_matters_costs_most(small_model):
    pixels = np.zeros((224, 224, 3), np.uint8)
    pixels[96:128, 96:128] = 255
    patch = pixels[..., 0] > 0
    vqa = Looker(small_model, {"is this bright": patch})
    map_ = torch.zeros(14, 14)
    map_[6:8, 6:8] = 1
    e = explain(vqa, Image.fromarray(pixels), "is this bright", "yes")
    lost = interventions.deletion(e, map_, np.random.default_rng(0))
    assert list(lost)[:3] == ["top/5", "low/5", "random/5"]
    assert lost["low/30"] == 0 and lost["top/5"] > 0
    assert lost["top/5"] > lost["random/5"] >= 0
    assert lost["random/30"] > 0  # some cell of the patch is drawn
    # with all of the patch replaced, what is lost is what the blur takes from it
    blurred = e.y[0] - vqa.classify(torch.mul(*vqa.branches(vqa.conv(vqa.prepare(_blur(pixels))), e.q)))[0, 0]
    assert lost["top/30"] == pytest.approx(float(blurred), rel=1e-6)


def _blur(pixels):
    from PIL import ImageFilter

    return Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(12.0))


# -- the shipped model ----------------------------------------------------------------------------------------


def test_shipped_model_row_by_row():
    vqa = load("deeper-lstm/natural", dtype=torch.float32)
    scene = situation("birthday")
    pair = same_answer_pairs([scene])[0]
    changed = interventions.changes(scene, {pair.answer})
    rows = pd.DataFrame(interventions.intervention_rows(vqa, scene, [pair], changed))
    assert len(rows) == 2 * len(changed)
    first, second = explain(vqa, scene, [pair.first.question, pair.second.question], pair.answer)
    recoloured = next(c for c in changed if c.kind == "recolour" and c.thing == "cake")
    after = explain(vqa, recoloured.scene, pair.first.question, pair.answer)
    a = vqa.answer_index(pair.answer)
    row = rows.query("question == 0 and kind == 'recolour' and thing == 'cake'").iloc[0]
    assert row["role"] == "own" and row["inside"] > 0.8
    assert row["delta"] == pytest.approx(float(first.y[a] - after.y[a]), abs=1e-4)
    assert row["delta_p"] == pytest.approx(first.confidence - after.confidence, abs=1e-5)
    assert row["flipped"] == (first.predicted != after.predicted)
    mask = scene.masks["cake"]
    expected = {
        "Grad-CAM": first.map(), "gate n=25": first.map(25), "gate n=200": first.map(200),
        "question contrast": (first.map(relu=False) - second.map(relu=False)).relu(),
    }  # fmt: skip
    for name, map_ in expected.items():
        assert row[f"share/{name}"] == pytest.approx(float(map_share(map_, mask)), abs=1e-4), name
    assert abs(rows["delta"]).max() > 0.1  # what is in the image matters to the answer


def test_a_scene_without_a_pair_has_no_rows(small_model):
    scene = next(s for s in map(sample, range(60)) if not same_answer_pairs([s]))
    assert interventions.intervention_rows(small_model, scene) == []
