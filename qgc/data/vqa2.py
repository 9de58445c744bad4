"""VQA v1 and v2: questions about COCO's photographs, ten people's answers each (Antol et al. 2015, Goyal et al. 2017).

The official files, in one folder or in ``Questions/`` and ``Annotations/``:
``v2_OpenEnded_mscoco_train2014_questions.json`` and ``v2_mscoco_train2014_annotations.json``, the same with
``val2014``, and for version 1 the same without ``v2_``; or one pair named ``questions.json`` and ``annotations.json``.
The photographs, ``COCO_train2014_000000458752.jpg`` for instance, are in ``train2014/``, in ``images/`` or in
``Images/mscoco/train2014/``; or, as COCO names the same ones since 2017, ``000000458752.jpg`` in ``train2017/`` or
``val2017/``.

The official validation part (val2014) is our test, because the answers to the official test questions are withheld; our
validation is held out of train2014, by photograph.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Set
from pathlib import Path

from ..errors import DataError
from .answers import vqa_accuracy
from .questions import PhotoSet, Question, check_split, first_there, held_out, packed_beside
from .schema import is_count, read_json

SUBSETS = {"train": "train2014", "validation": "train2014", "test": "val2014"}
PREFIXES = {"vqa1": "", "vqa2": "v2_"}
FOLDERS = (".", "Questions", "Annotations", "questions", "annotations")
ENDINGS = (".jpg", ".JPG", ".jpeg", ".JPEG")
PEOPLE = 10
PART = re.compile(r"[\w-]+")  # it is a part of the photographs' names
FEW = 3  # how many examples a message names


class VQAPhotos(PhotoSet):
    """One split of VQA; an answer is scored by the answers of ten people (:func:`~qgc.data.answers.vqa_accuracy`)."""

    def image_path(self, image: str) -> Path:
        """The file of a photograph, ``COCO_train2014_000000458752`` for instance."""
        subset, _, number = image.removeprefix("COCO_").partition("_")
        folders = (subset, f"images/{subset}", "images", f"Images/mscoco/{subset}", f"Images/{subset}", ".")
        folders += tuple(f"{f}{part}2017" for f in ("", "images/") for part in ("train", "val"))
        names = (f"{name}{ending}" for name in (image, number or image) for ending in ENDINGS)
        return first_there(image, (self.folder / folder / name for name in names for folder in folders))

    def score(self, question: Question, answer: str) -> float:
        """Official VQA accuracy, from 0 to 1."""
        return vqa_accuracy(answer, question.answers)


def load(name: str, folder: Path, split: str) -> VQAPhotos:
    """One split of VQA v1 ("vqa1") or v2 ("vqa2"), with its annotations.

    Raises
    ------
    DataError
        If a file is missing, damaged, of another kind, part or version, or questions and annotations do not fit.
    """
    check_split(split)
    subset = SUBSETS[split]
    asked = find(folder, f"{PREFIXES[name]}OpenEnded_mscoco_{subset}_questions.json", "questions.json", name)
    answered = find(folder, f"{PREFIXES[name]}mscoco_{subset}_annotations.json", "annotations.json", name)
    questions = read_files(asked, answered, subset, version=name[-1])
    if split != "test":
        questions = [q for q in questions if held_out(q.image) == (split == "validation")]
    return VQAPhotos(name, split, tuple(questions), folder)


def find(folder: Path, official: str, plain: str, name: str) -> Path:
    """The file under its official name, or else under the plain one."""
    for candidate in (official, plain):
        for place in FOLDERS:
            if (folder / place / candidate).is_file():
                return folder / place / candidate
    other = official.replace("OpenEnded", "MultipleChoice")
    if other != official and (folder / other).is_file():
        raise DataError(f"{folder / other} holds multiple-choice questions; the open-ended ones are needed: {official}")
    raise DataError(
        f"neither {official} nor {plain} is in {folder}; unpack the official archives there, "
        f"or let `python -m qgc fetch {name}` do it{packed_beside(folder / official)}"
    )


def read_files(
    questions: Path, annotations: Path | None, subset: str | None = None, version: str | None = None
) -> list[Question]:
    """The questions of a pair of files, in the order of the first.

    Parameters
    ----------
    questions : an official file of open-ended questions.
    annotations : the official file with people's answers to just these; ``None`` where they are withheld.
    subset : "train2014", "val2014", …, if the files must be of that part.
    version : "1" or "2", if the files must be of that version.

    Raises
    ------
    DataError
        If a file is missing, damaged, of another kind, part or version, or the two do not fit together.
    """
    content = read(questions, "questions", question_of())
    check_kind(questions, content, subset, version)
    asked, answers = by_number(questions, content["questions"]), None
    if annotations is not None:
        answered = read(annotations, "annotations", annotation_of())
        check_kind(annotations, answered, content["data_subtype"], version)
        answers = by_number(annotations, answered["annotations"])
        check_pair(questions, asked.keys(), annotations, answers.keys())
    return list(joined(content, answers, questions))


def joined(content: dict, answers: dict | None, path: Path) -> Iterator[Question]:
    """Yield each question with its answers."""
    names: dict[int, str] = {}
    for number, image, text in content["questions"]:
        name = names.setdefault(image, f"COCO_{content['data_subtype']}_{image:012d}")
        if answers is None:
            yield Question(number, name, text, ())
            continue
        _, annotated, kind, ten = answers[number]
        if annotated not in (image, None):  # some files leave it out
            raise DataError(
                f"question {number} is about image {image} in {path.name}, but about image {annotated} in its "
                "annotations; the two files are not of one release"
            )
        yield Question(number, name, text, ten, kind)


# -- one file -------------------------------------------------------------------------------------
def read(path: Path, key: str, entry_of: Callable[[dict], object]) -> dict:
    """A JSON file's content; the entries of ``key`` are made compact by ``entry_of`` while it is read.

    A dictionary for each of 4.4 million answers would take gigabytes; they never exist together.
    """
    content = read_json(path, "VQA's JSON", "fetch VQA's official files", entry_of)
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        keys = " and ".join(sorted(set(content) & {"questions", "annotations"})) if isinstance(content, dict) else ""
        raise DataError(f"{path} holds {keys or 'nothing of VQA'}, not {key}; give VQA's official file of {key}")
    faulty = next((i for i, entry in enumerate(content[key]) if not isinstance(entry, tuple)), None)
    if faulty is not None:
        raise DataError(f"{path}: entry {faulty} of {key} is not as in VQA's official files; fetch the file again")
    return content


def question_of() -> Callable[[dict], object]:
    """A hook for the JSON reader that makes (number, image, text) of each question."""

    def entry(fields: dict) -> object:
        match fields:
            case {"question_id": number, "image_id": image, "question": str(text)}:
                if is_count(number) and is_count(image):
                    return number, image, text
        return fields

    return entry


def annotation_of() -> Callable[[dict], object]:
    """A hook that makes (question, image, kind, answers) of each annotation; equal answers share one object."""
    shared: dict = {}

    def entry(fields: dict) -> object:
        answer = fields.get("answer")
        if type(answer) is str:  # 4.4 million times: a `match` takes twice as long
            return shared.setdefault(answer, answer)
        match fields:
            case {"question_id": number, "answers": [*people]}:
                ten, kind, image = tuple(people), fields.get("answer_type", ""), fields.get("image_id")
                known = is_count(number) and (image is None or is_count(image)) and type(kind) is str
                if known and len(ten) == PEOPLE and all(type(answer) is str for answer in ten):
                    return number, image, shared.setdefault(kind, kind), shared.setdefault(ten, ten)
        return fields

    return entry


def check_kind(path: Path, content: dict, subset: str | None, version: str | None) -> None:
    """Raise unless a file is about COCO's photographs, open-ended, and of the part and the version that are wanted."""
    kind, task, part = (content.get(key, "") for key in ("data_type", "task_type", "data_subtype"))
    if not all(isinstance(value, str) for value in (kind, task, part)) or not PART.fullmatch(part or "-"):
        raise DataError(f"{path}: its data_type, task_type or data_subtype is not as in VQA's files; fetch it again")
    if kind != "mscoco" or not part:
        raise DataError(
            f"{path} is about {kind[:80] or 'unnamed'} images, not COCO's photographs; take the mscoco files"
        )
    if task not in ("Open-Ended", ""):
        raise DataError(f"{path} holds {task[:80]} questions; take the OpenEnded file")
    if subset and part != subset:
        raise DataError(f"{path} is of {part[:80]}, but {subset} is needed")
    info = content.get("info")
    stated = info.get("version") if isinstance(info, dict) else None  # optional
    if version and isinstance(stated, str) and stated and not stated.startswith(version):
        raise DataError(
            f"{path} is of VQA version {stated[:80]}, but version {version} is needed; is it vqa{stated[0]}?"
        )


def by_number(path: Path, entries: list[tuple]) -> dict[int, tuple]:
    """Questions or annotations by the question's number."""
    numbered = {entry[0]: entry for entry in entries}
    if len(numbered) != len(entries):
        raise DataError(f"{path} has {len(entries) - len(numbered)} questions more than once; fetch it again")
    return numbered


def check_pair(asked: Path, questions: Set[int], answered: Path, annotations: Set[int]) -> None:
    """Raise unless every question has its annotation, and the other way round."""
    for lacking, there, path in (
        (questions - annotations, "annotation", answered),
        (annotations - questions, "question", asked),
    ):
        if lacking:
            some = ", ".join(map(str, sorted(lacking)[:FEW])) + (", …" if len(lacking) > FEW else "")
            raise DataError(
                f"{path} has no {there} for {len(lacking)} of the questions of {asked.name} and {answered.name} "
                f"({some}); take both files from one release"
            )
