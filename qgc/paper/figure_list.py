"""The paper's 101 figures (figures.csv): captions word for word, and what they say.

The paper prints its figures in groups: a photograph, then the maps computed on it. Which groups show the *same*
photograph the paper does not say; the situations are inferred from its questions.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Kind = Literal["photograph", "map", "architecture"]
Model = Literal["deeper-lstm", "pythia"]
Method = Literal["grad-cam", "gate"]

COMBINE = 1024
"""Size of the Deeper LSTM's combine layer (Section 3.3): top 1024 is the original Grad-CAM."""


@dataclass(frozen=True)
class Figure:
    """One figure of the paper.

    ``n`` is the number of combine neurons the gradient may pass, 1024 for the Deeper LSTM's original
    Grad-CAM; it is None for photographs, for Pythia (whose fusion layer has 5000) and where the paper
    does not state it. ``model`` is the caption's, or the text's where the caption of a map names none.
    ``picture`` is the number of the photograph the figure belongs to, a photograph's own number being
    itself. ``section`` is the section whose text first refers to the figure's group, in itself or
    through a table. ``note`` states what in the caption is odd, missing or at odds with the text.
    """

    number: int
    caption: str
    kind: Kind
    model: Model | None
    question: str | None
    answer: str | None
    n: int | None
    picture: int | None
    method: Method | None
    section: str
    situation: str | None
    note: str = ""


def _figures() -> list[Figure]:
    """The rows of figures.csv; an empty field is None, but for ``note``."""
    with Path(__file__).with_name("figures.csv").open(encoding="utf-8", newline="") as file:
        rows = [{name: text or None for name, text in row.items()} for row in csv.DictReader(file)]
    for row in rows:
        row |= {name: int(row[name]) for name in ("number", "n", "picture") if row[name]}
        row["note"] = row["note"] or ""
    return [Figure(**row) for row in rows]


FIGURES: dict[int, Figure] = {figure.number: figure for figure in _figures()}
"""The paper's Figures 1 to 101, by number."""

SITUATIONS: tuple[str, ...] = tuple(dict.fromkeys(figure.situation for figure in FIGURES.values() if figure.situation))
"""The situations the paper's photographs show, in the order of their first figure."""


def figure(number: int) -> Figure:
    """The paper's figure of that number, 1 to 101; any other number raises ValueError."""
    if number not in FIGURES:
        raise ValueError(f"there is no Figure {number}: the paper has Figures 1 to {len(FIGURES)}")
    return FIGURES[number]


def figures(
    situation: str | None = None,
    question: str | None = None,
    n: int | None = None,
    method: Method | None = None,
) -> list[Figure]:
    """The figures that match everything given, in the paper's order; with nothing given, all 101.

    A situation or method that does not exist raises ValueError; a question or n that the paper does not
    print gives an empty list.
    """
    if situation is not None and situation not in SITUATIONS:
        raise ValueError(f"unknown situation {situation!r}: the paper shows {', '.join(SITUATIONS)}")
    if method is not None and method not in get_args(Method):
        raise ValueError(f"unknown method {method!r}: choose one of {', '.join(get_args(Method))}")
    return [
        figure
        for figure in FIGURES.values()
        if situation in (None, figure.situation)
        and question in (None, figure.question)
        and n in (None, figure.n)
        and method in (None, figure.method)
    ]


def sweep_n(situation: str) -> list[int]:
    """The values of n that the paper's figures show for a situation, ascending; 1024 is the original Grad-CAM."""
    return sorted({figure.n for figure in figures(situation=situation) if figure.n is not None})
