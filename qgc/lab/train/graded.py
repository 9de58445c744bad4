"""Models that are blind to the question by degrees, for protocol 2 (book/protocol-2.md).

A cell of the grid is a distribution of scenes and what the CNN was pre-trained to see: ``"bound"`` names (object,
color) pairs, so that the CNN can bind a color to its object, ``"unbound"`` names objects and colors apart, so that
it cannot. All else is equal. Each cell has one CNN, which stays as it is; five seeds of the question and answer side
learn from its features, and each of them is looked at in six moments of its training. So seeds do not vary the CNN.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from pathlib import Path

from ...errors import QGCError
from ...models.deeper_lstm import DeeperLSTM
from .recipes import Recipe
from .run import train_scenes

SEEDS = 5


@dataclass(frozen=True)
class Cell:
    """One CNN: ``distribution`` of the scenes (natural or balanced), ``labels`` of its pre-training (bound or not)."""

    distribution: str
    labels: str

    @property
    def name(self) -> str:
        """For example ``natural-unbound``."""
        return f"{self.distribution}-{self.labels}"

    def recipe(self, seed: int = 0) -> Recipe:
        """The one recipe of all cells: the CNN's last maps detect its labels, fc6 and fc7 pass their sums on."""
        return Recipe(
            self.distribution, self.labels, cnn_cycles=(6,), detectors=True, vqa_epochs=16, vqa_lr=5e-3,
            start="scaled", dropout=0.1, word_noise=0.5, question_seed=seed,
        )  # fmt: skip


CELLS = tuple(Cell(d, labels) for d, labels in product(("natural", "balanced"), ("unbound", "bound")))


def cell(name: str) -> Cell:
    """The cell of this name.

    Raises
    ------
    QGCError
        If there is none.
    """
    for one in CELLS:
        if one.name == name:
            return one
    raise QGCError(f"there is no cell {name!r}; there are {', '.join(c.name for c in CELLS)}")


def run_of(runs: Path, one: Cell, seed: int) -> Path:
    """The folder of one training run of the question and answer side."""
    return runs / "graded" / f"{one.name}-seed{seed}"


def train(one: Cell, seed: int, runs: Path, cache: Path, device="cpu", workers: int = 2) -> DeeperLSTM:
    """Train a cell's CNN, if that was not done yet, and one question and answer side; a stopped one resumes."""
    folder = run_of(runs, one, seed)
    return train_scenes(
        one.recipe(seed), folder, cache, device, workers, cnn_run=folder.with_name(f"{one.name}-cnn")
    )  # fmt: skip
