"""The reading aids (tools/reading) on a small book: reference, glossary, index of figures, concept map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from reading import api
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    "index.md": "# A book\n\n```{toctree}\nbook/gate\nbook/api/explain\nbook/api/measure\n```\n",
    "book/gate.md": '# The gate\n\n```python\nimport qgc\nfrom qgc.measure import map_share\n\nvqa = qgc.load("x")\n'
    'e = qgc.explain(vqa, None, "why?")\nmap_share(e.map(25), None)\n```\n',
    "book/api/explain.md": "# explain\n\n```{eval-rst}\n.. qgc-room:: explain\n```\n",
    "book/api/measure.md": "# measure\n\n```{eval-rst}\n.. qgc-room:: measure\n```\n",
}
CONFIG = {"extensions": ["myst_parser", "reading.api"], "nitpicky": True}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A site of a chapter and two rooms, built without a warning that is not about a chapter left out."""
    source, out = tmp_path_factory.mktemp("book"), tmp_path_factory.mktemp("site")
    for name, text in PAGES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    with open(out / "log", "w+", encoding="utf-8") as log:
        with docutils_namespace():
            Sphinx(source, None, out, out / "doctrees", "html", CONFIG, status=None, warning=log).build()
        log.seek(0)
        left = [line for line in log if "unknown document" not in line and "reference target not found" not in line]
    assert not left
    return out


def soup(site: Path, page: str) -> BeautifulSoup:
    return BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser")


def test_code_leads_to_the_reference(site):
    links = {a["href"].rpartition("/")[2] for a in soup(site, "book/gate.html").select("a.sphinx-codeautolink-a")}
    assert "explain.html#qgc.explain.explanation.explain" in links
    assert "measure.html#qgc.measure.localise.map_share" in links  # by its short name


def test_the_reference_leads_back(site):
    entry = soup(site, "book/api/measure.html").find(id="qgc.measure.localise.map_share").find_parent("dl")
    assert entry.select_one(".qgc-used a")["href"] == "../gate.html"
    unused = soup(site, "book/api/measure.html").find(id="qgc.measure.localise.iou").find_parent("dl")
    assert not unused.select(".qgc-used")


def test_every_public_name_is_described(site):
    described = {tag["id"] for tag in soup(site, "book/api/measure.html").select("dt[id]")}
    assert set(api.doors("measure").values()) <= described


GLOSSARY = """# Glossary

```{glossary}
gate
gated map
  Lets some neurons "pass".

  Chapter: [](gate.md)

ReLU
  Cuts off what is negative.

natural
  The checkpoint with habits.
```
"""
CHAPTER = """# A gate in a heading

A [gate in a link](other.md), `gate` in code and $gate$ in a formula; nearly-gate. Then two
Gates and a gate, also gated maps.
A relu is no ReLU. It is natural, but not *natural*.
"""


def test_only_the_first_use_in_running_text_is_linked(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "index.md").write_text("# B\n\n```{toctree}\nbook/gate\nbook/other\nbook/glossary\n```\n")
    (tmp_path / "book" / "glossary.md").write_text(GLOSSARY)
    (tmp_path / "book" / "gate.md").write_text(CHAPTER)
    (tmp_path / "book" / "other.md").write_text("# Other\n\nNothing.\n")
    config = {"extensions": ["myst_parser", "reading.glossary"], "myst_enable_extensions": ["dollarmath"]}
    Sphinx(
        tmp_path, None, tmp_path / "out", tmp_path / "trees", "html", config, status=None, warningiserror=True
    ).build()
    page = soup(tmp_path, "out/book/gate.html")
    linked = {a.text: a for a in page.select("a.qgc-term")}
    assert list(linked) == ["Gates", "ReLU", "natural"]
    assert linked["Gates"]["href"] == "glossary.html#term-gate"
    assert linked["Gates"]["data-meaning"] in ('Lets some neurons "pass".', "Lets some neurons “pass”.")
    assert linked["natural"].parent.name == "em"


def test_the_glossary_holds_the_books_symbols_and_leads_to_chapters():
    text = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\{glossary\}\n(.*?)```", text, re.DOTALL)
    entries = [entry for block in blocks for entry in re.split(r"\n\n(?=\S)", block.strip())]
    names = {line for entry in entries for line in entry.splitlines() if line and line[0] != " "}
    assert {"A", "u", "v", "g", "M", "n", "∂A/∂q", "gate", "Grad-CAM", "HiResCAM", "language prior", "Pythia"} <= names
    for entry in entries:
        meaning = next(line.strip() for line in entry.splitlines() if line.startswith("  "))
        assert 20 < len(meaning) <= 260, entry
        assert re.search(r"Chapters?: \[\]\([a-z-]+\.(ipynb|md)\)", entry), entry
