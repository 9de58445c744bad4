"""Questions and answers as people type them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from qgc.data.tokens import tokenize
from qgc.errors import AnswerError, QuestionError
from qgc.models import DeeperLSTM, DeeperLSTMConfig
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
        ("?! …", "has no word in it"),
        ("\u200b\u00ad", "has no word in it"),
        ("这是什么", "knows none of the words in '这是什么'"),
        ("caf\udce9", "bytes that are no letters; type it again, in UTF-8"),
        ("sofa " * 200_000, "1,000,000 letters, more than 10,000"),
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


@pytest.mark.parametrize(
    "word", ["毛巾", "диван", "йод", "ソファ", "हिन्दी", "🐈", "👩🏽", "❤", "€", "c\u043elor"], ids=ascii
)
@pytest.mark.parametrize("tokens", ["plain", "original", "pythia"])
def test_a_word_that_is_not_english_is_one_unknown_word_and_named(model, word, tokens):
    vocabulary = Vocabulary(model.vocabulary.words, tokens=tokens)
    with pytest.warns(UserWarning, match="the model does not know") as caught:
        read = vocabulary.encode(f"What color is the {word}")
    assert read.tolist() == [*(vocabulary.index[w] for w in ("what", "color", "is", "the")), UNK]
    assert len(caught) == 1 and repr(word) in str(caught[0].message)


@pytest.mark.parametrize(
    "question",
    [
        "What color is the sófa?",
        "What color is the so\u0301fa?",  # composed or not
        "What color is the so\u00adfa?",
        "What\u00a0color is\u2003the \u202esofa\u202c?",
        "\ufeffWhat color is the so\u200bf\u2060a\u200f?",
        "Ｗｈａｔ ｃｏｌｏｒ ｉｓ ｔｈｅ ｓｏｆａ？",
        "𝐖𝐡𝐚𝐭 𝑐𝑜𝑙𝑜𝑟 𝚒𝚜 𝕥𝕙𝕖 𝖘𝖔𝖋𝖆?",
        "“What” color—is the ‘sofa’…",
        "¿What color is the s\u0337o\u0336f\u0338a\u0335?",
    ],
    ids=ascii,
)
def test_a_question_is_read_however_its_letters_are_written(model, question, recwarn):
    assert torch.equal(model.vocabulary.encode(question), model.vocabulary.encode("What color is the sofa?"))
    assert not recwarn.list


@pytest.mark.parametrize("mark", "'’‘ʼ′´＇`ʹ‛")
def test_any_apostrophe_is_one(model, mark, recwarn):
    assert torch.equal(model.vocabulary.encode(f"the man{mark}s top"), model.vocabulary.encode("the man's top"))
    assert not recwarn.list


def test_an_accented_word_of_a_published_vocabulary_is_found():
    vocabulary = Vocabulary(["café", "déjà", "deja"])
    assert vocabulary.encode("cafe\u0301 déjà").tolist() == [2, 4]


def test_a_long_word_is_not_repeated_whole(model):
    with pytest.warns(UserWarning) as caught:
        model.vocabulary.encode("the " + "x" * 9000)
    assert len(str(caught[0].message)) < 300


def test_a_batch_is_padded_and_silent(model, recwarn):
    tokens, lengths = model.vocabulary.batch(["the qqq", QUESTION])
    assert tokens.shape == (2, 5) and lengths.tolist() == [2, 5] and tokens[0, 2:].eq(0).all()
    assert not recwarn.list


def test_a_vocabulary_is_sorted_and_the_same_for_any_order():
    a, b = (Vocabulary.from_questions(q) for q in (["b a", "c"], ["c", "a b b"]))
    assert a.words == b.words == ["a", "b", "c"] and len(a) == 5


@pytest.mark.parametrize(
    ("given", "meant"),
    [("white", "white"), (" White ", "white"), ("\ufeffＷhíte\u200b", "white"), ("AT CAMERA", "at camera")],
)
def test_answers_are_found(model, given, meant):
    assert model.answers[model.answer_index(given)] == meant


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("whit", "did you mean 'white'"),
        ("livingroom", "did you mean 'living room'"),
        ("wite", r"did you mean 'white'\?"),
        ("xyzzy", "it knows yes, no, black"),
        ("x" * 10**6, "x'? is not an answer .* it knows yes"),
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


def test_questions_are_cut_as_the_vocabulary_says():
    plain, original = (Vocabulary.from_questions([QUESTION], tokens=tokens) for tokens in ("plain", "original"))
    assert plain.tokens(QUESTION) == ["what", "color", "are", "the", "towels"]
    assert original.tokens(QUESTION) == [*plain.tokens(QUESTION), "?"] and "?" in original.index
    assert original.encode(QUESTION).tolist()[-1] == original.index["?"]
    assert Vocabulary(plain.words).tokens("towels?") == ["towels"]


def test_a_model_cuts_questions_as_its_configuration_says():
    sizes = DeeperLSTMConfig(("color", "?"), ("red",), embedding=2, hidden=2, combine=2, tokens="original")
    assert DeeperLSTM(sizes).vocabulary.tokens("Color?") == ["color", "?"]
    with pytest.raises(QuestionError, match="no tokeniser 'telepathy'; choose one of plain, original"):
        DeeperLSTM(replace(sizes, tokens="telepathy"))
