"""Forty scenes, bit for bit: the shipped weights and the book's numbers depend on every pixel and every question."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

import numpy as np

from qgc.scenes import Scene, render, sample
from qgc.scenes.questions import asks
from qgc.scenes.situations import SITUATIONS, situation
from qgc.scenes.things import KINDS, PLACES

# Written out, not taken from the package: the first seeds of training, validation and test must not move either.
FIRST_SEEDS = (0, 10_000_000, 20_000_000)
BEGIN = 334  # from here on five scenes of each hold every kind of object, together with the situations
GOLDEN = Path(__file__).with_name("golden.txt")
COLUMNS = ("description", "questions", "drawing", "image", "masks")
MADE_WITH = {"thorvg-python": "1.1.3", "resvg-py": "0.5.0", "numpy": "2.4.6"}
REMEDY = """
If `description` or `questions` differ, the draws did (layout.py, questions.py); if `drawing` does, the shapes did
(things/, svg.py). Every model that we ship was trained on the old ones: undo the change, or retrain all of them.
If only `image` or `masks` differ, the renderers did: ThorVG paints images, resvg masks. The table was made on Linux
and x86-64 with
  {made}; here are
  {here}.
Install those (requirements.lock). Where newer ones are wanted, or the machine is of another kind (single pixels and
last digits may round otherwise), measure the models' accuracy with `python -m qgc evaluate` first, and only then
replace tests/scenes/golden.txt by the lines above."""


def scenes() -> dict[str, Scene]:
    """The paper's ten situations, and five scenes of each distribution and split."""
    drawn = {
        f"{distribution}-{seed}": sample(seed, distribution)
        for distribution in ("natural", "balanced")
        for first in FIRST_SEEDS
        for seed in range(first + BEGIN, first + BEGIN + 5)
    }
    return {**{name: situation(name) for name in SITUATIONS}, **drawn}


def digest(*parts: object) -> str:
    """The first half of a SHA-256 over texts and arrays."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part if isinstance(part, bytes) else str(part).encode())
    return total.hexdigest()[:32]


def digests(scene: Scene) -> tuple[str, ...]:
    """One digest a column, from what the seed alone decides to what the renderers make of it."""
    flat = render.document(scene, ids={})
    rng = np.random.default_rng(0)
    asked = [
        [*ask, ask.family] for paraphrase in ("first", "train", "held-out") for ask in asks(scene, paraphrase, rng)
    ]
    masks = [part for name in sorted(scene.masks) for part in (name, np.packbits(scene.masks[name]).tobytes())]
    own = [[*ask, ask.family] for ask in scene.asks]
    return (
        digest(scene.to_json()),
        digest(own, asked),
        digest(scene.svg, flat),
        digest(np.asarray(scene.image).tobytes()),
        digest(*masks),
    )


def test_forty_scenes_are_the_same_to_the_last_bit():
    golden = {row[0]: tuple(row[1:]) for row in map(str.split, GOLDEN.read_text(encoding="utf-8").splitlines())}
    drawn = scenes()
    assert {kind for scene in drawn.values() for kind in scene.names} == set(KINDS)
    assert {scene.place for scene in drawn.values()} == set(PLACES)
    now = {name: digests(scene) for name, scene in drawn.items()}
    assert len(now) == 40 and list(now) == list(golden)
    wrong = [
        f"{name}: {', '.join(c for c, old, new in zip(COLUMNS, golden[name], row, strict=True) if old != new)}"
        for name, row in now.items()
        if row != golden[name]
    ]
    here = ", ".join(f"{package} {version(package)}" for package in MADE_WITH)
    made = ", ".join(f"{package} {number}" for package, number in MADE_WITH.items())
    if wrong:
        print("\n".join(" ".join([name, *row]) for name, row in now.items()))
    assert not wrong, "\n".join([*wrong, REMEDY.format(made=made, here=here)])
