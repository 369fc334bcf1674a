"""One picture as numbers: upright, on white where it is transparent, with its gray levels kept."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # Pillow's modes of more than 8 bits
DEPTHS = (8, 10, 12, 14, 16)  # bits of a gray level
ORIENTATION, PHOTOMETRIC = 274, 262  # tags of EXIF and TIFF
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


class NotRead(Exception):
    """A file that cannot be read as a picture; its text is the reason."""


class Decoded(NamedTuple):
    """A picture at its final size.

    `pixels` is (H, W) or (H, W, 3) uint8, or (H, W) float32 gray levels whose white is a matter
    of the whole data set (see `white`). `highest` is the highest level, 0 ... 65535, of a picture
    with more than 8 bits, else 0. `pages` is the number of pages in the file; the first is read.
    """

    pixels: np.ndarray
    highest: int = 0
    pages: int = 1


def white(highest: int) -> int:
    """Return the gray level that becomes 255: 2^b − 1 for the smallest depth b that has `highest`.

    Cameras store levels of 10, 12 and 14 bits in 16, and a file does not say so. The depth is
    that of a whole data set, so that its pictures stay comparable.

    >>> [white(n) for n in (0, 255, 256, 4000, 65535)]
    [255, 255, 1023, 4095, 65535]
    """
    return next(2**bits - 1 for bits in DEPTHS if highest < 2**bits)


def scaling(highest: int) -> str:
    """Return how integers of more than 8 bits were scaled, for a person."""
    return f"levels end at {highest}, so that 0 to {white(highest)} became 0 to 255"


def to_8_bit(levels: np.ndarray, white: float) -> np.ndarray:
    """Return levels 0 ... `white` as 0 ... 255, rounded, uint8."""
    return np.rint(levels * np.float32(255 / white)).astype(np.uint8)


def decode(path: Path, height: int, width: int) -> Decoded:
    """Read a picture file, whatever its ending, and resize it (bilinear, antialiased).

    Raises:
        NotRead: no picture, damaged, too large, or not to be opened.
        ValueError: gray levels whose white is unknown; names the file.
    """
    if not path.is_file():
        raise NotRead("not a regular file, or a broken link")
    try:
        with Image.open(path, formats=_formats()) as file:
            pages = 1 if file.format == "MPO" else getattr(file, "n_frames", 1)
            inverted = isinstance(file, TiffImagePlugin.TiffImageFile) and (
                file.tag_v2.get(PHOTOMETRIC) == 0
            )
            cut = _highest_of_16_bit_colours(file)
            picture = flattened(file)
    except NotRead:
        raise
    except Exception as error:  # decoders raise errors of all kinds on damaged files
        raise NotRead(_reason(error, path)) from error
    if picture.mode not in DEEP:
        return Decoded(np.asarray(picture.resize((width, height), Resampling.BILINEAR)), cut, pages)
    levels = np.asarray(picture)
    if inverted and levels.dtype.itemsize == 2:
        levels = 65535 - levels  # Pillow inverts such pictures of 8 bits only
    highest = check_levels(levels, str(path))
    levels = levels.astype(np.float32)
    if levels.shape != (height, width):
        resized = Image.fromarray(levels).resize((width, height), Resampling.BILINEAR)
        levels = np.asarray(resized)
    if picture.mode == "F":
        return Decoded(to_8_bit(levels, 1), 0, pages)
    return Decoded(levels, highest, pages)


def flattened(picture: Image.Image) -> Image.Image:
    """Return a picture upright and without transparency, of mode L, RGB or one of `DEEP`.

    Orientation is that of its EXIF data; transparent parts become white; palettes, CMYK, YCbCr,
    LAB and HSV become RGB.

    Raises:
        NotRead: 16 bits with transparency.
    """
    picture.load()
    try:
        turn = TURNS.get(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF data do not say how the picture is turned
        turn = None
    if turn is not None:
        picture = picture.transpose(turn)
    transparent = picture.has_transparency_data
    if picture.mode in DEEP:
        if transparent:
            raise NotRead("16-bit gray levels of which one is transparent")
        return picture
    if transparent:
        page = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(page, picture.convert("RGBA")).convert("RGB")
    return picture.convert("L" if picture.mode in ("1", "L") else "RGB")


def check_levels(levels: np.ndarray, name: str) -> int:
    """Return the highest gray level (0 for floating point) of a picture or array with its name.

    Raises:
        ValueError: floating point outside [0, 1], integers outside 0 ... 65535.
    """
    lowest, highest = (levels.min(), levels.max()) if levels.size else (0, 0)
    if levels.dtype.kind == "f":
        if not np.isfinite(levels).all():
            raise ValueError(f"{name} holds NaN or infinite values: replace them")
        if lowest < 0 or highest > 1:
            raise ValueError(
                f"{name} is floating point and must lie in [0, 1], but reaches from {lowest:g} to "
                f"{highest:g}: scale it (and leave out any normalisation)"
            )
        return 0
    if lowest < 0 or highest > 65535:
        raise ValueError(
            f"{name} holds integers from {lowest} to {highest}, of which black and white are not "
            "known: scale them to 8 or 16 bits"
        )
    return int(highest)


@cache
def _formats() -> tuple[str, ...]:
    """Return all formats but EPS, which is a program for another program to run."""
    Image.preinit()  # the usual formats come first
    Image.init()
    return tuple(name for name in Image.ID if name != "EPS")


def _highest_of_16_bit_colours(file: Image.Image) -> int:
    """Return the highest level of a colour picture of which Pillow keeps the upper 8 of 16 bits.

    0 where it has 8 bits.
    """
    tiles = getattr(file, "tile", ())
    deep = file.format in ("PNG", "TIFF") and any(";16" in str(tile) for tile in tiles)
    if not deep or file.mode in DEEP:
        return 0
    colours = np.asarray(file)[..., :3]
    return 257 * int(colours.max())


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, UnidentifiedImageError):
        if path.stat().st_size == 0:
            return "empty file"
        return "not a picture that Pillow can read"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels"
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return f"not to be opened: {error.strerror.lower()}"
    return f"damaged, or a kind that Pillow does not decode: {text}"
