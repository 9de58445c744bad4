"""python tools/mutate.py: does a test fail when what explains, measures or draws is wrong? (CONTRIBUTING.md)

A mutant is the package, or a part of the site, with one wrong operator or number (Cosmic Ray's operators), or one of
the wrong lines in ``NAMED``. Five places of every module are drawn at random, always the same ones. A mutant is
killed when a test that reaches the place fails. So the tests run once under coverage first; then each mutant meets
the tests that reach it, quickest first, until one fails or ``BUDGET_S`` seconds of tests have passed. No file
changes: the wrong module exists in a forked process alone. tests/mutation.md says what is alive; what is written
behind a survivor there is kept.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import hashlib
import importlib.abc
import importlib.util
import json
import multiprocessing
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import coverage
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).resolve().parents[1]
PLACES = [f"qgc/{p}/**/*.py" for p in "explain measure show lab/experiments lab/protocol lab/figures".split()]
PLACES += ["qgc/lab/ledger/show.py", "site/*/*.py"]
TESTS = "explain measure show paper lab/experiments lab/protocol lab/figures lab/ledger".split()
STATE = ROOT / "build" / "mutation"
REPORT = ROOT / "tests" / "mutation.md"
PER_MODULE, SEED, BUDGET_S = 5, 15, 40
FORK = multiprocessing.get_context("fork")

# Drawn by no number of ours, or run by no test of these packages: the drawing of the architecture, and command lines.
LEFT_OUT = {"drawing.py", "__main__.py", "check.py"}
# What a figure looks like and not what it says (dashes, ticks' lengths, boxes behind letters); guards, the order of
# ties, how a file is set, what only a GPU would see (cuDNN ``enabled``), and into how many parts work is cut
# (``chunk``, ``workers``), which memory and speed depend on.
KEYWORDS = set(
    "alpha aspect bbox edgecolor enabled fontsize fontweight frameon h_pad ha handlelength height_ratios hspace length "
    "linespacing ls lw linewidth linewidths mew ms ncols pad quality method rotation shrink va w_pad weight "
    "width_ratios wspace zorder strict stable indent requires_grad chunk workers".split()
)
CALLS = set("Sheet fill Layout set_linewidth set_visible warn default_rng manual_seed set_num_threads".split())
NAMES = {"STYLE", "DASHES", "height", "ends", "tall", "reach", "foot", "block"}
# Operators that want arguments, that change speed alone (decorators), or that mostly raise a TypeError at once.
UNUSED = re.compile(
    r"Variable|RemoveDecorator|Binary\w*_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_(\w+Shift|Bit\w+)$|Comparison\w*_[^I]\w*_Is(Not)?$"
)

NAMED = [
    ("show/plots.py", "share_of_maximum(explanation.map(n), (w, h))", "share_of_maximum(explanation.map(), (w, h))"),
    ("show/plots.py", "_map(ax, e, n, grounds[k], masks[k]", "_map(ax, explanations[0], n, grounds[k], masks[k]"),
    ("show/pixels.py", "return np.asarray(heat)", "return np.asarray(heat)[:, ::-1]"),
    ("show/plots.py", "explanation.scores[explanation.order[:top]]", "explanation.scores[:top]"),
    ("lab/experiments/photographs.py", "(costs[1, 1] - costs[0, 1])", "(costs[0, 1] - costs[1, 1])"),
    (
        "lab/protocol/summary.py",
        "measured.p_value(v) for k, v in",
        "measured.p_value(found['rank'] - plain['rank']) for k, v in",
    ),
    ("lab/protocol/__init__.py", "DRAWS = 100", "DRAWS = 10"),
    (
        "lab/experiments/sanity.py",
        "for t in question_pool.questions if t not in texts",
        "for t in question_pool.questions",
    ),
]


class Mutant(NamedTuple):
    """One wrong module; ``path`` is below the package's folder, or begins with ``site/``."""

    path: str
    line: int
    before: str
    after: str
    source: str

    @property
    def name(self) -> str:
        """What the report calls it."""
        return f"`{self.path}`: `{self.before}` → `{self.after}`"

    @property
    def killed(self) -> Path:
        """A file that is there once the mutant was killed: a run resumes where it stopped; added tests kill more."""
        return STATE / f"killed-{hashlib.sha256(self.source.encode()).hexdigest()[:16]}"


