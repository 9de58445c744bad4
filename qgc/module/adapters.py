"""Where things are in some models of ``transformers``, as data (tests/module/test_transformers.py).

The places were tried on small random models of these classes. That proves the mechanics and no more: which block of a
trained model is worth explaining is for its user to find out (book/your-own-model.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from ..errors import QGCError
from .places import BOXES, Grid


@dataclass(frozen=True)
class Adapter:
    """The places of a class of models; ``layout``: ``reshape_transform``, or a function of model and inputs."""

    target_layer: str
    question: str
    fusion: str
    output: str | None = None
    layout: str | Callable[[nn.Module, Any], Grid] | None = None


def merged_grid(model: nn.Module, inputs: Any) -> Grid:
    """Qwen2-VL's grid: its patches are merged, and how many there are depends on the image."""
    sizes = getattr(inputs, "get", lambda key: None)("image_grid_thw")
    if sizes is None or len(sizes) != 1 or sizes[0, 0] != 1:
        raise QGCError("the grid is read from image_grid_thw of one image; give one at a time, or reshape_transform")
    merge = model.config.vision_config.spatial_merge_size
    return Grid(int(sizes[0, 1]) // merge, int(sizes[0, 2]) // merge)


HALFWAY = "model.language_model.layers.50%"  # a whole block: residual connections pass around all that is smaller
QWEN = Adapter("model.visual.merger", "model.language_model.embed_tokens", HALFWAY, layout=merged_grid)
# one map for each tile of the image, the last one of the whole image
TILED = Adapter("model.connector", "model.text_model.embed_tokens", "model.text_model.layers.50%")

ADAPTERS = {
    # patches are shuffled behind the patch embedding, in evaluation mode too
    "ViltForQuestionAnswering": Adapter("vilt.embeddings.patch_embeddings",
        "vilt.embeddings.text_embeddings.word_embeddings", "classifier:input"),
    # forward gives no scores: put [start, *tokens] into decoder_input_ids
    "BlipForQuestionAnswering": Adapter("vision_model",
        "text_encoder.embeddings.word_embeddings", "text_encoder", "text_decoder"),
    "LxmertForQuestionAnswering": Adapter("lxmert.encoder.visn_fc",
        "lxmert.embeddings.word_embeddings", "answer_head:input", layout=BOXES),
    "VisualBertForQuestionAnswering": Adapter("visual_bert.embeddings.visual_projection",
        "visual_bert.embeddings.word_embeddings", "cls:input", layout=BOXES),
    # behind the last block the class token alone is read; neither projection sees both sides, so A is their product
    "CLIPModel": Adapter("vision_model.encoder.layers.-2",
        "text_model.embeddings.token_embedding", "text_projection * visual_projection"),
    "LlavaForConditionalGeneration": Adapter("model.multi_modal_projector",
        "model.language_model.embed_tokens", HALFWAY),
    "Idefics3ForConditionalGeneration": TILED,
    "SmolVLMForConditionalGeneration": TILED,
    "Qwen2VLForConditionalGeneration": QWEN,
    "Qwen2_5_VLForConditionalGeneration": QWEN,
}  # fmt: skip


def find(model: nn.Module) -> Adapter | None:
    """The adapter of a model's class, or of a class that it is derived from."""
    return next((ADAPTERS[c.__name__] for c in type(model).__mro__ if c.__name__ in ADAPTERS), None)
