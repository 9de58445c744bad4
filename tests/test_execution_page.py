"""The page of execution times tells what is known, and says so where nothing is."""

import json
import os
import shutil
from pathlib import Path

import execution_page
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def book(tmp_path) -> Path:
    """A repository with this book's page and lock, and a notebook whose title has a bar in it."""
    (tmp_path / "book").mkdir()
    for name in ("pyproject.toml", "requirements.lock", "book/execution.md"):
        shutil.copy(ROOT / name, tmp_path / name)
    cells = [new_markdown_cell("# Ranked by |g|\n\nText."), new_code_cell("1")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "book" / "one.ipynb")
    return tmp_path


def filled(root: Path, as_committed: bool = False) -> str:
    """The page as a site would show it."""
    copy = root / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    (copy / "book").mkdir(parents=True)
    shutil.copy(root / execution_page.PAGE, copy / execution_page.PAGE)
    execution_page.fill(root, copy, as_committed)
    return (copy / execution_page.PAGE).read_text(encoding="utf-8")


def record(root: Path, device: str = "cpu") -> None:
    """Leave what the builder leaves after it has run the notebook."""
    timings = {"device": device, "workers": 1, "notebooks": {"book/one.ipynb": {"seconds": 12.34, "executed": True}}}
    (root / "build").mkdir()
    (root / "build" / "timings.json").write_text(json.dumps(timings))


def test_seconds_machine_and_device_are_shown(book):
    record(book)
    page = filled(book)
    assert r"| [Ranked by \|g\|](one.ipynb) | 12.3 |" in page
    assert (
        "`cpu`" in page
        and execution_page.processor() in page
        and "All 1 notebooks:** 12 s of work, one after the other" in page
    )
    assert execution_page.PLACE not in page and "runs nothing" not in page


def test_a_site_that_ran_nothing_says_so(book):
    assert "which runs nothing. So no\ntimes are known." in filled(book)
    record(book)
    page = filled(book, as_committed=True)  # there are times, but not of the outputs that this site shows
    assert "times are known" in page and "12.3" not in page


def test_versions_are_those_of_the_lock(book):
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    versions = execution_page.locked(ROOT)
    assert {"torch", "numpy", "jupyter-book", "matplotlib"} <= set(versions)
    assert all(f"{name}=={version}" in lock for name, version in versions.items())
    assert f"| torch | {versions['torch']} |" in filled(book)


def test_a_pin_for_another_system_or_python_is_not_shown(book):
    lines = ['numpy==1.0 ; python_version < "3.0" \\', "    --hash=sha256:00", "numpy==2.0 \\", "    --hash=sha256:11"]
    (book / "requirements.lock").write_text("\n".join(lines) + "\n")
    assert execution_page.locked(book) == {"numpy": "2.0"}


def test_two_pages_of_one_machine_are_equal_and_hold_no_place(book):
    record(book)
    first = filled(book)
    assert first == filled(book)
    assert str(book) not in first and str(Path.home()) + os.sep not in first


def test_a_book_without_the_page_is_left_alone(tmp_path):
    execution_page.fill(tmp_path, tmp_path, as_committed=False)
    assert list(tmp_path.iterdir()) == []
