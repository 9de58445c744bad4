"""Atomic writing: a file is either complete or not there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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
    with replaced(path) as (temporary,):
        write(temporary)


@contextmanager
def replaced(*paths: Path) -> Iterator[list[Path]]:
    """Temporary files, one for each of ``paths``, to be written in the block and moved into place, in order, after it.

    So nothing is replaced before everything is written; the file that refers to the others goes last.

    Raises
    ------
    QGCError
        If one of ``paths`` is a folder, or its folder does not exist.
    """
    for path in paths:
        check_target(path)
    targets = [Path(os.path.realpath(path)) for path in paths]
    temporary = [target.with_name(f".{target.name[:LONGEST]}.{os.getpid()}.tmp") for target in targets]
    moves = dict(zip(temporary, targets, strict=True))
    try:
        yield temporary
        for source, target in moves.items():
            os.replace(source, target)
    except OSError as error:
        if target := moves.get(Path(str(error.filename))):  # its source is a name that the caller does not know
            error.filename, error.filename2 = str(target), None
        raise
    finally:
        for source in temporary:
            with suppress(OSError):  # the first error is the one to report
                source.unlink(missing_ok=True)


def check_target(path: Path) -> None:
    """Raise ``QGCError`` if no file can be written at ``path``: it is a folder, or its folder does not exist."""
    if path.is_dir():
        raise QGCError(f"{path} is a folder; name a file in it")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise QGCError(f"{path} cannot be written: there is no folder {folder}; make it first")


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in and below ``folder`` that a process left behind when it was killed."""
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
