"""Does the model use the queried object, and does the map show it? Alterations of every object.

Two claims are held apart here. A map is *plausible* where it is on the object that a person would look at (the mask,
:mod:`qgc.measure.pairs`); it is *faithful* where it says the same as the model. What the model says is found without
a map: every object j of the scene is altered several times, nothing else is, and

    D_ij = max(0, mean |Δ(q_i, j)| − floor_i)

with Δ the change of question i's answer score y_a, before softmax, and floor_i its mean |Δ| under *null alterations*,
the same scene under another light with other sensor noise. For two questions with the same answer about the objects 1
and 2 the *model's verdict* is

    1[D_11 D_22 > D_12 D_21]

A question whose score moves more with everything (its gain) multiplies a row of D, an object that is larger or was
altered more strongly a column: neither changes the verdict; powers and offsets can. (The floor comes with the gain, but
not with the size, so the verdict without it is reported, too.) It is *sure* where it is no tie and both halves of the
alterations, taken apart, say the same. How far it is from a tie is its *effect size*, Yule's Y

    (√(D_11 D_22) − √(D_12 D_21)) / (√(D_11 D_22) + √(D_12 D_21)),

−1 to 1: a model may be grounded in most pairs by next to nothing. Exchanging the two questions turns the verdict round,
so that questions which have nothing to do with the objects get ½ in the mean. Object by object, D normalised over the
scene's objects is compared as shares of a map are (:func:`~qgc.measure.pairs.object_verdicts`).

The registered score I of :mod:`.interventions` adds |Δ| instead, so that the larger object decides it; it is
stored for comparison.

Map and model are compared by Cohen's κ within strata of size: two verdicts that are independent of each other, and
right 98 times in 100, agree on 96 % of the pairs, but have κ = 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...explain import EncodedImage, Explanation, contrast, explain, gates
from ...measure.pairs import object_grounding, object_verdicts, odds_grounding, rank_grounding, shares
from ...measure.similarity import Pair, same_answer_pairs
from ...measure.stats import interval, intervals
from ...models.evaluation import evaluated
from ...scenes import COLOURS, Scene, Thing
from .compare import gradients
from .effects import ModelEffects, agreement, interventional_grounding, kappa, model_effects, odds_verdict
from .interventions import OFFSET, SIDE, answer_scores, colour_pool, feature_maps, visible

NULL = "null"  # the kind of a null alteration
RECOLOURINGS = 3  # of each queried object
NULLS = 4  # images under another light
NS = (25, 269)  # the paper's n, and the one that validation chose (a test compares it with the stored choice)
STRATA = {"all": (1.0, np.inf), "< 2": (1.0, 2.0), "2–5": (2.0, 5.0), "> 5": (5.0, np.inf)}
"""By how many times the larger of the two objects has the pixels of the smaller: from, and below which."""

MAP_VERDICTS = ("rank", "odds")
"""What of a map is compared with the model: rank grounding, the primary measure, and the model's own formula."""


# -- alterations ------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Alteration:
    """One image: ``kind`` is recolour, remove, move or null, ``thing`` what was altered ("" for null)."""

    kind: str
    thing: str
    image: np.ndarray


