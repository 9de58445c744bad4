"""Make `qgc` importable in the running kernel from the clone that this file is in: what a notebook's setup cell runs.

It installs only packages that are missing altogether. What is there stays as it is, even where its version is outside
the package's range: on Colab, PyTorch and the widgets belong to the machine.
"""

import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
OLDEST = (3, 11)


def missing(needs):
    """Those of the requirements whose package is not installed in any version."""
    have = {re.sub(r"[-_.]+", "-", found.name).lower() for found in distributions() if found.name}
    return [need for need in needs if re.match(r"[\w.-]+", need)[0].lower() not in have]


def get_ready(home=HOME):
    """Install what `qgc` lacks and put the clone first on this kernel's path."""
    if sys.version_info < OLDEST:
        mine = ".".join(map(str, sys.version_info[:2]))
        raise RuntimeError(f"qgc needs Python 3.11 or newer, and this kernel is Python {mine}: choose another kernel.")
    import tomllib  # not in older Pythons, which shall read the sentence above

    needs = tomllib.loads((home / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    if lacking := missing(needs):
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", *lacking])
        if done.returncode:
            raise RuntimeError(f"pip could not install {', '.join(lacking)}: its own words are above.")
    sys.path.insert(0, str(home))


if __name__ == "__main__":
    get_ready()
