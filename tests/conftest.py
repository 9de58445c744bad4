"""What many tests share: an untrained model of the scenes' size, and the same one behind the bare contract."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from qgc.lab.train.cnn import start_shared
from qgc.lab.train.run import config
from qgc.lab.train.vqa import start
from qgc.models import VQA, DeeperLSTM, DeeperLSTMConfig


class Bare(VQA):
    """A model with the four methods that every VQA model has, and no closed form."""

    def __init__(self, inner: DeeperLSTM):
        super().__init__()
        self.inner, self.cnn = inner, inner.cnn
        self.vocabulary, self.answers, self.combine = inner.vocabulary, inner.answers, inner.combine

    def conv(self, x: Tensor) -> Tensor:
        return self.inner.conv(x)

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.inner.encode_tokens(tokens, lengths)

    def branches(self, F: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner.branches(F, q)

    def classify(self, A: Tensor) -> Tensor:
        return self.inner.classify(A)


def untrained(sizes: DeeperLSTMConfig, seed: int = 0) -> DeeperLSTM:
    """A random float64 model whose every layer hands on numbers of a sensible size."""
    torch.manual_seed(seed)
    model = DeeperLSTM(sizes)
    for layer in model.cnn.features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    start_shared(model.cnn)
    start(model, 0.08)
    return model.double().eval().requires_grad_(False)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """One thread: the same sums to the last bit in every run, and no crawling on a busy machine."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model() -> DeeperLSTM:
    """An untrained model of the scenes' full size: 1024 combine neurons, 192 maps."""
    return untrained(config())


@pytest.fixture(scope="session")
def small_model() -> DeeperLSTM:
    """The same with 32 combine neurons, for what is slow by automatic differentiation."""
    return untrained(DeeperLSTMConfig(config().words, config().answers, combine=32))


@pytest.fixture(scope="session")
def bare_model(small_model: DeeperLSTM) -> Bare:
    """``small_model`` without closed forms."""
    return Bare(small_model)
