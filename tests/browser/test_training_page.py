"""The slider through training in a browser, from a folder on the disk, with made-up data: words, keys, print, speed."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from browsing import awaited, complaints, hosts_asked, resize
from loading import load_scripts
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from training import export

ROOT = Path(__file__).resolve().parents[2]
CELLS = ["natural-unbound", "balanced-bound"]
HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Training</title>'
HEAD += '<meta name="viewport" content="width=device-width, initial-scale=1"></head><body style="margin: 0 16px">'


def mount() -> str:
    """What book/when.ipynb holds for the slider."""
    cells = json.loads((ROOT / "book" / "when.ipynb").read_text(encoding="utf-8"))["cells"]
    source = next("".join(c["source"]) for c in cells if "qgc-training" in "".join(c["source"]))
    return re.search(r'<div class="qgc-training">.*?</div>', source, re.DOTALL).group(0)


def made_up() -> dict:
    """Recorded data of two cells: moment i has Y = i / 5 and a cosine of 1 − i / 10; its maps are random."""
    rng = np.random.default_rng(0)

    def entry(i: int, sign: int) -> dict:
        two = lambda: [base64.b64encode(rng.integers(0, 256, 196, dtype=np.uint8).tobytes()).decode() for _ in (0, 1)]  # noqa: E731
        shown = {"cosine": 1 - i / 10, "a": [0.5 + i / 10, 0.5], "verdict": 1.0 if i else 0.5}
        maps = [{"maps": two(), **shown} for _ in export.METHODS]
        return {"said": [["red", 0.9, 0.9], ["blue", 0.6, 0.2]], "Y": sign * i / 5, "sure": i != 2, "maps": maps}

    about = {"seed": 10_000_001, "answer": "red", "questions": ["What of one?", "What of two?"]}
    scenes = {}
    for d in ("natural", "balanced"):
        things = list(export.sample(about["seed"], d).masks)
        scenes[d] = [{**about, "things": [a, b]} for a, b in (things[:2], things[1:3])]
    cells = {cell: [[entry(i, 1 - 2 * k) for i in range(6)] for k in range(2)] for cell in CELLS}
    return {"seed": 0, "methods": list(export.METHODS), "moments": export.moments(), "scenes": scenes, "cells": cells}


def curve(split: str | None = "validation") -> dict:
    """Points for two cells and another model: separation and cosine by moment, RGA by moment and method."""
    steps = [m["step"] for m in export.moments()]
    rows = {
        f"{cell}-seed{k}-{s}": [i / 6, 1 - i / 6, *(0.5 + i / 20 + m / 50 for m in range(3))]
        for cell in CELLS for k in (0, 1) for i, s in enumerate(steps)
    }  # fmt: skip
    return {"split": split, "of": rows | {"pythia/natural": [0.9, 0.95, 0.6, 0.7, None]} if split else {}}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Two sites of one page: ``measured`` with points, ``empty`` before anything of protocol 2 is stored."""
    folder = tmp_path_factory.mktemp("sites")
    (folder / "training.json").write_text(json.dumps(made_up()), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patched:
        for name, split in (("measured", "validation"), ("empty", None)):
            patched.setattr(export, "points", lambda _, split=split: curve(split))
            (folder / name / "book").mkdir(parents=True)
            page = folder / name / "book" / "when.html"
            page.write_text(f"{HEAD}<h1>When?</h1>{mount()}</body></html>", encoding="utf-8")
            export.write(folder / name / "training", folder / "training.json")
            assert load_scripts(folder / name, folder / name / "training") == [page]
    return folder


def steps(browser) -> int:
    script = "return document.querySelector('.qgc-training').dataset.steps ?? 0"
    return int(browser.execute_script(script))


def open_page(browser, site: Path, name: str = "measured", width: int = 1000) -> None:
    resize(browser, width)
    browser.get("about:blank")
    complaints(browser), hosts_asked(browser)
    browser.get((site / name / "book" / "when.html").as_uri())
    awaited(browser, steps, "the slider")


def at(browser, name: str):
    return browser.find_element(By.CSS_SELECTOR, f".qgc-training [data-at='{name}']")


def choose(browser, name: str, number: int) -> None:
    before = steps(browser)
    Select(browser.find_element(By.NAME, name)).select_by_index(number)
    awaited(browser, lambda b: steps(b) > before, f"the {name}")


def test_arrows_go_from_moment_to_moment_and_the_sentence_says_what_was_recorded(browser, site):
    open_page(browser, site)
    slide = browser.find_element(By.NAME, "slide")
    expected = [
        (Keys.HOME, "After 1/8 of a pass the model does not separate the two questions (Y = 0.00); their Grad-CAM maps "
         "have a cosine of 1.00."),
        (Keys.ARROW_RIGHT, "After 1/2 of a pass the model separates the two questions a little (Y = 0.20); their "
         "Grad-CAM maps have a cosine of 0.90."),
        (Keys.ARROW_RIGHT, "After 1 pass the model separates the two questions clearly (Y = 0.40; halves of the "
         "alterations disagree); their Grad-CAM maps have a cosine of 0.80."),
        (Keys.END, "After 16 passes the model separates the two questions almost completely (Y = 1.00); their Grad-CAM "
         "maps have a cosine of 0.50."),
        (Keys.ARROW_LEFT, "After 4 passes"),
    ]  # fmt: skip
    images = set()
    for key, words in expected:
        slide.send_keys(key)
        assert at(browser, "sentence").text.startswith(words)
        assert slide.get_attribute("aria-valuetext") in at(browser, "moment").text
        images.add(browser.execute_script("return arguments[0].toDataURL()", at(browser, "map-0")))
    assert len(images) == len(expected)
    voiced = lambda b: at(b, "voice").get_attribute("textContent").startswith("After 4 passes")  # noqa: E731
    awaited(browser, voiced, "the sentence for screen readers")
    assert at(browser, "voice").get_attribute("aria-live") == "polite"
    assert at(browser, "said-0").text == "The model says red (90 %)."
    assert at(browser, "said-1").text == "The model says blue (60 %). Explained: red (20 %)."
    assert complaints(browser) == [] and hosts_asked(browser) == set()


def test_every_choice_changes_what_is_shown(browser, site):
    open_page(browser, site)
    browser.find_element(By.NAME, "more").click()
    choose(browser, "scene", 1)
    assert "the wrong way round (Y = −0.20)" in at(browser, "sentence").text
    choose(browser, "method", [m.startswith("contrast") for m in export.METHODS].index(True))
    assert "contrast maps is the other one’s negative" in at(browser, "sentence").text
    assert "contrast" in at(browser, "rga-title").text
    before = at(browser, "about").text
    choose(browser, "cell", 1)
    assert at(browser, "about").text != before
    assert "Recorded so far: natural scenes, unbound CNN; balanced scenes, bound CNN." in at(browser, "recorded").text
    browser.find_element(By.NAME, "less").click()
    assert not browser.find_element(By.NAME, "less").is_enabled()


def test_the_ring_is_on_the_point_of_the_moment(browser, site):
    open_page(browser, site)
    for i in range(6):
        if i:
            browser.find_element(By.NAME, "more").click()
        x, y = 100 * (i / 6 + 0.2) / 1.2, 100 * (1 - i / 20 - 0.5)
        for name, height in (("cosine", 100 * i / 6), ("rga", y)):
            ring = at(browser, name).find_element(By.CSS_SELECTOR, ".qt-ring")
            place = browser.execute_script("return [arguments[0].style.cx, arguments[0].style.cy]", ring)
            assert [float(p.rstrip("%")) for p in place] == pytest.approx([x, height], abs=0.01), name
        assert at(browser, "cosine").get_attribute("aria-label").endswith(f"at a separation of {i / 6:.2f}.")
    assert len(at(browser, "rga").find_elements(By.CSS_SELECTOR, "circle.qt-other")) == 19
    assert len(at(browser, "rga").find_elements(By.CSS_SELECTOR, "line.qt-run")) == 5
    choose(browser, "method", 2)  # Pythia has no such map
    assert len(at(browser, "rga").find_elements(By.CSS_SELECTOR, "circle.qt-other")) == 18


def test_before_anything_is_measured_the_curve_has_axes_and_a_sentence(browser, site):
    open_page(browser, site, "empty")
    assert not browser.find_elements(By.CSS_SELECTOR, ".qt-plot circle")
    assert "Nothing of protocol 2 is measured yet" in at(browser, "curve").text
    assert at(browser, "rga").size["height"] > 100 and complaints(browser) == []


def test_on_paper_all_moments_stand_side_by_side(browser, site):
    open_page(browser, site)
    assert not at(browser, "strip").is_displayed()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    figures = at(browser, "strip").find_elements(By.TAG_NAME, "figure")
    assert len(figures) == 6 and all(f.is_displayed() for f in figures)
    assert figures[3].text == "2 passes: Y = 0.60, cosine 0.70"
    assert not browser.find_element(By.NAME, "slide").is_displayed()
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_no_scrolling_sideways_and_controls_are_large_enough_to_touch(browser, site, width):
    open_page(browser, site, width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    for element in browser.find_elements(By.CSS_SELECTOR, ".qgc-training :is(select, input, button)"):
        assert element.accessible_name, element.get_attribute("outerHTML")
        assert min(element.size["width"], element.size["height"]) >= 24, element.get_attribute("outerHTML")


STEPS = """
const slide = document.querySelector("[name=slide]");
for (let i = 0; i < 60; i++) {
  slide.value = i % 6;
  slide.dispatchEvent(new Event("input", {bubbles: true}));
}
"""


def test_a_step_takes_at_most_20_ms_of_script(browser, site):
    open_page(browser, site)
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})

    def script_ms() -> float:
        metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return 1000 * next(m["value"] for m in metrics if m["name"] == "ScriptDuration")

    before = script_ms()
    browser.execute_script(STEPS)
    each = (script_ms() - before) / 60
    print(f"\n{each:.1f} ms of script a step")
    assert each <= 20


def test_missing_data_and_no_javascript_leave_something_to_read(browser, start_browser, site):
    lost = site / "empty" / "training" / "data.js"
    kept = lost.rename(lost.with_suffix(".kept"))
    try:
        browser.get((site / "empty" / "book" / "when.html").as_uri())
        problem = (By.CSS_SELECTOR, ".qgc-training .qgc-problem")
        awaited(browser, lambda b: "could not be loaded" in b.find_element(*problem).text, "what is wrong")
        assert "On the site" in browser.find_element(By.CLASS_NAME, "qgc-training").text
    finally:
        kept.rename(lost)
        complaints(browser)
    without = start_browser(script=False)
    without.get((site / "measured" / "book" / "when.html").as_uri())
    picture = without.find_element(By.CSS_SELECTOR, ".qgc-training noscript img")
    assert picture.size["height"] > 100 and len(picture.get_attribute("alt")) > 50
