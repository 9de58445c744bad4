"""Where the book is published, the buttons that follow from it, and the cell that makes a lone notebook run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import build_book
import get_ready
import launch
import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = build_book.Book(ROOT).notebooks()
HUB = "https://hub.example.org"


@pytest.mark.parametrize(
    "given",
    [
        "https://github.com/owner/name",
        "https://github.com/owner/name.git",
        "https://github.com/owner/name/",
        "https://somebody:secret@github.com/owner/name.git",
        "git@github.com:owner/name.git",
        "ssh://git@github.com/owner/name.git",
        "ssh://git@github.com:22/owner/name",
    ],
)
def test_every_spelling_of_an_address_gives_the_one_to_read(given):
    assert launch.parse(given).address == "https://github.com/owner/name"


@pytest.mark.parametrize(
    "given", ["", "owner/name", "/srv/name.git", "https://example.org/o/n", "https://github.com/o"]
)
def test_what_is_no_address_is_refused_with_an_example(given):
    with pytest.raises(launch.NoAddress, match="https://github.com/OWNER/NAME"):
        launch.parse(given)


def test_a_branch_or_hub_that_is_none_is_refused():
    with pytest.raises(launch.NoAddress, match="branch"):
        launch.parse("https://github.com/owner/name", "--upload-pack=x")
    with pytest.raises(launch.NoAddress, match="JupyterHub"):
        launch.parse("https://github.com/owner/name", "main", "hub")


def repository(folder: Path, origin: str) -> Path:
    """A git repository whose remote `origin` is this."""
    for words in (["init", "-q"], ["remote", "add", "origin", origin]):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return folder


def test_the_address_is_what_was_said_else_what_is_noted_else_the_remote(tmp_path):
    repository(tmp_path, "git@gitlab.com:remote/name.git")
    assert launch.find(tmp_path, {}).address == "https://gitlab.com/remote/name"
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    launch.note("git@github.com:noted/name.git", tmp_path)
    assert launch.find(tmp_path, {}).address == "https://github.com/noted/name"
    said = {"QGC_REPOSITORY": "https://github.com/said/name", "QGC_BRANCH": "v1", "QGC_JUPYTERHUB": HUB + "/"}
    assert launch.find(tmp_path, said) == launch.Repository("https://github.com/said/name", "v1", HUB)
    assert launch.find(tmp_path, {"QGC_REPOSITORY": "none"}) is None


def test_no_address_is_invented(tmp_path):
    assert launch.find(tmp_path, {}) is None
    assert launch.find(repository(tmp_path, "/srv/name.git"), {}) is None


def test_noting_an_address_again_replaces_it_and_changes_nothing_else(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    launch.note("https://github.com/first/name", tmp_path)
    once = (tmp_path / "pyproject.toml").read_text()
    launch.note("https://github.com/other/name", tmp_path)
    assert (tmp_path / "pyproject.toml").read_text() == once.replace("first", "other")
    if not launch.noted():
        entry = 'Repository = "https://github.com/first/name"\n'
        assert once.replace(entry, "") == (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    "address, buttons",
    [
        ("https://github.com/o/n", {"colab_url", "binderhub_url"}),
        ("https://gitlab.com/o/n", {"binderhub_url"}),
        ("https://gitlab.com/group/o/n", set()),
        ("https://gitlab.example.org/o/n", set()),
    ],
)
def test_only_buttons_that_can_work_are_offered(address, buttons):
    for hub in ("", HUB):
        offered = set(launch.Repository(address, hub=hub).theme_options()["launch_buttons"])
        assert offered == {"notebook_interface"} | buttons | ({"jupyterhub_url"} if hub else set())


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A repository with the book's own settings, a page and one notebook in `book/`."""
    root = tmp_path_factory.mktemp("tiny")
    (root / "book" / "_static").mkdir(parents=True)
    settings = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    theme = settings["sphinx"]["config"]["html_theme_options"]
    settings |= {"sphinx": {"config": {"html_theme_options": theme}}}
    (root / "_config.yml").write_text(yaml.safe_dump(settings))
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/index\nchapters:\n- file: book/gate\n")
    (root / "book" / "references.bib").write_text("")
    (root / "book" / "index.md").write_text("# A book\n")
    nb = new_notebook(cells=[new_markdown_cell("# The gate"), new_code_cell("print(1)")])
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(build_book.clean(launch.with_cell(nb, launch.cell_source(None))), root / "book" / "gate.ipynb")
    return root


