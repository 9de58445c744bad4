"""Similarity of maps and sensitivities, on cases that can be worked by hand."""

import math

import pytest
import torch

from qgc.measure import cosine, same_answer_pairs, spearman
from qgc.scenes import sample
from qgc.scenes.situations import situation


def test_cosine_of_known_maps():
    a, b = torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([[4.0, 0.0], [0.0, 3.0]])
    assert cosine(a, a) == pytest.approx(1)
    assert cosine(a, b) == pytest.approx(24 / 25)
    assert math.isnan(cosine(a, torch.zeros(2, 2)))


def test_spearman_is_pearson_of_mean_ranks():
    assert spearman(torch.tensor([1.0, 2, 3]), torch.tensor([10.0, 20, 15])) == pytest.approx(0.5)
    # ties share their mean rank: ranks (1.5, 1.5, 3) against (1, 2, 3)
    assert spearman(torch.tensor([1.0, 1, 2]), torch.tensor([1.0, 2, 3])) == pytest.approx(3**0.5 / 2)


def test_pairs_share_their_answer_but_not_their_thing():
    pairs = same_answer_pairs([situation("bathroom"), *(sample(s, "natural") for s in range(12))])
    assert pairs[0].first[0] == "What is the color of the sink?" and pairs[0].answer == "white"
    assert len(pairs) > 5
    for pair in pairs:
        assert pair.first[1] == pair.second[1]
        assert pair.first[2] != pair.second[2]
