"""Deletion, insertion and ROAD: does the answer's score change where a map says that it would?

The cells of a map are ranked from its highest value on, cells of one value at random, and the first of them are
perturbed. With y_a the score of the explained answer and p_a its probability, after a part of the cells

* **deletion** (Petsiuk et al. 2018): they take the image's mean colour; a faithful map makes y_a fall early;
* **insertion** (the same): they alone are sharp, the rest of the image blurred; a faithful map makes y_a rise early;
* **ROAD** (Rong et al. 2022): they are imputed from the cells around them, so that what is lost is not seen from the
  shape of what was removed; a faithful map makes y_a fall early.

Only the first :data:`PARTS` of the cells count: the lower half of a map says little, and an image without most of its
cells is far from every image that the model has seen. :func:`area` is the mean over these parts.

Controls, without which no area means anything (:func:`controls`): a random order, the coverage of the queried object's
mask, and a prior for the image's centre. And every map is also scored under the *other* question of a pair, at no
further cost: where that is as good as under its own, the metric does not depend on the question, whatever the map does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor, nn

from ...measure.pairs import cell_cover
from ...measure.similarity import Pair
from ...measure.stats import intervals
from ...models import VQA
from ...models.evaluation import evaluated
from ...scenes import Scene
from .reference import METHODS, Asked, blurred, mean_colour

PARTS = (0.0, 0.025, 0.05, 0.1, 0.2, 0.4)
"""Parts of the cells that are perturbed, one image each: closest where objects are, half of which cover under 3 %."""
SHRINK = 4
"""ROAD's linear system is solved for the image at a quarter of its width, and enlarged: 56×56 pixels of 224×224."""
NOISE = 0.01
"""Standard deviation of ROAD's noise, as a part of that of the image's pixels."""
NEIGHBOURS = {
    (dy, dx): 1 / 12 if dy and dx else 1 / 6 for dy, dx in product((-1, 0, 1), repeat=2) if (dy, dx) != (0, 0)
}
"""How a missing pixel is weighed together from those around it (Rong et al. 2022, §4)."""
CURVES = ("deletion", "insertion", "ROAD")


# -- one image ----------------------------------------------------------------------------------------------
@evaluated
@torch.no_grad()
def perturbation_curves(
    vqa: VQA, image, questions: Sequence[str], answer: str, maps: Mapping[str, Tensor], seed: int = 0
) -> dict[str, Tensor]:
    """y_a and p_a along the curves of :data:`CURVES`, of every map under every question.

    Parameters
    ----------
    questions : one or several about the image, all explained for one ``answer``; they share the perturbed images.
    maps : (h, w) each, on the model's grid, with their signs. seed : of the order of equal cells, and of ROAD's noise.

    Returns
    -------
    dict of tensors (maps, parts, questions, 2)
        One for each curve: y_a and p_a after each of :data:`PARTS` of the cells.
    """
    asked = Asked(vqa, image, questions, [answer] * len(questions))
    rng = np.random.default_rng(seed)
    first = torch.stack([_first_cells(m, rng) for m in maps.values()])  # (maps, parts less the first, h, w)
    flat = first.flatten(0, 1)
    imputed = torch.stack([impute(asked.x[0], cells, rng) for cells in flat])
    smooth = blurred(asked)
    # with nothing perturbed, and with nothing inserted, all maps have one image
    whole, empty = asked.outcomes(asked.x), asked.outcomes(smooth)
    found = {
        "deletion": (whole, asked.outcomes_where(~flat, mean_colour(asked))),
        "insertion": (empty, asked.outcomes_where(flat, smooth)),
        "ROAD": (whole, asked.outcomes(imputed)),
    }
    return {
        curve: torch.cat([start.expand(len(maps), 1, -1, -1), later.unflatten(0, first.shape[:2])], 1)
        for curve, (start, later) in found.items()
    }


def area(curve: Tensor) -> Tensor:
    """The mean of a curve (…, parts, questions, 2) over :data:`PARTS`, by the trapezoidal rule, (…, questions, 2)."""
    parts = torch.tensor(PARTS, dtype=curve.dtype, device=curve.device)
    return torch.trapezoid(curve, parts, dim=-3) / (parts[-1] - parts[0])


def controls(masks: Sequence, grid: tuple[int, int], rng: np.random.Generator) -> dict[str, Tensor]:
    """Maps (objects, h, w) that no model made: "random", the "object" of each mask (H, W), and the image's "centre"."""
    y, x = (torch.linspace(-1, 1, n, dtype=torch.float64) for n in grid)
    centre = -(y[:, None] ** 2 + x**2)
    return {
        "random": torch.from_numpy(rng.random((len(masks), *grid))),
        "object": cell_cover(np.stack(masks), grid).unflatten(1, grid),
        "centre": centre.expand(len(masks), -1, -1),
    }


def _first_cells(map_: Tensor, rng: np.random.Generator) -> Tensor:
    # Which cells are the first of each part but the first one, (parts − 1, h, w) bool; equal cells in random order.
    values = map_.double().cpu().numpy().ravel()
    place = np.empty(values.size, int)
    place[np.lexsort((rng.random(values.size), -values))] = np.arange(values.size)
    counts = np.round(np.multiply(PARTS[1:], values.size))
    return torch.from_numpy(place < counts[:, None]).unflatten(1, map_.shape)


