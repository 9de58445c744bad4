"""From a scene to SVG, to pixels and to exact masks."""

from __future__ import annotations

from functools import cache
from typing import Protocol

import numpy as np
import resvg_py
import thorvg_python as thorvg
from PIL import Image

from ..errors import SceneError
from ..images import image_file
from .palette import paint
from .svg import Pen, Shape, merged, radial
from .thing import Thing
from .things import KINDS, PLACES

NOISE = 2.0  # standard deviation of the sensor noise, in 0–255
BLACK = (0.0, 0.0, 0.0)


class Drawn(Protocol):
    """What is drawn of a scene, which is a module above: see :class:`qgc.scenes.Scene`."""

    place: str
    tones: dict[str, str]
    things: tuple[Thing, ...]
    horizon: float
    seed: int
    shapes: list[list[Shape]]


def _stream(*key: int) -> np.random.Generator:
    """A random stream of its own for every (seed, purpose), so that a change to one object changes no other."""
    return np.random.default_rng([k & 0x7FFFFFFF for k in key])


def object_shapes(t: Thing) -> list[Shape]:
    """The shapes of an object in its own centimeters."""
    pose = dict(t.pose)
    held = pose.pop("held_colour", None)
    if held is not None:
        pose[pose["holding"]] = paint(held, _stream(t.seed, 3))
    return merged(KINDS[t.kind].drawn(paint(t.colour, _stream(t.seed, 1)), _stream(t.seed, 2), **pose))


def place_shapes(scene: Drawn) -> list[Shape]:
    """The shapes of the place, in pixels."""
    pen = Pen(grid=True)
    tones = {part: paint(colour, _stream(scene.seed, 5, i)) for i, (part, colour) in enumerate(scene.tones.items())}
    PLACES[scene.place].draw(pen, tones, _stream(scene.seed, 6), scene.horizon)
    return merged(pen.shapes)


def _halves(scene: Drawn) -> list[Shape]:
    """The place for the masks: its two halves meet at the horizon, whatever is drawn on them."""
    place, edge = PLACES[scene.place], scene.horizon
    pen = Pen()
    with pen.part(place.upper):
        pen.rect(0, 0, 224, edge, BLACK)
    with pen.part(place.lower):
        pen.rect(0, edge, 224, 224 - edge, BLACK)
    return pen.shapes


def _shadow(t: Thing) -> Shape | None:
    """A soft contact shadow: darkest under the object, fading to nothing at its rim."""
    kind = KINDS[t.kind]
    if not kind.shadow or kind.stands in ("wall", "sky"):
        return None
    rx = kind.size[0] * t.scale * 0.58 * kind.shadow
    ry = max(2.5, min(rx * 0.26, 12.0))
    fill = radial((0.0, BLACK, 0.42), (0.55, BLACK, 0.24), (1.0, BLACK, 0.0))
    geometry = f'cx="{t.x + rx * 0.08:.2f}" cy="{t.y - ry * 0.12:.2f}" rx="{rx:.2f}" ry="{ry:.2f}"'
    return Shape("ellipse", geometry, fill, ghost=True, crisp=True)  # a shape without an edge needs no anti-aliasing


def _group(ident: str, shapes: list[Shape], defs: list[str], prefix: str, transform: str = "", flats=None) -> str:
    body = "".join(s.svg(defs, prefix, flats(s.part) if flats else None) for s in shapes)
    placed = f' transform="{transform}"' if transform else ""
    return f'<g id="{ident}"{placed}>{body}</g>'


