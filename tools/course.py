"""The course pack of one school: student notebooks, solutions and autograders, from `course/source`.

    make course SEED=7        # school 7, into build/course; OUT=folder, FORMAT=nbgrader

Each school has scenes of its own, 10,000 from seed 30,000,000 + 10,000 · SEED on. Only the hidden tests know them: they ask
a student's functions about them, and the package works out what is right. So the solutions may be public. The same
SEED gives the same files.

The sources are Python files in the percent format, with the blocks of Otter-Grader. This module alone reads them, so the
tests of the exercises need no Otter; `otter assign` makes the notebooks (`.venv-course`).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import launch
import nbformat
import yaml

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "course" / "source"
FIRST_SEED, PER_SCHOOL, SCHOOLS = 30_000_000, 10_000, 1000
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
    """A question: its text, its cells of code with the solution, its tests; ``manual`` is graded by a person."""

    name: str
    points: float
    manual: bool = False
    text: str = ""
    code: list[str] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)

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
    return FIRST_SEED + PER_SCHOOL * school


def school_module(school: int) -> str:
    """The module that the hidden tests import, with a school's first seed in it."""
    text = (SOURCE / "school.py").read_text(encoding="utf-8")
    return re.sub(r"^SEED = .*$", f"SEED = {first_seed(school):_}", text, count=1, flags=re.MULTILINE)


def notebook(found: list[Cell]) -> nbformat.NotebookNode:
    """Cells as a notebook whose chapters are links where the site's address is known, after the cell that fetches qgc."""
    site = launch.site_address()
    link = rf"[\1]({site}book/\2.html)" if site else r"*\1*"
    nb = nbformat.v4.new_notebook(metadata=KERNEL)
    for cell in found:
        make = getattr(nbformat.v4, f"new_{cell.kind}_cell")
        text = re.sub(r"\[([^]]+)\]\(([a-z-]+)\)", link, cell.source) if cell.kind == "markdown" else cell.source
        nb.cells.append(make(text))
    return launch.with_cell(nb, launch.cell_source(launch.find()))


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


def with_otter(source: Path, work: Path, out: Path) -> None:
    """One homework by `otter assign`, which also runs all tests on the solution: student, solution and autograder."""
    name, made = source.stem, work / "made"
    write_notebook(notebook(cells(source)), work / f"{name}.ipynb")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(work)]), "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "otter", "assign", f"{name}.ipynb", made.name],
        cwd=work, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"otter assign refused {source.name}:\n{done.stdout}{done.stderr}")
    for file in (made / "student").iterdir():
        if file.suffix == ".ipynb":
            write_notebook(nbformat.read(file, as_version=4), out / "student" / name / file.name)
        else:
            shutil.copy(file, out / "student" / name / file.name)
    write_notebook(
        nbformat.read(made / "autograder" / f"{name}.ipynb", as_version=4), out / "solution" / f"{name}.ipynb"
    )
    (archive,) = (made / "autograder").glob("*.zip")
    write_archive(archive, out / "autograder" / f"{name}.zip")


def build(school: int, out: Path) -> None:
    """The whole pack, made in a temporary folder and then moved to ``out``."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        work, made = Path(folder), Path(folder) / "pack"
        for source in sources():
            print(f"{source.stem} …", flush=True)
            place = work / source.stem
            place.mkdir()
            (place / "school.py").write_text(school_module(school), encoding="utf-8")
            with_otter(source, place, made)
        shutil.rmtree(out, ignore_errors=True)
        made.rename(out)


def main() -> None:
    """Make the pack that the arguments ask for."""
    parser = argparse.ArgumentParser(description="the course pack of one school")
    parser.add_argument("--seed", type=int, default=0, help="the school's number, 0 to 999")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "course")
    given = parser.parse_args()
    build(given.seed, given.out.resolve())
    print(f"The course pack of school {given.seed} is in {given.out}.")


if __name__ == "__main__":
    main()
