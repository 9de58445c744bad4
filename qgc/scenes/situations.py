"""The paper's situations as fixed scenes, each with the paper's own questions and answers (situations.json).

The photographs of the paper are not ours to show; these scenes hold what its captions name. In the file an object's
``size`` is relative to how large its kind usually is at that depth, and what is left over is its pose.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..errors import SceneError, shown
from .layout import in_depth_order, scale_of
from .questions import Ask
from .scene import Scene, Thing
from .things import PLACES

FLOATING = ("towels", "mirror", "balloons", "clock", "picture", "curtains", "kite")


def _thing(kind, colour, x, y, size, flip=False, on=None, seed=0, **pose) -> Thing:
    # An object on a table or a wall is as large as it would be in the middle of the floor.
    row = y if on is None and kind not in FLOATING else 175
    return Thing(kind, colour, x, y, scale_of(kind, row, size), seed, flip, on, pose)


def _scene(name, place, upper, lower, horizon, seed, things, asks) -> Scene:
    tones = {PLACES[place].upper: upper, PLACES[place].lower: lower}
    ordered = in_depth_order([_thing(**thing) for thing in things])
    return Scene(place, tones, tuple(ordered), horizon, seed, name, tuple(Ask(*ask) for ask in asks))


_RECORDS = json.loads(Path(__file__).with_name("situations.json").read_text(encoding="utf-8"))

SITUATIONS: dict[str, Scene] = {name: _scene(name, **record) for name, record in _RECORDS.items()}


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
