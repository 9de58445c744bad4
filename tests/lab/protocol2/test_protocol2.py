"""Protocol 2: its file, what is measured of a pair, what is stored, and its hypotheses on models with known answers."""

import os
import subprocess
import sys
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import protocol_page
import pytest
import torch

from qgc import load
from qgc.errors import QGCError
from qgc.explain import EncodedImage, explain
from qgc.lab.experiments.absent import absent_questions, usual_sizes
from qgc.lab.experiments.faithfulness import alterations, maps_of
from qgc.lab.protocol.run import gather, work
from qgc.lab.protocol2 import FILE, PROTOCOL, Model, Protocol, hypotheses, measure, results, run
from qgc.lab.protocol2.measure import FREE, NO_MAP, VERDICTS, Subject, chosen_pair, measure_pair, methods
from qgc.lab.train import graded
from qgc.measure.pairs import rank_grounding
from qgc.scenes import FIRST_SEED, sample
from qgc.scenes.questions import HELD_OUT, word

NS = (25, 269)
CELLS = [cell.name for cell in graded.CELLS]
MODELS = {name: Model(name, name.split("/")[1]) for name in ("deeper-lstm/balanced", "deeper-lstm/natural")}


# -- the file ---------------------------------------------------------------------------------------------------------
def test_the_protocol_has_120_graded_models_and_its_files_hash():
    graded = [m for m in PROTOCOL.models if m.cell]
    assert len(graded) == len({m.name for m in graded}) == 2 * 2 * 5 * 6
    assert PROTOCOL.sha256 == Protocol.read(FILE).sha256 and len(PROTOCOL.sha256) == 64
    assert len(PROTOCOL.data["hypotheses"]) <= 8
    known = {*methods(PROTOCOL.n("test")), "cosine", "separation", "the model itself"}
    for h in PROTOCOL.data["hypotheses"]:
        assert {v for k, v in h["test"].items() if k in ("of", "with", "against", "where")} <= known, h["id"]
        said = [h[key] for key in ("says", "weaker", "otherwise", "contradicted") if key in h]
        assert len(said) >= 2 and all(text.endswith(".") for text in said)


def test_its_test_scenes_belong_to_no_other_split():
    test = PROTOCOL.scenes["test"]
    for name, first in FIRST_SEED.items():
        assert first + 900_000 <= test.first or first >= test.first + test.count, name


def test_a_model_that_is_not_at_its_end_sees_fewer_test_scenes():
    last, early = (next(m for m in PROTOCOL.models if m.step == step) for step in (1248, 10))
    assert PROTOCOL.count("test", last) > PROTOCOL.count("test", early) == 300
    assert PROTOCOL.count("validation", last) == PROTOCOL.count("validation", early)


def test_its_lists_follow_from_what_was_seen_on_validation():
    listed = {h["id"]: h["test"].get("models") for h in Protocol.read(FILE).data["hypotheses"]}
    assert hypotheses.chosen(results.read_summary()) == listed["H8"]


def test_no_n_and_no_norm_was_better_on_validation():
    table = results.read_summary()
    last = table[table["cell"].str.startswith("natural") & (table["step"] == table["step"].max())]
    gain = {n: (last[f"gate, n = {n}"] - last["Grad-CAM"]).mean() for n in PROTOCOL.n("validation")}
    random = {n: (last[f"gate, n = {n}"] - last[f"random gate, n = {n}"]).mean() for n in PROTOCOL.n("validation")}
    assert all(gain[n] < -0.04 for n in gain if n <= 269) and all(abs(gain[n]) < 0.03 for n in gain if n > 269)
    assert max(random.values()) < 0.01
    assert abs((last["contrast, L1"] - last["contrast, L2"]).mean()) < 0.01


def test_a_draft_measures_no_test_scene(tmp_path, monkeypatch):
    monkeypatch.setitem(PROTOCOL.data, "status", "draft")
    with pytest.raises(QGCError, match="draft"):
        run.measure("test", PROTOCOL.models, NS, tmp_path, tmp_path)


