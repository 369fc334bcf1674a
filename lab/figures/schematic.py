"""The method in one picture, as SVG: networks, projections, banks, critic, plan, and gradients.

    python -m lab.figures.schematic      writes notebooks/schematic/*.svg

Each file shows the whole method with one part lit, and the rest faint. A picture follows the theme
of the page that shows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ..palette import ARMS, DARK, LIGHT, Theme

WIDTH, HEIGHT = 1000, 480
TEACHER, STUDENT = 95, 330  # heights of the two lanes
TERMS = {"CE": ARMS["kd"], "GCKT": ARMS["gckt"], "LCKT": ARMS["lckt"]}
PARTS = (
    *("views", "networks", "pair", "unit", "projections", "banks", "critic", "plan", "head"),
    *("gckt", "lckt", "ce", "total", "gradients"),
)
LIT: dict[str, tuple[str, ...]] = {  # what each picture shows clearly, and in words
    "all": PARTS,
    "features": ("views", "networks", "pair"),
    "critic": ("critic",),
    "entropic": ("plan",),
    "dual": ("unit", "projections", "banks", "critic", "gckt"),
    "plan": ("projections", "plan", "lckt"),
    "objective": ("gckt", "lckt", "ce", "total", "gradients", "head"),
    "tasks": ("views", "networks", "head", "ce"),
    "pairs": ("views", "pair", "plan", "lckt"),
}
WORDS = {
    "all": "the whole method",
    "features": "networks and features",
    "critic": "the critic",
    "entropic": "the entropic plan",
    "dual": "the dual form: projections, banks, critic, GCKT",
    "plan": "the primal form: embeddings, plan, LCKT",
    "objective": "the objective, and who receives gradients",
    "tasks": "views and labels, which make a task",
    "pairs": "which rows belong together",
}


def schematic(lit: str = "all", theme: Theme | None = None) -> str:
    """Return the picture of the method as SVG.

    Args:
        lit: the part that is shown clearly, one of `LIT`.
        theme: whose colours are written into the picture; None: it follows the page's theme.

    Raises:
        ValueError: there is no such part.
    """
    if lit not in LIT:
        raise ValueError(f"no part {lit!r} of the schematic; there are {', '.join(LIT)}")
    drawn = {part: "".join(_drawn(part)) for part in PARTS}
    groups = "\n".join(
        f'<g class="{"lit" if part in LIT[lit] else "faint"}">{content}</g>'
        for part, content in drawn.items()
    )
    label = f"Schematic of WCoRD; lit: {WORDS[lit]}."
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="wcord-schematic" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{label}">\n<style>{_style()}</style>\n<title>{label}</title>\n{_arrowhead()}'
        f'\n<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>\n{groups}\n</svg>\n'
    )
    if theme is None:
        return drawing
    colours = dict(pair.split(":") for pair in _colours(theme).split(";"))
    return re.sub(r"var\((--\w+)\)", lambda name: colours[name[1]], drawing)


def write(folder: Path) -> list[Path]:
    """Write all pictures into a folder, and return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name in LIT:
        files.append(folder / f"{name}.svg")
        files[-1].write_text(schematic(name), "utf-8")
    return files


# ------------------------------------------------------------------------------------- the parts


def _drawn(part: str) -> Iterator[str]:
    yield from globals()[f"_{part}"]()


def _views() -> Iterator[str]:
    for y, side, who in ((TEACHER, "T", "teacher"), (STUDENT, "S", "student")):
        yield _pixels(18, y - 30, coarse=side == "S")
        yield _text(48, y + 48, f"{who}'s view", "small")
        yield _symbol(48, y - 40, "x", side)
        yield _arrow(82, y, 112, y)


