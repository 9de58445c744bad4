"""What the ledger measures (book/ledger.md): each quantity in a figure's own scene and over validation scenes.

Everything is computed once and cached, because many rows rest on the same maps. The original Grad-CAM is taken by
automatic differentiation, so that it is the same computation for every model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ...explain import REDUCTIONS, EncodedImage, Explanation, explain, gates, gradcam
from ...explain.sensitivity import reductions
from ...measure import Pair, cosine, map_share, rank_grounding, same_answer_pairs, spearman, stats
from ...models import load
from ...paper.figure_list import COMBINE, sweep_n
from ...scenes import FIRST_SEED, Ask, Scene, sample
from ...scenes.situations import situation
from ..experiments.overlap import top_overlap
from .rules import RANDOM, SCENES

DISTRIBUTION = "natural"  # of the validation scenes, for every checkpoint: the paper's images are everyday ones
UNRELATED = "Where is this?"  # a question that has nothing to do with colors
DRAWS = 4000  # of scenes with replacement, behind an interval
NS = tuple(n for n in sweep_n("bathroom") if n < COMBINE)
"""Every n at which the paper shows a gate."""

_CACHED = ("view", "explanation", "original", "gate_margins", "gate_ranks", "same_answer", "own_shares")


class Measurements:
    """All measurements of one checkpoint, made when asked for and then cached (book/ledger.md).

    Parameters
    ----------
    name : a shipped model. scenes : how many validation scenes stand behind "over many scenes".
    """

    def __init__(self, name: str, scenes: int = SCENES):
        """Load the model, and cache what many rows ask for."""
        self.name, self.scenes = name, scenes
        self.vqa = load(name)
        for method in _CACHED:
            setattr(self, method, cache(getattr(self, method)))

    # -- in the scene of a figure -----------------------------------------------------------------
    def view(self, place: str) -> EncodedImage:
        """What the model makes of a situation's image."""
        return EncodedImage(self.vqa, situation(place))

    def explanation(self, place: str, question: str, answer: str) -> Explanation:
        """A question and answer about a situation, explained (paper §3.2–3.3)."""
        return explain(self.vqa, self.view(place), question, answer)

    def original(self, place: str, question: str, answer: str) -> Tensor:
        """The original Grad-CAM (Eq. 1–2) of a situation, (h, w)."""
        return original(self.view(place), question, answer)

    def share(self, place: str, question: str, answer: str, thing: str) -> float:
        """Share of the original Grad-CAM (Eq. 1–2) on an object of a situation."""
        return float(map_share(self.original(place, question, answer), situation(place).masks[thing]))

    def gate_margins(self, place: str, question: str, answer: str, own: str, other: str) -> dict[str, np.ndarray]:
        """Margins of the gate (paper §3.3), of Grad-CAM and of random gates in a situation; see :func:`margins`."""
        masks = situation(place).masks
        return margins(gated_maps(self.explanation(place, question, answer)), [(masks[own], masks[other])])

    def gate_ranks(self, place: str, questions: tuple[str, str], answer: str, things: tuple[str, str]):
        """a_1 and a_2 of the gate (paper §3.3), Grad-CAM and random gates in a situation; see :func:`ranks`."""
        maps = [gated_maps(self.explanation(place, question, answer)) for question in questions]
        return ranks(*maps, [situation(place).masks[thing] for thing in things])

    def gate_shares(self, place: str, question: str, answer: str, thing: str, ns: Sequence[int]) -> list[float]:
        """Share on an object of the gated maps (paper §3.3) at several n."""
        maps = self.explanation(place, question, answer).maps(ns)
        return map_share(maps, situation(place).masks[thing]).tolist()

    def gate_error(self, place: str, question: str, answer: str, n: int) -> float:
        """Largest relative difference between the map at n and Eq. 1–2 by autograd, gated by a hook (paper §3.3)."""
        e = self.explanation(place, question, answer)
        keep = None if n == self.vqa.combine else e.order[:n]
        exact = gradcam(self.vqa, e.F, e.q, self.vqa.answer_index(answer), keep)
        return float((e.map(n, relu=False) - exact).abs().max() / exact.abs().max())

    def sensitivities(self, place: str, question: str) -> dict[str, Tensor]:
        """∂A/∂q (J,) of paper §3.2 in the three reductions."""
        return sensitivities(self.view(place), question)

    # -- over validation scenes -------------------------------------------------------------------
    def same_answer(self, family: str) -> np.ndarray:
        """Cosines of the original maps of same-answer pairs (paper §1, §3), one mean per validation scene."""
        found = []
        for scene, pairs in self._scenes(family):
            maps = self._originals(scene, pairs)
            found.append(nanmean([cosine(maps[p.first], maps[p.second]) for p in pairs]))
        return np.array(found)

    def own_shares(self, family: str) -> np.ndarray:
        """Share of the original map on the queried object (paper §3.1), one mean per validation scene."""
        found = []
        for scene, pairs in self._scenes(family):
            maps = self._originals(scene, pairs)
            found.append(nanmean([float(map_share(m, scene.masks[ask.thing])) for ask, m in maps.items()]))
        return np.array(found)

    @cached_property
    def other_answer(self) -> np.ndarray:
        """Cosines of the maps of one activity question with two answers (paper §3.1), one mean per validation scene."""
        found = []
        for scene, pairs in self._scenes("activity"):
            view, values = EncodedImage(self.vqa, scene), []
            for ask in _asked(pairs):
                another = "sitting" if ask.answer == "standing" else "standing"
                values.append(cosine(*(original(view, ask.question, answer) for answer in (ask.answer, another))))
            found.append(nanmean(values))
        return np.array(found)

    @cached_property
    def gates(self) -> dict[str, np.ndarray]:
        """Rank effects of same-answer color questions (paper §3.3), a mean per validation scene: see :func:`effects`.

        And :func:`margins` of the same maps, as ``"margin, gate"`` and so on.
        """
        rows = []
        for scene, pairs in self._scenes("colour"):
            view, others = EncodedImage(self.vqa, scene), {}
            for p in pairs:
                others.setdefault(p.first, []).append(p.second.thing)
                others.setdefault(p.second, []).append(p.first.thing)
            maps = {ask: gated_maps(explain(self.vqa, view, ask.question, ask.answer)) for ask in others}
            by_pair = [
                effects(ranks(maps[p.first], maps[p.second], [scene.masks[a.thing] for a in (p.first, p.second)]))
                for p in pairs
            ]
            by_margin = []
            for ask, things in others.items():
                found = margins(maps[ask], [(scene.masks[ask.thing], scene.masks[t]) for t in things])
                by_margin += len(things) * [{f"margin, {key}": value for key, value in found.items()}]
            rows.append(
                {key: nanmean([row[key] for row in each], axis=0) for each in (by_pair, by_margin) for key in each[0]}
            )
        return {key: np.stack([row[key] for row in rows]) for key in rows[0]}

    @cached_property
    def overlap(self) -> dict[str, dict[str, float]]:
        """Mean shared neurons among the top 10 over validation scenes (paper Tables 1–4): kind of pair → reduction."""
        scenes = [scene for scene, _ in self._scenes("colour")]
        return top_overlap(self.vqa, scenes).drop(columns="pairs").T.to_dict()

    @cached_property
    def rank_correlation(self) -> dict[str, dict[str, np.ndarray]]:
        """Spearman of ∂A/∂q per validation scene (paper Tables 5–6), for same-answer and for unrelated questions."""
        found = {kind: {r: [] for r in REDUCTIONS} for kind in ("same answer", "unrelated")}
        for scene, pairs in self._scenes("colour"):
            view = EncodedImage(self.vqa, scene)
            by_ask = {ask: sensitivities(view, ask.question) for ask in _asked(pairs)}
            place = sensitivities(view, UNRELATED)
            for r in REDUCTIONS:
                found["same answer"][r].append(
                    nanmean([spearman(by_ask[p.first][r], by_ask[p.second][r]) for p in pairs])
                )
                found["unrelated"][r].append(spearman(place[r], by_ask[pairs[0].first][r]))
        return {kind: {r: np.array(values) for r, values in rows.items()} for kind, rows in found.items()}

    # -- parts ------------------------------------------------------------------------------------
    def _scenes(self, family: str) -> tqdm:
        return tqdm(paired_scenes(family, self.scenes), desc=f"{self.name}, {family}", mininterval=2, leave=False)

    def _originals(self, scene: Scene, pairs: Sequence[Pair]) -> dict[Ask, Tensor]:
        view = EncodedImage(self.vqa, scene)
        return {ask: original(view, ask.question, ask.answer) for ask in _asked(pairs)}