def test_the_page_says_what_the_file_says():
    page = protocol_page.page()
    for h in PROTOCOL.data["hypotheses"]:
        assert all(h[key] in page for key in ("says", "weaker", "otherwise", "contradicted") if key in h)
    assert PROTOCOL.sha256 in page and "21,000,000" in page
    assert ("draft" in page) == (PROTOCOL.data["status"] == "draft")


# -- one pair ---------------------------------------------------------------------------------------------------------
@cache
def case(seed=10_000_000, distribution="balanced"):
    scene = sample(seed, distribution)
    pair = chosen_pair(scene)
    return (scene, pair) if pair else case(seed + 1, distribution)


@cache
def subject(name="deeper-lstm/balanced") -> Subject:
    return Subject(load(name, dtype=torch.float32))


def test_a_pair_differs_in_its_object_alone_and_is_held_out():
    scene, pair = case()
    first, second = pair.first, pair.second
    templates = [t for t in HELD_OUT["colour"] for a in (first,) if word(t, a.thing) == a.question]
    assert len(templates) == 1 and word(templates[0], second.thing) == second.question
    assert first.answer == second.answer == pair.answer == scene.colours[first.thing]
    assert not (scene.masks[first.thing] & scene.masks[second.thing]).any()
    assert [chosen_pair(replace(scene)).first for _ in range(2)] == [first] * 2  # drawn again, the same


def test_verdicts_are_those_of_the_maps():
    scene, pair = case()
    s = subject()
    F = maps_of(s.vqa, scene, [])
    row = measure_pair(s, pair, F, NS)
    names, masks = methods(NS), np.stack([scene.masks[a.thing] for a in (pair.first, pair.second)])
    both = explain(s.vqa, EncodedImage(s.vqa, scene), [pair.first.question, pair.second.question], pair.answer)
    for method, n in (("Grad-CAM", None), ("gate, n = 25", 25), ("gate, n = 269", 269)):
        expected = rank_grounding(torch.stack([e.map(n, relu=False) for e in both]), masks)
        found = row["verdicts"][names.index(method)]
        assert found[0] == 2 * expected.verdict, method
        assert np.allclose(row["a"][names.index(method)], [expected.a_1, expected.a_2], atol=1e-3), method
    assert row["verdicts"].shape == (len(names), len(VERDICTS)) and len(names) == len(FREE) + 8
    assert (row["verdicts"][names.index("attention")] == NO_MAP).all()  # it has none
    assert set(np.delete(row["verdicts"], names.index("attention"), 0).ravel()) <= {0, 1, 2}


def test_a_gate_of_more_neurons_than_there_are_is_no_map():
    scene, pair = case()
    s = subject()
    F = s.vqa.conv(s.vqa.prepare(scene.image))
    verdicts = measure_pair(s, pair, F, (25, 2000))["verdicts"]
    missing = [name for name, row in zip(methods((25, 2000)), verdicts, strict=True) if (row == NO_MAP).all()]
    assert missing == ["attention", *(name for name in methods((25, 2000)) if name.endswith("2000"))]


def test_contrasts_are_each_others_negative_so_raw_ones_win_or_lose_both_objects():
    scene, pair = case()
    s = subject()
    view = EncodedImage(s.vqa, scene)
    both = explain(s.vqa, view, [pair.first.question, pair.second.question], pair.answer)
    maps = measure.pair_maps(s, both, NS, np.random.default_rng(0))
    surrogates = measure.surrogates_of(maps)
    for name in ("contrast", "contrast, L1", "contrast, L2"):
        one, two = maps[methods(NS).index(name)]
        assert torch.allclose(one, -two, atol=1e-6 * float(one.abs().max()))
    assert maps.shape == surrogates.shape
    # a surrogate of plain maps keeps each map's values
    for got, want in zip(surrogates[0], maps[0], strict=True):
        assert torch.equal(got.flatten().sort().values, want.flatten().sort().values)


