"""A small but complete VQA data set in the official layout: files, names and keys as VQA's makers publish them.

The photographs are drawn scenes, made JPEGs of COCO's usual shape; the questions and true answers are the scenes', and
ten people answer each, some of them wrongly.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from qgc.scenes import sample

SIZE = (320, 240)
COCO = 581_929  # photographs are numbered up to here, with gaps
ASKED = 3  # questions of a photograph in VQA, at least
LICENSE = {
    "url": "http://creativecommons.org/licenses/by/4.0/",
    "name": "Creative Commons Attribution 4.0 International",
}
VERSIONS = {
    "vqa1": ("", "1.0", 2015, 10),  # prefix of the files' names, version, year, and what an image's number is times
    "vqa2": ("v2_", "2.0", 2017, 1000),
}


def write(folder: Path, name: str = "vqa2", train: int = 40, val: int = 12, seed: int = 0) -> Path:
    """Both parts with answers of ``name``, "vqa1" or "vqa2": ``train`` and ``val`` photographs; gives the folder."""
    numbers = 1 + np.random.default_rng(seed).permutation(COCO)[: train + val]
    _part(folder, name, "train2014", sorted(numbers[:train].tolist()))
    _part(folder, name, "val2014", sorted(numbers[train:].tolist()))
    return folder


def _part(folder: Path, name: str, part: str, numbers: list[int]) -> None:
    prefix, version, year, times = VERSIONS[name]
    (folder / part).mkdir(parents=True)
    questions, annotations = [], []
    for number in numbers:
        scene, rng = sample(number, "balanced"), np.random.default_rng(number)
        scene.image.resize(SIZE).save(folder / part / f"COCO_{part}_{number:012d}.jpg", quality=90)
        for k, i in enumerate(rng.permutation(len(scene.asks))[: ASKED + number % 3]):
            text, answer, _ = scene.asks[i]
            about = {"image_id": number, "question_id": number * times + k}
            questions.append({**about, "question": text})
            annotations.append({**about, **_answered(text, answer, [ask.answer for ask in scene.asks], rng)})
    info = {
        "description": f"This is v{version} of the VQA dataset.", "url": "http://visualqa.org", "version": version,
        "year": year, "contributor": "VQA Team", "date_created": f"{year}-04-26 17:07:13",
    }  # fmt: skip
    head = {"info": info, "data_type": "mscoco", "data_subtype": part, "license": LICENSE}
    asked = {**head, "task_type": "Open-Ended", "questions": questions}
    (folder / f"{prefix}OpenEnded_mscoco_{part}_questions.json").write_text(json.dumps(asked))
    (folder / f"{prefix}mscoco_{part}_annotations.json").write_text(json.dumps({**head, "annotations": annotations}))


def _answered(text: str, truth: str, others: list[str], rng: np.random.Generator) -> dict:
    """Ten people's answers: most say the truth, and whoever does not says what is true of something else there."""
    wrong = [answer for answer in others if answer != truth] or ["no"]
    said = [truth if rng.random() < 0.85 else str(rng.choice(wrong)) for _ in range(10)]
    sure = rng.choice(("yes", "maybe", "no"), 10, p=(0.8, 0.15, 0.05))
    return {
        "question_type": " ".join(text.lower().split()[:2]),
        "answer_type": "yes/no" if truth in ("yes", "no") else "number" if truth.isdigit() else "other",
        "multiple_choice_answer": Counter(said).most_common(1)[0][0],
        "answers": [
            {"answer": answer, "answer_confidence": str(sure[i]), "answer_id": i + 1} for i, answer in enumerate(said)
        ],
    }
