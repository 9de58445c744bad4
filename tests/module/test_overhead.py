"""What explaining costs beside the model's own passes, as ratios within one run: QGC_SLOW=1, a minute and 2 GB."""

from __future__ import annotations

import os
import time
from statistics import median

import pytest
import torch
from torch import nn

from qgc.module import explain_module

ROUNDS = 5


class Large(nn.Module):
    """A vision tower and a text encoder, joined by a few layers that read both; 60 million random parameters."""

    def __init__(self, d: int = 768):
        super().__init__()
        self.patches, self.words = nn.Conv2d(3, d, 32, 32), nn.Embedding(1000, d)
        self.tower = nn.ModuleList(self.layer(d) for _ in range(6))
        self.joint = nn.ModuleList(self.layer(d) for _ in range(2))
        self.classifier = nn.Linear(d, 100)

    @staticmethod
    def layer(d: int) -> nn.Module:
        return nn.TransformerEncoderLayer(d, 12, 4 * d, batch_first=True, norm_first=True)

    def forward(self, pixel_values, input_ids):
        x = self.patches(pixel_values).flatten(2).mT
        for layer in self.tower:
            x = layer(x)
        x = torch.cat([self.words(input_ids), x], 1)
        for layer in self.joint:
            x = layer(x)
        return self.classifier(x.mean(1))


PLACES = {
    "target_layer": "tower.-1",
    "question": "words",
    "fusion": "joint.-1",
    "target": 3,
    "reshape_transform": (8, 8),
}


@pytest.mark.skipif(not os.environ.get("QGC_SLOW"), reason="a minute: QGC_SLOW=1")
def test_explaining_costs_few_passes_more(capsys):
    torch.manual_seed(0)
    model = Large().eval().requires_grad_(False)
    assert sum(p.numel() for p in model.parameters()) >= 50e6
    image = torch.rand(1, 3, 256, 256)
    asked = [{"pixel_values": image, "input_ids": torch.randint(1000, (1, 12))} for _ in range(2)]
    kept = {}
    model.tower[-1].register_forward_hook(lambda m, a, out: kept.setdefault("F", out.detach().requires_grad_()))
    model.joint[-1].register_forward_hook(lambda m, a, out: kept.update(A=out))

    def own():  # forward, and backward to the same layer
        kept.clear()
        y = model(**asked[0])[0, 3]
        torch.autograd.grad(y, kept["F"])

    def from_fusion():
        torch.autograd.grad(kept["A"], kept["F"], torch.ones_like(kept["A"]), retain_graph=True)

    times: dict[str, list[float]] = {}

    def timed(name: str, run):
        start = time.perf_counter()
        found = run()
        times.setdefault(name, []).append(time.perf_counter() - start)
        return found

    plain = Large.forward
    order = torch.randperm(768)
    for _ in range(ROUNDS + 1):
        timed("forward + backward", own)
        kept.clear()
        model(**asked[0])
        timed("8 backward from the fusion", lambda: [from_fusion() for _ in range(8)])
        hooks = [(m, dict(m._forward_hooks)) for m in (model.tower[-1], model.joint[-1])]
        for m, _ in hooks:
            m._forward_hooks.clear()
        e = timed("map", lambda: (x := explain_module(model, asked[0], **PLACES), x.map())[0])
        timed("contrast with a second question", lambda e=e: e.contrast(e.ask(asked[1])))
        e._gradient(e._gate, None)
        timed("8 gated maps", lambda e=e: e.maps([1, 8, 64, 128, 256, 384, 512, 768], order=order))
        for m, own_hooks in hooks:
            m._forward_hooks.update(own_hooks)
    assert Large.forward is plain
    seconds = {name: median(values[1:]) for name, values in times.items()}
    both = seconds["forward + backward"]
    ratios = {
        "map / forward + backward": (seconds["map"] / both, 1.15),
        "contrast / forward + backward": (seconds["contrast with a second question"] / both, 1.0),
        "8 gated maps / 8 backward passes from the fusion": (
            seconds["8 gated maps"] / seconds["8 backward from the fusion"], 1.1,
        ),
    }  # fmt: skip
    with capsys.disabled():
        for name, (ratio, most) in ratios.items():
            print(f"\n{name}: {ratio:.2f} (at most {most})", end="")
    assert all(ratio <= most for ratio, most in ratios.values()), ratios
