"""The measurement's tables from planted verdicts, against plain loops over seeds, scenes and pairs."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from qgc.lab.protocol import GRID, ProtocolModel, grounding, summary
from qgc.lab.protocol.crossed import crossed_interval, crossed_mean, crossed_p, holm
from qgc.lab.protocol.methods import GATE_FREE
from qgc.measure.localise import MEASURES

J, SEEDS, TRIED = 1024, 2, 3
SCENE = np.array([4, 4, 7, 9] * SEEDS)  # of every pair; the first scene has two
SEED = np.repeat(range(SEEDS), 4)
CHOSEN = {
    "grounding": {**{g: 3 + 50 * k for k, g in enumerate(grounding.GATES)}, summary.RANDOM: 40},
    "rank": {**{g: GRID[k % 24] for k, g in enumerate(grounding.GATES)}, summary.RANDOM: 75},
}


def planted() -> dict[str, np.ndarray]:
    """Rows of eight pairs, every number drawn by itself."""
    rng = np.random.default_rng(0)
    N, G, M, n = len(SCENE), len(grounding.GATES), len(GATE_FREE), len(GRID)
    rows = {
        "verdicts": rng.integers(0, 3, (N, G, n + 1, 4)), "surrogate": rng.integers(0, 3, (N, G, n + 1, 4)),
        "free verdicts": rng.integers(0, 3, (N, M, 4)), "free surrogate": rng.integers(0, 3, (N, M, 4)),
        "a": rng.random((N, G, n + 1, 2)), "R": rng.random((N, G, n + 1, 2, 2)), "free a": rng.random((N, M, 2)),
        "free R": rng.random((N, M, 2, 2)), "margin": rng.normal(size=(N, G, J)), "free": rng.normal(size=(N, M, 4)),
        "random": rng.normal(size=(N, TRIED, n)), "random verdicts": rng.integers(0, 3, (N, TRIED, n, 3)),
        "own": rng.random((N, G, n)), "mass": rng.random((N, G, n)), "empty": rng.integers(0, 3, (N, G, n)),
        "area": rng.random((N, 2)), "background": rng.random((N, 2)) < 0.3, "right": rng.integers(0, 3, N),
        "cosine": rng.random(N), "measures": rng.random((N, 2, len(grounding.MAPS), len(MEASURES))),
    }  # fmt: skip
    rows["background"][::2] = False  # so that every seed has pairs without one
    rows["margin"][:, 0, 2] = [0, 1, -1, 0, 1, 1, -1, 0]
    rows["free verdicts"][:, list(GATE_FREE).index("attention")] = -1
    rows["free"][:, list(GATE_FREE).index("attention")] = np.nan
    return rows


@pytest.fixture(scope="module")
def measured() -> summary.Measured:
    found = summary.Measured.__new__(summary.Measured)
    found.seed, found.scene, found.rows = SEED, SCENE, planted()
    found.scenes, at = np.unique(SCENE, return_inverse=True)
    found.shape = (SEEDS, len(found.scenes))
    cell = np.ravel_multi_index((SEED, at), found.shape)
    found._sums = csr_array((np.ones(len(at)), (cell, np.arange(len(at)))), (SEEDS * 3, len(at)))
    return found


def cells(values) -> np.ndarray:
    """(seeds, scenes): the mean over a scene's pairs, one by one."""
    return np.array([
        [np.mean([v for v, s, c in zip(values, SEED, SCENE, strict=True) if (s, c) == (seed, scene)])
         for scene in (4, 7, 9)] for seed in range(SEEDS)
    ])  # fmt: skip


def mean(values) -> float:
    return float(cells(values).mean())


def sign(margin) -> np.ndarray:
    return np.array([1.0 if m > 0 else 0.5 if m == 0 else 0.0 for m in margin])


@pytest.fixture(scope="module")
def table(measured):
    return summary.table(measured, CHOSEN)


