"""The laboratory: what makes or checks the book's results. Nobody needs it to read the book, or to explain a model.

:mod:`~qgc.lab.protocol` says what is measured, on which scenes and models, and keeps the results;
:mod:`~qgc.lab.experiments` are the measurements; :mod:`~qgc.lab.figures` draws them; :mod:`~qgc.lab.train` trains the
models; :mod:`~qgc.lab.published` reads other people's checkpoints; :mod:`~qgc.lab.fetch` brings photographs;
:mod:`~qgc.lab.bench` compares speeds; :mod:`~qgc.lab.ledger` sets ours beside all that the paper printed.
The core (``explain``, ``models``, ``scenes``, ``measure``, ``paper``, ``show``) imports nothing of it.
"""
