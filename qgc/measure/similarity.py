"""How alike two questions with the same answer are: their maps, and their ∂A/∂q (paper Tables 5–6)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor
from tqdm import tqdm

from ..explain import REDUCTIONS, View, explain
from ..explain.sensitivity import reductions
from ..lab.train.recipes import FIRST_SEED
from ..scenes import Scene, sample


def cosine(a: Tensor, b: Tensor) -> float:
    """Cosine of two maps, Σab / (‖a‖‖b‖); nan if one of them is empty."""
    a, b = a.flatten().double(), b.flatten().double()
    norm = float(a.norm() * b.norm())
    return float(a @ b) / norm if norm > 0 else float("nan")


def spearman(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation of two vectors (paper Tables 5–6); ties share their mean rank."""
    return float(spearmanr(a.cpu().double().numpy(), b.cpu().double().numpy()).statistic)


@dataclass(frozen=True)
class Pair:
    """Two questions about one scene with the same true answer and different things."""

    scene: Scene
    first: tuple
    second: tuple

    @property
    def answer(self) -> str:
        return self.first[1]


def same_answer_pairs(scenes: Iterable[Scene], families: tuple[str, ...] = ("colour",)) -> list[Pair]:
    """All pairs of questions of one family that share their answer, scene by scene (paper §3)."""
    found = []
    for scene in scenes:
        by_family = [a for a in scene.asks if a.family in families and a.thing]
        found += [
            Pair(scene, a, b)
            for a, b in combinations(by_family, 2)
            if a.answer == b.answer and a.family == b.family and a.thing != b.thing
        ]
    return found


@torch.no_grad()
def similarity(vqa, count: int, *, distribution: str, split: str = "validation") -> dict:
    """Map cosine and Spearman of ∂A/∂q over the same-answer colour questions of ``count`` scenes.

    Each scene counts once: its pairs are averaged first. Returns means, and per scene values under
    ``"per_scene"``; a pair in which a map is empty has no cosine and is left out of that mean.
    """
    rows = []
    unranked = torch.zeros(vqa.combine)  # the maps of all neurons need no ranking
    for i in tqdm(range(count), desc=f"pairs, {distribution}", mininterval=2, leave=False):
        scene = sample(FIRST_SEED[split] + i, distribution)
        pairs = same_answer_pairs([scene])
        if not pairs:
            continue
        view = View(vqa, scene)
        texts = list(dict.fromkeys(q for p in pairs for q in (p.first.question, p.second.question)))
        answer_of = {q: p.answer for p in pairs for q in (p.first.question, p.second.question)}
        known = {t: explain(vqa, view, t, answer_of[t], rank=unranked) for t in texts}
        maps = {t: e.map() for t, e in known.items()}
        drawn = {t: reductions(vqa, e.F, e.q, e.u[None], e.v[None]) for t, e in known.items()}
        row = {"cosine": [cosine(maps[p.first.question], maps[p.second.question]) for p in pairs]}
        for r in REDUCTIONS:
            row[r] = [spearman(drawn[p.first.question][r], drawn[p.second.question][r]) for p in pairs]
        rows.append({k: float(np.nanmean(v)) if np.isfinite(v).any() else float("nan") for k, v in row.items()})
    per_scene = {k: [r[k] for r in rows] for k in ("cosine", *REDUCTIONS)}
    return {
        "distribution": distribution,
        "split": split,
        "scenes": len(rows),
        **{k: float(np.nanmean(v)) for k, v in per_scene.items()},
        "per_scene": per_scene,
    }
