"""Every measure and every method on maps and models of which the right verdict is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import torch

import qgc
from qgc.explain import contrast
from qgc.lab.experiments import planted_models as models
from qgc.lab.experiments.interventions import Change, intervention_rows, interventional_grounding
from qgc.lab.experiments.planted import (
    CONTRASTS,
    FOLLOWS,
    GROWS,
    IGNORES,
    PLANTED,
    PRIOR,
    RANDOM,
    REORDERED,
    VERDICTS,
    Objects,
    classical,
    planted_maps,
    surrogate_of,
    verdict_table,
)
from qgc.lab.experiments.planted_models import PlantedScene
from qgc.lab.protocol.methods import GATE_FREE, RankingInputs, base_maps
from qgc.measure import (
    MEASURES,
    cga,
    no_place_surrogate,
    object_grounding,
    odds_grounding,
    rank_grounding,
    shares,
)
from qgc.scenes import FIRST_SEED, sample

GRID = (14, 14)
AREAS = [p for p in itertools.product((0.01, 0.03, 0.1, 0.3, 0.6), repeat=2) if sum(p) <= 0.9]


def rectangles(areas: tuple[float, float], seed: int, side: int = 112) -> np.ndarray:
    """Masks (2, H, W) of two rectangles that share no pixel and cover these parts of the image, somewhere."""
    rng = np.random.default_rng([seed, *(int(1000 * a) for a in areas)])
    masks, edge = np.zeros((2, side, side), bool), 0
    room = 1 - sum(areas)  # the first one is left of the second one, each in a strip of its own, or the other way round
    for k in rng.permutation(2):
        width = int(side * (areas[k] + room / 2))
        w = max(round(side * areas[k] / 0.95), min(width, round(side * math.sqrt(areas[k]))))
        h = min(side, round(areas[k] * side * side / w))
        x, y = edge + rng.integers(width - w + 1), rng.integers(side - h + 1)
        masks[k, y : y + h, x : x + w] = True
        edge += width
    assert not masks.all(0).any() and np.allclose(masks.mean((1, 2)), areas, rtol=0.15)
    return masks


def made(areas: tuple[float, float] = (0.2, 0.03), seed: int = 0) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    masks = rectangles(areas, seed)
    return planted_maps(masks, GRID, np.random.default_rng(seed)), masks


# -- rank grounding is right, whatever the objects' size ----------------------------------------------------
@pytest.mark.parametrize("areas", AREAS)
def test_rank_grounding_is_one_for_the_asked_object_and_zero_for_the_other(areas):
    maps, masks = made(areas)
    for name in ("asked object", "asked object, all negative"):
        assert rank_grounding(maps[name], masks).verdict == 1, name
    for name in ("other object", "asked object, sign flipped"):
        assert rank_grounding(maps[name], masks).verdict == 0, name


@pytest.mark.parametrize("areas", AREAS)
def test_where_one_map_alone_is_right_the_pair_is_not_wrong(areas):
    """1, or a tie where the map that ignores its question has nothing of object 2 above object 1 to begin with."""
    maps, masks = made(areas)
    found = rank_grounding(maps["only question 1's map is right"], masks)
    assert found.verdict == (1 if found.a_1 - found.a_2 > 1e-9 else 0.5) and found.a_1 > 0.95
    assert found.verdict == 1 or found.a_2.item() == pytest.approx(1)


@pytest.mark.parametrize("areas", AREAS)
def test_maps_that_ignore_the_question_have_exactly_one_half(areas):
    exact = [
        n for n, p in PLANTED.items()
        if p.exact and p.right == 0.5 and p.normalise == "no contrast" and p.group != REORDERED
    ]  # fmt: skip
    assert {"gain with area", "offset with area", "power with area", "larger object", "empty"} <= set(exact)
    for seed in range(4):
        maps, masks = made(areas, seed)
        for name in exact:
            found = rank_grounding(maps[name], masks)
            assert found.verdict == 0.5 and found.a_1 == found.a_2, name


def test_a_map_that_changes_the_order_of_its_cells_with_what_is_asked_fools_rank_grounding_too():
    """What the control of absent objects is for (:mod:`qgc.lab.experiments.absent`)."""
    verdicts = {name: [] for name, planted in PLANTED.items() if planted.group == REORDERED}
    for seed, areas in enumerate([(0.3, 0.03), (0.03, 0.3)] * 10):
        maps, masks = made(areas, seed)
        for name, found in verdicts.items():
            found.append(float(rank_grounding(maps[name], masks).verdict))
    assert set(verdicts) == {"blur with area", "sign by area"}
    assert all(abs(np.mean(found) - 0.5) > 0.2 for found in verdicts.values()), verdicts


TRANSFORMS = {
    "gain": lambda L, s: (0.01 + 50 * s) * L,
    "offset": lambda L, s: L + 3 * s - 1,
    "sharpening": lambda L, s: L.sign() * L.abs() ** (0.3 + 3 * s),
    "exponential": lambda L, s: (2 * s * L).exp(),
    "all of them": lambda L, s: s * (L - L.min() + 0.1) ** (1 + s) - s,
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_no_increasing_transform_of_a_question_decides_the_rank_verdict(transform):
    for seed, areas in enumerate([(0.01, 0.6), (0.6, 0.01), (0.1, 0.3), (0.03, 0.03)]):
        masks = rectangles(areas, seed)
        L = torch.randn(GRID, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        # it grows with the queried object's area
        maps = torch.stack([TRANSFORMS[transform](L, area) for area in areas])
        found = rank_grounding(maps, masks)
        assert found.verdict == 0.5 and found.a_1 == found.a_2
        assert found.a_1 == pytest.approx(rank_grounding(torch.stack([L, L]), masks).a_1)
    assert rank_grounding(torch.stack([L, -L]), masks).verdict != 0.5  # a decreasing one does


NOISY = [n for n, p in PLANTED.items() if not (p.exact or p.surrogate or n.startswith(("raw", "usual place")))]


@pytest.mark.parametrize("name", NOISY)
def test_noise_gets_one_half_on_average(name):
    """3 standard errors of 150 coins are 0.12. (No right value of a raw contrast is claimed, nor of a surrogate.)"""
    verdicts = []
    for seed in range(150):
        maps, masks = made((0.15, 0.05)[:: 1 - 2 * (seed % 2)], seed)
        verdicts.append(rank_grounding(maps[name], masks).verdict.item())
    assert np.mean(verdicts) == pytest.approx(0.5, abs=0.12) and 0.5 not in verdicts


# -- contrasts of maps that ignore the question ------------------------------------------------------------
@pytest.mark.parametrize("areas", AREAS)
def test_a_normalised_contrast_of_a_gain_is_empty(areas):
    maps, masks = made(areas)
    for name in ("L1, gain with area", "L2, gain with area"):
        assert maps[name].eq(0).all()
        assert all(verdict(maps[name], masks) == 0.5 for verdict in VERDICTS.values())


@pytest.mark.parametrize("areas", [(0.3, 0.03), (0.03, 0.3)])
def test_the_raw_contrast_of_a_gain_wins_or_loses_by_size_alone(areas):
    masks = rectangles(areas, 0)
    o = Objects.make(masks, GRID, np.random.default_rng(0))
    for gains, expected in ((o.size, 1), (1 - o.size, 0)):  # the larger object's question has the larger gain, or less
        first, second = (g * o.ignorant for g in gains)
        maps = torch.stack([contrast(first, second), contrast(second, first)])
        assert maps[0].equal(-maps[1]) and maps.ne(0).any()
        assert cga(shares(maps, masks)) == expected
        found, rank = rank_grounding(maps, masks), rank_grounding(torch.stack([first, second]), masks)
        assert found.a_1 == pytest.approx(1 - found.a_2) and found.verdict in (0, 1) and rank.verdict == 0.5


@pytest.mark.parametrize("name", ["raw, gain with area", "L2, power with area"])
def test_the_surrogate_of_such_a_contrast_scores_the_same(name):
    """A question-agnostic pair has one order of cells already, so that its surrogate is the pair itself."""
    for seed, areas in enumerate(AREAS):
        maps, masks = made(areas, seed)
        torch.testing.assert_close(maps[surrogate_of(name)], maps[name], rtol=0, atol=1e-12)
        for measure, verdict in VERDICTS.items():
            assert verdict(maps[surrogate_of(name)], masks) == verdict(maps[name], masks), measure


# -- edges --------------------------------------------------------------------------------------------------
EDGES = {
    # Before the ReLU the order of the cells says the contrary; after it both maps are empty, so that shares say ½.
    "asked object, sign flipped": {"RGA": 0, "difference AUC": 0, "rest": 0.5},
    # No cell is positive: a person sees nothing, so that shares say ½; the order of the cells is right all the same.
    "asked object, all negative": {"RGA": 1, "difference AUC": 1, "rest": 0.5},
    # Nothing at all is known.
    "empty": {"rest": 0.5},
    # Map 1 follows its question, map 2 marks both objects. The pair's verdict is that the two differ in the right
    # direction; *which* question is grounded takes a reference map. The pointing game is won by the map that marks
    # both, on either object, so that it may tie.
    "only question 1's map is right": {"rest": 1, "pointing game": (0.5, 1)},
    # The two are the same map: nothing can be told, however well it lies.
    "both objects": {"rest": 0.5},
    "larger object": {"rest": 0.5},
    "fixed place": {"rest": 0.5},
}


@pytest.mark.parametrize("name", EDGES)
def test_verdicts_at_the_edges(name):
    expected = EDGES[name]
    for seed, areas in enumerate([(0.2, 0.03), (0.05, 0.3)]):
        maps, masks = made(areas, seed)
        for measure, verdict in VERDICTS.items():
            allowed = np.atleast_1d(expected.get(measure, expected["rest"]))
            assert verdict(maps[name], masks).item() in allowed, (measure, areas)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_classical_verdict_is_the_comparison_of_four_values(measure):
    maps, masks = made((0.2, 0.05), 3)
    seen = [m[2::4, 2::4] for m in masks]
    for name in ("noise alone", "power with area", "other object"):
        m = [[MEASURES[measure](L.relu(), S).nan_to_num(0).item() for S in seen] for L in maps[name]]
        expected = (1 + np.sign(round(m[0][0] + m[1][1] - m[0][1] - m[1][0], 9))) / 2
        assert classical(measure, maps[name], masks).item() == expected, name


# -- which measures can be fooled, on the scenes' masks ------------------------------------------------------
@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return verdict_table([sample(FIRST_SEED["validation"] + i, "natural") for i in range(60)])


def wide(table: pd.DataFrame, column: str = "value") -> pd.DataFrame:
    return table.pivot(index="planted", columns="measure", values=column)


def test_every_measure_is_right_where_nothing_deceives_it(table):
    easy = table[table["planted"].isin(["asked object", "other object", "both objects", "fixed place", "empty"])]
    assert (easy["value"] - easy["right"]).abs().max() < 0.02


def test_rank_grounding_is_fooled_by_no_map_but_by_usual_places(table):
    rga = table[(table["measure"] == "RGA") & table["group"].isin([FOLLOWS, IGNORES, GROWS, RANDOM, PRIOR])].set_index(
        "planted"
    )
    known = rga.drop(index="usual place of the asked object")
    exact = known.index[[PLANTED[n].exact for n in known.index]]
    assert (rga["value"] == rga["right"])[exact].all()
    assert {n for n, p in PLANTED.items() if p.exact and p.group == CONTRASTS and not p.surrogate} == {
        f"{norm} with area" for norm in ("raw, gain", "L1, gain", "L2, gain", "L2, power")
    }
    noise = known.drop(index=exact)["value"]
    assert len(noise) == 4 and (noise - 0.5).abs().max() < 0.17  # 3 standard errors of 80 coins
    assert rga.loc["usual place of the asked object", "value"] > 0.65  # hence the other-image control


def test_what_fools_the_other_measures(table):
    value, decided = wide(table), wide(table, "decided")
    # A gain alone cancels in shares, but decides every difference of maps.
    assert (value.loc["gain with area", ["CGA", "OGA", "odds"]] == 0.5).all()
    assert decided.loc["gain with area", "difference AUC"] > 0.9 and value.loc["gain with area", "difference AUC"] > 0.6
    # What is more concentrated, or more diffuse, with the queried object's area.
    assert value.loc["power with area", "CGA"] > 0.8 and value.loc["offset with area", "CGA"] < 0.15
    assert value.loc["power with area", "OGA"] > 0.6 and value.loc["power with area", "odds"] > 0.6
    assert value.loc["offset with area", "odds"] < 0.4
    # Contrasts of maps that ignore the question fool rank grounding as well; the surrogate has the same.
    for name in ("raw, gain with area", "L2, power with area"):
        assert (
            decided.loc[name, "RGA"] == 1
            and value.loc[name, "RGA"] > 0.55
            and value.loc[name].equals(value.loc[surrogate_of(name)])
        )
    assert value.loc["raw, noise, then gain", "CGA"] > 0.8 < value.loc[surrogate_of("raw, noise, then gain"), "CGA"]
    # Two of the raw contrast's maps are each other's negative: one is empty after the ReLU, and shares are a tie.
    assert value.loc["raw, gain with area", "OGA"] == 0.5


def test_the_status_says_what_the_numbers_say(table):
    status = wide(table, "status")
    assert status.loc["power with area", "CGA"] == "fooled" and status.loc["power with area", "RGA"] == "right"
    assert status.loc["offset", "RGA"] == "right" and status.loc["offset", "CGA"] == "on average"  # a coin decides
    assert status.loc["asked object, sign flipped", "OGA"] == "blind"
    assert status.loc[[surrogate_of("raw, gain with area")]].eq("").all(axis=None)


def test_a_table_is_the_same_each_time(table):
    few = [sample(FIRST_SEED["validation"] + i, "natural") for i in range(4)]
    assert verdict_table(few).equals(verdict_table(few))
    assert set(table["measure"]) == set(VERDICTS) and len(table) == len(VERDICTS) * len(PLANTED)


# -- planted models: methods -------------------------------------------------------------------------------
NAMES = ("wall", "cup", "ball")


@pytest.fixture(scope="module")
def scene() -> PlantedScene:
    """A large white wall on the left, a small white cup and a white ball on the right; no two share a row of pixels."""
    masks = np.zeros((3, 56, 56), bool)
    masks[0, 22:56, 1:25], masks[1, 2:10, 34:42], masks[2, 12:20, 34:46] = True, True, True
    return PlantedScene(dict(zip(NAMES, masks, strict=True)), dict.fromkeys(NAMES, "white"))


def areas(scene: PlantedScene) -> list[float]:
    return [float(m.mean()) for m in scene.masks.values()]


def model(name: str, scene: PlantedScene) -> models.PlantedVQA:
    gains = {
        "gain only": [1.0, 3.0, 2.0],
        "gain with area": areas(scene),
        "gain against area": [1 / a for a in areas(scene)],
    }
    made = {
        "asked object": models.asked_object,
        "other object": models.other_object,
        "all of the color": models.all_of_the_color,
        "larger object": models.LargerObject,
        "fixed place": models.FixedPlace,
        "noise": models.noise,
    }
    return models.gain_only(NAMES, gains[name]) if name in gains else made[name](NAMES)


def explained(vqa, scene: PlantedScene):
    pair = scene.pair("wall", "cup")
    both = qgc.explain(vqa, scene, [pair.first.question, pair.second.question], answer="white")
    return both, [scene.masks["wall"], scene.masks["cup"]]


def method(name: str, vqa, scene: PlantedScene) -> torch.Tensor:
    both, _ = explained(vqa, scene)
    first, second = (RankingInputs(e) for e in both)
    mean_u = (first.u + second.u) / 2
    free = GATE_FREE[name]
    one, two, mean = base_maps(first, second, mean_u, vqa)[free.base]
    return torch.stack([free.method(one, two, mean), free.method(two, one, mean)]).view(2, *GRID)


RIGHT = {
    "asked object": 1,
    "other object": 0,
    "all of the color": 0.5,
    "gain only": 0.5,
    "gain with area": 0.5,
    "larger object": 0.5,
    "fixed place": 0.5,
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("way", ["Grad-CAM", "HiResCAM"])
def test_maps_of_a_planted_model_have_its_right_value(name, way, scene):
    maps = method(way, model(name, scene), scene)
    _, masks = explained(model(name, scene), scene)
    R = shares(maps, masks)
    assert rank_grounding(maps, masks).verdict == object_grounding(R) == odds_grounding(R) == cga(R) == RIGHT[name]


@pytest.mark.parametrize("normalise", [None, "l1", "l2"])
@pytest.mark.parametrize("name", RIGHT)
def test_contrasts_of_a_planted_model(name, normalise, scene):
    both, masks = explained(model(name, scene), scene)
    maps = torch.stack([contrast(*both, normalise), contrast(*both[::-1], normalise)])
    expected = RIGHT[name]
    if normalise is None and name.startswith("gain"):
        # Never looks at a place, and its raw contrast is called well grounded where the larger object has the larger
        # gain, badly grounded where the smaller one has; only the surrogate tells, which scores the same.
        expected = {"gain with area": 1, "gain only": 0}[name]
        made = no_place_surrogate(*(e.map(relu=False) for e in both), contrast)
        assert rank_grounding(made, masks).verdict == cga(shares(made, masks)) == expected
    elif expected == 0.5:
        assert maps.eq(0).all()
    assert rank_grounding(maps, masks).verdict == cga(shares(maps, masks)) == expected


def test_noise_has_the_right_value_on_average_alone(scene):
    _, masks = explained(models.noise(NAMES), scene)
    verdicts = []
    for seed in range(100):
        both, _ = explained(models.noise(NAMES, seed), scene)
        verdicts.append(rank_grounding(torch.stack([e.map(relu=False) for e in both]), masks).verdict.item())
    assert np.mean(verdicts) == pytest.approx(0.5, abs=0.15) and {0, 1} <= set(verdicts)


def test_the_gate_goes_by_its_ranking(scene):
    """n = J is Grad-CAM. One neuron, chosen by |g|, is the queried object's; by ∂A/∂q it is the larger object's.

    u is linear in q here, so ∂A_j/∂q = v_j T_j: the rows' lengths are v, the same for both questions.
    """
    (wall, cup), _ = explained(model("asked object", scene), scene)
    cover = cup.F[0, 1] / cup.F[0, 1].numel()
    torch.testing.assert_close(cup.map(3), cup.map(relu=False))
    torch.testing.assert_close(cup.map(), cover)
    assert wall.order.equal(cup.order) and wall.order[0] == NAMES.index("wall")
    assert wall.map(1).equal(wall.map()) and cup.map(1).eq(0).all()
    by_g = qgc.explain(cup.vqa, cup.view, cup.question, "white", rank=cup.g.abs())
    torch.testing.assert_close(by_g.map(1), cover)


def test_grad_cam_loses_a_fixed_place_and_hirescam_keeps_it(scene):
    vqa = model("fixed place", scene)
    cam, hires = method("Grad-CAM", vqa, scene), method("HiResCAM", vqa, scene)
    on_cup = [shares(m, [scene.masks["wall"], scene.masks["cup"]])[0, 1].item() for m in (cam, hires)]
    assert on_cup[0] > 0.03 and on_cup[1] == 0  # the cup is on the right, where the model does not look


# -- planted models: interventions --------------------------------------------------------------------------
def effects(vqa, scene: PlantedScene, kind: str, color: str = "red") -> np.ndarray:
    """D (2, 2): |change of question i's answer score| when object j is altered."""
    altered = {
        "remove": lambda n: scene.remove(n),
        "recolour": lambda n: scene.recolour(n, color),
        "move": lambda n: scene.move(n, 28),
    }[kind]
    pair = scene.pair("wall", "cup")
    changed = [Change(kind, n, altered(n), scene.masks[n]) for n in ("wall", "cup")]
    rows = pd.DataFrame(intervention_rows(vqa, scene, [pair], changed, ns=[1]))
    return rows.pivot(index="question", columns="thing", values="delta")[["wall", "cup"]].abs().to_numpy().copy()


