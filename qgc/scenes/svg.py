"""A small drawing kit: shapes in centimeters, rendered twice, once for the image and once for the masks.

An object is a list of :class:`Shape`. The same list is written as SVG in full paint (gradients,
highlights) and in *flat* paint: one opaque color per part, without anti-aliasing, so that the color
of a pixel says which object is visible there. That second image is the exact visible-pixel mask.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache

RGB = tuple[float, float, float]


@lru_cache(maxsize=1 << 16)
def hexcolour(rgb: RGB) -> str:
    """``(r, g, b)`` in 0–255 as ``#rrggbb``."""
    return "#" + "".join(f"{max(0, min(255, round(x))):02x}" for x in rgb)


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """The color a fraction ``t`` of the way from ``a`` to ``b``."""
    (r, g, b_), (R, G, B) = a, b
    return (r + (R - r) * t, g + (G - g) * t, b_ + (B - b_) * t)


@dataclass(frozen=True)
class Shades:
    """One color term made paint: ``base`` with a lighter and a darker side, and a ``line``."""

    base: RGB
    light: RGB
    dark: RGB
    line: RGB


def shades(base: RGB) -> Shades:
    """Light, dark and line tones of ``base`` (0–255)."""
    return Shades(
        base=base,
        light=mix(base, (255, 255, 255), 0.35),
        dark=mix(base, (0, 0, 12), 0.26),
        line=mix(base, (0, 0, 12), 0.5),
    )


@dataclass(frozen=True)
class Gradient:
    """A gradient over the bounding box of the shape that it fills.

    ``stops`` are ``(offset 0–1, RGB)`` or ``(offset, RGB, opacity)``. A linear gradient runs at
    ``angle`` degrees (0 = left to right, 90 = top to bottom); a radial one runs outwards from
    ``centre`` (fractions of the box) to ``radius``.
    """

    stops: tuple
    angle: float = 90.0
    radial: bool = False
    centre: tuple[float, float] = (0.5, 0.5)
    radius: float = 0.5

    def svg(self, ident: str) -> str:
        """The gradient as an SVG element named ``ident``."""
        stops = "".join(
            f'<stop offset="{s[0]:.3g}" stop-color="{hexcolour(s[1])}"'
            + (f' stop-opacity="{s[2]:.3g}"' if len(s) > 2 else "")
            + "/>"
            for s in self.stops
        )
        if self.radial:
            cx, cy = self.centre
            geometry = f'cx="{cx:.3g}" cy="{cy:.3g}" r="{self.radius:.3g}"'
            return f'<radialGradient id="{ident}" {geometry}>{stops}</radialGradient>'
        a = math.radians(self.angle)
        dx, dy = math.cos(a) / 2, math.sin(a) / 2
        geometry = f'x1="{0.5 - dx:.3g}" y1="{0.5 - dy:.3g}" x2="{0.5 + dx:.3g}" y2="{0.5 + dy:.3g}"'
        return f'<linearGradient id="{ident}" {geometry}>{stops}</linearGradient>'


Paint = RGB | Gradient | None


def linear(*stops, angle: float = 90.0) -> Gradient:
    """A linear gradient; stops are colors (spread evenly) or ``(offset, RGB[, opacity])``."""
    return Gradient(_spread(stops), angle=angle)


def radial(*stops, centre=(0.5, 0.5), radius: float = 0.5) -> Gradient:
    """A radial gradient from ``centre`` outwards; stops as in :func:`linear`."""
    return Gradient(_spread(stops), radial=True, centre=centre, radius=radius)


def _spread(stops: Sequence) -> tuple:
    if all(isinstance(s[1], tuple) for s in stops):
        return tuple(stops)
    last = max(1, len(stops) - 1)
    return tuple((i / last, s) for i, s in enumerate(stops))


@dataclass(frozen=True)
class Shape:
    """One SVG element with its paint; ``part`` names what it belongs to, None is the object itself."""

    tag: str
    geometry: str
    fill: Paint
    stroke: Paint = None
    width: float = 0.0
    opacity: float = 1.0
    cap: str = "round"
    transform: str = ""
    part: str | None = None
    ghost: bool = False
    crisp: bool = False

    def svg(self, defs: list[str], prefix: str, flat: str | None = None) -> str:
        """The element; ``flat`` replaces every paint by that one opaque color."""
        if flat is not None:
            if self.ghost:
                return ""
            fill = flat if self.fill is not None else "none"
            stroke = flat if self.stroke is not None else None
        else:
            fill = self._paint(self.fill, defs, prefix)
            stroke = self._paint(self.stroke, defs, prefix) if self.stroke is not None else None
        move = f' transform="{self.transform}"' if self.transform else ""
        out = f'<{self.tag} {self.geometry} fill="{fill}"'
        if stroke is not None:
            out += f' stroke="{stroke}" stroke-width="{self.width:.4g}"'
            out += f' stroke-linecap="{self.cap}" stroke-linejoin="round"'
        if flat is None and self.opacity < 1:
            # "opacity" makes the renderer draw a separate layer, which a shape with one paint does not need
            which = (
                "opacity"
                if fill != "none" and stroke is not None
                else "fill-opacity"
                if stroke is None
                else "stroke-opacity"
            )
            out += f' {which}="{self.opacity:.3g}"'
        if self.crisp:
            out += ' shape-rendering="crispEdges"'
        return f"{out}{move}/>"

    @staticmethod
    def _paint(paint: Paint, defs: list[str], prefix: str) -> str:
        if paint is None:
            return "none"
        if isinstance(paint, Gradient):
            ident = f"{prefix}g{len(defs)}"
            defs.append(paint.svg(ident))
            return f"url(#{ident})"
        return hexcolour(paint)


