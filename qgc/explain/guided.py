"""Gradients with respect to the image: plain, guided backpropagation and guided Grad-CAM (paper §3.1).

Guided backpropagation (Springenberg et al. 2015) changes the backward pass of every ReLU. With ``a`` the ReLU's
input and ``R`` the gradient with respect to its output, the gradient with respect to its input is

    plain:   R · [a > 0]             guided:   R · [a > 0] · [R > 0].

The forward pass never changes, so no layer is replaced. The ReLUs are found where they act, in the graph that
automatic differentiation builds from the image to the score: a module, ``F.relu``, ``tensor.relu()`` (fc6 and fc7)
and the in-place kinds are all the same node there. *All* ReLUs between image and score are guided, those of fc6 and
fc7 too; the tanh of the image branch is not a ReLU and stays as it is. Cutting off by ``clamp`` or ``maximum`` is not
seen as a ReLU.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node

from ..errors import ImageError, QGCError
from ..models.evaluation import evaluated, evaluating
from .explanation import Explanation

RELU = "ReluBackward"
OTHER_RECTIFIERS = ("LeakyRelu", "Prelu", "Rrelu", "Elu", "Celu", "Gelu", "Silu", "Mish", "Softplus", "Hardtanh",
                    "Hardswish", "Threshold")  # fmt: skip


@dataclass
class ReLU:
    """One ReLU in a backward pass: where it is ``active`` (a > 0), and the gradients of its output and its input."""

    active: Tensor
    grad_output: Tensor
    grad_input: Tensor


class BackwardPass:
    """The backward pass from an answer's score to the image, with the ReLUs on its path (paper §3.1).

    Parameters
    ----------
    explanation : what :func:`qgc.explain` gave: image, question and answer.
    start : another backward pass from the same :class:`~qgc.explain.EncodedImage`, whose forward pass through the
        convolutions is used again.

    Attributes
    ----------
    relus : :class:`ReLU` list of the last :meth:`gradient`, from the image to the answer.

    Raises
    ------
    ImageError
        If ``start`` belongs to another EncodedImage.
    """

    def __init__(self, explanation: Explanation, start: BackwardPass | None = None):
        vqa = self.vqa = explanation.vqa
        self.view = explanation.view
        if start is not None and start.view is not self.view:
            raise ImageError("this backward pass starts at another EncodedImage; explain both questions with one")
        self.view.check()
        with evaluating(vqa), torch.enable_grad():
            self._x = start._x if start else vqa.prepare(explanation.image).requires_grad_()  # weights may be frozen
            self._F = start._F if start else vqa.conv(self._x)
            u, v = vqa.branches(self._F, explanation.q.detach())
            self._y = vqa.classify(u * v)[0, vqa.answer_index(explanation.answer)]
        self.relus: list[ReLU] = []
        self._nodes = graph_nodes(self._y)

    @evaluated
    def gradient(self, guided: bool = False) -> Tensor:
        """∂y_a/∂x (3, H, W) by the plain or the guided rule (Springenberg et al. 2015), per unit of the model's input.

        Not normalised, with its sign, in the order red, green, blue whatever the CNN's own is.

        Raises
        ------
        QGCError
            If ``guided``, and there is no ReLU on the path or a node could hide one (:func:`check_guidable`).
        """
        self.view.check()
        if guided:
            check_guidable(self._nodes)
        relus: list[ReLU] = []

        def hook_of(node: Node):
            def hook(grad_inputs: tuple[Tensor], grad_outputs: tuple[Tensor]) -> tuple[Tensor]:
                # the plain rule has set the gradient to zero where a ≤ 0 already: [R > 0] is what is left to do
                grad_input = grad_inputs[0].clamp(min=0) if guided else grad_inputs[0]
                relus.append(ReLU(node._saved_result > 0, grad_outputs[0], grad_input))
                return (grad_input,)

            return hook

        handles = [node.register_hook(hook_of(node)) for node in self._nodes if node.name().startswith(RELU)]
        try:
            (gradient,) = torch.autograd.grad(self._y, self._x, retain_graph=True)
        finally:
            for handle in handles:
                handle.remove()
        self.relus = relus[::-1]
        return self.vqa.colours(gradient[0])


def graph_nodes(y: Tensor) -> set[Node]:
    """All nodes of the graph that automatic differentiation takes a gradient of ``y`` back through (paper §3.1)."""
    nodes, waiting = set(), [y.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in nodes:
            nodes.add(node)
            waiting += [earlier for earlier, _ in node.next_functions]
    return nodes


def check_guidable(nodes: set[Node]) -> None:
    """Raise unless guided backpropagation (Springenberg et al. 2015) is defined for a graph of these nodes.

    Warns of other rectifiers (GELU, leaky ReLU, …): the guided rule is not defined there, they stay plain.

    Raises
    ------
    QGCError
        If there is no ReLU, or a custom or compiled node could hide one: the result would be the plain gradient under
        another name.
    """
    names = {node.name() for node in nodes}
    hidden = {n.name() for n in nodes if isinstance(n, BackwardCFunction)} | {n for n in names if "jit::" in n}
    if hidden:
        raise QGCError(
            f"guided backpropagation cannot look into {', '.join(sorted(hidden))}, a custom or compiled step; "
            "use the model as plain modules, uncompiled and without checkpointing"
        )
    if not any(name.startswith(RELU) for name in names):
        raise QGCError(
            "there is no ReLU between the image and the answer, so guided backpropagation would be the plain "
            "gradient; use input_gradient"
        )
    others = sorted(name for name in names if name.startswith(OTHER_RECTIFIERS))
    if others:
        warnings.warn(f"guided backpropagation leaves {', '.join(others)} as they are: not a ReLU", stacklevel=2)


def input_gradient(explanation: Explanation) -> Tensor:
    """∂y_a/∂x (3, H, W), the plain gradient of the answer's score with respect to the image (paper §3.1).

    Per unit of the model's input, that is of (RGB/255 − mean)/std; with its sign, not normalised.
    """
    return BackwardPass(explanation).gradient()


def guided_backprop(explanation: Explanation) -> Tensor:
    """Guided backpropagation (3, H, W) of the answer's score (Springenberg et al. 2015, reference [4] of paper §3.1).

    The units of :func:`input_gradient`; every active ReLU backpropagates only what is positive.

    Raises
    ------
    QGCError
        If no ReLU can be found on the path (:func:`check_guidable`).
    """
    return BackwardPass(explanation).gradient(guided=True)


@evaluated
def guided_gradcam(explanation: Explanation, n: int | None = None, fine: Tensor | None = None) -> Tensor:
    """Guided Grad-CAM (3, H, W): guided backpropagation times the enlarged map (Selvaraju et al. 2019).

    ``n`` gates the map (paper §3.3; None is the original Grad-CAM), not the guided backpropagation, which can be given
    as ``fine`` where it is known already. The map is enlarged bilinearly, as the overlays show it.

    Raises
    ------
    GateError
        If n is out of range. QGCError, as :func:`guided_backprop`.
    """
    map_ = explanation.map(n)
    fine = guided_backprop(explanation) if fine is None else fine
    large = torch.nn.functional.interpolate(map_[None, None], fine.shape[1:], mode="bilinear", align_corners=False)
    return fine * large[0, 0]
