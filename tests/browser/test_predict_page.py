"""The prediction exercises in a browser, from a folder on the disk: their scores are qgc's, and they need no mouse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from browsing import awaited, complaints, hosts_asked, resize
from loading import load_scripts
from parts import read_part, unpack
from predict import EXERCISES, write
from predict.export import centre
from selenium.webdriver import ActionChains
from selenium.webdriver.common.actions.pointer_input import PointerInput
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from qgc.measure import cosine, map_share

LOOK, PICK = "look-natural", "pick-gate"
HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Guess</title>'
HEAD += '<meta name="viewport" content="width=device-width, initial-scale=1"></head><body style="margin: 0 16px">'
KEY = "question-grounded-gradcam/predict/1:"
ROUNDED = 0.00051  # shares are shown in tenths of a per cent


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Pages with one exercise each, beside freshly written data."""
    folder = tmp_path_factory.mktemp("site")
    write(folder / "predict", [LOOK, PICK])
    (folder / "book").mkdir()
    for name in (LOOK, PICK, "unknown"):
        mount = f'<div class="qgc-predict" data-exercise="{name}"><p>On the site you can guess.</p></div>'
        (folder / "book" / f"{name}.html").write_text(f"{HEAD}<h1>Guess</h1>{mount}</body></html>", encoding="utf-8")
    load_scripts(folder, folder / "predict")
    return folder


@pytest.fixture(scope="module")
def scene():
    return EXERCISES[LOOK].pair().scene


def ready(browser) -> None:
    awaited(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".qgc-predict[data-ready]"), "the exercise")


@pytest.fixture(autouse=True)
def forget(browser):
    """No test sees what another one guessed."""
    yield
    browser.execute_script("localStorage.clear()")


def open_page(browser, site: Path, name: str, width: int = 1000) -> None:
    resize(browser, width)
    browser.get((site / "book" / f"{name}.html").as_uri())
    ready(browser)


def one(browser, css: str):
    return browser.find_element(By.CSS_SELECTOR, css)


def marked(browser, step: int = 0) -> np.ndarray:
    cells = browser.find_elements(By.CSS_SELECTOR, f"[data-step='{step}'] [role=gridcell]")
    script = "return arguments[0].map((cell) => cell.getAttribute('aria-selected') === 'true')"
    return np.array(browser.execute_script(script, cells)).reshape(14, 14)


def remember(browser, marks: np.ndarray, version: str) -> None:
    """Put marks (2, 14, 14) where the page keeps guesses, and open both."""
    guesses = [{"marks": "".join(map(str, m.astype(int).ravel())), "open": True} for m in marks]
    kept = json.dumps({"version": version, "guesses": guesses})
    browser.execute_script("localStorage.setItem(arguments[0], arguments[1])", KEY + LOOK, kept)


def rows(browser, css: str) -> dict[str, list[str]]:
    """A table on the page: the words of each row by its heading."""
    script = """return [...document.querySelectorAll(arguments[0] + " tbody tr")].map((row) =>
        [...row.cells].map((cell) => cell.textContent))"""
    return {first: rest for first, *rest in browser.execute_script(script, css)}


def number(words: str) -> float:
    return float(words.removesuffix(" %").replace("−", "-")) / (100 if words.endswith("%") else 1)


def test_the_scores_of_random_marks_are_those_of_qgc(browser, site, scene):
    data, rng = read_part(site / "predict" / f"{LOOK}.js"), np.random.default_rng(5)
    maps = [torch.tensor(unpack(asked["map"])).view(14, 14) for asked in data["questions"]]
    open_page(browser, site, LOOK)
    for part in (0.02, 0.2, 0.7):
        marks = rng.random((2, 14, 14)) < part
        marks[:, 3, 4] = True
        remember(browser, marks, data["version"])
        open_page(browser, site, LOOK)
        for k, asked in enumerate(data["questions"]):
            told = list(rows(browser, f"[data-step='{k}']").values())[1:]
            own, other = (scene.masks[data["questions"][i]["thing"]] for i in (k, 1 - k))
            mine = torch.from_numpy(marks[k].astype(float))
            pixels = np.kron(marks[k], np.ones((16, 16), bool))
            there = [
                [float(map_share(mine, own)), float(map_share(maps[k], own)), own.mean()],
                [float(map_share(mine, other)), float(map_share(maps[k], other)), other.mean()],
                [float(map_share(maps[k], pixels)), float(map_share(torch.ones(14, 14), pixels))],
            ]
            shown = [[number(words) for words in row if words != "–"] for row in told]
            for ours, theirs in zip(shown, there, strict=True):
                assert ours == pytest.approx(theirs, abs=ROUNDED), asked
        alike = [float(x) for x in re.findall(r"cosine ([\d.]+)", one(browser, "[data-at=both]").text)]
        assert alike == pytest.approx(
            [cosine(*maps), cosine(*(torch.from_numpy(m.astype(float)) for m in marks))], abs=0.00051
        )
    assert complaints(browser) == []


