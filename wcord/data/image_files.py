"""Read one image file as an array: upright, on white if transparent, with all gray levels."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

from wcord.errors import first_line

DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")  # Pillow's modes of more than 8 bits
DEPTHS = (8, 10, 12, 14, 16)  # bits of a gray level
ORIENTATION, PHOTOMETRIC = 274, 262  # tags of EXIF and TIFF
TURNS = {  # by value of the EXIF orientation
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


class UnreadableImage(Exception):
    """A file cannot be read as an image; the message is the reason."""


class Decoded(NamedTuple):
    """An image at its final size.

    `pixels` is (H, W) or (H, W, 3) uint8, or (H, W) float32 gray levels that must still be
    scaled by the white level of the whole data set (see `white_level`). `highest` is the highest
    level, 0 ... 65535, of an image with more than 8 bits, else 0. `pages` is the number of pages in
    the file; the first is read.
    """

    pixels: np.ndarray
    highest: int = 0
    pages: int = 1


def white_level(highest: int) -> int:
    """Return the gray level that becomes 255: 2^b − 1 for the smallest depth b with `highest`.

    Cameras store levels of 10, 12 and 14 bits in 16 bits, and a file does not name the depth. One
    depth is used for a whole data set, so that its images stay comparable.

    >>> [white_level(n) for n in (0, 255, 256, 4000, 65535)]
    [255, 255, 1023, 4095, 65535]
    """
    return next(2**bits - 1 for bits in DEPTHS if highest < 2**bits)


def scaling(highest: int) -> str:
    """Return a sentence on the scaling of integers of more than 8 bits."""
    return f"levels end at {highest}, so that 0 to {white_level(highest)} became 0 to 255"


def to_8_bit(levels: np.ndarray, white: float) -> np.ndarray:
    """Return levels 0 ... `white` as 0 ... 255, rounded, uint8."""
    return np.rint(levels * np.float32(255 / white)).astype(np.uint8)


def decode(path: Path, height: int, width: int) -> Decoded:
    """Read an image file, whatever its suffix, and resize it (bilinear, antialiased).

    Raises:
        UnreadableImage: the file is no image, damaged, too large, or cannot be opened.
        ValueError: the gray level of white is unknown; the message names the file.
    """
    if not path.is_file():
        raise UnreadableImage("not a regular file, or a broken link")
    try:
        with Image.open(path, formats=_formats()) as file:
            pages = 1 if file.format == "MPO" else getattr(file, "n_frames", 1)
            inverted = isinstance(file, TiffImagePlugin.TiffImageFile) and (
                file.tag_v2.get(PHOTOMETRIC) == 0
            )
            highest_colour = _highest_of_16_bit_colours(file)
            image = flattened(file)
    except UnreadableImage:
        raise
    except Exception as error:  # damaged files may raise any error
        raise UnreadableImage(_reason(error, path)) from error
    if image.mode not in DEEP:
        pixels = np.asarray(image.resize((width, height), Resampling.BILINEAR))
        return Decoded(pixels, highest_colour, pages)
    levels = np.asarray(image)
    if inverted and levels.dtype.itemsize == 2:
        levels = 65535 - levels  # Pillow inverts such images only if they have 8 bits
    highest = check_levels(levels, str(path))
    levels = levels.astype(np.float32)
    if levels.shape != (height, width):
        resized = Image.fromarray(levels).resize((width, height), Resampling.BILINEAR)
        levels = np.asarray(resized)
    if image.mode == "F":
        return Decoded(to_8_bit(levels, 1), 0, pages)
    return Decoded(levels, highest, pages)


def flattened(image: Image.Image) -> Image.Image:
    """Return an image upright and without transparency, of mode L, RGB or one of `DEEP`.

    The orientation is read from its EXIF data; transparent parts become white; palettes, CMYK,
    YCbCr, LAB and HSV become RGB.

    Raises:
        UnreadableImage: 16 bits with transparency.
    """
    image.load()
    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF data: the orientation is unknown
        turn = None
    if turn is not None:
        image = image.transpose(turn)
    transparent = image.has_transparency_data
    if image.mode in DEEP:
        if transparent:
            raise UnreadableImage("16-bit gray levels of which one is transparent")
        return image
    if transparent:
        background = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(background, image.convert("RGBA")).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def check_levels(levels: np.ndarray, name: str, hint: str = "") -> int:
    """Return the highest gray level of an array, 0 for floating point.

    Args:
        levels: gray levels of one image or of many.
        name: for messages.
        hint: more advice, at the end of a message.

    Raises:
        ValueError: floating point outside [0, 1], integers outside 0 ... 65535.
    """
    lowest, highest = (levels.min(), levels.max()) if levels.size else (0, 0)
    if levels.dtype.kind == "f":
        if not np.isfinite(levels).all():
            raise ValueError(f"{name} holds NaN or infinite values: replace them")
        if lowest < 0 or highest > 1:
            raise ValueError(
                f"{name} is floating point and must lie in [0, 1], but has values from {lowest:g} "
                f"to {highest:g}: scale it (and leave out any normalisation){hint}"
            )
        return 0
    if lowest < 0 or highest > 65535:
        raise ValueError(
            f"{name} holds integers from {lowest} to {highest}, whose black and white are "
            f"unknown: scale them to 8 or 16 bits{hint}"
        )
    return int(highest)


@cache
def _formats() -> tuple[str, ...]:
    """Return all formats but EPS: Pillow would run another program to read it."""
    Image.preinit()  # the usual formats come first
    Image.init()
    return tuple(name for name in Image.ID if name != "EPS")


def _highest_of_16_bit_colours(file: Image.Image) -> int:
    """Return the highest level of a colour image of 16 bits, 0 for other images.

    Pillow keeps the upper 8 bits of each colour.
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
        return "not an image that Pillow can read"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {Image.MAX_IMAGE_PIXELS} pixels"
    text = first_line(error)
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened: {error.strerror.lower()}"
    return f"damaged, or a format that Pillow does not decode: {text}"
