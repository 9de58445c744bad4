"""Write book/protocol-2.md from qgc/lab/protocol2/protocol-2.yml: python tools/protocol_page.py."""

from __future__ import annotations

from pathlib import Path

from qgc.files import atomic_write
from qgc.lab.protocol2 import FILE, PROTOCOL, Protocol

PAGE = Path(__file__).resolve().parents[1] / "book" / "protocol-2.md"


STATUS = {
    "draft": "**This is a draft: choices are still made on validation scenes, and no test scene has been drawn.**",
    "fixed": "This page is made from one file, which was committed before any of its test scenes had been drawn.",
}


def page(protocol: Protocol = PROTOCOL) -> str:
    """The page's text."""
    data = protocol.data
    scenes, models, methods = data["scenes"], data["models"], data["methods"]
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
outcome. **You need** [the first protocol](protocol.md), which stays as it is.

## Scenes

| | scenes of either distribution | seeds from | used for |
|---|---:|---:|---|
| validation | {validation["count"]:,} | {validation["first"]:,} | every choice |
| test | {test["count"]:,} | {test["first"]:,} | the numbers that count |

A model that is not at the end of its training sees the first {scenes["earlier moments"]:,} test scenes. The first
{scenes["controls"]} also have the controls: questions about absent objects, and alterations of the objects. Of each
scene one pair of color questions is asked, with the same answer and in one held-out paraphrase, about objects that
share no pixel; the scene's seed decides which.

## Models

A *cell* is a distribution of scenes ({" or ".join(models["distributions"])}) and what its CNN was pre-trained to see:
*bound* names (object, color) pairs, *unbound* names objects and colors apart, as ImageNet's labels do. All else is
equal. Each of the four cells has one CNN, which stays as it is; {len(models["seeds"])} seeds of the question and answer
side are trained on its features, and each is looked at after {passes} steps. **Seeds do not vary the CNN.**
Beside them: {", ".join(others)}.

Command: `python -m qgc train graded`; then `python -m qgc measure graded --split test`.

## Methods

Grad-CAM; the paper's gate at n = {" and ".join(map(str, methods["n"]))} (the first is the paper's, the second was
chosen on validation); the same gate by a random ranking, by ∂A/∂q averaged over all questions, and by the other
question's ranking; the question contrast, plain and of maps divided by their L1 or L2 norm ({methods["norm"]} was
chosen on validation); HiResCAM, |input × gradient| and attention.

## Measures
""",
        "\n".join(f"- **{m['name']}** ({m['role']}). {m['says']}" for m in data["measures"]),
        """
## Hypotheses

| | hypothesis | tested by | expected | smallest effect of interest |
|---|---|---|---|---:|""",
    ]
    parts += [
        f"| {h['id']} | {h['says']} | {_test(h['test'])} | {h['expected']} | {h['smallest effect']} |"
        for h in data["hypotheses"]
    ]
    parts.append(f"\n{data['tests']}\n\n**If nothing is found**, this is what we will say:\n")
    parts.append("\n".join(f"- {h['id']}: {h['otherwise']}" for h in data["hypotheses"]))
    parts.append("\n## Deviations\n")
    parts.append("\n".join(f"- {d}" for d in data.get("deviations", [])) or "None so far.")
    parts.append(f"\n## The file\n\n`qgc/lab/protocol2/{FILE.name}`, sha256 `{protocol.sha256}`.")
    return "\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def _test(test: dict) -> str:
    return {
        "correlation": lambda: f"Spearman's ρ of {test['of']} and {test['with']} over models",
        "equivalence": lambda: f"RGA of the {test['of']}, less ½, where {test['where']} has less than {test['below']}",
        "difference": lambda: f"RGA of {test['of']} minus {test['against']}",
        "agreement": lambda: f"κ of {test['of']} and the model, pair by pair",
    }[test["kind"]]()


if __name__ == "__main__":
    atomic_write(PAGE, lambda p: p.write_text(page(), encoding="utf-8"))
