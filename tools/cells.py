"""What of a notebook's code the site shows: nothing that only checks, and the rest one click away.

A reader of the site comes for figures and numbers. Sphinx is given an edited text as it reads a notebook; the notebook
itself keeps every line, and so does the copy that a page offers for download. A cell tagged `show-input` stays open.
"""

from __future__ import annotations

import ast
import json
import re
from html import escape

from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

ALWAYS_OPEN = "show-input"
GONE = {"remove-cell", "remove-input"}
BLOCKS = (ast.For, ast.While, ast.If, ast.With, ast.FunctionDef)
KINDS = {"image/png": "figure", "image/svg+xml": "figure", "text/html": "table"}  # what a cell's code makes


def is_check(statement: ast.stmt) -> bool:
    """Whether a statement only checks: an assert, a call of an `assert_…` function, or a block of nothing else."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        called = statement.value.func
        return getattr(called, "attr", getattr(called, "id", "")).startswith("assert_")
    if isinstance(statement, BLOCKS):
        return all(is_check(inner) for inner in [*statement.body, *getattr(statement, "orelse", [])])
    return isinstance(statement, ast.Assert)


def checks(statements: list[ast.stmt]) -> list[ast.stmt]:
    """The statements that only check, those inside others too."""
    found = []
    for statement in statements:
        if is_check(statement):
            found.append(statement)
        elif isinstance(statement, BLOCKS):
            found += checks(statement.body) + checks(getattr(statement, "orelse", []))
    return found


def without_checks(source: str) -> str:
    """The source without statements that only check, and without the comments right above those."""
    try:
        found = checks(ast.parse(source).body)
    except SyntaxError:  # a command of IPython's; such cells check nothing
        return source
    lines: list[str | None] = list(source.splitlines())
    for statement in found:
        first = statement.lineno - 1
        while first and (lines[first - 1] or "").lstrip().startswith("#"):
            first -= 1
        lines[first : statement.end_lineno] = [None] * (statement.end_lineno - first)
    kept = "\n".join(line for line in lines if line is not None)
    return re.sub(r"\n{3,}", "\n\n", kept).strip("\n")


def names(source: str) -> tuple[set[str], set[str]]:
    """(names that a source sets, names that it uses)."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return set(), set(re.findall(r"\w+", source))
    found = [(node.id, isinstance(node.ctx, ast.Load)) for node in nodes if isinstance(node, ast.Name)]
    bound = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    bound |= {(alias.asname or alias.name).split(".")[0] for node in imports for alias in node.names}
    return bound | {name for name, used in found if not used}, {name for name, used in found if used}


def text(cell: dict) -> str:
    """A cell's source, which a notebook may hold as one text or as lines."""
    return "".join(cell["source"])


def is_shown(cell: dict) -> bool:
    """Whether a cell is code that the page may show."""
    return cell["cell_type"] == "code" and not GONE & set(cell["metadata"].get("tags", []))


def drop_checks(cells: list[dict]) -> list[dict]:
    """The cells without what only checks; a cell that does nothing else, and sets nothing that others use, is gone."""
    kept = []
    for cell in cells:
        if not is_shown(cell) or (rest := without_checks(text(cell))) == text(cell).strip("\n"):
            kept.append(cell)
            continue
        others = set().union(*(names(text(c))[1] for c in cells if c is not cell and c["cell_type"] == "code"))
        if not cell["outputs"] and not names(rest)[0] & others:
            continue
        kept.append(cell | {"source": rest})
        if not rest:  # it only printed while it checked
            kept[-1] = cell | {"metadata": cell["metadata"] | {"tags": ["remove-input"]}}
    return kept


def join_silent(cells: list[dict]) -> list[dict]:
    """The cells with those that put out nothing joined to the code right behind them: one click for both."""
    kept: list[dict] = []
    for cell in cells:
        before = kept[-1] if kept else None
        folded = [c for c in (before, cell) if c and is_shown(c) and not open_or_hidden(c)]
        if len(folded) == 2 and not before["outputs"]:
            cell = cell | {"source": f"{text(before)}\n\n{text(cell)}"}
            kept.pop()
        kept.append(cell)
    return kept


def open_or_hidden(cell: dict) -> bool:
    """Whether a cell's author has said how it is shown."""
    return bool({ALWAYS_OPEN, "hide-input", "hide-cell"} & set(cell["metadata"].get("tags", [])))


def fold(cell: dict) -> dict:
    """The cell with its code folded away, under a label that says what the code makes."""
    tags = set(cell["metadata"].get("tags", []))
    if not is_shown(cell) or open_or_hidden(cell):
        return cell
    made = [KINDS[kind] for out in cell["outputs"] for kind in KINDS if kind in out.get("data", {})]
    what = made[-1] if made else "output" if cell["outputs"] else ""
    label = f"the code of this {what}" if what else "the code"
    if "hide-output" in tags:
        tags, label = tags - {"hide-output"} | {"hide-cell"}, f"the {what} and its code"
    tags |= set() if "hide-cell" in tags else {"hide-input"}
    own = {"code_prompt_show": f"Show {label}", "code_prompt_hide": f"Hide {label}"}
    settings = cell["metadata"].get("mystnb", {}) | own
    return cell | {"metadata": cell["metadata"] | {"tags": sorted(tags), "mystnb": settings}}


def for_readers(notebook: str) -> str:
    """The text of a notebook file as the site shows it."""
    nb = json.loads(notebook)
    cells = [cell for cell in nb["cells"] if "setup" not in cell["metadata"].get("tags", [])]
    return json.dumps(nb | {"cells": [fold(cell) for cell in join_silent(drop_checks(cells))]}, ensure_ascii=False)


def edit(app: Sphinx, docname: str, source: list[str]) -> None:
    """As Sphinx reads a page: edit it if it is a notebook."""
    if str(app.env.doc2path(docname)).endswith(".ipynb"):
        source[0] = for_readers(source[0])


def visit_folded(translator: HTML5Translator, node: HideCodeCellNode) -> None:
    """What is folded away, as the browser's own element: it works by keyboard and says whether it is open."""
    show, hide = (f'<span class="qgc-{p}">{escape(node[f"prompt_{p}"])}</span>' for p in ("show", "hide"))
    translator.body.append(f'<details class="qgc-code"><summary>{show}{hide}</summary>\n')


def depart_folded(translator: HTML5Translator, node: HideCodeCellNode) -> None:
    """Its end."""
    translator.body.append("</details>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Edit notebooks as they are read; write what is folded in our own words (those of myst-nb hide the label)."""
    app.connect("source-read", edit)
    app.add_node(HideCodeCellNode, override=True, html=(visit_folded, depart_folded))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
