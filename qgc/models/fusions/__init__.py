"""Three more ways to join question and image that are not of the paper: low-rank bilinear, FiLM, a transformer."""
