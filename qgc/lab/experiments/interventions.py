"""Is the map wrong, or does the model ignore the question? Queries under intervention, compared with it.

A scene is drawn again with one object changed and nothing else (:meth:`qgc.scenes.Scene.recolour` and its like). With
y_a the score of the explained answer, before softmax,

    Δ(q, S) = y_a(before) − y_a(after changing S)

is what S was worth to the answer to q. A map that tells what the model used ranks the objects as |Δ| does, and for two
questions with the same answer about S1 and S2 the *interventional contrastive grounding* is

    I = [ |Δ(q1, S1)| + |Δ(q2, S2)|  >  |Δ(q1, S2)| + |Δ(q2, S1)| ],   a tie counting ½

It needs no map: where it is 0 the model itself looked elsewhere, and no faithful map could have been right.

What a change touches besides its mask. Removing an object removes what stands on it as well (the share then counts
both), uncovers what is behind, and removes its soft shadow and glow, which are in no mask; a half of the place is
covered with tufts, tiles or ramps beyond its mask's edge. ``inside`` says how much of what changed is in the mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from ...explain import EncodedImage, Explanation, closed_form, explain, gates
from ...measure.localise import contrastive_grounding, enlarge, map_share
from ...measure.similarity import Pair, same_answer_pairs, spearman
from ...measure.stats import intervals
from ...models.evaluation import evaluated
from ...scenes import COLOURS, Scene
from ...scenes.scene import SIDE
from ...scenes.things import KINDS, PLACES
from ...scenes.vocabulary import PEOPLE
from .effects import interventional_grounding

KINDS_OF_CHANGE = ("recolour", "remove", "move")
VISIBLE = 40  # pixels of an object that must be seen before it is changed
OFFSET = 40.0  # pixels by which an object is moved
BATCH = 8  # images that go through the CNN together
NS = (25, 200)
CONTRAST = "question contrast"
AREA = "area"  # not a map: the object's visible pixels, what a look at the sizes alone would give


# -- changing the image -------------------------------------------------------------------------------
@dataclass(frozen=True)
class Change:
    """One intervention: ``kind`` is recolour, remove or move; ``mask`` where the object was visible before."""

    kind: str
    thing: str
    scene: Scene
    mask: np.ndarray


def changes(scene: Scene, avoid: Iterable[str] = (), kinds: Sequence[str] = KINDS_OF_CHANGE) -> list[Change]:
    """Every :class:`Change` of a scene, the same ones each time; the scenes in it are drawn when first looked at.

    * recolour: everything that has a color (objects, a person's top, a phone, the halves of the place), into one that
      the object comes in, other than its own and than those in ``avoid`` (the answers asked for); where it comes
      in no other (snow), into any of the eleven;
    * remove: objects, with what stands on them; parts and the place cannot be removed;
    * move: objects that stand on no other, 40 pixels to the right if there is room, else to the left, else not.
    """
    rng = np.random.default_rng([scene.seed & 0x7FFFFFFF, 61])
    avoid, found = set(avoid), []
    for name, colour in scene.colours.items():
        pools = ([c for c in pool if c != colour and c not in avoid] for pool in (colour_pool(scene, name), COLOURS))
        able, drawn = next(p for p in pools if p), rng.random()  # drawn for all: what one becomes depends on no other
        if "recolour" in kinds and visible(scene, name):
            changed = scene.recolour(name, able[int(drawn * len(able))])
            found.append(Change("recolour", name, changed, scene.masks[name]))
    for t in scene.things:
        if not visible(scene, t.kind):
            continue
        mask = np.any([scene.masks[o.kind] for o in scene.things if t.kind in (o.kind, o.on)], 0)
        if "remove" in kinds:
            found.append(Change("remove", t.kind, scene.remove(t.kind), mask))
        dx = _room(t)
        if "move" in kinds and dx and t.on is None:
            found.append(Change("move", t.kind, scene.move(t.kind, dx), mask))
    return found


def colour_pool(scene: Scene, name: str) -> Sequence[str]:
    """The colors that an object of the scene, or its background, is drawn in."""
    place = PLACES[scene.place]
    if name in (place.upper, place.lower):
        return place.upper_colours if name == place.upper else place.lower_colours
    return KINDS[name].colours if name in KINDS and name not in PEOPLE else COLOURS


def visible(scene: Scene, name: str) -> bool:
    """Is enough of the object to be seen that altering it may matter?"""
    return name in scene.masks and int(scene.masks[name].sum()) >= VISIBLE


def _room(thing) -> float:
    left, _, right, _ = thing.box
    return OFFSET if right + OFFSET <= SIDE else -OFFSET if left - OFFSET >= 0 else 0.0


# -- maps to be compared ----------------------------------------------------------------------------------
def map_names(ns: Sequence[int] = NS) -> list[str]:
    """Names of :func:`pair_maps`; the gate with n = J is Grad-CAM itself."""
    return ["Grad-CAM", *(f"gate n={n}" for n in ns), CONTRAST]


@torch.no_grad()
def pair_maps(first: Explanation, second: Explanation, ns: Sequence[int] = NS) -> Tensor:
    """Maps (2, 2 + len(ns), h, w) after ReLU of two questions with the same answer, in the order of :func:`map_names`.

    Grad-CAM (Eq. 1–2), the paper's gate (§3.3) at each n, and the question contrast ReLU(L(q) − L(q′)).
    """
    return signed_pair_maps(first, second, ns).relu()


@torch.no_grad()
def signed_pair_maps(first: Explanation, second: Explanation, ns: Sequence[int] = NS) -> Tensor:
    """:func:`pair_maps` before the ReLU, whose cells :func:`~qgc.measure.rank_grounding` orders."""
    pair = (first, second)
    raw = torch.cat([closed_form.maps((e.g @ e.M)[None], e.F) for e in pair])  # no running sums: n = J alone is needed
    gated = torch.stack([gates.maps(e, gates.top(e.order, ns), relu=False) for e in pair])
    return torch.cat([raw[:, None], gated, (raw - raw.flip(0))[:, None]], 1)


# -- one scene and one model ------------------------------------------------------------------------------
@evaluated
@torch.no_grad()
def intervention_rows(
    vqa,
    scene: Scene,
    pairs: Sequence[Pair] | None = None,
    changed: Sequence[Change] | None = None,
    ns: Sequence[int] = NS,
) -> list[dict]:
    """Δ of every change, for both questions of every same-answer pair of a scene, beside what the maps say.

    Parameters
    ----------
    pairs : :func:`~qgc.measure.same_answer_pairs` of the scene if None. changed : :func:`changes` of it, to be shared
    by several models, since drawing takes longer than asking.

    Returns
    -------
    list of flat dicts, one for each pair, question and change
        ``scene``, ``pair``, ``question`` (0, 1), ``kind``, ``thing``, ``role`` (what was changed: ``"own"`` object, the
        ``"other"`` question's, or ``"neither"``); ``delta`` of the answer's score, ``delta_p`` of its probability,
        ``flipped`` (1 if the predicted answer changed); ``changed`` pixels and the part of them ``inside`` the mask;
        ``share/NAME``: the share of each map on the object (:func:`map_names`, nan if empty), and ``share/area``.
    """
    pairs = same_answer_pairs([scene]) if pairs is None else pairs
    if not pairs:
        return []
    changed = changes(scene, {p.answer for p in pairs}) if changed is None else changed
    view = EncodedImage(vqa, scene)
    before = np.asarray(scene.image)
    images = [np.asarray(c.scene.image) for c in changed]
    F = torch.cat([view.F, *feature_maps(vqa, images)])  # altered images go through the CNN once for all questions
    known: dict[tuple[str, str], Explanation] = {}
    common = []
    for c, after in zip(changed, images, strict=True):
        differs = (after != before).any(2)
        inside = (differs & c.mask).sum() / max(1, differs.sum())
        common.append({"changed": int(differs.sum()), "inside": float(inside), "area": float(c.mask.mean())})
    rows = []
    for number, pair in enumerate(pairs):
        asks = (pair.first, pair.second)
        # A question is in several pairs: explained once
        for ask in asks:
            if (ask.question, pair.answer) not in known:
                known[ask.question, pair.answer] = explain(vqa, view, ask.question, pair.answer)
        both = [known[a.question, pair.answer] for a in asks]
        maps = pair_maps(*both, ns)
        shares = [map_share(maps, c.mask).double().cpu().numpy() for c in changed]
        for k, e in enumerate(both):
            delta, delta_p, flipped = _effects(vqa, F, e.q, vqa.answer_index(pair.answer))
            for i, c in enumerate(changed):
                role = "own" if c.thing == asks[k].thing else "other" if c.thing == asks[1 - k].thing else "neither"
                rows.append(
                    {"scene": scene.seed, "pair": number, "question": k, "kind": c.kind, "thing": c.thing, "role": role}
                    | {"delta": delta[i], "delta_p": delta_p[i], "flipped": flipped[i]}
                    | {"changed": common[i]["changed"], "inside": common[i]["inside"]}
                    | {f"share/{m}": float(s) for m, s in zip(map_names(ns), shares[i][k], strict=True)}
                    | {f"share/{AREA}": common[i]["area"]}
                )
    return rows


def feature_maps(vqa, images: Sequence[np.ndarray]) -> list[Tensor]:
    """F of many images, some at a time."""
    x = [vqa.prepare(Image.fromarray(p)) for p in images]
    return [vqa.conv(torch.cat(x[i : i + BATCH])) for i in range(0, len(x), BATCH)]


def answer_scores(vqa, F: Tensor, q: Tensor, f: Tensor | None = None) -> Tensor:
    """y (B, answers) of one question about many images; ``f`` (B, fc): a Deeper LSTM's features of them, if at hand."""
    if f is None:
        return vqa.classify(torch.mul(*vqa.branches(F, q.expand(len(F), -1)))).double()
    return vqa.classify(vqa.question_branch(q) * vqa.image_branch(f)).double()


def _effects(vqa, F: Tensor, q: Tensor, a: int) -> tuple[list[float], list[float], list[float]]:
    # What was lost by going from the first image to each other one: of y_a, of p_a; and whether the answer changed.
    y = answer_scores(vqa, F, q)
    p, best = y.softmax(1)[:, a], y.argmax(1)
    flipped = (best[1:] != best[0]).double()
    return (y[0, a] - y[1:, a]).tolist(), (p[0] - p[1:]).tolist(), flipped.tolist()


# -- many scenes ------------------------------------------------------------------------------------------
def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's correlation over a scene's objects; nan for fewer than three, or where either is the same for all."""
    return spearman(x, y) if len(x) >= 3 else float("nan")


def summarise(rows: Iterable[dict], **bootstrapping) -> dict[str, pd.DataFrame]:
    """Tidy tables with 95 % intervals by scene (and ``seed``, if the rows have it) from :func:`intervention_rows`.

    * ``"effect"``: by kind and role, the mean |Δ|, how often the answer changed, and ``inside``.
    * ``"correlation"``: by kind and map, the per-object rank correlation of its shares with |Δ| (an empty map's shares
      count 0, so its correlation is nan and left out); ``difference`` is that of the differences between the two
      questions, share(L1) − share(L2) with |Δ(q1)| − |Δ(q2)|: what is left of it once a question-blind map, and a
      question-blind model, have nothing to show.
    * ``"grounding"``: by kind, I (:func:`interventional_grounding`, under ``model``) and its margin, (own − other) /
      (own + other) of the sums of |Δ|, from −1 to 1; and the contrastive grounding of each map on the same pairs.
    * ``"given"``: each map's contrastive grounding where I is 1 and where it is 0.
    """
    frame = pd.DataFrame(list(rows))
    names = [c.removeprefix("share/") for c in frame if c.startswith("share/")]
    # An empty map has no share of anything, and counts 0 as in contrastive grounding
    frame = frame.assign(size=frame["delta"].abs()).fillna({f"share/{m}": 0.0 for m in names})
    clusters = ["scene"] + ["seed"] * ("seed" in frame)
    keys = [*clusters, "pair", "kind"]

    correlations, pairs = [], []
    for key, group in frame.groupby(keys, sort=False):
        label = dict(zip(keys, key, strict=True))
        first, second = (group[group["question"] == k].sort_values("thing") for k in (0, 1))
        for name in names:
            column = f"share/{name}"
            each = [rank_correlation(q[column].to_numpy(), q["size"].to_numpy()) for q in (first, second)]
            # rounded: what rounding in float32 leaves between two equal numbers must not be ranked
            apart = [(first[c].to_numpy() - second[c].to_numpy()).round(6) for c in (column, "size")]
            known = [c for c in each if np.isfinite(c)]
            correlations.append(
                {**label, "map": name, "correlation": np.mean(known) if known else np.nan}
                | {"difference": rank_correlation(*apart)}
            )
        own, other = (group[group["role"] == r].sort_values("question") for r in ("own", "other"))
        if len(own) == len(other) == 2:
            pairs.append(label | _contrasts(own, other, names))
    maps = [m for m in names if m != AREA]
    pairs = pd.DataFrame(pairs, columns=[*keys, "model", "margin", *maps])
    grounding = intervals(pairs, ["kind"], ["model", "margin", *maps], **bootstrapping)
    sure = pairs[pairs["model"] != 0.5].assign(I=lambda t: t["model"].astype(int))
    return {
        "effect": intervals(frame, ["kind", "role"], ["size", "flipped", "inside"], **bootstrapping),
        "correlation": intervals(
            pd.DataFrame(correlations), ["kind", "map"], ["correlation", "difference"], **bootstrapping
        ),
        "grounding": grounding,
        "given": intervals(sure, ["kind", "I"], maps, **bootstrapping),
    }


def _contrasts(own: pd.DataFrame, other: pd.DataFrame, names: Sequence[str]) -> dict[str, float]:
    # I, its margin and every map's contrastive grounding, of the four rows of one pair and kind of change.
    sums = own["size"].sum(), other["size"].sum()
    found = {
        "model": interventional_grounding(own["size"], other["size"]),
        "margin": (sums[0] - sums[1]) / sum(sums) if sum(sums) else 0.0,
    }
    for name in names:
        if name != AREA:
            shares = (torch.from_numpy(t[f"share/{name}"].to_numpy().copy()) for t in (own, other))
            found[name] = float(contrastive_grounding(*shares))
    return found


# -- deletion -----------------------------------------------------------------------------------------------
@evaluated
@torch.no_grad()
def deletion(
    explanation: Explanation,
    map_: Tensor,
    rng: np.random.Generator,
    shares: Sequence[float] = (0.05, 0.1, 0.2, 0.3),
    draws: int = 3,
    radius: float = 12.0,
) -> dict[str, float]:
    """How much of y_a is lost when what a map marks is blurred away; after ROAD (Rong et al. 2022).

    The ``shares`` of the pixels with the highest L↑ are replaced by those of the image under a Gaussian blur of
    ``radius`` pixels; ROAD imputes them from their neighbours and adds noise, a blur is simpler and as blind to the
    mask's shape. Beside it the lowest ones (pixels of one value in random order), and random cells of the map's grid,
    the mean of ``draws``: a map that tells what matters has top > random > low.

    Returns
    -------
    dict
        ``top/P``, ``low/P``, ``random/P`` for P in percent: y_a(before) − y_a(after).
    """
    vqa, image = explanation.vqa, explanation.image
    sharp = np.asarray(image)
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(radius)))
    H, W = sharp.shape[:2]
    values = enlarge(map_.double().cpu(), (H, W)).numpy().ravel()
    order = np.lexsort((rng.random(values.size), values))  # ascending; the random key orders ties
    names, removed = [], []
    for share in shares:
        count, label = round(share * values.size), f"{100 * share:g}"
        # Random cells and not pixels: as coarse as what a map can mark
        cells = round(share * map_.numel())
        low, top = np.zeros((2, H * W), bool)
        low[order[:count]], top[order[values.size - count :]] = True, True
        names += [f"top/{label}", f"low/{label}"] + [f"random/{label}"] * draws
        removed += [top.reshape(H, W), low.reshape(H, W)]
        for _ in range(draws):
            drawn = np.zeros(map_.numel(), bool)
            drawn[rng.permutation(map_.numel())[:cells]] = True
            removed.append(_as_pixels(drawn.reshape(map_.shape), (H, W)))
    images = [np.where(m[..., None], blurred, sharp) for m in removed]
    F = torch.cat([explanation.F, *feature_maps(vqa, images)])
    lost, _, _ = _effects(vqa, F, explanation.q, vqa.answer_index(explanation.answer))
    return pd.Series(lost, index=names).groupby(level=0, sort=False).mean().to_dict()


def _as_pixels(cells: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    # Which pixels belong to cells of a grid, nearest cell.
    rows, columns = (np.arange(n) * c // n for n, c in zip(size, cells.shape, strict=True))
    return cells[rows][:, columns]
