"""What the explorer's page loads: the paper's situations through the shipped models, as small script files.

A file registers itself, ``qgcExplorer.part(name, data)``, and is loaded through a <script> element, since ``fetch``
does not work on pages that are opened from a disk. Loaded at once is ``index.js``; the others when they are chosen:

SCENE.js
    The picture, the outline of each asked thing, and how much of each cell's heat falls on it.
SCENE.MODEL.js
    Of every question: u, ∂A/∂q, and ∂y_a/∂A of the answers on offer.
SCENE.MODEL.maps-I.js
    P, the map of every neuron alone: one for all questions in the Deeper LSTM, one for each in Pythia.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from ...explain import Explanation, View, explain
from ...files import write_whole
from ...measure.localise import cell_weights
from ...measure.rankings import neuron_maps
from ...models import VQA, zoo
from ...paper import sweep_n
from ...scenes import Scene
from ...scenes.situations import SITUATIONS, situation
from .. import plots
from ..pixels import pale
from ..style import HEAT, OUTLINES, PAPER, Sheet
from .packing import pack, pack_maps

HERE = Path(__file__).parent
OURS = ("explorer.js", "explorer.css")
SIDE = 448  # pixels of the pictures
LIKELY = 3  # how many of a model's most probable answers are on offer, besides the true one
STILL_N = (None, 25)  # what the picture for readers without JavaScript shows


def situations() -> list[str]:
    """The paper's situations in which two things are asked about, so that there is something to compare."""
    return [name for name in SITUATIONS if len({ask.thing for ask in situation(name).asks}) > 1]


