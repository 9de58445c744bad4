"""The Sphinx extension behind the book's reading aids, named in `_config.yml`: glossary, reference, maps of the book.

`api` writes the reference from the docstrings, and links code and reference both ways; `glossary` links the terms of
book/glossary.md where a page first uses them; `figures` lists the figures and tables; `concepts` draws what builds on
what, and tells what the next page is about; `landing` brings image and numbers to the first page, and
`registry` the list of data and weights to its page. Each has a `setup`
of its own and can be read alone.
"""

from __future__ import annotations

from sphinx.application import Sphinx

from . import api, chart, concepts, figures, glossary, landing, registry


def setup(app: Sphinx) -> dict[str, bool]:
    """Switch all of it on."""
    for part in (api, chart, glossary, figures, concepts, landing, registry):
        part.setup(app)
    app.add_css_file("reading.css")
    return {"parallel_read_safe": False, "parallel_write_safe": True}
