"""What the outputs of a notebook, or the data of a part of the site, are made from: read from sources, nothing is run.

Imports are followed wherever they are, in functions too; where a source leaves open what it imports, the whole
package counts. Comments, and strings that do nothing (docstrings), count only where they are asked for. One reader of
sources is omitted: the fingerprint that `python -m qgc measure` gives its chunks, which no notebook runs. Data are not
told apart: weights and results count for whoever imports anything of the package.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

from qgc.moved import new_name

PACKAGE = "qgc"
OLD_NAMES = "qgc.moved"  # imports by a computed name, but only what somebody asks it for by an old one
DATA = (f"{PACKAGE}/**/*", "book/results/**/*", "book/*.json")  # without sources, and texts about them
KINDS = ("code", "docstrings", "file")  # what of a module counts, from the least to all of it
READS_DOCSTRINGS = {"__doc__", "getdoc", "pydoc", "help", "pinfo", "pinfo2"}
READS_SOURCES = {"getsource", "getsourcelines", "getcomments", "psource"}
RUNS_ANYTHING = (["exec"], ["eval"])
RUNS_PROGRAMS = {"runpy", "subprocess", "system", "getoutput", "run_cell_magic", "run_line_magic"}
HARMLESS_MAGICS = {"matplotlib", "config"}


class Anything(Exception):
    """A source imports, or runs, what cannot be told without running it."""


@dataclass(frozen=True)
class Program:
    """A program without strings that do nothing, docstrings among them, and without setting ``__doc__``."""

    tree: ast.Module
    nodes: list[ast.AST]  # all of it, from the outside inwards

    @classmethod
    def parse(cls, source: str | bytes) -> Program:
        """The program of a source. Raises SyntaxError."""
        tree = ast.parse(source)
        nodes: list[ast.AST] = [tree]
        for node in nodes:  # which grows meanwhile
            for name in ("body", "orelse", "finalbody"):
                block = getattr(node, name, None)
                if isinstance(block, list) and any(is_text(s) for s in block):
                    setattr(node, name, [s for s in block if not is_text(s)] or [ast.Pass()] * (name == "body"))
            nodes.extend(ast.iter_child_nodes(node))
        return cls(tree, nodes)

    def digest(self) -> bytes:
        """Hash of what it does."""
        return hashlib.sha256(ast.dump(self.tree).encode()).digest()


def is_text(statement: ast.stmt) -> bool:
    """Whether a statement only says something."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return any(isinstance(target, ast.Name) and target.id == "__doc__" for target in targets)


def words(program: Program) -> set[str]:
    """Every name that a program says."""
    found: set[str] = set()
    for node in program.nodes:
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Constant) and node.value in ("pinfo", "pinfo2", "psource"):  # IPython's ? and ??
            found.add(node.value)
        found |= set(imports_of(node))
    return found


def imports_of(node: ast.AST) -> list[str]:
    """The words in an import; none in anything else."""
    if not isinstance(node, ast.Import | ast.ImportFrom):
        return []
    return [
        part
        for path in [getattr(node, "module", None) or "", *(a.name for a in node.names)]
        for part in path.split(".")
    ]


def asks_for(program: Program) -> str:
    """What a program may want to see of others, besides their code: one of :data:`KINDS`."""
    names = words(program)
    return "file" if names & READS_SOURCES else "docstrings" if names & READS_DOCSTRINGS else "code"


