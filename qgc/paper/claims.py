"""The paper's claims, quoted word for word (claims.json), so that a ledger can compare our measurements with them."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Claim:
    """One claim of the paper's text.

    ``quote`` is verbatim but for line breaks, and may begin or end inside a sentence. ``figures`` and
    ``tables`` are those that the quote or the passage around it rests on, ranges written out.
    """

    id: str
    quote: str
    section: str
    figures: tuple[int, ...] = ()
    tables: tuple[int, ...] = ()


def _claim(id: str, quote: str, section: str, figures=(), tables=()) -> Claim:
    return Claim(id, quote, section, tuple(figures), tuple(tables))


_RECORDS = json.loads(Path(__file__).with_name("claims.json").read_text(encoding="utf-8"))

CLAIMS: dict[str, Claim] = {record["id"]: _claim(**record) for record in _RECORDS}
"""The claims by id, in the order of the text."""
