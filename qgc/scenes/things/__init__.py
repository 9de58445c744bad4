"""Every kind of object that a scene can hold, drawn in centimeters, and the places behind them."""

from . import animals, home, outdoors, party, people
from .places import PLACES, Place
from .registry import KINDS, Kind, thing

__all__ = ["KINDS", "PLACES", "Kind", "Place", "animals", "home", "outdoors", "party", "people", "thing"]
