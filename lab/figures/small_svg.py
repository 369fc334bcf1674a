"""A figure as SVG that is small enough to be kept in a notebook, and sharp at any size.

Axes, text and curves stay vectors, and text stays text. An artist with very many marks is drawn as
pixels inside the figure, as are pictures (`imshow`), whose every entry is one pixel.
"""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

MOST_MARKS = 400  # of one artist that stays a vector
DPI = 150  # of an artist that does not
SETTINGS: Any = {"svg.fonttype": "none", "svg.hashsalt": "wcord", "image.composite_image": False}
TAG = re.compile(r"<(?!image)[^>]*>")  # outside of tags stand the texts of the figure
NUMBER = re.compile(r"-?\d+\.\d{3,}")


def svg(figure: Figure) -> str:
    """Return a figure as SVG, the same text for the same figure.

    Numbers are rounded to two digits after the point, a hundredth of a point on paper.
    """
    for artist in figure.findobj():
        if _marks(artist) > MOST_MARKS:
            artist.set_rasterized(True)
        if isinstance(artist, AxesImage):
            artist.set_interpolation("none")
    text = io.StringIO()
    FigureCanvasSVG(figure)
    with rc_context(SETTINGS):
        figure.savefig(text, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
    return _shortened(text.getvalue())


def _marks(artist: Artist) -> int:
    """Return of how many marks an artist consists."""
    if isinstance(artist, Collection):
        return max(len(np.asarray(artist.get_offsets())), len(artist.get_paths()))
    return len(np.asarray(artist.get_xydata())) // 4 if isinstance(artist, Line2D) else 1


def _shortened(text: str) -> str:
    """Return SVG without its head and its metadata, and with short numbers."""
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*\n\s*", " ", text)  # a notebook stores every line in a row of its own
    return TAG.sub(lambda tag: NUMBER.sub(lambda found: f"{float(found[0]):.2f}", tag[0]), text)