def main() -> int:
    """Print what is alive; 1 if that is more than one mutant in twenty."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", help="only modules with one of these in their path, such as show/plots")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    os.chdir(ROOT)
    sys.path[:0] = [str(ROOT), str(ROOT / "site")]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # importing what no test needs takes longer than most tests
    preload()
    reached = reach(arguments.processes)
    mutants = [m for m in [*named(), *drawn()] if not arguments.modules or any(w in m.path for w in arguments.modules)]
    started, done = time.monotonic(), 0
    results = {}
    with ThreadPoolExecutor(arguments.processes) as pool:
        for mutant, verdict in zip(mutants, pool.map(lambda m: judge(m, reached), mutants), strict=True):
            results[mutant], done = verdict, done + 1
            if not verdict:
                print(
                    f"alive {done}/{len(mutants)} {mutant.path}:{mutant.line}\n- {mutant.before}\n+ {mutant.after}",
                    flush=True,
                )
    alive = [m for m, killed in results.items() if not killed]
    share = 100 * (1 - len(alive) / max(len(mutants), 1))
    summary = f"{len(mutants)} mutants: {len(mutants) - len(alive)} killed ({share:.1f} %), {len(alive)} alive"
    print(f"{summary}; {time.monotonic() - started:.0f} s")
    if not arguments.modules:
        write_report(summary, alive)
    return int(len(alive) > 0.05 * len(mutants))


def preload() -> None:
    """What every test imports of other people's, once for all the forked processes."""
    import ipywidgets  # noqa: F401
    import matplotlib.figure  # noqa: F401
    import pandas  # noqa: F401
    import PIL.Image  # noqa: F401
    import resvg_py  # noqa: F401
    import safetensors.torch  # noqa: F401
    import scipy.ndimage  # noqa: F401
    import scipy.stats  # noqa: F401
    import seaborn  # noqa: F401
    import thorvg_python  # noqa: F401
    import torch
    import torchvision  # noqa: F401

    torch.set_num_threads(1)


# -- mutants --------------------------------------------------------------------------------------
def modules() -> list[Path]:
    """Whatever mutants are made of."""
    paths = [p for place in PLACES for p in sorted(ROOT.glob(place))]
    return [p for p in paths if p.name not in LEFT_OUT and ast.parse(p.read_text(encoding="utf-8")).body[1:]]


def short(path: Path) -> str:
    """A module's path below the package's folder, or below the root where it is no part of the package."""
    return path.relative_to(ROOT).as_posix().removeprefix("qgc/")


def module_of(path: str) -> tuple[str, Path]:
    """The name and the file of a module by its :func:`short` path."""
    top, inside = ("", path.removeprefix("site/")) if path.startswith("site/") else ("qgc.", path)
    name = top + inside.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    return name, ROOT / ("site" if not top else "qgc") / inside


def named() -> list[Mutant]:
    """The wrong lines that somebody thought of."""
    found = []
    for path, before, after in NAMED:
        source = module_of(path)[1].read_text(encoding="utf-8")
        if source.count(before) != 1:
            raise SystemExit(f"tools/mutate.py: {before!r} is {source.count(before)} times in {path}; it must be once")
        line = source[: source.index(before)].count("\n") + 1
        found.append(Mutant(path, line, before, after, source.replace(before, after)))
    return found


def drawn() -> list[Mutant]:
    """The random ones: for each place one of the operators that change it; one of every module, then the next."""
    found = []
    for path in modules():
        source = path.read_text(encoding="utf-8")
        rng, left_out, places = random.Random(f"{SEED} {path.name}"), spans_left_out(source), {}
        nodes = list(ast_nodes(get_ast(source)))
        for name in operator_names():
            if UNUSED.search(name):
                continue
            operator = get_operator(name)()
            spots = [spot for node in nodes for spot in operator.mutation_positions(node)]
            for occurrence, (start, end) in enumerate(spots):
                if not any(a <= start and end <= b for a, b in left_out):
                    places.setdefault(start, []).append((operator, occurrence))
        chosen: list[Mutant] = []
        for start in rng.sample(sorted(places), len(places)):
            operator, occurrence = rng.choice(places[start])
            wrong = mutate_code(source, operator, occurrence)
            if mutant := compared(path, source, wrong, start):
                chosen.append(mutant)
            if len(chosen) == PER_MODULE:
                break
        found.append(chosen)
    return [m for turn in zip_longest(*found) for m in turn if m]


