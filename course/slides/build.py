"""The tool behind `make slides`: slides, script and cheat sheet, from the notebooks' own parts.

    python -m course.slides.build [FOLDER]

Written into FOLDER (by default course/slides/_build): html/index.html, the slides, which open from
disk; script.md; cheat-sheet.pdf.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sphinx.cmd.build import build_main

from course import cheat_sheet
from lab.course import moving_figures

from . import sources

HERE = Path(__file__).resolve().parent
THEME = "white"  # of reveal.js


def main(arguments: Sequence[str] | None = None) -> int:
    """Build all; a warning is an error. Return 0, or else a number that is not 0."""
    parser = argparse.ArgumentParser(prog="python -m course.slides.build", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "_build")
    folder = parser.parse_args(arguments).folder
    html = folder / "html"
    with tempfile.TemporaryDirectory(prefix="wcord-slides-") as read:
        try:
            sources.write(Path(read))
            script = sources.script()
            sheet = cheat_sheet.pdf()
        except ValueError as error:
            print(f"course/slides: {error}", file=sys.stderr)
            return 1
        options = ["-E", "-W", "--keep-going", "-q", "-b", "revealjs", "-c", str(HERE)]
        failed = build_main([*options, "-d", str(folder / "doctrees"), read, str(html)])
    if not failed:
        _remove_unused(html / "_static" / "revealjs")
        moving_figures.write(html / "_static" / "moving")
        (folder / "script.md").write_text(f"# Script of the lecture\n\n{script}", "utf-8")
        (folder / "cheat-sheet.pdf").write_bytes(sheet)
    return failed


def _remove_unused(reveal: Path) -> None:
    """Leave out what the slides do not use of reveal.js: some themes fetch fonts."""
    for theme in (reveal / "dist" / "theme").glob("*.css"):
        if theme.stem != THEME:
            theme.unlink()
    for plugin in (reveal / "plugin").iterdir():
        if plugin.name != "notes":
            shutil.rmtree(plugin)


if __name__ == "__main__":
    sys.exit(main())
