"""What the protocol asks for besides the maps: nulls, interventions, deletion and sanity checks, scene by scene.

Each experiment turns a test scene and a model into rows of plain data, in chunks like those of
:mod:`qgc.lab.protocol.run`, so that an interrupted measurement resumes; :func:`summarise` makes the book's tables.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from ...explain import EncodedImage, explain
from ...files import atomic_write
from ...measure import stats
from ...measure.similarity import Pair
from ...models import zoo
from ...scenes import FIRST_SEED, Scene, sample
from ..protocol import (  # fmt: skip
    ABSENT_MODEL_SCENES,
    ABSENT_SCENES,
    ABSENT_SEED_SCENES,
    CASCADE_SCENES,
    CASCADES,
    DELETION_SCENES,
    FAITHFULNESS_SCENES,
    INTERVENTION_SCENES,
    MISMATCHED_DRAWS,
    MISMATCHED_SCENES,
    NULL_SCENES,
    OTHER_IMAGE_SCENES,
    POOL_SCENES,
    PROTOCOL_MODELS,
    SANITY_DRAWS,
    SANITY_SCENES,
    SCENES,
    ProtocolModel,
    grounding,
    run,
)
from . import absent, faithfulness, interventions, nulls, other_image, sanity

CHUNK = 20
_MODULES = "absent compare effects faithfulness interventions nulls other_image overlap runner sanity".split()
CODE = (*run.CODE, "measure/similarity.py", *(f"lab/experiments/{name}.py" for name in _MODULES))
NULL_ARRAYS = ("l2", "sum")
"""Reductions whose nulls are kept scene by scene, for the book's figure and :func:`qgc.lab.protocol.summary.check`."""


# -- rows of one scene ----------------------------------------------------------------------------------------
@cache
def _question_pool(path: str, distribution: str, others: int) -> nulls.QuestionPool:
    vqa = run.subject(path)[0].vqa
    return nulls.question_pool(vqa, (sample(FIRST_SEED["validation"] + i, distribution) for i in range(others)))


@cache
def _cascades(path: str) -> list:
    return [sanity.cascade(run.subject(path)[0].vqa, seed) for seed in range(CASCADES)]


def null_rows(path: str, scene: Scene, pairs: Sequence[Pair], index: int, shared: dict) -> list[dict]:
    """One draw of every null of :mod:`qgc.lab.experiments.nulls` for the scene's first pair."""
    vqa = run.subject(path)[0].vqa
    question_pool = _question_pool(path, scene.distribution, POOL_SCENES)
    row = nulls.null_row(vqa, scene, question_pool, np.random.default_rng([index, 71]), pairs[0])
    return [{**row, "scene": index}] if row else []


def intervention_rows(path: str, scene: Scene, pairs: Sequence[Pair], index: int, shared: dict) -> list[dict]:
    """Every change of the scene, asked about and held against the maps (:mod:`qgc.lab.experiments.interventions`)."""
    if "changes" not in shared:  # the models of a distribution are shown the same changed images
        shared["changes"] = interventions.changes(scene, {p.answer for p in pairs})
    rows = interventions.intervention_rows(run.subject(path)[0].vqa, scene, pairs, shared["changes"])
    return [{**row, "scene": index} for row in rows]


def deletion_rows(path: str, scene: Scene, pairs: Sequence[Pair], index: int, shared: dict) -> list[dict]:
    """What is lost when the pixels that each map marks are blurred away (:func:`interventions.deletion`)."""
    vqa = run.subject(path)[0].vqa
    view, pair = EncodedImage(vqa, scene), pairs[0]
    first, second = explain(vqa, view, [pair.first.question, pair.second.question], pair.answer)
    maps = interventions.pair_maps(first, second)[0]
    rows = []
    for name, map_ in zip(interventions.map_names(), maps, strict=True):
        lost = interventions.deletion(first, map_, np.random.default_rng([index, 72]))
        rows.append({"scene": index, "map": name, **lost})
    return rows


