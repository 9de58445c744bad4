"""The nulls of Tables 5 and 6: by hand, by formula, and on the shipped model."""

import math

import numpy as np
import pytest
import torch

from qgc.explain import explain
from qgc.lab.experiments import nulls
from qgc.measure import same_answer_pairs, spearman
from qgc.models import load
from qgc.scenes import Ask, sample
from qgc.scenes.questions import PARAPHRASES, every_question, word
from qgc.scenes.situations import situation


@pytest.fixture(scope="module")
def scenes():
    return [sample(s, "natural") for s in (3, 4, 5)]


def test_spearmans_are_the_pairs_of_the_paper():
    rows = np.random.default_rng(0).normal(size=(3, 20)).round(1)  # with ties
    a, b, c = (torch.from_numpy(r) for r in rows)
    np.testing.assert_allclose(nulls._spearmans(rows), [spearman(a, b), spearman(a, c)], atol=1e-12)
    found = nulls._spearmans(np.array([[1.0, 2, 3], [np.nan] * 3, [1, 1, 1], [3, 2, 1]]))
    assert math.isnan(found[0]) and math.isnan(found[1]) and found[2] == pytest.approx(-1)


def test_partial_spearman_is_the_textbook_formula():
    x, y, z = np.random.default_rng(1).normal(size=(3, 50)) + np.linspace(0, 3, 50)
    xy, xz, yz = (spearman(*map(torch.from_numpy, pair)) for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / ((1 - xz**2) * (1 - yz**2)) ** 0.5
    assert nulls.partial_spearman(x, y, z[None]) == pytest.approx(expected, abs=1e-12)
    assert expected < xy - 0.1
    assert math.isnan(nulls.partial_spearman(z, y, z[None]))


def test_overlap_by_chance_by_hand():
    mean, at_least = nulls.overlap_by_chance(5, 2)
    # of the 10 pairs out of 5, three share nothing with a given pair and one is it
    assert mean == pytest.approx(0.8)
    np.testing.assert_allclose(at_least, [1, 0.7, 0.1])
    assert nulls.overlap_by_chance(1024)[0] == pytest.approx(100 / 1024)


def test_the_papers_case_is_the_one_that_explain_gives(small_model):
    scene = situation("bathroom")
    row = nulls.null_row(small_model, scene, nulls.question_pool(small_model), np.random.default_rng(0))
    for reduce in ("l2", "sum", "abs-sum"):
        first, second = explain(small_model, scene, scene.questions[:2], "white", reduce=reduce)
        expected = spearman(first.sensitivity, second.sensitivity)
        assert row[f"spearman/same answer/{reduce}"] == pytest.approx(expected, abs=1e-9)
        shared = set(first.top(10)["index"]) & set(second.top(10)["index"])
        assert row[f"overlap/same answer/{reduce}"] == len(shared)
    assert row["divided"] == pytest.approx(spearman(1 - first.u**2, 1 - second.u**2), abs=1e-9)
    assert math.isnan(row["spearman/other picture/l2"])  # the pool has none


def test_template_by_hand():
    assert nulls.template_of(Ask("What color are the towels?", "red", "towels", "colour")) == "What color {is} {the}?"
    held_out = Ask("Can you tell me what color the rug is?", "red", "rug", "colour")
    assert nulls.template_of(held_out) == "Can you tell me what color {the} {is}?"
    assert nulls.template_of(Ask("What colour has the rug?", "red", "rug", "colour")) is None
    assert nulls.template_of(Ask("Is there a cat?", "no", None, "existence")) is None


def test_questions_of_the_same_template_by_hand():
    scene = sample(5, "natural")  # a white wall and shirt, a brown floor and dog, a yellow rug, an orange cat
    assert set(scene.masks) == {"wall", "floor", "rug", "dog", "cat", "man", "shirt"}
    wall = Ask("Tell me the color of the wall.", "white", "wall", "colour")
    others = {f"Tell me the color of the {name}." for name in ("rug", "dog", "cat")}
    assert set(nulls.other_objects(scene, wall, "shirt")) == others
    dog = Ask("What color is the dog?", "brown", "dog", "colour")
    assert nulls.other_objects(scene, dog, "floor") == ["What color is the wall?"]
    expected = {"What color is the rug?", "What color is the cat?", "What color is the man's shirt?"}
    assert set(nulls.other_objects(scene, dog, "rug")) == expected
    absent = nulls.absent_objects(scene, dog, every_question())
    assert {"What color are the towels?", "What color is the bird?", "What color is her top?"} <= set(absent)
    assert not set(absent) & {word("What color {is} {the}?", name) for name in (*scene.masks, "ground", "sky")}
    assert nulls.absent_objects(scene, dog, ["What color is the bird?"]) == ["What color is the bird?"]
    assert nulls.other_objects(scene, Ask("Hello?", "brown", "dog", "colour"), "rug") == []


def test_questions_of_the_same_template_keep_it_and_change_the_answer(scenes):
    for scene in scenes:
        colours = {word(PARAPHRASES["colour"][0], name): colour for name, colour in scene.colours.items()}
        for ask in (a for a in scene.asks if a.family == "colour"):
            others = nulls.other_objects(scene, ask, ask.thing)
            assert all(colours[text] != ask.answer for text in others) and ask.question not in others
            assert not set(nulls.absent_objects(scene, ask, every_question())) & set(colours)


def test_nulls_of_the_same_template_are_of_such_questions(small_model):
    scene, question_pool = sample(5, "natural"), nulls.question_pool(small_model)
    pair = same_answer_pairs([scene])[0]
    row = nulls.null_row(small_model, scene, question_pool, np.random.default_rng(0), pair)
    texts = [text for text in question_pool.questions if text.startswith("What color")]
    sensitivity = {text: explain(small_model, scene, text, "white").sensitivity for text in texts}
    for null, questions in (
        ("same template, other object", nulls.other_objects),
        ("same template, absent object", lambda s, a, _: nulls.absent_objects(s, a, question_pool.questions)),
    ):
        orders = ((pair.first, pair.second), (pair.second, pair.first))
        candidates = [(a.question, text) for a, b in orders for text in questions(scene, a, b.thing)]
        possible = [spearman(sensitivity[a], sensitivity[b]) for a, b in candidates]
        assert min(abs(p - row[f"spearman/{null}/l2"]) for p in possible) < 1e-9


def test_nulls_of_the_same_template_draw_by_themselves(small_model, scenes, monkeypatch):
    scene, question_pool = situation("bathroom"), nulls.question_pool(small_model, scenes)
    before = nulls.null_row(small_model, scene, question_pool, np.random.default_rng(2))
    monkeypatch.setattr(nulls, "other_objects", lambda *_: [])
    monkeypatch.setattr(nulls, "absent_objects", lambda *_: [])
    after = nulls.null_row(small_model, scene, question_pool, np.random.default_rng(2))
    for key in before:
        if "same template" in key:
            assert math.isfinite(before[key]) and math.isnan(after[key]), key
        else:
            assert before[key] == pytest.approx(after[key], abs=1e-12, nan_ok=True), key


def test_shuffling_leaves_the_shared_factor_alone(small_model):
    vqa = small_model
    scene, question_pool = situation("bathroom"), nulls.question_pool(vqa)
    found = [nulls.null_row(vqa, scene, question_pool, np.random.default_rng(k)) for k in range(20)]
    shuffled = np.mean([row["spearman/shuffled question/l2"] for row in found])
    e = explain(vqa, scene, scene.questions[0], "white")
    shared = e.v.abs() * question_pool.constants["l2"]
    # on average a shuffled question correlates as far as the shared factor does with the unshuffled one
    assert 0 < shuffled <= spearman(e.sensitivity, shared) + 0.1


def test_models_without_a_closed_form_give_the_same(small_model, bare_model, scenes):
    scene = situation("bathroom")
    closed, plain = (
        nulls.null_row(m, scene, nulls.question_pool(m, scenes[:2]), np.random.default_rng(1))
        for m in (small_model, bare_model)
    )
    assert math.isnan(plain["spearman/shuffled question/l2"]) and "divided" not in plain
    for key in plain:
        if "shuffled" not in key:
            assert plain[key] == pytest.approx(closed[key], abs=1e-9, nan_ok=True), key


def test_a_scene_without_a_pair_has_no_row(small_model):
    scene = next(s for s in map(sample, range(60)) if not same_answer_pairs([s]))
    assert nulls.null_row(small_model, scene, nulls.question_pool(small_model), np.random.default_rng(0)) is None


def test_summary_by_hand():
    rows = [{"scene": k, "J": 1024, "spearman/same answer/l2": r, "overlap/same answer/l2": o}
            for k, (r, o) in enumerate([(0.1, 0.0), (0.5, 2.0), (0.9, 4.0)])]  # fmt: skip
    found = nulls.summarise([*rows, None], printed=[0.5, 0.95])
    values = found["spearman"].set_index("statistic")["estimate"]
    assert values["mean"] == pytest.approx(0.5) and values["q50"] == 0.5 and values["q95"] == 0.9
    assert found["printed"].set_index("printed")["estimate"].tolist() == pytest.approx([0.5, 1.0])
    overlap = found["overlap"].iloc[0]
    assert overlap["estimate"] == 2 and overlap["chance"] == pytest.approx(100 / 1024)
    # luck shares one neuron in 9 % of the pairs, two in 0.4 %
    assert overlap["least"] == 2 and overlap["many"] == pytest.approx(2 / 3) and overlap["many_chance"] < 0.005


def test_shipped_model_orders_the_nulls():
    vqa = load("deeper-lstm/natural", dtype=torch.float32)
    scenes = [situation("bathroom"), situation("birthday"), situation("park")]
    others = [sample(s, "natural") for s in range(3, 15)]
    question_pool = nulls.question_pool(vqa, others)
    rows = [nulls.null_row(vqa, s, question_pool, np.random.default_rng(k)) for k, s in enumerate(scenes)]
    table = nulls.summarise(rows)["spearman"].query("statistic == 'mean'")
    found = table.set_index(["null", "reduction"])["estimate"]
    print(found.round(2).to_dict())
    # the same question about another image shares u and Wq; a shuffled one shares only v and Wq
    assert found["other picture", "l2"] > found["shuffled question", "l2"] + 0.3
    # a signed sum is alike for any two questions, because Wq[j, :] gives it its sign
    assert found["shuffled question", "sum"] > 0.4
