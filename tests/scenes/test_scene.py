"""A scene: the same for the same seed, exact masks, and interventions in which nothing else changes."""

from __future__ import annotations

import copy
import errno
import json
import os
import pickle
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation

import qgc
from qgc.errors import ImageError, SceneError
from qgc.scenes import COLOURS, DISTRIBUTIONS, Scene, Thing, render, sample, schema
from qgc.scenes.questions import asks
from qgc.scenes.situations import SITUATIONS
from qgc.scenes.svg import Gradient
from qgc.scenes.things import PLACES
from qgc.scenes.vocabulary import ACTIVITIES, GAZES, PARTS, PEOPLE

NEIGHBOURS = np.ones((3, 3), bool)  # an antialiased edge reaches one pixel far
# Kinds whose glow or reflection reaches beyond what their mask counts as theirs.
GLOWS = ("lamp",)
# What is drawn before the sky in the lower half's paint: ramps, and the trees behind a meadow.
REACHES_UP = (("skate park", "ground"), ("park", "grass"))


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Random scenes of both distributions, and some of the paper's situations."""
    return [sample(i, d) for i in range(4) for d in DISTRIBUTIONS] + [SITUATIONS[n] for n in ("birthday", "phone")]


def pixels(scene: Scene) -> np.ndarray:
    """The image as numbers that can be subtracted."""
    return np.asarray(scene.image).astype(int)


def changed(a: Scene, b: Scene) -> np.ndarray:
    """Where two images differ (224, 224)."""
    return (pixels(a) != pixels(b)).any(2)


def grown(mask: np.ndarray) -> np.ndarray:
    """The mask and every pixel that touches it."""
    return binary_dilation(mask, NEIGHBOURS)


def ellipse(thing: Thing) -> np.ndarray:
    """The pixels that an object's shadow may touch."""
    shadow = render._shadow(thing)
    if shadow is None:
        return np.zeros((224, 224), bool)
    cx, cy, rx, ry = (float(part.split('"')[1]) for part in shadow.geometry.split())
    y, x = np.mgrid[:224, :224] + 0.5
    return ((x - cx) / (rx + 1.5)) ** 2 + ((y - cy) / (ry + 1.5)) ** 2 <= 1


def painted(scene: Scene, thing: Thing) -> np.ndarray:
    """Every pixel that an object changes at all, its shadow and its glow too, hidden or not."""
    alone, bare = scene._with(things=(replace(thing, on=None),)), scene._with(things=())
    full, empty = (render.rendered(render.document(s)).astype(int) for s in (alone, bare))
    return (full != empty).any(2)


def masks_equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray], but: tuple[str, ...] = ()) -> bool:
    """Whether two scenes' masks agree."""
    return a.keys() - set(but) == b.keys() - set(but) and all((a[k] == b[k]).all() for k in a.keys() - set(but))


# -- images and masks ---------------------------------------------------------------------------------


def test_every_shape_is_painted_as_much_as_another_renderer_paints_it(scenes):
    """ThorVG silently leaves out a gradient whose box it finds flat; resvg, which paints the masks, is the witness."""
    seen, amount = set(), {}
    for scene in scenes + [sample(i, d) for i in range(4, 14) for d in DISTRIBUTIONS]:
        for thing, shapes in zip(scene.things, scene.shapes, strict=True):
            for shape in shapes:
                key = thing.kind, re.sub(r"-?[\d.]+", "#", shape.geometry)
                if key in seen or not isinstance(shape.fill, Gradient):
                    continue
                seen.add(key)
                defs: list[str] = []
                body = shape.svg(defs, "a")
                svg = (
                    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="-150 -220 300 300" width="224" height="224">'
                    f'<defs>{"".join(defs)}</defs><rect x="-150" y="-220" width="300" height="300" fill="#808080"/>'
                    f"{body}</svg>"
                )
                ours, other = (paint(svg).astype(int) for paint in (render.rendered, render.flat))
                if (other != 128).any(2).sum() > 40:
                    amount[key] = np.abs(ours - 128).sum() / np.abs(other - 128).sum()
    assert len(amount) > 80 and min(amount.values()) > 0.6, min(amount.items(), key=lambda item: item[1])


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("seed", [0, 7, 123456])
def test_the_same_seed_is_the_same_image(distribution, seed):
    a, b = sample(seed, distribution), sample(seed, distribution)
    assert a.image.tobytes() == b.image.tobytes() and a.svg == b.svg and masks_equal(a.masks, b.masks)
    assert a.asks == b.asks and a.to_json() == b.to_json()
    assert a.image.tobytes() != sample(seed + 1, distribution).image.tobytes()


