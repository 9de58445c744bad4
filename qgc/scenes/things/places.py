"""Places: the quiet background of a scene, a wall over a floor or a sky over the ground.

Coordinates here are pixels of an image of :data:`SIDE` by :data:`SIDE`, y down. A place paints two
parts that between them cover the image: the upper one to the pixel row ``horizon``, the lower one
from there. All detail is a tint of its part's own color, so that the part's color term stays plain
and what stands in front stands out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..svg import RGB, Pen, Shades, linear, mix, shades
from ..vocabulary import COLOURS
from .outdoors import path_data, scallop

SIDE = 224.0
MIDDLE = SIDE / 2
EYE = 62.0  # how far above the foot of a wall the floor's lines meet: the wall stands before the horizon
WHITE: RGB = (255, 255, 255)
NIGHT: RGB = (20, 22, 38)
HAZE = shades((150, 158, 168))
FOLIAGE = shades((98, 148, 104))


@dataclass(frozen=True)
class Place:
    """One kind of background.

    ``upper`` and ``lower`` name its two parts, with the color terms that each comes in; ``draw`` takes
    ``(pen, tones, rng, horizon)`` with ``tones`` the :class:`~qgc.scenes.svg.Shades` of both parts and
    ``horizon`` the pixel row at which they meet. ``answer`` is the reply to "Where is this?".
    """

    name: str
    upper: str
    lower: str
    draw: Callable
    indoors: bool
    upper_colours: tuple[str, ...]
    lower_colours: tuple[str, ...]
    answer: str


PLACES: dict[str, Place] = {}


def place(name: str, *, upper="sky", lower="floor", upper_colours=COLOURS, lower_colours=COLOURS):
    """Register the decorated drawing function as a :class:`Place`; one with a wall is indoors."""

    def register(draw):
        PLACES[name] = Place(name, upper, lower, draw, upper == "wall", upper_colours, lower_colours, name)
        return draw

    return register


def tint(c: Shades, t: float) -> RGB:
    """A tone near ``c``: towards its dark side, or towards the light one where the paint is black."""
    return mix(c.base, c.light if sum(c.base) < 180 else c.dark, t)


def pale(c: Shades, t: float) -> RGB:
    """A tone lighter than ``c`` by a fraction ``t`` of the way to its light side."""
    return mix(c.base, c.light, t)


# ---------------------------------------------------------------------------------------------- rooms


def graded(pen: Pen, top: float, bottom: float, *stops: tuple[float, RGB], step: float = 6.0) -> None:
    """The full width from ``top`` to ``bottom`` in a vertical gradient of ``(offset, colour)`` stops.

    Drawn as flat strips, each reaching to the bottom so that none leaves a seam: a renderer fills
    them many times faster than one gradient over half the image.
    """
    count = max(1, math.ceil((bottom - top) / step))
    for i in range(count):
        y, t = top + i * (bottom - top) / count, (i + 0.5) / count
        (t0, a), (t1, b) = next(p for p in zip(stops, stops[1:], strict=False) if t <= p[1][0])
        pen.rect(0, y, SIDE, bottom - y, mix(a, b, (t - t0) / (t1 - t0)))


def _wall(pen: Pen, c: Shades, horizon: float) -> None:
    """The bare wall, a little darker towards its foot."""
    graded(pen, 0, horizon, (0, pale(c, 0.1)), (0.6, c.base), (1, tint(c, 0.12)))


def _light_on_wall(pen: Pen, horizon: float) -> None:
    """A shade along the foot of the wall (the light itself is added to the pixels, see render.py)."""
    pen.rect(0, horizon - 26, SIDE, 26, linear((0, NIGHT, 0.0), (1, NIGHT, 0.1)), ghost=True)


def _light_on_floor(pen: Pen, horizon: float) -> None:
    """The wall's soft shade on the floor."""
    pen.rect(0, horizon, SIDE, 18, linear((0, NIGHT, 0.2), (1, NIGHT, 0.0)), ghost=True)


def _skirting(pen: Pen, c: Shades, horizon: float, high: float = 7.0) -> None:
    """A skirting board in a light tint of the wall."""
    pen.rect(0, horizon - high, SIDE, high, pale(c, 0.55))
    pen.line([(0, horizon - high), (SIDE, horizon - high)], tint(c, 0.75), 0.8, cap="butt")
    pen.line([(0, horizon - high + 2), (SIDE, horizon - high + 2)], tint(c, 0.3), 0.6, cap="butt")


def _spread(y: float, eye: float) -> float:
    """How wide a length of one at the bottom of the image looks at row ``y``."""
    return (y - eye) / (SIDE - eye)


def _rows(horizon: float, eye: float, count: int) -> list[float]:
    """Pixel rows, from the wall to the viewer, of ``count`` equally deep bands of floor."""
    far, near = 1 / (horizon - eye), 1 / (SIDE - eye)
    return [eye + 1 / (far + (near - far) * k / count) for k in range(count + 1)]


def _checks(pen: Pen, c: Shades, rng, horizon: float, contrast: float) -> None:
    """Square floor tiles in perspective, every other one tinted."""
    eye = horizon - EYE
    wide = rng.uniform(40, 56)
    shift = rng.uniform(0, wide)
    rows = _rows(horizon, eye, int(rng.integers(4, 6)))
    pen.rect(0, horizon, SIDE, SIDE - horizon, c.base)
    n = math.ceil(MIDDLE / _spread(horizon, eye) / wide) + 2

    def x(k: int, y: float) -> float:
        return MIDDLE + (k * wide + shift) * _spread(y, eye)

    for j, (y0, y1) in enumerate(zip(rows, rows[1:], strict=False)):
        for k in range(-n, n):
            if (j + k) % 2:
                pen.polygon([(x(k, y0), y0), (x(k + 1, y0), y0), (x(k + 1, y1), y1), (x(k, y1), y1)], tint(c, contrast))
    for y in rows[1:-1]:
        pen.line([(0, y), (SIDE, y)], tint(c, 0.75), 0.7, cap="butt")
    for k in range(-n, n):
        pen.line([(x(k, horizon), horizon), (x(k, SIDE), SIDE)], tint(c, 0.75), 0.7, cap="butt")


