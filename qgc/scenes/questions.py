"""The questions that a scene supports, as people ask them, with the true answer and the queried object.

Families: color, activity, gaze, existence, identity, place, animal, table. Every family has several
paraphrases; some are *held out*: no model is trained on them (book/scenes-gallery.ipynb).
"""

from __future__ import annotations

import numpy as np

from ..errors import SceneError, shown
from .things import KINDS, PLACES
from .vocabulary import ACTIVITIES, ANIMALS, BEDS, COLOURS, GAZES, PEOPLE, SEATS

TOPS = tuple(k for k in KINDS if KINDS[k].stands == "table")
LEAST = 90  # pixels of an object that must be visible before it is asked for

PARAPHRASES: dict[str, tuple[str, ...]] = {
    "colour": (
        "What color {is} {the}?", "What is the color of {the}?", "What color {is} {the} in the picture?",
        "Which color {is} {the}?", "Tell me the color of {the}.", "What color do you see on {the}?",
    ),
    "activity": (
        "What is {the} doing?", "What is {the} in the picture doing?", "Tell me what {the} is doing.",
        "What do you see {the} doing?",
    ),
    "gaze": (
        "Where {is} {the} looking?", "Which way {is} {the} looking?", "Tell me where {the} {is} looking.",
        "In which direction {is} {the} looking?",
    ),
    "existence": (
        "Is there {a}?", "Do you see {a}?", "Is there {a} in the picture?", "Can you see {a}?",
        "Tell me if there is {a}.",
    ),
    "identity": ("Is that {a}?", "Is this {a}?", "Is that {a} in the picture?", "Tell me if that is {a}."),
    "place": ("Where is this?", "What place is this?", "Which place is in the picture?", "Tell me where this is."),
    "animal": (
        "What animal is that?", "What animal is this?", "Which animal is in the picture?", "What animal do you see?",
    ),
    "table": (
        "What is on the table?", "What do you see on the table?", "What is that on the table?",
        "Tell me what is on the table.",
    ),
}  # fmt: skip
WORDINGS = PARAPHRASES  # its earlier name
HELD_OUT: dict[str, tuple[str, ...]] = {
    "colour": ("In the picture, what color {is} {the}?", "Can you tell me what color {the} {is}?"),
    "activity": ("In the picture, what is {the} doing?", "Can you tell me what {the} is doing?"),
    "gaze": ("In the picture, where {is} {the} looking?", "Can you tell me where {the} {is} looking?"),
    "existence": ("In the picture, is there {a}?", "Can you tell me if there is {a}?"),
    "identity": ("In the picture, is that {a}?", "Can you tell me if this is {a}?"),
    "place": ("In the picture, what place is this?", "Can you tell me where this is?"),
    "animal": ("In the picture, what animal is that?", "Can you tell me what animal this is?"),
    "table": ("In the picture, what is on the table?", "Can you tell me what is on the table?"),
}
PLURAL = {"Is there": "Are there", "is there": "are there", "there is": "there are", "Is that": "Are these",
          "is that": "are these", "Is this": "Are these", "this is": "these are", "that is": "these are"}  # fmt: skip
ANSWERS: tuple[str, ...] = (
    "yes", "no", *COLOURS, *ACTIVITIES, *GAZES, *sorted(PLACES), *ANIMALS, *TOPS,
)  # fmt: skip


class Ask(tuple):
    """A question with its true answer and its queried object, as a tuple of the three.

    ``thing`` is the object's name, that of its mask. It is None where the object is absent ("Is there a cat?" — "no")
    or the question is about the whole image. ``family`` says which kind of question it is.
    """

    question = property(lambda self: self[0])
    answer = property(lambda self: self[1])
    thing = property(lambda self: self[2])

    def __new__(cls, question: str, answer: str, thing: str | None, family: str = ""):
        """The tuple, with its family."""
        self = super().__new__(cls, (question, answer, thing))
        self.family = family
        return self

    def __getnewargs__(self):
        return (*self, self.family)


def definite(name: str) -> tuple[str, bool]:
    """An object or part with its definite article ("the sink"), and whether it is a plural."""
    special = {
        "shirt": ("the man's shirt", False),
        "top": ("her top", False),
        "man and woman": ("they", True),
    }
    if name in special:
        return special[name]
    kind = KINDS.get(name)
    return (f"the {kind.noun}", kind.plural) if kind else (f"the {name}", False)


def indefinite(name: str) -> tuple[str, bool]:
    """The object with an indefinite article ("a cat", "towels"), and whether it is a plural."""
    kind = KINDS[name]
    if name == "mattresses":
        return "twin mattresses", True
    if name == "bed":
        return "a double bed", False
    if kind.plural:
        return kind.noun, True
    return f"{'an' if kind.noun[0] in 'aeiou' else 'a'} {kind.noun}", False


