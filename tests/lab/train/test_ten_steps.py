"""Ten steps of every loop of training, tiny, on numbers made here: what they lose, and the same when broken off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from qgc.lab.train import cnn, photos, regions, trainer, vqa
from qgc.lab.train.distributed import ProcessGroup
from qgc.lab.train.encoded_questions import EncodedQuestions
from qgc.lab.train.features import Features
from qgc.lab.train.files import load_state
from qgc.lab.train.image_inputs import image_input
from qgc.lab.train.photo_recipes import MODERN, ORIGINAL, PYTHIA_MODERN, PhotoRecipe
from qgc.lab.train.photo_recipes import PYTHIA as PYTHIA_ORIGINAL
from qgc.lab.train.recipes import RECIPES, REGIONS
from qgc.models import VQA, DeeperLSTM, DeeperLSTMConfig
from qgc.models.backbones import SCENES, VGGLike
from qgc.models.fusions.bilinear import LowRankBilinear, LowRankBilinearConfig
from qgc.models.fusions.film import FiLM, FiLMConfig
from qgc.models.fusions.transformer import SceneTransformer, SceneTransformerConfig
from qgc.models.pythia import Pythia, PythiaConfig
from qgc.models.text import Vocabulary
from qgc.scenes import ANSWERS, sample
from qgc.scenes.questions import every_question, facts

SCENE_COUNT = 8
CNN = replace(SCENES, blocks=((4,), (4,)), fc=8)
WORDS = tuple(Vocabulary.from_questions(every_question()).words)
TINY = replace(RECIPES["natural"], batch=1, fc_epochs=5, vqa_epochs=5, per_scene=3, cnn_cycles=(3, 2))
NOISY = replace(TINY, start="scaled", word_noise=0.5)


def facts_of_scenes() -> list[list[tuple]]:
    """What there is to ask about the first scenes."""
    return [facts(sample(i, "natural")) for i in range(SCENE_COUNT)]


FACTS = facts_of_scenes()


def noise(*shape: int) -> np.ndarray:
    """Numbers from 0 to 1, always the same."""
    return np.random.default_rng(0).random(shape, np.float32)


class Noise:
    """Small images of noise with the facts of scenes, in the place of rendered ones."""

    count, facts = SCENE_COUNT, FACTS
    pixels = (255 * noise(SCENE_COUNT, 32, 32, 3)).astype(np.uint8)

    def images(self, rows) -> np.ndarray:
        """The pixels of some of them."""
        return self.pixels[list(rows)]


class Maps:
    """Regions of noise, in the place of a CNN's."""

    regions = torch.from_numpy(noise(SCENE_COUNT, 9, 4))

    def __getitem__(self, rows) -> Tensor:
        return self.regions[list(rows)]


def convolutions(run: Path) -> None:
    cnn.pretrain_convolutions(replace(TINY, batch=4), Noise(), CNN, run, "cpu")


def fully_connected(run: Path) -> None:
    torch.manual_seed(0)
    cnn.pretrain_fc(TINY, VGGLike(CNN), noise(SCENE_COUNT, 4 * 49), FACTS, run, "cpu")


def scene_questions(recipe, make: Callable[[], DeeperLSTM]) -> Callable[[Path], None]:
    def train(run: Path) -> None:
        torch.manual_seed(0)
        pooled = noise(SCENE_COUNT, 4 * 49)
        vqa.train(make(), recipe, pooled, FACTS, pooled, FACTS, run, "cpu")

    return train


def deeper() -> DeeperLSTM:
    return DeeperLSTM(DeeperLSTMConfig(WORDS, ANSWERS, 8, 8, 32, cnn=CNN))


def bilinear() -> DeeperLSTM:
    return LowRankBilinear(LowRankBilinearConfig(WORDS, ANSWERS, 8, 8, 32, cnn=CNN))


def scene_regions(family: str, make: Callable[[], VQA]) -> Callable[[Path], None]:
    def train(run: Path) -> None:
        torch.manual_seed(0)
        recipe = replace(REGIONS[family], batch=4, epochs=5, per_scene=3)
        regions.train(make(), recipe, Maps(), FACTS, Maps(), FACTS, run)

    return train


def pythia() -> VQA:
    sizes = {"conv1": 8, "glimpses": 2, "attention": 16, "combine": 32, "text_head": 8, "image_head": 8}
    return Pythia(PythiaConfig(WORDS, ANSWERS, 8, 8, **sizes, dropout=0.1, cnn=CNN))


def film() -> VQA:
    return FiLM(FiLMConfig(WORDS, ANSWERS, embedding=8, hidden=8, size=8, combine=16, cnn=CNN))


def transformer() -> VQA:
    return SceneTransformer(
        SceneTransformerConfig(WORDS, ANSWERS, combine=16, heads=2, depth=2, mlp=16, grid=3, patch=1, cnn=CNN)
    )


