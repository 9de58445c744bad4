"""Published weights as ours: the same answers as the published equations give; nothing else is taken for weights."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch7_writer import save
from vqa_writer import write as write_vqa

from qgc import cli, data
from qgc.errors import WeightsError
from qgc.explain import explain
from qgc.lab.experiments import photo_accuracy, photo_results
from qgc.lab.published import convert as published
from qgc.lab.published import deeper_lstm as published_lstm
from qgc.lab.published import pythia as published_pythia
from qgc.lab.published.pythia import checkpoint_state
from qgc.models import backbones, zoo
from qgc.models.deeper_lstm import DeeperLSTM, DeeperLSTMConfig
from qgc.models.pythia import Pythia, PythiaConfig

CNN = replace(backbones.VGG19_CAFFE, blocks=((4,), (4,), (6,), (6,), (8,)), fc=20)
WORDS = ["what", "is", "the", "man", "'s", "color", "?", "UNK", "dog", "doing"]
ANSWERS = ["yes", "no", "white", "2"]
QUESTIONS = ["what is the man 's color ?", "what", "is the dog doing ?", "is " * 26 + "?", "what purple ?"]


@pytest.fixture(autouse=True)
def small_cnns(monkeypatch):
    """What the published models look through, in small: same layers and names, fewer channels."""
    monkeypatch.setattr(backbones, "named", lambda name, side=None: CNN)


# -- the Deeper LSTM: the equations of the Lua code, one step after the other -----------------------------
SIZES = {"V": len(WORDS), "E": 5, "H": 6, "J": 7, "D": CNN.fc, "N": len(ANSWERS)}


def layers(V: int, E: int, H: int, J: int, D: int, N: int) -> dict[str, dict[str, tuple[int, int]]]:
    """(in, out) of each layer in the order of the vectors; ``proj`` is made but not used (misc/LSTM.lua)."""
    return {
        "embedding_w_q": {"word": (V, E)},
        "encoder_w_q": {"i2h1": (E, 4 * H), "h2h1": (H, 4 * H), "i2h2": (H, 4 * H), "h2h2": (H, 4 * H), "proj": (H, 1)},
        "multimodal_w": {"question": (4 * H, J), "image": (D, J), "answer": (J, N)},
    }


def parameters(sizes: dict[str, int] = SIZES, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Weight (out, in) and bias (out,) of each layer, as float32 numbers whose sums are float32 numbers as well."""
    rng = np.random.default_rng(seed)
    return {
        name: tuple(
            (rng.integers(-4096, 4097, shape) / 4096).astype("<f4") for shape in ((outputs, inputs), (outputs,))
        )
        for group in layers(**sizes).values()
        for name, (inputs, outputs) in group.items()
    }


def vectors(values, sizes: dict[str, int] = SIZES) -> dict[str, np.ndarray]:
    """The three flat vectors: layer by layer, weight row by row, then bias."""
    return {
        vector: np.concatenate([part.ravel() for name in group for part in values[name]])
        for vector, group in layers(**sizes).items()
    }


