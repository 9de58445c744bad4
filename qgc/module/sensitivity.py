"""∂A/∂q of any model (paper §3.2): exact where A is pooled, otherwise estimated from random directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import GateError, QGCError
from .forward import Kept, held
from .targets import Answer

STEP = {torch.float64: 1e-6, torch.float32: 1e-3}  # of central differences, in units of q's root mean square


class Estimate(NamedTuple):
    """A value (rows, J) and its standard error, which is 0 where the value is exact."""

    value: Tensor
    error: Tensor


def sensitivity(e, directions: int | None = None, seed: int = 0) -> Estimate:
    """‖∂A_j/∂q‖ (rows, J) of an explanation ``e``: see :meth:`~.explanation.ModuleExplanation.sensitivity`."""
    place = e.question
    if directions is not None and not (isinstance(directions, int) and directions > 1):
        raise GateError("directions must be a whole number, 2 at least; each costs two forward passes")
    pooled = e.A.numel() == e.A.shape[0] * e.A.shape[e.axis]
    found = _exact(e) if directions is None and pooled else _estimated(e, directions or 64, seed)
    if not found.value.any():
        raise QGCError(f"{' * '.join(map(str, e.parts.fusion))} does not change with {place}: they do not meet "
                       "there (CLIP's projections never do); give a place behind where both meet, or a product, "
                       "'text_projection * visual_projection'")  # fmt: skip
    return found


def _pass(e, change, until: int) -> tuple[Tensor, Kept]:
    # A as (rows, J, positions), where the words q have been changed
    kept = Kept(until)
    places = list(enumerate(e.parts.fusion))
    e.parts.run(e.inputs, [(e.question, change(kept)), *((p, kept.kept(i)) for i, p in places)], kept)
    sides = [kept.get(i, p) for i, p in places]
    A = torch.stack(sides).prod(0) if len(sides) > 1 else sides[0]
    return A.movedim(e.axis, 1).flatten(2) if A.dim() > 2 else A[..., None], kept


def _exact(e) -> Estimate:
    no_cudnn = torch.backends.cudnn.flags(enabled=False)  # its LSTM has no gradient in evaluation mode
    with held(e.parts.model), no_cudnn:
        A, kept = _pass(e, lambda kept: kept.leaf("q"), len(e.parts.fusion) + 1)
        A, q = A[..., 0], kept.get("q", e.question)
        if not A.requires_grad:
            return Estimate(torch.zeros_like(A), torch.zeros_like(A))
        rows, J = A.shape
        if rows > 1 and len(q) != rows:
            raise QGCError(f"q has {len(q)} rows and A has {rows}; explain one row at a time")
        summed, words, squares = A.sum(0), asked_words(e, q), []  # rows do not change each other
        for select in torch.eye(J, dtype=A.dtype, device=A.device).split(64):
            try:
                (d,) = torch.autograd.grad(summed, q, select, retain_graph=True, is_grads_batched=True)
            except RuntimeError:  # an operation that cannot be batched
                d = torch.stack([torch.autograd.grad(summed, q, one, retain_graph=True)[0] for one in select])
            squares.append((d * words).reshape(len(d), rows, -1).square().sum(2))
    value = torch.cat(squares).mT.sqrt()
    return Estimate(value, torch.zeros_like(value))


@torch.no_grad()
def _estimated(e, directions: int, seed: int) -> Estimate:
    # E (∂A_j/∂q · r)² = ‖∂A_j/∂q‖² for r of independent entries with variance 1
    count = len(e.parts.fusion)
    with held(e.parts.model), torch.no_grad():
        kept = Kept(until=1)
        e.parts.run(e.inputs, [(e.question, kept.kept("q"))], kept)
        q = kept.get("q", e.question)
        if q.dtype not in STEP:
            raise QGCError(f"differences of numbers in {str(q.dtype).removeprefix('torch.')} are too coarse to rank "
                           "neurons by; load the model in float32: model.float()")  # fmt: skip
        words, rng, samples = asked_words(e, q), torch.Generator().manual_seed(seed), []
        step = STEP[q.dtype] * float(q.square().mean().sqrt())
        for _ in range(directions):
            r = step * torch.randn(q.shape, generator=rng, dtype=q.dtype).to(q) * words
            up, down = (_pass(e, lambda kept, at=at: lambda t: at, count)[0] for at in (q + r, q - r))
            samples.append(((up - down) / (2 * step)).square().sum(2))
    value = torch.stack(samples).mean(0).sqrt()
    error = torch.stack(samples).std(0) / directions**0.5
    return Estimate(value, torch.where(value > 0, error / (2 * value), 0.0))


def asked_words(e, q: Tensor) -> Tensor:
    """What q is multiplied with: 1 where it has the question's words, 0 elsewhere."""
    if q.dim() < 3:
        return torch.ones_like(q)
    mask = _default_mask(e, q) if e.question_mask is None else torch.as_tensor(e.question_mask, device=q.device)
    if mask.shape[-1] != q.shape[1]:
        raise QGCError(f"question_mask says which of {mask.shape[-1]} words are meant, but q has {q.shape[1]}")
    return mask.to(q.dtype).view(-1, q.shape[1], 1)


def _default_mask(e, q: Tensor) -> Tensor:
    # all but padding, an image's and the answer's tokens
    ids = e.inputs.get("input_ids") if isinstance(e.inputs, Mapping) else None
    if ids is None or ids.shape[1] != q.shape[1]:
        return torch.ones(1, q.shape[1], device=q.device)
    mask = e.inputs.get("attention_mask", torch.ones_like(ids)).bool()
    config = getattr(e.parts.model, "config", None)
    for name in ("image_token_id", "image_token_index"):
        if getattr(config, name, None) is not None:
            mask = mask & (ids != getattr(config, name))
    if isinstance(e.target, Answer) and "decoder_input_ids" not in e.inputs:
        since = torch.tensor(e.target.starts(e.inputs, *ids.shape), device=ids.device)[:, None] + 1
        at = torch.arange(ids.shape[1], device=ids.device)
        mask = mask & ((at < since) | (at >= since + len(e.target.tokens)))
    return mask
