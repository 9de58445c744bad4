"""How often a model answers right about photographs, compared with its question-only baseline where it has one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ... import data
from ...data import PhotoSet, Question
from ...errors import DataError
from ...files import atomic_write
from ...measure.stats import interval
from ...models import zoo
from ..train.distributed import ProcessGroup
from ..train.encoded_questions import as_arrays
from ..train.features import Features, extract
from ..train.image_inputs import image_input
from ..train.photo_run import places
from ..train.photos import predict
from .photo_results import dataset_of

CACHE = Path("cache")  # of a run that does not know where its features lie; where training keeps them, too


def kind_of(question: Question) -> str:
    """What is asked for: VQA's answer type; for DAQUAR, which has none, "number", "colour" or "thing", by the words."""
    if question.kind:
        return question.kind
    text = question.text.lower()
    return "number" if "how many" in text else "colour" if "colo" in text else "thing"


def answered(model, photos: PhotoSet, features: Features) -> np.ndarray:
    """The accuracy of a model's answer to every question (N,), by the data set's own measure."""
    asked = as_arrays(photos, model.vocabulary, model.answers, features.index, learn=False)
    predicted = predict(model, asked, image_input(model, features), ProcessGroup(device=model.device))
    return np.array([photos.score(q, model.answers[i]) for q, i in zip(photos.questions, predicted, strict=True)])


def evaluate_photos(
    run: Path,
    split: str = "test",
    data_dir: Path | None = None,
    cache: Path | None = None,
    device: str | torch.device = "cpu",
    workers: int = 2,
    dataset: str | None = None,
) -> dict:
    """Accuracy of a run's model and of its question-only baseline on one split, with 95 % intervals by photograph.

    Published weights have no such baseline: its numbers are omitted. A published Pythia answers by the grid alone.

    Parameters
    ----------
    run : the folder that ``python -m qgc train daquar …`` or ``python -m qgc convert …`` wrote.
    split : ``"test"`` or ``"validation"`` (which a model that was retrained on everything has learnt from).
    data_dir, cache : where data set and features lie, if not where the run has them.
    dataset : for published weights, which data set that is.

    Raises
    ------
    DataError
        If the run does not know where its data set lies or which it is, or that cannot be read.
    """
    about = zoo.card(str(run))
    name = dataset_of(about, dataset)
    published = "converted_from" in about
    data_dir, cache = _where(run, data_dir, cache)
    photos = data.load(name, data_dir, split)
    model = _opened(run / "model.json", device)
    # Features are read from the cache that training left: the CNN is what takes the time
    features = extract(
        model.cnn, photos.images, photos.image_path, cache / "features", device, workers,
        maps=model.reads_cells,
    )  # fmt: skip
    frame = pd.DataFrame({
        "kind": [kind_of(q) for q in photos.questions],
        "image": [q.image for q in photos.questions],
        "accuracy": answered(model, photos, features),
    })  # fmt: skip
    if not published:
        frame["question_only"] = answered(_opened(run / "twin.json", device), photos, features)
    result = {
        "dataset": name,
        "split": split,
        "questions": len(frame),
        "images": len(photos.images),
        "all": _row(frame),
        "kinds": {kind: _row(part) for kind, part in frame.groupby("kind")},
    }
    if published:
        return result
    # Validation chose the number of steps, so its accuracy is the more favorable one: both are reported
    held = {"accuracy": about["validation"]["accuracy"]}
    held["question_only"] = zoo.card(str(run / "twin.json"))["validation"]["accuracy"]
    return result | {"seed": about["seed"], "validation": held}


def _opened(card: Path, device: str | torch.device):
    return zoo.load(str(card), device=device, dtype=torch.float32)


def _where(run: Path, data_dir: Path | None, cache: Path | None) -> tuple[Path, Path]:
    """Where data set and features lie: as given, as the run knows, and of features the usual place."""
    try:
        known = places(run)
    except DataError:
        if data_dir is None:
            raise
        known = {}
    return data_dir or known["data_dir"], cache or known.get("cache", CACHE)


def record(run: Path, result: dict) -> None:
    """Write an evaluation into the run's card, as ``"test"`` or ``"validation_split"``; the weights stay as they are.

    What the card has under ``"validation"`` differs: it is what the number of steps was chosen by.
    """
    key = "validation_split" if result["split"] == "validation" else result["split"]
    about = zoo.card(str(run)) | {key: result}
    atomic_write(run / "model.json", lambda p: p.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8"))


def _row(frame: pd.DataFrame) -> dict:
    row = {"n": len(frame), "accuracy": float(frame["accuracy"].mean())}
    if "question_only" not in frame:
        return row
    gained = interval(frame["accuracy"] - frame["question_only"], frame["image"])
    return row | {
        "question_only": float(frame["question_only"].mean()),
        "gained": gained.estimate,
        "gained_95": [gained.low, gained.high],
    }


def table(result: dict) -> str:
    """An evaluation as a Markdown table; without a question-only baseline, without its columns."""
    rows = [*result["kinds"].items(), ("all", result["all"])]
    foot = f"{result['questions']} questions, {result['images']} photographs ({result['dataset']}, {result['split']})"
    if "validation" not in result:
        lines = [f"| {kind} | {r['n']} | {r['accuracy']:.2%} |" for kind, r in rows]
        return "\n".join(["| asked for | questions | accuracy |", "|---|---:|---:|", *lines, "", foot])
    lines = [
        "| asked for | questions | accuracy | question only | gained by the image [95 %] |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {kind} | {r['n']} | {r['accuracy']:.2%} | {r['question_only']:.2%} | "
        f"{100 * r['gained']:+.2f} [{100 * r['gained_95'][0]:+.2f}, {100 * r['gained_95'][1]:+.2f}] |"
        for kind, r in rows
    ]
    held = result["validation"]
    return "\n".join([
        *lines, "",
        f"{foot}; on validation, when the number of steps was chosen: {held['accuracy']:.2%}, "
        f"question only {held['question_only']:.2%}",
    ])  # fmt: skip
