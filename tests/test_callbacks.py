"""Callbacks: what they are given, that they change no result, and how their errors end a run."""

from __future__ import annotations

import inspect
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wcord
from wcord.runs import checkpoints
from wcord.training.loop import Training

ROOT = Path(__file__).parents[1]
ARMS = {"kd": {"ce": 1, "kd": 1}, "wcord": {"ce": 1, "gckt": 5, "lckt": 0.05}}


@pytest.fixture(scope="module")
def two_arms(short: wcord.Experiment) -> wcord.Experiment:
    return short.replace({"arms": ARMS, "probe.every": 1, "probe.losses": 2})


class Recorder(wcord.Callback):
    """Stores every call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any, Any]] = []
        self.states: list[str] = []

    def on_start(self, run: wcord.Run) -> None:
        self.calls.append(("start", run.status.step, None))

    def on_step(self, run: wcord.Run, step: int, values: dict[str, float]) -> None:
        self.calls.append(("step", step, dict(values)))
        values.clear()  # its own copy

    def on_probe(self, run: wcord.Run, step: int, values: dict[str, float]) -> None:
        self.calls.append(("probe", step, values))

    def on_end(self, run: wcord.Run, summary: dict[str, Any] | None) -> None:
        self.calls.append(("end", run.status.step, summary))
        self.states.append(run.status.state)

    def of(self, kind: str) -> list[tuple[int, Any]]:
        return [(step, values) for name, step, values in self.calls if name == kind]


class Meddler:
    """Draws random numbers and switches gradients off; no subclass, and only some methods."""

    def on_step(self, run: wcord.Run, step: int, values: dict[str, float]) -> None:
        torch.manual_seed(step)
        random.seed(step)
        np.random.seed(step)
        torch.rand(7)
        torch.set_grad_enabled(False)

    on_probe = on_step


@pytest.fixture(scope="module")
def recorded(
    two_arms: wcord.Experiment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[wcord.Run, Recorder]:
    recorder = Recorder()
    path = tmp_path_factory.mktemp("recorded") / "run"
    run = wcord.distill(two_arms, path, False, callbacks=[recorder, Meddler(), recorder])
    return run, recorder


def test_callbacks_change_no_result(
    recorded: tuple[wcord.Run, Recorder], two_arms: wcord.Experiment, tmp_path: Path
) -> None:
    """To the bit: metrics, snapshots, weights."""
    run, plain = recorded[0], wcord.distill(two_arms, tmp_path / "run", False)
    files = ["metrics.jsonl", *(f"snapshots/{step}.safetensors" for step in plain.steps)]
    for file in files:
        assert (run.path / file).read_bytes() == (plain.path / file).read_bytes()
    folder = "checkpoints/33.safetensors"
    tensors = [
        checkpoints.read(
            r.path / "checkpoints",
            33,
            checkpoints.digest_of((r.path / "settings.yaml").read_text()),
        )[0]
        for r in (run, plain)
    ]
    assert (run.path / folder).exists() and tensors[0].keys() == tensors[1].keys()
    for name, value in tensors[0].items():
        torch.testing.assert_close(value, tensors[1][name], rtol=0, atol=0, equal_nan=True)


def test_callbacks_get_what_the_metrics_hold(recorded: tuple[wcord.Run, Recorder]) -> None:
    run, recorder = recorded
    kinds = [name for name, *_ in recorder.calls]
    assert kinds[:2] == ["start", "start"] and kinds[-2:] == ["end", "end"]
    assert kinds.count("start") == kinds.count("end") == 2  # it is in the list twice
    once = [call for call, again in zip(recorder.calls[::2], recorder.calls[1::2], strict=True)
            if call[:2] == again[:2]]  # fmt: skip
    assert len(once) == len(recorder.calls) / 2
    given = {
        (step, *key.split("/", 1)): value
        for _, step, values in once[1:-1]
        for key, value in values.items()
    }
    rows = run.metrics().query("arm != ''")
    assert given == {(r.step, r.arm, r.name): r.value for r in rows.itertuples(index=False)}
    assert all(type(value) is float for value in given.values())
    assert [step for name, step, _ in once if name == "probe"] == [0, 11, 22, 33]
    assert [step for name, step, _ in once if name == "step"] == [6, 11, 17, 22, 28, 33]
    assert once[-1] == ("end", 33, run.summary) and recorder.states == ["finished"] * 2


def test_what_a_callback_reads_of_the_run_is_complete(
    two_arms: wcord.Experiment, tmp_path: Path
) -> None:
    class Reader(wcord.Callback):
        def on_step(self, run: wcord.Run, step: int, values: dict[str, float]) -> None:
            rows = run.metrics().query("step == @step and name == 'total'")
            assert dict(zip(rows.arm + "/total", rows.value, strict=True)).items() <= values.items()

        def on_probe(self, run: wcord.Run, step: int, values: dict[str, float]) -> None:
            assert run.steps[-1] == step

        def on_end(self, run: wcord.Run, summary: dict[str, Any] | None) -> None:
            assert summary == run.summary and run.status.state == "finished"
            run.export("kd", tmp_path / "s.safetensors")

    wcord.distill(two_arms.replace({"epochs": 1}), tmp_path / "run", False, callbacks=[Reader()])
    assert (tmp_path / "s.safetensors").exists()


@pytest.mark.parametrize("method", ["on_step", "on_probe"])
def test_a_callback_stops_a_run_which_then_resumes(
    method: str, recorded: tuple[wcord.Run, Recorder], two_arms: wcord.Experiment, tmp_path: Path
) -> None:
    def stop(run: wcord.Run, step: int, values: dict[str, float]) -> None:
        if step == 11:
            run.stop()

    recorder = Recorder()
    stopper = type("Stopper", (), {method: staticmethod(stop)})()
    run = wcord.distill(two_arms, tmp_path / "run", False, callbacks=[stopper, recorder])
    assert (run.status.state, run.status.step) == ("stopped", 11)
    assert recorder.calls[-1] == ("end", 11, None) and recorder.states == ["stopped"]
    later = Recorder()
    run = wcord.resume(run.path, False, callbacks=[later])
    assert run.status.state == "finished"
    assert later.calls[0] == ("start", 11, None) and later.calls[-1] == ("end", 33, run.summary)
    assert later.of("step") == recorded[1].of("step")[4::2]
    whole = (recorded[0].path / "metrics.jsonl").read_bytes()
    assert (run.path / "metrics.jsonl").read_bytes() == whole


class Failing(wcord.Callback):
    """Fails in one method at one step."""

    def __init__(self, method: str, at: int = 0) -> None:
        self.at = at
        if method in ("on_step", "on_probe"):
            setattr(self, method, self.fail_at)
        else:
            setattr(self, method, self.fail)

    def fail_at(self, run: wcord.Run, step: int, values: dict[str, float]) -> None:
        if step == self.at:
            self.fail()

    def fail(self, *_: Any) -> None:
        raise KeyError("no such table\nin the tracker")


@pytest.mark.parametrize(
    ("method", "at"), [("on_step", 17), ("on_step", 33), ("on_probe", 0), ("on_probe", 11)]
)
def test_an_error_ends_the_run_with_a_checkpoint(
    method: str, at: int, recorded: tuple[wcord.Run, Recorder], two_arms: wcord.Experiment,
    tmp_path: Path,
) -> None:  # fmt: skip
    before, after = Recorder(), Recorder()
    with pytest.raises(KeyError, match="no such table"):
        wcord.distill(
            two_arms, tmp_path / "run", False, callbacks=[before, Failing(method, at), after]
        )
    run = wcord.Run(tmp_path / "run")
    assert run.status.state == "failed" and run.summary is None
    assert run.status.error == rf"callback Failing.{method}: 'no such table\nin the tracker'"
    assert checkpoints.steps(run.path / "checkpoints")[-1] == at
    for recorder in (before, after):
        assert recorder.calls[-1] == ("end", recorder.calls[-1][1], None)
        assert recorder.states == ["failed"]
    assert before.calls[-2][1] == at and after.calls[-2][:2] != (method[3:], at)
    run = wcord.resume(run.path, False)
    assert run.status.state == "finished" and run.status.error is None
    whole = (recorded[0].path / "metrics.jsonl").read_bytes()
    assert (run.path / "metrics.jsonl").read_bytes() == whole


def test_an_error_at_the_start_or_the_end(two_arms: wcord.Experiment, tmp_path: Path) -> None:
    first, last = Recorder(), Recorder()
    with pytest.raises(KeyError):
        wcord.distill(two_arms, tmp_path / "a", False, callbacks=[first, Failing("on_start"), last])
    assert [name for name, *_ in first.calls] == ["start", "end"] and not last.calls
    assert not (tmp_path / "a").exists()  # nothing was trained
    with pytest.raises(KeyError) as caught:
        wcord.distill(
            two_arms, tmp_path / "b", False,
            callbacks=[Failing("on_end"), first, Failing("on_end")],
        )  # fmt: skip
    run = wcord.Run(tmp_path / "b")
    assert run.status.state == "failed" and run.summary is not None
    assert first.states[-1] == "finished"  # it was, when on_end was called
    assert "then callback Failing.on_end" in caught.value.__notes__[0]
    assert wcord.resume(run.path, False).status.state == "finished"


def test_on_end_is_called_where_a_run_fails(
    two_arms: wcord.Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Training) -> None:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(Training, "log_due", fail)
    recorder = Recorder()
    with pytest.raises(RuntimeError, match="the disk is gone") as caught:
        wcord.distill(two_arms, tmp_path / "run", False, callbacks=[recorder, Failing("on_end")])
    assert recorder.states == ["failed"] and recorder.calls[-1][2] is None
    assert wcord.Run(tmp_path / "run").status.error == "the disk is gone"
    assert not isinstance(caught.value, KeyError)


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([object()], "object has none of the methods on_start, on_step, on_probe, on_end"),
        ([Recorder], r"Recorder is a class: give an object, Recorder\(\.\.\.\)"),
        (Recorder(), "callbacks is a list"),
        ("wandb", "callbacks is a list of objects, not 'wandb'"),
        (None, "callbacks is a list"),
        ([None], "NoneType has none of the methods"),
        ([type("Late", (wcord.Callback,), {"on_stop": print})()], "Late.on_stop: did you mean"),
        (
            [type("Short", (), {"on_step": lambda self, run, values: None})()],
            r"Short.on_step must take \(run, step, values\)",
        ),
    ],
)
def test_what_is_no_callback_is_refused_at_once(
    callbacks: Any, message: str, two_arms: wcord.Experiment, tmp_path: Path
) -> None:
    for call in (
        lambda: wcord.distill(two_arms, tmp_path / "run", False, callbacks=callbacks),
        lambda: wcord.resume(tmp_path / "absent", False, callbacks=callbacks),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert not (tmp_path / "run").exists()


SCRIPT = """
import os, signal, sys, wcord
class Interrupting(wcord.Callback):
    def on_step(self, run, step, values):
        if step == 11:
            os.kill(os.getpid(), signal.SIGINT)
    def on_end(self, run, summary):
        print("end", run.status.state, run.status.step, summary)
wcord.distill(wcord.load(sys.argv[1]), sys.argv[2], False, callbacks=[Interrupting()])
"""


@pytest.mark.slow
def test_ctrl_c_stops_a_run_with_callbacks(two_arms: wcord.Experiment, tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(two_arms.yaml())
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "e.yaml"), str(tmp_path / "run")],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.split() == ["end", "stopped", "11", "None"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    text = (ROOT / "docs/callbacks.md").read_text("utf-8")
    example, tracker = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "example", "exec"), names)
    assert "finished at step 44 of 44" in capsys.readouterr().out
    stopped = wcord.distill(
        names["experiment"], tmp_path / "run", False, callbacks=[names["StopWhenGood"](0)]
    )
    assert stopped.status.state == "stopped" and stopped.status.step == 0
    for method in ("on_start", "on_step", "on_probe", "on_end"):
        parameters = inspect.signature(getattr(wcord.Callback, method)).parameters
        assert f"| `{method}({', '.join(list(parameters)[1:])})` |" in text
    pytest.importorskip("wandb")
    exec(compile(tracker, "tracker", "exec"), names)
    assert list((tmp_path / "wandb").glob("offline-run-*"))
