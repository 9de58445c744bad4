"""Formulas as MathML, which browsers show, print and read out by themselves, and a font cut to what they need.

No script has to be loaded for a formula, so pages are light, work from a folder, and show their formulas at once.
The font is STIX Two Math, as the package ziamath carries it.
"""

from __future__ import annotations

import re
from importlib.resources import files
from xml.etree import ElementTree

from latex2mathml.converter import convert

from tools.fonts import cut

MATHML = "http://www.w3.org/1998/Math/MathML"
BARS = "|‖/∂"  # TeX sets them without space and never stretches them; MathML by itself does both
ITALIC = dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", range(0x1D434, 0x1D468), strict=True))
ITALIC |= {"h": 0x210E}  # a hole in the alphabet: Planck's constant has been there before
GREEK = {chr(0x3B1 + i): 0x1D6FC + i for i in range(25)} | {chr(0x391 + i): 0x1D6E2 + i for i in range(25)}

PARTS = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3, "mroot": 2}


class BadFormula(ValueError):
    """A formula that cannot be shown; the message quotes it."""


def mathml(tex: str, block: bool) -> str:
    """A formula's `<math>` element; the TeX is in it as an annotation, for whoever copies it."""
    tex = tex.strip()
    if r"\\" in tex and r"\begin" not in tex:
        tex = rf"\begin{{matrix}}{tex}\end{{matrix}}"
    try:
        root = ElementTree.fromstring(convert(tex, display="block" if block else "inline"))
    except Exception as error:
        raise BadFormula(f"cannot turn this formula into MathML ({type(error).__name__}: {error}): {tex}") from error
    if unknown := re.search(r"\\\w*|&", "".join(root.itertext())):
        raise BadFormula(f"MathML knows no {unknown[0]!r} here: {tex}")
    if short := [e for e in root.iter() if len(e) != PARTS.get(name(e), len(e))]:
        raise BadFormula(f"a part of <{name(short[0])}> is missing: {tex}")
    for element in list(root.iter()):
        tidy(element)
    row = ElementTree.Element(f"{{{MATHML}}}semantics")
    row.extend(list(root))
    note = ElementTree.SubElement(row, f"{{{MATHML}}}annotation", encoding="application/x-tex")
    note.text = tex
    for child in list(root):
        root.remove(child)
    root.append(row)
    ElementTree.register_namespace("", MATHML)
    return ElementTree.tostring(root, encoding="unicode")


def name(element: ElementTree.Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def tidy(element: ElementTree.Element) -> None:
    """Fix in one element what the converter leaves open: names in upright letters, bars, primes."""
    merged: list[ElementTree.Element] = []
    for child in list(element):
        kind = name(child)
        text = (child.text or "").strip()
        if kind == "mi" and text in "′″‴" and text:
            child.tag, child.attrib = child.tag[:-2] + "mo", {"lspace": "0", "rspace": "0"}
        if kind == "mo" and text and text in BARS:
            child.attrib |= {"lspace": "0", "rspace": "0", "stretchy": "false"}
        upright = kind == "mi" and child.get("mathvariant") == "normal"
        if upright and merged and merged[-1].get("mathvariant") == "normal" and element.tag.endswith("mrow"):
            merged[-1].text = (merged[-1].text or "") + text  # \mathrm{ReLU} is one name, not four
            element.remove(child)
        else:
            merged.append(child)


def characters(markup: str) -> set[str]:
    """The characters that the formulas of a page need, the slanted forms of single letters with them."""
    plain: set[str] = set()
    for formula in re.findall(r"<math\b.*?</math>", markup, flags=re.DOTALL):
        shown = re.sub(r"<annotation\b.*?</annotation>", "", formula, flags=re.DOTALL)
        plain |= set("".join(ElementTree.fromstring(shown).itertext()))
    slanted = {chr((ITALIC | GREEK)[c]) for c in plain if c in ITALIC or c in GREEK}
    return plain | slanted


def font_css(needed: set[str]) -> str:
    """Styles with the font in them, cut to these characters."""
    source = cut(files("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf", needed, features=("ssty",))
    return (
        f'@font-face {{ font-family: "QGC Math"; src: {source}; }}\n'
        'math { font-family: "QGC Math", "STIX Two Math", "Cambria Math", math; }\n'
    )