def sanity_rows(path: str, scene: Scene, pairs: Sequence[Pair], index: int, shared: dict) -> list[dict]:
    """What is left of the maps under every control of :mod:`qgc.lab.experiments.sanity`, for the scene's first pair."""
    vqa = run.subject(path)[0].vqa
    cascades = _cascades(path) if index < CASCADE_SCENES else ()
    rng = np.random.default_rng([index, 73])
    rows = sanity.sanity_rows(
        vqa,
        scene,
        _question_pool(path, scene.distribution, 0),
        rng,
        cascades=cascades,
        pairs=pairs[:1],
        draws=SANITY_DRAWS,
    )
    return [{**row, "scene": index} for row in rows]


def mismatched_rows(path: str, scene: Scene, pairs: Sequence[Pair], index: int, shared: dict) -> list[dict]:
    """The control of mismatched questions once more, with fresh and more draws (book/protocol.md says why)."""
    vqa, rng = run.subject(path)[0].vqa, np.random.default_rng([index, 74])
    question_pool, only = _question_pool(path, scene.distribution, 0), ("none", "other questions")
    rows = sanity.sanity_rows(vqa, scene, question_pool, rng, pairs=pairs[:1], draws=MISMATCHED_DRAWS, controls=only)
    return [{**row, "scene": index} for row in rows]


def faithfulness_rows(path: str, scene: Scene, pairs: Sequence[Pair], index: int, shared: dict) -> list[dict]:
    """The model's own verdict and every map's, pair by pair (:mod:`qgc.lab.experiments.faithfulness`)."""
    subject, cnn = run.subject(path)
    if "alterations" not in shared:
        shared["alterations"] = faithfulness.alterations(scene, pairs)
    if cnn not in shared:
        shared[cnn] = faithfulness.maps_of(subject.vqa, scene, shared["alterations"])
    rows = faithfulness.faithfulness_rows(subject.vqa, scene, pairs, shared["alterations"], shared[cnn])
    return [{**row, "scene": index} for row in rows]


def other_image_rows(path: str, scene: Scene, pairs: Sequence[Pair], index: int, shared: dict) -> list[dict]:
    """Maps of the first pair's questions about another scene, on this one's masks (:mod:`.other_image`)."""
    if "partner" not in shared:
        scene_of = _test_scene(scene.distribution)
        shared["partner"] = other_image.partner(scene_of, index, SCENES["test"], pairs[0])
    if shared["partner"] is None:
        return []
    vqa, rng = run.subject(path)[0].vqa, np.random.default_rng([index, 75])
    rows = other_image.other_image_rows(vqa, scene, shared["partner"], pairs[0], rng, faithfulness.NS)
    return [{**row, "scene": index} for row in rows]


def absent_rows(path: str, scene: Scene, pairs: Sequence[Pair], index: int, shared: dict) -> list[dict]:
    """Maps, and the model itself, under questions about absent objects (:mod:`qgc.lab.experiments.absent`)."""
    subject, cnn = run.subject(path)
    if "absent" not in shared:  # all models are asked the same
        pairs = [p for p in pairs if all(interventions.visible(scene, a.thing) for a in (p.first, p.second))]
        rng, sizes = np.random.default_rng([index, 76]), _usual_sizes(scene.distribution)
        texts = [absent.absent_questions(scene, pair, sizes, rng) for pair in pairs]
        altered = faithfulness.alterations(scene, pairs) if index < ABSENT_MODEL_SCENES and any(texts) else []
        shared["absent"] = pairs, texts, altered
    pairs, texts, altered = shared["absent"]
    if not any(texts):
        return []
    if cnn not in shared:
        shared[cnn] = faithfulness.maps_of(subject.vqa, scene, altered)
    rows = absent.absent_rows(subject.vqa, scene, pairs, texts, shared[cnn], altered, faithfulness.NS)
    return [{**row, "scene": index} for row in rows]


@cache
def _usual_sizes(distribution: str) -> dict[str, tuple[float, str]]:
    first = FIRST_SEED["validation"]
    return absent.usual_sizes(sample(first + i, distribution) for i in range(absent.SIZES_OF))


@cache
def _test_scene(distribution: str) -> Callable[[int], Scene]:
    return lru_cache(SCENES["test"])(lambda i: sample(FIRST_SEED["test"] + i, distribution))


