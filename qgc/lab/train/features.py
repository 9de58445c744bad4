"""What a CNN makes of photographs, f or the maps F of each, computed once into a memory-mapped cache.

The CNN never learns here, so every training run on the same photographs reads the same rows. They are stored as
float16: half the disk and half the reading, and a rounding (2⁻¹¹ of a value) far below what two decoders of one JPEG
differ by. One folder holds one cache, named by the checksum of the CNN's tensors and configuration, of what is kept
and of the list of images; with any of these changed it is another cache.

A cache can be cut off anywhere. The rows come in blocks that are always computed as a whole, so that no last digit
depends on where it was cut; a block is first written, then noted as done.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor, nn
from tqdm import tqdm

from ...errors import DataError, QGCError
from ...models import backbones
from .files import save_json

BLOCK = 32  # images that go through the CNN together
DONE, FAULTY = 1, 2  # what is noted of a row; 0 of one that was not looked at
FEW = 5  # how many faulty images a message describes


class Features:
    """The rows of a finished cache: ``rows`` (N, …), memory-mapped float16, of the images ``names``.

    A row is f (width,) or the maps F (K, h, w).
    """

    def __init__(self, names: Sequence[str], rows: np.ndarray):
        self.names, self.rows = list(names), rows
        self.index = {name: i for i, name in enumerate(self.names)}

    @property
    def width(self) -> int:
        """The size of f, or the number of maps K."""
        return self.rows.shape[1]

    def read(self, rows: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
        """f (len(rows), width), or F (len(rows), K, h, w), float32, of these rows; no others are read."""
        return torch.from_numpy(self.rows[rows]).to(device).float()


def extract(
    cnn: nn.Module,
    images: Sequence[str],
    path_of: Callable[[str], Path],
    folder: Path,
    device: torch.device | str = "cpu",
    workers: int = 2,
    maps: bool = False,
) -> Features:
    """f of every image, or its maps F, from the cache below ``folder``, which is made or completed first.

    Processes that want the same cache at the same time wait for the first of them.

    Parameters
    ----------
    cnn : a backbone (:mod:`qgc.models.backbones`) with its weights.
    images : distinct names.
    path_of : gives the file of a name, as :meth:`qgc.data.PhotoSet.image_path` does.
    folder : where caches are kept.
    device : where the CNN runs.
    workers : threads that decode images ahead of it.
    maps : whether F is kept in the place of f; it takes h·w times as much disk.

    Raises
    ------
    DataError
        If the disk has no room for them, or images are absent, at once; if they are damaged, after all others have
        been done. One message names them all. They alone (with their blocks) are then left to do.
    """
    cnn = cnn.to(device, torch.float32).eval()
    place = folder / key_of(cnn, images, maps)[:20]
    place.mkdir(parents=True, exist_ok=True)
    with locked(place):  # another process with the same cache waits, and then finds the rows done
        rows, noted = _open(place, cnn, images, maps)
        # Whole blocks: the last digits of a row depend on the others that go through the CNN with it.
        todo = [b for b in range(0, len(images), BLOCK) if (noted[b : b + BLOCK] != DONE).any()]
        if absent := _absent((image for b in todo for image in images[b : b + BLOCK]), path_of):
            raise DataError(_message(absent))
        faults = _fill(cnn, images, path_of, rows, noted, todo, device, workers)
    if faults:
        raise DataError(_message(faults))
    return Features(images, np.load(place / "rows.npy", mmap_mode="r"))


def key_of(cnn: nn.Module, images: Iterable[str], maps: bool = False) -> str:
    """The checksum that names a cache: of the CNN's configuration and tensors, what is kept, and the images' names."""
    digest = hashlib.sha256(json.dumps(asdict(cnn.config), sort_keys=True).encode())
    digest.update(b"F" if maps else b"")
    for name, tensor in sorted(cnn.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
    for name in images:
        digest.update(name.encode() + b"\0")
    return digest.hexdigest()


@contextmanager
def locked(place: Path) -> Iterator[None]:
    """Hold a folder's lock; it falls with the process, whatever ends that."""
    with FileLock(place / "lock"):
        yield


