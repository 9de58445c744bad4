"""The errors that bad input raises; each message names the remedy."""

from __future__ import annotations

import os
import re
import reprlib

LONGEST = 2000  # characters of a message, so that its remedy can be read whatever the input was
# Two letters at least, since C:/ is a disk; one slash, since pathlib removes the second.
ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|data:[a-z]+/")
ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!")  # the first bytes of archives


class _Short(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        try:
            return super().repr_int(x, level)
        except ValueError:  # of more than 4,300 digits, which Python does not print
            return f"a number of {x.bit_length():,} bits"


_short = _Short()
_short.maxstring = _short.maxother = 80
shown = _short.repr  # an input, for a message: its repr, with the middle omitted if it is long


class QGCError(Exception):
    """Base of every error that ``qgc`` raises on bad input: catch it to show the message alone."""

    def __init__(self, message: object = ""):
        text = str(message)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 3 :]}"
        super().__init__(text)


class ImageError(QGCError, ValueError):
    """The image cannot be used."""


class QuestionError(QGCError, ValueError):
    """The question cannot be used."""


class AnswerError(QGCError, ValueError):
    """The answer is not in the model's vocabulary."""


class GateError(QGCError, ValueError):
    """The set of combine neurons is not valid (n out of range, no index, or one that does not exist)."""


class WeightsError(QGCError, RuntimeError):
    """The weights are missing, damaged or of another model."""


class FetchError(QGCError, RuntimeError):
    """A file cannot be fetched, is not what it should be, or cannot be unpacked safely."""


class SceneError(QGCError, ValueError):
    """The scene has no such object, color or name."""


class DataError(QGCError, ValueError):
    """The files of a data set are missing, damaged or do not fit together."""


def no_file(path: str | os.PathLike) -> str:
    """The message that there is no file at ``path``, with the remedy."""
    if ADDRESS.match(str(path)):
        return f"{path} is an address; download the file and give its path"
    return f"there is no file {path}; check the path"
