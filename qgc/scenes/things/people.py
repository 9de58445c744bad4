"""A man and a woman: what they do is told by the silhouette, where they look by the whole head.

Bodies are jointed figures: a :class:`Pose` says where neck, hip, knees and hands are (for a man of
172 cm; the woman is the same frame, scaled), and limbs are thick lines between the joints. Poses seen
from the side are set down facing right and mirrored. Heads are too large on purpose, and are drawn in
four views (front, side, up, down), since in a small image pupils alone cannot say where one looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..svg import RGB, Pen, Shades, linear, mix, radial, shades
from .registry import thing

Point = tuple[float, float]

SKIN: tuple[RGB, ...] = (
    (246, 212, 178),
    (234, 190, 148),
    (214, 164, 116),
    (182, 126, 80),
    (142, 94, 58),
    (104, 68, 44),
)
HAIR: tuple[RGB, ...] = ((36, 32, 34), (62, 42, 32), (98, 62, 38), (148, 82, 40), (214, 176, 100), (150, 148, 146))
DARK_HAIR = 3  # the first so many hair colors; the darkest skins get only these
TROUSERS: tuple[RGB, ...] = ((78, 96, 128), (104, 108, 116), (164, 146, 112), (58, 60, 68))
SHOES: tuple[RGB, ...] = ((58, 52, 50), (92, 72, 58), (206, 206, 204))
WOOL: tuple[RGB, ...] = ((92, 96, 106), (222, 216, 202), (62, 66, 80))
INK: RGB = (40, 30, 30)

# Outlines of the hair, per style and view, around the centre of the head. "back" lies behind the
# body, "front" over face and shoulders. Side views look to the right.
# An arch is two curves: ThorVG measures a gradient's box by the ends of curves, and an arch of one curve has no height.
CROWN_RIM = (
    "M-14,-12 C-11,-14.75 -5.5,-16.125 0,-16.125 C5.5,-16.125 11,-14.75 14,-12 "
    "C13,-18 6.5,-21 0,-21 C-6.5,-21 -13,-18 -14,-12Z"
)
CROWN_DOWN = "M-18,5 C-23,-29 23,-29 18,5 C15,4 14,1 12,2 C6,6 -6,6 -12,2 C-14,1 -15,4 -18,5Z"
HAIR_BACK = {
    ("short", "up"): "M-17,1 C-20,-26 20,-26 17,1Z",
    ("bun", "up"): "M-17,1 C-20,-26 20,-26 17,1Z",
    ("long", "front"): "M-19,-6 C-24,10 -25,28 -21,37 L21,37 C25,28 24,10 19,-6 C16,-24 -16,-24 -19,-6Z",
    ("long", "up"): "M-18,-5 C-25,10 -25,32 -21,42 L21,42 C25,32 25,10 18,-5 C16,-25 -16,-25 -18,-5Z",
    ("bob", "front"): "M-19,-6 C-24,4 -23,14 -19,18 L19,18 C23,14 24,4 19,-6 C16,-24 -16,-24 -19,-6Z",
    ("bob", "up"): "M-18,-6 C-26,6 -26,15 -22,21 L22,21 C26,15 26,6 18,-6 C16,-25 -16,-25 -18,-6Z",
}
HAIR_FRONT = {
    ("short", "front"): (
        "M-17.5,0 C-23,-28 23,-29 17.5,0 L15,-1 C15,-8 14,-11 11,-13 C3,-9 -6,-10 -11,-14 C-14,-10 -15,-6 -15,-1Z"
    ),
    ("short", "side"): (
        "M15,-12 C13,-25 -8,-27 -17,-17 C-23,-8 -20,5 -15,10 L-9,10 C-9,6 -9,3 -8,0 "
        "C-6,-3 -3,-3 0,-2 L1,-9 C6,-10 11,-10 15,-12Z"
    ),
    ("short", "up"): CROWN_RIM,
    ("short", "down"): CROWN_DOWN,
    ("bald", "front"): (
        "M-17,2 C-20,-5 -18,-11 -14,-14 C-15,-8 -15,-4 -15,2Z M17,2 C20,-5 18,-11 14,-14 C15,-8 15,-4 15,2Z"
    ),
    ("bald", "side"): "M-18,-6 C-21,2 -19,8 -14,11 L-8,10 L-8,1 C-9,-4 -12,-7 -18,-6Z",
    ("bald", "down"): "M-17,7 C-21,0 -20,-6 -16,-9 C-16,-2 -16,2 -15,7Z M17,7 C21,0 20,-6 16,-9 C16,-2 16,2 15,7Z",
    ("long", "front"): (
        "M0,-23 C-17,-23 -20,-12 -20,0 C-21,14 -25,24 -22,34 C-18,38 -13,36 -12,33 C-15,22 -14,8 -15.5,-1 "
        "C-11,-4 -5,-10 -3,-16 C2,-10 10,-5 15.5,-1 C14,8 15,22 12,33 C13,36 18,38 22,34 "
        "C25,24 21,14 20,0 C20,-12 17,-23 0,-23Z"
    ),
    ("long", "side"): (
        "M14,-13 C11,-26 -8,-27 -17,-17 C-24,-8 -22,6 -24,18 C-25,28 -28,34 -24,39 C-15,42 -6,39 -5,32 "
        "C-6,24 -3,16 -4,10 C-4,4 -3,-2 1,-7 C6,-9 11,-10 14,-13Z"
    ),
    ("long", "up"): CROWN_RIM,
    ("long", "down"): (
        "M-18,8 C-21,18 -22,28 -18,37 C-14,38 -11,35 -12,30 C-14,20 -13,12 -13,6 C-8,7 -3,5 0,-1 "
        "C3,5 8,7 13,6 C13,12 14,20 12,30 C11,35 14,38 18,37 C22,28 21,18 18,8 C24,-30 -24,-30 -18,8Z"
    ),
    ("bob", "front"): (
        "M0,-23 C-18,-23 -21,-12 -21,0 C-22,8 -24,15 -19,19 C-15,19 -12,17 -13,14 C-15,8 -15,0 -15,-7 "
        "C-7,-10 7,-10 15,-7 C15,0 15,8 13,14 C12,17 15,19 19,19 C24,15 22,8 21,0 C21,-12 18,-23 0,-23Z"
    ),
    ("bob", "side"): (
        "M15,-9 C14,-26 -8,-27 -18,-17 C-25,-6 -23,8 -23,17 C-16,22 -4,21 0,16 C-2,8 -2,0 1,-6 C6,-8 11,-8 15,-9Z"
    ),
    ("bob", "up"): CROWN_RIM,
    ("bob", "down"): (
        "M-19,8 C-23,14 -21,21 -17,22 C-12,21 -13,12 -13,5 C-6,7 6,7 13,5 C13,12 12,21 17,22 "
        "C21,21 23,14 19,8 C25,-30 -25,-30 -19,8Z"
    ),
    ("bun", "front"): "M-17.5,2 C-22,-27 22,-27 17.5,2 C16,-6 10,-12 0,-15 C-10,-12 -16,-6 -17.5,2Z",
    ("bun", "side"): "M14,-13 C11,-25 -8,-26 -16,-17 C-22,-8 -19,5 -13,9 C-9,5 -9,1 -6,-3 C0,-9 8,-9 14,-13Z",
    ("bun", "up"): CROWN_RIM,
    ("bun", "down"): CROWN_DOWN,
}
BUN = {"front": (0, -26, 9.0), "side": (-19, -17, 9.0), "up": (0, -20, 6.0), "down": (0, -17, 9.5)}

FACE = {
    "front": "M-16,-4 C-16,-14.5 -8,-19.75 0,-19.75 C8,-19.75 16,-14.5 16,-4 C16,8 10,19 0,19 C-10,19 -16,8 -16,-4Z",
    "side": (
        "M3,-20.5 C12,-20.5 15.5,-14 15.5,-7 L15.5,-3.5 L21,3.5 C22,6 19.5,6.5 17,6.5 C16,8 18.5,9 17.8,10.5 "
        "C18,12 16.5,12.5 16,13.5 C17,17.5 13,20 8,19.5 C2,19 -3,16 -6,12 C-15,10 -19,2 -18,-6 C-17,-15 -8,-21 3,-20.5Z"
    ),
    "up": "M-16,0 C-17,-23 17,-23 16,0 C16,10 9,17 0,17 C-9,17 -16,10 -16,0Z",
    "down": "M-17,0 C-18,-27 18,-27 17,0 C16,9 9,19 0,19.5 C-9,19 -16,9 -17,0Z",
}
BEARD = {
    "front": (
        "M-16.3,-1 C-16.5,11 -10,21 0,21 C10,21 16.5,11 16.3,-1 C14.5,4 13,7 10,8 C6,6.5 3,7 0,7 "
        "C-3,7 -6,6.5 -10,8 C-13,7 -14.5,4 -16.3,-1Z"
    ),
    "side": "M-5,1 C-6,9 -4,15 2,18.5 C8,21.5 17,21 17,14 L16,7.5 C12,6.5 9,8 6,9 C1,9 -2,6 -3,1Z",
    "up": (
        "M-16.3,0 C-17,12 -9,18 0,18 C9,18 17,12 16.3,0 C14,4 10,4 8,0 C6,-4 3,-5 0,-5 "
        "C-3,-5 -6,-4 -8,0 C-10,4 -14,4 -16.3,0Z"
    ),
    "down": (
        "M-16.8,3 C-15,13 -9,22 0,22 C9,22 15,13 16.8,3 C14,9 11,13 7,14 C3,13 -3,13 -7,14 C-11,13 -14,9 -16.8,3Z"
    ),
}
# Per view: how far the centre of the head is from the root of the neck, and where its mouth is.
HEAD_AT = {"front": (0, -20), "side": (1, -20), "up": (0, -22), "down": (0, -14)}
MOUTH = {"front": (0, 11), "side": (16, 10), "up": (0, -0.5), "down": (0, 16.5)}


@dataclass(frozen=True)
class Build:
    """The proportions of a body: ``scale`` of all of it, half widths of its trunk, widths of its limbs."""

    part: str
    scale: float
    shoulder: float
    waist: float
    hips: float
    arm: float
    leg: float


MAN = Build(part="shirt", scale=1.0, shoulder=19.5, waist=18.0, hips=16.5, arm=11.0, leg=15.5)
WOMAN = Build(part="top", scale=0.95, shoulder=15.5, waist=11.5, hips=16.0, arm=9.0, leg=13.5)


@dataclass(frozen=True)
class Look:
    """What chance decides about a person. ``facing`` is +1 to the right, -1 to the left."""

    skin: Shades
    hair: Shades
    style: str
    beard: bool
    legs: Shades
    skirt: bool
    shoes: Shades
    hat: Shades
    long_sleeves: bool
    facing: int


@dataclass(frozen=True)
class Pose:
    """Joints of a body that faces right; the far leg comes first.

    ``legs`` are (knee, ankle, toes) with toes the direction and length of the shoe (0: its sole), ``arms`` are
    (side of the shoulder, elbow, hand), ``turn`` narrows a trunk that is seen from the side.
    """

    neck: Point
    hip: Point
    legs: tuple[tuple[Point, Point, float], ...]
    arms: tuple[tuple[int, Point, Point], ...]
    turn: float = 1.0
    apart: float = 7.5
    upright: bool = False


def _stand(b: Build, *arms) -> Pose:
    """Upright on both feet; hands hang down where ``arms`` does not say otherwise."""
    hanging = {side: (side, (side * (b.shoulder + 6), -104), (side * (b.shoulder + 5), -80)) for side in (-1, 1)}
    hanging.update({arm[0]: arm for arm in arms})
    return Pose(
        neck=(0, -134),
        hip=(0, -86),
        legs=(((-9, -46), (-10, -7), -0.75), ((9, -46), (10, -7), 0.75)),
        arms=tuple(hanging.values()),
        upright=True,
    )


def _pose(activity: str, b: Build) -> Pose:
    """The joints of an activity."""
    if activity == "waving":
        return _stand(b, (1, (b.shoulder + 16, -136), (b.shoulder + 17, -162)))
    if activity == "reading":
        return _stand(b, (-1, (-b.shoulder - 8, -102), (-18, -98)), (1, (b.shoulder + 8, -102), (18, -98)))
    if activity == "eating":  # the other arm is set by where the mouth is
        return _stand(b, (-1, (-b.shoulder - 8, -100), (-b.shoulder - 17, -112)))
    if activity == "sitting":
        return Pose(
            neck=(-12, -104),
            hip=(-15, -55),
            legs=(((20, -53), (15, -7), 1), ((26, -52), (28, -7), 1)),
            arms=((-1, (-26, -74), (-6, -62)), (1, (4, -76), (22, -64))),
            turn=0.88,
            apart=3,
        )
    if activity == "kneeling":
        return Pose(
            neck=(-4, -100),
            hip=(-8, -50),
            legs=(((-8, -9), (-38, -8), 0), ((25, -46), (26, -7), 1)),
            arms=((-1, (-27, -76), (-22, -56)), (1, (16, -76), (27, -56))),
            turn=0.88,
            apart=4,
        )
    if activity == "skiing":
        return Pose(
            neck=(4, -118),
            hip=(-14, -74),
            legs=(((10, -46), (-8, -12), 1), ((20, -44), (4, -9), 1)),
            arms=((-1, (-30, -96), (-38, -78)), (1, (28, -92), (44, -84))),
            turn=0.9,
            apart=3,
        )
    if activity == "skateboarding":
        return Pose(
            neck=(6, -120),
            hip=(-2, -72),
            legs=(((-27, -50), (-25, -21), -0.9), ((26, -50), (24, -21), 0.9)),
            arms=((-1, (-32, -120), (-54, -130)), (1, (36, -108), (56, -100))),
            apart=8,
        )
    if activity == "jumping":
        return Pose(
            neck=(0, -124),
            hip=(0, -78),
            legs=(((-25, -66), (-15, -36), -0.7), ((25, -66), (15, -36), 0.7)),
            arms=((-1, (-34, -130), (-41, -158)), (1, (34, -130), (41, -158))),
            apart=9,
        )
    return _stand(b)


def _skin(base: RGB) -> Shades:
    """Tones of skin: its shade stays warm."""
    return Shades(base, mix(base, (255, 246, 232), 0.35), mix(base, (112, 58, 30), 0.3), mix(base, (52, 24, 16), 0.55))


def _look(rng: np.random.Generator, styles: tuple[tuple[str, bool], ...], skirts: bool) -> Look:
    """Chance's part of a person; ``styles`` are (hair style, beard) to choose from."""
    pools = (SKIN, HAIR, styles, TROUSERS, SHOES, WOOL)
    skin, hair, style, legs, shoes, hat = (int(rng.integers(len(pool))) for pool in pools)
    sleeves, skirt, facing = rng.random(3)
    if skin >= 3:
        hair %= DARK_HAIR
    return Look(
        skin=_skin(SKIN[skin]),
        hair=shades(HAIR[hair]),
        style=styles[style][0],
        beard=styles[style][1],
        legs=shades(TROUSERS[legs]),
        skirt=skirts and skirt < 0.55,
        shoes=shades(SHOES[shoes]),
        hat=shades(WOOL[hat]),
        long_sleeves=sleeves < 0.6,
        facing=1 if facing < 0.5 else -1,
    )