def _planks(pen: Pen, c: Shades, rng, horizon: float) -> None:
    """Floor boards that run towards the wall, with butt joints and a little grain."""
    eye = horizon - EYE
    wide = rng.uniform(24, 32)
    n = math.ceil(MIDDLE / _spread(horizon, eye) / wide) + 1
    pen.rect(0, horizon, SIDE, SIDE - horizon, c.base)

    def x(k: float, y: float) -> float:
        return MIDDLE + k * wide * _spread(y, eye)

    for k in range(-n, n):
        joint = horizon + (SIDE - horizon) * rng.uniform(0.06, 0.9)
        for y0, y1 in ((horizon, joint), (joint, SIDE)):
            tone = tint(c, rng.uniform(0.0, 0.3))
            pen.polygon([(x(k, y0), y0), (x(k + 1, y0), y0), (x(k + 1, y1), y1), (x(k, y1), y1)], tone)
            grain, top = k + rng.uniform(0.3, 0.7), y0 + (y1 - y0) * rng.uniform(0.15, 0.4)
            low = top + (y1 - y0) * 0.4
            pen.line([(x(grain, top), top), (x(grain, low), low)], tint(c, 0.45), 0.6)
        pen.line([(x(k, joint), joint), (x(k + 1, joint), joint)], tint(c, 0.9), 0.8, cap="butt")
    for k in range(-n, n):
        pen.line([(x(k, horizon), horizon), (x(k, SIDE), SIDE)], tint(c, 0.9), 0.8, cap="butt")


def _carpet(pen: Pen, c: Shades, rng, horizon: float) -> None:
    """A fitted carpet: short strokes of pile, longer the nearer they lie."""
    graded(pen, horizon, SIDE, (0, tint(c, 0.15)), (1, c.base))
    for _ in range(190):
        near = math.sqrt(rng.random())
        x, y = rng.uniform(0, SIDE), horizon + 3 + (SIDE - horizon - 3) * near
        size = 1 + 3 * near
        tone = tint(c, 0.5) if rng.random() < 0.5 else pale(c, 0.6)
        pen.line([(x, y), (x + rng.uniform(-1, 1), y - 0.7 * size)], tone, 0.5 + 0.5 * near)


def _window(pen: Pen, c: Shades, x: float, y: float, w: float, h: float) -> None:
    """A quiet window in tints of the wall, with drawn-back curtains."""
    pen.rect(x, y, w, h, linear(pale(c, 0.9), pale(c, 0.5)), tint(c, 0.6), 1.6)
    pen.line([(x + w / 2, y), (x + w / 2, y + h)], tint(c, 0.5), 1.4, cap="butt")
    pen.line([(x, y + 0.42 * h), (x + w, y + 0.42 * h)], tint(c, 0.5), 1.4, cap="butt")
    pen.rect(x - 4, y + h, w + 8, 3, pale(c, 0.5), tint(c, 0.6), 0.8)
    for s in (-1, 1):
        edge = x + w / 2 + s * (w / 2 + 9)
        d = path_data("M", edge, y - 5, "L", edge - s * 0.36 * w, y - 5)
        d += path_data(" Q", edge - s * 0.3 * w, y + 0.4 * h, edge - s * 4, y + 0.6 * h)
        d += path_data(" L", edge - s * 9, y + h + 9, "L", edge, y + h + 9, "Z")
        pen.path(d, tint(c, 0.3), tint(c, 0.65), 0.9)
        for k in (0.1, 0.2):
            pen.path(
                path_data("M", edge - s * k * w, y - 4, "Q", edge - s * k * w, y + 0.4 * h, edge - s * 3, y + 0.6 * h),
                None,
                tint(c, 0.55),
                0.7,
            )
    pen.line([(x - 14, y - 6), (x + w + 14, y - 6)], tint(c, 0.85), 2)


@place("bathroom", upper="wall")
def bathroom(pen: Pen, tones: dict[str, Shades], rng, horizon: float) -> None:
    """A tiled wall with a border of small tiles, over a tiled floor."""
    c = tones["wall"]
    size = rng.uniform(15, 19)
    brick = rng.random() < 0.4
    shift = rng.uniform(0, size)
    with pen.part("wall"):
        _wall(pen, c, horizon)
        high = size * (0.6 if brick else 1.0)
        rows = math.ceil(horizon / high)
        columns = math.ceil(SIDE / size) + 2
        for j in range(rows):
            y = horizon - (j + 1) * high
            for i in range(columns):
                x = shift + (i - 1.5 if brick and j % 2 else i - 1) * size
                tone = pale(c, rng.uniform(0.0, 0.35)) if rng.random() < 0.5 else tint(c, rng.uniform(0.0, 0.16))
                pen.rect(x, y, size, high, tone, tint(c, 0.65), 0.9)
                pen.line([(x + 1.6, y + high - 1.6), (x + 1.6, y + 1.6), (x + size - 3, y + 1.6)], pale(c, 0.8), 0.6)
        band = horizon - math.floor(0.68 * horizon / high) * high
        pen.rect(0, band - 6, SIDE, 6, tint(c, 0.5), tint(c, 0.9), 0.7)
        for k in range(math.ceil(SIDE / 8)):
            x = 8 * k + 4
            pen.polygon([(x - 4, band - 3), (x, band - 5.4), (x + 4, band - 3), (x, band - 0.6)], pale(c, 0.5))
        _light_on_wall(pen, horizon)
    with pen.part("floor"):
        _checks(pen, tones["floor"], rng, horizon, 0.28)
        _light_on_floor(pen, horizon)


