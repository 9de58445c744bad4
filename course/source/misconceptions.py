"""Wrong answers that people really give, by question: what they believe → the functions that they write.

Each must lose points, and in every question one of them passes all tests that a student sees: hidden tests earn their
place. The quiz and the instructor's guide take their words from here.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import hypergeom

import qgc
from qgc.measure import cosine, rank_grounding

Functions = dict[str, Callable | dict | str]


def _map(weights, F):
    return torch.einsum("k,kij->ij", weights, F[0])


def _bathroom():
    scene = qgc.scene("bathroom")
    return qgc.explain(qgc.load("deeper-lstm/natural"), scene, scene.questions[0], "white")


# -- 3 and 4: shares and verdicts -------------------------------------------------------------------------
def _share(L, mask, empty=0.0, area=False, **enlarging):
    large = torch.nn.functional.interpolate(L[None, None], mask.shape, **enlarging)[0, 0]
    total = float(large.sum())
    if total == 0:
        return empty
    inside = float(large[torch.tensor(mask)].sum()) / total
    return inside / float(mask.mean()) if area else inside


def _object_test(R, tie=0.5):
    gains = (R[0][0] - R[1][0], R[1][1] - R[0][1])
    return sum(tie if abs(gain) <= 1e-9 else float(gain > 0) for gain in gains) / 2


def _sums(R):
    own, other = R[0][0] + R[1][1], R[0][1] + R[1][0]
    return 0.5 if abs(own - other) <= 1e-9 else float(own > other)


def _mean_on(maps, S):
    on = [[float((L * s).sum() / s.sum()) for s in S] for L in maps]
    return _sums(on)


# -- 7 and 8: gate and overlap
def _gated_forwards(e, keep):
    gate = torch.zeros_like(e.A)
    gate[keep] = 1
    A = (e.A * gate).detach().requires_grad_()
    (c,) = torch.autograd.grad(e.vqa.classify(A[None])[0, e.vqa.answers.index(e.answer)], A)
    return _map((c * e.u * gate) @ e.M, e.F).relu()


def _exactly(shared, k, J):
    return float(hypergeom(J, k, k).pmf(shared))


# -- 9 to 13: chance and controls ---------------------------------------------------------------------------
def _p(ours, drawn, two_sided=False, beats=np.greater_equal, leave_out=False, sides=np.abs):
    drawn = np.asarray(drawn, float)
    drawn = drawn[np.isfinite(drawn)] if leave_out else np.nan_to_num(drawn)
    if two_sided:
        ours, drawn = sides(ours), sides(drawn)
    return float((1 + beats(drawn, ours).sum()) / (1 + len(drawn)))


def _random_effects(vqa, pair, ns, rank):
    asks = (pair.first, pair.second)
    both = [qgc.explain(vqa, pair.scene, ask.question, pair.answer, rank=rank()) for ask in asks]
    maps = [e.maps(ns, relu=False) for e in both]
    _, a_1, a_2 = rank_grounding(torch.stack(maps, 1), [pair.scene.masks[a.thing] for a in asks])
    return a_1 - a_2


def _l1(map_):
    return map_ / map_.abs().sum() if map_.abs().sum() > 0 else map_


def _resample_pairs(values, scenes):
    values = np.asarray(values, float)
    means = values[np.random.default_rng(0).integers(len(values), size=(2000, len(values)))].mean(1)
    return tuple(np.quantile(means, [0.025, 0.975]))


def _intervals_overlap(a, b, scenes):
    (a_low, a_high), (b_low, b_high) = _resample_pairs(a, scenes), _resample_pairs(b, scenes)
    return a_low > b_high or b_low > a_high


# -- 14 and 15: cause -----------------------------------------------------------------------------------------
def _scores(vqa, scene, thing, colour, question, answer):
    before, after = (qgc.explain(vqa, s, question, answer) for s in (scene, scene.recolour(thing, colour)))
    return before, after, vqa.answers.index(answer)


def _probability_lost(*arguments):
    before, after, a = _scores(*arguments)
    return float(before.probabilities[a] - after.probabilities[a])


def _new_answer(vqa, scene, thing, colour, question, answer):
    before, after, _ = _scores(vqa, scene, thing, colour, question, answer)
    new = vqa.answers.index(colour)
    return float(after.y[new] - before.y[new])


def _size_only(*arguments):
    before, after, a = _scores(*arguments)
    return abs(float(before.y[a] - after.y[a]))


def _mass_on_it(vqa, scene, thing, colour, question, answer):
    return float(qgc.measure.map_share(qgc.explain(vqa, scene, question, answer).map(), scene.masks[thing]))


def _cosines_of_maps(vqa, scene, question, answer, layers):
    first, second = (qgc.explain(vqa, scene, question, answer).map() for _ in range(2))
    return dict.fromkeys(layers, cosine(first, second))


MISCONCEPTIONS: dict[str, dict[str, Functions]] = {
    "q1_gradcam": {
        "the ReLU acts on the weights": {"gradcam_map": lambda g, M, F: _map((g @ M).relu(), F)},
        "no ReLU is needed": {"gradcam_map": lambda g, M, F: _map(g @ M, F)},
        "the size of the gradient counts, not its sign": {"gradcam_map": lambda g, M, F: _map(g.abs() @ M, F).relu()},
        "a map runs from 0 to 1": {"gradcam_map": lambda g, M, F: (lambda m: m / m.max())(_map(g @ M, F).relu())},
        "the answer is the bathroom's map": {"gradcam_map": lambda g, M, F: _bathroom().map()},
    },
    "q2_swap": {
        "another question must give another map": {"predicted_cosine": lambda c: 0.0 if c != 1 else 1.0},
        "a factor never turns a map round": {"predicted_cosine": lambda c: 1.0},
        "g already has the old question in it": {"swap_question": lambda e, u: _map((e.g * u) @ e.M, e.F)},
        "only the strength of u counts": {"swap_question": lambda e, u: u.norm() / e.u.norm() * e.map(relu=False)},
    },
    "q3_share": {
        "any enlargement will do": {"share": lambda L, mask: _share(L, mask, mode="nearest")},
        "corners are aligned": {"share": lambda L, mask: _share(L, mask, mode="bilinear", align_corners=True)},
        "the share is divided by the area": {"share": lambda L, mask: _share(L, mask, area=True, mode="bilinear")},
        "an empty map has no number": {"share": lambda L, mask: _share(L, mask, float("nan"), mode="bilinear")},
    },
    "q4_tests": {
        "shares may be added (the larger object decides)": {"object_test": _sums},
        "a tie counts as right": {"object_test": lambda R: _object_test(R, tie=1.0)},
        "each map is judged alone": {
            "object_test": lambda R: (float(R[0][0] > R[0][1]) + float(R[1][1] > R[1][0])) / 2
        },
        "an empty map lost": {"object_test": _object_test},
        "strength is rank": {"rank_test": _mean_on},
        "a stronger map fools it": {"fool": lambda L, masks: torch.stack([2 * L, L])},
    },
    "q5_sensitivity": {
        "tanh has no derivative to speak of": {"sensitivity": lambda v, u, Wq: v.abs() * Wq.norm(dim=1)},
        "the derivative of tanh is 1 − |u|": {"sensitivity": lambda v, u, Wq: v.abs() * (1 - u.abs()) * Wq.norm(dim=1)},
        "the sign of v stays": {"sensitivity": lambda v, u, Wq: v * (1 - u**2) * Wq.norm(dim=1)},
        "active neurons are sensitive": {"sensitivity": lambda v, u, Wq: (v * u).abs() * Wq.norm(dim=1)},
        "the row is summed": {"sensitivity": lambda v, u, Wq: (v * (1 - u**2)).abs() * Wq.sum(1).abs()},
    },
    "q6_reduction": {
        "same ranking, same formula": {
            "excluded_by": {
                **dict.fromkeys(("l2", "sum", "mean"), "nothing"),
                **dict.fromkeys(("abs-sum", "largest entry", "tanh only"), "size"),
                "of ΣA": "constant",
            }
        },
        "what looks alike cannot be told apart": {
            "excluded_by": dict.fromkeys(
                ("l2", "sum", "abs-sum", "largest entry", "tanh only", "of ΣA", "mean"), "nothing"
            )
        },
        "in all columns is enough": {"constant_in_all": lambda columns: set.intersection(*(set(c) for c in columns))},
    },
    "q7_gated": {
        "maps are added after the ReLU": {
            "gated": lambda e, keep: sum(_map(e.g[j] * e.M[j], e.F).relu() for j in keep),
        },
        "the gate acts on the forward pass": {"gated": _gated_forwards},
        "the gate keeps the map's strength": {
            "gated": lambda e, keep: _map(e.g[keep] @ e.M[keep], e.F).relu() * (len(e.g) / len(keep)),
        },
        "the first n neurons are kept": {
            "gated": lambda e, keep: _map(e.g[: len(keep)] @ e.M[: len(keep)], e.F).relu()
        },
    },
    "q8_overlap": {
        "by chance two lists share nothing": {"p_overlap": lambda shared, k, J: float(shared == 0)},
        "two of ten is a fifth": {"p_overlap": lambda shared, k, J: shared / k},
        "each of ten has one chance in a hundred": {"expected_overlap": lambda k, J: 10 * 10 / J},
        "exactly so many, in place of at least": {
            "p_overlap": _exactly,
        },
    },
    "q9_p_value": {
        "p may be zero": {"p_value": lambda ours, drawn, two_sided=False: float(np.mean(np.asarray(drawn) >= ours))},
        "a tie counts for us": {"p_value": lambda *a, **k: _p(*a, beats=np.greater, **k)},
        "empty maps are left out": {"p_value": lambda *a, **k: _p(*a, leave_out=True, **k)},
        "two-sided is the same": {"p_value": lambda *a, **k: _p(*a, sides=np.asarray, **k)},
        "one draw is a control": {"p_value": lambda ours, drawn, two_sided=False: 1 / 101 if ours > drawn[0] else 1.0},
    },
    "q10_honest": {
        "the best n on the test scenes": {"honest": lambda ns, v, t: (ns[int(np.argmax(t))], float(np.max(t)), 0.0)},
        "the accuracy with which it was chosen": {
            "honest": lambda ns, v, t: (ns[int(np.argmax(v))], float(np.max(v)), float(np.max(t) - np.max(v))),
        },
        "both curves are averaged first": {
            "honest": lambda ns, v, t: (lambda i: (ns[i], float(t[i]), float(np.max(t) - t[i])))(
                int(np.argmax(np.add(v, t)))
            ),
        },
    },
    "q11_some_n": {
        "we found an n that works": {
            "some_n_is_right": lambda effects: float((np.asarray(effects) > 1e-9).mean(axis=0).max()),
        },
        "only a ranking by sensitivity finds one": {
            "random_effects": lambda vqa, pair, ns, rng: _random_effects(vqa, pair, ns, lambda: "sensitivity"),
        },
        "both questions may share a shuffle": {
            "random_effects": lambda vqa, pair, ns, rng: (lambda one: _random_effects(vqa, pair, ns, lambda: one))(
                torch.tensor(rng.permutation(1024))
            ),
        },
    },
    "q12_contrast": {
        "maps are subtracted after the ReLU": {"contrast": lambda a, b: (_l1(a.relu()) - _l1(b.relu())).relu()},
        "strength is part of it": {"contrast": lambda a, b: (a - b).relu()},
        "the largest value is the size": {"contrast": lambda a, b: (a / a.abs().max() - b / b.abs().max()).relu()},
        "the sum of a map is its size": {"contrast": lambda a, b: (a / a.sum() - b / b.sum()).relu()},
    },
    "q13_table": {
        "pairs are independent": {"bootstrap": _resample_pairs},
        "overlapping intervals mean no difference": {"differ": _intervals_overlap},
        "a mean has a standard error": {
            "bootstrap": lambda values, scenes: tuple(
                np.mean(values) + d * np.std(values) / np.sqrt(len(values)) for d in (-1.96, 1.96)
            ),
        },
    },
    "q14_effect": {
        "probabilities are scores": {"effect": _probability_lost},
        "the answer changes with the object": {"effect": _new_answer},
        "only the size counts": {"effect": _size_only},
        "what the map shows is the cause": {"effect": _mass_on_it},
        "a drop and a rise cancel": {
            "interventional": lambda d: (
                0.5 if d[0][0] + d[1][1] == d[0][1] + d[1][0] else float(d[0][0] + d[1][1] > d[0][1] + d[1][0])
            ),
        },
    },
    "q15_sanity": {
        "the drawing shows the object, so the model saw it": {"conclusion": "a"},
        "what is nearest to the answer matters most": {"conclusion": "c"},
        "a map will do as well": {"cosines": _cosines_of_maps},
    },
}
