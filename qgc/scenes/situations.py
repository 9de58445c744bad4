"""The paper's situations as fixed scenes, each with the paper's own questions and answers.

The photographs of the paper are not ours to show; these scenes hold what its captions name.
"""

from __future__ import annotations

from ..errors import SceneError, shown
from .layout import in_depth_order, scale_of
from .questions import Ask
from .scene import Scene, Thing
from .things import PLACES


def _put(kind, colour, x, y, size=1.0, flip=False, on=None, seed=0, **pose) -> Thing:
    # An object on a table or a wall is as large as it would be in the middle of the floor.
    row = y if on is None and kind not in FLOATING else 175
    return Thing(kind, colour, x, y, scale_of(kind, row, size), seed, flip, on, pose)


FLOATING = ("towels", "mirror", "balloons", "clock", "picture", "curtains", "kite")

SITUATIONS: dict[str, Scene] = {}


def _situation(name: str, place: str, upper: str, lower: str, horizon: float, seed: int, things, asks) -> None:
    tones = {PLACES[place].upper: upper, PLACES[place].lower: lower}
    SITUATIONS[name] = Scene(place, tones, tuple(in_depth_order(things)), horizon, seed, name, tuple(asks))


def colour(question: str, answer: str, thing: str) -> Ask:
    """A question for the color of an object."""
    return Ask(question, answer, thing, "colour")


_situation(
    "bathroom", "bathroom", "blue", "gray", 122.0, 3,
    [
        _put("sink", "white", 62, 190, 1.15, seed=4), _put("towels", "white", 164, 96, 1.2, seed=2),
        _put("mirror", "brown", 62, 82, 1.1, seed=1), _put("bathtub", "brown", 158, 186, 0.95, seed=3),
        _put("rug", "red", 98, 214, 0.9, seed=5),
    ],
    [
        colour("What is the color of the sink?", "white", "sink"),
        colour("What color are the towels?", "white", "towels"),
    ],
)  # fmt: skip
_situation(
    "birthday", "party", "purple", "brown", 126.0, 8,
    [
        _put("table", "brown", 74, 206, 1.0, seed=1), _put("cake", "white", 74, 149, 1.25, on="table", seed=6),
        _put("balloons", "white", 168, 116, 1.15, seed=2), _put("present", "red", 172, 204, 1.05, seed=4),
    ],
    [
        colour("What color is the cake?", "white", "cake"),
        colour("What color are the balloons?", "white", "balloons"),
    ],
)  # fmt: skip
_situation(
    "bedroom", "bedroom", "yellow", "brown", 116.0, 5,
    [
        _put("bed", "blue", 76, 186, 1.08, seed=2), _put("armchair", "red", 178, 204, 0.95, seed=3),
        _put("picture", "white", 76, 78, 1.0, seed=1), _put("lamp", "white", 208, 160, 0.85, seed=4),
    ],
    [
        Ask("Is that a folding chair?", "no", "armchair", "identity"),
        Ask("Are these twin mattresses?", "no", "bed", "identity"),
    ],
)  # fmt: skip
_situation(
    "couple", "living room", "green", "brown", 120.0, 11,
    [
        _put("man", "blue", 66, 208, 1.05, seed=5, activity="sitting", gaze="left"),
        _put("woman", "red", 152, 208, 1.05, seed=3, activity="sitting", gaze="left"),
        _put("clock", "red", 112, 66, 0.9, seed=2), _put("lamp", "white", 208, 170, 0.9, seed=4),
    ],
    [
        Ask("What is the man doing?", "sitting", "man", "activity"),
        Ask("What is the woman doing?", "sitting", "woman", "activity"),
        Ask("Where are they looking?", "left", "man and woman", "gaze"),
    ],
)  # fmt: skip
_situation(
    "skier-1", "mountain", "blue", "white", 112.0, 21,
    [
        _put("man", "red", 96, 196, 1.1, seed=7, activity="skiing", gaze="left"),
        _put("pine", "green", 186, 158, 1.0, seed=3),
    ],
    [Ask("What is the man doing?", "skiing", "man", "activity")],
)  # fmt: skip
_situation(
    "skier-2", "mountain", "gray", "white", 104.0, 33,
    [
        _put("man", "yellow", 140, 206, 1.1, seed=12, activity="skiing", gaze="right"),
        _put("pine", "green", 42, 150, 0.9, seed=8),
    ],
    [Ask("What is the man doing?", "skiing", "man", "activity")],
)  # fmt: skip
_situation(
    "skateboarder", "skate park", "blue", "gray", 118.0, 14,
    [
        _put("man", "orange", 108, 202, 1.1, seed=9, activity="skateboarding", gaze="right"),
        _put("backpack", "black", 196, 200, 0.9, seed=2), _put("bench", "brown", 44, 164, 0.8, seed=3),
    ],
    [Ask("What is the man doing?", "skateboarding", "man", "activity")],
)  # fmt: skip
_situation(
    "park", "park", "blue", "green", 120.0, 9,
    [
        _put("trees", "green", 74, 166, 1.15, seed=2), _put("bench", "brown", 168, 190, 1.0, seed=4),
        _put("bird", "red", 118, 206, 0.9, seed=6),
    ],
    [
        colour("What color are the trees?", "green", "trees"),
        colour("What color is the grass?", "green", "grass"),
    ],
)  # fmt: skip
_situation(
    "toilets", "bathroom", "white", "brown", 124.0, 17,
    [
        _put("toilets", "white", 86, 196, 1.25, seed=3), _put("bucket", "blue", 186, 200, 1.0, seed=5),
    ],
    [
        colour("What color are the toilets?", "white", "toilets"),
        colour("What color is the wall?", "white", "wall"),
    ],
)  # fmt: skip
_situation(
    "phone", "street", "gray", "gray", 118.0, 28,
    [
        _put("woman", "white", 84, 214, 1.3, seed=5, activity="standing", gaze="at camera", holding="phone",
             held_colour="white"),
        _put("car", "red", 178, 176, 0.8, seed=3),
    ],
    [
        colour("What color is the phone?", "white", "phone"),
        colour("What color is her top?", "white", "top"),
    ],
)  # fmt: skip


def situation(name: str) -> Scene:
    """One of the paper's situations by name, for example ``"bathroom"`` (Figures 1–6 and 27–77).

    Raises
    ------
    SceneError
        If there is no such situation; the message lists them.
    """
    if not isinstance(name, str) or name not in SITUATIONS:
        raise SceneError(f"there is no situation {shown(name)}; the paper's are {', '.join(SITUATIONS)}")
    return SITUATIONS[name]
