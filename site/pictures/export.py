"""What the pictures load: one scene through one shipped model, as small script files.

A file registers itself, ``qgcPictures.part(name, data)``, and is loaded when its picture comes into view. Of a picture
NAME there are the program ``NAME.js``, its data ``NAME-data.js`` and, for readers without JavaScript, ``NAME.webp``;
``index.js`` holds what all share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import parts
import torch
from parts import pack
from parts.packing import pack_maps
from PIL import Image, ImageChops

from qgc.explain import Explanation, explain
from qgc.explain.rankings import neuron_maps
from qgc.files import atomic_write
from qgc.measure import cosine
from qgc.models import VQA, zoo
from qgc.scenes import COLOURS, Scene
from qgc.scenes.palette import CENTRES
from qgc.scenes.situations import situation
from qgc.show.pixels import compose, pale, share_of_maximum
from qgc.show.style import INK, MUTED, PAGE, PALETTE, SMALL, Sheet

HERE = Path(__file__).parent
MODEL, PLACE = "deeper-lstm/natural", "bathroom"  # the book's running example
SIMPLIFY = 0.7  # units of an outline, of 448
LIKELY = 5  # answers of which the probability is shown
ACROSS = 16  # of the feature maps side by side in their mosaic
N = 25  # the paper's favourite n
LEAST = 1e-8  # sensitivities below are drawn as this


@cache
def example(model: str = MODEL) -> tuple[VQA, Scene, list[Explanation]]:
    """A model, the scene, and its first two questions explained for the answer that both have."""
    vqa, scene = zoo.load(model), situation(PLACE)
    return vqa, scene, explained(vqa, scene)


def explained(vqa: VQA, scene: Scene) -> list[Explanation]:
    """The first two questions about :data:`PLACE`, repainted or not, for their true answer there."""
    asked = situation(PLACE).asks[:2]
    return explain(vqa, scene, [ask.question for ask in asked], asked[0].answer)


def write(folder: str | Path, names: Sequence[str] | None = None) -> Path:
    """Write scripts, styles, data and still images of the pictures, all of them by default, into ``folder``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = list(names or PICTURES)
    parts.copy_scripts(folder, [HERE / "pictures.js", HERE / "pictures.css", *(HERE / f"{p}.js" for p in names)])
    own = {"plus": PALETTE["vermilion"], "minus": PALETTE["blue"], "ink": INK}
    parts.write_part(folder, "qgcPictures", "index", {**own, **parts.colours()})
    for name in names:
        data, still = PICTURES[name]
        parts.write_part(folder, "qgcPictures", f"{name}-data", data())
        atomic_write(folder / f"{name}.webp", lambda path, still=still: still().savefig(path, format="webp", dpi=110))
    return folder


def place() -> dict:
    """The scene: its image, its words, and where the two queried objects are."""
    _, scene, both = example()
    asked = scene.asks[:2]
    return {
        "about": parts.about(scene),
        "picture": parts.webp(scene.render(parts.SIDE), quality=70),
        "answer": both[0].answer,
        "questions": [ask.question for ask in asked],
        "things": [ask.thing for ask in asked],
        "regions": [parts.region(scene.masks[ask.thing], SIMPLIFY) for ask in asked],
        "anywhere": parts.anywhere(scene.masks[asked[0].thing]),
    }


# -- forward and back ---------------------------------------------------------------------------------
def forward_and_back() -> dict:
    """Every arrow of the model for both questions, and the map of every neuron alone, to be painted.

    Of both questions: ``words``; ``q`` (512,); ``u``, ``sensitivity`` (J,); ``alpha`` (K,); ``map`` (h·w,) before the
    ReLU; ``likely``: [answer, probability]. Of the image: ``v`` (J,), ``F``, a mosaic of the K maps as an image, white
    for the highest value of all. Of the answer: ``c`` (J,) = ∂y_a/∂A.
    """
    vqa, _, both = example()
    F = both[0].F[0]
    return {
        **place(),
        "asked": [
            {
                "words": vqa.vocabulary.tokens(e.question),
                "q": pack(e.q),
                "u": pack(e.u),
                "sensitivity": pack(e.sensitivity),
                "alpha": pack(e.g @ e.M),
                "map": pack(e.map(relu=False)),
                "likely": likely(e),
            }
            for e in both
        ],
        "v": pack(both[0].v),
        "c": pack(both[0].c),
        "F": parts.webp(mosaic(F)),
        "across": ACROSS,
        "active": round(float((F > 0).double().mean()), 4),
        "P": pack_maps(neuron_maps(both[0].M, both[0].F).double().numpy(), only_painted=True),
    }


