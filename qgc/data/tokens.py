"""From a question to its tokens, as three families of models cut it; and the vocabulary of training questions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
BETWEEN = re.compile(r"(\W+)")  # what lies between two words of Pythia


def tokenize(question: str) -> list[str]:
    """Lower-case words of a question: "What is the man's color?" → what is the man's color."""
    return WORD.findall(question.lower().replace("’", "'"))


def original(question: str) -> list[str]:
    """Tokens as the Deeper LSTM's preprocessing makes them: "What is the man's color?" → what is the man 's color ?

    ``prepro.py`` of GT-Vision-Lab/VQA_LSTM_CNN lower-cases a question and cuts it with NLTK's ``word_tokenize`` by
    default, and so does Grad-CAM's own demonstration before it looks words up in the published vocabulary
    (``misc/prepro_ques.py`` of ramprs/grad-cam). Its Treebank rules need no downloaded model; what is left out here,
    cutting into sentences first, matters only for a full stop within a question.
    """
    return treebank()(question.lower().replace("’", "'"))


@cache
def treebank() -> Callable[[str], list[str]]:
    """NLTK's Treebank tokeniser, imported when it is first used because that takes long."""
    from nltk.tokenize.treebank import TreebankWordTokenizer

    return TreebankWordTokenizer().tokenize


def pythia(question: str) -> list[str]:
    """Tokens as Pythia v0.1 makes them: "What is the man's color?" → what is the man ' s color.

    Commas and question marks go, any other mark between words is a token (``text_processing.py`` of
    facebookresearch/pythia). It means to keep 's whole, but its own cut then parts it.
    """
    text = question.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return [token.strip() for token in BETWEEN.split(text) if token.strip()]


# How a question may be cut, by name.
TOKENIZERS: dict[str, Callable[[str], list[str]]] = {"plain": tokenize, "original": original, "pythia": pythia}


def words(questions: Iterable[str], tokens: str = "plain", minimum: int = 1) -> list[str]:
    """The distinct tokens of training questions, sorted; those that occur fewer than ``minimum`` times are left out.

    Parameters
    ----------
    questions : the questions' texts, of the training split alone.
    tokens : a key of :data:`TOKENIZERS`.
    """
    cut = TOKENIZERS[tokens]
    counts = Counter(token for question in questions for token in cut(question))
    return sorted(word for word, n in counts.items() if n >= minimum)
