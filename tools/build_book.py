"""Run the notebooks of the book and build its site: python tools/build_book.py [--device cuda] [--force].

Each notebook of `_toc.yml` is run by papermill into `build/notebooks/`, unless the run that is there was made from
the same code, modules of the package (tools/depends.py), data, lock and device. A run takes its final name only when it
has succeeded; a failed one stays beside the earlier good one as `NAME.failed.ipynb`. Then Jupyter Book turns the runs
and pages into `_build/html/`; pages that have not changed are not read again, and a site that would be the same stays.
With `--write-back` the clean outputs go to `book/` in place of building the site; with `--as-committed` no notebook is
run, and the site shows the outputs that stand in `book/`. `--only book/gate.ipynb` runs just this one.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import depends
import execution_page
import launch
import nbformat
import papermill
import policy
import small_pictures
import yaml
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
SLOW_S = 60  # a notebook that a reader waits for longer than this, on a CPU, deserves a warning
CELL_TIMEOUT_S = 1800  # a cell that runs this long hangs
INJECTED = "injected-parameters"  # papermill's tag for the cell it adds
ONE_THREAD = {
    "OMP_NUM_THREADS": "1"
}  # for many small sums; several threads that wait for each other take ten times as long
PNG = "image/png"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class NotebookFailed(Exception):
    """A notebook did not run to its end; the message says where, why, and what to do."""


@dataclass(frozen=True)
class Book:
    """Where everything is: the repository `root`, the runs and the staged sources under `build/`, the site."""

    root: Path

    @property
    def build(self) -> Path:
        """Runs, staged sources, and what a next build uses again."""
        return self.root / "build"

    @property
    def site(self) -> Path:
        """Where the finished site is."""
        return self.root / "_build" / "html"

    def notebooks(self) -> list[Path]:
        """The notebooks that `_toc.yml` names, relative to the root, in reading order."""
        pages = toc_entries(yaml.safe_load((self.root / "_toc.yml").read_text(encoding="utf-8")))
        absent = [p for p in pages if not any((self.root / f"{p}{s}").exists() for s in ("", ".md", ".ipynb"))]
        if absent:
            raise FileNotFoundError(
                f"_toc.yml names pages that do not exist: {', '.join(absent)}. Write them or take them out of _toc.yml."
            )
        files = (Path(p).with_suffix(".ipynb") if Path(p).suffix != ".ipynb" else Path(p) for p in pages)
        return [f for f in files if (self.root / f).exists()]

    def run_of(self, notebook: Path) -> Path:
        """The place of a notebook's good run."""
        return self.build / "notebooks" / notebook


def cores() -> int:
    """How many notebooks run side by side: one a core, at most four, as every notebook holds a model in memory."""
    return min(execution_page.cores() or 1, 4)


def has_site(site: Path) -> bool:
    """Whether a site was built in this folder; if not, says on stderr what makes one."""
    if (site / "index.html").exists():
        return True
    print("There is no site yet: run `make site` or `make book` first.", file=sys.stderr)
    return False


def toc_entries(node: object) -> list[str]:
    """Every `root` and `file` of a table of contents, in order."""
    if isinstance(node, list):
        return [entry for child in node for entry in toc_entries(child)]
    if not isinstance(node, dict):
        return []
    own = [node[k] for k in ("root", "file") if k in node]
    return own + [entry for child in node.values() for entry in toc_entries(child)]


def tags(cell: NotebookNode) -> list[str]:
    """A cell's tags; a cell without any may lack the entry."""
    return cell.metadata.get("tags", [])


def digest_of_files(root: Path, files: Iterable[Path]) -> str:
    """Hash of files, their places below ``root`` included."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def key_of(nb: NotebookNode, device: str, sources: depends.Sources) -> str:
    """Hash of a notebook's code and tags, of what its code reaches of the package, the lock, and the device."""
    cells = [c for c in nb.cells if c.cell_type == "code"]
    own = [(c.source, sorted(tags(c))) for c in cells]
    reached = sources.key_of_cells(c.source for c in cells if "setup" not in tags(c))  # that one finds the package
    lock = (sources.root / "requirements.lock").read_text(encoding="utf-8")
    shrinking = depends.Program.parse(Path(small_pictures.__file__).read_bytes()).digest().hex()
    return hashlib.sha256(json.dumps([own, device, reached, lock, shrinking]).encode()).hexdigest()


