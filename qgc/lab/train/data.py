"""Rendered scenes on disk: images and facts in shards, made once, resumed where they stopped."""

from __future__ import annotations

import json
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ...files import remove_leftovers
from ...scenes import FIRST_SEED, sample
from ...scenes.questions import facts
from .files import save_array, save_json
from .workers import worker_pool

SHARD = 250


def _shard(distribution: str, first: int, count: int, stem: Path) -> None:
    pixels = np.empty((count, 224, 224, 3), np.uint8)
    scene_facts = []
    for i in range(count):
        scene = sample(first + i, distribution)
        pixels[i] = np.asarray(scene.image)
        scene_facts.append(facts(scene))

    save_array(stem.with_suffix(".npy"), pixels)
    save_json(stem.with_suffix(".json"), scene_facts)  # last: its presence says that the shard is whole


class SceneSet:
    """``count`` scenes of one distribution and split, rendered into ``folder`` (about 150 kB each).

    ``images(i)`` are uint8 (len(i), 224, 224, 3), ``facts[i]`` what :func:`qgc.scenes.questions.facts`
    says of scene i.
    """

    def __init__(self, folder: Path, distribution: str, split: str, count: int, workers: int = 2):
        self.count = count
        first = FIRST_SEED[split]
        starts = range(0, count, SHARD)
        stems = [folder / f"{distribution}-{split}-{s:06d}-{min(SHARD, count - s):03d}" for s in starts]
        missing = [
            (distribution, first + s, min(SHARD, count - s), stem)
            for s, stem in zip(starts, stems, strict=True)
            if not stem.with_suffix(".json").exists()
        ]
        if missing:
            remove_leftovers(folder)
            with worker_pool(workers) as pool:
                jobs = [pool.submit(_shard, *m) for m in missing]
                bar = tqdm(as_completed(jobs), total=len(jobs), desc=f"rendering {distribution} {split}", unit="shard")
                for job in bar:
                    job.result()
        self._pixels = [np.load(stem.with_suffix(".npy"), mmap_mode="r") for stem in stems]
        self.facts = [
            [tuple(f) for f in row]
            for stem in stems
            for row in json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        ]

    def images(self, indices) -> np.ndarray:
        """Images (len(indices), 224, 224, 3) uint8."""
        return np.stack([self._pixels[i // SHARD][i % SHARD] for i in indices])
