"""The landing page's moving picture, drawn while the site is built, and the numbers in its three sentences.

The numbers come from book/results by way of ``qgc``; the page names them as ``{{ gate }}``.
"""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image
from sphinx.application import Sphinx

import qgc
from qgc.measure.stored import MODELS, Stored
from qgc.show.pixels import compose, pale, share_of_maximum, stroke

FOLDER = "landing"
MOVING = ("natural", "balanced")  # one on either side
SIDE = 560  # pixels of a picture, twice what a phone gives it
PAPER = "∂A/∂q, l2"
OTHER = "∂A/∂q of the other question"


def pictures() -> dict[str, Image.Image]:
    """The bathroom, and Grad-CAM of both its questions in both models, each with the asked thing outlined."""
    scene = qgc.scene("bathroom")
    ground = pale(scene.render(SIDE))
    found = {"scene": scene.render(SIDE)}
    thing_of = {ask.question: ask.thing for ask in scene.asks}
    for name in MOVING:
        for explained in qgc.explain(qgc.load(f"deeper-lstm/{name}"), scene, scene.questions[:2], answer="white"):
            thing = thing_of[explained.question]
            canvas = compose(ground, share_of_maximum(explained.map(), (SIDE, SIDE))).copy()
            halo, line = stroke(scene.masks[thing], (SIDE, SIDE), width=3)
            canvas[halo], canvas[line] = 255, 0
            found[f"{name}-{thing}"] = Image.fromarray(canvas)
    return found


def facts() -> dict[str, str]:
    """What the three sentences say in numbers: percentages of pairs told apart, and how alike two maps are."""
    found = Stored.read()
    table = found.table("natural")
    row, grounding = table.loc[PAPER], table["grounding"]
    model = found.rows("interventions", "natural", "grounding").query("kind == 'recolour' and measure == 'model'")
    alike = [found.arm(m)["cosine"]["value"] for m in MODELS]
    shares = {
        "gate": row["grounding"],
        "chance": row["grounding"] - row["minus random"],
        "gate_25": found.curve("natural", PAPER)[0, 24],
        "chance_25": grounding["random gates, n = 25"],
        "gradcam": grounding["Grad-CAM"],
        "other": grounding[OTHER],
        "contrast": grounding["question contrast"],
        "alone": grounding["contrast with the mean question"],
        "model": model["estimate"].item(),
    }
    words = {name: f"{100 * share:.0f}\N{NO-BREAK SPACE}%" for name, share in shares.items()}
    most = sorted(alike)
    return {
        **words,
        "n": str(found.chosen[PAPER]),
        "alike_least": f"{math.floor(100 * most[1]) / 100:.2f}",
        "alike_not": f"{most[0]:.2f}",
    }


def write_pictures(app: Sphinx, failure: Exception | None) -> None:
    """Write the pictures into the site."""
    if failure or app.builder.format != "html":
        return
    folder = Path(app.outdir) / FOLDER
    folder.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        picture.save(folder / f"{name}.webp", quality=82, method=6)


def add_facts(app: Sphinx, config) -> None:
    """Let the pages name the numbers."""
    config.myst_substitutions = {**config.myst_substitutions, **facts()}


def setup(app: Sphinx) -> None:
    """Connect both."""
    app.connect("config-inited", add_facts, priority=0)
    app.connect("build-finished", write_pictures, priority=400)  # before the pages get their last touches
