"""How fast and how exact the closed form is compared with pytorch-grad-cam and Captum (book/engine-speed.ipynb).

The peers explain the scores of :class:`Gated`, in which a hook at the combine layer is the gate of paper §3.3. They
are a development extra (``pip install -e '.[peers]'``); nothing else in ``qgc`` needs them.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ...errors import QGCError
from ...explain import EncodedImage, Explanation, explain, maps_of
from ...explain.gates import top
from ...files import atomic_write
from ...models import VQA, DeeperLSTM, card, load
from ...models.deeper_lstm import full_size
from ...scenes import Scene, sample
from .speed import FIRST_SCENE

RESULTS = Path("book/results/peers.json")
NEEDED = {"captum": "captum", "pytorch_grad_cam": "grad-cam"}  # module: package
QUESTIONS = 4
NS = (1, 10, 15, 20, 25, 30, 35, 40, 45, 50, 100, 200, 300, 400, 500, 750, 1000, 1024)  # the paper's 17, and 1
BATCH = 8
THREADS = 2
ROUNDS = 15
PER_SCENE = 10  # cases of the agreement
FULL_SIZE = "VGG-19 size, random weights"

FORWARD = "the convolutions alone, one image"
CLOSED_FORM = "closed form, 72 maps"
CLOSED_FORM_ALL = "closed form, all 4096 maps"
CLOSED_FORM_F = "closed form, 72 maps, from F"
ENGINE, ENGINE_ALL, ENGINE_F = CLOSED_FORM, CLOSED_FORM_ALL, CLOSED_FORM_F  # their old names
GRADCAM = "pytorch-grad-cam, one by one"
GRADCAM_ALL = "pytorch-grad-cam, one by one, all 4096 maps"
GRADCAM_FROZEN = "pytorch-grad-cam, one by one, frozen"
CAPTUM = f"Captum, batches of {BATCH}"
CAPTUM_F = "Captum, one batch, from F"

RATIOS: dict[str, tuple[str, str, str, float | None]] = {
    "72 maps / the convolutions": (CLOSED_FORM, FORWARD, "≤", 1.25),
    "all 4096 maps / the convolutions": (CLOSED_FORM_ALL, FORWARD, "≤", 1.6),
    "pytorch-grad-cam one by one / closed form": (GRADCAM, CLOSED_FORM, "≥", 300.0),
    "pytorch-grad-cam one by one / closed form, all 4096 maps": (GRADCAM_ALL, CLOSED_FORM_ALL, "≥", 300.0),
    "pytorch-grad-cam one by one, frozen / closed form": (GRADCAM_FROZEN, CLOSED_FORM, "", None),
    f"Captum in batches of {BATCH} / closed form": (CAPTUM, CLOSED_FORM, "≥", 50.0),
    "Captum from F in one batch / closed form from F": (CAPTUM_F, CLOSED_FORM_F, "≥", 3.0),
    "Captum from F in one batch / closed form from the image": (CAPTUM_F, CLOSED_FORM, "", None),
}
"""Name of a ratio: what is divided by what, and the bound that the project sets itself at VGG-19 size."""


def check_peers() -> None:
    """QGCError, with the remedy, unless both peers can be imported (book/engine-speed.ipynb)."""
    if missing := [package for module, package in NEEDED.items() if find_spec(module) is None]:
        raise QGCError(f"{' and '.join(missing)} cannot be imported; install the peers: pip install -e '.[peers]'")


# -- what the peers explain -----------------------------------------------------------------------------
@dataclass(frozen=True)
class Work:
    """Maps to make, a row each: question embeddings q (B, Q), gates (B, J) of 0 and 1, indices of answers (B,)."""

    q: Tensor
    gate: Tensor
    answers: Tensor

    @classmethod
    def from_explanations(cls, explanations: Sequence[Explanation], ns: Sequence[int]) -> Work:
        """Every explanation at every n, in that order; rankings and embeddings are ours, at no cost to a peer."""
        gates = torch.cat([top(e.order, ns) for e in explanations])
        answers = torch.tensor([e.vqa.answer_index(e.answer) for e in explanations])
        q = torch.cat([e.q for e in explanations])
        return cls(q.repeat_interleave(len(ns), 0), gates.to(q), answers.repeat_interleave(len(ns)))

    def part(self, number: int, size: int) -> Work:
        """The ``number``-th piece of ``size`` rows; after the last comes the first again."""
        start = number * size % len(self.answers)
        rows = slice(start, start + size)
        return Work(self.q[rows], self.gate[rows], self.answers[rows])


class Gated(nn.Module):
    """Scores y (B, answers) whose gradient only passes the gate at the combine layer (paper §3.3), for the peers.

    Input is an image (B, 3, H, W), or with ``from_maps`` the maps F (B, K, h, w). ``work`` holds question and gate of
    every row; ``last`` is the layer whose output Grad-CAM weighs.
    """

    def __init__(self, vqa: VQA, from_maps: bool = False):
        super().__init__()
        self.vqa = vqa
        self.cnn = nn.Identity() if from_maps else vqa.cnn
        self.last = self.cnn if from_maps else vqa.cnn.features[-1]
        self.work: Work | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Scores y (B, answers) of every row of ``work``."""
        work = self.work
        u, v = self.vqa.branches(self.cnn(x), work.q)
        A = u * v
        A.register_hook(lambda gradient: gradient * work.gate)
        return self.vqa.classify(A)