@place("bedroom", upper="wall")
def bedroom(pen: Pen, tones: dict[str, Shades], rng, horizon: float) -> None:
    """Papered or painted wall with a curtained window, over boards or carpet."""
    c = tones["wall"]
    paper = int(rng.integers(3))
    wide = rng.uniform(9, 13)
    left = rng.random() < 0.5
    carpet = rng.random() < 0.5
    with pen.part("wall"):
        _wall(pen, c, horizon)
        for k in range(math.ceil(SIDE / wide)):
            if paper == 0 and k % 2:
                pen.rect(k * wide, 0, wide, horizon, tint(c, 0.2))
            elif paper == 1:
                for j in range(math.ceil(horizon / 13)):
                    x, y = (k + 0.5 + 0.5 * (j % 2)) * wide, 13 * j + 5
                    pen.path(
                        path_data("M", x - 2, y, "Q", x, y - 5, x + 2, y, "Q", x, y + 2, x - 2, y, "Z"), tint(c, 0.4)
                    )
        high = 0.48 * horizon
        _window(pen, c, 26 if left else 144, 0.16 * horizon, 54, high)
        _skirting(pen, c, horizon)
        _light_on_wall(pen, horizon)
    with pen.part("floor"):
        (_carpet if carpet else _planks)(pen, tones["floor"], rng, horizon)
        _light_on_floor(pen, horizon)


@place("living room", upper="wall")
def living_room(pen: Pen, tones: dict[str, Shades], rng, horizon: float) -> None:
    """Panel moldings, a cornice and a group of pictures in the wall's own tints, over boards."""
    c = tones["wall"]
    panels = int(rng.integers(3, 5))
    frames = [(rng.uniform(20, 27), rng.uniform(22, 30)) for _ in range(4)]
    with pen.part("wall"):
        _wall(pen, c, horizon)
        pen.rect(0, 0, SIDE, 7, pale(c, 0.5))
        for y, t in ((7, 0.6), (9.5, 0.3)):
            pen.line([(0, y), (SIDE, y)], tint(c, t), 0.9, cap="butt")
        rail = 0.7 * horizon
        wide = SIDE / panels
        for k in range(panels):
            for y0, y1 in ((18, rail - 7), (rail + 8, horizon - 14)):
                x = k * wide + 9
                pen.rect(x, y0, wide - 18, y1 - y0, None, tint(c, 0.5), 1.5)
                pen.line([(x + 1.6, y1 - 1.2), (x + 1.6, y0 + 1.6), (x + wide - 20, y0 + 1.6)], pale(c, 0.8), 0.8)
        pen.rect(0, rail - 2, SIDE, 4, pale(c, 0.5))
        pen.line([(0, rail + 2.4), (SIDE, rail + 2.4)], tint(c, 0.6), 0.9, cap="butt")
        for k in range(1, panels - 1):
            w, h = frames[k]
            x0, y0 = (k + 0.5) * wide - w / 2, (11 + rail) / 2 - h / 2
            pen.rect(x0, y0, w, h, pale(c, 0.7), tint(c, 0.75), 1.6)
            hill = [(x0 + 3, y0 + h - 3), (x0 + 0.4 * w, y0 + 0.45 * h), (x0 + 0.58 * w, y0 + 0.68 * h)]
            hill += [(x0 + 0.7 * w, y0 + 0.56 * h), (x0 + w - 3, y0 + h - 3)]
            pen.polygon(hill, tint(c, 0.3))
        _skirting(pen, c, horizon, 8)
        _light_on_wall(pen, horizon)
    with pen.part("floor"):
        _planks(pen, tones["floor"], rng, horizon)
        _light_on_floor(pen, horizon)


@place("kitchen", upper="wall")
def kitchen(pen: Pen, tones: dict[str, Shades], rng, horizon: float) -> None:
    """Cupboards above and below a tiled strip with a rail of utensils, all in the wall's tints."""
    c = tones["wall"]
    doors = int(rng.integers(5, 7))
    hooks = [rng.integers(3) for _ in range(5)]
    rail_x = 70 + rng.uniform(-14, 14)
    with pen.part("wall"):
        _wall(pen, c, horizon)
        top, counter = 0.27 * horizon, 0.7 * horizon
        for j in range(math.ceil((counter - top) / 7)):
            y = counter - 7 * (j + 1)
            for i in range(-1, 17):
                pen.rect(14 * i + 7 * (j % 2), y, 14, 7, None, tint(c, 0.5), 0.6)
        wide = SIDE / doors
        for y0, y1, knob in ((-4, top, top - 6), (counter + 4, horizon - 6, counter + 10)):
            pen.rect(0, y0, SIDE, y1 - y0, tint(c, 0.14))
            for k in range(doors):
                x = k * wide
                pen.rect(x + 1, y0, wide - 2, y1 - y0, pale(c, 0.2), tint(c, 0.6), 0.9)
                pen.rect(x + 6, y0 + 5, wide - 12, max(2, y1 - y0 - 10), None, tint(c, 0.35), 0.9)
                pen.ellipse(x + (wide - 4.5 if k % 2 == 0 else 4.5), knob, 1.2, 1.2, tint(c, 0.95))
        pen.rect(0, top, SIDE, 7, linear((0, NIGHT, 0.12), (1, NIGHT, 0.0)), ghost=True)
        pen.rect(0, counter, SIDE, 5, pale(c, 0.6), tint(c, 0.7), 0.8)
        pen.rect(0, horizon - 6, SIDE, 6, tint(c, 0.55))
        y = top + 9
        pen.line([(rail_x - 6, y), (rail_x + 62, y)], tint(c, 0.9), 1.4)
        for k, form in enumerate(hooks):
            x = rail_x + 14 * k
            pen.line([(x, y), (x, y + 15)], tint(c, 0.75), 1.4)
            if form == 0:
                pen.path(path_data("M", x - 5, y + 15, "A 5 5 0 0 0", x + 5, y + 15, "Z"), tint(c, 0.75))
            elif form == 1:
                pen.rect(x - 3, y + 13, 6, 8, tint(c, 0.75), r=1)
            else:
                pen.ellipse(x, y + 17, 3, 5, None, tint(c, 0.75), 1.1)
        _light_on_wall(pen, horizon)
    with pen.part("floor"):
        _checks(pen, tones["floor"], rng, horizon, 0.42)
        _light_on_floor(pen, horizon)


