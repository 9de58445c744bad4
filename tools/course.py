"""The course pack of one school: student notebooks, solutions and autograders, from `course/source`.

    make course SEED=7        # school 7, into build/course; OUT=folder, FORMAT=nbgrader

Each school has 10,000 scenes of its own, from seed 30,000,000 + 10,000 · SEED on. Only the hidden tests know them: they
ask a student's functions about them, and the package computes what is right. So the solutions may be public. The same
SEED gives the same files.

The sources are Python files in the percent format, with the blocks of Otter-Grader. This module reads them by itself,
so the tests of the exercises need no Otter; `otter assign` makes the notebooks (in `.venv-course`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from types import ModuleType

import launch
import nbformat
import yaml
from markdown_it import MarkdownIt
from reading import concepts

from qgc.scenes import FIRST_SEED
from tools import mathml

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "course" / "source"
GUIDE, TEACH = ROOT / "course" / "guide.md", ROOT / "book" / "teach.md"
GUIDE_PAGE = "guide.html"
PER_SCHOOL, SCHOOLS = 10_000, 1000
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif }}
table {{ border-collapse: collapse }}
th, td {{ border: 1px solid #999; padding: .3rem .5rem; text-align: left; vertical-align: top }}
</style></head><body>
{body}</body></html>
"""
MAKE = {"code": nbformat.v4.new_code_cell, "raw": nbformat.v4.new_raw_cell}
KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
SOLUTION = re.compile(r"^( *)# BEGIN SOLUTION( NO PROMPT)?\n.*?^ *# END SOLUTION\n?", re.MULTILINE | re.DOTALL)
CONFIG = re.compile(r'^""" # BEGIN TEST CONFIG\n(.*?)^""" *# END TEST CONFIG\n', re.MULTILINE | re.DOTALL)


# -- reading the sources --------------------------------------------------------------------------------
@dataclass
class Cell:
    """A cell of a source: ``kind`` is code, markdown or raw."""

    kind: str
    source: str


@dataclass
class Test:
    """One test of a question: a function of the student's functions, its points, and whether students see it."""

    source: str
    points: float
    hidden: bool


@dataclass
class Question:
    """A question: text, code with its solution, and tests; or ``manual``, graded by a person, with an ``answer``."""

    name: str
    points: float
    manual: bool = False
    text: str = ""
    answer: str = ""
    code: list[str] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Its heading, without the points."""
        return re.match(r"## (.*) \(", self.text)[1]

    @property
    def solution(self) -> str:
        """The code with its solution."""
        return "\n".join(self.code)

    @property
    def stub(self) -> str:
        """The code that a student gets."""
        return stub(self.solution)


def sources() -> list[Path]:
    """The four homeworks, in order."""
    return sorted(SOURCE.glob("h[0-9]_*.py"))


def module(name: str) -> dict:
    """The names that a module beside the homeworks defines."""
    return runpy.run_path(str(SOURCE / f"{name}.py"))


def cells(path: Path) -> list[Cell]:
    """The cells of a source in the percent format."""
    found = []
    for part in re.split(r"^# %%", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        kind = head.strip(" []") or "code"
        if kind != "code":
            body = re.sub(r"^# ?", "", body, flags=re.MULTILINE)
        found.append(Cell(kind, body.strip("\n")))
    return found


def stub(code: str) -> str:
    """Code with every solution replaced by `...`, as Otter does it."""
    return SOLUTION.sub(lambda found: "" if found[2] else f"{found[1]}...\n", f"{code}\n").rstrip("\n")


def questions(path: Path) -> tuple[str, list[Question]]:
    """The code that comes before the first question, and the questions."""
    setup, found, block = [], [], []
    for cell in cells(path):
        if cell.kind == "raw":
            heading = re.match(r"# (BEGIN|END) (\w+)", cell.source)
            if heading and heading[1] == "BEGIN":
                block.append(heading[2])
                if heading[2] == "QUESTION":
                    found.append(Question(**yaml.safe_load(cell.source)))
            elif heading:
                block.pop()
        elif not block:
            setup += [cell.source] * (cell.kind == "code")
        elif block[-1] == "TESTS":
            found[-1].tests.append(test(cell.source))
        elif cell.kind == "code":
            found[-1].code.append(cell.source)
        elif block[-1] == "QUESTION":
            found[-1].text += cell.source
        else:
            found[-1].answer += cell.source
    return "\n".join(setup), found


def test(source: str) -> Test:
    """A test from its cell."""
    config = yaml.safe_load(CONFIG.match(source)[1])
    return Test(CONFIG.sub("", source).strip("\n"), config["points"], config.get("hidden", False))


# -- making the pack ------------------------------------------------------------------------------------
def first_seed(school: int) -> int:
    """The first seed of a school's scenes."""
    if not 0 <= school < SCHOOLS:
        raise SystemExit(f"SEED={school} is no school: give a whole number from 0 to {SCHOOLS - 1}")
    return FIRST_SEED["course"] + PER_SCHOOL * school


