"""Trackers, against the real packages and without a network: what they store is read back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import wcord
from wcord.tracking import MLflow, Trackio, WandB
from wcord.tracking.content import flat

ARMS = {"kd": {"ce": 1, "kd": 1}, "wcord+kd": {"ce": 1, "gckt": 5, "kd": 1}}
Stored = dict[tuple[int, str], float]  # (step, ARM/NAME) -> value


@pytest.fixture(scope="module")
def experiment(short: wcord.Experiment) -> wcord.Experiment:
    return short.replace({"arms": ARMS, "probe.every": 1, "epochs": 2})


def stop_at_11(run: wcord.Run, step: int, values: dict[str, float]) -> None:
    if step == 11:
        run.stop()


STOPPER = type("Stopper", (), {"on_step": staticmethod(stop_at_11)})()


def expected(run: wcord.Run) -> Stored:
    rows = run.metrics().query("arm != ''").itertuples(index=False)
    return {(row.step, f"{row.arm}/{row.name}"): row.value for row in rows}


def results(run: wcord.Run) -> dict[str, float]:
    assert run.summary is not None
    return {
        f"final/{arm}/{name}": values[name]
        for arm, values in run.summary["arms"].items()
        for name in ("test_accuracy", "held_out_accuracy", "parameters")
    } | {f"final/teacher_{name}": value for name, value in run.summary["teacher"].items()}


# --- Weights & Biases --------------------------------------------------------------------------


def records(file: Path) -> Iterator[Any]:
    """Read a .wandb file: blocks of 32 KiB with records in the format of LevelDB's log."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, position, parts = file.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length = int.from_bytes(content[position + 4 : position + 6], "little")
        kind = content[position + 6]  # 1 whole, 2 first, 3 middle, 4 last
        if position + 7 + length > len(content):
            return  # it is being written
        parts += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(parts)
            parts = b""
            yield record


def name_of(item: Any) -> str:
    return item.key or "/".join(item.nested_key)


