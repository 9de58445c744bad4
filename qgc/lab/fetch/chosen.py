"""Single photographs that the user has chosen: each from where it is cheapest."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Event, Lock

from tqdm import tqdm

from ...data.checks import check_image, read_text
from ...data.schema import is_count, read_json
from ...data.vqa2 import PART
from ...errors import DataError, FetchError
from .download import NotFound, Unreachable, download, forget
from .sources import Source

AT_ONCE = 8  # photographs that are downloaded at the same time

Places = dict[str, list[tuple[Source, str]]]  # photograph to where it may be: a source, and its file name there


def images_of(path: Path | str) -> list[str]:
    """The photographs that a file asks about, in order of first use.

    Read are the official JSON files of VQA (questions or annotations), DAQUAR's pairs of lines, and plain lists of
    numbers or file names. Raises ``FetchError`` if none is named in it.
    """
    try:
        text = read_text(path, "a text", "give VQA's JSON, DAQUAR's questions or a list of numbers")
        is_vqa = text.lstrip().startswith("{")
        named = _of_vqa(path) if is_vqa else re.findall(r"\bimage(\d+)\b", text) or text.split()
    except DataError as error:
        raise FetchError(str(error)) from None
    if not named:
        raise FetchError(f"no photograph is named in {path}")
    return list(dict.fromkeys(named))


def _of_vqa(path: Path | str) -> list[str]:
    content = read_json(path, "VQA's JSON", "give the official file")
    part = content.get("data_subtype", "")
    entries = content.get("questions") or content.get("annotations") or []
    entries = entries if isinstance(entries, list) else [entries]
    numbers = [entry.get("image_id") if isinstance(entry, dict) else None for entry in entries]
    if type(part) is not str or not PART.fullmatch(part or "-") or not all(map(is_count, numbers)):
        raise DataError(f"{path} is not a file of VQA's questions or annotations (its data_subtype is not a name, or "
                        "an image_id not a number); give the official file")  # fmt: skip
    return [f"COCO_{part}_{number:012d}.jpg" if part else str(number) for number in numbers]


def places(image: str, sources: list[Source]) -> list[tuple[Source, str]]:
    """Where a photograph may be, from its number or its file name (with .jpg or without): sources, and names there."""
    number = re.fullmatch(r"(?:image)?0*(\d{1,12})(?:\.jpe?g)?", image, re.IGNORECASE)  # 000000123456.jpg: COCO of 2017
    if number:
        return [(source, source.archive.photo.format(int(number[1]))) for source in sources]
    name = image if "." in image else f"{image}.jpg"
    plain = re.fullmatch(r"[\w.-]{1,200}", name)  # it becomes a part of an address and of a path
    return [(source, name) for source in sources if plain and source.archive.takes(name)]


def bring_chosen(run, sources: list[Source], images: list[str]) -> dict[str, str]:
    """Bring these photographs into the folder of ``run``; returns the ones that could not be had, with the reason.

    In this order: there already, in the folder given, in an archive that is at hand, at their own address, and at last
    in the archive, which is then fetched and kept for the next ones.
    """
    wanted = {image: places(image, sources) for image in images}
    missing = {image: "there is no such photograph in the parts asked for" for image, at in wanted.items() if not at}
    left = {image: at for image, at in wanted.items() if at and not _is_there(run, at)}
    try:
        left = _from_given(run, left)
        for source in sources:
            if run.archive_at_hand(source):
                left = _from_archive(run, source, left)
        alone = {image: at for image, at in left.items() if any(source.archive.single for source, _ in at)}
        missing |= _each_alone(run, alone)
        left = {image: at for image, at in left.items() if image not in alone}
        for source in sources:
            if any(of is source for at in left.values() for of, _ in at):
                left = _from_archive(run, source, left)
    except FetchError as error:
        run.say(f"photographs: {error}")
        return {image: str(error) for image, at in wanted.items() if not _is_there(run, at)}
    return missing | dict.fromkeys(left, "it is not in the archive")


def _is_there(run, at: list[tuple[Source, str]]) -> bool:
    names = [run.folder / source.archive.into / each for source, name in at for each in _names(source, name)]
    return any(path.is_file() for path in names)


def _names(source: Source, name: str) -> list[str]:
    """A photograph's file name, and the one with the other ending where both are taken."""
    return [each for each in dict.fromkeys((name, str(Path(name).with_suffix(".jpg")))) if source.archive.takes(each)]


def _from_given(run, left: Places) -> Places:
    """Take photographs from the folder given; returns those that are not there, or damaged."""
    return {image: at for image, at in left.items() if not any(_taken(run, source, name) for source, name in at)}


def _taken(run, source: Source, name: str) -> bool:
    for path in (folder / each for folder in run.loose_folders(source) for each in _names(source, name)):
        if path.is_file():
            try:
                run.take(path, source.archive.into)
                return True
            except FetchError:
                continue  # damaged here, so looked for elsewhere
    return False


def _from_archive(run, source: Source, left: Places) -> Places:
    """Take photographs out of an archive; returns those that are not in it."""
    names = {image: {n for s, name in at if s is source for n in _names(s, name)} for image, at in left.items()}
    wanted = set().union(*names.values())
    if not wanted:
        return left
    got = {Path(path).name for path in run.unpack(source, run.archive(source)[0], wanted.__contains__)}
    return {image: at for image, at in left.items() if not names[image] & got}


def _each_alone(run, wanted: Places) -> dict[str, str]:
    """Download photographs from their own addresses, a few at a time; a server that is not there is not asked again."""
    missing: dict[str, str] = {}
    locks: dict[str, Lock] = {}
    stop = Event()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = {pool.submit(_one, run, at, locks, stop): image for image, at in wanted.items()}
        try:
            for job in tqdm(as_completed(jobs), total=len(jobs), desc="photographs", mininterval=1, leave=False):
                try:
                    job.result()
                except Unreachable:
                    raise
                except FetchError as error:
                    missing[jobs[job]] = str(error)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return missing


def _one(run, at: list[tuple[Source, str]], locks: dict[str, Lock], stop: Event) -> None:
    """One photograph from the first part of the data set that has it."""
    for number, (source, name) in enumerate(at, 1):
        with locks.setdefault(name, Lock()):  # the same one may have been asked for by number and by name
            try:
                _alone(run, source, name, stop)
                return
            except NotFound as error:
                if number == len(at) or isinstance(error, Unreachable):
                    raise


def _alone(run, source: Source, name: str, stop: Event) -> None:
    place, part = run.folder / source.archive.into / name, run.work / f"{name}.part"
    if place.is_file():
        return
    addresses = tuple(address.format(name) for address in source.archive.single)
    download(addresses, part, retry=run.retry, stop=stop)
    try:
        check_image(part, name, length_known=True)
    except FetchError:
        forget(part)
        raise
    place.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, place)
    forget(part)
