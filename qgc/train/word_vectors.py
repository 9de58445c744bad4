"""Published word vectors (GloVe, Pennington et al. 2014), where the published Pythia's embedding begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError


def read_vectors(file: Path, words: Sequence[str], size: int) -> dict[str, Tensor]:
    """The vectors (size,) of those of ``words`` that the file has: on each line a word and its numbers.

    Raises
    ------
    DataError
        If the file is missing or of another kind, its vectors have another length, or it has none of the words.
    """
    wanted, found = set(words), {}
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                word, _, rest = line.rstrip("\n").partition(" ")
                if word in wanted or number == 1:  # the first line tells whether it is such a file at all
                    vector = _numbers(file, number, rest, size)
                    if word in wanted:
                        found[word] = vector
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror}); python -m qgc fetch glove brings it") from None
    if not found:
        raise DataError(f"{file} has none of the {len(wanted)} words; are these word vectors for English?")
    return found


def _numbers(file: Path, line: int, text: str, size: int) -> Tensor:
    try:
        numbers = np.array(text.split(" "), dtype=np.float32)
    except ValueError:
        raise DataError(f"{file}, line {line} is not a word and its numbers; give glove.6B.{size}d.txt") from None
    if len(numbers) != size or not np.isfinite(numbers).all():
        count = np.isfinite(numbers).sum()
        raise DataError(f"{file}, line {line} has {count} numbers, not {size}; give glove.6B.{size}d.txt")
    return torch.from_numpy(numbers)