def school_module(school: int) -> str:
    """The module that the hidden tests import, with a school's first seed in it."""
    text = (SOURCE / "school.py").read_text(encoding="utf-8")
    return re.sub(r"^SEED = .*$", f"SEED = {first_seed(school):_}", text, count=1, flags=re.MULTILINE)


def notebook(found: list[Cell]) -> nbformat.NotebookNode:
    """Cells as a notebook, with the cell that fetches qgc before the first code."""
    nb = nbformat.v4.new_notebook(metadata=KERNEL)
    nb.cells = [markdown(c.source) if c.kind == "markdown" else MAKE[c.kind](c.source) for c in found]
    return launch.with_cell(nb, launch.cell_source(launch.find()))


def markdown(text: str) -> nbformat.NotebookNode:
    """A cell of text; names of chapters are links where the site's address is known."""
    site = launch.site_address()
    link = rf"[\1]({site}book/\2.html)" if site else r"*\1*"
    return nbformat.v4.new_markdown_cell(re.sub(r"\[([^]]+)\]\(([a-z-]+)\)", link, text))


def write_notebook(nb: nbformat.NotebookNode, path: Path) -> None:
    """Write a notebook with its cells numbered: the ids that nbformat and Otter draw differ from run to run."""
    nb.nbformat_minor = 5
    for number, cell in enumerate(nb.cells):
        cell["id"] = f"cell-{number}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def write_archive(archive: Path, path: Path) -> None:
    """Copy a zip archive with its files sorted and undated."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive) as given, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as written:
        for entry in sorted(given.infolist(), key=lambda entry: entry.filename):
            undated = zipfile.ZipInfo(entry.filename)
            undated.external_attr, undated.compress_type = entry.external_attr, zipfile.ZIP_DEFLATED
            written.writestr(undated, given.read(entry))


def with_otter(source: Path, work: Path, out: Path) -> Path:
    """One homework by `otter assign`, which also runs all tests on the solution; the folder for the students."""
    name, made = source.stem, work / "made"
    write_notebook(notebook(cells(source)), work / f"{name}.ipynb")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(work)]), "TQDM_DISABLE": "1"}
    command = [sys.executable, "-m", "otter", "assign", f"{name}.ipynb", made.name]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"otter assign refused {source.name}:\n{done.stdout}{done.stderr}")
    for kind in ("student", "autograder"):
        (found,) = (made / kind).glob("*.ipynb")
        place = out / "student" / name if kind == "student" else out / "solution"
        write_notebook(nbformat.read(found, as_version=4), place / found.name)
    (archive,) = (made / "autograder").glob("*.zip")
    write_archive(archive, out / "autograder" / f"{name}.zip")
    return out / "student" / name


def with_nbgrader(source: Path, work: Path, out: Path) -> Path:
    """One homework as nbgrader's source notebook, for a JupyterHub that has nbgrader; its folder."""
    setup, found = questions(source)
    intro = next(cell for cell in cells(source) if cell.kind == "markdown")
    nb = notebook([intro, Cell("code", setup)])
    school = f"import sys, types\n\nschool = types.ModuleType('school')\nexec({(work / 'school.py').read_text()!r}, "
    school += "vars(school))\nsys.modules['school'] = school\n\n"
    for question in found:
        nb.cells.append(markdown(question.text))
        if question.manual:
            answer = nbformat.v4.new_markdown_cell(question.answer)
            nb.cells.append(graded(answer, question.name, question.points, solution=True))
            continue
        code = re.sub(r"# (BEGIN|END) SOLUTION( NO PROMPT)?", r"### \1 SOLUTION", question.solution)
        nb.cells.append(graded(nbformat.v4.new_code_cell(code), question.name, solution=True))
        for number, one in enumerate(question.tests):
            call = re.search(r"^def (test_\w+\(.*\)):", one.source, re.MULTILINE)[1]
            body = f"{one.source}\n\n\n{call}"
            if one.hidden:
                body, school = f"### BEGIN HIDDEN TESTS\n{school}{body}\n### END HIDDEN TESTS", ""
            nb.cells.append(graded(nbformat.v4.new_code_cell(body), f"{question.name}-{number}", one.points))
    write_notebook(nb, out / "source" / source.stem / f"{source.stem}.ipynb")
    return out / "source" / source.stem


