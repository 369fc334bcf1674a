"""Recordings of the tour's runs, which ship with the lab: `python -m lab.course.tour_recordings`.

A recording is the packets of a finished run in one compressed file, so that the tour shows its
pictures before anything was trained.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from ..reading import map_worker
from ..reading.named_run import DEMO
from ..reading.pairing import equal_cost_steps
from ..reading.watch import Watch
from ..viewer.frames import Part
from ..viewer.scene import Scene, scene
from .tour_stops import STOPS, Picture, Stop, experiment

FOLDER = DEMO / "tour"
STEPS = 25  # of a recording
SAMPLES = 64  # of plan and map


def name_of(stop: Stop) -> str:
    """Return the name by which the view knows the recording of a stop."""
    return f"recording: {stop.preset}"


def scene_of(
    stop: Stop, run: str, arms: Sequence[str], pictures: Sequence[Picture] | None = None
) -> Scene:
    """Return the scene of a stop: its pictures of the arms, then its curves.

    Args:
        stop: a stop of the tour.
        run: the name by which the view knows its run.
        arms: those that are shown.
        pictures: of every arm; where None, both of one arm, and the first of several.
    """
    kinds = pictures or (stop.pictures if len(arms) == 1 else stop.pictures[:1])
    panels = [f"{kind}@{side}" for side in range(len(arms)) for kind in kinds]
    panels += [f"curve:{metric}" for metric in stop.curves]
    return scene(
        [(run, arm) for arm in arms],
        panels,
        fixed=True,
        beside=list(stop.beside),
        behind=stop.curves[1 if stop.curves[1] == "same_class_mass" else 0],
    )


def parts(stop: Stop) -> list[Part]:
    """Return the recording of a stop, with what to look for at every step."""
    return list(_read(stop.key))


@lru_cache(maxsize=len(STOPS))
def _read(key: str) -> tuple[Part, ...]:
    from ..viewer import packing

    return tuple(packing.unpacked((FOLDER / f"{key}.frames").read_bytes()))


def guidance(stop: Stop, watch: Watch, arms: Sequence[str], *, finished: bool) -> list[Part]:
    """Return what to look for at every step, and the steps of equal cost where a stop has them."""
    steps = watch.run.steps
    if not steps:
        return []
    watch.metrics.poll()
    values = {step: watch.values_at(arms[0], step) for step in steps}
    first = values[steps[0]]
    notes = {str(step): f"Look now. {plain(stop.hint(first, values[step]))}" for step in steps}
    found = [Part("note", {"text": "", "at": notes})]
    if "lines" in stop.pictures and finished:
        equal = watch.kept(
            ("equal cost", *stop.cured),
            lambda: equal_cost_steps(watch.run, stop.cured, stop.cured[0]),
        )
        # At the newest step the view shows the steps of equal cost.
        apart = watch.values_at(arms[0], equal[arms[0]])
        notes[str(steps[-1])] = f"Look now. {plain(stop.hint(first, apart))}"
        found.append(Part("scene", {"scene": {"stepOf": [equal[arm] for arm in arms]}}))
    return found


def plain(text: str) -> str:
    """Return Markdown without its marks of emphasis."""
    return text.replace("**", "")


def main() -> int:
    """Train the run of every stop, and write its recording."""
    import wcord

    from ..viewer import packing

    FOLDER.mkdir(parents=True, exist_ok=True)
    for stop in STOPS:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["WCORD_RUNS"] = folder
            probe = {"batch": SAMPLES, "features": SAMPLES, "every": 1.0, "losses": 4}
            chosen = experiment(stop).replace({"probe": probe})
            run = wcord.distill(chosen, Path(folder) / name_of(stop).replace(": ", "-"))
            map_worker.work(run.path)
            watch = Watch(run.path)
            arms = [*dict.fromkeys([*stop.cured, *stop.beside])]
            more = guidance(stop, watch, stop.cured, finished=True)
            equal = {
                s for part in more if part.kind == "scene" for s in part.about["scene"]["stepOf"]
            }
            taken = watch.run.steps
            few = (taken[place] for place in packing.thinned(taken, STEPS))
            steps = sorted({*few, *equal})
            content = packing.packed(watch, arms, steps, name=name_of(stop), more=more)
        (FOLDER / f"{stop.key}.frames").write_bytes(content)
        print(f"{stop.key}: {len(content) / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
