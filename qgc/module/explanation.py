"""``qgc.explain_module``: maps, gates and contrasts of any PyTorch model that is asked about an image."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ..errors import GateError, ImageError, QGCError, QuestionError
from ..explain import gates
from ..explain.contrast import contrast
from ..images import open_image
from ..models import VQA
from ..show import pixels
from . import adapters, blindness, sensitivity
from .forward import Kept, Memory, Parts, held
from .places import BOXES, Place, as_maps
from .targets import score

LEAKY = 0.05  # of the gradient may go around a gate before a warning says so


class ModuleExplanation:
    """An image, a question and an answer explained, each row of a batch; made by :func:`explain_module`.

    Attributes
    ----------
    target : what is explained: each row's answer by its index, or what was given.
    y : (rows, tokens of the answer or 1) its score. F : what ``target_layer`` gave. A : the fusion, None without one.
    """

    def __init__(self, parts: Parts, inputs: Any, target: Any, question_mask: Any, change: Callable | None):
        self.parts, self.inputs, self.question_mask = parts, inputs, question_mask
        gate = list(enumerate(parts.fusion))
        with held(parts.model):
            kept = Kept()
            changes = [(parts.layer, kept.leaf("F")), *((place, kept.kept(i)) for i, place in gate)]
            changes += [] if change is None else [(self.question, change)]
            output = parts.run(inputs, changes, kept, learn=True)
            self._y, self.target = score(target, output, inputs, parts.model)
        self._F, self._sides = kept.get("F", parts.layer), [kept.get(i, place) for i, place in gate]
        self._known: dict[Any, Any] = {}
        if "F" in kept.after_a_draw and self._F.dim() < 4 and not callable(parts.layout):
            raise QGCError(f"the model draws random numbers before {parts.layer}, so where its tokens are in the image "
                           "is not known (ViLT shuffles its patches, in evaluation mode too); name an earlier layer as "
                           "target_layer, the patch embedding")  # fmt: skip
        if not self._y.requires_grad:
            raise QGCError("no gradient reaches the answer's score: the model ran under torch.no_grad (generate does), "
                           f"or the score does not depend on {parts.layer}; call model(**inputs), with the answer's "
                           "tokens in the inputs and target=qgc.module.Answer(tokens)")  # fmt: skip
        if len({side.shape for side in self._sides}) > 1:
            raise QGCError(f"{' and '.join(map(str, parts.fusion))} differ in shape, so their product is no layer; ask "
                           "one question about one image in each row")  # fmt: skip

    y = property(lambda self: self._y.detach())
    F = property(lambda self: self._F.detach())

    @property
    def A(self) -> Tensor | None:
        """The fusion, the product of its places."""
        return torch.stack(self._sides).prod(0).detach() if self._sides else None

    @property
    def axis(self) -> int:
        """Which axis of A holds the neurons: of tokens the last one, of maps the second."""
        return 1 if self._gate.dim() == 4 else self._gate.dim() - 1

    @property
    def question(self) -> Place:
        """The place of the words q; QuestionError if none was given."""
        if self.parts.question is None:
            raise QuestionError("this needs the question; give question=, the place of its word embeddings")
        return self.parts.question

    def ask(
        self, inputs: Any, target: Any = None, question_mask: Any = None, change: Callable | None = None
    ) -> ModuleExplanation:
        """Another question about the same image, whose work is not done again; ``target=None``: the same answer again.

        ``change`` makes other word embeddings of q.
        """
        return ModuleExplanation(self.parts, inputs, self.target if target is None else target, question_mask, change)

    # -- gradients ----------------------------------------------------------------------------------------------
    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    @property
    def _gate(self) -> Tensor:
        # where the gate is: at the last one of the places that are multiplied
        if not self._sides:
            raise GateError("this needs the fusion; give fusion=, the place where image and question meet")
        if not self._sides[-1].requires_grad:
            raise QGCError(f"{self.parts.layer} does not reach {self.parts.fusion[-1]}; name a place behind it, in a "
                           "product the image's side last")  # fmt: skip
        return self._sides[-1]

    def _gradient(self, at: Tensor, token: int | None) -> Tensor:
        # ∂y/∂F, or g = ∂y/∂A
        if token is not None and not 0 <= token < self._y.shape[1]:
            raise GateError(f"there is no token {token} in this answer; it has {self._y.shape[1]}, from 0 on")
        with torch.enable_grad():
            y = self._y.sum() if token is None else self._y[:, token].sum()
        found = self._once((id(at), token), lambda: torch.autograd.grad(y, at, retain_graph=True, allow_unused=True)[0])
        if found is None:
            raise QGCError(f"the answer does not depend on {self.parts.fusion}; name a place between image and answer")
        return found

    def _through(self, g: Tensor) -> Tensor:
        # from the gate to F alone
        return torch.autograd.grad(self._gate, self._F, g, retain_graph=True)[0]

    def _around(self, token: int | None) -> Tensor | float:
        # the part of ∂y/∂F that does not go through the gate: none if no way in the graph leads from y to F around it
        gate, seen, to_do = self._gate.grad_fn, set(), [self._y.grad_fn]
        while to_do and (node := to_do.pop()):
            if getattr(node, "variable", None) is self._F:
                through = self._through(self._gradient(self._gate, token))
                return self._gradient(self._F, token) - through
            if node is not gate and node not in seen:
                seen.add(node)
                to_do += [following for following, _ in node.next_functions if following is not None]
        return 0.0

    @property
    def leak(self) -> float:
        """The share of the gradient that goes around the gate, ‖∂y/∂F − what goes through A‖ / ‖∂y/∂F‖; 0 for a cut."""
        around = self._once(("around", None), lambda: self._around(None))
        return 0.0 if isinstance(around, float) else float(around.norm() / self._gradient(self._F, None).norm())

    # -- maps ---------------------------------------------------------------------------------------------------
    def _weigh(self, dF: Tensor) -> Tensor:
        # Eq. 1–2 before the ReLU, (rows, h, w), in float32 at least
        kind = torch.promote_types(dF.dtype, torch.float32)
        gradient, maps = (as_maps(t.to(kind), self.parts.layout, self.parts.layer) for t in (dF, self.F))
        if not gradient.any():
            warnings.warn(f"no gradient reaches the cells of {self.parts.layer}: where the class token alone "
                          "is read, its last block is off the path; take the one before", stacklevel=3)  # fmt: skip
        return (gradient.mean((2, 3), keepdim=True) * maps).sum(1)

    def map(self, n: int | None = None, *, relu: bool = True, token: int | None = None) -> Tensor:
        """The map (rows, h, w), Eq. 1–2, with the gradient gated to each row's n most sensitive neurons (paper §3.3).

        ``n=None`` is Grad-CAM; ``token`` explains that token of the answer alone. Not normalised.
        """
        if n is not None:
            return self.maps([n], relu=relu, token=token)[:, 0]
        raw = self._weigh(self._gradient(self._F, token))
        return raw.relu() if relu else raw

    def maps(self, ns: Sequence[int], *, order: Any = None, relu: bool = True, token: int | None = None) -> Tensor:
        """Maps (rows, len(ns), h, w) gated to the first n neurons of ``order`` (J,) or (rows, J); None: by sensitivity.

        Each costs one backward pass from the gate to F. As with a tensor hook at the gate, what goes around it remains
        in every map (:attr:`leak`); n = J is Grad-CAM.
        """
        g, axis = self._gradient(self._gate, token), self.axis
        rows, J = g.shape[0], g.shape[axis]
        order = self.order if order is None else torch.as_tensor(order, device=g.device).expand(rows, J)
        around = self._once(("around", token), lambda: self._around(token))
        if self.leak > LEAKY:
            warnings.warn(f"{self.leak:.0%} of the gradient goes around the gate at {self.parts.fusion[-1]} for any "
                          "n; gate what everything goes through, such as a whole block", stacklevel=2)  # fmt: skip
        found = []
        for n in ns:
            kept = torch.zeros_like(order, dtype=g.dtype).scatter_(1, order[:, : gates.check_n(n, J)], 1)
            shape = [rows, *(J if d == axis else 1 for d in range(1, g.dim()))]
            found.append(self._weigh(self._through(g * kept.view(shape)) + around))
        raw = torch.stack(found, 1)
        return raw.relu() if relu else raw

    def contrast(self, other: ModuleExplanation, normalise: str | None = None) -> Tensor:
        """L(q) − L(q′) before the ReLU, (rows, h, w), as :func:`qgc.explain.contrast.contrast` makes it."""
        return contrast(self.map(relu=False), other.map(relu=False), normalise)

    # -- the question -------------------------------------------------------------------------------------------
    def sensitivity(self, directions: int | None = None, seed: int = 0) -> sensitivity.Estimate:
        """‖∂A_j/∂q‖ of every neuron (rows, J), paper §3.2, over all positions of A and all words; with its error.

        Exact, by one vector-Jacobian product a neuron, where A is pooled; otherwise, or with ``directions``, estimated
        from so many random directions of q (64 unless given), by forward passes in which the vision tower does not run.
        """
        return self._once(("∂A/∂q", directions, seed), lambda: sensitivity.sensitivity(self, directions, seed))

    @cached_property
    def order(self) -> Tensor:
        """Each row's neurons from the most sensitive one on, (rows, J)."""
        return gates.ranking(self.sensitivity().value)

    def question_blindness(self, others: Sequence[ModuleExplanation], **how) -> blindness.Blindness:
        """Does the map depend on the question? With ``others``' questions: :func:`~.blindness.question_blindness`."""
        return blindness.question_blindness([self, *others], **how)

    # -- to look at ---------------------------------------------------------------------------------------------
    def numpy(self, n: int | None = None) -> np.ndarray:
        """:meth:`map` as an array (rows, h, w)."""
        return self.map(n).cpu().numpy()

    def overlay(self, image: Any, n: int | None = None, row: int = 0) -> Image.Image:
        """The map of one row over the image as the model saw it, scaled to its own maximum: not to be compared."""
        if self.parts.layout == BOXES:
            raise ImageError("this model reads boxes, which are no grid; map()[row, 0] has one number for each box")
        image = open_image(image)
        share = pixels.share_of_maximum(self.map(n)[row], image.size)
        return Image.fromarray(pixels.compose(pixels.pale(image), share))

    def __repr__(self) -> str:
        return f"<ModuleExplanation of {type(self.parts.model).__name__}, target {self.target}, {len(self._y)} row(s)>"


