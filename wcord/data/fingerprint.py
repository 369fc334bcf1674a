"""Fingerprints of samples, by which results are known to belong to their data."""

from __future__ import annotations

import hashlib

from torch import Tensor

from wcord.data.split import Split


def digest(values: Tensor) -> str:
    """Return a digest of a tensor's numbers, their type and shape."""
    found = hashlib.blake2b(f"{values.dtype} {tuple(values.shape)}".encode(), digest_size=12)
    found.update(values.cpu().contiguous().numpy().data)
    return found.hexdigest()


def fingerprints(classes: tuple[str, ...], parts: dict[str, Split | None]) -> dict[str, str]:
    """Return what tells one data set from another, in words and digests, by what it is of.

    Args:
        classes: their names, in order.
        parts: by name such as "training", the samples as read, before any part is drawn; None
            where the data set has no such part.
    """
    names = "\n".join(classes).encode()
    found = {"class names": hashlib.blake2b(names, digest_size=12).hexdigest()}
    for name, part in parts.items():
        if part is None:
            continue
        count, *shape = part.images.shape
        found[f"{name} samples"] = f"{count} of {'×'.join(map(str, shape))}"
        values = {"images": part.images, "labels": part.labels, **part.extras}
        found |= {f"{name} {key}": digest(value) for key, value in values.items()}
    return found
