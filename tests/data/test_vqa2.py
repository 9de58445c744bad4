"""VQA v1 and v2 from official files, small and real; and what is said when they do not fit."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from PIL import Image

from qgc import data
from qgc.data import vqa2
from qgc.data.answers import vocabulary
from qgc.data.questions import held_out
from qgc.errors import DataError

QUESTIONS = "v2_OpenEnded_mscoco_train2014_questions.json"
ANNOTATIONS = "v2_mscoco_train2014_annotations.json"


def edit(path, change):
    """Rewrite a JSON file after ``change`` has been made to its content."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_the_splits_of_a_small_set(vqa_folder):
    train, validation, test = (data.load("vqa2", vqa_folder, split) for split in data.SPLITS)
    assert len(train.questions) + len(validation.questions) == 80 == len(test.questions)
    assert validation.images and all(held_out(image) for image in validation.images)
    assert not set(train.images) & set(validation.images)
    assert train.images[0].startswith("COCO_train2014_0000000000") and test.images[0] == "COCO_val2014_000000000001"
    first, second = test.questions[:2]
    assert (first.id, first.text, first.kind, first.answer) == (10, "Is it red?", "yes/no", "yes")
    assert Counter(first.answers) == {"yes": 7, "no": 3}
    assert [test.score(first, a) for a in ("yes", "No.", "maybe")] == [1.0, pytest.approx(0.9), 0.0]
    assert (second.id, second.kind, test.score(second, "2"), test.score(second, "two")) == (11, "number", 1.0, 0.0)
    assert vocabulary(train.questions, 5) == ["2", "yes"]


@pytest.mark.parametrize(
    ("name", "version", "asked", "answered"),
    [
        ("vqa1", "1.0", "OpenEnded_mscoco_train2014_questions.json", "mscoco_train2014_annotations.json"),
        ("vqa1", "1.0", "Questions/OpenEnded_mscoco_train2014_questions.json", "Annotations/annotations.json"),
        ("vqa2", "2.0", "questions.json", "annotations.json"),
        ("vqa2", "2.0", f"Questions/{QUESTIONS}", f"Annotations/{ANNOTATIONS}"),
    ],
)
def test_other_names_and_folders(tmp_path, write_vqa, name, version, asked, answered):
    write_vqa(tmp_path, asked, answered, version=version)
    photos = [data.load(name, tmp_path, split) for split in ("train", "validation")]
    assert sum(len(p.questions) for p in photos) == 80 and photos[0].name == name
    with pytest.raises(DataError, match="val2014"):
        data.load(name, tmp_path, "test")


@pytest.mark.parametrize("folder", ["train2014", "images", "images/train2014", "Images/mscoco/train2014", "."])
def test_a_photograph_is_found_by_its_number(vqa_folder, folder):
    photos = data.load("vqa2", vqa_folder, "train")
    (vqa_folder / folder).mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(vqa_folder / folder / f"{photos.images[0]}.jpg")
    assert photos.image_path(photos.images[0]).parent == vqa_folder / folder
    for absent in (photos.images[1], "image3", ""):
        with pytest.raises(DataError, match=rf"photograph {absent} is absent .*; fetch the images"):
            photos.image_path(absent)


def test_annotations_may_be_withheld(vqa_folder):
    questions = vqa2.read_files(vqa_folder / QUESTIONS, None)
    assert len(questions) == 80 and {q.answers for q in questions} == {()} and {q.kind for q in questions} == {""}


def test_equal_answers_are_kept_once(vqa_folder):
    questions = data.load("vqa2", vqa_folder, "test").questions
    assert questions[0].answers is questions[2].answers and questions[0].kind is questions[2].kind


def drop_last(key):
    return lambda content: content[key].pop()


def put(**values):
    return lambda content: content.update(values)


