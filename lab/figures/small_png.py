"""A figure as a PNG that is small enough to be kept in a notebook."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

DPI = 88
COLOURS = 160  # of a picture's palette: a third of the bytes, and no difference to be seen


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """Return a figure as a small PNG with a palette of 160 colours."""
    raw = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(raw, format="png", dpi=dpi)
    raw.seek(0)
    small = io.BytesIO()
    picture = Image.open(raw).convert("RGB")
    # the widest coverage keeps thin lines in their own colour
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(small, "PNG", optimize=True)
    return small.getvalue()
