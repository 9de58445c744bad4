"""DAQUAR: every question keeps its words and loses its photograph's name."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from qgc import data
from qgc.data import answers, daquar
from qgc.data.questions import held_out
from qgc.errors import DataError

RAW = [
    ("what is on the desk in the image3 ?", "what is on the desk ?"),
    ("what is the largest brown objects in this image3 ?", "what is the largest brown objects ?"),
    ("how many blue towels are there in image688 ?", "how many blue towels are there ?"),
    ("how many doors on the image29 ?", "how many doors ?"),
    ("how many lights are on in the image22 ?", "how many lights are on ?"),
    ("what is on the table image108 ?", "what is on the table ?"),
    ("what is to the right of the image490 ?", "what is to the right of the image ?"),
    (
        "what is kept on top of the storage rack in the front side of image1045 ?",
        "what is kept on top of the storage rack in the front side of image ?",
    ),
    ("what is in front of the of the image491 ?", "what is in front of the of the image ?"),
    ("what is the all in the image155 made of in the image155 ?", "what is the all made of ?"),
    ("what is to the left of the image168 in the image168 ?", "what is to the left of the image ?"),
    (
        "what is the image1400 in the mirror reflection in the image1400 ?",
        "what is the image in the mirror reflection ?",
    ),
]


@pytest.mark.parametrize(("asked", "text"), RAW)
def test_only_what_names_the_photograph_goes(asked, text):
    assert daquar.without_image(asked) == text


@pytest.mark.parametrize(
    ("answer", "one"),
    [
        ("book, scissor", "book, scissor"),
        ("scissor,book", "book, scissor"),
        (" Scissor ,  book ,book", "book, scissor"),
        ("tape_dispenser", "tape_dispenser"),
        ("garbage  bin", "garbage bin"),
    ],
)
def test_an_answer_of_several_things_is_a_set(answer, one):
    assert answers.as_set(answer) == one


def test_the_splits_of_a_small_set(daquar_folder):
    parts = {split: data.load("daquar", daquar_folder, split) for split in data.SPLITS}
    assert parts["test"].images == ("image1", "image2")
    assert [q.text for q in parts["test"].questions] == ["what is behind the table ?", "what color is the sofa ?"]
    asked = sorted(parts["train"].questions + parts["validation"].questions, key=lambda q: q.id)
    assert [(q.id, q.image, q.answers) for q in asked] == [
        (0, "image3", ("book, papers, scissor",)),
        (1, "image4", ("bed",)),
        (2, "image4", ("2",)),
    ]
    assert {q.image for q in parts["validation"].questions} == {i for i in ("image3", "image4") if held_out(i)}


def test_an_answer_is_right_or_wrong(daquar_folder):
    photos = data.load("daquar", daquar_folder, "train")
    question = photos.questions[0]
    given = ("papers, book, scissor", "book,scissor,papers,book", "book", "book, scissor, papers, pen", "")
    assert [photos.score(question, a) for a in given] == [1, 1, 0, 0, 0]


def test_a_photograph_is_found_by_its_name(daquar_folder):
    photos = data.load("daquar", daquar_folder, "train")
    assert photos.image_path("image3").name == "image3.png" and photos.image_path("image4").name == "image4.jpg"
    (daquar_folder / "images").rename(daquar_folder / "nyu_depth_images")
    assert photos.image_path("image3").parent.name == "nyu_depth_images"
    with pytest.raises(DataError, match="photograph image5 is absent .*nyu_depth_images.*; fetch the images"):
        photos.image_path("image5")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("qa.894.raw.train.txt", None, r"qa.894.raw.train.txt is missing; `python -m qgc fetch daquar`"),
        ("train_images_list.txt", None, r"train_images_list.txt is missing"),
        (
            "qa.894.raw.train.txt",
            "what is it in the image3 ?\nbed\nwhat is in the image3 ?\n",
            "3 lines, an odd number",
        ),
        ("qa.894.raw.train.txt", "what is on the desk ?\nbed\n", "line 1: .* names no photograph"),
        (
            "qa.894.raw.train.txt",
            "what is it in the image3 ?\nbed\nis image3 image4 ?\nno\n",
            "line 3: .* names 2 photo",
        ),
        ("qa.894.raw.train.txt", "what is it in the image1 ?\nbed\n", "image1 is not in the list of this split"),
        ("qa.894.raw.train.txt", "what is it in the image3 ?\n , \n\nbed\n", "line 1: .* has no answer"),
        ("qa.894.raw.train.txt", "\n\nwhat is it in the image3 ?\nbed\n", "line 1: the question '' has no answer"),
        ("qa.894.raw.train.txt", b"\x89PNG\xff\xfe", "is not a text file"),
        ("qa.894.raw.train.txt", "", "has no question"),
    ],
)
def test_bad_files_are_named(daquar_folder, name, content, says):
    (daquar_folder / name).unlink()
    if content is not None:
        (daquar_folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=says):
        data.load("daquar", daquar_folder, "train")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("coco", ".", "train"), "no data set 'coco'; choose one of daquar, vqa1, vqa2, rooms-0"),
        (("daquar", ".", "val"), "no split 'val'; choose one of train, validation, test"),
        (("daquar", "nowhere", "train"), "no folder 'nowhere'; give the one that holds the files of daquar"),
    ],
)
def test_bad_arguments_are_named(arguments, says):
    with pytest.raises(DataError, match=says):
        data.load(*arguments)


def test_the_real_daquar_is_whole(real):
    parts = {split: data.load("daquar", real / "daquar", split) for split in data.SPLITS}
    train, validation, test = (parts[split] for split in data.SPLITS)
    assert len(train.questions) + len(validation.questions) == 6795 and len(test.questions) == 5673
    assert len(train.images) + len(validation.images) == 794 and len(test.images) == 653
    assert not set(train.images) & set(validation.images) and not set(test.images) & set(train.images)
    assert 0.08 < len(validation.images) / 794 < 0.12
    paths = {parts[split].image_path(image) for split in data.SPLITS for image in parts[split].images}
    listed = [(real / "daquar" / f"{part}_images_list.txt").read_text().split() for part in ("train", "test")]
    photographs = {test.image_path(image) for names in listed for image in names}
    assert len(paths) == 1447 and paths < photographs and len(photographs) == 1449  # two are asked nothing


def test_no_real_question_loses_a_word(real):
    gone = Counter()
    for part in ("train", "test"):
        for asked in (real / "daquar" / f"qa.894.raw.{part}.txt").read_text().splitlines()[::2]:
            text = daquar.without_image(asked)
            assert not re.search(r"image ?\d", text) and text.startswith(asked.split()[0]) and text.endswith("?")
            # what is left is the question with words taken out, in its order
            words = iter(re.sub(r"\bimage\d+", "image", asked).split())
            assert all(word in words for word in text.split()), asked
            lost = Counter(re.sub(r"\d+", "", asked).split()) - Counter(text.split())
            gone[tuple(sorted(lost.elements()))] += 1
    assert gone == {
        ("image", "in", "the"): 12163,  # twelve of them name it a second time as a noun
        (): 275,
        ("image",): 2,
        ("image", "on", "the"): 11,
        ("image", "image", "in", "in", "the", "the"): 9,
        ("image", "in"): 6,
        ("image", "in", "this"): 2,
    }
