"""Does the map follow the question? Every ranking, every n, random gates and gate-free maps, on same-answer pairs.

One call measures one model on one scene; :mod:`qgc.measure.run` does it for all of them. For a pair of questions
with the same answer about disjoint things S1 and S2, with RMA the mass accuracy of :mod:`qgc.measure.localise`
(an empty map counts 0):

    own    = [RMA(L1, S1) + RMA(L2, S2)] / 2
    other  = [RMA(L1, S2) + RMA(L2, S1)] / 2
    margin = own − other,   contrastive grounding = 1, ½, 0 for a margin above, at, below zero
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..explain import View, explain
from ..explain.gates import ranking
from ..explain.words import Words
from ..scenes import Scene
from ..scenes.questions import every_question
from .localise import MEASURES, TIE, ceilings, cell_weights, chance, rescaled
from .protocol import DRAWS, GRID, PAIRS
from .rankings import COMMON, GATE_FREE, RANKINGS, Asked, running, running_without_common
from .similarity import Pair, same_answer_pairs

GATES = (*RANKINGS, COMMON)
MAPS = (*GATE_FREE, *(f"gate, n = {n}" for n in (10, 25, 200)), "random gate, n = 25")
"""Maps that are also held against the mask by all of :data:`~qgc.measure.localise.MEASURES`."""


@dataclass
class Subject:
    """A model to be measured, with what is worked out once.

    ``mean_u`` (J,) over its colour questions, ``words`` as they are asked for, and ``joins`` (draws, J): from which
    entry of the protocol's grid on a neuron is let through, in each random ranking.
    """

    vqa: torch.nn.Module
    words: dict[str, Words] = field(default_factory=dict)
    mean_u: Tensor = field(init=False)
    joins: Tensor = field(init=False)

    def __post_init__(self):
        vqa = self.vqa
        texts = [q for q in every_question() if q.startswith(("What color is", "What color are")) and "in the" not in q]
        if hasattr(vqa, "question_branch"):
            with torch.no_grad():
                self.mean_u = torch.cat([vqa.question_branch(vqa.encode(t)) for t in texts]).mean(0)
        rng = np.random.default_rng(0)
        ranks = torch.from_numpy(np.stack([rng.permutation(vqa.combine) for _ in range(DRAWS)]))
        self.joins = torch.searchsorted(torch.tensor(GRID), ranks + 1).clamp_max(len(GRID) - 1).to(vqa.device)

    def word(self, view: View, question: str) -> Tensor:
        """∂A/∂w of the question's content word, l2, (J,)."""
        if question not in self.words:
            self.words[question] = Words(self.vqa, question)
        asked = self.words[question]
        return asked.sensitivity(view)[asked.content]


def chosen_pairs(scene: Scene) -> list[Pair]:
    """At most :data:`~qgc.measure.protocol.PAIRS` same-answer colour pairs about things that share no pixel."""
    pairs = [
        p for p in same_answer_pairs([scene]) if not (scene.masks[p.first.thing] & scene.masks[p.second.thing]).any()
    ]
    drawn = np.random.default_rng([scene.seed & 0x7FFFFFFF, 23]).permutation(len(pairs))[:PAIRS]
    return [pairs[i] for i in sorted(drawn)]


