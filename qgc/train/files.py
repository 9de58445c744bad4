"""What a training run leaves behind: files that are either whole or not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from .. import files


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """:func:`qgc.files.write_whole`, in a folder that is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(path, write)


def save_array(path: Path, values: np.ndarray) -> None:
    """A NumPy array, written whole."""

    def write(temporary: Path) -> None:
        with temporary.open("wb") as handle:  # given a name, NumPy would append ".npy" to it
            np.save(handle, values)

    write_whole(path, write)


def save_json(path: Path, data) -> None:
    """JSON, written whole."""
    write_whole(path, lambda p: p.write_text(json.dumps(data), encoding="utf-8"))


def save_state(path: Path, state: dict) -> None:
    """A training checkpoint (tensors and plain data only), written whole."""
    write_whole(path, lambda p: torch.save(state, p))


def load_state(path: Path) -> dict | None:
    """A checkpoint written by :func:`save_state`, or None if there is none yet; never unpickles code."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
