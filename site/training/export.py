"""What the slider through training loads, made in two steps, since training runs are not in the repository.

:func:`record` writes ``training.json`` from the runs: of one seed of every cell (:mod:`qgc.lab.train.graded`), at every
moment that protocol 2 looks at, and for a few validation scenes: both questions' maps by each of :data:`METHODS`, how
they rank the two objects, what the model answers, and how far it separates the two questions itself. A cell whose run
is not there is left out, and the page says so.

:func:`write` needs no model. It puts into one script file, ``data.js``, what was recorded, the scenes, drawn again from
their seeds, and a point for each model from the stored results of protocol 2, as long as there are any.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from fractions import Fraction
from itertools import count, islice
from pathlib import Path

import numpy as np
import parts
import torch
from PIL import Image

from qgc.errors import QGCError
from qgc.explain import EncodedImage, explain
from qgc.files import atomic_write
from qgc.lab.experiments.faithfulness import Alteration, alterations, maps_of
from qgc.lab.figures.dose import LABEL
from qgc.lab.protocol2 import PROTOCOL, run
from qgc.lab.protocol2.measure import EFFECTS, Subject, chosen_pair, judged, measure_pair, methods, pair_maps
from qgc.lab.protocol2.results import FOLDER, KEPT_A, overview, read
from qgc.lab.train import graded
from qgc.measure.similarity import Pair, cosine
from qgc.models.evaluation import evaluating
from qgc.scenes import sample
from qgc.show.pixels import compose, pale, share_of_maximum, stroke
from qgc.show.style import PAGE, SMALL, Sheet

HERE = Path(__file__).parent
FILE = FOLDER / "training.json"
METHODS = KEPT_A  # Grad-CAM, the L1 contrast, the paper's gate
N = 25  # of that gate
SEED = 0  # of the question and answer side
SCENES = 3  # of each distribution
STEPS = PROTOCOL.data["models"]["steps"]
SIMPLIFY = 0.7  # units of an outline, of 448
STILL = (0, 2, -1)  # the moments of the image for readers without JavaScript


# -- from the training runs ---------------------------------------------------------------------------
def record(runs: Path, file: Path = FILE) -> list[str]:
    """Write what the models of the training runs in ``runs`` show; returns what was left out, and why.

    Raises
    ------
    QGCError
        If no cell's run is there.
    """
    loaded, missing = {}, []
    for cell in graded.CELLS:
        try:
            loaded[cell] = [run.load(m, runs) for m in PROTOCOL.models if m.cell == cell.name and m.seed == SEED]
        except QGCError as problem:
            missing.append(f"{cell.name} is left out: {problem}")
    if not loaded:
        raise QGCError(f"no training run of seed {SEED} is in {runs}; " + missing[0].partition("; ")[2])
    pairs = {distribution: chosen(distribution) for distribution in dict.fromkeys(c.distribution for c in loaded)}
    found = {}
    for cell, models in loaded.items():
        subjects = [Subject(vqa) for vqa in models]
        found[cell.name] = [through_training(subjects, pair) for pair in pairs[cell.distribution].values()]
    scenes = {distribution: [asked(*one) for one in some.items()] for distribution, some in pairs.items()}
    data = {"seed": SEED, "methods": METHODS, "moments": moments(), "scenes": scenes, "cells": found}
    # a line for each moment, so that a change of one is read in a comparison
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace('{"said"', '\n{"said"') + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(file, lambda path: path.write_text(text, encoding="utf-8"))
    return missing


def moments() -> list[dict]:
    """The steps at which a training run is looked at, and how many passes over its scenes they are, rounded."""
    last, passes = max(STEPS), graded.CELLS[0].recipe().vqa_epochs
    return [{"step": step, "passes": str(Fraction(passes * step, last).limit_denominator(8))} for step in STEPS]


def chosen(distribution: str) -> dict[int, Pair]:
    """By seed, the first validation scenes whose pair has no background, since its outline would mark all else."""
    seeds = count(PROTOCOL.scenes["validation"].first)
    pairs = ((seed, chosen_pair(sample(seed, distribution))) for seed in seeds)
    plain = ((seed, p) for seed, p in pairs if p and not {p.first.thing, p.second.thing} & set(p.scene.tones))
    return dict(islice(plain, SCENES))


def asked(seed: int, pair: Pair) -> dict:
    """A pair's scene by its seed, and what is asked there."""
    both = (pair.first, pair.second)
    return {
        "seed": seed, "answer": pair.answer,
        "questions": [ask.question for ask in both], "things": [ask.thing for ask in both],
    }  # fmt: skip


def through_training(subjects: Sequence[Subject], pair: Pair) -> list[dict]:
    """One pair at every moment of a training run, whose CNN stays as it is."""
    altered = alterations(pair.scene, [pair])
    F = maps_of(subjects[0].vqa, pair.scene, altered)
    return [moment(subject, pair, F, altered) for subject in subjects]


