"""Whatever a figure or a widget is given in place of what it takes, one sentence says what to give."""

from __future__ import annotations

import inspect

import numpy as np
import pandas as pd
import pytest
import torch

import qgc
from qgc.errors import QGCError
from qgc.explain import EncodedImage, explain
from qgc.lab.figures import planted, results
from qgc.show import plots, widgets
from qgc.show.arguments import checked

CURVE = np.zeros((3, 5))
PUBLIC = {
    function.__name__: function
    for module in (plots, results, planted, widgets)
    for name, function in vars(module).items()
    if inspect.isfunction(function)
    and function.__module__ == module.__name__
    and not name.startswith("_")
    and name != "complete"  # of stored results, which no reader makes
}
OTHERS = ["x", True, [], {"a": None}, object()]
WRONG = [None, 3, 2.5, {}, [None], ["x"], {"a": "x"}, {1: "x"}, lambda: 0, np.zeros((3, 3)), torch.zeros(3), [1, 2],
         {"a": {}}, {"a": ([], 1)}, pd.DataFrame({"a": [1.0]}), *OTHERS]  # fmt: skip


@pytest.fixture(scope="module")
def given(small_model):
    scene = qgc.scene("bathroom")
    e, other = explain(small_model, EncodedImage(small_model, scene), scene.questions[:2], answer="white")
    return {"e": e, "both": [e, other], "scene": scene, "vqa": small_model, "load": lambda _: small_model}


