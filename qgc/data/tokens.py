"""From a question to its tokens, as three families of models do it; and the vocabulary of training questions.

All three first :func:`simplify` a question, which changes nothing in ASCII but capital letters. After that, whatever
is not ASCII belongs to a word: one of another script, or a symbol.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

WORD = re.compile(r"[a-z0-9\x80-\U0010ffff]+(?:['`][a-z\x80-\U0010ffff]+)?")
BETWEEN = re.compile(r"([^\w\x80-\U0010ffff]+)")  # what separates two words for Pythia

# What NFKC does not map to ASCII, or maps to a space: quotes, and letters without a decomposition.
SAME = str.maketrans(
    dict.fromkeys("’‘‛ʼʻʽʾʿˈʹˊˋ′‵´΄᾽᾿՚׳ꞌ❛❜", "'")
    | dict.fromkeys("“”„‟«»″‶〝〞〟❝❞", '"')
    | {"æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ß": "ss", "ẞ": "ss", "ø": "o", "Ø": "o", "đ": "d", "Đ": "d"}
    | {"ð": "d", "Ð": "d", "þ": "th", "Þ": "th", "ł": "l", "Ł": "l", "ħ": "h", "Ħ": "h", "ı": "i"}
)
DASHES = {"—": "--", "―": "--", "⸺": "--", "⸻": "--", "−": "-", "⁄": "/"}  # all others are "-"
# Besides format characters: variants of a sign, fillers, blanks.
UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]")


def simplify(text: str) -> str:
    """Lower case, and ASCII wherever that says the same: accents, ligatures, wide letters, other quotes and dashes.

    "Sófa", composed or not, is "sofa". Invisible characters (soft hyphens, zero-width and direction marks) are removed.
    Letters of other scripts stay, composed (NFKC); each run of symbols, such as emoji, becomes a word of its own.
    """
    if text.isascii():
        return text.lower()
    simplified: list[str] = []
    symbol = False  # whether the last of them is one
    for c in unicodedata.normalize("NFKD", UNSEEN.sub("", text).translate(SAME)).lower():
        kind = unicodedata.category(c)
        if kind == "Cf" or (kind[0] == "M" and (not simplified or simplified[-1].isascii())):
            continue
        if not c.isascii():
            if kind == "Pd" or c in DASHES:
                c = DASHES.get(c, "-")
            elif kind[0] in "PZ" or kind == "Cc":
                c = " "
        was, symbol = symbol, kind[0] in "SC" and not c.isascii()
        simplified.append(f" {c}" if symbol != was else c)
    return unicodedata.normalize("NFC", "".join(simplified))


def tokenize(question: str) -> list[str]:
    """Lower-case words of a question: "What is the man's color?" → what is the man's color."""
    return [word.replace("`", "'") for word in WORD.findall(simplify(question))]


def original(question: str) -> list[str]:
    """Tokens as the Deeper LSTM's preprocessing makes them: "What is the man's color?" → what is the man 's color ?

    ``prepro.py`` of GT-Vision-Lab/VQA_LSTM_CNN lower-cases a question and tokenises it with NLTK's ``word_tokenize`` by
    default, and so does Grad-CAM's own demonstration before it looks words up in the published vocabulary
    (``misc/prepro_ques.py`` of ramprs/grad-cam). Its Treebank rules need no downloaded model; what is omitted here,
    splitting into sentences first, matters only for a full stop within a question.
    """
    return treebank()(simplify(question))


@cache
def treebank() -> Callable[[str], list[str]]:
    """NLTK's Treebank tokeniser, imported when it is first used because that takes long."""
    from nltk.tokenize.treebank import TreebankWordTokenizer

    return TreebankWordTokenizer().tokenize


def pythia(question: str) -> list[str]:
    """Tokens as Pythia v0.1 makes them: "What is the man's color?" → what is the man ' s color.

    Commas and question marks are removed, any other mark between words is a token (``text_processing.py`` of
    facebookresearch/pythia). It is meant to keep 's whole, but its own regular expression then splits it.
    """
    text = simplify(question).replace(",", "").replace("?", "").replace("'s", " 's")
    return [token.strip() for token in BETWEEN.split(text) if token.strip()]


# The tokenisers by name.
TOKENIZERS: dict[str, Callable[[str], list[str]]] = {"plain": tokenize, "original": original, "pythia": pythia}


def words(questions: Iterable[str], tokens: str = "plain", minimum: int = 1) -> list[str]:
    """The distinct tokens of training questions, sorted; without those that occur fewer than ``minimum`` times.

    Parameters
    ----------
    questions : the questions' texts, of the training split alone.
    tokens : a key of :data:`TOKENIZERS`.
    """
    cut = TOKENIZERS[tokens]
    counts = Counter(token for question in questions for token in cut(question))
    return sorted(word for word, n in counts.items() if n >= minimum)
