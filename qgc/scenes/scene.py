"""A scene: a place, the things in it from back to front, and what can be asked about it.

A scene is immutable; :meth:`Scene.move`, :meth:`Scene.recolour` and :meth:`Scene.remove` return a new
one in which *nothing else changes*, because every thing draws from a random stream of its own. That
makes re-rendering an intervention (book/scenes-gallery.ipynb).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import SceneError, shown
from ..files import write_whole
from ..images import picture_file
from . import render
from .palette import COLOURS
from .things import KINDS, PLACES

SIDE = 224  # pixels of a scene's side
PNG_KEY = "qgc-scene"  # the text chunk that makes a saved picture a scene again
FARTHEST = 10_000  # pixels, or pixels per centimetre; a text with more is damaged
MOST_THINGS = 64  # of a text; masks tell 255 parts apart


@dataclass(frozen=True)
class Thing:
    """One thing in a scene.

    ``x``, ``y`` is its foot in pixels of the 224×224 picture, ``scale`` pixels per centimetre,
    ``on`` the thing that it stands on, ``pose`` what its drawing function takes besides.
    """

    kind: str
    colour: str
    x: float
    y: float
    scale: float
    seed: int
    flip: bool = False
    on: str | None = None
    pose: dict = field(default_factory=dict)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right, bottom of the nominal bounding box in pixels."""
        w, h = (s * self.scale for s in KINDS[self.kind].size)
        return self.x - w / 2, self.y - h, self.x + w / 2, self.y


