"""The one loop of training, on scenes and on photographs: steps, validation, checkpoints, and where they resume.

A recipe brings its data and its loss. All that is random in a step must follow from the seed and the step (or the
epoch) alone: then a run that was killed resumes from its last checkpoint as if nothing had happened, and ends, on
the CPU, with the same weights to the last bit.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from tqdm import tqdm

from ...errors import QGCError
from ...files import remove_leftovers
from . import memory
from .distributed import ProcessGroup
from .files import check_loss, load_state, save_state


class Trainer:
    """One training run. A subclass brings :meth:`compute_gradients` and, if there is validation, :meth:`validate`.

    Parameters
    ----------
    modules : what learns, by the names that the checkpoint has for them; of a model that is validated, ``"model"``.
    optimiser, schedule : the schedule goes on by one at each step.
    path : the checkpoint; beside it ``best.pt`` keeps the model as it was best on validation.
    total_steps : how long the whole training run is.
    checkpoint_every, validate_every : steps; the last step has both.
    identity : what must be the same for a checkpoint to be this run's.
    group : the processes that train together; the main one writes the files.
    """

    metric = "all"
    """What of a row of the trace says how good the model is."""
    patience = math.inf
    """After so many validations without a better one the training stops."""

    def __init__(
        self, modules: Mapping[str, nn.Module], optimiser: Optimizer, schedule: LRScheduler, path: Path,
        total_steps: int, *, checkpoint_every: int, validate_every: int, identity: str | None = None,
        group: ProcessGroup | None = None,
    ):  # fmt: skip
        self.modules, self.optimiser, self.schedule = modules, optimiser, schedule
        self.path, self.best_path, self.total_steps = path, path.with_name("best.pt"), total_steps
        self.checkpoint_every, self.validate_every = checkpoint_every, validate_every
        self.identity, self.group = identity, group or ProcessGroup()
        self.step, self.trace, self.seconds, self.peak_mb = 0, [], 0.0, 0.0

    # -- what a recipe brings ---------------------------------------------------------------------
    def compute_gradients(self) -> Tensor | float:
        """Put the gradients of the step ``self.step`` into the parameters; returns its loss."""
        raise NotImplementedError

    def after_step(self) -> None:
        """What else is to be done after each step."""

    def validate(self, loss: float) -> dict | None:
        """The trace's row after ``self.step`` steps, the last of which had this loss; None without validation."""

    # -- steps ------------------------------------------------------------------------------------
    def run(self, description: str, stop: int | None = None) -> None:
        """Train from the last checkpoint on, to the end or to step ``stop``, or until validation gets no better.

        Raises
        ------
        QGCError
            If the folder holds another training run's checkpoint, or a loss or a weight is no longer finite.
        """
        self.resume()
        stop = min(stop or self.total_steps, self.total_steps)
        first, before, began, score = self.step, self.seconds, time.monotonic(), {}
        with tqdm(
            total=stop, initial=self.step, desc=description, unit="step", mininterval=2,
            disable=not self.group.is_main_process,
        ) as bar:  # fmt: skip
            while self.step < stop and not self.should_stop():
                loss = float(self.compute_gradients())
                check_loss(loss, self.path.parent)  # before the weights are spoilt
                self.optimiser.step()
                self.schedule.step()
                self.step += 1
                self.after_step()
                last = self.step == stop
                row = self.validate(loss) if last or self.step % self.validate_every == 0 else None
                if row:
                    self.trace.append(row)
                    if row is self.best and self.group.is_main_process:
                        save_state(self.best_path, self.modules["model"].state_dict())
                    score["validation"] = f"{row[self.metric]:.3f}"
                self.seconds = before + time.monotonic() - began
                if row or last or self.step % self.checkpoint_every == 0:
                    self.save()
                bar.set_postfix({"loss": f"{loss:.3f}", **score}, refresh=False)
                bar.update()
        done, spent = (self.step - first, self.seconds - before) if self.step > first else (self.step, self.seconds)
        self.steps_per_second = done / max(spent, 1e-9)  # of an earlier run if there was nothing left to do

    @property
    def best(self) -> dict | None:
        """The row of the trace with the best validation, the first of equals; None if there was none yet."""
        return max(self.trace, key=lambda row: row[self.metric], default=None)

    def should_stop(self) -> bool:
        """Whether validation has not been better for long."""
        return bool(self.trace) and sum(row["step"] > self.best["step"] for row in self.trace) >= self.patience

    # -- checkpoints ------------------------------------------------------------------------------
    def _parts(self) -> dict[str, nn.Module | Optimizer | LRScheduler]:
        return {**self.modules, "optimiser": self.optimiser, "schedule": self.schedule}

    def save(self) -> None:
        """Write the checkpoint, whole."""
        self.peak_mb = max(self.peak_mb, memory.anonymous_mb() or 0)
        if not self.group.is_main_process:
            return
        counts = {"step": self.step, "seconds": self.seconds, "peak_mb": self.peak_mb, "trace": json.dumps(self.trace)}
        parts = {name: part.state_dict() for name, part in self._parts().items()}
        save_state(self.path, {"identity": self.identity, **counts, **parts})

    def resume(self) -> None:
        """Take up the checkpoint, if there is one; the main process reads it for all.

        Raises
        ------
        QGCError
            If it is another training run's.
        """
        if self.group.is_main_process:
            remove_leftovers(self.path.parent)
        state = self.group.from_main_process(lambda: load_state(self.path))
        if state is None:
            return
        if state.get("identity") != self.identity:
            raise QGCError(
                f"{self.path.parent} holds a run with another recipe, seed or data, or of an earlier version; "
                "remove it, or name another"
            )
        # Runs on scenes once counted epochs alone, at whose ends their checkpoints were, and no seconds.
        self.step = state["step"] if "step" in state else state["epoch"] * self.checkpoint_every
        self.seconds, self.peak_mb = state.get("seconds", 0.0), state.get("peak_mb", 0.0)
        self.trace = json.loads(state.get("trace", "[]"))
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def load_best(self) -> int:
        """Give the model the weights that were best on validation; returns the step that they are from."""
        self.modules["model"].load_state_dict(self.group.from_main_process(lambda: load_state(self.best_path)))
        return self.best["step"]


