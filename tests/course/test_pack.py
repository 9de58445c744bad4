"""The packs of two schools, as `otter assign` makes them and `otter run` grades them: `make course-check`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import course

pytest.importorskip("otter", reason="Otter-Grader is in .venv-course: make course-check")
SCHOOLS = (7, 8)


@pytest.fixture(scope="module")
def packs(tmp_path_factory) -> dict[int, Path]:
    """Both packs; `otter assign` refuses a solution that does not get full marks."""
    place = tmp_path_factory.mktemp("packs")
    for school in SCHOOLS:
        course.build(school, place / str(school))
    return {school: place / str(school) for school in SCHOOLS}


def points(pack: Path, name: str, folder: Path) -> tuple[float, float]:
    """What a student's notebook as it was handed out gets, and what it could get, by `otter run`."""
    notebook, archive = pack / "student" / name / f"{name}.ipynb", pack / "autograder" / f"{name}.zip"
    (folder / name).mkdir()
    command = [sys.executable, "-m", "otter", "run", "-a", archive, notebook]
    subprocess.run(command, cwd=folder / name, env=os.environ | {"PYTHONPATH": str(course.ROOT)}, check=True)
    tests = json.loads((folder / name / "results.json").read_text())["tests"]
    graded = [one for one in tests if "max_score" in one]
    return sum(one["score"] for one in graded), sum(one["max_score"] for one in graded)


def test_a_stub_scores_nothing(packs, tmp_path):
    names = [source.stem for source in course.sources()]
    with ThreadPoolExecutor(2) as two:
        found = list(two.map(lambda name: points(packs[SCHOOLS[0]], name, tmp_path), names))
    graded = [sum(q.points for q in course.questions(source)[1] if not q.manual) for source in course.sources()]
    assert found == [(0, most) for most in graded]


def test_the_notebooks_that_students_get_hold_no_answer_test_or_seed(packs):
    for school, pack in packs.items():
        for source in course.sources():
            text = (pack / "student" / source.stem / f"{source.stem}.ipynb").read_text(encoding="utf-8")
            shown = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
            assert "school" not in text and str(course.first_seed(school)) not in text.replace("_", "")
            for question in course.questions(source)[1]:
                for one in question.tests:
                    assert (re.search(r"def (\w+)", one.source)[1] in text) is not one.hidden
                assert not question.answer or question.answer[:40] not in shown
                for found in course.SOLUTION.finditer(f"{question.solution}\n"):
                    lines = [line for line in found[0].splitlines()[1:-1] if len(line.strip()) > 12]
                    assert not [line for line in lines if line in shown and not line.endswith("{")]


def test_two_schools_differ_in_their_scenes_alone(packs):
    first, second = (
        {path.relative_to(pack): path for path in sorted(pack.rglob("*")) if path.is_file()} for pack in packs.values()
    )
    assert first.keys() == second.keys() and Path("guide.html") in first
    differ = {name for name in first if first[name].read_bytes() != second[name].read_bytes()}
    graded = {Path("autograder") / f"{source.stem}.zip" for source in course.sources()}
    assert graded | {Path("guide.html"), Path("student/h4_cause/paper.pdf")} == differ


def test_the_same_school_gets_the_same_files(packs, tmp_path):
    source = course.sources()[0]
    course.homework(source, SCHOOLS[0], tmp_path / "work", tmp_path / "again")
    again = [path for path in (tmp_path / "again").rglob("*") if path.is_file()]
    assert len(again) == 3
    for path in again:
        assert path.read_bytes() == (packs[SCHOOLS[0]] / path.relative_to(tmp_path / "again")).read_bytes(), path.name


def test_nbgraders_notebooks_have_all_points(tmp_path):
    (tmp_path / "school.py").write_text(course.school_module(SCHOOLS[0]), encoding="utf-8")
    points = 0
    for source in course.sources():
        file = course.with_nbgrader(source, tmp_path, tmp_path / "pack") / f"{source.stem}.ipynb"
        cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        about = [cell["metadata"]["nbgrader"] for cell in cells if "nbgrader" in cell["metadata"]]
        assert len({one["grade_id"] for one in about}) == len(about)
        points += sum(one.get("points", 0) for one in about)
    assert points == 60
