"""The paper's experiment on photographs, on drawn scenes laid out as DAQUAR."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import qgc
from qgc import data
from qgc.errors import DataError
from qgc.lab.experiments import photographs
from qgc.lab.experiments.photographs import KINDS, QuestionRecord

QUESTIONS = ("what color is the sink ?", "what color are the towels ?", "is there a cat ?")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six drawn scenes as DAQUAR's test photographs; the last is asked one question only."""
    folder = tmp_path_factory.mktemp("daquar")
    (folder / "images").mkdir()
    lines = []
    for number in range(1, 7):
        qgc.scene("bathroom" if number % 2 else "birthday").image.save(folder / "images" / f"image{number}.png")
        for text in QUESTIONS[: 1 if number == 6 else 3]:
            lines += [f"{text.removesuffix(' ?')} in the image{number} ?", "white"]
    lines += ["what color is the Sink in the image1 ?", "white"]  # the same words again
    for split, text in (("test", lines), ("train", ["what is on the desk in the image7 ?", "book"])):
        (folder / f"qa.894.raw.{split}.txt").write_text("\n".join(text) + "\n")
    (folder / "test_images_list.txt").write_text("\n".join(f"image{n}" for n in range(1, 7)) + "\n")
    (folder / "train_images_list.txt").write_text("image7\n")
    return data.load("daquar", folder, "test")


@pytest.fixture(scope="module")
def pair(small_model):
    return qgc.explain(small_model, qgc.scene("bathroom"), list(QUESTIONS[:2]), answer="white")


def test_each_question_is_asked_once_of_photographs_with_two_or_more(photos):
    drawn = photographs.sample(photos, 10)
    assert [image for image, _ in drawn] == [f"image{n}" for n in range(1, 6)]
    assert all(tuple(texts) == QUESTIONS for _, texts in drawn)
    assert len(photographs.sample(photos, 3)) == 3 and photographs.sample(photos, 3) == photographs.sample(photos, 3)


def test_partners_are_of_their_kind_and_the_shared_neurons_are_counted():
    def asked(photograph, words, answer, first):
        values = torch.arange(100.0).roll(first)
        return QuestionRecord(photograph, words, answer, {r: values for r in ("l2", "sum", "abs-sum")})

    rows = [asked(0, "a", "x", 0), asked(0, "b", "x", 3), asked(0, "c", "y", 50), asked(1, "a", "x", 1)]
    found = photographs._pairs(rows, np.random.default_rng(0)).set_index("pairs of")
    assert found.loc[KINDS[0], "top 10/l2"].tolist() == [9, 9] and found.loc[KINDS[0], "scene"].tolist() == [0, 1]
    assert found.loc[KINDS[2], "top 10/sum"].tolist() == [7, 7]
    assert set(found.index) == set(KINDS)


def test_maps_are_those_of_the_explanation(pair):
    first = pair[0]
    ns = [3, 10, 32]
    assert torch.allclose(photographs._maps(first, first.order, ns), first.maps(ns), atol=1e-12)
    order = torch.randperm(32)
    ranked = qgc.explain(first.vqa, first.view, first.question, "white", rank=-order.argsort().double())
    assert torch.allclose(photographs._maps(first, order, ns), ranked.maps(ns), atol=1e-12)


def test_deletion_costs_nothing_where_nothing_is_painted_and_sees_the_paint(pair):
    costs = photographs._costs(pair[:1], torch.stack([torch.zeros(14, 14), torch.rand(14, 14)]).double())[0]
    assert abs(costs[0]) < 1e-12 < abs(costs[1])


def test_one_question_twice_is_not_told_apart(pair, small_model):
    same = qgc.explain(small_model, pair[0].view, QUESTIONS[0], "white")
    orders = photographs._orders(pair[0], same, np.random.default_rng(0))
    each = orders.pop(photographs.EACH)  # two gates of different neurons make two maps, whatever was asked
    assert {row["told apart"] for row in photographs._told_apart(pair[0], same, orders)} == {0.5}
    alike = [row["cosine"] for row in photographs._alike(pair[0], same, orders)]
    assert np.mean([row["cosine"] for row in photographs._alike(pair[0], same, {"each": each}) if row["n"] < 32]) < 1
    assert np.allclose([c for c in alike if np.isfinite(c)], 1)


def test_the_tables_are_whole_and_the_same_again(photos, small_model):
    found, again = (photographs.measure(small_model, photos, count=3) for _ in range(2))
    tables = photographs.summarise([found, again])
    assert set(tables) == {"pairs", "sweep", "deletion"}
    for name, table in tables.items():
        assert found[name].equals(again[name])
        known = table.dropna(subset=["estimate"])
        low, estimate, high = (known[end].to_numpy() for end in ("low", "estimate", "high"))
        assert len(known) and (low <= estimate + 1e-12).all() and (estimate <= high + 1e-12).all()  # but for rounding
    apart = tables["deletion"][tables["deletion"]["measure"] == "told apart"]
    assert apart[apart["n"] == 32].set_index("ranking")["estimate"].nunique() == 1, "there the ranking does not matter"


def test_the_most_asked_question_has_its_ten_neurons_in_four_photographs(photos, small_model):
    table = photographs.top10(small_model, photos)
    assert set(table["question"]) == {"is there a cat ?"}, "all are asked of five; this comes first in the alphabet"
    assert list(dict.fromkeys(table["photograph"])) == ["image1", "image2", "image3", "image4"]
    first = table[table["photograph"] == "image1"]
    own = qgc.explain(small_model, photos.image_path("image1"), first["question"].iloc[0]).top(10)
    assert first["index"].tolist() == own["index"].tolist() and first["rank"].tolist() == list(range(1, 11))


def test_the_first_two_questions_with_one_answer_are_found(photos, small_model):
    one, other = photographs.same_answer(small_model, photos)
    assert one.view is other.view and one.question != other.question and one.predicted == other.predicted


def test_what_cannot_be_compared_is_said(photos, small_model, monkeypatch):
    lonely = replace(photos, questions=photos.questions[-2:-1])  # the last photograph with its only question
    with pytest.raises(DataError, match="no photograph of daquar .* two questions"):
        photographs.measure(small_model, lonely)
    real = photographs.explain

    def never_alike(*given):
        found = real(*given)
        for i, one in enumerate(found):
            one.predicted = str(i)
        return found

    monkeypatch.setattr(photographs, "explain", never_alike)
    for ask in (photographs.measure, photographs.same_answer):
        with pytest.raises(DataError, match="no two questions .* alike"):
            ask(small_model, photos, count=2)
