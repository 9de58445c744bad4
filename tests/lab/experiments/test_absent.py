"""Questions about absent objects: which are asked, and what maps and models get under them."""

import numpy as np
import pytest
import torch
from torch import nn

from qgc.lab.experiments import absent, sanity
from qgc.lab.experiments.faithfulness import alterations, maps_of
from qgc.lab.experiments.runner import _usual_sizes
from qgc.lab.protocol.grounding import chosen_pairs
from qgc.measure import same_answer_pairs
from qgc.measure.pairs import cell_cover, rank_grounding
from qgc.scenes import sample
from qgc.scenes.situations import situation

SIZES = {
    "sink": (0.04, "object"), "towels": (0.05, "object"), "cake": (0.041, "object"), "car": (0.09, "object"),
    "wall": (0.45, "upper"), "sky": (0.46, "upper"), "floor": (0.37, "lower"), "grass": (0.44, "lower"),
}  # fmt: skip


@pytest.fixture
def pair():
    return same_answer_pairs([situation("bathroom")])[0]


def test_each_question_asks_in_its_own_template_about_an_absent_object_of_its_sort_and_size(pair):
    assert (pair.first.thing, pair.second.thing) == ("sink", "towels")
    scene = pair.scene
    for seed in range(8):
        texts = absent.absent_questions(scene, pair, SIZES, np.random.default_rng(seed))
        assert set(texts) in (
            {"What is the color of the cake?", "What color is the car?"},
            {"What is the color of the car?", "What color is the cake?"},
        )
    assert (
        absent.absent_questions(scene, pair, {k: SIZES[k] for k in ("sink", "towels")}, np.random.default_rng(0))
        is None
    )
    assert (
        absent.absent_questions(scene, pair, {k: SIZES[k] for k in ("sink", "cake")}, np.random.default_rng(0)) is None
    )


def test_the_nearest_in_size_are_drawn_and_halves_of_a_place_for_halves(pair, monkeypatch):
    monkeypatch.setattr(absent, "NEAREST", 1)
    texts = absent.absent_questions(pair.scene, pair, SIZES, np.random.default_rng(0))
    assert texts == ["What is the color of the cake?", "What color is the car?"]
    sizes = _usual_sizes("natural")
    assert sizes["wall"][1] == "upper" and sizes["floor"][1] == "lower" and sizes["sink"][1] == "object"
    assert sizes["wall"][0] > 0.3 > 0.1 > sizes["sink"][0] > 0.01
    checked = 0
    for seed in range(20):
        scene = sample(seed, "natural")
        for two in same_answer_pairs([scene]):
            texts = absent.absent_questions(scene, two, sizes, np.random.default_rng(seed))
            for text, ask in zip(texts or (), (two.first, two.second), strict=False):
                nouns = {n for n, (_, sort) in sizes.items() if sort == sizes[ask.thing][1] and n not in scene.masks}
                assert any(n.split()[-1] in text for n in nouns), (text, ask)
                checked += 1
    assert checked > 20


def test_a_model_that_ignores_the_question_has_one_half_under_both(small_model, pair):
    blind = sanity.randomised(small_model, [], 0)
    blind.question = nn.Linear(blind.question.in_features, blind.combine).double()
    nn.init.zeros_(blind.question.weight)
    scene = pair.scene
    altered = alterations(scene, [pair])
    texts = [absent.absent_questions(scene, pair, SIZES, np.random.default_rng(0))]
    rows = absent.absent_rows(blind, scene, [pair], texts, maps_of(blind, scene, altered), altered, (5,))
    assert len(rows) == 1 and rows[0]["background"] == 0
    both = ["Grad-CAM", "gate n=5", "question contrast, L1", absent.MODEL]
    assert {rows[0][f"{name}/{which}"] for name in both for which in ("own", "absent")} == {0.5}
    assert rows[0]["effect size/own"] == pytest.approx(0, abs=1e-6)
    (second,) = absent.absent_rows(blind, scene, [pair, pair], [None, *texts], maps_of(blind, scene, []), [], (5,))
    assert second["pair"] == 1 and f"{absent.MODEL}/own" not in second  # the first pair has no absent objects


def test_a_map_of_the_usual_place_is_the_mean_cover_of_its_object_in_other_scenes():
    scenes, known = ([sample(seed, "natural") for seed in range(*between)] for between in ((0, 6), (6, 30)))
    sizes, rng, expected = absent.usual_sizes(known), np.random.default_rng(5), []

    def place(name):
        return torch.stack([cell_cover(s.masks[name], (14, 14)).view(14, 14) for s in known if name in s.masks]).mean(0)

    for scene in scenes:
        for pair in chosen_pairs(scene):
            names = [pair.first.thing, pair.second.thing]
            if others := absent.absent_objects(scene, pair, sizes, rng):
                masks = np.stack([scene.masks[name] for name in names])
                verdicts = [float(rank_grounding([place(n) for n in of], masks).verdict) for of in (names, others)]
                expected.append([*verdicts, any(name in scene.tones for name in names)])
    table = absent.usual_place_verdicts(scenes, known, seed=5)
    assert table[["own", "absent", "background"]].to_numpy().tolist() == expected and len(expected) > 5
    assert len({tuple(row) for row in expected}) > 2


def test_summary_by_hand():
    def row(scene, seed, own, other, background=0):
        about = {"scene": scene, "seed": seed, "pair": 0, "ratio": 2.0, "background": background}
        verdicts = {"Grad-CAM": own, "gate n=2": 1 - own, "random gate n=2": own}
        nulls = {"Grad-CAM": other, "gate n=2": other, "random gate n=2": 0}
        return about | {f"{k}/own": v for k, v in verdicts.items()} | {f"{k}/absent": v for k, v in nulls.items()}

    rows = [row(0, 0, 1, 0), row(0, 0, 0, 0), row(1, 0, 1, 1, 1), row(0, 1, 1, 0.5), row(1, 1, 0, 1, 1)]
    table = absent.summarise(rows)["absent objects"].set_index(["map", "measure", "pairs"])
    assert table.loc[("Grad-CAM", "own", "all"), "estimate"] == pytest.approx(np.mean([0.5, 1, 1, 0]))
    assert table.loc[("Grad-CAM", "absent", "all"), "estimate"] == pytest.approx(np.mean([0, 1, 0.5, 1]))
    above = table.loc[("Grad-CAM", "above", "all")]
    assert above["estimate"] == pytest.approx(np.mean([0.5, 0, 0.5, -1])) and above["scenes"] == 2
    assert table.loc[("gate n=2", "above minus Grad-CAM's", "without backgrounds"), "estimate"] == pytest.approx(-0.5)
    assert table.loc[("gate n=2", "above minus Grad-CAM's", "with a background"), "estimate"] == pytest.approx(0)
    by_random = table.loc[("gate n=2", "above minus random gates'", "all"), "estimate"]
    assert by_random == pytest.approx(np.mean([0, -2, -1.5, 0]))
