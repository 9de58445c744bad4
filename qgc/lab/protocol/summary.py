"""From measured chunks to what the book reads: curves over n, tables with intervals, a sample to check against.

Written by ``python -m qgc measure`` as ``measure.json.xz`` (tables, and which command, versions and weights made them)
and ``measure.npz`` (curves and per-scene values, float16).
"""

from __future__ import annotations

import json
import lzma
import platform
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_array

from ...files import atomic_write
from ...measure.localise import MEASURES
from ...measure.stats import Interval
from ...models import zoo
from . import DRAWS, GRID, REGISTERED_SHARE, SCENES, SEEDS, VERSION, ProtocolModel, grounding, run
from .crossed import crossed_interval, crossed_p, holm
from .methods import GATE_FREE
from .stored import Stored

SHOWN = ("∂A/∂q, l2", "∂A/∂q of the other question", "∂A/∂q of no question")
"""Rankings whose result is also given for every training seed by itself."""

AGAINST = (
    ("∂A/∂q, l2", "∂A/∂q of the other question"),
    ("∂A/∂q, l2", "∂A/∂q of no question"),
    ("∂A/∂q, l2", "1 − u² of no question"),
    ("question contrast", "∂A/∂q, l2"),
    ("question contrast", "contrast with the mean question"),
    ("question contrast, L1", "∂A/∂q, l2"),
    ("question contrast, L1", "question contrast, L2"),
    ("question contrast, L1", "contrast with the mean question, L1"),
)
"""Methods that are compared with each other pair by pair, each ranking at its chosen n."""

CRITERIA = ("grounding", "rank")
"""By what n was chosen on validation: contrastive grounding, as protocol 1 registered it, and rank grounding, added."""

RANDOM_NS = (10, 25, 200)
WITHOUT = " without backgrounds"
"""Ends the names of columns over the pairs in which neither object is a half of the place (wall, floor, sky)."""

LOCALISATION_COLUMNS = ("measures", "measured scene")
"""Columns that some scenes have: those on which all localisation measures were taken."""

SIGNED = ("minus", "above", "effect", "margin", "cosine")
"""What the names of columns have in them whose values may be below zero; all others are shares."""

STORED_NS = (25, 200)
"""The n at which every pair's verdicts are kept for all rankings, besides the chosen ones."""

NUMBERS = (
    "∂A/∂q, l2",
    "∂A/∂q, least first",
    "∂A/∂q of the other question",
    "∂A/∂q of no question",
    "∂A/∂w of the thing's word",
    grounding.COMMON,
)
"""Rankings of which every pair's areas and shares are kept, too, and not only the verdicts."""

LEVELS = 63
"""Steps in which areas and shares are kept: six bits each."""

DIGITS = 5


@dataclass(frozen=True)
class Group:
    """Models that are read together: the training seeds of one model."""

    name: str
    models: tuple[str, ...]


def groups(models: Sequence[ProtocolModel]) -> list[Group]:
    """The training seeds of ``natural`` as one, each other model by itself; the shipped one is "natural, shipped"."""
    seeds = tuple(m.name for m in models if "seed" in m.name)
    found = [Group("natural", seeds)] if seeds else []
    return found + [Group(_by_itself(m.name, bool(seeds)), (m.name,)) for m in models if m.name not in seeds]


def _by_itself(model: str, beside_seeds: bool) -> str:
    name = model.removeprefix("deeper-lstm/")
    return "natural, shipped" if name == "natural" and beside_seeds else name


def grounded(margin: np.ndarray) -> np.ndarray:
    """Contrastive grounding of margins: 1 above zero, ½ at it, 0 below, nan where there is none."""
    return (1 + np.sign(margin.astype(np.float32))) / 2