@dataclass(frozen=True)
class Scene:
    """A drawn scene with exact ground truth; see :func:`qgc.scenes.sample` and :func:`qgc.scene`."""

    place: str
    tones: dict[str, str]
    things: tuple[Thing, ...]
    horizon: float
    seed: int
    name: str = ""
    fixed_asks: tuple = ()
    distribution: str = ""

    # -- pictures ---------------------------------------------------------------------------------
    @cached_property
    def shapes(self) -> list[list]:
        """The shapes of every thing, in its own centimetres: drawn once, painted for eye and masks."""
        return [render.thing_shapes(t) for t in self.things]

    @cached_property
    def svg(self) -> str:
        """The scene as an SVG document, one ``<g id>`` per thing: sharp at any size."""
        return render.document(self)

    @cached_property
    def image(self) -> Image.Image:
        """The picture that a model sees: RGB, 224×224, with light and sensor noise."""
        return render.picture(self)

    def render(self, side: int) -> Image.Image:
        """The picture at ``side``×``side`` pixels, for looking at."""
        return render.picture(self, side)

    def relit(self, light: int) -> Image.Image:
        """The image under another light field with other sensor noise; ``light`` 0 is :attr:`image` itself.

        No object is drawn differently, so a model's answer should not change: a *null alteration*, whose effect is the
        noise floor of every other one (:mod:`qgc.lab.experiments.faithfulness`).
        """
        return render.picture(self, light=light)

    @cached_property
    def masks(self) -> dict[str, np.ndarray]:
        """Visible pixels of every thing and part: name → bool array (224, 224).

        A pixel belongs to whatever covers its centre. A part (a man's ``shirt``, the place's
        ``wall``) has a mask of its own besides being part of its thing; ``man and woman`` is the
        union of the two.
        """
        return render.masks(self)

    # -- what can be asked ------------------------------------------------------------------------
    @cached_property
    def asks(self) -> list:
        """Every (question, answer, thing) that this scene supports, in a fixed order."""
        from .questions import asks

        return list(self.fixed_asks) or asks(self)

    @property
    def questions(self) -> list[str]:
        """The questions of :attr:`asks`."""
        return [ask.question for ask in self.asks]

    # -- looking things up ------------------------------------------------------------------------
    @cached_property
    def names(self) -> list[str]:
        """Names of the things, back to front (parts and the place's halves are not in it)."""
        return [t.kind for t in self.things]

    def __getitem__(self, name: str) -> Thing:
        for t in self.things:
            if t.kind == name:
                return t
        raise SceneError(f"there is no {name!r} in this scene; it has {', '.join(self.names) or 'nothing'}")

    @cached_property
    def colours(self) -> dict[str, str]:
        """Colour term of everything that can be asked for one: thing, part or half of the place."""
        found = dict(self.tones)
        for t in self.things:
            part = PARTS.get(t.kind)
            if part:
                found[part] = t.colour
            elif KINDS[t.kind].colours:
                found[t.kind] = t.colour
            if t.pose.get("holding"):
                found[t.pose["holding"]] = t.pose["held_colour"]
        return found

    # -- interventions ----------------------------------------------------------------------------
    def move(self, name: str, dx: float, dy: float = 0.0) -> Scene:
        """The scene with a thing (and what stands on it) moved by ``dx``, ``dy`` pixels."""
        self[name]
        moved = [replace(t, x=t.x + dx, y=t.y + dy) if name in (t.kind, t.on) else t for t in self.things]
        return self._with(things=tuple(moved))

    def recolour(self, name: str, colour: str) -> Scene:
        """The scene with one thing, part or half of the place in another colour.

        Raises
        ------
        SceneError
            If nothing of that name has a colour here, or the term is not one of the eleven.
        """
        if colour not in COLOURS:
            raise SceneError(f"unknown colour {colour!r}; choose one of {', '.join(COLOURS)}")
        if name not in self.colours:
            raise SceneError(f"nothing called {name!r} has a colour here; {', '.join(self.colours)} have")
        if name in self.tones:
            return self._with(tones={**self.tones, name: colour})
        things = []
        for t in self.things:
            if t.pose.get("holding") == name:
                t = replace(t, pose={**t.pose, "held_colour": colour})
            elif name in (t.kind, PARTS.get(t.kind)):
                t = replace(t, colour=colour)
            things.append(t)
        return self._with(things=tuple(things))

    def remove(self, name: str) -> Scene:
        """The scene without a thing, and without what stood on it."""
        self[name]
        return self._with(things=tuple(t for t in self.things if name not in (t.kind, t.on)))

    def _with(self, **changes) -> Scene:
        # What was asked of the old scene need not be true of the new one.
        return replace(self, fixed_asks=(), name="", **changes)

    # -- files ------------------------------------------------------------------------------------
    def to_json(self) -> str:
        """The scene as JSON text: everything needed to draw it again."""
        things = [{**t.__dict__} for t in self.things]
        asks = [[*ask, ask.family] for ask in self.fixed_asks]
        data = {"place": self.place, "tones": self.tones, "horizon": self.horizon, "seed": self.seed}
        data["distribution"] = self.distribution
        return json.dumps({**data, "name": self.name, "things": things, "asks": asks})

    @classmethod
    def from_json(cls, text: str) -> Scene:
        """The inverse of :meth:`to_json`; SceneError if the text is no scene."""
        try:
            data = json.loads(text)
            things = tuple(Thing(**t) for t in data.pop("things"))
            asks = tuple(_ask(*a) for a in data.pop("asks"))
            scene = cls(things=things, fixed_asks=asks, **data)
            scene._check()
        except SceneError:
            raise
        except RecursionError:
            raise SceneError(
                "this is not a scene written by qgc (too deeply nested); save one with scene.save()"
            ) from None
        except Exception as error:  # of any type, since the drawing functions see what stands in the text
            fault = shown(str(error))[1:-1]
            raise SceneError(f"this is not a scene written by qgc ({fault}); save one with scene.save()") from None
        return scene

    def _check(self) -> None:
        """Raise if the scene cannot be drawn: a wrong type, out of all bounds, unknown, or a pose that is none."""
        for part in (self, *self.things):
            for key, kinds in _TYPES[type(part)].items():
                value = getattr(part, key)
                if type(value) not in kinds or (kinds is _NUMBER and not abs(value) <= FARTHEST):  # nor is it NaN
                    raise ValueError(f"{key} is {shown(value)}")
        if len(self.things) > MOST_THINGS or not 0 <= self.horizon <= SIDE or any(t.scale <= 0 for t in self.things):
            raise ValueError("too many things, a horizon outside the picture, or a scale that is not positive")
        place = PLACES.get(self.place)
        colours = [*self.tones.values(), *(t.colour for t in self.things)]
        unknown = [t.kind for t in self.things if t.kind not in KINDS] + [self.place] * (place is None)
        unknown += [c for c in colours if c not in COLOURS]
        if unknown:
            raise SceneError(f"this scene holds {shown(unknown[0])}, which this version of qgc cannot draw")
        if set(self.tones) != {place.upper, place.lower}:
            raise ValueError(f"tones are of {shown(list(self.tones))}")
        render.place_shapes(self)
        _ = self.shapes, self.colours

    def save(self, path: str | os.PathLike) -> Path:
        """Write the picture as PNG, with the scene itself inside, so that masks can be had again."""
        path = Path(path)
        info = PngImagePlugin.PngInfo()
        info.add_text(PNG_KEY, self.to_json(), zip=True)
        write_whole(path, lambda temporary: self.image.save(temporary, "PNG", pnginfo=info))
        return path

    @classmethod
    def open(cls, path: str | os.PathLike) -> Scene | None:
        """The scene inside a picture that :meth:`save` wrote; None for any other picture.

        Raises
        ------
        ImageError
            If the file is missing, or no picture.
        SceneError
            If what stands in it is no scene of this version.
        """
        with picture_file(path) as picture:
            text = getattr(picture, "text", {}).get(PNG_KEY)
        return cls.from_json(text) if text else None

    def _repr_png_(self) -> bytes:
        return self.render(336)._repr_png_()

    def __repr__(self) -> str:
        return f"<Scene {self.name or self.seed} ({self.place}): {', '.join(self.names)}>"


def _ask(question: str, answer: str, thing: str | None, family: str):
    from .questions import Ask

    ask = Ask(question, answer, thing, family)
    if not all(type(text) is str for text in (question, answer, thing or "", family)):
        raise ValueError(f"a question is {shown(list(ask))}")
    return ask


_NUMBER, _TEXT = (int, float), (str,)
# What a text may hold, by field.
_TYPES = {
    Scene: {"place": _TEXT, "tones": (dict,), "horizon": _NUMBER, "seed": (int,), "name": _TEXT, "distribution": _TEXT},
    Thing: {"kind": _TEXT, "colour": _TEXT, "x": _NUMBER, "y": _NUMBER, "scale": _NUMBER, "seed": (int,),
            "flip": (bool,), "on": (str, type(None)), "pose": (dict,)},
}  # fmt: skip

# The part of a person that carries the thing's colour.
PARTS = {"man": "shirt", "woman": "top"}
