"""python -m qgc.show.predict SITE: write the exercises into SITE/predict, and load them on the pages that hold one."""

import argparse
import time
from pathlib import Path

from .export import load_scripts, write

parser = argparse.ArgumentParser(prog="python -m qgc.show.predict", description=__doc__)
parser.add_argument("site", type=Path, help="the folder of the built pages")
parser.add_argument("--keep", action="store_true", help="the data lie there already; only load them on the pages")
options = parser.parse_args()
site = options.site
start = time.perf_counter()
folder = site / "predict" if options.keep else write(site / "predict")
pages = load_scripts(site, folder)
size = sum(path.stat().st_size for path in folder.iterdir())
print(f"predict, then reveal: {size / 1e6:.1f} MB, on {len(pages)} pages, {time.perf_counter() - start:.0f} s")
