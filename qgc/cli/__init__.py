"""The command line: ``python -m qgc explain|train|convert|evaluate|bench|measure|ledger|fetch`` (``--help``)."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import suppress
from itertools import chain, count
from pathlib import Path

from .. import __version__
from ..errors import QGCError
from ..files import atomic_write, check_target
from .common import Parser, UsageError, at_least, file, path, print_json

DEFAULT = "deeper-lstm/natural"
RESULTS = Path("book/results")
FIGURES = (".png", ".pdf", ".svg", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".eps")


def main(argv: list[str] | None = None) -> int:
    """Run one command, or print the help if none is given.

    Bad input ends with one message and status 2, Ctrl-C with status 130; with ``--json`` the message is JSON, too.
    """
    argv = _with_kind((sys.argv[1:] if argv is None else argv) or ["--help"])
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a terminal that has no "→" or "∂" shows "?" in their place
    warnings.showwarning = lambda message, *_, **__: print(f"note: {message}", file=sys.stderr)
    status, lost = 2, False
    try:
        args = _parser(argv[0]).parse_args(argv)
        status = args.run(args) or 0
        _flush()
        return status
    except QGCError as error:
        message = str(error)
        if isinstance(error, UsageError) and "--json" not in argv:
            print(error.usage, end="", file=sys.stderr)
    except BrokenPipeError:  # whoever reads our output has read enough, as "head" does
        with suppress(OSError):
            _flush()
        return 1
    except OSError as error:
        with suppress(OSError):
            _flush()
        status, lost = 2, True  # standard output may be what failed
        message = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"
    except KeyboardInterrupt:
        message, status = "interrupted; run the same command again to resume", 130
    message = str(QGCError(message))  # which shortens it: a name can be long
    if "--json" in argv:
        with suppress(OSError):
            print_json({"error": message})
            _flush()
    if lost or "--json" not in argv:
        print(f"{chr(10) * (status == 130)}qgc: {message}", file=sys.stderr)
    return status


def _flush() -> None:
    """Write what is printed; what cannot be written is dropped, or Python would try, and fail, once more at its end."""
    if sys.stdout is None:  # closed by who called us
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _with_kind(argv: list[str]) -> list[str]:
    """Lines written before ``bench`` and ``measure`` had subcommands, as they are written now."""
    command, *rest = argv
    if command not in KINDS or rest[:1] in [[kind] for kind in (*KINDS[command], "-h", "--help")]:
        return argv
    if command == "bench":
        kind = next((kind for kind in KINDS[command] if f"--{kind}" in rest), "speed")
        return [command, kind, *(argument for argument in rest if argument != f"--{kind}")]
    takes_value = [a.startswith("--") and "=" not in a and a not in ("--check", "--record", "--json") for a in rest]
    names_a_run = any(not a.startswith("-") and not t for a, t in zip(rest, [False, *takes_value], strict=False))
    return [command, "photos" if names_a_run else "scenes", *rest]


def _parser(command: str | None = None) -> Parser:
    """The parser of one command, which alone is imported, or of all."""
    prog = "qgc" if Path(sys.argv[0]).stem == "qgc" else "python -m qgc"  # the console script, or not
    parser = Parser(prog=prog, description="Question-grounded Grad-CAM.")
    parser.add_argument("--version", action="version", version=f"qgc {__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, (about, add) in COMMANDS.items():
        one = commands.add_parser(name, help=about)
        if command in (None, name):
            add(one)
    return parser


def _add_explain(explain: Parser) -> None:
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


def _add_train(train: Parser) -> None:
    from . import photos as cli_photos

    kinds = train.add_subparsers(required=True, metavar="data")
    scenes = kinds.add_parser("scenes", help="a scene-sized Deeper LSTM (natural, balanced, early) or Pythia")
    scenes.add_argument("name", choices=["natural", "balanced", "early", "pythia"])
    scenes.add_argument("--out", type=path, help="the run's folder (default: runs/NAME); a stopped run resumes there")
    scenes.add_argument("--cache", type=path, default=Path("cache"), help="where rendered scenes are kept")
    scenes.add_argument("--device", default="cpu")
    scenes.add_argument("--workers", type=at_least(1), default=2, help="processes that render scenes")
    scenes.add_argument(
        "--seed",
        type=at_least(0),
        default=0,
        help="of the question and answer side; any but 0 uses the shipped model's CNN",
    )
    scenes.add_argument("--cnn", default="", help="train the question and answer side alone, with this model's CNN")
    scenes.add_argument("--install", action="store_true", help="write the weights into the package, to be shipped")
    scenes.set_defaults(run=_train_scenes)
    cli_photos.add_train(kinds)


def _add_convert(convert: Parser) -> None:
    from . import convert as cli_convert

    cli_convert.add(convert)


def _add_evaluate(evaluate: Parser) -> None:
    from . import photos as cli_photos

    evaluate.add_argument("name", help="a shipped model or a run's folder")
    evaluate.add_argument("--scenes", type=at_least(1), default=2000)
    evaluate.add_argument("--split", default="test", choices=["validation", "test"])
    cli_photos.add_evaluate(evaluate)
    evaluate.add_argument("--device", default="cpu")
    evaluate.add_argument("--record", action="store_true", help="write the result into the model's card")
    evaluate.add_argument("--json", action="store_true", help="print the numbers as JSON")
    evaluate.set_defaults(run=_evaluate)


def _add_bench(bench: Parser) -> None:
    from . import grounding as cli_grounding
    from . import photos as cli_photos

    kinds = bench.add_subparsers(required=True, metavar="what")
    speed = kinds.add_parser("speed", help="rendering and the closed form: how fast, and how exact (the default)")
    speed.add_argument("--scenes", type=at_least(1), default=100, help="scenes to render")
    speed.set_defaults(run=_bench_speed)
    peers = kinds.add_parser("peers", help="the closed form compared with pytorch-grad-cam and Captum")
    peers.add_argument("--scenes", type=at_least(1), default=100, help="scenes to compare ten maps each on")
    peers.add_argument("--record", action="store_true", help="write book/results/peers.json")
    peers.set_defaults(run=_bench_peers)
    full = kinds.add_parser("full-size", help="train the full-size Deeper LSTM on generated features: speed and memory")
    full.add_argument("--device", default="cpu", help="cpu or cuda")
    full.set_defaults(run=cli_photos.bench_full_size)
    grounding = kinds.add_parser("grounding", help="does a method's map follow the question? a benchmark to enter")
    cli_grounding.add(grounding)
    for kind in (speed, peers, grounding):
        kind.add_argument("--model", default=DEFAULT, help=f"a shipped model or a run's folder (default: {DEFAULT})")
    for kind in (speed, peers, full, grounding):
        kind.add_argument("--json", action="store_true", help="print the numbers as JSON")


def _add_measure(measure: Parser) -> None:
    from . import photos as cli_photos

    kinds = measure.add_subparsers(required=True, metavar="images")
    scenes = kinds.add_parser("scenes", help="the whole protocol on scenes; a stopped one resumes (the default)")
    scenes.add_argument("--runs", type=path, default=Path("runs"), help="the folder of the other training runs")
    scenes.add_argument("--out", type=path, default=RESULTS, help="receives measure.json and measure.npz")
    scenes.add_argument("--workers", type=at_least(1), default=2, help="processes that measure")
    scenes.add_argument("--device", default="cpu")
    scenes.add_argument("--check", action="store_true", help="measure a random sample again and compare")
    scenes.add_argument("--json", action="store_true", help="print the numbers as JSON")
    scenes.set_defaults(run=_measure)
    photos = kinds.add_parser("photos", help="the paper's experiment on photographs (the default if runs are named)")
    photos.add_argument("--out", type=path, default=RESULTS, help="with --record: receives photographs.json")
    cli_photos.add_measure(photos)


def _add_ledger(ledger: Parser) -> None:
    ledger.add_argument("--check", action="store_true", help="write nothing; compare with what is stored")
    ledger.add_argument("--json", action="store_true", help="print the numbers as JSON")
    ledger.set_defaults(run=_ledger)


def _add_fetch(fetch: Parser) -> None:
    from . import fetch as cli_fetch

    cli_fetch.add(fetch)


COMMANDS = {
    "explain": ("explain an answer about a scene or a photograph", _add_explain),
    "train": ("train a model from nothing", _add_train),
    "convert": ("make a run of published weights, once", _add_convert),
    "evaluate": ("held-out accuracy compared with the question-only baseline", _add_evaluate),
    "bench": ("how fast and how exact the closed form, rendering and training are", _add_bench),
    "measure": ("does the map follow the question? on scenes or on photographs", _add_measure),
    "ledger": ("compare ours with every figure and table of the paper, with a verdict", _add_ledger),
    "fetch": ("download photographs, questions or published weights from their public sources", _add_fetch),
}
KINDS = {"bench": ("speed", "peers", "full-size", "grounding"), "measure": ("scenes", "photos")}


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
    figure = plots.overlay(explanation, n=args.n, mask=plots.asked_mask(scene, args.question) if scene else None)
    atomic_write(out, lambda p: figure.savefig(p, format=out.suffix[1:] or "png"))
    top = explanation.top(10)
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
    print(f"top 10 of {explanation.ranked_by}:\n{top.round(4).to_string()}\nfigure: {out}")


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


def _train_scenes(args) -> None:
    if args.name == "pythia":
        _train_pythia(args)
        return
    from dataclasses import replace

    from ..lab.train.early import question_blind
    from ..lab.train.recipes import RECIPES
    from ..lab.train.run import card_of, export, train_scenes
    from ..models import zoo

    base = "natural" if args.name == "early" else args.name
    zoo.usable(args.device)  # a device that is not there is said before the scenes are rendered
    recipe = replace(RECIPES[base], question_seed=args.seed)
    cnn_checkpoint = args.cnn or (f"deeper-lstm/{base}" if args.seed else "")
    run = args.out or Path("runs") / (f"{base}-seed{args.seed}" if cnn_checkpoint else base)
    model = train_scenes(recipe, run, args.cache, args.device, args.workers, cnn_checkpoint)
    about = card_of(args.name, recipe, run)
    if args.name == "early":
        step, trace = question_blind(model, run)
        about |= {"step": step, "selection": trace}
    folder = zoo.SHIPPED if args.install else run
    stem = export(model, args.name, about, folder)
    print(f"wrote {stem}.json and its weights; try: python -m qgc evaluate "
          f"{f'deeper-lstm/{args.name}' if args.install else f'{stem}.json'}")  # fmt: skip


def _train_pythia(args) -> None:
    from dataclasses import replace

    from ..lab.train.pythia import export, train_pythia
    from ..lab.train.recipes import PYTHIA
    from ..lab.train.run import card_of
    from ..models import zoo

    zoo.usable(args.device)  # a device that is not there is said before the run's folder is claimed
    recipe = replace(PYTHIA, seed=args.seed)
    run = args.out or Path("runs") / ("pythia" if args.seed == 0 else f"pythia-seed{args.seed}")
    model = train_pythia(recipe, run, args.cache, args.device, args.workers)
    stem = export(model, card_of("pythia", recipe, run), zoo.SHIPPED if args.install else run)
    print(f"wrote {stem}.json and its weights; try: python -m qgc evaluate "
          f"{'pythia/natural' if args.install else f'{stem}.json'}")  # fmt: skip


def _evaluate(args) -> None:
    import torch

    from ..measure import evaluate, similarity
    from ..models import card, cards, load
    from . import photos as cli_photos

    about = card(args.name)
    if "distribution" not in about or args.dataset or args.data_dir:
        cli_photos.evaluate_run(args)
        return
    vqa = load(args.name, device=args.device, dtype=torch.float32)  # thousands of scenes: speed, not the last digit
    result = evaluate(
        vqa, args.scenes, distribution=about["distribution"], prior=about["question_prior"], split=args.split
    )
    alike = similarity(vqa, min(args.scenes, 500), distribution=about["distribution"], split=args.split)
    alike.pop("per_scene")
    result |= {"model": args.name, "same_answer_pairs": alike}
    if args.record:
        cards.record(args.name, result)
    if args.json:
        print_json(result)
        return
    print(cards.table(result))


def _bench_speed(args) -> None:
    from ..lab.bench.speed import bench

    rows = bench(args.model, args.scenes)
    if args.json:
        print_json(rows)
        return
    for name, row in rows.items():
        print(f"{name:58s} {row['value']:>12.4g} {row['unit']:4s}  (bound: {row['bound']})")


def _bench_peers(args) -> None:
    from ..lab.bench import peers

    result = peers.compare(args.model, args.scenes, peers.RESULTS if args.record else None)
    print_json(result) if args.json else print(peers.table(result))


def _measure(args) -> int:
    from ..lab.experiments import stages
    from ..lab.protocol import PROTOCOL_MODELS, grounding, run, summary
    from ..lab.protocol.stored import Stored
    from ..models.zoo import usable
    from ..paper import SPEARMAN

    if args.check:
        faults = summary.check(args.out) + stages.check(Stored.read(args.out).arrays)
        print_json({"faults": faults}) if args.json else print("\n".join(faults) or "the sample agrees")
        return int(bool(faults))
    usable(args.device)  # what is wrong is said before the hours of measuring
    args.out.mkdir(parents=True, exist_ok=True)
    options = {"models": PROTOCOL_MODELS, "workers": args.workers, "device": args.device}
    folder = args.runs / "measure"
    validation = run.measure("validation", args.runs, folder, **options)
    chosen = summary.choose(validation, PROTOCOL_MODELS)
    registered = {gate: [chosen["grounding"][gate]] for gate in grounding.GATES}
    test = run.measure("test", args.runs, folder, **options, chosen=registered)
    other = {
        experiment: stages.measure(experiment, folder, runs=args.runs, **options) for experiment in stages.EXPERIMENTS
    }
    tables, arrays = summary.summarise(validation, test, PROTOCOL_MODELS, chosen)
    more, more_arrays = stages.summarise(other, [row.value for row in SPEARMAN])
    tables, arrays = tables | more, arrays | more_arrays
    paths = [str(run.where(model, args.runs)) for model in PROTOCOL_MODELS]
    tables = {"about": summary.about(PROTOCOL_MODELS, paths, "python -m qgc measure", args.device), **tables}
    summary.write(args.out, tables, arrays)
    if args.json:
        print_json(tables, indent=None)
        return 0
    for name, arm in tables["arms"].items():
        print(f"\n{name}: {arm['pairs']} pairs of {arm['scenes']} scenes, {arm['seeds']} seed(s)")
        for row in arm["table"]:
            shown = ("{:.3f} [{:.3f}, {:.3f}]".format(*row[k]) for k in ("rank", "object", "grounding"))
            print(f"  {row['method']:36s} {row['n'] or '':>5}  " + "  ".join(shown))
    print(f"\nwrote {args.out / 'measure.json'}")
    return 0


def _ledger(args) -> int:
    from ..lab.ledger import equations, ledger
    from ..lab.ledger import links as ledger_links
    from ..lab.ledger import show as shown

    root = ledger_links.checkout()
    sources = ledger.Sources()
    fresh = ledger.compute(sources)
    stored, faults = fresh, []
    if args.check:
        stored = ledger.read()
        faults = ledger.drift(stored, fresh)
    else:
        shown.draw(sources, root)
        shown.write(fresh, root)
    faults += [*ledger.faults(stored, root), *shown.stale(stored, root), *equations.faults(root=root)]
    rows = len(ledger.row_ids())
    good = sum(not any(fault.startswith(f"{row}:") for fault in faults) for row in ledger.row_ids())
    counts = ledger.summary(stored)
    if args.json:
        numbers = {"rows": rows, "in_order": good, "verdicts": counts, "equations": len(equations.EQUATIONS)}
        print_json({**numbers, "faults": faults})
    else:
        print(*faults, sep="\n", end="\n" * bool(faults))
        print(f"{good} of {rows} rows are in order; " + ", ".join(f"{v}: {n}" for v, n in counts.items()))
        print(f"{len(equations.EQUATIONS)} equations; {len(faults)} faults")
    return int(args.check and bool(faults))
