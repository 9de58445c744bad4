"""Every page of the built site, in a browser without network: quiet, light, accessible, and nothing leads nowhere.

Axe looks at each page light and wide, dark and narrow, and in one of the other views, page by page in turn. With
QGC_EVERY_VIEW=1 it looks at each in light and dark at every width, which takes ten minutes.
"""

from __future__ import annotations

import os
import re
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from queue import Queue
from urllib.parse import unquote, urlsplit

import browsing
import offline
import pytest
from policy import POLICY
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from site_report import filled, pages

WIDTHS = [1280, 768, 360]
VIEWS = [(width, theme) for width in WIDTHS for theme in ("light", "dark")]
DEFAULT = [(1280, "light"), (360, "dark")]
TURNS = [DEFAULT, [(768, "light"), (1280, "dark")], [(360, "light"), (768, "dark")]]  # which pages take one by one
LIMIT = 1_500_000  # bytes before any scrolling
CODE = 0.05  # of a chapter's height, before a click
TEACH_CODE = {"book/how-to-use.html", "book/your-photographs.html"}  # there it is what the chapter is about
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
# The theme looks 0.3 s after a change of width what can be scrolled now. Counted by the page's own clock, which on a
# busy machine goes on late, after the change has come to the page: its timers end in the order in which they began.
SETTLED = """
const done = arguments[arguments.length - 1], frame = requestAnimationFrame;
frame(() => frame(() => setTimeout(() => frame(() => done()), 500)));
"""
# A cross-fade seen half-way is pale by design: axe sees each turn of the landing page's figure whole.
STILL = """
for (const turn of document.getAnimations())
  if (turn instanceof CSSTransition) turn.finish();
  else { turn.pause(); turn.currentTime = 0; }
"""
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
    filled: dict[str, float] = field(default_factory=dict)
    wide: dict[int, str] = field(default_factory=dict)
    violations: dict[str, list[str]] = field(default_factory=dict)


def views(number: int) -> list[tuple[int, str]]:
    """In which widths and themes axe looks at the page with this number."""
    return VIEWS if os.environ.get("QGC_EVERY_VIEW") else TURNS[number % len(TURNS)]


