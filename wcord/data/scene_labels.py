"""Class labels of images of rooms, derived from their segments (NYU Depth v2)."""

from __future__ import annotations

import numpy as np

# of the 40 segment classes of NYU Depth v2, those that every room has
BACKGROUND = {"wall", "floor", "ceiling", "otherstructure", "otherfurniture", "otherprop", "void"}


def room_labels(
    segments: dict[str, np.ndarray], names: list[str], fewest: int = 20
) -> tuple[dict[str, np.ndarray], tuple[str, ...], dict[str, np.ndarray]]:
    """Derive one class for each image from its segments, for data sets without class labels.

    label = the object class with the most pixels, among those object classes that are the largest
    in at least `fewest` training images; walls, floors, ceilings and "other" segments are not
    objects. Images without any of these classes are left out. These labels are defined here only,
    so accuracies cannot be compared with published ones.

    Args:
        segments: for "train" and perhaps "test", (n, H, W) uint8 indices into `names`.
        names: of all segment classes.
        fewest: smallest number of training images of a class.

    Returns:
        labels (n,) int64 of each part; the class names; a mask (n,) bool of the images used, of
        each part.
    """
    counts = {
        part: np.stack([np.bincount(s.ravel(), minlength=256)[: len(names)] for s in images])
        for part, images in segments.items()
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
