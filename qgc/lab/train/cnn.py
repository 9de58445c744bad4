"""Pre-training of the small CNN: which objects, colors, poses and places are in the image.

The convolutions learn with a per-location linear classifier and log-sum-exp pooling over the 14×14
cells, so that no fully connected layer is needed yet; then fc6 and fc7 learn the same labels from
the pooled maps. Batch normalisation helps the training and is folded into the convolutions after.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...models.backbones import CNNConfig, VGGLike
from ...scenes.things import KINDS, PLACES
from ...scenes.vocabulary import ACTIVITIES, COLOURS, GAZES, PEOPLE
from .data import SceneSet
from .files import save_array
from .recipes import Recipe
from .trainer import EpochTrainer


class Labels:
    """Multi-hot labels of a scene's facts: ``unbound`` (objects, colors, poses) or ``bound`` (pairs)."""

    def __init__(self, kind: str):
        self.bound = kind == "bound"
        names = [*KINDS, "shirt", "top", "phone", *sorted({p for q in PLACES.values() for p in (q.upper, q.lower)})]
        keys: list[tuple] = [("object", k) for k in KINDS] + [("place", p) for p in PLACES]
        if self.bound:
            keys += [("colour", n, c) for n in names for c in COLOURS]
            keys += [("activity", p, a) for p in PEOPLE for a in ACTIVITIES]
            keys += [("gaze", p, g) for p in PEOPLE for g in GAZES]
        else:
            keys += [("colour", c) for c in COLOURS] + [("activity", a) for a in ACTIVITIES]
            keys += [("gaze", g) for g in GAZES]
        self.index = {k: i for i, k in enumerate(keys)}

    def __len__(self) -> int:
        return len(self.index)

    def encode(self, facts: list[tuple]) -> np.ndarray:
        """(labels,) float32 of one scene."""
        row = np.zeros(len(self), np.float32)
        for family, name, answer, about in facts:
            if family in ("colour", "activity", "gaze") and name != "man and woman":
                row[self.index[(family, name, answer) if self.bound else (family, answer)]] = 1
            elif family == "place":
                row[self.index["place", answer]] = 1
            if about in KINDS:
                row[self.index["object", about]] = 1
        return row

    def encode_all(self, facts: list[list[tuple]]) -> Tensor:
        """(scenes, labels)."""
        return torch.from_numpy(np.stack([self.encode(f) for f in facts]))


class ConvBN(nn.Module):
    """The convolutions of :class:`VGGLike` with batch normalisation, for training only."""

    def __init__(self, config: CNNConfig):
        super().__init__()
        layers: list[nn.Module] = []
        for layer in VGGLike(replace(config, detectors=0)).features:
            layers.append(layer)
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                layers.append(nn.BatchNorm2d(layer.out_channels))
        self.features = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """The maps F (B, K, h, w) of normalised images."""
        return self.features(x)

    @torch.no_grad()
    def fold_into(self, cnn: VGGLike) -> None:
        """Write weight·γ/σ and (bias − μ)·γ/σ + β into the plain convolutions of ``cnn``."""
        layers = list(self.features)
        pairs = [(c, n) for c, n in zip(layers, layers[1:], strict=False) if isinstance(n, nn.BatchNorm2d)]
        plain = [layer for layer in cnn.features if isinstance(layer, nn.Conv2d)][: len(pairs)]
        for (conv, norm), target in zip(pairs, plain, strict=True):
            factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            target.weight.copy_(conv.weight * factor[:, None, None, None])
            target.bias.copy_((conv.bias - norm.running_mean) * factor + norm.bias)


def log_sum_exp(logits: Tensor) -> Tensor:
    """Log-sum-exp over the cells (B, L, h, w) → (B, L): a soft maximum that every cell can learn from."""
    B, L, h, w = logits.shape
    return logits.reshape(B, L, h * w).logsumexp(2) - math.log(h * w) / 2


def to_input(pixels: np.ndarray, config: CNNConfig, device) -> Tensor:
    """Bytes (B, H, W, 3) as normalised (B, 3, H, W), channels last in memory."""
    x = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(m, device=device)[:, None, None] for m in (config.mean, config.std))
    return ((x - mean) / std).contiguous(memory_format=torch.channels_last)