def likely(e: Explanation) -> list[list]:
    """The most probable answers with their probability."""
    top = torch.topk(e.probabilities, LIKELY)
    return [[e.vqa.answers[i], round(p, 6)] for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)]


def mosaic(F: torch.Tensor) -> Image.Image:
    """Feature maps (K, h, w) beside and below each other, in shares of the highest value of all."""
    K, h, w = F.shape
    tiles = (F / F.max()).view(K // ACROSS, ACROSS, h, w).transpose(1, 2).reshape(K // ACROSS * h, ACROSS * w)
    return Image.fromarray(np.rint(255 * tiles.numpy()).astype(np.uint8))


def own_maps() -> Sheet:
    """Without JavaScript: the own maps of the three strongest neurons for the first question, and the sum of all."""
    _, scene, (e, _) = example()
    strongest = e.g.abs().argsort(descending=True)[:3].tolist()
    shown = {f"neuron {j}": e.map(neurons=[j]) for j in strongest} | {"all 1,024: Grad-CAM": e.map()}
    sheet = Sheet(PAGE, 2.1)
    for ax, (title, map_) in zip(sheet.subplots(1, 4), shown.items(), strict=True):
        picture = scene.render(parts.SIDE)
        ax.imshow(Image.fromarray(compose(pale(picture), share_of_maximum(map_, picture.size))))
        ax.set_axis_off()
        ax.set_title(title, fontsize=SMALL)
    return sheet


# -- which neurons does the paper pick? -----------------------------------------------------------------
def neurons() -> dict:
    """The 1,024 neurons for both questions: ``u``, ``sensitivity``, and with ``c`` and P every gated map."""
    _, _, both = example()
    return {
        **place(),
        "asked": [{"u": pack(e.u), "sensitivity": pack(e.sensitivity)} for e in both],
        "c": pack(both[0].c),
        "n": N,
        "least": LEAST,
        "P": pack_maps(neuron_maps(both[0].M, both[0].F).double().numpy()),
    }


def scatter() -> Sheet:
    """Without JavaScript: the neurons by sensitivity and |g|, those that the paper picks marked."""
    e = example()[2][0]
    sheet = Sheet(PAGE, 3.6)
    ax = sheet.subplots()
    picked = e.order[:N]
    ax.scatter(e.sensitivity.clamp(min=LEAST), e.g.abs(), s=9, color=MUTED, alpha=0.5, label="the others")
    ax.scatter(e.sensitivity[picked], e.g[picked].abs(), s=28, color=PALETTE["vermilion"], label=f"the paper’s {N}")
    ax.set_xscale("log")
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_xlabel("∂A/∂q: how much the neuron reacts to the question")
    ax.set_ylabel("|g|: what it adds to the map")
    ax.legend(frameon=False, loc="upper left")
    return sheet


# -- repaint ----------------------------------------------------------------------------------------------
REPAINTED = {"natural": MODEL, "balanced": "deeper-lstm/balanced"}  # by the chapters' names


def repaint() -> dict:
    """Both objects in every color through two models: counterfactual images, the answer's score, and Grad-CAM.

    ``patches[thing][colour]``: what changes, with its place; ``of[model][thing][colour]``: of both questions the
    ``score`` of the answer, its ``probability``, what the model ``says``, the ``map`` as bytes and ``kept``, its cosine
    with the map before.
    """
    scene = situation(PLACE)
    things = [ask.thing for ask in scene.asks[:2]]
    others = [colour for colour in COLOURS if colour != scene.asks[0].answer]
    painted = {thing: {colour: scene.recolour(thing, colour) for colour in others} for thing in things}
    found = {}
    for name, model in REPAINTED.items():
        vqa, _, before = example(model)
        found[name] = {"before": seen(before, before)}
        for thing, scenes in painted.items():
            found[name][thing] = {colour: seen(explained(vqa, s), before) for colour, s in scenes.items()}
    whole = scene.render(parts.SIDE)
    patches = {
        thing: {colour: patch(whole, s.render(parts.SIDE)) for colour, s in scenes.items()}
        for thing, scenes in painted.items()
    }
    swatches = {colour: "rgb({} {} {})".format(*CENTRES[colour][0]) for colour in COLOURS}
    return {**place(), "colours": swatches, "patches": patches, "of": found}


def patch(before: Image.Image, after: Image.Image) -> dict:
    """The rectangle of an image that is no longer as before, and the place of its upper left corner in pixels."""
    box = ImageChops.difference(before, after).getbbox()
    return {"at": box[:2], "image": parts.webp(after.crop(box), quality=75)}


def seen(now: list[Explanation], before: list[Explanation]) -> list[dict]:
    """What a model makes of one image, for both questions."""
    return [
        {
            "score": round(float(e.y[e.vqa.answers.index(e.answer)]), 4),
            "probability": round(e.confidence, 4),
            "says": e.predicted,
            "map": parts.eight_bits(e.map()),
            "kept": round(float(np.nan_to_num(cosine(e.map(), b.map()))), 4),
        }
        for e, b in zip(now, before, strict=True)
    ]


def repainted() -> Sheet:
    """Without JavaScript: the scene with its first object in three colors, and Grad-CAM for the first question."""
    vqa, scene, _ = example()
    sheet = Sheet(PAGE, 3.7)
    axes = sheet.subplots(2, 4)
    thing = scene.asks[0].thing
    for (above, below), colour in zip(axes.T, [scene.asks[0].answer, "red", "blue", "black"], strict=True):
        again = scene.recolour(thing, colour)
        picture = again.render(parts.SIDE)
        e = explained(vqa, again)[0]
        above.imshow(picture)
        below.imshow(Image.fromarray(compose(pale(picture), share_of_maximum(e.map(), picture.size))))
        above.set_title(f"{colour} {thing}", fontsize=SMALL)
        below.set_title(f"“{e.answer}”: {e.confidence:.0%}", fontsize=SMALL)
        above.set_axis_off(), below.set_axis_off()
    return sheet


# -- from feature maps to the map, and what their mean over the cells loses -----------------------------------
BLOCKS = (1, 2, 7, 14)  # cells along the side of a block over which the gradient is averaged
ATTENTIVE = "pythia/natural"


def sum_of_maps() -> dict:
    """How weighted feature maps add up, and what a mean of the gradient over more and more cells does to Pythia's.

    Of both questions: ``alpha`` (K,), and of Pythia the ``attention`` (h·w,) and a map (h·w,) before the ReLU for each
    of ``blocks``: 1 is HiResCAM, the whole grid Grad-CAM. ``F``: a byte a cell, K·h·w, of ``F_top`` (K,).
    """
    _, _, both = example()
    _, _, asked = example(ATTENTIVE)
    F = both[0].F[0]
    return {
        **place(),
        "blocks": list(BLOCKS),
        "asked": [
            {
                "alpha": pack(e.g @ e.M),
                "attention": pack(p.vqa.attention(p.F, p.q)),
                "pythia": [pack(averaged(p, side)) for side in BLOCKS],
                "says": p.predicted,
            }
            for e, p in zip(both, asked, strict=True)
        ],
        "F": [parts.eight_bits(f) for f in F],
        "F_top": pack(F.amax((1, 2))),
    }


def averaged(e: Explanation, side: int) -> torch.Tensor:
    """Σ_k ⟨∂y_a/∂F^k⟩ ⊙ F^k before the ReLU, (h, w), with the mean ⟨·⟩ over blocks of ``side`` cells."""
    F = e.F.detach().requires_grad_()
    u, v = e.vqa.branches(F, e.q)
    score = e.vqa.classify(u * v)[0, e.vqa.answers.index(e.answer)]
    (gradient,) = torch.autograd.grad(score, F)
    mean = torch.nn.functional.avg_pool2d(gradient, side).repeat_interleave(side, 2).repeat_interleave(side, 3)
    return (mean * e.F).sum(1)[0]


def added_up() -> Sheet:
    """Without JavaScript: Pythia's maps of both questions with the gradient averaged over larger and larger blocks."""
    _, scene, both = example(ATTENTIVE)
    sheet = Sheet(PAGE, 3.7)
    for row, e in zip(sheet.subplots(2, len(BLOCKS)), both, strict=True):
        for ax, side in zip(row, BLOCKS, strict=True):
            picture = scene.render(parts.SIDE)
            map_ = averaged(e, side).relu()
            ax.imshow(Image.fromarray(compose(pale(picture), share_of_maximum(map_, picture.size))))
            ax.set_axis_off()
            ax.set_title(f"{side}×{side} cells", fontsize=SMALL)
    return sheet


PICTURES: dict[str, tuple[Callable[[], dict], Callable[[], Sheet]]] = {
    "pass": (forward_and_back, own_maps),
    "neurons": (neurons, scatter),
    "repaint": (repaint, repainted),
    "sum": (sum_of_maps, added_up),
}
"""Of every picture: what makes its data, and what its still image."""
