"""What is recorded of runs on photographs comes back; a table holds what there is; wrong runs are refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from qgc.errors import DataError
from qgc.lab.experiments import photo_results

ALL = {"n": 4, "accuracy": 0.5, "question_only": 0.25, "gained": 0.25, "gained_95": [-0.1, 0.4]}
TEST = {"dataset": "vqa2", "questions": 4, "images": 2, "all": ALL, "kinds": {"other": ALL, "number": ALL}}
TRAINED = {
    "dataset": "vqa2",
    "family": "deeper-lstm",
    "seed": 3,
    "config": {"cnn": {"name": "x"}, "words": ["a"]},
    "test": TEST,
}
ALONE = {"n": 4, "accuracy": 0.125}
PUBLISHED = {
    "dataset": "vqa2", "family": "deeper-lstm", "command": "python -m qgc convert a",
    "converted_with": {"qgc": "1", "torch": "2"},
    "converted_from": {"weights": {"file": "lstm.t7", "sha256": "ab" * 32}}, "config": {"cnn": {"name": "x"}},
    "test": {"dataset": "vqa2", "questions": 4, "images": 2, "all": ALONE, "kinds": {"other": ALONE}},
}  # fmt: skip


def test_what_is_recorded_is_read_again_and_other_data_sets_stay(tmp_path):
    path = tmp_path / "photographs.json"
    tables = {"pairs": pd.DataFrame({"pairs of": ["a"], "estimate": [0.1234567], "low": [np.nan]})}
    photo_results.record(path, [TRAINED], tables, "other")
    daquar = {**TRAINED, "dataset": "daquar", "test": {**TEST, "dataset": "daquar"}}
    photo_results.record(path, [daquar], tables, "python -m qgc measure a --record")
    found = photo_results.recorded("daquar", path=path)
    assert found.origin == "recorded by: python -m qgc measure a --record" and "words" not in str(found.runs)
    assert found.tables["pairs"]["estimate"].tolist() == [0.123457] and found.tables["pairs"]["low"].isna().all()
    assert photo_results.recorded("vqa2", path=path).origin == "recorded by: other"
    with pytest.raises(DataError, match="qgc train vqa1 --model deeper-lstm"):
        photo_results.recorded("vqa1", path=path)


def test_published_weights_are_recorded_without_a_seed(tmp_path):
    path = tmp_path / "photographs.json"
    photo_results.record(path, [PUBLISHED], {}, "c")
    run = json.loads(path.read_text())["vqa2, published deeper-lstm"]["runs"][0]
    assert run["converted_from"] == PUBLISHED["converted_from"] and "seed" not in run
    assert photo_results.origins([run]) == [
        "python -m qgc convert a", "with qgc 1, torch 2", "SHA-256 of the published files:",
        "  lstm.t7: abababababababab …",
    ]  # fmt: skip


def test_each_kind_of_run_has_its_own_place(tmp_path):
    path = tmp_path / "photographs.json"
    pythia = {**TRAINED, "family": "pythia"}
    for run, command in ((TRAINED, "lstm"), (PUBLISHED, "published"), (pythia, "pythia")):
        photo_results.record(path, [run], {}, command)
    assert photo_results.recorded("vqa2", path=path).origin == "recorded by: lstm"
    assert photo_results.recorded("vqa2", "pythia", path).origin == "recorded by: pythia"
    assert photo_results.recorded("vqa2", "published deeper-lstm", path).origin == "recorded by: published"
    for others, match in (
        ([TRAINED, pythia], "more than their seed"),
        ([TRAINED, {**TRAINED, "seed": 4, "recipe": {"lr": 1}}], "more than their seed"),
        ([TRAINED, TRAINED], "the same seed"),
    ):
        with pytest.raises(DataError, match=match):
            photo_results.record(path, others, {}, "both")
    with pytest.raises(DataError, match="qgc convert"):
        photo_results.recorded("vqa1", "published pythia", path)


@pytest.mark.parametrize("test", [{}, {"test": {**TEST, "dataset": "vqa1"}}], ids=["none", "of other data"])
def test_what_was_not_tested_is_not_recorded(tmp_path, test):
    for about, match in (
        (TRAINED, "training 3 .* evaluate RUN --record"),
        (PUBLISHED, "RUN --dataset vqa2 --data-dir"),
    ):
        without = {k: v for k, v in about.items() if k != "test"} | test
        with pytest.raises(DataError, match=match):
            photo_results.record(tmp_path / "photographs.json", [without], {}, "c")


def test_tables_hold_what_is_known():
    both = photo_results.accuracy([TRAINED, {**TRAINED, "seed": 4}])
    assert both.loc["training 4"].tolist() == [50, 25, 25, -10, 40] and list(both) == list(photo_results.SHOWN.values())
    alone = photo_results.accuracy([PUBLISHED])
    assert alone.to_dict("index") == {"published weights": {"with the photograph": 12.5}}
    assert photo_results.kinds([TRAINED]).loc["other"].to_dict() == {
        "n": 4, "accuracy": 50, "question_only": 25, "gained": 25
    }  # fmt: skip
    assert photo_results.kinds([PUBLISHED]).to_dict("index") == {"other": {"n": 4, "accuracy": 12.5}}
    untested = {k: v for k, v in PUBLISHED.items() if k != "test"}
    assert photo_results.accuracy([untested]).empty and photo_results.kinds([untested]).empty
    assert photo_results.tested([untested]).endswith("evaluate RUN --dataset vqa2 --data-dir DIR --record")
    assert photo_results.tested([PUBLISHED]) == "4 questions about 2 test photographs; in percent:"


def test_gates_stand_in_rows_with_gradcam_first():
    rows = [
        {"ranking": ranking, "n": n, "measure": measure, "estimate": n / 100, "low": n / 200, "high": n / 50}
        for measure in ("told apart", "above random") for ranking in ("∂A/∂q", "|g|") for n in (10, 25, 200, 1024)
    ]  # fmt: skip
    found = photo_results.by_gate(
        photo_results.Results("", [], {"deletion": pd.DataFrame(rows)}), "deletion", "told apart"
    )
    assert list(found.index) == ["Grad-CAM", "∂A/∂q, n = 25", "∂A/∂q, n = 200", "|g|, n = 25", "|g|, n = 200"]
    assert found.loc["|g|, n = 200"].tolist() == [2, 1, 4] and found.loc["Grad-CAM", "estimate"] == 10.24
    assert list(found) == ["estimate", "estimate low", "estimate high"]


def test_the_data_set_of_a_run():
    assert photo_results.dataset_of({"dataset": "vqa1"}, None) == "vqa1"
    assert photo_results.dataset_of({"converted_from": {}}, "vqa1") == "vqa1"
    for about, named, match in (
        ({"dataset": "vqa1"}, "vqa2", "learnt from vqa1, not from vqa2"),
        ({"converted_from": {}}, None, "--dataset vqa2 --data-dir"),
        ({"distribution": "natural"}, "vqa2", "no photographs"),
    ):
        with pytest.raises(DataError, match=match):
            photo_results.dataset_of(about, named)
