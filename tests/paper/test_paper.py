"""``qgc.paper`` says what the paper says: against itself, and against the paper's text where that is at hand."""

import os
import re
import sys
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from qgc import paper
from qgc.paper.tables import SPEARMAN_CAPTION

PAPER = Path(os.environ.get("QGC_PAPER_TEXT", "paper.md"))  # the paper as text; it is not ours to ship
MAPS = [figure for figure in paper.FIGURES.values() if figure.kind == "map"]
COLUMNS = [column for top in paper.TOP10.values() for column in top.columns]
BATHROOM_N = [10, 15, 20, 25, 30, 35, 40, 45, 50, 100, 200, 300, 400, 500, 750, 1000, 1024]


# Figures


def test_figures_are_numbered_without_a_gap():
    assert list(paper.FIGURES) == list(range(1, 102))
    assert all(figure.number == number for number, figure in paper.FIGURES.items())


def test_kinds():
    photographs = {figure.number for figure in paper.FIGURES.values() if figure.kind == "photograph"}
    singles = {1, 4, 7, 10, 13, 16, 20, 23, 24, 25}
    assert photographs == singles | set(range(27, 100, 3))
    assert [figure.number for figure in paper.FIGURES.values() if figure.kind == "architecture"] == [26]


def test_a_map_belongs_to_the_photograph_above_it():
    for figure in MAPS:
        picture = paper.figure(figure.picture)
        assert picture.kind == "photograph" and picture.picture == picture.number
        assert picture.situation == figure.situation
        assert 1 <= figure.number - picture.number <= 3
    assert [paper.figure(number).picture for number in (1, 19, 22, 25, 28, 29, 101)] == [1, 16, 20, 25, 27, 27, 99]


def test_a_map_has_everything_and_a_photograph_nothing():
    for figure in paper.FIGURES.values():
        has = [figure.question is not None, figure.answer is not None, figure.method is not None]
        assert all(has) if figure.kind == "map" else not any(has) and figure.n is None
    for figure in MAPS:
        assert re.fullmatch(r"[A-Z][a-z ]+\?", figure.question), figure
        assert figure.answer in {"white", "green", "sitting", "standing", "no"}


def test_models():
    pythia = {figure.number for figure in paper.FIGURES.values() if figure.model == "pythia"}
    assert pythia == {8, 9, 12, 14, 15, 17, 18, 19}
    assert {figure.model for figure in MAPS if figure.number not in pythia} == {"deeper-lstm"}
    assert paper.figure(26).model == "deeper-lstm"
    assert paper.figure(27).model is None


def test_methods_and_n():
    for figure in MAPS:
        if figure.model == "pythia":
            assert (figure.method, figure.n) == ("grad-cam", None)
        elif figure.number in (5, 6):
            assert (figure.method, figure.n) == ("gate", None)
        else:
            assert (figure.method == "grad-cam") == (figure.n == 1024)
    originals = [figure.number for figure in paper.figures(method="grad-cam", n=1024)]
    assert originals == [2, 3, 11, 21, 22, 76, 77, 79, 80, 85, 86, 94, 95]


@pytest.mark.parametrize(
    ("number", "question", "answer", "n", "situation", "section"),
    [
        (6, "What color are the towels?", "white", None, "bathroom", "1"),
        (14, "Is that a folding chair?", "no", None, "bedroom", "3"),
        (19, "What is the man doing?", "standing", None, "couple", "3"),
        (38, "What color are the towels?", "white", 25, "bathroom", "3.3"),
        (58, "What is the color of the sink?", "white", 200, "bathroom", "3.3"),
        (83, "What color is the grass?", "green", 200, "park", "3.3"),
        (85, "What color are the toilets?", "white", 1024, "toilets", "3.3"),
        (88, "What color are the toilets?", "white", 400, "toilets", "3.3"),
        (92, "What color are the balloons?", "white", 25, "birthday", "5"),
        (98, "What color is her top?", "white", 25, "phone", "5"),
        (101, "What color is the wall?", "white", 25, "toilets", "5"),
    ],
)
def test_what_single_figures_say(number, question, answer, n, situation, section):
    figure = paper.figure(number)
    assert (figure.question, figure.answer, figure.n) == (question, answer, n)
    assert (figure.situation, figure.section) == (situation, section)


def test_situations():
    names = "bathroom birthday bedroom couple skier-1 skier-2 skateboarder park toilets phone"
    assert list(paper.SITUATIONS) == names.split()
    assert [paper.figure(number).situation for number in (23, 24, 25)] == ["skier-1", "skier-2", "skateboarder"]
    assert paper.figure(26).situation is None


