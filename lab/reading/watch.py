"""A run being watched: what a page needs of it, read piece by piece and kept.

Metrics are read from where the last reading ended, snapshots once, so that looking costs the
same in the first minute and in the last hour. One `Watch` serves every page that shows the run.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from wcord.runs import ArmSnapshot, Run, Snapshot, Status

from ..words.class_names import NUMBERS, ClassNames, names_of
from ..words.vocabulary import RESULTS
from . import map_worker, sample_images
from .arrange import spread_evenly
from .layouts import Frame, aligned, pca

if TYPE_CHECKING:
    import pandas as pd

KNOWN_SCHEMA = 1  # `wcord.settings.experiment.SCHEMA_VERSION`, which waits for torch
MOST_POINTS = 400  # of a curve on a page
OF_WRONG_PAIRS = ("true_partner_mass", "wrong_partner_mass")  # measured within the batch only
KEPT_SNAPSHOTS = 4
MOST_CLASSES = 1_000_000  # or epochs: more is a damaged file
KEPT_PICTURES = 48
TAIL = 64  # bytes that prove that the file was only appended to


class Series(NamedTuple):
    """Values of one metric of one arm, in the order they were written."""

    steps: list[int]
    epochs: list[float]
    values: list[float]


class Metrics:
    """The metrics file of a run, read further at every `poll`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()

    def _forget(self) -> None:
        self.offset, self._tail = 0, b""
        self.version = getattr(self, "version", 0) + 1
        self.series: dict[tuple[str, str], Series] = {}

    def poll(self) -> int:
        """Take in lines written since; return a number that grows with every change.

        A resumed run cuts its file before it goes on: then all is read again.
        """
        try:
            with open(self.path, "rb") as file:
                start = self.offset - len(self._tail)
                file.seek(start)
                content = file.read()
                if not content.startswith(self._tail):
                    self._forget()
                    file.seek(0)
                    content = file.read()
        except OSError:
            return self.version
        fresh = content[len(self._tail) :]
        whole = fresh[: fresh.rfind(b"\n") + 1]
        if whole:
            self._take(whole)
            self.offset += len(whole)
            self._tail = (self._tail + whole)[-TAIL:]
            self.version += 1
        return self.version

    def _take(self, lines: bytes) -> None:
        for line in lines.splitlines():
            try:
                entry = json.loads(line)
                key = (str(entry["arm"]), str(entry["name"]))
                step, epoch, value = int(entry["step"]), float(entry["epoch"]), entry["value"]
                value = float("nan") if value is None else float(value)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                continue  # a damaged line costs one value, not the picture
            series = self.series.setdefault(key, Series([], [], []))
            series.steps.append(step)
            series.epochs.append(epoch)
            series.values.append(value)

    def curves(self, name: str, arms: list[str]) -> pd.DataFrame:
        """Return one metric as a table: epoch, then a column an arm; at most 400 rows."""
        import pandas as pd

        found = {arm: self.series[arm, name] for arm in arms if (arm, name) in self.series}
        if not found:
            return pd.DataFrame({"epoch": np.empty(0)})
        columns = {
            arm: pd.Series(s.values, index=np.asarray(s.steps)).groupby(level=0).last()
            for arm, s in found.items()
        }
        epochs = {
            step: e for s in found.values() for step, e in zip(s.steps, s.epochs, strict=True)
        }
        table = pd.DataFrame(columns)
        table = table.iloc[spread_evenly(len(table), MOST_POINTS)]
        table.insert(0, "epoch", [epochs[step] for step in table.index])
        return table.reset_index(drop=True)

    def value_at(self, arm: str, name: str, step: int) -> float:
        """Return the last value of a metric up to a step, NaN where there is none."""
        series = self.series.get((arm, name), Series([], [], []))
        place = bisect_right(series.steps, step)
        return series.values[place - 1] if place else float("nan")