def in_first(key, **values):
    return lambda content: content[key][0].update(values)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        (
            ANNOTATIONS,
            drop_last("annotations"),
            r"annotations.json has no annotation for 1 of the questions .* \(401\)",
        ),
        (QUESTIONS, drop_last("questions"), r"questions.json has no question for 1 of the questions .* \(401\)"),
        (ANNOTATIONS, in_first("annotations", question_id=7), r"has no annotation for 1 of the questions .* \(10\)"),
        (ANNOTATIONS, in_first("annotations", question_id=11), "has 1 questions more than once"),
        (QUESTIONS, in_first("questions", question_id=11), "has 1 questions more than once"),
        (
            ANNOTATIONS,
            in_first("annotations", image_id=9),
            "question 10 is about image 1 in .* about image 9 in its ann",
        ),
        (ANNOTATIONS, in_first("annotations", answers=[]), "entry 0 of annotations is not as in VQA's official files"),
        (ANNOTATIONS, in_first("annotations", answers="yes"), "entry 0 of annotations is not as in"),
        (ANNOTATIONS, in_first("annotations", answers=[{"answer": 1}] * 10), "entry 0 of annotations is not as in"),
        (QUESTIONS, in_first("questions", question=None), "entry 0 of questions is not as in VQA's official files"),
        (QUESTIONS, in_first("questions", image_id="1"), "entry 0 of questions is not as in"),
        *((QUESTIONS, in_first("questions", question_id=i), "entry 0 of questions") for i in (True, -1, 2.0, 10**30)),
        *((QUESTIONS, in_first("questions", image_id=i), "entry 0 of questions") for i in (True, -1, 2.0, None)),
        *((ANNOTATIONS, in_first("annotations", question_id=i), "entry 0 of annot") for i in (True, -1, 2.0, None)),
        *((ANNOTATIONS, in_first("annotations", image_id=i), "entry 0 of annotations") for i in (True, -1, 1.0, "1")),
        (ANNOTATIONS, in_first("annotations", answer_type=3), "entry 0 of annotations is not as in"),
        (QUESTIONS, put(data_subtype="val2014"), "is of val2014, but train2014 is needed"),
        (ANNOTATIONS, put(data_subtype="val2014"), "annotations.json is of val2014, but train2014 is needed"),
        (QUESTIONS, put(data_type="abstract_v002"), "is about abstract_v002 images, not COCO's photographs"),
        (QUESTIONS, put(task_type="Multiple-Choice"), "holds Multiple-Choice questions; take the OpenEnded file"),
        (QUESTIONS, put(info={"version": "1.0"}), "is of VQA version 1.0, but version 2 is needed; is it vqa1?"),
        (QUESTIONS, put(questions=None), "holds questions, not questions|holds nothing of VQA"),
    ],
)
def test_files_that_do_not_fit_are_named(vqa_folder, name, change, says):
    edit(vqa_folder / name, change)
    with pytest.raises(DataError, match=says):
        data.load("vqa2", vqa_folder, "train")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (QUESTIONS, None, rf"neither {QUESTIONS} nor questions.json is in .* `python -m qgc fetch vqa2`"),
        (ANNOTATIONS, None, rf"neither {ANNOTATIONS} nor annotations.json is in"),
        (QUESTIONS, b"", "is not whole JSON .* at character 0"),
        (QUESTIONS, b"<!DOCTYPE html>", "is not whole JSON .* at character 0"),
        (QUESTIONS, b"PK\x03\x04\xff\xfe", "is not VQA's JSON; it is an archive, unpack it"),
        (QUESTIONS, b"\xff\xd8\xff\xe0", "is not VQA's JSON; fetch VQA's official files"),
        (QUESTIONS, b"[1, 2]", "holds nothing of VQA, not questions; give VQA's official file of questions"),
        (QUESTIONS, b'{"annotations": []}', "holds annotations, not questions"),
        (ANNOTATIONS, b'{"questions": []}', "holds questions, not annotations"),
    ],
)
def test_files_of_another_kind_are_named(vqa_folder, name, content, says):
    (vqa_folder / name).unlink()
    if content is not None:
        (vqa_folder / name).write_bytes(content)
    with pytest.raises(DataError, match=says):
        data.load("vqa2", vqa_folder, "train")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_named(vqa_folder, share):
    whole = (vqa_folder / ANNOTATIONS).read_bytes()
    (vqa_folder / ANNOTATIONS).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match=f"{ANNOTATIONS} is not whole JSON .*; is it cut off"):
        data.load("vqa2", vqa_folder, "train")


def test_multiple_choice_is_not_taken_for_open_ended(vqa_folder):
    asked = vqa_folder / QUESTIONS
    asked.rename(asked.with_name(QUESTIONS.replace("OpenEnded", "MultipleChoice")))
    with pytest.raises(
        DataError, match=f"holds multiple-choice questions; the open-ended ones are needed: {QUESTIONS}"
    ):
        data.load("vqa2", vqa_folder, "train")


def test_the_real_questions_and_how_far_people_agree(real):
    parts = [data.load("vqa2", real / "vqa2", split) for split in ("train", "validation")]
    asked = [q for p in parts for q in p.questions]
    assert len(asked) == 8977 and all(len(q.answers) == 10 for q in asked)
    assert Counter(q.kind for q in asked) == {"other": 3082, "number": 2948, "yes/no": 2947}
    assert 0.08 < len(parts[1].images) / sum(len(p.images) for p in parts) < 0.12
    official = json.loads((real / "vqa2" / "annotations.json").read_text())["annotations"]
    choice = {a["question_id"]: a["multiple_choice_answer"] for a in official}
    commonest = {q.id: q.answers.count(q.answer) for q in asked}
    assert all(q.answers.count(choice[q.id]) == commonest[q.id] for q in asked)  # theirs is one of the commonest

    score = parts[0].score
    by_kind = {}
    for kind in ("yes/no", "number", "other"):
        few = [q for q in asked if q.kind == kind]
        best = sum(score(q, q.answer) for q in few) / len(few)
        people = sum(score(q, a) for q in few for a in q.answers) / (10 * len(few))
        by_kind[kind] = best
        print(f"{kind}: the commonest answer scores {best:.4f}, a person's own {people:.4f}, of {len(few)} questions")
        assert people < best
    assert by_kind["yes/no"] > by_kind["number"] > by_kind["other"] > 0.9
    known = vocabulary(asked, 1000)
    print(
        f"the 1000 commonest answers hold {sum(q.answer in known for q in asked) / len(asked):.1%}; first {known[:8]}"
    )
    assert set(known[:2]) == {"yes", "no"} and len(set(known)) == 1000


def test_the_real_fixture_of_three_questions(real):
    folder = real / "vqa2"
    questions = vqa2.read_files(folder / "fixture_questions.json", folder / "fixture_annotations.json", "train2014")
    photos = vqa2.VQAPhotos("vqa2", "train", tuple(questions), folder)
    assert photos.image_path(photos.images[0]).name == "COCO_train2014_000000458752.jpg" and len(photos.images) == 1
    assert [q.answer for q in questions] == ["net", "pitcher", "orange"]
    # net 6, netting, mesh, pitcher, orange one each; pitcher 9, catcher one; orange ten
    given = ("net", "mesh"), ("pitcher", "catcher"), ("orange", "Orange")
    scores = [[photos.score(q, a) for a in pair] for q, pair in zip(questions, given, strict=True)]
    assert scores == [[1.0, 0.3], [1.0, 0.3], [1.0, 0.0]]
