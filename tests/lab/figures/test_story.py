"""The figures of the story: legible, and each shows the numbers that it is given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from legibility import legible, words
from matplotlib.colors import to_hex

import qgc
from qgc.lab.figures import story
from qgc.show.style import CYCLE

MODELS = ["pythia/natural", "film/natural", "transformer/natural"]


@pytest.fixture(scope="module")
def asked():
    """The bathroom, and both questions about it explained."""
    scene = qgc.scene("bathroom")
    return scene, qgc.explain(qgc.load("deeper-lstm/natural"), scene, scene.questions, answer="white")


def test_maps_have_a_row_for_every_n_and_the_question_above(asked):
    scene, both = asked
    figure = story.maps(both, scene, [None, 25])
    legible(figure)
    assert len(figure.axes) == 4 and {"all 1,024 neurons", "25 neurons"} <= {ax.get_ylabel() for ax in figure.axes}
    assert [" ".join(ax.get_title().split()) for ax in figure.axes] == [*scene.questions, "", ""]


def test_the_meeting_shows_the_models_own_neurons(asked):
    scene, (sink, _) = asked
    figure = story.meeting(sink, scene)
    legible(figure)
    drawn = [np.asarray(ax.get_images()[0].get_array()).ravel() for ax in figure.axes[2:]]
    some = np.linspace(0, 1023, story.DRAWN).astype(int)
    for shown, values in zip(drawn, (sink.u, sink.v, sink.u * sink.v), strict=True):
        np.testing.assert_allclose(shown, values.flatten()[some])


def test_a_row_shows_what_it_has_and_what_its_control_has():
    table = pd.DataFrame(
        {"own": [0.52, 0.6], "own low": [0.5, 0.55], "own high": [0.55, 0.66], "absent": [0.41, 0.47]},
        ["the gate", "Grad-CAM"],
    )
    figure = story.followed(table, bold=["the gate"])
    legible(figure)
    (ax,) = figure.axes
    dots = {
        tuple(line.get_data()[0]): to_hex(line.get_color()).upper() for line in ax.lines if line.get_marker() == "o"
    }
    assert dots[(52,)] == CYCLE[1] and dots[(60,)] == CYCLE[0] and "52" in words(figure)
    assert {line.get_xdata()[0] for line in ax.lines if line.get_marker() == "D" and len(line.get_xdata())} == {41, 47}


def test_the_dose_is_drawn_against_both_responses():
    x = np.linspace(0, 0.8, 24)
    table = pd.DataFrame({"separation": x, "cosine": 1 - x, "the model itself": 0.5 + x / 2, "Grad-CAM": 0.5 + x / 3})
    table["step"] = 1
    single = pd.DataFrame(
        {"separation": [0.95, 0.97, 0.93], "cosine": [0.9, 0.4, 0.6], "Grad-CAM": [0.5, 0.7, 0.2]}, MODELS
    )
    figure = story.dose(pd.concat([table, single.assign(step=0)]), {"Grad-CAM": "Grad-CAM"})
    legible(figure)
    above, below = figure.axes
    assert above.lines[0].get_ydata().tolist() == table["cosine"].tolist()
    line = next(line for line in below.lines if line.get_label() == "the model itself")
    np.testing.assert_allclose(line.get_ydata(), 0.5 + line.get_xdata() / 2)
    assert {"Pythia", "FiLM", "transformer"} <= {text.get_text() for text in above.texts}
