"""`python -m website`: build the site into `build/site`. Every warning, such as a link that leads nowhere, fails the build."""

import argparse
import gc
import shutil
import sys
import tempfile
from pathlib import Path

from website import reference, twins
from website.pages import ROOT, stage
from website.render import render

# Nearly all that is made lasts to the end; to look for garbage in it as often as usual takes a third of the time.
SELDOM = (100_000, 50, 100)


def main() -> int:
    """Build; the exit code."""
    parser = argparse.ArgumentParser(prog="make docs", description="Build the site of the documentation.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="where to (default: build/site)")
    out: Path = parser.parse_args().out
    gc.set_threshold(*SELDOM)
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder) / "pages"
        staged.mkdir()
        pages = stage(staged, reference.pages())
        if not render(staged, Path(folder) / "doctrees", out):
            return 1
        twins.write(pages, out)
    print(f"The site is in {out}: open {out / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
