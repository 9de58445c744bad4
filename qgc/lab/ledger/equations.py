"""Which function computes which equation, which test holds it, and which chapter explains it (book/ledger.md)."""

from __future__ import annotations

import ast
import importlib
import inspect
from dataclasses import dataclass
from pathlib import Path

from .links import ROOT, dead


@dataclass(frozen=True)
class Equation:
    """One row: ``where`` in the paper or book it stands, and what of it the docstring's first line must name.

    ``function`` is a dotted path, ``test`` a pytest node id, ``section`` a heading of the chapter or "".
    """

    what: str
    where: str
    names: str
    function: str
    test: str
    chapter: str
    section: str = ""


_CLOSED = "tests/explain/test_closed_form.py"
_SENSITIVITY = "tests/explain/test_sensitivity.py"
_GATES = "tests/explain/test_gates.py"
_WORDS = "tests/explain/test_words.py"
_PRICE = "The closed form: all 1024 maps for the price of one"

EQUATIONS: tuple[Equation, ...] = (
    Equation("α_k = (1/Z) Σ_ij ∂y_a/∂F^k_ij, gated, for every n", "paper Eq. 1", "Eq. 1",
             "qgc.explain.closed_form.weights", f"{_CLOSED}::test_alpha_agrees_with_small_steps", "gate", _PRICE),
    Equation("L = ReLU(Σ_k α_k F^k)", "paper Eq. 2", "Eq. 2", "qgc.explain.closed_form.maps",
             f"{_CLOSED}::test_all_1024_neurons_are_plain_gradcam", "same-answer",
             "Grad-CAM weighs feature maps by the answer's gradient"),
    Equation("Grad-CAM with the gate, by automatic differentiation", "paper Eq. 1–2, §3.3", "Eq. 1–2",
             "qgc.explain.gradcam.gradcam", f"{_CLOSED}::test_200_maps_agree_with_autograd", "gate",
             _PRICE),
    Equation("∂A/∂q, row j: v_j (1 − u_j²) Wq[j, :]", "paper §3.2", "§3.2", "qgc.explain.sensitivity.jacobian",
             f"{_SENSITIVITY}::test_the_jacobian_agrees_with_small_steps", "sensitivity",
             "∂A/∂q has one row for each neuron"),
    Equation("∂A/∂q, one number per neuron: l2, sum or abs-sum", "paper §3.2, Tables 1–4", "Tables 1–4",
             "qgc.explain.sensitivity.sensitivity", f"{_SENSITIVITY}::test_the_closed_form_agrees_with_autograd",
             "sensitivity", "From a row to one number"),
    Equation("the ten most sensitive neurons", "paper Tables 1–4", "Tables 1–4", "qgc.explain.Explanation.top",
             f"{_CLOSED}::test_top_is_the_ranking", "sensitivity", "The paper's Tables 1–4 beside ours"),
    Equation("∂y_a/∂A_j kept for j among the top n", "paper §3.3", "§3.3", "qgc.explain.Explanation.map",
             f"{_CLOSED}::test_a_chosen_set_agrees_with_autograd", "gate", "The gate in words and in one equation"),
    Equation("the set S of the top n", "paper §3.3", "§3.3", "qgc.explain.gates.top",
             f"{_GATES}::test_top_is_a_row_for_every_n", "gate", "The gate in words and in one equation"),
    Equation("L(S) for many sets", "paper §3.3", "§3.3", "qgc.explain.gates.maps",
             f"{_GATES}::test_maps_of_many_sets_are_the_maps_of_each", "gate", "The share of a map on an object"),
    Equation("M_jk = (1/Z) Σ_ij ∂v_j/∂F^k_ij", "book, the gate", "book/gate.ipynb",
             "qgc.explain.closed_form.pooled_jacobian", f"{_CLOSED}::test_closed_form_and_fallback_agree", "gate",
             _PRICE),
    Equation("u = tanh(Wq q + bq)", "book, the model", "u = tanh(Wq q + bq)",
             "qgc.models.deeper_lstm.DeeperLSTM.question_branch",
             "tests/models/test_deeper_lstm.py::test_the_question_embedding_is_c1_h1_c2_h2", "model",
             "Where they meet: u, v and A"),
    Equation("v = tanh(Wi f/‖f‖ + bi)", "book, the model", "v = tanh(Wi f/‖f‖ + bi)",
             "qgc.models.deeper_lstm.DeeperLSTM.image_branch",
             "tests/models/test_deeper_lstm.py::test_all_of_the_picture_is_seen", "model",
             "Where they meet: u, v and A"),
    Equation("share of a map on an object", "book, the gate (Arras et al. 2022)", "Arras et al. 2022",
             "qgc.measure.map_share", "tests/measure/test_localise.py::test_map_share_by_hand", "gate",
             "The share of a map on an object"),
    Equation("two questions with one answer", "paper §3", "§3", "qgc.measure.same_answer_pairs",
             "tests/measure/test_similarity.py::test_pairs_share_their_answer_but_not_their_thing", "same-answer",
             "Over many scenes: nearly one map in two of three models"),
    Equation("Σab / (‖a‖‖b‖) of two maps", "book, same answer", "Cosine of two maps", "qgc.measure.cosine",
             "tests/measure/test_similarity.py::test_cosine_of_known_maps", "same-answer", "In numbers"),
    Equation("Spearman's rank correlation", "paper Tables 5–6", "Tables 5–6", "qgc.measure.spearman",
             "tests/measure/test_similarity.py::test_spearman_is_pearson_of_mean_ranks", "rank-correlation",
             "What the paper reports"),
    Equation("neurons shared among the top k", "paper §3.2", "§3.2", "qgc.lab.experiments.overlap.top_overlap",
             "tests/lab/experiments/test_overlap.py::test_mean_overlap_equals_a_loop_over_pairs", "sensitivity",
             "Over many scenes"),
    Equation("∂A/∂w, by the chain rule", "paper §5", "§5", "qgc.explain.Words.jacobian",
             f"{_WORDS}::test_the_chain_rule_agrees_with_autograd", "future-work",
             "∂A/∂w: the sensitivity to one word"),
    Equation("the top n without the common ones", "paper §5", "§5", "qgc.explain.gates.distinct",
             f"{_GATES}::test_distinct_is_the_difference_of_two_sets", "future-work",
             "Leaving out what two questions share"),
    Equation("the verdict of a row", "book, the ledger", "book/ledger.md", "qgc.lab.ledger.rules.verdict",
             "tests/lab/ledger/test_ledger.py::test_a_verdict_follows_from_its_checks", "ledger",
             "The rules, and the one that was changed"),
)  # fmt: skip
"""The table, in the order of the paper and then of the book."""


