"""``python -m qgc evaluate`` and ``python -m qgc measure``, on scenes and on photographs.

Whatever takes long to import is imported by the command that needs it, so that ``--help`` is quick.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ...terminal import Parser, at_least, path, print_json

RESULTS = Path("book/results")


def add_evaluate(evaluate: Parser) -> None:
    """Fill the parser of the command ``evaluate``."""
    evaluate.add_argument("name", help="a shipped model or a run's folder")
    evaluate.add_argument("--scenes", type=at_least(1), default=2000)
    evaluate.add_argument("--split", default="test", choices=["validation", "test"])
    evaluate.add_argument("--data-dir", type=path, help="of a run on photographs: the folder of the data set now")
    evaluate.add_argument("--dataset", help="of published weights: which data set that is (daquar, vqa1 or vqa2)")
    evaluate.add_argument("--cache", type=path, help="of a run on photographs: where the features are kept")
    evaluate.add_argument("--device", default="cpu")
    evaluate.add_argument("--record", action="store_true", help="write the result into the model's card")
    evaluate.add_argument("--json", action="store_true", help="print the numbers as JSON")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(args) -> None:
    import torch

    from ...measure import evaluate, similarity
    from ...models import card, load
    from ..train import cards

    about = card(args.name)
    if "distribution" not in about or args.dataset or args.data_dir:
        _evaluate_photos(args)
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


def _evaluate_photos(args) -> None:
    # A split answered by a run's model and its question-only baseline, if it has one.
    from ...models import card
    from . import photo_accuracy, photo_results

    photo_results.dataset_of(card(args.name), args.dataset)  # of scenes it is refused
    run = Path(args.name) if Path(args.name).is_dir() else Path(args.name).parent
    result = photo_accuracy.evaluate_photos(
        run, args.split, args.data_dir, args.cache, args.device, dataset=args.dataset
    )
    if args.record:
        photo_accuracy.record(run, result)
    print_json({"run": str(run), **result}) if args.json else print(photo_accuracy.table(result))


def add_measure(measure: Parser):
    """Fill the parser of the command ``measure``; returns what further kinds of measurement are added to."""
    kinds = measure.add_subparsers(required=True, metavar="images")
    scenes = kinds.add_parser("scenes", help="the whole protocol on scenes; a stopped one resumes (the default)")
    scenes.add_argument("--runs", type=path, default=Path("runs"), help="the folder of the other training runs")
    scenes.add_argument("--out", type=path, default=RESULTS, help="receives measure.json.xz and measure.npz")
    scenes.add_argument("--workers", type=at_least(1), default=2, help="processes that measure")
    scenes.add_argument("--device", default="cpu")
    scenes.add_argument("--check", action="store_true", help="measure a random sample again and compare")
    scenes.add_argument("--json", action="store_true", help="print the numbers as JSON")
    scenes.set_defaults(run=_measure_scenes)
    photos = kinds.add_parser("photos", help="the paper's experiment on photographs (the default if runs are named)")
    photos.add_argument("--out", type=path, default=RESULTS, help="with --record: receives photographs.json")
    photos.add_argument("photo_runs", nargs="+", type=path, metavar="RUN", help="runs that differ in their seed alone")
    photos.add_argument("--photographs", type=at_least(1), default=200, help="how many of the test split (200)")
    photos.add_argument("--data-dir", type=path, help="the folder of the data set (default: where it was)")
    photos.add_argument("--dataset", help="of published weights: which data set that is (daquar, vqa1 or vqa2)")
    photos.add_argument("--device", default="cpu")
    photos.add_argument("--record", action="store_true", help="write OUT/photographs.json, for the chapters")
    photos.add_argument("--json", action="store_true", help="print the numbers as JSON")
    photos.set_defaults(run=_measure_photos)
    return kinds


def _measure_scenes(args) -> int:
    from ...models.zoo import usable
    from ...paper import SPEARMAN
    from ..protocol import PROTOCOL_MODELS, grounding, run, summary
    from ..protocol.stored import Stored
    from . import runner

    if args.check:
        faults = summary.check(args.out) + runner.check(Stored.read(args.out).arrays)
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
        experiment: runner.measure(experiment, folder, runs=args.runs, **options) for experiment in runner.EXPERIMENTS
    }
    tables, arrays = summary.summarise(validation, test, PROTOCOL_MODELS, chosen)
    more, more_arrays = runner.summarise(other, [row.value for row in SPEARMAN])
    tables, arrays = tables | more, arrays | more_arrays
    paths = [str(run.where(model, args.runs)) for model in PROTOCOL_MODELS]
    tables = {"about": summary.about(PROTOCOL_MODELS, paths, "python -m qgc measure", args.device), **tables}
    summary.write(args.out, tables, arrays)
    if args.json:
        print_json(tables, indent=None)
        return 0
    for name, model in tables["arms"].items():
        print(f"\n{name}: {model['pairs']} pairs of {model['scenes']} scenes, {model['seeds']} seed(s)")
        for row in model["table"]:
            shown = ("{:.3f} [{:.3f}, {:.3f}]".format(*row[k]) for k in ("rank", "object", "grounding"))
            print(f"  {row['method']:36s} {row['n'] or '':>5}  " + "  ".join(shown))
    print(f"\nwrote {args.out / 'measure.json.xz'}")
    return 0


def _measure_photos(args) -> None:
    # The paper's tables and sweep on photographs, for one run or for several training seeds together.
    from ... import data
    from ...models import card, load
    from ..train.photo_run import places
    from . import photo_results

    cards = [card(str(run)) for run in args.photo_runs]
    cards = [about | {"dataset": photo_results.dataset_of(about, args.dataset)} for about in cards]
    photo_results.check(cards, tested=args.record)
    photos = data.load(cards[0]["dataset"], args.data_dir or places(args.photo_runs[0])["data_dir"], "test")
    models = [load(str(run), device=args.device) for run in args.photo_runs]
    tables = photo_results.measure(models, photos, args.photographs)
    if args.record:
        path = args.out / "photographs.json"
        photo_results.record(path, cards, tables, _measure_command(args))
        print(f"wrote {path}", file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print_json({name: table.to_dict("records") for name, table in tables.items()}, indent=None)
        return
    for name, table in tables.items():
        print(f"\n{name}\n{table.round(3).to_string(index=False)}")


def _measure_command(args) -> str:
    """How to do it again, with DIR for the folder of whoever does."""
    options = [] if args.photographs == 200 else ["--photographs", str(args.photographs)]
    options += ["--dataset", args.dataset, "--data-dir", "DIR"] if args.dataset else []
    return " ".join(["python -m qgc measure", *map(str, args.photo_runs), *options, "--record"])
