"""The numbers that the book's first page and its summary tell: how often maps follow their questions, by protocol 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from ..protocol import crossed
from . import Model, hypotheses
from .results import Measured, difference

ROWS = {
    "one map for both questions": None,
    "25 random neurons": "random gate, n = 25",
    "the paper's gate, n = 25": "gate, n = 25",
    "the wrong question's gate": "other question's gate, n = 25",
    "Grad-CAM": "Grad-CAM",
    "question contrast, L1": "contrast, L1",
    "size of the gradient": "|input × gradient|",
    "the model itself": "the model itself",
}
"""What a method is called there → its name in :func:`~.results.overview`; None is chance."""
MODELS = {
    "Deeper LSTM (unbound color)": "natural-unbound",
    "Deeper LSTM (bound color)": "natural-bound",
    "Pythia": "pythia/natural",
}
"""What a model is called there → its cell, of which there are five seeds, or its name."""


def table(measured: Mapping[str, Measured]) -> pd.DataFrame:
    """``rank``, ``rank low`` and ``rank high`` by (model, method), at the end of training."""
    rows = {}
    for label, cell in MODELS.items():
        last = [m for m in hypotheses.last_of("natural") if m.cell == cell] or [measured[cell].model]
        for row, column in ROWS.items():
            rows[label, row] = _accuracy(measured, column, last)
    return pd.DataFrame(rows, index=["rank", "rank low", "rank high"]).T


def _accuracy(
    measured: Mapping[str, Measured], column: str | None, models: Sequence[Model]
) -> tuple[float, float, float]:
    if column is None:
        return (0.5,) * 3
    if column == "the model itself":
        own = pd.concat({m.name: measured[m.name].effects["verdict"] for m in models}, axis=1)
        found = crossed.crossed_mean(own.to_numpy().T)
    else:
        found = difference(measured, column, None, models)
    interval = found.interval(bounds=(0, 1))
    return interval.estimate, interval.low, interval.high