def test_buttons_keep_their_size_and_nothing_warns_before_anything_was_done(browser, site):
    open_page(browser, site, LOOK, 1280)
    assert one(browser, "[data-at=count]").text == "0 of 196 cells marked"
    one(browser, "[role=gridcell]").send_keys(Keys.SPACE)
    one(browser, "[name=reveal]").click()
    for button in browser.find_elements(By.CSS_SELECTOR, "[data-step='1'] button"):
        assert 24 <= button.size["height"] <= 60


def test_by_keyboard_alone(browser, site):
    open_page(browser, site, LOOK)
    for _ in range(6):
        browser.switch_to.active_element.send_keys(Keys.TAB)
        if browser.switch_to.active_element.get_attribute("role") == "gridcell":
            break
    press = lambda *keys: [browser.switch_to.active_element.send_keys(key) for key in keys]  # noqa: E731
    assert not one(browser, "[name=reveal]").is_enabled()
    press(Keys.SPACE, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.SPACE, Keys.SHIFT + Keys.ARROW_RIGHT)
    press(Keys.END, Keys.SPACE, Keys.PAGE_DOWN, Keys.ARROW_DOWN, Keys.SPACE, Keys.SPACE)  # the last: marked and erased
    assert np.argwhere(marked(browser)).tolist() == [[0, 0], [2, 1], [2, 2], [2, 13]]
    focused = browser.switch_to.active_element
    assert focused.accessible_name == "row 14, column 14" and focused.aria_role == "gridcell"
    said = lambda b: one(b, ".qgc-voice").get_attribute("textContent")  # noqa: E731
    last = "erased: row 14, column 14; 4 of 196"
    awaited(browser, lambda b: said(b) == last, last)
    press(Keys.TAB, Keys.ENTER)  # Reveal
    assert browser.switch_to.active_element.get_attribute("data-at") == "result"
    assert "In your 4 cells" in browser.switch_to.active_element.text
    cell = one(browser, "[data-step='0'] [aria-selected=true]")
    assert re.search(r"row 1, column 1, heat \d+ % of the maximum", cell.accessible_name)
    press(Keys.TAB)  # into the second grid
    assert browser.switch_to.active_element.get_attribute("role") == "gridcell"
    press(Keys.SPACE, Keys.TAB, Keys.TAB, Keys.TAB, Keys.ENTER)  # Reveal, Clear, Take my first marks
    assert np.array_equal(marked(browser, 0), marked(browser, 1))
    one(browser, "[data-step='1'] [name=reveal]").send_keys(Keys.ENTER)
    assert "You expected them to be alike, and they are." in browser.switch_to.active_element.text
    press(Keys.SPACE)
    one(browser, "[data-step='0'] [aria-selected=true]").send_keys(Keys.SPACE)
    assert marked(browser).sum() == 4  # what is revealed can no longer be changed


@pytest.mark.parametrize("kind, width", [("touch", 360), ("mouse", 1000)])
def test_a_pointer_paints_and_erases(browser, site, kind, width):
    open_page(browser, site, LOOK, width)
    grid = one(browser, "[role=grid]")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", grid)
    cell = grid.size["width"] / 14

    def drag(row: int, start: int, end: int) -> None:
        devices = [PointerInput(kind, kind)]
        to = ActionChains(browser, duration=10, devices=devices).move_to_element_with_offset(
            grid, round((start - 6.5) * cell), round((row - 6.5) * cell)
        )
        to.click_and_hold().move_by_offset(round((end - start) * cell), 0).release().perform()

    def shows(*columns: int) -> None:
        wanted = [[4, column] for column in columns]
        awaited(browser, lambda b: np.argwhere(marked(b)).tolist() == wanted, f"marks in the columns {columns}")

    drag(4, 2, 9)
    shows(*range(2, 10))
    drag(4, 8, 5)  # begun on a marked cell
    shows(2, 3, 4, 9)
    assert "4 of 196 cells" in one(browser, "[data-at=count]").text
    one(browser, "[name=clear]").click()
    assert not marked(browser).any()


