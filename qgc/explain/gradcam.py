"""Grad-CAM by automatic differentiation (paper Eq. 1–2), with the gate of §3.3: the reference.

Slow and plain on purpose: one pass back for each answer and set of neurons, and nothing asked of the model but its
four methods. ``qgc.explain.closed_form`` gives the same maps for every n at once; a test holds the two together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.evaluation import evaluated


@evaluated
def gradcam(vqa, F: Tensor, q: Tensor, answer: int, keep: Tensor | None = None) -> Tensor:
    """Paper Eq. 1–2 with the gate of §3.3: the map before ReLU, (h, w).

    α_k = (1/Z) Σ_ij ∂y_a/∂F^k_ij, where in the backward pass ∂y_a/∂A_j is set to zero for every
    combine neuron j not in ``keep`` (None keeps all: the original Grad-CAM); L = Σ_k α_k F^k.

    Parameters
    ----------
    vqa : a model (:class:`qgc.models.VQA`). F : (1, K, h, w) maps; q : (1, Q); answer : index of a; keep : (n,) indices
    of combine neurons, or None.
    """
    F = F.detach().clone().requires_grad_()  # the copy of one from inference mode can have a gradient
    with torch.enable_grad():
        u, v = vqa.branches(F, q.detach().clone())
        A = u * v
        if keep is not None:
            gate = torch.zeros_like(A)
            gate[:, keep] = 1
            A.register_hook(lambda gradient: gradient * gate)  # §3.3: on the way back alone, y is what it was
        y = vqa.classify(A)[0, answer]
    (dF,) = torch.autograd.grad(y, F)
    alpha = dF.mean((2, 3))  # Eq. 1
    return (alpha[:, :, None, None] * F.detach()).sum(1)[0]  # Eq. 2, before ReLU
