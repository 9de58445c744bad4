"""Figures of numbers show the numbers that they are given: bars, curves, intervals, marks, each with its own name."""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import pytest
import torch
from legibility import words
from looking import band, colour_of, curve, pixels, segments
from matplotlib.colors import to_hex

import qgc
from qgc.explain import EncodedImage, explain
from qgc.lab.figures import results
from qgc.lab.figures.planted import DISTANCE, which_are_fooled
from qgc.show import plots
from qgc.show.style import CYCLE, FAINT, INK, OUTLINES, PALETTE


@pytest.fixture(scope="module")
def both(small_model):
    scene = qgc.scene("bathroom")
    return explain(small_model, EncodedImage(small_model, scene), scene.questions, answer="white")


def scored(explanation, scores):
    e = copy.copy(explanation)
    e.scores = torch.as_tensor(scores, dtype=torch.float64)
    e.order = torch.argsort(e.scores, descending=True, stable=True)
    return e


def names_in(legend) -> dict[str, str]:
    """What a figure's legend says → the colour of its line or patch."""
    found = {}
    for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True):
        colour = handle.get_facecolor() if hasattr(handle, "get_facecolor") else handle.get_color()
        found[text.get_text()] = to_hex(np.ravel(colour)[:4] if not isinstance(colour, str) else colour)
    return found


# -- ∂A/∂q ----------------------------------------------------------------------------------------
def test_bars_are_the_scores_from_the_highest_down(both):
    scores = np.random.default_rng(0).normal(size=32)
    ax = plots.sensitivity_bars(scored(both[0], scores), n=4, top=10).axes[0]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx(sorted(scores, reverse=True)[:10])
    assert [bar.get_x() + bar.get_width() / 2 for bar in ax.patches] == pytest.approx(range(1, 11))
    assert [to_hex(bar.get_facecolor()).upper() for bar in ax.patches] == [CYCLE[0]] * 4 + [FAINT] * 6
    (cut,) = ax.get_lines()
    assert cut.get_xdata() == [4.5, 4.5]
    assert ax.get_xlabel() == "combine neurons, the 10 highest of 32, ranked" and ax.get_ylabel() == "∂A/∂q (l2)"
    assert "top 4: gradient passes" in ax.get_title()
    assert ax.get_ylim()[1] == pytest.approx(1.12 * scores.max()) and ax.get_ylim()[0] == 0
    whole = plots.sensitivity_bars(scored(both[0], scores), n=32).axes[0]
    assert len(whole.patches) == 32 and "all 32 pass" in whole.get_title() and not whole.get_lines()
    assert whole.get_ylim()[0] == pytest.approx(1.05 * scores.min())
    beyond = plots.sensitivity_bars(scored(both[0], scores), n=10, top=10).axes[0]
    assert "beyond" not in beyond.get_title() and not beyond.get_lines()
    assert (
        "the cut lies beyond the 9 shown" in plots.sensitivity_bars(scored(both[0], scores), 10, 9).axes[0].get_title()
    )
    assert plots.sensitivity_bars(scored(both[0], np.zeros(32))).axes[0].get_ylim() == (0, 1)


def test_a_point_for_each_neuron_at_its_two_ranks(both):
    one, two = np.random.default_rng(1).permutation(32), np.random.default_rng(2).permutation(32)
    ax = plots.rank_scatter(scored(both[0], one), scored(both[1], two)).axes[0]
    (points,) = ax.collections
    assert points.get_offsets().tolist() == np.stack([32 - one, 32 - two], 1).tolist()  # the highest score is rank 1
    rho = 1 - 6 * ((one - two) ** 2).sum() / (32 * (32**2 - 1))
    assert ax.get_title() == f"Spearman's ρ = {rho:.3f}"
    assert ax.get_xlabel().endswith("What is the color of the sink?") and "towels" in ax.get_ylabel()
    assert list(ax.get_xticks()) == list(ax.get_yticks()) == [1, 8, 16, 24, 32]
    assert ax.get_xlim() == ax.get_ylim() == (1 - 0.64, 32 + 0.64)
    (diagonal,) = ax.get_lines()
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [1, 32]


