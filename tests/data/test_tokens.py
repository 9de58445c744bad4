"""Three ways to cut a question."""

from __future__ import annotations

import pytest

from qgc.data.tokens import TOKENIZERS, simplify, words
from qgc.models import text


@pytest.mark.parametrize(
    ("name", "question", "tokens"),
    [
        ("plain", "What is the man's color?", "what is the man's color"),
        ("original", "What is the man's color?", "what is the man 's color ?"),
        ("pythia", "What is the man's color?", "what is the man ' s color"),
        ("original", "Isn't he on a T-shirt, or 3/4?", "is n't he on a t-shirt , or 3/4 ?"),
        ("pythia", "Isn't he on a T-shirt, or 3/4?", "isn ' t he on a t - shirt or 3 / 4"),
        ("plain", "Isn't he on a T-shirt, or 3/4?", "isn't he on a t shirt or 3 4"),
        ("original", "Is it (really) $5.00?", "is it ( really ) $ 5.00 ?"),
        ("original", "  two\tcats \n", "two cats"),
        ("pythia", "  two\tcats \n", "two cats"),
        ("original", "the man’s", "the man 's"),
        ("plain", "œuvre ﬂoor straße 2️⃣ ½", "oeuvre floor strasse 2 1 2"),
        ("original", "t‑shirt—is “red”", "t-shirt -- is `` red ''"),
        ("pythia", "हिन्दी, 毛巾？", "हिन्दी 毛巾"),
        *((name, "towels🙂?👩🏽‍🚀", f"towels 🙂 {'? ' if name == 'original' else ''}👩🏽🚀") for name in TOKENIZERS),
        *((name, "диван", "диван") for name in TOKENIZERS),
        *((name, "", "") for name in TOKENIZERS),
    ],
)
def test_tokens(name, question, tokens):
    assert TOKENIZERS[name](question) == tokens.split()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_models_cut_questions_alike(name):
    question = "Isn't he on a T-shirt, or 3/4?"
    assert text.Vocabulary(["he"], tokens=name).tokens(question) == TOKENIZERS[name](question)


def test_rare_words_can_be_left_out():
    questions = ["Is it a cat?", "Is it a dog?", "a cat"]
    assert words(questions) == ["a", "cat", "dog", "is", "it"]
    assert words(questions, minimum=2) == ["a", "cat", "is", "it"]
    assert words(questions, "original", 2) == ["?", "a", "cat", "is", "it"]
    assert words([]) == []


def test_simplifying_leaves_ascii_as_it_is_and_does_so_twice():
    every = "".join(map(chr, range(128)))
    assert simplify(every) == every.lower()
    for question in ("Sófa", "ソファ ｿﾌｧ", "🐈towels", "É½ — ﬂ", "עִברִית"):
        assert simplify(simplify(question)).split() == simplify(question).split()