def takes_parameters(nb: NotebookNode) -> bool:
    """Whether a cell is tagged `parameters`, so that papermill has a place to inject the device after."""
    return any("parameters" in tags(cell) for cell in nb.cells)


def beside(run: Path, suffix: str) -> Path:
    """A file beside a run: `gate.ipynb` and `.key.json` give `gate.key.json`."""
    return run.with_name(run.stem + suffix)


def earlier_seconds(run: Path, key: str | None = None) -> float | None:
    """How long the run that is there took, or None where there is none (that was made with this key)."""
    record = beside(run, ".key.json")
    if not (run.exists() and record.exists()):
        return None
    saved = json.loads(record.read_text(encoding="utf-8"))
    return saved["seconds"] if key in (None, saved["key"]) else None


def execute(source: Path, run: Path, device: str) -> None:
    """Run a notebook by papermill, in its own folder, and move the result to `run` once it has succeeded.

    Raises NotebookFailed, and leaves the attempt as `NAME.failed.ipynb`, where a cell, the kernel or the set-up fails.
    """
    run.parent.mkdir(parents=True, exist_ok=True)
    attempt, failed = run.with_name(f".{run.stem}.running.ipynb"), beside(run, ".failed.ipynb")
    parameters = {"device": device} if takes_parameters(nbformat.read(source, as_version=4)) else {}
    bar = {"desc": source.stem, "leave": False, "position": 1, "disable": None}
    try:
        papermill.execute_notebook(
            source,
            attempt,
            parameters,
            kernel_name="python3",
            language="python",
            cwd=source.parent,
            progress_bar=bar,
            execution_timeout=CELL_TIMEOUT_S,
            extra_arguments=["--log-level=ERROR"],  # the kernel's own log; a cell's stderr is an output as ever
        )
    except Exception as error:
        if attempt.exists():
            attempt.replace(failed)
        raise NotebookFailed(explain_failure(error, failed)) from error
    else:
        write(with_small_pictures(nbformat.read(attempt, as_version=4)), attempt)
        failed.unlink(missing_ok=True)
        beside(run, ".key.json").unlink(missing_ok=True)  # it tells of the run that is now replaced
        attempt.replace(run)
    finally:
        attempt.unlink(missing_ok=True)


def with_small_pictures(nb: NotebookNode) -> NotebookNode:
    """The same notebook with every PNG of its outputs in a quarter of the bytes, so that clones are quick."""
    for data in (out.data for cell in nb.cells for out in cell.get("outputs", []) if "data" in out):
        if PNG in data:
            small = small_pictures.small_png(base64.b64decode(data[PNG]))
            data[PNG] = base64.b64encode(small).decode("ascii")
    return nb


def explain_failure(error: Exception, failed: Path) -> str:
    """Say which cell failed, with what error, and what to do about it."""
    if isinstance(error, PapermillExecutionError):
        number = error.cell_index + 1 - injected_before(failed, error.cell_index)
        what = (error.ename, f"{error.ename}: {error.evalue}")
        where = f"cell {number} (In [{error.exec_count}])\n" + quote(error.source)
    else:
        what = (type(error).__name__, f"{type(error).__name__}: {error}")
        where = "no cell of its own: the kernel or the set-up"
    kept = f"  attempt: {failed}\n" if failed.exists() else ""
    return f"  in {where}\n  error: {what[1]}\n{kept}  remedy: {remedy_for(*what)}"


def injected_before(failed: Path, index: int) -> int:
    """1 if papermill's own cell precedes the cell that failed, so that cells count as in the notebook itself."""
    cells = [c for c in nbformat.read(failed, as_version=4).cells if "papermill-error-cell-tag" not in tags(c)]
    return int(any(INJECTED in tags(c) for c in cells[:index]))


def quote(source: str, lines: int = 4) -> str:
    """The first lines of a cell, indented."""
    head = source.splitlines()
    return "\n".join(f"    | {line}" for line in [*head[:lines], *(["…"] if len(head) > lines else [])])


def remedy_for(name: str, message: str) -> str:
    """What most likely helps against an error of this name."""
    if name in ("ModuleNotFoundError", "ImportError", "NoSuchKernel"):
        return "the environment lacks something: run `make env`, then again."
    if "cuda" in message.lower():
        return "the GPU could not be used: run again with DEVICE=cpu, or free its memory."
    if name in ("DeadKernelError", "MemoryError"):
        return "the kernel died, most often for want of memory: close other programs and run again."
    if name == "CellTimeoutError":
        return f"the cell ran for more than {CELL_TIMEOUT_S} s: make it smaller, or look what it waits for."
    return (
        "open the notebook in `.venv/bin/jupyter lab`, fix the cell (an error that is meant needs try/except:"
        " papermill stops at it) and run again; earlier good outputs are untouched."
    )


