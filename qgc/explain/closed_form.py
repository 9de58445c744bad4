"""The closed form: the maps of every n at the cost of one (book/gate.ipynb).

Grad-CAM (paper Eq. 1–2) of an answer a, gated to a set S of combine neurons (§3.3), weights the maps F^k by

    α_k(S) = (1/Z) Σ_ij ∂y_a/∂F^k_ij,  the gradient flowing back through the combine layer A = u ∘ v only at S.

The chain rule through A, with c_j = ∂y_a/∂A_j, splits this into a number per neuron and a row per neuron:

    α(S) = Σ_{j∈S} g_j M_j,   g_j = ∂y_a/∂v_j = c_j u_j,   M_jk = (1/Z) Σ_ij ∂v_j/∂F^k_ij

g holds the question and the answer, and is cheap. M holds the image and is expensive, but it depends neither on the
answer nor on S (nor on the question, unless v does). So three steps give the maps of all n:

1. :func:`pooled_jacobian`: M, once per image;
2. :func:`weights`: the running sum of the rows g_j M_j in the order of the ranking; row n − 1 is α of the top n;
3. :func:`maps`: one matrix product with F.

:mod:`qgc.explain.gradcam` computes the same map by plain automatic differentiation, one S at a time.
"""

from __future__ import annotations

from torch import Tensor

from ..errors import QGCError, WeightsError
from ..models.evaluation import evaluated, is_finite
from ..models.jacobian import jacobian


@evaluated
def pooled_jacobian(vqa, F: Tensor, q: Tensor | None = None, chunk: int = 128) -> Tensor:
    """M (J, K) of book/gate.ipynb: the spatial mean of ∂v_j/∂F^k, for every combine neuron j.

    In closed form where the model has one, per image or (Pythia) per image and question; otherwise by
    :func:`pooled_jacobian_vjp`.

    Parameters
    ----------
    F : (1, K, h, w) maps. q : (1, Q); needed where the image branch sees the question. chunk : neurons at a time.

    Raises
    ------
    QGCError
        If q is needed and not given.
    """
    M = vqa.pooled_jacobian(F)
    if M is None and q is not None:
        M = vqa.question_pooled_jacobian(F, q)
    return pooled_jacobian_vjp(vqa, F, q, chunk) if M is None else M


@evaluated
def pooled_jacobian_vjp(vqa, F: Tensor, q: Tensor | None = None, chunk: int = 128) -> Tensor:
    """M (J, K) by batched vector-Jacobian products: no assumption about the model's head (book/gate.ipynb).

    Parameters and errors are those of :func:`pooled_jacobian`.
    """
    if q is None:
        # where v ignores the question, any one will do; that it does, the model says by its question_branch
        q = vqa.encode(vqa.vocabulary.words[0])
        if vqa.question_branch(q) is None:
            raise QGCError("the image branch of this model may see the question; give q as well: vqa.encode(question)")
    return jacobian(lambda maps: vqa.branches(maps, q.detach())[1], F, chunk)


def weights(g: Tensor, M: Tensor, order: Tensor) -> Tensor:
    """α for every n, (J, K): row n − 1 is Σ over the first n neurons of ``order`` of g_j M_j (Eq. 1, §3.3).

    g (J,), M (J, K), order (J,): neurons from first to last.
    """
    return (g[order, None] * M[order]).cumsum(0)


def maps(alpha: Tensor, F: Tensor) -> Tensor:
    """Σ_k α_k F^k before the ReLU of Eq. 2: (N, K) weights and (1, K, h, w) maps → (N, h, w).

    Raises
    ------
    WeightsError
        If a map's numbers are not finite.
    """
    _, K, h, w = F.shape
    return checked((alpha @ F[0].reshape(K, h * w)).view(-1, h, w))


def checked(maps: Tensor) -> Tensor:
    """The maps of Eq. 2, unchanged; a WeightsError if one of their numbers is not finite."""
    if not is_finite(maps):
        raise WeightsError("a map of this model holds numbers that are not finite; load the model with "
                           "dtype=torch.float32 or float64, and if they still are not, train it again")  # fmt: skip
    return maps
