"""What a machine with a GPU has to show, in at most six minutes: python tools/gpu_check.py [--device cpu, to try it].

Prints a table: the closed form is quicker on the GPU than on the CPU, and its maps are the same; a training step in
bfloat16 learns; three notebooks run with the device, and print the numbers that the CPU printed. Without a GPU it says
so, and that is all.

A machine without a network brings its own Python (3.11 or newer) and PyTorch; the rest comes from a folder of wheels,
which another machine of the same kind filled:

    python3.12 tools/gpu_check.py --fetch wheels    # where there is a network, by the Python that the other one has
    python3.12 tools/gpu_check.py --wheels wheels   # where the GPU is: into .venv-gpu, and run there
"""

from __future__ import annotations

import argparse
import copy
import os
import re
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-gpu"
RUNS_NOTEBOOKS = ["ipykernel", "papermill"]
NOTEBOOKS = ["same-answer", "ground-truth", "nulls"]
MODELS = ["deeper-lstm/natural", "deeper-lstm/balanced", "pythia/natural"]
AGREE = 1e-9  # of float64 maps, relative to the highest value: sums in another order, through a CNN
LIMIT_S = 360
IGNORED = "nbval-ignore-output"  # the tag of cells whose output differs from run to run
NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Row:
    """A check: what was found, what is asked for, and whether that holds; None where nothing is asked for."""

    name: str
    found: str
    bound: str = ""
    holds: bool | None = None


# -- the packages -------------------------------------------------------------------------------------------
def needs() -> list[str]:
    """What the checks need besides PyTorch, which fits the machine's driver and stays as it is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    book = [r for r in project["optional-dependencies"]["book"] if r.startswith(tuple(RUNS_NOTEBOOKS))]
    return [r for r in [*project["dependencies"], *book] if not r.startswith("torch")]


def fetch(folder: Path) -> int:
    """Download wheels of all that, for this version of Python, into a folder."""
    download = ["-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(folder), *needs()]
    return subprocess.run([sys.executable, *download]).returncode


def run_from(wheels: Path, options: Sequence[str]) -> int:
    """Run the checks in an environment of this Python's own packages, with PyTorch, and the wheels of a folder."""
    python = str(ENVIRONMENT / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--no-index", "--find-links", str(wheels), *needs()]
    if status := subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)]).returncode:
        return status
    (packages,) = ENVIRONMENT.glob("lib/python*/site-packages")
    own = [entry for entry in sys.path if entry.endswith("-packages")]  # also of a Python that is itself a venv
    (packages / "own.pth").write_text("\n".join(own) + "\n", encoding="utf-8")
    return subprocess.run(install).returncode or subprocess.run([python, __file__, *options]).returncode


# -- the closed form ----------------------------------------------------------------------------------------
def seconds(call: Callable[[], object], device: str, repeat: int = 5) -> float:
    """The median time of a call, to the end of what it started on the device, after a first call that warms up."""
    import torch

    took = []
    for _ in range(1 + repeat):
        began = time.perf_counter()
        call()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        took.append(time.perf_counter() - began)
    return statistics.median(took[1:])


def closed_form_speed(device: str) -> Iterator[Row]:
    """All maps of a question on a new image, with the paper's sizes and random weights."""
    import torch

    import qgc
    from qgc.explain import EncodedImage, explain
    from qgc.lab.bench.peers import full_size_model

    scene = qgc.scene("bathroom")
    question = scene.questions[0]
    model = full_size_model(qgc.load(MODELS[0]).vocabulary.words)
    took = {}
    for where in ("cpu", device):
        vqa = copy.deepcopy(model).to(where, torch.float32)
        took[where] = seconds(lambda vqa=vqa: explain(vqa, EncodedImage(vqa, scene), question).maps(), where)
        yield Row(f"all 1024 maps of a new image, VGG-19, {where}", f"{1e3 * took[where]:.0f} ms")
    faster = took["cpu"] / took[device]
    bound = {} if device == "cpu" else {"bound": "> 1", "holds": faster > 1}
    yield Row(f"{device} / cpu, how many times as fast", f"{faster:.1f}", **bound)


def closed_form_agreement(device: str) -> Iterator[Row]:
    """The maps of a question, gated and not, on both devices."""
    import qgc
    from qgc.explain import explain

    scene = qgc.scene("bathroom")
    for name in MODELS:
        here, there = (explain(qgc.load(name, device=where), scene, scene.questions[0]) for where in ("cpu", device))
        ours, theirs = here.maps(relu=False), there.maps(relu=False).cpu()
        error = float((ours - theirs).abs().max() / ours.abs().max())
        good = error <= AGREE and here.predicted == there.predicted
        yield Row(f"maps of {name}, {device} against cpu", f"{error:.1e}", f"≤ {AGREE:.0e}, same answer", good)


# -- a training step ----------------------------------------------------------------------------------------
def training_step(device: str, batch: int = 32) -> Iterator[Row]:
    """The loss of a batch in bfloat16 is that in float32 but for rounding, and a step makes it smaller."""
    import torch
    from torch import nn

    import qgc

    torch.manual_seed(0)
    vqa = qgc.load(MODELS[0], device=device, dtype=torch.float32).requires_grad_(True)
    scenes = [qgc.scene(name) for name in ("bathroom", "bedroom", "park", "birthday")]
    asks = [(scene, ask) for scene in scenes for ask in scene.asks][:batch]
    x = torch.cat([vqa.prepare(scene.image) for scene, _ in asks])
    questions = torch.cat([vqa.encode(ask.question) for _, ask in asks]).detach()
    target = torch.tensor([vqa.answer_index(ask.answer) for _, ask in asks], device=x.device)

    def loss(fast: bool) -> torch.Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=fast):
            u, v = vqa.branches(vqa.conv(x), questions)
            scores = vqa.classify(u * v)
        return nn.functional.cross_entropy(scores.float(), target)

    exact, rounded = float(loss(fast=False).detach()), loss(fast=True)
    optimiser = torch.optim.SGD(vqa.parameters(), 1e-3)
    rounded.backward()
    gradients = [p.grad for p in vqa.parameters() if p.grad is not None]
    optimiser.step()
    after, before = float(loss(fast=True).detach()), float(rounded.detach())
    off = abs(before - exact) / exact
    yield Row("the loss in bfloat16 against float32", f"{off:.1%}", "≤ 5 %", off <= 0.05)
    good = all(bool(g.isfinite().all()) for g in gradients) and after < before
    yield Row("the loss before and after a step", f"{before:.4f}, {after:.4f}", "smaller", good)


