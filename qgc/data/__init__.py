"""Real photographs with questions: DAQUAR, VQA v1 and v2, and rooms with pixel labels, fetched and read."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import ADDRESS, DataError, no_file, shown
from . import daquar, rooms, vqa2
from .questions import SPLITS, PhotoSet, Question, check_split

NAMES = ("daquar", "vqa1", "vqa2", *rooms.NAMES)  # the data sets that can be read

__all__ = ["NAMES", "SPLITS", "PhotoSet", "Question", "load"]


def load(name: str, folder: str | Path, split: str) -> PhotoSet:
    """The questions of one split of a data set, and where their photographs are.

    Parameters
    ----------
    name : ``"daquar"``, ``"vqa1"``, ``"vqa2"``, or a fold of the rooms, ``"rooms-0"`` or ``"rooms-recoloured-0"``.
    folder : where its files are (:mod:`qgc.data.daquar`, :mod:`qgc.data.vqa2` and :mod:`qgc.data.rooms` say which).
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
    if name in rooms.NAMES:
        return rooms.load(folder, split, int(name[-1]), "recoloured" in name)
    return daquar.load(Path(folder), split) if name == "daquar" else vqa2.load(name, Path(folder), split)
