"""Checks of a file: a text in UTF-8, a complete photograph, or weights that run no code."""

from __future__ import annotations

import codecs
import os
import re
import zipfile
from pathlib import Path

from ..errors import ADDRESS, ARCHIVES, DataError, FetchError, no_file

IMAGE_ENDS = {b"\xff\xd8": b"\xff\xd9", b"\x89P": b"IEND"}  # how a JPEG and a PNG begin, and how a complete one ends


def read_text(path: Path | str, what: str, remedy: str) -> str:
    """The text of a file in UTF-8, with or without a byte-order mark; its lines end as they do on any system.

    Parameters
    ----------
    what, remedy : of a message: what the file should be, and what to do if it is not.

    Raises
    ------
    DataError
        If the file is missing, an archive, or not a text in UTF-8.
    """
    path = Path(path)
    if ADDRESS.match(str(path)):
        raise DataError(no_file(path))
    if not os.path.exists(path):
        raise DataError(f"{path} is missing; {remedy}")
    if not path.is_file():
        raise DataError(f"{path} is a folder or a device, not {what}; {remedy}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); {remedy}") from None
    if content.startswith(ARCHIVES):
        raise DataError(f"{path} is not {what}; it is an archive, unpack it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            remedy = "it is in UTF-16, save it as UTF-8"
        raise DataError(f"{path} is not {what}; {remedy}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_image(path: Path, name: str, length_known: bool = False) -> None:
    """Raise ``FetchError`` unless the file to be named ``name`` begins and ends as a JPEG or PNG; other names pass.

    ``length_known``: it has its full length, so only its beginning is checked. (COCO's train2014 has a photograph that
    was truncated before it was published.)
    """
    if not name.lower().endswith((".jpg", ".jpeg", ".png")):
        return
    with open(path, "rb") as file:
        start = file.read(2)
        file.seek(max(path.stat().st_size - 4096, 0))  # a few bytes may follow the end
        end = file.read()
    if start not in IMAGE_ENDS or not (length_known or IMAGE_ENDS[start] in end):
        raise FetchError(f"{name} is not a whole photograph: damaged or cut off")


def check_weights(path: Path, name: str) -> None:
    """Raise ``FetchError`` unless a file to be named .pth or .pt holds tensors and plain values only; others pass.

    PyTorch's ``weights_only`` decides; nothing in the file is run.
    """
    if not name.endswith((".pth", ".pt")):
        return
    import torch  # slow to import, and only needed here

    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # whatever the reader raises, the file cannot be used
        called = re.search(r"GLOBAL (\S+)", str(error))
        if called:
            raise FetchError(
                f"{name} calls {called[1]} when it is opened, so it could run any code: refused. Weights are tensors "
                f"and plain values alone; take the file from its official source."
            ) from error
        raise FetchError(f"{name} is not a file of weights that PyTorch saved, or it is damaged") from error
