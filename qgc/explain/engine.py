"""The engine: every n for the price of one (book/gate.ipynb).

The gated weights of Eq. 1 are linear in the set S of combine neurons:

    α(S) = Σ_{j∈S} g_j M_j,   g_j = Wo[a, j] u_j,   M_jk = (1/Z) Σ_ij ∂v_j/∂F^k_ij

M does not depend on the answer or on n (nor, in the Deeper LSTM, on the question). One pooled
Jacobian per image therefore gives the maps of all n by a cumulative sum in ranking order and one
matrix product.
"""

from __future__ import annotations

from torch import Tensor

from ..errors import WeightsError
from ..models.evaluation import evaluated, is_finite
from ..models.jacobian import jacobian


@evaluated
def pooled_jacobian(vqa, F: Tensor, q: Tensor | None = None, chunk: int = 128) -> Tensor:
    """M (J, K) of book/gate.ipynb: the spatial mean of ∂v_j/∂F^k, for every combine neuron j.

    In closed form where the model has one, per picture or (Pythia) per picture and question; otherwise by batched
    vector-Jacobian products, ``chunk`` neurons at a time. Models whose image branch sees the question also need
    ``q`` (1, Q).
    """
    if hasattr(vqa, "pooled_jacobian"):
        return vqa.pooled_jacobian(F)
    if hasattr(vqa, "question_pooled_jacobian"):
        return vqa.question_pooled_jacobian(F, q)
    return pooled_jacobian_vjp(vqa, F, q, chunk)


@evaluated
def pooled_jacobian_vjp(vqa, F: Tensor, q: Tensor | None = None, chunk: int = 128) -> Tensor:
    """The fallback of :func:`pooled_jacobian`: no assumption about the model's head."""
    if q is None:  # the image branch does not look at it, but ``branches`` wants one
        q = vqa.encode(vqa.vocabulary.words[0])
    return jacobian(lambda maps: vqa.branches(maps, q.detach())[1], F, chunk)


def weights(g: Tensor, M: Tensor, order: Tensor) -> Tensor:
    """α for every n, (J, K): row n − 1 is Σ over the first n neurons of ``order`` of g_j M_j (Eq. 1)."""
    return (g[order, None] * M[order]).cumsum(0)


def maps(alpha: Tensor, F: Tensor) -> Tensor:
    """Σ_k α_k F^k before the ReLU of Eq. 2: (N, K) weights and (1, K, h, w) maps → (N, h, w)."""
    _, K, h, w = F.shape
    return checked((alpha @ F[0].reshape(K, h * w)).view(-1, h, w))


def checked(maps: Tensor) -> Tensor:
    """The maps of Eq. 2, if all their numbers are finite; else a WeightsError."""
    if not is_finite(maps):
        raise WeightsError("a map of this model holds numbers that are not finite; load the model with "
                           "dtype=torch.float32 or float64, and if they still are not, train it again")  # fmt: skip
    return maps
