# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [raw]
# # ASSIGNMENT CONFIG
# name: h3_chance_and_controls
# init_cell: true
# check_all_cell: true
# export_cell: false
# tests: {ok_format: false}
# generate: {pdf: false, show_stdout: true}
# autograder_files: [school.py]

# %% [markdown]
# # Homework 3: chance and controls
#
# Read first: [Ground truth and chance](ground-truth), [Which ranking, and which n?](which-n) and
# [More than a random gate?](controls). Question 12 prepares [What works better?](what-works).
#
# In this homework the **effect** of a pair of maps is $a_1 - a_2$ of the rank test: `qgc.measure.rank_grounding(maps,
# masks)` takes both maps *before the ReLU* and gives `verdict`, `a_1` and `a_2`. An effect above zero is right, below
# zero wrong.

# %%
import numpy as np
import pandas as pd
import torch

import qgc
from qgc.explain import gates
from qgc.measure import rank_grounding, same_answer_pairs

vqa = qgc.load("deeper-lstm/natural")
bathroom = qgc.scene("bathroom")
pair = same_answer_pairs([bathroom])[0]  # .scene, .first.question, .first.thing, .second, .answer

# %% [raw]
# # BEGIN QUESTION
# name: q9_p_value
# points: 4

# %% [markdown]
# ## 9. Better than random gates? (4 points)
#
# *Goal: a number in place of "this map looks better".* `ours` is the effect of the paper's gate, `drawn` holds the
# effects of random gates. Give the p-value: the share of all gates, ours included, that are **at least** as good as
# ours. Two rules:
#
# - A gate with an empty map has the effect `nan`. It has told nothing apart, so it counts as an effect of 0.
# - With `two_sided=True` the *size* of the effects is compared, whatever their sign.

# %% [raw]
# # BEGIN SOLUTION


# %%
def p_value(ours, drawn, two_sided=False):
    """Our effect and an array of random gates' effects → p, a number above 0 and at most 1."""
    # BEGIN SOLUTION
    drawn = np.nan_to_num(np.asarray(drawn, float))
    if two_sided:
        ours, drawn = abs(ours), np.abs(drawn)
    return float((1 + (drawn >= ours).sum()) / (1 + len(drawn)))
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: the best of 101 gates has p = 1/101, never 0
"""  # END TEST CONFIG


def test_the_best_of_all(p_value):
    import numpy as np
    import torch

    torch.testing.assert_close(p_value(0.9, np.linspace(-0.5, 0.5, 100)), 1 / 101)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_ties_count_against_us(p_value):
    import torch

    torch.testing.assert_close(p_value(0.2, [0.2] * 5 + [0.1] * 14), 6 / 20)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_empty_maps_count_as_zero(p_value):
    import torch

    nan = float("nan")
    torch.testing.assert_close(p_value(-0.1, [nan, nan, -0.3, 0.4]), 4 / 5)
    torch.testing.assert_close(p_value(0.1, [nan, nan, -0.3, 0.4]), 2 / 5)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_two_sided_on_a_real_pair(p_value):
    import school
    import torch

    ours, drawn = school.gate_and_random(0)
    larger = sum(abs(one) >= abs(ours) for one in drawn)
    torch.testing.assert_close(p_value(ours, drawn, two_sided=True), (1 + larger) / (1 + len(drawn)))
    torch.testing.assert_close(p_value(-0.3, [0.4, 0.1, -0.2, 0.2], two_sided=True), 2 / 5)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q10_honest
# points: 4

# %% [markdown]
# ## 10. Choose here, report there (4 points)
#
# *Goal: what a chosen n is worth.* Two curves give the accuracy at each of the values `ns`: one on validation scenes,
# one on test scenes. Choose n, then report it as somebody who read the test scenes only once. If several n are
# equally good, take the smallest.
#
# Give three numbers: the chosen n, its honest accuracy, and the **optimism**: by how much the best accuracy that
# could have been picked on the test scenes exceeds it.

# %% [raw]
# # BEGIN SOLUTION


# %%
def honest(ns, validation, test):
    """Values ns (ascending) and two curves as long → (n, accuracy, optimism)."""
    # BEGIN SOLUTION
    best = int(np.argmax(validation))
    return ns[best], float(test[best]), float(np.max(test) - test[best])
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: where both curves are highest at one n, that n is chosen and the optimism is 0
"""  # END TEST CONFIG


