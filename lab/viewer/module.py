"""The view's modules as one: JavaScript and style as every host takes them.

The modules of this folder import one another by name. A host takes one text, so they are put one
after the other, in the order of `MODULES`, without their `import` and `export` words; all names
are therefore unlike (a test says so). Words, metrics and colours are written into it as JSON.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

from .. import palette
from ..words import panels, playground
from . import cloud_scene
from .frames import VERSION

FOLDER = Path(__file__).parent
VIEW = (
    "bytes",
    "store",
    "paint",
    "screen",
    "recording",
    "plan",
    "scores",
    "map",
    "curves",
    "lines",
    "pairs",
    "card",
    "timeline",
    "panel",
    "toolbar",
    "view",
)
PLAYGROUND = (
    "sinkhorn",
    "exact_transport",
    "clouds",
    "cloud_questions",
    "cloud_pictures",
    "critic_pictures",
    "cloud_canvas",
    "cloud_controls",
    "cloud_boards",
    "critic_section",
    "cloud_screen",
    "playground",
    "cloud_answers",
    "recorded_critics",
)
MODULES = VIEW + PLAYGROUND


@cache
def script(host: str | None = None, modules: tuple[str, ...] = MODULES) -> str:
    """Return the view as one ES module.

    Args:
        host: the file of a host's own code, without its ending, which exports what the host
            needs; None exports `mount` and `mountPlayground`.
        modules: `VIEW` leaves out the playground, for a host that shows runs alone.
    """
    words = panels.plain() | {"palette": palette.plain(), "version": VERSION}
    if modules != VIEW:
        words["playground"] = playground.plain() | cloud_scene.plain()
    content = [f"const LAB = {json.dumps(words, ensure_ascii=False)};"]
    for name in modules:
        content.append(plain_script((FOLDER / f"{name}.js").read_text("utf-8")))
    if host is None:
        content.append("export { mount, mountPlayground };")
    else:
        content.append((FOLDER / f"{host}.js").read_text("utf-8"))
    return "\n".join(content)


def plain_script(text: str) -> str:
    """Return a module without its imports, and without the word export before its names."""
    text = re.sub(r"^import [^;]*;\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^export (?=(?:const|let|class|function|async) )", "", text, flags=re.MULTILINE)


@cache
def style() -> str:
    """Return the view's style sheet."""
    return "".join((FOLDER / f"{name}.css").read_text("utf-8") for name in ("view", "playground"))