@torch.no_grad()
def moment(subject: Subject, pair: Pair, F: torch.Tensor, altered: Sequence[Alteration]) -> dict:
    """One pair under one model.

    ``said``: [answer, its probability, that of the true answer] of each question. ``Y``: the model's own separation of
    the two questions, ``sure`` where both halves of the alterations agree. ``maps[method]``: both maps after the ReLU
    as bytes, their ``cosine``, ``a`` (2,) and the ``verdict`` of :func:`qgc.measure.rank_grounding`.
    """
    vqa, things = subject.vqa, [pair.first.thing, pair.second.thing]
    with evaluating(vqa):
        both = explain(
            vqa, EncodedImage(vqa, pair.scene, F[:1]), [pair.first.question, pair.second.question], pair.answer
        )
        every = pair_maps(subject, both, [N], np.random.default_rng(0))  # no random gate is shown
        effects = dict(
            zip(EFFECTS, measure_pair(subject, pair, F, [N], altered=altered)["effects"].tolist(), strict=True)
        )
    raw = every[[methods([N]).index(name) for name in METHODS]]
    verdicts, a = judged(raw, None, np.stack([pair.scene.masks[name] for name in things]))
    maps = [
        {
            "maps": [parts.eight_bits(m) for m in two.relu()],
            "cosine": round(float(np.nan_to_num(cosine(*two.relu()))), 3),
            "a": [round(float(x), 3) for x in ranks],
            "verdict": verdict / 2,
        }
        for two, ranks, verdict in zip(raw, a, verdicts[:, 0].tolist(), strict=True)
    ]
    said = [[e.predicted, round(float(e.probabilities.max()), 3), round(e.confidence, 3)] for e in both]
    return {"said": said, "Y": round(effects["separation"], 3), "sure": bool(effects["sure"]), "maps": maps}


# -- for the pages --------------------------------------------------------------------------------------
def write(folder: str | Path, file: Path = FILE, results: Path = FOLDER) -> Path:
    """Write scripts, styles, the recorded data and the points of the curve into ``folder``."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    parts.copy_scripts(folder, [HERE / "training.js", HERE / "training.css"])
    data = json.loads(file.read_text(encoding="utf-8"))
    drawn = {d: [place(about, d) for about in scenes] for d, scenes in data["scenes"].items()}
    curve = points(results)
    parts.write_part(
        folder, "qgcTraining", "data", {**data, "scenes": drawn, "labels": LABEL, "curve": curve, **parts.colours()}
    )
    still(data, folder / "still.webp")
    return folder


def place(about: dict, distribution: str) -> dict:
    """A recorded scene with its image and the outlines of both objects."""
    scene = sample(about["seed"], distribution)
    return {
        **about,
        "about": parts.about(scene),
        "picture": parts.webp(scene.render(parts.SIDE), quality=70),
        "outlines": [parts.outline(scene.masks[name], SIMPLIFY) for name in about["things"]],
    }


def points(folder: Path = FOLDER) -> dict:
    """A point for each model of the stored results, those of the test scenes if there are any.

    ``of[model]``: its separation, the cosine of its Grad-CAM maps, and the RGA of each of :data:`METHODS`.
    """
    split = "test" if any(folder.glob("test-*.npz")) else "validation"
    if not any(folder.glob(f"{split}-*.npz")):
        return {"split": None, "of": {}}
    # Validation results may be older than the protocol's last words: it was fixed after them.
    table = overview(read(split, folder, PROTOCOL if split == "test" else None))
    columns = table[["separation", "cosine", *METHODS]]
    known = columns.astype(object).where(columns.notna(), None)  # NaN is no JSON
    of = {name: [None if x is None else round(x, 3) for x in row] for name, *row in known.itertuples()}
    return {"split": split, "of": of}


def still(data: dict, path: Path) -> None:
    """What readers without JavaScript see: the first cell's first scene, Grad-CAM of both questions at some moments."""
    cell = next(iter(data["cells"]))
    distribution = cell.partition("-")[0]
    about, entries = data["scenes"][distribution][0], data["cells"][cell][0]
    scene, size = sample(about["seed"], distribution), (parts.SIDE, parts.SIDE)
    picture = scene.render(parts.SIDE)
    sheet = Sheet(PAGE, 4.2)
    axes = sheet.subplots(2, 1 + len(STILL))
    for k, row in enumerate(axes):
        thing = about["things"][k]
        halo, line = stroke(scene.masks[thing], size, width=3)
        shown = {thing: np.asarray(picture).copy()}
        for i in STILL:
            levels = np.frombuffer(base64.b64decode(entries[i]["maps"][0]["maps"][k]), np.uint8).reshape(parts.GRID)
            words = passes_in_words(data["moments"][i]["passes"])
            shown[words] = compose(pale(picture), share_of_maximum(levels, size)).copy()
        for ax, (title, pixels) in zip(row, shown.items(), strict=True):
            pixels[halo], pixels[line] = 255, 0
            ax.imshow(Image.fromarray(pixels))
            ax.set_axis_off()
            ax.set_title(title if k == 0 or title == thing else "", fontsize=SMALL)
    atomic_write(path, lambda temporary: sheet.savefig(temporary, format="webp", dpi=110))


def passes_in_words(passes: str) -> str:
    """A number of passes with its noun: of "1/8", "1" or "4"."""
    if "/" in passes:
        return f"{passes} of a pass"
    return "1 pass" if passes == "1" else f"{passes} passes"
