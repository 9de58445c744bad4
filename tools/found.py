"""What lets the book be found and shared: a description and a card on every page, addresses, a 404 page, the search.

From the address under which the site is published (`html_baseurl`; tools/launch.py looks for it) come canonical links,
`sitemap.xml` and `robots.txt`. Where none is known they are left out, and cards name their image relative to the page.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from html import escape, unescape
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from docutils import nodes
from sphinx.application import Sphinx

from tools import card

BOOK = "Can you believe the map?"
ENOUGH, MOST = 90, 250  # characters of a description
OF_PAGES_WITHOUT_TEXT = {
    "404": "There is no page at this address. The contents and the search lead to the others.",
    "genindex": "Every function, class and module of the book's package qgc, from A to Z.",
    "py-modindex": "Every module of the book's package qgc.",
    "search": "Search all chapters, the glossary and the reference of the book.",
}
UNLISTED = ("404", "search", "index")  # pages that no search engine should offer; `index` leads to the first page
NOT_PROSE = (
    nodes.table,
    nodes.bullet_list,
    nodes.enumerated_list,
    nodes.definition_list,
    nodes.field_list,
    nodes.figure,
)
GOALS = ("You will learn", "You need", "You can skip", "Minutes")  # what a chapter says of itself before it begins
LABELS = {"Question.", "Answer."}  # of the box that opens a chapter
NOT_FOUND = """<section id="page-not-found"><h1>There is no page here</h1>
<p>The address may be mistyped, or the page may have moved.</p>
<ul>
<li><a href="book/index.html">Begin at the first page</a></li>
<li><a href="search.html">Search the book</a></li>
<li><a href="genindex.html">Look up a function of the package</a></li>
</ul></section>"""


def prose(doctree: nodes.document) -> Iterator[str]:
    """A page's paragraphs in order, without those of tables, lists and figures; a formula in TeX becomes a NUL."""
    for paragraph in doctree.findall(nodes.paragraph):
        above, skip = paragraph.parent, False
        while above is not None and not skip:
            skip = isinstance(above, NOT_PROSE) or "cell" in above.get("classes", [])
            above = above.parent
        if not skip:
            yield " ".join("".join(words(paragraph)).split())


def words(node: nodes.Node) -> Iterator[str]:
    """The text of a paragraph, piece by piece."""
    for child in node.children:
        if isinstance(child, nodes.strong) and child.astext() in LABELS:
            continue
        if isinstance(child, nodes.math):
            tex = child.astext()
            yield "\0" if re.search(r"[\\_^{}]", tex) else tex
        elif isinstance(child, nodes.Text):
            yield child.astext()
        elif not isinstance(child, nodes.image | nodes.raw | nodes.footnote_reference):
            yield from words(child)


def description(doctree: nodes.document) -> str:
    """The first sentences of a page, as many as make a description; "" where it has none."""
    text = ""
    for paragraph in prose(doctree):
        if paragraph.startswith(GOALS):
            continue
        for sentence in re.split(r"(?<=[.?!])[”\"]?\s+(?=[A-Z“\"])", paragraph):
            if "\0" in sentence or not sentence.endswith((".", "?", "!", ".”", '."')):
                continue
            if text and len(text) + len(sentence) > MOST:
                return text
            text = f"{text} {sentence}".strip()
        if len(text) >= ENOUGH:
            break
    return text if len(text) <= MOST else text[:MOST].rsplit(" ", 1)[0] + " …"


def tags(title: str, told: str, address: str, image: str) -> str:
    """The description and the card of a page, for search engines and for where links are posted."""
    entries = {"og:type": "article", "og:site_name": BOOK, "og:title": title, "og:description": told, "og:image": image}
    entries |= {"og:image:width": card.SIZE[0], "og:image:height": card.SIZE[1], "og:image:alt": card.ALT}
    entries |= {"og:url": address} if address else {}
    named = {"description": told, "twitter:card": "summary_large_image", "twitter:title": title}
    named |= {"twitter:description": told, "twitter:image": image, "twitter:image:alt": card.ALT}
    lines = [f'<meta name="{name}" content="{escape(str(value))}" />' for name, value in named.items()]
    lines += [f'<meta property="{name}" content="{escape(str(value))}" />' for name, value in entries.items()]
    return "\n    ".join(["", *lines])


