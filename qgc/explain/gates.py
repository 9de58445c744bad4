"""Which combine neurons the gradient may flow back through (paper §3.3)."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import GateError, shown
from ..models.evaluation import evaluated
from . import closed_form

BYTES = (bytes, bytearray, memoryview)  # Python iterates them as whole numbers


def check_n(n, size: int) -> int:
    """``n`` as an int from 1 to ``size``.

    Raises
    ------
    GateError
        If it is not a whole number, or out of range.
    """
    whole = _whole(n)
    if whole is None and isinstance(n, float) and n.is_integer():
        whole = int(n)
    if whole is None or not 1 <= whole <= size:
        raise GateError(
            f"n is {shown(n)}; it must be a whole number from 1 to {size} (n = {size} is the original Grad-CAM)"
        )
    return whole


def _whole(number) -> int | None:
    # An int of any library's; None for a truth value, which Python and PyTorch would read as 0 or 1, and for all else.
    if isinstance(number, bool) or (isinstance(number, Tensor) and number.dtype == torch.bool):
        return None
    try:
        return operator.index(number)
    except (TypeError, RuntimeError):  # RuntimeError: a tensor on the device "meta"
        return None


def ranking(scores: Tensor) -> Tensor:
    """Neurons from the highest score to the lowest, (J,); equal scores in order of their index."""
    return torch.sort(scores, descending=True, stable=True).indices


def check_indices(indices: Iterable[int], size: int) -> Tensor:
    """A set of combine neurons as a sorted index tensor, without repeats.

    Raises
    ------
    GateError
        If it is empty, holds anything but whole numbers, or an index is not in 0 … size − 1.
    """
    one_by_one = isinstance(indices, Iterable) and getattr(indices, "ndim", 1) == 1 and not isinstance(indices, BYTES)
    if isinstance(indices, Tensor) and indices.layout == torch.strided and not indices.is_meta:
        indices = indices.tolist()
    given = [_whole(i) for i in indices] if one_by_one else [None]
    if None in given:
        raise GateError("neurons must be whole numbers, such as [3, 281]; of a mask, give mask.nonzero()[:, 0]")
    neurons = sorted(set(given))
    if not neurons:
        raise GateError("the set of neurons is empty: no gradient would flow back; give at least one index")
    if neurons[0] < 0 or neurons[-1] >= size:
        outside = neurons[-1] if neurons[-1] >= size else neurons[0]
        raise GateError(f"neuron {outside} does not exist; indices go from 0 to {size - 1}")
    return torch.tensor(neurons)


# -- many sets at once, and sets of two questions ---------------------------------------------------
def top(order: Tensor, ns: Sequence[int], exclude: Tensor | None = None) -> Tensor:
    """The sets of the gate (paper §3.3) as a table (len(ns), J): is neuron j among the top n of a ranking?

    Parameters
    ----------
    order : (J,) neurons from first to last, for example ``explanation.order``.
    exclude : bool (len(ns), J) or None, neurons that each row skips; where fewer than n remain, all of them are taken.

    Raises
    ------
    GateError
        If an n is out of range.
    """
    size = len(order)
    most = torch.tensor([check_n(n, size) for n in ns], dtype=torch.long, device=order.device)[:, None]
    eligible = torch.ones(len(most), size, dtype=torch.bool, device=order.device) if exclude is None else ~exclude
    ranked = eligible[:, order]
    keep = torch.zeros_like(ranked)
    keep[:, order] = ranked & (ranked.cumsum(1) <= most)
    return keep


@evaluated
def maps(explanation, keep: Tensor, *, relu: bool = True) -> Tensor:
    """The gated maps (N, h, w) of many sets (paper Eq. 1–2, §3.3); one row of ``keep`` (N, J) is a set.

    A row that keeps nothing gives an empty map.
    """
    alpha = (keep.to(explanation.g) * explanation.g) @ explanation.M
    raw = closed_form.maps(alpha, explanation.F)
    return raw.relu() if relu else raw


def random_ranks(size: int, draws: int = 1, rng: int | np.random.Generator = 0) -> Tensor:
    """The place of every neuron in each of :func:`random_rankings`, (draws, size): 0 for the first (paper §3.3)."""
    rng = np.random.default_rng(rng)
    return torch.from_numpy(np.stack([rng.permutation(size) for _ in range(draws)]))


def random_rankings(size: int, draws: int = 1, rng: int | np.random.Generator = 0) -> Tensor:
    """Random rankings as the baseline of paper §3.3's, (draws, size): in each row the neurons from first to last.

    Every random gate in the book comes from here. Seed 0 gives the rankings of the protocol (:mod:`qgc.lab.protocol`),
    which the stored measurement was made with; a larger number of draws begins with the same ones.
    """
    return random_ranks(size, draws, rng).argsort(1)


def random_gates(counts: Sequence[int], size: int, draws: int = 20, rng: int | np.random.Generator = 0) -> Tensor:
    """Random sets as the baseline of the gate of paper §3.3, a table (draws · len(counts), size) as of :func:`top`.

    Row d · len(counts) + i holds the first counts[i] neurons of the d-th of :func:`random_rankings`; a count may be 0.
    """
    rank = random_ranks(size, draws, rng)
    return (rank[:, None] < torch.as_tensor(counts, device="cpu")[:, None]).flatten(0, 1)


chance = random_gates  # its earlier name


def common(first: Tensor, second: Tensor, n: int) -> Tensor:
    """The neurons among the top n of both rankings (J,) (paper §5: "common in the two vectors"), sorted.

    Raises
    ------
    GateError
        If n is out of range, or the rankings are of different lengths.
    """
    _check_same_size(first, second)
    return (top(first, [n]) & top(second, [n]))[0].nonzero()[:, 0]


def without_common(order: Tensor, other: Tensor, ns: Sequence[int], refill: bool = False) -> Tensor:
    """:func:`distinct` for many n at once, a table (len(ns), J) as of :func:`top`; a row may be empty (paper §5)."""
    _check_same_size(order, other)
    mine = top(order, ns)
    shared = mine & top(other, ns)
    return top(order, ns, exclude=shared) if refill else mine & ~shared


def distinct(order: Tensor, other: Tensor, n: int, refill: bool = False) -> Tensor:
    """The top n of ``order`` without those that ``other`` has in its top n too (paper §5), sorted.

    With ``refill`` the next neurons of ``order`` take the free places, so that the gate keeps n again (or all that
    there are besides the common ones).

    Raises
    ------
    GateError
        If nothing is left because both have the same top n, as always at n = J; or as :func:`common`.
    """
    keep = without_common(order, other, [n], refill)[0].nonzero()[:, 0]
    if not len(keep):
        raise GateError(f"both questions have the same top {n} neurons: without them none is left; take a smaller n")
    return keep


def compared(mine, other, word: Tensor, ns: Sequence[int], draws: int = 20) -> dict[str, Tensor]:
    """The gate of paper §3.3, those of §5 and their baselines, each a table as of :func:`top`.

    Parameters
    ----------
    mine, other : explanations of two questions about one image; the sets are for the first.
    word : (J,) scores, ∂A/∂w of the first question's content word (:class:`qgc.explain.Words`).

    Returns
    -------
    dict
        Tables (len(ns), J): "∂A/∂q" and "∂A/∂w", the top n of each; "left out" and "refilled", see
        :func:`distinct`; "Grad-CAM", all J. Tables (draws · len(ns), J), see :func:`random_gates`: "random", of n
        neurons, and "random, as few", of as many as "left out" has left.
    """
    size, device = len(word), mine.order.device
    left = without_common(mine.order, other.order, ns)
    return {
        "∂A/∂q": top(mine.order, ns),
        "∂A/∂w": top(ranking(word), ns),
        "left out": left,
        "refilled": without_common(mine.order, other.order, ns, refill=True),
        "random": random_gates(ns, size, draws).to(device),
        "random, as few": random_gates(left.sum(1), size, draws).to(device),
        "Grad-CAM": torch.ones(len(ns), size, dtype=torch.bool, device=device),
    }


def _check_same_size(first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise GateError(f"rankings of {len(first)} and {len(second)} neurons; give two of the same model")
