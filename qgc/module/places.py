"""Places in a model, one tensor of a forward pass each, and how an image's tokens become a grid (for Eq. 2)."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import QGCError, shown

SPELLED = re.compile(r"(?P<name>[^:@\s]*)(?P<side>:input)?(@(?P<call>\d+))?")
BOXES = "boxes"
Change = Callable[[Tensor], Tensor]


class Place:
    """The first tensor that a module of ``model`` gives, or that it is given, in one of its calls.

    ``spec``: ``"encoder.layers.3"``, or that module itself, is its output, ``"classifier:input"`` what goes into it,
    ``"cell@1"`` the output of its second call; ``layers.-2`` is the last layer but one, ``layers.50%`` that halfway.
    """

    def __init__(self, model: nn.Module, spec: str | nn.Module):
        if isinstance(spec, nn.Module):
            spec = next((name for name, module in model.named_modules() if module is spec), spec)
        found = SPELLED.fullmatch(spec.strip()) if isinstance(spec, str) else None
        if not found:
            raise QGCError(f"{shown(spec)} is not a place in this model; give one of its modules, or a name such as "
                           "'encoder.layers.3', 'classifier:input' or 'cell@1'")  # fmt: skip
        self.spec, self.of_input, self.call = spec.strip(), bool(found["side"]), int(found["call"] or 0)
        self.chain = _chain(model, found["name"])  # from the model down to the module
        self.module = self.chain[-1]

    def hook(self, change: Change):
        """Have ``change`` replace the tensor at this place from now on; ``remove()`` of what this returns ends it."""
        calls = iter(range(self.call + 1))

        def changed(value):
            return change_first(value, change, self.spec) if next(calls, None) == self.call else value

        def before(module, args, kwargs):
            if any(isinstance(value, Tensor) for value in args):
                return changed(args), kwargs
            return args, changed(dict(kwargs))

        if self.of_input:
            return self.module.register_forward_pre_hook(before, with_kwargs=True)
        return self.module.register_forward_hook(lambda module, args, output: changed(output))

    def __repr__(self) -> str:
        return repr(self.spec)


def change_first(value: Any, change: Change, spec: str) -> Any:
    """``value`` with its first tensor changed: of a tensor, a tuple, a list or a mapping (a ``ModelOutput``)."""
    if isinstance(value, Tensor):
        return change(value)
    sequence = value if isinstance(value, (tuple, list)) else ()
    items = value.items() if isinstance(value, Mapping) else enumerate(sequence)
    at = next((k for k, v in items if isinstance(v, (Tensor, tuple, list))), None)
    if at is None:
        raise QGCError(f"there is no tensor at the place {spec!r}; name a module that gives one")
    new = change_first(value[at], change, spec)
    if isinstance(value, Mapping):
        value[at] = new
        return value
    return type(value)([*value[:at], new, *value[at + 1 :]])


def _chain(model: nn.Module, name: str) -> list[nn.Module]:
    chain = [model]
    for part in name.split(".") if name else []:
        inner = chain[-1]
        if isinstance(inner, (nn.ModuleList, nn.Sequential)) and re.fullmatch(r"-\d+|\d+%", part):
            at = int(part) if part[-1] != "%" else min(int(part[:-1]) * len(inner) // 100, len(inner) - 1)
            inner = inner[at] if -len(inner) <= at else None
        else:
            inner = getattr(inner, part, None)
        if not isinstance(inner, nn.Module):
            names = [n for n, _ in model.named_modules() if n]
            near = [n for n in names if n.split(".")[-1] == name.split(".")[-1]][:3]
            near = near or difflib.get_close_matches(name, names, 3, 0.4)
            raise QGCError(f"the model has no module {name!r}; it has {', '.join(near)} …: print(model) shows all")
        chain.append(inner)
    return chain


class Grid(NamedTuple):
    """Of a layer's tokens, h·w are the image's cells, row by row, after the first ``skip``; None: the last h·w are."""

    h: int
    w: int
    skip: int | None = None


def as_maps(tokens: Tensor, layout: Any, place: Any = "target_layer") -> Tensor:
    """Maps (rows, K, h, w) of what a layer gave; maps are left as they are.

    Tokens (rows, N, K), or (N, K) of one row, are cut by ``layout``: (h, w) or a :class:`Grid`; ``"boxes"``, for one
    row of N cells; a function, pytorch-grad-cam's ``reshape_transform``; None: a square, maybe after a class token.
    """
    if callable(layout):
        tokens = layout(tokens)
    if tokens.dim() == 4:
        return tokens
    if tokens.dim() not in (2, 3) or callable(layout):
        raise QGCError(f"at {place} there are {tuple(tokens.shape)}, neither maps nor tokens; give reshape_transform, "
                       "a function that makes maps (rows, K, h, w) of what the layer gives")  # fmt: skip
    tokens = tokens[None] if tokens.dim() == 2 else tokens
    if layout == BOXES:
        return tokens.mT[:, :, None]
    count = tokens.shape[1]
    h, w, skip = Grid(*layout) if layout else Grid(math.isqrt(count), math.isqrt(count))
    skip = count - h * w if skip is None else skip
    if not (0 <= skip <= count - h * w) or (not layout and (skip > 1 or count < 4)):
        raise QGCError(f"the {count} tokens of {place} do not make a grid{f' {h}×{w}' if layout else ''}; give "
                       "reshape_transform: (h, w) if its cells are the last tokens, qgc.module.Grid(h, w, skip), "
                       "'boxes' for a detector's, or a function that makes maps (rows, K, h, w)")  # fmt: skip
    return tokens[:, skip : skip + h * w].mT.unflatten(2, (h, w))


def positions(tokens: Tensor, layout: Any) -> Tensor:
    """Where in ``tokens.flatten()`` each number of its maps stands, (rows, K, h, w): the layout's inverse."""
    numbered = as_maps(torch.arange(tokens.numel(), dtype=torch.float64).view(tokens.shape), layout)
    index = numbered.long()
    there = torch.isin(numbered, torch.arange(tokens.numel(), dtype=torch.float64)).all()
    if not there or len(index.unique()) < index.numel():
        raise QGCError("this reshape_transform changes numbers, so no cell can be masked; give one that moves them")
    return index.to(tokens.device)
