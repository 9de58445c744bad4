"""Inputs of every kind that a person could hand in, most of them wrong: ``python tests/fuzz_inputs.py FIRST LAST``.

Input number i is the same on every machine. Each must end in a result or in an error that the package documents; a
line of JSON says for each how it ended. One that takes too long ends the process (SIGALRM), which :mod:`test_fuzz`
notices.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import struct
import sys
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image

import qgc
from qgc import cli, data
from qgc.errors import QGCError
from qgc.lab.fetch.chosen import images_of
from qgc.lab.fetch.fetch import fetch
from qgc.lab.fetch.sources import Collection, Source
from qgc.lab.fetch.unpack import unpack
from qgc.lab.published.deeper_lstm import read_prepro
from qgc.lab.published.deeper_lstm import read_vectors as read_lstm
from qgc.lab.published.pythia import read_lines
from qgc.lab.train.word_vectors import read_vectors
from qgc.models import zoo
from qgc.models.backbones import CNNConfig, VGGLike, load_weights
from qgc.scenes.scene import Scene

MOST_SECONDS = 20  # of computing
QUESTION = "What color are the towels?"
TEXTS = [
    "", " ", "?", "sófa", "毛巾", "диван", "\U0001f408\u200d\u2b1b", "\u202esofa", "\0", "\udce9", "so\u00adfa",
    "a" * 50_000, "white", "WHITE ", "'; --", "%s%n", "{x}", "$\\frac", "<b>", "../../etc/passwd", "nan", "-1",
]  # fmt: skip
NUMBERS = [0, 1, -1, 2, 25, 1023, 1024, 1025, 2**31, 10**30, 3.0, 3.5, 1e300, float("nan"), float("inf"), True]
VALUES = [None, *TEXTS, *NUMBERS, b"x", [], [1], [None], {}, {"a": 1}, (), object(), 1j, np.float32(3), np.int8(-1),
          np.array(["a"]), np.array([]), torch.tensor(3), torch.tensor([]), range(3)]  # fmt: skip
JSON_VALUES = [v for v in VALUES if isinstance(v, str | int | float | list | dict | None)] + [[[[[[1]]]]]]
VALUES.append(10**5000)  # which no writer of JSON takes
DTYPES = ["uint8", "int8", "uint16", "int16", "int32", "int64", "uint64", "float16", "float32", "float64", "bool",
          "complex64", "object", "<U3", "datetime64[s]"]  # fmt: skip


@cache
def view() -> qgc.EncodedImage:
    """A picture that the shipped model has looked at."""
    return qgc.EncodedImage(qgc.load("deeper-lstm/natural"), qgc.scene("bathroom"))


@cache
def explained():
    """An explanation to be asked for its maps."""
    return qgc.explain(view().vqa, view(), QUESTION)


# -- what is handed in --------------------------------------------------------------------------------
def damaged(rng: random.Random, content: bytes) -> bytes:
    """Bytes changed, inserted, doubled, or the end cut off."""
    found = bytearray(content)
    for _ in range(rng.choice([0, 1, 1, 3, 20])):
        place = rng.randrange(len(found) + 1)
        match rng.randrange(4):
            case 0:
                found[place : place + 1] = bytes([rng.choice([0, 255, 128, rng.randrange(256)])])
            case 1:
                found[place:place] = rng.randbytes(rng.choice([1, 4, 200]))
            case 2:
                found[place:place] = found[max(place - 50, 0) : place]
            case 3:
                found[place : place + 4] = rng.choice(
                    [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\x80\0\0\0"]
                )
    return bytes(found[: rng.randrange(len(found) + 1)] if rng.random() < 0.3 else found)


def changed(rng: random.Random, value):
    """JSON data in which some values are replaced or gone."""
    inner = value
    while True:
        keys = list(inner) if isinstance(inner, dict) else range(len(inner))
        if not keys:
            return value
        key = rng.choice(list(keys))
        if isinstance(inner[key], dict | list) and rng.random() < 0.75:
            inner = inner[key]
        elif rng.random() < 0.2:
            del inner[key]
            return value
        else:
            inner[key] = deepcopy(rng.choice(JSON_VALUES))  # else the next change changes these values themselves
            return value


def json_text(rng: random.Random, value) -> str:
    """A JSON text with a fault in its values or in its letters."""
    for _ in range(rng.choice([1, 1, 2, 5])):
        value = changed(rng, value)
    text = json.dumps(value)
    match rng.randrange(8):
        case 0:
            text = damaged(rng, text.encode()).decode("utf-8", "replace")
        case 1:
            text = text.replace("1", rng.choice(["1e999", "1" * 5000, "-0", "[" * 5000]), 1)
    return text


def picture_bytes(rng: random.Random) -> bytes:
    """A small picture's file in one of many formats, damaged or not."""
    kind = rng.choice(["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "EPS", "ICO", "TGA", "PDF", "PCX"])
    mode = rng.choice(["RGB", "RGBA", "L", "P", "CMYK", "1", "LA", "I;16", "F"])
    picture, buffer = Image.radial_gradient("L").resize((rng.randrange(1, 70), 40)), io.BytesIO()
    picture = picture.convert("RGB" if mode == "I;16" else mode)
    try:
        picture.save(buffer, kind)
    except (OSError, ValueError, KeyError):
        picture.convert("RGB").save(buffer := io.BytesIO(), "PNG")
    content = buffer.getvalue()
    return rng.choice([content, rng.randbytes(300), content[:9] + rng.randbytes(200)][: rng.choice([1, 1, 3])])


# -- the kinds: each hands one input in ---------------------------------------------------------------
def picture(rng: random.Random) -> None:
    content = damaged(rng, picture_bytes(rng))
    if rng.random() < 0.5:
        Path("picture.jpg").write_bytes(content)
        with contextlib.suppress(QGCError):
            Scene.open("picture.jpg")
    qgc.open_image("picture.jpg" if rng.random() < 0.3 else content)


def array(rng: random.Random) -> None:
    shape = rng.choice([(9, 9), (9, 9, 3), (9, 9, 4), (9, 9, 1), (3, 9, 9), (9,), (), (0, 9), (1, 1, 3), (2, 9, 9, 3)])
    dtype, scale = rng.choice(DTYPES), rng.choice([1, 1.0001, 2, 255, 256, 65535, 1e300, float("nan"), float("inf"), 0])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.random.default_rng(rng.randrange(99)).random(shape) * scale - rng.choice([0, 0, scale / 2])
        try:
            values = np.asarray(values).astype(dtype)
        except (ValueError, OverflowError, TypeError):
            return
    given = rng.choice(
        [values, values.tolist(), Image.fromarray(values) if dtype == "uint8" and values.ndim == 2 else values]
    )
    qgc.open_image(given)


def source(rng: random.Random) -> None:
    qgc.open_image(rng.choice([*VALUES, *map(Path, ("", ".", "/", "/dev/null", "/dev/zero", "https://a.b/c.jpg"))]))


def sentence(rng: random.Random) -> str:
    words = ["what", "color", "is", "the", "sofa", *TEXTS]
    return rng.choice(["", " ", "\t", "\u3000"]).join(rng.choice(words) for _ in range(rng.randrange(40)))


def question(rng: random.Random) -> None:
    given = rng.choice([sentence(rng), sentence(rng), rng.choice(VALUES), [sentence(rng), rng.choice(VALUES)]])
    found = qgc.explain(view().vqa, view(), given)
    for each in found if isinstance(found, list) else [found]:
        repr(each), each.map(25)


def answer(rng: random.Random) -> None:
    qgc.explain(view().vqa, view(), QUESTION, rng.choice(VALUES)).map()


def count(rng: random.Random) -> None:
    value = rng.choice([rng.choice(VALUES), [rng.choice(VALUES) for _ in range(3)], rng.randrange(-9, 2000)])
    what = rng.randrange(7)
    if what == 0:
        explained().map(value)
    elif what == 1:
        explained().maps(value)
    elif what == 2:
        explained().top(value)
    elif what == 3:
        explained().map(neurons=value)
    elif what == 4:
        qgc.explain(view().vqa, view(), QUESTION, rank=value)
    elif what == 5:
        qgc.explain(view().vqa, view(), QUESTION, reduce=value)
    else:
        qgc.load(value)


def scene(rng: random.Random) -> None:
    name = rng.choice(["bathroom", "couple", "birthday", "park"])
    found = Scene.from_json(json_text(rng, json.loads(qgc.scene(name).to_json())))
    assert found.image and found.masks is not None and found.asks is not None


def data_set(rng: random.Random) -> None:
    name = rng.choice(["vqa1", "vqa2", "daquar"])
    official = {
        "questions.json": {"info": {"version": "2.0"}, "task_type": "Open-Ended", "data_type": "mscoco",
                           "data_subtype": "val2014", "questions": [
                               {"image_id": i, "question": "Is it red?", "question_id": 10 * i} for i in range(3)]},
        "annotations.json": {"info": {}, "data_type": "mscoco", "data_subtype": "val2014", "annotations": [
            {"image_id": i, "question_id": 10 * i, "answer_type": "other", "answers": [{"answer": "no"}] * 10}
            for i in range(3)]},
    }  # fmt: skip
    for file, content in official.items():
        text = json_text(rng, content) if rng.random() < 0.6 else json.dumps(content)
        Path(file).write_text(text, encoding="utf-8")
    lines = "what is on the desk in the image1 ?\nbook, lamp\nhow many in image2 ?\n2\n"
    Path("qa.894.raw.test.txt").write_bytes(damaged(rng, lines.encode()))
    Path("test_images_list.txt").write_bytes(damaged(rng, b"image1\nimage2\n"))
    with contextlib.suppress(QGCError):
        images_of(rng.choice(["questions.json", "qa.894.raw.test.txt"]))
    photos = data.load(name, rng.choice([".", ".", ".", Path("questions.json"), "nowhere"]), "test")
    photos.score(photos.questions[0], rng.choice(TEXTS))
    photos.image_path(photos.images[0])


def text_file(rng: random.Random) -> None:
    contents = [
        b"<unk>\nsofa\n",
        b"sofa 1 2\nred 3 4\n",
        json.dumps({"ix_to_word": {"1": "a"}, "ix_to_ans": {"1": "b"}}).encode(),
    ]
    content = damaged(rng, rng.choice(contents))
    Path("text").write_bytes(rng.choice([content, b"\xef\xbb\xbf" + content, content.replace(b"\n", b"\r\n")]))
    match rng.randrange(3):
        case 0:
            read_lines(Path("text"))
        case 1:
            read_vectors(Path("text"), ["sofa"], 2)
        case 2:
            read_prepro(Path("text"))


def card(rng: random.Random) -> None:
    shipped = zoo.SHIPPED / "deeper-lstm"
    about = json.loads((shipped / "natural.json").read_text(encoding="utf-8"))
    about = {key: about[key] for key in ("family", "files", "trained_on", "config")}
    if rng.random() < 0.5:  # one field of the many words and answers is rarely another kind
        about["config"] |= {"words": ["what"], "answers": ["white"]}
    run = Path(tempfile.mkdtemp(dir="."))
    for file in ("natural.safetensors", "cnn-natural.safetensors"):
        (run / file).symlink_to(shipped / file)
    (run / "model.json").write_text(json_text(rng, about), encoding="utf-8")
    qgc.load(run).ask(qgc.scene("bathroom"), QUESTION)


def weights(rng: random.Random) -> None:
    own = VGGLike(CNNConfig(((2,), (2,), (2,), (2,), (2,)), fc=3))
    state = {k: v for k, v in own.state_dict().items() if not k.startswith("fc")}
    state |= {f"classifier.{k.replace('fc6', '0').replace('fc7', '3')}": v
              for k, v in own.state_dict().items() if k.startswith("fc")}  # fmt: skip
    clean, strange = dict(state), torch.ones(2, 3)
    for _ in range(rng.choice([0, 1, 1, 2])):
        name = rng.choice(list(clean))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state[rng.choice([name, 0, "", name + "x" * 9999])] = rng.choice(
                [strange, strange.to_sparse(), strange.to("meta"), strange.cfloat(), strange[:, :1].expand(2, 10**12),
                 clean[name].double() * 1e300, clean[name] * float("nan"), {"a": strange}, [strange], "text", 3, None,
                 torch.quantize_per_tensor(strange, 0.1, 0, torch.qint8)]
            )  # fmt: skip
    if rng.random() < 0.3 and all(isinstance(v, torch.Tensor) and v.is_contiguous() for v in state.values()):
        with contextlib.suppress(Exception):
            safetensors.torch.save_file(state, "weights")
    else:
        torch.save(state, "weights", _use_new_zipfile_serialization=rng.random() < 0.5)
    Path("weights").write_bytes(damaged(rng, Path("weights").read_bytes()))
    load_weights(own, rng.choice(["weights", "weights", "weights", "/dev/zero", "."]))


def lua_file(rng: random.Random) -> None:
    def text(letters: bytes) -> bytes:
        return struct.pack("<i", len(letters)) + letters

    def begin(name: bytes) -> bytes:
        return struct.pack("<ii", 4, 1) + text(b"V 1") + text(name)

    longs = [rng.choice([3, 3, 3, 1, 0, -1, 2**62, 2**63 - 1]) for _ in range(2)]
    tensor = begin(b"torch.FloatTensor") + struct.pack("<iqqq", 1, longs[0], rng.choice([1, 1, 1, 2**62, -1]), 1)
    tensor += begin(b"torch.FloatStorage") + struct.pack("<q3f", longs[1], 1, 2, 3)
    table = struct.pack("<iii", 3, 1, 3)
    for name in (b"embedding_w_q", b"encoder_w_q", b"multimodal_w"):
        table += struct.pack("<i", 2) + text(name) + tensor
    Path("lstm.t7").write_bytes(rng.choice([table, damaged(rng, table), damaged(rng, tensor)]))
    read_lstm(Path("lstm.t7"))


def archive(rng: random.Random) -> None:
    names = ["a.jpg", "a.jpg", "b/c.txt", "A.JPG", "a.jpg.half", "", ".", "a/.", "..", "../x", "/etc/x", "C:x", "a\\b",
             "\0", "x" * 300, "\u202e", "a\nb", "tmp.half", ".tmp"]  # fmt: skip
    chosen, content = rng.sample(names, rng.randrange(1, 4)), io.BytesIO()
    if rng.random() < 0.5:
        with zipfile.ZipFile(content, "w", rng.choice([0, 8, 12, 14])) as packed:
            for name in chosen:
                info = zipfile.ZipInfo("x")
                info.filename, info.external_attr = name, rng.choice([0, 0, 0, 0o120777, 0o20777]) << 16
                packed.writestr(info, b"content")
    else:
        with tarfile.open(fileobj=content, mode=rng.choice(["w", "w:gz", "w:xz"])) as packed:
            for name in chosen:
                info = tarfile.TarInfo(name)
                info.type, info.size = rng.choice([b"0", b"0", b"0", b"1", b"2", b"3", b"5", b"S", b"x", b"L"]), 7
                info.linkname = rng.choice(names)
                packed.addfile(info, io.BytesIO(b"content"))
    folder = Path(tempfile.mkdtemp(dir="."))
    place = folder / "archive"
    place.write_bytes(rng.choice([content.getvalue(), damaged(rng, content.getvalue())]))
    try:
        unpack(place, lambda name: True, "into", folder, folder / "tmp", 10**6, lambda path, name: None)
    except QGCError:
        left = [path for path in folder.rglob("*") if path.is_file() and path != place]
        assert not [path for path in left if path.parent.name == "into"], left
        raise


def record(rng: random.Random) -> None:
    source = Source("a.txt", ("http://127.0.0.1:9/a.txt",), 10)
    folder = Path(tempfile.mkdtemp(dir="."))
    (folder / ".fetch").mkdir()
    Path("a.txt").write_text("content", encoding="utf-8")
    noted = {"a.txt": {"bytes": 7, "sha256": "0" * 64, "checked": "", "address": "", "checksum_from": "", "date": "",
                       "changed": 0}}  # fmt: skip
    (folder / "fetched.json").write_text(json_text(rng, noted), encoding="utf-8")
    part = {"address": "http://127.0.0.1:9/a.txt", "validator": "", "total": 7}
    (folder / ".fetch/a.txt.part").write_text("cont", encoding="utf-8")
    (folder / ".fetch/a.txt.part.json").write_text(json_text(rng, part), encoding="utf-8")
    to, parts, images = rng.choice([*[folder] * 50, *VALUES]), rng.choice([*[None] * 50, *VALUES]), None
    if not isinstance(to, str | Path):
        to = folder
    fetch(Collection("one", "", "", "", (source,), ""), to, ".", images, parts, say=lambda line: None)


def command(rng: random.Random) -> str:
    Path("picture.png").write_bytes(picture_bytes(rng))
    texts = [text.replace("\0", "") for text in TEXTS]  # no shell hands a NUL on
    anything = [*texts, *map(str, NUMBERS), "picture.png", ".", "/", "none/a.png", "https://a.b/c.jpg"]
    options = ["--answer", "--n", "--reduce", "--model", "--device", "--out", "--json", "--help", "--nope"]
    values = {
        "--answer": ["white", *texts], "--n": ["25", *map(str, NUMBERS)], "--reduce": ["sum", *texts],
        "--model": ["deeper-lstm/balanced", *texts], "--device": ["cpu", "cuda", "cuda:7", "mps", "meta", *texts],
        "--out": ["out.png", "out.xyz", "out", ".", "none/out.png", "/dev/null", *texts],
    }  # fmt: skip
    if rng.random() < 0.7:
        arguments = ["explain", rng.choice(["picture.png", *anything]), rng.choice([QUESTION, *anything])]
        for option in rng.sample(options, rng.randrange(4)):
            arguments += [option, *([rng.choice(values[option])] if option in values else [])]
    else:
        head = rng.choice(["evaluate", "fetch --list", "convert pythia", "convert deeper-lstm", "bench --model",
                           "train nope", "explain", "", "ledger --nope"]).split()  # fmt: skip
        arguments = [*head, *rng.sample(anything, rng.randrange(1, 4)), "--nope"]
    shown = io.TextIOWrapper(io.BytesIO(), "utf-8", errors="backslashreplace")
    kept = warnings.showwarning  # the command line sets its own
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
            status = cli.main(arguments)
        if status not in (0, 1, 2):
            raise AssertionError(f"status {status} of {arguments!r:.300}")
    except SystemExit as end:  # argparse's
        status = end.code
        if status not in (0, 2):
            raise AssertionError(f"exit {status!r} of {arguments!r:.300}") from None
    finally:
        warnings.showwarning = kept
    shown.seek(0)
    if "Traceback" in (text := shown.read()):
        raise AssertionError(f"{text[-300:]!r} of {arguments!r:.300}")
    return "refused" if status else "result"


KINDS: list[Callable[[random.Random], str | None]] = [
    picture, array, source, question, answer, count, scene, data_set, text_file, command,
    card, weights, lua_file, archive, record,
]  # fmt: skip


def peak() -> int:
    """The most memory that this process has had, in MB; 0 where the system does not say (getrusage's is inherited)."""
    try:
        return int(Path("/proc/self/status").read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]) // 1000
    except (OSError, IndexError):
        return 0


def hand_in(number: int) -> dict:
    """Hand input ``number`` in and say how it ended."""
    rng, kind = random.Random(number), KINDS[number % len(KINDS)]
    said = {"number": number, "kind": kind.__name__, "end": "result", "message": ""}
    try:
        said["end"] = kind(rng) or "result"
    except QGCError as error:
        said |= {"end": "refused", "message": str(error)}
    except Exception as error:
        trace, last = error.__traceback__, ""
        while trace:
            last, trace = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}", trace.tb_next
        said |= {"end": "traceback", "message": f"{type(error).__name__}: {str(error):.300} ({last})"}
    return said | {"megabytes": peak()}


def main(first: int, last: int) -> None:
    """Hand in the inputs from ``first`` to before ``last``, in an empty folder."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    explained()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for number in range(first, last):
            signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)  # its own, so that a busy machine makes no hang
            signal.alarm(10 * MOST_SECONDS)
            print(json.dumps(hand_in(number)), file=out, flush=True)
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        os.chdir("/")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
