"""The measurement: its running sums against the plain method, its controls, its files."""

from __future__ import annotations

import json
import lzma
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import qgc
from qgc.errors import QGCError
from qgc.explain import EncodedImage, Ranking, contrast, explain
from qgc.lab.protocol import DRAWS, GRID, PROTOCOL_MODELS, RANKED, ProtocolModel, grounding, run, summary
from qgc.lab.protocol.methods import COMMON, GATE_FREE, RANKINGS
from qgc.lab.protocol.stored import Stored
from qgc.measure import map_share, no_place_surrogate, object_verdicts, odds_grounding, rank_grounding, shares
from qgc.measure.localise import MEASURES, ceilings, chance, rescaled
from qgc.scenes import sample

SCENE = 10_000_004
ROUNDING = 2e-4  # margins are stored as float16


@pytest.fixture(scope="module")
def measured():
    """A subject, a view, a pair and what was measured of it, in float64."""
    vqa = qgc.load("deeper-lstm/natural")
    scene = sample(SCENE, "natural")
    subject, view = grounding.Subject(vqa), EncodedImage(vqa, scene)
    pair = grounding.chosen_pairs(scene)[0]
    return (
        subject,
        view,
        pair,
        grounding.measure_pair(subject, view, pair, chosen=dict.fromkeys(grounding.GATES, [272])),
    )