def test_there_are_functions_of_every_module():
    assert len(PUBLIC) >= 25 and {"overlay", "dots", "which_are_fooled", "explorer"} <= PUBLIC.keys()


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_what_is_of_another_kind_is_refused_in_one_sentence(name, given):
    """Each in place of the first argument, and of each of the others beside a right first one."""
    function = PUBLIC[name]
    first, *others = inspect.signature(function).parameters.values()
    right = {
        "Explanation": given["e"], "Scene": given["scene"], "Sequence[Explanation]": given["both"],
        "DeeperLSTM": given["vqa"], "Mapping[str, np.ndarray]": {"a": CURVE},
        "Mapping[str, pd.DataFrame]": {"a": pd.DataFrame({"rank": [0.5], "rank low": [0.4], "rank high": [0.6]})},
    }  # fmt: skip
    refused = 0
    for wrong in [*WRONG, given["e"], given["scene"], given["both"]]:
        calls = [{first.name: wrong}]
        if first.annotation in right and any(wrong is one for one in OTHERS):
            calls += [{first.name: right[first.annotation], other.name: wrong} for other in others]
        for call in calls:
            if name in ("explorer", "scene_editor"):
                call = {"load": given["load"], **call}
            needed = {p.name: None for p in others if p.default is p.empty}
            try:
                function(**needed | call)
            except QGCError as error:
                refused += 1
                assert "\n" not in str(error) and ";" in str(error), "a sentence with its remedy"
    assert refused > 5


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda g: plots.overlay(g["both"]), "overlay: explanation must be an explanation, not list; give one of them"),
        (lambda g: plots.overlay(None), r"make one with qgc.explain\(vqa, scene, question\)"),
        (lambda g: plots.pair(g["e"]), r"not Explanation; put it in a list, \[explanations\]"),
        (lambda g: plots.pair([]), "explanations is empty; give at least one part"),
        (lambda g: plots.pair(g["both"], ns=25), r"ns must be a list, not 25; put it in a list, \[ns\]"),
        (lambda g: plots.pair(g["both"], ns=[]), "ns is empty"),
        (lambda g: plots.pair([g["e"], "x"]), r"explanations\[1\] must be an explanation, not 'x'"),
        (lambda g: plots.pair(g["both"], scene="bathroom"), r"must be a scene or None.*qgc.scene\('bathroom'\)"),
        (lambda g: plots.sweep(g["e"], columns=0), "columns is 0; give a whole number from 1 on"),
        (lambda g: plots.sensitivity_bars(g["e"], top=0), "top is 0"),
        (lambda g: plots.overlay(g["e"], n=True), "n must be a whole number or None, not True"),
        (lambda g: plots.overlay(g["e"], n=torch.tensor(True)), "not Tensor"),
        (lambda g: plots.overlay(g["e"], n="25"), "not '25'; give one such as 25"),
        (lambda g: plots.overlay(g["e"], n=0), "n is 0; it must be a whole number from 1 to 32"),
        (lambda g: plots.pair(g["both"], ns=[1, 33]), "n is 33"),
        (lambda g: plots.label_n(33, g["e"]), "n is 33"),
        (lambda g: plots.architecture(g["vqa"], gate=99), "n is 99"),
        (lambda g: plots.overlay(g["e"], mask="sink"), "mask must be an array"),
        (lambda g: plots.overlay(g["e"], mask=np.zeros((0, 0))), "does not fit"),
        (lambda g: plots.overlay(g["e"], mask=np.full((9, 9), "a")), "one bool for every pixel"),
        (lambda g: plots.overlay(g["e"], scene=qgc.scene("couple")), "not the scene that was explained"),
        (lambda g: plots.overlay(g["e"], ax="x"), "make some with plt.subplots"),
        (lambda g: plots.scene_masks(g["scene"], "sink"), "put it in a list"),
        (lambda g: plots.scene_masks(g["scene"], []), "objects is empty"),
        (lambda g: plots.scene_masks(g["scene"], things=[]), "objects is empty"),  # by the earlier name
        (lambda g: plots.scene_masks(g["scene"], ["cat"]), "no 'cat' to see"),
        (lambda g: plots.map_rows({"a": {"b": g["e"].map(5)}}, g["scene"], ["cat"]), "no 'cat' to see"),
        (lambda g: plots.map_rows({"a": {}}, g["scene"]), r"rows\['a'\] is empty"),
        (lambda g: plots.map_rows({"a": {"b": torch.zeros(5)}}, g["scene"]), r"finite numbers, \(h, w\)"),
        (lambda g: plots.map_rows({"a": {"b": torch.full((5, 5), torch.nan)}}, g["scene"]), "finite numbers"),
        (lambda g: plots.gradients({"a": {"b": np.zeros((5, 5))}}), r"finite numbers, \(3, H, W\)"),
        (lambda g: plots.rank_scatter(g["e"], None), "e2 must be an explanation"),
        (lambda g: plots.top10(g["both"], paper=7), "choose 1 to 4"),
        (lambda g: plots.distribution({"a": ["x"]}), "must be a list of numbers"),
        (lambda g: plots.question_words({"a": pd.Series([1.0], ["x"])}, [0, 1]), "at most one for each"),
        (lambda g: plots.gate_sweep({"a": ([1, 2, 3], np.zeros((4, 2)))}), r"must be \(R, 3\)"),
        (lambda g: results.over_n({"a": np.zeros(5)}), r"must be \(3, 5\)"),
        (lambda g: results.over_n({"a": CURVE}, ns=[1]), r"must be \(3, 1\)"),
        (lambda g: results.over_n({"a": CURVE}, chosen={"a": 9}), "give one of them"),
        (lambda g: results.specification_curve({"a": CURVE}, {"x": ("b", 1)}), "not among the curves"),
        (lambda g: results.specification_curve({"a": CURVE, "b": CURVE[:, :3]}), "different lengths"),
        (lambda g: results.null_distributions({"a": np.array([np.nan])}), "no finite value of a"),
        (lambda g: results.at_some_n(pd.DataFrame({"n": [1]}), ylabel="y"), "lacks the column 'ranking'"),
        (lambda g: results.cascade({"a": pd.DataFrame()}, {"x": "y"}, ["z"]), "lacks the column 'control'"),
        (lambda g: results.asked_again(g["scene"], {"a": g["scene"]}, {"m": {"q": [1, 2]}}, "y"), "each of the 1"),
        (lambda g: planted.which_are_fooled(pd.DataFrame()), "lacks the column 'group'"),
    ],
)  # fmt: skip
def test_the_sentence_names_the_place_and_the_remedy(given, call, says):
    with pytest.raises(QGCError, match=says):
        call(given)


@pytest.mark.parametrize("n", [5, 5.0, np.int64(5), torch.tensor(5)], ids=repr)
def test_every_kind_of_whole_number_is_one(given, n):
    assert plots.overlay(given["e"], n).axes[0].get_title().endswith("n = 5 of 32")


