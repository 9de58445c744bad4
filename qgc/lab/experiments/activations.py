"""What changes in the model with the question and with the answer: activations, signs, gradients (paper §3.1).

The paper asks two questions about one image: what do (a) another question with the same answer and (b) another answer
to the same question change? And it says why the signs should matter: "When there is ReLU, the gradients which are
backpropagated depends on the sign of the activations." Here both are counted layer by layer, and so is what every
ReLU backpropagates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from torch import Tensor

from ...errors import QGCError
from ...explain import EncodedImage, Explanation, explain
from ...explain.guided import BackwardPass, guided_gradcam
from ...measure.similarity import Pair, cosine, same_answer_pairs
from ...models.evaluation import evaluated
from ...scenes import Scene
from ...scenes.questions import PARAPHRASES, asks, word
from .sanity import randomised

METHODS = ("plain gradient", "guided backprop", "Grad-CAM", "guided Grad-CAM")


# -- layer by layer -------------------------------------------------------------------------------
def activations(e: Explanation) -> dict[str, Tensor]:
    """The activations of paper §3.1, on the way forward: F and v (the image), then q, u, A = u ∘ v and y."""
    return {"F": e.F[0], "v": e.v, "q": e.q[0], "u": e.u, "A": e.A, "y": e.y}


@evaluated
def gradients(e: Explanation) -> dict[str, Tensor]:
    """The gradients of the answer's score y_a on the way back (paper §3.1, Eq. 1), and the map before its ReLU.

    For A = u ∘ v and a linear classifier: ∂y_a/∂A = Wo[a], ∂y_a/∂u = Wo[a] ∘ v, ∂y_a/∂v = Wo[a] ∘ u = g. Then
    α (Eq. 1) and L = Σ_k α_k F^k (Eq. 2, before the ReLU).
    """
    return {"∂y/∂A": e.c, "∂y/∂u": e.c * e.v, "∂y/∂v": e.g, "α": e.g @ e.M, "L": e.map(relu=False)}


def difference(a: Tensor, b: Tensor) -> dict[str, float]:
    """How far two layers are apart (paper §3.1: "the activations are different, and their signs also differ").

    ``equal`` to the last bit; ``relative difference`` ‖a − b‖ / ½(‖a‖ + ‖b‖), 0–2; ``cosine``; ``sign flips``, the
    entries that are positive in one and negative in the other, and their ``share flipped`` of all entries.
    """
    apart, size = float((a - b).norm()), float(a.norm() + b.norm()) / 2
    flips = int((a.sign() * b.sign() < 0).sum())
    return {
        "entries": a.numel(),
        "equal": torch.equal(a, b),
        "relative difference": apart / size if size else 0.0,
        "cosine": cosine(a, b),
        "sign flips": flips,
        "share flipped": flips / a.numel(),
    }


def compare(a: Explanation, b: Explanation) -> pd.DataFrame:
    """Two explanations by one model, layer by layer (paper §3.1, (a) and (b)): :func:`difference` of each.

    Explain them one at a time: the questions of a list are encoded in one batch, which may round the last bit
    differently, and then nothing after the question is ``equal``.

    Returns
    -------
    DataFrame
        Columns ``kind`` ("activation" or "gradient"), ``layer``, and those of :func:`difference`.

    Raises
    ------
    QGCError
        If they are of two models.
    """
    _check_one_model(a, b)
    kinds = {"activation": activations, "gradient": gradients}
    pairs = [(kind, of(a), of(b)) for kind, of in kinds.items()]
    return pd.DataFrame([{"kind": k, "layer": n, **difference(x[n], y[n])} for k, x, y in pairs for n in x])


def question_differences(vqa, scenes: Iterable[Scene]) -> pd.DataFrame:
    """How much the question changes q, u and A, compared with other changes of the question (paper §3.1, (a)).

    For every same-answer pair of color questions of every scene: the other question of the pair, the same question
    in other words, and a question of another kind about the same scene.

    Returns
    -------
    DataFrame
        Columns ``scene``, ``change``, ``layer`` and those of :func:`difference`.
    """
    rows = []
    for number, scene in enumerate(scenes):
        view = EncodedImage(vqa, scene)
        unlike = next(ask for ask in asks(scene) if ask.family != "colour")
        for pair in same_answer_pairs([scene]):
            asked = {
                "same question, other words": word(PARAPHRASES["colour"][1], pair.first.thing),
                "same answer, other thing": pair.second.question,
                "other kind of question": unlike.question,
            }
            start = activations(explain(vqa, view, pair.first.question, pair.answer))
            for change, question in asked.items():
                end = activations(explain(vqa, view, question, pair.answer))
                rows += [(number, change, n, *difference(start[n], end[n]).values()) for n in ("q", "u", "A")]
    return pd.DataFrame(rows, columns=["scene", "change", "layer", *difference(torch.ones(1), torch.ones(1))])


# -- what the ReLUs backpropagate ----------------------------------------------------------------------
def relu_gradient_flow(e: Explanation) -> pd.DataFrame:
    """How much of the gradient each ReLU backpropagates, plain and guided (paper §3.1; Springenberg et al. 2015).

    Returns
    -------
    DataFrame
        A row for each rule and ReLU, counted from the image: ``rule``, ``relu``, ``shape`` of its output; ``open``,
        the share of its units with a positive activation; ``arrives`` and ``leaves``, the shares of its units at
        which a gradient that is not zero comes in and goes on; ``norm let back``, ‖leaving‖ / ‖arriving‖.
    """
    way, rows = BackwardPass(e), []
    for rule in ("plain", "guided"):
        way.gradient(guided=rule == "guided")
        for number, relu in enumerate(way.relus, 1):
            shares = [float((t != 0).double().mean()) for t in (relu.active, relu.grad_output, relu.grad_input)]
            norm = float(relu.grad_input.norm() / relu.grad_output.norm())
            rows.append((rule, number, _shape(relu.active), *shares, norm))
    return pd.DataFrame(rows, columns=["rule", "relu", "shape", "open", "arrives", "leaves", "norm let back"])


def relu_gradient_changes(a: Explanation, b: Explanation) -> pd.DataFrame:
    """Whether two explanations of one view backpropagate through the same units (paper §3.1: "the sign of the …").

    Returns
    -------
    DataFrame
        A row for each rule and ReLU: ``rule``, ``relu``, ``shape``; ``same open``, whether the same units have a
        positive activation; ``only one passes``, the share of the units that backpropagate for ``a`` or ``b``
        which do so for one of them only; ``sign flips``, the share of those passed by both that change their sign.

    Raises
    ------
    ImageError
        If they are of two views.
    """
    first, rows = BackwardPass(a), []
    ways = first, BackwardPass(b, first)
    for rule in ("plain", "guided"):
        for way in ways:
            way.gradient(guided=rule == "guided")
        for number, (r, s) in enumerate(zip(ways[0].relus, ways[1].relus, strict=True), 1):
            x, y = r.grad_input != 0, s.grad_input != 0
            one = _share((x ^ y).sum(), (x | y).sum())
            flips = _share((r.grad_input * s.grad_input < 0).sum(), (x & y).sum())
            rows.append((rule, number, _shape(r.active), torch.equal(r.active, s.active), one, flips))
    return pd.DataFrame(rows, columns=["rule", "relu", "shape", "same open", "only one passes", "sign flips"])


# -- does guided backpropagation explain? ---------------------------------------------------------
def method_images(e: Explanation, way: BackwardPass | None = None) -> dict[str, Tensor]:
    """What each of :data:`METHODS` shows for one answer (Eq. 2; Springenberg et al. 2015; Selvaraju et al. 2019).

    ``way`` is the explanation's :class:`~qgc.explain.guided.BackwardPass` where there is one already.
    """
    way = BackwardPass(e) if way is None else way
    plain, fine = way.gradient(), way.gradient(guided=True)
    return dict(zip(METHODS, (plain, fine, e.map(), guided_gradcam(e, fine=fine)), strict=True))


def dependence(vqa, scenes: Iterable[Scene]) -> pd.DataFrame:
    """How alike each method's images stay when question, answer or scene changes (paper §3.1; Nie et al. 2018).

    From the first same-answer pair of color questions of each scene, with its true answer: the other question of
    the pair; the same question with the answer that scores highest among the others; and, as the floor, the image
    of the scene before.

    Returns
    -------
    DataFrame
        Columns ``scene``, ``changed`` ("question", "answer", "scene"), ``method`` and ``cosine`` (signed, of all
        numbers of the two images; nan where a map is empty).
    """
    shown, rows = [], []
    for number, (scene, pair) in enumerate(_first_pairs(scenes)):
        view = EncodedImage(vqa, scene)
        first, second = explain(vqa, view, [pair.first.question, pair.second.question], pair.answer)
        other = explain(vqa, view, first.question, _next_best(first))
        way = BackwardPass(first)
        shown.append(method_images(first, way))
        for changed, e in (("question", second), ("answer", other)):
            rows += _likeness(shown[-1], method_images(e, BackwardPass(e, way)), scene=number, changed=changed)
    for number in range(1, len(shown)):
        rows += _likeness(shown[number], shown[number - 1], scene=number, changed="scene")
    return pd.DataFrame(rows)


def upper_layers(vqa) -> list[str]:
    """Layers from the answer down to the last convolution, in the order of Adebayo et al. (2018), by module name."""
    return [names[-1] for label, names in vqa.layers()[:6] if label != "Wq, LSTM"]  # images change with these alone


def randomisation(vqa, scenes: Iterable[Scene], depths: Sequence[int] = (1, 2, 3, 4, 5), seed: int = 0) -> pd.DataFrame:
    """How alike each method's images stay when layers are re-initialised one after the other (Adebayo et al. 2018).

    The cascade goes down :func:`upper_layers`, and is looked at after as many layers as ``depths`` say
    (:func:`~qgc.lab.experiments.sanity.randomised`). Question and answer as in :func:`dependence`.

    Returns
    -------
    DataFrame
        Columns ``scene``, ``layers`` (how many are re-initialised), ``down to`` (the last of them), ``method``,
        ``cosine``.
    """
    layers, rows = upper_layers(vqa), []
    models = {k: randomised(vqa, layers[:k], seed) for k in depths}
    for number, (scene, pair) in enumerate(_first_pairs(scenes)):
        trained = method_images(explain(vqa, scene, pair.first.question, pair.answer))
        for k, model in models.items():
            redrawn = method_images(explain(model, scene, pair.first.question, pair.answer))
            rows += _likeness(trained, redrawn, scene=number, layers=k, **{"down to": layers[k - 1]})
    return pd.DataFrame(rows)


# -- parts ----------------------------------------------------------------------------------------
def _check_one_model(a: Explanation, b: Explanation) -> None:
    if a.vqa is not b.vqa:
        raise QGCError("these explanations are of two models, whose layers cannot be compared; explain with one")


def _shape(t: Tensor) -> str:
    return "×".join(map(str, t.shape[1:]))


def _share(part: Tensor, whole: Tensor) -> float:
    return float(part) / max(float(whole), 1.0)


def _first_pairs(scenes: Iterable[Scene]) -> list[tuple[Scene, Pair]]:
    found = [(scene, same_answer_pairs([scene])) for scene in scenes]
    return [(scene, pairs[0]) for scene, pairs in found if pairs]


def _next_best(e: Explanation) -> str:
    return next(e.vqa.answers[k] for k in e.y.argsort(descending=True) if e.vqa.answers[k] != e.answer)


def _likeness(a: dict[str, Tensor], b: dict[str, Tensor], **about) -> list[dict]:
    return [{**about, "method": m, "cosine": cosine(a[m], b[m])} for m in METHODS]


passage, passage_changes, pictures = relu_gradient_flow, relu_gradient_changes, method_images  # their old names
