"""The book builder, on tiny notebooks in a temporary folder."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import build_book
import nbformat
import pytest
import yaml
from build_book import INJECTED, WIDGET_VIEW, Book, NotebookFailed
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

PARAMETERS = {"tags": ["parameters"]}


def put(path: Path, *cells) -> Path:
    """Write a notebook of these cells; a plain string is a code cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(new_notebook(cells=[new_code_cell(c) if isinstance(c, str) else c for c in cells]), path)
    return path


@pytest.fixture
def book(tmp_path) -> Book:
    """A repository with a package of two modules, a lock, and a book of two notebooks and a page."""
    (tmp_path / "qgc").mkdir()
    (tmp_path / "qgc" / "__init__.py").write_text("answer = 42\n")
    (tmp_path / "qgc" / "deep.py").write_text("from . import answer\n")
    (tmp_path / "requirements.lock").write_text("numpy==2.0.0\n")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters:\n- file: book/one\n  sections:\n  - file: book/deep/two.ipynb\n"
    )
    put(tmp_path / "book" / "one.ipynb", "print(1)")
    put(tmp_path / "book" / "deep" / "two.ipynb", "print(2)")
    (tmp_path / "book" / "index.md").write_text("# A book\n")
    return Book(tmp_path)


class Here:
    """Notebooks run in this process, in place of one of their own."""

    def __init__(self, threads):
        pass

    __call__ = staticmethod(build_book.run_one)

    def stop(self):
        pass


def pretend(monkeypatch, seen: list[str]) -> None:
    """Replace the slow part of a run by one that only notes which notebook was run."""
    monkeypatch.setattr(build_book, "Elsewhere", Here)

    def execute(source, run, device):
        seen.append(source.name)
        run.parent.mkdir(parents=True, exist_ok=True)
        run.write_text(source.read_text())

    monkeypatch.setattr(build_book, "execute", execute)


def printed(path: Path) -> str:
    """What the code cells of a notebook printed."""
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.get("text", "") for c in cells for o in c.get("outputs", []))


def test_a_good_run_is_written_and_leaves_nothing_else(tmp_path):
    source = put(tmp_path / "book" / "good.ipynb", "print(6 * 7)", "from pathlib import Path; print(Path.cwd().name)")
    run = tmp_path / "build" / "good.ipynb"
    build_book.execute(source, run, "cpu")
    assert printed(run) == "42\nbook\n"
    assert [p.name for p in run.parent.iterdir()] == ["good.ipynb"]


def test_a_failed_run_keeps_the_earlier_one_and_names_its_cell(tmp_path):
    cells = [
        new_markdown_cell("# Title"),
        new_code_cell("n = 0", metadata=PARAMETERS),
        "n = 1\nn / 0",
        "print('after')",
    ]
    source = put(tmp_path / "bad.ipynb", *cells)
    run = tmp_path / "build" / "bad.ipynb"
    run.parent.mkdir()
    run.write_text("the earlier good one")
    with pytest.raises(NotebookFailed) as failure:
        build_book.execute(source, run, "cpu")
    message = str(failure.value)
    assert "cell 3 " in message and "n / 0" in message  # the injected cell isn't counted
    assert "ZeroDivisionError: division by zero" in message and "remedy:" in message
    assert run.read_text() == "the earlier good one"
    assert sorted(p.name for p in run.parent.iterdir()) == ["bad.failed.ipynb", "bad.ipynb"]


