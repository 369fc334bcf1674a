"""What a run was made from, beside its settings: samples, weight files, objects in memory.

A run keeps it in data.json and its digest in every checkpoint, so that results of one data set
are neither continued with another nor taken for those of another.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from wcord.data import Data, first_pictures
from wcord.data.paths import locate
from wcord.models.weights import fingerprint
from wcord.runs.storage import read_json, write_bytes, write_json
from wcord.settings.experiment import Experiment
from wcord.settings.messages import SettingsError

RECORD, PICTURES = "data.json", "pictures.png"
OWN = "objects of your own"
LISTED = 1000  # files passed over that a record names


def inputs_of(
    experiment: Experiment,
    data: Data,
    probed: Mapping[str, Mapping[str, str]],
    own: Sequence[str] = (),
) -> dict[str, str]:
    """Return what a run reads, in words and digests, by the name of each input.

    Args:
        experiment: the settings.
        data: the run's samples.
        probed: fingerprints of the other data sets of its linear probes, by source.
        own: which of "teacher", "student" and "data" the caller gives as objects.

    Raises:
        SettingsError: `teacher.weights` cannot be read.
    """
    inputs = dict(data.fingerprints)
    if own:
        inputs[OWN] = ", ".join(own)
    if experiment.teacher.weights is not None:
        try:
            inputs["teacher.weights"] = fingerprint(locate(experiment.teacher.weights))
        except ValueError as error:
            raise SettingsError(f"teacher.weights: {error}") from error
    for source, fingerprints in probed.items():
        inputs |= {f"{name} of {source}": value for name, value in fingerprints.items()}
    return inputs


def digest(inputs: Mapping[str, str]) -> str:
    """Return one digest of all inputs, which checkpoints name."""
    text = json.dumps(dict(inputs), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return the names of the inputs that are not the same, numbers of samples with both values.

    >>> differences({"test samples": "9 of 1×8×8"}, {"test samples": "8 of 1×8×8"})
    ['test samples (9 of 1×8×8 then, 8 of 1×8×8 now)']
    """
    found, other_sizes = [], set()
    for name in {**then, **now}:
        before, after = then.get(name, "none"), now.get(name, "none")
        what, _, source = name.partition(" of ")
        part, kind = what.split(" ", 1) if " " in what else (what, "")
        if before == after or (part, source) in other_sizes:
            continue
        found.append(f"{name} ({before} then, {after} now)" if kind == "samples" else name)
        if kind == "samples":  # then every other digest of the part differs as well
            other_sizes.add((part, source))
    return found


def recorded(folder: Path) -> dict[str, str] | None:
    """Return the inputs that a run's record names; None without a record that is whole."""
    record = read_json(folder / RECORD)
    inputs = record.get("inputs") if isinstance(record, dict) else None
    return inputs if isinstance(inputs, dict) else None


def check(folder: Path, inputs: Mapping[str, str]) -> None:
    """Refuse to go on with a run that was begun with other inputs.

    Args:
        folder: the run's directory; where it has no record, the checkpoints still know.
        inputs: of `inputs_of`, now.

    Raises:
        SettingsError: one line that names what differs.
    """
    then = recorded(folder)
    if then is None:
        return
    if then.get(OWN) != inputs.get(OWN):
        raise SettingsError(
            f"this run was begun with objects of your own ({then.get(OWN, 'none')}), which no "
            "file holds: start a new run with them"
        )
    found = differences(then, inputs)
    if found:
        raise SettingsError(
            f"the data are not those that this run began with: {', '.join(found)}; put the first "
            "data back, or start a new run"
        )


def record(
    folder: Path,
    data: Data,
    inputs: Mapping[str, str],
    own: Sequence[str],
    labels: Mapping[str, Sequence[str]],
) -> None:
    """Write data.json, the contents of the data and the inputs, and a row of first pictures.

    Args:
        folder: the run's directory.
        data: its samples.
        inputs: of `inputs_of`.
        own: as in `inputs_of`.
        labels: the classes of the label sets of "teacher" and "student".
    """
    found = data.contents.plain()
    passed_over = found.pop("passed_over")
    content = found | {
        "passed_over": passed_over[:LISTED],
        "passed_over_count": len(passed_over),
        "inputs": dict(inputs),
        "fingerprint": digest(inputs),
        "own": list(own),
        "labels": {side: list(names) for side, names in labels.items()},
    }
    write_json(folder / RECORD, content)
    if not (folder / PICTURES).exists():
        write_bytes(folder / PICTURES, row_of_pictures(data))


def remark(folder: Path, about: str, lines: Sequence[str]) -> None:
    """Add remarks to the record of a run, for those who look at it."""
    content = read_json(folder / RECORD)
    content["remarks"] += [{"about": about, "remark": line} for line in lines]
    write_json(folder / RECORD, content)


def row_of_pictures(data: Data, most: int = 16) -> bytes:
    """Return the first training pictures, of every class in turn, side by side as a PNG."""
    pictures, _ = first_pictures(data.train, len(data.classes), most)  # (k, H, W, C)
    row = np.concatenate(list(np.pad(pictures, ((0, 0), (1, 1), (1, 1), (0, 0)))), axis=1)
    content = io.BytesIO()
    Image.fromarray(row[..., 0] if row.shape[-1] == 1 else row).save(content, "PNG")
    return content.getvalue()
