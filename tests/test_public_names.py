"""The public names, in whatever order they are touched."""

import importlib
import inspect
import pkgutil
import pydoc
import re
import subprocess
import sys
from itertools import permutations
from pathlib import Path
from types import ModuleType

import pytest

import qgc
from qgc.models import backbones
from qgc.moved import MOVED


@pytest.mark.parametrize("name", qgc.__all__)
def test_every_public_name_is_there(name):
    assert getattr(qgc, name) is not None and name in dir(qgc)


TOUCHES = {
    "call": "try: qgc.explain(None, None, '')\nexcept qgc.QGCError as error: assert 'takes a VQA model' in str(error)",
    "contrast": "import torch; assert qgc.explain.contrast(torch.ones(2, 2), torch.zeros(2, 2)).sum() == 4",
    "module": "import qgc.explain.gates; assert qgc.explain.gates.ranking.__module__ == 'qgc.explain.gates'",
    "same name": "import qgc.explain.contrast, qgc.explain.gradcam; from qgc.explain import gradcam, contrast",
    "measure": "qgc.measure",
    "plot": "qgc.plot",
}
ORDERS = [*permutations(["call", "contrast", "module"]), ("same name",), ("measure",), ("plot",)]


def test_explain_can_be_called_and_imported_from_in_any_order():
    """Each order begins without any module of qgc, in one fresh process, which imports PyTorch once."""
    anew = "import sys\nfor name in [n for n in sys.modules if n.split('.')[0] == 'qgc']: del sys.modules[name]"
    program = ["import torch, torchvision, pandas"]
    for order in ORDERS:
        program += [anew, f"print({order})", "import qgc", *map(TOUCHES.get, (*order, "call", "contrast", "module"))]
    found = subprocess.run([sys.executable, "-W", "error", "-c", "\n".join(program)], capture_output=True, text=True)
    assert found.returncode == 0 and len(found.stdout.splitlines()) == len(ORDERS), found.stdout + found.stderr


def test_help_shows_the_function():
    shown = pydoc.plain(pydoc.render_doc(qgc.explain))
    assert "qgc.explain(vqa, image, question, answer=None" in shown and "image : a scene" in shown
    assert "Read the modules in this order" in shown and "closed_form" in shown
    assert inspect.signature(qgc.explain) == inspect.signature(qgc.explain.explain)


def test_importing_qgc_is_quick():
    program = "import sys, qgc; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.parametrize("old", [*MOVED, "qgc.train.recipes"])
def test_modules_that_moved_are_the_same_under_their_old_names(old):
    name = MOVED.get(old, "qgc.lab.train.recipes")
    with pytest.warns(DeprecationWarning, match=rf"^{old} is {name} now$"):
        sys.modules.pop(old, None)
        module = importlib.import_module(old)
    assert module is importlib.import_module(name) and module.__spec__.name == name