class Measured:
    """The rows of a group of models; every array of ``rows`` is (seeds · pairs, …), ``scene`` and ``seed`` say whose.

    ``below``: of the models whose name has "seed" in it, only the scenes below that number are read.
    """

    def __init__(self, paths: Sequence[Path], group: Group, below: int | None = None):
        """Read the rows of every model of ``group`` from the chunks in ``paths``."""
        parts = [_gathered(tuple(paths), model) for model in group.models]
        if below is not None:
            parts = [_first(p, below) if "seed" in model else p for p, model in zip(parts, group.models, strict=True)]
        self.seed = np.concatenate([np.full(len(p["scene"]), k) for k, p in enumerate(parts)])
        self.scene = np.concatenate([p["scene"] for p in parts])
        self.rows = {k: np.concatenate([p[k] for p in parts]) for k in parts[-1] if k != "scene"}
        self.scenes, at = np.unique(self.scene, return_inverse=True)
        self.shape = (self.seed.max() + 1, len(self.scenes))
        cell, pair = np.ravel_multi_index((self.seed, at), self.shape), np.arange(len(at))
        self._sums = csr_array((np.ones(len(at)), (cell, pair)), (np.prod(self.shape), len(at)))

    def by_scene(self, values: np.ndarray) -> np.ndarray:
        """Means over a scene's pairs, (seeds, scenes, …), so that a scene counts once; nan where there is no value."""
        flat = values.reshape(len(values), -1)
        known = np.isfinite(flat)
        sums, counts = self._sums @ np.where(known, flat, 0.0), self._sums @ known.astype(float)
        means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
        return means.reshape(*self.shape, *values.shape[1:])

    def intervals(self, columns: dict[str, np.ndarray]) -> dict[str, list[float]]:
        """Mean and 95 % interval of every column (pairs,), seeds and scenes counting once: :mod:`.crossed`."""
        found = _ends(crossed_interval(self.by_scene(np.stack(list(columns.values()), 1))))
        shares = [not any(word in name for word in SIGNED) for name in columns]
        found[:, shares] = found[:, shares].clip(0, 1)
        return {name: [round(float(x), DIGITS) for x in row] for name, row in zip(columns, found.T, strict=True)}

    def p_value(self, values: np.ndarray) -> float:
        """Two-sided p of a mean of zero, of the same variance as :meth:`intervals`."""
        return float(crossed_p(self.by_scene(values)))


@lru_cache(maxsize=32)
def _gathered(paths: tuple[Path, ...], model: str) -> dict[str, np.ndarray]:
    # read once, since several tables are made of one model
    return run.gather(paths, model)


def _ends(interval: Interval) -> np.ndarray:
    return np.stack([interval.estimate, interval.low, interval.high])


def _first(part: dict[str, np.ndarray], below: int) -> dict[str, np.ndarray]:
    keep = part["scene"] < below
    return {k: v[keep] for k, v in part.items() if k not in LOCALISATION_COLUMNS}


# -- choosing n on validation -----------------------------------------------------------------------------
def registered_n(paths: Sequence[Path], models: Sequence[ProtocolModel], scenes: int) -> dict[str, int]:
    """Protocol 1's choice: for each ranking the least n with the highest contrastive grounding accuracy on validation.

    Of the shipped ``natural`` on all scenes and its seeds from 1 on, on the first quarter, a scene of a model counting
    once; of what there is, where a model is missing.
    """
    names = tuple(a.name for a in models if "natural" in a.name and a.name.startswith(("deeper", "natural-seed")))
    group = Group("registered", tuple(n for n in names if not n.endswith("seed0")))
    measured = Measured(paths, group, below=round(REGISTERED_SHARE * scenes))
    cells = measured.by_scene(grounded(measured.rows["margin"]))
    accuracy = np.nanmean(cells.reshape(-1, *cells.shape[2:]), 0)
    return {name: int(np.nanargmax(row)) + 1 for name, row in zip(grounding.GATES, accuracy, strict=True)}


def rank_n(measured: Measured) -> dict[str, int]:
    """For each ranking, and random gates, the least n of the grid with the highest rank grounding accuracy."""
    accuracy = measured.by_scene(_known(measured.rows["verdicts"][:, :, : len(GRID), 0])).mean((0, 1))
    random = measured.by_scene(_known(measured.rows["random verdicts"][..., 0]).mean(1)).mean((0, 1))
    return {
        name: GRID[int(np.nanargmax(row))]
        for name, row in zip((*grounding.GATES, RANDOM), (*accuracy, random), strict=True)
    }


