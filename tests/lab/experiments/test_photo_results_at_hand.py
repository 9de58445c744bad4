"""A run on photographs that is measured now: whose accuracy it tells, and of how many photographs."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from qgc.lab.experiments import photo_results

CARD = {"dataset": "daquar", "family": "deeper-lstm", "config": {"cnn": {"name": "x"}}}


@pytest.mark.parametrize("tested_on, told", [("daquar", True), ("vqa2", False), (None, False)])
def test_an_accuracy_is_told_only_if_it_is_of_these_photographs(monkeypatch, tested_on, told):
    test = {"test": {"dataset": tested_on, "all": {}}} if tested_on else {}
    monkeypatch.setattr(photo_results.zoo, "card", lambda name: CARD | test)
    tables = {"pairs": pd.DataFrame({"photographs": [5, 7]})}
    monkeypatch.setattr(photo_results, "measure", lambda models, photos, count: tables)
    found = photo_results.at_hand(SimpleNamespace(name="runs/a"), SimpleNamespace(name="daquar", split="test"))
    assert ("test" in found.runs[0]) == told and found.tables is tables
    assert found.origin == "measured here: runs/a, on 7 photographs of daquar (test)"


def test_where_a_trained_run_comes_from():
    run = {
        "command": "python -m qgc train", "time": {"seconds": {"cnn": 60, "vqa": 240}}, "device": "cpu",
        "cnn_weights_sha256": "c" * 64, "versions": {"torch": "2"}, "question_files_sha256": {"q": "a" * 64},
        "glove_sha256": "b" * 64,
    }  # fmt: skip
    assert photo_results.origins([run, run]) == [
        *["python -m qgc train  (5 minutes on a cpu)"] * 2, "with torch 2",
        f"SHA-256 of the weights of the CNN: {'c' * 16} …; of the questions:",
        f"  q: {'a' * 16} …", f"  GloVe: {'b' * 16} …",
    ]  # fmt: skip
