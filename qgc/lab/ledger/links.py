"""Where the book treats each figure and table (book/ledger.md), and whether that place exists."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from ...errors import QGCError
from ...paper.figure_list import FIGURES, Figure

ROOT = Path(__file__).resolve().parents[3]

GALLERY = ("scenes-gallery", "The ten situations of the paper")
SWEEP = ("gate", "Figures 27–77: the whole sweep")
BATHROOM_25 = ("gate", "The bathroom at n = 25")
LOST = ("gate", "The sink at n = 200 and at n = 300")
RANKS = ("rank-correlation", "The five pairs, on our models")

# Chapter and heading, by figure and table.
_FIGURES: dict[int, tuple[str, str]] = {
    **dict.fromkeys((2, 3), ("same-answer", "Three checkpoints of one model")),
    **dict.fromkeys((5, 6, 37, 38), BATHROOM_25),
    **dict.fromkeys((8, 9, 11, 12), ("two-models", "The birthday: cake and balloons (Figures 7–12)")),
    **dict.fromkeys((14, 15), ("two-models", "The bedroom: folding chair and twin mattresses (Figures 13–15)")),
    **dict.fromkeys((17, 18, 19, 21, 22), ("two-models", "The couple: sitting, and standing (Figures 16–22)")),
    26: ("gate", "The gate in words and in one equation"),
    **dict.fromkeys([n for n in range(28, 78) if n not in (37, 38, 58, 61)], SWEEP),
    **dict.fromkeys((58, 61), LOST),
    **dict.fromkeys((79, 80, 82, 83), ("examples", "Trees and grass (Figures 78–83)")),
    **dict.fromkeys((85, 86, 88, 89, 100), ("examples", "Toilets and wall (Figures 84–89, 99–101)")),
    **dict.fromkeys((91, 92), ("examples", "Cake and balloons at n = 25 (Figures 90–92)")),
    **dict.fromkeys((94, 95, 97, 98), ("examples", "Phone and top (Figures 93–98)")),
    101: ("examples", "Figure 101: color outweighs the object in Grad-CAM, not at n = 25"),
    **{number: GALLERY for number, figure in FIGURES.items() if figure.kind == "photograph"},
}
_TABLES: dict[int, tuple[str, str]] = {
    1: ("sensitivity", "Table 1: one question, two images"),
    2: ("sensitivity", "Table 2: the same question, two more images"),
    3: ("sensitivity", "Table 3: one image, two questions"),
    4: ("sensitivity", "Table 4: one image, two color questions"),
    5: RANKS,
    6: RANKS,
}


def treated_in(row: Figure | int) -> tuple[str, str]:
    """The chapter and heading (book/ledger.md) that treat a figure, or the table of a number."""
    return _TABLES[row] if isinstance(row, int) else _FIGURES[row.number]


def slug(heading: str) -> str:
    """A heading's anchor as the book makes it (book/ledger.md): lower case, hyphens, no punctuation."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace(" ", "-"))


def link(chapter: str, heading: str = "", root: Path = ROOT) -> str:
    """The link to a section, relative to ``book/`` (book/ledger.md), for example ``gate.ipynb#exercises``."""
    page = _page(root, chapter)
    return (page.name if page else f"{chapter}.ipynb") + (f"#{slug(heading)}" if heading else "")


def dead(chapter: str, heading: str = "", root: Path = ROOT) -> str:
    """Why a link of the ledger (book/ledger.md) leads nowhere; "" where it works."""
    page = _page(root, chapter)
    if page is None:
        return f"there is no chapter book/{chapter}"
    if f"book/{chapter}" not in _listed(root):
        return f"_toc.yml does not list book/{chapter}"
    if heading and heading not in headings(page):
        return f"book/{page.name} has no heading {heading!r}"
    return ""


def headings(page: Path) -> tuple[str, ...]:
    """The headings of a chapter (book/ledger.md), a notebook or a Markdown page, in order."""
    return _headings(page, page.stat().st_mtime_ns)


@cache
def _headings(page: Path, _changed: int) -> tuple[str, ...]:
    # A notebook holds megabytes of images and a hundred rows link to it: each version of it is read once.
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = [c for c in json.loads(text)["cells"] if c["cell_type"] == "markdown"]
        text = "\n".join("".join(c["source"]) for c in cells)
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    return tuple(re.findall(r"^#{1,3} +(.+?) *$", text, flags=re.MULTILINE))


def checkout(root: Path = ROOT) -> Path:
    """The repository's folder, whose page book/ledger.md is.

    Raises
    ------
    QGCError
        If the package was installed without the book.
    """
    if not (root / "_toc.yml").exists():
        raise QGCError("the ledger is a page of the book: run this in a clone of its repository")
    return root


def _page(root: Path, chapter: str) -> Path | None:
    return next((p for s in (".ipynb", ".md") if (p := root / "book" / f"{chapter}{s}").exists()), None)


def _listed(root: Path) -> set[str]:
    toc = (root / "_toc.yml").read_text(encoding="utf-8")
    return {entry.removesuffix(".ipynb").removesuffix(".md") for entry in re.findall(r"file: *(\S+)", toc)}
