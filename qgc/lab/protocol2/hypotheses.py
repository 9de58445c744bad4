"""The tests of protocol 2's hypotheses: each is read from ``protocol-2.yml`` and evaluated on the stored arrays.

A test has an estimate with its interval and p, and *conditions*: the same without backgrounds, in each CNN, above what
a surrogate without place gets, and so on. A hypothesis whose conditions do not hold is not called supported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ...measure.similarity import spearman
from ..experiments.effects import agreement
from ..protocol import crossed
from . import PROTOCOL, Model
from .results import Measured, difference, overview

GROUPS = 25
"""Groups of scenes, one of which is left out at a time (:func:`jackknifed`)."""
RATIO = 3.0
"""The larger object of a pair has so many times the smaller one's area, or less: the strata of :func:`strata`."""
TESTS = len(PROTOCOL.data["hypotheses"])


@dataclass(frozen=True)
class Found:
    """An estimate, its 95 % interval, two-sided p, and ``wide``: the interval of 1 − .05/8, for all tests together."""

    estimate: float
    low: float
    high: float
    p: float
    wide: tuple[float, float]


@dataclass(frozen=True)
class Tested:
    """A test's result, and its conditions by name: what is found there, and whether it stands."""

    found: Found
    conditions: dict[str, tuple[Found, bool]] = field(default_factory=dict)


NOTHING = Found(*[float("nan")] * 4, (float("nan"),) * 2)


def _found(mean: crossed.CrossedMean) -> Found:
    interval, wide = mean.interval(), mean.interval(1 - 0.05 / TESTS)
    return Found(mean.estimate, interval.low, interval.high, mean.p(), (wide.low, wide.high))


# -- which models, which pairs ------------------------------------------------------------------------------------
def last_of(distribution: str) -> list[Model]:
    """The graded models of a distribution at the end of training."""
    end = max(PROTOCOL.data["models"]["steps"])
    return [m for m in PROTOCOL.models if m.cell and m.distribution == distribution and m.step == end]


def strata(m: Measured) -> pd.Series:
    """By scene: whether a background is among the two objects, and whether one is much larger (:data:`RATIO`)."""
    area = m.arrays["area"].astype(float)
    much = area.max(1) > RATIO * area.min(1)
    return pd.Series(2 * m.background + much, m.arrays["scene"])


def within(m: Measured, of: str, scenes: Callable[[np.ndarray], np.ndarray]) -> float:
    """Spearman's ρ over one model's pairs of ``of`` (the cosine) and Y's size, less its stratum's mean rank."""
    pairs = pd.DataFrame({"of": getattr(m, of), "with": m.effects["separation"].abs(), "stratum": strata(m)}).dropna()
    pairs = pairs[scenes(pairs.index.to_numpy())]
    ranks = pairs[["of", "with"]].rank()
    return float(ranks.sub(ranks.groupby(pairs["stratum"]).transform("mean")).corr().iloc[0, 1])


def stratified_kappa(
    m: Measured, method: str, scenes: Callable[[np.ndarray], np.ndarray] | None = None
) -> float:  # fmt: skip
    """Cohen's κ of a method's rank verdict and the model's, over the pairs where the model's is sure.

    Agreement beyond chance is summed over :func:`strata`, so that what both verdicts owe to the kind of pair is none.
    nan where neither could have differed in any of them.
    """
    sure = m.effects[m.effects["sure"] == 1]["verdict"]
    if scenes is not None:
        sure = sure[scenes(sure.index.to_numpy())]
    own, stratum = m.of(method).reindex(sure.index), strata(m).reindex(sure.index)
    beyond = most = 0.0
    for _, model in sure.groupby(stratum):
        table = agreement(own[model.index], model)
        if total := table.sum():
            expected = (table.sum(0) * table.sum(1)).sum() / total
            beyond, most = beyond + np.trace(table) - expected, most + total - expected
    return beyond / most if most else float("nan")