def test_an_interrupted_run_leaves_no_file(tmp_path, monkeypatch):
    def interrupted(source, attempt, *args, **kwargs):
        Path(attempt).write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(build_book.papermill, "execute_notebook", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_book.execute(put(tmp_path / "a.ipynb", "1"), tmp_path / "build" / "a.ipynb", "cpu")
    assert list((tmp_path / "build").iterdir()) == []


@pytest.mark.parametrize("metadata, said", [(PARAMETERS, "cuda:0"), ({}, "cpu")])
def test_the_device_is_injected_only_after_a_parameters_cell(tmp_path, metadata, said):
    source = put(tmp_path / "d.ipynb", new_code_cell('device = "cpu"', metadata=metadata), "print(device)")
    run = tmp_path / "build" / "d.ipynb"
    build_book.execute(source, run, "cuda:0")
    assert printed(run) == f"{said}\n"
    nb = nbformat.read(run, as_version=4)
    assert any(INJECTED in build_book.tags(c) for c in nb.cells) == bool(metadata)
    assert [c.source for c in build_book.clean(nb).cells] == ['device = "cpu"', "print(device)"]


def test_a_missing_module_is_sent_to_make_env():
    assert "make env" in build_book.remedy_for("ModuleNotFoundError", "No module named 'qgc'")
    assert "DEVICE=cpu" in build_book.remedy_for("RuntimeError", "CUDA out of memory")


def test_only_what_changed_is_run_again(book, monkeypatch):
    seen: list[str] = []
    pretend(monkeypatch, seen)

    def runs(device="cpu", force=False) -> list[str]:
        seen.clear()
        assert build_book.run_all(book, device, force) == []
        return list(seen)

    both = ["one.ipynb", "two.ipynb"]
    assert runs() == both
    assert runs() == []
    assert runs(force=True) == both
    assert runs(device="cuda") == both
    assert runs() == both
    put(book.root / "book" / "one.ipynb", new_code_cell("print(1)", outputs=[new_output("stream", text="1\n")]))
    assert runs() == []  # outputs don't count
    put(book.root / "book" / "one.ipynb", new_markdown_cell("Words."), "print(1)")
    assert runs() == []  # and neither does what is said about the code
    put(book.root / "book" / "one.ipynb", "import qgc")
    assert runs() == ["one.ipynb"]
    put(book.root / "book" / "deep" / "two.ipynb", "from qgc import deep")
    assert runs() == ["two.ipynb"]
    (book.root / "qgc" / "deep.py").write_text('"""Words."""\nfrom . import answer  # what it is\n')
    assert runs() == []
    (book.root / "qgc" / "deep.py").write_text("from . import answer as said\n")
    assert runs() == ["two.ipynb"]
    (book.root / "qgc" / "__init__.py").write_text("answer = 43\n")
    assert runs() == both
    (book.root / "qgc" / "weights.safetensors").write_bytes(b"\0\1")
    assert runs() == both
    (book.root / "requirements.lock").write_text("numpy==2.0.1\n")
    assert runs() == both
    book.run_of(Path("book/one.ipynb")).unlink()
    assert runs() == ["one.ipynb"]
    assert (
        json.loads((book.build / "timings.json").read_text())["notebooks"]["book/deep/two.ipynb"]["executed"] is False
    )


def test_one_failure_does_not_stop_the_others(book, monkeypatch, capsys):
    said: list[str] = []

    def execute(source, run, device):
        if source.name == "one.ipynb":
            raise NotebookFailed("  in cell 1")

    monkeypatch.setattr(build_book, "Elsewhere", Here)
    monkeypatch.setattr(build_book, "execute", execute)
    book.run_of(Path("book/deep/two.ipynb")).parent.mkdir(parents=True)
    assert build_book.run_all(book, "cpu", False, said.append) == [Path("book/one.ipynb")]
    assert "FAILED book/one.ipynb\n  in cell 1" in said
    assert list(json.loads((book.build / "timings.json").read_text())["notebooks"]) == ["book/deep/two.ipynb"]


def test_notebooks_run_side_by_side_on_one_thread_each_and_those_that_measure_alone(book):
    told = (
        "import os, time; began = time.time(); time.sleep(4); "
        "print(began, time.time(), os.environ.get('OMP_NUM_THREADS'))"
    )
    for name in ("one", "deep/two", "three"):
        put(book.root / "book" / f"{name}.ipynb", told)
    measures = nbformat.read(book.root / "book" / "one.ipynb", as_version=4)
    measures.metadata["alone"] = True
    build_book.write(measures, book.root / "book" / "one.ipynb")
    toc = yaml.safe_load((book.root / "_toc.yml").read_text())
    toc["chapters"].append({"file": "book/three"})
    (book.root / "_toc.yml").write_text(yaml.safe_dump(toc))
    assert build_book.run_all(book, "cpu", False, lambda said: None, workers=2) == []
    said = {n.stem: printed(book.run_of(n)).split() for n in book.notebooks()}
    (a, b), (c, d), (e, f) = ([float(x) for x in said[n][:2]] for n in ("two", "three", "one"))
    assert max(a, c) < min(b, d) and e > max(b, d)
    assert said["two"][2] == said["three"][2] == "1"
    assert list(json.loads((book.build / "timings.json").read_text())["notebooks"]) == [
        n.as_posix() for n in book.notebooks()
    ]


def test_ctrl_c_stops_every_notebook_and_keeps_what_is_finished(book):
    # long: on a busy machine the start of a kernel alone takes a minute
    waits = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    put(book.root / "book" / "deep" / "two.ipynb", waits)
    command = [sys.executable, build_book.__file__, "--root", str(book.root), "--workers", "2"]
    heard = partial(signal.signal, signal.SIGINT, signal.default_int_handler)  # even where tests run in the background
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, preexec_fn=heard) as process:
        one, two = book.run_of(Path("book/one.ipynb")), book.run_of(Path("book/deep/two.ipynb"))
        pid = book.root / "book" / "deep" / "pid"
        wait_for(lambda: one.with_suffix(".key.json").exists() and pid.exists() and pid.read_text())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and "Finished notebooks are kept" in err, out + err
    assert printed(one) == "1\n" and not two.exists()
    wait_for(lambda: not alive(int(pid.read_text())))


