"""Objects out of doors: plants, vehicles, street furniture and what flies.

Each object is drawn in centimeters with its foot at y = 0. Random draws shape an object and never look at
its color, so that a recolored object keeps its form.
"""

from __future__ import annotations

import math

from ..svg import RGB, Gradient, Pen, Shades, linear, mix, radial, shades
from .registry import thing

WHITE: RGB = (255, 255, 255)
BARK = shades((104, 78, 62))
WOOD = shades((176, 134, 92))
STEEL = shades((158, 164, 172))
IRON = shades((72, 76, 84))
RUBBER = shades((46, 48, 54))
GLASS = shades((146, 172, 186))
LEAF = shades((84, 142, 78))
FIR = shades((52, 110, 84))
SNOW = Shades((240, 244, 249), WHITE, (204, 216, 232), (132, 148, 172))
CARROT = shades((236, 128, 44))
COAL: RGB = (44, 46, 54)


def path_data(*items: str | float) -> str:
    """SVG path data from commands and numbers."""
    return " ".join(i if isinstance(i, str) else f"{i:.2f}" for i in items)


def scallop(points, bulge: float = 0.6, *, close: bool = True) -> str:
    """Path data of arcs that bulge outwards between clockwise ``points``: a leafy or cloudy edge.

    ``bulge`` is the radius of an arc as a fraction of its chord; 0.5 is a half circle.
    """
    points = list(points)
    items: list = ["M", *points[0]]
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1] * close, strict=False):
        r = bulge * math.hypot(x1 - x0, y1 - y0)
        items += ["A", r, r, "0 0 1", x1, y1]
    return path_data(*items) + (" Z" if close else "")


def _ring(cx: float, cy: float, rx: float, ry: float, n: int, rng, wobble: float = 0.08) -> list:
    """``n`` points clockwise around an ellipse, a little disturbed."""
    turn = rng.uniform(0, 2 * math.pi)
    out = []
    for i in range(n):
        a = turn + 2 * math.pi * (i + rng.uniform(-0.18, 0.18)) / n
        k = 1 + rng.uniform(-wobble, wobble)
        out.append((cx + k * rx * math.cos(a), cy + k * ry * math.sin(a)))
    return out


def _soft(c: Shades, t: float = 0.5) -> RGB:
    """A step towards the light side that still is plainly the same color term."""
    return mix(c.base, c.light, t)


def _seam(c: Shades) -> RGB:
    """A tone for inner lines: the dark side, or the light one where the paint is black."""
    return c.light if sum(c.base) < 180 else mix(c.dark, c.line, 0.4)


def _round(c: Shades) -> Gradient:
    """Paint of a ball lit from the upper left."""
    return radial((0.0, _soft(c, 0.8)), (0.5, c.base), (1.0, c.dark), centre=(0.36, 0.32), radius=0.72)


def _tube(c: Shades, angle: float = 0.0) -> Gradient:
    """Paint of an upright tube lit from the left."""
    return linear((0.0, c.base), (0.25, _soft(c, 0.7)), (0.55, c.base), (1.0, c.dark), angle=angle)


def _crown(pen: Pen, c: Shades, cx: float, cy: float, rx: float, ry: float, rng) -> None:
    """One leafy crown: a scalloped mass with lit and shaded clumps of leaves."""
    pen.path(scallop(_ring(cx, cy, 0.86 * rx, 0.87 * ry, 11, rng, 0.05)), _round(c), c.line, 2.0)
    for dx, dy, size, tone in (
        (0.36, 0.36, 0.36, mix(c.base, c.dark, 0.6)),
        (-0.28, -0.34, 0.38, _soft(c, 0.65)),
        (0.26, -0.2, 0.27, _soft(c, 0.4)),
        (-0.34, 0.3, 0.26, mix(c.base, c.dark, 0.35)),
    ):
        x, y = cx + dx * rx + rng.uniform(-4, 4), cy + dy * ry + rng.uniform(-4, 4)
        pen.path(scallop(_ring(x, y, size * rx, size * 0.8 * ry, 8, rng)), tone)
    for _ in range(15):
        a, k = rng.uniform(0, 2 * math.pi), rng.uniform(0.15, 0.78)
        x, y = cx + k * rx * math.cos(a), cy + k * ry * math.sin(a)
        pen.path(path_data("M", x - 4, y, "q 4 6 9 0"), None, _seam(c), 1.5)


@thing("trees", size=(240, 260), plural=True, colours="any")
def trees(pen: Pen, c: Shades, rng) -> None:
    """Two or three leafy trees, the smaller ones behind."""
    three = rng.random() < 0.5
    side = 1 if rng.random() < 0.5 else -1
    spots = [(-58 * side, 190, 58, 66), (52 * side, 258, 66, 86)]
    if three:
        spots = [(-68 * side, 204, 48, 66), (70 * side, 184, 48, 56), (2 * side, 258, 64, 82)]
    for x, high, rx, ry in spots:
        high += rng.uniform(-8, 0)
        cy, foot = -high + ry, -rng.uniform(0, 5) if high < 220 else 0
        w = 0.13 * rx
        trunk = path_data("M", x - 1.8 * w, foot, "Q", x - w, foot - 12, x - w, cy, "L", x + w, cy)
        trunk += path_data(" Q", x + w, foot - 12, x + 1.8 * w, foot, "Z")
        pen.path(trunk, linear(BARK.light, BARK.base, BARK.dark, angle=0), BARK.line, 1.6)
        _crown(pen, c, x, cy, rx, ry, rng)


