"""What a file must be before it gets its name: a whole photograph, or weights that run nothing."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path

from ..errors import FetchError

PICTURE_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}  # how a JPEG and a PNG begin, and how a whole one ends
UNREADABLE = (
    pickle.UnpicklingError,
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    AttributeError,
    TypeError,
)


def check(path: Path, name: str) -> None:
    """Look into the file that is to be called ``name``; raises ``FetchError`` if it must not be.

    A .jpg or .png has to begin and end as one; a .pth or .pt may hold tensors and plain values only (PyTorch's
    ``weights_only``: nothing in it is run). Other files pass.
    """
    if name.endswith((".jpg", ".png")):
        _picture(path, name)
    if name.endswith((".pth", ".pt")):
        _weights(path, name)


def _picture(path: Path, name: str) -> None:
    with open(path, "rb") as file:
        start = file.read(2)
        file.seek(max(path.stat().st_size - 4096, 0))  # a few bytes may follow the end
        end = file.read()
    if start not in PICTURE_ENDS or PICTURE_ENDS[start] not in end:
        raise FetchError(f"{name} is not a whole photograph: damaged or cut off")


def _weights(path: Path, name: str) -> None:
    import torch  # slow to import, and only needed here

    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except UNREADABLE as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        if asked:
            raise FetchError(
                f"{name} calls {asked[1]} when it is opened, so it could run any code: refused. Weights are tensors "
                f"and plain values alone; take the file from its official source."
            ) from error
        raise FetchError(f"{name} is no file of weights that PyTorch saved, or it is damaged") from error
