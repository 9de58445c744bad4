"""What the chapters print of pairs, photographs and controls, on cases that can be worked by hand."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
import torch

import qgc
from qgc.explain import EncodedImage, explain
from qgc.explain.sensitivity import reductions
from qgc.lab.experiments import nulls, other_image, photographs, sanity
from qgc.lab.experiments.overlap import KINDS, shared, top_overlap
from qgc.lab.experiments.photographs import DELETION_NS, EACH, NS
from qgc.lab.protocol import RANKED, methods
from qgc.lab.protocol.crossed import crossed_interval, crossed_mean, crossed_p
from qgc.measure import accuracy
from qgc.measure.same_answer import similarity
from qgc.measure.similarity import cosine, same_answer_pairs, spearman
from qgc.scenes import FIRST_SEED, sample
from qgc.scenes.questions import HELD_OUT, PARAPHRASES, facts, word


@pytest.fixture(scope="module")
def pair(small_model):
    scene = qgc.scene("bathroom")
    return explain(small_model, EncodedImage(small_model, scene), scene.questions[:2], "white")


# -- photographs --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "costs, apart",
    [
        # question 1 loses 3 by its own map and 1 by the other's; question 2 loses 2 by its own and 1 by the other's
        ([[3.0, 1.0], [1.0, 2.0]], 1.0),
        ([[1.0, 3.0], [2.0, 1.0]], 0.0),
        ([[3.0, 0.0], [4.0, 2.0]], 1.0),  # 3 − 4 + 2 − 0: one question's loss may make up for the other's
        ([[1.0, 1.5], [1.25, 1.0]], 0.0),  # by little: −0.75
        ([[1.0, 2.0], [1.0, 2.0]], 0.5),  # the maps cost both questions the same
    ],
)
def test_maps_are_told_apart_if_each_costs_its_own_question_more(pair, monkeypatch, costs, apart):
    """``costs``: question × map."""

    def planted(explanations, maps):
        half = len(maps) // 2
        return torch.tensor(costs).repeat_interleave(half, 1)

    monkeypatch.setattr(photographs, "_costs", planted)
    orders = photographs._orders(*pair, np.random.default_rng(0))
    rows = photographs._told_apart(*pair, orders)
    assert {row["told apart"] for row in rows} == {apart} and {row["above random"] for row in rows} == {0.0}
    expected = {(r, n) for r in orders for n in (*(n for n in DELETION_NS if n < 32), 32)}
    assert {(row["ranking"], row["n"]) for row in rows} == expected and len(rows) == len(expected)


def test_a_ranking_is_held_against_the_random_gate_of_as_many_neurons(pair, monkeypatch):
    orders = photographs._orders(*pair, np.random.default_rng(0))
    names = [(r, n) for r in orders for n in DELETION_NS if n < 32] + [("all", 32)]

    def planted(explanations, maps):
        # only ∂A/∂q tells apart; the random gate does the opposite
        gain = torch.tensor([1.0 if r == "∂A/∂q" else -1.0 if r == EACH else 0.0 for r, _ in names])
        zero = torch.zeros(len(names))
        return torch.stack([torch.cat([gain, zero]), torch.cat([zero, gain])])

    monkeypatch.setattr(photographs, "_costs", planted)
    rows = {(r["ranking"], r["n"]): r for r in photographs._told_apart(*pair, orders)}
    assert rows["∂A/∂q", 25]["told apart"] == 1 and rows["∂A/∂q", 25]["above random"] == 1
    assert rows["|g|", 25]["told apart"] == 0.5 and rows["|g|", 25]["above random"] == 0.5
    assert rows[EACH, 25]["above random"] == 0 and rows["∂A/∂q", 32]["above random"] == 0


def test_the_largest_cells_are_painted_in_the_pictures_mean(pair, monkeypatch):
    e, seen = pair[0], []
    x = e.vqa.prepare(e.image)
    whole = type(e.vqa).conv
    monkeypatch.setattr(type(e.vqa), "conv", lambda self, x: (seen.append(x), whole(self, x))[1])
    map_ = torch.rand(14, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = photographs._costs(pair, map_[None])
    (painted,) = seen
    cells = map_.flatten().topk(39).indices  # a fifth of 196
    where = torch.zeros(196, dtype=torch.bool)
    where[cells] = True
    pixels = where.view(14, 14).repeat_interleave(16, 0).repeat_interleave(16, 1)
    assert torch.allclose(painted[0][:, ~pixels], x[0][:, ~pixels])
    assert torch.allclose(painted[0][:, pixels], x.mean((2, 3))[0][:, None].expand(3, int(pixels.sum())))
    for k, one in enumerate(pair):
        u, v = one.vqa.branches(whole(one.vqa, painted), one.q)
        after = one.vqa.classify(u * v).log_softmax(1)[0, one.vqa.answers.index("white")]
        assert float(found[k, 0]) == pytest.approx(float(one.y.log_softmax(0)[one.vqa.answers.index("white")] - after))


def test_the_sweep_is_the_cosine_of_both_maps_at_each_n(pair):
    orders = photographs._orders(*pair, np.random.default_rng(1))
    rows = pd.DataFrame(photographs._alike(*pair, orders)).set_index(["ranking", "n"])
    ns = [n for n in NS if n < 32] + [32]
    assert set(rows.index) == set(product(orders, ns))
    for n in ns:
        one, two = (e.map(n) for e in pair)
        expected = float((one * two).sum() / (one.norm() * two.norm()))
        assert rows.loc[("∂A/∂q", n), "cosine"] == pytest.approx(expected, nan_ok=True)
        strongest = [e.g.abs().argsort(descending=True, stable=True)[:n] for e in pair]
        one, two = (e.map(neurons=s) for e, s in zip(pair, strongest, strict=True))
        assert rows.loc[("|g|", n), "cosine"] == pytest.approx(cosine(one, two), nan_ok=True)
    for name, same in (("random, one for both", True), (EACH, False)):
        assert len(orders[name]) == photographs.RANDOM
        assert all(torch.equal(a, b) == same for a, b in orders[name])
        values = [cosine(pair[0].map(neurons=a[:10]), pair[1].map(neurons=b[:10])) for a, b in orders[name]]
        known = [v for v in values if np.isfinite(v)]
        assert rows.loc[(name, 10), "cosine"] == pytest.approx(np.mean(known))
        assert rows.loc[(name, 10), "empty"] == pytest.approx(1 - len(known) / len(values))


def test_tables_of_photographs_by_hand():
    columns = [f"{m}/{r}" for m in ("top 10", "spearman") for r in ("l2", "sum", "abs-sum")]
    two = {"scene": [0, 1], "ranking": "g", "n": 10}

    def found(shift):
        values = dict.fromkeys(columns, [shift, shift + 1.0, shift + 5.0])
        return {
            "pairs": pd.DataFrame({"scene": [0, 0, 1], "pairs of": photographs.KINDS[1], **values}),
            "sweep": pd.DataFrame({**two, "cosine": [0.25, 0.75], "empty": [0.0, 1.0]}),
            "deletion": pd.DataFrame({**two, "told apart": [1.0, 0.5], "above random": [0.5, 0.0]}),
        }

    tables = photographs.summarise([found(0.0)])
    first = tables["pairs"].iloc[0]
    assert (first["measure"], first["reduction"], first["estimate"]) == ("top 10", "l2", (0.5 + 5) / 2)
    assert (first["photographs"], first["rows"]) == (2, 3)
    assert tables["sweep"]["estimate"].tolist() == [0.5, 0.5] and tables["deletion"]["estimate"].tolist() == [
        0.75,
        0.25,
    ]
    assert photographs.summarise([found(0.0), found(2.0)])["pairs"]["estimate"].iloc[0] == (0.5 + 5 + 2.5 + 7) / 4


# -- mismatched questions -----------------------------------------------------------------------------
def test_the_other_questions_are_never_the_pairs_own(small_model, monkeypatch):
    """Of four questions in the pool two are the pair's: the other two are drawn each time, in either order."""
    scene = qgc.scene("bathroom")
    pair = same_answer_pairs([scene])[0]
    own = [pair.first.question, pair.second.question]
    others = ["Is there a cat?", "What color is the wall?"]
    question_pool = nulls.question_pool(small_model)
    question_pool = nulls.QuestionPool(
        [own[0], others[0], own[1], others[1]],
        question_pool.q[:4],
        question_pool.mean,
        question_pool.std,
        [],
        question_pool.constants,
    )
    asked = []
    whole = sanity._maps

    def maps(view, texts, answer, ns):
        asked.append((list(texts), answer))
        return whole(view, texts, answer, ns)

    monkeypatch.setattr(sanity, "_maps", maps)
    sanity.sanity_rows(
        small_model, scene, question_pool, np.random.default_rng(0), pairs=[pair], draws=12, ns=(5,),
        controls=("none", "other questions"),
    )  # fmt: skip
    assert asked[0] == (own, "white")
    assert len(asked) == 13 and all(sorted(texts) == sorted(others) and a == "white" for texts, a in asked[1:])
    assert len({tuple(texts) for texts, _ in asked[1:]}) == 2


