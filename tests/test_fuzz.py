"""Whatever is in a settings file or a run directory: a valid result or one clear line.

`WCORD_FUZZ=N` multiplies the number of examples; what was last run is in RELIABILITY.md.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import wcord
from wcord.cli import dotted
from wcord.runs import ACTIVE, ENDED, Run, checkpoints
from wcord.runs.writer import FileWriter, create
from wcord.settings.experiment import Experiment, parse
from wcord.settings.messages import SettingsError

MORE = int(os.environ.get("WCORD_FUZZ", "1"))


def many(count: int) -> Callable[[Any], Any]:
    return settings(
        max_examples=count * MORE,
        deadline=timedelta(seconds=20),  # a hang is a failure
        suppress_health_check=list(HealthCheck),
        derandomize=MORE == 1,
    )


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["auto", "digits", "digits-student", "sgd", "wasserstein", "fast", "nan"]),
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["weight", "ce"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def keys(tree: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, dict):
            found += keys(value, f"{prefix}{key}.")
    return found


WHOLE = wcord.load("digits-compression").plain()
KEYS = keys(WHOLE)


def one_line(error: Exception) -> None:
    text = str(error)
    assert text.strip() and "\n" not in text, repr(text)
    assert "Traceback" not in text


def round_trip(experiment: Experiment) -> None:
    assert parse(yaml.safe_load(experiment.yaml())) == experiment


@many(150)
@given(anything)
def test_any_tree_is_an_experiment_or_one_line(tree: Any) -> None:
    if not isinstance(tree, dict):
        tree = {"arms": tree}
    try:
        round_trip(parse(tree))
    except SettingsError as error:
        one_line(error)


@many(300)
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), anything, max_size=3))
@example({"name": {"\n": None}, ".": None})
@example({"arms": {"a\nb": {"ce": -1}}})
@example({"arms": None, "arms.plain": None})
@example({"arms": 5, "arms.plain": 1})
@example({"teacher": None, "teacher.epochs": 1})
def test_any_change_is_an_experiment_or_one_line(changes: dict[str, Any]) -> None:
    try:
        round_trip(wcord.load("digits-compression").replace(changes))
    except SettingsError as error:
        one_line(error)


@many(150)
@given(st.data())
def test_any_setting_of_any_term(data: st.DataObject) -> None:
    from wcord.objectives import TERMS

    name = data.draw(st.sampled_from(sorted(TERMS)))
    fields = sorted(TERMS[name].Settings.model_fields)
    asked = data.draw(st.dictionaries(st.sampled_from(fields), anything, max_size=3))
    try:
        round_trip(parse({"arms": {"a": {name: asked}}}))
    except SettingsError as error:
        one_line(error)


@many(200)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_as_a_settings_file(tmp_path_factory: Any, content: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "settings.yaml"
    path.write_bytes(content)
    for read in (wcord.load, lambda p: Run(p.parent).plain_settings, lambda p: Run(p.parent).arms):
        try:
            read(path)
        except ValueError as error:
            one_line(error)
    shutil.rmtree(path.parent)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 5000,
        "a: " + "{b: " * 3000,
        "a: &a [x, x]\n"
        + "\n".join(
            f"{n}: &{n} [*{p}, *{p}]"
            for p, n in zip("abcdefghijklmnopqrstuvw", "bcdefghijklmnopqrstuvwx", strict=True)
        ),
        "epochs: " + "9" * 5000,
        "epochs: 2001-99-99",
        "? [1, 2]\n: 3",
        "!!python/object/apply:os.system ['true']",
        "a: &a [*a]",
    ],
)
def test_files_made_to_hurt(tmp_path: Path, text: str) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as found:
        wcord.load(path)
    one_line(found.value)


@many(150)
@given(st.lists(st.text(max_size=12) | st.sampled_from(["--epochs", "--arms", "3"]), max_size=5))
def test_any_words_on_the_command_line(words: list[str]) -> None:
    try:
        wcord.load("digits-compression").replace(dotted(words))
    except ValueError as error:
        one_line(error)


# -- run directories -----------------------------------------------------------------------

# NaN and infinities too: Python writes and reads them, other writers may
documents = anything.map(lambda value: json.dumps(value).encode())
STATUS_KEYS = ["state", "step", "total", "epoch", "eta", "pid", "host", "heartbeat", "error"]
tables = st.dictionaries(
    st.sampled_from([*STATUS_KEYS, "pause_at", "stop", "delay"]), anything, max_size=8
).map(lambda value: json.dumps(value).encode())
rubbish = st.one_of(st.binary(max_size=80), documents, tables)


@many(200)
@given(status=rubbish, control=rubbish)
def test_any_status_and_control(tmp_path_factory: Any, status: bytes, control: bytes) -> None:
    """Readers get sound values, the writer obeys what is sound, steering goes on working."""
    run = create(tmp_path_factory.mktemp("fuzz") / "run", "arms: {a: {ce: 1}}\n")
    (run.path / "status.json").write_bytes(status)
    (run.path / "control.json").write_bytes(control)
    said = run.status
    assert said["state"] in ACTIVE + ENDED and isinstance(said.sentence, str)
    assert isinstance(said["step"], int) and said["step"] >= 0
    assert repr(run)
    writer = FileWriter(run)
    asked = writer.read_control()
    writer.close()
    assert math.isfinite(asked["delay"]) and asked["delay"] >= 0
    assert asked["pause_at"] is None or asked["pause_at"] >= 0
    assert asked["stop"] in (True, False)
    run.step()
    run.pace(0.5)
    assert run.control["delay"] == 0.5
    shutil.rmtree(run.path.parent)


def test_wrong_kinds_in_control_are_passed_over(tmp_path: Path) -> None:
    run = create(tmp_path / "run", "arms: {a: {ce: 1}}\n")
    (run.path / "control.json").write_text('{"delay": "fast", "pause_at": "x", "stop": 1}')
    assert run.control == {"delay": 0.0, "pause_at": None, "stop": False}


@many(150)
@given(st.lists(rubbish, max_size=3))
def test_any_metrics(tmp_path_factory: Any, lines: list[bytes]) -> None:
    run = create(tmp_path_factory.mktemp("fuzz") / "run", "arms: {a: {ce: 1}}\n")
    sound = b'{"step": 1, "epoch": 0.5, "arm": "a", "name": "ce", "value": 2.0}'
    (run.path / "metrics.jsonl").write_bytes(b"\n".join([sound, *lines, sound]) + b"\n")
    try:
        frame = run.metrics()
        assert list(frame.columns) == ["step", "epoch", "arm", "name", "value"]
    except ValueError as error:
        one_line(error)
        assert "metrics.jsonl is damaged" in str(error)
    shutil.rmtree(run.path.parent)


@st.composite
def edits(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Draw a way to spoil a file: cut, overwrite, insert, or replace it."""
    place, length = draw(st.floats(0, 1)), draw(st.integers(0, 40))
    new, kind = (
        draw(st.binary(max_size=40)),
        draw(st.sampled_from(["cut", "over", "head", "whole"])),
    )

    def spoil(content: bytes) -> bytes:
        start = int(place * len(content))
        if kind == "head":  # in the JSON header, where damage does most
            start = 8 + int(place * 600)
        if kind == "whole":
            return new
        if kind == "cut":
            return content[:start]
        return content[:start] + new + content[start + max(length, len(new)) :]

    return spoil


