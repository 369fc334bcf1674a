"""The packets of one viewer: what it has of its runs, and what it gets next.

A viewer is a view in a browser. It gets, without a request, what is new in the runs that it shows.
All else it requests:

    {"kind": "hello"}                                begin again: the view knows nothing
    {"kind": "frames", "frames": [[run, arm, step], ...]}
    {"kind": "images", "run": name}                  what both networks see of the samples
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..reading import map_worker
from ..reading.watch import Watch
from . import parts
from .frames import Part, pack

BUDGET = 0.12  # seconds that reading frames for one packet takes, the first always
MOST_MAPS = 24  # of one packet
DAMAGED = (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError)
Request = Mapping[str, Any]


class Opened(NamedTuple):
    """A run that a host opened by its name, and whether it may be steered there."""

    watch: Watch
    ours: bool


@dataclass
class _Sent:
    """What a viewer has of one run."""

    watch: Watch | None = None  # another one is of another run of the same name
    samples: bool = False
    status: Mapping[str, Any] = field(default_factory=dict)
    curves: dict[tuple[str, str], int] = field(default_factory=dict)
    frames: dict[tuple[str, int], Any] = field(default_factory=dict)  # with the file's stamp
    maps: set[tuple[str, int]] = field(default_factory=set)
    trouble: str = ""


class Feed:
    """The packets of one viewer.

    Args:
        opened: returns a run by its name; raises ValueError, in one line, where there is none.
    """

    def __init__(self, opened: Callable[[str], Opened]) -> None:
        self._opened = opened
        self.acknowledged: str | int = ""
        self._begin()

    def _begin(self) -> None:
        self.id = _new_id()
        self.number = 0
        self._sent: dict[str, _Sent] = {}
        self._requested: list[tuple[str, str, int]] = []
        self._images: list[str] = []
        self._trouble = ""  # the last packet's, where nothing could be read

    def take_requests(self, number: str | int, requests: Sequence[Request]) -> None:
        """Take requests of the view; the next packet acknowledges them by their `number`."""
        for request in requests:
            if request.get("kind") == "hello":
                self._begin()
            elif request.get("kind") == "frames":
                self._requested += [(str(r), str(a), int(s)) for r, a, s in request["frames"]]
            elif request.get("kind") == "images":
                self._images.append(str(request["run"]))
        self.acknowledged = number

    @property
    def behind(self) -> bool:
        """Whether one packet could not hold all that was requested."""
        return bool(self._requested)

    def packet(
        self, sides: Sequence[tuple[str, str]], step: int | None, extra: Sequence[Part] = ()
    ) -> bytes:
        """Return what is new of the runs shown, and the answers to requests.

        Args:
            sides: the (run, arm) pairs that are shown.
            step: the step that is shown, None for the newest.
            extra: parts of the host's own.
        """
        try:
            found = self._found(sides, step)
        except DAMAGED as error:
            found = self._failed(sides[0][0], error)
        else:
            if self._trouble:  # all is sent once more, by a feed that begins
                self._trouble, self.id, self.number = "", _new_id(), 0
        self.number += 1
        about = {"feed": self.id, "number": self.number, "acknowledged": self.acknowledged}
        return pack([*found, *extra], **about)

    def _found(self, sides: Sequence[tuple[str, str]], step: int | None) -> list[Part]:
        found: list[Part] = []
        for run in dict.fromkeys(run for run, _ in sides):
            found += self._news(run, [arm for other, arm in sides if other == run], step)
        return [*found, *self._answers(), *self._maps()]

    def _failed(self, run: str, error: Exception) -> list[Part]:
        """Return why nothing could be read, once; all that was sent counts as not sent."""
        for kept in (self._sent, self._requested, self._images):
            kept.clear()
        before, self._trouble = self._trouble, damage(run, error)
        if self._trouble == before:
            return []
        return [Part("trouble", {"run": run, "why": self._trouble})]

    def _news(self, run: str, arms: Sequence[str], step: int | None) -> list[Part]:
        sent = self._sent.setdefault(run, _Sent())
        try:
            watch, ours = self._opened(run)
        except ValueError as error:
            if sent.trouble == str(error):
                return []
            sent.trouble = str(error)
            return [Part("trouble", {"run": run, "why": sent.trouble})]
        before = sent.trouble
        if before or sent.watch not in (None, watch):  # it is back, or another run
            self._sent[run] = _Sent()
        try:
            return self._news_of(watch, run, arms, step, ours=ours)
        except DAMAGED as error:
            why = damage(run, error)
            self._sent[run].trouble = why
            return [] if why == before else [Part("trouble", {"run": run, "why": why})]

    def _news_of(
        self, watch: Watch, run: str, arms: Sequence[str], step: int | None, *, ours: bool
    ) -> list[Part]:
        sent, found = self._sent[run], []
        if sent.watch is None:
            found.append(parts.run_part(watch, run, ours=ours))
            sent.watch = watch
        working = map_worker.is_working(watch.run.path)
        status = parts.status_part(watch, run, maps_working=working)
        if status.about != sent.status:
            found.append(status)
            sent.status = status.about
        if not sent.samples and (samples := parts.samples_part(watch, run)):
            found.append(samples)
            sent.samples = True
        curves = parts.curve_parts(watch, run, sent.curves)
        for curve in curves:
            for arm, count in curve.about["counts"].items():
                sent.curves[arm, curve.about["name"]] = count
        steps = watch.run.steps
        there = set(steps)
        sent.frames = {key: stamp for key, stamp in sent.frames.items() if key[1] in there}
        sent.maps &= sent.frames.keys()
        shown = latest(steps, step)
        if shown is not None:
            stamp = watch.stamp(shown)
            for arm in arms:
                if arm in watch.arms and sent.frames.get((arm, shown), "none") != stamp:
                    found.append(self._frame(watch, run, arm, shown))
        return found + curves

    def _frame(self, watch: Watch, run: str, arm: str, step: int) -> Part:
        sent = self._sent[run]
        stamp = sent.frames[arm, step] = watch.stamp(step)
        sent.maps.discard((arm, step))

        def make() -> Part:
            return parts.frame_part(watch, run, arm, step)

        try:
            part = watch.kept(("part", run, arm, step, stamp), make)
        except (ValueError, KeyError) as error:
            return parts.problem_part(run, arm, step, str(error))
        if part.about["method"] == "UMAP":
            sent.maps.add((arm, step))
        return part

    def _answers(self) -> list[Part]:
        """Return the frames and images that were requested, as many as the time allows."""
        found: list[Part] = []
        for run in self._images:
            found += self._images_of(run)
        self._images.clear()
        end = time.monotonic() + BUDGET
        while self._requested and (not found or time.monotonic() < end):
            run, arm, step = self._requested.pop(0)
            if run in self._sent:  # sent before or not: the view keeps a part of them only
                try:
                    found.append(self._frame(self._opened(run).watch, run, arm, step))
                except ValueError as error:
                    found.append(parts.problem_part(run, arm, step, str(error)))
        return found

    def _images_of(self, run: str) -> list[Part]:
        try:
            watch = self._opened(run).watch
            return parts.image_parts(run, watch.sample_images()._asdict())
        except (ValueError, OSError, IndexError) as error:
            why = str(error).splitlines()[0]
            return [Part("images", {"run": run, "side": "teacher", "why": why})]

    def _maps(self) -> list[Part]:
        """Return maps of frames that were sent without, newest first."""
        found: list[Part] = []
        for run, sent in self._sent.items():
            if sent.trouble or not sent.frames.keys() - sent.maps:
                continue
            try:
                watch = self._opened(run).watch
            except ValueError:  # deleted since; of a run that is shown, `_news` reports it
                continue
            for arm in dict.fromkeys(arm for arm, _ in sent.frames):
                drawn = set(map_worker.drawn_steps(watch.run.path, arm))
                missing = {s for a, s in sent.frames.keys() - sent.maps if a == arm} & drawn
                for step in sorted(missing, reverse=True):
                    if len(found) < MOST_MAPS and (part := _map(watch, run, arm, step)):
                        found.append(part)
                        sent.maps.add((arm, step))
        return found


def _map(watch: Watch, run: str, arm: str, step: int) -> Part | None:
    try:
        return parts.map_part(watch, run, arm, step)
    except ValueError:  # its snapshot is damaged, which the frame's part says
        return None


def _new_id() -> str:
    return uuid.uuid4().hex[:8]


def damage(run: str, error: Exception) -> str:
    """Return in one line why a run cannot be shown, without the words of a parser."""
    if isinstance(error, OSError):
        reason = "its files cannot be read"
        advice = "; check the disk and who may read them"
    else:
        reason, advice = "its files are damaged", ""
    return f"{run} cannot be shown: {reason} ({type(error).__name__}){advice}"


def latest(steps: Sequence[int], wanted: int | None) -> int | None:
    """Return the last of ascending steps up to the one wanted, else the first; None of none.

    >>> latest([0, 50, 99], 60), latest([10, 20], 5), latest([0, 50], None), latest([], 7)
    (50, 10, 50, None)
    """
    if not steps:
        return None
    return max((step for step in steps if wanted is None or step <= wanted), default=steps[0])
