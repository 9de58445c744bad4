"""Small trainings behind another model's CNN: Pythia's whole, interrupted, resumed, shipped; the others' beside it."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from qgc.errors import QGCError
from qgc.lab.published.pythia import checkpoint_state
from qgc.lab.train import pythia
from qgc.lab.train import regions as training
from qgc.lab.train.cnn import to_input
from qgc.lab.train.data import SceneSet
from qgc.lab.train.recipes import PYTHIA, RECIPES, REGIONS
from qgc.lab.train.run import card_of, config, export_with_lent_cnn, snapshots, train_scenes
from qgc.lab.train.vqa import SceneQuestions
from qgc.models import DeeperLSTM, zoo
from qgc.models.pythia import Pythia
from qgc.scenes import sample
from qgc.scenes.questions import facts

TINY = replace(PYTHIA, scenes=24, validation=8, batch=8, epochs=3, cnn="deeper-lstm/tiny")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> Path:
    """A folder as the package's, with one untrained Deeper LSTM to lend its CNN."""
    folder = tmp_path_factory.mktemp("weights")
    about = {"distribution": "natural"}
    zoo.save(DeeperLSTM(config()), folder / "deeper-lstm" / "tiny", about, "cnn-natural.safetensors")
    return folder


@pytest.fixture(autouse=True)
def lent(shipped, monkeypatch):
    """The zoo knows that model only."""
    monkeypatch.setattr(zoo, "SHIPPED", shipped)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """The rendered scenes, shared by all runs here."""
    return tmp_path_factory.mktemp("cache")


def finish(run: Path, cache: Path, recipe=TINY) -> Pythia:
    """Train in ``run`` to the end."""
    return training.train_on_regions("pythia", recipe, run, cache, workers=1)


def last_state(run: Path) -> dict[str, torch.Tensor]:
    """The weights after a run's last epoch."""
    return torch.load(run / "vqa.pt", weights_only=True)["model"]


def stored_regions(run: Path) -> Path:
    """The folder of the regions of a run's CNN, beside it."""
    (folder,) = run.parent.glob("regions-*")
    return folder


def largest_difference(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    """Over all weights."""
    assert a.keys() == b.keys()
    return max((a[k] - b[k]).abs().max().item() for k in a)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, cache, shipped) -> tuple[Path, Pythia]:
    """The folder and the model of a run that nobody stopped."""
    run = tmp_path_factory.mktemp("runs") / "undisturbed"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zoo, "SHIPPED", shipped)
        return run, finish(run, cache)


def test_a_run_finishes_and_leaves_what_it_should(undisturbed, cache):
    run, model = undisturbed
    there = {p.name for p in run.iterdir()}
    assert {"recipe.json", "vqa.pt", "best.pt", "trace.json", "question_prior.json", "time.json"} <= there
    assert [step for step, _ in snapshots(run)] == [1, 2, 3, 6] and len(list(stored_regions(run).iterdir())) == 2
    assert not list(run.rglob("*.tmp"))
    assert not model.training and all(torch.isfinite(p).all() for p in model.parameters())
    about = card_of("pythia", TINY, run)
    assert about["command"] == "python -m qgc train scenes pythia" and len(about["question_prior"]) > 5
    before = (run / "vqa.pt").read_bytes()
    assert largest_difference(finish(run, cache).state_dict(), model.state_dict()) == 0  # only read again
    assert (run / "vqa.pt").read_bytes() == before


def test_the_cnn_stays_as_it_was_lent(undisturbed):
    _, model = undisturbed
    lender = zoo.load(TINY.cnn, dtype=torch.float32)
    assert largest_difference(model.cnn.state_dict(), lender.cnn.state_dict()) == 0
    assert model.answers == lender.answers and model.vocabulary.words == lender.vocabulary.words


def test_everything_else_learns(undisturbed):
    _, model = undisturbed
    torch.manual_seed(TINY.seed)
    beginning = Pythia(model.config)
    pythia.start(beginning)
    learnt, before = checkpoint_state(model), checkpoint_state(beginning)
    still = [k for k in learnt if torch.equal(learnt[k], before[k])]
    # one number added to all regions' logits changes no softmax, so its bias has no gradient
    assert [k for k in still if "transform.lc.bias" not in k] == []


