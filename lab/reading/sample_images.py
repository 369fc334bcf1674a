"""What teacher and student see of the probe's samples, as pictures for people.

Read through the very views of the run's settings; so torch is needed, and the data set.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wcord.runs import Run, Snapshot

Array = NDArray[Any]

LIGHTNESS = 65.0  # L* at which colour without lightness is shown


class NoPictures(ValueError):
    """The samples of a run are arrays that are no pictures."""


class SampleImages(NamedTuple):
    """Pictures (m, H, W, 3) uint8 of the probe's samples, as the two networks see them."""

    teacher: Array
    student: Array


def read(run: Run, snapshot: Snapshot) -> SampleImages:
    """Return what both networks see of the samples of a snapshot.

    Raises:
        ValueError: the data set is not here, or is not the one that the run was made with.
        NoPictures: the samples are no pictures.
    """
    import torch

    from wcord.runs import data_provenance
    from wcord.training.inputs import NetworkInput
    from wcord.training.prepare import read_data

    experiment, record = run.settings, run.data or {}
    strange = f"the pictures of {run.name} were given in memory and are not stored with it"
    if "data" in record.get("own", ()):
        raise ValueError(strange)
    data = read_data(experiment)
    if not data.pictures:
        size = "×".join(map(str, data.shape))
        raise NoPictures(f"the samples are arrays of {size}, which have no pictures")
    then = {
        name: value for name, value in record.get("inputs", {}).items() if name in data.fingerprints
    }
    if record and data_provenance.differences(then, data.fingerprints):
        raise ValueError(f"the data are not those that {run.name} was made from")
    index = torch.from_numpy(snapshot.index)
    if int(index.max()) >= len(data.held_out):
        raise ValueError(strange)
    split = data.held_out.take(index)
    teacher = experiment.teacher
    if teacher.outputs is not None or {"teacher_features", "teacher_logits"} & {
        *record.get("own", ())
    }:
        teacher = teacher.model_copy(update={"view": ["identity"]})  # what it saw is not known
    inputs = [NetworkInput(s, data, experiment.seed) for s in (teacher, experiment.student)]
    labels = inputs[1].labels(split.labels)
    groups = labels if data.targets == "classes" else data.colours.of_labels(labels)
    if not np.array_equal(groups.numpy(), snapshot.labels):
        raise ValueError(strange)
    return SampleImages(*(for_people(sight.view(split, sight.seed).numpy()) for sight in inputs))


def for_people(images: Array) -> Array:
    """Return pictures (n, C, H, W), uint8 or about [0, 1], as RGB (n, H, W, 3) uint8.

    One channel is gray; two are a* and b* of CIE Lab, as `wcord.views.chrominance` makes them,
    shown at one lightness; of more than three the first three are shown.
    """
    images = images / 255 if images.dtype == np.uint8 else images
    channels = images.shape[1]
    if channels == 1:
        images = images.repeat(3, axis=1)
    elif channels == 2:
        images = _coloured(images)
    bytes_ = np.rint(255 * np.nan_to_num(images[:, :3]).clip(0, 1)).astype(np.uint8)
    return bytes_.transpose(0, 2, 3, 1)


def _coloured(images: Array) -> Array:
    """Return colours (n, 3, H, W) in [0, 1] of a* and b* at one lightness: CIE Lab to sRGB."""
    a, b = images[:, 0] * 255 - 128, images[:, 1] * 255 - 128
    y = np.full_like(a, (LIGHTNESS + 16) / 116)
    curve = np.stack([y + a / 500, y, y - b / 200], axis=1)
    linear = np.where(curve > 6 / 29, curve**3, 3 * (6 / 29) ** 2 * (curve - 4 / 29))
    xyz = linear * np.array([0.95047, 1.0, 1.08883])[:, None, None]
    to_rgb = np.array(
        [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
    )
    rgb = np.einsum("ij,njhw->nihw", to_rgb, xyz).clip(0, 1)
    return np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055)
