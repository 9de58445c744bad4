"""Training of the Deeper LSTM's question and answer side on cached image features (Antol et al. 2015).

The images never change, so the CNN runs once. Each *distinct* question of a step is encoded once and
shared by all scenes that ask it.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ...data.tokens import tokenize
from ...models.deeper_lstm import DeeperLSTM
from ...models.vqa import VQA
from ...scenes.questions import HELD_OUT, PARAPHRASES, word
from ...scenes.things import KINDS
from .files import save_json, save_state
from .recipes import Recipe
from .trainer import EpochTrainer

Images = Callable[[np.ndarray], Tensor]
"""What a CNN made of the scenes of these numbers."""


class SceneQuestions:
    """The questions of many scenes as index arrays.

    ``scene``, ``subject``, ``answer`` (N,) say which scene, which (family, name) and which answer;
    ``texts[w]`` gives the question index of every subject in its w-th paraphrase; ``scenes`` is the number of scenes.
    """

    def __init__(self, facts: list[list[tuple]], answers: list[str], held_out: bool = False):
        paraphrases = HELD_OUT if held_out else PARAPHRASES
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
            texts = [word(t, name) for t in paraphrases[family]]
            self.texts.append([seen.setdefault(t, len(seen)) for t in texts])
        self.questions = list(seen)
        self.scenes = len(facts)
        self._by_scene = np.split(np.arange(len(rows)), np.cumsum([len(s) for s in facts])[:-1])

    def rows_of_scenes(self, scenes, most: int | None = None, rng: np.random.Generator | None = None) -> np.ndarray:
        """Row numbers of the questions about these scenes; of each scene at most ``most``, drawn by ``rng``."""
        rows = [self._by_scene[i] for i in scenes]
        if most is not None:
            rows = [rng.permutation(r)[:most] for r in rows]
        return np.concatenate(rows)

    def choose_paraphrases(self, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A question index for every row; every subject is paraphrased at random, one way a call."""
        draw = rng.integers(0, 1 << 30, len(self.subjects))
        return np.array([self.texts[s][draw[s] % len(self.texts[s])] for s in self.subject[rows]])


def frame_words(model: DeeperLSTM) -> np.ndarray:
    """Indices of words that any question may hold: in paraphrases of three families or more, in no object's name."""
    families = Counter(
        w for pool in PARAPHRASES.values() for w in {w for text in pool for w in tokenize(re.sub(r"{\w+}", " ", text))}
    )
    named = {w for k in KINDS.values() for w in tokenize(k.noun)}
    return np.array([i for w, i in model.vocabulary.index.items() if families[w] >= 3 and w not in named])


def garble(
    tokens: Tensor, lengths: Tensor, probability: float, frame: np.ndarray, rng: np.random.Generator
) -> list[Tensor]:
    """Questions with frame words strewn in before, behind and between, or in any order, so that no template is needed.

    Each happens with probability ``probability`` (before, behind) or a half of it (between, shuffled). A model that has
    only seen a handful of paraphrases else relies on them, and fails at a new one.
    """
    garbled = []
    for row, length in zip(tokens.numpy(), lengths.numpy(), strict=True):
        words = row[:length]
        before, behind, between, shuffled = rng.random(4) < probability / np.array([1, 1, 2, 2])
        if shuffled:
            words = rng.permutation(words)
        if between:
            words = np.insert(words, rng.integers(1, len(words) + 1), rng.choice(frame))
        parts = [rng.choice(frame, rng.integers(1, 5) * before), words, rng.choice(frame, rng.integers(1, 3) * behind)]
        garbled.append(torch.from_numpy(np.concatenate(parts)))
    return garbled


