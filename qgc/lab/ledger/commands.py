"""``python -m qgc ledger``.

Whatever takes long to import is imported by the command that needs it, so that ``--help`` is quick.
"""

from __future__ import annotations

from ...terminal import Parser, print_json


def add_ledger(ledger: Parser) -> None:
    """Fill the parser of the command ``ledger``."""
    ledger.add_argument("--check", action="store_true", help="write nothing; compare with what is stored")
    ledger.add_argument("--json", action="store_true", help="print the numbers as JSON")
    ledger.set_defaults(run=_ledger)


def _ledger(args) -> int:
    from . import equations, ledger
    from . import links as ledger_links
    from . import show as shown

    root = ledger_links.checkout()
    sources = ledger.Sources()
    fresh = ledger.compute(sources)
    stored, faults = fresh, []
    if args.check:
        stored = ledger.read()
        faults = ledger.drift(stored, fresh)
    else:
        shown.draw(sources, root)
        shown.write(fresh, root)
    faults += [*ledger.faults(stored, root), *shown.stale(stored, root), *equations.faults(root=root)]
    rows = len(ledger.row_ids())
    good = sum(not any(fault.startswith(f"{row}:") for fault in faults) for row in ledger.row_ids())
    counts = ledger.summary(stored)
    if args.json:
        numbers = {"rows": rows, "in_order": good, "verdicts": counts, "equations": len(equations.EQUATIONS)}
        print_json({**numbers, "faults": faults})
    else:
        print(*faults, sep="\n", end="\n" * bool(faults))
        print(f"{good} of {rows} rows are in order; " + ", ".join(f"{v}: {n}" for v, n in counts.items()))
        print(f"{len(equations.EQUATIONS)} equations; {len(faults)} faults")
    return int(args.check and bool(faults))
