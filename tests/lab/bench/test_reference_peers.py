"""Reference explanations compared with Captum's, and ROAD's imputation with pytorch-grad-cam's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qgc.lab.experiments import planted_models, reference
from qgc.lab.experiments.perturbation import impute
from qgc.lab.experiments.reference import Asked
from qgc.scenes import sample

EXTRA = "a development extra: pip install -e .[peers]"
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def asked(small_model) -> Asked:
    scene = sample(3, "natural")
    return Asked(small_model, scene, scene.questions[:1], ["white"])


@pytest.fixture(scope="module")
def attr():
    return pytest.importorskip("captum.attr", reason=EXTRA)


def of_image(asked: Asked):
    return lambda x: asked.answer_scores(asked.vqa.conv(x), 0)


def target(asked: Asked) -> int:
    return int(asked.a[0])


def by_cell(pixels: Tensor, side: int = 16) -> Tensor:
    """Sums over the pixels (1, 3, H, W) of every cell."""
    return side**2 * nn.functional.avg_pool2d(pixels.sum(1), side)[0]


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    theirs = theirs.detach().double()
    torch.testing.assert_close(ours[0], theirs, rtol=0, atol=TOLERANCE * float(theirs.abs().max()))


@pytest.mark.parametrize("fill", [reference.mean_colour, reference.blurred])
@pytest.mark.parametrize("window", [1, 3])
def test_occlusion_is_captums(attr, fill, window):
    masks = np.zeros((3, 56, 56), bool)
    masks[0, 8:17, 9:20] = masks[1, 30:44, 22:37] = masks[2, 40:50, 44:54] = True
    names = ("cake", "dog", "tree")
    scene = planted_models.PlantedScene(dict(zip(names, masks, strict=True)), dict.fromkeys(names, "white"))
    asked = Asked(planted_models.noise(names), scene.image, [planted_models.question("cake")], ["white"])
    theirs = attr.Occlusion(of_image(asked)).attribute(
        asked.x,
        sliding_window_shapes=(3, 4 * window, 4 * window),
        strides=(3, 4, 4),
        baselines=fill(asked),
        target=target(asked),
    )
    assert_same(reference.occlusion(asked, fill, window), theirs[0, 0, ::4, ::4])


@pytest.mark.parametrize("start", [reference.blurred, reference.black])
def test_integrated_gradients_are_captums(asked, attr, start):
    theirs = attr.IntegratedGradients(of_image(asked)).attribute(
        asked.x, baselines=start(asked), target=target(asked), n_steps=10, method="gausslegendre"
    )
    assert_same(reference.integrated_gradients(asked, start, 10), by_cell(theirs))


def test_integrated_gradients_of_maps_are_captums(asked, attr):
    theirs = attr.IntegratedGradients(lambda F: asked.answer_scores(F, 0)).attribute(
        asked.F, target=target(asked), n_steps=10, method="gausslegendre"
    )
    assert_same(reference.integrated_gradients_of_maps(asked, 10), theirs.sum(1)[0])


def test_input_times_gradient_is_captums(asked, attr):
    theirs = attr.InputXGradient(lambda F: asked.answer_scores(F, 0)).attribute(
        asked.F.clone().requires_grad_(), target=target(asked)
    )
    assert_same(reference.input_times_gradient(asked), theirs.abs().sum(1)[0])
    assert_same(reference.hires_cam(asked), theirs.sum(1)[0])


def test_road_is_imputed_as_by_pytorch_grad_cam():
    road = pytest.importorskip("pytorch_grad_cam.metrics.road", reason=EXTRA)
    rng = np.random.default_rng(0)
    image, removed = torch.from_numpy(rng.random((3, 56, 56), np.float32)), torch.from_numpy(rng.random((14, 14)) < 0.4)
    kept = ~torch.from_numpy(np.kron(removed, np.ones((4, 4))) > 0)
    theirs = road.NoisyLinearImputer(noise=0)(image, kept.double())
    ours = impute(image, removed, rng, noise=0, shrink=1)
    torch.testing.assert_close(ours, torch.as_tensor(theirs).view_as(image), rtol=0, atol=TOLERANCE)
