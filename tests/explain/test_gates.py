"""Sets of combine neurons: many at once, and those of two questions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qgc.errors import GateError
from qgc.explain import EncodedImage, explain, gates
from qgc.scenes.situations import situation

FIRST, SECOND = torch.tensor([4, 2, 0, 1, 3, 5]), torch.tensor([2, 5, 4, 3, 1, 0])


@pytest.fixture(scope="module")
def pair(model):
    scene = situation("bathroom")
    return explain(model, EncodedImage(model, scene), scene.questions, "white")


def test_top_is_a_row_for_every_n():
    keep = gates.top(FIRST, [1, 3, 6])
    assert [row.nonzero()[:, 0].tolist() for row in keep] == [[4], [0, 2, 4], [0, 1, 2, 3, 4, 5]]
    assert gates.top(FIRST, []).shape == (0, 6)
    with pytest.raises(GateError, match="whole number from 1 to 6"):
        gates.top(FIRST, [3, 7])


def test_top_passes_over_what_is_left_out():
    leave = torch.zeros(2, 6, dtype=torch.bool)
    leave[0, [2, 4]] = leave[1, [0, 1, 2, 4]] = True
    keep = gates.top(FIRST, [3, 3], leave)
    assert [row.nonzero()[:, 0].tolist() for row in keep] == [[0, 1, 3], [3, 5]]


def test_common_and_distinct_by_hand():
    assert gates.common(FIRST, SECOND, 3).tolist() == [2, 4]
    assert gates.common(FIRST, SECOND, 1).tolist() == []
    assert gates.distinct(FIRST, SECOND, 3).tolist() == [0]
    assert gates.distinct(SECOND, FIRST, 3).tolist() == [5]
    assert gates.distinct(FIRST, SECOND, 3, refill=True).tolist() == [0, 1, 3]
    assert gates.distinct(FIRST, SECOND, 5, refill=True).tolist() == [0, 5]  # all that is not common


@pytest.mark.parametrize("n", [1, 25, 300])
def test_distinct_is_the_difference_of_two_sets(pair, n):
    one, two = (set(e.order[:n].tolist()) for e in pair)
    first, second = pair[0].order, pair[1].order
    assert set(gates.common(first, second, n).tolist()) == one & two
    if one != two:
        assert set(gates.distinct(first, second, n).tolist()) == one - two
    refilled = gates.distinct(first, second, n, refill=True)
    assert len(refilled) == min(n, 1024 - len(one & two)) and not set(refilled.tolist()) & one & two


def test_an_empty_rest_is_refused(pair):
    order = pair[0].order
    with pytest.raises(GateError, match="both questions have the same top 25 neurons: .* take a smaller n"):
        gates.distinct(order, order, 25)
    assert gates.distinct(order, order, 25, refill=True).tolist() == sorted(order[25:50].tolist())
    for refill in (False, True):
        with pytest.raises(GateError, match="the same top 1024"):
            gates.distinct(order, pair[1].order, 1024, refill=refill)


def test_rankings_of_two_models_are_refused():
    with pytest.raises(GateError, match="rankings of 6 and 3 neurons"):
        gates.distinct(FIRST, torch.arange(3), 2)


def test_maps_of_many_sets_are_the_maps_of_each(pair):
    e, ns = pair[0], [1, 25, 1024]
    assert torch.allclose(gates.maps(e, gates.top(e.order, ns)), e.maps(ns), rtol=1e-9, atol=1e-15)
    rest = gates.distinct(e.order, pair[1].order, 25)
    keep = torch.zeros(2, 1024)
    keep[1, rest] = 1
    found = gates.maps(e, keep)
    assert not found[0].any() and torch.allclose(found[1], e.map(neurons=rest), rtol=1e-9, atol=1e-15)


def test_without_common_is_distinct_for_many_n(pair):
    first, second = pair[0].order, pair[1].order
    for refill in (False, True):
        table = gates.without_common(first, second, [25, 300, 1024], refill)
        for row, n in zip(table, (25, 300), strict=False):
            assert torch.equal(row.nonzero()[:, 0], gates.distinct(first, second, n, refill))
        assert not table[2].any()


def test_random_rankings_are_those_of_the_stored_measurement():
    rankings = gates.random_rankings(1024, 100)
    assert rankings[0, :5].tolist() == [615, 863, 7, 932, 783]
    assert (rankings.sort(1).values == torch.arange(1024)).all() and len(rankings.unique(dim=0)) == 100
    assert torch.equal(gates.random_rankings(1024, 2), rankings[:2])
    assert torch.equal(gates.random_ranks(1024, 2).gather(1, rankings[:2]), torch.arange(1024).expand(2, -1))
    assert torch.equal(gates.random_gates([25], 1024, 100)[99].nonzero()[:, 0], rankings[99, :25].sort().values)
    going_on = np.random.default_rng(0)
    assert all(torch.equal(gates.random_rankings(1024, 1, going_on)[0], one) for one in rankings[:3])


def test_random_gates_are_nested_sets_of_the_asked_sizes():
    table = gates.random_gates([0, 3, 10], size=50, draws=200)
    assert table.shape == (600, 50) and table.sum(1).view(200, 3).unique(dim=0).tolist() == [[0, 3, 10]]
    sets = table.view(200, 3, 50)
    assert (sets[:, 1] <= sets[:, 2]).all()
    how_often = sets[:, 2].float().mean(0)  # each neuron is drawn in 10 of 50 draws on average
    assert 0.05 < how_often.min() and how_often.max() < 0.35
    assert torch.equal(table, gates.random_gates(torch.tensor([0, 3, 10]), 50, 200))
    assert not torch.equal(table, gates.random_gates([0, 3, 10], 50, 200, rng=1))


def test_compared_holds_sets_of_the_sizes_that_it_says(pair):
    word = torch.arange(1024.0)
    sets = gates.compared(*pair, word, [10, 300], draws=3)
    left = sets["left out"].sum(1)
    assert sets["∂A/∂q"].sum(1).tolist() == sets["∂A/∂w"].sum(1).tolist() == [10, 300]
    assert sets["∂A/∂w"][0, -10:].all() and left.tolist() == [
        n - len(gates.common(pair[0].order, pair[1].order, n)) for n in (10, 300)
    ]
    assert sets["random"].sum(1).tolist() == 3 * [10, 300] and sets["Grad-CAM"].all()
    assert sets["random, as few"].sum(1).tolist() == 3 * left.tolist()
