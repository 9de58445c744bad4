"""Torch7 files: what Lua wrote comes back the same; what is damaged, or no plain data, is refused and never run."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from torch7_writer import NAMES, Writer, save

from qgc.errors import WeightsError
from qgc.lab.published import torch7

TABLE = {
    "text": "größer",
    "number": -2.5,
    "yes": True,
    "no": False,
    1.0: None,
    "inner": {2.0: "two", "deep": {}},
    "matrix": np.arange(6.0).reshape(2, 3),
    "vector": np.arange(5, dtype="<f4"),
}


def same(a, b) -> bool:
    """Equal, tables and arrays included, and of the same kinds."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)
    return type(a) is type(b) and a == b


def refused(path: Path, data: bytes, *words: str) -> None:
    path.write_bytes(data)
    with pytest.raises(WeightsError) as error:
        torch7.load(path)
    assert str(path) in str(error.value)
    assert not words or any(w in str(error.value) for w in words), str(error.value)


@pytest.mark.parametrize("long_bytes", [8, 4])
@pytest.mark.parametrize("cuda", [False, True])
def test_a_table_comes_back_the_same(tmp_path, long_bytes, cuda):
    assert same(torch7.load(save(tmp_path / "a.t7", TABLE, long_bytes=long_bytes, cuda=cuda)), TABLE)


@pytest.mark.parametrize("long_bytes", [8, 4])
@pytest.mark.parametrize("cuda", [False, True])
@pytest.mark.parametrize("dtype", [f"<{n}" for n in NAMES if n[1] != "1"] + ["|u1", "|i1"])
@pytest.mark.parametrize("shape", [(7,), (2, 3), (2, 3, 2), (1, 1)])
def test_tensors_of_every_kind(tmp_path, long_bytes, cuda, dtype, shape):
    array = (np.arange(np.prod(shape)) - (0 if "u" in dtype else 2)).astype(dtype).reshape(shape)
    found = torch7.load(save(tmp_path / "a.t7", array, long_bytes=long_bytes, cuda=cuda))
    assert found.shape == array.shape and np.array_equal(found, array)
    assert found.dtype == array.dtype or (dtype == "<i8" and found.dtype == np.int32 and long_bytes == 4)


def test_a_view_is_read_through_its_strides(tmp_path):
    writer = Writer()
    writer.tensor(np.arange(20.0), size=(3, 2), stride=(1, 6), first=4)
    (tmp_path / "a.t7").write_bytes(writer.bytes)
    assert torch7.load(tmp_path / "a.t7").tolist() == [[4, 10], [5, 11], [6, 12]]


def test_an_empty_tensor_and_one_without_a_version(tmp_path):
    writer = Writer()
    writer.instance("torch.FloatTensor")
    writer.ints(0)
    writer.longs([1])
    writer.write(None)
    (tmp_path / "a.t7").write_bytes(writer.bytes)
    assert torch7.load(tmp_path / "a.t7").shape == (0,)
    data = bytes(Writer().write(np.arange(3.0)).bytes)
    (tmp_path / "b.t7").write_bytes(data.replace(struct.pack("<i", 3) + b"V 1", b""))
    assert torch7.load(tmp_path / "b.t7").tolist() == [0, 1, 2]


def test_what_is_written_twice_is_read_once(tmp_path):
    writer = Writer()
    writer.begin(3)
    writer.ints(2)
    writer.write("first").write(np.arange(3.0))
    writer.write("again").ints(4, 2)  # the tensor's reference
    (tmp_path / "a.t7").write_bytes(writer.bytes)
    found = torch7.load(tmp_path / "a.t7")
    assert found["first"] is found["again"]


# -- what is refused ----------------------------------------------------------------------------------
@pytest.mark.parametrize("long_bytes", [8, 4])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, long_bytes):
    data = bytes(Writer(long_bytes).write(TABLE).bytes)
    for length in range(len(data)):
        refused(tmp_path / "cut.t7", data[:length], "cut off", "damaged")
    refused(tmp_path / "long.t7", data + b"\0", "follow" if long_bytes == 8 else "damaged")


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
    refused(tmp_path / "text.t7", struct.pack("<ii", 2, 2**31 - 1), "cut off")
    refused(tmp_path / "text.t7", struct.pack("<ii", 2, -1), "cut off")
    refused(tmp_path / "table.t7", struct.pack("<iii", 3, 1, 2**31 - 1), "length")
    refused(tmp_path / "table.t7", struct.pack("<iii", 3, 1, -1), "length")
    for length in (HUGE, -1):
        writer = Writer()
        writer.instance("torch.DoubleStorage")
        writer.longs([length])
        refused(tmp_path / "storage.t7", writer.bytes, "cut off")