def chain(node: ast.AST) -> list[str]:
    """``a.b.c`` as its names; nothing where it does not start at a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.insert(0, node.attr)
        node = node.value
    return [node.id, *names] if isinstance(node, ast.Name) else []


class Sources:
    """The modules of a package by name, what each imports, and what each is made of."""

    def __init__(self, root: Path):
        self.root = root
        self.files: dict[str, Path] = {}
        for file in sorted((root / PACKAGE).rglob("*.py")):
            parts = file.relative_to(root).with_suffix("").parts
            self.files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
        self.folders = {".".join(p.relative_to(root).parts) for f in self.files.values() for p in f.parents[:-1]
                        if root in p.parents}  # fmt: skip
        self.imports = cache(self._imports)
        self.program = cache(lambda module: Program.parse(self.files[module].read_bytes()))
        self.asked = cache(lambda module: asks_for(self.program(module)))
        self.digest = cache(self._digest)

    # -- what a source imports ----------------------------------------------------------------------
    def offers(self, module: str) -> dict[str, str]:
        """What a module imports when it is asked for: the names in the tables of one that has a ``__getattr__``."""
        body = self.program(module).tree.body if module in self.files else []
        if not any(isinstance(s, ast.FunctionDef) and s.name == "__getattr__" for s in body):
            return {}
        tables = [s.value for s in body if isinstance(s, ast.Assign | ast.AnnAssign) and isinstance(s.value, ast.Dict)]
        pairs = [(k, v) for table in tables for k, v in zip(table.keys, table.values, strict=True)]
        literal = ((k.value, v.value) for k, v in pairs if isinstance(k, ast.Constant) and isinstance(v, ast.Constant))
        return {name: home for name, home in literal if home in self.files or home in self.folders}

    def place(self, path: str) -> set[str]:
        """The modules that ``path``, such as ``qgc.plot.pair``, leads through."""
        first, *rest = path.split(".")
        for last in range(len(rest), 0, -1):  # an old name is looked up as what it is called now
            if new := new_name(".".join([first, *rest[:last]])):
                return self.place(".".join([new, *rest[last:]]))
        found, here = {first}, first
        for name in rest:
            if f"{here}.{name}" in self.files or f"{here}.{name}" in self.folders:
                here = f"{here}.{name}"
            elif home := self.offers(here).get(name):
                found |= self.place(home)
                here = home
            else:
                break
            found.add(here)
        return {module for module in found if module in self.files}

    def _imports(self, module: str) -> frozenset[str]:
        file = self.files[module]
        home = module if file.name == "__init__.py" else module.rpartition(".")[0]
        if module == OLD_NAMES:
            return frozenset()
        return frozenset(self.imported(self.program(module), home, bool(self.offers(module))))

    def imported(self, program: Program, home: str = "", offering: bool = False) -> set[str]:
        """The modules that a program of the package ``home`` names; every one where it imports by a computed name.

        One that is ``offering`` may do that: whoever asks it for a name is looked at in its place.
        """
        found, bound = set(), {}
        try:
            for node in program.nodes:
                if RUNS_PROGRAMS & set(imports_of(node)):
                    raise Anything
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        if alias.name.split(".")[0] == PACKAGE:
                            found |= self.place(alias.name)
                            bound[alias.asname or PACKAGE] = alias.name if alias.asname else PACKAGE
                elif isinstance(node, ast.ImportFrom):
                    base = absolute(node, home)
                    for alias in node.names if base.split(".")[0] == PACKAGE else []:
                        if alias.name == "*":
                            raise Anything
                        found |= self.place(f"{base}.{alias.name}")
                        bound[alias.asname or alias.name] = f"{base}.{alias.name}"
                elif isinstance(node, ast.Call):
                    found |= self.called(node, home, offering)
        except Anything:
            return set(self.files)
        return found | self.used(program, bound)

    def called(self, call: ast.Call, home: str, offering: bool) -> set[str]:
        """The modules that a call imports by name."""
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        argument = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
        if name in ("import_module", "__import__"):
            if isinstance(argument, str) and not argument.startswith("."):
                return self.place(argument) if argument.split(".")[0] == PACKAGE else set()
            if not offering:
                raise Anything
        elif chain(call.func) in RUNS_ANYTHING or (
            name in RUNS_PROGRAMS and (name != "run_line_magic" or argument not in HARMLESS_MAGICS)
        ):
            raise Anything
        return set()

    def used(self, program: Program, bound: dict[str, str]) -> set[str]:
        """The modules that names of modules lead to; all on offer where one is handed on as a whole."""
        found, within = set(), set()
        for node in program.nodes:  # a.b.c comes before a.b and a
            if isinstance(node, ast.Attribute):
                within.add(id(node.value))
                names = chain(node)
                if names and names[0] in bound:
                    found |= self.place(".".join([bound[names[0]], *names[1:]]))
            elif isinstance(node, ast.Name) and node.id in bound and id(node) not in within:
                for home in self.offers(bound[node.id]).values():
                    found |= self.place(home)
        return found

    def reached(self, modules: Iterable[str]) -> set[str]:
        """These modules, and whatever they import, and so on; the packages that a module is in come with it."""
        found: set[str] = set()
        waiting = set(modules)
        while waiting:
            module = waiting.pop()
            found.add(module)
            parents = {module.rsplit(".", i)[0] for i in range(1, module.count(".") + 1)} & set(self.files)
            waiting |= (self.imports(module) | parents) - found
        return found

    # -- what it is made of -------------------------------------------------------------------------
    def _digest(self, module: str, kind: str) -> bytes:
        if kind == "file":
            return hashlib.sha256(self.files[module].read_bytes()).digest()
        if kind == "docstrings":
            return hashlib.sha256(ast.dump(ast.parse(self.files[module].read_bytes())).encode()).digest()
        return self.program(module).digest()

    @cached_property
    def data(self) -> bytes:
        """Hash of all weights and results."""
        digest = hashlib.sha256()
        for path in sorted({p for pattern in DATA for p in self.root.glob(pattern) if p.is_file()}):
            hidden = any(part.startswith((".", "__")) for part in path.relative_to(self.root).parts)
            if not hidden and path.suffix not in (".py", ".md"):
                digest.update(path.relative_to(self.root).as_posix().encode() + b"\0")
                digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.digest()

    def key(self, direct: set[str], asks: str) -> str:
        """Hash of what the package contributes to a program that imports ``direct`` and asks for a kind of source."""
        modules = self.reached(direct)
        kinds = dict.fromkeys(modules, asks)
        for module in modules:
            for other in self.reached([module]) if (kind := self.asked(module)) != "code" else []:
                kinds[other] = max(kind, kinds[other], key=KINDS.index)
        digest = hashlib.sha256(self.data if modules else b"")
        for module, kind in sorted(kinds.items()):
            digest.update(module.encode() + b"\0" + self.digest(module, kind))
        return digest.hexdigest()

    def key_of_cells(self, cells: Iterable[str]) -> str:
        """Hash of what the package contributes to a notebook's code cells; of all of it where they are no Python."""
        try:
            own = program_of(cells)
        except SyntaxError:
            return self.key(set(self.files), "file")
        return self.key(self.imported(own), asks_for(own))

    def key_of_files(self, files: Iterable[Path]) -> str:
        """Hash of programs and of what the package contributes to them."""
        digest = hashlib.sha256()
        for file in sorted(files):
            own = Program.parse(file.read_bytes())
            digest.update(own.digest() + self.key(self.imported(own), asks_for(own)).encode())
        return digest.hexdigest()


def absolute(node: ast.ImportFrom, home: str) -> str:
    """The module that ``from … import`` names, for a program of the package ``home``."""
    if not node.level:
        return node.module or ""
    base = home.split(".")[: len(home.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def program_of(cells: Iterable[str]) -> Program:
    """A notebook's code cells as one program, IPython's own syntax as the calls that it stands for."""
    return Program.parse("\n".join(TransformerManager().transform_cell(cell) for cell in cells))
