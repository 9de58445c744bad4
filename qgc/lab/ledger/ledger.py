"""The ledger (book/ledger.md): every figure and table of the paper, ours beside it, and a verdict with its reason.

``compute()`` measures and judges all rows by the rules of :mod:`qgc.lab.ledger.rules`; ``faults`` says what in a
stored ledger is missing, dead or no longer true. The page and its thumbnails are drawn by ``qgc.lab.ledger.show``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path

import numpy as np
import torch

from ...explain import REDUCTIONS
from ...measure import cosine, map_share, spearman
from ...measure.similarity import shared
from ...models import card, names
from ...paper.claims import CLAIMS
from ...paper.figure_list import COMBINE, FIGURES, Figure
from ...paper.tables import SPEARMAN, SPEARMAN_CAPTION, TOP10
from ...scenes import Ask
from ...scenes.situations import situation
from ..experiments.overlap import KINDS as PAIRS
from .links import ROOT, dead, link, treated_in
from .measure import DISTRIBUTION, NS, Measurements, effects, interval, nanmean
from .rules import (
    ALIKE,
    BEATS,
    EXACT,
    HIGH,
    NOT,
    PARTLY,
    PHOTOGRAPH,
    RANDOM,
    REPRODUCED,
    SCENES,
    SIMILAR,
    VERDICTS,
    Check,
    reason,
    verdict,
)

RESULTS = ROOT / "book" / "ledger.json"
PYTHIA = "pythia/natural"
DEEPER = ("deeper-lstm/natural", "deeper-lstm/early", "deeper-lstm/balanced")
UNSTATED = 25  # n of Figures 5 and 6: what §3.3 finds best for these two questions
DEVICE = "cpu"
DRIFT = 1e-3  # how far a number may be from the stored one, which has four decimals
HEAVIEST = 1.5 * 2**20  # bytes of all thumbnails together

Found = tuple[list[Check], dict]


class Sources:
    """The checkpoints' measurements (book/ledger.md), each loaded when a row first asks for it."""

    def __init__(self, scenes: int = SCENES):
        """``scenes``: how many validation scenes are behind "over many scenes"."""
        self.scenes = scenes
        self.measurements = cache(lambda name: Measurements(name, scenes))


# -- what a figure asks ---------------------------------------------------------------------------
def asked(figure: Figure) -> tuple[Ask, Ask]:
    """The question of a figure, and the one of the same answer that the paper sets beside it (paper §1)."""
    asks = situation(figure.situation).asks
    own = next(ask for ask in asks if ask.question == figure.question)
    return own, next(ask for ask in asks if ask.answer == own.answer and ask.thing != own.thing)


def gate_n(figure: Figure) -> int:
    """How many neurons the gradient of a map may pass (paper §3.3); 25 where the paper does not say."""
    return UNSTATED if figure.n is None else figure.n


def rules_of(figure: Figure) -> tuple[str, ...]:
    """The rules that a figure is tested by (book/ledger.md)."""
    if figure.kind != "map":
        return (figure.kind,)
    if figure.method == "grad-cam":
        if figure.number == 19:
            return ("other-answer",)
        return ("same-answer", "two-models") if figure.number in CLAIMS["pythia-localises-less"].figures else (
            "same-answer",
        )  # fmt: skip
    return {58: ("lost",), 61: ("gate", "back"), 101: ("colour-first",)}.get(figure.number, ("gate",))


def models_of(rules: Iterable[str], model: str | None) -> tuple[str, ...]:
    """The checkpoints of a row, the one that the verdict is about first, and Pythia where both are compared."""
    own = (PYTHIA,) if model == "pythia" else DEEPER
    return own + ((PYTHIA,) if "two-models" in rules and PYTHIA not in own else ())


# -- the rules, measured --------------------------------------------------------------------------
def _architecture(m: Measurements, figure: Figure, sources: Sources) -> Found:
    ask = situation("bathroom").asks[0]
    errors = {n: m.gate_error("bathroom", ask.question, ask.answer, n) for n in (25, COMBINE)}
    checks = [Check("the number of combine neurons", m.vqa.combine, "≥", COMBINE)]
    checks += [Check(f"the relative difference at n = {n}", error, "≤", EXACT) for n, error in errors.items()]
    # The rounding error itself is another on another machine; only its size is kept.
    return checks, {"combine neurons": m.vqa.combine, "question numbers": m.vqa.encode(ask.question).shape[1]}


