"""Where data and weights come from, put into book/data.md from the registry that `python -m qgc fetch` works from."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

PAGE = "book/data"
COMMAND = re.compile(r"python -m qgc [^).;]+|--\w+(?: [A-Z]+)?(?: --\w+ [A-Z]+)*")  # as code, or -- becomes a dash
PLACE = "% What comes from where stands here, as the registry has it.\n"


def collections() -> str:
    """A section for each collection: its files, its terms, and what to do when its source is gone, as Markdown."""
    from qgc.lab.fetch.sources import COLLECTIONS, checksum_known, size_known

    lines = []
    for c in COLLECTIONS.values():
        hosts = dict.fromkeys(s.addresses[0].split("/")[2] for s in c.files)
        lines += [
            f"### `{c.name}`",
            "",
            f"{c.title}. [Home]({c.home}); files from {', '.join(hosts)}. Terms: {c.terms}.",
            "",
        ]
        lines += ["| file | size | checked by |", "|---|---|---|"]
        for s in c.files:
            lines.append(f"| `{s.name}` | {size_known(s)} | {checksum_known(s)} |")
        lines += ["", "*If it is gone:* " + COMMAND.sub(r"`\g<0>`", c.without), ""]
    return "\n".join(lines)


def fill(app: Sphinx, name: str, source: list[str]) -> None:
    """Put it into the page's text."""
    if name == PAGE:
        source[0] = source[0].replace(PLACE, collections())


def setup(app: Sphinx) -> None:
    """Fill the page when it is read."""
    app.connect("source-read", fill)
