"""Kill −9 at random moments, for the tests of what can be resumed. QGC_SLOW=1 has 50 of them instead of a few."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable

import numpy as np

KILLS = 25 if os.environ.get("QGC_SLOW") else 3  # each in extraction and in training


def killed_until_done(work: Callable[[], object], kills: int = KILLS, seed: int = 0) -> int:
    """Run ``work`` in one process after the other; ``kills`` of them are killed early, the last one may finish.

    The moments are spread over about as much time as the work takes, so that it is seen at all of its stages. Returns
    how many were killed before they had done all.
    """
    fork, rng, killed = multiprocessing.get_context("fork"), np.random.default_rng(seed), 0
    pace = 2.0 / kills
    for _ in range(kills):
        child = fork.Process(target=work)
        child.start()
        time.sleep(float(rng.uniform(0.02, pace)))
        if child.is_alive():
            os.kill(child.pid, signal.SIGKILL)
            killed += 1
        child.join()
    child = fork.Process(target=work)
    child.start()
    child.join()
    assert child.exitcode == 0
    return killed
