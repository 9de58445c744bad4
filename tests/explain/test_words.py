"""∂A/∂w: the chain rule, plain automatic differentiation and small steps; and the rule for the content word."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from qgc.errors import GateError, QuestionError
from qgc.explain import REDUCTIONS, EncodedImage, Words, explain
from qgc.explain.words import question_jacobian
from qgc.scenes.situations import SITUATIONS, situation

QUESTION = "What color is the wall?"


@pytest.fixture(scope="module")
def view(small_model) -> EncodedImage:
    """The image of the toilets."""
    return EncodedImage(small_model, situation("toilets"))


@pytest.fixture(scope="module")
def asked(small_model) -> Words:
    """The paper's own example of a question whose content word is "wall"."""
    return Words(small_model, QUESTION)


@pytest.fixture(scope="module")
def plain(small_model, view) -> Tensor:
    """∂A/∂w (J, T, E) of one question, from A straight to w by automatic differentiation."""
    tokens = small_model.vocabulary.encode(QUESTION)[None]

    def combine(w: Tensor) -> Tensor:
        u, v = small_model.branches(view.F, small_model.encode_words(w, torch.tensor([tokens.shape[1]])))
        return (u * v)[0]

    return torch.autograd.functional.jacobian(combine, small_model.embed(tokens))[:, 0]


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max())


def test_the_chain_rule_agrees_with_autograd(asked, view, plain):
    error = relative(asked.jacobian(view), plain)
    print(f"\n∂A/∂w against autograd: {error:.1e}")
    assert plain.shape == (32, 5, 64) and error <= 1e-12


@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_every_reduction_agrees_with_autograd(asked, view, plain, reduce):
    by_hand = {"l2": (plain**2).sum(2).sqrt(), "sum": plain.sum(2), "abs-sum": plain.abs().sum(2)}[reduce].T
    found = asked.sensitivity(view, reduce)
    assert found.shape == (5, 32) and relative(found, by_hand) <= 1e-12
    assert (reduce == "sum") == bool((found < 0).any())


def test_the_jacobian_agrees_with_small_steps(small_model, asked, view, plain):
    w = small_model.embed(small_model.vocabulary.encode(QUESTION)[None])
    step, worst = 1e-5, 0.0
    for position, i in ((0, 3), (4, 60)):
        d = torch.zeros_like(w)
        d[0, position, i] = step
        q = [small_model.encode_words(w + s * d, torch.tensor([5])) for s in (1, -1)]
        ahead, behind = (torch.mul(*small_model.branches(view.F, each))[0] for each in q)
        worst = max(worst, float(((ahead - behind) / (2 * step) - asked.jacobian(view)[:, position, i]).abs().max()))
    assert worst / float(plain.abs().max()) < 1e-6


def test_chunks_and_other_questions_change_nothing(small_model, asked):
    assert torch.allclose(question_jacobian(small_model, QUESTION, chunk=100), asked.question_jacobian, rtol=1e-12)
    longer = Words(small_model, "What is the color of the wall?")
    assert longer.question_jacobian.shape == (512, 7, 64)


def test_a_model_without_closed_forms_gives_the_same(small_model, bare_model, asked):
    """``Bare`` has no ``embed``: its w is the table's row, before the Deeper LSTM's tanh."""
    view, bare = EncodedImage(bare_model, situation("toilets")), Words(bare_model, QUESTION)
    slope = 1 - small_model.embed(small_model.vocabulary.encode(QUESTION)) ** 2
    expected = asked.jacobian(EncodedImage(small_model, situation("toilets"))) * slope
    assert relative(bare.jacobian(view), expected) <= 1e-12
    assert relative(bare.sensitivity(view), expected.norm(dim=2).T) <= 1e-12


def test_a_model_without_a_table_is_refused(small_model, bare_model, monkeypatch):
    def twice(tokens, lengths):
        return small_model.encode_tokens(tokens, lengths) + small_model.encode_tokens(tokens, lengths)

    monkeypatch.setattr(bare_model, "encode_tokens", twice)
    before = len(small_model.embedding._forward_hooks)
    with pytest.raises(QuestionError, match="give it embed and encode_words"):
        question_jacobian(bare_model, QUESTION)
    assert len(small_model.embedding._forward_hooks) == before == 0


def test_shares_add_up_and_carry_the_words(asked, view):
    shares = asked.shares(view)
    assert list(shares.index) == ["what", "color", "is", "the", "wall"] and (shares > 0).all()
    assert shares.sum() == pytest.approx(1)
    lengths = asked.sensitivity(view).norm(dim=1)
    assert shares["wall"] / shares["what"] == pytest.approx(float(lengths[4] / lengths[0]))


def test_a_word_is_a_ranking(small_model, asked, view):
    by_wall = asked.sensitivity(view)[asked.content]
    e = explain(small_model, view, QUESTION, rank=by_wall)
    assert torch.equal(e.scores, by_wall) and int(e.order[0]) == int(by_wall.argmax())


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("What is the color of the sink?", "sink"),
        ("What color are the towels in the picture?", "towels"),
        ("In the picture, what color is the fire hydrant?", "hydrant"),
        ("Can you tell me what color the man's shirt is?", "shirt"),
        ("What color is her top?", "top"),
        ("What do you see the woman doing?", "woman"),
        ("Where are they looking?", "they"),
        ("Are these twin mattresses?", "mattresses"),
        ("What is on the table?", "table"),
    ],
)
def test_the_content_word(small_model, question, word):
    asked = Words(small_model, question)
    assert asked.tokens[asked.content] == word


def test_every_question_of_the_paper_has_a_content_word(small_model):
    assert all(Words(small_model, q).content >= 0 for s in SITUATIONS.values() for q in s.questions)


def test_a_question_that_names_nothing_is_refused(small_model, view):
    asked = Words(small_model, "Where is this?")
    with pytest.raises(QuestionError, match="no word of 'Where is this\\?' names an object; choose"):
        asked.content  # noqa: B018
    assert len(asked.shares(view)) == 3


def test_bad_input_is_refused(small_model, asked, view):
    with pytest.raises(GateError, match="unknown reduction 'mean'"):
        asked.sensitivity(view, "mean")
    with pytest.raises(QuestionError, match="the question is empty"):
        Words(small_model, "")
