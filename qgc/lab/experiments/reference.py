"""Reference explanations: maps that look at no gradient, and gradients that are no Grad-CAM, in one registry.

Every entry of :data:`METHODS` is a callable ``f(vqa, image, question, answer) → (h, w)``: how much each cell of the
model's own grid has to do with the score y_a of an answer, *before* any ReLU or scaling, signed where the method is.

============================  ===================================================  ============================
name                          the value of a cell p                                source
============================  ===================================================  ============================
Grad-CAM                      Σ_k α_k F^k_p, paper Eq. 1–2                         Selvaraju et al. 2019
HiResCAM                      Σ_k F^k_p ∂y_a/∂F^k_p                                Draelos and Carin 2020
abs(input × gradient)         Σ_k abs(F^k_p ∂y_a/∂F^k_p), ≥ 0                      Shrikumar et al. 2016, of F
integrated gradients, …       Σ (x − x₀) ∫ ∂y_a/∂x over the pixels of p            Sundararajan et al. 2017
integrated gradients of F     the same of F, from F = 0                            the same
occlusion, …                  mean drop of y_a where p is replaced                 Zeiler and Fergus 2014
RISE                          E[y_a; p is seen] − E[y_a] over random masks         Petsiuk et al. 2018
attention                     the model's own, ≥ 0                                 each model's
attention rollout             Π (½ I + ½ E_heads[A]), class token to p, ≥ 0        Abnar and Zuidema 2020
relevance                     Π (I + E_heads[(∇A ∘ A)⁺]), class token to p, ≥ 0    Chefer et al. 2021
============================  ===================================================  ============================

What "the question's map" of occlusion or RISE is: the drop of the explained answer's score y_a, before softmax, under
*that* question. It is not normalised: a question whose score moves more with everything has a larger map (its gain),
so two questions' maps are comparable by the order of their cells, not by their values.

"mean colour" and "blurred" say what takes the place of a pixel: the image's mean colour, or the image under a Gaussian
blur as wide as a cell. Both are images of the model's input, so that no rounding to bytes is between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from ...images import open_image
from ...models import VQA
from ...models.evaluation import evaluating
from .compare import gradients

BATCH = 8
"""Images that go through the CNN together."""
WINDOW = 3
"""Cells on each side of what occlusion replaces. One cell hides no object, and its maps depend on the fill: on ten
validation questions the two fills correlate at .69 (Deeper LSTM) and .60 (Pythia), with three cells at .91 and .79."""
MASKS, MASK_GRID, SEEN = 256, 7, 0.5
"""Random masks of RISE, the cells on each side of what they are enlarged from, and the part of these that is seen. The
halves of 128, 256, 512 masks correlate at .60, .77, .86 (Deeper LSTM; Pythia: .56, .73, .84) on ten validation
questions."""
STEPS = 16
"""Points on the straight path of integrated gradients. A map's sum is then off by some per cent: a CNN has kinks."""


class Asked:
    """One image and N questions about it, each with the answer whose score y_a is explained.

    Attributes
    ----------
    x : (1, 3, H, W), the model's input. q : (N, Q) question embeddings. a : (N,) indices of the answers.
    """

    def __init__(self, vqa: VQA, image, questions: Sequence[str], answers: Sequence[str]):
        self.vqa, self.image = vqa, open_image(image)
        with torch.no_grad():
            self.x = vqa.prepare(self.image)
            self.q = torch.cat([vqa.encode(question) for question in questions])
        self.a = torch.tensor([vqa.answer_index(answer) for answer in answers], device=vqa.device)

    @cached_property
    def F(self) -> Tensor:
        """The maps (1, K, h, w) of the image as it is."""
        with torch.no_grad():
            return self.vqa.conv(self.x)

    @property
    def grid(self) -> tuple[int, int]:
        """The cells (h, w) of a map."""
        return tuple(self.F.shape[2:])

    def answer_scores(self, F: Tensor, k: int) -> Tensor:
        """All scores y (B, answers) of question k about many images' maps (B, K, h, w)."""
        return self.vqa.classify(torch.mul(*self.vqa.branches(F, self.q[k : k + 1].expand(len(F), -1))))

    @torch.no_grad()
    def outcomes(self, x: Tensor) -> Tensor:
        """y_a and p_a, its probability, of many images (B, 3, H, W) under every question, (B, N, 2)."""
        found = []
        # channels last: the same sums, twice as fast in float32 on a CPU
        for part in x.contiguous(memory_format=torch.channels_last).split(BATCH):
            F = self.vqa.conv(part)
            y = torch.stack([self.answer_scores(F, k) for k in range(len(self.a))], 1)
            both = torch.stack([y, y.softmax(2)], 3)  # (B, N, answers, 2)
            found.append(both[:, torch.arange(len(self.a)), self.a])
        return torch.cat(found)

    def outcomes_where(self, seen: Tensor, fill: Tensor) -> Tensor:
        """:meth:`outcomes` of images that are seen where ``seen`` (B, h, w) is 1, and are ``fill`` where it is 0."""
        found = []
        for part in seen.to(self.x).split(BATCH):
            large = nn.functional.interpolate(part[:, None], self.x.shape[2:])  # nearest cell
            found.append(self.outcomes(torch.lerp(fill, self.x, large)))
        return torch.cat(found)