def row_of(table, method, criterion=None, n=None):
    (row,) = [r for r in table if (r["method"], r["chosen by"]) == (method, criterion) and n in (None, r["n"])]
    return row


def test_scenes_and_seeds_count_once(measured):
    values = np.array([1.0, 3.0, 5.0, 7.0, 0.0, 2.0, np.nan, 4.0])
    found = measured.by_scene(values)
    assert found[0].tolist() == [2, 5, 7] and found[1, [0, 2]].tolist() == [1, 4] and np.isnan(found[1, 1])
    assert measured.by_scene(np.stack([values, 2 * values], 1)).shape == (2, 3, 2)
    assert summary.grounded(np.array([0.2, 0.0, -0.1, np.nan])).tolist()[:3] == [1, 0.5, 0]


def test_columns_by_hand(measured):
    rows = measured.rows
    g, at = 5, 7
    found = summary.columns(measured, (g, at), rows["margin"][:, g, 14])
    for i in range(len(SCENE)):
        rank, one, two, odds = rows["verdicts"][i, g, at] / 2
        without = rows["surrogate"][i, g, at] / 2
        larger = 0 if rows["area"][i, 0] >= rows["area"][i, 1] else 1
        plain = not rows["background"][i].any()
        expected = {
            "rank": rank, "rank effect": rows["a"][i, g, at, 0] - rows["a"][i, g, at, 1],
            "rank surrogate": without[0], "rank above": rank - without[0], "rank ties": float(rank == 0.5),
            "object": (one + two) / 2, "larger": (one, two)[larger], "smaller": (one, two)[1 - larger],
            "both objects": float(one == two == 1), "object surrogate": (without[1] + without[2]) / 2,
            "object above": (one + two - without[1] - without[2]) / 2, "odds": odds,
            "grounding": sign([rows["margin"][i, g, 14]])[0], "margin": rows["margin"][i, g, 14],
            "grounding surrogate": without[3], "grounding ties": 0.0,
        }  # fmt: skip
        for name in ("rank", "rank above", "rank surrogate", "object", "grounding"):
            expected[name + summary.WITHOUT] = expected[name] if plain else np.nan
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert found[name][i] == pytest.approx(value, nan_ok=True), name
    ties = summary.columns(measured, (0, len(GRID)), rows["margin"][:, 0, 2])
    assert ties["grounding ties"].tolist() == [1, 0, 0, 1, 0, 0, 0, 1]


@pytest.mark.parametrize("criterion", summary.CRITERIA)
@pytest.mark.parametrize("gate", ["∂A/∂q, l2", "|g|", grounding.COMMON])
def test_a_rankings_row_is_read_at_its_chosen_n(measured, table, criterion, gate):
    rows, g, n = measured.rows, grounding.GATES.index(gate), CHOSEN[criterion][gate]
    row = row_of(table, gate, criterion)
    at = len(GRID) if criterion == "grounding" else GRID.index(n)
    near = int(np.argmin([abs(np.log(k / n)) for k in GRID]))
    own_rank, own = rows["verdicts"][:, g, at, 0] / 2, sign(rows["margin"][:, g, n - 1])
    plain_rank, plain = rows["free verdicts"][:, 0, 0] / 2, sign(rows["free"][:, 0, 0])
    drawn_rank = (rows["random verdicts"][:, :, near, 0] / 2).mean(1)
    drawn = np.mean([sign(rows["random"][:, d, near]) for d in range(TRIED)], 0)
    expected = {
        "rank": own_rank, "grounding": own, "object": rows["verdicts"][:, g, at, 1:3].mean(1) / 2,
        "minus random": own - drawn, "minus Grad-CAM": own - plain,
        "rank minus random": own_rank - drawn_rank, "rank minus Grad-CAM": own_rank - plain_rank,
    }  # fmt: skip
    assert row["n"] == n
    for name, values in expected.items():
        interval = crossed_interval(cells(values))
        low, high = interval.low, interval.high
        if "minus" not in name:
            low, high = np.clip([low, high], 0, 1)
        assert row[name] == pytest.approx([mean(values), low, high], abs=2e-5), name
        if "minus" in name:
            assert row[f"{name} p"] == pytest.approx(crossed_p(cells(values))), name
    assert len({round(row[f"{d} p"], 9) for d in summary.DIFFERENCES if summary.WITHOUT not in d}) == 4
    without = [i for i in range(len(SCENE)) if not rows["background"][i].any()]
    for name, control in (("rank minus random", drawn_rank), ("rank minus Grad-CAM", plain_rank)):
        per_seed = []
        for seed in range(SEEDS):
            scenes: dict[int, list[float]] = {}
            for i in without:
                if SEED[i] == seed:
                    scenes.setdefault(int(SCENE[i]), []).append(own_rank[i] - control[i])
            per_seed.append(np.mean([np.mean(v) for v in scenes.values()]))
        assert row[name + summary.WITHOUT][0] == pytest.approx(np.mean(per_seed), abs=2e-5)
    assert row["own"] == pytest.approx(mean(rows["own"][:, g, near]), abs=1e-5)
    assert row["mass"] == pytest.approx(np.median(rows["mass"][:, g, near]), abs=1e-5)
    assert row["empty"] == pytest.approx(mean(rows["empty"][:, g, near] / 2), abs=1e-5)


