# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [raw]
# # ASSIGNMENT CONFIG
# name: h1_scenes_and_maps
# init_cell: true
# check_all_cell: true
# export_cell: false
# tests: {ok_format: false}
# generate: {pdf: false, show_stdout: true}
# autograder_files: [school.py]

# %% [markdown]
# # Homework 1: scenes and maps
#
# Read first: [The world: abstract scenes with known truth](scenes-gallery) and
# [Same answer, same map?](same-answer). Questions 3 and 4 prepare
# [Ground truth and chance](ground-truth) and [What would convince you?](convince).
#
# Replace each `...` by your own code. The cell below a question runs the tests that you can see. They find slips; they
# do not prove that you are right. The other tests, on scenes that you do not have, run when your notebook is graded. So
# test your functions on further scenes: `qgc.scenes.sample(10_000_000, "natural")` is one, and every seed gives
# another.

# %%
import torch

import qgc

vqa = qgc.load("deeper-lstm/natural")
bathroom = qgc.scene("bathroom")
sink, towels = qgc.explain(vqa, bathroom, bathroom.questions, answer="white")

# %% [raw]
# # BEGIN QUESTION
# name: q1_gradcam
# points: 3

# %% [markdown]
# ## 1. Grad-CAM from its parts (3 points)
#
# *Goal: what Grad-CAM computes (Equations 1 and 2).* The weights of the feature maps are $\alpha = g M$, and the map
# is $L = \mathrm{ReLU}(\sum_k \alpha_k F^k)$. Write this as a function, without automatic differentiation and without
# `Explanation.map`. An explanation holds the parts: `sink.g`, `sink.M`, `sink.F`. Do not scale the result.

# %% [raw]
# # BEGIN SOLUTION


# %%
def gradcam_map(g, M, F):
    """Tensors g (J,), M (J, K) and F (1, K, h, w) → the map, a tensor (h, w)."""
    # BEGIN SOLUTION
    alpha = g @ M
    return torch.einsum("k,kij->ij", alpha, F[0]).relu()
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: the map of the bathroom's sink differs from Explanation.map()
"""  # END TEST CONFIG


def test_the_sink(gradcam_map):
    import torch

    import qgc

    scene = qgc.scene("bathroom")
    e = qgc.explain(qgc.load("deeper-lstm/natural"), scene, scene.questions[0], "white")
    torch.testing.assert_close(gradcam_map(e.g, e.M, e.F), e.map())


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 2
"""  # END TEST CONFIG


def test_other_scenes(gradcam_map):
    import school
    import torch

    for e in (*school.explained(0), *school.explained(1)):
        torch.testing.assert_close(gradcam_map(e.g, e.M, e.F), e.map())


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q2_swap
# points: 3

# %% [markdown]
# ## 2. Swap the question (3 points)
#
# *Goal: the question enters the map only through $u$.* In $g = c \circ u$ with $c = \partial y_a / \partial A$, only
# $u$ knows the question.
#
# - `swap_question(e, other_u)` gives the map of the explanation `e` **before the ReLU**, as it would be if the
#   question branch were `other_u`. `e.c`, `e.M` and `e.F` stay.
# - `predicted_cosine(c)` says, without computing any map, what the cosine of two maps before the ReLU is, of `e.u`
#   and of `c * e.u`, for any number `c` that is not zero. (Think before you compute.)

# %% [raw]
# # BEGIN SOLUTION


# %%
def swap_question(e, other_u):
    """An explanation and another question branch (J,) → the map (h, w) before the ReLU."""
    # BEGIN SOLUTION
    return torch.einsum("k,kij->ij", (e.c * other_u) @ e.M, e.F[0])
    # END SOLUTION