def _same_answer(m: Measurements, figure: Figure, sources: Sources) -> Found:
    own, other = asked(figure)
    here = cosine(*(m.original(figure.situation, a.question, a.answer) for a in (own, other)))
    many = m.same_answer(own.family)
    scene = f"the cosine of the two maps in the {figure.situation}"
    checks = [
        Check(scene, here, "≥", ALIKE),
        Check(f"the median cosine over {m.scenes} scenes", median(many), "≥", ALIKE),
    ]
    shares = {
        f"share on the {a.thing}": m.share(figure.situation, own.question, own.answer, a.thing) for a in (own, other)
    }
    return checks, {"cosine": here, "median cosine": median(many), **shares}


def _other_answer(m: Measurements, figure: Figure, sources: Sources) -> Found:
    own, _ = asked(figure)
    maps = (m.original(figure.situation, own.question, answer) for answer in (own.answer, figure.answer))
    here, many = cosine(*maps), m.other_answer
    checks = [
        Check(f"the cosine of the maps for “{own.answer}” and “{figure.answer}”", here, "<", ALIKE),
        Check(f"the median cosine over {m.scenes} scenes", median(many), "<", ALIKE),
    ]
    return checks, {"cosine": here, "median cosine": median(many)}


def _two_models(m: Measurements, figure: Figure, sources: Sources) -> Found:
    own, _ = asked(figure)
    both = [m if m.name in DEEPER else sources.measurements(DEEPER[0]), sources.measurements(PYTHIA)]
    deeper, pythia = (s.share(figure.situation, own.question, own.answer, own.thing) for s in both)
    over = median(both[0].own_shares(own.family) - both[1].own_shares(own.family))
    checks = [
        Check(f"the Deeper LSTM's share on the {own.thing}", deeper, ">", pythia, "with Pythia"),
        Check(f"the median difference of the shares over {m.scenes} scenes", over, ">", 0),
    ]
    return checks, {"Deeper LSTM's share": deeper, "Pythia's share": pythia, "median difference of shares": over}


def _gate(m: Measurements, figure: Figure, sources: Sources) -> Found:
    own, other = asked(figure)
    n, row = gate_n(figure), NS.index(gate_n(figure))
    a, here = _ranked(m, figure)
    checks, found = _gate_checks("rank effect", figure, m, here, m.gates)
    first, second = (float(x) for x in a["gate"][row])
    shares = {
        f"share on the {a.thing}": m.gate_shares(figure.situation, own.question, own.answer, a.thing, [n])[0]
        for a in (own, other)
    }
    _, by_margin = _gate_by_margin(m, figure, sources)
    above = f"the {own.thing} above the {other.thing}"
    return checks, {
        "n": n, f"a₁, {above}, this question's map": first, f"a₂, {above}, the other question's map": second,
        **found, **shares, "margin (the larger object decides it)": by_margin["margin"],
        "mean margin (likewise)": by_margin["mean margin"],
    }  # fmt: skip


def _gate_by_margin(m: Measurements, figure: Figure, sources: Sources) -> Found:
    # The gate's rule as it was until the margin was found to be decided by the larger object.
    own, other = asked(figure)
    here = m.gate_margins(figure.situation, own.question, own.answer, own.thing, other.thing)
    many = {key: m.gates[f"margin, {key}"] for key in here}
    return _gate_checks("margin", figure, m, here, many)


def _ranked(m: Measurements, figure: Figure) -> tuple[dict, dict]:
    # a_1 and a_2 of a figure's gates, and their differences; a pair's two figures share all of its maps.
    own, other = asked(figure)
    pair = sorted((own, other), key=situation(figure.situation).asks.index)
    a = m.gate_ranks(figure.situation, tuple(x.question for x in pair), own.answer, tuple(x.thing for x in pair))
    seen = a if pair[0] is own else {key: 1 - value[..., ::-1] for key, value in a.items()}
    return seen, effects(a)


