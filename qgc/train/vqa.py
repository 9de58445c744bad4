"""Training of the Deeper LSTM's question and answer side on cached image features (Antol et al. 2015).

The images never change, so the CNN runs once. Each *distinct* question of a step is encoded once and
shared by all scenes that ask it.
"""

from __future__ import annotations

import json
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..models.deeper_lstm import DeeperLSTM
from ..scenes.questions import HELD_OUT, WORDINGS, word
from .files import load_state, save_json, save_state
from .recipes import Recipe


class Asked:
    """The questions of many scenes as index arrays.

    ``scene``, ``subject``, ``answer`` (N,) say which scene, which (family, name) and which answer;
    ``texts[w]`` gives the question index of every subject in its w-th wording.
    """

    def __init__(self, facts: list[list[tuple]], answers: list[str], held_out: bool = False):
        book = HELD_OUT if held_out else WORDINGS
        rows = [(i, f[0], f[1], f[2]) for i, scene in enumerate(facts) for f in scene]
        self.subjects = list(dict.fromkeys((family, name) for _, family, name, _ in rows))
        subject = {s: i for i, s in enumerate(self.subjects)}
        index = {a: i for i, a in enumerate(answers)}
        self.scene = np.array([r[0] for r in rows])
        self.subject = np.array([subject[r[1], r[2]] for r in rows])
        self.answer = np.array([index[r[3]] for r in rows])
        self.families = np.array([r[1] for r in rows])
        self.questions: list[str] = []
        seen: dict[str, int] = {}
        self.texts: list[list[int]] = []
        for family, name in self.subjects:
            texts = [word(t, name) for t in book[family]]
            self.texts.append([seen.setdefault(t, len(seen)) for t in texts])
        self.questions = list(seen)
        self._by_scene = np.split(np.arange(len(rows)), np.cumsum([len(s) for s in facts])[:-1])

    def of_scenes(self, scenes, most: int | None = None, rng: np.random.Generator | None = None) -> np.ndarray:
        """Row numbers of the questions about these scenes; of each scene at most ``most``, drawn by ``rng``."""
        rows = [self._by_scene[i] for i in scenes]
        if most is not None:
            rows = [rng.permutation(r)[:most] for r in rows]
        return np.concatenate(rows)

    def worded(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A question index for every row; every subject is worded at random, one way a call."""
        draw = rng.integers(0, 1 << 30, len(self.subjects))
        return np.array([self.texts[s][draw[s] % len(self.texts[s])] for s in self.subject[rows]])


def question_prior(facts: list[list[tuple]]) -> dict[str, str]:
    """The commonest training answer to every subject ("colour|sink" → "white"): the question-only baseline."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for scene in facts:
        for family, name, answer, _ in scene:
            counts[f"{family}|{name}"][answer] += 1
            counts[family][answer] += 1
    return {key: sorted(c.items(), key=lambda kv: (-kv[1], kv[0]))[0][0] for key, c in counts.items()}


def start(model: DeeperLSTM, width: float) -> None:
    """The original recipe's start: every weight of the question and answer side uniform in ±width."""
    for module in (model.embedding, model.lstm, model.question, model.image, model.output):
        for p in module.parameters():
            nn.init.uniform_(p, -width, width)


def scores(model: DeeperLSTM, tokens: Tensor, lengths: Tensor, f: Tensor, scene: Tensor, question: Tensor) -> Tensor:
    """Answer scores (N, answers): ``question`` (N,) and ``scene`` (N,) index the rows of tokens and f."""
    needed, back = question.unique(return_inverse=True)
    u = model.question_branch(model.encode_tokens(tokens[needed], lengths[needed.cpu()]))
    v = model.image_branch(f)
    return model.classify(u.index_select(0, back) * v.index_select(0, scene))


@torch.no_grad()
def accuracy(model: DeeperLSTM, feature, asked: Asked, wording: int = 0, batch: int = 500) -> dict[str, float]:
    """Share of right answers per family, and over all questions ("all"), in one wording."""
    model.eval()
    device = model.device
    tokens, lengths = model.vocabulary.batch(asked.questions)
    tokens = tokens.to(device)
    right = np.zeros(len(asked.answer), bool)
    scenes = int(asked.scene.max()) + 1
    for first in range(0, scenes, batch):
        chunk = np.arange(first, min(first + batch, scenes))
        rows = asked.of_scenes(chunk)
        q = torch.tensor([asked.texts[s][wording % len(asked.texts[s])] for s in asked.subject[rows]], device=device)
        y = scores(model, tokens, lengths, feature(chunk), torch.from_numpy(asked.scene[rows] - first).to(device), q)
        right[rows] = y.argmax(1).cpu().numpy() == asked.answer[rows]
    result = {f: float(right[asked.families == f].mean()) for f in dict.fromkeys(asked.families.tolist())}
    return {"all": float(right.mean()), **result}


@contextmanager
def without_onednn() -> Iterator[None]:
    """oneDNN's LSTM was measured up to 40 times slower than PyTorch's own on small batches of short questions."""
    with warnings.catch_warnings():  # on some builds the flags warn about Intel GPUs
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


@without_onednn()
def train(model: DeeperLSTM, recipe: Recipe, pooled, facts, val_pooled, val_facts, run: Path, device) -> list[dict]:
    """Train question and answer side (and fc6, fc7 where the recipe says so); returns the trace.

    A checkpoint per epoch (``vqa.pt``) makes it resumable; ``snapshots/`` keeps the question and
    answer side at 1/8, 1/4, 1/2, 1, 2, … epochs, for the question-blind checkpoint; ``best.pt`` is the
    epoch with the highest validation accuracy.
    """
    torch.manual_seed(recipe.seed + 2)
    start(model, recipe.init)
    model.to(device)
    asked, val = Asked(facts, model.answers), Asked(val_facts, model.answers)
    tokens, lengths = model.vocabulary.batch(asked.questions)
    tokens = tokens.to(device)
    side = [p for n, p in model.named_parameters() if not n.startswith("cnn.")]
    groups = [{"params": side, "lr": recipe.vqa_lr}]
    if recipe.finetune:
        fc = [*model.cnn.fc6.parameters(), *model.cnn.fc7.parameters()]
        groups.append({"params": fc, "lr": recipe.vqa_lr / 2, "weight_decay": 0.02})
    optimiser = torch.optim.AdamW(groups, weight_decay=1e-5)
    batch = 4 * recipe.batch
    steps = max(len(facts) // batch, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [g["lr"] for g in groups], total_steps=recipe.vqa_epochs * steps + 1, pct_start=0.1
    )

    fixed = {}
    if not recipe.finetune:
        with torch.no_grad():
            model.cnn.eval()
            for name, data in (("train", pooled), ("val", val_pooled)):
                parts = [
                    model.cnn.from_pooled(torch.from_numpy(d).to(device).float()) for d in np.array_split(data, 40)
                ]
                fixed[name] = torch.cat(parts)

    def feature(rows, data=pooled, name="train"):
        if fixed:
            return fixed[name][torch.from_numpy(np.asarray(rows)).to(device)]
        return model.cnn.from_pooled(torch.from_numpy(data[rows]).to(device).float())

    def val_feature(rows):
        return feature(rows, val_pooled, "val")

    parts = {"model": model, "optimiser": optimiser, "schedule": schedule}
    path, first, trace = run / "vqa.pt", 0, []
    if state := load_state(path):
        first, trace = state.pop("epoch"), json.loads(state.pop("trace"))
        for name, part in parts.items():
            part.load_state_dict(state[name])
    kept = {max(1, round(steps * 2.0**k)) for k in range(-4, 10)}
    bar = tqdm(range(first, recipe.vqa_epochs), initial=first, total=recipe.vqa_epochs, desc="questions")
    best = max((t["all"] for t in trace), default=0.0)
    began = time.time()
    for epoch in bar:
        rng = np.random.default_rng([recipe.seed, epoch, 2])
        torch.manual_seed(int(rng.integers(2**62)))  # dropout too goes on as if never interrupted
        order = rng.permutation(len(facts))
        model.train()
        model.cnn.eval()  # the image feature is never dropped from, also where fc6 and fc7 learn
        for step in range(steps):
            chunk = order[step * batch : (step + 1) * batch]
            rows = asked.of_scenes(chunk, recipe.per_scene, rng)
            where = np.empty(len(facts), np.int64)
            where[chunk] = np.arange(len(chunk))
            q = torch.from_numpy(asked.worded(rows, rng)).to(device)
            y = scores(model, tokens, lengths, feature(chunk), torch.from_numpy(where[asked.scene[rows]]).to(device), q)
            loss = nn.functional.cross_entropy(y, torch.from_numpy(asked.answer[rows]).to(device))
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(side, 10.0)  # the original recipe's clamp
            optimiser.step()
            schedule.step()
            done = epoch * steps + step + 1
            if done in kept:
                save_state(run / "snapshots" / f"{done:06d}.pt", model.state_dict())
        found = accuracy(model, val_feature, val)
        trace.append({"epoch": epoch + 1, "step": (epoch + 1) * steps, "loss": loss.item(), **found})
        bar.set_postfix(val=f"{found['all']:.3f}", colour=f"{found['colour']:.3f}", s=round(time.time() - began))
        if found["all"] > best:
            best = found["all"]
            save_state(run / "best.pt", model.state_dict())
        save_state(
            path, {"epoch": epoch + 1, "trace": json.dumps(trace), **{n: p.state_dict() for n, p in parts.items()}}
        )
        save_json(run / "trace.json", trace)
    return trace