@many(150)
@given(spoil=edits())
def test_any_snapshot(finished: Run, spoil: Callable[[bytes], bytes]) -> None:
    from wcord.runs import Snapshot

    source = finished.path / "snapshots" / f"{finished.steps[-1]}.safetensors"
    path = finished.path.parent / "spoilt.safetensors"
    path.write_bytes(spoil(source.read_bytes()))
    try:
        snapshot = Snapshot.read(path)
        for arm in snapshot.arms:
            assert snapshot.arm(arm).plan.ndim == 2
    except ValueError as error:
        one_line(error)


@many(150)
@given(spoil=edits())
def test_any_checkpoint(finished: Run, spoil: Callable[[bytes], bytes]) -> None:
    """Refused by name, or exactly what was written."""
    folder = finished.path / "checkpoints"
    step = checkpoints.steps(folder)[-1]
    digest = checkpoints.digest_of((finished.path / "settings.yaml").read_text("utf-8"))
    whole = (folder / f"{step}.safetensors").read_bytes()
    other = finished.path.parent / "spoilt"
    other.mkdir(exist_ok=True)
    spoilt = spoil(whole)
    (other / f"{step}.safetensors").write_bytes(spoilt)
    try:
        tensors, header = checkpoints.read(other, step, digest)
    except checkpoints.CheckpointError as error:
        one_line(error)
        assert f"{step}.safetensors" in str(error)
    else:
        expected, said = checkpoints.read(folder, step, digest)
        assert header == said and tensors.keys() == expected.keys()


@many(60)
@given(names=st.lists(st.text(min_size=1, max_size=12), max_size=4), summary=rubbish)
def test_any_file_names_and_summary(
    tmp_path_factory: Any, names: list[str], summary: bytes
) -> None:
    run = create(tmp_path_factory.mktemp("fuzz") / "run", "arms: {a: {ce: 1}}\n")
    (run.path / "summary.json").write_bytes(summary)
    for folder in ("snapshots", "checkpoints"):
        (run.path / folder).mkdir(exist_ok=True)
        for name in names:
            try:
                (run.path / folder / f"{name}.safetensors").write_bytes(b"x")
            except (OSError, ValueError):
                continue
    assert run.steps == sorted(run.steps)
    assert checkpoints.steps(run.path / "checkpoints") == run.steps
    assert run.summary is None or isinstance(run.summary, dict)
    shutil.rmtree(run.path.parent)


@many(60)
@given(name=st.text(max_size=40))
def test_any_run_name(name: str) -> None:
    for find in (wcord.runs.find_run, Run):
        try:
            find(name)
        except ValueError as error:
            one_line(error)