RANDOM = "random gates"


def _known(twice: np.ndarray) -> np.ndarray:
    # verdicts from what is stored (twice them, −1 for none)
    return np.where(twice < 0, np.nan, twice / 2)


# -- what a table holds -----------------------------------------------------------------------------------
def columns(measured: Measured, where, margin: np.ndarray, head: str = "") -> dict[str, np.ndarray]:
    """Every column of a table for one map, (pairs,) each: all verdicts, and those of surrogates.

    Parameters
    ----------
    where : index of the map in the arrays of :func:`grounding.measure_pair`; ``head``: "free " for maps without a gate.
    margin : (pairs,) as registered.

    Returns
    -------
    dict
        "rank" (verdicts), "rank effect" (a_1 − a_2), "rank surrogate", "rank above" (verdict less the surrogate's),
        "rank ties"; "object" (mean over both), "larger", "smaller", "both objects", "object surrogate", "object above";
        "odds"; "grounding" and "margin" (as registered), "grounding surrogate", "grounding ties"; and of "rank", "rank
        above", "object", "grounding" what is left without backgrounds.
    """
    rows = measured.rows
    verdicts, surrogate = (_known(rows[head + k][:, *where]) for k in ("verdicts", "surrogate"))
    rank, objects, odds = verdicts[:, 0], verdicts[:, 1:3], verdicts[:, 3]
    larger = rows["area"].argmax(1)[:, None]
    contrastive = grounded(margin)
    effect = rows[head + "a"][:, *where].astype(float) @ [1, -1]
    found = {
        "rank": rank, "rank effect": effect, "rank surrogate": surrogate[:, 0], "rank above": rank - surrogate[:, 0],
        "rank ties": _where(rank, rank == 0.5),
        "object": objects.mean(1), "larger": np.take_along_axis(objects, larger, 1)[:, 0],
        "smaller": np.take_along_axis(objects, 1 - larger, 1)[:, 0],
        "both objects": _where(rank, (objects == 1).all(1)),
        "object surrogate": surrogate[:, 1:3].mean(1), "object above": (objects - surrogate[:, 1:3]).mean(1),
        "odds": odds, "grounding": contrastive, "margin": margin.astype(float),
        "grounding surrogate": surrogate[:, 3], "grounding ties": _where(rank, contrastive == 0.5),
    }  # fmt: skip
    plain = ~rows["background"].any(1)
    for name in ("rank", "rank above", "rank surrogate", "object", "grounding"):
        found[name + WITHOUT] = np.where(plain, found[name], np.nan)
    return found


def _where(known: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(known), values.astype(float), np.nan)


def _near(n: int) -> int:
    return int(np.abs(np.log(np.array(GRID)) - np.log(n)).argmin())


