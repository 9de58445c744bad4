"""The course's plan adds up: minutes, prerequisites, points, goals, and no number that was typed."""

from __future__ import annotations

import re

import pytest
import yaml
from reading import concepts

import course

TEXT = course.TEACH.read_text(encoding="utf-8")
LESSON = course.table_under("One lesson: do you believe the map?")
READING = course.reading()
HOMEWORK = {path.stem: course.questions(path)[1] for path in course.sources()}
NAMES = [question.name for found in HOMEWORK.values() for question in found]


def test_the_lesson_takes_fifty_minutes():
    assert sum(int(row[0]) for row in LESSON) == 50


def test_the_lesson_leads_to_headings_that_are_there():
    anchors = re.findall(r'href="([\w-]+)\.html#([\w-]+)"', TEXT)
    assert len(anchors) >= 3
    for page, anchor in anchors:
        source = concepts.source_of(course.ROOT / "book", page)
        headings = re.findall(r"^#+ (.*)$", source, re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, anchor


def test_every_chapter_comes_after_what_it_needs():
    order = [name for names in READING.values() for name in names]
    assert len(order) == len(set(order)) >= 15
    for place, name in enumerate(order):
        line = concepts.NEEDS.search(concepts.source_of(course.ROOT / "book", name))
        needs = set(concepts.LINK.findall(line.group(1))) if line else set()
        assert needs <= set(order[:place]), f"{name} needs {needs}"


@pytest.mark.parametrize("meeting", READING)
def test_no_reading_is_longer_than_70_minutes(meeting):
    assert sum(map(course.minutes, READING[meeting])) <= 70


def test_the_points_of_the_page_are_those_of_the_questions():
    rows = [row for row in course.table_under("Homework that grades itself") if row[-1].isdigit()]
    assert [int(row[-1]) for row in rows] == [sum(q.points for q in found) for found in HOMEWORK.values()]


def test_what_the_homework_says_to_read_is_there_and_is_called_so():
    titles = course.titles()
    for path in course.sources():
        intro = next(cell.source for cell in course.cells(path) if cell.kind == "markdown")
        links = re.findall(r"\[([^]]+)\]\(([a-z-]+)\)", intro)
        assert len(links) >= 2
        for shown, name in links:
            assert " ".join(shown.split()) in concepts.source_of(course.ROOT / "book", name).splitlines()[0], shown
            assert name in titles


def test_marks_goals_and_criteria_are_whole():
    about = course.rubric()
    assert sum(about["weights"].values()) == 100 and len(about["levels"]) == 5
    assert list(about["goals"]) == NAMES
    for chapter, number in about["goals"].values():
        assert 1 <= number <= len(course.goals(chapter)), chapter
    assert all(criterion["weight"] > 0 and criterion["full"].endswith(".") for criterion in about["project"])
    assert ", ".join(f"{name} {weight}" for name, weight in about["weights"].items()) in TEXT.lower().replace(
        "the review", "review"
    ).replace("the project", "project")


def test_the_guide_types_no_number():
    facts = course.module("facts")["FACTS"]
    guide = course.GUIDE.read_text(encoding="utf-8")
    assert not re.search(r"\d[.,]\d", re.sub(r"build/\S+", "", guide)), "a decimal typed by hand"
    assert not re.search(r"\d\.\d", TEXT), "a decimal typed by hand"
    assert facts.keys() <= set(re.findall(r"\{\{ (\w+) \}\}", guide))


def test_every_misconception_belongs_to_a_question():
    graded = [q.name for found in HOMEWORK.values() for q in found if not q.manual]
    beliefs = course.module("misconceptions")["MISCONCEPTIONS"]
    assert list(beliefs) == graded and all(len(found) >= 3 for found in beliefs.values())


def test_the_sources_are_as_otter_reads_them():
    for path in course.sources():
        config = yaml.safe_load(course.cells(path)[0].source)
        assert config["name"] == path.stem and config["tests"] == {"ok_format": False}
        assert "school.py" in config["autograder_files"]
