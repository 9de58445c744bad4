"""Text files as they come from other systems, and what is said when a file is not one."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from qgc import data
from qgc.data.checks import read_text
from qgc.errors import DataError, FetchError, QGCError, WeightsError
from qgc.lab.fetch.chosen import images_of, places
from qgc.lab.fetch.sources import COLLECTIONS
from qgc.lab.fetch.unpack import unpack
from qgc.lab.published.deeper_lstm import read_prepro
from qgc.lab.published.pythia import read_lines
from qgc.lab.train.word_vectors import read_vectors
from qgc.models import load, weights_file

QUESTIONS = "v2_OpenEnded_mscoco_train2014_questions.json"
PREPRO = {"ix_to_word": {"1": "café", "2": "sofa"}, "ix_to_ans": {"1": "yes"}}
SYSTEMS = {
    "mark": lambda text: b"\xef\xbb\xbf" + text.encode(),
    "Windows": lambda text: text.replace("\n", "\r\n").encode(),
    "both": lambda text: b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode(),
}


def rewritten(path: Path, system: str) -> None:
    """Write a file again as another system's editor does."""
    path.write_bytes(SYSTEMS[system](path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("system", SYSTEMS)
def test_questions_are_the_same_from_any_system(vqa_folder, daquar_folder, system):
    before = [data.load(name, vqa_folder, "test").questions for name in ("vqa2", "daquar")]
    for path in (*vqa_folder.glob("*.json"), *vqa_folder.glob("*.txt")):
        rewritten(path, system)
    assert [data.load(name, vqa_folder, "test").questions for name in ("vqa2", "daquar")] == before
    assert images_of(daquar_folder / "qa.894.raw.test.txt") == ["1", "2"]
    assert images_of(vqa_folder / QUESTIONS)[0] == "COCO_train2014_000000000001.jpg"


@pytest.mark.parametrize("system", SYSTEMS)
def test_vocabularies_and_vectors_are_the_same_from_any_system(tmp_path, system):
    path = tmp_path / "file"
    path.write_bytes(SYSTEMS[system]("<unk>\ncafé\nsofa\n"))
    assert read_lines(path) == ["<unk>", "café", "sofa"]
    path.write_bytes(SYSTEMS[system](json.dumps(PREPRO, indent=1, ensure_ascii=False)))
    assert read_prepro(path) == (["café", "sofa"], ["yes"])
    path.write_bytes(SYSTEMS[system]("sofa 1 2\ncafé 3 4\n"))
    assert {word: v.tolist() for word, v in read_vectors(path, ["sofa", "café"], 2).items()} == {
        "sofa": [1, 2],
        "café": [3, 4],
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "is missing; do this"),
        ("a, b".encode("utf-16"), "is not a list; it is in UTF-16, save it as UTF-8"),
        (b"caf\xe9", "is not a list; do this"),
        (b"PK\x03\x04", "is an archive, unpack it"),
        (b"\x1f\x8b\x08", "is an archive, unpack it"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, content, says):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_text(path, "a list", "do this")
    with pytest.raises(FetchError, match="missing|archive|UTF-16|not a text"):
        images_of(path)


def test_what_is_no_file_is_named(tmp_path):
    for path in (tmp_path, "/dev/null"):
        with pytest.raises(DataError, match="is a folder or a device, not a list; do this"):
            read_text(path, "a list", "do this")


@pytest.mark.parametrize(
    "opening",
    [
        lambda address: read_text(Path(address), "a list", "do this"),
        lambda address: data.load("vqa2", address, "train"),
        lambda address: data.load("daquar", Path(address), "train"),
        images_of,
        read_lines,
        weights_file.read,
        load,
        lambda address: read_vectors(Path(address), ["sofa"], 2),
    ],
)
def test_an_address_is_no_file(opening):
    with pytest.raises(QGCError, match=r"https:/.*/train.json is an address; download the file and give its path"):
        opening("https://example.org/train.json")


@pytest.mark.parametrize("name", ["train2014/train2014.zip", "photos.tar.gz"])
def test_an_archive_that_was_not_unpacked_is_named(vqa_folder, name):
    place = vqa_folder / name
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"PK\x03\x04")
    photos = data.load("vqa2", vqa_folder, "train")
    with pytest.raises(DataError, match=rf"is absent .*; fetch the images, or unpack {place}"):
        photos.image_path(photos.images[0])
    with pytest.raises(DataError, match=rf"{place} is a file; if it is an archive unpack it"):
        data.load("vqa2", place, "train")


def test_a_data_set_that_was_not_unpacked_is_named(tmp_path):
    place = tmp_path / "v2_Questions_Train_mscoco.zip"
    place.write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match=rf"fetch vqa2` do it, or unpack {place}"):
        data.load("vqa2", tmp_path, "train")
    with pytest.raises(DataError, match=rf"is missing; .*, or unpack {place}"):
        data.load("daquar", tmp_path, "train")


@pytest.mark.parametrize(
    "place",
    [
        "train2014/COCO_train2014_{:012d}.JPG",
        "train2014/COCO_train2014_{:012d}.jpeg",
        "train2017/{:012d}.jpg",
        "val2017/{:012d}.jpg",
        "images/{:012d}.jpg",
        "{:012d}.JPG",
    ],
)
def test_a_photograph_is_found_under_its_other_names(vqa_folder, place):
    photos = data.load("vqa2", vqa_folder, "train")
    image = photos.images[0]
    path = vqa_folder / place.format(int(image[-12:]))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(path)
    assert photos.image_path(image) == path


