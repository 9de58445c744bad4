"""What ``explain`` says to input that it cannot use."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from qgc.errors import AnswerError, GateError, ImageError, QuestionError
from qgc.explain import EncodedImage, explain, normalised
from qgc.scenes.situations import situation


@pytest.fixture(scope="module")
def view(model) -> EncodedImage:
    """An image, encoded once."""
    return EncodedImage(model, situation("couple"))


@pytest.fixture(scope="module")
def explained(model, view):
    """An explanation of the predicted answer."""
    return explain(model, view, "What is the man doing?")


@pytest.mark.parametrize(
    "n",
    [0, -1, 1025, 2.5, True, False, "3", b"3", float("nan"), float("inf"), [3], np.bool_(True), np.array(True),
     torch.tensor(True), torch.tensor(3 + 0j), torch.tensor(3, device="meta")],
    ids=repr,
)  # fmt: skip
def test_a_bad_n_is_refused(explained, n):
    for call in (explained.map, explained.top, lambda n: explained.maps([5, n])):
        with pytest.raises(GateError, match="it must be a whole number from 1 to 1024"):
            call(n)


@pytest.mark.parametrize("n", [3, 3.0, np.int64(3), np.float64(3), torch.tensor(3)], ids=repr)
def test_a_whole_n_of_any_type_is_read(explained, n):
    assert torch.equal(explained.map(n), explained.map(3))


def test_no_n_is_the_original_gradcam(explained):
    assert torch.equal(explained.map(None), explained.map(1024)) and len(explained.maps(None)) == 1024
    assert explained.maps([]).shape == (0, 14, 14)
    with pytest.raises(GateError, match="whole number"):
        explained.maps([None])
    for one in (25, torch.tensor(25), np.array(25)):
        with pytest.raises(GateError, match="a list of n, such as"):
            explained.maps(one)


@pytest.mark.parametrize(
    ("neurons", "says"),
    [
        ([], "the set of neurons is empty"),
        (torch.tensor([], dtype=torch.long), "the set of neurons is empty"),
        ([-1], "neuron -1 does not exist; indices go from 0 to 1023"),
        ([3, 1024], "neuron 1024 does not exist"),
        ([2.5], "whole numbers"),
        (["3"], "whole numbers"),
        (7, "whole numbers"),
        (torch.ones(1024, dtype=torch.bool), "of a mask, give mask.nonzero"),
        (np.ones(1024, bool), "of a mask"),
        (torch.tensor([[1, 2]]), "whole numbers"),
        (np.array([[1, 2]]), "whole numbers"),
        ([torch.tensor(True)], "whole numbers"),
        (torch.tensor([1, 2], device="meta"), "whole numbers"),
        ("12", "whole numbers"),
        (b"12", "whole numbers"),
        (bytearray(b"12"), "whole numbers"),
        (memoryview(b"12"), "whole numbers"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_bad_neurons_are_refused(explained, neurons, says):
    with pytest.raises(GateError, match=says):
        explained.map(neurons=neurons)


def test_n_and_neurons_together_are_refused(explained):
    with pytest.raises(GateError, match="either n or neurons"):
        explained.map(5, neurons=[1])


@pytest.mark.parametrize(
    "rank",
    [torch.zeros(1023), torch.zeros(1, 1024), torch.full((1024,), float("nan")), [1, 2], None, ["a"] * 1024, 3.0,
     torch.ones(1024) * 1j, np.ones(1024) * 1j, [1j] * 1024, torch.ones(1024, device="meta"), b"a" * 1024,
     set(range(1024)), dict.fromkeys(range(1024), 1.0)],
    ids=["short", "two axes", "nan", "list", "None", "words", "number", "complex tensor", "complex array",
         "complex list", "meta", "bytes", "set", "dict"],
)  # fmt: skip
def test_bad_scores_are_refused(model, view, rank):
    with pytest.raises(GateError, match=r"one finite real score per combine neuron, shape \(1024,\)"):
        explain(model, view, "What is the man doing?", rank=rank)


@pytest.mark.parametrize(
    "like",
    [lambda s: s.requires_grad_(), lambda s: s.to_sparse(), lambda s: s.numpy()[::-1].copy()[::-1], pd.Series, list],
    ids=["gradient", "sparse", "turned round", "column", "list"],
)
def test_scores_of_any_type_are_read_and_copied(model, view, like):
    scores = torch.arange(1024, dtype=torch.float64)
    given = like(scores)
    found = explain(model, view, "What is the man doing?", rank=given)
    assert found.top(2)["index"].tolist() == [1023, 1022] and found.top(2)["value"].tolist() == [1023, 1022]
    scores.detach().zero_()
    assert found.top(1)["value"].item() == 1023


def test_an_unknown_ranking_is_refused(model, view):
    with pytest.raises(GateError, match="unknown ranking 'magic'; choose one of sensitivity"):
        explain(model, view, "What is the man doing?", rank="magic")


@pytest.mark.parametrize(
    "question",
    ["", "  ", "?!", "zebra", None, 3, b"What?", ["What is this?", None], torch.tensor(3), {"Is there a cat?"}],
    ids=repr,
)
def test_a_bad_question_is_refused(model, view, question):
    with pytest.raises(QuestionError):
        explain(model, view, question)


@pytest.mark.parametrize("answer", ["whit", "", 3])
def test_an_answer_that_the_model_cannot_give_is_refused(model, view, answer):
    with pytest.raises(AnswerError, match="is not an answer that this model can give"):
        explain(model, view, "What is the man doing?", answer)


@pytest.mark.parametrize(
    "answers",
    [3, {"yes", "no"}, frozenset(["yes", "no"]), {"a": "yes", "b": "no"}, b"no", np.array("yes")],
    ids=lambda answers: type(answers).__name__,
)
def test_answers_without_an_order_are_refused(model, view, answers):
    with pytest.raises(AnswerError, match="must be a list in the same order, one text for all, or None, not"):
        explain(model, view, ["Is there a cat?", "Is there a dog?"], answers)


@pytest.mark.parametrize("several", [tuple, np.array, pd.Series, iter, lambda x: dict.fromkeys(x).keys()])
def test_answers_in_an_order_are_read(model, view, several):
    found = explain(model, view, several(["Is there a cat?", "Is there a dog?"]), several(["yes", "no"]))
    assert [(e.question, e.answer) for e in found] == [("Is there a cat?", "yes"), ("Is there a dog?", "no")]


def test_answers_must_be_as_many_as_questions(model, view):
    with pytest.raises(AnswerError, match="2 questions but 1 answers"):
        explain(model, view, ["Is there a cat?", "Is there a dog?"], ["yes"])


def test_without_an_answer_the_predicted_one_is_explained(model, view, explained):
    assert explained.answer == explained.predicted == model.ask(view.image, "What is the man doing?")[0]
    assert explained.confidence == explained.probabilities.max().item()
    assert "the model says" not in repr(explained)
    other = next(a for a in model.answers if a != explained.predicted)
    assert f"the model says {explained.predicted!r}" in repr(explain(model, view, explained.question, other))


@pytest.mark.parametrize("image", [None, "no such file.png", np.zeros(3)], ids=["None", "path", "array"])
def test_a_bad_image_is_refused(model, image):
    with pytest.raises(ImageError):
        explain(model, image, "Is there a cat?")


def test_a_view_of_another_model_is_refused(small_model, view):
    with pytest.raises(ImageError, match="made with another model"):
        explain(small_model, view, "Is there a cat?")


def test_a_normalised_map_ends_at_one_and_an_empty_one_warns():
    assert normalised(torch.tensor([[-1.0, 2.0], [4.0, 0.0]])).tolist() == [[0, 0.5], [1, 0]]
    with pytest.warns(UserWarning, match="this map is empty"):
        assert not normalised(np.full((2, 2), -1.0)).any()
