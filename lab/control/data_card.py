"""What was found in a data set: its classes, the files passed over and why, first pictures.

Of a run it is read from the run's directory; before a run, from the data themselves.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import streamlit as st
from PIL import Image

from wcord.runs import Run

from ..words.class_names import NUMBERS, ClassNames, names_of
from ..words.literal import markdown
from . import page_parts

if TYPE_CHECKING:
    from wcord.settings.experiment import Experiment

ICON = ":material/photo_library:"
GROUPS = {"regression": "ranges of the target", "multilabel": "groups by the rarest label"}
PARTS = {"train": "training", "held_out": "held out", "test": "test"}
TALLEST = 12  # rows of a table that are shown at once
ROW, HEAD = 35, 38  # pixels of a table
NAMED = 3  # files named beside a statement, and
STATEMENTS = 20  # statements that are shown
LISTS: dict[str, dict[str, type]] = {  # of data.json: what each entry holds
    "classes": {"name": str} | dict.fromkeys(PARTS, int),
    "passed_over": {"file": str, "why": str},
    "remarks": {"about": str, "remark": str},
}
SIDE = 64  # pixels of a picture at least; small ones are enlarged without blur


def of_run(run: Run) -> None:
    """Open what a run found in its data, where the run keeps it.

    Raises:
        ValueError: data.json is damaged.
    """
    if (found := run.data) is None:
        return
    check(found)
    picture = None
    with suppress(OSError, SyntaxError):  # Pillow raises either for a damaged file
        content = (run.path / "pictures.png").read_bytes()
        enlarged(content)
        picture = content
    _open(found, picture, names_of(run))


def check(found: Mapping[str, Any]) -> None:
    """Refuse a data.json in which something is missing or is not what it must be.

    Raises:
        ValueError: which entry it is, in one line.
    """
    whole = {"name": isinstance(found.get("name"), str)}
    for part, kinds in LISTS.items():
        entries = found.get(part, None if part == "classes" else [])  # the others may be absent
        whole[part] = isinstance(entries, list) and all(
            isinstance(entry, dict) and isinstance(entry.get(key), kind)
            for entry in entries
            for key, kind in kinds.items()
        )
    whole["unlabelled"] = isinstance(found.get("unlabelled", 0), int)
    whole["passed_over_count"] = isinstance(found.get("passed_over_count", 0), int)
    if wrong := [part for part, is_whole in whole.items() if not is_whole]:
        raise ValueError(
            f"data.json of this run is damaged: {', '.join(wrong)} cannot be used; it is written "
            "again when the run is trained again"
        )


def offer(experiment: Experiment) -> None:
    """Show a button that reads the data of settings and opens what is found, or why it cannot."""
    why = "Read it now: classes, counts, files passed over, first pictures."
    if not st.button("Look at the data", key="look-at-data", icon=ICON, help=why):
        return
    try:
        with st.spinner("Reading the data…", show_time=True):
            found, picture = read(experiment)
    except (ValueError, OSError, RuntimeError) as error:
        page_parts.error(str(error).splitlines()[0])
    else:
        _open(found, picture, NUMBERS)


def read(experiment: Experiment) -> tuple[dict[str, Any], bytes | None]:
    """Return what is found in the data of settings, as in data.json, and a row of pictures (PNG).

    Arrays that are no pictures have no row.

    Raises:
        ValueError: the data cannot be read, in one line.
    """
    from wcord.data import load
    from wcord.runs.data_provenance import image_row

    data = load(experiment.data, experiment.seed, experiment.student.labels)
    return data.contents.plain(), image_row(data) if data.pictures else None


def _open(found: Mapping[str, Any], picture: bytes | None, labels: ClassNames) -> None:
    @st.dialog("Data", width="large")
    def opened() -> None:
        card(found, picture, labels)

    opened()


def card(found: Mapping[str, Any], picture: bytes | None, labels: ClassNames) -> None:
    """Show what was found.

    Args:
        found: as data.json has it.
        picture: a row of first pictures, a PNG, where there is one.
        labels: the student's label set, named where it is not that of the data.
    """
    import pandas as pd

    table = pd.DataFrame(list(found["classes"]), columns=["name", *PARTS])
    counts = ", ".join(f"{table[key].sum():,} {word}" for key, word in PARTS.items())
    groups = GROUPS.get(str(found.get("targets")), "classes")
    shape = found.get("shape")
    kind = f"arrays of {'×'.join(map(str, shape))}" if isinstance(shape, list) else "pictures"
    unlabelled = found.get("unlabelled")
    more = f" · {unlabelled:,} more to train on without a label" if unlabelled else ""
    st.markdown(f"**{markdown(found['name'])}** · {len(table)} {groups} · {kind}: {counts}{more}")
    if picture is not None:
        st.image(enlarged(picture), caption="First training pictures, sorted by class")
    st.dataframe(
        table.rename(columns={"name": "class"} | PARTS),
        hide_index=True,
        height=min(len(table), TALLEST) * ROW + HEAD,
        row_height=ROW,
        alt=f"{len(table)} classes with their counts",
    )
    if labels.known and list(labels.known) != table["name"].tolist():
        names = ", ".join(map(labels, range(len(labels.known))))
        st.caption(markdown(f"The student's label set: {names}."))
    if passed_over := [(each["file"], each["why"]) for each in found.get("passed_over", ())]:
        count = found.get("passed_over_count", len(passed_over))
        files = "file" if count == 1 else "files"
        st.markdown(f"**{count:,} {files} passed over**\n\n{by_statement(passed_over)}")
    if remarks := [(each["about"], each["remark"]) for each in found.get("remarks", ())]:
        st.markdown(f"**To note**\n\n{by_statement(remarks)}")


def by_statement(notes: Sequence[tuple[str, str]]) -> str:
    """Return a list in Markdown of what is stated, each with the first files it is about.

    Args:
        notes: (file, statement); what follows a colon in a statement is a detail and left out.

    >>> print(by_statement([(f"{k}.txt", "no picture: magic number") for k in range(5)]))
    - no picture (5): 0.txt, 1.txt, 2.txt and 2 more
    """
    files: dict[str, list[str]] = {}
    for file, statement in notes:
        files.setdefault(statement.partition(":")[0], []).append(file)
    lines = []
    for statement, names in list(files.items())[:STATEMENTS]:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        lines.append(f"{statement} ({len(names)}): {', '.join(names[:NAMED])}{more}")
    if len(files) > STATEMENTS:
        lines.append(f"and {len(files) - STATEMENTS} other statements")
    return "\n".join(f"- {markdown(line)}" for line in lines)


def enlarged(picture: bytes) -> Image.Image:
    """Return a row of pictures (PNG) with each pixel as a square, so that small ones are seen."""
    row = Image.open(io.BytesIO(picture))
    times = max(SIDE // row.height, 1)
    return row.resize((row.width * times, row.height * times), Image.Resampling.NEAREST)
