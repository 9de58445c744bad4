"""Candidates for the paper's ∂A/∂q against automatic differentiation; pairs and statistics against plain counting."""

from itertools import combinations

import numpy as np
import pytest
import torch

from qgc.errors import QGCError
from qgc.explain.sensitivity import jacobian
from qgc.lab.experiments import reductions
from qgc.measure import spearman
from qgc.scenes import sample


@pytest.fixture(scope="module")
def scenes():
    return [sample(s, "natural") for s in (3, 4, 5)]


@pytest.fixture(scope="module")
def candidates(small_model, scenes):
    return reductions.compute_candidates(small_model, scenes)


def test_row_candidates_are_reductions_of_the_jacobian(small_model, scenes):
    F = small_model.conv(small_model.prepare(scenes[0].image))
    q = small_model.encode("What color is the wall?")
    found = reductions.candidates(small_model, *small_model.branches(F, q))
    rows = jacobian(small_model, F, q)
    expected = {
        "l2": rows.norm(dim=1),
        "sum": rows.sum(1),
        "abs-sum": rows.abs().sum(1),
        "largest entry": rows.abs().amax(1),
        "of ΣA": rows.sum(0),
    }
    for name, values in expected.items():
        torch.testing.assert_close(found[name][0], values, rtol=1e-9, atol=1e-12)


def test_candidates_before_the_tanh_are_gradients(small_model, scenes):
    F = small_model.conv(small_model.prepare(scenes[0].image))
    u, v = small_model.branches(F, small_model.encode("What color is the wall?"))
    before = u.atanh().requires_grad_()
    with torch.enable_grad():
        A = before.tanh() * v
        y = small_model.classify(A)
    found = reductions.candidates(small_model, u, v)
    (of_answer,) = torch.autograd.grad(y.max(), before, retain_graph=True)
    (of_sum,) = torch.autograd.grad(A.sum(), before)
    torch.testing.assert_close(found["of the answer"], of_answer, rtol=1e-6, atol=1e-10)
    torch.testing.assert_close(found["tanh only"], of_sum.abs(), rtol=1e-6, atol=1e-10)


def test_candidates_have_a_row_for_every_question_of_the_families(small_model, scenes, candidates):
    asks = [(n, a) for n, s in enumerate(scenes) for a in s.asks if a.family in ("colour", "activity", "gaze")]
    assert candidates.asked["question"].tolist() == [a.question for _, a in asks]
    assert set(candidates.values) == set(reductions.CANDIDATES)
    last = asks[-1][1].question
    F = small_model.conv(small_model.prepare(scenes[-1].image))
    alone = reductions.candidates(small_model, *small_model.branches(F, small_model.encode(last)))
    for name, values in alone.items():
        torch.testing.assert_close(candidates.values[name][-1], values[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["same question", "other question", "same answer"])
def test_pairs_are_those_that_their_kind_says(candidates, kind):
    rows = list(candidates.asked.itertuples(index=False))

    def wanted(a, b):
        if kind == "same question":
            return a.question == b.question
        same_colour_answer = a.family == b.family == "colour" and a.answer == b.answer
        return a.scene == b.scene and (kind == "other question" or same_colour_answer)

    expected = {(i, k) for i, k in combinations(range(len(rows)), 2) if wanted(rows[i], rows[k])}
    assert expected and set(zip(*reductions.pairs(candidates.asked, kind), strict=True)) == expected


def test_unknown_kind_of_pairs_is_refused(candidates):
    with pytest.raises(ValueError, match="choose one of"):
        reductions.pairs(candidates.asked, "nobody")


def test_statistics_equal_plain_counting(candidates):
    first, second = reductions.pairs(candidates.asked, "other question")
    order = candidates.values["sum"].argsort(descending=True)
    tops = [set(row[:10].tolist()) for row in order]
    expected = [len(tops[a] & tops[b]) for a, b in zip(first, second, strict=True)]
    assert candidates.shared("sum", first, second).tolist() == expected
    values = candidates.values["l2"]
    found = candidates.spearman("l2", first[:3], second[:3])
    assert found == pytest.approx([spearman(values[a], values[b]) for a, b in zip(first[:3], second[:3], strict=True)])
    ranked = values.sort(descending=True).values
    assert candidates.steepness("l2") == pytest.approx((ranked[:, 0] / ranked[:, 9]).tolist())


def test_scaling_holds_for_random_rows():
    """Rows of 2048 random weights, reduced, are as much larger than rows of 512 as ``to_paper_size`` says."""
    rows = torch.rand(4000, 2048, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    for name, reduce in (("l2", lambda r: r.norm(dim=1)), ("abs-sum", lambda r: r.abs().sum(1))):
        ratio = float(reduce(rows).mean() / reduce(rows[:, :512]).mean())
        assert ratio == pytest.approx(reductions.to_paper_size(name, 512), rel=0.01)
    ratio = float(rows.sum(1).std() / rows[:, :512].sum(1).std())
    assert ratio == pytest.approx(reductions.to_paper_size("sum", 512), rel=0.05)
    assert reductions.to_paper_size("tanh only", 512) == reductions.to_paper_size("l2", 2048) == 1


def test_spanned_covers_the_middle_of_every_group():
    low, high = reductions.spanned([np.arange(101.0), np.arange(50.0, 251.0)])
    assert (low, high) == pytest.approx((2.5, 245.0))


def test_a_model_without_a_closed_form_is_refused(monkeypatch, small_model, scenes):
    monkeypatch.setattr(small_model, "sensitivity_jacobian", lambda u, v: None)
    with pytest.raises(QGCError, match="a DeeperLSTM has no closed form of ∂A/∂q.*give a Deeper LSTM"):
        reductions.compute_candidates(small_model, scenes)