class EpochTrainer(Trainer):
    """A run in passes over ``count`` scenes in random order, ``batch`` a step, with a checkpoint after each pass.

    Parameters
    ----------
    loss : of the scenes of one step, by their numbers.
    cycles : the passes of each cycle of the learning rate, which rises to ``lr`` in the share ``rise`` of the cycle's
        steps and then falls; the optimiser starts afresh with each.
    limit : clips the parameters' gradients in place.
    seed : numbers from which, with the pass's behind the first, the order is drawn.
    """

    def __init__(
        self, loss: Callable[[np.ndarray], Tensor], modules: Mapping[str, nn.Module],
        parameters: Iterable[nn.Parameter], path: Path, *, count: int, batch: int, cycles: Sequence[int],
        seed: tuple[int, ...], lr: float, weight_decay: float, rise: float = 0.3,
        limit: Callable[[list[nn.Parameter]], object] = lambda parameters: None,
    ):  # fmt: skip
        self.loss, self.parameters, self.limit = loss, list(parameters), limit
        self.count, self.batch, self.seed = count, batch, seed
        self.lr, self.weight_decay, self.rise = lr, weight_decay, rise
        self.cycles = dict(zip(accumulate(cycles, initial=0), cycles, strict=False))
        self.epoch_steps = max(count // batch, 1)
        super().__init__(
            modules, *self._cycle(cycles[0]), path, sum(cycles) * self.epoch_steps,
            checkpoint_every=self.epoch_steps, validate_every=self.epoch_steps,
        )  # fmt: skip

    def _cycle(self, epochs: int) -> tuple[Optimizer, LRScheduler]:
        optimiser = torch.optim.AdamW(self.parameters, lr=self.lr, weight_decay=self.weight_decay)
        steps = epochs * self.epoch_steps
        return optimiser, OneCycleLR(optimiser, self.lr, total_steps=steps + 1, pct_start=self.rise)

    def start_epoch(self) -> None:
        """What is to be done before each pass, with ``self.rng`` fresh."""

    def compute_gradients(self) -> Tensor:
        """The gradients of the pass's next batch, clipped; returns its loss."""
        epoch, step = divmod(self.step, self.epoch_steps)
        if step == 0:  # a resumed run, too, begins here
            if epoch in self.cycles:
                self.optimiser, self.schedule = self._cycle(self.cycles[epoch])
            self.rng = np.random.default_rng([self.seed[0], epoch, *self.seed[1:]])
            self.start_epoch()
            self.order = self.rng.permutation(self.count)
        loss = self.loss(self.order[step * self.batch : (step + 1) * self.batch])
        self.optimiser.zero_grad()
        loss.backward()
        self.limit(self.parameters)
        return loss.detach()
