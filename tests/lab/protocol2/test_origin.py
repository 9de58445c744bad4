"""Where a map's gradient comes from: parts that add up to Grad-CAM; what layer normalization hides from a token."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lab.protocol2.test_protocol2 import case

import qgc
from qgc.errors import QGCError
from qgc.explain import explain
from qgc.lab.protocol2 import origin
from qgc.measure.pairs import cell_cover, rank_grounding
from qgc.scenes import sample


@pytest.mark.parametrize("name", ["deeper-lstm/balanced", "pythia/natural"])
def test_the_parts_add_up_to_grad_cam(name):
    vqa = qgc.load(name)
    scene, pair = case(distribution=name.split("/")[1])[:2]
    asks = (pair.first, pair.second)
    parts = origin.origins(vqa, pair)
    maps = [explain(vqa, scene.image, k.question, pair.answer).map(relu=False) for k in (pair.first, pair.second)]
    cover = torch.stack([cell_cover(scene.masks[k.thing], maps[0].shape) for k in (pair.first, pair.second)])
    means = np.array([[(L.flatten() * c).sum() / c.sum() for c in cover] for L in maps])
    means[1] = means[1][::-1]
    added = parts.sum(1)[:, :2]
    np.testing.assert_allclose(added / np.abs(added).max(), means / np.abs(means).max(), atol=1e-4)
    assert np.abs(parts).max() == pytest.approx(1)
    found = origin.verdicts(vqa, pair)
    assert (
        found["Grad-CAM"] == rank_grounding(torch.stack(maps), np.stack([scene.masks[k.thing] for k in asks])).verdict
    )


def test_a_held_scale_changes_gradients_and_no_answer():
    norm, x = torch.nn.LayerNorm(8), torch.randn(4, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    net = torch.nn.Sequential(norm)
    plain = net(x)
    (before,) = torch.autograd.grad(plain[:, 0].sum(), x)
    with origin.constant_scale(net):
        held = net(x)
        (after,) = torch.autograd.grad(held[:, 0].sum(), x)
    torch.testing.assert_close(held, plain)
    torch.testing.assert_close(net(x), plain)
    assert (
        (before * x).sum(1).abs().max() < 1e-3 < (after * x).sum(1).abs().max()
    )  # a token's own scale counts for nothing


def test_what_is_stored_is_read_and_a_missing_file_names_its_command(tmp_path):
    parts, rga = origin.read()
    models = set(parts["model"])
    assert models == set(rga.index.levels[0]) and len(parts) == 9 * len(models) and rga["estimate"].between(0, 1).all()
    assert ((parts["low"] <= parts["estimate"]) & (parts["estimate"] <= parts["high"])).all()
    with pytest.raises(QGCError, match="--origins"):
        origin.read(tmp_path / "origins.json")


def test_the_stored_numbers_are_those_of_today():
    parts, _ = origin.read()
    stored = parts[parts["model"] == "pythia/natural"].set_index(["from", "on"])["estimate"]
    found = origin.measured(qgc.load("pythia/natural"), [sample(10_000_000 + i, "natural") for i in range(4)])
    for row in found["parts"]:
        assert row["estimate"] == pytest.approx(stored[row["from"], row["on"]], abs=0.25)
