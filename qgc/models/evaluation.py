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

WHOLE = 2**17  # numbers up to which all of a tensor is looked at for changes; of a larger one some of its rows
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

# Several threads may explain with one model, or with two that share modules: the mode that a module was in is kept by
# the first that comes and restored by the last that goes. A training loop may call ``train()`` in between; that stays.
_lock = threading.RLock()
_before: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()  # module → whether it was in training mode
_users: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()  # module → threads that explain with it now
_thread = threading.local()  # .models: those that this thread explains with


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without dropout, whatever mode the model is in; then every module is as it was before.

    Autocast, inference mode and a default device pause, too: numbers keep the model's type, gradients can be taken of
    them, and they are where the model is. Threads may do this at the same time: the last to leave restores the mode.

    Raises
    ------
    WeightsError
        If the weights allow no gradient: made in inference mode, without numbers (``meta``), of several number types or
        devices, complex or quantised.
    """
    inside = _thread.__dict__.setdefault("models", [])
    if any(model is other for other in inside):  # on the way in, all of this was done
        yield
        return
    modules = list(model.modules())
    weights = [p for module in modules for p in module._parameters.values() if p is not None]
    _check_weights(weights, modules)
    device = weights[0].device.type if weights else "cpu"
    with ExitStack() as contexts:
        if torch.is_inference_mode_enabled():
            contexts.enter_context(torch.inference_mode(False))
            contexts.enter_context(torch.no_grad())  # which leaving inference mode alone would switch on
        if torch.is_autocast_enabled(device):
            contexts.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            contexts.enter_context(torch.device("cpu"))  # as usual; what is made there goes to the model's device
        contexts.enter_context(_evaluation_mode(model, modules))
        inside.append(model)
        try:
            yield
        finally:
            inside.remove(model)


@contextmanager
def _evaluation_mode(model: nn.Module, modules: Sequence[nn.Module]) -> Iterator[None]:
    with _lock:
        held = modules if _users or any(module.training for module in modules) else ()  # mostly (), which is quick
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
                    module.training |= _before.pop(module)  # or put into training mode meanwhile
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
        found = sorted(f"{dtype} on {device}".removeprefix("torch.") for dtype, device in kinds)
        raise WeightsError(f"this model's weights are {' and '.join(found + ['quantised'] * quantised)}; explaining "
                           "needs one floating-point type on one device: vqa.to('cpu', torch.float32)")  # fmt: skip


def evaluated(function: Callable) -> Callable:
    """Let a function do its work :func:`evaluating` its first argument: a model, or what has one as ``vqa``."""

    @wraps(function)
    def run(subject, *args, **kwargs):
        with evaluating(getattr(subject, "vqa", subject)):
            return function(subject, *args, **kwargs)

    return run


class WeightsMark:
    """What some weights are now, to be compared (``==``) with what they are later, without a copy of them.

    PyTorch counts what is changed in place, but not through ``.data`` or NumPy; so sums of the numbers are compared as
    well, of rows and of columns: all of them in a tensor of up to 2¹⁷ numbers, and some rows of a larger one.
    """

    def __init__(self, tensors: Iterable[Tensor]):
        kept = [t.detach() for t in tensors]
        self._places = [
            (t.data_ptr(), t.shape, t.dtype, t.device, None if t.is_inference() else t._version) for t in kept
        ]
        self._sums = torch.cat([_sums_of(t) for t in kept])

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

    A copy, or what comes out of a pickle, has a copied model: it is current if the original was.
    """

    vqa: nn.Module

    def mark(self) -> None:
        """Take the weights as they are now for those that this holds for."""
        self._weights = WeightsMark.from_model(self.vqa)

    @property
    def is_current(self) -> bool:
        """Whether the model's weights, number type and device are still those that this was made with."""
        return self._weights == WeightsMark.from_model(self.vqa)

    def __getstate__(self) -> dict:
        return {**vars(self), "_weights": self.is_current}  # a mark knows addresses, which a copy does not share

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._weights = WeightsMark.from_model(self.vqa) if state["_weights"] else None


def _sums_of(tensor: Tensor) -> Tensor:
    rows = tensor.flatten(1) if tensor.ndim > 1 else tensor.reshape(1, -1)
    rows = rows[:: 1 + rows.numel() // WHOLE].contiguous()
    wide = (
        rows.numel() > 0 and rows.shape[1] * rows.element_size() % 8 == 0
    )  # several numbers to a long one, which is added up quickly
    bits = rows.view(torch.int64 if wide else INTEGERS[rows.element_size()])
    # Of whole numbers: exact in any order, and NaN has one. Sums of columns see numbers that change places in a row.
    return torch.cat([bits.sum(1), bits.sum(0)])


def is_finite(values: Tensor) -> bool:
    """Whether no number is infinite or NaN."""
    return not values.numel() or not values.is_floating_point() or bool(values.abs().amax().isfinite())


def not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first tensor with a number that is infinite or NaN; None if there is none."""
    return next((name for name, tensor in tensors.items() if not is_finite(tensor)), None)
