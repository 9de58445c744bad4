"""Pythia: the published names and shapes, the published sizes on a CPU, explanations without a closed form."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor

from qgc.data.schema import parsed
from qgc.errors import WeightsError
from qgc.explain import EncodedImage, explain, gradcam
from qgc.explain.closed_form import pooled_jacobian_vjp
from qgc.explain.sensitivity import jacobian, reduce_rows
from qgc.lab.published.pythia import checkpoint_state, load_checkpoint
from qgc.lab.train.pythia import start
from qgc.lab.train.run import config
from qgc.measure import evaluate
from qgc.models import card, load, zoo
from qgc.models.pythia import Pythia, PythiaConfig, WeightNorm, full_size
from qgc.scenes import sample
from qgc.scenes.situations import situation

WORDS, ANSWERS = 99, 3129


# -- the published checkpoint -------------------------------------------------------------------------
def published(words: int) -> dict[str, tuple[int, ...]]:
    """Every name and shape of the checkpoint, from the description of the model; ``words`` with the blank."""
    shapes: dict[str, tuple[int, ...]] = {}

    def weight_norm(name: str, inputs: int, outputs: int) -> None:
        shapes.update({f"{name}.bias": (outputs,), f"{name}.weight_g": (), f"{name}.weight_v": (outputs, inputs)})

    def linear(name: str, inputs: int, outputs: int, *kernel: int) -> None:
        shapes.update({f"{name}.weight": (outputs, inputs, *kernel), f"{name}.bias": (outputs,)})

    question = "question_embedding_models.0"
    shapes[f"{question}.embedding.weight"] = (words, 300)
    shapes[f"{question}.LSTM.weight_ih_l0"] = (4 * 1024, 300)
    shapes[f"{question}.LSTM.weight_hh_l0"] = (4 * 1024, 1024)
    shapes[f"{question}.LSTM.bias_ih_l0"] = shapes[f"{question}.LSTM.bias_hh_l0"] = (4 * 1024,)
    linear(f"{question}.conv1", 1024, 512, 1)
    linear(f"{question}.conv2", 512, 2, 1)
    linear("image_feature_encode_list.0.lc", 2048, 2048)
    for i in (0, 1):
        attention = f"image_embedding_models_list.{i}.0.image_attention_model"
        weight_norm(f"{attention}.modal_combine.Fa_image.main.0", 2048, 5000)
        weight_norm(f"{attention}.modal_combine.Fa_txt.main.0", 2048, 5000)
        weight_norm(f"{attention}.transform.lc", 5000, 1)
    weight_norm("multi_modal_combine.Fa_image.main.0", 4096, 5000)
    weight_norm("multi_modal_combine.Fa_txt.main.0", 2048, 5000)
    weight_norm("classifier.f_o_text.main.0", 5000, 300)
    weight_norm("classifier.f_o_image.main.0", 5000, 5000)
    linear("classifier.linear_text", 300, ANSWERS)
    linear("classifier.linear_image", 5000, ANSWERS)
    return shapes


def full_sizes() -> PythiaConfig:
    """The published configuration with few words."""
    return full_size([f"w{i}" for i in range(WORDS)], [f"a{i}" for i in range(ANSWERS)])


@pytest.fixture(scope="module")
def full() -> Pythia:
    """The published model, without memory for its weights."""
    with torch.device("meta"):
        return Pythia(full_sizes())


def test_full_size_names_and_shapes_are_the_published(full):
    ours = {k: tuple(v.shape) for k, v in checkpoint_state(full).items()}
    assert ours == published(WORDS + 1)
    assert {"module." + k for k in ours} == checkpoint_state(full, parallel=True).keys()


def test_full_size_number_of_parameters(full):
    attention = 2 * (2 * (2048 * 5000 + 5000 + 1) + 5000 + 1 + 1)
    lstm = 4 * 1024 * (300 + 1024 + 2)
    glimpses = 1024 * 512 + 512 + 512 * 2 + 2
    fusion = (4096 + 2048) * 5000 + 2 * 5001
    classifier = 5000 * 300 + 301 + 5000 * 5000 + 5001 + (300 + 5000 + 2) * 3129
    total = attention + lstm + glimpses + 2048 * 2049 + fusion + classifier + (WORDS + 1) * 300
    parameters = sum(p.numel() for name, p in full.named_parameters() if not name.startswith("cnn."))
    print(f"\nPythia at full size: {parameters:,} parameters, {(WORDS + 1) * 300:,} of them words")
    assert parameters == total == 124_998_744


def test_the_full_size_backbone_is_resnet152(full):
    with torch.device("meta"):
        whole = torchvision.models.resnet152()
    theirs = {k: v.shape for k, v in whole.state_dict().items() if not k.startswith("fc.")}
    assert {k: v.shape for k, v in full.cnn.state_dict().items()} == theirs
    assert full.cnn(torch.empty(1, 3, 448, 448, device="meta")).shape == (1, 2048, 14, 14)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_full_size_checkpoint_comes_back_identical(prefix):
    """Strictly: every tensor gets a number of its own; only the words' table is smaller than the published."""
    with torch.device("meta"):
        model = Pythia(full_sizes())
    model.cnn = torch.nn.Identity()  # which the checkpoint does not have either
    model.to_empty(device="cpu")
    given = {prefix + k: torch.tensor(i / 7).expand(s) for i, (k, s) in enumerate(published(WORDS + 1).items())}
    load_checkpoint(model, given)
    back = checkpoint_state(model, parallel=bool(prefix))
    assert back.keys() == given.keys()
    assert all(torch.equal(back[k], given[k]) for k in given)


