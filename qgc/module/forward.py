"""Forward passes in which places are read and replaced, and the memory that lets several of them share their work."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import QGCError
from .places import Change, Place

PLAIN = (int, float, str, type(None), torch.dtype, torch.device, torch.Size)


class Reached(Exception):
    """Ends a forward pass once all that was wanted of it is there."""


@contextmanager
def held(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, no gradients to the weights, and the same random numbers in every pass; then all is as before.

    So the graph begins at the tensors that are replaced, and what comes before them costs a forward pass alone.
    """
    training = [m for m in model.modules() if m.training]
    trained = [p for p in model.parameters() if p.requires_grad]
    devices = range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)  # a seed is for all of them
    with torch.inference_mode(False), torch.random.fork_rng(devices), torch.enable_grad():
        torch.manual_seed(0)
        model.eval()
        try:
            for p in trained:
                p.requires_grad_(False)
            yield
        finally:
            for p in trained:
                p.requires_grad_(True)
            for m in training:
                m.training = True


class Memory:
    """What modules gave: called again with the same numbers, they give it again without running.

    So a second question needs no vision tower, and a masked image no text encoder. It is of the largest modules that
    hold none of the places, of what no gradient flows through, and of the weights as they are.
    """

    def __init__(self, places: Sequence[Place]):
        around = {m for place in places for m in place.chain[:-1]}
        self.modules = {m for parent in around for m in parent.children() if m not in around}
        self.seen: dict[tuple[nn.Module, int], tuple[Any, Any]] = {}
        self.weights: list[Any] = []

    @contextmanager
    def used(self, learn: bool) -> Iterator[None]:
        """Put the memory in front of the modules; with ``learn`` it remembers what is new."""
        weights = [(p.data_ptr(), 0 if p.is_inference() else p._version) for m in self.modules for p in m.parameters()]
        if weights != self.weights:  # a training step has changed them
            self.seen, self.weights = {}, weights
        calls: Counter[nn.Module] = Counter()
        own = {m: vars(m).get("forward") for m in self.modules}  # some libraries have replaced it already
        for m in self.modules:
            m.forward = self._remembering(m, m.forward, calls, learn)
        try:
            yield
        finally:
            for m, forward in own.items():
                vars(m).pop("forward")
                vars(m).update({} if forward is None else {"forward": forward})

    def _remembering(self, module: nn.Module, forward, calls: Counter, learn: bool):
        def remembering(*args, **kwargs):
            key = module, calls[module]
            calls[module] += 1
            if key in self.seen and is_same(self.seen[key][0], (args, kwargs)):
                return copy.deepcopy(self.seen[key][1])  # a copy: some models add to what they are given, in place
            new = learn and key not in self.seen and is_same((args, kwargs), (args, kwargs))
            given = copy.deepcopy((args, kwargs)) if new else None
            output = forward(*args, **kwargs)
            if new and is_same(output, output):
                self.seen[key] = given, copy.deepcopy(output)
            return output

        return remembering


def is_same(old: Any, new: Any) -> bool:
    """Whether two values are equal number by number, and hold nothing else and no tensor with a gradient."""
    if type(old) is not type(new):
        return False
    if isinstance(old, Tensor):
        alike = (old.shape, old.dtype, old.device) == (new.shape, new.dtype, new.device)
        return alike and not new.requires_grad and torch.equal(old, new)
    if isinstance(old, Mapping):
        return old.keys() == new.keys() and all(is_same(old[k], new[k]) for k in old)
    if isinstance(old, (tuple, list)):
        return len(old) == len(new) and all(map(is_same, old, new))
    return isinstance(old, PLAIN) and old == new


class Kept:
    """Tensors that a pass leaves behind, by name; with ``until``, the pass ends when so many are there."""

    def __init__(self, until: int | None = None):
        self.found: dict[Any, Tensor] = {}
        self.until, self._generators = until, _generators()
        self.after_a_draw: set[Any] = set()  # names of those before which the model drew random numbers

    def leaf(self, name: Any) -> Change:
        """A change that makes a tensor the start of a graph."""
        return lambda t: self._keep(name, t.detach().clone().requires_grad_())

    def kept(self, name: Any) -> Change:
        """A change that changes nothing."""
        return lambda t: self._keep(name, t.view_as(t))  # a view: a node of its own in the graph

    def _keep(self, name: Any, t: Tensor) -> Tensor:
        self.found[name] = t
        if not all(map(torch.equal, self._generators, _generators())):
            self.after_a_draw.add(name)
        if len(self.found) == self.until:
            raise Reached
        return t.clone()  # the model may add to it in place (BLIP does)

    def get(self, name: Any, place: Place) -> Tensor:
        """The tensor of that name; QGCError if the pass did not come to its place."""
        if name not in self.found:
            raise QGCError(f"{place} is not called (so often) when the model answers; name a module that is")
        return self.found[name]


def _generators() -> list[Tensor]:
    # the states of all random number generators
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else ())]


@dataclass(frozen=True)
class Parts:
    """A model and its places: of F, with its layout; of A; of the words q; of the scores where it returns none."""

    model: nn.Module
    layer: Place
    layout: Any
    fusion: tuple[Place, ...]
    question: Place | None
    output: Place | None
    memory: Memory

    def run(self, inputs: Any, changes: Sequence[tuple[Place, Change]], kept: Kept, learn: bool = False) -> Any:
        """What the model gives, or what is at ``output``, with some places changed; None if a change ended the pass."""
        if self.output is not None:
            changes = [*changes, (self.output, kept.kept("output"))]
        with ExitStack() as stack:
            for place, change in changes:
                stack.callback(place.hook(change).remove)
            stack.enter_context(self.memory.used(learn))
            try:
                if isinstance(inputs, Mapping):
                    given = self.model(**inputs)
                elif callable(inputs) and not isinstance(inputs, Tensor):
                    given = inputs(self.model)
                else:
                    given = self.model(*inputs) if isinstance(inputs, tuple) else self.model(inputs)
            except Reached:
                return None
        return given if self.output is None else kept.get("output", self.output)
