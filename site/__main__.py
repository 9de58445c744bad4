"""Write what works on the pages without a kernel: its scripts, styles and data (CONTRIBUTING.md)."""

import argparse
import time
from pathlib import Path

import explorer
import parts
import predict
from explorer import check


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python site", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("explorer", help="the explorer, for the pages beside a folder")
    one.add_argument("folder", type=Path, help="where to; the built pages look for it beside the folder `book`")
    one.add_argument("--scenes", nargs="+", help="only these situations")
    one.add_argument("--models", nargs="+", help="only these models")
    one.add_argument("--keep", action="store_true", help="the data are there already; only stamp the pages")
    two = commands.add_parser("predict", help="the exercises, and load them on the pages that hold one")
    two.add_argument("site", type=Path, help="the folder of the built pages")
    two.add_argument("--keep", action="store_true", help="the data are there already; only load them on the pages")
    three = commands.add_parser("check", help="how far the explorer's numbers are from qgc's in float64")
    three.add_argument("folder", type=Path, help="what `explorer` wrote")
    return parser.parse_args()


def main() -> None:
    """Do it, and say what it came to."""
    options, start = arguments(), time.perf_counter()
    if options.command == "check":
        check.report(options.folder)
        return
    if options.command == "explorer":
        folder = options.folder if options.keep else explorer.write(options.folder, options.scenes, options.models)
        pages = parts.stamp(folder.resolve().parent, folder)
    else:
        folder = options.site / "predict" if options.keep else predict.write(options.site / "predict")
        pages = predict.load_scripts(options.site, folder)
    files = list(folder.iterdir())
    size, seconds = sum(path.stat().st_size for path in files) / 1e6, time.perf_counter() - start
    print(f"{options.command}: {len(files)} files, {size:.1f} MB, on {len(pages)} pages, {seconds:.0f} s")


if __name__ == "__main__":
    main()
