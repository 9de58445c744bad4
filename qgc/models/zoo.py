"""Weights in files: written completely or not at all, checked when read, never unpickled.

A model is a pair of files in one folder: ``NAME.safetensors`` (tensors, stored as float16) and
``NAME.json`` (its card: configuration, checksum, data, seed, command, accuracy). Several models may
share one CNN file, named by the card. Published weights are stored as they are, in float32: what is
explained is then what was trained with. A tensor with a number beyond float16 is stored in a wider type; one with a
number that is not finite is refused, when it is written and when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from ..data.schema import Limits, SchemaError, parsed, read_json
from ..errors import ADDRESS, DataError, QGCError, WeightsError, no_file, shown
from ..files import replaced
from . import fusions
from .backbones import is_published
from .deeper_lstm import DeeperLSTM, DeeperLSTMConfig
from .evaluation import is_finite, not_finite
from .pythia import Pythia, PythiaConfig
from .vqa import VQA
from .weights_file import not_plain

SHIPPED = Path(__file__).with_name("weights")
FAMILIES = {"deeper-lstm": (DeeperLSTM, DeeperLSTMConfig), "pythia": (Pythia, PythiaConfig), **fusions.FAMILIES}
NUMBER_TYPES = ("float64", "float32", "bfloat16", "float16")
AGAIN = "restore it with git, or train again"
DIGEST = re.compile(r"[0-9a-f]{64}")
_SIZES = ("embedding", "hidden", "combine", "conv1", "attention", "text_head", "image_head", "fc", "blocks")
LIMITS: Limits = dict.fromkeys(_SIZES, (1, 100_000)) | fusions.LIMITS | {
    "longest": (1, 10_000), "glimpses": (1, 100), "boxes": (0, 100_000), "detectors": (0, 100_000),
    "stem_stride": (1, 2), "side": (32, 1024), "mean": (-10, 10), "std": (1e-4, 10), "scale": (1e-9, 1e9),
    "dropout": (0, 1),
}  # fmt: skip
"""What the numbers of a model's configuration may be; the sizes of its tensors are compared with its files."""


@dataclass(frozen=True)
class Card:
    """The fields of a card that describe a model, and the checksum over them, which older cards lack."""

    family: str
    files: dict[str, str]
    config: dict
    trained_on: str = ""
    sha256: str = ""


def names() -> list[str]:
    """The shipped models, as :func:`load` takes them."""
    return sorted(str(p.relative_to(SHIPPED).with_suffix("")) for p in SHIPPED.glob("*/*.json"))


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def card(name: str) -> dict:
    """The model card of a shipped model or of a run's folder, as data.

    WeightsError if there is no such model (the message lists those that exist), or its card is damaged or was changed.
    """
    return _read_card(card_path(name))[0]


def _read_card(path: Path) -> tuple[dict, Any]:
    """A card as data, and the configuration in it; all fields that define the model are checked here, and only here."""
    try:
        about = read_json(path, "a model's card", AGAIN)
    except DataError as error:
        raise WeightsError(f"the card cannot be read: {error}") from None
    try:
        given = about if isinstance(about, dict) else {}
        fields = parsed(Card, {key: given[key] for key in Card.__dataclass_fields__ if key in given})
        if fields.family not in FAMILIES:
            raise WeightsError(f"{path}: family {shown(fields.family)} is not in qgc.models.zoo.FAMILIES; put it there")
        if strange := [file for file, digest in fields.files.items() if not _is_ours(file, digest)]:
            raise SchemaError(f"files has {shown(strange[0])}, which is not a .safetensors beside it with its sha256")
        config = parsed(FAMILIES[fields.family][1], fields.config, LIMITS, "config")
        if not config.answers:
            raise SchemaError("config.answers is empty")
    except SchemaError as error:
        raise WeightsError(f"the card {path} does not describe a model of this version ({error}); {AGAIN}") from None
    if fields.sha256 and fields.sha256 != _checksum(about):
        raise WeightsError(f"the card {path} is damaged or was changed (its family, files and config have another "
                           f"checksum than when it was saved); {AGAIN}")  # fmt: skip
    return about, config


def _is_ours(file: str, digest: str) -> bool:
    """Whether a card may name this file: in its own folder, or shared, one above it or in a folder beside it."""
    parts = file.split("/")
    parts, most = (parts[1:], 2) if parts[0] == ".." else (parts, 1)
    plain = all(p and not p.startswith(".") and p.isprintable() and not set(p) & set(":\\") for p in parts)
    return plain and 0 < len(parts) <= most and file.endswith(".safetensors") and bool(DIGEST.fullmatch(digest))


