"""`python -m studies [NAME ...]`: run studies, write their tables and pictures; or list them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from studies.measure import run_study
from studies.picture import SOURCES, draw_pictures
from studies.report import report
from studies.study import find_studies, load_studies


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named studies; a finished run is not repeated."""
    parser = argparse.ArgumentParser("python -m studies", description="run studies of results/")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="a study, the first word of several, or 'all'"
    )
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the tables")
    parser.add_argument("--text", action="store_true", help="only rewrite the text from the table")
    options = parser.parse_args(arguments)
    if not options.names:
        for name, study in load_studies().items():
            print(f"{name:18} {study.title}")
    try:
        studies = {n: s for name in options.names for n, s in find_studies(name).items()}
        for name, study in studies.items():
            path = options.out / f"{name}.csv"
            if not options.text:
                run_study(study).to_csv(path, index=False)
            text = report(name, study, pd.read_csv(path))
            path.with_suffix(".md").write_text(text, encoding="utf-8")
            print(text)
        if set(SOURCES) & set(studies):
            print(*draw_pictures(options.out), sep="\n")
    except (ValueError, RuntimeError, OSError) as error:
        print(f"studies: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