def small_config(**sizes) -> PythiaConfig:
    """All parts of the full size, boxes too, with few neurons."""
    plain = dict(embedding=5, hidden=6, conv1=4, attention=7, combine=8, text_head=3, image_head=9, boxes=10)
    return PythiaConfig(("what", "is", "this"), ("yes", "no"), **{**plain, **sizes})


def test_a_checkpoint_of_another_model_is_refused_and_changes_nothing():
    model = Pythia(small_config())
    before = copy.deepcopy(checkpoint_state(model))
    zeros = {k: torch.zeros_like(v) for k, v in before.items()}
    name = "multi_modal_combine.Fa_txt.main.0.bias"
    for wrong in ({**zeros, name: torch.zeros(9)}, {k: v for k, v in zeros.items() if k != name}):
        with pytest.raises(WeightsError, match=f"1 of its names or shapes differ, first '{name}'; make the model"):
            load_checkpoint(model, wrong)
    with pytest.raises(WeightsError, match="first 'extra'"):
        load_checkpoint(model, {**zeros, "extra": torch.zeros(1)})
    assert all(torch.equal(v, before[k]) for k, v in checkpoint_state(model).items())


def test_loading_a_checkpoint_leaves_the_cnn_alone():
    first, second = Pythia(small_config()), Pythia(small_config())
    cnn = copy.deepcopy(second.cnn.state_dict())
    load_checkpoint(second, checkpoint_state(first, parallel=True))
    assert all(torch.equal(v, cnn[k]) for k, v in second.cnn.state_dict().items())
    assert all(torch.equal(v, checkpoint_state(first)[k]) for k, v in checkpoint_state(second).items())


FULL_RUN = """
import json, resource, time
import torch
from qgc.explain import gradcam
from qgc.models.pythia import Pythia, full_size
torch.manual_seed(0)
torch.set_num_threads(1)
began = time.time()
model = Pythia(full_size([f"w{i}" for i in range(75_504)], [f"a{i}" for i in range(3129)])).eval().requires_grad_(False)
with torch.no_grad():
    F = model.conv(torch.randn(1, 3, 448, 448))
q = model.encode("w3 w14 w15 w92")
boxes = torch.rand(1, 100, 2048)
u, v = model.branches(F, q, boxes)
alone = model.branches(F, q)[1]
L = gradcam(model, F, q, 7, torch.arange(25))
print(json.dumps({"F": list(F.shape), "v": list(v.shape), "y": list(model.classify(u * v).shape), "map": list(L.shape),
    "same": bool(torch.equal(v, alone)), "finite": bool(torch.isfinite(L).all() and L.abs().max() > 0),
    "gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "seconds": time.time() - began}))
"""


def test_full_size_runs_within_8_gib():
    """One forward pass and one gated backward pass with 75,505 words; the largest memory of a process of its own."""
    pytest.importorskip("resource")
    done = subprocess.run([sys.executable, "-c", FULL_RUN], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"\nPythia at full size: {found['gib']:.2f} GiB at most, {found['seconds']:.1f} s")
    assert found["F"] == [1, 2048, 14, 14] and found["v"] == [1, 5000] and found["y"] == [1, ANSWERS]
    assert found["map"] == [14, 14] and found["finite"] and not found["same"]
    assert found["gib"] < 8


