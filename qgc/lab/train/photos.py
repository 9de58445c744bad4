"""Training of all but the CNN on the features of photographs (Antol et al. 2015, Jiang et al. 2018).

Everything random in a step follows from the seed, the step and the shard, and the questions of a step from the seed and
the step alone. So a run that was killed goes on from its last checkpoint as if nothing had happened, and ends, on the
CPU, with the same weights to the last bit; and so do several processes (:mod:`qgc.lab.train.distributed`).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...errors import DataError, QGCError
from ...models.vqa import VQA
from . import memory
from .asked import Asked, unknown_word
from .distributed import Team
from .files import check_loss, load_state, save_state
from .photo_recipes import PhotoRecipe
from .sights import GridSight, Sight
from .vqa import without_onednn

KEEP_EVERY = 500  # steps between two checkpoints


@dataclass(frozen=True)
class Trained:
    """What came of a training: the step whose weights the model has, of ``steps``; the trace of what validation said
    (``step``, ``accuracy``, ``loss``); questions a second; peak memory in MB."""

    step: int
    steps: int
    trace: list[dict]
    seconds: float
    questions_per_second: float
    memory_mb: dict[str, float]

    @property
    def accuracy(self) -> float | None:
        """On validation, with these weights; None if there was no validation."""
        return next((row["accuracy"] for row in self.trace if row["step"] == self.step), None)


def side(model: VQA) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name: all but the CNN's."""
    return {name: p for name, p in model.named_parameters() if not name.startswith("cnn.")}