def _gate_checks(what: str, figure: Figure, m: Measurements, here: dict, many: dict) -> Found:
    # The gate's four checks on any quantity, in the scene of a figure and over many.
    row = NS.index(gate_n(figure))
    value, original = float(here["gate"][row]), float(here["Grad-CAM"])
    beaten = int((value > here["random"][row]).sum())
    mean, gain = nanmean(many["gate"][:, row]), many["gate"][:, row] - many["Grad-CAM"]
    low, high = (float(end) for end in interval(gain))
    ranked = int((mean > nanmean(many["random"][:, row], axis=0)).sum())
    checks = [
        Check(f"the {what} in the {figure.situation}", value, ">", max(original, 0.0),
              "as with the original Grad-CAM" if original > 0 else ""),
        Check("the number of random gates beaten there", beaten, "≥", BEATS),
        Check(f"the lower end of the mean gain's interval over {m.scenes} scenes", low, ">", 0),
        Check("the number of random rankings beaten by that mean", ranked, "≥", BEATS),
    ]  # fmt: skip
    return checks, {
        what: value, f"Grad-CAM's {what}": original, "random gates beaten": beaten,
        f"mean {what}": mean, "mean gain": nanmean(gain), "gain, lower end": low, "gain, upper end": high,
        "random rankings beaten": ranked,
    }  # fmt: skip


def random_rankings_judged(sources: Sources, name: str) -> dict:
    """What the gate's rule (book/ledger.md) says of random rankings: each of them in the place of the paper's.

    A random ranking is compared with the others: it holds where at most ``RANDOM − BEATS`` of them do as well, which is
    what the paper's may have.

    Returns
    -------
    dict
        ``rows`` with that rule, ``paper``: verdict → rows, ``random``: verdict → mean number of rows, ``most``: of
        one ranking's reproduced rows, ``as many``: rankings with at least as many reproduced rows as the paper's.
    """
    m = sources.measurements(name)
    figures = [figure for figure in FIGURES.values() if "gate" in rules_of(figure)]
    paper = Counter(verdict([c.holds for c in _gate(m, figure, sources)[0]]) for figure in figures)
    held = np.stack([_random_holds(m, figure) for figure in figures])  # (rows, checks, rankings)
    full, none = held.all(1), ~held.any(1)
    each = {REPRODUCED: full, PARTLY: ~full & ~none, NOT: none}
    reproduced = full.sum(0)
    return {
        "rows": len(figures),
        "paper": {v: paper[v] for v in each},
        "random": {v: float(rows.sum(0).mean()) for v, rows in each.items()},
        "most": int(reproduced.max()),
        "as many": int((reproduced >= paper[REPRODUCED]).sum()),
    }


def _random_holds(m: Measurements, figure: Figure) -> np.ndarray:
    # bool (checks, rankings): which of the gate's checks hold for each random ranking in the paper's place.
    row, here, many = NS.index(gate_n(figure)), _ranked(m, figure)[1], m.gates
    value, over = here["random"][row], many["random"][:, row]
    beats = [(x[:, None] <= x).sum(1) - 1 <= RANDOM - BEATS for x in (value, over.mean(0))]
    low, _ = interval(over - many["Grad-CAM"][:, None])
    return np.stack([value > max(float(here["Grad-CAM"]), 0.0), beats[0], low > 0, beats[1]])


def _lost(m: Measurements, figure: Figure, sources: Sources) -> Found:
    own, _ = asked(figure)
    ns = (100, 200, 300)
    at = dict(zip(ns, m.gate_shares(figure.situation, own.question, own.answer, own.thing, ns), strict=True))
    here = f"the share on the {own.thing} at n = 200"
    checks = [Check(here, at[200], "<", at[n], f"at n = {n}") for n in (100, 300)]
    return checks, {f"share at n = {n}": share for n, share in at.items()}


def _back(m: Measurements, figure: Figure, sources: Sources) -> Found:
    _, shares = _lost(m, figure, sources)
    at = [shares[f"share at n = {n}"] for n in (200, 300)]
    return [Check("the share on the sink at n = 300", at[1], ">", at[0], "at n = 200")], shares


