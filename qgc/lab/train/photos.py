"""Training of all but the CNN on the features of photographs (Antol et al. 2015, Jiang et al. 2018).

Everything random in a step follows from the seed, the step and the shard, and the questions of a step from the seed and
the step alone. So a run that was killed resumes from its last checkpoint as if nothing had happened, and ends, on the
CPU, with the same weights to the last bit; and so do several processes (:mod:`qgc.lab.train.distributed`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from ...errors import DataError
from ...models.vqa import VQA
from . import memory
from .distributed import ProcessGroup
from .encoded_questions import EncodedQuestions, unknown_word
from .image_inputs import GridInput, ImageInput
from .photo_recipes import PhotoRecipe
from .trainer import Trainer
from .vqa import without_onednn

CHECKPOINT_EVERY = 500  # steps between two checkpoints


@dataclass(frozen=True)
class Trained:
    """What came of a training run: the step whose weights the model has, of ``steps``.

    ``trace`` has ``step``, ``accuracy`` and ``loss`` of every validation; ``memory_mb`` is the peak.
    """

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


def all_but_cnn(model: VQA) -> nn.ModuleDict:
    """What learns, all but the CNN, with the parameters' names as the model has them."""
    return nn.ModuleDict({name: part for name, part in model.named_children() if name != "cnn"})