def training_speed(device: str) -> Iterator[Row]:
    """Steps of the paper's own recipe and sizes, on generated features."""
    from qgc.lab.bench.full_size import full_size

    (measured,) = full_size(sizes=(4_000,), device=device).values()
    rate = measured["questions_per_second"]
    yield Row(f"the full-size Deeper LSTM learns, {device}", f"{rate:,.0f} questions a second")


# -- notebooks ----------------------------------------------------------------------------------------------
def printed(cell) -> str:
    """What a cell printed, tables too, without what names a device or a duration."""
    texts = [out.get("text", "") or out.get("data", {}).get("text/plain", "") for out in cell.get("outputs", [])]
    return re.sub(r"\b(cuda(:\d+)?|cpu|mps)\b", "DEVICE", "\n".join(texts))


def differences(ours: str, theirs: str) -> tuple[int, list[str]]:
    """How many numbers two texts have in common places, and where they differ by more than one of the last digit."""
    numbers = [NUMBER.findall(text) for text in (ours, theirs)]
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (ours, theirs)]
    if words[0] != words[1]:
        return 0, [f"{words[0][:80]!r} … {words[1][:80]!r}"]
    wrong = []
    for a, b in zip_longest(*numbers):
        digits = len(a.partition(".")[2].partition("e")[0])
        step = 10.0 ** (int(a.partition("e")[2] or 0) - digits)
        x, y = (float(n.replace("−", "-")) for n in (a, b))
        if abs(x - y) > 1.001 * step:
            wrong.append(f"{a} … {b}")
    return len(numbers[0]), wrong


def notebook(name: str, device: str) -> Row:
    """Run a notebook on the device, and compare what it prints with what is in it."""
    import build_book
    import nbformat

    source, run = ROOT / "book" / f"{name}.ipynb", ROOT / "build" / "gpu" / f"{name}.ipynb"
    try:
        build_book.execute(source, run, device)
    except build_book.NotebookFailed as failure:
        return Row(f"{name}.ipynb", str(failure), "runs", False)
    committed, fresh = nbformat.read(source, 4), build_book.clean(nbformat.read(run, 4))
    count, wrong = 0, []
    for ours, theirs in zip(committed.cells, fresh.cells, strict=True):
        if ours.cell_type == "code" and IGNORED not in ours.metadata.get("tags", []):
            compared, differ = differences(printed(ours), printed(theirs))
            count, wrong = count + compared, wrong + differ
    found = f"{count} numbers, {len(wrong)} differ" + "".join(f"; {what}" for what in wrong[:3])
    return Row(f"{name}.ipynb, numbers printed on {device}", found, "those of the CPU", count > 0 and not wrong)


# -- all of it ----------------------------------------------------------------------------------------------
def checks(device: str, notebooks: Sequence[str] = NOTEBOOKS) -> Iterator[Row]:
    """Every row, in order."""
    began = time.perf_counter()
    for check in (closed_form_speed, closed_form_agreement, training_step, training_speed):
        yield from check(device)
    for name in notebooks:
        yield notebook(name, device)
    took = time.perf_counter() - began
    bound = {} if device == "cpu" else {"bound": f"≤ {LIMIT_S} s", "holds": took <= LIMIT_S}
    yield Row("all of it", f"{took:.0f} s", **bound)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 if something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", help="cuda, or cpu to try the checks themselves")
    elsewhere = parser.add_mutually_exclusive_group()
    elsewhere.add_argument("--fetch", type=Path, metavar="FOLDER", help="only download wheels into this folder")
    elsewhere.add_argument("--wheels", type=Path, metavar="FOLDER", help="install from this folder, not from a network")
    options = parser.parse_args(arguments)
    if options.fetch:
        return fetch(options.fetch)
    if options.wheels:
        return run_from(options.wheels.resolve(), ["--device", options.device])
    sys.path[:0] = [str(ROOT)]
    os.environ |= {"JUPYTER_PREFER_ENV_PATH": "1", "PYTHONPATH": str(ROOT)}
    try:
        import torch
    except ModuleNotFoundError:
        print("This Python has no PyTorch: use one that has, or run `make env`, which installs it.", file=sys.stderr)
        return 1
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("There is no GPU here that PyTorch can use, so there is nothing to check.")
        return 0
    name = torch.cuda.get_device_name() if options.device.startswith("cuda") else "no GPU, only a trial of the checks"
    print(f"{name}; PyTorch {torch.__version__}, Python {sys.version.split()[0]}")
    bad = 0
    for row in checks(options.device):
        verdict = {True: "holds", False: "MISSED", None: ""}[row.holds]
        print(f"{row.name:52s} {row.found:>28s}  {row.bound:24s} {verdict}".rstrip(), flush=True)
        bad += row.holds is False
    print(f"{bad} checks missed." if bad else "All checks hold.")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