def question_prior(facts: list[list[tuple]]) -> dict[str, str]:
    """The commonest training answer to every subject ("colour|sink" → "white"): the question-only baseline."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for scene in facts:
        for family, name, answer, _ in scene:
            counts[f"{family}|{name}"][answer] += 1
            counts[family][answer] += 1
    return {key: min(c.items(), key=lambda kv: (-kv[1], kv[0]))[0] for key, c in counts.items()}


@torch.no_grad()
def start(model: DeeperLSTM, how: str) -> None:
    """Where the question and answer side begins.

    ``"original"``: every weight uniform in ±0.08 (Antol et al. 2015). Its signals are so faint that for long
    nothing distinguishes two questions. ``"scaled"``: every layer keeps the size of its signal (embedding
    normal, LSTM orthogonal with an open forget gate, the rest after Glorot and Bengio 2010, Wi widened since
    f/‖f‖ has length one), which learns the same in a fifth of the time.
    """
    parts = (model.embedding, model.lstm, model.question, model.image, model.output)
    if how == "original":
        for p in (p for module in parts for p in module.parameters()):
            nn.init.uniform_(p, -0.08, 0.08)
        return
    model.embedding.weight.normal_()
    start_lstm(model.lstm)
    for layer in (model.question, model.image, model.output):
        nn.init.xavier_uniform_(layer.weight)
        layer.bias.zero_()
    model.image.weight *= model.image.in_features**0.5


@torch.no_grad()
def start_lstm(lstm: nn.LSTM) -> None:
    """What goes back to the cells orthogonal, what comes in after Glorot and Bengio, the forget gate open."""
    for name, p in lstm.named_parameters():
        if "weight_hh" in name:
            for gate in p.chunk(4):
                nn.init.orthogonal_(gate)
        elif "weight_ih" in name:
            nn.init.xavier_uniform_(p)
        else:
            p.zero_()
            if "bias_ih" in name:
                p[len(p) // 4 : len(p) // 2] = 1  # the forget gate


def scores(model: DeeperLSTM, tokens: Tensor, lengths: Tensor, f: Tensor, scene: Tensor, question: Tensor) -> Tensor:
    """Answer scores (N, answers): ``question`` (N,) and ``scene`` (N,) index the rows of tokens and f."""
    needed, back = question.unique(return_inverse=True)
    u = model.question_branch(model.encode_tokens(tokens[needed], lengths[needed.cpu()]))
    v = model.image_branch(f)
    return model.classify(u.index_select(0, back) * v.index_select(0, scene))


@contextmanager
def without_onednn() -> Iterator[None]:
    """oneDNN's LSTM was measured up to 40 times slower than PyTorch's own on small batches of short questions."""
    with warnings.catch_warnings():  # on some builds the flags warn about Intel GPUs
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


class QuestionTrainer(EpochTrainer):
    """All of a model but its CNN learns from questions about scenes, whose answers the CNN's features must tell.

    Parameters
    ----------
    scores : of the model's family: (model, tokens, lengths, image, scene, question) → answer scores.
    asked, val : the questions of training and of validation, each with what the CNN made of its scenes.
    per_scene : so many questions of a scene are asked in a step.
    word_noise : how often a question is garbled (:func:`garble`).
    chunk : scenes of validation that are answered together.

    The weights are kept in ``snapshots`` at 1/8, 1/4, 1/2, 1, 2, … epochs.
    """

    def __init__(
        self, model: VQA, scores: Callable[..., Tensor], asked: tuple[SceneQuestions, Images],
        val: tuple[SceneQuestions, Images], run: Path, *, per_scene: int, chunk: int, word_noise: float = 0.0,
        **options,
    ):  # fmt: skip
        self.model, self.scores, self.per_scene, self.word_noise = model, scores, per_scene, word_noise
        (self.asked, self.images), self.val, self.chunk = asked, val, chunk
        self.tokens, self.lengths = model.vocabulary.batch(self.asked.questions)
        self.frame = frame_words(model)
        learning = [p for name, p in model.named_parameters() if not name.startswith("cnn.")]
        super().__init__(
            self._loss, {"model": model}, learning, run / "vqa.pt", count=self.asked.scenes, **options
        )  # fmt: skip
        steps = self.epoch_steps
        self.snapshot_steps = {max(1, round(steps * 2.0**k)) for k in range(-4, 10)}

    def start_epoch(self) -> None:
        """Seed dropout from the pass's own numbers."""
        torch.manual_seed(int(self.rng.integers(2**62)))  # dropout too resumes as if never interrupted
        self.model.train()

    def after_step(self) -> None:
        """Keep the weights at the steps of the snapshots."""
        if self.step in self.snapshot_steps:
            save_state(self.path.parent / "snapshots" / f"{self.step:06d}.pt", self.model.state_dict())

    def _loss(self, scenes: np.ndarray) -> Tensor:
        rows = self.asked.rows_of_scenes(scenes, self.per_scene, self.rng)
        place = np.empty(self.count, np.int64)
        place[scenes] = np.arange(len(scenes))
        tokens, lengths, question = (
            self.tokens,
            self.lengths,
            torch.from_numpy(self.asked.choose_paraphrases(rows, self.rng)),
        )
        if self.word_noise:
            needed, question = question.unique(return_inverse=True)
            garbled = garble(tokens[needed], lengths[needed], self.word_noise, self.frame, self.rng)
            tokens = nn.utils.rnn.pad_sequence(garbled, batch_first=True)
            lengths = torch.tensor([len(g) for g in garbled])
        y = self._answer(tokens, lengths, self.images(scenes), place[self.asked.scene[rows]], question)
        return nn.functional.cross_entropy(y, torch.from_numpy(self.asked.answer[rows]).to(y.device))

    def _answer(self, tokens: Tensor, lengths: Tensor, image: Tensor, scene: np.ndarray, question: Tensor) -> Tensor:
        tokens, scene, question = (t.to(self.model.device) for t in (tokens, torch.from_numpy(scene), question))
        return self.scores(self.model, tokens, lengths, image, scene, question)

    @torch.no_grad()
    def validate(self, loss: float) -> dict:
        """Share of right answers, each question in its first paraphrase: over all questions ("all") and by family."""
        self.model.eval()
        asked, images = self.val
        right = np.zeros(len(asked.answer), bool)
        tokens, lengths = self.model.vocabulary.batch(asked.questions)
        for first in range(0, asked.scenes, self.chunk):
            scenes = np.arange(first, min(first + self.chunk, asked.scenes))
            rows = asked.rows_of_scenes(scenes)
            question = torch.tensor([asked.texts[s][0] for s in asked.subject[rows]])
            y = self._answer(tokens, lengths, images(scenes), asked.scene[rows] - first, question)
            right[rows] = y.argmax(1).cpu().numpy() == asked.answer[rows]
        families = {f: float(right[asked.families == f].mean()) for f in dict.fromkeys(asked.families.tolist())}
        passes = self.step // self.epoch_steps
        return {"epoch": passes, "step": self.step, "loss": loss, "all": float(right.mean()), **families}

    def finish(self) -> None:
        """Train to the end; the model then has the weights that were best on validation."""
        self.run("questions")
        save_json(self.path.with_name("trace.json"), self.trace)
        self.load_best()


