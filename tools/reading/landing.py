"""The landing page's animated image, drawn while the site is built, and the numbers in its sentences.

The numbers come from book/results/protocol-2; the page names them as ``{{ pythia_grad_cam }}``.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image
from sphinx.application import Sphinx

import qgc
from qgc.lab.protocol2 import headline, hypotheses, results
from qgc.show.pixels import compose, pale, share_of_maximum, stroke

FOLDER = "landing"
GATE = "the paper's gate, n = 25"  # a row of the chart
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
    """The numbers of the page's sentences, of protocol 2's test scenes: accuracies and differences of 100 pairs."""
    measured = results.read("test")
    found, bars = hypotheses.evaluate(measured)["estimate"], headline.table(measured)["rank"].unstack()
    *deeper, pythia = (bars.loc[model] for model in headline.MODELS)
    return {
        "correlation": f"{found['H1']:.2f}".replace("-", "\N{MINUS SIGN}"),
        "models": str(sum(m.model.step > 0 for m in measured.values())),
        "pythia_itself": f"{100 * pythia['the model itself']:.0f}",
        "pythia_grad_cam": f"{100 * pythia['Grad-CAM']:.0f}",
        "pythia_size": f"{100 * pythia['size of the gradient']:.0f}",
        "fewer": " and ".join(f"{100 * (row['Grad-CAM'] - row[GATE]):.0f}" for row in deeper),
        "pythia_more": f"{100 * (pythia[GATE] - pythia['Grad-CAM']):.0f}",
    }


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