@thing("pine", size=(120, 260), noun="pine tree")
def pine(pen: Pen, c: Shades, rng) -> None:
    """A conifer of drooping tiers, with or without snow on them."""
    snowy = rng.random() < 0.6
    tiers = int(rng.integers(4, 6))
    lean = rng.uniform(0.94, 1.0)
    pen.rect(-7, -36, 14, 36, linear(BARK.light, BARK.base, BARK.dark, angle=0), BARK.line, 1.6)
    top, foot = -258.0, -26.0
    step = (foot - top) / (tiers + 0.9)
    for i in reversed(range(tiers)):
        tip = top + i * step * 0.98
        low = tip + 1.9 * step
        half = 58 * lean * (i + 1.5) / (tiers + 0.5)
        n = 5
        hem = [(half - 2 * half * k / n, low - 0.14 * step * (k in (0, n))) for k in range(n + 1)]
        d = path_data("M", 0, tip, "Q", 0.4 * half, low - 0.66 * step, *hem[0])
        for (x0, y0), (x1, y1) in zip(hem, hem[1:], strict=False):
            d += path_data(" Q", (x0 + x1) / 2, max(y0, y1) + 0.26 * step, x1, y1)
        d += path_data(" Q", -0.4 * half, low - 0.66 * step, 0, tip, "Z")
        pen.path(
            d, linear((0, mix(FIR.base, FIR.light, 0.3)), (0.55, FIR.base), (1, FIR.dark), angle=20), FIR.line, 1.8
        )
        if snowy:
            reach = 0.66 * half
            y = tip + 1.3 * step
            cap = path_data("M", 0, tip, "Q", 0.42 * reach, y - 0.5 * step, reach, y)
            for k in range(4):
                x = reach - 2 * reach * (k + 1) / 4
                cap += path_data(" Q", x + reach / 4, y + (0.3 if k % 2 else 0.05) * step, x, y)
            pen.path(
                cap + path_data(" Q", -0.42 * reach, y - 0.5 * step, 0, tip, "Z"),
                linear(WHITE, SNOW.dark),
                SNOW.line,
                1,
            )
        else:
            for k in (-0.4, 0.05, 0.45):
                x = k * half
                pen.path(path_data("M", x, low - 0.45 * step, "q 3 9 -3 16"), None, FIR.dark, 2.2)


@thing("bush", size=(110, 75), colours=("green", "red", "yellow", "purple", "orange", "pink", "white", "brown"))
def bush(pen: Pen, c: Shades, rng) -> None:
    """A rounded shrub of a few leafy mounds, with leaves picked out on them."""
    mounds = [(-27, 48, 25.5), (27, 42, 25.5), (rng.uniform(-6, 6), 68, 33)]
    for x in (-16, 2, 18):
        pen.line([(x, 0), (x * 0.8, -14)], BARK.base, 3)
    for x, high, rx in mounds:
        high += rng.uniform(-4, 4)
        n = 10
        arch = [
            (x + rx * math.cos(a) * (1 if 0 < k < n else 0.92), -9 - (high - 9) * math.sin(a))
            for k, a in enumerate(math.pi * (1 - j / n) for j in range(n + 1))
        ]
        foot = [(x + rx * 0.35, -7), (x - rx * 0.35, -7)]
        pen.path(scallop(arch + foot, 0.58), _round(c), c.line, 1.3)
    for k in range(39):
        x, high, rx = mounds[k % 3]
        a, r = rng.uniform(0, math.pi), math.sqrt(rng.uniform(0.02, 0.72))
        x, y = x + r * rx * math.cos(a), -9 - r * (high - 9) * math.sin(a)
        lit = rng.random() < (0.8 if y < -30 else 0.35)
        with pen.at(x, y, angle=rng.uniform(-70, 70)):
            pen.path("M -4 0 Q 0 -3.4 4 0 Q 0 3.4 -4 0 Z", _soft(c, 0.9) if lit else mix(c.base, c.dark, 0.9))


def _tulip(pen: Pen, c: Shades) -> None:
    """A tulip's bloom about the origin, 18 wide and 21 high, foot at (0, 9)."""
    pen.path("M -6 -2 Q -5 -10 0 -12 Q 5 -10 6 -2 L 4 8 L -4 8 Z", c.dark, c.line, 0.8)
    pen.path("M 0 9 Q -10 8 -9 -4 Q -9 -9 -8 -11 Q -1 -6 1 2 Q 1 7 0 9 Z", linear(_soft(c, 0.8), c.base), c.line, 0.8)
    pen.path("M 0 9 Q 10 8 9 -4 Q 9 -9 8 -11 Q 1 -6 -1 2 Q -1 7 0 9 Z", linear(c.base, c.dark, angle=50), c.line, 0.8)


def _daisy(pen: Pen, c: Shades, turn: float) -> None:
    """A daisy's bloom about the origin, 22 across."""
    for k in range(9):
        with pen.at(angle=turn + 40 * k):
            pen.path("M -1.4 -2 Q -5 -10 0 -11.2 Q 5 -10 1.4 -2 Z", linear(_soft(c, 0.6), c.base), c.line, 0.7)
    heart = shades((150, 92, 40))
    pen.ellipse(0, 0, 3, 3, radial(heart.light, heart.base), heart.line, 0.6)


@thing("flowers", size=(70, 60), plural=True, colours=("red", "pink", "yellow", "white", "purple", "orange", "blue"))
def flowers(pen: Pen, c: Shades, rng) -> None:
    """A patch of tulips or daisies."""
    tulips = rng.random() < 0.5
    n = int(rng.integers(6, 9))
    back = n // 2
    spots = []
    for i in range(n):
        row, count = (0, back) if i < back else (1, n - back)
        k = i - row * back
        x = (k + 0.5 - count / 2) * (41 if row else 44) / (count - 1)
        spots.append((x + rng.uniform(-2, 2), (-47 if row == 0 else -26) + rng.uniform(-1, 3), rng.uniform(0, 40)))
    for x, y, _ in spots:
        pen.path(path_data("M", 0.55 * x, 0, "Q", 0.6 * x, y / 2, x, y), None, LEAF.dark, 1.7)
    for x in (-20, -7, 7, 20):
        tip = x * 1.25 + rng.uniform(-3, 3)
        pen.path(
            path_data("M", x - 2, 0, "Q", x - 3, -9, tip, -17, "Q", x + 4, -8, x + 2, 0, "Z"), LEAF.base, LEAF.line, 0.6
        )
    for x, y, turn in spots:
        with pen.at(x, y, angle=0.2 * x):
            if tulips:
                _tulip(pen, c)
            else:
                _daisy(pen, c, turn)


