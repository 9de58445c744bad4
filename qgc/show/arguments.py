"""What a figure is given, compared with its annotations: whatever else comes is refused in one sentence."""

from __future__ import annotations

import functools
import inspect
import operator
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Union, get_args, get_origin, get_type_hints

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from torch import Tensor

from ..errors import QGCError, shown
from ..explain import Explanation
from ..models import VQA, DeeperLSTM
from ..scenes import Scene

# What a kind of argument is called, and how to get one
WORDS = {
    Explanation: ("an explanation", "make one with qgc.explain(vqa, scene, question)"),
    Scene: ("a scene", "take one with qgc.scene('bathroom')"),
    Axes: ("axes of matplotlib", "make some with plt.subplots()"),
    VQA: ("a model", "load one with qgc.load('deeper-lstm/natural')"),
    DeeperLSTM: ("a Deeper LSTM", "load one with qgc.load('deeper-lstm/natural')"),
    np.ndarray: ("an array", "make one with np.array(…)"),
    Tensor: ("a tensor", "make one with torch.tensor(…)"),
    pd.DataFrame: ("a table", "make one with pandas.DataFrame(…)"),
    pd.Series: ("a column", "make one with pandas.Series(…)"),
    Mapping: ("a dictionary", "give each part its name, {'name': …}"),
    tuple: ("a tuple", "give all of its parts, (…, …)"),
    Callable: ("a function", "give one that takes a model's name, such as qgc.load"),
    str: ("text", "give text, '…'"),
    int: ("a whole number", "give one such as 25"),
    float: ("a number", "give one such as 0.5"),
    bool: ("True or False", "give one of them"),
    types.NoneType: ("None", "omit it"),
}
ITEMS = {Explanation: "explanations", Scene: "scenes", float: "numbers", int: "whole numbers", str: "texts"}
COUNTS = ("columns", "top", "width")  # arguments that are whole numbers from 1 on
NEVER_EMPTY = ("ns", "objects")  # arguments that may be omitted, but not be empty lists


def checked(function: Callable) -> Callable:
    """Decorator: a QGCError for every argument that is not what the function's annotations say.

    A whole float is a whole number, a bool is none; a list may be any iterable but text. A list or a dictionary that
    has to be given is not empty.
    """
    signature, called = inspect.signature(function), function.__qualname__.removesuffix(".__init__")

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if "things" in kwargs and "objects" in signature.parameters:  # its earlier name
            kwargs["objects"] = kwargs.pop("things")
        given = signature.bind(*args, **kwargs)
        hints = _hints(function)
        for name, value in given.arguments.items():
            if isinstance(value, Iterator):  # to be read more than once
                given.arguments[name] = value = list(value)
            elif isinstance(value, pd.DataFrame) and get_origin(hints.get(name)) is Mapping:
                given.arguments[name] = value = dict(value.items())
            if name not in hints or value is (default := signature.parameters[name].default):
                continue
            needed = default is inspect.Parameter.empty or name in NEVER_EMPTY and default != ()
            if fault := _fault(value, hints[name], name, needed):
                raise QGCError(f"{called}: {_sentence(*fault)}")
            if name in COUNTS and value < 1:
                raise QGCError(f"{called}: {name} is {value}; give a whole number from 1 on")
        return function(*given.args, **given.kwargs)

    return wrapper


def check_attribute(owner: object, name: str, value) -> None:
    """QGCError if a value is not what the annotations of a class say of its attribute; one without is anything."""
    hints = _hints(type(owner))
    if name in hints and (fault := _fault(value, hints[name], name, False)):
        raise QGCError(f"{type(owner).__name__}: {_sentence(*fault)}")


@functools.cache
def _hints(annotated: Callable | type) -> dict:
    return get_type_hints(annotated)  # at the first use, when all that annotations name is imported


