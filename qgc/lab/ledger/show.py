"""The ledger's page and thumbnails (book/ledger.md), drawn from what ``qgc.lab.ledger.ledger`` measured and judged."""

from __future__ import annotations

import io
from collections import Counter
from html import escape
from itertools import groupby
from pathlib import Path

from PIL import Image

from ...files import atomic_write
from ...images import image_file
from ...models import names
from ...paper.claims import CLAIMS
from ...paper.figure_list import FIGURES, Figure
from ...scenes.situations import situation
from ...show import plots
from ...show.pixels import compose, pale, share_of_maximum, stroke
from ...show.style import INK, OUTLINES, PALETTE
from ..protocol2 import hypotheses, results
from . import equations, ledger
from .links import ROOT, checkout, link
from .rules import BEATS, NOT, PARTLY, PHOTOGRAPH, RANDOM, REPRODUCED, RULES, VERDICTS, number

SIDE = 160  # pixels of a thumbnail
PAGE = Path("book") / "ledger.md"
PICTURES = Path("book") / "figures" / "ledger"
OVERVIEW = PICTURES / "overview.svg"

# Color, sign and badge of every verdict, and of a row that waits: the sign, so that color is not all there is.
LOOKS = {
    REPRODUCED: (PALETTE["blue"], "white", "✓", "bdg-primary"),
    PARTLY: (PALETTE["yellow"], INK, "~", "bdg-warning"),
    NOT: (PALETTE["vermilion"], "white", "✗", "bdg-danger"),
    PHOTOGRAPH: ("#E4E4E4", INK, "○", "bdg-light"),
    "": ("#FFFFFF", INK, "?", "bdg-secondary"),
}
WAITS = "waits for a model"

GROUPS = (
    ("Figures 1–6: the observation and the remedy", range(1, 7)),
    ("Figures 7–22: two models", range(7, 23)),
    ("Figures 23–26: three more images and the architecture", range(23, 27)),
    ("Figures 27–77: the bathroom at 17 values of n", range(27, 78)),
    ("Figures 78–101: five more examples", range(78, 102)),
)
TABLES = "Tables 1–6: the most sensitive neurons and the rank correlation"


# -- thumbnails -----------------------------------------------------------------------------------
def draw(sources: ledger.Sources, root: Path = ROOT) -> None:
    """Write the thumbnail of every figure (book/ledger.md), and remove those that no row shows any more."""
    folder = root / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {ledger.thumbnail(figure): figure for figure in FIGURES.values()}
    for name, figure in pictures.items():
        picture = picture_of(figure, sources)
        atomic_write(folder / f"{name}.webp", lambda p, picture=picture: picture.save(p, "WEBP", quality=80, method=6))
    for path in folder.glob("*.webp"):
        if path.stem not in pictures:
            path.unlink()


def picture_of(figure: Figure, sources: ledger.Sources) -> Image.Image:
    """A figure's thumbnail (book/ledger.md): the scene, the map with the queried object's outline, or the model."""
    if figure.kind == "architecture":
        return _architecture(sources)
    scene = situation(figure.situation)
    size = (SIDE, SIDE)
    picture = scene.render(SIDE)
    if figure.kind == "photograph":
        return picture
    if ledger.models_of((), figure.model)[0] not in names():
        return Image.fromarray(pale(picture))
    pixels = compose(pale(picture), share_of_maximum(ledger.drawn_map(figure, sources), size)).copy()
    halo, line = stroke(scene.masks[ledger.asked(figure)[0].thing], size)
    pixels[halo] = 255
    pixels[line] = [int(OUTLINES[0][i : i + 2], 16) for i in (1, 3, 5)]
    return Image.fromarray(pixels)


