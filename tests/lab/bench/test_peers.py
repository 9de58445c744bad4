"""The closed form compared with pytorch-grad-cam and Captum: the same gate for all, and a consistent stored result."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from qgc.cli import main
from qgc.errors import QGCError
from qgc.explain import EncodedImage, explain
from qgc.lab import grounding
from qgc.lab.bench import peers
from qgc.scenes import sample

STORED = Path(__file__).resolve().parents[3] / peers.RESULTS
EXTRA = "a development extra: pip install -e .[peers]"
NS = (1, 7, 32)  # of the small model's 32


@pytest.fixture(scope="module")
def case(small_model):
    """A scene as the model's input, its maps F, two explanations and the peers' work for them at every n of NS."""
    scene = sample(peers.FIRST_SCENE, "natural")
    view = EncodedImage(small_model, scene)
    found = explain(small_model, view, scene.questions[:2])
    return small_model.prepare(scene.image), view.F, found, peers.Work.from_explanations(found, NS)


def raw(found) -> torch.Tensor:
    return torch.cat([e.maps(NS, relu=False) for e in found])


# -- with the peers -------------------------------------------------------------------------------------
def test_captum_makes_the_same_gated_maps(small_model, case):
    pytest.importorskip("captum", reason=EXTRA)
    x, F, found, work = case
    for model, start in ((peers.Gated(small_model), x), (peers.Gated(small_model, from_maps=True), F)):
        theirs = peers.captum_maps(model, start, work)
        torch.testing.assert_close(theirs, raw(found), rtol=0, atol=1e-12 * float(raw(found).abs().max()))


def test_grad_cam_makes_the_same_gated_maps_after_its_scaling(small_model, case):
    pytest.importorskip("pytorch_grad_cam", reason=EXTRA)
    from pytorch_grad_cam.utils.image import scale_cam_image

    x, _, found, work = case
    ours = scale_cam_image(scale_cam_image(raw(found).relu().numpy(), (224, 224)))
    model, last = peers.Gated(small_model), peers.last_convolution(small_model)
    for trained in (None, last):
        theirs = peers.gradcam_maps(model, x, work, trained)
        assert theirs.shape == (len(work.answers), 224, 224)
        np.testing.assert_allclose(theirs, ours, rtol=0, atol=1e-6)
    assert not any(p.requires_grad or p.grad is not None for p in small_model.parameters())
    assert np.abs(theirs[0] - ours[-1]).max() > 1e-3  # a wrong map would have been seen


def test_both_peers_agree_with_the_closed_form_without_a_gate(model):
    for package in peers.NEEDED:
        pytest.importorskip(package, reason=EXTRA)
    found = peers.agreement(model, 2)
    assert found.pop("cases") == 2 * peers.PER_SCENE
    assert all(row["holds"] for row in found.values()), found


def test_the_command_measures_every_ratio_and_records_it(model, tmp_path, monkeypatch, capsys):
    for package in peers.NEEDED:
        pytest.importorskip(package, reason=EXTRA)
    monkeypatch.setattr(peers, "ROUNDS", 1)
    monkeypatch.setattr(peers, "THREADS", 1)
    monkeypatch.setattr(peers, "full_size_model", lambda words: model.float())
    (tmp_path / "book").mkdir()
    monkeypatch.chdir(tmp_path)
    try:
        assert main(["bench", "--peers", "--scenes", "1", "--record", "--json"]) == 0
    finally:
        model.double()
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(peers.RESULTS.read_text(encoding="utf-8"))
    for measured in printed["models"].values():
        assert measured["ratios"].keys() == peers.RATIOS.keys()
        assert all(row["value"] > 0 for row in measured["ratios"].values())
        assert measured["largest relative difference from Captum, 72 maps, float32"] < 1e-3
    assert "all 4096 maps" in peers.table(printed)


# -- without ----------------------------------------------------------------------------------------------
def test_a_missing_peer_is_named_with_the_remedy(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda module: find_spec("json") if module == "captum" else None)
    with pytest.raises(QGCError, match=r"^grad-cam cannot be imported.*pip install -e '\.\[peers\]'"):
        peers.check_peers()


def test_recording_elsewhere_ends_before_measuring(tmp_path, monkeypatch):
    monkeypatch.setattr(peers, "check_peers", lambda: None)
    with pytest.raises(QGCError, match="root folder"):
        peers.compare("deeper-lstm/natural", 1, tmp_path / "book" / "results" / "peers.json")


def test_record_goes_with_peers(capsys):
    assert main(["bench", "--record"]) == 2
    assert "--record" in capsys.readouterr().err


def test_the_gate_stops_the_gradient_of_the_other_neurons(small_model, case):
    x, F, found, work = case
    model = peers.Gated(small_model, from_maps=True)
    model.work = work.part(1, 3)  # the second question
    maps = F.expand(3, *F.shape[1:]).detach().requires_grad_()
    scores = model(maps).gather(1, model.work.answers[:, None]).sum()
    alpha = torch.autograd.grad(scores, maps)[0].mean((2, 3))
    expected = torch.stack([found[1].g[found[1].order[:n]] @ found[1].M[found[1].order[:n]] for n in NS])
    torch.testing.assert_close(alpha, expected, rtol=0, atol=1e-12 * float(expected.abs().max()))


def test_a_ratio_is_the_median_of_its_rounds_and_knows_its_bound():
    found = peers.ratio(np.array([2.0, 30.0, 4.0]), np.array([1.0, 10.0, 1.0]), "≤", 3.5)
    assert found["value"] == 3 and found["of_fastest"] == 2 and found["bound"] == "≤ 3.5" and found["holds"]
    assert not peers.ratio(np.array([2.0]), np.array([1.0]), "≥", 2.1)["holds"]
    assert "holds" not in peers.ratio(np.array([2.0]), np.array([1.0]))


def test_a_benchmark_runs_all_in_every_round_and_scales():
    calls = []
    methods = {
        "all": peers.Method(lambda k: calls.append(("all", k)), 72, 72),
        "one": peers.Method(lambda k: calls.append(("one", k)), 72, 1),
    }
    seconds = peers.benchmark(methods, 3, "")
    assert sorted(calls[2:]) == sorted((name, k) for k in range(3) for name in methods)
    assert all(len(times) == 3 and (times > 0).all() for times in seconds.values())


# -- the stored result --------------------------------------------------------------------------------------
def test_the_stored_result_is_whole_and_its_verdicts_follow_from_its_numbers():
    found = json.loads(STORED.read_text(encoding="utf-8"))
    for label, measured in found["models"].items():
        assert measured["ratios"].keys() == peers.RATIOS.keys()
        for name, (_, _, sign, bound) in peers.RATIOS.items():
            row = measured["ratios"][name]
            assert row["low"] <= row["value"] <= row["high"]
            if label == peers.FULL_SIZE and bound is not None:
                assert row["holds"] == (row["value"] <= bound if sign == "≤" else row["value"] >= bound)
    assert found["agreement"]["cases"] >= 1000
    assert found["agreement"]["Captum, raw map"]["value"] <= 1e-12
    assert found["agreement"]["pytorch-grad-cam, after its scaling"]["value"] <= 1e-6


# -- the grounding benchmark (qgc.lab.grounding): methods of other packages, as anybody would enter them --------
def captum_method(vqa, image, question, answer):
    """Grad-CAM by Captum, before the ReLU, on the model's own cells."""
    model, x = peers.Gated(vqa), vqa.prepare(image)
    work = peers.Work(vqa.encode(question), torch.ones(1, vqa.combine), torch.tensor([vqa.answer_index(answer)]))
    return peers.captum_maps(model, x, work)[0]


