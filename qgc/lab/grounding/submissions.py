"""The benchmark as a folder for anybody, and the files that come back: a method's maps, or its shares.

:func:`export` writes scenes, masks and questions as PNG and JSON, with a README that says what a submission is. A
submission is one ``.npz`` (:data:`FORMAT`); :func:`read_submission` refuses one that is incomplete, of other data, not
finite, or whose shares are not those of its maps. Nothing in it is unpickled.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ...errors import QGCError, no_file, shown
from ...files import atomic_write
from ...measure.pairs import no_place_surrogate
from ...models import zoo
from ...scenes import DISTRIBUTIONS
from ..protocol import NAMES
from .cases import VERSION, Case, case_digest, digest, read_cases
from .methods import LARGEST
from .shares import Shares, case_rows, stacked
from .stored import Stored, distribution_of

CITATION = "Question-grounded Grad-CAM: the grounding benchmark, version 1 (the book's CITATION.cff says who made it)"
MOST_BYTES = 2**29
"""Of a submission's file, and four times as many when unpacked."""

FORMAT = {
    "version": "the benchmark's version, a whole number",
    "digest": 'of the scenes that it answers, as in manifest.json, "digest"',
    "model": 'which model is explained, one of manifest.json, "checkpoints"',
    "method": "what the row of the table is to be called",
    "keys": "N texts, the keys of all pairs of the model's scenes, in the order of pairs.json",
    "maps": "(N, 2, h, w) of both questions about the image, before any ReLU, finite",
    "absent_maps": "optional, the same of the two absent questions; any number where there are none",
    "elsewhere_maps": "optional, the same of the two questions about other_image; any number where there is none",
    "a": "(N, 2): a_1 and a_2, nan for an empty map",
    "R": "(N, 2, 2): R[i, j], the share of map i on object j; nan for a map without a positive cell",
    "absent_a": "optional, (N, 2): a_1 and a_2 of the absent questions' maps",
    "elsewhere_a": "optional, (N, 2): the same of the maps of other_image, on the masks of image",
    "surrogate": "optional, (N, 2): rank and object grounding of the no-place surrogate",
}
"""What a submission holds: the first five, and ``maps``, or ``a`` and ``R``, or all three."""

NEEDED = ("version", "digest", "model", "method", "keys")

README = """# The grounding benchmark, version {version}

Does an explanation of an answer follow the question? Each pair of `pairs.json` is two questions about one image, with
one answer, about two objects. An explanation that depends on the question is higher on the first object for the first
question than for the second.

- `images/`: RGB, 224×224. `masks/`: white where the object is visible; `masks[0]` is that of question 1.
- `pairs.json`: for each pair its `key`, `image`, the two `questions`, the `answer`, the `objects`, their `masks`,
  whether each is a `background` (a wall, a floor, a sky), two `absent` questions about objects that are not there (null
  where there are none), and `other_image`, another scene with both objects (null where there is none).
- `manifest.json`: version, digests of both kinds of scenes, SHA-256 of every file here and of the models' weights,
  which are in the package `qgc` (`qgc/models/weights`).

Ask each model about the pairs of its own kind of scenes ("models" in `manifest.json`).

## A submission

One NumPy file, `np.savez_compressed("mine.npz", version={version}, …)`, with

{format}

Give `maps`, or `a` and `R`, or all. For a pair with masks S1 and S2 and maps L1 and L2 on their own cells, each cell
weighted by the part of the object's mask in it:

    a_i  = P[L_i(p in S1) > L_i(p in S2)] + P[L_i(p in S1) = L_i(p in S2)] / 2
    R_ij = sum_p ReLU(L_i)_p S_jp / sum_p ReLU(L_i)_p

A pair is right if a_1 > a_2; a tie (|a_1 - a_2| <= 1e-9), or a map of zeros, counts one half. The mean over pairs
(a scene counting once) is the rank grounding accuracy, RGA. `qgc bench grounding --score mine.npz` checks the file and
prints the row.

Licence: MIT. To cite: {citation}.
"""


