"""The reference, from the docstrings: one page a package, and links between the chapters and it, both ways.

A page holds ``{eval-rst}`` with ``.. qgc-package:: measure``; what it shows is written here, for autodoc to fill in.
sphinx-codeautolink links the names in the chapters' code to it, and "Used in" leads back.
"""

from __future__ import annotations

import ast
import html
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import sphinx_codeautolink.extension as autolink
from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode, nested_parse_with_titles
from sphinx_codeautolink.extension.block import construct_name_pattern

logger = logging.getLogger(__name__)

EXTENSIONS = ("sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_codeautolink")
SETTINGS = {
    "add_module_names": False,
    "autodoc_member_order": "bysource",
    "autodoc_preserve_defaults": True,
    "codeautolink_concat_default": True,  # a page's cells are one program
    "napoleon_google_docstring": False,
    "napoleon_use_ivar": True,  # a property that has a docstring too is described once
    "napoleon_use_param": False,  # "(J, K)" is a shape for people, not a type to look up
    "napoleon_use_rtype": False,
    "toc_object_entries": False,
}
OTHERS_TYPES = ("py:class", r"(?!qgc\.).*")  # torch, numpy, …: their references are elsewhere, and no network is asked
LEFT_OUT = re.compile(r"qgc\.scenes\.things\.|.*\.__main__$")  # drawings, which the gallery shows better; and programs
CHAPTER = re.compile(r"(`{0,2})book/([a-z-]+)\.(?:ipynb|md)\1")
CODE = re.compile(r"(?<=<pre>)(.*?)(?=</pre>)", re.DOTALL)
TAG = re.compile(r"<[^>]*>")
VERBATIM = re.compile(r"(``.*?``|:[a-z:]+:`.*?`)", re.DOTALL)


# -- what is in a package ----------------------------------------------------------------------------
@cache
def modules(package: str) -> tuple[str, ...]:
    """A package's modules by name, itself first; ``qgc`` is the public API and the single modules beside packages."""
    top = importlib.import_module("qgc").__path__
    if package == "qgc":
        return ("qgc", *(f"qgc.{m.name}" for m in pkgutil.iter_modules(top) if not m.ispkg and m.name[0] != "_"))
    inner = pkgutil.walk_packages([str(Path(top[0], *package.split(".")))], f"qgc.{package}.")
    return (f"qgc.{package}", *(m.name for m in inner if not LEFT_OUT.match(m.name)))


