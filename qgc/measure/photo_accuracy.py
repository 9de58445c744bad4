"""How often a model that was trained on photographs answers right, beside its question-only twin."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from .. import data
from ..data import PhotoSet, Question
from ..files import write_whole
from ..models import zoo
from ..models.pythia import Pythia
from ..train.asked import as_arrays
from ..train.distributed import Team
from ..train.features import Features, extract
from ..train.photo_run import places
from ..train.photos import predict
from ..train.sights import sight
from .stats import interval


def kind_of(question: Question) -> str:
    """What is asked for: VQA's answer type; for DAQUAR, which has none, number, colour or thing, told by the words."""
    if question.kind:
        return question.kind
    text = question.text.lower()
    return "number" if "how many" in text else "colour" if "colo" in text else "thing"


def answered(model, photos: PhotoSet, features: Features) -> np.ndarray:
    """The accuracy of a model's answer to every question (N,), by the data set's own measure."""
    asked = as_arrays(photos, model.vocabulary, model.answers, features.index, learn=False)
    said = predict(model, asked, sight(model, features), Team(device=model.device))
    return np.array([photos.score(q, model.answers[i]) for q, i in zip(photos.questions, said, strict=True)])


def evaluate_photos(
    run: Path,
    split: str = "test",
    data_dir: Path | None = None,
    cache: Path | None = None,
    device: str | torch.device = "cpu",
    workers: int = 2,
) -> dict:
    """Accuracy of a run's model and of its twin on one split, with 95 % intervals (whole photographs redrawn).

    Parameters
    ----------
    run : the folder that ``python -m qgc train daquar …`` wrote.
    split : ``"test"`` or ``"validation"`` (which a model that was retrained on everything has learnt from).
    data_dir, cache : where data set and features lie, if not where the run has them.

    Raises
    ------
    DataError
        If the run does not know where its data set lies, or that cannot be read.
    """
    model, twin = (zoo.load(str(run / f"{n}.json"), device=device, dtype=torch.float32) for n in ("model", "twin"))
    about = zoo.card(str(run))
    if data_dir is None or cache is None:
        known = places(run)
        data_dir, cache = data_dir or known["data_dir"], cache or known["cache"]
    photos = data.load(about["dataset"], data_dir, split)
    maps = isinstance(model, Pythia)
    features = extract(model.cnn, photos.images, photos.image_path, cache / "features", device, workers, maps)
    frame = pd.DataFrame({
        "kind": [kind_of(q) for q in photos.questions],
        "image": [q.image for q in photos.questions],
        "accuracy": answered(model, photos, features),
        "question_only": answered(twin, photos, features),
    })  # fmt: skip
    return {
        "dataset": about["dataset"],
        "split": split,
        "questions": len(frame),
        "images": len(photos.images),
        "seed": about["seed"],
        "all": _row(frame),
        "kinds": {kind: _row(part) for kind, part in frame.groupby("kind")},
        "validation": {
            "accuracy": about["validation"]["accuracy"],
            "question_only": zoo.card(str(run / "twin.json"))["validation"]["accuracy"],
        },
    }


def record(run: Path, result: dict) -> None:
    """Write an evaluation into the run's card, under its split's name; the weights stay as they are."""
    about = zoo.card(str(run)) | {result["split"]: result}
    write_whole(run / "model.json", lambda p: p.write_text(json.dumps(about, indent=1) + "\n"))


def _row(frame: pd.DataFrame) -> dict:
    gained = interval(frame["accuracy"] - frame["question_only"], frame["image"])
    return {
        "n": len(frame),
        "accuracy": float(frame["accuracy"].mean()),
        "question_only": float(frame["question_only"].mean()),
        "gained": gained.estimate,
        "gained_95": [gained.low, gained.high],
    }


def table(result: dict) -> str:
    """An evaluation as a Markdown table."""
    rows = [*result["kinds"].items(), ("all", result["all"])]
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
        f"{result['questions']} questions, {result['images']} photographs ({result['dataset']}, {result['split']}); "
        f"on validation, when the number of steps was chosen: {held['accuracy']:.2%}, "
        f"question only {held['question_only']:.2%}",
    ])  # fmt: skip