def photographs(recipe: PhotoRecipe, maps: bool) -> Callable[[Path], None]:
    words, answers = (tuple(f"{kind}{i}" for i in range(8)) for kind in "wa")
    rng = np.random.default_rng(0)
    lengths, image = rng.integers(1, 5, 40).astype(np.int32), rng.integers(0, 12, 40).astype(np.int32)
    tokens = rng.integers(2, 9, (40, 4)).astype(np.int32) * (np.arange(4) < lengths[:, None])
    target = (image % 8).astype(np.int32)
    asked = EncodedQuestions(tokens, lengths, image, target, target[:, None], np.ones((40, 1), np.float32))
    features = Features([f"p{i}" for i in range(12)], noise(12, *((4, 3, 3) if maps else (8,))).astype(np.float16))
    small = replace(recipe, batch=16, steps=10, validate_every=4, shards=2)

    def train(run: Path) -> None:
        torch.manual_seed(0)
        if maps:
            model = Pythia(PythiaConfig(words, answers, 8, 8, 8, 2, 16, 32, 8, 8, dropout=0.1, cnn=CNN))
        else:
            model = DeeperLSTM(DeeperLSTMConfig(words, answers, 8, 8, 16, cnn=CNN))
        seen = np.unique(image) if recipe.standardise else None
        photos.fit(model, small, asked, asked, image_input(model, features, seen), run, ProcessGroup())

    return train


@dataclass(frozen=True)
class Loop:
    """One loop of training, the checkpoint it leaves, and its first and its tenth step's loss."""

    train: Callable[[Path], None]
    checkpoint: str
    first: float
    tenth: float


LOOPS = {
    "convolutions": Loop(convolutions, "convolutions.pt", 30.11, 35.26),
    "fully connected": Loop(fully_connected, "fc6-fc7.pt", 40.28, 43.39),
    "scenes": Loop(scene_questions(TINY, deeper), "vqa.pt", 3.899, 3.874),
    "scenes, noisy": Loop(scene_questions(NOISY, deeper), "vqa.pt", 4.053, 3.863),
    "scenes, bilinear": Loop(scene_questions(TINY, bilinear), "vqa.pt", 3.871, 3.840),
    "scenes, pythia": Loop(scene_regions("pythia", pythia), "vqa.pt", 3.867, 3.819),
    "scenes, film": Loop(scene_regions("film", film), "vqa.pt", 3.877, 3.776),
    "scenes, transformer": Loop(scene_regions("transformer", transformer), "vqa.pt", 4.309, 4.079),
    "photographs, original": Loop(photographs(ORIGINAL, False), "state.pt", 2.087, 2.078),
    "photographs, modern": Loop(photographs(MODERN, False), "state.pt", 2.138, 2.069),
    "photographs, pythia original": Loop(photographs(PYTHIA_ORIGINAL, True), "state.pt", 5.412, 5.389),
    "photographs, pythia modern": Loop(photographs(PYTHIA_MODERN, True), "state.pt", 2.081, 1.985),
}


def losses_of(monkeypatch, train: Callable[[Path], None], run: Path, stop: int | None = None) -> list[float]:
    """Every step's loss, as it is looked at for whether it is finite; Ctrl-C at the step ``stop``."""
    losses = []
    with monkeypatch.context() as patch:

        def watch(loss: Tensor | float, folder: Path) -> None:
            if len(losses) == stop:
                raise KeyboardInterrupt
            losses.append(float(loss))

        patch.setattr(trainer, "check_loss", watch)
        if stop is None:
            train(run)
        else:
            with pytest.raises(KeyboardInterrupt):
                train(run)
    return losses


def tensors(state: dict, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors of a checkpoint, by where they are."""
    for key, value in state.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        elif isinstance(value, dict):
            yield from tensors(value, f"{prefix}{key}.")


@pytest.mark.parametrize("name", LOOPS)
def test_ten_steps(name, tmp_path, monkeypatch):
    """Whole, the losses are what they always were; broken off, weights and optimiser end the same to the last bit."""
    loop = LOOPS[name]
    losses = losses_of(monkeypatch, loop.train, tmp_path / "whole")
    print(f"\n{name}: {losses[0]:.5g}, {losses[9]:.5g}")
    assert [losses[0], losses[9]] == pytest.approx([loop.first, loop.tenth], rel=1e-2 if "conv" in name else 1e-3)
    assert len(losses_of(monkeypatch, loop.train, tmp_path / "broken", stop=7)) == 7
    rest = losses_of(monkeypatch, loop.train, tmp_path / "broken")
    assert rest == losses[len(losses) - len(rest) :] and losses_of(monkeypatch, loop.train, tmp_path / "broken") == []
    whole, broken = (dict(tensors(load_state(tmp_path / run / loop.checkpoint))) for run in ("whole", "broken"))
    assert whole.keys() == broken.keys() and len(whole) > 5
    assert [key for key in whole if not torch.equal(whole[key], broken[key])] == []


@pytest.mark.parametrize("name", ["convolutions", "scenes", "scenes, pythia"])
def test_a_checkpoint_that_counts_epochs_is_taken_up(name, tmp_path, monkeypatch):
    """As trainings on scenes wrote it once, without steps, seconds and memory."""
    loop, path = LOOPS[name], tmp_path / "old" / LOOPS[name].checkpoint
    losses_of(monkeypatch, loop.train, tmp_path / "whole")
    losses_of(monkeypatch, loop.train, tmp_path / "old", stop=7)
    state = load_state(path)
    parts = {key: value for key, value in state.items() if isinstance(value, dict)}
    torch.save({"epoch": state["step"] // 2, "trace": state["trace"], **parts}, path)
    assert len(losses_of(monkeypatch, loop.train, tmp_path / "old")) == 4
    whole, old = (dict(tensors(load_state(tmp_path / run / loop.checkpoint))) for run in ("whole", "old"))
    assert [key for key in whole if not torch.equal(whole[key], old[key])] == []
