"""Training of the scene-sized Pythia on the cached maps of a CNN that another model was trained with.

The CNN never changes, so it runs once over each scene; the regions stay on disk as float16. As in
:mod:`qgc.lab.train.vqa` each distinct question of a step is encoded once.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...errors import QGCError
from ...files import remove_leftovers
from ...models import zoo
from ...models.pythia import Pythia, PythiaConfig, WeightNorm
from .cnn import to_input
from .data import SceneSet
from .files import check_loss, load_state, save_array, save_json, save_state, write_whole
from .memory import keep_freed_memory
from .recipes import PythiaRecipe
from .run import stage
from .vqa import Asked, question_prior, without_onednn

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

    def spread(self) -> float:
        """Root mean square of the first shard's entries: the scale of :class:`PythiaConfig`, to three digits."""
        total = sum(float(np.square(r, dtype=np.float64).mean()) for r in self._shards[0])
        return float(f"{(total / len(self._shards[0])) ** 0.5:.3g}")


@torch.no_grad()
def _shard(cnn: nn.Module, scenes: SceneSet, rows: range, path: Path, device) -> np.ndarray:
    if not path.exists():
        maps = [cnn(to_input(scenes.pictures(part), cnn.config, device)) for part in _parts(rows, 50)]
        save_array(path, torch.cat(maps).flatten(2).mT.half().cpu().numpy())
    return np.load(path, mmap_mode="r")


def _parts(rows: range, size: int) -> list[range]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]


@torch.no_grad()
def start(model: Pythia) -> None:
    """Every layer hands its signal on at its own size; the original's start takes several times as long.

    Embedding normal, LSTM orthogonal with an open forget gate, the rest after Glorot and Bengio (2010); the length
    g of a weight-normalised matrix is that of its start.
    """
    encoder = model.question_embedding_models[0]
    encoder.embedding.weight.normal_()
    for name, p in encoder.LSTM.named_parameters():
        if name.startswith("weight_hh"):
            for gate in p.chunk(4):
                nn.init.orthogonal_(gate)
        elif name.startswith("weight_ih"):
            nn.init.xavier_uniform_(p)
        else:
            p.zero_()
    forget = slice(model.config.hidden, 2 * model.config.hidden)
    encoder.LSTM.bias_ih_l0[forget] = 1
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
    u, v = model.fuse(f, q)
    return model.classify(u * v)


@torch.no_grad()
def accuracy(model: Pythia, regions: Regions, asked: Asked, wording: int = 0, batch: int = 100) -> dict[str, float]:
    """Share of right answers per family, and over all questions ("all"), in one wording."""
    model.eval()
    tokens, lengths = model.vocabulary.batch(asked.questions)
    right = np.zeros(len(asked.answer), bool)
    for part in _parts(range(int(asked.scene.max()) + 1), batch):
        rows = asked.of_scenes(part)
        q = np.array([asked.texts[s][wording % len(asked.texts[s])] for s in asked.subject[rows]])
        y = _asked(model, tokens, lengths, regions[part], asked.scene[rows] - part[0], q)
        right[rows] = y.argmax(1).cpu().numpy() == asked.answer[rows]
    result = {f: float(right[asked.families == f].mean()) for f in dict.fromkeys(asked.families.tolist())}
    return {"all": float(right.mean()), **result}


def _asked(model: Pythia, tokens: Tensor, lengths: Tensor, regions: Tensor, scene: np.ndarray, q: np.ndarray) -> Tensor:
    device = model.device
    indices = (torch.from_numpy(i).to(device) for i in (scene, q))
    return scores(model, tokens.to(device), lengths, regions.to(device), *indices)


