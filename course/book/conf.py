"""The course as pages: `make book` builds them into course/book/_build/html, offline."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import wcord
from course.book import formulas, hooks

project = "wcord course"
version = release = wcord.__version__
extensions = ["myst_nb", "sphinx_copybutton"]

# notebooks: shown as they are stored
nb_execution_mode = "off"
nb_render_markdown_format = "myst"
nb_merge_streams = True
nb_ipywidgets_js: dict[str, Any] = {}  # the default is an address in the network
nb_code_prompt_show = "Set-up: imports and settings"
nb_code_prompt_hide = nb_code_prompt_show
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_heading_slug_func = "course.book.hooks.jupyter_slug"
smartquotes = False  # they turn --epochs into a dash

# pages
html_theme = "furo"
html_title = "The wcord course"
html_static_path = ["_static"]
templates_path = ["../../docs/_templates"]  # a heading for the page of the search
html_css_files = ["book.css"]
html_js_files = [("book.js", {"defer": "defer"})]
html_math_renderer = "mathml"
html_show_sphinx = html_show_copyright = False
html_copy_source = html_show_sourcelink = False
html_show_search_summary = False  # it would be fetched, which a page opened from disk cannot
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#00609a"},
    "dark_css_variables": {"color-brand-primary": "#8aa4ff", "color-brand-content": "#9db3ff"},
}
pygments_style, pygments_dark_style = "friendly", "github-dark"
copybutton_selector = "div.cell_input pre, div.highlight-sh pre"


def setup(app: Any) -> None:
    """Connect the functions that make and shape the pages."""
    formulas.connect(app)
    hooks.connect(app)
