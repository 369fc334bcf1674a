"""Sweeps: every cell once, in one table, however often they are interrupted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import wcord
from wcord.analysis import sweep_runs
from wcord.analysis.sweep import by_seed, column_names
from wcord.analysis.sweep_cells import combinations, make_cells

QUICK = {
    "epochs": 1,
    "teacher.epochs": 4,
    "arms": {"plain": {"ce": 1}, "mine": {"ce": 1, "gckt": 5}},
}
GRID = {"arms.mine.gckt.weight": [1, 5], "data.labels_per_class": [5, 10]}


@pytest.fixture(scope="module")
def quick() -> wcord.Experiment:
    return wcord.load("digits-compression").replace(QUICK)


def test_variants_of_an_arm_share_a_run_and_other_settings_do_not(quick: wcord.Experiment) -> None:
    cells = make_cells(quick, GRID, 2)
    assert len(cells) == 2 * 2
    assert [list(cell.experiment.arms) for cell in cells] == [
        ["plain", "mine gckt.weight=1", "mine gckt.weight=5"]
    ] * 4
    assert len({cell.name for cell in cells}) == 4
    assert combinations({}) == [{}]


def test_a_sweep_is_one_tidy_table(quick: wcord.Experiment, tmp_path: Path) -> None:
    table = wcord.sweep(quick, GRID, seeds=2, folder=tmp_path, progress=False)
    assert len(table) == 2 * 2 * 3
    assert set(GRID) | {"seed", "arm", "test_accuracy", "held_out_accuracy"} <= set(table.columns)
    assert table.error.isna().all()
    mine = table[table.arm == "mine"]
    assert len(mine.drop_duplicates([*GRID, "seed"])) == len(mine) == 8
    # a cell is the same as a run of its own
    alone = quick.replace(
        {"arms": {"x": {"ce": 1, "gckt": 1}}, "seed": 1, "data.labels_per_class": 10}
    )
    run = wcord.distill(alone, tmp_path / "alone", progress=False)
    row = mine[(mine.seed == 1) & (mine["arms.mine.gckt.weight"] == 1)]
    row = row[row["data.labels_per_class"] == 10]
    assert row.test_accuracy.item() == run.summary["arms"]["x"]["test_accuracy"]  # type: ignore[index]


def test_finished_cells_are_not_run_again_and_the_killed_one_is_resumed(
    quick: wcord.Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = {"arms.mine.gckt.weight": [1]}
    whole = wcord.sweep(quick, grid, seeds=3, folder=tmp_path / "whole", progress=False)
    begun: list[str] = []
    original = sweep_runs.distill

    def dies_at_the_second(experiment: Any, path: Any, **more: Any) -> Any:
        begun.append(str(path))
        if len(begun) == 2:
            original(experiment, path, **more)
            (Path(path) / "summary.json").unlink()
            raise KeyboardInterrupt
        return original(experiment, path, **more)

    monkeypatch.setattr(sweep_runs, "distill", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        wcord.sweep(quick, grid, seeds=3, folder=tmp_path / "killed", progress=False)
    table = wcord.sweep(quick, grid, seeds=3, folder=tmp_path / "killed", progress=False)
    assert len(begun) == 3  # the first was not begun again, the second resumed
    columns = ["seed", "arm", "test_accuracy", "held_out_accuracy"]
    pd.testing.assert_frame_equal(table[columns], whole[columns])


def test_a_failed_cell_is_reported_and_does_not_end_the_sweep(
    quick: wcord.Experiment, tmp_path: Path
) -> None:
    table = wcord.sweep(
        quick, {"data.labels_per_class": [10_000, 5]}, seeds=1, folder=tmp_path, progress=False
    )
    failed = table["data.labels_per_class"] == 10_000
    assert table[failed].error.str.contains("labels_per_class").all()
    assert table[~failed].error.isna().all() and table[~failed].test_accuracy.notna().all()


@pytest.mark.parametrize(
    ("over", "words"),
    [
        ({"arms.mine.gckt.wieght": [1]}, "did you mean 'weight'"),
        ({"arms.your.gckt.weight": [1]}, "arms.your"),
        ({"epoch": [1]}, "did you mean 'epochs'"),
        ({"epochs": []}, "needs a list of values"),
        ({"epochs": 3}, "needs a list of values"),
        ({"arms.mine.gckt.form": "nce"}, "needs a list of values"),
        ({"arms.mine.gckt.temperature": [0.1, -1]}, "temperature"),
    ],
)
def test_a_wrong_grid_is_refused_before_anything_trains(
    quick: wcord.Experiment, over: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        wcord.sweep(quick, over, folder=tmp_path, progress=False)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_seeds_are_no_setting_to_vary(quick: wcord.Experiment) -> None:
    with pytest.raises(ValueError, match="takes its seeds from"):
        make_cells(quick, {"seed": [1, 2]}, 1)
    with pytest.raises(ValueError, match="a number from 1 to"):
        make_cells(quick, {}, 10**12)


def test_no_seeds_and_unknown_backends_are_refused(quick: wcord.Experiment) -> None:
    with pytest.raises(ValueError, match="a number from 1 to"):
        wcord.sweep(quick, {}, seeds=0)
    with pytest.raises(ValueError, match="unknown backend 'cloud'"):
        wcord.sweep(quick, {}, backend="cloud")


def test_a_run_that_is_told_to_stop_ends_the_sweep_which_then_goes_on(
    quick: wcord.Experiment, tmp_path: Path
) -> None:
    longer = quick.replace({"epochs": 50})

    def stop_what_begins() -> None:
        while not (begun := list(tmp_path.glob("stopped/*/metrics.jsonl"))):
            time.sleep(0.02)
        wcord.Run(begun[0].parent).stop()

    thread = threading.Thread(target=stop_what_begins, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        wcord.sweep(longer, {}, seeds=2, folder=tmp_path / "stopped", progress=False)
    thread.join()
    assert len(list(tmp_path.glob("stopped/*/settings.yaml"))) == 1  # the second was not begun
    assert not list(tmp_path.glob("stopped/*/summary.json"))
    table = wcord.sweep(longer, {}, seeds=1, folder=tmp_path / "stopped", progress=False)
    whole = wcord.sweep(longer, {}, seeds=1, folder=tmp_path / "whole", progress=False)
    columns = ["seed", "arm", "test_accuracy", "held_out_accuracy", "error"]
    pd.testing.assert_frame_equal(table[columns], whole[columns])


def test_columns_of_a_report_name_what_was_varied(quick: wcord.Experiment, tmp_path: Path) -> None:
    table = wcord.sweep(quick, GRID, seeds=2, folder=tmp_path, progress=False)
    values = by_seed(table, GRID)
    assert set(column_names(quick, GRID)) == set(values)  # known before anything was run
    assert list(values.index) == [0, 1]
    assert set(values) == {
        f"{arm}data.labels_per_class={labels})"
        for labels in (5, 10)
        for arm in ("plain (", "mine (gckt.weight=1, ", "mine (gckt.weight=5, ")
    }
    for _, row in table[table["arm"] == "plain"].iterrows():
        column = f"plain (data.labels_per_class={row['data.labels_per_class']})"
        assert values.loc[row["seed"], column] == row["test_accuracy"]
    with pytest.raises(ValueError, match="no run has 'speed'; there are test_accuracy"):
        by_seed(table, GRID, "speed")


@pytest.fixture
def two_workers() -> Iterator[None]:
    """A local Ray cluster of two workers, tried again where a busy machine is too slow for it."""
    ray = pytest.importorskip("ray")
    for _ in range(3):
        try:
            ray.init(
                num_cpus=2,
                include_dashboard=False,
                log_to_driver=False,
                configure_logging=False,
                object_store_memory=100 * 2**20,
            )
            break
        except Exception as error:  # Ray's own waiting time: it raises nothing narrower
            ray.shutdown()
            reason = str(error).splitlines()[0]
    else:
        pytest.skip(f"no Ray cluster comes up here: {reason}")
    yield
    ray.shutdown()


@pytest.mark.slow
def test_a_sweep_on_ray_equals_the_local_one_cell_by_cell(
    quick: wcord.Experiment,
    two_workers: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Eight runs on a cluster of two workers, and one more that fails."""
    over = {"arms.mine.gckt.weight": [1, 5], "data.labels_per_class": [5, 10], "batch": [32, 64]}
    local = wcord.sweep(quick, over, seeds=2, folder=tmp_path / "local", progress=False)
    runs = tmp_path / "runs"  # set after the cluster has started, so workers must be told
    monkeypatch.setenv("WCORD_RUNS", str(runs))
    wider = {**over, "data.labels_per_class": [5, 10, 10_000]}
    far = wcord.sweep(quick, wider, 2, "ray", folder=tmp_path / "ray", progress=False)
    failed = far["data.labels_per_class"] == 10_000
    assert failed.sum() == 2 * 2 * 3
    assert far[failed]["error"].str.contains("labels_per_class is 10000").all()
    assert len(list((tmp_path / "ray").glob("*/summary.json"))) == 8
    columns = [column for column in local if column not in ("run", "error")]
    assert far[~failed]["error"].isna().all()
    sound = far[~failed][columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(sound, local[columns], check_dtype=False)  # nan: float
    for run in (tmp_path / "local").iterdir():
        teacher = (run / "teacher.safetensors").read_bytes()
        assert teacher == (tmp_path / "ray" / run.name / "teacher.safetensors").read_bytes()
    # trained once for each seed and batch, in the cache that both workers share
    assert len(list((runs / ".teachers").glob("*.safetensors"))) == 4


def test_ray_absent_is_one_clear_line(
    quick: wcord.Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ValueError, match=r"pip install 'wcord\[ray\]'"):
        wcord.sweep(quick, {}, backend="ray", folder=tmp_path)
