"""Steering: what each action writes into control.json, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from filelock import FileLock
from made_up_run import write_run

import wcord.training.launch
from lab.control import steering
from lab.reading.watch import Watch
from wcord.runs import ACTIVE


@pytest.fixture
def going(tmp_path: Path) -> Iterator[Path]:
    """A run at step 28 of 56, four epochs, whose writer seems alive."""
    path = write_run(tmp_path / "going", epochs=4, upto=2, state="running")
    with FileLock(path / "lock"):
        yield path


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the session of a page remembers."""
    remembered: dict[str, Any] = {}
    monkeypatch.setattr(steering, "st", SimpleNamespace(session_state=remembered))
    return remembered


def control(path: Path) -> dict[str, Any]:
    return json.loads((path / "control.json").read_text())


@pytest.mark.parametrize(
    ("action", "value", "change"),
    [
        ("pause", None, {"pause_at": 0}),
        ("stop", None, {"stop": True}),
        ("step", 1, {"pause_at": 29}),
        ("step", 14, {"pause_at": 42}),
        ("pace", 2.0, {"delay": 2 / 14}),
        ("pace", 0, {"delay": 0.0}),
    ],
)
def test_every_action_writes_what_it_asks(
    going: Path, session: dict[str, Any], action: str, value: Any, change: dict[str, Any]
) -> None:
    before = control(going)
    steering.steer(going, action, value)
    assert control(going) == pytest.approx(before | change)
    steering.steer(going, "resume")
    assert control(going)["pause_at"] is None


@pytest.mark.parametrize(
    ("action", "value"),
    [
        ("delete", None),
        ("__init__", None),
        ("", None),
        ("step", None),
        ("step", 0),
        ("step", -1),
        ("step", 1.5),
        ("step", "1"),
        ("pace", None),
        ("pace", -1.0),
        ("pace", float("nan")),
        ("pace", float("inf")),
        ("pace", "fast"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    going: Path, session: dict[str, Any], action: str, value: Any
) -> None:
    before = control(going)
    steering.attempt(lambda: steering.steer(going, action, value))
    assert len(session.pop("trouble").splitlines()) == 1
    assert control(going) == before and not session


def test_a_run_that_is_gone_is_one_line(tmp_path: Path, session: dict[str, Any]) -> None:
    steering.attempt(lambda: steering.steer(tmp_path / "nowhere", "pause"))
    assert "no run at" in session["trouble"]


def test_going_on_is_asked_of_wcord(going: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(wcord.training.launch, "relaunch", lambda run: asked.append(run.name))
    steering.steer(going, "relaunch")
    assert asked == ["going"]


def test_a_pace_is_promised_until_the_length_of_an_epoch_is_known(
    tmp_path: Path, session: dict[str, Any]
) -> None:
    path = write_run(tmp_path / "new", epochs=4, upto=0, state="starting")
    said = json.loads((path / "status.json").read_text())
    (path / "status.json").write_text(json.dumps(said | {"total": 0}))
    steering.steer(path, "pace", 2.0)
    assert session == {"pace_due": ("new", 2.0)} and control(path)["delay"] == 0
    watch = Watch(path)
    steering.keep_promised_pace(watch, watch.run.status)
    assert control(path)["delay"] == 0
    (path / "status.json").write_text(json.dumps(said))
    other = Watch(write_run(tmp_path / "other"))
    steering.keep_promised_pace(other, other.run.status)
    assert control(other.run.path)["delay"] == 0
    steering.keep_promised_pace(watch, watch.run.status)
    assert control(path)["delay"] == pytest.approx(2 / 14) and not session


def test_every_phase_of_a_living_run_can_be_steered() -> None:
    assert set(ACTIVE) < set(steering.STEERED)
    assert list(steering.PACES) == sorted(set(steering.PACES)) and steering.TALK in steering.PACES
