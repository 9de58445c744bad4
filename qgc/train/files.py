"""Files that are either whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch


def write_whole(path: Path, write) -> None:
    """Call ``write(temporary path)``, then move the file into place; a failure leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def save_json(path: Path, data) -> None:
    """JSON, written whole."""
    write_whole(path, lambda p: p.write_text(json.dumps(data)))


def save_state(path: Path, state: dict) -> None:
    """A training checkpoint (tensors and plain data only), written whole."""
    write_whole(path, lambda p: torch.save(state, p))


def load_state(path: Path) -> dict | None:
    """A checkpoint written by :func:`save_state`, or None if there is none yet; never unpickles code."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
