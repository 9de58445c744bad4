"""DAQUAR: 12,468 questions about the 1,449 photographs of NYU Depth v2 (Malinowski and Fritz 2014).

The official layout: ``qa.894.raw.train.txt`` and ``qa.894.raw.test.txt``, a line with a question and a line with its
answer in turn; ``train_images_list.txt`` and ``test_images_list.txt``; the photographs as ``images/imageN.jpg`` or
``.png``, or in the archive's own folder ``nyu_depth_images``.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import DataError, shown
from .answers import as_set
from .checks import read_text
from .questions import PhotoSet, Question, check_split, first_there, held_out, packed_beside

NAME = re.compile(r"image\d+")
PLACE = re.compile(r"\s+(?:in|on)\s+(?:(?:the|this)\s+)?image\d+\b")
AS_NOUN = re.compile(r"(?<=\bthe )image\d+\b|(?<=\bof )image\d+\b")
ALONE = re.compile(r"\s+image\d+\b")
FOLDERS = ("images", "nyu_depth_images", ".")
ENDINGS = (".jpg", ".png", ".JPG", ".PNG", ".jpeg", ".JPEG")


class Daquar(PhotoSet):
    """One split of DAQUAR; an answer is right (1) if it names the same objects as the given one, else wrong (0)."""

    def image_path(self, image: str) -> Path:
        """The file of a photograph, ``image3`` for instance."""
        return first_there(image, (self.folder / f / f"{image}{e}" for f in FOLDERS for e in ENDINGS))

    def score(self, question: Question, answer: str) -> float:
        """1 if the answer is exactly right, in any order of its objects, else 0."""
        return float(as_set(answer) == question.answer)


def load(folder: Path, split: str) -> Daquar:
    """One split of DAQUAR; validation is held out of the official training split, by photograph.

    Raises
    ------
    DataError
        If a file is missing or damaged, or a question names no photograph of its split.
    """
    check_split(split)
    part = "test" if split == "test" else "train"
    known = set(lines(folder / f"{part}_images_list.txt"))
    pairs = read_pairs(folder / f"qa.894.raw.{part}.txt", known)
    of_split = (q for q in pairs if split == "test" or held_out(q.image) == (split == "validation"))
    return Daquar("daquar", split, tuple(of_split), folder)


def read_pairs(path: Path, known: set[str]) -> list[Question]:
    """The questions of a file, numbered from 0, each with its one answer; their photographs must be ``known``."""
    text = lines(path)
    if not text or len(text) % 2:
        fault = (
            f"has {len(text)} lines, an odd number, but each question needs an answer" if text else "has no question"
        )
        raise DataError(f"{path} {fault}; fetch it again")
    questions = []
    for i, (asked, answer) in enumerate(zip(text[::2], text[1::2], strict=True)):
        where = f"{path}, line {2 * i + 1}"
        if not as_set(answer):
            raise DataError(f"{where}: the question {shown(asked)} has no answer; fetch the file again")
        image = image_of(asked, where)
        if image not in known:
            raise DataError(f"{where}: {image} is not in the list of this split's photographs; fetch both files again")
        questions.append(Question(i, image, without_image(asked), (as_set(answer),)))
    return questions


def image_of(question: str, where: str) -> str:
    """The photograph that a question names."""
    named = sorted(set(NAME.findall(question)))
    if len(named) != 1:
        fault = f"names {len(named)} photographs ({', '.join(named[:5])})" if named else "names no photograph"
        raise DataError(f"{where}: the question {shown(question)} {fault}; each must name one, such as 'in the image3'")
    return named[0]


def without_image(question: str) -> str:
    """A question's text without its photograph's name: "what is on the desk in the image3 ?" → "what is on the desk ?"

    "in the image3" (or on, this, no article) only says which photograph is meant, and is removed; so is the bare name
    after a noun. Where the question is about the image itself, only the number is: "on the left side of the image3" →
    "on the left side of the image". A name may be in a question's middle, and twice.
    """
    text = AS_NOUN.sub("image", PLACE.sub("", question))
    return " ".join(ALONE.sub("", text).split())


def lines(path: Path) -> list[str]:
    """The lines of a text file, without what is empty at its end."""
    remedy = f"`python -m qgc fetch daquar` fetches the official files{packed_beside(path)}"
    text = read_text(path, "a text file in UTF-8", remedy).rstrip()
    return [line.rstrip() for line in text.split("\n")] if text else []
