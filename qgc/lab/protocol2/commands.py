"""``python -m qgc measure``: protocol 2 beside what :mod:`qgc.lab.experiments.commands` measures."""

from __future__ import annotations

from pathlib import Path

from ...errors import QGCError
from ...terminal import Parser, at_least, path
from ..experiments import commands

ORIGINS = ("natural-bound-seed0-1248", "pythia/natural", "film/natural", "transformer/natural")
"""Models of which :mod:`~.origin` asks where their gradients come from."""


def add_measure(measure: Parser) -> None:
    """Fill the parser of the command ``measure``."""
    kinds = commands.add_measure(measure)
    graded = kinds.add_parser("graded", help="protocol 2: models blind to the question by degrees; resumes")
    graded.add_argument("--split", choices=["validation", "test"], default="validation")
    graded.add_argument("--runs", type=path, default=Path("runs"), help="the folder of the training runs")
    graded.add_argument("--chunks", type=path, help="a folder that machines may share (default: RUNS/protocol-2)")
    graded.add_argument("--out", type=path, help="the folder of the arrays (default: the book's; validation: RUNS)")
    graded.add_argument("--workers", type=at_least(1), default=2, help="processes that measure")
    graded.add_argument("--check", action="store_true", help="measure a random sample again and compare")
    graded.add_argument("--origins", action="store_true", help="where the gradients of some models come from, instead")
    graded.set_defaults(run=_measure_graded)


def _measure_graded(args) -> None:
    from . import PROTOCOL, hypotheses, origin, references, results, run

    if args.origins:
        origin.write([m for m in PROTOCOL.models if m.name in ORIGINS], args.runs)
        return
    validation = args.split == "validation"
    out = args.out or (args.runs / "protocol-2" if validation else results.FOLDER)
    if args.check:
        checked = [stage.check(args.split, args.runs, out) for stage in (results, references)]
        faults, missing = (sum(found, []) for found in zip(*checked, strict=True))
        if faults:
            raise QGCError("the sample differs from what is stored: " + "; ".join(faults[:10]))
        without = f"; {len(missing)} models were not asked, for want of their training runs" if missing else ""
        print(f"the sample agrees with what is stored{without}")
        return
    ns, models = PROTOCOL.n(args.split), PROTOCOL.models
    chunks = args.chunks or args.runs / "protocol-2"
    number, of = run.part()
    run.measure(args.split, models, ns, args.runs, chunks, args.workers, (number, of))
    references.measure(args.split, args.runs, chunks, args.workers, (number, of))
    of_pairs = [job.target for job in run.jobs(args.split, models, ns, args.runs, chunks)]
    of_references = [job.target for job in references.jobs(args.split, args.runs, chunks)]
    files = of_pairs + of_references
    if missing := sum(not file.exists() for file in files):
        print(f"part {number + 1} of {of} is done; {missing} of {len(files)} chunks are the others'")
        return
    results.store(of_pairs, models, ns, args.split, out)
    references.store(of_references, args.split, out)
    print(f"wrote {out}")
    if validation:  # of which a summary is kept, from which the choices follow
        table = results.overview(results.read("validation", out, protocol=None))
        results.write_summary(table, results.SUMMARY)
        print(f"wrote {results.SUMMARY}; H8 is about {', '.join(hypotheses.chosen(table))}")
