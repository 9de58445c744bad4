"""What the benchmark asks: pairs of questions about frozen scenes, each with its controls.

The scenes have a split of their own, which no model, chapter or choice has seen. A case is a pair of color questions
with one answer about two objects that share no pixel (:func:`qgc.lab.protocol.grounding.chosen_pairs`). Three things
are asked of a method about it:

* the pair itself ("own");
* the same pair, asked about objects that are not in the image ("absent", :mod:`qgc.lab.experiments.absent`);
* the pair itself, asked about another image that holds both objects ("elsewhere",
  :mod:`qgc.lab.experiments.other_image`); the maps are scored on the masks of the first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from PIL import Image
from tqdm import tqdm

from ...errors import QGCError
from ...measure.similarity import Pair
from ...scenes import DISTRIBUTIONS, FIRST_SEED, Scene, sample
from ..experiments.absent import SIZES_OF, absent_questions, usual_sizes
from ..experiments.other_image import partner
from ..protocol.grounding import chosen_pairs

VERSION = 1
"""Raised whenever a scene, a question or a score of the benchmark changes; results of two versions do not compare."""

SCENES = 300
"""Scenes of each distribution."""

POOL = 300
"""Scenes of each distribution among which the other image of a case is looked for."""


@dataclass(frozen=True, eq=False)
class Case:
    """A pair of questions about one scene, and its controls.

    ``key`` names it ("natural-004-1"), ``scene`` counts from 0. ``masks`` (2, H, W) are the visible pixels of the two
    ``objects``; ``background`` says which of them are a half of the place, such as a wall. ``absent``: the questions
    about absent objects, None where there are none. ``other``, ``other_image``, ``other_masks``: the number, image and
    masks of the scene that the same questions are asked about as a control, None where no scene has both objects.
    """

    key: str
    scene: int
    image: Image.Image
    questions: tuple[str, str]
    answer: str
    objects: tuple[str, str]
    masks: np.ndarray
    background: tuple[bool, bool]
    absent: tuple[str, str] | None = None
    other: int | None = None
    other_image: Image.Image | None = None
    other_masks: np.ndarray | None = None

    @property
    def pictures(self) -> dict[int, Image.Image]:
        """The images that it needs, by their scene's number."""
        return {self.scene: self.image} | ({} if self.other is None else {self.other: self.other_image})


def read_cases(distribution: str, scenes: int = SCENES) -> list[Case]:
    """The frozen cases of the first ``scenes`` scenes of a distribution, in order, with a progress bar.

    Raises
    ------
    QGCError
        If there is no such distribution, or not so many scenes.
    """
    if distribution not in DISTRIBUTIONS:
        raise QGCError(f"the benchmark has no scenes {distribution!r}; choose one of {', '.join(DISTRIBUTIONS)}")
    if not 1 <= scenes <= SCENES:
        raise QGCError(f"the benchmark has {SCENES} scenes of each kind; ask for 1 to {SCENES} of them, not {scenes}")
    bar = tqdm(range(scenes), desc=f"drawing {distribution} scenes", leave=False, disable=None)
    return [case for index in bar for case in scene_cases(distribution, index)]


def scene_cases(distribution: str, index: int) -> list[Case]:
    """The cases of one scene, at most two."""
    scene = _scene(distribution, index)
    return [_case(distribution, index, number, scene, p) for number, p in enumerate(chosen_pairs(scene))]


def _case(distribution: str, index: int, number: int, scene: Scene, pair: Pair) -> Case:
    asks = (pair.first, pair.second)
    names = (asks[0].thing, asks[1].thing)
    rng = np.random.default_rng([scene.seed & 0x7FFFFFFF, 91, number])  # a case depends on no other
    absent = absent_questions(scene, pair, usual_sizes_of(distribution), rng)
    other = partner(lambda i: _scene(distribution, i), index, POOL, pair)
    return Case(
        f"{distribution}-{index:03d}-{number}",
        index,
        _picture(distribution, index),
        (asks[0].question, asks[1].question),
        pair.answer,
        names,
        np.stack([scene.masks[name] for name in names]),
        (names[0] in scene.tones, names[1] in scene.tones),
        (absent[0], absent[1]) if absent else None,
        *_elsewhere(distribution, other, names),
    )


def _elsewhere(distribution: str, other: Scene | None, names: tuple[str, str]) -> tuple:
    if other is None:
        return None, None, None
    index = other.seed - FIRST_SEED["benchmark"]
    return index, _picture(distribution, index), np.stack([other.masks[name] for name in names])


@lru_cache(128)
def _scene(distribution: str, index: int) -> Scene:
    return sample(FIRST_SEED["benchmark"] + index, distribution)


@lru_cache(128)
def _picture(distribution: str, index: int) -> Image.Image:
    return _scene(distribution, index).image  # one object, so that cases of one scene share its work


@cache
def usual_sizes_of(distribution: str) -> dict[str, tuple[float, str]]:
    """Of the objects of a distribution, from validation scenes (:func:`~qgc.lab.experiments.absent.usual_sizes`)."""
    return usual_sizes(sample(FIRST_SEED["validation"] + i, distribution) for i in range(SIZES_OF))


def case_digest(case: Case) -> str:
    """SHA-256 of all that a case asks: questions, answer, objects, pixels and masks."""
    total = hashlib.sha256()
    said = (VERSION, case.key, case.questions, case.answer, case.objects, case.background, case.absent, case.other)
    total.update(repr(said).encode())
    for image in case.pictures.values():
        total.update(image.tobytes())
    total.update(np.packbits(case.masks).tobytes())
    return total.hexdigest()


def digest(digests: Iterable[str]) -> str:
    """SHA-256 of a distribution, from those of its cases in order; a submission names it."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
