"""The contract of a model: four methods are enough, and each optional one can be added alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qgc
from qgc.errors import QGCError
from qgc.explain import EncodedImage, Words, closed_form, explain, gradcam, guided_backprop, maps_of
from qgc.explain.rankings import RankingInputs
from qgc.lab.experiments import compare, nulls, sanity
from qgc.lab.protocol import methods
from qgc.models import VQA
from qgc.models.text import Vocabulary
from qgc.scenes.situations import situation

ROOT = Path(__file__).parents[2]
QUESTIONS = ["What color is the sink?", "What color are the towels?"]


@pytest.fixture(scope="module")
def scene():
    return situation("bathroom")


def agree(a: Tensor, b: Tensor, name: str = "") -> None:
    assert a.shape == b.shape and (a - b).abs().max() <= 1e-12 * b.abs().max(), name


def results(vqa, scene) -> dict[str, Tensor]:
    """What closed forms can have a part in."""
    first, second = explain(vqa, scene, QUESTIONS, "white")
    few = explain(vqa, scene, QUESTIONS[0], "white")
    return {
        "y": first.y, "sensitivity": first.sensitivity, "few": few.maps([1, 9]), "every": first.maps(relu=False),
        "other": second.maps(relu=False), "M": second.M, "of both": maps_of([first, second], [3, 32]),
        "M again": closed_form.pooled_jacobian(vqa, first.F, second.q),
    }  # fmt: skip


# -- one optional method at a time ----------------------------------------------------------------------------------
def cells(self, F: Tensor, q: Tensor) -> Tensor:
    return torch.full((len(q), *F.shape[2:]), 1 / F[0, 0].numel(), dtype=F.dtype)


OPTIONAL: dict[str, dict[str, Callable]] = {
    "question_branch": {"question_branch": lambda self, q: self.inner.question_branch(q)},
    "image_state": {"image_state": lambda self, F: SimpleNamespace(v=self.inner.branches(F, self.encode("wall"))[1])},
    "question_branch, image_state": {
        "question_branch": lambda self, q: self.inner.question_branch(q),
        "image_state": lambda self, F: SimpleNamespace(v=self.inner.branches(F, self.encode("wall"))[1]),
    },
    "jacobian_factors": {"jacobian_factors": lambda self, F: self.inner.jacobian_factors(F)},
    "pooled_jacobian": {"pooled_jacobian": lambda self, F: self.inner.pooled_jacobian(F)},
    "question_pooled_jacobian": {"question_pooled_jacobian": lambda self, F, q: self.inner.pooled_jacobian(F)},
    "sensitivity_jacobian": {"sensitivity_jacobian": lambda self, u, v: self.inner.sensitivity_jacobian(u, v)},
    "embed": {"embed": lambda self, tokens: self.inner.embed(tokens)},
    "embed, encode_words": {
        "embed": lambda self, tokens: self.inner.embed(tokens),
        "encode_words": lambda self, w, lengths: self.inner.encode_words(w, lengths),
    },
    "attention": {"attention": cells},
    "layers": {"layers": lambda self: [("Wo", ["inner.output"])]},
}
UNUSED = {"attention": {"attention"}, "layers": {"layers"}}


WORDS = {"sensitivity_jacobian": "bare", "embed": "bare", "embed, encode_words": "closed"}
"""Methods with a part in ∂A/∂w, and whose words they read: w is looked up, or what ``embed`` makes of that."""


@pytest.fixture(scope="module")
def without(bare_model, scene) -> dict[str, Tensor]:
    """The results of the four methods alone."""
    return results(bare_model, scene)


@pytest.fixture(scope="module")
def by_words(bare_model, small_model, scene) -> dict[str, Tensor]:
    """∂A/∂w (T, J) of the four methods alone, and of the model with closed forms."""
    models = {"bare": bare_model, "closed": small_model}
    return {name: Words(vqa, QUESTIONS[0]).sensitivity(EncodedImage(vqa, scene)) for name, vqa in models.items()}


def test_four_methods_are_enough(bare_model, small_model, scene, without):
    for name, values in results(small_model, scene).items():
        agree(without[name], values, name)
    assert not any(getattr(bare_model, name)(*[None] * count) for name, count in (("embed", 1), ("attention", 2)))
    view = EncodedImage(bare_model, scene)
    q = bare_model.encode(QUESTIONS[0])
    assert view.factors(q) is None and EncodedImage(small_model, scene).factors(q)
    agree(closed_form.pooled_jacobian(bare_model, view.F, q), without["M"])
    with pytest.raises(QGCError, match="may see the question; give q as well"):
        closed_form.pooled_jacobian(bare_model, view.F)


@pytest.mark.parametrize("methods", OPTIONAL)
def test_each_optional_method_alone_changes_no_number(bare_model, small_model, scene, without, by_words, methods):
    called = set()

    def noted(name: str, method: Callable) -> Callable:
        return lambda self, *args: called.add(name) or method(self, *args)

    own = type("Own", (type(bare_model),), {k: noted(k, m) for k, m in OPTIONAL[methods].items()})
    vqa = own(small_model)
    for name, values in results(vqa, scene).items():
        agree(values, without[name], name)
    if methods in WORDS:
        agree(Words(vqa, QUESTIONS[0]).sensitivity(EncodedImage(vqa, scene)), by_words[WORDS[methods]])
    assert called == OPTIONAL[methods].keys() - UNUSED.get(methods, set())
    shared = {"question_branch", "question_branch, image_state", "jacobian_factors", "pooled_jacobian"}
    assert bool(EncodedImage(vqa, scene).factors(vqa.encode(QUESTIONS[0]))) == (methods in shared)


def test_the_fallback_is_worked_out_once_a_question(bare_model, scene, monkeypatch):
    asked, plain = [], closed_form.pooled_jacobian_vjp
    monkeypatch.setattr(
        closed_form, "pooled_jacobian_vjp", lambda vqa, F, q, chunk: asked.append(q) or plain(vqa, F, q)
    )
    first, second = explain(bare_model, scene, QUESTIONS, "white")
    for e in (first, second):
        for n in (1, 2, 3):
            e.map(n)
        e.maps(), e.map(neurons=[1])
    assert [q is e.q for q, e in zip(asked, (first, second), strict=True)] == [True, True]
    assert not torch.equal(first.map(3), second.map(3))


def test_what_measures_ask_of_a_model(bare_model, small_model, scene):
    own = type("Own", (type(bare_model),), {**OPTIONAL["attention"], **OPTIONAL["layers"]})(small_model)
    F, q = EncodedImage(own, scene).F, own.encode(QUESTIONS[0])
    seen = {m: compare.look({"m": vqa}, scene).before for m, vqa in (("bare", bare_model), ("own", own))}
    assert seen["own"].keys() - seen["bare"].keys() == {"m attention"}
    assert torch.equal(seen["own"]["m attention"][0], cells(own, F, q)[0])
    assert sanity.cascade_parts(bare_model) == [] and sanity.cascade_parts(own) == [("Wo", ["inner.output"])]
    assert sanity.question_branch_parts(bare_model) == [] and sanity.question_branch_parts(small_model) == ["question"]
    assert methods.mean_slope(bare_model, QUESTIONS) is None and nulls.question_pool(bare_model).constants == {}
    u = methods.question_branches(small_model, QUESTIONS)
    assert torch.equal(methods.mean_slope(small_model, QUESTIONS), (1 - u**2).mean(0))


# -- models of one's own ----------------------------------------------------------------------------------------------
def documented() -> str:
    """The model of one's own in the book, as it stands there."""
    cells = json.loads((ROOT / "book" / "how-to-use.ipynb").read_text(encoding="utf-8"))["cells"]
    (text,) = [t for t in ("".join(c["source"]) for c in cells) if t.startswith("## A model of your own")]
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return code


