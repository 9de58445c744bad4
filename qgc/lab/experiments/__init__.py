"""The experiments of the book, each a module; :mod:`~qgc.lab.experiments.runner` runs those that are stored."""
