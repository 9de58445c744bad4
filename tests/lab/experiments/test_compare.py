"""Two models side by side: the batched maps are Grad-CAM, and tables are right on cases worked by hand."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from qgc.explain import explain, gradcam
from qgc.lab.experiments import compare
from qgc.lab.train.pythia import start
from qgc.lab.train.run import config
from qgc.measure import MEASURES, ceiling, chance, cosine
from qgc.measure.localise import ceilings
from qgc.models.pythia import Pythia, PythiaConfig
from qgc.scenes.situations import situation
from qgc.show import plots


@pytest.fixture(scope="module")
def pythia(small_model) -> Pythia:
    """An untrained Pythia with 32 combine neurons behind the CNN of ``small_model``.

    The scale makes its regions large, so that its attention prefers some of them.
    """
    torch.manual_seed(0)
    made = Pythia(PythiaConfig(config().words, config().answers, combine=32, scale=0.01))
    made.cnn = small_model.cnn
    start(made)
    return made.double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def models(small_model, pythia) -> dict:
    return {"Deeper LSTM": small_model, "Pythia": pythia}


@pytest.fixture(scope="module")
def seen(models) -> compare.Look:
    return compare.look(models, situation("couple"))


@pytest.mark.parametrize("name", ["Deeper LSTM", "Pythia"])
def test_maps_are_grad_cam_of_the_true_and_of_the_next_answer(models, seen, name):
    vqa = models[name]
    assert [ask.family for ask in seen.asks] == ["activity", "activity"]  # gaze was not asked for
    for k, ask in enumerate(seen.asks):
        e = explain(vqa, seen.scene, ask.question, ask.answer)
        order = [vqa.answers[i] for i in e.y.argsort(descending=True)]
        runner_up = next(a for a in order if a != ask.answer)
        for found, answer in ((seen.maps, ask.answer), (seen.other, runner_up)):
            exact = gradcam(vqa, e.F, e.q, vqa.answer_index(answer)).relu()
            assert exact.max() > 0
            torch.testing.assert_close(found[name][k], exact, rtol=1e-9, atol=1e-12 * float(exact.max()))
        assert bool(seen.right[name][k]) == (order[0] == ask.answer)
        torch.testing.assert_close(seen.maps[compare.CNN_ALONE][k], e.F[0].sum(0))
        if name == "Pythia":
            torch.testing.assert_close(seen.maps["Pythia attention"][k], vqa.attention(e.F, e.q)[0])


def test_cell_by_cell_leaves_out_the_mean(models, seen):
    vqa, ask = models["Pythia"], seen.asks[0]
    e = explain(vqa, seen.scene, ask.question, ask.answer)
    F = e.F.detach().requires_grad_()
    y = vqa.classify(torch.mul(*vqa.branches(F, e.q)))[0, vqa.answer_index(ask.answer)]
    (dF,) = torch.autograd.grad(y, F)
    torch.testing.assert_close(seen.maps["Pythia cell by cell"][0], (dF * e.F).sum(1)[0].relu())
    assert cosine(seen.maps["Pythia cell by cell"][0], seen.maps["Pythia"][0]) < 0.999


def test_attention_that_stays_drops_out_of_the_mean(pythia):
    """Σ_r a_r = 1: with the attention held fixed, α is (1/Z) ∂y/∂f, the same for every attention (book/two-models)."""
    F = pythia.conv(pythia.prepare(situation("couple"))).requires_grad_()
    regions, q = pythia.regions(F), pythia.encode("What is the man doing?")
    for seed in (0, 1):
        a = torch.rand(1, 1, 196, generator=torch.Generator().manual_seed(seed), dtype=F.dtype).softmax(-1)
        f = (a @ regions)[:, 0]
        y = pythia.classify(torch.mul(*pythia.attended_branches(f, q)))[0, 0]
        at_f, at_F = torch.autograd.grad(y, (f, F), retain_graph=True)
        torch.testing.assert_close(at_F.mean((2, 3)), at_f / (196 * pythia.config.scale))


def test_nothing_to_ask_gives_none(models):
    assert compare.look(models, situation("bedroom")) is None


def test_localisation_has_a_row_for_each_map_and_the_measures_of_it(seen):
    table = compare.localisation([seen, seen])
    assert len(table) == 2 * len(seen.asks) * len(seen.maps) and table["scene"].unique().tolist() == [0, 1]
    row = table[(table["scene"] == 1) & (table["map"] == "Pythia")].iloc[1]
    mask = seen.scene.masks[seen.asks[1].thing]
    assert row["question"] == seen.asks[1].question and not row["place"] and row["chance"] == chance(mask)
    for m in compare.MEASURED:
        assert row[m] == pytest.approx(float(MEASURES[m](seen.maps["Pythia"][1], mask)))
    high = ceilings(mask, (14, 14))["mass accuracy"]
    expected = (row["mass accuracy"] - chance(mask)) / (high - chance(mask))
    assert row["mass accuracy rescaled"] == pytest.approx(expected)
    assert row["all right"] == all(bool(r[1]) for r in seen.right.values())


def test_parts_of_the_place_are_told_from_things(models):
    table = compare.localisation([compare.look(models, situation("toilets"))])
    assert table.groupby("question")["place"].first().to_dict() == {
        "What color are the toilets?": False, "What color is the wall?": True,
    }  # fmt: skip


def test_differences_are_second_minus_first(seen):
    table = compare.localisation([seen])
    gap = compare.differences(table, "Deeper LSTM", "Pythia")
    assert len(gap) == len(seen.asks)
    value = table.set_index(["map", "question"])["rank accuracy"]
    for row in gap.itertuples():
        expected = value["Pythia", row.question] - value["Deeper LSTM", row.question]
        assert gap.loc[row.Index, "rank accuracy"] == pytest.approx(expected)


@pytest.mark.parametrize(("name", "thing"), [("birthday", "cake"), ("phone", "phone"), ("toilets", "wall")])
def test_ceilings_come_near_those_that_try_every_cell(name, thing):
    mask = situation(name).masks[thing]
    found = ceilings(mask, (14, 14))
    for m in compare.MEASURED:
        most = ceiling(m, mask)
        assert chance(mask) < found[m] <= most + 1e-12 and found[m] > most - 0.05, m


def look_of(maps: list[torch.Tensor]) -> compare.Look:
    """The birthday's two questions with given maps, and an opposite other answer."""
    both = torch.stack(maps)
    return compare.Look(situation("birthday"), situation("birthday").asks, {"m": both}, {"m": both.flip(2)}, {})


