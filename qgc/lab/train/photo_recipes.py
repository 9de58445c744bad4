"""How a Deeper LSTM and a Pythia are trained on photographs: two recipes for each, written down as data."""

from __future__ import annotations

import math
from bisect import bisect
from dataclasses import dataclass, replace

from ...data import rooms


@dataclass(frozen=True)
class PythiaSizes:
    """What a Pythia has besides; see :class:`qgc.models.pythia.PythiaConfig`."""

    conv1: int = 512
    attention: int = 5000
    text_head: int = 300
    image_head: int = 5000


@dataclass(frozen=True)
class PhotoRecipe:
    """One way to train.

    Sizes: ``embedding``, ``hidden``, ``combine``, at most ``max_tokens`` tokens cut by ``tokens``, the ``answers``
    commonest answers; a Pythia has the sizes ``pythia`` besides, a Deeper LSTM None. The CNN looks at ``side`` pixels,
    or at as many as its weights were trained for. ``start`` is how the weights begin (:mod:`.image_inputs`). With
    ``standardise`` a Deeper LSTM's image branch learns on f/‖f‖ with each number brought to mean 0 and deviation 1
    over the training photographs; afterwards that is folded into Wi and bi. A Pythia's maps are divided by their root
    mean square then.

    A step takes ``batch`` questions, in ``shards`` (:mod:`qgc.lab.train.distributed`). ``optimiser`` is ``"rmsprop"``,
    ``"adamax"`` or ``"adamw"`` (with ``weight_decay``); the rate ``lr`` is multiplied by ``decay`` at each step, or
    with ``cycle`` rises for a tenth of the steps and then falls to zero like a cosine, or with ``drops`` rises
    from a fifth for ``warm`` steps and is cut to a tenth at each of these steps. The matrix that reads the photograph
    learns ``image_lr`` times as fast and, scaled, begins ``image_start`` times as large as by Glorot and Bengio.
    Gradients are clamped to ±``clamp``, and all of them together to the length ``clip`` (0: not). ``unknown`` is how
    often a word of a training question is made the unknown one, ``smoothing`` that of the labels. With ``soft`` every
    answer is learnt for itself, as right as people find it (a logistic loss, summed over the answers); else one answer
    of all (softmax).

    The training ends after ``steps`` steps or, if that is 0, ``epochs`` passes; it validates every ``validate_every``
    steps (0: after each pass), and stops early when validation was not better ``patience`` times. With ``retrain`` it
    is then repeated on all of the official training part for the number of passes that was best.
    """

    embedding: int = 200
    hidden: int = 512
    combine: int = 1024
    max_tokens: int = 26
    tokens: str = "original"
    answers: int = 1000
    pythia: PythiaSizes | None = None
    side: int | None = None
    dropout: float = 0.5
    start: str = "original"
    standardise: bool = False
    optimiser: str = "rmsprop"
    lr: float = 3e-4
    decay: float = 0.99997592083
    cycle: bool = False
    warm: int = 0
    drops: tuple[int, ...] = ()
    image_lr: float = 1.0
    image_start: float = 1.0
    weight_decay: float = 0.0
    clamp: float = 10.0
    clip: float = 0.0
    soft: bool = False
    unknown: float = 0.0
    smoothing: float = 0.0
    batch: int = 500
    shards: int = 4
    steps: int = 150_000
    epochs: int = 0
    validate_every: int = 2_000
    patience: int = 15
    retrain: bool = False

    @property
    def family(self) -> str:
        """Whose recipe it is, a key of :data:`RECIPES`."""
        return "pythia" if self.pythia else "deeper-lstm"

    def total_steps(self, questions: int) -> int:
        """How many steps the whole training run has on that many questions."""
        return self.steps or math.ceil(self.epochs * questions / self.batch)

    def learning_rate_at(self, step: int, steps: int) -> float:
        """The learning rate of a step (from 0) of ``steps``."""
        if self.drops:
            risen = min(step / self.warm, 1) if self.warm else 1
            return self.lr * (0.2 + 0.8 * risen) * 0.1 ** bisect(self.drops, step)
        if not self.cycle:
            return self.lr * self.decay**step
        rise = max(1, steps // 10)
        if step < rise:
            return self.lr * (step + 1) / rise
        return self.lr * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) / 2


