"""Callbacks: a caller's own code between two training steps, such as a tracker of experiments."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from wcord.compute import ranks
from wcord.errors import first_line
from wcord.runs import Run
from wcord.settings.messages import SettingsError, nearest

METHODS = ("on_start", "on_step", "on_probe", "on_end")
Values = dict[str, float]


class Callback:
    """Base of callbacks; each method does nothing. Any object with some of the methods will do.

    All are called between two steps, by the first rank only, after the values were written to the
    run, so `run.metrics()` holds them. `run.stop()` and `run.pause()` have an effect before the
    next step. Values are named ARM/NAME, such as "wcord/gckt".
    """

    def on_start(self, run: Run) -> None:
        """Called once before the first step, also of a resumed run; the teacher is trained."""

    def on_step(self, run: Run, step: int, values: Values) -> None:
        """Called where losses are logged, with their means since the last call.

        That is `probe.losses` times per epoch. The host reads the losses from the device only then,
        so a callback makes no step wait for the device that would not wait without it.
        """

    def on_probe(self, run: Run, step: int, values: Values) -> None:
        """Called after a probe, with its values: accuracies and measures of plan and features."""

    def on_end(self, run: Run, summary: dict[str, Any] | None) -> None:
        """Called once at the end, also of a run that failed, if `on_start` had no error.

        Args:
            run: its status is final, `run.status.state` is finished, stopped or failed.
            summary: `run.summary`; None where the last step was not reached.
        """


class Callbacks:
    """Calls the callbacks of a run, and keeps the first error until the run has ended cleanly.

    Args:
        callbacks: of the caller, called in this order.

    Raises:
        SettingsError: one of them is no callback.
    """

    def __init__(self, callbacks: Iterable[Any] = ()) -> None:
        if not isinstance(callbacks, Iterable) or isinstance(callbacks, str | Mapping):
            raise SettingsError(f"callbacks is a list of objects, not {callbacks!r:.60}")
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            _check(callback)
        self.error: Exception | None = None
        self.line: str | None = None  # the error, with the name of the callback
        self._started: list[Any] = []
        self._run: Run | None = None
        self._due: dict[str, Values] = {}  # values by method

    def start(self, run: Run) -> None:
        """Call on_start.

        Raises:
            Exception: that of a callback.
        """
        self._run = run
        for callback in self.callbacks if not ranks.rank() else ():
            self._call(callback, "on_start")
            self.raise_error()
            self._started.append(callback)

    def collect(self, method: str, arm: str, values: Mapping[str, float]) -> None:
        """Collect values of one arm for "on_step" or "on_probe"."""
        if self._started and values:
            named = {f"{arm}/{name}": float(value) for name, value in values.items()}
            self._due.setdefault(method, {}).update(named)

    def call_due(self, step: int) -> None:
        """Call on_step and on_probe where values were collected."""
        due, self._due = self._due, {}
        for method in ("on_step", "on_probe"):
            for callback in self._started if method in due else ():
                if self.error is None:
                    self._call(callback, method, step, dict(due[method]))

    def end(self, summary: dict[str, Any] | None) -> None:
        """Call on_end of every callback whose on_start had no error, once; errors are kept."""
        started, self._started = self._started, []
        for callback in started:
            self._call(callback, "on_end", summary)

    def raise_error(self) -> None:
        """Raise the first error of a callback, if there was one."""
        if self.error is not None:
            raise self.error

    def _call(self, callback: Any, method: str, *arguments: Any) -> None:
        """Call a method; random numbers and gradients of the training are not touched by it."""
        function = getattr(callback, method, None)
        if function is None:
            return
        try:
            with torch.random.fork_rng(devices=[]), torch.enable_grad():
                function(self._run, *arguments)
        except Exception as error:
            line = f"callback {type(callback).__name__}.{method}: {first_line(error)}"
            if self.error is None:
                self.error, self.line = error, line
            else:
                self.error.add_note(f"then {line}")


def _check(callback: Any) -> None:
    """Raise SettingsError where an object is no callback."""
    name = callback.__name__ if isinstance(callback, type) else type(callback).__name__
    if isinstance(callback, type):
        raise SettingsError(f"callbacks: {name} is a class: give an object, {name}(...)")
    if not any(callable(getattr(callback, method, None)) for method in METHODS):
        raise SettingsError(f"callbacks: {name} has none of the methods {', '.join(METHODS)}")
    for method in METHODS:
        if function := getattr(callback, method, None):
            _check_arguments(function, method, name)
    if isinstance(callback, Callback):
        for method in dir(callback):
            if method.startswith("on_") and method not in METHODS:
                raise SettingsError(f"callbacks: {name}.{method}: {nearest(method, METHODS)}")


def _check_arguments(function: Any, method: str, name: str) -> None:
    """Raise SettingsError where a method does not take the arguments of that of `Callback`."""
    _, *arguments = inspect.signature(getattr(Callback, method)).parameters  # without self
    try:
        signature = inspect.signature(function)
    except ValueError:  # of some functions of C none is known
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise SettingsError(
            f"callbacks: {name}.{method} must take ({', '.join(arguments)})"
        ) from error
