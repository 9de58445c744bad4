"""Print the built site as one PDF, through Chromium: python tools/pdf.py [--pages book/gate book/model].

Each page of `_toc.yml` is printed by itself; the prints are joined, with bookmarks by part and chapter, page numbers, a
table of contents, and links from page to page that stay inside the PDF. Not from Sphinx's single page: there the
sections of most chapters share their anchors ("#what-to-take-away"), so that a link leads to another chapter's, and a
browser cannot write page numbers into a table of contents.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import browsing
import yaml
from build_book import ROOT, Book, has_site, toc_entries
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import ArrayObject, NameObject
from selenium import webdriver
from tqdm import tqdm

NAME = "can-you-believe-the-map.pdf"
A4 = {"paperWidth": 8.27, "paperHeight": 11.69, "marginTop": 0.7, "marginBottom": 0.8}
SCALE = 0.8  # a screen's letters are large on paper
SIDES = {"marginLeft": 0.75, "marginRight": 0.75}
READY = """
const done = arguments[arguments.length - 1];
dispatchEvent(new Event("beforeprint"));
const pictures = [...document.images].filter(p => p.getAttribute("src"));
Promise.all([document.fonts.ready, ...pictures.map(p => p.decode().catch(() => p.src))])
  .then(([, ...lost]) => {
    const title = document.querySelector("#jb-print-docs-body h1, h1")?.textContent ?? document.title;
    done([title, lost.filter(Boolean)]);
  });
"""
STYLE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 11pt/1.5 "DejaVu Sans", Arial, sans-serif; margin: 0; color: #111 }}
a {{ color: #111; text-decoration: none }}
h1 {{ font-size: 30pt; line-height: 1.2; margin: 30mm 0 8mm }} h2 {{ font-size: 12pt; margin: 6mm 0 1mm }}
li {{ display: flex; justify-content: space-between }} ul {{ list-style: none; margin: 0; padding: 0 }}
nav {{ break-before: page }} .foot {{ height: 266mm; display: flex; align-items: end; justify-content: space-between;
break-after: page; font-size: 8pt; color: #444; box-sizing: border-box }} .foot:last-child {{ break-after: auto }}
</style>"""


@dataclass(frozen=True)
class Chapter:
    """A page of the site, the part of the book that it belongs to, its title and its print."""

    file: Path
    part: str
    title: str
    print: PdfReader


def contents(root: Path) -> list[tuple[str, str]]:
    """(part, page) of every page that `_toc.yml` names, in reading order; the first page belongs to no part."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    parts = [(part.get("caption", ""), toc_entries(part)) for part in toc.get("parts", [toc])]
    first = [] if "parts" not in toc else [("", toc["root"])]
    return first + [(caption, page.removesuffix(".ipynb").removesuffix(".md")) for caption, ps in parts for page in ps]


def printed(browser: webdriver.Chrome, margins: dict[str, float], scale: float = 1) -> PdfReader:
    """The page that the browser shows, on A4."""
    options = (
        A4 | margins | {"scale": scale, "printBackground": True, "generateTaggedPDF": True, "preferCSSPageSize": False}
    )
    data = browser.execute_cdp_cmd("Page.printToPDF", options)["data"]
    return PdfReader(io.BytesIO(base64.b64decode(data)))


def print_pages(browser: webdriver.Chrome, site: Path, wanted: Sequence[tuple[str, str]]) -> list[Chapter]:
    """Print each page; raises FileNotFoundError where the site lacks a page or a page an image."""
    chapters = []
    for part, name in tqdm(wanted, desc="pages", unit="page"):
        file = site / f"{name}.html"
        if not file.exists():
            raise FileNotFoundError(f"the site has no page {name}: run `make site` again")
        browsing.visit(browser, file)
        title, lost = browser.execute_async_script(READY)
        if lost:
            raise FileNotFoundError(f"{name} lacks images: {', '.join(lost)}")
        chapters.append(Chapter(file, part, title.strip(), printed(browser, SIDES, SCALE)))
    return chapters


def print_text(browser: webdriver.Chrome, title: str, body: str, margins: dict[str, float] = SIDES) -> PdfReader:
    """A page of our own, on A4."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(STYLE.format(title=escape(title)) + body, encoding="utf-8")
        browsing.visit(browser, page, quiet_s=0.1)
        return printed(browser, margins)