def test_objects_and_the_places_halves_share_out_every_pixel(scenes):
    for scene in scenes:
        owners = sum(scene.masks[name].astype(int) for name in [*scene.names, *scene.tones])
        assert (owners == 1).all(), scene


def test_a_mask_has_the_images_size_and_a_part_is_in_its_object(scenes):
    for scene in scenes:
        assert scene.image.size == (224, 224) and scene.image.mode == "RGB"
        assert all(m.shape == (224, 224) and m.dtype == bool for m in scene.masks.values())
        for part, whole in (("shirt", "man"), ("top", "woman")):
            if whole in scene.names:
                assert not (scene.masks[part] & ~scene.masks[whole]).any()
        if {"man", "woman"} <= set(scene.names):
            assert (scene.masks["man and woman"] == (scene.masks["man"] | scene.masks["woman"])).all()


def test_the_svg_has_one_group_for_every_thing(scenes):
    for scene in scenes:
        assert all(scene.svg.count(f'<g id="{n.replace(" ", "-")}"') == 1 for n in ["place", *scene.names])


def test_a_larger_image_shows_the_same():
    scene = SITUATIONS["bathroom"]
    large = scene.render(448)
    assert large.size == (448, 448)
    small = np.asarray(large.resize((224, 224), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - pixels(scene)).mean() < 4


def test_another_light_changes_no_object_and_leaves_the_image_as_it_was():
    scene = sample(5, "natural")
    assert (np.asarray(scene.relit(0)) == np.asarray(scene.image)).all()
    # the image as it was drawn before there was another light, to the last bit
    pixels = render.rendered(render.document(scene)).astype(np.float32)
    rng = np.random.default_rng([scene.seed, 7])
    across, down = rng.uniform(-0.07, 0.07, 2)
    level, warmth = rng.uniform(0.93, 1.05), rng.uniform(-0.025, 0.025)
    ramp = np.linspace(-1, 1, 224, dtype=np.float32)
    tint = np.array([1 + warmth, 1.0, 1 - warmth], np.float32)
    pixels *= (level + across * ramp[None, :] + down * ramp[:, None])[..., None] * tint
    pixels += rng.standard_normal((224, 224, 1), dtype=np.float32) * render.NOISE
    assert (np.clip(pixels, 0, 255).astype(np.uint8) == np.asarray(scene.image)).all()
    # and other lights: each time the same, each another, and nothing but a smooth field and noise between them
    first, second = (np.asarray(scene.relit(k)).astype(float) for k in (1, 2))
    assert (first == np.asarray(scene.relit(1))).all() and (first != second).any()
    bright = (first > 60).all(2) & (first < 240).all(2) & (second > 60).all(2) & (second < 240).all(2)
    quotient = (first / np.maximum(second, 1))[bright]
    assert 0.7 < np.quantile(quotient, 0.001) and np.quantile(quotient, 0.999) < 1.4


# -- interventions ------------------------------------------------------------------------------------


def test_removing_a_thing_changes_only_where_it_was(scenes):
    """Nothing outside its mask (one pixel for the edge), its shadow, its glow and what stood on it."""
    beyond = []
    for scene in scenes:
        for name in scene.names:
            gone = [t for t in scene.things if name in (t.kind, t.on)]
            without = scene.remove(name)
            assert [t for t in scene.things if t not in gone] == list(without.things)
            change = changed(scene, without)
            assert not (change & ~np.any([grown(painted(scene, t)) for t in gone], 0)).any(), (scene, name)
            seen = np.any([grown(scene.masks[t.kind]) | ellipse(t) for t in gone], 0)
            if not {t.kind for t in gone} & set(GLOWS):
                beyond.append((int((change & ~seen).sum()), name))
    share = np.mean([n > 0 for n, _ in beyond])
    print(f"\nremoved: {len(beyond)} objects, {share:.0%} change pixels beyond mask + 1 and shadow; most {max(beyond)}")
    # Translucent paint and strokes thinner than a pixel are seen, but no pixel's centre is theirs.
    assert max(beyond)[0] <= 60


def test_recolouring_a_thing_changes_only_where_it_is(scenes):
    """No mask, no pixel that it does not paint, and hardly one outside its mask."""
    beyond = []
    for scene in scenes:
        for name, colour in scene.colours.items():
            if name in scene.tones or name == "dog":  # the dog: see below
                continue
            new = scene.recolour(name, "purple" if colour != "purple" else "yellow")
            assert new.colours[name] != colour and {**new.colours, name: colour} == scene.colours
            assert masks_equal(scene.masks, new.masks), (scene, name)
            owner = next(t for t in scene.things if name in (t.kind, t.pose.get("holding"), PARTS.get(t.kind)))
            change = changed(scene, new)
            assert not (change & ~grown(painted(scene, owner))).any(), (scene, name)
            if owner.kind not in GLOWS:
                beyond.append((int((change & ~grown(scene.masks[owner.kind])).sum()), name))
    print(f"\nrecoloured: {len(beyond)} objects, most beyond mask + 1 {max(beyond)}")
    assert max(beyond)[0] <= 90


def test_recolouring_a_dog_changes_no_mask():
    scene = sample(0, "balanced")
    assert masks_equal(scene.masks, scene.recolour("dog", "purple").masks)


@pytest.mark.parametrize("place", sorted(PLACES))
def test_recolouring_half_of_a_place_leaves_the_masks(place):
    scene = next(s for s in (sample(i, "balanced") for i in range(1000)) if s.place == place)
    kind = PLACES[place]
    for half, pool in ((kind.upper, kind.upper_colours), (kind.lower, kind.lower_colours)):
        new = scene.recolour(half, next((c for c in pool if c != scene.tones[half]), "red"))
        change = changed(scene, new)
        outside = int((change & ~grown(scene.masks[half])).sum())
        print(f"\n{place}, {half}: {int(change.sum())} pixels change, {outside} of them outside its mask")
        assert masks_equal(scene.masks, new.masks) and change[scene.masks[half]].mean() > 0.9
        assert list(new.tones) == list(scene.tones)
        if (place, half) not in REACHES_UP:
            assert outside < 300


def test_moving_a_thing_keeps_the_others_and_their_order(scenes):
    for scene in scenes:
        for name in scene.names:
            moved = scene.move(name, 9, -4)
            assert moved.names == scene.names
            for old, new in zip(scene.things, moved.things, strict=True):
                went = name in (old.kind, old.on)
                assert new == (replace(old, x=old.x + 9, y=old.y - 4) if went else old)
        name = scene.names[-1]
        assert changed(scene, scene.move(name, 9)).any() and not changed(scene, scene.move(name, 0)).any()


def test_what_stands_on_a_table_goes_with_it():
    scene = SITUATIONS["birthday"]
    assert "cake" not in scene.remove("table").names and "table" in scene.remove("cake").names
    assert scene.move("table", 5)["cake"].x == scene["cake"].x + 5 and scene.move("cake", 5)["table"] == scene["table"]


def test_a_changed_scene_is_asked_anew():
    scene = SITUATIONS["bathroom"]
    new = scene.recolour("towels", "red")
    assert not new.fixed_asks and not new.name
    assert {(a.answer) for a in new.asks if a.family == "colour" and a.thing == "towels"} == {"red"}
    assert scene.colours["towels"] == "white"  # the old one is as it was


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: s.remove("zebra"), "there is no 'zebra' in this scene; it has .*sink"),
        (lambda s: s.move("zebra", 3), "there is no 'zebra'"),
        (lambda s: s["zebra"], "there is no 'zebra'"),
        (lambda s: s.recolour("sink", "mauve"), "unknown color 'mauve'; choose one of black, white"),
        (lambda s: s.recolour("zebra", "red"), "nothing called 'zebra' has a color here; .*sink"),
        (lambda s: s.recolour("mirror", "red"), "nothing called 'mirror' has a color"),
        (lambda s: s.recolour(["sink"], "red"), "nothing called \\['sink'\\] has a color"),
        (lambda s: s.recolour("sink", None), "unknown color None"),
        (lambda s: s.recolour("sink", {}), "unknown color {}"),
        (lambda s: s.remove(None), "there is no None"),
        (lambda s: s.move("sink", "3"), "dx is '3'; it must be a number from -10000 to 10000"),
        (lambda s: s.move("sink", 0, None), "dy is None; it must be a number"),
        (lambda s: s.move("sink", NAN), "dx is nan"),
        (lambda s: s.move("sink", INFINITE), "dx is inf"),
        (lambda s: s.move("sink", True), "dx is True"),
        (lambda s: s.move("sink", 9999), "x is 10061; it must be a number from -10000 to 10000"),
        (lambda s: s.render(-1), "side is -1; it must be a whole number from 1 to 4096"),
        (lambda s: s.render(0), "side is 0"),
        (lambda s: s.render("x"), "side is 'x'"),
        (lambda s: s.render(448.5), "side is 448.5"),
        (lambda s: s.render(10**6), "side is 1000000"),
        (lambda s: s.relit(-1), "light is -1; it must be a whole number from 0 up"),
        (lambda s: s.relit("dark"), "light is 'dark'"),
        (lambda s: s.save(None), "a scene's file is named by its path, not by None"),
        (lambda s: Scene.open(None), "a scene's file is named by its path, not by None"),
        (lambda s: Scene.open(s), "a scene's file is named by its path, not by <Scene"),
        (lambda s: replace(s["sink"], x=NAN), "x is nan; it must be a number"),
        (lambda s: replace(s, things=("sink",)), "things is \\('sink',\\); it must be a tuple of Thing"),
        (lambda s: replace(s, things=(s["sink"], s["sink"])), "things holds 'sink' twice"),
        (lambda s: replace(s, things=None), "things is None"),
        (lambda s: replace(s, fixed_asks=("?",)), "fixed_asks is .*a tuple of Ask"),
        (lambda s: asks(s, "other"), "paraphrases is 'other'; choose 'first', 'train' or 'held-out'"),
        (lambda s: asks(s, "train"), "give asks\\(\\) a generator"),
        (lambda s: sample("x"), "seed is 'x'; it must be a whole number from 0 up"),
        (lambda s: sample(-1), "seed is -1"),
        (lambda s: sample(1.5), "seed is 1.5"),
        (lambda s: qgc.scene(None), "there is no situation None"),
        (lambda s: qgc.scene(["park"]), "there is no situation \\['park'\\]"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(call, says):
    with pytest.raises(SceneError, match=says):
        call(SITUATIONS["bathroom"])


def test_numbers_of_numpy_are_numbers():
    scene = SITUATIONS["bathroom"]
    moved = scene.move("sink", np.float32(3), np.int64(2))
    assert moved == scene.move("sink", 3, 2) and Scene.from_json(moved.to_json()) == moved
    assert sample(np.int64(5)).to_json() == sample(5).to_json() and scene.render(np.int64(9)).size == (9, 9)


def test_what_is_done_to_a_scenes_image_and_masks_does_not_reach_the_next():
    scene = qgc.scene("bathroom")
    image, mask = scene.image, scene.masks["sink"].copy()
    before = image.tobytes()
    image.paste((0, 0, 0), (0, 0, 224, 224))
    scene.asks.clear()
    scene.names.clear()
    with pytest.raises(ValueError, match="read-only"):
        scene.masks["sink"][:] = False
    for held in (scene.masks, scene.tones, scene.colours, qgc.scene("couple")["man"].pose):
        with pytest.raises(SceneError, match="a scene does not change; .move"):
            held["wall"] = "red"
        with pytest.raises(SceneError, match="a scene does not change"):
            held.clear()
    again = qgc.scene("bathroom")
    assert again.image.tobytes() == before and (again.masks["sink"] == mask).all()
    assert again.asks and "sink" in again.names
    for one in (pickle.loads(pickle.dumps(again)), copy.deepcopy(again)):
        assert one == again and one.image.tobytes() == before and masks_equal(one.masks, again.masks)


def test_every_colour_can_be_drawn():
    scene = SITUATIONS["bathroom"]
    means = {c: pixels(scene.recolour("towels", c))[scene.masks["towels"]].mean(0) for c in COLOURS}
    distances = [np.abs(means[a] - means[b]).max() for a in COLOURS for b in COLOURS if a < b]
    print(f"\nnearest two colours of towels: {min(distances):.0f} of 255 apart")
    assert min(distances) > 15


# -- files --------------------------------------------------------------------------------------------


def test_json_and_png_give_the_scene_back(scenes, tmp_path):
    for i, scene in enumerate(scenes):
        path = scene.save(tmp_path / f"{i}.png")
        for again in (Scene.from_json(scene.to_json()), Scene.open(path)):
            assert again.image.tobytes() == scene.image.tobytes() and masks_equal(again.masks, scene.masks)
            assert again == scene and again.asks == scene.asks
            assert [a.family for a in again.asks] == [a.family for a in scene.asks]
        with Image.open(path) as image:
            assert image.tobytes() == scene.image.tobytes()


def test_an_image_without_a_scene_is_none(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    Image.new("RGB", (9, 9)).save(tmp_path / "a.jpg")
    assert Scene.open(tmp_path / "a.png") is None and Scene.open(tmp_path / "a.jpg") is None


def without(key: str) -> str:
    """The bathroom as JSON, an entry left out."""
    data = json.loads(SITUATIONS["bathroom"].to_json())
    del data[key]
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not a scene written by qgc"),
        ("{}", "not a scene written by qgc"),
        ("[1]", "not a scene written by qgc"),
        ("null", "not a scene written by qgc"),
        (without("things"), "not a scene written by qgc"),
        (without("place"), "not a scene written by qgc"),
        (SITUATIONS["bathroom"].to_json().replace('"sink"', '"zebra"', 1), "'zebra', which this version"),
        (
            SITUATIONS["bathroom"].to_json().replace('"place": "bathroom"', '"place": "zoo"'),
            "'zoo', which this version",
        ),
    ],
    ids=["empty", "bare", "list", "null", "no things", "no place", "thing", "place"],
)
def test_a_text_that_is_no_scene_is_refused(text, says):
    with pytest.raises(SceneError, match=says):
        Scene.from_json(text)


