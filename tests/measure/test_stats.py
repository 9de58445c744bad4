"""Intervals and corrections, on cases that can be worked by hand or have a formula."""

import math

import numpy as np
import pandas as pd
import pytest

from qgc.measure import stats


def test_holm_by_hand():
    # sorted 0.01, 0.03, 0.04 times 3, 2, 1: 0.03, 0.06, 0.04, and no later one may be smaller
    np.testing.assert_allclose(stats.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(stats.holm([0.5, 0.9]), [1.0, 1.0])


def test_weighted_statistics_by_hand():
    values = np.array([3.0, 1.0, 2.0])
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(stats.mean(values, weights), [2, 1.25, math.nan])
    np.testing.assert_allclose(stats.quantile(0.5)(values, weights), [2, 1, math.nan])
    np.testing.assert_allclose(stats.quantile(0.75)(values, weights)[:2], [3, 1])
    np.testing.assert_allclose(stats.share_below(2.0)(values, weights)[:2], [0.5, 0.875])


def test_percentile_interval_is_the_middle():
    assert stats.percentile_interval(np.arange(101.0), 0.9) == pytest.approx((5, 95))
    assert all(math.isnan(x) for x in stats.percentile_interval(np.array([math.nan])))


def test_interval_has_the_width_that_theory_gives():
    values = np.random.default_rng(0).normal(size=400)
    found = stats.interval(values, np.arange(400))
    assert found.estimate == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)
    assert found == stats.interval(values, np.arange(400))


def test_rows_of_one_scene_add_no_certainty():
    values = np.random.default_rng(1).normal(size=100)
    once = stats.interval(values, np.arange(100))
    again = stats.interval(np.repeat(values, 9), np.repeat(np.arange(100), 9))
    apart = stats.interval(np.repeat(values, 9), np.arange(900))
    width = [i.high - i.low for i in (once, again, apart)]
    assert width[1] == pytest.approx(width[0], rel=1e-9)
    assert width[2] == pytest.approx(width[0] / 3, rel=0.1)


def test_seeds_are_drawn_too():
    seed, scene = np.repeat(np.arange(5), 40), np.tile(np.arange(40), 5)
    values = seed.astype(float)  # seeds differ, scenes do not
    fixed = stats.interval(values, scene)
    assert fixed.low == fixed.high == fixed.estimate == 2
    drawn = stats.interval(values, scene, seed)
    # the mean of 5 draws from 0 … 4 has a standard deviation of √(2/5)
    draws = stats.bootstrap(values, scene, seed)
    assert draws.std() == pytest.approx((2 / 5) ** 0.5, rel=0.05)
    assert drawn.low < 1 < 3 < drawn.high


def test_large_tables_are_drawn_in_parts(monkeypatch):
    values, scene = np.random.default_rng(2).normal(size=50), np.arange(50) // 2
    whole = stats.bootstrap(values, scene, draws=200)
    monkeypatch.setattr(stats, "CHUNK", 500)
    parts = stats.bootstrap(values, scene, draws=200)
    assert len(parts) == 200 and parts.std() == pytest.approx(whole.std(), rel=0.2)


def test_nan_is_left_out():
    found = stats.interval([1.0, math.nan, 1.0], [0, 1, 2])
    assert (found.estimate, found.low, found.high) == (1, 1, 1)
    assert math.isnan(stats.interval([math.nan], [0]).estimate)


def test_labels_must_fit():
    with pytest.raises(ValueError, match="one scene"):
        stats.bootstrap([1.0, 2.0], [0])


def test_a_scene_counts_once():
    frame = pd.DataFrame({"scene": [1, 1, 1, 2], "map": list("aaaa"), "hit": [1.0, 1.0, 1.0, 0.0]})
    row = stats.intervals(frame, ["map"], ["hit"]).iloc[0]
    assert row["estimate"] == 0.5 and row["scenes"] == 2 and row["rows"] == 4 and row["measure"] == "hit"
    assert row["low"] == 0 and row["high"] == 1


def test_sign_flip_by_hand():
    # of the 8 ways to sign 1, 2, 3 only +++ and −−− reach 6
    assert stats.sign_flip_p([1.0, 1.0, 1.0, 3.0], [0, 1, 1, 2]) == pytest.approx(0.25, abs=0.02)
    assert stats.sign_flip_p([1.0, -1.0], [0, 1]) == 1
    assert stats.sign_flip_p(np.ones(40), np.arange(40)) == pytest.approx(1e-4)
