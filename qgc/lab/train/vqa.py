"""Training of the Deeper LSTM's question and answer side on cached image features (Antol et al. 2015).

The images never change, so the CNN runs once. Each *distinct* question of a step is encoded once and
shared by all scenes that ask it.
"""

from __future__ import annotations

import json
import re
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

from ...data.tokens import tokenize
from ...models.deeper_lstm import DeeperLSTM
from ...scenes.questions import HELD_OUT, WORDINGS, word
from ...scenes.things import KINDS
from .files import check_loss, load_state, save_json, save_state
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


def frame_words(model: DeeperLSTM) -> np.ndarray:
    """Indices of words that any question may hold: in the wordings of three families or more, in no thing's name."""
    families = Counter(
        w for pool in WORDINGS.values() for w in {w for text in pool for w in tokenize(re.sub(r"{\w+}", " ", text))}
    )
    named = {w for k in KINDS.values() for w in tokenize(k.noun)}
    return np.array([i for w, i in model.vocabulary.index.items() if families[w] >= 3 and w not in named])


def garble(tokens: Tensor, lengths: Tensor, often: float, frame: np.ndarray, rng: np.random.Generator) -> list[Tensor]:
    """Questions with frame words strewn in before, behind and between, or in any order, so that no wording is needed.

    Each happens with probability ``often`` (before, behind) or a half of it (between, shuffled). A model that has
    only seen a handful of wordings else leans on them, and stumbles over a new one.
    """
    found = []
    for row, length in zip(tokens.numpy(), lengths.numpy(), strict=True):
        words = row[:length]
        before, behind, between, shuffled = rng.random(4) < often / np.array([1, 1, 2, 2])
        if shuffled:
            words = rng.permutation(words)
        if between:
            words = np.insert(words, rng.integers(1, len(words) + 1), rng.choice(frame))
        parts = [rng.choice(frame, rng.integers(1, 5) * before), words, rng.choice(frame, rng.integers(1, 3) * behind)]
        found.append(torch.from_numpy(np.concatenate(parts)))
    return found