@pytest.mark.parametrize("name", ["9", "000000000009", "000000000009.jpg", "9.JPG"])
def test_a_photograph_is_asked_for_by_any_of_its_names(name):
    photographs = [source for source in COLLECTIONS["vqa2"].files if source.photographs]
    assert places(name, photographs)[0][1] == "COCO_train2014_000000000009.jpg"


@pytest.mark.parametrize("ending", [".JPG", ".PNG", ".jpeg"])
def test_daquars_photographs_may_have_other_endings(daquar_folder, ending):
    photos = data.load("daquar", daquar_folder, "test")
    (daquar_folder / "images" / "image1.jpg").rename(daquar_folder / "images" / f"image1{ending}")
    assert photos.image_path("image1").suffix == ending


@pytest.mark.parametrize(
    "change",
    [
        {"info": True}, {"info": "yes\0"}, {"info": ["1"]}, {"info": None},  # it is not needed
        {"data_subtype": 3}, {"data_subtype": ["train2014"]}, {"data_subtype": "../../etc"}, {"data_type": {}},
        {"task_type": 7}, {"data_subtype": ""},
    ],
    ids=repr,
)  # fmt: skip
def test_heads_of_any_kind_are_read_or_named(vqa_folder, change):
    path = vqa_folder / QUESTIONS
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | change), encoding="utf-8")
    if "info" in change:
        assert data.load("vqa2", vqa_folder, "train").questions
        return
    with pytest.raises(DataError, match="not as in VQA's files|not COCO's photographs"):
        data.load("vqa2", vqa_folder, "train")


@pytest.mark.parametrize("text", ['{"a":' * 99_999, "9" * 5000, '{"questions": ' + "1" * 5000 + "}"], ids=range(3))
def test_json_that_python_cannot_hold_is_named(vqa_folder, text):
    (vqa_folder / QUESTIONS).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="is not VQA's JSON|not whole JSON") as caught:
        data.load("vqa2", vqa_folder, "train")
    assert len(str(caught.value)) < 400
    (vqa_folder / "asked").write_text('{"questions": [{"image_id": 1e999}]}', encoding="utf-8")
    for path in (vqa_folder / "asked", *([vqa_folder / QUESTIONS] if text.startswith("{") else [])):
        with pytest.raises(FetchError, match="is not VQA's JSON|is not whole JSON"):
            images_of(path)


@pytest.mark.parametrize(
    "content",
    [{"questions": [{"image_id": i}]} for i in (True, -1, 3.5, "3", None, [])]
    + [{"questions": [3]}, {"questions": {"a": 1}}, {"data_subtype": "../..", "questions": [{"image_id": 3}]},
       {"data_subtype": 3, "questions": [{"image_id": 3}]}],
    ids=str,
)  # fmt: skip
def test_photographs_that_no_number_names(tmp_path, content):
    (tmp_path / "asked").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(FetchError, match="is not a file of VQA's questions or annotations"):
        images_of(tmp_path / "asked")


@pytest.mark.parametrize("name", ["COCO_train2014_/../../evil.jpg", "COCO_train2014_\\a.jpg", "COCO_train2014_a\0.jpg",
                                  "COCO_train2014_" + "9" * 5000 + ".jpg"], ids=range(4))  # fmt: skip
def test_a_photograph_has_a_plain_name(name):
    """It becomes a part of an address and of a path."""
    assert places(name, [source for source in COLLECTIONS["vqa2"].files if source.photographs]) == []


@pytest.mark.parametrize("value", ["x" * 10**6, 10**5000, None, [], b"train", "dev", "\0"], ids=range(7))
def test_data_sets_splits_and_folders_of_any_kind(daquar_folder, value):
    given = ("daquar", daquar_folder, "test")
    for place in range(3):
        with pytest.raises(DataError) as caught:
            data.load(*[value if i == place else each for i, each in enumerate(given)])
        assert len(str(caught.value)) < 500
    with pytest.raises(DataError, match="there is no split"):
        data.daquar.load(daquar_folder, value)
    photos = data.load(*given)
    if isinstance(value, str):
        with pytest.raises(DataError, match="is absent"):
            photos.image_path(value)


@pytest.mark.parametrize(
    "text", ["a\n", "one line\n", "x" * 10**6 + "\na\n", "what is in image1 ?\n\n\nb\n"], ids=range(4)
)
def test_lines_that_are_no_pairs_of_question_and_answer(daquar_folder, text):
    (daquar_folder / "qa.894.raw.test.txt").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="odd number|names no photograph|has no answer") as caught:
        data.load("daquar", daquar_folder, "test")
    assert len(str(caught.value)) < 500


def test_a_vocabulary_in_another_encoding_is_named(tmp_path):
    (tmp_path / "words").write_bytes("sofa\ncafé\n".encode("latin-1"))
    with pytest.raises(WeightsError, match="is not a text; give the vocabulary that came with the weights"):
        read_lines(tmp_path / "words")


def test_a_file_of_an_archive_may_have_any_name(tmp_path):
    files = {"a.jpg.half": b"half", "a.jpg": b"whole", "tmp.half": b"!"}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    unpack(tmp_path / "a.zip", lambda name: True, "into", tmp_path, tmp_path / "tmp", 100, lambda path, name: None)
    assert {p.name: p.read_bytes() for p in (tmp_path / "into").iterdir()} == files
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "into"]


def test_weights_under_numbers_are_no_weights(tmp_path):
    torch.save({0: torch.zeros(2)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds no state dict"):
        weights_file.read(tmp_path / "a.pth")
