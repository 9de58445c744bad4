"""Measuring: accuracy compared with its baseline, where a map lies, and how alike two questions are."""

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
from .pairs import (
    cga,
    margin,
    no_place_surrogate,
    object_grounding,
    object_verdicts,
    odds_grounding,
    rank_grounding,
    shares,
)
from .same_answer import similarity
from .similarity import Pair, cosine, same_answer_pairs, spearman

__all__ = [
    "MEASURES",
    "Pair",
    "ceiling",
    "cga",
    "chance",
    "contrastive_grounding",
    "cosine",
    "evaluate",
    "map_share",
    "iou",
    "margin",
    "no_place_surrogate",
    "object_grounding",
    "object_verdicts",
    "odds_grounding",
    "pointing_game",
    "rank_accuracy",
    "rank_grounding",
    "rescaled",
    "same_answer_pairs",
    "shares",
    "similarity",
    "spearman",
]
