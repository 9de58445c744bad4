"""Whatever mode, number type or weights a model of one's own has: the right answer, or what to do."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qgc
from qgc.errors import GateError, ImageError, QGCError, WeightsError
from qgc.explain import (
    EncodedImage,
    Words,
    contrast,
    explain,
    gates,
    gradcam,
    guided_backprop,
    guided_gradcam,
    input_gradient,
    maps_of,
    normalised,
)
from qgc.explain.guided import BackwardPass
from qgc.explain.rankings import RankingInputs
from qgc.lab.experiments import activations, compare
from qgc.lab.protocol import methods
from qgc.models import DeeperLSTM
from qgc.scenes.situations import situation
from qgc.show import plots
from qgc.show.widgets import EditorState, ExplorerState

QUESTIONS = ["What color is the sink?", "What color are the towels?"]


@pytest.fixture(scope="module")
def scene():
    return situation("bathroom")


@pytest.fixture
def own(small_model) -> DeeperLSTM:
    """A model of one's own, to be changed, in the type that autocast would change."""
    return copy.deepcopy(small_model).float()


def everything(vqa, scene) -> dict[str, Tensor]:
    """All that can be computed of a model and an image, by name."""
    view = EncodedImage(vqa, scene)
    first, second = explain(vqa, view, QUESTIONS, "white")
    words, asked = Words(vqa, QUESTIONS[0]), RankingInputs(first)
    looked = compare.look({"model": vqa}, scene)
    return {
        "y": first.y, "sensitivity": first.sensitivity, "M": first.M, "map": first.map(5), "maps": first.maps(),
        "some maps": second.maps([1, 9]), "neurons": first.map(neurons=[1, 3]), "of two": maps_of([first, second], [3]),
        "gates": gates.maps(first, gates.top(first.order, [2, 7])), "contrast": contrast(first, second, "l1"),
        "∂A/∂w": words.jacobian(view), "words": words.sensitivity(view), "guided": guided_backprop(first),
        "reference": gradcam(vqa, view.F, first.q, vqa.answer_index("white"), first.order[:5]),
        "input": input_gradient(first), "guided Grad-CAM": guided_gradcam(second, 5),
        "probability": torch.tensor(vqa.ask(scene, QUESTIONS[1])[1]), "P": asked.P,
        "HiResCAM": methods.hires(asked, vqa), "mean u": methods.question_branches(vqa, QUESTIONS),
        "cell by cell": looked.before["model cell by cell"], **activations.gradients(first),
        **activations.method_images(first),
    }  # fmt: skip