@thing("bench", size=(150, 82), colours="any")
def bench(pen: Pen, c: Shades, rng) -> None:
    """A park bench seen from the front: slats on iron feet."""
    slats = int(rng.integers(3, 5))
    curl = rng.random() < 0.5
    for x in (-54, 54):
        pen.line([(x, -38), (x * 0.97, -80)], IRON.base, 4)
        pen.line([(x * 1.06, -36), (x * 1.14, -2.4)], IRON.dark, 5)
        pen.line([(x * 0.9, -36), (x * 0.86, -5)], IRON.base, 4)
    pitch = 38 / slats
    for i in range(slats):
        y = -81 + i * pitch
        pen.rect(-70, y, 140, pitch - 2, linear(_soft(c, 0.8), c.base, c.dark), c.line, 1.1, r=2)
    for i, (half, y, h) in enumerate(((70, -42, 5.4), (72, -36, 6.2), (74, -29, 8))):
        pen.rect(-half, y, 2 * half, h, linear(_soft(c, 0.9 - 0.2 * i), c.base, c.dark), c.line, 1.1, r=2)
    for side in (-1, 1):
        arm = path_data("M", side * 63, -58, "Q", side * 72, -60, side * 72, -52, "L", side * 70, -30)
        pen.path(arm, None, IRON.base, 4)
        if curl:
            pen.ellipse(side * 65, -55, 3, 3, None, IRON.base, 2)
        for dx in (58, 52):
            pen.ellipse(side * dx, -81 + pitch / 2 - 1, 0.9, 0.9, c.line)


@thing("ball", size=(34, 34), colours="any")
def ball(pen: Pen, c: Shades, rng) -> None:
    """A football, a basketball or a beach ball."""
    form = int(rng.integers(3))
    turn = rng.uniform(-35, 35)
    pen.ellipse(0, -17, 16.6, 16.6, _round(c), c.line, 0.8)
    contrast = mix(c.base, WHITE, 0.85) if sum(c.base) < 660 else c.dark
    with pen.at(0, -17, angle=turn):
        if form == 0:
            _pentagons(pen, c)
        elif form == 1:
            for d in ("M -16.4 0 H 16.4", "M 0 -16.4 V 16.4", "M -11 -12 Q -3 0 -11 12", "M 11 -12 Q 3 0 11 12"):
                pen.path(d, None, _seam(c) if sum(c.base) < 180 else c.line, 1.0)
        else:
            pen.path("M -3 -5 Q -15 -6 -15.6 5 Q -14.6 9 -12.4 10.6 Q -12 0 -3 -5 Z", contrast, c.line, 0.5)
            pen.path("M -3 -5 Q 10 -1 9 13.6 Q 12 11.6 13.6 9 Q 14 -4 -3 -5 Z", contrast, c.line, 0.5)
            pen.path("M -3 -5 Q 3 -13 11.4 -11.6 M -3 -5 Q -4 4 -3 16.2 M -3 -5 Q -9 -12 -9 -13.6", None, c.line, 0.6)
            pen.ellipse(-3, -5, 2.6, 2.4, contrast, c.line, 0.5)
    pen.ellipse(0, -17, 16.6, 16.6, linear((0.55, c.line, 0.0), (1.0, c.line, 0.35), angle=60), ghost=True)
    pen.ellipse(-6.5, -25.5, 3.6, 2.2, WHITE, opacity=0.45, ghost=True)


def _pentagons(pen: Pen, c: Shades) -> None:
    """The patches of a football about the origin, radius 16."""
    patch = c.light if sum(c.base) < 180 else mix(c.dark, c.line, 0.7)
    corner = [(5.6 * math.sin(math.radians(72 * k)), -5.6 * math.cos(math.radians(72 * k))) for k in range(5)]
    for k, (x, y) in enumerate(corner):
        pen.line([(x, y), (2.05 * x, 2.05 * y)], patch, 0.9)
        a = math.radians(72 * k)
        rim = [(r * math.sin(a + da), -r * math.cos(a + da)) for r, da in ((11.4, 0), (13.6, 0.34), (16.2, 0.24))]
        rim += [(r * math.sin(a + da), -r * math.cos(a + da)) for r, da in ((16.2, -0.24), (13.6, -0.34))]
        pen.polygon(rim, patch)
        b = math.radians(72 * k + 36)
        near = (13.6 * math.sin(a + 0.34), -13.6 * math.cos(a + 0.34))
        far = (13.6 * math.sin(a + 1.2566 - 0.34), -13.6 * math.cos(a + 1.2566 - 0.34))
        pen.line([near, (12.6 * math.sin(b), -12.6 * math.cos(b)), far], patch, 0.9)
    pen.polygon(corner, patch)


def _wheel(pen: Pen, x: float, r: float, hub: Shades) -> None:
    """A car's wheel on the ground at ``x``."""
    pen.ellipse(x, -r, r, r, RUBBER.base, RUBBER.line, 1.5)
    pen.ellipse(x, -r, 0.6 * r, 0.6 * r, radial(hub.light, hub.base, hub.dark), hub.line, 1.2)
    for k in range(5):
        a = math.radians(72 * k - 90)
        pen.line(
            [(x, -r), (x + 0.5 * r * math.cos(a), -r + 0.5 * r * math.sin(a))], mix(hub.dark, hub.line, 0.5), 0.12 * r
        )
    pen.ellipse(x, -r, 0.16 * r, 0.16 * r, hub.dark)