@cache
def paired_scenes(family: str, count: int) -> tuple[tuple[Scene, tuple[Pair, ...]], ...]:
    """The first validation scenes with same-answer questions of a family (paper §3), and the pairs of these."""
    found, seed = [], FIRST_SEED["validation"]
    while len(found) < count:
        scene = sample(seed, DISTRIBUTION)
        pairs = same_answer_pairs([scene], (family,))
        found += [(scene, tuple(pairs))] if pairs else []
        seed += 1
    return tuple(found)


def original(view: EncodedImage, question: str, answer: str) -> Tensor:
    """The original Grad-CAM (Eq. 1–2) by automatic differentiation, after ReLU, (h, w): the same for every model."""
    vqa = view.vqa
    return gradcam(vqa, view.F, vqa.encode(question), vqa.answer_index(answer)).relu()


@torch.no_grad()
def sensitivities(view: EncodedImage, question: str) -> dict[str, Tensor]:
    """∂A/∂q (J,) of paper §3.2 in the three reductions."""
    q = view.vqa.encode(question)
    u, v = view.branches(q)
    return reductions(view.vqa, view.F, q, u, v)


@cache
def random_gates_by_n(size: int) -> Tensor:
    """Random gates (paper §3.3), bool (len(NS)·RANDOM, size): row i·RANDOM + k is ranking k cut at NS[i]."""
    return gates.random_gates(NS, size, RANDOM).view(RANDOM, len(NS), size).transpose(0, 1).flatten(0, 1)


