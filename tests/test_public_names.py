"""The public names, in whatever order they are touched."""

import importlib
import inspect
import pydoc
import subprocess
import sys

import pytest

import qgc
from qgc.moved import MOVED


@pytest.mark.parametrize("name", qgc.__all__)
def test_every_public_name_is_there(name):
    assert getattr(qgc, name) is not None and name in dir(qgc)


@pytest.mark.parametrize("first", ["qgc.measure", "qgc.explain", "qgc.plot", "qgc.load"])
def test_explain_can_be_called_whatever_was_imported_before(first):
    program = (
        f"import qgc; {first}; assert callable(qgc.explain); import qgc.explain.gates; assert callable(qgc.explain)\n"
        "assert callable(qgc.explain.contrast) and qgc.explain.gates.__name__ == 'qgc.explain.gates'"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_help_shows_the_function():
    shown = pydoc.plain(pydoc.render_doc(qgc.explain))
    assert "qgc.explain(vqa, image, question, answer=None" in shown and "image : a scene" in shown
    assert inspect.signature(qgc.explain) == inspect.signature(qgc.explain.explain)


def test_importing_qgc_is_quick():
    program = "import sys, qgc; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize("old", [*MOVED, "qgc.train.recipes"])
def test_modules_that_moved_are_the_same_under_their_old_names(old):
    name = MOVED.get(old, "qgc.lab.train.recipes")
    with pytest.warns(DeprecationWarning, match=rf"^{old} is {name} now$"):
        sys.modules.pop(old, None)
        module = importlib.import_module(old)
    assert module is importlib.import_module(name) and module.__spec__.name == name


def test_old_imports_of_modules_and_of_names_work():
    program = (
        "from qgc.measure import stored, protocol\nfrom qgc.measure.stored import Stored\n"
        "from qgc.train.recipes import RECIPES\nimport qgc.models.torch7, qgc.lab.protocol.stored as new\n"
        "assert stored is new and Stored is new.Stored and protocol.SCENES and RECIPES"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
