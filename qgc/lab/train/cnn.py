"""Pre-training of the small CNN: which things, colours, poses and places are in the picture.

The convolutions learn with a per-location linear classifier and log-sum-exp pooling over the 14×14
cells, so that no fully connected layer is needed yet; then fc6 and fc7 learn the same labels from
the pooled maps. Batch normalisation helps the training and is folded into the convolutions after.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...models.backbones import CNNConfig, VGGLike
from ...scenes.layout import ACTIVITIES, GAZES
from ...scenes.palette import COLOURS
from ...scenes.things import KINDS, PLACES
from .data import SceneSet
from .files import check_loss, load_state, save_array, save_state
from .recipes import Recipe


class Labels:
    """Multi-hot labels of a scene's facts: ``unbound`` (things, colours, poses) or ``bound`` (pairs)."""

    def __init__(self, kind: str):
        self.bound = kind == "bound"
        names = [*KINDS, "shirt", "top", "phone", *sorted({p for q in PLACES.values() for p in (q.upper, q.lower)})]
        keys: list[tuple] = [("thing", k) for k in KINDS] + [("place", p) for p in PLACES]
        if self.bound:
            keys += [("colour", n, c) for n in names for c in COLOURS]
            keys += [("activity", p, a) for p in ("man", "woman") for a in ACTIVITIES]
            keys += [("gaze", p, g) for p in ("man", "woman") for g in GAZES]
        else:
            keys += [("colour", c) for c in COLOURS] + [("activity", a) for a in ACTIVITIES]
            keys += [("gaze", g) for g in GAZES]
        self.index = {k: i for i, k in enumerate(keys)}

    def __len__(self) -> int:
        return len(self.index)

    def of(self, facts: list[tuple]) -> np.ndarray:
        """(labels,) float32 of one scene."""
        row = np.zeros(len(self), np.float32)
        for family, name, answer, about in facts:
            if family in ("colour", "activity", "gaze") and name != "man and woman":
                row[self.index[(family, name, answer) if self.bound else (family, answer)]] = 1
            elif family == "place":
                row[self.index["place", answer]] = 1
            if about in KINDS:
                row[self.index["thing", about]] = 1
        return row


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


def pretrain_convolutions(
    recipe: Recipe, scenes: SceneSet, config: CNNConfig, run: Path, device
) -> tuple[ConvBN, nn.Conv2d]:
    """Train the convolutions on ``scenes``; resumes from the last epoch's checkpoint in ``run``.

    Returns them and the per-location classifier of the labels that they were trained with.
    """
    torch.manual_seed(recipe.seed)
    labels = Labels(recipe.labels)
    targets = torch.from_numpy(np.stack([labels.of(f) for f in scenes.facts]))
    net = ConvBN(config).to(device, memory_format=torch.channels_last)
    head = nn.Conv2d(config.blocks[-1][-1], len(labels), 1).to(device)
    nn.init.constant_(head.bias, -5.0)
    parameters = [*net.parameters(), *head.parameters()]
    steps = scenes.count // recipe.batch
    starts = {sum(recipe.cnn_cycles[:i]): epochs for i, epochs in enumerate(recipe.cnn_cycles)}
    last = sum(recipe.cnn_cycles)
    path, first = run / "convolutions.pt", 0
    learned, learning = {"net": net, "head": head}, {}
    state = load_state(path)
    if state:
        first = state["epoch"]
        for name, part in learned.items():
            part.load_state_dict(state[name])
    for epoch in range(first, last):
        if epoch in starts or not learning:
            cycle = next(e for s, e in sorted(starts.items(), reverse=True) if s <= epoch)
            optimiser = torch.optim.AdamW(parameters, lr=recipe.cnn_lr, weight_decay=1e-4)
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, recipe.cnn_lr, total_steps=max(cycle * steps, 1) + 1, pct_start=0.15
            )
            learning = {"optimiser": optimiser, "schedule": schedule}
            if epoch == first and epoch not in starts:  # resumed within a cycle
                for name, part in learning.items():
                    part.load_state_dict(state[name])
        order = np.random.default_rng([recipe.seed, epoch]).permutation(scenes.count)
        bar = tqdm(range(steps), desc=f"convolutions, epoch {epoch + 1}/{last}", mininterval=5)
        net.train()
        for step in bar:
            rows = order[step * recipe.batch : (step + 1) * recipe.batch]
            x, y = to_input(scenes.pictures(rows), config, device), targets[rows].to(device)
            with torch.autocast(x.device.type, torch.bfloat16):
                logits = head(net(x))
            pooled = log_sum_exp(logits.float())
            loss = nn.functional.binary_cross_entropy_with_logits(pooled, y, reduction="sum") / len(rows)
            check_loss(loss, run)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 5.0)
            optimiser.step()
            schedule.step()
            if step % 20 == 0:
                found = ((pooled > 0) & (y > 0)).sum() / y.sum()
                bar.set_postfix(loss=f"{loss.item():.2f}", found=f"{found.item():.2f}")
        parts = {**learned, **learning}
        save_state(path, {"epoch": epoch + 1, **{name: part.state_dict() for name, part in parts.items()}})
    return net.eval(), head


