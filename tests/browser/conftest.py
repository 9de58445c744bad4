"""A headless Chromium for the tests of pages; without one they are skipped, and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync", "--headless=new"]


@pytest.fixture(scope="session")
def start_browser(tmp_path_factory) -> Iterator[Callable]:
    """start_browser(script=True) → a new Chromium, closed at the end; ``script=False`` switches JavaScript off."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("no Chromium with its driver here: install the packages chromium and chromium-driver")
    started = []

    def start(script: bool = True) -> webdriver.Chrome:
        options = webdriver.ChromeOptions()
        options.binary_location = program
        for argument in [*QUIET, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
            options.add_argument(argument)
        if getattr(os, "geteuid", lambda: 1)() == 0:
            options.add_argument("--no-sandbox")  # Chromium has no sandbox for root
        if not script:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        started.append(webdriver.Chrome(options=options, service=Service(driver)))
        return started[-1]

    yield start
    for browser in started:
        browser.quit()


@pytest.fixture(scope="session")
def browser(start_browser) -> webdriver.Chrome:
    """One Chromium for all tests of a session."""
    return start_browser()
