"""What a training run leaves behind: files that are either whole or not there."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import QGCError
from ...files import atomic_write
from ...models.evaluation import not_finite


def save_array(path: Path, values: np.ndarray) -> None:
    """A NumPy array, written whole."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as handle:  # given a name, NumPy would append ".npy" to it
            np.save(handle, values)

    _write(path, write)


def save_json(path: Path, data) -> None:
    """JSON, written whole."""
    _write(path, lambda p: p.write_text(json.dumps(data, allow_nan=False), encoding="utf-8"))


def save_state(path: Path, state: dict) -> None:
    """A training checkpoint (tensors and plain data only), written whole.

    Raises
    ------
    QGCError
        If a tensor has a number that is not finite: the training diverged, and what was saved before stays.
    """
    if bad := not_finite(dict(_tensors(state))):
        raise diverged(f"{bad!r} holds numbers that are not finite", path.parent)
    _write(path, lambda p: torch.save(state, p))


def _write(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)  # of a run that begins
    atomic_write(path, write)


def check_loss(loss: float, run: Path) -> None:
    """QGCError if the loss of a step in the folder ``run`` is not finite."""
    if not math.isfinite(loss):
        raise diverged(f"the loss is {loss}", run)


def diverged(why: str, run: Path) -> QGCError:
    """What to say of the training run in the folder ``run`` that learns nothing any more."""
    return QGCError(f"the training diverged: {why}; the checkpoints in {run} are those from before; train again in "
                    "another folder, with a lower learning rate or another seed")  # fmt: skip


def _tensors(state: dict, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for key, value in state.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, dict):
            yield from _tensors(value, f"{prefix}{key}.")


def load_state(path: Path) -> dict | None:
    """A checkpoint written by :func:`save_state`, or None if there is none yet; never unpickles code."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