def predicted_cosine(c):
    """The cosine of the maps, before the ReLU, of u and of c times u."""
    # BEGIN SOLUTION
    return 1.0 if c > 0 else -1.0
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: twice the same u must give a cosine of 1, and twice the map
"""  # END TEST CONFIG


def test_twice_the_question(swap_question, predicted_cosine):
    import torch

    import qgc

    assert predicted_cosine(2.0) == 1
    scene = qgc.scene("bathroom")
    e = qgc.explain(qgc.load("deeper-lstm/natural"), scene, scene.questions[0], "white")
    torch.testing.assert_close(swap_question(e, 2 * e.u), 2 * e.map(relu=False))


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_the_other_questions_map(swap_question):
    import school
    import torch

    first, second = school.explained(0)
    torch.testing.assert_close(swap_question(first, second.u), second.map(relu=False))
    noise = torch.randn(len(first.u), generator=torch.Generator().manual_seed(0)).to(first.u)
    expected = torch.einsum("k,kij->ij", (first.c * noise) @ first.M, first.F[0])
    torch.testing.assert_close(swap_question(first, noise), expected)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_the_sign_of_c(swap_question, predicted_cosine):
    import school
    import torch

    from qgc.measure import cosine

    e = school.explained(1)[0]
    for c in (0.1, -0.5, -3.0):
        found = swap_question(e, c * e.u)
        torch.testing.assert_close(found, c * e.map(relu=False))
        assert abs(predicted_cosine(c) - cosine(e.map(relu=False), found)) < 1e-6


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q3_share
# points: 4

# %% [markdown]
# ## 3. The share of a map on an object (4 points)
#
# *Goal: measure where a map lies.* Enlarge the map to the mask's size as the book's figures do (bilinear, with
# `align_corners=False`) and give the part of its mass that is inside the mask: relevance mass accuracy. A map that is
# zero everywhere has a share of 0. Write it with PyTorch, without `qgc.measure`.

# %% [raw]
# # BEGIN SOLUTION


# %%
def share(L, mask):
    """A map (h, w) without negative values and a mask, a NumPy array (H, W) of bool → the share, a number."""
    # BEGIN SOLUTION
    size = mask.shape
    large = torch.nn.functional.interpolate(L[None, None], size, mode="bilinear", align_corners=False)[0, 0]
    total = float(large.sum())
    return float(large[torch.tensor(mask)].sum()) / total if total > 0 else 0.0
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: a map that is gray all over must have the object's area as its share
"""  # END TEST CONFIG


