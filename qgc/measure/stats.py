"""How sure is a number? Intervals over training seeds and scenes, a test with the same variance, Holm's correction.

Questions about one scene are not independent of each other, nor are the scores of one trained model. Where every seed
saw the same scenes, the two are crossed random effects: :func:`crossed_mean` estimates their variances (two-way ANOVA)
and gives an interval and a test with as many degrees of freedom as the estimate has (:func:`crossed_interval`,
:func:`crossed_p`).

For statistics other than a mean there is the cluster bootstrap: whole scenes, and whole training seeds, are drawn again
with replacement, never single rows (with both at once Owen 2007, "The pigeonhole bootstrap": a row weighs the product
of how often its scene and its seed were drawn). With five seeds it is no calibrated interval: a nominal 95 % covers
less than 90 % where seeds differ much (few clusters), and 99 % where only the residual varies (counted three times).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

DRAWS = 2000
CHUNK = 2**22  # numbers held at a time, weights or values: 32 MiB

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


# -- means over crossed seeds and scenes --------------------------------------------------------------
@dataclass(frozen=True)
class CrossedMean:
    """A mean over training seeds and scenes, its standard error and degrees of freedom: numbers, or arrays."""

    estimate: float | np.ndarray
    error: float | np.ndarray
    df: float | np.ndarray

    def interval(self, level: float = 0.95, bounds: tuple[float, float] | None = None) -> Interval:
        """Student's t interval; ``bounds`` cuts its ends where values cannot lie, (0, 1) for an accuracy."""
        half = student_t.ppf((1 + level) / 2, self.df) * self.error
        low, high = self.estimate - half, self.estimate + half
        if bounds is not None:
            low, high = (np.clip(end, *bounds) for end in (low, high))
        return Interval(self.estimate, low, high) if np.ndim(half) else Interval(self.estimate, float(low), float(high))

    def p(self, null: float = 0.0) -> float | np.ndarray:
        """Two-sided p of "the mean is ``null``": below α exactly where ``null`` is outside the 1 − α interval."""
        difference = np.abs(np.asarray(self.estimate) - null)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(difference == 0, 0.0, difference / self.error)
        p = np.where(np.isnan(self.error), np.nan, 2 * student_t.sf(ratio, self.df))
        return p if p.ndim else float(p)


