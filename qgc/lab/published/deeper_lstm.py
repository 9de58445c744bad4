"""The published Deeper LSTM of VQA, ``lstm.t7``, as ours.

``lstm.t7`` (GT-Vision-Lab/VQA_LSTM_CNN, train.lua) is a table of three flat vectors. In each, layers follow one another
as ``getParameters`` joined them, in the order in which nngraph runs them; a layer is its weight (out × in, row by row),
then its bias. V words, embedding E, hidden H, combine layer J, image feature D, N answers:

================= ===================================================================================
``embedding_w_q`` V→E, on a one-hot word, then tanh
``encoder_w_q``   E→4H of layer 1's input, H→4H of its state; H→4H and H→4H of layer 2; H→1, not used
``multimodal_w``  4H→J of the question, D→J of the image, J→N
================= ===================================================================================

The four parts of 4H are the gates in, forget, out and the candidate (PyTorch: in, forget, candidate, out), and the
question is [c1, h1, c2, h2] after its last word (misc/LSTM.lua). ``data_prepro.json`` numbers words and answers from 1;
words that it does not have are read as its word ``UNK``. Dropout scales while training, so it has no part here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...data.schema import SchemaError, parsed, read_json
from ...errors import DataError, WeightsError
from ...models import backbones
from ...models.backbones import BackboneConfig
from ...models.deeper_lstm import DeeperLSTM, DeeperLSTMConfig
from . import torch7

VECTORS = ("embedding_w_q", "encoder_w_q", "multimodal_w")
GATES = (0, 1, 3, 2)  # in, forget, candidate, out among in, forget, out, candidate
UNKNOWN = "UNK"


def deeper_lstm(weights: Path, prepro: Path, cnn: BackboneConfig | None = None) -> DeeperLSTM:
    """The model of an ``lstm.t7`` and its ``data_prepro.json``; the CNN's own weights are not among them.

    All sizes follow from the lengths of the three vectors, the number of words and answers, and the CNN's feature;
    ``cnn`` is the Caffe VGG-19 where none is given.

    Raises
    ------
    WeightsError
        If a file is missing or damaged, holds another model's weights, or the two do not belong together.
    """
    words, answers = read_prepro(prepro)
    embedding, encoder, multimodal = read_vectors(weights)
    cnn = cnn or backbones.named("vgg19-caffe")
    found = sizes(len(embedding), len(encoder), len(multimodal), len(words), len(answers), _width(cnn))
    known = tuple(w for w in words if w != UNKNOWN)
    model = DeeperLSTM(DeeperLSTMConfig(known, tuple(answers), **found, tokens="original", cnn=cnn))
    with torch.no_grad():
        _fill_embedding(model, Flat(embedding), words)
        _fill_encoder(model, Flat(encoder))
        rest = Flat(multimodal)
        for layer in (model.question, model.image, model.output):
            weight, bias = rest.linear(layer.in_features, layer.out_features)
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
    return model.eval()


class Flat:
    """A vector of parameters, taken apart from its beginning, layer by layer."""

    def __init__(self, vector: Tensor):
        self.rest = vector

    def linear(self, inputs: int, outputs: int) -> tuple[Tensor, Tensor]:
        """The next layer: weight (outputs, inputs) and bias (outputs,)."""
        weight, bias, self.rest = self.rest.split([outputs * inputs, outputs, len(self.rest) - outputs * (inputs + 1)])
        return weight.view(outputs, inputs), bias


def _fill_embedding(model: DeeperLSTM, vector: Flat, words: list[str]) -> None:
    """A one-hot word picks a column; ours are rows, with padding (never read) and the unknown word before the others.

    Without the word UNK in the vocabulary an unknown word is a vector of zeros, which leaves the bias.
    """
    weight, bias = vector.linear(len(words), model.config.embedding)
    columns = dict(zip(words, weight.T + bias, strict=True))
    unknown = columns.get(UNKNOWN, bias)
    model.embedding.weight.copy_(
        torch.stack([torch.zeros_like(bias), unknown, *(columns[w] for w in model.config.words)])
    )


def _fill_encoder(model: DeeperLSTM, vector: Flat) -> None:
    hidden = model.config.hidden
    for layer, inputs in enumerate((model.config.embedding, hidden)):
        for kind, size in (("ih", inputs), ("hh", hidden)):
            for name, tensor in zip(("weight", "bias"), vector.linear(size, 4 * hidden), strict=True):
                gates = tensor.unflatten(0, (4, hidden))[list(GATES)].flatten(0, 1)
                getattr(model.lstm, f"{name}_{kind}_l{layer}").copy_(gates)


def sizes(embedding: int, encoder: int, multimodal: int, words: int, answers: int, feature: int) -> dict[str, int]:
    """E, H and J, as the config names them, from the lengths of the three vectors.

    E (V + 1), 12 H² + (4 E + 17) H + 1 and J (4 H + D + N + 2) + N are the lengths.

    Raises
    ------
    WeightsError
        If no whole numbers give these lengths.
    """
    width, rest = divmod(embedding, words + 1)
    if rest or not width:
        raise WeightsError(f"{VECTORS[0]} has {embedding:,} numbers, which is not an embedding of {words:,} words; "
                           "give the data_prepro.json that these weights were trained with")  # fmt: skip
    slope = 4 * width + 17
    hidden = (math.isqrt(slope**2 + 48 * (encoder - 1)) - slope) // 24
    if hidden < 1 or 12 * hidden**2 + slope * hidden + 1 != encoder:
        raise WeightsError(f"{VECTORS[1]} has {encoder:,} numbers, which is not a two-layer LSTM on words of {width} "
                           "numbers; this is another model, or another model's data_prepro.json")  # fmt: skip
    combine, rest = divmod(multimodal - answers, 4 * hidden + feature + answers + 2)
    if rest or combine < 1:
        raise WeightsError(f"{VECTORS[2]} has {multimodal:,} numbers, which do not lead from questions of "
                           f"{4 * hidden:,} and images of {feature:,} numbers to {answers:,} answers; this is another "
                           "model, or another model's data_prepro.json")  # fmt: skip
    return {"embedding": width, "hidden": hidden, "combine": combine}


def read_vectors(file: Path) -> list[Tensor]:
    """``embedding_w_q``, ``encoder_w_q`` and ``multimodal_w`` of an ``lstm.t7``.

    Raises
    ------
    WeightsError
        If they are not there, there is more, or they are not vectors of finite numbers.
    """
    table = torch7.load(file)
    if not isinstance(table, dict) or set(table) != set(VECTORS):
        holds = ", ".join(table) if isinstance(table, dict) else "no table"
        raise WeightsError(f"{file} is not an lstm.t7 of the Deeper LSTM: it holds {holds[:200] or 'nothing'}, not "
                           f"{', '.join(VECTORS)}; give the file of GT-Vision-Lab/VQA_LSTM_CNN")  # fmt: skip
    for name in VECTORS:
        if table[name].ndim != 1:
            raise WeightsError(f"{file} is not an lstm.t7 of the Deeper LSTM: its {name} is not a vector; give the "
                               "file of GT-Vision-Lab/VQA_LSTM_CNN")  # fmt: skip
    with np.errstate(over="ignore"):  # what float32 cannot hold is named below
        vectors = [torch.from_numpy(table[name].astype("float32")) for name in VECTORS]
    for name, vector in zip(VECTORS, vectors, strict=True):
        if not vector.isfinite().all():
            raise WeightsError(f"{file} is damaged: {name} holds numbers that are not finite; download it again")
    return vectors


@dataclass(frozen=True)
class Prepro:
    """What is read of a ``data_prepro.json``: words and answers by their numbers."""

    ix_to_word: dict[str, str]
    ix_to_ans: dict[str, str]


def read_prepro(file: Path) -> tuple[list[str], list[str]]:
    """Words and answers of a ``data_prepro.json`` (``ix_to_word``, ``ix_to_ans``), in the order of their numbers.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or does not number words and answers from 1.
    """
    remedy = "give the one of the weights"
    try:
        data = read_json(file, "a data_prepro.json", remedy)
        prepro = parsed(Prepro, {key: data[key] for key in ("ix_to_word", "ix_to_ans") if key in data})
        lists = [[table[str(i)] for i in range(1, len(table) + 1)] for table in (prepro.ix_to_word, prepro.ix_to_ans)]
    except DataError as error:
        raise WeightsError(str(error)) from None
    except (SchemaError, KeyError, TypeError) as error:
        raise WeightsError(f"{file} is not a data_prepro.json, which numbers words and answers from 1 in ix_to_word "
                           f"and ix_to_ans ({error}); {remedy}") from None  # fmt: skip
    if not all(lists):
        raise WeightsError(f"{file} is not a data_prepro.json: there are no words or no answers in it; {remedy}")
    return lists[0], lists[1]


def _width(cnn: BackboneConfig) -> int:
    with torch.device("meta"):
        return backbones.build(cnn).width
