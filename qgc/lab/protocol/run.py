"""``python -m qgc measure``: the whole measurement by the protocol, in pieces that survive an interruption.

Scenes are measured in chunks by worker processes; every chunk is a file, and one that is there is not measured again.
The folder of chunks is named after a fingerprint of the weights and of the code that measures, so that nothing stale
is ever mixed in. :func:`qgc.lab.protocol.summary.summarise` turns them into what the book reads.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ...errors import QGCError
from ...explain import EncodedImage
from ...files import atomic_write, remove_leftovers
from ...models import zoo
from ...scenes import FIRST_SEED, sample
from ..train.memory import keep_freed_memory
from ..train.workers import worker_pool
from . import PROTOCOL_MODELS, SCENES, ProtocolModel, grounding

CHUNK = 20
LOCALISATION_EVERY = 4  # one scene in so many is measured by every localisation measure: they take most time
CODE = ("scenes", "explain", "models/deeper_lstm.py", "models/pythia.py", "models/backbones.py", "models/vqa.py",
        "measure/pairs.py", "measure/localise.py", "lab/protocol/methods.py", "lab/protocol/grounding.py",
        "lab/protocol/__init__.py")  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One chunk: scenes ``first`` … ``first + count − 1`` of a split, for models (name, path of weights).

    ``chosen``: for each ranking the n at which it is measured besides the protocol's grid.
    """

    split: str
    distribution: str
    first: int
    count: int
    models: tuple[tuple[str, str], ...]
    target: Path
    chosen: Mapping[str, Sequence[int]] = field(default_factory=dict)


def where(model: ProtocolModel, runs: Path) -> str | None:
    """What :func:`qgc.load` takes for a model: a shipped name, or a run's card; None if there is neither."""
    if model.name in zoo.names():
        return model.name
    card = runs / model.name / "deeper-lstm" / f"{model.distribution}.json"
    return str(card) if card.exists() else None


def located(models: Sequence[ProtocolModel], runs: Path) -> dict[ProtocolModel, str]:
    """:func:`where` of all models.

    Raises
    ------
    QGCError
        If a model of the protocol is missing; the message says which commands train it.
    """
    found = {model: where(model, runs) for model in models}
    if missing := [model.name for model, path in found.items() if path is None]:
        seeds = " && ".join(
            f"python -m qgc train scenes natural --seed {name[-1]} --cnn deeper-lstm/natural"
            for name in missing
            if "seed" in name
        )
        raise QGCError(f"these models are missing: {', '.join(missing)}" + (f"; train them: {seeds}" if seeds else ""))
    return {model: path for model, path in found.items() if path}


def fingerprint(
    paths: Sequence[str], code: Sequence[str] = CODE, chosen: Mapping[str, Any] = MappingProxyType({})
) -> str:
    """A short hash of the models' checksums, of the code that measures, and of the ``chosen`` n or what else decides.

    Of the code its syntax trees are hashed, without comments and docstrings: a measurement takes hours, and neither a
    better sentence nor another line break can change a number. Whatever can, a constant or an order of operations,
    changes the tree and gives another folder. Another version of Python may write trees differently, and then measures
    again.
    """
    digest = hashlib.sha256(json.dumps(sorted(chosen.items())).encode() if chosen else b"")
    for path in paths:
        digest.update(json.dumps(sorted(zoo.card(path)["files"].items())).encode())
    home = Path(__file__).resolve().parents[2]
    for name in code:
        for file in sorted((home / name).rglob("*.py")) if (home / name).is_dir() else [home / name]:
            if file.exists():
                digest.update(_syntax(file.read_bytes()))
    return digest.hexdigest()[:12]


