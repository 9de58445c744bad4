"""The shipped checkpoints keep what their cards promise."""

import pytest

from qgc.measure import evaluate, similarity
from qgc.models import card, load, names, zoo

SHIPPED = ("deeper-lstm/balanced", "deeper-lstm/early", "deeper-lstm/natural", "pythia/natural")


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request):
    return request.param, load(request.param), card(request.param)


def test_all_are_there_and_small():
    assert set(SHIPPED) <= set(names())
    size = sum(p.stat().st_size for p in zoo.SHIPPED.rglob("*.safetensors")) / 2**20
    print(f"shipped weights: {size:.1f} MiB")
    assert size <= 25
    assert not [p for p in zoo.SHIPPED.rglob("*") if p.suffix in (".pt", ".pth", ".pkl")]


def test_the_card_is_complete(shipped):
    name, _, about = shipped
    for key in ("trained_on", "command", "recipe", "time", "validation", "test", "question_prior"):
        assert key in about, f"{name}: the card lacks {key}"
    assert about["test"]["scenes"] >= 2000 and about["test"]["wordings"] == "held-out"
    assert (zoo.SHIPPED / f"{name}.md").read_text().startswith(f"# {name}")


def test_accuracy_is_what_the_card_says(shipped):
    """A fresh sample of scenes agrees with the recorded test accuracy within four standard errors."""
    name, vqa, about = shipped
    found = evaluate(vqa, 60, distribution=about["distribution"], prior=about["question_prior"], split="validation")
    recorded = about["test"]["all"]["accuracy"]
    n = found["all"]["n"]
    error = 4 * (recorded * (1 - recorded) / n) ** 0.5 + 0.03  # questions about one scene are not independent
    print(f"{name}: {found['all']['accuracy']:.3f} on {n} questions, recorded {recorded:.3f} ± {error:.3f}")
    assert found["all"]["accuracy"] == pytest.approx(recorded, abs=error)


def test_balanced_is_right():
    families = card("deeper-lstm/balanced")["test"]["families"]
    print({k: round(v["accuracy"], 4) for k, v in families.items()})
    assert families["colour"]["accuracy"] >= 0.95
    assert all(row["accuracy"] >= 0.93 for row in families.values())


def test_natural_beats_its_question_only_baseline():
    recorded = card("deeper-lstm/natural")["test"]
    print(recorded["all"], recorded["families"]["colour"])
    for row in (recorded["all"], recorded["families"]["colour"]):
        assert row["accuracy"] > row["question_only"]


def test_early_is_blind_to_the_question():
    found = similarity(load("deeper-lstm/early"), 40, distribution="natural")
    print({k: round(found[k], 4) for k in ("cosine", "l2", "sum", "abs-sum")})
    assert found["cosine"] >= 0.98
    assert card("deeper-lstm/early")["test"]["same_answer_pairs"]["cosine"] >= 0.98
