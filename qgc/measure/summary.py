"""From measured chunks to what the book reads: curves over n, tables with intervals, a sample to check against.

Written by ``python -m qgc measure`` as ``measure.json`` (tables, and which command, versions and weights made them)
and ``measure.npz`` (curves and per-scene values, float16).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ..models import zoo
from ..train.files import write_whole
from . import grounding, run, stats
from .localise import MEASURES
from .protocol import BOOTSTRAP, DRAWS, GRID, SEEDS, Arm
from .rankings import GATE_FREE
from .stored import Stored

SHOWN = ("∂A/∂q, l2", "∂A/∂q of the other question")
"""Rankings whose result is also given for every training seed by itself."""

AGAINST = (
    ("∂A/∂q, l2", "∂A/∂q of the other question"),
    ("question contrast", "∂A/∂q, l2"),
    ("question contrast", "contrast with the mean question"),
)
"""Methods that are held against each other pair by pair, each ranking at its chosen n."""

KEPT = (10, 25, 200, 1024)
"""The n at which every scene's margins are kept, for :func:`check`."""


@dataclass(frozen=True)
class Group:
    """Arms that are read together: the training seeds of one model."""

    name: str
    arms: tuple[str, ...]


def groups(arms: Sequence[Arm]) -> list[Group]:
    """``natural`` with its seeds, and every other arm by itself."""
    seeds = tuple(a.name for a in arms if a.name == "deeper-lstm/natural" or "seed" in a.name)
    found = [Group("natural", seeds)] if seeds else []
    return found + [Group(a.name.replace("deeper-lstm/", ""), (a.name,)) for a in arms if a.name not in seeds]


def grounded(margin: np.ndarray) -> np.ndarray:
    """Contrastive grounding of margins: 1 above zero, ½ at it, 0 below (qgc.measure.localise)."""
    return (1 + np.sign(margin.astype(np.float32))) / 2


