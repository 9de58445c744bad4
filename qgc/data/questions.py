"""A data set of photographs: questions, their answers, and where the images are."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import DataError, shown

SPLITS = ("train", "validation", "test")  # validation is held out of the official training part
PACKED = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
HELD_OUT = 0.1  # the share of the training photographs that goes to validation


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a photograph, with what people answered.

    Parameters
    ----------
    id : its number in the data set's files.
    image : the photograph's name, as :meth:`PhotoSet.image_path` takes it.
    text : the question as it is asked, without the photograph's name.
    answers : one for DAQUAR, ten for VQA, none where the annotations are withheld.
    kind : VQA's ``answer_type`` ("yes/no", "number" or "other"), else "".
    """

    id: int
    image: str
    text: str
    answers: tuple[str, ...]
    kind: str = ""

    @property
    def answer(self) -> str:
        """The commonest of the answers; of equally common ones the first in the alphabet.

        VQA's own ``multiple_choice_answer`` is one of the commonest, too, but picks among equals by no visible rule.

        Raises
        ------
        DataError
            If the question came without answers.
        """
        if not self.answers:
            raise DataError(f"question {self.id} came without answers; train and score on a split that has them")
        counts = Counter(self.answers)
        return min(counts, key=lambda a: (-counts[a], a))


@dataclass(frozen=True)
class PhotoSet(ABC):
    """One split of a data set: its questions, and the folder with its photographs.

    Parameters
    ----------
    name : "daquar", "vqa1", "vqa2" or "rooms-0", as :func:`qgc.data.load` takes it.
    split : "train", "validation" or "test".
    questions : in the order of the files.
    folder : where the data set is.
    """

    name: str
    split: str
    questions: tuple[Question, ...]
    folder: Path

    @cached_property
    def images(self) -> tuple[str, ...]:
        """The photographs that are asked about, each once, in the order of first use."""
        return tuple(dict.fromkeys(q.image for q in self.questions))

    @abstractmethod
    def image_path(self, image: str) -> Path:
        """The file of a photograph.

        Raises
        ------
        DataError
            If the photograph is absent.
        """

    @abstractmethod
    def score(self, question: Question, answer: str) -> float:
        """The accuracy of an answer, from 0 to 1, as the data set defines it."""


def check_split(split: str) -> None:
    """Raise ``DataError`` unless there is such a split."""
    if not isinstance(split, str) or split not in SPLITS:
        raise DataError(f"there is no split {shown(split)}; choose one of {', '.join(SPLITS)}")


def held_out(image: str) -> bool:
    """Whether a training photograph belongs to validation: about one in ten, decided by the SHA-256 of its name.

    So the parts are the same on every machine, share no photograph, and do not change when others come or go.
    """
    number = int.from_bytes(hashlib.sha256(image.encode()).digest()[:8], "big")
    return number < HELD_OUT * 2**64


def first_there(image: str, places: Iterable[Path]) -> Path:
    """The first of ``places`` where there is a file.

    Raises
    ------
    DataError
        If there is none; the message says where it was looked for.
    """
    places = list(places)
    first = next((p for p in places if os.path.isfile(p)), None)  # isfile is False, too, for a name too long
    if first is None:
        looked = ", ".join(dict.fromkeys(str(p.parent) for p in places))
        packed = packed_beside(*places)
        raise DataError(f"the photograph {image[:80]} is absent (looked for in {looked}); fetch the images{packed}")
    return first


def packed_beside(*paths: Path) -> str:
    """For the end of a message: the archives in the folders where files are missing; "" if there are none."""
    folders = dict.fromkeys(path.parent for path in paths)
    archives = [p for folder in folders if folder.is_dir() for p in sorted(folder.iterdir()) if p.name.endswith(PACKED)]
    return f", or unpack {archives[0]}" if archives else ""
