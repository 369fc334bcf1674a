"""Functions that Sphinx calls: they shape signatures, links, captions and contents of the pages."""

from __future__ import annotations

import re
from typing import Any

from docstring_markup import prepare_docstring
from docutils import nodes
from page_sources import read_page
from pydantic import BaseModel
from sphinx import addnodes
from sphinx.util.nodes import make_refnode

from wcord.losses.named import SingleTermLoss
from wcord.objectives import TERMS

CODE = re.compile(r"(?:wcord\.)?([A-Z]\w*(?:\.\w+)*)(?:\(.*\))?|(wcord\.[\w.]+)(?:\(.*\))?")
QUALIFIED = re.compile(r"\b(?:torch\.nn\.modules\.module\.|nn\.|pd\.|np\.|os\.)(?=[A-Z])")


def connect(app: Any) -> None:
    """Connect the functions of this module and of its neighbours to Sphinx."""
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", prepare_docstring, priority=400)  # before napoleon
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skip)
    app.connect("object-description-transform", leave_out_of_contents)
    app.connect("missing-reference", unique_name)
    app.connect("doctree-read", shape_page)
    app.connect("doctree-read", shape_commands, priority=400)  # before the contents are made
    app.connect("doctree-resolved", link_names)


def signature(
    app: Any,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    text: str | None,
    returned: str | None,
) -> tuple[str, str] | None:
    """Shorten types, and leave out signatures that are described once at another place.

    Those of settings models and terms are tables of settings; the losses of one term have the
    arguments of `SingleTermLoss`.
    """
    elsewhere = isinstance(obj, type) and issubclass(obj, (BaseModel, *TERMS.values()))
    if elsewhere or (isinstance(obj, type) and SingleTermLoss in obj.__mro__[1:]):
        return "", ""
    if text is None:
        return None
    return QUALIFIED.sub("", text).replace("<factory>", "..."), QUALIFIED.sub("", returned or "")


def skip(app: Any, what: str, name: str, obj: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out the fields of named tuples and pydantic's configuration: their text is not ours."""
    not_ours = str(obj.__doc__).startswith("Alias for field number") or name == "model_config"
    return True if not_ours else None


def leave_out_of_contents(app: Any, domain: str, kind: str, content: Any) -> None:
    """Leave classes out of the contents of the page of terms, whose headings are their names."""
    if app.env.docname == "reference/terms":
        content.parent["no-contents-entry"] = True


def unique_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Resolve a name such as `SettingsError` to the one object that has it, in any module."""
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not (target[:1].isupper() or "." in target):
        return None  # a short name such as `train` is that of an argument or a setting
    return link_to(app, target, node.get("refdoc", env.docname), content)


def link_to(app: Any, target: str, page: str, content: Any) -> Any:
    """Return a link to the object of this name, or the only one whose name ends so, else None."""
    objects = app.env.get_domain("py").objects
    ends = [
        name
        for name, entry in objects.items()
        if f".{name}".endswith(f".{target}") and not entry.aliased
    ]
    found = [target] if target in objects else ends
    if len(found) != 1:
        return None
    entry = objects[found[0]]
    return make_refnode(app.builder, page, entry.docname, entry.node_id, content, found[0])


def shape_page(app: Any, doctree: Any) -> None:
    """Write ": " between a name and its text, and give a picture its caption and full width."""
    names = nodes.strong | addnodes.literal_strong | addnodes.pending_xref
    for text in list(doctree.findall(nodes.Text)):
        if text.startswith(" -- ") and isinstance(text.parent[0], names):
            text.parent.replace(text, nodes.Text(": " + text[4:]))
        elif text == "Variables" and isinstance(text.parent, nodes.field_name):
            text.parent.replace(text, nodes.Text("Attributes"))
    for number, image in enumerate(list(doctree.findall(nodes.image)), 1):
        image["width"] = "100%"  # a scaled picture is a link to the full one
        paragraph = image.parent
        after = paragraph.next_node(descend=False, siblings=True)
        captioned = isinstance(after, nodes.paragraph) and isinstance(after[0], nodes.emphasis)
        if not captioned and len(paragraph) == 1:
            caption = nodes.caption("", image["alt"])
            paragraph.replace_self(nodes.figure("", image, caption, ids=[f"picture-{number}"]))


def link_names(app: Any, doctree: Any, page: str) -> None:
    """Link names in code, such as `Run` or `wcord.features(module)`, to the reference."""
    for code in list(doctree.findall(nodes.literal)):
        match = CODE.fullmatch(code.astext())
        if match and not isinstance(code.parent, nodes.reference | nodes.title):
            link = link_to(app, match[1] or match[2], page, code.deepcopy())
            if link is not None:
                code.replace_self(link)


def shape_commands(app: Any, doctree: Any) -> None:
    """Make each command a section of the page; its groups of arguments have a line as heading."""
    if app.env.docname != "reference/command-line":
        return
    headings = {"Positional Arguments": "Arguments", "Named Arguments": "Options"}
    for section in list(doctree.findall(nodes.section)):
        title = section[0].astext()
        if title in headings:
            section.replace_self([nodes.rubric("", headings[title]), *section[1:]])
        elif title == "Sub-commands":
            section.replace_self(section[1:])
