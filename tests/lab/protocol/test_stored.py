"""The stored measurement: whole, of the shipped weights, and the same when a sample of it is measured again."""

import lzma
from itertools import product

import numpy as np
import pandas as pd
import pytest

from qgc.cli import main
from qgc.errors import QGCError
from qgc.lab.experiments.faithfulness import NS
from qgc.lab.experiments.runner import EXPERIMENTS
from qgc.lab.figures import results
from qgc.lab.protocol import GRID, PROTOCOL_MODELS, SCENES, SEEDS, grounding, summary
from qgc.lab.protocol.stored import MODELS, RESULTS, Stored
from qgc.lab.protocol.summary import CRITERIA
from qgc.models import card, names


@pytest.fixture(scope="module")
def found() -> Stored:
    return Stored.read()


def test_it_follows_the_protocol(found):
    natural = found.results_of("natural")
    assert natural["seeds"] == SEEDS and found.tables["grid"] == list(GRID)
    assert 0.8 * SCENES["test"] < natural["scenes"] <= SCENES["test"]
    assert found.gates == list(grounding.GATES) and set(found.chosen) == set(found.chosen_by_rank) == set(found.gates)
    assert set(found.chosen_by_rank.values()) <= set(GRID)
    for model in PROTOCOL_MODELS:
        if model.name in names():
            assert found.tables["about"]["weights"][model.name] == card(model.name)["files"], (
                "other weights: measure again"
            )


def test_every_model_has_every_method(found):
    for model, criterion in product((*MODELS, "natural, shipped"), CRITERIA):
        table = found.table(model, criterion)
        missing = set(found.gates) - set(table.index)
        assert missing <= ({"1 − u² of no question", "∂A/∂q of no question"} if model == "pythia" else set())
        for column in ("rank", "object", "grounding", "larger", "smaller", "rank without backgrounds"):
            assert (table[f"{column} low"] <= table[column]).all() and (table[column] <= table[f"{column} high"]).all()
        for difference in summary.DIFFERENCES:
            holm, p = table[f"{difference} holm"], table[f"{difference} p"]
            assert (holm.dropna() >= p[holm.notna()] - 1e-5).all() and holm.notna().any(), (model, difference)


def test_the_chosen_n_reads_the_curve(found):
    """A table's row is the curve at the n that validation chose (the curve is kept in float16)."""
    for model in MODELS:
        table, by_rank = found.table(model), found.table(model, "rank")
        for gate, n in found.chosen.items():
            if gate not in table.index:
                continue
            assert abs(found.curve(model, gate)[0, n - 1] - table.loc[gate, "grounding"]) < 2e-3
            at = GRID.index(found.chosen_by_rank[gate])
            assert abs(found.rank_curve(model, gate)[0, at] - by_rank.loc[gate, "rank"]) < 2e-3


def test_every_experiment_can_be_measured_again(found):
    """``measure --check`` finds a digest of every scene of every experiment."""
    for name, experiment in EXPERIMENTS.items():
        for model, count in experiment.scenes.items():
            digests = found.arrays.get(f"digest|{name}|{model}|scene", np.array([]))
            assert (len(digests) > 0.8 * count) if count else not len(digests), (name, model)


def test_the_control_of_absent_objects_agrees_with_the_main_measurement(found):
    """The own questions' verdicts are those of the main table, on its first scenes; five seeds stand for natural."""
    for model, far in (("natural", 0.03), ("natural, shipped", 0.05), ("early", 0.08), ("pythia", 0.05)):
        both, table = found.absent(model), found.table(model)
        for name, method in (("Grad-CAM", "Grad-CAM"), ("question contrast, L1", "question contrast, L1")):
            assert abs(both.loc[name, "own"] - table.loc[method, "rank"]) < far, (model, name)
        known = both.dropna(subset=["above"])
        assert (known["own"] - known["absent"] - known["above"]).abs().max() < 2e-5, model
        assert len(known) >= 13 and (known["above low"] < known["above high"]).all()
    assert found.tables["absent objects"]["natural"]["rows"] > 4.5 * found.absent("natural").shape[0]


def test_other_stages_look_at_the_chosen_n(found):
    assert NS == (25, found.chosen["∂A/∂q, l2"])


def test_every_training_saw_the_same_pairs(found):
    names = found.natural_seeds()
    assert len(names) == SEEDS
    first = found.pairs(names[0])
    for other in map(found.pairs, names[1:]):
        assert (other.scene == first.scene).all() and (other.area == first.area).all()
        assert (other.verdicts != first.verdicts).any()