def write(folder: str | Path, scenes: Sequence[str] | None = None, models: Sequence[str] | None = None) -> Path:
    """Write everything that the explorer loads into ``folder``; the pages are expected beside it.

    Parameters
    ----------
    scenes : names of situations, all of :func:`situations` by default. models : names of shipped models, likewise all.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    scenes, models = list(scenes or situations()), list(models or sorted(zoo.names(), key=_natural_first))
    for name in OURS:
        shutil.copy(HERE / name, folder / name)
    _write_part(folder, "index", index(scenes, models))
    for name in scenes:
        _write_part(folder, name, scene_part(situation(name)))
    for name in models:
        vqa = zoo.load(name)
        for place in scenes:
            for part, data in model_parts(place, vqa):
                _write_part(folder, part, data)
    _still(scenes[0], models[0], folder / "still.webp")
    return folder


def _natural_first(name: str) -> tuple[bool, bool, str]:
    return name.startswith("pythia"), not name.endswith("/natural"), name


def _write_part(folder: Path, name: str, data: dict) -> None:
    text = f"qgcExplorer.part({json.dumps(name)}, {json.dumps(data, ensure_ascii=False, separators=(',', ':'))});\n"
    write_whole(folder / f"{name}.js", lambda path: path.write_text(text, encoding="utf-8"))


def index(scenes: Sequence[str], models: Sequence[str]) -> dict:
    """What can be chosen, and the book's colours: ``heat`` is the tint (256, 3) of a map's share of its maximum."""
    return {
        "scenes": {name: {"place": situation(name).place, "asks": len(situation(name).asks)} for name in scenes},
        "models": list(models),
        "heat": pack(HEAT),
        "paper": PAPER,
        "outlines": list(OUTLINES),
    }


# -- a scene --------------------------------------------------------------------------------------
def scene_part(scene: Scene) -> dict:
    """A situation without any model: pictures, questions, and where the asked things are.

    ``inside`` and ``anywhere`` are :func:`qgc.measure.localise.cell_weights`: a map's share on a thing is the ratio of
    its products with the two.
    """
    picture = scene.render(SIDE)
    things = {}
    for name in dict.fromkeys(ask.thing for ask in scene.asks):
        mask = scene.masks[name]
        inside, anywhere = cell_weights(mask, (14, 14))
        things[name] = {"outline": outline(mask), "area": round(float(mask.mean()), 5), "inside": pack(inside)}
    return {
        "about": f"a {scene.place} with {', '.join(scene.names[:-1])} and {scene.names[-1]}",
        "picture": webp(picture),
        "pale": webp(Image.fromarray(pale(picture)[..., 0])),
        "questions": [{"question": ask.question, "answer": ask.answer, "thing": ask.thing} for ask in scene.asks],
        "things": things,
        "anywhere": pack(anywhere),
        "paperN": sweep_n(scene.name) if len(sweep_n(scene.name)) > 1 else sweep_n("bathroom"),
    }


def webp(picture: Image.Image) -> str:
    """A picture as an address that holds it."""
    with io.BytesIO() as file:
        picture.save(file, "WEBP", quality=80, method=6)
        return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def outline(mask: np.ndarray) -> str:
    """The outline of a mask (H, W) as SVG path data on a square of :data:`SIDE` units, its stairs smoothed."""
    soft = np.pad(ndimage.gaussian_filter(mask.astype(float), 0.8), 1)  # the rim of zeros closes it at the border
    at = (
        np.arange(-0.5, mask.shape[1] + 1) * SIDE / mask.shape[1],
        np.arange(-0.5, mask.shape[0] + 1) * SIDE / mask.shape[0],
    )
    contours = Sheet().subplots().contour(*at, soft, [0.5])
    found = []
    for line in contours.allsegs[0]:
        points = np.clip(np.rint(line), 0, SIDE).astype(int)
        if len(points) > 3:
            found.append("M" + "L".join(f"{x} {y}" for x, y in points) + "Z")
    return "".join(found)


# -- a scene through a model ----------------------------------------------------------------------
def model_parts(name: str, vqa: VQA) -> Iterator[tuple[str, dict]]:
    """A situation as a model sees it: (name of the part, its data), the questions first, then the maps.

    ``u``, ``sensitivity`` and a row of ``c`` (= ∂y_a/∂A) are (J,); with g = c ∘ u they give every ranking here.
    """
    scene = situation(name)
    view = View(vqa, scene)
    asked = [explain(vqa, view, ask.question, ask.answer) for ask in scene.asks]
    own_part = f"{name}.{vqa.name.replace('/', '-')}"
    rows, maps, questions = Kept(), Kept(), []
    answers = offered(asked)
    for e in asked:
        at = {answer: rows.place(pack(explain(vqa, view, e.question, answer).c)) for answer in answers}
        chance = {answer: round(float(e.probabilities[vqa.answers.index(answer)]), 4) for answer in answers}
        P = maps.place(pack_maps(neuron_maps(e.M, e.F).double().cpu().numpy()))
        questions.append(
            {
                "u": pack(e.u),
                "sensitivity": pack(e.sensitivity),
                "c": at,
                "probability": chance,
                "said": e.predicted,
                "maps": f"{own_part}.maps-{P}",
            }
        )
    yield own_part, {"answers": answers, "questions": questions, "rows": rows.values}
    for i, packed in enumerate(maps.values):
        yield f"{own_part}.maps-{i}", packed


def offered(asked: Iterable[Explanation]) -> list[str]:
    """The answers worth explaining: the true ones, what the model says, and what it finds probable."""
    asked = list(asked)
    found = [e.answer for e in asked]
    for e in asked:
        found += [e.vqa.answers[int(i)] for i in torch.topk(e.probabilities, LIKELY).indices]
    return list(dict.fromkeys(found))


class Kept:
    """Values in the order in which they came, each once."""

    def __init__(self):
        self.values: list = []

    def place(self, value) -> int:
        """Where the value stands."""
        if value not in self.values:
            self.values.append(value)
        return self.values.index(value)


def _still(scene: str, model: str, path: Path) -> None:
    # What readers without JavaScript see.
    place = situation(scene)
    answers = [ask.answer for ask in place.asks[:2]]
    sheet = plots.pair(explain(zoo.load(model), place, place.questions[:2], answers), STILL_N, place)
    write_whole(path, lambda temporary: sheet.savefig(temporary, format="webp", dpi=110))