def _pair() -> Iterator[str]:
    middle = (TEACHER + STUDENT) / 2
    yield _arrow(48, middle - 30, 48, TEACHER + 58)
    yield _arrow(48, middle + 30, 48, STUDENT - 62)
    yield _text(48, middle - 10, "one sample,", "small")
    yield _text(48, middle + 6, "two views:", "small")
    yield _text(48, middle + 22, "a pair", "small strong")


def _networks() -> Iterator[str]:
    for y, side, who, state in (
        (TEACHER, "T", "teacher", "frozen"),
        (STUDENT, "S", "student", "trained"),
    ):
        tall, low = (52, 30) if side == "T" else (34, 22)
        corners = f"114,{y - tall} 214,{y - low} 214,{y + low} 114,{y + tall}"
        yield f'<polygon class="box {who}" points="{corners}"/>'
        yield _symbol(160, y - 4, "F", side)
        yield _text(162, y + 14, who, "small")
        yield _text(162, y + tall + 16, state, "small faint-ink")
        yield _arrow(214, y, 236, y)
        yield _bar(238, y)
        yield _symbol(244, y - 38, "h", side)


def _unit() -> Iterator[str]:
    for y, letter in ((TEACHER, "t"), (STUDENT, "s")):
        yield _arrow(254, y, 330, y)
        yield _text(292, y - 8, "centre,", "small")
        yield _text(292, y + 16, "unit length", "small")
        yield _bar(332, y)
        yield _symbol(338, y - 38, letter)


def _projections() -> Iterator[str]:
    for y, side in ((TEACHER, "T"), (STUDENT, "S")):
        yield _arrow(348, y, 370, y)
        yield _box(372, y - 26, 64, 52)
        yield _symbol(402, y - 3, "W", side)
        yield _text(404, y + 16, "norm ≤ 1", "small")
        yield _arrow(436, y, 458, y)
        yield _bar(460, y)
        yield _symbol(466, y - 38, "z", side)


def _banks() -> Iterator[str]:
    yield _text(587, TEACHER - 9, "anchor", "small faint-ink")
    yield _text(606, 250, "anchor", "small faint-ink", "start")
    for top, who in ((12, "teacher's"), (124, "student's")):
        for shift in (8, 4, 0):
            yield _box(548 + shift, top - shift, 104, 34, "bank")
        yield _text(600, top + 14, f"{who} bank", "small strong")
        yield _text(600, top + 28, "past embeddings", "small")
    yield _arrow(474, TEACHER - 12, 545, 32)
    yield _arrow(474, STUDENT - 18, 562, 162)
    yield _arrow(661, 32, 702, 72)
    yield _arrow(661, 132, 702, 122)
    yield _text(690, 36, "positives,", "small faint-ink", "start")
    yield _text(690, 50, "negatives", "small faint-ink", "start")


def _critic() -> Iterator[str]:
    yield _arrow(474, TEACHER, 702, TEACHER)
    yield _arrow(474, STUDENT - 8, 706, 140)
    yield _box(704, 62, 150, 76, "strong-box")
    yield _text(779, 82, "critic, 1-Lipschitz", "small")
    yield _math(779, 104, "φ = ⟨z<sub>T</sub>, z<sub>S</sub>⟩ / τ")
    yield _text(779, 126, "one sample or two?", "small")


def _plan() -> Iterator[str]:
    yield _arrow(474, TEACHER + 10, 702, 304)
    yield _arrow(474, STUDENT, 702, STUDENT)
    yield _box(704, 286, 150, 84, "strong-box")
    shades = (8, 2, 0, 1, 1, 7, 3, 0, 0, 3, 6, 2, 2, 0, 1, 8)
    for place, shade in enumerate(shades):
        row, column = divmod(place, 4)
        yield (
            f'<rect class="mass" x="{714 + 15 * column}" y="{298 + 15 * row}" width="14" '
            f'height="14" fill-opacity="{0.08 + 0.11 * shade:.2f}"/>'
        )
    yield _text(814, 306, "plan", "small")
    yield _math(814, 326, "P")
    yield _text(814, 344, "of the batch,", "tiny")
    yield _text(814, 358, "cost 1 − cos", "tiny")


