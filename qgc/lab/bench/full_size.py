"""How fast the full-size Deeper LSTM trains, and that its memory does not grow with the data: generated rows.

VGG-19's f (4096), embedding 200, two LSTM layers of 512, combine 1024, 1000 answers, a vocabulary of VQA's size, the
original recipe with its batch of 500. The CNN itself does not take part, so it is left small.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ...models import DeeperLSTM, DeeperLSTMConfig
from ...models.backbones import SCENES, VGG19
from ..train.distributed import ProcessGroup
from ..train.encoded_questions import EncodedQuestions
from ..train.features import Features
from ..train.image_inputs import ImageInput
from ..train.memory import keep_freed_memory
from ..train.photo_recipes import ORIGINAL
from ..train.photos import fit
from ..train.workers import worker_pool

WORDS, ANSWERS, PER_PHOTO = 14_000, 1_000, 3  # as VQA has them
PIECE = 2_000
SIZES = (20_000, 200_000)
CNN = replace(SCENES, blocks=((1,), (1,)), fc=VGG19.fc)


def full_size(sizes=SIZES, steps: int = 20, device: str | torch.device = "cpu", folder: Path | None = None) -> dict:
    """Questions a second and memory of ``steps`` steps at data sets of ``sizes`` photographs.

    Parameters
    ----------
    folder : where the generated files are while it runs (8 kB a photograph); the system's temporary folder if None.

    Returns
    -------
    {photographs: {"questions", "questions_per_second", "memory_mb"}}: memory is the process's own at its peak (Linux's
    RssAnon); pages of the mapped files, which the system takes back when it needs them, are not counted.
    """
    measured = {}
    for count in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _generate(count, Path(place))
            spawn = multiprocessing.get_context("spawn")  # a process that owns nothing of the other size
            with worker_pool(1, context=spawn) as fresh:
                measured[count] = fresh.submit(_measure, Path(place), steps, str(device)).result()
    return measured


def _measure(place: Path, steps: int, device: str) -> dict:
    keep_freed_memory()
    features, questions = Features([], np.load(place / "rows.npy", mmap_mode="r")), EncodedQuestions.open(place)
    torch.manual_seed(0)
    config = DeeperLSTMConfig(
        tuple(f"w{i}" for i in range(WORDS)), tuple(f"a{i}" for i in range(ANSWERS)), 200, 512, cnn=CNN
    )
    trained = fit(
        DeeperLSTM(config), ORIGINAL, questions, None, ImageInput(features), place, ProcessGroup(device=device),
        stop=steps, name=f"{len(features.rows):,} photographs",
    )  # fmt: skip
    return {
        "questions": len(questions),
        "questions_per_second": trained.questions_per_second,
        "memory_mb": trained.memory_mb,
    }


def _generate(photos: int, place: Path) -> None:
    """Features and questions, written a piece at a time."""
    rng, count = np.random.default_rng(0), photos * PER_PHOTO
    rows = np.lib.format.open_memmap(place / "rows.npy", mode="w+", dtype=np.float16, shape=(photos, VGG19.fc))
    for first in tqdm(range(0, photos, PIECE), desc="generated features", unit=f"{PIECE} photos"):
        part = rows[first : first + PIECE]
        part[:] = np.maximum(rng.standard_normal(part.shape, np.float32), 0)
    rows.flush()
    lengths = np.clip(rng.poisson(6.2, count), 2, 26).astype(np.int32)  # VQA's questions have 6.2 words on average
    target = rng.integers(0, ANSWERS, count, np.int32)
    tokens = rng.integers(2, WORDS + 2, (count, 26), np.int32) * (np.arange(26) < lengths[:, None])
    image = np.arange(count, dtype=np.int32) // PER_PHOTO
    EncodedQuestions(tokens, lengths, image, target, target[:, None], np.ones((count, 1), np.float32)).save(place)
