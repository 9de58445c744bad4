"""How quickly the widgets answer in a live page: python tools/widget_latency.py [--json].

Opens JupyterLab with a notebook of one cell in a headless Chromium, and times what a user sees: from a key pressed on a
control until the new picture has been decoded in the page. Kernel, messages and painting are all in it.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import browsing
import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from selenium import webdriver
from selenium.common.exceptions import ElementNotInteractableException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

BOUNDS = {"n": 50.0, "question": 150.0, "scene": 400.0}
"""Milliseconds from a key to the new picture, on two cores."""

CELL = "import qgc\nqgc.widgets.explorer()"
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
ROUNDS = 9
SILENCE_S = 0.5  # before the page is asked: each question to it takes milliseconds that no user would take

# Asks the page to note when the first picture of the widget has changed and is decoded.
WATCH = """
const picture = () => document.querySelector('.widget-html img');
const before = picture().src;
window.qgcDone = null;
const watcher = new MutationObserver(() => {
  if (picture() && picture().src !== before) {
    watcher.disconnect();
    picture().decode().then(() => { window.qgcDone = performance.now(); });
  }
});
watcher.observe(document.querySelector('.jp-Notebook'), {childList: true, subtree: true});
for (const event of ['keydown', 'change']) {
  document.addEventListener(event, () => { window.qgcBegan = performance.now(); }, {capture: true, once: true});
}
"""
# A headless browser opens no list, so the choice is made as its list would make it.
CHOOSE = """
const [list, step] = arguments;
list.selectedIndex = (list.selectedIndex + step) % list.options.length;
list.dispatchEvent(new Event('change', {bubbles: true}));
"""
GAP = "return window.qgcDone && window.qgcDone - window.qgcBegan"


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[str]:
    """JupyterLab for a folder, on a free port of this machine; its address with the token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--no-browser",
        f"--ServerApp.port={port}",
        "--ServerApp.ip=127.0.0.1",
    ]
    command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}", "--log-level=ERROR"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    surroundings = os.environ | {"JUPYTER_PREFER_ENV_PATH": "1", "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings")}
    server = subprocess.Popen(command, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.25)
        else:
            raise TimeoutError("JupyterLab did not start within a minute")
        yield f"{address}/lab/tree/widgets.ipynb?token={token}&reset"
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def open_widget(browser: webdriver.Chrome, address: str, seconds: float = 90) -> None:
    """Open the notebook, run its cell, and wait until the widget shows a picture."""
    browser.get(address)
    moving = (StaleElementReferenceException, ElementNotInteractableException)  # while the page is still put together
    wait = WebDriverWait(browser, seconds, poll_frequency=0.2, ignored_exceptions=moving)
    cell = ".jp-CodeCell .cm-content"
    idle = ".jp-Notebook-ExecutionIndicator[data-status='idle']"
    wait.until(lambda b: b.find_elements(By.CSS_SELECTOR, idle))
    wait.until(lambda b: b.find_element(By.CSS_SELECTOR, cell).click() is None)
    browser.switch_to.active_element.send_keys(Keys.SHIFT, Keys.ENTER)
    wait.until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".widget-html img")) >= 2)
    time.sleep(1)


def control(browser: webdriver.Chrome, description: str) -> WebElement:
    """The slider's handle or the list whose label is ``description``."""
    label = f"//label[text()='{description}']/.."
    for inner in ("//*[@role='slider' or contains(@class, 'noUi-handle')]", "//select", "//input"):
        if found := browser.find_elements(By.XPATH, label + inner):
            return found[0]
    raise LookupError(f"no control is called {description!r}")


def timed(browser: webdriver.Chrome, element: WebElement, step: int) -> float:
    """Milliseconds from a key on a slider, or a choice in a list, to the new picture."""
    browser.execute_script("arguments[0].focus()", element)
    browser.execute_script(WATCH)
    if element.tag_name == "select":
        browser.execute_script(CHOOSE, element, step)
    else:
        element.send_keys(Keys.ARROW_RIGHT if step > 0 else Keys.ARROW_LEFT)
    time.sleep(SILENCE_S)
    return WebDriverWait(browser, 30, poll_frequency=0.1).until(lambda b: b.execute_script(GAP))


@contextmanager
def live_widget() -> Iterator[webdriver.Chrome]:
    """A browser that shows :func:`qgc.widgets.explorer` in JupyterLab."""
    with tempfile.TemporaryDirectory() as name, browsing.opened() as browser:
        folder = Path(name)
        browsing.resize(browser, 1400, 1400)
        notebook = new_notebook(cells=[new_code_cell(CELL)], metadata={"kernelspec": KERNEL})
        nbformat.write(notebook, folder / "widgets.ipynb")
        with jupyter_lab(folder) as address:
            open_widget(browser, address)
            yield browser


def measure(browser: webdriver.Chrome, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Milliseconds of several changes of n, of the scene, and of the question (each seen for the first time)."""
    found: dict[str, list[float]] = {"n": [], "scene": [], "question": []}
    for _ in range(rounds):
        found["n"].append(timed(browser, control(browser, "Top n"), 1))
    for _ in range(rounds):
        found["scene"].append(timed(browser, control(browser, "Scene"), 1))
        questions = control(browser, "Question")
        if int(questions.get_property("length")) > 1:
            found["question"].append(timed(browser, questions, 1))
    return found


def main() -> int:
    """Print the three figures beside their bounds; 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        with live_widget() as browser:
            found = measure(browser)
    except browsing.NoBrowser as error:
        print(error, file=sys.stderr)
        return 1
    medians = {what: statistics.median(times) for what, times in found.items()}
    if options.json:
        print(json.dumps({"median": medians, "all": found}))
    else:
        for what, bound in BOUNDS.items():
            verdict = "holds" if medians[what] <= bound else "MISSED"
            middle = f"[{min(found[what]):.0f}, {max(found[what]):.0f}]"
            print(f"a new {what:8s} {medians[what]:5.0f} ms {middle:12s} (bound {bound:.0f}: {verdict})")
    return int(any(medians[what] > bound for what, bound in BOUNDS.items()))


if __name__ == "__main__":
    sys.exit(main())