def test_two_curves_that_agree(honest):
    found = honest([10, 25, 100], [0.5, 0.7, 0.6], [0.4, 0.7, 0.5])
    assert found is not None and tuple(found) == (25, 0.7, 0.0)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 2
"""  # END TEST CONFIG


def test_curves_of_other_scenes(honest):
    import school

    ns, validation, test = school.curves()
    for first, second in ((validation, test), (test, validation)):
        found = honest(ns, first, second)
        n = min(n for n, value in zip(ns, first, strict=True) if value == max(first))
        accuracy = second[ns.index(n)]
        assert found is not None and found[0] == n and abs(found[1] - accuracy) < 1e-9
        assert abs(found[2] - (max(second) - accuracy)) < 1e-9 and found[2] >= 0


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_curves_that_disagree(honest):
    found = honest([10, 25, 100], [0.5, 0.8, 0.8], [0.9, 0.6, 0.7])
    assert found is not None and found[0] == 25 and abs(found[1] - 0.6) < 1e-9 and abs(found[2] - 0.3) < 1e-9


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q11_some_n
# points: 3

# %% [markdown]
# ## 11. There is always an n (3 points)
#
# *Goal: what cherry-picking can show.* Take a **random** ranking of the neurons, one for each question. For how many
# pairs is there *some* n at which the gate is right?
#
# - `random_effects(vqa, pair, ns, rng)`: the effects of a pair at every n of `ns`. The ranking of the first question
#   is `rng.permutation(1024)`, given to `qgc.explain(..., rank=torch.tensor(...))` as scores; that of the second
#   question is the next one that `rng` gives.
# - `some_n_is_right(effects)`: `effects` has a row for each pair and a column for each n. For what share of the pairs
#   is the effect above 1e-9 at some n?

# %% [raw]
# # BEGIN SOLUTION


# %%
def random_effects(vqa, pair, ns, rng):
    """A model, a pair, values of n and a NumPy generator → effects, a tensor (len(ns),)."""
    # BEGIN SOLUTION
    maps = []
    for ask in (pair.first, pair.second):
        e = qgc.explain(vqa, pair.scene, ask.question, pair.answer, rank=torch.tensor(rng.permutation(1024)))
        maps.append(e.maps(ns, relu=False))
    masks = [pair.scene.masks[ask.thing] for ask in (pair.first, pair.second)]
    _, a_1, a_2 = rank_grounding(torch.stack(maps, 1), masks)
    return a_1 - a_2
    # END SOLUTION


def some_n_is_right(effects):
    """Effects (pairs, len(ns)), an array → a share from 0 to 1."""
    # BEGIN SOLUTION
    return float((np.asarray(effects) > 1e-9).any(axis=1).mean())
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: one effect for each n, and a share from 0 to 1
"""  # END TEST CONFIG


def test_the_bathroom(random_effects, some_n_is_right):
    import numpy as np

    import qgc

    pair = qgc.measure.same_answer_pairs([qgc.scene("bathroom")])[0]
    found = random_effects(qgc.load("deeper-lstm/natural"), pair, [10, 25, 1024], np.random.default_rng(0))
    assert found is not None and tuple(found.shape) == (3,)
    assert 0 <= some_n_is_right(np.array([found.tolist()])) <= 1


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_other_pairs(random_effects):
    import numpy as np
    import school
    import torch

    pair = school.pairs(1)[0]
    found = random_effects(school.model(), pair, list(school.NS), np.random.default_rng(7))
    torch.testing.assert_close(found, school.shuffled_effects(0, 7))


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_each_pair_may_have_its_own_n(some_n_is_right):
    import numpy as np
    import school

    effects = np.stack([school.shuffled_effects(k, seed).numpy() for k in (0, 1, 2) for seed in (7, 8)])
    assert some_n_is_right(effects) == (effects.max(axis=1) > 1e-9).mean()
    assert some_n_is_right(np.array([[0.1, -0.1], [-0.1, 0.1], [-0.2, 0.0], [0.0, 0.3]])) == 0.75


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q12_contrast
# points: 4