@dataclass(frozen=True)
class Method:
    """A callable from a model, an image, a question and an answer to a map (h, w); None if the model lacks a part.

    :meth:`maps` makes those of several questions at once, which share what has to be computed of the image.
    """

    of: Callable[[Asked], Tensor | None]

    def maps(self, vqa: VQA, image, questions: Sequence[str], answers: Sequence[str]) -> Tensor | None:
        """Maps (N, h, w) of N questions about one image, each for its answer."""
        with evaluating(vqa):
            found = self.of(Asked(vqa, image, questions, answers))
        return None if found is None else found.detach()

    def __call__(self, vqa: VQA, image, question: str, answer: str) -> Tensor | None:
        """The map (h, w) of one question and answer."""
        found = self.maps(vqa, image, [question], [answer])
        return None if found is None else found[0]


# -- what takes the place of a pixel ----------------------------------------------------------------------
def mean_colour(asked: Asked) -> Tensor:
    """The image's mean colour everywhere, (1, 3, H, W)."""
    return asked.x.mean((2, 3), keepdim=True).expand_as(asked.x)


def blurred(asked: Asked) -> Tensor:
    """The image under a Gaussian blur as wide as a cell, (1, 3, H, W)."""
    width = [n / cells for n, cells in zip(asked.x.shape[2:], asked.grid, strict=True)]
    smooth = gaussian_filter(asked.x.cpu().numpy(), (0, 0, *width), mode="nearest")
    return torch.from_numpy(smooth).to(asked.x)


def black(asked: Asked) -> Tensor:
    """A black image, (1, 3, H, W)."""
    return asked.vqa.prepare(Image.new("RGB", asked.image.size)).to(asked.x)


# -- without a gradient -----------------------------------------------------------------------------------
def occlusion(asked: Asked, fill: Callable[[Asked], Tensor] = mean_colour, window: int = WINDOW) -> Tensor:
    """Occlusion (Zeiler and Fergus 2014): how far y_a drops where a square of ``window`` cells is replaced, (N, h, w).

    The window is moved cell by cell, and stays in the image; a cell's value is the mean drop over the windows that
    it is in. That is Captum's ``Occlusion``, with strides of a cell.
    """
    h, w = asked.grid
    hidden = torch.zeros((h - window + 1) * (w - window + 1), h, w, dtype=torch.bool)
    for mask, (top, left) in zip(hidden, product(range(h - window + 1), range(w - window + 1)), strict=True):
        mask[top : top + window, left : left + window] = True
    drop = (asked.outcomes(asked.x) - asked.outcomes_where(~hidden, fill(asked)))[..., 0]
    cells = hidden.flatten(1).to(drop)
    return (drop.mT @ cells / cells.sum(0)).unflatten(1, (h, w))


