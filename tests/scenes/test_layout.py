"""The two distributions: what depends on what, and that everything drawn can be drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from qgc.errors import SceneError
from qgc.lab.train.recipes import RECIPES
from qgc.scenes import COLOURS, DISTRIBUTIONS, FIRST_SEED, Scene, sample
from qgc.scenes.layout import MOST
from qgc.scenes.things import KINDS, PLACES
from qgc.scenes.vocabulary import ACTIVITIES, GAZES

COUNT = 1500


@pytest.fixture(scope="module", params=DISTRIBUTIONS)
def drawn(request) -> tuple[str, list[Scene]]:
    """Many scenes of a distribution, not rendered."""
    return request.param, [sample(i, request.param) for i in range(COUNT)]


def dependence(pairs: list[tuple[str, str]]) -> float:
    """The p-value of a chi-square test that the two of a pair are independent; rare values left out."""
    rows, columns = (sorted({p[i] for p in pairs}) for i in (0, 1))
    table = np.zeros((len(rows), len(columns)))
    for a, b in pairs:
        table[rows.index(a), columns.index(b)] += 1
    table = table[table.sum(1) >= 5 * len(columns)]
    return float(chi2_contingency(table[:, table.sum(0) > 0]).pvalue)


def coloured(scenes: list[Scene], key: Callable[[Scene, str], str]) -> list[tuple[str, str]]:
    """(key, colour) of every object and part that comes in all eleven colours."""
    free = {k for k, kind in KINDS.items() if kind.colours and len(kind.colours) == len(COLOURS)}
    free |= {"shirt", "top", "phone"}
    return [(key(s, n), c) for s in scenes for n, c in s.colours.items() if n in free]


@pytest.mark.parametrize("of", ["place", "kind"])
def test_colours_depend_on_place_and_kind_only_in_natural_scenes(drawn, of):
    distribution, scenes = drawn
    pairs = coloured(scenes, lambda scene, name: scene.place if of == "place" else name)
    p = dependence(pairs)
    print(f"\n{distribution}: colour against {of}, {len(pairs)} objects, p = {p:.2g}")
    assert p > 1e-3 if distribution == "balanced" else p < 1e-6


@pytest.mark.parametrize("what", ["activity", "gaze"])
def test_poses_depend_on_the_place_only_in_natural_scenes(drawn, what):
    distribution, scenes = drawn
    first = [(s.place, next((t.pose[what] for t in s.things if t.pose), None)) for s in scenes]
    p = dependence([pair for pair in first if pair[1]])  # one person a scene: two often look the same way
    print(f"\n{distribution}: {what} against place, p = {p:.2g}")
    if distribution == "balanced":
        assert p > 1e-3
    elif what == "activity":  # gaze is free of the place in both
        assert p < 1e-6


def test_places_and_kinds_depend_on_each_other_only_in_natural_scenes(drawn):
    distribution, scenes = drawn
    p = dependence([(name, s.place) for s in scenes for name in s.names])
    print(f"\n{distribution}: kind against place, p = {p:.2g}")
    assert p > 1e-3 if distribution == "balanced" else p < 1e-6


def test_the_colours_of_two_things_are_independent_in_balanced_scenes(drawn):
    distribution, scenes = drawn
    pairs = []
    for s in scenes:
        found = [c for n, c in s.colours.items() if n in KINDS and KINDS[n].colours == COLOURS]
        pairs += [(found[0], found[1])] if len(found) > 1 else []
    p = dependence(pairs)
    print(f"\n{distribution}: colours of two objects of a scene, {len(pairs)} pairs, p = {p:.2g}")
    assert p > 1e-3 or distribution == "natural"  # rooms have colour schemes, which few pairs show


def test_every_scene_is_well_formed(drawn):
    _, scenes = drawn
    kinds = set()
    for s in scenes:
        assert len(set(s.names)) == len(s.names) and sum(t.on is None for t in s.things) <= MOST
        assert all(c in COLOURS for c in s.colours.values())
        assert list(s.tones) == [PLACES[s.place].upper, PLACES[s.place].lower]
        for i, t in enumerate(s.things):
            assert t.on is None or t.on in s.names[:i]
            assert not t.pose or (t.pose["activity"] in ACTIVITIES and t.pose["gaze"] in GAZES)
        kinds |= set(s.names)
    assert kinds == set(KINDS) and {s.place for s in scenes} == set(PLACES)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_300_random_scenes_can_be_drawn(distribution):
    quiet = []
    for i in range(300):
        scene = sample(FIRST_SEED["validation"] + i, distribution)
        pixels = np.asarray(scene.image)
        quiet.append(pixels.std())
        assert pixels.shape == (224, 224, 3) and len(scene.things) >= 1
    print(f"\n{distribution}: least contrast {min(quiet):.1f} of 255")
    assert min(quiet) > 5


def test_the_splits_seeds_never_meet():
    order = sorted(FIRST_SEED, key=FIRST_SEED.get)
    assert order == ["train", "validation", "test", "course", "benchmark"]
    for recipe in RECIPES.values():
        ends = dict.fromkeys(order, 10_000_000) | {"train": recipe.scenes, "validation": recipe.validation}
        spans = [(FIRST_SEED[s], FIRST_SEED[s] + ends[s]) for s in order]
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    seen = [sample(first + i, d).to_json() for first in FIRST_SEED.values() for d in DISTRIBUTIONS for i in range(20)]
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("distribution", ["Natural", "", None, "uniform"])
def test_an_unknown_distribution_is_refused(distribution):
    with pytest.raises(SceneError, match="unknown distribution .*choose one of natural, balanced"):
        sample(0, distribution)
