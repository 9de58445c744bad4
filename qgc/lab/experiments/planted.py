"""Planted maps: pairs of maps whose right verdict is known, to find out which measures can be fooled.

A measure of question grounding is right when it gives 1 to maps that follow their own question, 0 to maps that follow
the other one, and ½ to maps that ignore the question, whatever else is in them. Each entry of :data:`PLANTED` makes a
pair of maps from the masks of two objects (:class:`Objects`), with its right value beside it as data; :data:`VERDICTS`
are the measures; :func:`verdict_table` puts one against the other (book/ground-truth.ipynb). Planted *models* are in
:mod:`qgc.lab.experiments.planted_models`.

Notation: C_i (h, w) is the coverage of every cell by object i; L is a map that ignores the question, mostly the
coverage of both objects; s_i = |S_i| / (|S_1| + |S_2|) is how large the object that question i asks about is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from ...explain.contrast import contrast
from ...measure.localise import MEASURES
from ...measure.pairs import (
    cell_cover,
    cga,
    compared,
    no_place_surrogate,
    object_grounding,
    odds_grounding,
    own,
    rank_grounding,
    shares,
)
from ...scenes import Scene
from ..protocol.grounding import chosen_pairs

GAIN = 5.0
"""The gain, or the exponent, of the question that gets more of it; that of the other one is 1."""
NOISE = 0.15
"""Standard deviation of what noise adds to a cell, where L runs from 0 to 1."""
BLUR = 4.0
"""Standard deviation, in cells, of what blurs L for an object as large as both together."""
TEXTURE = 0.3
"""The part of L that has nothing to do with the objects."""


@dataclass(frozen=True)
class Objects:
    """Two objects on a grid, and the random draws that all planted maps of the pair share.

    ``cover`` (2, h, w): C_1, C_2. ``size`` (2,): s_1, s_2. ``ignorant`` (h, w): L. ``noise`` (2, h, w): standard
    normal, one draw for each question. ``shuffled`` (2,): 0 and 1 in random order, which question has the larger gain
    where area does not decide. ``usual`` (2, h, w) or None: coverage by the same two objects in another scene.
    """

    cover: Tensor
    size: Tensor
    ignorant: Tensor
    noise: Tensor
    shuffled: Tensor
    usual: Tensor | None = None

    @classmethod
    def make(cls, masks, grid: tuple[int, int], rng: np.random.Generator, usual=None) -> Objects:
        """From masks (2, H, W), and for ``usual`` those of the same objects in another scene, (2, H, W)."""
        cover = cell_cover(masks, grid).view(2, *grid)
        size = torch.tensor([float(np.asarray(m).mean()) for m in masks], dtype=torch.float64)
        texture = gaussian_filter(rng.random(grid), 1.5)
        texture = torch.from_numpy((texture - texture.min()) / np.ptp(texture))
        ignorant = (1 - TEXTURE) * cover.sum(0).clamp_max(1) + TEXTURE * texture
        noise = torch.from_numpy(rng.standard_normal((2, *grid)))
        shuffled = torch.from_numpy(rng.permutation(2).astype(float))
        elsewhere = None if usual is None else cell_cover(usual, grid).view(2, *grid)
        return cls(cover, size / size.sum(), ignorant, noise, shuffled, elsewhere)

    def gains(self, by: Tensor) -> Tensor:
        """1 + (GAIN − 1) · ``by``, one for each question, (2, 1, 1)."""
        return (1 + (GAIN - 1) * by)[:, None, None]

    @property
    def twice(self) -> Tensor:
        """L for both questions, (2, h, w)."""
        return self.ignorant.expand_as(self.cover)

    @property
    def noisy(self) -> Tensor:
        """L with noise of its own for each question, (2, h, w)."""
        return self.ignorant + NOISE * self.noise


Maps = Callable[[Objects], Tensor]
"""From the objects of a pair to its two maps (2, h, w), float64, before the ReLU."""


@dataclass(frozen=True)
class Planted:
    """A pair of planted maps: how they are made, and what a measure ought to say.

    ``right``: 1, 0 or ½; nan for a surrogate, which is no claim but what others are held against. ``exact``: every
    single pair has the right value, not just their mean. ``normalise``: the norm of the contrast that is taken of
    the two maps (:func:`qgc.explain.contrast`, None for the raw one), or ``"no contrast"``. ``surrogate``: it is the
    no-place surrogate of these.
    """

    right: float
    group: str
    maps: Maps
    exact: bool = True
    normalise: str | None = "no contrast"
    surrogate: bool = False

    def __call__(self, objects: Objects) -> Tensor:
        """The two maps (2, h, w), before the ReLU."""
        first, second = self.maps(objects)
        method = own if self.normalise == "no contrast" else lambda a, b: contrast(a, b, self.normalise)
        if self.surrogate:
            return no_place_surrogate(first, second, method)
        return torch.stack([method(first, second), method(second, first)])


# -- the maps -------------------------------------------------------------------------------------------
def _fixed_place(o: Objects) -> Tensor:
    # A bump in the middle of the image, whatever is in it.
    rows, columns = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in o.cover.shape[1:])
    return torch.exp(-2 * (rows[:, None] ** 2 + columns**2)).expand_as(o.cover)


def _usual(o: Objects) -> Tensor:
    return torch.full_like(o.cover, torch.nan) if o.usual is None else o.usual


def _gain_with_area(o: Objects) -> Tensor:
    return o.gains(o.size) * o.twice


def _sharper_with_area(o: Objects) -> Tensor:
    return o.twice ** o.gains(o.size)


def _noise_then_gain(o: Objects) -> Tensor:
    return o.gains(o.size) * o.noisy


def _gain_then_noise(o: Objects) -> Tensor:
    return o.gains(o.size) * o.twice + NOISE * o.noise


def _blurred_with_area(o: Objects) -> Tensor:
    # A broad map for a large object, a sharp one for a small one, of one L: no increasing transform of it.
    widths = (BLUR * o.size).tolist()
    return torch.stack([torch.from_numpy(gaussian_filter(o.ignorant.numpy(), width)) for width in widths])


def _sign_by_area(o: Objects) -> Tensor:
    return torch.where(o.size > 0.5, -1.0, 1.0)[:, None, None] * o.twice


FOLLOWS, IGNORES = "Maps that follow a question", "Maps that ignore the question"
GROWS, RANDOM = "… and change with the asked object's area", "… and are noisy"
REORDERED = "… and change the order of their cells with it"
PRIOR, CONTRASTS = "… and know where things usually are", "Contrasts of maps that ignore the question"

PLANTED: dict[str, Planted] = {
    "asked object": Planted(1, FOLLOWS, lambda o: o.cover),
    "only question 1's map is right": Planted(1, FOLLOWS, lambda o: torch.stack([o.cover[0], o.ignorant])),
    "asked object, all negative": Planted(1, FOLLOWS, lambda o: o.cover - 2),
    "other object": Planted(0, FOLLOWS, lambda o: o.cover.flip(0)),
    "asked object, sign flipped": Planted(0, FOLLOWS, lambda o: -o.cover),
    "both objects": Planted(0.5, IGNORES, lambda o: o.twice),
    "larger object": Planted(0.5, IGNORES, lambda o: o.cover[o.size.argmax()].expand_as(o.cover)),
    "fixed place": Planted(0.5, IGNORES, _fixed_place),
    "empty": Planted(0.5, IGNORES, lambda o: torch.zeros_like(o.cover)),
    "gain": Planted(0.5, IGNORES, lambda o: o.gains(o.shuffled) * o.twice),
    "offset": Planted(0.5, IGNORES, lambda o: o.twice + o.shuffled[:, None, None]),
    "power": Planted(0.5, IGNORES, lambda o: o.twice ** o.gains(o.shuffled)),
    "gain with area": Planted(0.5, GROWS, _gain_with_area),
    "offset with area": Planted(0.5, GROWS, lambda o: o.twice + o.size[:, None, None]),
    "power with area": Planted(0.5, GROWS, _sharper_with_area),
    "blur with area": Planted(0.5, REORDERED, _blurred_with_area),
    "sign by area": Planted(0.5, REORDERED, _sign_by_area),
    "noise alone": Planted(0.5, RANDOM, lambda o: o.noise, exact=False),
    "noise alone, gain with area": Planted(0.5, RANDOM, lambda o: o.gains(o.size) * o.noise, exact=False),
    "both + noise": Planted(0.5, RANDOM, lambda o: o.noisy, exact=False),
    "both + noise, gain with area": Planted(0.5, RANDOM, _noise_then_gain, exact=False),
    "usual place of the asked object": Planted(0.5, PRIOR, _usual, exact=False),
}
"""Planted maps by name. Contrasts of some of them, and the contrasts' surrogates, follow below."""


