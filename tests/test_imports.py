"""Modules import those below them, and no module is part of a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import qgc

PACKAGE = Path(qgc.__file__).parent


def module_name(path: Path, root: Path) -> str:
    """What a file is imported as."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imports(package: Path) -> dict[str, set[str]]:
    """Which modules of a package each one names, also in functions and for type checkers alone."""
    files = {module_name(path, package.parent): path for path in package.rglob("*.py")}
    named: dict[str, set[str]] = {}
    for module, path in files.items():
        parents = path.relative_to(package.parent).parts[:-1]
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                above = parents[: len(parents) - node.level + 1] if node.level else ()
                base = ".".join([*above, *([node.module] if node.module else [])])
                found |= {name if (name := f"{base}.{alias.name}") in files else base for alias in node.names}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        named[module] = found & files.keys()
    return named


def test_no_module_imports_itself_by_way_of_others():
    TopologicalSorter(imports(PACKAGE)).prepare()  # CycleError shows the circle


def test_circles_are_seen_wherever_they_hide(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "__init__.py").write_text("")
    (own / "a.py").write_text("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import B")
    (own / "b.py").write_text("def f():\n    from . import c, os")
    (own / "c.py").write_text("import own.a")
    assert imports(own) == {"own": set(), "own.a": {"own.b"}, "own.b": {"own", "own.c"}, "own.c": {"own.a"}}
