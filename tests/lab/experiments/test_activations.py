"""Activations, signs and ReLU: what must be equal is equal to the last bit, and the rest is counted rightly."""

from __future__ import annotations

import math

import pytest
import torch

from qgc.errors import ImageError, QGCError
from qgc.explain import EncodedImage, explain
from qgc.lab.experiments import activations as measured
from qgc.lab.experiments import sanity
from qgc.scenes.situations import situation


@pytest.fixture(scope="module")
def three(small_model):
    """One image: a question, another with the same answer, and the first with another answer."""
    scene = situation("couple")
    view = EncodedImage(small_model, scene)
    asked = [(scene.questions[0], "sitting"), (scene.questions[1], "sitting"), (scene.questions[0], "standing")]
    return tuple(explain(small_model, view, *ask) for ask in asked)  # a list would be encoded as one batch


@pytest.fixture(scope="module")
def scenes():
    return [situation("bathroom"), situation("birthday")]


def test_difference_by_hand():
    found = measured.difference(torch.tensor([3.0, -4.0, 0.0]), torch.tensor([-3.0, -4.0, 0.0]))
    assert found["sign flips"] == 1 and found["share flipped"] == pytest.approx(1 / 3)
    assert found["relative difference"] == pytest.approx(6 / 5) and found["cosine"] == pytest.approx(7 / 25)
    assert not found["equal"] and found["entries"] == 3
    zero = torch.zeros(2)
    assert measured.difference(zero, zero)["equal"] and measured.difference(zero, zero)["relative difference"] == 0
    assert measured.difference(zero, torch.ones(2))["sign flips"] == 0  # zero has no sign


def test_another_question_changes_what_comes_after_it(three):
    table = measured.compare(*three[:2]).set_index("layer")
    assert table.index[table["equal"]].tolist() == ["F", "v", "∂y/∂A", "∂y/∂u"]
    # v is shared, so that the signs of A and of the gradient at v flip where those of u do
    assert table.loc["u", "sign flips"] == table.loc["A", "sign flips"] == table.loc["∂y/∂v", "sign flips"]


def test_another_answer_changes_no_activation_and_every_gradient(three):
    table = measured.compare(three[0], three[2]).set_index("kind")
    assert table.loc["activation", "equal"].all() and (table.loc["activation", "sign flips"] == 0).all()
    assert not table.loc["gradient", "equal"].any() and (table.loc["gradient", "sign flips"] > 0).all()


def test_gradients_are_those_of_the_score(small_model, three):
    u, v = (t.clone().requires_grad_() for t in (three[0].u, three[0].v))
    y = small_model.classify((u * v)[None])[0, small_model.answer_index("sitting")]
    du, dv = torch.autograd.grad(y, (u, v))
    found = measured.gradients(three[0])
    assert torch.allclose(found["∂y/∂u"], du, rtol=1e-12) and torch.allclose(found["∂y/∂v"], dv, rtol=1e-12)
    assert torch.equal(found["L"].relu(), three[0].map())


def test_question_differences_compare_three_changes(small_model, scenes):
    table = measured.question_differences(small_model, scenes)
    assert table["scene"].unique().tolist() == [0, 1] and table["change"].nunique() == 3
    shares = table.pivot_table(index=["scene", "change"], columns="layer", values="share flipped")
    assert (shares["u"] == shares["A"]).all() and shares["u"].between(0, 1).all() and shares["u"].any()


# -- ReLUs --------------------------------------------------------------------------------------------


def test_the_gradient_flow_counts_what_each_relu_backpropagates(three):
    table = measured.relu_gradient_flow(three[0])
    assert table.groupby("rule")["relu"].count().tolist() == [9, 9]
    plain, guided = (table[table["rule"] == r].set_index("relu") for r in ("plain", "guided"))
    F, last = three[0].F, plain.loc[7]
    assert last["shape"] == "192×14×14" and last["open"] == pytest.approx(float((F > 0).double().mean()))
    assert plain["open"].tolist() == guided["open"].tolist()
    assert (table["leaves"] <= table["open"]).all() and (table["leaves"] <= table["arrives"]).all()
    assert (guided["leaves"] < plain["leaves"]).all() and table["norm let back"].between(0, 1).all()


def test_the_plain_way_back_is_the_same_for_every_question(three):
    table = measured.relu_gradient_changes(*three[:2]).set_index(["rule", "relu"])
    assert table["same open"].all()  # the ReLUs lie before the question
    assert (table.loc["plain", "only one passes"] == 0).all() and table.loc["plain", "sign flips"].any()
    assert table.loc["guided", "only one passes"].any() and (table.loc["guided", "sign flips"] == 0).all()
    assert (measured.relu_gradient_changes(three[0], three[0])["only one passes"] == 0).all()


# -- dependence ---------------------------------------------------------------------------------------


def test_dependence_has_a_row_for_every_change_and_method(small_model, scenes):
    table = measured.dependence(small_model, [situation("bedroom"), *scenes])  # no colour is asked in the bedroom
    counts = table.groupby(["changed", "method"])["cosine"].count()
    assert counts["question"].tolist() == counts["answer"].tolist() == [2] * 4 and counts["scene"].tolist() == [1] * 4
    pair = explain(small_model, scenes[0], scenes[0].questions, "white")
    plain = [measured.method_images(e)["plain gradient"] for e in pair]
    expected = measured.difference(*plain)["cosine"]
    asked = (table["scene"] == 0) & (table["changed"] == "question") & (table["method"] == "plain gradient")
    assert table[asked]["cosine"].item() == pytest.approx(expected)


@pytest.mark.parametrize("name", ["attention", "cnn"])  # not there; there, but a box of other modules
def test_the_model_randomisation_is_that_of_the_sanity_checks(small_model, name):
    assert measured.randomised is sanity.randomised
    with pytest.raises(QGCError, match=f"no layer '{name}'"):
        measured.randomised(small_model, [name])


def test_the_cascade_goes_down_to_the_last_convolution(small_model, scenes):
    layers = measured.upper_layers(small_model)
    assert layers[:2] == ["output", "image"] and small_model.get_submodule(layers[-1]).out_channels == 192
    table = measured.randomisation(small_model, scenes[:1])
    assert table["down to"].unique().tolist() == layers and len(table) == 4 * len(layers)
    assert all(math.isfinite(c) and c < 1 for c in table["cosine"])


def test_two_models_are_not_compared(small_model, model, three):
    other = explain(model, three[0].image, three[0].question, "sitting")
    with pytest.raises(QGCError, match="two models"):
        measured.compare(three[0], other)
    with pytest.raises(ImageError, match="another EncodedImage"):
        measured.relu_gradient_changes(three[0], other)
