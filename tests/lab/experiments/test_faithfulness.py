"""Faithfulness: verdicts and κ by hand, models whose every answer is known, and the shipped one against loops."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from looker import Looker

import qgc
from qgc.explain import EncodedImage, contrast, explain, gradcam
from qgc.lab.experiments import faithfulness
from qgc.lab.experiments.effects import agreement, effect_size, kappa, model_effects, odds_verdict
from qgc.lab.protocol.grounding import chosen_pairs
from qgc.measure import same_answer_pairs
from qgc.scenes import Scene, sample
from qgc.scenes.situations import situation

SEED = 10_004_500  # validation scenes


# -- by hand ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "D, right",
    [
        ([[2, 1], [1, 2]], 1),
        ([[1, 2], [2, 1]], 0),
        ([[3, 5], [3, 5]], 0.5),  # ignores the question
        ([[3, 5], [21, 35]], 0.5),  # and has a gain: I would be 0 or 1
        ([[9, 1], [8, 1]], 1),  # the large object moves both scores; but relatively less that of the other question
        ([[9, 1], [10, 1]], 0),
        ([[2, 0], [1, 1]], 1),
        ([[0, 0], [1, 1]], 0.5),  # the first question's score does not move
        ([[0, 1], [0, 1]], 0.5),
        ([[0, 0], [0, 0]], 0.5),
        ([[1, 1], [1, 1 + 1e-6]], 0.5),  # rounding
        ([[np.nan, 1], [1, 1]], np.nan),
    ],
)
def test_the_models_verdict_by_hand(D, right):
    assert odds_verdict(D) == pytest.approx(right, nan_ok=True)
    if right != 0.5:
        assert odds_verdict(np.array(D)[::-1]) == pytest.approx(1 - right, nan_ok=True)


def test_effect_size_by_hand():
    assert effect_size([[4, 1], [1, 4]]) == pytest.approx(0.6) and effect_size([[1, 4], [4, 1]]) == pytest.approx(-0.6)
    assert effect_size([[28, 9], [1, 36 / 7]]) == pytest.approx((12 - 3) / (12 + 3))
    assert effect_size([[3, 5], [21, 35]]) == pytest.approx(0) and effect_size([[0, 1], [0, 1]]) == 0
    assert effect_size([[2, 0], [1, 1]]) == 1 and np.isnan(effect_size([[np.nan, 1], [1, 1]]))


def test_gain_and_size_change_no_verdict():
    rng = np.random.default_rng(0)
    for D in rng.exponential(size=(50, 2, 2)):
        for k in range(2):
            louder, larger = D.copy(), D.copy()
            louder[k] *= 7
            larger[:, k] *= 9
            assert odds_verdict(D) == odds_verdict(louder) == odds_verdict(larger)
            assert effect_size(D) == pytest.approx(effect_size(louder)) == pytest.approx(effect_size(larger))
    # gain also comes with the noise floor, from the changes of the score on
    deltas = rng.normal(size=(2, 9)) + 1
    altered = ["", "", "", "a", "a", "b", "b", "c", "c"]
    plain = model_effects(deltas, altered, ("a", "b"))
    louder = model_effects(deltas * [[7], [1]], altered, ("a", "b"))
    assert plain.verdict == louder.verdict and plain.half_verdicts == louder.half_verdicts
    np.testing.assert_allclose(plain.normalised, louder.normalised)


def test_effects_by_hand():
    #          null       a            b         c
    deltas = [[1, -1, 0.4, -4, 2.8, 1, 1, 0.5, 6],
              [0, 0, 0, 1, 1, -2, 4, 0, 0]]  # fmt: skip
    altered = ["", "", "a", "a", "a", "b", "b", "b", "c"]
    found = model_effects(deltas, altered, ("a", "b"))
    np.testing.assert_allclose(found.floor, [1, 0])
    np.testing.assert_allclose(found.raw, [[2.4, 2.5 / 3], [2 / 3, 2]])
    np.testing.assert_allclose(found.D, [[1.4, 0], [2 / 3, 2]])  # 2.5 / 3 is less than the floor
    np.testing.assert_allclose(found.normalised, [[1.4 / 6.4, 0], [0.25, 0.75]])  # of 1.4 + 0 + 5, and 2/3 + 2 + 0
    np.testing.assert_allclose(found.halves[0], [[(0.4 + 2.8) / 2 - 1, 0], [0.5, 1]])
    np.testing.assert_allclose(found.halves[1], [[3, 0], [1, 4]])
    np.testing.assert_allclose(found.first, [[0.4, 1], [0, 2]])
    assert found.verdict == 1 and found.half_verdicts == (1, 1) and found.sure


def test_halves_that_disagree_are_not_sure():
    altered = ["", "a", "a", "b", "b"]
    #                              even: 5 1 | 1 5, odd: 1 2 | 2 1
    found = model_effects([[0, 5, 1, 1, 2], [0, 1, 2, 5, 1]], altered, ("a", "b"))
    assert found.verdict == 1 and found.half_verdicts == (1, 0) and not found.sure
    tie = model_effects([[0, 1, 1, 1, 1], [0, 1, 1, 1, 1]], altered, ("a", "b"))
    assert tie.verdict == 0.5 and tie.half_verdicts == (0.5, 0.5) and not tie.sure
    for bad in (["x", "a", "a", "b", "b"], ["", "a", "a", "a", "b"]):
        with pytest.raises(ValueError, match="null alterations"):
            model_effects(np.zeros((2, 5)), bad, ("a", "b"))


def test_nothing_above_the_floor_has_no_shares():
    found = model_effects([[2, 1, 1, 1, 1], [0, 1, 2, 3, 4]], ["", "a", "a", "b", "b"], ("a", "b"))
    assert np.isnan(found.normalised[0]).all() and found.verdict == 0.5
    row = faithfulness._effects_row(found)
    assert row["object_1"] == row["object_2"] == 0.5 and row["sure"] == 0


def test_kappa_by_hand():
    # agree on 35 of 50, 25 are due: (0.7 − 0.5) / (1 − 0.5)
    assert kappa([[20, 5], [10, 15]]) == pytest.approx(0.4)
    assert kappa([[3, 0], [0, 4]]) == 1 and kappa([[0, 3], [3, 0]]) == -1
    assert kappa([[0, 0], [2, 7]]) == 0  # one of the verdicts never changes
    assert np.isnan(kappa([[0, 0], [0, 9]])) and np.isnan(kappa(np.zeros((2, 2))))
    np.testing.assert_allclose(kappa([[[20, 5], [10, 15]], [[3, 0], [0, 4]]]), [0.4, 1])


def test_independent_verdicts_that_are_mostly_right_agree_but_have_no_kappa():
    table = 10_000 * np.outer([0.02, 0.98], [0.02, 0.98])
    assert np.trace(table) / table.sum() == pytest.approx(0.9608) and kappa(table) == pytest.approx(0, abs=1e-12)
    rng = np.random.default_rng(1)
    drawn = agreement(*(rng.random((2, 20_000)) < 0.98))
    assert np.trace(drawn) / drawn.sum() == pytest.approx(0.96, abs=0.01) and abs(kappa(drawn)) < 0.03


def test_agreement_by_hand():
    first, second = [1, 1, 0, 0.5, 1, np.nan, 0], [1, 0, 1, 1, 0.5, 1, 0]
    assert agreement(first, second).tolist() == [[1, 1], [1, 1]]
    weights = [[1, 1, 1, 9, 9, 9, 1], [2, 0, 0, 1, 1, 1, 3]]
    assert agreement(first, second, weights).tolist() == [[[1, 1], [1, 1]], [[3, 0], [0, 2]]]


def test_summary_by_hand():
    def row(scene, areas, verdict, sure, objects, rank, background=0):
        return {
            "scene": scene, "pair": 0, "area_1": areas[0], "area_2": areas[1], "background_1": background,
            "background_2": 0, "verdict": verdict, "verdict_raw": verdict, "effect": 0.1, "sure": sure,
            "half_1": verdict, "half_2": verdict if sure else 1 - verdict,
            "object_1": objects[0], "object_2": objects[1], "I": 1, "m/rank": rank, "m/object": 0.5, "m/odds": 0.5,
        }  # fmt: skip

    rows = [
        row(1, (100, 300), 1, 1, (1, 0), 1), row(2, (300, 100), 0, 1, (1, 0), 0),
        row(3, (300, 100), 1, 1, (1, 1), 0, background=1), row(4, (10, 100), 0, 0, (0, 0), 1),
        row(5, (10, 100), 0, 1, (0, 1), 0.5),
    ]  # fmt: skip
    found = faithfulness.summarise(rows, draws=50)
    model = found["model"].set_index(["pairs", "measure"])["estimate"]
    assert model["all", "verdict"] == 0.5 and model["all", "sure"] == 0.8 and model["all", "verdict of all"] == 0.4
    assert model["all", "larger"] == 0.6 and model["all", "smaller"] == 0.4 and model["all", "mean of both"] == 0.5
    assert model["all", "both right"] == 0.2 and model["without backgrounds", "both right"] == 0
    assert model["all", "κ of halves"] == pytest.approx((4 / 5 - 12 / 25) / (1 - 12 / 25))
    faithful = found["faithful"].set_index(["map", "by", "pairs", "stratum"])
    one = faithful.loc["m", "rank", "all", "2–5"]
    assert one[["both", "map only", "model only", "neither", "ties"]].tolist() == [1, 0, 1, 1, 0]
    assert one["agreement"] == pytest.approx(2 / 3) and one["kappa"] == pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9))
    assert one["low"] <= one["kappa"] <= one["high"]
    assert faithful.loc["m", "rank", "all", "> 5"]["ties"] == 1
    assert np.isnan(faithful.loc["m", "rank", "all", "< 2"]["kappa"])
    plausible = found["plausible"].set_index(["pairs", "map", "measure"])["estimate"]
    assert plausible["all", "m", "rank"] == 0.5 and plausible["sure", "m", "rank"] == 0.375
    assert all(table.index.is_unique for table in found.values())


# -- alterations ------------------------------------------------------------------------------------------
def seeds_with_pairs(count: int, distribution: str = "natural"):
    scenes = (sample(SEED + i, distribution) for i in itertools.count())
    return itertools.islice(((s, p) for s in scenes if (p := chosen_pairs(s))), count)


def test_alterations_of_a_scene(monkeypatch):
    colours: list[tuple[str, str]] = []
    plain = Scene.recolour
    monkeypatch.setattr(Scene, "recolour", lambda s, n, c: colours.append((n, c)) or plain(s, n, c))
    for scene, pairs in seeds_with_pairs(3):
        colours.clear()
        found = faithfulness.alterations(scene, pairs)
        queried = {a.thing for p in pairs for a in (p.first, p.second)}
        kinds = pd.Series([(a.thing, a.kind) for a in found]).value_counts().to_dict()
        assert kinds["", "null"] == faithfulness.NULLS
        for name in queried:
            assert kinds[name, "recolour"] == 3 and kinds.get((name, "move"), 0) <= 1 >= kinds.get((name, "remove"), 0)
        others = {t for t, _ in kinds} - queried - {""}
        assert others and all(
            kinds.get((o, k), 0) <= (k != "move") for o in others for k in ("recolour", "remove", "move")
        )
        assert len(set(colours)) == len(colours)
        assert all(c != scene.colours[n] and c not in {p.answer for p in pairs} for n, c in colours)
        again = faithfulness.alterations(scene, pairs)
        assert all((a.image == b.image).all() and a.kind == b.kind for a, b in zip(found, again, strict=True))
        assert all((a.image != np.asarray(scene.image)).any() for a in found)


def test_what_carries_a_queried_object_stays():
    scene = situation("birthday")
    assert any(t.on == "table" for t in scene.things)
    found = faithfulness.alterations(scene, same_answer_pairs([scene]))
    assert {a.kind for a in found if a.thing == "table"} <= {"recolour"} < {a.kind for a in found if a.thing == "cake"}


@pytest.mark.parametrize(
    "offset, hides", [(27, ("bathtub", "sink")), (64, ("ball", "trees")), (38, ("sink", "toilet"))]
)
def test_no_alteration_of_one_queried_object_uncovers_another(offset, hides):
    scene = sample(SEED + offset, "natural")
    pairs = chosen_pairs(scene)
    found = faithfulness.alterations(scene, pairs, nulls=1)
    queried = {a.thing for p in pairs for a in (p.first, p.second)} & set(scene.names)
    front, behind = hides
    assert {front, behind} <= queried and not np.array_equal(scene.remove(front).masks[behind], scene.masks[behind])
    assert (front, "remove") not in {(a.thing, a.kind) for a in found}
    for change in found:
        if change.kind in ("remove", "move") and change.thing in queried:
            name = change.thing
            able = [scene.remove(name)] if change.kind == "remove" else [scene.move(name, d) for d in (40, -40)]
            (after,) = (s for s in able if np.array_equal(s.image, change.image))
            assert all(np.array_equal(after.masks[o], scene.masks[o]) for o in queried - {name})


# -- models that are known --------------------------------------------------------------------------------
def row_of(small_model, scene: Scene, looks) -> dict:
    vqa = Looker(small_model, looks)
    return faithfulness.faithfulness_rows(vqa, scene, chosen_pairs(scene)[:1], ns=(10,))[0]


def test_models_that_are_known(small_model):
    (scene, (pair, *_)), *_ = seeds_with_pairs(1)
    asks = (pair.first, pair.second)
    masks = [scene.masks[a.thing] for a in asks]
    # sees the queried object alone; the other's; or, louder for the second question, both whatever is asked
    own = row_of(small_model, scene, {a.question: m for a, m in zip(asks, masks, strict=True)})
    assert own["verdict"] == own["half_1"] == own["half_2"] == own["sure"] == own["object_1"] == own["object_2"] == 1
    assert own["effect"] > 0.5
    assert own["D_11"] > 3 * own["D_21"] and own["D_22"] > 3 * own["D_12"]
    crossed = row_of(small_model, scene, {a.question: m for a, m in zip(asks, masks[::-1], strict=True)})
    assert crossed["verdict"] == crossed["object_1"] == crossed["object_2"] == 0 and crossed["sure"] == 1
    both = masks[0] | masks[1]
    agnostic = row_of(small_model, scene, {asks[0].question: both, asks[1].question: 7.0 * both})
    assert agnostic["verdict"] == agnostic["object_1"] == agnostic["object_2"] == 0.5 and agnostic["sure"] == 0
    assert agnostic["I"] in (0, 1)  # the registered score takes the gain for grounding, or for its opposite
    assert agnostic["Grad-CAM/rank"] == 0.5 and agnostic["question contrast, L1/rank"] == 0.5


# -- the shipped model, by loops ---------------------------------------------------------------------------
def cells(mask: np.ndarray, h: int, w: int) -> np.ndarray:
    H, W = mask.shape
    found = np.zeros((h, w))
    for y, x in zip(*np.nonzero(mask), strict=True):
        found[y * h // H, x * w // W] += h * w / (H * W)
    return found


@pytest.mark.parametrize("name", ["deeper-lstm/natural", "pythia/natural"])
def test_one_validation_scene_by_loops(name):
    vqa = qgc.load(name)
    ((scene, pairs),) = seeds_with_pairs(1)
    altered = faithfulness.alterations(scene, pairs)
    rows = faithfulness.faithfulness_rows(vqa, scene, pairs, altered)
    assert len(rows) == len(pairs)
    for row, pair in zip(rows, pairs, strict=True):
        asks = (pair.first, pair.second)
        a = vqa.answers.index(pair.answer)
        D, raw = np.zeros((2, 2)), np.zeros((2, 2))
        for i, ask in enumerate(asks):

            def score(image, question=ask.question, a=a):
                with torch.no_grad():
                    u, v = vqa.branches(vqa.conv(vqa.prepare(image)), vqa.encode(question))
                    return float(vqa.classify(u * v)[0, a])

            plain = score(scene.image)
            sizes: dict[str, list[float]] = {}
            for change in altered:
                sizes.setdefault(change.thing, []).append(abs(score(change.image) - plain))
            floor = sum(sizes[""]) / len(sizes[""])
            above = {n: max(0.0, sum(v) / len(v) - floor) for n, v in sizes.items() if n}
            assert row[f"floor_{i + 1}"] == pytest.approx(floor, rel=1e-9)
            for j, other in enumerate(asks):
                D[i, j] = above[other.thing]
                raw[i, j] = sum(sizes[other.thing]) / len(sizes[other.thing])
                share = above[other.thing] / sum(above.values())
                assert row[f"raw_{i + 1}{j + 1}"] == pytest.approx(raw[i, j], rel=1e-9)
                assert row[f"D_{i + 1}{j + 1}"] == pytest.approx(D[i, j], rel=1e-9, abs=1e-12)
                assert row[f"Dnorm_{i + 1}{j + 1}"] == pytest.approx(share, rel=1e-9, abs=1e-12)
        assert row["verdict"] == float(D[0, 0] * D[1, 1] > D[0, 1] * D[1, 0])
        assert row["verdict_raw"] == float(raw[0, 0] * raw[1, 1] > raw[0, 1] * raw[1, 0])
        check_maps(row, vqa, scene, pair, a)


def check_maps(row, vqa, scene, pair, a) -> None:
    asks = (pair.first, pair.second)
    view = EncodedImage(vqa, scene)
    both = explain(vqa, view, [x.question for x in asks], pair.answer)
    F = view.F.detach().requires_grad_()
    maps = {m: [] for m in ("Grad-CAM", "gate n=25", "other question's gate n=269", "HiResCAM", "attention")}
    for e, other in zip(both, both[::-1], strict=True):
        maps["Grad-CAM"].append(gradcam(vqa, view.F, e.q, a))
        maps["gate n=25"].append(gradcam(vqa, view.F, e.q, a, e.order[:25]))
        maps["other question's gate n=269"].append(gradcam(vqa, view.F, e.q, a, other.order[:269]))
        y = vqa.classify(torch.mul(*vqa.branches(F, e.q)))[0, a]
        maps["HiResCAM"].append((torch.autograd.grad(y, F)[0] * F.detach()).sum(1)[0])
        attention = vqa.attention(view.F, e.q)
        if attention is not None:
            maps["attention"].append(attention[0])
    first, second = maps["Grad-CAM"]
    maps["question contrast"] = [first - second, second - first]
    maps["question contrast, L1"] = [contrast(first, second, "l1"), contrast(second, first, "l1")]
    n1, n2 = (m / (m**2).sum().sqrt() for m in (first, second))
    maps["question contrast, L2"] = [n1 - n2, n2 - n1]
    if not maps["attention"]:
        del maps["attention"]
    assert set(maps) | {f"{g} n={n}" for g in ("gate", "random gate", "other question's gate") for n in (25, 269)} == {
        key.split("/")[0] for key in row if "/" in key
    }
    covers = [cells(scene.masks[x.thing], *first.shape) for x in asks]
    for name, pair_of in maps.items():
        AUC = []
        for i, m in enumerate(x.detach().numpy() for x in pair_of):
            won = total = 0.0
            for p, r in itertools.product(np.argwhere(covers[0]), np.argwhere(covers[1])):
                weight = covers[0][tuple(p)] * covers[1][tuple(r)]
                total += weight
                won += weight * (1.0 if m[tuple(p)] > m[tuple(r)] else 0.5 if m[tuple(p)] == m[tuple(r)] else 0.0)
            AUC.append(won / total)
            assert row[f"{name}/a_{i + 1}"] == pytest.approx(AUC[i], rel=1e-9), name
            positive = np.maximum(m, 0)
            for j in range(2):
                share = (positive * covers[j]).sum() / positive.sum()
                assert row[f"{name}/R_{i + 1}{j + 1}"] == pytest.approx(share, rel=1e-7, abs=1e-12), name
        assert row[f"{name}/rank"] == (0.5 if abs(AUC[0] - AUC[1]) <= 1e-9 else float(AUC[0] > AUC[1])), name


def test_rows_are_flat_numbers_and_a_scene_without_a_pair_has_none(small_model):
    scene = next(s for s in map(sample, range(60)) if not same_answer_pairs([s]))
    assert faithfulness.faithfulness_rows(small_model, scene) == []
    (scene, pairs), *_ = seeds_with_pairs(1)
    for row in faithfulness.faithfulness_rows(small_model, scene, pairs, ns=(5,)):
        assert all(isinstance(value, (int, float)) for value in row.values())
