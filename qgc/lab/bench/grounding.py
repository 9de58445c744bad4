"""The grounding benchmark on the command line: ``python -m qgc bench grounding``."""

from __future__ import annotations

from ...errors import QGCError
from ...terminal import Parser, at_least, file, path, print_json

SHOWN = ("RGA", "above absent objects", "above other image", "OGA", "CGA", "margin", "empty")


def add(parser: Parser) -> None:
    """The arguments of ``bench grounding``."""
    parser.add_argument(
        "method", nargs="?", metavar="METHOD",
        help="a method of the table, such as grad-cam, or a function of your own as package.module:function, which is "
        "imported and run; without it the recorded table is printed",
    )  # fmt: skip
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--export", type=path, metavar="FOLDER", help="write the data set: images, masks, questions")
    instead.add_argument("--score", type=path, metavar="FILE", help="check a submission and print its row")
    instead.add_argument("--record", action="store_true", help="score all methods; write book/results/grounding-1.*")
    parser.add_argument("--scenes", type=at_least(1), help="only the first so many scenes (default: all)")
    parser.add_argument("--out", type=file, help="write the method's shares as a submission (.npz)")
    parser.set_defaults(run=run)


def run(args) -> None:
    """Export, score, record, run one method, or print the table."""
    from ..grounding import stored, submissions

    if args.method and (args.export or args.score or args.record):
        raise QGCError("name a method, or one of --export, --score and --record, not both")
    if args.out and not args.method:
        raise QGCError("--out is for the shares of one method; name it")
    if args.export:
        manifest = submissions.export(args.export)
        counts = {"folder": str(args.export), "pairs": manifest["pairs"], "files": len(manifest["files"])}
        _print(args, counts, f"wrote {counts['pairs']} pairs, {counts['files']} files, into {args.export}")
    elif args.score:
        found = submissions.read_submission(args.score)
        _print_rows(args, [_row(found.method, found.model, found.shares)])
    elif args.record:
        _print_rows(args, stored.record()["rows"])
    elif args.method:
        _print_rows(args, [_evaluate(args)])
    else:
        _print_rows(args, stored.Stored.read().tables["rows"])


def _evaluate(args) -> dict:
    import torch

    from ...files import check_target
    from ...models import load
    from ..grounding import evaluate, methods, read_cases, stored, submissions
    from ..grounding.cases import SCENES
    from ..protocol import NAMES

    method = methods.find_method(args.method)
    if args.out:
        check_target(args.out)
        if args.scenes not in (None, SCENES) or args.model not in NAMES:
            raise QGCError("a submission has all pairs of a shipped model's scenes; leave out --scenes, and choose one "
                           f"of {', '.join(NAMES)}")  # fmt: skip
    vqa = load(args.model, dtype=torch.float32)
    found = evaluate(method, read_cases(stored.distribution_of(args.model), args.scenes or SCENES), vqa)
    if args.out:
        submissions.write_submission(args.out, args.method, args.model, found)
    return _row(args.method, args.model, found)


def _row(name: str, model: str, found) -> dict:
    from ..grounding.stored import distribution_of, table_row

    return table_row(name, "method", model, distribution_of(model), found)


def _print_rows(args, rows: list[dict]) -> None:
    lines = [f"{'':44s}" + "".join(f"{name:>22s}" for name in SHOWN)]
    for row in rows:
        name = f"{row['row']}, {row['model'] or row['distribution']}"
        lines.append(f"{name:44s}" + "".join(f"{_interval(row[score]):>22s}" for score in SHOWN))
    _print(args, {"rows": rows}, "\n".join(lines))


def _interval(ends: list) -> str:
    if ends[0] is None:
        return "-"
    estimate, low, high = ends
    return f"{estimate:.3f}" if low is None else f"{estimate:.3f} [{low:.2f}, {high:.2f}]"


def _print(args, data, text: str) -> None:
    print_json(data) if args.json else print(text)
