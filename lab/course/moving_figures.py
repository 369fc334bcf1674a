"""Figures that move without a kernel: files of HTML, each whole in itself.

    python -m lab.course.moving_figures FOLDER

A file opens from disk and fetches nothing; pages of the course embed it in a frame. It follows the
page around it: `{kind: "theme", theme: "dark"}` sets its theme, and it sends its height as
`{kind: "height", height}` (`viewer/figure.js`).
"""

from __future__ import annotations

import argparse
import gzip
import html
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..reading.named_run import DEMO
from ..viewer import cloud_parts, cloud_scene, module
from ..viewer.frames import pack
from ..viewer.scene import scene
from ..viewer.sealed_page import Place, sealed
from . import critic_recordings, tour_recordings
from .tour_stops import STOPS, Picture, Stop

STEPS = 40  # of the run
POINTS = (4, 8, 12, 16, 24, 32, 48, 64)  # of the shapes that a file of clouds has
PICTURES: Mapping[str, tuple[Picture, ...]] = {"shrunk": ("map",)}  # what its words speak of
PANELS = ("plan", "map", "scores", "accuracy", "card")
SOLVING = {"seed": False, "solvers": ["sinkhorn"], "potentials": False, "critic": False}


class MovingFigure(NamedTuple):
    """One figure.

    Attributes:
        title: its name, for people.
        words: what is to be seen, one to three sentences.
        make: returns the file of HTML.
    """

    title: str
    words: str
    make: Callable[[], str]


def _file(title: str, words: str, about: Mapping[str, Any], recording: bytes) -> str:
    """Return a file of HTML.

    Args:
        title: of the figure.
        words: below the title, where the file is opened alone.
        about: screen, scene and more, as `viewer/figure.js` takes it.
        recording: compressed frames.
    """
    head = (
        f'<header class="alone"><h1>{html.escape(title)}</h1><p>{html.escape(words)}</p></header>'
    )
    modules = module.VIEW if about["screen"] == "run" else module.MODULES
    place = Place(title, {"figure": about})
    return sealed("figure", title, place, recording, before=head, modules=modules)


def of_run(title: str, words: str) -> str:
    """Return the shipped run: plan, map, scores and accuracy through its steps."""
    from wcord.runs import Run

    from ..viewer.packing import packed

    run = Run(DEMO / "digits-compression")
    shown = scene([(run.name, "wcord")], PANELS)
    return _file(title, words, {"screen": "run", "scene": shown}, packed(run, None, STEPS))


def of_stop(stop: Stop, title: str, words: str) -> str:
    """Return the recording of a stop of the tour, with all its arms and what to look for."""
    name, pictures = tour_recordings.name_of(stop), PICTURES.get(stop.key)
    shown = tour_recordings.scene_of(stop, name, stop.cured, pictures)
    recording = (tour_recordings.FOLDER / f"{stop.key}.frames").read_bytes()
    return _file(title, words, {"screen": "run", "scene": shown}, recording)


def of_clouds(title: str, words: str, given: Mapping[str, Any], offers: Mapping[str, Any]) -> str:
    """Return two clouds whose points can be dragged, with a plan that the browser solves.

    Args:
        title: of the figure.
        words: what is to be seen.
        given: what of the playground's scene is not as at first.
        offers: what of the playground's controls and panels is left out.
    """
    shown = cloud_scene.completed(given)
    about = {"screen": "clouds", "scene": shown, "offers": {**SOLVING, **offers}}
    counts = offers.get("points") or [shown["points"]]
    shapes = [cloud_parts.shapes_part(count, shown["seed"]) for count in counts]
    small = [
        part._replace(arrays={name: array.astype("f4") for name, array in part.arrays.items()})
        for part in shapes
    ]
    return _file(title, words, about, gzip.compress(pack(small), mtime=0))


