"""Guided backpropagation against its definition, written out layer by layer, and where it must refuse."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from qgc.errors import GateError, ImageError, QGCError
from qgc.explain import EncodedImage, explain
from qgc.explain.guided import BackwardPass, guided_backprop, guided_gradcam, input_gradient
from qgc.scenes.situations import situation


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest absolute value of ``b``."""
    return ((a - b).abs().max() / b.abs().max()).item()


class Rule(torch.autograd.Function):
    """A ReLU with the guided backward pass, as Springenberg et al. write it."""

    @staticmethod
    def forward(ctx, a):
        ctx.save_for_backward(a)
        return a.clamp(min=0)

    @staticmethod
    def backward(ctx, R):
        (a,) = ctx.saved_tensors
        return R * (a > 0) * (R > 0)


def by_definition(model, x: Tensor, q: Tensor, answer: int) -> Tensor:
    """Guided backpropagation with every ReLU written out by hand."""
    x, cnn = x.clone().requires_grad_(), model.cnn
    F = x
    for layer in cnn.features:
        F = Rule.apply(F) if isinstance(layer, nn.ReLU) else layer(F)
    f = Rule.apply(cnn.fc7(Rule.apply(cnn.fc6(cnn.pooled(F)))))
    y = model.classify(model.question_branch(q) * model.image_branch(f))[0, answer]
    return torch.autograd.grad(y, x)[0][0]


@pytest.fixture(scope="module")
def explained(small_model):
    scene = situation("bathroom")
    return explain(small_model, EncodedImage(small_model, scene), scene.questions[0], "white")


@pytest.fixture
def changeable(small_model):
    """A copy whose layers may be exchanged."""
    return copy.deepcopy(small_model)


def of(vqa, explained):
    return explain(vqa, explained.image, explained.question, explained.answer)


def test_guided_backprop_is_its_definition(small_model, explained):
    exact = by_definition(
        small_model, small_model.prepare(explained.image), explained.q, small_model.answer_index("white")
    )
    found = guided_backprop(explained)
    print(f"\nguided backpropagation against its definition: {relative(found, exact):.1e}")
    assert found.shape == (3, 224, 224) and relative(found, exact) <= 1e-12
    assert relative(found, input_gradient(explained)) > 0.1


def test_the_plain_gradient_agrees_with_small_steps(small_model, explained):
    x, a = small_model.prepare(explained.image), small_model.answer_index("white")
    gradient = input_gradient(explained)

    def score(pixels: Tensor) -> float:
        u, v = small_model.branches(small_model.conv(pixels), explained.q)
        return float(small_model.classify(u * v)[0, a])

    step = 1e-6
    for place in gradient.abs().flatten().topk(3).indices.tolist():
        d = torch.zeros(x.numel(), dtype=x.dtype)
        d[place] = step
        rise = (score(x + d.view_as(x)) - score(x - d.view_as(x))) / (2 * step)
        assert rise == pytest.approx(float(gradient.flatten()[place]), rel=1e-4)


@pytest.mark.parametrize("guided", [False, True], ids=["plain", "guided"])
def test_every_relu_of_the_image_path_keeps_its_rule(small_model, explained, guided):
    way = BackwardPass(explained)
    way.gradient(guided)
    convolutions = sum(isinstance(layer, nn.Conv2d) for layer in small_model.cnn.features)
    assert len(way.relus) == convolutions + 2  # fc6 and fc7
    assert [r.active.dim() for r in way.relus] == [4] * convolutions + [2, 2]  # from the image to the answer
    assert torch.equal(way.relus[convolutions - 1].active, explained.F > 0)
    for relu in way.relus:
        passes = relu.active & (relu.grad_output > 0) if guided else relu.active
        assert torch.equal(relu.grad_input, relu.grad_output * passes) and relu.grad_input.any()


def test_nothing_is_left_behind(small_model, explained):
    way = BackwardPass(explained)
    plain = way.gradient()
    assert not torch.equal(way.gradient(guided=True), plain)
    assert torch.equal(way.gradient(), plain) and torch.equal(input_gradient(explained), plain)
    assert all(p.grad is None and not p.requires_grad for p in small_model.parameters())


