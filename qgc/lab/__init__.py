"""The laboratory: what makes or checks the book's results. Nobody needs it to read the book, or to explain a model.

``protocol`` says what is measured, on which scenes and models, and keeps the results; ``experiments`` are the
measurements; ``figures`` draws them; ``train`` trains the models; ``published`` reads other people's checkpoints;
``fetch`` brings photographs; ``bench`` compares speeds; ``grounding`` is a benchmark of methods that others can enter;
``ledger`` sets ours beside all that the paper printed.
The core (``explain``, ``models``, ``scenes``, ``measure``, ``paper``, ``show``) imports nothing of it.
"""
