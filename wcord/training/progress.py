"""Progress on stderr: a bar in a terminal or notebook, and plain lines in a file or a pipe."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tqdm.auto import tqdm

if TYPE_CHECKING:
    from tqdm import tqdm as Bar

EVERY = 5.0  # seconds between two lines
SHARE = 0.02  # of the time so far: a long run prints lines less often


class ProgressLines:
    """Prints a line of progress every five seconds at most, and one at the end.

    Args:
        name: begins every line.
        total: number of steps.
        initial: steps that were done before.
    """

    def __init__(self, name: str, total: int = 0, initial: int = 0) -> None:
        self.name = name
        self.total: float = total
        self.n: float = initial
        self._start = self._printed = time.monotonic()
        self._first: tuple[float, float] | None = None  # steps and time after the first, slow step

    def update(self, n: float = 1) -> None:
        """Add steps, and print a line if one is due."""
        self.n += n
        now = time.monotonic()
        self._first = self._first or (self.n, now)
        if now - self._printed >= max(EVERY, SHARE * (now - self._start)):
            self._print(now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        if kind is None and self._first:
            self._print(time.monotonic())

    def _print(self, now: float) -> None:
        self._printed = now
        first, since = self._first or (self.n, now)
        left = ""
        if self.n >= self.total:
            left = f", took {duration(now - self._start)}"
        elif self.n > first:
            left = f", {duration((now - since) / (self.n - first) * (self.total - self.n))} left"
        share = int(100 * self.n / max(self.total, 1))
        with suppress(OSError):  # a reader that has closed the pipe must not end the training
            print(
                f"{self.name}: step {self.n} of {self.total} ({share} %){left}",
                file=sys.stderr,
                flush=True,
            )


def show_progress(
    enabled: bool, name: str, total: int = 0, initial: int = 0, leave: bool = True
) -> ProgressLines | Bar[Any]:
    """Return a bar, or lines where stderr is neither a terminal nor a notebook.

    Args:
        enabled: whether to show anything.
        name: what is in progress.
        total: number of steps; 0 while unknown.
        initial: steps that were done before.
        leave: whether a bar stays at its end.
    """
    shows_bars = sys.stderr is None or sys.stderr.isatty() or _in_notebook()
    if enabled and not shows_bars:
        return ProgressLines(name, total, initial)
    return tqdm(desc=name, total=total or None, initial=initial, leave=leave, disable=not enabled)


def _in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    kernel = sys.modules.get("ipykernel.kernelapp")
    return kernel is not None and kernel.IPKernelApp.initialized()


def duration(seconds: float) -> str:
    """Return a time with its unit.

    >>> duration(42.3), duration(400), duration(9000)
    ('42 s', '7 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
