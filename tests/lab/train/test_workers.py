"""Worker processes end with the process that started them, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qgc.lab.train.workers import worker_pool

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import os, time
from qgc.lab.train.workers import worker_pool

def work(seconds):
    print(os.getpid(), flush=True)
    time.sleep(seconds)

if __name__ == "__main__":
    import signal
    for ends in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ends, signal.default_int_handler)  # as in the command line, be it in the background
    with worker_pool(2) as pool:
        [job.result() for job in [pool.submit(work, 60) for _ in range(8)]]
"""


def alive(process: int) -> bool:
    """Whether the process still runs; one that has ended and that nobody has asked about counts as ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_the_main_process(ends, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    main = subprocess.Popen(
        [sys.executable, tmp_path / "program.py"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    workers = [int(main.stdout.readline()) for _ in range(2)]
    assert all(map(alive, workers))
    main.send_signal(ends)
    main.wait(timeout=20)
    until = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, workers))


def test_a_failure_in_a_worker_arrives_and_what_waits_is_given_up():
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError), worker_pool(1) as pool:
        jobs = [pool.submit(divmod, 1, 0), *[pool.submit(time.sleep, 60) for _ in range(3)]]
        jobs[0].result()
    assert time.monotonic() - began < 30


def test_each_worker_begins_with_what_it_is_told(tmp_path):
    here = os.getcwd()
    with worker_pool(1, os.chdir, (tmp_path,)) as pool:
        assert pool.submit(os.getcwd).result() == str(tmp_path) and os.getcwd() == here
