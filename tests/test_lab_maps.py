"""The map worker: its order, its lock, its frames, and UMAP itself on a small run."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_run import ARMS, write_run
from scipy.spatial.distance import cdist, pdist

from lab.reading import map_worker
from lab.reading.layouts import Frame, in_units, on_sphere, pca
from wcord.runs import Run

STEPS = [0, 14, 28, 42]


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", epochs=3)


def by_pca(teacher: np.ndarray, student: np.ndarray, start: Frame | None) -> Frame:
    """Stand in for UMAP where only the order of work matters."""
    return pca(teacher, student)


@given(st.lists(st.text(min_size=1, max_size=12), unique=True, max_size=20))
def test_folder_names_are_plain_and_differ(arms: list[str]) -> None:
    arms = [arm.encode("utf-8", "ignore").decode() for arm in arms]
    names = [map_worker.folder_name(arm) for arm in arms if arm]
    assert len(set(names)) == len({arm for arm in arms if arm})
    allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%_-")
    assert all(set(name) <= allowed for name in names)


@given(st.integers(0, 1000), st.integers(2, 12))
def test_neighbours_against_a_full_sort(seed: int, k: int) -> None:
    points = np.random.default_rng(seed).normal(size=(40, 5)).astype(np.float32)
    places, distances = map_worker.knn(points, k)
    full = cdist(points, points)
    np.testing.assert_allclose(distances, np.sort(full, axis=1)[:, :k], atol=2e-3)
    assert (places[:, 0] == np.arange(40)).all()


def test_twins_stand_first_in_their_own_list() -> None:
    places, distances = map_worker.knn(np.zeros((6, 3), dtype=np.float32), 3)
    assert (places[:, 0] == np.arange(6)).all() and not distances.any()


def test_worker_draws_every_map_newest_first_and_ends(made_up: Path) -> None:
    run, order = Run(made_up), []

    def noting(teacher: np.ndarray, student: np.ndarray, start: Frame | None) -> Frame:
        order.append(start is None)
        return by_pca(teacher, student, start)

    map_worker.prefer(made_up, "wcord")
    assert map_worker.next_job(run, run.arms) == (42, "wcord")
    assert map_worker.work(made_up, noting) == len(STEPS) * len(ARMS)
    assert order == [True] + [False] * (len(order) - 1)  # each starts from one before it
    for arm in ARMS:
        assert map_worker.drawn_steps(made_up, arm) == STEPS
    assert map_worker.all_drawn(run, run.arms) and map_worker.next_job(run, run.arms) is None


def test_frames_come_back_as_written_and_follow_one_another(made_up: Path) -> None:
    map_worker.work(made_up, by_pca)
    one, other = (map_worker.read_frame(made_up, "wcord+kd", step) for step in (28, 42))
    assert one is not None and other is not None
    radius = np.sqrt((one.teacher**2).sum(1).mean())
    assert radius == pytest.approx(1, abs=0.01)
    # aligned: no turn brings the teacher's points closer
    turn = map_worker.Frame(one.teacher @ np.array([[0.0, 1], [-1, 0]]), one.student)
    assert (
        np.square(one.teacher - other.teacher).sum() < np.square(turn.teacher - other.teacher).sum()
    )


def test_what_cannot_be_read_is_passed_over(made_up: Path) -> None:
    (made_up / "snapshots" / "42.safetensors").write_bytes(b"broken")
    assert map_worker.work(made_up, by_pca) == 3 * len(ARMS)
    path = map_worker.frame_path(made_up, "crd", 0)
    path.write_bytes(b"broken too")
    assert map_worker.read_frame(made_up, "crd", 0) is None


def test_maps_of_thinned_snapshots_are_removed(made_up: Path) -> None:
    map_worker.work(made_up, by_pca)
    (made_up / "snapshots" / "14.safetensors").unlink()
    map_worker.work(made_up, by_pca)
    assert map_worker.drawn_steps(made_up, "plain") == [0, 28, 42]


def test_worker_waits_for_a_run_that_goes_on_and_ends_with_it(made_up: Path) -> None:
    write_run(made_up, epochs=3, upto=1, state="running")
    from filelock import FileLock

    lock = FileLock(made_up / "lock")
    lock.acquire()  # the writer is alive
    worker = threading.Thread(target=map_worker.work, args=(made_up, by_pca, 0.01))
    worker.start()
    deadline = time.monotonic() + 10
    while (
        map_worker.drawn_steps(made_up, "wcord") != [0, 14, 28, 42] and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    assert worker.is_alive()
    lock.release()
    worker.join(10)
    assert not worker.is_alive()


def test_worker_ends_when_its_run_is_deleted(made_up: Path) -> None:
    def deleting(teacher: np.ndarray, student: np.ndarray, start: Frame | None) -> Frame:
        for path in sorted(made_up.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        raise ValueError("gone")

    assert map_worker.work(made_up, deleting) == 0


def test_a_run_that_is_deleted_while_a_map_is_drawn_does_not_come_back(made_up: Path) -> None:
    def deleting(teacher: np.ndarray, student: np.ndarray, start: Frame | None) -> Frame:
        Run(made_up).delete()
        return Frame(np.zeros((len(teacher), 2)), np.zeros((len(student), 2)))

    assert map_worker.work(made_up, deleting) == 0
    assert not list(made_up.parent.glob("*")) and not list(made_up.parent.glob(".deleted-*"))


def test_a_second_worker_ends_at_once(made_up: Path) -> None:
    (made_up / "maps").mkdir()
    with map_worker.lock_of(made_up):
        assert map_worker.is_working(made_up)
        assert map_worker.main([str(made_up)]) == 0
        assert not map_worker.drawn_steps(made_up, "plain")
    assert not map_worker.is_working(made_up)


def test_no_run_is_one_line_on_the_command_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab.reading.map_worker", str(tmp_path / "nowhere")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "no run at" in done.stderr


@pytest.mark.slow
def test_umap_keeps_neighbours_and_starts_from_the_frame_before(tmp_path: Path) -> None:
    """Joint fits are trustworthy, and a warm start of the same features stays where it was."""
    from sklearn.manifold import trustworthiness

    path = write_run(tmp_path / "run", epochs=1, samples=200)
    picture = Run(path).snapshot(14).arm("wcord")
    cold = map_worker.fit(picture.teacher, picture.student, None)
    both = np.concatenate([on_sphere(picture.teacher), on_sphere(picture.student)])
    assert trustworthiness(both, np.concatenate(cold), n_neighbors=10) > 0.9
    warm = map_worker.fit(picture.teacher, picture.student, cold)
    again = map_worker.fit(picture.teacher, picture.student, cold)
    np.testing.assert_array_equal(warm.teacher, again.teacher)  # a seed is a seed
    moved = np.linalg.norm(warm.teacher - in_units(cold).teacher, axis=1)
    assert np.median(moved) < np.median(pdist(warm.teacher)) / 4
