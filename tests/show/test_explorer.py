"""The explorer's files: small, exact, and whole. tests/browser has the page itself."""

import json
import re
from pathlib import Path

import loading
import numpy as np
import pytest
import torch
from explorer import check, export
from explorer.export import QUESTIONS, label, model_parts, questions, scene_part, scenes, write
from parts.packing import pack, pack_maps, random_scores, ranked_above, unpack, unpack_maps

import qgc
from qgc.explain import EncodedImage, explain
from qgc.measure import map_share
from qgc.measure.localise import cell_weights
from qgc.measure.pairs import cell_cover
from qgc.scenes.situations import SITUATIONS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "explorer.md").read_text(encoding="utf-8")
SCRIPT = (export.HERE / "explorer.js").read_text(encoding="utf-8")
MOST = 400_000  # bytes of a part


def read_part(path: Path) -> dict:
    name, data = re.fullmatch(r"qgcExplorer\.part\((\"[^\"]+\"), (.*)\);\n", path.read_text(encoding="utf-8")).groups()
    assert json.loads(name) == path.stem
    return json.loads(data)


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("explorer"), ["bathroom"], ["deeper-lstm/natural", "deeper-lstm/balanced"])


def test_floats_come_back():
    values = np.random.default_rng(0).normal(size=(3, 5))
    assert np.array_equal(unpack(pack(values)), values.astype(np.float32).ravel())