def table(measured: Measured, chosen: dict[str, dict[str, int]]) -> list[dict]:
    """One row for each method: every column of :func:`columns`, mass and empty maps, and differences from the controls.

    A ranking has a row for each criterion by which n was ``chosen`` (criterion → ranking → n), and random gates have
    some n and their own best. "minus random" is from random gates at the entry of the protocol's grid nearest to n,
    "minus Grad-CAM" from Grad-CAM; each in contrastive grounding as registered and, with "rank" before it, in rank
    grounding, this one also without backgrounds. ``p`` is of each difference, ``holm`` over one family, since a family
    of tests holds one hypothesis: against random gates of the same n all rankings, against Grad-CAM all rankings and
    all maps without a gate.
    """
    rows, free = [], measured.rows["free"]
    J = measured.rows["margin"].shape[2]
    random = {
        "grounding": grounded(measured.rows["random"]).mean(1),  # (pairs, grid), over the draws
        "rank": _known(measured.rows["random verdicts"][..., 0]).mean(1),
    }
    plain = columns(measured, (0,), free[:, 0, 0], "free ")
    for criterion in CRITERIA:
        for g, name in enumerate(grounding.GATES):
            n, at = chosen[criterion][name], _at(criterion, chosen[criterion][name])
            if (measured.rows["verdicts"][:, g, at] < 0).all():
                continue
            near = _near(n)
            found = columns(measured, (g, at), measured.rows["margin"][:, g, min(n, J) - 1].astype(float))
            rows.append(_method(measured, name, n, criterion, found, plain, random, near) | {
                "own": _mean(measured, measured.rows["own"][:, g, near]),
                "mass": round(float(np.median(measured.rows["mass"][:, g, near].astype(float))), DIGITS),
                "empty": _mean(measured, measured.rows["empty"][:, g, near] / 2),
            })  # fmt: skip
        for n in dict.fromkeys((*RANDOM_NS, chosen[criterion][RANDOM])):
            found = _random_columns(measured, GRID.index(n))
            rows.append({"method": RANDOM, "n": n, "chosen by": criterion, **measured.intervals(found)})
    for m, name in enumerate(GATE_FREE):
        if not np.isfinite(free[:, m, 0]).any():  # in Pythia no u is averaged, since v sees the question too
            continue
        found = columns(measured, (m,), free[:, m, 0], "free ")
        rows.append(_method(measured, name, None, None, found, plain, random, _near(J)) | {
            "own": _mean(measured, free[:, m, 1]), "mass": round(float(np.median(free[:, m, 2])), DIGITS),
            "empty": _mean(measured, free[:, m, 3]),
        })  # fmt: skip
    for criterion in CRITERIA:
        for difference in DIFFERENCES:
            family = [r for r in rows if r["chosen by"] in (criterion, None) and f"{difference} p" in r]
            corrected = holm([r[f"{difference} p"] for r in family])
            main = "rank" if difference.startswith("rank") else "grounding"
            for r, p in zip(family, corrected, strict=True):
                if r["chosen by"] or criterion == main:
                    r[f"{difference} holm"] = round(float(p), DIGITS)
    return rows


DIFFERENCES = ("minus random", "minus Grad-CAM", "rank minus random", "rank minus Grad-CAM",
               f"rank minus random{WITHOUT}", f"rank minus Grad-CAM{WITHOUT}")  # fmt: skip


def _at(criterion: str, n: int) -> int:
    # where a ranking's chosen n is in what was measured: after the grid, or in it
    return len(GRID) if criterion == "grounding" else GRID.index(n)


def _mean(measured: Measured, values: np.ndarray) -> float:
    return round(float(np.nanmean(measured.by_scene(values.astype(float)))), DIGITS)


def _method(measured: Measured, name: str, n, criterion, found, plain, random, near: int) -> dict:
    differences = {
        "minus random": found["grounding"] - random["grounding"][:, near],
        "minus Grad-CAM": found["grounding"] - plain["grounding"],
        "rank minus random": found["rank"] - random["rank"][:, near],
        "rank minus Grad-CAM": found["rank"] - plain["rank"],
    }
    without = ~measured.rows["background"].any(1)
    for difference in [d for d in differences if d.startswith("rank")]:
        differences[difference + WITHOUT] = np.where(without, differences[difference], np.nan)
    if n is None:  # random gates of all neurons are Grad-CAM
        differences = {k: v for k, v in differences.items() if "random" not in k}
    if name == "Grad-CAM":
        differences = {}
    p = {f"{k} p": measured.p_value(v) for k, v in differences.items()}
    return {"method": name, "n": n, "chosen by": criterion, **measured.intervals(found | differences), **p}


