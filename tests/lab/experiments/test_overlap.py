"""Overlap of the most sensitive neurons, on a model small enough to compare by hand."""

from itertools import combinations

import pytest

from qgc.explain import explain
from qgc.lab.experiments.overlap import KINDS, shared, top_overlap
from qgc.scenes import sample


def test_shared_ignores_order():
    assert shared([304, 281, 457], [457, 304, 1]) == 2


def test_mean_overlap_equals_a_loop_over_pairs(small_model):
    scenes = [sample(s, "natural") for s in (3, 4)]
    table = top_overlap(small_model, scenes, reductions=("l2",))
    assert list(table.index) == list(KINDS)
    tops = [{a.question: explain(small_model, s, a.question).top(10)["index"] for a in s.asks} for s in scenes]
    same = [shared(tops[0][q], tops[1][q]) for q in tops[0].keys() & tops[1].keys()]
    assert table.loc[KINDS[0], "l2"] == pytest.approx(sum(same) / len(same))
    per_scene = [[shared(a, b) for a, b in combinations(t.values(), 2)] for t in tops]
    expected = sum(sum(p) / len(p) for p in per_scene) / len(per_scene)
    assert table.loc[KINDS[1], "l2"] == pytest.approx(expected)
    assert table.loc[KINDS[3], "pairs"] == len(tops[0]) * len(tops[1]) - len(same)


def test_models_without_a_closed_form_give_the_same(small_model, bare_model):
    scenes = [sample(3, "natural")]
    assert top_overlap(bare_model, scenes, k=5).equals(top_overlap(small_model, scenes, k=5))
