"""Which modules a notebook depends on, and which changes of them count."""

import subprocess
import sys
from pathlib import Path

import depends
import pytest

PACKAGE = {
    "__init__.py": """
        import importlib
        HOME = {"load": "qgc.models.zoo", "plot": "qgc.show.plots"}
        def scene(name):
            from .scenes import draw
            return draw(name)
        def __getattr__(name):
            return importlib.import_module(HOME[name])
    """,
    "scenes.py": "def draw(name): return name",
    "models/__init__.py": "from .zoo import load",
    "models/zoo.py": "def load(name):\n  '''Load.'''\n  from ..files import read\n  return read(name)",
    "models/cards.py": "A = 1",
    "files.py": "from __future__ import annotations\nA = 1",
    "show/plots.py": "from .style import A",
    "show/style.py": "A = 1",
    "show/widgets.py": "from . import plots",
    "ledger.py": "import importlib\ndef check(name): importlib.import_module(name)",
    "docs.py": "from . import files\ndef show(): print(files.__doc__)",
    "lone.py": "A = 1",
}
ALL = "everything"
ALWAYS = {"qgc", "qgc.scenes"}  # the package's own __init__ imports that


@pytest.fixture
def root(tmp_path) -> Path:
    for name, text in PACKAGE.items():
        file = tmp_path / "qgc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("\n        ", "\n"))
    (tmp_path / "qgc" / "models" / "weights.safetensors").write_bytes(b"0")
    (tmp_path / "book" / "results").mkdir(parents=True)
    (tmp_path / "book" / "results" / "measure.json.xz").write_text("{}")
    return tmp_path


LOAD = {"qgc.models", "qgc.models.zoo", "qgc.files"}
PLOT = {"qgc.show.plots", "qgc.show.style"}  # qgc.show has no __init__.py


@pytest.mark.parametrize(
    ("cell", "reached"),
    [
        ("print(1)", None),
        ("import json, os.path", None),
        ("import qgc", set()),
        ("qgc.scene('park')", None),  # nothing is imported
        ("import qgc\nqgc.load('a')", LOAD),
        ("import qgc as q\nq.plot.pair(q.scene('park'))", PLOT),
        ("from qgc import load", LOAD),
        ("from qgc import plot as p", PLOT),
        ("from qgc.show import plots", PLOT),
        ("from qgc.show.plots import pair", PLOT),
        ("import qgc.show.style as s", {"qgc.show.style"}),
        ("def f():\n  if 0:\n    import qgc.lone", {"qgc.lone"}),
        ("import qgc.show.widgets", PLOT | {"qgc.show.widgets"}),
        ("import qgc.lone\nqgc.plot", PLOT | {"qgc.lone"}),
        ("import qgc\ngetattr(qgc, 'plo' + 't')", LOAD | PLOT),
        ("import qgc\nf(qgc)", LOAD | PLOT),
        ("from importlib import import_module\nimport_module('qgc.lone')", {"qgc.lone"}),
        ("import importlib\nimportlib.import_module('json')", None),
        ("import importlib\nimportlib.import_module('q' + 'gc.lone')", ALL),
        ("__import__(name)", ALL),
        ("from qgc import *", ALL),
        ("import qgc.ledger", ALL),
        ("!python -m qgc measure", ALL),
        ("%run other.py", ALL),
        ("%%time\nimport qgc.lone", ALL),
        ("%matplotlib inline\nimport qgc.lone", {"qgc.lone"}),
        ("import subprocess\nsubprocess.run(['qgc'])", ALL),
        ("exec('import qgc')", ALL),
        ("model.eval()", None),
    ],
)
def test_what_a_cell_reaches(root, cell, reached):
    sources = depends.Sources(root)
    program = depends.program_of([cell])
    found = sources.reached(sources.imported(program))
    everything = set(sources.files)
    assert found == (everything if reached == ALL else set() if reached is None else ALWAYS | reached)


SAME, OTHER = True, False


@pytest.mark.parametrize(
    ("cell", "file", "text", "same"),
    [
        ("import qgc.lone", "lone.py", "# a comment\n\nA  =  1", SAME),
        ("import qgc.lone", "lone.py", "'''A docstring.'''\nA = 1\n'''What A is.'''", SAME),
        ("import qgc.lone", "lone.py", "A = 1\n__doc__ = 'Said otherwise.'", SAME),
        ("import qgc.lone", "lone.py", "A = 2", OTHER),
        ("import qgc.lone", "lone.py", "A = 1\nB = 'text'", OTHER),
        ("import qgc.lone", "show/widgets.py", "from . import style", SAME),
        ("import qgc.show.widgets", "show/widgets.py", "from . import style", OTHER),
        ("import qgc", "show/style.py", "A = 2", SAME),
        ("import qgc\nqgc.plot.pair()", "show/style.py", "A = 2", OTHER),
        ("import qgc\nqgc.load('a')", "files.py", "A = 2", OTHER),
        ("import qgc", "show/__init__.py", "", SAME),
        ("import qgc\nqgc.plot.pair()", "show/__init__.py", "A = 1", OTHER),
        ("import qgc.lone\nhelp(qgc.lone)", "lone.py", "'''A docstring.'''\nA = 1", OTHER),
        ("import qgc.lone\nhelp(qgc.lone)", "lone.py", "# a comment\nA = 1", SAME),
        ("import qgc.lone\nqgc.lone?", "lone.py", "'''A docstring.'''\nA = 1", OTHER),
        ("import qgc.lone, inspect\ninspect.getsource(qgc.lone)", "lone.py", "# a comment\nA = 1", OTHER),
        ("import qgc.docs", "files.py", "'''A docstring.'''\nA = 1", OTHER),
        ("import qgc.docs", "files.py", "# a comment\nA = 1", OTHER),  # without __future__ it is another program
        ("import qgc.docs", "files.py", "from __future__ import annotations  # a comment\nA = 1", SAME),
        ("not python (", "lone.py", "# a comment\nA = 1", OTHER),
        ("import qgc", "models/weights.safetensors", "1", OTHER),
        ("import qgc", "../book/results/measure.json.xz", "{1}", OTHER),
        ("print(1)", "models/weights.safetensors", "1", SAME),
        ("import qgc", "README.md", "Words.", SAME),
    ],
)
def test_what_changes_a_key(root, cell, file, text, same):
    before = depends.Sources(root).key_of_cells([cell])
    target = root / "qgc" / file
    target.write_text(text)
    assert (depends.Sources(root).key_of_cells([cell]) == before) is same


def test_the_real_package_is_followed_as_python_does():
    sources = depends.Sources(Path(depends.__file__).resolve().parents[1])
    cells = ["import qgc", "qgc.scene('park'), qgc.open_image, qgc.data", "from qgc.paper import sweep_n"]
    show = "import sys; print(*(m for m in sys.modules if m.split('.')[0] == 'qgc'))"
    done = subprocess.run([sys.executable, "-c", "\n".join([*cells, show])], capture_output=True, text=True, check=True)
    reached = sources.reached(sources.imported(depends.program_of(cells)))
    assert set(done.stdout.split()) & set(sources.files) <= reached
    assert "qgc.show.widgets" not in reached and "qgc.cli" not in reached


def test_an_old_name_of_a_module_leads_to_where_it_is():
    sources = depends.Sources(Path(depends.__file__).resolve().parents[1])
    for cell in (
        "from qgc.measure.stored import Stored",
        "from qgc.measure import stored",
        "import qgc.measure.stored",
    ):
        assert "qgc.lab.protocol.stored" in sources.imported(depends.program_of([cell]))