NAN, INFINITE, DEEP = float("nan"), float("inf"), "[" * 100_000
OBJECT = json.loads(SITUATIONS["bathroom"].to_json())["things"][0]
POSE = {"activity": "sitting", "gaze": "left"}  # of a person
TWICE = SITUATIONS["bathroom"].to_json().replace('"seed": 3', '"seed": 3, "seed": 4', 1)


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("place", [None, 3, {"a": 1}, [], "", "zoo"]),
        ("tones", [None, "x", {}, {"wall": "blue"}, {"wall": "blue", "floor": 3}, {"wall": "blue", "floor": ["gray"]}]),
        ("horizon", [None, "122", True, NAN, INFINITE, 1e300, -1, [1], 0, 224]),
        ("seed", [None, "", 3.5, True, NAN, INFINITE, {}, -1, 2**63]),
        ("name", [3, None, ["a"], "a" * 1001]),
        ("distribution", [None, 1, "Natural", []]),
        ("things", [None, 3, "ab", [None], [[]], {"a": 1}, [OBJECT, OBJECT], [OBJECT] * 10_000]),
        ("asks", [None, [["What?"]], [[1, 2, 3, 4]], [["What?", "red", "sink", None]], 7, [{"a": 1}]]),
        (
            "asks",
            [[["What?", "red", "zebra", ""]], [["What?", "red", ["sink"], ""]], [["Why?", "red", None, ""]] * 1001],
        ),
        ("more", [1]),
        ("things.0.more", [1]),
        ("things.0.kind", [None, ["sink"], "sinks"]),
        ("things.0.colour", [None, "mauve", {}, 0]),
        ("things.0.x", [None, "1", NAN, -INFINITE, 1e300, True, '"><script>', 10**30]),
        ("things.0.scale", [None, "x", 0, -1, NAN, INFINITE, 1e300, 1e-300, 101]),
        ("things.0.seed", [None, 1.5, "1", -1, 10**30]),
        ("things.0.flip", [None, 0, "no"]),
        ("things.0.on", [3, [], "zebra"]),
        ("things.0.pose", [None, 3.5, [], {"zz": 1}, {"holding": {}}, {"held_colour": 0}, {"pen": 1}, POSE]),
    ],
)
def test_no_value_in_a_scene_can_break_the_drawing(key, values):
    for value in values:
        data = json.loads(SITUATIONS["bathroom"].to_json())
        *path, last = [int(k) if k.isdigit() else k for k in key.split(".")]
        inner = data
        for step in path:
            inner = inner[step]
        inner[last] = value
        with pytest.raises(SceneError, match="not a scene written by qgc") as caught:
            Scene.from_json(json.dumps(data))
        said = str(caught.value)
        assert len(said) < 350 and said.endswith("; save one with scene.save()"), said
        assert str(last) in said or str(path[0]) in said, said  # the field is named


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"activity": "flying"}, "pose.activity is 'flying', .*choose one of 'standing'"),
        ({"gaze": None}, "pose.gaze is None"),
        ({"holding": "sink"}, "pose.holding is 'sink'"),
        ({"held_colour": ["red"]}, "pose.held_colour is \\['red'\\]"),
        ({"activity": "skiing"}, "pose.activity is 'skiing'; only somebody standing or sitting holds a phone"),
    ],
)
def test_no_pose_can_break_the_drawing(change, says):
    data = json.loads(SITUATIONS["phone"].to_json())
    pose = next(t["pose"] for t in data["things"] if t["kind"] == "woman")
    for key in pose:
        lacking = {k: v for k, v in pose.items() if k != key}
        with pytest.raises(SceneError, match=f"pose lacks '{key}'; add it"):
            replace(SITUATIONS["phone"]["woman"], pose=lacking)
    pose |= change
    with pytest.raises(SceneError, match=says):
        Scene.from_json(json.dumps(data))


