"""From photographs to a model on the command line: on drawn files in DAQUAR's layout, and on the real ones.

The real ones (QGC_REAL_DATA) take most of an hour, and steps of the full size minutes: only with QGC_SLOW=1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import torchvision
from PIL import Image
from rooms_writer import write_rooms
from vqa_writer import write as write_vqa

import qgc
from qgc import data
from qgc.cli import main
from qgc.data import rooms
from qgc.data.questions import held_out
from qgc.lab.bench import full_size
from qgc.lab.train import commands
from qgc.lab.train.distributed import ProcessGroup
from qgc.lab.train.photo_recipes import ORIGINAL
from qgc.lab.train.photo_run import TrainingConfig, train_photos
from qgc.models import zoo

THINGS = ("table", "chair", "lamp", "sofa")


def write_daquar(folder: Path) -> None:
    """A small data set in DAQUAR's official layout; two photographs of the training part belong to validation."""
    names = [f"image{i}" for i in range(1, 80)]
    held = [n for n in names if held_out(n)][:2]
    others = [n for n in names if n not in held][:12]
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, images in (("train", [*others[:8], *held]), ("test", others[8:])):
        pairs = []
        for i, name in enumerate(images):
            Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).save(folder / "images" / f"{name}.jpg")
            thing = THINGS[i % len(THINGS)]
            pairs += [f"what is near the door in the {name} ?", thing, f"how many {thing}s are in the {name} ?", "2"]
            pairs += [f"what is the colour of the {thing} in the {name} ?", "red"]
        (folder / f"qa.894.raw.{part}.txt").write_text("\n".join(pairs) + "\n")
        (folder / f"{part}_images_list.txt").write_text("\n".join(images) + "\n")


