"""``{qgc-results}``: how often maps follow their questions, a bar for each method, for one model at a time.

A table with bars, and buttons that choose the model: no script, so that it is read aloud, printed and used from the
keyboard as any form is. Its numbers are protocol 2's, of the test scenes.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

import pandas as pd
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from qgc.lab.protocol import crossed
from qgc.lab.protocol2 import hypotheses, results

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
"""What a bar is called → its column in :func:`qgc.lab.protocol2.results.overview`; None is chance."""
MODELS = {
    "Deeper LSTM, answers by priors": "natural-unbound",
    "Deeper LSTM, binds color to object": "natural-bound",
    "Pythia": "pythia/natural",
}
"""What a button is called → the cell, or the model."""


def table(measured: Mapping[str, results.Measured]) -> pd.DataFrame:
    """Estimate, low and high of each of :data:`ROWS` for each of :data:`MODELS`: five seeds where there are some."""
    rows = {}
    for label, cell in MODELS.items():
        last = [m for m in hypotheses.last_of("natural") if m.cell == cell] or [measured[cell].model]
        for row, column in ROWS.items():
            rows[label, row] = _accuracy(measured, column, last)
    return pd.DataFrame(rows, index=["estimate", "low", "high"]).T


def _accuracy(measured: Mapping[str, results.Measured], column: str | None, models: list) -> tuple[float, float, float]:
    if column is None:
        return (0.5,) * 3
    if column == "the model itself":
        own = pd.concat({m.name: measured[m.name].effects["verdict"] for m in models}, axis=1)
        found = crossed.crossed_mean(own.to_numpy().T)
    else:
        found = results.difference(measured, column, None, models)
    interval = found.interval(bounds=(0, 1))
    return interval.estimate, interval.low, interval.high


class Results(SphinxDirective):
    """The chart."""

    def run(self) -> list[nodes.Node]:
        """Return it as HTML; on paper, all models below each other."""
        return [nodes.raw("", drawn(table(results.read("test"))), format="html")]


def drawn(found: pd.DataFrame) -> str:
    """The chart's HTML."""
    labels = list(dict.fromkeys(found.index.get_level_values(0)))
    buttons = "".join(
        f'<label><input type="radio" name="qgc-results"{" checked" * (i == 0)}> {html.escape(label)}</label>'
        for i, label in enumerate(labels)
    )
    tables = "".join(_bars(label, found.loc[label]) for label in labels)
    return (
        '<div class="qgc-results"><fieldset><legend>In how many of 100 pairs do the maps follow their questions?'
        f"</legend>{buttons}</fieldset>{tables}"
        "<p>Vertical line: chance. Thin lines: 95&nbsp;% intervals. Size of the gradient: |input × gradient|.</p></div>"
    )


def _bars(label: str, rows: pd.DataFrame) -> str:
    lines = []
    for name, (estimate, low, high) in rows.iterrows():
        ends = f" [{100 * low:.0f}, {100 * high:.0f}]" if not math.isnan(low) and low < high else ""
        style = f"--at:{100 * estimate:.1f}%;--low:{100 * low:.1f}%;--high:{100 * high:.1f}%"
        kind = {"one map for both questions": "chance", "the model itself, asked without a map": "model"}.get(
            name, "map"
        )
        lines.append(
            f'<tr class="{kind}"><th scope="row">{html.escape(name)}</th>'
            f'<td style="{style}"><span>{100 * estimate:.0f}</span><span class="qgc-ends">{ends}</span></td></tr>'
        )
    return f"<table><caption>{html.escape(label)}</caption><tbody>{''.join(lines)}</tbody></table>"


def setup(app) -> None:
    """Add the directive."""
    app.add_directive("qgc-results", Results)
