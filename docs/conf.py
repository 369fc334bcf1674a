"""The site of guides and reference: `make docs` builds it into docs/_build/html, offline."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import site_hooks  # noqa: E402

import wcord  # noqa: E402

project = "wcord"
version = release = wcord.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxarg.ext",
]
exclude_patterns = ["_build", "*.py"]

# Markdown
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4

highlight_language = "none"
smartquotes = False  # they turn --epochs into a dash

# docstrings
default_role = "py:obj"  # a name in backticks is a link where there is such a name, else code
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # attributes in one list
napoleon_attr_annotations = False  # the types are in the signature
napoleon_custom_sections = [("Class attributes", "params_style")]
nitpicky = True
nitpick_ignore_regex = [
    ("py:obj", ".*"),  # names in backticks
    ("py:class", ".*"),  # types in signatures, which need not be public
    ("py:.*", r"(?!wcord\.|lab\.).*"),  # objects of other packages
]

# pages
html_theme = "furo"
html_title = f"wcord {release}"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["site.css"]
html_show_sphinx = html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
pygments_style, pygments_dark_style = "friendly", "github-dark"


def setup(app: object) -> None:
    """Connect the functions that make and shape the pages."""
    site_hooks.connect(app)