def test_maps_without_a_gate_are_held_against_grad_cam_alone(measured, table):
    rows, m = measured.rows, list(GATE_FREE).index("question contrast, L1")
    row = row_of(table, "question contrast, L1")
    assert row["n"] is None and row["chosen by"] is None
    rank = rows["free verdicts"][:, m, 0] / 2
    assert row["rank"][0] == pytest.approx(mean(rank), abs=1e-5)
    difference = rank - rows["free verdicts"][:, 0, 0] / 2
    assert row["rank minus Grad-CAM"][0] == pytest.approx(mean(difference), abs=1e-5)
    assert row["rank minus Grad-CAM p"] == pytest.approx(crossed_p(cells(difference)))
    assert not any("minus random" in key for key in row)
    assert not any("minus" in key for key in row_of(table, "Grad-CAM"))
    assert row["own"] == pytest.approx(mean(rows["free"][:, m, 1]), abs=1e-5)
    assert row["mass"] == pytest.approx(np.median(rows["free"][:, m, 2]), abs=1e-5)
    assert row["empty"] == pytest.approx(mean(rows["free"][:, m, 3]), abs=1e-5)
    assert "attention" not in {r["method"] for r in table}


def test_random_gates_have_some_n_and_their_own_best(measured, table):
    rows = measured.rows
    assert [r["n"] for r in table if r["method"] == summary.RANDOM] == [10, 25, 200, 40, 10, 25, 200, 75]
    at = GRID.index(25)
    row = [r for r in table if r["method"] == summary.RANDOM][1]
    drawn = rows["random verdicts"][:, :, at] / 2
    larger = np.where(rows["area"][:, 0] >= rows["area"][:, 1], 0, 1)
    big = np.array([drawn[i, :, 1 + larger[i]].mean() for i in range(len(SCENE))])
    small = np.array([drawn[i, :, 2 - larger[i]].mean() for i in range(len(SCENE))])
    for name, values in {
        "rank": drawn[..., 0].mean(1), "object": drawn[..., 1:].mean((1, 2)), "larger": big, "smaller": small,
        "both objects": (drawn[..., 1:] == 1).all(2).mean(1), "margin": rows["random"][:, :, at].mean(1),
        "grounding": np.mean([sign(rows["random"][:, d, at]) for d in range(TRIED)], 0),
    }.items():  # fmt: skip
        assert row[name][0] == pytest.approx(mean(values), abs=1e-5), name
    plain = ~rows["background"].any(1)
    kept = summary._random_columns(measured, at)["rank" + summary.WITHOUT]
    assert kept == pytest.approx(np.where(plain, drawn[..., 0].mean(1), np.nan), nan_ok=True)
    assert 0 < plain.sum() < len(plain)