def _random_columns(measured: Measured, at: int) -> dict[str, np.ndarray]:
    # The columns that random gates have, means over the draws.
    verdicts = _known(measured.rows["random verdicts"][:, :, at])
    objects, larger = verdicts[..., 1:], measured.rows["area"].argmax(1)[:, None, None]
    margin = measured.rows["random"][:, :, at].astype(float)
    found = {
        "rank": verdicts[..., 0].mean(1), "object": objects.mean((1, 2)),
        "larger": np.take_along_axis(objects, larger, 2).mean((1, 2)),
        "smaller": np.take_along_axis(objects, 1 - larger, 2).mean((1, 2)),
        "both objects": (objects == 1).all(2).mean(1),
        "grounding": grounded(margin).mean(1), "margin": margin.mean(1),
    }  # fmt: skip
    plain = ~measured.rows["background"].any(1)
    return found | {k + WITHOUT: np.where(plain, found[k], np.nan) for k in ("rank", "object", "grounding")}


def curves(measured: Measured) -> dict[str, np.ndarray]:
    """Accuracies over n with their 95 % intervals: "curves" (gates, 3, J) of contrastive grounding, at every n; "rank
    curves" and "object curves" (gates, 3, grid).
    """
    rows, grid = measured.rows, len(GRID)
    margin = rows["margin"]
    every = [_ends(crossed_interval(measured.by_scene(grounded(margin[:, g])))) for g in range(margin.shape[1])]
    verdicts = _known(rows["verdicts"][:, :, :grid])
    some = {"rank curves": verdicts[..., 0], "object curves": verdicts[..., 1:3].mean(-1)}
    narrow = {k: _ends(crossed_interval(measured.by_scene(v))).swapaxes(0, 1) for k, v in some.items()}
    return {k: v.astype(np.float16) for k, v in {"curves": np.stack(every), **narrow}.items()}


def random_bands(measured: Measured) -> dict[str, np.ndarray]:
    """The 5th, 50th and 95th percentile (3, grid) over random gates of their accuracy in each measure."""
    verdicts = _known(measured.rows["random verdicts"])
    drawn = {
        "random": grounded(measured.rows["random"]), "rank random": verdicts[..., 0],
        "object random": verdicts[..., 1:].mean(-1),
    }  # fmt: skip
    return {
        k: np.quantile(np.nanmean(measured.by_scene(v), (0, 1)), [0.05, 0.5, 0.95], axis=0).astype(np.float16)
        for k, v in drawn.items()
    }


def measures(measured: Measured) -> list[dict]:
    """Every classical measure of every map of :data:`grounding.MAPS`, over the scenes on which they were taken.

    As it is, and as "… rescaled" between what chance and what the best map of this size gets on the same object.
    """
    found = measured.rows["measures"]  # (pairs, raw or rescaled, maps, measures)
    names = [*MEASURES, *(f"{m} rescaled" for m in MEASURES)]
    return [
        {"map": name, **dict(zip(names, map(float, np.nanmean(found[:, :, i], 0).ravel().round(DIGITS)), strict=True))}
        for i, name in enumerate(grounding.MAPS)
        if np.isfinite(found[:, :, i]).any()
    ]


def _verdicts_of(measured: Measured, method: str, chosen: dict[str, dict[str, int]]) -> dict[str, np.ndarray] | None:
    # A method's contrastive grounding at the registered n, and its rank grounding at the n chosen by that.
    if method in GATE_FREE:
        at = list(GATE_FREE).index(method)
        rank, margin = measured.rows["free verdicts"][:, at, 0], measured.rows["free"][:, at, 0]
    else:
        g = grounding.GATES.index(method)
        rank = measured.rows["verdicts"][:, g, _at("rank", chosen["rank"][method]), 0]
        margin = measured.rows["margin"][:, g, chosen["grounding"][method] - 1].astype(float)
    return None if (rank < 0).all() else {"grounding": grounded(margin), "rank": _known(rank)}


def against(measured: Measured, chosen: dict[str, dict[str, int]]) -> list[dict]:
    """For each pair of :data:`AGAINST`, the first's accuracy minus the second's in both criteria, with intervals."""
    rows = []
    for pair in AGAINST:
        one, two = (_verdicts_of(measured, m, chosen) for m in pair)
        if one and two:
            found = measured.intervals({f"{k} minus": one[k] - two[k] for k in one})
            rows.append({"first": pair[0], "second": pair[1], **{k.split()[0]: v for k, v in found.items()}})
    return rows