@thing("car", size=(330, 145), colours="any")
def car(pen: Pen, c: Shades, rng) -> None:
    """A car from the side, a saloon or a hatchback, facing left or right."""
    saloon = rng.random() < 0.5
    flip = -1 if rng.random() < 0.5 else 1
    with pen.at(scale=(flip, 1)):
        tail = "L -96 -92 L -146 -88 Q -160 -86 -161 -70" if saloon else "L -134 -94 Q -156 -88 -158 -70"
        roof_back = -52 if saloon else -96
        body = path_data("M -161 -70 L -163 -36 Q -162 -24 -150 -24 L 150 -24 Q 163 -25 163 -40")
        body += " Q 163 -74 140 -80 L 84 -92"
        body += path_data(" Q 56 -142", 24, -143, "L", roof_back, -143, "Q", roof_back - 22, -142)
        body += " -98 -93 " + tail + " Z" if saloon else " -138 -95 " + tail + " Z"
        pen.path(body, linear((0, _soft(c, 0.9)), (0.5, c.base), (1, c.dark)), c.line, 2.6)
        glass = linear(GLASS.light, GLASS.base, angle=60)
        pen.path("M 6 -133 L 22 -133 Q 46 -130 68 -95 L 6 -94 Z", glass, c.line, 2)
        rear = (
            "M -4 -133 L -46 -133 Q -64 -131 -84 -94 L -4 -94 Z"
            if saloon
            else ("M -4 -133 L -88 -133 Q -106 -130 -120 -95 L -4 -94 Z")
        )
        pen.path(rear, glass, c.line, 2)
        if not saloon:
            pen.line([(-72, -133), (-72, -94)], c.base, 6)
        pen.path("M -160 -66 Q 0 -78 160 -62", None, _soft(c, 1.0), 2.6)
        for d in ("M 4 -92 L 8 -36", "M 74 -92 Q 84 -60 66 -34", "M -76 -92 Q -74 -60 -92 -56"):
            pen.path(d, None, _seam(c), 1.6)
        for x in (-14, 56):
            pen.line([(x - 18, -78), (x - 6, -78)], _seam(c), 3.4)
        pen.path("M 86 -98 q -12 -8 -16 2 q 0 8 12 6 Z", c.base, c.line, 1.4)
        pen.path("M 160 -66 Q 144 -70 136 -74 Q 138 -58 162 -56 Z", (250, 240, 196), c.line, 1.4)
        pen.path("M -161 -70 L -162 -56 L -150 -60 L -150 -71 Z", (190, 46, 44), c.line, 1.4)
        pen.path("M -163 -36 Q -162 -22 -150 -22 L 150 -22 Q 163 -23 163 -38 Z", mix(c.base, c.dark, 0.9), c.line, 1.4)
        for x in (-98, 104):
            pen.path(path_data("M", x - 31, -23, "A 31 31 0 0 1", x + 31, -23, "Z"), COAL, c.line, 1.6)
            _wheel(pen, x, 27, STEEL)


@thing("bicycle", size=(165, 105), colours="any")
def bicycle(pen: Pen, c: Shades, rng) -> None:
    """A bicycle from the side: the frame, rims and mudguards carry its color."""
    flip = -1 if rng.random() < 0.5 else 1
    low_step = rng.random() < 0.5
    basket = rng.random() < 0.4
    rear, front, crank = (-47, -33), (47, -33), (-8, -31)
    seat = (-19, -76)
    with pen.at(scale=(flip, 1)):
        for x, y in (rear, front):
            for k in range(6):
                a = math.radians(30 * k + 15)
                dx, dy = 28 * math.cos(a), 28 * math.sin(a)
                pen.line([(x - dx, y - dy), (x + dx, y + dy)], STEEL.base, 0.6)
            pen.ellipse(x, y, 31.2, 31.2, None, RUBBER.base, 2.6)
            pen.ellipse(x, y, 27.8, 27.8, None, c.line, 5.2)
            pen.ellipse(x, y, 27.9, 27.9, None, c.base, 4.4)
            guard = path_data("M", x - 33, y - 10, "A 34.5 34.5 0 0 1", x + 22, y - 26.5)
            pen.path(guard, None, c.line, 5)
            pen.path(guard, None, c.base, 4)
        top = [(-15, -60), (36, -72)] if not low_step else [(-12, -46), (20, -56), (35, -74)]
        tubes = [
            [rear, crank, (36, -68)],
            [rear, (seat[0] + 4, -66)],
            [crank, (-20, -74)],
            top,
            [(32, -86), front],
        ]
        for points in tubes:
            pen.line(points, c.line, 6.8)
        for points in tubes:
            pen.line(points, c.base, 5.4)
        for points in tubes:
            pen.line([(x - 0.6, y - 1.2) for x, y in points], _soft(c, 0.9), 1.3)
        pen.line([(-20, -75), (-22, -86)], STEEL.base, 3)
        pen.path(
            "M -36 -90 Q -36 -94 -28 -93 L -10 -91 Q -6 -90 -8 -88 Q -18 -84 -32 -85 Z", RUBBER.base, RUBBER.line, 1
        )
        pen.line([(32, -84), (30, -96)], STEEL.base, 3.2)
        pen.path("M 22 -99 Q 34 -103 40 -94 Q 42 -88 34 -88", None, IRON.base, 3.4)
        pen.line([(17, -98), (26, -100)], RUBBER.base, 4.4)
        pen.ellipse(*crank, 8.5, 8.5, c.base, c.line, 1.4)
        pen.line([(-11, -44), (-5, -18)], IRON.base, 2.6)
        for x, y in ((-11, -44), (-5, -18)):
            pen.line([(x - 5, y), (x + 5, y)], RUBBER.base, 3)
        for x, y in (rear, front):
            pen.ellipse(x, y, 4, 4, STEEL.base, STEEL.line, 1)
        if basket:
            pen.polygon([(44, -92), (70, -92), (66, -72), (46, -72)], WOOD.base, WOOD.line, 1.2)
            for k in range(3):
                pen.line([(45, -88 + 5 * k), (68, -88 + 5 * k)], WOOD.dark, 1)


