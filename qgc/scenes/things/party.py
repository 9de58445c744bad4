"""The small objects of a home: what stands on a table, hangs on the wall or is carried about."""

from __future__ import annotations

import math

import numpy as np

from ..svg import RGB, Pen, Shades, linear, mix, radial
from .home import BRASS, LINEN, METAL, across, ball, down, hose, tube, wood
from .registry import thing

INK: RGB = (44, 46, 54)
THIN = 0.7


def _contrast(c: Shades) -> RGB:
    """Off-white on a dark color, ink on a bright one."""
    return INK if sum(c.base) > 480 else LINEN.base


# --- on the table -------------------------------------------------------------------------------


def _tier(pen: Pen, c: Shades, half: float, top: float, bottom: float, drips: np.ndarray) -> None:
    """One layer of a cake: its side, a line of cream, dripping icing and the iced top."""
    flat = half * 0.2
    side = f"M{-half},{top} L{-half},{bottom} A{half},{flat} 0 0 0 {half},{bottom} L{half},{top} Z"
    pen.path(side, across(c), c.line, THIN)
    mid = bottom + (top - bottom) * 0.28
    pen.path(f"M{-half + 0.4},{mid} A{half},{flat} 0 0 0 {half - 0.4},{mid}", None, LINEN.base, 1.1)
    n = len(drips)
    step = 2 * half / n
    d = f"M{-half},{top} "
    for i, length in enumerate(drips):
        x = -half + i * step
        bulge = flat * math.sqrt(max(0.0, 1 - ((x + step / 2) / half) ** 2))
        low = top + bulge + length * (bottom - top)
        d += f"L{x:.2f},{low - 1:.2f} Q{x + step / 2:.2f},{low + 1.6:.2f} {x + step:.2f},{low - 1:.2f} "
        if i < n - 1:
            d += f"L{x + step:.2f},{top + bulge + 0.8:.2f} "
    pen.path(d + f"L{half},{top} Z", linear(c.light, c.base, angle=0), c.line, THIN)
    pen.ellipse(0, top, half, flat, linear(c.base, c.light), c.line, THIN)


