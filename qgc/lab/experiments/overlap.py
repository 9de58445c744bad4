"""How many of the most sensitive combine neurons two explanations share (paper §3.2, Tables 1–4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import hypergeom
from torch import Tensor

from ...explain import REDUCTIONS
from ...explain.sensitivity import reduce_product
from ...explain.sensitivity import reductions as reductions_of
from ...measure.similarity import shared as shared
from ...models.evaluation import evaluated
from ...scenes import Scene

TOP = 10  # the paper's tables list so many neurons
KINDS = (
    "same question, other scene",
    "other question, same scene",
    "other colour question, same scene",
    "other question, other scene",
)


@evaluated
@torch.no_grad()
def top_overlap(vqa, scenes: Sequence[Scene], k: int = TOP, reductions: Sequence[str] = REDUCTIONS) -> pd.DataFrame:
    """Mean number of shared neurons among the top k of ∂A/∂q (paper §3.2), over many scenes.

    Every question of every scene is ranked; then all pairs are compared. Pairs are averaged within a
    question ("same question") or a scene ("same scene") first, so that none counts more than another.

    Returns
    -------
    DataFrame
        A row for each of :data:`KINDS`, a column for each reduction, and ``pairs``, their number. Two
        unrelated rankings of J neurons share k²/J on average.
    """
    scene_of, asked, colour, tops = [], [], [], {r: [] for r in reductions}
    known: dict[str, Tensor] = {}
    constants: dict[str, Tensor] = {}
    for number, scene in enumerate(scenes):
        F = vqa.conv(vqa.prepare(scene.image))
        for text in scene.questions:
            # The same question is asked about many scenes: encoded once
            if text not in known:
                known[text] = vqa.encode(text)
        q = torch.cat([known[text] for text in scene.questions])
        u, v = vqa.branches(F.expand(len(q), -1, -1, -1), q)
        for r, values in _sensitivities(vqa, F, q, u, v, reductions, constants).items():
            tops[r].append(values.topk(k).indices)
        for ask in scene.asks:
            scene_of.append(number)
            asked.append(list(known).index(ask.question))
            colour.append(ask.family == "colour")
    where, what, is_colour = torch.tensor(scene_of), torch.tensor(asked), torch.tensor(colour)
    other_scene, other_question = where[:, None] != where, what[:, None] != what
    pairs = torch.ones(len(where), len(where), dtype=torch.bool).triu()  # a question is no other than itself
    chosen = (
        (pairs & other_scene & ~other_question, what),
        (pairs & ~other_scene & other_question, where),
        (pairs & ~other_scene & other_question & is_colour & is_colour[:, None], where),
        (pairs & other_scene & other_question, torch.zeros_like(where)),
    )
    table = pd.DataFrame(index=pd.Index(KINDS, name="pairs of"))
    table["pairs"] = [int(mask.sum()) for mask, _ in chosen]
    for r in reductions:
        top = torch.zeros(len(where), vqa.combine).scatter_(1, torch.cat(tops[r]).cpu(), 1.0)
        common = top @ top.T
        table[r] = [_mean_by_group(common, mask, group) for mask, group in chosen]
    return table


def _sensitivities(
    vqa, F: Tensor, q: Tensor, u: Tensor, v: Tensor, which: Sequence[str], constants: dict[str, Tensor]
) -> dict[str, Tensor]:
    # ∂A/∂q in some reductions, (B, J), for many questions; the closed form's constant part is computed once a model.
    if (closed := vqa.sensitivity_jacobian(u, v)) is not None:
        return reduce_product(*closed, which, constants)
    each = [reductions_of(vqa, F, *row, which) for row in zip(q.split(1), u.split(1), v.split(1), strict=True)]
    return {r: torch.stack([one[r] for one in each]) for r in which}


def _mean_by_group(values: Tensor, mask: Tensor, group: Tensor) -> float:
    # The mean over groups of the mean over a group's pairs; a pair belongs to the group of its first row.
    rows, columns = mask.nonzero(as_tuple=True)
    frame = pd.DataFrame({"group": group[rows].numpy(), "value": values[rows, columns].numpy()})
    return float(frame.groupby("group")["value"].mean().mean())


def overlap_by_chance(J: int, k: int = TOP) -> tuple[float, np.ndarray]:
    """Neurons that two unrelated top-k lists of J share: the mean k²/J, and P(at least m) for m = 0 … k.

    The hypergeometric distribution: k draws without replacement from J neurons, k of which are marked.
    """
    return k * k / J, hypergeom(J, k, k).sf(np.arange(k + 1) - 1)
