"""Print what every page of the built site weighs before any scrolling: python tools/site_report.py."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import browsing
from build_book import ROOT, Book, has_site

KINDS = {".html": "page", ".css": "styles", ".js": "scripts", ".woff2": "fonts", ".woff": "fonts"}
COLUMNS = ["page", "styles", "scripts", "fonts", "pictures"]


def pages(site: Path) -> list[Path]:
    """Every page of the site, the parts of templates that the theme leaves in its folder aside."""
    found = sorted(p for p in site.rglob("*.html") if "_static" not in p.relative_to(site).parts)
    return [p for p in found if p != site / "index.html"]  # which only sends on to the first page


def main() -> int:
    """Visit all pages, print a table in kilobytes, the heaviest page last."""
    site = Book(ROOT).site
    if not has_site(site):
        return 1
    try:
        with browsing.opened() as browser:
            browsing.cut_network(browser)
            browsing.resize(browser, 1280)
            weighed = {page: browsing.weights(browsing.visit(browser, page)) for page in pages(site)}
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
