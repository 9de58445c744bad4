"""The numbers of the first protocol that several chapters tell, each from one place (book/results).

tests/test_numbers_agree.py holds the text of all chapters to them.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import pandas as pd

from qgc.lab.experiments.absent import MODEL
from qgc.lab.protocol.methods import COMMON
from qgc.lab.protocol.stored import MODELS, Stored

PAPER = "∂A/∂q, l2"


class Quantity(NamedTuple):
    """An estimate with the two ends of its 95 % interval, nan where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


METHODS = {
    "Grad-CAM": "Grad-CAM", "gate": PAPER, "gate of the other question": "∂A/∂q of the other question",
    "gate of no question": "∂A/∂q of no question", "question contrast": "question contrast",
    "L1 contrast": "question contrast, L1", "HiResCAM": "HiResCAM", "attention": "attention", "common left out": COMMON,
    "200 random": "random gates, n = 200",
}  # fmt: skip
"""What prose calls a method → its row in :meth:`qgc.lab.protocol.stored.Stored.table`."""
MEASURES = {
    "": "rank", ", without backgrounds": "rank without backgrounds", ", surrogate": "rank surrogate",
    ", CGA": "grounding", ", CGA of the surrogate": "grounding surrogate", ", margin": "margin", ", OGA": "object",
}  # fmt: skip
"""What follows the method in a quantity's name → its column there."""
ABSENT = {
    "Grad-CAM": "Grad-CAM", "gate": "gate n=269", "gate, n = 25": "gate n=25", "random gates": "random gate n=269",
    "random gates, n = 25": "random gate n=25", "gate of the other question": "other question's gate n=269",
    "question contrast": "question contrast", "L1 contrast": "question contrast, L1", "HiResCAM": "HiResCAM",
    "attention": "attention", "the model": MODEL, "the model, sure": f"{MODEL}, sure",
}  # fmt: skip
"""The same → its row in :meth:`qgc.lab.protocol.stored.Stored.absent`."""
CONTROL = {
    ", own": "own", ", absent": "absent", ", above absent": "above",
    ", above absent minus Grad-CAM": "above minus Grad-CAM's",
    ", above absent minus random": "above minus random gates'",
}  # fmt: skip


def quantities(stored: Stored) -> dict[str, Quantity]:
    """Every number of :func:`model_quantities` as "model: name"."""
    return {f"{m}: {name}": quantity for m in MODELS for name, quantity in model_quantities(stored, m).items()}


def model_quantities(stored: Stored, model: str) -> dict[str, Quantity]:
    """Of "method, measure" its value on the test scenes; without a measure it is rank grounding.

    Gates are at the registered n or at the paper's, "n = 25"; "random gates" are of the gate's size. "the model" is the
    verdict on the pairs that are sure (:mod:`.faithfulness`), "effect of the model" Yule's Y over all pairs;
    of `natural` both are of the shipped run. ", own", ", absent" and ", above absent" are of the control of absent
    objects, on its scenes and training runs; of the effect, of the shipped run.
    """
    table, at_25 = stored.table(model), list(stored.tables["grid"]).index(25)
    known = {
        f"{name}{measure}": _of(table.loc[METHODS[name]], MEASURES[measure])
        for name, measure in product(METHODS, MEASURES)
        if METHODS[name] in table.index
    }
    gate = table.loc[PAPER]
    itself = stored.rows("faithfulness", model, "model").set_index(["pairs", "measure"])[["estimate", "low", "high"]]
    # "all" has no suffix: its numbers are the ones that pages name most.
    for pairs in ("all", "without backgrounds", "with a background"):
        suffix = "" if pairs == "all" else f", {pairs}"
        control = stored.absent(model, pairs)
        known |= {
            f"{name}{measure}{suffix}": _of(control.loc[ABSENT[name]], CONTROL[measure])
            for name, measure in product(ABSENT, CONTROL)
            if ABSENT[name] in control.index
        }
        if pairs == "with a background":  # the main measurement of the models has no such rows
            continue
        known |= {
            f"the model{suffix}": Quantity(*itself.loc[(pairs, "verdict")]),
            f"the model, all pairs{suffix}": Quantity(*itself.loc[(pairs, "verdict of all")]),
            f"effect of the model{suffix}": Quantity(*itself.loc[(pairs, "effect size")]),
        }
    shipped = stored.absent("natural, shipped" if model == "natural" else model)
    return known | {
        "effect of the model, absent": _of(shipped.loc["effect size"], "absent"),
        "random gates": Quantity(gate["rank"] - gate["rank minus random"]),
        "random gates, CGA": Quantity(gate["grounding"] - gate["minus random"]),
        "gate, CGA minus random": _of(gate, "minus random"),
        "gate, CGA minus Grad-CAM": _of(gate, "minus Grad-CAM"),
        "random gates, without backgrounds": known["200 random, without backgrounds"],
        "random gates, n = 25": Quantity(float(stored.random(model, "rank")[1][1, at_25])),
        "gate, n = 25": Quantity(*stored.rank_curve(model, PAPER)[:, at_25].tolist()),
        "gate, n = 25, without backgrounds": _compared(stored, model, (PAPER, 25), pairs="without backgrounds"),
        "gate, n = 25, CGA": Quantity(*stored.curve(model, PAPER)[:, 24].tolist()),
        "cosine": Quantity(*stored.results_of(model)["cosine"]),
    }


def _compared(stored: Stored, model: str, *maps, pairs: str) -> Quantity:
    interval = stored.compare(model, *maps, pairs=pairs)
    return Quantity(interval.estimate, interval.low, interval.high)


def _of(row: pd.Series, column: str) -> Quantity:
    return Quantity(*row[[column, f"{column} low", f"{column} high"]].astype(float))
