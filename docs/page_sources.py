"""Parts of the site that are made from the code: settings, terms, lists of names, README.

Pages hold a line such as `% settings`, which is replaced when the page is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import wcord.views
from wcord.objectives import TERMS
from wcord.objectives.needs import TARGETS
from wcord.objectives.term import Term
from wcord.settings.listing import Setting, settings_of, settings_of_model
from wcord.settings.settings_file import as_yaml
from wcord.views import VIEWS

DOCS = Path(__file__).parent.resolve()
ROOT = DOCS.parent
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changes.md",
}
ORDER = ("use-the-loss", "your-own-data", "take-the-student-away", "callbacks")  # of the guides
FULL_NAMES = {
    "ce": "cross-entropy",
    "kd": "knowledge distillation",
    "hint": "the hint of FitNets",
    "crd": "contrastive representation distillation",
    "gckt": "global contrastive knowledge transfer",
    "lckt": "local contrastive knowledge transfer",
    "dkd": "decoupled knowledge distillation",
    "dist": "distillation from a stronger teacher",
    "wkd_l": "Wasserstein knowledge distillation of logits",
    "wkd_f": "Wasserstein knowledge distillation of features",
    "itrd": "information-theoretic representation distillation",
    "vid": "variational information distillation",
    "sp": "similarity-preserving distillation",
    "rkd": "relational knowledge distillation",
    "pkt": "probabilistic knowledge transfer",
    "at": "attention transfer",
    "mse": "mean squared error",
    "bce": "binary cross-entropy",
}  # of terms
PICTURES = (".png", ".svg", ".jpg")
LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^()\s]+)\)")
NAMES = re.compile(r"^% names (\S+)$", re.MULTILINE)
FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def read_page(app: Any, name: str, source: list[str]) -> None:
    """Replace the lines that stand for generated parts, and adapt links to files outside docs/."""
    path = Path(app.env.doc2path(name)).resolve()
    parts = {
        "settings": settings_page,
        "terms": terms_page,
        "views": views_page,
        "guides": guides,
        "readme": lambda: readme_part(before="## What was measured"),
        "measured": lambda: readme_part(after="## What was measured"),
        "contributing": lambda: (ROOT / "CONTRIBUTING.md").read_text("utf-8"),
        "changes": lambda: (ROOT / "CHANGELOG.md").read_text("utf-8"),
    }
    text, folder = source[0], path.parent
    if name.startswith("decisions/0"):
        text = text.replace("# ", f"# {path.name[:4]}: ", 1)
    if name == "decisions/README":
        text += "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"
    for part, make in parts.items():
        if f"% {part}\n" in text:
            text = text.replace(f"% {part}\n", make())
            folder = ROOT if part in ("readme", "measured", "contributing", "changes") else folder
    text = NAMES.sub(lambda match: names_entry(match[1]), text)
    source[0] = adapted_links(text, folder, path.parent)


# -- README and other files of the repository --------------------------------------------------


def readme_part(after: str = "", before: str = "") -> str:
    """Return README.md from the heading `after` on, or up to the heading `before`."""
    text = (ROOT / "README.md").read_text("utf-8")
    start = text.find(f"\n{after}\n") + 1 if after else 0
    end = text.find(f"\n{before}\n") + 1 if before else 0
    return text[start : end or len(text)] + "\n"


def guides() -> str:
    """Return the table of contents of the guides: the pages of docs/ itself."""
    found = [path.stem for path in DOCS.glob("*.md") if path.stem != "index"]
    if not found:
        return ""
    names = sorted(found, key=lambda name: (name not in ORDER, *map(name.__ne__, ORDER), name))
    return "\n".join(["```{toctree}", ":caption: Guides", ":hidden:", "", *names, "```", ""])


def adapted_links(text: str, folder: Path, page_folder: Path) -> str:
    """Return Markdown whose links to files are right on the site.

    A file of docs/ or one that has a page keeps its link, a picture is shown, and any other file of
    the repository is named.

    Args:
        text: Markdown.
        folder: that its links are relative to.
        page_folder: of the page that holds it.
    """

    def adapt(match: re.Match[str]) -> str:
        mark, label, target = match.groups()
        file, hash_, anchor = target.partition("#")
        path = Path(os.path.normpath(folder / file))
        if not file or ":" in file or not path.exists():
            return match[0]
        if path.is_relative_to(ROOT) and str(path.relative_to(ROOT)) in PAGES:
            path = DOCS / PAGES[str(path.relative_to(ROOT))]
        if not (path.is_relative_to(DOCS) or path.suffix in PICTURES):
            inside = path.relative_to(ROOT)
            repeated = label in (inside.stem, str(inside)) or (
                "/" in label and str(inside).startswith(label)
            )
            if repeated:
                return f"`{inside}`"
            inner = match.string[: match.start()].endswith("(")
            return f"{label}: `{inside}`" if inner else f"{label} (`{inside}`)"
        return f"{mark}[{label}]({os.path.relpath(path, page_folder)}{hash_}{anchor})"

    pieces = FENCE.split(text)  # code blocks are at the odd places
    return "".join(LINK.sub(adapt, p) if i % 2 == 0 else p for i, p in enumerate(pieces))


# -- settings and terms ------------------------------------------------------------------------


def settings_page() -> str:
    """Return a section for each table of settings, in Markdown."""
    tables: dict[tuple[str, ...], list[Setting]] = {(): []}
    meanings = {(): "Settings of the run itself."}
    for setting in settings_of():
        if setting.table:
            tables[setting.path] = []
            meanings[setting.path] = setting.meaning + "."
        else:
            tables[setting.path[:-1]].append(setting)
    lines: list[str] = []
    for path, settings in tables.items():
        title = f"`{'.'.join(path)}`" if path else "The run"
        lines += [f"## {title}", "", meanings[path], "", *_table(settings), ""]
    return "\n".join(lines)


def terms_page() -> str:
    """Return a table of the terms, and a section for each: its docstring and its settings."""
    lines = ["| term | name | compares | needs |", "|---|---|---|---|"]
    for name, term in TERMS.items():
        full = FULL_NAMES.get(name, "")
        lines.append(f"| [`{name}`](#{name}) | {full} | {_compared(term)} | {_needs(term)} |")
    for name, term in TERMS.items():
        title = f"`{name}`: {FULL_NAMES[name]}" if name in FULL_NAMES else f"`{name}`"
        lines += ["", f"({name})=", f"## {title}", "", "```{eval-rst}"]
        lines += [f".. autoclass:: {term.__module__}.{term.__qualname__}", "```", ""]
        lines += ["**Settings**", "", *_table(settings_of_model(term.Settings))]
    return "\n".join([*lines, ""])


def _compared(term: type[Term]) -> str:
    if not term.needs_teacher:
        return "the student's outputs with labels"
    if term.needs_maps:
        return "feature maps"
    return "logits" if term.needs_logits else "features"


def _needs(term: type[Term]) -> str:
    labels = f"labels: {TARGETS[term.targets]}" if term.targets else ""
    classes = "" if labels or not term.needs_classes else "classes"
    same = "the same label set for teacher and student" if term.needs_logits else ""
    return "; ".join(filter(None, (labels, classes, same)))


def names_entry(path: str) -> str:
    """Return an entry for a registry such as `wcord.models.MODELS`, with the names in it."""
    names = ", ".join(f"``{name}``" for name in resolve_name(path))
    module, _, name = path.rpartition(".")
    entry = [f".. py:currentmodule:: {module}", f".. py:data:: {name}", "", f"   {names}"]
    return "\n".join(["```{eval-rst}", *entry, "```", ""])


def views_page() -> str:
    """Return a section for each transform of a view, with its settings."""
    lines: list[str] = []
    for name, view in VIEWS.items():
        text = " ".join((view.__doc__ or "").split())
        text = re.sub(
            r"`(\w+)`",
            lambda m: f"`wcord.views.{m[1]}`" if hasattr(wcord.views, m[1]) else m[0],
            text,
        )
        lines += [f"### `{name}`", "", text, ""]
        settings = settings_of_model(view)
        lines += [*_table(settings), ""] if settings else []
    return "\n".join(lines)


def _name_of_view(code: re.Match[str]) -> str:
    return f"`wcord.views.{code[1]}`" if code[1] in wcord.views.__all__ else code[0]


def _table(settings: Iterable[Setting]) -> Iterator[str]:
    rows = [
        (
            f"`{setting.path[-1]}`",
            setting.meaning + (f"; {setting.suited_text}" if setting.suited else ""),
            "" if setting.required else f"`{_yaml(setting.default)}`",
            setting.allowed,
        )
        for setting in settings
    ]
    if not rows:
        return
    yield "| setting | meaning | default | values |"
    yield "|---|---|---|---|"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _yaml(value: object) -> str:
    text = as_yaml(value, default_flow_style=True, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...")
