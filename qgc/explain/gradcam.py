"""Grad-CAM by automatic differentiation (paper Eq. 1–2), with the gate of §3.3: the reference.

Slow and plain on purpose: one backward pass for each answer and set of neurons, and nothing needed of the model but
its four methods. :mod:`qgc.explain.closed_form` gives the same maps for every n at once; a test compares the two.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..models.evaluation import evaluated


@evaluated
def gradcam(vqa, F: Tensor, q: Tensor, answer: int, keep: Tensor | None = None) -> Tensor:
    """The map of an answer before the ReLU, (h, w): paper Eq. 1–2, with the gate of §3.3.

    L = Σ_k α_k F^k with α_k = (1/Z) Σ_ij ∂y_a/∂F^k_ij. In the backward pass ∂y_a/∂A_j is set to zero for every
    combine neuron j that is not in ``keep`` (None keeps all: the original Grad-CAM).

    Parameters
    ----------
    vqa : a model (:class:`qgc.models.VQA`). F : (1, K, h, w) maps; q : (1, Q); answer : index of a; keep : (n,) indices
    of combine neurons, or None.
    """
    F = F.detach().clone().requires_grad_()  # a copy, since no gradient is taken of inference tensors
    with torch.enable_grad():
        u, v = vqa.branches(F, q.detach().clone())
        A = u * v
        if keep is not None:
            gate = torch.zeros_like(A)
            gate[:, keep] = 1
            A.register_hook(lambda gradient: gradient * gate)  # §3.3: in the backward pass alone, y is as it was
        y = vqa.classify(A)[0, answer]
    (dF,) = torch.autograd.grad(y, F)
    alpha = dF.mean((2, 3))  # Eq. 1
    return (alpha[:, :, None, None] * F.detach()).sum(1)[0]  # Eq. 2, before its ReLU
