"""The lab: dashboard, view, figures and notebooks. It imports `wcord`, which does not need it.

    from wcord import lab
    lab.view(run)               the view of a run, in a notebook
    lab.page(run, "run.html")   the view of a run, in one file of HTML

- `reading`: a run that is read: snapshots, curves, maps of features, the registry of runs.
- `words`: names, equations, descriptions and hints; each is written once.
- `figures`: printed figures, pure functions from data to matplotlib. `palette`: every colour.
- `viewer`: the view, one picture machine for pages, notebooks and files of HTML.
- `control`: what pages share: steering, starting, exporting, the address.
- `pages`: the pages, put together by `dashboard`. `commands`: `wcord app`, `wcord notebooks`.
- `course`: what the notebooks import, the stops of the tour, and the tool that runs notebooks.
- `demo`: finished runs that ship with the lab.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wcord.runs import RunReader

    from .viewer.in_notebook import RunView
    from .viewer.in_page import Page


def view(
    run: RunReader | str | os.PathLike[str],
    arm: str | None = None,
    panels: Sequence[str] | None = None,
) -> RunView:
    """Return the view of a run, live or finished, for a notebook.

    Its traits `arm`, `step` and `selected` hold what is shown; assigning one changes the view.

    Args:
        run: a run, its directory, its name in the runs folder, or the name of the run that ships
            with the lab, "digits-compression".
        arm: the arm to begin with; wcord where None, else the last one.
        panels: names of panels, such as ["plan", "measures"]; the usual ones where None.

    Raises:
        ValueError: no such run, arm or panel; in one line.
        ModuleNotFoundError: the packages of the lab are not installed.
    """
    from .reading.named_run import run_of

    with _packages_of_the_lab():
        from .viewer.in_notebook import RunView

    return RunView(run_of(run), arm, panels)


def page(
    run: RunReader | str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    arms: Sequence[str] | None = None,
    steps: int = 60,
    *,
    force: bool = False,
) -> Page:
    """Write a run into one file of HTML.

    Args:
        run: a run, its directory or its name; it may still be written.
        path: name of the file; None: the name of the run with the ending .html.
        arms: those to show; all where None.
        steps: largest number of snapshots, evenly spread, the first and the last among them.
            There are fewer where the file would be larger than 10 MB.
        force: whether an existing file is replaced.

    Returns:
        The path and the size of the file, and remarks on what was left out of it.

    Raises:
        ValueError: no such run or arm, nothing to show, damaged files of the run, the file exists,
            its folder does not, or there is no room for two steps; in one line.
        ModuleNotFoundError: the packages of the lab are not installed.
    """
    from .viewer.in_page import page

    with _packages_of_the_lab():
        return page(run, path, arms, steps, force=force)


@contextmanager
def _packages_of_the_lab() -> Iterator[None]:
    """Say what to install where a package is missing: `pip install wcord` alone brings none."""
    try:
        yield
    except ModuleNotFoundError as error:
        text = f"the lab needs the package {error.name}: pip install 'wcord[lab]'"
        raise ModuleNotFoundError(text, name=error.name) from error
