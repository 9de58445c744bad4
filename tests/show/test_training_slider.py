"""The slider's data: what is recorded is what qgc measures, the file is small, and an empty curve is empty."""

import base64
import json

import numpy as np
import pandas as pd
import pytest
import torch
from loading import load_scripts
from training import export

import qgc
from qgc.errors import QGCError
from qgc.explain import EncodedImage, contrast, explain
from qgc.lab.experiments.faithfulness import alterations, maps_of
from qgc.lab.protocol2 import PROTOCOL
from qgc.lab.protocol2.measure import Subject, measure_pair
from qgc.lab.train import graded
from qgc.measure import cosine, rank_grounding

MOST = 150_000  # bytes of training.json once all cells are there
STUB = {"said": [["red", 0.5, 0.5]] * 2, "Y": 0.1, "sure": True, "maps": []}


@pytest.fixture(scope="module")
def pairs() -> dict:
    return {d: export.chosen(d) for d in ("natural", "balanced")}


def test_scenes_are_the_first_of_the_validation_split_whose_pair_has_no_background(pairs):
    for distribution, found in pairs.items():
        seeds = list(found)
        assert len(found) == export.SCENES and seeds == sorted(seeds) and seeds[0] >= 10_000_000
        for seed, pair in found.items():
            assert export.sample(seed, distribution).names == pair.scene.names
            assert pair.first.answer == pair.second.answer
            assert not {pair.first.thing, pair.second.thing} & set(pair.scene.tones)


def test_a_moment_holds_what_qgc_says_of_the_pair(pairs):
    subject = Subject(qgc.load("deeper-lstm/balanced", dtype=torch.float32))
    pair = next(iter(pairs["balanced"].values()))
    altered = alterations(pair.scene, [pair], nulls=2)
    F = maps_of(subject.vqa, pair.scene, altered)
    entry = export.moment(subject, pair, F, altered)
    questions = [pair.first.question, pair.second.question]
    both = explain(subject.vqa, EncodedImage(subject.vqa, pair.scene), questions, pair.answer)
    masks = np.stack([pair.scene.masks[ask.thing] for ask in (pair.first, pair.second)])
    plain = torch.stack([e.map(relu=False) for e in both]).double()
    raw = {
        "Grad-CAM": plain, "gate, n = 25": torch.stack([e.map(25, relu=False) for e in both]).double(),
        "contrast, L1": torch.stack([contrast(*plain, "l1"), contrast(*plain.flip(0), "l1")]),
    }  # fmt: skip
    assert len(entry["maps"]) == len(export.METHODS) == len(raw)
    for name, stored in zip(export.METHODS, entry["maps"], strict=True):
        ranked = rank_grounding(raw[name], masks)
        assert stored["a"] == pytest.approx([float(ranked.a_1), float(ranked.a_2)], abs=2e-3), name
        assert stored["verdict"] == ranked.verdict
        assert stored["cosine"] == pytest.approx(cosine(*raw[name].relu()), abs=1e-3)
        for text, exact in zip(stored["maps"], raw[name].relu(), strict=True):
            levels = np.frombuffer(base64.b64decode(text), np.uint8).reshape(14, 14)
            assert levels / 255 == pytest.approx((exact / exact.max()).numpy(), abs=0.003)
    effects = measure_pair(subject, pair, F, [25], altered=altered)["effects"]
    assert entry["Y"] == pytest.approx(effects[8], abs=1e-3) and entry["sure"] == bool(effects[7])
    assert [said for said, *_ in entry["said"]] == [e.predicted for e in both]
    assert [p for *_, p in entry["said"]] == pytest.approx([e.confidence for e in both], abs=1e-3)


