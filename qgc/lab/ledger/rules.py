"""The ledger's rules, written down before its results (book/ledger.md): what a row is tested on, and its verdict.

A row of the ledger is one figure or table of the paper. Its rules turn our measurements into checks, statements
with a number on either side, and the checks alone decide: all hold, some hold, or none does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ALIKE = 0.9  # cosine from which two maps count as nearly the same
RANDOM = 100  # random rankings that a gate is compared with
BEATS = 95  # how many of them it must beat
SCENES = 60  # validation scenes behind every "over many scenes"
SIMILAR = 5  # of 10 neurons; between the paper's own counts: 10 and 8 where it says similar, 2 and 2 where different
HIGH = 0.81  # the lowest rank correlation that the paper prints and calls high
EXACT = 1e-9  # relative difference up to which two computations count as the same

REPRODUCED, PARTLY, NOT, PHOTOGRAPH = "reproduced", "partly", "not", "needs photographs"
VERDICTS = (REPRODUCED, PARTLY, NOT, PHOTOGRAPH)


@dataclass(frozen=True)
class Check:
    """One statement about ours: ``value`` must be ``sense`` (≥, >, ≤ or <) ``bound``; what cannot be computed fails."""

    text: str
    value: float
    sense: str
    bound: float
    against: str = ""

    @property
    def holds(self) -> bool:
        """Whether the statement is true of our numbers; False where one of them is not finite."""
        if not (math.isfinite(self.value) and math.isfinite(self.bound)):
            return False
        a, b = self.value, self.bound
        return bool({"≥": a >= b, ">": a > b, "≤": a <= b, "<": a < b}[self.sense])

    def __str__(self) -> str:
        """The statement with both its numbers."""
        bound = number(self.bound)
        bound = f"{bound.rstrip('0') if '.' in bound and 'e' not in bound else bound} {self.against}".strip()
        return f"{self.text} is {number(self.value)} (asked: {self.sense} {bound})"


def number(value: float) -> str:
    """A number for people: whole, or with three decimals; "empty" where there is none (an empty map)."""
    if not math.isfinite(value):
        return "empty"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.3f}" if abs(value) >= 5e-4 else f"{value:.1e}"


def verdict(held: Sequence[bool]) -> str:
    """The verdict of the ledger's rules (book/ledger.md): all checks hold, some do, or none does."""
    if not held:
        raise ValueError("a verdict needs at least one check behind it")
    return REPRODUCED if all(held) else PARTLY if any(held) else NOT


def reason(checks: Sequence[Check]) -> str:
    """The sentences behind a verdict: which checks hold and which do not, each with its numbers."""
    held, failed = ([str(c) for c in checks if c.holds is wanted] for wanted in (True, False))
    parts = [f"{label}: {'; '.join(lines)}." for label, lines in (("Holds", held), ("Does not hold", failed)) if lines]
    return " ".join(parts)


@dataclass(frozen=True)
class Rule:
    """One rule: what the paper says in such a figure or table, and what ours must show."""

    id: str
    about: str
    claim: str
    checks: tuple[str, ...]


