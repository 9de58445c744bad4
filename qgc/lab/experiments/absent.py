"""The control of absent objects: how well do maps follow questions that nothing in the image can answer?

Rank grounding gives one half to two maps of one order of cells. Maps that ignore where the queried object is need not
be of one order: a question about a wall may make a map broad, or turn its sign, and one about a sink may not, so that
the *kind* of what is asked decides the verdict. In this control each question of a pair asks, in its own template,
about an object that is not in the image: one of the :data:`NEAREST` known objects nearest in usual size, the upper half
of another place (a sky for a wall) for an upper half, the lower (a floor, grass) for a lower. The answer explained and
both masks stay. What the maps of such questions score is not about this image's objects. The reverse does not hold: an
absent object has another usual place, so a map that only knows where its object usually is scores above this null
(:func:`usual_place_verdicts`); maps of another image (:mod:`qgc.lab.experiments.other_image`) show that.

The same is done to the model itself: its verdict from the alterations of the pair's objects
(:mod:`qgc.lab.experiments.faithfulness`), with the absent objects' questions asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ...explain import EncodedImage, explain
from ...measure.pairs import cell_cover, rank_grounding
from ...measure.similarity import Pair
from ...scenes import Scene
from ...scenes.questions import near, word
from ...scenes.things import PLACES
from ..protocol.crossed import crossed_interval
from ..protocol.grounding import chosen_pairs
from .faithfulness import Alteration, pair_effects, pair_maps
from .nulls import template_of

NEAREST = 4
SIZES_OF = 200  # validation scenes from which the usual sizes are taken
OWN, ABSENT = "own", "absent"
MODEL = "the model itself"
SUBSETS = ("all", "without backgrounds", "with a background")


def usual_sizes(scenes: Iterable[Scene]) -> dict[str, tuple[float, str]]:
    """Of every object that color questions ask about: its mean visible area (a part of the image), and its sort:
    "upper" or "lower" half of a place, or "object".
    """
    areas, sort = defaultdict(list), {}
    for scene in scenes:
        place = PLACES[scene.place]
        for ask in scene.asks:
            if ask.family == "colour" and ask.thing in scene.masks:
                areas[ask.thing].append(float(scene.masks[ask.thing].mean()))
                sort[ask.thing] = {place.upper: "upper", place.lower: "lower"}.get(ask.thing, "object")
    return {name: (float(np.mean(found)), sort[name]) for name, found in areas.items()}


def absent_objects(
    scene: Scene, pair: Pair, sizes: dict[str, tuple[float, str]], rng: np.random.Generator
) -> list[str] | None:
    """Two objects that are not in the image, of the sorts and near the usual sizes of the pair's; None without any.

    An object that people would say is there (trees where a bush is) is not absent.
    """
    here, names = {*scene.names, *scene.masks, *scene.colours}, []
    for ask in (pair.first, pair.second):
        if ask.thing not in sizes:
            return None
        size, sort = sizes[ask.thing]
        able = [n for n, (_, s) in sizes.items() if s == sort and n not in here and not near(n, scene.names)]
        able = sorted(able, key=lambda name: abs(np.log(sizes[name][0] / size)))[:NEAREST]
        if not able:
            return None
        names.append(able[rng.integers(len(able))])
        here.add(names[-1])
    return names


def absent_questions(
    scene: Scene, pair: Pair, sizes: dict[str, tuple[float, str]], rng: np.random.Generator
) -> list[str] | None:
    """The pair's two questions, asked about :func:`absent_objects`; None if a question has no known template either."""
    templates = [template_of(ask) for ask in (pair.first, pair.second)]
    if any(template is None or "{the}" not in template for template in templates):
        return None
    names = absent_objects(scene, pair, sizes, rng)
    return names and [word(template, name) for template, name in zip(templates, names, strict=True)]


def usual_place_verdicts(
    scenes: Sequence[Scene], known: Sequence[Scene], grid: tuple[int, int] = (14, 14), seed: int = 0
) -> pd.DataFrame:
    """What a map of the queried object's usual place has under this control, without a look at the image.

    The map of a question is the mean cover of its object over the scenes of ``known`` that have it. A row for each pair
    of ``scenes``: "own" and "absent", the rank verdicts, and "background". Such a map is *above* its null, since an
    absent object has another usual place: what is above this null need not be sight.
    """
    sizes, covers, rng = usual_sizes(known), defaultdict(list), np.random.default_rng(seed)
    for scene in known:
        for name in sizes.keys() & scene.masks.keys():
            covers[name].append(cell_cover(scene.masks[name], grid).view(grid))
    places = {name: torch.stack(found).mean(0) for name, found in covers.items()}
    rows = []
    for scene in scenes:
        for pair in chosen_pairs(scene):
            names = [ask.thing for ask in (pair.first, pair.second)]
            if others := absent_objects(scene, pair, sizes, rng):
                masks = np.stack([scene.masks[name] for name in names])
                maps = torch.stack([torch.stack([places[name] for name in asked]) for asked in (names, others)])
                own, absent = rank_grounding(maps, masks).verdict.tolist()
                background = any(name in scene.tones for name in names)
                rows.append({"own": own, "absent": absent, "background": background})
    return pd.DataFrame(rows)