def _fault(value, hint, place: str, needed: bool) -> tuple | None:
    """The first part of an argument that is not what its annotation says: where, what it should be, what it is."""
    kind, inside = get_origin(hint) or hint, get_args(hint)
    if kind in (Union, types.UnionType):
        faults = [_fault(value, one, place, needed) for one in inside]
        deeper = [fault for fault in faults if fault and fault[0] != place]  # of the kind that it seems to be
        return None if not all(faults) else deeper[0] if deeper else (place, hint, value)
    if kind is Mapping:
        if not isinstance(value, Mapping | pd.Series) or needed and not len(value):
            return place, hint, value
        for key in value.keys():  # noqa: SIM118 - a column is iterated by its values
            if not _is(key, inside[0]):
                return f"a name in {place}", inside[0], key
        parts = [(f"{place}[{shown(key)}]", part, inside[1]) for key, part in value.items()]
        needed = needed and get_origin(inside[1]) is Mapping  # there may be no value of something
    elif kind in (Sequence, Iterable):
        listed = isinstance(value, Iterable) and not isinstance(value, str | bytes)
        listed = listed and not (kind is Sequence and isinstance(value, Mapping))
        if not listed or getattr(value, "ndim", 1) == 0 or needed and not len(list(value)):
            return place, hint, value
        if inside[0] is float:  # perhaps many
            return None if _are_numbers(value) else (place, hint, value)
        parts = [(f"{place}[{k}]", part, inside[0]) for k, part in enumerate(value)]
    elif kind is tuple:
        if not isinstance(value, tuple | list) or len(value) != len(inside):
            return place, hint, value
        parts = [(f"{place}[{k}]", *part) for k, part in enumerate(zip(value, inside, strict=True))]
        needed = False
    else:
        return None if _is(value, kind) else (place, hint, value)
    return next(filter(None, (_fault(part, one, where, needed) for where, part, one in parts)), None)


def _is(value, kind: type) -> bool:
    if kind is int:
        try:
            operator.index(int(value) if isinstance(value, float) and value.is_integer() else value)
        except (TypeError, ValueError):
            return False
        return not isinstance(value, bool | np.bool_) and str(getattr(value, "dtype", "")) != "torch.bool"
    if kind is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    return isinstance(value, (np.ndarray, Tensor) if kind is np.ndarray else kind)  # what draws takes either


def _are_numbers(values) -> bool:
    try:
        numbers = np.asarray(values)
    except (TypeError, ValueError, RuntimeError):
        return False
    return numbers.ndim == 1 and numbers.dtype.kind in "biuf"


def check_columns(table: pd.DataFrame, columns: Iterable[str], what: str = "the table") -> None:
    """QGCError if a table lacks one of these columns."""
    for column in columns:
        if column not in table:
            raise QGCError(f"{what} lacks the column {column!r}; it has {shown(', '.join(map(str, table)))}")


def _sentence(place: str, hint, value) -> str:
    options = get_args(hint) if _is_union(hint) else (hint,)
    kinds = [get_origin(one) or one for one in options]
    lists = [get_args(one)[0] for one, kind in zip(options, kinds, strict=True) if kind in (Sequence, Iterable)]
    if (lists or Mapping in kinds) and isinstance(value, Sequence | Mapping) and not len(value):
        return f"{place} is empty; give at least one part"
    words = [_words(one, kind) for one, kind in zip(options, kinds, strict=True)]
    remedy = words[0][1]
    if lists and not _fault(value, lists[0], place, True):
        remedy = f"put it in a list, [{place}]"
    elif isinstance(value, list | tuple) and value and not lists and not _fault(value[0], hint, place, True):
        remedy = "give one of them"
    given = shown(value) if value is None or isinstance(value, str | Real) else type(value).__name__
    return f"{place} must be {' or '.join(word for word, _ in words)}, not {given}; {remedy}"


def _words(hint, kind: type) -> tuple[str, str]:
    """What an argument is called, and how to get one."""
    if kind in (Sequence, Iterable):
        inside = get_args(hint)[0]
        return (f"a list of {ITEMS[inside]}" if inside in ITEMS else "a list"), "give a list, […]"
    return WORDS.get(kind) or (f"of the class {kind.__name__}", "make one")


def _is_union(hint) -> bool:
    return get_origin(hint) in (Union, types.UnionType)