def test_words_have_their_share_and_its_tint():
    shares = {
        "one": pd.Series([0.125, 0.25, 0.625], index=["what", "color", "sink"]),
        "two": pd.Series([0.5, 0.5], index=["the", "cake"]),
    }
    figure = plots.question_words(shares, [2])
    ax = figure.axes[0]
    boxes = list(ax.patches)
    expected = [0.125, 0.25, 0.625, 0.5, 0.5]
    for patch, share in zip(boxes, expected, strict=True):
        assert patch.get_facecolor() == plots.WORD_TINT(share / 0.625)
        middle = patch.get_x() + patch.get_width() / 2
        above = [t.get_text() for t in ax.texts if t.get_position()[0] == middle]
        assert f"{100 * share:.0f}" in above
    said = {t.get_text(): t.get_position() for t in ax.texts}
    assert said["one"][1] < said["two"][1] and said["sink"][1] == said["one"][1] and said["cake"][1] == said["two"][1]
    assert [patch.get_linewidth() for patch in boxes] == [0.8, 0.8, 2.0, 0.8, 0.8]
    assert "framed: the content word" in words(figure)
    assert "framed" not in words(plots.question_words(shares))


def test_long_questions_are_set_in_lines():
    long = pd.Series(np.full(30, 1 / 30), index=[f"word{k}" for k in range(30)])
    ax = plots.question_words({"a": long}).axes[0]
    tops = sorted({patch.get_y() for patch in ax.patches})
    assert len(tops) > 2 and np.allclose(np.diff(tops), 50)
    rights = [p.get_x() + p.get_width() for p in ax.patches]
    assert max(rights) <= 72 * plots.PAGE - 12 and min(p.get_x() for p in ax.patches) == plots.WORDS_LEFT
    read = sorted(ax.patches, key=lambda p: (p.get_y(), p.get_x()))
    assert [p.get_x() for p in read] == [p.get_x() for p in ax.patches]  # as text is read


# -- training and distributions ---------------------------------------------------------------------
def test_names_at_the_ends_of_curves_move_apart_and_stay_inside():
    assert plots._spread([0.1, 0.5, 0.9], 0.1, 0, 1) == [0.1, 0.5, 0.9]
    assert plots._spread([0.5, 0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.5, 0.6, 0.7])
    assert plots._spread([0.95, 1.0, 1.0], 0.1, 0, 1) == pytest.approx([0.8, 0.9, 1.0])
    assert plots._spread([-1.0, 0.0], 0.25, 0, 1) == [0, 0.25]


def test_a_distribution_has_every_value_the_quartiles_and_the_median():
    values = {"model": [0.0, np.nan, 0.1, 0.2, 0.3, 0.8], "null": [0.5, 0.6]}
    figure = plots.distribution(values, [0.81, 0.93], "ρ")
    ax = figure.axes[0]
    for row, (points, colour, expected) in enumerate(
        zip(ax.collections, CYCLE, ([0.0, 0.1, 0.2, 0.3, 0.8], [0.5, 0.6]), strict=False)
    ):
        assert points.get_offsets()[:, 0].tolist() == expected
        assert np.abs(points.get_offsets()[:, 1] - row).max() <= 0.26
        assert to_hex(points.get_facecolor()[0]).upper() == colour
    drawn = [line.get_xydata().tolist() for line in ax.get_lines()]
    assert drawn[:4] == [[[0.1, 0], [0.3, 0]], [[0.2, 0]], [[0.525, 1], [0.575, 1]], [[0.55, 1]]]
    assert [x[0][0] for x in drawn[4:]] == [0.81, 0.93]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["model\n(n = 5)", "null\n(n = 2)"]
    assert ax.get_xlabel().startswith("ρ\ndiamond: median; bar: middle half") and ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_title(loc="right") == "dashed: the paper's values, 0.81–0.93"
    assert plots.distribution(values, [0.81]).axes[0].get_title(loc="right").endswith("values, 0.81")
    assert len(plots.distribution(values).axes[0].get_lines()) == 4