# -- by hand --------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def small() -> Pythia:
    """A random float64 model with boxes."""
    torch.manual_seed(0)
    model = Pythia(small_config(scale=0.4))
    start(model)
    return model.double().eval().requires_grad_(False)


def weight_normed(layer, x: Tensor) -> Tensor:
    """g V / ‖V‖ x + b, one length for the whole matrix."""
    v = layer.weight_v
    return x @ (layer.weight_g * v / (v * v).sum().sqrt()).T + layer.bias


def test_a_weight_normed_layer_starts_again_as_it_began():
    torch.manual_seed(3)
    layer = WeightNorm(7, 5)
    first = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.reset_parameters()
    assert not any(torch.equal(first[name], value) for name, value in layer.state_dict().items())
    torch.manual_seed(3)
    layer.reset_parameters()
    assert all(torch.equal(first[name], value) for name, value in layer.state_dict().items())


def attend_by_hand(model: Pythia, i: int, regions: Tensor, q: Tensor) -> Tensor:
    """Σ_r a_r r of one image and one question, region by region."""
    attention = model.image_embedding_models_list[i][0].image_attention_model
    image, text = attention.modal_combine.Fa_image.main[0], attention.modal_combine.Fa_txt.main[0]
    asked = weight_normed(text, q).relu()
    sides = [weight_normed(image, r).relu() for r in regions]
    raw = torch.stack([weight_normed(attention.transform.lc, side * asked)[0] for side in sides])
    return sum(a * r for a, r in zip(raw.softmax(0), regions, strict=True))


def test_the_whole_model_by_hand(small):
    torch.manual_seed(1)
    F, boxes = torch.rand(1, 192, 3, 4, dtype=torch.float64), torch.rand(1, 5, 10, dtype=torch.float64)
    encoder = small.question_embedding_models[0]
    words = [encoder.embedding.weight[i] for i in (1, 3, *[0] * 12)]  # what this, and 12 blanks
    h, c, outputs = torch.zeros(6).double(), torch.zeros(6).double(), []
    lstm = encoder.LSTM
    for w in words:
        sums = lstm.weight_ih_l0 @ w + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ h + lstm.bias_hh_l0
        gate_in, forget, candidate, out = sums.chunk(4)
        c = forget.sigmoid() * c + gate_in.sigmoid() * candidate.tanh()
        h = out.sigmoid() * c.tanh()
        outputs.append(h)
    H = torch.stack(outputs)
    hidden = (H @ encoder.conv1.weight[:, :, 0].T + encoder.conv1.bias).relu()
    glimpses = (hidden @ encoder.conv2.weight[:, :, 0].T + encoder.conv2.bias).softmax(0)
    q = torch.cat([glimpses[:, 0] @ H, glimpses[:, 1] @ H])

    cells = torch.stack([F[0, :, i, j] for i in range(3) for j in range(4)]) / 0.4
    fc7 = small.image_feature_encode_list[0].lc
    found = (boxes[0] @ fc7.weight.T + fc7.bias).relu()
    f = torch.cat([attend_by_hand(small, 0, found, q), attend_by_hand(small, 1, cells, q)])
    u = weight_normed(small.multi_modal_combine.Fa_txt.main[0], q).relu()
    v = weight_normed(small.multi_modal_combine.Fa_image.main[0], f).relu()
    head = small.classifier
    text, image = (weight_normed(m.main[0], u * v).relu() for m in (head.f_o_text, head.f_o_image))
    y = head.linear_text(text) + head.linear_image(image)

    ours_q = small.encode("What this?")
    ours = small.branches(F, ours_q, boxes)
    for a, b in ((ours_q[0], q), (ours[0][0], u), (ours[1][0], v), (small.classify(ours[0] * ours[1])[0], y)):
        assert b.abs().max() > 1e-3 and (a - b).abs().max() < 1e-13

    alone = torch.cat([torch.zeros(10).double(), attend_by_hand(small, 1, cells, q)])
    by_grid = weight_normed(small.multi_modal_combine.Fa_image.main[0], alone).relu()
    assert (small.branches(F, ours_q)[1][0] - by_grid).abs().max() < 1e-13


def test_weight_norm_is_torchs(small):
    ours = small.classifier.f_o_image.main[0]
    theirs = torch.nn.Linear(8, 9).double()
    theirs.load_state_dict({"weight": ours.weight_v, "bias": ours.bias})
    theirs = torch.nn.utils.parametrizations.weight_norm(theirs, dim=None)
    theirs.parametrizations.weight.original0.data.copy_(ours.weight_g)
    x = torch.randn(4, 8, dtype=torch.float64)
    assert (ours(x) - theirs(x)).abs().max() < 1e-14


