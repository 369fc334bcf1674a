"""The outputs of a teacher that ran elsewhere, one row a sample, in place of the teacher."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wcord.data.dataset import Data
from wcord.data.fingerprint import digest
from wcord.data.raw import part_of
from wcord.data.split import Split
from wcord.data.to_numpy import to_numpy
from wcord.models.logits import are_probabilities
from wcord.models.output import Output

PART_NAMES = {"train": "train", "test": "test", "held_out": "val"}  # as users write them


@dataclass(frozen=True)
class TeacherOutputs:
    """Features and logits of a teacher for all samples of a data set, without augmentation.

    Without logits, the logits of `of` have no columns. Without features, its features are the
    logits: pictures need a point for every sample, and terms on features are refused.

    Args:
        features: (R, D) float32, or None.
        logits: (R, K) float32, or None.
        rows: (ids,) int64, the row of each sample by its id (see `Split.ids`), −1 for none.
    """

    features: Tensor | None
    logits: Tensor | None
    rows: Tensor
    map_shapes = ()

    def of(self, split: Split) -> Output:
        """Return the outputs of samples, on the device of the outputs."""
        rows = self.rows[split.ids.to(self.rows.device)]
        features, logits = self.features, self.logits
        if logits is None:
            assert features is not None
            logits = features[:, :0]
        return Output((logits if features is None else features)[rows], logits[rows])

    @property
    def feature_dim(self) -> int:
        """Width of the features that `of` returns."""
        features = self.logits if self.features is None else self.features
        assert features is not None
        return features.shape[1]

    @property
    def classes(self) -> int:
        """Number of logits; 0 without logits."""
        return 0 if self.logits is None else self.logits.shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """The digest of all outputs."""
        parts = {"features": self.features, "logits": self.logits}
        text = {k: digest(v[self.rows[self.rows >= 0]]) for k, v in parts.items() if v is not None}
        return hashlib.blake2b(repr(text).encode(), digest_size=12).hexdigest()

    def to(self, device: torch.device) -> TeacherOutputs:
        """Return the same outputs on a device."""
        features, logits = (
            None if values is None else values.to(device) for values in (self.features, self.logits)
        )
        return replace(self, features=features, logits=logits, rows=self.rows.to(device))


def teacher_outputs(
    features: Any,
    logits: Any,
    data: Data,
    names: tuple[str, str] = ("teacher_features", "teacher_logits"),
) -> TeacherOutputs:
    """Check a teacher's outputs and align them with the samples of a data set.

    Args:
        features: (n, D), or by part as {"train": (n_train, D), "val": ..., "test": ...}; row i is
            of the i-th sample as the data were given. None: no features.
        logits: (n, K), likewise. None: no logits.
        data: the samples.
        names: of features and logits, for messages.

    Raises:
        ValueError: another number of rows, another rank, values that are not finite, rows that are
            all equal, unknown or missing parts; one line.
    """
    rows = _rows(data)
    arrays = [
        None if value is None else _aligned(value, data, name)
        for value, name in zip((features, logits), names, strict=True)
    ]
    if arrays[0] is None and arrays[1] is None:
        raise ValueError(f"neither {names[0]} nor {names[1]} is given: give one of them or both")
    if data.targets == "classes" and arrays[1] is not None and are_probabilities(arrays[1]):
        raise ValueError(
            f"{names[1]} are probabilities, which add up to 1 for each sample: give their "
            "logarithm, such as numpy.log(p.clip(1e-12))"
        )
    return TeacherOutputs(arrays[0], arrays[1], rows)


def samples_digest(data: Data) -> str:
    """Return the digest of the samples of a data set as they were given, without their labels."""
    entries = {k: v for k, v in data.fingerprints.items() if k.endswith((" images", " samples"))}
    text = data.given.digest or repr(sorted(entries.items()))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _rows(data: Data) -> Tensor:
    """Return the row of each sample by its id: rows are in the order of the given parts."""
    ids = _ids(data)
    if len(ids) != len(ids.unique()):
        raise ValueError(
            f"{data.name} numbers two samples alike, so a teacher's outputs cannot be aligned with "
            "them: give the samples as arrays"
        )
    rows = torch.full((int(ids.max()) + 1,), -1)
    rows[ids] = torch.arange(len(ids))
    return rows


def _ids(data: Data) -> Tensor:
    """Return the ids of all samples in the order of the rows of `TeacherOutputs`."""
    return torch.cat(list(data.given.ids.values()))


def _aligned(value: Any, data: Data, name: str) -> Tensor:
    """Return an array, or arrays by part, as (R, D) float32 in the order of the given parts."""
    given = data.given
    sizes = {part: len(ids) for part, ids in given.ids.items()}
    if isinstance(value, Mapping):
        arrays = {part: _array(v, f"{name}[{key!r}]") for part, key, v in _by_part(value, name)}
        if arrays.keys() != sizes.keys():
            raise ValueError(f"{name} has the parts {_listed(arrays)}; {_form(data)}")
        widths = {array.shape[1] for array in arrays.values()}
        if len(widths) > 1:
            raise ValueError(f"{name}: the parts have {_listed(sorted(widths))} columns, not one")
        for part, array in arrays.items():
            _check_rows(len(array), sizes[part], f"{name}[{PART_NAMES[part]!r}]", data)
        rows = torch.cat([arrays[part] for part in sizes])
    else:
        array = _array(value, name)
        if not given.in_one:
            raise ValueError(f"{name} is one array of {len(array)} rows; {_form(data)}")
        _check_rows(len(array), sum(sizes.values()), name, data)
        rows = array[_ids(data)] if len(sizes) > 1 else array
    if len(rows) > 1 and bool((rows == rows[0]).all()):
        raise ValueError(f"every row of {name} is equal, so there is nothing to learn from it")
    return rows


def _by_part(value: Mapping[Any, Any], name: str) -> list[tuple[str, str, Any]]:
    """Return (part, key, array) of each entry of a table by part."""
    entries: dict[str, tuple[str, str, Any]] = {}
    for key, array in value.items():
        part = part_of(str(key))
        if part is None:
            near = difflib.get_close_matches(str(key), PART_NAMES.values(), 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else "use train, val and test"
            raise ValueError(f"{name}: {key!r} is no part of the data: {hint}")
        if part in entries:
            raise ValueError(f"{name}: {entries[part][1]!r} and {key!r} are of one part")
        entries[part] = (part, str(key), array)
    return list(entries.values())


def _array(value: Any, name: str) -> Tensor:
    array = to_numpy(value, name)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold numbers, not {array.dtype}")
    if array.ndim != 2 or not array.shape[1]:
        hint = ": average over positions first" if array.ndim > 2 else ""
        raise ValueError(f"{name} must be of shape (samples, dimensions), not {array.shape}{hint}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    faulty = ~np.isfinite(array).all(1)
    if faulty.any():
        row = int(faulty.argmax())
        raise ValueError(
            f"{name} has NaN or infinite values (beyond float32) in {int(faulty.sum())} rows, "
            f"first in row {row}"
        )
    return torch.from_numpy(array)


def _check_rows(rows: int, samples: int, name: str, data: Data) -> None:
    if rows != samples:
        raise ValueError(f"{name} has {rows} rows for {samples} samples; {_form(data)}")


def _form(data: Data) -> str:
    """Return in words which arrays fit a data set."""
    sizes = {PART_NAMES[part]: len(ids) for part, ids in data.given.ids.items()}
    parts = ", ".join(f'"{part}": {size} rows' for part, size in sizes.items())
    one = f"one array of {sum(sizes.values())} rows, or " if data.given.in_one else ""
    return f"give {one}arrays by part, {{{parts}}}, in the order of the samples of {data.name}"


def _listed(values: Any) -> str:
    return ", ".join(str(PART_NAMES.get(value, value)) for value in values)