MODES = {
    "training": nullcontext,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.fixture(scope="module")
def expected(small_model, scene) -> dict[str, Tensor]:
    """:func:`everything` of a model in evaluation mode, on its own."""
    return everything(copy.deepcopy(small_model).float(), scene)


@pytest.mark.parametrize("mode", MODES)
def test_a_model_in_any_mode_is_explained_as_it_answers(own, scene, expected, mode):
    own.train()
    own.cnn.eval()
    with MODES[mode]():
        found = everything(own, scene)
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert values.dtype == expected[name].dtype and torch.equal(values, expected[name]), name
    assert own.training and own.drop.training and not own.cnn.drop.training


@pytest.mark.parametrize("mode", MODES)
def test_an_explanation_leaves_the_mode_that_it_was_made_in(own, scene, expected, mode):
    with MODES[mode]():
        first, second = explain(own.train(), EncodedImage(own, scene), QUESTIONS, "white")
        ranked = explain(own, first.view, QUESTIONS, rank=first.g)[0]
    assert torch.equal(first.M, expected["M"]) and torch.equal(ranked.sensitivity, expected["sensitivity"])
    assert torch.equal(first.maps(), expected["maps"]) and torch.equal(second.maps([1, 9]), expected["some maps"])
    assert torch.equal(guided_backprop(first), expected["guided"])


def test_the_widgets_look_in_evaluation_mode(own, small_model, scene):
    shown = [ExplorerState(["mine"], lambda _, m=m: m).render() for m in (small_model.eval(), own.double().train())]
    assert shown[0] == shown[1]
    answers = [EditorState(scene, m).answers() for m in (small_model.eval(), own)]
    assert answers[0] == answers[1] and own.training


@pytest.mark.parametrize("model_class", [str, dict, "DataParallel"])
def test_what_is_no_model_is_refused(own, scene, model_class):
    wrapped = nn.DataParallel(own) if model_class == "DataParallel" else model_class()
    with pytest.raises(QGCError, match="takes a VQA model, not .*qgc.load.*give the one inside of a wrapped"):
        explain(wrapped, scene, QUESTIONS[0])
    with pytest.raises(QGCError, match="takes a VQA model"):
        Words(wrapped, QUESTIONS[0])


# -- number types -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_the_digits_are_enough_to_explain_and_draw(own, scene, dtype):
    found = explain(own.to(dtype), scene, QUESTIONS[0], "white")
    assert list(found.top(3)) == ["index", "value"] and found.top(3)["value"].dtype == np.float64
    assert found.map(5).dtype == dtype and normalised(found.map(5)).max() == 1
    assert Words(own, QUESTIONS[0]).shares(found.view).sum() == pytest.approx(1, abs=0.01)
    plots.overlay(found, n=5)
    plots.sensitivity_bars(found, 5)
    ExplorerState(["mine"], lambda _: own).render()


def test_weights_of_several_kinds_are_named(own, scene):
    own.output.half()
    with pytest.raises(WeightsError, match="float16 on cpu and float32 on cpu; .*vqa.to.'cpu', torch.float32"):
        explain(own, scene, QUESTIONS[0])
    quantised = torch.ao.quantization.quantize_dynamic(own.float(), {nn.Linear})
    for changed, kind in ((quantised, "float32 on cpu and quantised"), (own.to(torch.complex64), "complex64 on cpu")):
        with pytest.raises(WeightsError, match=f"{kind}; explaining needs one floating-point type"):
            changed.ask(scene, QUESTIONS[0])


@pytest.mark.parametrize(
    "wrong",
    [lambda F: F.double(), lambda F: F[0], lambda F: F.to("meta"), lambda F: F.repeat(2, 1, 1, 1),
     lambda F: F[:, :, :0], lambda F: F.numpy(), lambda F: F.to_sparse(), lambda F: F.tolist()],
)  # fmt: skip
def test_maps_of_another_type_or_shape_are_refused(own, scene, wrong):
    view = EncodedImage(own, scene)
    with pytest.raises(QGCError, match=r"F is .*; it must be \(1, K, h, w\)"):
        EncodedImage(own, scene, wrong(view.F))
    assert torch.equal(EncodedImage(own, scene, view.F).F, view.F)
    with pytest.raises(QGCError, match=r"cannot read the maps F \(1, 191, 14, 14\).* a model with the same CNN"):
        explain(own, EncodedImage(own, scene, view.F[:, 1:]), QUESTIONS[0])


@pytest.mark.parametrize("default", [torch.float64, torch.float16])
def test_the_default_number_type_makes_no_difference(own, scene, expected, default):
    torch.set_default_dtype(default)
    try:
        found = everything(own, scene)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(found[name].float(), expected[name].float()) for name in expected if name != "probability")


def test_a_default_device_makes_no_difference(own, scene, expected):
    torch.set_default_device("meta")
    try:
        found = everything(own, scene)
        explained = qgc.explain(qgc.load("pythia/natural"), scene, QUESTIONS[0])
    finally:
        torch.set_default_device(None)
    assert all(torch.equal(found[name], expected[name]) for name in expected if name != "probability")
    assert explained.map(25).device == torch.device("cpu")


def test_threads_see_neither_dropout_nor_each_other(own, bare_model, scene):
    own.train()
    with ThreadPoolExecutor(4) as threads:
        maps = list(threads.map(lambda q: explain(own, scene, q, "white").maps(), QUESTIONS * 4))
        words = list(threads.map(lambda q: Words(bare_model, q).question_jacobian, QUESTIONS * 2))
    for i, question in enumerate(QUESTIONS):
        assert all(torch.equal(m, maps[i]) for m in maps[i::2])
        assert torch.equal(explain(own, scene, question, "white").maps(), maps[i])
        assert all(torch.equal(w, words[i]) for w in words[i::2])
    assert own.training and own.drop.training


# -- copies -----------------------------------------------------------------------------------------------------------
COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy, "pickle": lambda kept: pickle.loads(pickle.dumps(kept))}


@pytest.mark.parametrize("way", COPIES)
def test_copies_of_what_was_kept_work(own, scene, way):
    done, begun = explain(own, EncodedImage(own, scene), QUESTIONS, "white")
    done.maps()
    words = Words(own, QUESTIONS[0])
    for e, original in zip(COPIES[way]([done, begun]), [done, begun], strict=True):
        assert e.vqa is e.view.vqa and torch.equal(e.map(5), original.map(5))
    view, asked = COPIES[way](done.view), COPIES[way](words)
    assert torch.equal(explain(view.vqa, view, QUESTIONS, "white")[1].map(5), begun.map(5))
    assert torch.equal(asked.sensitivity(EncodedImage(asked.vqa, scene)), words.sensitivity(done.view))
    assert EncodedImage(own, scene, torch.ones_like(view.F, requires_grad=True) * view.F).F.requires_grad is False
    halve(view.vqa)
    stale = COPIES[way](view)
    with pytest.raises(WeightsError, match="make the EncodedImage .* again"):
        explain(stale.vqa, stale, QUESTIONS[0])