def compared(path: Path, source: str, wrong: str, start: tuple[int, int]) -> Mutant | None:
    """The mutant, unless it cannot be read or means the same; an index 0 made −1 does in a batch of one."""
    try:
        if ast.dump(ast.parse(wrong)) == ast.dump(ast.parse(source)):
            return None
    except SyntaxError:
        return None
    before, after = source.splitlines(), wrong.splitlines()
    if re.match(r"0\b(?!\.)", before[start[0] - 1][start[1] :]) and after[start[0] - 1][start[1] :].startswith(" -1"):
        return None
    line = next(k for k, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    return Mutant(short(path), line + 1, before[line].strip(), after[line].strip(), wrong)


def spans_left_out(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """From where to where, as (line, column), a change means nothing, or changes a message or a look."""
    lines = source.splitlines()

    def place(line: int, offset: int) -> tuple[int, int]:  # ast counts bytes, Cosmic Ray characters
        return line, len(lines[line - 1].encode()[:offset].decode())

    spared = [part for node in ast.walk(ast.parse(source)) for part in parts_left_out(node)]
    return [(place(n.lineno, n.col_offset), place(n.end_lineno, n.end_col_offset)) for n in spared]


def parts_left_out(node: ast.AST) -> Iterator[ast.AST]:
    """The parts of one node that no mutant changes: annotations, messages, looks."""
    yield from filter(None, (getattr(node, "annotation", None), getattr(node, "returns", None)))
    if isinstance(node, ast.arguments):
        positional = [*node.posonlyargs, *node.args]
        defaults = [*zip(reversed(positional), reversed(node.defaults), strict=False)]
        defaults += zip(node.kwonlyargs, node.kw_defaults, strict=True)
        yield from (default for parameter, default in defaults if default and parameter.arg in KEYWORDS)
    elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        yield from node.exc.args
    elif isinstance(node, ast.Assign) and any(getattr(target, "id", "") in NAMES for target in node.targets):
        yield node.value
    elif isinstance(node, ast.Call):
        yield from (k.value for k in node.keywords if k.arg in KEYWORDS)
        if getattr(node.func, "attr", getattr(node.func, "id", "")) in CALLS:
            yield from node.args


# -- tests ----------------------------------------------------------------------------------------
class Contexts:
    """A plugin of pytest that tells coverage which test is at which step, and how long it took."""

    def __init__(self, measured: coverage.Coverage):
        self.measured, self.seconds = measured, {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        """A test's fixtures begin."""
        self.measured.switch_context(f"setup|{item.nodeid}")
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        """The test itself begins."""
        self.measured.switch_context(f"call|{item.nodeid}")
        return (yield)

    def pytest_runtest_logreport(self, report):
        """A step has ended; a test that fails without a mutant says nothing about any."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration
        if report.failed:
            self.seconds.pop(report.nodeid)
            print(f"fails without any mutation, and is omitted: {report.nodeid}", file=sys.__stderr__, flush=True)


def reach(processes: int) -> dict[str, dict]:
    """Test file → ``seconds`` of each test, and ``lines``: module → line → the tests that reach it."""
    STATE.mkdir(parents=True, exist_ok=True)
    sources = b"".join(p.read_bytes() for p in modules())
    files = [p for folder in TESTS for p in sorted((ROOT / "tests" / folder).glob("test_*.py"))]
    with ThreadPoolExecutor(processes) as pool:
        return dict(zip([str(p) for p in files], pool.map(lambda p: reach_of(p, sources), files), strict=True))


def reach_of(tests: Path, sources: bytes) -> dict:
    """:func:`reach` of one file, from the last time where neither it nor the package changed."""
    record = STATE / f"{tests.parent.name}-{tests.stem}.json"
    version = hashlib.sha256(sources + tests.read_bytes()).hexdigest()
    if not record.exists() or json.loads(record.read_text())["version"] != version:
        forked(lambda: measure(tests, record, version), 1800)
    return json.loads(record.read_text())


def measure(tests: Path, record: Path, version: str) -> int:
    """Run a file of tests under coverage."""
    measured = coverage.Coverage(data_file=None, include=[str(p) for p in modules()])
    plugin = Contexts(measured)
    measured.start()
    pytest.main(["-q", "-p", "no:cacheprovider", str(tests)], plugins=[plugin])
    measured.stop()
    lines = {}
    for path in measured.get_data().measured_files():
        by_line = measured.get_data().contexts_by_lineno(path)
        lines[short(Path(path))] = by_line
    record.write_text(json.dumps({"version": version, "seconds": plugin.seconds, "lines": lines}))
    return 0


def tests_of(mutant: Mutant, reached: dict[str, dict]) -> list[str]:
    """The tests that reach a place, quickest first.

    Where only an import or a fixture does, all of the file, and last of all, unless the file is named after the module.
    """
    stem, found = Path(mutant.path).stem, {}
    line = str(first_run(mutant))
    for file, own in reached.items():
        contexts = own["lines"].get(mutant.path, {}).get(line, [])
        calls = {c.removeprefix("call|") for c in contexts if c.startswith("call|")}
        for test, seconds in own["seconds"].items():
            if test in calls or len(calls) < len(contexts):
                found[test] = (test not in calls and stem not in Path(file).stem, seconds)
    ordered, spent = [], 0.0
    for test in sorted(found, key=found.get):
        spent += found[test][1]
        if spent > BUDGET_S and ordered:
            break
        ordered.append(test)
    return ordered


def first_run(mutant: Mutant) -> int:
    """The mutant's line; for a default in a function's head the first line of its body, which runs at each call."""
    for node in ast.walk(ast.parse(mutant.source)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1 if ast.get_docstring(node) and len(node.body) > 1 else 0]
            if node.lineno <= mutant.line < node.body[0].lineno:
                return first.lineno
    return mutant.line


def judge(mutant: Mutant, reached: dict[str, dict]) -> bool:
    """Whether a test fails, or none ends, with the mutant in the module's place."""
    if mutant.killed.exists():
        return True
    tests = tests_of(mutant, reached)
    if not tests or forked(lambda: with_mutant(mutant, tests), 6 * BUDGET_S) == 0:
        return False
    mutant.killed.touch()
    return True


def with_mutant(mutant: Mutant, tests: list[str]) -> int:
    """What pytest says with the mutant; runs in a process of its own."""
    name, path = module_of(mutant.path)

    class Wrong(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
        def find_spec(self, fullname, _path, target=None):
            if fullname != name:
                return None
            package = [str(path.parent)] if path.name == "__init__.py" else None
            return importlib.util.spec_from_file_location(name, path, loader=self, submodule_search_locations=package)

        def get_source(self, fullname):
            return mutant.source

        def get_code(self, fullname):
            return compile(mutant.source, str(path), "exec")

    sys.meta_path.insert(0, Wrong())
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests])
    return int(code != pytest.ExitCode.OK)  # a module that cannot be imported is a usage error: its tests are not there


def forked(work, timeout_s: float) -> int:
    """What ``work`` returns in a process of its own, silent; 1 if it takes too long or dies."""

    def run() -> None:
        os.setsid()
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            os.dup2(nowhere.fileno(), 1)
            if not os.environ.get("QGC_SHOW_ERRORS"):
                os.dup2(nowhere.fileno(), 2)
            os._exit(work())

    process = FORK.Process(target=run)
    process.start()
    process.join(timeout_s)
    if process.is_alive():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return 1
    return process.exitcode


# -- the report -----------------------------------------------------------------------------------
def write_report(summary: str, alive: list[Mutant]) -> None:
    """What is alive, with the reasons that are in the report already."""
    reasons = {}
    if REPORT.exists():
        reasons = dict(re.findall(r"^- (`.*`): ([^`\n]+)$", REPORT.read_text(encoding="utf-8"), re.MULTILINE))
    lines = [f"- {m.name}: {reasons.get(m.name, 'no reason yet')}" for m in alive]
    head = (
        "# What no test sees\n\nWritten by `python tools/mutate.py` at the end of a whole run (reasons by hand).\n\n"
        f"{summary}. Not counted, since the tool does not make them: changes of messages and annotations, and what it\n"
        "names at its head as a look, speed, or a GPU's alone (`LEFT_OUT`, `KEYWORDS`, `CALLS`, `NAMES`, `UNUSED`).\n\n"
    )
    REPORT.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
