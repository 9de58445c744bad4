"""Where the gradient behind a Grad-CAM map comes from, and where its part of the map lies.

Grad-CAM sums the gradient over all cells into one weight for each feature map, and then scores *every* cell by these
weights. The sum is linear, so the map splits by the cells R that the gradient comes from:

L(x) = Σ_R L_R(x),   L_R(x) = Σ_k (Σ_{i ∈ R} ∂y_a/∂F_k(i)) F_k(x)      (Selvaraju et al. 2017, Equations 1–2, no ReLU)

In a model that looks at the question before it pools the image, the gradient may come from the asked object, and the
map lie anywhere. What a map owes to the average, and what to layer normalization, is seen by taking either away.
Not registered: what explains a result of protocol 2, on validation scenes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...files import atomic_write
from ...measure.pairs import cell_cover, rank_grounding
from ...measure.similarity import Pair
from ...models.evaluation import evaluating
from ...scenes import Scene, sample
from ..experiments.compare import gradients
from ..protocol import crossed
from ..protocol.stored import readable
from . import PROTOCOL, Model, run
from .measure import chosen_pair
from .results import COMMAND, FOLDER

FILE = FOLDER / "origins.json"
PLACES = ("asked object", "other object", "rest")
PARTS = (
    *("Grad-CAM", "without the average (HiResCAM)", "Grad-CAM, scale held constant", "neither"),
    *("|gradient|", "|input × gradient|"),
)  # fmt: skip
"""Maps of one gradient: with and without the average over cells; the same with :func:`constant_scale`; sizes alone."""


def _gradients(vqa: nn.Module, pair: Pair) -> tuple[Tensor, Tensor]:
    # F (1, K, h, w), and ∂y_a/∂F (2, K, h, w) for both questions
    with torch.no_grad(), evaluating(vqa):
        F = vqa.conv(vqa.prepare(pair.scene.image))
        q = torch.cat([vqa.encode(ask.question) for ask in (pair.first, pair.second)])
        answer = torch.full((2, 1), vqa.answer_index(pair.answer), device=F.device)
        return F, gradients(vqa, F, q, answer)[:, 0]


def origins(vqa: nn.Module, pair: Pair) -> np.ndarray:
    """(2, from 3, on 3): for both questions the mean of L_R on asked object, other object and rest.

    Divided by its largest size, so that every pair counts alike.
    """
    F, G = _gradients(vqa, pair)
    masks = [pair.scene.masks[ask.thing] for ask in (pair.first, pair.second)]
    cover = torch.stack([cell_cover(mask, F.shape[-2:]) for mask in masks]).to(F)
    places = torch.cat([cover, (1 - cover.sum(0, keepdim=True)).clamp_min(0)])  # (3, h·w)
    weights = torch.einsum("qkx,rx->qrk", G.flatten(2), places)
    maps = torch.einsum("qrk,kx->qrx", weights, F[0].flatten(1))
    found = torch.einsum("qrx,sx->qrs", maps, places / places.sum(1, keepdim=True))
    found[1] = found[1][[1, 0, 2]][:, [1, 0, 2]]  # the second question asks about the second object
    return (found / found.abs().max()).double().cpu().numpy()


@contextmanager
def constant_scale(vqa: nn.Module) -> Iterator[None]:
    """Let no gradient through the standard deviations that layer normalization divides by; the answers are the same."""
    norms = [m for m in vqa.modules() if isinstance(m, nn.LayerNorm)]

    def forward(norm: nn.LayerNorm, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scale = (centred.square().mean(-1, keepdim=True) + norm.eps).sqrt().detach()
        return centred / scale * norm.weight + norm.bias

    for norm in norms:
        norm.forward = partial(forward, norm)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def verdicts(vqa: nn.Module, pair: Pair) -> dict[str, float]:
    """The rank verdict of Grad-CAM and of :data:`PARTS` of it, 0, ½ or 1."""
    F, G = _gradients(vqa, pair)
    with constant_scale(vqa):
        _, held = _gradients(vqa, pair)
    maps = torch.stack(
        [*(_maps(g, F, average) for g in (G, held) for average in (True, False)), G.abs().sum(1), (G * F).abs().sum(1)]
    )
    masks = np.stack([pair.scene.masks[ask.thing] for ask in (pair.first, pair.second)])
    return dict(zip(PARTS, rank_grounding(maps.double(), masks).verdict.tolist(), strict=True))


def _maps(G: Tensor, F: Tensor, average: bool) -> Tensor:
    weights = G.mean((2, 3), keepdim=True) if average else G
    return (weights * F).sum(1)


def measured(vqa: nn.Module, scenes: Iterable[Scene]) -> dict:
    """Means over the scenes that have a pair, with 95 % intervals by scene, as plain data."""
    pairs = [pair for pair in map(chosen_pair, scenes) if pair]
    each = np.array([origins(vqa, pair).mean(0) for pair in pairs])
    columns = {(a, b): each[:, i, j] for i, a in enumerate(PLACES) for j, b in enumerate(PLACES)}
    rows = [{"from": a, "on": b, **asdict(crossed.crossed_interval(x[None]))} for (a, b), x in columns.items()]
    known = pd.DataFrame([verdicts(vqa, pair) for pair in pairs])
    rga = {name: asdict(crossed.crossed_interval(known[name].to_numpy()[None])) for name in PARTS}
    return {"pairs": len(pairs), "parts": rows, "RGA": rga}


def write(models: Sequence[Model], runs: Path, file: Path = FILE) -> None:
    """Measure some models on the validation scenes. QGCError if a training run is not in ``runs``."""
    first, count = (PROTOCOL.data["scenes"]["validation"][key] for key in ("first", "count"))
    found = {
        m.name: measured(run.load(m, runs), (sample(first + i, m.distribution) for i in tqdm(range(count), m.name)))
        for m in models
    }
    atomic_write(file, lambda p: p.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8"))


def read(file: Path = FILE) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What :func:`write` wrote: the parts of the map; and the RGA of :data:`PARTS`, by (model, part).

    Raises
    ------
    QGCError
        If it is not there.
    """
    with readable("origins of gradients", file.parent, f"{COMMAND} --origins"):
        found = json.loads(file.read_text(encoding="utf-8"))
    parts = pd.concat({name: pd.DataFrame(m["parts"]) for name, m in found.items()}, names=["model"])
    rga = pd.concat({name: pd.DataFrame(m["RGA"]).T for name, m in found.items()})
    return parts.reset_index(0), rga