@dataclass(frozen=True)
class Experiment:
    """``rows(path, scene, pairs, index, shared)`` of one scene under one model; ``scenes`` says of how many.

    ``seed_scenes``: of how many under each training seed; none under 0.
    """

    rows: Callable[[str, Scene, Sequence[Pair], int, dict], list[dict]]
    scenes: dict[str, int]
    seed_scenes: int = 0

    def count(self, model: str) -> int:
        """Scenes that are measured under a model."""
        return self.scenes.get(model, self.seed_scenes)


EXPERIMENTS = {
    "nulls": Experiment(null_rows, NULL_SCENES),
    "interventions": Experiment(intervention_rows, INTERVENTION_SCENES),
    "deletion": Experiment(deletion_rows, DELETION_SCENES),
    "sanity": Experiment(sanity_rows, SANITY_SCENES),
    "foreign questions": Experiment(mismatched_rows, MISMATCHED_SCENES),
    "faithfulness": Experiment(faithfulness_rows, FAITHFULNESS_SCENES),
    "other image": Experiment(other_image_rows, OTHER_IMAGE_SCENES),
    "absent objects": Experiment(absent_rows, ABSENT_SCENES, ABSENT_SEED_SCENES),
}


# -- many scenes ----------------------------------------------------------------------------------------------
def _chunk(job: run.Job) -> Path:
    # job.split holds the experiment's name: all experiments read the test split
    found: dict[str, list[dict]] = {name: [] for name, _ in job.models}
    experiment = EXPERIMENTS[job.split]
    for index in range(job.first, job.first + job.count):
        scene, shared = sample(FIRST_SEED["test"] + index, job.distribution), {}
        pairs = grounding.chosen_pairs(scene)
        for name, path in job.models:
            if pairs and index < experiment.count(name):
                found[name] += experiment.rows(path, scene, pairs, index, shared)
    text = json.dumps(found, separators=(",", ":"), default=float)
    atomic_write(job.target, lambda p: p.write_text(text, encoding="utf-8"))
    return job.target


def measure(
    experiment: str, folder: Path, *, models: Sequence[ProtocolModel] = PROTOCOL_MODELS, scenes: int | None = None,
    workers: int = 2, device: str = "cpu", runs: Path = Path("runs"),
) -> list[Path]:  # fmt: skip
    """Do an experiment for its models, the training seeds of which are in ``runs``; returns its chunk files in order.

    Raises
    ------
    QGCError
        If a training seed that the experiment wants is missing; the message says which command trains it.
    """
    wanted = EXPERIMENTS[experiment]
    found = run.located([model for model in models if wanted.count(model.name)], runs)
    folder = folder / run.fingerprint(list(found.values()), CODE)
    jobs = []
    for distribution in dict.fromkeys(model.distribution for model in found):
        here = {model.name: path for model, path in found.items() if model.distribution == distribution}
        most = max(wanted.count(name) for name in here)
        count = min(scenes or most, most)
        for first in range(0, count, CHUNK):
            names = tuple(item for item in here.items() if first < wanted.count(item[0]))
            target = folder / f"{experiment.replace(' ', '-')}-{distribution}-{first:05d}.json"
            jobs.append(run.Job(experiment, distribution, first, min(CHUNK, count - first), names, target))
    return run.work(jobs, _chunk, experiment, workers, device)


def gather(paths: Sequence[Path], model: str) -> list[dict]:
    """All rows of one model, in the scenes' order."""
    return [row for path in paths for row in json.loads(path.read_text(encoding="utf-8")).get(model, [])]


# -- measuring a sample again -------------------------------------------------------------------------------
def digest(rows: Sequence[dict]) -> float:
    """One number for all rows of a scene: the sum of their numbers, each column with its own weight from 1 to 2."""
    total = 0.0
    for row in rows:
        for key, value in row.items():
            if key != "scene" and not isinstance(value, str) and value is not None and np.isfinite(value):
                total += float(value) * (1 + zlib.crc32(key.encode()) / 2**32)
    return total


