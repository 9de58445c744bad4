"""The protocol's numbers are those that its page says, and those that the stored result was measured with."""

from __future__ import annotations

from pathlib import Path

from qgc.lab import protocol
from qgc.lab.protocol import DRAWS, GRID
from qgc.lab.protocol.stored import Stored

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "book" / "protocol.md").read_text(encoding="utf-8")


def test_draws_scenes_and_grid():
    tables = Stored.read().tables
    assert tables["draws"] == DRAWS == 100 and tables["grid"] == list(GRID)
    assert f"Controls: {DRAWS} random rankings" in PAGE
    assert f"repeated with {protocol.MISMATCHED_DRAWS} fresh draws a scene" in PAGE
    assert f"| validation | {protocol.SCENES['validation']} |" in PAGE and protocol.SCENES["test"] == 2000
    assert tables["about"]["version"] == protocol.VERSION and tables["about"]["seeds"] == protocol.SEEDS
    assert [model.share for model in protocol.PROTOCOL_MODELS] == [1] * 6 + [
        0.5
    ] * 3 and protocol.REGISTERED_SHARE == 0.25


def test_scenes_of_the_other_measurements():
    rows = {line.split("|")[1].strip().split(":")[0]: line.split("|")[2].strip() for line in PAGE.splitlines()
            if line.startswith("| ") and line.count("|") == 3}  # fmt: skip

    def said(counts):
        """Counts of natural, early, balanced and Pythia."""
        return tuple(counts[name] for name in protocol.NAMES)

    assert rows["nulls of Tables 5 and 6"] == "300 (Pythia 100)" and said(protocol.NULL_SCENES) == (300, 300, 300, 100)
    assert rows["interventions"] == "200" and said(protocol.INTERVENTION_SCENES) == (200,) * 4
    for row, counts in (
        ("the model itself and faithfulness, with several alterations", protocol.FAITHFULNESS_SCENES),
        ("other-image control", protocol.OTHER_IMAGE_SCENES),
    ):
        (found,) = [text for name, text in rows.items() if name.startswith(row)]
        assert found == "500 (`balanced` 200)" and said(counts) == (500, 500, 200, 500)
    assert rows["deletion"] == "60 (Pythia 30, `early` none)" and said(protocol.DELETION_SCENES) == (60, 0, 60, 30)
    assert rows["sanity"] == "1,000 for `natural`, 500 for `early` and `balanced`, 100 for Pythia"
    assert said(protocol.SANITY_SCENES) == (1000, 500, 500, 100) and protocol.SANITY_DRAWS == 4
    assert said(protocol.MISMATCHED_SCENES) == (1000, 0, 0, 0)
    assert protocol.CASCADE_SCENES == 100 and "for 100 scenes also layer after layer" in PAGE
