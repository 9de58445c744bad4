"""Predict, then reveal: exercises on the static pages in which a reader commits to a guess before seeing the truth.

>>> from qgc.show.predict import write
>>> write("site/predict")     # or, for a whole site and its pages: python -m qgc.show.predict site

A page has an exercise where it holds ``<div class="qgc-predict" data-exercise="NAME">``; ``export`` knows the names.
"""

from .export import EXERCISES, load_scripts, write

__all__ = ["EXERCISES", "load_scripts", "write"]
