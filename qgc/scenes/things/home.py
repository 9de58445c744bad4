"""What furnishes a home: bathroom, bedroom and living room. The small objects are in ``party``.

Light comes from above and from the left; an object is seen from the front and a little from above, so
its rim or top shows as a flat ellipse or trapezoid. What is not the object's own color is a neutral
(metal, wood, linen) and small, so that the color term of the object stays unambiguous.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..svg import RGB, Gradient, Pen, Shades, linear, mix, radial, shades
from .registry import thing

LINE = 1.2
METAL = shades((172, 178, 188))
BRASS = shades((206, 170, 96))
LINEN = Shades((246, 243, 236), (255, 255, 255), (218, 214, 208), (150, 148, 148))
WOODS = tuple(shades(rgb) for rgb in ((158, 112, 70), (182, 136, 88), (132, 90, 58)))
GLASS: tuple[RGB, RGB] = ((216, 236, 246), (150, 192, 218))


def across(c: Shades) -> Gradient:
    """Paint of something round and upright: light on the left, dark on the right."""
    return linear((0.0, c.light), (0.35, c.base), (0.65, c.base), (1.0, c.dark), angle=0)


def down(c: Shades) -> Gradient:
    """Paint of a front: light above, darker towards the floor."""
    return linear((0.0, c.light), (0.35, c.base), (0.7, c.base), (1.0, c.dark))


def ball(c: Shades) -> Gradient:
    """Paint of something round, lit from the upper left."""
    return radial((0.0, c.light), (0.55, c.base), (1.0, c.dark), centre=(0.36, 0.3), radius=0.75)


def tube(pen: Pen, points: Sequence[tuple[float, float]], c: Shades, width: float) -> None:
    """A straight or bent rod through ``points``, with outline and a lit edge."""
    pen.line(points, c.line, width + 1.0)
    pen.line(points, c.base, width)
    pen.line(points, c.light, width * 0.35, ghost=True)


def hose(pen: Pen, d: str, c: Shades, width: float, edge: float = 1.0) -> None:
    """As :func:`tube`, along an SVG path."""
    pen.path(d, None, c.line, width + edge)
    pen.path(d, None, c.base, width)
    pen.path(d, None, c.light, width * 0.3, ghost=True)


def legs(pen: Pen, xs: Sequence[float], top: float, width: float, c: Shades) -> None:
    """Tapering feet from ``top`` down to the floor, one at each of ``xs``."""
    for x in xs:
        corners = [(x - width / 2, top), (x + width / 2, top), (x + width * 0.32, 0), (x - width * 0.32, 0)]
        pen.polygon(corners, across(c), c.line, LINE * 0.8)


def wood(rng: np.random.Generator) -> Shades:
    """One of the wood tones."""
    return WOODS[rng.integers(len(WOODS))]


# --- bathroom -----------------------------------------------------------------------------------


def _tap(pen: Pen, x: float, y: float, height: float, reach: float) -> None:
    """A gooseneck tap on (x, y), its mouth ``reach`` to the side."""
    top, mouth = y - height, y - height * 0.5
    bend = f"M{x},{y} L{x},{top + 4} Q{x},{top} {x + reach / 2},{top} Q{x + reach},{top} {x + reach},{mouth}"
    hose(pen, bend, METAL, 3.0)
    pen.ellipse(x, y, 3.4, 1.4, METAL.base, METAL.line, 0.7)


def _handles(pen: Pen, xs: Sequence[float], y: float) -> None:
    """Turning handles of a tap."""
    for x in xs:
        tube(pen, [(x, y), (x, y - 4)], METAL, 1.8)
        tube(pen, [(x - 3, y - 4.5), (x + 3, y - 4.5)], METAL, 1.8)


def _basin(pen: Pen, c: Shades, y: float, half: float) -> None:
    """The rim of a wash basin at height ``y``, with its hollow, drain and tap."""
    ledge = f"M{-half * 0.72},{y} L{-half * 0.66},{y - 10} Q0,{y - 13} {half * 0.66},{y - 10} L{half * 0.72},{y} Z"
    pen.path(ledge, down(c), c.line, LINE)
    pen.ellipse(0, y, half, 8.5, linear(c.light, c.base), c.line, LINE)
    pen.ellipse(0, y + 0.8, half - 5, 5.8, linear(c.dark, c.base), c.line, LINE * 0.7)
    pen.ellipse(0, y + 3.4, 2.6, 1.0, METAL.dark, METAL.line, 0.5)
    _handles(pen, (-12, 12), y - 6)
    _tap(pen, 4, y - 6, 13, -9)


@thing("sink", size=(75, 90), colours="any")
def sink(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A wash basin with a tap, on a pedestal or a cabinet."""
    pedestal = rng.random() < 0.6
    half = rng.uniform(33, 37)
    foot = rng.uniform(12, 15)
    if pedestal:
        column = f"M-9,-54 C-8,-32 -8,-12 {-foot},-3 L{-foot},0 L{foot},0 L{foot},-3 C8,-12 8,-32 9,-54 Z"
        pen.path(column, across(c), c.line, LINE)
        bowl = f"M{-half},-72 C{-half + 2},-54 -20,-46 -11,-45 L11,-45 C20,-46 {half - 2},-54 {half},-72 Z"
        pen.path(bowl, across(c), c.line, LINE)
        pen.path("M-12,-46 Q0,-43 12,-46", None, c.line, LINE * 0.8)
    else:
        pen.rect(-half + 3, -62, 2 * half - 6, 58, down(c), c.line, LINE, r=1.5)
        pen.rect(-half + 6, -4, 2 * half - 12, 4, c.dark, c.line, LINE * 0.7)
        for x in (-half + 7, 2):
            pen.rect(x, -55, half - 9, 46, across(c), c.line, LINE * 0.8, r=1.5)
        for x in (-4.5, 4.5):
            pen.ellipse(x, -34, 1.5, None, METAL.base, METAL.line, 0.6)
        apron = f"M{-half},-72 L{-half + 1},-61 Q0,-55 {half - 1},-61 L{half},-72 Z"
        pen.path(apron, across(c), c.line, LINE)
    _basin(pen, c, -72, half)


