"""What a method is: any callable ``f(vqa, image, question, answer) -> (h, w)``; and the methods that the table has.

The map is a tensor or an array on any grid, finite, *before* a ReLU (signed values count: the primary measure looks
at the order of all cells). The image is a PIL image, RGB, 224×224. Two kinds of methods need to say more:

>>> @grounding.method(needs_other=True)                      # sees the pair's other question, too
... def mine(vqa, image, question, answer, other): ...

>>> grounding.contrast_of(base, combine)                     # combine(own map, other map) of a method's two maps

The second is for contrasts of maps: the no-place surrogate of a contrast is made from the maps that it compares, so it
exists only where these are known. ``encoded=True`` says that the method takes a :class:`qgc.EncodedImage` in place of
the image (``qgc.explain`` takes either); then all questions about an image share its work.
"""

from __future__ import annotations

import importlib
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from ...errors import QGCError, shown
from ...explain import EncodedImage, Explanation, contrast, explain, gates
from ...explain.rankings import RankingInputs
from ...measure.pairs import no_place_surrogate, own
from ...models.evaluation import WeightsMark
from ...scenes.questions import every_question
from ..protocol.methods import hires, mean_slope

LARGEST = 1024
"""Cells of a map's side, at most."""


@dataclass(frozen=True)
class Method:
    """A method as the benchmark calls it; made by :func:`method`, :func:`contrast_of` or :func:`as_method`."""

    function: Callable[..., Any]
    needs_other: bool = False
    encoded: bool = False
    combine: Callable[[Tensor, Tensor], Tensor] = own

    def __call__(self, *args):
        """The function itself, so that a decorated method can still be called."""
        return self.function(*args)

    def maps(self, vqa, image, encoded, questions: Sequence[str], answer: str, key: str) -> tuple[Tensor, Tensor]:
        """The maps of two questions and their no-place surrogate, (2, h, w) each, checked.

        Raises
        ------
        QGCError
            If the method fails, or its map is not one; the message names the case ``key`` and the question.
        """
        found = []
        for k, question in enumerate(questions):
            more = (questions[1 - k],) if self.needs_other else ()
            try:
                map_ = self.function(vqa, encoded() if self.encoded else image, question, answer, *more)
            except QGCError as error:
                raise QGCError(f"the method fails on {key}, {question!r}: {error}") from error
            except Exception as error:
                raise QGCError(
                    f"the method fails on {key}, {question!r}: {type(error).__name__}: {error}; a method is called as "
                    f"f(vqa, image, question, answer{', other' * self.needs_other})"
                ) from error
            found.append(checked_map(map_, f"{key}, {question!r}"))
        first, second = found
        if first.shape != second.shape:
            raise QGCError(f"the two maps of {key} are {tuple(first.shape)} and {tuple(second.shape)} cells large; "
                           "give maps on one grid")  # fmt: skip
        if self.needs_other:  # what it compares is not known
            surrogate = torch.full((2, *first.shape), torch.nan, dtype=torch.float64)
        else:
            surrogate = no_place_surrogate(first, second, self.combine)
        return torch.stack([self.combine(first, second), self.combine(second, first)]), surrogate


def checked_map(map_, where: str) -> Tensor:
    """A method's map as a tensor (h, w), float64, on the CPU; QGCError, which says ``where``, if it is not one."""
    try:
        values = map_.detach().cpu() if isinstance(map_, Tensor) else torch.from_numpy(np.array(map_))
    except (TypeError, ValueError):
        raise QGCError(f"the map of {where} is {shown(map_)}; return a tensor or an array (h, w)") from None
    if values.ndim != 2 or values.is_complex() or not all(1 <= n <= LARGEST for n in values.shape):
        raise QGCError(f"the map of {where} has the shape {tuple(values.shape)}; return real numbers (h, w), at most "
                       f"{LARGEST} cells each way")  # fmt: skip
    values = values.double()
    if not values.isfinite().all():
        raise QGCError(f"the map of {where} holds numbers that are not finite; return finite ones only")
    return values


def method(*, needs_other: bool = False, encoded: bool = False) -> Callable[[Callable], Method]:
    """Decorator that declares what a method takes besides ``(vqa, image, question, answer)``; see the module."""
    return lambda function: Method(function, needs_other, encoded)


def contrast_of(base: Callable, combine: Callable[[Tensor, Tensor], Tensor]) -> Method:
    """A method whose map is ``combine(map of its own question, map of the other question)``, both by ``base``."""
    of = as_method(base)
    return Method(of.function, of.needs_other, of.encoded, combine)


def as_method(function) -> Method:
    """A method from any callable; QGCError if it cannot be called."""
    if isinstance(function, Method):
        return function
    if not callable(function):
        raise QGCError(f"a method is a function f(vqa, image, question, answer), not {shown(function)}")
    return Method(function)


