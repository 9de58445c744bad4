"""Torch7 files: what Lua wrote comes back the same; what is damaged, or no plain data, is refused and never run."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from torch7_writer import Writer, save

from qgc.errors import WeightsError
from qgc.lab.published import torch7

TABLE = {"größer": np.arange(6.0).reshape(2, 3), "vector": np.arange(5, dtype="<f4"), "": np.ones(1)}


def same(a, b) -> bool:
    """Equal, tables and arrays included, and of the same kinds."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


def refused(path: Path, data: bytes, *words: str) -> None:
    path.write_bytes(data)
    with pytest.raises(WeightsError) as error:
        torch7.load(path)
    assert str(path) in str(error.value)
    assert not words or any(w in str(error.value) for w in words), str(error.value)


@pytest.mark.parametrize("cuda", [False, True])
def test_a_table_comes_back_the_same(tmp_path, cuda):
    table = {k: v.astype("<f4") for k, v in TABLE.items()} if cuda else TABLE
    assert same(torch7.load(save(tmp_path / "a.t7", table, cuda=cuda)), table)
    assert torch7.load(save(tmp_path / "a.t7", {})) == {}


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
@pytest.mark.parametrize("shape", [(7,), (2, 3), (2, 3, 2), (1, 1)])
def test_tensors_of_every_kind(tmp_path, dtype, shape):
    array = (np.arange(np.prod(shape)) - 2).astype(dtype).reshape(shape)
    assert same(torch7.load(save(tmp_path / "a.t7", array)), array)


def test_a_part_of_a_storage_is_read_from_its_offset(tmp_path):
    writer = Writer()
    writer.tensor(np.arange(20.0), size=(3, 2), stride=(2, 1), first=4)
    (tmp_path / "a.t7").write_bytes(writer.bytes)
    assert torch7.load(tmp_path / "a.t7").tolist() == [[4, 5], [6, 7], [8, 9]]


# -- what is refused ----------------------------------------------------------------------------------
def test_a_file_cut_off_anywhere_is_refused(tmp_path):
    data = bytes(Writer().write(TABLE).bytes)
    for length in range(len(data)):
        refused(tmp_path / "cut.t7", data[:length], "cut off", "damaged")
    refused(tmp_path / "long.t7", data + b"\0", "follow")


def test_a_flipped_byte_gives_an_error_or_plain_data(tmp_path):
    """Whatever is flipped, nothing but our own error comes out, and memory stays within the file's size."""
    data = bytes(Writer().write(TABLE).bytes)
    path, rng, errors = tmp_path / "flipped.t7", np.random.default_rng(0), 0
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            torch7.load(path)
        except WeightsError:
            errors += 1
    assert errors > len(data) / 3


HUGE = 2**62


@pytest.mark.parametrize(
    "changes",
    [
        {"size": [HUGE]},
        {"size": [6], "stride": [1]},
        {"size": [5], "stride": [2]},
        {"size": [2], "stride": [HUGE]},
        {"size": [1], "stride": [2**63 - 1]},
        {"size": [2, 2], "stride": [1, 2]},
        {"size": [5], "stride": [-1]},
        {"size": [-5]},
        {"size": [0]},
        {"size": [5], "first": 1},
        {"size": [5], "first": -1},
        {"size": [1], "first": HUGE},
        {"size": [HUGE], "stride": [0]},
        {"size": [HUGE, HUGE], "stride": [0, 0]},
        {"size": [1] * 9},
    ],
    ids=str,
)
def test_a_tensor_that_does_not_fit_its_storage_is_refused(tmp_path, changes):
    writer = Writer()
    stride = changes.get("stride", [1] * len(changes["size"]))
    writer.tensor(np.arange(5.0), changes["size"], stride, changes.get("first", 0))
    refused(tmp_path / "a.t7", writer.bytes, "damaged")