def alterations(scene: Scene, pairs: Sequence[Pair], nulls: int = NULLS) -> list[Alteration]:
    """Every image that :func:`model_effects` is worked out from, the same ones each time, drawn once for all models.

    * Queried objects: three recolorings (in none of the pairs' answers, each another color, first those that the
      object comes in), removal, and a move by 40 pixels. An alteration that changes which pixels of another queried
      object are visible is left out (a background is always uncovered, and does not count), and so is one of an
      object that carries another.
    * All other objects that can be altered: one recoloring and removal, for the sum that D is normalised by.
    * ``nulls`` images of the unchanged scene (:meth:`qgc.scenes.Scene.relit`).

    Objects of fewer than 40 visible pixels are left alone.
    """
    rng = np.random.default_rng([scene.seed & 0x7FFFFFFF, 62])
    queried = {ask.thing for p in pairs for ask in (p.first, p.second)}
    avoid = {p.answer for p in pairs}
    found = [Alteration(NULL, "", np.asarray(scene.relit(k))) for k in range(1, nulls + 1)]
    things = {t.kind: t for t in scene.things}
    for name in dict.fromkeys([*scene.colours, *things]):
        shuffled = rng.permutation(len(COLOURS))  # drawn for all: what one becomes depends on no other
        if not visible(scene, name):
            continue
        if name in scene.colours:
            found.extend(
                Alteration("recolour", name, np.asarray(scene.recolour(name, colour).image))
                for colour in _others(scene, name, avoid, shuffled)[: RECOLOURINGS if name in queried else 1]
            )
        if name not in things or any(t.on == name for t in scene.things):
            continue
        if name not in queried:
            found.append(Alteration("remove", name, np.asarray(scene.remove(name).image)))
            continue
        others = [o for o in queried - {name} if o in scene.masks and o not in scene.tones]
        spared = (c for c in _displaced(scene, things[name]) if all(_same_mask(scene, c[1], o) for o in others))
        for kind, altered in dict(spared).items():
            found.append(Alteration(kind, name, np.asarray(altered.image)))
    return found


def _others(scene: Scene, name: str, avoid: set[str], shuffled: np.ndarray) -> list[str]:
    # The colors that an object may become, in a random order, those it comes in first.
    able = [COLOURS[i] for i in shuffled if COLOURS[i] not in avoid | {scene.colours[name]}]
    return sorted(able, key=lambda colour: colour not in colour_pool(scene, name))


def _displaced(scene: Scene, thing: Thing) -> Iterator[tuple[str, Scene]]:
    # The scene without an object, and with it moved; the later of two moves, to the right, is the one that is kept.
    yield "remove", scene.remove(thing.kind)
    left, _, right, _ = thing.box
    for dx in (-OFFSET, OFFSET):
        if thing.on is None and left + dx >= 0 and right + dx <= SIDE:
            yield "move", scene.move(thing.kind, dx)


def _same_mask(before: Scene, after: Scene, name: str) -> bool:
    return name in after.masks and np.array_equal(before.masks[name], after.masks[name])


# -- the maps ---------------------------------------------------------------------------------------------
def map_names(ns: Sequence[int] = NS, attention: bool = False) -> list[str]:
    """Names of :func:`pair_maps`, in their order."""
    gated = [f"{gate} n={n}" for gate in ("gate", "random gate", "other question's gate") for n in ns]
    contrasts = ["question contrast", "question contrast, L1", "question contrast, L2"]
    return ["Grad-CAM", *gated, *contrasts, "HiResCAM"] + ["attention"] * attention


@torch.no_grad()
def pair_maps(
    first: Explanation, second: Explanation, rng: np.random.Generator, ns: Sequence[int] = NS
) -> dict[str, Tensor]:
    """Maps (2, h, w) *before* the ReLU of two questions with the same answer about one image, name by name.

    Grad-CAM (Eq. 1–2); the paper's gate (§3.3) at each n, with its own, a random, and the other question's ranking (one
    random draw from ``rng`` for each question); the question contrast, plain and of normalised maps
    (:func:`qgc.explain.contrast`); HiResCAM; and the attention of a model that has one.
    """
    both, vqa, F = (first, second), first.vqa, first.F
    J = vqa.combine
    # Ranks taken as orders, which are as random: the stored verdicts were made so
    drawn = gates.random_ranks(J, 2, rng).to(first.order)
    orders = [[e.order, r, other.order] for e, r, other in zip(both, drawn, (second, first), strict=True)]
    rows = []
    for e, ranked in zip(both, orders, strict=True):
        keep = torch.cat([gates.top(e.order, [J]), *(gates.top(o, ns) for o in ranked)])
        alpha = e.view.apply_jacobian(keep.to(e.g) * e.g, e.q)
        rows.append(torch.einsum("nk,khw->nhw", alpha, F[0]))
    gated = torch.stack(rows, 1)
    plain = gated[0]
    pairs = [torch.stack([contrast(*plain, norm), contrast(*plain.flip(0), norm)]) for norm in (None, "l1", "l2")]
    answer = torch.tensor([[vqa.answer_index(e.answer)] for e in both], device=F.device)
    dF = gradients(vqa, F, torch.cat([e.q for e in both]), answer)[:, 0]
    maps = [*gated, *pairs, (dF * F).sum(1)]
    attention = [vqa.attention(F, e.q) for e in both]
    seen = attention[0] is not None
    if seen:
        maps.append(torch.cat(attention))
    return dict(zip(map_names(ns, seen), maps, strict=True))