def add_tags(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Put description and card into a page's head; a page that has no text of its own is told of in the table above."""
    known = app.env.titles.get(pagename)
    title = known.astext() if known else re.sub("<[^>]*>", "", context.get("title") or BOOK)
    told = description(doctree) if doctree else OF_PAGES_WITHOUT_TEXT.get(pagename, "")
    base = app.config.html_baseurl
    image = urljoin(base, card.PLACE) if base else "../" * pagename.count("/") + card.PLACE
    context.setdefault("metatags", "")  # pages without a text of their own come without
    context["metatags"] += tags(
        title, told or f"{title}: a page of the book “{BOOK}”", context.get("pageurl") or "", image
    )
    if pagename in ("404", "search"):
        context["pageurl"] = None
    if pagename == "404":
        context["metatags"] += '\n    <meta name="robots" content="noindex" />'


def not_found(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    """The page that a server shows where there is none, in the look of all others."""
    yield "404", {"title": "There is no page here", "body": NOT_FOUND}, "page.html"


def anywhere(page: Path, base: str) -> None:
    """Let the 404 page find its styles and links from every address: its own links begin at the host's root.

    Where the site's address is not known they stay relative, and serve addresses beside the first page.
    """
    prefix = urlsplit(base).path
    link = re.compile(r'(\s(?:href|src|action|data-content_root)=")(?![a-z]+:|/|#)(?:\./)?')
    page.write_text(link.sub(rf"\1{prefix}", page.read_text(encoding="utf-8")), encoding="utf-8")


def front(site: Path, first: str, base: str) -> str:
    """The page at the site's root: it leads to the first page, and says in a card what the book is."""
    markup = (site / first).read_text(encoding="utf-8")
    found = re.search(r'<meta name="description" content="([^"]*)"', markup)
    head = tags(
        BOOK, unescape(found[1]) if found else BOOK, urljoin(base, first) if base else "", urljoin(base, card.PLACE)
    )
    canonical = f'<link rel="canonical" href="{escape(urljoin(base, first))}" />' if base else ""
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8" />\n<title>{BOOK}</title>{head}\n{canonical}'
        f'<meta http-equiv="refresh" content="0; url={first}" /></head>\n'
        f'<body><p><a href="{first}">{BOOK}</a></p></body></html>\n'
    )


def listed(site: Path) -> list[str]:
    """The addresses, relative to the site, of the pages that are worth finding; those that lead elsewhere are not."""
    found = (p for p in sorted(site.rglob("*.html")) if "_static" not in p.relative_to(site).parts)
    moved = re.compile(r'<meta http-equiv="refresh"', re.IGNORECASE)
    return [
        page.relative_to(site).as_posix()
        for page in found
        if page.relative_to(site).with_suffix("").as_posix() not in UNLISTED
        and not moved.search(page.read_text(encoding="utf-8"))
    ]


def write_addresses(site: Path, base: str) -> None:
    """The map of the site for search engines, and the file that tells them of it."""
    urls = "".join(f"<url><loc>{escape(urljoin(base, page))}</loc></url>\n" for page in listed(site))
    schema = "http://www.sitemaps.org/schemas/sitemap/0.9"
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="{schema}">\n{urls}</urlset>\n'
    (site / "sitemap.xml").write_text(text, encoding="utf-8")
    told = f"User-agent: *\nAllow: /\nSitemap: {urljoin(base, 'sitemap.xml')}\n"
    (site / "robots.txt").write_text(told, encoding="utf-8")


# The search. Sphinx's index says only which pages have a word; a reader wants those that are about it.
HEADINGS = {"h1": 10, "h2": 4, "h3": 4}  # how many times over a word of a heading counts
NO_WORDS = re.compile(r"<(script|style|pre|math|svg|nav)\b.*?</\1>", re.DOTALL)


def counted(markup: str, stems: Callable[[str], list[str]]) -> tuple[Counter[str], int]:
    """How often a page's prose has each word, those of headings several times over; and how long it is."""
    article = re.search(r'<article class="bd-article".*?</article>', markup, re.DOTALL)
    body = NO_WORDS.sub(" ", article[0] if article else "")
    text = lambda part: unescape(re.sub("<[^>]+>", " ", part)).lower()  # noqa: E731
    counts = Counter(stems(text(body)))
    length = counts.total()
    for tag, weight in HEADINGS.items():
        for heading in re.findall(rf"<{tag}\b.*?</{tag}>", body, re.DOTALL):
            for word in stems(text(heading)):
                counts[word] += weight
    return counts, length


def weigh_words(site: Path, language: object) -> None:
    """Add to the search's index how often each page has a word (more than once) and how long it is.

    `tools/search.js` ranks by that. Sphinx takes no notice of the two entries when it reads its index again.
    """

    def stems(text: str) -> list[str]:
        return [language.stem(word) for word in language.split(text) if language.word_filter(word)]

    file = site / "searchindex.js"
    index = json.loads(file.read_text(encoding="utf-8").removeprefix("Search.setIndex(").removesuffix(")"))
    counts: dict[str, dict[int, int]] = {}
    lengths = []
    for number, name in enumerate(index["docnames"]):
        found, length = counted((site / f"{name}.html").read_text(encoding="utf-8"), stems)
        lengths.append(length)
        for word, times in found.items():
            if times > 1:
                counts.setdefault(word, {})[number] = times
    written = json.dumps(index | {"counts": counts, "lengths": lengths}, ensure_ascii=False, separators=(",", ":"))
    file.write_text(f"Search.setIndex({written})", encoding="utf-8")


def finish(app: Sphinx, error: Exception | None) -> None:
    """Once all pages are written: what no page holds by itself."""
    if error or app.builder.format != "html":
        return
    site, base = Path(app.outdir), app.config.html_baseurl
    card.write(site / card.PLACE)
    (site / "index.html").write_text(front(site, f"{app.config.root_doc}.html", base), encoding="utf-8")
    if base:
        anywhere(site / "404.html", base)
        write_addresses(site, base)
    if app.builder.indexer:
        weigh_words(site, app.builder.indexer.lang)


def setup(app: Sphinx) -> dict[str, object]:
    """Add all of it to Sphinx."""
    app.config.html_search_scorer = str(Path(__file__).with_name("search.js"))
    app.connect("html-page-context", add_tags)
    app.connect("html-collect-pages", not_found)
    app.connect(
        "build-finished", finish, priority=450
    )  # before the table of contents would lead from the root, untitled
    return {"parallel_read_safe": True, "parallel_write_safe": True}