def test_controls_ask_the_model_and_absent_objects():
    scene, pair = case()
    s = subject()
    altered = alterations(scene, [pair])
    sizes = usual_sizes([sample(10_000_100 + i, "balanced") for i in range(30)])
    other = absent_questions(scene, pair, sizes, np.random.default_rng(0))
    row = measure_pair(s, pair, maps_of(s.vqa, scene, altered), NS, altered=altered, other=other)
    D, verdict, size = row["effects"][:4], row["effects"][4], row["effects"][8]
    assert (D >= 0).all() and verdict == (1 if D[0] * D[3] > D[1] * D[2] else 0) and -1 <= size <= 1
    own, others = (D[0] * D[3]) ** 0.5, (D[1] * D[2]) ** 0.5
    assert size == pytest.approx((own - others) / (own + others), abs=1e-5)
    assert row["absent"].shape == (len(methods(NS)),) and set(row["absent"]) <= {0, 1, 2, NO_MAP}


# -- many scenes ------------------------------------------------------------------------------------------------------
@pytest.fixture
def small(monkeypatch):
    """Three validation scenes, two shipped models in place of the graded ones."""
    data = {**PROTOCOL.data, "scenes": {**PROTOCOL.data["scenes"], "validation": {"first": 10_000_000, "count": 3}}}
    protocol = Protocol(data, PROTOCOL.sha256)
    protocol.__dict__["models"] = tuple(MODELS.values())
    for module in (run, results, hypotheses):
        monkeypatch.setattr(module, "PROTOCOL", protocol)
    monkeypatch.setattr(run, "CHUNK", 2)
    monkeypatch.setattr(run, "SIZES_OF", 20)
    run._usual_sizes.cache_clear()
    yield protocol
    run._usual_sizes.cache_clear()


def test_two_parts_make_the_files_of_one_and_what_is_stored_is_read_back(tmp_path, small, monkeypatch):
    models = small.models
    whole = run.measure("validation", models, NS, tmp_path, tmp_path / "one", workers=1)
    for k in range(2):
        run.measure("validation", models, NS, tmp_path, tmp_path / "two", workers=1, share=(k, 2))
    for path in whole:
        with np.load(path) as one, np.load(tmp_path / "two" / path.relative_to(tmp_path / "one")) as two:
            assert one.files == two.files
            for key in one.files:
                assert np.array_equal(one[key], two[key], equal_nan=one[key].dtype.kind == "f"), key
    results.store(whole, models, NS, "validation", tmp_path / "out")
    stored = results.read("validation", tmp_path / "out")
    assert set(stored) == set(MODELS)
    for name, m in stored.items():
        raw = gather(whole, name)
        assert np.array_equal(m.arrays["scene"], raw["scene"])
        assert np.array_equal(m.of("Grad-CAM").to_numpy(), raw["verdicts"][:, 0, 0] / 2)
        assert np.allclose(m.cosine, raw["cosine"], atol=1 / 500)
        assert np.allclose(m.effects["separation"], raw["effects"][:, 8], atol=1e-3)
    table = results.overview(stored)
    assert table.loc["deeper-lstm/balanced", "separation"] > table.loc["deeper-lstm/natural", "separation"] + 0.3
    assert results.check("validation", tmp_path, tmp_path / "out", scenes=1) == ([], [])
    name = next(iter(stored))
    stored[name].arrays["verdicts"][:] = 2 - stored[name].arrays["verdicts"].clip(0, 2)
    with monkeypatch.context() as patched:
        patched.setattr(results, "read", lambda *_: stored)
        faults, _ = results.check("validation", tmp_path, tmp_path / "out", scenes=1)
    assert len(faults) == 1 and faults[0].startswith(name) and "verdicts" in faults[0]
    with pytest.raises(QGCError, match="another protocol"):
        results.read("validation", tmp_path / "out", replace(small, sha256="0" * 64))
    with pytest.raises(QGCError, match="measure graded"):
        results.read("test", tmp_path / "out")