def _limb(pen: Pen, points, width: float, tone: Shades) -> None:
    """A round limb through ``points``: outline, body and a shaded side."""
    pen.line(points, tone.line, width + 1.8)
    pen.line(points, tone.base, width)
    pen.line([(x + width * 0.27, y) for x, y in points], tone.dark, width * 0.34, opacity=0.38)


def _along(a: Point, b: Point, t: float) -> Point:
    return a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t


def _shoulder(b: Build, pose: Pose, side: int) -> Point:
    """Where the arm is joined, in the leaning frame of the trunk."""
    lean = math.atan2(pose.neck[0] - pose.hip[0], pose.hip[1] - pose.neck[1])
    x, y = side * (b.shoulder - 1.5) * pose.turn, 9.0
    cos, sin = math.cos(lean), math.sin(lean)
    return pose.neck[0] + x * cos - y * sin, pose.neck[1] + x * sin + y * cos


def _shoe(pen: Pen, at: Point, toes: float, tone: Shades) -> None:
    """A shoe below the ankle ``at``; ``toes`` as in :class:`Pose`, 0 shows the sole of one who kneels."""
    if toes == 0:
        x, y = at
        pen.path(
            f"M{x + 4},{y - 7} L{x - 8},{y - 7} C{x - 12},{y - 3} {x - 12},{y + 5} {x - 8},{y + 7.5} "
            f"L{x - 2},{y + 7.5}Z",
            tone.base,
            tone.line,
            1.0,
        )
        return
    with pen.at(at[0], at[1], scale=(toes, 1)):
        pen.path("M-8,7 L-8,-3 C-3,-6 4,-5 8,-2 C14,-1 15,4 14.5,7Z", linear(tone.light, tone.base), tone.line, 1.0)
        pen.line([(-7.5, 6.3), (14, 6.3)], tone.dark, 1.6)


