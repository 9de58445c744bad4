"""Question-grounded Grad-CAM: scenes, models, explanations and measurements behind the book.

>>> import qgc
>>> vqa = qgc.load("deeper-lstm/natural")
>>> scene = qgc.scene("bathroom")
>>> sink, towels = qgc.explain(vqa, scene, scene.questions, answer="white")
>>> sink.top(10); sink.map(n=25); qgc.plot.overlay(sink, n=25)
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec

__version__ = "0.1.0"

# What pyproject.toml requires, by the name under which it is imported.
_NEEDS = (
    *("PIL", "filelock", "ipywidgets", "matplotlib", "nltk", "numpy", "pandas", "requests", "resvg_py", "safetensors"),
    *("scipy", "seaborn", "thorvg_python", "torch", "torchvision", "tqdm"),
)
if sys.version_info < (3, 11):  # noqa: UP036 (a clone is not installed, so nobody else has looked)
    raise ImportError(f"qgc needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}: choose another")
if _lacking := [name for name in _NEEDS if find_spec(name) is None]:
    raise ModuleNotFoundError(
        f"qgc needs packages that {sys.executable} does not have ({', '.join(_lacking)}): run `make env` in the book's "
        "folder and use .venv/bin/python, or install qgc with pip",
        name=_lacking[0],
    )

importlib.import_module("qgc.moved")

# The public names and where they live; imported on first use, so that ``import qgc`` stays quick.
_MEMBERS = {
    "load": "qgc.models.zoo",
    "EncodedImage": "qgc.explain.explanation",
    "View": "qgc.explain.explanation",
    "Explanation": "qgc.explain.explanation",
    "open_image": "qgc.images",
    "explain_module": "qgc.module.explanation",
    "QGCError": "qgc.errors",
}
_MODULES = {
    "explain": "qgc.explain",
    "data": "qgc.data",
    "scenes": "qgc.scenes",
    "models": "qgc.models",
    "measure": "qgc.measure",
    "module": "qgc.module",
    "paper": "qgc.paper",
    "plot": "qgc.show.plots",
    "widgets": "qgc.show.widgets",
}
__all__ = ["scene", *_MEMBERS, *_MODULES]


def scene(name: str):
    """One of the paper's situations as a scene: ``qgc.scene("bathroom")``."""
    from .scenes.situations import situation

    return situation(name)


def __getattr__(name: str):
    if name in _MEMBERS:
        return getattr(importlib.import_module(_MEMBERS[name]), name)
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    raise AttributeError(f"module 'qgc' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