def by_seed(paths: Sequence[Path], group: Group, chosen: dict[str, dict[str, int]]) -> list[dict]:
    """:func:`table`'s rows of :data:`SHOWN` and of the maps without a gate, for each training run by itself."""
    rows = []
    for seed, model in enumerate(group.models):
        measured = Measured(paths, Group(model, (model,)))
        rows += [
            {"seed": seed, "scenes": len(measured.scenes), **row}
            for row in table(measured, chosen)
            if row["method"] in (*SHOWN, *GATE_FREE)
        ]
    return rows


def summarise(
    validation: Sequence[Path], test: Sequence[Path], models: Sequence[ProtocolModel], chosen=None
) -> tuple[dict, dict]:
    """Tables (plain data) and arrays of the whole measurement, by the protocol.

    ``chosen``: what :func:`choose` found on validation, to spare doing it again.
    """
    all_groups = groups(models)
    chosen = chosen or choose(validation, models)
    tables: dict = {
        "gates": list(grounding.GATES), "gate_free": list(GATE_FREE), "grid": list(GRID), "draws": DRAWS,
        "chosen": chosen, "kept": stored_maps(chosen), "numbers of": NUMBERS, "levels": LEVELS,
        "validation": validated(Measured(validation, all_groups[0])),
        "arms": {},  # models, as stored results call them
    }  # fmt: skip
    arrays: dict[str, np.ndarray] = {}
    for group in all_groups:
        measured = Measured(test, group)
        right = measured.rows["right"]
        # Maps of wrong answers explain something else: given once more over pairs with both answers right
        both = right == 2
        found = {
            "pairs": len(right) // len(group.models), "scenes": len(measured.scenes),
            "pairs without backgrounds": int((~measured.rows["background"].any(1)).sum()) // len(group.models),
            "area ratio": round(float(np.median(measured.rows["area"].max(1) / measured.rows["area"].min(1))), DIGITS),
            "seeds": len(group.models), "right": round(float(right.mean() / 2), DIGITS),
            **measured.intervals({"cosine": measured.rows["cosine"]}),
            "table": table(measured, chosen), "measures": measures(measured), "against": against(measured, chosen),
            "size decides": _size_decides(measured),
            "both right": {
                name: measured.intervals({
                    k: np.where(both, v, np.nan)
                    for k, v in columns(measured, (m,), measured.rows["free"][:, m, 0], "free ").items()
                    if k in ("rank", "object", "grounding")
                })
                for m, name in enumerate(GATE_FREE)
                if np.isfinite(measured.rows["free"][:, m, 0]).any()
            },
        }  # fmt: skip
        # One seed has no spread to show
        if len(group.models) > 1:
            found["by seed"] = by_seed(test, group, chosen)
        tables["arms"][group.name] = found
        for name, array in (curves(measured) | random_bands(measured)).items():
            arrays[f"{group.name}|{name}"] = array
    for model in models:
        arrays |= packed_pairs(_gathered(tuple(test), model.name), model.name, chosen)
    return tables, arrays


def choose(validation: Sequence[Path], models: Sequence[ProtocolModel]) -> dict[str, dict[str, int]]:
    """n for every ranking on the validation scenes, by each of :data:`CRITERIA`; random gates have their own best."""
    registered = registered_n(validation, models, SCENES["validation"])
    measured = Measured(validation, groups(models)[0])
    random = measured.by_scene(grounded(measured.rows["random"]).mean(1)).mean((0, 1))
    return {"grounding": {**registered, RANDOM: GRID[int(random.argmax())]}, "rank": rank_n(measured)}


