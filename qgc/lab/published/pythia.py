"""The published checkpoint of Pythia v0.1, ``best_model.pth``, as ours.

It is what ``torch.save`` made of ``{"state_dict": …, "optimizer": …, …}`` (facebookresearch/pythia,
train_model/Engineer.py), and its names are those of :mod:`qgc.models.pythia`. Both vocabularies begin with ``<unk>``.
Among the words it is the blank; among the answers it is one that the model may not give: ``masked_unk_softmax`` sets
its probability to zero and lets the others add up to one, and so it is omitted here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ...data import checks
from ...errors import DataError, WeightsError
from ...models import backbones, weights_file
from ...models.backbones import BackboneConfig
from ...models.evaluation import is_finite
from ...models.pythia import Pythia, PythiaConfig

BLANK = "<unk>"
CNN, PARALLEL = "cnn.", "module."


def checkpoint_state(model: Pythia, parallel: bool = False) -> dict[str, Tensor]:
    """The model's tensors under the published names; without the CNN, which is not part of the checkpoint.

    ``parallel`` puts ``module.`` before each, as a model trained on several devices was saved.
    """
    before = PARALLEL if parallel else ""
    return {before + k: v for k, v in model.state_dict().items() if not k.startswith(CNN)}


def load_checkpoint(model: Pythia, state: Mapping[str, Tensor]) -> None:
    """Copy a published checkpoint's ``state_dict``, with or without ``module.``, into a model of its size.

    The CNN keeps its weights: the checkpoint was trained on features, and torchvision's ResNet-152 belongs to it.

    Raises
    ------
    WeightsError
        If a name or shape differs; the message says which. Nothing is copied then.
    """
    state = {k.removeprefix(PARALLEL): v for k, v in state.items()}
    own = checkpoint_state(model)
    wrong = sorted(own.keys() ^ state.keys()) or [k for k in own if own[k].shape != state[k].shape]
    if wrong:
        raise WeightsError(
            f"this is not a checkpoint of a Pythia of this size: {len(wrong)} of its names or shapes differ, first "
            f"{wrong[0]!r}; make the model with full_size and the checkpoint's own words and answers"
        )
    model.load_state_dict(state, strict=False)


def pythia(checkpoint: Path, words: Path, answers: Path, cnn: BackboneConfig | None = None) -> Pythia:
    """The model of a checkpoint of Pythia v0.1 and its two vocabularies; the CNN's own weights are not among them.

    All sizes follow from the checkpoint's tensors; ``cnn`` is ResNet-152 on 448 pixels where none is given.

    Raises
    ------
    WeightsError
        If a file is missing, damaged or could run code, holds another model's weights, or they do not belong together.
    """
    known, given = read_lines(words), read_lines(answers)
    if known[0] != BLANK:
        raise WeightsError(f"{words} does not begin with {BLANK}, so it is not the vocabulary of a Pythia checkpoint")
    state = read_state(checkpoint)
    config = config_of(checkpoint, state, known[1:], given, cnn or backbones.named("resnet152", side=448))
    _check_lines(words, known, "words", state["question_embedding_models.0.embedding.weight"])
    _check_lines(answers, given, "answers", state["classifier.linear_text.weight"])
    answerable = [i for i, answer in enumerate(given) if answer != BLANK]
    for name in [k for k in state if k.startswith("classifier.linear_")]:
        if len(state[name]) == len(given):  # of another length it is refused below
            state[name] = state[name][answerable]
    model = Pythia(PythiaConfig(**{**config, "answers": tuple(given[i] for i in answerable)}))
    try:
        load_checkpoint(model, state)
    except WeightsError as error:
        raise WeightsError(f"{checkpoint}: {error}") from None
    return model.eval()


def read_state(checkpoint: Path) -> dict[str, Tensor]:
    """A checkpoint's tensors by their names.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, could run code, or holds numbers that are not finite.
    """
    state = weights_file.read(checkpoint)
    for name, tensor in state.items():
        if not is_finite(tensor.float()):  # as the model holds it
            raise WeightsError(f"{checkpoint} is damaged: {name} holds numbers that are not finite; download it again")
        if name.endswith(".weight_g") and tensor.shape == (1,):  # as PyTorch 0.3 wrote a single number
            state[name] = tensor[0]
    return state


def config_of(checkpoint: Path, state: Mapping[str, Tensor], words, answers, cnn: BackboneConfig) -> dict:
    """The config of a checkpoint's sizes, as keywords of :class:`PythiaConfig`.

    Raises
    ------
    WeightsError
        If a tensor that tells a size is missing or has another number of dimensions.
    """

    def shape(name: str, dimensions: int) -> tuple[int, ...]:
        if name not in state or state[name].ndim != dimensions:
            raise WeightsError(f"{checkpoint} is not a checkpoint of Pythia v0.1: it has no {name!r} of {dimensions} "
                               "dimensions; give its best_model.pth")  # fmt: skip
        return tuple(state[name].shape)

    question, image = "question_embedding_models.0", "modal_combine.Fa_image.main.0.weight_v"
    glimpses, conv1, _ = shape(f"{question}.conv2.weight", 3)
    attention, first = shape(f"image_embedding_models_list.0.0.image_attention_model.{image}", 2)
    kinds = {k.split(".")[1] for k in state if k.startswith("image_embedding_models_list.")}
    return {
        "words": tuple(words),
        "answers": tuple(answers),
        "embedding": shape(f"{question}.embedding.weight", 2)[1],
        "hidden": shape(f"{question}.LSTM.weight_hh_l0", 2)[1],
        "conv1": conv1,
        "glimpses": glimpses,
        "attention": attention,
        "combine": shape(f"multi_{image}", 2)[0],
        "text_head": shape("classifier.linear_text.weight", 2)[1],
        "image_head": shape("classifier.linear_image.weight", 2)[1],
        "boxes": first if len(kinds) > 1 else 0,
        "dropout": 0.0,
        "tokens": "pythia",
        "cnn": cnn,
    }


def read_lines(file: Path) -> list[str]:
    """One word or answer a line, as Pythia's vocabularies are written.

    Raises
    ------
    WeightsError
        If the file is missing, no text, or empty.
    """
    lines = [line.strip() for line in _text(file).rstrip("\n").split("\n")]
    if lines == [""]:
        raise WeightsError(f"{file} is empty; give the vocabulary that came with the checkpoint")
    return lines


def _text(file: Path) -> str:
    try:
        return checks.read_text(file, "a text", "give the vocabulary that came with the weights")
    except DataError as error:
        raise WeightsError(str(error)) from None


def _check_lines(file: Path, lines: list[str], what: str, table: Tensor) -> None:
    if len(lines) != len(table):
        raise WeightsError(f"{file} has {len(lines):,} lines and the checkpoint {len(table):,} {what}; "
                           "give the file that the checkpoint was trained with")  # fmt: skip
