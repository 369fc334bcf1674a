"""Run the suite without its browser tests on several Pythons and with the lowest versions.

    python tests/matrix.py PYTHON ...

PYTHON is a version, which uv finds here or fetches, or the path of an interpreter. Each gets the
locked versions; the first also gets the lowest that `pyproject.toml` allows. The environments and
what uv and pytest print stay in `.matrix/`. The exit status is 0 if every suite passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = str(Path(sys.executable).with_name("uv"))
REQUIREMENTS = {
    "locked": ["requirements.lock"],
    "lowest": ["pyproject.toml", "--all-extras", "--resolution", "lowest-direct"],
}
SUITE = ["-n", "2", "--dist", "loadfile", "-m", "not browser"]


def run_suite(python: str, versions: str) -> str:
    """Return how the suite ended in a new environment: passed, failed or not found."""
    folder = ROOT / ".matrix" / f"{python.strip('/').replace('/', '-')}-{versions}"
    folder.parent.mkdir(exist_ok=True)
    log = folder.with_name(f"{folder.name}.txt")
    env = os.environ | {"VIRTUAL_ENV": str(folder), "OMP_NUM_THREADS": "1"}
    with log.open("w") as output:
        status = partial(subprocess.call, cwd=ROOT, env=env, stdout=output, stderr=output)
        if status([UV, "venv", "--clear", "--python", python, str(folder)]):
            return f"not found, see {log}"
        failed = (
            status([UV, "pip", "install", "--compile-bytecode", "-r", *REQUIREMENTS[versions]])
            or status([UV, "pip", "install", "--no-deps", "-e", "."])
            or status([str(folder / "bin" / "python"), "-m", "pytest", *SUITE])
        )
    last_line = log.read_text().splitlines()[-1]
    return f"failed, {last_line}, see {log}" if failed else f"passed, {last_line}"


def main(pythons: list[str]) -> int:
    """Run each combination, print a line for each and return the exit status."""
    endings = []
    for python, versions in [*((python, "locked") for python in pythons), (pythons[0], "lowest")]:
        endings.append(run_suite(python, versions))
        print(f"{python} {versions}: {endings[-1]}", flush=True)
    return int(not all(ending.startswith("passed") for ending in endings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
