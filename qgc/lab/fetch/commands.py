"""``python -m qgc fetch``: the parser, and the report in words or as JSON."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from ...errors import FetchError, shown
from ...terminal import path, print_json

TRAINING_LABELS = "nyuv2_train_class13.tgz"  # without these the data set of rooms is smaller, but whole


def add_fetch(fetch: argparse.ArgumentParser) -> None:
    """Fill the parser of the command ``fetch``."""
    from .sources import COLLECTIONS

    fetch.formatter_class = argparse.RawDescriptionHelpFormatter
    fetch.description = (
        "Download photographs, questions or published weights from their public sources.\n"
        "What was cut off resumes when the same command is given again.\n\n"
        + "\n".join(f"  {name:14} {c.title}" for name, c in COLLECTIONS.items())
    )
    fetch.add_argument("name", nargs="?", choices=list(COLLECTIONS), metavar="name", help="one of the names above")
    fetch.add_argument("--to", type=path, metavar="DIR", help="where it goes (default: data/NAME)")
    fetch.add_argument("--from", dest="given", type=path, metavar="DIR", help="copy files from here, where they are")
    chosen = fetch.add_mutually_exclusive_group()
    chosen.add_argument("--images-of", type=path, metavar="FILE", help="only the photographs that this file asks about")
    chosen.add_argument(
        "--images", nargs="*", metavar="N", help="only these photographs, by number or file name; none if none is named"
    )
    fetch.add_argument(
        "--part", nargs="+", metavar="PART",
        help="only these official parts (of VQA: train2014, val2014; of nyu13: train, test; default: both)",
    )  # fmt: skip
    fetch.add_argument("--list", action="store_true", help="show what would come from where, and fetch nothing")
    fetch.add_argument("--json", action="store_true")
    fetch.set_defaults(run=_fetch)


def _fetch(args: argparse.Namespace) -> int:
    from .chosen import images_of
    from .fetch import fetch, lookup
    from .sources import COLLECTIONS

    if args.list:
        _list({args.name: lookup(args.name)} if args.name else COLLECTIONS, args.json)
        return 0
    if args.name is None:
        raise FetchError(f"say what to fetch: {', '.join(COLLECTIONS)}; --list shows what comes from where")
    images = images_of(args.images_of) if args.images_of else args.images
    folder = args.to or Path("data") / args.name
    report = fetch(args.name, folder, args.given, images, args.part, say=lambda line: print(line, file=sys.stderr))
    if args.json:
        print_json(asdict(report))
    else:
        print(_in_words(report))
    if args.name == "nyu13" and report.missing.keys() <= {TRAINING_LABELS}:
        _make_rooms(folder, quiet=args.json)
    return 2 if report.missing else 0


def _make_rooms(folder: Path, quiet: bool) -> None:
    """Make the data set of what was fetched, and say what is in it."""
    from ...data import rooms, rooms_counts

    place = rooms.make(folder)
    if not quiet:
        print(f"the questions are in {place}\n\n{rooms_counts.statistics(folder).to_string()}")
        for recoloured in (False, True):
            print(f"\n{rooms_counts.colours_of_classes(folder, recoloured).to_string()}")


def _list(collections: dict, as_json: bool) -> None:
    from .sources import registry_table

    if as_json:
        print_json({name: asdict(c) for name, c in collections.items()})
        return
    print(registry_table(collections))
    for name, collection in collections.items():
        print(f"\n{name}: {collection.title}\n  {collection.home}\n  terms: {collection.terms}")


def _in_words(report) -> str:
    """The report in words, with what to do about what is missing."""
    from .sources import COLLECTIONS, format_bytes

    lines = [f"{name}: {entry['how']} ({format_bytes(entry['bytes'])})" for name, entry in report.files.items()]
    if report.photographs:
        lines.append(f"{report.photographs['there']} of {report.photographs['wanted']} photographs are there")
    if not report.missing:
        return "\n".join([*lines, f"{report.name} is in {report.folder}"])
    names = [shown(name)[1:-1] for name in report.missing]
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    collection = COLLECTIONS[report.name]
    return "\n".join(
        [
            *lines,
            f"\nnot fetched: {', '.join(names[:5])}{more}",
            *(f"  {name}: {reason}" for name, reason in zip(names[:5], report.missing.values(), strict=False)),
            "What can be done: get the files in another way, put them into a folder, and run",
            f"  python -m qgc fetch {report.name} --to {report.folder} --from FOLDER",
            f"{collection.without}\nThe source's own page: {collection.home}",
        ]
    )
