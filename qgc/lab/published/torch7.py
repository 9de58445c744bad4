"""Files of Torch7, the Lua predecessor of PyTorch: numbers, text, tables and tensors, never code.

The binary format, little-endian, as ``torch.save`` of Torch7 writes it (File.lua, generic/Storage.c and
generic/Tensor.c of torch/torch7). An object is an ``int`` that says its kind, then:

====== ========================================================================================
nil    nothing
number a ``double``
text   its length (``int``) and bytes
table  a reference (``int``) and, the first time, its length (``int``) and so many keys and values
object a reference and, the first time, a version and a class name (each as text without a kind),
       then what the class writes:
       a tensor: dimensions (``int``), sizes, strides, 1-based offset (``long``), its storage (an object)
       a storage: length (``long``), the numbers
truth  an ``int``
====== ========================================================================================

A ``long`` has 8 bytes in files of 64-bit machines and 4 in those of 32-bit ones and of Windows. Tensors of a GPU are
written as the others are, under names that begin with ``Cuda``. The reader on PyPI (torchfile 0.1.0) trusts the sizes
in the file and so reads memory outside of a damaged file's tensors; this one checks each number before it is used.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import ADDRESS, WeightsError, no_file

NIL, NUMBER, TEXT, TABLE, OBJECT, TRUTH = range(6)
FUNCTIONS = (6, 7, 8)
LONG = {4: "<i4", 8: "<i8"}
ELEMENTS = {"Byte": "<u1", "Char": "<i1", "Short": "<i2", "Int": "<i4", "Long": None, "Half": "<f2", "Float": "<f4",
            "Double": "<f8"}  # fmt: skip
CLASSES = {
    f"torch.{place}{element}{kind}": (kind, dtype)
    for place in ("", "Cuda")
    for element, dtype in ELEMENTS.items()
    for kind in ("Tensor", "Storage")
} | {"torch.CudaTensor": ("Tensor", "<f4"), "torch.CudaStorage": ("Storage", "<f4")}
DEEPEST = 50
MOST_DIMENSIONS = 8


def load(path: Path) -> object:
    """What a Torch7 file holds: None, float, str, bool, dict (a table), or an array (a tensor or storage).

    Raises
    ------
    WeightsError
        If the file is missing, no binary Torch7 file, cut off or damaged, or holds what is no plain data: a function,
        a module, a table that contains itself or has a table as a key.
    """
    try:
        with open(path, "rb") as file:
            return _load(file, path)
    except OSError as error:
        if ADDRESS.match(str(path)):
            raise WeightsError(no_file(path)) from None
        raise WeightsError(f"{path} cannot be read ({error.strerror or error}); check the path") from None
    except OverflowError:
        raise WeightsError(f"{path} is damaged: it names sizes that no machine can hold; download it again") from None


def _load(file: BinaryIO, path: Path) -> object:
    try:
        return _Reader(file, path, 8).whole()
    except _SizeError as error:
        try:
            return _Reader(file, path, 4).whole()
        except WeightsError:
            raise error from None  # it is a damaged file, most likely of a 64-bit machine


class _SizeError(WeightsError):
    """A size that cannot be: the file is damaged, or its ``long`` has fewer bytes than was thought."""


class _Reader:
    """One pass through a file whose ``long`` has ``long_bytes`` bytes."""

    def __init__(self, file: BinaryIO, path: Path, long_bytes: int):
        self.file, self.path, self.long = file, path, LONG[long_bytes]
        self.left = file.seek(0, 2)
        file.seek(0)
        self.seen: dict[int, object] = {}
        self.unfinished: set[int] = set()

    def whole(self) -> object:
        """The file's one object."""
        found = self.read_object()
        if self.left:
            raise _SizeError(self.damaged(f"{self.left:,} bytes follow its end"))
        return found

    # -- plain values -----------------------------------------------------------------------------
    def take(self, count: int) -> bytes:
        """The next ``count`` bytes; every size in the file is checked here, before memory is taken for it."""
        if not 0 <= count <= self.left:
            raise _SizeError(self.damaged("it is cut off, or a size in it is wrong"))
        self.left -= count
        return self.file.read(count)

    def read_int(self) -> int:
        return struct.unpack("<i", self.take(4))[0]

    def read_longs(self, count: int) -> list[int]:
        return self.read_numbers(self.long, count).tolist()

    def read_numbers(self, dtype: str, count: int) -> np.ndarray:
        return np.frombuffer(self.take(np.dtype(dtype).itemsize * count), dtype)

    def read_text(self) -> str:
        return self.take(self.read_int()).decode("utf-8", "surrogateescape")

    # -- objects ----------------------------------------------------------------------------------
    def read_object(self) -> object:
        kind = self.read_int()
        if kind == NIL:
            return None
        if kind == NUMBER:
            return struct.unpack("<d", self.take(8))[0]
        if kind == TEXT:
            return self.read_text()
        if kind == TRUTH:
            return self.read_int() == 1
        if kind in (TABLE, OBJECT):
            return self.read_once(self.read_table if kind == TABLE else self.read_instance)
        if kind in FUNCTIONS:
            raise WeightsError(f"{self.path} holds a function, which is code and is not read; give the weights alone")
        raise _SizeError(self.damaged(f"it has an object of kind {kind}"))

    def read_once(self, read: Callable[[], object]) -> object:
        """What a reference stands for: read where it comes first, remembered where it comes again."""
        reference = self.read_int()
        if reference in self.unfinished:
            raise WeightsError(f"{self.path} holds a table that contains itself, so it is no file of weights alone")
        if reference not in self.seen:
            if len(self.unfinished) == DEEPEST:
                raise WeightsError(
                    f"{self.path} holds tables nested deeper than {DEEPEST}, so it is no file of weights"
                )
            self.unfinished.add(reference)
            self.seen[reference] = read()
            self.unfinished.remove(reference)
        return self.seen[reference]

    def read_table(self) -> dict:
        length = self.read_int()
        if not 0 <= length <= self.left:
            raise _SizeError(self.damaged("a table in it has a length that cannot be"))
        table = {}
        for _ in range(length):
            key = self.read_object()
            if not isinstance(key, str | float | bool):
                raise WeightsError(f"{self.path} holds a table whose keys are no text or numbers, so it is not read")
            table[key] = self.read_object()
        return table

    def read_instance(self) -> np.ndarray:
        name = self.read_text()
        if name.startswith("V "):  # the oldest files have no version before the name
            name = self.read_text()
        if name not in CLASSES:
            raise WeightsError(f"{self.path} holds an object of the class {name[:80]!r}, which is no tensor; "
                               "save the weights alone, as tensors")  # fmt: skip
        kind, dtype = CLASSES[name]
        return self.read_tensor(dtype or self.long) if kind == "Tensor" else self.read_storage(dtype or self.long)

    def read_storage(self, dtype: str) -> np.ndarray:
        return self.read_numbers(dtype, self.read_longs(1)[0])

    def read_tensor(self, dtype: str) -> np.ndarray:
        dimensions = self.read_int()
        if not 0 <= dimensions <= MOST_DIMENSIONS:
            raise _SizeError(self.damaged(f"a tensor in it has {dimensions} dimensions"))
        size, stride = self.read_longs(dimensions), self.read_longs(dimensions)
        first = self.read_longs(1)[0] - 1
        storage = self.read_object()
        if not dimensions:
            return np.empty(0, dtype)
        if not isinstance(storage, np.ndarray) or storage.ndim != 1 or storage.dtype != np.dtype(dtype):
            raise _SizeError(self.damaged("a tensor in it has no storage of its kind"))
        last = first + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if min(size) < 1 or min(stride) < 0 or first < 0 or max(math.prod(size) - 1, last) >= len(storage):
            raise _SizeError(self.damaged("a tensor in it has sizes that cannot be"))
        steps = [s * storage.itemsize for s in stride]
        return np.lib.stride_tricks.as_strided(storage[first:], size, steps, writeable=False)

    def damaged(self, why: str) -> str:
        return f"{self.path} is no binary Torch7 file, or a damaged one ({why}); download or copy it again"
