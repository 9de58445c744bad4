"""Ends before the end, for the tests of what can be resumed: kill −9 at random moments, and a training broken off.

QGC_SLOW=1 has 50 kills instead of a few.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from qgc.lab.train import photos

KILLS = 25 if os.environ.get("QGC_SLOW") else 2  # each in extraction and in training


def killed_and_done(work: Callable[[Path], object], place: Path, kills: int = KILLS) -> Iterator[Path]:
    """Do ``work`` in ``kills`` folders, in a process each that is killed at a random moment, then in one that may end.

    The moments are spread over the time that the work takes if nobody kills it. Yields each folder when it is done.
    """
    began = time.monotonic()
    assert done(work, place / "timed") == 0
    takes = time.monotonic() - began
    rng, killed = np.random.default_rng(), 0
    for i in range(kills):
        folder = place / f"killed-{i}"
        child = started(work, folder)
        time.sleep(takes * float(rng.uniform(0.05, 0.45) + 0.45 * (i % 2)))  # in the first half, then in the second
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.join()
        assert done(work, folder) == 0
        yield folder
    assert killed > 0  # not all: the machine may be quicker now than when it was timed


def started(work: Callable[[Path], object], folder: Path) -> multiprocessing.Process:
    """The work in a process of its own."""
    child = multiprocessing.get_context("fork").Process(target=work, args=(folder,))
    child.start()
    return child


def done(work: Callable[[Path], object], folder: Path) -> int | None:
    """The work to its end; the exit status."""
    child = started(work, folder)
    child.join()
    return child.exitcode


def interrupted(monkeypatch, work: Callable[[], object], steps: int) -> list[int]:
    """Break ``work``, a training on photographs, off before its ``steps``-th step; gives the steps begun, ever after.

    It keeps a checkpoint every second step.
    """
    monkeypatch.setattr(photos, "KEEP_EVERY", 2)
    advance, begun = photos._Run.advance, []

    def stop(self):
        begun.append(self.step)
        if len(begun) == steps:
            raise KeyboardInterrupt
        return advance(self)

    monkeypatch.setattr(photos._Run, "advance", stop)
    with pytest.raises(KeyboardInterrupt):
        work()
    return begun
