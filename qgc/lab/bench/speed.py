"""How fast and how exact: rendering, and the closed form against automatic differentiation."""

from __future__ import annotations

import time

import numpy as np
import torch
from tqdm import tqdm

from ...explain import EncodedImage, explain, gradcam
from ...models import load
from ...scenes import sample

CASES = 200
FIRST_SCENE = 30_000_000  # scenes that no split holds


def _median(call, repeat: int = 15) -> float:
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1e3


def rendering(count: int) -> float:
    """Median milliseconds to draw a random scene and its masks, on one core."""
    times = []
    for seed in tqdm(range(count), desc="rendering", leave=False):
        scene = sample(FIRST_SCENE + seed, "balanced" if seed % 2 else "natural")
        began = time.perf_counter()
        _ = scene.image, scene.masks
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1e3


def agreement(vqa, cases: int = CASES, per_scene: int = 8) -> float:
    """Largest relative difference between the closed form and autograd over random (scene, question, answer, n)."""
    rng = np.random.default_rng(0)
    worst = 0.0
    for seed in range(-(-cases // per_scene)):
        scene = sample(FIRST_SCENE + seed, "natural")
        view = EncodedImage(vqa, scene)
        for _ in range(per_scene):
            question = str(rng.choice(scene.questions))
            explanation = explain(vqa, view, question, str(rng.choice(vqa.answers)))
            n = int(rng.integers(1, vqa.combine + 1))
            exact = gradcam(vqa, view.F, explanation.q, vqa.answer_index(explanation.answer), explanation.order[:n])
            error = (explanation.map(n, relu=False) - exact).abs().max() / exact.abs().max()
            worst = max(worst, float(error))
    return worst


def _closed_form(vqa, label: str) -> dict[str, dict]:
    scene = sample(FIRST_SCENE, "natural")
    first, second = scene.questions[:2]
    x = vqa.prepare(scene.image)
    view = EncodedImage(vqa, scene)
    explain(vqa, view, first).maps()
    with torch.no_grad():
        forward = _median(lambda: vqa.cnn.feature(vqa.conv(x)))
    prepare = _median(lambda: vqa.prepare(scene.image))
    once_more = _median(lambda: explain(vqa, view, second).maps())
    new_image = _median(lambda: explain(vqa, EncodedImage(vqa, scene), second).maps()) - prepare
    return {
        f"the CNN's forward pass, {label}": _row(forward, "ms", "—"),
        f"all 1024 maps of one more question, {label}": _row(once_more, "ms", "≤ 10"),
        f"all 1024 maps of a new image / CNN forward, {label}": _row(new_image / forward, "×", "≤ 2.5"),
    }


def _row(value: float, unit: str, bound: str) -> dict:
    return {"value": value, "unit": unit, "bound": bound}


def bench(name: str, scenes: int) -> dict[str, dict]:
    """Every figure with its unit and the bound that the project sets itself."""
    models = [load(name, dtype=dtype) for dtype in (torch.float64, torch.float32)]  # first: there may be none
    rows = {"rendering a scene with its masks, one core": _row(rendering(scenes), "ms", "≤ 25")}
    for vqa, bound in zip(models, ("≤ 1e-12", "≤ 1e-5"), strict=True):
        label = str(vqa.dtype).removeprefix("torch.")
        rows[f"closed form against autograd, {CASES} cases, {label}"] = _row(agreement(vqa), "", bound)
        rows |= _closed_form(vqa, label)
    return rows
