"""Coverage-guided fuzzing of a run's files: any bytes give a valid result or one clear line.

    uv pip install atheris
    python -m benchmarks.fuzz settings -max_total_time=300

The first argument names the file: settings, control, metrics, snapshot or checkpoint. The other
arguments go to libFuzzer, which starts from the valid file of a short run. An error other than a
ValueError with one line ends the fuzzing, and libFuzzer prints the bytes that caused it.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["wcord"]):
    import wcord
    from wcord.runs import Run, Snapshot, checkpoints

TERMS = {"plain": {"ce": 1}, "wcord": {"ce": 1, "gckt": {"dim": 8}, "lckt": 0.05}}
Reader = Callable[[Run], object]


def read_checkpoint(run: Run) -> object:
    """Read the newest checkpoint; a damaged one is refused."""
    folder = run.path / "checkpoints"
    text = (run.path / "settings.yaml").read_text("utf-8")
    return checkpoints.read(folder, checkpoints.steps(folder)[-1], checkpoints.digest_of(text))


def read_snapshot(run: Run) -> object:
    """Read the newest snapshot with all its arms."""
    snapshot = Snapshot.read(run.path / "snapshots" / f"{run.steps[-1]}.safetensors")
    return [snapshot.arm(name) for name in snapshot.arms]


READERS: dict[str, tuple[str, Reader]] = {
    "settings": ("settings.yaml", lambda run: wcord.load(run.path / "settings.yaml")),
    "control": ("control.json", lambda run: (run.control, run.status.sentence)),
    "metrics": ("metrics.jsonl", lambda run: run.metrics()),
    "snapshot": ("snapshots/*", read_snapshot),
    "checkpoint": ("checkpoints/*", read_checkpoint),
}


def main() -> None:
    """Fuzz one file until libFuzzer's limit."""
    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"name a file to fuzz: {', '.join(READERS)}")
    pattern, read = READERS[sys.argv.pop(1)]
    folder = Path(tempfile.mkdtemp())
    short = wcord.load("digits-compression").replace(
        {"epochs": 1, "teacher.epochs": 1, "arms": TERMS, "probe.features": 16, "probe.batch": 8}
    )
    run = wcord.distill(short, folder / "run", progress=False)
    path = sorted(run.path.glob(pattern))[-1]
    corpus = folder / "corpus"
    corpus.mkdir()
    shutil.copy(path, corpus)

    def read_bytes(content: bytes) -> None:
        path.write_bytes(content)
        try:
            with redirect_stderr(StringIO()):
                read(Run(run.path))
        except ValueError as error:
            assert str(error).strip() and "\n" not in str(error), repr(error)

    atheris.Setup([*sys.argv, str(corpus)], read_bytes)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
