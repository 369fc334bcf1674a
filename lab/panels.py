"""What a panel of the live page is, and how one is put on a page.

What the panels draw and say is in `lab.pictures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab import palette, selection
from lab.course import notebook_section
from lab.options import Option, enlarged
from lab.palette import Theme
from lab.reading.watch import Watch
from lab.words import literal
from lab.words.equations import Line

HEIGHT = 340
# The theme has no setting for the margins beside the page, which pictures need more; a narrow
# window has none to spare.
WIDE = """<style>
[data-testid=stMainBlockContainer] {padding-left: 2rem; padding-right: 2rem}
[data-testid=stElementContainer]:has(> .stMarkdown .katex-display) {min-height: 4.6rem}
:is(.st-key-plan, .st-key-scores, .st-key-map) {container-type: inline-size}
:is(.st-key-plan, .st-key-scores, .st-key-map) .katex {
  font-size: min(1.08em, (100cqi - 1.8rem) / 17)}
.facts {display: flex; gap: .5rem}
.facts div {flex: 1; min-width: 0}
.facts small {display: block; font-size: .875rem; opacity: .75}
.look {font-size: .875rem; opacity: .65; margin: .5rem 0 0}
.facts b {font-size: 1.55rem; font-weight: 400; line-height: 1.3}
@media (max-width: 640px) {
  [data-testid=stMainBlockContainer] {padding-left: .6rem; padding-right: .6rem}
  .katex {font-size: .95em !important}
  .katex-display {overflow: auto hidden}
}
</style>"""


@dataclass(frozen=True)
class View:
    """What is being looked at: a run, one of its arms, a step, on a light or dark page.

    `selected` samples light up. `loss` and `measure` are drawn as curves, with a mark at the step
    where the page does not `follow` the newest. `moving` lets points of the map glide; `scale`
    enlarges type and lines, for a hall.
    """

    watch: Watch
    arm: str
    step: int
    theme: Theme
    selected: tuple[int, ...] = ()
    loss: str = "total"
    measure: str = "same_class_mass"
    follow: bool = True
    moving: bool = False
    scale: float = 1.0

    @property
    def values(self) -> dict[str, float]:
        """The scalars of the arm at this step."""
        return self.watch.snapshot(self.step).values(self.arm)

    @property
    def batch_labels(self) -> NDArray[Any]:
        """Classes of the samples of plan and scores."""
        n = len(self.watch.picture(self.step, self.arm).plan)
        return self.watch.snapshot(self.step).labels[:n]

    def kept(self, what: Any, make: Callable[[], Any]) -> Any:
        """Return a chart made once for this view."""
        seen = (self.step, self.arm, self.theme.name, self.selected, self.follow, self.moving)
        return self.watch.kept((what, *seen), make)


class Fact(NamedTuple):
    """A number below a picture: name, value and what it means."""

    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Panel:
    """A picture with what belongs to it, each a function of a view.

    note: what is added to the title. picture: the chart and its words. equation: with live
    values. look: what to look for now. facts: numbers. picked: how a click is read, where samples
    can be picked.
    """

    name: str
    title: Callable[[View], str]
    help: str
    why: notebook_section.Section
    picture: Callable[[View], tuple[Option, str]]
    equation: Callable[[View], Line]
    look: Callable[[View], str]
    facts: Callable[[View], Sequence[Fact]] = lambda view: ()
    picked: Callable[[View], Callable[[selection.Event], list[int]]] | None = None


def error(problem: object) -> None:
    """Show what went wrong; names in it are text."""
    st.error(literal.markdown(problem))


def begin() -> None:
    """Begin a page: its margins, and what went wrong when it was drawn last."""
    st.html(WIDE)
    if trouble := st.session_state.pop("trouble", None):
        error(trouble)


def page_theme() -> Theme:
    """Return the theme that fits the page's background."""
    return palette.DARK if st.context.theme.type == "dark" else palette.LIGHT