def test_cells_whose_run_is_not_there_are_left_out_and_named(tmp_path, monkeypatch):
    def load(model, runs):
        if model.cell != "balanced-bound":
            raise QGCError(f"no run; train it: python -m qgc train graded {model.cell}")
        return model.step

    monkeypatch.setattr(export.run, "load", load)
    monkeypatch.setattr(export, "Subject", lambda step: step)
    monkeypatch.setattr(export, "chosen", lambda d: {10_000_000: d})
    monkeypatch.setattr(export, "asked", lambda seed, pair: {"seed": seed})
    monkeypatch.setattr(export, "through_training", lambda steps, pair: [{**STUB, "Y": s} for s in steps])
    left_out = export.record(tmp_path, tmp_path / "training.json")
    assert len(left_out) == 3 and "natural-bound" in left_out[1] and "train graded natural-bound" in left_out[1]
    data = json.loads((tmp_path / "training.json").read_text(encoding="utf-8"))
    assert list(data["cells"]) == ["balanced-bound"] and list(data["scenes"]) == ["balanced"]
    assert [entry["Y"] for entry in data["cells"]["balanced-bound"][0]] == export.STEPS
    assert [m["passes"] for m in data["moments"]] == ["1/8", "1/2", "1", "2", "4", "16"]


def test_without_any_run_the_command_that_trains_one_is_named(tmp_path):
    with pytest.raises(QGCError, match="train graded natural-unbound --seed 0"):
        export.record(tmp_path, tmp_path / "training.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not export.FILE.exists(), reason="no training run was recorded: python site training --record")
def test_what_is_committed_is_whole_small_and_of_the_chosen_scenes(pairs):
    data = json.loads(export.FILE.read_text(encoding="utf-8"))
    assert export.FILE.stat().st_size * len(graded.CELLS) / len(data["cells"]) <= MOST
    assert data["methods"] == list(export.METHODS) and data["moments"] == export.moments()
    assert set(data["cells"]) <= {cell.name for cell in graded.CELLS}
    for distribution, scenes in data["scenes"].items():
        assert scenes == [export.asked(*one) for one in pairs[distribution].items()]
    for cell, scenes in data["cells"].items():
        assert len(scenes) == len(data["scenes"][cell.partition("-")[0]]), cell
        for entries in scenes:
            assert len(entries) == len(data["moments"]), cell
            maps = [text for entry in entries for method in entry["maps"] for text in method["maps"]]
            assert {len(base64.b64decode(text)) for text in maps} == {196}


def made_up(values) -> pd.DataFrame:
    names = [m.name for m in PROTOCOL.models[: len(values)]]
    columns = ["separation", "cosine", *export.METHODS]
    return pd.DataFrame([[x, 1 - x, 0.5, 0.5 + x / 2, None] for x in values], names, columns).rename_axis("model")


@pytest.mark.parametrize(
    ("files", "split"), [([], None), (["validation-a"], "validation"), (["validation-a", "test-a"], "test")]
)
def test_the_curve_is_of_the_test_scenes_if_they_are_measured_and_empty_if_nothing_is(
    tmp_path, monkeypatch, files, split
):
    for name in files:
        (tmp_path / f"{name}.npz").touch()
    asked = []
    monkeypatch.setattr(export, "read", lambda *given: asked.append(given))
    monkeypatch.setattr(export, "overview", lambda measured: made_up([0.12345, 0.5]))
    found = export.points(tmp_path)
    assert found["split"] == split and bool(found["of"]) == bool(files)
    if files:
        assert asked == [(split, tmp_path, PROTOCOL if split == "test" else None)]
        assert found["of"][PROTOCOL.models[0].name] == [0.123, 0.877, 0.5, 0.562, None]
        json.dumps(found, allow_nan=False)


def test_a_page_with_a_slider_loads_it_and_no_other_does(tmp_path):
    page = "<html><head></head><body>{}</body></html>"
    (tmp_path / "a.html").write_text(page.format('<div class="qgc-training"></div>'))
    (tmp_path / "b.html").write_text(page.format('<div class="qgc-predict"></div>'))
    (tmp_path / "training").mkdir()
    assert [p.name for p in load_scripts(tmp_path, tmp_path / "training")] == ["a.html"]
    text = (tmp_path / "a.html").read_text()
    assert text.index("training/maps.js?v=") < text.index("training/training.js?v=") < text.index("</head>")


def test_nothing_comes_from_elsewhere_and_the_script_can_be_read():
    for name in ("training.js", "training.css"):
        text = (export.HERE / name).read_text(encoding="utf-8")
        assert "://" not in text and "@import" not in text and "fetch(" not in text
        assert max(map(len, text.splitlines())) <= 120 and len(text.splitlines()) < 400