def alive(process: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(done, most=240.0) -> None:
    """Wait until something holds; other jobs may have both cores meanwhile."""
    until = time.monotonic() + most
    while not done():
        assert time.monotonic() < until, f"nothing came to pass in {most:.0f} s"
        time.sleep(0.2)


def test_a_slow_notebook_is_warned_about_on_the_cpu_only(book, monkeypatch):
    pretend(monkeypatch, [])
    monkeypatch.setattr(build_book, "SLOW_S", -1)
    for device, warnings in (("cpu", 2), ("cuda", 0)):
        said: list[str] = []
        build_book.run_all(book, device, False, said.append)
        assert sum(line.startswith("warning:") for line in said) == warnings


def test_a_page_that_does_not_exist_is_named(book):
    (book.root / "book" / "index.md").unlink()
    with pytest.raises(FileNotFoundError, match="book/index"):
        book.notebooks()


def executed():
    """A notebook as papermill leaves it, with everything that differs from run to run."""
    stamp = {"papermill": {"start_time": "2020-01-01T00:00:00", "duration": 1.0}, "execution": {"x": "y"}, "tags": []}
    view = {"text/plain": "IntSlider(value=0)", WIDGET_VIEW: {"model_id": "abc"}}
    outputs = [
        new_output("stream", name="stdout", text="a"),
        new_output("stream", name="stdout", text="b"),
        new_output("execute_result", data=view, execution_count=7),
    ]
    cells = [
        new_code_cell("device = 'cpu'", metadata=PARAMETERS, execution_count=3),
        new_code_cell("device = 'cuda'", metadata={"tags": [INJECTED]}, execution_count=4),
        new_code_cell("x", metadata=stamp, execution_count=7, outputs=outputs),
        new_code_cell("x", metadata=stamp),
    ]
    metadata = {"papermill": {"duration": 2.0}, "widgets": {}, "kernelspec": {"name": "mine", "display_name": "Mine"}}
    return new_notebook(cells=cells, metadata=metadata | {"authors": ["kept"]})


def test_clean_takes_away_what_differs_from_run_to_run():
    nb = build_book.clean(executed())
    assert sorted(nb.metadata) == ["authors", "kernelspec", "language_info"]
    assert nb.metadata.kernelspec.name == "python3"
    assert [dict(c.metadata) for c in nb.cells] == [PARAMETERS, {}, {}]
    assert [c.execution_count for c in nb.cells] == [1, 2, None]
    stream, result = nb.cells[1].outputs
    assert stream.text == "ab"
    assert result.data == {"text/plain": "IntSlider(value=0)"} and result.execution_count == 2
    nbformat.validate(nb)


def test_clean_is_deterministic_and_idempotent():
    first, second = build_book.clean(executed()), build_book.clean(executed())  # their random ids differ
    assert first == second == build_book.clean(first)
    assert len({c.id for c in first.cells}) == 3


def test_clean_can_keep_the_injected_cell():
    assert len(build_book.clean(executed(), keep_injected=True).cells) == 4


def test_write_back_writes_good_outputs_and_refuses_paths(book, monkeypatch):
    for name, text in (("book/one.ipynb", "1\n"), ("book/deep/two.ipynb", f"see {book.root}/x\n")):
        source = nbformat.read(book.root / name, as_version=4).cells[0].source
        put(book.run_of(Path(name)), new_code_cell(source, outputs=[new_output("stream", text=text)]))
    said: list[str] = []
    assert build_book.write_back(book, said.append) == [Path("book/deep/two.ipynb")]
    assert printed(book.root / "book" / "one.ipynb") == "1\n"
    assert printed(book.root / "book" / "deep" / "two.ipynb") == ""
    assert any("cell 1 shows a path" in line for line in said)


def test_write_back_does_not_overwrite_an_edit(book):
    for notebook in book.notebooks():
        put(book.run_of(notebook), "print('as it was')")
    assert build_book.write_back(book, lambda line: None) == book.notebooks()
    assert nbformat.read(book.root / "book" / "one.ipynb", as_version=4).cells[0].source == "print(1)"


def test_the_words_and_alternative_texts_of_today_meet_the_outputs_of_the_run():
    run = new_notebook(cells=[new_markdown_cell("Old."), *executed().cells])
    cells = [
        new_code_cell(c.source, metadata=c.metadata) for c in executed().cells if INJECTED not in build_book.tags(c)
    ]
    cells[1].metadata = {"mystnb": {"image": {"alt": "What it shows."}}}
    now = new_notebook(cells=[*cells, new_markdown_cell("New.")])
    merged = build_book.with_outputs(now, run)
    assert [c.source for c in merged.cells] == ["device = 'cpu'", "x", "x", "New."]
    assert merged.cells[1].metadata == cells[1].metadata and merged.cells[1].outputs[0].text == "ab"
    kept = build_book.with_outputs(now, run, keep_injected=True)
    assert [c.source for c in kept.cells][:2] == ["device = 'cpu'", "device = 'cuda'"]
    for wrong in (now.cells[:2], [*now.cells, new_code_cell("y")], [new_code_cell("y"), *now.cells[1:]]):
        assert build_book.with_outputs(new_notebook(cells=wrong), run) is None


def test_what_is_staged_again_keeps_its_date_unless_it_changed(book):
    (book.root / "_config.yml").write_text("title: A book\n")
    pages = [build_book.stage(book, "cpu", as_committed=True) / "book" / name for name in ("index.md", "one.ipynb")]
    for page in pages:
        os.utime(page, (1, 1))
    put(book.root / "book" / "one.ipynb", "print('one')")
    build_book.stage(book, "cpu", as_committed=True)
    assert [page.stat().st_mtime == 1 for page in pages] == [True, False]


def pretend_to_build(monkeypatch, book: Book, seen: list[list[str]]) -> None:
    """Replace Jupyter Book by one that writes its arguments, fails where a page says so, and remembers pages."""

    real = subprocess.run

    def run(command, **options):
        if "--path-output" not in command:
            return real(command, **options)
        output = Path(command[command.index("--path-output") + 1]) / "_build"
        pages = {p: p.read_text() for p in Path(command[4]).rglob("*.md")}
        known = output / "read.json"
        before = json.loads(known.read_text()) if known.exists() else {}
        seen.append([p.name for p, text in pages.items() if before.get(p.name) != text])
        (output / "html").mkdir(parents=True)
        for name in ("index.html", ".buildinfo"):
            (output / "html" / name).write_text("<html></html>")
        known.write_text(json.dumps({p.name: text for p, text in pages.items()}))
        return subprocess.CompletedProcess(command, any("warn" in text for text in pages.values()))

    monkeypatch.setattr(build_book.subprocess, "run", run)
    monkeypatch.setattr(build_book, "add_interactive_parts", lambda book, site: True)
    (book.root / "_config.yml").write_text("title: A book\n")
    (book.root / "book" / "other.md").write_text("# Another\n")


def test_only_changed_pages_are_read_again_and_a_site_that_would_be_the_same_stays(book, monkeypatch):
    seen: list[list[str]] = []
    pretend_to_build(monkeypatch, book, seen)
    index, every = book.root / "book" / "index.md", [["index.md", "other.md"]]

    def read(status: int = 0) -> list[list[str]]:
        seen.clear()
        assert build_book.build_site(book, "cpu", as_committed=True) == status
        return [sorted(pages) for pages in seen]

    assert read() == every
    assert read() == []
    index.write_text("# New\n")
    assert read() == [["index.md"]]
    index.write_text("# warn\n")
    assert read(status=1) == [["index.md"]]
    assert read(status=1) == [["index.md"]], "a page that was warned of is read until it is right"
    assert (book.site / "index.html").exists(), "the good site stays"
    index.write_text("# New\n")
    assert read() == [], "and is as the pages are"
    for change in ("qgc/deep.py", "tools/new.py", "site/new.css", "book/references.bib", "_config.yml"):
        (book.root / change).parent.mkdir(exist_ok=True)
        (book.root / change).write_text("# Changed\n" if change != "_config.yml" else "title: Another\n")
        assert read() == every, change
        assert read() == [], change
    (book.site / "index.html").unlink()
    (book.site / ".buildinfo").unlink()
    assert read() == [[]]


def test_the_staged_copy_holds_the_runs_and_no_hidden_files(book):
    (book.root / "_config.yml").write_text("title: A book\n")
    (book.root / "book" / ".ipynb_checkpoints").mkdir()
    for notebook in book.notebooks():
        put(book.root / notebook, "1")
        put(book.run_of(notebook), new_code_cell("1", outputs=[new_output("stream", text="ran\n")]))
    copy = build_book.stage(book, "cpu")
    assert printed(copy / "book" / "one.ipynb") == "ran\n"
    assert printed(book.root / "book" / "one.ipynb") == ""
    assert (copy / "_config.yml").exists() and not (copy / "book" / ".ipynb_checkpoints").exists()


def test_a_run_has_small_images_and_its_text_as_it_was(tmp_path):
    grain = "np.random.default_rng(0).integers(90, 110, (90, 90, 3), np.uint8)"
    code = f"import numpy as np; from PIL import Image\nImage.fromarray({grain})"
    run = tmp_path / "build" / "a.ipynb"
    build_book.execute(put(tmp_path / "book" / "a.ipynb", code), run, "cpu")
    data = nbformat.read(run, as_version=4).cells[0].outputs[0].data
    assert "PIL.Image.Image" in data["text/plain"]
    with Image.open(io.BytesIO(base64.b64decode(data[build_book.PNG]))) as picture:
        assert picture.mode == "P" and picture.size == (90, 90)
