"""Rooms: the answers are those of the masks' pixels, no room is in two folds, recolouring changes what it should."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from PIL import Image
from rooms_writer import write_room, write_rooms

from qgc import data
from qgc.data import colours, rooms, rooms_counts
from qgc.data.colours import COLOURS
from qgc.errors import DataError
from qgc.lab.protocol.grounding import chosen_pairs
from qgc.measure import rank_grounding


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("rooms")
    write_rooms(place)
    rooms.make(place, workers=1)
    return place


@pytest.fixture
def room(folder):
    return rooms.photograph(folder, 1)


# CIE's own values of sRGB's corners, as published tables round them
@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((255, 255, 255), (100, 0, 0)), ((0, 0, 0), (0, 0, 0)), ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)), ((0, 0, 255), (32.30, 79.19, -107.86)), ((119, 119, 119), (50.03, 0, 0)),
    ],
)  # fmt: skip
def test_lab_is_that_of_published_tables(rgb, lab):
    np.testing.assert_allclose(colours.to_lab(rgb), lab, atol=0.02)


def test_lab_and_back_is_the_same_color():
    every = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), -1).astype(np.uint8)
    assert (colours.to_rgb(colours.to_lab(every)) == every).all()


@pytest.mark.parametrize("term", COLOURS)
def test_every_center_has_its_own_term(term):
    found = colours.terms(colours.to_lab(colours.CENTRES[term]))
    assert (found == COLOURS.index(term)).all()


@pytest.mark.parametrize("rgb", colours.BETWEEN)
def test_what_is_between_has_none(rgb):
    assert colours.terms(colours.to_lab([rgb])) == colours.NO_TERM


def test_the_answers_are_those_of_the_pixels(room):
    assert room.colours == {"bed": "black", "floor": "brown", "sofa": "black", "wall": "white"}
    assert room.tones == {"floor": "brown", "wall": "white"}
    asked = {ask.question: ask for ask in room.asks}
    assert asked["What color is the wall?"][1:] == ("white", "wall", "colour")
    there = {ask.question: ask.answer for ask in room.asks if ask.family == "existence"}
    assert there["Is there a sofa?"] == there["Is there a bed?"] == "yes" and list(there.values()).count("no") == 2
    for ask in room.asks:
        if ask.family == "check":
            said = ask.question.removesuffix("?").split()[-1]
            assert (ask.answer == "yes") == (said == room.colours[ask.thing])


def test_labels_lie_on_the_photograph_where_nyu_crops_it(room):
    """What has an object's color is in its mask; uncropped labels are off by three rows."""
    found = colours.terms(room.lab)
    for name, colour in {"wall": "white", "floor": "brown"}.items():
        of_colour = found == COLOURS.index(colour)
        assert (of_colour & room.masks[name]).sum() > 0.93 * max(of_colour.sum(), room.masks[name].sum())


def test_a_mixed_object_and_a_small_one_are_not_asked_about(room):
    pixels = np.asarray(room.image).copy()
    rows, columns = np.nonzero(room.masks["sofa"])
    pixels[rows[::2], columns[::2]] = colours.CENTRES["red"][0]
    labels = np.where(room.masks["bed"] & (np.arange(96) > 50), 0, room.labels)
    mixed = replace(room, image=Image.fromarray(pixels), labels=labels)
    assert "sofa" in mixed.masks and "sofa" not in mixed.colours and "bed" not in mixed.masks
    assert not any(ask.thing == "bed" or "a bed" in ask.question for ask in mixed.asks)


@pytest.mark.parametrize("colour", COLOURS)
def test_recolouring_gives_the_color_keeps_the_shading_and_the_rest(room, colour):
    shaded = np.asarray(room.image) * np.linspace(0.8, 1, 96)[:, None]
    shaded = replace(room, image=Image.fromarray(shaded.astype(np.uint8)))
    new = shaded.recolour("sofa", colour)
    assert new.colours["sofa"] == colour
    assert (np.asarray(new.image) == np.asarray(shaded.image))[~room.masks["sofa"]].all()
    inside = np.asarray(Image.fromarray(room.masks["sofa"]).resize((48, 36)).resize((96, 73))) & room.masks["sofa"]
    before, after = (r.lab[inside][:, 0] for r in (shaded.recolour("sofa", "gray"), new))
    assert colour in ("white", "black", "yellow") or np.corrcoef(before, after)[0, 1] > 0.9  # these are clipped


