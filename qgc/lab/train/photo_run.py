"""One command from photographs and questions to a model and its question-only baseline.

The protocol, fixed before the test split was looked at for the first time:

1. Validation is held out of the official training part, by photograph (:func:`qgc.data.questions.held_out`). The
   numbers of both recipes ``modern`` were chosen on fifths held out of DAQUAR's training part alone, by photograph too
   (all five for the Deeper LSTM, two for Pythia).
2. The model learns on the rest, and validation is looked at as the recipe says: the training stops when it gets no
   better. The words and answers that it knows come from the questions that it learns on.
3. With a recipe that retrains (``modern``: little data), a second run starts from nothing on all of the official
   training part, validation included, and takes as many passes as the first gave; its weights are the run's. Else the
   weights that were best on validation are.
4. The baseline goes through the same steps with the same recipe, seed and numbers, but it reads zeros in the place of f
   (or of F), so v is the same whatever the photograph: what the question alone gives.
5. ``python -m qgc evaluate RUN`` answers the test part once with both.
"""

from __future__ import annotations

import json
import platform
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor

from ... import __version__, data
from ...data import PhotoSet, rooms
from ...data.answers import vocabulary
from ...data.tokens import words
from ...errors import DataError, QGCError
from ...files import remove_leftovers
from ...models import DeeperLSTM, DeeperLSTMConfig, backbones, zoo
from ...models.pythia import Pythia, PythiaConfig, SharedPadUnkVocabulary
from ...models.text import Vocabulary
from ..fetch.torchvision import torchvision_weights
from .distributed import ProcessGroup
from .encoded_questions import EncodedQuestions, as_arrays
from .features import Features, extract, locked
from .files import save_json
from .image_inputs import image_input, root_mean_square
from .memory import keep_freed_memory
from .photo_recipes import RECIPES, USUAL, PhotoRecipe
from .photos import Trained, fit
from .run import timed
from .word_vectors import read_vectors

TITLES = {"daquar": "DAQUAR", "vqa1": "VQA v1", "vqa2": "VQA v2", **dict.fromkeys(rooms.NAMES, "rooms of NYU Depth v2")}
QUESTION_FILES = ("*.txt", "*.json")
QUESTION_FOLDERS = (".", "Questions", "Annotations", "questions", "annotations")


@dataclass(frozen=True)
class TrainingConfig:
    """What to train, on what, and where: the command's arguments.

    Without ``weights`` the CNN has torchvision's own; ``recipe_name`` is how the card calls the recipe; ``glove`` holds
    the vectors at which a Pythia's words begin.
    """

    dataset: str
    data_dir: Path
    cnn: str
    weights: Path | None
    out: Path
    recipe: PhotoRecipe
    recipe_name: str
    seed: int = 0
    cache: Path = Path("cache")
    workers: int = 2
    glove: Path | None = None

    @property
    def backbone_config(self) -> backbones.BackboneConfig:
        """The CNN's configuration, by its name."""
        return backbones.named(self.cnn, self.recipe.side)

    @property
    def command(self) -> str:
        """How to do it again, with DIR and FILE for the folders of whoever does."""
        parts = [
            f"python -m qgc train {self.dataset} --data-dir DIR --cnn {self.cnn} --weights FILE --seed {self.seed}"
        ]
        if self.recipe.pythia:
            parts.append("--model pythia")
        if self.recipe_name != USUAL[self.dataset]:
            parts.append(f"--recipe {self.recipe_name}")
        if self.glove:
            parts.append("--glove FILE")
        if self.recipe.shards != RECIPES[self.recipe.family][self.recipe_name].shards:
            parts.append(f"--shards {self.recipe.shards}")
        return " ".join(parts)


@dataclass(frozen=True)
class Result:
    """A trained model, the run that chose the number of steps, and the one that made its weights (or the same)."""

    model: DeeperLSTM | Pythia
    chosen: Trained
    made: Trained