PARTY = tuple(
    mix(x, WHITE, 0.42) for x in ((226, 92, 96), (240, 190, 80), (96, 170, 130), (92, 140, 210), (176, 120, 200))
)


def _bunting(pen: Pen, c: Shades, x0: float, x1: float, y: float, sag: float, first: int) -> None:
    """A sagging string of pennants between two points of the wall."""

    def at(t: float) -> tuple[float, float]:
        return x0 + (x1 - x0) * t, y + sag * 4 * t * (1 - t)

    n = max(4, round(abs(x1 - x0) / 17))
    pen.line([at(k / 30) for k in range(31)], tint(c, 1.0), 1.0)
    for k in range(n):
        (ax, ay), (bx, by) = at((k + 0.1) / n), at((k + 0.9) / n)
        tone = mix(PARTY[(k + first) % len(PARTY)], c.base, 0.2)
        pen.polygon([(ax, ay), (bx, by), ((ax + bx) / 2, (ay + by) / 2 + 15)], tone, mix(tone, NIGHT, 0.25), 0.6)
        pen.polygon(
            [(ax, ay), (bx, by), (bx * 0.9 + ax * 0.1, by + 2.5), (ax * 0.9 + bx * 0.1, ay + 2.5)],
            mix(tone, WHITE, 0.4),
        )


@place("party", upper="wall")
def party(pen: Pen, tones: dict[str, Shades], rng, horizon: float) -> None:
    """A wall hung with bunting and paper streamers, over boards strewn with confetti."""
    c = tones["wall"]
    split = rng.uniform(90, 134)
    first = int(rng.integers(5))
    with pen.part("wall"):
        _wall(pen, c, horizon)
        for k in range(26):
            x, y = rng.uniform(4, SIDE - 4), rng.uniform(36, horizon - 14)
            tone = mix(PARTY[k % 5], c.base, 0.5)
            if k % 3:
                pen.ellipse(x, y, 1.3, 1.3, tone)
            else:
                pen.line([(x - 1.6, y - 1), (x + 1.6, y + 1)], tone, 1.3)
        for k, x in enumerate((rng.uniform(8, 20), rng.uniform(204, 216))):
            coil = [(x + 4.5 * math.sin(0.9 * t), 2 + 2.6 * t) for t in range(int(0.26 * horizon))]
            pen.line(coil, mix(PARTY[(first + 2 * k) % 5], c.base, 0.25), 1.8)
        _bunting(pen, c, -6, split, 8, rng.uniform(15, 22), first)
        _bunting(pen, c, split, 230, 8, rng.uniform(15, 22), first + 2)
        _skirting(pen, c, horizon)
        _light_on_wall(pen, horizon)
    with pen.part("floor"):
        f = tones["floor"]
        _planks(pen, f, rng, horizon)
        for k in range(34):
            near = rng.random()
            x, y = rng.uniform(0, SIDE), horizon + 5 + (SIDE - horizon - 8) * near
            pen.ellipse(x, y, 1 + 1.1 * near, 0.6 + 0.6 * near, mix(PARTY[k % 5], f.base, 0.35))
        _light_on_floor(pen, horizon)


# --------------------------------------------------------------------------------------------- outdoors


def _sky(
    pen: Pen, c: Shades, rng, horizon: float, *, clouds: int = 3, low: float = 0.55, sun: float | None = None
) -> None:
    """The sky, paler downwards, with a few clouds above the fraction ``low`` of it and a sun at column ``sun``."""
    grey = max(c.base) - min(c.base) < 20
    foot = mix(c.base, WHITE, 0.2 if grey else 0.42)
    graded(pen, 0, horizon, (0, mix(c.base, NIGHT, 0.04)), (0.45, mix(c.base, foot, 0.3)), (1, foot), step=4.0)
    if sun is not None:
        pen.ellipse(sun, 0.3 * horizon, 10, 10, mix(c.base, (255, 246, 214), 0.7))
    light = mix(c.base, WHITE, 0.45) if min(c.base) < 225 else mix(c.base, c.dark, 0.35)
    for k in range(clouds):
        x = SIDE * (k + rng.uniform(0.1, 0.9)) / clouds
        y, size = horizon * rng.uniform(0.12, low), rng.uniform(0.7, 1.15)
        with pen.at(x, y, scale=size):
            puffs = [(-26, 4), (-23, -3), (-12, -6), (-4, -13), (9, -12), (15, -5), (25, -3), (27, 4)]
            pen.path(
                scallop(puffs, 0.62, close=False) + " Z", linear(mix(light, WHITE, 0.35), mix(light, c.base, 0.35))
            )