def _digests(experiment: str, model: str, rows: Sequence[dict]) -> dict[str, np.ndarray]:
    by_scene: dict[int, list[dict]] = {}
    for row in rows:
        by_scene.setdefault(row["scene"], []).append(row)
    head = f"digest|{experiment}|{model}"
    values = np.array([digest(part) for part in by_scene.values()], np.float32)
    return {f"{head}|scene": np.array(list(by_scene), np.int16), f"{head}|value": values}


def check(arrays: dict[str, np.ndarray], scenes: int = 1, seed: int = 0) -> list[str]:
    """Measure a random sample of every experiment's scenes again; returns whose digest differs, in words."""
    faults, rng = [], np.random.default_rng(seed)
    for head in (key.removesuffix("|value") for key in arrays if key.startswith("digest|") and key.endswith("|value")):
        _, experiment, model = head.split("|")
        known, values = arrays[f"{head}|scene"], arrays[f"{head}|value"].astype(float)
        typical = np.median(np.abs(values))
        for at in rng.choice(len(known), min(scenes, len(known)), replace=False):
            index = int(known[at])
            scene = sample(FIRST_SEED["test"] + index, zoo.card(model)["distribution"])
            again = digest(EXPERIMENTS[experiment].rows(model, scene, grounding.chosen_pairs(scene), index, {}))
            if abs(again - values[at]) > 0.01 * (typical + abs(values[at])):
                faults.append(
                    f"{experiment}, {model}, scene {index}: the digest is {again:.4f}, stored is {values[at]:.4f}"
                )
    return faults


def _records(table: pd.DataFrame) -> list[dict]:
    return json.loads(table.to_json(orient="records", double_precision=5))


def _deletion_table(rows: Sequence[dict]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    return stats.intervals(frame, ["map"], [c for c in frame if "/" in c])


def summarise(
    chunks: dict[str, Sequence[Path]], printed: Sequence[float], models: Sequence[ProtocolModel] = PROTOCOL_MODELS
) -> tuple[dict, dict[str, np.ndarray]]:
    """Tables of every experiment and model, and the nulls scene by scene as arrays.

    Parameters
    ----------
    chunks : experiment → its files, from :func:`measure`. printed : the paper's values (``qgc.paper.SPEARMAN``).
    """
    made = {
        "nulls": lambda rows: nulls.summarise(rows, printed),
        "interventions": interventions.summarise,
        "deletion": lambda rows: {"lost": _deletion_table(rows)},
        "sanity": lambda rows: {"controls": sanity.summarise(rows)},
        "foreign questions": lambda rows: {"controls": sanity.summarise(rows)},
        "faithfulness": faithfulness.summarise,
        "other image": other_image.summarise,
        "absent objects": absent.summarise,
    }

    def tables_of(experiment: str, rows: list[dict]) -> dict:
        about = {"scenes": len({row["scene"] for row in rows}), "rows": len(rows)}
        return about | {name: _records(table) for name, table in made[experiment](rows).items()}

    tables: dict[str, dict] = {experiment: {} for experiment in chunks}
    arrays: dict[str, np.ndarray] = {}
    for model in (model.name for model in models if model.name in zoo.names()):
        rows = {experiment: gather(paths, model) for experiment, paths in chunks.items()}
        for experiment, found in rows.items():
            if found:
                arrays |= _digests(experiment, model, found)
                tables[experiment][model] = tables_of(experiment, found)
        # The book draws two reductions scene by scene; the others would double the file
        for row in rows.get("nulls", [])[:1]:
            for column in ["scene", *(c for c in row if c.endswith(NULL_ARRAYS) or c == "divided")]:
                values = np.array([r[column] for r in rows["nulls"]])
                arrays[f"nulls|{model}|{column}"] = values.astype(np.int16 if column == "scene" else np.float16)
    # Seeds are read together, as one model "natural": their spread is part of its interval
    seeds = [model.name for model in models if model.name not in zoo.names()]
    for experiment, paths in chunks.items():
        if found := [{**row, "seed": k} for k, name in enumerate(seeds) for row in gather(paths, name)]:
            tables[experiment]["natural"] = tables_of(experiment, found)
    return tables, arrays
