"""python -m qgc.show.explorer FOLDER: write the explorer's scripts, styles and data, for the pages beside it."""

import argparse
import time
from pathlib import Path

from ..parts import stamp
from .export import write

parser = argparse.ArgumentParser(prog="python -m qgc.show.explorer", description=__doc__)
parser.add_argument("folder", help="where to; the built pages look for it beside the folder `book`")
parser.add_argument("--scenes", nargs="+", help="only these situations")
parser.add_argument("--models", nargs="+", help="only these models")
parser.add_argument("--keep", action="store_true", help="the data lie there already; only stamp the pages")
arguments = parser.parse_args()
start = time.perf_counter()
if arguments.keep:
    folder = Path(arguments.folder)
else:
    folder = write(arguments.folder, arguments.scenes, arguments.models)
stamp(folder.resolve().parent, folder)
size = sum(path.stat().st_size for path in folder.iterdir())
print(f"the explorer: {len(list(folder.iterdir()))} files, {size / 1e6:.1f} MB, {time.perf_counter() - start:.0f} s")