@pytest.mark.parametrize("rank, size, error", [(196, 1, 1 / 253), (13, 2, 1e-4)])
def test_maps_come_back_row_by_row(rank, size, error):
    rng = np.random.default_rng(1)
    P = rng.normal(size=(1024, rank)) @ rng.normal(size=(rank, 196)) * 10.0 ** rng.uniform(-6, 0, (1024, 1))
    P[[7, 9]] = 0
    packed = pack_maps(P)
    assert len(unpack(packed["scale"])) == 1024 and len(packed["rows"]) == -(-1022 * rank * size // 3) * 4
    assert packed["bytes"] == size and len(json.dumps(packed)) < MOST
    off = np.abs(unpack_maps(packed, 196) - P).max(1)
    assert (off <= error * np.abs(P).max(1) + 1e-15).all()


def test_random_scores_depend_on_the_seed_alone():
    assert np.array_equal(random_scores(3, 64), random_scores(3, 64))
    assert len(np.unique(random_scores(0, 1024))) == 1024 and not np.array_equal(
        random_scores(0, 9), random_scores(1, 9)
    )
    assert abs(random_scores(5, 1024).mean() / 2**32 - 0.5) < 0.05


def test_every_scene_has_questions_about_different_objects_and_the_papers_come_first():
    assert list(scenes())[:10] == list(SITUATIONS) and {"random-1", "random-2"} < set(scenes())
    for name, scene in scenes().items():
        asked = questions(scene)
        assert 3 <= len(asked) <= QUESTIONS, name
        assert len({ask.thing for ask in asked}) == len(asked) and {ask.thing for ask in asked} <= set(scene.masks)
        assert asked[: len(scene.fixed_asks)] == list(scene.fixed_asks)
        assert scene.fixed_asks or asked[0].answer == asked[1].answer  # what the explorer is about
    assert [ask.thing for ask in questions(scenes()["bathroom"])][:2] == ["sink", "towels"]
    assert label("bathroom") == "bathroom" and label("random-1") == f"random 1: {scenes()['random-1'].place}"


def test_a_scene_part_says_where_objects_are():
    scene = qgc.scene("bathroom")
    part = scene_part(scene)
    assert [q["thing"] for q in part["questions"]][:2] == ["sink", "towels"]
    assert part["paperN"][-1] == 1024 and 25 in part["paperN"]
    for name, thing in part["things"].items():
        inside, anywhere = cell_weights(scene.masks[name], (14, 14))
        assert np.allclose(unpack(thing["inside"]), inside, rtol=1e-6)
        assert np.allclose(unpack(part["anywhere"]), anywhere, rtol=1e-6)
        assert np.allclose(unpack(thing["cover"]), cell_cover(scene.masks[name], (14, 14)), atol=1e-7)
        assert 196 * thing["area"] == pytest.approx(unpack(thing["cover"]).sum(), abs=0.01)
        assert thing["area"] == pytest.approx(scene.masks[name].mean(), abs=1e-5)
        ys, xs = np.nonzero(scene.masks[name])
        x, y = np.array(re.findall(r"(\d+) (\d+)", thing["outline"]), int).T / 2
        assert abs(x.min() - xs.min()) < 2 and abs(x.max() - xs.max()) < 3
        assert abs(y.min() - ys.min()) < 2 and abs(y.max() - ys.max()) < 3


def test_every_file_is_small_and_everything_is_there(exported):
    names = {path.name for path in exported.iterdir()}
    assert {"explorer.js", "explorer.css", "parts.css", "index.js", "bathroom.js", "still.webp"} <= names
    assert {"bathroom.deeper-lstm-natural.js", "bathroom.deeper-lstm-natural.maps-0.js"} <= names
    assert max(path.stat().st_size for path in exported.iterdir()) <= MOST
    for path in exported.glob("*.js"):
        if path.name not in ("explorer.js", "maps.js"):
            read_part(path)


def test_without_scripts_one_sees_the_first_two_questions_plain_and_gated(tmp_path, monkeypatch):
    drawn, pair = [], export.plots.pair
    monkeypatch.setattr(export.plots, "pair", lambda *given: drawn.append(given) or pair(*given))
    export._still("couple", "deeper-lstm/natural", tmp_path / "still.webp")
    ((explanations, ns, scene),) = drawn
    assert [(e.question, e.answer) for e in explanations] == [(a.question, a.answer) for a in scene.asks[:2]]
    assert len(scene.asks) == 3 and ns == (None, 25) and scene == qgc.scene("couple")


def test_pages_ask_for_files_by_version(tmp_path):
    """Any other byte in any file is another address of every file, so that old data never meet a new script."""
    folder, page = tmp_path / "explorer", tmp_path / "book" / "explorer.html"
    folder.mkdir()
    page.parent.mkdir()
    fragment = re.search(r"```\{raw\} html\n(.*?)```", PAGE, re.DOTALL).group(1)
    page.write_text(fragment + '<a href="explorer.html">', encoding="utf-8")
    (tmp_path / "other.html").write_text('<a href="book/explorer.html#explorer/x.js">', encoding="utf-8")
    seen = []
    for content in ("a", "b", "b"):
        (folder / "bathroom.js").write_text(content)
        assert loading.stamp(tmp_path, folder) == [page]
        asked = re.findall(r"../explorer/([\w.]+)\?v=(\w{8})\"", page.read_text(encoding="utf-8"))
        files = {"maps.js", "parts.css", "explorer.js", "explorer.css", "still.webp"}
        assert {name for name, _ in asked} == files and len(asked) == len(files)
        seen.append({version for _, version in asked})
    assert seen[0] != seen[1] == seen[2] == {loading.version(folder)}
    assert "?v=" not in (tmp_path / "other.html").read_text() and '"explorer.html"' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["natural", "balanced"])
def test_the_files_give_the_shares_that_qgc_gives(exported, name):
    """Random n, for the paper's ranking, |g| and random rankings; n = 1024 is plain Grad-CAM."""
    scene, vqa = qgc.scene("bathroom"), qgc.load(f"deeper-lstm/{name}")
    place, model = read_part(exported / "bathroom.js"), read_part(exported / f"bathroom.deeper-lstm-{name}.js")
    inside, anywhere = unpack(place["things"]["sink"]["inside"]), unpack(place["anywhere"])
    asked = model["questions"][0]
    P = unpack_maps(read_part(exported / f"{asked['maps']}.js"), 196)
    view, ns = EncodedImage(vqa, scene), [*np.random.default_rng(0).integers(1, 1025, 30).tolist(), 1024]
    for answer in model["answers"][:3]:
        g = unpack(model["rows"][asked["c"][answer]]) * unpack(asked["u"])
        for scores in (unpack(asked["sensitivity"]), np.abs(g), random_scores(0, 1024), random_scores(1, 1024)):
            e = explain(vqa, view, scene.questions[0], answer, rank=torch.tensor(scores))
            order = np.argsort(-scores, kind="stable")
            assert np.array_equal(order, e.order)
            maps = np.maximum((g[:, None] * P)[order].cumsum(0), 0)[np.array(ns) - 1]
            exact = map_share(e.maps(ns), scene.masks["sink"]).numpy()
            assert maps @ inside / (maps @ anywhere) == pytest.approx(exact, abs=0.01, nan_ok=True)
        full = explain(vqa, view, scene.questions[0], answer)
        assert np.abs(maps[-1] - full.map().flatten().numpy()).max() <= 0.01 * float(full.map().max())
    assert np.array_equal(np.argsort(-unpack(asked["sensitivity"]), kind="stable"), full.order)


