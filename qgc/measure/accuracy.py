"""Held-out accuracy of a scene model, family by family, compared with a question-only baseline."""

from __future__ import annotations

from collections import defaultdict

import torch
from tqdm import tqdm

from ..models.evaluation import evaluated
from ..scenes import FIRST_SEED, sample
from ..scenes.questions import HELD_OUT, PARAPHRASES, facts, word


@evaluated
@torch.no_grad()
def evaluate(
    vqa, count: int, *, distribution: str, prior: dict[str, str], split: str = "test", held_out: bool = True
) -> dict:
    """Accuracy on ``count`` unseen scenes, with the question-only baseline's.

    Parameters
    ----------
    prior : the commonest training answer to every "family|thing" (and "family"); the baseline
        answers with it without looking at the image.
    held_out : ask in the held-out templates, which no model was trained on.

    Returns
    -------
    dict
        ``{"families": {family: {"n", "accuracy", "question_only"}}, "all": {…}, …}``
    """
    right, blind, total = defaultdict(int), defaultdict(int), defaultdict(int)
    book = HELD_OUT if held_out else PARAPHRASES
    known: dict[str, torch.Tensor] = {}
    for i in tqdm(range(count), desc=f"{distribution} {split}", mininterval=2, leave=False):
        scene = sample(FIRST_SEED[split] + i, distribution)
        F = vqa.conv(vqa.prepare(scene.image))
        rows = facts(scene)
        texts = [word(book[family][i % len(book[family])], name) for family, name, _, _ in rows]
        # Scenes share most questions: each text is encoded once
        for t in texts:
            if t not in known:
                known[t] = vqa.encode(t)
        q = torch.cat([known[t] for t in texts])
        y = vqa.classify(torch.mul(*vqa.branches(F.expand(len(rows), -1, -1, -1), q)))
        vqa.check_scores(y)
        for (family, name, answer, _), best in zip(rows, y.argmax(1).tolist(), strict=True):
            # A family's commonest answer where training never asked about this object
            guess = prior.get(f"{family}|{name}", prior.get(family))
            for key in (family, "all"):
                total[key] += 1
                right[key] += vqa.answers[best] == answer
                blind[key] += guess == answer
    table = {k: {"n": n, "accuracy": right[k] / n, "question_only": blind[k] / n} for k, n in total.items()}
    overall = table.pop("all")
    return {
        "distribution": distribution,
        "split": split,
        "scenes": count,
        "wordings": "held-out" if held_out else "training",
        "families": dict(sorted(table.items())),
        "all": overall,
    }
