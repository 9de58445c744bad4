"""The pictures on the pages of the built site: their numbers are qgc's, they are quick, and they need no mouse."""

from __future__ import annotations

import re
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from browsing import awaited, complaints, hosts_asked, resize, theme
from parts.packing import random_scores
from pictures import PICTURES, export
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from qgc.measure import cosine, map_share

PAGES = {"pass": "model", "neurons": "sensitivity", "sum": "same-answer", "repaint": "map-or-model"}
DRAWS, OTHERS = 40, 1000  # of neurons.js


@pytest.fixture(scope="module")
def both() -> list:
    return export.example()[2]


def open_picture(browser, site: Path, name: str, width: int = 1280) -> None:
    """Open the chapter that shows a picture, and scroll there, since it is loaded only when it is near."""
    resize(browser, width)
    browser.get("about:blank")
    complaints(browser), hosts_asked(browser)
    browser.get((site / "book" / f"{PAGES[name]}.html").as_uri())
    mount = awaited(browser, lambda b: b.find_elements(By.CLASS_NAME, "qgc-pictures"), "its place")[0]
    browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", mount)
    awaited(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".qgc-pictures[data-ready]"), f"the picture {name}")


def at(browser, name: str):
    return browser.find_element(By.CSS_SELECTOR, f".qgc-pictures [data-at='{name}']")


def named(browser, name: str):
    return browser.find_element(By.CSS_SELECTOR, f".qgc-pictures [name='{name}']")


def words(browser, name: str) -> str:
    return at(browser, name).get_attribute("textContent")


def signed(value: float, digits: int) -> str:
    return f"{float(value):.{digits}f}".replace("-", "−")


def steps(browser) -> int:
    return int(browser.execute_script("return document.querySelector('.qgc-pictures').dataset.steps"))


def test_the_pass_goes_forward_and_back_by_keyboard_and_says_what_qgc_says(browser, site, both):
    open_picture(browser, site, "pass")
    first, second = both
    found = []
    for _ in range(11):
        found.append(words(browser, "says"))
        named(browser, "next").send_keys(Keys.ENTER)
    assert f"{float((first.u.abs() > 0.9).double().mean()):.0%}".replace("%", " %") in found[2]
    assert f"“{first.predicted}” ({first.confidence:.0%}".replace("%", " %") in found[6]
    alike = {"u": (first.u, second.u), "A": (first.A, second.A), "g": (first.g, second.g)}
    alike |= {"α": (first.g @ first.M, second.g @ second.M), "map": (first.map(), second.map())}
    alike = {name: float(cosine(*two)) for name, two in alike.items()}
    told = ", ".join(f"{name} {value:.2f}" for name, value in alike.items())
    assert f"Cosine between the two questions: {told}. The questions differ most at g;" in found[10]
    assert min(alike, key=alike.get) == "g" and max(alike, key=alike.get) == "map"
    assert named(browser, "next").get_attribute("aria-disabled") == "true"
    named(browser, "back").send_keys(Keys.ENTER)
    current = browser.find_elements(By.CSS_SELECTOR, "[aria-current=step]")
    assert [b.text for b in current] == ["10"]
    assert complaints(browser) == [] and hosts_asked(browser) == set()


