"""What a scene may hold, in one place: checked for every scene and object when it is made, by a program or a file.

Each check returns the value as plain Python, or raises a SceneError that begins with the field's name.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ..errors import SceneError, shown
from .splits import DISTRIBUTIONS
from .things import KINDS, PLACES
from .vocabulary import ACTIVITIES, COLOURS, GAZES, PARTS, PEOPLE

FARTHEST = 10_000  # pixels from the image's corner; what is farther away is an error, and slow to render
LARGEST = 100  # pixels per centimeter; a mug is then four images wide
HORIZONS = (50, 200)  # pixel rows between which every place can be drawn
LONGEST = 1000  # characters of a text, and questions of a scene
LARGEST_SEED = 2**63 - 1
HELD = ("phone",)
WHOLE, NUMBER = (int, np.integer), (float, int, np.floating, np.integer)
HANDS_FREE = ("standing", "sitting")  # while doing what a person can hold a phone


class ReadOnlyDict(dict):
    """A dictionary that cannot be changed in place: a scene is shared, and its images are cached."""

    def _refuse(self, *args, **kwargs):
        raise SceneError("a scene does not change; .move(), .recolour() and .remove() give another one, dict() a copy")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self):  # else unpickling would set its items
        return ReadOnlyDict, (dict(self),)


def number(name: str, value: object, least: float, most: float) -> int | float:
    """A number within bounds; one of NumPy's becomes Python's, so that it can be written as JSON."""
    if isinstance(value, NUMBER) and not isinstance(value, bool) and least <= value <= most:  # nor is it NaN
        return int(value) if isinstance(value, WHOLE) else float(value)
    raise SceneError(f"{name} is {shown(value)}; it must be a number from {least:g} to {most:g}")


def whole(name: str, value: object, least: int, most: int = LARGEST_SEED) -> int:
    """A whole number within bounds."""
    if isinstance(value, WHOLE) and not isinstance(value, bool) and least <= value <= most:
        return int(value)
    most_text = "up" if most == LARGEST_SEED else f"to {most}"
    raise SceneError(f"{name} is {shown(value)}; it must be a whole number from {least} {most_text}")


def text(name: str, value: object) -> str:
    """A text of limited length."""
    if isinstance(value, str) and len(value) <= LONGEST:
        return value
    raise SceneError(f"{name} is {shown(value)}; it must be a text of at most {LONGEST} characters")


def one_of(name: str, value: object, known: Collection[str]) -> str:
    """One of the words that are known."""
    if isinstance(value, str) and value in known:
        return value
    words = ", ".join(repr(word) for word in known) if len(known) < 20 else "what it knows, listed in qgc.scenes.things"
    raise SceneError(f"{name} is {shown(value)}, which this version of qgc cannot draw; choose one of {words}")


def has_keys(name: str, value: object, needed: Collection[str], optional: Collection[str] = ()) -> dict:
    """A dictionary with just these keys."""
    if not isinstance(value, dict):
        raise SceneError(f"{name} is {shown(value)}; it must be fields: {_listed(needed)}")
    if missing := [key for key in needed if key not in value]:
        raise SceneError(f"{name} lacks {missing[0]!r}; add it")
    if unknown := [key for key in value if key not in needed and key not in optional]:
        raise SceneError(f"{name} holds {shown(unknown[0])}, which has no meaning there; remove it")
    return value


def _listed(keys: Collection[str]) -> str:
    return ", ".join(keys) or "nothing"


def check_object(given: Mapping[str, Any]) -> dict[str, object]:
    """The fields given for an object, each of its type and within its bounds."""
    kind = one_of("kind", given["kind"], KINDS)
    if not isinstance(given["flip"], bool):
        raise SceneError(f"flip is {shown(given['flip'])}; it must be true or false")
    return {
        "kind": kind,
        "colour": one_of("colour", given["colour"], COLOURS),
        "x": number("x", given["x"], -FARTHEST, FARTHEST),
        "y": number("y", given["y"], -FARTHEST, FARTHEST),
        "scale": number("scale", given["scale"], 1 / FARTHEST, LARGEST),
        "seed": whole("seed", given["seed"], 0),
        "on": None if given["on"] is None else one_of("on", given["on"], KINDS),
        "pose": _pose(kind, given["pose"]),
    }


def _pose(kind: str, pose: object) -> dict[str, str]:
    if kind not in PEOPLE:
        return ReadOnlyDict(has_keys("pose", pose, ()))
    fields = has_keys("pose", pose, ("activity", "gaze"), ("holding", "held_colour"))
    activity = one_of("pose.activity", fields["activity"], ACTIVITIES)
    one_of("pose.gaze", fields["gaze"], GAZES)
    if "holding" in fields or "held_colour" in fields:
        has_keys("pose", pose, ("activity", "gaze", "holding", "held_colour"))
        one_of("pose.holding", fields["holding"], HELD)
        one_of("pose.held_colour", fields["held_colour"], COLOURS)
        if activity not in HANDS_FREE:
            raise SceneError(f"pose.activity is {activity!r}; only somebody {' or '.join(HANDS_FREE)} holds a phone")
    return ReadOnlyDict(fields)


def check_scene(given: Mapping[str, Any]) -> dict[str, object]:
    """The fields given for a scene, if its objects fit together and its questions are about what is there."""
    place = PLACES[one_of("place", given["place"], PLACES)]
    tones = has_keys("tones", given["tones"], (place.upper, place.lower))
    for part, colour in tones.items():
        one_of(f"tones.{part}", colour, COLOURS)
    names = [t.kind for t in given["things"]] + [t.pose["holding"] for t in given["things"] if "holding" in t.pose]
    # Masks, questions and interventions identify an object by its name.
    if twice := next((name for i, name in enumerate(names) if name in names[:i]), None):
        raise SceneError(f"things holds {twice!r} twice; a name can be in a scene once")
    names += [*tones, *(PARTS[name] for name in names if name in PARTS)]
    names += ["man and woman"] if set(PEOPLE) <= set(names) else []
    if len(given["fixed_asks"]) > LONGEST:
        raise SceneError(f"asks holds {len(given['fixed_asks'])} questions; {LONGEST} is the most")
    for i, ask in enumerate(given["fixed_asks"]):
        for field in ("question", "answer", "family"):
            text(f"asks[{i}].{field}", getattr(ask, field))
        if ask.thing is not None and ask.thing not in names:
            raise SceneError(f"asks[{i}].thing is {shown(ask.thing)}; the scene has {_listed(names)}")
    return {
        "tones": ReadOnlyDict(tones),
        "things": tuple(given["things"]),
        "horizon": number("horizon", given["horizon"], *HORIZONS),
        "seed": whole("seed", given["seed"], 0),
        "name": text("name", given["name"]),
        "fixed_asks": tuple(given["fixed_asks"]),
        "distribution": one_of("distribution", given["distribution"], ("", *DISTRIBUTIONS)),
    }


def read_json(content: object) -> dict:
    """A JSON object in which no key is there twice.

    Raises
    ------
    SceneError
        If it is another type, damaged, nested too deeply, or holds a number of thousands of digits.
    """
    if not isinstance(content, str | bytes):
        raise SceneError(f"it is of the type {type(content).__name__} in place of a text")
    try:
        data = json.loads(content, object_pairs_hook=_unique)
    except RecursionError:
        raise SceneError("it is nested too deeply") from None
    except ValueError as error:  # not JSON, not UTF-8, or more digits than Python reads
        raise SceneError(f"it cannot be read as JSON: {shown(str(error))[1:-1]}") from None
    if not isinstance(data, dict):
        raise SceneError(f"it is {shown(data)} in place of an object with fields")
    return data


def _unique(pairs: list[tuple[str, object]]) -> dict:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        keys = [key for key, _ in pairs]
        raise SceneError(f"{shown(next(key for key in keys if keys.count(key) > 1))} is there twice")
    return entries
