"""Other people's checkpoints (VQA's Deeper LSTM, Pythia) as models of ours: :mod:`~qgc.lab.published.convert`."""