def train_photos(training: TrainingConfig, group: ProcessGroup) -> dict[str, Result]:
    """Train the model and its question-only baseline by the protocol above; returns both as ``"model"`` and ``"twin"``.

    ``training.out`` receives ``model.json`` and ``twin.json`` with their weights, ``data.json`` (where the data is)
    and the checkpoints; the same command again resumes where it stopped.

    Raises
    ------
    DataError
        If the data set cannot be read, or photographs are absent or damaged.
    WeightsError
        If there is no such CNN, or the file holds other weights.
    QGCError
        If ``training.out`` holds a run with another recipe, seed or data, or a Deeper LSTM is given word vectors.
    """
    if training.glove and not training.recipe.pythia:
        raise QGCError("the Deeper LSTM learns its words from nothing; --glove is for --model pythia")
    group.shards(training.recipe.shards)  # what is wrong is said before hours are spent on features
    keep_freed_memory()
    train, validation = (data.load(training.dataset, training.data_dir, split) for split in ("train", "validation"))
    vectors = _vectors(training, train, validation)
    cnn = backbones.build(training.backbone_config)
    training = replace(training, weights=training.weights or torchvision_weights(training.cnn))
    backbones.load_weights(cnn, training.weights)
    training.out.mkdir(parents=True, exist_ok=True)
    if group.is_main_process:
        remove_leftovers(training.out)
        places = {"data_dir": str(training.data_dir.resolve()), "cache": str(training.cache.resolve())}
        save_json(training.out / "data.json", places)
    whole = replace(train, questions=train.questions + validation.questions)
    with _timed(training, "features", group):
        features = extract(
            cnn, whole.images, whole.image_path, training.cache / "features", group.device, training.workers,
            maps=training.recipe.pythia is not None,
        )  # fmt: skip
    parts = {"part": (train, validation)} | ({"all": (whole, None)} if training.recipe.retrain else {})
    learning = {part: _prepare(training, part, *sets, features, vectors) for part, sets in parts.items()}
    del train, validation, whole, parts  # from here on the questions are read from the disk
    results = {}
    for name in ("model", "twin"):
        with _timed(training, name, group):
            results[name] = _train_one(training, name, learning, cnn, features, group)
    if group.is_main_process:
        _write(training, results, group)
    return results


def _timed(training: TrainingConfig, name: str, group: ProcessGroup):
    return timed(training.out, name, group.device) if group.is_main_process else nullcontext()


@dataclass(frozen=True)
class _Learning:
    config: DeeperLSTMConfig | PythiaConfig
    vectors: dict[str, Tensor]
    train: EncodedQuestions
    validation: EncodedQuestions | None


def _vectors(training: TrainingConfig, *parts: PhotoSet) -> dict[str, Tensor]:
    """The published vectors of the words in these questions, if the configuration names any."""
    if training.glove is None:
        return {}
    known = words((q.text for photos in parts for q in photos.questions), training.recipe.tokens)
    return read_vectors(training.glove, known, training.recipe.embedding)


def _prepare(
    training: TrainingConfig,
    part: str,
    train: PhotoSet,
    held: PhotoSet | None,
    features: Features,
    vectors: dict[str, Tensor],
) -> _Learning:
    """The model's sizes, words and answers, from the questions that it learns on, and these as arrays on disk."""
    recipe, folder = training.recipe, training.out / part
    answers = vocabulary(train.questions, recipe.answers)
    config = _config(training, train, answers, features)
    kind = SharedPadUnkVocabulary if recipe.pythia else Vocabulary
    known = kind(config.words, config.longest, config.tokens)
    opened = []
    for name, photos in (("train", train), ("validation", held)):
        if photos is None:
            opened.append(None)
            continue
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        with locked(place):  # the processes of one machine share the files
            as_arrays(photos, known, answers, features.index, learn=name == "train").save(place)
            opened.append(EncodedQuestions.open(place))
    return _Learning(config, {w: vectors[w] for w in config.words if w in vectors}, *opened)


def _config(training: TrainingConfig, train: PhotoSet, answers, features: Features) -> DeeperLSTMConfig | PythiaConfig:
    recipe, cnn = training.recipe, training.backbone_config
    known = tuple(words((q.text for q in train.questions), recipe.tokens))
    same = {"longest": recipe.max_tokens, "dropout": recipe.dropout, "tokens": recipe.tokens, "cnn": cnn}
    sizes = {"embedding": recipe.embedding, "hidden": recipe.hidden, "combine": recipe.combine}
    if recipe.pythia is None:
        return DeeperLSTMConfig(known, tuple(answers), **sizes, **same)
    seen = [features.index[image] for image in train.images]
    scale = root_mean_square(features, seen) if recipe.standardise else 1.0
    return PythiaConfig(known, tuple(answers), **sizes, **asdict(recipe.pythia), scale=scale, **same)


