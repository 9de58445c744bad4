"""An index of the book's figures and tables: ``{qgc-figures}`` on book/figures-and-tables.md, filled in while building.

A figure's words are the first sentence of its alternative text; a table goes by the heading that it is under.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from .api import reading_order

NOT_IN = re.compile(r"book/(index$|figures-and-tables|ledger|api|glossary|bibliography)")
FOLDER = "thumbnails"
WIDE = 240  # pixels of a thumbnail


@dataclass(frozen=True)
class Figure:
    """A figure of a page: its anchor, its alternative text, and the source's name of its file."""

    anchor: str
    alt: str
    source: str


@dataclass(frozen=True)
class Table:
    """A table of a page, by the heading that it is under."""

    anchor: str
    heading: str


class Index(nodes.General, nodes.Element):
    """Where the index will be once all pages have been read."""


class FiguresDirective(SphinxDirective):
    """``{qgc-figures}``: the index."""

    def run(self) -> list[nodes.Node]:
        """Leave a place for the index."""
        return [Index()]


def first_sentence(text: str) -> str:
    """The first sentence of an alternative text; of a very long one, the beginning."""
    return textwrap.shorten(re.split(r"(?<=[.!?])\s", " ".join(text.split()), maxsplit=1)[0], 140, placeholder=" …")


def sections_above(node: nodes.Node) -> Iterator[nodes.section]:
    """The sections that a node is in, the innermost first."""
    while node.parent is not None:
        node = node.parent
        if isinstance(node, nodes.section):
            yield node


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Note a page's figures and tables, and give each figure an anchor."""
    page = app.env.docname
    if NOT_IN.match(page):
        return
    figures, tables = [], {}
    for image in doctree.findall(nodes.image):
        if not image.get("alt") or image.get("candidates", {}).get("?"):
            continue
        anchor = f"figure-{len(figures) + 1}"
        image["ids"] = [*image["ids"], anchor]
        figures.append(Figure(anchor, image["alt"], image["uri"]))
    for node in doctree.findall(lambda n: isinstance(n, nodes.table) or isinstance(n, nodes.raw) and "<table" in n):
        for section in list(sections_above(node))[:1]:
            tables[section["ids"][0]] = Table(section["ids"][0], section.next_node(nodes.title).astext())
    app.env.qgc_figures = {**getattr(app.env, "qgc_figures", {}), page: (figures, list(tables.values()))}


def thumbnail_name(filename: str) -> str:
    """The file that shows a figure small; what is drawn in lines is small already."""
    return filename if filename.endswith(".svg") else f"{Path(filename).stem}.webp"


def chapter(app: Sphinx, here: str, page: str, figures: list[Figure], tables: list[Table]) -> nodes.section:
    """A page's part of the index."""
    env, link = app.env, app.builder.get_relative_uri(here, page)
    up = "../" * here.count("/")
    title = env.titles[page].astext()
    section = nodes.section(ids=[f"of-{page.rpartition('/')[2]}"])
    heading = nodes.title()
    heading += nodes.reference("", title, internal=True, refuri=link)
    section += heading
    items = []
    for figure in figures:
        name = thumbnail_name(env.images[figure.source][1])
        folder = "_images" if name.endswith(".svg") else FOLDER
        words = html.escape(first_sentence(figure.alt))
        image = f'<img src="{up}{folder}/{name}" alt="" loading="lazy" width="{WIDE}">'
        items.append(f'<li><a href="{link}#{figure.anchor}">{image}<span>{words}</span></a></li>')
    if items:
        section += nodes.raw("", f'<ul class="qgc-figures">{"".join(items)}</ul>', format="html")
    if tables:
        line = nodes.paragraph("", "Tables: ")
        for i, table in enumerate(tables):
            line += nodes.Text(", " if i else "")
            line += nodes.reference("", table.heading, internal=True, refuri=f"{link}#{table.anchor}")
        section += line
    return section


def fill(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the index where it belongs."""
    for place in list(doctree.findall(Index)):
        noted: dict[str, tuple[list[Figure], list[Table]]] = getattr(app.env, "qgc_figures", {})
        pages = [p for p in reading_order(app.env) if any(noted.get(p, ()))]
        place.replace_self([chapter(app, docname, page, *noted[page]) for page in pages])


def write_thumbnails(app: Sphinx, failure: Exception | None) -> None:
    """Make the small images, once all large ones are in the site."""
    if failure or app.builder.format != "html" or not any(has_index(app.env)):
        return
    folder = Path(app.outdir) / FOLDER
    folder.mkdir(exist_ok=True)
    for figures, _ in getattr(app.env, "qgc_figures", {}).values():
        for figure in figures:
            name = app.env.images[figure.source][1]
            if not name.endswith(".svg"):
                shrink(Path(app.outdir) / "_images" / name, folder / thumbnail_name(name))


def has_index(env: BuildEnvironment) -> Iterator[bool]:
    """Whether the book has a page that shows thumbnails."""
    yield from (page.endswith("figures-and-tables") for page in env.found_docs)


def shrink(path: Path, thumbnail: Path) -> None:
    """A small copy of an image."""
    with Image.open(path) as image:
        image.draft("RGB", (2 * WIDE, 2 * WIDE))
        small = image.convert("RGBA" if image.has_transparency_data else "RGB")
        small.thumbnail((WIDE, 3 * WIDE))
        small.save(thumbnail, quality=70)


def setup(app: Sphinx) -> None:
    """Register the directive and what fills it."""
    app.add_node(Index)
    app.add_directive("qgc-figures", FiguresDirective)
    app.connect("doctree-read", collect, priority=900)  # the images have got their names by then
    app.connect("doctree-resolved", fill)
    app.connect("build-finished", write_thumbnails, priority=400)  # before the pages get their last touches