def test_ranks_by_the_arithmetic_of_the_script_are_those_of_qgc():
    """Ties, empty maps and objects that share cells."""
    rng, scene = np.random.default_rng(3), qgc.scene("bathroom")
    masks = np.stack([scene.masks["sink"], scene.masks["towels"] | np.roll(scene.masks["sink"], 30, 1)])
    maps = np.concatenate([rng.integers(-3, 4, (20, 196)), rng.normal(size=(20, 196)), np.zeros((1, 196))])
    ours = ranked_above(maps, *cell_cover(masks, (14, 14)).numpy())
    both = torch.tensor(maps).view(-1, 1, 14, 14).expand(-1, 2, 14, 14)
    assert ours == pytest.approx(qgc.measure.rank_grounding(both, masks).a_1.numpy(), abs=1e-12)
    assert len(np.unique(ours)) > 30 and ours[-1] == 0.5


def test_the_files_give_the_numbers_that_qgc_gives_at_every_n(exported):
    found = check.differences(exported, "bathroom", qgc.load("deeper-lstm/natural"))
    assert found["shares"].max() <= 0.01 and found["ranks"].max() <= 0.02
    assert {len(values) % 1024 for values in found.values()} == {0}
    assert found["ranks"].mean() < 0.002


def test_a_model_whose_maps_depend_on_the_question_has_a_part_for_each():
    names = [name for name, _ in model_parts("bathroom", qgc.load("pythia/natural"))]
    own = "bathroom.pythia-natural"
    assert names == [own, *(f"{own}.maps-{i}" for i in range(len(questions(scenes()["bathroom"]))))]


def test_answers_on_offer_hold_the_true_one_and_what_the_model_says(exported):
    model = read_part(exported / "bathroom.deeper-lstm-natural.js")
    assert model["answers"][0] == "white" and {q["said"] for q in model["questions"]} <= set(model["answers"])
    for question in model["questions"]:
        assert set(question["c"]) == set(question["probability"]) == set(model["answers"])


def test_the_page_says_what_to_do_without_javascript_and_loads_nothing_from_elsewhere():
    assert "<noscript>" in PAGE and 'alt="' in PAGE and 'id="qgc-explorer"' in PAGE
    for text in (PAGE, SCRIPT, (export.HERE / "explorer.css").read_text(encoding="utf-8")):
        assert "://" not in text and "@import" not in text and "fetch(" not in text.replace("fetch() refuses", "")
    assert "$" not in PAGE  # an equation would bring MathJax onto the page


def test_the_links_on_the_page_lead_to_views_that_exist():
    links = [dict(pair.split("=") for pair in link.split("&amp;")) for link in re.findall(r'href="#([^"]+)"', PAGE)]
    assert len(links) >= 5
    for link in links:
        things = [ask.thing for ask in questions(scenes()[link["scene"]])]
        assert link["q"] in things and link["other"] in things
        assert link["model"] in qgc.models.zoo.names() and 1 <= int(link["n"]) <= 1024
        assert re.search(rf"^    {link['rank']}: {{ label", SCRIPT, re.MULTILINE)


def test_the_script_is_short_enough_to_be_read():
    lines = SCRIPT.splitlines()
    assert len(lines) < 800 and max(map(len, lines)) <= 120