class Measured:
    """The rows of a group of arms; every array is (seeds · pairs, …), with ``scene`` and ``seed`` saying whose."""

    def __init__(self, paths: Sequence[Path], group: Group):
        parts = [run.gather(paths, arm) for arm in group.arms]
        self.seed = np.concatenate([np.full(len(p["scene"]), k) for k, p in enumerate(parts)])
        self.scene = np.concatenate([p["scene"] for p in parts])
        self.rows = {k: np.concatenate([p[k] for p in parts]) for k in parts[0] if k != "scene"}
        self._cells, self._where = np.unique(np.stack([self.seed, self.scene]), axis=1, return_inverse=True)

    def by_scene(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Means over a scene's pairs: values (cells, …), scene and seed of each, so that a scene counts once."""
        where = self._where.ravel()
        sums = np.zeros((self._cells.shape[1], *values.shape[1:]), np.float64)
        np.add.at(sums, where, values)
        counts = np.bincount(where).reshape(-1, *[1] * (values.ndim - 1))
        return sums / counts, self._cells[1], self._cells[0]

    def interval(self, values: np.ndarray) -> stats.Interval:
        """Mean over scenes with its 95 % interval, seeds and scenes drawn together; nan rows are left out."""
        if np.isfinite(values).all():
            return self.intervals(values[:, None])[0]
        known = np.isfinite(values)
        cells, scene, seed = self.by_scene(np.where(known, values, 0))
        weight = self.by_scene(known.astype(float))[0]
        some = weight > 0
        return stats.interval((cells[some] / weight[some]), scene[some], self._seeds(seed[some]), draws=BOOTSTRAP)

    def intervals(self, values: np.ndarray) -> list[stats.Interval]:
        """:meth:`interval` of every column of (pairs, columns), all from the same draws of scenes and seeds."""
        cells = self.by_scene(values)[0]
        ends = np.nanquantile(self._drawn @ cells, [0.025, 0.975], axis=0)
        return [stats.Interval(*map(float, row)) for row in zip(cells.mean(0), *ends, strict=True)]

    @cached_property
    def _drawn(self) -> np.ndarray:
        # (draws, cells): what part of a mean each scene and seed has in a draw; the same draws for every number
        return np.concatenate(
            [w / w.sum(1, keepdims=True) for w in self._weights(self._cells[1], self._cells[0], BOOTSTRAP)]
        )

    def _weights(self, scene: np.ndarray, seed: np.ndarray, draws: int):
        clusters = [np.unique(c, return_inverse=True)[1] for c in (scene, self._seeds(seed)) if c is not None]
        return stats._weights(clusters, draws, np.random.default_rng(0))

    def p_value(self, values: np.ndarray) -> float:
        """Two-sided p that values are symmetric about zero, by flipping the signs of whole scenes."""
        return stats.sign_flip_p(values, self.scene)

    def _seeds(self, seed: np.ndarray) -> np.ndarray | None:
        return seed if seed.any() else None


def best_n(measured: Measured) -> dict[str, int]:
    """The protocol's choice: for each ranking the least n with the highest grounding accuracy (on validation)."""
    accuracy = measured.by_scene(grounded(measured.rows["margin"]))[0].mean(0)
    return {name: int(row.argmax()) + 1 for name, row in zip(grounding.GATES, accuracy, strict=True)}


def curves(measured: Measured) -> np.ndarray:
    """Contrastive grounding accuracy at every n, (gates, 3, J): mean and the ends of its 95 % interval."""
    found = []
    for margin in np.moveaxis(measured.rows["margin"], 1, 0):
        cells, scene, seed = measured.by_scene(grounded(margin))
        weights = measured._weights(scene, seed, 400)
        drawn = np.concatenate([(w @ cells) / w.sum(1, keepdims=True) for w in weights])
        found.append(np.stack([cells.mean(0), *np.quantile(drawn, [0.025, 0.975], axis=0)]))
    return np.stack(found)


def _row(interval: stats.Interval, **more) -> dict:
    return {"value": interval.estimate, "low": interval.low, "high": interval.high, **more}


def _near(n: int) -> int:
    return int(np.abs(np.log(np.array(GRID)) - np.log(n)).argmin())


def table(measured: Measured, chosen: dict[str, int]) -> list[dict]:
    """One row per method: grounding accuracy, margin, own share, mass, empty maps, and differences from the controls.

    A ranking is read at its ``chosen`` n; random gates at the entry of the protocol's grid that is nearest to it. The
    differences are from the random gates at that n and from Grad-CAM; ``p`` is for the former, Holm's ``holm`` over
    all rows.
    """
    rows, free = [], measured.rows["free"]
    random = grounded(measured.rows["random"]).mean(1)  # (pairs, grid), over the draws
    plain = grounded(free[:, 0, 0])
    full = measured.rows["margin"].shape[2]
    for g, (name, n) in enumerate(chosen.items()):
        margin, near = measured.rows["margin"][:, g, n - 1].astype(float), _near(n)
        rows.append(_method(measured, name, n, margin, plain, random[:, near]) | {
            "own": float(measured.rows["own"][:, g, near].astype(float).mean()),
            "mass": float(np.median(measured.rows["mass"][:, g, near].astype(float))),
            "empty": float(measured.rows["empty"][:, g, near].mean() / 2),
        })  # fmt: skip
    for n in (10, 25, 200):
        near = GRID.index(n)
        rows.append({
            "method": "random gates", "n": n, "grounding": _row(measured.interval(random[:, near])),
            "margin": _row(measured.interval(measured.rows["random"][:, :, near].astype(float).mean(1))),
            "own": float(measured.rows["random own"][:, near].astype(float).mean()),
        })  # fmt: skip
    for m, name in enumerate(GATE_FREE):
        if np.isnan(free[:, m, 0]).all():  # no such map: in Pythia no u is averaged, since v sees the question too
            continue
        rows.append(_method(measured, name, None, free[:, m, 0].astype(float), plain, random[:, _near(full)]) | {
            "own": float(free[:, m, 1].mean()), "mass": float(np.median(free[:, m, 2])),
            "empty": float(free[:, m, 3].mean()),
        })  # fmt: skip
    tested = [r for r in rows if "p" in r]
    for r, p in zip(tested, stats.holm([r["p"] for r in tested]), strict=True):
        r["holm"] = float(p)
    return rows


def _method(measured: Measured, name: str, n: int | None, margin, plain, random) -> dict:
    hits = grounded(margin)
    names = ("grounding", "margin", "minus random", "minus Grad-CAM")
    found = measured.intervals(np.stack([hits, margin, hits - random, hits - plain], 1))
    rows = {label: _row(interval) for label, interval in zip(names, found, strict=True)}
    return {"method": name, "n": n, **rows, "p": measured.p_value(hits - random)}


def measures(measured: Measured) -> list[dict]:
    """Every measure of every map of :data:`grounding.MAPS`, over the scenes that were looked at closely.

    As it is, and as "… rescaled" between what chance and what the best map of this size gets on the same thing.
    """
    found = measured.rows["measures"]  # (pairs, raw or rescaled, maps, measures)
    names = [*MEASURES, *(f"{m} rescaled" for m in MEASURES)]
    return [
        {"map": name, **dict(zip(names, map(float, np.nanmean(found[:, :, i], 0).ravel()), strict=True))}
        for i, name in enumerate(grounding.MAPS)
        if np.isfinite(found[:, :, i]).any()
    ]


def _margins(measured: Measured, method: str, chosen: dict[str, int]) -> np.ndarray:
    if method in GATE_FREE:
        return measured.rows["free"][:, list(GATE_FREE).index(method), 0]
    return measured.rows["margin"][:, grounding.GATES.index(method), chosen[method] - 1]


def against(measured: Measured, chosen: dict[str, int]) -> list[dict]:
    """For each pair of :data:`AGAINST`, the first's contrastive grounding minus the second's, with its interval."""
    rows = []
    for pair in AGAINST:
        margins = [_margins(measured, m, chosen) for m in pair]
        if all(np.isfinite(m).all() for m in margins):
            first, second = map(grounded, margins)
            rows.append({"first": pair[0], "second": pair[1], **_row(measured.interval(first - second))})
    return rows


def by_seed(paths: Sequence[Path], group: Group, chosen: dict[str, int]) -> list[dict]:
    """A row for each training seed and method: its grounding, less the random gates' and Grad-CAM's.

    Here a seed counts once. In the main table, which counts scenes, the shipped seed weighs as much as all others
    together, as it saw four times as many (:data:`~qgc.measure.protocol.ARMS`).
    """
    rows = []
    for seed, arm in enumerate(group.arms):
        measured = Measured(paths, Group(arm, (arm,)))
        random, full = grounded(measured.rows["random"]).mean(1), measured.rows["margin"].shape[2]
        plain = _margins(measured, "Grad-CAM", chosen)
        for method in (*SHOWN, *GATE_FREE):
            n = chosen.get(method)
            margin = _margins(measured, method, chosen).astype(float)
            found = _method(measured, method, n, margin, grounded(plain), random[:, _near(n or full)])
            rows.append({"seed": seed, "scenes": len(np.unique(measured.scene))} | found)
    return rows


def summarise(validation: Sequence[Path], test: Sequence[Path], arms: Sequence[Arm]) -> tuple[dict, dict]:
    """Tables (plain data) and arrays of the whole measurement, by the protocol."""
    tables: dict = {"gates": list(grounding.GATES), "gate_free": list(GATE_FREE), "grid": list(GRID), "draws": DRAWS}
    arrays: dict[str, np.ndarray] = {}
    all_groups = groups(arms)
    chosen = best_n(Measured(validation, all_groups[0]))
    tables["n"] = chosen
    tables["arms"] = {}
    for group in all_groups:
        measured = Measured(test, group)
        right = measured.rows["right"]
        found = {
            "pairs": len(right) // len(group.arms), "scenes": len(np.unique(measured.scene)),
            "seeds": len(group.arms), "right": float(right.mean() / 2),
            "cosine": _row(measured.interval(measured.rows["cosine"])),
            "table": table(measured, chosen), "measures": measures(measured), "against": against(measured, chosen),
        }  # fmt: skip
        if len(group.arms) > 1:
            found["by seed"] = by_seed(test, group, chosen)
        both = right == 2
        found["both right"] = {
            name: _row(measured.interval(np.where(both, grounded(measured.rows["free"][:, m, 0]), np.nan)))
            for m, name in enumerate(GATE_FREE)
            if np.isfinite(measured.rows["free"][:, m, 0]).any()
        }
        tables["arms"][group.name] = found
        arrays[f"{group.name}|curves"] = curves(measured).astype(np.float16)
        draws = measured.by_scene(grounded(measured.rows["random"]))[0].mean(0)
        arrays[f"{group.name}|random"] = np.quantile(draws, [0.05, 0.5, 0.95], axis=0).astype(np.float16)
    for arm in arms:
        if arm.name in zoo.names():
            rows = run.gather(test, arm.name)
            arrays[f"{arm.name}|scene"] = rows["scene"].astype(np.int16)
            arrays[f"{arm.name}|kept"] = rows["margin"][:, :, [min(n, rows["margin"].shape[2]) - 1 for n in KEPT]]
            arrays[f"{arm.name}|free"] = rows["free"][:, :, 0].astype(np.float16)
    return tables, arrays


def about(arms: Sequence[Arm], paths: Sequence[str], command: str, device: str) -> dict:
    """Which command, versions and weights made a result."""
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    return {
        "command": command,
        "device": device,
        "seeds": SEEDS,
        "fingerprint": run.fingerprint(paths),
        "weights": {arm.name: zoo.card(path)["files"] for arm, path in zip(arms, paths, strict=True)},
        "versions": versions,
    }


def write(folder: Path, tables: dict, arrays: dict[str, np.ndarray]) -> None:
    """``measure.json`` and ``measure.npz`` in ``folder``, each whole."""
    write_whole(folder / "measure.npz", lambda p: np.savez_compressed(p.open("wb"), **arrays))
    write_whole(
        folder / "measure.json", lambda p: p.write_text(json.dumps(tables, indent=1, ensure_ascii=False) + "\n")
    )


def check(folder: Path, scenes: int = 3, seed: int = 0) -> list[str]:
    """Measure a random sample of test scenes again; returns what differs from the stored values, in words.

    Raises
    ------
    QGCError
        If nothing is stored in ``folder``.
    """
    before = Stored.read(folder)
    tables, arrays = before.tables, before.arrays
    faults = []
    rng = np.random.default_rng(seed)
    measured = [key.removesuffix("|scene") for key in arrays if key.endswith("|scene") and not key.startswith("nulls|")]
    for name in measured:
        if tables["about"]["weights"].get(name) != zoo.card(name)["files"]:
            faults.append(f"{name}: the stored result was measured with other weights")
            continue
        distribution = zoo.card(name)["distribution"]
        stored = arrays[f"{name}|scene"]
        for index in rng.choice(np.unique(stored), scenes, replace=False).tolist():
            fresh = run.measure_scene("test", distribution, index, [(name, name)])[name]
            here = np.flatnonzero(stored == index)
            if len(here) != len(fresh):
                faults.append(f"{name}, scene {index}: {len(fresh)} pairs, stored are {len(here)}")
                continue
            for row, old in zip(fresh, here, strict=True):
                at = [min(n, row["margin"].shape[1]) - 1 for n in KEPT]
                for what, new, kept in (
                    ("gates", row["margin"][:, at], arrays[f"{name}|kept"][old]),
                    ("maps", row["free"][:, 0], arrays[f"{name}|free"][old]),
                ):
                    worst = float(np.abs(new.astype(float) - kept.astype(float)).max())
                    if worst > 5e-3:
                        faults.append(f"{name}, scene {index}: margins of {what} differ by {worst:.4f}")
    return faults
