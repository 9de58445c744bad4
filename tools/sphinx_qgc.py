"""What this book adds to Sphinx: formulas as MathML, pages that ask nothing of another host and load little."""

from __future__ import annotations

import os
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

from tools import mathml, pages

logger = logging.getLogger(__name__)

CITATION = re.compile(r"\[\([^])]*\)\]\((?:\.\./)?references\.bib#(\w+)\)")

# A script or style of an extension, and what on a page needs it.
NEEDED_WHEN = {
    "togglebutton": r'class="(?:[^"]*\s)?(?:toggle|dropdown)[\s"]',
    "toggleHint": r'class="(?:[^"]*\s)?(?:toggle|dropdown)[\s"]',
    "toggleOpenOnPrint": r'class="(?:[^"]*\s)?(?:toggle|dropdown)[\s"]',
    "design-tabs.js": r'class="[^"]*\bsd-tab-',
    "sphinx-design": r'class="[^"]*\bsd-',
    "copybutton": r"<pre",
    "clipboard": r"<pre",
    "mystnb": r'class="[^"]*\b(?:cell|cell_output|myst)\b',
    "math.css": r"<math\b",
}


def shown(translator: HTML5Translator, node: nodes.Node, block: bool) -> str:
    """The formula of a node, or its TeX with a warning, which breaks off the book's build."""
    try:
        return mathml.mathml(node.astext(), block)
    except mathml.BadFormula as problem:
        logger.warning(str(problem), location=node)
        return translator.encode(node.astext())


def cite(app: Sphinx, docname: str, source: list[str]) -> None:
    """Turn a notebook's links to an entry of references.bib, which read well in Jupyter, into citations."""
    source[0] = CITATION.sub(r"{cite}`\1`", source[0])


def visit_math(translator: HTML5Translator, node: nodes.math) -> None:
    """A formula within a line."""
    translator.body.append(translator.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    translator.body.append(shown(translator, node, block=False) + "</span>")
    raise nodes.SkipNode


def visit_math_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    """A formula of its own, with its number if it has one."""
    translator.body.append(translator.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node.get("number"):
        translator.body.append(f'<span class="eqno">({get_node_equation_number(translator, node)})')
        translator.add_permalink_ref(node, _("Link to this equation"))
        translator.body.append("</span>")
    translator.body.append(shown(translator, node, block=True) + "</div>\n")
    raise nodes.SkipNode


def is_needed(asset: object, body: str) -> bool:
    """Whether a page with this body needs a script or style; one that the table above does not name is needed."""
    attributes = getattr(asset, "attributes", {})
    what = f"{getattr(asset, 'filename', asset) or ''} {attributes.get('body') or ''}"
    return all(re.search(sign, body) for name, sign in NEEDED_WHEN.items() if name in what)


def drop_needless(app: Sphinx, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    """Omit the scripts and styles of extensions that this page does not use."""
    body = context.get("body", "")
    for kind in ("script_files", "css_files"):
        context[kind] = [asset for asset in context.get(kind, []) if is_needed(asset, body)]


def write_side_by_side(app: Sphinx, env: BuildEnvironment) -> None:
    """Once all pages are read, which is not done in parallel, write them in as many processes as there are cores."""
    if hasattr(os, "sched_getaffinity"):  # elsewhere a process that has started threads is not safe to fork
        app.parallel = 1 + min(len(os.sched_getaffinity(0)), 4)


def finish(app: Sphinx, error: Exception | None) -> None:
    """Once all pages are written: the font of the formulas, icons, images."""
    if error or app.builder.format != "html":
        return
    site = Path(app.outdir)
    needed: set[str] = set()
    for page in site.rglob("*.html"):
        needed |= mathml.characters(page.read_text(encoding="utf-8"))
    (site / "_static" / "math.css").write_text(mathml.font_css(needed), encoding="utf-8")
    pages.finish(site, Path("build") / "pictures")


def setup(app: Sphinx) -> dict[str, object]:
    """Add all of it to Sphinx."""
    app.add_html_math_renderer("mathml", (visit_math, None), (visit_math_block, None))
    app.add_css_file("math.css")
    app.connect("source-read", cite)
    app.connect("html-page-context", drop_needless, priority=900)
    app.connect("env-updated", write_side_by_side)
    app.connect("build-finished", finish)
    app.setup_extension("tools.cells")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
