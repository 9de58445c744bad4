"""``python -m qgc measure graded``: protocol 2 in chunks that several processes, or machines, can share.

A chunk is some scenes of one distribution under all models that look through one CNN: the scene, its alterations and
the CNN's maps F are worked out once for all of them. Every chunk is a file, written whole; one that is there is not
measured again. The folder of chunks is named after what decides their numbers. So machines that see one folder share
the work: each takes the chunks of its part (:func:`part`), and the last to finish writes the same results as one
machine alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from ...errors import QGCError
from ...files import atomic_write
from ...models import zoo
from ...models.deeper_lstm import DeeperLSTM
from ...models.evaluation import evaluating
from ...scenes import sample
from ..experiments.absent import absent_questions, usual_sizes
from ..experiments.faithfulness import alterations, maps_of
from ..protocol.run import CODE as PROTOCOL_CODE
from ..protocol.run import fingerprint, work
from ..train import graded
from ..train.run import config
from . import PROTOCOL, Model
from .measure import Subject, chosen_pair, measure_pair

CHUNK = 25
_EXPERIMENTS = ("absent", "compare", "effects", "faithfulness", "interventions", "nulls")
CODE = (*PROTOCOL_CODE, "measure/similarity.py", *(f"lab/experiments/{name}.py" for name in _EXPERIMENTS),
        "lab/protocol/methods.py", "lab/protocol2/measure.py", "lab/protocol2/run.py")  # fmt: skip
SIZES_OF = 200  # validation scenes from which the usual sizes of absent objects are taken


@dataclass(frozen=True)
class Job:
    """Scenes ``first`` … ``first + count − 1`` of a split, for models that share a CNN."""

    split: str
    distribution: str
    first: int
    count: int
    models: tuple[Model, ...]
    ns: tuple[int, ...]
    runs: Path
    target: Path


def load(model: Model, runs: Path, device: str = "cpu") -> DeeperLSTM:
    """A model of the protocol in float32: a snapshot of a training run in ``runs``, or a shipped one.

    Raises
    ------
    QGCError
        If the run is not there; the message names the command that trains it.
    """
    if model.cell is None:
        vqa = zoo.load(weights_of(model, runs), device=device, dtype=torch.float32)
        vqa.name = model.name
        return vqa
    cell = graded.cell(model.cell)
    path = _of_run(model, runs, f"snapshots/{model.step:06d}.pt")
    vqa = DeeperLSTM(config(cell.recipe(model.seed)))
    vqa.load_state_dict(torch.load(path, map_location=device, weights_only=True))
    vqa.name = model.name
    return vqa.to(device).eval()


def weights_of(model: Model, runs: Path) -> str:
    """What :func:`qgc.load` takes for a model beside the graded ones: its name if it is shipped, else its run's card.

    Raises
    ------
    QGCError
        If it is neither shipped nor in ``runs``; the message names the command that trains it.
    """
    family = model.name.split("/")[0]
    card = runs / family / f"{model.name}.json"
    if model.name in zoo.names():
        return model.name
    if card.exists():
        return str(card)
    raise QGCError(f"{card} is not there; train it: python -m qgc train scenes {family} --out {runs / family}")


def part(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Which part of the chunks is this process's: (number, of how many), by torchrun's variables or a SLURM array's."""
    for number, count in (("RANK", "WORLD_SIZE"), ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT")):
        if number in environment and count in environment:
            return int(environment[number]) - int(environment.get("SLURM_ARRAY_TASK_MIN", 0)), int(environment[count])
    return 0, 1


@cache
def _subject(model: Model, runs: Path) -> Subject:
    return Subject(load(model, runs))


@cache
def _usual_sizes(distribution: str) -> dict[str, tuple[float, str]]:
    first = PROTOCOL.scenes["validation"].first
    return usual_sizes([sample(first + i, distribution) for i in range(SIZES_OF)])


@torch.no_grad()
def measure_scene(job: Job, index: int) -> dict[Model, dict[str, np.ndarray]]:
    """The scene's pair under every model of a job; the controls on the first scenes of a split."""
    scene = sample(PROTOCOL.scenes[job.split].first + index, job.distribution)
    models = [m for m in job.models if index < PROTOCOL.count(job.split, m)]
    pair = chosen_pair(scene)
    if pair is None or not models:
        return {}
    altered, other = [], None
    if index < PROTOCOL.controls:
        altered = alterations(scene, [pair])
        rng = np.random.default_rng([scene.seed & 0x7FFFFFFF, 93])
        other = absent_questions(scene, pair, _usual_sizes(job.distribution), rng)
    one = _subject(models[0], job.runs).vqa
    F = maps_of(one, scene, altered)
    with evaluating(one):
        f = one.cnn.feature(F) if isinstance(one, DeeperLSTM) else None  # all of them have this CNN
    asked = {"altered": altered, "other": other, "f": f}
    return {m: measure_pair(_subject(m, job.runs), pair, F, job.ns, **asked) for m in models}


def _chunk(job: Job) -> Path:
    columns: dict[str, list] = {}
    for index in range(job.first, job.first + job.count):
        for model, row in measure_scene(job, index).items():
            for key, value in {"scene": np.int32(index), **row}.items():
                columns.setdefault(f"{model.name}|{key}", []).append(value)
            for control in ("effects", "absent", "absent effect"):
                if control in row:
                    columns.setdefault(f"{model.name}|{control}|scene", []).append(np.int32(index))
    arrays = {key: np.stack(values) for key, values in columns.items()}
    atomic_write(job.target, lambda p: np.savez_compressed(p.open("wb"), **arrays))
    return job.target


def _of_run(model: Model, runs: Path, file: str) -> Path:
    path = graded.run_of(runs, graded.cell(model.cell), model.seed) / file
    if not path.exists():
        raise QGCError(f"{path} is not there; train it: python -m qgc train graded {model.cell} --seed {model.seed}")
    return path


def folder_of(
    models: Sequence[Model], ns: Sequence[int], runs: Path, folder: Path, code: Sequence[str] = CODE
) -> Path:  # fmt: skip
    """The folder of chunks in ``folder`` that is named after what decides their numbers."""
    # A run leaves its trace when it ends: its losses and accuracies are those of no other one.
    traces = {m.name: sha256(_of_run(m, runs, "trace.json").read_bytes()).hexdigest() for m in models if m.cell}
    decides = {"scenes": PROTOCOL.data["scenes"], "n": list(ns), "runs": traces}
    return folder / fingerprint([weights_of(m, runs) for m in models if m.cell is None], code, decides)


def jobs(split: str, models: Iterable[Model], ns: Sequence[int], runs: Path, folder: Path) -> list[Job]:
    """All chunks of a split, those of the first scenes first.

    Raises
    ------
    QGCError
        If a model's training run is not in ``runs``, or has not ended; the message names the command.
    """
    models = list(models)
    folder = folder_of(models, ns, runs, folder)
    by_cnn: dict[tuple[str, str], list[Model]] = {}
    for model in models:
        by_cnn.setdefault((model.distribution, model.cell or model.name), []).append(model)
    found = []
    for first in range(0, PROTOCOL.scenes[split].count, CHUNK):
        for (distribution, cnn), group in by_cnn.items():
            count = min(CHUNK, PROTOCOL.scenes[split].count - first)
            target = folder / f"{split}-{cnn.replace('/', '-')}-{first:05d}.npz"
            found.append(Job(split, distribution, first, count, tuple(group), tuple(ns), runs, target))
    return found


def allowed(split: str) -> None:
    """QGCError if it is the test split, and the protocol is a draft."""
    if split == "test" and PROTOCOL.data["status"] != "fixed":
        raise QGCError("protocol 2 is a draft: choose on validation scenes, then fix and commit protocol-2.yml")


def measure(
    split: str, models: Sequence[Model], ns: Sequence[int], runs: Path, folder: Path, workers: int = 2,
    share: tuple[int, int] = (0, 1),
) -> list[Path]:  # fmt: skip
    """Measure this process's share of a split's chunks; returns their files.

    Raises
    ------
    QGCError
        If it is the test split, and the protocol is a draft.
    """
    allowed(split)
    number, of = share
    mine = jobs(split, models, ns, runs, folder)[number::of]
    return work(mine, _chunk, f"measuring {split}", workers, shared=of > 1)
