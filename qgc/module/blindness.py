"""Does a model's map depend on the question? Several questions, random words for a control, and masked images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import QuestionError
from ..measure.similarity import cosine, spearman
from .forward import Kept, held
from .places import as_maps, positions
from .sensitivity import asked_words
from .targets import score

ALIKE = 0.9  # from this mean cosine on maps are called nearly the same: a convention, to be read with the numbers
SIGNIFICANT = 0.05
MOST = 7  # questions whose permutations are all counted


@dataclass(frozen=True)
class Blindness:
    """What :func:`question_blindness` found; maps are before the ReLU, drops are of the score when cells are masked.

    All but p are means: of cosines of two questions' maps, and of a question's map and that of random words; of rank
    correlations of two questions' drops, of a map with its own question's drops, and with another's. p is the share of
    all ways to give the drops to the maps that fit them at least as well as the right one.
    """

    questions: int
    cosine: float
    random_cosine: float
    score_likeness: float
    own: float
    other: float
    p: float

    @property
    def verdict(self) -> str:
        """One sentence with its numbers, about these questions and this image."""
        maps = f"mean cosine {self.cosine:.2f} of {self.questions} questions, {self.random_cosine:.2f} for random words"
        if np.isnan(self.score_likeness):
            return f"The score stays the same when parts of the image are masked, so no map can follow it ({maps})."
        if self.p < SIGNIFICANT:
            return (f"The map follows the question: each ranks the score drops of its own question better than those "
                    f"of others ({self.own:.2f} against {self.other:.2f}, p = {self.p:.3f}; {maps}).")  # fmt: skip
        if self.cosine < ALIKE:
            return (
                f"The maps differ ({maps}), but masking does not show that they follow the question (p {self.p:.2f})."
            )
        alike = "and so are" if self.score_likeness >= ALIKE else "less so"
        return (f"The map is nearly the same for every question ({maps}), {alike} the score drops under masking "
                f"(mean rank correlation {self.score_likeness:.2f}).")  # fmt: skip


def question_blindness(
    explanations: Sequence, *, n: int | None = None, masks: Any = None, blocks: int = 4, seed: int = 0
) -> Blindness:
    """Does the map (gated to ``n``; None: Grad-CAM) follow the question? Of several questions about one image.

    Compares the maps of the questions; each with the map for random words (rows of the word embedding, or q permuted
    where its place is no table); and each with the drops of its question's score when cells are masked. They are masked
    in F, by the mean of all cells, so the vision tower does not run again: an early ``target_layer`` masks patches of
    the image, a late one what the tower made of them. Of four questions p is 1/24 at least, of fewer it says nothing.

    Parameters
    ----------
    explanations : one row and one question each, two at least (:func:`~.explanation.explain_module` with a list).
    masks : (M, H, W) bool, objects to mask one by one; None masks ``blocks`` × ``blocks`` blocks of cells.
    """
    if len(explanations) < 2 or any(len(e.y) != 1 for e in explanations):
        raise QuestionError("question_blindness compares two questions about one image or more; give explain_module a "
                            "list of inputs, of one row each")  # fmt: skip
    rng = torch.Generator().manual_seed(seed)
    maps = [e.map(n, relu=False)[0] for e in explanations]
    noise = [e.ask(e.inputs, None, e.question_mask, lambda q, e=e: _random_words(e, q, rng)) for e in explanations]
    random = [e.map(n, relu=False)[0] for e in noise]
    groups = [group.to(maps[0].device) for group in _groups(masks, blocks, *maps[0].shape)]
    heat = [[float(m[group].mean()) for group in groups] for m in maps]
    drops = [score_drops(e, groups) for e in explanations]
    Q, pairs = len(maps), list(combinations(range(len(maps)), 2))
    fit = np.nan_to_num([[spearman(one, drop) for drop in drops] for one in heat])
    rng = np.random.default_rng(seed)
    ways = permutations(range(Q)) if Q <= MOST else [range(Q), *(rng.permutation(Q) for _ in range(5000))]
    return Blindness(
        Q,
        float(np.mean([cosine(maps[i], maps[j]) for i, j in pairs])),
        float(np.mean([cosine(a, b) for a, b in zip(maps, random, strict=True)])),
        float(np.mean([spearman(drops[i], drops[j]) for i, j in pairs])),
        float(np.trace(fit) / Q),
        float((fit.sum() - np.trace(fit)) / (Q * (Q - 1))),
        float(np.mean([fit[np.arange(Q), list(way)].sum() >= np.trace(fit) - 1e-9 for way in ways])),
    )  # fmt: skip


def score_drops(e, groups: Sequence[Tensor]) -> np.ndarray:
    """How much the score falls (groups,) when the cells (h, w) of a group are replaced by the mean of all cells."""
    maps, where, drops = as_maps(e.F, e.parts.layout), positions(e.F, e.parts.layout).flatten(), []
    for group in groups:
        masked = e.F.clone(memory_format=torch.contiguous_format)
        masked.view(-1)[where] = torch.where(group, maps.mean((2, 3), keepdim=True), maps).flatten()
        with held(e.parts.model), torch.no_grad():
            output = e.parts.run(e.inputs, [(e.parts.layer, lambda t, masked=masked: masked)], Kept())
            drops.append(float((e.y - score(e.target, output, e.inputs, e.parts.model)[0]).sum()))
    return np.array(drops)


def _random_words(e, q: Tensor, rng: torch.Generator) -> Tensor:
    table = e.question.module
    if isinstance(table, nn.Embedding) and not e.question.of_input:
        new = table.weight.detach()[torch.randint(len(table.weight), q.shape[:-1], generator=rng).to(q.device)]
    else:
        new = q.flatten()[torch.randperm(q.numel(), generator=rng).to(q.device)].view_as(q)
    return torch.where(asked_words(e, q).bool(), new.to(q), q)


def _groups(masks: Any, blocks: int, h: int, w: int) -> list[Tensor]:
    # the cells (h, w) of each object: those that are in its mask by half, and the fullest one; or blocks of cells
    if masks is not None:
        shares = torch.nn.functional.adaptive_avg_pool2d(torch.as_tensor(np.array(masks)).float(), (h, w))
        return [(share >= 0.5) | (share == share.max()) for share in shares]
    rows, columns = (torch.arange(side) * min(blocks, side) // side for side in (h, w))
    number = rows[:, None] * w + columns
    return [number == one for one in number.unique()]
