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
from qgc.measure.pairs import cell_cover
from qgc.scenes import sample


@pytest.mark.parametrize("name", ["deeper-lstm/balanced", "pythia/natural"])
def test_the_parts_add_up_to_grad_cam(name):
    vqa = qgc.load(name)
    scene, pair = case(distribution=name.split("/")[1])[:2]
    parts, own = origin.origins(vqa, pair)
    maps = [explain(vqa, scene.image, k.question, pair.answer).map(relu=False) for k in (pair.first, pair.second)]
    cover = torch.stack([cell_cover(scene.masks[k.thing], maps[0].shape) for k in (pair.first, pair.second)])
    means = np.array([[(L.flatten() * c).sum() / c.sum() for c in cover] for L in maps])
    means[1] = means[1][::-1]
    added = parts.sum(1)[:, :2]
    np.testing.assert_allclose(added / np.abs(added).max(), means / np.abs(means).max(), atol=1e-4)
    assert np.abs(parts).max() == pytest.approx(1) and (np.abs(own) <= 1).all()


def test_where_only_a_cells_direction_counts_its_own_features_have_no_gradient_along_them(monkeypatch):
    vqa = qgc.load("deeper-lstm/balanced")
    _, pair = case()
    _, before = origin.origins(vqa, pair)
    plain = vqa.branches
    monkeypatch.setattr(
        vqa, "branches", lambda F, q: plain(F / F.norm(dim=1, keepdim=True).clamp_min(1e-6), q), raising=False
    )
    parts, own = origin.origins(vqa, pair)
    assert np.abs(own).max() < 1e-4 < np.abs(before).max() and np.isfinite(parts).all()


def test_what_is_stored_is_read_and_a_missing_file_names_its_command(tmp_path):
    parts, cosines = origin.read()
    assert set(parts["model"]) == set(cosines.index) and len(parts) == 9 * len(cosines)
    assert ((parts["low"] <= parts["estimate"]) & (parts["estimate"] <= parts["high"])).all()
    with pytest.raises(QGCError, match="--origins"):
        origin.read(tmp_path / "origins.json")


def test_the_stored_numbers_are_those_of_today():
    _, stored = origin.read()
    vqa = qgc.load("pythia/natural")
    scenes = [sample(10_000_000 + i, "natural") for i in range(4)]
    found = origin.measured(vqa, scenes)["cosine with own gradient"]
    assert found["estimate"] == pytest.approx(stored.loc["pythia/natural", "estimate"], abs=0.05)
