"""Frames: arrays and a few words of a run as one piece of bytes, as the view reads them.

    bytes 0-3    the letters WCRD
    bytes 4-5    the version of this format, little endian
    bytes 8-11   the length of the header
    bytes 12-    the header: JSON in UTF-8, then the arrays, each at a multiple of 8 from the header

The header is `{"about": {...}, "parts": [{"kind": ..., "arrays": {name: [type, shape, offset]},
...}]}`; offsets count from the first array. A number type is its letter and its bytes, as numpy
writes it: u1, u2, i2, i4, f4, f8. The same bytes are read by `viewer/bytes.js`.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAGIC = b"WCRD"
VERSION = 1
HEAD = struct.Struct("<4sHHI")
ALIGNED = 8
TYPES = {name: np.dtype(f"<{name}") for name in ("u1", "u2", "i2", "i4", "f4", "f8")}


class Part(NamedTuple):
    """One thing that bytes carry: what kind it is, what is known of it (JSON), and its arrays."""

    kind: str
    about: Mapping[str, Any]
    arrays: Mapping[str, Array] = {}


def pack(parts: Sequence[Part], **about: Any) -> bytes:
    """Return parts as bytes.

    Args:
        parts: in the order in which they are to be read; numbers that are not finite become null.
        about: facts about the whole, JSON.

    Raises:
        ValueError: an array of a type that the format does not know.
    """
    headers, body, offset = [], [], 0
    for part in parts:
        places = {}
        for name, array in part.arrays.items():
            kind = array.dtype.str[1:]
            if kind not in TYPES:
                raise ValueError(f"frames hold no arrays of {array.dtype}: {name} of {part.kind}")
            content = np.ascontiguousarray(array, TYPES[kind]).tobytes()
            places[name] = [kind, list(array.shape), offset]
            padding = -len(content) % ALIGNED
            body += [content, b"\0" * padding]
            offset += len(content) + padding
        headers.append({"kind": part.kind, **part.about, "arrays": places})
    text = json.dumps(_plain({"about": about, "parts": headers}), ensure_ascii=False)
    header = text.encode(errors="replace")  # a lone surrogate has no bytes
    header += b" " * (-len(header) % ALIGNED)
    return b"".join([HEAD.pack(MAGIC, VERSION, 0, len(header)), header, *body])


def unpack(content: bytes) -> tuple[dict[str, Any], list[Part]]:
    """Return facts about the whole, and the parts.

    Raises:
        ValueError: these are no frames, of another version, or damaged; in one line.
    """
    if len(content) < HEAD.size or content[:4] != MAGIC:
        raise ValueError("these bytes are no frames of the lab")
    _, version, _, size = HEAD.unpack_from(content)
    if version != VERSION:
        raise ValueError(f"frames of version {version}; this lab reads version {VERSION}")
    body = content[HEAD.size + size :]
    try:
        header = json.loads(content[HEAD.size : HEAD.size + size])
        return dict(header["about"]), [_part(dict(one), body) for one in header["parts"]]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("damaged frames: their header or their arrays cannot be read") from error


def _part(about: dict[str, Any], body: bytes) -> Part:
    arrays = {}
    for name, (kind, shape, offset) in about.pop("arrays").items():
        count = math.prod(shape)
        if offset < 0 or min(shape, default=0) < 0:
            raise ValueError(f"{name} lies outside of the bytes")
        arrays[name] = np.frombuffer(body, TYPES[kind], count, offset).reshape(shape)
    return Part(str(about.pop("kind")), about, arrays)


def _plain(value: Any) -> Any:
    """Return JSON of the same content, with null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