def front(title: str, author: str, chapters: list[Chapter], numbers: list[int]) -> str:
    """The title page and the table of contents."""
    rows, part = [], None
    for chapter, number in zip(chapters, numbers, strict=True):
        if chapter.part != part:
            part = chapter.part
            rows.append(f"{'</ul>' if rows else ''}<h2>{escape(part or ' ')}</h2><ul>")
        link = f'<a href="{chapter.file.as_uri()}">{escape(chapter.title)}</a>'
        rows.append(f"<li>{link}<span>{number}</span></li>")
    head = f"<h1>{escape(title)}</h1><p>{escape(author)}</p><p>Text and figures: CC BY 4.0. Code: MIT.</p>"
    return f"{head}<nav><h2>Contents</h2>{''.join(rows)}</ul></nav>"


def join(chapters: list[Chapter], opening: PdfReader, feet: PdfReader) -> PdfWriter:
    """All prints in one PDF, with bookmarks and page numbers, and links to other pages led to their place in it."""
    book, starts, parts = PdfWriter(), {}, {}
    book.append(opening, import_outline=False)
    for chapter in chapters:
        starts[chapter.file.as_uri()] = len(book.pages)
        book.append(chapter.print, import_outline=False)
    for page, foot in zip(book.pages, feet.pages, strict=True):
        page.merge_page(foot)
    for chapter in chapters:
        at = starts[chapter.file.as_uri()]
        if chapter.part and chapter.part not in parts:
            parts[chapter.part] = book.add_outline_item(title=chapter.part, page_number=at)
        book.add_outline_item(title=chapter.title, page_number=at, parent=parts.get(chapter.part))
    lead_inside(book, starts)
    return book


def lead_inside(book: PdfWriter, starts: dict[str, int]) -> None:
    """Turn links to pages of the site into links inside the PDF; drop those to other files of the site."""
    for number, page in enumerate(book.pages):
        if "/Annots" not in page:
            continue
        kept, inside = ArrayObject(), []
        for annotation in page["/Annots"].get_object():
            entry = annotation.get_object()
            address = str(entry.get("/A", {}).get("/URI", ""))
            if not address.startswith("file:"):
                kept.append(annotation)
            elif (target := starts.get(address.partition("#")[0])) is not None:
                inside.append(Link(rect=tuple(map(float, entry["/Rect"])), target_page_index=target))
        page[NameObject("/Annots")] = kept
        for link in inside:
            book.add_annotation(number, link)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the site, or some of its pages; say where the PDF is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", nargs="+", help="print only these, such as book/gate")
    parser.add_argument("--output", type=Path, default=ROOT / "_build" / NAME)
    options = parser.parse_args(arguments)
    site = Book(ROOT).site
    if not has_site(site):
        return 1
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    wanted = [(part, page) for part, page in contents(ROOT) if not options.pages or page in options.pages]
    try:
        with browsing.opened() as browser:
            book = make(browser, site, wanted, config["title"], config["author"])
    except browsing.NoBrowser as none:
        print(f"The PDF is printed by Chromium. There is {none}.", file=sys.stderr)
        return 1
    except FileNotFoundError as lacking:
        print(f"No PDF was made: {lacking}.", file=sys.stderr)
        return 1
    book.write(options.output)
    print(f"{options.output}: {len(book.pages)} pages, {options.output.stat().st_size / 1e6:.1f} MB.")
    return 0


def make(
    browser: webdriver.Chrome, site: Path, wanted: Sequence[tuple[str, str]], title: str, author: str
) -> PdfWriter:
    """The book as a PDF: front matter, chapters, page numbers."""
    browser.set_script_timeout(120)
    browsing.cut_network(browser)
    browsing.theme(browser, "light")
    browsing.resize(browser, 1000)
    chapters = print_pages(browser, site, wanted)
    lengths = [len(c.print.pages) for c in chapters]
    blank = print_text(browser, title, front(title, author, chapters, lengths))  # how long it will be
    starts = [len(blank.pages) + 1 + sum(lengths[:i]) for i in range(len(chapters))]
    opening = print_text(browser, title, front(title, author, chapters, starts))
    names = [""] * len(opening.pages) + [c.title for c in chapters for _ in c.print.pages]
    rows = (
        f'<div class="foot"><span>{escape(n)}</span><span>{i if n else ""}</span></div>' for i, n in enumerate(names, 1)
    )
    feet = print_text(browser, title, "".join(rows), SIDES | {"marginBottom": 0.4})  # below the text
    book = join(chapters, opening, feet)
    book.add_metadata({"/Title": title, "/Author": author})
    book.compress_identical_objects()
    return book


if __name__ == "__main__":
    sys.exit(main())