# -- numbers that are not finite --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "bad"),
    [(f"{name}.bias", torch.nan) for name in ("output", "image", "question", "cnn.fc6", "cnn.fc7", "cnn.features.0")]
    + [("output.bias", torch.inf), ("output.weight", -torch.inf), ("image.weight", torch.inf)],
)
def test_weights_that_are_not_finite_give_no_answer_and_no_map(own, scene, name, bad):
    own.get_parameter(name).data.view(-1)[0] = bad
    with pytest.raises(WeightsError, match="not finite.*train it again"):
        explain(own, scene, QUESTIONS[0]).map()


def test_scores_beyond_float16_are_refused(own, scene):
    own.half().output.bias.data.fill_(6e4)
    own.output.weight.data.fill_(6e4)
    for ask in (lambda: own.ask(scene, QUESTIONS[0]), lambda: explain(own, scene, QUESTIONS[0])):
        with pytest.raises(WeightsError, match="in float16 are not finite; load it with dtype=torch.float32"):
            ask()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_map_that_is_not_finite_is_not_shown(bad):
    map_ = torch.ones(2, 2)
    map_[0, 1] = bad
    for values in (map_, map_.numpy()):
        with pytest.raises(GateError, match="not finite"):
            normalised(values)


# -- weights that change ----------------------------------------------------------------------------------------------
def halve(vqa: DeeperLSTM) -> None:
    with torch.no_grad():
        vqa.image.weight.mul_(0.5)


CHANGES: dict[str, Callable[[DeeperLSTM], object]] = {
    "in place": halve,
    "through .data": lambda vqa: vqa.question.weight.data.mul_(0.5),
    "one number": lambda vqa: vqa.output.weight.data.__setitem__((0, 0), 3.0),
    "the convolutions": lambda vqa: vqa.cnn.features[0].weight.data.mul_(2),
    "fc6": lambda vqa: vqa.cnn.fc6.weight.data.mul_(2),
    "another type": lambda vqa: vqa.double(),
    "a new layer": lambda vqa: setattr(vqa, "output", nn.Linear(32, len(vqa.answers))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_kept_of_other_weights_is_refused(own, scene, change):
    view, words = EncodedImage(own, scene), Words(own, QUESTIONS[0])
    done, begun = explain(own, view, QUESTIONS, "white")
    map_, ranked = done.map(5), explain(own, EncodedImage(own, scene), QUESTIONS[0], rank=torch.arange(32.0))
    way = BackwardPass(done)
    CHANGES[change](own)
    for use in (
        lambda: explain(own, view, QUESTIONS[0]),
        lambda: ranked.map(5),
        lambda: ranked.sensitivity,
        lambda: words.sensitivity(EncodedImage(own, scene)),
        lambda: way.gradient(),
        lambda: guided_backprop(begun),
    ):
        with pytest.raises(WeightsError, match="weights.* have changed since it .*again"):
            use()
    assert torch.equal(done.map(5), map_)  # what was explained is what it was
    fresh = explain(own, scene, QUESTIONS[0], "white")
    exact = gradcam(own, fresh.F, fresh.q, own.answer_index("white"), fresh.order[:5]).relu()
    assert not torch.equal(fresh.map(5), map_) and torch.allclose(fresh.map(5), exact, rtol=1e-3, atol=1e-9)


def test_words_and_image_of_two_models_do_not_mix(own, small_model, scene):
    with pytest.raises(WeightsError, match="another model"):
        Words(own, QUESTIONS[0]).sensitivity(EncodedImage(small_model, scene))
    with pytest.raises(ImageError, match="another model"):
        explain(own, EncodedImage(small_model, scene), QUESTIONS[0])


def test_the_widgets_look_again_when_the_model_has_learnt(own, scene):
    explorer, editor = ExplorerState(["mine"], lambda _: own), EditorState(scene, own)
    before, answers = explorer.render(), editor.answers()
    assert explorer.render() == before and editor.answers() == answers
    own.output.weight.data.mul_(-3)
    fresh = ExplorerState(["mine"], lambda _: own)
    assert explorer.render() == fresh.render() != before
    assert editor.answers() == EditorState(scene, own).answers() != answers


def test_maps_that_are_handed_out_may_be_changed(own, scene):
    found = explain(own, scene, scene.questions[0])
    kept = found.maps(relu=False).clone()
    found.maps(relu=False).zero_()
    found.maps().zero_()
    assert torch.equal(found.maps(relu=False), kept)
