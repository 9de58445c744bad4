"""``python -m qgc train``: on scenes and on photographs.

Whatever takes long to import is imported by the command that needs it, so that ``--help`` is quick.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ...terminal import Parser, at_least, path, print_json

ON_REGIONS = ("pythia", "film", "transformer")


def add_train(train: Parser) -> None:
    """Fill the parser of the command ``train``."""
    kinds = train.add_subparsers(required=True, metavar="data")
    scenes = kinds.add_parser("scenes", help="a scene-sized Deeper LSTM (natural, balanced, early) or another model")
    scenes.add_argument("name", choices=["natural", "balanced", "early", "bilinear", *ON_REGIONS])
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
    graded = kinds.add_parser("graded", help="protocol 2's models, blind to the question by degrees; resumes")
    graded.add_argument("cells", nargs="*", metavar="cell", help="such as natural-unbound (default: all four)")
    graded.add_argument("--seed", type=at_least(0), action="append", help="of the question side (default: all five)")
    graded.add_argument("--runs", type=path, default=Path("runs"), help="receives graded/CELL-seedK")
    graded.add_argument("--cache", type=path, default=Path("cache"), help="where rendered scenes are kept")
    graded.add_argument("--device", default="cpu")
    graded.add_argument("--workers", type=at_least(1), default=2, help="processes that render scenes")
    graded.set_defaults(run=_train_graded)
    _add_photos(kinds)


def _add_photos(kinds) -> None:
    # One parser for each data set of photographs.
    from ...data import NAMES
    from .photo_recipes import RECIPES

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
            "--recipe", choices=list(RECIPES["pythia"]),
            help="original: of the paper that made the model; modern: faster, for little data (daquar's default); "
            "rooms: for colors of objects (the default of rooms)",
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
        train.set_defaults(run=_train_photos, dataset=name)


def _train_scenes(args) -> None:
    if args.name in ON_REGIONS:
        _train_on_regions(args)
        return
    from ...models import zoo
    from .early import question_blind
    from .recipes import RECIPES
    from .run import card_of, export, export_with_lent_cnn, train_scenes

    base = "balanced" if args.name == "balanced" else "natural"
    family = "bilinear" if args.name == "bilinear" else "deeper-lstm"
    zoo.usable(args.device)  # a device that is not there is said before the scenes are rendered
    recipe = replace(RECIPES[base], question_seed=args.seed)
    cnn_checkpoint = args.cnn or (f"deeper-lstm/{base}" if args.seed or family == "bilinear" else "")
    kind = family if family == "bilinear" else base
    run = args.out or Path("runs") / (f"{kind}-seed{args.seed}" if cnn_checkpoint else kind)
    model = train_scenes(recipe, run, args.cache, args.device, args.workers, cnn_checkpoint, family=family)
    about = card_of(args.name, recipe, run)
    folder = zoo.SHIPPED if args.install else run
    if args.name == "early":
        step, trace = question_blind(model, run)
        about |= {"step": step, "selection": trace}
    if family == "bilinear":
        about["recipe"] = {**about["recipe"], "cnn": cnn_checkpoint}
        stem = export_with_lent_cnn(model, family, about, folder)
    else:
        stem = export(model, args.name, about, folder)
    _say_trained(stem, args.install)


def _train_on_regions(args) -> None:
    from ...models import zoo
    from .recipes import REGIONS
    from .regions import train_on_regions
    from .run import card_of, export_with_lent_cnn

    zoo.usable(args.device)  # a device that is not there is said before the run's folder is claimed
    recipe = replace(REGIONS[args.name], seed=args.seed)
    run = args.out or Path("runs") / (args.name if args.seed == 0 else f"{args.name}-seed{args.seed}")
    model = train_on_regions(args.name, recipe, run, args.cache, args.device, args.workers)
    folder = zoo.SHIPPED if args.install else run
    _say_trained(export_with_lent_cnn(model, args.name, card_of(args.name, recipe, run), folder), args.install)


def _say_trained(stem: Path, installed: bool) -> None:
    name = f"{stem.parent.name}/{stem.name}" if installed else f"{stem}.json"
    print(f"wrote {stem}.json and its weights; try: python -m qgc evaluate {name}")


def _train_graded(args) -> None:
    from ...models import zoo
    from . import graded

    zoo.usable(args.device)  # a device that is not there is said before the scenes are rendered
    for cell in [graded.cell(name) for name in args.cells] or graded.CELLS:
        for seed in args.seed or range(graded.SEEDS):
            graded.train(cell, seed, args.runs, args.cache, args.device, args.workers)
            print(f"trained {graded.run_of(args.runs, cell, seed)}")


def _train_photos(args) -> None:
    from ...models.zoo import usable
    from .distributed import process_group
    from .photo_recipes import RECIPES, USUAL, USUAL_CNN
    from .photo_run import TrainingConfig, train_photos

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
