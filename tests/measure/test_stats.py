"""Intervals and corrections, on cases that can be worked by hand or have a formula."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from qgc.lab.experiments import nulls
from qgc.lab.protocol import crossed
from qgc.measure import stats


def test_holm_by_hand():
    # sorted 0.01, 0.03, 0.04 times 3, 2, 1: 0.03, 0.06, 0.04, and no later one may be smaller
    np.testing.assert_allclose(crossed.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(crossed.holm([0.5, 0.9]), [1.0, 1.0])


def test_weighted_statistics_by_hand():
    values = np.array([3.0, 1.0, 2.0])
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(stats.mean(values, weights), [2, 1.25, math.nan])
    np.testing.assert_allclose(nulls.quantile(0.5)(values, weights), [2, 1, math.nan])
    np.testing.assert_allclose(nulls.quantile(0.75)(values, weights)[:2], [3, 1])
    np.testing.assert_allclose(nulls.share_below(2.0)(values, weights)[:2], [0.5, 0.875])


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


# -- crossed seeds and scenes ---------------------------------------------------------------------------
def test_crossed_mean_by_hand():
    # seed means 2, 4; scene means 1.5, 3, 4.5; mean squares 6 (df 1), 4.5 (df 2), residual 0.5 (df 2)
    found = crossed.crossed_mean([[1, 2, 3], [2, 4, 6]])
    assert found.estimate == pytest.approx(3)
    assert found.error**2 == pytest.approx((6 + 4.5 - 0.5) / 6)
    assert found.df == pytest.approx(10**2 / (6**2 / 1 + 4.5**2 / 2 + 0.5**2 / 2))


def test_no_variance_component_is_negative():
    # means of seeds and of scenes are all equal: both mean squares are zero, and raised to the residual's, 2/3 (df 3)
    found = crossed.crossed_mean([[0, 1, 0, 1], [1, 0, 1, 0]])
    assert found.error**2 == pytest.approx(2 / 3 / 8)
    assert found.df == 1  # Satterthwaite's 1 / (1/1 + 1/3 + 1/3) is less than the seeds have


def test_one_seed_is_a_t_test_over_scenes():
    values = np.random.default_rng(0).normal(0.1, size=40)
    values[3] = math.nan
    known = values[np.isfinite(values)]
    theirs = scipy.stats.ttest_1samp(known, 0)
    found = crossed.crossed_interval(values[None])
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval()))
    assert crossed.crossed_p(values[None]) == pytest.approx(theirs.pvalue)


def test_seeds_weigh_equally_however_many_scenes_they_have():
    values = np.full((2, 100), math.nan)
    values[0], values[1, :10] = 0, 1
    assert crossed.crossed_mean(values).estimate == 0.5


def test_interval_and_test_agree():
    rng = np.random.default_rng(3)
    values = rng.normal(size=(5, 30, 400)) + rng.normal(0.3, 0.4, size=(5, 1, 400))
    found, p = crossed.crossed_interval(values), crossed.crossed_p(values)
    outside = (found.low > 0) | (found.high < 0)
    assert 0 < outside.sum() < 400
    np.testing.assert_array_equal(p < 0.05, outside)


def test_columns_at_once_are_columns_one_by_one(monkeypatch):
    rng = np.random.default_rng(4)
    values = rng.random((3, 20, 2, 4), np.float32)
    values[:, 5] = math.nan  # in every column
    values[1, 7, 1, 2:] = math.nan  # in some
    monkeypatch.setattr(crossed, "CHUNK", 3 * 20 * 3)
    before = values.copy()
    found = crossed.crossed_mean(values)
    np.testing.assert_array_equal(values, before)
    for at in np.ndindex(2, 4):
        alone = crossed.crossed_mean(values[(..., *at)])
        for name in ("estimate", "error", "df"):
            assert isinstance(getattr(alone, name), float)
            assert getattr(found, name)[at] == pytest.approx(getattr(alone, name), rel=1e-9)


def test_without_spread_or_values():
    same = crossed.crossed_mean(np.full((5, 20), 0.25))
    assert same.error == 0 and same.p(0.25) == 1 and same.p(0) == 0
    assert str(same.interval()) == "0.250 [0.250, 0.250]"
    empty = np.ones((2, 3))
    empty[1] = math.nan
    for nothing in (empty, np.full((1, 3), math.nan)):
        assert math.isnan(crossed.crossed_mean(nothing).estimate) and math.isnan(crossed.crossed_p(nothing))
    assert math.isnan(crossed.crossed_mean([[1.0], [0.0]]).error)  # one scene
    with pytest.raises(ValueError, match="seeds, scenes"):
        crossed.crossed_mean([1.0, 2.0])


def test_bounds_cut_the_ends():
    found = crossed.crossed_interval(np.eye(4)[:2] * 0.1, bounds=(0, 1))
    assert found.low == 0 < found.estimate < found.high


SIMULATED = 2000
SEED_SD = (0, 0.01, 0.02, 0.05)


def verdicts(seed_sd: float, mean: float = 0.6, scenes: int = 300, seeds: int = 5, pairs: int = 2) -> np.ndarray:
    """Shares of right verdicts (seeds, scenes, SIMULATED): accuracy is mean + a seed's + a scene's effect."""
    rng = np.random.default_rng([int(1000 * seed_sd), int(1000 * mean)])
    accuracy = mean + rng.uniform(-0.25, 0.25, (1, scenes, SIMULATED))
    accuracy = accuracy + seed_sd * rng.standard_normal((seeds, 1, SIMULATED))
    return rng.binomial(pairs, accuracy.clip(0, 1)) / pairs


def covered(low, high, mean: float = 0.6) -> float:
    return float(((low <= mean) & (mean <= high)).mean())


@pytest.mark.parametrize("seed_sd", SEED_SD)
def test_crossed_interval_covers_what_it_says(seed_sd):
    found = crossed.crossed_interval(verdicts(seed_sd))
    assert 0.93 <= covered(found.low, found.high) <= 0.985


def test_pigeonhole_bootstrap_misses_in_both_directions():
    seeds, scenes = 5, 300
    scene, seed = np.tile(np.arange(scenes), seeds), np.repeat(np.arange(seeds), scenes)
    share = {}
    for seed_sd in (0, 0.05, 0.1):
        values = verdicts(seed_sd)
        # all simulated experiments share the draws of scenes and seeds
        draws = stats.bootstrap(
            values.reshape(seeds * scenes, -1), scene, seed, draws=1000,
            statistic=lambda v, w: w @ v / w.sum(1, keepdims=True),
        )  # fmt: skip
        found = crossed.crossed_interval(values)
        share[seed_sd] = covered(*np.quantile(draws, [0.025, 0.975], axis=0)), covered(found.low, found.high)
    assert share[0][0] > 0.985  # the residual is counted three times where nothing else varies
    assert share[0.05][0] < share[0.05][1] and share[0.1][0] < 0.91 < 0.93 <= share[0.1][1]


@pytest.mark.parametrize("seed_sd", SEED_SD)
def test_crossed_test_errs_as_rarely_as_it_says(seed_sd):
    p = crossed.crossed_p(verdicts(seed_sd, mean=0.5), null=0.5)
    assert 0.015 <= (p < 0.05).mean() <= 0.07


def test_missing_cells_cost_no_coverage():
    values = verdicts(0.02)
    rng = np.random.default_rng(5)
    scattered = np.where(rng.random(values.shape) < 0.15, math.nan, values)
    fewer = values.copy()
    fewer[1:, 100:] = math.nan  # one seed saw three times as many scenes
    for missing in (scattered, fewer):
        found = crossed.crossed_mean(missing)
        assert np.mean(found.error**2) == pytest.approx(np.var(found.estimate), rel=0.12)
        assert 0.93 <= covered(found.interval().low, found.interval().high) <= 0.985