RULES: dict[str, Rule] = {
    rule.id: rule
    for rule in (
        Rule(
            "photograph",
            "Original images",
            "They show the image that is explained.",
            (
                f"None: the verdict is always “{PHOTOGRAPH}”. The photographs are not ours to show; ours is a drawn "
                "scene that holds what the captions name, and the reason says how much of it can be seen.",
            ),
        ),
        Rule(
            "architecture",
            "The architecture (Figure 26)",
            "Gradients are zeroed at the combine layer for all but the top n of 1024 neurons.",
            (
                "The combine layer has 1024 neurons.",
                "Our map at n = 25 differs from one made by automatic differentiation, with the gradient zeroed at "
                f"the combine layer, by at most {EXACT:.0e} of its largest value.",
                "At n = 1024 it agrees as closely with the original Grad-CAM, in which nothing is zeroed.",
            ),
        ),
        Rule(
            "same-answer",
            "Original Grad-CAM, two questions with the same answer",
            "The two maps are nearly the same.",
            (
                f"In the scene of the figure, the cosine of the two maps is at least {ALIKE}.",
                f"Over {SCENES} validation scenes, the median cosine for such pairs of the same family of questions "
                f"(color, activity or identity) is at least {ALIKE}; a scene's pairs are averaged first.",
            ),
        ),
        Rule(
            "other-answer",
            "Original Grad-CAM, one question with two answers (Figure 19)",
            "The map differs when the answer does.",
            (
                f"In the scene of the figure, the cosine of the two maps is below {ALIKE}.",
                f"Over {SCENES} validation scenes, the median cosine of a true activity's map and another activity's "
                f"map is below {ALIKE}.",
            ),
        ),
        Rule(
            "two-models",
            "Original Grad-CAM of both models (Figures 8, 11, 17, 21), besides “same answer”",
            "The Deeper LSTM localises what is asked about better than Pythia does.",
            (
                "In the scene of the figure, the Deeper LSTM's map lies more on the queried object than Pythia's.",
                f"Over {SCENES} validation scenes, so it is for the median scene, same family of questions.",
            ),
        ),
        Rule(
            "gate",
            "The gate: “using our technique”, “top n”",
            "The map follows the question. We measure the rank effect of the pair of maps: how surely the map of this "
            "question ranks its own object above the other question's object (the probability that the map, before "
            "the ReLU, is higher at a random cell of the one than of the other), minus how surely the map of the other "
            "question does. It is the same for both figures of a pair.",
            (
                "In the scene of the figure, the rank effect is larger than zero and than the original Grad-CAM's.",
                f"There, it is larger than that of at least {BEATS} of {RANDOM} gates of the same n that let random "
                "neurons pass, others for either question.",
                f"Over {SCENES} validation scenes, the 95 % bootstrap interval of its mean gain over the original "
                "Grad-CAM's rank effect lies above zero.",
                f"There, the mean rank effect is larger than that of at least {BEATS} of {RANDOM} random rankings.",
            ),
        ),
        Rule(
            "lost",
            "The sink at n = 200 (Figure 58), in place of “the gate”",
            "The sink loses the attention at top 200.",
            ("The share of the map on the sink is smaller at 200 than at 100.", "It is smaller than at 300."),
        ),
        Rule(
            "back",
            "The sink at n = 300 (Figure 61), besides “the gate”",
            "The attention is back again at top 300.",
            ("The share of the map on the sink is larger at 300 than at 200.",),
        ),
        Rule(
            "colour-first",
            "The wall at n = 25 (Figure 101), in place of “the gate”",
            "The color white takes more importance than the object wall.",
            (
                "The map lies on white objects more densely than on the image as a whole.",
                "It lies more densely on the other white object than on the queried one.",
            ),
        ),
        Rule(
            "same-question",
            "Tables 1 and 2",
            "The ten most sensitive neurons are similar for the same question across images.",
            (
                f"In the two scenes of the table, at least {SIMILAR} of 10 are shared (length of the row, l2).",
                f"Over {SCENES} validation scenes, at least {SIMILAR} are shared on average.",
            ),
        ),
        Rule(
            "other-question",
            "Tables 3 and 4",
            "They are different for different questions.",
            (
                f"For the two questions of the table, fewer than {SIMILAR} of 10 are shared (l2).",
                f"Over {SCENES} validation scenes, fewer than {SIMILAR} are shared on average by two questions about a "
                "scene (Table 4: two color questions).",
            ),
        ),
        Rule(
            "spearman",
            "Tables 5 and 6",
            "The rank correlation of ∂A/∂q between two questions is high: 0.81 to 0.93.",
            (
                f"It is at least {HIGH} for each pair of the table (l2).",
                f"Over {SCENES} validation scenes, the median for same-answer color questions is at least {HIGH}.",
            ),
        ),
    )
}
"""The rules by id, in the order of the page."""
