"""Read the features of all training samples, for `FeatureLoss.prime`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map
from torch.utils.data import Dataset, IterableDataset
from tqdm.auto import tqdm

from wcord.errors import first_line
from wcord.losses.loader_batch import loader_batch
from wcord.losses.misuse import LossWarning, integers

Source = Callable[[Any], Tensor] | nn.Module | Tensor | Any  # or an array
ROWS = 4096  # of one part of the first pass
RANDOM_LAYERS = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)


class FirstFeatures(NamedTuple):
    """Features (N, d) of both sides, and labels (N,) if they are needed, on the CPU."""

    teacher: Tensor
    student: Tensor
    labels: Tensor | None


@dataclass(frozen=True)
class Needs:
    """What a loss needs of the first pass.

    Args:
        name: of the loss, for messages.
        dims: length of the features of each side.
        samples: N; None where no term has a bank: then the loader's samples need no index.
        labels: whether the classes of the samples are needed.
        dtype: of the features, that of the loss.
    """

    name: str
    dims: Mapping[str, int]
    samples: int | None
    labels: bool
    dtype: torch.dtype


def chunks(count: int) -> tuple[Tensor, ...]:
    """Return 0 ... count - 1 in parts of at most `ROWS`."""
    return torch.arange(count, device="cpu").split(ROWS)


def read_features(
    loader: Iterable[Any] | None, sources: Mapping[str, Source], needs: Needs, progress: bool
) -> FirstFeatures:
    """Return the features of all samples, by arrays or by running functions on a loader.

    Args:
        loader: gives every sample once; None if both sources are arrays.
        sources: "teacher" and "student": a function, a module, or an array (N, d).
        needs: of the loss.
        progress: whether to show a bar.

    Raises:
        ValueError: see `FeatureLoss.prime`.
    """
    name, labels = needs.name, None
    whole = {s: _array(v, needs, s) for s, v in sources.items() if not callable(v)}
    if loader is None:
        missing = [side for side in sources if side not in whole]
        if missing:
            raise ValueError(
                f"{name}: prime needs a loader to run the {missing[0]} on: prime(loader, "
                f"{missing[0]}=...), or give its features of all samples as an array"
            )
    elif isinstance(loader, Dataset) and not isinstance(loader, IterableDataset):
        raise ValueError(
            f"{name}: prime needs a loader and not the data set: DataLoader(dataset, 256)"
        )
    else:
        run = {side: source for side, source in sources.items() if side not in whole}
        computed, labels = _run(loader, run, needs, progress)
        whole |= computed
    for side, features in whole.items():
        _check(features, needs.dims[side], needs.samples, f"{name}: {side} features")
    teacher, student = whole["teacher"], whole["student"]
    if len(teacher) != len(student):
        raise ValueError(
            f"{name}: prime has teacher features of {len(teacher)} samples and student features of "
            f"{len(student)}: give both of the same samples"
        )
    return FirstFeatures(teacher, student, labels)


def read_labels(labels: Any, found: FirstFeatures, classes: int | None, name: str) -> Tensor:
    """Return the classes (N,) of all samples, by which negatives of other classes are drawn.

    Raises:
        ValueError: no labels, or labels that are no class numbers.
    """
    labels = found.labels if labels is None else labels
    advice = "negatives of other classes need the class of every sample"
    if labels is None:
        raise ValueError(
            f"{name}: {advice}: give them to prime as labels=, or as the third entry of the "
            "loader's batches"
        )
    values = integers(labels, f"{name}: labels")
    if len(values) != len(found.teacher):
        raise ValueError(f"{name}: {len(values)} labels for {len(found.teacher)} samples")
    least, most = int(values.min()), int(values.max())
    if least < 0:
        raise ValueError(
            f"{name}: a label is {least}, but {advice}: give unlabelled samples the class that the "
            "teacher predicts"
        )
    if classes is not None and most >= classes:
        raise ValueError(f"{name}: a label is {most}, but there are {classes} classes")
    return values


def _run(
    loader: Iterable[Any], sources: Mapping[str, Any], needs: Needs, progress: bool
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Return the features that functions give for the samples of a loader, and their labels."""
    rows: dict[str, list[Tensor]] = {side: [] for side in sources}
    indices: list[Tensor] = []
    labels: list[Tensor | None] = []
    count = 0
    _warn_of_training_mode(sources.get("teacher"), needs.name)
    with torch.no_grad(), _evaluation(sources.values()):
        for entry in tqdm(loader, desc="first pass", leave=False, disable=not progress):
            batch = loader_batch(entry, needs.samples is not None, needs.name)
            index, n = batch.index, None if batch.index is None else len(batch.index)
            for side, source in sources.items():
                features = _features(source, batch.inputs, f"{needs.name}: the {side}")
                n = len(features) if n is None and isinstance(features, Tensor) else n
                rows[side].append(_checked(features, n, side, needs))
            n = n or 0
            indices.append(torch.arange(count, count + n, device="cpu") if index is None else index)
            labels.append(_labels(batch.labels, needs))
            count += n
    if not count:
        raise ValueError(f"{needs.name}: the loader gives no batch")
    index = torch.cat(indices)
    if needs.samples is not None:
        _check_index(index, needs.samples, needs.name)
    position = index.argsort(stable=True)
    known = [part for part in labels if part is not None]
    return (
        {side: _in_order(parts, position) for side, parts in rows.items()},
        torch.cat(known)[position] if known and len(known) == len(labels) else None,
    )


