"""The grounding benchmark: frozen cases, what a method may return, known rows, submissions, the recorded table."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from qgc.cli import main
from qgc.errors import QGCError
from qgc.explain import contrast, explain
from qgc.lab import grounding
from qgc.lab.grounding import cases as frozen
from qgc.lab.grounding import controls, methods, stored, submissions
from qgc.lab.grounding.shares import WITHOUT, Shares, stacked, verdicts
from qgc.measure.pairs import no_place_surrogate, rank_grounding, shares

recorded = pytest.mark.skipif(
    not all(path.exists() for path in stored.paths()), reason=f"no table is recorded yet: {stored.COMMAND}"
)


@pytest.fixture(scope="module")
def cases():
    """The cases of five scenes, their absent objects chosen by the sizes in a few scenes alone, which is quick."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen, "SIZES_OF", 12)
        frozen.usual_sizes_of.cache_clear()
        found = grounding.read_cases("natural", 5)
    frozen.usual_sizes_of.cache_clear()  # tests of the recorded table want those of all scenes
    return found


def mean_color(vqa, image, question, answer):
    """A map that depends on image and question, and needs no model."""
    pixels = np.asarray(image, float).mean(2).reshape(14, 16, 14, 16).mean((1, 3))
    return pixels * len(question) - 100 * question.count("o")


# -- what is asked ------------------------------------------------------------------------------------------
@recorded
@pytest.mark.parametrize("distribution", frozen.DISTRIBUTIONS)
def test_the_first_frozen_cases_are_the_same_to_the_last_bit(distribution):
    found = stored.Stored.read()
    keys = found.about(distribution)["keys"][: stored.PINNED].tolist()
    frozen.usual_sizes_of.cache_clear()
    scenes = dict.fromkeys(int(key.split("-")[1]) for key in keys)
    here = {c.key: c for index in scenes for c in frozen.scene_cases(distribution, index)}
    digests = [frozen.case_digest(here[key]) for key in keys]
    assert digests == found.tables["about"]["first digests"][distribution]


def test_a_case_and_its_controls(cases):
    assert len({case.key for case in cases}) == len(cases) >= 5
    for case in cases:
        assert not (case.masks[0] & case.masks[1]).any() and case.masks.any((1, 2)).all()
        assert case.other != case.scene and case.other_masks.any((1, 2)).all()
        if case.absent:
            for asked, name in zip(case.absent, case.objects, strict=True):
                assert asked not in case.questions and f" {name}?" not in asked


@pytest.mark.parametrize(("distribution", "scenes"), [("uniform", 1), ("natural", 0), ("natural", 301)])
def test_other_scenes_are_refused(distribution, scenes):
    with pytest.raises(QGCError, match="benchmark has"):
        grounding.read_cases(distribution, scenes)


# -- what a method may be -------------------------------------------------------------------------------------
def test_a_callable_is_scored_as_by_hand(cases):
    found = grounding.evaluate(mean_color, cases, vqa=None)
    for k, case in enumerate(cases):
        maps = torch.stack([torch.from_numpy(mean_color(None, case.image, q, "")) for q in case.questions])
        rank = rank_grounding(maps, case.masks)
        np.testing.assert_allclose(found.a[k], [rank.a_1, rank.a_2], atol=1e-12)
        np.testing.assert_allclose(found.R[k], shares(maps, case.masks), atol=1e-12)
        elsewhere = torch.stack([torch.from_numpy(mean_color(None, case.other_image, q, "")) for q in case.questions])
        np.testing.assert_allclose(found.elsewhere[k], rank_grounding(elsewhere, case.masks)[1:], atol=1e-12)
        assert found.has_absent[k] == (case.absent is not None)
    assert (verdicts(found)["RGA, surrogate"] == 0.5).all()


