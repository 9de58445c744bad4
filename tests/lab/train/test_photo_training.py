"""Training on features of photographs: what a step is, killed and resumed, shared by processes, shut early.

QGC_SLOW=1 kills the training 25 times instead of twice.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kills import interrupted, killed_and_done
from torch import nn

from qgc.errors import DataError, QGCError
from qgc.lab.train import photos
from qgc.lab.train.distributed import ProcessGroup, process_group, tree_sum
from qgc.lab.train.encoded_questions import EncodedQuestions
from qgc.lab.train.features import Features
from qgc.lab.train.image_inputs import ImageInput
from qgc.lab.train.photo_recipes import MODERN, ORIGINAL
from qgc.lab.train.photos import all_but_cnn, fit, predict, rows_of
from qgc.lab.train.vqa import start
from qgc.models import DeeperLSTM, DeeperLSTMConfig
from qgc.models.backbones import SCENES

WIDTH, WORDS, ANSWERS, PHOTOS = 16, 12, 5, 30
SMALL = replace(
    MODERN, embedding=8, hidden=8, combine=16, batch=16, epochs=8, lr=2e-2, image_lr=1.0, image_start=1.0, shards=4,
)  # fmt: skip
CONFIG = DeeperLSTMConfig(
    tuple(f"w{i}" for i in range(WORDS)), tuple(f"a{i}" for i in range(ANSWERS)), 8, 8, 16,
    cnn=replace(SCENES, blocks=((1,), (1,)), fc=WIDTH),
)  # fmt: skip


@pytest.fixture(scope="module")
def features() -> Features:
    """f of some photographs, each with one of its first numbers large."""
    rng = np.random.default_rng(0)
    rows = rng.random((PHOTOS, WIDTH)).astype(np.float16)
    rows[np.arange(PHOTOS), np.arange(PHOTOS) % ANSWERS] += 4
    return Features([f"p{i}" for i in range(PHOTOS)], rows)


def asked(count: int, seed: int) -> EncodedQuestions:
    """Questions whose answer only the photograph tells."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 6, count).astype(np.int32)
    tokens = rng.integers(2, WORDS + 2, (count, 5)).astype(np.int32) * (np.arange(5) < lengths[:, None])
    image = rng.integers(0, PHOTOS, count).astype(np.int32)
    target = (image % ANSWERS).astype(np.int32)
    return EncodedQuestions(tokens, lengths, image, target, target[:, None], np.ones((count, 1), np.float32))


TRAIN, VALIDATION = asked(100, 1), asked(40, 2)


def trained(folder: Path, features: Features, recipe=SMALL, validation=VALIDATION, group=None, blind=False, **options):
    """A model and what its training says."""
    torch.manual_seed(0)
    model = DeeperLSTM(CONFIG)
    inputs = ImageInput(features, np.unique(TRAIN.image) if recipe.standardise else None, blind)
    return model, fit(model, recipe, TRAIN, validation, inputs, folder, group or ProcessGroup(), **options)


def weights(model: DeeperLSTM) -> torch.Tensor:
    """All that has learnt, in one vector."""
    return torch.cat([p.detach().reshape(-1) for p in all_but_cnn(model).parameters()])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, features) -> torch.Tensor:
    """The weights of a training that nobody stopped."""
    return weights(trained(tmp_path_factory.mktemp("undisturbed"), features)[0])


def test_it_learns_to_look(tmp_path, features):
    eager = replace(SMALL, epochs=25, dropout=0.0, unknown=0.0, shards=1)
    model, found = trained(tmp_path / "a", features, eager)
    baseline, blind = trained(tmp_path / "b", features, eager, blind=True)
    assert found.accuracy > 0.9 > 0.5 > blind.accuracy
    assert (baseline.image.weight == 0).all() and found.questions_per_second > 0
    said = predict(model, VALIDATION, ImageInput(features), ProcessGroup())
    assert VALIDATION.score(said) == pytest.approx(found.accuracy)  # mean and scale are in the weights now