def run_one(book: Book, notebook: Path, device: str) -> float:
    """Run a notebook, note beside its run what it was made from, and return the seconds that it took."""
    run, nb = book.run_of(notebook), nbformat.read(book.root / notebook, as_version=4)
    key, start = key_of(nb, device, depends.Sources(book.root)), time.perf_counter()
    execute(book.root / notebook, run, device)
    seconds = round(time.perf_counter() - start, 1)
    beside(run, ".key.json").write_text(json.dumps({"key": key, "seconds": seconds}) + "\n", encoding="utf-8")
    return seconds


class Elsewhere:
    """:func:`run_one` in processes of their own, which are stopped with this one.

    In this process papermill would take Ctrl-C for the death of a kernel, and go on with the next notebook.
    """

    def __init__(self, threads: dict[str, str]):
        self.environment = os.environ | threads
        self.running: set[subprocess.Popen] = set()

    def __call__(self, book: Book, notebook: Path, device: str) -> float:
        """Run one; the seconds that it took."""
        what = ["--root", str(book.root), "--only", notebook.as_posix(), "--device", device]
        with subprocess.Popen(
            [sys.executable, __file__, *what], env=self.environment, stdout=subprocess.PIPE, text=True
        ) as process:
            self.running.add(process)
            output = process.communicate()[0]
            self.running.discard(process)
        if process.returncode:
            raise NotebookFailed(output.rstrip() or f"  its process ended with status {process.returncode}")
        return earlier_seconds(book.run_of(notebook)) or 0.0

    def stop(self) -> None:
        """Ask what still runs to end, its kernels too."""
        for process in tuple(self.running):
            process.terminate()


def finished(
    book: Book, notebooks: list[Path], device: str, workers: int
) -> Iterator[tuple[Path, float | NotebookFailed]]:
    """Run notebooks, ``workers`` side by side on one thread each, and give what came of each as it ends."""
    run = Elsewhere(ONE_THREAD if workers > 1 else {})
    with ThreadPoolExecutor(workers) as pool:
        jobs = {pool.submit(run, book, notebook, device): notebook for notebook in notebooks}
        try:
            for job in as_completed(jobs):
                failure = job.exception()
                if failure and not isinstance(failure, NotebookFailed):
                    raise failure
                yield jobs[job], failure or job.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            run.stop()


