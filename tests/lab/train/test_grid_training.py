"""Training a Pythia on maps of photographs: the published step, what it learns, its baseline, and that it resumes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from kills import interrupted
from torch import nn

from qgc.data import Question
from qgc.errors import DataError, QGCError
from qgc.lab.train.distributed import ProcessGroup
from qgc.lab.train.encoded_questions import EncodedQuestions, as_arrays, unknown_word
from qgc.lab.train.features import Features
from qgc.lab.train.image_inputs import GridInput, root_mean_square
from qgc.lab.train.photo_recipes import PYTHIA, PYTHIA_MODERN, PythiaSizes
from qgc.lab.train.photos import all_but_cnn, fit, predict, rows_of
from qgc.lab.train.word_vectors import read_vectors
from qgc.models.backbones import SCENES
from qgc.models.pythia import Pythia, PythiaConfig, SharedPadUnkVocabulary, WeightNorm
from qgc.models.text import Vocabulary

MAPS, WORDS, ANSWERS, PHOTOS = 8, 12, 4, 24
CONFIG = PythiaConfig(
    tuple(f"w{i}" for i in range(WORDS)), tuple(f"a{i}" for i in range(ANSWERS)), 8, 8, 8, 2, 16, 32, 8, 8, longest=6,
    dropout=0.0, cnn=replace(SCENES, blocks=((1,), (MAPS,)), fc=4),
)  # fmt: skip
SMALL = replace(PYTHIA_MODERN, batch=16, epochs=12, lr=1e-2, image_lr=1.0, image_start=1.0, unknown=0.0)


@pytest.fixture(scope="module")
def features() -> Features:
    """Maps 3×3 of some photographs, each with one of its first maps bright in one cell."""
    rng = np.random.default_rng(0)
    rows = 0.2 * rng.random((PHOTOS, MAPS, 3, 3)).astype(np.float16)
    rows[np.arange(PHOTOS), np.arange(PHOTOS) % ANSWERS, 1, rng.integers(0, 3, PHOTOS)] += 4
    return Features([f"p{i}" for i in range(PHOTOS)], rows)


def asked(count: int, seed: int) -> EncodedQuestions:
    """Questions whose answer only the photograph tells, half of them with a second answer that some people gave."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 6, count).astype(np.int32)
    tokens = rng.integers(1, WORDS + 1, (count, 5)).astype(np.int32) * (np.arange(5) < lengths[:, None])
    image = rng.integers(0, PHOTOS, count).astype(np.int32)
    target = (image % ANSWERS).astype(np.int32)
    said = np.stack([target, np.where(np.arange(count) % 2, (target + 1) % ANSWERS, -1)], 1).astype(np.int32)
    credit = np.stack([np.ones(count), 0.3 * (np.arange(count) % 2)], 1).astype(np.float32)
    return EncodedQuestions(tokens, lengths, image, target, said, credit)


TRAIN, VALIDATION = asked(100, 1), asked(40, 2)


def trained(folder, features, recipe=SMALL, blind=False, **options):
    """A model and what its training says."""
    model = Pythia(CONFIG)
    return model, fit(model, recipe, TRAIN, VALIDATION, GridInput(features, blind), folder, ProcessGroup(), **options)


def weights(model: Pythia) -> torch.Tensor:
    """All that has learnt, in one vector."""
    return torch.cat([p.detach().reshape(-1) for p in all_but_cnn(model).parameters()])


def test_it_learns_to_look_and_its_baseline_does_not(tmp_path, features):
    model, found = trained(tmp_path / "a", features)
    baseline, blind = trained(tmp_path / "b", features, blind=True)
    assert found.accuracy > 0.9 > 0.5 > blind.accuracy
    said = predict(model, VALIDATION, GridInput(features), ProcessGroup())
    assert VALIDATION.score(said) == pytest.approx(found.accuracy)
    assert (predict(baseline, VALIDATION, GridInput(features), ProcessGroup()) ==
            predict(baseline, VALIDATION, GridInput(features, True), ProcessGroup())).all()  # fmt: skip


