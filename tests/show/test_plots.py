"""The book's figures: they draw, say what they show, and nothing in them overlaps or is too small."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from legibility import legible, words
from PIL import Image

import qgc
from qgc import paper
from qgc.errors import GateError, ImageError, QGCError
from qgc.explain import EncodedImage, explain
from qgc.lab.train.run import config
from qgc.models import DeeperLSTM, DeeperLSTMConfig, full_size
from qgc.scenes import sample
from qgc.show import plots


@pytest.fixture(scope="module")
def scene():
    return qgc.scene("bathroom")


@pytest.fixture(scope="module")
def both(model, scene):
    return explain(model, EncodedImage(model, scene), scene.questions, answer="white")


@pytest.fixture(scope="module")
def empty(small_model, scene):
    """An explanation whose maps are empty: no cell is positive where F is zero."""
    view = EncodedImage(small_model, scene)
    view.F = torch.zeros_like(view.F)
    return explain(small_model, view, scene.questions[0])


FIGURES = {
    "overlay": lambda e, s: plots.overlay(e[0], 25, scene=s),
    "overlay with a mask": lambda e, s: plots.overlay(e[1], mask=s.masks["towels"]),
    "pair": lambda e, s: plots.pair(e, [None, 25], scene=s),
    "pair without a scene": lambda e, s: plots.pair(e),
    "sweep": lambda e, s: plots.sweep(e[0], [10, 25, 200, 1024], scene=s, columns=5),
    "sweeps": lambda e, s: plots.sweeps(e, [10, 25, 1000, 1024], scene=s),
    "bars": lambda e, s: plots.sensitivity_bars(e[0]),
    "bars, late cut": lambda e, s: plots.sensitivity_bars(e[0], n=58),
    "bars, all": lambda e, s: plots.sensitivity_bars(e[0], n=1024),
    "scatter": lambda e, s: plots.rank_scatter(*e),
    "architecture": lambda e, s: plots.architecture(e[0].vqa),
    "architecture, gated": lambda e, s: plots.architecture(e[0].vqa, 25),
    "masks": lambda e, s: plots.scene_masks(s),
    "masks of a crowd": lambda e, s: plots.scene_masks(qgc.scene("couple"), qgc.scene("couple").masks),
    "contact sheet": lambda e, s: plots.contact_sheet([sample(k) for k in range(5)]),
    "named contact sheet": lambda e, s: plots.contact_sheet([s, qgc.scene("skateboarder")] * 2, columns=4),
    "words": lambda e, s: plots.question_words({"a": pd.Series([0.1, 0.9], index=["what", "sink"])}, [1]),
    "gradients": lambda e, s: plots.gradients({"a question": {"plain": torch.ones(3, 224, 224)}}, scene=s),
    "distribution": lambda e, s: plots.distribution(
        {"deeper-lstm/natural": [0.1, 0.4, np.nan, 0.5], "null: shuffled questions": [0.8, 0.9]},
        [row.value for row in paper.SPEARMAN],
        "Spearman's ρ",
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_legible(name, both, scene):
    legible(FIGURES[name](both, scene))


def test_figures_leave_matplotlib_alone(both, scene):
    before = dict(matplotlib.rcParams)
    figure = plots.overlay(both[0], 25, scene=scene)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []


def test_the_same_figure_twice_is_the_same_image(both, scene):
    one, two = (plots.distribution({"a": [0.1, 0.3, 0.2]}, [0.25]) for _ in range(2))
    assert one._repr_png_() == two._repr_png_()
    one, two = (plots.overlay(both[0], 25, scene=scene) for _ in range(2))
    assert one._repr_png_() == two._repr_png_()


def test_overlay_says_question_answer_and_n(both, scene):
    assert "What is the color of the sink?\nA: white · n = 25 of 1024" in words(plots.overlay(both[0], 25))
    original = words(plots.overlay(both[0], scene=scene))
    assert "Grad-CAM (all 1024)" in original and "share of the map's maximum" in original
    assert "share" not in words(plots.overlay(both[0], colorbar=False))


def test_overlay_outlines_the_asked_object(both, scene):
    def contours(**how):
        return len(plots.overlay(both[0], 25, **how).axes[0].collections)

    assert contours() == 0
    assert contours(scene=scene) == contours(mask=scene.masks["rug"]) == 2
    assert contours(scene=scene, outline=False) == 0


def test_overlay_draws_into_given_axes(both):
    figure, axes = plt.subplots()
    try:
        assert plots.overlay(both[0], 25, ax=axes) is figure
        assert len(axes.get_images()) == 1
    finally:
        plt.close(figure)


def test_overlay_of_an_empty_map_says_so(empty, scene, recwarn):
    figure = plots.overlay(empty, 5, scene=scene)
    assert "empty map" in words(figure)
    pixels = np.asarray(figure.axes[0].get_images()[0].get_array())
    assert np.ptp(pixels, axis=2).max() == 0  # grey: no heat
    assert not recwarn.list


def test_overlay_of_a_wide_photograph(small_model):
    rng = np.random.default_rng(0)
    photograph = Image.fromarray(rng.integers(0, 256, (60, 120, 3), dtype=np.uint8))
    e = explain(small_model, photograph, "What color is the sink?")
    h, w = plots.overlay(e, mask=np.ones((60, 120), bool)).axes[0].get_images()[0].get_array().shape[:2]
    assert w == 2 * h
    with pytest.raises(ImageError, match="does not fit"):
        plots.overlay(e, mask=np.ones((60, 60), bool))


def test_a_foreign_scene_is_refused(both):
    with pytest.raises(ImageError, match="not the scene that was explained"):
        plots.overlay(both[0], scene=qgc.scene("park"))
    with pytest.raises(GateError):
        plots.overlay(both[0], 2000)


def test_pair_has_a_row_for_every_n_and_a_column_for_every_question(both, scene):
    figure = plots.pair(both, [None, 25, 10], scene=scene)
    pictures = [ax for ax in figure.axes if ax.get_images() and ax.get_images()[0].get_array().ndim == 3]
    assert len(pictures) == 9
    said = words(figure)
    assert "What color are the\ntowels?" in said or "What color are the towels?" in said
    assert "n = 10 of 1024" in said


def test_sweep_shows_the_papers_values_by_default(both):
    said = words(plots.sweep(both[0])).splitlines()
    assert [w for w in said if w.startswith(("n =", "all"))] == [
        *(f"n = {n}" for n in paper.sweep_n("bathroom")[:-1]),
        "all 1024",
    ]


def test_bars_mark_the_cut(both):
    figure = plots.sensitivity_bars(both[0], n=25)
    bars = figure.axes[0].patches
    assert len(bars) == 60 and len({b.get_facecolor() for b in bars[:25]}) == 1
    assert bars[24].get_facecolor() != bars[25].get_facecolor()
    assert "cut at n = 25" in words(figure)
    assert "beyond" in words(plots.sensitivity_bars(both[0], n=300))
    own = explain(both[0].vqa, both[0].view, both[0].question, rank=torch.arange(1024.0))
    assert plots.sensitivity_bars(own).axes[0].get_ylabel() == "score"
    assert plots.sensitivity_bars(both[0]).axes[0].get_ylabel() == "∂A/∂q (l2)"
    for rank in ("|g|", "∂A/∂q, sum"):
        own = explain(both[0].vqa, both[0].view, both[0].question, rank=rank)
        assert plots.sensitivity_bars(own).axes[0].get_ylabel() == rank


def test_top10_looks_like_the_papers_table(both):
    table = plots.top10(both, paper=4)
    assert table.columns.nlevels == 2 and list(table.index) == list(range(1, 11))
    assert table[both[0].question]["index"].tolist() == both[0].order[:10].tolist()
    assert table[both[0].question]["value"].tolist() == both[0].top(10)["value"].round(4).tolist()
    assert table["paper: What color is the cake?"]["index"].tolist() == list(paper.TOP10[4].columns[0].indices)
    with pytest.raises(QGCError, match="not a top-10 table"):
        plots.top10(both, paper=5)


def test_headings_stay_apart(both):
    assert plots.top10([both[0], both[0]]).columns.is_unique
    assert list(plots.top10({"one": both[0], "two": both[0]}).columns.unique(0)) == ["one", "two"]


def test_scatter_says_spearman(both):
    assert "ρ = 1.000" in words(plots.rank_scatter(both[0], both[0]))


def test_architecture_reads_its_sizes_off_the_model(model):
    said = words(plots.architecture(model, 25))
    for part in ("64 numbers a word", "128 each", "512 numbers", "192 maps of 14×14", "256 numbers", "1024 numbers"):
        assert part in said
    assert "gradient flows back only\nthrough the top n = 25" in said
    assert "original Grad-CAM" in words(plots.architecture(model))
    with pytest.raises(GateError):
        plots.architecture(model, 0)


def test_architecture_of_the_papers_size_and_of_a_tiny_one():
    with torch.device("meta"):  # 140 million numbers that nobody needs here
        big = DeeperLSTM(full_size(config().words, [f"answer {k}" for k in range(1000)]))
    figure = plots.architecture(big, 25)
    legible(figure)
    assert "512 maps of 14×14" in words(figure) and "16 convolution layers" in words(figure)
    tiny = DeeperLSTM(DeeperLSTMConfig(config().words, config().answers, combine=10))
    assert "10 neurons, a dot each" in words(plots.architecture(tiny, 3))


def test_masks_names_what_is_absent(scene):
    with pytest.raises(ImageError, match="zebra"):
        plots.scene_masks(scene, ["zebra"])


def test_distribution_leaves_out_what_is_not_a_number():
    figure = plots.distribution({"model": [0.1, np.nan, 0.3], "none": []}, [0.81, 0.93])
    said = words(figure)
    assert "(n = 2)" in said and "(n = 0)" in said and "0.81–0.93" in said
