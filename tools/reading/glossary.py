"""The glossary's terms, linked where a page first uses them, with their meaning at hand (book/_static/qgc-terms.js).

The terms and meanings are those of book/glossary.md; a chapter needs no mark-up for it.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

PAGE = "book/glossary"
NOT_ON = re.compile(rf"{PAGE}$|book/(api|bibliography|ledger|figures-and-tables)|genindex|search")
# Ordinary words, or single letters, that are terms only where a page sets them apart, as in *natural*:
ONLY_SET_APART = {"n", "natural", "early", "balanced", "odds", "plausible", "faithful"}
SYMBOLS = {"F", "q", "u", "v", "A", "y", "g", "M", "S"}  # in formulas, and all over the place: not linked
SKIPPED = (
    *(nodes.title, nodes.reference, nodes.literal, nodes.literal_block, nodes.math, nodes.math_block, nodes.raw),
    *(nodes.caption, nodes.thead, nodes.term, nodes.FixedTextElement, nodes.Invisible, nodes.image),
    *(addnodes.desc, addnodes.download_reference),
)


@dataclass(frozen=True)
class Term:
    """A term, the place of its meaning on the glossary's page, and the meaning in plain words."""

    name: str
    anchor: str
    meaning: str


def terms_of(doctree: nodes.document) -> list[Term]:
    """All terms of the glossary; the meaning is the first paragraph under it."""
    found = []
    for item in doctree.findall(nodes.definition_list_item):
        meaning = " ".join(item.next_node(nodes.definition).next_node(nodes.paragraph).astext().split())
        found += [Term(term.astext(), term["ids"][0], meaning) for term in item.findall(nodes.term) if term["ids"]]
    return found


def pattern(terms: list[Term]) -> re.Pattern[str]:
    """Finds any of the terms in running text, longest first, in the plural too; group i + 1 is the i-th term."""
    order = sorted(terms, key=lambda term: -len(term.name))

    def form(name: str) -> str:
        words = re.escape(name).replace("'", "['’]").replace(r"\ ", r"\s+")
        plural = re.sub(r"y$", "(?:y|ies)", words) if words.endswith("y") else f"{words}(?:s|es)?"
        return plural if name != name.lower() else f"(?i:{plural})"

    body = "|".join(f"(?P<t{terms.index(t)}>{form(t.name)})" for t in order)
    return re.compile(rf"(?<![\w∂/-])(?:{body})(?![\w/-]|['’]s)")


def running_text(node: nodes.Node) -> list[nodes.Text]:
    """The texts in which terms are looked for."""
    if isinstance(node, nodes.Text):
        return [node]
    if isinstance(node, SKIPPED) or "cell_output" in node.get("classes", []):
        return []
    return [text for child in node.children for text in running_text(child)]


def opening(term: Term, page: str) -> nodes.raw:
    """The start of a link to a term."""
    tip = html.escape(term.meaning, quote=True)
    return nodes.raw("", f'<a class="qgc-term" href="{page}#{term.anchor}" data-meaning="{tip}">', format="html")


def link_terms(doctree: nodes.Node, terms: list[Term], page: str) -> set[str]:
    """Link the first use of each meaning; returns the anchors that were linked."""
    terms = [term for term in terms if term.name not in SYMBOLS]
    everywhere = [term for term in terms if term.name not in ONLY_SET_APART]
    apart = {term.name: term for term in terms if term.name in ONLY_SET_APART}
    find, done = pattern(everywhere), set()
    for text in running_text(doctree):
        whole = text.astext()
        if isinstance(text.parent, (nodes.emphasis, nodes.strong)) and whole in apart:
            hits = [(0, len(whole), apart[whole])]
        else:
            hits = [(*m.span(), everywhere[int(m.lastgroup[1:])]) for m in find.finditer(whole)]
        pieces, at = [], 0
        for start, end, term in hits:
            if term.meaning in done:
                continue
            done.add(term.meaning)
            pieces += [nodes.Text(whole[at:start]), opening(term, page), nodes.Text(whole[start:end])]
            pieces.append(nodes.raw("", "</a>", format="html"))
            at = end
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(whole[at:])])
    return done


def link_page(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Link the terms of one page."""
    if NOT_ON.match(docname) or PAGE not in app.env.found_docs or app.builder.format != "html":
        return
    if not hasattr(app, "qgc_terms"):
        app.qgc_terms = terms_of(app.env.get_doctree(PAGE))
    link_terms(doctree, app.qgc_terms, app.builder.get_relative_uri(docname, PAGE))


def setup(app: Sphinx) -> None:
    """Link terms once every page has been read."""
    app.connect("doctree-resolved", link_page, priority=900)