@torch.no_grad()
def measure_pair(subject: Subject, view: View, pair: Pair, closely: bool = True) -> dict[str, np.ndarray]:
    """Everything that the module's docstring lists, for one model and one pair, as small arrays.

    ``margin`` (gates, J): every ranking of :data:`GATES` at every n. ``own``, ``mass``, ``empty`` (gates, grid): at
    the n of the protocol's grid; mass is that of Grad-CAM's map, empty how many of the two maps have none.
    ``random`` (draws, grid) margins and ``random own`` (grid) of random gates. ``free`` (maps, 4): margin, own, mass
    and empty of :data:`~qgc.measure.rankings.GATE_FREE`. ``right``: how many of the two questions the model answers
    rightly; ``cosine`` of the two Grad-CAM maps. ``measures`` (2, maps, measures): of :data:`MAPS`, mean of both, as
    they are and rescaled between each thing's chance and ceiling; these take as long as all the rest, and are left out
    unless ``closely``.
    """
    vqa, asks = subject.vqa, (pair.first, pair.second)
    asked = []
    unranked = torch.zeros(vqa.combine)  # every ranking is made below; the default one is not worked out first
    for ask in asks:
        e = explain(vqa, view, ask.question, pair.answer, rank=unranked)
        asked.append((e, Asked.of(e, subject.word(view, ask.question))))
    masks = [pair.scene.masks[a.thing] for a in asks]
    grid = tuple(view.F.shape[2:])
    inside = [cell_weights(m, grid, view.F)[0] for m in masks]
    anywhere = cell_weights(masks[0], grid, view.F)[1]
    steps = torch.tensor([min(n, vqa.combine) - 1 for n in GRID])

    both: list[dict[str, Tensor]] = []
    drawn: list[dict[str, Tensor]] = []
    for k, (_, a) in enumerate(asked):
        b = asked[1 - k][1]
        weights = torch.stack([inside[k], inside[1 - k], anywhere], 1)
        own_maps = a.g[:, None] * a.P
        orders = {name: ranking(score(a, b)) for name, score in RANKINGS.items()}
        first = next(iter(RANKINGS))
        gated = torch.stack(
            [running(own_maps, o).relu_() @ weights for o in orders.values()]
            + [running_without_common(own_maps, orders[first], ranking(RANKINGS[first](b, a))).relu_() @ weights]
        )
        by_chance = _random(own_maps, subject.joins.roll(k * DRAWS // 2, 0))  # the partner's random gates are others
        mean_u = getattr(subject, "mean_u", a.u * torch.nan)
        free = torch.stack([f(a, b, mean_u, vqa).relu() for f in GATE_FREE.values()])
        both.append(
            {"gated": _shares(gated), "random": _shares(by_chance @ weights),
             "free": _shares(free @ weights)}
        )  # fmt: skip
        result = {"map": free[0]}
        drawn.append(result)
        if not closely:
            continue
        some = [running(own_maps, orders[first])[n - 1].relu() for n in (10, 25, 200)]
        maps = torch.stack([*free, *some, by_chance[0, GRID.index(25)]]).view(-1, *grid)
        raw = torch.stack([m(maps, masks[k]) for m in MEASURES.values()], 1)
        high = raw.new_tensor(list(ceilings(masks[k], grid).values()))
        result["measures"] = torch.stack([raw, rescaled(raw, chance(masks[k]), high)])

    mean = {name: (both[0][name] + both[1][name]) / 2 for name in both[0]}  # (..., 4): own, other, mass, empty
    margin = {name: _margin(x) for name, x in mean.items()}
    full = mean["free"][0, 2].clamp_min(1e-30)
    right = sum(int(vqa.answers[int(e.y.argmax())] == pair.answer) for e, _ in asked)
    a, b = (d["map"].double() for d in drawn)
    found = {
        "margin": _half(margin["gated"]),
        "own": _half(mean["gated"][:, steps, 0]),
        "mass": (mean["gated"][:, steps, 2] / full).half().cpu().numpy(),
        "empty": (2 * mean["gated"][:, steps, 3]).to(torch.uint8).cpu().numpy(),
        "random": _half(margin["random"]),
        "random own": _half(mean["random"][..., 0].mean(0)),
        "free": torch.stack(
            [margin["free"], mean["free"][:, 0], mean["free"][:, 2] / full, mean["free"][:, 3]], 1
        ).float().cpu().numpy(),
        "right": np.int8(right),
        "cosine": np.float32(a @ b / (a.norm() * b.norm()).clamp_min(1e-30)),
    }  # fmt: skip
    if closely:
        found["measures"] = torch.stack([d["measures"] for d in drawn]).nanmean(0).float().cpu().numpy()
    return found


def _random(own_maps: Tensor, joins: Tensor) -> Tensor:
    # Maps (draws, grid, h·w) of random gates, after the ReLU: each neuron is added where it joins, then summed up.
    steps = own_maps.new_zeros(len(joins), len(GRID), own_maps.shape[1])
    for step, where in zip(steps, joins, strict=True):
        step.index_add_(0, where, own_maps)
    return steps.cumsum(1).relu_()


def _shares(sums: Tensor) -> Tensor:
    # (..., 3) mass on the own thing, on the other, anywhere → (..., 4) shares on both, mass, whether there is none
    mass = sums[..., 2]
    empty = mass <= 0
    safe = torch.where(empty, 1.0, mass)
    return torch.stack([sums[..., 0] / safe, sums[..., 1] / safe, mass, empty.to(mass.dtype)], -1)


def _margin(shares: Tensor) -> Tensor:
    return shares[..., 0] - shares[..., 1]


def _half(values: Tensor) -> np.ndarray:
    # float16 keeps what decides: ties stay zero, and no sign is lost
    small = values.abs() < max(TIE, 4 * torch.finfo(values.dtype).eps)
    kept = values.sign() * values.abs().clamp_min(1e-7)
    return torch.where(small, 0.0, kept).half().cpu().numpy()