def test_old_imports_of_modules_and_of_names_work():
    program = (
        "from qgc.measure import stored, protocol\nfrom qgc.measure.stored import Stored\n"
        "from qgc.train.recipes import RECIPES\nimport qgc.models.torch7, qgc.lab.protocol.stored as new\n"
        "assert stored is new and Stored is new.Stored and protocol.SCENES and RECIPES"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


# What the book's notebooks and README used when the package was eight packages of equal rank, and a few more that they
# did not: readers have it in programs of their own.
USED = [
    ("qgc", "QGCError View cli data explain load measure models paper plot scene scenes widgets"),
    ("qgc.cli", "main"),
    ("qgc.data", "load"),
    ("qgc.errors", "GateError QGCError"),
    ("qgc.explain", "REDUCTIONS View Words contrast engine explain gates gradcam guided_backprop guided_gradcam"),
    ("qgc.explain", "input_gradient sensitivity"),
    ("qgc.explain.engine", "maps"),
    ("qgc.explain.gates", "common compared distinct maps ranking"),
    ("qgc.explain.sensitivity", "jacobian"),
    ("qgc.images", "open_image"),
    ("qgc.measure", "MEASURES activations ceiling cga chance compare contrastive_grounding cosine evaluate"),
    ("qgc.measure", "map_share peers photo_results photographs protocol rank_grounding reductions rescaled"),
    ("qgc.measure", "same_answer_pairs shares similarity spearman stats"),
    ("qgc.measure.absent", "usual_place_verdicts"),
    ("qgc.measure.activations", "METHODS compare dependence passage passage_changes pictures question_differences"),
    ("qgc.measure.activations", "randomisation randomised upper_layers"),
    ("qgc.measure.stored.Stored", "arm natural_arms"),
    ("qgc.measure.compare", "FAMILIES MEASURED differences likeness localisation look"),
    ("qgc.measure.early", "BLIND"),
    ("qgc.measure.faithfulness", "odds_verdict"),
    ("qgc.measure.grounding", "Subject chosen_pairs"),
    ("qgc.measure.interventions", "changes intervention_rows interventional_grounding"),
    ("qgc.measure.localise", "ceilings cell_weights"),
    ("qgc.measure.nulls", "overlap_by_chance"),
    ("qgc.measure.overlap", "KINDS shared top_overlap"),
    ("qgc.measure.peers", "FORWARD FULL_SIZE RATIOS"),
    ("qgc.measure.photo_results", "accuracy at_hand by_gate kinds origins recorded tested"),
    ("qgc.measure.photographs", "KINDS same_answer"),
    ("qgc.measure.planted", "verdict_table"),
    ("qgc.measure.protocol", "ARMS DRAWS PAIRS SCENES SEEDS"),
    ("qgc.measure.rankings", "COMMON neuron_maps"),
    ("qgc.measure.reductions", "CANDIDATES draw pairs spanned to_paper_size"),
    ("qgc.measure.sanity", "HALF"),
    ("qgc.measure.stats", "Interval interval intervals"),
    ("qgc.measure.stored", "MODELS RESULTS Stored"),
    ("qgc.measure.stored.Stored", "read"),
    ("qgc.models", "DeeperLSTM card names"),
    ("qgc.models.deeper_lstm", "DeeperLSTM full_size"),
    ("qgc.models.pythia", "Pythia full_size"),
    ("qgc.paper", "CLAIMS SITUATIONS SPEARMAN TOP10 figure figures sweep_n table"),
    ("qgc.plot", "architecture contact_sheet distribution gate_sweep gradients map_rows overlay pair"),
    ("qgc.plot", "question_words rank_scatter scene_masks sweep"),
    ("qgc.scenes", "ANSWERS COLOURS DISTRIBUTIONS sample"),
    ("qgc.scenes.palette", "COLOURS"),
    ("qgc.scenes.questions", "HELD_OUT WORDINGS"),
    ("qgc.scenes.situations", "SITUATIONS"),
    ("qgc.show.planted", "which_are_fooled"),
    ("qgc.show", "results"),
    ("qgc.show.results", "asked_again at_some_n cascade complete dots null_distributions over_n over_n_panels"),
    ("qgc.show.results", "specification_curve"),
    ("qgc.show.style", "PALETTE STYLE Sheet"),
    ("qgc.train.recipes", "FIRST_SEED PYTHIA RECIPES"),
    ("qgc.train.run", "config"),
    ("qgc.train.vqa", "start"),
    ("qgc.widgets", "explorer scene_editor"),
    ("qgc.explain.View", "through"),
    ("qgc.explain.gates", "chance"),
    ("qgc.models.backbones.VGGLike", "maps"),
    ("qgc.models.text.Vocabulary", "of"),
    ("qgc.models.torchvision_cnn.TorchvisionCNN", "maps"),
]


@pytest.mark.filterwarnings("ignore:qgc.* is qgc.* now:DeprecationWarning")
@pytest.mark.parametrize("old", [f"{owner}.{name}" for owner, names in USED for name in names.split()])
def test_names_that_were_in_use_are_there(old):
    assert pkgutil.resolve_name(old) is not None


def test_the_number_of_maps_by_its_earlier_name():
    for config in (backbones.SCENES, backbones.named("squeezenet1_1")):
        cnn = backbones.build(config)
        assert cnn.maps == cnn.channels
        with pytest.raises(AttributeError):
            cnn.maps = 1


MODULES = ["qgc", *sorted(module.name for module in pkgutil.walk_packages(qgc.__path__, "qgc."))]
ROLE = re.compile(r":(?:mod|func|class|data|meth|attr|exc):`(?:[^`<]*<)?~?([\w.]+)(?:\(\))?>?`")


def named(name: str, at) -> bool:
    """Does what is at ``at`` have ``name``, dots and all? An attribute may be declared and not yet there."""
    for part in name.split("."):
        declared = part in getattr(at, "__annotations__", {})
        if not hasattr(at, part) and not declared:
            return False
        at = getattr(at, part, None)
    return True


def refers(name: str, module) -> bool:
    """Is there what a docstring of ``module`` calls ``name``? Modules by their own names, never by old ones."""
    if name.startswith("."):
        name = (module.__name__ if hasattr(module, "__path__") else module.__package__) + name
    if name.partition(".")[0] != "qgc":
        classes = [value for value in vars(module).values() if isinstance(value, type)]
        return any(named(name, at) for at in (module, *classes))
    if name in MODULES:
        return True
    inside = max((m for m in MODULES if name.startswith(f"{m}.")), key=len)
    at, rest = importlib.import_module(inside), name.removeprefix(f"{inside}.")
    old = isinstance(getattr(at, rest.partition(".")[0], None), ModuleType)  # imported by its old name before
    return named(rest, at) and not old


def test_what_docstrings_refer_to_is_there():
    lost, seen = [], 0
    for module in map(importlib.import_module, (name for name in MODULES if name != "qgc.__main__")):
        for name in ROLE.findall(Path(module.__file__).read_text(encoding="utf-8")):
            seen += 1
            lost += [] if refers(name, module) else [f"{module.__name__}: {name}"]
    assert not lost and seen > 300
    assert not refers("qgc.measure.interventions", qgc) and not refers(".nothing", qgc)