def _legs(pen: Pen, b: Build, look: Look, pose: Pose) -> None:
    """Legs in trousers, or bare below a skirt."""
    for i, (knee, ankle, toes) in enumerate(pose.legs):
        joint = (pose.hip[0] + (2 * i - 1) * pose.apart, pose.hip[1])
        _shoe(pen, ankle, toes, look.shoes)
        end = _along(knee, ankle, 0.94)
        if look.skirt:
            _limb(pen, [knee if not pose.upright else (knee[0], knee[1] - 6), end], b.leg - 3, look.skin)
            if not pose.upright:
                _limb(pen, [joint, _along(joint, knee, 0.97)], b.leg + 2, look.legs)
        else:
            _limb(pen, [joint, knee, end], b.leg, look.legs)
    if look.skirt and pose.upright:
        fill = linear(look.legs.light, look.legs.base, look.legs.dark, angle=0)
        pen.path(
            "M-13,-92 L13,-92 C17,-78 22,-58 24,-44 C10,-39 -10,-39 -24,-44 C-22,-58 -17,-78 -13,-92Z",
            fill,
            look.legs.line,
            1.0,
        )
        for x in (-8, 8):
            pen.line([(x * 0.8, -74), (x, -44)], look.legs.dark, 1.2, opacity=0.7)


