"""``python -m qgc bench``: speed, peers, full-size, grounding.

Whatever takes long to import is imported by the command that needs it, so that ``--help`` is quick.
"""

from __future__ import annotations

from ...terminal import DEFAULT, Parser, at_least, print_json
from . import grounding


def add_bench(bench: Parser) -> None:
    """Fill the parser of the command ``bench``."""
    kinds = bench.add_subparsers(required=True, metavar="what")
    speed = kinds.add_parser("speed", help="rendering and the closed form: how fast, and how exact (the default)")
    speed.add_argument("--scenes", type=at_least(1), default=100, help="scenes to render")
    speed.set_defaults(run=_speed)
    peers = kinds.add_parser("peers", help="the closed form compared with pytorch-grad-cam and Captum")
    peers.add_argument("--scenes", type=at_least(1), default=100, help="scenes to compare ten maps each on")
    peers.add_argument("--record", action="store_true", help="write book/results/peers.json")
    peers.set_defaults(run=_peers)
    full = kinds.add_parser("full-size", help="train the full-size Deeper LSTM on generated features: speed and memory")
    full.add_argument("--device", default="cpu", help="cpu or cuda")
    full.set_defaults(run=_full_size)
    scored = kinds.add_parser("grounding", help="does a method's map follow the question? a benchmark to enter")
    grounding.add(scored)
    for kind in (speed, peers, scored):
        kind.add_argument("--model", default=DEFAULT, help=f"a shipped model or a run's folder (default: {DEFAULT})")
    for kind in (speed, peers, full, scored):
        kind.add_argument("--json", action="store_true", help="print the numbers as JSON")


def _speed(args) -> None:
    from .speed import bench

    rows = bench(args.model, args.scenes)
    if args.json:
        print_json(rows)
        return
    for name, row in rows.items():
        print(f"{name:58s} {row['value']:>12.4g} {row['unit']:4s}  (bound: {row['bound']})")


def _peers(args) -> None:
    from . import peers

    result = peers.compare(args.model, args.scenes, peers.RESULTS if args.record else None)
    print_json(result) if args.json else print(peers.table(result))


def _full_size(args) -> None:
    # How fast the full-size model trains on generated features of two numbers of photographs, in what memory.
    from ...models.zoo import usable
    from .full_size import full_size

    measured = full_size(device=usable(args.device))
    if args.json:
        print_json(measured)
        return
    for photos, row in measured.items():
        memory = ", ".join(f"{kind} {mb} MB" for kind, mb in row["memory_mb"].items())
        print(f"{photos:>9,} photographs, {row['questions']:,} questions: {row['questions_per_second']:.0f} a second, "
              f"memory {memory} (mapped files apart)")  # fmt: skip
