"""``qgc.explain_module`` on models whose truth is known: those of the book, and small ones made for one trap each."""

from __future__ import annotations

import re
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models.test_joining import untrained
from torch import Tensor, nn

import qgc
from qgc.errors import AnswerError, GateError, ImageError, QGCError, QuestionError
from qgc.explain import contrast, explain
from qgc.module import Answer, Grid, explain_module
from qgc.module.blindness import _groups, score_drops
from qgc.module.places import as_maps, positions

QUESTIONS = ["What color is the sink?", "What color are the towels?"]


def close(a: Tensor, b: Tensor, tolerance: float = 1e-12) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * b.abs().max())


# -- the models of the book -----------------------------------------------------------------------------------------
class Pipeline(nn.Module):
    """A VQA model as an ``nn.Module`` with a forward method; an identity marks each place that has no module."""

    def __init__(self, vqa):
        super().__init__()
        self.vqa, self.F, self.q, self.A = vqa, nn.Identity(), nn.Identity(), nn.Identity()

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        u, v = self.vqa.branches(self.F(self.vqa.conv(x)), self.q(q))
        return self.vqa.classify(self.A(u * v))


@pytest.mark.parametrize("name", ["deeper-lstm/natural", "pythia/natural"])
def test_the_shipped_models_are_explained_as_by_explain(name):
    vqa, scene = qgc.load(name), qgc.scene("bathroom")
    x, a = vqa.prepare(scene.image), vqa.answer_index("white")
    own = explain(vqa, scene, QUESTIONS, "white")
    found = explain_module(Pipeline(vqa), [(x, e.q) for e in own], target_layer="F", question="q", fusion="A", target=a)
    for mine, its in zip(found, own, strict=True):
        assert close(mine.map(), its.map()[None]) and close(mine.y[0], its.y[a][None])
        value, error = mine.sensitivity()
        assert close(value, its.sensitivity[None]) and not error.any()
        ns = [1, 25, 272, vqa.combine]
        assert close(mine.maps(ns, order=its.order, relu=False), its.maps(ns, relu=False)[None])
    for normalise in (None, "l1", "l2"):
        its = contrast(*own, normalise)[None]
        assert (found[0].contrast(found[1], normalise) - its).abs().max() <= 1e-12 * max(1, its.abs().max())
    assert close(found[0].map(25), found[0].maps([25])[:, 0])


def test_the_transformer_that_reads_words_and_cells_is_explained_by_its_modules_names():
    vqa, scene = untrained("transformer"), qgc.scene("bathroom")
    x, a = vqa.prepare(scene.image), vqa.answer_index("white")
    own = explain(vqa, scene, QUESTIONS, "white")

    def asked(question):
        return lambda model: model.classify(torch.mul(*model.branches(model.conv(x), model.encode(question))))

    places = {"target_layer": "cnn", "question": "embedding", "fusion": "norm", "target": a}
    for mine, its in zip(explain_module(vqa, [asked(q) for q in QUESTIONS], **places), own, strict=True):
        assert close(mine.map(relu=False), its.map(relu=False)[None]) and mine.leak == 0
        assert close(mine.sensitivity().value, its.sensitivity[None])
        assert close(mine.maps([1, 3, 8], relu=False), its.maps([1, 3, 8], relu=False)[None])
    with pytest.raises(
        QGCError, match=r"not SceneTransformer; a VQA model of this package is explained by qgc.explain"
    ):
        explain_module(vqa, x, target_layer="cnn")