def test_notes_tell_of_oddities():
    assert "probably the Deeper LSTM's" in paper.figure(12).note
    assert "not state n" in paper.figure(5).note and "not state n" in paper.figure(6).note
    assert paper.figure(1).note == ""
    silent = {figure.number for figure in MAPS if "names no model" in figure.note}
    assert silent == {figure.number for figure in MAPS if figure.caption.startswith("Top ")}
    assert {figure.number for figure in MAPS if "Q:W" in figure.caption} == {85, 94}
    assert all("no space" in paper.figure(number).note for number in (85, 94))


def test_sweeps():
    assert paper.sweep_n("bathroom") == BATHROOM_N
    assert paper.sweep_n("park") == [200, 1024]
    assert paper.sweep_n("toilets") == [25, 400, 1024]
    assert paper.sweep_n("birthday") == paper.sweep_n("phone") == [25, 1024]
    assert paper.sweep_n("couple") == [1024]
    assert paper.sweep_n("bedroom") == []
    swept = [figure.n for figure in paper.figures("bathroom", question="What color are the towels?") if figure.n]
    assert swept == [1024, *BATHROOM_N]


def test_filter():
    assert len(paper.figures()) == 101
    assert [figure.number for figure in paper.figures("bathroom", n=25)] == [37, 38]
    assert [figure.number for figure in paper.figures("couple", question="What is the man doing?")] == [17, 19, 21]
    assert [figure.number for figure in paper.figures("birthday", method="gate")] == [91, 92]
    assert paper.figures(n=60) == []


def test_figures_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        paper.figure(1).caption = ""


@pytest.mark.parametrize("number", [0, 102, -1, "12"])
def test_no_such_figure(number):
    with pytest.raises(ValueError, match=f"no Figure {number}: the paper has Figures 1 to 101"):
        paper.figure(number)


def test_no_such_situation_or_method():
    with pytest.raises(ValueError, match="unknown situation 'kitchen': the paper shows bathroom, birthday, "):
        paper.figures("kitchen")
    with pytest.raises(ValueError, match="unknown situation 'kitchen'"):
        paper.sweep_n("kitchen")
    with pytest.raises(ValueError, match="unknown method 'lime': choose one of grad-cam, gate"):
        paper.figures(method="lime")


# Tables


def test_the_80_printed_indices_name_combine_neurons():
    indices = [index for column in COLUMNS for index in column.indices]
    assert len(indices) == 80
    assert all(0 <= index < 1024 for index in indices)
    assert all(len(set(column.indices)) == 10 for column in COLUMNS)


def test_values_descend():
    for column in COLUMNS:
        assert len(column.values) == 10
        assert list(column.values) == sorted(column.values, reverse=True)


def test_neurons_281_and_51_have_one_value_in_four_photographs():
    doing = [dict(zip(column.indices, column.values, strict=True)) for column in COLUMNS[:4]]
    assert [column[281] for column in doing] == [0.6597] * 4
    assert [column[51] for column in doing] == [0.0809] * 4


def test_columns_point_at_photographs_of_their_situation():
    assert [column.figure for column in COLUMNS] == [20, 25, 23, 24, 20, 20, 10, 10]
    for about in (*COLUMNS, *paper.SPEARMAN):
        picture = paper.figure(about.figure)
        assert picture.kind == "photograph" and picture.situation == about.situation


def test_spot_values():
    table3, table4 = paper.TOP10[3].columns, paper.TOP10[4].columns
    assert (table3[0].values[0], table3[0].indices[0]) == (5.1008, 713)
    assert (table3[1].values[9], table3[1].indices[9]) == (0.2533, 882)
    assert (table4[0].values[9], table4[0].indices[9]) == (1.4277, 6)
    assert (table4[1].values[3], table4[1].indices[3]) == (2.8059, 337)


def test_spearman():
    assert [row.value for row in paper.SPEARMAN] == [0.860921, 0.932396, 0.812344, 0.896294, 0.872120]
    assert [row.table for row in paper.SPEARMAN] == [5, 5, 5, 6, 6]
    for row in paper.SPEARMAN:
        for question in row.questions:
            maps = paper.figures(row.situation, question=question)
            assert maps and {figure.answer for figure in maps} == {row.answer}