def test_a_table_of_controls_by_hand():
    rows = [
        {"scene": 1, "control": "none", "rank/m": 1.0, "cosine/m": 0.5},
        {"scene": 1, "control": "none", "rank/m": 0.0, "cosine/m": 0.75},
        {"scene": 2, "control": "none", "rank/m": 1.0, "cosine/m": float("nan")},
        {"scene": 2, "control": "encoder", "rank/m": 0.0, "cosine/m": 0.25},
    ]
    table = sanity.summarise(rows).set_index(["control", "measure", "map"])
    assert list(table.columns) == ["estimate", "low", "high", "scenes", "rows"]
    assert table.loc[("none", "rank", "m"), "estimate"] == 0.75
    assert table.loc[("none", "cosine", "m"), ["estimate", "scenes", "rows"]].tolist() == [0.625, 1, 2]
    assert table.loc[("encoder", "rank", "m"), "estimate"] == 0


def test_the_other_image_by_hand():
    rows = []
    for scene, background, here, there in ((1, 0, 1.0, 0.5), (2, 1, 1.0, 1.0), (3, 0, 0.0, 0.5)):
        for image, value in ((other_image.HERE, here), (other_image.ELSEWHERE, there)):
            rows.append(
                {
                    "scene": scene,
                    "map": "m",
                    "image": image,
                    "rank": value,
                    "object": 1 - value,
                    "background": background,
                }
            )
    table = other_image.summarise(rows)["other image"].set_index(["pairs", "image", "measure"])["estimate"]
    assert table["all", "difference", "rank"] == pytest.approx(0) and table[
        "all", other_image.HERE, "rank"
    ] == pytest.approx(2 / 3)
    assert table["all", other_image.ELSEWHERE, "object"] == pytest.approx(1 / 3)
    assert table["without backgrounds", other_image.HERE, "rank"] == 0.5
    assert table["without backgrounds", "difference", "object"] == pytest.approx(0)


