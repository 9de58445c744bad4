"""The checks for a machine with a GPU, tried on this one's CPU: they hold here, and they see what is wrong."""

from __future__ import annotations

import re
import shutil

import build_book
import gpu_check
import nbformat
import pytest
import torch


def test_without_a_gpu_one_sentence_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main([]) == 0
    assert capsys.readouterr().out == "There is no GPU here that PyTorch can use, so there is nothing to check.\n"


def test_maps_agree_and_a_step_in_bfloat16_learns():
    rows = [*gpu_check.closed_form_agreement("cpu"), *gpu_check.training_step("cpu", batch=4)]
    assert len(rows) == 5 and all(row.holds for row in rows), rows


@pytest.mark.parametrize(
    "ours, theirs, count, wrong",
    [
        ("sink 0.123 of 40", "sink  0.124 of 40", 2, []),  # the last digit may be rounded otherwise
        ("sink 0.123 of 40", "sink 0.125 of 40", 2, ["0.123 … 0.125"]),
        ("−0.10 to 1.5e-03", "-0.10 to 1.6e-03", 2, []),
        ("1.5e-03", "1.8e-03", 1, ["1.5e-03 … 1.8e-03"]),
        ("on cpu: 3", "on cuda:0: 3", 1, []),
        ("True 1", "False 1", 0, ["'True #' … 'False #'"]),
        ("1 2", "1", 0, ["'# #' … '#'"]),
    ],
)
def test_numbers_are_compared_by_their_last_digit(ours, theirs, count, wrong):
    texts = [gpu_check.printed({"outputs": [{"text": text}]}) for text in (ours, theirs)]
    assert gpu_check.differences(*texts) == (count, wrong)


@pytest.mark.parametrize("change, holds", [("", True), ("0.5", False)])
def test_a_notebook_is_compared_with_what_stands_in_it(monkeypatch, change, holds):
    def executed(source, run, device):
        run.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, run)
        notebook = nbformat.read(run, 4)
        streams = [out for c in notebook.cells for out in c.get("outputs", []) if out.output_type == "stream"]
        for out in streams if change else []:
            out.text = re.sub(r"\b0\.\d+", change, out.text)
        nbformat.write(notebook, run)

    monkeypatch.setattr(build_book, "execute", executed)
    row = gpu_check.notebook("nulls", "cpu")
    assert row.holds is holds and int(row.found.split()[0]) > 30, row


def test_all_but_pytorch_comes_from_the_wheels():
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in gpu_check.needs()}
    assert {"numpy", "papermill", "ipykernel", "thorvg-python"} <= names and not {"torch", "torchvision"} & names
