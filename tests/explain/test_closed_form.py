"""The closed form against automatic differentiation, and against small steps by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor

from qgc.errors import GateError
from qgc.explain import EncodedImage, closed_form, explain, gates, gradcam, maps_of
from qgc.scenes import DISTRIBUTIONS, Scene, sample
from qgc.scenes.questions import every_question

SCENES, QUESTIONS, DRAWS = 20, 2, 5  # 200 (scene, question, answer, n)


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference, relative to the largest absolute value of ``b``."""
    return ((a.double() - b.double()).abs().max() / b.double().abs().max()).item()


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Scenes of both distributions."""
    return [sample(500 + i, DISTRIBUTIONS[i % 2]) for i in range(SCENES)]


@pytest.fixture(scope="module")
def drawn(model, scenes) -> list[tuple[Scene, str, list[tuple[str, int]]]]:
    """Scene, question, and (answer, n) at random; half of the n are small, as the paper's."""
    rng, asked = np.random.default_rng(0), every_question()
    out = []
    for scene in scenes:
        for question in rng.choice(asked, QUESTIONS, replace=False):
            ns = [int(rng.integers(1, 1025 if d % 2 else 60)) for d in range(DRAWS)]
            pair = [str(a) for a in rng.choice(model.answers, 2, replace=False)]
            out.append((scene, str(question), [(pair[d % 3 > 0], n) for d, n in enumerate(ns)]))
    return out


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
def test_200_maps_agree_with_autograd(model, drawn, dtype, bound):
    vqa = copy.deepcopy(model).to(dtype)
    views: dict[int, EncodedImage] = {}
    errors = []
    for scene, question, draws in drawn:
        view = views.get(id(scene)) or views.setdefault(id(scene), EncodedImage(vqa, scene))
        about = {answer: explain(vqa, view, question, answer) for answer, _ in draws}
        for answer, n in draws:
            e = about[answer]
            keep = e.order[:n]
            reference = gradcam(vqa, view.F, e.q, vqa.answer_index(answer), keep)
            errors.append(relative(e.map(n, relu=False), reference))
    print(f"\nagainst autograd, {dtype}: worst of {len(errors)} {max(errors):.1e}, median {np.median(errors):.1e}")
    assert len(errors) == 200 and max(errors) <= bound


def test_all_1024_neurons_are_plain_gradcam(model, drawn):
    worst = 0.0
    for scene, question, draws in drawn[::8]:
        e = explain(model, scene, question, draws[0][0])
        plain = gradcam(model, e.F, e.q, model.answer_index(e.answer), keep=None)
        worst = max(worst, relative(e.map(1024, relu=False), plain))
        assert torch.equal(e.map(), e.map(1024)) and torch.equal(e.map(), e.map(1024, relu=False).relu())
    print(f"\nn = 1024 against plain Grad-CAM: {worst:.1e}")
    assert worst <= 1e-12


@pytest.fixture(scope="module")
def explained(model, scenes):
    """One explanation."""
    return explain(model, scenes[0], scenes[0].questions[0], "white")


def test_maps_add_up_over_disjoint_sets(explained):
    shuffled = torch.randperm(1024, generator=torch.Generator().manual_seed(0))
    parts = [explained.map(neurons=p, relu=False) for p in shuffled.split([1, 23, 500, 500])]
    assert relative(sum(parts), explained.map(relu=False)) <= 1e-12


def test_a_chosen_set_agrees_with_autograd(model, explained):
    keep = [1023, 5, 77, 5]
    reference = gradcam(model, explained.F, explained.q, model.answer_index("white"), torch.tensor(keep).unique())
    for given in (keep, set(keep), torch.tensor(keep), np.array(keep)):
        assert relative(explained.map(neurons=given, relu=False), reference) <= 1e-12