def _train_one(
    training: TrainingConfig, name: str, learning: dict[str, _Learning], cnn, features: Features, group: ProcessGroup
) -> Result:
    """Choose the number of steps with validation, then, if the recipe says so, learn from everything."""
    part = learning["part"]
    model, chosen = _fit(training, name, "part", part, cnn, features, group)
    if "all" not in learning:
        return Result(model, chosen, chosen)
    passes = chosen.step / chosen.steps  # both schedules have as many passes
    stop = max(1, round(passes * training.recipe.total_steps(len(learning["all"].train))))
    model, made = _fit(training, name, "all", learning["all"], cnn, features, group, stop)
    return Result(model, chosen, made)


def _fit(
    training, name, part, learning: _Learning, cnn, features, group, stop=None
) -> tuple[DeeperLSTM | Pythia, Trained]:
    model = (Pythia if training.recipe.pythia else DeeperLSTM)(learning.config)
    model.cnn.load_state_dict(cnn.state_dict())
    seen = np.unique(learning.train.image) if training.recipe.standardise else None
    inputs = image_input(model, features, seen, name == "twin", learning.vectors)
    trained = fit(
        model, training.recipe, learning.train, learning.validation, inputs, training.out / part / name, group,
        seed=training.seed, stop=stop, name=f"{name}, {'with validation' if part == 'part' else 'on everything'}",
    )  # fmt: skip
    return model, trained


def _write(training: TrainingConfig, results: dict[str, Result], group: ProcessGroup) -> None:
    time = json.loads((training.out / "time.json").read_text(encoding="utf-8"))
    files, blind = _question_files(training.data_dir), "F" if training.recipe.pythia else "f"
    for name, result in results.items():
        about = {
            "trained_on": f"photographs, {TITLES[training.dataset]}",
            "dataset": training.dataset,
            "role": "model" if name == "model" else f"question-only baseline ({blind} = 0)",
            "command": training.command,
            "seed": training.seed,
            "recipe": {"name": training.recipe_name, **asdict(training.recipe)},
            "cnn_weights_sha256": zoo.sha256(training.weights),
            **({"glove_sha256": zoo.sha256(training.glove)} if training.glove else {}),
            "question_files_sha256": {path.name: zoo.sha256(path) for path in files},
            "versions": versions(),
            "device": _device_name(group),
            "processes": group.size,
            "time": time,
            "validation": _row(result.chosen) | {"accuracy": result.chosen.accuracy},
            "trace": result.chosen.trace,
            "made": _row(result.made) | {"on": "all of it" if training.recipe.retrain else "all of it but validation"},
            "questions_per_second": result.made.questions_per_second,
            "memory_mb": result.made.memory_mb,
        }  # fmt: skip
        zoo.save(result.model, training.out / name, about, "cnn.safetensors")


def _row(trained: Trained) -> dict[str, int]:
    return {"step": trained.step, "steps": trained.steps}


def _question_files(folder: Path) -> list[Path]:
    return sorted(p for sub in QUESTION_FOLDERS for kind in QUESTION_FILES for p in (folder / sub).glob(kind))


def _device_name(group: ProcessGroup) -> str:
    return torch.cuda.get_device_name(group.device) if group.device.type == "cuda" else "cpu"


def versions() -> dict[str, str]:
    """The versions of what a run's numbers depend on."""
    return {
        "qgc": __version__, "python": platform.python_version(), "torch": torch.__version__,
        "torchvision": torchvision.__version__, "numpy": np.__version__,
    }  # fmt: skip


def places(run: Path) -> dict[str, Path]:
    """Where a run's data set and feature cache are: its ``data.json``.

    Raises
    ------
    DataError
        If the run does not know.
    """
    try:
        return {key: Path(value) for key, value in json.loads((run / "data.json").read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        raise DataError(f"{run / 'data.json'} is missing or damaged; say --data-dir DIR") from None
