"""Words: a vocabulary that names the words it does not know."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Sequence

import torch

from ..data.tokens import TOKENIZERS, simplify, words
from ..errors import AnswerError, QuestionError, shown

PAD, UNK = 0, 1
MOST_LETTERS = 10_000  # of a question; a longer text is a file, or a mistake
LONGEST_WORD = 40  # letters of a word for which similar ones are looked up


class Vocabulary:
    """The words a model knows; index 0 is padding, 1 is any unknown word.

    Parameters
    ----------
    words : the known words, in index order from 2.
    max_tokens : how many tokens are read; the rest of a longer question is dropped, with a warning.
    tokens : how a question is tokenised, a key of :data:`qgc.data.tokens.TOKENIZERS`.

    QuestionError if there is no such tokeniser.
    """

    def __init__(self, words: Sequence[str], max_tokens: int = 26, tokens: str = "plain"):
        if tokens not in TOKENIZERS:
            raise QuestionError(f"there is no tokeniser {shown(tokens)}; choose one of {', '.join(TOKENIZERS)}")
        self.words = list(words)
        self.max_tokens = max_tokens
        self.cut = TOKENIZERS[tokens]
        # A published vocabulary may have "café", which no question's token is; its "cafe", if it has one, goes first.
        self.index = {simplify(w): i + 2 for i, w in enumerate(self.words) if not w.isascii()}
        self.index |= {w: i + 2 for i, w in enumerate(self.words)}

    @classmethod
    def from_questions(cls, questions: Iterable[str], max_tokens: int = 26, tokens: str = "plain") -> Vocabulary:
        """The vocabulary of all words in ``questions``, sorted."""
        return cls(words(questions, tokens), max_tokens, tokens)

    of = from_questions  # its earlier name

    def __len__(self) -> int:
        """How many indices there are: the words, padding and unknown."""
        return len(self.words) + 2

    def tokens(self, question: str) -> list[str]:
        """The tokens that the model reads of a question.

        QuestionError if it is not a string, has no word or more than 10,000 letters, or is not valid Unicode.
        """
        if not isinstance(question, str):
            raise QuestionError(f"a question must be text, not {type(question).__name__}")
        if len(question) > MOST_LETTERS:
            raise QuestionError(
                f"the question has {len(question):,} letters, more than {MOST_LETTERS:,}; ask in a line"
            )
        if any("\ud800" <= letter <= "\udfff" for letter in question):
            raise QuestionError(f"{shown(question)} has bytes that are no letters; type it again, in UTF-8")
        tokens = self.cut(question)
        if not tokens:
            fault = f"{shown(question)} has no word in it" if question.strip() else "the question is empty"
            raise QuestionError(f"{fault}; ask something, for example 'What color are the towels?'")
        if len(tokens) > self.max_tokens:
            warnings.warn(
                f"the question has {len(tokens)} words; the model reads the first {self.max_tokens}", stacklevel=3
            )
        return tokens[: self.max_tokens]

    def encode(self, question: str, quiet: bool = False) -> torch.Tensor:
        """Indices (T,) of a question's words; unknown ones become UNK, with a warning that names them.

        QuestionError if the question is empty, or the model knows none of its words.
        """
        tokens = self.tokens(question)
        unknown = [w for w in tokens if w not in self.index]
        if len(unknown) == len(tokens):
            raise QuestionError(
                f"the model knows none of the words in {shown(question)}; it was trained on other words"
            )
        if unknown and not quiet:
            hints = []
            for w in dict.fromkeys(unknown):
                near = difflib.get_close_matches(w, self.words, 1) if len(w) <= LONGEST_WORD else []
                hints.append(shown(w) + (f" (did you mean {near[0]!r}?)" if near else ""))
            warnings.warn(f"the model does not know {', '.join(hints)} and reads an unknown word there", stacklevel=3)
        return torch.tensor([self.index.get(w, UNK) for w in tokens])

    def batch(self, questions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Padded indices (B, T) and lengths (B,) of many questions."""
        rows = [self.encode(q, quiet=True) for q in questions]
        lengths = torch.tensor([len(r) for r in rows])
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD), lengths


def answer_index(answers: Sequence[str], answer: str) -> int:
    """The index of an answer; AnswerError, with the nearest ones, if it is not in the vocabulary."""
    wanted = (answer if isinstance(answer, str) else shown(answer)).strip().lower()
    for spelled in (wanted, simplify(wanted).strip()):
        if spelled in answers:
            return answers.index(spelled)
    if wanted in (lower := [a.strip().lower() for a in answers]):  # of a model whose answers have capitals
        return lower.index(wanted)
    near = difflib.get_close_matches(wanted, answers, 3) if len(wanted) <= LONGEST_WORD else []
    known = ", ".join(answers[:60]) + (f" and {len(answers) - 60} more" if len(answers) > 60 else "")
    offer = f"did you mean {' or '.join(map(repr, near))}?" if near else f"it knows {known}"
    raise AnswerError(f"{shown(answer)} is not an answer that this model can give; {offer}")
