"""Which random scenes there are: two distributions, and the seeds of five splits that never meet."""

from __future__ import annotations

DISTRIBUTIONS = ("natural", "balanced")
# The first seed of each split; ten million are a split's own. No model has learnt from a scene of the last four.
FIRST_SEED = {"train": 0, "validation": 10_000_000, "test": 20_000_000, "course": 30_000_000, "benchmark": 40_000_000}