def crossed_mean(values) -> CrossedMean:
    """Mean over training seeds that saw the same scenes, each seed weighing equally, with its standard error.

    Values are y_sn = μ + seed_s + scene_n + residual_sn (two-way random effects, one value a cell). Balanced,

        Var(mean) = σ²_seed / S + σ²_scene / N + σ²_residual / SN = (MS_seed + MS_scene − MS_residual) / SN

    with MS_seed and MS_scene at least MS_residual (no variance component is negative), and Satterthwaite's (1946)
    degrees of freedom, at least those of the smaller factor: S − 1 if seeds differ much, many if they hardly do.
    The interval is for new scenes *and* newly trained models. Simulated with five seeds, a nominal 95 % covers 94 %
    where seeds differ much, and more where seeds hardly differ: 97 %, or 99 % where scenes do not differ either.

    With one seed, or values of one model, it is Student's t over scenes: an interval for new scenes of *this* model.
    It does not say how another training run would have come out.

    Parameters
    ----------
    values : (S, N) seeds × scenes, each the mean over a scene's question pairs, or (S, N, …) for many columns at once.
        nan where a seed has no value for a scene. Then the estimate is still the mean of the seeds' means, and the
        components are Henderson's (1953) first method, which is the ANOVA where nothing is missing.

    Returns
    -------
    CrossedMean
        Floats for (S, N), else arrays of shape (…). All nan where a seed has no value; error and df nan where too
        few cells are left to tell seeds, scenes and residual apart.
    """
    values = np.asarray(values)
    if values.ndim < 2:
        raise ValueError("give values as (seeds, scenes) or (seeds, scenes, columns)")
    seeds, scenes, *shape = values.shape
    columns = values.reshape(seeds, scenes, -1)
    step = max(1, CHUNK // max(1, seeds * scenes))  # columns at a time
    parts = [_crossed(columns[..., i : i + step].astype(float)) for i in range(0, columns.shape[2], step)]
    found = np.concatenate(parts, 1).reshape(3, *shape) if parts else np.empty((3, *shape))
    return CrossedMean(*(found if shape else map(float, found)))


def crossed_interval(values, level: float = 0.95, bounds: tuple[float, float] | None = None) -> Interval:
    """:func:`crossed_mean` of values (seeds, scenes, …) with its interval; for one seed it covers scenes only."""
    return crossed_mean(values).interval(level, bounds)


def crossed_p(values, null: float = 0.0) -> float | np.ndarray:
    """Two-sided p of "the :func:`crossed_mean` of values (seeds, scenes, …) is ``null``"; agrees with the interval."""
    return crossed_mean(values).p(null)


@np.errstate(divide="ignore", invalid="ignore")
def _crossed(y: np.ndarray) -> np.ndarray:
    # Estimate, standard error and degrees of freedom, (3, M), of y (S, N, M), which is changed in place.
    known = np.isfinite(y)
    if (known == known[..., :1]).all():
        known = known[..., :1]  # the same cells in every column, so count once
    if not known.all():
        y[~np.broadcast_to(known, y.shape)] = 0.0
    per_seed, per_scene = known.sum(1), known.sum(0)  # (S, ·), (N, ·)
    estimate = (y.sum(1) / per_seed).mean(0)
    y -= estimate  # so that differences of squares lose no digits
    if not known.all():
        y *= known

    # Sums of squares about the grand mean: of the cells, seeds and scenes
    n, in_seeds, in_scenes = per_seed.sum(0), y.sum(1), y.sum(0)
    present = (per_scene > 0).sum(0)  # scenes with any value
    overall = in_seeds.sum(0) ** 2 / n
    cells = np.einsum("snm,snm->m", y, y) - overall
    if len(y) == 1:
        error = np.where(n > 1, np.sqrt(cells.clip(0) / (n * (n - 1))), np.nan)
        return np.stack([estimate, error, np.broadcast_to(np.where(n > 1, n - 1, np.nan), estimate.shape)])
    by_seed = (in_seeds**2 / per_seed).sum(0) - overall
    by_scene = (in_scenes**2 / per_scene.clip(1)).sum(0) - overall

    # Their expectations, linear in the variances of seed, scene and residual (Henderson's method 1)
    k_seed, k_scene, seeds = (per_seed**2).sum(0) / n, (per_scene**2).sum(0) / n, len(y)
    expected = [
        [n - k_seed, seeds - k_scene, n * 0 + seeds - 1],
        [present - k_seed, n - k_scene, present - 1],
        [k_seed - present, k_scene - seeds, n - seeds - present + 1],
    ]
    coefficients = np.moveaxis(np.array(expected, float), -1, 0)  # (·, 3, 3)
    solvable = np.isfinite(coefficients).all((1, 2)) & (present > 1) & (n - seeds - present + 1 > 0) & per_seed.all(0)
    coefficients[~solvable] = np.eye(3)
    sums = np.stack([by_seed, by_scene, cells - by_seed - by_scene], 1)[..., None]
    seed, scene, residual = np.linalg.solve(coefficients, sums)[..., 0].T.clip(0)

    # What each adds to the variance of the mean of the seeds' means; balanced, these are the mean squares over SN
    weight = known / (seeds * per_seed[:, None])  # (S, N, ·)
    from_cells = residual * (weight**2).sum((0, 1))
    from_seeds = seed / seeds + from_cells
    from_scenes = scene * (weight.sum(0) ** 2).sum(0) + from_cells
    variance = from_seeds + from_scenes - from_cells
    freedom = (seeds - 1, present - 1, n - seeds - present + 1)
    spread = sum(v**2 / f for v, f in zip((from_seeds, from_scenes, from_cells), freedom, strict=True))
    df = np.fmax(variance**2 / spread, np.minimum(seeds, present) - 1)
    return np.stack([estimate, *(np.where(solvable, x, np.nan) for x in (np.sqrt(variance), df))])


# -- statistics of weighted values ------------------------------------------------------------------
def mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ w x / Σ w, (D,), or (D, …) of values (N, …); nan where every weight is zero."""
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


# -- tests --------------------------------------------------------------------------------------------
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