def coverage(thing: str) -> torch.Tensor:
    """A map that knows an object of the birthday."""
    mask = situation("birthday").masks[thing]
    return torch.from_numpy(mask.reshape(14, 16, 14, 16).mean((1, 3)))


def test_likeness_by_hand():
    cake, balloons = coverage("cake"), coverage("balloons")
    (row,) = compare.likeness([look_of([cake, balloons])]).to_dict("records")
    assert row["rank"] == row["grounded"] == 1 and row["family"] == "colour" and math.isnan(row["both"])
    assert row["other question"] == pytest.approx(cosine(cake, balloons))
    expected = (cosine(cake, cake.flip(1)) + cosine(balloons, balloons.flip(1))) / 2
    assert row["other answer"] == pytest.approx(expected)
    (row,) = compare.likeness([look_of([balloons, cake])]).to_dict("records")
    assert row["rank"] == row["grounded"] == 0
    (row,) = compare.likeness([look_of([cake, cake])]).to_dict("records")
    assert row["rank"] == row["grounded"] == 0.5 and row["other question"] == pytest.approx(1)


def test_rank_grounding_is_of_the_maps_before_the_relu():
    """Both maps are negative on the balloons and zero after the ReLU there: only their order tells them apart."""
    cake, balloons = coverage("cake"), coverage("balloons")
    first, second = 3 * cake - balloons, 2 * cake - 0.1 * balloons - 5 * (cake > 0)  # the second: both below zero
    seen = look_of([first, second])
    assert seen.maps["m"].min() == 0 > seen.before["m"].min()
    (row,) = compare.likeness([seen]).to_dict("records")
    (turned,) = compare.likeness([look_of([second, first])]).to_dict("records")
    assert row["rank"] == 1 and turned["rank"] == 0 and math.isnan(row["other question"])


def test_likeness_of_another_answer_and_thing(models):
    scene = situation("phone").recolour("car", "red")  # asks again, of everything: two white objects and others
    seen = compare.look(models, scene, ("colour",))
    table = compare.likeness([seen])
    pairs = [p for p in itertools.combinations(seen.asks, 2) if p[0].answer == p[1].answer]
    assert len(table) == len(pairs) * len(seen.maps) > 0 and table["both"].notna().all()
    attention = table[table["map"] == "Pythia attention"]
    np.testing.assert_allclose(attention["other answer"], 1)  # there is no answer yet when it is made
    first = next(row for row in table.to_dict("records") if row["map"] == "Pythia")
    i = seen.asks.index(pairs[0][0])
    k = next(k for k, ask in enumerate(seen.asks) if ask.answer != seen.asks[i].answer)
    assert first["both"] == pytest.approx(cosine(seen.maps["Pythia"][i], seen.maps["Pythia"][k]))


def test_things_that_overlap_are_not_grounded(models):
    seen = compare.look(models, situation("phone"), ("colour",))
    assert compare.likeness([seen])[["rank", "grounded"]].notna().all(axis=None)
    masks = seen.scene.masks
    overlapping = SimpleNamespace(masks={**masks, "top": masks["top"] | masks["phone"]})
    assert compare.likeness([replace(seen, scene=overlapping)])[["rank", "grounded"]].isna().all(axis=None)


def test_map_rows_draws_every_map_and_names_an_empty_one(seen):
    maps = {name: m[0] for name, m in seen.maps.items() if "cell" not in name}
    sheet = plots.map_rows({"first": maps, "second": {"nothing": torch.zeros(14, 14)}}, seen.scene, ["man", None])
    titles = [ax.get_title() for ax in sheet.axes]
    assert titles.count("the scene") == 2 and "nothing: empty" in titles and set(maps) <= set(titles)
    outlined = [ax.get_title() for ax in sheet.axes if ax.collections and ax.get_title()]
    assert outlined == ["the scene", *maps]
