"""What the paper printed, as data: its 101 figures, its six tables and its claims.

    >>> from qgc import paper
    >>> paper.figure(37).caption
    'Top 25 for Q: What is the color of the sink? A: white'
    >>> paper.sweep_n("park")
    [200, 1024]
    >>> paper.table(1)["Figure 20"]["index"].tolist()[:3]
    [304, 281, 457]

The paper's images are not here, only its words and numbers. Here ``paper.figures`` is the filter
function; to reach the module of that name, write ``from qgc.paper.figure_list import Figure``.
"""

from qgc.paper.claims import CLAIMS, Claim
from qgc.paper.figure_list import FIGURES, SITUATIONS, Figure, figure, figures, sweep_n
from qgc.paper.tables import SPEARMAN, TOP10, Column, Spearman, Top10, table

__all__ = [
    "CLAIMS",
    "FIGURES",
    "SITUATIONS",
    "SPEARMAN",
    "TOP10",
    "Claim",
    "Column",
    "Figure",
    "Spearman",
    "Top10",
    "figure",
    "figures",
    "sweep_n",
    "table",
]
