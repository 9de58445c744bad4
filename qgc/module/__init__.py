"""Question-grounded maps of any PyTorch model that is asked about an image: ``qgc.explain_module`` (Eq. 1–2, §3.3).

The models of :mod:`qgc.models` say what they are made of; of any other, the places of its parts are named:

* :mod:`.places`: one tensor of a forward pass, by a module's dotted name; and from tokens to a grid of cells
* :mod:`.targets`: the score that is explained: an answer's logit, or the log-likelihood of its tokens
* :mod:`.forward`: a forward pass in which places are read and replaced, and what several of them share
* :mod:`.explanation`: ``qgc.explain_module``: maps, gates, the contrast of two questions, leak
* :mod:`.sensitivity`, :mod:`.blindness`: ∂A/∂q; and does the map depend on the question at all?
* :mod:`.adapters`: the places of some models of ``transformers``, as data
"""

from .adapters import ADAPTERS, Adapter
from .blindness import Blindness
from .explanation import ModuleExplanation, explain_module
from .places import Grid
from .sensitivity import Estimate
from .targets import Answer

__all__ = ["ADAPTERS", "Adapter", "Answer", "Blindness", "Estimate", "Grid", "ModuleExplanation", "explain_module"]