def test_a_sweep_of_the_gate_has_its_curve_the_random_median_and_band():
    rng = np.random.default_rng(3)
    panels = {name: (rng.normal(size=12), rng.normal(size=(41, 12))) for name in ("a", "b", "c", "d")}
    figure = plots.gate_sweep(panels, marked=(3,))
    axes = figure.axes
    assert len(axes) == 6 and not axes[4].axison and not axes[5].axison
    for ax, (title, (gate, random)) in zip(axes, panels.items(), strict=False):
        assert ax.get_title() == title and ax.get_xscale() == "log" and ax.get_xlim() == (1, 12)
        median, own, zero, mark = ax.get_lines()
        assert np.allclose(median.get_xydata(), np.stack([np.arange(1, 13), np.median(random, 0)], 1))
        assert np.allclose(own.get_xydata(), np.stack([np.arange(1, 13), gate], 1))
        assert set(zero.get_ydata()) == {0} and set(mark.get_xdata()) == {3}
        x, low, high = band(ax.collections[0])
        assert np.allclose([x, low, high], [np.arange(1, 13), *np.percentile(random, (5, 95), axis=0)])
    assert [t.get_text() for t in axes[3].get_xticklabels()] == ["1", "10", "12"]  # the lowest of the first column
    assert names_in(figure.legends[0]) == {
        "the gate, ranked by ∂A/∂q": CYCLE[0].lower(), "random rankings: median": plots.MUTED.lower(),
        "their middle 90 %": FAINT.lower(),
    }  # fmt: skip
    assert "the gate, ranked by |g|" in names_in(plots.gate_sweep(panels, rank="|g|").legends[0])


# -- tables of methods --------------------------------------------------------------------------------
def methods(seed, rows):
    values = np.random.default_rng(seed).random((len(rows), 4))
    return pd.DataFrame(values, columns=["rank", "rank low", "rank high", "rank surrogate"], index=rows)


def test_dots_stand_in_the_row_of_their_method():
    panels = {"natural": methods(0, ["a", "b", "c"]), "pythia": methods(1, ["c", "a"])}
    figure = results.dots(panels, surrogate="rank surrogate", bold=["b"], reference=0.25)
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b", "c"]
    assert [t.get_fontweight() for t in ax.get_yticklabels()] == ["normal", "bold", "normal"]
    assert set(ax.get_lines()[0].get_xdata()) == {0.25} and ax.get_ylim()[0] > ax.get_ylim()[1]
    for k, (name, table) in enumerate(panels.items()):
        rows = [r for r in "abc" if r in table.index]
        x, y = curve(ax, name)
        assert x.tolist() == table.loc[rows, "rank"].tolist()
        assert np.round(y).tolist() == ["abc".index(r) for r in rows] and ((y > np.round(y)) == bool(k)).all()
        ends = segments(ax.collections[k])
        assert np.allclose(ends[:, :, 0], table.loc[rows, ["rank low", "rank high"]])
        assert np.allclose(ends[:, :, 1], y[:, None])
        (without,) = [
            line for line in ax.get_lines()
            if line.get_markerfacecolor() == "none" and line.get_markeredgecolor() == CYCLE[k]
        ]  # fmt: skip
        assert list(without.get_xdata()) == table.loc[rows, "rank surrogate"].tolist()
        assert list(without.get_ydata()) == y.tolist() and colour_of(ax, name).upper() == CYCLE[k]
    assert {t.get_text() for t in figure.legends[0].get_texts()} == {"natural", "pythia", "its no-place surrogate"}
    assert not results.dots({"natural": panels["natural"]}).legends
    assert len(results.dots({"natural": panels["natural"]}, reference=None).axes[0].get_lines()) == 1


def test_dots_of_another_column_show_that_column():
    table = pd.DataFrame({"x": [0.25], "x low": [0.125], "x high": [0.5], "rank": [0.75]}, index=["a"])
    ax = results.dots({"m": table}, "x", xlabel="x of it").axes[0]
    assert curve(ax, "m")[0].tolist() == [0.25] and segments(ax.collections[0])[0, :, 0].tolist() == [0.125, 0.5]
    assert ax.get_xlabel() == "x of it"


