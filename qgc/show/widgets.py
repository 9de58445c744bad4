"""Widgets for a running kernel: :func:`explorer` and :func:`scene_editor`.

What a widget computes is in :class:`ExplorerState` and :class:`EditorState`, which know nothing of
a kernel. Images are composed in NumPy, so that a new n is seen within milliseconds; what else follows from a choice
follows once the image is on its way.

>>> import qgc
>>> qgc.widgets.explorer()
"""

from __future__ import annotations

import asyncio
import base64
import html
import io
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ipywidgets
import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

from .. import paper
from ..errors import ImageError, QGCError, SceneError, WeightsError, shown
from ..explain import REDUCTIONS, EncodedImage, Explanation, explain
from ..images import image_file, open_image
from ..measure import map_share
from ..models import VQA, zoo
from ..scenes import COLOURS, DISTRIBUTIONS, Ask, Scene, sample
from ..scenes.questions import every_question
from ..scenes.situations import SITUATIONS, situation
from ..scenes.vocabulary import PARTS
from . import plots
from .arguments import check_attribute, checked
from .pixels import compose, pale, share_of_maximum, stroke
from .style import CYCLE, FAINT, INK, MUTED, OUTLINES

SIDE = 384  # pixels of the widgets' images
RANDOM = "random scene"
OWN = "your own image"
BARS = 60
EDITED = 300  # pixels of the editor's images, three of which are in a row
PAUSE_S, MOST_PAUSE_S = 0.05, 0.3  # what follows an image waits for a pause in a drag, but no longer than this
MOST_VIEWS, MOST_EXPLANATIONS = 12, 24  # what is kept for quick return; an explanation holds 1.5 MB

Loader = Callable[[str], VQA]


@checked
def useful_n(size: int) -> list[int]:
    """Values of n worth a slider's step: dense where maps change fast, the paper's among them, and all."""
    steps = {*range(1, 11), 12, 60, 75, 125, 150, 250, 600, 900, *paper.sweep_n("bathroom")}
    steps |= {*range(1500, size, 500)}
    return sorted({n for n in steps if n < size} | {size})


@dataclass(frozen=True)
class Rendered:
    """What a widget shows: images as JPEG bytes, and the same in words (plain text, not HTML)."""

    image: bytes
    bars: bytes
    text: str
    problem: str = ""