def rise_masks(
    size: tuple[int, int], count: int, grid: int = MASK_GRID, seen: float = SEEN, seed: int = 0
) -> Iterator[Tensor]:
    """RISE's masks (Petsiuk et al. 2018, §3.2), some (B, H, W) at a time: small random ones, enlarged and shifted."""
    generator = torch.Generator().manual_seed(seed)
    cell = [-(-n // grid) for n in size]
    for first in range(0, count, BATCH):
        B = min(BATCH, count - first)
        small = (torch.rand(B, 1, grid, grid, generator=generator) < seen).float()
        large = nn.functional.interpolate(small, [(grid + 1) * c for c in cell], mode="bilinear", align_corners=False)
        shift = [torch.randint(c, (B,), generator=generator).tolist() for c in cell]
        yield torch.stack([
            m[0, y : y + size[0], x : x + size[1]] for m, y, x in zip(large, *shift, strict=True)
        ])  # fmt: skip


def rise(
    asked: Asked, count: int = MASKS, grid: int = MASK_GRID, seen: float = SEEN, seed: int = 0,
    fill: Callable[[Asked], Tensor] = mean_colour,
) -> Tensor:  # fmt: skip
    """RISE (Petsiuk et al. 2018, Eq. 4): E[y_a | the cell is seen] − E[y_a] over random masks, (N, h, w), signed.

    Estimated as Σ_i (y_i − ȳ) M_i(p) / Σ_i M_i(p). Their Eq. 6 divides by N E[M] and does not subtract the mean: then
    what a score has in common under all masks comes with the sampling noise of M.
    """
    scores, cells, other = [], [], fill(asked)
    for masks in rise_masks(tuple(asked.x.shape[2:]), count, grid, seen, seed):
        masks = masks.to(asked.x)
        scores.append(asked.outcomes(torch.lerp(other, asked.x, masks[:, None]))[..., 0])
        cells.append(nn.functional.adaptive_avg_pool2d(masks, asked.grid).flatten(1))
    y, M = torch.cat(scores), torch.cat(cells)
    return ((y - y.mean(0)).mT @ M / M.sum(0)).unflatten(1, asked.grid)


# -- gradients ----------------------------------------------------------------------------------------------
def _weighed(asked: Asked) -> Tensor:
    # F^k ∂y_a/∂F^k, (N, K, h, w)
    return asked.F * _gradients(asked)


def _gradients(asked: Asked) -> Tensor:
    return gradients(asked.vqa, asked.F, asked.q, asked.a[:, None])[:, 0]


def grad_cam(asked: Asked) -> Tensor:
    """Grad-CAM before its ReLU (paper Eq. 1–2), (N, h, w)."""
    return (_gradients(asked).mean((2, 3), keepdim=True) * asked.F).sum(1)


def hires_cam(asked: Asked) -> Tensor:
    """HiResCAM (Draelos and Carin 2020), which is the signed input × gradient of F, (N, h, w)."""
    return _weighed(asked).sum(1)


def input_times_gradient(asked: Asked) -> Tensor:
    """Σ_k |F^k ∂y_a/∂F^k|, (N, h, w): input × gradient (Shrikumar et al. 2016) of F, by its size in every channel."""
    return _weighed(asked).abs().sum(1)


def integrated_gradients(asked: Asked, start: Callable[[Asked], Tensor] = blurred, steps: int = STEPS) -> Tensor:
    """Integrated gradients of the pixels (Sundararajan et al. 2017, Eq. 1), signed, summed over each cell, (N, h, w).

    The pixels and the blurred start are the primary choice: no layer has to be chosen, and a black start would call
    what is black nothing, where "black" is an answer. The integral along the straight line from ``start`` is a
    Gauss–Legendre sum, so that the map's sum is
    y_a(image) − y_a(start) up to what :func:`completeness_error` measures.
    """
    return _cell_sums(_path(asked, asked.x, start(asked), asked.vqa.conv, steps), asked.grid)


def integrated_gradients_of_maps(asked: Asked, steps: int = STEPS) -> Tensor:
    """Integrated gradients of F from F = 0, where the CNN responds to nothing (Sundararajan et al. 2017), (N, h, w)."""
    return _path(asked, asked.F, torch.zeros_like(asked.F), lambda F: F, steps).sum(1)


def completeness_error(asked: Asked, maps: Tensor, start: Tensor) -> Tensor:
    """How far the sums of maps (N, h, w) are from y_a(image) − y_a(start), as a part of it (N,); start (1, 3, H, W)."""
    whole = (asked.outcomes(asked.x) - asked.outcomes(start))[0, :, 0]
    return (maps.sum((1, 2)) - whole).abs() / whole.abs()


def _path(asked: Asked, end: Tensor, start: Tensor, to_maps: Callable[[Tensor], Tensor], steps: int) -> Tensor:
    # (end − start) ∫ ∂y_a/∂x along the line between, (N, channels, ·, ·): Gauss–Legendre, some points at a time.
    points, weights = np.polynomial.legendre.leggauss(steps)
    points, weights = (end.new_tensor(v)[:, None, None, None] / 2 for v in (points + 1, weights))
    total = end.new_zeros(len(asked.a), *end.shape[1:])
    for t, weight in zip(points.split(BATCH), weights.split(BATCH), strict=True):
        x = torch.lerp(start, end, t).contiguous(memory_format=torch.channels_last).requires_grad_()
        with torch.enable_grad():
            F = to_maps(x)
            for k, a in enumerate(asked.a):
                y = asked.answer_scores(F, k)[:, a].sum()
                total[k] += (weight * torch.autograd.grad(y, x, retain_graph=True)[0]).sum(0)
    return total * (end - start)


def _cell_sums(pixels: Tensor, grid: tuple[int, int]) -> Tensor:
    # (N, 3, H, W) → (N, h, w)
    pooled = nn.functional.adaptive_avg_pool2d(pixels.sum(1), grid)
    return pooled * (pixels[0, 0].numel() / pooled[0].numel())


# -- attention ----------------------------------------------------------------------------------------------
def attention(asked: Asked) -> Tensor | None:
    """The model's own attention (N, h, w); None if it has none."""
    with torch.no_grad():
        return asked.vqa.attention(asked.F.expand(len(asked.q), -1, -1, -1), asked.q)


def rollout(layers: Sequence[Tensor]) -> Tensor:
    """Attention rollout (Abnar and Zuidema 2020, Eq. 1), (B, tokens, tokens): row n is what token n is made of.

    Π over the layers of ½ I + ½ (mean over heads): half of a token passes by each layer. ``layers``: (B, heads, tokens,
    tokens) each, rows of which sum to one, from the first to the last.
    """
    mixed = [(_unit(a) + a.mean(1)) / 2 for a in layers]
    return _product(mixed)


def relevance(layers: Sequence[Tensor], grads: Sequence[Tensor]) -> Tensor:
    """Relevance (Chefer et al. 2021, "Generic attention-model explainability", Eq. 5–6), (B, tokens, tokens).

    R ← R + Ā R from R = I, with Ā the mean over heads of (∇A ∘ A)⁺. ``layers`` and their gradients ``grads`` are (B,
    heads, tokens, tokens) each, from the first to the last.
    """
    return _product([_unit(a) + (a * g).relu().mean(1) for a, g in zip(layers, grads, strict=True)])


def _unit(a: Tensor) -> Tensor:
    return torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)


def _product(steps: Sequence[Tensor]) -> Tensor:
    total = steps[0]
    for step in steps[1:]:
        total = step @ total
    return total


def _of_layers(asked: Asked, relevant: bool) -> Tensor | None:
    vqa = asked.vqa
    with torch.enable_grad():
        F = asked.F.clone().requires_grad_()  # so that gradients are kept though the weights are frozen
        found = vqa.attentions(F, asked.q)
        if found is None:
            return None
        v, layers = found
        if not relevant:
            tokens = rollout(layers)
        else:
            y = vqa.classify(v)[torch.arange(len(asked.a)), asked.a].sum()
            tokens = relevance(layers, torch.autograd.grad(y, layers))
    return vqa.to_cells(tokens[:, 0, -vqa.stem(F).shape[1] :])


# -- the registry -------------------------------------------------------------------------------------------
METHODS: dict[str, Method] = {
    "Grad-CAM": Method(grad_cam),
    "HiResCAM": Method(hires_cam),
    "|input × gradient|": Method(input_times_gradient),
    "integrated gradients, blurred": Method(integrated_gradients),
    "integrated gradients, black": Method(partial(integrated_gradients, start=black)),
    "integrated gradients of F": Method(integrated_gradients_of_maps),
    "occlusion, mean colour": Method(occlusion),
    "occlusion, blurred": Method(partial(occlusion, fill=blurred)),
    "RISE": Method(rise),
    "attention": Method(attention),
    "attention rollout": Method(partial(_of_layers, relevant=False)),
    "relevance": Method(partial(_of_layers, relevant=True)),
}
"""Every method by its name in stored results and tables."""
