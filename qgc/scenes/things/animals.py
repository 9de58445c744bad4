"""Animals that stand on the floor, seen from the side; each is known by its ears, tail and snout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ..svg import RGB, Pen, Shades, linear, mix, radial
from .registry import thing

INK: RGB = (24, 22, 26)
HORN: RGB = (84, 74, 66)


@contextmanager
def _facing(pen: Pen, rng: np.random.Generator) -> Iterator[None]:
    """Animals are set down facing right; chance mirrors them."""
    with pen.at(scale=(1 if rng.random() < 0.5 else -1, 1)):
        yield


def _coat(c: Shades):
    """Fur that is lit from above; the light side stays weak, so that the color keeps its name."""
    return linear((0.0, mix(c.base, c.light, 0.35)), (0.45, c.base), (1.0, mix(c.base, c.dark, 0.7)))


def _far(c: Shades) -> RGB:
    """The coat of a leg on the far side."""
    return mix(c.base, c.dark, 0.85)


def _is_dark(c: Shades) -> bool:
    """Whether marks on this coat have to be light to be seen."""
    return sum(c.base) < 200


def _mark(c: Shades) -> RGB:
    """A line that shows on the coat."""
    return mix(c.base, (235, 232, 225), 0.55) if _is_dark(c) else c.line


def _eye(pen: Pen, x: float, y: float, r: float, iris: RGB) -> None:
    """A round eye: iris, pupil and a glint."""
    pen.ellipse(x, y, r, None, iris, INK, r * 0.3)
    pen.ellipse(x + r * 0.1, y, r * 0.6, None, INK)
    pen.ellipse(x + r * 0.3, y - r * 0.35, r * 0.26, None, (255, 255, 255))


@thing("cat", size=(60, 55), colours=("black", "white", "gray", "orange", "brown"))
def cat(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A cat that sits sideways with its tail raised and looks at us."""
    collar = ((96, 100, 110), (70, 62, 58))[rng.integers(2)]
    with _facing(pen, rng):
        tail = "M-14,-4 C-28,-2 -30,-16 -25,-24 C-22,-30 -24,-36 -28,-37"
        pen.path(tail, None, c.line, 7.6)
        pen.path(tail, None, c.base, 6)
        pen.path("M14,-1 L13,-24 L20,-24 L21,-1Z", _far(c), c.line, 0.8)
        pen.path(
            "M0,-36 C-12,-32 -20,-20 -20,-8 C-20,-2 -16,0 -10,0 L16,0 "
            "C18,-2 16,-4 14,-4 L16,-18 C20,-24 20,-32 16,-36Z",
            _coat(c),
            c.line,
            1.0,
        )
        pen.path("M-10,-2 C-14,-14 -4,-20 3,-13 C7,-8 4,-3 1,-1", None, _mark(c), 1.0)
        pen.ellipse(2, -2.2, 6, 2.4, c.base, c.line, 0.9)
        pen.ellipse(15, -2.2, 5, 2.4, c.base, c.line, 0.9)
        pen.path("M3,-29 C8,-26 14,-26 19,-29", None, collar, 2.8)
        _cat_head(pen, c)


def _cat_head(pen: Pen, c: Shades) -> None:
    with pen.at(11, -39):
        for side in (-1, 1):
            pen.path(f"M{side * 13},-2 L{side * 13.5},-18 L{side * 2},-10Z", c.base, c.line, 1.0)
            pen.path(f"M{side * 11.4},-6 L{side * 11.6},-14 L{side * 5.6},-9.4Z", mix(c.base, (214, 160, 140), 0.55))
        pen.path(
            "M0,-12 C10,-12 15,-5 15,1 C15,8 8,12 0,12 C-8,12 -15,8 -15,1 C-15,-5 -10,-12 0,-12Z",
            radial(mix(c.base, c.light, 0.35), c.base, centre=(0.42, 0.3), radius=0.7),
            c.line,
            1.0,
        )
        for side in (-1, 1):
            pen.ellipse(side * 6, -1.4, 3.4, 3.2, (206, 208, 92), INK, 0.8)
            pen.ellipse(side * 6, -1.4, 1.3, 2.8, INK)
            pen.path(f"M{side * 0.2},6 Q{side * 2.5},9 {side * 5},6.6", None, _mark(c), 1.0)
            for dy in (-0.6, 2.4):
                pen.line([(side * 6.5, 5 + dy * 0.4), (side * 18, 4 + dy * 1.6)], _mark(c), 0.6, ghost=True)
        pen.polygon([(-2, 3), (2, 3), (0, 5.4)], (190, 122, 108), INK, 0.5)
        for x in (-3.5, 0, 3.5):
            pen.line([(x, -11), (x * 0.8, -7.5)], c.dark, 1.1, ghost=True)


