"""Atomic writing: a file is either complete or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from .errors import QGCError

LONGEST = 60  # letters of the name in a temporary file's; at four bytes each the whole stays below 255 bytes


def atomic_write(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write(temporary path)``, then move the file into place; a failure leaves no incomplete file.

    For a symbolic link its target is replaced; a device or a pipe (``/dev/null``) is written to.

    Raises
    ------
    QGCError
        If ``path`` is a folder, or its folder does not exist.
    """
    check_target(path)
    if path.exists() and not path.is_file():
        with tempfile.TemporaryDirectory() as folder:
            complete = Path(folder) / "complete"
            write(complete)
            with path.open("wb") as device:
                device.write(complete.read_bytes())
        return
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name[:LONGEST]}.{os.getpid()}.tmp")
    try:
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        if str(error.filename) == str(temporary):  # a name that the caller does not know
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):  # the first error is the one to report
            temporary.unlink(missing_ok=True)


def check_target(path: Path) -> None:
    """Raise ``QGCError`` if no file can be written at ``path``: it is a folder, or its folder does not exist."""
    if path.is_dir():
        raise QGCError(f"{path} is a folder; name a file in it")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise QGCError(f"{path} cannot be written: there is no folder {folder}; make it first")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in and below ``folder`` that :func:`atomic_write` of a killed process left behind."""
    for leftover in folder.rglob(".*.*.tmp"):
        number = leftover.name.split(".")[-2]
        if number.isdecimal() and not _is_running(int(number)):
            leftover.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    """Whether another process of this number is running; on Windows, where a signal cannot ask that, always."""
    if process == os.getpid():  # left by an earlier process with our number: this one is not writing yet
        return False
    if os.name == "nt":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