def surrogate_of(name: str) -> str:
    """The name of an entry's no-place surrogate in :data:`PLANTED`."""
    return f"{name}: surrogate"


_CONTRASTED: dict[str, tuple[str | None, bool, Maps]] = {
    "raw, gain with area": (None, True, _gain_with_area),
    "L1, gain with area": ("l1", True, _gain_with_area),
    "L2, gain with area": ("l2", True, _gain_with_area),
    "L2, power with area": ("l2", True, _sharper_with_area),
    "raw, noise, then gain": (None, False, _noise_then_gain),
    "L2, noise, then gain": ("l2", False, _noise_then_gain),
    "L1, gain, then noise": ("l1", False, _gain_then_noise),
    "L2, gain, then noise": ("l2", False, _gain_then_noise),
}
for _name, (_norm, _exact, _maps) in _CONTRASTED.items():
    PLANTED[_name] = Planted(0.5, CONTRASTS, _maps, _exact, _norm)
    if _name not in ("L1, gain with area", "L2, gain with area"):  # these are empty, and so are their surrogates
        PLANTED[surrogate_of(_name)] = Planted(math.nan, CONTRASTS, _maps, _exact, _norm, surrogate=True)


def planted_maps(masks, grid: tuple[int, int], rng: np.random.Generator, usual=None) -> dict[str, Tensor]:
    """All of :data:`PLANTED` for one pair of objects: name → maps (2, h, w), float64, before the ReLU.

    Parameters
    ----------
    masks : (2, H, W) of the objects that question 1 and question 2 ask about. usual : (2, H, W) of the same objects
        in another scene; without it "usual place of the asked object" is nan.
    """
    objects = Objects.make(masks, grid, rng, usual)
    return {name: planted(objects) for name, planted in PLANTED.items()}