# -- the explorer ---------------------------------------------------------------------------------
class ExplorerState:
    """Everything :func:`explorer` chooses and shows, without a kernel.

    Assign to the attributes, then :meth:`render`. Views and explanations are kept, so that a change of
    ``n`` costs one small matrix product and one composed image.

    Attributes
    ----------
    situation : a name of the paper's situations, :data:`RANDOM` for ``seed`` and ``distribution``, or :data:`OWN` for
        ``own``, an image, of which nothing is known but its pixels.
    model : a name for ``load``. question : any text. answer : None explains the predicted one.
    n : how many combine neurons the gradient may pass. reduce : how ∂A/∂q becomes one number.
    """

    situation: str
    seed: int
    distribution: str
    model: str
    question: str
    answer: str | None
    n: int
    reduce: str

    @checked
    def __init__(self, names: Sequence[str] | None = None, load: Loader = zoo.load):
        self.names = list(zoo.names() if names is None else names)
        self._load = load
        self.model = next((n for n in self.names if n.endswith("/natural")), self.names[0] if self.names else "")
        self.situation, self.seed, self.distribution = "bathroom", 0, DISTRIBUTIONS[0]
        self._own: Image.Image | None = None
        self._own_number = 0  # of the images that were given so far
        self.question = situation("bathroom").questions[0]
        self.answer = None
        self.n, self.reduce = 25, REDUCTIONS[0]
        self._cache: dict[str, OrderedDict] = {}

    def __setattr__(self, name: str, value) -> None:
        check_attribute(self, name, value)
        super().__setattr__(name, value)

    @property
    def own(self) -> Image.Image | None:
        """The reader's own image; anything that :func:`qgc.images.open_image` reads may be assigned."""
        return self._own

    @own.setter
    def own(self, image) -> None:
        self._own = None if image is None else open_image(image)
        self._own_number += 1

    @property
    def vqa(self) -> VQA:
        """The chosen model; WeightsError if there is none."""
        if not self.names:
            raise WeightsError("no model is shipped; train one: python -m qgc train scenes natural --install")
        return self._cached("model", self.model, lambda: self._load(self.model), len(self.names))

    @property
    def scene(self) -> Scene | None:
        """The chosen scene; None where an image of one's own is shown."""
        return None if self.situation == OWN else self._cached("scene", self._scene_key, self._make_scene, MOST_VIEWS)

    @property
    def questions(self) -> list[str]:
        """What is offered to be asked: the scene's questions, or for an image all that the models were taught."""
        return sorted(every_question()) if self.scene is None else self.scene.questions

    @property
    def explanation(self) -> Explanation:
        """The question explained; a QGCError says what is wrong with it."""
        return self._explained()[0]

    def render(self) -> Rendered:
        """All that there is to show; what is wrong is in ``problem``, not raised."""
        return Rendered(self.image(), *self.status())

    def image(self) -> bytes:
        """The map over the image as JPEG; only the image where something is wrong, which :meth:`status` says."""
        with _one_thread():
            try:
                explanation, _ = self._explained()
                share = share_of_maximum(explanation.map(self._n(explanation)), self._colour().size)
            except QGCError:
                return self._plain()
            pixels = compose(self._pale(), share)
            if (mask := self._mask(explanation)) is not None:
                key = (self._scene_key, explanation.question)
                rim = self._cached("rim", key, lambda: _rim(mask, self._colour().size), MOST_EXPLANATIONS)
                pixels = _stroked(pixels, rim)
            return _jpeg(pixels)

    def status(self) -> tuple[bytes, str, str]:
        """What goes with the image: the bars as JPEG, the same in words, and what is wrong or was warned of."""
        with _one_thread():
            try:
                explanation, notes = self._explained()
                n = self._n(explanation)
                return _jpeg(_bars(explanation, n)), self._status_text(explanation, n), notes
            except QGCError as error:
                return b"", "", str(error)

    def _n(self, explanation: Explanation) -> int:
        return min(max(int(self.n), 1), explanation.vqa.combine)

    def _mask(self, explanation: Explanation) -> np.ndarray | None:
        return plots.queried_mask(self.scene, explanation.question) if self.scene else None

    def _status_text(self, explanation: Explanation, n: int) -> str:
        own = (
            "" if explanation.answer == explanation.predicted else f" The model itself says {explanation.predicted!r}."
        )
        map_, mask, where = explanation.map(n), self._mask(explanation), ""
        if not (map_ > 0).any():
            where = "The map is empty: no cell is positive."
        elif mask is not None:
            name = next(a.thing for a in self.scene.asks if a.question == explanation.question)
            where = f"{float(map_share(map_, mask)):.0%} of the map lies on the {name}, "
            where += f"which covers {mask.mean():.0%} of the image."
        return (
            f"{explanation.question} → {explanation.answer!r}, probability {explanation.confidence:.0%}.{own} "
            f"{plots.label_n(n, explanation)}. {where}".strip()
        )

    @property
    def _scene_key(self):
        if self.situation == OWN:
            return OWN, self._own_number
        return (self.seed, self.distribution) if self.situation == RANDOM else self.situation

    def _make_scene(self) -> Scene:
        if self.seed < 0:
            raise SceneError(f"seed is {self.seed}; give a whole number from 0 on")
        return sample(self.seed, self.distribution) if self.situation == RANDOM else situation(self.situation)

    def _explained(self) -> tuple[Explanation, str]:
        """The explanation, and the warnings that came with it."""
        key = (self.model, self._scene_key, self.question.strip(), self.answer, self.reduce)
        cached = self._cached("explanation", key, self._explain, MOST_EXPLANATIONS)
        if not cached[0].view.is_current:  # the model has learnt since
            self._cache["view"].clear()
            self._cache["explanation"].clear()
            cached = self._cached("explanation", key, self._explain, MOST_EXPLANATIONS)
        return cached

    def _explain(self) -> tuple[Explanation, str]:
        key = (self.model, self._scene_key)
        view = self._cached("view", key, lambda: EncodedImage(self.vqa, self.scene or self._photograph()), MOST_VIEWS)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            explanation = explain(self.vqa, view, self.question.strip(), self.answer, reduce=self.reduce)
        return explanation, "; ".join(dict.fromkeys(str(w.message) for w in caught))

    def _photograph(self) -> Image.Image:
        if self.own is None:
            raise ImageError("no image yet; choose a file (JPEG or PNG), or give one: explorer(image='photo.jpg')")
        return self.own

    def _plain(self) -> bytes:
        """The image without a map; a blank one where there is no such scene."""
        try:
            return _jpeg(self._colour())
        except QGCError:
            return _EMPTY

    def _colour(self) -> Image.Image:
        return self._cached("colour", self._scene_key, self._make_colour, MOST_VIEWS)

    def _make_colour(self) -> Image.Image:
        if self.scene:
            return self.scene.render(SIDE)
        return ImageOps.contain(self.own, (SIDE, SIDE)) if self.own else Image.new("RGB", (SIDE, SIDE // 2), "white")

    def _pale(self) -> np.ndarray:
        return self._cached("pale", self._scene_key, lambda: pale(self._colour()), MOST_VIEWS)

    def _cached(self, what: str, key, make: Callable[[], Any], most: int):
        """The cached value, or a new one; the one unused for longest goes when there are too many."""
        entries = self._cache.setdefault(what, OrderedDict())
        if key not in entries:
            entries[key] = make()
            while len(entries) > most:
                entries.popitem(last=False)
        entries.move_to_end(key)
        return entries[key]


class _Controlled(ipywidgets.VBox):
    """A box whose controls may set each other, and whose slower parts follow an image once that is on its way."""

    def __init__(self, children: Sequence[ipywidgets.Widget]):
        super().__init__(children)
        self._busy = False
        self._waiting: asyncio.TimerHandle | None = None
        self._waiting_since = 0.0

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """While it lasts, the changes of one control by another start nothing of their own."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def _after_pause(self, action: Callable[[], None]) -> None:
        """Do it in place of what still waits, after a pause; at once where no event loop runs, that is, no kernel."""
        # The thread that sends the image shares the interpreter with whatever is computed meanwhile
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            action()
            return
        if self._waiting is None:
            self._waiting_since = time.monotonic()
        else:
            self._waiting.cancel()
        left = MOST_PAUSE_S - (time.monotonic() - self._waiting_since)

        def act() -> None:
            self._waiting = None
            action()

        self._waiting = loop.call_later(max(min(PAUSE_S, left), 0), act)


class Explorer(_Controlled):
    """The widget of :func:`explorer`; its controls are attributes, and ``state`` is its core."""

    @checked
    def __init__(self, state: ExplorerState):
        self.state = state
        self.situation = _dropdown("Scene", [*SITUATIONS, RANDOM, OWN], state.situation)
        self.seed = ipywidgets.BoundedIntText(value=0, min=0, max=10**9, description="Seed", layout=_field())
        self.distribution = _dropdown("Distribution", DISTRIBUTIONS, state.distribution)
        self.model = _dropdown("Model", state.names, state.model or None)
        self.upload = ipywidgets.FileUpload(accept="image/*", description="Choose an image", layout=_field())
        self.question = _dropdown("Question", state.questions, state.question)
        self.own = ipywidgets.Text(
            description="Or your own", placeholder="Is there a cat?", continuous_update=False, layout=_field()
        )
        self.answer = _dropdown("Answer", [_PREDICTED], _PREDICTED)
        self.reduce = _dropdown("∂A/∂q as", REDUCTIONS, state.reduce)
        self.n, self.exact_n = _n_controls(1024, state.n)
        self.image = JpegImage("The map over the scene")
        self.bars = JpegImage("The highest values of ∂A/∂q, and the cut at n")
        self.status = ipywidgets.HTML()
        random = ipywidgets.HBox([self.seed, self.distribution], layout=_row())
        controls = [self.situation, self.model, self.question, self.own, self.answer, self.reduce]
        controls += [self.n, self.exact_n]
        super().__init__(
            [
                ipywidgets.HBox(controls, layout=_row()),
                random,
                self.upload,
                self.status,
                ipywidgets.HBox([self.image, self.bars], layout=_row()),
            ]
        )
        self._random = random
        for control in (*controls, self.seed, self.distribution, self.upload):
            control.observe(self._changed, "value")
        with self._quietly():
            self._offer_answers()
        self._render()
        self._update_status()

    def _changed(self, change) -> None:
        if self._busy:
            return
        problem = ""
        with self._quietly():
            try:
                self._take(change["owner"])
            except QGCError as error:  # of a file that is not an image: what was shown before stays
                problem = str(error)
        self._render()
        self._after_pause(lambda: self._update_status(problem))

    def _take(self, control) -> None:
        state = self.state
        if control in (self.n, self.exact_n):
            state.n = control.value
            return
        state.situation, state.seed, state.distribution = (
            self.situation.value, self.seed.value, self.distribution.value,
        )  # fmt: skip
        state.reduce = self.reduce.value
        if control is self.upload and self.upload.value:
            state.own = bytes(self.upload.value[0]["content"])
        if control in (self.situation, self.seed, self.distribution):
            self.question.options = state.questions
            self.question.value = state.questions[0]
        if control is self.question:
            self.own.value = ""
        if control is self.model:
            state.model = self.model.value
            self._offer_answers()
        state.question = self.own.value or self.question.value
        state.answer = None if self.answer.value == _PREDICTED else self.answer.value

    def _offer_answers(self) -> None:
        try:
            vqa = self.state.vqa
        except QGCError:
            return  # the status says what is wrong
        held = self.answer.value
        self.answer.options = [_PREDICTED, *vqa.answers]
        self.answer.value = held if held in self.answer.options else _PREDICTED
        self.exact_n.max = vqa.combine
        self.n.options = useful_n(vqa.combine)
        self.state.n = min(self.state.n, vqa.combine)
        _match(self.n, self.exact_n, self.state.n)

    def _render(self) -> None:
        self._random.layout.display = "flex" if self.state.situation == RANDOM else "none"
        self.upload.layout.display = "flex" if self.state.situation == OWN else "none"
        self.image.show(self.state.image())

    def _update_status(self, problem: str = "") -> None:
        """Bring up to date what is shown next to the image."""
        with self._quietly():
            _match(self.n, self.exact_n, self.state.n)
        bars, text, own_problem = self.state.status()
        self.bars.show(bars or _EMPTY)
        self.status.value = _status_html(text, problem or own_problem)


@checked
def explorer(names: Sequence[str] | None = None, load: Loader = zoo.load, image=None) -> Explorer:
    """Ask any question about a scene or a photograph and see the map for every n (paper §3.3, Figs 27–101).

    Parameters
    ----------
    names : the models to choose from; all that are shipped by default.
    load : how a name becomes a model, for example ``functools.partial(qgc.load, device="cuda")``.
    image : an image of your own to begin with, anything that :func:`qgc.images.open_image` reads. The shipped models
        have only seen drawings: what they say of a photograph shows how they fail, not what they know.

    Raises
    ------
    ImageError
        If ``image`` cannot be read.
    """
    state = ExplorerState(names, load)
    if image is not None:
        state.situation, state.own = OWN, image
        state.question = state.questions[0]
    return Explorer(state)


# -- the scene editor -----------------------------------------------------------------------------
@dataclass(frozen=True)
class Edit:
    """What was done to one object."""

    dx: int = 0
    dy: int = 0
    colour: str | None = None
    removed: bool = False


@dataclass(frozen=True)
class Answered:
    """One question before and after the edits: what is true, and what the model says.

    A truth is "–" where the question has lost its object.
    """

    question: str
    truth: str
    answer: str
    truth_after: str
    answer_after: str


class EditorState:
    """Everything :func:`scene_editor` edits and shows, without a kernel: a scene, a model and the edits."""

    question: str
    n: int

    @checked
    def __init__(self, scene: Scene, vqa: VQA):
        self.original, self.vqa = scene, vqa
        self.asks: list[Ask] = list(scene.asks)
        self.question = self.asks[0].question
        self.n = vqa.combine
        self.edits: dict[str, Edit] = {}
        self._reset_views()

    def __setattr__(self, name: str, value) -> None:
        check_attribute(self, name, value)
        super().__setattr__(name, value)

    def _reset_views(self) -> None:
        self._before = EncodedImage(self.vqa, self.original)
        self._after = (self.original, self._before)
        self._explained: dict[tuple[str, str], Explanation] = {}

    @property
    def objects(self) -> list[str]:
        """What can be edited: the objects, and what else has a color (the place's halves, a phone)."""
        parts = set(PARTS.values())
        return self.original.names + [c for c in self.original.colours if c not in (*self.original.names, *parts)]

    def can(self, name: str) -> tuple[bool, bool]:
        """Whether an object can be moved and removed, and whether it can be recolored."""
        return name in self.original.names, PARTS.get(name, name) in self.original.colours

    def edit(self, name: str, **changes) -> None:
        """Change what is done to an object: ``dx``, ``dy`` (pixels), ``colour``, ``removed``.

        Raises
        ------
        SceneError
            If nothing of this name can be edited.
        QGCError
            If a change is of another kind.
        """
        if name not in self.objects:
            raise SceneError(f"there is no {shown(name)} to edit in this scene; it has {', '.join(self.objects)}")
        for what, value in changes.items():
            if what not in Edit.__annotations__:
                raise QGCError(f"{what!r} is not a change of an object; give {', '.join(Edit.__annotations__)}")
            check_attribute(Edit(), what, value)
        self.edits[name] = replace(self.edits.get(name, Edit()), **changes)

    def reset(self) -> None:
        """Back to the original scene."""
        self.edits.clear()

    @property
    def scene(self) -> Scene:
        """The scene as edited. What stood on a removed object is gone with it."""
        now = self.original
        for name, edit in self.edits.items():
            if edit.colour and PARTS.get(name, name) in now.colours:
                now = now.recolour(PARTS.get(name, name), edit.colour)
            if (edit.dx or edit.dy) and name in now.names:
                now = now.move(name, edit.dx, edit.dy)
        for name, edit in self.edits.items():
            if edit.removed and name in now.names:
                now = now.remove(name)
        return now

    @checked
    def truth(self, ask: Ask, scene: Scene) -> str:
        """The true answer to one of the original scene's questions in an edited one; "–" without its object."""
        if ask.thing is None:
            return ask.answer
        if ask.thing not in scene.masks or not scene.masks[ask.thing].any():
            return "no" if ask.family == "existence" else "–"
        return scene.colours[ask.thing] if ask.family == "colour" else ask.answer

    def answers(self) -> list[Answered]:
        """Every question of the original scene, before and after."""
        now = self.scene
        rows = []
        for ask in self.asks:
            before, after = self.explanations(ask.question)
            rows.append(
                Answered(
                    ask.question, ask.answer, f"{before.answer} ({before.confidence:.0%})",
                    self.truth(ask, now), f"{after.answer} ({after.confidence:.0%})",
                )
            )  # fmt: skip
        return rows

    @checked
    def explanations(self, question: str) -> tuple[Explanation, Explanation]:
        """A question's predicted answer explained in the original and in the edited scene."""
        now = self.scene
        if not self._before.is_current:  # the model has learnt since
            self._reset_views()
        if now != self._after[0]:
            self._after = now, self._before if now == self.original else EncodedImage(self.vqa, now)
            self._explained = {k: e for k, e in self._explained.items() if k[0] == "before"}
        pair = []
        for when, view in (("before", self._before), ("after", self._after[1])):
            if (when, question) not in self._explained:
                self._explained[when, question] = explain(self.vqa, view, question)
            pair.append(self._explained[when, question])
        return pair[0], pair[1]

    def render(self) -> tuple[bytes, bytes, bytes]:
        """The edited scene, and the map of :attr:`question` before and after, as JPEG."""
        with _one_thread():
            return self._render()

    def _render(self) -> tuple[bytes, bytes, bytes]:
        scenes = self.original, self.scene
        name = next((a.thing for a in self.asks if a.question == self.question), None)
        images = [_jpeg(scenes[1].render(EDITED))]
        for scene, explanation in zip(scenes, self.explanations(self.question), strict=True):
            n = min(self.n, self.vqa.combine)
            pixels = compose(pale(scene.render(EDITED)), share_of_maximum(explanation.map(n), (EDITED, EDITED)))
            if scene.masks.get(name) is not None:
                pixels = _stroked(pixels, _rim(scene.masks[name], (EDITED, EDITED)))
            images.append(_jpeg(pixels))
        return images[0], images[1], images[2]


class SceneEditor(_Controlled):
    """The widget of :func:`scene_editor`; its controls are attributes, and ``state`` is its core."""

    @checked
    def __init__(self, state: EditorState):
        self.state = state
        self.object = _dropdown("Object", state.objects, state.objects[0])
        self.dx = _shift("Move right")
        self.dy = _shift("Move down")
        self.colour = _dropdown("Colour", [_AS_IT_WAS, *COLOURS], _AS_IT_WAS)
        self.removed = ipywidgets.Checkbox(description="Take it out of the scene", indent=False, layout=_field())
        self.undo = ipywidgets.Button(description="Undo everything", tooltip="Back to the original scene")
        self.question = _dropdown("Question", [a.question for a in state.asks], state.question)
        self.n, self.exact_n = _n_controls(state.vqa.combine, state.n)
        self.images = [
            JpegImage("The scene as edited", EDITED), JpegImage("The question's map in the original scene", EDITED),
            JpegImage("The question's map in the edited scene", EDITED),
        ]  # fmt: skip
        self.status, self.table = ipywidgets.HTML(), ipywidgets.HTML()
        controls = [self.object, self.dx, self.dy, self.colour, self.removed, self.undo]
        asked = [self.question, self.n, self.exact_n]
        titles = ("the scene now", "the map before", "the map now")
        shown = [
            ipywidgets.VBox([ipywidgets.HTML(f"<b>{title}</b>"), image])
            for title, image in zip(titles, self.images, strict=True)
        ]
        super().__init__(
            [
                ipywidgets.HBox(controls, layout=_row()),
                ipywidgets.HBox(asked, layout=_row()),
                self.status,
                ipywidgets.HBox(shown, layout=_row()),
                self.table,
            ]
        )
        self.undo.on_click(self._undo)
        for control in (self.object, self.dx, self.dy, self.colour, self.removed, *asked):
            control.observe(self._changed, "value")
        self._show_object()
        self._render()

    def _undo(self, _button) -> None:
        self.state.reset()
        self._show_object()
        self._render()

    def _changed(self, change) -> None:
        if self._busy:
            return
        control, state = change["owner"], self.state
        if control is self.object:
            self._show_object()
            return
        if control in (self.n, self.exact_n):
            state.n = control.value
            with self._quietly():
                _match(self.n, self.exact_n, state.n)
        elif control is self.question:
            state.question = control.value
        else:
            colour = None if self.colour.value == _AS_IT_WAS else self.colour.value
            state.edit(self.object.value, dx=self.dx.value, dy=self.dy.value, colour=colour, removed=self.removed.value)
        self._render()

    def _show_object(self) -> None:
        """Set the controls to what was done to the chosen object, and lock those that it has no use for."""
        edit = self.state.edits.get(self.object.value, Edit())
        moves, takes_colour = self.state.can(self.object.value)
        with self._quietly():
            self.dx.value, self.dy.value, self.removed.value = edit.dx, edit.dy, edit.removed
            self.colour.value = edit.colour or _AS_IT_WAS
        self.dx.disabled = self.dy.disabled = self.removed.disabled = not moves
        self.colour.disabled = not takes_colour

    def _render(self) -> None:
        try:
            for image, value in zip(self.images, self.state.render(), strict=True):
                image.show(value)
        except QGCError as error:
            self.status.value = _status_html("", str(error))
        else:
            self._after_pause(self._update_status)

    def _update_status(self) -> None:
        """Bring up to date what is shown next to the images."""
        try:
            self.table.value = _table(self.state.answers())
            self.status.value = _status_html("", "")
        except QGCError as error:
            self.status.value = _status_html("", str(error))


@checked
def scene_editor(
    name: str = "bathroom", model: str = "deeper-lstm/natural", load: Loader = zoo.load
) -> ipywidgets.VBox:
    """Move, recolor or remove an object, and see what it does to the answers and the map (book/scenes-gallery.ipynb).

    ``name`` is a situation, ``model`` and ``load`` as in :func:`explorer`. What is wrong with them is
    shown in place of the editor.
    """
    try:
        return SceneEditor(EditorState(situation(name), load(model)))
    except QGCError as error:
        return ipywidgets.VBox([ipywidgets.HTML(_status_html("", str(error)))])


@contextmanager
def _one_thread() -> Iterator[None]:
    # These sums are small: where another program holds a core, threads that wait take five times as long
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


# -- parts ----------------------------------------------------------------------------------------
_PREDICTED, _AS_IT_WAS = "the predicted one", "as it was"
_WORDS = {"description_width": "95px"}


def _row() -> ipywidgets.Layout:
    """A row that wraps on a phone. Every widget has a layout of its own: one that is hidden would hide all."""
    return ipywidgets.Layout(flex_flow="row wrap", width="100%")


def _field() -> ipywidgets.Layout:
    return ipywidgets.Layout(width="320px", max_width="100%")


def _dropdown(description: str, options: Sequence[str], value) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(
        options=list(options), value=value, description=description, layout=_field(), style=_WORDS
    )


def _shift(description: str) -> ipywidgets.IntSlider:
    return ipywidgets.IntSlider(
        0, -120, 120, 4, description=description, continuous_update=False, layout=_field(), style=_WORDS
    )


def _n_controls(size: int, n: int) -> tuple[ipywidgets.SelectionSlider, ipywidgets.BoundedIntText]:
    """A slider over the useful n, and a field that takes every n."""
    steps = useful_n(size)
    slider = ipywidgets.SelectionSlider(
        options=steps, value=_nearest(steps, n), description="Top n", layout=_field(), style=_WORDS
    )
    exact = ipywidgets.BoundedIntText(value=n, min=1, max=size, description="Exact n", layout=_field(), style=_WORDS)
    return slider, exact


def _match(slider: ipywidgets.SelectionSlider, exact: ipywidgets.BoundedIntText, n: int) -> None:
    exact.value = n
    slider.value = _nearest(slider.options, n)


def _nearest(steps: Sequence[int], n: int) -> int:
    return min(steps, key=lambda step: abs(np.log(step / n)))


class JpegImage(ipywidgets.HTML):
    """A JPEG with a text alternative: :class:`ipywidgets.Image` has none, and takes no tooltip (ipywidgets #3860)."""

    def __init__(self, alt: str, side: int = SIDE):
        super().__init__(layout=ipywidgets.Layout(max_width="100%", width=f"{side}px"))
        self.alt, self.jpeg = alt, b""

    def show(self, jpeg: bytes) -> None:
        """Show other pixels; decoded before they are drawn, so that nothing flickers.

        The size is known before the pixels are, so that the page need not be laid out again.
        """
        self.jpeg = jpeg
        with image_file(jpeg) as image:
            width, height = image.size
        data = base64.b64encode(jpeg).decode("ascii")
        alt = html.escape(self.alt)
        self.value = (
            f'<img alt="{alt}" width="{width}" height="{height}" src="data:image/jpeg;base64,{data}" decoding="sync" '
            'style="max-width:100%;height:auto">'
        )


def _status_html(text: str, problem: str) -> str:
    """Words as HTML that a screen reader speaks when they change."""
    parts = [f"<span>{html.escape(text)}</span>"] if text else []
    if problem:
        parts.append(f'<b style="color:{CYCLE[1]}">Note: {html.escape(problem)}</b>')
    return f'<div role="status" aria-live="polite" style="line-height:1.4">{"<br>".join(parts)}</div>'


def _table(rows: Sequence[Answered]) -> str:
    heads = ("question", "true answer", "model", "true answer now", "model now")
    head = "".join(f'<th scope="col" style="text-align:left;padding:0 1em 0 0">{h}</th>' for h in heads)
    body = ""
    for r in rows:
        cells = (r.question, r.truth, r.answer, r.truth_after, r.answer_after)
        changed = r.answer.rsplit(" (", 1)[0] != r.answer_after.rsplit(" (", 1)[0]
        weight = "bold" if changed else "normal"
        body += "<tr>" + "".join(
            f'<td style="padding:0 1em 0 0;font-weight:{weight if c is cells[4] else "normal"}">{html.escape(c)}</td>'
            for c in cells
        )
        body += "</tr>"
    caption = "<caption style='text-align:left'>What the model answers before and after; bold: it changed</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _rim(mask: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels, counted row by row, make the outline's halo and its line."""
    halo, line = stroke(mask, size)
    return np.flatnonzero(halo & ~line), np.flatnonzero(line)


def _stroked(pixels: np.ndarray, rim: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    pixels = pixels.copy()
    flat = pixels.reshape(-1, 3)
    flat[rim[0]] = 255
    flat[rim[1]] = [int(OUTLINES[0][i : i + 2], 16) for i in (1, 3, 5)]
    return pixels


def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def _bars(explanation: Explanation, n: int) -> Image.Image:
    """The widgets' quick version of :func:`qgc.show.plots.sensitivity_bars`."""
    count = min(BARS, explanation.vqa.combine)
    values = explanation.scores[explanation.order[:count]].cpu().double().numpy()
    left, right, top, floor = 46, SIDE - 6, 34, 216
    image = Image.new("RGB", (SIDE, 264), "white")
    pen = ImageDraw.Draw(image)
    scale = (floor - top) / (max(values.max(), 0) or 1)
    step = (right - left) / count
    for k, value in enumerate(values):
        x = left + k * step
        colour = CYCLE[0] if k < n else FAINT
        pen.rectangle((x, floor - max(value, 0) * scale, x + step - 1.5, floor), fill=colour)
    if n < count:
        pen.line((left + n * step - 1, top - 8, left + n * step - 1, floor), fill=CYCLE[1], width=2)
    pen.line((left, floor, right, floor), fill=MUTED)
    text, small = _font(13), _font(12)
    note = f"the top {n} pass" if n < count else f"these all pass, n = {n}"
    pen.text((SIDE / 2, 14), f"∂A/∂q ({explanation.reduce}): {note}", INK, text, "mm")
    pen.text((left - 5, top), f"{max(values.max(), 0):.2g}", INK, small, "rm")
    pen.text((left - 5, floor), "0", INK, small, "rm")
    for rank in sorted({1, *range(10, count + 1, 10)}):
        pen.text((left + (rank - 0.5) * step, floor + 12), str(rank), INK, small, "mm")
    pen.text((SIDE / 2, floor + 34), f"rank among the {explanation.vqa.combine} combine neurons", INK, text, "mm")
    return image


def _jpeg(image: Image.Image | np.ndarray) -> bytes:
    # PNG takes ten times as long to write, which is most of a repaint.
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    with io.BytesIO() as file:
        image.save(file, "JPEG", quality=90, subsampling=0)
        return file.getvalue()


_EMPTY = _jpeg(Image.new("RGB", (8, 8), "white"))
