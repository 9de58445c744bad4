"""``python -m qgc convert``: published weights as a run."""

from __future__ import annotations

from pathlib import Path

from ...terminal import path


def add_convert(convert) -> None:
    """Fill the parser of the command ``convert``."""
    kinds = convert.add_subparsers(required=True, metavar="model")

    lstm = kinds.add_parser("deeper-lstm", help="the Deeper LSTM of VQA: lstm.t7 of GT-Vision-Lab/VQA_LSTM_CNN")
    lstm.add_argument("weights", type=path, metavar="LSTM.t7")
    lstm.add_argument("--prepro", type=path, required=True, help="its vocabulary, data_prepro.json")
    lstm.add_argument("--cnn-weights", type=path, required=True, metavar="FILE",
                      help="the Caffe VGG-19, vgg19-d01eb7cb.pth (python -m qgc fetch vgg19-caffe)")  # fmt: skip
    lstm.add_argument("--out", type=path, required=True, metavar="RUN", help="the folder to write")
    lstm.set_defaults(run=_deeper_lstm)

    pythia = kinds.add_parser("pythia", help="Pythia v0.1: a checkpoint of facebookresearch/pythia")
    pythia.add_argument("checkpoint", type=path, metavar="CHECKPOINT")
    pythia.add_argument("--words", type=path, required=True, help="its words, one a line (vocabulary_vqa.txt)")
    pythia.add_argument("--answers", type=path, required=True, help="its answers, one a line (answers_vqa.txt)")
    pythia.add_argument("--cnn-weights", type=path, metavar="FILE",
                        help="torchvision's ResNet-152 (default: resnet152-394f9c45.pth beside the checkpoint "
                        "or in PyTorch's cache; python -m qgc fetch resnet152 brings it)")  # fmt: skip
    pythia.add_argument("--out", type=path, required=True, metavar="RUN", help="the folder to write")
    pythia.set_defaults(run=_pythia)


def _deeper_lstm(args) -> None:
    from .convert import convert_deeper_lstm

    _done(convert_deeper_lstm(args.weights, args.prepro, args.cnn_weights, args.out))


def _pythia(args) -> None:
    from .convert import convert_pythia

    _done(convert_pythia(args.checkpoint, args.words, args.answers, args.out, args.cnn_weights))


def _done(card: Path) -> None:
    print(f'wrote {card} and its weights; try: python -m qgc explain photo.jpg "What is this?" --model {card.parent}')
