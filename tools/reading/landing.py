"""The landing page's animated image, drawn while the site is built, and the numbers in its sentences.

The numbers come from book/results by way of :mod:`.headlines`; the page names them as ``{{ natural_gate }}``.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from PIL import Image
from sphinx.application import Sphinx

import qgc
from qgc.lab.protocol.stored import Stored
from qgc.show.pixels import compose, pale, share_of_maximum, stroke

from . import headlines

FOLDER = "landing"
MOVING = ("natural", "balanced")  # one on either side
SIDE = 560  # pixels of an image, twice what a phone gives it


def images() -> dict[str, Image.Image]:
    """The bathroom, and Grad-CAM of both its questions in both models, each with the queried object outlined."""
    scene = qgc.scene("bathroom")
    ground = pale(scene.render(SIDE))
    drawn = {"scene": scene.render(SIDE)}
    queried = {ask.question: ask.thing for ask in scene.asks}
    for name in MOVING:
        for explained in qgc.explain(qgc.load(f"deeper-lstm/{name}"), scene, scene.questions[:2], answer="white"):
            name_of_object = queried[explained.question]
            canvas = compose(ground, share_of_maximum(explained.map(), (SIDE, SIDE))).copy()
            halo, line = stroke(scene.masks[name_of_object], (SIDE, SIDE), width=3)
            canvas[halo], canvas[line] = 255, 0
            drawn[f"{name}-{name_of_object}"] = Image.fromarray(canvas)
    return drawn


def facts() -> dict[str, str]:
    """Every number of :func:`.headlines.quantities` in words: "natural: gate, n = 25" becomes ``natural_gate_n_25``.

    Accuracies are of 100 pairs, with their interval ("58 [55, 62]"), and differences of two have a sign; others have
    two decimals, margins three. A name that ends in "_alone" omits the interval.
    """
    stored = Stored.read()
    facts = {"n": str(stored.chosen[headlines.PAPER])}
    for name, quantity in headlines.quantities(stored).items():
        if math.isnan(quantity.value):
            continue
        key = re.sub(r"\W+", "_", name).lower()
        facts |= {key: in_words(name, quantity), f"{key}_alone": in_words(name, headlines.Quantity(quantity.value))}
    return facts


def in_words(name: str, quantity: headlines.Quantity) -> str:
    """A quantity as the page says it."""
    value, low, high = (100 * x for x in quantity)
    if re.search("cosine|effect|margin", name):
        return f"{quantity.value:.{3 if 'margin' in name else 2}f}"
    sign = "+" if re.search("above|minus", name) else ""
    one, *ends = (re.sub("^[+-]0$", "0", f"{x:{sign}.0f}").replace("-", "\N{MINUS SIGN}") for x in (value, low, high))
    return one + ("" if math.isnan(low) else "\N{NO-BREAK SPACE}[{},\N{NO-BREAK SPACE}{}]".format(*ends))


def write_images(app: Sphinx, failure: Exception | None) -> None:
    """Write the images into the site."""
    if failure or app.builder.format != "html":
        return
    folder = Path(app.outdir) / FOLDER
    folder.mkdir(exist_ok=True)
    for name, image in images().items():
        image.save(folder / f"{name}.webp", quality=82, method=6)


def add_facts(app: Sphinx, config) -> None:
    """Let the pages name the numbers."""
    config.myst_substitutions = {**config.myst_substitutions, **facts()}


def setup(app: Sphinx) -> None:
    """Connect both."""
    app.connect("config-inited", add_facts, priority=0)
    app.connect("build-finished", write_images, priority=400)  # before the pages get their last touches