def lua(values, numbers: list[int], f: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """q and the answer scores of a question's word numbers (from 1), by the equations of LSTM.lua and netdef.lua."""

    def linear(name, x):
        weight, bias = (part.astype(np.float64) for part in values[name])
        return weight @ x + bias

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    size = values["h2h1"][0].shape[1]
    c, h = [np.zeros(size), np.zeros(size)], [np.zeros(size), np.zeros(size)]
    for number in numbers:
        one_hot = np.zeros(values["word"][0].shape[1])
        one_hot[number - 1] = 1
        x = np.tanh(linear("word", one_hot))
        for layer in (0, 1):
            sums = linear(f"i2h{layer + 1}", x) + linear(f"h2h{layer + 1}", h[layer])
            gates = sigmoid(sums[: 3 * size])
            in_gate, forget_gate, out_gate = gates[:size], gates[size : 2 * size], gates[2 * size :]
            c[layer] = forget_gate * c[layer] + in_gate * np.tanh(sums[3 * size :])
            x = h[layer] = out_gate * np.tanh(c[layer])
    q = np.concatenate([c[0], h[0], c[1], h[1]])
    A = np.tanh(linear("question", q)) * np.tanh(linear("image", f / np.sqrt(f @ f)))
    return q, linear("answer", A)


def numbers_of(question: str, words: list[str] = WORDS) -> list[int]:
    """Numbers from 1, at most 26, UNK for what is unknown (prepro.py)."""
    return [words.index(w if w in words else "UNK") + 1 for w in question.split()[:26]]


def prepro(folder: Path, words=WORDS, answers=ANSWERS, **changes) -> Path:
    """A data_prepro.json; its entries are in no order, as Python 2 wrote them."""
    numbered = [dict(reversed([(str(i), t) for i, t in enumerate(texts, 1)])) for texts in (words, answers)]
    tables = {"ix_to_word": numbered[0], "ix_to_ans": numbered[1], "unique_img_train": ["a.jpg"], **changes}
    path = folder / "data_prepro.json"
    path.write_text(json.dumps({k: v for k, v in tables.items() if v is not None}))
    return path


@pytest.mark.filterwarnings("ignore:the question has", "ignore:the model does not know")
def check(model: DeeperLSTM, values, words: list[str] = WORDS) -> None:
    """Every question and image as the Lua equations have it."""
    model = model.double()
    rng = np.random.default_rng(1)
    for question in QUESTIONS:
        f = rng.uniform(0, 3, values["image"][0].shape[1])
        q, scores = lua(values, numbers_of(question, words), f)
        ours = model.encode(question)
        A = model.question_branch(ours) * model.image_branch(torch.from_numpy(f)[None])
        np.testing.assert_allclose(ours[0].detach(), q, rtol=0, atol=1e-12)
        np.testing.assert_allclose(model.classify(A)[0].detach(), scores, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore:the question has", "ignore:the model does not know")
@pytest.mark.parametrize("options", [{}, {"cuda": True}], ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_model_answers_as_the_lua_equations_do(tmp_path, options, seed):
    values = parameters(seed=seed)
    weights = save(tmp_path / "lstm.t7", vectors(values), **options)
    model = published.deeper_lstm(weights, prepro(tmp_path))
    assert model.answers == ANSWERS and model.vocabulary.words == [w for w in WORDS if w != "UNK"]
    assert (model.config.embedding, model.config.hidden, model.combine) == (5, 6, 7)
    assert model.config.tokens == "original" and model.config.cnn == CNN and not model.training
    check(model, values)


@pytest.mark.filterwarnings("ignore:the question has", "ignore:the model does not know")
def test_the_published_sizes(tmp_path):
    """Embedding 200, two layers of 512, 1024 combine neurons, 1000 answers; only V and the convolutions are small."""
    words = [*WORDS, *(f"w{i}" for i in range(190))]
    sizes = {"V": len(words), "E": 200, "H": 512, "J": 1024, "D": 4096, "N": 1000}
    values = {k: tuple(part / 16 for part in v) for k, v in parameters(sizes).items()}
    flat = vectors(values, sizes)
    assert [len(flat[name]) for name in published_lstm.VECTORS] == [200 * (len(words) + 1), 3564033, 7318504]
    weights = save(tmp_path / "lstm.t7", flat, cuda=True)
    json_file = prepro(tmp_path, words, [f"a{i}" for i in range(1000)])
    model = published.deeper_lstm(weights, json_file, replace(CNN, fc=4096))
    assert model.config.longest == 26
    check(model, values, words)


def flattened(model: DeeperLSTM, words: list[str]) -> dict[str, np.ndarray]:
    """The three vectors of a model of ours, which is the converter's way backwards, written down apart."""

    def gates(tensor):  # in, forget, candidate, out → in, forget, out, candidate
        a, b, c, d = tensor.chunk(4)
        return torch.cat([a, b, d, c])

    state = {k: v.detach() for k, v in model.state_dict().items()}
    rows = {w: state["embedding.weight"][i + 2] for i, w in enumerate(model.vocabulary.words)}
    rows["UNK"] = state["embedding.weight"][1]
    bias = torch.arange(model.config.embedding) / 64
    lstm = [gates(state[f"lstm.{p}_{k}_l{n}"]) for n in (0, 1) for k in ("ih", "hh") for p in ("weight", "bias")]
    unused = [torch.full((model.config.hidden + 1,), torch.pi)]
    rest = [state[f"{n}.{p}"] for n in ("question", "image", "output") for p in ("weight", "bias")]
    parts = {
        "encoder_w_q": [*lstm, *unused],
        "embedding_w_q": [torch.stack([rows[w] - bias for w in words], 1), bias],
        "multimodal_w": rest,
    }
    return {k: torch.cat([p.flatten() for p in v]).float().numpy() for k, v in parts.items()}


def random_model(seed: int) -> DeeperLSTM:
    """A model of ours whose word embeddings have few binary digits, so that a bias can be taken off them exactly."""
    torch.manual_seed(seed)
    words = tuple(w for w in WORDS if w != "UNK")
    config = DeeperLSTMConfig(words, tuple(ANSWERS), 4, 6, 16, tokens="original", cnn=CNN)
    model = DeeperLSTM(config).eval().requires_grad_(False)
    model.embedding.weight.copy_((model.embedding.weight * 64).round() / 64)
    return model


@pytest.fixture
def lstm_files(tmp_path) -> dict[str, Path]:
    """What ``convert deeper-lstm`` reads, of ``random_model(3)``."""
    model = random_model(3)
    cnn = tmp_path / "vgg19-d01eb7cb.pth"
    torch.save(model.cnn.state_dict(), cnn)
    weights = save(tmp_path / "lstm.t7", flattened(model, WORDS), cuda=True)
    return {"weights": weights, "prepro": prepro(tmp_path), "cnn_weights": cnn, "out": tmp_path / "run"}


@pytest.mark.filterwarnings("ignore:the model does not know")
def test_a_model_of_ours_comes_back_identical(lstm_files):
    """Random model → flat vectors → file → run → loaded: the same numbers to the last bit."""
    model = random_model(3)
    card = published.convert_deeper_lstm(**lstm_files)
    loaded = zoo.load(str(card.parent), dtype=torch.float32)
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys() and loaded.config == model.config
    assert all(torch.equal(before[k], after[k]) for k in before)
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    F = model.conv(model.prepare(picture))
    assert torch.equal(F, loaded.conv(loaded.prepare(picture)))
    for question in QUESTIONS[:3]:
        u, v = model.branches(F, model.encode(question))
        assert torch.equal(
            model.classify(u * v), loaded.classify(torch.mul(*loaded.branches(F, loaded.encode(question))))
        )


def test_a_vocabulary_without_unk_reads_the_bias_alone(tmp_path):
    words = [w for w in WORDS if w != "UNK"]
    sizes = {**SIZES, "V": len(words)}
    values = parameters(sizes)
    model = published.deeper_lstm(save(tmp_path / "lstm.t7", vectors(values, sizes)), prepro(tmp_path, words))
    with pytest.warns(UserWarning, match="does not know 'cat'"):
        tokens = model.vocabulary.encode("what cat?")
    assert torch.equal(model.embed(tokens)[1], torch.from_numpy(values["word"][1]).tanh())


def test_the_card_says_where_it_came_from(lstm_files):
    about = json.loads(published.convert_deeper_lstm(**lstm_files).read_text())
    assert about["family"] == "deeper-lstm" and "VQA v1" in about["trained_on"]
    assert "/" not in about["command"] and about["command"].startswith("python -m qgc convert deeper-lstm lstm.t7")
    for what, file in {"weights": "weights", "vocabulary": "prepro", "cnn": "cnn_weights"}.items():
        origin = about["converted_from"][what]
        assert origin["file"] == lstm_files[file].name and origin["sha256"] == zoo.sha256(lstm_files[file])
        assert origin["bytes"] == lstm_files[file].stat().st_size
    assert sorted(p.name for p in lstm_files["out"].iterdir()) == ["model.json", "model.safetensors"]


def test_a_run_that_is_there_is_not_written_over(lstm_files):
    card = published.convert_deeper_lstm(**lstm_files)
    before = card.read_bytes()
    with pytest.raises(WeightsError, match="holds a model already"):
        published.convert_deeper_lstm(**lstm_files)
    assert card.read_bytes() == before


# -- what is refused ----------------------------------------------------------------------------------
def refused(match: str, convert, *args, **options) -> None:
    with pytest.raises(WeightsError, match=match):
        convert(*args, **options)


@pytest.mark.parametrize("name", published_lstm.VECTORS)
@pytest.mark.parametrize("change", [-1, 1, 7])
def test_vectors_of_another_length_are_refused(tmp_path, name, change):
    flat = vectors(parameters())
    flat[name] = flat[name][:change] if change < 0 else np.append(flat[name], np.zeros(change, "<f4"))
    refused(name, published.deeper_lstm, save(tmp_path / "lstm.t7", flat), prepro(tmp_path))


@pytest.mark.parametrize("words, answers", [(WORDS[1:], ANSWERS), (WORDS, ANSWERS[1:]), ([*WORDS, "cat"], ANSWERS)])
def test_another_models_vocabulary_is_refused(tmp_path, words, answers):
    weights = save(tmp_path / "lstm.t7", vectors(parameters()))
    refused("data_prepro.json", published.deeper_lstm, weights, prepro(tmp_path, words, answers))


def test_sizes_are_found_for_every_model_of_the_family():
    rng = np.random.default_rng(0)
    for _ in range(300):
        V, E, H, J, D, N = (int(n) for n in rng.integers(1, (20000, 400, 1200, 2000, 5000, 4000)))
        lengths = (E * (V + 1), 12 * H**2 + (4 * E + 17) * H + 1, J * (4 * H + D + N + 2) + N)
        assert published_lstm.sizes(*lengths, V, N, D) == {"embedding": E, "hidden": H, "combine": J}


@pytest.mark.parametrize(
    "change, match",
    [
        ({"fusion_w": np.zeros(3)}, "fusion_w"),
        ({"encoder_w_q": None}, "not a table of tensors"),
        ({"encoder_w_q": np.zeros((3, 3))}, "not a vector"),
        ({"encoder_w_q": np.zeros(3, "<i4")}, "not a table of tensors"),
        ({"encoder_w_q": np.full(3, 1e300)}, "encoder_w_q holds numbers that are not finite"),
        ({"embedding_w_q": np.full(SIZES["E"] * (SIZES["V"] + 1), np.nan)}, "not finite"),
        ({"encoder_w_q": np.zeros(0, "<f4")}, "0 dimensions"),
    ],
    ids=str,
)
def test_other_tables_are_refused(tmp_path, change, match):
    weights = save(tmp_path / "lstm.t7", vectors(parameters()) | change)
    refused(match, published.deeper_lstm, weights, prepro(tmp_path))


def test_what_is_no_table_of_the_three_vectors_is_refused(tmp_path):
    flat = vectors(parameters())
    for value in ({}, {"embedding_w_q": flat["embedding_w_q"]}, flat["encoder_w_q"], "text", None, {1: 2.0}):
        refused(
            "is not an lstm.t7|not a table of tensors",
            published.deeper_lstm,
            save(tmp_path / "lstm.t7", value),
            prepro(tmp_path),
        )


def test_a_damaged_or_cut_t7_is_refused(tmp_path):
    whole = save(tmp_path / "lstm.t7", vectors(parameters())).read_bytes()
    for part in (whole[: len(whole) // 2], whole[:-1], b"", whole[3:], pickle.dumps([1])):
        (tmp_path / "lstm.t7").write_bytes(part)
        refused("download", published.deeper_lstm, tmp_path / "lstm.t7", prepro(tmp_path))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"ix_to_word": {}, "ix_to_ans": {}}', '{"ix_to_word": ["a"], "ix_to_ans": {"1": "b"}}',
     '{"ix_to_word": {"0": "a"}, "ix_to_ans": {"1": "b"}}', '{"ix_to_word": {"1": "a"}, "ix_to_ans": {"2": "b"}}',
     '{"ix_to_word": {"1": 5}, "ix_to_ans": {"1": "b"}}', '{"ix_to_word": {"1": "a"}}', "[" * 10**5,
     '{"ix_to_word": 1e999}', "3", '"ix_to_word"', '{"ix_to_word": ' + "1" * 5000 + "}"],
    ids=range(15),
)  # fmt: skip
def test_a_damaged_vocabulary_is_refused(tmp_path, text):
    (tmp_path / "data_prepro.json").write_text(text)
    refused("is not? .*data_prepro.json|is not whole JSON", published_lstm.read_prepro, tmp_path / "data_prepro.json")


def test_missing_files_are_named(tmp_path, lstm_files):
    for name in ("weights", "prepro", "cnn_weights"):
        missing = tmp_path / f"no-{name}"
        refused(f"no-{name}", published.convert_deeper_lstm, **lstm_files | {name: missing})
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    refused("is not a data_prepro.json", published_lstm.read_prepro, tmp_path / "binary.json")
    assert not lstm_files["out"].exists()


class Bad:
    """A pickle that makes a file when it is read."""

    def __init__(self, proof: Path):
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


def test_a_pickle_that_would_run_code_is_refused(tmp_path, lstm_files, pythia_files):
    proof = tmp_path / "it-ran"
    bad = tmp_path / "bad.pth"
    for write in (
        lambda: bad.write_bytes(pickle.dumps(Bad(proof))),
        lambda: torch.save({"state_dict": Bad(proof)}, bad),
    ):
        write()
        refused("bad.pth", published.convert_deeper_lstm, **lstm_files | {"cnn_weights": bad})
        refused("bad.pth", published.convert_deeper_lstm, **lstm_files | {"weights": bad})
        refused("bad.pth", published.convert_pythia, **pythia_files | {"checkpoint": bad})
        refused("bad.pth", published.convert_pythia, **pythia_files | {"cnn_weights": bad})
    assert not proof.exists() and not lstm_files["out"].exists() and not pythia_files["out"].exists()
    torch.load(bad, weights_only=False)  # the pickle would have run
    assert proof.exists()


# -- Pythia ---------------------------------------------------------------------------------------------
VOCABULARY = ["<unk>", "'", "color", "dog", "is", "man", "s", "the", "what"]
GIVEN = ["<unk>", "2", "no", "white", "yes"]


def random_pythia(boxes: int = 10) -> Pythia:
    """With ``<unk>`` among the answers, as published."""
    torch.manual_seed(0)
    sizes = {"embedding": 5, "hidden": 6, "conv1": 4, "attention": 7, "combine": 12, "text_head": 3, "image_head": 8}
    words = tuple(VOCABULARY[1:])
    config = PythiaConfig(words, tuple(GIVEN), **sizes, boxes=boxes, dropout=0.0, tokens="pythia", cnn=CNN)
    return Pythia(config).eval().requires_grad_(False)


def write_pythia(folder: Path, model: Pythia, entries: dict | None = None) -> dict[str, Path]:
    """Checkpoint, vocabularies and CNN of a model, as published."""
    state = checkpoint_state(model, parallel=True)
    optimizer = torch.optim.Adamax([torch.zeros(3, requires_grad=True)]).state_dict()
    names = ("best_model.pth", "vocabulary_vqa.txt", "answers_vqa.txt", "resnet152-394f9c45.pth")
    kinds = ("checkpoint", "words", "answers", "cnn_weights")
    files = {kind: folder / name for kind, name in zip(kinds, names, strict=True)}
    torch.save(entries or {"epoch": 3, "iter": 7, "state_dict": state, "optimizer": optimizer}, files["checkpoint"])
    files["words"].write_text("".join(w + "\n" for w in VOCABULARY))
    files["answers"].write_text("".join(a + "\n" for a in GIVEN))
    torch.save(model.cnn.state_dict(), files["cnn_weights"])
    return {**files, "out": folder / "pythia-run"}


@pytest.fixture
def pythia_files(tmp_path) -> dict[str, Path]:
    (tmp_path / "pythia").mkdir()
    return write_pythia(tmp_path / "pythia", random_pythia())


def scores(model: Pythia, F, question: str, boxes=None):
    u, v = model.branches(F, model.encode(question), boxes)
    return model.classify(u * v)[0]


@pytest.mark.filterwarnings("ignore:this Pythia also read a detector's boxes")
@pytest.mark.parametrize("boxes", [10, 0])
def test_a_checkpoint_comes_back_identical_without_the_unknown_answer(tmp_path, boxes):
    model = random_pythia(boxes)
    card = published.convert_pythia(**write_pythia(tmp_path, model))
    loaded = zoo.load(str(card.parent), dtype=torch.float32)
    assert loaded.answers == GIVEN[1:] and loaded.config == replace(model.config, answers=tuple(GIVEN[1:]))
    F = model.conv(model.prepare(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)))
    found = torch.rand(1, 6, boxes) if boxes else None
    for question in ("what is the man's color?", "is the man the dog?", "what"):
        for given in (None, found):
            theirs = scores(model, F, question, given)
            torch.testing.assert_close(scores(loaded, F, question, given), theirs[1:], rtol=0, atol=1e-6)
            masked = theirs.softmax(0)[1:] / theirs.softmax(0)[1:].sum()  # masked_unk_softmax of the published code
            torch.testing.assert_close(scores(loaded, F, question, given).softmax(0), masked)
    ours, kept = loaded.state_dict(), model.state_dict()
    for name, tensor in kept.items():
        assert torch.equal(ours[name], tensor[1:] if name.startswith("classifier.linear_") else tensor), name


def test_other_ways_in_which_checkpoints_are_written(tmp_path):
    """As MMF writes them, a bare state dict, one that is not parallel, single numbers as PyTorch 0.3 wrote them."""
    model = random_pythia()
    old = {k: v[None] if k.endswith("weight_g") else v for k, v in checkpoint_state(model, parallel=True).items()}
    for i, entries in enumerate((checkpoint_state(model), old, {"model": checkpoint_state(model), "best_update": 3})):
        (tmp_path / str(i)).mkdir()
        files = write_pythia(tmp_path / str(i), model, entries)
        loaded = published.pythia(files["checkpoint"], files["words"], files["answers"])
        assert torch.equal(loaded.classifier.f_o_text.main[0].weight_g, model.classifier.f_o_text.main[0].weight_g)


def changed(model: Pythia, name: str, value) -> dict:
    state = checkpoint_state(model) | {name: value}
    return {k: v for k, v in state.items() if v is not None}


@pytest.mark.parametrize(
    "name, value",
    [
        ("classifier.linear_text.weight", None),
        ("classifier.linear_text.weight", torch.zeros(5)),
        ("classifier.linear_image.bias", torch.zeros(9)),
        ("classifier.f_o_image.main.0.bias", None),
        ("question_embedding_models.0.embedding.weight", torch.zeros(4)),
        ("question_embedding_models.0.LSTM.weight_ih_l0", torch.zeros(24, 6)),
        ("question_embedding_models.0.conv2.weight", torch.zeros(2, 4)),
        ("image_embedding_models_list.1.0.image_attention_model.transform.lc.bias", torch.zeros(2)),
        ("something.else", torch.zeros(1)),
    ],
    ids=str,
)
def test_another_models_checkpoint_is_refused(tmp_path, name, value):
    files = write_pythia(tmp_path, random_pythia(), changed(random_pythia(), name, value))
    refused("best_model.pth.* is (no|not a) checkpoint", published.convert_pythia, **files)
    assert not files["out"].exists()


def test_damaged_checkpoints_and_foreign_vocabularies_are_refused(tmp_path, pythia_files):
    files = write_pythia(tmp_path, random_pythia())
    whole = files["checkpoint"].read_bytes()
    for part in (b"", whole[:1000], whole[:-40]):
        files["checkpoint"].write_bytes(part)
        refused("best_model.pth", published.convert_pythia, **files)
    not_finite = changed(random_pythia(), "classifier.linear_image.bias", torch.full((5,), torch.inf))
    refused("not finite", published.convert_pythia, **write_pythia(tmp_path, random_pythia(), not_finite))
    for name, text, match in (
        ("words", "\n".join(VOCABULARY[:-1]), "has 8 lines and the checkpoint 9 words"),
        ("words", "\n".join(VOCABULARY[1:]), "does not begin with <unk>"),
        ("words", "", "is empty"),
        ("answers", "\n".join([*GIVEN, "red"]), "has 6 lines and the checkpoint 5 answers"),
    ):
        other = tmp_path / "other.txt"
        other.write_text(text)
        refused(match, published.convert_pythia, **pythia_files | {name: other})


def test_an_lstm_t7_is_no_checkpoint_and_the_other_way_round(lstm_files, pythia_files):
    refused("lstm.t7", published.convert_pythia, **pythia_files | {"checkpoint": lstm_files["weights"]})
    refused("best_model.pth", published.convert_deeper_lstm, **lstm_files | {"weights": pythia_files["checkpoint"]})
    refused("vgg|VGG", published.convert_deeper_lstm, **lstm_files | {"cnn_weights": pythia_files["checkpoint"]})


def test_resnet152_is_found_beside_the_checkpoint_or_in_the_cache(tmp_path, monkeypatch, pythia_files):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert published.find_resnet152(pythia_files["checkpoint"]) == pythia_files["cnn_weights"]
    cached = tmp_path / "torch" / "hub" / "checkpoints" / "resnet152-b121ed2d.pth"
    cached.parent.mkdir(parents=True)
    pythia_files["cnn_weights"].rename(cached)
    assert published.find_resnet152(pythia_files["checkpoint"]) == cached
    cached.unlink()
    refused("fetch resnet152", published.find_resnet152, pythia_files["checkpoint"])


# -- from the command line ------------------------------------------------------------------------------
@pytest.fixture
def photo(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (50, 70, 3), np.uint8)).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def explained(photo: Path, run: Path, question: str, capsys) -> dict:
    capsys.readouterr()
    assert cli.main(["explain", str(photo), question, "--model", str(run), "--json"]) == 0
    said = capsys.readouterr()
    assert "only seen scenes" not in said.err
    return json.loads(said.out)


