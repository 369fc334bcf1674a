"""SIGINT (Ctrl-C) and SIGTERM while a run is prepared and trained."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wcord.runs.writer import RunWriter

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalHandler:
    """Ends the preparation of a run at once, and its training after the current step.

    A second signal ends the training at once, too. At once means an exception: KeyboardInterrupt
    for SIGINT, SystemExit with the exit code 143 for SIGTERM.

    Attributes:
        received: the first signal, or None.
        wait_for_step: whether the first signal only requests a stop, which writes a checkpoint.

    Args:
        writer: of the run directory.
    """

    def __init__(self, writer: RunWriter) -> None:
        self.writer = writer
        self.received: int | None = None
        self.wait_for_step = False

    def __call__(self, number: int, frame: Any) -> None:
        """Handle a signal."""
        first, self.received = self.received is None, self.received or number
        if first and self.wait_for_step:
            self.writer.end_requested = True  # no file is written here: that could break a write
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            raise SystemExit(128 + number)


@contextmanager
def handled_signals(writer: RunWriter) -> Iterator[SignalHandler]:
    """Handle signals while a run is prepared and trained; only the main thread receives them.

    Args:
        writer: of the run directory.
    """
    handler = SignalHandler(writer)
    if threading.current_thread() is not threading.main_thread():
        yield handler
        return
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield handler
    finally:
        for number, former in before.items():
            signal.signal(number, former)