def validated(measured: Measured) -> dict[str, list[float]]:
    """Rank grounding of the maps without a gate on validation scenes: by it a norm of the contrasts is chosen."""
    verdicts = _known(measured.rows["free verdicts"][..., 0])
    return measured.intervals({
        name: verdicts[:, m] for m, name in enumerate(GATE_FREE) if np.isfinite(verdicts[:, m]).any()
    })  # fmt: skip


def _size_decides(measured: Measured) -> dict[str, list[float]]:
    # How often contrastive grounding's verdict is that of the larger object alone: S_larger gets more under its own
    # question, and the pair is called grounded, or less, and it is not.
    found = {}
    for m, name in enumerate(GATE_FREE):
        margin = measured.rows["free"][:, m, 0]
        if np.isfinite(margin).any():
            all_ = columns(measured, (m,), margin, "free ")
            decided = (all_["larger"] != 0.5) & (all_["grounding"] != 0.5)
            found[name] = np.where(decided, all_["larger"] == all_["grounding"], np.nan)
    return measured.intervals(found)


# -- what is stored of every pair -----------------------------------------------------------------------------
def stored_maps(chosen: dict[str, dict[str, int]]) -> list[tuple[str, int | None]]:
    """Of which maps a pair's verdicts are stored: rankings at :data:`STORED_NS` and both chosen n, gate-free maps."""
    gates = [(g, n) for g in grounding.GATES for n in dict.fromkeys((*STORED_NS, *(chosen[c][g] for c in CRITERIA)))]
    return [*gates, *((m, None) for m in GATE_FREE)]


def packed_pairs(rows: dict[str, np.ndarray], model: str, chosen: dict[str, dict[str, int]]) -> dict[str, np.ndarray]:
    """Of every pair of a model, for each of :func:`stored_maps`, in few bytes; :meth:`.stored.Stored.pairs` reads them.

    ``verdicts`` (pairs, maps): rank, first object, second object, odds, contrastive as registered, each 0, 1, 2 for 0,
    ½, 1, as the digits of a number in base 3; ``surrogate`` (pairs, maps) likewise of :data:`grounding.SURROGATES`;
    255 where a map is missing. ``numbers`` (pairs, some maps, 6), of :data:`NUMBERS` and maps without a gate: a_1, a_2
    and R_11, R_12, R_21, R_22 in 0–1 as 0–:data:`LEVELS`. ``area`` and ``background`` (pairs, 2), ``scene`` (pairs,).
    """
    numbers, verdicts, surrogates = [], [], []
    for name, n in stored_maps(chosen):
        if n is None:
            m = list(GATE_FREE).index(name)
            head, where, margin = "free ", (m,), rows["free"][:, m, 0]
        else:
            g = grounding.GATES.index(name)
            at = len(GRID) if n == chosen["grounding"][name] and n not in GRID else GRID.index(n)
            head, where, margin = "", (g, at), rows["margin"][:, g, min(n, rows["margin"].shape[2]) - 1]
        if n is None or name in NUMBERS:
            a, R = (rows[head + k][:, *where].astype(float).reshape(len(margin), -1) for k in ("a", "R"))
            numbers.append(np.concatenate([a, R], 1))
        contrastive = np.nan_to_num(2 * grounded(margin), nan=-1).astype(int)
        verdicts.append(_packed(np.concatenate([rows[head + "verdicts"][:, *where], contrastive[:, None]], 1)))
        surrogates.append(_packed(rows[head + "surrogate"][:, *where]))
    levels = (np.nan_to_num(np.stack(numbers, 1)).clip(0, 1) * LEVELS).round().astype(np.uint8)
    return {
        f"{model}|scene": rows["scene"].astype(np.int16), f"{model}|area": rows["area"].astype(np.float16),
        f"{model}|background": rows["background"], f"{model}|numbers": levels,
        f"{model}|verdicts": np.stack(verdicts, 1), f"{model}|surrogate": np.stack(surrogates, 1),
    }  # fmt: skip


def _packed(trits: np.ndarray) -> np.ndarray:
    number = trits.astype(int) @ 3 ** np.arange(trits.shape[1])
    return np.where((trits < 0).any(1), 255, number).astype(np.uint8)


