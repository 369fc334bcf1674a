"""The tool behind `make book`: notebooks, as they are stored, become pages; nothing is run.

    python course/book/build.py [FOLDER]

The pages are written into FOLDER/html (by default course/book/_build/html), and open from disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sphinx.cmd.build import build_main

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import book_sources  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the pages; a warning is an error. Return 0, or else a number that is not 0."""
    parser = argparse.ArgumentParser(prog="python course/book/build.py", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "_build")
    folder = parser.parse_args(arguments).folder
    with tempfile.TemporaryDirectory(prefix="wcord-book-") as sources:
        try:
            book_sources.write(Path(sources))
        except ValueError as error:
            print(f"course/book: {error}", file=sys.stderr)
            return 1
        # -E: read every page, because a number may have moved from one to another
        options = ["-E", "-W", "--keep-going", "-q", "-b", "html", "-c", str(HERE)]
        return build_main([*options, "-d", str(folder / "doctrees"), sources, str(folder / "html")])


if __name__ == "__main__":
    sys.exit(main())