def test_guesses_are_kept_until_they_are_forgotten(browser, site):
    open_page(browser, site, LOOK)
    one(browser, "[role=gridcell]:nth-child(5)").send_keys(Keys.SPACE)
    open_page(browser, site, LOOK)
    assert np.argwhere(marked(browser)).tolist() == [[0, 4]]
    one(browser, "[name=reveal]").click()
    open_page(browser, site, LOOK)
    assert one(browser, "[data-at=result]").is_displayed() and one(browser, "[data-step='1']").is_displayed()
    one(browser, "[name=forget]").click()
    awaited(browser, lambda b: not one(b, "[data-step='1']").is_displayed(), "the second question to go")
    assert not marked(browser).any() and browser.execute_script("return localStorage.length") == 0
    remember(browser, np.ones((2, 14, 14)), "of other data")
    open_page(browser, site, LOOK)
    assert not marked(browser).any()


LOOKS = {"marks": "1" * 196, "open": False}
NOT_GUESSES = ["", "null", "5", "{", "[" * 100_000, '"guesses"', "{}"]
HOSTILE = {
    LOOK: [
        5, "ab", {"length": 1e9}, [], [LOOKS], [LOOKS] * 3, [None, None], [LOOKS, {"marks": "1", "open": False}],
        [LOOKS, {**LOOKS, "marks": "2" * 196}], [LOOKS, {**LOOKS, "marks": ["1" * 196]}], [LOOKS, {**LOOKS, "open": 1}],
        [{"marks": "0" * 196, "open": True}, LOOKS], [LOOKS, {**LOOKS, "open": True}], {"0": LOOKS, "1": LOOKS},
    ],
    PICK: [7, "close", {"length": 1e9}, {"length": 1}, ["a"] * 11, ["a", "c"], ["a", None], [["a"]], {"0": "a"}],
}  # fmt: skip


@pytest.mark.parametrize("name", [LOOK, PICK])
def test_what_others_left_in_the_storage_does_no_harm(browser, site, name):
    """All sites of one origin share it: only what the exercise itself would write is read, and it can be guessed."""
    version = read_part(site / "predict" / f"{name}.js")["version"]
    kept = [json.dumps({"version": version, "guesses": guesses}) for guesses in HOSTILE[name]]
    for hostile in [*NOT_GUESSES, *kept]:
        browser.execute_script("localStorage.setItem(arguments[0], arguments[1])", KEY + name, hostile)
        open_page(browser, site, name)
        if name == LOOK:
            assert not marked(browser).any() and not one(browser, "[data-step='1']").is_displayed(), hostile[:100]
        else:
            assert "You:" not in one(browser, "[data-at=progress]").text, hostile[:100]
    one(browser, "[role=gridcell], [name=a]").send_keys(Keys.SPACE)
    mine = json.loads(browser.execute_script("return localStorage.getItem(arguments[0])", KEY + name))
    assert mine["version"] == version and len(mine["guesses"]) == (2 if name == LOOK else 1)
    one(browser, "[name=forget]").click()
    awaited(browser, lambda b: b.execute_script("return localStorage.length") == 0, "the guesses to be forgotten")
    assert complaints(browser) == []


REFUSE = (
    """Object.defineProperty(window, "localStorage", {get() { throw new DOMException("no", "SecurityError"); }});"""
)


def test_where_storage_is_refused_it_works_until_the_reader_leaves(browser, site):
    refusal = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": REFUSE})
    try:
        open_page(browser, site, PICK)
        assert "keeps nothing" in one(browser, ".qp-foot").text
        one(browser, "[name=a]").click()
        assert one(browser, "[data-at=verdict]").is_displayed()
        one(browser, "[name=forget]").click()
        awaited(browser, lambda b: one(b, "[name=a]").is_displayed(), "the choice anew")
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", refusal)
        browser.refresh()
    assert complaints(browser) == []