def test_the_model_of_ones_own_in_the_book_is_explained(capsys):
    code = documented()
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    torch.manual_seed(0)
    found: dict = {}
    exec(code, found)
    assert "[14, 14]" in capsys.readouterr().out
    vqa, sink, towels = (found[name] for name in ("vqa", "sink", "towels"))
    assert vqa.training and not sink.map(25).requires_grad
    sink, towels = explain(vqa.double(), found["scene"], [sink.question, towels.question], "white")
    for e in (sink, towels):
        exact = gradcam(vqa, e.F, e.q, vqa.answer_index("white"), e.order[:25])
        agree(e.map(25, relu=False), exact)
    assert not torch.equal(sink.M, towels.M)  # its image branch sees the question
    assert guided_backprop(sink).any() and Words(vqa, sink.question).shares(sink.view).sum() == pytest.approx(1)
    assert not RankingInputs(sink).no_question.isfinite().any()


class WithoutBackbone(VQA):
    """A CNN that is not from :mod:`qgc.models.backbones`."""

    def __init__(self):
        super().__init__()
        self.vocabulary, self.answers, self.combine = Vocabulary.from_questions(QUESTIONS), ["white", "blue"], 6
        self.filters, self.words = nn.Conv2d(3, 6, 8, 8), nn.Embedding(20, 6)

    def conv(self, x: Tensor) -> Tensor:
        return self.filters(x).relu()

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        return self.words(tokens).sum(1)

    def branches(self, F: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        return q.tanh(), F.mean((2, 3))

    def classify(self, A: Tensor) -> Tensor:
        return torch.stack([A.sum(1), -A.sum(1)], 1)


def test_a_cnn_of_ones_own_needs_to_prepare_its_input(scene):
    with pytest.raises(QGCError, match="no cnn from qgc.models.backbones, so it has to define prepare"):
        explain(WithoutBackbone(), scene, QUESTIONS[0])

    class Prepared(WithoutBackbone):
        def prepare(self, image) -> Tensor:
            return torch.from_numpy(np.asarray(image.resize((32, 32)), np.float32).copy()).permute(2, 0, 1)[None] / 255

    found = explain(Prepared(), scene, QUESTIONS[0])
    assert found.map(relu=False).shape == (4, 4) and guided_backprop(found).shape == (3, 32, 32)
    with pytest.raises(QGCError, match="a combine layer .6,. and scores .2,., but its combine and answers say .7,."):
        wrong = Prepared()
        wrong.combine = 7
        explain(wrong, scene, QUESTIONS[0])


@pytest.mark.parametrize("lacking", ["vocabulary", "answers", "combine", "encode_tokens", "branches", "classify"])
def test_what_a_model_lacks_is_named(bare_model, small_model, scene, lacking):
    vqa = type(bare_model)(small_model)
    if hasattr(VQA, lacking):
        vqa = type("Own", (type(bare_model),), {lacking: getattr(VQA, lacking)})(small_model)
    else:
        delattr(vqa, lacking)
    with pytest.raises(QGCError, match=f"lacks {lacking}.*; a model needs vocabulary, answers"):
        explain(vqa, scene, QUESTIONS[0])


def test_no_module_asks_a_model_for_a_method_that_is_not_declared():
    asking = re.compile(r"hasattr\((\w+\.)*(vqa|model), \"|isinstance\((\w+\.)*(vqa|model), (DeeperLSTM|Pythia)\b")
    for path in Path(qgc.__file__).parent.rglob("*.py"):
        assert not asking.search(path.read_text(encoding="utf-8")), path
