"""∂A/∂q: closed form, automatic differentiation and small steps."""

from __future__ import annotations

import pytest
import torch

from qgc.errors import GateError
from qgc.explain import REDUCTIONS, EncodedImage, explain, sensitivity
from qgc.scenes.situations import situation


@pytest.fixture(scope="module")
def explained(model):
    """The bathroom's first question."""
    return explain(model, situation("bathroom"), situation("bathroom").questions[0], "white")


@pytest.fixture(scope="module")
def jacobian(model, explained) -> torch.Tensor:
    """∂A/∂q (1024, 512) by automatic differentiation."""
    return sensitivity.jacobian(model, explained.F, explained.q)


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_the_closed_form_agrees_with_autograd(model, explained, jacobian, reduce):
    closed = sensitivity.sensitivity(model, explained.F, explained.q, explained.u[None], explained.v[None], reduce)
    by_hand = {"l2": (jacobian**2).sum(1).sqrt(), "sum": jacobian.sum(1), "abs-sum": jacobian.abs().sum(1)}[reduce]
    error = ((closed - by_hand).abs().max() / by_hand.abs().max()).item()
    print(f"\n∂A/∂q, {reduce}: {error:.1e}")
    assert closed.shape == (1024,) and error <= 1e-12
    assert (reduce == "sum") == bool((closed < 0).any())


def test_the_jacobian_agrees_with_small_steps(model, explained, jacobian):
    step, worst = 1e-5, 0.0
    for i in (0, 130, 511):
        d = torch.zeros_like(explained.q)
        d[0, i] = step
        ahead, behind = (torch.mul(*model.branches(explained.F, explained.q + s * d))[0] for s in (1, -1))
        worst = max(worst, ((ahead - behind) / (2 * step) - jacobian[:, i]).abs().max().item())
    error = worst / jacobian.abs().max().item()
    print(f"\n∂A/∂q against small steps: {error:.1e}")
    assert error < 1e-7


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_an_explanation_ranks_by_its_reduction(model, explained, reduce):
    e = explain(model, explained.view, explained.question, "white", reduce=reduce)
    assert e.reduce == reduce and torch.equal(e.scores, e.sensitivity)
    assert (e.scores[e.order].diff() <= 0).all()


def test_reductions_of_a_small_table():
    rows = torch.tensor([[3.0, -4.0], [0.0, 2.0]])
    assert [sensitivity.reduce_rows(rows, r).tolist() for r in REDUCTIONS] == [[5, 2], [-1, 2], [7, 2]]


@pytest.mark.parametrize("reduce", ["mean", "L2", "", None])
@pytest.mark.parametrize("rank", ["sensitivity", torch.zeros(1024)], ids=["sensitivity", "given"])
def test_an_unknown_reduction_is_refused(model, explained, reduce, rank):
    with pytest.raises(GateError, match="unknown reduction .*choose one of l2, sum, abs-sum"):
        explain(model, explained.view, explained.question, reduce=reduce, rank=rank)


def test_the_sensitivity_does_not_depend_on_the_answer(model, explained):
    other = explain(model, EncodedImage(model, explained.image), explained.question, "red")
    assert torch.allclose(other.sensitivity, explained.sensitivity, rtol=1e-12) and not torch.equal(
        other.g, explained.g
    )