def _checksum(about: dict) -> str:
    """The checksum of what defines the model; measurements may be added to a card later."""
    definition = {key: about[key] for key in ("family", "files", "config")}
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()


def card_path(name: str) -> Path:
    """The card of a shipped model or of a run; WeightsError if there is none."""
    if not isinstance(name, str | os.PathLike):
        raise WeightsError(f"a model is named by a text, not {type(name).__name__}; shipped are {', '.join(names())}")
    own = Path(name)  # os.path.exists is False, too, for a name that no file can have
    candidates = (SHIPPED / f"{name}.json", own / "model.json", *([own] if own.suffix == ".json" else []))
    if existing := next((path for path in candidates if os.path.exists(path)), None):
        return existing
    if ADDRESS.match(str(name)):
        raise WeightsError(no_file(name))
    raise WeightsError(f"there is no model {shown(str(name))}; shipped are {', '.join(names())}, or a run's folder")


@torch.inference_mode(False)  # in which no gradient could be taken of the weights
@torch.no_grad()
def load(name: str, *, device: str | torch.device = "cpu", dtype: torch.dtype | str = torch.float64) -> VQA:
    """A trained model, in evaluation mode.

    Parameters
    ----------
    name : one of :func:`names` (``"deeper-lstm/natural"``, …) or the folder of a training run.
    device : ``"cpu"``, ``"cuda"``, ….
    dtype : float64 by default, so that printed tables are the same on every machine; or float32, bfloat16 or float16,
        by PyTorch's name, NumPy's or as text.

    Raises
    ------
    WeightsError
        If there is no such model, a file is missing or damaged, or it holds another model's tensors or numbers that
        are not finite; if this machine has no such device, or there is no such number type.
    """
    device, dtype = usable(device), number_type(dtype)
    if device.type == "mps" and dtype == torch.float64:
        raise WeightsError("the device 'mps' has no float64; load the model with dtype=torch.float32")
    path = card_path(name)
    about, config = _read_card(path)
    state: dict[str, torch.Tensor] = {}
    for file, checksum in about["files"].items():
        state |= _read(path.parent / file, checksum)
    model_class = FAMILIES[about["family"]][0]
    try:
        # First without memory: a card may name sizes beyond the machine's, which the files' tensors then do not fit.
        with torch.device("meta"):
            model_class(config).load_state_dict(state, assign=True)
        model = model_class(config)
        model.load_state_dict(state, assign=True)  # not copied, which would round to PyTorch's default number type
    except (QGCError, ValueError) as error:  # an unknown CNN or tokeniser
        raise WeightsError(f"the card {path} does not describe a model of this version ({error}); {AGAIN}") from None
    except RuntimeError as error:
        lines = str(error).splitlines()
        reason = lines[1].strip() if len(lines) > 1 else lines[0]
        raise WeightsError(f"the weights of {shown(str(name))} belong to another model: {reason}") from None
    model.name = name
    model.trained_on = about.get("trained_on", "")
    model.requires_grad_(False)
    # The files are finite (_read checks them); a narrower number type may turn large numbers into infinity.
    model = model.eval().to(dtype)
    if beyond := not_finite(model.state_dict()):
        raise WeightsError(f"{beyond!r} of {name!r} holds numbers beyond {str(dtype).removeprefix('torch.')}; "
                           "load it with dtype=torch.float32 or float64")  # fmt: skip
    return model.to(device)


def usable(device: str | torch.device) -> torch.device:
    """A device by name; WeightsError, with one that exists, unless this machine has it and can compute on it."""
    there = "'cpu' or 'cuda'" if torch.cuda.is_available() else "'cpu'"
    try:
        usable_device = torch.device(device)
        torch.ones(1, dtype=torch.float32, device=usable_device).item()  # raises on "meta", too, which has no numbers
    except Exception:  # whatever a backend raises that is not built in, has no driver or fewer devices
        raise WeightsError(f"this machine has no usable device {shown(device)}; use {there}") from None
    return usable_device


def number_type(dtype: torch.dtype | str) -> torch.dtype:
    """A floating-point number type by PyTorch's name, NumPy's or as text; WeightsError if it is none to explain in."""
    name = dtype if isinstance(dtype, str) else getattr(dtype, "__name__", getattr(dtype, "name", shown(dtype)))
    name = str(name).removeprefix("torch.")
    if name not in NUMBER_TYPES:
        raise WeightsError(f"a model cannot be loaded in {shown(dtype)}; choose one of {', '.join(NUMBER_TYPES)}")
    return getattr(torch, name)


