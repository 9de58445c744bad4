"""Answers: the vocabulary of the commonest ones, and the accuracy of an answer as DAQUAR and VQA define it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ..errors import DataError
from .questions import Question


def vocabulary(questions: Iterable[Question], k: int) -> list[str]:
    """The ``k`` commonest answers of training questions, the commonest first; ties in alphabetical order.

    Each question counts once, with :attr:`Question.answer`; there are fewer than ``k`` if the questions have fewer.
    """
    counts = Counter(question.answer for question in questions)
    return sorted(counts, key=lambda a: (-counts[a], a))[:k]


# -- DAQUAR ---------------------------------------------------------------------------------------
def as_set(answer: str) -> str:
    """DAQUAR's answer of several objects in one normal form: "scissor,book,  book" → "book, scissor".

    Each object once, in lower case, without space around it, in alphabetical order. So two answers are equal
    here just when the published script (``calculate_wups.py`` at threshold −1, Malinowski and Fritz 2014) calls them
    equal: it compares sets.
    """
    objects = {" ".join(name.lower().split()) for name in answer.split(",")}
    return ", ".join(sorted(objects - {""}))


# -- VQA ------------------------------------------------------------------------------------------
# As the official evaluation does since its last change (github.com/GT-Vision-Lab/VQA, March 2021), oddities included:
# only with its errors can accuracies be compared with published ones. Before, it normalised the answer to be scored
# even where people agree, and people's own only in part.

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
DIGITS_WITH_COMMA = re.compile(r"\d,\d")
FULL_STOP = re.compile(r"\.(?!\d)")
MOST_FULL_STOPS = 32  # a flag of `re` (re.UNICODE) that the official script passes where the count belongs
NUMBERS = {w: str(i) for i, w in enumerate("zero one two three four five six seven eight nine ten".split())}
NUMBERS["none"] = "0"
ARTICLES = {"a", "an", "the"}
APOSTROPHES = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've
o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's
someone'd someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've
there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's
what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've
wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()


def without_one(word: str) -> list[str]:
    """A word with one of its apostrophes omitted, each in turn: couldn't've → couldnt've, couldn'tve."""
    return [word[:i] + word[i + 1 :] for i, letter in enumerate(word) if letter == "'"]


# A word that lacks one apostrophe gets it back. The official table has no "lets", "im", "ive" or "shes", and its entry
# for somebody'd is reversed.
CONTRACTIONS = {short: word for word in APOSTROPHES for short in without_one(word)} | {"somebody'd": "somebodyd"}


def strip_punctuation(answer: str) -> str:
    """The official ``processPunctuation``: marks are removed or become a space, full stops are removed unless a digit
    follows.

    A mark is removed everywhere in the answer if it is next to a space anywhere, or if the answer has digits separated
    by a comma ("1,000"); else it becomes a space ("black/white" → "black white").
    """
    joined = DIGITS_WITH_COMMA.search(answer) is not None
    text = answer
    for mark in PUNCTUATION:
        text = text.replace(mark, "" if joined or f"{mark} " in answer or f" {mark}" in answer else " ")
    return FULL_STOP.sub("", text, count=MOST_FULL_STOPS)


def simplify_words(answer: str) -> str:
    """The official ``processDigitArticle``: lower case, number words as digits, no article, apostrophes put back."""
    words = [NUMBERS.get(word, word) for word in answer.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def trim(answer: str) -> str:
    """What the official evaluation does with every answer: line breaks and tabs become spaces, none at the ends."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


def normalize(answer: str) -> str:
    """An answer as the official VQA evaluation compares it: "The two, cats." → "2 cats"."""
    return simplify_words(strip_punctuation(trim(answer)))


normalize_once = lru_cache(maxsize=1 << 17)(normalize)  # most of 4.4 million answers are given again and again


def vqa_accuracy(answer: str, ten: Sequence[str]) -> float:
    """Official VQA accuracy of an answer, from 0 to 1 (Antol et al. 2015, and its evaluation code).

    Each of the ten people is omitted in turn; among the other nine, three who gave this answer make it right, so the
    mean over the ten is 0, .3, .6, .9 or 1 for 0, 1, 2, 3 or more of them. Answers are normalised before they are
    compared, but only where the ten differ: if all said "yes", "Yes" is wrong.

    Parameters
    ----------
    answer : the answer to score.
    ten : what people answered.

    Raises
    ------
    DataError
        If nobody answered.
    """
    if not ten:
        raise DataError("there are no answers of people to compare with; the annotations of this split are withheld")
    given, people = trim(answer), [trim(a) for a in ten]
    if len(set(people)) > 1:
        given, people = normalize_once(answer), [normalize_once(a) for a in ten]
    n, same = len(people), people.count(given)
    return (same * min(same - 1, 3) + (n - same) * min(same, 3)) / (3 * n)