def test_backward_passes_may_share_the_convolutions(small_model, explained):
    other = explain(small_model, explained.view, "Is there a cat?", "no")
    way = BackwardPass(explained)
    before = way.gradient(guided=True)
    shared = BackwardPass(other, way)
    assert torch.equal(shared.gradient(), input_gradient(other)) and len(shared.relus) == len(way.relus)
    assert torch.equal(shared.gradient(guided=True), guided_backprop(other))
    assert torch.equal(way.gradient(guided=True), before) and torch.equal(before, guided_backprop(explained))
    with pytest.raises(ImageError, match="another EncodedImage"):
        BackwardPass(of(small_model, explained), way)


def test_weights_may_learn_or_be_frozen(changeable, explained):
    changeable.requires_grad_(True)
    assert torch.equal(guided_backprop(of(changeable, explained)), guided_backprop(explained))
    assert all(p.grad is None for p in changeable.parameters())


def test_a_gradient_is_had_where_none_is_kept(explained):
    with torch.no_grad():
        assert torch.equal(BackwardPass(explained).gradient(guided=True), guided_backprop(explained))


def test_a_bare_model_gives_the_same(bare_model, explained):
    assert torch.equal(guided_backprop(of(bare_model, explained)), guided_backprop(explained))


def test_in_place_and_functional_relus_are_found(changeable, explained):
    class Functional(nn.Module):
        def forward(self, a):
            return nn.functional.relu(a)

    for k, layer in enumerate(changeable.cnn.features):
        if isinstance(layer, nn.ReLU):
            changeable.cnn.features[k] = Functional() if k % 4 == 1 else nn.ReLU(inplace=True)
    assert torch.equal(guided_backprop(of(changeable, explained)), guided_backprop(explained))


# -- where it must not pass for guided ----------------------------------------------------------------


def test_no_relu_is_an_error(changeable, explained, monkeypatch):
    for k, layer in enumerate(changeable.cnn.features):
        if isinstance(layer, nn.ReLU):
            changeable.cnn.features[k] = nn.Tanh()
    cnn = changeable.cnn
    monkeypatch.setattr(cnn, "from_pooled", lambda pooled: cnn.fc7(cnn.fc6(pooled).tanh()).tanh())
    smooth = of(changeable, explained)
    with pytest.raises(QGCError, match="no ReLU .*use input_gradient"):
        guided_backprop(smooth)
    assert input_gradient(smooth).any()


def test_a_step_that_could_hide_a_relu_is_an_error(changeable, explained):
    class Hidden(nn.Module):
        def forward(self, a):
            return Rule.apply(a)

    changeable.cnn.features[1] = Hidden()
    with pytest.raises(QGCError, match="cannot look into RuleBackward"):
        guided_backprop(of(changeable, explained))


def test_other_rectifiers_are_warned_about(changeable, explained):
    changeable.cnn.features[1] = nn.GELU()
    with pytest.warns(UserWarning, match="leaves GeluBackward0 as they are"):
        guided_backprop(of(changeable, explained))


# -- guided Grad-CAM ----------------------------------------------------------------------------------


def test_guided_gradcam_is_the_product(explained):
    fine = guided_backprop(explained)
    for n in (5, None):
        large = nn.functional.interpolate(explained.map(n)[None, None], (224, 224), mode="bilinear")[0, 0]
        product = guided_gradcam(explained, n)
        assert torch.equal(product, fine * large) and torch.equal(product, guided_gradcam(explained, n, fine))
        assert not product[:, large == 0].any()
    assert torch.equal(guided_gradcam(explained, 32), guided_gradcam(explained))
    assert not torch.equal(guided_gradcam(explained, 5), guided_gradcam(explained))


def test_guided_gradcam_refuses_a_wrong_n(explained):
    with pytest.raises(GateError):
        guided_gradcam(explained, 33)
