"""One command from nothing to weights: render, pre-train the CNN, train on questions, export.

Every stage leaves a whole file in the run's folder and is skipped when that file is there, so a run
that was killed resumes where it stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from ...errors import QGCError
from ...files import atomic_write, remove_leftovers
from ...models import VQA, zoo
from ...models.backbones import SCENES, VGGLike
from ...models.deeper_lstm import DeeperLSTM, DeeperLSTMConfig
from ...models.text import Vocabulary
from ...scenes.questions import ANSWERS, every_question
from . import cards
from . import cnn as cnn_training
from . import vqa as vqa_training
from .data import SceneSet
from .files import save_json
from .memory import keep_freed_memory
from .recipes import Recipe, RegionsRecipe


def config(recipe: Recipe | None = None) -> DeeperLSTMConfig:
    """The scene-sized Deeper LSTM with the scenes' words and answers; the recipe's CNN head and dropout."""
    words = tuple(Vocabulary.from_questions(every_question()).words)
    if recipe is None or not recipe.detectors:
        return DeeperLSTMConfig(words, ANSWERS, dropout=recipe.dropout if recipe else 0.5)
    labels = len(cnn_training.Labels(recipe.labels))
    cnn = replace(SCENES, detectors=labels, tied=True, fc=labels)
    return DeeperLSTMConfig(words, ANSWERS, dropout=recipe.dropout, cnn=cnn)


def train_scenes(
    recipe: Recipe, run: Path, cache: Path, device="cpu", workers: int = 2, cnn_checkpoint="",
    cnn_run: Path | None = None, family: str = "deeper-lstm",
) -> DeeperLSTM:  # fmt: skip
    """Train a scene-sized Deeper LSTM by ``recipe``, or a bilinear model; returns the best epoch's model.

    ``run`` receives checkpoints and traces; ``cache`` the rendered scenes, shared between runs. With
    ``cnn_checkpoint``, the name of a shipped model, only the question and answer side is trained, on that model's CNN;
    what the CNN makes of the scenes is then kept beside ``run``, for the other seeds. ``cnn_run`` is a folder of its
    own for a CNN that is trained once, for the question sides of several seeds (by default: ``run``). ``family`` is one
    of :data:`qgc.models.zoo.FAMILIES` that is a kind of Deeper LSTM.
    """
    keep_freed_memory()
    if cnn_checkpoint:
        cnn_run = run.with_name(f"cnn-{cnn_checksum(cnn_checkpoint)[:12]}")
    cnn_run = cnn_run or run
    own = {} if family == "deeper-lstm" else {"family": family}
    for folder, part in ((cnn_run, asdict(replace(recipe, question_seed=0))), (run, asdict(recipe) | own)):
        remove_leftovers(folder)
        claim_folder(folder, part)
    with timed(cnn_run, "scenes", device):
        train = SceneSet(cache, recipe.distribution, "train", recipe.scenes, workers)
        asked = SceneSet(cache, recipe.distribution, "train", recipe.question_scenes, workers)
        val = SceneSet(cache, recipe.distribution, "validation", recipe.validation, workers)
    torch.manual_seed(recipe.seed)
    kind, sizes = zoo.FAMILIES[family]
    model = kind(sizes(**vars(config(recipe))))
    if cnn_checkpoint:
        model.cnn.load_state_dict(zoo.load(cnn_checkpoint, dtype=torch.float32).cnn.state_dict())
    else:
        with timed(cnn_run, "convolutions", device):
            _fit_cnn(recipe, model.cnn, train, cnn_run, device)
    with timed(cnn_run, "features", device):
        pooled = cnn_training.pooled_maps(model.cnn, asked, cnn_run / "pooled-train.npy", device)
        val_pooled = cnn_training.pooled_maps(model.cnn, val, cnn_run / "pooled-validation.npy", device)
    if not cnn_checkpoint:
        with timed(cnn_run, "fc6, fc7", device):
            cnn_training.pretrain_fc(recipe, model.cnn, pooled, asked.facts, cnn_run, device)
    with timed(run, "questions", device):
        vqa_training.train(model, recipe, pooled, asked.facts, val_pooled, val.facts, run, device)
    save_json(run / "question_prior.json", vqa_training.question_prior(asked.facts))
    return model.eval()


def cnn_checksum(name: str) -> str:
    """The checksum of a shipped model's CNN: what it makes of the scenes is of no use to another."""
    return next(checksum for file, checksum in zoo.card(name)["files"].items() if "cnn" in file)