# -- likeness -----------------------------------------------------------------------------------------
def test_likeness_of_many_scenes_is_that_of_each_pair(small_model):
    found = similarity(small_model, 4, distribution="natural")
    per_scene = []
    for i in range(4):
        scene = sample(FIRST_SEED["validation"] + i, "natural")
        values = []
        for p in same_answer_pairs([scene]):
            one, two = explain(small_model, scene, [p.first.question, p.second.question], p.answer)
            rho = [spearman(*(reductions(small_model, e.F, e.q, e.u[None], e.v[None])[r] for e in (one, two)))
                   for r in ("l2", "sum", "abs-sum")]  # fmt: skip
            values.append([cosine(one.map(), two.map()), *rho])
        if values:
            per_scene.append(np.nanmean(values, 0))
    assert found["scenes"] == len(per_scene) and (found["distribution"], found["split"]) == ("natural", "validation")
    for k, name in enumerate(("cosine", "l2", "sum", "abs-sum")):
        assert found["per_scene"][name] == pytest.approx([row[k] for row in per_scene], nan_ok=True)
        assert found[name] == pytest.approx(np.nanmean([row[k] for row in per_scene]))


def test_shared_neurons_of_every_kind_of_pairs(small_model):
    scenes = [sample(s, "natural") for s in (3, 4)]
    table = top_overlap(small_model, scenes, k=6, reductions=("sum",))
    views = [EncodedImage(small_model, s) for s in scenes]
    tops = [
        [(a, explain(small_model, v, a.question, reduce="sum").top(6)["index"]) for a in s.asks]
        for s, v in zip(scenes, views, strict=True)
    ]
    colour = [[shared(x, y) for (a, x), (b, y) in combinations(t, 2) if a.family == b.family == "colour"] for t in tops]
    assert table.loc[KINDS[2], "sum"] == pytest.approx(np.mean([np.mean(c) for c in colour]))
    assert table.loc[KINDS[2], "pairs"] == sum(map(len, colour))
    both = [shared(x, y) for (a, x), (b, y) in product(*tops) if a.question != b.question]
    assert table.loc[KINDS[3], "sum"] == pytest.approx(np.mean(both))
    counts = [len(list(combinations(t, 2))) for t in tops]
    assert table.loc[KINDS[1], "pairs"] == sum(counts)


