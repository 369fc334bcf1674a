"""Class labels of rooms, derived from the segments of their pictures (NYU Depth v2)."""

from __future__ import annotations

import numpy as np

# of the 40-class segments of NYU Depth v2: what is in every room says nothing about the room
BACKGROUND = {"wall", "floor", "ceiling", "otherstructure", "otherfurniture", "otherprop", "void"}


def room_labels(
    segments: dict[str, np.ndarray], names: list[str], fewest: int = 20
) -> tuple[dict[str, np.ndarray], tuple[str, ...], dict[str, np.ndarray]]:
    """Derive one class a picture from its segments, for sets without class labels (NYU Depth v2).

    label = the object class with the most pixels, among those object classes that are the
    largest in at least `fewest` training pictures; walls, floors, ceilings and "other" segments
    are not objects. Pictures that show none of the classes are left out. This is a label of our
    own making: accuracies on it compare with nothing published.

    Args:
        segments: for "train" and perhaps "test", (n, H, W) uint8 places in `names`.
        names: of all segment classes.
        fewest: training pictures a class needs.

    Returns:
        labels (n,) int64 of each part, the class names, and which pictures are kept (n,) bool.
    """
    counts = {
        part: np.stack([np.bincount(p.ravel(), minlength=256)[: len(names)] for p in pictures])
        for part, pictures in segments.items()
    }
    objects = [i for i, n in enumerate(names) if n.lower().replace(" ", "") not in BACKGROUND]
    train = counts["train"][:, objects]
    winners = np.bincount(train.argmax(1)[train.max(1) > 0], minlength=len(objects))
    chosen = np.array(objects)[winners >= fewest]
    if len(chosen) < 2:
        raise ValueError("segments give fewer than two classes: add labels_train to the file")
    labels = {part: count[:, chosen].argmax(1).astype(np.int64) for part, count in counts.items()}
    keep = {part: count[:, chosen].max(1) > 0 for part, count in counts.items()}
    return labels, tuple(names[i] for i in chosen), keep
