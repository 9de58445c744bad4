"""The tests of protocol 2's hypotheses: each is read from ``protocol-2.yml`` and evaluated on the stored arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student_t

from ...measure.similarity import spearman
from ..protocol import crossed
from . import PROTOCOL, Model
from .results import Measured, difference, faithfulness, overview


@dataclass(frozen=True)
class Found:
    """An estimate with its 95 % interval and two-sided p (for an equivalence: that of the two one-sided tests)."""

    estimate: float
    low: float
    high: float
    p: float


def _over_seeds(values: Iterable[float]) -> Found:
    # Student's t over the seeds' values: one row of a crossed design.
    known = np.array([v for v in values if np.isfinite(v)])
    return _found(crossed.crossed_mean(known[None])) if len(known) else Found(*[float("nan")] * 4)


def _found(mean: crossed.CrossedMean) -> Found:
    interval = mean.interval()
    return Found(interval.estimate, interval.low, interval.high, mean.p())


def correlation(table: pd.DataFrame, test: Mapping, within_moments: bool = True) -> Found:
    """Spearman's ρ over a seed's graded models (rows of :func:`~.results.overview`), mean over seeds.

    ``within_moments``: of the models' distances from the mean of the models at the same moment of training, so that
    what changes with training anyway cannot make the correlation.
    """
    columns = [test["of"], test["with"]]
    values = table[columns] - within_moments * table.groupby(["seed", "step"])[columns].transform("mean")
    return _over_seeds(values.groupby(table["seed"]).apply(lambda t: spearman(*t.to_numpy().T)))


def equivalence(measured: Mapping[str, Measured], table: pd.DataFrame, test: Mapping, smallest: float) -> Found:
    """RGA less ½ in the graded models below a bound: p of "it is at least ``smallest`` away from zero"."""
    blind = [measured[name].model for name in table.index[table[test["where"]] < test["below"]]]
    if not blind:
        return Found(*[float("nan")] * 4)
    mean = difference(measured, test["of"], None, blind)
    shifted = crossed.CrossedMean(mean.estimate - 0.5, mean.error, mean.df)
    interval = shifted.interval()
    p = student_t.sf((smallest - abs(shifted.estimate)) / shifted.error, shifted.df)
    return Found(interval.estimate, interval.low, interval.high, float(p))


def last_of(distribution: str) -> list[Model]:
    """The graded models of a distribution at the end of training."""
    end = max(PROTOCOL.data["models"]["steps"])
    return [m for m in PROTOCOL.models if m.cell and m.distribution == distribution and m.step == end]


def paired(
    measured: Mapping[str, Measured], test: Mapping, distribution: str = "natural", **kind: bool
) -> Found:  # fmt: skip
    """The difference of two methods' RGA in the models of a distribution at the end of training."""
    where = [m for m in last_of(distribution) if m.name in measured]
    return _found(difference(measured, test["of"], test["against"], where, **kind))


def agree(measured: Mapping[str, Measured], test: Mapping) -> Found:
    """Mean κ of a method's verdict and the model's, seed by seed, over the graded models where it is defined."""
    by_seed: dict[int, list[float]] = {}
    for m in measured.values():
        if m.model.cell:
            by_seed.setdefault(m.model.seed, []).append(faithfulness(m, test["of"]))
    return _over_seeds(np.nanmean(v) for v in by_seed.values() if np.isfinite(v).any())


def evaluate(measured: Mapping[str, Measured]) -> pd.DataFrame:
    """A row for each hypothesis: ``says``, estimate with interval, ``p``, Holm's ``p (Holm)``, and the ``verdict``.

    A verdict is "supported" (in the expected direction, at least the smallest effect, Holm's p < .05), "weaker than
    declared" (the same below the smallest effect), "contradicted" (significant in the other direction), else "open" —
    or, where the interval leaves no room for the smallest effect, "ruled out".
    """
    graded = overview({name: m for name, m in measured.items() if m.model.cell})
    kinds: dict[str, Callable[[Mapping], Found]] = {
        "correlation": lambda h: correlation(graded, h["test"]),
        "equivalence": lambda h: equivalence(measured, graded, h["test"], h["smallest effect"]),
        "difference": lambda h: paired(measured, h["test"]),
        "agreement": lambda h: agree(measured, h["test"]),
    }
    rows = []
    for h in PROTOCOL.data["hypotheses"]:
        test = h["test"]
        rows.append({"id": h["id"], "says": h["says"], **vars(kinds[test["kind"]](h))})
        if test["kind"] == "difference":
            without = paired(measured, test, backgrounds=False)
            rows[-1] |= {f"{k} without backgrounds": getattr(without, k) for k in ("estimate", "low", "high")}
    table = pd.DataFrame(rows).set_index("id")
    known = table["p"].notna()
    table.loc[known, "p (Holm)"] = crossed.holm(table.loc[known, "p"])
    table["verdict"] = [_verdict(h, table.loc[h["id"]]) for h in PROTOCOL.data["hypotheses"]]
    return table


def _verdict(h: Mapping, row: pd.Series) -> str:
    smallest = h["smallest effect"]
    significant = row["p (Holm)"] < 0.05
    if h["expected"] == "zero":
        return "supported" if significant else "open"
    sign = -1 if h["expected"] == "negative" else 1
    estimate, ends = sign * row["estimate"], sorted((sign * row["low"], sign * row["high"]))
    if h["test"]["kind"] == "difference" and significant:
        low, high = row["low without backgrounds"], row["high without backgrounds"]
        significant = low > 0 if row["estimate"] > 0 else high < 0
    if significant and estimate < 0:
        return "contradicted"
    if significant:
        return "supported" if estimate >= smallest else "weaker than declared"
    return "ruled out" if ends[1] < smallest else "open"
