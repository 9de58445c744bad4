"""A headless Chromium for the tests of pages, and the built site; without a Chromium they are skipped, and say so."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import browsing
import pytest
from build_book import ROOT, Book
from filelock import FileLock
from selenium import webdriver

MADE_FROM = ["book/**/*", "_config.yml", "_toc.yml", "tools/**/*.py", "qgc/**/*", "site/**/*"]


@pytest.fixture(scope="session")
def start_browser(tmp_path_factory) -> Iterator[Callable]:
    """start_browser(script=True) → a new Chromium, closed at the end; ``script=False`` switches JavaScript off."""
    started: list[webdriver.Chrome] = []

    def start(script: bool = True) -> webdriver.Chrome:
        started.append(browsing.start(tmp_path_factory.mktemp("profile"), script))
        return started[-1]

    try:
        browsing.program()
    except browsing.NoBrowser as none:
        pytest.skip(str(none))
    yield start
    for browser in started:
        browser.quit()


@pytest.fixture(scope="session")
def browser(start_browser) -> webdriver.Chrome:
    """One Chromium for all tests of a session."""
    return start_browser()


def newest(root: Path) -> float:
    """When the latest change was made to anything that the site is built from."""
    files = (p for pattern in MADE_FROM for p in root.glob(pattern) if p.is_file() and "__pycache__" not in p.parts)
    return max(p.stat().st_mtime for p in files if not p.name.startswith("."))


@pytest.fixture(scope="session")
def site() -> Path:
    """The folder of the built site; built now, from the committed outputs, unless it is there and nothing is newer.

    `make test` builds it before the tests run, so it is not built twice.
    """
    folder = Book(ROOT).site
    made = folder / ".buildinfo"
    Book(ROOT).build.mkdir(exist_ok=True)
    with FileLock(Book(ROOT).build / "site.lock"):  # workers of one run would build it at once, over each other
        if not made.exists() or made.stat().st_mtime < newest(ROOT):
            subprocess.run([sys.executable, "tools/build_book.py", "--as-committed"], cwd=ROOT, check=True)
    return folder
