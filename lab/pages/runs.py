"""The runs page: what there is and how it goes, notes, search, resume, delete, attach, start."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import pandas as pd
import streamlit as st

from wcord.runs import Run, runs_folder

from ..control import page_parts, start_form
from ..control.steering import attempt
from ..reading import registry
from ..reading.registry import Row
from ..words import literal

TICK = 2.0  # seconds between looks at runs that move
STATES = {
    "running": "▶ running",
    "paused": "❚❚ paused",
    "training-teacher": "▶ training the teacher",
    "starting": "▶ starting",
    "finished": "✓ finished",
    "stopped": "■ stopped",
    "failed": "✗ failed",
    "interrupted": "✗ interrupted",
    "silent": "? no sign",
    "broken": "✗ broken",
}


def page() -> None:
    """Draw the page: the table of runs and the one chosen, or the editor of settings."""
    page_parts.begin()
    kinds = ["Runs", "Start from settings"]
    given = st.query_params.get("view", "")
    view = st.segmented_control(
        "What to do",
        kinds,
        default=given if given in kinds else kinds[0],
        required=True,
        key="view",
        on_change=lambda: to_address("view", st.session_state["view"]),
        label_visibility="collapsed",
    )
    if view == "Runs":
        overview()
    else:
        start_form.editor()
    st.caption(who_may_look())


def to_address(name: str, value: str | None) -> None:
    """Put a choice into the address (a callback)."""
    if value:
        st.query_params[name] = value
    else:
        st.query_params.pop(name, None)


def overview() -> None:
    """Show search, attaching, the table, and under it the run that the address names."""
    attached = registry.attached()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        search = st.text_input(
            "Search",
            st.query_params.get("search", ""),
            key="search",
            type="search",
            live=True,
            placeholder="words in name, title, state or notes",
            on_change=lambda: to_address("search", st.session_state["search"]),
            width=420,
        )
        with st.popover("Attach a run elsewhere", icon=":material/folder_open:"):
            attach_form()
    found = registry.rows(attached, search or "")
    every = registry.rows(attached) if search else found
    of = f"{len(found)} of {len(every)}" if search else f"{len(every)}"
    noun = "run" if len(every) == 1 else "runs"
    st.caption(literal.markdown(f"{of} {noun}; new ones go to {runs_folder()} ($WCORD_RUNS)"))
    if found:
        table(found)
    else:
        st.info(literal.markdown(f"No run has {search!r} in its name, title, state or notes."))
    chosen = st.query_params.get("run", "")
    if row := next((row for row in every if row.name == chosen), None):
        details(row)
    elif chosen:
        try:
            registry.find(chosen)
        except ValueError as error:
            page_parts.error(error)
    if any(row.moving for row in every):
        st.fragment(look_again, run_every=TICK)(signature(every))


def signature(rows: list[Row]) -> tuple[tuple[str, str, int, str], ...]:
    """Return what of the rows is worth a new table when it changes."""
    return tuple((row.name, row.state, round(100 * row.share), row.notes) for row in rows)


def look_again(drawn: tuple[tuple[str, str, int, str], ...]) -> None:
    """Ask for a new page when the runs have moved on."""
    if signature(registry.rows(registry.attached())) != drawn:
        st.rerun()


def table(rows: list[Row]) -> None:
    """Show the runs, newest first; a click on one puts it into the address."""
    names = [row.name for row in rows]
    chosen = st.query_params.get("run", "")
    # The key changes with the list: a place in an old list is not a place in the new one.
    key = f"registry-{hash((*names, chosen))}"

    def choose() -> None:
        picked = st.session_state[key]["selection"]["rows"]
        if picked:
            st.query_params["run"] = names[picked[0]]
        else:
            st.query_params.pop("run", None)

    selected = [names.index(chosen)] if chosen in names else []
    st.dataframe(
        pd.DataFrame(
            {
                "run": names,
                "state": [STATES.get(row.state, row.state) for row in rows],
                "progress": [100 * row.share for row in rows],
                "left": [time_left(row.left) for row in rows],
                "begun": [datetime.datetime.fromtimestamp(row.born) for row in rows],
                "what": [row.trouble or row.title for row in rows],
                "notes": [row.notes for row in rows],
            }
        ),
        key=key,
        hide_index=True,
        height="auto" if len(rows) < 11 else 430,
        row_height=36,
        on_select=choose,
        selection_mode="single-row",
        selection_default={"selection": {"rows": selected}},
        column_config={
            "run": st.column_config.TextColumn("Run", width="medium", pinned=True),
            "state": st.column_config.TextColumn("State", width="small"),
            "progress": st.column_config.ProgressColumn(
                "Progress", format="%d %%", min_value=0, max_value=100, width="small"
            ),
            "left": st.column_config.TextColumn(
                "Left", width="small", help="Hours:minutes:seconds"
            ),
            "begun": st.column_config.DatetimeColumn("Begun", format="D MMM, HH:mm", width=120),
            "what": st.column_config.TextColumn("What it is, or what is wrong", width="large"),
            "notes": st.column_config.TextColumn("Notes", width="medium"),
        },
        alt=f"{len(rows)} runs with state, progress, time left, title and notes",
    )
    if not selected:
        st.caption("Choose a run by the box at its left: notes, resume, stop and delete.")


def time_left(seconds: float | None) -> str:
    """Return a time as hours, minutes and seconds; nothing where it is not known.

    >>> time_left(754.2), time_left(None)
    ('0:12:34', '')
    """
    return "" if seconds is None else str(datetime.timedelta(seconds=round(seconds)))


def details(row: Row) -> None:
    """Show the chosen run: its facts, where to look at it, what can be done with it."""
    with st.container(border=True):
        page_parts.title(row.name, row.sentence, f"Its directory: {row.path}")
        if row.title and not row.trouble:
            st.markdown(literal.markdown(row.title))
        if not registry.is_ours(row.path):
            st.caption("It lies outside of the runs folder: it is looked at, and never changed.")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            actions(row)
        if not row.trouble and registry.is_ours(row.path):
            notes(row)
        if not row.trouble:
            with st.expander("Settings"):
                st.code((row.path / "settings.yaml").read_text("utf-8"), language="yaml")


def actions(row: Row) -> None:
    """Show the ways to other pages, and the buttons that make sense for this run."""
    if not row.trouble:
        for label, icon, name, key in (
            ("Watch", "monitoring", "live", "run"),
            ("Compare", "compare", "compare", "a"),
            ("Laboratory", "science", "laboratory", "run"),
            ("Playground", "scatter_plot", "playground", "run"),
        ):
            st.page_link(
                page_parts.page_named(name),
                label=label,
                icon=f":material/{icon}:",
                query_params={key: row.name},
            )
    if not registry.is_ours(row.path):
        return
    if row.resumable:
        _button("Resume", "play_arrow", lambda: _relaunch(row), "Go on from the last checkpoint.")
    if row.moving:
        _button("Stop", "stop", Run(row.path).stop, "End the run, with a checkpoint.")
        return
    with st.popover("Delete…", icon=":material/delete:"):
        name = literal.markdown(row.name)
        st.markdown(f"Delete **{name}** and everything in it? This cannot be undone.")
        _button(f"Delete {name}", "delete", lambda: _delete(row.name), "", key="delete")


def _button(
    label: str, icon: str, action: Callable[[], object], why: str, key: str | None = None
) -> None:
    st.button(
        label,
        key=key or label.lower(),
        icon=f":material/{icon}:",
        help=why or None,
        on_click=attempt,
        args=(action,),
    )


def _relaunch(row: Row) -> None:
    from wcord import relaunch

    relaunch(Run(row.path))


def _delete(name: str) -> None:
    registry.delete(name)
    st.query_params.pop("run", None)


def notes(row: Row) -> None:
    """Show the notes; they are kept in the run's own directory when the field is left."""
    key = f"notes-{row.name}"

    def keep() -> None:
        attempt(lambda: Run(row.path).note(st.session_state[key]))

    st.text_area(
        "Notes",
        row.notes,
        key=key,
        on_change=keep,
        max_chars=5000,
        height=90,
        placeholder="What was tried, what was seen. Kept in the run's directory, notes.txt.",
    )


def attach_form() -> None:
    """Ask for the path of a run that lies elsewhere, shared or copied."""
    st.markdown(
        "A run directory that another machine writes, on a shared disk or copied here. It is "
        "looked at while it grows, and never changed."
    )

    def attach() -> None:
        attempt(lambda: registry.attach(st.session_state["attach-path"]))

    st.text_input(
        "Path of the run directory",
        key="attach-path",
        placeholder="/shared/runs/cifar100-resnet32x4",
        on_change=attach,
    )
    st.button("Attach", key="attach", icon=":material/link:", on_click=attach)


def who_may_look() -> str:
    """Say who can reach this server, and what they could do."""
    place = st.get_option("server.address") or ""
    if place in ("localhost", "127.0.0.1", "::1"):
        return (
            "This server answers to this machine only. Started with `--server.address=0.0.0.0` it "
            "answers to the network: whoever reaches it can start, stop and delete runs, and read "
            "any run directory that this account can read."
        )
    return (
        f"This server answers to the network ({place or 'every address'}): whoever reaches it can "
        "start, stop and delete runs, and read any run directory that this account can read."
    )
