"""The command line, end to end, on a small random model."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from qgc.cli import main
from qgc.measure import bench as benchmark
from qgc.models import DeeperLSTM, zoo
from qgc.scenes.situations import situation
from qgc.train.recipes import RECIPES
from qgc.train.run import config

QUESTION = "What color are the towels?"


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run's folder with an untrained model and a whole card."""
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    about = {
        "trained_on": "nothing",
        "distribution": "natural",
        "command": "none",
        "recipe": RECIPES["natural"].__dict__,
        "time": {"device": "cpu", "seconds": {"questions": 60}},
        "question_prior": {"colour": "white", "colour|towels": "white", "existence": "yes"},
    }
    zoo.save(DeeperLSTM(config()), folder / "model", about)
    return folder


@pytest.fixture
def scene_file(tmp_path):
    return situation("bathroom").save(tmp_path / "scene.png")


def explain(path, run_folder, *more):
    return main(["explain", str(path), *more, "--model", str(run_folder)])


def test_explain_a_scene(scene_file, run_folder, capsys):
    assert explain(scene_file, run_folder, QUESTION, "--answer", "white", "--n", "25", "--json") == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert found["answer"] == "white" and 0 < found["confidence"] < 1 and len(found["top"]) == 10
    assert Image.open(found["figure"]).size[0] > 200
    assert "only seen scenes" not in err
    values = [row["value"] for row in found["top"]]
    assert values == sorted(values, reverse=True)


def test_explain_prints_words(scene_file, run_folder, tmp_path, capsys):
    assert explain(scene_file, run_folder, QUESTION, "--out", str(tmp_path / "figure.png")) == 0
    out = capsys.readouterr().out
    assert QUESTION in out and "top 10" in out and (tmp_path / "figure.png").exists()


def test_a_photo_is_told_apart(tmp_path, run_folder, capsys):
    photo = tmp_path / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), dtype=np.uint8)).save(photo)
    assert explain(photo, run_folder, QUESTION) == 0
    assert "only seen scenes" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.png", QUESTION], "there is no file"),
        (["SCENE", ""], "question is empty"),
        (["SCENE", QUESTION, "--answer", "whte"], "did you mean 'white'"),
        (["SCENE", QUESTION, "--n", "0"], "from 1 to 1024"),
        (["SCENE", QUESTION, "--reduce", "max"], "unknown reduction"),
        (["SCENE", QUESTION, "--out", "/nowhere/at/all.png"], "No such file"),
    ],
)
def test_bad_input_is_one_message(arguments, message, scene_file, run_folder, capsys):
    arguments = [str(scene_file) if a == "SCENE" else a for a in arguments]
    assert explain(arguments[0], run_folder, *arguments[1:]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_an_unknown_word_is_named(scene_file, run_folder, capsys):
    assert explain(scene_file, run_folder, "What color are the towls?") == 0
    assert "'towls' (did you mean 'towels'?)" in capsys.readouterr().err


def test_evaluate_reports_the_baseline_and_records(run_folder, capsys):
    assert main(["evaluate", str(run_folder), "--scenes", "6", "--split", "validation", "--json", "--record"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["families"]["colour"].keys() == {"n", "accuracy", "question_only"}
    assert zoo.card(str(run_folder))["validation"]["scenes"] == 6
    assert "question only" in (run_folder / "model.md").read_text()


def test_bench_prints_every_figure(run_folder, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "CASES", 8)
    assert main(["bench", "--model", str(run_folder), "--scenes", "3", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows["engine against autograd, 8 cases, float64"]["value"] <= 1e-12
    assert rows["engine against autograd, 8 cases, float32"]["value"] <= 1e-5