@without_onednn()
@torch.no_grad()
def predict(model: VQA, questions: EncodedQuestions, inputs: ImageInput | GridInput, group: ProcessGroup) -> np.ndarray:
    """The index of the best answer to every question (N,); each process answers its share."""
    model.eval()
    share = -(-len(questions) // group.size)
    mine = np.arange(group.rank * share, (group.rank + 1) * share) % max(len(questions), 1)
    parts = [_best_answers(model, questions, inputs, mine[i : i + inputs.chunk]) for i in range(0, share, inputs.chunk)]
    return group.all_gather(torch.cat(parts)).cpu().numpy()[: len(questions)]


def _best_answers(model: VQA, questions: EncodedQuestions, inputs: ImageInput | GridInput, rows: np.ndarray) -> Tensor:
    tokens, lengths = _tokens(questions, rows)
    z = inputs.read(questions.image[rows], model.device)
    return inputs.scores(model, tokens.to(model.device), lengths, z).argmax(1)


def _tokens(questions: EncodedQuestions, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    lengths = torch.from_numpy(questions.lengths[rows]).long()
    return torch.from_numpy(questions.tokens[rows][:, : int(lengths.max())]).long(), lengths


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
    train: EncodedQuestions,
    validation: EncodedQuestions | None,
    inputs: ImageInput | GridInput,
    folder: Path,
    group: ProcessGroup,
    *,
    seed: int = 0,
    stop: int | None = None,
    name: str = "questions",
) -> Trained:
    """Train ``model`` in place; it ends with the weights that were best on validation, or else with the last ones.

    The last ones too where a cycle of the learning rate came to its end, since its last passes, at rates near 0,
    differ by less than some hundred validation questions can tell. Mean and scale of ``inputs`` are folded in at the
    end. A checkpoint in ``folder`` every :data:`CHECKPOINT_EVERY` steps, and at every validation, makes it resumable.

    Parameters
    ----------
    stop : end after this step of the recipe's schedule (the choice of an earlier run with validation).
    name : what the progress bar says.

    Raises
    ------
    QGCError
        If ``folder`` holds the checkpoint of another training run, or this one diverges.
    DataError
        If there is no question to learn from.
    """
    if not len(train):
        raise DataError("no question to learn from is left; is the answer vocabulary of these questions?")
    torch.manual_seed(seed)  # of the initial weights, drawn on the CPU: so they are the same on every device
    inputs.start(model, recipe)
    model.to(group.device)
    trainer = PhotoTrainer(model, recipe, train, validation, inputs, folder / "state.pt", group, seed)
    trainer.run(name, stop)
    step = trainer.step
    # After a whole cycle the last weights stay (see above); a stopped or constant schedule has no such end.
    if trainer.best and not (recipe.cycle and step == trainer.total_steps):
        step = trainer.load_best()
    inputs.fold(model)  # after the choice: checkpoints hold the weights before it
    model.eval()
    peaks = {"cpu": round(trainer.peak_mb), **memory.gpu_mb(group.device)}
    speed = round(trainer.steps_per_second * recipe.batch, 1)
    return Trained(step, trainer.total_steps, trainer.trace, round(trainer.seconds, 1), speed, peaks)


class PhotoTrainer(Trainer):
    """All of a model but its CNN learns from questions about photographs, a step's in shards."""

    metric = "accuracy"

    def __init__(
        self, model: VQA, recipe: PhotoRecipe, train: EncodedQuestions, validation: EncodedQuestions | None,
        inputs: ImageInput | GridInput, path: Path, group: ProcessGroup, seed: int,
    ):  # fmt: skip
        self.model, self.recipe, self.train, self.validation = model, recipe, train, validation
        self.inputs, self.seed, self.patience = inputs, seed, recipe.patience
        self.shards = group.shards(recipe.shards)
        self.unknown = unknown_word(model.vocabulary)
        learning = all_but_cnn(model)
        self.parameters = list(learning.parameters())
        optimiser, total_steps = _optimiser(recipe, learning, inputs), recipe.total_steps(len(train))
        schedule = LambdaLR(optimiser, lambda step: recipe.learning_rate_at(step, total_steps))
        epoch_steps = max(1, round(len(train) / recipe.batch))
        super().__init__(
            {"model": learning}, optimiser, schedule, path, total_steps, checkpoint_every=CHECKPOINT_EVERY,
            validate_every=recipe.validate_every or epoch_steps, identity=self._identity(), group=group,
        )  # fmt: skip

    def _identity(self) -> str:
        """The checksum of recipe, seed and data; not of the number of processes, which changes nothing."""
        digest = hashlib.sha256(json.dumps([asdict(self.recipe), self.seed, self.inputs.blind]).encode())
        for questions in (self.train, self.validation):
            for values in (questions.tokens, questions.image, questions.target) if questions else ():
                digest.update(np.ascontiguousarray(values))
        digest.update("\n".join([*self.model.vocabulary.words, *self.model.answers]).encode())
        digest.update(np.ascontiguousarray(self.inputs.features.rows[:1]))
        for word, vector in self.inputs.vectors.items():
            digest.update(word.encode() + vector.numpy().tobytes())
        return digest.hexdigest()

    def validate(self, loss: float) -> dict | None:
        """The accuracy on validation, if there is one."""
        if self.validation is None:
            return None
        accuracy = self.validation.score(predict(self.model, self.validation, self.inputs, self.group))
        return {"step": self.step, "accuracy": accuracy, "loss": loss}

    def compute_gradients(self) -> float:
        """The gradients of a step's batch, summed over its shards in a fixed order; returns its loss."""
        self.model.train()
        rows = rows_of(self.step, self.recipe.batch, len(self.train), self.seed)
        total = self.group.total(self._gradients(rows))
        gradient = _clipped(total[:-1], self.recipe)
        for p, part in zip(self.parameters, gradient.split([p.numel() for p in self.parameters]), strict=True):
            p.grad = part.view_as(p)
        return float(total[-1])

    def _gradients(self, rows: np.ndarray) -> Iterator[Tensor]:
        """Of every shard of this process: all gradients in one vector, and behind them the loss."""
        cut = np.array_split(rows, self.recipe.shards)
        for shard in self.shards:
            self._seed(shard)
            loss = self._loss(cut[shard]) / len(rows)
            gradients = torch.autograd.grad(loss, self.parameters)
            yield torch.cat([*(g.reshape(-1) for g in gradients), loss.detach().reshape(1)])

    def _seed(self, shard: int) -> None:
        """Set what dropout draws from, and that alone: torch.manual_seed also tells every kind of device, slowly."""
        number = int(np.random.SeedSequence([self.seed, self.step, shard]).generate_state(1, np.uint64)[0] >> 1)
        torch.default_generator.manual_seed(number)
        if self.group.device.type == "cuda":
            torch.cuda.manual_seed(number)

    def _loss(self, rows: np.ndarray) -> Tensor:
        device, recipe = self.group.device, self.recipe
        tokens, lengths = _tokens(self.train, rows)
        if recipe.unknown:
            tokens[(torch.rand(tokens.shape) < recipe.unknown) & (tokens > 0)] = self.unknown
        z = self.inputs.read(self.train.image[rows], device)
        y = self.inputs.scores(self.model, tokens.to(device), lengths, z)
        if recipe.soft:
            target = self.train.soft(rows, y.shape[1]).to(device)
            return nn.functional.binary_cross_entropy_with_logits(y, target, reduction="sum")
        target = torch.from_numpy(self.train.target[rows]).long().to(device)
        return nn.functional.cross_entropy(y, target, reduction="sum", label_smoothing=recipe.smoothing)


def _clipped(gradient: Tensor, recipe: PhotoRecipe) -> Tensor:
    """All gradients in one vector, each within ±``clamp`` and their length at most ``clip``, where these are given."""
    if recipe.clamp:
        gradient = gradient.clamp(-recipe.clamp, recipe.clamp)
    if recipe.clip:
        gradient = gradient * (recipe.clip / gradient.norm().clamp_min(1e-6)).clamp_max(1)
    return gradient


def _optimiser(recipe: PhotoRecipe, learning: nn.Module, inputs: ImageInput | GridInput) -> torch.optim.Optimizer:
    reading = [p for name, p in learning.named_parameters() if inputs.reads(name)]
    others = [p for name, p in learning.named_parameters() if not inputs.reads(name)]
    groups = [{"params": others, "lr": 1.0}, {"params": reading, "lr": recipe.image_lr}]  # times the schedule's
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)
    if recipe.optimiser == "adamax":
        return torch.optim.Adamax(groups, weight_decay=recipe.weight_decay)
    return torch.optim.RMSprop(groups, alpha=0.99, eps=1e-8, weight_decay=recipe.weight_decay)
