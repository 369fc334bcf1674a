"""Parts of the site that are made from the code: settings, terms, docstrings, README.

Pages hold a line such as `% settings`, which is replaced when the page is read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from sphinx.util.nodes import make_refnode

from wcord.objectives import TERMS
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
PICTURES = (".png", ".svg", ".jpg")
LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^()\s]+)\)")
FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def connect(app: Any) -> None:
    """Connect the functions below to Sphinx."""
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", prepare_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skip)
    app.connect("missing-reference", unique_name)


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
    if name == "decisions/README":
        text += "\n```{toctree}\n:hidden:\n:glob:\n\n0*\n```\n"
    for part, make in parts.items():
        if f"% {part}\n" in text:
            text = text.replace(f"% {part}\n", make())
            folder = ROOT if part in ("readme", "measured", "contributing", "changes") else folder
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
            return f"`{inside}`" if label == str(inside) else f"{label}, `{inside}`"
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
    """Return a section for each term: its docstring and its settings."""
    lines: list[str] = []
    for name, term in TERMS.items():
        lines += [f"({name})=", f"## `{name}`", "", "```{eval-rst}"]
        lines += [f".. autoclass:: {term.__module__}.{term.__qualname__}", "```", ""]
        lines += ["**Settings**", "", *_table(settings_of_model(term.Settings)), ""]
    return "\n".join(lines)


def views_page() -> str:
    """Return a section for each transform of a view, with its settings."""
    lines: list[str] = []
    for name, view in VIEWS.items():
        text = " ".join((view.__doc__ or "").split())
        lines += [f"### View `{name}`", "", text, ""]
        settings = settings_of_model(view)
        lines += [*_table(settings), ""] if settings else []
    return "\n".join(lines)


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


# -- names and signatures ----------------------------------------------------------------------


def signature(
    app: Any, what: str, name: str, obj: Any, options: Any, text: str, returned: str
) -> tuple[str, str] | None:
    """Leave out the signatures of settings models and terms: their settings have pages."""
    if isinstance(obj, type) and issubclass(obj, (BaseModel, *TERMS.values())):
        return "", ""
    return (text.replace("<factory>", "..."), returned) if "<factory>" in (text or "") else None


def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out members with the text of others, and losses on the page of `wcord`.

    The fields of named tuples and pydantic's configuration have a text that is not ours. The losses
    have a page of their own.
    """
    not_ours = str(obj.__doc__).startswith("Alias for field number") or name == "model_config"
    loss = str(getattr(obj, "__module__", "")).startswith("wcord.losses")
    return True if not_ours or (loss and app.env.docname == "api/wcord") else None


def unique_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Resolve a name such as `SettingsError` to the one object that has it, in any module."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not (target[:1].isupper() or "." in target):
        return None  # a short name such as `train` is that of an argument or a setting
    domain = env.get_domain("py")
    found = [name for name in domain.objects if f".{name}".endswith(f".{target}")]
    if len(found) != 1:
        return None
    entry = domain.objects[found[0]]
    page, here = entry.docname, node.get("refdoc", env.docname)
    return make_refnode(app.builder, here, page, entry.node_id, content, found[0])


# -- docstrings --------------------------------------------------------------------------------

LITERAL = ("", ".. code-block:: text", "")
COLUMNS = re.compile(r"\S {3,}\S")


def prepare_docstring(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Make equations and aligned columns of a docstring literal, and escape its prose for reST.

    A block that is indented after an empty line is an equation; so is a paragraph whose lines have
    columns. Sections such as Args stay for napoleon.
    """
    lines[:] = _prepared(lines)


def _prepared(lines: list[str]) -> Iterator[str]:
    literal = False  # whether the last block was; an indented block after it is a part of it
    for block, before in _blocks(lines):
        if not block[0]:
            yield ""
            continue
        continued = literal and block[0].startswith(" ")
        literal = continued or _is_code(block, before)
        if literal:
            extra = "" if block[0].startswith(" ") else "    "
            yield from () if continued else LITERAL
            yield from (extra + line.replace("`", "") for line in block)
        elif _is_doctest(block):
            yield from block
        elif block[0].startswith(" ") or _is_section(block[0]):
            yield from map(escaped, block)
        else:
            yield from _with_literal_lists(block)


def _blocks(lines: list[str]) -> Iterator[tuple[list[str], str]]:
    """Return paragraphs with the last line before each; an indented one may hold empty lines."""
    block: list[str] = []
    before = ""
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
            continue
        if block:
            yield block, before
            before, block = block[-1], []
        yield [""], before


def _is_code(block: list[str], before: str) -> bool:
    if _is_doctest(block):
        return False
    if block[0].startswith("    "):
        return bool(before) and not before.startswith(" ")
    return sum(bool(COLUMNS.search(line)) for line in block) > 1


def _with_literal_lists(block: list[str]) -> Iterator[str]:
    """Return a paragraph, with the indented lines after a line such as "Names:" made literal."""
    inside = False
    for before, line in zip(["", *block], block, strict=False):
        if line.startswith("    ") and (inside or before.endswith(":")):
            yield from () if inside else LITERAL
            inside = True
            yield line.replace("`", "")
        else:
            yield from ("",) if inside else ()
            inside = False
            yield escaped(line)


def _is_section(line: str) -> bool:
    """Return whether napoleon makes a list of what follows this line."""
    names = ("Args", "Returns", "Raises", "Yields", "Attributes", "Class attributes", "Example")
    return line.removesuffix(":") in names and line.endswith(":")


def _is_doctest(block: list[str]) -> bool:
    return block[0].lstrip().startswith(">>>")


def escaped(line: str) -> str:
    r"""Return a line of prose with the characters escaped that reST would read as markup.

    >>> print(escaped("||t - s|| of `a * b`, x* and W_"))
    \|\|t - s\|\| of `a * b`, x\* and W\_
    """
    pieces = re.split(r"(`[^`]*`)", line)
    for index in range(0, len(pieces), 2):
        pieces[index] = re.sub(r"[*|\\]|(?<=\w)_(?!\w)", r"\\\g<0>", pieces[index])
    return "".join(pieces)
