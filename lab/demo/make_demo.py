"""The finished run that ships with the lab: `python -m lab.demo.make_demo`.

Four arms of digits-compression, ten snapshots and their maps, at most 2 MB, without anything
that tells of the machine it was made on.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import wcord
from wcord.runs.storage import read_json, write_json

from ..reading import map_worker

HOME = Path(__file__).parent / "digits-compression"
KEPT = ("settings.yaml", "metrics.jsonl", "status.json", "summary.json", "snapshots", "maps")
CHANGES = {
    "arms.wcord+kd": None,
    "probe": {"batch": 64, "features": 64, "every": 4.5, "losses": 1},
}


def main() -> int:
    """Train, draw the maps, keep what pages read, and say how large it is."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["WCORD_RUNS"] = folder
        experiment = wcord.load("digits-compression").replace(CHANGES)
        run = wcord.distill(experiment, Path(folder) / "run")
        map_worker.work(run.path)
        status = read_json(run.path / "status.json")
        write_json(run.path / "status.json", status | {"pid": None, "host": None})
        shutil.rmtree(HOME, ignore_errors=True)
        HOME.mkdir(parents=True)
        for name in KEPT:
            source = run.path / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, HOME / name)
    for stray in (*HOME.rglob(".*"), *HOME.rglob("*.lock"), *HOME.rglob("*.json.tmp")):
        stray.unlink()
    size = sum(path.stat().st_size for path in HOME.rglob("*") if path.is_file())
    print(f"{HOME.name}: {size / 1e6:.2f} MB")
    return 0 if size <= 2e6 else 1


if __name__ == "__main__":
    sys.exit(main())
