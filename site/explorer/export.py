"""What the explorer's page loads: scenes through the shipped models, as small script files.

A file registers itself, ``qgcExplorer.part(name, data)``, and is loaded through a <script> element, since ``fetch``
does not work on pages that are opened from a disk. Loaded at once is ``index.js``; the others when they are chosen:

SCENE.js
    The image, the outline of each queried object, how much of each cell's heat falls on it, and which part of each
    cell it covers.
SCENE.MODEL.js
    Of every question: u, ∂A/∂q, and ∂y_a/∂A of the answers on offer.
SCENE.MODEL.maps-I.js
    P, the map of every neuron alone: one for all questions in the Deeper LSTM, one for each in Pythia.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import count, islice
from pathlib import Path

import parts
import torch
from parts import GRID, SIDE, pack, webp
from parts.packing import pack_maps
from PIL import Image

from qgc.explain import EncodedImage, Explanation, explain
from qgc.explain.rankings import neuron_maps
from qgc.files import atomic_write
from qgc.measure import same_answer_pairs
from qgc.measure.pairs import cell_cover
from qgc.models import VQA, zoo
from qgc.paper import sweep_n
from qgc.scenes import FIRST_SEED, Scene, sample
from qgc.scenes.questions import Ask, asks
from qgc.scenes.situations import SITUATIONS
from qgc.show import plots
from qgc.show.pixels import pale

HERE = Path(__file__).parent
LIKELY = 2  # how many of a model's most probable answers are on offer, besides the true one
QUESTIONS = 3  # of a scene: each costs 200 kB, as its maps in Pythia depend on it
RANDOM = 2  # scenes that nobody drew for a purpose
STILL_N = (None, 25)  # what the image for readers without JavaScript shows


@cache
def scenes() -> dict[str, Scene]:
    """The paper's situations by name, then the first validation scenes in which two questions have one answer."""
    drawn = (sample(FIRST_SEED["validation"] + i, "natural") for i in count())
    paired = (scene for scene in drawn if same_answer_pairs([scene]))
    return SITUATIONS | {f"random-{i}": scene for i, scene in enumerate(islice(paired, RANDOM), 1)}


def questions(scene: Scene) -> list[Ask]:
    """Questions about as many different objects of a scene: the paper's first, then those whose answer is shared.

    Colors come before other questions, since most of the paper's are about colors.
    """
    further = [ask for ask in asks(scene) if ask.thing]
    shared = Counter(ask.answer for ask in further)
    found = {ask.thing: ask for ask in scene.fixed_asks}
    for ask in sorted(further, key=lambda ask: (ask.family != "colour", -shared[ask.answer])):
        found.setdefault(ask.thing, ask)
    return list(found.values())[:QUESTIONS]


def write(folder: str | Path, names: Sequence[str] | None = None, models: Sequence[str] | None = None) -> Path:
    """Write everything that the explorer loads into ``folder``; the pages are expected beside it.

    Parameters
    ----------
    names : of :func:`scenes`, all by default. models : names of shipped models, likewise all.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names, models = list(names or scenes()), list(models or sorted(zoo.names(), key=_natural_first))
    parts.copy_scripts(folder, [HERE / "explorer.js", HERE / "explorer.css"])
    _write_part(folder, "index", index(names, models))
    for name in names:
        _write_part(folder, name, scene_part(scenes()[name]))
    for model in models:
        vqa = zoo.load(model)
        for name in names:
            for part, data in model_parts(name, vqa):
                _write_part(folder, part, data)
    _still(names[0], models[0], folder / "still.webp")
    return folder


def _natural_first(name: str) -> tuple[bool, bool, str]:
    return name.startswith("pythia"), not name.endswith("/natural"), name


def _write_part(folder: Path, name: str, data: dict) -> None:
    parts.write_part(folder, "qgcExplorer", name, data)


def index(names: Sequence[str], models: Sequence[str]) -> dict:
    """What can be chosen, and the book's colors."""
    return {"scenes": {name: label(name) for name in names}, "models": list(models), **parts.colours()}


def label(name: str) -> str:
    """What a scene is called in the list: the place of a random one says more than its number."""
    return name if name in SITUATIONS else f"{name.replace('-', ' ')}: {scenes()[name].place}"


# -- a scene --------------------------------------------------------------------------------------
def scene_part(scene: Scene) -> dict:
    """A scene without any model: images, questions, and where the queried objects are."""
    image = scene.render(SIDE)
    asked = questions(scene)
    masks = {ask.thing: scene.masks[ask.thing] for ask in asked}
    swept = sweep_n(scene.name) if scene.name else []
    return {
        "about": parts.about(scene),
        "picture": webp(image),
        "pale": webp(Image.fromarray(pale(image)[..., 0])),
        "questions": [{"question": ask.question, "answer": ask.answer, "thing": ask.thing} for ask in asked],
        "things": {name: {**parts.region(mask), "cover": pack(cell_cover(mask, GRID))} for name, mask in masks.items()},
        "anywhere": parts.anywhere(next(iter(masks.values()))),
        "paperN": swept if len(swept) > 1 else sweep_n("bathroom"),
    }


# -- a scene through a model ----------------------------------------------------------------------
def model_parts(name: str, vqa: VQA) -> Iterator[tuple[str, dict]]:
    """A scene as a model sees it: (name of the part, its data), the questions first, then the maps.

    ``u``, ``sensitivity`` and a row of ``c`` (= ∂y_a/∂A) are (J,); with g = c ∘ u they give every ranking here.
    """
    scene = scenes()[name]
    view = EncodedImage(vqa, scene)
    asked = [explain(vqa, view, ask.question, ask.answer) for ask in questions(scene)]
    own_part = f"{name}.{vqa.name.replace('/', '-')}"
    rows, maps, written = Distinct(), Distinct(), []
    answers = offered(asked)
    for e in asked:
        at = {answer: rows.index(pack(explain(vqa, view, e.question, answer).c)) for answer in answers}
        probability = {answer: round(float(e.probabilities[vqa.answers.index(answer)]), 4) for answer in answers}
        P = maps.index(pack_maps(neuron_maps(e.M, e.F).double().cpu().numpy()))
        written.append(
            {
                "u": pack(e.u),
                "sensitivity": pack(e.sensitivity),
                "c": at,
                "probability": probability,
                "said": e.predicted,
                "maps": f"{own_part}.maps-{P}",
            }
        )
    yield own_part, {"answers": answers, "questions": written, "rows": rows.values}
    for i, packed in enumerate(maps.values):
        yield f"{own_part}.maps-{i}", packed


def offered(asked: Iterable[Explanation]) -> list[str]:
    """The answers worth explaining: the true ones, what the model says, and what it finds probable."""
    asked = list(asked)
    answers = [e.answer for e in asked]
    for e in asked:
        answers += [e.vqa.answers[int(i)] for i in torch.topk(e.probabilities, LIKELY).indices]
    return list(dict.fromkeys(answers))


class Distinct:
    """Values in the order in which they came, each once."""

    def __init__(self):
        self.values: list = []

    def index(self, value) -> int:
        """The value's number."""
        if value not in self.values:
            self.values.append(value)
        return self.values.index(value)


def _still(scene: str, model: str, path: Path) -> None:
    # What readers without JavaScript see.
    place = scenes()[scene]
    asked = questions(place)[:2]
    both = explain(zoo.load(model), place, [ask.question for ask in asked], [ask.answer for ask in asked])
    sheet = plots.pair(both, STILL_N, place)
    atomic_write(path, lambda temporary: sheet.savefig(temporary, format="webp", dpi=110))
