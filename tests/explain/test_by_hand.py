"""Maps, weights, rankings and contrasts, on numbers that can be worked on paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qgc.errors import AnswerError, GateError
from qgc.explain import EncodedImage, closed_form, contrast, explain, gates, gradcam, maps_of, normalised
from qgc.explain.contrast import normalised_by, without_rounding_error
from qgc.explain.sensitivity import jacobian, reduce_rows


class Paper(torch.nn.Module):
    """Two maps of 1×2 cells; v = (sum of the means, first mean twice), u = q, two answers."""

    combine = 2

    def branches(self, F, q):
        a, b = F.mean((2, 3)).unbind(1)
        return q, torch.stack([a + b, 2 * a], 1)

    def classify(self, A):
        return A @ torch.tensor([[1.0, 0.0], [3.0, -1.0]]).T


F = torch.tensor([[[[2.0, 0.0]], [[0.0, 6.0]]]])
q = torch.tensor([[5.0, 7.0]])


def test_grad_cam_on_paper():
    # y_1 = 3·5·v_1 − 7·v_2, so ∂y/∂mean a = 15 − 14 = 1 and ∂y/∂mean b = 15; a cell has half of either
    assert gradcam(Paper(), F, q, 1).tolist() == [[0.5 * 2 + 0, 7.5 * 6]]
    assert gradcam(Paper(), F, q, 1, torch.tensor([0])).tolist() == [[7.5 * 2, 7.5 * 6]]
    assert gradcam(Paper(), F, q, 1, torch.tensor([1])).tolist() == [[-7.0 * 2, 0]]
    assert gradcam(Paper(), F, q, 0).tolist() == [[2.5 * 2, 2.5 * 6]]


def test_the_closed_form_on_paper():
    M = closed_form.pooled_jacobian_vjp(Paper(), F, q)
    assert M.tolist() == [[0.5, 0.5], [1.0, 0.0]]
    g = torch.tensor([15.0, -7.0])
    alpha = closed_form.weights(g, M, torch.tensor([1, 0]))
    assert alpha.tolist() == [[-7.0, 0.0], [0.5, 7.5]]
    assert closed_form.maps(alpha, F).tolist() == [[[-14.0, 0.0]], [[1.0, 45.0]]]


def test_the_sensitivity_on_paper():
    # A = (q_1 v_1, q_2 v_2) with v = (1 + 3, 2)
    rows = jacobian(Paper(), F, q)
    assert rows.tolist() == [[4.0, 0.0], [0.0, 2.0]]
    rows = torch.tensor([[3.0, -4.0], [1.0, 1.0]])
    assert reduce_rows(rows, "l2").tolist() == pytest.approx([5, 2**0.5])
    assert reduce_rows(rows, "sum").tolist() == [-1, 2] and reduce_rows(rows, "abs-sum").tolist() == [7, 2]


def test_contrasts_on_paper():
    a, b = torch.tensor([[3.0, -1.0]]), torch.tensor([[0.0, 2.0]])
    assert contrast(a, b).tolist() == [[3.0, -3.0]]
    assert contrast(a, b, "l1").tolist() == [[0.75, -1.25]]
    assert contrast(a, b, "l2").tolist()[0] == pytest.approx([3 / 10**0.5, -1 / 10**0.5 - 1])
    assert torch.equal(contrast(b, a, "l1"), -contrast(a, b, "l1"))
    assert contrast(a, torch.zeros(1, 2), "l2").tolist()[0] == pytest.approx([3 / 10**0.5, -1 / 10**0.5])
    many = contrast(torch.stack([a, 2 * b]), b, "l1")
    assert many.tolist() == [[[0.75, -1.25]], [[0.0, 0.0]]]  # the second pair is one map, twice
    assert normalised_by(torch.zeros(1, 2), "l1").tolist() == [[0.0, 0.0]]
    for other in (torch.zeros(2, 2), torch.zeros(1, 3)):
        for one, two in ((a, other), (other, a)):
            with pytest.raises(GateError, match="cells"):
                contrast(one, two)
    with pytest.raises(GateError, match="l3"):
        contrast(a, b, "l3")


def test_rounding_is_judged_by_the_largest_input():
    map_ = torch.tensor([[2e-6, 0.0]])
    assert without_rounding_error(map_, torch.tensor([[1.0, 0.0]])).tolist() == map_.tolist()
    assert without_rounding_error(map_, torch.tensor([[0.0, 1.0]]), torch.tensor([[-3.0, 0.0]])).tolist() == [
        [0.0, 0.0]
    ]


def test_a_contrast_of_explanations_is_that_of_their_maps_before_the_relu(small_model):
    from qgc.scenes.situations import situation

    scene = situation("bathroom")
    both = explain(small_model, EncodedImage(small_model, scene), scene.questions, "white")
    raw = [e.map(relu=False) for e in both]
    assert torch.equal(contrast(*both), raw[0] - raw[1])
    maps = maps_of(both, [3, 32])
    for k, e in enumerate(both):
        torch.testing.assert_close(maps[k], torch.stack([e.map(3), e.map()]), rtol=1e-9, atol=1e-15)
    with pytest.raises(AnswerError, match="2 questions but 1 answers"):
        explain(small_model, scene, scene.questions, ["white"])
    assert explain(small_model, scene, []) == []


def test_gates_on_paper():
    order, other = torch.tensor([2, 0, 3, 1]), torch.tensor([0, 1, 2, 3])
    assert gates.top(order, [1, 3]).tolist() == [[False, False, True, False], [True, False, True, True]]
    assert gates.common(order, other, 2).tolist() == [0] and gates.distinct(order, other, 2).tolist() == [2]
    assert gates.distinct(order, other, 2, refill=True).tolist() == [2, 3]
    with pytest.raises(GateError, match="none is left"):
        gates.distinct(order, other, 4)
    with pytest.raises(GateError, match="of 4 and 3 neurons"):
        gates.common(order, other[:3], 2)
    assert gates.check_indices([3, 1, 1], 4).tolist() == [1, 3]
    for wrong, named in (([4], "neuron 4"), ([1, 4], "neuron 4"), ([-1, 2], "neuron -1"), ([-1, 9], "neuron 9")):
        with pytest.raises(GateError, match=f"{named} does not exist; indices go from 0 to 3"):
            gates.check_indices(wrong, 4)


def test_random_gates_are_nested_and_the_same_again():
    found = gates.random_gates([0, 2, 5], 6, draws=3)
    assert found.sum(1).tolist() == [0, 2, 5] * 3 and torch.equal(
        found, gates.random_gates([0, 2, 5], 6, draws=3, rng=0)
    )
    assert (found[1] <= found[2]).all() and not torch.equal(found, gates.random_gates([0, 2, 5], 6, draws=3, rng=1))
    assert len(gates.random_gates([1], 6)) == 20
    assert torch.equal(gates.random_gates([6], 6, 1), torch.ones(1, 6, dtype=torch.bool))


def test_a_normalised_map_ends_at_one():
    assert normalised(torch.tensor([[-2.0, 1.0], [4.0, 0.0]])).tolist() == [[0.0, 0.25], [1.0, 0.0]]
    with pytest.warns(UserWarning, match="empty"):
        assert normalised(np.array([[-1.0, 0.0]])).tolist() == [[0.0, 0.0]]
