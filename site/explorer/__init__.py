"""The explorer of the static pages: every n, every ranking, with no kernel and no network (book/explorer.md).

`python site explorer FOLDER` writes it into a folder beside the built pages.

A gated map is a sum of one small map per neuron (:mod:`.closed_form`), Σ g_j P_j over the first n of a ranking.
So a page needs no precomputed maps: ``export`` writes P, g's two factors and ∂A/∂q, ``parts.packing`` says how these
numbers are written down, and ``explorer.js`` ranks and adds up in the reader's browser.
"""

from .export import write

__all__ = ["write"]
