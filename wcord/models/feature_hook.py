"""Take features from any module by a hook that exists only during a call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from wcord.errors import first_line
from wcord.models.feature_layers import (
    BY_CLASSIFIER,
    FeatureLayers,
    ForwardFailed,
    combined,
    find_classifier,
    first_argument,
    mean_over_positions,
)
from wcord.models.network import unwrapped

TRIED = 4  # samples with which the classifier is searched


class Features:
    """The features of a module: `take(inputs)` -> (n, d); see `features`.

    Attributes:
        module: the module as it was given.
        layer: name of the layer whose output is taken, or None.
        classifier: name of the final layer that was found, whose input is taken; None before the
            first call, and with `layer`.
    """

    def __init__(self, module: nn.Module, layer: str | None = None) -> None:
        if not isinstance(module, nn.Module):
            raise ValueError(f"features needs a torch.nn.Module, not {type(module).__name__}")
        if isinstance(module, nn.DataParallel):
            raise ValueError(
                "features cannot read DataParallel, whose copies run in threads: use "
                "DistributedDataParallel, or give its .module"
            )
        self.module, self.layer = module, layer
        self._inner = unwrapped(module)
        self._kind = type(self._inner).__name__
        self._found: FeatureLayers | None = None
        if isinstance(self._inner, torch.jit.ScriptModule):
            raise ValueError(
                f"{self._kind} is a torch.jit module: give the nn.Module it is made of"
            )
        if layer is not None and layer != "":
            _check_layer(self._inner, layer, self._kind)

    def __repr__(self) -> str:
        place = f"classifier={self.classifier!r}" if self.layer is None else f"layer={self.layer!r}"
        return f"features({self._kind}, {place})"

    @property
    def classifier(self) -> str | None:
        """Name of the final layer whose input is taken, once it is found."""
        return self._found.classifier if self._found else None

    def __call__(self, *inputs: Any, **options: Any) -> Tensor:
        """Run the module and return its features (n, d)."""
        return self.with_output(*inputs, **options)[1]

    def with_output(self, *inputs: Any, **options: Any) -> tuple[Any, Tensor]:
        """Run the module once; return its output as it is, and its features (n, d).

        The module runs as it was given (also inside DistributedDataParallel), in its present mode
        and with gradients if they are on.

        Raises:
            ValueError: no final layer is found; the layer is not called, or has no features of
                shape (n, d), (n, d, height, width); one line.
        """
        count = _count(inputs, options)
        if self.layer == "":
            output = self.module(*inputs, **options)
            _check_channels(output, f"the output of {self._kind}")
            return output, self._checked(mean_over_positions(output), count, "the output")
        if self.layer is None and self._found is None:
            self._found = self._find(inputs, options, count)
        values: list[Any] = []
        with _recorded(self._inner, self.layer, self._found, values):
            output = self.module(*inputs, **options)
        name = self.layer if self._found is None else self._found.classifier
        if not values:
            raise ValueError(
                f"{self._kind} did not call its layer {name!r}: check layer= (a compiled module "
                "does not report its layers: give the module before torch.compile)"
            )
        if self._found is not None:
            try:
                taken = combined(
                    values, self._found.shares, self._inner.training, self._kind, str(name)
                )
            except ValueError as error:
                text = str(error).removesuffix(BY_CLASSIFIER)
                raise ValueError(f"{text}: name a layer by layer=") from error
            return output, self._checked(taken, count, f"the input of {name!r}")
        if len(values) > 1:
            raise ValueError(
                f"{self._kind} calls its layer {name!r} {len(values)} times: name another by layer="
            )
        _check_channels(values[0], f"the layer {name!r} of {self._kind}")
        return output, self._checked(mean_over_positions(values[0]), count, f"the layer {name!r}")

    def _find(self, inputs: tuple[Any, ...], options: dict[str, Any], count: int) -> FeatureLayers:
        """Find the classifier with the first samples of a batch."""
        few = min(TRIED, count)

        def cut(value: Any) -> Any:
            rows = isinstance(value, Tensor) and value.ndim > 0 and len(value) == count
            return value[:few] if rows else value

        try:
            return find_classifier(self._inner, tree_map(cut, inputs), tree_map(cut, options), few)
        except ForwardFailed as error:
            raise ValueError(
                f"{self._kind} cannot run on {few} of these samples: {error}"
            ) from error
        except Exception as error:  # a user's module may raise any error
            reason = first_line(error).removesuffix(BY_CLASSIFIER)
            raise ValueError(
                f"the features of {self._kind} are not found: {reason}; name the layer whose "
                "output they are by layer=, or layer='' if they are the module's own output"
            ) from error

    def _checked(self, taken: Any, count: int, what: str) -> Tensor:
        if isinstance(taken, Tensor) and taken.ndim == 2 and len(taken) == count:
            return taken
        got = tuple(taken.shape) if isinstance(taken, Tensor) else type(taken).__name__
        raise ValueError(
            f"{what} of {self._kind} is {got} for {count} samples, and features have the shape "
            "(n, d): name another layer by layer=, or take them yourself, such as "
            "lambda x: module(x)[:, 0]"
        )


def features(module: nn.Module, layer: str | None = None) -> Features:
    """Return a function that runs a module and returns its features (n, d).

        take = features(module);   h = take(x);   logits, h = take.with_output(x)

    Features are the input of the final linear layer, found at the first call by running a copy of
    the module on a few of the samples; or the output of `layer`. Maps (n, d, height, width) are
    averaged over their positions. The module is not changed: a hook is added for each call and
    removed again.

    Args:
        module: any module; inside DistributedDataParallel it runs as such.
        layer: name of the layer whose output is taken, such as "avgpool" (the names are those of
            `module.named_modules()`); "" for the output of the module itself, which is right for a
            network without a final layer (headless). None: the input of the final linear layer; a
            network whose output is not that of a linear layer is refused.

    Raises:
        ValueError: no module, or no such layer.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    >>> logits, h = features(net).with_output(torch.zeros(2, 1, 2, 3))
    >>> logits.shape, h.shape
    (torch.Size([2, 3]), torch.Size([2, 5]))
    """
    return Features(module, layer)


def _check_layer(module: nn.Module, layer: str, kind: str) -> None:
    if not isinstance(layer, str):
        names = {inner: name for name, inner in module.named_modules()}
        known = f"layer={names[layer]!r}" if layer in names else "a name of module.named_modules()"
        raise ValueError(f"layer is the name of a layer, not a {type(layer).__name__}: {known}")
    try:
        module.get_submodule(layer)
    except AttributeError:
        names = [name for name, _ in module.named_modules() if name]
        raise ValueError(
            f"{kind} has no layer {layer!r}; its last layers are {', '.join(names[-5:])}"
        ) from None


def _check_channels(maps: Any, what: str) -> None:
    """Raise a ValueError for maps (n, size, size, channels), whose channels are probably last."""
    if isinstance(maps, Tensor) and maps.ndim == 4:
        _, rows, columns, last = maps.shape
        if rows == columns != last and rows > 1:
            raise ValueError(
                f"{what} is {tuple(maps.shape)}, which looks like maps with the channels last: "
                "take the features yourself, such as lambda x: module(x).mean((1, 2))"
            )


def _count(inputs: tuple[Any, ...], options: dict[str, Any]) -> int:
    """Return n, the length of the first tensor among the arguments."""
    for value in tree_leaves((inputs, options)):
        if isinstance(value, Tensor) and value.ndim > 0:
            return len(value)
    raise ValueError("features needs a batch: a tensor (n, ...) among the arguments")


@contextmanager
def _recorded(
    module: nn.Module, layer: str | None, found: FeatureLayers | None, values: list[Any]
) -> Iterator[None]:
    """Append to `values` the input of the classifier, or the output of a layer, in the block."""

    def record_output(_: nn.Module, inputs: Any, output: Any) -> None:
        values.append(output)

    def record_input(_: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> None:
        values.append(first_argument(inputs, options))

    if found is None:
        handle = module.get_submodule(str(layer)).register_forward_hook(record_output)
    else:
        classifier = module.get_submodule(found.classifier)
        handle = classifier.register_forward_pre_hook(record_input, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