def word(template: str, name: str | None) -> str:
    """A template filled in for an object: "Is there {a}?", "cat" → "Is there a cat?"."""
    if name is None:
        return template
    if "{a}" in template:
        a, plural = indefinite(name)
        if plural:
            for one, many in PLURAL.items():
                if one in template:
                    template = template.replace(one, many)
                    break
        return template.replace("{a}", a)
    the, plural = definite(name)
    return template.replace("{the}", the).replace("{is}", "are" if plural else "is")


def facts(scene) -> list[tuple[str, str | None, str, str | None]]:
    """Every (family, name in the question, answer, queried object) that is true of a scene, in a fixed order.

    Existence and identity are asked in pairs, one true and one false, so that "yes" is right half the
    time; the false ones are drawn at random, from the scene's own seed.
    """
    area = {name: int(mask.sum()) for name, mask in scene.masks.items()}
    seen = [n for n in scene.names if area.get(n, 0) >= LEAST]
    rng = np.random.default_rng([scene.seed, 17])
    # The order of the blocks below is part of what the seed draws: it stays.
    out: list[tuple[str, str | None, str, str | None]] = []
    for name, colour in scene.colours.items():
        if area.get(name, 0) >= (LEAST if name != "phone" else 40):
            out.append(("colour", name, colour, name))
    people = [p for p in PEOPLE if p in seen]
    for person in people:
        out.append(("activity", person, scene[person].pose["activity"], person))
        out.append(("gaze", person, scene[person].pose["gaze"], person))
    if len(people) == 2 and len({scene[p].pose["gaze"] for p in people}) == 1:
        out.append(("gaze", "man and woman", scene["man"].pose["gaze"], "man and woman"))
    absent = [k for k in sorted(KINDS) if k not in scene.names and not near(k, scene.names)]
    odds = np.array([_odds(k) if scene.distribution == "balanced" else 1.0 for k in absent])
    for name in rng.permutation(seen)[:3]:
        out.append(("existence", str(name), "yes", str(name)))
        out.append(("existence", str(rng.choice(absent, p=odds / odds.sum())), "no", None))
    for group in (SEATS, BEDS, ANIMALS):
        here = [n for n in seen if n in group]
        if len([n for n in scene.names if n in group]) == len(here) == 1:
            out.append(("identity", here[0], "yes", here[0]))
            out.append(("identity", str(rng.choice([k for k in group if k != here[0]])), "no", here[0]))
    out.append(("place", None, scene.place, None))
    for family, group in (("animal", ANIMALS), ("table", TOPS)):
        here = [n for n in scene.names if n in group]
        if len(here) == 1 and here[0] in seen:
            out.append((family, None, here[0], here[0]))
    return out


def _odds(kind: str) -> float:
    # How much more often than an ordinary object a kind is in a balanced scene. Asked for that much more often where it
    # is absent, its mere name does not predict the answer.
    return 12.0 if kind in (*PEOPLE, "table") else 1.6 if kind in ANIMALS else 1.0


def near(kind: str, names: list[str]) -> bool:
    """Is ``kind`` so like one of ``names`` that nobody would ask for it, as for "toilets" where there is one toilet?"""
    alike = ({"toilet", "toilets"}, {"bed", "mattresses"}, {"trees", "pine", "bush"})
    return any(kind in t and t & set(names) for t in alike)


def asks(scene, paraphrases: str = "first", rng: np.random.Generator | None = None) -> list[Ask]:
    """The questions of a scene as :class:`Ask`.

    ``paraphrases``: ``"first"`` always uses a family's first paraphrase, ``"train"`` draws one of the
    training paraphrases with ``rng``, ``"held-out"`` one of the held-out paraphrases.
    """
    if paraphrases not in ("first", "train", "held-out"):
        raise SceneError(f"paraphrases is {shown(paraphrases)}; choose 'first', 'train' or 'held-out'")
    if rng is None and paraphrases == "train":
        raise SceneError(
            "training paraphrases are drawn at random; give asks() a generator, rng=np.random.default_rng(0)"
        )
    out = []
    for family, name, answer, about in facts(scene):
        pool = HELD_OUT[family] if paraphrases == "held-out" else PARAPHRASES[family]
        template = pool[0] if paraphrases == "first" else pool[int(rng.integers(len(pool)))]
        out.append(Ask(word(template, name), answer, about, family))
    return out


def every_question(held_out: bool = False) -> list[str]:
    """Every question that the paraphrases can make, for building a vocabulary."""
    templates = HELD_OUT if held_out else PARAPHRASES
    coloured = [k for k in KINDS if KINDS[k].colours and k not in PEOPLE]
    coloured += ["shirt", "top", "phone"] + sorted({p for q in PLACES.values() for p in (q.upper, q.lower)})
    names = {
        "colour": coloured, "activity": PEOPLE, "gaze": (*PEOPLE, "man and woman"), "existence": KINDS,
        "identity": (*SEATS, *BEDS, *ANIMALS), "place": (None,), "animal": (None,), "table": (None,),
    }  # fmt: skip
    return list(dict.fromkeys(word(t, n) for family, pool in templates.items() for n in names[family] for t in pool))
