"""Measuring: accuracy beside its baseline, where a map lies, and how alike two questions are."""

from .accuracy import evaluate
from .localise import map_share, mass_on
from .similarity import Pair, cosine, same_answer_pairs, similarity, spearman

__all__ = ["Pair", "cosine", "evaluate", "map_share", "mass_on", "same_answer_pairs", "similarity", "spearman"]
