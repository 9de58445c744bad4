"""Planted models: VQA models of a few numbers, of which it is known what they look at.

They go through all that a trained model goes through: ``qgc.explain``, the gate, contrasts, HiResCAM, interventions
(:mod:`qgc.lab.experiments.interventions`). So a method, or a measure, that misjudges them is at fault, not they.

Their images are :class:`PlantedScene`: the k-th object is painted flatly, its red value naming it and its green value
its color. The "CNN" reads these pixels, so that a recolored, removed or moved object changes what the model sees:

    F^k_p = the part of cell p that shows object k in the color that the answer names
    u     = q T, with q the one-hot vector of the queried object and T (objects, neurons) the model's table
    A     = u ∘ v,   y_a = Σ_j A_j for the answer a, and 0 for "something else"

What a model looks at is in T and in v (:meth:`PlantedVQA.image_branch`); by default v_j is the mean of F^j over the
cells, one neuron an object, so that Grad-CAM's map of question i is Σ_k T_ik F^k / (h·w).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ...images import open_image
from ...measure.similarity import Pair
from ...models import VQA
from ...models.text import Vocabulary
from ...scenes import COLOURS
from ...scenes.questions import Ask

STEP = 20
"""Pixel values between two objects' red, and between two colors' green."""


def question(name: str) -> str:
    """What is asked about an object."""
    return f"What color is the {name}?"


@dataclass(frozen=True)
class PlantedScene:
    """Flatly painted objects: ``masks`` name → (H, W) bool, later ones in front, and ``colors`` name → color term.

    What :class:`qgc.scenes.Scene` has for interventions it has too: :meth:`recolour`, :meth:`remove` and :meth:`move`
    return another scene, in which nothing else changes. ``order`` keeps the objects' numbers when one is removed.
    """

    masks: Mapping[str, np.ndarray]
    colors: Mapping[str, str]
    order: tuple[str, ...] = ()
    seed: int = 0

    @cached_property
    def image(self) -> Image.Image:
        """RGB (H, W): red 20 (k + 1) for object k, green 20 (c + 1) for the c-th of the eleven colors; else black."""
        pixels = np.zeros((*next(iter(self.masks.values())).shape, 3), np.uint8)
        names = self.order or tuple(self.masks)
        for name, mask in self.masks.items():
            pixels[mask] = STEP * (names.index(name) + 1), STEP * (COLOURS.index(self.colors[name]) + 1), 0
        return Image.fromarray(pixels)

    def pair(self, first: str, second: str) -> Pair:
        """The questions about two objects of one color."""
        asks = [Ask(question(n), self.colors[n], n, "colour") for n in (first, second)]
        return Pair(self, *asks)

    def recolour(self, name: str, color: str) -> PlantedScene:
        """The scene with one object in another color."""
        return replace(self, colors={**self.colors, name: color})

    def remove(self, name: str) -> PlantedScene:
        """The scene with background in place of an object."""
        masks = {k: m & (k != name) for k, m in self.masks.items()}
        return replace(self, masks=masks, order=self.order or tuple(self.masks))

    def move(self, name: str, dx: int) -> PlantedScene:
        """The scene with an object ``dx`` pixels to the right; what leaves on one side enters on the other."""
        return replace(self, masks={**self.masks, name: np.roll(self.masks[name], dx, 1)})


class PlantedVQA(VQA):
    """Base of the planted models; by itself it looks at whatever its table says (this module's docstring).

    Parameters
    ----------
    objects : names, in the order of the scene's masks. answer : the color that it sees.
    table : T (objects, neurons), what each question reads of each neuron.
    grid : cells of F.
    """

    def __init__(self, objects: Sequence[str], table: Tensor, answer: str = "white", grid: tuple[int, int] = (14, 14)):
        """Take the table as a parameter that is not trained, so that it moves with the model."""
        super().__init__()
        self.objects, self.grid = list(objects), grid
        self.vocabulary = Vocabulary.from_questions([question(name) for name in objects])
        self.answers = [answer, "something else"]
        self.green = STEP * (COLOURS.index(answer) + 1)
        self.table = nn.Parameter(table.double(), requires_grad=False)
        self.combine = table.shape[1]

    def prepare(self, image) -> Tensor:
        """Pixel values (1, 3, H, W) as they are."""
        return torch.from_numpy(np.array(open_image(image))).permute(2, 0, 1)[None].double()

    def conv(self, x: Tensor) -> Tensor:
        """F (B, objects, h, w): coverage of every cell by each object, where it has the answer's color."""
        numbers = STEP * (1 + torch.arange(len(self.objects)))[:, None, None]
        seen = (x[:, :1] == numbers) & (x[:, 1:2] == self.green)
        return nn.functional.adaptive_avg_pool2d(seen.double(), self.grid)

    def encode_tokens(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """q (B, objects): 1 for the object whose name is among a question's words."""
        named = torch.tensor([self.vocabulary.index[_word(name)] for name in self.objects])
        return (tokens[:, :, None] == named).any(1).double()

    def image_branch(self, F: Tensor) -> Tensor:
        """v (B, neurons); the mean of F^j over the cells."""
        return F.mean((-2, -1))

    def branches(self, F: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
        """u = q T and v, (B, neurons) each."""
        v = self.image_branch(F)
        return (q @ self.table).expand_as(v), v

    def classify(self, A: Tensor) -> Tensor:
        """Scores (B, 2): y of the answer, and 0 for "something else"."""
        y = A.sum(-1, keepdim=True)
        return torch.cat([y, torch.zeros_like(y)], -1)


def _word(name: str) -> str:
    (word,) = re.findall(r"\w+", name.lower())
    return word


# -- what they look at ----------------------------------------------------------------------------------
def asked_object(objects: Sequence[str], **options) -> PlantedVQA:
    """Sees only the queried object: T is the identity."""
    return PlantedVQA(objects, torch.eye(len(objects)), **options)


def other_object(objects: Sequence[str], **options) -> PlantedVQA:
    """Asked about the first object it sees only the second, and the other way round."""
    swapped = torch.eye(len(objects))[[1, 0, *range(2, len(objects))]]
    return PlantedVQA(objects, swapped, **options)


def all_of_the_color(objects: Sequence[str], **options) -> PlantedVQA:
    """Sees all objects of the answer's color, whatever is asked: T is 1 everywhere, so L_q = L."""
    return gain_only(objects, [1.0] * len(objects), **options)


def gain_only(objects: Sequence[str], gains: Sequence[float], **options) -> PlantedVQA:
    """Sees all objects of the answer's color, and says so the louder the larger a question's gain: L_q = g_q L.

    With the objects' areas for ``gains`` it is a model that knows from language how large an object usually is, and
    never where it is.
    """
    table = torch.as_tensor(gains, dtype=torch.float64)[:, None].expand(-1, len(objects))
    return PlantedVQA(objects, table, **options)


def noise(objects: Sequence[str], seed: int = 0, **options) -> PlantedVQA:
    """Each question weighs the objects at random: T is standard normal."""
    generator = torch.Generator().manual_seed(seed)
    return PlantedVQA(objects, torch.randn(len(objects), len(objects), generator=generator), **options)


class LargerObject(PlantedVQA):
    """Sees the largest object of the answer's color, whatever is asked: v = max_k mean_p F^k_p, one neuron."""

    def __init__(self, objects: Sequence[str], **options):
        """One neuron, which every question reads alike."""
        super().__init__(objects, torch.ones(len(objects), 1), **options)

    def image_branch(self, F: Tensor) -> Tensor:
        """v (B, 1), of the object with the largest coverage."""
        return super().image_branch(F).amax(-1, keepdim=True)


class FixedPlace(PlantedVQA):
    """Sees what has the answer's color in the left half of the image, whatever is asked: one neuron.

    Its gradient is zero on the right, which Grad-CAM's mean over the cells (Eq. 1) loses and HiResCAM keeps.
    """

    def __init__(self, objects: Sequence[str], **options):
        """One neuron, which every question reads alike."""
        super().__init__(objects, torch.ones(len(objects), 1), **options)

    def image_branch(self, F: Tensor) -> Tensor:
        """v (B, 1), of the left half of the cells."""
        return F[..., : F.shape[-1] // 2].mean((-2, -1)).sum(-1, keepdim=True)
