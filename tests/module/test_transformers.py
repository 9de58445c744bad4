"""``qgc.explain_module`` on small random models of ``transformers``: the adapters, and the traps of these models.

Random weights prove that the places are right and the derivatives too. They say nothing about trained models.
"""

from __future__ import annotations

import warnings

import pytest
import torch

from qgc.errors import AnswerError, QGCError
from qgc.module import ADAPTERS, Answer, explain_module

pytest.importorskip("transformers", reason="a development extra: make peers")

import small_vlms
from small_vlms import MODELS, TOKENS, make

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module", params=MODELS)
def case(request):
    return make(request.param)


def places(case) -> dict:
    """What the adapter says, to be given by hand."""
    known = vars(ADAPTERS[type(case.model).__name__])
    layout = known["layout"](case.model, case.inputs[0]) if callable(known["layout"]) else known["layout"]
    return {k: known[k] for k in ("target_layer", "question", "fusion", "output")} | {"reshape_transform": layout}


# -- every adapter ----------------------------------------------------------------------------------------------------
def test_two_questions_are_explained_with_no_place_named(case):
    first, second = explain_module(case.model, case.inputs, target=case.target)
    map_ = first.map(relu=False)
    assert map_.shape == case.grid and map_.isfinite().all() and map_.any()
    assert first.contrast(second).any() and first.leak == 0
    pooled = first.A.numel() == case.J
    value, error = first.sensitivity(None if pooled else 4)
    assert value.shape == (1, case.J) and value.any() and bool(error.any()) != pooled
    order = value.argsort(1, descending=True)
    gated = first.maps([case.J // 2, case.J], order=order, relu=False)[0]
    torch.testing.assert_close(gated[1], map_[0], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(gated[0], gated[1])
    alone = explain_module(case.model, case.inputs[1], target=case.target)
    torch.testing.assert_close(second.map(relu=False), alone.map(relu=False), rtol=1e-5, atol=1e-7)
    assert 0 < first.question_blindness([second], blocks=2).p <= 1


def test_all_classes_of_adapters_are_in_the_installed_package():
    assert not [name for name in ADAPTERS if not hasattr(small_vlms.T, name)]


# -- ViLT -------------------------------------------------------------------------------------------------------------
def test_vilt_that_shuffles_is_explained_as_one_that_does_not(monkeypatch):
    case = make("vilt")
    shuffled = explain_module(case.model, case.inputs[0], target=3)
    monkeypatch.setattr(torch, "multinomial", lambda weights, n, **_: torch.arange(n))
    plain = explain_module(case.model, case.inputs[0], target=3)
    for a, b in ((shuffled.map(relu=False), plain.map(relu=False)), (shuffled.maps([8]), plain.maps([8]))):
        assert (a - b).abs().max() <= 1e-6
    monkeypatch.undo()
    naive = places(case) | {"target_layer": "vilt.encoder.layer.0", "reshape_transform": (8, 8)}
    with pytest.raises(QGCError, match="ViLT shuffles its patches, in evaluation mode too.*the patch embedding"):
        explain_module(case.model, case.inputs[0], target=3, **naive)


def test_vilt_needs_no_attention_weights():
    """``output_attentions`` is empty under "sdpa": nothing here asks for it."""
    maps = []
    for implementation in ("sdpa", "eager"):
        torch.manual_seed(0)
        case = make("vilt")
        case.model.set_attn_implementation(implementation)
        maps.append(explain_module(case.model, case.inputs[0], target=3).map(relu=False))
    torch.testing.assert_close(*maps, rtol=0, atol=1e-6)


def test_vilt_answers_by_its_labels():
    case = make("vilt")
    case.model.config.label2id = {"Red": 3, "blue": 4}
    e = explain_module(case.model, case.inputs[0], target="red")
    assert e.target == [3] and torch.equal(e.map(), explain_module(case.model, case.inputs[0], target=3).map())


# -- models that write ------------------------------------------------------------------------------------------------
def test_an_answer_is_the_sum_of_its_tokens():
    case = make("llava")
    e = explain_module(case.model, case.inputs[0], target=Answer(TOKENS))
    scores = case.model.eval()(**case.inputs[0]).logits[0].log_softmax(-1)
    expected = torch.stack([scores[-4 + t, token] for t, token in enumerate(TOKENS)])
    torch.testing.assert_close(e.y[0], expected.detach())
    torch.testing.assert_close(sum(e.map(token=t, relu=False) for t in range(3)), e.map(relu=False), rtol=0, atol=1e-6)
    given = explain_module(case.model, case.inputs[0], target=Answer(TOKENS, scores.shape[0] - 4))
    assert torch.equal(given.y, e.y)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Answer([99]), "the tokens .99. are not in the inputs; append the answer's tokens"),
        (3, "are those of tokens; give a function as target, or qgc.module.Answer"),
        (None, "are those of tokens"),
    ],
)
def test_an_answer_that_is_not_written_in_the_inputs_is_named(target, message):
    case = make("llava")
    with pytest.raises(AnswerError, match=message):
        explain_module(case.model, case.inputs[0], target=target)


