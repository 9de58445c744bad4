# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [raw]
# # ASSIGNMENT CONFIG
# name: h2_sensitivity_and_gate
# init_cell: true
# check_all_cell: true
# export_cell: false
# tests: {ok_format: false}
# generate: {pdf: false, show_stdout: true}
# autograder_files: [school.py]

# %% [markdown]
# # Homework 2: sensitivity and gate
#
# Read first: [The sensitivity](sensitivity), [Which ∂A/∂q did the paper compute?](which-reduction),
# [The gate](gate) and [The rank correlation](rank-correlation).
#
# As before: the tests that you can see find slips. Try your functions on scenes of your own.

# %%
from math import comb

import torch

import qgc

vqa = qgc.load("deeper-lstm/natural")
bathroom = qgc.scene("bathroom")
sink, towels = qgc.explain(vqa, bathroom, bathroom.questions, answer="white")

# %% [raw]
# # BEGIN QUESTION
# name: q5_sensitivity
# points: 4

# %% [markdown]
# ## 5. A row of ∂A/∂q (4 points)
#
# *Goal: where the sensitivity comes from.* $A = u \circ v$ with $u = \tanh(W_q q + b_q)$. Work out row $j$ of
# $\partial A / \partial q$ on paper, and give the length (l2 norm) of each row, without automatic differentiation and
# without `qgc.explain`. For the bathroom your result should be `sink.sensitivity`.

# %% [raw]
# # BEGIN SOLUTION


# %%
def sensitivity(v, u, Wq):
    """Branches v, u (J,) and weights Wq (J, Q) → the length of each row of ∂A/∂q, a tensor (J,)."""
    # BEGIN SOLUTION
    return v.abs() * (1 - u**2) * Wq.norm(dim=1)
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: a neuron with u = 0 and v = 1 must have the length of its row of Wq
"""  # END TEST CONFIG


def test_one_neuron(sensitivity):
    import torch

    found = sensitivity(torch.ones(1), torch.zeros(1), torch.tensor([[3.0, 4.0]]))
    torch.testing.assert_close(found, torch.tensor([5.0]))


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 2
"""  # END TEST CONFIG


def test_questions_of_other_scenes(sensitivity):
    import school
    import torch

    Wq = school.model().question.weight.detach()
    for pair in range(3):
        for e in school.explained(pair):
            torch.testing.assert_close(sensitivity(e.v, e.u, Wq), e.sensitivity)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_the_first_ten(sensitivity):
    import school
    import torch

    Wq = school.model().question.weight.detach()
    e = school.explained(0)[1]
    found = sensitivity(e.v, e.u, Wq)
    assert found is not None and torch.equal(found.argsort(descending=True)[:10], e.order[:10])


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q6_reduction
# points: 3

# %% [markdown]
# ## 6. Which formula did the paper print? (3 points)
#
# *Goal: the same ranking does not mean the same formula.* Two clues of the printed Tables 1–4:
#
# - **size**: the largest printed value of a question is up to 5.1. A candidate fits if at least half of the paper's
#   five values lie between the smallest and the largest of *our* questions' largest values, give or take a factor of
#   4.
# - **constant**: two neurons keep one value, to four decimals, in four images under one question. A candidate fits if
#   one value can stay while others change.
#
# Write `constant_in_all(columns)`: which neurons stand in *every* column with the *same* value? And fill
# `excluded_by`: for each candidate `"size"`, `"constant"` (one that rules it out is enough) or `"nothing"`. Our largest
# values, of `natural` and `early`, scaled to the paper's 2048 entries of $q$, are in the chapter. The last candidate,
# the mean of a row, is not.

# %% [raw]
# # BEGIN SOLUTION


# %%
def constant_in_all(columns):
    """Columns, each a dict from neuron to printed value → the set of neurons with one value in all of them."""
    # BEGIN SOLUTION
    first, *others = columns
    return {neuron for neuron, value in first.items() if all(c.get(neuron) == value for c in others)}
    # END SOLUTION


excluded_by = {
    "l2": ...,
    "sum": ...,
    "abs-sum": ...,
    "largest entry": ...,
    "tanh only": ...,
    "of ΣA": ...,
    "mean": ...,
}
# BEGIN SOLUTION NO PROMPT
excluded_by = {
    "l2": "nothing",
    "sum": "nothing",
    "abs-sum": "size",
    "largest entry": "size",
    "tanh only": "size",
    "of ΣA": "constant",
    "mean": "size",
}
# END SOLUTION

# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: each candidate needs one of size, constant and nothing; and see the two columns of the test
"""  # END TEST CONFIG


def test_the_form(constant_in_all, excluded_by):
    assert constant_in_all([{7: 0.5, 8: 0.4}, {7: 0.5, 9: 0.4}]) == {7}
    assert set(excluded_by) == {"l2", "sum", "abs-sum", "largest entry", "tanh only", "of ΣA", "mean"}
    assert set(excluded_by.values()) <= {"size", "constant", "nothing"}


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_the_papers_columns(constant_in_all):
    from qgc.paper import TOP10

    columns = [dict(zip(c.indices, c.values, strict=True)) for n in (1, 2) for c in TOP10[n].columns]
    expected = {j for j in columns[0] if {c.get(j) for c in columns} == {columns[0][j]}}
    assert expected and constant_in_all(columns) == expected
    shifted = [columns[0], {j: value + 0.01 for j, value in columns[0].items()}]
    assert constant_in_all(shifted) == set()


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_each_clue_rules_out_its_candidate(excluded_by):
    import school

    for candidate, clues in school.clues().items():
        assert excluded_by[candidate] in (clues or {"nothing"}), candidate


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q7_gated
# points: 4

# %% [markdown]
# ## 7. The gate as a sum (4 points)
#
# *Goal: what the gate changes, and what it leaves.* Write the map of an explanation with the gradient gated to the
# neurons `keep`, without `Explanation.map` or `maps`. The gate acts on the backward pass alone: the model's answer,
# and all that was computed forwards, stay as they are.

# %% [raw]
# # BEGIN SOLUTION


# %%
def gated(e, keep):
    """An explanation and a list of neurons → the gated map (h, w), after the ReLU."""
    # BEGIN SOLUTION
    alpha = e.g[keep] @ e.M[keep]
    return torch.einsum("k,kij->ij", alpha, e.F[0]).relu()
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: with all neurons the map must be Grad-CAM
"""  # END TEST CONFIG


def test_all_neurons_are_grad_cam(gated):
    import torch

    import qgc

    scene = qgc.scene("bathroom")
    e = qgc.explain(qgc.load("deeper-lstm/natural"), scene, scene.questions[0], "white")
    torch.testing.assert_close(gated(e, list(range(1024))), e.map())


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_some_neurons(gated):
    import school
    import torch

    for e in school.explained(0):
        for keep in (e.order[:25].tolist(), list(range(0, 1024, 7))):
            torch.testing.assert_close(gated(e, keep), e.map(neurons=keep))


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 2
"""  # END TEST CONFIG


def test_the_answer_stays_as_it_was(gated):
    """Pythia's classifier is not linear, so a gate in the forward pass gives another gradient."""
    import school
    import torch

    e = school.explained(0, "pythia/natural")[0]
    keep = e.order[:200:2].tolist()
    torch.testing.assert_close(gated(e, keep), e.map(neurons=keep), rtol=1e-5, atol=1e-12)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION

# %% [raw]
# # BEGIN QUESTION
# name: q8_overlap
# points: 3

# %% [markdown]
# ## 8. Two lists of ten (3 points)
#
# *Goal: compare with chance, not with zero.* Two questions' ten most sensitive neurons of 1024 have two in common. Is
# that many or few?
#
# - `expected_overlap(k, J)`: how many neurons do two random lists of `k` of `J` neurons share on average?
# - `p_overlap(shared, k, J)`: how probable is it that they share *at least* `shared`?

# %% [raw]
# # BEGIN SOLUTION


# %%
def expected_overlap(k, J):
    """The mean number of neurons that two random lists of k of J neurons share."""
    # BEGIN SOLUTION
    return k * k / J
    # END SOLUTION


def p_overlap(shared, k, J):
    """The probability that two random lists of k of J neurons share at least `shared`."""
    # BEGIN SOLUTION
    ways = sum(comb(k, m) * comb(J - k, k - m) for m in range(shared, k + 1))
    return ways / comb(J, k)
    # END SOLUTION


# %% [raw]
# # END SOLUTION

# %% [raw]
# # BEGIN TESTS

# %%
""" # BEGIN TEST CONFIG
points: 1
failure_message: ten of 1024 share one neuron in ten pairs of lists; a probability lies between 0 and 1
"""  # END TEST CONFIG


def test_ten_of_1024(expected_overlap, p_overlap):
    import torch

    torch.testing.assert_close(expected_overlap(10, 1024), 10 * 10 / 1024, rtol=0.01, atol=0.0)
    found = p_overlap(2, 10, 1024)
    assert found is not None and 0 <= found <= 1


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_other_sizes(expected_overlap):
    import torch

    from qgc.lab.experiments.overlap import overlap_by_chance

    for k, J in ((100, 1024), (25, 1024), (10, 64), (64, 64)):
        torch.testing.assert_close(expected_overlap(k, J), overlap_by_chance(J, k)[0], rtol=0.01, atol=0.0)


# %%
""" # BEGIN TEST CONFIG
hidden: true
points: 1
"""  # END TEST CONFIG


def test_at_least(p_overlap):
    import torch

    from qgc.lab.experiments.overlap import overlap_by_chance

    for k, J in ((10, 1024), (5, 30)):
        at_least = overlap_by_chance(J, k)[1]
        for shared in (0, 1, 2, 3, k):
            torch.testing.assert_close(p_overlap(shared, k, J), float(at_least[shared]), rtol=0.15, atol=0.002)


# %% [raw]
# # END TESTS

# %% [raw]
# # END QUESTION
