"""Write what works on the pages without a kernel: its scripts, styles and data (CONTRIBUTING.md).

Models are imported where they are needed, so that pages alone take a second.
"""

import argparse
import time
from pathlib import Path

import loading


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python site", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("explorer", help="the explorer, for the pages next to a folder")
    one.add_argument("folder", type=Path, help="where to; the built pages look for it next to the folder `book`")
    one.add_argument("--scenes", nargs="+", help="only these scenes")
    one.add_argument("--models", nargs="+", help="only these models")
    one.add_argument("--keep", action="store_true", help="the data are there already; only stamp the pages")
    one.set_defaults(write=explorer)
    two = commands.add_parser("predict", help="the exercises, and load them on the pages that hold one")
    two.add_argument("site", type=Path, help="the folder of the built pages")
    two.add_argument("--keep", action="store_true", help="the data are there already; only load them on the pages")
    two.set_defaults(write=predict)
    slider = commands.add_parser("training", help="the slider through training, and load it on the pages that hold one")
    slider.add_argument("site", type=Path, nargs="?", help="the folder of the built pages")
    slider.add_argument("--keep", action="store_true", help="the data are there already; only load them on the pages")
    slider.add_argument("--record", action="store_true", help="write its data from training runs into book/results")
    slider.add_argument("--runs", type=Path, default=Path("runs"), help="the folder of the training runs")
    slider.set_defaults(write=training)
    three = commands.add_parser("check", help="how far the explorer's numbers are from qgc's in float64")
    three.add_argument("folder", type=Path, help="what `explorer` wrote")
    three.set_defaults(write=check)
    return parser.parse_args()


def explorer(options: argparse.Namespace) -> None:
    """Write the explorer's files, and have its page ask for them."""
    if not options.keep:
        from explorer import write

        write(options.folder, options.scenes, options.models)
    report(options.folder, loading.stamp(options.folder.resolve().parent, options.folder))


def predict(options: argparse.Namespace) -> None:
    """Write the exercises' files, and have their pages ask for them."""
    folder = options.site / "predict"
    if not options.keep:
        from predict import write

        write(folder)
    report(folder, loading.load_scripts(options.site, folder))


def training(options: argparse.Namespace) -> None:
    """Record the slider's data from training runs, or write its files and have its pages ask for them."""
    if options.record:
        from training import record

        print("\n".join(record(options.runs)) or "all cells are recorded")
    if options.site:
        folder = options.site / "training"
        if not options.keep:
            from training import write

            write(folder)
        report(folder, loading.load_scripts(options.site, folder))


def check(options: argparse.Namespace) -> None:
    """Print how exact the explorer's numbers are."""
    from explorer import check

    check.report(options.folder)


def report(folder: Path, pages: list[Path]) -> None:
    """Say what was written."""
    files = list(folder.iterdir())
    size = sum(path.stat().st_size for path in files) / 1e6
    print(
        f"{folder.name}: {len(files)} files, {size:.1f} MB, on {len(pages)} pages, {time.perf_counter() - START:.0f} s"
    )


if __name__ == "__main__":
    START = time.perf_counter()
    chosen = arguments()
    chosen.write(chosen)