@torch.no_grad()
def absent_rows(
    vqa,
    scene: Scene,
    pairs: Sequence[Pair],
    texts: Sequence[list[str] | None],
    F: Tensor,
    altered: Sequence[Alteration],
    ns: Sequence[int],
) -> list[dict[str, float]]:
    """A flat dict for each pair that has ``texts`` (:func:`absent_questions`).

    ``scene``, ``pair``, ``ratio`` (of the larger object's area to the smaller one's), ``background`` (1 if one of the
    objects is a half of the place); for every map of :func:`~.faithfulness.pair_maps`, at the n of ``ns``, ``NAME/own``
    and ``NAME/absent``, the rank verdicts; and for :data:`MODEL` the verdict, "sure" and effect size likewise.

    Parameters
    ----------
    F : (1 + alterations, K, h, w), of the scene and of ``altered``; with no alterations the model itself is not asked.
    """
    rows = []
    for number, (pair, other) in enumerate(zip(pairs, texts, strict=True)):
        if other is None:
            continue
        names = [ask.thing for ask in (pair.first, pair.second)]
        masks = np.stack([scene.masks[name] for name in names])
        areas = sorted(int(mask.sum()) for mask in masks)
        row = {"scene": scene.seed, "pair": number, "ratio": areas[1] / areas[0]}
        row["background"] = int(any(name in scene.tones for name in names))
        view = EncodedImage(vqa, scene, F[:1])
        for which, asked in ((OWN, [pair.first.question, pair.second.question]), (ABSENT, other)):
            both = explain(vqa, view, asked, pair.answer)
            rng = np.random.default_rng([scene.seed & 0x7FFFFFFF, 84, number])  # the same random gates for both
            for name, maps in pair_maps(*both, rng, ns).items():
                row[f"{name}/{which}"] = float(rank_grounding(maps, masks).verdict)
            if len(altered):
                # The same alterations for own and absent questions: only what is asked differs
                effects = pair_effects(vqa, F, both, altered, tuple(names))
                row |= {f"{MODEL}/{which}": effects.verdict, f"sure/{which}": int(effects.sure)}
                row[f"effect size/{which}"] = effects.size
        rows.append(row)
    return rows


# -- many scenes ------------------------------------------------------------------------------------------
def summarise(rows: Iterable[dict]) -> dict[str, pd.DataFrame]:
    """``"absent objects"``: for each map and for :data:`MODEL`, by ``pairs`` of :data:`SUBSETS`, with 95 % intervals
    over training seeds (where the rows have a ``seed``) and scenes: ``own``, ``absent``, ``above`` (their difference,
    pair by pair), ``above minus Grad-CAM's`` and, of gates, ``above minus random gates'``. The model's verdict is also
    given over the pairs that are sure under questions of either kind ("sure"), and as an effect size.
    """
    frame = pd.DataFrame(list(rows))
    if "seed" not in frame:
        frame = frame.assign(seed=0)
    names = [c.removesuffix(f"/{OWN}") for c in frame if c.endswith(f"/{OWN}") and not c.startswith("sure")]
    found = []
    for subset in SUBSETS:
        part = frame if subset == "all" else frame[frame["background"] == int(subset == "with a background")]
        columns: dict[tuple[str, str], pd.Series] = {}
        for name in names:
            columns[name, OWN], columns[name, ABSENT] = part[f"{name}/{OWN}"], part[f"{name}/{ABSENT}"]
            columns[name, "above"] = columns[name, OWN] - columns[name, ABSENT]
        above = {name: column for (name, measure), column in columns.items() if measure == "above"}
        for name in (n for n in above if n not in ("Grad-CAM", MODEL, "effect size")):
            columns[name, "above minus Grad-CAM's"] = above[name] - above["Grad-CAM"]
            if f"random {name}" in above:
                columns[name, "above minus random gates'"] = above[name] - above[f"random {name}"]
        if MODEL in names:
            for which in (OWN, ABSENT):
                columns[f"{MODEL}, sure", which] = part[f"{MODEL}/{which}"].where(part[f"sure/{which}"] == 1)
        wide = pd.DataFrame(columns).groupby([part["seed"], part["scene"]]).mean()
        cells = [wide[column].unstack("seed").dropna(how="all") for column in columns]
        for (name, measure), table in zip(columns, cells, strict=True):
            if table.empty:
                continue
            bounds = (0, 1) if measure in (OWN, ABSENT) and name != "effect size" else None
            interval = crossed_interval(table.to_numpy(float).T, bounds=bounds)
            ends = {"estimate": interval.estimate, "low": interval.low, "high": interval.high}
            found.append({"map": name, "measure": measure, "pairs": subset, **ends, "scenes": len(table)})
    return {"absent objects": pd.DataFrame(found)}
