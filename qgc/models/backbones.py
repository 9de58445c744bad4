"""The image side: CNNs with one interface, and the VGG-like ones (Simonyan and Zisserman 2015).

Every backbone has ``config`` (with ``side``, ``mean``, ``std``, ``bgr``), ``channels`` (K), ``width`` (the size of f)
and

F = cnn(x)             # (B, K, h, w): the maps that Grad-CAM weighs
f = cnn.feature(F)     # (B, width): the global feature, not normalised

and, for the closed form, ``head(F)`` and ``slopes(F, head)``, the derivative of f by the maps. :func:`named` finds
a configuration by name, :func:`build` makes the CNN, :func:`load_weights` reads its weights.

:class:`VGGLike` has two sizes: :data:`VGG19` is the network of the paper, :data:`SCENES` a small one for the abstract
scenes. Both give maps F of 14×14 and f = fc7. All others are in :mod:`qgc.models.torchvision_cnn`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..errors import WeightsError
from ..images import open_image
from .dense import DenseHead, SpatiallySummedWeight, dense_head, dense_slopes
from .torchvision_cnn import TorchvisionCNN, TorchvisionConfig, classifiers, torchvision_config
from .weights_file import copy_into


@dataclass(frozen=True)
class CNNConfig:
    """Sizes of a VGG-like network.

    ``blocks`` are the channels of its convolutions, block by block; between two blocks the maps are
    halved by 2×2 max-pooling, except after a first block of stride 2. ``detectors`` appends that many 1×1
    convolutions with ReLU, which become the last maps F; with them fc6 has the same weights at all 49
    positions (``tied``). ``fc`` is the width of fc6 and fc7. ``mean`` and ``std`` normalise RGB in 0–1; with ``bgr``
    the CNN is given the channels in the order blue, green, red, as Caffe's are.
    """

    blocks: tuple[tuple[int, ...], ...]
    fc: int
    stem_stride: int = 1
    detectors: int = 0
    tied: bool = False
    side: int = 224
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    bgr: bool = False


VGG19 = CNNConfig(((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4), fc=4096)
VGG19_CAFFE = replace(VGG19, mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255,) * 3, bgr=True)
SCENES = CNNConfig(
    ((16,), (32,), (64,), (96, 96), (128, 192)), fc=256, stem_stride=2, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)
)


VGGS = {
    "vgg11": replace(VGG19, blocks=((64,), (128,), (256,) * 2, (512,) * 2, (512,) * 2)),
    "vgg13": replace(VGG19, blocks=((64,) * 2, (128,) * 2, (256,) * 2, (512,) * 2, (512,) * 2)),
    "vgg16": replace(VGG19, blocks=((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)),
    "vgg19": VGG19,
    "vgg19-caffe": VGG19_CAFFE,
}
"""VGGs of photographs by name: torchvision's, and the paper's own, a conversion of Caffe's."""

BackboneConfig = CNNConfig | TorchvisionConfig


class VGGLike(nn.Module):
    """Convolutions → F (K×14×14, after ReLU) → max-pool → fc6 → ReLU → fc7 → ReLU → f.

    Dropout 0.5 follows fc6, as in VGG; it is off outside training.
    """

    def __init__(self, config: CNNConfig = SCENES):
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        inputs = 3
        for b, block in enumerate(config.blocks):
            for c, channels in enumerate(block):
                stride = config.stem_stride if b == c == 0 else 1
                layers += [nn.Conv2d(inputs, channels, 3, stride, 1), nn.ReLU()]
                inputs = channels
            last = b == len(config.blocks) - 1
            if not last and not (b == 0 and config.stem_stride == 2):
                layers.append(nn.MaxPool2d(2))
        if config.detectors:
            layers += [nn.Conv2d(inputs, config.detectors, 1), nn.ReLU()]
            inputs = config.detectors
        self.features = nn.Sequential(*layers)
        self.channels = inputs
        self.pool = nn.MaxPool2d(2)
        self.seven = nn.AdaptiveAvgPool2d(7)
        self.fc6 = nn.Linear(inputs if config.tied else inputs * 49, config.fc)
        self.fc7 = nn.Linear(config.fc, config.fc)
        self.width = config.fc
        self.drop = nn.Dropout(0.5)
        self._summed = SpatiallySummedWeight()

    def forward(self, x: Tensor) -> Tensor:
        """Maps F of the last convolution, after its ReLU: (B, K, 14, 14) of images (B, 3, 224, 224)."""
        return self.features(x)

    maps = property(lambda self: self.channels)  # its earlier name

    def feature(self, F: Tensor) -> Tensor:
        """The global feature f = fc7 (B, fc), after ReLU, not normalised."""
        return self.from_pooled(self.pooled(F))

    def pooled(self, F: Tensor) -> Tensor:
        """What fc6 reads: max-pooled and flattened maps (B, K·49), or their sum (B, K) where fc6 is tied.

        Of images that are not 224 px wide, the pooled maps are averaged down (or up) to 7×7, as torchvision does.
        """
        halved = self.pool(F)
        if halved.shape[2:] != (7, 7):  # else it would average single numbers, and take as long as the rest
            halved = self.seven(halved)
        halved = halved.flatten(2)
        return halved.sum(2) if self.config.tied else halved.flatten(1)

    def from_pooled(self, pooled: Tensor) -> Tensor:
        """f from what :meth:`pooled` gives."""
        return self.fc7(self.drop(self.fc6(pooled).relu())).relu()

    # -- for the closed form ----------------------------------------------------------------------
    def head(self, F: Tensor) -> DenseHead:
        """One pass through fc6 and fc7 with the maps (1, K, h, w) of one image."""
        return dense_head(self.pooled(F), self.fc6, self.fc7)

    def slopes(self, F: Tensor, head: DenseHead) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Σ_ij ∂f/∂F_ij (fc, K): its rows that are not zero, and the factors that these are the product of."""
        return dense_slopes(head, self.fc7, self.pooled_fc6())

    @torch.no_grad()
    def pooled_fc6(self) -> Tensor:
        """fc6 summed over its 49 positions (fc, K), computed once for the weights at hand: the slope of the pooling."""
        if self.config.tied:  # sum pooling gives all 49 outputs of the max-pooling the same gradient
            return 49 * self.fc6.weight
        return self._summed(self.fc6.weight, self.channels)

    # -- weights ----------------------------------------------------------------------------------
    TORCHVISION = {"classifier.0.": "fc6.", "classifier.3.": "fc7."}
    CONVERTED = {"classifier.1.": "classifier.0.", "classifier.4.": "classifier.3."}

    def translate(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's names as ours; the public conversions of Caffe's number the classifier from 1."""
        if "classifier.1.weight" in state:
            state = {_renamed(k, self.CONVERTED): v for k, v in state.items()}
        return {_renamed(k, self.TORCHVISION): v for k, v in state.items()}

    def is_ignorable(self, key: str) -> bool:
        """Whether a file of this network may have this tensor besides: the class scores."""
        return key in ("classifier.6.weight", "classifier.6.bias")


