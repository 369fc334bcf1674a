"""A figure as SVG that is small enough to be kept in a notebook, and sharp at any size.

Axes, text and curves stay vectors, and text stays text. An artist with very many marks is drawn as
pixels inside the figure, as are pictures (`imshow`), whose every entry is one pixel.
"""

from __future__ import annotations

import base64
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
from PIL import Image

MOST_MARKS = 400  # of one artist that stays a vector
DPI = 150  # of an artist that does not
SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "wcord",
    "image.composite_image": False,
    "font.sans-serif": ["DejaVu Sans", "Verdana"],  # every text names them: a short list
}
TAG = re.compile(r"<(?!image)[^>]*>")  # outside of tags stand the texts of the figure
NUMBER = re.compile(r"-?\d+\.\d{3,}")
USE = r"\s*<use [^>]*/>\s*"  # one mark
PNG = re.compile(r"(?<=base64,)[A-Za-z0-9+/=\s]+")
MOST_COLOURS = 256  # of a picture that is kept with a palette
MARKS = re.compile(rf'(<g clip-path="[^"]*">){USE}</g>(?:\s*\1{USE}</g>)+')


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
    """Return SVG without head and metadata, with short numbers, and marks in one group."""
    text = PNG.sub(lambda found: _with_palette(found[0]), text[text.index("<svg") :])
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\s*", "\n", text)
    text = MARKS.sub(lambda run: f"{run[1]}{''.join(re.findall(USE, run[0]))}</g>", text)
    text = re.sub(r" ?\n(?=[LCMQz\"])", " ", text)  # a path is one line
    text = re.sub(r">\n<(?!g id)", "><", text)
    text = re.sub(r' transform="rotate\(-?0 [^)]*\)"', "", text)
    return TAG.sub(lambda tag: NUMBER.sub(lambda found: f"{float(found[0]):.2f}", tag[0]), text)


def _with_palette(content: str) -> str:
    """Return a PNG in base64, with one byte for each pixel where few enough colours occur."""
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA"))
    colours, place = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    if len(colours) > MOST_COLOURS or (colours[:, 3] < 255).any():
        return content
    picture = Image.fromarray(place.reshape(pixels.shape[:2]).astype(np.uint8), mode="P")
    picture.putpalette(colours[:, :3].astype(np.uint8).tobytes())
    found = io.BytesIO()
    picture.save(found, format="png", optimize=True)
    return base64.b64encode(found.getvalue()).decode()
