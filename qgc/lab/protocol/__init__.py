"""The protocol of the measurement, fixed before the test scenes were looked at (book/protocol.md says it in words)."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 2
"""Raised by hand whenever a change of the code changes what is measured; ``measure --check`` refuses other versions."""

SCENES = {"validation": 500, "test": 2000}
"""Scenes of each split, drawn from :data:`qgc.scenes.FIRST_SEED` on."""

PAIRS = 2
"""At most so many same-answer pairs of a scene, drawn by the scene's own seed; a scene counts once."""

DRAWS = 100
"""Random rankings that every gate is held against."""

GRID = (1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 75, 100, 150, 200, 250, 300, 400, 500, 600, 750, 900, 1024)
"""The n at which random gates, map mass, empty maps and all measures but the registered one are looked at; for that
one, rankings are looked at for every n."""

RANKED = (
    "∂A/∂q, l2",
    "∂A/∂q, abs-sum",
    "∂A/∂q, sum",
    "∂A/∂q, |sum|",
    "∂A/∂q, least first",
    "∂A/∂q of the other question",
    "∂u/∂q (no picture)",
    "∂A/∂w of the thing's word",
    "|g|",
    "g",
    "contribution g v",
    "|contribution|",
    "answer only |c|",
    "picture only |v|",
    "|g − g′|",
    "(g − g′) sign(g)",
    "1 − u² of no question",
    "∂A/∂q of no question",
)
"""Rankings that are measured, by their names in :data:`qgc.explain.RANKINGS`, in the order of the stored arrays. What
was measured is fixed by the protocol: a new ranking is none of it before it is named here, at the end, and measured."""

SEEDS = 5
"""Training seeds of the question and answer side of ``natural``; the CNN is one."""

REGISTERED_SHARE = 0.25
"""The part of a split that the seeds 1 to 4 saw when n was chosen as registered; the shipped model saw all of it."""


@dataclass(frozen=True)
class ProtocolModel:
    """A model that is measured, on scenes of one distribution; ``share`` of the split's scenes."""

    name: str
    distribution: str
    share: float = 1.0


PROTOCOL_MODELS = (
    ProtocolModel("deeper-lstm/natural", "natural"),
    *(ProtocolModel(f"natural-seed{k}", "natural") for k in range(SEEDS)),
    ProtocolModel("deeper-lstm/early", "natural", 0.5),
    ProtocolModel("deeper-lstm/balanced", "balanced", 0.5),
    ProtocolModel("pythia/natural", "natural", 0.5),
)
"""``natural-seedK`` is what ``python -m qgc train scenes natural --seed K --cnn deeper-lstm/natural`` leaves in runs/:
five training runs that see the same scenes, drawn by one renderer, through the shipped model's CNN. The shipped model
learnt from scenes of an earlier renderer; it is the one that the figures show, and stands for itself."""
ARMS = PROTOCOL_MODELS  # their old name

NAMES = ("deeper-lstm/natural", "deeper-lstm/early", "deeper-lstm/balanced", "pythia/natural")
"""The shipped models, to which the counts below belong in this order."""

NULL_SCENES = dict(zip(NAMES, (300, 300, 300, 100), strict=True))
"""Test scenes on which the nulls of Tables 5 and 6 are drawn, and :data:`POOL_SCENES` other images to draw from."""

POOL_SCENES = 200

INTERVENTION_SCENES = dict.fromkeys(NAMES, 200)
"""Test scenes that are drawn again with an object changed."""

DELETION_SCENES = dict(zip(NAMES, (60, 0, 60, 30), strict=True))
"""Test scenes of which pixels are blurred away as the maps rank them."""

SANITY_SCENES = dict(zip(NAMES, (1000, 500, 500, 100), strict=True))
"""Test scenes that are asked about with the question encoder, or the questions, replaced."""

SANITY_DRAWS = 4
"""Encoders, and pairs of other questions, that are drawn for a scene."""

MISMATCHED_SCENES = dict(zip(NAMES, (1000, 0, 0, 0), strict=True))
MISMATCHED_DRAWS = 16
"""Scenes, and pairs of other questions for each, when that control is repeated; added after the test split was read."""

CASCADE_SCENES, CASCADES = 100, 4
"""Test scenes that see the cascade of randomised layers, and how many cascades there are to draw from."""

FAITHFULNESS_SCENES = dict(zip(NAMES, (500, 500, 200, 500), strict=True))
"""Test scenes of which every object is altered several times; added after the test split was read."""

OTHER_IMAGE_SCENES = dict(zip(NAMES, (500, 500, 200, 500), strict=True))
"""Test scenes whose questions are asked about another scene that holds both objects; added after the test split was
read."""

ABSENT_SCENES = dict(zip(NAMES, (800, 400, 400, 400), strict=True))
ABSENT_SEED_SCENES, ABSENT_MODEL_SCENES = 800, 250
"""Test scenes whose questions are held against questions about absent objects, of the shipped models, of every
training seed of ``natural``, and with the model itself asked under alterations; added after the test split was read."""
