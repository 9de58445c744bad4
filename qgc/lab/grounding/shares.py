"""What a method's maps are scored by: a few numbers of each case, and the row of the table that follows from them.

Nothing but these numbers (:class:`Shares`) goes into :func:`score`, so that a table can be made again from what is
stored, and a submission need not hold its maps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ...errors import QGCError
from ...explain import EncodedImage
from ...measure.pairs import cga, compared, is_empty, margin, object_grounding, rank_grounding, shares
from ...measure.stats import Interval
from ..protocol import crossed
from .cases import Case
from .methods import Method, as_method

WITHOUT = " without backgrounds"
"""Ends the names of scores over the pairs in which neither object is a half of the place (wall, floor, sky)."""

SIGNED = ("above absent objects", "above other image", "margin", "a1 - a2")
"""Scores that may be below zero; all others are between 0 and 1."""


@dataclass(frozen=True)
class Shares:
    """What is kept of a method's maps of N cases.

    ``a`` (N, 2): a_1 and a_2 of rank grounding, nan for an empty map; ``R`` (N, 2, 2): shares of both maps on both
    objects, nan for a map without a positive cell; ``absent`` and ``elsewhere`` (N, 2): a_1 and a_2 of the controls'
    maps, nan where a map is empty; ``has_absent``, ``has_elsewhere`` (N,): whether that control was asked at all;
    ``surrogate`` (N, 2): rank and object grounding of the no-place surrogate, nan where there is none. ``scene`` (N,),
    ``area`` (N, 2) in pixels and ``background`` (N, 2) are the cases' own; ``keys`` (N,) their names.
    """

    keys: np.ndarray
    scene: np.ndarray
    area: np.ndarray
    background: np.ndarray
    a: np.ndarray
    R: np.ndarray
    absent: np.ndarray
    has_absent: np.ndarray
    elsewhere: np.ndarray
    has_elsewhere: np.ndarray
    surrogate: np.ndarray

    def where(self, chosen: np.ndarray) -> Shares:
        """Those of some cases, chosen (N,) bool."""
        return Shares(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


KINDS = ("own", "absent", "elsewhere")
"""What is asked about a case (:mod:`.cases`)."""

Ask = Callable[[str], tuple[Tensor, Tensor] | None]
"""From "own", "absent" or "elsewhere" to the maps and their surrogate (2, h, w) each; None where nothing is asked."""


def evaluate(method, cases: Sequence[Case], vqa) -> Shares:
    """Score a method on cases of the benchmark (:func:`.cases.read_cases`), with a progress bar.

    Parameters
    ----------
    method : a callable ``f(vqa, image, question, answer) -> (h, w)``, or a :class:`~.methods.Method`. vqa : handed to
        the method as it is: a model of ``qgc``, or whatever else the method explains.

    Raises
    ------
    QGCError
        If the method fails or its map is not one; the message names the case.
    """
    return evaluate_all({"": method}, cases, vqa)[""]


def evaluate_all(methods: Mapping[str, Callable], cases: Sequence[Case], vqa) -> dict[str, Shares]:
    """:func:`evaluate` of several methods, which share what the model computes of an image."""
    kinds = {name: as_method(m) for name, m in methods.items()}
    encode = _encoder(vqa)
    bar = tqdm(cases, desc="explaining", unit="pair", leave=False, disable=None)
    rows = [case_rows(c, {name: partial(_maps, m, c, vqa, encode) for name, m in kinds.items()}) for c in bar]
    return stacked(cases, rows)


def _maps(method: Method, case: Case, vqa, encode: Callable, which: str) -> tuple[Tensor, Tensor] | None:
    questions = case.absent if which == "absent" else case.questions
    image = case.other_image if which == "elsewhere" else case.image
    if questions is None or image is None:
        return None
    return method.maps(vqa, image, lambda: encode(image), questions, case.answer, case.key)


def _encoder(vqa) -> Callable[[Image.Image], EncodedImage]:
    # The last few images stay encoded: all methods ask about them, and the next case may be of the same scene
    last: deque[tuple[Image.Image, EncodedImage]] = deque(maxlen=3)

    def encode(image: Image.Image) -> EncodedImage:
        found = next((encoded for known, encoded in last if known is image), None)
        if found is None:
            found = EncodedImage(vqa, image)
            last.append((image, found))
        return found

    return encode


def case_rows(case: Case, asks: Mapping[str, Ask]) -> dict[str, dict[str, np.ndarray]]:
    """The numbers of one case under several methods: name → the columns of :class:`Shares`."""
    maps: dict[tuple[str, str], Tensor] = {}
    for name, ask in asks.items():
        for which in KINDS:
            found = ask(which)
            if found is not None:
                maps[name, which] = found[0]
                if which == "own":
                    maps[name, "surrogate"] = found[1]
            elif which == "own":
                raise QGCError(f"there are no maps of {case.key}; every case needs those of its own two questions")
    scored: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, float]] = {}
    for grid in {m.shape for m in maps.values()}:  # all maps of a grid at once: most of the work is the masks'
        here = [key for key, m in maps.items() if m.shape == grid]
        every = torch.stack([maps[key] for key in here])
        rank, R = rank_grounding(every, case.masks), shares(every, case.masks)
        a = torch.where(is_empty(every), torch.nan, torch.stack(rank[1:], -1))
        scored |= dict(zip(here, zip(a.numpy(), R.numpy(), rank.verdict.tolist(), strict=True), strict=True))
    return {name: _row(name, maps, scored) for name in asks}


def _row(name: str, maps: Mapping, scored: Mapping) -> dict[str, np.ndarray]:
    a, R, _ = scored[name, "own"]
    _, of_surrogate, verdict = scored[name, "surrogate"]
    row = {"a": a, "R": R, "surrogate": np.full(2, np.nan)}
    if bool(maps[name, "surrogate"].isfinite().all()):
        row["surrogate"] = np.array([verdict, float(object_grounding(torch.from_numpy(of_surrogate)))])
    for which in KINDS[1:]:
        there = (name, which) in scored
        row[f"has_{which}"] = np.array(there)
        row[which] = scored[name, which][0] if there else np.full(2, np.nan)
    return row


def stacked(cases: Sequence[Case], rows: Sequence[Mapping[str, Mapping[str, np.ndarray]]]) -> dict[str, Shares]:
    """:func:`case_rows` of several cases, with what is known of the cases themselves: name → its shares."""
    if not cases:
        raise QGCError("there is no case to score; take more scenes")
    about = {
        "keys": np.array([c.key for c in cases]),
        "scene": np.array([c.scene for c in cases]),
        "area": np.stack([c.masks.sum((1, 2)) for c in cases]),
        "background": np.array([c.background for c in cases]),
    }
    columns = {name: list(row) for name, row in rows[0].items()}
    return {
        name: Shares(**about, **{key: np.stack([row[name][key] for row in rows]) for key in keys})
        for name, keys in columns.items()
    }


# -- scores -----------------------------------------------------------------------------------------------
def verdicts(found: Shares) -> dict[str, np.ndarray]:
    """Every score of every case, (N,), nan where there is none; their means over scenes are :func:`score`."""
    R, a = torch.from_numpy(found.R), found.a
    own = _rank(a)
    absent = np.where(found.has_absent, _rank(found.absent), np.nan)
    elsewhere = np.where(found.has_elsewhere, _rank(found.elsewhere), np.nan)
    sizes = np.where(np.isnan(a), 0.5, a)
    return {
        "RGA": own,
        "RGA, absent objects": absent,
        "above absent objects": own - absent,
        "RGA, other image": elsewhere,
        "above other image": own - elsewhere,
        "RGA, surrogate": found.surrogate[:, 0],
        "OGA": object_grounding(R).numpy(),
        "OGA, surrogate": found.surrogate[:, 1],
        "CGA": cga(R).numpy(),
        "margin": margin(R).numpy(),
        "a1 - a2": sizes[:, 0] - sizes[:, 1],
        "empty": np.isnan(found.R).any(-1).mean(-1),
    }


def _rank(a: np.ndarray) -> np.ndarray:
    # The verdict 1[a_1 > a_2]; a tie, or an empty map, ½
    return compared(*torch.from_numpy(np.asarray(a, float)).unbind(-1)).nan_to_num(0.5).numpy()


def score(found: Shares) -> dict[str, Interval]:
    """Every score with its 95 % interval over scenes, and again without backgrounds (:data:`WITHOUT`).

    A scene counts once, however many pairs it has; the interval is Student's t over scenes, of one model
    (:func:`qgc.lab.protocol.crossed.crossed_interval`). What there is none of is nan.
    """
    columns = verdicts(found)
    plain = ~found.background.any(1)
    columns |= {name + WITHOUT: np.where(plain, values, np.nan) for name, values in columns.items()}
    return {name: _interval(values, found.scene, name) for name, values in columns.items()}


def _interval(values: np.ndarray, scene: np.ndarray, name: str) -> Interval:
    known = np.isfinite(values)
    if not known.any():
        return Interval(*[float("nan")] * 3)
    at = np.unique(scene[known], return_inverse=True)[1]
    by_scene = np.bincount(at, values[known]) / np.bincount(at)
    bounds = None if name.removesuffix(WITHOUT) in SIGNED else (0, 1)
    return crossed.crossed_interval(by_scene[None], bounds=bounds)
