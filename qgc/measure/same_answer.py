"""How alike two questions with the same answer are, over scenes: their maps, and their ∂A/∂q (paper Tables 5–6)."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from ..explain import REDUCTIONS, EncodedImage, explain
from ..explain.sensitivity import reductions
from ..scenes import FIRST_SEED, sample
from .similarity import cosine, same_answer_pairs, spearman


@torch.no_grad()
def similarity(vqa, count: int, *, distribution: str, split: str = "validation") -> dict:
    """Map cosine and Spearman of ∂A/∂q over the same-answer color questions of ``count`` scenes.

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
        view = EncodedImage(vqa, scene)
        texts = list(dict.fromkeys(q for p in pairs for q in (p.first.question, p.second.question)))
        answer_of = {q: p.answer for p in pairs for q in (p.first.question, p.second.question)}
        known = {t: explain(vqa, view, t, answer_of[t], rank=unranked) for t in texts}
        maps = {t: e.map() for t, e in known.items()}
        sensitivities = {t: reductions(vqa, e.F, e.q, e.u[None], e.v[None]) for t, e in known.items()}
        row = {"cosine": [cosine(maps[p.first.question], maps[p.second.question]) for p in pairs]}
        for r in REDUCTIONS:
            row[r] = [spearman(sensitivities[p.first.question][r], sensitivities[p.second.question][r]) for p in pairs]
        rows.append({k: float(np.nanmean(v)) if np.isfinite(v).any() else float("nan") for k, v in row.items()})
    per_scene = {k: [r[k] for r in rows] for k in ("cosine", *REDUCTIONS)}
    return {
        "distribution": distribution,
        "split": split,
        "scenes": len(rows),
        **{k: float(np.nanmean(v)) for k, v in per_scene.items()},
        "per_scene": per_scene,
    }
