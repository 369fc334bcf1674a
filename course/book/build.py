"""The tool behind `make book`: notebooks, as they are stored, become pages; nothing is run.

    python -m course.book.build [FOLDER]

The pages are written into FOLDER/html (by default course/book/_build/html), and open from disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sphinx.cmd.build import build_main

from lab.course import notebook_files

from . import sources

HERE = Path(__file__).resolve().parent


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the pages; a warning is an error. Return 0, or else a number that is not 0."""
    parser = argparse.ArgumentParser(prog="python -m course.book.build", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "_build")
    parser.add_argument("--notebooks", type=Path, default=notebook_files.FOLDER)
    given = parser.parse_args(arguments)
    out, notebooks = given.folder, given.notebooks.resolve()
    with tempfile.TemporaryDirectory(prefix="wcord-book-") as read:
        try:
            sources.write(Path(read), notebooks, lecturers=notebooks == notebook_files.FOLDER)
        except ValueError as error:
            print(f"course/book: {error}", file=sys.stderr)
            return 1
        # -E: read every page, because a number may have moved from one to another
        options = ["-E", "-W", "--keep-going", "-q", "-b", "html", "-c", str(HERE)]
        options += ["-d", str(out / "doctrees"), "-D", f"book_notebooks={notebooks}"]
        return build_main([*options, read, str(out / "html")])


if __name__ == "__main__":
    sys.exit(main())
