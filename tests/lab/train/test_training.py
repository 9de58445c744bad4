"""A small training run from nothing to weights: whole, interrupted, resumed."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from qgc.errors import QGCError
from qgc.lab.train import cnn as cnn_training
from qgc.lab.train import early
from qgc.lab.train import run as training
from qgc.lab.train import vqa as vqa_training
from qgc.lab.train.data import SceneSet
from qgc.lab.train.recipes import RECIPES
from qgc.models import DeeperLSTM, zoo
from qgc.models.backbones import SCENES, VGGLike
from qgc.scenes import ANSWERS, FIRST_SEED, sample
from qgc.scenes.questions import facts

RECIPE = replace(
    RECIPES["natural"], scenes=64, question_scenes=64, validation=32, batch=16, cnn_cycles=(1,), fc_epochs=1,
    vqa_epochs=2,
)  # fmt: skip
TINY = replace(RECIPE, scenes=12, validation=6, batch=6)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """The rendered scenes, shared by all runs here."""
    return tmp_path_factory.mktemp("cache")


def finish(run: Path, cache: Path, recipe=RECIPE) -> DeeperLSTM:
    """Train in ``run`` to the end."""
    return training.train_scenes(recipe, run, cache, workers=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache) -> tuple[Path, DeeperLSTM]:
    """The folder and the model of a run on 64 scenes."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    return run, finish(run, cache)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache) -> dict[str, torch.Tensor]:
    """The last weights of a very small run that nobody stopped."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    finish(run, cache, TINY)
    return last_state(run)


def last_state(run: Path) -> dict[str, torch.Tensor]:
    """The weights after a run's last epoch."""
    return torch.load(run / "vqa.pt", weights_only=True)["model"]


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Over all weights."""
    assert a.keys() == b.keys()
    return max((a[k] - b[k]).abs().max().item() for k in a)


def test_a_run_finishes_and_leaves_what_it_should(finished):
    run, model = finished
    there = {p.name for p in run.iterdir()}
    assert {"recipe.json", "convolutions.pt", "fc6-fc7.pt", "vqa.pt", "best.pt", "trace.json", "question_prior.json",
            "time.json", "snapshots"} <= there  # fmt: skip
    assert not [n for n in there if n.endswith(".tmp")]
    assert not model.training and all(torch.isfinite(p).all() for p in model.parameters())
    card = training.card_of("natural", RECIPE, run)
    assert 0 < card["validation"]["all"] <= 1 and card["question_prior"]["existence"] in ("yes", "no")
    assert [step for step, _ in training.snapshots(run)] == [1, 2]


def test_what_is_exported_can_be_loaded(finished, tmp_path, monkeypatch):
    run, model = finished
    monkeypatch.setattr(zoo, "SHIPPED", tmp_path)
    training.export(model, "small", training.card_of("small", RECIPE, run), tmp_path)
    assert zoo.names() == ["deeper-lstm/small"]
    loaded = zoo.load("deeper-lstm/small", dtype=torch.float32).state_dict()
    assert all(torch.equal(loaded[k], w.half().float()) for k, w in model.state_dict().items())


def test_a_finished_run_is_only_read_again(finished, cache):
    run, model = finished
    before = (run / "vqa.pt").read_bytes()
    assert largest_difference(finish(run, cache).state_dict(), model.state_dict()) == 0
    assert (run / "vqa.pt").read_bytes() == before


def stop_at(monkeypatch, module: ModuleType | type, name: str, call: int = 1) -> None:
    """Press Ctrl-C when ``module.name`` is called for the ``call``-th time."""
    plain, calls = getattr(module, name), []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return plain(*args, **kwargs)

    monkeypatch.setattr(module, name, wrapped)


STOPS = {
    "after the convolutions": (cnn_training, "pooled_maps", 1),
    "after the features": (cnn_training, "init_shared_fc6", 1),
    "after fc6 and fc7": (vqa_training, "start", 1),
    "within the questions": (vqa_training.QuestionTrainer, "validate", 2),
}


@pytest.mark.parametrize(
    "stops",
    [
        pytest.param(("after the convolutions", "after fc6 and fc7"), id="between stages"),
        pytest.param(("after the features",), id="after the features"),
        pytest.param(("within the questions",), id="within the questions"),
    ],
)
def test_an_interrupted_run_goes_on_to_the_same_weights(undisturbed, cache, tmp_path, monkeypatch, stops):
    run = tmp_path / "run"
    for stop in stops:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            stop_at(patch, *STOPS[stop])
            finish(run, cache, TINY)
        assert not list(run.rglob("*.tmp"))
    (run / ".best.pt.999999999.tmp").write_text("of a process that was killed")
    finish(run, cache, TINY)
    assert not list(run.rglob("*.tmp"))
    difference = largest_difference(last_state(run), undisturbed)
    print(f"\nstopped {' and '.join(stops)}: largest difference {difference:.1e}")
    assert difference < 1e-6


def test_convolutions_stopped_between_epochs_go_on_to_the_same_weights(cache, tmp_path, monkeypatch):
    recipe = replace(TINY, cnn_cycles=(2,))
    scenes = SceneSet(cache, "natural", "train", TINY.scenes, 1)

    def fit(run: Path) -> dict[str, torch.Tensor]:
        return cnn_training.pretrain_convolutions(recipe, scenes, SCENES, run, "cpu")[0].state_dict()

    whole = fit(tmp_path / "a")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, cnn_training, "to_input", 3)  # the second epoch's first step
        fit(tmp_path / "b")
    assert [p.name for p in (tmp_path / "b").iterdir()] == ["convolutions.pt"]
    assert largest_difference(fit(tmp_path / "b"), whole) == 0


def test_another_recipe_in_the_same_folder_is_refused(finished, cache):
    run, _ = finished
    before = (run / "recipe.json").read_bytes()
    with pytest.raises(QGCError, match="another recipe or another CNN; give another folder or remove it"):
        finish(run, cache, replace(RECIPE, seed=1))
    assert (run / "recipe.json").read_bytes() == before


def test_trainings_that_diverge_end_with_one_sentence(cache, tmp_path, monkeypatch):
    recipe = replace(TINY, cnn_lr=1e35, fc_lr=1e35, vqa_lr=1e35)
    scenes = SceneSet(cache, "natural", "train", TINY.scenes, 1)
    model = DeeperLSTM(training.config(recipe))
    pooled = np.random.default_rng(0).random((TINY.scenes, model.cnn.fc6.in_features)).astype(np.float16)
    stages = {
        "convolutions": lambda: cnn_training.pretrain_convolutions(recipe, scenes, SCENES, tmp_path, "cpu"),
        "fc6, fc7": lambda: cnn_training.pretrain_fc(
            replace(recipe, fc_epochs=9), model.cnn, pooled, scenes.facts, tmp_path, "cpu"
        ),
        "questions": lambda: vqa_training.train(
            model, replace(recipe, vqa_epochs=25), pooled, scenes.facts, pooled, scenes.facts, tmp_path, "cpu"
        ),
    }
    for stage in stages.values():
        with pytest.raises(QGCError, match=f"the training diverged: the loss is .* checkpoints in {tmp_path}"):
            stage()


def test_a_run_without_a_question_blind_snapshot_says_so(finished, monkeypatch):
    run, model = finished
    monkeypatch.setattr(early, "similarity", lambda *_, **__: {"cosine": 0.5, "l2": 0.5, "scenes": 1})
    with pytest.raises(QGCError, match="no snapshot in .* has a mean map cosine .*; train with another seed"):
        early.question_blind(copy.deepcopy(model), run)


def test_folding_batch_norm_keeps_the_outputs():
    torch.manual_seed(0)
    net, plain = cnn_training.ConvBN(SCENES), VGGLike(SCENES)
    for layer in net.features:
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.3, 2)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.2)
    net.eval().fold_into(plain)
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        before, after = net(x), plain.eval()(x)
    error = ((before - after).abs().max() / before.abs().max()).item()
    print(f"\nfolded batch norm: {error:.1e}")
    assert before.abs().max() > 0.1 and error < 1e-4


def test_rendered_scenes_are_the_scenes(finished, cache):
    scenes = SceneSet(cache, "natural", "train", 64, 1)
    for i in (0, 63):
        scene = sample(FIRST_SEED["train"] + i, "natural")
        assert (scenes.images([i])[0] == np.asarray(scene.image)).all() and scenes.facts[i] == facts(scene)


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_the_models_input_is_the_same_in_training_and_use(model):
    """``to_input`` and ``VQA.prepare`` must normalise alike."""
    scene = sample(3, "natural")
    trained = cnn_training.to_input(np.asarray(scene.image)[None], SCENES, "cpu")
    assert (trained.double() - model.prepare(scene)).abs().max() < 1e-6


def test_fc6_starts_the_same_at_all_positions():
    torch.manual_seed(0)
    cnn = VGGLike(SCENES)
    cnn_training.init_shared_fc6(cnn)
    weight = cnn.fc6.weight.view(SCENES.fc, cnn.channels, 49)
    assert (weight == weight[..., :1]).all() and torch.allclose(cnn.pooled_fc6(), 49 * weight[..., 0])


@pytest.mark.parametrize("kind", ["bound", "unbound"])
def test_labels_say_what_is_there(kind):
    labels = cnn_training.Labels(kind)
    scene = sample(5, "balanced")
    row = labels.encode(facts(scene))
    on = {key for key, i in labels.index.items() if row[i]}
    assert ("place", scene.place) in on
    for name, colour in scene.colours.items():
        if any(f[:2] == ("colour", name) for f in facts(scene)):
            assert (("colour", name, colour) if kind == "bound" else ("colour", colour)) in on


def test_training_questions_never_use_a_held_out_wording():
    all_facts = [facts(sample(i, "natural")) for i in range(5)]
    asked, held = (vqa_training.SceneQuestions(all_facts, list(ANSWERS), held_out=h) for h in (False, True))
    assert not set(asked.questions) & set(held.questions)
    assert asked.scene.tolist() == held.scene.tolist() and asked.answer.tolist() == held.answer.tolist()
    rows = asked.rows_of_scenes([1, 3])
    assert set(asked.scene[rows]) == {1, 3} and len(rows) == len(all_facts[1]) + len(all_facts[3])


def test_garbled_questions_keep_every_word_and_gain_only_frame_words(model):
    frame = vqa_training.frame_words(model)
    known = {model.vocabulary.words[i - 2] for i in frame}
    assert {"the", "is", "what"} <= known and not known & {"color", "doing", "there", "cat", "table"}
    tokens, lengths = model.vocabulary.batch(["What color is the folding chair?", "Is there a cat?"])
    rng, seen = np.random.default_rng(0), set()
    for _ in range(40):
        for garbled, row, length in zip(
            vqa_training.garble(tokens, lengths, 0.5, frame, rng), tokens, lengths, strict=True
        ):
            added = sorted(garbled.tolist())
            for word in row[:length].tolist():
                added.remove(word)
            assert set(added) <= set(frame.tolist())
            seen.add(tuple(garbled.tolist()))
    assert len(seen) > 40
    untouched = vqa_training.garble(tokens, lengths, 0.0, frame, rng)
    assert [g.tolist() for g in untouched] == [r[:n].tolist() for r, n in zip(tokens, lengths, strict=True)]


def test_detectors_are_handed_through_on_one_scale():
    recipe = replace(RECIPES["balanced"], labels="unbound")
    cnn = VGGLike(training.config(recipe).cnn).eval()
    pooled = np.random.default_rng(0).exponential(2, (50, cnn.channels)).astype(np.float32)
    cnn_training.init_identity_head(cnn, pooled)
    f = cnn.from_pooled(torch.from_numpy(pooled))
    ratio = f / torch.from_numpy(pooled)
    assert torch.allclose(ratio, ratio[:1].expand_as(ratio), atol=1e-6)
    fires = pooled > 0.5
    sizes = (f.square().sum(0).detach().numpy() / fires.sum(0)) ** 0.5
    np.testing.assert_allclose(sizes, 1, atol=1e-5)


@pytest.mark.parametrize("how", ["original", "scaled"])
def test_a_scaled_start_tells_questions_apart_where_the_original_hardly_does(model, how):
    torch.manual_seed(0)
    fresh = DeeperLSTM(model.config)
    vqa_training.start(fresh, how)
    fresh.eval()
    with torch.no_grad():
        u = torch.cat([fresh.question_branch(fresh.encode(q)) for q in ("What color is the cake?", "Is there a cat?")])
    apart = float((u[0] - u[1]).norm() / u.norm())
    assert (apart > 0.3) == (how == "scaled")
