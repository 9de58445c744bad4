"""The numbers that several chapters tell, each from one place (book/results).

The landing page takes them from here, and tests/test_numbers_agree.py holds the text of all chapters to them.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import pandas as pd

from qgc.measure.rankings import COMMON
from qgc.measure.stored import MODELS, Stored

PAPER = "∂A/∂q, l2"


class Quantity(NamedTuple):
    """An estimate with the two ends of its 95 % interval, nan where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


METHODS = {
    "Grad-CAM": "Grad-CAM", "gate": PAPER, "gate of the other question": "∂A/∂q of the other question",
    "gate of no question": "∂A/∂q of no question", "question contrast": "question contrast",
    "L1 contrast": "question contrast, L1", "HiResCAM": "HiResCAM", "common left out": COMMON,
    "200 random": "random gates, n = 200",
}  # fmt: skip
"""What prose calls a method → its row in :meth:`qgc.measure.stored.Stored.table`."""
MEASURES = {
    "": "rank", ", without backgrounds": "rank without backgrounds", ", surrogate": "rank surrogate",
    ", CGA": "grounding", ", CGA of the surrogate": "grounding surrogate", ", margin": "margin", ", OGA": "object",
}  # fmt: skip
"""What follows the method in a quantity's name → its column there."""


def quantities(found: Stored) -> dict[str, Quantity]:
    """Every number of :func:`of_model` as "model: name"."""
    return {f"{m}: {name}": quantity for m in MODELS for name, quantity in of_model(found, m).items()}


def of_model(found: Stored, model: str) -> dict[str, Quantity]:
    """ "method, measure" → its value on the test scenes; without a measure it is rank grounding.

    Gates are at the registered n or at the paper's, "n = 25"; "random gates" are of the gate's size. "the model" is the
    verdict on the pairs that are sure (:mod:`qgc.measure.faithfulness`), "effect of the model" Yule's Y over all pairs.
    """
    table, at_25 = found.table(model), list(found.tables["grid"]).index(25)
    known = {
        f"{name}{measure}": _of(table.loc[METHODS[name]], MEASURES[measure])
        for name, measure in product(METHODS, MEASURES)
        if METHODS[name] in table.index
    }
    gate = table.loc[PAPER]
    itself = found.rows("faithfulness", model, "model").query("pairs == 'all'").set_index("measure")
    return known | {
        "random gates": Quantity(gate["rank"] - gate["rank minus random"]),
        "random gates, CGA": Quantity(gate["grounding"] - gate["minus random"]),
        "random gates, without backgrounds": known["200 random, without backgrounds"],
        "random gates, n = 25": Quantity(float(found.random(model, "rank")[1][1, at_25])),
        "gate, n = 25": Quantity(*found.rank_curve(model, PAPER)[:, at_25].tolist()),
        "gate, n = 25, without backgrounds": _compared(found, model, (PAPER, 25), pairs="without backgrounds"),
        "gate, n = 25, CGA": Quantity(*found.curve(model, PAPER)[:, 24].tolist()),
        "cosine": Quantity(*found.arm(model)["cosine"]),
        "the model": Quantity(*itself.loc["verdict", ["estimate", "low", "high"]]),
        "effect of the model": Quantity(*itself.loc["effect size", ["estimate", "low", "high"]]),
    }


def _compared(found: Stored, model: str, *maps, pairs: str) -> Quantity:
    interval = found.compare(model, *maps, pairs=pairs)
    return Quantity(interval.estimate, interval.low, interval.high)


def _of(row: pd.Series, column: str) -> Quantity:
    return Quantity(*row[[column, f"{column} low", f"{column} high"]].astype(float))