# %% [markdown]
# ## 12. A contrast without gain (4 points)
#
# *Goal: subtract two maps without one of them winning by its strength.* From two questions' maps **before the ReLU**,
# make the contrast of the first: divide each map by the sum of its absolute values, subtract, and set negative values
# to zero. A map of zeros stays as it is. Do not use `qgc.explain.contrast`.

# %% [raw]
# # BEGIN SOLUTION


# %%
def contrast(first, second):
    """Two maps (h, w) before the ReLU, tensors → what the first has more than the second, (h, w)."""
    # BEGIN SOLUTION
    sizes = [map_.abs().sum() for map_ in (first, second)]
    first, second = (m / size if size > 0 else m for m, size in zip((first, second), sizes, strict=True))
    return (first - second).relu()
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: a map's contrast with itself is zero, and no contrast is negative
"""  # END TEST CONFIG


def test_itself_and_another(contrast):
    import torch

    import qgc

    scene = qgc.scene("bathroom")
    both = qgc.explain(qgc.load("deeper-lstm/natural"), scene, scene.questions, "white")
    first, second = (e.map(relu=False) for e in both)
    torch.testing.assert_close(contrast(first, first), torch.zeros_like(first))
    assert contrast(first, second).min() >= 0


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_other_scenes(contrast):
    import school
    import torch

    import qgc

    for k in range(3):
        for maps in (school.maps(k), school.maps(k).flip(0)):
            expected = qgc.explain.contrast(*maps, normalise="l1").relu()
            torch.testing.assert_close(contrast(*maps), expected, rtol=1e-6, atol=1e-12)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_gain_changes_nothing(contrast):
    import school
    import torch

    first, second = school.maps(0)
    torch.testing.assert_close(contrast(5 * first, second), contrast(first, 0.1 * second), rtol=1e-6, atol=1e-12)
    assert contrast(5 * first, second).max() > 0


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_an_empty_map(contrast):
    import school
    import torch

    import qgc

    first = school.maps(1)[0]
    for maps in ((first, torch.zeros_like(first)), (torch.zeros_like(first), first)):
        expected = qgc.explain.contrast(*maps, normalise="l1").relu()
        torch.testing.assert_close(contrast(*maps), expected, rtol=1e-6, atol=1e-12)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q13_table
# points: 6

# %% [markdown]
# ## 13. A table with intervals (6 points)
#
# *Goal: report an accuracy with what is not known about it.*
#
# - `bootstrap(values, scenes)`: the 95 % interval of the mean. Pairs of one scene are not independent, so draw whole
#   **scenes** again, with replacement, at least 1,000 times, and take the middle 95 % of the means over all rows
#   drawn.
# - `differ(a, b, scenes)`: do two methods differ, scored on the *same* pairs? `True` if the interval of the mean of
#   `a - b` does not hold zero.
# - `score_table(vqa, pairs)`: a table with the rows `Grad-CAM`, `gate 25`, `random 25` and `contrast`, and the
#   columns `RGA` (mean verdict of the rank test), `low` and `high` (by `bootstrap`, with `pair.scene.seed` as the
#   scene). `random 25` keeps `gates.random_rankings(1024)[0][:25]` for every question; `contrast` is the one of
#   question 12, before its ReLU.
#
# Then make the table for the pairs of the first 60 validation scenes, `qgc.scenes.sample(10_000_000 + i, "natural")`.
# Do not expect a winner.

# %% [raw]
# # BEGIN SOLUTION


# %%
def bootstrap(values, scenes):
    """Values (N,) and a scene's label for each of them → (low, high)."""
    # BEGIN SOLUTION
    values, scenes = np.asarray(values, float), np.asarray(scenes)
    sums, counts = np.array([(values[scenes == s].sum(), (scenes == s).sum()) for s in np.unique(scenes)]).T
    drawn = np.random.default_rng(0).integers(len(sums), size=(2000, len(sums)))
    low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    return float(low), float(high)
    # END SOLUTION


