"""A thousand wrong inputs: each gives a result or one documented error, soon, and in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from fuzz_inputs import KINDS

PROGRAM = Path(__file__).with_name("fuzz_inputs.py")
INPUTS = 1200 if os.environ.get("QGC_SLOW") else 100
MOST_MEGABYTES = 1500
LONGEST_MESSAGE = 2500


def handed_in(inputs: int) -> list[dict]:
    """How each input ended; the process is started again behind one that ended it."""
    found: list[dict] = []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROGRAM.parents[1]), "MPLBACKEND": "agg"}
    while len(found) < inputs:
        command = [sys.executable, str(PROGRAM), str(len(found)), str(inputs)]
        run = subprocess.run(command, capture_output=True, env=environment)
        said = [json.loads(line) for line in run.stdout.splitlines()]
        found += said
        if len(found) < inputs:
            message = f"ended with status {run.returncode}: {run.stderr.decode()[-500:]}"
            kind = KINDS[len(found) % len(KINDS)].__name__
            found.append({"number": len(found), "kind": kind, "end": "hang", "message": message, "megabytes": 0})
    return found


def test_every_input_gives_a_result_or_a_documented_error():
    found = handed_in(INPUTS)
    counts = Counter((row["kind"], row["end"]) for row in found)
    print("\n" + "\n".join(f"{kind:10s} {end:10s} {n}" for (kind, end), n in sorted(counts.items())))
    print(f"{max(row['megabytes'] for row in found)} MB")
    wrong = [row for row in found if row["end"] not in ("result", "refused")]
    assert not wrong, "\n".join(f"{row['number']} {row['kind']}: {row['message']}" for row in wrong)
    fat = next((row for row in found if row["megabytes"] > MOST_MEGABYTES), None)
    assert fat is None, f"input {fat['number']} ({fat['kind']}) took {fat['megabytes']} MB"
    long = [row["number"] for row in found if len(row["message"]) > LONGEST_MESSAGE]
    assert not long, f"messages that repeat what was handed in: {long}"
    assert all(counts[kind.__name__, "refused"] for kind in KINDS)
