"""Published weights from files: read without running anything, checked against the network, then copied."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import safetensors.torch
import torch
from torch import Tensor, nn

from ..data import checks
from ..errors import ADDRESS, DataError, WeightsError, no_file
from .evaluation import is_finite

COUNTER, PARALLEL = "num_batches_tracked", "module."
ENTRIES = ("state_dict", "model")  # where training scripts put the weights among other things
AGAIN = "fetch it again, or give another file"


def read(file: str | Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name: safetensors, or what ``torch.save`` wrote of a state dict.

    Nothing in the file is executed. ``module.`` before all names, and a ``state_dict`` or ``model`` around them, are
    taken off.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or holds anything but tensors.
    """
    path = Path(file)
    try:
        with path.open("rb") as opened:
            safe = opened.read(9)[8:] == b"{"
            opened.seek(0)
            state = safetensors.torch.load_file(path) if safe else _unpickled(opened)
    except pickle.UnpicklingError as error:
        if "allowed global" in str(error):
            raise WeightsError(
                f"the weights file {path} holds more than tensors and could run code, so it was not opened; "
                "give a file of a state dict, best as safetensors"
            ) from None
        raise WeightsError(f"the weights file {path} is damaged or no weights file; {AGAIN}") from None
    except FileNotFoundError:
        if ADDRESS.match(str(file)):
            raise WeightsError(no_file(file)) from None
        raise WeightsError(f"there is no weights file {path}; give the path of one") from None
    except Exception as error:  # whatever the reader raises, the file is of no use
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise WeightsError(f"the weights file {path} cannot be read ({reason}); {AGAIN}") from None
    for entry in ENTRIES:
        if isinstance(state, Mapping) and isinstance(state.get(entry), Mapping):
            state = state[entry]
    if not isinstance(state, Mapping) or not state or not _named_tensors(state):
        raise WeightsError(f"the weights file {path} holds no state dict (tensors by name); give another file")
    if all(k.startswith(PARALLEL) for k in state):
        state = {k.removeprefix(PARALLEL): v for k, v in state.items()}
    return dict(state)


def _named_tensors(state: Mapping) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())


def _unpickled(file: BinaryIO):
    with warnings.catch_warnings():  # of pickle protocols that torch does not write
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True)


def copy_into(backbone: nn.Module, file: str | Path) -> None:
    """Copy a file's tensors into a backbone, all of them or none; see :func:`qgc.models.backbones.load_weights`."""
    state, own = backbone.translate(read(file)), backbone.state_dict()
    fault = _fault(state, own, backbone)
    if fault:
        kind = getattr(backbone.config, "name", "VGG-like network")
        raise WeightsError(f"{file} is no weights file of this {kind}: {fault}; give that of the same network")
    backbone.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)


def _fault(state: Mapping[str, Tensor], own: Mapping[str, Tensor], backbone: nn.Module) -> str:
    missing = [k for k in own if k not in state and not k.endswith(COUNTER)]
    if missing:
        return f"{len(missing)} of {len(own)} tensors are missing, first {missing[0]!r}"
    foreign = [k for k in state if k not in own and not backbone.spare(k) and not k.endswith(COUNTER)]
    if foreign:
        return f"{len(foreign)} tensors have no place in it, first {foreign[0]!r}"
    for key, tensor in own.items():
        if key in state and state[key].shape != tensor.shape:
            return f"{key!r} is {_size(state[key])}, not {_size(tensor)}"
        if key in state and not is_finite(state[key]):
            return f"{key!r} has numbers that are not finite"
    return ""


def _size(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"


def read_text(file: Path) -> str:
    """The text of a vocabulary.

    Raises
    ------
    WeightsError
        If the file is missing or no text.
    """
    try:
        return checks.read_text(file, "a text", "give the vocabulary that came with the weights")
    except DataError as error:
        raise WeightsError(str(error)) from None
