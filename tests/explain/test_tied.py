"""The closed forms also hold for a CNN with detectors and a tied fc6, the balanced checkpoint's kind."""

import pytest
import torch

from qgc.explain import EncodedImage, explain, gradcam
from qgc.explain.closed_form import pooled_jacobian_vjp
from qgc.lab.train.recipes import RECIPES
from qgc.lab.train.run import config
from qgc.models import DeeperLSTM
from qgc.scenes.situations import situation


@pytest.fixture(scope="module")
def tied():
    torch.manual_seed(3)
    model = DeeperLSTM(config(RECIPES["balanced"])).double().eval()
    return model.requires_grad_(False)


def test_pooled_jacobian_and_gate_agree_with_autograd(tied):
    scene = situation("park")
    view = EncodedImage(tied, scene)
    found = explain(tied, view, scene.questions[0], "green")
    by_vjp = pooled_jacobian_vjp(tied, view.F, found.q)
    error = float((found.M - by_vjp).abs().max() / by_vjp.abs().max())
    print(f"\npooled Jacobian, tied: {error:.1e}")
    assert error <= 1e-12
    for n in (1, 25, 1024):
        exact = gradcam(tied, view.F, found.q, tied.answer_index("green"), found.order[:n])
        assert float((found.map(n, relu=False) - exact).abs().max()) <= 1e-12 * float(exact.abs().max())


def test_tied_fc6_reads_the_sum_of_the_pooled_maps(tied):
    F = torch.rand(1, tied.cnn.channels, 14, 14, dtype=torch.float64)
    assert tied.cnn.pooled(F).shape == (1, tied.cnn.channels)
    assert torch.allclose(tied.cnn.pooled(F), tied.cnn.pool(F).sum((2, 3)))