def _syntax(source: bytes) -> bytes:
    # The tree of a module without positions, comments, and strings that stand alone: docstrings, of constants too.
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(block := getattr(node, "body", None), list):
            node.body = [s for s in block if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return ast.dump(tree).encode()


_device = "cpu"  # of this worker
_subjects: dict[str, tuple[grounding.Subject, str]] = {}


def _start(device: str) -> None:
    global _device
    keep_freed_memory()
    torch.set_num_threads(1)
    _device = device


def subject(path: str) -> tuple[grounding.Subject, str]:
    """A model, loaded once a worker, and which CNN it has: the checksum of a shared file, or its own path."""
    if path not in _subjects:
        shared = "".join(sorted(checksum for file, checksum in zoo.card(path)["files"].items() if "cnn" in file))
        _subjects[path] = grounding.Subject(zoo.load(path, device=_device, dtype=torch.float32)), shared or path
    return _subjects[path]


def measure_scene(
    split: str,
    distribution: str,
    index: int,
    models: Sequence[tuple[str, str]],
    chosen: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> dict[str, list]:
    """Every pair of one scene under every model: model → list of what :func:`grounding.measure_pair` gives."""
    scene = sample(FIRST_SEED[split] + index, distribution)
    pairs = grounding.chosen_pairs(scene)
    found: dict[str, list] = {name: [] for name, _ in models}
    if not pairs:
        return found
    maps: dict[str, torch.Tensor] = {}
    for name, path in models:
        subject_, cnn = subject(path)
        view = EncodedImage(subject_.vqa, scene, maps.get(cnn))
        maps[cnn] = view.F
        found[name] = [
            grounding.measure_pair(subject_, view, p, index % LOCALISATION_EVERY == 0, chosen) for p in pairs
        ]
    return found


def _chunk(job: Job) -> Path:
    columns: dict[str, list] = {}
    for index in range(job.first, job.first + job.count):
        for model, rows in measure_scene(job.split, job.distribution, index, job.models, job.chosen).items():
            for row in rows:
                for key, value in {"scene": np.int32(index), **row}.items():
                    columns.setdefault(f"{model}|{key}", []).append(value)
                if "measures" in row:
                    columns.setdefault(f"{model}|measured scene", []).append(np.int32(index))
    arrays = {key: np.stack(values) for key, values in columns.items()}
    atomic_write(job.target, lambda p: np.savez_compressed(p.open("wb"), **arrays))
    return job.target


def measure(
    split: str, runs: Path, folder: Path, *, models: Sequence[ProtocolModel] = PROTOCOL_MODELS,
    scenes: int | None = None, workers: int = 2, device: str = "cpu",
    chosen: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> list[Path]:  # fmt: skip
    """Measure every model on a split of the protocol; returns the chunks' files, in order.

    Parameters
    ----------
    runs : where the other seeds' runs are. folder : receives the chunks. scenes : fewer than the protocol's, for
        trying things out. chosen : ranking → n at which it is measured besides the protocol's grid.

    Raises
    ------
    QGCError
        If a model of the protocol is missing; the message says which commands train it.
    """
    found = located(models, runs)
    folder = folder / fingerprint(list(found.values()), chosen=chosen)
    count = scenes or SCENES[split]
    jobs = []
    for distribution in dict.fromkeys(model.distribution for model in models):
        for first in range(0, count, CHUNK):
            here = tuple(
                (model.name, path) for model, path in found.items()
                if model.distribution == distribution and first < model.share * count
            )  # fmt: skip
            target = folder / f"{split}-{distribution}-{first:05d}.npz"
            jobs.append(Job(split, distribution, first, min(CHUNK, count - first), here, target, dict(chosen)))
    return work(jobs, _chunk, f"measuring {split}", workers, device)


def work(
    jobs: Sequence[Job], do: Callable[[Job], object], title: str, workers: int = 2, device: str = "cpu",
    shared: bool = False,
) -> list[Path]:  # fmt: skip
    """Do those jobs whose file is not there yet, in worker processes; returns all files, in order.

    ``shared``: other machines write into the folder, too. Which of its temporary files are leftovers cannot be known
    then, since process numbers are a machine's own.
    """
    missing = [job for job in jobs if not job.target.exists()]
    if missing:
        missing[0].target.parent.mkdir(parents=True, exist_ok=True)
        if not shared:
            remove_leftovers(missing[0].target.parent)
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(missing), desc=title, unit="chunk")
    if workers == 1:
        _start(device)
        for job in missing:
            do(job)
            bar.update()
    elif missing:
        with worker_pool(workers, _start, (device,)) as pool:
            for done in as_completed([pool.submit(do, job) for job in missing]):
                done.result()
                bar.update()
    bar.close()
    return [job.target for job in jobs]


def gather(paths: Sequence[Path], model: str) -> dict[str, np.ndarray]:
    """The rows of one model from all chunks, key → (pairs, …), in the scenes' order."""
    parts: dict[str, list[np.ndarray]] = {}
    for path in paths:
        with np.load(path) as chunk:
            for key in chunk.files:
                name, _, column = key.partition("|")
                if name == model:
                    parts.setdefault(column, []).append(chunk[key])
    return {column: np.concatenate(values) for column, values in parts.items()}
