"""Taking a picture away: as PNG or SVG, its data as CSV, the settings, and a cell that redraws it.

Each `of_…` function reads what is shown at once, so that what is damaged is refused before a file
is offered, and returns an `Export`, which is drawn or tabulated only when asked for. `dialog` opens
the ways to take it over the page:

    exporting.dialog(exporting.of_plan(watch, arm, step), watch)
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from wcord.runs import Run, Snapshot, runs_folder

from ..reading.named_run import DEMO
from ..reading.pairing import Side, names
from ..reading.watch import Watch
from ..words import vocabulary
from ..words.class_names import name_points, name_ticks
from ..words.literal import markdown, mathtext

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Array = NDArray[Any]

DPI = 160


class Export(NamedTuple):
    """What can be taken away of one picture.

    name: the files' name without ending; draw: the matplotlib twin; table: its data; cell: a
    notebook cell whose last line is the same figure.
    """

    name: str
    draw: Callable[[], Figure]
    table: Callable[[], pd.DataFrame]
    cell: str

    def png(self) -> bytes:
        """Return the figure as PNG, 160 dots an inch."""
        return _saved(self.draw(), "png", dpi=DPI)

    def svg(self) -> bytes:
        """Return the figure as SVG, the same bytes every time."""
        return _saved(self.draw(), "svg", metadata={"Date": None})

    def csv(self) -> bytes:
        """Return the data as comma-separated values, unrounded."""
        return self.table().to_csv(index=False).encode()


def _saved(figure: Figure, form: str, **more: Any) -> bytes:
    from matplotlib import rc_context

    file = io.BytesIO()
    with rc_context({"svg.hashsalt": "wcord"}):
        figure.savefig(file, format=form, **more)
    return file.getvalue()


def of_plan(watch: Watch, arm: str, step: int) -> Export:
    """Return the export of an arm's transport plan at a step; masses sum to 1.

    Raises:
        ValueError: the snapshot is gone or damaged, or there is no such arm.
    """
    picture, snapshot = watch.picture(step, arm), watch.snapshot(step)

    def draw() -> Figure:
        from .. import figures

        labels = snapshot.labels[: len(picture.plan)]
        figure = figures.plan(picture.plan, labels, title=mathtext(title))
        name_ticks(figure.axes[0], labels, watch.class_names)
        return figure

    title = f"{arm}, step {step}"
    return Export(
        _file_name("plan", watch, arm, f"step-{step}"),
        draw,
        lambda: pairs(snapshot, picture.plan, "mass"),
        "from wcord.lab.words.class_names import name_ticks, names_of\n"
        + _opening(watch.run, step, arm)
        + "labels = snapshot.labels[: len(picture.plan)]\n"
        + f"figure = figures.plan(picture.plan, labels, title={mathtext(title)!r})\n"
        + "name_ticks(figure.axes[0], labels, names_of(run))\n"
        + "figure",
    )


def of_scores(watch: Watch, arm: str, step: int) -> Export:
    """Return the export of the critic's scores (cosines where an arm has none) at a step.

    Raises:
        ValueError: as in `of_plan`.
    """
    picture, snapshot = watch.picture(step, arm), watch.snapshot(step)

    def draw() -> Figure:
        from .. import figures

        return figures.scores(
            picture.scores,
            snapshot.labels[: len(picture.scores)],
            picture.values,
            title=title,
        )

    title = mathtext(f"{arm}, step {step}")

    return Export(
        _file_name("scores", watch, arm, f"step-{step}"),
        draw,
        lambda: pairs(snapshot, picture.scores, "score"),
        _opening(watch.run, step, arm)
        + "labels = snapshot.labels[: len(picture.scores)]\n"
        + "values = picture.values\n"
        + f"figures.scores(picture.scores, labels, values, title={title!r})",
    )


def of_map(watch: Watch, arm: str, step: int) -> Export:
    """Return the export of the joint map: the newest UMAP frame up to the step, else PCA.

    Raises:
        ValueError: as in `of_plan`.
    """
    import pandas as pd

    layout, snapshot = watch.layout(step, arm), watch.snapshot(step)
    values = snapshot.values(arm)

    def draw() -> Figure:
        from .. import figures

        title = f"{mathtext(arm)}, {layout.method} of step {layout.step}"
        figure = figures.joint_map(layout.frame, snapshot.labels, values, title=title)
        name_points(figure.axes[0], watch.class_names)
        return figure

    def table() -> pd.DataFrame:
        sides = [
            pd.DataFrame(
                {
                    "sample": snapshot.index,
                    "class": snapshot.labels,
                    "side": side,
                    "x": points[:, 0],
                    "y": points[:, 1],
                }
            )
            for side, points in layout.frame._asdict().items()
        ]
        return pd.concat(sides, ignore_index=True)

    return Export(
        _file_name("map", watch, arm, f"step-{step}"),
        draw,
        table,
        "from wcord.lab.words.class_names import name_points, names_of\n"
        + "from wcord.lab.reading.watch import Watch\n"
        + _opening(watch.run, step, arm, picture=False)
        + f"layout = Watch(run.path).layout({step}, {arm!r})\n"
        + f"title = {mathtext(arm)!r} + f', {{layout.method}} of step {{layout.step}}'\n"
        + f"values = snapshot.values({arm!r})\n"
        + "figure = figures.joint_map(layout.frame, snapshot.labels, values, title=title)\n"
        + "name_points(figure.axes[0], names_of(run))\n"
        + "figure",
    )


def of_curves(watch: Watch, metric: str, name: str = "") -> Export:
    """Return the export of one metric of every arm over the epochs.

    Args:
        watch: the run.
        metric: as metrics.jsonl names it.
        name: title of the vertical axis, with its unit.

    Raises:
        ValueError: metrics.jsonl is damaged.
    """
    metrics = watch.run.metrics()
    table = metrics[(metrics["name"] == metric) & (metrics["arm"] != "")]

    def draw() -> Figure:
        from .. import figures

        return figures.curves(table, name=name or metric)

    return Export(
        _file_name(metric, watch),
        draw,
        lambda: table,
        _opening(watch.run)
        + "metrics = run.metrics()\n"
        + f'of_arms = (metrics["name"] == {metric!r}) & (metrics["arm"] != "")\n'
        + f"figures.curves(metrics[of_arms], name={name or metric!r})",
    )


def of_difference(a: Side, b: Side, step: int) -> Export:
    """Return the export of the difference of two plans at a step.

    Raises:
        ValueError: as in `of_plan`.
    """
    named = names(a, b)
    plan_a, plan_b = (side.watch.picture(step, side.arm).plan for side in (a, b))
    snapshot = a.watch.snapshot(step)

    def draw() -> Figure:
        from .. import figures

        labels = snapshot.labels[: len(plan_a)]
        figure = figures.difference(plan_a, plan_b, labels, names=named)
        name_ticks(figure.axes[0], labels, a.watch.class_names)
        return figure

    def table() -> pd.DataFrame:
        rows = pairs(snapshot, plan_a, "mass_a")
        return rows.assign(mass_b=plan_b.ravel(), difference=(plan_a - plan_b).ravel())

    lines = ["from wcord.lab import figures"]
    lines += ["from wcord.lab.words.class_names import name_ticks, names_of"]
    lines += ["from wcord import Run", ""]
    if any(address(side.watch.run.path).startswith("Path(") for side in (a, b)):
        lines[:0] = ["from pathlib import Path", ""]
    for key, side in (("a", a), ("b", b)):
        lines.append(f"run_{key} = Run({address(side.watch.run.path)})")
        lines.append(f"{key} = run_{key}.snapshot({step})")
    lines += [
        f"plan_a, plan_b = a.arm({a.arm!r}).plan, b.arm({b.arm!r}).plan",
        "labels = a.labels[: len(plan_a)]",
        f"figure = figures.difference(plan_a, plan_b, labels, names={named!r})",
        "name_ticks(figure.axes[0], labels, names_of(run_a))",
        "figure",
    ]
    stem = f"difference-{named[0]}-{named[1]}-step-{step}".replace(" ", "-")
    return Export(stem, draw, table, "\n".join(lines))


def pairs(snapshot: Snapshot, values: Array, name: str) -> pd.DataFrame:
    """Return a matrix (n, n) of a snapshot as a table, one row a pair of samples.

    Samples carry their place in the held-out part and their class.
    """
    import pandas as pd

    n = len(values)
    index, labels = snapshot.index[:n], snapshot.labels[:n]
    return pd.DataFrame(
        {
            "teacher_sample": np.repeat(index, n),
            "teacher_class": np.repeat(labels, n),
            "student_sample": np.tile(index, n),
            "student_class": np.tile(labels, n),
            name: np.asarray(values).ravel(),
        }
    )


def address(path: Path) -> str:
    """Return the Python expression by which a notebook finds a run directory.

    A run of the runs folder is known by its name, the demo by its place in the project.
    """
    if path.parent.resolve() == runs_folder().resolve():
        return repr(path.name)
    if DEMO in path.parents:
        return f'Path(figures.__file__).parents[1] / "demo" / {path.name!r}'
    return repr(str(path))


def _opening(run: Run, step: int | None = None, arm: str = "", *, picture: bool = True) -> str:
    place = address(run.path)
    lines = ["from pathlib import Path", ""] if place.startswith("Path(") else []
    lines += ["from wcord.lab import figures", "from wcord import Run", "", f"run = Run({place})"]
    if step is not None:
        lines.append(f"snapshot = run.snapshot({step})")
        if picture:
            lines.append(f"picture = snapshot.arm({arm!r})")
    return "\n".join(lines) + "\n"


def _file_name(*parts: str | Watch) -> str:
    words = [part.run.name if isinstance(part, Watch) else part for part in parts]
    return "-".join(word.replace(" ", "-") for word in words)


def of_panel(panel: str, watch: Watch, arm: str, step: int, metric: str | None) -> None:
    """Open the ways to take a panel's picture away.

    Args:
        panel: a name in `lab.words.panels.PANELS`.
        watch, arm, step: what it shows.
        metric: what its curves are of, for a panel of curves.

    Raises:
        ValueError: what the panel shows is gone or damaged.
    """
    if metric is not None:
        dialog(of_curves(watch, metric, vocabulary.metric(metric).label), watch)
        return
    of = {"scores": of_scores, "cosines": of_scores, "map": of_map}.get(panel, of_plan)
    dialog(of(watch, arm, step), watch)


def dialog(export: Export, *watches: Watch) -> None:
    """Open the same ways over the page."""

    @st.dialog("Export")
    def opened() -> None:
        _ways(export, watches, export.name)

    opened()


def _ways(export: Export, watches: Sequence[Watch], key: str) -> None:
    """Show a button for each kind of file, and the cell."""
    files: list[tuple[str, Callable[[], bytes], str, str]] = [
        ("PNG", export.png, "png", "image/png"),
        ("SVG", export.svg, "svg", "image/svg+xml"),
        ("Data, CSV", export.csv, "csv", "text/csv"),
    ]
    with st.container(horizontal=True, gap="small"):
        for label, content, ending, mime in files:
            st.download_button(
                label,
                content,
                file_name=f"{export.name}.{ending}",
                mime=mime,
                on_click="ignore",
                key=f"export-{key}-{ending}",
            )
        for place, watch in enumerate(dict.fromkeys(watches)):
            of = f"Settings of {watch.run.name}" if len(watches) > 1 else "Settings, YAML"
            st.download_button(
                markdown(of),
                (watch.run.path / "settings.yaml").read_bytes,
                file_name=f"{watch.run.name}.yaml",
                mime="application/yaml",
                on_click="ignore",
                key=f"export-{key}-yaml-{place}",
            )
    st.caption("A notebook cell that draws this picture again:")
    st.code(export.cell, language="python")
