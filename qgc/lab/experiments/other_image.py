"""The other-image control: how well do maps lie on the objects of a scene that they were not made from?

Objects have usual places, so a question-agnostic map may lie on its object more often than chance. The two questions of
a pair are asked, with the same answer, about *another* scene that holds both objects, and the maps are scored on *this*
scene's masks. Only what a map reaches beyond that is due to this image. A perfect map of the other scene, the coverage
of its own objects, keeps much as well; it is scored beside the others, since a model may well know the usual places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from ...explain import EncodedImage, explain
from ...measure.pairs import cell_cover, object_grounding, rank_grounding, shares
from ...measure.similarity import Pair
from ...measure.stats import intervals
from ...scenes import Scene
from .faithfulness import pair_maps
from .interventions import VISIBLE

PERFECT = "a perfect map"
HERE, ELSEWHERE = "this image", "other image"
TRIED = 600


def partner(scene_of: Callable[[int], Scene], index: int, count: int, pair: Pair) -> Scene | None:
    """The next scene after ``index`` of ``count`` (the first follow the last) in which both objects are to be seen.

    Visible are 40 pixels or more, none of them shared. None if there is no such scene among the next 600.
    """
    names = (pair.first.thing, pair.second.thing)
    for step in range(1, min(TRIED, count - 1) + 1):
        scene = scene_of((index + step) % count)
        if not all(name in scene.colours for name in names):  # quick: nothing is drawn for that
            continue
        masks = [scene.masks.get(name) for name in names]
        if all(m is not None and m.sum() >= VISIBLE for m in masks) and not (masks[0] & masks[1]).any():
            return scene
    return None


@torch.no_grad()
def other_image_rows(
    vqa, scene: Scene, other: Scene, pair: Pair, rng: np.random.Generator, ns: Sequence[int]
) -> list[dict]:
    """A flat dict for every map: its verdicts on this scene's masks, made from this image and from the other.

    ``map``, ``image`` (:data:`HERE`, :data:`ELSEWHERE`), ``rank`` and ``object`` grounding, ``background`` (1 if one of
    the objects is a half of the place). The maps are those of :func:`~.faithfulness.pair_maps`, at the n of ``ns``.
    """
    names, questions = [a.thing for a in (pair.first, pair.second)], [pair.first.question, pair.second.question]
    masks = np.stack([scene.masks[name] for name in names])
    seed, rows = int(rng.integers(2**31)), []
    for label, shown in ((HERE, scene), (ELSEWHERE, other)):
        view = EncodedImage(vqa, shown)
        both = explain(vqa, view, questions, pair.answer)
        maps = pair_maps(*both, np.random.default_rng(seed), ns)
        covered = cell_cover(np.stack([shown.masks[name] for name in names]), tuple(view.F.shape[2:]))
        maps[PERFECT] = covered.view(2, *view.F.shape[2:])
        for name, found in maps.items():
            rank = rank_grounding(found, masks).verdict.item()
            row = {"map": name, "image": label, "rank": rank, "object": object_grounding(shares(found, masks)).item()}
            rows.append(row | {"background": int(any(name in scene.tones for name in names))})
    return rows


def summarise(rows: Sequence[dict], **bootstrapping) -> dict[str, pd.DataFrame]:
    """``"other image"``: by map, image and ``pairs`` ("all", "without backgrounds") the accuracies with intervals; and
    under the image "difference" what a map has on this image beyond the other, pair by pair.
    """
    frame = pd.DataFrame(list(rows))
    wide = frame.pivot_table(index=["scene", "map", "background"], columns="image", values=["rank", "object"])
    less = pd.DataFrame({m: wide[m][HERE] - wide[m][ELSEWHERE] for m in ("rank", "object")}).reset_index()
    every = pd.concat([frame, less.assign(image="difference")])
    parts = {"all": every, "without backgrounds": every[every["background"] == 0]}
    tables = [
        intervals(p, ["map", "image"], ["rank", "object"], **bootstrapping).assign(pairs=k) for k, p in parts.items()
    ]
    return {"other image": pd.concat(tables, ignore_index=True)}
