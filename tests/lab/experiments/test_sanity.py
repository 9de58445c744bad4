"""What is left of the maps when the model is broken: which weights are redrawn, and what must then be one half."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from qgc.lab.experiments import nulls, sanity
from qgc.lab.experiments.interventions import map_names
from qgc.measure import contrastive_grounding, map_share, rank_grounding, same_answer_pairs
from qgc.models import load
from qgc.scenes import sample
from qgc.scenes.situations import situation


def weights(vqa) -> dict[str, torch.Tensor]:
    return {k: p.clone() for k, p in vqa.state_dict().items()}


def test_the_encoder_is_what_turns_words_into_q(small_model, bare_model):
    assert sanity.encoder_parts(small_model) == ["embedding", "lstm"]
    assert sanity.encoder_parts(bare_model) == ["inner.embedding", "inner.lstm"]


def test_re_initialising_changes_what_it_names_in_a_copy(small_model):
    before = weights(small_model)
    randomised = sanity.randomised(small_model, ["embedding", "lstm"], 0)
    state = torch.random.get_rng_state()
    again, other = (sanity.randomised(small_model, ["embedding", "lstm"], s) for s in (0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    for name, p in randomised.state_dict().items():
        assert torch.equal(before[name], small_model.state_dict()[name]), f"{name} was harmed"
        assert torch.equal(p, again.state_dict()[name])
        assert torch.equal(p, before[name]) != name.startswith(("embedding", "lstm")), name
    q, q_copy, q_other = (m.encode("what color is the sink") for m in (small_model, randomised, other))
    assert not torch.allclose(q, q_copy) and not torch.allclose(q_copy, q_other)
    assert randomised.cnn.fc6.weight is small_model.cnn.fc6.weight  # shared, not copied


def test_modules_without_a_start_of_their_own_are_redrawn_alike():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.scale = nn.Parameter(3 + torch.randn(200, 50)), nn.Parameter(torch.tensor(2.0))
            self.requires_grad_(False)

    odd = Odd()
    before = odd.weight.clone()
    sanity._reset(odd)
    assert not torch.allclose(before, odd.weight) and float(odd.weight.mean()) == pytest.approx(3, abs=0.05)
    assert float(odd.scale) == 2


def test_the_cascade_ends_with_every_layer(small_model, bare_model):
    steps = sanity.cascade_parts(small_model)
    assert [label for label, _ in steps[:5]] == ["Wo", "Wq, LSTM", "Wi", "fc7", "fc6"]
    named = {name for _, parts in steps for name in parts}
    assert named == {n for n, m in small_model.named_modules() if list(m.parameters(recurse=False))}
    models = sanity.cascade(small_model, 0)
    same = [sum(torch.equal(a, b) for a, b in zip(m.parameters(), small_model.parameters(), strict=True))
            for _, m in models]  # fmt: skip
    assert same == sorted(same, reverse=True) and len(set(same)) == len(same) and same[-1] == 0
    assert sanity.cascade(bare_model, 0) == []


def test_scores_by_hand():
    pair = same_answer_pairs([situation("bathroom")])[0]
    signed = torch.randn(2, 2, 14, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    masks = [pair.scene.masks[a.thing] for a in (pair.first, pair.second)]
    scores = sanity._scores(signed, signed.flip(0), masks, ["m", "question contrast"])
    maps = signed.relu()
    share = torch.stack([map_share(maps[:, 0], m) for m in masks], 1)
    own, other = share.diagonal(), share.flip(1).diagonal()
    assert scores["margin/m"] == pytest.approx(float((own - other).mean()))
    assert scores["grounding/m"] == float(contrastive_grounding(own, other))
    assert scores["rank/m"] == float(rank_grounding(signed[:, 0], masks).verdict) in (0, 1)
    a, b = maps[:, 0].flatten(1)
    assert scores["cosine/m"] == pytest.approx(float(a @ b / (a.norm() * b.norm())))


def test_a_contrast_of_equal_maps_is_empty():
    """Its cells are rounding, whose order means nothing."""
    pair = same_answer_pairs([situation("bathroom")])[0]
    masks = [pair.scene.masks[a.thing] for a in (pair.first, pair.second)]
    maps = torch.randn(1, 14, 14).expand(2, 14, 14)
    rounding = 1e-7 * torch.stack([torch.eye(14), -torch.eye(14)])
    signed = torch.stack([maps, rounding], 1)
    scores = sanity._scores(signed, signed, masks, ["Grad-CAM", "question contrast"])
    assert scores["rank/Grad-CAM"] == scores["rank/question contrast"] == 0.5


def test_mismatched_questions_are_at_a_half_exactly(small_model):
    """Over all ordered draws from some questions, not only on average: whatever the maps are."""
    pair = same_answer_pairs([situation("bathroom")])[0]
    view = sanity.EncodedImage(small_model, pair.scene)
    scores = []
    for texts in permutations(nulls.question_pool(small_model).questions[::170], 2):
        maps = sanity._maps(view, texts, pair.answer, (5,))
        masks = [pair.scene.masks[a.thing] for a in (pair.first, pair.second)]
        scores.append(sanity._scores(maps, maps, masks, map_names((5,))))
    for measure in ("rank", "grounding"):
        found = pd.DataFrame(scores).filter(like=measure)
        assert len(found) >= 12 and found.nunique().max() > 1
        assert (found.mean() == 0.5).all()


def test_a_model_that_ignores_the_question_is_at_a_half_everywhere(small_model):
    blind = sanity.randomised(small_model, [], 0)
    blind.question = nn.Linear(blind.question.in_features, blind.combine).double()
    nn.init.zeros_(blind.question.weight)
    scene = situation("bathroom")
    rows = pd.DataFrame(
        sanity.sanity_rows(blind, scene, nulls.question_pool(blind), np.random.default_rng(0), draws=2, ns=(5,))
    )
    rows = rows[rows["control"] != "encoder and Wq"]  # that one starts to see the question
    assert (rows.filter(like="grounding") == 0.5).all(axis=None) and (rows.filter(like="rank") == 0.5).all(axis=None)
    assert sorted(rows["control"]) == ["encoder"] * 2 + ["none"] + ["other questions"] * 2


def test_shipped_model_loses_its_maps():
    vqa = load("deeper-lstm/natural", dtype=torch.float32)
    before, question_pool = weights(vqa), nulls.question_pool(vqa)
    cascades = [sanity.cascade(vqa, 0)]
    rows = []
    for seed in (3, 4, 8):
        rng = np.random.default_rng(seed)
        rows += sanity.sanity_rows(vqa, sample(seed, "natural"), question_pool, rng, cascades=cascades)
    assert all(torch.equal(before[k], p) for k, p in vqa.state_dict().items())
    table = sanity.summarise(rows, draws=100)
    found = table.set_index(["control", "measure", "map"])["estimate"]
    print(found.xs("cosine", level="measure").unstack().round(2).to_string())
    for name in map_names():
        assert found["none", "cosine", name] == pytest.approx(1, abs=1e-5)
        for control in (*sanity.HALF, "cascade: conv1"):
            assert found[control, "cosine", name] < 0.97, (control, name)


def test_without_a_closed_form_what_cannot_be_done_is_left_out(bare_model):
    scene = situation("bathroom")
    rows = sanity.sanity_rows(
        bare_model, scene, nulls.question_pool(bare_model), np.random.default_rng(0), draws=1, ns=(5,)
    )
    assert [r["control"] for r in rows] == ["none", "other questions", "encoder"]
    assert rows[0]["frame"] == 0  # "What is the color of the sink?", "What color are the towels?"
