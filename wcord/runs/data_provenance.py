"""The inputs of a run besides its settings: samples, weight files, objects of the caller.

data.json contains them and every checkpoint contains their digest. So a run cannot be resumed with
other data, and its results cannot be mistaken for those of other data.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from wcord.data import Data, first_images
from wcord.data.paths import locate
from wcord.data.teacher_outputs import TeacherOutputs
from wcord.models.weights import fingerprint
from wcord.runs.storage import read_json, write_bytes, write_json
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError

RECORD, IMAGES = "data.json", "pictures.png"
OBJECTS = "objects of your own"  # name of the input that lists objects of the caller
MOST_LISTED = 1000  # most skipped files that data.json lists


def inputs_of(
    experiment: Experiment,
    data: Data,
    probed: Mapping[str, Mapping[str, str]],
    objects: Sequence[str] = (),
    outputs: TeacherOutputs | None = None,
) -> dict[str, str]:
    """Return the inputs of a run: the digest or the number of samples of each, by its name.

    Args:
        experiment: the settings.
        data: the samples of the run.
        probed: fingerprints of the other data sets for linear probes, by source.
        objects: those of "teacher", "student", "data", ... that are objects of the caller.
        outputs: of a teacher, in place of the teacher.

    Raises:
        SettingsError: `teacher.weights` cannot be read.
    """
    inputs = dict(data.fingerprints)
    if objects:
        inputs[OBJECTS] = ", ".join(objects)
    if experiment.teacher.weights is not None:
        try:
            inputs["teacher.weights"] = fingerprint(locate(experiment.teacher.weights))
        except ValueError as error:
            raise SettingsError(f"teacher.weights: {error}") from error
    if outputs is not None:
        inputs["teacher.outputs"] = outputs.fingerprint
    for source, fingerprints in probed.items():
        inputs |= {f"{name} of {source}": value for name, value in fingerprints.items()}
    return inputs


def digest(inputs: Mapping[str, str]) -> str:
    """Return the digest of all inputs, which checkpoints hold."""
    text = json.dumps(dict(inputs), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of the inputs that differ; for numbers of samples with both numbers.

    >>> differences({"test samples": "9 of 1×8×8"}, {"test samples": "8 of 1×8×8"})
    ['test samples (9 of 1×8×8 then, 8 of 1×8×8 now)']
    """
    names, other_sizes = [], set()
    for name in {**then, **now}:
        before, after = then.get(name, "none"), now.get(name, "none")
        content, _, source = name.partition(" of ")
        part, _, kind = content.partition(" ")
        if before == after or (part, source) in other_sizes:
            continue
        names.append(f"{name} ({before} then, {after} now)" if kind == "samples" else name)
        if kind == "samples":  # the digests of this part then differ too
            other_sizes.add((part, source))
    return names


def read_inputs(folder: Path) -> dict[str, str] | None:
    """Return the inputs in the data.json of a run; None where it has none."""
    record = read_json(folder / RECORD)
    inputs = record.get("inputs") if isinstance(record, dict) else None
    return inputs if isinstance(inputs, dict) else None


def require_same_inputs(folder: Path, inputs: Mapping[str, str]) -> None:
    """Refuse to resume a run that was started with other inputs.

    Args:
        folder: the run directory. Without data.json nothing is refused here, but checkpoints
            contain the digest of the inputs too.
        inputs: the inputs now, from `inputs_of`.

    Raises:
        SettingsError: the inputs differ; the message names them.
    """
    then = read_inputs(folder)
    if then is None:
        return
    if then.get(OBJECTS) != inputs.get(OBJECTS):
        raise SettingsError(
            f"this run was begun with objects of your own ({then.get(OBJECTS, 'none')}), which no "
            "file holds: start a new run with them"
        )
    names = differences(then, inputs)
    if names:
        raise SettingsError(
            f"this run was begun with other data; these differ: {', '.join(names)}; put the first "
            "data back, or start a new run"
        )


def write_record(
    folder: Path,
    data: Data,
    inputs: Mapping[str, str],
    objects: Sequence[str],
    labels: Mapping[str, Sequence[str]],
) -> None:
    """Write data.json (the contents of the data, and the inputs) and images of the first samples.

    Data that are no pictures have no images.

    Args:
        folder: the run directory.
        data: the samples of the run.
        inputs: from `inputs_of`.
        objects: as in `inputs_of`.
        labels: the classes of the label sets of "teacher" and "student".
    """
    content = data.contents.plain()
    passed_over = content.pop("passed_over")
    content |= {
        "passed_over": passed_over[:MOST_LISTED],
        "passed_over_count": len(passed_over),
        "inputs": dict(inputs),
        "fingerprint": digest(inputs),
        "own": list(objects),
        "labels": {side: list(names) for side, names in labels.items()},
    }
    write_json(folder / RECORD, content)
    if data.pictures and not (folder / IMAGES).exists():
        write_bytes(folder / IMAGES, image_row(data))


def add_remarks(folder: Path, about: str, lines: Sequence[str]) -> None:
    """Add remarks to the data.json of a run, which its page shows."""
    content = read_json(folder / RECORD)
    content["remarks"] += [{"about": about, "remark": line} for line in lines]
    write_json(folder / RECORD, content)


def image_row(data: Data, count: int = 16) -> bytes:
    """Return the first training images of each class, at most `count`, in one row as a PNG."""
    split = replace(data.train, labels=data.colours.of_labels(data.train.labels))
    images, _ = first_images(split, len(data.colours.names), count)  # (k, H, W, C)
    row = np.concatenate(list(np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))), axis=1)
    content = io.BytesIO()
    Image.fromarray(row[..., 0] if row.shape[-1] == 1 else row).save(content, "PNG")
    return content.getvalue()
