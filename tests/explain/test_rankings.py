"""The registry of rankings: one entry makes a ranking known to explain and to the measurement."""

from __future__ import annotations

import pytest
import torch

from qgc.errors import GateError
from qgc.explain import RANKINGS, EncodedImage, Ranking, explain, gates
from qgc.lab.protocol import methods as measured
from qgc.scenes.situations import situation

BY_HAND = {
    "sensitivity": lambda e: (e.v * (1 - e.u**2)).abs() * e.vqa.question.weight.norm(dim=1),
    "∂A/∂q, sum": lambda e: e.v * (1 - e.u**2) * e.vqa.question.weight.sum(1),
    "∂u/∂q (no picture)": lambda e: (1 - e.u**2) * e.vqa.question.weight.norm(dim=1),
    "|g|": lambda e: (e.c * e.u).abs(),
    "contribution g v": lambda e: e.c * e.A,
    "answer only |c|": lambda e: e.vqa.output.weight[e.vqa.answers.index(e.answer)].abs(),
    "picture only |v|": lambda e: e.v.abs(),
}


@pytest.fixture(scope="module")
def view(small_model):
    return EncodedImage(small_model, situation("bathroom"))


@pytest.mark.parametrize("name", BY_HAND)
def test_explain_ranks_by_name(view, name):
    e = explain(view.vqa, view, "What is the color of the sink?", "white", rank=name)
    assert torch.equal(e.order, gates.ranking(BY_HAND[name](e))) and e.rank == name


def test_every_ranking_of_one_explanation_has_a_name_and_no_other(view):
    for name, ranking in RANKINGS.items():
        if ranking.needs:
            with pytest.raises(GateError, match=f"needs {ranking.needs[:9]}.*give them to qgc.explain"):
                explain(view.vqa, view, "Is there a cat?", rank=name)
        else:
            assert explain(view.vqa, view, "Is there a cat?", rank=name).scores.isfinite().all()
    with pytest.raises(GateError, match=r"choose one of sensitivity; ∂A/∂q, l2; .*; \|g\|; .*; or give scores"):
        explain(view.vqa, view, "Is there a cat?", rank="|h|")


def test_a_ranking_is_added_by_one_entry(view, monkeypatch):
    monkeypatch.setitem(RANKINGS, "|u|", Ranking(lambda a: a.u.abs()))
    e = explain(view.vqa, view, "Is there a cat?", rank="|u|")
    assert torch.equal(e.order, gates.ranking(e.u.abs()))
    assert torch.equal(measured.RANKINGS["|u|"](measured.RankingInputs(e)), e.u.abs())
    assert e.ranked_by == "|u|"