def gradcam_method(vqa, image, question, answer):
    """Grad-CAM by pytorch-grad-cam: after the ReLU, scaled to 0–1 and enlarged."""
    model, x = peers.Gated(vqa), vqa.prepare(image)
    work = peers.Work(vqa.encode(question), torch.ones(1, vqa.combine), torch.tensor([vqa.answer_index(answer)]))
    return peers.gradcam_maps(model, x, work, peers.last_convolution(vqa))[0]


@pytest.fixture(scope="module")
def pairs():
    """A pair of the benchmark, made by hand: its own two questions, and those about absent objects."""
    drawing = sample(peers.FIRST_SCENE, "natural")
    first, second = (ask for ask in drawing.asks[:2])
    masks = np.zeros((2, 224, 224), bool)
    masks[0, :100, :80], masks[1, 120:, 60:] = True, True
    absent = ("What color is the bed?", "What color is the cake?")
    return [grounding.Case("natural-000-0", 0, drawing.image, (first.question, second.question), "white",
                           ("one", "two"), masks, (False, False), absent)]  # fmt: skip


def test_captum_enters_the_benchmark_and_has_the_shares_of_ours(small_model, pairs):
    pytest.importorskip("captum", reason=EXTRA)
    theirs = grounding.evaluate(captum_method, pairs, small_model)
    ours = grounding.evaluate(grounding.METHODS["grad-cam"], pairs, small_model)
    for name in ("a", "R", "absent"):
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), atol=1e-9)


def test_pytorch_grad_cam_enters_the_benchmark(small_model, pairs):
    pytest.importorskip("pytorch_grad_cam", reason=EXTRA)
    found = grounding.evaluate(gradcam_method, pairs, small_model)
    ours = grounding.evaluate(grounding.METHODS["grad-cam"], pairs, small_model)
    np.testing.assert_allclose(found.R, ours.R, atol=0.1)  # enlarging spreads a map over an object's edge
    assert np.isfinite(found.a).all() and grounding.score(found)["RGA"].estimate in (0, 0.5, 1)