def about(models: Sequence[ProtocolModel], paths: Sequence[str], command: str, device: str) -> dict:
    """Which command, versions and weights made a result."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    return {
        "command": command,
        "device": device,
        "version": VERSION,
        "seeds": SEEDS,
        "fingerprint": run.fingerprint(paths),
        "weights": {model.name: zoo.card(path)["files"] for model, path in zip(models, paths, strict=True)},
        "versions": versions,
    }


def write(folder: Path, tables: dict, arrays: dict[str, np.ndarray]) -> None:
    """``measure.json.xz`` and ``measure.npz`` in ``folder``, each whole.

    The tables name their columns in every row; ``xz`` leaves a ninth of the bytes, and ``xzcat`` shows them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "measure.npz", lambda p: write_arrays(p, arrays))
    packed = lzma.compress((as_text(tables) + "\n").encode(), preset=9)
    atomic_write(folder / "measure.json.xz", lambda p: p.write_bytes(packed))


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """As np.savez_compressed, in three quarters of the bytes; np.load reads it all the same.

    LZMA packs better than its deflate, and better still where the numbers of one map follow each other, pair by pair.
    Each entry bears zip's zero date, so that the same arrays give the same file.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_LZMA
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, np.asfortranarray(array), allow_pickle=False)


def as_text(value, depth: int = 3) -> str:
    """JSON with a line for each row of a table."""
    if depth and isinstance(value, dict) and value:
        inside = (f"{_compact(k)}:{as_text(v, depth - 1)}" for k, v in value.items())
        return "{\n" + ",\n".join(inside) + "\n}"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + ",\n".join(map(_compact, value)) + "\n]"
    return _compact(value)


def _compact(value) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def check(folder: Path, scenes: int = 3, seed: int = 0) -> list[str]:
    """Measure a random sample of test scenes of the shipped models again; returns what differs from what is stored.

    Raises
    ------
    QGCError
        If nothing is stored in ``folder``.
    """
    before = Stored.read(folder)
    tables, arrays = before.tables, before.arrays
    if tables["about"].get("version") != VERSION:
        return [
            f"measured by version {tables['about'].get('version')} of the protocol, this is {VERSION}; measure again"
        ]
    faults = []
    rng = np.random.default_rng(seed)
    chosen = tables["chosen"]
    closely = {g: [chosen["grounding"][g]] for g in grounding.GATES}
    measured = [key.removesuffix("|numbers") for key in arrays if key.endswith("|numbers")]
    for name in measured:
        # Training seeds are in runs/, not in the package: only shipped models can be measured again
        if name not in zoo.names():
            continue
        if tables["about"]["weights"].get(name) != zoo.card(name)["files"]:
            faults.append(f"{name}: the stored result was measured with other weights")
            continue
        distribution, stored = zoo.card(name)["distribution"], arrays[f"{name}|scene"]
        for index in rng.choice(np.unique(stored), scenes, replace=False).tolist():
            rows = run.measure_scene("test", distribution, index, [(name, name)], closely)[name]
            here = np.flatnonzero(stored == index)
            if len(here) != len(rows):
                faults.append(f"{name}, scene {index}: {len(rows)} pairs, stored are {len(here)}")
                continue
            again = {k: np.stack([r[k] for r in rows]) for k in rows[0] if k != "measures"}
            fresh = packed_pairs(again | {"scene": stored[here]}, name, chosen)
            for key, new in fresh.items():
                old = arrays[key][here]
                if key.endswith("numbers"):
                    worst = int(np.abs(new.astype(int) - old.astype(int)).max())
                    if worst > 1:  # one level is rounding between machines
                        faults.append(f"{name}, scene {index}: areas or shares differ by {worst / LEVELS:.3f}")
                elif (new != old).mean() > 0.05:  # a verdict near a tie may turn over with rounding
                    faults.append(
                        f"{name}, scene {index}: {key.partition('|')[2]} differs in {(new != old).mean():.0%}"
                    )
    return faults