def built(root: Path, found: launch.Repository | None) -> Path:
    """The site of a repository that is published there, built as the book is."""
    copy = build_book.stage(build_book.Book(root), "cpu", as_committed=True)
    shutil.copy(root / "_config.yml", copy)  # whatever the machine that runs the test is a clone of
    launch.configure(copy / "_config.yml", found)
    launch.stamp(copy / "book", found)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(copy)]
    done = subprocess.run([*command, "--warningiserror", "--keep-going", "--quiet"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    site = copy / "_build" / "html"
    launch.offer_as_files(site)
    return site


def links(page: Path) -> list[str]:
    """Where the links of a page lead."""
    found = re.findall(r'<a[^>]* href="([^"]+)"', page.read_text(encoding="utf-8"))
    return [address.replace("&amp;", "&") for address in found]


def test_a_published_book_has_buttons_that_lead_to_its_notebooks(tiny):
    """The shapes that Colab, Binder and nbgitpuller document."""
    site = built(tiny, launch.parse("git@github.com:owner/name.git", "main", HUB))
    found = links(site / "book" / "gate.html")
    assert "https://colab.research.google.com/github/owner/name/blob/main/book/gate.ipynb" in found
    binder = urlsplit(next(a for a in found if "mybinder.org" in a))
    assert (binder.scheme, binder.netloc, binder.path) == ("https", "mybinder.org", "/v2/gh/owner/name/main")
    assert parse_qs(binder.query) == {"urlpath": ["lab/tree/book/gate.ipynb"]}
    hub = urlsplit(next(a for a in found if a.startswith(HUB)))
    assert hub.path == "/hub/user-redirect/git-pull"
    pulled = {
        "repo": ["https://github.com/owner/name"],
        "branch": ["main"],
        "urlpath": ["lab/tree/name/book/gate.ipynb"],
    }
    assert parse_qs(hub.query) == pulled
    assert "https://github.com/owner/name" in found
    assert not [
        a for a in links(site / "book" / "index.html") if "mybinder" in a or "colab" in a
    ]  # nothing to run there
    first = nbformat.read(site / "_sources" / "book" / "gate.ipynb", as_version=4).cells[1]
    assert first.source == launch.cell_source(launch.parse("https://github.com/owner/name", "main"))
    assert '"https://github.com/owner/name --branch main"' in first.source


def test_an_unpublished_book_has_downloads_and_no_dead_button(tiny):
    page = built(tiny, None) / "book" / "gate.html"
    text, found = page.read_text(encoding="utf-8"), links(page)
    assert not [a for a in found if re.search("mybinder|colab|git-pull|github|gitlab", a)]
    assert '<a href="../_sources/book/gate.ipynb" download' in text
    assert (page.parent / unquote(next(a for a in found if "_sources" in a))).exists()
    assert "find_spec" not in text  # the setup cell is for those who run the notebook


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.stem)
def test_each_notebook_begins_with_the_same_setup_cell(notebook):
    address = launch.noted()
    expected = launch.cell_source(launch.parse(address) if address else None, launch.up(notebook))
    code = [c for c in nbformat.read(ROOT / notebook, as_version=4).cells if c.cell_type == "code"]
    assert code[0].source == expected, "run `python tools/launch.py`"
    assert code[0].metadata == launch.METADATA and code[0].outputs == []
    assert not [c for c in code[1:] if "setup" in c.metadata.get("tags", [])]


def test_the_setup_cell_is_short():
    assert len(launch.cell_source(None).splitlines()) <= 13


def run_alone(
    folder: Path, source: str = "", then: str = "import qgc; print(qgc.__file__)", root: str = ".."
) -> subprocess.CompletedProcess:
    """Run the setup cell and a line in IPython, where no `qgc` can be imported, and `QGC_REPOSITORY` is this."""
    hide = "import sys; sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
    hide += f"sys.path = [p for p in sys.path if p != {str(ROOT)!r}]\n"
    cells = [hide, launch.cell_source(None, root), then]
    script = (
        f"from IPython.core.interactiveshell import InteractiveShell\nshell = InteractiveShell()\nfor c in {cells!r}:\n"
    )
    script += "    shell.run_cell(c).raise_error()\n"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("QGC_", "PYTHONPATH"))}
    environment |= {"QGC_REPOSITORY": source} if source else {}
    return subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A git repository with this package in it, and a branch of its own."""
    root = tmp_path_factory.mktemp("published")
    tools = root / "tools"
    tools.mkdir()
    shutil.copy(ROOT / "tools" / "get_ready.py", tools)
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copytree(ROOT / "qgc", root / "qgc", ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "-q", "-b", "trunk"], ["add", "."], [*who, "commit", "-qm", "All"]):
        subprocess.run(["git", "-C", str(root), *words], check=True)
    return root


def test_a_notebook_by_itself_fetches_the_package_once(tmp_path, published):
    source = f"file://{published} --branch trunk"
    for attempt in (source, ""):  # the clone is used again when the kernel starts anew
        done = run_alone(tmp_path, attempt)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(tmp_path / "qgc-book" / "qgc" / "__init__.py")


@pytest.mark.parametrize("source", ["{}", "{} --branch trunk", "file://{}", "~/my book's (copy)"])
def test_the_address_may_be_a_folder_of_any_name(tmp_path, published, source, monkeypatch):
    place = tmp_path / "my book's (copy)"
    shutil.copytree(published, place)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run of it").mkdir()
    done = run_alone(tmp_path / "run of it", source.format(place))
    assert done.stdout.splitlines()[-1] == str(tmp_path / "run of it" / "qgc-book" / "qgc" / "__init__.py"), done.stderr


@pytest.mark.parametrize("notebook", ["book/gate.ipynb", "book/story/1-same-map.ipynb"])
def test_a_notebook_in_a_clone_uses_that_clone(published, notebook):
    """As nbgitpuller leaves it on a JupyterHub."""
    folder = (published / notebook).parent
    folder.mkdir(parents=True, exist_ok=True)
    done = run_alone(folder, root=launch.up(Path(notebook)))
    assert done.stdout.strip() == str(published / "qgc" / "__init__.py"), done.stderr


def test_without_an_address_the_cell_says_what_to_do(tmp_path):
    done = run_alone(tmp_path)
    assert done.returncode != 0 and "run %env QGC_REPOSITORY=" in done.stderr + done.stdout
    assert not list(tmp_path.iterdir())


def test_where_the_package_is_there_the_cell_does_and_prints_nothing(tmp_path, capsys):
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell()
    shell.run_cell(launch.cell_source(None)).raise_error()
    assert capsys.readouterr().out == "" and "clone" not in shell.user_ns


def test_only_packages_that_are_missing_altogether_are_installed():
    needs = ["numpy>=99", "Pillow>=11,<14", "resvg-py>=0.3", "no-such-package>=1"]
    assert get_ready.missing(needs) == ["no-such-package>=1"]


def test_an_old_python_is_told_so(monkeypatch):
    monkeypatch.setattr(get_ready.sys, "version_info", (3, 9, 1))
    with pytest.raises(RuntimeError, match="3.11 or newer, and this kernel is Python 3.9"):
        get_ready.get_ready()


def test_binder_installs_what_the_notebooks_need_in_the_ranges_of_the_environment():
    def ranges(file: str) -> dict[str, str]:
        entries = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))["dependencies"]
        flat = [e for e in entries if isinstance(e, str)] + [
            p for e in entries if isinstance(e, dict) for p in e["pip"]
        ]
        parts = (re.match(r"([\w-]+)(.*)", e) for e in flat if not e.startswith("-"))
        return {m[1].replace("pytorch-cpu", "pytorch"): m[2] for m in parts}

    whole, binder = ranges("environment.yml"), ranges(".binder/environment.yml")
    python = binder.pop("python")
    assert re.fullmatch(r"=3\.1[1-9]", python)  # Binder reads the version to start from only in this form
    left_out = set(whole) - set(binder) - {"python"}
    for_lab = {"ipykernel", "jupyterlab", "jupyterlab-myst"}
    assert left_out == extra("book") - for_lab | extra("test")  # what builds the book, and what tests it
    assert binder == {name: whole[name] for name in binder}


def extra(name: str) -> set[str]:
    """Names of the packages of an extra."""
    extras = launch.tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {re.match(r"[\w-]+", r)[0] for r in extras["optional-dependencies"][name]}


def test_binder_prepares_the_package_by_a_script_that_can_run():
    script = ROOT / ".binder" / "postBuild"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