def look(browser, page: Path, chosen: list[tuple[int, str]] = DEFAULT) -> Seen:
    """Open a page, look at it at every width, and let axe look at it in the chosen widths and themes."""
    script = (files("selenium_axe_python") / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    seen = Seen()
    browsing.resize(browser, WIDTHS[0])
    browsing.theme(browser, "light")
    addresses = browsing.visit(browser, page)
    seen.bytes = sum(browsing.weights(addresses).values())
    seen.filled = filled(browser)
    browser.execute_script(script + FEW)
    for width in WIDTHS:
        browsing.resize(browser, width)
        browser.execute_async_script(SETTLED)
        if wide := browser.execute_script(WIDE):
            seen.wide[width] = wide
        for theme in (theme for view, theme in chosen if view == width):
            browsing.theme(browser, theme)
            browser.execute_async_script(SETTLED)
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
        browser.set_script_timeout(browsing.ANSWER_S)
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


def test_code_and_checks_do_not_stand_before_what_they_show(seen):
    chapters = {name: page.filled for name, page in seen.items() if page.filled}
    told = {name: found for name, found in chapters.items() if name not in TEACH_CODE}
    none_of({name: f"{f['code']:.1%} code" for name, f in told.items() if f["code"] > CODE})
    none_of({name: f"{f['asserts']} cells check" for name, f in chapters.items() if f["asserts"]})
    none_of({name: f"{f['clipped']} blocks clipped" for name, f in chapters.items() if f["clipped"]})
    assert all(chapters[name]["code"] > 0 for name in TEACH_CODE)  # code is seen at all


def test_code_opens_by_keyboard_and_says_what_it_is(browser, site):
    browsing.resize(browser, 1280)
    browsing.visit(browser, site / "book" / "gate.html")
    summary = browser.find_element(By.CSS_SELECTOR, ".qgc-code > summary")
    code = browser.find_element(By.CSS_SELECTOR, ".qgc-code pre")
    assert summary.accessible_name.startswith("Show the code") and not code.is_displayed()
    summary.send_keys(Keys.ENTER)
    browsing.awaited(browser, lambda b: code.is_displayed(), "the code")
    assert summary.accessible_name.startswith("Hide the code")


def test_a_wide_figure_scrolls_on_a_phone_and_can_be_reached(browser, site):
    browsing.resize(browser, 390)
    browsing.visit(browser, site / "book" / "gate.html")
    browsing.awaited(browser, lambda b: b.find_elements(By.CSS_SELECTOR, ".qgc-wide[tabindex='0']"), "the figures")
    figure = browser.find_element(By.CSS_SELECTOR, ".qgc-wide")
    sizes = browser.execute_script("const f = arguments[0]; return [f.scrollWidth, f.clientWidth]", figure)
    assert sizes[0] > 500 > sizes[1] and figure.get_attribute("aria-label") == "Figure, scrolls sideways"


def test_in_the_dark_charts_are_light_on_dark_and_scenes_keep_their_colors(browser, site):
    browsing.resize(browser, 1280)
    browsing.theme(browser, "dark")
    browsing.visit(browser, site / "book" / "gate.html")
    filters = browser.execute_script(
        "return [...document.querySelectorAll('.cell_output img')].map(e => getComputedStyle(e).filter)"
    )
    browsing.theme(browser, "light")
    assert {f.split("(")[0] for f in filters} == {"invert", "brightness"}


def test_axe_finds_no_violation(seen):
    none_of({name: page.violations for name, page in seen.items()})


def test_axe_does_find_what_is_wrong(start_browser, tmp_path):
    """The rules bite: a page with a picture without words and with grey on grey fails them."""
    bad = '<!doctype html><html lang="en"><title>Bad</title><main><h1 style="color:#aaa;background:#bbb">Grey</h1>'
    (tmp_path / "bad.html").write_text(bad + '<img src="x.png"></main>', encoding="utf-8")
    found = look(start_browser(), tmp_path / "bad.html")
    assert all(rule in str(found.violations) for rule in ("image-alt", "color-contrast"))
    assert "x.png" in str(found.complaints)


class Policies(HTMLParser):
    """The policy of a page, and what stands before it that might run ungoverned."""

    def __init__(self, page: Path):
        super().__init__()
        self.found: list[str] = []
        self.before: list[str] = []
        self.handlers: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.found.append(given["content"] or "")
        elif not self.found and tag not in ("html", "head") and given != {"charset": "utf-8"}:
            self.before.append(tag)
        self.handlers += [name for name in given if name.startswith("on")]


def test_every_page_has_the_policy_before_anything_that_it_governs(site):
    everywhere = {page: Policies(page) for page in [*pages(site), site / "index.html"]}
    none_of({page.name: found.before + found.handlers for page, found in everywhere.items()})
    for page, policies in everywhere.items():
        (found,) = policies.found
        rules = dict(rule.split(" ", 1) for rule in found.split("; "))
        assert rules.keys() == POLICY.keys(), page
        assert re.fullmatch(r"'self'( 'sha256-[\w+/=]{44}')*", rules["script-src"]), page
        assert rules["object-src"] == rules["base-uri"] == "'none'" and rules["font-src"] == "'self' data:"


INTRUDE = """
document.body.insertAdjacentHTML("beforeend", '<i id="bad" onclick="window.intruded = 1">');
document.getElementById("bad").click();
document.body.append(Object.assign(document.createElement("script"), {textContent: "window.intruded = 2"}));
location.href = "javascript:void (window.intruded = 3)";
document.body.append(Object.assign(document.createElement("base"), {href: "https://example.org/"}));
return [window.intruded ?? 0, document.baseURI === location.href];
"""


def test_the_policy_keeps_out_what_is_not_the_site(browser, site):
    browsing.visit(browser, site / "book" / "gate.html")
    assert browser.execute_script(INTRUDE) == [0, True]
    told = lambda found: sum("Content Security Policy" in line for line in found) >= 3  # noqa: E731
    seen: list[str] = []
    browsing.awaited(browser, lambda b: told(seen.extend(browsing.complaints(b)) or seen), "the console to tell of it")
    assert browser.execute_script("return window.intruded ?? 0") == 0


def test_the_buttons_of_the_theme_work_under_the_policy(browser, site):
    browsing.visit(browser, site / "book" / "gate.html")
    done = """
    window.print = () => (window.printed = true);
    document.documentElement.requestFullscreen = () => (window.full = true);
    for (const button of document.querySelectorAll("[data-qgc-click]")) button.click();
    return [window.printed, window.full];
    """
    assert browser.execute_script(done) == [True, True]
    assert browsing.complaints(browser) == []


LEFT = ["mode", "theme", "sphinx_highlight_terms", "pst_banner_pref", "pst_announcement_banner_pref"]


@pytest.mark.parametrize("value", ["null", "{", "purple", "<b onclick=1>", '{"length":1e9}'])
def test_what_others_left_in_the_storage_leaves_a_page_whole(browser, site, value):
    page = site / "book" / "gate.html"
    browsing.visit(browser, page)
    keep = "for (const key of arguments[0]) localStorage.setItem(key, arguments[1]);"
    browser.execute_script(keep + "sessionStorage.setItem('sidebar-scroll-top', arguments[1])", LEFT, value)
    try:
        browser.get(page.as_uri() + "?highlight=%E0%A4%A#no-such-place")
        themed = "return ['light', 'dark'].includes(document.documentElement.dataset.theme)"
        browsing.awaited(browser, lambda b: b.execute_script(themed), "the theme to choose its colours")
        assert browser.find_element(By.CSS_SELECTOR, "a.qgc-term").get_attribute("data-meaning")
    finally:
        browser.execute_script("localStorage.clear(); sessionStorage.clear()")
        browsing.complaints(browser)


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
    search(browser, unpacked.as_uri())


def search(browser, address: str) -> None:
    """Ask a page's own form for the gate: the chapter is found, and the console stays silent."""
    browser.get(f"{address}/book/glossary.html")
    browser.execute_script(
        "const q = document.querySelector('form.bd-search input'); q.value = 'gate'; q.form.submit()"
    )
    chapter = "#search-results li a[href*='gate.html']"
    browsing.awaited(browser, lambda b: b.find_elements(By.CSS_SELECTOR, chapter), "the chapter among what was found")
    assert browsing.complaints(browser) == []


def test_the_explorer_works_in_the_unpacked_archive(browser, unpacked):
    browsing.visit(browser, unpacked / "book" / "explorer.html")
    chosen = "return document.querySelector('#qgc-explorer').dataset.choices"
    browsing.awaited(browser, lambda b: b.execute_script(chosen), "the explorer's first view")
    assert browsing.complaints(browser) == []


class Silent(SimpleHTTPRequestHandler):
    """A web server's answers, without its log."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(site) -> Iterator[str]:
    """The site on a web server of this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_policy_lets_the_search_and_the_explorer_work_on_a_server(browser, address):
    browsing.complaints(browser)
    search(browser, address)
    quoted = "#search-results li p.context"
    browsing.awaited(browser, lambda b: b.find_elements(By.CSS_SELECTOR, quoted), "a quotation from what was found")
    browser.get(f"{address}/book/explorer.html")
    chosen = "return document.querySelector('#qgc-explorer').dataset.choices"
    browsing.awaited(browser, lambda b: b.execute_script(chosen), "the explorer's first view")
    assert browsing.complaints(browser) == []