def _ridge(pen: Pen, rng, horizon: float, base: float, rise: float, waves: float, paint) -> None:
    """A rolling silhouette that stands on the horizon."""
    a, b = rng.uniform(0, 2 * math.pi, 2)
    top = [
        (x, horizon - base - rise * (0.6 * math.sin(waves * x / SIDE + a) + 0.4 * math.sin(2.3 * waves * x / SIDE + b)))
        for x in range(-4, 233, 4)
    ]
    pen.polygon([*top, (SIDE + 4, horizon), (-4, horizon)], paint)


def _tufts(pen: Pen, c: Shades, rng, horizon: float, count: int) -> None:
    """Tufts of grass, larger the nearer they grow."""
    for _ in range(count):
        near = rng.random()
        x, y = rng.uniform(0, SIDE), horizon + 8 + (SIDE - horizon - 8) * near
        size = 1.6 + 4 * near
        tone = tint(c, 0.7) if rng.random() < 0.6 else pale(c, 0.5)
        for lean in (-0.6, 0.05, 0.65):
            blade = path_data("M", x, y, "Q", x + 0.2 * lean * size, y - 0.6 * size, x + lean * size, y - size)
            pen.path(blade, None, tone, 0.5 + 0.5 * near)


def _ground_light(pen: Pen, horizon: float) -> None:
    """Haze along the horizon."""
    pen.rect(0, horizon, SIDE, 0.25 * (SIDE - horizon), linear((0, WHITE, 0.2), (1, WHITE, 0.0)), ghost=True)


@place(
    "park",
    lower="grass",
    upper_colours=("blue", "gray", "white", "pink", "orange"),
    lower_colours=("green", "yellow", "brown"),
)
def park(pen: Pen, tones: dict[str, Shades], rng, horizon: float) -> None:
    """Sky, far hills and a line of trees, over grass with a winding path."""
    sky, c = tones["sky"], tones["grass"]
    bend = 1 if rng.random() < 0.5 else -1
    with pen.part("sky"):
        _sky(pen, sky, rng, horizon, low=0.45)
        _ridge(pen, rng, horizon, 15, 8, 5, mix(FOLIAGE.light, sky.base, 0.45))
        far = mix(mix(FOLIAGE.base, c.base, 0.3), mix(sky.base, WHITE, 0.4), 0.35)
        x = -6.0
        while x < SIDE + 8:
            r = rng.uniform(5, 9)
            y = horizon - rng.uniform(5, 9)
            if rng.random() < 0.8:
                ring = [(x + r * math.cos(k * 0.9), y + 0.9 * r * math.sin(k * 0.9)) for k in range(7)]
                pen.path(scallop(ring), linear(mix(far, WHITE, 0.12), mix(far, NIGHT, 0.06)))
            x += 1.5 * r
        pen.rect(0, horizon - 4, SIDE, 4, mix(far, NIGHT, 0.03))
    with pen.part("grass"):
        deep = SIDE - horizon
        graded(pen, horizon, SIDE, (0, pale(c, 0.35)), (0.5, c.base), (1, tint(c, 0.15)))
        for k, (y, h) in enumerate(((0.12, 0.1), (0.38, 0.16), (0.72, 0.22))):
            y0 = horizon + y * deep
            sway = 5 * (-1) ** k
            band = path_data("M 0", y0, "Q 60", y0 - sway, "112", y0, "T 224", y0, "L 224", y0 + h * deep)
            pen.path(
                band + path_data(" Q 164", y0 + h * deep + sway, "112", y0 + h * deep, "T 0", y0 + h * deep, "Z"),
                pale(c, 0.22),
            )
        left, right = [], []
        for k in range(41):
            t = k / 40
            x = MIDDLE + bend * (10 + 30 * t) * math.sin(5.2 * t**0.6)
            half = 1.2 + 17 * t
            left.append((x - half, horizon + t * deep))
            right.append((x + half, horizon + t * deep))
        pen.polygon([*left, *reversed(right)], mix(pale(c, 0.5), (226, 208, 172), 0.45))
        for edge in (left, right):
            pen.line(edge, tint(c, 0.35), 0.8, cap="butt")
        _tufts(pen, c, rng, horizon, 46)
        for _ in range(14):
            near = rng.uniform(0.15, 1)
            x, y = rng.uniform(0, SIDE), horizon + deep * near
            pen.ellipse(x, y - 2, 0.6 + 0.7 * near, 0.5 + 0.6 * near, mix((252, 250, 236), c.base, 0.25))
        _ground_light(pen, horizon)


