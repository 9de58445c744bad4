"""What ``python -m qgc measure`` has written, as tables to read and arrays to draw: the book's result chapters.

>>> from qgc.measure.stored import Stored
>>> found = Stored.read()
>>> found.table("natural")            # every method with its 95 % interval
>>> found.curve("natural", "|g|")     # contrastive grounding accuracy at every n, with its interval
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import QGCError
from .protocol import GRID

RESULTS = Path(__file__).resolve().parents[2] / "book" / "results"
MODELS = ("natural", "early", "balanced", "pythia")
"""The arms by the names that the book calls them; ``natural`` stands for all its training seeds where there are any."""

ENDS = ("", "low", "high")


@dataclass(frozen=True)
class Stored:
    """The stored measurement; every method takes one of :data:`MODELS`."""

    tables: dict
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder: Path = RESULTS) -> Stored:
        """``measure.json`` and ``measure.npz``.

        Raises
        ------
        QGCError
            If they are not there or damaged; the message names the command that makes them.
        """
        try:
            tables = json.loads((folder / "measure.json").read_text(encoding="utf-8"))
            with np.load(folder / "measure.npz") as file:
                return cls(tables, {key: file[key] for key in file.files})
        except (OSError, ValueError) as error:
            raise QGCError(f"no measurement can be read in {folder} ({error}); run: python -m qgc measure") from None

    def arm(self, model: str) -> dict:
        """Everything about one model: ``pairs``, ``scenes``, ``seeds``, ``right``, ``cosine``, ``both right``."""
        return self.tables["arms"][f"{model}/natural" if model == "pythia" else model]

    def table(self, model: str) -> pd.DataFrame:
        """A row for each method, by its name: ``n`` (chosen on validation), and of grounding, margin and the
        differences from random gates and Grad-CAM the estimate with ``low`` and ``high``; ``holm`` is Holm's p.
        """
        rows = [_flat(row) for row in self.arm(model)["table"]]
        for row in rows:
            if row["method"] == "random gates":
                row["method"] += f", n = {row['n']}"
        return pd.DataFrame(rows).set_index("method")

    def measures(self, model: str) -> pd.DataFrame:
        """Means of the four classical measures for each map (:data:`qgc.measure.MEASURES`), and as "… rescaled"."""
        return pd.DataFrame(self.arm(model)["measures"]).set_index("map")

    def by_seed(self, model: str = "natural") -> pd.DataFrame:
        """:meth:`table`'s main numbers for each training by itself: rows (method, seed), "scenes" of each."""
        return pd.DataFrame(map(_flat, self.arm(model)["by seed"])).set_index(["method", "seed"])

    def against(self, model: str) -> pd.DataFrame:
        """Some methods' grounding minus others', pair by pair: rows (first, second), the estimate with its interval."""
        return pd.DataFrame(self.arm(model)["against"]).set_index(["first", "second"])

    @cached_property
    def gates(self) -> list[str]:
        """Names of the rankings, the paper's first."""
        return self.tables["gates"]

    @cached_property
    def chosen(self) -> dict[str, int]:
        """For each ranking the n that the validation scenes chose."""
        return self.tables["n"]

    def curve(self, model: str, gate: str) -> np.ndarray:
        """Contrastive grounding accuracy for n = 1 … J: (3, J), the mean and the ends of its 95 % interval."""
        return self._of_arm(model, "curves")[self.gates.index(gate)].astype(float)

    def random(self, model: str) -> tuple[np.ndarray, np.ndarray]:
        """The protocol's grid of n, and there the 5th, 50th and 95th percentile of random gates' accuracy (3, grid)."""
        bands, J = self._of_arm(model, "random").astype(float), self._of_arm(model, "curves").shape[-1]
        ns = np.minimum(GRID, J)
        return ns, bands

    def rows(self, stage: str, model: str, name: str) -> pd.DataFrame:
        """A table of a stage of :mod:`qgc.measure.stages`, such as ``rows("sanity", "natural", "controls")``."""
        return pd.DataFrame(self.tables[stage][self._shipped(model)][name])

    def nulls(self, model: str, reduction: str = "l2", what: str = "spearman") -> dict[str, np.ndarray]:
        """Null → one value a scene: Spearman's ρ of ∂A/∂q (or ``what="overlap"``, shared neurons among the top 10)."""
        head = f"nulls|{self._shipped(model)}|{what}/"
        found = {k.removeprefix(head): v.astype(float) for k, v in self.arrays.items() if k.startswith(head)}
        return {k.removesuffix(f"/{reduction}"): v for k, v in found.items() if k.endswith(f"/{reduction}")}

    def without_the_shared(self, model: str, reduction: str = "l2") -> dict[str, np.ndarray]:
        """``partial`` and ``divided`` (:mod:`qgc.measure.nulls`), one value a scene; empty without a closed form."""
        head = f"nulls|{self._shipped(model)}|"
        names = {"partial": f"{head}partial/{reduction}", "divided": f"{head}divided"}
        return {k: self.arrays[column].astype(float) for k, column in names.items() if column in self.arrays}

    def _of_arm(self, model: str, what: str) -> np.ndarray:
        return self.arrays[f"{model}/natural|{what}" if model == "pythia" else f"{model}|{what}"]

    @staticmethod
    def _shipped(model: str) -> str:
        return "pythia/natural" if model == "pythia" else f"deeper-lstm/{model}"


def _flat(row: dict) -> dict:
    flat = {k: row[k] for k in ("method", "n", "seed", "scenes") if k in row}
    for name in ("grounding", "margin", "minus random", "minus Grad-CAM"):
        if name in row:
            flat |= {f"{name} {end}".strip(): row[name][end or "value"] for end in ENDS}
    return flat | {k: row[k] for k in ("own", "mass", "empty", "p", "holm") if k in row}
