"""A model of one's own that joins its branches in another way than by their product, and what is refused of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import qgc
from qgc.errors import AnswerError, QGCError
from qgc.explain import Words, explain, gradcam, guided_backprop
from qgc.explain.sensitivity import jacobian
from qgc.measure.accuracy import evaluate
from qgc.models import VQA, DeeperLSTM, backbones
from qgc.models.text import Vocabulary, answer_index

QUESTIONS = ["What color is the sink?", "What color are the towels?"]
CNN = replace(backbones.SCENES, blocks=((4,), (6,), (6,), (6,), (8,)), fc=16)


class Own(VQA):
    def __init__(self, combine: int = 5, width: int = 5):
        super().__init__()
        torch.manual_seed(0)
        self.vocabulary, self.answers, self.combine = Vocabulary.from_questions(QUESTIONS), ["White", "blue"], combine
        self.cnn = backbones.build(CNN)
        self.words = nn.Embedding(len(self.vocabulary), width)
        self.image, self.output = nn.Linear(8, width), nn.Linear(combine, 2)
        self.double()

    def conv(self, x: Tensor) -> Tensor:
        return self.cnn(x)

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.words(tokens).sum(1)

    def branches(self, F: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        return q.tanh(), self.image(F.mean((2, 3))).tanh()

    def classify(self, A: Tensor) -> Tensor:
        return self.output(A.tanh())

    def forward(self, x: Tensor, q: Tensor) -> Tensor:
        return self.classify(self.joined(q.tanh(), self.image(self.cnn(x).mean((2, 3))).tanh()))


def added(self, u, v):
    return u + v


def concatenated(self, u, v):
    return torch.cat([u, v], 1)


def bilinear(self, u, v):
    return (u[:, :, None] * v[:, None]).flatten(1)


def gated(self, u, v):
    return u.sigmoid() * v + (1 - u.sigmoid()) * u


FUSIONS = {"sum": (added, 5), "concatenation": (concatenated, 10), "bilinear": (bilinear, 25), "gated": (gated, 5)}


@pytest.fixture(scope="module", params=FUSIONS)
def vqa(request) -> Own:
    fuse, combine = FUSIONS[request.param]
    return type("Fused", (Own,), {"fuse": fuse, "joined": fuse})(combine)


def by_hand(vqa: Own, F: Tensor, q: Tensor, answer: int, keep: Tensor) -> Tensor:
    """The gated map by PyTorch alone."""
    F = F.detach().requires_grad_()
    A = vqa.joined(q.tanh(), vqa.image(F.mean((2, 3))).tanh())
    gate = torch.zeros(A.shape[1]).double().scatter(0, keep, 1)
    A.register_hook(lambda g: g * gate)
    (d,) = torch.autograd.grad(vqa.classify(A)[0, answer], F)
    return (d.mean((2, 3), keepdim=True) * F).sum(1)[0].detach()


def test_any_fusion_is_explained_as_by_hand(vqa):
    scene = qgc.scene("bathroom")
    for e in explain(vqa, scene, QUESTIONS, "white"):
        assert e.answer == "White"
        for n in (1, 3, vqa.combine):
            expected = by_hand(vqa, e.F, e.q, 0, e.order[:n])
            scale = expected.abs().max()
            assert (e.map(n, relu=False) - expected).abs().max() <= 1e-12 * scale
            assert (gradcam(vqa, e.F, e.q, 0, e.order[:n]) - expected).abs().max() <= 1e-12 * scale
        own = jacobian(vqa, e.F, e.q).norm(dim=1)
        torch.testing.assert_close(e.sensitivity, own, rtol=1e-12, atol=0)
        torch.testing.assert_close(e.y, vqa(vqa.prepare(scene.image), e.q)[0].detach(), rtol=1e-12, atol=0)


def test_all_else_works_with_it(vqa):
    scene = qgc.scene("bathroom")
    vqa.check(scene, QUESTIONS[0], vqa(vqa.prepare(scene.image), vqa.encode(QUESTIONS[0])))
    e = explain(vqa, scene, QUESTIONS[0])
    assert guided_backprop(e).any() and Words(vqa, QUESTIONS[0]).shares(e.view).sum() == pytest.approx(1)
    assert vqa.ask(scene, QUESTIONS[0])[0] == e.predicted
    assert len(e.top()) == len(qgc.plot.top10([e])) == min(10, vqa.combine) and qgc.plot.sensitivity_bars(e)
    assert qgc.plot.overlay(e, n=3) and evaluate(vqa, 1, distribution="natural", prior={})["scenes"] == 1


def test_a_pipeline_that_is_another_model_is_named(vqa):
    scene = qgc.scene("bathroom")
    scores = vqa(vqa.prepare(scene.image), vqa.encode(QUESTIONS[0]))
    with pytest.raises(QGCError, match=r"by its methods and by its forward pass are up to 0.5 apart"):
        vqa.check(scene, QUESTIONS[0], scores + torch.tensor([0, 0.5]))
    with pytest.raises(QGCError, match="give 2 scores, its forward pass 3"):
        vqa.check(scene, QUESTIONS[0], torch.zeros(3))
    product = Own()
    with pytest.raises(QGCError, match="its methods must do what forward does"):
        product.check(scene, QUESTIONS[0], product.classify(torch.zeros(1, 5).double()))


def test_closed_forms_of_a_product_are_refused_with_another_fusion(small_model):
    own = type("Added", (DeeperLSTM,), {"fuse": added})(small_model.config)
    with pytest.raises(QGCError, match="Added defines fuse, but its question_branch, .* derive it from qgc.models.VQA"):
        explain(own, qgc.scene("bathroom"), QUESTIONS[0])


@pytest.mark.parametrize(
    ("fuse", "answers", "message"),
    [
        (
            lambda self, u, v: v[:, :, None, None],
            ["a", "b"],
            "pool it to .B, J., or explain the channels .*explain_module",
        ),
        (added, {0: "no", 1: "yes"}, r"is a dict; make it a list .*\[id2label\[i\] for i in range"),
    ],
)
def test_what_cannot_be_explained_names_the_remedy(fuse, answers, message):
    own = type("Own", (Own,), {"fuse": fuse})()
    own.answers = answers
    with pytest.raises(QGCError, match=message):
        explain(own, qgc.scene("bathroom"), QUESTIONS[0])


def test_a_plain_module_is_refused_with_the_remedy():
    with pytest.raises(
        QGCError, match="takes a VQA model, not Linear.*name the places of any other to qgc.explain_module"
    ):
        explain(nn.Linear(2, 2), qgc.scene("bathroom"), QUESTIONS[0])


def test_answers_are_found_whatever_their_capitals():
    assert answer_index(["No", "Yes"], "yes") == answer_index(["No", "yes"], "YES ") == 1
    with pytest.raises(AnswerError, match="it knows No, Yes"):
        answer_index(["No", "Yes"], "yess")