# -- curves -------------------------------------------------------------------------------------------
def test_curves_bands_levels_and_marks_over_n():
    rng = np.random.default_rng(4)
    curves = {"one": rng.random((3, 30)), "two": rng.random((3, 30))}
    grid, random = np.array([1, 5, 30]), rng.random((3, 3))
    figure = results.over_n(curves, (grid, random), {"Grad-CAM": 0.625, "contrast": 0.75}, {"two": 7}, "a title")
    ax = figure.axes[0]
    for k, name in enumerate(curves):
        x, y = curve(ax, name)
        assert x.tolist() == list(range(1, 31)) and y.tolist() == curves[name][0].tolist()
        assert colour_of(ax, name).upper() == CYCLE[k]
    dealt, own = ax.collections
    assert np.allclose(band(dealt), [grid, random[0].clip(max=random[2]), random[2].clip(min=random[0])])
    x, low, high = band(own)
    assert x.tolist() == list(range(1, 31))
    assert np.allclose([low, high], np.sort(curves["one"][1:], 0))  # the band is that of the first
    assert curve(ax, "random gates, median")[1].tolist() == random[1].tolist()
    assert set(curve(ax, "Grad-CAM")[1]) == {0.625} and set(curve(ax, "contrast")[1]) == {0.75}
    (mark,) = [line for line in ax.get_lines() if line.get_marker() == results.MARKS[1]]
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([7], [curves["two"][0, 6]])
    assert ax.get_xlim() == (1, 30) and ax.get_xscale() == "log" and ax.get_title(loc="left") == "a title"
    assert list(ax.get_xticks()) == [1, 3, 10, 25, 30]
    assert 0.5 in [line.get_ydata()[0] for line in ax.get_lines() if len(set(line.get_ydata())) == 1]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "random gates, middle 90 %", "random gates, median", "one", "two", "Grad-CAM", "contrast",
    ]  # fmt: skip


def test_curves_on_a_grid_of_n_stand_at_these_n():
    values = np.arange(9.0).reshape(3, 3) / 10
    ax = results.over_n({"one": values}, chosen={"one": 25}, ns=[1, 25, 60]).axes[0]
    assert curve(ax, "one")[0].tolist() == [1, 25, 60] and ax.get_xlim() == (1, 60)
    (mark,) = [line for line in ax.get_lines() if line.get_marker() == results.MARKS[0]]
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([25], [0.1])


def test_panels_of_curves_are_each_models_own():
    rng = np.random.default_rng(5)
    panels = {m: ({"gate": rng.random((3, 12))}, None, {"Grad-CAM": rng.random()}) for m in ("x", "y", "z")}
    figure = results.over_n_panels(panels, {"gate": 2})
    for ax, (model, (curves, _, levels)) in zip(figure.axes, panels.items(), strict=False):
        assert ax.get_title(loc="left") == model
        assert curve(ax, "gate")[1].tolist() == curves["gate"][0].tolist()
        assert set(curve(ax, "Grad-CAM")[1]) == {levels["Grad-CAM"]}
    assert len(figure.axes) == 4 and not figure.axes[3].axison and len(figure.legends) == 1


def test_a_few_n_have_their_values_and_intervals():
    rows = [("b", 25, 0.5, 0.4, 0.65), ("b", 10, 0.25, 0.125, 0.3), ("a", 10, 0.75, 0.7, 0.8)]
    table = pd.DataFrame(rows, columns=["ranking", "n", "estimate", "low", "high"])
    ax = results.at_some_n(table, ylabel="y", reference=0.5).axes[0]
    x, y = curve(ax, "b")
    assert y.tolist() == [0.25, 0.5] and x == pytest.approx([10 * 1.025**-0.5, 25 * 1.025**-0.5])
    assert np.allclose(segments(ax.collections[0])[:, :, 1], [[0.125, 0.3], [0.4, 0.65]])
    assert np.allclose(segments(ax.collections[0])[:, :, 0], x[:, None])
    assert curve(ax, "a")[0] == pytest.approx([10 * 1.025**0.5]) and curve(ax, "a")[1].tolist() == [0.75]
    assert segments(ax.collections[1])[0, :, 1].tolist() == [0.7, 0.8]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["10", "25"]
    assert any(set(line.get_ydata()) == {0.5} for line in ax.get_lines()) and ax.get_ylabel() == "y"