def _renamed(key: str, prefixes: Mapping[str, str]) -> str:
    return next((new + key.removeprefix(old) for old, new in prefixes.items() if key.startswith(old)), key)


# -- one interface ------------------------------------------------------------------------------------
def known() -> list[str]:
    """Names that :func:`named` takes."""
    return sorted({*VGGS, *classifiers()})


def named(name: str, side: int | None = None) -> BackboneConfig:
    """The configuration of a published CNN.

    Parameters
    ----------
    name : ``"vgg19"`` (torchvision's normalisation), ``"vgg19-caffe"`` (the paper's: BGR, Caffe's means), or any of
        torchvision's classification CNNs (``"resnet152"``, ``"squeezenet1_1"``, …; :func:`known` lists them).
    side : pixels of the square that it reads; None is what its weights were trained for.

    WeightsError if there is no such CNN, with the nearest names; or it is a transformer, which has no convolution maps.
    """
    if name in VGGS:
        config = VGGS[name]
    elif name in known():
        config = torchvision_config(name)
    elif name in classifiers(transformers=True):
        raise WeightsError(
            f"{name!r} is a transformer and has no convolution maps for Grad-CAM; choose a CNN, such as "
            "'squeezenet1_1' (small), 'resnet152' or 'vgg19'"
        )
    else:
        near = difflib.get_close_matches(str(name).lower(), known(), 3, cutoff=0.5)
        offer = f"did you mean {' or '.join(map(repr, near))}?" if near else f"there are {', '.join(known())}"
        raise WeightsError(f"there is no CNN {name!r}; {offer}")
    return config if side is None else replace(config, side=side)


def is_published(config: BackboneConfig) -> bool:
    """Whether this is a CNN of photographs that :func:`named` knows, with any side, not one that we trained."""
    return isinstance(config, TorchvisionConfig) or replace(config, side=VGG19.side) in VGGS.values()


def build(config: BackboneConfig) -> VGGLike | TorchvisionCNN:
    """The CNN of a configuration; its weights are random until :func:`load_weights`.

    WeightsError if torchvision has no such CNN, or none of its maps is all that its later layers read.
    """
    if isinstance(config, CNNConfig):
        return VGGLike(config)
    named(config.name)
    return TorchvisionCNN(config)


def load_weights(backbone: nn.Module, file) -> None:
    """Copy published weights into a backbone: safetensors, or torch's .pth and .pt, in torchvision's naming.

    Read with ``weights_only=True``: nothing in the file is ever executed. ``module.`` before the names is dropped, and
    the class scores and helper classifiers, which a backbone lacks, are skipped. Numbers are not rounded:
    :func:`qgc.models.zoo.save` stores them so, too.

    WeightsError, and nothing is copied, if it is missing, damaged, could run code, or holds another network's weights.
    """
    copy_into(backbone, file)


def prepare(image, config: BackboneConfig) -> Tensor:
    """An image as bytes (3, side, side), RGB: squeezed to the square of a CNN, not cropped.

    So a map covers all of the image, as in the original recipe. ``image`` is anything that
    :func:`qgc.images.open_image` reads.
    """
    rgb = open_image(image)
    if rgb.size != (config.side, config.side):
        rgb = rgb.resize((config.side, config.side), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.asarray(rgb).copy()).permute(2, 0, 1)


def normalise(pixels: Tensor, config: BackboneConfig, dtype: torch.dtype = torch.float32) -> Tensor:
    """RGB bytes (B, 3, H, W) as a CNN expects them: (RGB/255 − mean)/std, with ``config.bgr`` in the order B, G, R."""
    mean, std = (torch.tensor(m, dtype=dtype, device=pixels.device) for m in (config.mean, config.std))
    x = (pixels.to(dtype) / 255 - mean[:, None, None]) / std[:, None, None]
    return x.flip(1) if config.bgr else x
