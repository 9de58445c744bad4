"""Deletion, insertion and ROAD: curves that are known, and what the controls say of models that are known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from qgc.lab.experiments import perturbation, planted_models
from qgc.lab.experiments.perturbation import CURVES, PARTS, area, curve_rows, impute, perturbation_curves, summarise

OBJECTS = ("cake", "dog", "tree")
QUESTIONS = [planted_models.question(name) for name in OBJECTS[:2]]
PLACES = {"cake": (2, 4, 2, 5), "dog": (9, 11, 7, 9), "tree": (11, 13, 11, 13)}  # cells: rows and columns
RNG = np.random.default_rng


def planted_scene() -> planted_models.PlantedScene:
    masks = {name: np.zeros((56, 56), bool) for name in OBJECTS}
    for name, (top, bottom, left, right) in PLACES.items():
        masks[name][4 * top : 4 * bottom, 4 * left : 4 * right] = True
    return planted_models.PlantedScene(masks, {"cake": "white", "dog": "white", "tree": "red"})


SCENE = planted_scene()
CELLS = {name: torch.from_numpy(mask[::4, ::4].copy()).double() for name, mask in SCENE.masks.items()}


@pytest.fixture(scope="module")
def curves():
    """Of a model that sees the queried object alone: its cells first and the other's last, and the other way round."""
    first = CELLS["cake"] - CELLS["dog"]
    maps = {"cake": first, "dog": -first}
    return perturbation_curves(planted_models.asked_object(OBJECTS), SCENE.image, QUESTIONS, "white", maps)


# -- curves -------------------------------------------------------------------------------------------------
def test_the_score_falls_with_the_cells_that_the_model_sees(curves):
    # the cake has 6 cells and the dog 4, of 196; the first parts are 0, 5, 10, …
    whole = torch.tensor([6, 4]) / 196
    for curve in ("deletion", "ROAD"):
        y = curves[curve][..., 0].float()
        torch.testing.assert_close(y[0, :, 0], torch.tensor([6, 1, 0, 0, 0, 0]) / 196)  # the cake's own map
        torch.testing.assert_close(y[1, :, 1], torch.tensor([4, 0, 0, 0, 0, 0]) / 196)
        for k in range(2):  # the other's map does not reach it
            torch.testing.assert_close(y[1 - k, :, k], whole[k].expand(len(PARTS)))
    y = curves["insertion"][..., 0].float()
    torch.testing.assert_close(y[0, :, 0], torch.tensor([0, 5, 6, 6, 6, 6]) / 196)
    torch.testing.assert_close(y[0, :, 1], torch.zeros(len(PARTS)))


def test_probabilities_go_with_the_scores(curves):
    for y in curves.values():
        torch.testing.assert_close(y[..., 1], y[..., 0].sigmoid())  # the other answer's score is 0


def test_an_area_is_the_mean_over_the_parts():
    parts = torch.tensor(PARTS)[:, None, None].expand(-1, 2, 2)
    torch.testing.assert_close(area(torch.ones(len(PARTS), 2, 2)), torch.ones(2, 2))
    torch.testing.assert_close(area(3 * parts), torch.full((2, 2), 3 * PARTS[-1] / 2))


def test_equal_cells_are_taken_in_an_order_that_the_seed_decides():
    model, maps = planted_models.asked_object(OBJECTS), {"even": torch.zeros(14, 14)}
    first, again, other = (
        perturbation_curves(model, SCENE.image, QUESTIONS, "white", maps, seed)["deletion"] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("name", ["random", "object", "centre"])
def test_controls_are_on_the_grid(name):
    masks = [SCENE.masks[n] for n in ("cake", "dog")]
    found = perturbation.controls(masks, (14, 14), RNG(0))[name]
    assert found.shape == (2, 14, 14)
    if name == "object":
        torch.testing.assert_close(found, torch.stack([CELLS["cake"], CELLS["dog"]]))
    elif name == "centre":
        assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[0].flip(0).mT)
        assert {tuple(c) for c in (found[0] == found.max()).nonzero().tolist()} == {(6, 6), (6, 7), (7, 6), (7, 7)}