@pytest.mark.parametrize("person", PEOPLE)
def test_every_pose_that_is_allowed_can_be_drawn(person):
    phone = {"holding": "phone", "held_colour": "red"}
    for activity in ACTIVITIES:
        for gaze in GAZES:
            for held in ({}, phone) if activity in schema.HANDS_FREE else ({},):
                pose = {"activity": activity, "gaze": gaze, **held}
                parts = {shape.part for shape in render.object_shapes(Thing(person, "blue", 9, 9, 1, 3, pose=pose))}
                assert {PARTS[person], *held.values()} - {"red"} <= parts


@pytest.mark.parametrize("horizon", schema.HORIZONS)
def test_every_place_can_be_drawn_at_every_horizon_that_is_allowed(horizon):
    for name, place in PLACES.items():
        scene = Scene(name, {place.upper: "blue", place.lower: "red"}, (), horizon, 1)
        assert scene.masks[place.upper].sum() == horizon * 224 and scene.image.size == (224, 224)


@pytest.mark.parametrize(
    "text",
    [DEEP, '{"a":' * 9999, '{"seed": ' + "9" * 5000 + "}", "\0", None, b"\xff\xfe", 3, TWICE],
    ids=["deep", "deep object", "digits", "NUL", "none", "UTF-16", "number", "a field twice"],
)
def test_no_text_can_break_the_reading(text):
    with pytest.raises(SceneError, match="not a scene written by qgc"):
        Scene.from_json(text)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.png", None, "there is no file"),
        ("a.png", b"", "is empty"),
        ("a.txt", b"not an image", "is not an image that can be read"),
        ("a.zip", b"PK\x03\x04 and more", "is an archive; unpack it"),
        ("https://example.org/a.png", None, "is an address; download the file"),
    ],
)
def test_a_scene_is_opened_from_an_image_alone(tmp_path, monkeypatch, name, content, says):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(ImageError, match=says):
        Scene.open(name)


@pytest.mark.parametrize(("where", "name"), [(os, "replace"), (Image.Image, "save")], ids=["move", "write"])
def test_a_full_disk_leaves_the_earlier_image(tmp_path, monkeypatch, where, name):
    path = SITUATIONS["bathroom"].save(tmp_path / "a.png")
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left on device"):
        patch.setattr(where, name, fail)
        SITUATIONS["park"].save(path)
    assert path.read_bytes() == before and [p.name for p in Path(tmp_path).iterdir()] == ["a.png"]


def test_how_long_drawing_takes():
    """Only printed: machines differ."""
    took = {"image": [], "masks": []}
    for seed in range(20):
        scene = sample(seed, "balanced")
        for what, draw in (("image", render.image), ("masks", render.masks)):
            began = time.perf_counter()
            draw(scene)
            took[what].append(time.perf_counter() - began)
    print("\n" + ", ".join(f"{what} {np.median(t) * 1e3:.1f} ms" for what, t in took.items()))
