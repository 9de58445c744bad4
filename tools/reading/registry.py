"""Where data and weights come from, put into book/data.md from the registry that `python -m qgc fetch` works from."""

from __future__ import annotations

from sphinx.application import Sphinx

PAGE = "book/data"
FILES, GONE = "% The table of files stands here.\n", "% What to do without each stands here.\n"


def files() -> str:
    """The files, collection by collection, as Markdown."""
    from qgc.data.sources import registry_table

    return registry_table() + "\n"


def without() -> str:
    """For each collection its home, its terms, and what to do when its source is gone, as a definition list."""
    from qgc.data.sources import COLLECTIONS

    return "\n".join(
        f"`{c.name}`\n: {c.title}. [Its home]({c.home}). Terms: {c.terms}. {c.without}\n" for c in COLLECTIONS.values()
    )


def fill(app: Sphinx, name: str, source: list[str]) -> None:
    """Put both into the page's text."""
    if name == PAGE:
        source[0] = source[0].replace(FILES, files()).replace(GONE, without())


def setup(app: Sphinx) -> None:
    """Fill the page when it is read."""
    app.connect("source-read", fill)
