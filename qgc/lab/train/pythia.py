"""Training of the scene-sized Pythia on the cached maps of a CNN that another model was trained with.

The CNN never changes, so it runs once over each scene; the regions stay on disk as float16. As in
:mod:`qgc.lab.train.vqa` each distinct question of a step is encoded once.
"""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...files import remove_leftovers
from ...models import zoo
from ...models.pythia import Pythia, PythiaConfig, WeightNorm
from .cnn import to_input
from .data import SceneSet
from .files import save_array, save_json
from .memory import keep_freed_memory
from .recipes import PythiaRecipe
from .run import claim_folder, timed
from .vqa import QuestionTrainer, SceneQuestions, question_prior, start_lstm, without_onednn

SHARD = 1000


class Regions:
    """The CNN's maps of many scenes as regions, float16 (N, h·w, K), in shards of 1000 scenes under ``folder``."""

    def __init__(self, cnn: nn.Module, scenes: SceneSet, folder: Path, name: str, device):
        self._shards = [
            _shard(cnn, scenes, range(s, min(s + SHARD, scenes.count)), folder / f"{name}-{s:06d}.npy", device)
            for s in tqdm(range(0, scenes.count, SHARD), desc=f"regions, {name}", unit="shard")
        ]

    def __getitem__(self, rows: np.ndarray) -> Tensor:
        """Regions (len(rows), h·w, K), float32."""
        return torch.from_numpy(np.stack([self._shards[i // SHARD][i % SHARD] for i in rows])).float()

    def root_mean_square(self) -> float:
        """Root mean square of the first shard's entries: the scale of :class:`PythiaConfig`, to three digits."""
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


@torch.no_grad()
def start(model: Pythia) -> None:
    """Every layer keeps the size of its signal; the original's start takes several times as long.

    Embedding normal, LSTM orthogonal with an open forget gate, the rest after Glorot and Bengio (2010); the length
    g of a weight-normalised matrix is that of its start.
    """
    encoder = model.question_embedding_models[0]
    encoder.embedding.weight.normal_()
    start_lstm(encoder.LSTM)
    for layer in (m for name, m in model.named_modules() if not name.startswith("cnn")):
        if isinstance(layer, nn.Linear | nn.Conv1d | WeightNorm):
            weight = layer.weight_v if isinstance(layer, WeightNorm) else layer.weight
            nn.init.xavier_uniform_(weight)
            layer.bias.zero_()
        if isinstance(layer, WeightNorm):
            layer.weight_g.copy_(layer.weight_v.norm())


def scores(model: Pythia, tokens: Tensor, lengths: Tensor, regions: Tensor, scene: Tensor, question: Tensor) -> Tensor:
    """Answer scores (N, answers): ``scene`` (N,), rising, and ``question`` (N,) index rows of regions and tokens."""
    needed, back = question.unique(return_inverse=True)
    q = model.encode_tokens(tokens[needed], lengths[needed.cpu()])[back]
    # the questions of one scene stand side by side, so that they share its half of the attention
    counts = torch.bincount(scene, minlength=len(regions))
    place = torch.arange(len(scene), device=scene.device) - (counts.cumsum(0) - counts)[scene]
    table = q.new_zeros(len(regions), int(counts.max()), q.shape[1]).index_put((scene, place), q)
    f = model.attended(regions / model.config.scale, table)[scene, place]
    u, v = model.attended_branches(f, q)
    return model.classify(u * v)


@without_onednn()
def train(
    model: Pythia, recipe: PythiaRecipe, regions: Regions, facts, val_regions: Regions, val_facts, run: Path
) -> None:
    """Train everything but the CNN; the model ends with its best epoch's weights.

    A checkpoint per epoch (``vqa.pt``) makes it resumable; ``best.pt`` is the epoch with the highest validation
    accuracy.
    """
    torch.manual_seed(recipe.seed)
    start(model)
    data = [
        (SceneQuestions(some_facts, model.answers), lambda scenes, maps=maps: maps[scenes].to(model.device))
        for some_facts, maps in ((facts, regions), (val_facts, val_regions))
    ]
    QuestionTrainer(
        model, scores, *data, run, per_scene=recipe.per_scene, chunk=100, batch=recipe.batch, cycles=(recipe.epochs,),
        seed=(recipe.seed,), lr=recipe.lr, weight_decay=recipe.weight_decay, rise=0.15,
        limit=partial(nn.utils.clip_grad_norm_, max_norm=recipe.clip),
    ).finish()  # fmt: skip


def train_pythia(recipe: PythiaRecipe, run: Path, cache: Path, device="cpu", workers: int = 2) -> Pythia:
    """Train a scene-sized Pythia by ``recipe``; returns the best epoch's model.

    ``run`` receives regions, checkpoints and traces; ``cache`` the rendered scenes, shared between runs.
    """
    keep_freed_memory()
    remove_leftovers(run)
    claim_folder(run, {**asdict(recipe), "files": zoo.card(recipe.cnn)["files"]})  # the folder keeps this CNN's maps
    lender = zoo.load(recipe.cnn, device=device, dtype=torch.float32)  # of the CNN, of words and of answers
    with timed(run, "scenes", device):
        scenes = SceneSet(cache, recipe.distribution, "train", recipe.scenes, workers)
        val = SceneSet(cache, recipe.distribution, "validation", recipe.validation, workers)
    with timed(run, "regions", device):
        cnn = lender.cnn.to(memory_format=torch.channels_last)
        regions = Regions(cnn, scenes, run / "regions", "train", device)
        val_regions = Regions(cnn, val, run / "regions", "validation", device)
    model = Pythia(
        PythiaConfig(
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


def export(model: Pythia, about: dict, folder: Path) -> Path:
    """Write weights and card of ``pythia/natural`` into ``folder``; returns their common stem.

    Beside the model that lent its CNN, as in the package, that model's file is shared.
    """
    stem = folder / "pythia" / about["distribution"]
    recipe = about["recipe"]
    lender = (folder / recipe["cnn"]).parent / f"cnn-{recipe['distribution']}.safetensors"
    shared = f"../{lender.parent.name}/{lender.name}" if lender.exists() else None
    zoo.save(model, stem, about, shared)
    return stem
