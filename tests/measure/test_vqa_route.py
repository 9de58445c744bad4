"""The whole way of VQA's photographs: train, evaluate, measure, and the chapter on them, in VQA's official layout."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import nbformat
import papermill
import pytest
import safetensors.torch
import torch
import torchvision
from vqa_writer import write

import qgc
from qgc import data
from qgc.cli import main
from qgc.lab.train.photo_recipes import ORIGINAL, RECIPES
from qgc.models import zoo

BOOK = Path(__file__).resolve().parents[2] / "book"
SMALL = replace(ORIGINAL, embedding=16, hidden=16, combine=64, batch=50, steps=60, validate_every=20, lr=3e-3)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a small VQA v2, a CNN's random weights, and a run that was trained on them."""
    place = tmp_path_factory.mktemp("vqa")
    write(place / "vqa2")
    torch.manual_seed(0)
    safetensors.torch.save_file(torchvision.models.squeezenet1_1().state_dict(), place / "cnn.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES["deeper-lstm"], "original", SMALL)  # the usual recipe for VQA, of less than its size
        assert main([
            "train", "vqa2", "--data-dir", str(place / "vqa2"), "--cache", str(place / "cache"), "--cnn",
            "squeezenet1_1", "--weights", str(place / "cnn.safetensors"), "--out", str(place / "run"),
        ]) == 0  # fmt: skip
    return place


def chapter(place: Path, out: Path, **parameters) -> str:
    """Run the chapter on photographs as a reader does, and give what its cells print and show as text."""
    given = {"dataset": "vqa2", "data_dir": str(place / "vqa2"), "run": str(place / "run"), **parameters}
    nb = papermill.execute_notebook(
        BOOK / "photographs.ipynb", out, given, cwd=BOOK, kernel_name="python3", progress_bar=False
    )
    outputs = [o for cell in nb.cells for o in cell.get("outputs", [])]
    assert not [o for o in outputs if o.get("name") == "stderr"]
    return "\n".join(o.get("text") or o.data.get("text/plain", "") for o in outputs)


def test_the_layout_is_vqas(place):
    parts = [data.load("vqa2", place / "vqa2", split) for split in data.SPLITS]
    assert [len(photos.images) > 0 for photos in parts] == [True] * 3 and len(parts[2].images) == 12
    questions = [q for photos in parts for q in photos.questions]
    assert all(photos.image_path(image).is_file() for photos in parts for image in photos.images)
    assert {q.kind for q in questions} == {"yes/no", "other"} and all(len(q.answers) == 10 for q in questions)
    agreed = Counter(Counter(q.answers).most_common(1)[0][1] for q in questions)
    assert agreed[10] and any(agreed[n] for n in range(4, 10)), "in part, people disagree"


def test_from_photographs_to_the_chapter(place, tmp_path, capsys):
    capsys.readouterr()
    assert "no accuracy yet; this gives it: python -m qgc evaluate RUN --record" in chapter(place, tmp_path / "a.ipynb")

    assert main(["evaluate", str(place / "run"), "--record", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["dataset"] == "vqa2" and found["images"] == 12 and set(found["kinds"]) == {"yes/no", "other"}
    photos, vqa = data.load("vqa2", place / "vqa2", "test"), qgc.load(str(place / "run"), dtype=torch.float32)
    right = [photos.score(q, vqa.ask(photos.image_path(q.image), q.text)[0]) for q in photos.questions]
    assert found["all"]["accuracy"] == pytest.approx(sum(right) / len(right))

    assert main(["measure", str(place / "run"), "--json", "--record", "--out", str(tmp_path)]) == 0
    tables = json.loads(capsys.readouterr().out)
    assert set(tables) == {"pairs", "sweep", "deletion", "top 10"}
    assert json.loads((tmp_path / "photographs.json").read_text())["vqa2"]["runs"][0]["dataset"] == "vqa2"

    text = chapter(place, tmp_path / "b.ipynb")
    assert "run, on 12 photographs of vqa2 (test)" in text and "describes what was recorded on DAQUAR" in text
    assert f"{found['questions']} questions about 12 test photographs" in text
    assert f"{100 * found['all']['accuracy']:.2f}" in text and zoo.sha256(place / "cnn.safetensors")[:16] in text
    cosine = next(r["estimate"] for r in tables["sweep"] if r["measure"] == "cosine" and r["n"] == 64)
    assert re.search(rf"\n64 +{cosine:.2f}", text), "the sweep is this run's"
    assert tables["top 10"][0]["question"] in text and "COCO_val2014" in text
    images = [o for c in nbformat.read(tmp_path / "b.ipynb", 4).cells for o in c.get("outputs", []) if "data" in o]
    assert sum("image/png" in o.data for o in images) == 7, "six figures and the photograph"


def test_without_data_and_records_one_message_names_the_commands(tmp_path):
    with pytest.raises(papermill.PapermillExecutionError, match="python -m qgc train vqa2 .*measure RUN --record"):
        chapter(tmp_path, tmp_path / "c.ipynb", data_dir="")


def test_a_run_on_other_data_is_refused(place, capsys):
    for command in ("evaluate", "measure"):
        assert main([command, str(place / "run"), "--dataset", "vqa1", "--data-dir", str(place / "vqa2")]) == 2
        assert "this run learnt from vqa2, not from vqa1" in capsys.readouterr().err
