"""Write book/protocol-2.md from qgc/lab/protocol2/protocol-2.yml: python tools/protocol_page.py."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from qgc.files import atomic_write
from qgc.lab.protocol2 import FILE, PROTOCOL, Protocol, results

PAGE = Path(__file__).resolve().parents[1] / "book" / "protocol-2.md"


STATUS = {
    "draft": "**This is a draft: choices are still made on validation scenes, and no test scene has been drawn.**",
    "fixed": "This page is made from one file, which was committed before any of its test scenes had been drawn.",
}


TAKE_AWAY = """
## What to take away

- What will be said of every outcome stands here before there is one.
- A gain has conditions: it must be there without backgrounds, above a surrogate without place, above absent objects,
  and in each CNN alone.
- Seeds say how far the question side varies, and nothing about other CNNs."""


def page(protocol: Protocol = PROTOCOL) -> str:
    """The page's text."""
    data = protocol.data
    scenes, models, methods, references = (data[key] for key in ("scenes", "models", "methods", "references"))
    test, validation = scenes["test"], scenes["validation"]
    graded = [m for m in protocol.models if m.cell]
    others = [f"`{m.name}`" for m in protocol.models if not m.cell]
    passes = ", ".join(str(s) for s in models["steps"])
    parts = [
        f"""# Protocol 2

:::{{admonition}} In one minute
:class: tip
**{data["title"]}** {data["question"]}

{len(graded)} models learn to separate questions by degrees. For each, we compare what the *model* separates with what
its *maps* show. {STATUS[data["status"]]}
:::

**You will learn** which models, scenes, measures and hypotheses were fixed beforehand, and what was to be said of each
outcome.

**You need** [the first protocol](protocol.md), which stays as it is.

**Minutes:** 10

## Scenes

| | scenes of either distribution | seeds from | used for |
|---|---:|---:|---|
| validation | {validation["count"]:,} | {validation["first"]:,} | every choice |
| test | {test["count"]:,} | {test["first"]:,} | the numbers that count |

A model that is not at the end of its training, or of no cell (below), sees the first {scenes["fewer"]:,} test
scenes. The first {scenes["controls"]} also have the controls: questions about absent objects, and alterations of the
objects. Of each scene one pair of color questions is asked, with the same answer and in one held-out paraphrase, about
objects that share no pixel; the scene's seed decides which.

## Models

A *cell* is a distribution of scenes ({" or ".join(models["distributions"])}) and what its CNN was pre-trained to see:
*bound* names (object, color) pairs, *unbound* names objects and colors apart, as ImageNet's labels do. All else is
equal. Each of the four cells has one CNN, which stays as it is; {len(models["seeds"])} seeds of the question and answer
side are trained on its features, and each is looked at after {passes} steps. **Seeds do not vary the CNN.**
Beside them: {", ".join(others)}.

Command: `python -m qgc train graded`; then `python -m qgc measure graded --split test`.

## Methods

Grad-CAM; the paper's gate at n = {" and ".join(map(str, methods["n"]))} (the paper's n, and that of protocol 1); random
gates with as many neurons, of which the two questions share as many as in the paper's gate; the same gate by ∂A/∂q
averaged over all questions, and by the other question's ranking; the question contrast, plain and of maps divided by
their L1 or L2 norm ({methods["norm"]} was chosen on validation); HiResCAM, |input × gradient| and attention.

On the first {references["scenes"]["test"]} scenes also explanations that look at no gradient, or need no Grad-CAM:
{"; ".join(references["methods"])}. They are of {_names(references["models"])}. And in
{_names(references["curves"]["models"])} deletion, insertion and ROAD, with a random order, the object's mask and the
image's center as controls.

## Measures
""",
        "\n".join(f"- **{m['name']}** ({m['role']}). {m['says']}" for m in data["measures"]),
        "\n## Hypotheses\n",
    ]
    parts += [_hypothesis(h) for h in data["hypotheses"]]
    parts.append(f"\n## How they are tested\n\n{data['tests']}\n\n{data['verdicts']}")
    parts.append(f"\n## Seen on validation\n\n{data['seen on validation']}\n")
    parts.append(_validation(results.read_summary()))
    parts.append("\n## Deviations\n")
    parts.append("\n".join(f"- {d}" for d in data.get("deviations", [])) or "None so far.")
    parts.append(TAKE_AWAY)
    parts.append(f"\n## The file\n\n`qgc/lab/protocol2/{FILE.name}`, sha256 `{protocol.sha256}`.")
    return "\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


SHOWN = {
    "separation": "separation Y", "the model itself": "the model itself", "cosine": "cosine of Grad-CAM",
    "Grad-CAM": "RGA: Grad-CAM", "gate, n = 25": "gate, n = 25", "random gate, n = 25": "random gate",
    "question-free gate, n = 25": "question-free gate", "contrast, L1": "L1 contrast", "contrast, L2": "L2 contrast",
}  # fmt: skip


def _validation(table: pd.DataFrame) -> str:
    """Means of the models at the end of training, cell by cell."""
    last = table[table["step"].isin([0, table["step"].max()])].groupby("cell", sort=False)[list(SHOWN)].mean()
    rows = [
        " | ".join([f"`{cell}`", *("–" if pd.isna(v) else f"{v:.2f}" for v in row)]) for cell, *row in last.itertuples()
    ]
    head = ["| at the end of training | " + " | ".join(SHOWN.values()) + " |", "|---|" + "---:|" * len(SHOWN)]
    return "\n".join([*head, *(f"| {row} |" for row in rows)])


def _names(models: list[str]) -> str:
    return ", ".join(f"`{name}`" for name in models)


def _in(test: dict) -> str:
    return f", in {_names(test['models'])}" if "models" in test else ""


def _hypothesis(h: dict) -> str:
    test, said = h["test"], []
    for key, name in {"weaker": "less than that", "otherwise": "ruled out", "contradicted": "contradicted"}.items():
        said += [f"  - *{name}*: {h[key]}"] if key in h else []
    what = {
        "across models": lambda: f"Spearman's ρ of {test['of']} and {test['with']} over models",
        "within models": lambda: f"Spearman's ρ of {test['of']} and the size of Y over a model's pairs",
        "difference": lambda: f"RGA of {test['of']} minus {test['against']}" + _in(test),
        "agreement": lambda: f"κ of {test['of']} and the model" + _in(test),
    }[test["kind"]]()
    head = f"- **{h['id']}. {h['says']}** {what[0].upper()}{what[1:]}; expected: {h['expected']}; smallest effect of"
    return "\n".join([f"{head} interest: {h['smallest effect']}.", *said])


if __name__ == "__main__":
    atomic_write(PAGE, lambda p: p.write_text(page(), encoding="utf-8"))