# -- the scenes' size -----------------------------------------------------------------------------------
def scene_sized(cnn, combine: int, attention: int = 256) -> Pythia:
    """A random float64 Pythia behind the CNN of another model."""
    torch.manual_seed(0)
    model = Pythia(PythiaConfig(config().words, config().answers, combine=combine, attention=attention, scale=0.5))
    start(model)
    model.cnn.load_state_dict(cnn.state_dict())
    return model.double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def pythia(model) -> Pythia:
    """Untrained, with 64 combine neurons."""
    return scene_sized(model.cnn, 64)


QUESTIONS = ["What color are the towels?", "Is there a cat?", "What is the man in the picture doing?"]


def test_the_scenes_sizes(pythia):
    view = EncodedImage(pythia, situation("park"))
    q = torch.cat([pythia.encode(text) for text in QUESTIONS])
    u, v = pythia.branches(view.F.expand(3, -1, -1, -1), q)
    assert u.shape == v.shape == (3, 64) and (u >= 0).all() and (v >= 0).all()
    assert pythia.classify(u * v).shape == (3, len(pythia.answers))
    for i, text in enumerate(QUESTIONS):  # a batch is its rows, and one image may be given for many
        alone = pythia.branches(view.F, pythia.encode(text))
        assert all((a[i] - b[0]).abs().max() < 1e-13 for a, b in zip((u, v), alone, strict=True))
    assert torch.equal(pythia.branches(view.F, q)[1], v)
    assert (v[0] - v[1]).abs().max() > 1e-6  # the image branch sees the question


def test_padding_changes_nothing(pythia):
    tokens, lengths = pythia.vocabulary.batch(QUESTIONS)
    for batch in (tokens, torch.nn.functional.pad(tokens, (0, 14 - tokens.shape[1]))):
        q = pythia.encode_tokens(batch, lengths)
        assert max((q[i] - pythia.encode(text)[0]).abs().max() for i, text in enumerate(QUESTIONS)) < 1e-14


def test_an_unknown_word_is_a_blank(pythia):
    with pytest.warns(UserWarning, match="does not know 'zebra'"):
        assert pythia.vocabulary.encode("Is there a zebra?").tolist()[-1] == 0
    words = pythia.vocabulary.words
    assert pythia.vocabulary.encode(words[0]).tolist() == [1]
    assert pythia.vocabulary.encode(words[-1]).tolist() == [len(pythia.vocabulary) - 1]


