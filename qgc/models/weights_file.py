"""Published weights from files: read without running anything, checked against the network, then copied."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import safetensors.torch
import torch
from torch import Tensor, nn

from ..errors import ADDRESS, WeightsError, no_file, shown
from .evaluation import is_finite

COUNTER, PARALLEL = "num_batches_tracked", "module."
ENTRIES = ("state_dict", "model")  # where training scripts store the weights together with other values
AGAIN = "fetch it again, or give another file"
NUMBERS = (torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.int16,
           torch.int8, torch.uint8, torch.bool)  # fmt: skip


def read(file: str | Path) -> dict[str, Tensor]:
    """The tensors of a weights file by name: safetensors, or what ``torch.save`` wrote of a state dict.

    Nothing in the file is executed. ``module.`` before all names, and a ``state_dict`` or ``model`` around them, are
    removed.

    WeightsError if the file is missing or damaged, or holds anything but tensors.
    """
    path = Path(file)
    if os.path.exists(path) and not path.is_file():
        raise WeightsError(f"{path} cannot be read: it is a folder or a device; give a weights file")
    try:
        with path.open("rb") as opened:
            safe = opened.read(9)[8:] == b"{"  # safetensors: eight bytes of length, then a JSON header
            opened.seek(0)
            state = safetensors.torch.load_file(path) if safe else _unpickled(opened, path)
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:
        if "allowed global" in str(error):
            raise WeightsError(
                f"the weights file {path} holds more than tensors and could run code, so it was not opened; "
                "give a file of a state dict, best as safetensors"
            ) from None
        raise WeightsError(f"the weights file {path} is damaged or not a weights file; {AGAIN}") from None
    except FileNotFoundError:
        if ADDRESS.match(str(file)):
            raise WeightsError(no_file(file)) from None
        raise WeightsError(f"there is no weights file {path}; give the path of one") from None
    except Exception as error:  # whatever the reader raises, the file cannot be used
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise WeightsError(f"the weights file {path} cannot be read ({reason}); {AGAIN}") from None
    # Training scripts wrap the state dict in one of their own, or in a parallel module, whose name comes first.
    for entry in ENTRIES:
        if isinstance(state, Mapping) and isinstance(state.get(entry), Mapping):
            state = state[entry]
    if not isinstance(state, Mapping) or not state or not _named_tensors(state):
        raise WeightsError(f"the weights file {path} holds no state dict (tensors by name); give another file")
    if fault := not_plain(state):
        raise WeightsError(f"the weights file {path} {fault}; give one of a network that was saved as it was trained")
    if all(k.startswith(PARALLEL) for k in state):
        state = {k.removeprefix(PARALLEL): v for k, v in state.items()}
    return dict(state)


def _named_tensors(state: Mapping) -> bool:
    return all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())


def not_plain(tensors: Mapping[str, Tensor]) -> str:
    """What is wrong with the first tensor that is not a block of plain numbers; "" if all are.

    Sparse and quantised tensors, those without numbers (meta), and those that repeat a few numbers of the file over
    more memory than there is.
    """
    for name, tensor in tensors.items():
        dense = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_nested
        if not dense or tensor.dtype not in NUMBERS:
            kind = f"{tensor.dtype}, {tensor.layout}, {tensor.device}".replace("torch.", "")
            return f"holds {shown(name)} not as plain numbers ({kind})"
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            return f"has fewer numbers of {shown(name)} than it should"
    return ""


def _unpickled(file: BinaryIO, path: Path):
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:  # PyTorch does not compress: a small file is a small model
            if sum(record.file_size for record in archive.infolist()) > path.stat().st_size:
                raise WeightsError(f"the weights file {path} unpacks to more than it is, which PyTorch never writes; "
                                   "fetch it again from its official source")  # fmt: skip
    file.seek(0)
    with warnings.catch_warnings():  # of pickle protocols that torch does not write
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True)


def copy_into(backbone: nn.Module, file: str | Path) -> None:
    """Copy a file's tensors into a backbone, all of them or none; see :func:`qgc.models.backbones.load_weights`."""
    state, own = backbone.translate(read(file)), backbone.state_dict()
    fault = _fault(state, own, backbone)
    if fault:
        kind = getattr(backbone.config, "name", "VGG-like network")
        raise WeightsError(f"{file} is not a weights file of this {kind}: {fault}; give that of the same network")
    backbone.load_state_dict({k: v for k, v in state.items() if k in own}, strict=False)


def _fault(state: Mapping[str, Tensor], own: Mapping[str, Tensor], backbone: nn.Module) -> str:
    missing = [k for k in own if k not in state and not k.endswith(COUNTER)]
    if missing:
        return f"{len(missing)} of {len(own)} tensors are missing, first {missing[0]!r}"
    extra = [k for k in state if k not in own and not backbone.is_ignorable(k) and not k.endswith(COUNTER)]
    if extra:
        return f"{len(extra)} tensors have no place in it, first {shown(extra[0])}"
    for key, tensor in own.items():
        if key in state and state[key].shape != tensor.shape:
            return f"{key!r} is {_size(state[key])}, not {_size(tensor)}"
        if key in state and not is_finite(state[key].to(tensor.dtype)):
            return f"{key!r} has numbers that are not finite in {str(tensor.dtype).removeprefix('torch.')}"
    return ""


def _size(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "one number"
