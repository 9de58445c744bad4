"""Reference explanations of protocol 2: what is measured of a scene, stored, and read back."""

import numpy as np
import pytest

from qgc.errors import QGCError
from qgc.lab.experiments.reference import METHODS
from qgc.lab.protocol2 import PROTOCOL, Model, Protocol, references
from qgc.lab.protocol2.measure import NO_MAP, VERDICTS, chosen_pair, methods
from qgc.measure.pairs import rank_grounding
from qgc.scenes import sample

MODEL = Model("deeper-lstm/balanced", "balanced")
ABOUT = {
    "scenes": {"validation": 3}, "models": [MODEL.name],
    "methods": ["|input × gradient|", "attention rollout", "integrated gradients of F"],
    "curves": {"models": [MODEL.name], "maps": ["Grad-CAM", "gate, n = 25", "|input × gradient|"]},
}  # fmt: skip


@pytest.fixture
def small(monkeypatch):
    protocol = Protocol(PROTOCOL.data, PROTOCOL.sha256)
    protocol.__dict__["models"] = (MODEL,)
    monkeypatch.setattr(references, "PROTOCOL", protocol)
    monkeypatch.setattr(references, "ABOUT", ABOUT)
    monkeypatch.setattr(references, "CHUNK", 2)


def test_its_methods_and_models_exist():
    about = PROTOCOL.data["references"]
    assert set(about["methods"]) <= set(METHODS) and len(references.models()) == len(about["models"])
    known = {*methods(PROTOCOL.n("test")), *about["methods"]}
    assert set(about["curves"]["maps"]) <= known and set(about["curves"]["models"]) <= set(about["models"])
    assert about["scenes"]["test"] >= 200


def test_what_is_stored_is_what_the_maps_say(tmp_path, small):
    chunks = references.measure("validation", tmp_path, tmp_path / "chunks", workers=1)
    assert len(chunks) == 2
    references.store(chunks, "validation", tmp_path / "out")
    arrays = references.read("validation", tmp_path / "out")
    vqa, name = references._subject(MODEL, tmp_path).vqa, "|input × gradient|"
    expected = {}
    for index in range(3):
        scene = sample(PROTOCOL.scenes["validation"].first + index, "balanced")
        if pair := chosen_pair(scene):
            asks = (pair.first, pair.second)
            maps = METHODS[name].maps(vqa, scene.image, [a.question for a in asks], [pair.answer] * 2)
            masks = np.stack([scene.masks[a.thing] for a in asks])
            expected[index] = float(rank_grounding(maps[None], masks).verdict[0])
    found = references.verdicts(arrays, MODEL.name, name)
    assert found.to_dict() == expected and len(expected) >= 2
    assert references.verdicts(arrays, MODEL.name, "attention rollout").isna().all()  # it has no such layers
    assert (arrays[f"{MODEL.name}|verdicts"][:, 1] == NO_MAP).all()
    assert arrays[f"{MODEL.name}|verdicts"].shape == (len(expected), 3, len(VERDICTS))
    overview = references.overview(arrays).set_index("method")
    assert overview.loc[name, "RGA"] == np.mean(list(expected.values())) and "attention rollout" not in overview.index
    table = references.curves(arrays, MODEL.name, draws=50)
    kinds = {"Grad-CAM", "gate, n = 25", name, "random", "object", "centre"}
    assert set(table["map"]) == kinds and {"own less other", "own less random"} <= set(table["asked"])
    assert references.check("validation", tmp_path, tmp_path / "out") == ([], [])
    arrays[f"{MODEL.name}|curves"] += 1
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(references, "read", lambda *_: arrays)
        assert len(references.check("validation", tmp_path, tmp_path / "out")[0]) == 1
    with pytest.raises(QGCError, match="another protocol"):
        references.read("validation", tmp_path / "out", Protocol({}, "0" * 64))


def test_a_draft_measures_no_test_scene(tmp_path, monkeypatch):
    monkeypatch.setitem(PROTOCOL.data, "status", "draft")
    with pytest.raises(QGCError, match="draft"):
        references.measure("test", tmp_path, tmp_path)
