"""What a stranger reads first is true: the page "The code in an hour", and CONTRIBUTING's map and recipes."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest
import torch
from depends import is_text
from models.test_contract import documented
from sphinx.pycode import ModuleAnalyzer
from torch import nn

import qgc
from qgc.explain import gradcam
from qgc.models import backbones, zoo
from qgc.scenes.scene import Thing
from qgc.scenes.things import KINDS, thing

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "book" / "code-in-an-hour.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
LIST = re.findall(r"^\| `(qgc/[\w/]+\.py)` \| (\d+) \|", PAGE, re.MULTILINE)
INCLUDED = re.findall(r"^```\{literalinclude\} (\S+)\n:pyobject: (\S+)$", PAGE, re.MULTILINE)


def test_the_blocks_of_the_page_run_and_the_closed_form_is_grad_cam(capsys):
    found: dict = {}
    exec("\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)), found)
    vqa, F, q, a, order, every = (found[name] for name in ("vqa", "F", "q", "a", "order", "every"))
    for n in (1, 300, 1024):
        exact = gradcam(vqa, F, q, a, order[:n])
        assert (every[n - 1] - exact).abs().max() <= 1e-10 * exact.abs().max()
    assert "white" in capsys.readouterr().out


def test_what_the_page_shows_is_in_the_package():
    assert len(INCLUDED) == PAGE.count("literalinclude") >= 8
    for file, name in INCLUDED:
        assert name in ModuleAnalyzer.for_file((ROOT / "book" / file).resolve(), "shown").find_tags(), (file, name)


def test_the_code_is_read_in_an_hour():
    minutes = [int(number) for number in re.search(r"\*\*Minutes:\*\* (\d+) .*?(\d+) ", PAGE).groups()]
    assert sum(minutes) <= 60 and sum(int(number) for _, number in LIST) == minutes[1]
    lines = {file: len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file, _ in LIST}
    assert len(lines) >= 8 and sum(lines.values()) <= 2000, lines
    assert not any("/lab/" in file for file in lines)


CORE = ("explain", "models", "scenes", "measure", "paper", "show", "cli", "terminal.py")
DRAWINGS = ("scenes/things/", "scenes/svg.py", "scenes/render.py", "show/drawing.py")  # the last: Fig. 26
BESIDES = "models/fusions/"  # three models that are not of the paper
MOST_LINES, MOST_CODE = 8000, 5000  # physical lines; without docstrings, comments and blank ones


def code_lines(source: str) -> int:
    """How many lines of a module hold code."""
    silent = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    code = {line for t in tokens if t.type not in silent for line in range(t.start[0], t.end[0] + 1)}
    words = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Expr) and is_text(node))
    return len(code - {line for node in words for line in range(node.lineno, node.end_lineno + 1)})


def test_code_is_counted_without_its_words():
    assert (
        code_lines(
            '"""A\nmodule."""\n\n# why\nA = (\n    1,\n)\n"""About\nA."""\ndef f():\n    """Do."""\n    return A'
        )
        == 5
    )


def test_the_core_is_small(capsys):
    """What a newcomer may have to read of the paper; whoever adds to it looks for what can go."""
    files = {p.relative_to(ROOT / "qgc").as_posix(): p for p in (ROOT / "qgc").rglob("*.py")}
    core = {n: p.read_text(encoding="utf-8") for n, p in files.items() if n.split("/")[0] in CORE}
    core = {name: text for name, text in core.items() if not name.startswith((*DRAWINGS, BESIDES))}
    lines, code = (sum(map(count, core.values())) for count in (lambda text: len(text.splitlines()), code_lines))
    with capsys.disabled():
        print(f"\nthe core: {lines} lines, {code} of them code, in {len(core)} modules")
    assert lines <= MOST_LINES and code <= MOST_CODE


def test_the_map_names_every_package_and_every_path_is_there():
    modules = (*ROOT.glob("qgc/*/__init__.py"), *ROOT.glob("qgc/lab/*/__init__.py"))
    packages = {p.parent.relative_to(ROOT).as_posix() for p in modules} - {"qgc/lab"}
    assert packages == set(re.findall(r"^\| `(qgc/[\w/]+)` \|", CONTRIBUTING, re.MULTILINE))
    paths = set(re.findall(r"`((?:book|qgc|site|tests|tools)/[\w./-]+)`", CONTRIBUTING)) - {"book/NAME.ipynb"}
    links = set(re.findall(r"\]\(([^)#]+)\)", CONTRIBUTING))
    assert len(paths) > 20 and not [path for path in paths | links if not (ROOT / path).exists()]


@pytest.mark.parametrize("what", ["model", "ranking", "metric", "object", "chapter"])
def test_a_recipe_has_five_steps(what):
    (steps,) = re.findall(rf"^## Add an? {what}\n(.*?)^## ", CONTRIBUTING, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^(\d)\.", steps, re.MULTILINE) == list("12345")


@dataclass(frozen=True)
class OwnConfig:
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    combine: int = 8
    cnn: backbones.BackboneConfig = field(default=backbones.SCENES)

    def as_dict(self) -> dict:
        return asdict(self)


def test_a_model_is_saved_and_loaded_after_one_entry(tmp_path, monkeypatch):
    found: dict = {}
    exec(documented(), found)

    class Own(found["OwnModel"]):
        def __init__(self, config: OwnConfig):
            super().__init__(config.questions, list(config.answers), config.combine)
            self.config = config

    scene = found["scene"]
    monkeypatch.setitem(zoo.FAMILIES, "own", (Own, OwnConfig))
    own = Own(OwnConfig(tuple(scene.questions), ("white", "blue"))).double()
    zoo.save(own, tmp_path / "model", {}, exact=True)
    first, second = (qgc.explain(vqa, scene, scene.questions[0], "white").maps() for vqa in (own, qgc.load(tmp_path)))
    torch.testing.assert_close(first, second, rtol=1e-4, atol=0)


@pytest.mark.parametrize("encoder", ["gru", "transformer"])
def test_another_encoder_fusion_and_way_to_cut_words_are_said_as_the_book_says(encoder):
    found: dict = {}
    exec(documented(), found)

    class Own(found["OwnModel"]):
        def __init__(self, questions, answers):
            super().__init__(questions, answers)
            self.vocabulary.cut = lambda question: re.findall(r"[a-z]+", question.lower())
            size = self.combine
            self.gru = nn.GRU(size, size, batch_first=True)
            self.layer = nn.TransformerEncoderLayer(size, 4, batch_first=True)

        def encode_tokens(self, tokens, lengths):
            w = self.words(tokens)
            if encoder == "transformer":
                return self.layer(w, src_key_padding_mask=tokens == 0)[:, 0]
            return self.gru(nn.utils.rnn.pack_padded_sequence(w, lengths, True, enforce_sorted=False))[1][0]

        def branches(self, F, q):
            v = (self.image(F.mean((2, 3))) + q).tanh()
            return torch.ones_like(v), v

    scene = found["scene"]
    vqa = Own(scene.questions, ["white", "blue"]).double()
    for e in qgc.explain(vqa, scene, scene.questions, "white"):  # of different lengths, in one batch
        exact = gradcam(vqa, e.F, e.q, 0, e.order[:9])
        assert (e.map(9, relu=False) - exact).abs().max() <= 1e-10 * exact.abs().max() and e.sensitivity.min() > 0


def test_an_object_is_drawn_masked_and_asked_about_after_one_drawing(monkeypatch):
    monkeypatch.setitem(KINDS, "lantern", None)  # so that it goes again

    @thing("lantern", size=(30, 50), stands="sky", colours="any")
    def lantern(pen, c, rng):
        pen.ellipse(0, -25, 15, 22, c.base, c.line, 1.2)

    park = qgc.scene("park")
    scene = replace(park, things=(*park.things, Thing("lantern", "red", 100, 80, 1.0, 7)), fixed_asks=(), name="")
    assert scene.masks["lantern"].sum() > 500
    assert ("What color is the lantern?", "red", "lantern") in scene.asks