@thing("towels", size=(70, 70), stands="wall", plural=True, colours="any", shadow=0)
def towels(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """Two towels over a metal rail."""
    stripes = int(rng.integers(0, 3))
    pale = rng.random() < 0.5
    band = c.light if pale else c.dark
    for x in (-33, 33):
        pen.ellipse(x, -66, 2.4, None, METAL.dark, METAL.line, 0.8)
    tube(pen, [(-33, -66), (33, -66)], METAL, 2.0)
    for x in (-16.0, 16.0):
        w, bottom = rng.uniform(12.2, 13.8), -rng.uniform(1, 9)
        pen.rect(x - w + 1.5, -66, 2 * w, 55 + bottom * 0.5, c.dark, c.line, LINE)
        front = (
            f"M{x - w},-65 Q{x - w},-69 {x - w + 3},-69 L{x + w - 3},-69 Q{x + w},-69 {x + w},-65 "
            f"L{x + w + 0.6},{bottom} Q{x + w / 2},{bottom - 2} {x},{bottom} T{x - w - 0.6},{bottom} Z"
        )
        pen.path(front, linear((0, c.light), (0.3, c.base), (0.55, c.light), (0.8, c.base), (1, c.dark), angle=0))
        for i in range(stripes):
            pen.line([(x - w, bottom - 9 - 4.5 * i), (x + w, bottom - 9 - 4.5 * i)], band, 2.2, cap="butt")
        pen.path(front, None, c.line, LINE)
        for fold in (-0.35, 0.4):
            pen.path(f"M{x + fold * w},-62 Q{x + fold * w + 2},-40 {x + fold * w},{bottom - 20}", None, c.dark, 1.0)
        for t in np.linspace(-0.9, 0.9, 9):
            pen.line([(x + t * w, bottom - 0.6), (x + t * w, bottom + 1.4)], c.line, 0.6)


@dataclass(frozen=True)
class _ToiletForm:
    """Proportions of a toilet, so that a row of them can be alike."""

    tank: float
    seat: float
    foot: float
    lever: bool


def _toilet_form(rng: np.random.Generator) -> _ToiletForm:
    return _ToiletForm(rng.uniform(20, 23), rng.uniform(17.5, 19.5), rng.uniform(10, 13), bool(rng.random() < 0.5))


def _toilet(pen: Pen, c: Shades, form: _ToiletForm) -> None:
    """A toilet from the front, lid up."""
    t, s, f = form.tank, form.seat, form.foot
    pen.path(
        f"M{-t},-74 L{t},-74 L{t - 2},-44 Q{t - 2.4},-40 {t - 6},-40 L{-t + 6},-40 Q{-t + 2.4},-40 {-t + 2},-44 Z",
        across(c),
        c.line,
        LINE,
    )
    pen.rect(-t - 1.5, -80, 2 * t + 3, 6.5, linear(c.light, c.base), c.line, LINE, r=2)
    if form.lever:
        tube(pen, [(-t + 4, -70), (-t + 11, -69)], METAL, 1.8)
    else:
        pen.ellipse(0, -80, 4, 1.1, METAL.base, METAL.line, 0.6)
    # The lid stands against the tank, behind the seat.
    lid = f"M{-s + 2},-34 L{-s + 2},-50 Q{-s + 3},-67 0,-67 Q{s - 3},-67 {s - 2},-50 L{s - 2},-34 Z"
    pen.path(lid, across(c), c.line, LINE)
    bowl = (
        f"M{-s},-32 C{-s},-18 {-f},-16 {-f + 1},-9 L{-f - 1},-2 Q{-f - 1},0 {-f + 1},0 "
        f"L{f - 1},0 Q{f + 1},0 {f + 1},-2 L{f - 1},-9 C{f},-16 {s},-18 {s},-32 Z"
    )
    pen.path(bowl, across(c), c.line, LINE)
    pen.path(f"M{-f + 1},-9 Q0,-6 {f - 1},-9", None, c.dark, LINE)
    pen.ellipse(0, -31.5, s + 1.5, 9.5, c.dark, c.line, LINE)
    pen.ellipse(0, -33, s + 1.5, 9.5, linear(c.light, c.base), c.line, LINE)
    pen.ellipse(0, -32.6, s - 5, 5.6, linear(mix(c.dark, (20, 24, 32), 0.45), c.dark), c.line, LINE * 0.8)
    pen.ellipse(0, -30.6, s - 9.5, 2.6, (168, 206, 226))


@thing("toilet", size=(50, 80), colours="any")
def toilet(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """One toilet."""
    _toilet(pen, c, _toilet_form(rng))


@thing("toilets", size=(130, 80), plural=True, colours="any")
def toilets(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """Two or three equal toilets in a row."""
    form = _toilet_form(rng)
    three = rng.random() < 0.5
    gap = rng.uniform(30, 38)
    # Three of them are narrowed a little, to keep air between the tanks.
    for x in (-45, 0, 45) if three else (-gap, gap):
        with pen.at(x, scale=(0.84, 1.0) if three else 1.0):
            _toilet(pen, c, form)


@thing("bathtub", size=(160, 62), colours="any")
def bathtub(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A bathtub on claw feet or with a panelled front, and some foam."""
    claw = rng.random() < 0.65
    side = 1 if rng.random() < 0.5 else -1
    foam = rng.uniform(3.0, 6.0, size=7)
    middle = rng.uniform(-30, 30)
    rim = -47.5
    if claw:
        for x in (-46, 46):
            s = 1 if x > 0 else -1
            with pen.at(x, scale=(s, 1)):
                pen.path("M-6,-14 C-5,-6 2,-6 7,-1 L6,0 L-2,0 Q-4,-6 6,-14 Z", across(BRASS), BRASS.line, LINE)
        body = f"M-75,{rim} C-74,-22 -64,-10 -44,-9 L44,-9 C64,-10 74,-22 75,{rim} Z"
    else:
        body = f"M-76,{rim} L-73,-3 Q-73,0 -70,0 L70,0 Q73,0 73,-3 L76,{rim} Z"
    pen.path(body, down(c), c.line, LINE * 1.2)
    if claw:
        pen.path(f"M-64,{rim + 14} C-62,-24 -56,-16 -44,-15", None, c.light, 2.4, ghost=True)
    else:
        for x in (-64, 4):
            pen.rect(x, -34, 60, 27, down(c), c.dark, 1.6, r=2)
    pen.ellipse(0, rim, 80, 9, linear(c.light, c.base), c.line, LINE * 1.2)
    pen.ellipse(0, rim + 0.5, 73, 6, linear(c.dark, c.base), c.line, LINE)
    _tap(pen, side * 70, rim - 3, 11, -side * 12)
    for i, r in enumerate(foam):
        pen.ellipse(
            middle + 6.5 * (i - 3), rim + 1 - r * 0.5, r, None, linear(LINEN.light, LINEN.base), LINEN.dark, 0.8
        )
    # The near rim again, over the foam.
    near = f"M-73,{rim + 0.5} A73,6 0 0 0 73,{rim + 0.5} L80,{rim} A80,9 0 0 1 -80,{rim} Z"
    pen.path(near, linear(c.light, c.base), c.line, LINE)


@thing("mirror", size=(55, 75), stands="wall", shadow=0)
def mirror(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A framed mirror, oval, arched or square; ``c`` is its frame."""
    form = int(rng.integers(3))
    t = rng.uniform(3.6, 5.2)
    glass = linear((0, GLASS[0]), (0.5, GLASS[1]), (1, GLASS[0]), angle=60)
    if form == 0:
        pen.ellipse(0, -37.5, 26.5, 36.5, across(c), c.line, LINE)
        pen.ellipse(0, -37.5, 26.5 - t, 36.5 - t, glass, c.line, LINE * 0.8)
    elif form == 1:
        pen.path("M-26,-1 L-26,-48 A26,26 0 0 1 26,-48 L26,-1 Z", across(c), c.line, LINE)
        r = 26 - t
        pen.path(f"M{-r},{-1 - t} L{-r},-48 A{r},{r} 0 0 1 {r},-48 L{r},{-1 - t} Z", glass, c.line, LINE * 0.8)
    else:
        pen.rect(-26.5, -74, 53, 73, across(c), c.line, LINE, r=3)
        pen.rect(-26.5 + t, -74 + t, 53 - 2 * t, 73 - 2 * t, glass, c.line, LINE * 0.8, r=1)
    white = (255, 255, 255)
    pen.polygon([(-14, -36), (4, -58), (11, -58), (-14, -28)], white, opacity=0.75, ghost=True)
    pen.polygon([(-10, -22), (14, -51), (14, -47), (-8, -20)], white, opacity=0.6, ghost=True)
    pen.polygon([(2, -16), (15, -32), (15, -23), (8, -15)], white, opacity=0.45, ghost=True)


@thing("rug", size=(130, 30), colours="any", shadow=0)
def rug(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A rug lying on the floor, round or with fringed ends."""
    rounded = rng.random() < 0.4
    rings = int(rng.integers(1, 4))
    diamonds = int(rng.integers(3, 6))
    if rounded:
        for a in np.linspace(0, 2 * np.pi, 72, endpoint=False):
            x, y = np.cos(a), np.sin(a)
            pen.line([(60 * x, -15 + 12.6 * y), (64.5 * x, -15 + 14.6 * y)], c.line, 0.9)
        pen.ellipse(0, -15, 61, 13, linear(c.base, c.light), c.line, LINE)
        for i in range(rings):
            f = 0.86 - 0.2 * i
            pen.ellipse(0, -15, 61 * f, 13 * f, None, c.dark if i % 2 == 0 else c.light, 2.2)
        return
    far, near = 46.0, 60.0

    def edge(x: float, t: float) -> tuple[float, float]:
        """A point of the rug: x from -1 to 1, t from 0 (far) to 1 (near)."""
        return x * (far + (near - far) * t), -28 + 27 * t

    for t in np.linspace(0.02, 0.98, 13):
        for s in (-1, 1):
            x, y = edge(s, t)
            pen.line([(x, y), (x + s * 4.5, y + 0.8)], LINEN.line, 1.5)
            pen.line([(x, y), (x + s * 4.5, y + 0.8)], LINEN.base, 0.8)
    pen.polygon([edge(-1, 0), edge(1, 0), edge(1, 1), edge(-1, 1)], linear(c.base, c.light), c.line, LINE)
    for i in range(rings):
        x, t = 0.93 - 0.09 * i, 0.1 + 0.09 * i
        frame = [edge(-x, t), edge(x, t), edge(x, 1 - t), edge(-x, 1 - t)]
        pen.polygon(frame, None, c.dark if i % 2 == 0 else c.light, 1.5)
    for x in np.linspace(-0.5, 0.5, diamonds):
        pen.polygon([edge(x - 0.09, 0.5), edge(x, 0.34), edge(x + 0.09, 0.5), edge(x, 0.66)], c.dark)


# --- bedroom ------------------------------------------------------------------------------------


def _pillow(pen: Pen, x: float, y: float, w: float, h: float) -> None:
    """A white pillow centred on (x, y)."""
    a, b = w / 2, h / 2
    d = f"M{x - a},{y - b} Q{x},{y - b * 1.35} {x + a},{y - b} Q{x + a * 0.92},{y} {x + a},{y + b} "
    d += f"Q{x},{y + b * 1.3} {x - a},{y + b} Q{x - a * 0.92},{y} {x - a},{y - b} Z"
    pen.path(d, linear(LINEN.light, LINEN.dark), LINEN.line, LINE)


def _made_bed(pen: Pen, c: Shades, x: float, w: float, back: float, front: float, pillows: int, stripes: int) -> None:
    """A mattress seen from its foot: pillows at height ``back``, blanket falling over at ``front``."""
    far, near = w * 0.4, w * 0.5

    def edge(u: float, t: float) -> tuple[float, float]:
        return x + u * (far + (near - far) * t), back + (front - back) * t

    pen.polygon([edge(-1, 0), edge(1, 0), edge(1, 1), edge(-1, 1)], LINEN.base, LINEN.line, LINE)
    for i in range(pillows):
        u = (2 * i + 1) / pillows - 1
        _pillow(pen, edge(u, 0.1)[0], back + (front - back) * 0.14, 1.6 * far / pillows, (front - back) * 0.33)
    hem = -7.0
    top = [edge(-1, 0.34), edge(1, 0.34), edge(1, 1), edge(-1, 1)]
    pen.polygon(top, linear(c.light, c.base), c.line, LINE)
    pen.polygon([edge(-1, 0.34), edge(1, 0.34), edge(1, 0.46), edge(-1, 0.46)], c.light, c.line, LINE * 0.8)
    for i in range(stripes):
        t = 0.58 + 0.15 * i
        pen.polygon([edge(-1, t), edge(1, t), edge(1, t + 0.05), edge(-1, t + 0.05)], c.dark)
    (x0, y0), (x1, _) = edge(-1, 1), edge(1, 1)
    fall = f"M{x0},{y0} L{x1},{y0} L{x1 - 1},{hem} Q{x + w * 0.25},{hem + 4} {x},{hem} T{x0 + 1},{hem} Z"
    pen.path(fall, linear(c.base, c.dark), c.line, LINE)
    for u in (-0.55, 0.0, 0.5):
        pen.path(f"M{x + u * near},{hem} Q{x + u * near + 2},{hem - 8} {x + u * near},{hem - 14}", None, c.line, 1.0)


@thing("bed", size=(200, 95), colours="any")
def bed(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A double bed from its foot or from its side."""
    from_foot = rng.random() < 0.5
    stripes = int(rng.integers(0, 4))
    arched = rng.random() < 0.5
    frame = wood(rng)
    if from_foot:
        rise = 12 if arched else 0
        legs(pen, (-88, 88), -12, 7, frame)
        head = f"M-82,-8 L-82,{-93 + rise} Q0,{-95 - rise} 82,{-93 + rise} L82,-8 Z"
        pen.path(head, down(c), c.line, LINE)
        head = f"M-77,-60 L-77,{-88 + rise} Q0,{-90 - rise} 77,{-88 + rise} L77,-60 Z"
        pen.path(head, None, c.dark, 1.6)
        _made_bed(pen, c, 0, 196, -77, -27, 2, stripes)
        return
    legs(pen, (-84, 88), -14, 6, frame)
    # Headboard, mattress and pillows first; the blanket with its fall lies over them.
    pen.polygon([(-99, -2), (-99, -76), (-83, -95), (-83, -22)], linear(c.base, c.dark, angle=0), c.line, LINE)
    pen.polygon([(-98, -42), (86, -42), (98, -62), (-83, -62)], LINEN.base, LINEN.line, LINE)
    pen.polygon([(-97, -42), (-40, -42), (-40, -14), (-97, -14)], linear(LINEN.base, LINEN.dark), LINEN.line, LINE)
    pen.rect(-99, -17, 186, 6, across(frame), frame.line, LINE)
    for x, y in ((-60, -63), (-71, -52)):
        with pen.at(x, y):
            d = "M-17,-4 Q-18,-11 -6,-11 L14,-9 Q22,-5 17,5 Q0,9 -17,6 Z"
            pen.path(d, linear(LINEN.light, LINEN.dark), LINEN.line, LINE)
    pen.polygon([(-46, -43), (86, -43), (98, -63), (-30, -63)], linear(c.base, c.light, angle=200), c.line, LINE)
    fall = "M-46,-43 L86,-43 L87,-9 Q66,-5 44,-9 T0,-9 T-46,-9 Z"
    pen.path(fall, linear(c.base, c.dark), c.line, LINE)
    pen.polygon([(86, -43), (98, -63), (99, -28), (87, -9)], linear(c.dark, c.line), c.line, LINE)
    pen.polygon([(-46, -43), (-36, -43), (-20, -63), (-30, -63)], c.light, c.line, LINE)
    pen.polygon([(-46, -43), (-36, -43), (-36, -9), (-46, -9)], c.light, c.line, LINE)
    for i in range(stripes):
        x = -18 + 26 * i
        pen.line([(x + 14, -62), (x, -43), (x, -9)], c.dark, 4.0, cap="butt")


@thing("mattresses", size=(215, 85), plural=True, colours="any")
def mattresses(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """Two equal twin mattresses side by side."""
    stripes = int(rng.integers(0, 4))
    width = rng.uniform(90, 98)
    front = rng.uniform(-32, -27)
    for x in (-56.0, 56.0):
        pen.rect(x - width / 2 + 1, -12, width - 2, 12, linear(LINEN.base, LINEN.dark), LINEN.line, LINE, r=4)
        _made_bed(pen, c, x, width, -82, front, 1, stripes)


@thing("wardrobe", size=(110, 190), colours="any")
def wardrobe(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A wardrobe with two doors."""
    drawers = rng.random() < 0.5
    panels = int(rng.integers(1, 3))
    knob = METAL if rng.random() < 0.5 else BRASS
    legs(pen, (-46, 46), -8, 8, c)
    pen.rect(-52, -182, 104, 175, across(c), c.line, 1.5, r=2)
    pen.rect(-55, -190, 110, 9, linear(c.light, c.base), c.line, 1.5, r=2)
    bottom = -44 if drawers else -12
    for x in (-48.0, 1.0):
        pen.rect(x, -176, 47, 176 + bottom, linear(c.light, c.base, angle=20), c.line, LINE, r=1)
        height = (176 + bottom - 8 * (panels + 1)) / panels
        for i in range(panels):
            y = -176 + 8 + i * (height + 8)
            pen.rect(x + 7, y, 33, height, linear(c.base, c.light, angle=40), c.dark, 1.8, r=1)
    for x in (-5.0, 5.0):
        pen.rect(x - 1.4, -104, 2.8, 14, across(knob), knob.line, 0.8, r=1.4)
    if drawers:
        pen.rect(-48, -40, 96, 28, down(c), c.line, LINE, r=1)
        for x in (-22, 22):
            pen.ellipse(x, -26, 2.6, None, ball(knob), knob.line, 0.8)


# --- living room --------------------------------------------------------------------------------


@thing("table", size=(120, 72))
def table(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A table; objects stand on it at about y = -75, and ``c`` is its wood."""
    rounded = rng.random() < 0.4
    width = rng.uniform(5.5, 7.5)
    splay = rng.uniform(0, 4)
    dark = Shades(c.dark, c.base, mix(c.dark, c.line, 0.5), c.line)
    for top, thick, foot, y, tone in ((40, width * 0.8, 41, -7, dark), (47, width, 48, 0, c)):
        for s in (-1, 1):
            corners = [(top, -68), (top + thick, -68), (foot + splay + thick / 2, y), (foot + splay, y)]
            pen.polygon([(s * x, level) for x, level in corners], across(tone), c.line, LINE)
    if rounded:
        pen.rect(-50, -70, 100, 9, linear(c.dark, c.base), c.line, LINE, r=1)
        pen.path("M-60,-75.5 L-60,-72 A60,5.5 0 0 0 60,-72 L60,-75.5 Z", across(c), c.line, LINE)
        pen.ellipse(0, -75.5, 60, 5.2, linear(c.base, c.light), c.line, LINE)
    else:
        pen.rect(-54, -70, 108, 10, linear(c.dark, c.base), c.line, LINE)
        pen.rect(-60, -72, 120, 4.5, across(c), c.line, LINE, r=1)
        pen.polygon([(-60, -72), (60, -72), (52, -79.5), (-52, -79.5)], linear(c.base, c.light), c.line, LINE)
        for y, t in ((-74.5, 0.66), (-77, 0.33)):
            pen.line([(-50 - 6 * t, y), (50 + 6 * t, y)], c.dark, 0.5, opacity=0.5, ghost=True)


@thing("folding chair", size=(48, 82), colours="any")
def folding_chair(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A folding chair turned a little to the side, so that its crossed metal legs show."""
    slats = rng.random() < 0.4
    turn = 1 if rng.random() < 0.5 else -1

    def at(u: float, w: float, v: float) -> tuple[float, float]:
        """Screen point of u across, w towards the viewer, v up."""
        return 0.74 * u - 0.52 * w, -0.92 * v + 0.1 * u + 0.2 * w - 6.5

    def stem(v: float) -> float:
        """How far forward the tube of the back is at height v, above the seat."""
        return -12 - 5 * (v - 43) / 35

    with pen.at(scale=(turn, 1)):
        for u in (-17, 17):
            tube(pen, [at(u, 15, 43), at(u, -21, 0)], METAL, 1.6)
        tube(pen, [at(-17, -17, 4), at(17, -17, 4)], METAL, 1.5)
        corners = [at(-19, -12, 43), at(19, -12, 43), at(19, 17, 43), at(-19, 17, 43)]
        for u in (-18, 18):
            tube(pen, [at(u, stem(77), 77), at(u, -12, 43), at(u, 20, 0)], METAL, 1.6)
        pen.polygon(corners, linear(c.base, c.light), c.line, LINE)
        lip = [at(-19, 17, 43), at(19, 17, 43), at(19, 17, 39), at(-19, 17, 39)]
        pen.polygon(lip, c.base, c.line, LINE * 0.8)
        rim = [at(19, -12, 43), at(19, 17, 43), at(19, 17, 39), at(19, -12, 39)]
        pen.polygon(rim, c.dark, c.line, LINE * 0.8)
        for low, high in ((53, 63), (65.5, 75.5)) if slats else ((52, 76),):
            outline = ((-20, high), (20, high), (20, low), (-20, low))
            sheet = [at(u, stem(v), v) for u, v in outline]
            pen.polygon(sheet, across(c), c.line, 2.4)
            pen.polygon(sheet, across(c), c.base, 0.8)


def _cushion(pen: Pen, c: Shades, x: float, y: float, w: float, h: float, r: float) -> None:
    """A plump cushion with top left corner (x, y)."""
    pen.rect(x, y, w, h, linear((0, c.light), (0.3, c.base), (0.8, c.base), (1, c.dark)), c.line, LINE, r=r)
    pen.line([(x + r, y + 2.6), (x + w - r, y + 2.6)], c.light, 1.4, opacity=0.8, ghost=True)


def _upholstered(pen: Pen, c: Shades, rng: np.random.Generator, width: float, height: float, seats: int) -> None:
    """An armchair or a sofa from the front."""
    arm = rng.uniform(15, 19)
    round_arm = rng.random() < 0.5
    tufted = rng.random() < 0.5
    soft = rng.uniform(7, 16)
    half = width / 2
    legs(pen, (-half + 10, half - 10), -10, 6, wood(rng))
    inner = half - arm
    pen.rect(-half + 6, -height, width - 12, height - 10, across(c), c.line, 1.4, r=soft)
    w = 2 * inner / seats
    for i in range(seats):
        x = -inner + i * w
        _cushion(pen, c, x + 0.5, -height + 6, w - 1, height - 44, min(soft, 9))
        if tufted:
            for u in (0.28, 0.72):
                pen.ellipse(x + w * u, -height + 22, 1.3, None, c.dark, c.line, 0.7)
    pen.rect(-inner - 2, -32, 2 * inner + 4, 24, linear(c.base, c.dark), c.line, LINE)
    for i in range(seats):
        _cushion(pen, c, -inner + i * w, -44, w, 16, 5)
    for s in (-1, 1):
        x = -half if s < 0 else half - arm
        if round_arm:
            pen.rect(x + 2, -56, arm - 4, 49, across(c), c.line, 1.4, r=2)
            pen.ellipse(x + arm / 2, -56, arm / 2 + 1, None, ball(c), c.line, 1.4)
            pen.ellipse(x + arm / 2, -56, arm / 5, None, None, c.dark, 1.2)
        else:
            pen.rect(x, -60, arm, 53, across(c), c.line, 1.4, r=6)
            pen.line([(x + 4, -55), (x + arm - 4, -55)], c.light, 1.8, opacity=0.8, ghost=True)


@thing("armchair", size=(90, 88), colours="any")
def armchair(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """An upholstered armchair."""
    _upholstered(pen, c, rng, 88, 88, 1)


@thing("sofa", size=(190, 85), colours="any")
def sofa(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A sofa for two."""
    _upholstered(pen, c, rng, 188, 85, 2)


@thing("stool", size=(40, 60), colours="any")
def stool(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A round stool on three legs."""
    thick = rng.uniform(4, 8)
    spread = rng.uniform(15, 18)
    rung = rng.uniform(-24, -18)
    hose(pen, "M1,-54 L3,-5", c, 3.4)
    u = 10 + (spread - 10) * (1 + rung / 54)
    tube(pen, [(-u, rung), (2.4, rung - 4), (u, rung)], c, 1.8)
    for s in (-1, 1):
        hose(pen, f"M{s * 10},-54 L{s * spread},-1.8", c, 3.6)
    side = f"M-19,-56 L-19,{-56 + thick} A19,4.4 0 0 0 19,{-56 + thick} L19,-56 Z"
    pen.path(side, across(c), c.line, LINE)
    pen.ellipse(0, -56, 19, 4.6, linear(c.base, c.light, angle=200), c.line, LINE)


@thing("lamp", size=(45, 150), colours="any")
def lamp(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A floor lamp with a glowing shade."""
    top, low = rng.uniform(10, 17), rng.uniform(20, 22)
    height = rng.uniform(34, 42)
    glow = (255, 236, 170)
    bottom = -149 + height
    pen.ellipse(0, bottom + 4, 34, 22, radial((0, glow, 0.55), (1, glow, 0.0)), ghost=True)
    tube(pen, [(0, -3), (0, bottom)], METAL, 1.6)
    pen.path("M-14,0 Q-14,-5 0,-5 Q14,-5 14,0 Z", across(c), c.line, LINE)
    pen.ellipse(0, bottom, low, 3.2, glow, c.line, LINE)
    shade = f"M{-top},-149 Q0,-151 {top},-149 L{low},{bottom} Q0,{bottom + 4.5} {-low},{bottom} Z"
    pen.path(shade, across(c), c.line, LINE)
    pen.path(f"M{-top},-147 Q0,-148.5 {top},-147", None, c.dark, 1.6)
    pen.path(f"M{-low + 0.6},{bottom - 3} Q0,{bottom + 1.5} {low - 0.6},{bottom - 3}", None, c.dark, 1.6)


@thing("curtains", size=(120, 130), stands="wall", plural=True, colours="any", shadow=0)
def curtains(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A window between two curtains on a rod."""
    gap = rng.uniform(13, 17)
    folds = int(rng.integers(3, 5))
    tied = rng.random() < 0.4
    pen.rect(-44, -118, 88, 96, LINEN.base, LINEN.line, LINE)
    pen.rect(-39, -113, 78, 86, linear(GLASS[1], GLASS[0]), LINEN.line, LINE)
    pen.rect(-2, -113, 4, 86, LINEN.base, LINEN.line, 0.7)
    pen.rect(-39, -72, 78, 4, LINEN.base, LINEN.line, 0.7)
    pen.rect(-48, -24, 96, 5, LINEN.base, LINEN.line, LINE)
    pen.polygon([(4, -80), (12, -96), (16, -96), (8, -80)], (255, 255, 255), opacity=0.7, ghost=True)
    tube(pen, [(-58, -126), (58, -126)], METAL, 2.4)
    for s in (-1, 1):
        pen.ellipse(s * 58, -126, 2.8, None, ball(METAL), METAL.line, 0.8)
        with pen.at(scale=(s, 1)):
            bow = f"Q{gap},-90 {gap + 7},-52 " if tied else ""
            inner = f"L{gap * 0.7:.2f},-127 {bow}L{gap},-2"
            pen.path(f"M56,-127 {inner} Q{gap + 11},1 {gap + 22},-2 T58,-2 Z", c.base)
            for i in range(folds):
                x0, x1 = 12 + i * 45 / folds, 17 + i * 42 / folds
                w = 40 / folds
                strip = [(x0 + w * 0.3, -127), (x0 + w * 0.75, -127), (x1 + w * 0.8, -3), (x1 + w * 0.3, -3)]
                if i or not tied:  # the innermost fold would stick out of a tied curtain
                    pen.polygon(strip, linear(c.dark, c.base, c.light, angle=0))
            pen.path(f"M56,-127 {inner} Q{gap + 11},1 {gap + 22},-2 T58,-2 Z", None, c.line, LINE)
            if tied:
                pen.path(f"M{gap + 4},-55 Q40,-44 58,-56 L58,-50 Q40,-38 {gap + 5},-49 Z", c.dark, c.line, LINE)


@thing("picture", size=(60, 45), stands="wall", shadow=0)
def picture(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A framed landscape: hills, a sun and a lake."""
    frame = BRASS if rng.random() < 0.4 else wood(rng)
    peaks = rng.uniform(-34, -27, size=2)
    sun = rng.uniform(-17, 17)
    meadow, hill = (132, 172, 104), (120, 146, 160)
    pen.rect(-30, -45, 60, 45, down(frame), frame.line, LINE, r=1)
    pen.rect(-26, -41, 52, 37, LINEN.base, frame.line, LINE * 0.7)
    pen.rect(-23, -38, 46, 31, linear((150, 200, 232), (240, 232, 214)))
    pen.ellipse(sun, -32, 3.2, None, (250, 214, 110))
    pen.polygon([(-23, -19), (-12, peaks[0]), (0, -20), (11, peaks[1]), (23, -21), (23, -10), (-23, -10)], hill)
    for x, y in ((-12, peaks[0]), (11, peaks[1])):
        pen.polygon([(x, y), (x - 2.6, y + 3), (x, y + 2.2), (x + 2.4, y + 3)], (246, 248, 250))
    pen.path("M-23,-18 Q-10,-21 2,-16 T23,-18 L23,-7 L-23,-7 Z", linear(meadow, (84, 132, 80)))
    pen.path("M4,-15 Q-4,-13 2,-11 T-8,-7 L10,-7 Q12,-11 6,-12.5 T6,-15 Z", (142, 190, 220))
    pen.line([(-16, -10), (-16, -14)], (104, 76, 54), 1.2)
    pen.ellipse(-16, -17, 3.4, 4.4, (62, 110, 70))
    pen.rect(-23, -38, 46, 31, None, frame.line, 0.7)
