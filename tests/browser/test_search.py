"""Who searches for a word of the field finds the page that is about it among the first three."""

from __future__ import annotations

import browsing
import pytest
from selenium.webdriver.common.by import By

FOUND = "#search-results ul.search > li"
PAGES = {
    "saliency": "1-same-map",
    "random gate": "controls",
    "question contrast": "what-works",
    "conclusion": "what-we-found",
    "Spearman": "rank-correlation",
    "how to run": "how-to-use",
    "faithful": "map-or-model",
    "Pythia": "two-models",
    "exercise": "teach",
    "GPU": "troubleshooting",
}
UNSAID = {"conclusion"}  # words that their page does not say yet: remove them here when it does


def search(browser, site, words: str) -> list[tuple[str, str]]:
    """What the site's search finds: the page (or the reference's entry) and the text that is shown, in order."""
    browser.get("about:blank")
    browser.get((site / "search.html").as_uri() + "?q=" + words.replace(" ", "+"))
    browsing.awaited(
        browser, lambda b: "finished" in b.find_element(By.CSS_SELECTOR, ".search-summary").text, "the end"
    )
    links = browser.find_elements(By.CSS_SELECTOR, f"{FOUND} > a")
    return [(link.get_attribute("href").rpartition("/")[2], link.text) for link in links]


@pytest.mark.parametrize("words", PAGES)
def test_the_right_page_is_among_the_first_three(browser, site, words, request):
    if words in UNSAID:
        request.applymarker(pytest.mark.xfail(reason=f"{PAGES[words]} does not say {words!r} yet", strict=True))
    first = [page.partition(".html")[0] for page, _ in search(browser, site, words)[:3]]
    assert PAGES[words] in first


def test_chapters_come_before_entries_of_the_reference_and_each_page_once(browser, site):
    found = search(browser, site, "gate")
    entries = ["#" in page and "qgc." in page for page, _ in found]
    assert entries == sorted(entries) and any(entries)
    pages = [page.partition(".html")[0] for (page, _), entry in zip(found, entries, strict=True) if not entry]
    assert len(pages) == len(set(pages)) > 10 and "gate" in pages[:3]


def test_a_name_of_the_package_typed_in_full_comes_first(browser, site):
    assert search(browser, site, "qgc.explain.gates.chance")[0][1] == "qgc.explain.gates.chance"


def test_a_formula_is_quoted_once(browser, site):
    """Under ``file:`` nothing is quoted, so the quoting is asked itself."""
    search(browser, site, "gate")
    formula = '<div role="main">so <math><mi>α</mi><annotation encoding="application/x-tex">\\alpha</annotation></math>'
    assert browser.execute_script("return Search.htmlToText(arguments[0])", formula).strip() == "so α"