@place(
    "beach",
    lower="sand",
    upper_colours=("blue", "gray", "white", "pink", "orange"),
    lower_colours=("yellow", "brown", "white"),
)
def beach(pen: Pen, tones: dict[str, Shades], rng, horizon: float) -> None:
    """Sky over a band of sea with a far sail, and sand with ripples and shells."""
    sky, c = tones["sky"], tones["sand"]
    sail = rng.uniform(30, 194)
    sun = rng.uniform(30, 194)
    with pen.part("sky"):
        _sky(pen, sky, rng, horizon, clouds=2, low=0.4, sun=sun)
        sea = horizon - 0.2 * horizon
        water = mix((84, 142, 170), sky.base, 0.45)
        pen.rect(0, sea, SIDE, horizon - sea, linear(mix(water, NIGHT, 0.08), mix(water, WHITE, 0.3)))
        pen.line([(0, sea), (SIDE, sea)], mix(water, WHITE, 0.5), 0.8, cap="butt")
        with pen.at(sail, sea + 2):
            pen.polygon([(-6, -1.6), (7, -1.6), (4.6, 1.6), (-4, 1.6)], mix(water, NIGHT, 0.3))
            pen.polygon([(0, -17), (0, -3), (8, -3)], mix(water, WHITE, 0.85))
            pen.polygon([(-1.2, -14), (-1.2, -3), (-6, -3)], mix(water, WHITE, 0.65))
        for _ in range(26):
            near = rng.random()
            x, y = rng.uniform(-6, SIDE), sea + 2 + (horizon - sea - 6) * near
            w = 4 + 9 * near
            pen.path(path_data("M", x, y, "q", w / 2, -1.2, w, 0), None, mix(water, WHITE, 0.55), 0.5 + 0.5 * near)
        pen.rect(0, horizon - 2.4, SIDE, 2.4, mix(water, WHITE, 0.8))
    with pen.part("sand"):
        deep = SIDE - horizon
        graded(pen, horizon, SIDE, (0, pale(c, 0.3)), (0.5, c.base), (1, tint(c, 0.1)))
        a = rng.uniform(0, 6)
        for base, amp, tone in (
            (11, 3.5, tint(c, 0.42)),
            (5.5, 2.5, tint(c, 0.62)),
            (2.8, 2.4, mix(pale(c, 0.5), WHITE, 0.7)),
        ):
            edge = [(x, horizon + base + amp * math.sin(x / 21 + a)) for x in range(0, 225, 4)]
            pen.polygon([(0, horizon), (SIDE, horizon), *reversed([(x, max(horizon, y)) for x, y in edge])], tone)
        for _ in range(30):
            near = rng.uniform(0.22, 1)
            x, y, w = rng.uniform(-10, SIDE), horizon + deep * near, 8 + 20 * near
            pen.path(
                path_data("M", x, y, "q", w / 4, -2 * near, w / 2, 0, "t", w / 2, 0),
                None,
                tint(c, 0.4),
                0.5 + 0.6 * near,
            )
        for k in range(70):
            near = rng.uniform(0.2, 1)
            x, y = rng.uniform(0, SIDE), horizon + deep * near
            pen.ellipse(x, y, 0.4 + 0.4 * near, 0.4 + 0.3 * near, tint(c, 0.7) if k % 2 else pale(c, 0.9))
        for _ in range(4):
            near = rng.uniform(0.4, 1)
            x, y, r = rng.uniform(8, 216), horizon + (deep - 8) * near, 1.6 + 1.8 * near
            shell = mix(pale(c, 0.6), (246, 226, 214), 0.7)
            pen.path(
                path_data("M", x, y, "L", x - r, y - r, "A", r, r, "0 0 1", x + r, y - r, "Z"), shell, tint(c, 0.9), 0.6
            )
            for dx in (-0.4, 0.4):
                pen.line([(x, y), (x + dx * r, y - 1.6 * r)], tint(c, 0.6), 0.4)
        _ground_light(pen, horizon)


@place(
    "street", lower="road", upper_colours=("blue", "gray", "white", "pink", "orange"), lower_colours=("gray", "black")
)
def street(pen: Pen, tones: dict[str, Shades], rng, horizon: float) -> None:
    """A row of quiet house fronts under the sky, over a pavement and a road with a dashed line."""
    sky, c = tones["sky"], tones["road"]
    with pen.part("sky"):
        _sky(pen, sky, rng, horizon, low=0.35)
        x = -rng.uniform(0, 12)
        while x < SIDE:
            wide, high = rng.uniform(28, 42), horizon * rng.uniform(0.36, 0.52)
            warm = rng.uniform(0, 1)
            gable = rng.random() < 0.45
            front = mix(mix((178, 164, 158), (158, 168, 178), warm), mix(sky.base, WHITE, 0.3), 0.52)
            _house(pen, x, wide, high, horizon, front, gable)
            x += wide
    with pen.part("road"):
        deep = SIDE - horizon
        graded(pen, horizon, SIDE, (0, c.base), (1, tint(c, 0.2)))
        kerb = horizon + 0.2 * deep
        path = mix(c.base, (206, 204, 200), 0.42)
        pen.rect(0, horizon, SIDE, kerb - horizon, linear(mix(path, NIGHT, 0.05), mix(path, WHITE, 0.08)))
        eye = horizon - EYE
        for k in range(-9, 10):
            line = [(MIDDLE + 26 * k * _spread(y, eye) / _spread(kerb, eye), y) for y in (horizon, kerb)]
            pen.line(line, mix(path, NIGHT, 0.14), 0.7, cap="butt")
        seam = horizon + 0.085 * deep
        pen.line([(0, seam), (SIDE, seam)], mix(path, NIGHT, 0.14), 0.7, cap="butt")
        pen.rect(0, kerb, SIDE, 2, mix(path, WHITE, 0.2))
        pen.rect(0, kerb + 2, SIDE, 2.6, mix(c.base, NIGHT, 0.3))
        dash, phase = horizon + 0.6 * deep, rng.uniform(0, 52)
        for k in range(-1, 5):
            x0 = 52 * k + phase
            quad = []
            for x, y in ((x0, dash), (x0 + 28, dash), (x0 + 28, dash + 4.4), (x0, dash + 4.4)):
                quad.append((MIDDLE + (x - MIDDLE) * _spread(y, eye) / _spread(dash, eye), y))
            pen.polygon(quad, mix(c.base, WHITE, 0.5))
        for _ in range(90):
            near = rng.uniform(0.28, 1)
            x, y = rng.uniform(0, SIDE), horizon + deep * near
            pen.ellipse(
                x, y, 0.5 + 0.4 * near, 0.35 + 0.25 * near, pale(c, 0.3) if rng.random() < 0.5 else tint(c, 0.4)
            )
        _ground_light(pen, horizon)


