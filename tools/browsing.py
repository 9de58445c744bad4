"""Debian's Chromium without a window, driven by Selenium: what a page says, loads and weighs."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from selenium import webdriver
from selenium.common.exceptions import (
    ElementNotInteractableException,
    NoSuchElementException,
    SessionNotCreatedException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

QUIET = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync", "--headless=new"]
PATIENCE_S = 120  # a page that does not come about in this time on a busy machine never does
ANSWER_S = 600  # how long a single command may take, such as all rules of accessibility on a long page
REMEDY = "no Chromium with its driver here: install the packages chromium and chromium-driver"


Found = TypeVar("Found")


class NoBrowser(RuntimeError):
    """There is no Chromium to be found; the message says what to install."""


def program() -> str:
    """Where Chromium is."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        raise NoBrowser(REMEDY)
    return found


def start(profile: Path, script: bool = True) -> webdriver.Chrome:
    """A new Chromium that keeps what it must in the folder `profile`; its network asks nothing of its own."""
    driver = shutil.which("chromedriver")
    if not driver:
        raise NoBrowser(REMEDY)
    options = webdriver.ChromeOptions()
    options.binary_location = program()
    for argument in [*QUIET, f"--user-data-dir={profile}"]:
        options.add_argument(argument)
    if getattr(os, "geteuid", lambda: 1)() == 0:
        options.add_argument("--no-sandbox")  # Chromium has no sandbox for root
    if not script:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    try:
        browser = webdriver.Chrome(options=options, service=Service(driver))
    except SessionNotCreatedException:  # on a busy machine Chromium may not answer its driver in time
        browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.command_executor.client_config.timeout = ANSWER_S
    return browser


@contextmanager
def opened() -> Iterator[webdriver.Chrome]:
    """A new Chromium for as long as it is needed, with a profile that goes with it."""
    with tempfile.TemporaryDirectory() as profile:
        browser = start(Path(profile))
        try:
            yield browser
        finally:
            browser.quit()


def awaited(
    browser: webdriver.Chrome,
    until: Callable[[webdriver.Chrome], Found],
    what: str,
    seconds: float = PATIENCE_S,
    poll_s: float = 0.05,
) -> Found:
    """What ``until`` gives of the browser once that is true; while a page is put together, parts of it may be missing.

    Raises TimeoutError, which says ``what`` was awaited, what the page showed instead, and what the console says.
    """
    unready = (StaleElementReferenceException, ElementNotInteractableException, NoSuchElementException)
    try:
        return WebDriverWait(browser, seconds, poll_s, ignored_exceptions=unready).until(until)
    except TimeoutException:
        shown = " ".join(browser.find_element(By.TAG_NAME, "body").text.split())
        state = f"the page showed {shown[:800]!r}, its console {complaints(browser)[-5:]}"
        raise TimeoutError(f"waited {seconds:.0f} s for {what}; {state}") from None


def resize(browser: webdriver.Chrome, width: int, height: int = 900) -> None:
    """Give the page this many CSS pixels, as a phone does below 500."""
    sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", sizes)


def cut_network(browser: webdriver.Chrome) -> None:
    """Let nothing through but files of this machine."""
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.emulateNetworkConditions", offline)


def theme(browser: webdriver.Chrome, name: str) -> None:
    """Tell pages that the reader's system is `light` or `dark`."""
    feature = {"name": "prefers-color-scheme", "value": name}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


def complaints(browser: webdriver.Chrome) -> list[str]:
    """Warnings and errors in the console since the last call."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def asked(browser: webdriver.Chrome) -> list[str]:
    """Addresses that the pages asked for since the last call, data in the page itself omitted."""
    events = (json.loads(entry["message"])["message"] for entry in browser.get_log("performance"))
    found = (e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent")
    return [address for address in found if not address.startswith(("data:", "chrome:", "about:", "blob:"))]


def hosts(addresses: list[str]) -> set[str]:
    """The hosts among these addresses."""
    return {urlsplit(address).netloc for address in addresses} - {""}


def hosts_asked(browser: webdriver.Chrome) -> set[str]:
    """Hosts that the pages asked for anything since the last call."""
    return hosts(asked(browser))


def visit(browser: webdriver.Chrome, page: Path, quiet_s: float = 0.4) -> list[str]:
    """Open a page of a folder, wait until it has loaded all it wants before any scrolling, give what it asked for."""
    browser.get("about:blank")
    complaints(browser), asked(browser)
    browser.get(page.as_uri())
    awaited(browser, lambda b: b.execute_script("return document.readyState") == "complete", f"{page.name} to load")
    found: list[str] = []
    until = time.monotonic() + quiet_s
    while time.monotonic() < until:
        time.sleep(quiet_s / 2)
        if more := asked(browser):
            found += more
            until = time.monotonic() + quiet_s
    return found


def weights(addresses: list[str]) -> dict[Path, int]:
    """Bytes of every file among these addresses, each counted once."""
    files = {Path(unquote(urlsplit(a).path)) for a in addresses if a.startswith("file:")}
    return {file: file.stat().st_size for file in files if file.is_file()}