@thing("hydrant", size=(40, 78), noun="fire hydrant", colours="any")
def hydrant(pen: Pen, c: Shades, rng) -> None:
    """A fire hydrant: domed cap, side nozzles and flanges."""
    bolts = int(rng.integers(4, 7))
    chain = rng.random() < 0.5
    nozzle = -46 + rng.uniform(-2, 2)
    tube = _tube(c)
    for side in (-1, 1):
        x = min(0, side * 19)
        pen.rect(x + (3 if side < 0 else -3), nozzle - 5, 16 + 3, 10, linear(_soft(c), c.base, c.dark), c.line, 1)
        pen.rect(side * 16.8 - 2.6, nozzle - 7, 5.2, 14, linear(_soft(c), c.base, c.dark), c.line, 1, r=1.4)
    pen.path("M -12.5 -62 L -12.5 -6 L 12.5 -6 L 12.5 -62 Z", tube, c.line, 1)
    pen.path("M -13 -61 Q -13 -74 0 -75 Q 13 -74 13 -61 Z", tube, c.line, 1)
    pen.rect(-3.4, -77.4, 6.8, 5, tube, c.line, 1, r=1)
    pen.rect(-15.5, -62.5, 31, 5.4, tube, c.line, 1, r=1.6)
    pen.rect(-15, -27, 30, 4.6, tube, c.line, 1, r=1.6)
    pen.rect(-17, -7, 34, 7, tube, c.line, 1, r=1.6)
    pen.ellipse(0, nozzle + 1, 8.6, 8.6, mix(c.base, c.dark, 0.5), c.line, 1)
    pen.ellipse(0, nozzle + 1, 6.2, 6.2, _round(c), c.line, 0.8)
    pen.rect(-1.8, nozzle - 0.8, 3.6, 3.6, _seam(c), c.line, 0.6)
    for k in range(bolts):
        x = -13 + 26 * k / (bolts - 1)
        pen.ellipse(x, -3.4, 1.3, 1.3, _seam(c))
        pen.ellipse(x * 0.9, -59.8, 1.1, 1.1, _seam(c))
    if chain:
        pen.path(path_data("M 7", nozzle + 5, "Q 13", nozzle + 18, "15", nozzle + 7), None, STEEL.dark, 1.2)
    pen.line([(-8.6, -22), (-8.6, -9)], _soft(c, 1.0), 1.8)
    pen.path("M -8.6 -64 Q -8 -70 -3 -71.6", None, _soft(c, 1.0), 1.8)


@thing("mailbox", size=(45, 110), colours="any")
def mailbox(pen: Pen, c: Shades, rng) -> None:
    """A letter box with an arched front and a little flag, on a post."""
    flip = -1 if rng.random() < 0.5 else 1
    raised = rng.random() < 0.5
    with pen.at(scale=(flip, 1)):
        pen.rect(-3.2, -70, 6.4, 70, linear(WOOD.light, WOOD.base, WOOD.dark, angle=0), WOOD.line, 0.9)
        pen.polygon([(-3, -52), (-12, -68), (-7, -68), (-3, -60)], WOOD.dark, WOOD.line, 0.8)
        pen.path(
            "M -8 -66 L -8 -92 Q -7 -108 -14 -109 L 12 -109 Q 21.5 -108 21.5 -92 L 21.5 -66 Z",
            linear((0, _soft(c, 0.8)), (0.45, c.base), (1, c.dark)),
            c.line,
            1.1,
        )
        pen.path(
            "M -22 -66 L -22 -95 Q -22 -109 -14 -109 Q -6 -109 -6 -95 L -6 -66 Z",
            linear(_soft(c, 0.6), c.base, angle=60),
            c.line,
            1.1,
        )
        pen.path(
            "M -19.6 -68.5 L -19.6 -95 Q -19.6 -106 -14 -106 Q -8.4 -106 -8.4 -95 L -8.4 -68.5 Z", None, _seam(c), 0.9
        )
        pen.line([(-16.4, -94), (-11.6, -94)], c.line, 1.6)
        pen.rect(-14.9, -103.4, 1.8, 6, STEEL.base, c.line, 0.5, r=0.8)
        pen.line([(-5, -71), (21, -71)], _seam(c), 0.9)
        flag = shades((214, 70, 62)) if max(c.base) - min(c.base) < 40 else shades((238, 236, 228))
        with pen.at(2, -82, angle=0 if raised else 90):
            pen.line([(0, 0), (0, -18)], flag.line, 2)
            pen.rect(-0.8, -19, 9, 6.4, flag.base, flag.line, 0.7)
        pen.ellipse(2, -82, 1.6, 1.6, STEEL.base, STEEL.line, 0.6)