def _open(place: Path, cnn: nn.Module, images: Sequence[str], maps: bool) -> tuple[np.memmap, np.memmap]:
    """The cache's two files, of full size from the beginning: the rows, and what is noted of each."""
    if not (place / "about.json").exists():
        row = _shape(cnn) if maps else (cnn.width,)
        sizes = {"rows.npy": ((len(images), *row), np.float16), "noted.npy": ((len(images),), np.uint8)}
        _check_room(place, sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in sizes.values()))
        for name, (shape, dtype) in sizes.items():
            np.lib.format.open_memmap(place / name, mode="w+", dtype=dtype, shape=shape).flush()
        about = {"cnn": asdict(cnn.config), "images": len(images), "row": row, "dtype": "float16"}
        save_json(place / "about.json", about)  # last: its presence says that both files have their size
    return tuple(np.load(place / name, mmap_mode="r+") for name in ("rows.npy", "noted.npy"))


def _check_room(place: Path, needed: int) -> None:
    # The files are sparse at first: a disk that is full later would end the process without a word.
    free = shutil.disk_usage(place).free
    if needed > free:
        raise DataError(f"the features need {needed / 1e9:.1f} GB in {place}, where {free / 1e9:.1f} GB are free; "
                        "make room, or name a folder on another disk (--cache)")  # fmt: skip


@torch.no_grad()
def _shape(cnn: nn.Module) -> tuple[int, ...]:
    """(K, h, w) of the maps of one image."""
    some = next(cnn.parameters())
    return tuple(cnn(some.new_zeros(1, 3, cnn.config.side, cnn.config.side)).shape[1:])


def _absent(images: Iterable[str], path_of: Callable[[str], Path]) -> dict[str, str]:
    """The images that have no file, and what is wrong with each; reported before hours are spent on the others."""
    absent = {}
    for image in images:
        try:
            path_of(image)
        except DataError as error:
            absent[image] = str(error)
    return absent


@torch.no_grad()
def _fill(cnn, images, path_of, rows, noted, todo, device, workers) -> dict[str, str]:
    """Compute the blocks ``todo``; returns the images that could not be read, and why."""
    faults: dict[str, str] = {}
    if not todo:
        return faults

    def read(image: str) -> Tensor | str:
        try:
            return backbones.prepare(path_of(image), cnn.config)
        except (QGCError, OSError) as error:
            return str(error)

    blank = torch.zeros(3, cnn.config.side, cnn.config.side, dtype=torch.uint8)
    done = len(images) - sum(len(images[b : b + BLOCK]) for b in todo)
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(images), initial=done, desc="features", unit="photo", mininterval=1) as bar,
    ):
        names = [images[b : b + BLOCK] for b in todo]
        for first, block, images_read in zip(todo, names, _prefetch(pool, read, names), strict=True):
            bad = {i: p for i, p in enumerate(images_read) if isinstance(p, str)}
            pixels = torch.stack([blank if i in bad else p for i, p in enumerate(images_read)])
            F = cnn(backbones.normalise(pixels.to(device), cnn.config))
            row = (F if rows.ndim > 2 else cnn.feature(F)).half()
            if not row.isfinite().all():
                raise DataError(f"what the CNN gives for {block[0]} or a neighbour is beyond float16; "
                                "are these its weights?")  # fmt: skip
            rows[first : first + len(block)] = row.cpu().numpy()
            rows.flush()
            noted[first : first + len(block)] = [FAULTY if i in bad else DONE for i in range(len(block))]
            noted.flush()
            faults |= {block[i]: reason for i, reason in bad.items()}
            bar.update(len(block))
    return faults


def _prefetch(pool: ThreadPoolExecutor, read: Callable, blocks: list, ahead: int = 2) -> Iterator[list]:
    """What ``read`` makes of each block's images, in order, with the next few blocks already under way."""
    waiting = iter(blocks)
    under_way = [[pool.submit(read, image) for image in block] for block in islice(waiting, ahead)]
    while under_way:
        yield [job.result() for job in under_way.pop(0)]
        under_way += [[pool.submit(read, image) for image in block] for block in islice(waiting, 1)]


def _message(faults: Mapping[str, str]) -> str:
    reasons = "\n".join(f"  {reason}" for reason in list(faults.values())[:FEW])
    more = f"\n  and {len(faults) - FEW} more: {', '.join(list(faults)[FEW:])}" if len(faults) > FEW else ""
    return (
        f"{len(faults)} of the photographs cannot be used:\n{reasons}{more}\n"
        "what is done is kept; fix these and run the same command again"
    )
