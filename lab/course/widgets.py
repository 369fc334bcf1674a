"""What moves in the notebooks: controls above a figure that is drawn again when one changes.

    plan_explorer(cost)     an entropic plan against ε and the number of iterations
    critic_explorer(x, y)   a critic of two clouds, as it trains
    compare(runs)           runs of one experiment, arms paired by seed

A run itself is shown by `lab.view`.

Every control works by keyboard (Tab, arrow keys, Space), every figure carries its alternative
text, and the line under it, which says the same in numbers, is announced when it changes.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import Any

import ipywidgets as ipw
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from wcord.analysis.report import report, results
from wcord.runs import Run
from wcord.transport import CONSTRAINTS, CloudCritic, euclidean, exact, sinkhorn

from .. import figures
from ..figures import illustrations
from ..figures.small_svg import svg
from ..words.vocabulary import MEASURES, RESULTS, held_out, metric

Array = NDArray[Any]

_BOTH = [name for result in RESULTS.values() for name in (result, held_out(result))]
LOOK_EVERY = 25  # steps between two looks at a critic
CURVES = (*map(held_out, RESULTS.values()), *RESULTS.values(), *MEASURES)


class Panel(ipw.VBox):
    """Controls in a row, a figure, and a line of words.

    Subclasses say in `draw` what the figure is and what it says. `figure` and `words` hold what
    is shown now.
    """

    figure: Figure
    words: str

    def __init__(self, controls: Sequence[ipw.Widget], below: Sequence[ipw.Widget] = ()) -> None:
        self._picture, self._line = ipw.HTML(), ipw.HTML()
        row = ipw.HBox(list(controls), layout=ipw.Layout(flex_flow="row wrap"))
        super().__init__([row, self._picture, self._line, *below])
        for control in controls:
            if "value" in control.traits():
                control.observe(self._changed, names="value")
        self.update()

    def _changed(self, _: Any) -> None:
        self.update()

    def draw(self) -> tuple[Figure, str]:
        """Return the figure of the controls as they stand, and what it says in words."""
        raise NotImplementedError

    def update(self) -> None:
        """Draw again."""
        self.figure, self.words = self.draw()
        content = base64.b64encode(svg(self.figure).encode()).decode()
        said = html.escape(self.words, quote=True)
        self._picture.value = (
            f'<img alt="{said}" src="data:image/svg+xml;base64,{content}" style="max-width:100%">'
        )
        self._line.value = f'<p role="status" aria-live="polite">{said}</p>'


def _wide(text: str, **settings: Any) -> dict[str, Any]:
    """Return what a labelled control needs so that its label is not cut off."""
    style = {"description_width": "initial"}
    return {"description": text, "style": style, "layout": ipw.Layout(width="22em")} | settings


# ------------------------------------------------------------------------------------- transport


class PlanExplorer(Panel):
    """`plan_explorer`: the plan of a cost against `epsilon` and `iterations`, or the exact one."""

    def __init__(
        self, cost: Tensor, source: Any, target: Any, labels: Any, epsilon: float, iterations: int
    ) -> None:
        self.cost = torch.as_tensor(cost).detach().double()
        self.source, self.target = (
            None if points is None else np.asarray(points) for points in (source, target)
        )
        self.labels = None if labels is None else np.asarray(labels)
        self.best = exact(self.cost)
        self.epsilon = ipw.FloatLogSlider(
            epsilon, min=-3, max=1, step=0.05, readout_format=".3g", **_wide("ε (units of cost)")
        )
        self.iterations = ipw.IntSlider(iterations, min=1, max=200, **_wide("iterations"))
        self.exact = ipw.Checkbox(False, **_wide("exact plan (ε = 0)"))
        for slider in (self.epsilon, self.iterations):
            slider.continuous_update = False
        super().__init__([self.epsilon, self.iterations, self.exact])

    def draw(self) -> tuple[Figure, str]:
        """Return the plan as picture and as lines, and its numbers."""
        self.epsilon.disabled = self.iterations.disabled = self.exact.value
        self.result = self.best
        if not self.exact.value:
            self.result = sinkhorn(self.cost, self.epsilon.value, iterations=self.iterations.value)
        value, best = float(self.result.value), float(self.best.value)
        words = f"⟨P, C⟩ = {value:.4f}, exact {best:.4f}, bias {value - best:+.4f}"
        if not self.exact.value:
            words += (
                f"; objective ⟨P, C⟩ − εH = {float(self.result.objective):.4f}; "
                f"L1 error of the rows {float(self.result.marginal_error):.1e}"
            )
        plan = self.result.plan.numpy()
        return illustrations.plan_view(plan, self.source, self.target, self.labels), words


def plan_explorer(
    cost: Tensor,
    *,
    source: Any = None,
    target: Any = None,
    labels: Any = None,
    epsilon: float = 0.1,
    iterations: int = 50,
) -> PlanExplorer:
    """Return sliders for ε and the iterations over the plan that they make.

    Args:
        cost: C (n, m).
        source, target: points in the plane (n, 2) and (m, 2), to draw the plan as lines too.
        labels: classes (n,) of both sides, where n = m; they colour the lines.
        epsilon, iterations: where the sliders begin.
    """
    return PlanExplorer(cost, source, target, labels, epsilon, iterations)


class CriticExplorer(Panel):
    """`critic_explorer`: a critic under a `constraint` after a number of `steps`."""

    def __init__(self, x: Tensor, y: Tensor, constraint: str, most: int, seed: int) -> None:
        self.x, self.y, self.seed = x.double(), y.double(), seed
        self.best = float(exact(euclidean(self.x, self.y)).value)
        self._looks: dict[str, list[tuple[Array, Any]]] = {}
        self._critics: dict[str, CloudCritic] = {}
        self.constraint = ipw.Dropdown(options=CONSTRAINTS, value=constraint, **_wide("constraint"))
        self.steps = ipw.IntSlider(
            0, min=0, max=most, step=LOOK_EVERY, continuous_update=False, **_wide("steps")
        )
        super().__init__([self.constraint, self.steps])

    def _grid(self) -> Array:
        points = torch.cat([self.x, self.y])
        low, high = points.amin(0) - 0.5, points.amax(0) + 0.5
        axes = [np.linspace(float(a), float(b), 41) for a, b in zip(low, high, strict=True)]
        if len(axes) == 1:
            return np.linspace(float(low[0]), float(high[0]), 161)
        return np.stack(np.meshgrid(*axes), -1) if len(axes) == 2 else points.numpy()

    def _look(self) -> tuple[Array, Any]:
        """Return the critic on the grid and its fit after the steps asked for."""
        name, dim = self.constraint.value, self.x.shape[1]
        if name not in self._critics:
            self._critics[name] = CloudCritic(self.x, self.y, name, seed=self.seed)
            self._looks[name] = []
        critic, looks = self._critics[name], self._looks[name]
        while len(looks) <= self.steps.value // LOOK_EVERY:
            if looks:
                critic.step(LOOK_EVERY)
            grid = self._grid()
            heights = critic.scores(torch.from_numpy(grid.reshape(-1, dim))).numpy()
            looks.append((heights.reshape(grid.shape[:-1]) if dim == 2 else heights, critic.fit()))
        return looks[self.steps.value // LOOK_EVERY]

    def draw(self) -> tuple[Figure, str]:
        """Return the critic and what it has found, and its numbers."""
        heights, fit = self._look()
        self.fit = fit
        history = [(step, found.raw, found.bound) for step, found in fit.history]
        words = (
            f"{self.constraint.value} after {fit.steps} steps: raw {fit.raw:.3f}, "
            f"slope {fit.slope:.2f}, certified bound {fit.bound:.3f}, exact W1 {self.best:.3f}"
        )
        x, y = self.x.numpy(), self.y.numpy()
        return illustrations.critic_view(x, y, self._grid(), heights, history, self.best), words


def critic_explorer(
    x: Tensor,
    y: Tensor,
    *,
    constraint: str = "spectral_groupsort",
    most: int = 1000,
    seed: int = 0,
) -> CriticExplorer:
    """Return a chooser of constraints and a slider of steps over the critic that they make.

    Args:
        x: cloud (n, d) on which the critic is to be high.
        y: cloud (m, d) on which it is to be low.
        constraint: one of `wcord.transport.CONSTRAINTS`, to begin with.
        most: the end of the slider.
        seed: of the critic's weights.
    """
    return CriticExplorer(x, y, constraint, most, seed)


# ------------------------------------------------------------------------------------------ runs


class Comparison(Panel):
    """`compare`: curves of the chosen `arms` over runs, and differences `against` one of them."""

    def __init__(self, runs: Sequence[Run], against: str | None) -> None:
        self.runs = list(runs)
        finished = self.runs[0].summary
        if finished is None:
            raise ValueError(f"{self.runs[0].name}: {self.runs[0].status.sentence}")
        arms = list(finished["arms"])
        measured = [
            name for name in (*_BOTH, "linear_probe_accuracy") if name in finished["arms"][arms[0]]
        ]
        self.result = ipw.Dropdown(options=measured, **_wide("result"))
        self.against = ipw.Dropdown(options=arms, value=against or arms[0], **_wide("against"))
        self._metrics = {run.name: run.metrics() for run in self.runs}
        known = {name for frame in self._metrics.values() for name in frame["name"].unique()}
        options = [(metric(name).label, name) for name in CURVES if name in known]
        self.metric = ipw.Dropdown(options=options, **_wide("curve"))
        self.arms = ipw.SelectMultiple(options=arms, value=tuple(arms), **_wide("arms"))
        super().__init__([self.result, self.against, self.metric, self.arms])

    def draw(self) -> tuple[Figure, str]:
        """Return mean curves with bands over seeds; in words, every paired difference."""
        chosen = list(dict.fromkeys([self.against.value, *self.arms.value]))
        name = self.metric.value
        table = results(self.runs, self.result.value)
        rows = [
            frame[(frame["name"] == name) & frame["arm"].isin(chosen)]
            for frame in self._metrics.values()
        ]
        figure, axes = illustrations.panels(2, size=(5.0, 3.9))
        figures.curves(pd.concat(rows), name=metric(name).label, ax=axes[0])
        chosen = [arm for arm in chosen if arm in table]
        said = report(self.runs, self.against.value, self.result.value).frame.loc[chosen]
        illustrations.intervals(said, self.against.value, ax=axes[1])
        parts = [f"{self.against.value} {said.loc[self.against.value, 'mean']:.1f} %"]
        for arm, row in said.iterrows():
            if arm != self.against.value:
                interval = f"{row['low']:+.1f} to {row['high']:+.1f}"
                parts.append(f"{arm} {row['difference']:+.1f} ({interval}: {row['verdict']})")
        self.table = said
        return figure, f"{self.result.value}, {len(table)} seeds: {'; '.join(parts)}"


def compare(runs: Sequence[Run], against: str | None = None) -> Comparison:
    """Return curves and paired differences of finished runs that differ in their seed.

    Args:
        runs: one a seed, of one experiment.
        against: the arm that the others are compared with; the first where None.

    Raises:
        ValueError: a run has no results yet.
    """
    return Comparison(runs, against)
