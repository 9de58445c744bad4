"""JSON from elsewhere: read at one place, and checked against the type hints of a dataclass.

What Python's reader accepts and nothing here can use is refused: NaN, Infinity, 1e999, numbers of more than 4,300
digits, and brackets nested deeper than its stack.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import DataError, shown
from .checks import read_text

MOST_NUMBERS = 200  # in one list of a schema: a network has fewer layers than this
NAMES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "an object",
         list: "a list"}  # fmt: skip

Limits = Mapping[str, tuple[float, float]]
"""The smallest and the largest number that a field of this name may hold."""


class SchemaError(ValueError):
    """Data that is not as its schema says; the message says where."""


def read_json(path: Path | str, what: str, remedy: str, object_hook: Callable[[dict], object] | None = None) -> Any:
    """The content of a JSON file; ``what``, ``remedy``: as for :func:`~qgc.data.checks.read_text`.

    Raises
    ------
    DataError
        If the file is missing, not a text, or not JSON that can be used.
    """
    text = read_text(path, what, remedy)
    try:
        return json.loads(text, object_hook=object_hook, parse_constant=_finite, parse_float=_finite)
    except json.JSONDecodeError as error:
        reason = f"{error.msg.lower()} at character {error.pos}"
        raise DataError(f"{path} is not whole JSON ({reason}); is it cut off? {remedy}") from None
    except RecursionError:
        reason = "its brackets are nested too deeply"
    except ValueError as error:
        reason = "a number in it has thousands of digits" if "4300 digits" in str(error) else str(error)
    raise DataError(f"{path} is not {what} ({reason}); {remedy}") from None


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is not a number that can be used")
    return number


def is_count(value: object) -> bool:
    """Whether a value is a whole number from 0 that fits into 64 bits; true and false are not."""
    return type(value) is int and 0 <= value < 2**63


def parsed(kind: Any, value: object, limits: Limits | None = None, where: str = "", span: tuple | None = None) -> Any:
    """A value of JSON as ``kind``: a dataclass, a union of some, ``tuple``, ``dict``, or a plain type.

    Parameters
    ----------
    kind : a type hint; of a union of dataclasses the first is taken whose required fields are there, and ``X | None``
        is either.
    limits : by the names of fields; they also hold for the numbers in a field's tuple.
    where, span : the value's name in a message, and its own limits.

    Raises
    ------
    SchemaError
        If the value is of another kind or out of its limits, or a field is missing or unknown.
    """
    origin, options = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _dataclass(kind, value, limits or {}, where)
    if origin in (Union, UnionType) and type(None) in options:
        return None if value is None else parsed(options[0], value, limits, where, span)
    if origin in (Union, UnionType):
        there = value if isinstance(value, dict) else {}
        fitting = next((option for option in options if _required(option) <= there.keys()), None)
        if fitting is None:
            raise SchemaError(f"{where} is {shown(value)}, which describes nothing that is known")
        return parsed(fitting, value, limits, where)
    if origin is tuple:
        return _tuple(options, value, limits, where, span)
    if origin is dict:
        _check(isinstance(value, dict), value, dict, where)
        return {key: parsed(options[1], each, limits, f"{where}.{key[:80]}") for key, each in value.items()}
    _check(_is(kind, value), value, kind, where, span)
    _check(span is None or span[0] <= value <= span[1], value, kind, where, span)
    return value


def _dataclass(kind: Any, value: object, limits: Limits, where: str) -> Any:
    _check(isinstance(value, dict), value, dict, where)
    before, hints = f"{where}." if where else "", get_type_hints(kind)
    if unknown := value.keys() - hints.keys():
        raise SchemaError(f"{before}{min(unknown)[:80]} is not known")
    if missing := _required(kind) - value.keys():
        raise SchemaError(f"{before}{min(missing)} is missing")
    values = {k: parsed(hints[k], v, limits, f"{before}{k}", limits.get(k)) for k, v in value.items()}
    return kind(**values)


def _required(kind: Any) -> set[str]:
    return {f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}


def _tuple(options: tuple, value: object, limits: Limits | None, where: str, span: tuple | None) -> tuple:
    _check(isinstance(value, list | tuple), value, list, where)
    same = options[-1] is Ellipsis
    if len(value) > MOST_NUMBERS and options[0] is not str or not same and len(value) != len(options):
        raise SchemaError(f"{where} has {len(value)} entries, not {'so many' if same else len(options)}")
    kinds = [options[0]] * len(value) if same else options
    return tuple(parsed(k, v, limits, f"{where}[{i}]", span) for i, (k, v) in enumerate(zip(kinds, value, strict=True)))


def _is(kind: type, value: object) -> bool:
    if kind is float and type(value) is int:  # JSON writes whole numbers without a point
        return abs(value) < 2**63
    return type(value) is kind and (kind is not float or math.isfinite(value))


def _check(fits: bool, value: object, kind: type, where: str, span: tuple | None = None) -> None:
    if not fits:
        within = f" from {span[0]} to {span[1]}" if span else ""
        raise SchemaError(f"{where or 'it'} is {shown(value)}, not {NAMES[kind]}{within}")
