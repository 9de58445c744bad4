"""The widgets: their cores without a kernel, and the controls' wiring."""

import asyncio
import html
import io
import re
import time
from datetime import UTC, datetime

import ipywidgets
import numpy as np
import pytest
from PIL import Image, ImageOps

import qgc
from qgc.errors import ImageError, WeightsError
from qgc.scenes import sample
from qgc.show import widgets
from qgc.show.widgets import OWN, RANDOM, EditorState, ExplorerState, explorer, scene_editor, useful_n

NAMES = ["deeper-lstm/early", "deeper-lstm/natural"]


@pytest.fixture
def load(model, small_model):
    return {"deeper-lstm/natural": model, "deeper-lstm/early": small_model}.__getitem__


@pytest.fixture
def state(load):
    return ExplorerState(NAMES, load)


@pytest.fixture
def editor(model):
    return EditorState(qgc.scene("bathroom"), model)


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), float)


# The explorer's core


def test_useful_n_holds_the_papers_values():
    steps = useful_n(1024)
    assert steps == sorted(set(steps)) and steps[0] == 1 and steps[-1] == 1024
    assert {10, 25, 200, 400, 1000} <= set(steps)
    assert useful_n(32)[-1] == 32 and useful_n(5000)[-1] == 5000


def test_it_starts_with_the_natural_checkpoint_and_paints(state):
    assert state.model == "deeper-lstm/natural"
    rendered = state.render()
    assert opened(rendered.image).shape == (widgets.SIDE, widgets.SIDE, 3)
    assert opened(rendered.bars).shape[1] == widgets.SIDE
    assert "What is the color of the sink?" in rendered.text and "n = 25 of 1024" in rendered.text
    assert re.search(r"\d+% of the map lies on the sink", rendered.text)
    assert rendered.problem == ""


def test_a_new_n_repaints_quickly_and_differently(state):
    first = state.render()
    cpu = []
    for n in (10, 100, 500, 750, 1024):
        state.n = n
        began = time.thread_time()
        rendered = state.render()
        cpu.append(time.thread_time() - began)
    assert np.median(cpu) < 0.05
    assert np.abs(opened(rendered.image) - opened(first.image)).max() > 20
    assert "Grad-CAM (all 1024)" in rendered.text


def test_the_image_is_seen_once_for_all_questions(state, model, monkeypatch):
    seen = []
    whole = type(model).conv
    monkeypatch.setattr(type(model), "conv", lambda self, x: (seen.append(1), whole(self, x))[1])
    for question in (*state.scene.questions, "Is there a cat?"):
        state.question = question
        for n in (1, 25):
            state.n = n
            state.render()
    assert len(seen) == 1


def test_what_is_kept_is_bounded(state):
    state.situation = RANDOM
    for seed in range(widgets.MOST_VIEWS + 2):
        state.seed = seed
        state.question = "Is there a cat?"
        state.render()
    assert len(state._cache["view"]) == widgets.MOST_VIEWS


@pytest.mark.parametrize(
    ("question", "problem"), [("", "empty"), ("  ", "empty"), ("qqq zzz", "none of the words"), ("?!", "word")]
)
def test_bad_questions_are_told_and_the_scene_stays(state, question, problem):
    state.question = question
    rendered = state.render()
    assert problem in rendered.problem and rendered.text == "" and rendered.bars == b""
    assert opened(rendered.image).shape == (widgets.SIDE, widgets.SIDE, 3)


def test_unknown_words_are_told_beside_the_answer_each_time(state, recwarn):
    state.question = "What color is the frobnicator?"
    for _ in range(2):
        rendered = state.render()
        assert "frobnicator" in rendered.problem and "→" in rendered.text
    assert not recwarn.list


def test_another_answer_than_the_models_is_said(state):
    own = state.explanation.predicted
    state.answer = next(a for a in state.vqa.answers if a != own)
    assert f"The model itself says {own!r}" in state.render().text


def test_n_is_kept_within_the_model(state):
    state.model, state.n = "deeper-lstm/early", 900
    assert "Grad-CAM (all 32)" in state.render().text


def test_random_scenes_are_those_of_their_seed(state):
    state.situation, state.seed, state.distribution = RANDOM, 5, "balanced"
    assert state.scene == sample(5, "balanced")


def test_without_a_model_there_is_a_remedy():
    state = ExplorerState([])
    assert "train" in state.render().problem
    with pytest.raises(WeightsError):
        _ = state.vqa


# The explorer's controls


