"""Weights & Biases: https://docs.wandb.ai"""

from __future__ import annotations

from typing import Any

from wcord.runs import Run
from wcord.tracking.content import import_tracker, results_of, tags_of
from wcord.training.callbacks import Callback, Values


class WandB(Callback):
    """Sends a run to Weights & Biases; its name and group there are the name of the run.

    Args:
        project: name of the project in Weights & Biases.
        init: other arguments of `wandb.init`, such as mode="offline" or entity="team".

    Raises:
        ValueError: wandb is not installed.
    """

    def __init__(self, project: str = "wcord", **init: Any) -> None:
        self._wandb = import_tracker("wandb")
        self.init = {"project": project} | init

    def on_start(self, run: Run) -> None:
        """Begin a run with the settings as config, and the experiment and its arms as tags."""
        own = {"name": run.name, "group": run.name, "config": run.plain_settings}
        tags = [tag[:64] for tag in tags_of(run)]  # the longest that wandb takes
        self._run = self._wandb.init(**own | {"tags": tags} | self.init)

    def on_step(self, run: Run, step: int, values: Values) -> None:
        """Log the values of a step."""
        self._run.log(values, step=step)

    on_probe = on_step

    def on_end(self, run: Run, summary: dict[str, Any] | None) -> None:
        """Write the results into the summary, and end the run."""
        self._run.summary.update(results_of(summary) | {"state": run.status.state})
        self._run.finish(exit_code=int(run.status.state == "failed"))