def test_a_neuron_that_is_pointed_at_shows_its_own_map_and_its_own_numbers(browser, site, both):
    open_picture(browser, site, "pass")
    browser.find_element(By.CSS_SELECTOR, "[data-step='7']").click()
    grid = browser.find_element(By.CSS_SELECTOR, "[data-grid='g']")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", grid)
    box, cell = grid.rect, grid.rect["width"] / 32
    images = set()
    for j in (33, 500, 1023):
        x, y = (cell * (j % 32 + 0.5) - box["width"] / 2, cell * (j // 32 + 0.5) - box["height"] / 2)
        ActionChains(browser).move_to_element_with_offset(grid, round(x), round(y)).perform()
        awaited(browser, lambda b, j=j: named(b, "neuron").get_attribute("value") == str(j), f"neuron {j}")
        images.add(browser.execute_script("return arguments[0].toDataURL()", at(browser, "own")))
        facts = words(browser, "facts")
        for values, name in ((both[0].u, "u"), (both[0].v, "v"), (both[0].A, "A = u·v"), (both[0].g, "g")):
            assert f"{name}{signed(values[j], 3)}" in facts, (name, facts)
    assert len(images) == 3
    named(browser, "strong").click()
    named(browser, "neuron").send_keys(Keys.CONTROL, "a")
    named(browser, "neuron").send_keys(str(int(both[0].order[0])))
    assert re.search(r"∂A/∂q[\d.]+ \(rank 1\)", words(browser, "facts"))


def test_a_set_of_neurons_is_told_by_qgcs_numbers_and_compared_with_random_sets(browser, site, both):
    open_picture(browser, site, "neurons")
    scene, things = export.example()[1], [ask.thing for ask in export.example()[1].asks[:2]]
    awaited(browser, lambda b: "random sets of this size" in words(b, "says"), "the random sets")
    e, n = both[0], export.N

    def shares(neurons) -> list[float]:
        return [float(map_share(e.map(neurons=list(neurons)), scene.masks[thing])) for thing in things]

    own, other = shares(e.order[:n].tolist())
    random = [shares(np.argsort(-random_scores(OTHERS + i, 1024), kind="stable")[:n].tolist()) for i in range(DRAWS)]
    worse = sum(not a - b >= own - other for a, b in random)
    held = float(e.g[e.order[:n]].abs().sum() / e.g.abs().sum())
    told = f"They hold {held:.1%} of Σ|g|, and as many random ones {n / 1024:.1%}. Of their map, {own:.0%} is on the "
    told += f"{things[0]} and {other:.0%} is on the {things[1]}; the difference is larger than in {worse} of {DRAWS} "
    assert words(browser, "says").startswith(told.replace("%", " %"))
    named(browser, "all").click()
    full = shares(range(1024))
    assert words(browser, "own") == f"{full[0]:.0%}".replace("%", " %")
    assert words(browser, "title") == "Grad-CAM: 1,024 neurons."


def test_the_brush_is_drawn_by_mouse_or_by_keyboard(browser, site, both):
    open_picture(browser, site, "neurons")
    field, size = at(browser, "field"), at(browser, "field").size
    half = round(size["width"] / 2) - 2, round(size["height"] / 2) - 2
    ActionChains(browser).move_to_element_with_offset(field, -half[0], -half[1]).click_and_hold().move_by_offset(
        2 * half[0], half[1]
    ).release().perform()
    assert at(browser, "brush").is_displayed() and words(browser, "title").startswith("Brushed: ")
    drawn = words(browser, "title")
    named(browser, "paper").click()
    assert not at(browser, "brush").is_displayed()
    named(browser, "bottom").send_keys(5 * Keys.PAGE_UP)
    ceiling = 1.05 * max(float(e.g.abs().max()) for e in both)
    above = int((both[0].g.abs() / ceiling >= 0.5).sum())
    assert words(browser, "title") == f"Brushed: {above} neurons." and above > 5
    assert abs(int(re.sub(r"\D", "", drawn)) - above) <= 4  # a pixel more or less
    assert named(browser, "bottom").get_attribute("aria-valuetext") == f"{ceiling / 2:.2f}"
    Select(named(browser, "axis")).select_by_value("u")
    assert words(browser, "title").startswith("The paper’s set")


def test_a_repainted_object_loses_the_score_that_qgc_says(browser, site):
    open_picture(browser, site, "repaint")
    vqa, scene, before = export.example()
    browser.find_element(By.CSS_SELECTOR, "[value='red']").click()
    awaited(browser, lambda b: words(b, "lost-0-0") != "–", "the score")
    white = vqa.answers.index("white")
    for i, thing in enumerate(("sink", "towels")):
        for k, e in enumerate(export.explained(vqa, scene.recolour(thing, "red"))):
            assert words(browser, f"lost-{k}-{i}") == signed(before[k].y[white] - e.y[white], 2)
            if thing == "sink":
                assert words(browser, f"probability-{k}") == f"{e.confidence:.0%}".replace("%", " %")
                assert f"“{e.predicted}”" in words(browser, f"said-{k}")
    assert "Asked about the towels, natural depends most on the sink" in words(browser, "says")
    Select(named(browser, "model")).select_by_visible_text("balanced")
    awaited(browser, lambda b: "balanced depends most on the towels, as it should" in words(b, "says"), "the model")


def test_the_mean_over_more_cells_loses_the_attention_by_qgcs_cosines(browser, site):
    open_picture(browser, site, "sum")
    vqa, _, asked = export.example(export.ATTENTIVE)
    for i, side in enumerate(export.BLOCKS):
        browser.find_element(By.CSS_SELECTOR, f"[data-block='{i}']").click()
        maps = [export.averaged(e, side).relu() for e in asked]
        near = [float(cosine(m, vqa.attention(e.F, e.q)[0])) for m, e in zip(maps, asked, strict=True)]
        told = f"attention: {near[0]:.2f} and {near[1]:.2f}. Cosine of the two questions’ maps: "
        assert words(browser, "mean-says").endswith(f"{told}{float(cosine(*maps)):.2f}.")
    named(browser, "count").send_keys(Keys.END)
    assert "cosine of 1.00" in words(browser, "sum-says")


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_fits_every_width_and_axe_finds_nothing(browser, site, name):
    axe = (files("selenium_axe_python") / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    run = """const done = arguments[0]; axe.run(".qgc-pictures", {preload: false}).then(found =>
      done(found.violations.map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 150)).join(" | "))));"""
    try:
        for width, colours in ((390, "light"), (1280, "dark")):
            theme(browser, colours)
            open_picture(browser, site, name, width)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            for control in browser.find_elements(By.CSS_SELECTOR, ".qgc-pictures :is(select, input, button)"):
                assert control.accessible_name, control.get_attribute("outerHTML")
                assert min(control.size["width"], control.size["height"]) >= 24, control.get_attribute("outerHTML")
            browser.execute_script(axe)
            assert browser.execute_async_script(run) == []
    finally:
        theme(browser, "light")


def test_on_paper_the_whole_pass_stands_there_with_all_its_sentences(browser, site):
    open_picture(browser, site, "pass")
    assert not at(browser, "all").is_displayed()
    try:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert len(at(browser, "all").find_elements(By.TAG_NAME, "li")) == 11 and at(browser, "all").is_displayed()
        assert all(at(browser, panel).is_displayed() for panel in ("q", "u", "F", "v", "A", "y", "g", "alpha", "map"))
        assert not named(browser, "next").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


SET = """const set = (name, value) => {
  const input = document.querySelector(`.qgc-pictures [name=${name}]`);
  input.value = value;
  input.dispatchEvent(new Event("input", {bubbles: true}));
};"""
STEP = {
    "pass": 'document.querySelector("[data-step=\\"" + (i % 11) + "\\"]").click(); set("neuron", 17 * i)',
    "neurons": 'set("bottom", (i % 50) / 100)',
    "repaint": 'document.querySelectorAll("[name=colour]")[i % 11].click()',
    "sum": 'set("count", 3 * i + 1); document.querySelectorAll("[data-block]")[i % 4].click()',
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_step_takes_at_most_20_ms_of_script(browser, site, name):
    open_picture(browser, site, name)
    if name == "neurons":
        awaited(browser, lambda b: "random sets of this size" in words(b, "says"), "the random sets")
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})

    def script_ms() -> float:
        metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        return 1000 * next(m["value"] for m in metrics if m["name"] == "ScriptDuration")

    for _ in ("images are decoded at their first time", "measured"):
        before, count = script_ms(), steps(browser)
        browser.execute_script(f"{SET} for (let i = 1; i <= 40; i++) {{ {STEP[name]}; }}")
        awaited(browser, lambda b, count=count: steps(b) > count, "the steps")
        each = (script_ms() - before) / 40
    print(f"\n{name}: {each:.1f} ms of script a step")
    assert each <= 20


def test_a_picture_that_cannot_be_loaded_leaves_the_words_that_were_there(browser, site, tmp_path):
    shutil.copytree(site / "pictures", tmp_path / "pictures", ignore=shutil.ignore_patterns("*-data.js"))
    page = '<!doctype html><html lang="en"><head><title>P</title>{}</head><body>{}</body></html>'
    scripts = "".join(f'<script src="pictures/{name}.js" defer></script>' for name in ("maps", "pictures"))
    mount = '<div class="qgc-pictures" data-picture="pass"><p>On the site.</p></div>'
    (tmp_path / "page.html").write_text(page.format(scripts, mount), encoding="utf-8")
    browser.get((tmp_path / "page.html").as_uri())
    problem = (By.CSS_SELECTOR, ".qgc-pictures .qgc-problem")
    awaited(browser, lambda b: "could not be loaded" in b.find_element(*problem).text, "what is wrong")
    assert "On the site." in browser.find_element(By.CLASS_NAME, "qgc-pictures").text
    complaints(browser)
