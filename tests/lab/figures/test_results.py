"""Figures of the measurement: legible, and they say what the tables say."""

import numpy as np
import pandas as pd
import pytest
from legibility import legible, words

import qgc
from qgc.errors import QGCError
from qgc.lab.experiments.planted import PLANTED, verdict_table
from qgc.lab.figures import results
from qgc.lab.figures.planted import which_are_fooled
from qgc.lab.protocol.stored import MODELS, Stored
from qgc.scenes import FIRST_SEED, sample


@pytest.fixture(scope="module")
def found() -> Stored:
    return Stored.read()


@pytest.mark.parametrize("models", [("natural",), MODELS])
def test_dots_are_legible_and_name_every_method(found, models):
    figure = results.dots({m: found.table(m) for m in models})
    legible(figure)
    assert set(found.table("natural").index) <= set(words(figure).split("\n"))


def test_dots_show_the_table_and_what_is_left_without_places():
    values = {"rank": [0.7, 0.4], "rank low": [0.6, 0.3], "rank high": [0.8, 0.5], "rank surrogate": [0.5, 0.45]}
    table = pd.DataFrame(values, index=["a method", "another"])
    figure = results.dots({"natural": table}, surrogate="rank surrogate")
    legible(figure)
    drawn = [tuple(line.get_xdata()) for line in figure.axes[0].get_lines()]
    assert (0.7, 0.4) in drawn and (0.5, 0.45) in drawn and (0.5, 0.5) in drawn  # the last is chance
    (bars,) = [c for c in figure.axes[0].collections if len(c.get_segments()) == 2]
    np.testing.assert_allclose([[x for x, _ in bar] for bar in bars.get_segments()], [[0.6, 0.8], [0.3, 0.5]])
    assert "no-place surrogate" in words(figure) and figure.get_figheight() < 1.6  # no more than two rows need
    figure = results.dots({"natural": table}, surrogate="rank surrogate", diamond="absent objects")
    assert "absent objects" in words(figure) and "no-place surrogate" not in words(figure)


def test_curves_on_a_grid_of_n_stand_at_their_n(found):
    name, grid = found.gates[0], found.tables["grid"]
    figure = results.over_n({name: found.rank_curve("natural", name)}, chosen=found.chosen_by_rank, ns=grid)
    legible(figure)
    line = next(line for line in figure.axes[0].get_lines() if line.get_label() == name)
    assert list(line.get_xdata()) == grid and np.allclose(line.get_ydata(), found.rank_curve("natural", name)[0])


def test_a_method_that_one_model_lacks_has_its_row_all_the_same(found):
    figure = results.dots({"pythia": found.table("pythia"), "natural": found.table("natural")})
    assert "contrast with the mean question" in words(figure)


def test_curves_are_legible_and_start_and_end_where_they_should(found):
    names = found.gates[:3]
    figure = results.over_n(
        {n: found.curve("natural", n) for n in names}, found.random("natural"), {"Grad-CAM": 0.6}, found.chosen, "title"
    )
    legible(figure)
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert set(names) <= set(lines) and len(lines[names[0]].get_xdata()) == 1024
    assert np.allclose(lines[names[0]].get_ydata(), found.curve("natural", names[0])[0])


def test_every_ranking_ends_at_grad_cam(found):
    table = found.table("natural")
    ends = [found.curve("natural", gate)[0, -1] for gate in found.gates if "common" not in gate]
    assert np.allclose(ends, table.loc["Grad-CAM", "grounding"], atol=2e-3)  # stored in float16


def test_a_specification_curve_counts_all_choices(found):
    curves = {n: found.curve("natural", n) for n in found.gates}
    figure = results.specification_curve(curves, {"n = 25": (found.gates[0], 25)}, 0.6)
    legible(figure)
    heights = figure.axes[0].get_lines()[0].get_ydata()
    assert len(heights) == 1024 * len(curves) and (np.diff(heights) >= 0).all()


