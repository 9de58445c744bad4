"""Abstract scenes with exact ground truth (book/scenes-gallery.ipynb)."""

from .layout import sample
from .questions import ANSWERS, Ask
from .scene import Scene, Thing
from .splits import DISTRIBUTIONS, FIRST_SEED
from .vocabulary import COLOURS

__all__ = ["ANSWERS", "COLOURS", "DISTRIBUTIONS", "FIRST_SEED", "Ask", "Scene", "Thing", "sample"]