def test_table_is_laid_out_as_printed():
    first = paper.table(1)
    assert first.shape == (10, 4)
    assert list(first.columns) == [(f"Figure {f}", name) for f in (20, 25) for name in ("value", "index")]
    assert first.loc[3].tolist() == [0.4048, 457, 0.3944, 457]
    assert first["Figure 20"]["index"].dtype.kind == "i"
    third = paper.table(3)
    assert list(third.columns.levels[0]) == ["What is the woman doing?", "Where are they looking?"]
    assert third.columns[0] == ("Where are they looking?", "value")
    assert third.attrs["caption"] == paper.TOP10[3].caption
    assert paper.table(5).shape == (3, 2) and paper.table(6).shape == (2, 2)
    pair = "'What color is the cake?' and 'What color are the balloons?' in Figure 10"
    assert paper.table(6).iloc[0].tolist() == [pair, 0.896294]


@pytest.mark.parametrize("number", [0, 7])
def test_no_such_table(number):
    with pytest.raises(ValueError, match=f"no Table {number}: the paper has Tables 1 to 6"):
        paper.table(number)


# Claims


def test_claims_rest_on_figures_and_tables_of_the_paper():
    for id, claim in paper.CLAIMS.items():
        assert claim.id == id and claim.quote
        assert set(claim.figures) <= set(paper.FIGURES)
        assert set(claim.tables) <= set(range(1, 7))
    lost, back = (paper.figure(number) for number in paper.CLAIMS["sink-lost-at-200"].figures)
    assert (lost.n, back.n, lost.question) == (200, 300, back.question)
    assert {paper.figure(number).n for number in paper.CLAIMS["park-better-at-200"].figures} == {None, 200}
    assert {paper.figure(number).n for number in paper.CLAIMS["toilets-better-at-400"].figures} == {None, 400}
    assert {paper.figure(number).n for number in paper.CLAIMS["good-around-25"].figures} == {None, 25}


def test_the_data_need_no_other_room():
    for module in ("claims", "figure_list", "tables"):
        source = Path(sys.modules[f"qgc.paper.{module}"].__file__).read_text(encoding="utf-8")
        assert "qgc" not in re.findall(r"^(?:from|import) (\w+)", source, flags=re.MULTILINE)


# Against the paper's own text


@pytest.fixture(scope="module")
def raw() -> str:
    """The paper's text as it stands."""
    if not PAPER.is_file():
        pytest.skip("set QGC_PAPER_TEXT to a text file of the paper to compare with it")
    return PAPER.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def text(raw: str) -> str:
    """The paper's text with every run of white space made one space."""
    return " ".join(raw.split())


def test_captions_are_the_papers(text):
    numbered = re.findall(r"Figure (\d+)\. (?=Original|Image|Grad-CAM|Top|Deeper)", text)
    assert sorted(map(int, numbered)) == list(paper.FIGURES)
    for figure in paper.FIGURES.values():
        after = text.split(f"Figure {figure.number}. {figure.caption}")
        assert len(after) == 2, figure
        assert figure.kind != "map" or not after[1].startswith(" ("), figure


def test_top_10_rows_are_the_papers(raw, text):
    printed = re.findall(r"^(\d\.\d{4})\t(\d+)\t(\d\.\d{4})\t(\d+)$", raw, flags=re.MULTILINE)
    ours = [
        (f"{v1:.4f}", str(i1), f"{v2:.4f}", str(i2))
        for number in (1, 3, 2, 4)  # the order in which the paper prints them
        for v1, i1, v2, i2 in paper.table(number).itertuples(index=False)
    ]
    assert ours == printed
    for top in paper.TOP10.values():
        assert f"Table {top.number}. {top.caption}" in text


def test_spearman_rows_are_the_papers(raw, text):
    printed = re.findall(r"Spearman rank correlation between [^\t\n]*\t(0\.\d{6})", raw)
    assert [f"{row.value:.6f}" for row in paper.SPEARMAN] == printed
    joined = text.replace("- ", "")  # words hyphenated at a line's end
    for row in paper.SPEARMAN:
        first, second = row.questions
        assert f"for the questions '{first}' and '{second}' in Figure {row.figure} " in joined
        assert f"Table {row.table}. {SPEARMAN_CAPTION}" in text


def test_quotes_are_the_papers(text):
    for claim in paper.CLAIMS.values():
        assert claim.quote in text, claim.id


def test_quotes_stand_in_their_section(raw):
    """Sections by heading; figures and tables float, so that this holds for the text's quotes only."""
    heading = re.compile(r"^#+ \**(\d(?:\.\d)?)\.? .*$", flags=re.MULTILINE)
    _, *parts = heading.split(raw)
    sections = {number: " ".join(body.split()) for number, body in zip(parts[::2], parts[1::2], strict=True)}
    for claim in paper.CLAIMS.values():
        assert claim.quote in sections[claim.section], claim.id
