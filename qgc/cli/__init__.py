"""The command line: ``python -m qgc explain|train|convert|evaluate|bench|measure|ledger|fetch`` (``--help``)."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from .. import __version__
from ..errors import QGCError
from ..terminal import Parser, UsageError, print_json

# What each command is about, and the module that has its parser and what it does: ``explain`` is the core's own, all
# others are the laboratory's.
COMMANDS = {
    "explain": ("explain an answer about a scene or a photograph", "cli.explain"),
    "train": ("train a model from nothing", "lab.train.commands"),
    "convert": ("make a run of published weights, once", "lab.published.commands"),
    "evaluate": ("held-out accuracy compared with the question-only baseline", "lab.experiments.commands"),
    "bench": ("how fast and how exact the closed form, rendering and training are", "lab.bench.commands"),
    "measure": ("does the map follow the question? on scenes or on photographs", "lab.protocol2.commands"),
    "ledger": ("compare ours with every figure and table of the paper, with a verdict", "lab.ledger.commands"),
    "fetch": ("download photographs, questions or published weights from their public sources", "lab.fetch.commands"),
}
KINDS = {"bench": ("speed", "peers", "full-size", "grounding"), "measure": ("scenes", "graded", "photos")}


def main(argv: list[str] | None = None) -> int:
    """Run one command, or print the help if none is given.

    Bad input ends with one message and status 2, Ctrl-C with status 130; with ``--json`` the message is JSON, too.
    """
    argv = _with_kind((sys.argv[1:] if argv is None else argv) or ["--help"])
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no "→" or "∂" shows "?" in their place
    warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
    status, lost = 2, False
    try:
        args = _parser(argv[0]).parse_args(argv)
        status = args.run(args) or 0
        _flush()
        return status
    except QGCError as error:
        message = str(error)
        if isinstance(error, UsageError) and "--json" not in argv:
            print(error.usage, end="", file=sys.stderr)
    except BrokenPipeError:  # whoever reads our output has read enough, as "head" does
        with suppress(OSError):
            _flush()
        return 1
    except OSError as error:
        with suppress(OSError):
            _flush()
        status, lost = 2, True  # standard output may be what failed
        message = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    except KeyboardInterrupt:
        message, status = "interrupted; run the same command again to resume", 130
    message = str(QGCError(message))  # which shortens it: a name can be long
    if "--json" in argv:
        with suppress(OSError):
            print_json({"error": message})
            _flush()
    if lost or "--json" not in argv:
        print(f"{chr(10) * (status == 130)}qgc: {message}", file=sys.stderr)
    return status


def _flush() -> None:
    """Write what is printed; what cannot be written is dropped, or Python would try, and fail, once more at its end."""
    if sys.stdout is None:  # closed by who called us
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _with_kind(argv: list[str]) -> list[str]:
    """Lines written before ``bench`` and ``measure`` had subcommands, as they are written now."""
    command, *rest = argv
    if command not in KINDS or rest[:1] in [[kind] for kind in (*KINDS[command], "-h", "--help")]:
        return argv
    if command == "bench":
        kind = next((kind for kind in KINDS[command] if f"--{kind}" in rest), "speed")
        return [command, kind, *(argument for argument in rest if argument != f"--{kind}")]
    takes_value = [a.startswith("--") and "=" not in a and a not in ("--check", "--record", "--json") for a in rest]
    names_a_run = any(not a.startswith("-") and not t for a, t in zip(rest, [False, *takes_value], strict=False))
    return [command, "photos" if names_a_run else "scenes", *rest]


def _parser(command: str | None = None) -> Parser:
    """The parser of one command, which alone is imported, or of all."""
    prog = "qgc" if Path(sys.argv[0]).stem == "qgc" else "python -m qgc"  # the console script, or not
    parser = Parser(prog=prog, description="Question-grounded Grad-CAM.")
    parser.add_argument("--version", action="version", version=f"qgc {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, (about, module) in COMMANDS.items():
        one = commands.add_parser(name, help=about)
        if command in (None, name):
            getattr(import_module(f"qgc.{module}"), f"add_{name}")(one)
    return parser
