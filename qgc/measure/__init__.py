"""Measuring: accuracy beside its baseline, and how alike two questions' maps and sensitivities are."""

from .accuracy import evaluate
from .similarity import Pair, cosine, same_answer_pairs, similarity, spearman

__all__ = ["Pair", "cosine", "evaluate", "same_answer_pairs", "similarity", "spearman"]
