"""Small random models of ``transformers``' VQA classes: they prove mechanics, and nothing about trained models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import transformers as T
from torch import nn

from qgc.module import Answer

QUESTIONS = ([5, 9, 11, 23, 7, 2], [5, 9, 14, 40, 31, 8, 2])  # of different lengths
TOKENS = [60, 61, 2]
S = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
VISION = {"image_size": 64, "patch_size": 8, **S}
LM = {"vocab_size": 120, "max_position_embeddings": 256, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
      "pad_token_id": 0, **S}  # fmt: skip
IMAGE = 110  # the token of a piece of the image
VILT = {"vocab_size": 100, "image_size": 64, "patch_size": 8, "num_labels": 20, "max_position_embeddings": 40, **S}


@dataclass
class Case:
    model: nn.Module
    inputs: list[dict]
    target: Any = 3
    grid: tuple[int, ...] = (1, 8, 8)
    J: int = 32


def text(ids):
    ids = torch.tensor([ids])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def chat(ids, count):
    """The image first, then the question, then the answer (teacher forcing)."""
    return text([1, *[IMAGE] * count, *ids, *TOKENS])


def of(model, inputs, *rest) -> Case:
    """Larger weights than those that training starts with, so that a random model reacts to what it is given."""
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.2)
    return Case(model, inputs, *rest)


def vilt():
    image = {"pixel_values": torch.rand(1, 3, 64, 64), "pixel_mask": torch.ones(1, 64, 64).long()}
    return of(T.ViltForQuestionAnswering(T.ViltConfig(**VILT)), [{**text(q), **image} for q in QUESTIONS])


def blip():
    words = {"vocab_size": 100, "max_position_embeddings": 40, "encoder_hidden_size": 32, "bos_token_id": 1,
             "sep_token_id": 2, "eos_token_id": 2, "pad_token_id": 0, **S}  # fmt: skip
    model = T.BlipForQuestionAnswering(T.BlipConfig(text_config=words, vision_config=VISION, projection_dim=32))
    image = {"pixel_values": torch.rand(1, 3, 64, 64), "decoder_input_ids": torch.tensor([[1, *TOKENS]])}
    return of(model, [{**text(q), **image} for q in QUESTIONS], Answer(TOKENS))


def lxmert():
    config = T.LxmertConfig(vocab_size=100, hidden_size=32, num_attention_heads=4, intermediate_size=64, l_layers=1,
                            x_layers=2, r_layers=1, visual_feat_dim=16, num_qa_labels=20,
                            max_position_embeddings=40)  # fmt: skip
    image = {"visual_feats": torch.rand(1, 36, 16), "visual_pos": torch.rand(1, 36, 4)}
    return of(T.LxmertForQuestionAnswering(config), [{**text(q), **image} for q in QUESTIONS], 3, (1, 1, 36))


def visualbert():
    config = T.VisualBertConfig(vocab_size=100, visual_embedding_dim=16, num_labels=20, max_position_embeddings=60, **S)
    image = {"visual_embeds": torch.rand(1, 36, 16), "visual_attention_mask": torch.ones(1, 36)}
    model = T.VisualBertForQuestionAnswering(config)
    return of(model, [{**text(q), **image} for q in QUESTIONS], 3, (1, 1, 36))


def clip():
    words = {"vocab_size": 100, "max_position_embeddings": 40, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}
    config = T.CLIPConfig(text_config={**words, **S}, vision_config=VISION, projection_dim=16)
    image = {"pixel_values": torch.rand(1, 3, 64, 64)}
    return of(T.CLIPModel(config), [{**text(q), **image} for q in QUESTIONS], 0, (1, 8, 8), 16)


def llava():
    config = T.LlavaConfig(
        vision_config=T.CLIPVisionConfig(**VISION), text_config=T.LlamaConfig(**LM), image_token_id=IMAGE
    )
    image = {"pixel_values": torch.rand(1, 3, 64, 64)}
    return of(T.LlavaForConditionalGeneration(config), [{**chat(q, 64), **image} for q in QUESTIONS], Answer(TOKENS))


def _tiled(model, config):
    made = model(config(vision_config=VISION, text_config=T.LlamaConfig(**LM), scale_factor=2, image_token_id=IMAGE))
    image = {"pixel_values": torch.rand(1, 1, 3, 64, 64)}
    return of(made, [{**chat(q, 16), **image} for q in QUESTIONS], Answer(TOKENS), (1, 4, 4))


def smolvlm():
    return _tiled(T.SmolVLMForConditionalGeneration, T.SmolVLMConfig)


def idefics3():
    return _tiled(T.Idefics3ForConditionalGeneration, T.Idefics3Config)


def qwen2_vl():
    vision = {"depth": 2, "embed_dim": 32, "num_heads": 4, "hidden_size": 32, "patch_size": 8, "spatial_merge_size": 2,
              "temporal_patch_size": 2, "mlp_ratio": 2}  # fmt: skip
    rope = {"type": "default", "rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    ids = {"image_token_id": IMAGE, "vision_start_token_id": 111, "vision_end_token_id": 112, "video_token_id": 113}
    config = T.Qwen2VLConfig(vision_config=vision, text_config={**LM, "rope_parameters": rope}, **ids)
    image = {"pixel_values": torch.rand(48, 3 * 2 * 8 * 8), "image_grid_thw": torch.tensor([[1, 6, 8]])}
    inputs = [{**text([111, *[IMAGE] * 12, *q, *TOKENS]), **image} for q in QUESTIONS]
    inputs = [{**one, "mm_token_type_ids": (one["input_ids"] == IMAGE).int()} for one in inputs]
    return of(T.Qwen2VLForConditionalGeneration(config), inputs, Answer(TOKENS), (1, 3, 4))


MODELS = {"vilt": vilt, "blip": blip, "lxmert": lxmert, "visualbert": visualbert, "clip": clip, "llava": llava,
          "smolvlm": smolvlm, "idefics3": idefics3, "qwen2_vl": qwen2_vl}  # fmt: skip


def make(name: str) -> Case:
    torch.manual_seed(0)
    return MODELS[name]()
