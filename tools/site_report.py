"""Print what every page of the built site weighs and what fills its height: python tools/site_report.py."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import browsing
from build_book import ROOT, Book, has_site
from selenium import webdriver

KINDS = {".html": "page", ".css": "styles", ".js": "scripts", ".woff2": "fonts", ".woff": "fonts"}
COLUMNS = ["page", "styles", "scripts", "fonts", "pictures"]
FILLED = """
const article = document.querySelector("article.bd-article");
if (!article) return null;
const seen = (selector) => [...article.querySelectorAll(selector)].filter(e => !e.closest("details:not([open])"));
const share = (selector) => {
  let sum = 0, end = -Infinity;  // what is side by side counts once
  for (const box of seen(selector).map(e => e.getBoundingClientRect()).sort((a, b) => a.top - b.top)) {
    sum += Math.max(0, box.bottom - Math.max(box.top, end));
    end = Math.max(end, box.bottom);
  }
  return sum / article.getBoundingClientRect().height;
};
return {
  code: share(".cell_input"),
  figures: share("img, .qgc-explorer, .qgc-pictures, .qgc-predict, .qgc-concepts"),
  tables: share("table"),
  asserts: [...article.querySelectorAll(".cell_input")].filter(e => /^\\s*assert\\b/m.test(e.textContent)).length,
  clipped: seen(".cell pre").filter(e => e.scrollWidth > e.clientWidth + 1).length,
};
"""


def filled(browser: webdriver.Chrome) -> dict[str, float]:
    """The page's shares of height taken by code, figures and tables before a click; numbers of asserts, clipped blocks.

    Nothing where the page is no article of the book. Images that wait to be loaded count, as their size is in the page.
    """
    return browser.execute_script(FILLED) or {}


def pages(site: Path) -> list[Path]:
    """Every page of the site, the parts of templates that the theme leaves in its folder aside."""
    found = sorted(p for p in site.rglob("*.html") if "_static" not in p.relative_to(site).parts)
    return [p for p in found if p != site / "index.html"]  # which only sends on to the first page


def main() -> int:
    """Visit all pages, print what they weigh, the heaviest last, and what fills them, most figures last."""
    site = Book(ROOT).site
    if not has_site(site):
        return 1
    try:
        with browsing.opened() as browser:
            browsing.cut_network(browser)
            browsing.resize(browser, 1280)
            weighed, shares = {}, {}
            for page in pages(site):
                weighed[page] = browsing.weights(browsing.visit(browser, page))
                shares[page] = filled(browser)
    except browsing.NoBrowser as none:
        print(f"Pages are weighed in Chromium. There is {none}.", file=sys.stderr)
        return 1
    print(f"{'kB before any scrolling':32}" + "".join(f"{c:>10}" for c in [*COLUMNS, "in all"]))
    for page, files in sorted(weighed.items(), key=lambda item: sum(item[1].values())):
        kinds: Counter[str] = Counter()
        for file, size in files.items():
            kinds[KINDS.get(file.suffix, "pictures")] += size
        row = [*(kinds[c] for c in COLUMNS), sum(kinds.values())]
        print(f"{page.relative_to(site).as_posix():32}" + "".join(f"{size / 1000:10.0f}" for size in row))
    heads = "".join(f"{c:>10}" for c in ("code", "figures", "tables", "clipped"))
    print(f"\n{'share of the height at 1280':32}{heads}")
    for page, found in sorted(((p, f) for p, f in shares.items() if f), key=lambda item: item[1]["figures"]):
        row = "".join(f"{found[c]:10.1%}" for c in ("code", "figures", "tables")) + f"{found['clipped']:10}"
        print(f"{page.relative_to(site).as_posix():32}{row}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