def _in_order(parts: list[Tensor], order: Tensor) -> Tensor:
    """Return the rows `order` (N,) of all parts (n, d) together; the list is emptied."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order), device="cpu")
    rows = parts[0].new_empty(len(order), parts[0].shape[1])
    start = 0
    while parts:  # every part is freed once it is copied, because features may fill the memory
        part = parts.pop(0)
        rows[place[start : start + len(part)]] = part
        start += len(part)
    return rows


def _checked(features: Any, count: int | None, side: str, needs: Needs) -> Tensor:
    """Return the features (n, d) of a batch in the CPU's memory."""
    if not isinstance(features, Tensor) or features.ndim != 2:
        raise ValueError(f"{needs.name}: {side}: {_wrong_output(features)}")
    dim = needs.dims[side]
    if features.shape != (count, dim):
        raise ValueError(
            f"{needs.name}: {side} features must be of shape ({count}, {dim}) for this batch, not "
            f"{tuple(features.shape)}: check {side}_dim and the layer whose features are taken"
        )
    return features.detach().to("cpu", needs.dtype)


def _labels(values: Any, needs: Needs) -> Tensor | None:
    if values is None or not needs.labels:
        return None
    return integers(values, f"{needs.name}: labels")


def _module_of(source: Any) -> nn.Module | None:
    """Return the module that a source runs: itself, that of `features`, or that of a method."""
    inner = (source, getattr(source, "module", None), getattr(source, "__self__", None))
    return next((module for module in inner if isinstance(module, nn.Module)), None)


def _features(source: Any, inputs: Any, side: str) -> Any:
    """Return what a function or module gives for the inputs of a batch, on the module's device.

    A module gets the entries of a dictionary as keywords; a function gets the dictionary.
    """
    module = _module_of(source)
    table = isinstance(inputs, Mapping)
    try:
        if module is None:
            return source(inputs)
        place = next(chain(module.parameters(), module.buffers()), None)
        inputs = tree_map(lambda value: _moved(value, place), inputs)
        return source(**inputs) if table else source(inputs)
    except Exception as error:  # a function or module of the user may raise any error
        advice = ""
        if table:
            first = next(iter(inputs), "image")
            advice = (
                f". The batch has {', '.join(map(repr, inputs)) or 'no other entries'}: choose by "
                f"a function, such as lambda batch: features(batch[{first!r}])"
            )
        raise ValueError(f"{side} fails on a batch: {first_line(error)}{advice}") from error