def _colour_first(m: Measurements, figure: Figure, sources: Sources) -> Found:
    own, other = asked(figure)
    scene, n = situation(figure.situation), gate_n(figure)
    alike = [scene.masks[name] for name, colour in scene.colours.items() if colour == figure.answer]
    masks = {"all of that color": np.any(alike, axis=0), **{a.thing: scene.masks[a.thing] for a in (own, other)}}
    heat = m.explanation(figure.situation, own.question, own.answer).map(n)
    dense = {name: float(map_share(heat, mask)) / float(mask.mean()) for name, mask in masks.items()}
    checks = [
        Check(f"the density on {figure.answer} objects", dense["all of that color"], ">", 1, "as on the whole image"),
        Check(f"the density on the {other.thing}", dense[other.thing], ">", dense[own.thing], f"on the {own.thing}"),
    ]
    return checks, {"n": n, **{f"density, {name}": value for name, value in dense.items()}}


def _photograph(figure: Figure) -> tuple[str, dict]:
    scene = situation(figure.situation)
    seen = {ask.thing: float(scene.masks[ask.thing].mean()) for ask in scene.asks if " and " not in ask.thing}
    words = " and ".join(f"the {thing} on {share:.1%} of the image" for thing, share in seen.items())
    return f"The photograph is not ours to show. Our drawn {figure.situation} has {words}.", seen


def _top10(m: Measurements, number: int, sources: Sources) -> Found:
    columns = TOP10[number].columns
    sensitivities = [m.sensitivities(c.situation, c.question) for c in columns]
    tops = {r: [d[r].topk(10) for d in sensitivities] for r in REDUCTIONS}
    here = {r: shared(*(t.indices.tolist() for t in both)) for r, both in tops.items()}
    similar = number in (1, 2)
    kind = PAIRS[0] if similar else PAIRS[1] if number == 3 else PAIRS[2]
    many = m.overlap[kind]
    sense = "≥" if similar else "<"
    checks = [
        Check("the number of shared neurons", here["l2"], sense, SIMILAR),
        Check(f"the mean number over {m.scenes} scenes ({kind})", many["l2"], sense, SIMILAR),
    ]
    found = {"paper shares": shared(columns[0].indices, columns[1].indices), "chance shares": 100 / m.vqa.combine}
    found |= {f"shared, {r}": n for r, n in here.items()} | {f"mean shared, {r}": n for r, n in many.items()}
    for side, top in zip(("left", "right"), tops["l2"], strict=True):
        found |= {f"index, {side}": top.indices.tolist(), f"value, {side}": top.values.tolist()}
    return checks, found


def _spearman(m: Measurements, number: int, sources: Sources) -> Found:
    checks, found = [], {}
    for row in (row for row in SPEARMAN if row.table == number):
        one, two = (m.sensitivities(row.situation, question) for question in row.questions)
        ours = {r: spearman(one[r], two[r]) for r in REDUCTIONS}
        checks.append(Check(f"Spearman's ρ in the {row.situation}", ours["l2"], "≥", HIGH))
        found |= {f"{row.situation}, {r}": value for r, value in ours.items()}
    many = {kind: {r: median(v) for r, v in rows.items()} for kind, rows in m.rank_correlation.items()}
    checks.append(Check(f"its median over {m.scenes} scenes", many["same answer"]["l2"], "≥", HIGH))
    return checks, found | {f"median {kind}, {r}": v for kind, row in many.items() for r, v in row.items()}


_MEASURES: dict[str, Callable[[Measurements, Figure | int, Sources], Found]] = {
    "architecture": _architecture,
    "same-answer": _same_answer,
    "other-answer": _other_answer,
    "two-models": _two_models,
    "gate": _gate,
    "lost": _lost,
    "back": _back,
    "colour-first": _colour_first,
    "same-question": _top10,
    "other-question": _top10,
    "spearman": _spearman,
}


def median(values: np.ndarray) -> float:
    """The median of the values of book/ledger.md that are finite: empty maps have none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


# -- rows -----------------------------------------------------------------------------------------
def row_ids() -> list[str]:
    """The ids of the ledger's 107 rows (book/ledger.md), in order: ``figure-1`` … ``figure-101``, ``table-1`` …."""
    return [f"figure-{number}" for number in FIGURES] + [f"table-{number}" for number in range(1, 7)]


def rows(sources: Sources, only: Iterable[str] | None = None) -> list[dict]:
    """The ledger's rows (book/ledger.md) as plain data; ``only`` some ids."""
    wanted = set(row_ids() if only is None else only)
    found = [_figure_row(figure, sources) for figure in FIGURES.values() if f"figure-{figure.number}" in wanted]
    return found + [_table_row(number, sources) for number in range(1, 7) if f"table-{number}" in wanted]


