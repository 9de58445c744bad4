# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [raw]
# # ASSIGNMENT CONFIG
# name: h4_cause
# init_cell: true
# check_all_cell: true
# export_cell: false
# tests: {ok_format: false}
# generate: {pdf: false, show_stdout: true}
# files: [paper.pdf]
# autograder_files: [school.py]

# %% [markdown]
# # Homework 4: cause
#
# Read first: [Is it the map or the model?](map-or-model) and [Activations, signs and ReLU](activations). You need
# `paper.pdf`, which is beside this notebook.

# %%
from copy import deepcopy

import torch

import qgc
from qgc.explain import guided_backprop
from qgc.measure import cosine

vqa = qgc.load("deeper-lstm/balanced")
bathroom = qgc.scene("bathroom")

# %% [raw]
# # BEGIN QUESTION
# name: q14_effect
# points: 5

# %% [markdown]
# ## 14. Change the image and ask again (5 points)
#
# *Goal: find out what a model uses, without any map.*
#
# - `effect(vqa, scene, thing, colour, question, answer)`: what recoloring one object costs the **score** (before the
#   softmax) of the *same* answer: $\Delta = y_a(\text{before}) - y_a(\text{after})$. Nothing else in the scene may
#   change. `qgc.explain(...).y` holds all scores, in the order of `vqa.answers`.
# - `interventional(effects)`: `effects[i][j]` is $\Delta$ of question i when object j changes; object i is the one
#   that question i asks about. The result is 1 if the own objects move the scores further, $|\Delta_{11}| +
#   |\Delta_{22}| > |\Delta_{12}| + |\Delta_{21}|$, 0 if the others do, ½ if both sums are equal.

# %% [raw]
# # BEGIN SOLUTION


# %%
def effect(vqa, scene, thing, colour, question, answer):
    """A model, a scene, the name of an object, its new color, a question and an answer → Δ, a number."""
    # BEGIN SOLUTION
    a = vqa.answers.index(answer)
    before, after = (qgc.explain(vqa, s, question, answer).y[a] for s in (scene, scene.recolour(thing, colour)))
    return float(before - after)
    # END SOLUTION


def interventional(effects):
    """Effects, a list of two lists → 0, ½ or 1."""
    # BEGIN SOLUTION
    own = abs(effects[0][0]) + abs(effects[1][1])
    other = abs(effects[0][1]) + abs(effects[1][0])
    return 0.5 if own == other else float(own > other)
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: a green sink must cost the balanced model score for white; large effects of the own objects give 1
"""  # END TEST CONFIG


def test_the_sink(effect, interventional):
    import qgc

    scene = qgc.scene("bathroom")
    found = effect(qgc.load("deeper-lstm/balanced"), scene, "sink", "green", scene.questions[0], "white")
    assert found is not None and found > 0
    assert interventional([[3.0, 1.0], [1.0, 3.0]]) == 1


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 2
"""  # END TEST CONFIG