# -- one scene and one model ------------------------------------------------------------------------------
@evaluated
@torch.no_grad()
def faithfulness_rows(
    vqa,
    scene: Scene,
    pairs: Sequence[Pair] | None = None,
    altered: Sequence[Alteration] | None = None,
    F: Tensor | None = None,
    ns: Sequence[int] = NS,
) -> list[dict[str, float]]:
    """The model's verdict, and beside it every map's, for each same-answer pair of a scene.

    Parameters
    ----------
    pairs : :func:`~qgc.measure.same_answer_pairs` if None. altered : :func:`alterations` of the scene and these pairs,
    to be shared by several models. F : (1 + alterations, K, h, w), :func:`maps_of` the scene and them, to be shared by
    models with the same CNN.

    Returns
    -------
    list of flat dicts of numbers, one for each pair; pairs with an object that can hardly be seen are left out
        ``scene``, ``pair``; ``area_j`` (pixels) and ``background_j`` (0 or 1) of object j; ``right`` (how many of the
        two questions are answered rightly). Of :class:`ModelEffects` ``D_ij``, ``Dnorm_ij``, ``raw_ij``, ``floor_i``,
        ``verdict``, ``half_1``, ``half_2``, ``sure``, ``effect`` (its size), and ``verdict_raw``, without a floor;
        ``alterations_j``, how many there are; ``object_1`` and ``object_2``, the verdicts object by object; ``I``, the
        registered score on the first recoloring. Of every map ``NAME/a_1``, ``NAME/a_2``, ``NAME/R_ij`` (nan where
        empty), and the verdicts ``NAME/rank``, ``NAME/object`` (the mean of both) and ``NAME/odds``
        (:mod:`qgc.measure.pairs`).
    """
    pairs = same_answer_pairs([scene]) if pairs is None else pairs
    # The number stays that of the unfiltered list, so that seeds and rows do not move when a pair is left out
    pairs = [(i, p) for i, p in enumerate(pairs) if all(visible(scene, a.thing) for a in (p.first, p.second))]
    if not pairs:
        return []
    altered = alterations(scene, [p for _, p in pairs]) if altered is None else altered
    F = maps_of(vqa, scene, altered) if F is None else F
    view = EncodedImage(vqa, scene, F[:1])
    things, rows = [a.thing for a in altered], []
    for number, pair in pairs:
        asks = (pair.first, pair.second)
        # Both at once: the question encoder runs on one batch
        both = explain(vqa, view, [a.question for a in asks], pair.answer)
        effects = pair_effects(vqa, F, both, altered, (asks[0].thing, asks[1].thing))
        masks = [scene.masks[ask.thing] for ask in asks]
        row = {"scene": scene.seed, "pair": number, "right": sum(e.predicted == pair.answer for e in both)}
        for j, ask in enumerate(asks):
            row |= {f"area_{j + 1}": int(masks[j].sum()), f"background_{j + 1}": int(ask.thing in scene.tones)}
            row[f"alterations_{j + 1}"] = things.count(ask.thing)
        row |= _effects_row(effects)
        # A generator of its own for each pair: its random gates do not depend on which pairs came before
        rng = np.random.default_rng([scene.seed & 0x7FFFFFFF, 83, number])
        for name, maps in pair_maps(*both, rng, ns).items():
            row |= {f"{name}/{key}": value for key, value in _map_row(maps, masks).items()}
        rows.append(row)
    return rows