def explain_module(
    model: nn.Module, inputs: Any, *, target_layer: str | nn.Module | None = None, target: Any = None,
    reshape_transform: Any = None, fusion: Any = None, question: str | nn.Module | None = None,
    output: str | nn.Module | None = None, question_mask: Tensor | None = None,
) -> ModuleExplanation | list[ModuleExplanation]:  # fmt: skip
    """Explain an answer of any PyTorch model: Grad-CAM, the gate, the contrast, sensitivity (Eq. 1–2, §3.2–3.3).

    >>> a, b = qgc.explain_module(vilt, [inputs_a, inputs_b], target="white")
    >>> a.map(); a.map(n=25); a.contrast(b, normalise="l1"); a.question_blindness([b])

    The model is explained in evaluation mode, in its own number type; afterwards it is as it was. A place
    (:class:`~.places.Place`) is a dotted name such as ``"encoder.layers.3"``, ``"classifier:input"`` or ``"cell@1"``.
    For the classes in :data:`~.adapters.ADAPTERS` every place is known.

    Parameters
    ----------
    model : what is explained. inputs : the keyword arguments of its forward method, as a processor gives them; a tuple
        of positional ones; a function that takes the model and calls it. A list holds several questions about one image
        and gives a list; what the image alone decides is computed once.
    target_layer : the place of F, maps (rows, K, h, w) or tokens (rows, N, K).
    target : an answer's index or label (one for each row, or one for all), an :class:`~.targets.Answer` in tokens, or
        a function of the model's output that gives (rows,) scores; None is the answer that the first question gets. A
        list of them, with a list of inputs, has one for each question.
    reshape_transform : how tokens become a grid: (h, w), a :class:`~.places.Grid`, ``"boxes"``, or a function; None
        finds a square, with or without a class token.
    fusion : the place of A, where the gate is: everything between image and answer should go through it. Two places
        whose product it is, the image's last: ``"text_projection * visual_projection"``.
    question : the place of the word embeddings q. question_mask : (T,) or (rows, T), which of their positions are the
        question's; None: all but padding, an image's and the answer's tokens.
    output : the place of the scores, for a model that does not return them.
    """
    asked = inputs if isinstance(inputs, list) else [inputs]
    if not asked:
        raise QuestionError("there is no question in an empty list; give the inputs of one at least")
    if not isinstance(model, nn.Module) or (isinstance(model, VQA) and not callable(asked[0])):
        raise QGCError(f"explain_module takes a PyTorch model with a forward method, not {type(model).__name__}; a VQA "
                       "model of this package is explained by qgc.explain(model, image, question)")  # fmt: skip
    known = adapters.find(model)
    if target_layer is None and known is None:
        raise QGCError(f"the places of {type(model).__name__} are not known; give target_layer=, fusion= and question= "
                       f"by dotted names, see print(model); known are {', '.join(adapters.ADAPTERS)}")  # fmt: skip
    if known is not None:
        if target_layer is None and reshape_transform is None:
            reshape_transform = known.layout(model, asked[0]) if callable(known.layout) else known.layout
        target_layer, fusion = target_layer or known.target_layer, fusion or known.fusion
        question, output = question or known.question, output or known.output
    layer, q, scores = (None if spec is None else Place(model, spec) for spec in (target_layer, question, output))
    factors = [] if fusion is None else fusion.split("*") if isinstance(fusion, str) else [fusion]
    gate = tuple(Place(model, factor) for factor in factors)
    memory = Memory([place for place in (layer, *gate, q, scores) if place is not None])
    parts = Parts(model, layer, reshape_transform, gate, q, scores, memory)
    each = target if isinstance(inputs, list) and isinstance(target, list) else [target] * len(asked)
    if len(each) != len(asked):
        raise QGCError(f"{len(each)} targets for {len(asked)} questions; give one for each, or one for all")
    found = [ModuleExplanation(parts, asked[0], each[0], question_mask, None)]
    found += [found[0].ask(*one, question_mask) for one in zip(asked[1:], each[1:], strict=True)]
    return found if isinstance(inputs, list) else found[0]
