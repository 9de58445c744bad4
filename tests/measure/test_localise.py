"""The share of a map on a thing, on cases that can be worked by hand."""

import math

import numpy as np
import pytest
import torch

from qgc.measure import map_share, mass_on


def test_mass_on_a_half():
    mask = np.zeros((4, 4), bool)
    mask[:, :3] = True  # the left column of cells wholly, the right one by half
    assert mass_on(torch.tensor([[3.0, 0.0], [0.0, 1.0]]), mask) == pytest.approx((3 + 0.5) / 4)
    assert mass_on(torch.ones(2, 2), mask) == pytest.approx(mask.mean())
    assert mass_on(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), ~mask) == 0


def test_an_empty_map_has_no_share():
    assert math.isnan(mass_on(torch.zeros(2, 2), np.ones((4, 4), bool)))


def test_map_share_equals_enlarging_the_map():
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(5, 14, 14, generator=generator, dtype=torch.float64)
    mask = np.random.default_rng(0).random((224, 224)) < 0.3
    large = torch.nn.functional.interpolate(maps[:, None], (224, 224), mode="bilinear", align_corners=False)[:, 0]
    expected = (large * torch.from_numpy(mask)).sum((1, 2)) / large.sum((1, 2))
    torch.testing.assert_close(map_share(maps, mask), expected, rtol=0, atol=1e-12)
    assert float(map_share(maps[2], mask)) == pytest.approx(float(expected[2]))


def test_map_share_by_hand():
    mask = np.zeros((4, 4), bool)
    mask[:, :2] = True
    left = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    # enlarged, a row reads 1, 3/4, 1/4, 0: the first two of them lie inside
    assert float(map_share(left, mask)) == pytest.approx(1.75 / 2)
    assert float(map_share(torch.ones(2, 2), mask)) == pytest.approx(0.5)


def test_an_empty_map_has_no_map_share():
    found = map_share(torch.stack([torch.zeros(2, 2), torch.ones(2, 2)]), np.ones((4, 4), bool))
    assert math.isnan(found[0]) and float(found[1]) == 1