@thing("tent", size=(210, 135), colours="any")
def tent(pen: Pen, c: Shades, rng) -> None:
    """A ridge tent, its door tied open, with ropes and pegs."""
    flip = -1 if rng.random() < 0.5 else 1
    apex = -34 + rng.uniform(-5, 5)
    open_ = rng.uniform(11, 17)
    rope = (206, 200, 186)
    with pen.at(scale=(flip, 1)):
        for x0, y0, x1 in ((apex, -130, -102), (76, -124, 103)):
            pen.line([(x0, y0), (x1, -1)], rope, 1.3)
            pen.line([(x1 - 1, -6), (x1 + 1, 0)], IRON.base, 2.4)
        side = [(apex, -131), (74, -125), (97, -2), (24, -1)]
        pen.polygon(side, linear((0, c.base), (1, c.dark), angle=70), c.line, 1.8)
        pen.path(path_data("M", apex + 20, -96, "L 80 -92"), None, _seam(c), 1.2)
        pen.path("M 74 -125 L 66 -62 L 60 -2", None, _seam(c), 1)
        pen.polygon([(apex, -131), (24, -1), (-92, -1)], linear(_soft(c, 0.9), c.base, angle=70), c.line, 1.8)
        mouth = [(apex, -104), (apex + open_, -1), (apex - open_, -1)]
        pen.polygon(mouth, linear((58, 60, 70), (92, 90, 92)), c.line, 1.2)
        for s in (-1, 1):
            flap = path_data("M", apex, -106, "Q", apex + s * 4, -60, apex + s * (open_ + 9), -38)
            flap += path_data(" Q", apex + s * (open_ - 2), -20, apex + s * open_, -1)
            flap += path_data(" L", apex + s * (open_ + 16), -1, "L", apex + s * (open_ + 13), -40, "Z")
            pen.path(flap, _soft(c, 1.0) if s < 0 else mix(c.base, c.dark, 0.5), c.line, 1.2)
            pen.line([(apex + s * (open_ + 6), -38), (apex + s * (open_ + 14), -42)], rope, 2.4)
        pen.line([(apex, -131), (apex, -134)], IRON.base, 3)
        pen.line([(apex, -131), (74, -125)], _soft(c, 1.0), 1.8)


@thing("kite", size=(70, 110), stands="sky", colours="any", shadow=0)
def kite(pen: Pen, c: Shades, rng) -> None:
    """A diamond kite with a tail of bows."""
    tilt = rng.uniform(-14, 14)
    bows = int(rng.integers(3, 5))
    sway = 9 if rng.random() < 0.5 else -9
    tail = [(sway * math.sin(1.9 * math.pi * t) * t**0.3, -44 + 42 * t) for t in (k / 24 for k in range(25))]
    pen.line(tail, mix(c.line, c.base, 0.2), 1.4)
    for k in range(bows):
        i = round(24 * (k + 1) / bows) - (2 if k == bows - 1 else 1)
        with pen.at(*tail[i], angle=rng.uniform(-25, 25)):
            pen.polygon([(0, 0), (-8, -4.4), (-8, 4.4)], _soft(c, 0.6), c.line, 0.8)
            pen.polygon([(0, 0), (8, -4.4), (8, 4.4)], mix(c.base, c.dark, 0.4), c.line, 0.8)
            pen.ellipse(0, 0, 1.8, 1.8, c.base, c.line, 0.7)
    with pen.at(0, -44, angle=tilt):
        top, left, right, cross = (0, -62), (-28, -38), (28, -38), (0, -38)
        for a, b, tone in (
            (top, left, _soft(c, 0.7)),
            (top, right, c.base),
            (right, (0, 0), mix(c.base, c.dark, 0.8)),
            (left, (0, 0), _soft(c, 0.1)),
        ):
            pen.polygon([a, b, cross], tone)
        pen.polygon([top, right, (0, 0), left], None, c.line, 1.4)
        pen.line([left, right], c.line, 1.2)
        pen.line([top, (0, 0)], c.line, 1.2)


@thing("snowman", size=(80, 130))
def snowman(pen: Pen, c: Shades, rng) -> None:
    """A snowman with a carrot nose, stick arms, a hat and a scarf of color ``c``."""
    hat = rng.random() < 0.6
    flip = -1 if rng.random() < 0.5 else 1
    lift = rng.uniform(-8, 8)
    snow = radial((0, WHITE), (0.55, SNOW.base), (1, SNOW.dark), centre=(0.36, 0.3), radius=0.75)
    with pen.at(scale=(flip, 1)):
        for s in (-1, 1):
            y = -72 - s * lift
            pen.line([(s * 20, -58), (s * 38, y)], BARK.base, 2.6)
            pen.line([(s * 31, y + 5 if y < -66 else y + 2), (s * 32, y - 6)], BARK.base, 2)
            pen.line([(s * 35, y + 2), (s * 39, y + 6)], BARK.base, 1.8)
        pen.path("M -26 -2 Q -42 -22 -26 -42 Q 0 -60 26 -42 Q 42 -22 26 -2 Q 0 3 -26 -2 Z", snow, SNOW.line, 1.5)
        pen.ellipse(0, -60, 24.5, 22.5, snow, SNOW.line, 1.5)
        pen.ellipse(0, -94, 18.5, 17.5, snow, SNOW.line, 1.5)
        for y in (-64, -53, -36):
            pen.ellipse(2, y, 2.2, 2.2, COAL)
        pen.path("M -17 -80 Q 0 -70 17 -80 L 18 -73 Q 0 -63 -18 -73 Z", linear(_soft(c), c.base, c.dark), c.line, 1.1)
        pen.path("M 8 -72 L 17 -74 L 19 -48 L 10 -47 Z", linear(c.base, c.dark), c.line, 1.1)
        for x in (11.5, 14.5, 17.5):
            pen.line([(x, -48), (x, -44.5)], c.line, 1.2)
        for x in (-5, 9):
            pen.ellipse(x, -98, 2.1, 2.5, COAL)
        pen.path("M 2 -95 L 25 -90 L 2 -89 Q -1 -92 2 -95 Z", linear(CARROT.light, CARROT.base), CARROT.line, 1)
        for x, y in ((-6, -86), (-2, -83.6), (3, -83), (8, -84.4)):
            pen.ellipse(x, y, 1.2, 1.2, COAL)
        if hat:
            pen.path("M -13 -108 L -12 -129 L 12 -129 L 13 -108 Z", linear(IRON.base, COAL, angle=0), COAL, 1.2)
            pen.path("M -13 -113 Q 0 -110 13 -113 L 13 -107 Q 0 -104 -13 -107 Z", (176, 62, 60))
            pen.path(
                "M -20 -108 Q 0 -102 20 -108 Q 21 -105 19 -104 Q 0 -98 -19 -104 Q -21 -105 -20 -108 Z",
                IRON.dark,
                COAL,
                1,
            )
        else:
            knit = shades((206, 84, 76))
            pen.path("M -17 -102 Q -16 -124 0 -124 Q 16 -124 17 -102 Z", linear(knit.light, knit.base), knit.line, 1.1)
            pen.rect(-19, -107, 38, 7.6, SNOW.base, SNOW.line, 1.1, r=3.8)
            pen.ellipse(0, -125, 5, 4.6, SNOW.base, SNOW.line, 1.1)


