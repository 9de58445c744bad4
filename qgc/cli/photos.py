"""Photographs on the command line: ``python -m qgc train daquar|vqa1|vqa2``, and the evaluation of such runs."""

from __future__ import annotations

import sys
from pathlib import Path

from .common import at_least, path, print_json


def add_train(kinds) -> None:
    """Add one parser for each data set of photographs to the subcommand ``train``."""
    from ..data import NAMES

    for name in NAMES:
        train = kinds.add_parser(name, help="a Deeper LSTM or a Pythia, and its question-only baseline, on photographs")
        train.add_argument("--data-dir", type=path, required=True, help="the folder of the data set's official files")
        train.add_argument("--model", default="deeper-lstm", choices=["deeper-lstm", "pythia"], help="what learns")
        train.add_argument(
            "--cnn", help="whose features: vgg19, vgg19-caffe, or one of torchvision's CNNs (default: vgg19 for the "
            "deeper-lstm, resnet152 for pythia)"
        )  # fmt: skip
        train.add_argument("--weights", type=path, help="the CNN's weights: .safetensors, or a .pth (default: "
                           "torchvision's own, which are downloaded once)")  # fmt: skip
        train.add_argument(
            "--out", type=path, help=f"the run's folder (default: runs/{name}, …); a stopped run resumes there"
        )
        train.add_argument("--seed", type=at_least(0), default=0)
        train.add_argument(
            "--recipe", choices=["original", "modern"],
            help="original: of the paper that made the model; modern: faster, for little data (daquar's default)",
        )  # fmt: skip
        train.add_argument("--glove", type=path, metavar="FILE", help="pythia: the vectors at which its words begin, "
                           "glove.6B.300d.txt for the recipe original, 200d for modern")  # fmt: skip
        train.add_argument(
            "--device", default="cpu", help="cpu or cuda; under torchrun cuda is one GPU for each process"
        )
        train.add_argument(
            "--cache", type=path, default=Path("cache"), help="where the features of photographs are kept"
        )
        train.add_argument("--workers", type=at_least(1), default=2, help="threads that decode photographs")
        train.add_argument(
            "--shards", type=int, help="parts of a step; processes must divide it (default: the recipe's)"
        )
        train.add_argument("--json", action="store_true", help="print the numbers as JSON")
        train.set_defaults(run=_train, dataset=name)


def _train(args) -> None:
    from dataclasses import replace

    from ..lab.train.distributed import process_group
    from ..lab.train.photo_recipes import RECIPES, USUAL, USUAL_CNN
    from ..lab.train.photo_run import TrainingConfig, train_photos
    from ..models.zoo import usable

    name = args.recipe or USUAL[args.dataset]
    recipe = RECIPES[args.model][name]
    if args.shards is not None:
        recipe = replace(recipe, shards=args.shards)
    cnn = args.cnn or USUAL_CNN[args.model]
    called = [args.dataset, *(["pythia"] if recipe.pythia else []), *([f"seed{args.seed}"] if args.seed else [])]
    out = args.out or Path("runs") / "-".join(called)
    training = TrainingConfig(
        args.dataset, args.data_dir, cnn, args.weights, out, recipe, name, args.seed, args.cache, args.workers,
        args.glove,
    )  # fmt: skip
    with process_group(usable(args.device)) as group:
        results = train_photos(training, group)
        if group.is_main_process:
            _print_results(results, out, args.json)


def _print_results(results: dict, out: Path, as_json: bool) -> None:
    rows = {
        name: {"validation": r.chosen.accuracy, "step": r.made.step,
               "seconds": round(r.chosen.seconds + (r.made.seconds if r.made is not r.chosen else 0)),
               "questions_per_second": r.made.questions_per_second, "memory_mb": r.made.memory_mb}
        for name, r in results.items()
    }  # fmt: skip
    if as_json:
        print_json({"run": str(out), **rows})
        return
    print(f"{'':8s}{'validation':>12s}{'steps':>8s}{'seconds':>9s}{'questions/s':>13s}  memory in MB")
    for name, row in rows.items():
        memory = ", ".join(f"{kind} {mb}" for kind, mb in row["memory_mb"].items())
        print(f"{name:8s}{row['validation']:>12.2%}{row['step']:>8d}{row['seconds']:>9d}"
              f"{row['questions_per_second']:>13.0f}  {memory}")  # fmt: skip
    print(f"wrote {out}; try: python -m qgc evaluate {out}")


def add_evaluate(evaluate) -> None:
    """Let ``evaluate`` take runs on photographs."""
    evaluate.add_argument("--data-dir", type=path, help="of a run on photographs: the folder of the data set now")
    evaluate.add_argument("--dataset", help="of published weights: which data set that is (daquar, vqa1 or vqa2)")
    evaluate.add_argument("--cache", type=path, help="of a run on photographs: where the features are kept")


def evaluate_run(args) -> None:
    """Answer a split with a run's model and question-only baseline, if it has one; print how often each is right."""
    from ..lab.experiments import photo_accuracy, photo_results
    from ..models import card

    photo_results.dataset_of(card(args.name), args.dataset)  # of scenes it is refused
    run = Path(args.name) if Path(args.name).is_dir() else Path(args.name).parent
    result = photo_accuracy.evaluate_photos(
        run, args.split, args.data_dir, args.cache, args.device, dataset=args.dataset
    )
    if args.record:
        photo_accuracy.record(run, result)
    print_json({"run": str(run), **result}) if args.json else print(photo_accuracy.table(result))


def add_measure(photos) -> None:
    """Add what ``measure photos`` takes."""
    photos.add_argument("photo_runs", nargs="+", type=path, metavar="RUN", help="runs that differ in their seed alone")
    photos.add_argument("--photographs", type=at_least(1), default=200, help="how many of the test split (200)")
    photos.add_argument("--data-dir", type=path, help="the folder of the data set (default: where it was)")
    photos.add_argument("--dataset", help="of published weights: which data set that is (daquar, vqa1 or vqa2)")
    photos.add_argument("--device", default="cpu")
    photos.add_argument("--record", action="store_true", help="write OUT/photographs.json, for the chapters")
    photos.add_argument("--json", action="store_true", help="print the numbers as JSON")
    photos.set_defaults(run=measure_runs)


def measure_runs(args) -> None:
    """The paper's tables and sweep on photographs, for one run or for several training seeds together."""
    from .. import data
    from ..lab.experiments import photo_results
    from ..lab.train.photo_run import places
    from ..models import card, load

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


def bench_full_size(args) -> None:
    """Print how fast the full-size model trains on generated features of two numbers of photographs, in what memory."""
    from ..lab.bench.full_size import full_size
    from ..models.zoo import usable

    measured = full_size(device=usable(args.device))
    if args.json:
        print_json(measured)
        return
    for photos, row in measured.items():
        memory = ", ".join(f"{kind} {mb} MB" for kind, mb in row["memory_mb"].items())
        print(f"{photos:>9,} photographs, {row['questions']:,} questions: {row['questions_per_second']:.0f} a second, "
              f"memory {memory} (mapped files apart)")  # fmt: skip