def test_the_original_step_is_that_of_the_paper(tmp_path, features):
    """Adamax at .002 rising to .01, gradients together at most .25 long, a logistic loss summed over the answers."""
    recipe = replace(PYTHIA, batch=10, steps=2, shards=1, pythia=PythiaSizes(8, 16, 8, 8))
    model, found = trained(tmp_path, features, recipe, stop=2)
    own = Pythia(CONFIG)
    learning = [p for name, p in own.named_parameters() if not name.startswith("cnn.")]
    optimiser = torch.optim.Adamax(learning, lr=0.01)
    torch.manual_seed(0)
    GridInput(features).start(own, recipe)
    for step in (0, 1):
        rows = rows_of(step, 10, 100, 0)
        own.zero_grad()
        q = own.encode_tokens(torch.from_numpy(TRAIN.tokens[rows]).long(), torch.from_numpy(TRAIN.lengths[rows]))
        u, v = own.branches(features.read(TRAIN.image[rows]), q)
        target = torch.zeros(10, ANSWERS)
        for i, row in enumerate(rows):
            for answer, right in zip(TRAIN.accepted[row], TRAIN.credit[row], strict=True):
                if answer >= 0:
                    target[i, answer] = float(right)
        loss = nn.functional.binary_cross_entropy_with_logits(own.classify(u * v), target) * ANSWERS
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 0.25)
        optimiser.param_groups[0]["lr"] = 0.01 * (0.2 + 0.8 * step / 1000)
        optimiser.step()
    assert torch.allclose(weights(model), weights(own), atol=1e-5)
    assert found.trace[-1]["loss"] == pytest.approx(loss.item(), rel=1e-4)


def test_what_reads_the_photograph_begins_and_learns_apart(features):
    model, inputs = Pythia(CONFIG), GridInput(features)
    reading = {name for name, _ in all_but_cnn(model).named_parameters() if inputs.reads(name)}
    attention = "image_embedding_models_list.0.0.image_attention_model.modal_combine"
    assert reading == {
        f"{place}.Fa_image.main.0.weight_{x}" for place in (attention, "multi_modal_combine") for x in "gv"
    }
    inputs.start(model, replace(SMALL, image_start=0.25))
    image = model.multi_modal_combine.Fa_image.main[0]
    assert image.weight_g.item() == pytest.approx(0.25 * image.weight_v.norm().item())


def test_what_is_attended_to_is_dropped_too(features):
    torch.manual_seed(0)
    model = Pythia(replace(CONFIG, dropout=0.5)).train()
    model.question_embedding_models[0].drop.p = 0.0
    model.classify = model.classifier  # so that dropout on f is the only one left
    F, inputs = features.read(np.arange(4)), GridInput(features)
    one, two = (inputs.scores(model, torch.ones(4, 3, dtype=torch.long), torch.full((4,), 3), F) for _ in range(2))
    assert not torch.equal(one, two)


@pytest.mark.parametrize("other", ["vectors", "blind"])
def test_a_checkpoint_with_other_sight_is_not_taken_up(tmp_path, features, other):
    vectors = {"w0": torch.ones(8)}
    fit(
        Pythia(CONFIG),
        replace(SMALL, epochs=1),
        TRAIN,
        None,
        GridInput(features, False, vectors),
        tmp_path,
        ProcessGroup(),
    )
    inputs = (
        GridInput(features, True, vectors) if other == "blind" else GridInput(features, False, {"w0": torch.zeros(8)})
    )
    with pytest.raises(QGCError, match="another recipe, seed or data"):
        fit(Pythia(CONFIG), replace(SMALL, epochs=1), TRAIN, None, inputs, tmp_path, ProcessGroup())


def test_the_original_rate_rises_and_drops():
    rates = [PYTHIA.learning_rate_at(step, PYTHIA.steps) for step in (0, 500, 1000, 4999, 5000, 7000, 9000, 11_000)]
    assert rates == pytest.approx([0.002, 0.006, 0.01, 0.01, 1e-3, 1e-4, 1e-5, 1e-6])


