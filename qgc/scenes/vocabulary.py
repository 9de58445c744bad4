"""The words of the scenes: colors, what people do and where they look, and what is counted as what."""

from __future__ import annotations

# Berlin and Kay's basic color terms. The order of each tuple here is part of what a seed draws: it stays.
COLOURS = ("black", "white", "gray", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown")
ACTIVITIES = ("standing", "sitting", "skiing", "skateboarding", "reading", "waving", "jumping", "eating", "kneeling")
GAZES = ("left", "right", "up", "down", "at camera")
PEOPLE = ("man", "woman")
ANIMALS = ("cat", "dog", "bird", "horse", "rabbit")
SEATS = ("folding chair", "armchair", "stool", "sofa")
BEDS = ("bed", "mattresses")
PARTS = {"man": "shirt", "woman": "top"}  # the part of a person that carries the object's color