def test_every_model_was_measured_on_its_test_scenes_and_has_the_controls_of_these():
    stored = results.read("test")
    assert list(stored) == [m.name for m in PROTOCOL.models]
    for m in stored.values():
        scenes, controls = m.arrays["scene"], m.effects.index
        assert (np.diff(scenes.astype(int)) > 0).all() and scenes[-1] < PROTOCOL.count("test", m.model)
        assert controls.max() < min(PROTOCOL.controls, PROTOCOL.count("test", m.model)) and set(controls) <= set(scenes)
        assert set(m.absent("Grad-CAM").index) <= set(controls)


def test_which_part_is_this_process():
    assert run.part({}) == (0, 1)
    assert run.part({"RANK": "1", "WORLD_SIZE": "3"}) == (1, 3)
    slurm = {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "2"}
    assert run.part(slurm) == (3, 4)


def test_a_missing_run_names_the_command(tmp_path):
    model = next(m for m in PROTOCOL.models if m.cell == "natural-bound" and m.seed == 2)
    for needs in (lambda: run.load(model, tmp_path), lambda: run.jobs("validation", [model], NS, tmp_path, tmp_path)):
        with pytest.raises(QGCError, match="train graded natural-bound --seed 2"):
            needs()


def test_chunks_of_other_numbers_are_never_mixed_in(tmp_path):
    """Another n, another training run: another folder."""
    model = next(m for m in PROTOCOL.models if m.cell)
    trace = graded.run_of(tmp_path, graded.cell(model.cell), model.seed) / "trace.json"
    trace.parent.mkdir(parents=True)

    def folder(text="[]", ns=NS):
        trace.write_text(text)
        (found,) = {job.target.parent for job in run.jobs("validation", [model], ns, tmp_path, tmp_path / "chunks")}
        return found

    assert folder() == folder() and len({folder(), folder("[1]"), folder(ns=(25,))}) == 3


@pytest.mark.parametrize("shared", [True, False])
def test_a_shared_folder_keeps_what_other_machines_have_begun(tmp_path, shared):
    begun = tmp_path / ".other.npz.999999999.tmp"  # of a process that is not one of this machine's
    begun.write_text("begun")
    job = SimpleNamespace(target=tmp_path / "chunk.npz")
    assert work([job], lambda j: j.target.touch(), "", workers=1, shared=shared) == [job.target]
    assert begun.exists() == shared


def test_a_damaged_result_is_named(tmp_path):
    (tmp_path / "validation-natural-bound.npz").write_bytes(b"PK\x03\x04" + bytes(60))
    with pytest.raises(QGCError, match="natural-bound.npz.*measure graded"):
        results.read("validation", tmp_path)


def test_what_is_trained_is_what_is_measured():
    models = [m for m in PROTOCOL.models if m.cell]
    assert {m.cell for m in models} == {cell.name for cell in graded.CELLS}
    assert {m.seed for m in models} == set(range(graded.SEEDS))


# -- hypotheses on models with known answers --------------------------------------------------------------------------
END = [f"{cell}-seed{k}-1248" for cell in CELLS for k in range(graded.SEEDS)]


@pytest.fixture(autouse=True)
def lists(monkeypatch):
    """The models that H8 is about, whatever validation says."""
    tests = {h["id"]: h["test"] for h in PROTOCOL.data["hypotheses"]}
    monkeypatch.setitem(tests["H8"], "models", [name for name in END if name.startswith("natural-unbound")])