def test_row_n_of_all_maps_is_the_map_of_n(explained):
    every = explained.maps(relu=False)
    assert every.shape == (1024, 14, 14)
    ns = [1, 2, 25, 400, 1023, 1024]
    some = explained.maps(ns, relu=False)
    for n, row in zip(ns, some, strict=True):
        assert relative(every[n - 1], row) <= 1e-12 and relative(explained.map(n, relu=False), row) <= 1e-12
        assert relative(explained.map(neurons=explained.order[:n], relu=False), row) <= 1e-12
    assert torch.equal(explained.maps(ns), explained.maps(ns, relu=False).relu())
    assert torch.equal(explained.maps([25, 25])[0], explained.maps([25, 25])[1])


# -- the pooled Jacobian ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_view(small_model, scenes) -> EncodedImage:
    """An image encoded by the model of 32 combine neurons."""
    return EncodedImage(small_model, scenes[1])


def test_maps_of_several_questions_are_those_of_each(model, scenes):
    view = EncodedImage(model, scenes[0])
    several = explain(model, view, scenes[0].questions[:3], "white")
    ns = [1, 25, 272, 1024]
    torch.testing.assert_close(maps_of(several, ns), torch.stack([e.maps(ns) for e in several]))
    raw = maps_of(several, ns, relu=False)
    torch.testing.assert_close(raw, torch.stack([e.maps(ns, relu=False) for e in several]))
    with pytest.raises(GateError, match="one EncodedImage"):
        maps_of([several[0], explain(model, scenes[1], scenes[1].questions[0])], ns)
    with pytest.raises(GateError, match="one EncodedImage"):
        maps_of([], ns)


def test_closed_form_and_fallback_agree(small_model, small_view):
    closed = small_model.pooled_jacobian(small_view.F)
    for chunk in (128, 11):
        fallback = closed_form.pooled_jacobian_vjp(small_model, small_view.F, chunk=chunk)
        assert fallback.shape == closed.shape == (32, 192)
        assert relative(fallback, closed) <= 1e-12
    print(f"\nclosed form against vector-Jacobian products: {relative(fallback, closed):.1e}")


def test_rows_agree_with_the_full_jacobian(model, explained):
    F, q = explained.F, explained.q
    rows = [0, 3, 512, 1023]
    full = torch.autograd.functional.jacobian(lambda maps: model.branches(maps, q)[1][0, rows], F)
    assert full.shape == (4, 1, 192, 14, 14)
    error = relative(full[:, 0].mean((2, 3)), explained.M[rows])
    print(f"\nM against the full Jacobian: {error:.1e}")
    assert error <= 1e-12


def test_new_weights_give_a_new_jacobian(small_model, small_view):
    """What is kept of fc6 must not outlive its weights."""
    vqa = copy.deepcopy(small_model)
    vqa.pooled_jacobian(small_view.F)
    with torch.no_grad():
        vqa.cnn.fc6.weight.mul_(torch.linspace(0, 2, vqa.cnn.fc6.in_features))
    fallback = closed_form.pooled_jacobian_vjp(vqa, small_view.F)
    assert relative(vqa.pooled_jacobian(small_view.F), fallback) <= 1e-12


@pytest.mark.parametrize("reduce", ["l2", "sum", "abs-sum"])
def test_a_model_without_closed_forms_gives_the_same(small_model, bare_model, small_view, reduce):
    question = small_view.vqa.vocabulary.words[5] + " is the color"
    closed = explain(small_model, small_view, question, "red", reduce=reduce)
    bare = explain(bare_model, EncodedImage(bare_model, small_view.image), question, "red", reduce=reduce)
    for name in ("q", "u", "v", "A", "y", "g", "M", "sensitivity"):
        assert relative(getattr(bare, name), getattr(closed, name)) <= 1e-12, name
    assert torch.equal(bare.order, closed.order) and bare.predicted == closed.predicted
    assert relative(bare.maps(relu=False), closed.maps(relu=False)) <= 1e-12


