"""Questions about photographs as arrays on disk: read by pieces, so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...data import PhotoSet
from ...models.text import UNK, Vocabulary
from .files import save_array


@dataclass(frozen=True)
class EncodedQuestions:
    """N questions, memory-mapped.

    ``tokens`` (N, T) word indices, 0 behind the end; ``lengths`` (N,); ``image`` (N,) rows of the features; ``target``
    (N,) the index of the answer to learn, −1 if it is not in the vocabulary; ``accepted`` (N, A) indices of the answers
    that count, −1 where there are fewer, and ``credit`` (N, A) how right each is, from 0 to 1.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    image: np.ndarray
    target: np.ndarray
    accepted: np.ndarray
    credit: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def score(self, predicted: np.ndarray) -> float:
        """The mean accuracy of the predicted answers' indices (N,)."""
        return float((self.credit * (self.accepted == predicted[:, None])).sum() / len(self))

    def soft(self, rows: np.ndarray, answers: int) -> Tensor:
        """How right every answer to these questions is, (len(rows), answers), from 0 to 1."""
        accepted, credit = (torch.from_numpy(values[rows]) for values in (self.accepted, self.credit))
        return torch.zeros(len(rows), answers).scatter_add_(1, accepted.long().clamp_min(0), credit)

    def save(self, folder: Path) -> None:
        """Write every array into a file of its own."""
        for field in fields(self):
            save_array(folder / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def open(cls, folder: Path) -> EncodedQuestions:
        """What :meth:`save` wrote, memory-mapped."""
        return cls(*(np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(cls)))


def encode(vocabulary: Vocabulary, text: str) -> list[int]:
    """Word indices of a question, the unknown word's where it has none that is known; never empty."""
    words = vocabulary.cut(text)[: vocabulary.max_tokens]
    return [number_of(vocabulary, word) for word in words] or [unknown_word(vocabulary)]


def number_of(vocabulary: Vocabulary, word: str) -> int:
    """The index of one word, as the model numbers them."""
    return vocabulary.index.get(word, UNK) - UNK + unknown_word(vocabulary)


def unknown_word(vocabulary: Vocabulary) -> int:
    """The index of any unknown word: 1, or 0 where padding and unknown words are one, as Pythia has them."""
    return len(vocabulary) - len(vocabulary.words) - UNK


def as_arrays(
    photos: PhotoSet, vocabulary: Vocabulary, answers: Sequence[str], row_of: Mapping[str, int], learn: bool
) -> EncodedQuestions:
    """The questions of a set; with ``learn`` only those with an answer in the vocabulary, as in the original recipe."""
    index = {answer: i for i, answer in enumerate(answers)}
    questions = [q for q in photos.questions if not learn or q.answer in index]
    encoded = [encode(vocabulary, q.text) for q in questions]
    most = max((len(set(q.answers)) for q in questions), default=1)
    tokens = np.zeros((len(questions), max(map(len, encoded), default=1)), np.int32)
    accepted = np.full((len(questions), most), -1, np.int32)
    credit = np.zeros((len(questions), most), np.float32)
    for i, (question, words) in enumerate(zip(questions, encoded, strict=True)):
        tokens[i, : len(words)] = words
        for j, answer in enumerate(a for a in sorted(set(question.answers)) if a in index):
            accepted[i, j], credit[i, j] = index[answer], photos.score(question, answer)
    return EncodedQuestions(
        tokens,
        np.array([len(words) for words in encoded], np.int32),
        np.array([row_of[q.image] for q in questions], np.int32),
        np.array([index.get(q.answer, -1) for q in questions], np.int32),
        accepted,
        credit,
    )
