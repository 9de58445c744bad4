"""Files that are either whole or not there, and checkpoints that are never executed."""

from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from qgc.errors import QGCError
from qgc.files import atomic_write, remove_leftovers
from qgc.lab.train import files


def names(folder: Path) -> list[str]:
    """What is in a folder, hidden files too."""
    return sorted(p.name for p in folder.iterdir())


def fail(*args, **kwargs):
    """What a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half(path: Path) -> None:
    """Write a little, then run out of room."""
    path.write_bytes(b"half")
    fail()


def test_a_file_is_written_whole_into_a_new_folder(tmp_path):
    files.save_json(tmp_path / "a" / "b.json", "whole")
    assert (tmp_path / "a" / "b.json").read_text() == '"whole"' and names(tmp_path / "a") == ["b.json"]


@pytest.mark.parametrize("stop", [OSError, KeyboardInterrupt, ValueError])
def test_a_failure_leaves_the_earlier_file(tmp_path, stop):
    path = tmp_path / "b.txt"
    path.write_text("earlier")

    def write(temporary: Path) -> None:
        temporary.write_text("half")
        raise stop

    with pytest.raises(stop):
        atomic_write(path, write)
    assert path.read_text() == "earlier" and names(tmp_path) == ["b.txt"]


@pytest.mark.parametrize("write", [half, lambda p: p.write_text("new")], ids=["writing", "moving"])
def test_a_full_disk_leaves_the_earlier_file(tmp_path, monkeypatch, write):
    path = tmp_path / "b.txt"
    path.write_text("earlier")
    if write is not half:
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left on device"):
        atomic_write(path, write)
    assert path.read_text() == "earlier" and names(tmp_path) == ["b.txt"]


@pytest.mark.parametrize("missing", ["a/b.txt", "."])
def test_where_nothing_can_be_written_one_sentence_says_so(tmp_path, monkeypatch, missing):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(QGCError, match="there is no folder .*/a; make it first|is a folder; name a file in it"):
        atomic_write(Path(missing), lambda p: p.write_text("never"))
    assert names(tmp_path) == []


def test_an_error_names_the_file_that_was_meant(tmp_path):
    def write(temporary: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))

    with pytest.raises(PermissionError) as error:
        atomic_write(tmp_path / "b.txt", write)
    assert error.value.filename == str(tmp_path / "b.txt")


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real.txt").write_text("earlier")
    (tmp_path / "link.txt").symlink_to(tmp_path / "far" / "real.txt")
    (tmp_path / "new.txt").symlink_to("far/new.txt")
    for name in ("link.txt", "new.txt"):
        atomic_write(tmp_path / name, lambda p: p.write_text("new"))
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "far" / "real.txt").read_text() == (tmp_path / "far" / "new.txt").read_text() == "new"
    assert names(tmp_path / "far") == ["new.txt", "real.txt"]


@pytest.mark.parametrize("letter", ["x", "é", "🐈"])
def test_a_name_may_be_as_long_as_a_file_system_takes(tmp_path, letter):
    name = letter * ((255 - len(".json")) // len(letter.encode())) + ".json"
    atomic_write(tmp_path / name, lambda p: p.write_text("whole"))
    assert names(tmp_path) == [name]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_written_into(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit((tmp_path / "pipe").read_text)
        atomic_write(tmp_path / "pipe", lambda p: p.write_text("through"))
    assert read.result() == "through" and (tmp_path / "pipe").is_fifo() and names(tmp_path) == ["pipe"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_device_stays_a_device():
    with pytest.raises(OSError, match="No space left"):
        atomic_write(Path("/dev/full"), lambda p: p.write_text("x"))
    assert Path("/dev/full").is_char_device()


@pytest.mark.skipif(os.name == "nt", reason="there the files stay")
def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / "below").mkdir()
    running = os.getppid()
    kept = [f".best.pt.{running}.tmp", "best.pt", f"b.{ended.pid}.tmp", ".mine.tmp", f".x.{'9' * 30}.tmp"]
    for name in [*kept, f".best.pt.{ended.pid}.tmp", f"below/.a.npy.{ended.pid}.tmp", f".own.pt.{os.getpid()}.tmp"]:
        (tmp_path / name).write_text("half")
    remove_leftovers(tmp_path)
    assert names(tmp_path) == sorted([*kept, "below"]) and names(tmp_path / "below") == []


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


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
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