def test_a_series_scores_as_rank_grounding_does(browser, site):
    data, rng = read_part(site / "predict" / f"{PICK}.js"), np.random.default_rng(2)
    visible = read_part(site / "predict" / "index.js")["visible"]
    open_page(browser, site, PICK)
    points, better, passed = 0.0, [0, 0], [0.0, 0.0]
    for i, item in enumerate(data["items"]):
        shares = torch.tensor(item["shares"], dtype=torch.float64)  # (method, question, own and other)
        ranks = np.array(item["ranks"])  # (method, a_1, a_2 and verdict)
        effects = ranks[:, 0] - ranks[:, 1]
        choice = str(rng.choice(["a", "b", "close"]))
        best = int(effects[1] > effects[0])
        close = abs(effects[1] - effects[0]) < visible
        points += 0.5 if close or choice == "close" else float((choice == "b") == (best != item["swap"]))
        better[best] += not close
        passed = [p + verdict for p, verdict in zip(passed, ranks[:, 2], strict=True)]
        assert not one(browser, "[data-at=verdict]").is_displayed()
        one(browser, f"[name={choice}]").send_keys(Keys.ENTER)
        told = rows(browser, "[data-at=verdict]")
        for m, method in enumerate(data["methods"]):
            *a, effect, passes, own, other = told[f"{'AB'[m ^ item['swap']]}: {method}"]
            assert [number(x) for x in a] == pytest.approx(ranks[m, :2], abs=ROUNDED)
            assert number(own) == pytest.approx(float(shares[m, :, 0].mean()), abs=ROUNDED)
            assert number(other) == pytest.approx(float(shares[m, :, 1].mean()), abs=ROUNDED)
            assert number(effect) == pytest.approx(effects[m], abs=ROUNDED)
            assert passes == {1: "yes", 0.5: "tie", 0: "no"}[ranks[m, 2]]
        shown = re.search(r"You: (\d*)(½?) of (\d+)", one(browser, "[data-at=progress]").text).groups()
        assert float(shown[0] or 0) + 0.5 * bool(shown[1]) == points and int(shown[2]) == i + 1
        if i < 9:
            one(browser, "[name=next]").send_keys(Keys.ENTER)
            awaited(browser, lambda b, i=i: f"Scene {i + 2} of" in one(b, "[data-at=progress]").text, "the next scene")
    summary = rows(browser, "[data-at=summary] > .qp-table")
    heading = [method[0].upper() + method[1:] for method in data["methods"]]
    assert [summary[h][0] for h in heading] == [f"{count} of 10" for count in better]
    assert [float(summary[h][1].split()[0]) for h in heading] == passed
    open_page(browser, site, PICK)
    assert one(browser, "[data-at=summary]").is_displayed()
    assert complaints(browser) == []


@pytest.mark.parametrize("gap", [0, 0.049])
def test_a_difference_too_small_to_see_gives_half_a_point_whatever_is_said(browser, site, gap):
    path = site / "predict" / f"{PICK}.js"
    before = path.read_text(encoding="utf-8")
    data = read_part(path)
    data["items"][0]["ranks"] = [[0.6, 0.5, 1], [0.6 + gap, 0.5, 1]]
    path.write_text(f'qgcPredict.part("{PICK}", {json.dumps(data)});\n', encoding="utf-8")
    try:
        open_page(browser, site, PICK)
        for choice in ("a", "b", "close"):
            one(browser, f"[name={choice}]").click()
            assert "Half a point." in one(browser, "[data-at=verdict]").text
            assert "too little to see" in one(browser, "[data-at=verdict]").text
            one(browser, "[name=forget]").click()
            awaited(browser, lambda b: one(b, "[name=a]").is_displayed(), "the choice anew")
    finally:
        path.write_text(before, encoding="utf-8")


def test_maps_that_cannot_be_seen_are_told_in_words(browser, site):
    data = read_part(site / "predict" / f"{PICK}.js")
    open_page(browser, site, PICK)
    scene = one(browser, "[data-at=scene]").get_attribute("aria-label")
    assert data["items"][0]["about"] in scene and data["items"][0]["things"][1] in scene
    words = one(browser, "[data-at=map-0-0]").get_attribute("aria-label")
    shares = [int(x) for x in re.findall(r"(\d+) %", words)]
    assert words.startswith("Map A for") and shares == sorted(shares, reverse=True) and 40 <= sum(shares) <= 101
    assert centre(np.eye(4, dtype=bool)) == [0.38, 0.38]


