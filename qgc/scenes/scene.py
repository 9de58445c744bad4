"""A scene: a place, the objects in it from back to front, and what can be asked about it.

A scene is immutable; :meth:`Scene.move`, :meth:`Scene.recolour` and :meth:`Scene.remove` return a new
one in which *nothing else changes*, because every object draws from a random stream of its own. That
makes re-rendering an intervention (book/scenes-gallery.ipynb).
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

from ..errors import SceneError, shown
from ..files import atomic_write
from ..images import image_file
from . import render, schema
from .questions import Ask, asks
from .schema import FARTHEST
from .thing import Thing
from .things import KINDS
from .vocabulary import COLOURS, PARTS

SIDE = 224  # pixels of a scene's side
PNG_KEY = "qgc-scene"  # the text chunk that makes a saved image a scene again
LARGEST_SIDE = 4096  # pixels of a rendered image's side; memory grows with its square


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

    def __post_init__(self):
        for name, kind in (("things", Thing), ("fixed_asks", Ask)):
            value = getattr(self, name)
            if not isinstance(value, tuple | list) or not all(isinstance(one, kind) for one in value):
                raise SceneError(f"{name} is {shown(value)}; it must be a tuple of {kind.__name__}")
        for name, value in schema.check_scene(vars(self)).items():
            object.__setattr__(self, name, value)

    # -- images -----------------------------------------------------------------------------------
    @cached_property
    def shapes(self) -> list[list]:
        """The shapes of every object, in its own centimeters: drawn once, rendered for the image and for the masks."""
        return [render.object_shapes(t) for t in self.things]

    @cached_property
    def svg(self) -> str:
        """The scene as an SVG document, one ``<g id>`` per object: sharp at any size."""
        return render.document(self)

    @property
    def image(self) -> Image.Image:
        """The image that a model sees: RGB, 224×224, with light and sensor noise; a copy, so that it may be changed."""
        return self._image.copy()

    @cached_property
    def _image(self) -> Image.Image:
        return render.image(self)

    def render(self, side: int) -> Image.Image:
        """The image at ``side``×``side`` pixels, for looking at."""
        return render.image(self, schema.whole("side", side, 1, LARGEST_SIDE))

    def relit(self, light: int) -> Image.Image:
        """The image under another light field with other sensor noise; ``light`` 0 is :attr:`image` itself.

        No object is drawn differently, so a model's answer should not change: a *null alteration*, whose effect is the
        noise floor of all others (:mod:`qgc.lab.experiments.faithfulness`).
        """
        return render.image(self, light=schema.whole("light", light, 0))

    @cached_property
    def masks(self) -> dict[str, np.ndarray]:
        """Visible pixels of every object and part: name → bool array (224, 224).

        A pixel belongs to what covers its center. A part (a man's ``shirt``, the place's
        ``wall``) has a mask of its own and is in that of its object, too; ``man and woman`` is the
        union of the two. The arrays are read-only: ``mask.copy()`` is one to change.
        """
        masks = render.masks(self)
        for mask in masks.values():
            mask.setflags(write=False)
        return schema.ReadOnlyDict(masks)

    # -- what can be asked ------------------------------------------------------------------------
    @property
    def asks(self) -> list[Ask]:
        """Every (question, answer, object) that this scene supports, in a fixed order."""
        return list(self._asks)

    @cached_property
    def _asks(self) -> tuple[Ask, ...]:
        return self.fixed_asks or tuple(asks(self))

    @property
    def questions(self) -> list[str]:
        """The questions of :attr:`asks`."""
        return [ask.question for ask in self.asks]

    # -- looking up -------------------------------------------------------------------------------
    @property
    def names(self) -> list[str]:
        """Names of the objects, back to front (parts and the place's halves are not in it)."""
        return [t.kind for t in self.things]

    def __getitem__(self, name: str) -> Thing:
        for t in self.things:
            if t.kind == name:
                return t
        raise SceneError(f"there is no {shown(name)} in this scene; it has {', '.join(self.names) or 'nothing'}")

    @cached_property
    def colours(self) -> dict[str, str]:
        """Color term of everything that has one: object, part or half of the place."""
        colours = dict(self.tones)
        for t in self.things:
            part = PARTS.get(t.kind)
            if part:
                colours[part] = t.colour
            elif KINDS[t.kind].colours:
                colours[t.kind] = t.colour
            if t.pose.get("holding"):
                colours[t.pose["holding"]] = t.pose["held_colour"]
        return schema.ReadOnlyDict(colours)

    # -- interventions ----------------------------------------------------------------------------
    def move(self, name: str, dx: float, dy: float = 0.0) -> Scene:
        """The scene with an object (and what stands on it) moved by ``dx``, ``dy`` pixels."""
        self[name]
        dx, dy = (schema.number(axis, by, -FARTHEST, FARTHEST) for axis, by in (("dx", dx), ("dy", dy)))
        moved = [replace(t, x=t.x + dx, y=t.y + dy) if name in (t.kind, t.on) else t for t in self.things]
        return self._with(things=tuple(moved))

    def recolour(self, name: str, colour: str) -> Scene:
        """The scene with one object, part or half of the place in another color.

        Raises
        ------
        SceneError
            If nothing of that name has a color here, or the term is not one of the eleven.
        """
        if colour not in COLOURS:
            raise SceneError(f"unknown color {shown(colour)}; choose one of {', '.join(COLOURS)}")
        if name not in list(self.colours):  # a list, since the name may be of any type, without a hash
            raise SceneError(f"nothing called {shown(name)} has a color here; {', '.join(self.colours)} have")
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
        """The scene without an object, and without what stood on it."""
        self[name]
        return self._with(things=tuple(t for t in self.things if name not in (t.kind, t.on)))

    def _with(self, **changes) -> Scene:
        # The old scene's questions and answers need not hold for the new one.
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
        """The inverse of :meth:`to_json`.

        Raises
        ------
        SceneError
            If the text is not a scene that this version can draw; the message names the field.
        """
        try:
            keys = [f.name for f in fields(cls) if f.name != "fixed_asks"]
            data = schema.has_keys("the scene", schema.read_json(text), [*keys, "asks"])
            things = tuple(_object(i, entry) for i, entry in enumerate(_entries("things", data.pop("things"))))
            asks = tuple(_ask(i, entry) for i, entry in enumerate(_entries("asks", data.pop("asks"))))
            return cls(**{**data, "things": things, "fixed_asks": asks})
        except SceneError as error:
            raise SceneError(f"this is not a scene written by qgc ({error}); save one with scene.save()") from None

    def save(self, path: str | os.PathLike) -> Path:
        """Write the image as PNG, with the scene itself inside, so that :meth:`open` gives it back, masks included."""
        path = Path(_path(path))
        info = PngImagePlugin.PngInfo()
        info.add_text(PNG_KEY, self.to_json(), zip=True)
        atomic_write(path, lambda temporary: self._image.save(temporary, "PNG", pnginfo=info))
        return path

    @classmethod
    def open(cls, path: str | os.PathLike) -> Scene | None:
        """The scene inside an image that :meth:`save` wrote; None for any other image.

        Raises
        ------
        ImageError
            If the file is missing, or not an image.
        SceneError
            If its content is not a scene of this version.
        """
        with image_file(_path(path)) as image:
            text = getattr(image, "text", {}).get(PNG_KEY)
        return cls.from_json(text) if text else None

    def _repr_png_(self) -> bytes:
        return self.render(336)._repr_png_()

    def __repr__(self) -> str:
        return f"<Scene {self.name or self.seed} ({self.place}): {', '.join(self.names)}>"


def _path(path: object) -> str | os.PathLike:
    if not isinstance(path, str | os.PathLike):
        raise SceneError(f"a scene's file is named by its path, not by {shown(path)}")
    return path


def _entries(name: str, value: object) -> list:
    if not isinstance(value, list):
        raise SceneError(f"{name} is {shown(value)}; it must be a list")
    return value


def _object(i: int, entry: object) -> Thing:
    try:
        return Thing(**schema.has_keys("it", entry, [f.name for f in fields(Thing)]))
    except SceneError as error:
        raise SceneError(f"things[{i}]: {error}") from None


def _ask(i: int, entry: object) -> Ask:
    if not isinstance(entry, list) or len(entry) != 4:
        raise SceneError(f"asks[{i}] is {shown(entry)}; it must be a list of question, answer, thing and family")
    return Ask(*entry)
