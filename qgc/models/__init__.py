"""The models: CNNs, Deeper LSTM + normalized CNN, Pythia, other fusions, and their weights."""

from .deeper_lstm import DeeperLSTM, DeeperLSTMConfig, full_size
from .vqa import VQA
from .zoo import card, load, names

__all__ = ["VQA", "DeeperLSTM", "DeeperLSTMConfig", "card", "full_size", "load", "names"]
