"""How sure is a number? Bootstrap by scene and by training seed, Holm's correction, a test by flipping signs.

Questions about one scene are not independent of each other, nor are the scores of one trained model. So whole scenes,
and whole training seeds, are drawn again with replacement, never single rows (the cluster bootstrap; with both at
once Owen 2007, "The pigeonhole bootstrap": a row weighs the product of how often its scene and its seed were drawn).
Few clusters make such an interval too narrow: with five seeds read its seed part as a lower bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

DRAWS = 2000
CHUNK = 2**22  # weights held at a time: 32 MiB

Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From values (N,) and weights (D, N) to one number for each row of weights, (D,)."""


@dataclass(frozen=True)
class Interval:
    """An estimate with the ends of its percentile interval."""

    estimate: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


# -- statistics of weighted values ------------------------------------------------------------------
def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ w x / Σ w, (D,); nan where every weight is zero."""
    return _over(weights @ values, weights.sum(1))


def quantile(p: float) -> Statistic:
    """The p-quantile of the weighted values: the least x with Σ_{x' ≤ x} w ≥ p Σ w."""

    def statistic(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        order = np.argsort(values, kind="stable")
        reached = weights[:, order].cumsum(1)
        wanted = p * reached[:, -1:] * (1 - 1e-12)
        return np.where(reached[:, -1] > 0, values[order][(reached < wanted).sum(1).clip(max=len(values) - 1)], np.nan)

    return statistic


def share_below(x: float) -> Statistic:
    """The share of the weighted values below x, those equal to it counting one half: x's place among them, 0–1."""
    return lambda values, weights: mean(np.where(values == x, 0.5, values < x), weights)


def _over(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.divide(total, weight, out=np.full(len(weight), np.nan), where=weight > 0)


# -- resampling -------------------------------------------------------------------------------------
def percentile_interval(draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The middle ``level`` of bootstrap draws (Efron's percentile interval): its two ends; nan if there are none."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap(
    values, scene, seed=None, *, statistic: Statistic = mean, draws: int = DRAWS, rng: int | np.random.Generator = 0
) -> np.ndarray:
    """A statistic of ``draws`` resamples of whole scenes, and of whole training seeds where given, (draws,).

    Parameters
    ----------
    values : (N,). scene, seed : (N,) labels of what is drawn together. ``seed=None`` holds the models fixed.
    """
    values = np.asarray(values, float)
    clusters = [np.unique(np.asarray(c), return_inverse=True)[1] for c in (scene, seed) if c is not None]
    if any(len(c) != len(values) for c in clusters):
        raise ValueError("give one scene (and one seed) for every value")
    return np.concatenate([statistic(values, w) for w in _weights(clusters, draws, np.random.default_rng(rng))])


def interval(
    values, scene, seed=None, *, statistic: Statistic = mean, level: float = 0.95, **bootstrapping
) -> Interval:
    """A statistic with its bootstrap interval (:func:`bootstrap`); values that are nan are left out first."""
    values = np.asarray(values, float)
    known = np.isfinite(values)
    if not known.any():
        return Interval(*[float("nan")] * 3)
    scene, seed = (None if c is None else np.asarray(c)[known] for c in (scene, seed))
    estimate = float(statistic(values[known], np.ones((1, known.sum())))[0])
    return Interval(
        estimate,
        *percentile_interval(bootstrap(values[known], scene, seed, statistic=statistic, **bootstrapping), level),
    )


def intervals(frame: pd.DataFrame, by: Sequence[str], columns: Sequence[str], **bootstrapping) -> pd.DataFrame:
    """Means of columns, group by group, as a tidy table: a scene counts once, however many rows it has.

    Parameters
    ----------
    frame : rows with a column ``scene``, and ``seed`` where several trained models are to be drawn from as well.
    by : columns that make a group. columns : what is averaged, within a scene (and seed) first.

    Returns
    -------
    DataFrame
        ``by``, ``measure`` (the column's name), ``estimate``, ``low``, ``high``, and how many ``scenes`` and ``rows``
        had a value.
    """
    clusters = ["scene"] + ["seed"] * ("seed" in frame)
    by, found = list(by), []
    for key, group in frame.groupby(by, sort=False) if by else [((), frame)]:
        for column in columns:
            known = group[[*clusters, column]].dropna()
            cells = known.groupby(clusters, as_index=False)[column].mean()
            drawn = interval(cells[column], *(cells[c] for c in clusters), **bootstrapping)
            found.append((*key, column, *_as_row(drawn), cells["scene"].nunique(), len(known)))
    return pd.DataFrame(found, columns=[*by, "measure", "estimate", "low", "high", "scenes", "rows"])


def _as_row(drawn: Interval) -> tuple[float, float, float]:
    return drawn.estimate, drawn.low, drawn.high


def _weights(clusters: list[np.ndarray], draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    # How often each row was drawn, (D, N), some draws at a time.
    step = max(1, CHUNK // max(1, len(clusters[0])))
    for start in range(0, draws, step):
        weights = np.ones((min(step, draws - start), len(clusters[0])))
        for c in clusters:
            count = int(c.max()) + 1
            weights *= rng.multinomial(count, np.full(count, 1 / count), len(weights))[:, c]
        yield weights


# -- tests --------------------------------------------------------------------------------------------
def sign_flip_p(values, scene, *, draws: int = 9999, rng: int | np.random.Generator = 0) -> float:
    """Two-sided p of "these values are symmetric about zero, scene by scene", by flipping whole scenes' signs.

    (1 + #{|Σ ± s| ≥ |Σ s|}) / (1 + draws) with s the sums over scenes: valid at any number of scenes. For a grounding
    accuracy give the values minus one half. nan values are left out.
    """
    values = np.asarray(values, float)
    known = np.isfinite(values)
    sums = pd.Series(values[known]).groupby(np.asarray(scene)[known]).sum().to_numpy()
    rng, reached = np.random.default_rng(rng), 0
    step = max(1, CHUNK // max(1, len(sums)))
    for start in range(0, draws, step):
        signs = rng.choice((-1.0, 1.0), (min(step, draws - start), len(sums)))
        reached += int((np.abs(signs @ sums) >= abs(sums.sum()) * (1 - 1e-12)).sum())
    return (1 + reached) / (1 + draws)


def holm(p) -> np.ndarray:
    """Holm's (1979) adjusted p-values of many comparisons: max_{k ≤ i} min(1, (m − k + 1) p_(k)), in the order given.

    Rejecting where they are at most α keeps the chance of any false rejection at α, whatever depends on what.
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order])
    adjusted = np.empty_like(p)
    adjusted[order] = stepped.clip(max=1)
    return adjusted