def run_all(
    book: Book, device: str, force: bool, say: Callable[[str], None] = tqdm.write, workers: int = 1
) -> list[Path]:
    """Run every notebook that changed, with a progress bar; write `build/timings.json`; return those that failed.

    ``workers`` notebooks run side by side, the longest first; but those that measure how long something takes
    (`alone` in their metadata) run after the others, one by one.
    """
    sources = depends.Sources(book.root)  # one for all notebooks: it reads every module once
    timings: dict[str, dict[str, object]] = {}
    failed: list[Path] = []
    notebooks = book.notebooks()
    began = time.perf_counter()
    bar = tqdm(total=len(notebooks), desc="notebooks", unit="notebook")

    def report(notebook: Path, seconds: float, fresh: bool) -> None:
        name = notebook.as_posix()
        say(f"{seconds:7.1f} s  {name}" + ("" if fresh else "  (unchanged: the earlier run is used)"))
        if device == "cpu" and seconds > SLOW_S:
            say(f"warning: {name} takes {seconds:.0f} s on this CPU, more than {SLOW_S} s")
        timings[name] = {"seconds": seconds, "executed": fresh}
        bar.update()

    shared, alone = [], []
    for notebook in notebooks:
        nb = nbformat.read(book.root / notebook, as_version=4)
        seconds = None if force else earlier_seconds(book.run_of(notebook), key_of(nb, device, sources))
        if seconds is not None:
            report(notebook, seconds, fresh=False)
        else:
            (alone if nb.metadata.get("alone") else shared).append(notebook)
    # The longest first, so that none is left to run alone at the end.
    shared.sort(key=lambda notebook: -(earlier_seconds(book.run_of(notebook)) or 0.0))
    runs = chain(finished(book, shared, device, workers), finished(book, alone, device, 1))
    for notebook, outcome in runs:
        if isinstance(outcome, NotebookFailed):
            say(f"FAILED {notebook.as_posix()}\n{outcome}")
            failed.append(notebook)
            bar.update()
        else:
            report(notebook, outcome, fresh=True)
    bar.close()
    total = round(time.perf_counter() - began, 1)
    say(f"{total:7.1f} s  in all, {len(timings)} of {len(notebooks)} notebooks good")
    in_order = {n.as_posix(): timings[n.as_posix()] for n in notebooks if n.as_posix() in timings}
    summary = {"device": device, "workers": workers, "total_seconds": total, "notebooks": in_order}
    book.build.mkdir(exist_ok=True)
    (book.build / "timings.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return [n for n in notebooks if n in failed]


def clean(nb: NotebookNode, keep_injected: bool = False) -> NotebookNode:
    """Take from an executed notebook what differs from run to run, so that git shows only what means something.

    Gone are timestamps, papermill's records, its injected cell (unless `keep_injected`), widget state and views; cell
    ids follow from the sources, and execution counts from 1.
    """
    nb = nbformat.from_dict(nb)
    nb.nbformat, nb.nbformat_minor = 4, 5
    nb.metadata = {k: v for k, v in nb.metadata.items() if k not in ("papermill", "widgets", "signature")}
    nb.metadata["kernelspec"] = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    nb.metadata["language_info"] = {"name": "python"}
    nb.cells = [c for c in nb.cells if keep_injected or INJECTED not in tags(c)]
    seen: dict[str, int] = {}
    count = 0
    for cell in nb.cells:
        drop = {"papermill", "execution", "ExecuteTime", "scrolled", "collapsed"} | (set() if tags(cell) else {"tags"})
        cell.metadata = {k: v for k, v in cell.metadata.items() if k not in drop}
        base = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[base] = seen.get(base, 0) + 1
        cell.id = base if seen[base] == 1 else f"{base}-{seen[base]}"
        if cell.cell_type == "code":
            count += cell.execution_count is not None
            cell.execution_count = count if cell.execution_count is not None else None
            cell.outputs = clean_outputs(cell.outputs, cell.execution_count)
    return nbformat.from_dict(nb)


def clean_outputs(outputs: Sequence[NotebookNode], count: int | None) -> list[NotebookNode]:
    """Join the pieces of a stream, drop widget views (their model is gone), set the execution count."""
    kept: list[NotebookNode] = []
    for out in outputs:
        if out.output_type == "stream" and kept and kept[-1].get("name") == out.name:
            kept[-1].text += out.text
            continue
        if "data" in out:
            out.data = {kind: value for kind, value in out.data.items() if kind != WIDGET_VIEW}
        if out.output_type == "execute_result":
            out.execution_count = count
        kept.append(out)
    return kept


def leaks(nb: NotebookNode, root: Path) -> list[str]:
    """Names of cells whose outputs show a place on this machine or a kernel's process number."""
    mine = re.compile("|".join([re.escape(str(root)), re.escape(sys.prefix), r"ipykernel_\d+"]))
    cells = enumerate(nb.cells, start=1)
    return [f"cell {i}" for i, c in cells if mine.search(json.dumps(c.get("outputs", []), ensure_ascii=False))]


def write(nb: NotebookNode, path: Path) -> None:
    """Write a notebook so that a reader of `path` never sees half of it."""
    nbformat.validate(nb)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(nbformat.writes(nb).rstrip("\n") + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def with_outputs(nb: NotebookNode, run: NotebookNode, keep_injected: bool = False) -> NotebookNode | None:
    """The notebook as it is now, with what its code printed in a run; None if the run is one of other code."""
    nb, code = nbformat.from_dict(nb), [c for c in run.cells if c.cell_type == "code"]
    ran = iter([c for c in code if INJECTED not in tags(c)])
    for cell in (c for c in nb.cells if c.cell_type == "code"):
        done = next(ran, None)
        if done is None or done.source != cell.source:
            return None
        cell.outputs, cell.execution_count = done.outputs, done.execution_count
    if next(ran, None):
        return None
    for injected in [c for c in code if INJECTED in tags(c)] if keep_injected else []:
        before = next(i for i, c in enumerate(nb.cells) if "parameters" in tags(c))
        nb.cells.insert(before + 1, injected)
    return clean(nb, keep_injected)


def write_back(book: Book, say: Callable[[str], None] = print) -> list[Path]:
    """Write the clean runs over the notebooks in `book/`; return those refused for what their outputs show."""
    refused = []
    for notebook in book.notebooks():
        now, run = (nbformat.read(path, as_version=4) for path in (book.root / notebook, book.run_of(notebook)))
        nb = with_outputs(now, run)
        if nb is None:
            say(f"REFUSED {notebook.as_posix()}: it was edited while it ran. Run again.")
            refused.append(notebook)
            continue
        if places := leaks(nb, book.root):
            say(f"REFUSED {notebook.as_posix()}: the output of {', '.join(places)} shows a path of this machine.")
            say("  remedy: print the path relative to the book, or fix what warns, and run again.")
            refused.append(notebook)
            continue
        write(nb, book.root / notebook)
        say(f"written {notebook.as_posix()}")
    return refused


def stage(book: Book, device: str, as_committed: bool = False) -> Path:
    """Copy the book for Jupyter Book to read, with the clean runs in place of its notebooks unless `as_committed`.

    A file that is as it was in the copy of the last build keeps its date, by which Sphinx knows what to read again.
    """
    final, copy = book.build / "source", book.build / "source.part"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(book.root / "book", copy / "book", ignore=shutil.ignore_patterns(".*"), copy_function=shutil.copy)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(book.root / name, copy / name)
    (copy / "qgc").symlink_to(book.root / "qgc")  # pages include functions from it
    for notebook in [] if as_committed else book.notebooks():
        now, run = (nbformat.read(path, as_version=4) for path in (book.root / notebook, book.run_of(notebook)))
        nb = with_outputs(now, run, keep_injected=device != "cpu")
        if nb is None:
            raise NotebookFailed(f"{notebook.as_posix()} was edited while it ran. Run again.")
        write(nb, copy / notebook)
    repository = launch.find(book.root)
    launch.configure(copy / "_config.yml", repository, launch.site_address(book.root))
    launch.stamp(copy / "book", repository)
    execution_page.fill(book.root, copy, as_committed)
    for path in (p for p in copy.rglob("*") if p.is_file()):
        before = final / path.relative_to(copy)
        if before.is_file() and before.read_bytes() == path.read_bytes():
            os.utime(path, ns=(before.stat().st_atime_ns, before.stat().st_mtime_ns))
    shutil.rmtree(final, ignore_errors=True)
    return copy.rename(final)


def made_from(book: Book, source: Path) -> tuple[str, str]:
    """Hashes of what the site is made from: all of it, and all but the pages' own texts.

    The reference shows docstrings, so here every byte of the package counts.
    """
    staged = [p for p in source.rglob("*") if p.is_file()]
    ours = [p for top in ("tools", "qgc", "site") for p in (book.root / top).rglob("*")]
    ours = [p for p in ours if p.is_file() and not any(part.startswith((".", "__pyc")) for part in p.parts)]
    lock = book.root / "requirements.lock"
    shared = f"{sys.version} {sys.prefix} {digest_of_files(book.root, [*ours, lock])}"
    pages = (".md", ".ipynb")
    rest = digest_of_files(source, (p for p in staged if p.suffix not in pages))
    return f"{shared} {digest_of_files(source, staged)}", f"{shared} {rest}"


def build_site(book: Book, device: str, as_committed: bool = False) -> int:
    """Build the site with warnings as errors; an earlier good site is replaced only by a good one."""
    source = stage(book, device, as_committed)
    whole, surroundings = made_from(book, source)
    noted, buildinfo = book.build / "site.made-from", book.site / ".buildinfo"
    if buildinfo.exists() and noted.exists() and noted.read_text(encoding="utf-8") == whole:
        buildinfo.touch()
        print(f"The book is as it was. Open {book.site / 'index.html'}")
        return 0
    site = build_pages(book, source, surroundings)
    if site is None:
        print("The site was not built: each WARNING above names the page to fix (in book/, not in its copy).")
        return 1
    if not add_interactive_parts(book, site):
        return 1
    launch.offer_as_files(site)
    policy.secure(site)
    noted.unlink(missing_ok=True)
    shutil.rmtree(book.site, ignore_errors=True)
    book.site.parent.mkdir(exist_ok=True)
    site.replace(book.site)
    noted.write_text(whole, encoding="utf-8")
    print(f"The book is built. Open {book.site / 'index.html'}")
    return 0


def build_pages(book: Book, source: Path, surroundings: str) -> Path | None:
    """Have Jupyter Book write all pages into a new folder; None where it warns of anything.

    What it knows of pages that it has read (`build/read`) is used again as long as nothing but texts of pages has
    changed, and comes from good builds alone: a warning is given only when a page is read.
    """
    output, read = book.build / "site", book.build / "read"
    noted = read / "made-from"
    shutil.rmtree(output, ignore_errors=True)
    if noted.exists() and noted.read_text(encoding="utf-8") == surroundings:
        shutil.copytree(read, output / "_build")
    jupyter_book = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    options = ["--path-output", str(output), "--warningiserror", "--nitpick", "--keep-going", "--quiet"]
    print("Building the site …", flush=True)  # Jupyter Book's own words name a place that the site then leaves
    command = [*jupyter_book, "build", str(source), *options]
    if subprocess.run(command, cwd=book.root, stdout=subprocess.DEVNULL).returncode:
        return None
    site = (output / "_build" / "html").rename(output / "html")
    shutil.rmtree(read, ignore_errors=True)
    (output / "_build").rename(read)
    noted.write_text(surroundings, encoding="utf-8")
    return site


def add_interactive_parts(book: Book, site: Path) -> bool:
    """Write the data of what works without a kernel beside the pages; whether that went well.

    Not into html_static_path: Jupyter Book loads every script from there on every page. The data are kept for the next
    build, as long as what they are made from is the same.
    """
    sources, home = depends.Sources(book.root), book.root / "site"
    targets = {"explorer": site / "explorer", "predict": site}
    if (book.root / "book" / "results" / "protocol-2" / "training.json").exists():  # from training runs, once recorded
        targets["training"] = site
    for part, target in targets.items():
        files = [p for folder in (part, "parts") for p in (home / folder).glob("*.*")]
        reached = sources.key_of_files(p for p in files if p.suffix == ".py")
        styled = digest_of_files(home, (p for p in files if p.suffix != ".py"))
        lock = (book.root / "requirements.lock").read_bytes()
        key = hashlib.sha256(f"{reached} {styled}".encode() + lock).hexdigest()
        stored = book.build / "parts" / f"{part}-{key[:12]}"
        options = []
        if stored.exists():
            shutil.copytree(stored, site / part)
            options = ["--keep"]
        command = [sys.executable, "site", part, str(target), *options]
        if subprocess.run(command, cwd=book.root, env=os.environ | ONE_THREAD).returncode:
            print(f"The site was not built: the data of site/{part} could not be written, see above.")
            return False
        if not stored.exists():
            for older in stored.parent.glob(f"{part}-*"):
                shutil.rmtree(older)
            shutil.copytree(site / part, stored.with_suffix(".part"), dirs_exist_ok=True)
            stored.with_suffix(".part").rename(stored)
    return True


def only(book: Book, notebook: Path, device: str) -> int:
    """Run one notebook, whatever has changed, and say on stdout what is wrong with it; return the exit status."""
    try:
        run_one(book, notebook, device)
    except NotebookFailed as failure:
        print(failure)
        return 1
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and build as the command line says; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="passed to notebooks that have a `parameters` cell")
    parser.add_argument("--force", action="store_true", help="run unchanged notebooks too")
    parser.add_argument("--root", type=Path, default=ROOT, help="where the book is")
    parser.add_argument("--workers", type=int, default=cores(), help="notebooks that run side by side (default: cores)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--write-back", action="store_true", help="write clean outputs to book/, build no site")
    instead.add_argument("--only", type=Path, metavar="NOTEBOOK", help="run this one, build no site")
    instead.add_argument("--as-committed", action="store_true", help="run nothing, show the outputs in book/")
    options = parser.parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no "…" shows "?" in its place
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # this environment's kernel, not one of the same name elsewhere
    book = Book(options.root)
    try:
        if options.only:
            return only(book, options.only, options.device)
        launch.find(book.root), launch.site_address(book.root)  # what is none shall be heard of before notebooks run
        if options.as_committed:
            return build_site(book, options.device, as_committed=True)
        if run_all(book, options.device, options.force, workers=options.workers):
            print("Nothing was built, since notebooks failed: see above.")
            return 1
        return bool(write_back(book)) if options.write_back else build_site(book, options.device)
    except (FileNotFoundError, NotebookFailed, launch.NoAddress, policy.Forbidden) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. Finished notebooks are kept; the next run resumes here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
