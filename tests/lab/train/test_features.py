"""The cache of features: the same rows however often it is cut off, and one message about what cannot be read.

QGC_SLOW=1 kills the extraction 25 times instead of twice.
"""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from kills import killed_and_done
from PIL import Image
from torch import nn

from qgc.errors import DataError
from qgc.lab.train import features
from qgc.lab.train.features import BLOCK, Features, extract
from qgc.models import backbones
from qgc.models.torchvision_cnn import TorchvisionConfig

NAMES = [f"photo{i}" for i in range(4 * BLOCK + 7)]


class Tiny(nn.Module):
    """A CNN with the interface of a backbone: F (B, 4, 8, 8), f (B, 6)."""

    width = 6

    def __init__(self, seed: int = 0, side: int = 16):
        super().__init__()
        torch.manual_seed(seed)
        self.config = TorchvisionConfig("tiny", side)
        self.conv, self.fc = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(4, self.width)

    def forward(self, x):
        return self.conv(x).relu()

    def feature(self, F):
        return self.fc(F.mean((2, 3)))


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder with small images of noise."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(folder / f"{name}.png")
    return folder


def finder(folder: Path):
    """What gives the file of a name, or says that there is none."""

    def path_of(name: str) -> Path:
        if not (folder / f"{name}.png").exists():
            raise DataError(f"the photograph {name} is absent")
        return folder / f"{name}.png"

    return path_of


def rows(cache: Path, photos: Path, cnn: nn.Module | None = None, names=NAMES) -> Features:
    """The finished cache."""
    return extract(cnn or Tiny(), names, finder(photos), cache)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, photos) -> np.ndarray:
    """The rows of a cache that nobody stopped."""
    return np.array(rows(tmp_path_factory.mktemp("cache"), photos).rows)


def test_a_row_is_what_the_cnn_makes_of_the_image(photos, undisturbed):
    cnn = Tiny()
    for i in (0, BLOCK, len(NAMES) - 1):
        x = backbones.normalise(backbones.prepare(photos / f"{NAMES[i]}.png", cnn.config)[None], cnn.config)
        f = cnn.feature(cnn(x))[0].detach().numpy()
        assert np.abs(undisturbed[i] - f).max() <= 2**-11 * np.abs(f).max() + 1e-6
    assert undisturbed.dtype == np.float16 and undisturbed.shape == (len(NAMES), 6)


def test_maps_are_kept_beside_f(photos, tmp_path, undisturbed):
    cnn, names = Tiny(), NAMES[:3]
    found = extract(cnn, names, finder(photos), tmp_path, maps=True)
    assert found.rows.shape == (3, 4, 8, 8) and found.width == 4
    F = found.read(np.arange(3))
    assert np.abs(cnn.feature(F).detach().numpy() - undisturbed[:3]).max() < 1e-2
    extract(cnn, names, finder(photos), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # f of the same photographs is another cache


def test_a_disk_without_room_is_refused_at_once(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(features.shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))
    monkeypatch.setattr(features, "_fill", lambda *_: pytest.fail("began"))
    with pytest.raises(DataError, match="--cache"):
        rows(tmp_path, photos)
    monkeypatch.undo()
    rows(tmp_path, photos)


def test_rows_are_read_by_number_and_name(photos, tmp_path, undisturbed):
    found = rows(tmp_path, photos)
    picked = np.array([5, 0, 5])
    assert found.read(picked).dtype == torch.float32 and found.width == 6
    assert (found.read(picked).numpy() == undisturbed[picked]).all()
    assert found.index["photo7"] == 7 and isinstance(found.rows, np.memmap)


def test_what_is_there_is_not_computed_again(photos, tmp_path, undisturbed, monkeypatch):
    rows(tmp_path, photos)
    monkeypatch.setattr(Tiny, "forward", lambda self, x: pytest.fail("computed again"))
    assert (rows(tmp_path, photos).rows == undisturbed).all()


def test_another_cnn_or_list_is_another_cache(photos, tmp_path):
    for cnn, names in ((Tiny(), NAMES), (Tiny(1), NAMES), (Tiny(side=24), NAMES), (Tiny(), NAMES[:-1])):
        rows(tmp_path, photos, cnn, names)
    assert len(list(tmp_path.iterdir())) == 4


def test_an_extraction_that_stops_goes_on(photos, tmp_path, undisturbed, monkeypatch):
    prepare, seen = backbones.prepare, []

    def stop(path, config):
        if len(seen) == 2 * BLOCK + 3:
            raise KeyboardInterrupt
        seen.append(path)
        return prepare(path, config)

    monkeypatch.setattr(backbones, "prepare", stop)
    with pytest.raises(KeyboardInterrupt):
        rows(tmp_path, photos)
    (place,) = tmp_path.iterdir()
    done = int((np.load(place / "noted.npy") == features.DONE).sum())
    assert 0 < done < len(NAMES) and done % BLOCK == 0
    seen.clear()
    monkeypatch.setattr(backbones, "prepare", lambda *a: seen.append(a) or prepare(*a))
    assert (rows(tmp_path, photos).rows == undisturbed).all()
    assert len(seen) == len(NAMES) - done


def test_killed_at_random_moments_it_ends_with_the_same_rows(photos, tmp_path, undisturbed, monkeypatch):
    forward = Tiny.forward

    def slow(self, x):
        time.sleep(0.05)
        return forward(self, x)

    monkeypatch.setattr(Tiny, "forward", slow)
    for cache in killed_and_done(lambda cache: rows(cache, photos), tmp_path):
        (place,) = cache.iterdir()
        assert (np.load(place / "noted.npy") == features.DONE).all()
        assert (np.load(place / "rows.npy") == undisturbed).all()


def test_damaged_photographs_are_named_together_at_the_end(photos, tmp_path, undisturbed):
    names = [*NAMES[:3], "cut", "text", *NAMES[3:]]
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in NAMES:
        (folder / f"{name}.png").symlink_to(photos / f"{name}.png")
    (folder / "cut.png").write_bytes((photos / "photo1.png").read_bytes()[:300])
    (folder / "text.png").write_text("no picture")
    with pytest.raises(DataError, match="2 of the photographs") as error:
        rows(tmp_path / "cache", folder, names=names)
    assert "cut.png" in str(error.value) and "text.png" in str(error.value)
    (place,) = (tmp_path / "cache").iterdir()
    assert (np.load(place / "noted.npy") == features.DONE).sum() == len(NAMES)
    for name in ("cut", "text"):
        (folder / f"{name}.png").write_bytes((photos / "photo0.png").read_bytes())
    mended = rows(tmp_path / "cache", folder, names=names).rows
    assert (np.delete(mended, [3, 4], 0) == undisturbed).all() and (mended[3] == undisturbed[0]).all()


def test_absent_photographs_are_named_before_any_work(photos, tmp_path, monkeypatch):
    monkeypatch.setattr(Tiny, "forward", lambda self, x: pytest.fail("worked first"))
    with pytest.raises(DataError, match="8 of the photographs") as error:
        rows(tmp_path, photos, names=[*NAMES, *(f"gone{i}" for i in range(8))])
    assert all(f"gone{i}" in str(error.value) for i in range(8))


def test_numbers_beyond_float16_are_refused(photos, tmp_path):
    cnn = Tiny()
    cnn.fc.bias.data.fill_(1e6)
    with pytest.raises(DataError, match="float16"):
        rows(tmp_path, photos, cnn)