def test_attention_adds_up_to_one_and_depends_on_the_question(pythia):
    F = EncodedImage(pythia, situation("bathroom")).F
    maps = torch.cat([pythia.attention(F, pythia.encode(text)) for text in QUESTIONS])
    assert maps.shape == (3, 14, 14) and (maps > 0).all()
    assert (maps.sum((1, 2)) - 1).abs().max() < 1e-13
    assert (maps[0] - maps[1]).abs().max() > 1e-6
    weighed = (maps[0] * F[0]).sum((1, 2)) / pythia.config.scale
    f = pythia.attended(pythia.regions(F), pythia.encode(QUESTIONS[0])[:, None])[0, 0]
    assert (weighed - f).abs().max() < 1e-12


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest absolute value of ``b``."""
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
def test_gated_maps_agree_with_autograd(pythia, dtype, bound):
    """Maps without a closed form, on the fusion: a random set, the top n, all, and a set with its complement."""
    vqa, rng, errors = copy.deepcopy(pythia).to(dtype), np.random.default_rng(0), []
    for i in range(6):
        view = EncodedImage(vqa, sample(500 + i, "natural"))
        answer = str(rng.choice(vqa.answers))
        e = explain(vqa, view, QUESTIONS[i % 3], answer)
        reference = [gradcam(vqa, view.F, e.q, vqa.answer_index(answer), e.order[:n]) for n in (1, 5, 40)]
        errors += [relative(e.map(n, relu=False), r) for n, r in zip((1, 5, 40), reference, strict=True)]
        plain = gradcam(vqa, view.F, e.q, vqa.answer_index(answer), keep=None)
        errors.append(relative(e.map(64, relu=False), plain))
        some = rng.permutation(64)[:20].tolist()
        rest = sorted(set(range(64)) - set(some))
        parts = e.map(neurons=some, relu=False) + e.map(neurons=rest, relu=False)
        errors.append(relative(parts, plain))
    print(f"\nPythia's gate against autograd, {dtype}: worst of {len(errors)} {max(errors):.1e}")
    assert len(errors) == 30 and max(errors) <= bound


def test_pooled_jacobian_at_full_width_agrees_with_autograd(model):
    vqa = scene_sized(model.cnn, 1024, attention=32)
    F, q = EncodedImage(vqa, situation("bathroom")).F, vqa.encode(QUESTIONS[0])
    M = pooled_jacobian_vjp(vqa, F, q)
    F = F.requires_grad_()
    v = vqa.branches(F, q)[1][0]
    alive = v.nonzero()[:, 0].tolist()
    assert M.shape == (1024, 192) and 100 < len(alive) < 1024
    for j in alive[::100]:
        (dF,) = torch.autograd.grad(v[j], F, retain_graph=True)
        assert relative(M[j], dF.mean((2, 3))[0]) < 1e-12
    assert M[(v == 0)].abs().max() == 0  # a silent neuron hands nothing on


@pytest.mark.parametrize("boxes", [0, 10], ids=["grid", "with room for boxes"])
def test_the_closed_form_is_the_fallbacks(boxes):
    torch.manual_seed(0)
    vqa = Pythia(small_config(combine=40, boxes=boxes, scale=0.4))
    start(vqa)
    vqa = vqa.double().eval().requires_grad_(False)
    F = torch.rand(1, 192, 3, 4, dtype=torch.float64)
    for question in ("What is this?", "Is this?"):
        q = vqa.encode(question)
        M = pooled_jacobian_vjp(vqa, F, q)
        assert M.abs().max() > 1e-4 and relative(vqa.question_pooled_jacobian(F, q), M) < 1e-13


def test_sensitivity_is_the_slope_along_the_question(pythia):
    """∂A/∂q, through the attention too: rows against small steps of q."""
    F = EncodedImage(pythia, situation("park")).F
    e = explain(pythia, EncodedImage(pythia, situation("park")), QUESTIONS[0])
    direction = torch.randn(e.q.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def A(step: float) -> Tensor:
        return torch.mul(*pythia.branches(F, e.q + step * direction))[0]

    rows = jacobian(pythia, F, e.q)
    slope = (A(1e-6) - A(-1e-6)) / 2e-6
    assert relative(rows @ direction[0], slope) < 1e-6
    assert (reduce_rows(rows, "l2") - e.sensitivity).abs().max() < 1e-14


def test_a_configuration_survives_json():
    for c in (PythiaConfig(config().words, config().answers), full_size(["a"], ["b"]), small_config(scale=0.3)):
        assert parsed(PythiaConfig, json.loads(json.dumps(c.as_dict())), zoo.LIMITS) == c


def test_saved_and_loaded(tmp_path, small):
    zoo.save(small, tmp_path / "run" / "model", {})
    again = zoo.load(str(tmp_path / "run"))
    assert isinstance(again, Pythia) and zoo.card(str(tmp_path / "run"))["family"] == "pythia"
    assert all(torch.equal(v.half().double(), again.state_dict()[k]) for k, v in small.state_dict().items())


# -- the shipped model ----------------------------------------------------------------------------------
def test_the_shipped_model_beats_the_question():
    about = card("pythia/natural")
    vqa = load("pythia/natural", dtype=torch.float32)
    assert isinstance(vqa, Pythia)
    found = evaluate(vqa, 40, distribution=about["distribution"], prior=about["question_prior"], split="validation")
    rows = {"all": found["all"], "colour": found["families"]["colour"]}
    print({k: (round(r["accuracy"], 3), round(r["question_only"], 3)) for k, r in rows.items()})
    assert found["all"]["n"] > 500 and found["all"]["accuracy"] > found["all"]["question_only"] + 0.1
    recorded = about["test"]
    assert recorded["all"]["accuracy"] > recorded["all"]["question_only"] + 0.15
    assert recorded["families"]["colour"]["accuracy"] > recorded["families"]["colour"]["question_only"]


def test_the_shipped_model_is_small_and_shares_its_cnn():
    files = {name: zoo.SHIPPED / "pythia" / name for name in card("pythia/natural")["files"]}
    assert "../deeper-lstm/cnn-natural.safetensors" in files
    assert sum(p.stat().st_size for name, p in files.items() if not name.startswith("..")) <= 4 * 2**20
    cnn = load("deeper-lstm/natural").cnn.state_dict()
    assert all(torch.equal(v, cnn[k]) for k, v in load("pythia/natural").cnn.state_dict().items())