def test_a_specification_curve_on_a_grid_marks_the_choice_at_its_n(found):
    grid, name = found.tables["grid"], found.gates[0]
    curves = {n: found.rank_curve("natural", n) for n in found.gates}
    figure = results.specification_curve(curves, {"n = 25": (name, 25)}, ylabel="rank grounding", ns=grid)
    legible(figure)
    mark = next(line for line in figure.axes[0].get_lines() if line.get_label() == "n = 25")
    assert mark.get_ydata()[0] == curves[name][0][grid.index(25)]


def test_nulls_leave_out_what_is_not_a_number():
    figure = results.null_distributions({"a": np.array([0.1, np.nan, 0.5]), "b": np.array([np.nan])}, [0.8, 0.9])
    legible(figure)
    assert "b" not in words(figure).split("\n") and "0.80–0.90" in words(figure)


def test_a_table_without_intervals_is_refused():
    with pytest.raises(QGCError, match="the table 'a' lacks the column 'rank'; it has 'grounding'"):
        results.dots({"a": pd.DataFrame({"grounding": [0.5]}, index=["x"])})


def test_models_side_by_side_share_one_legend(found):
    names = found.gates[:2]
    panels = {
        m: (
            {n: found.curve(m, n) for n in names},
            found.random(m),
            {"Grad-CAM": found.table(m).loc["Grad-CAM", "grounding"]},
        )
        for m in MODELS
    }
    figure = results.over_n_panels(panels, found.chosen)
    legible(figure)
    assert words(figure).split("\n").count(names[0]) == 1 and set(MODELS) <= set(words(figure).split("\n"))


def test_the_cascade_has_a_panel_for_each_model_and_measure(found):
    panels = {}
    for m in ("natural", "balanced"):
        rows = found.rows("sanity", m, "controls")
        panels[m] = rows[rows["control"].str.startswith("cascade")]
    figure = results.cascade(panels, {"grounding": "grounding", "cosine": "cosine"}, ["Grad-CAM", "question contrast"])
    legible(figure)
    assert len([ax for ax in figure.axes if ax.get_lines()]) == 4


def test_what_changes_were_worth_stands_under_the_pictures():
    scene = qgc.scene("bathroom")
    changed = {"sink recoloured": scene.recolour("sink", "red"), "towels removed": scene.remove("towels")}
    effects = {"natural": {"What is the color of the sink?": [1.25, -0.5], "What color are the towels?": [0.0, 2.0]}}
    figure = results.asked_again(scene, changed, effects, "score lost")
    legible(figure)
    assert {"1.25", "−0.50", "2.00"} <= set(words(figure).split("\n"))


def test_a_few_n_are_legible_and_every_ranking_has_its_line():
    table = pd.DataFrame(
        [(r, n, 0.5, 0.4, 0.6) for r in ("∂A/∂q", "random, one each") for n in (10, 25, 1024)],
        columns=["ranking", "n", "estimate", "low", "high"],
    )
    figure = results.at_some_n(table, ylabel="cosine of the two maps", reference=0.5)
    legible(figure)
    assert {"∂A/∂q", "random, one each"} <= {line.get_label() for line in figure.axes[0].get_lines()}


def test_the_table_of_fooled_measures_is_legible_and_marks_them_without_color():
    table = verdict_table([sample(FIRST_SEED["validation"] + i, "natural") for i in range(6)])
    figure = which_are_fooled(table)
    legible(figure)
    shown = words(figure).split("\n")
    assert {n for n, p in PLANTED.items() if not p.surrogate} <= set(shown)
    assert shown.count("its no-place surrogate") == sum(p.surrogate for p in PLANTED.values())
    texts = figure.axes[0].texts
    framed = [p for p in figure.axes[0].patches if p.get_edgecolor()[3] and p.get_linewidth() > 1]
    assert len(framed) == (table["status"] == "fooled").sum() + 2  # and twice in the key
    assert sum(t.get_text().startswith("(") for t in texts) == (table["status"] == "on average").sum() + 1
