"""The table of the benchmark: recorded once (``python -m qgc bench grounding --record``), read by the book.

``grounding-1.json`` has the rows with their intervals, and which weights and versions made them; ``grounding-1.npz``
what every method of :data:`.methods.METHODS` has on every case, from which :func:`.shares.score` makes the rows again.
Controls and planted models have rows alone: their values are known (:mod:`.controls`).
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ...errors import QGCError
from ...files import replaced
from ...models import zoo
from ...scenes import DISTRIBUTIONS
from ..protocol import NAMES, run
from ..protocol.stored import RESULTS, readable
from ..protocol.summary import as_text, write_arrays
from ..train.memory import keep_freed_memory
from .cases import SCENES, VERSION, case_digest, digest, scene_cases, usual_sizes_of
from .controls import CONTROLS, known_shares
from .methods import METHODS
from .shares import Shares, evaluate_all, score

COMMAND = "python -m qgc bench grounding --record"
CHUNK = 10
KNOWN_SCENES = 20
"""Scenes on which the controls are scored: their values are known, and the same in every pair."""
CODE = (*run.CODE, "lab/grounding/cases.py", "lab/grounding/methods.py", "lab/grounding/shares.py",
        "lab/grounding/controls.py")  # fmt: skip
LEVELS = 65534
"""Areas and shares are kept in so many steps; the next number stands for nan."""
PACKED = {"a": 2, "R": 4, "absent": 2, "elsewhere": 2}
DIGITS = 4
PINNED = 2
"""Cases of each distribution whose own digest is kept: the first ones, so that a changed scene is noticed at once."""


@dataclass(frozen=True)
class Job:
    """One chunk of scenes, for every model of their distribution, and for the controls."""

    distribution: str
    first: int
    count: int
    models: tuple[str, ...]
    target: Path


def distribution_of(model: str) -> str:
    """The scenes that a model is scored on: those of the kind that it learnt from; QGCError if it learnt from none."""
    found = zoo.card(model).get("distribution")
    if found not in DISTRIBUTIONS:
        raise QGCError(f"{model} has learnt from no scenes of this book; choose one that has: {', '.join(NAMES)}")
    return found


def methods_of(model: str) -> dict:
    """The methods of the table that a shipped model has all parts for."""
    lacks = "question-free-gate-269" if model.startswith("pythia") else "attention"
    return {name: method for name, method in METHODS.items() if name != lacks}


@cache
def _model(name: str):
    return zoo.load(name, dtype=torch.float32)


def _chunk(job: Job) -> Path:
    cases = [c for i in range(job.first, job.first + job.count) for c in scene_cases(job.distribution, i)]
    rows: dict[str, Shares] = {}
    for model in job.models:
        found = evaluate_all(methods_of(model), cases, _model(model))
        rows |= {f"{model}|{name}": shares for name, shares in found.items()}
    if job.first < KNOWN_SCENES:
        rows |= {f"|{name}": shares for name, shares in known_shares(cases).items()}
    arrays = {f"{row}|{f.name}": getattr(shares, f.name) for row, shares in rows.items() for f in fields(Shares)}
    arrays["digests"] = np.array([case_digest(case) for case in cases])
    with replaced(job.target) as (temporary,):
        write_arrays(temporary, arrays)
    return job.target


def measure(folder: Path, workers: int = 2) -> tuple[dict[str, dict[str, Shares]], dict[str, list[str]]]:
    """Everything that the table needs, in chunks that survive an interruption: distribution → row → its shares; and
    the :func:`~.cases.case_digest` of every case of each distribution.
    """
    keep_freed_memory()
    folder = folder / run.fingerprint(NAMES, CODE)
    models = {d: tuple(m for m in NAMES if distribution_of(m) == d) for d in DISTRIBUTIONS}
    jobs = [
        Job(d, first, min(CHUNK, SCENES - first), models[d], folder / f"{d}-{first:03d}.npz")
        for first in range(0, SCENES, CHUNK)
        for d in DISTRIBUTIONS
    ]
    for distribution in DISTRIBUTIONS:
        usual_sizes_of(distribution)  # here, so that workers inherit them
    run.work(jobs, _chunk, "scoring", workers)
    found: dict[str, dict[str, list[Shares]]] = {d: {} for d in DISTRIBUTIONS}
    digests: dict[str, list[str]] = {d: [] for d in DISTRIBUTIONS}
    for job in jobs:
        with np.load(job.target) as file:
            arrays = {key: file[key] for key in file.files}
        digests[job.distribution] += arrays.pop("digests").tolist()
        for row in dict.fromkeys(key.rpartition("|")[0] for key in arrays):
            shares = Shares(**{f.name: arrays[f"{row}|{f.name}"] for f in fields(Shares)})
            found[job.distribution].setdefault(row, []).append(shares)
    joined = {d: {row: _joined(parts) for row, parts in rows.items()} for d, rows in found.items()}
    return joined, digests


def _joined(parts: Sequence[Shares]) -> Shares:
    return Shares(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Shares)})


# -- packing ----------------------------------------------------------------------------------------------
def packed(found: Shares) -> tuple[np.ndarray, np.ndarray]:
    """Areas and shares in steps of 1/65534, (N, 10), and the surrogate's verdicts in quarters, (N, 2), −1 for nan."""
    values = np.concatenate([getattr(found, k).reshape(len(found.a), -1) for k in PACKED], 1)
    steps = np.where(np.isnan(values), LEVELS + 1, np.round(values * LEVELS)).astype(np.uint16)
    return steps, np.where(np.isnan(found.surrogate), -1, np.round(4 * found.surrogate)).astype(np.int8)