def test_a_gray_map_has_the_area(share):
    import torch

    import qgc

    mask = qgc.scene("bathroom").masks["sink"]
    torch.testing.assert_close(share(torch.full((14, 14), 0.3, dtype=torch.float64), mask), float(mask.mean()))


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 2
"""  # END TEST CONFIG


def test_real_maps(share):
    import school
    import torch

    from qgc.measure import map_share

    for pair in (0, 1):
        for e in school.explained(pair):
            for mask in school.masks(pair):
                expected = float(map_share(e.map(), mask).nan_to_num(0))
                torch.testing.assert_close(share(e.map(), mask), expected, rtol=0, atol=1e-9)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_an_empty_map_has_no_share(share):
    import school
    import torch

    assert share(torch.zeros(14, 14, dtype=torch.float64), school.masks(0)[0]) == 0


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q4_tests
# points: 4

# %% [markdown]
# ## 4. Two tests of a pair, and how a third is fooled (4 points)
#
# *Goal: judge a measure by maps of which you know what it must say.* Two questions have the same answer and ask about
# objects 1 and 2.
#
# - `object_test(R)`: `R[i][j]` is the share of map i on object j. For each object: does it get more of its *own*
#   question's map than of the other's? 1 if more, 0 if less, ½ if the two differ by at most 1e-9. Give the mean over
#   both objects. If a map is empty (both of its shares are 0), the result is ½.
# - `rank_test(maps, S)`: `maps` (2, h, w) before the ReLU; `S[j]` (h, w) says which part of each cell object j
#   covers. With $a_i = P[L_i(p \in S_1) > L_i(p \in S_2)] + ½ P[=]$, cells drawn in proportion to $S_j$, the result
#   is 1 if $a_1 > a_2$, 0 if $a_1 < a_2$, ½ if they differ by at most 1e-9.
# - `fool(L, masks)`: from *one* map `L` (h, w) with positive values, make two maps that have the same order of cells
#   as `L`, such that `qgc.measure.cga(qgc.measure.shares(maps, masks))` is 1. (The registered measure is fooled:
#   neither map knows a question.)

# %% [raw]
# # BEGIN SOLUTION


# %%
def object_test(R):
    """Shares R, a list of two lists → 0, ¼, ½, ¾ or 1."""
    # BEGIN SOLUTION
    if not (any(R[0]) and any(R[1])):
        return 0.5
    gains = (R[0][0] - R[1][0], R[1][1] - R[0][1])
    return sum(0.5 if abs(gain) <= 1e-9 else float(gain > 0) for gain in gains) / 2
    # END SOLUTION


def rank_test(maps, S):
    """Maps (2, h, w) and covered parts S (2, h, w), tensors → 0, ½ or 1."""
    # BEGIN SOLUTION
    first, second = (weight.flatten() / weight.sum() for weight in S)
    a = []
    for L in maps:
        x = L.flatten()
        wins = (x[:, None] > x).double() + 0.5 * (x[:, None] == x).double()
        a.append(float(first @ wins @ second))
    return 0.5 if abs(a[0] - a[1]) <= 1e-9 else float(a[0] > a[1])
    # END SOLUTION


def fool(L, masks):
    """A map (h, w) and two masks (H, W) → two maps, a tensor (2, h, w), with the order of L's cells."""
    # BEGIN SOLUTION
    sharper = [torch.stack(pair) for pair in ((L**3, L), (L, L**3))]
    return max(sharper, key=lambda maps: float(qgc.measure.margin(qgc.measure.shares(maps, masks))))
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: each map on its own object must give 1, each on the other's 0
"""  # END TEST CONFIG


def test_two_plain_cases(object_test, rank_test):
    import torch

    assert object_test([[0.6, 0.1], [0.1, 0.6]]) == 1
    assert object_test([[0.1, 0.6], [0.6, 0.1]]) == 0
    S = torch.eye(4, dtype=torch.float64)[:2].view(2, 2, 2)
    assert rank_test(S, S) == 1
    assert rank_test(S.flip(0), S) == 0


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
failure_message: planted shares
"""  # END TEST CONFIG


def test_planted_shares(object_test):
    import itertools

    from qgc.measure import object_grounding

    assert object_test([[0.7, 0.1], [0.7, 0.1]]) == 0.5, "a map that ignores the question"
    for row in itertools.product((0.1, 0.2, 0.6), repeat=4):
        R = [list(row[:2]), list(row[2:])]
        assert object_test(R) == float(object_grounding(R)), R
    for R in ([[0.6, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.1, 0.6]]):
        assert object_test(R) == 0.5, "an empty map"


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
failure_message: the rank test on other scenes
"""  # END TEST CONFIG


def test_ranks_on_other_scenes(rank_test):
    import school
    import torch

    from qgc.measure import rank_grounding
    from qgc.measure.pairs import cell_cover

    for pair in range(3):
        S = torch.stack([cell_cover(mask, (14, 14)).view(14, 14) for mask in school.masks(pair)])
        maps = school.maps(pair)
        for both in (
            maps,
            maps.flip(0),
            torch.stack([maps[0], maps[0].exp()]),
            maps.sign(),
            maps.clamp_min(maps.median()),
        ):
            assert rank_test(both, S) == float(rank_grounding(both, school.masks(pair)).verdict)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
failure_message: the maps must fool CGA, and keep the order of cells
"""  # END TEST CONFIG


def test_cga_is_fooled(fool):
    import school
    import torch

    from qgc.measure import cga, rank_grounding, shares

    for pair in range(3):
        L = school.explained(pair)[0].map(relu=False)
        L = (L - L.min()) / (L.max() - L.min()) + 0.1
        maps = fool(L, school.masks(pair))
        assert maps is not None, "no maps"
        for one in maps:
            torch.testing.assert_close(one.flatten().argsort(stable=True), L.flatten().argsort(stable=True))
        assert float(cga(shares(maps, school.masks(pair)))) == 1
        assert float(rank_grounding(maps, school.masks(pair)).verdict) == 0.5


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION
