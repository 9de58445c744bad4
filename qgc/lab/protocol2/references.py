"""Reference explanations in protocol 2, which look at no gradient or need no Grad-CAM; deletion, insertion and ROAD.

On the first scenes of a split, for some of the models: of every method of ``protocol-2.yml`` under ``references`` the
same verdicts as of the others (:func:`~.measure.judged`), and of some maps the areas of the perturbation curves of
:mod:`qgc.lab.experiments.perturbation`, with their controls.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...errors import QGCError
from ...explain import EncodedImage, explain
from ...files import atomic_write
from ...measure.pairs import no_place_surrogate
from ...models.evaluation import evaluating
from ...scenes import sample
from ..experiments.perturbation import curve_rows, summarise
from ..experiments.reference import METHODS
from ..protocol import crossed
from ..protocol.run import gather, work
from ..protocol.stored import readable
from ..protocol.summary import write_arrays
from . import PROTOCOL, Model, run
from .measure import NO_MAP, VERDICTS, Subject, chosen_pair, gates_rng, judged, methods, pair_maps
from .results import COMMAND, FOLDER, check_protocol

CHUNK = 10
ABOUT = PROTOCOL.data["references"]
CODE = (*run.CODE, "lab/experiments/reference.py", "lab/experiments/perturbation.py", "lab/protocol2/references.py")
CURVE_COLUMNS = ("map", "curve", "question", "asked")


def models() -> list[Model]:
    """Those whose reference explanations are measured."""
    return [m for m in PROTOCOL.models if m.name in ABOUT["models"]]


@dataclass(frozen=True)
class Job:
    """Scenes ``first`` … ``first + count − 1`` of a split, under one model."""

    split: str
    model: Model
    first: int
    count: int
    runs: Path
    target: Path


@cache
def _subject(model: Model, runs: Path) -> Subject:
    return Subject(run.load(model, runs))


def measure_scene(job: Job, index: int) -> dict[str, np.ndarray] | None:
    """The verdicts (methods, VERDICTS) and a (methods, 2) of one scene's pair, and ``curves``, if the model has them.

    ``curves`` (rows, 2) are areas of y_a and of p_a, in the order of :func:`curve_names`. None: the scene has no pair.
    """
    scene = sample(PROTOCOL.scenes[job.split].first + index, job.model.distribution)
    pair = chosen_pair(scene)
    if pair is None:
        return None
    subject = _subject(job.model, job.runs)
    asks = (pair.first, pair.second)
    questions, answers = [ask.question for ask in asks], [pair.answer] * 2
    found = {name: METHODS[name].maps(subject.vqa, scene.image, questions, answers) for name in ABOUT["methods"]}
    grid = next(maps.shape for maps in found.values() if maps is not None)
    none = torch.full(grid, torch.nan)
    maps = torch.stack([none if maps is None else maps.float() for maps in found.values()])
    masks = np.stack([scene.masks[ask.thing] for ask in asks])
    verdicts, a = judged(maps, no_place_surrogate(*maps.unbind(1)), masks)
    row = {
        "verdicts": verdicts,
        "a": a.astype(np.float16),
        "background": np.array([k.thing in scene.tones for k in asks]),
    }
    if job.model.name in ABOUT["curves"]["models"]:
        chosen = _maps_for_curves(subject, scene, pair, found)
        rows = curve_rows(subject.vqa, scene, pair, chosen)
        assert [tuple(r[c] for c in CURVE_COLUMNS) for r in rows] == curve_names()
        row["curves"] = np.array([[r["score"], r["probability"]] for r in rows], np.float32)
    return row


def _maps_for_curves(subject: Subject, scene, pair, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    ns = PROTOCOL.n("test")
    with evaluating(subject.vqa):
        both = explain(
            subject.vqa, EncodedImage(subject.vqa, scene), [pair.first.question, pair.second.question], pair.answer
        )
        own = dict(zip(methods(ns), pair_maps(subject, both, ns, gates_rng(scene)), strict=True))
    return {name: own[name] if name in own else found[name] for name in ABOUT["curves"]["maps"]}


def curve_names() -> list[tuple]:
    """What the rows of ``curves`` are of: (map, curve, question, asked), in the order of ``curve_rows``."""
    maps = (*ABOUT["curves"]["maps"], "random", "object", "centre")
    return [
        (name, curve, i, "own" if i == k else "other")
        for curve in ("deletion", "insertion", "ROAD") for name in maps for k in range(2) for i in range(2)
    ]  # fmt: skip


def _chunk(job: Job) -> Path:
    columns: dict[str, list] = {}
    for index in range(job.first, job.first + job.count):
        for key, value in (measure_scene(job, index) or {}).items():
            columns.setdefault(f"{job.model.name}|{key}", []).append(value)
            if key in ("verdicts", "curves"):
                columns.setdefault(f"{job.model.name}|{key}|scene", []).append(np.int32(index))
    arrays = {key: np.stack(values) for key, values in columns.items()}
    atomic_write(job.target, lambda p: np.savez_compressed(p.open("wb"), **arrays))
    return job.target


def jobs(split: str, runs: Path, folder: Path) -> list[Job]:
    """All chunks of a split; QGCError if a training run is not in ``runs``."""
    folder = run.folder_of(models(), PROTOCOL.n("test"), runs, folder, CODE)
    scenes = ABOUT["scenes"][split]
    parts = range(0, scenes, CHUNK)
    return [
        Job(split, m, first, min(CHUNK, scenes - first), runs,
            folder / f"references-{split}-{m.name.replace('/', '-')}-{first:05d}.npz")
        for first in parts for m in models()
    ]  # fmt: skip


def measure(split: str, runs: Path, folder: Path, workers: int = 2, share: tuple[int, int] = (0, 1)) -> list[Path]:
    """Measure this process's share of the chunks; returns their files. QGCError if the protocol is a draft."""
    run.allowed(split)
    number, of = share
    return work(jobs(split, runs, folder)[number::of], _chunk, f"references, {split}", workers, shared=of > 1)


# -- storing and reading --------------------------------------------------------------------------------------
def store(chunks: Sequence[Path], split: str, folder: Path = FOLDER) -> None:
    """Write ``references-SPLIT.npz`` with the protocol's hash."""
    arrays = {}
    for m in models():
        own = gather([c for c in chunks if f"-{m.name.replace('/', '-')}-" in c.name], m.name)
        arrays |= {f"{m.name}|{key}": values for key, values in own.items() if key != "curves"}
        if "curves" in own:
            arrays[f"{m.name}|curves"] = own["curves"].astype(np.float16)
    about = {"protocol": PROTOCOL.sha256, "split": split, "methods": ABOUT["methods"]}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / f"references-{split}.npz", lambda p: write_arrays(p, arrays))


def read(split: str, folder: Path = FOLDER, protocol=PROTOCOL) -> dict[str, np.ndarray]:
    """The stored arrays, ``MODEL|key``. Raises QGCError as :func:`qgc.lab.protocol2.results.read` does."""
    path = folder / f"references-{split}.npz"
    with readable("result of protocol 2 (references)", folder, COMMAND), np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    check_protocol(json.loads(bytes(arrays.pop("about"))), path, protocol)
    return arrays


def check(split: str, runs: Path, folder: Path = FOLDER, seed: int = 0) -> tuple[list[str], list[str]]:
    """Measure a random scene of each model again. Returns what differs, and models whose training run is not there."""
    rng, arrays, faults, missing = np.random.default_rng(seed), read(split, folder), [], []
    for m in models():
        try:
            run.load(m, runs)
        except QGCError:
            missing.append(m.name)
            continue
        at = int(rng.integers(len(arrays[f"{m.name}|verdicts"])))
        index = int(arrays[f"{m.name}|verdicts|scene"][at])
        row = measure_scene(Job(split, m, index, 1, runs, Path()), index)
        # a verdict near a tie may turn over with rounding
        wrong = [] if np.mean(row["verdicts"] != arrays[f"{m.name}|verdicts"][at]) <= 0.1 else ["verdicts"]
        if "curves" in row and not np.allclose(row["curves"], arrays[f"{m.name}|curves"][at], rtol=0.05, atol=0.05):
            wrong.append("curves")
        faults += [f"{m.name}, scene {index}: {key} of reference explanations" for key in wrong]
    return faults, missing


def verdicts(arrays: Mapping[str, np.ndarray], model: str, method: str, verdict: str = "rank") -> pd.Series:
    """One verdict of a reference explanation, by scene: 0, ½, 1; nan where the model has no such map."""
    column = arrays[f"{model}|verdicts"][:, list(ABOUT["methods"]).index(method), VERDICTS.index(verdict)]
    return pd.Series(np.where(column == NO_MAP, np.nan, column / 2), arrays[f"{model}|verdicts|scene"])


def overview(arrays: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A row for each model and method: ``RGA`` with ``low`` and ``high`` over scenes, and that of its ``surrogate``."""
    rows = []
    for m in models():
        for method in ABOUT["methods"]:
            values = verdicts(arrays, m.name, method).dropna()
            if len(values):  # the model has such a map
                found = crossed.crossed_interval(values.to_numpy()[None])
                row = {"model": m.name, "method": method, "RGA": found.estimate, "low": found.low, "high": found.high}
                rows.append(row | {"surrogate": verdicts(arrays, m.name, method, "surrogate rank").mean()})
    return pd.DataFrame(rows)


def curves(arrays: Mapping[str, np.ndarray], model: str, **bootstrapping) -> pd.DataFrame:
    """Areas by map, curve and ``asked`` with 95 % intervals by scene, as ``summarise`` of perturbation.py."""
    values, scenes = arrays[f"{model}|curves"].astype(float), arrays[f"{model}|curves|scene"]
    names: Iterable[tuple] = curve_names()
    rows = [
        {"scene": int(scene), **dict(zip(CURVE_COLUMNS, name, strict=True)), "score": y, "probability": p}
        for scene, areas in zip(scenes, values, strict=True) for name, (y, p) in zip(names, areas, strict=True)
    ]  # fmt: skip
    return summarise(rows, **bootstrapping)["curves"]
