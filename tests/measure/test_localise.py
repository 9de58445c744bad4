"""How well a map lies on an object, on cases that can be worked by hand."""

import math

import numpy as np
import pytest
import torch

from qgc.measure import (
    MEASURES,
    ceiling,
    chance,
    contrastive_grounding,
    iou,
    map_share,
    pointing_game,
    rank_accuracy,
    rescaled,
)
from qgc.measure.localise import enlarge


def maps(count: int = 5) -> torch.Tensor:
    """Random maps without a tie."""
    return torch.rand(count, 14, 14, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def blob(low: int = 40, high: int = 120) -> np.ndarray:
    """A square mask."""
    mask = np.zeros((224, 224), bool)
    mask[low:high, low:high] = True
    return mask


def test_map_share_equals_enlarging_the_map():
    mask = np.random.default_rng(0).random((224, 224)) < 0.3
    large = enlarge(maps(), (224, 224))
    expected = (large * torch.from_numpy(mask)).sum((1, 2)) / large.sum((1, 2))
    torch.testing.assert_close(map_share(maps(), mask), expected, rtol=0, atol=1e-12)
    assert float(map_share(maps()[2], mask)) == pytest.approx(float(expected[2]))


def test_map_share_by_hand():
    mask = np.zeros((4, 4), bool)
    mask[:, :2] = True
    left = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    # enlarged, a row reads 1, 3/4, 1/4, 0: the first two of them lie inside
    assert float(map_share(left, mask)) == pytest.approx(1.75 / 2)
    assert float(map_share(torch.ones(2, 2), mask)) == pytest.approx(0.5)


def test_the_other_measures_by_hand():
    mask = np.zeros((4, 4), bool)
    mask[:, :1] = True
    left = torch.tensor([[1.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    # enlarged rows: 1, 3/4, 1/4, 0 times 1, 7/8, 5/8, 1/2; the four highest: 1, 7/8, 3/4, 21/32
    assert float(rank_accuracy(left, mask)) == pytest.approx(2 / 4)
    assert float(pointing_game(left, mask)) == 1 and float(pointing_game(left, mask[:, ::-1].copy())) == 0
    # at least half the maximum: 1, 7/8, 5/8, 1/2 in the first column, 3/4 and 21/32 in the second
    assert float(iou(left, mask)) == pytest.approx(4 / 6)


@pytest.mark.parametrize("name", MEASURES)
def test_an_empty_map_has_no_value(name):
    found = MEASURES[name](torch.stack([torch.zeros(14, 14), torch.ones(14, 14)]), blob())
    assert math.isnan(found[0]) and not math.isnan(found[1])


@pytest.mark.parametrize("name", MEASURES)
def test_no_map_beats_the_ceiling_and_the_mask_itself_comes_near(name):
    mask = blob(37, 99)
    most = ceiling(name, mask)
    found = MEASURES[name](maps(200), mask)
    assert float(found.max()) <= most <= 1 and most > 0.75 > 3 * chance(mask)
    assert rescaled(most, chance(mask), most) == 1 and rescaled(chance(mask), chance(mask), most) == 0


def test_an_even_map_is_at_chance():
    mask = blob()
    even = torch.ones(14, 14, dtype=torch.float64)
    assert float(map_share(even, mask)) == pytest.approx(chance(mask))
    assert float(iou(even, mask)) == pytest.approx(chance(mask))


def test_contrastive_grounding_is_a_half_for_every_map_that_ignores_the_question():
    first, second = blob(10, 60), blob(90, 170)
    on_first, on_second = map_share(maps(50), first), map_share(maps(50), second)
    own, other = torch.stack([on_first, on_second], -1), torch.stack([on_second, on_first], -1)
    assert (contrastive_grounding(own, other) == 0.5).all()


def test_contrastive_grounding_counts_which_pair_lies_right():
    own = torch.tensor([[0.6, 0.1], [0.1, 0.2], [torch.nan, 0.3]])
    other = torch.tensor([[0.2, 0.3], [0.3, 0.2], [0.1, torch.nan]])
    assert contrastive_grounding(own, other).tolist() == [1, 0, 1]


# -- agreement with Quantus, where it defines the same measure -------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (map_share, "RelevanceMassAccuracy"),
        (rank_accuracy, "RelevanceRankAccuracy"),
        (pointing_game, "PointingGame"),
    ],
)
def test_agrees_with_quantus(ours, theirs):
    quantus = pytest.importorskip("quantus", reason="Quantus is a development extra: pip install -e .[peers]")
    metric = getattr(quantus, theirs)(disable_warnings=True, abs=False, normalise=False, display_progressbar=False)
    mask = blob(30, 90)
    large = enlarge(maps(8), (224, 224)).numpy()
    found = metric.evaluate_batch(a_batch=large[:, None], s_batch=np.broadcast_to(mask, (len(large), 1, *mask.shape)))
    np.testing.assert_allclose(ours(maps(8), mask).numpy(), np.array(found, float), rtol=0, atol=1e-12)