def test_each_family_of_tests_is_corrected_by_itself(table):
    for criterion in summary.CRITERIA:
        gates = [r for r in table if r["chosen by"] == criterion and r["method"] != summary.RANDOM]
        free = [r for r in table if r["chosen by"] is None and r["method"] != "Grad-CAM"]
        assert len(gates) == len(grounding.GATES) and len(free) == len(GATE_FREE) - 2
        for difference, family in (("minus random", gates), ("rank minus random", gates)):
            expected = holm([r[f"{difference} p"] for r in family])
            assert [r[f"{difference} holm"] for r in family] == pytest.approx(expected, abs=1e-5)
        for difference, of in (("minus Grad-CAM", "grounding"), ("rank minus Grad-CAM", "rank")):
            expected = holm([r[f"{difference} p"] for r in gates + free])
            found = [r[f"{difference} holm"] for r in gates]
            assert found == pytest.approx(expected[: len(gates)], abs=1e-5)
            if of == criterion:  # a map without a gate is in both families, and told of its own criterion's
                assert [r[f"{difference} holm"] for r in free] == pytest.approx(expected[len(gates) :], abs=1e-5)


def test_the_chosen_n_is_the_least_of_the_best(measured, monkeypatch):
    rows = measured.rows
    found = summary.rank_n(measured)
    for name in ("∂A/∂q, l2", "|g|"):
        g = grounding.GATES.index(name)
        scores = [mean(rows["verdicts"][:, g, k, 0] / 2) for k in range(len(GRID))]
        assert found[name] == GRID[scores.index(max(scores))]
    scores = [mean((rows["random verdicts"][:, :, k, 0] / 2).mean(1)) for k in range(len(GRID))]
    assert found[summary.RANDOM] == GRID[int(np.argmax(scores))]
    read = {}

    def rows_of(paths, group, below=None):
        read.update(models=group.models, below=below)
        return measured

    monkeypatch.setattr(summary, "Measured", rows_of)
    models = [
        ProtocolModel("deeper-lstm/natural", "natural"),
        *(ProtocolModel(f"natural-seed{k}", "natural") for k in range(3)),
        ProtocolModel("pythia/natural", "natural"),
        ProtocolModel("deeper-lstm/balanced", "balanced"),
    ]
    chosen = summary.registered_n([], models, 500)
    assert read == {"models": ("deeper-lstm/natural", "natural-seed1", "natural-seed2"), "below": 125}
    g = grounding.GATES.index("|g|")
    scores = [mean(sign(rows["margin"][:, g, n])) for n in range(J)]
    assert chosen["|g|"] == int(np.argmax(np.round(scores, 12))) + 1
    both = summary.choose([], models)
    drawn = [mean(np.mean([sign(rows["random"][:, d, k]) for d in range(TRIED)], 0)) for k in range(len(GRID))]
    assert both["grounding"][summary.RANDOM] == GRID[int(np.argmax(np.round(drawn, 12)))]
    assert both["rank"] == found and both["grounding"]["|g|"] == chosen["|g|"]


