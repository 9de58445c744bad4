"""The public names, in whatever order they are touched."""

import inspect
import pydoc
import subprocess
import sys

import pytest

import qgc


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
