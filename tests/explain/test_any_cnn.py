"""Explanations on any backbone: the closed forms against automatic differentiation, maps of any size.

``QGC_SLOW=1`` adds a wide network. With ``QGC_REAL_DATA`` the real SqueezeNet looks at a few of DAQUAR's photographs.
"""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qgc
from qgc.explain import (
    EncodedImage,
    closed_form,
    explain,
    gradcam,
    guided_backprop,
    guided_gradcam,
    input_gradient,
    maps_of,
)
from qgc.explain.sensitivity import jacobian, reduce_rows
from qgc.lab.train.vqa import start
from qgc.models import DeeperLSTM, DeeperLSTMConfig, full_size
from qgc.models.backbones import VGG19, build, load_weights, named

WORDS, ANSWERS = ("what", "color", "is", "the", "sink", "wall"), ("white", "red", "blue")
QUESTIONS = ["What color is the sink?", "What is the wall?"]
NARROW = replace(VGG19, blocks=((8,), (8,), (16,), (16,), (16, 24)), fc=32)
BACKBONES = {
    "squeezenet1_1": (13, 13),
    "resnet18": (7, 7),
    "mobilenet_v3_small": (7, 7),  # a layer behind the mean
    "convnext_tiny": (3, 3),  # a normalisation behind the mean
    "alexnet": (13, 13),  # two dense layers, wide
    NARROW: (14, 14),
    replace(NARROW, side=320): (20, 20),  # averaged down to 7×7
    replace(NARROW, side=96): (6, 6),  # averaged up
}
SIDES = {"convnext_tiny": 96}
WIDE = ("alexnet",)


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest absolute value of ``b``."""
    return ((a - b).abs().max() / b.abs().max()).item()


def untrained(cnn, combine: int = 24) -> DeeperLSTM:
    """A random float64 model on a backbone, given by name or configuration."""
    torch.manual_seed(0)
    config = named(cnn, SIDES.get(cnn)) if isinstance(cnn, str) else cnn
    vqa = DeeperLSTM(DeeperLSTMConfig(WORDS, ANSWERS, embedding=8, hidden=8, combine=combine, cnn=config))
    start(vqa, "scaled")
    for layer in vqa.cnn.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return vqa.double().eval().requires_grad_(False)


slow = pytest.mark.skipif(not os.environ.get("QGC_SLOW"), reason="wide; set QGC_SLOW=1")
PARAMS = [
    pytest.param(c, id=c if isinstance(c, str) else f"vgg-{c.side}", marks=slow if c in WIDE else ()) for c in BACKBONES
]


@pytest.fixture(scope="module", params=PARAMS)
def on(request) -> tuple[EncodedImage, tuple[int, int]]:
    """A noisy image encoded through a backbone, and how many cells its maps should have."""
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    return EncodedImage(untrained(request.param), pixels), BACKBONES[request.param]


def test_the_closed_form_is_the_jacobian(on):
    view, cells = on
    assert view.F.shape[2:] == cells and view.F.shape[1] == view.vqa.cnn.channels
    closed = view.vqa.pooled_jacobian(view.F)
    error = relative(closed_form.pooled_jacobian_vjp(view.vqa, view.F), closed)
    print(f"\nclosed form against vector-Jacobian products: {error:.1e}")
    assert closed.shape == (24, view.vqa.cnn.channels) and error <= 1e-12


def test_every_gated_map_is_that_of_autograd(on):
    view, cells = on
    pair = explain(view.vqa, view, QUESTIONS, "red")
    assert pair[0].maps().shape == (24, *cells)
    for n in (1, 5, 24):
        for e in pair:
            reference = gradcam(view.vqa, view.F, e.q, view.vqa.answer_index("red"), e.order[:n])
            for found in (e.map(n, relu=False), e.maps([n], relu=False)[0], e.maps(relu=False)[n - 1]):
                assert relative(found, reference) <= 1e-12
    together = maps_of(pair, [1, 5, 24], relu=False)
    assert relative(together, torch.stack([e.maps([1, 5, 24], relu=False) for e in pair])) <= 1e-12


def test_the_sensitivity_is_that_of_autograd(on):
    view, _ = on
    e = explain(view.vqa, view, QUESTIONS[0])
    assert relative(e.sensitivity, reduce_rows(jacobian(view.vqa, view.F, e.q))) <= 1e-12
    assert e.top(5)["value"].is_monotonic_decreasing


class Small(nn.Module):
    """A network with a head of dense layers, behind its own pooling."""

    def __init__(self, act: type[nn.Module], pool: nn.Module):
        super().__init__()
        self.last, self.pool, self.act, self.act2 = nn.Conv2d(3, 4, 5, 16), pool, act(), act()
        self.fc6, self.fc7, self.fc = nn.Linear(4 * 49, 16), nn.Linear(16, 16), nn.Linear(16, 10)

    def forward(self, x):
        pooled = self.pool(self.last(x).relu()).flatten(1)
        return self.fc(self.act2(self.fc7(self.act(self.fc6(pooled)))))


HEADS = {
    "max-pooling": (nn.ReLU, nn.MaxPool2d(2), True),
    "overlapping": (nn.ReLU, nn.Sequential(nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(7)), True),
    "no ReLU": (nn.Tanh, nn.MaxPool2d(2), False),
}


@pytest.mark.parametrize("head", HEADS)
def test_dense_heads_have_a_closed_form_and_others_fall_back(monkeypatch, head):
    act, pool, closed = HEADS[head]
    monkeypatch.setattr("qgc.models.torchvision_cnn._network", lambda name: Small(act, pool))
    vqa = untrained("resnet18")
    view = EncodedImage(vqa, np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8))
    assert view.F.shape == (1, 4, 14, 14)
    assert (vqa.cnn.slopes(view.F, vqa.cnn.head(view.F)) is not None) == closed
    e = explain(vqa, view, QUESTIONS[0], "red")
    for n in (1, 24):
        reference = gradcam(vqa, view.F, e.q, 1, e.order[:n])
        assert relative(e.map(n, relu=False), reference) <= 1e-12
        assert relative(e.maps(relu=False)[n - 1], reference) <= 1e-12
    with torch.no_grad():  # what is kept of the weights must not outlive them
        vqa.cnn.fc6.weight.mul_(torch.linspace(0, 2, 4 * 49))
    assert relative(vqa.pooled_jacobian(view.F), closed_form.pooled_jacobian_vjp(vqa, view.F)) <= 1e-12


# -- what is made of them -----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def squeezed() -> EncodedImage:
    """The same image through SqueezeNet."""
    pixels = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)
    return EncodedImage(untrained("squeezenet1_1"), pixels)


def test_guided_backpropagation_and_images_of_13_by_13_maps(squeezed):
    first, second = explain(squeezed.vqa, squeezed, QUESTIONS, "red")
    fine = guided_backprop(first)
    assert fine.shape == guided_gradcam(first, 5, fine).shape == (3, 224, 224) and fine.any()
    assert not torch.equal(fine, input_gradient(first))
    figures = (
        qgc.plot.overlay(first, n=5),
        qgc.plot.pair([first, second], [5, None]),
        qgc.plot.sensitivity_bars(first, n=5, top=20),
        qgc.plot.gradients({"sink": {"guided": fine}}),
    )
    for figure in figures:
        figure.canvas.draw()


def test_the_drawing_names_the_backbones_sizes(squeezed):
    texts = [t.get_text() for t in qgc.plot.architecture(squeezed.vqa).axes[0].texts]
    for text in (
        "CNN\n25 convolution layers",
        "F, last convolution\n512 maps of 13×13",
        "f, global feature\n512 numbers",
    ):
        assert text in texts


def test_gradients_of_a_caffe_cnn_are_red_green_blue():
    """The same CNN with its first layer's channels turned round: nothing else may differ."""
    plain = untrained(NARROW)
    turned = copy.deepcopy(plain)
    turned.cnn.config = replace(NARROW, bgr=True)
    turned.cnn.features[0].weight.copy_(plain.cnn.features[0].weight.flip(1))
    pixels = np.random.default_rng(2).integers(0, 256, (60, 60, 3), np.uint8)
    assert torch.equal(turned.prepare(pixels), plain.prepare(pixels).flip(1))
    a, b = (explain(vqa, pixels, QUESTIONS[0], "red") for vqa in (plain, turned))
    torch.testing.assert_close(a.maps(), b.maps())
    torch.testing.assert_close(input_gradient(a), input_gradient(b))


