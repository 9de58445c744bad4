"""The question-blind checkpoint: the early moment at which the model answers without distinguishing objects."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import torch
from tqdm import tqdm

from ...errors import QGCError
from ...measure.same_answer import similarity
from ...models.deeper_lstm import DeeperLSTM
from .run import snapshots

BLIND = 0.985  # mean cosine of same-answer maps from which a checkpoint counts as question-blind
SCENES = 80  # validation scenes on which that is decided


def question_blind(model: DeeperLSTM, run: Path) -> tuple[int, list[dict]]:
    """Load the *last* question-blind snapshot of a run into ``model``; returns its step and the trace.

    Blind means: the mean cosine of the Grad-CAM maps of same-answer color questions on validation
    scenes is at least :data:`BLIND`. The rule looks at no gate and at no test scene.

    Raises
    ------
    QGCError
        If no snapshot of the run is blind.
    """
    trace, chosen = [], None
    for step, path in tqdm(snapshots(run), desc="snapshots"):
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
        model.eval()
        measured = similarity(model, SCENES, distribution="natural")
        row = {"step": step, "cosine": measured["cosine"], "spearman": measured["l2"], "scenes": measured["scenes"]}
        trace.append({k: v if isfinite(v) else None for k, v in row.items()})  # nan, of empty maps, which JSON lacks
        if measured["cosine"] >= BLIND:
            chosen = step, state
    if chosen is None:
        raise QGCError(f"no snapshot in {run} has a mean map cosine of {BLIND} or more; train with another seed")
    model.load_state_dict(chosen[1])
    return chosen[0], trace
