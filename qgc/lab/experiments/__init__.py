"""The experiments of the book, each a module; :mod:`~qgc.lab.experiments.stages` runs those that are stored."""
