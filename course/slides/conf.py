"""The slides: `make slides` builds them into course/slides/_build/html, offline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

from course.book import formulas  # noqa: E402
from course.slides.build import THEME  # noqa: E402

project = "wcord slides"
extensions = ["myst_parser", "sphinx_revealjs"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
smartquotes = False
html_math_renderer = "mathml"
html_show_copyright = html_show_sphinx = False
revealjs_style_theme = THEME
revealjs_static_path = ["_static"]
revealjs_css_files = ["slides.css"]
revealjs_script_files = ["slides.js"]
revealjs_script_conf = {
    "width": 1280,
    "height": 720,
    "margin": 0.05,
    "hash": True,
    "slideNumber": "c/t",
    "controlsLayout": "edges",  # beside figures that reach the lower corner
    "center": False,
    "transition": "none",
    "preloadIframes": False,
}
revealjs_script_plugins = [
    {"name": "RevealNotes", "src": "revealjs/plugin/notes/notes.js"},
]


def setup(app: Any) -> None:
    """Connect the renderer of formulas."""
    formulas.connect(app)
