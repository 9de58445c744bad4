"""What would the paper's Spearman correlations be anyway? Null distributions for Tables 5 and 6.

Row j of ∂A/∂q is v_j (1 − u_j²) Wq[j, :]. Two questions about one image share v_j and Wq[j, :] whatever they ask. In
the reduction ``sum`` that alone makes their correlation high, because the shared factor has a sign; in ``l2`` and
``abs-sum`` it does not, once 1 − u_j² varies more from neuron to neuron than the shared factor. Each null removes
something that the paper's pairs have in common:

* ``same answer``: two color questions with the same answer about one image, the paper's case;
* ``same template, other object``: the first of them, and its own template filled in with another object of the image
  whose color is not the answer (another half of the place where the pair's second question is about one): what is left
  when only the answer is removed, the null nearest to the paper's case;
* ``same template, absent object``: its template with an object that is not in the image and that training questions
  name, never a half of a place: neither answer nor object is there, the words are;
* ``unrelated question``: the first of them, and a question of another family about the same image;
* ``other picture``: the same question about another image, in which it can be asked too;
* ``unrelated, other picture``: a question of another family about another image;
* ``shuffled question``: the second question's u permuted among the neurons at random. v and Wq stay where they are:
  1 − u_j² keeps its values but says nothing about any neuron. Only for models with a closed form, nan for others;
* ``random q``: q drawn from a Gaussian with the mean and variances of all training questions' q.

``partial`` and ``divided`` are the paper's case without what is shared. With the shared factor z_j = |v_j| c_j, c_j
the reduction of Wq[j, :] (for the signed sum z_j = v_j c_j): ``partial`` is the Spearman partial correlation given
z, |v| and c (the ranks' residuals after a linear fit), ``divided`` the Spearman correlation of what division by z
leaves, 1 − u_j²: exact, and the same in every reduction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor

from ...explain import REDUCTIONS, EncodedImage
from ...explain.sensitivity import reduce_product, reductions
from ...measure.similarity import Pair, same_answer_pairs, spearman
from ...measure.stats import Statistic, interval, intervals, mean
from ...models.evaluation import evaluated
from ...scenes import Ask, Scene
from ...scenes.questions import HELD_OUT, PARAPHRASES, every_question, facts, near, word
from ...scenes.things import KINDS
from .overlap import TOP, overlap_by_chance

NULLS = (
    "same answer",
    "same template, other object",
    "same template, absent object",
    "unrelated question",
    "other picture",
    "unrelated, other picture",
    "shuffled question",
    "random q",
)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class QuestionPool:
    """What the nulls draw from, worked out once for a model (:func:`question_pool`).

    questions : N texts. q : (N, Q) their embeddings, with ``mean`` and ``std`` (Q,). images : of each other scene
    its seed, its maps F (1, K, h, w) and its asks. constants : reduction → (J,) of the rows of Wq, where the model has
    a closed form.
    """

    questions: list[str]
    q: Tensor
    mean: Tensor
    std: Tensor
    images: list[tuple[int, Tensor, list[Ask]]]
    constants: dict[str, Tensor]

    def embedding(self, vqa, question: str) -> Tensor:
        """q (1, Q) of a question, from the pool if it has it."""
        if question in self.questions:
            return self.q[self.questions.index(question)][None]
        return vqa.encode(question)


@evaluated
@torch.no_grad()
def question_pool(vqa, scenes: Iterable[Scene] = ()) -> QuestionPool:
    """Every training question as the model reads it, and other images (a few hundred scenes) as it sees them."""
    questions = every_question()
    tokens, lengths = vqa.vocabulary.batch(questions)
    q = vqa.encode_tokens(tokens.to(vqa.device), lengths)
    images = [(s.seed, vqa.conv(vqa.prepare(s.image)), list(s.asks)) for s in scenes]
    constants: dict[str, Tensor] = {}
    some = torch.zeros(vqa.combine, dtype=q.dtype, device=q.device)
    if (closed := vqa.sensitivity_jacobian(some, some)) is not None:  # one for all questions and images
        reduce_product(*closed, known=constants)
    return QuestionPool(questions, q, q.mean(0), q.std(0), images, constants)


@evaluated
@torch.no_grad()
def null_row(
    vqa, scene: Scene, question_pool: QuestionPool, rng: np.random.Generator, pair: Pair | None = None
) -> dict | None:
    """One draw of every null for one scene (paper Tables 5–6): a flat dict, None if it has no same-answer pair.

    Keys: ``scene``, ``spearman/NULL/REDUCTION``, ``overlap/NULL/REDUCTION`` (shared neurons among the top 10),
    ``partial/REDUCTION`` and ``divided``; nan where a null cannot be drawn (no other image in the pool in which the
    question can be asked, no other object of another color, a question of no known template, no closed form). ``J`` is
    the number of combine neurons. Where no ``pair`` is given one is drawn: a scene counts once, and the paper's numbers
    are of single pairs too. The two nulls of the same template draw from a generator of their own, spawned from
    ``rng``: what the others draw does not depend on them.
    """
    pairs = [pair] if pair else same_answer_pairs([scene])
    if not pairs:
        return None
    pair = pairs[rng.integers(len(pairs))]
    first, second = (pair.first, pair.second) if rng.random() < 0.5 else (pair.second, pair.first)
    own = rng.spawn(1)[0]  # does not advance rng
    q, F = question_pool.embedding(vqa, first.question), EncodedImage(vqa, scene).F
    sensitivities = {r: q.new_full((1 + len(NULLS), vqa.combine), torch.nan) for r in REDUCTIONS}

    def put(null: str | None, values: dict[str, Tensor]) -> None:
        for r, value in values.items():
            sensitivities[r][1 + NULLS.index(null) if null else 0] = value

    def put_case(null: str | None, case: tuple[Tensor, Tensor] | None) -> None:
        put(null, _sensitivities(vqa, question_pool, *case) if case else {})

    # The order of the cases is that of the draws from rng: another one gives other stored numbers
    others = [p for p in question_pool.images if p[0] != scene.seed]
    put_case(None, (F, q))
    put_case("same answer", (F, question_pool.embedding(vqa, second.question)))
    put_case("unrelated question", _case(vqa, question_pool, first, [(F, scene.asks)], rng, same=False))
    put_case("other picture", _case(vqa, question_pool, first, [p[1:] for p in others], rng, same=True))
    put_case("unrelated, other picture", _case(vqa, question_pool, first, [p[1:] for p in others], rng, same=False))
    noise = torch.from_numpy(rng.standard_normal(question_pool.q.shape[1])).to(q)
    put_case("random q", (F, (question_pool.mean + question_pool.std * noise)[None]))
    row: dict[str, float] = {"scene": scene.seed, "J": vqa.combine}
    if question_pool.constants:
        u, v = vqa.branches(F, torch.cat([q, question_pool.embedding(vqa, second.question)]))
        shuffled = u[1][torch.from_numpy(rng.permutation(vqa.combine)).to(u.device)]  # v and Wq stay
        put(
            "shuffled question",
            reduce_product(*vqa.sensitivity_jacobian(shuffled, v[0]), known=question_pool.constants),
        )
        row |= _without_the_shared(question_pool, u, v[0], sensitivities)
    for null, texts in (
        ("same template, other object", other_objects(scene, first, second.thing)),
        ("same template, absent object", absent_objects(scene, first, question_pool.questions)),
    ):
        if texts:
            put_case(null, (F, question_pool.embedding(vqa, texts[own.integers(len(texts))])))
    for r, values in sensitivities.items():
        table = values.double().cpu().numpy()
        row |= dict(zip((f"spearman/{n}/{r}" for n in NULLS), _spearmans(table), strict=True))
        row |= dict(zip((f"overlap/{n}/{r}" for n in NULLS), _overlaps(table), strict=True))
    return row


def template_of(ask: Ask) -> str | None:
    """The template of its family that makes a question of its object ("What color {is} {the}?"); None if none does."""
    templates = (*PARAPHRASES.get(ask.family, ()), *HELD_OUT.get(ask.family, ()))
    return next((t for t in templates if ask.thing and word(t, ask.thing) == ask.question), None)


def other_objects(scene: Scene, ask: Ask, instead_of: str) -> list[str]:
    """Questions of the ask's template about every other object of the scene of which the true answer is another.

    They take the place of a question about ``instead_of``, and are of its sort: halves of the place (walls, floors) if
    it is one, else objects. The model keeps walls and objects further apart than two objects, whatever their colors.
    """
    if not (template := template_of(ask)):
        return []
    # facts rather than scene.asks: a scene of the paper's figures asks only what the paper does
    others = [(name, answer) for family, name, answer, _ in facts(scene) if family == ask.family and name != ask.thing]
    others = [(name, answer) for name, answer in others if (name in scene.tones) == (instead_of in scene.tones)]
    return list(dict.fromkeys(word(template, name) for name, answer in others if answer != ask.answer))


def absent_objects(scene: Scene, ask: Ask, questions: Sequence[str]) -> list[str]:
    """Questions of the ask's template about every object that is not in the scene and that ``questions`` ask about.

    An object counts as known if one of the family's training templates makes one of ``questions`` of it. One that
    people would say is there (trees where a bush is) does not count as absent, and neither does a half of a place: a
    floor is a ground.
    """
    if not (template := template_of(ask)) or "{the}" not in template:
        return []
    known, here = set(questions), {*scene.names, *scene.masks, *scene.colours}
    named = [n for n in dict.fromkeys((*KINDS, "shirt", "top", "phone")) if n not in here]
    return [
        word(template, n)
        for n in named
        if not near(n, scene.names) and any(word(t, n) in known for t in PARAPHRASES[ask.family])
    ]


def _case(vqa, question_pool: QuestionPool, ask: Ask, images: Sequence, rng: np.random.Generator, same: bool):
    # An image and a question about it: the same one, or one of another family; None if there is none.
    def fits(other: Ask) -> bool:
        return other.question == ask.question if same else other.family != ask.family

    able = [(F, [a for a in asks if fits(a)]) for F, asks in images]
    able = [(F, asks) for F, asks in able if asks]
    if not able:
        return None
    F, asks = able[rng.integers(len(able))]
    return F, question_pool.embedding(vqa, asks[rng.integers(len(asks))].question)


def _sensitivities(vqa, question_pool: QuestionPool, F: Tensor, q: Tensor) -> dict[str, Tensor]:
    # ∂A/∂q of one question and image in every reduction.
    return reductions(vqa, F, q, *vqa.branches(F, q), known=question_pool.constants)


def quantile(p: float) -> Statistic:
    """The p-quantile of the weighted values: the least x with Σ_{x' ≤ x} w ≥ p Σ w."""

    def statistic(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
        order = np.argsort(values, kind="stable")
        reached = weights[:, order].cumsum(1)
        wanted = p * reached[:, -1:] * (1 - 1e-12)
        return np.where(reached[:, -1] > 0, values[order][(reached < wanted).sum(1).clip(max=len(values) - 1)], np.nan)

    return statistic


def share_below(x: float) -> Statistic:
    """The share of the weighted values below x, those equal to it counting one half: x's place among them, 0–1."""
    return lambda values, weights: mean(np.where(values == x, 0.5, values < x), weights)


def partial_spearman(x: np.ndarray, y: np.ndarray, given: np.ndarray) -> float:
    """Spearman's partial correlation of x and y (J,) given covariates (C, J): Pearson's of the ranks' residuals.

    nan where the covariates explain the ranks of x or y completely.
    """
    ranks = rankdata(np.vstack([x, y, given]), axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    xy, z = ranks[:2].T, ranks[2:].T
    a, b = (xy - z @ np.linalg.lstsq(z, xy, rcond=None)[0]).T
    explained = 1e-9 * np.linalg.norm(ranks[:2], axis=1)
    if np.linalg.norm(a) <= explained[0] or np.linalg.norm(b) <= explained[1]:
        return float("nan")
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _without_the_shared(
    question_pool: QuestionPool, u: Tensor, v: Tensor, sensitivities: dict[str, Tensor]
) -> dict[str, float]:
    left = (1 - u**2).double().cpu().numpy()
    found = {"divided": spearman(*left)}
    for r, c in question_pool.constants.items():
        shared = torch.stack([v * c if r == "sum" else v.abs() * c, v.abs(), c]).double().cpu().numpy()
        found[f"partial/{r}"] = partial_spearman(*sensitivities[r][:2].double().cpu().numpy(), shared)
    return found


# -- the first draw with each other one ---------------------------------------------------------------
def _spearmans(rows: np.ndarray) -> list[float]:
    # Of the first row with each other one (paper Tables 5–6).
    return [spearman(rows[0], other) for other in rows[1:]]


def _overlaps(rows: np.ndarray) -> list[float]:
    # Shared neurons among the top 10 of the first row and of each other one.
    top = [set(np.argsort(-r, kind="stable")[:TOP]) if np.isfinite(r).all() else None for r in rows]
    return [float(len(top[0] & t)) if t is not None else float("nan") for t in top[1:]]


# -- many scenes --------------------------------------------------------------------------------------
def summarise(rows: Iterable[dict | None], printed: Sequence[float] = (), **bootstrapping) -> dict[str, pd.DataFrame]:
    """Tidy tables with 95 % intervals by scene (and ``seed``, if the rows have it) from many :func:`null_row`.

    ``"spearman"``: null, reduction, statistic (mean and quantiles), estimate, low, high. ``partial`` and ``divided``
    are in it too. ``"printed"``: for each of the paper's ``printed`` values (``qgc.paper.SPEARMAN``) the share of
    each null that lies below it. ``"overlap"``: mean number of shared neurons among the top 10, beside its ``chance``,
    and ``many``, the share of pairs that share at least ``least``, which luck alone reaches with ``many_chance`` ≤ 5 %.
    """
    frame = pd.DataFrame([r for r in rows if r])
    spearman, places = [], []
    for column in [c for c in frame if c.startswith(("spearman/", "partial/", "divided"))]:
        null, reduction = _labels(column)
        clusters = (frame["scene"], frame.get("seed"))
        for name, statistic in {"mean": mean, **{f"q{round(100 * p):02d}": quantile(p) for p in QUANTILES}}.items():
            found = interval(frame[column], *clusters, statistic=statistic, **bootstrapping)
            spearman.append((null, reduction, name, found.estimate, found.low, found.high))
        for value in printed:
            found = interval(frame[column], *clusters, statistic=share_below(value), **bootstrapping)
            places.append((value, null, reduction, found.estimate, found.low, found.high))
    ends = ["estimate", "low", "high"]
    overlap = intervals(frame, [], [c for c in frame if c.startswith("overlap/")], **bootstrapping)
    J = int(frame["J"].iloc[0])
    random_baseline, at_least = overlap_by_chance(J, min(TOP, J))
    least = int((at_least > 0.05).sum())
    columns = list(overlap.pop("measure"))
    overlap.insert(0, "null", [_labels(c)[0] for c in columns])
    overlap.insert(1, "reduction", [_labels(c)[1] for c in columns])
    overlap["chance"], overlap["least"] = random_baseline, least
    overlap["many"] = [float((frame[c].dropna() >= least).mean()) for c in columns]
    overlap["many_chance"] = at_least[least] if least < len(at_least) else 0.0
    return {
        "spearman": pd.DataFrame(spearman, columns=["null", "reduction", "statistic", *ends]),
        "printed": pd.DataFrame(places, columns=["printed", "null", "reduction", *ends]),
        "overlap": overlap,
    }


def _labels(column: str) -> tuple[str, str]:
    # "spearman/random q/l2" → random q, l2; "partial/l2" → partial, l2; "divided" → divided, any
    parts = column.split("/")
    return (parts[-2], parts[-1]) if len(parts) > 1 else (column, "any")
