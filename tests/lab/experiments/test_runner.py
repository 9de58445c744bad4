"""Nulls, interventions, deletion and sanity checks in chunks: resumed, and made into tables."""

import json

import pytest

from qgc.lab.experiments import runner
from qgc.lab.protocol import PROTOCOL_MODELS
from qgc.paper import SPEARMAN

NATURAL = [model for model in PROTOCOL_MODELS if model.name == "deeper-lstm/natural"]


@pytest.fixture(scope="module")
def chunks(tmp_path_factory):
    """All experiments on two scenes (of the validation split: no test reads a test scene's map)."""
    folder = tmp_path_factory.mktemp("experiments")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(runner.FIRST_SEED, "test", runner.FIRST_SEED["validation"] + 700)
        for name, value in {
            "POOL_SCENES": 4,
            "CASCADES": 1,
            "CASCADE_SCENES": 1,
            "CHUNK": 1,
            "SANITY_DRAWS": 1,
            "MISMATCHED_DRAWS": 1,
        }.items():
            patch.setattr(runner, name, value)
        yield {s: runner.measure(s, folder, models=NATURAL, scenes=2, workers=1) for s in runner.EXPERIMENTS}


def test_every_experiment_leaves_rows_of_plain_data(chunks):
    for experiment, paths in chunks.items():
        rows = runner.gather(paths, "deeper-lstm/natural")
        assert rows and all({"scene"} <= row.keys() for row in rows), experiment
        assert {row["scene"] for row in rows} <= {0, 1}


def test_what_is_there_is_not_measured_again(chunks, monkeypatch):
    folder, first = chunks["nulls"][0].parents[1], chunks["nulls"][0]
    before, kept = first.read_text(), json.loads(first.read_text())
    monkeypatch.setattr(runner, "CHUNK", 1)
    monkeypatch.setitem(runner.FIRST_SEED, "test", runner.FIRST_SEED["validation"] + 700)
    monkeypatch.setattr(runner, "POOL_SCENES", 4)
    chunks["nulls"][1].unlink()
    first.write_text(json.dumps({**kept, "mark": []}))
    again = runner.measure("nulls", folder, models=NATURAL, scenes=2, workers=1)
    assert "mark" in json.loads(first.read_text()) and again[1].exists()
    first.write_text(before)


def test_a_scene_is_measured_the_same_again(chunks, monkeypatch):
    folder, second = chunks["nulls"][0].parents[1], chunks["nulls"][1]
    for name, value in {"POOL_SCENES": 4, "CHUNK": 1}.items():
        monkeypatch.setattr(runner, name, value)
    monkeypatch.setitem(runner.FIRST_SEED, "test", runner.FIRST_SEED["validation"] + 700)
    before = second.read_text()
    second.unlink()
    runner.measure("nulls", folder, models=NATURAL, scenes=2, workers=1)
    assert second.read_text() == before


def test_tables_of_every_experiment(chunks):
    tables, arrays = runner.summarise(chunks, [row.value for row in SPEARMAN], NATURAL)
    found = {experiment: tables[experiment]["deeper-lstm/natural"] for experiment in chunks}
    assert {"spearman", "printed", "overlap"} <= found["nulls"].keys()
    assert {"effect", "correlation", "grounding", "given"} <= found["interventions"].keys()
    controls = {row["control"] for row in found["sanity"]["controls"]}
    assert {"none", "other questions", "encoder"} <= controls and any(c.startswith("cascade") for c in controls)
    assert {row["map"] for row in found["deletion"]["lost"]} >= {"Grad-CAM", "question contrast"}
    assert {"model", "faithful", "plausible"} <= found["faithfulness"].keys()
    assert arrays["nulls|deeper-lstm/natural|spearman/same answer/l2"].shape == (2,)
    json.dumps(tables)


def test_a_sample_of_every_experiment_is_measured_again(chunks, monkeypatch):
    for name, value in {
        "POOL_SCENES": 4,
        "CASCADES": 1,
        "CASCADE_SCENES": 1,
        "SANITY_DRAWS": 1,
        "MISMATCHED_DRAWS": 1,
    }.items():
        monkeypatch.setattr(runner, name, value)
    monkeypatch.setitem(runner.FIRST_SEED, "test", runner.FIRST_SEED["validation"] + 700)
    _, arrays = runner.summarise(chunks, [row.value for row in SPEARMAN], NATURAL)
    kept = {key.split("|")[1] for key in arrays if key.startswith("digest|")}
    assert kept == set(runner.EXPERIMENTS)
    assert runner.check(arrays, scenes=2) == []
    for experiment in runner.EXPERIMENTS:
        head = f"digest|{experiment}|deeper-lstm/natural"
        changed = {f"{head}|scene": arrays[f"{head}|scene"], f"{head}|value": arrays[f"{head}|value"] * 1.05}
        assert [fault for fault in runner.check(changed) if fault.startswith(experiment)]
