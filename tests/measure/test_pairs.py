"""Verdicts on pairs of maps: against their definitions written out in loops, and at their edges."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
import torch

import qgc
from qgc.explain import contrast
from qgc.lab.protocol.grounding import chosen_pairs
from qgc.measure import (
    cga,
    margin,
    no_place_surrogate,
    object_grounding,
    object_verdicts,
    odds_grounding,
    rank_grounding,
    shares,
)
from qgc.measure.pairs import cell_cover
from qgc.scenes import sample

SEED = 10_002_000  # validation scenes that nothing else looks at


# -- the definitions, from scratch ------------------------------------------------------------------------
def cover_by_loops(mask: np.ndarray, h: int, w: int) -> np.ndarray:
    """Coverage of every cell, pixel by pixel; H and W are multiples of h and w here."""
    H, W = mask.shape
    found = np.zeros((h, w))
    for y, x in zip(*np.nonzero(mask), strict=True):
        found[y * h // H, x * w // W] += 1 / ((H // h) * (W // w))
    return found


def auc_by_loops(map_: np.ndarray, S1: np.ndarray, S2: np.ndarray) -> float:
    won = total = 0.0
    for p, r in itertools.product(np.argwhere(S1), np.argwhere(S2)):
        p, r = tuple(p), tuple(r)
        weight = S1[p] * S2[r]
        total += weight
        won += weight * (1 if map_[p] > map_[r] else 0.5 if map_[p] == map_[r] else 0)
    return won / total


def verdict_of(x: float, y: float) -> float:
    return 0.5 if abs(x - y) <= 1e-9 else float(x > y)


def by_loops(maps: np.ndarray, masks: list[np.ndarray]) -> dict[str, float]:
    h, w = maps[0].shape
    covers = [cover_by_loops(m, h, w) for m in masks]
    a = [auc_by_loops(m, *covers) if m.any() else 0.5 for m in maps]
    R = [[np.nan, np.nan], [np.nan, np.nan]]
    for i, j in itertools.product(range(2), range(2)):
        positive = np.maximum(maps[i], 0)
        if positive.sum() > 0:
            R[i][j] = sum(positive[c] * covers[j][c] for c in np.ndindex(h, w)) / positive.sum()
    known = np.isfinite(R).all()
    each = [verdict_of(R[0][0], R[1][0]), verdict_of(R[1][1], R[0][1])] if known else [0.5, 0.5]
    return {
        "rank": verdict_of(*a) if all(m.any() for m in maps) else 0.5,
        "a_1": a[0],
        "a_2": a[1],
        "object": sum(each) / 2,
        "R": R,
    }


SCENES = 300 if os.environ.get("QGC_SLOW") else 3
"""Fresh scenes of each model that are recomputed from the definitions."""


@pytest.mark.parametrize("name", ["deeper-lstm/natural", "deeper-lstm/early", "deeper-lstm/balanced", "pythia/natural"])
def test_real_maps_agree_with_the_definitions_in_loops(name):
    vqa, tried = qgc.load(name), 0
    for i in range(SCENES):
        scene = sample(SEED + i, qgc.models.card(name)["distribution"])
        for pair in chosen_pairs(scene)[:1]:
            asked = qgc.explain(vqa, scene, [pair.first.question, pair.second.question], pair.answer)
            one, two = (e.map(relu=False) for e in asked)
            masks = [scene.masks[a.thing] for a in (pair.first, pair.second)]
            contrasts = [(contrast(one, two, norm), contrast(two, one, norm)) for norm in (None, "l1", "l2")]
            for both in [(one, two), *contrasts]:
                expected = by_loops(np.stack([m.numpy() for m in both]), masks)
                found, R = rank_grounding(torch.stack(both), masks), shares(torch.stack(both), masks)
                assert found.a_1.item() == pytest.approx(expected["a_1"], abs=1e-9)
                assert found.a_2.item() == pytest.approx(expected["a_2"], abs=1e-9)
                assert found.verdict.item() == expected["rank"]
                np.testing.assert_allclose(R.numpy(), expected["R"], atol=1e-9)
                assert object_grounding(R).item() == expected["object"]
            tried += 1
    print(f"{name}: {tried} pairs of maps, and as many of each contrast, agree to 1e-9")
    assert tried >= SCENES / 2


def test_cells_are_covered_by_parts_where_pixels_do_not_fit():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:6] = True
    covered = cell_cover(mask, (3, 2)).view(3, 2)
    fine = np.kron(mask, np.ones((3, 2)))  # 15 × 14 pixels: cells of 5 × 7
    expected = fine.reshape(3, 5, 2, 7).mean((1, 3))
    np.testing.assert_allclose(covered, expected, atol=1e-12)
    assert cell_cover(np.ones((224, 224), bool), (14, 14)).eq(1).all()


# -- edges ------------------------------------------------------------------------------------------------
LEFT, RIGHT = np.zeros((2, 8, 8), bool)
LEFT[:, :2], RIGHT[:, 6:] = True, True
MASKS = [LEFT, RIGHT]


def pair(left: float, right: float, other: tuple[float, float] | None = None) -> torch.Tensor:
    """Two 4×4 maps with these values on the left and right column, and ½ between."""
    maps = torch.full((2, 4, 4), 0.5, dtype=torch.float64)
    for m, values in zip(maps, ((left, right), other or (right, left)), strict=True):
        m[:, 0], m[:, 3] = values
    return maps


@pytest.mark.parametrize(
    ("maps", "rank", "objects", "odds", "contrastive"),
    [
        (pair(1, 0), 1, (1, 1), 1, 1),
        (pair(0, 1), 0, (0, 0), 0, 0),
        (pair(1, 0, (1, 0)), 0.5, (0.5, 0.5), 0.5, 0.5),  # the question is ignored
        (pair(1, 0, (30, 0)) * torch.tensor([1.0, 0.1])[:, None, None], 0.5, (0, 0.5), 0.5, 0),  # a steeper copy
        (-pair(0, 1) - 1, 1, (0.5, 0.5), 0.5, 0.5),  # negative everywhere: only its order says something
        (pair(1, 0) * torch.tensor([1.0, 0.0])[:, None, None], 0.5, (0.5, 0.5), 0.5, 1),  # one map is empty
        (torch.zeros(2, 4, 4), 0.5, (0.5, 0.5), 0.5, 0.5),
        (pair(1, 0, (0.5, 0.5)), 1, (1, 1), 1, 1),  # one question alone is grounded
    ],
)  # fmt: skip
def test_verdicts_at_the_edges(maps, rank, objects, odds, contrastive):
    R = shares(maps, MASKS)
    assert rank_grounding(maps, MASKS).verdict.item() == rank
    assert tuple(object_verdicts(R).tolist()) == objects and object_grounding(R).item() == np.mean(objects)
    assert odds_grounding(R).item() == odds
    assert cga(R).item() == contrastive == (1 + np.sign(round(margin(R).item(), 9))) / 2


def test_hard_zeros_are_ties():
    maps = torch.zeros(2, 4, 4)
    maps[:, :, 1] = 1  # on neither object
    R = shares(maps, MASKS)
    assert R.eq(0).all() and odds_grounding(R) == 0.5 and object_grounding(R) == 0.5 and cga(R) == 0.5


def test_what_rounding_left_is_empty_beside_its_inputs():
    maps = pair(1, 0)
    assert rank_grounding(maps, MASKS, inputs=torch.tensor([1e6, 1.0])).verdict.item() == 0.5
    assert rank_grounding(maps, MASKS, inputs=torch.tensor([1e5, 1.0])).verdict.item() == 1
    nearly = maps[0] * (1 + 1e-9)
    assert contrast(maps[0], nearly).eq(0).all() and contrast(maps[0], maps[0] * 1.1).ne(0).any()


def test_values_that_are_no_numbers_are_not_judged():
    for where in ((0, 0, 0), (0, 0, 1)):  # on an object, and on neither
        maps = pair(1, 0)
        maps[where] = torch.nan
        assert rank_grounding(maps, MASKS).verdict.isnan() and rank_grounding(maps, MASKS).a_1.isnan()


def test_an_object_that_is_not_seen_gives_a_tie():
    assert rank_grounding(pair(1, 0), [LEFT, np.zeros_like(LEFT)]).verdict.item() == 0.5


def test_many_maps_at_once_are_the_same_as_one_by_one():
    maps = torch.randn(5, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    found, R = rank_grounding(maps, MASKS), shares(maps, MASKS)
    assert found.verdict.shape == (5, 3) and R.shape == (5, 3, 2, 2) and object_verdicts(R).shape == (5, 3, 2)
    again = rank_grounding(maps[4, 1], MASKS)
    assert all(x[4, 1] == y for x, y in zip(found, again, strict=True))


# -- surrogates -------------------------------------------------------------------------------------------
def test_a_surrogate_keeps_every_value_and_no_place():
    first, second = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    made = no_place_surrogate(first, second)
    for given, m in zip((first, second), made, strict=True):
        assert m.flatten().sort().values.equal(given.flatten().sort().values)
    assert made[0].flatten().argsort().equal(made[1].flatten().argsort())
    assert rank_grounding(made, MASKS).verdict == 0.5


def test_a_surrogate_of_maps_that_ignore_the_question_is_these_maps():
    L = torch.rand(4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    steeper = 3 * L + 1
    torch.testing.assert_close(no_place_surrogate(L, steeper), torch.stack([L, steeper]), rtol=0, atol=0)
    raw = torch.stack([contrast(L, steeper), contrast(steeper, L)])
    torch.testing.assert_close(no_place_surrogate(L, steeper, contrast), raw, rtol=0, atol=0)


def test_a_surrogate_orders_what_both_share_alike():
    first, second, mean = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    seen = []
    no_place_surrogate(first, second, lambda a, b, m: seen.append(m) or a - m, common=[mean])
    assert seen[0].flatten().sort().values.equal(mean.flatten().sort().values)
    assert seen[0].equal(seen[1])
