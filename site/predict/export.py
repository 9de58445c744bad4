"""What the exercises load: scenes, maps and shares that :mod:`qgc` worked out, one small script file for each.

A file registers itself, ``qgcPredict.part(name, data)``, and is loaded when its exercise comes into view; ``index.js``
holds what all share. There are two kinds of exercise:

look
    The reader marks cells where the model may look. The file holds the map of each question as float32, so that the
    page can work out for any marks what :func:`qgc.measure.map_share` gives.
pick
    The reader says which of two methods grounds a pair of questions better, scene after scene: by the rank effect
    a_1 − a_2 of :func:`qgc.measure.rank_grounding`, which no gain of a map changes. Ranks and shares are those of qgc;
    the maps are only painted, so a byte a cell is enough.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import parts
import torch
from parts import eight_bits
from torch import Tensor

from qgc.explain import EncodedImage, Explanation, contrast, explain, gates
from qgc.lab.protocol import SCENES
from qgc.lab.protocol.grounding import chosen_pairs
from qgc.measure import cosine, map_share, rank_grounding, same_answer_pairs
from qgc.measure.pairs import TIE
from qgc.measure.similarity import Pair
from qgc.models import VQA, zoo
from qgc.scenes import FIRST_SEED, sample
from qgc.scenes.situations import SITUATIONS, situation

HERE = Path(__file__).parent
SIMPLIFY = 0.7  # units of an outline, of 448
SMALL = 320  # pixels of the images of a series
N = 25  # the paper's favourite n, and as many random neurons
VISIBLE = 0.05  # rank effects that differ by less, by five of 100 pairs of cells, look the same


@dataclass(frozen=True)
class Look:
    """Mark where a model looks: a situation by name, or the first pair that a seed draws from validation scenes."""

    model: str
    place: str | int
    kind: str = "natural"

    def pair(self) -> Pair:
        """The two questions."""
        if self.place in SITUATIONS:
            return same_answer_pairs([situation(self.place)])[0]
        return next(drawn_pairs(self.kind, self.place))


@dataclass(frozen=True)
class Pick:
    """Which of two of :data:`METHODS` is the more grounded one? ``count`` scenes of the validation split by a seed."""

    methods: tuple[str, str]
    seed: int
    model: str = "deeper-lstm/natural"
    kind: str = "natural"
    count: int = 10


METHODS: dict[str, Callable[[Explanation, Explanation, Tensor], Tensor]] = {
    "Grad-CAM": lambda e, other, drawn: e.map(relu=False),
    "the paper’s gate, n = 25": lambda e, other, drawn: e.map(N, relu=False),
    "25 random neurons": lambda e, other, drawn: e.map(neurons=drawn, relu=False),
    "the question contrast": lambda e, other, drawn: contrast(e, other),
}
"""Maps (14, 14), before the ReLU, of a question whose partner is the other one; ``drawn`` are N random neurons."""

EXERCISES: dict[str, Look | Pick] = {
    "look-natural": Look("deeper-lstm/natural", "bathroom"),
    "look-balanced": Look("deeper-lstm/balanced", 11, "balanced"),
    "look-pythia": Look("pythia/natural", 12),
    "pick-gate": Pick(("the paper’s gate, n = 25", "25 random neurons"), 1),
    "pick-gradcam": Pick(("the paper’s gate, n = 25", "Grad-CAM"), 2),
    "pick-contrast": Pick(("the question contrast", "Grad-CAM"), 3),
}
"""Every exercise by the name that a page asks for. The seeds were chosen before anything was seen."""


def drawn_pairs(kind: str, seed: int) -> Iterator[Pair]:
    """Same-answer pairs of the validation scenes in random order: of each scene the first that the protocol chooses."""
    for i in np.random.default_rng(seed).permutation(SCENES["validation"]):
        yield from chosen_pairs(sample(FIRST_SEED["validation"] + int(i), kind))[:1]


# -- writing --------------------------------------------------------------------------------------
def write(folder: str | Path, names: list[str] | None = None) -> Path:
    """Write scripts, styles and the data of the exercises, all of them by default, into ``folder``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts.copy_scripts(folder, [HERE / "predict.js", HERE / "predict.css"])
    names = list(names or EXERCISES)
    kinds = {name: type(EXERCISES[name]).__name__.lower() for name in names}
    parts.write_part(
        folder, "qgcPredict", "index", {"exercises": kinds, "tie": TIE, "visible": VISIBLE, **parts.colours()}
    )
    models: dict[str, VQA] = {}
    for name in names:
        exercise = EXERCISES[name]
        vqa = models.setdefault(exercise.model, models.get(exercise.model) or zoo.load(exercise.model))
        data = look_part(exercise, vqa) if isinstance(exercise, Look) else pick_part(exercise, vqa)
        # Guesses that a browser remembers count for the data that they were made on.
        version = hashlib.sha256(json.dumps(data).encode()).hexdigest()[:8]
        parts.write_part(folder, "qgcPredict", name, {"version": version, **data})
    return folder


