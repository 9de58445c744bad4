"""Real photographs and full-size weights: where they come from, and how they are read."""