def captum_maps(model: Gated, x: Tensor, work: Work) -> Tensor:
    """Captum's LayerGradCam (Eq. 1–2 before the ReLU) of every row of ``work`` in one batch, (B, h, w); x is (1, …)."""
    from captum.attr import LayerGradCam

    model.work = work
    rows = x.expand(len(work.answers), *x.shape[1:])
    return LayerGradCam(model, model.last).attribute(rows, work.answers)[:, 0].detach()


def gradcam_maps(model: Gated, x: Tensor, work: Work, trained: nn.Module | None = None) -> np.ndarray:
    """pytorch-grad-cam's maps (Eq. 1–2) of every row of ``work``, min–max scaled and enlarged, (B, H, W).

    It needs parameters that ask for gradients up to the maps: those of ``trained``, by default the whole model's.
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model.work = work
    targets = [ClassifierOutputTarget(int(a)) for a in work.answers]
    with _asking_for_gradients(trained or model), GradCAM(model, [model.last]) as cam:
        return cam(x.expand(len(targets), *x.shape[1:]), targets)


def last_convolution(vqa: DeeperLSTM) -> nn.Conv2d:
    """The layer before the ReLU that gives F: training it alone is enough for :func:`gradcam_maps`, and cheapest."""
    return [layer for layer in vqa.cnn.features if isinstance(layer, nn.Conv2d)][-1]


@contextmanager
def _asking_for_gradients(module: nn.Module) -> Iterator[None]:
    parameters = list(module.parameters())
    for parameter in parameters:
        parameter.requires_grad_()
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(False)
            parameter.grad = None


# -- how fast -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Method:
    """Something that computes ``maps`` maps; a call computes ``timed`` of them (others in each round), scaled up."""

    call: Callable[[int], object]
    maps: int
    timed: int


def full_size_model(words: Sequence[str]) -> DeeperLSTM:
    """The paper's sizes (VGG-19, 1000 answers) with random weights: as fast as trained ones."""
    torch.manual_seed(0)
    model = DeeperLSTM(full_size(words, [f"answer {i}" for i in range(1000)]))
    for layer in model.cnn.features:
        if isinstance(layer, nn.Conv2d):  # else the signal dies on its way through 16 layers
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return model.eval().requires_grad_(False)