def _trunk(pen: Pen, c: Shades, b: Build, look: Look, pose: Pose) -> None:
    """The shirt's body, and the skin in its neckline."""
    dx, dy = pose.hip[0] - pose.neck[0], pose.hip[1] - pose.neck[1]
    n, s, w, h = math.hypot(dx, dy), b.shoulder, b.waist, b.hips
    with pen.at(*pose.neck, angle=math.degrees(math.atan2(-dx, dy)), scale=(pose.turn, 1)):
        with pen.part(b.part):
            pen.path(
                f"M-8,-1 C-12,1 {-s},1 {-s - 3},9 L{-s},24 C{-w},{n * 0.6:.1f} {-w},{n * 0.7:.1f} {-h},{n + 5:.1f} "
                f"C-8,{n + 8:.1f} 8,{n + 8:.1f} {h},{n + 5:.1f} C{w},{n * 0.7:.1f} {w},{n * 0.6:.1f} {s},24 "
                f"L{s + 3},9 C{s},1 12,1 8,-1Z",
                linear((0.0, c.base), (0.62, c.base), (1.0, mix(c.base, c.dark, 0.75)), angle=0),
                c.line,
                1.1,
            )
            pen.line([(-h + 1, n + 2.5), (h - 1, n + 2.5)], c.dark, 1.0, opacity=0.7)
        if b is WOMAN:
            pen.path("M-8,-2 C-8,12 8,12 8,-2Z", look.skin.base, c.line, 1.0)
        else:
            pen.path("M-8,-2 C-6,7 6,7 8,-2Z", look.skin.base, c.line, 1.0)