# -- ROAD -----------------------------------------------------------------------------------------------------
def test_a_plane_is_imputed_exactly():
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    image = torch.stack([x, y, 2 * x - y]).double()
    removed = torch.zeros(7, 7, dtype=torch.bool)
    removed[1:4, 2:6] = removed[5, 1] = True
    torch.testing.assert_close(impute(image, removed, RNG(0), noise=0, shrink=1), image)
    coarse = impute(image, removed, RNG(0), noise=0, shrink=2)
    torch.testing.assert_close(coarse, image)  # enlarging keeps a plane, too


def test_only_removed_pixels_change_and_the_noise_is_as_strong_as_stated():
    image = torch.from_numpy(RNG(0).normal(0, 2, (3, 56, 56)))
    removed = torch.zeros(14, 14, dtype=torch.bool)
    removed[2:9, 3:12] = True
    large = torch.from_numpy(np.kron(removed, np.ones((4, 4))) > 0).expand(3, -1, -1)
    plain, noisy = (impute(image, removed, RNG(1), noise=n) for n in (0, 0.1))
    assert torch.equal(noisy[~large], image[~large]) and (plain[large] != image[large]).all()
    assert abs((noisy - plain)[large].std() / image.std() - 0.1) < 0.005
    assert torch.equal(impute(image, removed & False, RNG(1)), image)


def test_the_smaller_system_imputes_nearly_the_same():
    smooth = torch.nn.functional.interpolate(torch.from_numpy(RNG(0).random((1, 3, 5, 5))), (56, 56), mode="bicubic")[0]
    removed = torch.from_numpy(RNG(1).random((14, 14)) < 0.3)
    exact, coarse = (impute(smooth, removed, RNG(0), noise=0, shrink=n) for n in (1, 4))
    assert (exact - coarse).std() < 0.2 * (exact - smooth.mean((1, 2), keepdim=True)).std()


# -- many scenes ------------------------------------------------------------------------------------------
def rows_of(model) -> pd.DataFrame:
    maps = {
        "found": torch.stack([CELLS["cake"], CELLS["dog"]]),
        "both": (CELLS["cake"] + CELLS["dog"]).expand(2, -1, -1),
    }
    return pd.DataFrame(curve_rows(model, SCENE, SCENE.pair("cake", "dog"), maps))


def test_rows_hold_every_map_and_control_under_both_questions():
    rows = rows_of(planted_models.asked_object(OBJECTS))
    assert len(rows) == 5 * len(CURVES) * 2 * 2 and not rows.duplicated(["map", "curve", "question", "asked"]).any()
    whole = rows[rows["map"] == "object"].set_index(["curve", "asked", "question"])["score"]
    same = rows[rows["map"] == "found"].set_index(["curve", "asked", "question"])["score"]
    assert whole["deletion"]["own"].max() < whole["deletion"]["other"].min() and (whole <= 0).all()
    own = whole.xs("own", level="asked") - same.xs("own", level="asked")
    assert (own.abs() < 0.001).all()  # but for the order of equal cells


def test_a_map_is_credited_for_its_own_question_and_a_blind_model_for_none():
    def less(model) -> pd.DataFrame:
        table = summarise([*rows_of(model).to_dict("records")], draws=10)["curves"]
        return table[(table["asked"] == "own less other") & (table["measure"] == "score")].set_index(["map", "curve"])

    seen, blind = (
        less(make(OBJECTS))["estimate"] for make in (planted_models.asked_object, planted_models.all_of_the_color)
    )
    for curve, sign in (("deletion", -1), ("ROAD", -1), ("insertion", 1)):
        assert sign * seen["object"][curve] > 0 and sign * seen["found"][curve] > 0
    assert (seen["centre"].abs() < 0.01).all()  # but for the order of equal cells
    # what is asked changes nothing: any map does as well under either question, its own object's too
    assert (blind.loc[["centre", "both"]].abs() < 0.01).all()


def test_of_the_other_question_is_seen_that_a_blind_model_has_no_own():
    rows = rows_of(planted_models.all_of_the_color(OBJECTS)).set_index(["map", "curve", "asked", "question"])["score"]
    own, other = rows.xs("own", level="asked"), rows.xs("other", level="asked")
    swapped = other.rename(index={0: 1, 1: 0}, level="question")  # the same map, asked the other question
    assert np.allclose(own, swapped.reindex(own.index))
