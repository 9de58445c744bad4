"""How far the numbers that written files give are from qgc's in float64: `python site check FOLDER`."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from parts import read_part, unpack
from parts.packing import random_scores, ranked_above, unpack_maps

from qgc.explain import EncodedImage, explain, gates
from qgc.explain.rankings import neuron_maps
from qgc.lab.protocol.methods import cumulative_maps
from qgc.measure import map_share, rank_grounding
from qgc.models import zoo

from .export import questions, scenes

DRAWS = 3  # random rankings to compare, besides those by ∂A/∂q, by its opposite and by |g|


def read(folder: Path, name: str) -> dict:
    """The data of a part that ``export`` wrote."""
    return read_part(folder / f"{name}.js")


def differences(folder: Path, place: str, vqa) -> dict[str, np.ndarray]:
    """|number by the files − number by qgc|, for every n, several rankings, and all questions and objects of a scene.

    ``shares``: of a map on an object; a map that only one of the two finds empty counts as the other's whole share.
    ``ranks``: a of :func:`qgc.measure.rank_grounding`, for every two objects.
    """
    scene = scenes()[place]
    view = EncodedImage(vqa, scene)
    own, model = read(folder, place), read(folder, f"{place}.{vqa.name.replace('/', '-')}")
    errors: dict[str, list] = {"shares": [], "ranks": []}
    for ask, asked in zip(questions(scene), model["questions"], strict=True):
        e = explain(vqa, view, ask.question, ask.answer)
        exact = e.g[:, None].double() * neuron_maps(e.M, e.F).double()
        g = unpack(model["rows"][asked["c"][e.answer]]) * unpack(asked["u"])
        P = unpack_maps(read(folder, asked["maps"]), exact.shape[1])
        ours = torch.tensor(g[:, None] * P)
        sensitivity = unpack(asked["sensitivity"])
        for scores in (sensitivity, -sensitivity, np.abs(g), *(random_scores(i, len(g)) for i in range(DRAWS))):
            order = gates.ranking(torch.tensor(scores))
            raw = cumulative_maps(ours, order).numpy()
            truth = cumulative_maps(exact, order).view(len(g), *e.F.shape[2:])
            maps = raw.clip(0)
            for name, where in own["things"].items():
                with np.errstate(invalid="ignore"):
                    shares = maps @ unpack(where["inside"]) / (maps @ unpack(own["anywhere"]))
                there = map_share(truth.relu(), scene.masks[name]).numpy()
                errors["shares"].append(np.abs(np.nan_to_num(shares) - np.nan_to_num(there)))
            for pair in combinations(own["things"], 2):
                a = ranked_above(raw, *(unpack(own["things"][name]["cover"]) for name in pair))
                masks = np.stack([scene.masks[name] for name in pair])
                there = rank_grounding(torch.stack([truth, truth], 1), masks).a_1.numpy()
                errors["ranks"].append(np.abs(a - there))
    return {key: np.concatenate(values) for key, values in errors.items()}


def report(folder: Path) -> None:
    """Print the largest and the mean difference for every model."""
    index = read(folder, "index")
    for name in index["models"]:
        vqa = zoo.load(name)
        every = [differences(folder, place, vqa) for place in index["scenes"]]
        for what in every[0]:
            off = np.concatenate([each[what] for each in every])
            rare = np.quantile(off, 0.999)
            print(f"{name:22} {len(off)} {what}: max {off.max():.4f}, 99.9 % below {rare:.4f}, mean {off.mean():.5f}")
