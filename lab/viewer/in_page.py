"""A run in one file of HTML, which opens from disk in any browser and fetches nothing.

    wcord page RUN -o run.html
    lab.page(run, "run.html")

The file has the view with a recording of the run (`packing.py`), and below it results, conditions,
settings and how to repeat the run. Its policy lets it run its own script and show its own images,
and nothing else. Nothing of the machine is in it.
"""

from __future__ import annotations

import argparse
import html
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from wcord.runs import Run, RunReader

LARGEST = 10_000_000  # bytes of a page
STEPS = 60
CLOSE_UNDER = 0.97  # of the steps for which there would be room


class Page(NamedTuple):
    """A page that was written.

    Attributes:
        path: name of the file.
        size: size of the file, in bytes.
        remarks: sentences on what was left out of the page.
    """

    path: Path
    size: int
    remarks: tuple[str, ...]


def command(parser: argparse.ArgumentParser) -> Callable[[argparse.Namespace], int]:
    """Write a run into one HTML file that opens in any browser, without a server."""
    parser.add_argument("run_dir", metavar="RUN", help="a directory, or a name in $WCORD_RUNS")
    parser.add_argument("--arms", help="the arms to show, a,b,c (default: all)")
    parser.add_argument(
        "--steps", type=int, default=STEPS, help=f"largest number of snapshots (default: {STEPS})"
    )
    parser.add_argument("-o", "--output", help="the file (default: RUN.html)")
    parser.add_argument("--force", action="store_true", help="replace an existing file")

    def run(options: argparse.Namespace) -> int:
        arms = None if options.arms is None else options.arms.split(",")
        made = page(options.run_dir, options.output, arms, options.steps, force=options.force)
        for remark in made.remarks:
            print(f"wcord: {remark}", file=sys.stderr)
        print(f"{made.path}: {made.size / 1e6:.2f} MB")
        return 0

    return run


def page(
    run: RunReader | str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    arms: Sequence[str] | None = None,
    steps: int = STEPS,
    *,
    force: bool = False,
) -> Page:
    """Write a run into one file of HTML (see `lab.page`)."""
    from wcord.runs.storage import write_bytes

    from ..reading.named_run import run_of

    found = run_of(run)
    target = Path(path) if path is not None else Path(f"{_name(found)}.html")
    if target.exists() and not force:
        raise ValueError(f"{target} exists: choose another file, or replace it with --force")
    if not target.parent.is_dir():
        raise ValueError(
            f"cannot write {target}: the folder {target.parent} does not exist; make it first"
        )
    text, remarks = document(found, arms, steps)
    content = text.encode()
    write_bytes(target, content)
    return Page(target, len(content), remarks)


def document(
    run: Run, arms: Sequence[str] | None = None, steps: int = STEPS
) -> tuple[str, tuple[str, ...]]:
    """Return the page of a run as text, and remarks on what was left out.

    Raises:
        ValueError: as `page`.
    """
    from .packing import packed, unpacked

    most = steps
    remarks: list[str] = []
    while True:
        with _whole(run, "settings.yaml, metrics.jsonl, data.json or a snapshot"):
            content = packed(run, arms, most, name=_name(run))
            about = {part.kind: part.about for part in unpacked(content)}
        with _whole(run, "settings.yaml, summary.json or data.json"):
            text = _html(run, about, content)
        size, kept = len(text.encode()), len(about["status"]["steps"])
        if size <= LARGEST:
            break
        if kept <= 2:
            raise ValueError(
                f"{kept} steps of {run.name} would take {size / 1e6:.1f} MB, and a page may have "
                f"{LARGEST / 1e6:g}: choose fewer arms"
            )
        if not remarks:
            remarks.append(f"{kept} steps would take {size / 1e6:.1f} MB: fewer are kept")
        coded = len(content) * 4 // 3
        room = (LARGEST - size + coded) / coded
        most = max(2, min(kept - 1, int(CLOSE_UNDER * room * kept)))
    if remarks:
        remarks[0] = remarks[0].replace("fewer are kept", f"{kept} are kept")
    remarks += [f"step {step} is left out: {why}" for step, why in about["recording"]["left_out"]]
    return text, tuple(remarks)


@contextmanager
def _whole(run: Run, files: str) -> Iterator[None]:
    """Say in one line that files of a run are damaged, where reading them fails.

    A plain ValueError is one of ours, and says it better.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        if type(error) is ValueError:
            raise
        raise ValueError(
            f"{_name(run)} cannot be packed: its files are damaged ({files})"
        ) from error


def _name(run: RunReader) -> str:
    return run.path.resolve().name or "run"


def _html(run: Run, about: Mapping[str, Any], recording: bytes) -> str:
    """Return the page, whole.

    Args:
        run: the run.
        about: facts of the recording's parts, by their kind.
        recording: as `packed` returns it.
    """
    from . import run_sheet
    from .scene import scene
    from .sealed_page import Place, sealed

    arms = [arm["name"] for arm in about["run"]["arms"]]
    shown = scene([(_name(run), "wcord" if "wcord" in arms else arms[-1])])
    title, count = about["run"]["title"], len(about["status"]["steps"])
    heading = (
        f'<h1 class="page-title">{html.escape(title)} <small>a recording of '
        f"{html.escape(_name(run))}, {count} snapshot{'s' * (count != 1)}</small></h1>"
    )
    sheet = f'<div class="about">\n{run_sheet.html_of(run, about)}\n</div>'
    place = Place("The recorded run", {"scene": shown})
    return sealed("page", title, place, recording, before=heading, after=sheet)