def label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy, summed over the labels, of a mean scene."""
    targets = targets.to(logits.device)
    return nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(targets)


def pretrain_convolutions(
    recipe: Recipe, scenes: SceneSet, config: CNNConfig, run: Path, device
) -> tuple[ConvBN, nn.Conv2d]:
    """Train the convolutions on ``scenes``; resumes from the last epoch's checkpoint in ``run``.

    Returns them and the per-location classifier of the labels that they were trained with.
    """
    torch.manual_seed(recipe.seed)
    targets = Labels(recipe.labels).encode_all(scenes.facts)
    net = ConvBN(config).to(device, memory_format=torch.channels_last).train()
    head = nn.Conv2d(config.blocks[-1][-1], targets.shape[1], 1).to(device)
    nn.init.constant_(head.bias, -5.0)  # most labels are absent from most scenes: begin near that

    def loss(rows: np.ndarray) -> Tensor:
        x = to_input(scenes.images(rows), config, device)
        with torch.autocast(x.device.type, torch.bfloat16):  # the loss below is in float32: it sums over many cells
            logits = head(net(x))
        return label_loss(log_sum_exp(logits.float()), targets[rows])

    EpochTrainer(
        loss, {"net": net, "head": head}, [*net.parameters(), *head.parameters()], run / "convolutions.pt",
        count=scenes.count, batch=recipe.batch, cycles=recipe.cnn_cycles, seed=(recipe.seed,), lr=recipe.cnn_lr,
        weight_decay=1e-4, rise=0.15, limit=partial(nn.utils.clip_grad_norm_, max_norm=5.0),
    ).run("convolutions")  # fmt: skip
    return net.eval(), head


@torch.no_grad()
def pooled_maps(cnn: VGGLike, scenes: SceneSet, path: Path, device) -> np.ndarray:
    """Max-pooled maps of every scene, float16 (N, K·49), in ``path``; made again for another count of scenes."""
    if not path.exists() or len(np.load(path, mmap_mode="r")) != scenes.count:
        cnn.eval().to(device, memory_format=torch.channels_last)
        out = np.empty((scenes.count, cnn.fc6.in_features), np.float16)
        for start in tqdm(range(0, scenes.count, 64), desc="features", mininterval=5):
            rows = range(start, min(start + 64, scenes.count))
            F = cnn(to_input(scenes.images(rows), cnn.config, device))
            out[start : start + len(rows)] = cnn.pooled(F).half().cpu().numpy()
        save_array(path, out)
    return np.load(path)


def pretrain_fc(recipe: Recipe, cnn: VGGLike, pooled: np.ndarray, facts: list, run: Path, device) -> None:
    """Train fc6 and fc7 of ``cnn`` on the same labels from pooled maps; resumes from the last epoch's checkpoint.

    With detectors there is nothing to learn: the pooled maps are the labels' scores (:func:`init_identity_head`).
    """
    if recipe.detectors:
        init_identity_head(cnn, pooled)
        return
    torch.manual_seed(recipe.seed + 1)
    init_shared_fc6(cnn)
    targets = Labels(recipe.labels).encode_all(facts)
    head = nn.Linear(cnn.config.fc, targets.shape[1]).to(device)
    nn.init.constant_(head.bias, -4.0)  # most labels are absent
    cnn.to(device).eval()  # no dropout here: 7×7 cells of few channels have nothing to spare

    def loss(rows: np.ndarray) -> Tensor:
        return label_loss(head(cnn.from_pooled(torch.from_numpy(pooled[rows]).to(device).float())), targets[rows])

    EpochTrainer(
        loss, {"cnn": cnn, "head": head}, [*cnn.fc6.parameters(), *cnn.fc7.parameters(), *head.parameters()],
        run / "fc6-fc7.pt", count=len(pooled), batch=4 * recipe.batch, cycles=(recipe.fc_epochs,),
        seed=(recipe.seed, 1), lr=recipe.fc_lr, weight_decay=0.02,
    ).run("fc6, fc7")  # fmt: skip


@torch.no_grad()
def detect(cnn: VGGLike, head: nn.Conv2d) -> None:
    """Make the per-location classifier the last convolution: every map F^k then detects one label."""
    detectors = [layer for layer in cnn.features if isinstance(layer, nn.Conv2d)][-1]
    detectors.weight.copy_(head.weight)
    detectors.bias.copy_(head.bias)


@torch.no_grad()
def init_identity_head(cnn: VGGLike, pooled: np.ndarray) -> None:
    """Let fc6 and fc7 pass the detectors' sums through, all on one scale: f_k = Σ F^k / r_k.

    r_k is the root mean square of Σ F^k over the training scenes in which detector k fires at all, so that
    small objects weigh as much in f as large ones.
    """
    sums = torch.from_numpy(pooled).float()
    fires = (sums > 0.5).sum(0).clamp_min(1)
    scale = (sums.square().sum(0) / fires).sqrt().clamp_min(1e-3)
    cnn.fc6.weight.copy_(torch.diag(1 / scale))
    cnn.fc7.weight.copy_(torch.eye(cnn.channels))
    cnn.fc6.bias.zero_()
    cnn.fc7.bias.zero_()


@torch.no_grad()
def init_shared_fc6(cnn: VGGLike) -> None:
    """Start fc6 with the same weights at all 49 positions: an object means the same wherever it is."""
    K = cnn.channels
    shared = torch.randn(cnn.config.fc, K, 1) * math.sqrt(2 / K) / 4
    cnn.fc6.weight.copy_(shared.expand(-1, -1, 49).reshape(cnn.config.fc, K * 49))
    cnn.fc6.bias.zero_()
