"""``python -m qgc fetch``: bring what ``qgc.lab.fetch.sources`` lists into a folder, whole or not at all.

In the folder, ``fetched.json`` notes for each file where it came from, its sha256 and how it was checked; parts,
archives and half-unpacked folders are in ``.fetch`` until they are done with. Of two runs in a folder one waits.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm import tqdm

from ...data.checks import check_image, check_weights
from ...data.schema import SchemaError, parsed, read_json
from ...errors import DataError, FetchError, shown
from ...files import atomic_write, remove_leftovers
from .chosen import bring_chosen
from .download import RetryPolicy, download, forget, need_space, origin, sha256
from .sources import COLLECTIONS, Collection, Source
from .unpack import contents, unpack

RECORD = "fetched.json"


@dataclass
class Report:
    """What a fetch did. ``files``: what is noted for each source, and ``how`` it came; ``missing``: name to reason.

    ``photographs``: how many single photographs were asked for and are there, empty where all were.
    """

    name: str
    folder: str
    files: dict[str, dict] = field(default_factory=dict)
    photographs: dict[str, int] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def fetch(
    collection: Collection | str,
    folder: Path | str,
    given: Path | str | None = None,
    images: Iterable[str] | None = None,
    parts: Iterable[str] | None = None,
    retry: RetryPolicy | None = None,
    say: Callable[[str], object] = print,
) -> Report:
    """Bring a collection into ``folder``; what is there already and whole is left alone.

    ``given``: a folder that is searched first; files found there are checked and copied. ``images``: only these
    photographs, by number or by file name (an empty list: none); all by default. ``parts``: the official parts wanted,
    such as "train2014"; all by default. ``say`` is called with each line of progress. What cannot be had is in the
    report's ``missing``, with the reason. Raises ``FetchError`` where nothing can be done: an unknown name, no such
    part, too little room on the disk.
    """
    collection = collection if isinstance(collection, Collection) else lookup(collection)
    parts = _parts(collection, parts)
    folder, given = Path(folder), None if given is None else Path(given)
    if given is not None and not os.path.isdir(given):
        raise FetchError(f"--from: there is no folder {shown(str(given))}; give the one where the files are")
    try:
        (folder / ".fetch").mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # a file is there, or no folder could have that name
        reason = getattr(error, "strerror", None) or error
        raise FetchError(
            f"no folder can be made at {shown(str(folder))} ({reason}); choose another, --to DIR"
        ) from None
    lock = FileLock(folder / ".fetch" / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another run is fetching into {folder}; this one continues when that is done")
        lock.acquire()
    try:
        remove_leftovers(folder)  # of a run that was killed while it noted what it has
        run = _Run(folder, given, retry or RetryPolicy(), say)
        return run.collect(collection, parts, None if images is None else _each(images))
    finally:
        lock.release()


def lookup(name: str) -> Collection:
    """The collection of this name; ``FetchError`` lists the names if there is none."""
    if not isinstance(name, str) or name not in COLLECTIONS:
        raise FetchError(f"nothing is known under the name {shown(name)}; there are {', '.join(COLLECTIONS)}")
    return COLLECTIONS[name]


def _each(names: Iterable[str]) -> list[str]:
    """Names, each once; one alone may be given without a list, and a number as a number."""
    try:
        names = [names] if isinstance(names, str) else list(names)
    except TypeError:
        names = [names]
    return list(dict.fromkeys(name if isinstance(name, str) else shown(name) for name in names))


def _parts(collection: Collection, parts: Iterable[str] | None) -> tuple[str, ...]:
    if parts is None:
        return collection.parts
    parts = tuple(_each(parts))
    for part in parts:
        if part not in collection.parts:
            known = ", ".join(collection.parts) or "no parts to choose from"
            raise FetchError(f"{collection.name} has no part {shown(part)}; there are {known}")
    return parts


class _Run:
    """One run in one folder, under its lock."""

    def __init__(self, folder: Path, given: Path | None, retry: RetryPolicy, say: Callable[[str], object]):
        self.folder, self.given, self.retry, self.say = folder, given, retry, say
        self.work = folder / ".fetch"
        self.record = _read_record(folder)

    def collect(self, collection: Collection, parts: tuple[str, ...], images: list[str] | None) -> Report:
        """Bring every source that is wanted; one that cannot be had does not keep the others from coming."""
        report = Report(collection.name, str(self.folder))
        chosen = [s for s in collection.files if not s.part or s.part in parts]
        photographs = [s for s in chosen if s.photographs and images is not None]
        if images and not photographs:
            raise FetchError(f"{collection.name} has no photographs to choose from")
        whole = [s for s in chosen if s not in photographs]
        self._need_room(whole)
        for source in whole:
            try:
                report.files[source.name] = self._bring(source)
            except FetchError as error:
                report.missing[source.name] = str(error)
                self.say(f"{source.name}: {error}")
        if images is not None:
            report.missing |= bring_chosen(self, photographs, images)
            there = sum(image not in report.missing for image in images)
            report.photographs = {"wanted": len(images), "there": there}
        return report

    def _need_room(self, sources: list[Source]) -> None:
        """Archives are unpacked one after the other and then removed, so only the biggest of them counts."""
        sources = [s for s in sources if not self._is_done(s)]
        loose = {s.name: files for s in sources if (files := self._loose(s))}
        archives = [s for s in sources if s.archive and s.name not in loose and not self.archive_at_hand(s)]
        count = sum(path.stat().st_size for files in loose.values() for path in files)
        count += sum(s.archive.unpacked if s.archive else s.bytes for s in sources if s.name not in loose)
        count += max((s.bytes for s in archives), default=0)
        remedy = "make room, choose another disk with --to DIR"
        if any(s.photographs for s in sources):
            remedy += ", or only some photographs with --images-of FILE"
        need_space(self.folder, count, remedy)

    def _bring(self, source: Source) -> dict:
        """Bring one source to its place and note it; returns what was noted, with ``how`` it came."""
        if self._is_done(source):
            self._tidy(source)
            return self.record[source.name] | {"how": "was there"}
        done = self._bring_archive(source) if source.archive else self._bring_file(source)
        self._tidy(source)
        self.say(f"{source.name}: {done['how']}; checked by {done['checked']}")
        return done

    def _is_done(self, source: Source) -> bool:
        noted = self.record.get(source.name)
        if noted is None:
            return False
        if source.archive:
            files = self._manifest(source)
            return bool(files) and all(_size(self.folder / path) == size for path, size in files.items())
        place = self.folder / source.name
        return _size(place) == noted["bytes"] and place.stat().st_mtime_ns == noted["changed"]

    def _tidy(self, source: Source) -> None:
        """Remove what was only needed on the way."""
        (self.work / source.name).unlink(missing_ok=True)
        shutil.rmtree(self.work / f"{source.name}.unpacking", ignore_errors=True)
        (self.work / f"{source.name}.unpacking.half").unlink(missing_ok=True)
        forget(self.work / f"{source.name}.part")

    # A file that stays as it is

    def _bring_file(self, source: Source) -> dict:
        place, part = self.folder / source.name, self.work / f"{source.name}.part"
        if place.exists():
            return self._note(source, self._verify(source, place), "was there", origin(part))
        found = self._search(source)
        if found:
            seen = self._verify(source, found)
            self.take(found, "", source.name)
            return self._note(source, seen, f"taken from {found}")
        seen = self._download(source, part)
        os.replace(part, place)
        return self._note(source, seen, "downloaded", origin(part))

    def _download(self, source: Source, part: Path) -> dict:
        """Download and verify; what arrives damaged is fetched once more from the start."""
        checked = bool(source.sha256 or self._pin(source))
        for tries_left in (1, 0):
            download(source.addresses, part, source.size, checked, self.retry, source.name)
            try:
                return self._verify(source, part, f"what comes from {origin(part)}")
            except FetchError:
                forget(part)
                if not tries_left:
                    raise
        raise AssertionError  # the loop returns or raises

    def _pin(self, source: Source) -> str:
        return self.record.get(source.name, {}).get("sha256", "")

    def _verify(self, source: Source, path: Path, what: str = "") -> dict:
        """Compare size and checksum with what was published, else with the first download; look into weights."""
        what, size = what or str(path), path.stat().st_size
        if source.size is not None and size != source.size:
            raise FetchError(f"{what} has {size} bytes where {source.size} were published: damaged or cut off")
        digest, pin = sha256(path, source.name), self._pin(source)
        if not digest.startswith(source.sha256):
            raise FetchError(
                f"{what} has the sha256 {digest}, but {source.sha256} was published: damaged, or another file. If it "
                f"is in your folder, move it away and run again."
            )
        if pin and digest != pin and len(source.sha256) < 64:
            raise FetchError(
                f"{what} has the sha256 {digest}, but {pin} when it was first fetched: another file now. If you trust "
                f"it, take the entry {source.name!r} out of {self.folder / RECORD} and run again."
            )
        check_weights(path, source.name)
        by = "its published sha256" if source.sha256 else "nothing yet, now noted"
        by = "the first download" if pin and len(source.sha256) < 64 else by
        return {"bytes": size, "sha256": digest, "checked": by}

    # An archive that is unpacked

    def _bring_archive(self, source: Source) -> dict:
        loose = [] if self.archive_at_hand(source) else self._loose(source)
        if loose:
            return self._take_loose(source, loose)
        archive, seen = self.archive(source)
        files = self.unpack(source, archive, source.archive.takes)
        if not source.archive.complete(Path(path).name for path in files):
            held = ", ".join(sorted({member.path for member in contents(archive, source.archive.limit)})[:8])
            wanted = " and ".join(source.archive.take)
            raise FetchError(f"{archive} does not hold {wanted}, but {held or 'nothing'}: another archive")
        self._write_manifest(source, files)
        ours = archive.parent == self.work
        how = "downloaded and unpacked" if ours else f"unpacked from {archive}"
        return self._note(source, seen, how, origin(self.work / f"{source.name}.part") if ours else "")

    def archive_at_hand(self, source: Source) -> Path | None:
        """The archive, where it need not be downloaded any more."""
        places = (self.work / source.name, self.folder / source.name, self._search(source))
        return next((path for path in places if path and path.is_file()), None)

    def archive(self, source: Source) -> tuple[Path, dict]:
        """The verified archive, downloaded if need be, and what was seen."""
        at_hand = self.archive_at_hand(source)
        if at_hand:
            return at_hand, self._verify(source, at_hand)
        part = self.work / f"{source.name}.part"
        need_space(self.folder, source.bytes - (_size(part) or 0))
        seen = self._download(source, part)
        os.replace(part, self.work / source.name)
        return self.work / source.name, seen

    def unpack(self, source: Source, archive: Path, wanted: Callable[[str], bool]) -> dict[str, int]:
        """Unpack the files whose base name is ``wanted``; returns their paths in the folder and their sizes."""
        temporary = self.work / f"{source.name}.unpacking"
        try:
            return unpack(
                archive, wanted, source.archive.into, self.folder, temporary, source.archive.limit, check_weights
            )
        except FetchError:
            if archive.parent == self.work:  # ours, so nothing is lost: the next run fetches it again
                self._tidy(source)
            raise

    def _manifest(self, source: Source) -> dict[str, int]:
        try:
            return parsed(dict[str, int], read_json(self.work / f"{source.name}.files.json", "a list of files", ""))
        except (DataError, SchemaError):  # so it is not known what was unpacked
            return {}

    def _write_manifest(self, source: Source, files: dict[str, int]) -> None:
        text = json.dumps(files, indent=0, sort_keys=True)
        atomic_write(self.work / f"{source.name}.files.json", lambda p: p.write_text(text, encoding="utf-8"))

    # Files that are there already

    def _search(self, source: Source) -> Path | None:
        """The file in the folder given, or one level below, under any of its names."""
        if self.given is None:
            return None
        for name in source.names:
            nearby = sorted(path for path in self.given.glob(f"*/{name}") if path.parent.name != ".fetch")
            for path in (self.given / name, *nearby):
                if path.is_file():
                    return path
        return None

    def loose_folders(self, source: Source) -> list[Path]:
        """Where somebody may have unpacked the archive, in the folder given or one level below."""
        if self.given is None:
            return []
        near = sorted(path for path in self.given.iterdir() if path.is_dir() and path.name != ".fetch")
        stem = source.name.split(".")[0]
        names = dict.fromkeys((source.archive.into, stem, f"images/{source.archive.into}", "images", "."))
        return [place / name for place in (self.given, *near) for name in names if (place / name).is_dir()]

    def _loose(self, source: Source) -> list[Path]:
        """An archive's files, where the folder given has them all, or at least photographs of it."""
        for folder in self.loose_folders(source) if source.archive else []:
            files = sorted(p for p in folder.iterdir() if source.archive.takes(p.name) and p.is_file())
            if files and source.archive.complete(path.name for path in files):
                return files
        return []

    def _take_loose(self, source: Source, loose: list[Path]) -> dict:
        count = source.archive.count
        if count and len(loose) != count:
            raise FetchError(
                f"{loose[0].parent} has {len(loose)} of the {count} files. Choose the photographs that are needed with "
                f"--images-of FILE, or omit --from to fetch all."
            )
        files, damaged = {}, []
        for path in tqdm(loose, desc=f"taking {source.name}", mininterval=1, leave=False):
            try:
                place = self.take(path, source.archive.into)
                files[place.relative_to(self.folder).as_posix()] = place.stat().st_size
            except FetchError as error:
                damaged.append(str(error))
        if damaged:
            raise FetchError(
                f"{len(files)} files of {loose[0].parent} were taken, and {len(damaged)} were not: "
                f"{'; '.join(damaged[:5])}. Choose these with --images, or omit --from to fetch all."
            )
        self._write_manifest(source, files)
        seen = {"bytes": sum(files.values()), "sha256": "", "checked": "the number of files and a look into each"}
        return self._note(source, seen, f"taken from {loose[0].parent}")

    def take(self, path: Path, into: str, name: str = "") -> Path:
        """Check one file, and copy it into the folder ``into``; returns where it is now.

        It is not a link: whoever changes a file that was fetched would change the original with it.
        """
        name = name or path.name
        place, copy = self.folder / into / name, self.work / f"{name}.copy"
        if _size(place) == path.stat().st_size:
            return place
        check_image(path, name)
        check_weights(path, name)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        os.replace(copy, place)
        return place

    def _note(self, source: Source, seen: dict, how: str, address: str = "") -> dict:
        entry = {"address": address or self.record.get(source.name, {}).get("address", ""), **seen}
        entry["checksum_from"] = source.checksum_from or "nobody published one; this is the first one seen here"
        entry["date"] = datetime.now(UTC).strftime("%Y-%m-%d")
        if not source.archive:
            entry["changed"] = (self.folder / source.name).stat().st_mtime_ns
        self.record[source.name] = entry
        text = json.dumps(self.record, indent=1, sort_keys=True, ensure_ascii=False)
        atomic_write(self.folder / RECORD, lambda p: p.write_text(text + "\n", encoding="utf-8"))
        return entry | {"how": how}


@dataclass(frozen=True)
class _Noted:
    """What ``fetched.json`` notes of a source; a file has ``changed``, an archive's files have their own list."""

    bytes: int
    sha256: str
    checked: str
    address: str
    checksum_from: str
    date: str
    changed: int = 0


def _read_record(folder: Path) -> dict:
    path, remedy = folder / RECORD, "move it away, and the checksums are noted again"
    if not os.path.exists(path):
        return {}
    try:
        record = read_json(path, "what was noted", remedy)
        parsed(dict[str, _Noted], record)
    except (DataError, SchemaError) as error:
        raise FetchError(f"{path} is damaged ({error}); {remedy}") from None
    return record


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None