def compute(sources: Sources | None = None) -> dict:
    """The whole ledger (book/ledger.md): how it was made, and all rows. A few minutes on one core."""
    sources = sources or Sources()
    there = [name for name in (*DEEPER, PYTHIA) if name in names()]
    about = {
        "device": DEVICE,
        "scenes": sources.scenes,
        "distribution": DISTRIBUTION,
        "checkpoints": {name: {"files": card(name)["files"]} for name in there},
    }
    return {
        "about": about,
        "random rankings": _plain({name: random_rankings_judged(sources, name) for name in there if name in DEEPER}),
        "rows": rows(sources),
        "per scene": {name: per_scene(sources, name) for name in there},
    }


def per_scene(sources: Sources, name: str) -> dict[str, list]:
    """What stands behind "over many scenes" (book/ledger.md), validation scene by validation scene, of a checkpoint."""
    m = sources.measurements(name)
    found = {f"cosine, {family}": m.same_answer(family).tolist() for family in ("colour", "activity")}
    if name in DEEPER:
        for what, prefix in (("rank effect", ""), ("margin", "margin, ")):
            found |= {f"{what}, n = {n}": m.gates[f"{prefix}gate"][:, i].tolist() for i, n in enumerate(NS)}
            found[f"{what}, Grad-CAM"] = m.gates[f"{prefix}Grad-CAM"].tolist()
        found["Spearman, same answer"] = m.rank_correlation["same answer"]["l2"].tolist()
    return _plain(found)


def _figure_row(figure: Figure, sources: Sources) -> dict:
    place = figure.situation
    row = {
        "id": f"figure-{figure.number}", "kind": figure.kind, "number": figure.number, "caption": figure.caption,
        "note": figure.note, "claims": [c.id for c in CLAIMS.values() if figure.number in c.figures],
        "situation": place, "seed": situation(place).seed if place else situation("bathroom").seed,
        "question": figure.question, "answer": figure.answer,
        "n": gate_n(figure) if figure.method == "gate" else figure.n, "picture": figure.picture,
        "thumbnail": f"figures/ledger/{thumbnail(figure)}.webp",
    }  # fmt: skip
    rules = rules_of(figure)
    if figure.kind == "photograph":
        why, seen = _photograph(figure)
        things = ", ".join(situation(place).names)
        judged = {"ours": {"scene": seen}, "verdicts": {}, "checks": [], "verdict": PHOTOGRAPH, "reason": why,
                  "missing": [], "models": []}  # fmt: skip
        alt = f"The drawn {place}, in place of the photograph: {things}."
    else:
        judged = _judged(rules, models_of(rules, figure.model), figure, sources)
        alt = _alt(figure, judged, sources)
    return _linked(row | {"rules": list(rules), "alt": alt} | judged, figure)


def _table_row(number: int, sources: Sources) -> dict:
    if number in TOP10:
        table, rules = TOP10[number], ("same-question" if number < 3 else "other-question",)
        printed = {side: {"heading": c.question, "figure": c.figure, "values": c.values, "indices": c.indices}
                   for side, c in zip(("left", "right"), table.columns, strict=True)}  # fmt: skip
        caption, places = table.caption, [c.situation for c in table.columns]
    else:
        mine, rules, caption = [row for row in SPEARMAN if row.table == number], ("spearman",), SPEARMAN_CAPTION
        printed = {
            row.situation: {"questions": row.questions, "figure": row.figure, "value": row.value} for row in mine
        }
        places = list(printed)
    judged = _judged(rules, DEEPER, number, sources)
    row = {
        "id": f"table-{number}", "kind": "table", "number": number, "caption": caption,
        "note": _context(judged["ours"][DEEPER[0]]) if rules == ("spearman",) else "",
        "claims": [c.id for c in CLAIMS.values() if number in c.tables], "printed": printed,
        "situation": ", ".join(dict.fromkeys(places)), "seed": [situation(p).seed for p in dict.fromkeys(places)],
        "thumbnail": None, "alt": "", "rules": list(rules),
    }  # fmt: skip
    return _linked(row | judged, number)


