"""The troubleshooting page quotes what the code really says."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book" / "troubleshooting.md").read_text(encoding="utf-8")
QUOTED = [
    q for line in re.findall(r"^\*\*.*`.*\*\*$", PAGE, re.MULTILINE) for q in re.findall(r"`+([^`].*?[^`])`+", line)
]
OTHERS = (  # said by pip, the system, PyTorch, git, Python and Jupyter
    "WARNING: Retrying (Retry(total=",
    "ERROR: No matching distribution found for",
    "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE",
    "No space left on device",
    "operator torchvision::nms does not exist",
    "CUDA out of memory",
    "No module named 'qgc'",
    "fatal: repository '",
    "File `'",
    "name 'device' is not defined",
    "Explorer(children=(",
    "Kernel died",
    "' not found",
    "AssertionError",
    "SKIPPED",
    "not found",
    ".venv",
)


def said_by_us() -> str:
    """All sources that may print something, with strings that go on over several lines joined."""
    files = [*ROOT.glob("qgc/**/*.py"), *ROOT.glob("tools/*.*"), ROOT / "Makefile", ROOT / "tests/browser/conftest.py"]
    text = "\n".join(f.read_text(encoding="utf-8") for f in files if f.is_file())
    return re.sub(r'"\s*\n\s*f?"', "", text).replace("$(VENV)", ".venv")


@pytest.mark.parametrize("quoted", QUOTED)
def test_every_quoted_message_is_a_real_one(quoted):
    ours = said_by_us()
    pieces = [p.strip() for p in re.split(r"…|^\w+Error: ", quoted)]
    strange = [p for p in pieces if len(p) > 3 and not p.startswith(OTHERS) and p not in ours]
    assert not strange


def test_there_is_something_to_check():
    assert len(QUOTED) > 15
