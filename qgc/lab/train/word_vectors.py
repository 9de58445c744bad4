"""Published word vectors (GloVe, Pennington et al. 2014), where the published Pythia's embedding begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import ADDRESS, ARCHIVES, DataError, no_file


def read_vectors(file: Path, words: Sequence[str], size: int) -> dict[str, Tensor]:
    """The vectors (size,) of those of ``words`` that the file has: on each line a word and its numbers.

    Raises
    ------
    DataError
        If the file is missing or of another kind, its vectors have another length, or it has none of the words.
    """
    if ADDRESS.match(str(file)):
        raise DataError(no_file(file))
    wanted, vectors = set(words), {}
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                word, *rest = line.rstrip("\n").rsplit(" ", size)  # a few words of the larger files have spaces
                if word in wanted or number == 1:  # the first line tells whether it is such a file at all
                    vector = _numbers(file, number, line, rest, size)
                    if word in wanted:
                        vectors[word] = vector
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); python -m qgc fetch glove brings it") from None
    if not vectors:
        raise DataError(f"{file} has none of the {len(wanted)} words; are these word vectors for English?")
    return vectors


def _numbers(file: Path, number: int, line: str, rest: Sequence[str], size: int) -> Tensor:
    there = line.count(" ")
    if line.encode(errors="replace").startswith(ARCHIVES):
        raise DataError(f"{file} is an archive; unpack it and give glove.6B.{size}d.txt")
    if there != size:
        raise DataError(f"{file}, line {number} has {there} numbers, not {size}; give glove.6B.{size}d.txt")
    try:
        vector = torch.from_numpy(np.array(rest, dtype=np.float32))
    except ValueError:
        vector = torch.tensor(torch.nan)
    if not vector.isfinite().all():
        raise DataError(f"{file}, line {number} is not a word and its numbers; give glove.6B.{size}d.txt")
    return vector