@evaluated
@torch.no_grad()
def maps_of(vqa, scene: Scene, altered: Sequence[Alteration]) -> Tensor:
    """F (1 + alterations, K, h, w) of the scene as it is and of every altered image."""
    return torch.cat(feature_maps(vqa, [np.asarray(scene.image), *(a.image for a in altered)]))


def pair_effects(
    vqa, F: Tensor, both: Sequence[Explanation], altered: Sequence[Alteration], objects: tuple[str, str],
    f: Tensor | None = None,
) -> ModelEffects:  # fmt: skip
    """What the model itself says of two questions with one answer, from F of :func:`maps_of`.

    ``f``: what a Deeper LSTM's CNN makes of F, where several models share it.
    """
    a = vqa.answer_index(both[0].answer)
    scores = torch.stack([answer_scores(vqa, F, e.q, f)[:, a] for e in both]).cpu().numpy()
    return model_effects(scores[:, :1] - scores[:, 1:], [x.thing for x in altered], objects)


def _effects_row(effects: ModelEffects) -> dict[str, float]:
    normalised = torch.from_numpy(effects.normalised)
    halves = effects.half_verdicts
    return {
        **_square("D", effects.D), **_square("Dnorm", normalised), **_square("raw", effects.raw),
        "floor_1": float(effects.floor[0]), "floor_2": float(effects.floor[1]),
        "verdict": effects.verdict, "verdict_raw": odds_verdict(effects.raw), "effect": effects.size,
        "half_1": halves[0], "half_2": halves[1], "sure": int(effects.sure),
        **{f"object_{j + 1}": float(v) for j, v in enumerate(object_verdicts(normalised))},
        "I": interventional_grounding(np.diag(effects.first), np.diag(effects.first[::-1])),
    }  # fmt: skip


def _map_row(maps: Tensor, masks: Sequence[np.ndarray]) -> dict[str, float]:
    rank, R = rank_grounding(maps, masks), shares(maps, masks)
    return {
        "a_1": float(rank.a_1), "a_2": float(rank.a_2), **_square("R", R), "rank": float(rank.verdict),
        "object": float(object_grounding(R)), "odds": float(odds_grounding(R)),
    }  # fmt: skip


def _square(name: str, values) -> dict[str, float]:
    return {f"{name}_{i + 1}{j + 1}": float(values[i][j]) for i, j in product(range(2), range(2))}


