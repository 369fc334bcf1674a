"""`python -m studies [NAME ...]`: run studies and write their tables; without a name, list them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from studies.measure import measured
from studies.report import report
from studies.study import declared, find


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the studies asked for; what was run before is not run again."""
    parser = argparse.ArgumentParser("python -m studies", description="run studies of results/")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a study; 'all' for every one")
    parser.add_argument("--out", type=Path, default=Path("results"), help="where tables go")
    parser.add_argument("--text", action="store_true", help="write the text of a table again")
    asked = parser.parse_args(arguments)
    if not asked.names:
        for name, study in declared().items():
            print(f"{name:14} {study.title}")
    try:
        studies = declared() if asked.names == ["all"] else {n: find(n) for n in asked.names}
        for name, study in studies.items():
            path = asked.out / f"{name}.csv"
            if not asked.text:
                measured(study).to_csv(path, index=False)
            text = report(name, study, pd.read_csv(path))
            path.with_suffix(".md").write_text(text, encoding="utf-8")
            print(text)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"studies: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
