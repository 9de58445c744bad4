"""How a Deeper LSTM is trained on photographs: two recipes, written down as data."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class PhotoRecipe:
    """One way to train.

    Sizes: ``embedding``, ``hidden``, ``combine``, at most ``longest`` tokens cut by ``tokens``, the ``answers``
    commonest answers. ``start`` is that of :func:`qgc.train.vqa.start`. With ``standardise`` the image branch learns
    on f/‖f‖ with each number brought to mean 0 and deviation 1 over the training photographs; afterwards that is
    folded into Wi and bi.

    A step takes ``batch`` questions, in ``shards`` (:mod:`qgc.train.distributed`). ``optimiser`` is ``"rmsprop"`` or
    ``"adamw"`` (with ``weight_decay``); the rate ``lr`` is multiplied by ``decay`` at each step, or with ``cycle``
    rises for a tenth of the steps and then falls to zero like a cosine; Wi learns ``image_lr`` times as fast and,
    standardised, begins ``image_start`` times as large as by Glorot and Bengio. Gradients are clamped to ±``clamp``.
    ``unknown`` is how often a word of a training question is made the unknown one, ``smoothing`` that of the labels.

    The training ends after ``steps`` steps or, if that is 0, ``epochs`` passes; validation is looked at every ``look``
    steps (0: after each pass), and the training stops early when it was not better ``patience`` times. With
    ``retrain`` it is then repeated on all of the official training part for the number of passes that was best.
    """

    embedding: int = 200
    hidden: int = 512
    combine: int = 1024
    longest: int = 26
    tokens: str = "original"
    answers: int = 1000
    dropout: float = 0.5
    start: str = "original"
    standardise: bool = False
    optimiser: str = "rmsprop"
    lr: float = 3e-4
    decay: float = 0.99997592083
    cycle: bool = False
    image_lr: float = 1.0
    image_start: float = 1.0
    weight_decay: float = 0.0
    clamp: float = 10.0
    unknown: float = 0.0
    smoothing: float = 0.0
    batch: int = 500
    shards: int = 4
    steps: int = 150_000
    epochs: int = 0
    look: int = 2_000
    patience: int = 15
    retrain: bool = False

    def length(self, questions: int) -> int:
        """How many steps the whole training has on that many questions."""
        return self.steps or math.ceil(self.epochs * questions / self.batch)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a step (from 0) of ``steps``."""
        if not self.cycle:
            return self.lr * self.decay**step
        rise = max(1, steps // 10)
        if step < rise:
            return self.lr * (step + 1) / rise
        return self.lr * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2


ORIGINAL = PhotoRecipe()
"""Antol et al. 2015 for the VQA data: their sizes, start, optimiser, rate and clamp. Only the best weights on a
validation part are kept instead of the last ones."""

MODERN = PhotoRecipe(
    embedding=128, hidden=128, tokens="plain", answers=400, dropout=0.3, start="scaled", standardise=True,
    optimiser="adamw", lr=5e-3, cycle=True, image_lr=0.02, image_start=0.1, weight_decay=0.01, unknown=0.05,
    smoothing=0.1, batch=200,
    shards=2, steps=0, epochs=12, look=0, patience=5, retrain=True,
)  # fmt: skip
"""For little data and few minutes (DAQUAR: 6,795 questions, of which the original recipe would take 11,000 passes and
learn them by heart): a smaller network that starts with signals of a sensible size, AdamW, one cycle of the learning
rate, and an image branch that learns fifty times slower than the rest: as fast as it, it learns the training
photographs by heart, and the photograph does harm instead of good."""

RECIPES = {"original": ORIGINAL, "modern": MODERN}
USUAL = {"daquar": "modern", "vqa1": "original", "vqa2": "original"}
