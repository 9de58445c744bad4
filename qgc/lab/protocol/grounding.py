"""Does the map follow the question? Every ranking, every n, random gates and gate-free maps, on same-answer pairs.

One call measures one model on one scene; :mod:`qgc.lab.protocol.run` does it for all. For a pair of questions with
the same answer about disjoint objects S1 and S2 it keeps

* the measure that protocol 1 registered, contrastive grounding, for every n: with RMA the mass accuracy of
  :mod:`qgc.measure.localise` (maps enlarged, an empty map counting 0)

      own    = [RMA(L1, S1) + RMA(L2, S2)] / 2
      other  = [RMA(L1, S2) + RMA(L2, S1)] / 2
      margin = own − other,   contrastive grounding = 1, ½, 0 for a margin above, at, below zero

* the measures of :mod:`qgc.measure.pairs`, at the n of :func:`steps`: what each is made of (the areas a_1 and a_2, the
  four shares), its verdicts, and those of the no-place surrogate.

So a new table of verdicts never needs a new run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from ...explain import EncodedImage, explain
from ...explain.gates import random_ranks, ranking
from ...explain.words import Words
from ...measure import pairs as on_pairs
from ...measure.localise import MEASURES, TIE, ceilings, chance, mass_shares, mass_weights, rescaled
from ...measure.similarity import Pair, same_answer_pairs
from ...scenes import Scene
from ...scenes.questions import every_question
from . import DRAWS, GRID, PAIRS, RANKED
from .methods import (
    COMMON,
    GATE_FREE,
    RANKINGS,
    RankingInputs,
    base_maps,
    cumulative_maps,
    cumulative_maps_without_common,
    mean_slope,
    question_branches,
)

GATES = (*RANKED, COMMON)
"""Every gate by the name that tables use, in the order of the stored arrays."""

VERDICTS = ("rank", "first object", "second object", "odds")
"""What is kept of :mod:`qgc.measure.pairs` for every map, in this order: twice the verdict, −1 where there is none."""

SURROGATES = ("rank", "first object", "second object", "contrastive")
"""The same of the no-place surrogate."""

MAPS = (*GATE_FREE, *(f"gate, n = {n}" for n in (10, 25, 200)), "random gate, n = 25")
"""Maps that are also compared with the mask by all of :data:`~qgc.measure.localise.MEASURES`."""


@dataclass
class Subject:
    """A model to be measured, with what is worked out once.

    ``mean_u`` (J,) over its color questions and ``slope`` (J,) over all (:func:`.methods.mean_slope`) are
    None for a model whose u is not all that carries the question; ``words`` as they are asked for; ``joins`` (draws,
    J): from which entry of the protocol's grid on a neuron is let through, in each random ranking.
    """

    vqa: torch.nn.Module
    words: dict[str, Words] = field(default_factory=dict)
    mean_u: Tensor | None = field(init=False, default=None)
    slope: Tensor | None = field(init=False, default=None)
    joins: Tensor = field(init=False)

    def __post_init__(self):
        """Work out what all pairs share: u over questions, and the random rankings."""
        vqa, every = self.vqa, every_question()
        colour = [q for q in every if q.startswith(("What color is", "What color are")) and "in the" not in q]
        with torch.no_grad():
            u = question_branches(vqa, colour)
            if u is not None:
                self.mean_u, self.slope = u.mean(0), mean_slope(vqa, every)
        ranks = random_ranks(vqa.combine, DRAWS)
        self.joins = torch.searchsorted(torch.tensor(GRID), ranks + 1).clamp_max(len(GRID) - 1).to(vqa.device)

    def word(self, view: EncodedImage, question: str) -> Tensor:
        """∂A/∂w of the question's content word, l2, (J,)."""
        if question not in self.words:
            self.words[question] = Words(self.vqa, question)
        asked = self.words[question]
        return asked.sensitivity(view)[asked.content]


