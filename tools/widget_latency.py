"""How quickly the widgets answer in a live page: python tools/widget_latency.py [--json].

Opens JupyterLab with a notebook of one cell in a headless Chromium, and times what a user sees: from a key pressed on a
control until the new image has been decoded in the page. Kernel, messages and painting are all in it.
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
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

BOUNDS = {"n": 50.0, "question": 150.0, "scene": 400.0}
"""Milliseconds from a key to the new image, on two cores."""

CELL = "import qgc\nqgc.widgets.explorer()"
KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
ROUNDS = 9
START_S = 180  # for JupyterLab, or a kernel, on a busy machine
SILENCE_S = 0.5  # before the page is asked: each question to it takes milliseconds that no user would take

# Asks the page to note when the first image of the widget has changed and is decoded.
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


class NoServer(RuntimeError):
    """JupyterLab did not start; the message says how it ended and what it last said."""


@contextmanager
def jupyter_lab(folder: Path) -> Iterator[str]:
    """JupyterLab for a folder, on a free port of this machine; its address with the token. It is tried twice."""
    try:
        server, address, token = started(folder)
    except NoServer:  # another program may have taken the port in between
        server, address, token = started(folder)
    try:
        yield f"{address}/lab/tree/widgets.ipynb?token={token}&reset"
    finally:
        end(server)


def started(folder: Path) -> tuple[subprocess.Popen, str, str]:
    """A server that answers, its address and token."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, address = secrets.token_hex(16), f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1", "--log-level=ERROR"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}"]
    command += [f"--IdentityProvider.token={token}", f"--MappingKernelManager.kernel_info_timeout={START_S}"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
    surroundings = os.environ | {"JUPYTER_PREFER_ENV_PATH": "1", "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings")}
    log = folder / ".server.log"
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=surroundings, stdout=out, stderr=subprocess.STDOUT)
    until = time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api/status?token={token}", timeout=10).close()
            return server, address, token
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    end(server)
    log_end = log.read_text(encoding="utf-8", errors="replace").strip()[-800:]
    raise NoServer(f"JupyterLab did not answer within {START_S} s, status {server.returncode}; log: {log_end or '-'}")


def end(server: subprocess.Popen) -> None:
    """Ask a server to end, and see to it that it does."""
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


# The cell is not run, runs, or is done: what stands in the brackets before it.
PROMPT = "return document.querySelector('.jp-CodeCell .jp-InputPrompt')?.textContent ?? ''"
LOADED = """return [...document.querySelectorAll('.widget-html img')]
  .filter((picture) => picture.complete && picture.naturalWidth && picture.offsetWidth).length >= 2"""


def open_widget(browser: webdriver.Chrome, address: str) -> None:
    """Open the notebook, run its cell, and wait until the widget shows its images."""
    browser.get(address)
    idle = ".jp-Notebook-ExecutionIndicator[data-status='idle']"
    browsing.awaited(browser, lambda b: b.find_elements(By.CSS_SELECTOR, idle), "a kernel that is ready", START_S)
    cell = (By.CSS_SELECTOR, ".jp-CodeCell .cm-content")
    unrun = browser.execute_script(PROMPT)

    def run(b: webdriver.Chrome) -> bool:
        """Run the cell, again where the page was still too busy to take the key."""
        if b.execute_script(PROMPT) == unrun:
            b.find_element(*cell).click()
            b.switch_to.active_element.send_keys(Keys.SHIFT, Keys.ENTER)
        return b.execute_script(PROMPT) != unrun

    browsing.awaited(browser, run, "the cell to run", poll_s=2)
    browsing.awaited(browser, lambda b: b.execute_script(LOADED), "the widget's two images", START_S, poll_s=0.2)


def control(browser: webdriver.Chrome, description: str) -> WebElement:
    """The slider's handle or the list whose label is ``description``."""
    label = f"//label[text()='{description}']/.."
    for inner in ("//*[@role='slider' or contains(@class, 'noUi-handle')]", "//select", "//input"):
        if found := browser.find_elements(By.XPATH, label + inner):
            return found[0]
    raise LookupError(f"no control is called {description!r}")


def timed(browser: webdriver.Chrome, element: WebElement, step: int) -> float:
    """Milliseconds from a key on a slider, or a choice in a list, to the new image."""
    browser.execute_script("arguments[0].focus()", element)
    browser.execute_script(WATCH)
    if element.tag_name == "select":
        browser.execute_script(CHOOSE, element, step)
    else:
        element.send_keys(Keys.ARROW_RIGHT if step > 0 else Keys.ARROW_LEFT)
    time.sleep(SILENCE_S)
    return browsing.awaited(browser, lambda b: b.execute_script(GAP), "another image", poll_s=0.1)


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
    times: dict[str, list[float]] = {"n": [], "scene": [], "question": []}
    for _ in range(rounds):
        times["n"].append(timed(browser, control(browser, "Top n"), 1))
    for _ in range(rounds):
        times["scene"].append(timed(browser, control(browser, "Scene"), 1))
        questions = control(browser, "Question")
        if int(questions.get_property("length")) > 1:
            times["question"].append(timed(browser, questions, 1))
    return times


def main() -> int:
    """Print the three figures and their bounds; 1 if one is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        with live_widget() as browser:
            measured = measure(browser)
    except browsing.NoBrowser as error:
        print(error, file=sys.stderr)
        return 1
    medians = {what: statistics.median(times) for what, times in measured.items()}
    if options.json:
        print(json.dumps({"median": medians, "all": measured}))
    else:
        for what, bound in BOUNDS.items():
            verdict = "holds" if medians[what] <= bound else "MISSED"
            middle = f"[{min(measured[what]):.0f}, {max(measured[what]):.0f}]"
            print(f"a new {what:8s} {medians[what]:5.0f} ms {middle:12s} (bound {bound:.0f}: {verdict})")
    return int(any(medians[what] > bound for what, bound in BOUNDS.items()))


if __name__ == "__main__":
    sys.exit(main())