def test_a_training_that_stops_goes_on(tmp_path, features, monkeypatch):
    whole, _ = trained(tmp_path / "whole", features)
    count = interrupted(monkeypatch, lambda: trained(tmp_path / "cut", features), steps=10)
    model, _ = trained(tmp_path / "cut", features)
    assert torch.equal(weights(model), weights(whole)) and count[10] == 8


@dataclass(frozen=True)
class Told:
    """As much of a data set as is needed to number its words."""

    questions: list[Question]

    def score(self, question: Question, answer: str) -> float:
        return float(answer in question.answers)


def test_words_are_numbered_as_the_model_does():
    texts = ["w1 w3?", "what is w0", "??"]
    asked = [Question(i, "p0", text, ("a0",)) for i, text in enumerate(texts)]
    for kind, unknown in ((Vocabulary, 1), (SharedPadUnkVocabulary, 0)):
        known = kind(CONFIG.words, 6)
        found = as_arrays(Told(asked), known, CONFIG.answers, {"p0": 0}, learn=False)
        assert unknown_word(known) == unknown
        assert found.tokens[0, :2].tolist() == known.encode("w1 w3?").tolist()
        assert found.tokens[1].tolist() == [unknown, unknown, known.encode("w0").item()]
        assert found.lengths.tolist() == [2, 3, 1] and found.tokens[2, 0] == unknown


def test_the_scale_is_that_of_the_maps(features):
    rows = np.array([3, 1, 3])
    expected = features.rows[[1, 3]].astype(float)
    assert root_mean_square(features, rows) == pytest.approx(np.sqrt((expected**2).mean()), rel=5e-3)


def test_every_layer_starts_anew(features):
    model = Pythia(CONFIG)
    for p in all_but_cnn(model).parameters():
        p.data.fill_(7)
    for recipe in (PYTHIA, SMALL):
        GridInput(features).start(model, recipe)
        assert all((p != 7).any() for p in all_but_cnn(model).parameters())
    lengths = [(m.weight_g, m.weight_v.norm()) for m in model.modules() if isinstance(m, WeightNorm)]
    assert all(torch.isclose(g, norm) for g, norm in lengths)


def test_words_begin_at_published_vectors(tmp_path, features):
    file = tmp_path / "glove.txt"
    lines = [
        "the " + " ".join(["9"] * 8),
        "w3 b@c.de " + " ".join(["9"] * 8),
        *(f"w{i} " + " ".join(str(i + k / 8) for k in range(8)) for i in (0, 3)),
    ]
    file.write_text("\n".join(lines) + "\n")
    vectors = read_vectors(file, CONFIG.words, 8)
    assert list(vectors) == ["w0", "w3"]
    model, plain = Pythia(CONFIG), Pythia(CONFIG)
    for each, given in ((model, vectors), (plain, None)):
        torch.manual_seed(0)
        GridInput(features, vectors=given).start(each, SMALL)
    begun = (m.question_embedding_models[0].embedding.weight for m in (model, plain))
    rows = torch.cat([model.vocabulary.encode(word) for word in ("w0", "w3")])
    given, drawn = begun
    assert given[rows].tolist() == [[i + k / 8 for k in range(8)] for i in (0, 3)]
    others = [i for i in range(len(given)) if i not in rows]
    assert torch.equal(given[others], drawn[others])


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("the 1 2 3\n", "3 numbers, not 8; give glove.6B.8d.txt"),
        ("the a b c d e f g h\n", "line 1 is not a word"),
        ("the 1 1 1 1 1 1 1 nan\n", "line 1 is not a word"),
        ("the 1 1 1 1 1 1 1 1\n", "none of the 12 words"),
        ("", "none of the 12 words"),
        (None, "fetch glove"),
    ],
)
def test_other_files_are_no_word_vectors(tmp_path, text, match):
    file = tmp_path / "glove.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=match):
        read_vectors(file, CONFIG.words, 8)
