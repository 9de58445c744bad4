"""Real photographs with questions: DAQUAR and VQA v1 and v2, fetched and read from their official files."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ADDRESS, DataError, no_file, shown
from . import daquar, vqa2
from .questions import SPLITS, PhotoSet, Question, check_split

NAMES = ("daquar", "vqa1", "vqa2")  # the data sets that can be read

__all__ = ["NAMES", "SPLITS", "PhotoSet", "Question", "load"]


def load(name: str, folder: str | Path, split: str) -> PhotoSet:
    """The questions of one split of a data set, and where their photographs are.

    Parameters
    ----------
    name : ``"daquar"``, ``"vqa1"`` or ``"vqa2"``.
    folder : where its official files are (:mod:`qgc.data.daquar` and :mod:`qgc.data.vqa2` say which).
    split : ``"train"``, ``"validation"`` (held out of the official training part) or ``"test"``.

    Raises
    ------
    DataError
        If there is no such data set or split, or a file is missing, damaged or of another kind.
    """
    if not isinstance(name, str) or name not in NAMES:
        raise DataError(f"there is no data set {shown(name)}; choose one of {', '.join(NAMES)}")
    check_split(split)
    if not isinstance(folder, str | os.PathLike):
        raise DataError(f"a folder is named by a path, not {type(folder).__name__}; give that of the files of {name}")
    if ADDRESS.match(str(folder)):
        raise DataError(no_file(folder))
    if os.path.isfile(folder):
        raise DataError(
            f"{folder} is a file; if it is an archive unpack it, and give the folder with the files of {name}"
        )
    if not os.path.isdir(folder):
        raise DataError(f"there is no folder {shown(str(folder))}; give the one that holds the files of {name}")
    return daquar.load(Path(folder), split) if name == "daquar" else vqa2.load(name, Path(folder), split)
