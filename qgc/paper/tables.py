"""The paper's six tables, every printed value exact.

Tables 1 to 4 (Section 3.2) list the ten largest entries of ∂A/∂q and the combine neurons they belong to;
Tables 5 and 6 (Section 3.3) the Spearman rank correlation of ∂A/∂q between two questions about an image.
"""

from dataclasses import dataclass

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


_MAN_DOING = "What is the man doing?"
_SIMILAR = "Indices are similar for the same question across images"
_DIFFERENT = "Indices are different for different questions"
_VALUES_OF = r"Top 10 values and indices of $\frac{\partial A}{\partial q}$ for the"

TOP10: dict[int, Top10] = {
    1: Top10(
        1,
        f"{_VALUES_OF} question '{_MAN_DOING}' in Figures 20 and 25. {_SIMILAR}",
        (
            Column(
                _MAN_DOING,
                20,
                "couple",
                (0.6974, 0.6597, 0.4048, 0.2965, 0.2205, 0.1558, 0.1309, 0.1000, 0.0865, 0.0809),
                (304, 281, 457, 362, 72, 627, 673, 184, 450, 51),
            ),
            Column(
                _MAN_DOING,
                25,
                "skateboarder",
                (0.6975, 0.6597, 0.3944, 0.2792, 0.2253, 0.1452, 0.1296, 0.0927, 0.0869, 0.0809),
                (304, 281, 457, 362, 72, 627, 673, 184, 450, 51),
            ),
        ),
    ),
    2: Top10(
        2,
        f"{_VALUES_OF} question '{_MAN_DOING}' in Figures 23 and 24. {_SIMILAR}",
        (
            Column(
                _MAN_DOING,
                23,
                "skier-1",
                (0.6967, 0.6597, 0.2954, 0.2466, 0.1300, 0.0857, 0.0809, 0.0788, 0.0605, 0.0600),
                (304, 281, 362, 457, 673, 450, 51, 72, 701, 184),
            ),
            Column(
                _MAN_DOING,
                24,
                "skier-2",
                (0.6971, 0.6597, 0.3373, 0.2972, 0.2579, 0.1615, 0.1302, 0.1102, 0.0869, 0.0809),
                (304, 281, 457, 362, 72, 814, 673, 627, 450, 51),
            ),
        ),
    ),
    3: Top10(
        3,
        f"{_VALUES_OF} questions 'Where are they looking?' and 'What is the woman doing?' in Figure 20. {_DIFFERENT}",
        (
            Column(
                "Where are they looking?",
                20,
                "couple",
                (5.1008, 4.5618, 3.6857, 3.0891, 2.4732, 2.2428, 2.1852, 1.9189, 1.1856, 1.0953),
                (713, 304, 504, 296, 374, 234, 61, 362, 397, 118),
            ),
            Column(
                "What is the woman doing?",
                20,
                "couple",
                (2.4855, 1.6732, 1.2460, 1.2099, 1.0379, 0.8052, 0.7399, 0.5800, 0.2729, 0.2533),
                (457, 51, 104, 450, 362, 506, 829, 304, 224, 882),
            ),
        ),
    ),
    4: Top10(
        4,
        f"{_VALUES_OF} questions 'What color is the cake?' and 'What color are the balloons?' in Figure 10. "
        f"{_DIFFERENT}",
        (
            Column(
                "What color is the cake?",
                10,
                "birthday",
                (3.9076, 3.4301, 2.8445, 2.8362, 2.6715, 2.1125, 1.6200, 1.5807, 1.4561, 1.4277),
                (929, 379, 214, 783, 831, 612, 903, 337, 154, 6),
            ),
            Column(
                "What color are the balloons?",
                10,
                "birthday",
                (4.0458, 3.4439, 2.9227, 2.8059, 2.5965, 2.4618, 2.3719, 2.1470, 1.8327, 1.6557),
                (995, 245, 628, 337, 902, 981, 792, 836, 612, 874),
            ),
        ),
    ),
}
"""Tables 1 to 4, by number."""

SPEARMAN_CAPTION = (
    r"Spearman rank correlation between $\frac{\partial A}{\partial q}$ for different image + question combinations"
)
"""The caption that Tables 5 and 6 share."""

SPEARMAN: tuple[Spearman, ...] = (
    Spearman(5, ("What is the color of the sink?", "What color are the towels?"), 27, "bathroom", "white", 0.860921),
    Spearman(5, ("What color are the trees?", "What color is the grass?"), 78, "park", "green", 0.932396),
    Spearman(5, ("What color are the toilets?", "What color is the wall?"), 84, "toilets", "white", 0.812344),
    Spearman(6, ("What color is the cake?", "What color are the balloons?"), 10, "birthday", "white", 0.896294),
    Spearman(6, ("What color is the phone?", "What color is her top?"), 93, "phone", "white", 0.872120),
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