@contextmanager
def timed(run: Path, name: str, device) -> Iterator[None]:
    """Add this stage's wall time to ``run/time.json``; an interrupted stage resumes counting."""
    began = time.time()
    try:
        yield
    finally:
        path = run / "time.json"
        spent = (
            json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"device": str(device), "seconds": {}}
        )
        spent["seconds"][name] = round(spent["seconds"].get(name, 0) + time.time() - began)
        save_json(path, spent)


def claim_folder(run: Path, recipe: dict) -> None:
    """Note in a run's folder whose it is.

    Raises
    ------
    QGCError
        If it is another recipe's.
    """
    path, text = run / "recipe.json", json.dumps(recipe, sort_keys=True)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise QGCError(f"{run} holds a run with another recipe or another CNN; give another folder or remove it")
    run.mkdir(parents=True, exist_ok=True)
    atomic_write(path, lambda p: p.write_text(text, encoding="utf-8"))


def _fit_cnn(recipe: Recipe, cnn: VGGLike, scenes: SceneSet, run: Path, device) -> None:
    net, head = cnn_training.pretrain_convolutions(recipe, scenes, SCENES, run, device)
    net.cpu().fold_into(cnn)
    if recipe.detectors:
        cnn_training.detect(cnn, head.cpu())


def card_of(name: str, recipe: Recipe | RegionsRecipe, run: Path) -> dict:
    """What a finished run says about itself, for the model's card."""
    trace = json.loads((run / "trace.json").read_text(encoding="utf-8"))
    best = max(trace, key=lambda row: row["all"])
    seed = getattr(recipe, "question_seed", recipe.seed)
    return {
        "trained_on": f"abstract scenes, {recipe.distribution}",
        "drawn_by": cards.DRAWN_BY,
        "distribution": recipe.distribution,
        "command": f"python -m qgc train scenes {name}" + (f" --seed {seed}" if seed else ""),
        "recipe": recipe.__dict__,
        "time": json.loads((run / "time.json").read_text(encoding="utf-8")),
        "validation": best,
        "question_prior": json.loads((run / "question_prior.json").read_text(encoding="utf-8")),
    }


def export(model: DeeperLSTM, name: str, about: dict, folder: Path) -> Path:
    """Write weights and card of ``deeper-lstm/NAME`` into ``folder``; returns their common stem.

    Models of one distribution share one CNN file.
    """
    stem = folder / "deeper-lstm" / name
    zoo.save(model, stem, about, f"cnn-{about['distribution']}.safetensors")
    return stem


def export_with_lent_cnn(model: VQA, family: str, about: dict, folder: Path) -> Path:
    """Write weights and card of ``FAMILY/DISTRIBUTION`` into ``folder``; returns their common stem.

    Beside the model that lent its CNN (``cnn`` of the recipe), as in the package, that model's file is shared.
    """
    stem = folder / family / about["distribution"]
    lender = (folder / about["recipe"]["cnn"]).parent / f"cnn-{about['distribution']}.safetensors"
    shared = f"../{lender.parent.name}/{lender.name}" if lender.exists() else None
    zoo.save(model, stem, about, shared)
    return stem


def snapshots(run: Path) -> list[tuple[int, Path]]:
    """The snapshots of a run as (step, path), in order."""
    return sorted((int(p.stem), p) for p in (run / "snapshots").glob("*.pt"))
