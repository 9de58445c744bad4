"""What the hidden tests ask about: a school's own scenes, which no model and no chapter has seen.

Only the autograder gets this file. `tools/course.py` writes the school's first seed into it; the right answers are
computed by the package when a test runs, so that nothing of them is stored anywhere.
"""

from copy import deepcopy
from functools import lru_cache

import numpy as np
import torch

import qgc
from qgc.explain import gates
from qgc.lab.experiments import reductions
from qgc.lab.protocol.grounding import chosen_pairs
from qgc.measure import cosine, rank_grounding
from qgc.paper import TOP10

SEED = 30_000_000
NATURAL = "deeper-lstm/natural"
NS = (10, 25, 75, 200, 400, 1024)


@lru_cache
def model(name=NATURAL):
    """A shipped model of the tests' own, whatever the notebook did to its one."""
    return qgc.load(name)


@lru_cache
def scene(number):
    """Scene ``number`` of the school, from the natural distribution."""
    return qgc.scenes.sample(SEED + number, "natural")


@lru_cache
def pairs(count):
    """The first same-answer pairs about objects that share no pixel, one a scene."""
    found, number = [], 0
    while len(found) < count:
        found += chosen_pairs(scene(number))[:1]
        number += 1
    return tuple(found)


@lru_cache
def explained(pair, name=NATURAL):
    """The two explanations of a pair of :func:`pairs`, counted from 0."""
    p = pairs(pair + 1)[pair]
    return tuple(qgc.explain(model(name), p.scene, [p.first.question, p.second.question], p.answer))


def maps(pair):
    """Both maps (2, h, w) of a pair, before the ReLU."""
    return torch.stack([e.map(relu=False) for e in explained(pair)])


def masks(pair):
    """The masks of a pair's two objects."""
    p = pairs(pair + 1)[pair]
    return [p.scene.masks[ask.thing] for ask in (p.first, p.second)]


@lru_cache
def clues(count=4):
    """Which of the two clues of Tables 1–4 rule out a candidate for the printed ∂A/∂q, by the school's scenes."""
    scenes = [scene(number) for number in range(count)]
    drawn = [reductions.compute_candidates(model(f"deeper-lstm/{name}"), scenes) for name in ("natural", "early")]
    by_question = {}
    for column in (c for table in TOP10.values() for c in table.columns):
        by_question.setdefault(column.question, []).append(max(column.values))
    printed = np.array([np.mean(values) for values in by_question.values()])
    found = {}
    for name in ("l2", "sum", "abs-sum", "largest entry", "tanh only", "of ΣA"):
        largest = [d.top(name).values[:, 0].numpy() * reductions.to_paper_size(name, 512) for d in drawn]
        found[name] = _size_clue(largest, printed)
        if name == "sum":
            found["mean"] = _size_clue([values / reductions.Q_PAPER for values in largest], printed)
    return found | {"of ΣA": found["of ΣA"] | {"constant"}}  # an entry mixes all v_j, which differ between images


def _size_clue(largest, printed):
    low, high = reductions.spanned(largest)
    return set() if ((printed > low / 4) & (printed < high * 4)).mean() >= 0.5 else {"size"}


def effects(two, pair):
    """a_1 − a_2 of maps (..., 2, h, w) of a pair."""
    _, a_1, a_2 = rank_grounding(two, masks(pair))
    return a_1 - a_2


@lru_cache
def gate_and_random(pair, draws=99):
    """The effect of the paper's gate of 25 neurons on a pair, and those of random gates of as many."""
    first, second = explained(pair)
    keep = gates.random_gates([25], 1024, 2 * draws, rng=SEED)
    random = torch.stack([gates.maps(first, keep[::2], relu=False), gates.maps(second, keep[1::2], relu=False)], 1)
    ours = torch.stack([e.map(25, relu=False) for e in (first, second)])
    return float(effects(ours, pair)), effects(random, pair).tolist()


@lru_cache
def gate_effects(pair):
    """The effects (len(NS),) of the paper's gate on a pair, at each n."""
    return effects(torch.stack([e.maps(NS, relu=False) for e in explained(pair)], 1), pair)


@lru_cache
def curves(count=3):
    """Values of n, and the rank grounding accuracy of the paper's gate at each, on two sets of pairs."""
    right = torch.stack([gate_effects(pair) > 1e-9 for pair in range(2 * count)]).double()
    return list(NS), *right.view(2, count, -1).mean(1).tolist()


@lru_cache
def shuffled_effects(pair, seed):
    """The effects (len(NS),) of a pair with random rankings, from the generator of ``seed``."""
    rng = np.random.default_rng(seed)
    ranks = [gates.ranking(torch.tensor(rng.permutation(1024))) for _ in range(2)]
    gated = [gates.maps(e, gates.top(r, NS), relu=False) for e, r in zip(explained(pair), ranks, strict=True)]
    return effects(torch.stack(gated, 1), pair)


@lru_cache
def accuracies(count):
    """The mean verdict of four methods on the first pairs, by the package."""
    keep = gates.random_rankings(1024)[0][:25]
    found = {"Grad-CAM": [], "gate 25": [], "random 25": [], "contrast": []}
    for k in range(count):
        first, second = explained(k)
        maps = {
            "Grad-CAM": [e.map(relu=False) for e in (first, second)],
            "gate 25": [e.map(25, relu=False) for e in (first, second)],
            "random 25": [e.map(neurons=keep, relu=False) for e in (first, second)],
            "contrast": [qgc.explain.contrast(a, b, "l1") for a, b in ((first, second), (second, first))],
        }
        for name, two in maps.items():
            found[name].append(float(rank_grounding(torch.stack(two), masks(k)).verdict))
    return {name: float(np.mean(verdicts)) for name, verdicts in found.items()}


@lru_cache
def recoloured(name):
    """(scene, object, color, question, answer) and Δ of the score, five times.

    Both objects for both questions of the first pair; then the first object back to its own color: the sign turns.
    """
    p = pairs(1)[0]
    colour = next(c for c in ("green", "purple") if c != p.answer)
    found = []
    for ask in (p.first, p.second):
        for thing in (p.first.thing, p.second.thing):
            changed = p.scene.recolour(thing, colour)
            before, after = (qgc.explain(model(name), s, ask.question, p.answer) for s in (p.scene, changed))
            a = before.vqa.answers.index(p.answer)
            found.append(((p.scene, thing, colour, ask.question, p.answer), float(before.y[a] - after.y[a])))
    (scene, thing, colour, *asked), delta = found[0]
    return *found, ((scene.recolour(thing, colour), thing, p.answer, *asked), -delta)


@lru_cache
def guided_cosines():
    """The cosine of guided backpropagation with one layer's weights permuted, for the last and the first layer."""
    p, found = pairs(1)[0], {}
    before = qgc.explain.guided_backprop(explained(0)[0])
    for layer in ("output", "cnn.features.0"):
        other = deepcopy(model())
        weight = other.get_submodule(layer).weight.data
        order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(0))
        weight.copy_(weight.flatten()[order].view_as(weight))
        after = qgc.explain.guided_backprop(qgc.explain(other, p.scene, p.first.question, p.answer))
        found[layer] = cosine(before, after)
    return found
