"""A model while it is explained: in evaluation mode, in its own number type, with the weights that it had before."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import wraps
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..errors import WeightsError

CHECKED_NUMBERS = 2**14  # a tensor of more numbers than this is checked for changes in some of its rows only
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

# Several threads may explain with one model, or with two that share modules: the first thread stores the mode that a
# module is in, and the last one restores it. A training loop may call ``train()`` in between; that remains.
_lock = threading.RLock()
_before: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()  # module → whether it was in training mode
_users: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # module → threads that explain with it now
_thread = threading.local()  # .models: those that this thread explains with


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without dropout, whatever mode the model is in; afterwards every module is in its mode of before.

    Autocast, inference mode and a default device are suspended, too: numbers keep the model's type and device, and
    gradients can be taken of them. Threads may do this at the same time: the last to leave restores the mode.

    WeightsError if the weights allow no gradient: made in inference mode, without numbers (``meta``), of several number
    types or devices, complex or quantised.
    """
    inside = _thread.__dict__.setdefault("models", [])
    if any(model is other for other in inside):  # a nested call: all of this is done already
        yield
        return
    modules = list(model.modules())
    weights = [p for module in modules for p in module._parameters.values() if p is not None]
    _check_weights(weights, modules)
    device = weights[0].device.type if weights else "cpu"
    with ExitStack() as contexts:
        if torch.is_inference_mode_enabled():
            contexts.enter_context(torch.inference_mode(False))
            contexts.enter_context(torch.no_grad())  # leaving inference mode alone would switch gradients on
        if torch.is_autocast_enabled(device):
            contexts.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            contexts.enter_context(torch.device("cpu"))  # the default; callers move new tensors to the model's device
        contexts.enter_context(_evaluation_mode(model, modules))
        inside.append(model)
        try:
            yield
        finally:
            inside.remove(model)


@contextmanager
def _evaluation_mode(model: nn.Module, modules: Sequence[nn.Module]) -> Iterator[None]:
    with _lock:
        # mostly nothing trains and no other thread is here; then there is nothing to restore
        held = modules if _users or any(module.training for module in modules) else ()
        for module in held:
            _before[module] = module.training or _before.get(module, False)
            _users[module] = _users.get(module, 0) + 1
        if any(module.training for module in held):
            model.eval()
    try:
        yield
    finally:
        with _lock:
            for module in held:
                _users[module] -= 1
                if not _users[module]:
                    module.training |= _before.pop(module)  # "or": it may have been put into training mode meanwhile
                    del _users[module]


def _check_weights(weights: Sequence[Tensor], modules: Sequence[nn.Module]) -> None:
    if any(p.is_inference() for p in weights):
        raise WeightsError("this model's weights were made under torch.inference_mode, so nothing can be explained by "
                           "gradients; load or build the model outside of it")  # fmt: skip
    if any(p.is_meta for p in weights):
        raise WeightsError("this model's weights are on the device 'meta', without numbers; load it to 'cpu'")
    kinds = {(p.dtype, p.device) for p in weights}
    quantised = any(".quantized." in type(module).__module__ for module in modules)
    if len(kinds) > 1 or quantised or any(dtype.is_complex for dtype, _ in kinds):
        types = sorted(f"{dtype} on {device}".removeprefix("torch.") for dtype, device in kinds)
        raise WeightsError(f"this model's weights are {' and '.join(types + ['quantised'] * quantised)}; explaining "
                           "needs one floating-point type on one device: vqa.to('cpu', torch.float32)")  # fmt: skip


def evaluated(function: Callable) -> Callable:
    """Run a function while :func:`evaluating` its first argument: a model, or an object with one as ``vqa``."""

    @wraps(function)
    def run(subject, *args, **kwargs):
        with evaluating(getattr(subject, "vqa", subject)):
            return function(subject, *args, **kwargs)

    return run


class WeightsMark:
    """A fingerprint of some weights, to be compared (``==``) with a later one without keeping a copy of them.

    PyTorch counts changes in place, but not those through ``.data`` or NumPy; so sums of the numbers are compared as
    well, of rows and of columns: all of them in a tensor of up to 2¹⁴ numbers, and some rows of a larger one.
    """

    def __init__(self, tensors: Iterable[Tensor]):
        tensors = [t.detach() for t in tensors]
        self._places = [
            (t.data_ptr(), t.shape, t.dtype, t.device, None if t.is_inference() else t._version) for t in tensors
        ]
        self._sums = torch.cat([_sums_of(t) for t in tensors])

    @classmethod
    def from_model(cls, model: nn.Module) -> WeightsMark:
        """The mark of all parameters and buffers."""
        return cls((*model.parameters(), *model.buffers()))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, WeightsMark)
            and self._places == other._places  # the same device, too, so that the sums can be compared
            and torch.equal(self._sums, other._sums)
        )


class ModelBound:
    """Base of what was computed with a model (``vqa``) and is valid for the weights that it had: EncodedImage, Words.

    A copy, or an unpickled object, has a copied model: it is current if the original was.
    """

    vqa: nn.Module

    def mark(self) -> None:
        """Record the weights as they are now as those that this is valid for."""
        self._weights = WeightsMark.from_model(self.vqa)

    @property
    def is_current(self) -> bool:
        """Whether the model's weights, number type and device are still those that this was computed with."""
        return self._weights == WeightsMark.from_model(self.vqa)

    def __getstate__(self) -> dict:
        return {**vars(self), "_weights": self.is_current}  # a mark holds addresses, which a copy does not share

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._weights = WeightsMark.from_model(self.vqa) if state["_weights"] else None


def _sums_of(tensor: Tensor) -> Tensor:
    rows = tensor.flatten(1) if tensor.ndim > 1 else tensor.reshape(1, -1)
    rows = rows[:: 1 + rows.numel() // CHECKED_NUMBERS].contiguous()
    # several numbers read as one 64-bit integer are summed faster
    wide = rows.numel() > 0 and rows.shape[1] * rows.element_size() % 8 == 0
    bits = rows.view(torch.int64 if wide else INTEGERS[rows.element_size()])
    # Integer sums are exact in any order, and well defined for NaN. Sums of columns notice a permutation within a row.
    return torch.cat([bits.sum(1), bits.sum(0)])


def is_finite(values: Tensor) -> bool:
    """Whether no number is infinite or NaN."""
    return not values.numel() or not values.is_floating_point() or bool(values.abs().amax().isfinite())


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor with a number that is infinite or NaN; None if there is none."""
    return next((name for name, tensor in tensors.items() if not is_finite(tensor)), None)