def _along_the_grid(tag: str, geometry: str) -> bool:
    if tag == "polyline":
        (x0, y0), *rest = (p.split(",") for p in geometry[8:-1].split())
        return len(rest) == 1 and (x0 == rest[0][0] or y0 == rest[0][1])
    return tag == "rect" and "rx" not in geometry


def _outline(s: Shape) -> str | None:
    """The path data of straight lines and polygons (all turning one way), None for other shapes."""
    if s.tag not in ("polyline", "polygon"):
        return None
    text = s.geometry[8:-1]
    if s.tag == "polyline":
        return "M" + text
    points = [tuple(map(float, p.split(","))) for p in text.split()]
    around = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True))
    return "M" + (text if around >= 0 else " ".join(reversed(text.split()))) + "z"


def merged(shapes: Sequence[Shape]) -> list[Shape]:
    """The same image in fewer elements: neighbors of one opaque paint become one path.

    A renderer's set-up for an element costs more than a short line itself.
    """
    out: list[Shape] = []
    data: list[str] = []

    def paint(s: Shape) -> tuple:
        return (s.tag, s.fill, s.stroke, s.width, s.cap, s.transform, s.part, s.ghost, s.crisp)

    def flush() -> None:
        if len(data) > 1:
            out[-1] = replace(out[-1], tag="path", geometry=f'd="{"".join(data)}"')
        data.clear()

    for s in shapes:
        line = _outline(s) if s.opacity == 1 and (s.fill is None or s.stroke is None) else None
        joins = (
            line is not None and data and paint(s) == paint(out[-1]) and not isinstance(s.fill or s.stroke, Gradient)
        )
        if not joins:
            flush()
            out.append(s)
        if line is not None:
            data.append(line)
    flush()
    return out


@dataclass
class Pen:
    """Collects the shapes of one object.

    Coordinates are centimeters, x to the right, y *down*; an object that stands has its foot at
    y = 0 and reaches up to negative y, centred on x = 0. Every method adds one shape, over the
    earlier ones. ``ghost=True`` marks what must not count in the mask (a highlight, a glow). With ``grid`` the
    coordinates are pixels: what runs along them needs no anti-aliasing, and is painted twice as fast without.
    """

    shapes: list[Shape] = field(default_factory=list)
    grid: bool = False
    _transform: str = ""
    _part: str | None = None

    def _add(self, tag: str, geometry: str, fill: Paint, stroke, width, opacity, ghost, cap="round"):
        move = self._transform.strip()
        crisp = self.grid and not move and _along_the_grid(tag, geometry)
        self.shapes.append(Shape(tag, geometry, fill, stroke, width, opacity, cap, move, self._part, ghost, crisp))

    def path(self, d: str, fill: Paint = None, stroke: Paint = None, width=0.0, *, opacity=1.0, ghost=False):
        """An SVG path."""
        self._add("path", f'd="{d}"', fill, stroke, width, opacity, ghost)

    def polygon(self, points, fill: Paint = None, stroke: Paint = None, width=0.0, *, opacity=1.0, ghost=False):
        """A closed polygon of (x, y) points."""
        text = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self._add("polygon", f'points="{text}"', fill, stroke, width, opacity, ghost)

    def rect(self, x, y, w, h, fill: Paint = None, stroke: Paint = None, width=0.0, *, r=0.0, opacity=1.0, ghost=False):
        """A rectangle with corner radius ``r``; (x, y) is its top left corner."""
        geometry = f'x="{x:.2f}" y="{y:.2f}" width="{w:.2f}" height="{h:.2f}"' + (f' rx="{r:.2f}"' if r else "")
        self._add("rect", geometry, fill, stroke, width, opacity, ghost)

    def ellipse(
        self, cx, cy, rx, ry=None, fill: Paint = None, stroke: Paint = None, width=0.0, *, opacity=1.0, ghost=False
    ):
        """An ellipse, or a circle when ``ry`` is None."""
        ry = rx if ry is None else ry
        self._add(
            "ellipse", f'cx="{cx:.2f}" cy="{cy:.2f}" rx="{rx:.2f}" ry="{ry:.2f}"', fill, stroke, width, opacity, ghost
        )

    def line(self, points, stroke: Paint, width: float, *, cap="round", opacity=1.0, ghost=False):
        """An open line through (x, y) points."""
        text = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self._add("polyline", f'points="{text}"', None, stroke, width, opacity, ghost, cap)

    @contextmanager
    def at(self, x=0.0, y=0.0, *, angle=0.0, scale: float | tuple[float, float] = 1.0) -> Iterator[Pen]:
        """Draw inside a moved, turned (degrees) and scaled frame; frames nest."""
        sx, sy = scale if isinstance(scale, tuple) else (scale, scale)
        before = self._transform
        self._transform = f"{before} translate({x:.2f} {y:.2f})"
        if angle:
            self._transform += f" rotate({angle:.2f})"
        if (sx, sy) != (1.0, 1.0):
            self._transform += f" scale({sx:.4g} {sy:.4g})"
        try:
            yield self
        finally:
            self._transform = before

    @contextmanager
    def part(self, name: str) -> Iterator[Pen]:
        """Shapes drawn here belong to the part ``name`` (a top, a phone): it gets a mask of its own."""
        before, self._part = self._part, name
        try:
            yield self
        finally:
            self._part = before
