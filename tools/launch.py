"""Where the book is published, and what follows: launch buttons, canonical links, the setup cell of every notebook.

The repository's address is looked for in this order, and none is ever invented: the environment variable QGC_REPOSITORY
(`make book REPOSITORY=…` sets it; `none` for no buttons), `[project.urls]` in pyproject.toml, the git remote `origin`.
QGC_BRANCH is the branch, QGC_JUPYTERHUB the address of a JupyterHub with nbgitpuller. The site's own address is
QGC_SITE (`make book SITE=…`; `none` for none), else where GitHub or GitLab Pages put a repository said or noted.

    python tools/launch.py [ADDRESS]

writes the setup cell into all notebooks of `book/`; with an address it notes that first, in pyproject.toml and
CITATION.cff, so that a notebook opened on Colab straight from the repository knows where it came from.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
import yaml
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
CELL = Path(__file__).with_name("setup_cell.txt")
TAGS = ["setup", "remove-cell"]  # a reader of the site needs no cell that fetches the package
METADATA = {"jupyter": {"source_hidden": True}, "tags": TAGS}  # JupyterLab shows it folded
UNKNOWN = 'os.environ.get("QGC_REPOSITORY", "")'  # is in the cell as long as no address is known
HOSTS = ("github", "gitlab")


class NoAddress(ValueError):
    """What was given is not an address of a repository or hub, or no branch; the message says what one looks like."""


@dataclass(frozen=True)
class Repository:
    """The published repository: `https://HOST/OWNER/NAME`, a branch or tag ("" for its default), and a JupyterHub."""

    address: str
    branch: str = ""
    hub: str = ""

    @property
    def host(self) -> str:
        """The address's server."""
        return self.address.split("/")[2]

    @property
    def provider(self) -> str:
        """Which of the known hosts it is, by its name in :data:`HOSTS`."""
        return next(name for name in HOSTS if name in self.host)

    @property
    def pages(self) -> str:
        """Where the host's Pages put its site: https://OWNER.github.io/NAME/."""
        owner, *path = self.address.split("/")[3:]
        home = f"{owner}.{self.provider}.io".lower()
        below = [] if [home] == [p.lower() for p in path] else path
        return "/".join([f"https://{home}", *below, ""])

    def theme_options(self) -> dict:
        """The options of sphinx-book-theme that draw the buttons which can work for this address."""
        launch = {"notebook_interface": "jupyterlab"}
        if self.host == "github.com":
            launch["colab_url"] = "https://colab.research.google.com"
        if self.host in ("github.com", "gitlab.com") and self.address.count("/") == 4:
            launch["binderhub_url"] = "https://mybinder.org"  # it knows no groups within groups
        if self.hub:
            launch["jupyterhub_url"] = self.hub
        return {
            "repository_url": self.address,
            "repository_provider": self.provider,
            "repository_branch": self.branch or "main",
            "use_repository_button": True,
            "use_issues_button": True,
            "launch_buttons": launch,
        }


def parse(address: str, branch: str = "", hub: str = "") -> Repository:
    """A repository from the https or ssh address that GitHub or GitLab give.

    Raises NoAddress, with what to write instead, for any other address, branch or hub.
    """
    found = re.fullmatch(
        r"(?:https://(?:[^@/]+@)?|ssh://[^@/]+@|[^@/:]+@)"  # a name or token before the @ is nobody's business
        r"([\w.-]+)(?::\d+)?[/:]([\w.~/-]+?/[\w.~-]+?)(?:\.git)?/?",
        address.strip(),
    )
    if not found or not any(host in found[1] for host in HOSTS):
        raise NoAddress(f"{address!r} is not an address of GitHub or GitLab such as https://github.com/OWNER/NAME.")
    if branch and not re.fullmatch(r"[\w][\w./-]*", branch):
        raise NoAddress(f"{branch!r} is not a name of a branch or tag.")
    if hub and not re.fullmatch(r"https?://[^\s?#]+", hub):
        raise NoAddress(f"{hub!r} is not an address of a JupyterHub such as https://hub.example.org.")
    return Repository(f"https://{found[1]}/{found[2].strip('/')}", branch, hub.rstrip("/"))


def noted(root: Path = ROOT) -> str:
    """The address in `[project.urls]` of pyproject.toml, or ""."""
    file = root / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"] if file.exists() else {}
    return project.get("urls", {}).get("Repository", "")


