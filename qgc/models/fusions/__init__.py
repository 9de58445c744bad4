"""Three more ways to join question and image that are not of the paper: low-rank bilinear, FiLM, a transformer."""

from .bilinear import LowRankBilinear, LowRankBilinearConfig
from .film import FiLM, FiLMConfig
from .transformer import SceneTransformer, SceneTransformerConfig

FAMILIES = {
    "bilinear": (LowRankBilinear, LowRankBilinearConfig),
    "film": (FiLM, FiLMConfig),
    "transformer": (SceneTransformer, SceneTransformerConfig),
}
LIMITS = dict.fromkeys(("size", "mlp"), (1, 100_000)) | {
    "factors": (1, 1000), "depth": (1, 100), "heads": (1, 100), "grid": (1, 1000), "patch": (1, 100),
}  # fmt: skip
"""What the numbers of their configurations may be."""
