"""The ledger: every row there, every link alive, every verdict computed, and the stored numbers still ours."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from PIL import Image

from qgc.lab.ledger import equations, ledger
from qgc.lab.ledger import links as ledger_links
from qgc.lab.ledger import show as shown
from qgc.lab.ledger.measure import NS, effects, gated_maps, interval, margins, nanmean, random_gates_by_n, ranks
from qgc.lab.ledger.rules import PHOTOGRAPH, RULES, VERDICTS, Check, reason, verdict
from qgc.models import names

SCENES = 3  # validation scenes that are measured again
SAMPLE = ("figure-1", "figure-2", "figure-22", "figure-26", "figure-37", "figure-58", "figure-61", "figure-82",
          "figure-88", "figure-98", "figure-101", "table-1", "table-4", "table-6")  # fmt: skip
OVER_MANY = ("mean", "median", "gain", "random rankings")  # keys of numbers that need all validation scenes


@pytest.fixture(scope="module")
def stored() -> dict:
    return ledger.read()


@pytest.fixture(scope="module")
def sources() -> ledger.Sources:
    return ledger.Sources(SCENES)


# -- the stored ledger ------------------------------------------------------------------------------
def test_all_107_rows_are_in_order(stored):
    assert len(stored["rows"]) == 107
    assert ledger.faults(stored) == []


def test_the_page_is_what_the_stored_results_make(stored):
    assert shown.stale(stored) == []


def test_every_equation_resolves():
    assert equations.faults() == []


def test_thumbnails_are_small_pictures(stored):
    paths = {ledger_links.ROOT / "book" / row["thumbnail"] for row in stored["rows"] if row["thumbnail"]}
    for path in paths:
        with Image.open(path) as picture:
            assert max(picture.size) in (shown.SIDE, 2 * shown.SIDE), path
    assert sum(path.stat().st_size for path in paths) <= ledger.HEAVIEST


def test_every_verdict_has_numbers_for_every_checkpoint_behind_it(stored):
    for row in stored["rows"]:
        if row["missing"]:
            continue
        if row["verdict"] == PHOTOGRAPH:
            assert row["kind"] == "photograph" and not row["checks"]
            continue
        assert row["verdict"] == row["verdicts"][row["models"][0]] == verdict([c["holds"] for c in row["checks"]])
        assert set(row["ours"]) == set(row["verdicts"]) and set(row["verdicts"].values()) <= set(VERDICTS)
        assert all(c["text"] in row["reason"] for c in row["checks"])


# -- what the check notices -----------------------------------------------------------------------
def spoil(stored: dict, id: str, **changes) -> list[str]:
    """The new faults of the ledger in which one row is changed."""
    changed = copy.deepcopy(stored)
    next(row for row in changed["rows"] if row["id"] == id).update(changes)
    return [fault for fault in ledger.faults(changed) if fault not in ledger.faults(stored)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"reason": " "}, "lacks its reason"),
        ({"verdict": "fine"}, "not a verdict"),
        ({"verdict": PHOTOGRAPH, "checks": []}, "does not follow"),
        ({"section": "No such heading"}, "has no heading 'No such heading'"),
        ({"chapter": "no-such-chapter"}, "there is no chapter book/no-such-chapter"),
        ({"link": "gate.ipynb"}, "out of date"),
        ({"thumbnail": "figures/ledger/none.webp"}, "is missing"),
        ({"alt": ""}, "no alt text"),
        ({"caption": ""}, "caption is missing"),
        ({"missing": ["pythia/natural"]}, "model missing: pythia/natural"),
    ],
)
def test_a_spoilt_row_is_reported(stored, changes, says):
    found = spoil(stored, "figure-37", **changes)
    assert any(fault.startswith("figure-37: ") and says in fault for fault in found)


def test_a_verdict_that_does_not_follow_is_reported(stored):
    row = next(row for row in stored["rows"] if row["id"] == "figure-37")
    for wrong in set(VERDICTS[:3]) - {row["verdict"]}:
        assert "does not follow" in spoil(stored, "figure-37", verdict=wrong)[0]


def test_a_row_that_is_missing_or_twice_is_reported(stored):
    rows = stored["rows"]
    assert "figure-101: the row is missing" in ledger.faults({**stored, "rows": rows[:100] + rows[101:]})
    assert "figure-1: the row is there 2 times" in ledger.faults({**stored, "rows": [rows[0], *rows]})


def test_drift_is_reported(stored):
    changed = copy.deepcopy(stored)
    row = next(row for row in changed["rows"] if row["id"] == "figure-37")
    row["ours"]["deeper-lstm/natural"]["rank effect"] += 0.01
    changed["per scene"]["deeper-lstm/natural"]["cosine, colour"][0] = 0.5
    assert ledger.drift(stored, stored) == []
    found = ledger.drift(stored, changed)
    assert len(found) == 2
    assert any(line.startswith("figure-37: ours deeper-lstm/natural rank effect was") for line in found)


def test_a_changed_page_is_stale(stored, tmp_path):
    (tmp_path / "_toc.yml").write_text((ledger_links.ROOT / "_toc.yml").read_text())
    shown.write(stored, tmp_path)
    assert shown.stale(stored, tmp_path) == []
    assert json.loads((tmp_path / "book" / "ledger.json").read_text()) == stored
    with (tmp_path / "book" / "ledger.md").open("a") as page:
        page.write("edited by hand\n")
    assert len(shown.stale(stored, tmp_path)) == 1


def test_an_equation_that_leads_nowhere_is_reported():
    good = equations.EQUATIONS[0]
    bad = {
        "function": "qgc.explain.closed_form.no_such", "test": "tests/explain/test_closed_form.py::test_nothing",
        "names": "Eq. 99", "section": "No such heading", "chapter": "no-such-chapter",
    }  # fmt: skip
    for field, value in bad.items():
        spoilt = equations.Equation(**{**vars(good), field: value})
        assert len(equations.faults((spoilt,))) == 1, field


# -- the numbers are still ours -------------------------------------------------------------------
def test_a_sample_of_rows_is_measured_again(stored, sources):
    before = {row["id"]: row for row in stored["rows"]}
    found = ledger.rows(sources, SAMPLE)
    assert [row["id"] for row in found] == list(SAMPLE)
    for row in found:
        old = before[row["id"]]
        for name, values in row["ours"].items():
            here = {k: v for k, v in values.items() if not k.startswith(OVER_MANY)}
            kept = {k: old["ours"][name][k] for k in here}
            assert here and ledger._differences(kept, here, f"{row['id']}, {name}") == []


@pytest.mark.parametrize("name", ["deeper-lstm/natural", "pythia/natural"])
def test_the_first_scenes_are_measured_again(stored, sources, name):
    if name not in names():
        pytest.skip(f"{name} is not shipped yet")
    again = ledger.per_scene(sources, name)
    kept = {key: values[:SCENES] for key, values in stored["per scene"][name].items()}
    assert ledger._differences(kept, again, name) == []


def test_a_verdict_over_many_scenes_follows_from_the_single_ones(stored):
    """The mean, the interval and the medians in the rows are those of the stored scenes."""
    scenes = stored["per scene"]["deeper-lstm/natural"]
    values = {row["id"]: row["ours"].get("deeper-lstm/natural") for row in stored["rows"]}
    effect, original, margin = (
        np.array(scenes[k], float) for k in ("rank effect, n = 25", "rank effect, Grad-CAM", "margin, n = 25")
    )
    assert values["figure-37"]["mean rank effect"] == pytest.approx(nanmean(effect), abs=2e-4)
    assert values["figure-37"]["mean margin (likewise)"] == pytest.approx(nanmean(margin), abs=2e-4)
    ends = [values["figure-37"][f"gain, {end} end"] for end in ("lower", "upper")]
    assert ends == pytest.approx(interval(effect - original), abs=2e-4)
    cosines = np.array(scenes["cosine, colour"], float)
    assert values["figure-2"]["median cosine"] == pytest.approx(np.nanmedian(cosines), abs=2e-4)


# -- the rules ------------------------------------------------------------------------------------
def test_a_verdict_follows_from_its_checks():
    assert verdict([True, True]) == "reproduced"
    assert verdict([True, False]) == "partly"
    assert verdict([False, False]) == "not"
    with pytest.raises(ValueError, match="at least one check"):
        verdict([])


@pytest.mark.parametrize(
    ("value", "sense", "bound", "holds"),
    [(1, "≥", 1, True), (1, ">", 1, False), (1, "≤", 1, True), (1, "<", 1, False), (float("nan"), "<", 1, False)],
)
def test_a_check(value, sense, bound, holds):
    assert Check("it", value, sense, bound).holds is holds


def test_a_reason_names_what_holds_and_what_does_not():
    checks = [Check("a", 0.95, "≥", 0.9), Check("b", 3, "≥", 95, "of 100"), Check("c", float("nan"), ">", 0)]
    assert reason(checks) == (
        "Holds: a is 0.950 (asked: ≥ 0.9). Does not hold: b is 3 (asked: ≥ 95 of 100); c is empty (asked: > 0)."
    )


def test_every_row_has_rules_that_are_written_down(stored):
    assert {rule for row in stored["rows"] for rule in row["rules"]} == set(RULES)


def test_both_figures_of_a_pair_have_one_rank_effect(stored):
    rows = [row for row in stored["rows"] if "gate" in row["rules"]]
    assert len(rows) == 42
    pairs = {}
    for row in rows:
        pairs.setdefault((row["picture"], row["answer"]), []).append(row["ours"]["deeper-lstm/natural"])
    for first, *rest in pairs.values():
        for second in rest:
            same = ("rank effect", "random gates beaten", "mean rank effect", "random rankings beaten")
            assert [first[key] for key in same] == [second[key] for key in same]


def test_random_rankings_are_judged_by_the_same_rule(stored):
    gates = [row for row in stored["rows"] if "gate" in row["rules"]]
    for name, found in stored["random rankings"].items():
        alone = [row for row in gates if row["rules"] == ["gate"]]
        counts = {v: sum(row["verdicts"][name] == v for row in alone) for v in VERDICTS[:3]}
        assert found["rows"] == len(gates) == sum(found["paper"].values())
        assert sum(abs(found["paper"][v] - counts[v]) for v in counts) <= len(gates) - len(alone)
        assert sum(found["random"].values()) == pytest.approx(len(gates), abs=1e-3)
        assert found["random"]["reproduced"] <= found["most"] <= len(gates) and 0 <= found["as many"] <= 100


def test_a_changed_count_of_random_rankings_is_drift(stored):
    changed = copy.deepcopy(stored)
    changed["random rankings"]["deeper-lstm/natural"]["most"] += 1
    assert ledger.drift(stored, changed)[0].startswith("random rankings: deeper-lstm/natural most was")


def test_an_interval_of_many_columns_is_that_of_each():
    values = np.random.default_rng(4).normal(size=(30, 3))
    low, high = interval(values)
    assert np.allclose(np.stack([low, high], 1), [interval(column) for column in values.T])
    drawn = np.random.default_rng(1).choice(values[:, 0], (4000, 30)).mean(1)
    assert np.allclose((low[0], high[0]), np.percentile(drawn, [2.5, 97.5]), atol=0.02)


def test_ranks_by_hand(model):
    from qgc.explain import explain
    from qgc.measure import rank_grounding
    from qgc.scenes.situations import situation

    scene = situation("bathroom")
    masks = [scene.masks["sink"], scene.masks["towels"]]
    both = [explain(model, scene, question, "white") for question in scene.questions[:2]]
    first, second = (gated_maps(e) for e in both)
    found = ranks(first, second, masks)
    at_25 = rank_grounding([e.map(25, relu=False) for e in both], masks)
    assert found["gate"][NS.index(25)] == pytest.approx([float(at_25.a_1), float(at_25.a_2)])
    assert effects(found)["gate"][NS.index(25)] == pytest.approx(float(at_25.a_1 - at_25.a_2))
    full = rank_grounding([e.map(relu=False) for e in both], masks)
    assert found["Grad-CAM"] == pytest.approx([float(full.a_1), float(full.a_2)])
    gates = random_gates_by_n(model.combine).view(len(NS), 100, -1)[NS.index(25)]
    kept = [gates[7], gates[57]]  # the two questions have other random gates
    drawn = [e.map(neurons=keep.nonzero()[:, 0], relu=False) for e, keep in zip(both, kept, strict=True)]
    a = rank_grounding(drawn, masks)
    assert found["random"][NS.index(25), 7] == pytest.approx([float(a.a_1), float(a.a_2)])
    turned = effects(ranks(second, first, masks[::-1]))  # the other figure of the pair
    for key, value in effects(found).items():
        assert np.allclose(np.sort(value, -1) if key == "random" else value,
                           np.sort(turned[key], -1) if key == "random" else turned[key])  # fmt: skip


def test_margins_by_hand(model):
    from qgc.explain import explain
    from qgc.measure import map_share
    from qgc.scenes.situations import situation

    scene = situation("bathroom")
    e = explain(model, scene, scene.questions[0], "white")
    sink, towels = scene.masks["sink"], scene.masks["towels"]
    found = margins(gated_maps(e), [(sink, towels)])
    at_25 = float(map_share(e.map(25), sink) - map_share(e.map(25), towels))
    assert found["gate"][NS.index(25)] == pytest.approx(at_25)
    keep = random_gates_by_n(model.combine)[NS.index(25) * 100 + 7]
    drawn = e.map(neurons=keep.nonzero()[:, 0])
    assert int(keep.sum()) == 25
    assert found["random"][NS.index(25), 7] == pytest.approx(float(map_share(drawn, sink) - map_share(drawn, towels)))