def differ(a, b, scenes):
    """Values (N,) of two methods on the same pairs, and the scenes' labels → True or False."""
    # BEGIN SOLUTION
    low, high = bootstrap(np.asarray(a, float) - np.asarray(b, float), scenes)
    return low > 0 or high < 0
    # END SOLUTION


def score_table(vqa, pairs):
    """A model and pairs of questions → a DataFrame with four rows and the columns RGA, low, high."""
    # BEGIN SOLUTION
    dealt = gates.random_rankings(1024)[0][:25]
    verdicts = {"Grad-CAM": [], "gate 25": [], "random 25": [], "contrast": []}
    for pair in pairs:
        asks = (pair.first, pair.second)
        both = qgc.explain(vqa, pair.scene, [ask.question for ask in asks], pair.answer)
        plain = [e.map(relu=False) for e in both]
        first, second = (m / m.abs().sum() for m in plain)
        maps = (plain, [e.map(25, relu=False) for e in both], [e.map(neurons=dealt, relu=False) for e in both])
        for values, two in zip(verdicts.values(), (*maps, [first - second, second - first]), strict=True):
            masks = [pair.scene.masks[ask.thing] for ask in asks]
            values.append(float(rank_grounding(torch.stack(two), masks).verdict))
    scenes = [pair.scene.seed for pair in pairs]
    rows = {name: (np.mean(values), *bootstrap(values, scenes)) for name, values in verdicts.items()}
    return pd.DataFrame(rows, index=["RGA", "low", "high"]).T
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: the rows and columns have other names, or an accuracy is outside of 0 to 1 or of its interval
"""  # END TEST CONFIG


def test_the_form(score_table):
    import qgc

    pairs = qgc.measure.same_answer_pairs([qgc.scene("bathroom"), qgc.scene("birthday")])
    table = score_table(qgc.load("deeper-lstm/natural"), pairs)
    assert table is not None
    assert list(table.index) == ["Grad-CAM", "gate 25", "random 25", "contrast"]
    assert list(table.columns) == ["RGA", "low", "high"]
    assert ((0 <= table["low"]) & (table["low"] <= table["RGA"]) & (table["RGA"] <= table["high"])).all()
    assert (table["high"] <= 1).all()


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 2
"""  # END TEST CONFIG


def test_other_pairs_of_the_table(score_table):
    import school
    import torch

    table = score_table(school.model(), list(school.pairs(5)))
    assert table is not None
    for name, expected in school.accuracies(5).items():
        torch.testing.assert_close(float(table["RGA"][name]), expected)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 2
"""  # END TEST CONFIG


def test_scenes_are_drawn_not_pairs(bootstrap):
    import numpy as np
    import school

    from qgc.measure import stats

    rng = np.random.default_rng(school.SEED)
    scenes = np.repeat(np.arange(15), 8)
    values = rng.normal(0.6, 0.2, 15)[scenes] + rng.normal(0, 0.02, len(scenes))
    expected = stats.interval(values, scenes)
    found = bootstrap(values, scenes)
    assert found is not None
    for end, truth in zip(found, (expected.low, expected.high), strict=True):
        assert abs(end - truth) < 0.15 * (expected.high - expected.low)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_a_difference_is_paired(differ):
    import numpy as np
    import school

    rng = np.random.default_rng(school.SEED)
    scenes = np.repeat(np.arange(20), 4)
    b = rng.normal(0.6, 0.2, 20)[scenes]
    small = rng.normal(0, 0.02, len(scenes))
    assert differ(b + 0.05 + small, b, scenes) in (True, np.True_), "a small difference on every pair"
    noise = rng.normal(0, 0.2, 20)
    assert differ(b + (noise - noise.mean())[scenes], b, scenes) in (False, np.False_), "no difference in the mean"


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION
