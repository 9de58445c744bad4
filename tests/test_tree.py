"""What a clone brings: a tree that is small, and notebooks that stay as they are."""

from __future__ import annotations

import io
import json
import re
import subprocess
from pathlib import Path

import build_book
import numpy as np
import pytest
from jupyter_server.services.contents.filemanager import FileContentsManager
from PIL import Image
from pybtex.database import parse_file
from small_pictures import GRAIN, looks_the_same, small_png, with_palette, without_grain
from traitlets.config import PyFileConfigLoader

ROOT = Path(build_book.__file__).resolve().parents[1]
MIB = 2**20
NOTEBOOKS = build_book.Book(ROOT).notebooks()
BOUNDS = {"*": 42, "book/*.ipynb": 12.5}
"""MiB that the tracked files of a pattern may have."""


@pytest.mark.parametrize(("pattern", "most"), BOUNDS.items())
def test_the_tracked_tree_is_small_enough_for_a_quick_clone(pattern, most, capsys):
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone: git does not tell here which files are tracked")
    listed = subprocess.run(["git", "ls-files", "-z", pattern], cwd=ROOT, capture_output=True, text=True, check=True)
    sizes = {name: (ROOT / name).stat().st_size for name in listed.stdout.split("\0") if (ROOT / name).is_file()}
    largest = sorted(sizes, key=sizes.get)[-5:]
    with capsys.disabled():
        print(f"\n{pattern}: {sum(sizes.values()) / MIB:.1f} MiB in {len(sizes)} tracked files, of {most} MiB")
    assert sum(sizes.values()) <= most * MIB, {name: sizes[name] for name in largest}


def test_the_package_holds_programs_and_weights_and_nothing_of_the_site():
    files = [p for p in (ROOT / "qgc").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {p.suffix for p in files} <= {".py", ".md", ".csv", ".json", ".yml", ".safetensors"}
    own = {p.stem for p in (ROOT / "site").iterdir() if p.stem.isidentifier() and p.stem[0] != "_"}
    assert own == {"explorer", "loading", "parts", "pictures", "predict", "training"}
    imports = re.compile(rf"^\s*(?:from|import) ({'|'.join(own)})\b", re.MULTILINE)
    assert not [p for p in files if p.suffix == ".py" and imports.search(p.read_text(encoding="utf-8"))]


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "png")
    return file.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.fixture
def grainy() -> Image.Image:
    """A wall with grain, a smooth heat map on a part of it, and a few darkest points that hardly cover anything."""
    y, x = np.mgrid[:300, :400]
    wall = np.array([40, 90, 190]) + np.random.default_rng(0).integers(-12, 13, (300, 400, 3))
    heat = np.exp(-((x - 300) ** 2 + (y - 200) ** 2) / 1500)[..., None]
    return Image.fromarray((wall * (1 - heat) + np.array([80, 10, 100]) * heat).astype(np.uint8))


def test_a_small_picture_looks_the_same_and_is_the_same_each_time(grainy):
    small = small_png(png(grainy.convert("RGBA")))
    assert opened(small).mode == "P" and opened(small).size == grainy.size
    assert len(small) < 0.5 * len(png(grainy))
    assert small == small_png(png(grainy)) == small_png(small)
    difference = np.abs(np.asarray(opened(small).convert("RGB"), int) - np.asarray(grainy, int))
    assert difference.max() < 40 and difference[200, 300].max() < 12, "the hottest point has kept its colour"


def test_a_picture_of_few_colours_is_exact():
    ramp = Image.fromarray(np.repeat(np.arange(1, 256, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(20, axis=0))
    small = small_png(png(ramp))
    assert np.array_equal(opened(small).convert("RGB"), ramp) and small_png(small) == small


def test_grain_goes_and_what_can_be_seen_stays():
    ground = np.linspace(60, 240, 400) + np.random.default_rng(0).integers(0, 6, (300, 400))
    ground[:, :2], ground[:, 2:100] = 252, 255
    few = Image.fromarray(ground.astype(np.uint8))
    few.putpalette(np.arange(256, dtype=np.uint8).repeat(3).tobytes())
    even, before = (np.asarray(i.convert("RGB"), int) for i in (without_grain(few), few))
    assert np.abs(even - before).max() == GRAIN, "each point keeps to its own colour: colours do not run along a row"
    assert (even[:, 2:100] == 255).all(), "paper stays white beside what is nearly white"
    small = small_png(png(few))
    assert len(small) < 0.8 * len(png(few)) and small == small_png(small)


def test_paper_stays_white_among_many_colours(grainy):
    grainy.paste((255, 255, 255), (0, 0, 100, 300))
    grainy.paste((250, 250, 250), (100, 0, 104, 300))
    assert opened(small_png(png(grainy))).convert("RGB").getpixel((50, 50)) == (255, 255, 255)


def test_a_wide_picture_is_narrowed_only_if_it_has_many_colours(grainy):
    chart = Image.new("RGB", (1050, 300), "white")
    assert opened(small_png(png(chart))).size == (1050, 300)
    assert opened(small_png(png(grainy.resize((1200, 900))))).size == (760, 570)


def test_what_256_colours_would_change_visibly_keeps_its_own():
    y, x = np.mgrid[:256, :256]
    every = Image.fromarray(np.stack([x, y, (x * 5 + y * 3) % 256], 2).astype(np.uint8)).resize((512, 512), 0)
    assert not looks_the_same(every, with_palette(every))
    assert np.array_equal(opened(small_png(png(every))), every)


@pytest.mark.parametrize("mode", ["L", "P", "LA"])
def test_other_pictures_are_left_alone(mode):
    data = png(Image.new(mode, (5, 5)))
    assert small_png(data) == data


def test_a_picture_that_shows_through_is_left_alone():
    data = png(Image.new("RGBA", (5, 5), (1, 2, 3, 4)))
    assert small_png(data) == data


@pytest.mark.filterwarnings("ignore:Overriding existing pre_save_hook")  # pytest undoes the filter of the file
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)
def test_a_notebook_that_jupyterlab_opens_and_saves_stays_as_it_is(notebook, tmp_path):
    """JupyterLab takes it from the server, puts its kernel's language into it, and hands it back."""
    before = (ROOT / notebook).read_bytes()
    (tmp_path / "a.ipynb").write_bytes(before)
    config = PyFileConfigLoader("jupyter_server_config.py", str(ROOT / "tools")).load_config()
    contents = FileContentsManager(root_dir=str(tmp_path), config=config)
    model = json.loads(json.dumps(contents.get("a.ipynb"), default=str))
    model["content"]["metadata"]["language_info"] |= {"version": "3.12.1", "file_extension": ".py"}
    contents.save(model, "a.ipynb")
    assert (tmp_path / "a.ipynb").read_bytes() == before


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=str)
def test_citations_say_in_jupyter_whom_they_cite(notebook):
    entries = parse_file(ROOT / "book" / "references.bib", "bibtex").entries
    text = (ROOT / notebook).read_text(encoding="utf-8")
    assert "{cite" not in text, "a link to references.bib is read in Jupyter and Colab, too"
    links = re.findall(r"\[(\([^])]*\))\]\((?:\.\./)?references\.bib#(\w+)\)", text)
    assert text.count("references.bib") == len(links)
    for shown, key in links:
        authors = [" ".join(p.prelast_names + p.last_names) for p in entries[key].persons["author"]]
        who = " and ".join(authors) if len(authors) < 3 else f"{authors[0]} et al."
        assert shown == f"({', '.join([who, *filter(None, [entries[key].fields.get('year')])])})"