@torch.no_grad()
def pooled_maps(cnn: VGGLike, scenes: SceneSet, path: Path, device) -> np.ndarray:
    """Max-pooled maps of every scene, float16 (N, K·49), cached in ``path``; made anew for another number of scenes."""
    if not path.exists() or len(np.load(path, mmap_mode="r")) != scenes.count:
        cnn.eval().to(device, memory_format=torch.channels_last)
        out = np.empty((scenes.count, cnn.fc6.in_features), np.float16)
        for start in tqdm(range(0, scenes.count, 64), desc="features", mininterval=5):
            rows = range(start, min(start + 64, scenes.count))
            F = cnn(to_input(scenes.pictures(rows), cnn.config, device))
            out[start : start + len(rows)] = cnn.pooled(F).half().cpu().numpy()
        save_array(path, out)
    return np.load(path)


def pretrain_fc(recipe: Recipe, cnn: VGGLike, pooled: np.ndarray, facts: list, run: Path, device) -> None:
    """Train fc6 and fc7 of ``cnn`` on the same labels from pooled maps; resumes if it was done before.

    With detectors there is nothing to learn: the pooled maps are the labels' scores (:func:`hand_through`).
    """
    path = run / "fc.pt"
    if state := load_state(path):
        cnn.load_state_dict(state)
        return
    torch.manual_seed(recipe.seed + 1)
    labels = Labels(recipe.labels)
    targets = torch.from_numpy(np.stack([labels.of(f) for f in facts]))
    if recipe.detectors:
        hand_through(cnn, pooled)
        save_state(path, cnn.state_dict())
        return
    start_shared(cnn)
    head = nn.Linear(cnn.config.fc, len(labels)).to(device)
    nn.init.constant_(head.bias, -4.0)
    cnn.to(device).eval()  # no dropout here: 7×7 cells of few channels have nothing to spare
    parameters = [*cnn.fc6.parameters(), *cnn.fc7.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=recipe.fc_lr, weight_decay=0.02)
    batch = 4 * recipe.batch
    steps = max(len(pooled) // batch, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.fc_lr, total_steps=recipe.fc_epochs * steps + 1)
    began = time.time()
    bar = tqdm(range(recipe.fc_epochs), desc="fc6, fc7")
    for epoch in bar:
        order = np.random.default_rng([recipe.seed, epoch, 1]).permutation(len(pooled))
        total = 0.0
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            f = cnn.from_pooled(torch.from_numpy(pooled[rows]).to(device).float())
            loss = nn.functional.binary_cross_entropy_with_logits(
                head(f), targets[rows].to(device), reduction="sum"
            ) / len(rows)
            check_loss(loss, run)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        bar.set_postfix(loss=f"{total / steps:.2f}", seconds=round(time.time() - began))
    save_state(path, cnn.state_dict())


@torch.no_grad()
def detect(cnn: VGGLike, head: nn.Conv2d) -> None:
    """Make the per-location classifier the last convolution: every map F^k then detects one label."""
    detectors = [layer for layer in cnn.features if isinstance(layer, nn.Conv2d)][-1]
    detectors.weight.copy_(head.weight)
    detectors.bias.copy_(head.bias)


@torch.no_grad()
def hand_through(cnn: VGGLike, pooled: np.ndarray) -> None:
    """Let fc6 and fc7 hand the detectors' sums through, all on one scale: f_k = Σ F^k / r_k.

    r_k is the root mean square of Σ F^k over the training scenes in which detector k fires at all, so that
    small things weigh as much in f as large ones.
    """
    sums = torch.from_numpy(pooled).float()
    fires = (sums > 0.5).sum(0).clamp_min(1)
    scale = (sums.square().sum(0) / fires).sqrt().clamp_min(1e-3)
    cnn.fc6.weight.copy_(torch.diag(1 / scale))
    cnn.fc7.weight.copy_(torch.eye(cnn.maps))
    cnn.fc6.bias.zero_()
    cnn.fc7.bias.zero_()


@torch.no_grad()
def start_shared(cnn: VGGLike) -> None:
    """Start fc6 with the same weights at all 49 positions: a thing means the same wherever it stands."""
    K = cnn.maps
    shared = torch.randn(cnn.config.fc, K, 1) * math.sqrt(2 / K) / 4
    cnn.fc6.weight.copy_(shared.expand(-1, -1, 49).reshape(cnn.config.fc, K * 49))
    cnn.fc6.bias.zero_()