def chosen_pairs(scene: Scene) -> list[Pair]:
    """At most :data:`~qgc.lab.protocol.PAIRS` same-answer color pairs about objects that share no pixel."""
    pairs = [
        p for p in same_answer_pairs([scene]) if not (scene.masks[p.first.thing] & scene.masks[p.second.thing]).any()
    ]
    drawn = np.random.default_rng([scene.seed & 0x7FFFFFFF, 23]).permutation(len(pairs))[:PAIRS]
    return [pairs[i] for i in sorted(drawn)]


def steps(J: int, chosen: Sequence[int] = ()) -> Tensor:
    """The n, less one, at which a ranking is measured: the protocol's grid and its own ``chosen`` n."""
    return torch.tensor([min(n, J) - 1 for n in (*GRID, *chosen)])


@torch.no_grad()
def measure_pair(
    subject: Subject,
    view: EncodedImage,
    pair: Pair,
    localisation: bool = True,
    chosen: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> dict[str, np.ndarray]:
    """Everything that the module's docstring lists, for one model and one pair, as small arrays.

    ``margin`` (gates, J): every ranking of :data:`GATES` at every n. ``own``, ``mass``, ``empty`` (gates, grid): at
    the n of the protocol's grid; mass is that of Grad-CAM's map, empty how many of the two maps have none.
    ``random`` (draws, grid) margins and ``random own`` (grid) of random gates. ``free`` (maps, 4): margin, own, mass
    and empty of :data:`~qgc.lab.protocol.methods.GATE_FREE`. ``right``: how many of the two questions the model answers
    rightly; ``cosine`` of the two Grad-CAM maps. ``area`` (2,) of both objects, as a part of the image, and whether
    each is ``background`` (2,).

    At the n of :func:`steps` (``chosen``: ranking → n besides the grid, as many for each): ``a`` (gates, n, 2), ``R``
    (gates, n, 2, 2), ``verdicts`` (gates, n, 4) and ``surrogate`` (gates, n, 4), see :data:`VERDICTS` and
    :data:`SURROGATES`; the same of gate-free maps as ``free a`` and so on; ``random verdicts`` (draws, grid, 3).

    ``measures`` (2, maps, measures): of :data:`MAPS`, mean of both questions, as they are and rescaled between each
    object's chance and ceiling; these take as long as all the rest, and are left out unless ``localisation``.
    """
    vqa, asks = subject.vqa, (pair.first, pair.second)
    unranked = torch.zeros(vqa.combine)  # every ranking is made below; the default one is not worked out first
    both = [explain(vqa, view, ask.question, pair.answer, rank=unranked) for ask in asks]
    words = [subject.word(view, ask.question) for ask in asks]
    inputs = [RankingInputs(e, word, subject.slope) for e, word in zip(both, words, strict=True)]
    masks = np.stack([pair.scene.masks[a.thing] for a in asks])
    grid = tuple(view.F.shape[2:])
    weights = [mass_weights([masks[k], masks[1 - k]], grid, view.F) for k in range(2)]
    at = [steps(vqa.combine, chosen.get(name, ())) for name in GATES]

    gated, of_gates, missing = _gated(inputs, weights, at)
    # the partner's random gates are others, as its ranking is another
    drawn = [_random(x.g[:, None] * x.P, subject.joins.roll(k * DRAWS // 2, 0)) for k, x in enumerate(inputs)]
    of_random = _mean_shares([m.relu() @ w for m, w in zip(drawn, weights, strict=True)])
    free, free_surrogates = _free(subject, *inputs)
    of_free = _mean_shares([free[:, k].flatten(-2).to(w).relu() @ w for k, w in enumerate(weights)])

    maps = gated.unflatten(-1, grid)  # (gates, n, 2, h, w)
    surrogates = on_pairs.no_place_surrogate(*maps.unbind(2))
    a, b = (m.relu().flatten().double() for m in free[0])
    found = {
        **_registered(of_gates, missing, of_random, of_free),
        "right": np.int8(sum(int(vqa.answers[int(e.y.argmax())] == pair.answer) for e in both)),
        "cosine": np.float32(a @ b / (a.norm() * b.norm()).clamp_min(1e-30)),
        "area": masks.mean((1, 2)).astype(np.float32),
        "background": np.array([ask.thing in pair.scene.tones for ask in asks]),
        **_on_pairs(maps, surrogates, masks, missing),
        **{f"free {k}": x for k, x in _on_pairs(free, free_surrogates, masks).items()},
        "random verdicts": _verdicts(torch.stack(drawn, 2).unflatten(-1, grid), masks)[..., :3],
    }  # fmt: skip
    if localisation:
        some = [GRID.index(n) for n in (10, 25, 200)]  # of the paper's ranking, the first
        found["measures"] = _classical(masks, grid, [
            torch.cat([free[:, k].flatten(-2).to(gated), gated[0, some, k], drawn[k][:1, GRID.index(25)]])
            for k in range(2)
        ])  # fmt: skip
    return found


def _gated(
    inputs: Sequence[RankingInputs], weights: Sequence[Tensor], at: Sequence[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    # Maps of every ranking before the ReLU at the n of ``at``, (gates, n, 2, h·w); both questions' mean shares at every
    # n, (gates, J, 4); and for which rankings there is none, so that their numbers mean nothing, (gates,).
    scores = [[RANKINGS[name](own, inputs[1 - k]) for name in RANKED] for k, own in enumerate(inputs)]
    missing = torch.stack([torch.stack([x.isnan().any() for x in [*own, own[0]]]) for own in scores]).any(0)
    orders = [[ranking(x) for x in own] for own in scores]
    maps, sums = [], []
    for k, own in enumerate(inputs):
        own_maps = own.g[:, None] * own.P
        close, every = [], []
        for name, order, ns in zip(GATES, [*orders[k], orders[k][0]], at, strict=True):
            summed = (
                cumulative_maps_without_common(own_maps, order, orders[1 - k][0])
                if name == COMMON
                else cumulative_maps(own_maps, order)
            )
            close.append(summed[ns])
            every.append(summed.relu_() @ weights[k])  # in place: the maps of all n are large
        maps.append(torch.stack(close))
        sums.append(torch.stack(every))
    return torch.stack(maps, 2), _mean_shares(sums), missing


def _registered(gated: Tensor, missing: Tensor, random: Tensor, free: Tensor) -> dict[str, np.ndarray]:
    # What protocol 1 registered, from the mean shares (..., 4) of gates, random gates and maps without a gate.
    on_grid = steps(gated.shape[1])
    full = free[0, 2].clamp_min(1e-30)
    return {
        "margin": _half(_margin(gated).masked_fill(missing[:, None], torch.nan)),
        "own": _half(gated[:, on_grid, 0]),
        "mass": (gated[:, on_grid, 2] / full).half().cpu().numpy(),
        "empty": (2 * gated[:, on_grid, 3]).to(torch.uint8).cpu().numpy(),
        "random": _half(_margin(random)),
        "random own": _half(random[..., 0].mean(0)),
        "free": torch.stack([_margin(free), free[:, 0], free[:, 2] / full, free[:, 3]], 1).float().cpu().numpy(),
    }


def _free(subject: Subject, a: RankingInputs, b: RankingInputs) -> tuple[Tensor, Tensor]:
    # Gate-free maps before the ReLU (maps, 2, h, w), and their surrogates; nan for those that the model does not have.
    bases = base_maps(a, b, subject.mean_u, subject.vqa)
    maps, surrogates = [], []
    for free in GATE_FREE.values():
        one, two, mean = bases.get(free.base, (None, None, None))
        if one is None or (free.against == "mean" and mean is None):
            maps.append(torch.full((2, *a.F.shape[2:]), torch.nan, dtype=torch.float64))
            surrogates.append(maps[-1])
            continue
        one, two, common = one.double(), two.double(), [mean.double()] if free.against == "mean" else []
        maps.append(torch.stack([free.method(one, two, *common), free.method(two, one, *common)]))
        surrogates.append(on_pairs.no_place_surrogate(one, two, free.method, common))
    return torch.stack(maps), torch.stack(surrogates)


def _on_pairs(
    maps: Tensor, surrogates: Tensor, masks: np.ndarray, missing: Tensor | None = None
) -> dict[str, np.ndarray]:
    # What qgc.measure.pairs says of maps (..., 2, h, w) before the ReLU and of their surrogates; see measure_pair.
    ranks, R = on_pairs.rank_grounding(maps, masks), on_pairs.shares(maps, masks)
    without = on_pairs.shares(surrogates, masks)
    rank = on_pairs.rank_grounding(surrogates, masks).verdict
    judged = torch.cat([rank[..., None], on_pairs.object_verdicts(without), on_pairs.cga(without)[..., None]], -1)
    verdicts = torch.cat([
        ranks.verdict[..., None], on_pairs.object_verdicts(R), on_pairs.odds_grounding(R)[..., None]
    ], -1)  # fmt: skip
    there = torch.isfinite(maps.flatten(-3)).all(-1)
    if missing is not None:
        there = there & ~missing[:, None]
    return {
        "a": torch.stack(ranks[1:], -1).half().cpu().numpy(),
        "R": R.half().cpu().numpy(),
        "verdicts": _twice(verdicts, there),
        "surrogate": _twice(judged, there),
    }


def _verdicts(maps: Tensor, masks: np.ndarray) -> np.ndarray:
    R = on_pairs.shares(maps, masks)
    verdicts = torch.cat([on_pairs.rank_grounding(maps, masks).verdict[..., None], on_pairs.object_verdicts(R)], -1)
    return _twice(verdicts, torch.isfinite(maps.flatten(-3)).all(-1))


def _twice(verdicts: Tensor, there: Tensor) -> np.ndarray:
    # 0, 1, 2 for verdicts 0, ½, 1; −1 where there is no map
    return torch.where(there[..., None], 2 * verdicts, -1).to(torch.int8).cpu().numpy()


def _classical(masks: np.ndarray, grid: tuple[int, int], flat: Sequence[Tensor]) -> np.ndarray:
    # The classical measures of both questions' maps (maps, h·w), raw and rescaled; the mean of the two.
    found = []
    for mask, maps in zip(masks, flat, strict=True):
        maps = maps.relu().view(-1, *grid)
        raw = torch.stack([m(maps, mask) for m in MEASURES.values()], 1)
        high = raw.new_tensor(list(ceilings(mask, grid).values()))
        found.append(torch.stack([raw, rescaled(raw, chance(mask), high)]))
    return torch.stack(found).nanmean(0).float().cpu().numpy()


def _random(own_maps: Tensor, joins: Tensor) -> Tensor:
    # Maps (draws, grid, h·w) of random gates, before the ReLU: each neuron is added where it joins, then summed up.
    sums = own_maps.new_zeros(len(joins), len(GRID), own_maps.shape[1])
    for at_n, where in zip(sums, joins, strict=True):
        at_n.index_add_(0, where, own_maps)
    return sums.cumsum(1)


def _shares(sums: Tensor) -> Tensor:
    # (..., 3) mass on the own object, on the other, anywhere → (..., 4) shares on both, mass, whether there is none
    mass = sums[..., 2:]
    empty = mass <= 0
    return torch.cat([torch.where(empty, 0.0, mass_shares(sums)), mass, empty.to(mass.dtype)], -1)


def _mean_shares(sums: Sequence[Tensor]) -> Tensor:
    # The mean of both questions' shares.
    first, second = map(_shares, sums)
    return (first + second) / 2


def _margin(shares: Tensor) -> Tensor:
    return shares[..., 0] - shares[..., 1]


def _half(values: Tensor) -> np.ndarray:
    # float16 keeps what decides: ties stay zero, and no sign is lost
    small = values.abs() < max(TIE, 4 * torch.finfo(values.dtype).eps)
    signed = values.sign() * values.abs().clamp_min(1e-7)
    return torch.where(small, 0.0, signed).half().cpu().numpy()