def gated_maps(e: Explanation) -> Tensor:
    """A question's maps before the ReLU (paper §3.3), (N, h, w): the gate at NS, Grad-CAM, ``random_gates_by_n``."""
    drawn = gates.maps(e, random_gates_by_n(e.vqa.combine), relu=False)
    return torch.cat([e.maps([*NS, e.vqa.combine], relu=False), drawn])


def ranks(first: Tensor, second: Tensor, masks: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """How surely the :func:`gated_maps` of two questions (paper §3.3) rank object 1 above object 2: a_1 and a_2.

    They are those of :func:`qgc.measure.rank_grounding`. Random gate k of the first question meets another random gate
    of the second, as the paper's gate differs between questions, too.

    Returns
    -------
    dict
        ``gate`` (len(NS), 2), ``Grad-CAM`` (2,), ``random`` (len(NS), RANDOM, 2); an empty map has ½.
    """
    size = len(NS) + 1
    drawn = second[size:].unflatten(0, (len(NS), RANDOM)).roll(RANDOM // 2, 1).flatten(0, 1)
    pairs = torch.stack([first, torch.cat([second[:size], drawn])], 1)
    a = torch.stack(rank_grounding(pairs, np.stack(masks))[1:], -1).cpu().numpy()
    return {"gate": a[: len(NS)], "Grad-CAM": a[len(NS)], "random": a[size:].reshape(len(NS), RANDOM, 2)}


def effects(ranks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rank effect a_1 − a_2 (book/ground-truth.ipynb) of everything in :func:`ranks`."""
    return {key: a[..., 0] - a[..., 1] for key, a in ranks.items()}


def margins(maps: Tensor, masks: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
    """Own share minus other share of the :func:`gated_maps` (paper §3.3), as means over pairs of masks (own, other).

    The larger object decides it, so no verdict rests on it.

    Returns
    -------
    dict
        ``gate`` (len(NS),), ``Grad-CAM`` (), ``random`` (len(NS), RANDOM); nan where a map is empty.
    """
    maps = maps.relu()
    each = [map_share(maps, own) - map_share(maps, other) for own, other in masks]
    mean = torch.stack(each).mean(0).cpu().numpy()
    gate, grad_cam, drawn = np.split(mean, [len(NS), len(NS) + 1])
    return {"gate": gate, "Grad-CAM": grad_cam[0], "random": drawn.reshape(len(NS), RANDOM)}


def interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The 95 % bootstrap interval of means over scenes (book/gate.ipynb), values (scenes, ...).

    Scenes with a value that is not finite are left out.
    """
    values = values[np.isfinite(values).all(tuple(range(1, values.ndim)))]
    low, high = np.percentile(stats.bootstrap(values, np.arange(len(values)), draws=DRAWS), [2.5, 97.5], axis=0)
    return low, high


def nanmean(values, axis: int | None = None) -> np.ndarray | float:
    """The mean without empty maps (book/ledger.md); nan, and no warning, where all are empty."""
    values = np.asarray(values, float)
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean = np.where(finite, values, 0).sum(axis) / finite.sum(axis)
    return mean if mean.ndim else float(mean)


def _asked(pairs: Sequence[Pair]) -> list[Ask]:
    return list(dict.fromkeys(ask for p in pairs for ask in (p.first, p.second)))
