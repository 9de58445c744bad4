"""The paper's six tables (tables.json), every printed value exact.

Tables 1 to 4 (Section 3.2) list the ten largest entries of ∂A/∂q and the combine neurons they belong to;
Tables 5 and 6 (Section 3.3) the Spearman rank correlation of ∂A/∂q between two questions about an image.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Column:
    """Half of one of Tables 1 to 4: the ten largest values of ∂A/∂q for one question about one photograph.

    ``figure`` is the photograph's number; ``indices`` name combine neurons, 0 to 1023 or 1 to 1024 (the
    paper does not say which); ``values`` have no unit and descend.
    """

    question: str
    figure: int
    situation: str
    values: tuple[float, ...]
    indices: tuple[int, ...]


@dataclass(frozen=True)
class Top10:
    """One of Tables 1 to 4. Tables 1 and 2 vary the photograph, Tables 3 and 4 the question."""

    number: int
    caption: str
    columns: tuple[Column, Column]


@dataclass(frozen=True)
class Spearman:
    """One row of Tables 5 and 6; ``answer``, which both questions share, comes from the maps' captions."""

    table: int
    questions: tuple[str, str]
    figure: int
    situation: str
    answer: str
    value: float


def _top10(number: int, caption: str, columns: list[dict]) -> Top10:
    lists = [{name: tuple(v) if isinstance(v, list) else v for name, v in column.items()} for column in columns]
    return Top10(number, caption, tuple(Column(**column) for column in lists))


_PRINTED = json.loads(Path(__file__).with_name("tables.json").read_text(encoding="utf-8"))

TOP10: dict[int, Top10] = {record["number"]: _top10(**record) for record in _PRINTED["top10"]}
"""Tables 1 to 4, by number."""

SPEARMAN_CAPTION: str = _PRINTED["spearman_caption"]
"""The caption that Tables 5 and 6 share."""

SPEARMAN: tuple[Spearman, ...] = tuple(
    Spearman(**row | {"questions": tuple(row["questions"])}) for row in _PRINTED["spearman"]
)
"""The rows of Tables 5 and 6, in print order."""


def table(number: int) -> pd.DataFrame:
    """One of the paper's tables, 1 to 6, laid out as printed; its caption is in ``.attrs["caption"]``.

    Tables 1 to 4: ten rows by rank, and a value and an index column under each heading, which is the
    figure where the table varies the figure and the question where it varies the question. Tables 5
    and 6: a row for each pair of questions. Any other number raises ValueError.
    """
    if number in TOP10:
        top = TOP10[number]
        one_question = top.columns[0].question == top.columns[1].question
        frame = pd.DataFrame(
            {
                (f"Figure {column.figure}" if one_question else column.question, name): numbers
                for column in top.columns
                for name, numbers in (("value", column.values), ("index", column.indices))
            },
            index=pd.RangeIndex(1, 11, name="rank"),
        )
        frame.attrs["caption"] = top.caption
        return frame
    rows = [row for row in SPEARMAN if row.table == number]
    if not rows:
        raise ValueError(f"there is no Table {number}: the paper has Tables 1 to 6")
    frame = pd.DataFrame(
        {
            "questions": [f"'{row.questions[0]}' and '{row.questions[1]}' in Figure {row.figure}" for row in rows],
            "Spearman rank correlation": [row.value for row in rows],
        }
    )
    frame.attrs["caption"] = SPEARMAN_CAPTION
    return frame