def graded(cell: nbformat.NotebookNode, name: str, points: float | None = None, solution: bool = False):
    """A cell with nbgrader's metadata: an answer to be written, a test that gives points, or both."""
    about = {"grade": points is not None, "grade_id": name, "locked": not solution, "schema_version": 3}
    about |= {"solution": solution, "task": False} | ({} if points is None else {"points": points})
    cell.metadata["nbgrader"] = about
    return cell


# -- the instructor's guide -----------------------------------------------------------------------------
def rubric() -> dict:
    """What is graded, and by what: course/rubric.yml."""
    return yaml.safe_load((ROOT / "course" / "rubric.yml").read_text(encoding="utf-8"))


def minutes(chapter: str) -> int:
    """How long a chapter says it takes to read."""
    return int(re.search(r"\*\*Minutes:\*\* (\d+)", concepts.source_of(ROOT / "book", chapter))[1])


def goals(chapter: str) -> list[str]:
    """The lines under "You will learn" of a chapter."""
    text = re.search(
        r"\*\*You will learn\*\*\n(.*?)\*\*You need", concepts.source_of(ROOT / "book", chapter), re.DOTALL
    )[1]
    return [" ".join(goal.split()) for goal in re.split(r"^- ", text, flags=re.MULTILINE)[1:]]


def titles() -> dict[str, str]:
    """The chapters' short titles, as book/chapters.md lists them."""
    index = (ROOT / "book" / "chapters.md").read_text(encoding="utf-8")
    return {name: title for name, (title, _) in concepts.abouts(index).items()}


def table_under(heading: str) -> list[list[str]]:
    """The rows of the first table under a heading of book/teach.md, without its head."""
    text = TEACH.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[part.strip() for part in line.split("|")[1:-1]] for line in lines[2:]]


def reading() -> dict[str, list[str]]:
    """The chapters to be read before each meeting, from book/teach.md."""
    return {row[0]: re.findall(r"\]\(([\w-]+)\.(?:ipynb|md)\)", row[2]) for row in table_under("Two weeks")}


def table(head: list[str], rows: list[list]) -> str:
    """A table in Markdown."""
    cells_ = [[str(part).replace("|", r"\|") for part in row] for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells_)