def test_a_generator_is_read_once(given):
    assert len(plots.pair((e for e in given["both"]), ns=(n for n in (1, None))).axes) == 7


def test_what_a_class_is_called_where_there_is_no_word_for_it():
    class Cat:
        pass

    def stroke(cat, times=1):
        return times

    stroke.__annotations__ = {"cat": Cat, "times": int}
    assert checked(stroke)(Cat(), 2) == 2
    with pytest.raises(QGCError, match="stroke: cat must be of the class Cat, not 'dog'; make one"):
        checked(stroke)("dog")


# -- widgets ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        *(("n", wrong, "n must be a whole number") for wrong in ("a", None, True, 2.5)),
        *(("question", wrong, "question must be text") for wrong in (None, 3, ["a"])),
        *(("answer", wrong, "answer must be text or None") for wrong in (3, ["a"])),
        *(("situation", wrong, "situation must be text") for wrong in (None, ["a"])),
        *((name, None, "must be") for name in ("seed", "distribution", "model", "reduce")),
        ("seed", "1", "seed must be a whole number"),
        ("own", "none.png", "no file none.png"),
        ("own", 3, "cannot read an image"),
    ],
)
def test_what_the_explorer_cannot_take_is_refused_when_it_is_set(given, name, value, says):
    state = widgets.ExplorerState(["m"], given["load"])
    before = getattr(state, name)
    with pytest.raises(QGCError, match=says):
        setattr(state, name, value)
    assert getattr(state, name) == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"situation": "nowhere"}, "no situation 'nowhere'"),
        ({"situation": widgets.RANDOM, "seed": -1}, "seed is -1; give a whole number from 0 on"),
        ({"situation": widgets.RANDOM, "distribution": "x"}, "choose one of natural, balanced"),
        ({"answer": "nope"}, "did you mean"),
        ({"reduce": "max"}, "choose one of l2"),
        ({"question": ""}, "question is empty"),
        ({"situation": widgets.OWN}, "choose a file"),
    ],
)
def test_what_the_explorer_cannot_show_is_told(given, changes, says):
    state = widgets.ExplorerState(["m"], given["load"])
    for name, value in changes.items():
        setattr(state, name, value)
    rendered = state.render()
    assert says in rendered.problem and rendered.image.startswith(b"\xff\xd8")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda g: widgets.ExplorerState("m", g["load"]), r"put it in a list, \[names\]"),
        (lambda g: widgets.ExplorerState([None], g["load"]), r"names\[0\] must be text"),
        (lambda g: widgets.ExplorerState(["m"], None), "load must be a function"),
        (lambda g: widgets.Explorer(None), "must be of the class ExplorerState"),
        (lambda g: widgets.EditorState("bathroom", g["vqa"]), r"take one with qgc.scene\('bathroom'\)"),
        (lambda g: widgets.EditorState(g["scene"], None), "vqa must be a model"),
        (lambda g: widgets.scene_editor(3, load=g["load"]), "name must be text"),
        (lambda g: widgets.EditorState(g["scene"], g["vqa"]).edit("cat", dx=1), "no 'cat' to edit in this scene; it"),
        (lambda g: widgets.EditorState(g["scene"], g["vqa"]).edit("sink", foo=1), "give dx, dy, colour, removed"),
        (lambda g: widgets.EditorState(g["scene"], g["vqa"]).edit("sink", dx="1"), "dx must be a whole number"),
        (lambda g: widgets.EditorState(g["scene"], g["vqa"]).explanations(None), "question must be text"),
        (lambda g: setattr(widgets.EditorState(g["scene"], g["vqa"]), "n", "a"), "n must be a whole number"),
    ],
)  # fmt: skip
def test_what_a_widget_cannot_take_is_refused(given, call, says):
    with pytest.raises(QGCError, match=says):
        call(given)


def test_a_question_that_the_scene_does_not_ask_is_shown_without_an_outline(given):
    editor = widgets.EditorState(given["scene"], given["vqa"])
    editor.question = "Is there a cat?"
    assert len(editor.render()) == 3
