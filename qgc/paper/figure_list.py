"""The paper's 101 figures: captions word for word, and what they say.

The paper prints its figures in groups: a photograph, then the maps computed on it. A group is written
down here once, and each map's question, answer, model, method and n are read off its caption. Which
groups show the *same* photograph the paper does not say; the situations are inferred from its questions.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

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


class _Plate(NamedTuple):
    """Figures that the paper numbers in a row: a photograph and the maps computed on it."""

    situation: str | None
    section: str
    captions: tuple[str, ...]


_ORIGINAL = "Original Image"
_LSTM = "(Deeper LSTM+normalized CNN model)"
_OUTPUT = "Grad-CAM output for Deeper LSTM+normalized CNN model generated for"
_PYTHIA = "Grad-CAM output for Pythia generated for"


def _plate(situation: str | None, section: str, *captions: str) -> _Plate:
    """A group, its captions in print order."""
    return _Plate(situation, section, captions)


def _top(n: int, answer: str, *questions: str) -> tuple[str, ...]:
    """Captions of one group of the appendix: the photograph, then the top-n map of each question."""
    original = " (Original Grad-CAM)" if n == COMBINE else ""
    return (_ORIGINAL, *(f"Top {n}{original} for Q: {question} A: {answer}" for question in questions))


_BATHROOM_N = (10, 15, 20, 25, 30, 35, 40, 45, 50, 100, 200, 300, 400, 500, 750, 1000, 1024)
_BATHROOM = ("What is the color of the sink?", "What color are the towels?")
_PARK = ("What color are the trees?", "What color is the grass?")
_TOILETS = ("What color are the toilets?", "What color is the wall?")
_BIRTHDAY = ("What color is the cake?", "What color are the balloons?")
_PHONE = ("What color is the phone?", "What color is her top?")

_PLATES = (
    _plate(
        "bathroom",
        "1",
        _ORIGINAL,
        f"Grad-CAM heat map for Q: What is the color of the sink? A: white {_LSTM}",
        f"Grad-CAM heat map for Q: What color are the towels? A: white {_LSTM}",
    ),
    _plate(
        "bathroom",
        "1",
        _ORIGINAL,
        f"Grad-CAM heat map using our technique for Q: What is the color of the sink? A: white {_LSTM}",
        f"Grad-CAM heat map using our technique for Q: What color are the towels? A: white {_LSTM}",
    ),
    _plate(
        "birthday",
        "3",
        _ORIGINAL,
        "Grad-CAM output for Pythia model generated for Q: What color is the cake? A: white",
        "Grad-CAM output for Pythia model generated for Q: What color are the balloons? A: white",
    ),
    _plate(
        "birthday",
        "3.1",
        _ORIGINAL,
        f"{_OUTPUT} Q: What color is the cake? A: white",
        f"{_PYTHIA} Q: What color are the balloons? A: white",
    ),
    _plate(
        "bedroom",
        "3",
        _ORIGINAL,
        f"{_PYTHIA} Q: Is that a folding chair? A: no",
        f"{_PYTHIA} Q: Are these twin mattresses? A: no",
    ),
    _plate(
        "couple",
        "3",
        _ORIGINAL,
        f"{_PYTHIA} Q: What is the man doing? A: sitting",
        f"{_PYTHIA} Q: What is the woman doing? A: sitting",
        f"{_PYTHIA} Q: What is the man doing? A: standing",
    ),
    _plate(
        "couple",
        "3.1",
        _ORIGINAL,
        f"{_OUTPUT} Q: What is the man doing? A: sitting",
        f"{_OUTPUT} Q: What is the woman doing? A: sitting",
    ),
    _plate("skier-1", "3.2", "Image of a man skiing"),
    _plate("skier-2", "3.2", "Image of a man skiing"),
    _plate("skateboarder", "3.2", "Image of a man skateboarding"),
    _plate(
        None,
        "3.3",
        "Deeper LSTM+normalized CNN model Architecture showing the proposed approach of backprop only via "
        "top n neurons at the combine layer for Grad-CAM computation",
    ),
    *(_plate("bathroom", "3.3", *_top(n, "white", *_BATHROOM)) for n in _BATHROOM_N),
    _plate("park", "3.3", *_top(1024, "green", *_PARK)),
    _plate("park", "3.3", *_top(200, "green", *_PARK)),
    _plate(
        "toilets",
        "3.3",
        _ORIGINAL,
        "Top 1024 (Original Grad-CAM) for Q:What color are the toilets? A: white",
        "Top 1024 (Original Grad-CAM) for Q: What color is the wall? A: white",
    ),
    _plate("toilets", "3.3", *_top(400, "white", *_TOILETS)),
    _plate("birthday", "5", *_top(25, "white", *_BIRTHDAY)),
    _plate(
        "phone",
        "3.3",
        _ORIGINAL,
        "Top 1024 (Original Grad-CAM) for Q:What color is the phone? A: white",
        "Top 1024 (Original Grad-CAM) for Q: What color is her top? A: white",
    ),
    _plate("phone", "5", *_top(25, "white", *_PHONE)),
    _plate("toilets", "5", *_top(25, "white", *_TOILETS)),
)

_NO_MODEL = "The caption names no model; Section 3.3 (combine layer of size 1024, Figure 26) makes it the Deeper LSTM."
_NO_N = (
    "The paper does not state n. For these two questions Section 3.3 finds n=25 best, as shown in Figures 37 and 38."
)
_NOT_OF_THE_TYPE = (
    "Section 3 offers Figures 7-9 and 13-19 as examples of question type 'What color' and answer type 'yes/no'; "
    "this question is of neither type."
)
_NO_SPACE = "The caption has no space after 'Q:'."

_NOTES = {
    5: _NO_N,
    6: _NO_N,
    12: "The caption says Pythia, whose map for this question is already Figure 9. Printed beside Figure 11, it is "
    "probably the Deeper LSTM's: nothing else shows that model's original Grad-CAM for the balloons.",
    17: _NOT_OF_THE_TYPE,
    18: _NOT_OF_THE_TYPE,
    19: f"{_NOT_OF_THE_TYPE} Section 3 also says that ground truth answers are shown, yet Figures 17 and 19 give "
    "the same question two different answers.",
    23: "Figures 23 and 24 are different photographs with the same caption.",
    24: "Figures 23 and 24 are different photographs with the same caption.",
    85: _NO_SPACE,
    92: "The original Grad-CAM to compare it with is Figure 12, whose caption says Pythia.",
    94: _NO_SPACE,
}

_QUESTION_AND_ANSWER = re.compile(r"Q: ?(?P<question>.+\?) A: (?P<answer>\w+)")


def _read(number: int, caption: str, picture: int, plate: _Plate) -> Figure:
    """Reads one figure's fields off its caption; the rules are those of the class ``Figure``."""
    asked = _QUESTION_AND_ANSWER.search(caption)
    model: Model | None = "pythia" if "Pythia" in caption else "deeper-lstm" if "LSTM" in caption else None
    question: str | None = None
    answer: str | None = None
    n: int | None = None
    method: Method | None = None
    notes = [_NOTES.get(number, "")]
    if asked is None:
        kind: Kind = "photograph" if plate.situation else "architecture"
    else:
        kind, question, answer = "map", asked["question"], asked["answer"]
        if model is None:
            model = "deeper-lstm"
            notes.insert(0, _NO_MODEL)
        if top := re.match(r"Top (\d+)", caption):
            n = int(top[1])
        elif model == "deeper-lstm" and "our technique" not in caption:
            n = COMBINE
        method = "grad-cam" if model == "pythia" or n == COMBINE else "gate"
    return Figure(
        number=number,
        caption=caption,
        kind=kind,
        model=model,
        question=question,
        answer=answer,
        n=n,
        picture=picture if plate.situation else None,
        method=method,
        section=plate.section,
        situation=plate.situation,
        note=" ".join(filter(None, notes)),
    )


def _number() -> Iterator[Figure]:
    """Numbers the groups' captions through, as the paper does."""
    number = 0
    for plate in _PLATES:
        picture = number + 1
        for caption in plate.captions:
            number += 1
            yield _read(number, caption, picture, plate)


FIGURES: dict[int, Figure] = {figure.number: figure for figure in _number()}
"""The paper's Figures 1 to 101, by number."""

SITUATIONS: tuple[str, ...] = tuple(dict.fromkeys(plate.situation for plate in _PLATES if plate.situation))
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
