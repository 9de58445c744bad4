"""Measuring: accuracy beside its baseline, where a map lies, and how alike two questions are."""

from .accuracy import evaluate
from .localise import (
    MEASURES,
    ceiling,
    chance,
    contrastive_grounding,
    iou,
    map_share,
    pointing_game,
    rank_accuracy,
    rescaled,
)
from .similarity import Pair, cosine, same_answer_pairs, similarity, spearman

__all__ = [
    "MEASURES",
    "Pair",
    "ceiling",
    "chance",
    "contrastive_grounding",
    "cosine",
    "evaluate",
    "map_share",
    "iou",
    "pointing_game",
    "rank_accuracy",
    "rescaled",
    "same_answer_pairs",
    "similarity",
    "spearman",
]
