"""Modules that have moved, under their old names too, so that people's scripts go on working.

The core was once eight packages of equal rank; what only makes or checks results is in :mod:`qgc.lab` now. An import by
an old name gives the same module, with a DeprecationWarning that says the new one.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# The old package, the new one, and which modules: as "old" or "old=new"; nothing stands for the package and all in it.
_MOVES = (
    ("qgc.train", "qgc.lab.bench", "full_size"),
    ("qgc.train", "qgc.lab.train", "asked=encoded_questions sights=image_inputs"),
    ("qgc.lab.train", "qgc.lab.train", "asked=encoded_questions sights=image_inputs"),
    ("qgc.train", "qgc.lab.train", ""),
    ("qgc.measure", "qgc.lab.experiments", "absent activations compare faithfulness interventions nulls other_image"),
    ("qgc.measure", "qgc.lab.experiments", "photo_accuracy photo_results photographs planted planted_models"),
    ("qgc.measure", "qgc.lab.experiments", "effects overlap reductions sanity stages=runner"),
    ("qgc.lab.experiments", "qgc.lab.experiments", "stages=runner"),
    ("qgc.measure", "qgc.lab", "protocol"),
    ("qgc.measure", "qgc.lab.protocol", "grounding rankings=methods run stored summary"),
    ("qgc.measure", "qgc.lab.train", "early"),
    ("qgc.models", "qgc.lab.train", "cards"),
    ("qgc.measure", "qgc.lab.bench", "bench=speed peers"),
    ("qgc.models", "qgc.lab.published", "published=convert published_lstm=deeper_lstm published_pythia=pythia torch7"),
    ("qgc.explain", "qgc.explain", "engine=closed_form"),
    ("qgc.data", "qgc.lab.fetch", "chosen download fetch sources unpack"),
    ("qgc.paper", "qgc.lab.ledger", "equations ledger ledger_links=links ledger_measure=measure ledger_rules=rules"),
    ("qgc.show", "qgc.lab.ledger", "ledger=show"),
    ("qgc.show", "qgc.lab.figures", "planted results"),
)
MOVED: dict[str, str] = {}  # old name → new name
for _old, _new, _modules in _MOVES:
    for _name, _, _as in (module.partition("=") for module in _modules.split() or [""]):
        MOVED[f"{_old}.{_name}".rstrip(".")] = f"{_new}.{_as or _name}".rstrip(".")


def new_name(name: str) -> str | None:
    """Where a module that was called ``name`` is now; None if it has not moved."""
    if name in MOVED:
        return MOVED[name]
    package, _, module = name.rpartition(".")
    return f"{MOVED[package]}.{module}" if MOVED.get(package) == "qgc.lab.train" else None


class _OldNames(MetaPathFinder, Loader):
    """Finds a module by its old name."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self) if new_name(name) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = new_name(spec.name)
        warnings.warn(f"{spec.name} is {new} now", DeprecationWarning, stacklevel=2)
        module = importlib.import_module(new)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = module.__spec__.loader_state  # which the import system has just replaced by the old name's


sys.meta_path.insert(0, _OldNames())  # before the file system, where an emptied folder may be left
