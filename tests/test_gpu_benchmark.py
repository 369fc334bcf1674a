"""`python -m benchmarks.gpu` without a GPU: the command, the files that it writes and reuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

import wcord
from benchmarks import gpu, gpu_problem, gpu_report, gpu_steps
from benchmarks.gpu_profile import kind_of, union_length

needs_none = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that runs one part in this process, on a few random images."""
    monkeypatch.setenv("WCORD_RUNS", str(tmp_path / "runs"))  # restored afterwards

    def run_part(part: str, *more: str) -> Path:
        gpu.run_part(part, gpu.parse([part, "--small", "--out", str(tmp_path / "out"), *more]))
        return tmp_path / "out"

    return run_part


def test_steps_and_solvers_are_timed_where_the_device_allows(small: Any) -> None:
    """A measurement that needs CUDA gives its reason, the others give numbers for the page."""
    out = small("fast")
    found = json.loads((out / "fast.json").read_text())
    assert set(found["ways"]["ms"]) == {"wcord, plain", "kd, plain"}
    assert "networks is not available here" in found["ways"]["failed"]["wcord, networks"]
    assert all(row["ms"] > 0 for row in found["sinkhorn"] if "left_out" not in row)
    assert found["profile"]["wcord, plain"]["kernels"] > 100
    assert found["arms"]["over one"]["2"]["median"] > 1
    assert found["side by side"] == {"failed": "streams need a CUDA device"}
    assert found["sizes"]["batches"]["16"]["images/s"] > 0
    text = gpu_report.page(out)
    assert (
        "| wcord, plain | " in text
        and "### Sinkhorn" in text
        and "| nine arms, batch | " in text
        and "| 16 | wcord | " in text
    )


