"""``{qgc-results}``: how often maps follow their questions, a bar for each method, for one model at a time.

A table with bars, and buttons that choose the model: no script, so that it is read aloud, printed and used from the
keyboard as any form is. Its numbers are protocol 2's, of the test scenes.
"""

from __future__ import annotations

import html
import math

import pandas as pd
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from qgc.lab.protocol2 import headline, results


class Results(SphinxDirective):
    """The chart."""

    def run(self) -> list[nodes.Node]:
        """Return it as HTML; on paper, all models below each other."""
        return [nodes.raw("", drawn(headline.table(results.read("test"))), format="html")]


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
        kind = {None: "chance", "the model itself": "model"}.get(headline.ROWS[name], "map")
        lines.append(
            f'<tr class="{kind}"><th scope="row">{html.escape(name)}</th>'
            f'<td style="{style}"><span>{100 * estimate:.0f}</span><span class="qgc-ends">{ends}</span></td></tr>'
        )
    return f"<table><caption>{html.escape(label)}</caption><tbody>{''.join(lines)}</tbody></table>"


def setup(app) -> None:
    """Add the directive."""
    app.add_directive("qgc-results", Results)