def git(root: Path, *words: str) -> str:
    """What git answers, or "" where it cannot."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def find(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> Repository | None:
    """The repository, or None where nothing names one.

    Raises NoAddress if what somebody wrote down is not an address; a remote `origin` elsewhere is merely not used.
    """
    branch, hub = environment.get("QGC_BRANCH", ""), environment.get("QGC_JUPYTERHUB", "")
    given = environment.get("QGC_REPOSITORY") or noted(root)
    if given == "none":
        return None
    if given:
        return parse(given, branch, hub)
    default = git(root, "rev-parse", "--abbrev-ref", "origin/HEAD").removeprefix("origin/")
    try:
        return parse(git(root, "remote", "get-url", "origin"), branch or default, hub)
    except NoAddress:
        return None


def site_address(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> str:
    """The address under which the site is published, with a slash at its end, or "" where nothing names one.

    Raises NoAddress if QGC_SITE is not an address.
    """
    given = environment.get("QGC_SITE", "")
    if given and given != "none":
        if not re.fullmatch(r"https?://[\w.:-]+(?:/[\w.~/-]*)?", given):
            raise NoAddress(f"{given!r} is not an address of a site such as https://OWNER.github.io/NAME/.")
        return given.rstrip("/") + "/"
    repository = environment.get("QGC_REPOSITORY") or noted(root)
    if "none" in (given, repository) or not repository:
        return ""
    found = parse(repository)
    return found.pages if found.host in ("github.com", "gitlab.com") else ""


def configure(config: Path, repository: Repository | None, site: str = "") -> None:
    """Add the buttons and the site's address to a copy of `_config.yml`."""
    if repository is None and not site:
        return
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    sphinx = settings.setdefault("sphinx", {}).setdefault("config", {})
    if repository:
        sphinx.setdefault("html_theme_options", {}).update(repository.theme_options())
    if site:
        sphinx["html_baseurl"] = site
    config.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")


def up(notebook: Path) -> str:
    """The way from a notebook's folder to the repository's root, of which `notebook` is the place."""
    return "/".join([".."] * (len(notebook.parts) - 1))


def cell_source(repository: Repository | None, root: str = "..") -> str:
    """The setup cell, with what `git clone` needs to know where that is known, and with the way :func:`up`."""
    text = CELL.read_text(encoding="utf-8").rstrip("\n")
    text = text.replace('"../tools', f'"{root}/tools').replace('".."', f'"{root}"')
    if repository is None:
        return text
    branch = f" --branch {repository.branch}" if repository.branch else ""
    return text.replace(UNKNOWN, UNKNOWN.replace('""', f'"{repository.address}{branch}"'))


def with_cell(nb: NotebookNode, source: str) -> NotebookNode:
    """The notebook with this setup cell before its first other code cell, in place of one that it has."""
    cells = [c for c in nb.cells if "setup" not in c.metadata.get("tags", [])]
    cell = next((c for c in nb.cells if c not in cells), nbformat.v4.new_code_cell())  # with the number that it has
    cell.update(source=source, metadata=nbformat.from_dict(METADATA))
    first = next((i for i, c in enumerate(cells) if c.cell_type == "code"), len(cells))
    nb.cells = [*cells[:first], cell, *cells[first:]]
    return nb


def stamp(folder: Path, repository: Repository | None) -> None:
    """Write the address into the setup cells under the folder `book`: the notebooks that a site offers for download."""
    for path in sorted(folder.rglob("*.ipynb")) if repository else []:
        nb = nbformat.read(path, as_version=4)
        for cell in nb.cells:
            if "setup" in cell.metadata.get("tags", []):
                cell.source = cell_source(repository, up(path.relative_to(folder.parent)))
        path.write_text(nbformat.writes(nb) + "\n", encoding="utf-8")


def offer_as_files(site: Path) -> None:
    """Have a browser save a notebook or page that somebody downloads; some would show its text instead.

    From a site on a disk (`file:`) Chromium shows it all the same, so it does so in a new tab.
    """
    link = re.compile(r'<a href="((?:\.\./)*_sources/[^"]+)" target="_blank"')
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        page.write_text(link.sub(r'<a href="\1" download target="_blank"', text), encoding="utf-8")


def note(address: str, root: Path = ROOT) -> None:
    """Write the address into `[project.urls]` of pyproject.toml and into CITATION.cff, in place of an earlier one."""
    file, head = root / "pyproject.toml", "[project.urls]\n"
    text = re.sub(r"^Repository = .*\n", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    repository = parse(address)
    entry = f'Repository = "{repository.address}"\n'
    file.write_text(text.replace(head, head + entry, 1), encoding="utf-8")
    citation = root / "CITATION.cff"
    if citation.exists():
        text = re.sub(r"^(?:repository-code|url): .*\n", "", citation.read_text(encoding="utf-8"), flags=re.MULTILINE)
        entries = f'repository-code: "{repository.address}"\nurl: "{repository.address}"\n'
        citation.write_text(text.replace("version: ", entries + "version: ", 1), encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write the setup cell into every notebook; return the exit status."""
    import build_book  # which itself imports this module

    try:
        if arguments:
            note(arguments[0])
        address = noted()
        repository = parse(address) if address else None
    except NoAddress as error:
        print(error, file=sys.stderr)
        return 1
    for notebook in build_book.Book(ROOT).notebooks():
        source = cell_source(repository, up(notebook))
        nb = with_cell(nbformat.read(ROOT / notebook, as_version=4), source)
        build_book.write(build_book.clean(nb), ROOT / notebook)
    print(f"The notebooks fetch the package from {repository.address if repository else 'where their reader says'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
