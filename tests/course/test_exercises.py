"""The course's exercises without Otter: stubs score nothing, solutions everything, and misconceptions lose points."""

from __future__ import annotations

import inspect
import sys
from functools import cache
from types import ModuleType

import pytest

import course
import qgc

SEED = 7
READ = {path.stem: course.questions(path) for path in course.sources()}
ALL = [question for _, found in READ.values() for question in found]
GRADED = [question for question in ALL if not question.manual]
POINTS = 60


def names_of(source: str, name: str) -> dict:
    """The names that a source defines when it runs."""
    found = {"__name__": name}
    exec(compile(source, name, "exec"), found)
    return found


@pytest.fixture(scope="module", autouse=True)
def school():
    """The hidden tests' module, as the builder writes it for a school; each model and situation is made once."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("load", "scene"):
            patch.setattr(qgc, name, cache(getattr(qgc, name)), raising=False)
        made = ModuleType("school")
        exec(course.school_module(SEED), vars(made))
        patch.setitem(sys.modules, "school", made)
        yield made


@pytest.fixture(scope="module")
def wrong() -> dict:
    return course.module("misconceptions")["MISCONCEPTIONS"]


def answered(question, code: str) -> dict:
    """What a notebook holds after its setup and one question's code."""
    (setup,) = [setup for setup, found in READ.values() if question in found]
    return names_of("\n".join([*(line for line in setup.splitlines() if "import" in line), code]), question.name)


def outcome(test, names: dict) -> Exception | None:
    """Why a test fails, or None where it passes."""
    found = names_of(test.source, "a test of the course")
    (function,) = [value for name, value in found.items() if name.startswith("test_")]
    try:
        function(**{name: names.get(name) for name in inspect.signature(function).parameters})
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize("question", GRADED, ids=lambda q: q.name)
def test_the_solution_passes_and_the_stub_scores_nothing(question):
    solved = answered(question, question.solution)
    assert not [error for t in question.tests if (error := outcome(t, solved))]
    empty = answered(question, question.stub)
    errors = [outcome(t, empty) for t in question.tests if not t.hidden]
    assert errors and all(isinstance(error, AssertionError) for error in errors), errors
    assert all(outcome(t, empty) is not None for t in question.tests), "a stub must not score"


@pytest.mark.parametrize("question", GRADED, ids=lambda q: q.name)
def test_each_misconception_loses_points_and_one_passes_what_students_see(question, wrong):
    unseen = False
    for belief, functions in wrong[question.name].items():
        names = answered(question, question.solution) | functions
        hidden = [outcome(t, names) for t in question.tests if t.hidden]
        visible = [outcome(t, names) for t in question.tests if not (t.hidden or (unseen and any(hidden)))]
        assert any(hidden) or any(visible), belief
        unseen = unseen or not any(visible)
    assert unseen, "every misconception fails a test that students see: the hidden ones are not needed"


def test_there_are_sixteen_questions_of_sixty_points():
    assert [int(question.name.split("_")[0][1:]) for question in ALL] == list(range(1, 17))
    assert sum(question.points for question in ALL) == POINTS
    for question in GRADED:
        assert sum(t.points for t in question.tests) == question.points, question.name
        assert {t.hidden for t in question.tests} == {False, True}, question.name
        assert f"({question.points} points)" in question.text and "*Goal: " in question.text, question.name


def test_a_stub_holds_no_line_of_its_solution():
    for question in ALL:
        kept = {line.strip() for line in question.stub.splitlines()}
        removed = "\n".join(found[0] for found in course.SOLUTION.finditer(f"{question.solution}\n"))
        lines = {line.strip() for line in removed.splitlines() if len(line.strip()) > 12}
        lines = {line for line in lines if "SOLUTION" not in line and not line.endswith("{")}
        assert lines or question.manual, question.name
        assert not lines & kept, question.name


def test_each_school_has_scenes_of_its_own():
    seeds = [course.first_seed(school) for school in range(course.SCHOOLS)]
    assert seeds[0] == 30_000_000 and seeds[-1] + course.PER_SCHOOL == 40_000_000 and len(set(seeds)) == len(seeds)
    for school in (-1, course.SCHOOLS):
        with pytest.raises(SystemExit, match="give a whole number from 0 to 999"):
            course.first_seed(school)


def test_a_pack_takes_no_other_folders_place(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(SystemExit, match="name a new or empty folder"):
        course.build(SEED, tmp_path)
    assert (tmp_path / "thesis.tex").exists()