def _read(path: Path, checksum: str) -> dict[str, torch.Tensor]:
    if not os.path.isfile(path):
        raise WeightsError(f"the weights file {path} is missing; restore it with git, or train the model again")
    if sha256(path) != checksum:
        raise WeightsError(
            f"the weights file {path} is damaged or was changed (its checksum differs from its card's); "
            "restore it with git, or train the model again"
        )
    try:
        state = safetensors.torch.load_file(path)
    except Exception as error:  # whatever the reader raises, the file cannot be used
        raise WeightsError(f"the weights file {path} cannot be read ({error}); restore it with git") from None
    if fault := not_plain(state):
        raise WeightsError(f"the weights file {path} {fault}; restore it with git, or train the model again")
    if bad := not_finite(state):
        raise WeightsError(
            f"the weights file {path} holds numbers that are not finite in {bad!r}: the training diverged; restore it "
            "with git, or train the model again"
        )
    return state


def save(model: VQA, stem: Path, about: dict, shared_cnn: str | None = None, exact: bool = False) -> None:
    """Write ``stem.safetensors`` and its card ``stem.json``; with ``exact`` no tensor is rounded to float16.

    A tensor with a number beyond float16 is kept in the narrowest type that holds it, float32 or float64.

    ``shared_cnn`` names a second file in the same folder for the ``cnn.`` tensors. It is written if it does not exist;
    if it does, it must hold the same tensors. Nothing is replaced before everything is written: a full disk leaves the
    earlier model as it was.

    Raises
    ------
    QGCError
        If the model has no ``config``, or its class is not in ``FAMILIES``.
    WeightsError
        If a tensor has a number that is not finite, the shared CNN file holds other tensors (the models that share it
        would be damaged), or a file cannot be written.
    """
    family = _family(model)
    if bad := not_finite(model.state_dict()):
        raise WeightsError(f"{bad!r} holds numbers that are not finite, so {stem} was not written; its training "
                           "diverged: train again with a lower learning rate or another seed")  # fmt: skip
    stem.parent.mkdir(parents=True, exist_ok=True)
    unrounded = ("",) if exact else ("cnn.",) if is_published(model.config.cnn) else ()
    state = {k: _stored(v, k.startswith(unrounded)) for k, v in model.state_dict().items()}
    parts = {f"{stem.name}.safetensors": state}
    if shared_cnn:
        cnn = {k: v for k, v in state.items() if k.startswith("cnn.")}
        parts = {shared_cnn: cnn, f"{stem.name}.safetensors": {k: v for k, v in state.items() if k not in cnn}}
    files = {}
    try:
        if shared_cnn and (shared := stem.parent / shared_cnn).exists():
            files[shared_cnn] = sha256(shared)  # of other models, too: compared, never replaced
            _check_same(parts.pop(shared_cnn), shared, files[shared_cnn])
        # The card moves last: it names the checksums of the others.
        with replaced(*(stem.parent / name for name in parts), stem.with_suffix(".json")) as (*weights, card_file):
            for temporary, (name, tensors) in zip(weights, parts.items(), strict=True):
                safetensors.torch.save_file(tensors, temporary)
                temporary.chmod(0o644)  # the writer creates files that only their owner can read
                files[name] = sha256(temporary)
            about = {"family": family, "files": files, **about, "config": model.config.as_dict()}
            about["sha256"] = _checksum(about)
            card_file.write_text(json.dumps(about, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    except (OSError, SafetensorError, ValueError) as error:
        raise WeightsError(f"{stem} cannot be written ({error}); what was there is unchanged") from error


def _stored(tensor: torch.Tensor, exact: bool) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    if not tensor.is_floating_point():
        return tensor
    narrower = (tensor.to(t) for t in ((torch.float32,) if exact else (torch.float16, torch.float32)))
    return next((t for t in narrower if is_finite(t)), tensor)


def _family(model: VQA) -> str:
    # A subclass is a family of its own: under its parent's name it would be loaded as its parent.
    family = next((name for name, (kind, _) in FAMILIES.items() if type(model) is kind), None)
    config = getattr(model, "config", None)
    if family is None or not all(hasattr(config, name) for name in ("as_dict", "cnn", "answers")):
        raise QGCError(
            f"a {type(model).__name__} cannot be saved: give it a config with as_dict(), cnn and answers, and its "
            "class an entry in FAMILIES of qgc.models.zoo (CONTRIBUTING.md, 'Add a model')"
        )
    return family


def _check_same(tensors: dict[str, torch.Tensor], path: Path, checksum: str) -> None:
    there = _read(path, checksum)
    if there.keys() != tensors.keys() or not all(torch.equal(there[k], tensors[k]) for k in tensors):
        raise WeightsError(f"{path} holds the CNN of other models; export all models that share it, or remove it first")