def _arm(pen: Pen, c: Shades, b: Build, look: Look, pose: Pose, arm, open_hand=False) -> None:
    """One arm in its sleeve, with the hand."""
    side, elbow, hand = arm
    joint = _shoulder(b, pose, side)
    bare = b.arm - 2
    _limb(pen, [elbow, hand], bare, look.skin)
    if open_hand:
        with pen.at(*_along(elbow, hand, 1.1)):
            for dx, dy in ((-8, -3), (-4.6, -11), (-0.6, -12.6), (3.4, -11.4), (6.6, -8)):
                _limb(pen, [(0, 0), (dx, dy)], 3.2, look.skin)
            pen.ellipse(0, -1, 5.6, 6, look.skin.base)
    else:
        x, y = _along(elbow, hand, 1.1)
        pen.ellipse(x, y, 5.6, 5.6, look.skin.base, look.skin.line, 1.0)
    with pen.part(b.part):
        cuff = _along(elbow, hand, 0.72)
        _limb(pen, [joint, elbow, cuff] if look.long_sleeves else [joint, _along(joint, elbow, 0.85)], b.arm, c)
        pen.ellipse(*joint, b.arm / 2 - 0.2, b.arm / 2 - 0.2, c.base)


def _eye(pen: Pen, look: Look, x: float, y: float, rx: float, ry: float, iris: Point, lashes: bool) -> None:
    """An open eye with its brow; ``iris`` is where it looks, off the centre of the eye."""
    pen.ellipse(x, y, rx, ry, (252, 252, 250), look.skin.line, 0.7)
    pen.ellipse(x + iris[0], y + iris[1], min(rx, ry) * 0.76, None, INK)
    pen.ellipse(x + iris[0] + 0.8, y + iris[1] - 1, 0.8, None, (255, 255, 255))
    if lashes:
        pen.path(
            f"M{x - rx - 0.6},{y - ry * 0.3:.1f} Q{x},{y - ry * 1.7:.1f} {x + rx + 0.6},{y - ry * 0.3:.1f}",
            None,
            INK,
            1.5,
        )


def _front_face(pen: Pen, look: Look, woman: bool) -> None:
    """The features of a face that looks at the camera."""
    for side in (-1, 1):
        _eye(pen, look, side * 7, 0, 4.2, 3.9, (0, 0), woman)
        pen.path(f"M{side * 3.5},-7 Q{side * 7},-9.2 {side * 11},-6.6", None, look.hair.dark, 1.3 if woman else 2.0)
    pen.path("M-0.6,1 Q-3.4,6.2 0.8,6.6", None, look.skin.line, 1.3)


def _side_face(pen: Pen, look: Look, woman: bool) -> None:
    """The features of a face in profile, looking right."""
    _eye(pen, look, 10.5, -1.5, 3.2, 4.0, (1.3, 0), False)
    if woman:
        pen.path("M7,-3 Q11,-8 15,-4.5", None, INK, 1.5)
    pen.path("M7,-8.4 Q11,-10 14.6,-7.6", None, look.hair.dark, 1.3 if woman else 2.0)


def _up_face(pen: Pen, look: Look, woman: bool) -> None:
    """The features of a face that is tilted back: all of them high, the jaw seen from below."""
    pen.path(
        "M-15.5,3 C-13,11 -5,11.5 0,11.5 C5,11.5 13,11 15.5,3 C16,11 9,17 0,17 C-9,17 -16,11 -15.5,3Z", look.skin.dark
    )
    pen.ellipse(0, 6, 7, 4.4, radial(look.skin.light, look.skin.base), ghost=True)
    pen.path("M-14.5,5 C-11,11 -5,11.6 0,11.6 C5,11.6 11,11 14.5,5", None, look.skin.line, 1.1)
    for side in (-1, 1):
        _eye(pen, look, side * 7, -9.8, 4.2, 3.0, (0, -1.5), woman)
        pen.path(f"M{side * 3.5},-14.6 Q{side * 7},-16 {side * 11},-13.8", None, look.hair.dark, 1.2 if woman else 1.7)
        pen.ellipse(side * 1.5, -4.6, 0.9, 0.7, look.skin.line)
    pen.path("M-3.4,-4.4 Q-3.6,-9 0,-9.4 Q3.6,-9 3.4,-4.4 Q0,-2.4 -3.4,-4.4Z", None, look.skin.line, 1.0)


def _down_face(pen: Pen, look: Look, woman: bool) -> None:
    """The features of a bowed face: all of them low, the lids lowered."""
    for side in (-1, 1):
        pen.path(f"M{side * 3},9 Q{side * 7},13 {side * 11},8.4", None, INK, 1.9)
        if woman:
            pen.line([(side * 10.4, 9.6), (side * 12.4, 11.4)], INK, 1.2)
        pen.path(f"M{side * 3},5.8 Q{side * 7},5.2 {side * 12},5.6", None, look.hair.dark, 1.2 if woman else 1.8)
    pen.path(
        "M-2.2,8 C-4,14 -2,15 0,15 C2,15 4,14 2.2,8", mix(look.skin.base, look.skin.light, 0.6), look.skin.line, 1.0
    )


