"""A run belongs to its data: it is not resumed with other data, nor taken for their result."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import wcord
from wcord.analysis.report import report
from wcord.analysis.sweep_runs import current_inputs
from wcord.data import load_arrays
from wcord.runs import data_provenance
from wcord.runs.writer import FileWriter, create
from wcord.training.loop import Training
from wcord.training.prepare import Overrides, prepare

Arrays = dict[str, np.ndarray]


def squares(n: int = 30, size: int = 8) -> Arrays:
    """Three easy classes: a bright square in one of three places, noise elsewhere."""
    draw = np.random.default_rng(0)
    images = draw.integers(0, 60, (3 * n, size, size)).astype(np.uint8)
    labels = np.repeat(np.arange(3), n)
    for image, label in zip(images, labels, strict=True):
        row, column = ((0, 0), (0, size // 2), (size // 2, 0))[label]
        image[row : row + size // 2, column : column + size // 2] = 220
    return {"images_train": images, "labels_train": labels}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "squares.npz"
    np.savez(path, **squares())  # type: ignore[arg-type]
    return path


@pytest.fixture
def short(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> wcord.Experiment:
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path / "runs"))
    return wcord.load("digits-compression").replace(
        {
            "epochs": 2, "batch": 8, "data.labels_per_class": None, "data.source": f"npz:{file}",
            "teacher.epochs": 1, "teacher.model": "small:4-8-8",
            "arms": {"plain": {"ce": 1}, "kd": {"ce": 1, "kd": 1}},
        }
    )  # fmt: skip


def begun(experiment: wcord.Experiment, path: Path) -> wcord.Run:
    """Return a run that was stopped after its third step."""
    run = create(path, experiment.yaml())
    writer = FileWriter(run)
    try:
        training = Training(
            prepare(experiment, writer, torch.device("cpu"), Overrides(), False), writer
        )
        steps = iter([True] * 3 + [False])
        training.wait_for_permission = lambda: next(steps)  # type: ignore[method-assign]
        training.run()
        writer.write_status(now=True, **training.position(), state="stopped")
    finally:
        writer.close()
    return run


CHANGES: dict[str, tuple[Any, str]] = {
    "labels": (lambda a: a | {"labels_train": a["labels_train"][::-1]}, "training labels"),
    "pixels": (lambda a: a | {"images_train": 255 - a["images_train"]}, "training images"),
    "size": (lambda a: squares(30, 16), r"72 of 1×8×8 then, 72 of 1×16×16 now"),
    "more": (lambda a: squares(40), r"72 of 1×8×8 then, 96 of 1×8×8 now"),
    "names": (lambda a: a | {"class_names": np.array(["x", "y", "z"])}, "class names"),
    "depth": (lambda a: a | {"depth_train": a["images_train"]}, "training depth"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_run_is_not_continued_with_other_data(
    change: str, file: Path, short: wcord.Experiment, tmp_path: Path
) -> None:
    run = begun(short, tmp_path / "runs" / "r")
    first = file.read_bytes()
    kept = {p.name: p.read_bytes() for p in (run.path / "checkpoints").iterdir()}
    change_of, words = CHANGES[change]
    np.savez(file, **change_of(squares()))
    with pytest.raises(ValueError, match=words) as caught:
        wcord.resume(run.path, progress=False)
    assert "\n" not in str(caught.value) and "start a new run" in str(caught.value)
    assert kept == {p.name: p.read_bytes() for p in (run.path / "checkpoints").iterdir()}
    # nothing is lost: with the first data back the run ends as one that was never stopped
    file.write_bytes(first)
    wcord.resume(run.path, progress=False)
    whole = wcord.distill(short, tmp_path / "runs" / "whole", progress=False)
    assert run.summary is not None and whole.summary is not None
    assert run.summary["arms"] == whole.summary["arms"]


def test_a_checkpoint_knows_its_data_without_the_record(
    file: Path, short: wcord.Experiment, tmp_path: Path
) -> None:
    run = begun(short, tmp_path / "runs" / "r")
    (run.path / data_provenance.RECORD).unlink()
    np.savez(file, **(squares() | {"labels_train": squares()["labels_train"][::-1]}))
    with pytest.raises(ValueError, match="made from other data"):
        wcord.resume(run.path, progress=False)


def test_a_teachers_weight_file_and_probed_data_belong_to_the_run(
    short: wcord.Experiment, file: Path, tmp_path: Path
) -> None:
    first = wcord.distill(short.replace({"epochs": 1}), tmp_path / "runs" / "one", progress=False)
    weights, other = tmp_path / "w.safetensors", tmp_path / "other.npz"
    shutil.copy(first.path / "teacher.safetensors", weights)
    np.savez(other, **squares(20))  # type: ignore[arg-type]
    experiment = short.replace({"teacher.weights": str(weights), "linear_probe": [f"npz:{other}"]})
    before = current_inputs(experiment)
    assert data_provenance.differences(before, current_inputs(experiment)) == []
    save_file({k: v + 0.01 for k, v in load_file(weights).items()}, weights)
    assert data_provenance.differences(before, current_inputs(experiment)) == ["teacher.weights"]
    np.savez(other, **squares(10))  # type: ignore[arg-type]
    found = data_provenance.differences(before, current_inputs(experiment))
    assert found[0] == "teacher.weights" and all(str(other) in name for name in found[1:])
    assert any("48 of 1×8×8 then, 24 of 1×8×8 now" in name for name in found)
    weights.unlink()
    with pytest.raises(ValueError, match=r"teacher\.weights: there is no file"):
        current_inputs(experiment)


def test_a_run_begun_with_objects_in_memory_is_not_resumed_without_them(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    run = wcord.distill(short, tmp_path / "runs" / "r", progress=False, data=squares())
    assert run.data is not None and run.data["own"] == ["data"]
    (run.path / "summary.json").unlink()
    with pytest.raises(ValueError, match=r"objects of your own \(data\)"):
        wcord.resume(run.path, progress=False)


def test_a_sweep_finds_its_cells_again_only_for_the_same_data(
    short: wcord.Experiment, file: Path, tmp_path: Path
) -> None:
    def go(folder: str) -> list[float]:
        table = wcord.sweep(short, {}, 2, folder=tmp_path / folder, progress=False)
        assert table["error"].isna().all()
        return table["test_accuracy"].tolist()

    first = go("s")
    stamps = [run.status["heartbeat"] for run in wcord.list_runs(tmp_path / "s")]
    assert go("s") == first  # found again, not run again
    assert [run.status["heartbeat"] for run in wcord.list_runs(tmp_path / "s")] == stamps
    content = file.read_bytes()
    shuffled = np.random.default_rng(1).permutation(squares()["labels_train"])
    np.savez(file, **(squares() | {"labels_train": shuffled}))  # type: ignore[arg-type]
    assert go("s") == go("new folder") != first
    assert len(wcord.list_runs(tmp_path / "s")) == 4  # the old ones are set aside, not lost
    file.write_bytes(content)
    assert go("s") == first


def test_the_record_says_what_was_found(short: wcord.Experiment, tmp_path: Path) -> None:
    names = ["left", "right", "below"]
    arrays = squares() | {"class_names": np.array(names)}
    experiment = short.replace({"student.labels": {"groups": {"up": [0, 1], "down": [2]}},
                                "arms": {"plain": {"ce": 1}}})  # fmt: skip
    run = wcord.distill(experiment, tmp_path / "runs" / "r", progress=False, data=arrays)
    record = run.data
    assert record is not None
    data = load_arrays(arrays, experiment.data, 0, experiment.student.labels)
    assert [entry["name"] for entry in record["classes"]] == names
    for part, split in (("train", data.train), ("held_out", data.held_out), ("test", data.test)):
        counts = np.bincount(split.labels, minlength=3).tolist()
        assert [entry[part] for entry in record["classes"]] == counts
    assert record["labels"] == {"teacher": names, "student": ["up", "down"]}
    assert record["passed_over"] == [] and record["passed_over_count"] == 0
    with Image.open(run.path / "pictures.png") as row:
        assert row.size[1] == 10 and row.size[0] >= 30  # three pictures at least, with borders
    assert wcord.Run(run.path).data == record


def test_a_refused_resume_changes_nothing_that_resuming_needs(
    file: Path, short: wcord.Experiment, tmp_path: Path
) -> None:
    """Also without the record, which must not be written again from the wrong data."""
    run = begun(short, tmp_path / "runs" / "r")
    before, first = run.status, file.read_bytes()
    (run.path / data_provenance.RECORD).unlink()
    np.savez(file, **(squares() | {"labels_train": squares()["labels_train"][::-1]}))
    for _ in range(2):
        with pytest.raises(ValueError, match="made from other data"):
            wcord.resume(run.path, progress=False)
    assert [run.status[key] for key in ("step", "total")] == [before["step"], before["total"]]
    file.write_bytes(first)
    assert wcord.resume(run.path, progress=False).status["state"] == "finished"


def test_objects_in_memory_are_known_without_the_record(
    short: wcord.Experiment, tmp_path: Path
) -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.Linear(8, 3))
    run = wcord.distill(short, tmp_path / "runs" / "r", progress=False, teacher=module)
    for name in ("summary.json", data_provenance.RECORD):
        (run.path / name).unlink()
    with pytest.raises(ValueError, match="made from other data"):
        wcord.resume(run.path, progress=False)
    with pytest.raises(ValueError, match=r"teacher\.weights is set, but a teacher is given"):
        wcord.distill(short.replace({"teacher.weights": "w.pth"}), teacher=module, data=squares())


def test_the_same_weights_in_another_file_are_the_same(tmp_path: Path) -> None:
    from wcord.models.weights import fingerprint

    state = {"a.weight": torch.randn(3, 2), "a.bias": torch.randn(3, dtype=torch.bfloat16)}
    save_file(state, tmp_path / "1.safetensors")
    torch.save(state, tmp_path / "2.pth")
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "3.pth")
    torch.save(state, tmp_path / "4.pt", _use_new_zipfile_serialization=False)
    found = {fingerprint(path) for path in sorted(tmp_path.iterdir())}
    assert len(found) == 1
    state["a.bias"] = state["a.bias"] + 1
    torch.save(state, tmp_path / "5.pth")
    assert fingerprint(tmp_path / "5.pth") not in found


def test_a_sweep_knows_its_data_without_the_records(
    short: wcord.Experiment, file: Path, tmp_path: Path
) -> None:
    def go() -> tuple[list[float], list[Path]]:
        table = wcord.sweep(short, {}, 1, folder=tmp_path / "s", progress=False)
        assert table["error"].isna().all()
        return table["test_accuracy"].tolist(), [r.path for r in wcord.list_runs(tmp_path / "s")]

    first, (path,) = go()
    (path / data_provenance.RECORD).unlink()
    heartbeat = wcord.Run(path).status["heartbeat"]
    content = file.read_bytes()
    shuffled = np.random.default_rng(1).permutation(squares()["labels_train"])
    np.savez(file, **(squares() | {"labels_train": shuffled}))  # type: ignore[arg-type]
    second, paths = go()
    assert second != first and len(paths) == 2
    file.write_bytes(content)  # the run that was set aside is found again, not made again
    assert go()[0] == first
    assert wcord.Run(path).status["heartbeat"] == heartbeat


def test_a_finished_sweep_is_gathered_when_its_data_are_gone(
    short: wcord.Experiment, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = wcord.sweep(short, {}, 1, folder=tmp_path / "s", progress=False)
    file.unlink()
    again = wcord.sweep(short, {}, 1, folder=tmp_path / "s", progress=False)
    assert again["test_accuracy"].tolist() == first["test_accuracy"].tolist()
    assert "is finished; its data could not be read: there is no file" in capsys.readouterr().err


def test_runs_of_different_data_are_not_joined_in_a_report(
    short: wcord.Experiment, file: Path, tmp_path: Path
) -> None:
    runs = [
        wcord.distill(short.replace(change), tmp_path / "runs" / f"r{k}", progress=False)
        for k, change in enumerate([{"seed": 0}, {"seed": 1}, {"seed": 2, "epochs": 1}])
    ]
    assert report(runs[:2]).seeds == 2
    with pytest.warns(UserWarning, match="r0 and r2 have different settings: epochs$"):
        report(runs)
    np.savez(file, **squares(40))  # type: ignore[arg-type]
    other = wcord.distill(short.replace({"seed": 3}), tmp_path / "runs" / "r3", progress=False)
    with pytest.raises(ValueError, match="r0 and r3 were made from different data"):
        report([runs[0], other])
    with pytest.raises(ValueError, match="no runs"):
        report([])