# -- a small model of a reader's own ----------------------------------------------------------------------------------
class Small(nn.Module):
    """Tokens of an image after a class token, times the question, and a block with a residual connection."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 4, 4)
        self.tower = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(2))
        self.words = nn.Embedding(20, 6)
        self.inner, self.block = nn.Linear(6, 6), nn.Identity()
        self.drop = nn.Dropout(0.5)
        self.classifier = nn.Linear(6, 5)
        self.runs = 0

    def forward(self, pixel_values, input_ids):
        x = self.patches(pixel_values).flatten(2).mT
        x = torch.cat([torch.zeros_like(x[:, :1]), x], 1)
        for layer in self.tower:
            x = layer(x)
        q = self.words(input_ids).mean(1, keepdim=True).tanh()
        x = x * q
        x = self.block(x + self.inner(x).tanh())
        return self.classifier(self.drop(x).mean(1))


PLACES = {"target_layer": "tower.-1", "question": "words", "fusion": "block", "target": 2}


def asked(*ids: int, rows: int = 1) -> dict:
    image = torch.rand(rows, 3, 16, 16, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return {"pixel_values": image, "input_ids": torch.tensor([ids] * rows)}


@pytest.fixture
def small() -> Small:
    torch.manual_seed(0)
    return Small().double()


def hooked(model: nn.Module, inputs: dict, gate: nn.Module, kept: Tensor) -> Tensor:
    """The map of answer 2 with a tensor hook at the gate, before the ReLU, by nothing but PyTorch."""
    found = []

    def leaf(module, args, output):
        found.append(output.detach().requires_grad_())
        return found[0]

    hooks = [
        model.tower[-1].register_forward_hook(leaf),
        gate.register_forward_hook(lambda module, args, output: output.register_hook(lambda g: g * kept) and None),
    ]
    y = model.eval()(**inputs)[0, 2]
    for hook in hooks:
        hook.remove()
    gradient, F = (t[:, 1:].mT.unflatten(2, (4, 4)) for t in (torch.autograd.grad(y, found[0])[0], found[0].detach()))
    return (gradient.mean((2, 3), keepdim=True) * F).sum(1)


@pytest.mark.parametrize(("place", "leaks"), [("block", False), ("inner", True)])
def test_the_gate_is_that_of_a_tensor_hook(small, place, leaks):
    e = explain_module(small, asked(1, 2, 3), **PLACES | {"fusion": place})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = e.maps([1, 3, 6], relu=False)
    assert any("goes around the gate at 'inner'" in str(w.message) for w in caught) == leaks
    for n, map_ in zip((1, 3, 6), found[0], strict=True):
        kept = torch.zeros(6).double().scatter(0, e.order[0, :n], 1)
        its = hooked(small, asked(1, 2, 3), getattr(small, place), kept)[0]
        assert close(map_, its) if leaks else torch.equal(map_, its)
    assert close(found[:, 2], e.map(relu=False))
    assert (e.leak > 0.3) == leaks and (e.leak == 0) != leaks


def test_each_row_of_a_batch_is_explained_as_alone(small):
    both = asked(1, 2, 3, rows=2)
    both["input_ids"] = torch.tensor([[1, 2, 3], [4, 5, 6]])
    together = explain_module(small, both, **PLACES | {"target": [2, 4]})
    assert together.map().shape == (2, 4, 4) and together.numpy().shape == (2, 4, 4)
    for row, target in enumerate((2, 4)):
        alone = explain_module(small, {k: v[row : row + 1] for k, v in both.items()}, **PLACES | {"target": target})
        assert close(together.map()[row], alone.map()[0]) and close(together.y[row], alone.y[0])
        assert close(together.maps([2, 4])[row], alone.maps([2, 4], order=together.order[row])[0])


def test_several_questions_share_the_images_work(small):
    runs = []
    small.tower[0][0].forward = lambda x, forward=small.tower[0][0].forward: runs.append(1) or forward(x)
    questions = [asked(1, 2, 3), asked(4, 5), asked(6, 7, 8, 9)]
    found = explain_module(small, questions, **PLACES)
    with pytest.raises(QuestionError, match="no question in an empty list"):
        explain_module(small, [], **PLACES)
    found[0].sensitivity(directions=8), found[0].order, found[0].question_blindness(found[1:], n=3)
    assert len(runs) == 1
    for e, inputs in zip(found, questions, strict=True):
        alone = explain_module(small, inputs, **PLACES)
        assert torch.equal(e.map(relu=False), alone.map(relu=False)) and torch.equal(e.order, alone.order)
    own = explain_module(small, questions[:2], **PLACES | {"target": [2, 4]})
    assert [e.target for e in own] == [[2], [4]]
    with pytest.raises(QGCError, match="3 targets for 2 questions"):
        explain_module(small, questions[:2], **PLACES | {"target": [1, 2, 3]})
    for other in (questions[0], {**questions[0], "pixel_values": questions[0]["pixel_values"] + 1}):
        with torch.no_grad():
            small.tower[0][0].weight *= 2  # the memory is of the weights that there were, and of the image
        e = found[0].ask(other)
        assert torch.equal(e.map(), explain_module(small, other, **PLACES).map())


def test_the_model_stays_as_it_was(small):
    small.train()
    small.words.weight.requires_grad_(False)
    before, state = {n: p.requires_grad for n, p in small.named_parameters()}, torch.get_rng_state()
    e = explain_module(small, asked(1, 2), **PLACES)
    assert torch.equal(e.map(), explain_module(small, asked(1, 2), **PLACES).map())  # no dropout
    with pytest.raises(RuntimeError):
        explain_module(small, {"pixel_values": torch.zeros(1, 3, 2, 2).double(), "input_ids": torch.zeros(1, 1).long()},
                       **PLACES)  # fmt: skip
    assert small.training and small.drop.training and torch.equal(state, torch.get_rng_state())
    assert {n: p.requires_grad for n, p in small.named_parameters()} == before
    assert not any("forward" in vars(m) or m._forward_hooks or m._forward_pre_hooks for m in small.modules())


def test_frozen_weights_and_inference_mode_change_nothing(small):
    expected = explain_module(small, asked(1, 2), **PLACES).map()
    small.requires_grad_(False)
    with torch.no_grad():
        assert torch.equal(explain_module(small, asked(1, 2), **PLACES).map(), expected)


def test_half_precision_is_explained_and_not_ranked_by_differences(small):
    half = small.bfloat16()
    inputs = {**asked(1, 2), "pixel_values": asked(1, 2)["pixel_values"].bfloat16()}
    e = explain_module(half, inputs, **PLACES)
    assert e.map().dtype == torch.float32 and e.map(relu=False).any()
    with pytest.raises(QGCError, match="in bfloat16 are too coarse to rank neurons by; load the model in float32"):
        e.sensitivity()


# -- places -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "place", ["tower.1", "tower.-1", "tower.50%", "tower.100%", " tower.1@0", "words@0", "classifier:input"]
)
def test_a_place_may_be_spelled_in_several_ways(small, place):
    e = explain_module(small, asked(1, 2), target_layer="tower.1", fusion=place if "tower" in place else None, target=2)
    if "tower" in place:
        assert torch.equal(e.F, e.A)
    assert torch.equal(e.F, explain_module(small, asked(1, 2), target_layer=small.tower[1], target=2).F)


def test_a_place_may_be_an_input_or_a_later_call():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(2, 2, 1)

        def forward(self, x):
            return self.layer(input=self.layer(x)).mean((2, 3))

    torch.manual_seed(0)
    model, x = Twice().double(), torch.rand(1, 2, 3, 3).double()
    first, second, before = (
        explain_module(model, x, target_layer=at, target=0) for at in ("layer", "layer@1", "layer:input@1")
    )
    assert torch.equal(first.F, before.F) and torch.equal(first.map(relu=False), before.map(relu=False))
    assert torch.equal(second.F, model.layer(first.F).detach()) and not close(
        second.map(relu=False), first.map(relu=False)
    )
    with pytest.raises(QGCError, match="'layer@2' is not called"):
        explain_module(model, x, target_layer="layer@2", target=0)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"target_layer": "classifer"}, QGCError, "no module 'classifer'; it has classifier"),
        ({"target_layer": "tower.2"}, QGCError, "no module 'tower.2'"),
        ({"target_layer": "tower.-3"}, QGCError, "no module 'tower.-3'"),
        ({"target_layer": 3}, QGCError, "3 is not a place in this model"),
        ({"target_layer": "a b"}, QGCError, "'a b' is not a place"),
        ({"target_layer": nn.Linear(2, 2)}, QGCError, "is not a place in this model; give one of its modules"),
        ({"target_layer": None}, QGCError, "the places of Small are not known; give target_layer=, .*CLIPModel"),
        ({"target_layer": "classifier"}, QGCError, "do not make a grid; give reshape_transform"),
        ({"target": 5}, AnswerError, "5 is not an answer; give an index below 5"),
        ({"target": "red"}, AnswerError, "'red' is not a label in this model's config.label2id"),
        ({"target": [1, 2]}, AnswerError, "2 targets for 1 rows"),
        ({"target": Answer([1])}, AnswerError, "are not those of tokens; give an answer's index"),
        ({"target": -1}, AnswerError, "-1 is not an answer"),
        ({"target": lambda out: 3}, AnswerError, "must give a tensor of one score for each row"),
        ({"target": lambda out: out.detach()[:, 0]}, QGCError, "no gradient reaches the answer's score"),
        ({"reshape_transform": (9, 9)}, QGCError, "17 tokens of 'tower.-1' do not make a grid 9×9"),
        ({"reshape_transform": lambda t: t}, QGCError, "neither maps nor tokens"),
        ({"output": "patches"}, AnswerError, "those of tokens; give a function"),
    ],
)
def test_what_does_not_fit_is_named_with_the_remedy(small, changed, error, message):
    with pytest.raises(error, match=message):
        explain_module(small, asked(1, 2), **PLACES | changed).map()


@pytest.mark.parametrize(
    ("changed", "use", "error", "message"),
    [
        ({"fusion": None}, lambda e: e.map(3), GateError, "give fusion=, the place where image and question meet"),
        ({"question": None}, lambda e: e.map(3), QuestionError, "give question=, the place of its word embeddings"),
        ({"fusion": "words"}, lambda e: e.maps([3], order=range(6)), QGCError, "does not reach 'words'; name a place"),
        ({"fusion": "tower.-1"}, lambda e: e.map(3), QGCError, "does not change with 'words'.*give a place behind"),
        ({"fusion": "words * block"}, lambda e: None, QGCError, "differ in shape"),
        ({}, lambda e: e.map(7), GateError, "from 1 to 6"),
        ({}, lambda e: e.map(token=1), GateError, "no token 1 in this answer; it has 1"),
        ({}, lambda e: e.sensitivity(directions=1), GateError, "2 at least"),
        ({"question_mask": [True]}, lambda e: e.sensitivity(), QGCError, "which of 1 words .* but q has 2"),
        ({}, lambda e: e.question_blindness([]), QuestionError, "compares two questions"),
        ({"reshape_transform": "boxes"}, lambda e: e.overlay("x.png"), ImageError, "one number for each box"),
        ({"reshape_transform": lambda t: 2 * t[:, 1:].mT.unflatten(2, (4, 4))},
         lambda e: e.question_blindness([e]), QGCError, "no cell can be masked"),
    ],
)  # fmt: skip
def test_what_is_missing_for_a_method_is_named(small, changed, use, error, message):
    with pytest.raises(error, match=message):
        use(explain_module(small, asked(1, 2), **PLACES | changed))


def test_tokens_become_a_grid_in_every_usual_way():
    cells = torch.arange(12.0).view(1, 12, 1)
    expected = torch.arange(12.0).view(1, 1, 3, 4)
    pad = torch.full((1, 5, 1), -1.0)
    for tokens, layout in [
        (cells, (3, 4)), (cells[0], (3, 4)), (torch.cat([pad, cells], 1), (3, 4)), (cells.mT.view(1, 1, 3, 4), None),
        (torch.cat([pad, cells, pad], 1), Grid(3, 4, 5)), (cells, lambda t: t.mT.unflatten(2, (3, 4))),
    ]:  # fmt: skip
        maps = as_maps(tokens, layout)
        assert torch.equal(maps, expected)
        assert torch.equal(tokens.flatten()[positions(tokens, layout)], expected)
    assert as_maps(torch.rand(2, 17, 3), None).shape == as_maps(torch.rand(2, 16, 3), None).shape == (2, 3, 4, 4)
    assert as_maps(torch.rand(2, 36, 3), "boxes").shape == (2, 3, 1, 36)


def test_a_layer_off_the_path_warns_that_its_map_is_empty(small):
    class OfClassToken(Small):
        def forward(self, pixel_values, input_ids):
            x = self.patches(pixel_values).flatten(2).mT
            x = self.tower[1](torch.cat([x.mean(1, keepdim=True), x], 1))
            return self.classifier(x[:, 0] * self.words(input_ids).mean(1))

    with pytest.warns(UserWarning, match="no gradient reaches the cells of 'tower.-1'.*take the one before"):
        assert not explain_module(OfClassToken().double(), asked(1, 2), **PLACES | {"fusion": None}).map().any()


class Shuffled(Small):
    """As ViLT does, also in evaluation mode."""

    def forward(self, pixel_values, input_ids):
        x = self.patches(pixel_values).flatten(2).mT
        x = self.tower[1](x[:, torch.randperm(x.shape[1])])
        return self.classifier(self.block((x * self.words(input_ids).mean(1, keepdim=True)).tanh()).mean(1))


def test_shuffled_tokens_are_refused_and_the_layer_before_is_explained(small):
    model = Shuffled().double()
    with pytest.raises(QGCError, match=r"draws random numbers before 'tower.-1'.*name an earlier layer"):
        explain_module(model, asked(1, 2), **PLACES)
    found = [explain_module(model, asked(1, 2), **PLACES | {"target_layer": "patches"}) for _ in range(2)]
    assert torch.equal(found[0].map(), found[1].map()) and found[0].map().any()


# -- sensitivity ------------------------------------------------------------------------------------------------------
def test_the_estimate_is_within_its_error_of_the_truth(small):
    e = explain_module(small, asked(1, 2, 3), **PLACES)
    F = e.F

    def A(q):
        x = F * q.mean(1, keepdim=True).tanh()
        return x + small.inner(x).tanh()

    rows = torch.autograd.functional.jacobian(A, small.words(torch.tensor([[1, 2, 3]])).detach())
    true = rows.square().sum((0, 1, 3, 4, 5)).sqrt()
    value, error = e.sensitivity(directions=200)
    assert ((value[0] - true).abs() <= 4 * error[0]).all() and (error < 0.15 * value).all()
    masked = explain_module(small, asked(1, 2, 3), **PLACES, question_mask=torch.tensor([True, False, False]))
    only = rows[..., 0, :].square().sum((0, 1, 3, 4)).sqrt()
    value, error = masked.sensitivity(directions=200)
    assert ((value[0] - only).abs() <= 4 * error[0]).all()


# -- the question -----------------------------------------------------------------------------------------------------
class Planted(nn.Module):
    """Word k asks for channel k of the image (``follows``), for nothing (``blind``), or for some cells (``cells``)."""

    def __init__(self, kind: str):
        super().__init__()
        self.kind, self.F, self.words = kind, nn.Identity(), nn.Embedding.from_pretrained(torch.eye(6).double())
        self.patterns = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(5)).double() - 0.5
        self.patterns += 0.05 - self.patterns.mean((1, 2), keepdim=True)

    def forward(self, pixel_values, input_ids):
        F, q = self.F(pixel_values), self.words(input_ids)[:, 0]
        y = {
            "follows": lambda: (F.mean((2, 3)) * q).sum(1),
            "blind": lambda: F[:, 0].mean((1, 2)) + q[:, 0],
            "cells": lambda: (F[:, 0] * (self.patterns * q.T[:, :, None]).sum(0)).sum((1, 2)),
        }[self.kind]()
        return torch.stack([y, -y], 1)


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [
        ("follows", "The map follows the question: .*1.00 against .*p = 0.008"),
        (
            "blind",
            "nearly the same for every question .mean cosine 1.00 of 5 questions, 1.00 for random words., and so",
        ),
        ("cells", "nearly the same for every question .*, less so the score drops"),
    ],
)
def test_planted_models_get_the_verdict_that_is_true_of_them(kind, verdict):
    image = torch.rand(1, 6, 8, 8, generator=torch.Generator().manual_seed(3)).double()
    inputs = [{"pixel_values": image, "input_ids": torch.tensor([[k]])} for k in range(5)]
    if kind == "follows":  # as tokens, which are no contiguous tensor
        inputs = [{**one, "pixel_values": image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)} for one in inputs]
    first, *others = explain_module(Planted(kind), inputs, target_layer="F", question="words", target=0)
    found = first.question_blindness(others)
    assert found.questions == 5 and np.isfinite(list(vars(found).values())).all()
    assert re.search(verdict, found.verdict), found.verdict


def test_objects_can_be_masked_and_a_score_that_stays_is_named():
    image = torch.rand(1, 6, 8, 8).double()
    inputs = [{"pixel_values": image, "input_ids": torch.tensor([[k]])} for k in range(5)]
    masks = np.zeros((3, 64, 64), bool)
    masks[0, :32, :32], masks[1, 32:, :], masks[2, 60:, 60:] = True, True, True
    first, *others = explain_module(Planted("follows"), inputs, target_layer="F", question="words", target=0)
    drops = score_drops(first, _groups(masks, 4, 8, 8))
    F = image[0, 0]
    sums, counts = torch.stack([F[:4, :4].sum(), F[4:].sum(), F[7, 7]]), torch.tensor([16, 32, 1])
    np.testing.assert_allclose(drops, (sums - F.mean() * counts) / 64, atol=1e-12)
    assert first.question_blindness(others, masks=masks).p < 1
    even = [{**one, "pixel_values": torch.ones_like(image)} for one in inputs]
    first, *others = explain_module(Planted("blind"), even, target_layer="F", question="words", target=0)
    assert "no map can follow it" in first.question_blindness(others).verdict


# -- to look at -------------------------------------------------------------------------------------------------------
def test_the_map_is_laid_over_the_image(small):
    scene = qgc.scene("bathroom")
    picture = explain_module(small, asked(1, 2), **PLACES).overlay(scene.image)
    assert picture.size == scene.image.size and np.asarray(picture).std() > 0


@pytest.mark.parametrize("made", [lambda y: {"loss": None, "logits": y}, lambda y: (y, None), lambda y: [y]])
def test_scores_are_found_in_what_a_model_gives(small, made):
    small.register_forward_hook(lambda module, args, output: made(output))
    e = explain_module(small, asked(1, 2), **PLACES)
    assert e.map(relu=False).any() and "target [2]" in repr(e)


def test_labels_are_answers_whatever_their_capitals(small):
    small.config = SimpleNamespace(label2id={"No": 0, "Yes": 4})
    assert explain_module(small, asked(1, 2), **PLACES | {"target": "yes"}).target == [4]
    predicted = explain_module(small, asked(1, 2), **PLACES | {"target": None})
    assert predicted.target == small.eval()(**asked(1, 2)).argmax(1).tolist()


def test_any_cnn_has_grad_cam():
    torch.manual_seed(0)
    cnn = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).double()
    x = torch.rand(2, 3, 9, 9).double()
    e = explain_module(cnn, x, target_layer="1", target=1)
    assert close(e.map(relu=False), torch.einsum("k,bkhw->bhw", cnn[4].weight[1].detach() / 49, e.F))