@without_onednn()
def train(model: Pythia, recipe: PythiaRecipe, regions: Regions, facts, val_regions: Regions, val_facts, run: Path):
    """Train everything but the CNN; returns the trace, a row an epoch.

    A checkpoint per epoch (``vqa.pt``) makes it resumable; ``best.pt`` is the epoch with the highest validation
    accuracy.
    """
    torch.manual_seed(recipe.seed)
    start(model)
    asked, val = Asked(facts, model.answers), Asked(val_facts, model.answers)
    tokens, lengths = model.vocabulary.batch(asked.questions)
    side = [p for name, p in model.named_parameters() if not name.startswith("cnn.")]
    optimiser = torch.optim.AdamW(side, lr=recipe.lr, weight_decay=recipe.weight_decay)
    steps = max(len(facts) // recipe.batch, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.lr, total_steps=recipe.epochs * steps + 1, pct_start=0.15
    )
    parts = {"model": model, "optimiser": optimiser, "schedule": schedule}
    path, first, trace = run / "vqa.pt", 0, []
    if state := load_state(path):
        first, trace = state["epoch"], json.loads(state["trace"])
        for name, part in parts.items():
            part.load_state_dict(state[name])
    began = time.time()
    for epoch in range(first, recipe.epochs):
        rng = np.random.default_rng([recipe.seed, epoch])
        torch.manual_seed(int(rng.integers(2**62)))  # dropout too goes on as if never interrupted
        order = rng.permutation(len(facts))
        model.train()
        bar = tqdm(range(steps), desc=f"questions, epoch {epoch + 1}/{recipe.epochs}", mininterval=5)
        for step in bar:
            chunk = order[step * recipe.batch : (step + 1) * recipe.batch]
            rows = asked.of_scenes(chunk, recipe.per_scene, rng)
            where = np.empty(len(facts), np.int64)
            where[chunk] = np.arange(len(chunk))
            y = _asked(model, tokens, lengths, regions[chunk], where[asked.scene[rows]], asked.worded(rows, rng))
            loss = nn.functional.cross_entropy(y, torch.from_numpy(asked.answer[rows]).to(y.device))
            check_loss(loss, run)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(side, recipe.clip)
            optimiser.step()
            schedule.step()
            if step % 20 == 0:
                bar.set_postfix(loss=f"{loss.item():.3f}")
        found = accuracy(model, val_regions, val)
        best = found["all"] > max((row["all"] for row in trace), default=-1.0)
        trace.append({"epoch": epoch + 1, "step": (epoch + 1) * steps, "loss": loss.item(), **found})
        tqdm.write(f"epoch {epoch + 1}: validation {found['all']:.3f} ({time.time() - began:.0f} s)")
        if best:
            save_state(run / "best.pt", model.state_dict())
        save_state(path, {"epoch": epoch + 1, "trace": json.dumps(trace),
                          **{name: part.state_dict() for name, part in parts.items()}})  # fmt: skip
        save_json(run / "trace.json", trace)
    return trace


def train_pythia(recipe: PythiaRecipe, run: Path, cache: Path, device="cpu", workers: int = 2) -> Pythia:
    """Train a scene-sized Pythia by ``recipe``; returns the best epoch's model.

    ``run`` receives regions, checkpoints and traces; ``cache`` the rendered scenes, shared between runs.
    """
    keep_freed_memory()
    remove_leftovers(run)
    seer = zoo.load(recipe.cnn, device=device, dtype=torch.float32)
    _same_run(recipe, run)
    with stage(run, "scenes", device):
        scenes = SceneSet(cache, recipe.distribution, "train", recipe.scenes, workers)
        val = SceneSet(cache, recipe.distribution, "validation", recipe.validation, workers)
    with stage(run, "regions", device):
        cnn = seer.cnn.to(memory_format=torch.channels_last)
        regions = Regions(cnn, scenes, run / "regions", "train", device)
        val_regions = Regions(cnn, val, run / "regions", "validation", device)
    model = Pythia(
        PythiaConfig(
            tuple(seer.vocabulary.words), tuple(seer.answers), scale=regions.spread(), dropout=recipe.dropout,
            cnn=cnn.config,
        )
    ).to(device)  # fmt: skip
    model.cnn.load_state_dict(cnn.state_dict())
    model.cnn.requires_grad_(False)
    with stage(run, "questions", device):
        train(model, recipe, regions, scenes.facts, val_regions, val.facts, run)
    model.load_state_dict(load_state(run / "best.pt"))
    save_json(run / "question_prior.json", question_prior(scenes.facts))
    return model.eval()


def _same_run(recipe: PythiaRecipe, run: Path) -> None:
    """The run's folder belongs to one recipe and to one CNN, whose maps it keeps."""
    path = run / "recipe.json"
    text = json.dumps({**asdict(recipe), "files": zoo.card(recipe.cnn)["files"]}, sort_keys=True)
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise QGCError(f"{run} holds a run with another recipe or another CNN; give another folder or remove it")
    write_whole(path, lambda p: p.write_text(text, encoding="utf-8"))


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
