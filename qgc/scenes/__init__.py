"""Abstract scenes with exact ground truth (book/scenes-gallery.ipynb)."""

from .layout import DISTRIBUTIONS, sample
from .palette import COLOURS
from .questions import ANSWERS, Ask
from .scene import Scene, Thing

__all__ = ["ANSWERS", "COLOURS", "DISTRIBUTIONS", "Ask", "Scene", "Thing", "sample"]
