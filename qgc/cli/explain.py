"""``python -m qgc explain``: the map of one answer, as a figure and as numbers."""

from __future__ import annotations

import os
import sys
from itertools import chain, count
from pathlib import Path

from ..errors import QGCError
from ..files import atomic_write, check_target
from ..terminal import DEFAULT, Parser, at_least, file, path, print_json

FIGURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps")


def add_explain(explain: Parser) -> None:
    """Fill the parser of the command ``explain``."""
    explain.add_argument("image", type=path, help="an image; scenes saved by qgc also bring their masks")
    explain.add_argument("question")
    explain.add_argument("--answer", help="the answer to explain (default: the model's own)")
    explain.add_argument("--n", type=at_least(1), help="how many combine neurons the gradient may pass (default: all)")
    explain.add_argument("--reduce", default="l2", help="how ∂A/∂q becomes one number: l2, sum or abs-sum")
    explain.add_argument("--rank", default="sensitivity", help="ranking of the neurons, such as |g| (default: ∂A/∂q)")
    explain.add_argument("--model", default=DEFAULT, help=f"a shipped model or a run's folder (default: {DEFAULT})")
    explain.add_argument("--device", default="cpu")
    explain.add_argument(
        "--out", type=file, help="the figure to write (default: NAME-explained.png in the current folder, or the next "
        "free name)"
    )  # fmt: skip
    explain.add_argument("--json", action="store_true", help="print the numbers as JSON")
    explain.set_defaults(run=_explain)


def _explain(args) -> None:
    from ..explain import explain
    from ..explain.gates import check_n
    from ..explain.rankings import check_ranking
    from ..explain.sensitivity import check_reduction
    from ..models import load
    from ..scenes import Scene
    from ..show import plots

    check_reduction(args.reduce)  # what is wrong is said before the model is loaded
    check_ranking(args.rank)
    out = _figure_file(args.out, args.image)
    vqa = load(args.model, device=args.device)
    if args.n is not None:
        check_n(args.n, vqa.combine)
    explanation = explain(vqa, args.image, args.question, args.answer, rank=args.rank, reduce=args.reduce)
    scene = Scene.open(args.image)
    if scene is None and "photograph" not in vqa.trained_on:
        print("note: this is not a scene of qgc; the model has only seen scenes, so do not trust it here",
              file=sys.stderr)  # fmt: skip
    figure = plots.overlay(explanation, n=args.n, mask=plots.queried_mask(scene, args.question) if scene else None)
    atomic_write(out, lambda p: figure.savefig(p, format=out.suffix[1:] or "png"))
    top = explanation.top()
    if args.json:
        numbers = {
            "model": args.model, "question": explanation.question, "answer": explanation.answer,
            "predicted": explanation.predicted,
            "confidence": explanation.confidence, "n": args.n or vqa.combine, "rank": args.rank,
            "reduce": args.reduce,
            "top": [{"index": int(i), "value": float(v)} for i, v in zip(top["index"], top["value"], strict=True)],
            "figure": str(out),
        }  # fmt: skip
        print_json(numbers)
        return
    print(f"{explanation.question}  →  {explanation.answer}  ({explanation.confidence:.1%})")
    if explanation.answer != explanation.predicted:
        print(f"the model itself would say: {explanation.predicted}")
    print(f"top {len(top)} of {explanation.ranked_by}:\n{top.round(4).to_string()}\nfigure: {out}")


def _figure_file(out: Path | None, image: Path) -> Path:
    """Where the figure goes, checked before the work.

    Never onto the image, which may hold the whole scene, and onto another file only if ``--out`` names it.
    """
    if out is None:
        stem = image.stem[:55]  # so that the name is at most 255 bytes long
        names = chain([f"{stem}-explained.png"], (f"{stem}-explained-{k}.png" for k in count(2)))
        out = next(Path(name) for name in names if not os.path.lexists(name))
    check_target(out)
    if out.exists() and image.exists() and out.samefile(image):
        raise QGCError(f"--out {out} is the image itself, which would be lost; name another file")
    if out.suffix and out.suffix.lower() not in FIGURES:
        raise QGCError(f"no figure can be written as {out.suffix!r}; let --out end in {', '.join(FIGURES)}")
    return out
