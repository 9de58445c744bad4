"""The grounding benchmark: does a method's map follow the question? Frozen scenes, one scorer, a table for all.

>>> from qgc.lab import grounding
>>> cases = grounding.read_cases("natural", scenes=20)        # the frozen pairs of questions
>>> found = grounding.evaluate(my_method, cases, vqa)         # my_method(vqa, image, question, answer) -> (h, w)
>>> grounding.score(found)["RGA"]                             # mean, and its 95 % interval over scenes

``cases`` says what is asked, ``methods`` what a method is, ``shares`` scores it, ``controls`` has maps and models whose
values are known, ``submissions`` writes the data set and reads what others send, ``stored`` is the table.
"""

from .cases import Case as Case
from .cases import read_cases as read_cases
from .methods import METHODS as METHODS
from .methods import Method as Method
from .methods import contrast_of as contrast_of
from .methods import method as method
from .shares import Shares as Shares
from .shares import evaluate as evaluate
from .shares import score as score
