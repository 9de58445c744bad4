"""A writer of Torch7 files, by the format's description: what the reader is tested with."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

NAMES = {
    "u1": "Byte",
    "i1": "Char",
    "i2": "Short",
    "i4": "Int",
    "i8": "Long",
    "f2": "Half",
    "f4": "Float",
    "f8": "Double",
}


class Writer:
    """The bytes of one object after another; ``long`` has 8 bytes, or 4 as on a 32-bit machine."""

    def __init__(self, long_bytes: int = 8, cuda: bool = False):
        self.bytes = bytearray()
        self.long = {4: "<i4", 8: "<i8"}[long_bytes]
        self.cuda = cuda
        self.references = 0

    def ints(self, *values: int) -> None:
        self.bytes += struct.pack(f"<{len(values)}i", *values)

    def longs(self, values) -> None:
        self.bytes += np.array(values, self.long).tobytes()

    def text(self, text: str) -> None:
        self.ints(len(text.encode()))
        self.bytes += text.encode()

    def begin(self, kind: int) -> None:
        self.references += 1
        self.ints(kind, self.references)

    def instance(self, name: str) -> None:
        self.begin(4)
        self.text("V 1")
        self.text(name)

    def class_name(self, dtype: np.dtype, kind: str) -> str:
        element = NAMES[dtype.str[1:]]
        if self.cuda:
            return f"torch.Cuda{element if element != 'Float' else ''}{kind}"
        return f"torch.{element}{kind}"

    def write(self, value) -> Writer:
        """One object: None, a truth value, number, text, dict, or an array (as a tensor that owns its storage)."""
        if value is None:
            self.ints(0)
        elif isinstance(value, bool):
            self.ints(5, value)
        elif isinstance(value, int | float):
            self.ints(1)
            self.bytes += struct.pack("<d", value)
        elif isinstance(value, str):
            self.ints(2)
            self.text(value)
        elif isinstance(value, dict):
            self.begin(3)
            self.ints(len(value))
            for key, item in value.items():
                self.write(key).write(item)
        else:
            self.tensor(value)
        return self

    def tensor(self, array: np.ndarray, size=None, stride=None, first: int = 0) -> None:
        """``array`` as the storage of a tensor of that size and stride, which begins at its element ``first``."""
        if size is None:
            size = array.shape if array.size else ()
        stride = [s // array.itemsize for s in np.empty(size, array.dtype).strides] if stride is None else stride
        self.instance(self.class_name(array.dtype, "Tensor"))
        self.ints(len(size))
        self.longs(size)
        self.longs(stride)
        self.longs([first + 1])
        self.storage(array)

    def storage(self, array: np.ndarray) -> None:
        self.instance(self.class_name(array.dtype, "Storage"))
        self.longs([array.size])
        self.bytes += array.astype(self.long if array.dtype == np.int64 else array.dtype).tobytes()


def save(path: Path, value, **options) -> Path:
    """``torch.save(path, value)`` of Torch7."""
    path.write_bytes(Writer(**options).write(value).bytes)
    return path
