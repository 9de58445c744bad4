"""The paper's experiment on photographs (paper §3.2–3.3, Tables 1–6), where no mask says where an object is.

The protocol, written down before a test split was looked at:

* **Photographs**: ``count`` of the split, drawn by ``seed`` among those with two questions or more; every question
  is asked once, in the model's own answer. A question is the same as another if it has the same words.
* **Pairs**: for every question of every photograph one partner of each of :data:`KINDS`, drawn at random where there
  are several. *Same answer* means the same answer of the model, as in the paper.
* **Top 10** (Tables 1–4): how many combine neurons the two lists of largest ∂A/∂q share; two unrelated rankings share
  100/J. **Spearman** (Tables 5–6): of the two vectors ∂A/∂q. Both in all three reductions.
* **Sweep** (Figures 27–77): the cosine of the two maps of a same-answer pair, gated to n neurons by ∂A/∂q (``l2``), by
  |g|, and by :data:`RANDOM` random orders: one for both questions, or one each, for two gates of different neurons
  make two different maps, whatever the neurons. Pairs with an empty map have no cosine.
* **Deletion**, in place of masks: the :data:`DELETED` of the cells where a map is largest are painted in the image's
  mean color, and the answer's log-probability falls by d. A pair of maps is *told apart* if the map of the first
  question costs the first more than the second, and the other way round: d₁(L₁) − d₂(L₁) + d₂(L₂) − d₁(L₂) > 0, equal
  counting one half. Two equal maps, and chance, reach 0.5.
* Means are taken within a photograph first; intervals are 95 % bootstraps of photographs.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from ...data import PhotoSet
from ...data.tokens import TOKENIZERS
from ...errors import DataError
from ...explain import REDUCTIONS, EncodedImage, Explanation, closed_form, explain, gates
from ...explain.sensitivity import reductions
from ...measure.similarity import cosine, shared, spearman
from ...measure.stats import intervals
from ...models.evaluation import evaluated
from .overlap import TOP

KINDS = (
    "same question, other photograph",
    "other question, same photograph",
    "other question, same photograph, same answer",
    "other question, other photograph",
)
NS = (10, 25, 50, 100, 200, 400, 600)  # and all of them
RANDOM = 5  # random gates a pair, of which the deletion tries the first
DELETED = 0.2  # share of a map's cells that is occluded
DELETION_NS = (25, 200)  # and all of them
MOST_PAIRS = 3  # same-answer pairs of one photograph in the sweep; the deletion takes the first


@dataclass
class QuestionRecord:
    """One question about one photograph: its words, the model's answer, and ∂A/∂q (J,) in each reduction."""

    photograph: int
    words: str
    answer: str
    sensitivities: dict[str, Tensor]


def sample(photos: PhotoSet, count: int, seed: int = 0) -> list[tuple[str, list[str]]]:
    """``count`` photographs with two questions or more, and their questions, each once (this module's protocol).

    Raises
    ------
    DataError
        If no photograph has two.
    """
    asked: dict[str, dict[str, str]] = defaultdict(dict)
    for question in photos.questions:
        asked[question.image].setdefault(_words(question.text), question.text)
    able = [(image, list(texts.values())) for image, texts in asked.items() if len(texts) > 1]
    if not able:
        raise DataError(f"no photograph of {photos.name} ({photos.split}) has two questions, and these are compared")
    order = np.random.default_rng(seed).permutation(len(able))[:count]
    return [able[i] for i in sorted(order)]


def _words(text: str) -> str:
    return " ".join(TOKENIZERS["plain"](text))


def _explained(view: EncodedImage, texts: list[str]) -> list[Explanation]:
    with warnings.catch_warnings():  # a test question may have a word that no training question had
        warnings.simplefilter("ignore")
        return explain(view.vqa, view, texts)


@evaluated
@torch.no_grad()
def measure(vqa, photos: PhotoSet, count: int = 200, seed: int = 0) -> dict[str, pd.DataFrame]:
    """What this module's protocol finds for a model and a split of photographs, row by row, for :func:`summarise`.

    Raises
    ------
    DataError
        If no photograph has two questions, or none has two that get the same answer.
    """
    rng = np.random.default_rng(seed)
    asked: list[QuestionRecord] = []
    sweep, deleted = [], []
    for number, (image, texts) in enumerate(tqdm(sample(photos, count, seed), desc=photos.name, mininterval=2)):
        known = _explained(EncodedImage(vqa, photos.image_path(image)), texts)
        for e in known:
            each = reductions(vqa, e.F, e.q, e.u[None], e.v[None])
            asked.append(QuestionRecord(number, _words(e.question), e.predicted, {r: x.cpu() for r, x in each.items()}))
        pairs = [(a, b) for i, a in enumerate(known) for b in known[:i] if a.predicted == b.predicted]
        for k, i in enumerate(rng.permutation(len(pairs))[:MOST_PAIRS]):
            orders = _orders(*pairs[i], rng)
            sweep += [{"scene": number, **row} for row in _alike(*pairs[i], orders)]
            deleted += [{"scene": number, **row} for row in (_told_apart(*pairs[i], orders) if k == 0 else ())]
    if not sweep:
        raise DataError(_no_pair(photos))
    return {"pairs": _pairs(asked, rng), "sweep": pd.DataFrame(sweep), "deletion": pd.DataFrame(deleted)}


