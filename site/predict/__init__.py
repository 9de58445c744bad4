"""Predict, then reveal: exercises on the static pages in which a reader commits to a guess before seeing the truth.

`python site predict SITE` writes them into a built site and loads them on its pages.

A page has an exercise where it holds ``<div class="qgc-predict" data-exercise="NAME">``; ``export`` knows the names.
"""

from .export import EXERCISES, write

__all__ = ["EXERCISES", "write"]
