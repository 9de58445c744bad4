"""What a model's image branch reads of photographs while it learns, where it begins, and the scores that come of it.

A Deeper LSTM reads one row f a photograph (:class:`ImageInput`), a Pythia the maps F (:class:`GridInput`). Both also
exist *blind*, for the question-only baseline: then v is the same whatever the photograph.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from ...models import DeeperLSTM
from ...models.pythia import Pythia
from . import pythia, vqa
from .encoded_questions import number_of
from .features import Features
from .photo_recipes import PhotoRecipe

PIECE = 500  # photographs whose moments are taken together
NUMBERS = 2**23  # of maps that are squared together


class ImageInput:
    """A Deeper LSTM's: z = (f/‖f‖ − mean)/scale, or zeros for the question-only baseline.

    Parameters
    ----------
    features : f of all photographs.
    rows : those of the training photographs, whose mean and deviation bring z to one size; without them z = f/‖f‖.
    blind : whether all of z is zero, so that v = tanh(bi) whatever the photograph.
    """

    chunk = 500  # questions that are answered together when nothing is learnt

    def __init__(self, features: Features, rows: np.ndarray | None = None, blind: bool = False):
        self.features, self.blind = features, blind
        self.vectors: Mapping[str, Tensor] = {}  # its words begin at random
        self.mean, self.scale = torch.zeros(features.width), torch.ones(features.width)
        if rows is not None:
            self.mean, self.scale = _moments(features, rows)

    def read(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """z (len(rows), width)."""
        if self.blind:
            return torch.zeros(len(rows), self.features.width, device=device)
        f = nn.functional.normalize(self.features.read(rows, device), dim=1)
        return (f - self.mean.to(device)) / self.scale.to(device)

    def scores(self, model: DeeperLSTM, tokens: Tensor, lengths: Tensor, z: Tensor) -> Tensor:
        """Answer scores (B, answers)."""
        q = model.encode_tokens(tokens, lengths)
        with bfloat16_on_gpu(z):
            v = model.image(model.drop(z)).tanh()
            return model.classify(model.question_branch(q) * v).float()

    @torch.no_grad()
    def start(self, model: DeeperLSTM, recipe: PhotoRecipe) -> None:
        """Where the model begins: if z is standardised, v tells nothing about the photograph at first, but is not 0.

        With bi = 0 a blind v would be 0, and with it all of A, so that u learnt nothing. The
        baseline's Wi is 0 and stays so.
        """
        vqa.start(model, recipe.start)
        if recipe.standardise:
            nn.init.xavier_uniform_(model.image.weight, recipe.image_start)
            nn.init.uniform_(model.image.bias, -1, 1)
        if self.blind:
            model.image.weight.zero_()

    def reads(self, name: str) -> bool:
        """Whether this parameter is what reads the photograph, and so learns at the recipe's ``image_lr``."""
        return name == "image.weight"

    @torch.no_grad()
    def fold(self, model: DeeperLSTM) -> None:
        """Put mean and scale into Wi and bi: from here on the model reads f/‖f‖, by the paper's equation."""
        device = model.image.weight.device
        model.image.weight /= self.scale.to(device)
        model.image.bias -= model.image.weight @ self.mean.to(device)


def _moments(features: Features, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and deviation of f/‖f‖ over photographs, a piece at a time; a number that never varies is left as it is."""
    rows = np.unique(rows)
    total, squares = np.zeros((2, features.width))
    for part in np.array_split(rows, 1 + len(rows) // PIECE):
        f = nn.functional.normalize(features.read(part), dim=1).double().numpy()
        total += f.sum(0)
        squares += (f**2).sum(0)
    mean = total / len(rows)
    deviation = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
    deviation[deviation < 1e-6] = 1
    return torch.from_numpy(mean).float(), torch.from_numpy(deviation).float()


class GridInput:
    """A Pythia's: the maps F, or for the question-only baseline one cell of zeros.

    Parameters
    ----------
    features : F of all photographs.
    blind : whether F is all zero, so that v = ReLU(b) whatever the photograph.
    vectors : where the embedding of these words begins (:func:`qgc.lab.train.word_vectors.read_vectors`).
    """

    chunk = 100

    def __init__(self, features: Features, blind: bool = False, vectors: Mapping[str, Tensor] | None = None):
        self.features, self.blind, self.vectors = features, blind, vectors or {}

    def read(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """F (len(rows), K, h, w)."""
        if self.blind:
            return torch.zeros(len(rows), self.features.width, 1, 1, device=device)
        return self.features.read(rows, device)

    def scores(self, model: Pythia, tokens: Tensor, lengths: Tensor, F: Tensor) -> Tensor:
        """Answer scores (B, answers)."""
        q = model.encode_tokens(tokens, lengths)
        with bfloat16_on_gpu(F):
            f = model.attended(model.regions(F), q[:, None])[:, 0]
            u, v = model.attended_branches(model.drop(f), q)
            return model.classify(u * v).float()

    @torch.no_grad()
    def start(self, model: Pythia, recipe: PhotoRecipe) -> None:
        """Where the model begins: PyTorch's own start as the original's, or the scenes' one (``"scaled"``).

        Where it is scaled, v tells little about the photograph at first (:attr:`PhotoRecipe.image_start`), but is not
        0. In the baseline the length g of the image side's matrix is 0, and stays so.
        """
        image = model.multi_modal_combine.Fa_image.main[0]
        if recipe.start == "scaled":
            pythia.start(model)
            image.weight_g *= recipe.image_start
            nn.init.uniform_(image.bias, 0, 1)
        else:
            for name, module in model.named_modules():
                if hasattr(module, "reset_parameters") and not name.startswith("cnn"):
                    module.reset_parameters()
        for word, vector in self.vectors.items():
            model.question_embedding_models[0].embedding.weight[number_of(model.vocabulary, word)] = vector
        if self.blind:
            image.weight_g.zero_()

    def reads(self, name: str) -> bool:
        """Whether this parameter is what reads the photograph, and so learns at the recipe's ``image_lr``."""
        return "Fa_image" in name and "weight" in name

    def fold(self, model: Pythia) -> None:
        """Nothing: the regions' scale is part of the model's config."""


def root_mean_square(features: Features, rows: np.ndarray) -> float:
    """Root mean square of the maps of these photographs, to three digits: what a Pythia's regions are divided by."""
    rows = np.unique(rows)
    pieces = np.array_split(rows, 1 + len(rows) * features.rows[0].size // NUMBERS)
    squares = sum(float(features.read(part).square().double().mean()) * len(part) for part in pieces)
    return float(f"{(squares / len(rows)) ** 0.5:.3g}")


def image_input(
    model: DeeperLSTM | Pythia,
    features: Features,
    rows: np.ndarray | None = None,
    blind: bool = False,
    vectors: Mapping[str, Tensor] | None = None,
) -> ImageInput | GridInput:
    """The image input of a model's kind; ``rows`` as in :class:`ImageInput`, ``vectors`` as in :class:`GridInput`."""
    return GridInput(features, blind, vectors) if model.reads_cells else ImageInput(features, rows, blind)


def bfloat16_on_gpu(z: Tensor) -> AbstractContextManager:
    """On a GPU that has bfloat16 the large matrix products behind the LSTM take it.

    The LSTM itself keeps float32 (TF32 there), as its cells add up over the words.
    """
    return torch.autocast(z.device.type, torch.bfloat16, enabled=z.is_cuda and torch.cuda.is_bf16_supported(False))