def test_explorer_is_a_box_whose_controls_are_described(load):
    box = explorer(NAMES, load)
    assert isinstance(box, ipywidgets.VBox)
    for control in (box.situation, box.seed, box.distribution, box.model, box.question, box.own, box.answer, box.n):
        assert control.description
    assert all('alt="The ' in picture.value for picture in (box.image, box.bars))
    assert f'width="{widgets.SIDE}" height="{widgets.SIDE}"' in box.image.value
    assert 'role="status"' in box.status.value


def test_what_is_hidden_hides_nothing_else(load):
    box = explorer(NAMES, load)
    hidden = [box._random, box.upload]
    assert all(w.layout.display == "none" for w in hidden)
    below = {id(w.layout) for w in hidden}
    shown = [c for child in box.children if child not in hidden for c in (child, *getattr(child, "children", ()))]
    assert len(shown) > 10 and all(id(w.layout) not in below and w.layout.display != "none" for w in shown)


def test_slider_and_field_follow_each_other(load):
    box = explorer(NAMES, load)
    box.n.value = 100
    assert box.exact_n.value == box.state.n == 100
    box.exact_n.value = 333
    assert box.state.n == box.exact_n.value == 333 and box.n.value == 300
    assert "n = 333 of 1024" in box.status.value


def test_controls_reach_the_state(load):
    box = explorer(NAMES, load)
    before = box.image.jpeg
    box.situation.value = "park"
    assert box.question.value == box.state.question == "What color are the trees?"
    assert box.image.jpeg != before
    box.own.value = "Is there a <cat>?"
    assert box.state.question == "Is there a <cat>?" and "&lt;cat&gt;" in box.status.value
    box.question.value = "What color is the grass?"
    assert box.own.value == "" and box.state.question == "What color is the grass?"
    box.answer.value = "green"
    assert box.state.answer == "green"
    box.reduce.value = "sum"
    assert box.state.explanation.reduce == "sum"
    box.model.value = "deeper-lstm/early"
    assert box.exact_n.max == 32 and box.state.n <= 32 and box.answer.value == "green"
    box.situation.value = RANDOM
    box.seed.value = 3
    assert box.state.scene == sample(3) and box._random.layout.display == "flex"


def test_in_a_kernel_the_image_comes_first_and_the_rest_once_after_a_pause(load, monkeypatch):
    box = explorer(NAMES, load)
    images, shown = [box.image.jpeg], []
    tell = box.state.status
    monkeypatch.setattr(box.state, "status", lambda: (shown.append(box.state.n), tell())[1])

    async def drag() -> None:
        for n in (100, 1000):
            box.n.value = n
            images.append(box.image.jpeg)
            assert box.exact_n.value == 25 and not shown
        await asyncio.sleep(4 * widgets.PAUSE_S)

    asyncio.run(drag())
    assert len(set(images)) == 3 and shown == [1000] and box.exact_n.value == 1000
    assert "n = 1000 of 1024" in box.status.value


def test_what_waits_for_a_pause_does_not_look_stuck():
    assert 0 < widgets.PAUSE_S < widgets.MOST_PAUSE_S <= 0.5


def test_a_long_drag_does_not_put_off_the_rest_for_ever(load, monkeypatch):
    box = explorer(NAMES, load)
    monkeypatch.setattr(widgets, "PAUSE_S", 60)

    async def drag() -> None:
        until = time.monotonic() + 2 * widgets.MOST_PAUSE_S
        while time.monotonic() < until:
            box.n.value = 100 if box.n.value == 200 else 200
            await asyncio.sleep(0.05)

    asyncio.run(drag())
    assert box.exact_n.value in (100, 200)


def uploaded(picture: Image.Image | bytes) -> tuple:
    """What a FileUpload holds after a file was chosen."""
    if not isinstance(picture, bytes):
        file = io.BytesIO()
        picture.save(file, "PNG")
        picture = file.getvalue()
    return (
        {
            "name": "a.png",
            "type": "image/png",
            "size": len(picture),
            "content": memoryview(picture),
            "last_modified": datetime.now(UTC),
        },
    )


