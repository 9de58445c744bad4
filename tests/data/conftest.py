"""Where the real files lie, and small files in the same layouts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

DAQUAR = {
    "train": [
        ("what is on the desk in the image3 ?", "book, scissor, papers"),
        ("what is on the left side of the image4 ?", "bed"),
        ("how many chairs are there in image4 ?", "2"),
    ],
    "test": [("what is behind the table in the image1 ?", "window"), ("what color is the sofa in the image2 ?", "red")],
}
LISTS = {"train": ["image3", "image4", "image5"], "test": ["image1", "image2"]}
HEAD = {"info": {"version": "2.0"}, "task_type": "Open-Ended", "data_type": "mscoco", "data_subtype": "train2014"}


@pytest.fixture
def real() -> Path:
    """The folder with real files."""
    if "QGC_REAL_DATA" not in os.environ:
        pytest.skip("set QGC_REAL_DATA to a folder with real photographs and questions")
    return Path(os.environ["QGC_REAL_DATA"])


@pytest.fixture
def daquar_folder(tmp_path) -> Path:
    """A small DAQUAR in the official layout, its photographs of both endings."""
    (tmp_path / "images").mkdir()
    for part, pairs in DAQUAR.items():
        (tmp_path / f"qa.894.raw.{part}.txt").write_text("".join(f"{q}\n{a}\n" for q, a in pairs))
        (tmp_path / f"{part}_images_list.txt").write_text("\n".join(LISTS[part]) + "\n\n")
    for name in ("image1.jpg", "image2.jpg", "image3.png", "image4.jpg"):
        Image.new("RGB", (4, 3)).save(tmp_path / "images" / name)
    return tmp_path


def ten(answers: dict[str, int]) -> list[dict]:
    """Ten people's answers as VQA's files have them."""
    each = [answer for answer, times in answers.items() for _ in range(times)]
    return [{"answer": a, "answer_confidence": "yes", "answer_id": i + 1} for i, a in enumerate(each)]


def vqa_files(folder: Path, asked: str, answered: str, subset="train2014", images=range(1, 41), version="2.0") -> None:
    """Write a pair of VQA's files, two questions to each photograph."""
    head = HEAD | {"data_subtype": subset, "info": {"version": version}}
    questions = [
        {"image_id": i, "question": text, "question_id": 10 * i + k}
        for i in images
        for k, text in enumerate(["Is it red?", "How many dogs?"])
    ]
    annotations = [
        {
            "question_type": "is it",
            "multiple_choice_answer": "yes",
            "answers": ten({"yes": 7, "no": 3} if q["question_id"] % 10 == 0 else {"2": 10}),
            "image_id": q["image_id"],
            "answer_type": "yes/no" if q["question_id"] % 10 == 0 else "number",
            "question_id": q["question_id"],
        }
        for q in questions
    ]
    for name, key, entries in ((asked, "questions", questions), (answered, "annotations", annotations)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(head | {key: entries}))


@pytest.fixture
def vqa_folder(tmp_path) -> Path:
    """Both parts of a small VQA v2 under the official names."""
    for subset in ("train2014", "val2014"):
        names = (f"v2_OpenEnded_mscoco_{subset}_questions.json", f"v2_mscoco_{subset}_annotations.json")
        vqa_files(tmp_path, *names, subset=subset)
    return tmp_path


@pytest.fixture
def write_vqa():
    """The writer of a pair of VQA's files."""
    return vqa_files