def chapter_name(model: str) -> str:
    """What the chapters call a shipped model."""
    family, kind = model.split("/")
    return "Pythia" if family == "pythia" else kind


# -- mark where the model looks ---------------------------------------------------------------------
def explained(pair: Pair, vqa: VQA) -> list[Explanation]:
    """Both questions of a pair with its true answer."""
    view = EncodedImage(vqa, pair.scene)
    return [explain(vqa, view, ask.question, pair.answer) for ask in (pair.first, pair.second)]


def look_part(exercise: Look, vqa: VQA) -> dict:
    """A scene, two questions, what the model says to each, and its Grad-CAM maps for the true answer."""
    pair = exercise.pair()
    both = explained(pair, vqa)
    names = [ask.thing for ask in (pair.first, pair.second)]
    return {
        "model": chapter_name(exercise.model),
        "about": parts.about(pair.scene),
        "picture": parts.webp(pair.scene.render(parts.SIDE)),
        "answer": pair.answer,
        "questions": [
            {
                "question": e.question,
                "thing": name,
                "said": e.predicted,
                "sure": round(float(e.probabilities.max()), 4),
                "probability": round(e.confidence, 4),
                "map": parts.pack(e.map().cpu()),
            }
            for e, name in zip(both, names, strict=True)
        ],
        "things": {name: parts.region(pair.scene.masks[name], SIMPLIFY) for name in names},
        "anywhere": parts.anywhere(pair.scene.masks[names[0]]),
    }


# -- which of two is the more grounded one ------------------------------------------------------------
def pick_part(exercise: Pick, vqa: VQA) -> dict:
    """A series of scenes: for each the maps of both methods and questions, their ranks and shares on both objects."""
    rng = np.random.default_rng([exercise.seed, 1])
    items = []
    for pair in islice(drawn_pairs(exercise.kind, exercise.seed), exercise.count):
        drawn = list(gates.random_rankings(vqa.combine, 2, rng)[:, :N])
        items.append({**pick_item(pair, vqa, exercise.methods, drawn), "swap": bool(rng.integers(2))})
    return {"model": chapter_name(exercise.model), "methods": list(exercise.methods), "items": items}


def pick_item(pair: Pair, vqa: VQA, methods: tuple[str, str], drawn: list[Tensor]) -> dict:
    """One scene.

    ``ranks[method]``: [a_1, a_2, verdict] of :func:`qgc.measure.rank_grounding`. ``shares[method][question]``: [on the
    queried object, on the other]; an empty map has 0 on both.
    """
    both = explained(pair, vqa)
    names = [ask.thing for ask in (pair.first, pair.second)]
    masks = [pair.scene.masks[name] for name in names]
    raw = [[METHODS[m](both[k], both[1 - k], drawn[k]).cpu() for k in (0, 1)] for m in methods]
    ranked = [rank_grounding(torch.stack(two), np.stack(masks)) for two in raw]
    maps = [[m.relu() for m in two] for two in raw]
    return {
        "about": parts.about(pair.scene),
        "picture": parts.webp(pair.scene.render(SMALL), quality=60),
        "answer": pair.answer,
        "questions": [ask.question for ask in (pair.first, pair.second)],
        "things": names,
        "outlines": [parts.outline(mask, SIMPLIFY) for mask in masks],
        "where": [centre(mask) for mask in masks],
        "maps": [[eight_bits(m) for m in two] for two in maps],
        "cosines": [round(float(np.nan_to_num(cosine(*two))), 4) for two in maps],
        "ranks": [[round(float(x), 12) for x in (r.a_1, r.a_2, r.verdict)] for r in ranked],
        "shares": [
            [[round(float(map_share(two[k], masks[i]).nan_to_num(0)), 9) for i in (k, 1 - k)] for k in (0, 1)]
            for two in maps
        ],
    }


def centre(mask: np.ndarray) -> list[float]:
    """The middle of a mask: (from the left, from the top), as parts of the image, for those who do not see it."""
    rows, columns = np.nonzero(mask)
    return [round(float(columns.mean() / mask.shape[1]), 2), round(float(rows.mean() / mask.shape[0]), 2)]