def test_what_cannot_be_recoloured_is_named(room):
    for name, colour in (("table", "red"), ("sofa", "beige")):
        with pytest.raises(
            DataError, match=f"'{name}' cannot be made '{colour}' here; there are bed, floor, sofa, wall"
        ):
            room.recolour(name, colour)


def test_recolourings_are_the_same_for_ever_and_two_objects_share_a_color(folder, room):
    first, again, other = room.at_random(0), room.at_random(0), room.at_random(1)
    assert (np.asarray(first.image) == np.asarray(again.image)).all() and first.colours != other.colours
    for draw in range(rooms.RECOLOURINGS):
        drawn = room.at_random(draw).colours
        assert any(drawn[a] == drawn[b] for a, b in combinations(drawn, 2))


def test_recoloured_colors_do_not_depend_on_the_class(folder):
    some = rooms.photograph(folder, 1)
    drawn = [replace(some, seed=seed).draw(0) for seed in range(1000)]
    for name in ("wall", "sofa"):
        counts = np.bincount([COLOURS.index(d[name]) for d in drawn], minlength=11)
        assert counts.min() > 60 and counts.max() < 125, (name, counts)


def test_the_folds_share_no_room_and_test_each_photograph_once(folder):
    tested = []
    for fold in range(rooms.FOLDS):
        parts = [rooms.split_numbers(folder, fold, split) for split in ("train", "validation", "test")]
        where = [{number // 20 for number in part} for part in parts]
        assert all(parts) and not any(a & b for a, b in combinations(where, 2))
        assert sorted(sum(parts, [])) == rooms.numbers(folder, "test")
        tested += parts[2]
    assert sorted(tested) == rooms.numbers(folder, "test")


def test_neighbours_stay_together():
    assert rooms.groups([1, 2, 7, 8, 14, 15, 30]) == [[1, 2, 7, 8], [14, 15], [30]]
    assert rooms.dealt([[1, 2, 3], [4], [5], [6, 7]], 2) == [[1, 2, 3], [4, 5, 6, 7]]


def test_what_was_made_is_what_the_photographs_say(folder):
    for recoloured in (False, True):
        tested = rooms.load(folder, "test", 0, recoloured)
        for image in tested.images[:4]:
            asks = [q for q in tested.questions if q.image == image]
            assert [(q.text, q.answer, q.kind) for q in asks] == [a[:2] + a[3:] for a in tested.room(image).asks]
            assert tested.image_path(image).exists()
        assert data.load(tested.name, folder, "test") == tested
    train = rooms.load(folder, "train", 0, recoloured=True)
    assert {q.image.partition("-")[2] for q in train.questions} == {f"r{i}" for i in range(rooms.RECOLOURINGS)}
    assert {q.text for q in train.questions if "sofa" in q.text} >= {w.format("sofa") for w in rooms.WORDINGS}
    assert train.score(train.questions[0], train.questions[0].answer) == 1 and train.score(train.questions[0], "") == 0


def test_what_is_there_is_not_made_again(folder):
    place = rooms.made(folder)
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*") if p.is_file()}
    lost = place / "questions" / "image1.json"
    text = lost.read_text()
    lost.unlink()
    (place / "recoloured" / "image1-r0.jpg").unlink()
    rooms.make(folder, workers=2)
    assert lost.read_text() == text and {p for p in place.rglob("*") if p.is_file()} == set(before)
    assert all(p.stat().st_mtime_ns == t for p, t in before.items() if not p.name.startswith(("image1.", "image1-")))


def test_the_training_part_is_only_learnt_from(tmp_path):
    write_rooms(tmp_path)
    write_room(tmp_path, 4, "train", wall="red")
    for fold in range(rooms.FOLDS):
        parts = {split: rooms.split_numbers(tmp_path, fold, split) for split in ("train", "validation", "test")}
        assert [split for split, part in parts.items() if 4 in part] == ["train"]
    write_room(tmp_path, 1, "train", wall="red")
    with pytest.raises(DataError, match="labels image1, which is of the test part"):
        rooms.split_numbers(tmp_path, 0, "train")


def test_statistics_count_what_is_there(folder):
    counted = rooms_counts.statistics(folder)
    natural = counted["as photographed"]
    assert natural["photographs"] == "24" and natural["objects of a clear color"] == "96"
    assert natural["pairs of the same color"] == natural["photographs with a pair"] == "24"  # the sofa and the bed
    assert float(natural["colour, from the question alone"].split()[0]) >= 50
    assert float(counted["recoloured"]["colour, from the question alone"].split()[0]) < 35
    habits = rooms_counts.colours_of_classes(folder)
    assert habits.loc["wall", "white"] == 24 and habits.to_numpy().sum() == 96


def test_the_measures_take_a_room_for_a_scene(room):
    """What they ask of a scene is there, and a perfect map scores 1."""
    (pair,) = chosen_pairs(room)
    assert pair.answer == "black" and {pair.first.thing, pair.second.thing} == {"bed", "sofa"}
    masks = np.stack([room.masks[ask.thing] for ask in (pair.first, pair.second)])
    assert rank_grounding(masks.astype(float), masks).verdict == 1


def spoil(name: str):
    def write(folder):
        label = folder / "test_labels_13" / "new_nyu_class13_0001.png"
        photo = folder / "images" / "image1.png"
        frame = np.array(Image.open(label))
        if name == "no labels":
            for path in label.parent.iterdir():
                path.unlink()
        elif name == "no photograph":
            photo.unlink()
        elif name in ("label cut off", "photograph cut off"):
            path = label if name == "label cut off" else photo
            path.write_bytes(path.read_bytes()[:90])
        elif name == "label of another size":
            Image.fromarray(frame[44:471, 40:601]).save(label)
        elif name == "label in colors":
            Image.fromarray(np.stack([frame] * 3, -1)).save(label)
        elif name == "unknown label":
            frame[100, 100] = 40
            Image.fromarray(frame).save(label)
        elif name == "photograph of another size":
            Image.open(photo).resize((96, 96)).save(photo)

    return write


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "no labels",
            r"no label file \(new_nyu_class13_0001.png\) is in .*test_labels_13; `python -m qgc fetch nyu13`",
        ),
        ("no photograph", "the photograph image1 is absent .*; fetch the images"),
        ("label cut off", r"new_nyu_class13_0001.png is damaged or cut off .*; fetch the labels again"),
        ("photograph cut off", r"image1.png is damaged or cut off .*"),
        ("label of another size", "has 561×427 pixels of mode L; a label file of NYU has 640×480 of mode L, uncropped"),
        ("label in colors", "has 640×480 pixels of mode RGB"),
        ("unknown label", "holds the label 40; there are 0 to 13; take the labels of 13 classes"),
        ("photograph of another size", "has 96×96 pixels; DAQUAR's photographs have 561×427"),
    ],
)
def test_bad_files_are_named(tmp_path, name, says):
    write_room(tmp_path, 1, wall="white", sofa="red")
    spoil(name)(tmp_path)
    with pytest.raises(DataError, match=says):
        rooms.make(tmp_path, workers=1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("tests",), "no split 'tests'; choose one of train, validation, test"),
        (("test", 3), "no fold 3; choose one of 0 to 2"),
    ],
)
def test_bad_arguments_are_named(folder, arguments, says):
    with pytest.raises(DataError, match=says):
        rooms.load(folder, *arguments)


