"""∂A/∂q: how much each combine neuron changes with the question (paper §3.2).

A = u ∘ v with u = tanh(Wq q + bq), so row j of the Jacobian is v_j (1 − u_j²) Wq[j, :]. The paper prints one number
per neuron and does not say how it reduced the row to it; three reductions are offered.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import GateError, shown
from ..models.evaluation import evaluated

REDUCTIONS = ("l2", "sum", "abs-sum")


@evaluated
def jacobian(vqa, F: Tensor, q: Tensor) -> Tensor:
    """∂A/∂q (J, Q), paper §3.2, by automatic differentiation: works for every model.

    Parameters
    ----------
    F : (1, K, h, w) maps; q : (1, Q) question embedding.
    """
    F = F.detach()

    def combine(q_: Tensor) -> Tensor:
        u, v = vqa.branches(F, q_[None])
        return (u * v)[0]

    return torch.autograd.functional.jacobian(combine, q[0].detach(), vectorize=True)


def check_reduction(reduce: str) -> None:
    """GateError if ``reduce`` is none of :data:`REDUCTIONS` (the reductions of paper §3.2)."""
    if reduce not in REDUCTIONS:
        raise GateError(f"unknown reduction {shown(reduce)} of ∂A/∂q; choose one of {', '.join(REDUCTIONS)}")


def reduce_rows(rows: Tensor, reduce: str = "l2") -> Tensor:
    """One number per row of ∂A/∂q: its length (``l2``), its sum, or the sum of its absolute values.

    Raises
    ------
    GateError
        If ``reduce`` is none of :data:`REDUCTIONS`.
    """
    check_reduction(reduce)
    if reduce == "l2":
        return torch.linalg.vector_norm(rows, dim=1)
    if reduce == "sum":
        return rows.sum(1)
    return rows.abs().sum(1)


def reduce_product(
    factor: Tensor, rows: Tensor, which: Sequence[str] = REDUCTIONS, known: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The closed form of paper §3.2: reductions of the rows factor_j · rows_j, reduction → (..., J).

    A factor multiplies the row's length and its sum of absolute values by its absolute value, and its sum by itself.
    So the rows are reduced once, whatever the image and the question.

    Parameters
    ----------
    factor : (..., J), of one question or of many; rows : (J, Q), as ``vqa.sensitivity_jacobian`` has both.
    known : a cache of the reduced rows (J,) of a model, filled by the first call.
    """
    known = {} if known is None else known
    for r in which:
        if r not in known:
            known[r] = reduce_rows(rows, r)
    return {r: (factor if r == "sum" else factor.abs()) * known[r] for r in which}


def sensitivity(vqa, F: Tensor, q: Tensor, u: Tensor, v: Tensor, reduce: str = "l2") -> Tensor:
    """∂A/∂q reduced to one number per combine neuron, (J,); paper §3.2, Tables 1–4.

    Uses the model's closed form (a factor per neuron times a constant row) where it has one, and
    :func:`jacobian` otherwise; the two agree to rounding (tested).
    """
    return reductions(vqa, F, q, u, v, (reduce,))[reduce]


@evaluated
def reductions(
    vqa, F: Tensor, q: Tensor, u: Tensor, v: Tensor, which: Sequence[str] = REDUCTIONS,
    known: dict[str, Tensor] | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """Several reductions of ∂A/∂q (paper §3.2) from one Jacobian: reduction → (J,), as :func:`sensitivity` has them.

    ``known`` : the cache of :func:`reduce_product`; it stays empty for a model without a closed form.
    """
    closed = vqa.sensitivity_jacobian(u[0], v[0])
    if closed is None:
        rows = jacobian(vqa, F, q)
        return {r: reduce_rows(rows, r) for r in which}
    return reduce_product(*closed, which, known)
