"""The other-image control: which scene is the other one, and what a map that never looks keeps."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

import qgc
from qgc.explain import explain
from qgc.lab.experiments import other_image
from qgc.lab.protocol.grounding import chosen_pairs
from qgc.measure import rank_grounding
from qgc.scenes import sample

FIRST = 10_003_000


def scene_of(index: int):
    return sample(FIRST + index, "natural")


@pytest.fixture(scope="module")
def found():
    index = next(i for i in range(40) if chosen_pairs(scene_of(i)))
    scene = scene_of(index)
    pair = chosen_pairs(scene)[0]
    return index, scene, pair, other_image.partner(scene_of, index, 400, pair)


def test_the_partner_is_the_next_scene_with_both_objects(found):
    index, scene, pair, other = found
    names = [pair.first.thing, pair.second.thing]

    def shows_both(candidate) -> bool:
        masks = [candidate.masks.get(n, np.zeros((224, 224), bool)) for n in names]
        return (
            set(names) <= set(candidate.colours)
            and min(m.sum() for m in masks) >= 40
            and not (masks[0] & masks[1]).any()
        )

    expected = next(s for s in map(scene_of, range(index + 1, index + 400)) if shows_both(s))
    assert other.to_json() == expected.to_json() != scene.to_json()


def test_no_scene_with_both_objects_is_none(found):
    _, _, pair, _ = found
    without = scene_of(0)._with(things=(), tones={})
    assert other_image.partner(lambda i: without, 0, 5, pair) is None


def test_maps_of_the_other_image_are_scored_on_this_ones_masks(found):
    _, scene, pair, other = found
    vqa = qgc.load("deeper-lstm/natural")
    rows = other_image.other_image_rows(vqa, scene, other, pair, np.random.default_rng(0), (25,))
    table = pd.DataFrame(rows).set_index(["map", "image"])
    both = explain(vqa, other, [pair.first.question, pair.second.question], pair.answer)
    masks = [scene.masks[a.thing] for a in (pair.first, pair.second)]
    maps = torch.stack([e.map(relu=False) for e in both])
    assert table.loc[("Grad-CAM", other_image.ELSEWHERE), "rank"] == rank_grounding(maps, masks).verdict.item()
    assert table.loc[(other_image.PERFECT, other_image.HERE), "rank"] == 1
    assert table.loc[(other_image.PERFECT, other_image.HERE), "object"] == 1


def test_a_map_that_never_looks_has_no_difference(found):
    _, scene, pair, _ = found
    vqa = qgc.load("deeper-lstm/natural")
    rows = other_image.other_image_rows(vqa, scene, scene, pair, np.random.default_rng(0), (25,))
    rows = [{**row, "scene": 0} for row in rows]
    table = other_image.summarise(rows, draws=10)["other image"]
    assert (table.query("image == 'difference'")["estimate"] == 0).all()
    assert set(table["pairs"]) <= {"all", "without backgrounds"}