def test_a_specification_curve_sorts_all_choices_and_says_whose_they_are():
    curves = {"one": np.array([[0.1, 0.9, 0.5]] * 3), "two": np.array([[0.2, 0.3, 0.8]] * 3)}
    figure = results.specification_curve(curves, {"best": ("one", 2), "worse": ("two", 1)}, level=0.6)
    top, below = figure.axes
    heights = top.get_lines()[0]
    assert heights.get_ydata().tolist() == [0.1, 0.2, 0.3, 0.5, 0.8, 0.9]
    assert heights.get_xdata().tolist() == [0, 1, 2, 3, 4, 5]
    assert (curve(top, "best")[0][0], curve(top, "best")[1][0]) == (5, 0.9)
    assert (curve(top, "worse")[0][0], curve(top, "worse")[1][0]) == (1, 0.2)
    assert [line.get_xydata().tolist() for line in below.get_lines()] == [[[5, 0]], [[1, 1]]]
    assert 0.6 in [line.get_ydata()[0] for line in top.get_lines()] and 0.5 in [
        line.get_ydata()[0] for line in top.get_lines()[1:]
    ]
    (image,) = below.get_images()
    shade = np.asarray(image.get_array())
    places = [np.ceil(np.flatnonzero(row) * 6 / 140 - 1e-9).tolist() for row in shade]
    assert places == [[0, 3, 5], [1, 2, 4]] and shade.max() == 1
    assert image.get_extent() == [0, 6, 1.5, -0.5]
    assert [t.get_text() for t in below.get_yticklabels()] == ["one", "two"]
    assert below.get_xlabel() == "6 choices of ranking and n, from the worst to the best"
    grid = results.specification_curve(curves, {"best": ("two", 60)}, ns=[1, 25, 60]).axes[0]
    assert curve(grid, "best")[1][0] == 0.8


def test_a_null_has_its_histogram_median_and_middle():
    values = np.concatenate([np.full(30, 0.5), np.full(60, 0.75), np.full(10, -0.5)])
    figure = results.null_distributions({"a": values, "b": np.array([0.25, np.nan])}, [0.81, 0.93])
    ax = figure.axes[0]
    printed, bars = ax.get_lines()[:2], [line.get_xydata().tolist() for line in ax.get_lines()[2:]]
    assert [line.get_xdata()[0] for line in printed] == [0.81, 0.93]
    assert bars == [[[-0.5, 0.1], [0.75, 0.1]], [[0.75, 0.1]], [[0.25, 1.1], [0.25, 1.1]], [[0.25, 1.1]]]
    points = ax.collections[0].get_paths()[0].vertices
    for middle, share in ((0.5, 0.5), (0.75, 1.0), (-0.5, 1 / 6)):
        near = points[(points[:, 0] <= middle + 1e-9) & (points[:, 0] > middle - 2 * 1.5 / 80)]
        assert near[:, 1].min() == pytest.approx(-0.72 * share)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"] and ax.get_ylim()[0] > ax.get_ylim()[1]
    assert ax.get_title(loc="right") == "dashed: the paper's values, 0.81–0.93"
    assert to_hex(printed[0].get_color()).upper() == PALETTE["vermilion"]


# -- interventions and sanity ---------------------------------------------------------------------------
def test_each_change_has_its_image_and_below_it_its_bars():
    scene = qgc.scene("bathroom")
    changed = {"red sink": scene.recolour("sink", "red"), "no towels": scene.remove("towels")}
    effects = {"natural": {"q1": [1.25, -0.5], "q2": [0.0, 2.0]}, "balanced": {"q1": [0.5, 1.0], "q2": [0.25, 0.75]}}
    figure = results.asked_again(scene, changed, effects, "score lost")
    grid = np.array(figure.axes).reshape(3, 3)
    for ax, (title, shown) in zip(grid[0], {"the scene": scene, **changed}.items(), strict=True):
        assert ax.get_title() == title and (pixels(ax) == np.asarray(shown.render(448))).all()
    for row, (model, by_question) in zip(grid[1:], effects.items(), strict=True):
        assert row[1].get_ylabel() == f"{model}:\nscore lost"
        for k, ax in enumerate(row[1:]):
            expected = [values[k] for values in by_question.values()]
            assert [bar.get_height() for bar in ax.patches] == expected
            assert [to_hex(bar.get_facecolor()).upper() for bar in ax.patches] == list(OUTLINES[:2])
            assert [(t.get_text(), t.xy) for t in ax.texts] == [
                (f"{v:.2f}".replace("-", "−"), (x, v)) for x, v in enumerate(expected)
            ]
            assert ax.get_ylim()[0] <= min(0, *expected) and ax.get_ylim()[1] > max(expected)
        assert names_in(row[0].get_legend()) == {"q1": OUTLINES[0].lower(), "q2": OUTLINES[1].lower()}
    assert grid[1, 1].get_ylim() == grid[1, 2].get_ylim() and grid[2, 1].get_ylim()[0] == 0