def test_a_folded_model_gives_the_same_scores(features):
    torch.manual_seed(1)
    model = DeeperLSTM(CONFIG).eval()
    rows = np.arange(PHOTOS)
    inputs = ImageInput(features, rows)
    before = model.image(inputs.read(rows, torch.device("cpu")))
    inputs.fold(model)
    f = features.read(rows)
    assert torch.allclose(before.tanh(), model.image_branch(f), atol=1e-5)
    z = inputs.read(rows, torch.device("cpu"))
    assert z.mean(0).abs().max() < 1e-4 and (z.std(0, correction=0) - 1).abs().max() < 1e-2


def test_every_pass_takes_every_question_once():
    seen = np.concatenate([rows_of(step, 16, 40, 3) for step in range(10)])
    assert all(sorted(seen[i : i + 40]) == list(range(40)) for i in range(0, 160, 40))
    assert (seen[:40] != seen[40:80]).any() and (rows_of(4, 16, 40, 3) == rows_of(4, 16, 40, 3)).all()
    assert sorted(rows_of(0, 25, 10, 0)) == sorted([*range(10), *range(10), *rows_of(0, 25, 10, 0)[20:]])


def test_the_original_step_is_that_of_the_paper(tmp_path, features, monkeypatch):
    """RMSprop as VQA_LSTM_CNN has it: α = .99, ε = 1e-8 beside the root, rate times its decay at each step."""
    monkeypatch.setattr(photos, "CHECKPOINT_EVERY", 1)
    recipe = replace(ORIGINAL, batch=10, steps=3, shards=1, dropout=0.0, clamp=1e-3)
    config, steps = replace(CONFIG, dropout=0.0), []
    for stop in (1, 2):
        torch.manual_seed(0)
        model = DeeperLSTM(config)
        fit(model, recipe, TRAIN, None, ImageInput(features), tmp_path / str(stop), ProcessGroup(), stop=stop)
        steps.append(model)
    model = DeeperLSTM(config)
    torch.manual_seed(0)
    start(model, "original")
    assert weights(model).abs().max() <= 0.08
    square = torch.zeros_like(weights(model))
    for step in (0, 1):
        model.zero_grad()
        rows = rows_of(step, 10, 100, 0)
        T = int(TRAIN.lengths[rows].max())
        q = model.encode_tokens(torch.from_numpy(TRAIN.tokens[rows, :T]).long(), torch.from_numpy(TRAIN.lengths[rows]))
        v = model.image_branch(features.read(TRAIN.image[rows]))
        y = model.classify(model.question_branch(q) * v)
        nn.functional.cross_entropy(y, torch.from_numpy(TRAIN.target[rows]).long()).backward()
        g = torch.cat([p.grad.reshape(-1) for p in all_but_cnn(model).parameters()]).clamp(-1e-3, 1e-3)
        square = 0.99 * square + 0.01 * g**2
        moved = weights(model) - 3e-4 * 0.99997592083**step * g / (square.sqrt() + 1e-8)
        for p, part in zip(
            all_but_cnn(model).parameters(),
            moved.split([p.numel() for p in all_but_cnn(model).parameters()]),
            strict=True,
        ):
            p.data = part.view_as(p).clone()
        assert torch.allclose(weights(steps[step]), moved, atol=1e-5)


def test_a_training_that_stops_goes_on(tmp_path, features, undisturbed, monkeypatch):
    count = interrupted(monkeypatch, lambda: trained(tmp_path, features), steps=10)
    model, found = trained(tmp_path, features)
    assert torch.equal(weights(model), undisturbed) and count[10] == 8
    assert [row["step"] for row in found.trace] == sorted({row["step"] for row in found.trace})
    again, _ = trained(tmp_path, features)  # a finished one is not trained again
    assert torch.equal(weights(again), undisturbed) and len(count) == 10 + found.steps - 8


