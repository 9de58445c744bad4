"""VQA's official accuracy and its normalisation, by hand; and the vocabulary of answers."""

from __future__ import annotations

import pytest

from qgc.data import answers
from qgc.data.answers import normalize, vocabulary, vqa_accuracy
from qgc.data.questions import Question
from qgc.errors import DataError


@pytest.mark.parametrize(
    ("same", "accuracy"),
    # Of those left out, one who gave the answer leaves same − 1 of nine, any other leaves all of them: for two,
    # (2·min(1/3, 1) + 8·min(2/3, 1)) / 10 = (2/3 + 16/3) / 10 = 0.6.
    [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (9, 1.0), (10, 1.0)],
)
def test_accuracy_leaves_each_person_out_in_turn(same, accuracy):
    others = [f"other {i}" for i in range(10 - same)]
    assert vqa_accuracy("cat", ["cat"] * same + others) == pytest.approx(accuracy, abs=1e-15)


@pytest.mark.parametrize(
    ("answer", "ten", "accuracy"),
    [
        ("Yes", ["yes"] * 10, 0.0),  # all agree: nothing is normalised
        ("Yes", ["yes"] * 9 + ["no"], 1.0),
        ("two", ["two"] * 10, 1.0),
        ("2", ["two"] * 10, 0.0),
        ("2", ["two"] * 9 + ["3"], 1.0),
        (" yes\n", ["yes"] * 10, 1.0),  # but all are trimmed
        ("yes", ["yes "] * 9 + ["yes"], 1.0),
        ("yes!", ["yes "] * 9 + ["yes"], 0.0),  # and agree if they do after that
        ("a dog", ["dog"] * 2 + ["the dog"] * 2 + ["cat"] * 6, 1.0),
        ("", ["a"] * 3 + ["dog"] * 7, 0.9),  # an article alone is nothing
    ],
)
def test_answers_are_normalised_only_where_people_differ(answer, ten, accuracy):
    assert vqa_accuracy(answer, ten) == pytest.approx(accuracy, abs=1e-15)


def test_nobody_to_compare_with():
    with pytest.raises(DataError, match="annotations of this split are withheld"):
        vqa_accuracy("yes", ())


@pytest.mark.parametrize(
    ("answer", "compared"),
    [
        ("The Cat.", "cat"),
        ("two", "2"),
        ("none", "0"),
        ("ten", "10"),
        ("eleven", "eleven"),
        ("a", ""),
        ("dont", "don't"),
        ("couldntve", "couldntve"),  # only one apostrophe may lack
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("somebody'd", "somebodyd"),  # the official table has it the wrong way round
        ("lets", "lets"),  # and this one not at all
        ("Im", "im"),
        ("black/white", "black white"),
        ("black / white", "black white"),
        ("black/ white", "black white"),
        ("t-shirt", "t shirt"),
        ("t-shirt - red", "tshirt red"),  # one mark beside a space takes all of its kind along
        ("$1,000", "$1000"),
        ("1,000-2", "10002"),  # a comma between digits: every mark goes
        ("red,blue", "red blue"),
        ("red, blue", "red blue"),
        ("5.", "5"),
        ("5.5", "5.5"),
        ("st. john", "st john"),
        ("a.m.", "am"),
        (".5", ".5"),
        ("who's there?", "who's there"),
        ("3:30", "3:30"),
        ("yes!", "yes"),
        ("what?no", "what no"),
        ("one\ntwo\tthree", "1 2 3"),
        ("." * 40, "." * 8),  # 32 full stops go and no more
    ],
)
def test_normalisation_by_hand(answer, compared):
    assert normalize(answer) == compared


def test_the_table_of_contractions_is_as_long_as_the_official_one():
    # 120 entries there; two of them change nothing (let's, she's), four never match a word in lower case (Im, Ive, …)
    assert len(answers.CONTRACTIONS) == 120 - 2 - 4


def asked(answer: str, *others: str) -> Question:
    return Question(0, "image1", "what ?", (answer, *others))


def test_the_vocabulary_has_the_commonest_answers_first():
    questions = [asked("red"), asked("dog"), asked("red"), asked("cat"), asked("dog"), asked("blue")]
    assert vocabulary(questions, 3) == ["dog", "red", "blue"]
    assert vocabulary(questions, 10) == ["dog", "red", "blue", "cat"]


def test_a_question_counts_with_its_commonest_answer():
    assert asked("no", "yes", "yes", "maybe").answer == "yes"
    assert asked("red", "blue").answer == "blue"  # equally common: by the alphabet
    with pytest.raises(DataError, match="question 7 came without answers"):
        _ = Question(7, "image1", "what ?", ()).answer