FEATURES = {"front": _front_face, "side": _side_face, "up": _up_face, "down": _down_face}
EARS = {"front": 1.0, "up": 4.0, "down": -3.0}


def _mouth(pen: Pen, look: Look, view: str, woman: bool, eating: bool) -> None:
    """The mouth; on a beard it has to be light."""
    x, y = MOUTH[view]
    lip = mix(look.skin.dark, (150, 50, 46), 0.7) if woman else look.skin.line
    if look.beard:
        lip = mix(look.skin.base, (190, 100, 84), 0.4)
    if eating:
        pen.ellipse(x - (2 if view == "side" else 0), y, 4.2, 3.4, (96, 38, 36), lip, 1.0)
    elif view == "side":
        pen.path(f"M{x + 0.6},{y} Q{x - 3},{y + 2} {x - 6},{y - 0.6}", None, lip, 1.7)
    elif view == "down":
        pen.path(f"M{x - 3},{y} Q{x},{y + 1.6} {x + 3},{y}", None, lip, 1.4)
    elif view == "up":
        pen.path(f"M{x - 4.6},{y} Q{x},{y - 1.4} {x + 4.6},{y} Q{x},{y + 3.2} {x - 4.6},{y}Z", lip, lip, 0.6)
    else:
        pen.path(f"M{x - 5.4},{y - 1} Q{x},{y + 4.4} {x + 5.4},{y - 1}", None, lip, 1.8)


def _hair_back(pen: Pen, look: Look, view: str) -> None:
    """The hair that hangs behind neck and shoulders."""
    if d := HAIR_BACK.get((look.style, view)):
        pen.path(d, look.hair.dark, look.hair.line, 1.0)


def _bun(pen: Pen, look: Look, view: str) -> None:
    x, y, r = BUN[view]
    fill = radial(mix(look.hair.base, look.hair.light, 0.6), look.hair.base, centre=(0.4, 0.35), radius=0.7)
    pen.ellipse(x, y, r, r * 0.92, fill, look.hair.line, 1.1)
    pen.path(f"M{x - r * 0.5:.1f},{y + 1} Q{x},{y + r * 0.7:.1f} {x + r * 0.6:.1f},{y - 1}", None, look.hair.dark, 1.0)


def _hat(pen: Pen, look: Look, view: str) -> None:
    """A bobble hat, worn as the head is tilted."""
    tone = look.hat
    brim = {"front": -8, "side": -8, "up": -13, "down": 2}[view]
    bobble = {"front": (0, -29), "side": (-4, -29), "up": (0, -24), "down": (0, -19)}[view]
    if view != "down":
        pen.ellipse(*bobble, 5.6, None, tone.light, tone.line, 1.0)
    top = -36 if view == "down" else -31
    low, high = (brim + top) / 2, (brim + 3 * top) / 4
    pen.path(
        f"M-18,{brim} C-19,{low} -9.5,{high} 0,{high} C9.5,{high} 19,{low} 18,{brim} Q0,{brim - 3} -18,{brim}Z",
        linear(tone.light, tone.base, tone.dark, angle=0),
        tone.line,
        1.0,
    )
    pen.path(f"M-18,{brim - 1} Q0,{brim - 4} 18,{brim - 1}", None, tone.line, 7.6)
    pen.path(f"M-18,{brim - 1} Q0,{brim - 4} 18,{brim - 1}", None, tone.light, 6)
    if view == "down":
        pen.ellipse(*bobble, 6, None, tone.light, tone.line, 1.0)


def _head(pen: Pen, look: Look, view: str, woman: bool, eating: bool, hat: bool) -> None:
    """A head around its centre; the side view looks right."""
    skin, hair = look.skin, look.hair
    if look.style == "bun" and view != "down" and not hat:
        _bun(pen, look, view)
    if view in EARS and not (view == "down" and woman):
        for side in (-1, 1):
            pen.ellipse(side * 16.6, EARS[view], 3.6, 4.6, skin.base, skin.line, 1.0)
    light = radial(skin.light, skin.base, centre=(0.4, 0.35), radius=0.75)
    pen.path(FACE[view], light, skin.line, 1.1)
    if view == "side":
        pen.path("M-12,10 C-4,6 0,12 8,19.5 C0,19 -4,16 -6,12Z", skin.dark, opacity=0.5, ghost=True)
    FEATURES[view](pen, look, woman)
    if look.beard:
        pen.path(BEARD[view], hair.base, hair.line, 0.8)
    _mouth(pen, look, view, woman, eating)
    if d := HAIR_FRONT.get((look.style, view)):
        pen.path(d, linear(mix(hair.base, hair.light, 0.4), hair.base), hair.line, 1.0)
    if view == "side" and look.style in ("short", "bald", "bun"):
        pen.ellipse(-4.5, 2.5, 3.6, 4.8, skin.base, skin.line, 1.0)
        pen.path("M-3,0 Q-6.5,1 -4,5", None, skin.line, 0.9)
    if view == "down" and not hat:
        _crown(pen, look)
    if hat:
        _hat(pen, look, view)


