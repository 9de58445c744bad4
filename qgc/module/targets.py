"""Targets: the score y whose gradient is taken, of one answer (Eq. 1) or of the tokens that an answer is written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import AnswerError, QGCError, shown

SCORES = ("logits", "question_answering_score", "logits_per_image")  # where models of transformers have them


def scores_of(output: Any) -> Tensor:
    """The answer scores in what a model gives: itself, its first tensor, or what ``transformers`` calls them."""
    first = output[0] if isinstance(output, (tuple, list)) and output else None
    named = (output.get(k) if isinstance(output, Mapping) else getattr(output, k, None) for k in SCORES)
    found = next((value for value in (output, *named, first) if isinstance(value, Tensor)), None)
    if found is None:
        raise QGCError(f"there are no answer scores in the {type(output).__name__} that this model gives; name the "
                       "module that gives them (output='text_decoder'), or give a target that takes it")  # fmt: skip
    return found


@dataclass(frozen=True)
class Answer:
    """An answer by its tokens: Σ_t log p(token t | those before it), with the answer in the inputs (teacher forcing).

    ``tokens`` are those of its tokenizer, without special ones; ``start`` is where in the sequence of scores the first
    one is predicted, None finds them in the inputs.
    """

    tokens: Sequence[int]
    start: int | None = None

    def starts(self, inputs: Any, rows: int, length: int) -> list[int]:
        """Where the first token is predicted, in each row of scores (rows, length, words)."""
        ids = inputs.get("decoder_input_ids", inputs.get("input_ids")) if isinstance(inputs, Mapping) else None
        if self.start is not None:
            return [self.start] * rows
        if ids is None:
            raise AnswerError("the inputs have no input_ids to find the answer's tokens in; give Answer(tokens, start)")
        wanted, found = list(self.tokens), []
        for row in ids.tolist():
            at = [i for i in range(1, len(row)) if row[i : i + len(wanted)] == wanted]
            if not at:
                raise AnswerError(f"the tokens {shown(wanted)} are not in the inputs; append the answer's tokens to "
                                  "the question's (teacher forcing): generate has no gradient")  # fmt: skip
            found.append(at[-1] - 1 + length - len(row))  # some models put an image's tokens before all others
        return found

    def __call__(self, output: Any, inputs: Any) -> Tensor:
        """log p of each token, (rows, tokens)."""
        scores, n = scores_of(output), len(self.tokens)
        if scores.dim() != 3:
            raise AnswerError(f"scores {tuple(scores.shape)} are not those of tokens; give an answer's index as target")
        starts = self.starts(inputs, *scores.shape[:2])
        rows = torch.stack([row[at : at + n] for row, at in zip(scores, starts, strict=True)])
        log = rows.to(torch.promote_types(rows.dtype, torch.float32)).log_softmax(-1)
        wanted = torch.as_tensor(list(self.tokens), device=log.device)
        return log.gather(2, wanted.expand(len(log), n)[..., None])[..., 0]


def score(target: Any, output: Any, inputs: Any, model: nn.Module) -> tuple[Tensor, Any]:
    """What is explained, (rows, tokens of the answer or 1), and ``target``, with indices in place of None and labels.

    ``target``: None (the highest score), an index or a label of the model's ``config.label2id``, one for each row, an
    :class:`Answer`, or a function of the model's output that gives (rows,) scores.
    """
    if isinstance(target, Answer):
        return target(output, inputs), target
    if callable(target):
        y = target(output)
        if not isinstance(y, Tensor) or y.dim() > 1:
            raise AnswerError("a target that is a function must give a tensor of one score for each row, (rows,)")
        return y.reshape(-1, 1), target
    scores = scores_of(output)
    if scores.dim() != 2:
        raise AnswerError(f"the scores {tuple(scores.shape)} are those of tokens; give a function as target, or "
                          "qgc.module.Answer(tokens), with the answer's tokens in the inputs")  # fmt: skip
    several = isinstance(target, (list, tuple)) or (isinstance(target, Tensor) and target.dim() == 1)
    given = scores.argmax(1).tolist() if target is None else target if several else [target] * len(scores)
    if len(given) != len(scores):
        raise AnswerError(f"{len(given)} targets for {len(scores)} rows; give one for each, or one for all")
    index = [_index(one, scores.shape[1], model) for one in given]
    return scores.gather(1, torch.tensor(index, device=scores.device)[:, None]), index


def _index(target: Any, count: int, model: nn.Module) -> int:
    if isinstance(target, str):
        known = getattr(getattr(model, "config", None), "label2id", None) or {}
        labels = {str(label).lower(): index for label, index in known.items()}
        if target.lower() not in labels:
            raise AnswerError(f"{shown(target)} is not a label in this model's config.label2id; give the index")
        target = labels[target.lower()]
    try:
        index = int(target)
    except (TypeError, ValueError):
        index = -1
    if not 0 <= index < count:
        raise AnswerError(f"{shown(target)} is not an answer; give an index below {count}, a label, a function of the "
                          "model's output, or qgc.module.Answer(tokens) for a model that writes")  # fmt: skip
    return index