def unpacked(steps: np.ndarray, surrogate: np.ndarray, about: dict[str, np.ndarray]) -> Shares:
    """The shares that :func:`packed` has kept; ``about`` are the fields that all rows of a distribution have."""
    values = np.where(steps == LEVELS + 1, np.nan, steps / LEVELS)
    parts = np.split(values, np.cumsum(list(PACKED.values()))[:-1], axis=1)
    numbers = dict(zip(PACKED, parts, strict=True))
    numbers["R"] = numbers["R"].reshape(-1, 2, 2)
    return Shares(**about, **numbers, surrogate=np.where(surrogate < 0, np.nan, surrogate / 4))


ABOUT = ("scene", "area", "background", "has_absent", "has_elsewhere")


def table_row(name: str, kind: str, model: str, distribution: str, found: Shares) -> dict:
    """A row of the table: what it is of, how many pairs and scenes, and every score with its interval."""
    scores = {}
    for measure_, interval in score(found).items():
        ends = (float(interval.estimate), float(interval.low), float(interval.high))
        scores[measure_] = [round(x, DIGITS) + 0.0 if np.isfinite(x) else None for x in ends]
    about = {"row": name, "kind": kind, "model": model, "distribution": distribution}
    return {**about, "pairs": len(found.scene), "scenes": len(np.unique(found.scene)), **scores}