@pytest.mark.parametrize("kind", ["remove", "recolour"])
@pytest.mark.parametrize(
    ("name", "verdict", "by_sums"),
    [
        ("asked object", 1, 1),  # D is diagonal
        ("other object", 0, 0),  # D is zero on the diagonal
        ("all of the color", 0.5, 0.5),  # both rows of D are equal
        ("larger object", 0.5, 0.5),  # D_i2 = 0: two hard zeros
        ("fixed place", 0.5, 0.5),  # so here, since the cup is where it does not look
        # D_ij = g_i |S_j|: the products tie exactly. Sums, as protocol 1 has them, are decided by gain and size.
        ("gain only", 0.5, 0),
        ("gain with area", 0.5, 1),
        ("gain against area", 0.5, 0),
    ],
)
def test_interventions_say_what_a_planted_model_looks_at(name, kind, verdict, by_sums, scene):
    D = effects(model(name, scene), scene, kind)
    assert D.any() and odds_grounding(D) == verdict
    assert interventional_grounding(D.diagonal(), np.fliplr(D).diagonal()) == by_sums


def test_interventions_on_the_asked_object_alone_change_its_score_by_its_area(scene):
    D = effects(model("asked object", scene), scene, "remove")
    np.testing.assert_allclose(D, np.diag(areas(scene)[:2]), atol=1e-12)
    assert D[0, 0] * D[1, 1] > D[0, 1] * D[1, 0]
    untouched = effects(model("asked object", scene), scene, "recolour", color="white")
    assert not untouched.any() and odds_grounding(untouched) == 0.5  # a null alteration


def test_a_move_is_seen_by_the_model_that_looks_at_a_place_alone(scene):
    assert not effects(model("asked object", scene), scene, "move").any()  # the mean over the cells knows no place
    D = effects(model("fixed place", scene), scene, "move")
    assert D.min() > 0 and odds_grounding(D) == 0.5  # wall and cup change halves, whichever is asked about


def test_noise_is_called_right_by_interventions_in_half_of_the_cases(scene):
    verdicts = [odds_grounding(effects(models.noise(NAMES, seed), scene, "remove")).item() for seed in range(100)]
    assert np.mean(verdicts) == pytest.approx(0.5, abs=0.15)