def test_another_storage_than_the_tensors_is_refused(tmp_path):
    for storage in ("text", np.arange(4.0).reshape(2, 2), np.arange(5, dtype="<f4")):
        writer = Writer()
        writer.instance("torch.DoubleTensor")
        writer.ints(1)
        writer.longs([2, 1, 1])
        if isinstance(storage, np.ndarray) and storage.ndim == 1:
            writer.storage(storage)
        else:
            writer.write(storage)
        refused(tmp_path / "a.t7", writer.bytes, "no storage of its kind")


@pytest.mark.parametrize("kind", [6, 7, 8])
def test_code_is_refused(tmp_path, kind):
    writer = Writer()
    writer.begin(kind)
    writer.text("\x1bLua")
    writer.write({})
    refused(tmp_path / "a.t7", writer.bytes, "is code")


def test_modules_loops_and_odd_keys_are_refused(tmp_path):
    writer = Writer()
    writer.instance("nn.Linear")
    refused(tmp_path / "module.t7", writer.write({}).bytes, "'nn.Linear', which is no tensor")
    refused(tmp_path / "loop.t7", struct.pack("<iiiiii", 3, 1, 1, 1, 0, 0) + struct.pack("<iii", 0, 3, 1)[4:], "itself")
    refused(tmp_path / "key.t7", Writer().write({"a": 1}).bytes[:12] + Writer().write({}).bytes, "itself", "keys")
    refused(tmp_path / "nil.t7", struct.pack("<iiiii", 3, 1, 1, 0, 0), "keys")


def test_tables_in_tables_without_end_are_refused(tmp_path):
    writer = Writer()
    for _ in range(5000):
        writer.begin(3)
        writer.ints(1)
        writer.write(1.0)
    refused(tmp_path / "a.t7", writer.bytes, "nested deeper")


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0", b"3\n1\n2\n", b"PK\x03\x04" + bytes(60), b"\x80\x02}q\0.", bytes([9] * 64)]
)
def test_other_files_are_refused(tmp_path, data):
    refused(tmp_path / "other.t7", data, "no binary Torch7 file")


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "none.t7", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"):
            torch7.load(path)


# -- files that Lua wrote -----------------------------------------------------------------------------
@pytest.fixture
def genuine() -> Path:
    if not os.environ.get("QGC_REAL_DATA"):
        pytest.skip("QGC_REAL_DATA is not set; it names the folder with the files that Torch7 wrote")
    return Path(os.environ["QGC_REAL_DATA"]) / "t7"


def test_genuine_files_come_back_and_the_writer_writes_the_same_bytes(genuine):
    found = {name: torch7.load(genuine / f"{name}.t7") for name in ("doubletensor", "floattensor", "hello=123")}
    assert found["doubletensor"].tolist() == [[1, 2, 3], [4, 5, 6.9]]
    assert found["floattensor"].dtype == np.float32 and found["floattensor"].ndim == 3
    assert found["hello=123"] == {"hello": 123}
    for name, value in found.items():
        assert Writer().write(value).bytes == (genuine / f"{name}.t7").read_bytes()
    assert torch7.load(genuine / "list_table.t7") == {1: "hello", 2: "world", 3: "third item", 4: 123}
    assert torch7.load(genuine / "map_table2.t7")["a"] == "non number key"


def test_genuine_modules_and_loops_are_refused(genuine):
    for name, words in {
        "gmodule_with_linear_identity": "'nn.gModule', which is no tensor",
        "nngraph_node": "'nngraph.Node'",
        "recursive_kv_table": "contains itself",
    }.items():
        with pytest.raises(WeightsError, match=words):
            torch7.load(genuine / f"{name}.t7")


def test_genuine_files_cut_off_anywhere_are_refused(genuine, tmp_path):
    for file in sorted(genuine.glob("*.t7")):
        data = file.read_bytes()
        for length in range(0, len(data), max(1, len(data) // 200)):
            refused(tmp_path / "cut.t7", data[:length])