def test_absurd_lengths_are_refused_before_memory_is_taken(tmp_path):
    for length in (2**31 - 1, -1):
        refused(tmp_path / "table.t7", struct.pack("<iii", 3, 1, length), "length")
        refused(tmp_path / "text.t7", struct.pack("<iiiii", 3, 1, 1, 2, length), "cut off")
    for length in (HUGE, -1):
        writer = Writer()
        writer.instance("torch.DoubleTensor")
        writer.ints(1)
        writer.longs([1, 1, 1])
        writer.instance("torch.DoubleStorage")
        writer.longs([length])
        refused(tmp_path / "storage.t7", writer.bytes, "cut off")


@pytest.mark.parametrize("storage", ["text", np.arange(4.0).reshape(2, 2), np.arange(5, dtype="<f4")], ids=type)
def test_another_storage_than_the_tensors_is_refused(tmp_path, storage):
    writer = Writer()
    writer.instance("torch.DoubleTensor")
    writer.ints(1)
    writer.longs([2, 1, 1])
    if isinstance(storage, np.ndarray) and storage.ndim == 1:
        writer.storage(storage)
    else:
        writer.write(storage)
    refused(tmp_path / "a.t7", writer.bytes, "no storage of its kind", "it holds an object of")


@pytest.mark.parametrize(
    "value",
    [None, True, 2.5, "text", {"a": None}, {"a": 1.0}, {"a": "b"}, {1.0: np.ones(2)}, {"a": {"b": np.ones(2)}},
     np.ones(2, "<i4"), {"a": np.ones(2, "u1")}, {"a": np.ones(2, "<f2")}, np.ones(0)],
    ids=str,
)  # fmt: skip
def test_what_is_no_table_of_tensors_is_refused(tmp_path, value):
    refused(tmp_path / "a.t7", bytes(Writer().write(value).bytes), "it holds a", "0 dimensions")


@pytest.mark.parametrize("kind", [6, 7, 8])
def test_code_is_refused(tmp_path, kind):
    writer = Writer()
    writer.begin(kind)
    writer.text("\x1bLua")
    refused(tmp_path / "a.t7", writer.write({}).bytes, f"an object of kind {kind}")


def test_modules_are_refused(tmp_path):
    writer = Writer()
    writer.instance("nn.Linear")
    refused(tmp_path / "module.t7", writer.write({}).bytes, "an object of the class 'nn.Linear'")


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0", b"3\n1\n2\n", b"PK\x03\x04" + bytes(60), b"\x80\x02}q\0.", bytes([9] * 64)]
)
def test_other_files_are_refused(tmp_path, data):
    refused(tmp_path / "other.t7", data, "not a binary Torch7 file", "not a table of tensors that Torch7 saved")


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.t7", tmp_path, Path("/dev/zero"), tmp_path / ("x" * 5000)):
        with pytest.raises(WeightsError, match="cannot be read"):
            torch7.load(path)


# -- files that Lua wrote -----------------------------------------------------------------------------
@pytest.fixture
def genuine() -> Path:
    if not os.environ.get("QGC_REAL_DATA"):
        pytest.skip("QGC_REAL_DATA is not set; it names the folder with the files that Torch7 wrote")
    return Path(os.environ["QGC_REAL_DATA"]) / "t7"


def test_genuine_tensors_come_back_and_the_writer_writes_the_same_bytes(genuine):
    found = {name: torch7.load(genuine / f"{name}.t7") for name in ("doubletensor", "floattensor")}
    assert found["doubletensor"].tolist() == [[1, 2, 3], [4, 5, 6.9]]
    assert found["floattensor"].dtype == np.float32 and found["floattensor"].ndim == 3
    for name, value in found.items():
        assert Writer().write(value).bytes == (genuine / f"{name}.t7").read_bytes()


def test_other_genuine_files_are_refused(genuine):
    for file in genuine.glob("*.t7"):
        if not file.stem.endswith("tensor"):
            with pytest.raises(WeightsError, match="not a table of tensors that Torch7 saved"):
                torch7.load(file)


def test_genuine_files_cut_off_anywhere_are_refused(genuine, tmp_path):
    for file in sorted(genuine.glob("*.t7")):
        data = file.read_bytes()
        for length in range(0, len(data), max(1, len(data) // 200)):
            refused(tmp_path / "cut.t7", data[:length])