def guide(school: int) -> str:
    """The instructor's guide as a page by itself."""
    about, all_questions = rubric(), [q for path in sources() for q in questions(path)[1]]
    levels, project = about["levels"], about["project"]
    first = first_seed(school)
    values = module("facts")["facts"]() | {
        "school": school, "first": f"{first:,}", "last": f"{first + PER_SCHOOL - 1:,}",
        "lowest": levels[0], **{f"level_{k}": levels[k] for k in (1, 2, 3)}, "highest": levels[4],
        "marks": ", ".join(f"{name} {weight}" for name, weight in about["weights"].items()),
        "project_marks": about["weights"]["project"], "project_points": 4 * sum(c["weight"] for c in project),
        "rubric": table(["criterion", "weight", "full marks"], [[c["name"], c["weight"], c["full"]] for c in project]),
        "review": next(q.answer for q in all_questions if q.manual),
        "reading": table(["meeting", "minutes", "chapters"], [
            [meeting, sum(map(minutes, names)), ", ".join(f"{titles()[n]} ({minutes(n)})" for n in names)]
            for meeting, names in reading().items()
        ]),
        "questions": table(["question", "points", "chapter", "goal"], [
            [q.title, q.points, titles()[chapter], goals(chapter)[number - 1].rstrip(";.")]
            for q in all_questions for chapter, number in [about["goals"][q.name]]
        ]),
        "misconceptions": table(["question", "they believe"], [
            [q.title, "; ".join(wrong[q.name])]
            for wrong in [module("misconceptions")["MISCONCEPTIONS"]] for q in all_questions if not q.manual
        ]),
    }  # fmt: skip
    text = re.sub(r"\{\{ (\w+) \}\}", lambda found: str(values[found[1]]), GUIDE.read_text(encoding="utf-8"))
    body = MarkdownIt().enable("table").render(text)
    body = re.sub(r"\$([^$]+)\$", lambda found: mathml.mathml(unescape(found[1]), block=False), body)
    return PAGE.format(title="The instructor's guide", body=body)


FORMATS = {"otter": with_otter, "nbgrader": with_nbgrader}


def homework(source: Path, school: int, work: Path, out: Path, format: str = "otter") -> None:
    """One homework of a school in one of the :data:`FORMATS`, by way of a folder ``work`` of its own."""
    print(f"{source.stem} …", flush=True)
    work.mkdir()
    (work / "school.py").write_text(school_module(school), encoding="utf-8")
    files = yaml.safe_load(cells(source)[0].source).get("files", [])
    if files:
        asked = ModuleType("school")
        exec(school_module(school), vars(asked))
        module("mock_paper")["write"](asked, work / "paper.pdf")
    for_students = FORMATS[format](source, work, out)
    for name in files:
        shutil.copy(work / name, for_students)


def build(school: int, out: Path, format: str = "otter") -> None:
    """The whole pack, made in a temporary folder and then moved to ``out``, in place of an earlier pack."""
    first_seed(school)
    if out.exists() and any(out.iterdir()) and not (out / GUIDE_PAGE).exists():
        raise SystemExit(f"{out} holds something else than a course pack: name a new or empty folder by OUT=…")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        work, made = Path(folder), Path(folder) / "pack"
        with ThreadPoolExecutor(2) as two:
            list(two.map(lambda s: homework(s, school, work / s.stem, made, format), sources()))
        write_notebook(notebook(cells(SOURCE / "project.py")), made / "student" / "project" / "project.ipynb")
        (made / GUIDE_PAGE).write_text(guide(school), encoding="utf-8")
        if out.exists():
            out.rename(work / "earlier")
        made.rename(out)


def main() -> None:
    """Make the pack that the arguments ask for."""
    parser = argparse.ArgumentParser(description="the course pack of one school")
    parser.add_argument("--seed", type=int, default=0, help="the school's number, 0 to 999")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "course")
    parser.add_argument("--format", choices=FORMATS, default="otter")
    given = parser.parse_args()
    build(given.seed, given.out.resolve(), given.format)
    print(f"The course pack of school {given.seed} is in {given.out}.")


if __name__ == "__main__":
    main()
