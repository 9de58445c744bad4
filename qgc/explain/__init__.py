"""Explaining answers: Grad-CAM, ∂A/∂q, the gate and the engine behind them.

``qgc.explain`` is this room and, since importing it puts the room where the function was, also the
function: calling the module calls :func:`explain`, and ``help(qgc.explain)`` shows it.
"""

import inspect
import sys
import types

from .contrast import contrast
from .explanation import Explanation, View, explain, maps_of, normalised
from .gradcam import gradcam
from .guided import guided_backprop, guided_gradcam, input_gradient
from .rankings import RANKINGS, Ranking
from .sensitivity import REDUCTIONS
from .words import Words

__all__ = [
    "RANKINGS",
    "REDUCTIONS",
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


class _CallableRoom(types.ModuleType):
    __signature__ = inspect.signature(explain)

    def __call__(self, *args, **kwargs):
        return explain(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableRoom
__doc__ = f"``qgc.explain{_CallableRoom.__signature__}``\n\n{inspect.getdoc(explain)}"