@thing("cake", size=(38, 34), stands="table", colours="any")
def cake(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """An iced cake of one or two layers on a plate, with candles."""
    tiers = int(rng.integers(1, 3))
    candles = int(rng.integers(1, 6))
    drips = rng.uniform(0.12, 0.42, size=(2, 7))
    cherries = rng.random() < 0.5
    pen.path("M-19,-3 Q-12,0 0,0 Q12,0 19,-3 Z", linear(LINEN.base, LINEN.dark), LINEN.line, THIN)
    pen.ellipse(0, -3, 19, 2.6, linear(LINEN.dark, LINEN.light), LINEN.line, THIN)
    if tiers == 1:
        half, top = 15.0, -20.0
        _tier(pen, c, half, top, -5.5, drips[0])
    else:
        _tier(pen, c, 15.5, -14.5, -5, drips[0])
        half, top = 10.5, -24.0
        _tier(pen, c, half, top, -15.5, drips[1])
    if cherries:
        for a in np.linspace(0, 2 * math.pi, 10, endpoint=False) + 0.3:
            pen.ellipse(
                half * 0.84 * math.cos(a), top + half * 0.15 * math.sin(a) - 0.5, 1.3, 1.1, ball(c), c.line, 0.5
            )
    for i in range(candles):
        x = (i - (candles - 1) / 2) * min(4.2, 1.2 * half / candles)
        y = top + (0.9 if i % 2 else -0.4)
        pen.rect(x - 0.75, y - 6.5, 1.5, 6.5, linear(LINEN.light, LINEN.dark, angle=0), LINEN.line, 0.5, r=0.5)
        flame = f"M{x},{y - 10.2} Q{x + 1.9},{y - 7.4} {x},{y - 6.6} Q{x - 1.9},{y - 7.4} {x},{y - 10.2} Z"
        pen.ellipse(x, y - 8, 3, None, radial((0, (255, 226, 120), 0.6), (1, (255, 226, 120), 0)), ghost=True)
        pen.path(flame, linear((250, 206, 70), (244, 138, 44)))


@thing("vase", size=(22, 46), stands="table", colours="any")
def vase(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A vase with a few dry twigs or small white flowers."""
    form = int(rng.integers(3))
    flowers = rng.random() < 0.6
    ends = np.linspace(-8, 8, 4) + rng.uniform(-1, 1, size=4)
    heights = rng.uniform(-44, -36, size=4)
    bands = rng.random() < 0.5
    twig = (124, 142, 104) if flowers else (150, 124, 92)
    for x, y in zip(ends, heights, strict=True):
        pen.path(f"M{x * 0.15},-28 Q{x * 0.4},-34 {x},{y}", None, twig, 0.9)
        if flowers:
            for a in np.linspace(0, 2 * math.pi, 5, endpoint=False):
                pen.ellipse(x + 1.3 * math.cos(a), y + 1.3 * math.sin(a), 1.1, None, LINEN.base, LINEN.line, 0.3)
            pen.ellipse(x, y, 0.9, None, (240, 204, 96))
        else:
            pen.line([(x * 0.6, (y - 30) / 2), (x * 0.6 + 3, (y - 30) / 2 - 3)], twig, 0.7)
            pen.ellipse(x, y, 0.9, None, twig)
    if form == 0:
        body = "M-4,-30 C-4,-24 -11,-22 -11,-13 C-11,-5 -7,-1 -6,0 L6,0 C7,-1 11,-5 11,-13 C11,-22 4,-24 4,-30 Z"
        neck, belly = 4.0, 11.0
    elif form == 1:
        body = "M-9,-31 C-8,-22 -7,-10 -5,0 L5,0 C7,-10 8,-22 9,-31 Z"
        neck, belly = 9.0, 7.0
    else:
        body = "M-6,-30 C-4,-27 -4,-25 -6,-23 C-11,-18 -9,-6 -5,0 L5,0 C9,-6 11,-18 6,-23 C4,-25 4,-27 6,-30 Z"
        neck, belly = 6.0, 9.2
    y = -30.5
    pen.path(body, across(c), c.line, THIN)
    if bands:
        for low in (-14, -11):
            pen.path(f"M{-belly + 0.6},{low} Q0,{low + 2.4} {belly - 0.6},{low}", None, c.dark, 1.0)
    pen.ellipse(0, y, neck, neck * 0.2, c.dark, c.line, THIN)
    pen.path(f"M{-belly * 0.6},-19 Q{-belly * 0.75},-12 {-belly * 0.5},-6", None, c.light, 1.3, opacity=0.8, ghost=True)


@thing("mug", size=(22, 20), stands="table", colours="any")
def mug(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A mug with a handle and steam."""
    taper = rng.uniform(0, 1.6)
    bands = int(rng.integers(0, 3))
    side = 1 if rng.random() < 0.5 else -1
    with pen.at(scale=(side, 1)):
        hose(pen, "M4.4,-14 C11.6,-15 11.6,-4 4,-5", c, 2.0, edge=1.2)
    x = -2.6 * side
    with pen.at(x):
        low = 7.6 - taper
        body = f"M-7.8,-16 L{-low},-2 Q{-low},0 0,0.2 Q{low},0 {low},-2 L7.8,-16 Z"
        pen.path(body, across(c), c.line, THIN)
        for i in range(bands):
            y = -4.5 - 2.4 * i
            pen.path(f"M{0.7 - low},{y} Q0,{y + 2} {low - 0.7},{y}", None, c.dark, 1.1)
        pen.ellipse(0, -16, 7.8, 1.9, c.light, c.line, THIN)
        pen.ellipse(0, -15.8, 6.4, 1.2, linear((70, 44, 30), (110, 72, 48)))
        for dx in (-3, 2.4):
            steam = f"M{dx},-18 C{dx - 2.6},-20.5 {dx + 2.6},-22.5 {dx},-25.5"
            pen.path(steam, None, (255, 255, 255), 1.1, opacity=0.6, ghost=True)


@thing("book", size=(30, 24), stands="table", colours="any")
def book(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A closed book, standing or lying."""
    lying = rng.random() < 0.4
    lines = int(rng.integers(1, 3))
    round_mark = rng.random() < 0.5
    page, ruled = LINEN.base, LINEN.line
    if lying:
        pen.polygon([(-14, -1.6), (9, 0), (15, -6), (-8, -8)], c.dark, c.line, THIN)
        pen.polygon([(-13, -7), (9, -5), (9, -1), (-13, -2.6)], linear(page, LINEN.dark), ruled, 0.4)
        pen.polygon([(9, -5), (14.2, -11), (14.2, -7), (9, -1)], linear(LINEN.dark, ruled), ruled, 0.4)
        for t in (0.35, 0.7):
            pen.line([(-13, -7 + 4.4 * t), (9, -5 + 4 * t)], ruled, 0.35)
        pen.path("M-14,-7.2 Q-16,-4.5 -14,-1.6 L-12,-1.5 Q-13.6,-4.5 -12,-7 Z", c.base, c.line, THIN)
        cover = [(-14.5, -7.4), (9.5, -5.2), (15, -20), (-8, -22)]
        pen.polygon(cover, linear(c.base, c.light, angle=250), c.line, THIN)
        pen.polygon([(-14.5, -7.4), (9.5, -5.2), (9.5, -4), (-14.5, -6.2)], c.dark, c.line, 0.4)
        pen.polygon([(-10, -9.4), (6.6, -7.9), (11.4, -18.4), (-5.6, -19.8)], None, c.dark, 0.8)
        for i in range(lines):
            pen.line([(-2.6 + i, -15.6 + 2.4 * i), (5.4 + i * 0.4, -14.8 + 2.4 * i)], c.dark, 1.0)
        return
    # Standing, turned so that the page ends show on the right.
    pen.polygon([(6, -22.8), (11.6, -21.4), (11.6, -1.2), (6, 0)], c.dark, c.line, THIN)
    pen.polygon([(5, -22.2), (10.4, -20.8), (10.4, -2), (5, -1)], linear(page, LINEN.dark, angle=0), ruled, 0.4)
    for x in (7.4, 8.9):
        t = (x - 5) / 5.4
        pen.line([(x, -22.2 + 1.4 * t), (x, -1 - t)], ruled, 0.4)
    pen.rect(-13, -24, 19, 24, linear(c.light, c.base, angle=45), c.line, THIN, r=0.6)
    pen.rect(-13, -24, 3.6, 24, linear(c.dark, c.base, angle=0), c.line, THIN, r=0.6)
    pen.rect(-7.6, -22, 11.6, 20, None, c.dark, 0.7)
    for i in range(lines):
        pen.line([(-5.4 + 0.8 * i, -18.6 + 2.6 * i), (1.8 - 0.8 * i, -18.6 + 2.6 * i)], c.dark, 1.2)
    if round_mark:
        pen.ellipse(-1.8, -7.6, 3, None, c.light, c.dark, 0.8)
    else:
        pen.polygon([(-1.8, -11), (1.4, -7.6), (-1.8, -4.2), (-5, -7.6)], c.light, c.dark, 0.8)


@thing("bowl", size=(34, 22), stands="table", colours="any")
def bowl(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """An empty bowl."""
    foot = rng.uniform(6, 8)
    deep = rng.uniform(0.55, 0.8)
    bands = int(rng.integers(0, 3))
    pen.path(f"M{-foot + 1},-4 L{-foot},-0.6 Q0,1 {foot},-0.6 L{foot - 1},-4 Z", across(c), c.line, THIN)
    k = 17 * deep
    pen.path(f"M-17,-17 C-17,-8 {-k},-2.6 0,-2.6 C{k},-2.6 17,-8 17,-17 Z", across(c), c.line, THIN)
    for i in range(bands):
        y, w = -13 + 2.6 * i, 15.6 - 0.9 * i
        pen.path(f"M{-w},{y} Q0,{y + 6} {w},{y}", None, c.dark, 1.1)
    pen.ellipse(0, -17, 17, 4.6, linear(c.light, c.base), c.line, THIN)
    pen.ellipse(0, -16.7, 15, 3.5, linear(c.dark, c.base), c.line, 0.5)
    pen.path("M-13,-11 Q-11.5,-7 -7.5,-5", None, c.light, 1.2, opacity=0.8, ghost=True)


@thing("teapot", size=(34, 26), stands="table", colours="any")
def teapot(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A teapot with spout, handle and lid."""
    squat = rng.uniform(9.0, 10.2)
    wide = rng.uniform(10.2, 11.4)
    band = rng.random() < 0.5
    side = 1 if rng.random() < 0.5 else -1
    middle = -1.4 - squat
    with pen.at(scale=(side, 1)):
        hose(pen, f"M{wide - 3},{middle - 5} C18,{middle - 9} 18,{middle + 7} {wide - 3},{middle + 5}", c, 2.0)
        spout = f"M{-wide + 2},{middle + 5} C-14,{middle + 3} -12.6,{middle - 5} -16.6,{middle - 8} "
        spout += f"L-13.4,{middle - 8.8} C-10.6,{middle - 6} -11,{middle - 3} {-wide + 3},{middle - 3} Z"
        pen.path(spout, linear(c.light, c.base, angle=0), c.line, THIN)
    pen.path("M-6,-2.6 L-6.6,0 L6.6,0 L6,-2.6 Z", across(c), c.line, THIN)
    pen.ellipse(0, middle, wide, squat, ball(c), c.line, THIN)
    if band:
        for y in (middle + 0.5, middle + 3):
            pen.path(f"M{-wide + 0.5},{y} Q0,{y + 3.4} {wide - 0.5},{y}", None, c.dark, 0.9)
    top = middle - squat
    pen.path(
        f"M-6,{top + 2} Q-5,{top - 1.8} 0,{top - 1.8} Q5,{top - 1.8} 6,{top + 2} Q0,{top + 3.6} -6,{top + 2} Z",
        linear(c.light, c.base),
        c.line,
        THIN,
    )
    pen.ellipse(0, top - 2.6, 1.8, 1.6, ball(c), c.line, THIN)
    pen.ellipse(-wide * 0.42, middle - squat * 0.4, 2.2, 1.2, (255, 255, 255), opacity=0.45, ghost=True)


# --- on the wall --------------------------------------------------------------------------------


@thing("clock", size=(36, 36), stands="wall", colours="any", shadow=0)
def clock(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A round wall clock; its face has the color of the rim, so that the clock has one color."""
    hour, minute = rng.uniform(0, 12), int(rng.integers(12))
    square = rng.random() < 0.25
    ink = _contrast(c)
    if square:
        pen.rect(-17.5, -35.5, 35, 35, down(c), c.line, 1.0, r=5)
    else:
        pen.ellipse(0, -18, 17.5, None, down(c), c.line, 1.0)
    pen.ellipse(0, -18, 13.8, None, linear(c.base, mix(c.base, c.light, 0.5)), c.line, 1.0)
    for i in range(12):
        a = math.radians(30 * i)
        inner = 9.8 if i % 3 == 0 else 11.0
        dots = [(inner * math.sin(a), -18 - inner * math.cos(a)), (12.2 * math.sin(a), -18 - 12.2 * math.cos(a))]
        pen.line(dots, ink, 1.3 if i % 3 == 0 else 0.7)
    for turn, reach, width in ((hour / 12, 6.6, 1.6), (minute / 12, 9.6, 1.1)):
        a = 2 * math.pi * turn
        pen.line([(0, -18), (reach * math.sin(a), -18 - reach * math.cos(a))], ink, width)
    pen.ellipse(0, -18, 1.5, None, ink)


@thing("balloons", size=(75, 120), stands="wall", plural=True, colours="any", shadow=0)
def balloons(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A bunch of three to five balloons on strings."""
    count = int(rng.integers(3, 6))
    places = {
        3: ((0, -98), (-20, -78), (20, -76)),
        4: ((-13, -98), (16, -96), (-21, -70), (20, -67)),
        5: ((0, -100), (-21, -86), (21, -84), (-13, -64), (14, -62)),
    }[count]
    shift = rng.uniform(-1.5, 1.5, size=(count, 2))
    big = rng.uniform(0.92, 1.0)
    knot = (0.0, -18.0)
    spots = [(x + dx, y + dy) for (x, y), (dx, dy) in zip(places, shift, strict=True)]
    for x, y in spots:
        pen.path(f"M{x},{y + 20} Q{x * 0.8},{y / 2} {knot[0]},{knot[1]}", None, (128, 130, 136), 0.7)
    pen.path(f"M0,{knot[1]} Q3,-10 0,0", None, (128, 130, 136), 0.8)
    pen.path("M0,-18 Q-7,-24 -7,-18 Q-7,-14 0,-18 Q7,-24 7,-18 Q7,-14 0,-18 Z", c.base, c.line, THIN)
    for x, y in spots:
        rx, ry = 15.5 * big, 18.5 * big
        pen.polygon([(x, y + ry - 0.5), (x - 2.2, y + ry + 2.8), (x + 2.2, y + ry + 2.8)], c.base, c.line, THIN)
        d = f"M{x},{y - ry} C{x + rx * 1.25},{y - ry} {x + rx * 1.15},{y + ry * 0.45} {x},{y + ry} "
        d += f"C{x - rx * 1.15},{y + ry * 0.45} {x - rx * 1.25},{y - ry} {x},{y - ry} Z"
        pen.path(d, ball(c), c.line, 1.0)
        with pen.at(x - rx * 0.4, y - ry * 0.45, angle=28):
            pen.ellipse(0, 0, 2.4, 4.6, (255, 255, 255), opacity=0.55, ghost=True)


# --- on the floor -------------------------------------------------------------------------------


@thing("present", size=(45, 42), colours="any")
def present(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A gift box with a ribbon and a bow."""
    height = rng.uniform(21, 26)
    gold = rng.random() < 0.4
    dots = rng.random() < 0.5
    # A white ribbon would not show on a white box.
    ribbon = BRASS if gold or min(c.base) > 200 else LINEN
    top = -height
    pen.rect(-20, top, 40, height, across(c), c.line, 1.0, r=0.8)
    if dots:
        for i, y in enumerate(np.arange(top + 11, -2, 6.5)):
            for x in (-15.5, -9, 9, 15.5):
                pen.ellipse(x + (1.6 if i % 2 else -0.6), y, 1.2, None, c.light)
    pen.rect(-2.4, top, 4.8, height, linear(ribbon.light, ribbon.dark), ribbon.line, THIN)
    pen.polygon([(-22, top - 2), (22, top - 2), (18, top - 6), (-18, top - 6)], linear(c.base, c.light), c.line, 1.0)
    pen.rect(-22, top - 2, 44, 7.5, across(c), c.line, 1.0, r=0.8)
    pen.polygon([(-2.4, top - 2), (2.4, top - 2), (2, top - 6), (-2, top - 6)], ribbon.base, ribbon.line, THIN)
    pen.rect(-2.4, top - 2, 4.8, 7.5, ribbon.base, ribbon.line, THIN)
    y = top - 5
    for s in (-1, 1):
        with pen.at(0, y, scale=(s, 1)):
            pen.path("M0,0 Q6,1 10,5 L7,5.4 Q4,3 0,1 Z", ribbon.base, ribbon.line, THIN)
            loop = "M0,0 C3,-9 13,-13 13,-6 C13,-1 5,0 0,0 Z"
            pen.path(loop, linear(ribbon.light, ribbon.dark), ribbon.line, THIN)
            hole = "M3,-1.6 C5,-6 10,-8.6 10,-5.4 C10,-3 6,-2 3,-1.6 Z"
            pen.path(hole, ribbon.dark, ribbon.line, 0.4)
    pen.ellipse(0, y - 0.5, 2.6, 2.2, ribbon.base, ribbon.line, THIN)


@thing("backpack", size=(42, 52), colours="any")
def backpack(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A backpack seen from the front."""
    shoulder = rng.uniform(15, 19)
    pocket = rng.uniform(17, 21)
    flap = rng.random() < 0.5
    hose(pen, "M-6,-46 C-6,-53 6,-53 6,-46", c, 2.2)
    for s in (-1, 1):
        hose(pen, f"M{s * 15},-38 C{s * 22},-30 {s * 21},-14 {s * 16},-6", c, 3.0)
        pen.rect(s * 18 - 3, -19, 6, 17, across(c), c.line, 1.0, r=2.6)
    arch = f"Q-18,-48 {-18 + shoulder},-48 L{18 - shoulder},-48 Q18,-48 18,-32"
    body = f"M-18,-4 L-18,-32 {arch} L18,-4 Q18,0 14,0 L-14,0 Q-18,0 -18,-4 Z"
    pen.path(body, across(c), c.line, 1.1)
    if flap:
        cover = (
            "M-17.8,-32 Q-17,-47.6 -2,-47.8 L2,-47.8 Q17,-47.6 17.8,-32 Q17,-27 12,-27 L-12,-27 Q-17,-27 -17.8,-32 Z"
        )
        pen.path(cover, linear(c.light, c.base), c.line, 1.0)
        for x in (-8, 8):
            pen.rect(x - 1.6, -33, 3.2, 12, c.dark, c.line, THIN, r=0.6)
            pen.rect(x - 2.2, -26, 4.4, 3.6, METAL.base, METAL.line, 0.6, r=0.6)
    else:
        pen.path("M-14,-29 C-14,-41 -8,-43.5 0,-43.5 C8,-43.5 14,-41 14,-29", None, c.line, 1.7)
        pen.path("M-14,-29 C-14,-41 -8,-43.5 0,-43.5 C8,-43.5 14,-41 14,-29", None, METAL.base, 0.7)
        tube(pen, [(14, -29), (14, -25.5)], METAL, 1.1)
    pen.rect(-13, -pocket - 2, 26, pocket - 1, down(c), c.line, 1.0, r=4)
    pen.line([(-10, -pocket + 2.6), (10, -pocket + 2.6)], c.line, 1.7)
    pen.line([(-10, -pocket + 2.6), (10, -pocket + 2.6)], METAL.base, 0.7)
    tube(pen, [(8, -pocket + 2.6), (8, -pocket + 6)], METAL, 1.1)


TEDDY_COLOURS = ("brown", "white", "pink", "gray", "yellow", "blue")


@thing("teddy", noun="teddy bear", size=(38, 45), colours=TEDDY_COLOURS)
def teddy(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A sitting teddy bear."""
    fat = rng.uniform(9.5, 11.5)
    head = rng.uniform(10.2, 11.4)
    bow = rng.random() < 0.5
    arm = rng.uniform(18, 40)
    pad, ink = mix(c.base, (255, 250, 240), 0.5), (48, 38, 36)
    for s in (-1, 1):
        with pen.at(s * 9, -22, angle=-s * arm):
            pen.ellipse(0, 6, 4.2, 8, ball(c), c.line, 0.8)
    pen.ellipse(0, -13.5, fat, 12.5, ball(c), c.line, 0.8)
    pen.ellipse(0, -12, fat * 0.6, 8, pad)
    for s in (-1, 1):
        pen.ellipse(s * 11.5, -6.2, 6.6, 6.2, ball(c), c.line, 0.8)
        pen.ellipse(s * 12, -5.8, 3.9, 3.8, pad, c.dark, 0.5)
        pen.ellipse(s * 8.6, -41, 4.4, None, ball(c), c.line, 0.8)
        pen.ellipse(s * 8.6, -40.8, 2.4, None, pad)
    pen.ellipse(0, -33, head, head * 0.92, ball(c), c.line, 0.8)
    pen.ellipse(0, -29.4, 5.2, 4.2, mix(pad, (255, 252, 246), 0.3), c.dark, 0.5)
    for s in (-1, 1):
        pen.ellipse(s * 4.3, -35, 1.25, 1.45, ink)
        pen.ellipse(s * 4.3 - 0.4, -35.5, 0.4, None, (255, 255, 255), ghost=True)
    pen.path("M-2,-31.6 Q0,-33 2,-31.6 Q1.4,-29.8 0,-29.6 Q-1.4,-29.8 -2,-31.6 Z", ink)
    pen.path("M0,-29.6 L0,-28.4 M-2.2,-27.8 Q-1,-26.6 0,-28.4 Q1,-26.6 2.2,-27.8", None, ink, 0.6)
    if bow:
        for s in (-1, 1):
            pen.polygon([(0, -22.6), (s * 5, -25), (s * 5, -20)], linear(c.base, c.dark), c.line, 0.7)
        pen.ellipse(0, -22.6, 1.5, None, c.dark, c.line, 0.7)


@thing("suitcase", size=(60, 58), colours="any")
def suitcase(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """A suitcase with a handle, ribbed or strapped."""
    strapped = rng.random() < 0.5
    ribs = int(rng.integers(3, 6))
    for x in (-20, 20):
        pen.rect(x - 4, -4, 8, 4, INK, (20, 20, 24), THIN, r=1.6)
    hose(pen, "M-9,-46 L-9,-53 Q-9,-56 -6,-56 L6,-56 Q9,-56 9,-53 L9,-46", c, 2.6)
    for x in (-9, 9):
        pen.rect(x - 2.4, -50, 4.8, 4, METAL.base, METAL.line, THIN, r=0.6)
    pen.rect(-29, -47, 58, 44.5, across(c), c.line, 1.2, r=6)
    if strapped:
        for x in (-17, 17):
            pen.rect(x - 2.6, -47, 5.2, 44.5, c.dark, c.line, THIN)
            pen.rect(x - 3.4, -36, 6.8, 5, METAL.base, METAL.line, THIN, r=0.8)
            pen.rect(x - 1.6, -34.8, 3.2, 2.6, c.dark)
    else:
        for x in np.linspace(-20, 20, ribs):
            pen.line([(x, -42), (x, -8)], c.dark, 1.8)
            pen.line([(x - 1.3, -42), (x - 1.3, -8)], c.light, 0.8, ghost=True)
    for s in (-1, 1):
        for y in (-47, -2.5):
            f = 1 if y < -10 else -1
            with pen.at(s * 29, y, scale=(-s, f)):
                pen.path("M0,10 L0,6 Q0,0 6,0 L10,0 Q8,8 0,10 Z", c.dark, c.line, THIN)


@thing("umbrella", size=(95, 85), colours="any")
def umbrella(pen: Pen, c: Shades, rng: np.random.Generator) -> None:
    """An open umbrella, its hooked handle on the floor."""
    lean = rng.uniform(-9, 9)
    high = rng.uniform(-78, -74)
    panels = rng.random() < 0.5
    handle = wood(rng)
    with pen.at(0, -2.6, angle=lean):
        tube(pen, [(0, -40), (0, -10)], METAL, 1.6)
        hose(pen, "M0,-14 L0,-4 Q0,0.6 4.5,0.6 Q9,0.6 9,-5", handle, 2.6)
        tube(pen, [(0, high - 4), (0, high + 4)], METAL, 1.4)
        ribs = (-44.0, -28.0, -9.5, 9.5, 28.0, 44.0)
        hems = (-38.0, -36.0, -35.0, -35.0, -36.0, -38.0)
        dome = f"C-40,{high + 14} -20,{high} 0,{high} C20,{high} 40,{high + 14}"
        outline = f"M{ribs[0]},{hems[0]} {dome} {ribs[-1]},{hems[-1]} "
        for i in range(len(ribs) - 1, 0, -1):
            x0, x1, y1 = ribs[i], ribs[i - 1], hems[i - 1]
            outline += f"Q{(x0 + x1) / 2},{(hems[i] + y1) / 2 - 6} {x1},{y1} "
        pen.path(outline + "Z", linear((0, c.light), (0.4, c.base), (0.7, c.base), (1, c.dark), angle=20), c.line, 1.2)
        for i in range(1, len(ribs) - 1):
            x, y = ribs[i], hems[i]
            if panels and i % 2 == 1:
                nx, ny = ribs[i + 1], hems[i + 1]
                hem = f"{x},{y} Q{(x + nx) / 2},{(y + ny) / 2 - 6} {nx},{ny}"
                d = f"M0,{high} Q{x * 1.05},{high + 12} {hem} Q{nx * 1.05},{high + 12} 0,{high} Z"
                pen.path(d, c.dark, opacity=0.55, ghost=True)
        for x, y in zip(ribs[1:-1], hems[1:-1], strict=True):
            pen.path(f"M0,{high} Q{x * 1.05},{high + 12} {x},{y}", None, c.line, 0.8)
