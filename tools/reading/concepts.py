"""What builds on what, drawn from the "You need" lines by ``{qgc-concepts}``; and what the next page is about.

Titles, and what each page is about, are read from the list in book/chapters.md.

The map is laid out here rather than kept as an SVG file, which would go stale with a chapter's title or needs, and
rather than by a library: Graphviz is a program that pip does not install, and Mermaid loads megabytes of script.
"""

from __future__ import annotations

import html
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ABOUT = re.compile(r"^\[([^\]]+)\]\(([\w/-]+)\.(?:ipynb|md)\)\n: (.+(?:\n  .+)*)", re.MULTILINE)
NEEDS = re.compile(r"\*\*You need\*\*(.*?)(?:\n\n|\Z)", re.DOTALL)
LINK = re.compile(r"\]\(([\w-]+)\.(?:ipynb|md)\)")
BOX, GAP = (130, 52), (10, 32)  # width and height of a box, and the room between two, in the drawing's units
PASSING = 0.3  # of a column, for an arrow that passes a row
LETTERS = 17  # in a line of a box
NOT_BUILT_ON = ("The story in 15 minutes", "Teach", "Appendix")  # parts that the map of the chapters leaves out


@dataclass(frozen=True)
class Chapter:
    """A page of the book's parts: its short title, what it needs, and the number of its part."""

    name: str
    title: str
    needs: tuple[str, ...]
    part: int


def source_of(book: Path, name: str) -> str:
    """A page's words: the Markdown of a notebook, or the page itself."""
    notebook = book / f"{name}.ipynb"
    if not notebook.exists():
        return (book / f"{name}.md").read_text(encoding="utf-8")
    return "\n\n".join(c.source for c in nbformat.read(notebook, as_version=4).cells if c.cell_type == "markdown")


def abouts(index: str) -> dict[str, tuple[str, str]]:
    """From the page of all chapters: each page's short title, and what it is about."""
    return {name: (title, " ".join(about.replace("*", "").split())) for title, name, about in ABOUT.findall(index)}


def chapters(root: Path) -> list[Chapter]:
    """The chapters in the book's order: the parts of the table of contents, but for :data:`NOT_BUILT_ON`."""
    parts = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))["parts"]
    titles = abouts((root / "book" / "chapters.md").read_text(encoding="utf-8"))
    found = []
    for number, part in enumerate(p for p in parts if p["caption"] not in NOT_BUILT_ON):
        for name in (Path(entry["file"]).stem for entry in part["chapters"]):
            line = NEEDS.search(source_of(root / "book", name))
            needs = dict.fromkeys(LINK.findall(line.group(1))) if line else ()
            found.append(Chapter(name, titles[name][0] if name in titles else name, tuple(needs), number))
    known = {chapter.name for chapter in found}
    return [Chapter(c.name, c.title, tuple(n for n in c.needs if n in known), c.part) for c in found]


def depths(book: list[Chapter]) -> dict[str, int]:
    """How many steps each chapter lies above those that need nothing."""
    needs = {chapter.name: chapter.needs for chapter in book}

    def depth(name: str, above: tuple[str, ...] = ()) -> int:
        if name in above:
            raise ValueError(f"these chapters need each other: {' → '.join([*above, name])}; fix their 'You need'")
        return 1 + max((depth(n, (*above, name)) for n in needs[name]), default=-1)

    return {name: depth(name) for name in needs}


def direct(book: list[Chapter]) -> list[tuple[str, str]]:
    """The arrows, (needed, needing), without those that others imply."""
    needs = {chapter.name: chapter.needs for chapter in book}

    def reached(name: str) -> set[str]:
        return {name}.union(*(reached(n) for n in needs[name]))

    return [
        (need, chapter.name)
        for chapter in book
        for need in chapter.needs
        if not any(need in reached(other) for other in chapter.needs if other != need)
    ]


Key = str | tuple[str, str, int]  # a chapter, or where an arrow (needed, needing) passes through a row between


def places(book: list[Chapter]) -> dict[Key, tuple[float, int]]:
    """Where each box is, (column, row): below what it needs, and near to it.

    An arrow that passes a row has a narrow place there, so that it does not run behind a box that is none of its ends.
    """
    row_of = depths(book)
    rows: dict[int, list[Key]] = {}
    above: dict[Key, list[Key]] = {}
    for chapter in book:
        rows.setdefault(row_of[chapter.name], []).append(chapter.name)
    for need, name in direct(book):
        way = [need, *passed(need, name, row_of), name]
        for upper, lower in zip(way, way[1:], strict=False):
            above.setdefault(lower, []).append(upper)
        for stop in way[1:-1]:
            rows[stop[2]].append(stop)
    widest = max(sum(map(breadth, inside)) for inside in rows.values())
    at: dict[Key, tuple[float, int]] = {}
    for row, inside in sorted(rows.items()):
        if row:
            middle = {k: sum(at[n][0] + breadth(n) / 2 for n in above[k]) / len(above[k]) for k in inside}
            inside = sorted(inside, key=middle.get)
        column = (widest - sum(map(breadth, inside))) / 2
        for key in inside:
            at[key] = (column, row)
            column += breadth(key)
    return at