@pytest.mark.parametrize("name", [LOOK, PICK])
def test_a_narrow_page_does_not_scroll_sideways_and_can_be_touched(browser, site, name):
    open_page(browser, site, name, 360)
    for step in ("before", "after"):
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 360
        for target in browser.find_elements(By.CSS_SELECTOR, ".qgc-predict :is(button, [tabindex='0'])"):
            if target.is_displayed():
                assert target.accessible_name and min(target.rect["height"], target.rect["width"]) >= 24
        if step == "before":
            [cell.send_keys(Keys.SPACE) for cell in browser.find_elements(By.CSS_SELECTOR, "[role=gridcell]")[:1]]
            one(browser, "[name=reveal], [name=a]").click()


CONTRAST = """
const light = (c) => c.map((x) => (x /= 255) <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
  .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
const read = (css) => { const d = document.createElement("canvas").getContext("2d"); d.fillStyle = css;
  d.fillRect(0, 0, 1, 1); return [...d.getImageData(0, 0, 1, 1).data].slice(0, 3); };
const ground = arguments[0];
const words = [...document.querySelectorAll(".qgc-predict :is(p, small, h3, h4, td, th, caption)")];
return words.filter((e) => e.offsetParent).map((e) => {
  const [a, b] = [light(read(getComputedStyle(e).color)), light(read(ground))].sort((x, y) => y - x);
  return [(a + 0.05) / (b + 0.05), e.textContent];
});
"""
DARK = "--pst-color-text-base: #ced6dd; --pst-color-text-muted: #9ca4af; --pst-color-background: #14181e;"


@pytest.mark.parametrize("ground, theme", [("#ffffff", ""), ("#14181e", DARK)])
def test_words_stand_out_in_light_and_dark(browser, site, ground, theme):
    open_page(browser, site, LOOK)
    browser.execute_script("document.documentElement.style = arguments[0]", theme)
    one(browser, "[role=gridcell]").send_keys(Keys.SPACE)
    one(browser, "[name=reveal]").click()
    found = browser.execute_script(CONTRAST, ground)
    assert len(found) > 10
    for contrast, words in found:
        assert contrast >= 4.5, words


@pytest.mark.parametrize("motion, moving", [("reduce", False), ("no-preference", True)])
def test_nothing_moves_for_those_who_asked_for_that(browser, site, motion, moving):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": motion}]}
    )
    open_page(browser, site, LOOK)
    one(browser, "[role=gridcell]").send_keys(Keys.SPACE)
    script = "document.querySelector('[name=reveal]').click(); return document.getAnimations().length > 0"
    assert browser.execute_script(script) == moving
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_nothing_is_asked_of_another_host(browser, site):
    hosts_asked(browser)
    for name in (LOOK, PICK):
        open_page(browser, site, name)
    assert hosts_asked(browser) == set() and complaints(browser) == []


def test_an_exercise_that_cannot_start_leaves_the_words_of_the_page(browser, site):
    browser.get((site / "book" / "unknown.html").as_uri())
    problem = awaited(browser, lambda b: one(b, ".qgc-problem"), "the problem in words")
    assert problem.text == "The exercise could not start: no exercise is called “unknown”."
    assert "On the site you can guess." in one(browser, ".qgc-predict").text
    assert one(browser, "[name=forget]").is_displayed()
    complaints(browser)


def test_a_lost_file_is_told_with_its_remedy_and_found_again(browser, site):
    path = site / "predict" / f"{PICK}.js"
    kept = path.rename(path.with_suffix(".kept"))
    try:
        browser.get((site / "book" / f"{PICK}.html").as_uri())
        problem = awaited(browser, lambda b: one(b, ".qgc-problem"), "the problem in words")
        assert "“pick-gate.js” could not be loaded. The folder “predict” belongs beside" in problem.text
    finally:
        kept.rename(path)
    browser.execute_script("localStorage.setItem(arguments[0], 'x')", KEY + PICK)
    one(browser, "[name=forget]").click()
    ready(browser)
    assert browser.execute_script("return localStorage.length") == 0
    assert not browser.find_elements(By.CSS_SELECTOR, ".qgc-problem")
    complaints(browser)
