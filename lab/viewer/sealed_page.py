"""A page that is whole in one file of HTML, opens from disk in any browser and fetches nothing.

Its policy lets it run its own script, use its own style and show its own images, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..palette import DARK, LIGHT
from . import module


class Place(NamedTuple):
    """The element in which a view is shown.

    Attributes:
        label: its accessible name.
        data: values of its `data-` attributes, as JSON.
    """

    label: str
    data: Mapping[str, Any]


def sealed(
    host: str,
    title: str,
    place: Place,
    recording: bytes,
    *,
    before: str = "",
    after: str = "",
    modules: tuple[str, ...] = module.VIEW,
) -> str:
    """Return a page with a view and its recording.

    Args:
        host: the host of the view, a module `HOST.js`; the page has the style `HOST.css`.
        title: of the page, text.
        place: where the view is shown.
        recording: as `packing.packed` or `packing.compressed` returns it.
        before: markup above the view.
        after: markup below the view.
        modules: of the view, as `module.script` takes them.
    """
    script = (
        module.script(host, modules).replace("</script", r"<\/script").replace("<!--", r"<\!--")
    )
    own_style = (module.FOLDER / f"{host}.css").read_text("utf-8")
    style = "\n".join([colours(), own_style, module.style()])
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    data = " ".join(
        f'data-{name}="{html.escape(json.dumps(value))}"' for name, value in place.data.items()
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{html.escape(title)}</title>
<style>{style}</style>
</head>
<body>
{before}
<main id="view" aria-label="{html.escape(place.label)}" {data}>
<p>The pictures need JavaScript, or the file is incomplete.</p>
</main>
{after}
<script id="recording" type="application/octet-stream">{base64.b64encode(recording).decode()}\
</script>
<script type="module">{script}</script>
</body>
</html>
"""


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def colours() -> str:
    """Return the palette's ink and paper as properties, for light and for dark.

    The attribute `data-theme` of the page's root, "light" or "dark", comes before what the
    reader's system prefers.
    """
    light, dark = (
        f"color-scheme: {theme.name}; --page-ink: {theme.ink}; --page-paper: {theme.paper}; "
        f"--page-faint: {theme.faint};"
        for theme in (LIGHT, DARK)
    )
    return (
        f":root {{ {light} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {dark} }} }}\n"
        f":root[data-theme=dark] {{ {dark} }}"
    )