def _gckt() -> Iterator[str]:
    yield _arrow(854, TEACHER + 4, 876, TEACHER + 4)
    yield _term(878, 74, "GCKT", "dual form:", "dependence grows")


def _lckt() -> Iterator[str]:
    yield _arrow(854, STUDENT, 876, STUDENT)
    yield _term(878, 304, "LCKT", "primal form:", "cost falls")


def _head() -> Iterator[str]:
    yield _line(244, STUDENT + 30, 244, 430)
    yield _arrow(244, 430, 370, 430)
    yield _box(372, 409, 64, 42)
    yield _text(404, 427, "last", "small")
    yield _text(404, 442, "layer", "small")
    yield _arrow(436, 430, 500, 430)
    yield _text(560, 426, "the student's", "small")
    yield _text(560, 440, "answers", "small")
    yield _arrow(620, 430, 702, 430)
    yield _box(704, 409, 150, 42)
    yield _text(779, 427, "labels of its own task,", "small")
    yield _text(779, 442, "where they are known", "small")


def _ce() -> Iterator[str]:
    yield _arrow(854, 430, 876, 430)
    yield _term(878, 405, "CE", "cross-entropy", "falls")


def _total() -> Iterator[str]:
    yield _text(936, 184, "minimised together:", "small")
    yield _math(936, 208, "ℒ = CE", small=True)
    yield _math(936, 228, "+ λ<sub>1</sub> GCKT", small=True)
    yield _math(936, 248, "+ λ<sub>2</sub> LCKT", small=True)
    yield _arrow(936, 126, 936, 168)
    yield _arrow(936, 300, 936, 260)
    yield _line(994, 430, 998, 430) + _line(998, 430, 998, 214) + _arrow(998, 214, 978, 214)


def _gradients() -> Iterator[str]:
    """Mark who is moved by which term: a dot in the colour of each."""
    for x, y, terms in (
        (146, STUDENT + 66, ("CE", "GCKT", "LCKT")),
        (388, STUDENT + 38, ("GCKT", "LCKT")),
        (396, TEACHER + 38, ("GCKT",)),
        (404, 464, ("CE",)),
    ):
        yield from _dots(x, y, terms)
    yield _text(16, 450, "moved by the gradient of", "small", "start")
    for place, term in enumerate(TERMS):
        yield from _dots(22 + 72 * place, 466, (term,))
        yield _text(32 + 72 * place, 470, term, "small", "start")
    yield _text(162, TEACHER - 62, "no gradient", "small faint-ink")


# ------------------------------------------------------------------------------------ what is drawn


def _box(x: float, y: float, width: float, height: float, kind: str = "") -> str:
    return (
        f'<rect class="box {kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"/>'
    ).replace('box "', 'box"')


def _bar(x: float, y: float) -> str:
    cells = "".join(
        f'<rect class="cell" x="{x}" y="{y - 28 + 8 * k}" width="12" height="8" '
        f'fill-opacity="{(0.7, 0.2, 0.5, 0.1, 0.8, 0.35, 0.55)[k]}"/>'
        for k in range(7)
    )
    return f'{cells}<rect class="frame" x="{x}" y="{y - 28}" width="12" height="56"/>'


def _pixels(x: float, y: float, *, coarse: bool) -> str:
    """Draw a small picture of a seven; the student's has fewer pixels."""
    fine = ("......", ".####.", "....#.", "...#..", "..#...", "......")
    rows, side = (("....", ".##.", "..#.", ".#.."), 15) if coarse else (fine, 10)
    cells = "".join(
        f'<rect class="ink" x="{x + side * j}" y="{y + side * i}" width="{side}" '
        f'height="{side}" fill-opacity="{0.35 if coarse else 0.8}"/>'
        for i, row in enumerate(rows)
        for j, mark in enumerate(row)
        if mark == "#"
    )
    return f'{cells}<rect class="frame" x="{x}" y="{y}" width="60" height="60"/>'


