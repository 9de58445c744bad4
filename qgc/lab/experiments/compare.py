"""Two models and the same scenes: whose Grad-CAM lies better on what is asked about (paper §3.1, Figs 7–22)?

:func:`look` draws all maps of one scene. :func:`localisation` holds them against the masks, :func:`likeness` against
each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd
import torch
from torch import Tensor

from ...measure.localise import MEASURES, ceilings, chance, contrastive_grounding, map_share, rescaled
from ...measure.pairs import rank_grounding
from ...measure.similarity import cosine
from ...models import VQA
from ...models.evaluation import evaluated
from ...scenes import Scene
from ...scenes.questions import Ask

FAMILIES = ("colour", "activity")
MEASURED = ("mass accuracy", "rank accuracy", "pointing game")
CNN_ALONE = "CNN alone"
"""The control: Σ_k F^k, where the CNN responds at all. It knows neither the question nor the answer."""


@dataclass(frozen=True)
class Look:
    """What some models show of one scene, for the same N questions (paper §3.1).

    ``before`` holds maps (N, h, w) before the ReLU: for each model, by its name, the Grad-CAM of every true answer;
    "NAME cell by cell", the same without the mean of Eq. 1, Σ_k ∂y_a/∂F^k_ij F^k_ij (Draelos and Carin 2020);
    "NAME attention" for a model that has one; and :data:`CNN_ALONE`. ``other`` holds, after the ReLU, what changes with
    the answer, for the answer that the model finds likeliest of all the others. ``right`` (N,) says where its answer is
    the true one.
    """

    scene: Scene
    asks: Sequence[Ask]
    before: dict[str, Tensor]
    other: dict[str, Tensor]
    right: dict[str, Tensor]

    @property
    def maps(self) -> dict[str, Tensor]:
        """The same maps after the ReLU of Eq. 2, by their names."""
        return {name: m.relu() for name, m in self.before.items()}


@evaluated
def gradients(vqa: VQA, F: Tensor, q: Tensor, answers: Tensor) -> Tensor:
    """∂y_a/∂F (N, P, K, h, w), the gradient of Eq. 1, for N questions about one image and P answers to each.

    Parameters
    ----------
    F : (1, K, h, w) maps; q : (N, Q); answers : (N, P) indices. Takes P backward passes.
    """
    F = F.detach().expand(len(q), -1, -1, -1).clone().requires_grad_()
    with torch.enable_grad():
        y = vqa.classify(torch.mul(*vqa.branches(F, q.detach())))
        every = [torch.autograd.grad(y[range(len(q)), a].sum(), F, retain_graph=True)[0] for a in answers.T]
    return torch.stack(every, 1)


@torch.no_grad()
def look(models: Mapping[str, VQA], scene: Scene, families: Sequence[str] = FAMILIES) -> Look | None:
    """All maps of a scene's questions of some families (paper §3.1); None where nothing of the kind is asked."""
    asks = [ask for ask in scene.asks if ask.family in families and ask.thing]
    if not asks:
        return None
    found = Look(scene, asks, {}, {}, {})
    for name, vqa in models.items():
        F = _look_with(vqa, name, found)
    found.before[CNN_ALONE] = F.sum(1).expand(len(asks), -1, -1)
    return found


@evaluated
def _look_with(vqa: VQA, name: str, found: Look) -> Tensor:
    # Adds one model's maps, and whether it answers rightly; returns its F.
    F = vqa.conv(vqa.prepare(found.scene))
    tokens, lengths = vqa.vocabulary.batch([ask.question for ask in found.asks])
    q = vqa.encode_tokens(tokens.to(vqa.device), lengths)
    truth = torch.tensor([vqa.answer_index(ask.answer) for ask in found.asks], device=vqa.device)
    y = vqa.classify(torch.mul(*vqa.branches(F, q)))
    runner_up = y.scatter(1, truth[:, None], -torch.inf).argmax(1)
    dF = gradients(vqa, F, q, torch.stack([truth, runner_up], 1))
    weighed = {name: dF.mean((3, 4), keepdim=True) * F, f"{name} cell by cell": dF * F}  # Eq. 1, 2
    for key, cells in weighed.items():
        found.before[key], other = cells.sum(2).unbind(1)
        found.other[key] = other.relu()
    found.right[name] = y.argmax(1) == truth
    attention = vqa.attention(F.expand(len(q), -1, -1, -1), q)
    if attention is not None:
        found.before[f"{name} attention"] = attention
    return F