def breadth(key: Key) -> float:
    """How many columns a box, or a passing arrow, takes."""
    return 1 if isinstance(key, str) else PASSING


def passed(need: str, name: str, row_of: dict[str, int]) -> list[tuple[str, str, int]]:
    """The places of an arrow in the rows between its ends."""
    return [(need, name, row) for row in range(row_of[need] + 1, row_of[name])]


def arrow(way: list[tuple[float, float, float]]) -> str:
    """The path through places (middle, top, bottom): out of the first's bottom, into the last's top."""
    (x, _, y), path, bend = way[0], "", GAP[1] * 0.8
    for u, top, bottom in way[1:]:
        path += f"M{x:g} {y:g}C{x:g} {y + bend:g} {u:g} {top - bend:g} {u:g} {top:g}"
        if (u, top, bottom) != way[-1]:
            path += f"V{bottom:g}"
        x, y = u, bottom
    return f'<path d="{path}"/>'


def draw(book: list[Chapter], link=lambda name: f"{name}.html") -> str:
    """The map as SVG, each box a link."""
    at, row_of = places(book), depths(book)
    (wide, high), (across, down) = BOX, GAP
    step = (wide + across, high + down)
    corner = {key: (4 + x * step[0], 4 + y * step[1]) for key, (x, y) in at.items()}
    size = [max(c[i] for key, c in corner.items() if isinstance(key, str)) + BOX[i] + 4 for i in (0, 1)]
    lines = []
    for need, name in direct(book):
        keys = [need, *passed(need, name, row_of), name]
        middles = [corner[k][0] + (wide if isinstance(k, str) else PASSING * step[0] - across) / 2 for k in keys]
        lines.append(arrow([(x, corner[k][1], corner[k][1] + high) for x, k in zip(middles, keys, strict=True)]))
    boxes = []
    for chapter in book:
        x, y = corner[chapter.name]
        words = textwrap.wrap(chapter.title, LETTERS)
        first = y + high / 2 + 4.5 - 7.5 * (len(words) - 1)
        text = "".join(
            f'<tspan x="{x + wide / 2:g}" y="{first + 15 * i:g}">{html.escape(word)} </tspan>'
            for i, word in enumerate(words)
        )
        box = f'<rect x="{x:g}" y="{y:g}" width="{wide}" height="{high}" rx="6"/>'
        boxes.append(f'<a href="{link(chapter.name)}" class="qgc-part-{chapter.part}">{box}<text>{text}</text></a>')
    head = (
        f'<svg viewBox="0 0 {size[0]:g} {size[1]:g}" width="{size[0]:g}" role="group" aria-label="What builds on what">'
    )
    return f'{head}<g class="qgc-arrows" aria-hidden="true">{"".join(lines)}</g>{"".join(boxes)}</svg>'


def in_words(book: list[Chapter], link=lambda name: f"{name}.html") -> str:
    """The same as a list."""
    title = {chapter.name: html.escape(chapter.title) for chapter in book}
    items = []
    for chapter in book:
        needs = ", ".join(f'<a href="{link(n)}">{title[n]}</a>' for n in chapter.needs)
        own = f'<a href="{link(chapter.name)}">{title[chapter.name]}</a>'
        items.append(f"<li>{own} builds on {needs}</li>" if needs else f"<li>{own} can be read first</li>")
    return f"<ul>{''.join(items)}</ul>"


class ConceptsDirective(SphinxDirective):
    """``{qgc-concepts}``: the map, and the same in words."""

    def run(self) -> list[nodes.Node]:
        """Draw the map, and read it again when a chapter changes."""
        book = chapters(Path(self.env.srcdir))
        for path in ("_toc.yml", *(self.env.doc2path(page, base=False) for page in self.env.found_docs)):
            self.env.note_dependency(path)
        listed = f"<details><summary>The same as a list</summary>{in_words(book)}</details>"
        drawn = (
            f'<div class="qgc-concepts" tabindex="0" role="region" aria-label="Map of the chapters">{draw(book)}</div>'
        )
        return [nodes.raw("", drawn + listed, format="html")]


def tell_the_way(app: Sphinx, page: str, template: str, context: dict, doctree: nodes.document | None) -> None:
    """Say at the foot of a page what the next one, and the one before, is about."""
    index = Path(app.srcdir) / "book" / "chapters.md"
    if not hasattr(app, "qgc_abouts"):
        app.qgc_abouts = abouts(index.read_text(encoding="utf-8")) if index.exists() else {}
    for way in ("prev", "next"):
        target = context.get(way)
        name = target and Path(target["link"]).stem
        if name in app.qgc_abouts:
            about = f'<span class="qgc-about">{html.escape(app.qgc_abouts[name][1])}</span>'
            context[way] = {**target, "title": f"{target['title']}{about}"}


def setup(app: Sphinx) -> None:
    """Register the directive, and the words at the foot of a page."""
    app.add_directive("qgc-concepts", ConceptsDirective)
    app.connect("html-page-context", tell_the_way)
