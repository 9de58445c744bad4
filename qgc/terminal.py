"""What commands share: how arguments are read and refused, and how results are printed as JSON."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path

from .errors import QGCError

DEFAULT = "deeper-lstm/natural"  # the model of a command where none is named


class UsageError(QGCError):
    """The arguments of a command are wrong; ``usage`` says which there are."""

    def __init__(self, message: str, usage: str):
        super().__init__(message)
        self.usage = usage


class Parser(argparse.ArgumentParser):
    """A parser that leaves it to ``qgc.cli.main`` to say what is wrong, in words or as JSON."""

    def error(self, message: str):
        """Raise ``UsageError``; argparse itself would print and leave."""
        raise UsageError(message, self.format_usage())


def path(text: str) -> Path:
    """An argument that names a file or a folder."""
    if re.match(r"[A-Za-z][\w+.-]+://", text):
        raise argparse.ArgumentTypeError(f"{text} is an address; download it first, and give the file")
    return Path(text)


def file(text: str) -> Path:
    """An argument that names a file to write."""
    if text.endswith(("/", os.sep)):  # which pathlib drops
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it")
    return path(text)


def at_least(least: int) -> Callable[[str], int]:
    """An argument that is a whole number, not below ``least``."""

    def number(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", text):
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"it must be {least} or more, not {text}")
        return int(text)

    return number


def print_json(data, indent: int | None = 1) -> None:
    """Print data as JSON that every program and every terminal takes: ASCII, and null for what is not a number."""
    print(json.dumps(_with_null(data), indent=indent, allow_nan=False))


def _with_null(data):
    if isinstance(data, dict):
        return {key: _with_null(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_with_null(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