def test_what_was_not_made_or_is_cut_off_is_said(tmp_path):
    write_rooms(tmp_path)
    with pytest.raises(DataError, match=r"image\d+.json is missing; `python -m qgc fetch nyu13` makes them"):
        rooms.load(tmp_path, "test")


def test_the_real_labels_lie_on_the_real_photographs(real, tmp_path):
    """Edges of the labels are edges of the photographs, and only with NYU's crop."""
    import tarfile

    with tarfile.open(real / "nyu13" / "nyuv2_test_class13.tgz") as archive:
        archive.extractall(tmp_path / "test_labels_13", filter="data")
    (tmp_path / "images").symlink_to(real / "daquar" / "images")
    every = rooms.numbers(tmp_path, "test")
    assert len(every) == 654 and sum(len(rooms.split_numbers(tmp_path, f, "test")) for f in range(3)) == 654
    ratios = []
    for number in every[::50]:
        room = rooms.photograph(tmp_path, number)
        steps = np.hypot(*np.gradient(room.lab[..., 0]))
        edge = np.zeros(steps.shape, bool)
        edge[:, 1:] = room.labels[:, 1:] != room.labels[:, :-1]
        ratios.append(steps[8:-8, 8:-8][edge[8:-8, 8:-8]].mean() / steps.mean())
    assert np.mean(ratios) > 1.8, ratios
    assert json.loads(json.dumps(room.asks)) == [list(ask) for ask in room.asks]