@thing("dog", size=(80, 70), colours=("black", "white", "gray", "brown", "yellow"))
def dog(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A dog that stands with hanging ears, a long snout, its tongue out and its tail up."""
    collar = ((96, 100, 110), (66, 84, 116))[rng.integers(2)]
    with _facing(pen, rng):
        tail = "M-25,-39 C-33,-43 -37,-51 -34,-60"
        pen.path(tail, None, c.line, 6.6)
        pen.path(tail, None, c.base, 5)
        for x in (-13, 16):
            pen.path(
                f"M{x - 4},-24 L{x - 3},-1 L{x + 6},-1 C{x + 6},-4 {x + 4},-5 {x + 3},-5 L{x + 4},-24Z",
                _far(c),
                c.line,
                0.9,
            )
        pen.path(
            "M-27,-40 C-22,-46 -8,-44 4,-45 C8,-50 10,-56 14,-60 L30,-48 C26,-42 26,-36 24,-28 C22,-22 16,-20 8,-21 "
            "C-2,-25 -8,-25 -14,-22 C-24,-20 -30,-30 -27,-40Z",
            _coat(c),
            c.line,
            1.0,
        )
        pen.path(
            "M-28,-34 C-27,-24 -28,-20 -26,-14 L-27,-1 C-27,0 -18,0 -17,-1 C-17,-4 -19,-5 -20,-5 L-19,-14 "
            "C-13,-18 -12,-24 -13,-28",
            mix(c.base, c.dark, 0.25),
            c.line,
            1.0,
        )
        pen.path(
            "M7,-28 L8,-1 C8,0 17,0 18,-1 C18,-4 16,-5 15,-5 L16,-22",
            mix(c.base, c.dark, 0.25),
            c.line,
            1.0,
        )
        pen.line([(9.5, -51), (26, -42.5)], collar, 4.2)
        pen.ellipse(23.5, -39.6, 2.2, None, (206, 178, 92), (110, 90, 40), 0.6)
        _dog_head(pen, c)


def _dog_head(pen: Pen, c: Shades) -> None:
    pen.path("M29,-48 C30,-42 34,-41 35,-44 L35,-49Z", (206, 96, 92), (140, 56, 56), 0.8)
    pen.path(
        "M8,-60 C8,-68 16,-72 23,-70 C27,-69 29,-66 30,-63.5 C34,-63 39,-62 40,-58 C41,-53 37,-49 32,-48 "
        "C26,-46 18,-46 13,-50 C10,-53 8,-56 8,-60Z",
        radial(mix(c.base, c.light, 0.35), c.base, centre=(0.5, 0.25), radius=0.7),
        c.line,
        1.0,
    )
    pen.path("M40,-54.5 C36,-51 31,-51.5 28,-52.5", None, _mark(c), 1.2)
    pen.ellipse(38.6, -60.6, 3.3, 2.6, INK, (90, 88, 92) if _is_dark(c) else INK, 0.6)
    _eye(pen, 26, -62.5, 2.5, (242, 238, 230) if _is_dark(c) else (110, 74, 42))
    pen.path(
        "M14,-69 C6,-70 3,-60 4,-52 C5,-46 11,-45 13,-50 C15,-56 19,-62 18,-67Z", mix(c.base, c.dark, 0.8), c.line, 1.0
    )


@thing("bird", size=(44, 36), colours=("black", "white", "gray", "red", "orange", "yellow", "green", "blue", "brown"))
def bird(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A plump bird on thin legs, with a pointed beak and a folded wing."""
    tilt = rng.uniform(-4, 4)
    with _facing(pen, rng):
        for x in (-1, 5):
            pen.line([(x, -8), (x + 1, -0.8)], HORN, 1.4)
            pen.line([(x - 2, -0.7), (x + 5, -0.7)], HORN, 1.4)
        with pen.at(0, -18, angle=tilt):
            pen.path("M-9,-1 L-20,-7 L-21.5,-1.5 L-18,1.5 L-8,6Z", mix(c.base, c.dark, 0.8), c.line, 0.9)
            beak = "M13.5,-11.5 L21.5,-8 L13.5,-5.5Z"
            pen.path(beak, linear((250, 190, 70), (226, 138, 40)), (120, 70, 24), 0.8)
            pen.path(
                "M9,-17 C14,-17 17,-12 15.5,-7.5 C16.5,4 9,12 -1,12 C-9,12 -15,6 -14,-1 "
                "C-11,-6 -4,-7 0,-11 C2,-15 5,-17 9,-17Z",
                _coat(c),
                c.line,
                1.0,
            )
            pen.ellipse(7, 4, 6, 6.5, radial((0.0, c.light, 0.75), (1.0, c.light, 0.0)), ghost=True)
            pen.path(
                "M1,-5 C5,0 3,7 -3,8 C-9,8 -15,5 -19,1 C-14,-1 -10,-3 -7,-5 C-4,-6.5 -1,-7 1,-5Z",
                mix(c.base, c.dark, 0.75),
                c.line,
                0.9,
            )
            for dy in (0, 3):
                pen.path(f"M-11,{dy + 0.5} Q-5,{dy + 3} 0,{dy - 1}", None, _mark(c), 0.8)
            _eye(pen, 10.4, -11, 1.9, (244, 240, 232))


@thing("horse", size=(190, 170), colours=("black", "white", "brown", "gray"))
def horse(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A horse that stands with its neck up, with mane, long tail and hooves."""
    blaze = rng.random() < 0.5
    # Mane and tail: darker than the coat, on a black coat lighter, on a white one gray.
    hair = mix(c.base, (150, 150, 158), 0.4) if _is_dark(c) else mix(c.base, (34, 28, 28), 0.6)
    with _facing(pen, rng):
        tail = (
            "M-66,-104 C-84,-104 -88,-80 -86,-60 C-86,-48 -90,-40 -88,-34 "
            "C-76,-38 -70,-52 -70,-66 C-70,-80 -66,-88 -60,-94Z"
        )
        pen.path(tail, linear(hair, mix(hair, INK, 0.25)), mix(hair, INK, 0.5), 1.4)
        _horse_leg(pen, -46, _far(c), c, back=True)
        _horse_leg(pen, 46, _far(c), c, back=False)
        pen.path(
            "M-68,-100 C-62,-114 -44,-114 -28,-110 C-8,-106 10,-108 24,-112 C36,-122 46,-138 58,-152 "
            "L82,-138 C72,-124 66,-108 60,-92 C56,-76 48,-66 38,-62 C12,-58 -12,-60 -30,-64 "
            "C-52,-60 -72,-74 -68,-100Z",
            _coat(c),
            c.line,
            1.6,
        )
        near = mix(c.base, c.dark, 0.2)
        _horse_leg(pen, -58, near, c, back=True)
        _horse_leg(pen, 34, near, c, back=False)
        mane = (
            "M54,-160 C40,-152 30,-136 22,-118 C20,-112 22,-106 26,-104 "
            "C30,-110 36,-112 38,-118 C42,-126 50,-132 54,-142Z"
        )
        pen.path(mane, hair, mix(hair, INK, 0.5), 1.4)
        _horse_head(pen, c, hair, blaze)


def _horse_leg(pen: Pen, x: float, paint: RGB, c: Shades, *, back: bool) -> None:
    """One leg with its hoof; a hind leg has its hock behind."""
    bend = -5 if back else 1
    top = 13 if back else 9
    with pen.at(x, 0):
        pen.path(
            f"M{-top},-76 C{-top},-60 {bend - 6},-48 {bend - 6},-40 L-6,-12 L-7,-6 L7,-6 L5,-14 L{bend + 6},-40 "
            f"C{bend + 9},-50 {top},-60 {top},-76",
            paint,
            c.line,
            1.4,
        )
        pen.path("M-7,-8 L-9,0 L10,0 L7,-8Z", HORN, INK, 1.0)


def _horse_head(pen: Pen, c: Shades, hair: RGB, blaze: bool) -> None:
    for x in (58, 66):
        pen.path(f"M{x - 4},-154 L{x + 1},-171 L{x + 7},-154Z", c.base, c.line, 1.2)
    pen.path(
        "M52,-150 C54,-160 66,-162 72,-157 C80,-148 88,-138 94,-128 C96,-122 94,-116 88,-115 C82,-114 78,-118 74,-124 "
        "C66,-128 56,-130 52,-138 C51,-142 51,-146 52,-150Z",
        _coat(c),
        c.line,
        1.5,
    )
    pen.path(
        "M94,-127 C95,-121 94,-116 88,-115 C83,-114.5 80,-117 77,-120 C82,-121 86,-127 91,-131Z",
        mix(c.base, c.dark, 0.9),
    )
    if blaze:
        pen.path("M72,-156 C78,-149 84,-141 88,-134 L84.5,-134 C80,-142 75,-149 72,-156Z", (244, 240, 230), c.dark, 0.5)
    pen.ellipse(89, -124, 1.7, 2.1, INK)
    pen.path("M92,-118 Q87,-118 83,-121", None, _mark(c), 1.2)
    _eye(pen, 69, -147, 3.2, (236, 228, 214) if _is_dark(c) else (92, 60, 38))
    pen.path("M56,-163 C62,-168 70,-164 74,-152 C68,-156 60,-156 54,-152Z", hair, mix(hair, INK, 0.5), 1.0)


@thing("rabbit", size=(45, 50), colours=("white", "gray", "brown", "black"))
def rabbit(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A rabbit that crouches, with two long ears and a round white tail."""
    lean = rng.uniform(-6, 6)
    with _facing(pen, rng):
        pen.ellipse(-20, -9, 5, None, radial((255, 255, 255), (226, 226, 228)), (130, 130, 136), 0.9)
        for x, y, angle, paint in ((8, -29, -20, _far(c)), (12, -29, 2, c.base)):
            with pen.at(x, y, angle=angle + lean):
                pen.path("M-3,2 C-6,-8 -4.5,-19 0,-21 C4.5,-19 6,-8 3,2Z", paint, c.line, 1.0)
                pen.path("M-1.2,0 C-2.6,-8 -2,-14 0,-16.5 C2,-14 2.6,-8 1.2,0Z", mix(c.base, (222, 164, 148), 0.6))
        pen.path(
            "M-18,-8 C-18,-20 -8,-26 2,-24 C10,-23 14,-16 13,-6 L14,0 L-10,0 C-16,0 -18,-3 -18,-8Z",
            _coat(c),
            c.line,
            1.0,
        )
        pen.path("M-13,-2 C-17,-12 -8,-18 -1,-13 C4,-9 2,-4 -1,-1", None, _mark(c), 1.0)
        pen.ellipse(-3, -2, 8, 2.4, c.base, c.line, 0.9)
        pen.ellipse(12, -2, 4.6, 2.2, c.base, c.line, 0.9)
        pen.path(
            "M2,-25 C2,-32 9,-35 14,-33 C19,-32 23,-27 23,-23 C23,-18 17,-15 12,-15 C6,-15 2,-19 2,-25Z",
            radial(mix(c.base, c.light, 0.35), c.base, centre=(0.45, 0.25), radius=0.7),
            c.line,
            1.0,
        )
        _eye(pen, 14.6, -26, 2.3, (238, 232, 222) if _is_dark(c) else (92, 56, 44))
        pen.ellipse(22.3, -23.6, 1.5, 1.2, (200, 132, 120), INK, 0.4)
        pen.path("M22,-21.6 Q20,-19.4 18,-20.4", None, _mark(c), 0.9)
        for dy in (-0.8, 1.4):
            pen.line([(19, -21.5), (10, -20.5 + dy)], _mark(c), 0.5, ghost=True)
