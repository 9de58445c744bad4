"""pyproject.toml, requirements.lock and environment.yml say the same; the citation and the licence are whole."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}
CANONICAL = {"PIL": "pillow"}  # the package behind a module of another name
LOCKS = ["requirements.lock", "requirements-peers.lock", "requirements-course.lock"]
BESIDE = ["peers", "course"]  # extras with a lock of their own
NOT_IN_THE_LOCK = {"lock", "mutation", *BESIDE}  # what makes the lock, and what the book and its tests do without

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def declared() -> list[Requirement]:
    """Every requirement of the package and of the extras that the book and the tests need."""
    project = PYPROJECT["project"]
    extras = [r for name, rs in project["optional-dependencies"].items() if name not in NOT_IN_THE_LOCK for r in rs]
    return [Requirement(r) for r in [*project["dependencies"], *extras]]


def lock(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")


def pinned(file: str = "requirements.lock") -> dict[str, list[str]]:
    """Name to versions in a lock; a name may have several, told apart by markers."""
    pins: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lock(file), flags=re.MULTILINE):
        pins.setdefault(canonicalize_name(name), []).append(version)
    return pins


@pytest.mark.parametrize("requirement", declared(), ids=str)
def test_the_lock_pins_each_requirement_inside_its_range(requirement):
    versions = pinned().get(canonicalize_name(requirement.name))
    assert versions, "run `make lock`"
    assert all(v in requirement.specifier for v in versions)


@pytest.mark.parametrize("requirement", [Requirement(r) for r in PYPROJECT["build-system"]["requires"]], ids=str)
def test_the_lock_holds_what_installing_the_package_needs(requirement):
    """`make env` installs the package without build isolation, so the build's own needs come from the lock."""
    assert all(v in requirement.specifier for v in pinned()[requirement.name])


@pytest.mark.parametrize("extra", BESIDE)
def test_a_lock_of_its_own_pins_the_extra_inside_its_range(extra):
    pins = pinned(f"requirements-{extra}.lock")
    for requirement in map(Requirement, PYPROJECT["project"]["optional-dependencies"][extra]):
        versions = pins.get(canonicalize_name(requirement.name))
        assert versions and all(v in requirement.specifier for v in versions), f"{requirement}: run `make lock`"


@pytest.mark.parametrize("extra", BESIDE)
def test_a_lock_of_its_own_holds_only_what_the_main_lock_lacks(extra):
    """`make peers` and `make course` take all else from .venv: a package in both would be there in two versions."""
    assert not pinned(f"requirements-{extra}.lock").keys() & pinned().keys()


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_hashes(name):
    entries = re.split(r"^(?=\S)", lock(name).replace("\\\n", " "), flags=re.MULTILINE)
    bare = [e.split()[0] for e in entries if re.match(r"[A-Za-z0-9]", e) and "--hash=sha256:" not in e]
    assert not bare


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place(name):
    """No address, no folder, no option that points to an index."""
    placed = re.compile(r"https?:|://|file:|^-|(^|[\s@])/")
    assert not [line for line in lock(name).splitlines() if placed.search(line)]


def test_conda_has_the_same_ranges():
    dependencies = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    by_pip = next(d["pip"] for d in dependencies if isinstance(d, dict))
    from_conda = [Requirement(d) for d in dependencies if isinstance(d, str)]
    from_pip = [Requirement(d) for d in by_pip if not d.startswith("-")]
    conda = {r.name: r.specifier for r in [*from_conda, *from_pip]}
    expected = {CONDA_NAMES.get(r.name, r.name): r.specifier for r in declared()}
    assert str(conda.pop("python")) == PYPROJECT["project"]["requires-python"]
    assert not str(conda.pop("pip"))
    assert conda == expected


def test_the_citation_is_whole_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors"} <= citation.keys()
    assert citation["authors"] == PYPROJECT["project"]["authors"]
    assert citation["version"] == PYPROJECT["project"]["version"]


def test_the_licence_covers_code_and_text():
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "MIT License" in licence and "WITHOUT WARRANTY OF ANY KIND" in licence
    assert "CC BY 4.0" in licence and "https://creativecommons.org/licenses/by/4.0/legalcode" in licence


def test_what_qgc_looks_for_is_what_it_requires():
    """The names under which the packages are imported, told when one is missing."""
    tree = ast.parse((ROOT / "qgc" / "__init__.py").read_text(encoding="utf-8"))
    [needs] = [n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "_NEEDS"]
    looked_for = {
        CANONICAL.get(n.value, canonicalize_name(n.value)) for n in ast.walk(needs) if isinstance(n, ast.Constant)
    }
    assert looked_for == {canonicalize_name(Requirement(r).name) for r in PYPROJECT["project"]["dependencies"]}


@pytest.mark.parametrize("command", ["import qgc", "from qgc.models import load", "import qgc.__main__"])
def test_without_its_packages_qgc_says_what_to_do(command):
    bare = [
        sys.executable,
        "-S",
        "-c",
        f"import sys; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; {command}",
    ]
    done = subprocess.run(bare, env={"PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "run `make env`" in done.stderr.splitlines()[-1] and "torch" in done.stderr.splitlines()[-1]


@pytest.mark.skipif(not shutil.which("make"), reason="no make here")
@pytest.mark.parametrize("python", ["old python", "nowhere"])
def test_make_refuses_an_old_python_before_anything_else(tmp_path, python):
    """The first is a program that answers as an old Python does; its name has a space."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "old python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "env", f"PYTHON={tmp_path / python}"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode != 0 and "is no Python 3.11 or newer, which the book needs" in done.stdout
    assert not (tmp_path / ".venv").exists()
