"""How many of the most sensitive combine neurons two explanations share (paper §3.2, Tables 1–4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd
import torch
from torch import Tensor

from ..explain import REDUCTIONS
from ..explain.sensitivity import reduce_rows, sensitivity
from ..models.evaluation import evaluated
from ..scenes import Scene

KINDS = (
    "same question, other scene",
    "other question, same scene",
    "other colour question, same scene",
    "other question, other scene",
)


def shared(first: Iterable[int], second: Iterable[int]) -> int:
    """How many indices two of the paper's top-10 columns have in common, in whatever order."""
    return len(set(map(int, first)) & set(map(int, second)))


@evaluated
@torch.no_grad()
def top_overlap(vqa, scenes: Sequence[Scene], k: int = 10, reductions: Sequence[str] = REDUCTIONS) -> pd.DataFrame:
    """Mean number of shared neurons among the top k of ∂A/∂q (paper §3.2), over many scenes.

    Every question of every scene is ranked; then all pairs are compared. Pairs are averaged within a
    question ("same question") or a scene ("same scene") first, so that none counts more than another.

    Returns
    -------
    DataFrame
        A row for each of :data:`KINDS`, a column for each reduction, and ``pairs``, their number. Two
        unrelated rankings of J neurons share k²/J on average.
    """
    scene_of, asked, colour, drawn = [], [], [], {r: [] for r in reductions}
    known: dict[str, Tensor] = {}
    constants: dict[str, Tensor] = {}
    for number, scene in enumerate(scenes):
        F = vqa.conv(vqa.prepare(scene.image))
        for text in scene.questions:
            if text not in known:
                known[text] = vqa.encode(text)
        q = torch.cat([known[text] for text in scene.questions])
        u, v = vqa.branches(F.expand(len(q), -1, -1, -1), q)
        for r in reductions:
            drawn[r].append(_sensitivities(vqa, F, q, u, v, r, constants).topk(k).indices)
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
        top = torch.zeros(len(where), vqa.combine).scatter_(1, torch.cat(drawn[r]).cpu(), 1.0)
        common = top @ top.T
        table[r] = [_mean_by_group(common, mask, group) for mask, group in chosen]
    return table


def _sensitivities(vqa, F: Tensor, q: Tensor, u: Tensor, v: Tensor, reduce: str, constants: dict) -> Tensor:
    # ∂A/∂q reduced, (B, J), for many questions; the closed form's constant part is computed once a model.
    if not hasattr(vqa, "sensitivity_jacobian"):
        rows = zip(q.split(1), u.split(1), v.split(1), strict=True)
        return torch.stack([sensitivity(vqa, F, *row, reduce) for row in rows])
    factor, weights = vqa.sensitivity_jacobian(u, v)
    if reduce not in constants:
        constants[reduce] = reduce_rows(weights, reduce)
    return (factor if reduce == "sum" else factor.abs()) * constants[reduce]


def _mean_by_group(values: Tensor, mask: Tensor, group: Tensor) -> float:
    # The mean over groups of the mean over a group's pairs; a pair belongs to the group of its first row.
    rows, columns = mask.nonzero(as_tuple=True)
    frame = pd.DataFrame({"group": group[rows].numpy(), "value": values[rows, columns].numpy()})
    return float(frame.groupby("group")["value"].mean().mean())