def number(value: float | None, pattern: str = "{:.2f}") -> str:
    """Return a number for people; a dash where there is none."""
    return "–" if value is None or not np.isfinite(value) else pattern.format(value)


def facts(shown: Sequence[tuple[str, str, str]]) -> None:
    """Show a row of numbers: name, value, and what it means."""
    with st.container(horizontal=True, gap="small"):
        for name, value, meaning in shown:
            st.metric(name, value, help=meaning, width="stretch")


def told(shown: Sequence[Fact], look: str) -> str:
    """Return numbers and what to look for as one piece of HTML: cheap, for what ticks.

    The meaning of a number is shown on pointing.
    """
    cells = "".join(
        f'<div title="{escape(meaning)}"><small>{escape(name)}</small><b>{escape(value)}</b></div>'
        for name, value, meaning in shown
    )
    numbers = f'<div class="facts">{cells}</div>' if cells else ""
    return f'{numbers}<p class="look">{escape(look)}</p>'


def title(name: str, note: str, what: str) -> None:
    """Show a panel's name, a short note, and what it is behind a question mark; all are text."""
    name, note, what = map(literal.markdown, (name, note, what))
    st.markdown(f"**{name}** · {note}" if note else f"**{name}**", help=what)


def chart(panel: Panel, view: View, scope: str | list[str], *, height: int = HEIGHT) -> None:
    """Draw a panel's chart; where samples can be picked, what is picked lights up in `scope`."""
    option, words = panel.picture(view)
    if view.scale != 1:
        option = enlarged(option, view.scale)
    if panel.picked is None:
        st.echarts_chart(option, height=height, key=f"{panel.name}-0", alt=words)
        return
    read = panel.picked(view)
    st.echarts_chart(
        option,
        height=height,
        key=selection.key(panel.name),
        alt=words,
        on_select=lambda: selection.taken(panel.name, read, scope),
    )


def equation(panel: Panel, view: View) -> None:
    """Show a panel's equation with live values."""
    line = panel.equation(view)
    st.latex(line.latex, help=line.words)


@dataclass
class Place:
    """Where a panel stands on the page: the part that ticks writes into `head` and `body`.

    The buttons beside the head do not tick: a part that is being redrawn swallows clicks.
    """

    panel: Panel
    head: Any
    body: Any

    @staticmethod
    def made(panel: Panel, present: Callable[[str], None], export: Callable[[str], None]) -> Place:
        """Lay out an empty panel here, with its buttons."""
        with st.container(border=True, height="stretch"):
            with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
                head = st.container(width="stretch")
                if st.button(
                    "Why",
                    key=f"why-{panel.name}",
                    icon=":material/menu_book:",
                    type="tertiary",
                    help=f"The section “{panel.why.heading}” of notebooks/{panel.why.notebook}",
                ):
                    notebook_section.show(panel.why)
                if st.button(
                    "",
                    key=f"take-{panel.name}",
                    icon=":material/download:",
                    type="tertiary",
                    help="Take this picture away: figure, data, settings, notebook cell.",
                ):
                    export(panel.name)
                st.button(
                    "",
                    key=f"present-{panel.name}",
                    icon=":material/fullscreen:",
                    type="tertiary",
                    help="Present this panel on a full screen.",
                    on_click=present,
                    args=(panel.name,),
                )
            return Place(panel, head, st.container(key=panel.name))

    def blank(self) -> None:
        """Draw nothing: what ticks must write to each of its places on every run of the page."""
        self.head.empty()
        self.body.empty()

    def draw(self, view: View, scope: str | list[str]) -> None:
        """Fill the place: title, equation, chart, numbers."""
        with self.head:
            st.markdown(self.panel.title(view), help=self.panel.help)
        with self.body:
            equation(self.panel, view)
            chart(self.panel, view, scope)
            st.html(told(self.panel.facts(view), self.panel.look(view)))
