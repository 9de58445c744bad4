"""Protocol 2 as data: ``protocol-2.yml``, read by a schema of its own (book/protocol-2.md is made from it)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import yaml

FILE = Path(__file__).with_name("protocol-2.yml")


@dataclass(frozen=True)
class Scenes:
    """The seeds ``first`` … ``first + count − 1`` of a split."""

    first: int
    count: int


@dataclass(frozen=True)
class Model:
    """A model of the protocol: the moment ``step`` of a training run of a ``cell``, or another by its name alone."""

    name: str
    distribution: str
    cell: str | None = None
    seed: int = 0
    step: int = 0


@dataclass(frozen=True)
class Protocol:
    """What the file says; ``sha256`` is that of its bytes."""

    data: Mapping
    sha256: str

    @classmethod
    def read(cls, path: Path = FILE) -> Protocol:
        """The protocol in a file."""
        text = path.read_bytes()
        return cls(yaml.safe_load(text), hashlib.sha256(text).hexdigest())

    @cached_property
    def scenes(self) -> dict[str, Scenes]:
        """The splits: validation and test."""
        return {name: Scenes(**self.data["scenes"][name]) for name in ("validation", "test")}

    def n(self, split: str) -> tuple[int, ...]:
        """The n of the gates: on validation those of the grid that one is chosen from, then those that were chosen."""
        about = self.data["methods"]
        return tuple(about["n"] if split == "test" else about["grid"])

    @property
    def controls(self) -> int:
        """So many scenes of a split have the controls as well."""
        return self.data["scenes"]["controls"]

    def count(self, split: str, model: Model) -> int:
        """How many scenes of a split a model sees: fewer before the end of its training run, or if it is of no cell."""
        count = self.scenes[split].count
        last = model.step == max(self.data["models"]["steps"])
        return count if last or split != "test" else self.data["scenes"]["fewer"]

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """All of them: cell by cell, seed by seed, moment by moment; then the others."""
        about = self.data["models"]
        cells = product(about["distributions"], about["cnn"], about["seeds"], about["steps"])
        return (
            *(Model(f"{d}-{c}-seed{k}-{s}", d, f"{d}-{c}", k, s) for d, c, k, s in cells),
            *(Model(name, name.split("/")[1]) for name in about["others"]),
        )


PROTOCOL = Protocol.read()
