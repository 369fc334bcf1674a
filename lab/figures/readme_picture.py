"""The README's head, "same cost, different student": `python -m lab.figures.readme_picture`.

Two students of one teacher have come down to the same transport cost. One learnt from the local
term alone, which does not see who belongs to whom; the other had the global term beside it. The
third is the control: the global term alone, its plan only looked at.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

import wcord
from wcord.runs import Run

from .. import figures
from ..reading.layouts import Frame, aligned
from ..reading.map_worker import fit
from ..reading.pairing import equal_cost_steps

TITLES = {
    "unpaired": "LCKT alone",
    "cured": "GCKT + LCKT",
    "gckt alone": "control: GCKT alone",
}
APART = 3.0  # the student's map stands this far to the right of the teacher's
SAMPLES = 100
METRICS = {"plan_cost": "cost", "same_class_mass": "same_class_mass"}


def draw(run: Run) -> Figure:
    """Return the picture of a finished run of digits-unpaired."""
    steps = equal_cost_steps(run, list(TITLES), "unpaired")
    panels, reference = [], None
    for arm, step in steps.items():
        snapshot = run.snapshot(step)
        picture = snapshot.arm(arm)
        reference = aligned(fit(picture.teacher, picture.student, None), reference)
        few = slice(SAMPLES)
        frame = Frame(reference.teacher[few], reference.student[few] + [APART, 0])
        frame = Frame(frame.teacher - [APART / 2, 0], frame.student - [APART / 2, 0])
        title = f"{TITLES[arm]}\ncost {snapshot.values(arm)['plan_cost']:.2f}, step {step}"
        plan = picture.plan[:SAMPLES, :SAMPLES]
        panels.append((title, frame, plan / plan.sum(), snapshot.labels[few]))
    metrics = run.metrics()
    curves = metrics[metrics.arm.isin(TITLES) & metrics.name.isin(METRICS)]
    curves = curves.assign(name=curves.name.map(METRICS), arm=curves.arm.map(TITLES))
    return figures.same_cost(panels, curves)


def main() -> None:
    """Train the three arms (half a minute), draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, default=Path("results/same-cost.png"))
    asked = parser.parse_args()
    experiment = wcord.load("digits-unpaired").replace(
        {"arms.identity": None, "probe.every": 0.5, "linear_probe": False}
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("WCORD_RUNS", folder)
        run = wcord.distill(experiment, Path(folder) / "run")
        figure = draw(run)
    asked.path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(asked.path, dpi=110)
    print(asked.path)


if __name__ == "__main__":
    main()
