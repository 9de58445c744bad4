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
    # The boxes on top of chapters:
    ("ground-truth", r"objects in (\d+) of 100 pairs", r"natural +Grad-CAM +– +(0\.\d\d) \[", 100),
    ("controls", r"question in (\d+) of 100 pairs, random", r"RGA +natural +(0\.\d+)", 100),
    ("controls", r"Grad-CAM has (\d+)\. In", r"Grad-CAM +– +(0\.\d\d) \[", 100),
    ("controls", r"25 neurons help: (\d+) of", r"pythia +10 .*\n +25 +(0\.\d+)", 100),
    ("map-or-model", r"Grad-CAM maps in (\d+) of 100", r"pythia +1\.00 +0\.93 +(0\.\d+)", 100),
    ("map-or-model", r"effect size of only (0\.\d+)\.", r"natural +0\.77 +(0\.\d+)", 1),
    ("what-works", r"raw difference in (\d+)\.", r"question contrast † +(0\.\d+) \[", 100),
    ("which-n", r"question in (\d+) of 100 pairs", r"1 − u² of no question ‡ +750 +(0\.\d+)", 100),
    ("which-n", r"registered, (\d+) of the 437", r"CGA, as registered +(\d+)", 1),
    ("nulls", r"median of (0\.\d+) in `natural`; with", r"unrelated question +\S+ +\S+ +\S+ +\S+ +(0\.\d+)", 1),
    ("nulls", r"\(l2\) they have (0\.\d+)\.", r"unrelated question +(0\.\d+)", 1),
    ("convince", r"own best \*n\*, (\d+) of 50", r"best n of each: (\d+) of 50 above zero", 1),
    ("convince", r"questions, and (\d+) do so better", r"best n of each: .* above zero, (\d+) above", 1),
    ("photographs", r"mean cosine (0\.\d+)\)", r"\n1024 +(0\.\d+) +0", 1),
    ("your-photographs", r"confidence of (\d+) %", r"a gray card +white \((\d+)%\)", 1),
    ("benchmark", r"question in (\d+) of 100 pairs, 0", r"HiResCAM on pythia: RGA (0\.\d+)", 100),
    ("benchmark", r"pairs, (0\.\d+) above its own", r"of which (0\.\d+) is above absent", 1),
    ("engine-speed", r"maps take (\d\.\d+) times", r"72 maps / the convolutions +(\d\.\d+)", 1),
    ("engine-speed", r"one by one, (\d+) times", r"one by one / closed form +(\d+) ", 1),
    ("scenes-gallery", r"\((\d+) % of sinks are white\)", r"\nsink +white +(0\.\d+)", 100),
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
