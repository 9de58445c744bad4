"""The page with execution times and versions, made again at every build from `build/timings.json` and the lock."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path("book") / "execution.md"
PLACE = "% The builder puts the times, the machine and the versions here.\n"
UNTIMED = """```{note}
This site shows the outputs that were stored with the notebooks: it was built by `make site`, which runs nothing. So no
times are known. `make book` runs the notebooks, and this page then shows what each took on *your* machine.
```
"""

VERSIONS = f"""Python {platform.python_version()}, and of the packages that the book asks for by name what
`requirements.lock` pins and `make env` installs:

| package | version |
|---|---|
"""


def processor() -> str:
    """The processor's name where the system tells it, else "CPU"."""
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        names = []
    return (names[0] if names else platform.processor() or "CPU").strip()


def graphics(device: str) -> str:
    """The name of the graphics card that a device stands for, or the device itself."""
    ask = f"import torch; print(torch.cuda.get_device_name({device!r}))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else device


def cores() -> int | None:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def machine(device: str) -> str:
    """In words, what the notebooks were run on."""
    count = cores()
    words = f"{processor()}, {count} core{'s' if count != 1 else ''}, {platform.system()} on {platform.machine()}"
    return words if device == "cpu" else f"{words}; graphics card: {graphics(device)}"


def locked(root: Path) -> dict[str, str]:
    """Name to version of what the book itself asks for, as the lock pins it for this Python and system."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [Requirement(r).name for r in [*project["dependencies"], *project["optional-dependencies"]["book"]]]
    text = (root / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    pins: dict[str, str] = {}
    for line in re.findall(r"^[A-Za-z0-9][^\n]*?(?=\s+--hash|\s*$)", text, re.MULTILINE):
        pin = Requirement(line.strip())
        if pin.marker is None or pin.marker.evaluate():
            pins[canonicalize_name(pin.name)] = str(pin.specifier).removeprefix("==")
    return {name: pins[canonicalize_name(name)] for name in asked if canonicalize_name(name) in pins}


def title(notebook: Path) -> str:
    """A notebook's first heading."""
    cells = nbformat.read(notebook, as_version=4).cells
    return next(m[1] for c in cells if (m := re.search(r"^# (.+)$", c.source, re.MULTILINE)))


def cell(text: str) -> str:
    """A text as it may be in a table."""
    return text.replace("|", r"\|")


def side_by_side(workers: int) -> str:
    """How many notebooks ran at a time, in words."""
    return "one after the other" if workers == 1 else f"{workers} of them side by side, on one thread each"


def times(root: Path, timings: dict) -> str:
    """The machine, and a row for each notebook."""
    notebooks = timings["notebooks"]
    seconds = sum(n["seconds"] for n in notebooks.values())
    rows = [
        f"| [{cell(title(root / name))}]({Path(name).relative_to('book').as_posix()}) | {n['seconds']:.1f} |"
        for name, n in notebooks.items()
    ]
    return "\n".join(
        [
            f"- **Machine:** {machine(timings['device'])}",
            f"- **Device that the notebooks were given:** `{timings['device']}`",
            f"- **All {len(rows)} notebooks:** {seconds:.0f} s of work, {side_by_side(timings['workers'])}",
            "",
            "| notebook | seconds |",
            "|---|---:|",
            *rows,
            "",
            "A notebook that nothing has changed is not run again: its row tells of its last run on this machine.",
            "",
        ]
    )


def fill(root: Path, copy: Path, as_committed: bool) -> None:
    """Put what is known into the staged copy of the page; a book without the page has none to fill."""
    page, record = copy / PAGE, root / "build" / "timings.json"
    if not page.exists():
        return
    known = record.exists() and not as_committed
    found = times(root, json.loads(record.read_text(encoding="utf-8"))) if known else UNTIMED
    versions = "\n".join(f"| {name} | {version} |" for name, version in locked(root).items())
    made = f"## Times\n\n{found}\n## Versions\n\n{VERSIONS}{versions}\n"
    page.write_text(page.read_text(encoding="utf-8").replace(PLACE, made), encoding="utf-8")
