"""The one published file of Torch7, the Lua predecessor of PyTorch: a table of tensors of floating-point numbers.

The binary format, little-endian, as ``torch.save`` of Torch7 writes it on 64-bit machines (File.lua, generic/Storage.c
and generic/Tensor.c of torch/torch7), as far as ``lstm.t7`` of GT-Vision-Lab/VQA_LSTM_CNN goes. An object is an ``int``
that says its kind, then:

====== ========================================================================================
text   its length (``int``) and bytes
table  a number of its own (``int``), its length (``int``) and so many keys and values
tensor a number of its own, a version and a class name (each as text without a kind), dimensions (``int``), sizes,
       strides, 1-based offset (``long``, 8 bytes), and its storage: as a tensor up to the name, then its length
       (``long``) and the numbers
====== ========================================================================================

Tensors of a GPU are written as the others are, under names that begin with ``Cuda``. The reader on PyPI (torchfile
0.1.0) trusts the sizes in the file and so reads memory outside of a damaged file's tensors; this one checks each number
before it is used.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import ADDRESS, WeightsError, no_file, shown

TEXT, TABLE, OBJECT = 2, 3, 4
CLASSES = {
    f"torch.{element}{kind}": (kind, dtype)
    for element, dtype in {"Float": "<f4", "Double": "<f8", "Cuda": "<f4"}.items()
    for kind in ("Tensor", "Storage")
}
MOST_ENTRIES = 1000
MOST_DIMENSIONS = 8


def load(path: Path) -> dict[str, np.ndarray] | np.ndarray:
    """A Torch7 file's table of tensors by their names, or its one tensor.

    Raises
    ------
    WeightsError
        If the file is missing, no binary Torch7 file, cut off or damaged, or holds anything else: a function, a module,
        a table in a table.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise WeightsError(f"{path} cannot be read: it is a folder or a device; check the path")
    try:
        with open(path, "rb") as file:
            return _Reader(file, path).whole()
    except (OSError, ValueError) as error:
        if ADDRESS.match(str(path)):
            raise WeightsError(no_file(path)) from None
        reason = getattr(error, "strerror", None) or error
        raise WeightsError(f"{shown(str(path))[1:-1]} cannot be read ({reason}); check the path") from None


class _Reader:
    """One pass through a file. Each object in it is read where it is first written: no two share a storage."""

    def __init__(self, file: BinaryIO, path: Path):
        self.file, self.path = file, path
        self.left = file.seek(0, 2)
        file.seek(0)

    def whole(self) -> dict[str, np.ndarray] | np.ndarray:
        kind = self.integer()
        content = self.table() if kind == TABLE else self.tensor(kind)
        if self.left:
            raise self.damaged(f"{self.left:,} bytes follow its end")
        return content

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes; every size in the file is checked here, before memory is taken for it."""
        if not 0 <= count <= self.left:
            raise self.damaged("it is cut off, or a size in it is wrong")
        self.left -= count
        return self.file.read(count)

    def integer(self) -> int:
        return struct.unpack("<i", self.take(4))[0]

    def numbers(self, dtype: str, count: int) -> np.ndarray:
        return np.frombuffer(self.take(np.dtype(dtype).itemsize * count), dtype)

    def longs(self, count: int) -> list[int]:
        return self.numbers("<i8", count).tolist()

    def text(self) -> str:
        return self.take(self.integer()).decode("utf-8", "surrogateescape")

    def table(self) -> dict[str, np.ndarray]:
        self.integer()
        length = self.integer()
        if not 0 <= length <= MOST_ENTRIES:
            raise self.damaged(f"a table in it has the length {length}")
        tensors = {}
        for _ in range(length):
            if (kind := self.integer()) != TEXT:
                raise self.other(f"a key of kind {kind} in a table")
            name = self.text()
            tensors[name] = self.tensor(self.integer())
        return tensors

    def tensor(self, kind: int) -> np.ndarray:
        dtype = self.begin(kind, "Tensor")
        dimensions = self.integer()
        if not 1 <= dimensions <= MOST_DIMENSIONS:
            raise self.damaged(f"a tensor in it has {dimensions} dimensions")
        size, stride = self.longs(dimensions), self.longs(dimensions)
        first = self.longs(1)[0] - 1
        if self.begin(self.integer(), "Storage") != dtype:
            raise self.damaged("a tensor in it has no storage of its kind")
        storage = self.numbers(dtype, self.longs(1)[0])
        dense = [math.prod(size[i + 1 :]) for i in range(dimensions)]
        if min(size) < 1 or stride != dense or first < 0 or first + math.prod(size) > len(storage):
            raise self.damaged("a tensor in it has sizes that cannot be")
        return storage[first : first + math.prod(size)].reshape(size)

    def begin(self, kind: int, what: str) -> str:
        """The beginning of a tensor or a storage; gives the type of its numbers."""
        if kind != OBJECT:
            raise self.other(f"an object of kind {kind}")
        self.integer()
        self.text()  # the version
        name = self.text()
        if CLASSES.get(name, ("",))[0] != what:
            raise self.other(f"an object of the class {shown(name)}")
        return CLASSES[name][1]

    def other(self, what: str) -> WeightsError:
        return WeightsError(f"{self.path} is not a table of tensors that Torch7 saved, or a damaged one (it holds "
                            f"{what}); download it again, or save the weights alone, as tensors")  # fmt: skip

    def damaged(self, why: str) -> WeightsError:
        return WeightsError(
            f"{self.path} is not a binary Torch7 file, or a damaged one ({why}); download or copy it again"
        )