def _house(pen: Pen, x: float, wide: float, high: float, horizon: float, front: RGB, gable: bool) -> None:
    """One house front on the horizon: a roof, two storeys of windows and a door."""
    roof, edge, pane = mix(front, NIGHT, 0.16), mix(front, NIGHT, 0.12), mix(front, WHITE, 0.42)
    top = horizon - high
    if gable:
        pen.polygon([(x, top + 8), (x + wide / 2, top - 9), (x + wide, top + 8)], roof)
    else:
        pen.polygon([(x, top + 8), (x + 3, top - 2), (x + wide - 3, top - 2), (x + wide, top + 8)], roof)
        pen.rect(x + 0.68 * wide, top - 9, 5, 8, roof)
    pen.rect(x, top + 8, wide, high - 8, linear(mix(front, WHITE, 0.1), front), edge, 0.7)
    n = 3 if wide > 34 else 2
    storey = (high - 8) / 3
    for j in range(3):
        for k in range(n):
            cx, y = x + wide * (k + 0.5) / n, top + 8 + storey * (j + 0.22)
            if j == 2 and k == 0:
                pen.rect(cx - 3.6, horizon - 0.84 * storey, 7.2, 0.84 * storey, roof, edge, 0.5)
                pen.ellipse(cx + 2.2, horizon - 0.4 * storey, 0.6, 0.6, pane)
            else:
                pen.rect(cx - 2.9, y, 5.8, 0.6 * storey, pane, edge, 0.7)
                pen.line([(cx, y), (cx, y + 0.6 * storey)], edge, 0.5, cap="butt")


@place("mountain", lower="snow", upper_colours=("blue", "gray", "pink", "orange"), lower_colours=("white",))
def mountain(pen: Pen, tones: dict[str, Shades], rng, horizon: float) -> None:
    """Snow-capped peaks under the sky, over drifted snow with a pair of ski tracks."""
    sky, c = tones["sky"], tones["snow"]
    with pen.part("sky"):
        _sky(pen, sky, rng, horizon, clouds=2, low=0.3)
        hue = mix((112, 126, 152), sky.base, 0.4)
        x = rng.uniform(-10, 20)
        far = mix(hue, WHITE, 0.35)
        while x < SIDE + 30:
            _peak(pen, rng, x, 0.36 * horizon, rng.uniform(34, 48), horizon, far)
            x += rng.uniform(38, 60)
        for x in (rng.uniform(20, 60), rng.uniform(96, 130), rng.uniform(172, 208)):
            _peak(pen, rng, x, horizon * rng.uniform(0.44, 0.56), rng.uniform(50, 62), horizon, mix(hue, WHITE, 0.1))
        wood = mix(mix((70, 112, 104), hue, 0.4), WHITE, 0.15)
        for k in range(40):
            x, h = 6 * k + rng.uniform(-2, 2) - 4, rng.uniform(5, 11)
            pen.polygon(
                [(x, horizon - h), (x + 0.3 * h, horizon), (x - 0.3 * h, horizon)], mix(wood, WHITE, 0.1 * (k % 3))
            )
    with pen.part("snow"):
        deep = SIDE - horizon
        graded(pen, horizon, SIDE, (0, c.base), (0.5, c.light), (1, c.base))
        shade = mix(c.base, (176, 196, 222), 0.5)
        for k, t in enumerate((0.05, 0.24, 0.5, 0.76)):
            y = horizon + t * deep + rng.uniform(-2, 2)
            s, h = (-1) ** k, 8 + 14 * t
            drift = path_data("M 0", y + s * 3, "C 60", y - s * h * 0.5, "150", y + s * h * 0.7, "224", y - s * 2)
            drift += path_data(" L 224", y + h, "C 150", y + h * 1.2, "60", y + h * 0.4, "0", y + h, "Z")
            pen.path(f"{drift}", linear((0, shade), (1, c.base)))
        for s in (-1, 1):
            track = path_data("M", MIDDLE + 3 * s, horizon + 1, "C", MIDDLE + 40 + 5 * s, horizon + 0.3 * deep)
            track += path_data(MIDDLE - 40 + 9 * s, horizon + 0.6 * deep, MIDDLE + 12 + 16 * s, SIDE + 4)
            pen.path(track, None, mix(c.base, (160, 182, 212), 0.55), 1.3)
        for _ in range(26):
            near = rng.uniform(0.1, 1)
            x, y = rng.uniform(0, SIDE), horizon + deep * near
            pen.ellipse(x, y, 0.5 + 0.6 * near, 0.4 + 0.4 * near, shade if rng.random() < 0.5 else WHITE)
        _ground_light(pen, horizon)


def _peak(pen: Pen, rng, x: float, high: float, half: float, horizon: float, rock: RGB) -> None:
    """One peak on the horizon with a lit and a shaded flank and a cap of snow."""
    top = horizon - high
    ridge = [(x, top), (x + rng.uniform(2, 6), top + 0.36 * high), (x - rng.uniform(1, 5), top + 0.62 * high)]
    foot = x + rng.uniform(4, 12)
    snow = mix(rock, WHITE, 0.75)
    cut = rng.uniform(0.3, 0.4)
    teeth = [rng.uniform(-0.06, 0.06) for _ in range(4)]
    pen.polygon(
        [(x, top), (x + half, horizon), (x - half, horizon)], linear(mix(rock, WHITE, 0.12), mix(rock, WHITE, 0.3))
    )
    pen.polygon([*ridge, (foot, horizon), (x + half, horizon)], linear(mix(rock, NIGHT, 0.14), mix(rock, WHITE, 0.16)))
    line = []
    for k, jag in enumerate(teeth):
        side = -1 + 2 * (k + 0.5) / 4
        t = cut * (1.05 if k % 2 else 0.7) + jag
        line.append((x + side * half * cut * 0.85, top + t * high))
    left, right = (x - half * cut, top + cut * high), (x + half * cut, top + cut * high)
    pen.polygon([(x, top), right, *reversed(line), left], snow)
    pen.polygon([(x, top), right, line[3], line[2], ridge[1]], mix(snow, rock, 0.35))


