"""Every number that the instructor's guide says, by name: computed by the package, none is typed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

import qgc
from qgc.explain import gates
from qgc.lab.experiments.overlap import overlap_by_chance
from qgc.measure import cosine, map_share, rank_grounding

RANDOM = 100


@cache
def _bathroom() -> tuple:
    """The scene, and the explanations of both questions by `natural`."""
    scene = qgc.scene("bathroom")
    return scene, *qgc.explain(qgc.load("deeper-lstm/natural"), scene, scene.questions, "white")


def _effect(maps: torch.Tensor) -> torch.Tensor:
    scene = _bathroom()[0]
    _, a_1, a_2 = rank_grounding(maps, [scene.masks["sink"], scene.masks["towels"]])
    return a_1 - a_2


def _times_the_area(thing: str) -> str:
    scene, *both = _bathroom()
    least = min(float(map_share(e.map(), scene.masks[thing])) for e in both)
    return f"{least / scene.masks[thing].mean():.1f}"


def _beaten() -> str:
    _, *both = _bathroom()
    ours = _effect(torch.stack([e.map(25, relu=False) for e in both]))
    keep = gates.random_gates([25], 1024, 2 * RANDOM)
    drawn = torch.stack([gates.maps(e, k, relu=False) for e, k in zip(both, (keep[::2], keep[1::2]), strict=True)], 1)
    return str(int((_effect(drawn) < ours).sum()))


FACTS: dict[str, Callable[[], str]] = {
    "cosine": lambda: f"{cosine(*(e.map() for e in _bathroom()[1:])):.2f}",
    "towels_answer": lambda: _bathroom()[2].predicted,
    "sink_times_area": lambda: _times_the_area("sink"),
    "towels_times_area": lambda: _times_the_area("towels"),
    "random_gates": lambda: str(RANDOM),
    "random_gates_beaten": _beaten,
    "ten_by_chance": lambda: f"{overlap_by_chance(1024, 10)[0]:.2f}",
    "hundred_by_chance": lambda: f"{overlap_by_chance(1024, 100)[0]:.1f}",
    "two_of_ten_p": lambda: f"{overlap_by_chance(1024, 10)[1][2]:.3f}",
}
"""Name → how it is computed. The guide and its templates write ``{{ name }}``."""


def facts() -> dict[str, str]:
    """All of :data:`FACTS`, computed."""
    return {name: compute() for name, compute in FACTS.items()}
