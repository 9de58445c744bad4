"""What ``python -m qgc measure`` has written, as tables to read and arrays to draw: the book's result chapters.

>>> from qgc.lab.protocol.stored import Stored
>>> found = Stored.read()
>>> found.table("natural")            # every method with its 95 % interval
>>> found.curve("natural", "|g|")     # contrastive grounding accuracy at every n, with its interval
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from ...errors import QGCError
from ...measure.stats import Interval
from . import GRID
from .crossed import crossed_interval

RESULTS = Path(__file__).resolve().parents[3] / "book" / "results"
MODELS = ("natural", "early", "balanced", "pythia")
"""The models by the names that the book calls them; ``natural`` stands for all its training seeds."""

ENDS = ("", " low", " high")
DIGITS_OF = {"verdicts": 5, "surrogate": 4}
VERDICTS = ("rank", "first object", "second object", "odds", "grounding")


@contextmanager
def readable(what: str, folder: Path, command: str) -> Iterator[None]:
    """QGCError, which names the command that makes them, where stored results are not there or damaged."""
    try:
        yield
    except (OSError, ValueError, BadZipFile, lzma.LZMAError) as error:
        raise QGCError(
            f"no {what} can be read in {folder} ({error}); run: {command}, or use a clone of "
            "the book: it has one, the installed package has none"
        ) from None


@dataclass(frozen=True)
class Pairs:
    """What is kept of every pair of one model, for each of ``maps`` ((name, n); n is None without a gate).

    ``a`` (pairs, maps, 2), ``R`` (pairs, maps, 2, 2), to 1/63, nan but for a few rankings
    (:data:`.summary.NUMBERS`) and maps without a gate; ``verdicts`` (pairs, maps, 5): rank, first and second
    object, odds, contrastive as registered; ``surrogate`` (pairs, maps, 4): rank, first object, second object,
    contrastive; nan where there is no map. ``scene`` (pairs,), ``area`` and ``background`` (pairs, 2).
    """

    maps: list[tuple[str, int | None]]
    scene: np.ndarray
    area: np.ndarray
    background: np.ndarray
    a: np.ndarray
    R: np.ndarray
    verdicts: np.ndarray
    surrogate: np.ndarray


@dataclass(frozen=True)
class Stored:
    """The stored measurement; every method takes one of :data:`MODELS`."""

    tables: dict
    arrays: dict[str, np.ndarray]

    @classmethod
    def read(cls, folder: Path = RESULTS) -> Stored:
        """``measure.json.xz`` and ``measure.npz``.

        Raises
        ------
        QGCError
            If they are not there or damaged; the message names the command that makes them.
        """
        with readable("measurement", folder, "python -m qgc measure"):
            tables = json.loads(lzma.decompress((folder / "measure.json.xz").read_bytes()))
            with np.load(folder / "measure.npz") as file:
                return cls(tables, {key: np.ascontiguousarray(file[key]) for key in file.files})

    def results_of(self, model: str) -> dict:
        """Everything about one model: ``pairs``, ``scenes``, ``seeds``, ``right``, ``cosine``, ``both right``.

        "natural, shipped" is the training run that the package ships, by itself.
        """
        return self.tables["arms"][f"{model}/natural" if model == "pythia" else model]

    def size_decides(self, model: str) -> pd.DataFrame:
        """How often the verdict of contrastive grounding is the larger object's own: a row for each map."""
        return _table(self.results_of(model)["size decides"])

    def validation(self) -> pd.DataFrame:
        """Rank grounding accuracy of the maps without a gate on the validation scenes, by which a norm is chosen."""
        return _table(self.tables["validation"])

    def both_right(self, model: str) -> pd.DataFrame:
        """Accuracies over the pairs to which the model gives both right answers: a row for each map without a gate."""
        return pd.DataFrame({k: _flat(v) for k, v in self.results_of(model)["both right"].items()}).T

    def pairs(self, name: str) -> Pairs:
        """What is kept of every pair of a model, by its name in the protocol: "natural-seed3", "pythia/natural", …."""
        packed = self.arrays[f"{name}|numbers"]
        digits = {k: _digits(self.arrays[f"{name}|{k}"], count) for k, count in DIGITS_OF.items()}
        maps = [tuple(m) for m in self.tables["kept"]]
        with_numbers = [n is None or gate in self.tables["numbers of"] for gate, n in maps]
        numbers = np.full((len(packed), len(maps), packed.shape[2]), np.nan)
        numbers[:, with_numbers] = packed / self.tables["levels"]
        numbers[np.isnan(digits["verdicts"][..., 0])] = np.nan
        about = {k: self.arrays[f"{name}|{k}"] for k in ("scene", "area", "background")}
        R = numbers[..., 2:].reshape(*numbers.shape[:2], 2, 2)
        return Pairs(maps, a=numbers[..., :2], R=R, **digits, **about)

    def compare(self, model: str, first, second=None, verdict: str = "rank", pairs: str = "all") -> Interval:
        """Accuracy of a map of which every pair is kept, minus another's, pair by pair, over training runs and scenes.

        Parameters
        ----------
        first, second : (name, n) as in :attr:`Pairs.maps`, n None without a gate; ``second`` None: the first's own.
        verdict : one of :data:`VERDICTS`. pairs : "all", "with a background" (at least one object) or "without
            backgrounds".
        """
        rows = []
        for name in self.natural_seeds() if model == "natural" else [self._shipped(model.removesuffix(", shipped"))]:
            at = [self.tables["kept"].index(list(m)) for m in (first, second) if m]
            values = _digits(self.arrays[f"{name}|verdicts"][:, at], len(VERDICTS))[..., VERDICTS.index(verdict)]
            background = self.arrays[f"{name}|background"].any(1)
            kinds = {"all": background | True, "with a background": background, "without backgrounds": ~background}
            read = kinds[pairs]
            difference = pd.Series(values[:, 0] - (values[:, 1] if second else 0))
            rows.append(difference[read].groupby(self.arrays[f"{name}|scene"][read]).mean())
        return crossed_interval(pd.concat(rows, axis=1).to_numpy().T)

    def natural_seeds(self) -> list[str]:
        """Names of the training seeds of ``natural``, for :meth:`pairs`."""
        return [k.removesuffix("|numbers") for k in self.arrays if "natural-seed" in k and k.endswith("|numbers")]

    arm, natural_arms = results_of, natural_seeds  # their old names

    def table(self, model: str, criterion: str = "grounding") -> pd.DataFrame:
        """A row for each method, by its name: of every column of :func:`.summary.table` the estimate, its
        ``low`` and ``high``, ``n`` and Holm's p. ``criterion``: by what a ranking's n was chosen on validation,
        "grounding" as registered, or "rank".
        """
        rows = [_flat(row) for row in self.results_of(model)["table"] if row["chosen by"] in (criterion, None)]
        best = self.tables["chosen"][criterion]["random gates"]
        for row in rows:
            if row["method"] == "random gates":
                row["method"] += f", n = {row['n']}"
        table = pd.DataFrame(rows).set_index("method")
        return pd.concat([table, table.loc[[f"random gates, n = {best}"]].rename(lambda name: "random gates, best n")])

    def measures(self, model: str) -> pd.DataFrame:
        """Means of the four classical measures for each map (:data:`qgc.measure.MEASURES`), and as "… rescaled"."""
        return pd.DataFrame(self.results_of(model)["measures"]).set_index("map")

    def by_seed(self, model: str = "natural") -> pd.DataFrame:
        """:meth:`table`'s numbers for each training run by itself: rows (method, seed), at the registered n."""
        rows = [_flat(row) for row in self.results_of(model)["by seed"] if row["chosen by"] in ("grounding", None)]
        return pd.DataFrame(rows).set_index(["method", "seed"])

    def against(self, model: str) -> pd.DataFrame:
        """Some methods' accuracy minus others', pair by pair: rows (first, second), "grounding" and "rank"."""
        return pd.DataFrame(map(_flat, self.results_of(model)["against"])).set_index(["first", "second"])

    @cached_property
    def gates(self) -> list[str]:
        """Names of the rankings, the paper's first."""
        return self.tables["gates"]

    @cached_property
    def chosen(self) -> dict[str, int]:
        """For each ranking the n that the validation scenes chose by contrastive grounding, as registered."""
        return {k: n for k, n in self.tables["chosen"]["grounding"].items() if k in self.gates}

    @cached_property
    def chosen_by_rank(self) -> dict[str, int]:
        """The same by rank grounding, on the protocol's grid of n."""
        return {k: n for k, n in self.tables["chosen"]["rank"].items() if k in self.gates}

    def curve(self, model: str, gate: str) -> np.ndarray:
        """Contrastive grounding accuracy for n = 1 … J: (3, J), the mean and the ends of its 95 % interval."""
        return self._of_model(model, "curves")[self.gates.index(gate)].astype(float)

    def rank_curve(self, model: str, gate: str, measure: str = "rank") -> np.ndarray:
        """Rank grounding accuracy ("object": object grounding) at the grid of n: (3, grid), as :meth:`curve`."""
        return self._of_model(model, f"{measure} curves")[self.gates.index(gate)].astype(float)

    def random(self, model: str, measure: str = "") -> tuple[np.ndarray, np.ndarray]:
        """The protocol's grid of n, and there the 5th, 50th and 95th percentile of random gates' accuracy (3, grid).

        ``measure``: "" for contrastive grounding, "rank" or "object".
        """
        bands, J = (
            self._of_model(model, f"{measure} random".strip()).astype(float),
            self._of_model(model, "curves").shape[-1],
        )
        ns = np.minimum(GRID, J)
        return ns, bands

    def rows(self, experiment: str, model: str, name: str) -> pd.DataFrame:
        """A table of an experiment (:mod:`qgc.lab.experiments.runner`): ``rows("sanity", "natural", "controls")``."""
        return pd.DataFrame(self.tables[experiment][self._shipped(model)][name])

    def absent(self, model: str, pairs: str = "all") -> pd.DataFrame:
        """The control of absent objects (:func:`qgc.lab.experiments.absent.summarise`): a row for each map and the
        model itself, columns "own", "absent", "above", …, each with " low" and " high".

        ``natural`` stands for its five training seeds, "natural, shipped" for the shipped one; ``pairs`` is "all",
        "with a background" or "without backgrounds".
        """
        tables = self.tables["absent objects"]
        key = model if model in tables else self._shipped(model.removesuffix(", shipped"))
        rows: dict[str, dict[str, float]] = {}
        for row in tables[key]["absent objects"]:
            if row["pairs"] == pairs:
                ends = {f"{row['measure']}{end}": row[end.strip() or "estimate"] for end in ENDS}
                rows.setdefault(row["map"], {}).update(ends)
        return pd.DataFrame.from_dict(rows, orient="index", dtype=float)

    def nulls(self, model: str, reduction: str = "l2", what: str = "spearman") -> dict[str, np.ndarray]:
        """Null → one value a scene: Spearman's ρ of ∂A/∂q (or ``what="overlap"``, shared neurons among the top 10)."""
        head = f"nulls|{self._shipped(model)}|{what}/"
        found = {k.removeprefix(head): v.astype(float) for k, v in self.arrays.items() if k.startswith(head)}
        return {k.removesuffix(f"/{reduction}"): v for k, v in found.items() if k.endswith(f"/{reduction}")}

    def without_the_shared(self, model: str, reduction: str = "l2") -> dict[str, np.ndarray]:
        """``partial``, ``divided`` of :mod:`qgc.lab.experiments.nulls`, a value a scene; empty without closed form."""
        head = f"nulls|{self._shipped(model)}|"
        names = {"partial": f"{head}partial/{reduction}", "divided": f"{head}divided"}
        return {k: self.arrays[column].astype(float) for k, column in names.items() if column in self.arrays}

    def _of_model(self, model: str, what: str) -> np.ndarray:
        return self.arrays[f"{model}/natural|{what}" if model == "pythia" else f"{model}|{what}"]

    @staticmethod
    def _shipped(model: str) -> str:
        return "pythia/natural" if model == "pythia" else f"deeper-lstm/{model}"


def _flat(row: dict) -> dict:
    flat = {}
    for name, value in row.items():
        if isinstance(value, list):
            flat |= {f"{name}{end}": x for end, x in zip(ENDS, value, strict=True)}
        else:
            flat[name] = value
    return flat


def _table(rows: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame({k: dict(zip(("estimate", "low", "high"), v, strict=True)) for k, v in rows.items()}).T


def _digits(packed: np.ndarray, count: int) -> np.ndarray:
    # Verdicts (…, count) from their number in base 3; 255 is nan
    digits = packed[..., None] // 3 ** np.arange(count) % 3 / 2
    return np.where(packed[..., None] == 255, np.nan, digits)