def planted(rng, *, rga=None, scenes=400, follows=0.0, separation=None, surrogate=0.5, kinds=None, cosine=None):
    """Every model of the protocol, with verdicts drawn at given rates, and a separation by its moment and its cell.

    ``follows``: in this part of the pairs a method's verdict is the model's own. ``surrogate``: the surrogates' rate.
    ``kinds``: two rates at which both model and methods are right, in pairs without and with a background.
    ``cosine``: of a model's pairs, from their separations.
    """
    ns, found = PROTOCOL.n("test"), {}
    easy = rng.random((scenes, len(methods(ns))))  # some scenes are easier than others, for all seeds
    background = rng.random(scenes) < 0.4
    for m in PROTOCOL.models:
        if not m.cell:
            continue
        level = sorted(PROTOCOL.data["models"]["steps"]).index(m.step) / 5
        binds = (1 + CELLS.index(m.cell)) / len(CELLS)
        sep = level * binds if separation is None else separation
        rates = dict.fromkeys(methods(ns), 0.5) | (rga(sep) if rga else {})
        right = np.full(scenes, 0.5 + sep / 2) if kinds is None else np.where(background, kinds[1], kinds[0])
        model = rng.random(scenes) < right
        verdicts = np.zeros((scenes, len(rates), len(VERDICTS)), np.uint8)
        for i, rate in enumerate(rates.values()):
            rate = rate if kinds is None else right
            own = np.where(rng.random(scenes) < 0.5, easy[:, i], rng.random(scenes)) < rate
            verdicts[:, i, 0] = 2 * np.where(rng.random(scenes) < follows, model, own)
            verdicts[:, i, VERDICTS.index("surrogate rank")] = 2 * (rng.random(scenes) < surrogate)
        effects = np.zeros((scenes, len(measure.EFFECTS)), np.float16)
        effects[:, 4], effects[:, 7] = model, 1
        Y = sep + rng.normal(0, 0.1, scenes)
        effects[:, 8] = effects[:, 9] = Y
        at = np.arange(scenes)
        arrays = {"scene": at, "verdicts": verdicts, "effects": effects, "right": np.full(scenes, 2)}
        arrays |= {"cosine": cosine(Y, sep) if cosine else np.full(scenes, 1 - 0.8 * sep)}
        arrays |= {"a": np.zeros((scenes, len(rates), 2)), "absent": 2 * (rng.random((scenes, len(rates))) < 0.5)}
        area = np.column_stack([np.full(scenes, 0.1), np.where(at % 2, 0.01, 0.09)])
        shared = {"scene": at, "effects|scene": at, "absent|scene": at, "area": area}
        shared["background"] = np.column_stack([background, background])
        found[m.name] = results.Measured(m, ns, shared | results.pack(arrays, ns))
    return found


def test_null_models_support_nothing():
    table = hypotheses.evaluate(planted(np.random.default_rng(0), separation=0.0))
    assert not table["verdict"].isin(["supported", "contradicted", "weaker than declared"]).any(), table["verdict"]


def test_planted_effects_are_found_with_their_size_and_sign():
    def rga(sep):
        return {"Grad-CAM": 0.5 + 0.3 * sep, "gate, n = 25": 0.5 + 0.7 * sep, "contrast, L1": 0.5 + 0.1 * sep}

    table = hypotheses.evaluate(planted(np.random.default_rng(1), rga=rga, scenes=1600))
    assert table.loc["H1", "estimate"] < -0.9 and table.loc["H1", "verdict"] == "supported"
    assert table.loc["H4", "estimate"] == pytest.approx(0.15, abs=0.03) and table.loc["H4", "verdict"] == "supported"
    assert table.loc["H5", "verdict"] == table.loc["H6", "verdict"] == "supported"
    assert table.loc["H7", "estimate"] == pytest.approx(-0.075, abs=0.03)
    assert table.loc["H7", "verdict"] == "contradicted" and table.loc["H7", "meaning"].endswith("worse than Grad-CAM.")
    assert abs(table.loc["H8", "estimate"]) < 0.1 and table.loc["H8", "verdict"] != "supported"


def test_a_difference_in_listed_models_has_the_sign_of_each(monkeypatch):
    names = [name for name in END if name.endswith("seed0-1248")][:3]
    test = {"of": "HiResCAM", "against": "Grad-CAM", "models": names}
    found = planted(np.random.default_rng(5), rga=lambda sep: {"HiResCAM": 0.9, "Grad-CAM": 0.5})
    tested = hypotheses.paired_everywhere(found, test)
    assert tested.found.estimate == pytest.approx(0.4, abs=0.06) and all(ok for _, ok in tested.conditions.values())
    one = found[names[0]].arrays["verdicts"]
    one[:, methods(PROTOCOL.n("test")).index("HiResCAM"), 0] = 0
    again = {k: results.Measured(m.model, m.ns, m.arrays) for k, m in found.items()}
    failed = [name for name, (_, ok) in hypotheses.paired_everywhere(again, test).conditions.items() if not ok]
    assert failed == [f"{found[names[0]].model.cell} alone"]