def localisation(looks: Iterable[Look]) -> pd.DataFrame:
    """How well every map lies on what is asked about, raw and between chance and ceiling (paper §3.1).

    Returns
    -------
    DataFrame
        A row for each question and map: ``scene`` (its number), ``question``, ``family``, ``place`` (whether a part of
        the place is asked about, such as the wall, and no object), ``all right`` (whether all models answer rightly),
        ``map``, ``chance``, every measure of :data:`MEASURED`, and its "… rescaled"; nan where a map is empty.
    """
    rows = []
    for number, seen in enumerate(looks):
        every = seen.maps
        right = torch.stack(list(seen.right.values())).all(0).tolist()
        for i, ask in enumerate(seen.asks):
            mask = seen.scene.masks[ask.thing]
            maps = torch.stack([m[i] for m in every.values()])
            low, high = chance(mask), ceilings(mask, tuple(maps.shape[1:]))
            values = {m: MEASURES[m](maps, mask) for m in MEASURED}
            values |= {f"{m} rescaled": rescaled(v, low, high[m]) for m, v in values.items()}
            about = (number, ask.question, ask.family, ask.thing in seen.scene.tones, right[i])
            rows += [
                (*about, name, low, *v) for name, *v in zip(every, *map(Tensor.tolist, values.values()), strict=True)
            ]
    columns = ["scene", "question", "family", "place", "all right", "map", "chance"]
    return pd.DataFrame(rows, columns=[*columns, *MEASURED, *(f"{m} rescaled" for m in MEASURED)])


def differences(table: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """``second``'s measures minus ``first``'s, question by question, of :func:`localisation`'s table (paper §3.1)."""
    about = ["scene", "question", "family", "place", "all right"]
    measures = [c for c in table if c.startswith(MEASURED)]
    a, b = (table[table["map"] == name].set_index(about)[measures] for name in (first, second))
    return (b - a).reset_index()


def likeness(looks: Iterable[Look]) -> pd.DataFrame:
    """Cosines of two maps when the question, the answer or both change (paper §3.1, Figs 17–19).

    Returns
    -------
    DataFrame
        A row for each map and each pair of questions that share family and true answer, but not the object:
        ``scene``, ``family``, ``map``; "other question", the cosine of the pair's maps; "other answer", that of each
        question's own map and the one of the next likeliest answer (mean of both); "both", that of the first
        question's map and one of the same family with another object *and* another true answer; ``rank``, the rank
        grounding of the pair (:func:`~qgc.measure.pairs.rank_grounding`, before the ReLU), and ``grounded``, its
        contrastive grounding (protocol 1's measure). nan where a map is empty, no such question exists, or the objects
        overlap; an empty map's ``rank`` is ½.
    """
    rows = []
    for number, seen in enumerate(looks):
        asks, every, after_relu = seen.asks, range(len(seen.asks)), seen.maps
        for i, j in combinations(every, 2):
            if not _alike(asks[i], asks[j]) or asks[i].answer != asks[j].answer:
                continue
            unlike = [k for k in every if _alike(asks[i], asks[k]) and asks[i].answer != asks[k].answer]
            rank, grounded = _grounded(seen, i, j)
            for name, maps in after_relu.items():
                other = seen.other.get(name, maps)  # an attention does not look at the answer
                likeness = (cosine(maps[i], other[i]) + cosine(maps[j], other[j])) / 2
                both = cosine(maps[i], maps[unlike[0]]) if unlike else float("nan")
                about = (number, asks[i].family, name)
                rows.append((*about, cosine(maps[i], maps[j]), likeness, both, rank[name], grounded[name]))
    columns = ["scene", "family", "map", "other question", "other answer", "both", "rank", "grounded"]
    return pd.DataFrame(rows, columns=columns)


def _alike(a: Ask, b: Ask) -> bool:
    return a.family == b.family and a.thing != b.thing


def _grounded(seen: Look, i: int, j: int) -> tuple[dict[str, float], dict[str, float]]:
    # rank and contrastive grounding of every kind of map; nan where the objects overlap
    masks = [seen.scene.masks[seen.asks[k].thing] for k in (i, j)]
    if (masks[0] & masks[1]).any():
        return (dict.fromkeys(seen.before, float("nan")),) * 2
    maps = torch.stack([m[[i, j]] for m in seen.before.values()])
    shares = torch.stack([map_share(maps.relu(), mask) for mask in masks], -1)  # (maps, question, object)
    own, swapped = shares.diagonal(dim1=1, dim2=2), shares.flip(2).diagonal(dim1=1, dim2=2)
    verdicts = rank_grounding(maps, masks).verdict, contrastive_grounding(own, swapped)
    return tuple(dict(zip(seen.before, v.tolist(), strict=True)) for v in verdicts)