ORIGINAL = PhotoRecipe()
"""Antol et al. 2015 for the VQA data: their sizes, start, optimiser, rate and clamp. Only the best weights on a
validation part are kept instead of the last ones."""

MODERN = PhotoRecipe(
    embedding=128, hidden=128, tokens="plain", answers=400, dropout=0.3, start="scaled", standardise=True,
    optimiser="adamw", lr=5e-3, cycle=True, image_lr=0.02, image_start=0.1, weight_decay=0.01, unknown=0.05,
    smoothing=0.1, batch=200,
    shards=2, steps=0, epochs=12, validate_every=0, patience=5, retrain=True,
)  # fmt: skip
"""For little data and few minutes (DAQUAR: 6,795 questions, of which the original recipe would take 11,000 passes and
learn them by heart): a smaller network that starts with signals of a sensible size, AdamW, one cycle of the learning
rate, and an image branch that learns fifty times slower than the rest: as fast as it, it learns the training
photographs by heart, and the photograph does harm instead of good."""

PYTHIA = PhotoRecipe(
    embedding=300, hidden=1024, combine=5000, max_tokens=14, tokens="pythia", answers=3129, pythia=PythiaSizes(),
    side=448, dropout=0.0, start="plain", optimiser="adamax", lr=0.01, warm=1000, drops=(5000, 7000, 9000, 11000),
    clamp=0.0, clip=0.25, soft=True, batch=512, steps=12_000, validate_every=1000,
)  # fmt: skip
"""Jiang et al. 2018 for VQA v2: v0.1's sizes, optimiser, rates and loss. But it reads the grid alone, without a
detector's boxes; its answer layers begin at random; questions without an answer in the vocabulary are omitted; and the
best weights on a validation part are kept. Its words begin at GloVe's vectors where these are given."""

PYTHIA_MODERN = PhotoRecipe(
    embedding=200, hidden=128, combine=1024, max_tokens=16, tokens="plain", answers=400,
    pythia=PythiaSizes(conv1=64, attention=256, text_head=256, image_head=1024), dropout=0.35, start="scaled",
    standardise=True, optimiser="adamw", lr=1e-2, cycle=True, image_lr=0.02, image_start=0.3, weight_decay=0.01,
    unknown=0.05, smoothing=0.1, batch=100, shards=2, steps=0, epochs=10, validate_every=0, patience=5, retrain=True,
)  # fmt: skip
"""For little data, as :data:`MODERN`, and chosen like it. Here too the matrices that read the photograph learn fifty
times slower: at the rate of the rest they do harm."""

ROOMS = replace(
    MODERN, embedding=64, answers=20, lr=3e-3, image_lr=1.0, image_start=1.0, epochs=10, retrain=False,
)  # fmt: skip
PYTHIA_ROOMS = replace(
    PYTHIA_MODERN, embedding=64, hidden=64, combine=256, answers=20, dropout=0.1, lr=3e-3, image_lr=1.0,
    image_start=1.0, smoothing=0.05, epochs=10, retrain=False,
    pythia=PythiaSizes(conv1=64, attention=64, text_head=128, image_head=256),
)  # fmt: skip
"""For rooms, of which no question is answered without looking: the image branch learns as fast as the rest, and nothing
is trained again on validation, which is by rooms."""

RECIPES = {
    "deeper-lstm": {"original": ORIGINAL, "modern": MODERN, "rooms": ROOMS},
    "pythia": {"original": PYTHIA, "modern": PYTHIA_MODERN, "rooms": PYTHIA_ROOMS},
}
"""By the model's family and the recipe's name."""

USUAL = {"daquar": "modern", "vqa1": "original", "vqa2": "original", **dict.fromkeys(rooms.NAMES, "rooms")}
USUAL_CNN = {"deeper-lstm": "vgg19", "pythia": "resnet152"}