def of_critics(title: str, words: str) -> str:
    """Return the recording of critics that learn under every constraint."""
    recording = critic_recordings.FILE.read_bytes()
    return _file(title, words, {"screen": "critics"}, recording)


CLOUDS = {
    "source": {"shape": "one blob", "right": -1.2},
    "target": {"shape": "ring", "right": 1.1},
    "points": 16,
}
ENTROPY = {
    "space": "line",
    "source": {"points": [[x, 0] for x in (-2.4, -2.1, -1.7, -1.4, -0.9, 0.2, 0.6, 0.9)]},
    "target": {"points": [[x, 0] for x in (-1.1, -0.5, 0.4, 0.9, 1.3, 1.7, 2.2, 2.5)]},
    "epsilon": 0.2,
    "iterations": 100,
}
STOP_WORDS = {
    "unpaired": "Left a student trained by LCKT alone, right one with GCKT beside it. The cost "
    "falls in both; only on the right does the mass stay in the squares of its class.",
    "collapse": "Left gradients move both projections: the cost goes to 0, and the plan becomes "
    "uniform. In the middle the teacher's side is fixed. Right GCKT stands beside LCKT.",
    "shrunk": "The student begins as a copy of the teacher. Left LCKT shrinks its classes; right "
    "half the student's cost with itself is subtracted, and the variance stays. Circles are the "
    "teacher's samples, diamonds the student's.",
    "same-cost": "Three students at the same transport cost. Only the plans show which of them "
    "pairs its images with the right ones. GCKT alone, without LCKT, reaches the same.",
    "wrong-pairs": "80 % of each batch get the teacher's output of another sample. Left CRD, in "
    "the middle LCKT with the plan identity, right LCKT with the plan sinkhorn.",
}


def _figures() -> Mapping[str, MovingFigure]:
    whole = ("A run through time", (
        "Transport plan, map of the features and scores of the critic of one arm of a run on "
        "digits, at the step of the slider. Drag the slider, or press play; click a sample to see "
        "it in every picture."
    ), of_run)  # fmt: skip
    clouds = ("Two clouds and their plan", (
        "Drag a point, and the plan and its cost follow. Lines are the heaviest entries of the "
        "plan. Your browser solves it: Sinkhorn with the ε and the iterations that you choose, "
        "and the exact cost."
    ), partial(of_clouds, given=CLOUDS, offers={
        "spaces": ["plane", "line"], "points": list(POINTS),
    }))  # fmt: skip
    entropy = ("What ε and iterations do", (
        "A large ε blurs the plan and adds a bias to its cost. A small ε needs more iterations: "
        "watch the marginal error."
    ), partial(of_clouds, given=ENTROPY, offers={
        "spaces": ["line"], "shapes": False, "points": [], "cost": False,
    }))  # fmt: skip
    critics = ("A critic learns", (
        "Recorded critics of two clouds under six constraints. The raw value may pass the exact "
        "distance W1; divided by the steepest slope it is certified, and never does."
    ), of_critics)  # fmt: skip
    named: dict[str, tuple[str, str, Callable[..., str]]] = {
        "run": whole,
        **{s.key: (s.title, STOP_WORDS[s.key], partial(of_stop, s)) for s in STOPS},
        "clouds": clouds,
        "entropy": entropy,
        "critic": critics,
    }
    return {
        name: MovingFigure(title, words, partial(make, title=title, words=words))
        for name, (title, words, make) in named.items()
    }


FIGURES: Mapping[str, MovingFigure] = _figures()


def write(folder: Path) -> list[Path]:
    """Write all figures into a folder, which is made where it is missing; return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in FIGURES.items():
        files.append(folder / f"{name}.html")
        files[-1].write_text(figure.make(), "utf-8")
    return files


def main() -> None:
    """Write all figures into the folder that is given."""
    parser = argparse.ArgumentParser(description="Write the course's moving figures.")
    parser.add_argument("folder", type=Path)
    for file in write(parser.parse_args().folder):
        print(f"{file}: {file.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