def document(scene: Drawn, side: int = 224, ids: dict[tuple[str, str | None], int] | None = None) -> str:
    """The SVG document of a scene, ``side`` pixels wide; one ``<g id>`` per object.

    With ``ids`` (filled by the call) it is the *flat* document instead: every (object, part) in one
    opaque color whose red channel is its number.
    """
    flat = ids is not None
    defs: list[str] = []

    def flats_of(name: str):
        if not flat:
            return None
        return lambda part: f"#{ids.setdefault((name, part), len(ids) + 1):02x}0000"

    ground = _halves(scene) if flat else place_shapes(scene)
    body = [_group("place", ground, defs, "p", flats=flats_of("place"))]
    for i, (t, shapes) in enumerate(zip(scene.things, scene.shapes, strict=True)):
        shadow = None if flat else _shadow(t)
        if shadow is not None:
            body.append(f'<g id="{t.kind.replace(" ", "-")}-shadow">{shadow.svg(defs, "s")}</g>')
        sx = -t.scale if t.flip else t.scale
        transform = f"translate({t.x:.2f} {t.y:.2f}) scale({sx:.4f} {t.scale:.4f})"
        ident = t.kind.replace(" ", "-")
        body.append(_group(ident, shapes, defs, f"t{i}", transform, flats_of(t.kind)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 224 224" width="{side}" height="{side}">'
        f"<defs>{''.join(defs)}</defs>{''.join(body)}</svg>"
    )


@cache
def _engine() -> thorvg.Engine:
    return thorvg.Engine(threads=0)


def rendered(svg: str, side: int = 224) -> np.ndarray:
    """RGB pixels (side, side, 3) uint8 of an SVG document, anti-aliased; the document covers every pixel.

    ThorVG renders a scene eight times as fast as resvg, which has the crisp edges that masks need (:func:`flat`).
    """
    engine = _engine()
    canvas, drawing = thorvg.SwCanvas(engine), thorvg.Picture(engine)
    try:
        canvas.set_target(side, side)
        if drawing.load_data(svg.encode(), "svg", None, True) != thorvg.Result.SUCCESS:
            raise SceneError("the renderer cannot read this scene's SVG document")
        drawing.set_size(side, side)
        canvas.add(drawing)
        canvas.update()
        canvas.draw(True)
        canvas.sync()
        return np.ctypeslib.as_array(canvas.buffer_arr).view(np.uint8).reshape(side, side, 4)[..., :3].copy()
    finally:
        canvas.destroy()


def flat(svg: str) -> np.ndarray:
    """RGB pixels (H, W, 3) uint8 of a flat document: every pixel has the color of what covers its center."""
    png = resvg_py.svg_to_bytes(svg_string=svg, skip_system_fonts=True, shape_rendering="crisp_edges")
    with image_file(png) as drawn:
        return np.asarray(drawn.convert("RGB"))


def image(scene: Drawn, side: int = 224, light: int = 0) -> Image.Image:
    """The scene as an RGB image: SVG, then a smooth light field, then noise, from the scene's seed.

    ``light`` 1, 2, … draws another light field and other noise; 0 is the scene's own.
    """
    pixels = rendered(document(scene, side), side).astype(np.float32)
    rng = _stream(scene.seed, 7, *([light] if light else []))
    across, down = rng.uniform(-0.07, 0.07, 2)
    level, warmth = rng.uniform(0.93, 1.05), rng.uniform(-0.025, 0.025)
    ramp = np.linspace(-1, 1, side, dtype=np.float32)
    tint = np.array([1 + warmth, 1.0, 1 - warmth], np.float32)
    pixels *= (level + across * ramp[None, :] + down * ramp[:, None])[..., None] * tint
    pixels += rng.standard_normal((side, side, 1), dtype=np.float32) * NOISE
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))


def masks(scene: Drawn) -> dict[str, np.ndarray]:
    """Visible-pixel masks, name → bool (224, 224); see :attr:`qgc.scenes.scene.Scene.masks`."""
    ids: dict[tuple[str, str | None], int] = {}
    number = flat(document(scene, ids=ids))[..., 0]
    by_name: dict[str, np.ndarray] = {}
    for (name, part), i in ids.items():
        here = number == i
        for key in {name, part} - {None, "place"}:
            by_name[key] = by_name[key] | here if key in by_name else here
    if "man" in by_name and "woman" in by_name:
        by_name["man and woman"] = by_name["man"] | by_name["woman"]
    return by_name
