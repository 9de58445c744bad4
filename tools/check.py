"""Everything that must hold, in one go: python tools/check.py [lint].

All checks run even after one failed; the last line counts them: a test of pytest counts as one, and so does each
other check. The exit status is 1 if anything failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / "build" / "reports"

LINT = {
    "style": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "layers": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
}
SITE = {"site": ["tools/build_book.py", "--as-committed"]}  # that the outputs are right is seen by "notebooks" below
SHARED = ["-n", "2", "--dist", "loadfile"]  # two files at a time
PYTEST = {
    "tests": ["-m", "pytest", "-q", *SHARED],
    "notebooks": [
        *["-m", "pytest", "-q", *SHARED, "--nbval", "--nbval-current-env"],
        *["--nbval-sanitize-with", "tests/nbval_sanitize.cfg", "book"],
    ],
}
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # in each of two processes


def run(name: str, arguments: list[str]) -> bool:
    """Run one check with this Python, under a heading, and say whether it passed."""
    print(f"\n== {name}", flush=True)
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=os.environ | ONE_THREAD).returncode == 0


def run_pytest(name: str, arguments: list[str]) -> tuple[int, int]:
    """Run one pytest session and count what passed and failed; a session that broke off counts as one failure."""
    report = REPORTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    good = run(name, [*arguments, f"--junitxml={report}"])
    if not report.exists():
        return 0, 1
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    tests, skipped, failed = (sum(int(s.get(k, 0)) for s in suites) for k in ("tests", "skipped", "failures"))
    failed += sum(int(s.get("errors", 0)) for s in suites)
    return tests - skipped - failed, failed if good else max(failed, 1)


def main(arguments: list[str]) -> int:
    """Run the checks, count them on the last line, and return the exit status."""
    only_lint = arguments == ["lint"]
    outcomes = [run(name, command) for name, command in (LINT if only_lint else LINT | SITE).items()]
    passed, failed = outcomes.count(True), outcomes.count(False)
    for name, command in () if only_lint else PYTEST.items():
        good, bad = run_pytest(name, command)
        passed, failed = passed + good, failed + bad
    print(f"\n{passed} passed, {failed} failed", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