def _no_pair(photos: PhotoSet) -> str:
    return (
        f"the model answers no two questions about one photograph of {photos.name} ({photos.split}) alike, and such "
        "pairs are compared; take more photographs"
    )


def summarise(found: Sequence[dict[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """Tables of what :func:`measure` found for one training seed or more.

    Photographs are redrawn for the intervals, and training seeds where there are several.

    Returns
    -------
    dict of DataFrame
        ``"pairs"``: pairs of, measure ("top 10" or "spearman"), reduction; ``"sweep"``: ranking, n, measure ("cosine"
        or "empty", the share of pairs with an empty map); ``"deletion"``: ranking, n, measure ("told apart", or "above
        random": by how much more often than with a random gate of as many neurons). Each with estimate, low, high, and
        of how many photographs and rows.
    """
    if len(found) > 1:
        found = [{name: rows.assign(seed=i) for name, rows in one.items()} for i, one in enumerate(found)]
    rows = {name: pd.concat([one[name] for one in found]) for name in found[0]}
    rows["pairs"] = rows["pairs"].sort_values("pairs of", key=lambda kinds: kinds.map(KINDS.index), kind="stable")
    columns = [f"{m}/{r}" for m in ("top 10", "spearman") for r in REDUCTIONS]
    pairs = intervals(rows["pairs"], ["pairs of"], columns)
    split = pairs["measure"].str.split("/", expand=True)
    pairs["measure"] = split[0]
    pairs.insert(2, "reduction", split[1])
    tables = {
        "pairs": pairs,
        "sweep": intervals(rows["sweep"], ["ranking", "n"], ["cosine", "empty"]),
        "deletion": intervals(rows["deletion"], ["ranking", "n"], ["told apart", "above random"]),
    }
    return {name: table.rename(columns={"scenes": "photographs"}) for name, table in tables.items()}


@evaluated
@torch.no_grad()
def top10(vqa, photos: PhotoSet, count: int = 200, seed: int = 0, across: int = 4) -> pd.DataFrame:
    """The paper's Tables 1 and 2: the ten largest ∂A/∂q of one question in four photographs.

    The question is the one that most of :func:`sample`'s photographs are asked (the first in the alphabet among
    equals), and the photographs are the first of those.

    Returns
    -------
    DataFrame
        ``question``, ``photograph``, ``answer`` (the model's), ``rank``, ``index``, ``value``; ten rows a photograph.
    """
    asked: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for image, texts in sample(photos, count, seed):
        for text in texts:
            asked[_words(text)].append((image, text))
    most = min(asked, key=lambda words: (-len(asked[words]), words))
    rows = []
    for image, text in asked[most][:across]:
        found = _explained(EncodedImage(vqa, photos.image_path(image)), [text])[0]
        about = {"question": text, "photograph": image, "answer": found.predicted}
        rows += [{**about, "rank": rank, **row} for rank, row in found.top(TOP).to_dict("index").items()]
    return pd.DataFrame(rows)


def same_answer(vqa, photos: PhotoSet, count: int = 200, seed: int = 0) -> list[Explanation]:
    """The first two questions about one of :func:`sample`'s photographs that get the same answer, explained.

    Raises
    ------
    DataError
        If there are none.
    """
    for image, texts in sample(photos, count, seed):
        for pair in combinations(_explained(EncodedImage(vqa, photos.image_path(image)), texts), 2):
            if pair[0].predicted == pair[1].predicted:
                return list(pair)
    raise DataError(_no_pair(photos))


# -- pairs of ∂A/∂q -----------------------------------------------------------------------------------
def _pairs(asked: Sequence[QuestionRecord], rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for a in asked:
        here = [b for b in asked if b.photograph == a.photograph and b.words != a.words]
        elsewhere = [b for b in asked if b.photograph != a.photograph]
        fits = (
            [b for b in elsewhere if b.words == a.words],
            here,
            [b for b in here if b.answer == a.answer],
            [b for b in elsewhere if b.words != a.words],
        )
        for kind, able in zip(KINDS, fits, strict=True):
            if able:
                b = able[rng.integers(len(able))]
                rows.append({"scene": a.photograph, "pairs of": kind, **_compared(a, b)})
    return pd.DataFrame(rows)


def _compared(a: QuestionRecord, b: QuestionRecord) -> dict[str, float]:
    found = {}
    for r in REDUCTIONS:
        found[f"top 10/{r}"] = float(
            shared(*(x.sensitivities[r].topk(min(TOP, len(x.sensitivities[r]))).indices for x in (a, b)))
        )
        found[f"spearman/{r}"] = spearman(a.sensitivities[r], b.sensitivities[r])
    return found


# -- pairs of maps ------------------------------------------------------------------------------------
EACH = "random, one each"
Orders = dict[str, list[tuple[Tensor, Tensor]]]
"""For each ranking the neurons from first to last, (J,), for both questions; several where it is random."""


def _orders(a, b, rng: np.random.Generator) -> Orders:
    # Ranks taken as orders, which are as random: the stored tables were made so
    shuffled = gates.random_ranks(len(a.g), 2 * RANDOM, rng).to(a.order.device)
    strongest = [e.g.abs().argsort(descending=True, stable=True) for e in (a, b)]
    return {
        "∂A/∂q": [(a.order, b.order)],
        "|g|": [tuple(strongest)],
        "random, one for both": [(s, s) for s in shuffled[:RANDOM]],
        EACH: list(zip(shuffled[:RANDOM], shuffled[RANDOM:], strict=True)),
    }


def _maps(explanation, order: Tensor, ns: Sequence[int]) -> Tensor:
    # (len(ns), h, w), gated to the first n of an order.
    alpha = explanation.view.apply_jacobian(gates.top(order, ns).to(explanation.g) * explanation.g, explanation.q)
    return closed_form.maps(alpha, explanation.F).relu()


def _alike(a, b, orders: Orders) -> list[dict]:
    J, rows = len(a.g), []
    ns = [n for n in NS if n < J] + [J]
    for ranking, pairs in orders.items():
        values = np.array([
            [cosine(x, y) for x, y in zip(_maps(a, one, ns), _maps(b, other, ns), strict=True)] for one, other in pairs
        ])  # fmt: skip
        for n, column in zip(ns, values.T, strict=True):
            known = column[np.isfinite(column)]
            mean = known.mean() if len(known) else np.nan
            rows.append({"ranking": ranking, "n": n, "cosine": mean, "empty": 1 - len(known) / len(column)})
    return rows


def _told_apart(a, b, orders: Orders) -> list[dict]:
    # Of the random gates the first alone is tried: every painted image goes through the CNN again.
    J = len(a.g)
    tried = [(ranking, pairs[0], n) for ranking, pairs in orders.items() for n in DELETION_NS if n < J]
    tried.append(("all", orders["∂A/∂q"][0], J))
    maps = [torch.cat([_maps(e, both[i], [n]) for _, both, n in tried]) for i, e in enumerate((a, b))]
    costs = _costs([a, b], torch.cat(maps)).view(2, 2, len(tried))  # question, map, gate
    gain = (costs[0, 0] - costs[1, 0]) + (costs[1, 1] - costs[0, 1])
    apart = np.where(gain.abs() < 1e-9, 0.5, gain > 0)
    random = {n: x for (ranking, _, n), x in zip(tried, apart, strict=True) if ranking == EACH}
    rows = [
        {"ranking": ranking, "n": n, "told apart": x, "above random": x - random.get(n, x)}
        for (ranking, _, n), x in zip(tried, apart, strict=True)
    ]
    return rows[:-1] + [{**rows[-1], "ranking": ranking} for ranking in orders]


def _costs(explanations: Sequence, maps: Tensor) -> Tensor:
    """By how much the log-probability of each explanation's answer falls, (len, N), for each of the maps (N, h, w) of
    their image, if its largest cells are occluded."""
    vqa, view = explanations[0].vqa, explanations[0].view
    x, cells = vqa.prepare(view.image), maps.flatten(1)
    painted = torch.zeros_like(cells)
    painted.scatter_(1, cells.topk(max(1, round(DELETED * cells.shape[1]))).indices, 1.0)
    painted *= cells.amax(1, keepdim=True) > 0  # an empty map says nothing, so nothing is painted
    where = torch.nn.functional.interpolate(painted.view_as(maps)[:, None], x.shape[2:], mode="nearest")
    F = vqa.conv(torch.lerp(x, x.mean((2, 3), keepdim=True), where.to(x.dtype)))
    fallen = []
    for e in explanations:
        u, v = vqa.branches(F, e.q.expand(len(maps), -1))
        a = vqa.answers.index(e.answer)
        fallen.append(e.probabilities[a].log() - vqa.classify(u * v).log_softmax(1)[:, a])
    return torch.stack(fallen).cpu()
