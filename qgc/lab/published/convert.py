"""Published weights as a run of ours: converted once to safetensors, with a card that says where they came from.

:mod:`qgc.lab.published.deeper_lstm` reads the Deeper LSTM of VQA, :mod:`qgc.lab.published.pythia` Pythia v0.1. Every
number is kept as it was published, in float32.
"""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch

from ... import __version__
from ...errors import WeightsError
from ...models import backbones, zoo
from ...models.vqa import VQA
from .deeper_lstm import deeper_lstm
from .pythia import pythia

RESNET152 = ("resnet152-394f9c45.pth", "resnet152-b121ed2d.pth")  # the same weights, written again in 2020
GRID_ALONE = "this Pythia also read a detector's boxes; of a photograph alone it sees the grid, as if none were found"


def convert_deeper_lstm(weights: Path, prepro: Path, cnn_weights: Path, out: Path) -> Path:
    """Make a run of an ``lstm.t7``, its ``data_prepro.json`` and the Caffe VGG-19; gives the run's card.

    Raises
    ------
    WeightsError
        As :func:`deeper_lstm`; or if the CNN's file is another's, or ``out`` holds a model already.
    """
    weights, prepro, cnn_weights, out = map(Path, (weights, prepro, cnn_weights, out))
    _check_free(out)
    model = deeper_lstm(weights, prepro)
    command = ["deeper-lstm", weights.name, "--prepro", prepro.name, "--cnn-weights", cnn_weights.name]
    about = {"trained_on": "photographs: VQA v1 (published weights)", "command": _command(command)}
    return _save(model, out, about, {"weights": weights, "vocabulary": prepro, "cnn": cnn_weights})


def convert_pythia(checkpoint: Path, words: Path, answers: Path, out: Path, cnn_weights: Path | None = None) -> Path:
    """Make a run of a Pythia checkpoint, its vocabularies and ResNet-152 (:func:`find_resnet152`); gives its card.

    Warns if the model read a detector's boxes as well, which a photograph does not come with.

    Raises
    ------
    WeightsError
        As :func:`pythia`; or if the CNN's file is another's or nowhere, or ``out`` holds a model already.
    """
    checkpoint, words, answers, out = map(Path, (checkpoint, words, answers, out))
    _check_free(out)
    cnn_weights = Path(cnn_weights or find_resnet152(checkpoint))
    model = pythia(checkpoint, words, answers)
    command = ["pythia", checkpoint.name, "--words", words.name, "--answers", answers.name]
    about = {
        "trained_on": "photographs: VQA v2, and more for some checkpoints (published weights)",
        "command": _command([*command, "--cnn-weights", cnn_weights.name]),
    }
    if model.config.boxes:
        about["limits"] = GRID_ALONE
    sources = {"weights": checkpoint, "words": words, "answers": answers, "cnn": cnn_weights}
    card = _save(model, out, about, sources)
    if model.config.boxes:
        warnings.warn(GRID_ALONE, stacklevel=2)
    return card


def _check_free(out: Path) -> None:
    if (out / "model.json").exists():
        raise WeightsError(f"{out} holds a model already; name another folder with --out, or remove that one first")


def _command(arguments: list[str]) -> str:
    return f"python -m qgc convert {shlex.join(arguments)}"


def _save(model: VQA, out: Path, about: Mapping, sources: Mapping[str, Path]) -> Path:
    """Load the CNN and write the run: every number as it was published, and where it came from."""
    backbones.load_weights(model.cnn, sources["cnn"])
    origins = {what: _origin(file) for what, file in sources.items()}
    made_with = {"qgc": __version__, "torch": torch.__version__}
    zoo.save(model, out / "model", {**about, "converted_from": origins, "converted_with": made_with}, exact=True)
    return out / "model.json"


def _origin(file: Path) -> dict:
    return {"file": file.name, "bytes": file.stat().st_size, "sha256": zoo.sha256(file)}


def find_resnet152(checkpoint: Path) -> Path:
    """torchvision's first ResNet-152, which Pythia read images with: beside the checkpoint, or in PyTorch's cache.

    Raises
    ------
    WeightsError
        If it is in neither.
    """
    folders = (Path(checkpoint).parent, Path(torch.hub.get_dir()) / "checkpoints")
    for file in (folder / name for folder in folders for name in RESNET152):
        if file.exists():
            return file
    raise WeightsError("Pythia reads images with torchvision's ResNet-152: bring it with "
                       "'python -m qgc fetch resnet152' and name the file with --cnn-weights")  # fmt: skip