@thing("sign", size=(45, 170), colours="any")
def sign(pen: Pen, c: Shades, rng) -> None:
    """A blank round traffic sign on a pole."""
    ring = rng.random() < 0.6
    cy = -147.0
    pen.rect(-1.6, cy, 3.2, -cy - 0.5, linear(STEEL.light, STEEL.base, STEEL.dark, angle=0), STEEL.line, 0.8)
    pen.path("M -7 0 L -5 -4 L 5 -4 L 7 0 Z", STEEL.dark, STEEL.line, 0.8)
    pale = mix(c.base, WHITE, 0.9) if sum(c.base) < 660 else (176, 184, 196)
    pen.ellipse(0, cy, 21.8, 21.8, pale, c.line, 1.1)
    pen.ellipse(0, cy, 20.8, 20.8, linear((0, _soft(c, 0.5)), (0.5, c.base), (1, mix(c.base, c.dark, 0.5)), angle=55))
    if ring:
        pen.ellipse(0, cy, 17, 17, None, pale, 1)
    for dy in (-9, 9):
        pen.ellipse(0, cy + dy, 1.2, 1.2, STEEL.base, STEEL.line, 0.4)
    pen.path("M -14 -156 Q -10 -163 -2 -164", None, WHITE, 2.2, opacity=0.4, ghost=True)


@thing("bucket", size=(34, 38), colours="any")
def bucket(pen: Pen, c: Shades, rng) -> None:
    """A bucket, its handle up or hanging down in front."""
    up = rng.random() < 0.6
    hoops = int(rng.integers(1, 3))
    if up:
        pen.path("M -15.4 -26 Q -14 -37 0 -37 Q 14 -37 15.4 -26", None, STEEL.line, 1.8)
        pen.path("M -15.4 -26 Q -14 -37 0 -37 Q 14 -37 15.4 -26", None, STEEL.base, 1)
        pen.line([(-4, -37), (4, -37)], WOOD.base, 2)
    pen.path("M -16 -26.5 L -11.6 -2 Q 0 2 11.6 -2 L 16 -26.5 Z", _tube(c), c.line, 0.8)
    for k in range(hoops):
        y, half = -18 + 11 * k, 14.6 - 2 * k
        pen.path(path_data("M", -half, y, "Q 0", y + 4.6, half, y), None, _seam(c), 0.9)
    pen.ellipse(0, -26.5, 16.2, 3.6, linear(mix(c.base, c.dark, 0.6), mix(c.dark, c.line, 0.3)), c.line, 0.8)
    pen.ellipse(0, -26.5, 16.2, 3.6, None, _soft(c, 0.8), 1.1)
    pen.ellipse(0, -26.5, 16.7, 4.1, None, c.line, 0.5)
    for x in (-15.4, 15.4):
        pen.ellipse(x, -25.4, 1.5, 1.7, c.dark, c.line, 0.6)
    if not up:
        pen.path("M -15.4 -25 Q -13 -10 0 -9.4 Q 13 -10 15.4 -25", None, STEEL.line, 1.8)
        pen.path("M -15.4 -25 Q -13 -10 0 -9.4 Q 13 -10 15.4 -25", None, STEEL.light, 1)


@thing("ladder", size=(70, 170), colours="any")
def ladder(pen: Pen, c: Shades, rng) -> None:
    """A stepladder seen half from the side."""
    flip = -1 if rng.random() < 0.5 else 1
    steps = int(rng.integers(5, 7))
    back = mix(c.base, c.dark, 0.75)

    def leg(foot: float, top: float, paint: RGB | Gradient, low: float = 0.0) -> None:
        pen.polygon([(top - 3, -163), (top + 3, -163), (foot + 3.6, low), (foot - 3.6, low)], paint, c.line, 1)

    with pen.at(scale=(flip, 1)):
        leg(31, 6, back, -8)
        leg(14, -2, back, -8)
        for t in (0.35, 0.8):
            y = -163 + 155 * t
            pen.line([(-2 + 16 * t, y), (6 + 25 * t, y)], c.line, 5)
            pen.line([(-2 + 16 * t, y), (6 + 25 * t, y)], back, 3.6)
        pen.line([(-19, -66), (22, -62)], STEEL.dark, 1.4)
        for k in range(steps):
            t = (k + 0.9) / (steps + 0.2)
            y = -163 + 163 * t
            x0, x1 = -10 - 21 * t, 8 + 2 * t
            pen.rect(x0, y - 4, x1 - x0, 3.4, _soft(c, 0.8), c.line, 0.9)
            pen.rect(x0, y - 0.6, x1 - x0, 4, c.dark, c.line, 0.9)
        leg(-31, -10, linear(_soft(c), c.base, angle=0))
        leg(10, 8, linear(_soft(c), c.base, angle=0))
        pen.rect(-15, -169, 27, 7.6, linear(_soft(c, 0.8), c.base), c.line, 1, r=1.5)


