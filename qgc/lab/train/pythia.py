"""Where the training of the scene-sized Pythia begins, and its answer scores of many questions about many scenes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...models.pythia import Pythia, WeightNorm
from .vqa import start_lstm


@torch.no_grad()
def start(model: Pythia) -> None:
    """Every layer keeps the size of its signal; the original's start takes several times as long.

    Embedding normal, LSTM orthogonal with an open forget gate, the rest after Glorot and Bengio (2010); the length
    g of a weight-normalised matrix is that of its start.
    """
    encoder = model.question_embedding_models[0]
    encoder.embedding.weight.normal_()
    start_lstm(encoder.LSTM)
    for layer in (m for name, m in model.named_modules() if not name.startswith("cnn")):
        if isinstance(layer, nn.Linear | nn.Conv1d | WeightNorm):
            weight = layer.weight_v if isinstance(layer, WeightNorm) else layer.weight
            nn.init.xavier_uniform_(weight)
            layer.bias.zero_()
        if isinstance(layer, WeightNorm):
            layer.weight_g.copy_(layer.weight_v.norm())


def scores(model: Pythia, tokens: Tensor, lengths: Tensor, regions: Tensor, scene: Tensor, question: Tensor) -> Tensor:
    """Answer scores (N, answers): ``scene`` (N,), rising, and ``question`` (N,) index rows of regions and tokens."""
    needed, back = question.unique(return_inverse=True)
    q = model.encode_tokens(tokens[needed], lengths[needed.cpu()])[back]
    # the questions of one scene stand side by side, so that they share its half of the attention
    counts = torch.bincount(scene, minlength=len(regions))
    place = torch.arange(len(scene), device=scene.device) - (counts.cumsum(0) - counts)[scene]
    table = q.new_zeros(len(regions), int(counts.max()), q.shape[1]).index_put((scene, place), q)
    f = model.attended(regions / model.config.scale, table)[scene, place]
    u, v = model.attended_branches(f, q)
    return model.classify(u * v)
