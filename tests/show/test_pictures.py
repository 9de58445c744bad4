"""The pictures' files: by the arithmetic of their programs they give what qgc gives, to the digits that are shown."""

import base64
import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import parts
import pytest
import torch
from loading import load_scripts
from parts import read_part, unpack
from parts.packing import pack_maps, random_scores, unpack_maps
from pictures import PICTURES, export, write

from qgc.explain.rankings import neuron_maps
from qgc.lab.protocol.methods import hires
from qgc.measure import cosine, map_share

ROOT = Path(__file__).resolve().parents[2]
MOST = {"pass": 250_000, "neurons": 350_000, "repaint": 120_000, "sum": 100_000}  # bytes of a picture's data
MOUNT = re.compile(r'<div class="qgc-pictures" data-picture="([^"]+)">(.*?)</div>', re.DOTALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def both() -> list:
    return export.example()[2]


def data_of(written: Path, name: str) -> dict:
    return read_part(written / f"{name}-data.js")


def test_everything_is_there_and_small(written):
    own = {f"{name}{end}" for name in PICTURES for end in (".js", "-data.js", ".webp")}
    shared = {"index.js", "maps.js", "parts.css", "pictures.js", "pictures.css"}
    assert {p.name for p in written.iterdir()} == own | shared
    for name, most in MOST.items():
        assert (written / f"{name}-data.js").stat().st_size <= most, name
        assert (written / f"{name}.webp").stat().st_size <= 40_000, name


def test_the_pass_holds_every_arrow_of_the_model(written, both):
    data = data_of(written, "pass")
    assert data["questions"] == [e.question for e in both] and data["answer"] == "white"
    for asked, e in zip(data["asked"], both, strict=True):
        g = unpack(data["c"]) * unpack(asked["u"])
        for found, there in ((g, e.g), (unpack(asked["u"]) * unpack(data["v"]), e.A), (unpack(asked["q"]), e.q[0])):
            assert found == pytest.approx(there.numpy(), abs=1e-6)
        assert unpack(asked["alpha"]) == pytest.approx((e.g @ e.M).numpy(), abs=1e-9)
        assert unpack(asked["map"]).reshape(14, 14) == pytest.approx(e.map(relu=False).numpy(), abs=1e-6)
        assert asked["likely"][0] == [e.predicted, pytest.approx(float(e.probabilities.max()), abs=1e-6)]
        assert " ".join(asked["words"]) == e.question.rstrip("?").lower()


def test_a_neurons_own_map_looks_like_that_of_qgc_in_a_third_of_the_bytes(written, both):
    e, P = both[0], unpack_maps(data_of(written, "pass")["P"], 196)
    exact = neuron_maps(e.M, e.F).numpy()
    off = np.abs(P - exact).max(1) / np.abs(exact).max(1)
    assert np.median(off) < 0.05 and off.max() < 0.2
    assert len(json.dumps(pack_maps(exact, only_painted=True))) < len(json.dumps(pack_maps(exact))) / 2


@pytest.mark.parametrize("k", [0, 1])
def test_a_set_of_neurons_has_the_shares_that_qgc_gives_to_the_digits_that_are_shown(written, both, k):
    data, e = data_of(written, "neurons"), both[k]
    scene = export.example()[1]
    asked, c, P = data["asked"][k], unpack(data["c"]), unpack_maps(data["P"], 196)
    g, anywhere = c * unpack(asked["u"]), unpack(data["anywhere"])
    sensitivity = unpack(asked["sensitivity"])
    assert (np.argsort(-sensitivity, kind="stable") == e.order.numpy()).all()
    for scores in (sensitivity, np.abs(g), random_scores(0, 1024), random_scores(1, 1024)):
        for n in (data["n"], 100, 1024):
            chosen = np.argsort(-scores, kind="stable")[:n]
            map_ = np.maximum(g[chosen] @ P[chosen], 0)
            exact = e.map(neurons=chosen.tolist())
            for thing, region in zip(data["things"], data["regions"], strict=True):
                share = map_ @ unpack(region["inside"]) / (map_ @ anywhere)
                assert f"{share:.0%}" == f"{float(map_share(exact, scene.masks[thing])):.0%}", (thing, n)
            held, there = np.abs(g[chosen]).sum() / np.abs(g).sum(), e.g[chosen].abs().sum() / e.g.abs().sum()
            assert f"{held:.1%}" == f"{float(there):.1%}"


def test_a_repainted_scene_has_the_score_and_the_map_of_that_scene(written):
    data = data_of(written, "repaint")
    assert list(data["of"]) == list(export.REPAINTED) and set(data["patches"]) == set(data["things"])
    vqa, scene, before = export.example(export.REPAINTED["balanced"])
    again = export.explained(vqa, scene.recolour("sink", "red"))
    for stored, e, b in zip(data["of"]["balanced"]["sink"]["red"], again, before, strict=True):
        assert stored["score"] == pytest.approx(float(e.y[vqa.answers.index("white")]), abs=1e-4)
        assert stored["probability"] == pytest.approx(e.confidence, abs=1e-4) and stored["says"] == e.predicted
        assert stored["kept"] == pytest.approx(float(cosine(e.map(), b.map())), abs=1e-4)
        levels = np.frombuffer(base64.b64decode(stored["map"]), np.uint8).reshape(14, 14)
        assert levels / 255 == pytest.approx((e.map() / e.map().max()).numpy(), abs=0.003)
    assert [x["kept"] for x in data["of"]["balanced"]["before"]] == pytest.approx([1, 1])
    natural, still = data["of"]["natural"], ("red", "blue", "black")
    least = min(natural["sink"][colour][0]["probability"] for colour in still)
    assert least > natural["before"][0]["probability"] / 2  # the chapter says so of the still image


def test_a_patch_is_all_that_changes():
    scene = export.example()[1]
    before, after = scene.render(parts.SIDE), scene.recolour("towels", "red").render(parts.SIDE)
    found = export.patch(before, after)
    changed = np.argwhere((np.asarray(before) != np.asarray(after)).any(2))
    assert list(found["at"]) == changed.min(0)[::-1].tolist()


def test_feature_maps_add_up_to_grad_cam_and_a_mean_over_one_cell_is_hirescam(written, both):
    data = data_of(written, "sum")
    F = np.stack([np.frombuffer(base64.b64decode(text), np.uint8) / 255 for text in data["F"]])
    F *= unpack(data["F_top"])[:, None]
    for asked, e in zip(data["asked"], both, strict=True):
        exact = e.map(relu=False).numpy().ravel()
        assert unpack(asked["alpha"]) @ F == pytest.approx(exact, abs=0.005 * np.abs(exact).max())
    vqa, _, pythia = export.example(export.ATTENTIVE)
    for asked, e in zip(data["asked"], pythia, strict=True):
        maps = [torch.tensor(unpack(text)) for text in asked["pythia"]]
        scale = float(maps[0].abs().max())
        assert maps[-1].numpy() == pytest.approx(e.map(relu=False).numpy().ravel(), abs=1e-5 * scale)
        inputs = SimpleNamespace(F=e.F, q=e.q, answer=vqa.answers.index(e.answer))
        assert maps[0].numpy() == pytest.approx(hires(inputs, vqa).numpy(), abs=1e-5 * scale)
        assert unpack(asked["attention"]).sum() == pytest.approx(1, abs=1e-5)


def test_the_book_shows_every_picture_once_and_reads_well_without_it():
    shown = []
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for name, fallback in MOUNT.findall("".join(cell["source"])):
                shown.append(name)
                assert "\n\n" not in fallback  # an empty line would end the HTML in Markdown
                assert "On the site" in fallback and "<script" not in fallback
                assert len(re.search(rf'<img src="../pictures/{name}.webp" alt="([^"]+)">', fallback).group(1)) > 50
    assert sorted(shown) == sorted(PICTURES)


def test_a_page_with_a_picture_loads_the_scripts_and_no_other_does(tmp_path):
    page = "<html><head></head><body>{}</body></html>"
    (tmp_path / "a.html").write_text(page.format('<div class="qgc-pictures" data-picture="pass"></div>'))
    (tmp_path / "b.html").write_text(page.format('<div class="qgc-predict"></div>'))
    (tmp_path / "pictures").mkdir()
    assert [p.name for p in load_scripts(tmp_path, tmp_path / "pictures")] == ["a.html"]
    text = (tmp_path / "a.html").read_text()
    assert text.index("pictures/maps.js?v=") < text.index("pictures/pictures.js?v=") < text.index("</head>")


def test_nothing_comes_from_elsewhere_and_the_scripts_can_be_read():
    for path in [*export.HERE.glob("*.js"), *export.HERE.glob("*.css")]:
        text = path.read_text(encoding="utf-8")
        assert "://" not in text and "@import" not in text and "fetch(" not in text, path
        assert max(map(len, text.splitlines())) <= 120 and len(text.splitlines()) < 800, path