def methods(vqa: DeeperLSTM, scene: Scene) -> tuple[dict[str, Method], float]:
    """The methods for the same 72 maps (4 questions × 18 n) of one scene; how far Captum's are from ours (relative).

    The slow peers make one map, or one batch, in a call, and others in the next one.
    """
    x, view = vqa.prepare(scene.image), EncodedImage(vqa, scene)
    ours = explain(vqa, view, scene.questions[:QUESTIONS])
    questions, answers = [e.question for e in ours], [e.answer for e in ours]
    work = Work.from_explanations(ours, NS)
    total = len(work.answers)
    from_image, from_maps = Gated(vqa), Gated(vqa, from_maps=True)

    def closed_form(F: Tensor | None = None) -> Tensor:
        return maps_of(explain(vqa, EncodedImage(vqa, scene, F), questions, answers), NS)

    def closed_form_all() -> list[Tensor]:
        return [e.maps() for e in explain(vqa, EncodedImage(vqa, scene), questions, answers)]

    def pieces(size: int, make: Callable[[Work], object]) -> Method:
        return Method(lambda k: make(work.part(k, size)), total, size)

    @torch.no_grad()
    def convolutions() -> Tensor:
        return vqa.conv(x)

    raw = torch.cat([e.maps(NS, relu=False) for e in ours])
    one_by_one = pieces(1, lambda one: gradcam_maps(from_image, x, one))
    compared = {
        FORWARD: Method(lambda _: convolutions(), 1, 1),
        CLOSED_FORM: Method(lambda _: closed_form(), total, total),
        CLOSED_FORM_ALL: Method(lambda _: closed_form_all(), QUESTIONS * vqa.combine, QUESTIONS * vqa.combine),
        CLOSED_FORM_F: Method(lambda _: closed_form(view.F), total, total),
        GRADCAM: one_by_one,
        GRADCAM_ALL: replace(one_by_one, maps=QUESTIONS * vqa.combine),
        GRADCAM_FROZEN: pieces(1, lambda one: gradcam_maps(from_image, x, one, last_convolution(vqa))),
        CAPTUM: pieces(BATCH, lambda few: captum_maps(from_image, x, few)),
        CAPTUM_F: Method(lambda _: captum_maps(from_maps, view.F, work), total, total),
    }
    return compared, _relative(raw, captum_maps(from_maps, view.F, work))


def benchmark(compared: dict[str, Method], rounds: int, label: str) -> dict[str, np.ndarray]:
    """Seconds (rounds,) of every method, scaled to all its maps.

    Each round runs all of them once in a new order, so that whatever else the machine does hits all alike.
    """
    shuffle = np.random.default_rng(0)
    for method in compared.values():
        method.call(0)  # the first call is slower: it loads and plans
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    for k in tqdm(range(rounds), desc=label, leave=False):
        for name in shuffle.permutation(list(compared)):
            method = compared[name]
            began = time.perf_counter()
            method.call(k)
            seconds[name].append((time.perf_counter() - began) * method.maps / method.timed)
    return {name: np.array(values) for name, values in seconds.items()}


def ratio(above: np.ndarray, below: np.ndarray, sign: str = "", bound: float | None = None) -> dict:
    """The median of the ratio within a round, its middle 80 %, the ratio of the fastest rounds, and the bound."""
    within = above / below
    value, low, high = (float(np.quantile(within, p)) for p in (0.5, 0.1, 0.9))
    row = {"value": value, "low": low, "high": high, "of_fastest": float(above.min() / below.min())}
    if bound is None:
        return row
    return {**row, "bound": f"{sign} {bound:g}", "holds": value <= bound if sign == "≤" else value >= bound}


def speed(vqa: DeeperLSTM, label: str, bounded: bool) -> dict:
    """Times and ratios of the methods for one model, in float32 on the CPU; with ``bounded`` whether they suffice."""
    began = time.perf_counter()
    vqa.cnn.pooled_fc6()
    once = time.perf_counter() - began
    scene = sample(FIRST_SCENE, "natural")
    compared, disagreement = methods(vqa, scene)
    seconds = benchmark(compared, ROUNDS, label)
    return {
        "seconds": {
            name: {
                "median": float(np.median(times)),
                "fastest": float(times.min()),
                "maps": method.maps,
                "timed": method.timed,
            }
            for (name, method), times in zip(compared.items(), seconds.values(), strict=True)
        },
        "ratios": {
            name: ratio(seconds[above], seconds[below], sign, bound if bounded else None)
            for name, (above, below, sign, bound) in RATIOS.items()
        },
        "once per model, seconds": once,
        "largest relative difference from Captum, 72 maps, float32": disagreement,
    }


# -- how exact ------------------------------------------------------------------------------------------
def _relative(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference of maps (B, h, w), each relative to its own largest value."""
    return float(((ours - theirs).abs().amax((1, 2)) / theirs.abs().amax((1, 2))).max())


def agreement(vqa: DeeperLSTM, scenes: int) -> dict:
    """Largest difference at n = 1024 over random questions and answers, ten for each scene.

    Relative for Captum's raw map; absolute for pytorch-grad-cam's, where ours goes through its own scaling (to 0–1)
    and enlarging.
    """
    from pytorch_grad_cam.utils.image import scale_cam_image

    rng = np.random.default_rng(0)
    from_image, from_maps = Gated(vqa), Gated(vqa, from_maps=True)
    captum = gradcam = 0.0
    for seed in tqdm(range(scenes), desc="agreement", leave=False):
        scene = sample(FIRST_SCENE + seed, "natural")
        questions, answers = rng.choice(scene.questions, PER_SCENE), rng.choice(vqa.answers, PER_SCENE)
        view = EncodedImage(vqa, scene)
        explanations = explain(vqa, view, questions.tolist(), answers.tolist())
        raw = torch.stack([e.map(relu=False) for e in explanations])
        x, work = vqa.prepare(scene.image), Work.from_explanations(explanations, [vqa.combine])
        captum = max(captum, _relative(raw, captum_maps(from_maps, view.F, work)))
        enlarged = scale_cam_image(raw.relu().numpy(), (x.shape[-1], x.shape[-2]))
        difference = scale_cam_image(enlarged) - gradcam_maps(from_image, x, work, last_convolution(vqa))
        gradcam = max(gradcam, float(np.abs(difference).max()))
    return {
        "cases": scenes * PER_SCENE,
        "Captum, raw map": {"value": captum, "bound": "≤ 1e-12", "holds": captum <= 1e-12},
        "pytorch-grad-cam, after its scaling": {"value": gradcam, "bound": "≤ 1e-6", "holds": gradcam <= 1e-6},
    }


# -- all in one run -------------------------------------------------------------------------------------
def compare(name: str, scenes: int, target: Path | None = None) -> dict:
    """Everything that book/engine-speed.ipynb shows, from one process with two threads; written to ``target``.

    Parameters
    ----------
    name : the scene-sized model. scenes : how many the agreement is measured on, :data:`PER_SCENE` cases each.

    Raises
    ------
    QGCError
        If a peer is not installed, or the folder of ``target``'s book is not there; the message says what to do.
    """
    check_peers()  # what is missing is said before minutes of measuring
    if target and not target.parent.parent.is_dir():
        raise QGCError(f"there is no folder {target.parent.parent} here; run this in the repository's root folder")
    before = torch.get_num_threads()  # of the caller, which gets them back whatever happens
    torch.set_num_threads(THREADS)
    try:
        small = load(name, dtype=torch.float32)  # speed as in use; agreement below to the last digits
        models = {
            FULL_SIZE: speed(full_size_model(small.vocabulary.words), FULL_SIZE, bounded=True),
            name: speed(small, name, bounded=False),
        }
        exact = agreement(load(name, dtype=torch.float64), scenes)
    finally:
        torch.set_num_threads(before)
    packages = ("torch", "numpy", *NEEDED.values())
    result = {
        "command": f"python -m qgc bench peers --record --model {name} --scenes {scenes}",
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "machine": {"cores": os.cpu_count(), "threads": THREADS, "vectors": torch.backends.cpu.get_cpu_capability()},
        "model": name,
        "weights": card(name)["files"],
        "rounds": ROUNDS,
        "n": NS,
        "models": models,
        "agreement": exact,
    }
    if target:
        target.parent.mkdir(exist_ok=True)
        atomic_write(target, lambda p: p.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8"))
    return result


def table(result: dict) -> str:
    """The result of :func:`compare`, as lines: a ratio or a difference, its value and its bound."""
    lines = []
    for label, model in result["models"].items():
        lines += ["", f"{label}: how many times as long (in brackets the middle 80 % of {result['rounds']} rounds)"]
        lines += [
            f"  {name:54s} {row['value']:>8.2f}  [{row['low']:.2f}, {row['high']:.2f}]{_verdict(row)}"
            for name, row in model["ratios"].items()
        ]
    lines += ["", f"largest difference at n = 1024, {result['agreement']['cases']} cases, float64"]
    rows = {name: row for name, row in result["agreement"].items() if name != "cases"}
    lines += [f"  {name:54s} {row['value']:>8.1e}{_verdict(row)}" for name, row in rows.items()]
    return "\n".join(lines[1:])


def _verdict(row: dict) -> str:
    return f"  (bound {row['bound']}: {'holds' if row['holds'] else 'MISSED'})" if "bound" in row else ""