@thing("airplane", size=(200, 70), stands="sky", colours="any", shadow=0)
def airplane(pen: Pen, c: Shades, rng) -> None:
    """An airliner from the side, flying left or right."""
    flip = -1 if rng.random() < 0.5 else 1
    panes = int(rng.integers(7, 10))
    glass = mix(GLASS.base, GLASS.line, 0.35) if sum(c.base) > 300 else GLASS.light
    with pen.at(scale=(flip, 1)):
        pen.path("M -2 -38 L -32 -56 L -20 -57 L 28 -38 Z", mix(c.base, c.dark, 0.8), c.line, 1.2)
        pen.path("M -66 -40 L -92 -68 L -78 -69 Q -74 -69 -70 -64 L -48 -41 Z", linear(_soft(c), c.base), c.line, 1.3)
        hull = "M -98 -41 Q -60 -46 -40 -46 L 62 -46 Q 92 -45 98 -30 Q 98 -23 78 -21 L -34 -21 Q -66 -24 -98 -41 Z"
        pen.path(hull, linear((0, _soft(c, 0.9)), (0.5, c.base), (1, c.dark)), c.line, 1.4)
        pen.path("M -94 -42 L -99 -50 L -92 -51 L -70 -38 Z", mix(c.base, c.dark, 0.4), c.line, 1.1)
        for k in range(panes):
            pen.ellipse(-44 + 100 * k / (panes - 1), -37, 2.4, 3, glass, c.line, 0.6)
        pen.path("M 76 -43 Q 86 -41 91 -36 L 78 -35 Q 74 -38 76 -43 Z", glass, c.line, 0.8)
        pen.rect(64, -41, 6, 13, None, _seam(c), 0.9, r=2)
        pen.path("M -70 -31 Q 10 -26 96 -27", None, _seam(c), 1)
        pen.rect(-6, -17.5, 28, 11, linear(STEEL.light, STEEL.base, STEEL.dark), STEEL.line, 1.1, r=4.6)
        pen.ellipse(20, -12, 2.4, 4.8, IRON.base)
        pen.path(
            "M 30 -26 L -34 -1 L -46 -1 L -14 -26 Q 8 -30 30 -26 Z",
            linear(_soft(c, 0.6), c.dark, angle=70),
            c.line,
            1.3,
        )
        pen.line([(20, -24), (-34, -3.6)], _soft(c, 1.0), 1.2)


@thing("hot air balloon", size=(120, 160), stands="sky", colours="any", shadow=0)
def hot_air_balloon(pen: Pen, c: Shades, rng) -> None:
    """A hot air balloon of gores in two near shades, with a wicker basket."""
    gores = int(rng.choice([5, 7]))
    band = rng.random() < 0.5
    for x in (-11, -4, 4, 11):
        pen.line([(x * 1.25, -36), (x * 0.9, -18)], BARK.dark, 0.9)
    top, low, wide = -159.0, -33.0, 59.0

    def meridian(k: float) -> str:
        """The curve from the crown to the mouth at ``k`` of the half width."""
        x = k * wide
        upper = path_data("C", x * 0.72, top, x, top + 22, x, top + 58)
        return upper + path_data(" C", x, top + 88, k * 22, low - 16, k * 14, low)

    def back(k: float) -> str:
        """The same curve upwards."""
        x = k * wide
        lower = path_data("C", k * 22, low - 16, x, top + 88, x, top + 58)
        return lower + path_data(" C", x, top + 22, x * 0.72, top, 0, top)

    cuts = [math.sin(math.pi * (i / gores - 0.5)) for i in range(gores + 1)]
    for i, (k0, k1) in enumerate(zip(cuts, cuts[1:], strict=False)):
        tone = _soft(c, 0.55) if i % 2 else c.base
        shade = mix(tone, c.dark, 0.7 * max(0.0, (k0 + k1) / 2))
        d = path_data("M", 0, top) + meridian(k0) + path_data("L", k1 * 14, low) + back(k1) + " Z"
        pen.path(d, linear((0, mix(shade, WHITE, 0.06)), (0.6, shade), (1, mix(shade, c.dark, 0.6))), _seam(c), 0.8)
    if band:
        stripe = mix(c.base, c.dark, 0.9) if sum(c.base) > 180 else c.light
        pen.path("M -55.5 -118 Q 0 -102 55.5 -118 L 58.5 -108 Q 0 -90 -58.5 -108 Z", stripe)
    pen.path(path_data("M", 0, top) + meridian(-1) + path_data("L", 14, low) + back(1) + " Z", None, c.line, 1.5)
    pen.path(
        path_data("M -14", low, "Q 0", low + 5, "14", low, "L 12", low + 4, "Q 0", low + 9, "-12", low + 4, "Z"),
        c.dark,
        c.line,
        0.9,
    )
    pen.path(
        "M -11 -18 L 11 -18 L 9.4 -1.6 Q 9 -0.6 8 -0.6 L -8 -0.6 Q -9 -0.6 -9.4 -1.6 Z",
        linear(WOOD.light, WOOD.base, WOOD.dark, angle=0),
        WOOD.line,
        1,
    )
    for y in (-13, -8.6, -4.4):
        pen.line([(-10 - y / 30, y), (10 + y / 30, y)], WOOD.dark, 1)
    pen.rect(-12, -20, 24, 3.4, WOOD.dark, WOOD.line, 0.8, r=1.6)