# -- kinds of tests ---------------------------------------------------------------------------------------------
def jackknifed(
    measured: Mapping[str, Measured], models: Iterable[Model],
    statistic: Callable[[Measured, Callable[[np.ndarray], np.ndarray]], float],
) -> Found:  # fmt: skip
    """A statistic of each model, its mean over a seed's models, and over seeds.

    Its variance is that over scenes, by leaving out one of :data:`GROUPS` groups of scenes in all models at a time,
    plus that of the mean over seeds: scenes and CNNs are shared by the seeds. Degrees of freedom: Satterthwaite's.
    """
    by_seed: dict[int, list[Measured]] = {}
    for model in models:
        by_seed.setdefault(model.seed, []).append(measured[model.name])

    def means(scenes: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        return np.array([np.mean([statistic(m, scenes) for m in group]) for group in by_seed.values()])

    whole = means(lambda index: np.full(len(index), True))
    parts = np.array([means(lambda index, g=g: index % GROUPS != g).mean() for g in range(GROUPS)])
    if not (np.isfinite(whole).all() and np.isfinite(parts).all() and len(whole) > 1):
        return NOTHING
    of_scenes = (GROUPS - 1) * parts.var()
    of_seeds = whole.var(ddof=1) / len(whole)
    variance = of_scenes + of_seeds
    spread = of_scenes**2 / (GROUPS - 1) + of_seeds**2 / (len(whole) - 1)
    df = variance**2 / spread if spread else len(whole) - 1
    return _found(crossed.CrossedMean(float(whole.mean()), float(np.sqrt(variance)), float(df)))


def across(table: pd.DataFrame, test: Mapping, within_moments: bool = True) -> Found:
    """Spearman's ρ over a seed's graded models (rows of :func:`~.results.overview`), mean over seeds, t over seeds.

    ``within_moments``: of the models' distances from the mean of the models at the same moment of training, so that
    what changes with training anyway cannot make the correlation.
    """
    columns = [test["of"], test["with"]]
    values = table[columns] - within_moments * table.groupby(["seed", "step"])[columns].transform("mean")
    each = values.groupby(table["seed"]).apply(lambda t: spearman(*t.to_numpy().T)).to_numpy()
    return _found(crossed.crossed_mean(each[None])) if np.isfinite(each).all() else NOTHING


def across_models(table: pd.DataFrame, test: Mapping, smallest: float) -> Tested:
    """:func:`across`, which stands if it is as strong with any one CNN left out.

    Seeds are new question sides of four CNNs, so their interval says nothing about other CNNs.
    """
    found, conditions = across(table, test), {}
    for cell in table["cell"].unique():
        part = across(table[table["cell"] != cell], test)
        conditions[f"without {cell}"] = part, np.sign(found.estimate) * part.estimate >= smallest
    conditions["effects without a floor"] = _same(across(table, {**test, "with": "raw separation"}), found)
    return Tested(found, conditions)


def within_models(measured: Mapping[str, Measured], test: Mapping) -> Tested:
    """:func:`within`, mean over the four CNNs; in each of them alone it must have the same sign."""
    models = [m for d in PROTOCOL.data["models"]["distributions"] for m in last_of(d)]

    def correlation(some: Iterable[Model]) -> Found:
        return jackknifed(measured, some, lambda m, scenes: within(m, test["of"], scenes))

    found, conditions = correlation(models), {}
    for cell in dict.fromkeys(m.cell for m in models):
        part = correlation(m for m in models if m.cell == cell)
        conditions[f"{cell} alone"] = part, _sign(part, found)
    return Tested(found, conditions)


def of_test(test: Mapping) -> list[Model]:
    """The models that a difference is tested in: those listed, else the natural ones at the end of training."""
    listed = test.get("models", [])
    return [m for m in PROTOCOL.models if m.name in listed] if listed else last_of("natural")


def paired(measured: Mapping[str, Measured], test: Mapping, models: Iterable[Model], **kind: bool) -> Found:
    """The difference of two methods' RGA in some models, pair by pair."""
    where = [m for m in models if m.name in measured]
    return _found(difference(measured, test["of"], test["against"], where, **kind)) if where else NOTHING


def paired_everywhere(measured: Mapping[str, Measured], test: Mapping) -> Tested:
    """:func:`paired`; without backgrounds, above surrogates and absent objects, and with each CNN or model alone."""
    models = of_test(test)
    found = paired(measured, test, models)
    conditions = {
        "without backgrounds": _same(paired(measured, test, models, backgrounds=False), found),
        "above the surrogates": _same(paired(measured, test, models, above_surrogate=True), found),
        "above absent objects": _same(paired(measured, test, models, above_absent=True), found),
    }
    for name in dict.fromkeys(m.cell or m.name for m in models):
        part = paired(measured, test, [m for m in models if name in (m.cell, m.name)])
        conditions[f"{name} alone"] = part, _sign(part, found)
    return Tested(found, conditions)


def agree(measured: Mapping[str, Measured], test: Mapping) -> Tested:
    """:func:`stratified_kappa`, mean over the listed models of a seed."""
    models = [measured[name].model for name in test["models"] if name in measured]
    return Tested(jackknifed(measured, models, lambda m, s: stratified_kappa(m, test["of"], s)) if models else NOTHING)


def _sign(part: Found, whole: Found) -> bool:
    return bool(np.sign(part.estimate) == np.sign(whole.estimate))


def _same(part: Found, whole: Found) -> tuple[Found, bool]:
    # Whether the interval of a part is on the same side of zero as the estimate of the whole.
    return part, bool(part.low > 0 if whole.estimate > 0 else part.high < 0)


# -- choices that are made on validation scenes -------------------------------------------------------------------
def chosen(table: pd.DataFrame) -> list[str]:
    """The models that H8 is about, by what ``protocol-2.yml`` says under ``tests``, from validation scenes."""
    last = table[table["step"] == table["step"].max()]
    of_cell = last.groupby("cell")["the model itself"].transform("mean")
    return list(last.index[of_cell.between(0.6, 0.9)])


# -- all of them --------------------------------------------------------------------------------------------------
def evaluate(measured: Mapping[str, Measured]) -> pd.DataFrame:
    """A row for each hypothesis: ``says``, estimate, interval, ``p``, Holm's ``p (Holm)``, ``verdict``, ``meaning``.

    ``conditions`` has what :class:`Tested` says of them, ``failed`` the names of those that do not stand. The verdict
    is one of :data:`VERDICTS`; ``meaning`` is what the protocol says of it.
    """
    graded = overview({name: m for name, m in measured.items() if m.model.cell})
    kinds: dict[str, Callable[[Mapping], Tested]] = {
        "across models": lambda h: across_models(graded, h["test"], h["smallest effect"]),
        "within models": lambda h: within_models(measured, h["test"]),
        "difference": lambda h: paired_everywhere(measured, h["test"]),
        "agreement": lambda h: agree(measured, h["test"]),
    }
    hypotheses: Sequence[Mapping] = PROTOCOL.data["hypotheses"]
    tested = {h["id"]: kinds[h["test"]["kind"]](h) for h in hypotheses}
    rows = [{"id": h["id"], "says": h["says"], **vars(tested[h["id"]].found)} for h in hypotheses]
    table = pd.DataFrame(rows).set_index("id")
    table["p (Holm)"] = crossed.holm(table["p"].fillna(1.0))  # the family is all of them
    table["conditions"] = [t.conditions for t in tested.values()]
    table["failed"] = [[name for name, (_, stands) in t.conditions.items() if not stands] for t in tested.values()]
    table["verdict"] = [verdict(h, tested[h["id"]], table.loc[h["id"], "p (Holm)"]) for h in hypotheses]
    table["meaning"] = [h.get(VERDICTS[v], UNDECIDED) for h, v in zip(hypotheses, table["verdict"], strict=True)]
    return table


UNDECIDED = "These data do not decide it."
VERDICTS = {
    "supported": "says",
    "weaker than declared": "weaker",
    "contradicted": "contradicted",
    "ruled out": "otherwise",
    "open": "",
    "undefined": "",
}
"""What can come of a hypothesis, and which of its sentences in ``protocol-2.yml`` is said then."""


def verdict(h: Mapping, tested: Tested, p: float) -> str:
    """One of :data:`VERDICTS`, from Holm's p.

    "supported": in the expected direction, at least the smallest effect of interest, p < .05, and every condition
    stands. "weaker than declared": the same below that effect. "contradicted": p < .05, at least that effect in the
    other direction, and no condition but those on controls fails. "ruled out": all of the wide interval is below the
    smallest effect, without backgrounds, too. Else "open"; "undefined" where nothing can be computed.
    """
    found, smallest = tested.found, h["smallest effect"]
    if not np.isfinite(found.estimate):
        return "undefined"
    failed = {name for name, (_, stands) in tested.conditions.items() if not stands}
    sign = -1 if h["expected"] == "negative" else 1
    estimate, most = sign * found.estimate, max(sign * end for end in found.wide)
    across = h["test"]["kind"] == "across models"  # of four CNNs: it can be supported, or not decided
    if p < 0.05 and not failed and estimate > 0:
        return "supported" if estimate >= smallest else "weaker than declared"
    if p < 0.05 and estimate <= -smallest and not failed - CONTROLS and not across:
        return "contradicted"
    without = tested.conditions.get("without backgrounds", (found, True))[0]
    if most < smallest and max(sign * end for end in without.wide) < smallest and not across:
        return "ruled out"
    return "open"


CONTROLS = {"above the surrogates", "above absent objects"}
"""They can take a gain away, as what a method has for another reason; they cannot make a loss one of that kind."""