STOPS = {
    "within the regions": (training, "_shard", 2),
    "before the questions": (training, "train", 1),
    "after an epoch": (training.QuestionTrainer, "validate", 2),
}


@pytest.mark.parametrize("stop", STOPS)
def test_an_interrupted_run_goes_on_to_the_same_weights(undisturbed, cache, tmp_path, monkeypatch, stop):
    place, name, call = STOPS[stop]
    plain, calls = getattr(place, name), []

    def wrapped(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return plain(*args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(place, name, wrapped)
        finish(tmp_path / "run", cache)
    assert not list(tmp_path.rglob("*.tmp"))
    finish(tmp_path / "run", cache)
    assert largest_difference(last_state(tmp_path / "run"), last_state(undisturbed[0])) == 0


def test_another_recipe_or_cnn_in_the_same_folder_is_refused(undisturbed, cache, monkeypatch):
    run, _ = undisturbed
    with pytest.raises(QGCError, match="another recipe or another CNN; give another folder or remove it"):
        finish(run, cache, replace(TINY, seed=1))
    about = zoo.card(TINY.cnn)
    monkeypatch.setattr(zoo, "card", lambda name: about | {"files": {"cnn-natural.safetensors": "0"}})
    with pytest.raises(QGCError, match="another CNN"):
        finish(run, cache)


def test_a_training_that_diverges_ends_with_one_sentence(undisturbed, cache, tmp_path):
    model = copy.deepcopy(undisturbed[1])
    scenes = SceneSet(cache, "natural", "train", TINY.scenes, 1)
    regions = training.Regions(model.cnn, scenes, tmp_path / "regions", "train", "cpu")
    with pytest.raises(QGCError, match="the training diverged: the loss is"):
        training.train(model, replace(TINY, lr=1e35), regions, scenes.facts, regions, scenes.facts, tmp_path)


def test_what_is_exported_can_be_loaded(undisturbed, shipped, tmp_path):
    """Beside its lender it shares the CNN's file; on its own it brings its CNN along."""
    run, model = undisturbed
    about = card_of("pythia", TINY, run)
    halves = {k: v.half().float() for k, v in model.state_dict().items()}
    try:
        export_with_lent_cnn(model, "pythia", about, shipped)
        files = ["../deeper-lstm/cnn-natural.safetensors", "natural.safetensors"]
        assert sorted(zoo.card("pythia/natural")["files"]) == files
        loaded = zoo.load("pythia/natural", dtype=torch.float32)
        assert largest_difference(loaded.state_dict(), halves) == 0
    finally:
        for path in (shipped / "pythia").iterdir():
            path.unlink()
    alone = zoo.load(f"{export_with_lent_cnn(model, 'pythia', about, tmp_path)}.json", dtype=torch.float32)
    assert largest_difference(alone.state_dict(), halves) == 0


def test_regions_are_the_cells_of_the_maps(undisturbed, cache):
    run, model = undisturbed
    scenes = SceneSet(cache, "natural", "train", TINY.scenes, 1)
    regions = training.Regions(model.cnn, scenes, stored_regions(run), "natural-train", "cpu")
    got = regions[np.array([5, 2])]
    assert got.shape == (2, 196, 192) and got.dtype == torch.float32
    with torch.no_grad():
        F = model.cnn(to_input(scenes.images([5, 2]), model.cnn.config, "cpu"))
    assert (got - F.flatten(2).mT).abs().max() <= 1e-3 * F.abs().max()  # float16
    mean_square = F.new_tensor([regions[np.array([i])].square().mean() for i in range(TINY.scenes)]).mean()
    assert regions.root_mean_square() == pytest.approx(mean_square.sqrt().item(), rel=5e-3)


def test_scores_are_the_pipelines(undisturbed, cache):
    """Side by side or one at a time: what training computes is what the model answers."""
    run, model = undisturbed
    all_facts = [facts(sample(i, "natural")) for i in range(3)]
    scenes = SceneSet(cache, "natural", "train", TINY.scenes, 1)
    asked = SceneQuestions(all_facts, model.answers)
    rows = asked.rows_of_scenes(range(3))
    q = asked.choose_paraphrases(rows, np.random.default_rng(0))
    tokens, lengths = model.vocabulary.batch(asked.questions)
    with torch.no_grad():
        F = model.cnn(to_input(scenes.images(range(3)), model.cnn.config, "cpu"))
        y = pythia.scores(model, tokens, lengths, F.flatten(2).mT, *map(torch.from_numpy, (asked.scene[rows], q)))
        for i, row in enumerate(rows):
            u, v = model.branches(F[asked.scene[row]][None], model.encode(asked.questions[q[i]]))
            assert torch.allclose(model.classify(u * v)[0], y[i], atol=1e-4)


@pytest.mark.parametrize("family", ["film", "transformer"])
def test_other_families_learn_from_the_same_regions(undisturbed, cache, family, monkeypatch):
    run = undisturbed[0].with_name(family)
    recipe = replace(REGIONS[family], scenes=24, validation=8, batch=8, epochs=1, per_scene=2, cnn=TINY.cnn, seed=3)
    monkeypatch.setattr(training, "save_array", lambda *_: pytest.fail("the regions are there already"))
    model = training.train_on_regions(family, recipe, run, cache, workers=1)
    lender = zoo.load(TINY.cnn, dtype=torch.float32)
    assert largest_difference(model.cnn.state_dict(), lender.cnn.state_dict()) == 0
    assert [step for step, _ in snapshots(run)] == [1, 2, 3]
    about = card_of(family, recipe, run)
    assert about["command"] == f"python -m qgc train scenes {family} --seed 3"
    loaded = zoo.load(f"{export_with_lent_cnn(model, family, about, run)}.json", dtype=torch.float32)
    halves = {k: v.half().float() for k, v in model.state_dict().items()}
    assert type(loaded) is type(model) and largest_difference(loaded.state_dict(), halves) == 0

    scenes = SceneSet(cache, "natural", "train", 24, 1)
    regions = training.Regions(model.cnn, scenes, stored_regions(run), "natural-train", "cpu")[np.array([4, 7])]
    tokens, lengths = model.vocabulary.batch(questions := ["What color is the sink?", "Is there a cat?"])
    scene, question = torch.tensor([0, 0, 1]), torch.tensor([1, 0, 1])
    with torch.no_grad():
        y = training.scores(model, tokens, lengths, regions, scene, question)
        for i, (s, q) in enumerate(zip(scene, question, strict=True)):
            u, v = model.branches(regions[s].T.reshape(1, -1, 14, 14), model.encode(questions[q]))
            assert torch.allclose(model.classify(u * v)[0], y[i], atol=1e-5)


def test_the_bilinear_model_learns_behind_a_lent_cnn(cache, tmp_path):
    recipe = replace(
        RECIPES["natural"], scenes=24, question_scenes=24, validation=8, vqa_epochs=2, batch=2, question_seed=1
    )
    model = train_scenes(recipe, tmp_path / "run", cache, workers=1, cnn_checkpoint=TINY.cnn, family="bilinear")
    assert model.output.in_features == 256 and len(snapshots(tmp_path / "run")) == 4
    with pytest.raises(QGCError, match="another recipe"):
        train_scenes(recipe, tmp_path / "run", cache, workers=1, cnn_checkpoint=TINY.cnn)
    about = card_of("bilinear", recipe, tmp_path / "run")
    about["recipe"] = {**about["recipe"], "cnn": TINY.cnn}
    loaded = zoo.load(f"{export_with_lent_cnn(model, 'bilinear', about, tmp_path)}.json", dtype=torch.float32)
    assert type(loaded) is type(model) and zoo.card(tmp_path / "bilinear" / "natural.json")["family"] == "bilinear"
