"""How the shipped models are trained: one recipe a checkpoint, written down as data (book/model.ipynb)."""

from __future__ import annotations

from dataclasses import dataclass

from ...scenes import FIRST_SEED as FIRST_SEED  # its old place: who took it from here still can


@dataclass(frozen=True)
class Recipe:
    """One training run.

    ``labels`` is what the CNN is pre-trained to see: ``"bound"`` names (object, color) pairs,
    ``"unbound"`` objects and colors separately, as ImageNet-like features do. ``cnn_cycles`` are the epochs of
    each cycle of the convolutions' learning rate, which rises and falls once a cycle; the optimiser starts afresh
    with each. ``detectors`` makes the per-location classifier of the labels the last convolution, and lets fc6
    and fc7 pass its sums through; otherwise fc6 and fc7 learn the labels for ``fc_epochs``. ``start`` is that of
    the question and answer side: ``"original"`` or ``"scaled"`` (:func:`qgc.lab.train.vqa.start`); ``dropout`` is its
    dropout, ``word_noise`` how often its questions are garbled (:func:`qgc.lab.train.vqa.garble`). The CNN learns from
    ``scenes``, the question and answer side from ``question_scenes``, with seeds of their own: several models may
    use one CNN, as the paper's did.
    """

    distribution: str
    labels: str
    scenes: int = 20_000
    question_scenes: int = 20_000
    validation: int = 1_000
    cnn_cycles: tuple[int, ...] = (4,)
    cnn_lr: float = 2e-3
    fc_epochs: int = 12
    fc_lr: float = 1e-3
    vqa_epochs: int = 40
    vqa_lr: float = 1e-3
    start: str = "original"
    per_scene: int = 8
    dropout: float = 0.5
    word_noise: float = 0.0
    detectors: bool = False
    batch: int = 64
    seed: int = 0
    question_seed: int = 0


RECIPES: dict[str, Recipe] = {  # that of "natural" is the bilinear model's, too
    "natural": Recipe("natural", labels="unbound"),
    "balanced": Recipe(
        "balanced",
        labels="bound",
        question_scenes=40_000,
        cnn_cycles=(4, 6),
        vqa_epochs=30,
        vqa_lr=5e-3,
        start="scaled",
        dropout=0.1,
        word_noise=0.5,
        detectors=True,
    ),
}


@dataclass(frozen=True)
class RegionsRecipe:
    """The training of a model that reads the maps of a shipped model's CNN, which stays as it is.

    ``cnn`` names that model. Of each of ``batch`` scenes a step asks ``per_scene`` questions. The defaults are those of
    Pythia. Its published recipe (Jiang et al. 2018: Adamax, warm-up, soft scores of ten people) is for images with ten
    answers each; here one answer is right, and AdamW with one cycle of the learning rate ``lr`` needs few epochs.
    """

    distribution: str = "natural"
    cnn: str = "deeper-lstm/natural"
    scenes: int = 20_000
    validation: int = 1_000
    epochs: int = 5
    lr: float = 3e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    per_scene: int = 8
    dropout: float = 0.1
    batch: int = 128
    seed: int = 0


PYTHIA = RegionsRecipe()
REGIONS: dict[str, RegionsRecipe] = {
    "pythia": PYTHIA,
    "film": RegionsRecipe(lr=2e-3, batch=32),
    "transformer": RegionsRecipe(lr=1e-3, batch=16),
}
"""Recipes by the family of the model. FiLM and transformer compute more for each question, and take smaller steps."""