@place(
    "skate park",
    lower="ground",
    upper_colours=("blue", "gray", "white", "pink", "orange"),
    lower_colours=("gray", "white", "brown"),
)
def skate_park(pen: Pen, tones: dict[str, Shades], rng, horizon: float) -> None:
    """A far skyline and two quarter pipes, over jointed concrete."""
    sky, c = tones["sky"], tones["ground"]
    with pen.part("sky"):
        _sky(pen, sky, rng, horizon, low=0.35)
        town = mix(HAZE.base, mix(sky.base, WHITE, 0.35), 0.62)
        x = -rng.uniform(0, 10)
        while x < SIDE:
            wide, high = rng.uniform(12, 24), rng.uniform(0.16, 0.38) * horizon
            tone = mix(town, WHITE, rng.uniform(0, 0.14))
            pen.rect(x, horizon - high, wide + 0.5, high, linear(tone, mix(tone, WHITE, 0.25)))
            for k in range(int(high / 7)):
                y = horizon - high + 4 + 7 * k
                for j in range(int(wide / 5)):
                    pen.rect(x + 2.2 + 5 * j, y, 2, 3, mix(tone, WHITE, 0.3))
            x += wide
        for y in (15, 8.5):
            pen.line([(40, horizon - y), (184, horizon - y)], mix(town, NIGHT, 0.2), 0.9)
        for k in range(13):
            pen.line([(40 + 12 * k, horizon - 15), (40 + 12 * k, horizon)], mix(town, NIGHT, 0.2), 0.8, cap="butt")
        deck = mix(mix(c.base, HAZE.base, 0.35), sky.base, 0.15)
        for s, reach in ((1, rng.uniform(62, 80)), (-1, rng.uniform(62, 80))):
            _quarter_pipe(pen, 0 if s > 0 else SIDE, s, reach, rng.uniform(0.3, 0.38) * horizon, horizon, deck)
    with pen.part("ground"):
        deep = SIDE - horizon
        eye = horizon - EYE
        graded(pen, horizon, SIDE, (0, pale(c, 0.15)), (0.5, c.base), (1, tint(c, 0.12)))
        rows = _rows(horizon, eye, 4)
        for y in rows[1:-1]:
            pen.line([(0, y), (SIDE, y)], tint(c, 0.55), 1, cap="butt")
            pen.line([(0, y + 1), (SIDE, y + 1)], pale(c, 0.4), 0.7, cap="butt")
        for k in range(-6, 7):
            pen.line(
                [(MIDDLE + 66 * (k + 0.3) * _spread(y, eye), y) for y in (horizon, SIDE)], tint(c, 0.55), 1, cap="butt"
            )
        x, y = rng.uniform(30, 190), rng.uniform(horizon + 0.3 * deep, SIDE - 12)
        crack = [(x + 7 * k, y + rng.uniform(-2.5, 2.5)) for k in range(5)]
        pen.line(crack, tint(c, 0.6), 0.8)
        for _ in range(80):
            near = rng.uniform(0.04, 1)
            x, y = rng.uniform(0, SIDE), horizon + deep * near
            pen.ellipse(x, y, 0.5 + 0.5 * near, 0.35 + 0.3 * near, pale(c, 0.4) if rng.random() < 0.5 else tint(c, 0.4))
        for _ in range(3):
            x, y, w = rng.uniform(10, 180), rng.uniform(horizon + 10, SIDE - 10), rng.uniform(20, 50)
            pen.path(path_data("M", x, y, "q", w / 2, rng.uniform(-5, 5), w, 0), None, tint(c, 0.3), 1.4)
        _ground_light(pen, horizon)


def _quarter_pipe(pen: Pen, x: float, s: int, reach: float, high: float, horizon: float, deck: RGB) -> None:
    """A skate ramp at the image's edge ``x`` that curves down towards the middle (``s`` its direction)."""
    top = horizon - high
    lip, toe = x + s * 0.36 * reach, x + s * reach
    slope = path_data("Q", lip + s * 0.1 * reach, horizon - 0.06 * high, toe, horizon)
    for k in range(5):
        px = x + s * (3 + 0.08 * reach * k)
        pen.line([(px, top), (px, top - 9)], mix(deck, NIGHT, 0.2), 0.9)
    pen.line([(x, top - 9), (x + s * (3 + 0.32 * reach), top - 9)], mix(deck, NIGHT, 0.2), 1.2)
    side = path_data("M", x, top, "L", lip, top) + " " + slope + path_data(" L", x, horizon, "Z")
    pen.path(side, linear(mix(deck, WHITE, 0.14), mix(deck, NIGHT, 0.1)), mix(deck, NIGHT, 0.3), 0.9)
    face = path_data("M", lip, top, "L", lip + s * 5, top + 1.5)
    face += path_data(" Q", lip + s * (0.14 * reach + 3), horizon - 0.1 * high, toe + s * 5, horizon)
    face += path_data(" L", toe, horizon, "Q", lip + s * 0.1 * reach, horizon - 0.06 * high, lip, top, "Z")
    pen.path(face, mix(deck, WHITE, 0.4), mix(deck, NIGHT, 0.25), 0.7)
    pen.line([(x, top), (lip + s * 5, top)], mix(deck, NIGHT, 0.3), 2)
