"""The exercises' files: what they say is what qgc says, they are small, and the book asks for each of them."""

import base64
import json
import re
from itertools import islice
from pathlib import Path

import numpy as np
import parts
import pytest
import torch
from loading import load_scripts, version
from parts import read_part, unpack
from predict import EXERCISES, write
from predict.export import HERE, METHODS, Pick, drawn_pairs, eight_bits, pick_part

import qgc
from qgc.explain import EncodedImage, explain
from qgc.lab.protocol import SCENES
from qgc.lab.protocol.grounding import chosen_pairs
from qgc.measure import map_share, rank_grounding
from qgc.measure.localise import cell_weights
from qgc.scenes import FIRST_SEED, sample

ROOT = Path(__file__).resolve().parents[2]
MOST = 150_000  # bytes of an exercise
SCRIPTS = {path: path.read_text(encoding="utf-8") for path in (HERE / "predict.js", parts.HERE / "maps.js")}
MOUNT = re.compile(r'<div class="qgc-predict" data-exercise="([^"]+)">(.*?)</div>', re.DOTALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("predict"))


@pytest.fixture(scope="module")
def natural():
    return qgc.load("deeper-lstm/natural")


def notebooks() -> dict[str, list[str]]:
    """The sources of all cells of the book's notebooks."""
    found = {}
    for path in sorted((ROOT / "book").rglob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        found[path.stem] = ["".join(cell["source"]) for cell in cells]
    return found


def test_everything_is_there_and_small(written):
    names = {path.name for path in written.iterdir()}
    scripts = {"maps.js", "parts.css", "predict.js", "predict.css", "index.js"}
    assert names == scripts | {f"{name}.js" for name in EXERCISES}
    assert max((written / f"{name}.js").stat().st_size for name in EXERCISES) <= MOST
    assert set(read_part(written / "index.js")["exercises"]) == set(EXERCISES)


@pytest.mark.parametrize("name", [name for name in EXERCISES if name.startswith("look")])
def test_a_look_holds_the_maps_of_two_questions_with_one_answer(written, name):
    exercise, data = EXERCISES[name], read_part(written / f"{name}.js")
    pair = exercise.pair()
    vqa = qgc.load(exercise.model)
    for asked, ask in zip(data["questions"], (pair.first, pair.second), strict=True):
        e = explain(vqa, EncodedImage(vqa, pair.scene), ask.question, data["answer"])
        assert (asked["question"], asked["thing"], ask.answer) == (ask.question, ask.thing, data["answer"])
        assert asked["said"] == e.predicted and asked["probability"] == pytest.approx(e.confidence, abs=1e-4)
        mask, map_ = pair.scene.masks[ask.thing], torch.tensor(unpack(asked["map"])).view(14, 14)
        assert float(map_share(map_, mask)) == pytest.approx(float(map_share(e.map(), mask)), abs=1e-6)
        inside, anywhere = cell_weights(mask, (14, 14))
        assert np.allclose(unpack(data["things"][ask.thing]["inside"]), inside, rtol=1e-6)
        assert np.allclose(unpack(data["anywhere"]), anywhere, rtol=1e-6)
        assert data["things"][ask.thing]["area"] == pytest.approx(mask.mean(), abs=1e-5)


def test_validation_scenes_are_drawn_and_not_chosen():
    order = np.random.default_rng(1).permutation(SCENES["validation"])[:12]
    scenes = [sample(FIRST_SEED["validation"] + int(i), "natural") for i in order]
    pairs = [chosen_pairs(scene)[0] for scene in scenes if chosen_pairs(scene)]
    drawn = list(islice(drawn_pairs("natural", 1), len(pairs)))
    assert len(drawn) >= 8
    assert [(p.scene.seed, p.first, p.second) for p in drawn] == [(p.scene.seed, p.first, p.second) for p in pairs]


@pytest.mark.parametrize("name", [name for name in EXERCISES if name.startswith("pick")])
def test_a_series_has_the_ranks_and_shares_that_qgc_gives(written, natural, name):
    exercise, data = EXERCISES[name], read_part(written / f"{name}.js")
    assert isinstance(exercise, Pick) and data["methods"] == list(exercise.methods)
    assert len(data["items"]) == exercise.count == 10
    assert {item["swap"] for item in data["items"]} == {True, False}
    for item, pair in list(zip(data["items"], drawn_pairs("natural", exercise.seed), strict=False))[:3]:
        asks = (pair.first, pair.second)
        assert item["questions"] == [ask.question for ask in asks] and item["answer"] == pair.answer
        masks = [pair.scene.masks[ask.thing] for ask in asks]
        both = explain(natural, EncodedImage(natural, pair.scene), item["questions"], pair.answer)
        for m, method in enumerate(exercise.methods):
            if "random" not in method:
                raw = [METHODS[method](both[k], both[1 - k], None) for k in (0, 1)]
                ranked = rank_grounding(torch.stack(raw), np.stack(masks))
                there = [float(x) for x in (ranked.a_1, ranked.a_2, ranked.verdict)]
                assert item["ranks"][m] == pytest.approx(there, abs=1e-12)
            stored = [
                torch.from_numpy(np.frombuffer(base64.b64decode(text), "u1").astype(float)).view(14, 14)
                for text in item["maps"][m]
            ]
            for k in (0, 1):
                shares = item["shares"][m][k]
                if "random" not in method:
                    exact = METHODS[method](both[k], both[1 - k], None).relu()
                    there = [float(map_share(exact, mask).nan_to_num(0)) for mask in (masks[k], masks[1 - k])]
                    assert shares == pytest.approx(there, abs=1e-8)
                drawn = [float(map_share(stored[k], mask).nan_to_num(0)) for mask in (masks[k], masks[1 - k])]
                assert shares == pytest.approx(drawn, abs=0.01)  # the maps that are painted are the ones measured


def test_random_gates_are_others_for_each_question_and_each_scene(natural):
    data = pick_part(Pick(("25 random neurons", "25 random neurons"), 1, count=2), natural)
    maps = [text for item in data["items"] for text in item["maps"][0]]
    assert len(set(maps)) == 4
    assert data["items"] == pick_part(Pick(("25 random neurons", "25 random neurons"), 1, count=2), natural)["items"]


def test_an_empty_map_is_written_as_zeros():
    assert base64.b64decode(eight_bits(torch.zeros(14, 14))) == bytes(196)


def test_the_book_asks_for_every_exercise_and_reads_well_without_it():
    asked = []
    for name, cells in notebooks().items():
        for source in cells:
            for exercise, fallback in MOUNT.findall(source):
                asked.append(exercise)
                assert "\n\n" not in fallback  # an empty line would end the HTML in Markdown
                assert "On the site" in fallback and "<script" not in source
                target = re.search(r'href="#([^"]+)"', fallback).group(1)
                later = "\n".join([source.partition(fallback)[2], *cells[cells.index(source) + 1 :]])
                slugs = [
                    re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"(?m)^#+ (.*)$", later)
                ]
                assert target in slugs, f"{name}: the reveal must come later on the page"
    assert sorted(asked) == sorted([*EXERCISES, "look-natural"])  # that one in the story, too