def test_curves_and_bands(measured):
    rows, found, bands = measured.rows, summary.curves(measured), summary.random_bands(measured)
    g = 4
    for n in (1, 500, 1024):
        interval = crossed_interval(cells(sign(rows["margin"][:, g, n - 1])))
        expected = [interval.estimate, interval.low, interval.high]
        assert found["curves"][g, :, n - 1] == pytest.approx(expected, abs=2e-3)
    at = 9
    assert found["rank curves"][g, 0, at] == pytest.approx(mean(rows["verdicts"][:, g, at, 0] / 2), abs=1e-3)
    objects = rows["verdicts"][:, g, at, 1:3].mean(1) / 2
    assert found["object curves"][g, 0, at] == pytest.approx(mean(objects), abs=1e-3)
    drawn = [mean(sign(rows["random"][:, d, at])) for d in range(TRIED)]
    assert bands["random"][:, at] == pytest.approx(np.percentile(drawn, [5, 50, 95]), abs=1e-3)
    drawn = [mean(rows["random verdicts"][:, d, at, 0] / 2) for d in range(TRIED)]
    assert bands["rank random"][:, at] == pytest.approx(np.percentile(drawn, [5, 50, 95]), abs=1e-3)
    drawn = [mean(rows["random verdicts"][:, d, at, 1:].mean(1) / 2) for d in range(TRIED)]
    assert bands["object random"][:, at] == pytest.approx(np.percentile(drawn, [5, 50, 95]), abs=1e-3)


def test_classical_measures_are_means_over_pairs(measured):
    rows = summary.measures(measured)
    assert [r["map"] for r in rows] == list(grounding.MAPS)
    for k, name in enumerate(MEASURES):
        assert rows[2][name] == pytest.approx(measured.rows["measures"][:, 0, 2, k].mean(), abs=1e-5)
        assert rows[2][f"{name} rescaled"] == pytest.approx(measured.rows["measures"][:, 1, 2, k].mean(), abs=1e-5)


def test_methods_against_each_other(measured):
    rows, found = measured.rows, summary.against(measured, CHOSEN)
    assert [(r["first"], r["second"]) for r in found] == list(summary.AGAINST)
    contrast = list(GATE_FREE).index("question contrast")
    row = next(r for r in found if (r["first"], r["second"]) == ("question contrast", "∂A/∂q, l2"))
    at = GRID.index(CHOSEN["rank"]["∂A/∂q, l2"])
    rank = (rows["free verdicts"][:, contrast, 0] - rows["verdicts"][:, 0, at, 0]) / 2
    assert row["rank"][0] == pytest.approx(mean(rank), abs=1e-5)
    registered = sign(rows["free"][:, contrast, 0]) - sign(rows["margin"][:, 0, CHOSEN["grounding"]["∂A/∂q, l2"] - 1])
    interval = crossed_interval(cells(registered))
    assert row["grounding"] == pytest.approx([mean(registered), interval.low, interval.high], abs=2e-5)


def test_how_often_the_larger_object_decides(measured):
    rows, m = measured.rows, list(GATE_FREE).index("HiResCAM")
    found = summary._size_decides(measured)["HiResCAM"][0]
    values = []
    for i in range(len(SCENE)):
        larger = rows["free verdicts"][i, m, 1 + int(rows["area"][i, 1] > rows["area"][i, 0])] / 2
        own = sign([rows["free"][i, m, 0]])[0]
        values.append(np.nan if 0.5 in (larger, own) else float(larger == own))
    assert found == pytest.approx(crossed_mean(measured.by_scene(np.array(values))).estimate, abs=1e-5)


def test_seeds_of_one_model_are_read_together_and_others_alone():
    models = [
        ProtocolModel(n, "natural") for n in ("deeper-lstm/natural", "natural-seed0", "natural-seed1", "pythia/natural")
    ]
    assert [(g.name, g.models) for g in summary.groups(models)] == [
        ("natural", ("natural-seed0", "natural-seed1")), ("natural, shipped", ("deeper-lstm/natural",)),
        ("pythia/natural", ("pythia/natural",)),
    ]  # fmt: skip
    assert [g.name for g in summary.groups(models[:1])] == ["natural"]


def test_what_is_kept_is_written_in_base_three():
    assert summary._packed(np.array([[0, 1, 2], [2, 2, 2], [0, -1, 0]])).tolist() == [21, 26, 255]


def test_random_gates_are_shown_at_n_of_the_grid():
    assert set(summary.RANDOM_NS) <= set(GRID)
