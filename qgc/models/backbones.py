"""The image side: a VGG-like CNN with a global feature (Simonyan and Zisserman 2015).

One class, two sizes: :data:`VGG19` is the network of the paper, :data:`SCENES` a small one for the
abstract scenes. Both give maps F of 14×14 and a global feature f (fc7).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class CNNConfig:
    """Sizes of a VGG-like network.

    ``blocks`` are the channels of its convolutions, block by block; between two blocks the maps are
    halved by 2×2 max-pooling, except after a first block of stride 2. ``detectors`` appends that many 1×1
    convolutions with ReLU, which become the last maps F; with them fc6 has the same weights at all 49
    positions (``tied``). ``fc`` is the width of fc6 and fc7. ``mean`` and ``std`` normalise RGB in 0–1.
    """

    blocks: tuple[tuple[int, ...], ...]
    fc: int
    stem_stride: int = 1
    detectors: int = 0
    tied: bool = False
    side: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


VGG19 = CNNConfig(((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4), fc=4096)
SCENES = CNNConfig(
    ((16,), (32,), (64,), (96, 96), (128, 192)), fc=256, stem_stride=2, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
)


class VGGLike(nn.Module):
    """Convolutions → F (K×14×14, after ReLU) → max-pool → fc6 → ReLU → fc7 → ReLU → f.

    Dropout 0.5 follows fc6, as in VGG; it is off outside training.
    """

    def __init__(self, config: CNNConfig = SCENES):
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        before = 3
        for b, block in enumerate(config.blocks):
            for c, channels in enumerate(block):
                stride = config.stem_stride if b == c == 0 else 1
                layers += [nn.Conv2d(before, channels, 3, stride, 1), nn.ReLU()]
                before = channels
            last = b == len(config.blocks) - 1
            if not last and not (b == 0 and config.stem_stride == 2):
                layers.append(nn.MaxPool2d(2))
        if config.detectors:
            layers += [nn.Conv2d(before, config.detectors, 1), nn.ReLU()]
            before = config.detectors
        self.features = nn.Sequential(*layers)
        self.maps = before
        self.pool = nn.MaxPool2d(2)
        self.fc6 = nn.Linear(before if config.tied else before * 49, config.fc)
        self.fc7 = nn.Linear(config.fc, config.fc)
        self.drop = nn.Dropout(0.5)
        self._pooled: tuple | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Maps F (B, K, 14, 14) of the last convolution, after its ReLU; ``x`` is (B, 3, 224, 224)."""
        return self.features(x)

    def feature(self, F: Tensor) -> Tensor:
        """The global feature f = fc7 (B, fc), after ReLU, not normalised."""
        return self.from_pooled(self.pooled(F))

    def pooled(self, F: Tensor) -> Tensor:
        """What fc6 reads: max-pooled and flattened maps (B, K·49), or their sum (B, K) where fc6 is tied."""
        halved = self.pool(F).flatten(2)
        return halved.sum(2) if self.config.tied else halved.flatten(1)

    def from_pooled(self, pooled: Tensor) -> Tensor:
        """f from what :meth:`pooled` gives."""
        return self.fc7(self.drop(self.fc6(pooled).relu())).relu()

    @torch.no_grad()
    def pooled_fc6(self) -> Tensor:
        """fc6 summed over its 49 positions (fc, K), computed once for the weights at hand.

        Max-pooling hands the gradient of each of its 49 outputs to exactly one of four inputs, so the
        gradient of fc6 summed over all 196 cells of F is its weight summed over the 49 positions.
        """
        weight = self.fc6.weight
        if self.config.tied:  # sum pooling hands the same gradient to all 49 outputs of the max-pooling
            return 49 * weight
        key = (weight.data_ptr(), weight._version, weight.dtype)
        if self._pooled is None or self._pooled[0] != key:
            self._pooled = key, weight.view(self.config.fc, self.maps, 49).sum(2)
        return self._pooled[1]