def test_generate_has_no_gradient():
    case = make("llava")

    def generated(model):
        return model.generate(**case.inputs[0], max_new_tokens=1, output_logits=True, return_dict_in_generate=True)

    with pytest.raises(QGCError, match=r"under torch.no_grad .generate does.*call model"):
        explain_module(
            case.model, generated, target=lambda out: out.logits[0][:, 3], target_layer="model.multi_modal_projector"
        )


@pytest.mark.parametrize(("part", "leaks"), [("mlp", True), ("self_attn.o_proj", True), ("", False)])
def test_residual_connections_pass_a_gate_inside_a_block(part, leaks):
    case = make("llava")
    fusion = f"model.language_model.layers.1.{part}".rstrip(".")
    e = explain_module(case.model, case.inputs[0], target=case.target, fusion=fusion)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        e.maps([4], order=range(case.J))
    assert (e.leak > 0.2) == leaks == any("goes around the gate" in str(w.message) for w in caught)


def test_blip_returns_no_scores_and_its_decoder_does(monkeypatch):
    case = make("blip")
    given = places(case) | {"output": None}
    monkeypatch.delitem(ADAPTERS, "BlipForQuestionAnswering")
    with pytest.raises(QGCError, match="no answer scores in the BlipTextVisionModelOutput.*output='text_decoder'"):
        explain_module(case.model, case.inputs[0], target=Answer(TOKENS), **given)


# -- CLIP, boxes, number types -----------------------------------------------------------------------------------------
def test_clip_has_its_last_block_off_the_path_and_no_projection_that_sees_both():
    case = make("clip")
    with pytest.warns(UserWarning, match="is read, its last block is off the path"):
        assert (
            not explain_module(case.model, case.inputs[0], target=0, target_layer="vision_model.encoder.layers.-1")
            .map()
            .any()
        )
    e = explain_module(case.model, case.inputs[0], target=0, fusion="visual_projection")
    with pytest.raises(QGCError, match=r"CLIP's projections never do.*'text_projection \* visual_projection'"):
        e.sensitivity()


def test_models_of_boxes_have_no_grid():
    case = make("lxmert")
    with pytest.raises(QGCError, match="boxes, which are no grid"):
        explain_module(case.model, case.inputs[0], target=3).overlay("image.png")


def test_half_precision_gives_maps_and_refuses_differences():
    case = make("llava")
    inputs = {k: v.bfloat16() if v.is_floating_point() else v for k, v in case.inputs[0].items()}
    e = explain_module(case.model.bfloat16(), inputs, target=case.target)
    assert e.map().dtype == torch.float32 and e.map(relu=False).any()
    with pytest.raises(QGCError, match="load the model in float32"):
        e.sensitivity()


def test_a_batch_of_questions_is_explained_row_by_row():
    case = make("vilt")
    one = case.inputs[0]
    both = {k: torch.cat([v, v]) for k, v in one.items()}
    both["input_ids"] = torch.cat([one["input_ids"], one["input_ids"].flip(1)])
    together = explain_module(case.model, both, target=3)
    alone = explain_module(case.model, {**one, "input_ids": one["input_ids"].flip(1)}, target=3)
    torch.testing.assert_close(together.map(relu=False)[1], alone.map(relu=False)[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(together.sensitivity().value[1], alone.sensitivity().value[0], rtol=1e-3, atol=1e-6)


# -- beside others -----------------------------------------------------------------------------------------------
def test_captum_makes_the_same_map_of_a_convolution():
    captum = pytest.importorskip("captum.attr", reason="a development extra: make peers")
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    model = torchvision.models.resnet18().eval()
    x = torch.rand(2, 3, 64, 64)
    theirs = captum.LayerGradCam(model, model.layer3).attribute(x, torch.tensor([5, 7]), relu_attributions=True)[:, 0]
    ours = explain_module(model, x, target_layer=model.layer3, target=[5, 7]).map()
    assert (theirs - ours).abs().max() <= 1e-5 * ours.max()


def test_pytorch_grad_cam_makes_the_same_map_of_clips_tokens():
    package = pytest.importorskip("pytorch_grad_cam", reason="a development extra: make peers")
    from pytorch_grad_cam.utils.image import scale_cam_image

    case = make("clip")

    class OfPixels(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.clip = case.model.eval()

        def forward(self, x):
            return self.clip(**{**case.inputs[0], "pixel_values": x}).logits_per_image

    def grid(tokens):
        return tokens[:, 1:].mT.unflatten(2, (8, 8))

    layer = case.model.vision_model.encoder.layers[-2]
    with package.GradCAM(OfPixels(), [layer], reshape_transform=grid) as cam:
        theirs = cam(case.inputs[0]["pixel_values"], [package.utils.model_targets.ClassifierOutputTarget(0)])
    ours = explain_module(case.model, case.inputs[0], target_layer=layer, reshape_transform=grid, target=0).map()
    ours = scale_cam_image(scale_cam_image(ours.numpy(), (64, 64)))
    assert abs(theirs - ours).max() <= 1e-5
