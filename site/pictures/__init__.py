"""Pictures that explain, to be stepped through or brushed on the static pages, with no kernel and no network.

`python site pictures SITE` writes them into a built site and loads them on its pages.

A page has a picture where it holds ``<div class="qgc-pictures" data-picture="NAME">``; ``export`` knows the names. What
is inside that element is for readers without JavaScript.
"""

from .export import PICTURES, write

__all__ = ["PICTURES", "write"]
