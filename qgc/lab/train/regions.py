"""Training of models that read the cells of a CNN's maps: the scene-sized Pythia, FiLM and transformer.

Another model was trained with that CNN, and it never changes, so it runs once over each scene; the regions stay on disk
as float16, for all of these models. As in :mod:`qgc.lab.train.vqa` each distinct question of a step is encoded once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from math import isqrt
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...files import remove_leftovers
from ...models import VQA, zoo
from ...models.fusions.joint import JointVQA
from ...models.pythia import Pythia
from . import pythia
from .cnn import to_input
from .data import SceneSet
from .files import save_array, save_json
from .memory import keep_freed_memory
from .recipes import RegionsRecipe
from .run import claim_folder, cnn_checksum, timed
from .vqa import QuestionTrainer, SceneQuestions, question_prior, without_onednn

SHARD, CHUNK = 1000, 100


class Regions:
    """The CNN's maps of many scenes as regions, float16 (N, h·w, K), in shards of 1000 scenes under ``folder``."""

    def __init__(self, cnn: nn.Module, scenes: SceneSet, folder: Path, name: str, device):
        self._shards = [
            _shard(cnn, scenes, rows, folder / f"{name}-{rows.start:06d}-{len(rows)}.npy", device)
            for rows in tqdm(_parts(range(scenes.count), SHARD), desc=f"regions, {name}", unit="shard")
        ]

    def __getitem__(self, rows: np.ndarray) -> Tensor:
        """Regions (len(rows), h·w, K), float32."""
        return torch.from_numpy(np.stack([self._shards[i // SHARD][i % SHARD] for i in rows])).float()

    def root_mean_square(self) -> float:
        """Root mean square of the first shard's entries: the models' ``scale``, to three digits."""
        total = sum(float(np.square(r, dtype=np.float64).mean()) for r in self._shards[0])
        return float(f"{(total / len(self._shards[0])) ** 0.5:.3g}")


@torch.no_grad()
def _shard(cnn: nn.Module, scenes: SceneSet, rows: range, path: Path, device) -> np.ndarray:
    if not path.exists():
        maps = [cnn(to_input(scenes.images(part), cnn.config, device)) for part in _parts(rows, 50)]
        save_array(path, torch.cat(maps).flatten(2).mT.half().cpu().numpy())
    return np.load(path, mmap_mode="r")


def _parts(rows: range, size: int) -> list[range]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


def scores(
    model: JointVQA, tokens: Tensor, lengths: Tensor, regions: Tensor, scene: Tensor, question: Tensor
) -> Tensor:
    """Answer scores (N, answers): ``scene`` (N,) and ``question`` (N,) index rows of regions (B, h·w, K) and tokens."""
    needed, back = question.unique(return_inverse=True)
    q = model.encode_tokens(tokens[needed], lengths[needed.cpu()])
    side = isqrt(regions.shape[1])
    x = model.stem(regions.mT.unflatten(2, (side, side)))
    return model.classify(model.join(x[scene], q[back]))


STARTS: dict[type[VQA], Callable[[VQA], None]] = {Pythia: pythia.start}
"""Where a training begins; any other model begins as it was built."""
SCORES: dict[type[VQA], Callable[..., Tensor]] = {Pythia: pythia.scores}
"""Answer scores of a step, by :func:`scores` for any other model."""


def train(
    model: VQA, recipe: RegionsRecipe, regions: Regions, facts, val_regions: Regions, val_facts, run: Path
) -> None:
    """Train everything but the CNN; the model ends with its best epoch's weights.

    A checkpoint per epoch (``vqa.pt``) makes it resumable; ``snapshots/`` keeps the model at 1/8, 1/4, 1/2, 1, 2, …
    epochs; ``best.pt`` is the epoch with the highest validation accuracy.
    """
    torch.manual_seed(recipe.seed)
    if start := STARTS.get(type(model)):
        start(model)
    data = [
        (SceneQuestions(some_facts, model.answers), lambda scenes, maps=maps: maps[scenes].to(model.device))
        for some_facts, maps in ((facts, regions), (val_facts, val_regions))
    ]
    trainer = QuestionTrainer(
        model, SCORES.get(type(model), scores), *data, run, per_scene=recipe.per_scene, chunk=CHUNK,
        batch=recipe.batch, cycles=(recipe.epochs,), seed=(recipe.seed,), lr=recipe.lr,
        weight_decay=recipe.weight_decay, rise=0.15, limit=partial(nn.utils.clip_grad_norm_, max_norm=recipe.clip),
    )  # fmt: skip
    has_lstm = any(isinstance(module, nn.LSTM) for module in model.modules())
    with without_onednn() if has_lstm else nullcontext():  # convolutions take half as long with it
        trainer.finish()


def train_on_regions(
    family: str, recipe: RegionsRecipe, run: Path, cache: Path, device="cpu", workers: int = 2
) -> VQA:  # fmt: skip
    """Train a scene-sized model of a ``family`` of :data:`qgc.models.zoo.FAMILIES`; returns the best epoch's model.

    ``run`` receives checkpoints and traces, a folder beside it the regions of this CNN, for other models and seeds, and
    ``cache`` the rendered scenes.
    """
    keep_freed_memory()
    stored = run.with_name(f"regions-{cnn_checksum(recipe.cnn)[:12]}")
    remove_leftovers(run)
    remove_leftovers(stored)
    claim_folder(run, {**asdict(recipe), "files": zoo.card(recipe.cnn)["files"]})
    lender = zoo.load(recipe.cnn, device=device, dtype=torch.float32)  # of the CNN, of words and of answers
    with timed(run, "scenes", device):
        scenes = SceneSet(cache, recipe.distribution, "train", recipe.scenes, workers)
        val = SceneSet(cache, recipe.distribution, "validation", recipe.validation, workers)
    with timed(run, "regions", device):
        cnn = lender.cnn.to(memory_format=torch.channels_last)
        regions = Regions(cnn, scenes, stored, f"{recipe.distribution}-train", device)
        val_regions = Regions(cnn, val, stored, f"{recipe.distribution}-validation", device)
    kind, sizes = zoo.FAMILIES[family]
    torch.manual_seed(recipe.seed)
    model = kind(
        sizes(
            tuple(lender.vocabulary.words), tuple(lender.answers), scale=regions.root_mean_square(),
            dropout=recipe.dropout, cnn=cnn.config,
        )
    ).to(device)  # fmt: skip
    model.cnn.load_state_dict(cnn.state_dict())
    model.cnn.requires_grad_(False)  # the regions on disk are this CNN's, so it must stay as it is
    with timed(run, "questions", device):
        train(model, recipe, regions, scenes.facts, val_regions, val.facts, run)
    save_json(run / "question_prior.json", question_prior(scenes.facts))
    return model.eval()
