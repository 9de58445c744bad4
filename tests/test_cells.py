"""What the site shows of a notebook's code: no checks, nothing twice, everything else one click away."""

from __future__ import annotations

import json
from pathlib import Path

import cells
import pytest

ROOT = Path(__file__).resolve().parents[1]
FIGURE = [{"output_type": "display_data", "data": {"image/png": "", "text/plain": ""}, "metadata": {}}]
TABLE = [{"output_type": "execute_result", "data": {"text/html": "", "text/plain": ""}, "metadata": {}}]
PRINTED = [{"output_type": "stream", "name": "stdout", "text": "1"}]


@pytest.mark.parametrize(
    "source, shown",
    [
        ("a = 1\nassert a\nprint(a)", "a = 1\nprint(a)"),
        ("a = 1\n\n# All of them:\nfor x in a:\n    if x:\n        assert x\n\nb", "a = 1\n\nb"),
        ("for x in a:\n    y = f(x)\n    assert y == (\n        1\n    )\nb", "for x in a:\n    y = f(x)\nb"),
        ("np.testing.assert_allclose(a, b)\nassert_close(a, b)\nb", "b"),
        ("assert a, 'a'", ""),
        ("assertion = 'assert a'\nassertion", "assertion = 'assert a'\nassertion"),
        ("!git status\nassert a", "!git status\nassert a"),
    ],
)
def test_what_only_checks_is_dropped(source, shown):
    assert cells.without_checks(source) == shown


def code(source: str, outputs: list[dict] = (), *tags: str) -> dict:
    """A code cell."""
    return {"cell_type": "code", "source": source, "outputs": list(outputs), "metadata": {"tags": list(tags)}}


WORDS = {"cell_type": "markdown", "source": "Words", "metadata": {}}


def shown(*made: dict) -> list[tuple[str, list[str], str]]:
    """(source, tags, label) of each code cell on the page."""
    page = json.loads(cells.for_readers(json.dumps({"cells": list(made), "metadata": {}})))["cells"]
    told = [(c["metadata"], c) for c in page if c["cell_type"] == "code"]
    return [(c["source"], m["tags"], m.get("mystnb", {}).get("code_prompt_show", "")) for m, c in told]


@pytest.mark.parametrize(
    "made, expected",
    [
        ([code("a", FIGURE)], [("a", ["hide-input"], "Show the code of this figure")]),
        ([code("a", PRINTED + TABLE)], [("a", ["hide-input"], "Show the code of this table")]),
        ([code("a", PRINTED)], [("a", ["hide-input"], "Show the code of this output")]),
        ([code("a = 1")], [("a = 1", ["hide-input"], "Show the code")]),
        ([code("a", TABLE, "hide-output")], [("a", ["hide-cell"], "Show the table and its code")]),
        ([code("a", FIGURE, "show-input")], [("a", ["show-input"], "")]),
        ([code("a = 1"), code("a", FIGURE)], [("a = 1\n\na", ["hide-input"], "Show the code of this figure")]),
        ([code("a = 1", [], "setup", "remove-cell"), code("a", FIGURE, "remove-input")], [("a", ["remove-input"], "")]),
        (
            [code("a = 1"), code("a", TABLE, "show-input")],
            [("a = 1", ["hide-input"], "Show the code"), ("a", ["show-input"], "")],
        ),
        ([code("assert True", PRINTED)], [("assert True", ["remove-input"], "")]),
        ([code("b = 1\nassert b"), WORDS], []),
    ],
)
def test_a_cell_is_folded_under_a_label_that_says_what_it_makes(made, expected):
    assert shown(*made) == expected


def test_what_other_cells_use_stays():
    assert [source for source, _, _ in shown(code("b = 1\nassert b"), WORDS, code("b", TABLE))] == ["b = 1", "b"]


def test_no_notebook_of_the_book_shows_a_check_and_each_keeps_its_outputs():
    for path in sorted((ROOT / "book").rglob("*.ipynb")):
        before, after = path.read_text(encoding="utf-8"), cells.for_readers(path.read_text(encoding="utf-8"))
        page = [c for c in json.loads(after)["cells"] if c["cell_type"] == "code"]
        left = [cells.text(c) for c in page if cells.is_shown(c)]
        assert left or path.parent.name == "story"
        assert not any(line.lstrip().startswith("assert") for s in left for line in s.splitlines()), path.name
        outputs = [sum(len(c.get("outputs", [])) for c in json.loads(nb)["cells"]) for nb in (before, after)]
        assert outputs[0] == outputs[1], path.name


def test_a_solution_is_folded_under_its_number_and_prints_its_answer():
    found = []
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        code_cells = [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == "code"]
        for cell in (c for c in code_cells if "solution" in c["metadata"].get("tags", [])):
            found.append(path.name)
            assert "hide-cell" in cell["metadata"]["tags"], path.name
            assert cell["metadata"]["mystnb"]["code_prompt_show"].startswith("Solution of exercise "), path.name
            assert any("text" in out for out in cell["outputs"]), f"{path.name}: a solution says nothing"
    assert found
