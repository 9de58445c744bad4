"""Model cards for people: training data, accuracy, limitations."""

from __future__ import annotations

import json
from pathlib import Path

from ...errors import QGCError
from ...files import atomic_write
from ...models import zoo

DRAWN_BY = "ThorVG"
"""The renderer of the scenes (qgc/scenes/render.py)."""

KINDS = {
    "deeper-lstm": "Deeper LSTM + normalized CNN",
    "bilinear": "Low-rank bilinear fusion (MUTAN-like)",
    "pythia": "Pythia v0.1",
    "film": "FiLM",
    "transformer": "Transformer of words and cells (ViLT-like)",
}
"""How the families of :data:`qgc.models.zoo.FAMILIES` are called in a card; any other by its own name."""

LENT = "It has the dataset bias of the natural scenes too, and its CNN was never trained on questions."
CANNOT = {
    "natural": "It has learnt the dataset bias of everyday scenes (usual colors) and uses it: see the baseline.",
    "balanced": "Its scenes have no dataset bias, but it has only ever seen these drawn objects in these drawn places.",
    "early": "It is an unfinished checkpoint, kept because it hardly uses the question: do not use its answers.",
    **dict.fromkeys(("bilinear", "pythia", "film", "transformer"), LENT),
}


def record(name: str, result: dict) -> None:
    """Write an evaluation into a model's card, and the card as Markdown into the same folder.

    Raises
    ------
    QGCError
        If a number of the result is not finite, such as a mean over no pair.
    """
    path = zoo.card_path(name)
    about = zoo.card(name)
    about[result["split"]] = result
    try:
        card = json.dumps(about, indent=1, allow_nan=False) + "\n"
    except ValueError:
        raise QGCError(f"the result for {name} holds a number that is not finite, so it was not recorded; evaluate "
                       "with more scenes") from None  # fmt: skip
    for target, text in ((path, card), (path.with_suffix(".md"), markdown(name, about))):
        atomic_write(target, lambda p, text=text: p.write_text(text, encoding="utf-8"))


def table(result: dict) -> str:
    """An evaluation as a Markdown table, with the same-answer pairs under it."""
    rows = [*result["families"].items(), ("all", result["all"])]
    lines = ["| family | questions | accuracy | question only |", "|---|---:|---:|---:|"]
    lines += [f"| {k} | {r['n']} | {r['accuracy']:.1%} | {r['question_only']:.1%} |" for k, r in rows]
    pairs = result["same_answer_pairs"]
    lines += [
        "",
        f"{result['scenes']} {result['split']} scenes, {result['wordings']} paraphrases. Same-answer color questions "
        f"on {pairs['scenes']} scenes: cosine of the Grad-CAM maps {pairs['cosine']:.3f}, Spearman of ∂A/∂q "
        f"{pairs['l2']:.3f} (l2), {pairs['sum']:.3f} (sum), {pairs['abs-sum']:.3f} (abs-sum); the paper: 0.81–0.93.",
    ]
    return "\n".join(lines)


def markdown(name: str, about: dict) -> str:
    """The whole card as Markdown."""
    recipe = about["recipe"]
    family = about["family"]
    limits = CANNOT.get(Path(name).stem if family == "deeper-lstm" else family, "")
    lines = [
        f"# {name}",
        "",
        f"- **Model:** {KINDS.get(family, family)}, scene-sized ({len(about['config']['answers'])} answers, "
        f"{len(about['config']['words'])} words, {about['config']['combine']} combine neurons).",
        f"- **Data:** {recipe['scenes']:,} {about['trained_on']}, drawn by `qgc.scenes`; validation "
        f"{recipe['validation']:,}; test scenes come from other seeds.",
        _cnn_line(recipe),
        *_drawn_line(about),
        f"- **Seed:** {recipe['seed']}. **Retrain:** `{about['command']}`. "
        f"**Time ({about['time']['device']}):** "
        + ", ".join(f"{k} {v / 60:.1f} min" for k, v in about["time"]["seconds"].items())
        + ".",
        f"- **Stored as** float16 safetensors, loaded as float64. {limits}",
        "- **Not for photographs.** It has only seen drawn scenes.",
        "",
    ]
    if "step" in about:
        lines += [f"- **Chosen:** step {about['step']}, the last snapshot whose same-answer maps are nearly equal.", ""]
    for split in ("validation", "test"):
        if "families" in about.get(split, {}):
            lines += [f"## Held-out accuracy ({split})", "", table(about[split]), ""]
    return "\n".join(lines)


def _drawn_line(about: dict) -> list[str]:
    if about.get("drawn_by") == DRAWN_BY:
        return []
    return [
        f"- **Drawn by** {about.get('drawn_by')} when the model was trained. Scenes are now drawn by {DRAWN_BY}, with "
        "edges that differ a little; the accuracy below is on scenes as they are drawn now."
    ]


def _cnn_line(recipe: dict) -> str:
    if "cnn" in recipe:
        cells = "" if "labels" in recipe else "; its 14×14 cells are the regions"
        return f"- **CNN:** that of `{recipe['cnn']}`, which stays as it is{cells}."
    head = "fc6 and fc7 pass the detectors' sums on" if recipe["detectors"] else "fc6 and fc7 were trained on them too"
    return f"- **CNN labels:** {recipe['labels']}; {head}."