def _crown(pen: Pen, look: Look) -> None:
    """The top of a bowed head: a parting, a whorl, a bun or the shine of a bald pate."""
    if look.style == "bun":
        _bun(pen, look, "down")
    elif look.style == "bald":
        pen.ellipse(-3, -11, 8, 5, look.skin.light, opacity=0.8, ghost=True)
    elif look.style == "short":
        pen.path("M-8,-8 Q-6,-16 1,-15 Q8,-13 4,-8 Q0,-5 -1,-10", None, look.hair.dark, 1.5)
    else:
        pen.line([(0, -21), (0, -3)], mix(look.skin.base, look.hair.base, 0.3), 1.6)


def _stool(pen: Pen) -> None:
    wood = shades((176, 142, 98))
    pen.rect(-36, -44, 42, 44, linear(wood.base, wood.dark, angle=0), wood.line, 1.2, r=1.5)
    pen.rect(-38, -48, 46, 7, linear(wood.light, wood.base), wood.line, 1.2, r=2)
    pen.rect(-28, -34, 26, 26, wood.dark, wood.line, 0.8, r=2)


def _skis(pen: Pen) -> None:
    """Two skis with turned-up tips, set apart by depth."""
    tone = shades((84, 90, 104))
    for dx, dy in ((-6, -6), (4, 0)):
        with pen.at(dx, dy):
            pen.line([(-56, -2), (50, -2), (58, -5), (63, -11)], tone.line, 5.4)
            pen.line([(-56, -2), (50, -2), (58, -5), (63, -11)], tone.light, 3.4)


def _pole(pen: Pen, hand: Point, tip: Point) -> None:
    """A ski pole through a hand, with its basket."""
    grip = _along(tip, hand, 1.1)
    pen.line([grip, tip], (60, 62, 70), 2.6)
    pen.line([grip, _along(tip, hand, 0.94)], (34, 34, 40), 4.4)
    pen.ellipse(*_along(hand, tip, 0.88), 6, 2.2, (70, 72, 80), (40, 40, 46), 0.8)


def _board(pen: Pen) -> None:
    """A skateboard with both ends turned up."""
    deck = shades((150, 116, 78))
    for x in (-26, 26):
        pen.rect(x - 4, -11, 8, 6, (150, 152, 158), (80, 82, 88), 0.8)
        pen.ellipse(x, -5.4, 5.4, None, (236, 232, 220), (84, 84, 90), 1.2)
        pen.ellipse(x, -5.4, 1.8, None, (110, 110, 116))
    points = [(-54, -19), (-44, -12.6), (44, -12.6), (54, -19)]
    pen.line(points, deck.line, 6)
    pen.line(points, deck.base, 4)
    pen.line([(x, y - 1.6) for x, y in points], (60, 60, 64), 1.8)


def _book(pen: Pen) -> None:
    """An open book with its pages towards the light, around its lower middle."""
    cover, page, ink = (74, 70, 78), (250, 247, 236), (130, 128, 130)
    pen.path("M0,3 L-25,0 L-23,-25 L0,-20 L23,-25 L25,0Z", cover, (36, 34, 40), 1.2)
    for side in (-1, 1):
        d = (
            f"M0,-0.5 C{side * 6},-4 {side * 15},-4 {side * 22},-2.5 L{side * 20.5},-23 "
            f"C{side * 14},-25 {side * 6},-23 0,-19Z"
        )
        pen.path(d, linear(page, mix(page, cover, 0.16), angle=0 if side < 0 else 180), (120, 116, 110), 0.8)
        for y in (-18.5, -14, -9.5):
            pen.line([(side * 4.5, y), (side * 17.5, y - 2)], ink, 1.3)
    pen.line([(0, 0), (0, -19)], (110, 106, 104), 1.2)


def _slice(pen: Pen) -> None:
    """A slice of pizza: its tip, bitten, at the origin, its crust at x = 30."""
    pen.polygon([(1, 0), (29, -14), (29, 14)], linear((250, 214, 104), (236, 178, 66), angle=0), (150, 92, 36), 1.1)
    for x, y in ((12, -0.5), (22, 6), (22.5, -5.5)):
        pen.ellipse(x, y, 3.5, None, (196, 60, 40), (132, 36, 28), 0.6)
    pen.line([(30, -14), (30, 14)], (132, 78, 34), 7.4)
    pen.line([(30, -14), (30, 14)], (206, 142, 74), 5.6)


def _plate(pen: Pen) -> None:
    """A plate seen from a little above, with what is left of the meal."""
    pen.ellipse(0, 0, 15, 4.4, (246, 246, 244), (112, 116, 124), 1.1)
    pen.ellipse(0, -0.6, 9.5, 2.4, (222, 224, 228))
    pen.path("M-7,-1 Q0,-9 7,-1Z", (216, 160, 80), (140, 90, 40), 0.8)


