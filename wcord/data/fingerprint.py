"""Fingerprints of a data set: results and data belong together if their fingerprints are equal."""

from __future__ import annotations

import hashlib

from torch import Tensor

from wcord.data.split import Split


def digest(values: Tensor) -> str:
    """Return a digest of the values, dtype and shape of a tensor."""
    state = hashlib.blake2b(f"{values.dtype} {tuple(values.shape)}".encode(), digest_size=12)
    state.update(values.cpu().contiguous().numpy().data)
    return state.hexdigest()


def fingerprints(classes: tuple[str, ...], parts: dict[str, Split | None]) -> dict[str, str]:
    """Return digests and sizes that identify a data set, by name ("training images", ...).

    Args:
        classes: their names, in order.
        parts: by name such as "training", the samples as read, before the division; None if the
            data set has no such part.
    """
    names = "\n".join(classes).encode()
    entries = {"class names": hashlib.blake2b(names, digest_size=12).hexdigest()}
    for name, part in parts.items():
        if part is None:
            continue
        count, *shape = part.images.shape
        entries[f"{name} samples"] = f"{count} of {'×'.join(map(str, shape))}"
        values = {"images": part.images, "labels": part.labels, **part.extras}
        entries |= {f"{name} {key}": digest(value) for key, value in values.items()}
    return entries