# -- ROAD ---------------------------------------------------------------------------------------------------
def impute(x: Tensor, removed: Tensor, rng: np.random.Generator, noise: float = NOISE, shrink: int = SHRINK) -> Tensor:
    """Noisy linear imputation (Rong et al. 2022, Eq. 9): an image x (C, H, W) without its removed cells (h, w).

    Every missing pixel is the mean of its eight neighbours, weighed by :data:`NEIGHBOURS`, which are missing in part
    themselves: a sparse linear system, here of the image at 1/``shrink`` of its width, whose solution is enlarged
    bilinearly. Then noise is added to these pixels.
    """
    large = nn.functional.interpolate(removed[None, None].double(), x.shape[1:])[0, 0] > 0  # nearest cell
    if not large.any():
        return x
    small = nn.functional.avg_pool2d(x.double()[None].cpu(), shrink)[0]
    missing = nn.functional.interpolate(removed[None, None].double(), small.shape[1:])[0, 0].numpy().ravel() > 0
    pixels = small.numpy().reshape(len(x), -1).T
    W = _neighbour_weights(*small.shape[1:])[missing]
    A = sparse.diags_array(W.sum(1)) - W[:, missing]
    solver = splu(A.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    pixels[missing] = solver.solve(W[:, ~missing] @ pixels[~missing])
    smooth = torch.from_numpy(pixels.T.reshape(small.shape).copy())[None]
    filled = nn.functional.interpolate(smooth, x.shape[1:], mode="bilinear", align_corners=False)[0]
    filled += noise * float(x.std()) * torch.from_numpy(rng.standard_normal(filled.shape))
    return torch.where(large.to(x.device), filled.to(x), x)


@cache
def _neighbour_weights(H: int, W: int) -> sparse.csr_array:
    # (H·W, H·W): row p has the weights of its neighbours in the image.
    numbers = np.arange(H * W).reshape(H, W)
    rows, columns, weights = [], [], []
    for (dy, dx), weight in NEIGHBOURS.items():
        here = numbers[max(0, -dy) : H - max(0, dy), max(0, -dx) : W - max(0, dx)].ravel()
        rows.append(here)
        columns.append(here + dy * W + dx)
        weights.append(np.full(len(here), weight))
    at = np.concatenate(rows), np.concatenate(columns)
    return sparse.csr_array((np.concatenate(weights), at), shape=(H * W, H * W))


# -- one scene ----------------------------------------------------------------------------------------------
def curve_rows(vqa: VQA, scene: Scene, pair: Pair, maps: Mapping[str, Tensor] | None = None) -> list[dict]:
    """Areas of every map and control of a same-answer pair, under its own and under the other question.

    Parameters
    ----------
    maps : (2, h, w) each, of the two questions; None: all :data:`~.reference.METHODS` that the model has.

    Returns
    -------
    list of flat dicts, one for each map, curve and question
        ``scene``, ``map``, ``curve``, ``question`` (0, 1: whose y_a it is), ``asked`` ("own": the map is that
        question's; "other": the other one's), and the areas ``score``, of y_a less that of the whole image, and
        ``probability``, of p_a. The centre is one map for both.
    """
    asks = (pair.first, pair.second)
    questions = [ask.question for ask in asks]
    if maps is None:
        maps = {name: method.maps(vqa, scene.image, questions, [pair.answer] * 2) for name, method in METHODS.items()}
        maps = {name: both for name, both in maps.items() if both is not None}
    grid = tuple(next(iter(maps.values())).shape[1:])
    rng = np.random.default_rng([scene.seed & 0x7FFFFFFF, 91])
    maps = {**maps, **controls([scene.masks[ask.thing] for ask in asks], grid, rng)}
    each = {f"{name} {k}": both[k] for name, both in maps.items() for k in range(2)}
    found = perturbation_curves(vqa, scene.image, questions, pair.answer, each, seed=int(rng.integers(2**31)))
    whole = found["deletion"][0, 0, :, 0]  # y_a (questions,) of the image as it is
    rows = []
    for curve, y in found.items():
        areas = area(y).unflatten(0, (-1, 2)).cpu()  # (maps, whose map, question, 2)
        for (m, name), k, i in product(enumerate(maps), range(2), range(2)):
            score, probability = areas[m, k, i].tolist()
            rows.append(
                {"scene": scene.seed, "map": name, "curve": curve, "question": i}
                | {"asked": "own" if i == k else "other"}
                | {"score": score - float(whole[i]), "probability": probability}
            )
    return rows


# -- many scenes --------------------------------------------------------------------------------------------
def summarise(rows: Iterable[dict], **bootstrapping) -> dict[str, pd.DataFrame]:
    """``"curves"``: by map, curve and ``asked`` the areas with 95 % intervals by scene.

    ``asked`` "own less other": how much more a map tells about its own question than about the other one, pair by pair;
    "own less random": than a random order does.
    """
    frame, values = pd.DataFrame(list(rows)), ("score", "probability")
    differences: dict[str, dict[str, pd.Series]] = {"own less other": {}, "own less random": {}}
    for value in values:
        wide = frame.pivot_table(index=["scene", "question", "curve"], columns=["asked", "map"], values=value)
        own = wide["own"]
        differences["own less other"][value] = (own - wide["other"]).stack()
        differences["own less random"][value] = own.sub(own["random"], axis=0).stack()
    more = [pd.DataFrame(d).reset_index().assign(asked=asked) for asked, d in differences.items()]
    every = pd.concat([frame, *more], ignore_index=True)
    return {"curves": intervals(every, ["map", "curve", "asked"], values, **bootstrapping)}
