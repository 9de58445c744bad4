"""Real photographs with questions: DAQUAR and VQA v1 and v2, fetched and read from their official files."""

from __future__ import annotations

from pathlib import Path

from ..errors import ADDRESS, DataError, no_file
from . import daquar, vqa2
from .questions import SPLITS, PhotoSet, Question

NAMES = ("daquar", "vqa1", "vqa2")  # the data sets that can be read

__all__ = ["NAMES", "SPLITS", "PhotoSet", "Question", "load"]


def load(name: str, folder: str | Path, split: str) -> PhotoSet:
    """The questions of one split of a data set, and where their photographs lie.

    Parameters
    ----------
    name : ``"daquar"``, ``"vqa1"`` or ``"vqa2"``.
    folder : where its official files lie (:mod:`qgc.data.daquar` and :mod:`qgc.data.vqa2` say which).
    split : ``"train"``, ``"validation"`` (held out of the official training part) or ``"test"``.

    Raises
    ------
    DataError
        If there is no such data set or split, or a file is missing, damaged or of another kind.
    """
    if name not in NAMES:
        raise DataError(f"there is no data set {name!r}; choose one of {', '.join(NAMES)}")
    if split not in SPLITS:
        raise DataError(f"there is no split {split!r}; choose one of {', '.join(SPLITS)}")
    if ADDRESS.match(str(folder)):
        raise DataError(no_file(folder))
    if Path(folder).is_file():
        raise DataError(
            f"{folder} is a file; if it is an archive unpack it, and give the folder with the files of {name}"
        )
    if not Path(folder).is_dir():
        raise DataError(f"there is no folder {str(folder)!r}; give the one that holds the files of {name}")
    return daquar.load(Path(folder), split) if name == "daquar" else vqa2.load(name, Path(folder), split)
