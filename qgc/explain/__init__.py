"""Explaining answers: Grad-CAM, ∂A/∂q, the gate and the closed form behind them. Read the modules in this order:

* :mod:`.gradcam`: the map of an answer, and the gate, by automatic differentiation (paper Eq. 1–2, §3.3)
* :mod:`.sensitivity`: ∂A/∂q, what the paper ranks combine neurons by (§3.2)
* :mod:`.gates`: sets of combine neurons (§3.3)
* :mod:`.closed_form`: the same maps for all sets of a ranking at once, in closed form
* :mod:`.explanation`: ``qgc.explain``: all of this for a question and an answer
* :mod:`.rankings`: the paper's ranking of the combine neurons, and those to compare it with
* :mod:`.contrast`: what one question's map has more of than another's
* :mod:`.guided`: gradients with respect to the image: guided backpropagation, guided Grad-CAM (§3.1)
* :mod:`.words`: ∂A/∂w, the sensitivity to one word (§5)

What they need of a model is in :class:`qgc.models.VQA`. This package can be called: ``qgc.explain(...)`` is
:func:`.explanation.explain`, and ``help(qgc.explain)`` shows that function, too.
"""

import inspect
import sys
import types

from .contrast import contrast
from .explanation import EncodedImage, Explanation, View, explain, maps_of, normalised
from .gradcam import gradcam
from .guided import guided_backprop, guided_gradcam, input_gradient
from .rankings import RANKINGS, Ranking
from .sensitivity import REDUCTIONS
from .words import Words

__all__ = [
    "RANKINGS",
    "REDUCTIONS",
    "EncodedImage",
    "Explanation",
    "Ranking",
    "View",
    "Words",
    "contrast",
    "explain",
    "gradcam",
    "guided_backprop",
    "guided_gradcam",
    "input_gradient",
    "maps_of",
    "normalised",
]


# ``qgc.explain`` names both the function and the package that it is in. Importing anything of a package binds its name
# in the parent to the package, so a function ``qgc.explain`` would last until the first ``import qgc.explain.gates``.
# A package that can be called works in any order.
class _CallableModule(types.ModuleType):
    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(explain)

    def __call__(self, *args, **kwargs):
        return explain(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
__doc__ = f"``qgc.explain{inspect.signature(explain)}``\n\n{__doc__}\n{inspect.getdoc(explain)}"
