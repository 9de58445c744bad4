"""Files that are either whole or not there, and checkpoints that are never executed."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch

from qgc.errors import QGCError
from qgc.train import files


def names(folder: Path) -> list[str]:
    """What lies in a folder, hidden files too."""
    return sorted(p.name for p in folder.iterdir())


def fail(*args, **kwargs):
    """What a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half(path: Path) -> None:
    """Write a little, then run out of room."""
    path.write_bytes(b"half")
    fail()


def test_a_file_is_written_whole_into_a_new_folder(tmp_path):
    files.write_whole(tmp_path / "a" / "b.txt", lambda p: p.write_text("whole"))
    assert (tmp_path / "a" / "b.txt").read_text() == "whole" and names(tmp_path / "a") == ["b.txt"]


@pytest.mark.parametrize("stop", [OSError, KeyboardInterrupt, ValueError])
def test_a_failure_leaves_the_earlier_file(tmp_path, stop):
    path = tmp_path / "b.txt"
    path.write_text("earlier")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise stop

    with pytest.raises(stop):
        files.write_whole(path, write)
    assert path.read_text() == "earlier" and names(tmp_path) == ["b.txt"]


@pytest.mark.parametrize("write", [half, lambda p: p.write_text("new")], ids=["writing", "moving"])
def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch, write):
    path = tmp_path / "b.txt"
    path.write_text("earlier")
    if write is not half:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left on device"):
        files.write_whole(path, write)
    assert path.read_text() == "earlier" and names(tmp_path) == ["b.txt"]


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "state.pt"
    files.save_state(path, {"epoch": 1})
    monkeypatch.setattr(torch, "save", lambda state, p: half(p))
    with pytest.raises(OSError, match="No space left"):
        files.save_state(path, {"epoch": 2})
    assert files.load_state(path) == {"epoch": 1} and names(tmp_path) == ["state.pt"]


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_checkpoint_that_is_not_finite_leaves_the_earlier_one(tmp_path, bad):
    path = tmp_path / "state.pt"
    files.save_state(path, {"model": {"w": torch.ones(2)}, "epoch": 1})
    for state, name in (
        ({"model": {"w": torch.tensor([1, bad])}, "epoch": 2}, "model.w"),
        ({"optimiser": {"state": {3: {"exp_avg": torch.tensor([bad])}}}}, "optimiser.state.3.exp_avg"),
    ):
        with pytest.raises(QGCError, match=f"the training diverged: '{name}' holds .* from before; train again in ano"):
            files.save_state(path, state)
    assert files.load_state(path)["epoch"] == 1 and names(tmp_path) == ["state.pt"]


@pytest.mark.parametrize("loss", [float("nan"), torch.tensor(torch.inf)])
def test_a_loss_that_is_not_finite_ends_the_training(tmp_path, loss):
    files.check_loss(1.0, tmp_path)
    with pytest.raises(
        QGCError, match="the training diverged: the loss is (nan|inf); .* lower learning rate or another"
    ):
        files.check_loss(loss, tmp_path)


def test_json_is_json(tmp_path):
    files.save_json(tmp_path / "a.json", {"accuracy": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.save_json(tmp_path / "a.json", {"accuracy": float("nan")})
    assert (tmp_path / "a.json").read_text() == '{"accuracy": 1.0}' and names(tmp_path) == ["a.json"]


def test_a_state_comes_back(tmp_path):
    path = tmp_path / "state.pt"
    assert files.load_state(path) is None
    files.save_state(path, {"epoch": 3, "weights": torch.arange(3.0), "trace": "[1]"})
    state = files.load_state(path)
    assert state["epoch"] == 3 and state["trace"] == "[1]" and state["weights"].tolist() == [0, 1, 2]


class Malicious:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def plain_pickle(state: dict, path: Path) -> None:
    """Write without torch."""
    path.write_bytes(pickle.dumps(state, protocol=2))


@pytest.mark.parametrize("write", [torch.save, plain_pickle])
def test_a_malicious_checkpoint_is_not_executed(tmp_path, write):
    trace, path = tmp_path / "executed", tmp_path / "state.pt"
    write({"epoch": Malicious(trace)}, path)
    with pytest.raises(pickle.UnpicklingError):
        files.load_state(path)
    assert not trace.exists()
