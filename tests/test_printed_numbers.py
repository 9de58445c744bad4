"""The numbers of a chapter's prose that its own cells print: the words follow when an output changes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[1] / "book"
NUMBERS = [  # chapter, in its prose, in its outputs, and what makes the second number the first
    ("same-answer", r"mean cosine of the two maps is (0\.\d\d), where", r"natural: mean cosine (0\.\d+) over", 1),
    ("same-answer", r"the mean cosine is (0\.\d\d) in `natural`, and", r"natural: mean cosine (0\.\d+) over", 1),
    ("same-answer", r"cosine is (0\.\d\d) for another question", r"natural: mean cosine (0\.\d+) for another q", 1),
    ("same-answer", r"and (0\.\d\d) for another answer", r"natural: mean cosine .* question, (0\.\d+) for", 1),
    ("model", r"answers (\d+) in 100 more", r"natural: \+([\d.]+)% over the baseline in all", 1),
    ("model", r"(\d+) % of the values of \$u\$", r"natural +0\.\d+ +0\.\d+ +(0\.\d+)", 100),
    ("model", r"smallest for color, (\d+) points", r"natural: .* least in colour \(\+([\d.]+)%\)", 1),
    ("model", r"has (\d+) times as many weights", r"model has (\d+) times as many", 1),
    ("two-models", r"have (\d+) points less of their mass", r"all questions +433 +-(0\.\d+) \[", 100),
    ("two-models", r"Pythia answers (\d+) of 100", r"all +0\.\d+ +0\.\d+ +(0\.\d+)", 100),
    ("two-models", r"accuracy rises by (0\.\d\d) and", r"Pythia, mass accuracy: .* Grad-CAM \+(0\.\d+)", 1),
    ("activations", r"`natural`, (\d+) of 100 signs", r"same answer, other thing .*?\] +(0\.\d+)", 100),
    ("activations", r"is (\d+) of 100 signs in one", r"same answer, other thing .*?\] +(0\.\d+)", 100),
    ("activations", r"and (\d+) in another", r"balanced +\nchange +\n.*\nsame answer, other thing +(0\.\d+)", 100),
    ("activations", r"at a cosine of (0\.\d\d)\. Grad", r"natural +answer +\S+ \[.*?\] +(0\.\d+)", 1),
    ("activations", r"keeps a cosine of (0\.\d\d) with\s+five", r"guided backprop .*\] +(0\.\d+) \[[^]]*\] *\n", 1),
    ("sensitivity", r"carry (\d\.\d) % of what brings", r"natural +0\.4\d+ +0\.9\d+ +(0\.\d+)", 100),
    ("sensitivity", r"question picks (\d\.\d) of ten", r"natural +same question, other scene +\d+ +([\d.]+)", 1),
    ("sensitivity", r"(\d+) % in `natural`", r"natural +0\.0\d+ +(0\.\d+) +-0", 100),
    ("sensitivity", r"first value is (\d\.\d) times the tenth", r"Table 1, left +([\d.]+)", 1),
]


def prose_and_outputs(chapter: str) -> tuple[str, str]:
    """The Markdown of a notebook, and what its cells printed, both as text."""
    cells = json.loads((BOOK / f"{chapter}.ipynb").read_text(encoding="utf-8"))["cells"]
    prose = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    outputs = [o.get("text") or o.get("data", {}).get("text/plain", "") for c in cells for o in c.get("outputs", [])]
    return re.sub(r" *\n(?=\S)", " ", prose), "\n".join("".join(o) for o in outputs)


@pytest.mark.parametrize(("chapter", "told", "printed", "times"), NUMBERS)
def test_a_number_in_prose_is_the_printed_one(chapter, told, printed, times):
    prose, outputs = prose_and_outputs(chapter)
    said, found = re.search(told, prose), re.search(printed, outputs)
    assert said and found, "the sentence or the output is no longer there"
    digits = len(said.group(1).partition(".")[2])
    assert f"{times * float(found.group(1)):.{digits}f}" == said.group(1)