def _moved(value: Any, place: Tensor | None) -> Any:
    return value if place is None or not isinstance(value, Tensor) else value.to(place.device)


def _wrong_output(features: Any) -> str:
    got = type(features).__name__
    if isinstance(features, Tensor):
        got = f"of shape {tuple(features.shape)}"
    return (
        f"features of shape (n, d) are needed, not {got}: give a function that returns them, such "
        "as wcord.features(module)"
    )


def _check_index(index: Tensor, samples: int, name: str) -> None:
    """Raise a ValueError if an index of the loader is out of range, twice or missing."""
    least, most = int(index.min()), int(index.max())
    if least < 0 or most >= samples:
        wrong = least if least < 0 else most
        raise ValueError(
            f"{name}: prime met the index {wrong}, but samples is {samples}: an index is the "
            f"number of a sample in the data set, 0 ... {samples - 1}"
        )
    counts = torch.bincount(index, minlength=samples)
    if int(counts.max()) > 1:
        raise ValueError(
            f"{name}: prime met the sample {int(counts.argmax())} twice: every sample is needed "
            "once (no sampler with replacement, no DistributedSampler, and the index in the data "
            "set, not in the batch)"
        )
    missing = int((counts == 0).sum())
    if missing:
        raise ValueError(
            f"{name}: prime met {len(index)} of {samples} samples: give it a loader of all of them "
            "(drop_last=False, no DistributedSampler, and Indexed(Subset(...)) for a part)"
        )


def _array(value: Any, needs: Needs, side: str) -> Tensor:
    """Return an array of features as a tensor in the CPU's memory."""
    try:
        tensor = value.detach() if isinstance(value, Tensor) else _from_numpy(np.asarray(value))
        if tensor.is_complex():
            raise TypeError("complex")
        return tensor.to("cpu", needs.dtype)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{needs.name}: {side} must be a function, a module or an array of features, not "
            f"{type(value).__name__}"
        ) from error


def _from_numpy(array: Any) -> Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _check(features: Tensor, dim: int, samples: int | None, name: str) -> None:
    """Raise a ValueError if features (N, dim) do not fit, or tell nothing about the samples."""
    if features.ndim != 2 or features.shape[1] != dim:
        raise ValueError(f"{name} must be of shape (samples, {dim}), not {tuple(features.shape)}")
    if samples is not None and len(features) != samples:
        raise ValueError(f"{name} are of {len(features)} samples, but samples is {samples}")
    broken = ~features.isfinite().all(1)
    if broken.any():
        raise ValueError(
            f"{name} are NaN or infinite for {int(broken.sum())} samples, the first is number "
            f"{int(broken.nonzero()[0])}: check network and inputs"
        )
    if len(features) > 1 and bool((features == features[0]).all()):
        raise ValueError(
            f"{name} are the same for all samples, so there is nothing to compare: check network "
            "and inputs"
        )


def _warn_of_training_mode(teacher: Any, name: str) -> None:
    """Warn of a teacher whose features in the loop will not be those of evaluation mode."""
    module = _module_of(teacher)
    layers = () if module is None else module.modules()
    if any(layer.training and isinstance(layer, RANDOM_LAYERS) for layer in layers):
        warnings.warn(
            f"{name}: the teacher is in training mode, where dropout and batch statistics change "
            "its features: call teacher.eval() before the loop",
            LossWarning,
            stacklevel=5,  # the caller of prime
        )


@contextmanager
def _evaluation(sources: Iterable[Any]) -> Iterator[None]:
    """Set the modules among the sources, or inside them, to evaluation mode; then restore it."""
    found = [_module_of(source) for source in sources]
    layers = [layer for module in found if module is not None for layer in module.modules()]
    modes = [layer.training for layer in layers]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.training = mode
