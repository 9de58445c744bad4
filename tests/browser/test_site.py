"""Every page of the built site, in a browser without network: quiet, light, accessible, and nothing leads nowhere.

Axe looks at each page light and wide, dark and narrow, and in one of the other views, page by page in turn. With
QGC_EVERY_VIEW=1 it looks at each in light and dark at every width, which takes ten minutes.
"""

from __future__ import annotations

import os
import re
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from queue import Queue
from urllib.parse import unquote, urlsplit

import browsing
import offline
import pytest
from selenium.webdriver.support.ui import WebDriverWait
from site_report import pages

WIDTHS = [1280, 768, 360]
VIEWS = [(width, theme) for width in WIDTHS for theme in ("light", "dark")]
ALWAYS = [(1280, "light"), (360, "dark")]
SETTLE_S = 0.5  # the theme sees 0.3 s after a change of width what can be scrolled now
LIMIT = 1_500_000  # bytes before any scrolling
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
AXE = """
const done = arguments[arguments.length - 1];
const options = {runOnly: {type: "tag", values: arguments[0]}, resultTypes: ["violations"], preload: false};
axe.run(document, options).then(found => done(found.violations.map(v =>
  `${v.id}: ${v.help}: ` + v.nodes.slice(0, 6).map(n => n.target.join(" ") + " " + n.html.slice(0, 200)).join(" | ")
  + (v.nodes.length > 6 ? ` and ${v.nodes.length - 6} more` : ""))), error => done([String(error)]));
"""
# Code has thousands of coloured pieces in a few colours, and checking contrast costs by the piece: two of each will do.
FEW = """
const kept = new Map();
for (const piece of document.querySelectorAll(".highlight pre span")) {
  const kind = piece.className + Boolean(piece.closest(".cell_output"));
  kept.set(kind, (kept.get(kind) ?? 0) + 1);
  if (kept.get(kind) > 2) piece.replaceWith(...piece.childNodes);
}
for (const code of document.querySelectorAll(".highlight pre")) code.normalize();
"""
# A cross-fade seen half-way is pale by design: axe sees each turn of the landing page's figure whole.
STILL = "for (const turn of document.getAnimations()) { turn.pause(); turn.currentTime = 0; }"
WIDE = """
const wide = document.documentElement.scrollWidth;
if (wide <= window.innerWidth) return "";
const over = [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1);
return `${wide} px: ` + over.slice(0, 3).map(e => e.outerHTML.slice(0, 120)).join(" | ");
"""


@dataclass
class Seen:
    """What a page did."""

    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)
    bytes: int = 0
    wide: dict[int, str] = field(default_factory=dict)
    violations: dict[str, list[str]] = field(default_factory=dict)


def views(number: int) -> list[tuple[int, str]]:
    """In which widths and themes axe looks at the page with this number."""
    others = [view for view in VIEWS if view not in ALWAYS]
    return VIEWS if os.environ.get("QGC_EVERY_VIEW") else [*ALWAYS, others[number % len(others)]]


