"""Means over training seeds that saw the same scenes: intervals, a test with the same variance, Holm's correction.

Questions about one scene are not independent of each other, nor are the scores of one trained model: seeds and scenes
are crossed random effects. :func:`crossed_mean` estimates their variances (two-way ANOVA) and gives an interval and a
test with as many degrees of freedom as the estimate has (:func:`crossed_interval`, :func:`crossed_p`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student_t

from ...measure.stats import Interval

CHUNK = 2**22  # numbers held at a time: 32 MiB


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