def record(folder: Path = RESULTS, chunks: Path = Path("runs/grounding"), workers: int = 2) -> dict:
    """Score all methods on all cases and write the table into ``folder``; the chunks stay in ``chunks``.

    Raises
    ------
    QGCError
        If there is no folder to write to.
    """
    if not folder.is_dir():
        raise QGCError(f"there is no folder {folder}; run this in the repository's root folder")
    rows, arrays = [], {}
    measured, digests = measure(chunks, workers)
    for distribution, found in measured.items():
        own = {row: shares for row, shares in found.items() if not row.startswith("|")}
        first = next(iter(own.values()))
        about = {k: getattr(first, k) for k in ABOUT} | {"number": [int(key[-1]) for key in first.keys]}
        small = {"scene": np.uint16, "area": np.uint16, "number": np.uint8}
        arrays |= {f"{distribution}|{k}": np.asarray(v, small.get(k, bool)) for k, v in about.items()}
        for row, shares in own.items():
            arrays[row], arrays[f"{row}|surrogate"] = packed(shares)
        for row, shares in found.items():
            if row.startswith("|"):
                kind = "control" if row[1:] in CONTROLS else "planted model"
                rows.append(table_row(row[1:], kind, "", distribution, shares))
    stored = Stored({"rows": rows}, arrays)
    for model in NAMES:  # from what is stored, rounded as it is, so that the rows can be made again
        methods = methods_of(model)
        rows += [table_row(m, "method", model, distribution_of(model), stored.shares(model, m)) for m in methods]
    packages = ("torch", "numpy", "thorvg-python", "resvg-py")
    tables = {
        "about": {
            "version": VERSION, "command": COMMAND, "scenes": SCENES,
            "digests": {d: digest(of_cases) for d, of_cases in digests.items()},
            "first digests": {d: of_cases[:PINNED] for d, of_cases in digests.items()},
            "weights": {model: zoo.card(model)["files"] for model in NAMES},
            "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        },
        "rows": rows,
    }  # fmt: skip
    with replaced(*paths(folder)) as (table, numbers):
        write_arrays(numbers, arrays)
        table.write_text(as_text(tables, 2) + "\n", encoding="utf-8")
    return tables


def paths(folder: Path = RESULTS) -> tuple[Path, Path]:
    """The files of the table and of the arrays."""
    return folder / f"grounding-{VERSION}.json", folder / f"grounding-{VERSION}.npz"


# -- reading ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Stored:
    """The recorded table and arrays."""

    tables: dict
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder: Path = RESULTS) -> Stored:
        """What :func:`record` has written; QGCError, which names the command, if it is not there or damaged."""
        table, numbers = paths(folder)
        with readable("benchmark", folder, COMMAND), np.load(numbers) as file:
            return cls(json.loads(table.read_text(encoding="utf-8")), {key: file[key] for key in file.files})

    def about(self, distribution: str) -> dict[str, np.ndarray]:
        """The names, scenes, areas and background flags of the cases of a distribution."""
        found = {k: self.arrays[f"{distribution}|{k}"] for k in ABOUT}
        number = self.arrays[f"{distribution}|number"]
        keys = [f"{distribution}-{s:03d}-{k}" for s, k in zip(found["scene"], number, strict=True)]
        return {"keys": np.array(keys), **found, "area": found["area"].astype(int)}

    def shares(self, model: str, method: str) -> Shares:
        """The numbers of one method under one shipped model."""
        row = f"{model}|{method}"
        return unpacked(self.arrays[row], self.arrays[f"{row}|surrogate"], self.about(distribution_of(model)))

    def table(self, kind: str = "method", model: str = "", distribution: str = "") -> pd.DataFrame:
        """Rows of one ``kind`` ("method", "control", "planted model"), for one model or the scenes of one distribution.

        Indexed by the row's name; every score, and its ends as "… low" and "… high".
        """
        chosen = [
            r for r in self.tables["rows"]
            if r["kind"] == kind and model in ("", r["model"]) and distribution in ("", r["distribution"])
        ]  # fmt: skip
        flat = []
        for row in chosen:
            new = {k: v for k, v in row.items() if not isinstance(v, list)}
            for name, values in row.items():
                if isinstance(values, list):
                    new |= {f"{name}{end}": x for end, x in zip(("", " low", " high"), values, strict=True)}
            flat.append(new)
        return pd.DataFrame(flat).set_index("row")


def check(stored: Stored, scenes: int = 1, seed: int = 0) -> list[str]:
    """Score a random sample of scenes again, and make all rows again; returns what differs from what is stored."""
    faults = []
    rng = np.random.default_rng(seed)
    rows = {(r["model"], r["row"]): r for r in stored.tables["rows"] if r["kind"] == "method"}
    for distribution in DISTRIBUTIONS:
        chosen = rng.choice(np.unique(stored.arrays[f"{distribution}|scene"]), scenes, replace=False).tolist()
        cases = [c for index in sorted(chosen) for c in scene_cases(distribution, index)]
        for model in (m for m in NAMES if distribution_of(m) == distribution):
            if stored.tables["about"]["weights"].get(model) != zoo.card(model)["files"]:
                faults.append(f"{model}: the stored table was made with other weights; run: {COMMAND}")
                continue
            for name, fresh in evaluate_all(methods_of(model), cases, _model(model)).items():
                before = stored.shares(model, name)
                if table_row(name, "method", model, distribution, before) != rows[model, name]:
                    faults.append(f"{model}, {name}: the row does not follow from the stored shares")
                old, new = (packed(x)[0] / LEVELS for x in (before.where(np.isin(before.scene, chosen)), fresh))
                if old.shape != new.shape or (np.abs(old - new) > 2e-3).mean() > 0.05:
                    faults.append(f"{model}, {name}, scenes {chosen}: areas or shares differ")
    return faults
