"""Do the maps notice when the model is broken? Randomised question encoder, mismatched questions, randomised weights.

After Adebayo et al. (2018). What is left of rank grounding (:func:`qgc.measure.rank_grounding`) and of contrastive
grounding (:func:`qgc.measure.contrastive_grounding`) once no map can know which object is queried is what a measure
gives at random. It should be one half:

* ``other questions``: each of a pair's questions is replaced by a mismatched one, at random of all training questions,
  without replacement, with the answer and both objects kept. The two draws are exchangeable: drawing them in the other
  order is as likely and turns 1 into 0. So the expectation is *exactly* ½, for every map and every model.
* ``encoder``: the modules that turn words into q are re-initialised. New word vectors are drawn alike for all words, so
  for questions in one frame ("What color is the sink?", "What color is the cake?") the encoders that have both nouns
  exchanged are as likely, and again the expectation is exactly ½. Between frames ("is", "are"; one word or two) only
  grammar is left to tell them apart, and whether it does is measured, not assumed.
* ``encoder and Wq``: the question branch's own layer is re-initialised as well.

That is an expectation *over encoders*. One random encoder, used for every scene, is a fixed and arbitrary reading of
every word: "wall" against "sink" then comes out the same way in all bathrooms, and the mean over scenes stays off ½
however many there are. So each scene draws encoders of its own, ``draws`` of them; nothing is mirrored or averaged
with its opposite, which would give ½ whatever the maps are.

``cascade``: layers are re-initialised one after the other from the output side down, and stay so: Wo; Wq, LSTM and
embedding; Wi; fc7; fc6; the blocks of convolutions. ½ is expected there for the question contrast from the first step
on (a fresh Wo is as likely with its sign turned round, which exchanges the two maps), for all maps from the second:
again over seeds, of which a cascade has few, so read its curve for where the map is lost, not for its third decimal.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ...errors import QGCError
from ...explain import EncodedImage, explain
from ...measure.localise import contrastive_grounding, mass_shares, mass_weights
from ...measure.pairs import rank_grounding
from ...measure.similarity import Pair, cosine, same_answer_pairs
from ...measure.stats import intervals
from ...scenes import Scene
from .interventions import CONTRAST, NS, map_names, signed_pair_maps
from .nulls import QuestionPool

CONTROLS = ("none", "other questions", "encoder", "encoder and Wq")
HALF = ("other questions", "encoder", "encoder and Wq")
"""Controls under which rank grounding and contrastive grounding are one half in expectation."""


# -- models re-initialised in part -----------------------------------------------------------------------
def encoder_parts(vqa) -> list[str]:
    """Names of the modules with weights of their own that ``encode`` goes through: the question encoder."""
    return _called_by(vqa, lambda: vqa.encode(vqa.vocabulary.words[0]))


def question_branch_parts(vqa) -> list[str]:
    """Those that the question branch u goes through after q; empty where it is not all that carries the question."""
    q = vqa.encode(vqa.vocabulary.words[0])
    return _called_by(vqa, lambda: vqa.question_branch(q))


def _called_by(vqa, function: Callable) -> list[str]:
    called: list[str] = []
    hooks = []
    for name, module in vqa.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            hooks.append(module.register_forward_hook(lambda *_, name=name: called.append(name)))
    try:
        with torch.no_grad():
            function()
    finally:
        for hook in hooks:
            hook.remove()
    return list(dict.fromkeys(called))


def cascade_parts(vqa) -> list[tuple[str, list[str]]]:
    """Steps of the cascade from the output side down, each with its modules; empty where a model has no ``layers``."""
    return vqa.layers() or []


def randomised(vqa, parts: Sequence[str], seed: int = 0):
    """A copy of a model with the named modules re-initialised (Adebayo et al. 2018); the given one keeps every weight.

    Modules are drawn as PyTorch starts them (``reset_parameters``); one that cannot has each of its tensors redrawn
    from a Gaussian of the tensor's own mean and standard deviation. What is not re-initialised is shared, not copied.

    Raises
    ------
    QGCError
        If the model has no such module, or it has no weights of its own.
    """
    own = {name: [id(p) for p in module.parameters(recurse=False)] for name, module in vqa.named_modules()}
    if unknown := [name for name in parts if not own.get(name)]:
        known = ", ".join(name for name, _ in vqa.named_children())
        raise QGCError(f"the model has no layer {unknown[0]!r} with weights of its own; it has {known}, and what is in "
                       "them")  # fmt: skip
    redrawn = {p for name in parts for p in own[name]}
    shared = {id(p): p for p in vqa.parameters() if id(p) not in redrawn}
    randomised_model = copy.deepcopy(vqa, shared)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for name in parts:
            _reset(randomised_model.get_submodule(name))
    return randomised_model


def _reset(module: nn.Module) -> None:
    if hasattr(module, "reset_parameters"):
        module.reset_parameters()
        return
    for p in module.parameters(recurse=False):
        spread = float(p.std()) if p.numel() > 1 else 0.0
        p.normal_(float(p.mean()), spread)


def cascade(vqa, seed: int) -> list[tuple[str, nn.Module]]:
    """Every step of the cascade (:func:`cascade_parts`) as a model: its parts and all before it re-initialised."""
    steps, above = [], []
    for label, parts in cascade_parts(vqa):
        above = above + parts
        steps.append((f"cascade: {label}", randomised(vqa, above, seed)))
    return steps


# -- one scene and one model ------------------------------------------------------------------------------
@torch.no_grad()
def sanity_rows(
    vqa,
    scene: Scene,
    question_pool: QuestionPool,
    rng: np.random.Generator,
    *,
    cascades: Sequence[Sequence[tuple[str, nn.Module]]] = (),
    pairs: Sequence[Pair] | None = None,
    draws: int = 2,
    ns: Sequence[int] = NS,
    controls: Sequence[str] = CONTROLS,
) -> list[dict]:
    """What is left of the maps of one scene's pairs under every control.

    Parameters
    ----------
    question_pool : from :func:`.nulls.question_pool`, for mismatched questions. cascades : from :func:`cascade`,
    several seeds worked out once for a model; a scene uses one of them at random. pairs : one random same-answer pair
    of the scene if None. draws : encoders, and mismatched pairs of questions, drawn for each pair. controls : some of
    :data:`CONTROLS`; without an encoder among them no model is re-initialised.

    Returns
    -------
    list of flat dicts, one for each pair, control and draw
        ``scene``, ``pair``, ``control``, ``draw``, ``frame`` (1 if the questions differ in one word alone); and
        ``rank/NAME`` (the verdict of rank grounding), ``grounding/NAME``, ``margin/NAME`` (mean share on the own object
        − on the other's) and ``cosine/NAME`` with the map of the trained model, for each of
        :func:`~qgc.lab.experiments.interventions.map_names`.
    """
    if pairs is None:
        pairs = same_answer_pairs([scene])
        pairs = [pairs[rng.integers(len(pairs))]] if pairs else []
    if not pairs:
        return []
    view, seeds = EncodedImage(vqa, scene), rng.integers(2**31, size=draws).tolist()
    encoder = encoder_parts(vqa)
    models = [("encoder", d, randomised(vqa, encoder, s)) for d, s in enumerate(seeds) if "encoder" in controls]
    if view.factors(question_pool.q[:1]):
        view.M(question_pool.q[:1])  # whatever the question: worked out here, all views of the same image share it
    if "encoder and Wq" in controls and (branch := question_branch_parts(vqa)):
        models += [("encoder and Wq", d, randomised(vqa, [*encoder, *branch], s)) for d, s in enumerate(seeds)]
    views = [(control, draw, view.for_model(model)) for control, draw, model in models]
    steps = cascades[rng.integers(len(cascades))] if cascades else []
    views += [(label, 0, _cascade_view(view, model)) for label, model in steps]
    rows = []
    for number, pair in enumerate(pairs):
        texts = (pair.first.question, pair.second.question)
        masks = [scene.masks[a.thing] for a in (pair.first, pair.second)]
        plain = _maps(view, texts, pair.answer, ns)  # what every control's maps are compared with
        mismatched = [t for t in question_pool.questions if t not in texts]
        found = [("none", 0, plain)]
        for d in range(draws if "other questions" in controls else 0):
            drawn = rng.permutation(len(mismatched))[:2]
            found.append(("other questions", d, _maps(view, [mismatched[i] for i in drawn], pair.answer, ns)))
        found += [(control, draw, _maps(other, texts, pair.answer, ns)) for control, draw, other in views]
        label = {"scene": scene.seed, "pair": number, "frame": float(_one_frame(vqa, *texts))}
        for control, draw, maps in found:
            rows.append({**label, "control": control, "draw": draw, **_scores(maps, plain, masks, map_names(ns))})
    return rows


def _cascade_view(view: EncodedImage, model) -> EncodedImage:
    # F is shared while no convolution is re-initialised; v and M are not.
    trained = {id(p) for p in view.vqa.cnn.features.parameters()}
    redrawn = any(id(p) not in trained for p in model.cnn.features.parameters())
    return EncodedImage(model, view.image, None if redrawn else view.F)


def _maps(view: EncodedImage, texts: Sequence[str], answer: str, ns: Sequence[int]) -> Tensor:
    return signed_pair_maps(*explain(view.vqa, view, list(texts), answer), ns)


def _one_frame(vqa, first: str, second: str) -> bool:
    a, b = vqa.vocabulary.tokens(first), vqa.vocabulary.tokens(second)
    return len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1


def _scores(signed: Tensor, before: Tensor, masks: Sequence[np.ndarray], names: Sequence[str]) -> dict[str, float]:
    # signed (2, names, h, w): the pair's maps before the ReLU; before: the trained model's.
    inputs = signed.abs().amax((2, 3))
    inputs[:, names.index(CONTRAST)] = inputs[:, 0].max()  # a contrast of equal maps is rounding, and empty
    rank = rank_grounding(signed.transpose(0, 1), np.stack(masks), inputs.T).verdict
    maps, plain, weights = signed.relu(), before.relu(), mass_weights(masks, tuple(signed.shape[-2:]), signed)
    share = mass_shares((maps.flatten(2) @ weights).double())  # (2, names, 2)
    own = torch.stack([share[0, :, 0], share[1, :, 1]], 1)
    other = torch.stack([share[0, :, 1], share[1, :, 0]], 1)
    grounding = contrastive_grounding(own, other)
    margin = (own.nan_to_num(0) - other.nan_to_num(0)).mean(1)
    found = {}
    for i, name in enumerate(names):
        found[f"rank/{name}"] = float(rank[i])
        found[f"grounding/{name}"], found[f"margin/{name}"] = float(grounding[i]), float(margin[i])
        alike = [cosine(m[i], p[i]) for m, p in zip(maps, plain, strict=True)]
        known = [c for c in alike if np.isfinite(c)]
        found[f"cosine/{name}"] = float(np.mean(known)) if known else float("nan")
    return found


# -- many scenes ------------------------------------------------------------------------------------------
def summarise(rows: Iterable[dict], **bootstrapping) -> pd.DataFrame:
    """A tidy table with 95 % intervals by scene (and ``seed``, if the rows have it) from :func:`sanity_rows`.

    ``control``, ``measure`` (rank, grounding, margin, cosine), ``map``, ``estimate``, ``low``, ``high``, ``scenes``,
    ``rows``. Draws are averaged within a scene first.
    """
    frame = pd.DataFrame(list(rows))
    columns = [c for c in frame if "/" in c]
    table = intervals(frame, ["control"], columns, **bootstrapping)
    names = table.pop("measure").str.split("/", n=1, expand=True)
    table.insert(1, "measure", names[0])
    table.insert(2, "map", names[1])
    return table
