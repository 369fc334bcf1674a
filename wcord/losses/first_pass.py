"""Read the features of all training samples, for `FeatureLoss.prime`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from wcord.losses.misuse import integers

Source = Callable[[Any], Tensor] | nn.Module | Tensor | Any  # or an array
LABEL_KEYS = ("labels", "label")
ROWS = 4096  # of one part of the first pass
WRAP = "wrap the data set by wcord.Indexed(dataset)"


class FirstFeatures(NamedTuple):
    """Features (N, d) float32 of both sides, and labels (N,) if the loader has them, on the CPU."""

    teacher: Tensor
    student: Tensor
    labels: Tensor | None


@dataclass(frozen=True)
class LoaderBatch:
    """A batch of a loader: index (n,), the inputs of the networks, and labels (n,) if any."""

    index: Tensor
    inputs: Any
    labels: Any


def chunks(count: int) -> tuple[Tensor, ...]:
    """Return 0 ... count - 1 in parts of at most `ROWS`."""
    return torch.arange(count).split(ROWS)


def read_features(
    loader: Iterable[Any] | None,
    sources: Mapping[str, Source],
    dims: Mapping[str, int],
    samples: int | None,
    name: str,
    progress: bool,
) -> FirstFeatures:
    """Return the features of all samples, by arrays or by running functions on a loader.

    Args:
        loader: gives every sample once; None if both sources are arrays.
        sources: "teacher" and "student": a function, a module, or an array (N, d).
        dims: length of the features of each side.
        samples: N; None where no term has a bank: then the loader's samples need no index.
        name: of the loss, for messages.
        progress: whether to show a bar.

    Raises:
        ValueError: see `FeatureLoss.prime`.
    """
    whole = {s: _array(v, f"{name}: {s}") for s, v in sources.items() if not callable(v)}
    labels = None
    if loader is None:
        missing = [side for side in sources if side not in whole]
        if missing:
            raise ValueError(
                f"{name}: prime needs a loader to run the {missing[0]} on: prime(loader, "
                f"{missing[0]}=...), or give its features of all samples as an array"
            )
    else:
        run = {side: source for side, source in sources.items() if side not in whole}
        computed, labels = _run(loader, run, samples, name, progress)
        whole |= computed
    for side, features in whole.items():
        _check(features, dims[side], samples, f"{name}: {side} features")
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
    loader: Iterable[Any],
    sources: Mapping[str, Any],
    samples: int | None,
    name: str,
    progress: bool,
) -> tuple[dict[str, Tensor], Tensor | None]:
    """Return the features that functions give for the samples of a loader, and their labels."""
    rows: dict[str, list[Tensor]] = {side: [] for side in sources}
    indices, labels = [], []
    with torch.no_grad(), _evaluation(sources.values()):
        for entry in tqdm(loader, desc="first pass", leave=False, disable=not progress):
            batch = _loader_batch(entry, samples is not None, name)
            for side, source in sources.items():
                features = _features(source, batch.inputs)
                if not isinstance(features, Tensor) or features.ndim != 2:
                    raise ValueError(f"{name}: {side}: {_wrong_output(features)}")
                rows[side].append(features.detach().float().cpu())
            indices.append(batch.index)
            labels.append(batch.labels)
    if not indices:
        raise ValueError(f"{name}: the loader gives no batch")
    index = torch.cat(indices)
    counts = [len(features) for part in rows.values() for features in part]
    if sum(counts) != len(index) * len(rows):
        raise ValueError(f"{name}: features and index of the loader differ in length")
    order = index.argsort() if samples is None else _order(index, samples, name)
    known = all(values is not None for values in labels)
    return (
        {side: torch.cat(parts)[order] for side, parts in rows.items()},
        torch.cat([torch.as_tensor(values).cpu() for values in labels])[order] if known else None,
    )


def _loader_batch(entry: Any, need_index: bool, name: str) -> LoaderBatch:
    """Return a batch of a loader in parts: a tuple (index, inputs, labels...), or a dictionary."""
    if isinstance(entry, Mapping):
        rest = dict(entry)
        index = rest.pop("index", None)
        found = [rest.pop(key) for key in LABEL_KEYS if key in rest]
        inputs, labels = rest, found[0] if found else None
    else:
        values = list(entry) if isinstance(entry, (tuple, list)) else [entry]
        first = values[0] if values else None
        has_index = isinstance(first, Tensor) and first.ndim == 1 and not first.is_floating_point()
        index = values.pop(0) if has_index and len(values) > 1 else None
        inputs, labels = values[0], values[1] if len(values) > 1 else None
    if index is None and need_index:
        raise ValueError(
            f"{name}: the loader must give the index of every sample in the training set, as "
            f"(index, inputs, labels) or {{'index': ...}}: {WRAP}"
        )
    if index is None:
        index = torch.zeros(_length(inputs), dtype=torch.long)  # keeps the loader's order
    return LoaderBatch(torch.as_tensor(index).cpu().long(), inputs, labels)


def _length(inputs: Any) -> int:
    return len(next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs)


def _features(source: Any, inputs: Any) -> Any:
    """Return what a function or module gives for the inputs of a batch, on the module's device."""
    module = source if isinstance(source, nn.Module) else getattr(source, "module", None)
    if not isinstance(module, nn.Module):
        return source(inputs)
    place = next(chain(module.parameters(), module.buffers()), None)
    if isinstance(inputs, Mapping):
        return source(**{key: _moved(value, place) for key, value in inputs.items()})
    return source(_moved(inputs, place))


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


def _order(index: Tensor, samples: int, name: str) -> Tensor:
    """Return the positions of samples 0 ... N - 1 in the loader's order.

    Raises:
        ValueError: an index out of range, twice or missing.
    """
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
            "(drop_last=False, no DistributedSampler)"
        )
    return index.argsort()


def _array(value: Any, name: str) -> Tensor:
    try:
        return torch.as_tensor(value).detach().float().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"{name} must be a function, a module or an array of features, not "
            f"{type(value).__name__}"
        ) from error


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


@contextmanager
def _evaluation(sources: Iterable[Any]) -> Iterator[None]:
    """Set the modules among the sources, or inside them, to evaluation mode; then restore it."""
    modules = [s if isinstance(s, nn.Module) else getattr(s, "module", None) for s in sources]
    layers = [m for module in modules if isinstance(module, nn.Module) for m in module.modules()]
    modes = [layer.training for layer in layers]
    for layer in layers:
        layer.training = False
    try:
        yield
    finally:
        for layer, mode in zip(layers, modes, strict=True):
            layer.training = mode
