"""MLflow: https://mlflow.org. A local store (sqlite:///PATH) also needs sqlalchemy and alembic."""

from __future__ import annotations

import re
import time
from typing import Any

from wcord.errors import first_line
from wcord.runs import Run
from wcord.settings.messages import SettingsError
from wcord.tracking.content import flat, import_tracker, results_of, tags_of
from wcord.training.callbacks import Callback, Values

LONGEST = 500  # characters of a parameter that every store takes
BATCH = 100  # parameters in one request; 1,000 metrics would be allowed


class MLflow(Callback):
    """Sends a run to MLflow; its name there is the name of the run.

    Characters that MLflow does not allow in the name of a metric become "_": the arm "wcord+kd" is
    "wcord_kd" there.

    Args:
        experiment: name of the experiment in MLflow; it is created if it does not exist.
        uri: address of the server or store; None: that of the variable MLFLOW_TRACKING_URI, or
            the default of MLflow.

    Raises:
        ValueError: mlflow is not installed, or cannot use the store.
    """

    def __init__(self, experiment: str = "wcord", uri: str | None = None) -> None:
        self._mlflow = import_tracker("mlflow")
        self.experiment = experiment
        try:  # before anything is trained
            self._client = self._mlflow.MlflowClient(uri)
        except Exception as error:
            raise SettingsError(f"mlflow cannot use {uri}: {first_line(error):.300}") from error

    def on_start(self, run: Run) -> None:
        """Begin a run with the settings as parameters, and the experiment and its arms as tags."""
        known = self._client.get_experiment_by_name(self.experiment)
        number = known.experiment_id if known else self._client.create_experiment(self.experiment)
        name, *arms = tags_of(run)
        tags = {"experiment": name, "arms": ", ".join(arms), "group": run.name}
        self._run = self._client.create_run(number, tags=tags, run_name=run.name).info.run_id
        self._step = run.status.step
        param = self._mlflow.entities.Param
        settings = [
            param(_allowed(name), str(value)[:LONGEST])
            for name, value in flat(run.plain_settings).items()
        ]
        for first in range(0, len(settings), BATCH):
            self._client.log_batch(self._run, params=settings[first : first + BATCH])

    def on_step(self, run: Run, step: int, values: Values) -> None:
        """Log the values of a step."""
        self._step, now = step, int(1000 * time.time())
        metric = self._mlflow.entities.Metric
        metrics = [metric(_allowed(name), value, now, step) for name, value in values.items()]
        for first in range(0, len(metrics), BATCH):
            self._client.log_batch(self._run, metrics=metrics[first : first + BATCH])

    on_probe = on_step

    def on_end(self, run: Run, summary: dict[str, Any] | None) -> None:
        """Log the results at the last step, and end the run."""
        self.on_step(run, self._step, results_of(summary))
        states = {"finished": "FINISHED", "stopped": "KILLED"}
        self._client.set_terminated(self._run, states.get(run.status.state, "FAILED"))


def _allowed(name: str) -> str:
    """Return a name with the characters that MLflow allows.

    >>> _allowed("wcord+kd/test_accuracy")
    'wcord_kd/test_accuracy'
    """
    return re.sub(r"[^\w./ -]", "_", name)