@pytest.mark.slow
def test_wandb(
    experiment: wcord.Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracker = WandB(project="digits", mode="offline", dir=str(tmp_path), notes="of a test")
    run = wcord.distill(experiment, tmp_path / "run", False, callbacks=[tracker])
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    stored: Stored = {}
    summary: dict[str, Any] = {}
    for _ in range(300):  # a process of wandb writes the file
        if any(record.WhichOneof("record_type") == "exit" for record in records(file)):
            break
        time.sleep(0.1)
    for record in records(file):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            begun = record.run
        elif kind == "history":
            values = {name_of(i): json.loads(i.value_json) for i in record.history.item}
            step = values.pop("_step")
            stored |= {(step, n): v for n, v in values.items() if not n.startswith("_")}
        elif kind == "summary":
            summary |= {name_of(i): json.loads(i.value_json) for i in record.summary.update}
        elif kind == "exit":
            assert record.exit.exit_code == 0
    assert stored == {key: pytest.approx(value, rel=1e-12) for key, value in expected(run).items()}
    assert results(run).items() <= summary.items() and summary["state"] == "finished"
    assert (begun.project, begun.display_name, begun.run_group) == ("digits", "run", "run")
    assert begun.notes == "of a test" and set(begun.tags) == {"digits-compression", *ARMS}
    config = {name_of(i): json.loads(i.value_json) for i in begun.config.update}
    assert config.items() >= run.plain_settings.items()


# --- MLflow ------------------------------------------------------------------------------------


def stored_in_mlflow(client: Any, found: Any) -> Stored:
    return {
        (entry.step, name): entry.value
        for name in found.data.metrics
        for entry in client.get_metric_history(found.info.run_id, name)
        if not name.startswith("final/")
    }


@pytest.mark.slow
def test_mlflow(
    experiment: wcord.Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stopped, its continuation, and one that MLflow refuses."""
    pytest.importorskip("mlflow")
    pytest.importorskip("alembic")
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = MLflow("digits", uri)
    run = wcord.distill(experiment, tmp_path / "run", False, callbacks=[tracker, STOPPER])
    first = {key: value for key, value in expected(run).items() if key[0] <= 11}
    assert expected(run) == first
    run = wcord.resume(run.path, False, callbacks=[tracker])
    client = MlflowClient(uri)
    number = client.get_experiment_by_name("digits").experiment_id
    found = client.search_runs([number], order_by=["start_time"])
    assert [entry.info.status for entry in found] == ["KILLED", "FINISHED"]
    parts = [stored_in_mlflow(client, entry) for entry in found]
    allowed = {(s, n.replace("wcord+kd", "wcord_kd")): v for (s, n), v in expected(run).items()}
    assert parts[0] == {key: value for key, value in allowed.items() if key[0] <= 11}
    assert parts[1] == {key: value for key, value in allowed.items() if key[0] > 11}
    final = {name.replace("wcord+kd", "wcord_kd"): v for name, v in results(run).items()}
    assert final.items() <= found[1].data.metrics.items()
    tags = found[1].data.tags
    assert (tags["experiment"], tags["arms"]) == ("digits-compression", "kd, wcord+kd")
    assert tags["group"] == tags["mlflow.runName"] == "run"
    params = found[1].data.params
    settings = flat(run.plain_settings)
    assert params.keys() == {name.replace("wcord+kd", "wcord_kd") for name in settings}
    assert params["epochs"] == "2" and params["arms.kd.kd.weight"] == "1.0"
    client.delete_experiment(number)
    with pytest.raises(Exception, match="Current state is deleted") as caught:
        wcord.distill(experiment, tmp_path / "other", False, callbacks=[tracker])
    assert not hasattr(caught.value, "__notes__") and not (tmp_path / "other").exists()


def test_a_store_that_mlflow_cannot_use() -> None:
    pytest.importorskip("mlflow")
    with pytest.raises(ValueError, match="mlflow cannot use abacus:") as caught:
        MLflow(uri="abacus://nowhere")
    assert "\n" not in str(caught.value)


# --- Trackio -----------------------------------------------------------------------------------

SCRIPT = """
import sys, wcord
tracker = wcord.tracking.Trackio(project="digits")
wcord.distill(wcord.load(sys.argv[1]), sys.argv[2], False, callbacks=[tracker])
"""
READ = """
import json
from trackio.sqlite_storage import SQLiteStorage
(run,) = SQLiteStorage.get_runs("digits")
print(json.dumps([run, SQLiteStorage.get_logs("digits", run),
                  SQLiteStorage.get_run_config("digits", run)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("trackio") is None, reason="trackio is not installed")
def test_trackio(experiment: wcord.Experiment, tmp_path: Path) -> None:
    """In processes of its own: it reads its folder from the environment at the import."""
    import os

    (tmp_path / "e.yaml").write_text(experiment.yaml())
    env = os.environ | {
        "TRACKIO_DIR": str(tmp_path / "trackio"),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    words = [str(tmp_path / "e.yaml"), str(tmp_path / "run")]
    subprocess.run([sys.executable, "-c", SCRIPT, *words], check=True, env=env, capture_output=True)
    done = subprocess.run(
        [sys.executable, "-c", READ], check=True, env=env, capture_output=True, text=True
    )
    name, logs, config = json.loads(done.stdout.splitlines()[-1])
    run = wcord.Run(tmp_path / "run")
    stored: Stored = {}
    for entry in logs:
        step = entry["step"]
        stored |= {(step, n): v for n, v in entry.items() if "/" in n}
    final = {n: stored.pop((s, n)) for s, n in list(stored) if n.startswith("final/")}
    assert name == "run" and stored == expected(run)
    assert results(run).items() <= final.items()
    assert config["tags"] == ["digits-compression", *ARMS]
    assert flat(run.plain_settings).items() <= config.items()


# --- all of them -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "package"), [(WandB, "wandb"), (MLflow, "mlflow"), (Trackio, "trackio")]
)
def test_a_missing_package_is_one_line(
    kind: Any, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    message = f"needs the package {package}: pip install 'wcord[trackers]'"
    with pytest.raises(ValueError, match=re.escape(message)):
        kind()


def test_trackers_are_imported_only_when_they_are_used() -> None:
    code = "import wcord.tracking, sys; print(*{'wandb', 'mlflow', 'trackio'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