@without_onednn()
@torch.no_grad()
def predict(model: VQA, asked: Asked, sight: Sight | GridSight, team: Team) -> np.ndarray:
    """The index of the best answer to every question (N,); each process answers its share."""
    model.eval()
    share = -(-len(asked) // team.size)
    mine = np.arange(team.rank * share, (team.rank + 1) * share) % max(len(asked), 1)
    parts = [_best(model, asked, sight, mine[i : i + sight.chunk]) for i in range(0, share, sight.chunk)]
    return team.joined(torch.cat(parts)).cpu().numpy()[: len(asked)]


def _best(model: VQA, asked: Asked, sight: Sight | GridSight, rows: np.ndarray) -> Tensor:
    tokens, lengths = _words(asked, rows)
    z = sight.of(asked.image[rows], model.device)
    return sight.scores(model, tokens.to(model.device), lengths, z).argmax(1)


def _words(asked: Asked, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    lengths = torch.from_numpy(asked.lengths[rows]).long()
    return torch.from_numpy(asked.tokens[rows][:, : int(lengths.max())]).long(), lengths


# -- learning -----------------------------------------------------------------------------------------
def rows_of(step: int, batch: int, count: int, seed: int) -> np.ndarray:
    """The questions of a step: the next ``batch`` of one pass after the other, each in an order of its own."""
    places = np.arange(step * batch, (step + 1) * batch)
    rows = np.empty(batch, np.int64)
    for epoch in np.unique(places // count):
        here = places // count == epoch
        rows[here] = _order(seed, int(epoch), count)[places[here] % count]
    return rows


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count).astype(np.int32)


@without_onednn()
def fit(
    model: VQA,
    recipe: PhotoRecipe,
    train: Asked,
    validation: Asked | None,
    sight: Sight | GridSight,
    folder: Path,
    team: Team,
    *,
    seed: int = 0,
    stop: int | None = None,
    name: str = "questions",
) -> Trained:
    """Train ``model`` in place; it ends with the weights that were best on validation, or else with the last ones.

    The last ones too where a cycle of the learning rate came to its end, since its last passes, at rates near 0,
    differ by less than some hundred validation questions can tell. Mean and scale of ``sight`` are folded in at the
    end. A checkpoint in ``folder`` every :data:`KEEP_EVERY` steps, and at every look at validation, makes it resumable.

    Parameters
    ----------
    stop : end after this step of the recipe's schedule (the choice of an earlier training with validation).
    name : what the progress bar says.

    Raises
    ------
    QGCError
        If ``folder`` holds the checkpoint of another training, or this one diverges.
    DataError
        If there is no question to learn from.
    """
    if not len(train):
        raise DataError("no question to learn from is left; is the answer vocabulary of these questions?")
    run = _Run(model, recipe, train, validation, sight, folder, team, seed)
    run.resume()
    return run.finish(min(stop or run.steps, run.steps), name)


class _Run:
    """The state of one training, from checkpoint to checkpoint."""

    def __init__(self, model, recipe, train, validation, sight, folder, team, seed):
        self.model, self.recipe, self.train, self.validation = model, recipe, train, validation
        self.sight, self.team, self.seed = sight, team, seed
        self.path = folder / "state.pt"
        self.shards = team.shards(recipe.shards)
        self.steps = recipe.length(len(train))
        self.look = recipe.look or max(1, round(len(train) / recipe.batch))
        torch.manual_seed(seed)
        sight.start(model, recipe)
        model.to(team.device)
        self.side = side(model)
        self.unknown = unknown_word(model.vocabulary)
        self.optimiser = _optimiser(recipe, self.side, sight)
        self.step, self.seconds, self.trace, self.best = 0, 0.0, [], None
        self.first, self.began, self.peak = 0, 0.0, 0.0

    # -- checkpoints ------------------------------------------------------------------------------
    def _identity(self) -> str:
        """What must be the same for a checkpoint to be this training's: all but the number of processes."""
        digest = hashlib.sha256(json.dumps([asdict(self.recipe), self.seed, self.sight.blind]).encode())
        for asked in (self.train, self.validation):
            for values in (asked.tokens, asked.image, asked.target) if asked else ():
                digest.update(np.ascontiguousarray(values))
        digest.update("\n".join([*self.model.vocabulary.words, *self.model.answers]).encode())
        digest.update(np.ascontiguousarray(self.sight.features.rows[:1]))
        for word, vector in self.sight.vectors.items():
            digest.update(word.encode() + vector.numpy().tobytes())
        return digest.hexdigest()

    def resume(self) -> None:
        """Take up the checkpoint, if there is one; the leading process reads it for all."""
        if self.team.leads:
            for stale in self.path.parent.glob(f".{self.path.name}.*.tmp"):  # of a process that was killed
                stale.unlink()
        self.identity = self._identity()
        state = self.team.from_leader(lambda: load_state(self.path))
        if state is None:
            return
        if state["identity"] != self.identity:
            raise QGCError(
                f"{self.path.parent} holds a training with another recipe, seed or data; remove it, or name another"
            )
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.trace, self.peak = json.loads(state["trace"]), state["peak"]
        self.model.load_state_dict(state["side"], strict=False)
        self.optimiser.load_state_dict(state["optimiser"])

    def keep(self) -> None:
        """Write the checkpoint whole; everything random and the learning rate follow from seed and step."""
        self.peak = max(self.peak, memory.anonymous_mb() or 0)
        if self.team.leads:
            save_state(
                self.path,
                {
                    "identity": self.identity,
                    "step": self.step,
                    "seconds": self.seconds + time.monotonic() - self.began,
                    "trace": json.dumps(self.trace),
                    "peak": self.peak,
                    "side": _copy(self.side),
                    "optimiser": self.optimiser.state_dict(),
                    "best": self.best,
                },
            )

    # -- steps ------------------------------------------------------------------------------------
    def finish(self, stop: int, name: str) -> Trained:
        """Go on to step ``stop``, or until validation has not been better for long."""
        self.first, self.began = self.step, time.monotonic()
        with tqdm(
            total=stop, initial=self.step, desc=name, unit="step", mininterval=2, disable=not self.team.leads
        ) as bar:
            while self.step < stop and not self._tired():
                loss = self.advance()
                check_loss(loss, self.path.parent)
                self.step += 1
                bar.update()
                looked = self.validation is not None and (self.step % self.look == 0 or self.step == stop)
                if looked:
                    self._look(loss)
                    bar.set_postfix(loss=f"{loss:.2f}", validation=f"{self.trace[-1]['accuracy']:.3f}")
                if looked or self.step % KEEP_EVERY == 0 or self.step == stop:
                    self.keep()
        spent = time.monotonic() - self.began
        done = (self.step - self.first) * self.recipe.batch
        self.seconds += spent
        step = self.step
        finished = self.recipe.cycle and self.step == self.steps
        if self.best and not finished:
            step = self.best["step"]
            self.model.load_state_dict(self.best["side"], strict=False)
        self.sight.fold(self.model)
        self.model.eval()
        rate = done / spent if done else self.step * self.recipe.batch / max(self.seconds, 1e-9)
        peaks = {"cpu": round(self.peak), **memory.gpu_mb(self.team.device)}
        return Trained(step, self.steps, self.trace, round(self.seconds, 1), round(rate, 1), peaks)

    def _tired(self) -> bool:
        since = [row for row in self.trace if self.best and row["step"] > self.best["step"]]
        return len(since) >= self.recipe.patience

    def _look(self, loss: float) -> None:
        accuracy = self.validation.score(predict(self.model, self.validation, self.sight, self.team))
        self.trace.append({"step": self.step, "accuracy": accuracy, "loss": loss})
        if self.best is None or accuracy > self.best["accuracy"]:
            self.best = {"step": self.step, "accuracy": accuracy, "side": _copy(self.side)}

    def advance(self) -> float:
        """One step of the optimiser; returns the mean loss of its questions."""
        self.model.train()
        rows = rows_of(self.step, self.recipe.batch, len(self.train), self.seed)
        total = self.team.total(self._gradients(rows))
        gradient = _limited(total[:-1], self.recipe)
        for p, part in zip(self.side.values(), gradient.split([p.numel() for p in self.side.values()]), strict=True):
            p.grad = part.view_as(p)
        rate = self.recipe.rate(self.step, self.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["times"]
        self.optimiser.step()
        return float(total[-1])

    def _gradients(self, rows: np.ndarray) -> Iterator[Tensor]:
        """Of every shard of this process: all gradients in one vector, and behind them the loss."""
        cut = np.array_split(rows, self.recipe.shards)
        for shard in self.shards:
            self._seed(shard)
            loss = self._loss(cut[shard]) / len(rows)
            gradients = torch.autograd.grad(loss, list(self.side.values()))
            yield torch.cat([*(g.reshape(-1) for g in gradients), loss.detach().reshape(1)])

    def _seed(self, shard: int) -> None:
        """Set what dropout draws from, and that alone: torch.manual_seed also tells every kind of device, slowly."""
        number = int(np.random.SeedSequence([self.seed, self.step, shard]).generate_state(1, np.uint64)[0] >> 1)
        torch.default_generator.manual_seed(number)
        if self.team.device.type == "cuda":
            torch.cuda.manual_seed(number)

    def _loss(self, rows: np.ndarray) -> Tensor:
        device, recipe = self.team.device, self.recipe
        tokens, lengths = _words(self.train, rows)
        if recipe.unknown:
            tokens[(torch.rand(tokens.shape) < recipe.unknown) & (tokens > 0)] = self.unknown
        z = self.sight.of(self.train.image[rows], device)
        y = self.sight.scores(self.model, tokens.to(device), lengths, z)
        if recipe.soft:
            target = self.train.soft(rows, y.shape[1]).to(device)
            return nn.functional.binary_cross_entropy_with_logits(y, target, reduction="sum")
        target = torch.from_numpy(self.train.target[rows]).long().to(device)
        return nn.functional.cross_entropy(y, target, reduction="sum", label_smoothing=recipe.smoothing)


def _limited(gradient: Tensor, recipe: PhotoRecipe) -> Tensor:
    """All gradients in one vector, each within ±``clamp`` and their length at most ``clip``, where these are given."""
    if recipe.clamp:
        gradient = gradient.clamp(-recipe.clamp, recipe.clamp)
    if recipe.clip:
        gradient = gradient * (recipe.clip / gradient.norm().clamp_min(1e-6)).clamp_max(1)
    return gradient


def _optimiser(recipe: PhotoRecipe, learning: dict[str, nn.Parameter], sight) -> torch.optim.Optimizer:
    reading = [p for name, p in learning.items() if sight.reads(name)]
    others = [p for name, p in learning.items() if not sight.reads(name)]
    groups = [{"params": others, "times": 1.0}, {"params": reading, "times": recipe.image_lr}]
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)
    if recipe.optimiser == "adamax":
        return torch.optim.Adamax(groups, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.RMSprop(groups, lr=recipe.lr, alpha=0.99, eps=1e-8, weight_decay=recipe.weight_decay)


def _copy(learning: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    return {name: p.detach().cpu().clone() for name, p in learning.items()}