def test_other_scenes(effect):
    import school
    import torch

    for name in ("deeper-lstm/balanced", school.NATURAL):
        for arguments, expected in school.recoloured(name):
            found = effect(school.model(name), *arguments)
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-9)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 2
"""  # END TEST CONFIG


def test_the_models_verdict(interventional):
    import school

    from qgc.lab.experiments.effects import interventional_grounding

    cases = [[[3.0, -4.0], [1.0, -3.0]], [[1.0, 2.0], [2.0, 1.0]], [[2.0, -2.0], [1.0, 1.0]], [[-3.0, 1.0], [1.0, 3.0]]]
    effects = [delta for _, delta in school.recoloured(school.NATURAL)[:4]]
    for (a, b), (c, d) in [*cases, [effects[:2], effects[2:]]]:
        assert interventional([[a, b], [c, d]]) == interventional_grounding([a, d], [b, c])


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q15_sanity
# points: 3

# %% [markdown]
# ## 15. A sanity check of crisp images (3 points)
#
# *Goal: a plausible image need not say anything about the model.* Guided backpropagation draws sharp objects. Spoil
# one layer of the model and see whether the drawing notices.
#
# `cosines(vqa, scene, question, answer, layers)`: for each name in `layers` take a **copy** of the model, permute the
# entries of `copy.get_submodule(name).weight` by `torch.randperm(weight.numel(),
# generator=torch.Generator().manual_seed(0))`, and give the cosine of `guided_backprop` before and after. The given
# model must stay as it is.
#
# Then compare the last layer, `"output"`, with the first convolution, `"cnn.features.0"`, and choose the
# `conclusion`:
#
# - `"a"`: the drawing shows the object, so the model used it for its answer.
# - `"b"`: the drawing hardly depends on what the model learnt to answer. It is mostly the first layers and the image.
# - `"c"`: the drawing depends on the last layer more than on the first.

# %% [raw]
# # BEGIN SOLUTION


# %%
def cosines(vqa, scene, question, answer, layers):
    """A model, a scene, a question, an answer and names of layers → a dict from name to cosine."""
    # BEGIN SOLUTION
    before, found = guided_backprop(qgc.explain(vqa, scene, question, answer)), {}
    for name in layers:
        copy = deepcopy(vqa)
        weight = copy.get_submodule(name).weight.data
        order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(0))
        weight.copy_(weight.flatten()[order].view_as(weight))
        found[name] = cosine(before, guided_backprop(qgc.explain(copy, scene, question, answer)))
    return found
    # END SOLUTION


conclusion = ...
# BEGIN SOLUTION NO PROMPT
conclusion = "b"
# END SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: the keys are the names of the layers, the values from -1 to 1; the conclusion is a letter
"""  # END TEST CONFIG


def test_the_form(cosines, conclusion):
    import qgc

    scene = qgc.scene("bathroom")
    found = cosines(qgc.load("deeper-lstm/natural"), scene, scene.questions[0], "white", ["output"])
    assert found is not None and list(found) == ["output"] and -1 <= found["output"] <= 1.000001
    assert conclusion in ("a", "b", "c")


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_another_scene(cosines):
    import school
    import torch

    p, vqa = school.pairs(1)[0], school.model()
    expected, weight = school.guided_cosines(), vqa.output.weight.clone()
    found = cosines(vqa, p.scene, p.first.question, p.answer, list(expected))
    assert found is not None and list(found) == list(expected)
    assert torch.equal(vqa.output.weight, weight), "the given model was changed"
    for layer, value in expected.items():
        torch.testing.assert_close(found[layer], value, rtol=0, atol=1e-6)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_the_conclusion(conclusion):
    import school

    last, first = school.guided_cosines().values()
    assert conclusion == ("b" if last > first else "c")


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q16_review
# points: 3
# manual: true

# %% [markdown]
# ## 16. Review a paper (3 points)
#
# *Goal: find what is missing.* `paper.pdf` is one page about a new method, made with scenes of your course. It has
# **five** flaws that this book has met. For each: quote the words, say in one sentence what they hide, and what the
# authors should have done. Between half a page and one page.
#
# Points: 3 for five flaws with a remedy each, 2 for four, 1 for two or three.

# %% [raw]
# # BEGIN SOLUTION

# %% [markdown]
# 1. *"For each image we show the n at which the map is clearest."* With an n for each image nearly any ranking has a
#    map that looks right, a random one too (question 11). Take one n for all images, fixed on validation scenes.
# 2. *No control.* Nothing else is measured: no random neurons, as many of them; no map that ignores the question; no
#    plain Grad-CAM. Each of them might do as well.
# 3. *"Each map is scaled to its own maximum."* A map with a hundredth of Grad-CAM's mass then looks as strong as
#    Grad-CAM. Show them on one scale or give their mass, and say how many maps are empty.
# 4. *"Chance is 50 %."* Typed, not measured. With the best of several n it is far more: measure it with random
#    rankings that may choose their n as well.
# 5. *"… the ranking and the measure with the best result on the test scenes."* The test scenes were used to choose, so
#    the result on them is too good. Choose on validation scenes, and read the test scenes once.

# %% [raw]
# # END SOLUTION

# %% [raw]
# # END QUESTION
