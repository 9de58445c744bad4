"""One look for the whole book: fonts, colors and the figure class that carries them.

Every figure of :mod:`qgc.show.plots` is a :class:`Sheet`: it is drawn in this style wherever it is
shown or saved, leaves matplotlib's global settings and pyplot's list of open figures alone, and
shows itself once at the end of a notebook cell.
"""

from __future__ import annotations

import io

import matplotlib as mpl
import matplotlib.style
import numpy as np
from cycler import cycler
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from .arguments import checked

# Okabe and Ito's palette: eight colors that people with any of the usual color blindnesses tell apart.
PALETTE = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "pink": "#CC79A7",
}
# In the order in which lines, masks and questions take them; yellow is too pale for a line on white.
CYCLE = tuple(PALETTE[k] for k in ("blue", "vermilion", "green", "pink", "orange", "sky", "black"))
# Outlines are drawn over the heat map, so they take the colors that it has not: question 1, question 2, …
OUTLINES = tuple(PALETTE[k] for k in ("blue", "green", "sky", "black"))
INK, MUTED, FAINT = "#1A1A1A", "#5F5F5F", "#C9C9C9"

PAGE = 7.0  # inches: the widest a figure gets, so that 10 points are still read on a phone
SMALL = 9.5  # points: the smallest text of any figure

STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same letters
    "font.size": 10.5,
    "mathtext.fontset": "dejavusans",
    "text.color": INK,
    "axes.titlesize": 11,
    "axes.labelsize": 10.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=CYCLE),
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 2.0,
    "figure.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 130,  # a figure as wide as the page has 910 pixels; more made a third of a clone
    "savefig.facecolor": "white",
    "image.interpolation": "antialiased",
    "svg.hashsalt": "qgc",
}


def _heat() -> np.ndarray:
    # White, then "inferno" from its light end without the darkest quarter, where it turns black.
    share = np.linspace(0, 1, 256)
    opacity = 0.94 * np.sqrt(share) * np.clip(share / 0.06, 0, 1)
    return 1 - opacity[:, None] * (1 - mpl.colormaps["inferno"](0.93 - 0.68 * share)[:, :3])


HEAT = _heat()
"""Tint (256, 3) of a map's share of its maximum: a pale image is multiplied by it, as by colored glass.

Glass only darkens, so more heat is darker on every ground, in grey and to the color-blind as well;
paint would make a weak heat lighter than a dark ground.
"""

PAPER = 0.9  # grey of an average pale image: what the color bar is drawn on
HEAT_BAR = ListedColormap(HEAT * PAPER, "qgc-heat")
"""The same as it looks on a pale image, for color bars."""


def _in_style():
    """The book's style over matplotlib's defaults: a user's own matplotlibrc could turn a map upside down."""
    return mpl.style.context(["default", STYLE])


class Sheet(Figure):
    """A matplotlib figure in the book's style, laid out so that nothing overlaps."""

    def __init__(self, width: float = PAGE, height: float = 4.0):
        with _in_style():
            super().__init__(figsize=(width, height), layout="constrained")
            self.get_layout_engine().set(w_pad=0.06, h_pad=0.07)

    def draw(self, renderer) -> None:
        """As matplotlib's, in the book's style."""
        with _in_style():  # ticks are made while drawing
            super().draw(renderer)

    def savefig(self, *args, **kwargs) -> None:
        """As matplotlib's, in the book's style."""
        with _in_style():
            super().savefig(*args, **kwargs)

    def __repr__(self) -> str:
        return f'{super().__repr__()}: .savefig("figure.png") saves it'  # all that an interpreter without images can

    def _repr_pretty_(self, printer, cycle: bool) -> None:
        printer.text(super().__repr__())  # IPython, which shows the image

    def _repr_png_(self) -> bytes:
        with io.BytesIO() as file:
            self.savefig(file, format="png", dpi=STYLE["savefig.dpi"])
            return file.getvalue()


def styled(function):
    """Decorator: what the function draws is drawn in the book's style; its arguments are :func:`checked`."""
    return checked(_in_style()(function))