def command(place: Path, out: str, *more: str) -> list[str]:
    """The arguments that train on the small data set."""
    return [
        "train", "daquar", "--data-dir", str(place / "daquar"), "--cache", str(place / "cache"),
        "--cnn", "squeezenet1_1", "--weights", str(place / "cnn.safetensors"), "--out", str(place / out), *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the small data set, a CNN's weights and a finished run."""
    place = tmp_path_factory.mktemp("photographs")
    write_daquar(place / "daquar")
    torch.manual_seed(0)
    safetensors.torch.save_file(torchvision.models.squeezenet1_1().state_dict(), place / "cnn.safetensors")
    assert main(command(place, "run")) == 0
    return place


def test_the_card_tells_what_the_run_was(place):
    about = zoo.card(str(place / "run"))
    assert about["dataset"] == "daquar" and about["seed"] == 0 and about["recipe"]["name"] == "modern"
    assert about["cnn_weights_sha256"] == zoo.sha256(place / "cnn.safetensors")
    assert about["question_files_sha256"]["qa.894.raw.train.txt"] == zoo.sha256(place / "daquar/qa.894.raw.train.txt")
    assert 0 <= about["validation"]["accuracy"] <= 1 and about["questions_per_second"] > 0
    assert about["versions"]["torch"] == torch.__version__ and about["memory_mb"]["cpu"] > 0
    assert set(about["time"]["seconds"]) == {"features", "model", "twin"}
    assert str(place) not in json.dumps(about)  # where the data is, data.json alone knows
    assert json.loads((place / "run/data.json").read_text())["data_dir"] == str(place / "daquar")


def test_a_photograph_is_explained_by_the_run(place):
    vqa = qgc.load(str(place / "run"))
    photo = place / "daquar/images/image1.jpg"
    found = qgc.explain(vqa, photo, "what is near the door?")
    assert found.answer in vqa.answers and found.maps([10, 1024]).shape == (2, 13, 13)
    baseline = qgc.load(str(place / "run/twin.json"))
    assert (baseline.image.weight == 0).all() and (vqa.image.weight != 0).any()
    blind = qgc.explain(baseline, photo, "what is near the door?")
    assert (blind.map() == 0).all()


def test_a_run_is_evaluated_beside_its_baseline(place, capsys):
    capsys.readouterr()
    assert main(["evaluate", str(place / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["questions"] == 12 and found["images"] == 4 and found["split"] == "test"
    assert set(found["kinds"]) == {"number", "colour", "thing"}
    vqa = qgc.load(str(place / "run"), dtype=torch.float32)
    photos = data.load("daquar", place / "daquar", "test")
    right = [vqa.ask(photos.image_path(q.image), q.text)[0] == q.answer for q in photos.questions]
    assert found["all"]["accuracy"] == pytest.approx(np.mean(right))
    held = ["evaluate", str(place / "run"), "--split", "validation", "--record"]
    assert main(held) == 0 and main(held) == 0
    assert "question only" in capsys.readouterr().out
    about = zoo.card(str(place / "run"))
    assert about["validation_split"]["split"] == "validation" and about["validation"]["step"] > 0


def test_a_model_learns_from_the_rooms_of_a_fold(place, tmp_path, capsys):
    write_rooms(tmp_path / "nyu13", 3)
    rooms.make(tmp_path / "nyu13", workers=1)
    where = ["--data-dir", str(tmp_path / "nyu13"), "--cache", str(tmp_path), "--out", str(tmp_path / "run")]
    cnn = ["--cnn", "squeezenet1_1", "--weights", str(place / "cnn.safetensors")]
    assert main(["train", "rooms-recoloured-0", "--model", "pythia", *where, *cnn]) == 0
    about = zoo.card(str(tmp_path / "run"))
    assert about["recipe"]["name"] == "rooms" and "--recipe" not in about["command"]
    assert about["made"]["on"] == "all of it but validation" and 0 <= about["validation"]["accuracy"] <= 1
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 2 and set(found["kinds"]) == {"colour", "existence", "check"}


def test_a_model_of_scenes_is_not_tested_on_photographs(place, capsys):
    assert main(["evaluate", "deeper-lstm/natural", "--dataset", "daquar", "--data-dir", str(place / "daquar")]) == 2
    assert "learnt from no photographs" in capsys.readouterr().err


def test_an_evaluation_is_recorded_and_the_data_may_move(place, tmp_path, capsys):
    moved = tmp_path / "elsewhere"
    shutil.copytree(place / "run", tmp_path / "run")
    shutil.copytree(place / "daquar", moved)
    (tmp_path / "run/data.json").unlink()
    assert main(["evaluate", str(tmp_path / "run")]) == 2
    assert "--data-dir" in capsys.readouterr().err
    options = ["--data-dir", str(moved), "--cache", str(place / "cache"), "--record"]
    assert main(["evaluate", str(tmp_path / "run"), *options]) == 0
    assert zoo.card(str(tmp_path / "run"))["test"]["questions"] == 12
    qgc.load(str(tmp_path / "run"))


def test_a_pythia_is_trained_explained_and_evaluated(place, capsys):
    assert main(command(place, "pythia", "--model", "pythia")) == 0
    about = zoo.card(str(place / "pythia"))
    assert about["family"] == "pythia" and "--model pythia" in about["command"] and about["config"]["boxes"] == 0
    assert 0 < about["config"]["scale"] != 1 and about["role"] == "model"
    vqa = qgc.load(str(place / "pythia"))
    photo = place / "daquar/images/image1.jpg"
    found = qgc.explain(vqa, photo, "what is near the door?")
    assert found.maps([10, 1024]).shape == (2, 13, 13) and found.map().max() > 0
    baseline = qgc.load(str(place / "pythia/twin.json"))
    seen = [baseline.ask(picture, "what is near the door?") for picture in (photo, Image.new("RGB", (9, 9)))]
    assert seen[0] == seen[1] and (qgc.explain(baseline, photo, "what is near the door?").map() == 0).all()
    capsys.readouterr()
    assert main(["evaluate", str(place / "pythia"), "--json"]) == 0
    tested = json.loads(capsys.readouterr().out)
    vqa = qgc.load(str(place / "pythia"), dtype=torch.float32)
    photos = data.load("daquar", place / "daquar", "test")
    right = [vqa.ask(photos.image_path(q.image), q.text)[0] == q.answer for q in photos.questions]
    assert tested["all"]["accuracy"] == pytest.approx(np.mean(right))


def test_word_vectors_are_for_pythia_alone_and_change_what_it_learns(place, tmp_path, capsys):
    glove = tmp_path / "glove.txt"
    glove.write_text("door " + " ".join(["0.5"] * 3) + "\n")
    elsewhere = ["--glove", str(glove), "--cache", str(tmp_path / "cache")]
    assert main([*command(place, "none"), *elsewhere]) == 2
    assert "--glove is for --model pythia" in capsys.readouterr().err
    assert main([*command(place, "none", "--model", "pythia"), *elsewhere]) == 2
    assert "3 numbers, not 200" in capsys.readouterr().err
    assert main([*command(place, "none", "--shards", "3"), "--cache", str(tmp_path / "cache")]) == 2
    assert "shards" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists(), "said before the photographs are looked at"
    glove.write_text("door " + " ".join(["0.5"] * 200) + "\n")
    assert main([*command(place, "vectors", "--model", "pythia"), "--glove", str(glove)]) == 0
    about = zoo.card(str(place / "vectors"))
    assert about["glove_sha256"] == zoo.sha256(glove) and about["command"].endswith("--glove FILE")
    one, two = (safetensors.torch.load_file(place / run / "model.safetensors") for run in ("pythia", "vectors"))
    assert one.keys() == two.keys() and any(not torch.equal(one[k], two[k]) for k in one)


def test_another_seed_needs_another_folder(place, capsys):
    assert main(command(place, "run", "--seed", "1")) == 2
    assert "another" in capsys.readouterr().err


def test_what_is_missing_is_said(place, tmp_path, capsys, monkeypatch):
    shutil.copytree(place / "daquar", tmp_path / "daquar")
    (tmp_path / "daquar/images/image1.jpg").unlink()
    shutil.copy(place / "cnn.safetensors", tmp_path)
    assert main(command(tmp_path, "run")) == 2
    assert "image1" in capsys.readouterr().err
    assert main([*command(place, "other"), "--weights", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors" in capsys.readouterr().err
    alone = [a for a in command(place, "other") if "weights" not in a and not a.endswith("cnn.safetensors")]
    monkeypatch.setenv("TORCH_HOME", "/dev/null/nowhere")
    assert main(alone) == 2  # torchvision's own are wanted, which have no place here
    assert "the weights of squeezenet1_1 cannot be downloaded from https://" in capsys.readouterr().err


def test_torchrun_ends_with_the_same_weights(place):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "qgc"]
    done = subprocess.run([*torchrun, *command(place, "two")], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for name in ("model", "twin"):
        one, two = (safetensors.torch.load_file(place / run / f"{name}.safetensors") for run in ("run", "two"))
        assert all(torch.equal(one[key], two[key]) for key in one)
    assert zoo.card(str(place / "two"))["processes"] == 2


def test_vqa_is_trained_without_a_second_training(place, tmp_path, capsys):
    write_vqa(tmp_path / "vqa2", train=30, val=3)
    small = replace(ORIGINAL, embedding=8, hidden=8, batch=8, steps=40, validate_every=10, lr=3e-3)
    training = TrainingConfig(
        "vqa2", tmp_path / "vqa2", "squeezenet1_1", place / "cnn.safetensors", tmp_path / "run", small, "original",
        cache=tmp_path / "cache",
    )  # fmt: skip
    found = train_photos(training, ProcessGroup())
    assert found["model"].made is found["model"].chosen and [r["step"] for r in found["twin"].chosen.trace][0] == 10
    capsys.readouterr()
    commands._print_results(found, tmp_path / "run", True)
    assert json.loads(capsys.readouterr().out)["model"]["seconds"] == round(found["model"].made.seconds)
    assert main(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    tested = json.loads(capsys.readouterr().out)
    vqa, photos = qgc.load(str(tmp_path / "run"), dtype=torch.float32), data.load("vqa2", tmp_path / "vqa2", "test")
    right = [photos.score(q, vqa.ask(photos.image_path(q.image), q.text)[0]) for q in photos.questions]
    assert tested["all"]["accuracy"] == pytest.approx(np.mean(right)) and tested["questions"] == len(right)
    assert set(tested["kinds"]) == {q.kind for q in photos.questions}


@pytest.mark.skipif("QGC_SLOW" not in os.environ, reason="takes steps of the full size; set QGC_SLOW=1")
def test_memory_does_not_grow_with_the_data():
    found = full_size.full_size(sizes=(200, 20_000), steps=1)
    small, large = (row["memory_mb"]["cpu"] for row in found.values())
    assert large < small + 80  # the second has 160 MB more of features; what is freed comes back in pieces of 50 MB
    assert all(row["questions_per_second"] > 0 for row in found.values())


@pytest.mark.skipif("QGC_REAL_DATA" not in os.environ, reason="needs QGC_REAL_DATA, the folder with the real files")
@pytest.mark.skipif("QGC_SLOW" not in os.environ, reason="trains for most of an hour; set QGC_SLOW=1")
def test_daquar_is_learnt(tmp_path, capsys):
    real = Path(os.environ["QGC_REAL_DATA"])
    options = ["--cnn", "squeezenet1_1", "--weights", str(real / "squeezenet1_1.safetensors")]
    options += ["--data-dir", str(real / "daquar"), "--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")]
    assert main(["train", "daquar", *options]) == 0
    capsys.readouterr()
    assert main(["evaluate", str(tmp_path / "run"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["questions"] == 5_673 and found["all"]["accuracy"] >= 0.22