def members(module: ModuleType) -> list[str]:
    """The functions and classes that a module defines for others to use, in the order of its source."""
    return [
        name
        for name, value in vars(module).items()
        if name[0] != "_"
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


@cache
def constants(module: ModuleType) -> dict[str, str]:
    """The constants that a module defines, each with the comment beside or above it."""
    source = inspect.getsource(module) if module.__file__ else ""  # a folder without an __init__.py
    lines = source.splitlines()
    found = {}
    for statement in ast.parse(source).body:
        targets = getattr(statement, "targets", [getattr(statement, "target", None)])
        each = [name for target in targets for name in getattr(target, "elts", [target])]  # A, B = 1, 2
        for name in (t.id for t in each if isinstance(t, ast.Name) and re.fullmatch(r"[A-Z][A-Z0-9_]*", t.id)):
            found[name] = comment_on(lines, statement.lineno, statement.end_lineno)
    return found


def comment_on(lines: list[str], first: int, last: int) -> str:
    """The comment at the end of a statement's first line, or else the one right above it."""
    beside = re.search(r"\s{2}# (.*)", lines[first - 1]) or re.search(r"\s{2}# (.*)", lines[last - 1])
    if beside:
        return beside.group(1)
    above: list[str] = []
    while first - 2 - len(above) >= 0 and re.match(r"# (?!-- )", lines[first - 2 - len(above)]):
        above.insert(0, lines[first - 2 - len(above)].removeprefix("# "))
    return " ".join(above)


@cache
def mentioned() -> set[str]:
    """The constants that a docstring somewhere in the package leads to."""
    files = Path(importlib.import_module("qgc").__path__[0]).rglob("*.py")
    found = (re.findall(r":data:`~?([\w.]+)`", path.read_text(encoding="utf-8")) for path in files)
    return {name.rpartition(".")[2] for names in found for name in names}


@cache
def definition_of(path: str) -> str | None:
    """Where a name of the package is defined: ``qgc.measure.cosine`` is ``qgc.measure.similarity.cosine``."""
    head, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(head)
        value = getattr(module, name)
    except (ImportError, AttributeError, ValueError):
        owner = definition_of(head) if head.count(".") >= 1 else None
        return f"{owner}.{name}" if owner else None
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"{value.__module__}.{value.__qualname__}"
    if inspect.ismodule(value):
        return value.__name__
    inside = [importlib.import_module(m) for m in modules(path.split(".")[1])] if head.count(".") else []
    places = [m.__name__ for m in inside if name in constants(m) and getattr(m, name) is value]
    return f"{places[0]}.{name}" if places else None


@cache
def public_names(package: str) -> dict[str, str]:
    """What a package offers under a shorter name: that name, and where it is defined."""
    module = importlib.import_module(modules(package)[0])
    short = [f"{module.__name__}.{name}" for name in getattr(module, "__all__", ())]
    return {name: place for name in short if (place := definition_of(name)) and place != name}


# -- its page -------------------------------------------------------------------------------------
def package_text(package: str) -> list[str]:
    """What is on a package's page, as lines of reStructuredText."""
    lines: list[str] = []
    for name in modules(package):
        module = importlib.import_module(name)
        is_package = name == modules(package)[0]
        public = public_names(package).values()
        documented = {k: v for k, v in constants(module).items() if v or k in mentioned() or f"{name}.{k}" in public}
        if not (members(module) or documented or is_package):
            continue
        if not is_package or "." in package:  # a page may hold several packages of the laboratory
            lines += [name, "-" * len(name), ""]
        lines += [f".. automodule:: {name}", ""]
        if is_package and public:
            short = ", ".join(f":py:obj:`{alias} <{place}>`" for alias, place in public_names(package).items())
            lines += ["At hand as:", "", f"{short}.", ""]
        for constant, why in documented.items():
            lines += [
                f".. py:data:: {constant}",
                f"   :module: {name}",
                *value(module, constant),
                "",
                f"   {plain(why)}",
                "",
            ]
        for member in members(module):
            kind = "autoclass" if inspect.isclass(getattr(module, member)) else "autofunction"
            lines += [f".. {kind}:: {name}.{member}", *(["   :members:"] if kind == "autoclass" else []), ""]
    return lines


def value(module: ModuleType, constant: str) -> list[str]:
    """A constant's value, where it is short and the same in every run."""
    shown = repr(getattr(module, constant))
    return [f"   :value: {shown}"] if len(shown) <= 60 and " at 0x" not in shown and "/" not in shown else []


class Package(SphinxDirective):
    """``.. qgc-package:: NAME``: the reference of a package."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write the reference in the directive's place."""
        parent = nodes.section()
        parent.document = self.state.document
        text = StringList(package_text(self.arguments[0]), source=f"the docstrings of qgc.{self.arguments[0]}")
        nested_parse_with_titles(self.state, text, parent)
        return parent.children


def plain(text: str) -> str:
    """A docstring's text as reStructuredText: |Δ| is no substitution, and book/gate.ipynb is a chapter."""
    text = CHAPTER.sub(r":doc:`/book/\2`", text)
    pieces = VERBATIM.split(text)
    return "".join(p if i % 2 else p.replace("|", r"\|") for i, p in enumerate(pieces))


def tidy_docstring(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Make reStructuredText of a docstring, but leave its examples alone."""
    lines[:] = [line if line.lstrip().startswith((">>>", "...")) else plain(line) for line in lines]


def skip_what_others_wrote(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Omit members that a class has from another package."""
    return True if not (getattr(obj, "__module__", None) or "qgc").startswith("qgc") else None


def shorten_types(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    """Say Tensor in place of torch.Tensor; where our own types lead stays."""
    short = [text and re.sub(r"~(?!qgc\.)(?:\w+\.)*(\w+)", r"\1", text) for text in (signature, returned)]
    return short[0], short[1]


def resolve(app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, text: nodes.Node) -> nodes.Node | None:
    """Lead a name to where it is described: by its definition, or by being the nearest of that name."""
    if node.get("refdomain") != "py":
        return None
    target, module = node["reftarget"], node.get("py:module") or ""
    objects = env.get_domain("py").objects
    tried = [target, f"{module}.{target}", f"{module.rpartition('.')[0]}.{target}", f"qgc.{target}"]
    full = next((h for t in tried if t.startswith("qgc") and (h := definition_of(t)) in objects), None)
    if full is None:
        near = [name for name in objects if name.endswith(f".{target.lstrip('.')}")]
        full = max(near, key=lambda name: len(common(name, module)), default=None)
    if full is None and node["reftype"] == "attr":  # an attribute without a description of its own: its class has one
        owner = target.rpartition(".")[0] or node.get("py:class") or "?"
        full = next((name for name in objects if name == owner or name.endswith(f".{owner}")), None)
    if full is None:
        return None
    found = objects[full]
    return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, text, full)


def common(a: str, b: str) -> str:
    """What two names begin with alike."""
    same = 0
    while same < min(len(a), len(b)) and a[same] == b[same]:
        same += 1
    return a[:same]


# -- from the chapters ----------------------------------------------------------------------------
def link_code(document: str, out_dir: str, transforms: list, inventory: dict[str, str], *_, **__) -> None:
    """Put the links that sphinx-codeautolink has found into a page's code.

    In place of its ``link_html``, which reads and writes whole pages as a tree and takes as long as all the rest.
    """
    page = Path(out_dir) / f"{document}.html"
    pieces = CODE.split(page.read_text(encoding="utf-8"))  # what lies between, code, between, code, …
    left = {i: html.unescape(TAG.sub("", pieces[i])).rstrip() for i in range(1, len(pieces), 2)}
    for transform in transforms:
        at = next((i for i, text in left.items() if text == transform.source.rstrip()), None)
        if at is None:
            logger.warning("this code is not on the page as it was read:\n%s", transform.source, location=document)
            continue
        del left[at]
        lines = pieces[at].split("\n")
        for name in transform.names:
            first, last = name.lineno - 1, name.end_lineno
            code = "\n".join(lines[first:last])
            matches = list(re.finditer(construct_name_pattern(name), code))
            if not matches:
                logger.warning("%s is not in its line of code", name.code_str, location=document)
                continue
            last_match = matches[-1]  # links before it stay
            start, end = last_match.start() + len(last_match.group(1)), last_match.end()
            target = "../" * document.count("/") + inventory[name.resolved_location]
            link = f'<a href="{target}" class="sphinx-codeautolink-a">{code[start:end]}</a>'
            lines[first:last] = f"{code[:start]}{link}{code[end:]}".split("\n")
        pieces[at] = "\n".join(lines)
    page.write_text("".join(pieces), encoding="utf-8")


# -- and back -------------------------------------------------------------------------------------
def uses(env: BuildEnvironment) -> dict[str, list[str]]:
    """For each name that is described, the chapters whose code uses it, in the order of the book."""
    order = {doc: i for i, doc in enumerate(reading_order(env))}
    found: dict[str, set[str]] = {}
    for doc, pieces in env.sphinx_codeautolink_transforms.items():
        for name in (name for piece in pieces for name in piece.names if doc in order):
            found.setdefault(name.resolved_location, set()).add(doc)
    return {name: sorted(docs, key=order.get) for name, docs in found.items()}


def reading_order(env: BuildEnvironment) -> list[str]:
    """All pages, as one turns them."""

    def below(doc: str) -> Iterator[str]:
        yield doc
        for child in env.toctree_includes.get(doc, []):
            yield from below(child)

    return list(dict.fromkeys(below(env.config.root_doc)))


def add_uses(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Say under each entry which chapters use it."""
    if not docname.startswith("book/api/"):
        return
    used = uses(app.env)
    for entry in doctree.findall(addnodes.desc):
        names = [i for signature in entry.findall(addnodes.desc_signature) for i in signature["ids"]]
        docs = [doc for name in names for doc in used.get(name, []) if not doc.startswith("book/api")]
        if not docs:
            continue
        line = nodes.paragraph(classes=["qgc-used"])
        line += nodes.Text("Used in ")
        for i, doc in enumerate(dict.fromkeys(docs)):
            line += nodes.Text(", " if i else "")
            title = app.env.titles[doc].astext()
            line += nodes.reference("", title, internal=True, refuri=app.builder.get_relative_uri(docname, doc))
        entry.next_node(addnodes.desc_content).append(line)


def remember(app: Sphinx) -> None:
    """Give sphinx-codeautolink the code of pages that are not read again: its own memory knows only ``.rst`` files."""
    app.qgc_code_of_pages = dict(getattr(app.env, "sphinx_codeautolink_transforms", {}))


def remind(app: Sphinx) -> None:
    """See :func:`remember`."""
    app.env.sphinx_codeautolink_transforms.update(app.qgc_code_of_pages)


def configure(app: Sphinx, config) -> None:
    """The settings that the reference needs."""
    for name, value in SETTINGS.items():
        setattr(config, name, value)
    config.nitpick_ignore_regex = [*config.nitpick_ignore_regex, OTHERS_TYPES]
    packages = [m.name for m in pkgutil.iter_modules(importlib.import_module("qgc").__path__) if m.ispkg]
    config.codeautolink_inventory_map = {
        s: h for package in ["qgc", *packages] for s, h in public_names(package).items()
    }
    config.codeautolink_inventory_map["qgc.explain"] = "qgc.explain.explanation.explain"  # a package that can be called


def setup(app: Sphinx) -> None:
    """Register the directive, and the extensions that it needs."""
    for extension in EXTENSIONS:
        app.setup_extension(extension)
    autolink.link_html = link_code
    app.add_directive("qgc-package", Package)
    app.connect("config-inited", configure, priority=0)
    app.connect("builder-inited", remember, priority=0)
    app.connect("builder-inited", remind, priority=999)
    app.connect("autodoc-process-docstring", tidy_docstring, priority=100)  # before napoleon
    app.connect("autodoc-process-signature", shorten_types)
    app.connect("autodoc-skip-member", skip_what_others_wrote)
    app.connect("missing-reference", resolve)
    app.connect("doctree-resolved", add_uses)