def test_a_table_is_made_again_from_the_pairs(found):
    for shipped, model in (("deeper-lstm/balanced", "balanced"), ("pythia/natural", "pythia")):
        pairs, table = found.pairs(shipped), found.table(model)
        for name in ("Grad-CAM", "question contrast", "HiResCAM"):
            verdicts = (
                pd.DataFrame(pairs.verdicts[:, pairs.maps.index((name, None))]).groupby(pairs.scene).mean().mean()
            )
            expected = table.loc[name, ["rank", "object", "odds", "grounding"]].astype(float)
            np.testing.assert_allclose([verdicts[0], verdicts[[1, 2]].mean(), *verdicts[[3, 4]]], expected, atol=1e-4)


def test_two_maps_are_compared_pair_by_pair(found):
    """What the tables say at the chosen n, and nothing for a map compared with itself."""
    gate, plain = (found.gates[0], found.chosen[found.gates[0]]), ("Grad-CAM", None)
    for model, (verdict, column) in product(
        ("natural", "natural, shipped", "pythia"), (("rank", "rank "), ("grounding", ""))
    ):
        row = found.table(model).loc[gate[0]]
        less, own = (found.compare(model, gate, other, verdict) for other in (plain, None))
        expected = [row[f"{column}minus Grad-CAM{end}"] for end in ("", " low", " high")]
        np.testing.assert_allclose([less.estimate, less.low, less.high], expected, atol=2e-4)
        assert abs(own.estimate - row[verdict]) < 2e-4
    parts = [found.compare("natural", gate, pairs=part) for part in ("without backgrounds", "with a background")]
    assert abs(parts[0].estimate - found.table("natural").loc[gate[0], "rank without backgrounds"]) < 2e-4
    assert min(p.estimate for p in parts) < found.compare("natural", gate).estimate < max(p.estimate for p in parts)
    assert found.compare("early", plain, plain).estimate == 0


def test_five_verdicts_are_kept_of_every_map_and_four_of_its_surrogate(found):
    pairs = found.pairs("deeper-lstm/natural")
    assert pairs.verdicts.shape == (len(pairs.scene), len(pairs.maps), 5)
    assert pairs.surrogate.shape == (len(pairs.scene), len(pairs.maps), 4)


def test_a_random_sample_measured_again_agrees(capsys):
    """What ``python -m qgc measure --check`` does, on one scene a model."""
    assert summary.check(RESULTS, scenes=1, seed=int(np.random.default_rng().integers(1000))) == []


def test_a_changed_number_is_found(found, tmp_path):
    arrays = dict(found.arrays)
    arrays["deeper-lstm/natural|numbers"] = arrays["deeper-lstm/natural|numbers"] // 4
    arrays["deeper-lstm/natural|verdicts"] = 255 - arrays["deeper-lstm/natural|verdicts"]  # all of them are others
    summary.write(tmp_path, found.tables, arrays)
    faults = summary.check(tmp_path, scenes=1)
    assert any("shares differ" in fault for fault in faults)
    assert any("verdicts differs in 100%" in fault for fault in faults)


def test_without_results_the_remedy_is_named(tmp_path):
    with pytest.raises(QGCError, match="python -m qgc measure"):
        Stored.read(tmp_path)
    assert main(["measure", "--check", "--out", str(tmp_path)]) == 2
    (tmp_path / "measure.json.xz").write_bytes(lzma.compress(b"{")[:-1])
    with pytest.raises(QGCError, match="python -m qgc measure"):
        Stored.read(tmp_path)


def test_the_complete_table_has_every_measure_of_every_method(found):
    for model in MODELS:
        whole, table = results.complete(found, model), found.table(model)
        assert list(whole.index) == list(table.index) and list(whole) == list(results.COLUMNS)
        row = table.loc["Grad-CAM"]
        assert whole.loc["Grad-CAM", "RGA"] == "{:.2f} [{:.2f}, {:.2f}]".format(*row[["rank", "rank low", "rank high"]])
        assert whole.loc["Grad-CAM", "n"] == "–" != whole.loc["∂A/∂q, l2", "n"]
        null = found.absent(model).loc["gate n=269", "absent"]
        assert whole.loc["∂A/∂q, l2", "absent objects"].startswith(f"{null:.2f} [")
        assert whole.loc["∂A/∂q, sum", "absent objects"] == "–"