def _term(x: float, y: float, name: str, first: str, second: str) -> str:
    return (
        f'<rect class="box" x="{x}" y="{y}" width="116" height="50" rx="5" '
        f'style="stroke:{TERMS[name]};stroke-width:2.5"/>'
        + _text(x + 58, y + 17, name, "strong")
        + _text(x + 58, y + 31, first, "small")
        + _text(x + 58, y + 44, second, "small")
    )


def _dots(x: float, y: float, terms: tuple[str, ...]) -> Iterator[str]:
    for place, term in enumerate(terms):
        yield f'<circle class="dot" cx="{x + 16 * place}" cy="{y}" r="6" fill="{TERMS[term]}"/>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="line" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>'


def _arrow(x1: float, y1: float, x2: float, y2: float) -> str:
    return _line(x1, y1, x2, y2).replace("/>", ' marker-end="url(#wcord-arrow)"/>')


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{words}</text>'


def _symbol(x: float, y: float, letter: str, side: str = "") -> str:
    return _math(x, y, letter + (f"<sub>{side}</sub>" if side else ""))


def _math(x: float, y: float, words: str, *, small: bool = False) -> str:
    """Draw a formula in which `<sub>` marks a subscript."""
    low = '<tspan class="sub" dy="4">\\1</tspan><tspan dy="-4">​</tspan>'
    shown = re.sub(r"<sub>(.*?)</sub>", low, words)
    kind = "math small-math" if small else "math"
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="middle">{shown}</text>'


def _arrowhead() -> str:
    return (
        '<defs><marker id="wcord-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="head" d="M0 0 8 4 0 8z"/></marker></defs>'
    )


def _colours(theme: Theme) -> str:
    teacher, student = theme.lit("#0072b2"), theme.lit("#d55e00")
    return (
        f"--ink:{theme.ink};--paper:{theme.paper};--soft:{theme.faint};"
        f"--teacher:{teacher};--student:{student}"
    )


def _style() -> str:
    of = ".wcord-schematic"
    return (
        f"{of}{{{_colours(LIGHT)}}}"
        f"@media (prefers-color-scheme:dark){{{of}{{{_colours(DARK)}}}}}"
        f"{of} text{{font:13px 'DejaVu Sans',Verdana,Arial,sans-serif;fill:var(--ink)}}"
        f"{of} .small{{font-size:11px}}{of} .tiny{{font-size:9.5px}}{of} .strong{{font-weight:700}}"
        f"{of} .math{{font:italic 15px 'DejaVu Serif',Georgia,'Times New Roman',serif}}"
        f"{of} .small-math{{font-size:12.5px}}{of} .sub{{font-size:70%}}"
        f"{of} .faint-ink{{opacity:.75}}{of} .faint{{opacity:.22}}"
        f"{of} .paper{{fill:var(--paper)}}{of} .box{{fill:var(--paper);stroke:var(--ink)}}"
        f"{of} .strong-box{{stroke-width:2}}{of} .bank{{stroke:var(--soft);stroke-width:1.5}}"
        f"{of} .teacher{{stroke:var(--teacher);stroke-width:2.5}}"
        f"{of} .student{{stroke:var(--student);stroke-width:2.5}}"
        f"{of} .frame{{fill:none;stroke:var(--ink)}}{of} .cell,{of} .ink{{fill:var(--ink)}}"
        f"{of} .mass{{fill:var(--teacher)}}{of} .dot{{stroke:var(--paper);stroke-width:1}}"
        f"{of} .line{{stroke:var(--ink);stroke-width:1.4}}{of} .head{{fill:var(--ink)}}"
    )


if __name__ == "__main__":
    for file in write(Path(__file__).parents[2] / "notebooks" / "schematic"):
        print(file.name)