# -- the data set -----------------------------------------------------------------------------------------
def export(folder: Path, scenes: Mapping[str, Sequence[Case]] | None = None) -> dict:
    """Write the data set into a new folder; returns the manifest. The same cases give the same bytes everywhere.

    Raises
    ------
    QGCError
        If there is something in ``folder``, or no folder that it could be in.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise QGCError(f"{folder} is there already and not empty; name a new folder")
    if not folder.absolute().parent.is_dir():
        raise QGCError(f"{folder} cannot be made: there is no folder {folder.absolute().parent}; make it first")
    every = {d: read_cases(d) for d in DISTRIBUTIONS} if scenes is None else scenes
    with tempfile.TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}.") as temporary:
        complete = Path(temporary) / "complete"
        manifest = _write(complete, every)
        if folder.exists():
            folder.rmdir()
        shutil.move(complete, folder)
    return manifest


def _write(folder: Path, every: Mapping[str, Sequence[Case]]) -> dict:
    hashes: dict[str, str] = {}

    def add(name: str, data: bytes) -> str:
        path = folder / name
        if name not in hashes:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            hashes[name] = hashlib.sha256(data).hexdigest()
        return name

    pairs = []
    for distribution, cases in every.items():
        for case in cases:
            images = {n: add(f"images/{distribution}-{n:03d}.png", png(i)) for n, i in case.pictures.items()}
            masks = [add(f"masks/{case.key}-{k + 1}.png", png(Image.fromarray(m))) for k, m in enumerate(case.masks)]
            pairs.append({
                "key": case.key, "image": images[case.scene], "questions": case.questions, "answer": case.answer,
                "objects": case.objects, "masks": masks, "background": case.background, "absent": case.absent,
                "other_image": None if case.other is None else images[case.other],
            })  # fmt: skip
    what = "\n".join(f"- `{name}`: {meaning}" for name, meaning in FORMAT.items())
    add("pairs.json", (json.dumps(pairs, indent=1, ensure_ascii=False) + "\n").encode())
    add("README.md", README.format(version=VERSION, format=what, citation=CITATION).encode())
    manifest = {
        "version": VERSION, "licence": "MIT", "citation": CITATION, "pairs": len(pairs),
        "digest": {d: digest(map(case_digest, cases)) for d, cases in every.items()},
        "models": {model: distribution_of(model) for model in NAMES},
        "checkpoints": {model: zoo.card(model)["files"] for model in NAMES},
        "files": dict(sorted(hashes.items())),
    }  # fmt: skip
    (folder / "manifest.json").write_bytes((json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode())
    return manifest


def png(image: Image.Image) -> bytes:
    """An image (RGB, or of one bit) as PNG without compression, since each version of a compressor has other bytes."""
    bits = image.mode == "1"
    rows = np.asarray(image)
    rows = np.packbits(rows, axis=1) if bits else rows.reshape(len(rows), -1)
    raw = np.pad(rows, ((0, 0), (1, 0))).tobytes()  # each row begins with its filter, none
    size = 65535  # of a block of "stored" bytes, at most
    blocks = [raw[i : i + size] for i in range(0, len(raw), size)]
    stored = b"".join(
        struct.pack("<BHH", k == len(blocks) - 1, len(b), len(b) ^ 0xFFFF) + b for k, b in enumerate(blocks)
    )
    header = struct.pack(">IIBBBBB", *image.size, *((1, 0) if bits else (8, 2)), 0, 0, 0)
    packed = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(raw))
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


# -- submissions ------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Submission:
    """A checked submission: what its row is called, which model it explains, and its shares."""

    method: str
    model: str
    shares: Shares


def write_submission(path: Path, method: str, model: str, found: Shares) -> None:
    """Write the shares of a method on all cases of a shipped model's scenes as a submission.

    Raises
    ------
    QGCError
        If they are not of all cases.
    """
    stored, distribution = Stored.read(), distribution_of(model)
    if found.keys.tolist() != stored.about(distribution)["keys"].tolist():
        raise QGCError(f"a submission has all pairs of the {distribution} scenes; leave out --scenes")
    about = {"version": VERSION, "digest": stored.tables["about"]["digests"][distribution], "model": model}
    arrays = {"a": found.a, "R": found.R, "absent_a": found.absent, "elsewhere_a": found.elsewhere}
    arrays |= {"surrogate": found.surrogate, "keys": found.keys, "method": method, **about}
    atomic_write(path, lambda p: np.savez_compressed(p.open("wb"), **arrays))


def read_submission(path: Path) -> Submission:
    """Read and check a submission.

    Raises
    ------
    QGCError
        If it is not one; the message says what is wrong with which array or pair.
    """
    arrays = _arrays(path)
    if missing := [name for name in NEEDED if name not in arrays]:
        raise QGCError(f"{path} lacks {', '.join(missing)}; a submission needs {', '.join(NEEDED)}")
    version, of_data, model, method = (arrays[name].reshape(-1)[:1].tolist() for name in NEEDED[:4])
    if version != [VERSION]:
        raise QGCError(f"{path} is for version {shown(version)} of the benchmark, this is {VERSION}; export the data "
                       "set again, and answer that")  # fmt: skip
    if not model or model[0] not in NAMES:
        raise QGCError(f"{path} is about the model {shown(model)}; the benchmark has {', '.join(NAMES)}")
    if not method or not isinstance(method[0], str) or not 1 <= len(method[0]) <= 80:
        raise QGCError(f"{path} names its method {shown(method)}; give a text of at most 80 letters")
    stored, distribution = Stored.read(), distribution_of(model[0])
    if of_data != [stored.tables["about"]["digests"][distribution]]:
        raise QGCError(f"{path} answers other data (digest {shown(of_data)}); export the data set again, and take the "
                       f"digest of the {distribution} scenes from its manifest.json")  # fmt: skip
    about = stored.about(distribution)
    if (keys := arrays["keys"].reshape(-1).tolist()) != about["keys"].tolist():
        missing = [key for key in about["keys"].tolist() if key not in set(keys)]
        raise QGCError(f"{path} must have all {len(about['keys'])} pairs in the order of pairs.json; "
                       f"missing are {shown(missing)}")  # fmt: skip
    if "maps" not in arrays and not {"a", "R"} <= arrays.keys():
        raise QGCError(f"{path} has neither maps nor a and R; give the maps, or the shares, or both")
    given = _given(path, arrays, about) if {"a", "R"} <= arrays.keys() else None
    if "maps" not in arrays:
        return Submission(method[0], model[0], given)
    found = _from_maps(path, arrays, distribution)
    if given is not None:
        _compare(path, given, found)
    return Submission(method[0], model[0], found)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    # The arrays of a file from strangers: no pickles, no surprises in size, no names that mean nothing here.
    if not path.is_file():
        raise QGCError(no_file(path))
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        if path.stat().st_size > MOST_BYTES or sum(sizes.values()) > 4 * MOST_BYTES:
            raise QGCError(f"{path} is too large: at most {MOST_BYTES >> 20} MiB, and four times that unpacked; give "
                           "maps on their own cells, or the shares alone")  # fmt: skip
        if unknown := [name for name in sizes if name.removesuffix(".npy") not in FORMAT]:
            raise QGCError(f"{path} holds {shown(unknown)}; a submission may have {', '.join(FORMAT)}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, MemoryError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise QGCError(f"{path} cannot be read as a submission ({error}); write it with np.savez_compressed") from None


def _numbers(path: Path, arrays: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    # An array between 0 and 1, or nan
    if name not in arrays:
        return np.full(shape, np.nan)
    values = arrays[name]
    if values.shape != shape or values.dtype.kind not in "fiu":
        raise QGCError(f"{path}: {name} is {values.dtype} {values.shape}; it must be numbers {shape}")
    values = values.astype(float)
    if not ((values >= 0) & (values <= 1) | np.isnan(values)).all():
        raise QGCError(f"{path}: {name} has numbers that are not between 0 and 1 (nan is for an empty map)")
    return values


def _given(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, np.ndarray]) -> Shares:
    n = len(about["keys"])
    has = {k: about[k] & (f"{k.removeprefix('has_')}_a" in arrays) for k in ("has_absent", "has_elsewhere")}
    R = _numbers(path, arrays, "R", (n, 2, 2))
    if (R.sum(-1) > 1 + 1e-6).any():
        raise QGCError(f"{path}: the shares of one map on both objects add up to more than 1; check R")
    return Shares(**{**about, **has}, a=_numbers(path, arrays, "a", (n, 2)), R=R,
                  absent=_numbers(path, arrays, "absent_a", (n, 2)),
                  elsewhere=_numbers(path, arrays, "elsewhere_a", (n, 2)),
                  surrogate=_numbers(path, arrays, "surrogate", (n, 2)))  # fmt: skip


def _from_maps(path: Path, arrays: Mapping[str, np.ndarray], distribution: str) -> Shares:
    cases = read_cases(distribution)
    maps = {"own": "maps", "absent": "absent_maps", "elsewhere": "elsewhere_maps"}
    for name in maps.values():
        if name not in arrays:
            continue
        shape, kind = arrays[name].shape, arrays[name].dtype.kind
        if len(shape) != 4 or shape[:2] != (len(cases), 2) or not all(1 <= k <= LARGEST for k in shape[2:]):
            raise QGCError(f"{path}: {name} is {shape}; it must be ({len(cases)}, 2, h, w)")
        if kind not in "fiu":
            raise QGCError(f"{path}: {name} is {arrays[name].dtype}; give real numbers")

    def asked(case: Case, k: int, which: str) -> tuple[Tensor, Tensor] | None:
        there = {"own": True, "absent": case.absent is not None, "elsewhere": case.other is not None}[which]
        if maps[which] not in arrays or not there:
            return None
        values = torch.from_numpy(arrays[maps[which]][k].astype(float))
        if not values.isfinite().all():
            raise QGCError(f"{path}: {maps[which]} of {case.key} holds numbers that are not finite")
        return values, no_place_surrogate(*values)

    rows = [case_rows(case, {"": partial(asked, case, k)}) for k, case in enumerate(cases)]
    return stacked(cases, rows)[""]


def _compare(path: Path, given: Shares, found: Shares) -> None:
    for name in ("a", "R"):
        old, new = (getattr(x, name).reshape(len(x.a), -1) for x in (given, found))
        wrong = ~np.isclose(old, new, rtol=0, atol=1e-4, equal_nan=True).all(1)
        if wrong.any():
            keys = found.keys[wrong].tolist()
            raise QGCError(f"{path}: {name} is not what its maps have, in {len(keys)} pairs, such as {keys[0]}; leave "
                           f"out {name}, or compute it as README.md says")  # fmt: skip
