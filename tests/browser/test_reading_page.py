"""Terms and the landing page's moving picture in a browser: pointing, keyboard, touch, and nothing moving unasked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from browsing import awaited, complaints, resize
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

ROOT = Path(__file__).resolve().parents[2]
TERM = '<a class="qgc-term" href="#there" data-meaning="Lets some neurons pass.">gate</a>'


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """A page with a term, and with what book/index.md holds for the moving picture; its address."""
    index = (ROOT / "book" / "index.md").read_text(encoding="utf-8")
    moving = re.search(r"```\{raw\} html\n(.*?)```", index, re.DOTALL).group(1)
    static = ROOT / "book" / "_static"
    style, script = ((static / name).read_text(encoding="utf-8") for name in ("reading.css", "qgc-terms.js"))
    still = '<img class="qgc-still" alt="The same, standing still.">'
    path = tmp_path_factory.mktemp("site") / "page.html"
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>A page</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style>'
        f'<body class="bd-content"><p>A {TERM} and a {TERM}.</p>{moving}{still}<p id="there">Here.</p>'
        f"<script>{script}</script>",
        encoding="utf-8",
    )
    return path.as_uri()


def meaning(browser) -> str:
    """The meaning that is shown, if any."""
    found = [e for e in browser.find_elements(By.CSS_SELECTOR, "[role=tooltip]") if e.is_displayed()]
    return found[0].text if found else ""


def test_a_term_shows_its_meaning_to_the_keyboard(browser, page):
    resize(browser, 1280)
    browser.get(page)
    complaints(browser)
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys(Keys.TAB)
    term = browser.switch_to.active_element
    assert "qgc-term" in term.get_attribute("class") and meaning(browser) == "Lets some neurons pass."
    assert term.get_attribute("aria-describedby") == "qgc-meaning"
    term.send_keys(Keys.ESCAPE)
    assert meaning(browser) == "" and browser.switch_to.active_element == term
    assert complaints(browser) == []


def test_a_term_shows_its_meaning_to_the_pointer_and_lets_it_come_over(browser, page):
    resize(browser, 1280)
    browser.get(page)
    ActionChains(browser).move_to_element(browser.find_element(By.CSS_SELECTOR, "a.qgc-term")).perform()
    awaited(browser, meaning, "the meaning")
    tip = browser.find_element(By.ID, "qgc-meaning")
    # In one step, as on a busy machine many small ones may take longer than the grace to come over.
    ActionChains(browser, duration=0).move_to_element(tip).pause(0.6).perform()
    assert meaning(browser)
    ActionChains(browser).move_to_element(browser.find_element(By.ID, "there")).perform()
    awaited(browser, lambda b: not meaning(b), "the meaning to go")


def test_the_first_tap_shows_and_the_second_follows(browser, page):
    resize(browser, 360)
    browser.get(page)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        term = browser.find_element(By.CSS_SELECTOR, "a.qgc-term")
        for followed in (False, True):
            # One command: between two, a busy machine may let so much time go by that the finger rests.
            finger = PointerInput("touch", "finger")
            ActionChains(browser, duration=0, devices=[finger]).move_to_element(term).click().perform()
            told = lambda b, followed=followed: b.current_url.endswith("#there") == followed and meaning(b)  # noqa: E731
            awaited(browser, told, "the place that the term leads to" if followed else "the meaning")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


def moving(browser) -> set[str]:
    """The states of the animations on the page."""
    return set(browser.execute_script("return document.getAnimations().map(a => a.playState)"))


def test_the_picture_can_be_paused_with_the_keyboard(browser, page):
    resize(browser, 1280)
    browser.get(page)
    assert moving(browser) == {"running"}
    button = browser.find_element(By.ID, "qgc-pause")
    assert button.accessible_name == "Pause"
    button.send_keys(Keys.SPACE)
    awaited(browser, lambda b: moving(b) == {"paused"}, "the picture to stand")
    browser.find_element(By.CSS_SELECTOR, "label[for=qgc-pause]").click()
    awaited(browser, lambda b: moving(b) == {"running"}, "the picture to move")


@pytest.mark.parametrize(
    "media", [{"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}, {"media": "print"}]
)
def test_nothing_moves_where_that_is_not_wanted(browser, page, media):
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        browser.get(page)
        shown = {c: browser.find_element(By.CLASS_NAME, c).is_displayed() for c in ("qgc-moving", "qgc-still")}
        assert shown == {"qgc-moving": False, "qgc-still": True} and moving(browser) == set()
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