def _phone(pen: Pen, tone: Shades) -> None:
    """A telephone around its centre, its back towards us."""
    with pen.part("phone"):
        pen.rect(-6.5, -11.5, 13, 23, tone.base, mix(tone.line, (20, 20, 24), 0.5), 1.4, r=2.6)
        pen.path("M-4.6,9.6 L-4.6,-9.6", None, tone.light, 1.4, opacity=0.8)
        pen.rect(-0.6, -9.6, 5.4, 5.4, tone.dark, tone.line, 0.5, r=1.4)
        pen.ellipse(2.1, -6.9, 1.4, None, (24, 26, 32))


def _props_behind(pen: Pen, activity: str, pose: Pose) -> None:
    """What a person sits or stands on, and what is held behind."""
    if activity == "sitting":
        _stool(pen)
    elif activity == "skiing":
        _skis(pen)
        _pole(pen, pose.arms[0][2], (-52, -3))
    elif activity == "skateboarding":
        _board(pen)


def _person(
    pen: Pen, c: Shades, look: Look, b: Build, activity: str, gaze: str, holding: str | None, phone: Shades | None
) -> None:
    """A person of build ``b``; the pose is one that :mod:`qgc.scenes.schema` lets through."""
    # Who looks aside also turns, eats and holds a phone to that side.
    facing = {"left": -1, "right": 1}.get(gaze, look.facing)
    view = {"left": "side", "right": "side", "at camera": "front"}.get(gaze, gaze)
    pose = _pose(activity, b)
    hat = activity == "skiing"
    if hat:
        look = replace(look, long_sleeves=True, skirt=False, style="bob" if look.style == "bun" else look.style)
    head = (pose.neck[0] + HEAD_AT[view][0], pose.neck[1] + HEAD_AT[view][1])
    mouth = (head[0] + MOUTH[view][0], head[1] + MOUTH[view][1])
    over = ()  # arms before the face, drawn last
    if holding:
        over = ((1, (pose.neck[0] + b.shoulder + 14, pose.neck[1] + 30), (pose.neck[0] + 34, pose.neck[1] + 12)),)
    elif activity == "eating":
        over = ((1, (b.shoulder + 18, -108), (mouth[0] + 21, mouth[1] + 14)),)
    elif activity == "reading":
        over = pose.arms
    under = tuple(arm for arm in pose.arms if arm[0] not in [a[0] for a in over])

    with pen.at(scale=b.scale):
        with pen.at(scale=(facing, 1)):
            _props_behind(pen, activity, pose)
            with pen.at(*head):
                _hair_back(pen, look, view)
            _legs(pen, b, look, pose)
            pen.line([(pose.neck[0], pose.neck[1] + 3), (head[0], head[1] + 8)], look.skin.line, 12.5)
            _trunk(pen, c, b, look, pose)
            pen.line([(pose.neck[0], pose.neck[1] + 1), (head[0], head[1] + 8)], look.skin.dark, 11)
            if activity == "skiing":
                _pole(pen, pose.arms[1][2], (56, -1))
            for arm in under:
                is_open = activity == "jumping" or (activity == "waving" and arm[0] > 0)
                _arm(pen, c, b, look, pose, arm, open_hand=is_open)
            if activity == "eating":
                x, y = pose.arms[0][2]
                with pen.at(x - 2, y - 8):
                    _plate(pen)
            with pen.at(*head):
                _head(pen, look, view, b is WOMAN, activity == "eating", hat)
            for arm in over:
                _held(pen, activity, mouth, arm, phone)
                _arm(pen, c, b, look, pose, arm)


def _held(pen: Pen, activity: str, mouth: Point, arm, phone: Shades | None) -> None:
    """The object in a hand that is before the body; the fingers come over it."""
    side, _, hand = arm
    if activity == "eating":
        with pen.at(*mouth, angle=math.degrees(math.atan2(hand[1] - mouth[1], hand[0] - mouth[0]))):
            _slice(pen)
    elif activity == "reading":
        if side < 0:  # one book for both hands
            with pen.at(0, -97):
                _book(pen)
    else:
        with pen.at(hand[0] + 1, hand[1] - 13.5, angle=8, scale=1.1):
            _phone(pen, phone or shades((34, 36, 42)))


@thing("man", size=(90, 175), colours="any")
def man(
    pen: Pen,
    c: Shades,
    rng: np.random.Generator,
    activity: str = "standing",
    gaze: str = "at camera",
    holding: str | None = None,
    phone: Shades | None = None,
) -> None:
    """A man with a shirt of color ``c``: short hair or none, broad shoulders, trousers."""
    look = _look(rng, (("short", False), ("short", False), ("short", True), ("bald", True)), skirts=False)
    _person(pen, c, look, MAN, activity, gaze, holding, phone)


@thing("woman", size=(90, 165), colours="any")
def woman(
    pen: Pen,
    c: Shades,
    rng: np.random.Generator,
    activity: str = "standing",
    gaze: str = "at camera",
    holding: str | None = None,
    phone: Shades | None = None,
) -> None:
    """A woman with a top of color ``c``: long hair, a bob or a bun, a waist, trousers or a skirt."""
    look = _look(rng, (("long", False), ("long", False), ("bob", False), ("bun", False)), skirts=True)
    _person(pen, c, look, WOMAN, activity, gaze, holding, phone)
