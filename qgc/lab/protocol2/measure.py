"""What is measured of one model on one scene by protocol 2, as small numbers (book/protocol-2.md).

Two held-out questions with the same answer, about two objects that share no pixel. Kept of every method's pair of maps
(before the ReLU, on their own cells) are the verdicts of :mod:`qgc.measure.pairs`, the areas a_1 and a_2 that rank
grounding compares, and the verdicts of the no-place surrogate. On some scenes two controls are added: the same with
questions about *absent* objects (:mod:`qgc.lab.experiments.absent`), and what the model itself separates, from
alterations of the objects (:mod:`qgc.lab.experiments.faithfulness`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from ...explain import EncodedImage, Explanation, contrast, explain, gates
from ...explain.rankings import RANKINGS, RankingInputs
from ...measure import pairs as on_pairs
from ...measure.similarity import Pair, cosine
from ...models.evaluation import evaluating
from ...scenes import Scene
from ...scenes.questions import HELD_OUT, Ask, every_question, facts, word
from ..experiments.compare import gradients
from ..experiments.effects import effect_size
from ..experiments.faithfulness import Alteration, pair_effects
from ..experiments.interventions import visible
from ..protocol.methods import mean_slope

VERDICTS = ("rank", "first object", "second object", "odds", "surrogate rank", "surrogate first", "surrogate second")
"""What is kept of a pair of maps, in this order: twice the verdict (0, 1, 2), and 3 where there is no map."""

EFFECTS = ("D_11", "D_12", "D_21", "D_22", "verdict", "half 1", "half 2", "sure", "separation", "raw separation")
"""What is kept of the model itself: D, the verdict and those of both halves of the alterations, whether they agree, and
Yule's Y, of D and of the effects without the floor of null alterations, below which D is zero."""

NO_MAP = 3
CONTRASTS = {"contrast": None, "contrast, L1": "l1", "contrast, L2": "l2"}
"""Contrasts of the two Grad-CAM maps, and the norm by which both are divided first."""

FREE = ("Grad-CAM", *CONTRASTS, "HiResCAM", "|input × gradient|", "attention")
"""Maps without a gate."""

GATES = ("gate", "random gate", "question-free gate", "other question's gate")
"""The paper's gate; random gates; the same gate by ∂A/∂q averaged over all questions, and by the ranking of the pair's
other question.

A random gate takes the gate's own two rankings with all neurons exchanged at random, in both questions alike: its two
sets have as many neurons in common as the gate's. (Sets drawn apart would differ more from question to question.)"""


def methods(ns: Sequence[int]) -> list[str]:
    """The names of :func:`pair_maps`, in their order."""
    return [*FREE, *(f"{gate}, n = {n}" for gate in GATES for n in ns)]


@dataclass
class Subject:
    """A model with what is worked out once: ``slope`` (J,), the mean 1 − u² of all questions, where it has one."""

    vqa: torch.nn.Module
    slope: Tensor | None = field(init=False)

    def __post_init__(self):
        """Average 1 − u² over all questions in the paraphrases of training."""
        self.slope = mean_slope(self.vqa, every_question())


def chosen_pair(scene: Scene) -> Pair | None:
    """The scene's one pair: held-out color questions with the same answer about objects that share no pixel.

    The pair and the paraphrase follow from the scene's seed. Both questions have one paraphrase, so that they differ in
    the object alone; objects that can hardly be seen are left out. None if there is no such pair.
    """
    rng = np.random.default_rng([scene.seed & 0x7FFFFFFF, 94])
    template = HELD_OUT["colour"][int(rng.integers(len(HELD_OUT["colour"])))]
    able = [
        Ask(word(template, name), answer, about, family)
        for family, name, answer, about in facts(scene)
        if family == "colour" and about in scene.masks and visible(scene, about)
    ]
    masks = scene.masks
    found = [
        Pair(scene, a, b)
        for a, b in combinations(able, 2)
        if a.answer == b.answer and a.thing != b.thing and not (masks[a.thing] & masks[b.thing]).any()
    ]
    return found[int(rng.integers(len(found)))] if found else None


@torch.no_grad()
def pair_maps(subject: Subject, both: Sequence[Explanation], ns: Sequence[int], rng: np.random.Generator) -> Tensor:
    """Maps (methods, 2, h, w) before the ReLU in the order of :func:`methods`.

    nan where the model has no such map: attention without an attention, the question-free gate without a closed form, a
    gate of more neurons than it has.
    """
    vqa, F, ns = subject.vqa, both[0].F, list(ns)
    J = vqa.combine
    exchanged = torch.from_numpy(rng.permutation(J)).to(both[0].order)
    rows = []
    for k, e in enumerate(both):
        free = RANKINGS["∂A/∂q of no question"](RankingInputs(e, slope=subject.slope))
        orders = [e.order, exchanged[e.order], gates.ranking(free), both[1 - k].order]
        chosen = [min(n, J) for n in ns]
        keep = torch.cat([gates.top(e.order, [J]), *(gates.top(order, chosen) for order in orders)]).to(e.g) * e.g
        keep[1 + 2 * len(ns) : 1 + 3 * len(ns)] += (free * 0).nan_to_num(torch.nan)  # nan where there is no ranking
        keep[1:][torch.tensor([n > J for n in ns] * len(orders))] = torch.nan
        rows.append(torch.einsum("nk,khw->nhw", e.view.apply_jacobian(keep, e.q), F[0]))
    gated = torch.stack(rows, 1).double()
    answer = torch.tensor([[vqa.answer_index(e.answer)] for e in both], device=F.device)
    dF = gradients(vqa, F, torch.cat([e.q for e in both]), answer)[:, 0]
    attention = [vqa.attention(F, e.q) for e in both]
    plain = gated[0]
    missing = torch.full_like(plain, torch.nan)
    contrasts = [torch.stack([contrast(*plain, n), contrast(*plain.flip(0), n)]) for n in CONTRASTS.values()]
    own = [(dF * F).sum(1).double(), (dF * F).abs().sum(1).double()]
    own.append(missing if attention[0] is None else torch.cat(attention).double())
    return torch.stack([plain, *contrasts, *own, *gated[1:]])