@torch.no_grad()
def _features(model: DeeperLSTM, pooled: np.ndarray) -> Images:
    """The image feature f of every scene (N, fc), from its pooled maps; without dropout, as in use."""
    model.cnn.eval()
    device = model.device
    parts = [model.cnn.from_pooled(torch.from_numpy(p).to(device).float()) for p in np.array_split(pooled, 40)]
    f = torch.cat(parts)
    return lambda scenes: f[torch.from_numpy(scenes).to(device)]


@without_onednn()
def train(model: DeeperLSTM, recipe: Recipe, pooled, facts, val_pooled, val_facts, run: Path, device) -> None:
    """Train the question and answer side on the CNN's features; the model ends with its best epoch's weights.

    A checkpoint per epoch (``vqa.pt``) makes it resumable; ``snapshots/`` keeps the question and
    answer side at 1/8, 1/4, 1/2, 1, 2, … epochs, for the question-blind checkpoint; ``best.pt`` is the
    epoch with the highest validation accuracy.
    """
    torch.manual_seed(recipe.question_seed + 2)
    start(model, recipe.start)
    model.to(device)
    data = [
        (SceneQuestions(f, model.answers), _features(model, maps))
        for f, maps in ((facts, pooled), (val_facts, val_pooled))
    ]
    QuestionTrainer(
        model, scores, *data, run, per_scene=recipe.per_scene, chunk=500, word_noise=recipe.word_noise,
        batch=4 * recipe.batch, cycles=(recipe.vqa_epochs,), seed=(recipe.question_seed, 2), lr=recipe.vqa_lr,
        weight_decay=1e-5, rise=0.1, limit=partial(nn.utils.clip_grad_value_, clip_value=10.0),  # the original's clamp
    ).finish()  # fmt: skip