# -- accuracy -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("held_out", [True, False])
def test_accuracy_is_the_share_of_right_answers(small_model, held_out):
    prior = {"colour": "white", "colour|wall": "blue", "existence": "no"}
    found = accuracy.evaluate(
        small_model, 3, distribution="natural", prior=prior, split="validation", held_out=held_out
    )
    right, blind = {}, {}
    book = HELD_OUT if held_out else PARAPHRASES
    for i in range(3):
        scene = sample(FIRST_SEED["validation"] + i, "natural")
        view = EncodedImage(small_model, scene)
        for family, name, answer, _ in facts(scene):
            text = word(book[family][i % len(book[family])], name)
            said = explain(small_model, view, text, rank=torch.zeros(32)).predicted
            guess = prior.get(f"{family}|{name}", prior.get(family))
            for key in (family, "all"):
                right.setdefault(key, []).append(said == answer)
                blind.setdefault(key, []).append(guess == answer)
    for key, hits in right.items():
        row = found["all"] if key == "all" else found["families"][key]
        assert row == {"n": len(hits), "accuracy": np.mean(hits), "question_only": np.mean(blind[key])}
    assert list(found["families"]) == sorted(set(right) - {"all"}) and found["scenes"] == 3
    assert found["wordings"] == ("held-out" if held_out else "training") and found["split"] == "validation"
    assert 0 < found["all"]["question_only"] < 1


# -- rankings -------------------------------------------------------------------------------------------
def test_every_ranking_is_its_formula(small_model, pair):
    slope = methods.mean_slope(small_model, ["Is there a cat?", "What color is the wall?"])
    us = [small_model.question_branch(small_model.encode(t)) for t in ("Is there a cat?", "What color is the wall?")]
    assert torch.allclose(slope, 1 - (us[0][0] ** 2 + us[1][0] ** 2) / 2)
    given = torch.arange(32.0)
    a, b = (methods.RankingInputs(e, given, slope) for e in pair)
    one, two = pair
    length = small_model.question.weight.norm(dim=1)
    rows = (one.v * (1 - one.u**2))[:, None] * small_model.question.weight
    expected = {
        "∂A/∂q, l2": rows.norm(dim=1), "∂A/∂q, abs-sum": rows.abs().sum(1), "∂A/∂q, sum": rows.sum(1),
        "∂A/∂q, |sum|": rows.sum(1).abs(), "∂A/∂q, least first": -rows.norm(dim=1),
        "∂A/∂q of the other question": (two.v * (1 - two.u**2)).abs() * length,
        "∂u/∂q (no picture)": (1 - one.u**2) * length, "∂A/∂w of the thing's word": given,
        "|g|": one.g.abs(), "g": one.g, "contribution g v": one.c * one.u * one.v,
        "|contribution|": (one.c * one.A).abs(), "answer only |c|": one.c.abs(), "picture only |v|": one.v.abs(),
        "|g − g′|": (one.g - two.g).abs(), "(g − g′) sign(g)": torch.where(one.g > 0, one.g - two.g, two.g - one.g),
        "1 − u² of no question": slope, "∂A/∂q of no question": one.v.abs() * slope * length,
    }  # fmt: skip
    assert list(RANKED) == list(expected)
    for name, scores in expected.items():
        torch.testing.assert_close(methods.RANKINGS[name](a, b), scores, rtol=1e-9, atol=1e-12, check_dtype=False)
    torch.testing.assert_close(a.g @ a.P, one.map(relu=False).flatten(), rtol=1e-9, atol=1e-15)


def test_running_sums_by_hand():
    own = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    order, partner = torch.tensor([2, 0, 1]), torch.tensor([0, 2, 1])
    assert methods.cumulative_maps(own, order).tolist() == [[4, 40], [5, 50], [7, 70]]
    # at n = 1 the tops are {2} and {0}; at n = 2 both are {0, 2}
    assert methods.cumulative_maps_without_common(own, order, partner).tolist() == [[4, 40], [0, 0], [0, 0]]