def margin(pair, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The definition, from two stacks of maps."""
    one, two = (pair.scene.masks[a.thing] for a in (pair.first, pair.second))
    own = map_share(first, one).nan_to_num(0) + map_share(second, two).nan_to_num(0)
    return (own - map_share(first, two).nan_to_num(0) - map_share(second, one).nan_to_num(0)) / 2


def test_every_n_of_the_papers_ranking_agrees_with_explain(measured):
    _, view, pair, found = measured
    maps = [explain(view.vqa, view, a.question, pair.answer).maps() for a in (pair.first, pair.second)]
    expected = margin(pair, *maps)
    np.testing.assert_allclose(found["margin"][0].astype(float), expected.numpy(), atol=ROUNDING)


def test_a_given_ranking_agrees_with_explain(measured):
    _, view, pair, found = measured
    both = []
    for ask in (pair.first, pair.second):
        e = explain(view.vqa, view, ask.question, pair.answer)
        both.append(explain(view.vqa, view, ask.question, pair.answer, rank=e.g.abs()).maps())
    here = grounding.GATES.index("|g|")
    np.testing.assert_allclose(found["margin"][here].astype(float), margin(pair, *both).numpy(), atol=ROUNDING)


def test_leaving_out_the_common_neurons_agrees_with_sets(measured):
    _, view, pair, found = measured
    first, second = (explain(view.vqa, view, a.question, pair.answer) for a in (pair.first, pair.second))
    for n in (10, 100, 600):
        top = [set(e.order[:n].tolist()) for e in (first, second)]
        maps = [e.map(neurons=mine - theirs)[None] for e, mine, theirs in ((first, *top), (second, *top[::-1]))]
        got = float(found["margin"][grounding.GATES.index(COMMON), n - 1])
        assert got == pytest.approx(float(margin(pair, *maps)), abs=ROUNDING)
    assert found["margin"][grounding.GATES.index(COMMON), -1] == 0  # nothing is left, and rounding is nothing


def test_all_neurons_are_grad_cam_whatever_the_ranking(measured):
    *_, found = measured
    last = found["margin"][[i for i, name in enumerate(grounding.GATES) if name != COMMON], -1].astype(float)
    plain = float(found["free"][list(GATE_FREE).index("Grad-CAM"), 0])
    np.testing.assert_allclose(last, plain, atol=ROUNDING)
    np.testing.assert_allclose(found["random"][:, -1].astype(float), plain, atol=ROUNDING)
    assert found["random"].shape == (DRAWS, len(GRID)) and found["random"][:, 5].astype(float).std() > 0.001


def test_a_map_that_ignores_the_question_is_a_tie_everywhere(measured):
    subject, view, pair, _ = measured
    blind = replace(pair, second=type(pair.second)(pair.first.question, pair.answer, pair.second.thing, "colour"))
    found = grounding.measure_pair(subject, view, blind)
    same = [i for i, name in enumerate(grounding.GATES) if name != COMMON]
    assert (found["margin"][same] == 0).all() and (summary.grounded(found["margin"][same]) == 0.5).all()
    assert found["cosine"] == pytest.approx(1)
    contrast = found["free"][list(GATE_FREE).index("question contrast")]
    assert contrast[0] == 0 and contrast[3] == 1  # nothing is left, and that is counted


def test_the_contrast_maps_by_automatic_differentiation(measured):
    subject, view, pair, found = measured
    vqa, maps = view.vqa, []
    for ask, other in ((pair.first, pair.second), (pair.second, pair.first)):
        raw = [explain(vqa, view, a.question, pair.answer).map(relu=False) for a in (ask, other)]
        maps.append((raw[0] - raw[1]).relu()[None])
    got = found["free"][list(GATE_FREE).index("question contrast"), 0]
    assert got == pytest.approx(float(margin(pair, *maps)), abs=1e-6)
    assert subject.mean_u.shape == (vqa.combine,)


def both_maps(view, pair, n: int | None = None) -> torch.Tensor:
    """The maps of both questions before the ReLU, from scratch, (2, h, w)."""
    asked = [explain(view.vqa, view, a.question, pair.answer) for a in (pair.first, pair.second)]
    return torch.stack([e.map(n, relu=False) for e in asked])


def the_same(found, at, maps, without, masks, rounding=1e-3):
    """What is stored at an index is what the measures say of these maps and of their surrogates."""
    a, R = rank_grounding(maps, masks), shares(maps, masks)
    head = "free " if isinstance(at, int) else ""
    np.testing.assert_allclose(found[f"{head}a"][at].astype(float), torch.stack(a[1:]).numpy(), atol=rounding)
    np.testing.assert_allclose(found[f"{head}R"][at].astype(float), R.numpy(), atol=rounding)
    verdicts = [a.verdict.item(), *object_verdicts(R).tolist(), odds_grounding(R).item()]
    assert (found[f"{head}verdicts"][at] / 2).tolist() == verdicts
    of_it = [rank_grounding(without, masks).verdict.item(), *object_verdicts(shares(without, masks)).tolist()]
    assert (found[f"{head}surrogate"][at][:3] / 2).tolist() == of_it


@pytest.mark.parametrize("n", [25, 200, 272])
def test_what_is_kept_of_a_gate_is_what_the_measures_say(measured, n):
    _, view, pair, found = measured
    maps, masks = both_maps(view, pair, n), [pair.scene.masks[a.thing] for a in (pair.first, pair.second)]
    at = len(GRID) if n == 272 else GRID.index(n)
    the_same(found, (0, at), maps, no_place_surrogate(*maps), masks)


@pytest.mark.parametrize("norm", [None, "l1", "l2"])
def test_what_is_kept_of_a_contrast_is_what_the_measures_say(measured, norm):
    _, view, pair, found = measured
    one, two = both_maps(view, pair)
    masks = [pair.scene.masks[a.thing] for a in (pair.first, pair.second)]
    at = list(GATE_FREE).index("question contrast" + (f", {norm.upper()}" if norm else ""))
    maps = torch.stack([contrast(one, two, norm), contrast(two, one, norm)])
    without = no_place_surrogate(one, two, lambda a, b: contrast(a, b, norm))
    the_same(found, at, maps, without, masks)


def test_the_mean_question_is_that_of_all_colour_questions(measured):
    subject, view, pair, found = measured
    e = explain(view.vqa, view, pair.first.question, pair.answer)
    mean = explain(view.vqa, view, pair.second.question, pair.answer)
    mean.g = e.c * subject.mean_u
    against = mean.map(relu=False)
    maps = torch.stack([contrast(m, against, "l1") for m in both_maps(view, pair)])
    masks = [pair.scene.masks[a.thing] for a in (pair.first, pair.second)]
    at = list(GATE_FREE).index("contrast with the mean question, L1")
    np.testing.assert_allclose(
        found["free a"][at].astype(float), torch.stack(rank_grounding(maps, masks)[1:]).numpy(), atol=1e-3
    )


def test_the_ranking_that_knows_no_question_is_the_same_for_both(measured):
    subject, view, pair, _ = measured
    e = [explain(view.vqa, view, a.question, pair.answer) for a in (pair.first, pair.second)]
    one, two = (grounding.RankingInputs(x, slope=subject.slope) for x in e)
    for name in ("1 − u² of no question", "∂A/∂q of no question"):
        assert RANKINGS[name](one, two).equal(RANKINGS[name](two, one))
    assert (0 < subject.slope).all() and (subject.slope <= 1).all()


def test_what_a_model_does_not_have_is_marked_and_not_scored():
    vqa = qgc.load("pythia/natural")
    scene = sample(SCENE, "natural")
    pair = grounding.chosen_pairs(scene)[0]
    found = grounding.measure_pair(grounding.Subject(vqa), EncodedImage(vqa, scene), pair, localisation=False)
    for name in ("1 − u² of no question", "∂A/∂q of no question"):
        at = grounding.GATES.index(name)
        assert (found["verdicts"][at] == -1).all() and np.isnan(found["margin"][at].astype(float)).all()
    names = list(GATE_FREE)
    assert (found["free verdicts"][names.index("contrast with the mean question")] == -1).all()
    assert (found["free verdicts"][names.index("attention")] >= 0).all()
    assert np.isnan(found["free"][names.index("contrast with the mean question"), 0])


def test_objects_and_random_gates_are_described(measured):
    _, _, pair, found = measured
    names = [a.thing for a in (pair.first, pair.second)]
    np.testing.assert_allclose(found["area"], [pair.scene.masks[n].mean() for n in names], rtol=1e-6)
    assert found["background"].tolist() == [n in pair.scene.tones for n in names]
    assert found["random verdicts"].shape == (DRAWS, len(GRID), 3)
    plain = found["free verdicts"][list(GATE_FREE).index("Grad-CAM"), :3]
    assert (found["random verdicts"][:, -1] == plain).all()  # all neurons are Grad-CAM


def test_pairs_share_no_pixel_and_are_the_same_each_time():
    for seed in range(8):
        scene = sample(SCENE + seed, "natural")
        pairs = grounding.chosen_pairs(scene)
        assert len(pairs) <= 2 and [p.first for p in pairs] == [p.first for p in grounding.chosen_pairs(scene)]
        for p in pairs:
            assert p.first.answer == p.second.answer
            assert not (scene.masks[p.first.thing] & scene.masks[p.second.thing]).any()


NATURAL = ProtocolModel("deeper-lstm/natural", "natural")


@pytest.fixture
def chunks(tmp_path, monkeypatch):
    """Measures two small chunks of the validation split: no test here reads the test scenes."""
    monkeypatch.setattr(run, "CHUNK", 3)
    return lambda **more: run.measure(
        "validation", tmp_path / "runs", tmp_path / "measure", models=[NATURAL], scenes=6, workers=1, **more
    )


def test_an_interrupted_measurement_goes_on(chunks, monkeypatch):
    whole = run._chunk
    calls = []

    def stops(job):
        calls.append(job.first)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(job)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run, "_chunk", stops)
        chunks()
    paths = chunks()
    assert calls == [0, 3] and all(p.exists() for p in paths) and not list(paths[0].parent.glob("*.tmp"))
    scenes = run.gather(paths, NATURAL.name)["scene"]
    assert 0 <= scenes.min() < 3 <= scenes.max() < 6
    before = {p: p.stat().st_mtime_ns for p in paths}
    assert {p: p.stat().st_mtime_ns for p in chunks()} == before


def test_models_that_look_through_one_cnn_are_known_by_it(monkeypatch):
    cards = {m: {"files": {f"cnn-{m[0]}.safetensors": m[0], f"{m}.safetensors": m}} for m in ("a1", "a2", "b1")}
    cards["alone"] = {"files": {"alone.safetensors": "c"}}
    monkeypatch.setattr(run, "_subjects", {})
    monkeypatch.setattr(run.zoo, "card", cards.get)
    monkeypatch.setattr(run.zoo, "load", lambda path, **_: path)
    monkeypatch.setattr(run.grounding, "Subject", lambda vqa: vqa)
    assert [run.subject(path) for path in cards] == [("a1", "a"), ("a2", "a"), ("b1", "b"), ("alone", "alone")]


def test_a_missing_seed_says_how_to_train_it(tmp_path):
    with pytest.raises(QGCError, match=r"natural-seed0.*train scenes natural --seed 0 --cnn"):
        run.measure("validation", tmp_path, tmp_path, models=PROTOCOL_MODELS[:2], scenes=2)


def test_a_new_ranking_changes_nothing_that_is_measured(measured, monkeypatch):
    subject, view, pair, found = measured
    old = dict(RANKINGS)
    monkeypatch.setattr(grounding, "RANKINGS", {"|A|": Ranking(lambda a: (a.u * a.v).abs()), **old})
    again = grounding.measure_pair(subject, view, pair, chosen=dict.fromkeys(grounding.GATES, [272]))
    assert grounding.GATES == (*RANKED, COMMON) and set(RANKED) <= set(old)
    assert again.keys() == found.keys() and all(np.array_equal(again[k], found[k], equal_nan=True) for k in found)


def test_a_summary_is_stored_and_a_changed_one_is_noticed(chunks, tmp_path, monkeypatch):
    paths = chunks()
    chosen = summary.choose(paths, [NATURAL])
    paths = chunks(chosen={g: [chosen["grounding"][g]] for g in grounding.GATES})
    tables, arrays = summary.summarise(paths, paths, [NATURAL], chosen)
    rows = tables["arms"]["natural"]["table"]
    assert {*grounding.GATES, *GATE_FREE, summary.RANDOM} - {"attention"} == {row["method"] for row in rows}
    for row in rows:
        for name in ("rank", "object", "grounding", "larger", "smaller"):
            value, low, high = row[name]
            assert 0 <= value <= 1 and low <= value <= high
    tables = {"about": summary.about([NATURAL], [NATURAL.name], "a test", "cpu"), **tables}
    summary.write(tmp_path / "results", tables, arrays)
    monkeypatch.setitem(run.FIRST_SEED, "test", run.FIRST_SEED["validation"])
    monkeypatch.setitem(RANKINGS, "|A|", Ranking(lambda a: (a.u * a.v).abs()))  # which is not of the protocol
    assert summary.check(tmp_path / "results", scenes=2) == []
    arrays["deeper-lstm/natural|numbers"] = arrays["deeper-lstm/natural|numbers"] // 4
    summary.write(tmp_path / "results", tables, arrays)
    assert "differ" in summary.check(tmp_path / "results", scenes=1)[0]
    tables["about"]["weights"]["deeper-lstm/natural"] = {}
    (tmp_path / "results" / "measure.json.xz").write_bytes(lzma.compress(json.dumps(tables).encode()))
    assert "other weights" in summary.check(tmp_path / "results", scenes=1)[0]


def test_tables_are_made_again_from_what_is_kept_of_every_pair(chunks, tmp_path):
    paths = chunks()
    chosen = summary.choose(paths, [NATURAL])
    paths = chunks(chosen={g: [chosen["grounding"][g]] for g in grounding.GATES})
    tables, arrays = summary.summarise(paths, paths, [NATURAL], chosen)
    summary.write(tmp_path, {"about": {}, **tables}, arrays)
    found = Stored.read(tmp_path)
    pairs = found.pairs("deeper-lstm/natural")
    at = pairs.maps.index(("question contrast, L1", None))
    by_scene = pd.DataFrame(pairs.verdicts[:, at]).groupby(pairs.scene).mean()
    row = found.table("natural").loc["question contrast, L1"]
    assert by_scene[0].mean() == pytest.approx(row["rank"], abs=1e-5)
    assert by_scene[[1, 2]].mean(axis=None) == pytest.approx(row["object"], abs=1e-5)
    assert by_scene[4].mean() == pytest.approx(row["grounding"], abs=1e-5)
    effect = pd.Series(pairs.a[:, at, 0] - pairs.a[:, at, 1]).groupby(pairs.scene).mean().mean()
    assert effect == pytest.approx(row["rank effect"], abs=1e-2)  # kept in 63 steps
    without = pd.Series(pairs.surrogate[:, at, 0]).groupby(pairs.scene).mean().mean()
    assert without == pytest.approx(row["rank surrogate"], abs=1e-5)
    assert np.isnan(pairs.verdicts[:, pairs.maps.index(("attention", None))]).all()


def test_no_stored_measurement_is_said_plainly(tmp_path):
    with pytest.raises(QGCError, match="python -m qgc measure"):
        summary.check(tmp_path)


def test_measures_are_rescaled_between_the_chance_and_the_ceiling_of_each_thing(measured):
    _, view, pair, found = measured
    maps = [explain(view.vqa, view, a.question, pair.answer).map()[None] for a in (pair.first, pair.second)]
    masks = [pair.scene.masks[a.thing] for a in (pair.first, pair.second)]
    for k, (name, measure) in enumerate(MEASURES.items()):
        raw = [float(measure(m, mask)) for m, mask in zip(maps, masks, strict=True)]
        assert found["measures"][0, 0, k] == pytest.approx(np.mean(raw), abs=1e-5)
        scaled = [rescaled(r, chance(m), ceilings(m)[name]) for r, m in zip(raw, masks, strict=True)]
        assert found["measures"][1, 0, k] == pytest.approx(np.mean(scaled), abs=1e-5)