# -- the measures ---------------------------------------------------------------------------------------
def difference_auc(maps, masks) -> Tensor:
    """Does the difference map L_1 − L_2 rank object 1 above object 2? 1, 0, or ½ for an AUC of ½; maps (…, 2, h, w).

    The same number as the rank grounding of the raw contrast, whose maps are each other's negative: a_2 = 1 − a_1.
    """
    first, second = torch.as_tensor(maps).double().unbind(-3)
    both = torch.stack([contrast(first, second), contrast(second, first)], -3)
    return rank_grounding(both, masks).verdict


COARSE = 4
"""The classical measures look at every fourth pixel of a mask and of the enlarged map; verdicts hardly change."""


def classical(measure: str, maps, masks) -> Tensor:
    """A pair's verdict by one of the classical :data:`~qgc.measure.MEASURES` m: 1, 0 or ½ (…), of maps (…, 2, h, w).

    1[m(L_1, S_1) + m(L_2, S_2) > m(L_1, S_2) + m(L_2, S_1)], the maps after their ReLU; an empty map counts 0, and an
    object that is not to be seen makes a tie.
    """
    maps = torch.as_tensor(maps).double()
    seen = [np.asarray(m)[COARSE // 2 :: COARSE, COARSE // 2 :: COARSE] for m in masks]
    value = torch.stack([MEASURES[measure](maps.relu(), m).nan_to_num(0) for m in seen], -1)  # (…, map, object)
    own_, other = (v.diagonal(dim1=-2, dim2=-1).sum(-1) for v in (value, value.flip(-1)))
    verdict = compared(own_, other)
    return torch.where(maps.isnan().any(-1).any(-1).any(-1), torch.nan, verdict)


VERDICTS: dict[str, Callable[[Tensor, Sequence], Tensor]] = {
    "RGA": lambda maps, masks: rank_grounding(maps, masks).verdict,
    "OGA": lambda maps, masks: object_grounding(shares(maps, masks)),
    "odds": lambda maps, masks: odds_grounding(shares(maps, masks)),
    "CGA": lambda maps, masks: cga(shares(maps, masks)),
    "difference AUC": difference_auc,
    **{name: lambda maps, masks, name=name: classical(name, maps, masks) for name in MEASURES},
}
"""Measures as verdicts on pairs: maps (…, 2, h, w) before the ReLU and masks (2, H, W) → (…) in 0–1; right is
:attr:`Planted.right`."""

FOOLED = 0.1
"""A mean verdict further than this from the right value: more than three standard errors of a few hundred coins."""


def verdict_table(scenes: Sequence[Scene], grid: tuple[int, int] = (14, 14), seed: int = 0) -> pd.DataFrame:
    """Every measure of :data:`VERDICTS` on every entry of :data:`PLANTED`, over the same-answer pairs of some scenes.

    No model is asked: the masks of the scenes' objects are all that is taken from them.

    Returns
    -------
    DataFrame
        A row for each ``planted`` and ``measure``: the ``group``, ``right``, the mean verdict ``value``, the part of
        the pairs with a verdict other than ½ (``decided``), the number of ``pairs``, and ``status``, one of

        * "right": the mean is at most 0.1 from the right value;
        * "on average": so it is, but though ½ is due to every single pair, more than 5 % are decided, as by a coin;
        * "blind": ½ where 1 or 0 is due, and nowhere the contrary;
        * "fooled": anything else; "" for surrogates.
    """
    found: dict[str, list[Tensor]] = {measure: [] for measure in VERDICTS}
    rng = np.random.default_rng(seed)
    for k, scene in enumerate(scenes):
        for pair in chosen_pairs(scene):
            names = [a.thing for a in (pair.first, pair.second)]
            masks = [scene.masks[n] for n in names]
            made = planted_maps(masks, grid, rng, _elsewhere(scenes, k, names))
            maps = torch.stack(list(made.values()))
            for measure, verdict in VERDICTS.items():
                found[measure].append(verdict(maps, masks))
    rows = []
    for n, (name, planted) in enumerate(PLANTED.items()):
        for measure, verdicts in found.items():
            v = torch.stack(verdicts)[:, n]
            v = v[~v.isnan()]
            row = {"planted": name, "group": planted.group, "measure": measure, "right": planted.right}
            row |= {"value": float(v.mean()), "decided": float((v != 0.5).double().mean()), "pairs": len(v)}
            rows.append(row | {"status": _status(planted, v)})
    return pd.DataFrame(rows)


def _elsewhere(scenes: Sequence[Scene], k: int, names: Sequence[str]) -> list[np.ndarray] | None:
    # The masks of the same objects in the next scene that has both, and shows a pixel of each.
    for other in (*scenes[k + 1 :], *scenes[:k]):
        if all(n in other.masks and other.masks[n].any() for n in names):
            return [other.masks[n] for n in names]
    return None


def _status(planted: Planted, verdicts: Tensor) -> str:
    if planted.surrogate:
        return ""
    if abs(float(verdicts.mean()) - planted.right) <= FOOLED:
        decided = float((verdicts != 0.5).double().mean())
        return "on average" if planted.exact and planted.right == 0.5 and decided > 0.05 else "right"
    return "blind" if planted.right != 0.5 and ((verdicts - planted.right).abs() <= 0.5).all() else "fooled"
