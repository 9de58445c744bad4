"""Zip and tar files from strangers: everything is looked at before anything is written, and a cut-off run resumes.

``extractall`` of tarfile and zipfile is not used: of archives of gigabytes a few files are wanted, each under its base
name in one folder, and what a run that was cut off has written is not written again. So no path or link of an archive
is ever followed, which is what tarfile's data filter is for (Python 3.11.2, which Debian 12 has, comes without it).

A wanted file is written into a temporary folder under a temporary name, gets its own name there once it is whole, and
moves to its place once all of them are. So a file that is in its place, or under its own name, is whole.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from ...errors import FetchError, shown
from .download import need_space

MOST_FILES = 100_000  # COCO's largest archive has 83,000; each takes a kilobyte of memory, and time to look at
LONGEST_HEADER = 2**26  # bytes that a tar may make us hold in memory at once
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    ValueError,
    LookupError,
    OverflowError,
    NotImplementedError,
    RecursionError,
)  # what the readers raise for headers that make no sense
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}


@dataclass(frozen=True)
class Member:
    """A file in an archive: its whole name there, its base name, its size in bytes, and whether it is a link."""

    path: str
    name: str
    size: int
    link: bool = False


def contents(archive: Path, limit: int) -> list[Member]:
    """The files in a zip or tar, after everything in it was looked at; ``limit``: bytes that they may have unpacked.

    Raises ``FetchError`` if the archive is damaged or encrypted, holds more than ``limit`` bytes or 100,000 files, or
    has an entry whose name or link leads out of the folder (an absolute path, "..") or is none, or a device.
    """
    members: list[Member] = []
    total = 0
    with _readable(archive) as entries:
        for member, _ in entries:
            total += member.size
            if total > limit:
                raise FetchError(f"{archive.name} holds more than {limit} bytes, far more than it should: not unpacked")
            if len(members) == MOST_FILES:
                raise FetchError(f"{archive.name} holds more than {MOST_FILES} files: not unpacked")
            members.append(member)
    return members


def unpack(
    archive: Path,
    wanted: Callable[[str], bool],
    into: str,
    folder: Path,
    temporary: Path,
    limit: int,
    check: Callable[[Path, str], object],
) -> dict[str, int]:
    """Unpack the files whose base name is ``wanted`` into ``folder/into``; returns their paths in ``folder`` and sizes.

    ``temporary`` is a folder on the same disk, used and removed; one left by a run that was cut off is resumed.
    ``check(path, name)`` looks at each file before it gets its name, and raises if it must not have it. Raises
    ``FetchError`` as ``contents`` does, and if a wanted file is a link or two of them have one name.
    """
    chosen = [member for member in contents(archive, limit) if wanted(member.name)]
    if any(member.link for member in chosen):
        raise FetchError(f"{archive.name}: {shown(next(m.path for m in chosen if m.link))} is a link: not unpacked")
    places = {member.path: folder / into / member.name for member in chosen}
    if len({place.name.casefold() for place in places.values()}) < len(chosen):
        raise FetchError(f"{archive.name} holds two files of one name: not unpacked")
    missing = {m.path: m.size for m in chosen if not _whole(places[m.path], m.size)}
    temporary.mkdir(parents=True, exist_ok=True)
    here = {path: temporary / places[path].name for path in missing}
    missing_bytes = sum(size for path, size in missing.items() if not _whole(here[path], size))
    need_space(folder, missing_bytes)
    _write(archive, missing, here, missing_bytes, check)
    (folder / into).mkdir(parents=True, exist_ok=True)
    for path in missing:
        os.replace(here[path], places[path])
    shutil.rmtree(temporary)
    return {places[m.path].relative_to(folder).as_posix(): m.size for m in chosen}


def _write(archive: Path, missing: dict[str, int], here: dict[str, Path], total: int, check: Callable) -> None:
    """Write the files that are not yet ``here``; each is under its name only when it is whole."""
    bar = tqdm(total=total, desc=f"unpacking {archive.name}", unit="B", unit_scale=True, mininterval=1, leave=False)
    with bar, _readable(archive) as entries:
        for member, read in entries:
            if member.path not in missing or _whole(here[member.path], member.size):
                continue
            folder = here[member.path].parent
            half = folder.with_name(
                f"{folder.name}.half"
            )  # beside the folder, where no file of the archive has its name
            with read() as source, open(half, "wb") as target:
                while block := source.read(2**20):
                    target.write(block)
                    bar.update(len(block))
            if not _whole(half, member.size):
                raise FetchError(f"{archive.name} is damaged: {shown(member.path)} ends too early")
            check(half, member.name)
            os.replace(half, here[member.path])


def _whole(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except FileNotFoundError:
        return False


Entries = Iterator[tuple[Member, Callable]]


@contextmanager
def _readable(archive: Path) -> Iterator[Entries]:
    """The files of an archive, each with what opens it; whatever is wrong with it is one ``FetchError``."""
    try:
        with open(archive, "rb") as file:
            start = file.read(6)
        with closing(_zip(archive) if start.startswith(ZIP) else _tar(archive, start)) as entries:
            yield entries
    except DAMAGED as error:
        raise FetchError(f"{archive.name} is damaged ({str(error)[:200] or type(error).__name__})") from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):  # the disk, not a place before the archive's beginning
            raise
        raise FetchError(f"{archive.name} is damaged ({error})") from error


def _zip(archive: Path) -> Entries:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            kind = info.external_attr >> 16 & 0o170000
            if info.flag_bits & 0x1:
                raise FetchError(f"{archive.name} is encrypted: not unpacked")
            if kind not in (0, 0o100000, 0o040000, 0o120000):
                raise FetchError(f"{archive.name}: {shown(info.filename)} is a device: not unpacked")
            _check(archive, info.orig_filename)
            if info.is_dir():
                continue
            is_link = kind == 0o120000
            if is_link:
                _check(archive, opened.read(info).decode() if info.file_size < 4096 else "/")
            member = Member(info.filename, _base(archive, info.filename), info.file_size, is_link)
            yield member, partial(opened.open, info)


def _tar(archive: Path, start: bytes) -> Entries:
    opener = next((o for magic, o in COMPRESSED.items() if start.startswith(magic)), open)
    with opener(archive, "rb") as raw, tarfile.open(fileobj=(stream := _Bounded(raw)), mode="r:") as opened:
        for info in opened:
            _check(archive, info.name)
            if info.isdir():
                continue
            is_link = info.issym() or info.islnk()
            if is_link:
                _check(archive, info.linkname)
            elif not info.isreg() or info.issparse():
                raise FetchError(f"{archive.name}: {shown(info.name)} is a device or a sparse file: not unpacked")
            member = Member(info.name, _base(archive, info.name), max(info.size, 0), is_link)
            yield member, partial(opened.extractfile, info)
        if stream.last != bytes(512):  # tarfile takes an archive that was cut off between two files for a whole one
            raise FetchError(f"{archive.name} is damaged: it has no end")
        stream.drain()


class _Bounded:
    """A stream that never reads much at once: a header with a huge size in it cannot fill the memory."""

    def __init__(self, stream):
        self._stream, self.seek, self.tell = stream, stream.seek, stream.tell
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LONGEST_HEADER:
            raise tarfile.ReadError("a header of impossible size")
        self.last = self._stream.read(size)
        return self.last

    def drain(self) -> None:
        """Read what is left, a little padding: only at its end a compressed stream has its checksum compared."""
        left = LONGEST_HEADER
        while left > 0 and self.read(2**20):
            left -= len(self.last)
        if left <= 0:
            raise tarfile.ReadError("much more after its end")


def _check(archive: Path, name: str) -> None:
    """Refuse a name, or what a link leads to."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or any(":" in part for part in parts):
        raise FetchError(f"{archive.name}: {shown(name)} leads out of the folder: not unpacked")
    if not name or not name.isprintable() or any(len(part.encode(errors="replace")) > 255 for part in parts):
        raise FetchError(f"{archive.name}: {shown(name)} is not a name for a file: not unpacked")


def _base(archive: Path, name: str) -> str:
    """A file's name without its folders."""
    base = name.rpartition("/")[2]
    if base in ("", "."):
        raise FetchError(f"{archive.name}: a file in it has the name {shown(name)}, which is none: not unpacked")
    return base
