"""Weights that torchvision publishes, by torchvision's own loader."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import torch
import torchvision

from ...errors import WeightsError
from ...models.torchvision_cnn import classifiers


def torchvision_weights(name: str) -> Path:
    """The file of the weights that torchvision published first, which papers use: from PyTorch's cache or downloaded.

    torchvision's own loader compares what it downloads with the checksum in the file's name, and runs nothing in it.

    Raises
    ------
    WeightsError
        If torchvision has none, or they cannot be downloaded.
    """
    if name not in classifiers():
        raise WeightsError(f"torchvision has no weights of {name!r}; fetch them with 'python -m qgc fetch {name}' and "
                           "name the file with --weights")  # fmt: skip
    published = torchvision.models.get_model_weights(name)
    weights = getattr(published, "IMAGENET1K_V1", published.DEFAULT)
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    try:
        with redirect_stdout(sys.stderr):  # it prints what it downloads
            weights.get_state_dict(check_hash=True, weights_only=True, map_location="cpu")
    except Exception as error:  # whatever a network or a disk does
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:100]
        raise WeightsError(f"the weights of {name} cannot be downloaded from {weights.url} ({reason}); download "
                           f"{file.name} in another way and name it with --weights") from None  # fmt: skip
    return file
