"""Sizes, the question embedding against a step-by-step LSTM, images of any size, one thread or two."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from qgc.data.schema import parsed
from qgc.lab.train.run import config
from qgc.models import DeeperLSTM, DeeperLSTMConfig, full_size, zoo
from qgc.scenes.situations import situation

QUESTIONS = ["What color are the towels?", "Is there a cat?", "What is the man in the picture doing?"]


@pytest.fixture(scope="module")
def full() -> DeeperLSTM:
    """The paper's model, without memory for its 160 million weights."""
    with torch.device("meta"):
        return DeeperLSTM(full_size([f"w{i}" for i in range(10_000)], [f"a{i}" for i in range(1000)]))


def count(*modules: torch.nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for m in modules for p in m.parameters())


def test_the_scenes_size(model):
    c = config()
    assert (c.embedding, c.hidden, c.combine, c.longest) == (64, 128, 1024, 26)
    assert len(c.words) == len(set(c.words)) and len(c.answers) == len(set(c.answers))
    F = model.conv(model.prepare(situation("park")))
    u, v = model.branches(F, model.encode("What color is the grass?"))
    assert F.shape == (1, 192, 14, 14) and u.shape == v.shape == (1, 1024)
    assert model.classify(u * v).shape == (1, len(c.answers))
    assert (F >= 0).all() and u.abs().max() < 1 and v.abs().max() < 1


def test_a_configuration_survives_json():
    for c in (config(), full_size(["a"], ["b"])):
        assert parsed(DeeperLSTMConfig, json.loads(json.dumps(c.as_dict())), zoo.LIMITS) == c


def test_the_full_size_is_vgg19(full):
    with torch.device("meta"):
        vgg = torchvision.models.vgg19()
    ours, theirs = ([tuple(p.shape) for p in m.features.parameters()] for m in (full.cnn, vgg))
    assert ours == theirs and len(ours) == 2 * 16
    assert [type(layer) for layer in full.cnn.features] == [type(layer) for layer in vgg.features][:-1]
    for mine, its in ((full.cnn.fc6, vgg.classifier[0]), (full.cnn.fc7, vgg.classifier[3])):
        assert mine.weight.shape == its.weight.shape
    assert full.cnn.fc6.weight.shape == (4096, 25088)
    assert full.cnn(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 512, 14, 14)


def test_the_full_size_is_the_published_models(full):
    """book/model.ipynb: the lengths of the published checkpoint's flat vectors."""
    assert full.question.in_features == 2048 and full.combine == 1024 and len(full.answers) == 1000
    assert count(full.lstm) + 513 == 3_564_033  # the published one has an unused 512→1 besides
    assert count(full.question, full.image, full.output) == 7_318_504
    assert full.embedding.weight.shape == (10_002, 200)


def test_vgg19_numbers_agree_with_torchvision():
    """One narrow network, both ways of writing it: the same maps from the same weights."""
    from qgc.models.backbones import VGG19, VGGLike

    narrow = replace(VGG19, blocks=((4, 4), (4, 4), (8,) * 4, (8,) * 4, (8,) * 4), fc=16)
    torch.manual_seed(0)
    cnn = VGGLike(narrow).double().eval()
    layout = [4, 4, "M", 4, 4, "M", *[8] * 4, "M", *[8] * 4, "M", *[8] * 4, "M"]
    features = torchvision.models.vgg.make_layers(layout).double()
    features.load_state_dict(cnn.features.state_dict())
    x = torch.randn(1, 3, 224, 224, dtype=torch.float64)
    with torch.no_grad():
        assert torch.equal(features(x), cnn.pool(cnn(x)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + e^−x)."""
    return 1 / (1 + np.exp(-x))


def lstm_by_hand(model: DeeperLSTM, indices: list[int]) -> np.ndarray:
    """q = [c1, h1, c2, h2], word by word and layer by layer, with gates in, forget, candidate, out."""
    w = {k: p.numpy() for k, p in model.lstm.state_dict().items()}
    size = model.config.hidden
    c, h = np.zeros((2, size)), np.zeros((2, size))
    for i in indices:
        x = np.tanh(model.embedding.weight[i].numpy())
        for layer in (0, 1):
            sums = w[f"weight_ih_l{layer}"] @ x + w[f"bias_ih_l{layer}"]
            sums = sums + w[f"weight_hh_l{layer}"] @ h[layer] + w[f"bias_hh_l{layer}"]
            gate_in, forget, candidate, out = np.split(sums, 4)
            c[layer] = sigmoid(forget) * c[layer] + sigmoid(gate_in) * np.tanh(candidate)
            x = h[layer] = sigmoid(out) * np.tanh(c[layer])
    return np.concatenate([c[0], h[0], c[1], h[1]])


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_question_embedding_is_c1_h1_c2_h2(model, question):
    q = model.encode(question)[0].numpy()
    worst = np.abs(q - lstm_by_hand(model, model.vocabulary.encode(question).tolist())).max()
    print(f"\nLSTM by hand: {worst:.1e}")
    assert q.shape == (4 * model.config.hidden,) and worst < 1e-13


def test_padding_changes_nothing(model):
    tokens, lengths = model.vocabulary.batch(QUESTIONS)
    padded = torch.nn.functional.pad(tokens, (0, 9))
    for batch in (tokens, padded):
        q = model.encode_tokens(batch, lengths)
        worst = max((q[i] - model.encode(text)[0]).abs().max() for i, text in enumerate(QUESTIONS))
        assert worst < 1e-14


@pytest.mark.parametrize("size", [(640, 480), (480, 640), (1, 900), (4000, 3000), (224, 224), (7, 7)])
@pytest.mark.filterwarnings("ignore:the image is only")
def test_a_photograph_of_any_size_is_squeezed_whole(model, size):
    image = Image.new("RGB", size, (255, 0, 128))
    x = model.prepare(image)
    assert x.shape == (1, 3, 224, 224) and x.dtype == torch.float64
    mean, std = (np.array(v) for v in (model.cnn.config.mean, model.cnn.config.std))
    expected = (np.array([1, 0, 128 / 255]) - mean) / std
    assert np.abs(x[0].permute(1, 2, 0).numpy() - expected).max() < 1e-12


def test_all_of_the_picture_is_seen(model):
    wide = np.zeros((100, 400, 3), np.uint8)
    wide[:, :4] = wide[:, -4:] = 255
    x = model.prepare(wide)[0, 0]
    assert x[:, 0].min() > x[:, 112].max() and x[:, -1].min() > x[:, 112].max()


def test_one_thread_and_two_agree(model):
    def scores() -> torch.Tensor:
        F = model.conv(model.prepare(situation("bathroom")))
        u, v = model.branches(F, model.encode(QUESTIONS[0]))
        return torch.cat([model.classify(u * v)[0], model.pooled_jacobian(F).flatten()])

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = scores()
        torch.set_num_threads(2)
        two = scores()
    finally:
        torch.set_num_threads(before)
    worst = ((one - two).abs().max() / one.abs().max()).item()
    print(f"\none thread against two: {worst:.1e}")
    assert worst < 1e-10


def test_the_answer_is_the_most_probable(model):
    scene = situation("bathroom")
    answer, probability = model.ask(scene, scene.questions[0])
    u, v = model.branches(model.conv(model.prepare(scene)), model.encode(scene.questions[0]))
    p = model.classify(u * v).softmax(1)[0]
    assert model.answers[int(p.argmax())] == answer and probability == pytest.approx(float(p.max()))