def _check_types(settings: Mapping[str, Any]) -> None:
    """Check the settings that pictures need, beside those of the arms."""
    if not settings["arms"]:
        raise ValueError("there is no arm")
    if not isinstance(settings.get("pairing", {}), Mapping):
        raise ValueError("`pairing` is not a table")
    for name in ("epochs", "classes"):
        count = settings["epochs"] if name == "epochs" else settings.get(name, 0)
        if not isinstance(count, int) or not 0 <= count <= MOST_CLASSES:
            raise ValueError(f"`{name}` is {count!r}, not a whole number up to {MOST_CLASSES:,}")


def _check_terms(arm: str, terms: Any) -> None:
    """Refuse an arm whose terms are not written out: a damaged run, or one of another program."""
    arm.encode()
    if not isinstance(terms, dict) or not all(isinstance(term, dict) for term in terms.values()):
        raise ValueError(f"arm {arm!r} is no table of terms with their settings")
    for name, term in terms.items():
        name.encode()
        float(term.get("weight", 1.0))


class Layout(NamedTuple):
    """A frame of the map, how it was made ("UMAP" or "PCA") and the step it shows."""

    frame: Frame
    method: str
    step: int


class Watch:
    """One run as pages see it. All methods may be called from several threads.

    Args:
        path: the run directory.

    Raises:
        ValueError: there is no run there, or its settings cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.run = Run(path)
        try:
            self.settings: dict[str, Any] = self.run.plain_settings
            self.arms: list[str] = list(self.settings["arms"])
            for arm in self.arms:
                _check_terms(arm, self.settings["arms"][arm])
            _check_types(self.settings)
        except Exception as error:
            why = error if isinstance(error, ValueError) else f"{type(error).__name__} in them"
            raise ValueError(f"the settings of {path.name} cannot be read: {why}") from error
        schema = self.settings.get("schema_version", KNOWN_SCHEMA)
        if not isinstance(schema, int) or schema > KNOWN_SCHEMA:
            raise ValueError(
                f"{path.name} was written by a newer version of the lab (schema {schema}, this one "
                f"reads up to {KNOWN_SCHEMA}): update it to look at this run"
            )
        self.metrics = Metrics(path / "metrics.jsonl")
        self._snapshots: OrderedDict[tuple[int, Any], Snapshot] = OrderedDict()
        self._pictures: OrderedDict[Any, Any] = OrderedDict()
        self._flat: dict[str, Frame] = {}
        self._names = NUMBERS
        self._words: dict[Any, str] = {}
        self._images: sample_images.SampleImages | None = None
        self._pulses: deque[tuple[float, float]] = deque(maxlen=10)
        self._lock = threading.RLock()

    @property
    def epochs(self) -> int:
        """The number of epochs in the settings."""
        return int(self.settings["epochs"])

    def measured(self, names: Iterable[str]) -> list[str]:
        """Return those of `names` that this run measures: masses of partners need wrong pairs."""
        pairing = self.settings.get("pairing", {})
        wrong = pairing.get("broken", 0) > 0 and pairing.get("within", "batch") == "batch"
        return [name for name in names if wrong or name not in OF_WRONG_PAIRS]

    @property
    def class_names(self) -> ClassNames:
        """The names of the student's classes, from memory once the run has written them."""
        if not self._names.known:
            self._names = names_of(self.run)
        return self._names

    @property
    def result(self) -> str:
        """The metric of the test set: accuracy, or that of labels that are no classes."""
        targets = str((self.run.data or {}).get("targets", "classes"))
        return RESULTS.get(targets, RESULTS["classes"])

    def terms(self, arm: str) -> dict[str, dict[str, Any]]:
        """Return the terms of an arm with their settings."""
        return dict(self.settings["arms"][arm])

    def speed(self, status: Status) -> float | None:
        """Return epochs a second over the last few seconds of looking; None while unknown."""
        with self._lock:
            now = (status["heartbeat"] or 0.0, status["epoch"])
            if not self._pulses or now[0] > self._pulses[-1][0]:
                self._pulses.append(now)
            seconds, epochs = (
                b - a for a, b in zip(self._pulses[0], self._pulses[-1], strict=True)
            )
            return epochs / seconds if seconds > 0.2 and epochs > 0 else None

    def snapshot(self, step: int) -> Snapshot:
        """Return a snapshot, from memory where it was read before.

        Raises:
            ValueError: it is not there (any more) or damaged.
        """
        with self._lock:
            key = (step, self.stamp(step))
            if key not in self._snapshots:
                try:
                    self._snapshots[key] = Snapshot.read(self._snapshot_file(step))
                except FileNotFoundError:
                    raise ValueError(f"the snapshot of step {step} is gone") from None
            self._snapshots.move_to_end(key)
            while len(self._snapshots) > KEPT_SNAPSHOTS:
                self._snapshots.popitem(last=False)
            return self._snapshots[key]

    def _snapshot_file(self, step: int) -> Path:
        return self.run.path / "snapshots" / f"{step}.safetensors"

    def stamp(self, step: int) -> tuple[int, int] | None:
        """Return what changes when the file of a snapshot does, None where there is none."""
        try:
            found = self._snapshot_file(step).stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size

    def picture(self, step: int, arm: str) -> ArmSnapshot:
        """Return an arm's arrays at a step, in float32, from memory where possible."""
        return self.kept(("arm", step, arm, self.stamp(step)), lambda: self.snapshot(step).arm(arm))

    def kept(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what `make` makes, made once for a key among the last few dozen."""
        with self._lock:
            if key not in self._pictures:
                self._pictures[key] = make()
            self._pictures.move_to_end(key)
            while len(self._pictures) > KEPT_PICTURES:
                self._pictures.popitem(last=False)
            return self._pictures[key]

    def kept_words(self, key: Any, make: Callable[[], str]) -> str:
        """Return what `make` returns, made once for a key; texts are small, so all are kept."""
        with self._lock:
            if key not in self._words:
                self._words[key] = make()
            return self._words[key]

    def curves(self, name: str) -> tuple[int, pd.DataFrame]:
        """Return one metric of all arms as a table, and the version of the file it is from."""
        with self._lock:
            version = self.metrics.poll()
            return version, self.kept(
                ("curves", name, version), lambda: self.metrics.curves(name, self.arms)
            )

    def sample_images(self) -> sample_images.SampleImages:
        """Return what teacher and student see of the samples, read once.

        Raises:
            ValueError: there is no snapshot yet, the data are not here, or are others.
        """
        with self._lock:
            if self._images is None:
                if not self.run.steps:
                    raise ValueError("no snapshot has been taken yet")
                self._images = sample_images.read(self.run, self.snapshot(self.run.steps[0]))
            return self._images

    def values_at(self, arm: str, step: int) -> dict[str, float]:
        """Return the last value of every metric of an arm up to a step."""
        with self._lock:
            self.metrics.poll()
            names = [name for of, name in self.metrics.series if of == arm]
            return {name: self.metrics.value_at(arm, name, step) for name in names}

    def layout(self, step: int, arm: str) -> Layout:
        """Return the map of an arm: the newest UMAP frame up to this step, else PCA at once."""
        with self._lock:
            drawn = [s for s in map_worker.drawn_steps(self.run.path, arm) if s <= step]
            if drawn:
                frame = self.kept(
                    ("umap", drawn[-1], arm),
                    lambda: map_worker.read_frame(self.run.path, arm, drawn[-1]),
                )
                if frame is not None and len(frame.teacher) == len(self.snapshot(step).labels):
                    return Layout(frame, "UMAP", drawn[-1])
            return Layout(self.principal_components(step, arm), "PCA", step)

    def principal_components(self, step: int, arm: str) -> Frame:
        """Return the principal components of an arm, turned onto those that were made first."""
        with self._lock:
            key = ("pca", step, arm, self.stamp(step))
            return self.kept(key, lambda: self._pca(step, arm))

    def _pca(self, step: int, arm: str) -> Frame:
        picture = self.picture(step, arm)
        frame = aligned(pca(picture.teacher, picture.student), self._flat.get(arm))
        return self._flat.setdefault(arm, frame) if arm not in self._flat else frame