def question_prior(facts: list[list[tuple]]) -> dict[str, str]:
    """The commonest training answer to every subject ("colour|sink" → "white"): the question-only baseline."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for scene in facts:
        for family, name, answer, _ in scene:
            counts[f"{family}|{name}"][answer] += 1
            counts[family][answer] += 1
    return {key: sorted(c.items(), key=lambda kv: (-kv[1], kv[0]))[0][0] for key, c in counts.items()}


@torch.no_grad()
def start(model: DeeperLSTM, how: str) -> None:
    """Where the question and answer side begins.

    ``"original"``: every weight uniform in ±0.08 (Antol et al. 2015). Its signals are so faint that for long
    nothing tells two questions apart. ``"scaled"``: every layer hands its signal on at its own size (embedding
    normal, LSTM orthogonal with an open forget gate, the rest after Glorot and Bengio 2010, Wi widened since
    f/‖f‖ has length one), which learns the same in a fifth of the time.
    """
    parts = (model.embedding, model.lstm, model.question, model.image, model.output)
    if how == "original":
        for p in (p for module in parts for p in module.parameters()):
            nn.init.uniform_(p, -0.08, 0.08)
        return
    model.embedding.weight.normal_()
    for name, p in model.lstm.named_parameters():
        if "weight_hh" in name:
            for gate in p.chunk(4):
                nn.init.orthogonal_(gate)
        elif "weight_ih" in name:
            nn.init.xavier_uniform_(p)
        else:
            p.zero_()
            if "bias_ih" in name:
                p[len(p) // 4 : len(p) // 2] = 1  # the forget gate
    for layer in (model.question, model.image, model.output):
        nn.init.xavier_uniform_(layer.weight)
        layer.bias.zero_()
    model.image.weight *= model.image.in_features**0.5


def scores(model: DeeperLSTM, tokens: Tensor, lengths: Tensor, f: Tensor, scene: Tensor, question: Tensor) -> Tensor:
    """Answer scores (N, answers): ``question`` (N,) and ``scene`` (N,) index the rows of tokens and f."""
    needed, back = question.unique(return_inverse=True)
    u = model.question_branch(model.encode_tokens(tokens[needed], lengths[needed.cpu()]))
    v = model.image_branch(f)
    return model.classify(u.index_select(0, back) * v.index_select(0, scene))


@torch.no_grad()
def accuracy(model: DeeperLSTM, features: Tensor, asked: Asked, wording: int = 0, batch: int = 500) -> dict[str, float]:
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
        where = torch.from_numpy(asked.scene[rows] - first).to(device)
        y = scores(model, tokens, lengths, features[first : first + batch], where, q)
        right[rows] = y.argmax(1).cpu().numpy() == asked.answer[rows]
    result = {f: float(right[asked.families == f].mean()) for f in dict.fromkeys(asked.families.tolist())}
    return {"all": float(right.mean()), **result}


@torch.no_grad()
def _features(model: DeeperLSTM, pooled: np.ndarray, device) -> Tensor:
    """The image feature f of every scene (N, fc), from its pooled maps; without dropout, as in use."""
    model.cnn.eval()
    parts = [model.cnn.from_pooled(torch.from_numpy(p).to(device).float()) for p in np.array_split(pooled, 40)]
    return torch.cat(parts)


@contextmanager
def without_onednn() -> Iterator[None]:
    """oneDNN's LSTM was measured up to 40 times slower than PyTorch's own on small batches of short questions."""
    with warnings.catch_warnings():  # on some builds the flags warn about Intel GPUs
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


@without_onednn()
def train(model: DeeperLSTM, recipe: Recipe, pooled, facts, val_pooled, val_facts, run: Path, device) -> list[dict]:
    """Train the question and answer side on the CNN's features; returns the trace.

    A checkpoint per epoch (``vqa.pt``) makes it resumable; ``snapshots/`` keeps the question and
    answer side at 1/8, 1/4, 1/2, 1, 2, … epochs, for the question-blind checkpoint; ``best.pt`` is the
    epoch with the highest validation accuracy.
    """
    torch.manual_seed(recipe.question_seed + 2)
    start(model, recipe.start)
    model.to(device)
    asked, val = Asked(facts, model.answers), Asked(val_facts, model.answers)
    tokens, lengths = model.vocabulary.batch(asked.questions)
    tokens = tokens.to(device)
    side = [p for n, p in model.named_parameters() if not n.startswith("cnn.")]
    optimiser = torch.optim.AdamW(side, lr=recipe.vqa_lr, weight_decay=1e-5)
    batch = 4 * recipe.batch
    steps = max(len(facts) // batch, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.vqa_lr, total_steps=recipe.vqa_epochs * steps + 1, pct_start=0.1
    )

    frame = frame_words(model)
    features = [_features(model, data, device) for data in (pooled, val_pooled)]

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
        rng = np.random.default_rng([recipe.question_seed, epoch, 2])
        torch.manual_seed(int(rng.integers(2**62)))  # dropout too goes on as if never interrupted
        order = rng.permutation(len(facts))
        model.train()
        for step in range(steps):
            chunk = order[step * batch : (step + 1) * batch]
            rows = asked.of_scenes(chunk, recipe.per_scene, rng)
            where = np.empty(len(facts), np.int64)
            where[chunk] = np.arange(len(chunk))
            q = torch.from_numpy(asked.worded(rows, rng))
            read, long = tokens, lengths
            if recipe.word_noise:
                needed, q = q.unique(return_inverse=True)
                garbled = garble(tokens[needed].cpu(), lengths[needed], recipe.word_noise, frame, rng)
                read = nn.utils.rnn.pad_sequence(garbled, batch_first=True).to(device)
                long = torch.tensor([len(g) for g in garbled])
            q = q.to(device)
            f = features[0][torch.from_numpy(chunk).to(device)]
            y = scores(model, read, long, f, torch.from_numpy(where[asked.scene[rows]]).to(device), q)
            loss = nn.functional.cross_entropy(y, torch.from_numpy(asked.answer[rows]).to(device))
            check_loss(loss, run)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_value_(side, 10.0)  # the original recipe's clamp
            optimiser.step()
            schedule.step()
            done = epoch * steps + step + 1
            if done in kept:
                save_state(run / "snapshots" / f"{done:06d}.pt", model.state_dict())
        found = accuracy(model, features[1], val)
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
