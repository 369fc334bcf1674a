"""Trackio: https://huggingface.co/docs/trackio; its database is local unless a Space is named."""

from __future__ import annotations

from typing import Any

from wcord.runs import Run
from wcord.tracking.content import flat, import_tracker, results_of, tags_of
from wcord.training.callbacks import Callback, Values


class Trackio(Callback):
    """Sends a run to Trackio; its name and group there are the name of the run.

    Args:
        project: name of the project in Trackio.
        init: other arguments of `trackio.init`, such as space_id="USER/SPACE".

    Raises:
        ValueError: trackio is not installed.
    """

    def __init__(self, project: str = "wcord", **init: Any) -> None:
        self._trackio = import_tracker("trackio")
        self.init = {"project": project} | init

    def on_start(self, run: Run) -> None:
        """Begin a run with the settings, and with tags, as config."""
        config = flat(run.plain_settings) | {"tags": tags_of(run)}
        self._run = self._trackio.init(
            **{"name": run.name, "group": run.name, "config": config, "embed": False} | self.init
        )
        self._step = run.status.step

    def on_step(self, run: Run, step: int, values: Values) -> None:
        """Log the values of a step."""
        self._step = step
        self._run.log(values, step=step)

    on_probe = on_step

    def on_end(self, run: Run, summary: dict[str, Any] | None) -> None:
        """Log the results at the last step, and end the run."""
        if results := results_of(summary):
            self._run.log(results, step=self._step)
        self._run.finish()