def _context(found: dict) -> str:
    # What a high correlation must be read against, in the same breath as the verdict.
    return " ".join(
        f"With the reduction {r}, the median over the scenes is {found[f'median same answer, {r}']:.2f} for questions "
        f"with the same answer, and {found[f'median unrelated, {r}']:.2f} for two unrelated ones."
        for r in ("l2", "sum")
    )


def _linked(row: dict, source: Figure | int) -> dict:
    chapter, heading = treated_in(source)
    found = row | {"device": DEVICE, "chapter": chapter, "section": heading, "link": link(chapter, heading)}
    return _plain(found)


def _judged(rules, models: tuple[str, ...], source: Figure | int, sources: Sources) -> dict:
    # The verdict is the first checkpoint's; a checkpoint that is not there yet leaves it open.
    missing = [name for name in models if name not in names()]
    ours, verdicts, by_margin, first = {}, {}, {}, []
    for name in models:
        if missing and (name in missing or "two-models" in rules):
            continue
        if name == PYTHIA and models[0] != PYTHIA:
            continue  # it is only compared with
        checks, values = [], {}
        for rule in rules:
            more, found = _MEASURES[rule](sources.measurements(name), source, sources)
            checks, values = checks + more, values | found
        if name == models[0]:
            first = checks
        ours[name], verdicts[name] = values, verdict([c.holds for c in checks])
        if "gate" in rules:
            before = [_MEASURES[rule] if rule != "gate" else _gate_by_margin for rule in rules]
            held = [c.holds for measure in before for c in measure(sources.measurements(name), source, sources)[0]]
            by_margin[name] = verdict(held)
    return {
        "models": list(models), "ours": ours, "verdicts": verdicts, "by margin": by_margin,
        "checks": [asdict(c) | {"holds": c.holds} for c in first],
        "verdict": verdicts.get(models[0], ""),
        "reason": reason(first) if first else f"Waits for the checkpoint {', '.join(missing)}.", "missing": missing,
    }  # fmt: skip


def thumbnail(figure: Figure) -> str:
    """The name of a row's thumbnail (book/ledger.md): figures that show the same share it."""
    if figure.kind == "architecture":
        return "architecture"
    if figure.kind == "photograph":
        return figure.situation
    how = "grad-cam" if figure.method == "grad-cam" else f"top-{gate_n(figure)}"
    model = ["pythia"] if figure.model == "pythia" else []
    return "-".join([figure.situation, *model, asked(figure)[0].thing, figure.answer, how])


def drawn_map(figure: Figure, sources: Sources) -> torch.Tensor:
    """The map (h, w) that a row's thumbnail shows (Eq. 1–2, §3.3), of the checkpoint that the verdict is about."""
    m = sources.measurements(models_of((), figure.model)[0])
    if figure.method == "grad-cam":
        return m.original(figure.situation, figure.question, figure.answer)
    return m.explanation(figure.situation, figure.question, figure.answer).map(gate_n(figure))


def _alt(figure: Figure, judged: dict, sources: Sources) -> str:
    if figure.kind == "architecture":
        return ("Drawing of our model: the question's and the image's branch meet in the combine layer, where the "
                "gradient may pass 25 of 1024 neurons on its way back.")  # fmt: skip
    if judged["missing"] and figure.model == "pythia":
        return f"The drawn {figure.situation}; its map waits for the checkpoint."
    own, other = asked(figure)
    heat, masks = drawn_map(figure, sources), situation(figure.situation).masks
    on = [f"{float(map_share(heat, masks[a.thing])):.0%} of the heat lies on the {a.thing}" for a in (own, other)]
    how = "the original Grad-CAM" if figure.method == "grad-cam" else f"the gate at n = {gate_n(figure)}"
    return f"Heat map over the drawn {figure.situation}, {how}: {on[0]}, which is asked about and outlined, {on[1]}."


def _plain(value):
    # What JSON can hold: four decimals, no nan, lists for tuples and arrays.
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float | np.floating):
        return round(float(value), 4) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


# -- what was stored, and what is wrong with it ----------------------------------------------------
def read(path: Path = RESULTS) -> dict:
    """The stored ledger (book/ledger.md)."""
    return json.loads(path.read_text(encoding="utf-8"))


