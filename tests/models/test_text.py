"""Questions and answers as people type them."""

from __future__ import annotations

import pytest
import torch

from qgc.data.tokens import tokenize
from qgc.errors import AnswerError, QuestionError
from qgc.models.text import UNK, Vocabulary, answer_index

QUESTION = "What color are the towels?"


@pytest.mark.parametrize(
    ("question", "tokens"),
    [
        (QUESTION, ["what", "color", "are", "the", "towels"]),
        ("  WHAT\tcolor,\nis it ?!", ["what", "color", "is", "it"]),
        ("What is the man’s shirt?", ["what", "is", "the", "man's", "shirt"]),
        ("2 cats", ["2", "cats"]),
    ],
)
def test_tokens(question, tokens):
    assert tokenize(question) == tokens


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("", "is empty; ask something"),
        ("  \n\t ", "is empty; ask something"),
        ("?! …", "no English word"),
        ("这是什么", "no English word"),
        ("zebra xylophone", "knows none of the words"),
        (None, "must be text, not NoneType"),
        (7, "must be text, not int"),
        (b"What?", "must be text, not bytes"),
        (["What?"], "must be text, not list"),
    ],
    ids=repr,
)
def test_a_question_that_cannot_be_used(model, question, says):
    with pytest.raises(QuestionError, match=says):
        model.encode(question)


def test_of_a_long_question_26_words_are_read(model):
    words = (QUESTION[:-1] + " ") * 40
    with pytest.warns(UserWarning, match="200 words; the model reads the first 26"):
        q = model.encode(words)
    assert torch.equal(q, model.encode(" ".join(words.split()[:26])))


def test_unknown_words_are_named_and_near_ones_offered(model):
    with pytest.warns(UserWarning, match=r"'towls' \(did you mean 'towels'\?\), 'qqq' and") as caught:
        model.encode("What color are the towls and qqq and towls?".replace(" and", ""))
    assert len(caught) == 1
    vocabulary = model.vocabulary
    with pytest.warns(UserWarning):
        assert vocabulary.encode("the qqq").tolist() == [vocabulary.index["the"], UNK]


def test_a_batch_is_padded_and_silent(model, recwarn):
    tokens, lengths = model.vocabulary.batch(["the qqq", QUESTION])
    assert tokens.shape == (2, 5) and lengths.tolist() == [2, 5] and tokens[0, 2:].eq(0).all()
    assert not recwarn.list


def test_a_vocabulary_is_sorted_and_the_same_for_any_order():
    a, b = (Vocabulary.of(q) for q in (["b a", "c"], ["c", "a b b"]))
    assert a.words == b.words == ["a", "b", "c"] and len(a) == 5


@pytest.mark.parametrize(("given", "meant"), [("white", "white"), (" White ", "white"), ("AT CAMERA", "at camera")])
def test_answers_are_found(model, given, meant):
    assert model.answers[model.answer_index(given)] == meant


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("whit", "did you mean 'white'"),
        ("livingroom", "did you mean 'living room'"),
        ("xyzzy", "it knows yes, no, black"),
        ("", "it knows yes"),
        (3, "it knows yes"),
        (["white"], "is not an answer"),
    ],
    ids=repr,
)
def test_an_answer_outside_the_vocabulary(model, answer, says):
    with pytest.raises(AnswerError, match=says):
        model.answer_index(answer)


def test_a_large_vocabulary_is_not_printed_whole():
    with pytest.raises(AnswerError, match="a59 and 940 more") as caught:
        answer_index([f"a{i}" for i in range(1000)], "xyzzy")
    assert len(str(caught.value)) < 500