def test_convert_and_explain_the_deeper_lstm(lstm_files, photo, capsys):
    files = {k: str(v) for k, v in lstm_files.items()}
    given = ["--prepro", files["prepro"], "--cnn-weights", files["cnn_weights"], "--out", files["out"]]
    assert cli.main(["convert", "deeper-lstm", files["weights"], *given]) == 0
    assert "python -m qgc explain photo.jpg" in capsys.readouterr().out
    found = explained(photo, lstm_files["out"], "What is the man's color?", capsys)
    expected = explain(random_model(3).double(), photo, "What is the man's color?")
    assert found["answer"] == expected.answer and found["confidence"] == pytest.approx(expected.confidence, abs=1e-9)
    assert [row["index"] for row in found["top"]] == expected.top(10)["index"].tolist()
    assert cli.main(["convert", "deeper-lstm", files["weights"], *given]) == 2
    assert "holds a model already" in capsys.readouterr().err
    assert cli.main(["evaluate", files["out"]]) == 2
    assert "published weights know of no data set; say which: --dataset vqa2" in capsys.readouterr().err


def test_convert_and_explain_pythia(pythia_files, photo, capsys):
    files = {k: str(v) for k, v in pythia_files.items()}
    given = ["--words", files["words"], "--answers", files["answers"], "--out", files["out"]]
    assert cli.main(["convert", "pythia", files["checkpoint"], *given]) == 0  # ResNet-152 lies beside the checkpoint
    assert f"note: {published.GRID_ALONE}" in capsys.readouterr().err
    found = explained(photo, pythia_files["out"], "What is the man's color?", capsys)
    assert found["answer"] in GIVEN[1:]
    about = json.loads((pythia_files["out"] / "model.json").read_text())
    assert about["converted_from"]["cnn"]["file"] == "resnet152-394f9c45.pth"
    assert about["limits"] == published.GRID_ALONE and "photographs" in about["trained_on"]
    assert published_pythia.BLANK not in about["config"]["answers"] + about["config"]["words"]


