"""Rows of the table whose values are known: maps that look at no model, and models of which one knows what they see.

If one of them had another value, the scorer would be at fault. :data:`CONTROLS` are maps made from the masks of the
image that is shown (:mod:`qgc.lab.experiments.planted`); :data:`MODELS` are planted models
(:mod:`qgc.lab.experiments.planted_models`), explained by Grad-CAM, as any method is, about flatly painted scenes with
the same masks. Absent objects have no cell: a map of the queried object is then empty, which scores one half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ...measure.pairs import no_place_surrogate
from ..experiments.planted import PLANTED, Objects
from ..experiments.planted_models import (
    FixedPlace,
    LargerObject,
    PlantedScene,
    PlantedVQA,
    all_of_the_color,
    asked_object,
    gain_only,
    other_object,
    question,
)
from .cases import Case
from .methods import grad_cam
from .shares import Shares, case_rows, evaluate, stacked

GRID = (14, 14)
COLOR = "white"
OBJECTS = ("first", "second", "third", "fourth")
"""What the objects of a planted scene are called; the last two are in none."""


@dataclass(frozen=True)
class Known:
    """What a row must have: score → value, and whether every single pair must have it and not the mean alone."""

    right: Mapping[str, float]
    maps: Callable[[Objects], Tensor] | None = None
    model: PlantedVQA | None = None
    place: bool = False
    about: str = ""


def _planted(name: str, about: str, **more: float) -> Known:
    planted = PLANTED[name]
    return Known({"RGA": planted.right, "RGA, absent objects": 0.5, **more}, maps=planted, about=about)


def _agnostic(name: str, about: str) -> Known:
    return _planted(name, about, **{"RGA, other image": 0.5, "above other image": 0.0})


def _center(objects: Objects) -> Tensor:
    return PLANTED["fixed place"](objects)


def _uniform(objects: Objects) -> Tensor:
    return torch.ones_like(objects.cover)


HALF = {"RGA": 0.5, "RGA, absent objects": 0.5, "RGA, other image": 0.5, "above other image": 0.0}

CONTROLS: dict[str, Known] = {
    "uniform": Known({**HALF, "OGA": 0.5, "margin": 0.0}, _uniform, about="the same everywhere"),
    "center": Known({**HALF, "OGA": 0.5, "margin": 0.0}, _center, about="high in the middle of every image"),
    "true mask": _planted("asked object", "1 on the queried object", OGA=1.0),
    "other object": _planted("other object", "1 on the other object", OGA=0.0),
    "sign flipped": _planted("asked object, sign flipped", "−1 on the queried object", OGA=0.5, empty=1.0),
    "half grounded": _planted("only question 1's map is right", "question 1 right, question 2 agnostic"),
    "agnostic": _agnostic("both objects", "both objects, whatever is asked"),
    "agnostic, gain": _agnostic("gain", "five times as strong for one question"),
    "agnostic, offset": _agnostic("offset", "higher everywhere for one question"),
    "agnostic, power": _agnostic("power", "sharper for one question"),
    "agnostic, gain with area": _agnostic("gain with area", "stronger for the larger object"),
    "agnostic, power with area": _agnostic("power with area", "sharper for the larger object"),
    "place prior": Known(
        {"above other image": 0.0}, PLANTED["usual place of the asked object"], place=True,
        about="where the object is in another scene",
    ),
}  # fmt: skip
"""Maps that look at no model, by name."""


def _model(right: float, about: str, model: PlantedVQA, **more: float) -> Known:
    return Known({"RGA": right, "RGA, absent objects": 0.5, **more}, model=model, about=about)


def _table(rows: Sequence[Sequence[float]]) -> PlantedVQA:
    return PlantedVQA(OBJECTS, torch.from_numpy(np.array(rows, float)), COLOR, GRID)


_SAME = {"RGA, other image": 0.5, "above other image": 0.0}
_EYE = np.eye(4)
MODELS: dict[str, Known] = {
    "model: queried object": _model(1.0, "sees the queried object alone", asked_object(OBJECTS, answer=COLOR), OGA=1.0),
    "model: other object": _model(0.0, "sees the other object alone", other_object(OBJECTS, answer=COLOR), OGA=0.0),
    "model: sign flipped": _model(0.0, "the queried object speaks against the answer", _table(-_EYE), OGA=0.5),
    "model: half grounded": _model(
        1.0, "sees object 1 for question 1, both for question 2", _table([[1, 0, 0, 0], [1, 1, 0, 0], *_EYE[2:]])
    ),
    "model: all of the color": _model(
        0.5, "sees all that has the answer's color", all_of_the_color(OBJECTS, answer=COLOR), **_SAME
    ),
    "model: gain alone": _model(
        0.5, "the same, four times as sure for one question", gain_only(OBJECTS, [4, 1, 4, 1], answer=COLOR), **_SAME
    ),
    "model: larger object": _model(
        0.5, "sees the larger object, whatever is asked", LargerObject(OBJECTS, answer=COLOR), **_SAME
    ),
    "model: left half": _model(
        0.5, "sees the left half of the image", FixedPlace(OBJECTS, answer=COLOR), **_SAME
    ),
}  # fmt: skip
"""Planted models, explained by Grad-CAM, by name."""

KNOWN = CONTROLS | MODELS


def known_shares(cases: Sequence[Case]) -> dict[str, Shares]:
    """What the scorer makes of all of :data:`KNOWN` on these cases: name → shares.

    A place prior has those cases alone of which another scene has both objects.
    """
    rows = [
        case_rows(case, {name: partial(_control, known, case) for name, known in CONTROLS.items()}) for case in cases
    ]
    found = stacked(cases, rows)
    found["place prior"] = found["place prior"].where(found["place prior"].has_elsewhere)
    flat = [painted(case) for case in cases]
    return found | {name: evaluate(grad_cam, flat, known.model) for name, known in MODELS.items()}


def _control(known: Known, case: Case, which: str) -> tuple[Tensor, Tensor] | None:
    if which == "elsewhere" and case.other is None:
        return None
    if which == "absent" and (case.absent is None or known.place):
        return None  # where an absent object usually is would need another scene
    # a place prior sees no image: its maps of the other image are those of the first
    shown = case.other_masks if which == "elsewhere" and not known.place else case.masks
    rng = np.random.default_rng([case.scene, int(case.key[-1])])
    usual = case.other_masks if case.other is not None else np.zeros_like(case.masks)
    objects = Objects.make(shown, GRID, rng, usual)
    if which == "absent":
        objects = replace(objects, cover=torch.zeros_like(objects.cover))
    maps = known.maps(objects).double()
    return maps, no_place_surrogate(*maps)


def painted(case: Case) -> Case:
    """The same case about flatly painted objects, which planted models see; absent ones have names of their own."""
    names, absent = OBJECTS[:2], OBJECTS[2:]

    def image(masks: np.ndarray):
        colors = dict.fromkeys(names, COLOR)
        return PlantedScene(dict(zip(names, masks, strict=True)), colors, OBJECTS).image

    return replace(
        case,
        image=image(case.masks),
        questions=tuple(map(question, names)),
        answer=COLOR,
        absent=tuple(map(question, absent)) if case.absent else None,
        other_image=None if case.other is None else image(case.other_masks),
    )