# -- map and model ----------------------------------------------------------------------------------------
def _kappa_of(codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # A statistic for qgc.measure.stats: codes 2·first + second.
    return kappa(agreement(codes // 2, codes % 2, weights))


# -- many scenes ------------------------------------------------------------------------------------------
def summarise(rows: Iterable[dict], **bootstrapping) -> dict[str, pd.DataFrame]:
    """Tidy tables with 95 % intervals by scene from :func:`faithfulness_rows`.

    * ``"model"``, over ``pairs`` ("all", or those "without backgrounds"): ``verdict``, its mean over the sure pairs,
      and ``sure``, their share; over all pairs the ``verdict of all``, the same ``without floor``, ``effect size``, the
      verdicts object by object (``larger``, ``smaller``, ``mean of both``, ``both right``), ``I`` as registered, and
      ``κ of halves``, how far the verdicts of two halves of the alterations agree. Where their errors are independent,
      a perfectly faithful map has 2r / (1 + r²) on the sure pairs, r the root of that.
    * ``"faithful"``: how each map's verdict (``by``: :data:`MAP_VERDICTS`) agrees with the model's on its sure pairs,
      for each ``pairs`` and ``stratum`` of :data:`STRATA`: ``kappa`` with ``low`` and ``high``, the ``agreement``, and
      the counts ``both``, ``map only``, ``model only`` and ``neither`` of verdicts that are 1; ``ties`` of the map are
      left out of these. Here every pair counts once.
    * ``"plausible"``: whether each map is on its queried object, over all and over the model's sure pairs: RGA
      (``rank``), OGA (``object``) and ``odds``. It says nothing about the model.
    """
    frame = pd.DataFrame(list(rows))
    names = [c.removesuffix("/rank") for c in frame if c.endswith("/rank")]
    frame = frame.assign(**_derived(frame))
    columns = ["verdict of sure", "sure", "verdict", "verdict_raw", "effect", *_OBJECTS, "I"]
    shown = {
        "verdict of sure": "verdict",
        "verdict": "verdict of all",
        "verdict_raw": "without floor",
        "effect": "effect size",
    }
    subsets = {"all": frame, "without backgrounds": frame[frame["background"] == 0]}
    model, faithful = [], []
    for subset, part in subsets.items():
        if part.empty:
            continue
        model += [intervals(part, [], columns, **bootstrapping).assign(pairs=subset)]
        # How far two halves of the alterations agree bounds how far a faithful map can agree
        halves = _agreement_row(part.assign(verdict=part["half_2"]), part["half_1"], **bootstrapping)
        noise = {"estimate": halves["kappa"], **{k: halves[k] for k in ("low", "high", "scenes")}, "rows": len(part)}
        model.append(pd.DataFrame([{"measure": "κ of halves", **noise, "pairs": subset}]))
        for name, by, stratum in product(names, MAP_VERDICTS, STRATA):
            least, below = STRATA[stratum]
            # Only sure pairs: where the two halves of the alterations differ there is no verdict to agree with
            here = part[(part["sure"] == 1) & (part["ratio"] >= least) & (part["ratio"] < below)]
            label = {"map": name, "by": by, "pairs": subset, "stratum": stratum}
            faithful.append(label | _agreement_row(here, here[f"{name}/{by}"], **bootstrapping))
    plausible = []
    for subset, part in {"all": frame, "sure": frame[frame["sure"] == 1]}.items():
        # All maps in one long table, since intervals are taken group by group of a column
        long = pd.concat(
            [part[["scene"]].assign(map=m, **{v: part[f"{m}/{v}"] for v in ("rank", "object", "odds")}) for m in names]
        )
        plausible.append(intervals(long, ["map"], ["rank", "object", "odds"], **bootstrapping).assign(pairs=subset))
    return {
        "model": pd.concat(model, ignore_index=True).replace({"measure": shown}),
        "faithful": pd.DataFrame(faithful),
        "plausible": pd.concat(plausible, ignore_index=True),
    }


_OBJECTS = ("larger", "smaller", "mean of both", "both right")


def _derived(frame: pd.DataFrame) -> dict[str, pd.Series]:
    # What is read off a row: which object is the larger, and the verdicts in that order.
    first = frame["area_1"] >= frame["area_2"]
    areas = frame[["area_1", "area_2"]]
    return {
        "ratio": areas.max(axis=1) / areas.min(axis=1),
        "background": frame[["background_1", "background_2"]].max(axis=1),
        "verdict of sure": frame["verdict"].where(frame["sure"] == 1),
        "larger": frame["object_1"].where(first, frame["object_2"]),
        "smaller": frame["object_2"].where(first, frame["object_1"]),
        "mean of both": (frame["object_1"] + frame["object_2"]) / 2,
        "both right": ((frame["object_1"] == 1) & (frame["object_2"] == 1)).astype(float),
    }


def _agreement_row(here: pd.DataFrame, verdict: pd.Series, **bootstrapping) -> dict[str, float]:
    table = agreement(verdict, here["verdict"])
    decided = here[verdict.isin([0, 1])]
    codes = 2 * verdict[decided.index] + decided["verdict"]
    found = interval(codes, decided["scene"], statistic=_kappa_of, **bootstrapping)
    return {
        "kappa": found.estimate, "low": found.low, "high": found.high,
        "agreement": float(np.trace(table) / table.sum()) if table.sum() else float("nan"),
        "both": int(table[1, 1]), "map only": int(table[1, 0]),
        "model only": int(table[0, 1]), "neither": int(table[0, 0]),
        "ties": len(here) - len(decided), "scenes": int(decided["scene"].nunique()),
    }  # fmt: skip