def text(ledger: dict) -> str:
    """A ledger (book/ledger.md) as JSON text, a line for every row, so that a change shows which rows it touched."""
    parts = []
    for key, value in ledger.items():
        if isinstance(value, list):
            lines = ",\n".join(json.dumps(item, ensure_ascii=False) for item in value)
            parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{" + ",\n".join(parts) + "}\n"


def summary(ledger: dict) -> dict[str, int]:
    """How many rows of book/ledger.md have each verdict; those that wait for a checkpoint have none."""
    counts = Counter(row["verdict"] for row in ledger["rows"])
    return {name: counts[name] for name in VERDICTS}


def faults(ledger: dict, root: Path = ROOT) -> list[str]:
    """What is wrong with a stored ledger (book/ledger.md), one line each: nothing is computed again."""
    there = [row["id"] for row in ledger["rows"]]
    found = [f"{id}: the row is missing" for id in row_ids() if id not in there]
    found += [f"{id}: there is no such figure or table" for id in there if id not in row_ids()]
    found += [f"{id}: the row is there {count} times" for id, count in Counter(there).items() if count > 1]
    for row in ledger["rows"]:
        found += [f"{row['id']}: {fault}" for fault in _row_faults(row, root)]
    pictures = sorted((root / "book" / "figures" / "ledger").glob("*.webp"))
    used = {row["thumbnail"] for row in ledger["rows"]}
    found += [f"{p.name}: no row shows this thumbnail" for p in pictures if f"figures/ledger/{p.name}" not in used]
    if (size := sum(p.stat().st_size for p in pictures)) > HEAVIEST:
        found.append(f"the thumbnails weigh {size / 2**20:.1f} MiB, more than {HEAVIEST / 2**20:.1f}")
    return found


def _row_faults(row: dict, root: Path) -> list[str]:
    found = [f"model missing: {name}" for name in row["missing"]]
    if row["verdict"] not in VERDICTS and not row["missing"]:
        found.append(f"{row['verdict']!r} is not a verdict")
    if not row["reason"].strip():
        found.append("the verdict lacks its reason")
    follows = PHOTOGRAPH if row["kind"] == "photograph" else ""
    if row["checks"]:
        follows = verdict([c["holds"] for c in row["checks"]])
    if row["verdict"] != follows:
        found.append(f"the verdict {row['verdict']!r} does not follow from its checks")
    if not row["caption"].strip():
        found.append("the paper's caption is missing")
    if why := dead(row["chapter"], row["section"], root):
        found.append(f"dead link: {why}")
    elif row["link"] != link(row["chapter"], row["section"], root):
        found.append(f"the link {row['link']} is out of date")
    if row["kind"] != "table" and not row["alt"].strip():
        found.append("the thumbnail has no alt text")
    if row["thumbnail"] and not (root / "book" / row["thumbnail"]).is_file():
        found.append(f"the thumbnail book/{row['thumbnail']} is missing")
    return found


def drift(stored: dict, fresh: dict) -> list[str]:
    """Where freshly computed rows (book/ledger.md) differ from the stored ones by more than :data:`DRIFT`.

    One line for a row, however many of its numbers differ: other weights change them all.
    """
    before, after = ({row["id"]: row for row in each["rows"]} for each in (stored, fresh))
    pairs = {id: (before[id], after[id]) for id in after if id in before}
    pairs |= {key: (stored.get(key, {}), fresh[key]) for key in ("about", "random rankings", "per scene")}
    found = {id: _differences(*pair) for id, pair in pairs.items()}
    return [
        f"{id}: {lines[0]}{f' (and {len(lines) - 1} more)' * (len(lines) > 1)}" for id, lines in found.items() if lines
    ]


def _differences(old, new, path: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        lines = [f"{path or 'row'} lacks {key!r} in one of the two" for key in sorted(old.keys() ^ new.keys())]
        skip = ("checks", "reason", "alt")  # they say in words what the values say
        both = [key for key in old if key in new and key not in skip]
        return lines + [line for key in both for line in _differences(old[key], new[key], f"{path} {key}".strip())]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for a, b in zip(old, new, strict=True) for line in _differences(a, b, path)]
    if isinstance(old, float) and isinstance(new, float | int) and abs(old - new) <= DRIFT:
        return []
    return [] if old == new else [f"{path} was {old}, is now {new}"]