WRONG = {
    "a shape": (lambda *_: np.ones(3), "the shape"),
    "nan": (lambda *_: np.full((2, 2), np.nan), "not finite"),
    "complex": (lambda *_: np.ones((2, 2), complex), "real numbers"),
    "too large": (lambda *_: np.ones((1, 2000)), "1024 cells"),
    "a text": (lambda *_: "map", "return a tensor or an array"),
    "an error": (lambda *_: 1 / 0, "ZeroDivisionError"),
    "arguments": (lambda vqa: np.ones((2, 2)), "a method is called as"),
    "two grids": (lambda vqa, image, question, answer: np.ones((len(question), 3)), "cells large|on one grid"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_map_names_the_pair(cases, kind):
    function, message = WRONG[kind]
    with pytest.raises(QGCError, match=message) as caught:
        grounding.evaluate(function, cases, None)
    assert cases[0].key in str(caught.value)


def test_a_method_that_sees_the_other_question(cases):
    @grounding.method(needs_other=True)
    def order(vqa, image, question, answer, other):
        assert other != question
        return np.array([[len(question) - len(other), 0.0]])

    found = verdicts(grounding.evaluate(order, cases, None))
    assert np.isnan(found["RGA, surrogate"]).all()  # what it compares is not known


def test_the_surrogate_of_a_contrast_is_that_of_its_two_maps(cases):
    case = cases[0]
    found = grounding.evaluate(grounding.contrast_of(mean_color, contrast), [case], None)
    maps = [torch.from_numpy(mean_color(None, case.image, q, "")) for q in case.questions]
    a = rank_grounding(torch.stack([contrast(*maps), contrast(*maps[::-1])]), case.masks)
    np.testing.assert_allclose(found.a[0], [a.a_1, a.a_2], atol=1e-12)
    assert found.surrogate[0, 0] == rank_grounding(no_place_surrogate(*maps, contrast), case.masks).verdict


def test_methods_of_the_table_make_the_maps_that_explain_makes(cases, small_model):
    case = cases[0]
    J = small_model.combine
    e, other = explain(small_model, case.image, list(case.questions), case.answer)
    hand = {"grad-cam": e.map(relu=False), "gate-25": e.map(25, relu=False), "gate-269": e.map(relu=False)}
    hand["other-gate-269"] = e.map(neurons=other.order[: min(269, J)], relu=False)
    for name, expected in hand.items():
        method = methods.METHODS[name]
        more = (case.questions[1],) if method.needs_other else ()
        found = method(small_model, e.view, case.questions[0], case.answer, *more)
        torch.testing.assert_close(found, expected)
    draws = [methods.METHODS["random-gate-25"](small_model, e.view, q, case.answer) for q in case.questions * 2]
    assert torch.equal(draws[0], draws[2]) and not torch.equal(draws[0], draws[1])


def test_a_method_by_its_import_path(tmp_path, monkeypatch):
    (tmp_path / "grounding_example.py").write_text("class Mine:\n    def flat(*asked):\n        return [[1.0]]\n")
    monkeypatch.chdir(tmp_path)
    assert methods.find_method("grounding_example:Mine.flat")() == [[1.0]]
    assert methods.find_method("grad-cam") is methods.METHODS["grad-cam"]


@pytest.mark.parametrize("name", ["grad_cam", "no.such.module:f", "math:no_such", "math:pi", ":f", "math:"])
def test_a_method_that_is_not_there(name):
    with pytest.raises(QGCError, match=r"no method|cannot be imported|a method is a function"):
        methods.find_method(name)


# -- rows whose values are known --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def known(cases):
    """What the scorer makes of all rows whose values are known."""
    return controls.known_shares(cases)


@pytest.mark.parametrize("name", controls.KNOWN)
def test_every_pair_of_a_known_row_has_its_right_value(known, name):
    found = verdicts(known[name])
    for measure, right in controls.KNOWN[name].right.items():
        values = found[measure][np.isfinite(found[measure])]
        np.testing.assert_allclose(values, right, atol=1e-9, err_msg=measure)
        assert len(values)


@recorded
def test_the_recorded_known_rows_have_their_right_values():
    rows = [r for r in stored.Stored.read().tables["rows"] if r["kind"] != "method"]
    assert {(r["row"], r["distribution"]) for r in rows} == {
        (n, d) for n in controls.KNOWN for d in frozen.DISTRIBUTIONS
    }
    for row in rows:
        for measure, right in controls.KNOWN[row["row"]].right.items():
            assert row[measure] == [right] * 3, (row["row"], measure)


# -- scores ------------------------------------------------------------------------------------------------------
def made_up(a, scene, background=False, R=None) -> Shares:
    n = len(a)
    nothing = np.full((n, 2), np.nan)
    return Shares(
        keys=np.array([f"natural-{s:03d}-{k}" for k, s in enumerate(scene)]), scene=np.array(scene),
        area=np.ones((n, 2)), background=np.broadcast_to(np.array(background).reshape(-1, 1), (n, 2)).copy(),
        a=np.array(a, float), R=np.full((n, 2, 2), 0.25) if R is None else R, absent=nothing,
        has_absent=np.zeros(n, bool), elsewhere=nothing, has_elsewhere=np.zeros(n, bool), surrogate=nothing,
    )  # fmt: skip


def test_a_scene_counts_once_and_an_empty_map_one_half():
    found = made_up([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [np.nan, 0.9], [0.5, 0.5]], [0, 0, 1, 2, 2],
                    [False, False, False, True, True])  # fmt: skip
    scores = grounding.score(found)
    assert scores["RGA"].estimate == pytest.approx(np.mean([1, 0, 0.5]))
    assert scores["RGA" + WITHOUT].estimate == pytest.approx(0.5)
    assert scores["RGA"].low == 0 and scores["RGA"].high == 1  # three scenes say little
    assert np.isnan(scores["above absent objects"].estimate)
    assert scores["a1 - a2"].estimate == pytest.approx(np.mean([0.7, -0.4, -0.2]))


def test_the_controls_are_subtracted_pair_by_pair():
    found = replace(made_up([[0.9, 0.1], [0.2, 0.1]], [0, 1]), absent=np.array([[0.9, 0.1], [np.nan, np.nan]]),
                    has_absent=np.array([True, False]), elsewhere=np.array([[0.1, 0.9], [np.nan, 0.3]]),
                    has_elsewhere=np.array([True, True]))  # fmt: skip
    columns = verdicts(found)
    np.testing.assert_equal(columns["above absent objects"], [0, np.nan])
    np.testing.assert_equal(columns["above other image"], [1, 0.5])


def test_packing_keeps_ties_and_empty_maps(known):
    found = known["sign flipped"]
    again = stored.unpacked(*stored.packed(found), {k: getattr(found, k) for k in ("keys", *stored.ABOUT)})
    for name in stored.PACKED:
        np.testing.assert_allclose(getattr(again, name), getattr(found, name), atol=1e-5)
    assert grounding.score(again).keys() == grounding.score(found).keys()
    np.testing.assert_array_equal(verdicts(again)["RGA"], verdicts(found)["RGA"])


# -- the data set and submissions --------------------------------------------------------------------------------
def test_the_exported_folder_is_read_without_qgc_and_is_the_same_each_time(cases, tmp_path):
    some = {"natural": cases[:3]}
    manifest = submissions.export(tmp_path / "one", some)
    assert submissions.export(tmp_path / "two", some) == manifest
    for name, checksum in manifest["files"].items():
        one, two = ((tmp_path / folder / name).read_bytes() for folder in ("one", "two"))
        assert one == two and hashlib.sha256(one).hexdigest() == checksum
    there = {p.relative_to(tmp_path / "one").as_posix() for p in (tmp_path / "one").rglob("*") if p.is_file()}
    assert there == {*manifest["files"], "manifest.json"} and len(list(tmp_path.iterdir())) == 2
    for case, pair in zip(cases, json.loads((tmp_path / "one" / "pairs.json").read_text("utf-8")), strict=False):
        assert pair["key"] == case.key and tuple(pair["questions"]) == case.questions
        assert np.array_equal(Image.open(tmp_path / "one" / pair["image"]), case.image)
        masks = [np.asarray(Image.open(tmp_path / "one" / m)) for m in pair["masks"]]
        assert np.array_equal(masks, case.masks)
        assert np.array_equal(Image.open(tmp_path / "one" / pair["other_image"]), case.other_image)
    with pytest.raises(QGCError, match="not empty"):
        submissions.export(tmp_path / "one", some)


@pytest.fixture
def small(cases, monkeypatch):
    """The benchmark as if it had these few cases alone; what a right submission of a method holds."""
    about = {f: getattr(grounding.evaluate(mean_color, cases, None), f) for f in ("keys", *stored.ABOUT)}
    digest = frozen.digest(map(frozen.case_digest, cases))
    arrays = {f"natural|{k}": about[k] for k in stored.ABOUT}
    arrays["natural|number"] = np.array([int(key[-1]) for key in about["keys"]])
    fake = stored.Stored({"about": {"digests": {"natural": digest}}}, arrays)
    monkeypatch.setattr(stored.Stored, "read", classmethod(lambda cls: fake))
    monkeypatch.setattr(submissions, "read_cases", lambda distribution: cases)
    maps = {"maps": [], "absent_maps": [], "elsewhere_maps": []}
    for case in cases:
        for name, image, questions in (
            ("maps", case.image, case.questions),
            ("absent_maps", case.image, case.absent or case.questions),
            ("elsewhere_maps", case.other_image, case.questions),
        ):
            maps[name].append([mean_color(None, image, q, "") for q in questions])
    said = {"version": 1, "digest": digest, "model": "deeper-lstm/natural", "method": "mine", "keys": about["keys"]}
    return {**said, **{k: np.array(v) for k, v in maps.items()}}


def test_maps_and_shares_give_the_same_row(small, cases, tmp_path):
    np.savez_compressed(tmp_path / "maps.npz", **small)
    of_maps = submissions.read_submission(tmp_path / "maps.npz")
    fresh = grounding.evaluate(mean_color, cases, None)
    submissions.write_submission(tmp_path / "shares.npz", "mine", "deeper-lstm/natural", fresh)
    of_shares = submissions.read_submission(tmp_path / "shares.npz")
    assert (of_maps.method, of_maps.model) == (of_shares.method, of_shares.model) == ("mine", "deeper-lstm/natural")
    expected = stored.table_row("mine", "method", "", "natural", fresh)
    for found in (of_maps, of_shares):
        assert stored.table_row("mine", "method", "", "natural", found.shares) == expected
    with pytest.raises(QGCError, match="all pairs"):
        submissions.write_submission(tmp_path / "few.npz", "mine", "deeper-lstm/natural", fresh.where(fresh.scene == 0))


def without(name):
    return lambda s: {k: v for k, v in s.items() if k != name}


DAMAGE = {
    "no keys": (without("keys"), "lacks keys"),
    "no maps": (without("maps"), "neither maps nor"),
    "another version": (lambda s: {**s, "version": 2}, "version"),
    "another digest": (lambda s: {**s, "digest": "0"}, "other data"),
    "another model": (lambda s: {**s, "model": "mine"}, "about the model"),
    "a missing pair": (lambda s: {**s, "keys": s["keys"][1:]}, "missing are"),
    "another order": (lambda s: {**s, "keys": s["keys"][::-1]}, "in the order"),
    "nan": (lambda s: {**s, "maps": s["maps"] * np.nan}, "natural-000-0 holds numbers that are not finite"),
    "a shape": (lambda s: {**s, "maps": s["maps"][:, :1]}, "it must be"),
    "complex maps": (lambda s: {**s, "maps": s["maps"] + 1j}, "real numbers"),
    "a pickle": (lambda s: {**s, "maps": np.array([print], object)}, "cannot be read"),
    "another name": (lambda s: {**s, "weights": 1}, "holds"),
    "shares above 1": (lambda s: {**s, "a": np.full((len(s["keys"]), 2), 2.0),
                                  "R": np.zeros((len(s["keys"]), 2, 2))}, "between 0 and 1"),
    "shares that add up to more": (lambda s: {**s, "a": np.zeros((len(s["keys"]), 2)),
                                              "R": np.ones((len(s["keys"]), 2, 2))}, "more than 1"),
    "shares of other maps": (lambda s: {**s, "a": np.full((len(s["keys"]), 2), 0.25),
                                        "R": np.zeros((len(s["keys"]), 2, 2))}, "not what its maps have"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_submission_that_is_not_right_is_refused(small, tmp_path, kind):
    change, message = DAMAGE[kind]
    np.savez_compressed(tmp_path / "mine.npz", **change(small))
    with pytest.raises(QGCError, match=message):
        submissions.read_submission(tmp_path / "mine.npz")


@pytest.mark.parametrize("data", [b"", b"text", b"PK\x03\x04 damaged"])
def test_a_file_that_is_no_submission_is_refused(tmp_path, data):
    (tmp_path / "mine.npz").write_bytes(data)
    with pytest.raises(QGCError, match="cannot be read"):
        submissions.read_submission(tmp_path / "mine.npz")
    with pytest.raises(QGCError, match="no file"):
        submissions.read_submission(tmp_path / "none.npz")


def test_a_file_too_large_is_refused_before_it_is_read(small, tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "mine.npz", **small)
    monkeypatch.setattr(submissions, "MOST_BYTES", 1000)
    with pytest.raises(QGCError, match="too large"):
        submissions.read_submission(tmp_path / "mine.npz")


# -- the recorded table -----------------------------------------------------------------------------------------
@recorded
def test_the_recorded_table_follows_from_the_stored_shares_and_these_from_the_models():
    found = stored.Stored.read()
    assert stored.check(found) == []
    assert sum(path.stat().st_size for path in stored.paths()) <= 400_000
    damaged = replace(found, arrays={k: v // 2 if k.endswith("|grad-cam") else v for k, v in found.arrays.items()})
    faults = stored.check(damaged)
    assert any("does not follow" in f for f in faults) and any("differ" in f for f in faults)


def test_a_table_that_is_not_there_names_the_command(tmp_path):
    with pytest.raises(QGCError, match="bench grounding --record"):
        stored.Stored.read(tmp_path)
    with pytest.raises(QGCError, match="root folder"):
        stored.record(tmp_path / "none")


# -- the command ---------------------------------------------------------------------------------------------------
def test_the_command_scores_a_method(cases, capsys, monkeypatch):
    monkeypatch.setattr(grounding, "read_cases", lambda distribution, scenes: cases[:1])
    assert main(["bench", "grounding", "grad-cam", "--scenes", "1", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["pairs"] == 1 and row["RGA"][0] in (0, 0.5, 1)


@recorded
def test_the_command_alone_prints_the_table(capsys):
    assert main(["bench", "grounding"]) == 0
    assert "true mask, natural" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["grad-cam", "--record"], "not both"),
        (["--out", "x.npz"], "name it"),
        (["grad-cam", "--out", "x.npz", "--scenes", "3"], "leave out --scenes"),
        (["nothing"], "there is no method"),
        (["--export", "a", "--score", "b"], "not allowed with"),
    ],
)
def test_wrong_arguments_say_what_to_do(arguments, message, capsys):
    assert main(["bench", "grounding", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_stacking_nothing_is_refused():
    with pytest.raises(QGCError, match="more scenes"):
        stacked([], [])
