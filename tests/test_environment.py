"""pyproject.toml, requirements.lock and environment.yml say the same; the citation and the licence are whole."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}
NOT_IN_THE_LOCK = {"lock", "mutation", "peers"}  # what makes the lock, and what the book and its tests do without

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def declared() -> list[Requirement]:
    """Every requirement of the package and of the extras that the book and the tests need."""
    project = PYPROJECT["project"]
    extras = [r for name, rs in project["optional-dependencies"].items() if name not in NOT_IN_THE_LOCK for r in rs]
    return [Requirement(r) for r in [*project["dependencies"], *extras]]


def pinned() -> dict[str, list[str]]:
    """Name to versions in the lock; a name may have several, told apart by markers."""
    pins: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", LOCK, flags=re.MULTILINE):
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


def test_every_pin_has_hashes():
    entries = re.split(r"^(?=\S)", LOCK.replace("\\\n", " "), flags=re.MULTILINE)
    bare = [e.split()[0] for e in entries if re.match(r"[A-Za-z0-9]", e) and "--hash=sha256:" not in e]
    assert not bare


def test_the_lock_names_no_place():
    """No address, no folder, no option that points to an index."""
    placed = re.compile(r"https?:|://|file:|^-|(^|[\s@])/")
    assert not [line for line in LOCK.splitlines() if placed.search(line)]


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
