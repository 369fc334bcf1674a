"""The view in a notebook, with a printed figure beside it for those who read without a kernel.

lab.view(run)
lab.view(run, "wcord", panels=["plan"])
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from wcord.errors import first_line
from wcord.runs import Run

from ..reading.named_run import DEMO
from ..reading.watch import Watch
from ..words.panels import PANELS
from . import module, printed
from .feed import Feed, Opened, latest
from .frames import Part, unpack
from .packing import chosen_arms
from .scene import Scene, scene
from .steering_messages import steer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TICK = 0.5  # seconds between two readings of a run that goes on
OF_TWO_SIDES = ("difference", "answers")
KNOWN = [name for name in PANELS if name not in OF_TWO_SIDES]
SHOWN = ("plan", "scores", "map", "measures", "card")
CAN = {"ask": True, "steer": True, "start": False, "runs": False, "export": False, "why": False}


class RunView(anywidget.AnyWidget):
    """A run in a notebook, as `lab.view` returns it.

    Attributes:
        arm: the arm that is shown.
        step: the step that is shown; None follows the newest.
        selected: the selected samples, by their place among those of the snapshots.

    These are traits: setting one moves the view, and `observe` calls a function when somebody
    moves it.
    """

    _esm = module.script("notebook")
    _sheet = traitlets.Unicode(module.style()).tag(sync=True)
    arm = traitlets.Unicode()
    step = traitlets.Int(None, allow_none=True)
    selected = traitlets.List(traitlets.Int(min=0))

    def __init__(self, run: Run, arm: str | None, panels: Sequence[str] | None) -> None:
        self._made = _made(run.path)
        self.run, self.reader = run, Watch(run.path)
        self._lock = threading.RLock()  # messages may come in a thread of their own
        self._feed = Feed(self._opened)
        self._connected = False  # whether a browser takes packets
        self._moving = True  # whether traits change because the view does
        self._pace: float | None = None  # seconds an epoch that are waiting for its length
        self._task: asyncio.Task[None] | None = None
        self._name = run.path.resolve().name or "run"
        self._ours = DEMO not in run.path.resolve().parents  # a run that ships stays as it is
        if arm is None:
            arm = _usual_arm(self.reader)
        (arm,) = chosen_arms(self.reader, [arm])
        self._scene = scene([(self._name, arm)], checked(SHOWN if panels is None else panels))
        super().__init__(arm=arm)
        self._moving = False
        self.on_msg(self._receive)
        self._task = _in_background(self._follow()) if self.goes_on else None

    @property
    def scene(self) -> Scene:
        """What the view shows, as plain data (see `lab.viewer.scene`)."""
        return {
            **self._scene,
            "sides": [[self._name, self.arm]],
            "step": self.step,
            "selected": list(self.selected),
        }

    @property
    def goes_on(self) -> bool:
        """Whether a process may still write the run."""
        status = self.run.status
        return status.active or status.phase == "silent"

    def refresh(self) -> bool:
        """Show what the run has written since; return whether it goes on.

        The kernel's loop calls it twice a second. Where there is no loop, it is called by hand.
        """
        going = self.goes_on
        with self._lock:
            self._keep_promised_pace()
            self._send_news()
        return going

    async def _follow(self) -> None:
        while self.refresh():
            await asyncio.sleep(TICK)

    def _opened(self, name: str) -> Opened:
        self._renew()
        return Opened(self.reader, self._ours)

    def _renew(self) -> None:
        """Read the run again where another one of its name has taken its place.

        Raises:
            ValueError: it is gone, or its settings cannot be read; in one line.
        """
        with self._lock:
            made = _made(self.run.path)
            if made is None:
                raise ValueError(f"the run {self._name} is gone")
            if made == self._made:
                return
            self.reader, self._made = Watch(self.run.path), made
            if self.arm not in self.reader.arms:
                self._set(arm=_usual_arm(self.reader))
            if self.goes_on and (self._task is None or self._task.done()):
                self._task = _in_background(self._follow())

    # ------------------------------------------------------------------------------ to the view

    def _send_news(self, *extra: Part) -> None:
        """Send what is new, if a browser shows the view."""
        if not self._connected:
            return
        with suppress(ValueError):  # the feed reports it
            self._renew()
        now = self.scene
        packet = self._feed.packet([tuple(side) for side in now["sides"]], now["step"], extra)
        if unpack(packet)[1]:
            self.send({}, buffers=[packet])
        else:
            self._feed.number -= 1  # an empty packet is not sent, and so not counted

    @traitlets.observe("arm", "step", "selected")
    def _moved(self, change: Any) -> None:
        if self._moving:
            return
        with self._lock:
            names = ("sides", "step", "selected")
            self._send_news(Part("scene", {"scene": {name: self.scene[name] for name in names}}))

    @traitlets.validate("arm")
    def _known_arm(self, proposal: Any) -> str:
        with suppress(ValueError):  # of a run that is gone, the arms are those that it had
            self._renew()
        try:
            (arm,) = chosen_arms(self.reader, [proposal["value"]])
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None
        return arm

    # ---------------------------------------------------------------------------- from the view

    def _receive(self, _: Any, content: Mapping[str, Any], buffers: Any) -> None:
        """Take messages of the view, and answer."""
        with self._lock:
            messages = content["messages"]
            self._feed.take_requests(content["number"], messages)
            for message in messages:
                kind = message.get("kind")
                if kind == "hello":
                    self._connected = True
                    self._send_news(Part("setup", {"can": CAN, "scene": self.scene}))
                elif kind == "scene":
                    self._take(message.get("scene"))
                elif kind == "steer":
                    self._steer(message.get("action"), message.get("value"))
            self._send_news()
            while self._feed.behind:
                self._send_news()

    def _take(self, shown: Any) -> None:
        """Let the traits be what the view shows; what is no whole scene is passed over."""
        try:
            kept = {name: shown[name] for name in ("loss", "measure", "present")}
            traits = {"arm": shown["sides"][0][1], "step": shown["step"]}
            traits["selected"] = shown["selected"]
        except (TypeError, LookupError):
            return
        self._scene |= kept
        self._set(**traits)

    def _set(self, **traits: Any) -> None:
        """Set traits as the view does; a value that does not fit is passed over."""
        before, self._moving = self._moving, True
        try:
            for name, value in traits.items():
                with suppress(traitlets.TraitError):
                    self.set_trait(name, value)
        finally:
            self._moving = before

    def _steer(self, action: Any, value: Any) -> None:
        """Do what a button is for; a failure is shown in one line."""
        why = ""
        try:
            if not self._ours:
                raise ValueError(f"{self._name} ships with the lab: it is looked at, not steered")
            if action == "pace" and isinstance(value, (int, float)):
                self._pace = float(value)
                self._keep_promised_pace()
            else:
                steer(self.run, action, value)
        except (ValueError, OSError, RuntimeError) as error:
            why = first_line(error)
        self._send_news(Part("note", {"text": why}))
        if action == "relaunch" and not why:
            self._task = _in_background(self._follow())

    def _keep_promised_pace(self) -> None:
        """Set the chosen pace, once the number of steps of an epoch is known."""
        total = self.run.status.total if self._pace is not None else 0
        if self._pace is not None and total:
            self.run.pace(self._pace * self.reader.epochs / total)
            self._pace = None

    # ------------------------------------------------------------------------------------ printed

    @property
    def words(self) -> str:
        """What is shown, in words. The run goes by its experiment, which no date is a part of."""
        try:
            self._renew()
        except ValueError as error:
            return first_line(error)
        name = self.reader.settings.get("name") or self._name
        begin = f"{name}: {self.run.status.sentence}"
        step = latest(self.run.steps, self.step)
        if step is None:
            return f"{begin}; nothing to see yet"
        try:
            words = printed.words_of(self.reader, self.arm, step, self._scene)
        except ValueError as error:
            return f"{begin}; {first_line(error)}"
        return f"{begin}. {self.arm} at step {step}. {words}"

    def figure(self) -> Figure:
        """Return the first panels as a printed figure.

        Raises:
            ValueError: the run is gone, there is nothing to see yet, or the snapshot cannot be
                read.
        """
        self._renew()
        step = latest(self.run.steps, self.step)
        if step is None:
            raise ValueError(f"{self._name}: no snapshot yet")
        return printed.figure_of(self.reader, self.arm, step, self._scene)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the view, and figure and words for those who read without a kernel."""
        from ..figures.small_svg import svg

        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        words = self.words
        data = {**data, "text/plain": words}
        with suppress(ValueError):
            data["image/svg+xml"] = svg(self.figure())
        return data, metadata


def checked(panels: Sequence[str]) -> list[str]:
    """Return names of panels that one run can show.

    Raises:
        ValueError: an unknown name, or none; in one line.
    """
    if isinstance(panels, str) or not isinstance(panels, Iterable) or not (panels := list(panels)):
        raise ValueError(f"panels is a list of names, some of {', '.join(KNOWN)}")
    for name in panels:
        if name not in KNOWN:
            raise ValueError(f"no panel {name!r}; there are {', '.join(KNOWN)}")
    return panels


def _made(path: Path) -> int | None:
    """Return what differs between a run and an earlier one of its name; None where it is gone."""
    try:
        return (path / "settings.yaml").stat().st_mtime_ns
    except OSError:
        return None


def _usual_arm(reader: Watch) -> str:
    return "wcord" if "wcord" in reader.arms else reader.arms[-1]


def _in_background(work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    """Let the kernel's event loop do the work; where there is no loop, leave it to the caller."""
    try:
        return asyncio.get_running_loop().create_task(work)
    except RuntimeError:
        work.close()
        return None