def test_a_gain_that_its_surrogate_has_too_is_no_support():
    def rga(sep):
        return {"Grad-CAM": 0.6, "contrast, L1": 0.8}

    found = planted(np.random.default_rng(6), rga=rga)
    assert hypotheses.evaluate(found).loc["H7", "verdict"] == "supported"
    at, rank = methods(PROTOCOL.n("test")).index("contrast, L1"), VERDICTS.index("surrogate rank")
    for m in found.values():
        m.arrays["verdicts"][:, at, rank] = m.arrays["verdicts"][:, at, 0]
    row = hypotheses.evaluate({k: results.Measured(m.model, m.ns, m.arrays) for k, m in found.items()}).loc["H7"]
    assert row["verdict"] == "open" and row["failed"] == ["above the surrogates"]


def test_what_training_changes_anyway_makes_no_correlation():
    """Maps that drift apart with training, and models that learn to separate, but not the same of them."""
    table = results.overview(planted(np.random.default_rng(4)))
    test = {"of": "cosine", "with": "separation"}
    order = dict(zip(CELLS, (1, 3, 0, 2), strict=True))  # uncorrelated with 0, 1, 2, 3
    table["cosine"] = 1 - table["step"].rank() / 120 + 0.01 * table["cell"].map(order)
    assert hypotheses.across(table, test, within_moments=False).estimate < -0.5
    assert abs(hypotheses.across(table, test).estimate) < 0.3


def test_one_cnn_alone_makes_no_support():
    table = results.overview(planted(np.random.default_rng(4)))
    table["cosine"] = 1 - 0.5 * table["separation"] * (table["cell"] == CELLS[3])  # no other goes with it
    tested = hypotheses.across_models(table, {"of": "cosine", "with": "separation"}, 0.5)
    assert tested.found.p < 0.001 and tested.found.estimate < -0.3
    assert not tested.conditions[f"without {CELLS[3]}"][1]


def test_cosines_that_go_with_the_separation_of_their_pair_are_found():
    rng = np.random.default_rng(7)
    found = planted(rng, cosine=lambda Y, sep: (0.7 - 0.3 * abs(Y) + rng.normal(0, 0.03, len(Y))).clip(0, 1))
    row = hypotheses.evaluate(found).loc["H2"]
    assert row["verdict"] == "supported" and row["estimate"] < -0.4


def test_a_faithful_map_has_a_kappa_and_one_that_shares_its_kinds_of_pairs_has_none():
    faithful = hypotheses.evaluate(planted(np.random.default_rng(2), follows=1.0)).loc["H8"]
    assert faithful["estimate"] == pytest.approx(1.0) and faithful["verdict"] == "supported"
    alike = planted(np.random.default_rng(3), kinds=(0.95, 0.4), scenes=1600)
    assert abs(hypotheses.evaluate(alike).loc["H8", "estimate"]) < 0.05


def test_effects_below_the_smallest_of_interest_are_not_called_support():
    def rga(sep):
        return {"gate, n = 25": 0.53}

    table = hypotheses.evaluate(planted(np.random.default_rng(3), rga=rga, scenes=12_000, separation=0.5))
    assert table.loc["H4", "verdict"] == "weaker than declared", table.loc["H4"]
    assert table.loc["H7", "verdict"] == "ruled out"


def test_the_command_line_knows_it():
    done = subprocess.run(
        [sys.executable, "-m", "qgc", "measure", "graded", "--help"], capture_output=True, text=True,
        env={**os.environ, "COLUMNS": "200"}, check=True,
    )  # fmt: skip
    assert "--split" in done.stdout and "machines may share" in done.stdout