def resolve(path: str):
    """The object (book/ledger.md) of a dotted path: the longest part that is a module, then attributes.

    Raises
    ------
    ImportError
        If nothing of that name can be imported.
    """
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        try:
            for name in parts[cut:]:
                found = getattr(found, name)
        except AttributeError as error:
            raise ImportError(f"cannot import {path}: {error}") from None
        return found
    raise ImportError(f"cannot import {path}")


def faults(equations: tuple[Equation, ...] = EQUATIONS, root: Path = ROOT) -> list[str]:
    """What in the table (book/ledger.md) leads nowhere: functions, their docstrings, tests, chapters."""
    return [f"equation {e.what!r}: {fault}" for e in equations for fault in _faults(e, root)]


def _faults(e: Equation, root: Path) -> list[str]:
    found = []
    try:
        first = (inspect.getdoc(resolve(e.function)) or "").partition("\n")[0]
        if e.names not in first:
            found.append(f"the docstring of {e.function} does not name {e.names!r} in its first line: {first!r}")
    except ImportError as error:
        found.append(str(error))
    file, _, test = e.test.partition("::")
    path = root / file
    if not path.is_file():
        found.append(f"there is no test file {file}")
    elif test not in {node.name for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                      if isinstance(node, ast.FunctionDef)}:  # fmt: skip
        found.append(f"{file} has no test {test}")
    if why := dead(e.chapter, e.section, root):
        found.append(f"dead link: {why}")
    return found