def test_an_image_of_ones_own(load, model):
    box = explorer(NAMES, load)
    box.situation.value = OWN
    assert "no image yet" in box.status.value and box.upload.layout.display == "flex"
    photograph = Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8))
    box.upload.value = uploaded(photograph)
    assert opened(box.image.jpeg).shape == (256, 384, 3) and "→" in box.status.value
    assert "lies on" not in box.status.value  # nobody knows where objects are
    box.own.value = "Is there a cat?"
    found = qgc.explain(model, photograph, "Is there a cat?")
    assert repr(found.answer) in html.unescape(box.status.value) and f"{found.confidence:.0%}" in box.status.value
    first = box.state.image()
    box.upload.value = uploaded(ImageOps.mirror(photograph))  # another image is seen anew
    assert box.state.image() != first and len(box.state._cache["view"]) == 3  # the bathroom is one
    box.upload.value = uploaded(b"no picture")
    assert "not an image" in box.status.value and "Is there a cat?" in box.status.value
    box.own.value = ""
    box.situation.value = "park"
    assert box.question.value == "What color are the trees?" and box.upload.layout.display == "none"


def test_an_image_to_begin_with(load):
    box = explorer(NAMES, load, image=np.full((50, 90, 3), 200, np.uint8))
    assert box.situation.value == OWN and len(box.question.options) > 100 and not box.state.render().problem
    with pytest.raises(ImageError, match="no file"):
        explorer(NAMES, load, image="nowhere.jpg")


def test_errors_are_text_in_the_widget(load):
    box = explorer(NAMES, load)
    box.own.value = "qqq"
    assert "none of the words" in box.status.value
    assert "train one" in explorer([], load).status.value


# The scene editor


def test_edits_can_be_made_and_taken_back(editor):
    original = editor.original
    editor.edit("towels", dx=-40)
    editor.edit("towels", colour="red")
    editor.edit("sink", removed=True)
    now = editor.scene
    assert now["towels"].x == original["towels"].x - 40 and now.colours["towels"] == "red"
    assert "sink" not in now.names
    editor.edit("sink", removed=False)
    assert "sink" in editor.scene.names
    editor.reset()
    assert editor.scene == original


def test_truth_follows_the_edits(editor):
    editor.edit("towels", colour="red")
    editor.edit("sink", removed=True)
    rows = {row.question: row for row in editor.answers()}
    assert rows["What color are the towels?"].truth_after == "red"
    assert rows["What is the color of the sink?"].truth_after == "–"
    assert all(row.truth == "white" for row in rows.values())


def test_what_stands_on_an_object_goes_with_it(model):
    editor = EditorState(qgc.scene("birthday"), model)
    editor.edit("cake", dx=5)
    editor.edit("table", removed=True)
    assert "cake" not in editor.scene.names
    assert len(editor.render()) == 3


def test_parts_and_walls(model):
    editor = EditorState(qgc.scene("couple"), model)
    assert {"man", "woman", "wall", "floor"} <= set(editor.objects) and "shirt" not in editor.objects
    assert editor.can("wall") == (False, True) and editor.can("man") == (True, True)
    editor.edit("man", colour="pink")
    assert editor.scene.colours["shirt"] == "pink"


def test_maps_before_and_after(editor):
    _, before, after = editor.render()
    assert before == after
    editor.edit("sink", dx=60)
    _, still_before, after = editor.render()
    assert still_before == before and after != before
    first, second = editor.explanations(editor.question)
    assert first.image.tobytes() != second.image.tobytes()
    editor.edit("sink", dx=30)
    assert editor.explanations(editor.question)[0] is first  # what no edit changes is not worked out again


def test_existence_is_false_without_the_object(model):
    scene = next(s for s in map(sample, range(50)) if any(a.family == "existence" and a.thing for a in s.asks))
    ask = next(a for a in scene.asks if a.family == "existence" and a.thing)
    editor = EditorState(scene, model)
    editor.edit(ask.thing, removed=True)
    assert editor.truth(ask, editor.scene) == "no"


def test_editor_controls(load):
    box = scene_editor(load=load)
    assert isinstance(box, ipywidgets.VBox)
    box.object.value = "towels"
    box.colour.value = "red"
    box.dx.value = -40
    assert box.state.scene.colours["towels"] == "red" and "<td" in box.table.value and "red" in box.table.value
    box.object.value = "sink"
    assert box.colour.value == "as it was" and box.dx.value == 0
    box.removed.value = True
    assert "sink" not in box.state.scene.names
    box.object.value = "wall"
    assert box.dx.disabled and box.removed.disabled and not box.colour.disabled
    box.object.value = "mirror"
    assert not box.dx.disabled and box.colour.disabled == ("mirror" not in box.state.original.colours)
    box.n.value = 25
    assert box.state.n == 25
    box.undo.click()
    assert box.state.scene == box.state.original


def test_editor_errors_are_text(load):
    assert "there is no situation" in scene_editor("nowhere", load=load).children[0].value