def test_a_cascade_has_each_step_in_order_with_its_interval():
    steps = ["none", "cascade: Wo", "cascade: Wi"]
    rows = [
        (c, m, name, 0.1 * i + 0.01 * j + 0.5 * k, 0.1 * i, 0.9)
        for i, c in enumerate(steps) for j, m in enumerate(("rank", "grounding")) for k, name in enumerate(("x", "y"))
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["control", "measure", "map", "estimate", "low", "high"])
    other = table.assign(estimate=table["estimate"] + 1)
    figure = results.cascade({"left": table, "right": other}, {"grounding": "G", "rank": "R"}, ["y", "x"])
    grid = np.array(figure.axes).reshape(2, 2)
    assert [ax.get_title(loc="left") for ax in grid[0]] == ["left", "right"]
    assert [ax.get_ylabel() for ax in grid[:, 0]] == ["G", "R"]
    for column, shift in enumerate((0, 1)):
        for row, j in enumerate((1, 0)):
            ax = grid[row, column]
            for place, (name, k) in enumerate((("y", 1), ("x", 0))):
                x, y = curve(ax, name)
                assert np.allclose(y, [0.1 * i + 0.01 * j + 0.5 * k + shift for i in range(3)])
                assert x == pytest.approx(np.arange(3) + 0.09 * (place - 0.5))
                ends = segments(ax.collections[place])
                assert np.allclose(ends[:, :, 1], [[0.1 * i, 0.9] for i in range(3)])
                assert np.allclose(ends[:, :, 0], x[:, None])
    assert [t.get_text() for t in grid[1, 0].get_xticklabels()] == ["none", "Wo", "Wi"]
    assert len(grid[0, 0].get_lines()) == 3 and len(grid[1, 0].get_lines()) == 2  # chance is drawn where it is ½


# -- planted maps ---------------------------------------------------------------------------------------
def test_each_verdict_stands_under_its_measure_beside_its_map():
    rows = [
        ("g1", "good", "rank", 1.0, 1.0, 1.0, "right"), ("g1", "good", "mass accuracy", 0.87, 1.0, 1.0, "fooled"),
        ("g2", "prior", "rank", 0.5, 0.5, 0.0, "right"), ("g2", "prior", "mass accuracy", 0.54, 0.5, 0.5, "on average"),
        ("g2", "bare", "rank", 0.5, 1.0, 0.0, "blind"), ("g2", "bare", "mass accuracy", 0.2, np.nan, 1.0, ""),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["group", "planted", "measure", "value", "right", "decided", "status"])
    figure = which_are_fooled(table)
    ax = figure.axes[0]
    at = {}
    for text in ax.texts:
        at.setdefault(text.get_text(), []).append(text.get_position())
    columns = {head: at[head][0][0] for head in ("right", "rank", "mass")}
    lines = {name: at[name][0][1] for name in ("good", "prior", "bare")}
    assert columns["right"] < columns["rank"] < columns["mass"] and lines["good"] < lines["prior"] < lines["bare"]

    def cell(head, name):
        here = (columns[head], lines[name])
        (text,) = [t for t in ax.texts if np.allclose(t.get_position(), here)]
        boxes = [p for p in ax.patches if np.allclose(p.get_xy() + np.array([p.get_width(), p.get_height()]) / 2, here)]
        return text, boxes[0] if boxes else None

    assert [cell("right", n)[0].get_text() for n in lines] == ["1", "½", "1"]
    assert [cell("rank", n)[0].get_text() for n in lines] == ["1", "½", "½"]
    assert [cell("mass", n)[0].get_text() for n in lines] == [".87", "(.54)", ".20"]
    fooled, average = cell("mass", "good")[1], cell("mass", "prior")[1]
    assert np.allclose(fooled.get_facecolor(), DISTANCE(0.5 - 0.13)) and fooled.get_linewidth() == 1.3
    assert to_hex(fooled.get_edgecolor()).upper() == INK and cell("mass", "good")[0].get_fontweight() == "bold"
    assert np.allclose(average.get_facecolor(), DISTANCE(0.54)) and average.get_edgecolor()[3] == 0
    assert cell("rank", "bare")[1].get_hatch() and cell("mass", "bare")[1] is None
    assert at["g1"][0][1] < lines["good"] < at["g2"][0][1] < lines["prior"]