def find_method(name: str) -> Method:
    """One of :data:`METHODS`, or ``package.module:function``, which is imported, and so runs that file's code.

    Modules are also looked for in the current folder.

    Raises
    ------
    QGCError
        If there is none of this name.
    """
    if name in METHODS:
        return METHODS[name]
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute:
        raise QGCError(f"there is no method {shown(name)}; choose one of {', '.join(METHODS)}, or name a function of "
                       "your own as package.module:function")  # fmt: skip
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        found = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise QGCError(f"the method {shown(name)} cannot be imported ({error}); check the name, and that its module "
                       "is installed or in this folder") from error  # fmt: skip
    finally:
        if added:
            sys.path.remove(here)
    return as_method(found)


# -- the methods of the table ---------------------------------------------------------------------------
@lru_cache(16)
def _explained(encoded: EncodedImage, question: str, answer: str) -> Explanation:
    # The methods of the table ask the same of an image: it is explained, and ranked by the paper's ranking, once
    return explain(encoded.vqa, encoded, question, answer)


def _gated(e: Explanation, order: Tensor, n: int) -> Tensor:
    return gates.maps(e, gates.top(order, [min(n, e.vqa.combine)]), relu=False)[0]


@method(encoded=True)
def grad_cam(vqa, image: EncodedImage, question: str, answer: str) -> Tensor:
    """Grad-CAM (paper Eq. 1–2) before the ReLU."""
    e = _explained(image, question, answer)
    return _gated(e, e.order, vqa.combine)


@method(encoded=True)
def hires_cam(vqa, image: EncodedImage, question: str, answer: str) -> Tensor:
    """HiResCAM (Draelos and Carin 2020) before the ReLU."""
    return hires(RankingInputs(_explained(image, question, answer)), vqa).view(*image.F.shape[2:])


@method(encoded=True)
def attention(vqa, image: EncodedImage, question: str, answer: str) -> Tensor:
    """The model's own attention; QGCError for a model without one."""
    found = vqa.attention(image.F, _explained(image, question, answer).q)
    if found is None:
        raise QGCError("this model has no attention; choose pythia/natural, or another method")
    return found[0]


def gate(n: int) -> Method:
    """The paper's gate (§3.3): the n neurons most sensitive to the question."""

    def gated(vqa, image: EncodedImage, question: str, answer: str) -> Tensor:
        e = _explained(image, question, answer)
        return _gated(e, e.order, n)

    return Method(gated, encoded=True)


def other_gate(n: int) -> Method:
    """The gate of the *other* question's n most sensitive neurons: what a ranking owes to its own question."""

    def gated(vqa, image: EncodedImage, question: str, answer: str, other: str) -> Tensor:
        return _gated(_explained(image, question, answer), _explained(image, other, answer).order, n)

    return Method(gated, needs_other=True, encoded=True)


def random_gate(n: int) -> Method:
    """n neurons at random, others for each image and question, and the same ones each time."""

    def gated(vqa, image: EncodedImage, question: str, answer: str) -> Tensor:
        rng = np.random.default_rng([zlib.crc32(question.encode()), zlib.crc32(image.image.tobytes())])
        e = _explained(image, question, answer)
        return _gated(e, gates.random_rankings(vqa.combine, rng=rng)[0].to(e.order), n)

    return Method(gated, encoded=True)


def question_free_gate(n: int) -> Method:
    """The n neurons of the highest ∂A/∂q, with 1 − u² averaged over all questions: a ranking that knows no question."""

    def gated(vqa, image: EncodedImage, question: str, answer: str) -> Tensor:
        if (slope := _mean_slope(image)) is None:
            raise QGCError("this ranking needs a model whose question branch sees no image; choose a Deeper LSTM")
        e = _explained(image, question, answer)
        return _gated(e, gates.ranking(RankingInputs(e, slope=slope).no_question), n)

    return Method(gated, encoded=True)


_slopes: WeakKeyDictionary[Any, tuple[WeightsMark, Tensor | None]] = WeakKeyDictionary()


@lru_cache(16)
def _mean_slope(encoded: EncodedImage) -> Tensor | None:
    # A second for all questions: once a model, and again when its weights have changed
    vqa, mark = encoded.vqa, WeightsMark.from_model(encoded.vqa)
    if vqa not in _slopes or _slopes[vqa][0] != mark:
        _slopes[vqa] = mark, mean_slope(vqa, every_question())
    return _slopes[vqa][1]


METHODS: dict[str, Method] = {
    "grad-cam": grad_cam,
    "gate-25": gate(25),
    "gate-269": gate(269),
    "random-gate-25": random_gate(25),
    "random-gate-269": random_gate(269),
    "question-free-gate-269": question_free_gate(269),
    "other-gate-269": other_gate(269),
    "l1-contrast": contrast_of(grad_cam, lambda first, second: contrast(first, second, "l1")),
    "hires-cam": hires_cam,
    "attention": attention,
}
"""Methods by the names of the command line and the table; 25 is the paper's n, 269 the one that protocol 1 chose."""
