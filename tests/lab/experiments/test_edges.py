"""Boundaries, orders and defaults of the measures: where being off by one would still look right."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from qgc.lab import protocol
from qgc.lab.experiments import faithfulness, interventions, nulls, photo_accuracy, reductions, sanity
from qgc.lab.experiments.planted import Objects, _fixed_place, _gain_with_area
from qgc.lab.experiments.planted_models import PlantedVQA, all_of_the_color, gain_only
from qgc.lab.protocol import ProtocolModel, run, summary
from qgc.lab.protocol.crossed import crossed_mean
from qgc.lab.protocol.methods import cumulative_maps, cumulative_maps_without_common
from qgc.measure import accuracy
from qgc.measure.pairs import no_place_surrogate
from qgc.measure.same_answer import similarity
from qgc.measure.similarity import same_answer_pairs
from qgc.scenes import FIRST_SEED, Ask, sample
from qgc.scenes.situations import situation


# -- what is measured, and where ------------------------------------------------------------------------
@pytest.fixture
def jobs(monkeypatch, tmp_path):
    found = []
    monkeypatch.setattr(run, "located", lambda models, runs: {model: f"weights of {model.name}" for model in models})
    monkeypatch.setattr(run, "fingerprint", lambda paths, chosen=None: "abc")
    monkeypatch.setattr(run, "work", lambda jobs, do, title, workers, device: found.extend(jobs))
    monkeypatch.setattr(run, "CHUNK", 4)

    def made(models, **more):
        found.clear()
        run.measure("test", tmp_path, tmp_path, models=models, **more)
        return found

    return made


def test_every_model_sees_its_share_of_the_scenes_of_its_distribution(jobs):
    models = [ProtocolModel("a", "natural"), ProtocolModel("b", "natural", 0.5), ProtocolModel("c", "balanced", 0.5)]
    found = jobs(models, scenes=10)
    seen = [(job.distribution, job.first, job.count, [name for name, _ in job.models]) for job in found]
    assert seen == [
        ("natural", 0, 4, ["a", "b"]), ("natural", 4, 4, ["a", "b"]), ("natural", 8, 2, ["a"]),
        ("balanced", 0, 4, ["c"]), ("balanced", 4, 4, ["c"]), ("balanced", 8, 2, []),
    ]  # fmt: skip
    assert found[1].target.name == "test-natural-00004.npz" and found[0].models[0] == ("a", "weights of a")
    assert sum(job.count for job in jobs(models[:1])) == protocol.SCENES["test"] == 2000


def test_a_result_is_of_this_code_and_these_weights(tmp_path, monkeypatch):
    one = run.fingerprint(["deeper-lstm/natural"], code=["measure/stats.py"])
    assert one == run.fingerprint(["deeper-lstm/natural"], code=["measure/stats.py"]) and len(one) == 12
    others = {
        run.fingerprint(["deeper-lstm/early"], code=["measure/stats.py"]),
        run.fingerprint(["deeper-lstm/natural"], code=["measure/pairs.py"]),
        run.fingerprint(["deeper-lstm/natural"], code=["measure"]),
        run.fingerprint(["deeper-lstm/natural"], code=["measure/stats.py"], chosen={"a": [1]}),
    }
    assert len(others) == 4 and one not in others


SOURCE = 'N = 3\n"""Neurons."""\n\n\ndef f(x):\n    """Add N."""\n    # because\n    return x + N\n'


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("# because", "# since it must be so", True),
        ('"""Add N."""', '"""Add N\n\n    to x."""', True),
        ('"""Neurons."""', "", True),
        ("return x + N", "return (\n        x + N)", True),
        ("N = 3", "N = 4", False),
        ("x + N", "N + x", False),
        ("return x + N", 'return "x + N"', False),
    ],
)
def test_a_result_outlives_comments_and_docstrings_alone(before, after, same, tmp_path, monkeypatch):
    monkeypatch.setattr(run, "__file__", str(tmp_path / "lab" / "protocol" / "run.py"))
    found = []
    for source in (SOURCE, SOURCE.replace(before, after)):
        (tmp_path / "code.py").write_text(source, encoding="utf-8")
        found.append(run.fingerprint(["deeper-lstm/natural"], code=["code.py"]))
    assert SOURCE != source and (found[0] == found[1]) is same


def test_rows_of_a_model_are_gathered_from_all_chunks(tmp_path):
    paths = [tmp_path / f"{k}.npz" for k in (0, 1)]
    for k, path in enumerate(paths):
        np.savez(path, **{"a|x": np.array([2 * k, 2 * k + 1]), "ab|x": np.array([9]), "0|x": np.array([8])})
    assert {k: v.tolist() for k, v in run.gather(paths, "a").items()} == {"x": [0, 1, 2, 3]}


def test_seeds_that_saw_fewer_scenes_are_read_as_far_as_that(monkeypatch):
    parts = {
        "deeper-lstm/natural": {"scene": np.array([0, 5]), "own": np.array([1.0, 2.0]), "measures": np.array([7.0])},
        "natural-seed1": {"scene": np.array([0, 2, 5]), "own": np.array([3.0, 4.0, 5.0]), "measures": np.array([8.0])},
    }
    monkeypatch.setattr(summary, "_gathered", lambda paths, model: parts[model])
    found = summary.Measured([], summary.Group("g", tuple(parts)), below=3)
    assert found.rows["own"].tolist() == [1, 2, 3, 4] and found.rows.keys() == {"own"}
    assert found.seed.tolist() == [0, 0, 1, 1] and found.scene.tolist() == [0, 5, 0, 2]
    assert np.isnan(found.by_scene(found.rows["own"])[1, 2]) and found.by_scene(found.rows["own"])[0].tolist()[0] == 1
    assert summary.Measured([], summary.Group("g", ("natural-seed1",))).rows["own"].tolist() == [3, 4, 5]


def test_a_job_whose_file_is_there_is_not_done(tmp_path):
    job = SimpleNamespace(target=tmp_path / "there")
    job.target.touch()
    assert run.work([job], _fails, "nothing", workers=1) == [job.target]


def test_a_job_that_fails_is_not_passed_over(tmp_path):
    job = SimpleNamespace(target=tmp_path / "never there")
    with pytest.raises(ZeroDivisionError):
        run.work([job], _fails, "failing", workers=2)


def _fails(job):
    raise ZeroDivisionError


# -- pairs and their order --------------------------------------------------------------------------------
def test_pairs_are_of_one_family():
    asks = [
        Ask("What color is the sink?", "yes", "sink", "colour"), Ask("Is there a rug?", "yes", "rug", "existence"),
        Ask("What color is the rug?", "yes", "rug", "colour"), Ask("Is there a sink?", "yes", "sink", "existence"),
        Ask("Is there a cat?", "no", None, "existence"), Ask("What is this?", "yes", "sink", "other"),
    ]  # fmt: skip
    pairs = same_answer_pairs([SimpleNamespace(asks=asks)], ("colour", "existence"))
    assert [(p.first.question, p.second.question) for p in pairs] == [
        ("What color is the sink?", "What color is the rug?"), ("Is there a rug?", "Is there a sink?"),
    ]  # fmt: skip


def test_scenes_without_a_pair_are_passed_over(small_model, monkeypatch):
    paired = [bool(same_answer_pairs([sample(seed, "natural")])) for seed in range(40)]
    first = next(k for k in range(40) if paired[k : k + 2] == [False, True])
    monkeypatch.setitem(FIRST_SEED, "validation", first)
    assert similarity(small_model, 2, distribution="natural")["scenes"] == 1


def test_pairs_of_questions_come_in_the_order_in_which_they_were_asked():
    asked = pd.DataFrame({"scene": [1, 1, 0, 0], "family": "colour", "question": list("baba"), "answer": list("xyxx")})
    assert reductions.pairs(asked, "same question") == ([0, 1], [2, 3])
    assert reductions.pairs(asked, "other question") == ([0, 2], [1, 3])
    assert reductions.pairs(asked, "same answer") == ([2], [3])


# -- planted ----------------------------------------------------------------------------------------------
def test_planted_maps_by_hand():
    masks = np.zeros((2, 4, 4), bool)
    masks[0, :2, :2], masks[1, 2:, :] = True, True  # a quarter and a half of the image
    objects = Objects.make(masks, (4, 4), np.random.default_rng(0))
    assert objects.size.tolist() == pytest.approx([1 / 3, 2 / 3])
    bump = _fixed_place(objects)
    row = np.linspace(-1, 1, 4)
    assert np.allclose(bump[0], np.exp(-2 * (row[:, None] ** 2 + row**2))) and torch.equal(bump[0], bump[0].flip(0))
    gained = _gain_with_area(objects)
    assert torch.allclose(gained[0], objects.ignorant * (1 + (objects.gains(torch.ones(1)).item() - 1) / 3))
    assert (objects.gains(objects.size).flatten() - 1).tolist() == pytest.approx(
        [(objects.gains(torch.ones(1)).item() - 1) * s for s in (1 / 3, 2 / 3)]
    )


def test_planted_models_read_what_their_table_says():
    names = ["sink", "rug", "cat"]
    assert torch.equal(all_of_the_color(names).table, torch.ones(3, 3, dtype=torch.float64))
    assert gain_only(names, [1, 2, 5]).table.tolist() == [[1] * 3, [2] * 3, [5] * 3]
    assert not any(p.requires_grad for p in PlantedVQA(names, torch.eye(3)).parameters())


def test_surrogates_of_many_maps_are_those_of_each():
    one, two = torch.randn(2, 5, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    together = no_place_surrogate(one, two)
    assert together.shape == (5, 3, 2, 4, 4)
    for i in range(5):
        for j in range(3):
            assert torch.equal(together[i, j], no_place_surrogate(one[i, j], two[i, j]))


def test_where_all_neurons_are_common_nothing_is_left_and_not_rounding():
    generator = torch.Generator().manual_seed(0)
    own = torch.rand(500, 4, generator=generator, dtype=torch.float64)
    order, partner = (torch.randperm(500, generator=generator) for _ in range(2))
    assert cumulative_maps_without_common(own, order, partner)[-1].eq(0).all()
    # the two sums do differ by rounding
    assert (cumulative_maps(own, order) - cumulative_maps(own, partner))[-1].ne(0).any()


# -- interventions ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "left, right, room", [(0, 184, 40), (100, 184, 40), (100, 184.5, -40), (40, 200, -40), (39.5, 200, 0), (0, 224, 0)]
)
def test_there_is_room_to_the_right_or_else_to_the_left(left, right, room):
    assert interventions._room(SimpleNamespace(box=(left, 0, right, 0))) == room


def test_a_table_of_interventions_keeps_the_order_of_its_rows():
    rows = [
        {"scene": 1, "pair": 0, "question": q, "kind": kind, "thing": thing, "role": role, "delta": 1.0 + q,
         "flipped": 0.0, "inside": 1.0, "share/m": 0.5, "share/area": 0.1}
        for kind in ("remove", "move") for q in (0, 1)
        for thing, role in (("a", ("own", "other")[q]), ("b", ("other", "own")[q]))
    ]  # fmt: skip
    found = interventions.summarise(rows, draws=10)
    for name in ("effect", "correlation", "grounding"):
        assert list(dict.fromkeys(found[name]["kind"])) == ["remove", "move"]


def test_changes_that_touch_neither_object_say_nothing_of_the_pair():
    rows = [
        {"scene": 1, "pair": 0, "question": q, "kind": "move", "thing": "c", "role": "neither", "delta": 1.0,
         "flipped": 0.0, "inside": 1.0, "share/m": 0.5, "share/area": 0.1}
        for q in (0, 1)
    ]  # fmt: skip
    found = interventions.summarise(rows, draws=10)
    assert found["grounding"].empty and found["given"].empty and len(found["effect"]) == 3


def test_pixels_of_cells():
    cells = np.array([[True, False], [False, True]])
    found = interventions._as_pixels(cells, (4, 6))
    assert found.tolist() == [[True] * 3 + [False] * 3] * 2 + [[False] * 3 + [True] * 3] * 2


# -- photographs --------------------------------------------------------------------------------------------
def test_accuracies_of_photographs_by_hand(tmp_path, monkeypatch):
    frame = pd.DataFrame(
        {"image": [1, 2, 3, 4], "accuracy": [1.0, 1.0, 0.0, 1.0], "question_only": [0.0, 1.0, 0.0, 0.0]}
    )
    row = photo_accuracy._row(frame)
    assert (row["n"], row["accuracy"], row["question_only"], row["gained"]) == (4, 0.75, 0.25, 0.5)
    assert 0 <= row["gained_95"][0] < 0.5 < row["gained_95"][1] <= 1
    assert photo_accuracy._row(frame[["image", "accuracy"]]) == {"n": 4, "accuracy": 0.75}
    shown = {**row, "gained_95": [0.125, 1.0]}
    result = {
        "kinds": {"number": shown}, "all": shown, "questions": 4, "images": 2, "dataset": "daquar", "split": "test",
        "validation": {"accuracy": 0.5, "question_only": 0.25},
    }  # fmt: skip
    lines = photo_accuracy.table(result).splitlines()
    assert lines[2] == "| number | 4 | 75.00% | 25.00% | +50.00 [+12.50, +100.00] |"
    assert lines[-1].endswith("was chosen: 50.00%, question only 25.00%") and "4 questions, 2 photographs" in lines[-1]
    del result["validation"]
    assert photo_accuracy.table(result).splitlines()[2] == "| number | 4 | 75.00% |"


def test_an_evaluation_is_written_into_the_runs_card(tmp_path, monkeypatch):
    monkeypatch.setattr(photo_accuracy.zoo, "card", lambda run: {"family": "deeper-lstm", "validation": 1})
    photo_accuracy.record(tmp_path, {"split": "test", "n": 2})
    import json

    assert json.loads((tmp_path / "model.json").read_text()) == {
        "family": "deeper-lstm", "validation": 1, "test": {"split": "test", "n": 2},
    }  # fmt: skip
    photo_accuracy.record(tmp_path, {"split": "validation", "n": 3})
    assert json.loads((tmp_path / "model.json").read_text())["validation_split"]["n"] == 3


def test_where_the_data_lie(tmp_path, monkeypatch):
    def unknown(run):
        raise photo_accuracy.DataError("nothing known")

    monkeypatch.setattr(photo_accuracy, "places", unknown)
    assert photo_accuracy._where(tmp_path, tmp_path / "a", None) == (tmp_path / "a", photo_accuracy.CACHE)
    with pytest.raises(photo_accuracy.DataError, match="nothing known"):
        photo_accuracy._where(tmp_path, None, None)
    monkeypatch.setattr(photo_accuracy, "places", lambda run: {"data_dir": "known", "cache": "kept"})
    assert photo_accuracy._where(tmp_path, None, None) == ("known", "kept")
    assert photo_accuracy._where(tmp_path, tmp_path, tmp_path / "c") == (tmp_path, tmp_path / "c")


# -- faithfulness -------------------------------------------------------------------------------------------
def test_larger_and_smaller_objects_by_hand():
    frame = pd.DataFrame({
        "area_1": [50, 100, 70], "area_2": [100, 50, 70], "background_1": [0, 1, 0], "background_2": [0, 0, 0],
        "object_1": [1.0, 1.0, 1.0], "object_2": [0.0, 0.5, 1.0], "verdict": [1.0, 0.0, 0.5], "sure": [1, 0, 1],
    })  # fmt: skip
    found = pd.DataFrame(faithfulness._derived(frame))
    assert found["ratio"].tolist() == [2, 2, 1] and found["background"].tolist() == [0, 1, 0]
    assert found["larger"].tolist() == [0, 1, 1] and found["smaller"].tolist() == [1, 0.5, 1]
    assert found["mean of both"].tolist() == [0.5, 0.75, 1] and found["both right"].tolist() == [0, 0, 1]
    assert found["verdict of sure"].tolist()[::2] == [1, 0.5] and np.isnan(found["verdict of sure"][1])


def test_agreement_of_map_and_model_by_hand():
    here = pd.DataFrame({"scene": range(10), "verdict": [1.0] * 6 + [0.0] * 4})
    verdict = pd.Series([1.0, 1.0, 1.0, 0.0, 0.0, 0.5, 0.0, 1.0, 0.0, 0.0])
    row = faithfulness._agreement_row(here, verdict, draws=10)
    counts = {"both": 3, "model only": 2, "map only": 1, "neither": 3, "ties": 1, "scenes": 9}
    assert {key: row[key] for key in counts} == counts
    # 6 of 9 agree; by chance (4·5 + 5·4) / 81 would
    assert row["agreement"] == pytest.approx(6 / 9) and row["kappa"] == pytest.approx((6 / 9 - 40 / 81) / (41 / 81))


# -- defaults -----------------------------------------------------------------------------------------------
def test_models_are_evaluated_in_wordings_that_they_never_saw(small_model):
    found = accuracy.evaluate(small_model, 1, distribution="natural", prior={})
    assert (found["wordings"], found["split"]) == ("held-out", "test")


def test_two_pairs_of_other_questions_are_drawn_for_a_pair(small_model):
    pair = same_answer_pairs([situation("bathroom")])[0]
    rows = sanity.sanity_rows(
        small_model,
        pair.scene,
        nulls.question_pool(small_model),
        np.random.default_rng(0),
        controls=("other questions",),
        ns=(5,),
    )
    assert [row["control"] for row in rows] == ["none", "other questions", "other questions"]


def test_a_p_value_is_of_zero_unless_said_otherwise():
    found = crossed_mean([[0.0, 1.0, 2.0, 3.0]])
    assert found.p() == found.p(0.0) == pytest.approx(0.1027, abs=1e-4) and found.p(1.5) == 1


def test_overlap_by_luck_of_the_papers_lists():
    mean, at_least = nulls.overlap_by_chance(4, 1)
    assert mean == 0.25 and at_least.tolist() == pytest.approx([1, 0.25])
