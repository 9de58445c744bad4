"""Where the gradient behind a Grad-CAM map comes from, and where its part of the map lies.

Grad-CAM sums the gradient over all cells into one weight for each feature map, and then scores *every* cell by these
weights. The sum is linear, so the map splits by the cells R that the gradient comes from:

L(x) = Σ_R L_R(x),   L_R(x) = Σ_k (Σ_{i ∈ R} ∂y_a/∂F_k(i)) F_k(x)      (Selvaraju et al. 2017, Equations 1–2, no ReLU)

In a model that looks at the question before it pools the image, the gradient may come from the asked object alone,
and the map lie anywhere. Not registered: what explains a result of protocol 2, on validation scenes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, unfold
from tqdm import tqdm

from ...files import atomic_write
from ...measure.pairs import cell_cover
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


def origins(vqa: torch.nn.Module, pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """Of both questions of a pair: (2, from 3, on 3), the mean of L_R on asked object, other object and rest; and (2,).

    The first is divided by its largest size, so that every pair counts alike. The second is the mean cosine, over the
    asked object, between a place's features and their own gradient: of a place as the model sees it, a cell or a
    transformer's patch of cells. Layer normalization makes it about 0, as a scaled token gives the same output.
    """
    with torch.no_grad(), evaluating(vqa):
        F = vqa.conv(vqa.prepare(pair.scene.image))
        asks = (pair.first, pair.second)
        q = torch.cat([vqa.encode(ask.question) for ask in asks])
        answer = torch.full((2, 1), vqa.answer_index(pair.answer), device=F.device)
        G = gradients(vqa, F, q, answer)[:, 0]
    cover = torch.stack([cell_cover(pair.scene.masks[ask.thing], F.shape[-2:]) for ask in asks]).to(F)
    places = torch.cat([cover, (1 - cover.sum(0, keepdim=True)).clamp_min(0)])  # (3, h·w)
    weights = torch.einsum("qkx,rx->qrk", G.flatten(2), places)
    maps = torch.einsum("qrk,kx->qrx", weights, F[0].flatten(1))
    found = torch.einsum("qrx,sx->qrs", maps, places / places.sum(1, keepdim=True))
    found[1] = found[1][[1, 0, 2]][:, [1, 0, 2]]  # the second question asks about the second object
    patch = getattr(getattr(vqa, "config", None), "patch", 1)
    own = _cosines(G, F, patch)
    area = unfold(cover.unflatten(1, F.shape[-2:])[:, None], patch, stride=patch).sum(1)
    return (found / found.abs().max()).double().cpu().numpy(), ((own * area).sum(1) / area.sum(1)).cpu().numpy()


def _cosines(G: Tensor, F: Tensor, patch: int) -> Tensor:
    # (questions, places): the cosine of each place's gradient and features
    return cosine_similarity(*(unfold(t, patch, stride=patch) for t in (G, F)), dim=1)


def measured(vqa: torch.nn.Module, scenes: Iterable[Scene]) -> dict:
    """Means of :func:`origins` over the scenes that have a pair, with 95 % intervals by scene, as plain data."""
    parts, own = zip(*(origins(vqa, pair) for pair in map(chosen_pair, scenes) if pair), strict=True)
    each = np.array(parts).mean(1)
    columns = {(a, b): each[:, i, j] for i, a in enumerate(PLACES) for j, b in enumerate(PLACES)}
    rows = [{"from": a, "on": b, **asdict(crossed.crossed_interval(x[None]))} for (a, b), x in columns.items()]
    cosine = asdict(crossed.crossed_interval(np.array(own).mean(1)[None]))
    return {"pairs": len(each), "parts": rows, "cosine with own gradient": cosine}


def write(models: Sequence[Model], runs: Path, file: Path = FILE) -> None:
    """Measure some models on the validation scenes. QGCError if a training run is not in ``runs``."""
    first, count = (PROTOCOL.data["scenes"]["validation"][key] for key in ("first", "count"))
    found = {
        m.name: measured(run.load(m, runs), (sample(first + i, m.distribution) for i in tqdm(range(count), m.name)))
        for m in models
    }
    atomic_write(file, lambda p: p.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8"))


def read(file: Path = FILE) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What :func:`write` wrote: the parts of the map, and the cosines; a row, or some, for each model.

    Raises
    ------
    QGCError
        If it is not there.
    """
    with readable("origins of gradients", file.parent, f"{COMMAND} --origins"):
        found = json.loads(file.read_text(encoding="utf-8"))
    parts = pd.concat({name: pd.DataFrame(m["parts"]) for name, m in found.items()}, names=["model"])
    return parts.reset_index(0), pd.DataFrame({name: m["cosine with own gradient"] for name, m in found.items()}).T