def test_a_guess_in_same_answer_comes_before_the_first_map():
    cells = notebooks()["same-answer"]
    exercise = next(i for i, source in enumerate(cells) if "qgc-predict" in source)
    assert exercise < next(i for i, source in enumerate(cells) if "qgc.plot.pair" in source)


def test_scripts_are_loaded_only_where_there_is_an_exercise(tmp_path):
    page = "<html><head><title>t</title></head><body>{}</body></html>"
    (tmp_path / "book").mkdir()
    (tmp_path / "with.html").write_text(page.format('<div class="qgc-predict" data-exercise="x"></div>'))
    (tmp_path / "book" / "with.html").write_text(page.format('<div class="qgc-predict" data-exercise="x"></div>'))
    (tmp_path / "without.html").write_text(page.format("<p>"))
    (tmp_path / "predict").mkdir()
    for data in ("old", "new", "new"):
        (tmp_path / "predict" / "x.js").write_text(data)
        found = load_scripts(tmp_path, tmp_path / "predict")
        assert [p.relative_to(tmp_path).as_posix() for p in found] == ["book/with.html", "with.html"]
        text = (tmp_path / "book" / "with.html").read_text()
        now = version(tmp_path / "predict")
        assert text.count(f'<script src="../predict/predict.js?v={now}" defer>') == 1 and text.count("?v=") == 4
        assert text.index("parts.css") < text.index("predict.css")
        assert text.index("maps.js") < text.index("predict.js") < text.index("</head>")
        assert f'"predict/predict.js?v={now}"' in (tmp_path / "with.html").read_text()
        assert (tmp_path / "without.html").read_text() == page.format("<p>")


def test_nothing_comes_from_elsewhere_and_the_scripts_can_be_read():
    styles = [HERE / "predict.css", parts.HERE / "parts.css"]
    for path, text in (SCRIPTS | {style: style.read_text(encoding="utf-8") for style in styles}).items():
        assert "://" not in text and "@import" not in text and "fetch(" not in text.replace("fetch() refuses", ""), path
        lines = text.splitlines()
        assert len(lines) < 800 and max(map(len, lines)) <= 120, path