def _architecture(sources: ledger.Sources) -> Image.Image:
    sheet = plots.architecture(sources.measurements(ledger.DEEPER[0]).vqa, gate=25)
    with io.BytesIO() as file:
        sheet.savefig(file, format="png", dpi=100)
        with image_file(file.getvalue()) as drawn:
            picture = drawn.convert("RGB")
    picture.thumbnail((2 * SIDE, 2 * SIDE), Image.Resampling.LANCZOS)  # at 160 pixels nothing could be told apart
    return picture


def overview(stored: dict, columns: int = 14, cell: int = 46) -> str:
    """All rows of the ledger (book/ledger.md) as one SVG: a cell each, colored and signed by its verdict."""
    rows = stored["rows"]
    height = -(-len(rows) // columns) * cell
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {columns * cell} {height}" '
        'font-family="sans-serif" text-anchor="middle">'
    ]
    for k, row in enumerate(rows):
        x, y = cell * (k % columns), cell * (k // columns)
        fill, ink, sign, _ = LOOKS[row["verdict"]]
        name = f"{'T' if row['kind'] == 'table' else ''}{row['number']}"
        parts.append(
            f'<rect x="{x + 1.5}" y="{y + 1.5}" width="{cell - 3}" height="{cell - 3}" rx="4" fill="{fill}" '
            f'stroke="#5F5F5F" stroke-width="0.7"/><text x="{x + cell / 2}" y="{y + 19}" font-size="15" fill="{ink}">'
            f'{name}</text><text x="{x + cell / 2}" y="{y + 38}" font-size="16" fill="{ink}">{sign}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


# -- the page -------------------------------------------------------------------------------------
def write(stored: dict, root: Path = ROOT) -> None:
    """Write the stored results, the overview and the page (book/ledger.md)."""
    checkout(root)
    (root / PICTURES).mkdir(parents=True, exist_ok=True)
    (root / PAGE).touch()  # the page links to itself, and a link asks what kind of file is there
    files = {
        root / "book" / ledger.RESULTS.name: ledger.text(stored),
        root / OVERVIEW: overview(stored),
        root / PAGE: page(stored, root),
    }
    for path, text in files.items():
        atomic_write(path, lambda p, text=text: p.write_text(text, encoding="utf-8"))


def stale(stored: dict, root: Path = ROOT) -> list[str]:
    """Which generated files of book/ledger.md no longer are what the stored results make."""
    made = {PAGE: page(stored, root), OVERVIEW: overview(stored)}
    again = "run python -m qgc ledger again"
    return [
        f"{path.as_posix()} is not what the stored results make: {again}"
        for path, text in made.items()
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != text
    ]


def page(stored: dict, root: Path = ROOT) -> str:
    """The page book/ledger.md as MyST, from stored results alone."""
    figures = {row["number"]: row for row in stored["rows"] if row["kind"] != "table"}
    tables = [row for row in stored["rows"] if row["kind"] == "table"]
    groups = [(title, [figures[n] for n in numbers if n in figures]) for title, numbers in GROUPS]
    parts = [
        _opening(stored),
        _counts([*groups, (TABLES, tables)], stored),
        _claims(root),
        _random(stored),
        _rules(stored),
        _how(stored),
    ]
    for title, rows in groups:
        parts.append(f"## {title}")
        parts += [_plate(list(plate)) for _, plate in groupby(rows, key=lambda row: row["picture"])]
    parts.append(f"## {TABLES}")
    parts += [_table(row) for row in tables]
    parts += [_equations(root), _again()]
    return "\n\n".join(parts) + "\n"


def _opening(stored: dict) -> str:
    counts = ledger.summary(stored)
    words = dict(zip(VERDICTS, ("reproduced", "partly", "not reproduced", "in need of photographs"), strict=True))
    said = ", ".join(f"**{counts[v]}** {words[v]}" for v in VERDICTS)
    waiting = len(stored["rows"]) - sum(counts.values())
    open_rows = f" **{waiting}** wait for a model that is not trained yet." * bool(waiting)
    return f"""<!-- Generated by `python -m qgc ledger` from ledger.json: do not edit by hand. -->
# The ledger: every figure and table, beside ours

**You will learn**

- what became of every figure and table of the paper, and by which rule;
- which of its equations is computed where, and which test holds it.

**You need** [the gate](gate.ipynb) for the symbols; each row leads to its chapter.

**Minutes:** 10, or as long as you like to browse

The paper {{cite}}`ummettuguli_towards` prints 101 figures and 6 tables. Here is each of them: what the paper says, what
we get in its place, where the book treats it, and a verdict that a fixed rule computed from our numbers. Nobody chose a
verdict by eye.

Of {len(stored["rows"])} rows: {said}.{open_rows}

```{{image}} figures/ledger/overview.svg
:alt: A cell for each of the 101 figures and 6 tables, in order, with its verdict. The table below counts them.
:width: 100%
```

{" · ".join(f"{LOOKS[v][2]} {v}" for v in VERDICTS)}{f" · {LOOKS[''][2]} {WAITS}" * bool(waiting)}"""


def _counts(groups: list[tuple[str, list[dict]]], stored: dict) -> str:
    shown = [*VERDICTS, ""] if any(not row["verdict"] for row in stored["rows"]) else list(VERDICTS)
    lines = [_cells(["", *(v or WAITS for v in shown), "all"]), _cells(["---", *["---:"] * (len(shown) + 1)])]
    for title, rows in [*groups, ("**All**", stored["rows"])]:
        counts = Counter(row["verdict"] for row in rows)
        lines.append(_cells([title.partition(":")[0], *(counts[v] for v in shown), len(rows)]))
    ours = [name for name in ledger.DEEPER if any(name in row["verdicts"] for row in stored["rows"])]
    judged = [row for row in stored["rows"] if set(ours) <= row["verdicts"].keys()]
    tallies = {name: Counter(row["verdicts"][name] for row in judged) for name in ours}
    other = [_cells(["Deeper LSTM", *VERDICTS[:3]]), _cells(["---", "---:", "---:", "---:"])]
    other += [_cells([_short(name), *(tallies[name][v] for v in VERDICTS[:3])]) for name in ours]
    return "\n".join(
        [
            "## The counts",
            "",
            *lines,
            "",
            "The verdicts are about the **natural** checkpoint. By the same rules, the "
            f"{len(judged)} rows about the Deeper LSTM come out like this for all three checkpoints:",
            "",
            *other,
        ]
    )


TESTED = {
    "same-answer-similar-maps": ["H1", "H2"],
    "pythia-too": ["H3"],
    "looks-at-different-regions": ["H4", "H5"],
    "other-question-other-indices": ["H6"],
}
"""The paper's claims → the hypotheses of protocol 2 that bear on them."""


def _claims(root: Path) -> str:
    found = hypotheses.evaluate(results.read("test"))
    at = link("when", "What was registered, and what came of it", root)
    lines = [
        "## The claims behind the figures, tested",
        "",
        "A figure can be reproduced and still show something else than the paper concludes from it. Its main claims "
        f"were tested on new scenes, as [protocol 2](protocol-2.md) fixed beforehand; [the chapter]({at}) has every "
        "number.",
        "",
        _cells(["the paper", "what was tested, and found"]),
        _cells(["---", "---"]),
    ]
    for claim, tests in TESTED.items():
        said = [f"{i}: {found.loc[i, 'says']} *{found.loc[i, 'verdict'].capitalize()}.*" for i in tests]
        lines.append(_cells([f"“{CLAIMS[claim].quote}” (§{CLAIMS[claim].section})", " ".join(said)]))
    return "\n".join(lines)


def _random(stored: dict) -> str:
    found = stored["random rankings"]
    shown = VERDICTS[:3]
    lines = [
        "## What a random ranking would get",
        "",
        f"Some rows hold by luck. So each of the {RANDOM} random rankings of the neurons was put in the place of the "
        "paper's and judged by the rule of the gate. It was compared with the other "
        f"{RANDOM - 1}, of which at most {RANDOM - BEATS} may do as well: as many as the paper's ranking is allowed. "
        "The table counts rows; those of the random rankings are means.",
        "",
        _cells(["Deeper LSTM", *(f"paper's gate: {v}" for v in shown), *(f"random: {v}" for v in shown),
                "most reproduced by one random ranking"]),
        _cells(["---", *["---:"] * 7]),
    ]  # fmt: skip
    for name, each in found.items():
        means = [f"{each['random'][v]:.1f}" for v in shown]
        lines.append(_cells([_short(name), *(each["paper"][v] for v in shown), *means, each["most"]]))
    if (name := ledger.DEEPER[0]) not in found:
        return "\n".join(lines)
    first = found[name]
    lines += [
        "",
        f"For {_short(name)}, the paper's ranking gets {first['paper'][REPRODUCED] or 'none'} of the {first['rows']} "
        f"rows reproduced; a random one {first['random'][REPRODUCED]:.1f} on average, and {first['most']} at most. "
        "“Partly” says little: "
        f"{first['paper'][PARTLY]} rows with the paper's ranking, {first['random'][PARTLY]:.1f} with a random one.",
    ]
    return "\n".join(lines)


def _rules(stored: dict) -> str:
    lines = [
        "## The rules, and the one that was changed",
        "",
        "A rule turns a claim into checks: statements about numbers, each with a bound. The verdict is **reproduced** "
        "if all checks of a row hold, **partly** if some do, and **not** if none does. An empty map has no share and "
        "no cosine, and a check on it fails. “Partly” can mean as little as one check of four: the reason under each "
        "row says which hold.",
        "",
        "The rules and their bounds were fixed before this ledger was first computed, but not blindly: other chapters "
        "had already shown such numbers for the bathroom and for two dozen of the same validation scenes.",
        "",
        _changed(stored),
        "",
    ]
    for rule in RULES.values():
        lines += [f"**{rule.about}.** {rule.claim}", "", *(f"- {check}" for check in rule.checks), ""]
    return "\n".join(lines).rstrip()


def _changed(stored: dict) -> str:
    rows = [row for row in stored["rows"] if row.get("by margin")]
    before = [row["by margin"][row["models"][0]] for row in rows]
    now = [row["verdict"] for row in rows]
    other = sum(a != b for a, b in zip(before, now, strict=True))
    words = dict(zip(VERDICTS, ("reproduced", "partly", "not"), strict=False))
    counts = [", ".join(f"{found.count(v)} {word}" for v, word in words.items()) for found in (before, now)]
    return (
        "**The rule of the gate was changed after it had been used.** It measured the *margin*: the share of a map on "
        "the queried object minus its share on the object of the other question. Shares grow with an object's area, so "
        "the larger object decides the margin ([Ground truth and chance](ground-truth.ipynb)). The rank effect takes "
        "its place, since no strength or contrast (any increasing change of a map's values) changes it; what the "
        "checks compare and their bounds are as before. "
        f"Of {len(rows)} rows, {other} have another verdict now. By the margin: {counts[0]}. By the rank effect: "
        f"{counts[1]}. The margin is still listed under “All numbers”. The rank effect can depend on *what* is asked "
        "about, most where one object is a wall, grass or trees; the null of that, [questions about absent "
        "objects](ground-truth.ipynb#questions-about-absent-objects), is measured on test scenes only, so that the "
        "rows of the toilets and of the park stand here without it."
    )


def _how(stored: dict) -> str:
    about = stored["about"]
    return f"""## How the numbers were made

- **Checkpoints.** {", ".join(f"`{name}`" for name in about["checkpoints"])}; see [The model](model.ipynb). The
  paper's figures of the Deeper LSTM are set beside `deeper-lstm/natural`, those of Pythia beside `pythia/natural`.
- **Scenes.** The paper's situations as [drawn scenes](scenes-gallery.ipynb), each with a seed of its own, given in its
  rows; and the first {about["scenes"]} validation scenes ({about["distribution"]}, seeds from 10,000,000 on) that have
  two questions of the family with the same answer. No test scene was looked at.
- **Random gates** come from {RANDOM} random rankings (seed 0), the same for all rows; the two questions of a pair
  never have the same one. **Share** is the part of a map that lies on an object ([The gate](gate.ipynb)).
- **Rank effect**, a₁ − a₂: a₁ is the probability that the map of a row's question, before the ReLU, is higher at a
  random cell of its own object than at a random cell of the other question's object; a₂ is the same for the map of the
  other question ([Ground truth and chance](ground-truth.ipynb)).
- **Reduction.** ∂A/∂q is reduced by the length of a row (`l2`); Tables 1–6 give the other two as well.
- **Device:** {about["device"]}, in float64. All numbers are in
  [ledger.json](ledger.json), also for every single validation scene."""


def _plate(rows: list[dict]) -> str:
    first, last = rows[0], rows[-1]
    numbers = f"Figure {first['number']}" if first is last else f"Figures {first['number']}–{last['number']}"
    what = first["situation"] or "architecture"
    if {"same-answer", "other-answer"} & {rule for row in rows for rule in row["rules"]}:
        what += ", the original Grad-CAM"
    elif ns := {row["n"] for row in rows if row["n"]}:
        what += f", n = {ns.pop()}"
    cards = "\n".join(_card(row) for row in rows)
    return f"### {numbers}: {what}\n\n:::::{{grid}} 1 2 3 3\n:gutter: 2\n\n{cards}\n:::::"


def _card(row: dict) -> str:
    made = [f"scene {row['situation'] or 'bathroom'} (seed {row['seed']})", *row["models"][:1], row["device"]]
    lines = [
        "::::{grid-item-card}",
        ":class-card: sd-shadow-none",
        "",
        f"```{{image}} {row['thumbnail']}",
        f":alt: {row['alt']}",
        f":width: {SIDE}px",
        ":align: center",
        ":loading: lazy",
        "```",
        "",
        f"**Figure {row['number']}** {_badge(row)}",
        "",
        f"*Paper:* {row['caption']}",
        "",
        f"*Ours:* {row['reason']}",
        "",
        " · ".join([_linked(row), *made]),
    ]
    return "\n".join([*lines, *_details(row), "::::"])


def _details(row: dict) -> list[str]:
    says = _quotes(row)
    says += [f"- *Note:* {row['note']}"] if row["note"] and row["kind"] != "table" else []
    if row["kind"] == "photograph":
        return []  # the reason says all, and the text's claims are about the maps
    table = _values(row)
    return ["", ":::{dropdown} All numbers", *says, "", *table, ":::"] if says or table else []


def _values(row: dict, skip: tuple[str, ...] = ()) -> list[str]:
    ours = row["ours"]
    if not ours:
        return []
    keys = [key for key in next(iter(ours.values())) if not key.startswith(skip or ("\0",))]
    lines = [_cells(["", *(_short(name) for name in ours)]), _cells(["---", *["---:"] * len(ours)])]
    lines += [_cells([key, *(_value(found[key]) for found in ours.values())]) for key in keys]
    return [*lines, _cells(["**verdict**", *(row["verdicts"][name] for name in ours)])]


def _table(row: dict) -> str:
    lines = [
        f"### Table {row['number']}",
        "",
        f"{_badge(row)} *Paper:* {_plain(row['caption'])}",
        "",
        f"*Ours:* {row['reason']} {row['note']}".rstrip(),
        "",
        *(_top10(row) if "left" in row["printed"] else _spearman(row)),
        "",
        f"{_linked(row)} · scenes {row['situation']} (seeds {', '.join(map(str, row['seed']))}) · {row['models'][0]} "
        f"· {row['device']}",
        "",
        ":::{dropdown} All numbers",
        *_quotes(row),
        "",
        *_values(row, ("index", "value")),
        ":::",
    ]
    return "\n".join(lines)


def _top10(row: dict) -> list[str]:
    printed, ours = row["printed"], row["ours"][row["models"][0]]
    same = printed["left"]["heading"] == printed["right"]["heading"]
    heads = {s: f"Fig. {printed[s]['figure']}" if same else printed[s]["heading"] for s in ("left", "right")}
    lines = [
        _cells([f"{who}: {heads[s]}" for who in ("paper", "ours") for s in heads]),
        _cells(["---"] * 4),
    ]
    for k in range(10):
        paper = [f"{printed[s]['indices'][k]} ({printed[s]['values'][k]:.4f})" for s in heads]
        mine = [f"{ours[f'index, {s}'][k]} ({ours[f'value, {s}'][k]:.4f})" for s in heads]
        lines.append(_cells([*paper, *mine]))
    return [*lines, "", f"Index (value) of the ten most sensitive neurons; in ours the reduction is l2. Shared: "
            f"{ours['paper shares']} of 10 in the paper, {ours['shared, l2']} in ours; "
            f"{ours['chance shares']:.1f} by chance."]  # fmt: skip


def _spearman(row: dict) -> list[str]:
    ours = row["ours"][row["models"][0]]
    lines = [_cells(["questions", "paper", "ours, l2", "ours, sum", "ours, abs-sum"])]
    lines.append(_cells(["---", *["---:"] * 4]))
    for place, printed in row["printed"].items():
        mine = [_value(ours[f"{place}, {r}"]) for r in ("l2", "sum", "abs-sum")]
        asked = " · ".join(printed["questions"])
        lines.append(_cells([f"{asked} (Figure {printed['figure']})", printed["value"], *mine]))
    return lines


def _equations(root: Path) -> str:
    lines = [
        "## Equation, function, test, chapter",
        "",
        "Each row is checked: the function can be imported and its docstring's first line names the equation or "
        "section, the test is there, and so is the chapter's section.",
        "",
        _cells(["what", "where", "function", "test", "chapter"]),
        _cells(["---"] * 5),
    ]
    for e in equations.EQUATIONS:
        file, _, test = e.test.partition("::")
        lines.append(
            _cells([e.what, e.where, f"`{e.function}`", f"`{test}` in `{file}`",
                    f"[{e.section or e.chapter}]({link(e.chapter, e.section, root)})"])
        )  # fmt: skip
    return "\n".join(lines)


def _again() -> str:
    return """## Make it again

`python -m qgc ledger` measures all rows again and writes this page, its thumbnails and `ledger.json`; it takes a few
minutes on one core. `python -m qgc ledger --check` measures again, compares with what is stored, prints how many rows
are in order and every fault, and ends with status 1 if there is one (`--json` for programs)."""


# -- parts ----------------------------------------------------------------------------------------
def _quotes(row: dict) -> list[str]:
    claims = [CLAIMS[id] for id in row["claims"]]
    return [f"- *The text:* “{_plain(claim.quote)}” (§{claim.section})" for claim in claims]


def _plain(text: str) -> str:
    # The only formula of the captions and quotes needs no typesetting, and so no script from the network.
    return text.replace(r"$\frac{\partial A}{\partial q}$", "∂A/∂q")


def _badge(row: dict) -> str:
    return f"{{{LOOKS[row['verdict']][3]}}}`{LOOKS[row['verdict']][2]} {row['verdict'] or WAITS}`"


def _linked(row: dict) -> str:
    return f"[{row['section'] or row['chapter'].replace('-', ' ').capitalize()}]({row['link']})"


def _short(name: str) -> str:
    return name.removeprefix("deeper-lstm/")


def _value(value) -> str:
    if isinstance(value, list):
        return " ".join(map(_value, value))
    return number(float("nan") if value is None else float(value))


def _cells(values) -> str:
    return "| " + " | ".join(escape(str(v), quote=False).replace("|", "\\|") for v in values) + " |"