@pytest.fixture
def vqa2(tmp_path) -> Path:
    return write_vqa(tmp_path / "vqa2", train=2, val=6)


@pytest.mark.filterwarnings("ignore:the model does not know")
def test_the_published_deeper_lstm_is_evaluated_alone(lstm_files, vqa2, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # features are kept in cache/ here
    run = str(published.convert_deeper_lstm(**lstm_files).parent)
    given = [run, "--dataset", "vqa2", "--data-dir", str(vqa2)]
    assert cli.main(["evaluate", *given, "--json", "--record"]) == 0
    found = json.loads(capsys.readouterr().out)
    photos, vqa = data.load("vqa2", vqa2, "test"), zoo.load(run, dtype=torch.float32)
    right = [photos.score(q, vqa.ask(photos.image_path(q.image), q.text)[0]) for q in photos.questions]
    assert found["all"] == {"n": len(right), "accuracy": pytest.approx(np.mean(right))} and found["images"] == 6
    assert 0 < sum(right) < len(right), "so that the mean can be wrong"
    assert not {"seed", "validation"} & found.keys() and not any("question_only" in v for v in found["kinds"].values())
    assert zoo.card(run)["test"] == {k: v for k, v in found.items() if k != "run"}
    assert cli.main(["evaluate", *given]) == 0
    said = capsys.readouterr().out
    assert f"{np.mean(right):.2%}" in said and "question only" not in said
    assert cli.main(["evaluate", run, "--dataset", "vqa2"]) == 2
    assert "say --data-dir DIR" in capsys.readouterr().err


def test_the_published_deeper_lstm_is_measured_and_recorded(lstm_files, vqa2, tmp_path, capsys):
    run = str(published.convert_deeper_lstm(**lstm_files).parent)
    given = [run, "--dataset", "vqa2", "--data-dir", str(vqa2)]
    measure = ["measure", *given, "--record", "--out", str(tmp_path)]
    assert cli.main(measure) == 2
    assert "evaluate RUN --dataset vqa2 --data-dir DIR --record" in capsys.readouterr().err
    assert cli.main(["evaluate", *given, "--cache", str(tmp_path / "cache"), "--record"]) == 0
    assert cli.main(measure) == 0
    found = photo_results.recorded("vqa2", "published deeper-lstm", tmp_path / "photographs.json")
    assert found.origin == f"recorded by: python -m qgc measure {run} --dataset vqa2 --data-dir DIR --record"
    assert list(photo_results.accuracy(found.runs).index) == ["published weights"]
    assert set(found.tables) == {"pairs", "sweep", "deletion", "top 10"}
    shown = photo_results.at_hand(zoo.load(run), data.load("vqa2", vqa2, "test"))
    assert shown.runs == found.runs and photo_results.origins(shown.runs)[0].startswith("python -m qgc convert")
    assert shown.tables["sweep"]["estimate"].round(6).tolist() == found.tables["sweep"]["estimate"].tolist()
    assert cli.main(["measure", run, "--data-dir", str(vqa2)]) == 2
    assert "--dataset vqa2" in capsys.readouterr().err
    photo_accuracy.record(Path(run), {**zoo.card(run)["test"], "dataset": "vqa1"})
    elsewhere = photo_results.at_hand(zoo.load(run), data.load("vqa2", vqa2, "test"))
    assert "test" not in elsewhere.runs[0], "tested on VQA v1, which says nothing about v2"


@pytest.mark.filterwarnings("ignore:this Pythia also read a detector's boxes", "ignore:the model does not know")
def test_a_published_pythia_is_evaluated_and_measured(pythia_files, vqa2, tmp_path, capsys):
    run = str(published.convert_pythia(**pythia_files).parent)
    given = [run, "--dataset", "vqa2", "--data-dir", str(vqa2)]
    assert cli.main(["evaluate", *given, "--cache", str(tmp_path / "cache"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    vqa, photos = zoo.load(run, dtype=torch.float32), data.load("vqa2", vqa2, "test")
    right = [photos.score(q, vqa.ask(photos.image_path(q.image), q.text)[0]) for q in photos.questions]
    assert found["all"]["accuracy"] == pytest.approx(np.mean(right)) and "question_only" not in found["all"]
    assert cli.main(["measure", *given, "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"pairs", "sweep", "deletion", "top 10"}