def surrogates_of(maps: Tensor) -> Tensor:
    """The no-place surrogates of :func:`pair_maps`; that of a contrast is made from the two maps that it compares."""
    found = on_pairs.no_place_surrogate(*maps.unbind(1))
    for name, norm in CONTRASTS.items():
        found[FREE.index(name)] = on_pairs.no_place_surrogate(*maps[0], lambda a, b, norm=norm: contrast(a, b, norm))
    return found


def judged(maps: Tensor, surrogates: Tensor | None, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of maps (methods, 2, h, w): ``verdicts`` (methods, :data:`VERDICTS`) as int8, and a_1, a_2 (methods, 2)."""
    rank = on_pairs.rank_grounding(maps, masks)
    columns = [rank.verdict[:, None]]
    if surrogates is not None:
        R, without = on_pairs.shares(maps, masks), on_pairs.shares(surrogates, masks)
        columns += [on_pairs.object_verdicts(R), on_pairs.odds_grounding(R)[:, None]]
        columns += [on_pairs.rank_grounding(surrogates, masks).verdict[:, None], on_pairs.object_verdicts(without)]
    there = maps.flatten(1).isfinite().all(1)
    kept = torch.where(there[:, None], 2 * torch.cat(columns, 1), float(NO_MAP))
    return kept.to(torch.int8).cpu().numpy(), torch.stack(rank[1:], 1).float().cpu().numpy()


@torch.no_grad()
def measure_pair(
    subject: Subject, pair: Pair, F: Tensor, ns: Sequence[int], *,
    altered: Sequence[Alteration] = (), other: Sequence[str] | None = None, f: Tensor | None = None,
) -> dict[str, np.ndarray]:  # fmt: skip
    """One model and one pair.

    Parameters
    ----------
    F : (1 + alterations, K, h, w) of the scene and of ``altered``. ns : the n of the gates.
    altered : what the model itself is asked about; none: it is not asked. other : the pair's questions about absent
        objects; None: that control is omitted. f : (…, fc), what a Deeper LSTM's CNN makes of F, if models share it.

    Returns
    -------
    dict
        ``verdicts`` and ``a`` (:func:`judged`); ``cosine`` of the two Grad-CAM maps after the ReLU, 0 where one is
        empty, nan where both are; ``right``, how many of both questions are answered rightly; ``area`` and
        ``background`` (2,). With ``altered``: ``effects`` (:data:`EFFECTS`); with ``other``: ``absent`` (methods,), the
        rank verdicts, and ``absent effect`` beside ``altered``.
    """
    vqa, scene = subject.vqa, pair.scene
    things = [pair.first.thing, pair.second.thing]
    masks = np.stack([scene.masks[name] for name in things])
    with evaluating(vqa):
        view = EncodedImage(vqa, scene, F[:1])
        both = explain(vqa, view, [pair.first.question, pair.second.question], pair.answer)
        maps = pair_maps(subject, both, ns, gates_rng(scene))
        verdicts, a = judged(maps, surrogates_of(maps), masks)
        found = {
            "verdicts": verdicts, "a": a.astype(np.float16),
            "cosine": np.float32(_cosine(*maps[0].relu())),
            "right": np.int8(sum(e.predicted == pair.answer for e in both)),
            "area": masks.mean((1, 2)).astype(np.float32),
            "background": np.array([name in scene.tones for name in things]),
        }  # fmt: skip
        if len(altered):
            found["effects"] = _effects(vqa, F, both, altered, things, f)
        if other is not None:
            both = explain(vqa, view, list(other), pair.answer)
            found["absent"] = judged(pair_maps(subject, both, ns, gates_rng(scene)), None, masks)[0][:, 0]
            if len(altered):
                found["absent effect"] = _effects(vqa, F, both, altered, things, f)[EFFECTS.index("separation")]
    return found


def gates_rng(scene: Scene) -> np.random.Generator:
    """The same random gates for all models, and for own and absent questions."""
    return np.random.default_rng([scene.seed & 0x7FFFFFFF, 92])


def _cosine(first: Tensor, second: Tensor) -> float:
    # A map and an empty one have nothing in common; of two empty ones nothing can be said.
    return 0.0 if bool(first.any()) != bool(second.any()) else float(cosine(first, second))


def _effects(vqa, F, both: Sequence[Explanation], altered: Sequence[Alteration], things, f) -> np.ndarray:
    effects = pair_effects(vqa, F, both, altered, tuple(things), f)
    return np.array(
        [*effects.D.ravel(), effects.verdict, *effects.half_verdicts, effects.sure, effects.size,
         effect_size(effects.raw)], np.float32
    )  # fmt: skip