def test_the_paper_s_configuration_on_another_backbone():
    with torch.device("meta"):
        vqa = DeeperLSTM(full_size(WORDS, ANSWERS, "squeezenet1_1"))
    assert vqa.image.weight.shape == (1024, 512) and vqa.question.weight.shape == (1024, 2048)
    assert full_size(WORDS, ANSWERS).cnn == VGG19 and full_size(WORDS, ANSWERS, "vgg19-caffe").cnn.bgr


# -- real photographs ---------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def real() -> Path:
    """The folder of real files."""
    folder = os.environ.get("QGC_REAL_DATA")
    if not folder:
        pytest.skip("real photographs: set QGC_REAL_DATA to their folder")
    return Path(folder)


def test_the_real_squeezenet_sees_photographs(real):
    vqa = untrained("squeezenet1_1")
    vqa.cnn = build(named("squeezenet1_1"))
    load_weights(vqa.cnn, real / "squeezenet1_1.safetensors")
    vqa.double()
    views = [EncodedImage(vqa, real / "daquar" / "images" / f"image{n}.jpg") for n in (1, 2, 700, 1449)]
    f = torch.stack([vqa.cnn.feature(v.F)[0] for v in views])
    alike = nn.functional.normalize(f, dim=1)
    alike = alike @ alike.T
    print(f"\ncosines of the features: {alike[0].tolist()}")
    assert torch.isfinite(f).all() and (f >= 0).all() and alike.fill_diagonal_(0).max() < 0.95
    for view in views:
        e = explain(vqa, view, QUESTIONS[0], "red")
        assert relative(e.map(5, relu=False), gradcam(vqa, view.F, e.q, 1, e.order[:5])) <= 1e-12
