"""The stored measurement: whole, of the shipped weights, and the same when a sample of it is measured again."""

import json

import numpy as np
import pytest

from qgc.cli import main
from qgc.errors import QGCError
from qgc.measure import grounding, summary
from qgc.measure.protocol import ARMS, GRID, SCENES, SEEDS
from qgc.measure.stored import MODELS, RESULTS, Stored
from qgc.models import card


@pytest.fixture(scope="module")
def found() -> Stored:
    return Stored.read()


def test_it_follows_the_protocol(found):
    natural = found.arm("natural")
    assert natural["seeds"] == SEEDS and found.tables["grid"] == list(GRID)
    assert 0.8 * SCENES["test"] < natural["scenes"] <= SCENES["test"]
    assert found.gates == list(grounding.GATES) and set(found.chosen) == set(found.gates)
    for arm in ARMS[:1] + ARMS[SEEDS:]:
        assert found.tables["about"]["weights"][arm.name] == card(arm.name)["files"], "other weights: measure again"


def test_every_model_has_every_method(found):
    for model in MODELS:
        table = found.table(model)
        assert set(found.gates) <= set(table.index) and "Grad-CAM" in table.index
        assert (table["grounding low"] <= table["grounding"]).all()
        assert (table["grounding"] <= table["grounding high"]).all()


def test_the_chosen_n_reads_the_curve(found):
    """A table's row is the curve at the n that validation chose (the curve is kept in float16)."""
    for model in MODELS:
        table = found.table(model)
        for gate, n in found.chosen.items():
            assert abs(found.curve(model, gate)[0, n - 1] - table.loc[gate, "grounding"]) < 2e-3


def test_a_random_sample_measured_again_agrees(capsys):
    """What ``python -m qgc measure --check`` does, on one scene a model."""
    assert summary.check(RESULTS, scenes=1, seed=int(np.random.default_rng().integers(1000))) == []


def test_a_changed_number_is_found(found, tmp_path):
    arrays = dict(found.arrays)
    arrays["deeper-lstm/natural|free"] = arrays["deeper-lstm/natural|free"] + np.float16(0.05)
    summary.write(tmp_path, found.tables, arrays)
    assert any("maps differ" in fault for fault in summary.check(tmp_path, scenes=1))


def test_without_results_the_remedy_is_named(tmp_path):
    with pytest.raises(QGCError, match="python -m qgc measure"):
        Stored.read(tmp_path)
    assert main(["measure", "--check", "--out", str(tmp_path)]) == 2
    (tmp_path / "measure.json").write_text(json.dumps({})[:-1])
    with pytest.raises(QGCError, match="python -m qgc measure"):
        Stored.read(tmp_path)