def test_maps_to_be_contrasted_are_those_of_both_and_of_the_mean_question(small_model, pair):
    a, b = (methods.RankingInputs(e) for e in pair)
    mean_u = torch.linspace(-1, 1, 32, dtype=torch.float64)
    found = methods.base_maps(a, b, mean_u, small_model)
    one, two, mean = found["Grad-CAM"]
    assert torch.allclose(one, pair[0].map(relu=False)) and torch.allclose(two, pair[1].map(relu=False))
    assert torch.allclose(mean.flatten(), (pair[0].c * mean_u) @ a.P)
    F = pair[0].F.clone().requires_grad_()
    with torch.enable_grad():
        u, v = small_model.branches(F, pair[0].q)
        (dF,) = torch.autograd.grad(small_model.classify(u * v)[0, pair[0]._a], F)
        u, v = small_model.branches(F, pair[0].q)
        (of_mean,) = torch.autograd.grad((v[0] * pair[0].c * mean_u).sum(), F)
    assert torch.allclose(found["HiResCAM"][0], (dF * F).sum(1)[0])
    assert torch.allclose(found["HiResCAM"][2], (of_mean * F).sum(1)[0])
    free = methods.GATE_FREE
    assert torch.equal(free["Grad-CAM"].method(one, two, mean), one)
    assert torch.equal(free["question contrast"].method(one, two, mean), one - two)
    assert torch.equal(free["contrast with the mean question"].method(one, two, mean), one - mean)
    l1 = one / one.abs().sum() - two / two.abs().sum()
    assert torch.allclose(free["question contrast, L1"].method(one, two, mean), l1)
    assert torch.allclose(free["HiResCAM contrast, L2"].method(one, two), one / one.norm() - two / two.norm())


# -- statistics -----------------------------------------------------------------------------------------
def test_intervals_have_the_level_that_is_asked_for():
    values = np.array([[0.0, 1.0, 2.0, 3.0]])
    half = 3.182446305 * np.sqrt(np.var([0, 1, 2, 3], ddof=1) / 4)  # t of three degrees of freedom at 97.5 %
    found = crossed_interval(values)
    assert (found.low, found.high) == pytest.approx((1.5 - half, 1.5 + half))
    ninety = crossed_interval(values, level=0.9)
    assert ninety.high - 1.5 == pytest.approx(half * 2.353363435 / 3.182446305)
    assert crossed_p(values, 1.5) == 1 and crossed_p(values) == pytest.approx(0.1027, abs=1e-4)


def test_where_cells_are_missing_the_estimate_is_the_mean_of_the_seeds_means():
    nan = np.nan
    found = crossed_mean([[1.0, 2.0, nan, 5.0], [2.0, 4.0, 6.0, nan], [1.0, 1.0, 3.0, 3.0]])
    assert found.estimate == pytest.approx((8 / 3 + 4 + 2) / 3)
    # Henderson's method 1: sums of squares, their expectations, three equations
    y = np.array([[1.0, 2.0, nan, 5.0], [2.0, 4.0, 6.0, nan], [1.0, 1.0, 3.0, 3.0]])
    known = np.isfinite(y)
    n, grand = known.sum(), np.nansum(y) ** 2 / known.sum()
    TA = sum(np.nansum(row) ** 2 / k.sum() for row, k in zip(y, known, strict=True)) - grand
    TB = sum(np.nansum(col) ** 2 / k.sum() for col, k in zip(y.T, known.T, strict=True)) - grand
    T0 = np.nansum(y**2) - grand
    a, b = known.sum(1), known.sum(0)
    k1, k2 = (a**2).sum() / n, (b**2).sum() / n
    k3, k4 = (known / b).sum(), (known.T / a).sum()  # Σ n_ij² / n_.j and Σ n_ij² / n_i., one value a cell
    system = np.array([[n - k1, k4 - k2, 2], [k3 - k1, n - k2, 3], [k1 - k3, k2 - k4, n - 3 - 4 + 1]])
    seed, scene, residual = np.clip(np.linalg.solve(system, [TA, TB, T0 - TA - TB]), 0, None)
    weight = known / (3 * a[:, None])
    cells = residual * (weight**2).sum()
    variance = seed / 3 + scene * (weight.sum(0) ** 2).sum() + cells
    assert found.error**2 == pytest.approx(variance)
    parts, freedom = (seed / 3 + cells, scene * (weight.sum(0) ** 2).sum() + cells, cells), (2, 3, n - 3 - 4 + 1)
    spread = sum(v**2 / f for v, f in zip(parts, freedom, strict=True))
    assert found.df == pytest.approx(max(variance**2 / spread, 2))
