"""The slider through training: one model at six moments, two maps, and its point on the curve (book/when.ipynb).

`python site training --record --runs RUNS` writes book/results/protocol-2/training.json from training runs, which are
not in the repository; `python site training SITE` needs no run, and loads the slider on the pages that hold one.
"""

from .export import record, write

__all__ = ["record", "write"]
