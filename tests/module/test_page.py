"""The page "Your own model": its blocks run as they stand, and are short enough to be read."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import qgc
from qgc.module import ADAPTERS

PAGE = (Path(__file__).resolve().parents[2] / "book" / "your-own-model.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def block(text: str) -> str:
    """The one block with a text in it."""
    (found,) = [code for code in BLOCKS if text in code]
    return found


def test_every_block_has_at_most_thirty_lines():
    assert len(BLOCKS) >= 3
    assert all(len([line for line in code.splitlines() if line.strip()]) <= 30 for code in BLOCKS)


def test_a_model_with_two_branches_is_explained(capsys):
    torch.manual_seed(0)
    found: dict = {}
    exec(block("class Added") + block("vqa.check"), found)
    assert "[14, 14]" in capsys.readouterr().out and (found["sink"].u == 1).all()


def test_a_module_of_ones_own_is_explained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    found: dict = {}
    exec(block("class Mine"), found)
    printed = capsys.readouterr().out
    assert "[1, 14, 14]) torch.Size([1, 14, 14]) leak 0.00" in printed and "mean cosine" in printed
    assert (tmp_path / "map.png").exists()
    e = found["sink"]
    assert e.sensitivity().value.all() and not e.sensitivity().error.any()


def test_vilt_and_a_model_that_writes_are_explained(tmp_path, monkeypatch, capsys):
    """The processors and the weights are small stand-ins: what is tried are the calls."""
    pytest.importorskip("transformers", reason="a development extra: make peers")
    import small_vlms

    vilt, llava = small_vlms.make("vilt"), small_vlms.make("llava")

    class Processor:
        tokenizer = staticmethod(lambda text, add_special_tokens: SimpleNamespace(input_ids=small_vlms.TOKENS))

        @classmethod
        def from_pretrained(cls, name):
            return cls()

        def __call__(self, image=None, question=None, return_tensors="pt", images=None, text=None):
            case, asked = (vilt, question) if text is None else (llava, text)
            ids = [5 + ord(c) % 50 for c in asked[-5:]]
            made = small_vlms.text(ids) if case is vilt else small_vlms.chat(ids, 64)
            return {**case.inputs[0], **made}

    stored = SimpleNamespace(from_pretrained=lambda name: vilt.model)
    stand_in = SimpleNamespace(ViltProcessor=Processor, ViltForQuestionAnswering=stored)
    monkeypatch.setitem(sys.modules, "transformers", stand_in)
    monkeypatch.chdir(tmp_path)
    qgc.scene("bathroom").image.save("photo.png")
    found: dict = {"qgc": qgc}
    exec(block("ViltProcessor"), found)
    assert "LABEL_" in capsys.readouterr().out and (tmp_path / "gated.png").exists()
    found["model"] = llava.model
    exec(block("USER:"), found)
    assert found["first"].map(token=0).shape == (1, 8, 8)


def test_the_page_names_every_model_whose_places_are_known():
    short = {"Vilt": "ViLT", "Blip": "BLIP-VQA", "Lxmert": "LXMERT", "VisualBert": "VisualBERT", "CLIP": "CLIP",
             "Llava": "LLaVA", "SmolVLM": "SmolVLM", "Idefics3": "Idefics3", "Qwen2VL": "Qwen2-VL"}  # fmt: skip
    names = [re.sub(r"For(QuestionAnswering|ConditionalGeneration)|Model$", "", name) for name in ADAPTERS]
    assert all(short.get(name, "Qwen2-VL") in PAGE for name in names)