def test_finished_seeds_are_not_repeated(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two presets of one seed, then a second seed; the teacher is restored from its parts."""
    monkeypatch.setattr(gpu, "PART_BYTES", 40_000)
    out = small("whole", "--seeds", "1")
    first = json.loads((out / "whole.json").read_text())
    assert [(r["preset"], r["seed"]) for r in first] == [(name, 0) for name in gpu.PRESETS]
    assert all(set(r["settings"]["arms"]) == set(r["summary"]["arms"]) for r in first)
    assert first[1]["settings"]["pairing"]["broken"] == 0.8
    assert {r["settings"]["data"]["source"] for r in first} == {"npz:few.npz"}

    parts = sorted(out.glob("teacher.*"), key=lambda path: int(path.suffix[5:]))
    assert len(parts) > 3 and all(path.stat().st_size <= 40_000 for path in parts)
    gpu.restore_teacher(out)
    (teacher,) = (wcord.runs.runs_folder() / ".teachers").glob("*.safetensors")
    assert teacher.read_bytes() == b"".join(path.read_bytes() for path in parts)
    assert load(teacher.read_bytes())

    started = []

    def note_start(experiment: wcord.Experiment, *_: Any, **__: Any) -> Any:
        started.append((experiment.name, experiment.seed))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("wcord.analysis.sweep_runs.distill", note_start)
        small("whole", "--seeds", "2")
    assert started == [(gpu.PRESETS[0], 1)]
    assert json.loads((out / "whole.json").read_text()) == first


def test_an_interrupted_run_is_resumed(short: wcord.Experiment) -> None:
    """Equal settings give the same run, others another."""
    run = gpu.train_or_resume(short.replace({"epochs": 1}))
    assert gpu.train_or_resume(short.replace({"epochs": 1})).path == run.path
    assert gpu.train_or_resume(short.replace({"epochs": 1, "seed": 1})).path != run.path


def test_a_repeated_measurement_replaces_its_own_figures_only(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter(range(9))
    monkeypatch.setattr(
        gpu_steps, "measure", lambda size, device, only: ((n, next(counts)) for n in only)
    )
    for only in (["ways", "arms"], ["arms"]):
        out = small("fast", "--only", *only)
    found = json.loads((out / "fast.json").read_text())
    assert (found["ways"], found["arms"]) == (0, 2)
    elsewhere = found | {"conditions": found["conditions"] | {"device": "another card"}}
    (out / "fast.json").write_text(json.dumps(elsewhere))
    with pytest.raises(SystemExit, match="measured with other conditions: choose another --out"):
        small("fast", "--only", "arms")
    assert json.loads((out / "fast.json").read_text()) == elsewhere


def test_all_parts_by_one_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each in its own process: one runs tests, one trains, one reaches its time limit."""
    common = ["--small", "--out", str(tmp_path)]
    gpu.main(["right", "long", *common])
    gpu.main(["fast", *common, "--seconds", "0.2"])
    printed = capfd.readouterr().out
    assert "part right: done" in printed and "part long: done" in printed
    assert "part fast: stopped at its time limit" in printed
    assert "passed" in (tmp_path / "right.txt").read_text()
    assert json.loads((tmp_path / "long.json").read_text())["summary"]["arms"].keys() == {"wcord"}


def test_on_a_gpu_it_is_the_short_recipe() -> None:
    options = gpu.parse(["whole", "--small"])
    options.small, options.data, options.device = False, "npz:images.npz", torch.device("cuda")
    options.set = ["epochs=10", "optimizer.milestones=[6, 8, 9]"]
    clean, wrong = (gpu.experiment(preset, 3, options) for preset in gpu.PRESETS)
    for experiment in (clean, wrong):
        assert (experiment.seed, experiment.epochs, experiment.batch) == (3, 10, 64)
        assert (experiment.precision, experiment.speed) == ("bfloat16", "graphs")
        assert experiment.optimizer.milestones == (6, 8, 9) and experiment.teacher.seed == 0
    assert len(clean.arms) == 9 and clean.pairing.broken == 0
    assert wrong.pairing.broken == 0.8 and not {"plain", "hint"} & set(wrong.arms)


@needs_none
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "there is no CUDA device here: add --small"),
        (["quick", "--small"], "unknown part 'quick': known are right, fast, whole, long"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        gpu.main(words)
    assert end.value.code == 2 and line in capsys.readouterr().err


def test_a_failed_measurement_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is its result."""

    def broken(problem: Any) -> Any:
        raise RuntimeError("no memory left\nand more")

    monkeypatch.setattr(gpu_steps, "ways", broken)
    names = ("ways", "compile")
    found = dict(gpu_steps.measure(gpu_problem.SMALL, torch.device("cpu"), names))
    assert found["ways"] == {"failed": "RuntimeError: no memory left"}
    assert set(found) == set(names)


def test_only_runs_of_the_same_settings_share_a_table() -> None:
    """A second recipe has its own table."""
    records = [
        {"seed": seed, "settings": {"seed": seed, "epochs": epochs, "arms": {}}}
        for seed, epochs in ((0, 10), (1, 10), (0, 60), (1, 60))
    ]
    assert gpu_report.same_settings(records) == records[2:]
    assert gpu_report.same_settings(records[:2]) == records[:2]
    assert gpu_report.same_settings(records, "arms") == records


def test_the_kind_of_a_kernel_follows_from_its_name() -> None:
    assert kind_of("sm90_xmma_fprop_implicit_gemm_bf16bf16_bf16f32") == "convolution"
    assert kind_of("sm80_xmma_gemm_f32f32_f32f32_f32_nn_n") == "matrix product"
    assert kind_of("batch_norm_transform_input_channels_last_kernel") == "batch normalisation"
    assert kind_of("_sinkhorn") == "Sinkhorn"
    assert kind_of("vectorized_elementwise_kernel") == "elementwise"
    assert union_length([(0, 4), (1, 2), (3, 6), (8, 9)]) == 7


def test_the_page_follows_from_its_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """results/gpu.md is the page of the files in results/gpu."""
    monkeypatch.chdir(Path(__file__).parents[1])
    text = Path("results/gpu.md").read_text("utf-8")
    assert gpu_report.page(Path("results/gpu")) == text


def test_a_page_needs_no_measurement(tmp_path: Path) -> None:
    """Without measurements, or with a failed one, the page has no table and there is no error."""
    assert gpu_report.page(tmp_path).startswith("# On a GPU")
    failed = {"conditions": gpu.conditions(), "ways": {"failed": "no memory"}, "teacher": {}}
    (tmp_path / "fast.json").write_text(json.dumps(failed))
    assert "## Fast" not in gpu_report.page(tmp_path)