# -- small steps --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [10, 1024])
def test_alpha_agrees_with_small_steps(model, explained, n):
    """α_k Z is how fast the score rises when all of channel k is raised, through the neurons kept."""
    keep, a = explained.order[:n], model.answer_index("white")
    F, Wo = explained.F, model.output.weight[a]
    step = 1e-6 * F.abs().max()

    def score(maps: Tensor) -> Tensor:
        _, v = model.branches(maps, explained.q)
        return Wo[keep] @ (explained.u * v[0])[keep]

    channels = [0, 17, 100, 191]
    alpha = (explained.g[keep] @ explained.M[keep])[channels]
    rises = []
    for k in channels:
        raised = torch.zeros_like(F)
        raised[:, k] = step
        rises.append((score(F + raised) - score(F - raised)) / (2 * step) / (14 * 14))
    error = relative(torch.stack(rises), alpha)
    print(f"\nα against small steps, n = {n}: {error:.1e}")
    assert error < 1e-6


def test_the_gradient_of_the_score_agrees_with_small_steps(model, explained):
    a, step = model.answer_index("white"), 1e-6
    moved = [explained.u * torch.eye(1024, dtype=torch.float64)[j] * step for j in (0, 600)]
    for j, d in zip((0, 600), moved, strict=True):
        rise = (model.classify((explained.A + d)[None]) - model.classify((explained.A - d)[None]))[0, a] / (2 * step)
        assert rise.item() == pytest.approx(explained.g[j].item(), rel=1e-7)


# -- one image, many questions ------------------------------------------------------------------------


def test_a_list_of_questions_shares_the_images_work(model, scenes, monkeypatch):
    calls = {"conv": 0, "jacobian_factors": 0}

    def counted(name: str):
        plain = getattr(model, name)

        def call(*args):
            calls[name] += 1
            return plain(*args)

        return call

    for name in calls:
        monkeypatch.setattr(model, name, counted(name))
    questions = scenes[2].questions[:3]
    several = explain(model, scenes[2], questions, answer="red")
    maps = [e.maps() for e in several]
    assert calls == {"conv": 1, "jacobian_factors": 1}
    assert [e.question for e in several] == questions and len({id(e.view) for e in several}) == 1
    for question, expected in zip(questions, maps, strict=True):
        assert relative(explain(model, several[0].view, question, "red").maps(), expected) <= 1e-12
    assert calls == {"conv": 1, "jacobian_factors": 1}
    alone = explain(model, scenes[2], questions[1], "red")
    assert relative(alone.maps(), maps[1]) <= 1e-12 and calls["conv"] == 2


def test_answers_go_with_their_questions(model, scenes):
    view, questions = EncodedImage(model, scenes[3]), scenes[3].questions[:2]
    pair = explain(model, view, questions, ["red", None])
    assert pair[0].answer == "red" and pair[1].answer == pair[1].predicted
    assert explain(model, view, []) == []


def test_the_model_is_left_as_it_was(model, explained):
    assert not model.training and all(p.grad is None and not p.requires_grad for p in model.parameters())
    for name in ("u", "v", "A", "y", "g", "M", "sensitivity", "F"):
        assert not getattr(explained, name).requires_grad, name


def test_equal_scores_keep_the_order_of_their_index():
    scores = torch.tensor([1.0, 3.0, 1.0, 3.0, 2.0, 1.0])
    assert gates.ranking(scores).tolist() == [1, 3, 4, 0, 2, 5]
    assert gates.ranking(torch.zeros(2000)).tolist() == list(range(2000))


def test_scores_of_ones_own_rank(model, explained, scenes):
    scores = torch.arange(1024.0).flip(0)
    for given in (scores, scores.numpy(), scores.tolist()):
        e = explain(model, explained.view, explained.question, "white", rank=given)
        assert e.rank == "given" and e.order.tolist() == list(range(1024))
        assert e.top(3)["index"].tolist() == [0, 1, 2] and e.top(1)["value"].item() == 1023
    reference = gradcam(model, e.F, e.q, model.answer_index("white"), torch.arange(30))
    assert relative(e.map(30, relu=False), reference) <= 1e-12
    assert relative(e.map(1024), explained.map(1024)) <= 1e-12


def test_top_is_the_ranking(explained):
    top = explained.top(10)
    assert top.index.tolist() == list(range(1, 11)) and top["value"].is_monotonic_decreasing
    assert top["value"].tolist() == explained.sensitivity[top["index"].tolist()].tolist()
    assert top["value"].iloc[0] == explained.sensitivity.max().item()