def look(browser, page: Path, chosen: list[tuple[int, str]] = ALWAYS) -> Seen:
    """Open a page, look at it at every width, and let axe look at it in the chosen widths and themes."""
    script = Path(__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    seen = Seen()
    browsing.resize(browser, WIDTHS[0])
    browsing.theme(browser, "light")
    addresses = browsing.visit(browser, page)
    seen.bytes = sum(browsing.weights(addresses).values())
    browser.execute_script(script + FEW)
    for width in WIDTHS:
        browsing.resize(browser, width)
        time.sleep(SETTLE_S)
        if wide := browser.execute_script(WIDE):
            seen.wide[width] = wide
        for theme in (theme for view, theme in chosen if view == width):
            browsing.theme(browser, theme)
            time.sleep(SETTLE_S)
            browser.execute_script(STILL)
            shown = browser.execute_script("return document.documentElement.dataset.theme")
            if found := browser.execute_async_script(AXE, TAGS):
                seen.violations[f"{shown} at {width} px"] = found
    seen.hosts = browsing.hosts(addresses + browsing.asked(browser))
    seen.complaints = browsing.complaints(browser)
    return seen


@pytest.fixture(scope="module")
def seen(start_browser, site) -> dict[str, Seen]:
    """What every page did, by its name; two browsers share the work."""
    browsers: Queue = Queue()
    for browser in (start_browser(), start_browser()):
        browser.set_script_timeout(120)
        browsing.cut_network(browser)
        browsers.put(browser)

    def by_the_next(page: Path) -> Seen:
        browser = browsers.get()
        try:
            return look(browser, page, views(everywhere.index(page)))
        finally:
            browsers.put(browser)

    everywhere = pages(site)
    with ThreadPoolExecutor(2) as pool:
        return dict(
            zip([p.relative_to(site).as_posix() for p in everywhere], pool.map(by_the_next, everywhere), strict=True)
        )


def none_of(problems: dict[str, object]) -> None:
    """Fail, and name every page that has any of these problems."""
    told = [f"{name}: {what}" for name, what in problems.items() if what]
    assert not told, "\n".join(told)


def test_the_console_stays_silent(seen):
    none_of({name: page.complaints for name, page in seen.items()})


def test_no_other_host_is_asked(seen):
    none_of({name: page.hosts for name, page in seen.items()})


def test_no_page_scrolls_sideways(seen):
    none_of({name: page.wide for name, page in seen.items()})


def test_no_page_is_heavy(seen):
    none_of({name: page.bytes for name, page in seen.items() if page.bytes > LIMIT})
    assert min(page.bytes for page in seen.values()) > 100_000  # the sizes were seen at all


def test_axe_finds_no_violation(seen):
    none_of({name: page.violations for name, page in seen.items()})


def test_axe_does_find_what_is_wrong(start_browser, tmp_path):
    """The rules bite: a page with a picture without words and with grey on grey fails them."""
    bad = '<!doctype html><html lang="en"><title>Bad</title><main><h1 style="color:#aaa;background:#bbb">Grey</h1>'
    (tmp_path / "bad.html").write_text(bad + '<img src="x.png"></main>', encoding="utf-8")
    found = look(start_browser(), tmp_path / "bad.html")
    assert all(rule in str(found.violations) for rule in ("image-alt", "color-contrast"))
    assert "x.png" in str(found.complaints)


class Links(HTMLParser):
    """The addresses that a page leads to or loads, and the places in it that can be led to."""

    def __init__(self, page: Path):
        super().__init__()
        self.addresses: list[str] = []
        self.places: set[str] = {"", "top"}
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.places |= {given.get("id") or "", (given.get("name") or "") if tag == "a" else ""}
        self.addresses += [given[name] for name in ("href", "src") if given.get(name)]


links = cache(Links)


def problem(page: Path, address: str, site: Path) -> str:
    """Why an address on a page leads nowhere, or nothing."""
    parts = urlsplit(address)
    if parts.scheme in ("http", "https"):
        return "" if re.fullmatch(r"[\w.-]+\.[a-z]{2,}(:\d+)?", parts.netloc) and " " not in address else "bad address"
    if parts.scheme in ("mailto", "data", "javascript"):
        return ""
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.is_file() or not target.is_relative_to(site.resolve()):
        return "no such file in the site"
    place = unquote(parts.fragment)
    if target.suffix != ".html" or "=" in place:  # "#scene=bathroom&n=25" is a view of the explorer
        return ""
    return "" if place in links(target).places else "no such place on the page"


def test_no_link_is_dead(site):
    everywhere = [*pages(site), site / "index.html"]
    dead = {
        f"{page.relative_to(site)} → {address}": why
        for page in everywhere
        for address in links(page.resolve()).addresses
        if (why := problem(page.resolve(), address, site))
    }
    none_of(dead)
    assert sum(len(links(page.resolve()).addresses) for page in everywhere) > 1000


@pytest.fixture(scope="module")
def unpacked(site, tmp_path_factory) -> Path:
    """The site as somebody finds it who unpacks the archive."""
    folder = tmp_path_factory.mktemp("offline")
    offline.pack(site, folder / "site.zip")
    with zipfile.ZipFile(folder / "site.zip") as pile:
        pile.extractall(folder)
    return folder / offline.NAME


def test_the_search_works_in_the_unpacked_archive(browser, unpacked):
    browsing.visit(browser, unpacked / "search.html")
    browser.get((unpacked / "search.html").as_uri() + "?q=gate")
    found = lambda b: b.find_elements("css selector", "#search-results li a")  # noqa: E731
    results = WebDriverWait(browser, 30).until(found)
    assert any("gate.html" in result.get_attribute("href") for result in results)
    assert browsing.complaints(browser) == []


def test_the_explorer_works_in_the_unpacked_archive(browser, unpacked):
    browsing.visit(browser, unpacked / "book" / "explorer.html")
    chosen = "return document.querySelector('#qgc-explorer').dataset.choices"
    assert WebDriverWait(browser, 60).until(lambda b: b.execute_script(chosen))
    assert browsing.complaints(browser) == []
