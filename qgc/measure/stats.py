"""How sure is a number? The cluster bootstrap: intervals over scenes, and over training seeds.

Questions about one scene are not independent of each other, nor are the scores of one trained model. So whole scenes,
and whole training seeds, are drawn again with replacement, never single rows (with both at once Owen 2007, "The
pigeonhole bootstrap": a row weighs the product of how often its scene and its seed were drawn). With five seeds it is
no calibrated interval: a nominal 95 % covers less than 90 % where seeds differ much (few clusters), and 99 % where only
the residual varies (counted three times). For means over seeds that saw the same scenes the protocol has a better one,
:func:`qgc.lab.protocol.crossed.crossed_mean`.
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
    """An estimate with the two ends of its interval: numbers, or arrays of one shape for many columns at once."""

    estimate: float | np.ndarray
    low: float | np.ndarray
    high: float | np.ndarray

    def __str__(self) -> str:
        """The estimate and its ends in three decimals."""
        return f"{self.estimate:.3f} [{self.low:.3f}, {self.high:.3f}]"


# -- statistics of weighted values ------------------------------------------------------------------
def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ w x / Σ w, (D,), or (D, …) of values (N, …); nan where every weight is zero."""
    return _over(weights @ values, weights.sum(1))


def _over(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    weight = weight.reshape(-1, *[1] * (total.ndim - 1))
    return np.divide(total, weight, out=np.full(total.shape, np.nan), where=weight > 0)


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

    SciPy's ``bootstrap`` draws single rows, or the rows of several samples by themselves; it has no clusters, let alone
    two crossed kinds of them, and no weights.

    Parameters
    ----------
    values : (N,), or (N, …) of which :func:`mean` makes (draws, …). scene, seed : (N,) labels of what is drawn
        together. ``seed=None`` holds the models fixed.
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
            of_group = interval(cells[column], *(cells[c] for c in clusters), **bootstrapping)
            found.append((*key, column, *_as_row(of_group), cells["scene"].nunique(), len(known)))
    return pd.DataFrame(found, columns=[*by, "measure", "estimate", "low", "high", "scenes", "rows"])


def _as_row(found: Interval) -> tuple[float, float, float]:
    return found.estimate, found.low, found.high


def _weights(clusters: list[np.ndarray], draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    # How often each row was drawn, (D, N), some draws at a time.
    step = max(1, CHUNK // max(1, len(clusters[0])))
    for start in range(0, draws, step):
        weights = np.ones((min(step, draws - start), len(clusters[0])))
        for c in clusters:
            count = int(c.max()) + 1
            weights *= rng.multinomial(count, np.full(count, 1 / count), len(weights))[:, c]
        yield weights