def test_killed_at_random_moments_it_ends_with_the_same_weights(tmp_path, features, undisturbed, monkeypatch):
    monkeypatch.setattr(photos, "CHECKPOINT_EVERY", 2)
    for folder in killed_and_done(lambda folder: trained(folder, features), tmp_path):
        with monkeypatch.context() as finished:
            finished.setattr(photos.PhotoTrainer, "compute_gradients", lambda self: pytest.fail("not finished"))
            assert torch.equal(weights(trained(folder, features)[0]), undisturbed)
        assert sorted(p.name for p in folder.iterdir()) == ["best.pt", "state.pt"]


def test_another_training_does_not_take_up_a_checkpoint(tmp_path, features):
    trained(tmp_path, features, replace(SMALL, epochs=1))
    for other in ({"recipe": replace(SMALL, epochs=2)}, {"recipe": replace(SMALL, epochs=1), "seed": 1}):
        with pytest.raises(QGCError, match="another recipe, seed or data"):
            trained(tmp_path, features, **other)
    torch.save({"identity": "0", "step": 3, "side": {}}, tmp_path / "state.pt")  # as it was once
    with pytest.raises(QGCError, match="of an earlier version; remove it, or name another"):
        trained(tmp_path, features)


def test_it_stops_when_validation_gets_no_better(tmp_path, features):
    wrong = replace(VALIDATION, accepted=np.full_like(VALIDATION.accepted, -1))
    _, found = trained(tmp_path, features, replace(SMALL, patience=3), validation=wrong)
    assert len(found.trace) == 4 and found.step == found.trace[0]["step"] < found.steps


def test_a_training_that_diverges_ends_and_leaves_what_was_before(tmp_path, features):
    recipe = replace(SMALL, cycle=False, lr=1e-3, decay=1e12, validate_every=1)
    with pytest.raises(
        QGCError, match=f"the training diverged: .* the checkpoints in {tmp_path} are those from before"
    ):
        trained(tmp_path, features, recipe)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["step"] >= 1 and all(torch.isfinite(p).all() for p in state["model"].values())


def test_nothing_to_learn_from_is_said(tmp_path, features):
    none = EncodedQuestions(
        *(getattr(TRAIN, name)[:0] for name in ("tokens", "lengths", "image", "target", "accepted", "credit"))
    )
    with pytest.raises(DataError, match="no question"):
        fit(DeeperLSTM(CONFIG), SMALL, none, None, ImageInput(features), tmp_path, ProcessGroup())


def member(rank: int, size: int, port: int, features: Features, folder: Path) -> None:
    """One process of a group, as torchrun starts it."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    with process_group() as group:
        model, found = trained(folder / f"disk-{rank}", features, group=group)  # as on machines that share no disk
        torch.save({"weights": weights(model), "accuracy": found.accuracy}, folder / f"{rank}.pt")


@pytest.mark.parametrize("size", [2, 4])
def test_processes_together_get_the_weights_of_one(tmp_path, features, undisturbed, size):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    fork = multiprocessing.get_context("fork")
    members = [fork.Process(target=member, args=(rank, size, port, features, tmp_path)) for rank in range(size)]
    for process in members:
        process.start()
    for process in members:
        process.join(120)
    assert [process.exitcode for process in members] == [0] * size
    for rank in range(size):
        assert torch.equal(torch.load(tmp_path / f"{rank}.pt")["weights"], undisturbed)


def test_shards_that_cannot_be_shared_are_refused():
    assert [list(ProcessGroup(rank, 2).shards(4)) for rank in (0, 1)] == [[0, 1], [2, 3]]
    for group, shards in ((ProcessGroup(), 3), (ProcessGroup(), 0), (ProcessGroup(0, 3), 4), (ProcessGroup(0, 8), 4)):
        with pytest.raises(QGCError, match="shards"):
            group.shards(shards)


def test_the_tree_adds_pairs_first():
    big, one = torch.tensor([1e8]), torch.tensor([1.0])
    assert tree_sum(iter([big, -big, one, one])).item() == 2
    assert tree_sum(iter([big, one, -big, one])).item() == 0  # 1 is lost beside 1e8, twice
