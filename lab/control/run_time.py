"""How long a run will take, timed in a process of its own: the pages go on meanwhile.

`stopwatch().ask(settings)` is None until a few steps have been timed. That process is
`python -m wcord.lab.control.run_time < settings.yaml`, which prints what `wcord.estimate` finds, as
JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wcord.analysis.estimate import Estimate

KEPT = 64  # answers that are remembered
PATIENCE = 600  # seconds before a timing is given up


class Stopwatch:
    """Times the first steps of settings, one run after the other, and keeps the answers."""

    def __init__(self) -> None:
        self._answers: dict[str, Estimate | str] = {}
        self._busy = threading.Lock()

    def ask(self, settings: str) -> Estimate | None:
        """Return what settings (YAML) will take; None, and begin to time them, while unknown.

        Raises:
            ValueError: they cannot be run, in one line.
        """
        answer = self._answers.get(settings)
        if isinstance(answer, str):
            raise ValueError(answer)
        if answer is None and self._busy.acquire(blocking=False):
            threading.Thread(target=self._work, args=(settings,), daemon=True).start()
        return answer

    def _work(self, settings: str) -> None:
        try:
            answer = timed(settings)
            if len(self._answers) >= KEPT:
                self._answers.pop(next(iter(self._answers)))
            self._answers[settings] = answer
        finally:
            self._busy.release()


def timed(settings: str) -> Estimate | str:
    """Time settings in a process of its own; return the estimate, else what is wrong with them."""
    from wcord.analysis.estimate import Estimate

    try:
        done = subprocess.run(
            [sys.executable, "-m", f"{__package__}.run_time"],
            input=settings,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"a few steps took over {PATIENCE // 60} minutes: this machine is too slow for them"
    except OSError as error:
        return f"the run could not be timed: {error}"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["the run could not be timed"]
        return lines[-1]
    return Estimate(**json.loads(done.stdout.splitlines()[-1]))


@cache
def stopwatch() -> Stopwatch:
    """Return the server's one stopwatch."""
    return Stopwatch()


def main() -> int:
    """Time the settings on standard input; return 1 where they cannot be run."""
    import yaml

    from wcord import estimate
    from wcord.settings.experiment import parse

    try:
        print(json.dumps(asdict(estimate(parse(yaml.safe_load(sys.stdin.read()))))))
    except (ValueError, OSError, RuntimeError) as error:
        print(str(error).splitlines()[0], file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
