"""What is asked is true, can be worded in the models' vocabulary, and held-out wordings are held out."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from qgc import paper
from qgc.data.tokens import tokenize
from qgc.errors import SceneError
from qgc.lab.train.run import config
from qgc.scenes import ANSWERS, FIRST_SEED, Ask, Scene, sample
from qgc.scenes.questions import HELD_OUT, PARAPHRASES, asks, every_question, word
from qgc.scenes.situations import SITUATIONS, situation
from qgc.scenes.things import KINDS, PLACES

LEAST_MASK = 40  # pixels of the smallest object that is asked for, a phone


@pytest.fixture(scope="module")
def crowd() -> list[Scene]:
    """Random scenes of both distributions, from the test seeds."""
    return [sample(FIRST_SEED["test"] + 1000 + i, d) for i in range(20) for d in ("natural", "balanced")]


def check(scene: Scene, ask: Ask) -> None:
    """Assert that an answer is the truth about its scene."""
    question, answer, thing = ask
    if thing is not None:
        assert scene.masks[thing].sum() >= LEAST_MASK
    if ask.family == "colour":
        assert scene.colours[thing] == answer
    elif ask.family in ("activity", "gaze"):
        for person in thing.split(" and "):
            assert scene[person].pose[ask.family] == answer
    elif ask.family == "existence" and answer == "yes":
        assert thing in scene.names
    elif ask.family == "existence":
        assert thing is None and answer == "no"
        absent = [
            k for k in KINDS if word("{a}", k) == question.removeprefix("Is there ").removeprefix("Are there ")[:-1]
        ]
        assert len(absent) == 1 and absent[0] not in scene.names
    elif ask.family == "identity":
        names_it = word("{a}", thing) + "?" == question.removeprefix("Is that ").removeprefix("Are these ")
        assert (answer == "yes") == names_it
    elif ask.family == "place":
        assert answer == scene.place
    else:
        assert ask.family in ("animal", "table") and answer == thing and thing in scene.names


def test_every_answer_is_the_truth(crowd):
    families = {}
    for scene in crowd:
        for ask in scene.asks:
            check(scene, ask)
            families[ask.family] = families.get(ask.family, 0) + 1
    print(f"\nasked: {families}")
    assert families.keys() == PARAPHRASES.keys()


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_answer_about_a_situation_is_the_truth(name):
    scene = situation(name)
    for ask in [*scene.fixed_asks, *asks(scene)]:
        check(scene, ask)


def test_yes_and_no_are_asked_equally_often(crowd):
    answers = [a.answer for s in crowd for a in s.asks if a.family in ("existence", "identity")]
    print(f"\nyes: {answers.count('yes')}, no: {answers.count('no')}")
    assert answers.count("yes") == answers.count("no") > 50
    for scene in crowd:  # and scene by scene, so that "Is there …?" alone says nothing
        mine = [a.answer for a in scene.asks if a.family == "existence"]
        assert mine.count("yes") == mine.count("no")


def test_every_word_and_answer_is_known():
    words, sizes = set(config().words), config()
    for question in every_question() + every_question(held_out=True):
        assert set(tokenize(question)) <= words, question
        assert len(tokenize(question)) <= sizes.longest
    assert sizes.answers == ANSWERS and len(set(ANSWERS)) == len(ANSWERS)
    assert set(PLACES) <= set(ANSWERS)


def test_a_scenes_questions_are_among_every_question(crowd):
    known, held = set(every_question()), set(every_question(held_out=True))
    rng = np.random.default_rng(0)
    for scene in crowd:
        assert {a.question for a in scene.asks} | {a.question for a in asks(scene, "train", rng)} <= known
        assert {a.question for a in asks(scene, "held-out", rng)} <= held
        assert {a.answer for a in scene.asks} <= set(ANSWERS)


def test_no_held_out_question_is_ever_trained_on():
    training, held = ({" ".join(tokenize(q)) for q in every_question(h)} for h in (False, True))
    print(f"\n{len(training)} training questions, {len(held)} held out")
    assert PARAPHRASES.keys() == HELD_OUT.keys() and not training & held


@pytest.mark.parametrize(
    ("template", "name", "question"),
    [
        ("What color {is} {the}?", "towels", "What color are the towels?"),
        ("What is the color of {the}?", "sink", "What is the color of the sink?"),
        ("What color {is} {the}?", "top", "What color is her top?"),
        ("Where {is} {the} looking?", "man and woman", "Where are they looking?"),
        ("Is that {a}?", "folding chair", "Is that a folding chair?"),
        ("Is that {a}?", "mattresses", "Are these twin mattresses?"),
        ("Is there {a}?", "cat", "Is there a cat?"),
        ("Tell me if there is {a}.", "towels", "Tell me if there are towels."),
        ("Where is this?", None, "Where is this?"),
    ],
)
def test_questions_are_worded_as_people_word_them(template, name, question):
    assert word(template, name) == question


def test_an_ask_is_a_triple_that_can_be_pickled():
    ask = Ask("Is there a cat?", "no", None, "existence")
    again = pickle.loads(pickle.dumps(ask))
    assert again == ("Is there a cat?", "no", None) and again.family == "existence"
    assert (ask.question, ask.answer, ask.thing) == tuple(ask)


# -- the paper's situations ---------------------------------------------------------------------------


def test_all_ten_situations_are_there():
    assert set(SITUATIONS) == set(paper.SITUATIONS) and len(SITUATIONS) == 10
    for name in SITUATIONS:
        scene = situation(name)
        assert scene.name == name and scene.fixed_asks and scene is situation(name)


@pytest.mark.parametrize("name", paper.SITUATIONS)
def test_a_situation_has_the_papers_questions_and_answers(name):
    """All but Figure 19's, which answers one question in two ways."""
    printed = {(f.question, f.answer) for f in paper.figures(situation=name) if f.method and f.number != 19}
    ours = {(a.question, a.answer) for a in situation(name).asks}
    assert printed <= ours, printed - ours
    words = set(config().words)
    assert all(set(tokenize(q)) <= words and a in ANSWERS for q, a in ours)


def test_an_unknown_situation_lists_the_known_ones():
    with pytest.raises(SceneError, match="no situation 'kitchen'; the paper's are bathroom, birthday"):
        situation("kitchen")
