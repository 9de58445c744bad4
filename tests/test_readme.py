"""README's commands work as they stand there: line by line in a fresh clone, whose `.venv` is this one.

All but what takes minutes or needs a network: of `make` the recipe is printed (`make -n`) and what it would run is
looked for, and commands that download or train are only read by the command line's own parser.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from qgc import cli

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FAR = ("fetch", "train", "evaluate")  # of what was downloaded


def blocks(text: str, language: str) -> list[str]:
    """The code of a language, block by block, lines that go on joined."""
    found = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"\\\n\s*", "", block) for block in found]


COMMANDS = [
    shlex.join(shlex.split(part, comments=True))
    for block in blocks(README, "bash")
    for line in block.splitlines()
    for part in line.split("&&")
]
QGC = [shlex.split(command)[3:] for command in COMMANDS if command.startswith("python -m qgc")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    """A fresh clone with this environment, and with README as it is here."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone of a repository")
    place = tmp_path_factory.mktemp("fresh") / "clone"
    done = subprocess.run(["git", "clone", "-q", ROOT, place], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (place / ".venv").symlink_to(sys.prefix)
    return place


def run(clone: Path, script: str, **more) -> subprocess.CompletedProcess:
    """A script in the clone, as in a shell that knows nothing of this one."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("QGC_", "VIRTUAL_ENV", "MAKE", "MFLAGS"))}
    environment |= {"PYTHONPATH": str(clone)}
    return subprocess.run(["bash", "-ec", script], cwd=clone, env=environment, capture_output=True, text=True, **more)


def test_there_are_commands():
    assert len(COMMANDS) >= 9 and len(QGC) >= 6 and len(blocks(README, "python")) == 1


def test_the_python_lines_and_then_the_shells(clone):
    """In the order of README: what the first write, the second read."""
    (python,) = blocks(README, "python")
    near = [c for c in COMMANDS if c.startswith("python -m qgc") and shlex.split(c)[3] not in FAR and "photo" not in c]
    assert near
    script = "\n".join(["source .venv/bin/activate", f"python - <<'END'\n{python}END", *near])
    done = run(clone, script)
    assert done.returncode == 0, done.stderr
    assert "white" in done.stdout and "usage:" in done.stdout
    for name in ("pair.png", "scene.png", "scene-explained.png"):
        assert (clone / name).stat().st_size > 1000
    assert not run(clone, "git status --porcelain").stdout.replace("?? .venv\n", "")


@pytest.mark.parametrize("arguments", [q for q in QGC if q[0] in FAR or "photo.jpg" in q], ids=" ".join)
def test_commands_that_want_a_download_are_understood(arguments):
    assert cli._parser().parse_args(arguments).run


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_knows_what_to_do(clone, command):
    done = run(clone, command.replace("make ", "make -n ", 1))
    assert done.returncode == 0, done.stderr
    [script] = re.findall(r"^\.venv/bin/python (tools/\w+\.py)", done.stdout, re.MULTILINE)
    assert (clone / script).exists()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("jupyter")])
def test_the_notebooks_open(clone, command, tmp_path):
    """JupyterLab starts on the book's folder; it is ended as soon as it says where it is to be found."""
    (tmp_path / "jupyter_server_config.py").write_text(
        "c.ServerApp.allow_root = True\nc.ServerApp.open_browser = False\n"
    )
    environment = os.environ | {"JUPYTER_CONFIG_DIR": str(tmp_path), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
    shell = f"source .venv/bin/activate && exec {command}"
    lab = subprocess.Popen(["bash", "-c", shell], cwd=clone, env=environment, stderr=subprocess.PIPE, text=True)
    said = ""
    try:
        for line in lab.stderr:
            said += line
            if "/lab?token=" in line:
                break
    finally:
        lab.kill()
        lab.wait()
    assert "/lab?token=" in said and f"directory: {clone / 'book'}" in said


def test_the_folder_and_file_that_it_links_are_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links and all((ROOT / link).exists() for link in links)


def test_what_the_wheel_shows_links_to_nothing_beside_it():
    readme = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["readme"]
    text = (ROOT / readme).read_text(encoding="utf-8")
    assert not re.findall(r"\]\((?!https?:)[^)]+\)", text)
    assert blocks(text, "python")[0].splitlines()[:4] == blocks(README, "python")[0].splitlines()[:4]
