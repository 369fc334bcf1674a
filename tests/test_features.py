"""Features of any module, taken by a hook that is removed again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import wcord
from wcord.models.feature_hook import Features


def hooks(module: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in module.modules())


def images(n: int = 3, channels: int = 3, size: int = 32) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def convolutional(weights: None, num_classes: int) -> nn.Module:
    """Return a network whose final layer is a convolution, averaged over positions."""
    layers = (nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, num_classes, 1))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Bidirectional(nn.Module):
    """Two final layers, whose outputs are averaged: no layer alone gives the output."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 5)
        self.one, self.two = nn.Linear(5, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        return (self.one(h) + self.two(h)) / 2


class Scaled(nn.Module):
    """Logits are those of the final layer over a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.fc(self.body(x).relu()) / 0.07}


@pytest.mark.parametrize(
    ("build", "classifier", "dim"),
    [
        (torchvision.models.resnet18, "fc", 512),
        (torchvision.models.mobilenet_v2, "classifier.1", 1280),
        (convolutional, "2", 8),
        (torchvision.models.densenet121, "classifier", 1024),
    ],
)
def test_features_are_the_input_of_the_final_layer(
    build: Callable[..., nn.Module], classifier: str, dim: int
) -> None:
    module = build(weights=None, num_classes=7).eval()
    x, before = images(size=64), copy.deepcopy(module.state_dict())
    expected: list[Any] = []
    layer = module.get_submodule(classifier)
    with torch.no_grad():
        handle = layer.register_forward_hook(lambda _, given, out: expected.append(given[0]))
        logits = module(x)
        handle.remove()
        take = wcord.features(module)
        output, h = take.with_output(x)
    inner = expected[0].mean((2, 3)) if expected[0].ndim == 4 else expected[0]
    assert torch.equal(h, inner) and h.shape == (3, dim) and torch.equal(output, logits)
    assert take.classifier == classifier and hooks(module) == 0
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_a_call_in_training_mode_is_a_call_of_the_module_and_no_more() -> None:
    """Statistics move once, draws of dropout are those of the module, and gradients flow."""
    build = lambda: nn.Sequential(  # noqa: E731
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3)
    )
    module, other = build(), build()
    other.load_state_dict(module.state_dict())
    x = torch.randn(8, 4)
    take = wcord.features(module)
    torch.manual_seed(1)
    logits, h = take.with_output(x)
    torch.manual_seed(1)
    expected = other(x)
    assert torch.equal(logits, expected) and torch.equal(logits, module[3](h))
    for one, two in zip(module.buffers(), other.buffers(), strict=True):
        assert torch.equal(one, two)
    h.sum().backward()
    assert module[0].weight.grad is not None


def test_a_named_layer_gives_its_output_and_maps_are_averaged() -> None:
    module = torchvision.models.resnet18(weights=None).eval()
    x = images(size=64)
    pooled = wcord.features(module, "avgpool")(x)
    torch.testing.assert_close(pooled, wcord.features(module)(x))
    torch.testing.assert_close(wcord.features(module, "layer4")(x), pooled)
    assert hooks(module) == 0


def test_the_output_of_a_headless_network_is_named_by_an_empty_layer() -> None:
    module = torchvision.models.resnet18(weights=None).eval()
    expected = wcord.features(module)(images(size=64))
    module.fc = nn.Identity()
    with pytest.raises(ValueError, match="layer=''") as caught:
        wcord.features(module)(images(size=64))
    assert "\n" not in str(caught.value) and hooks(module) == 0
    torch.testing.assert_close(wcord.features(module, "")(images(size=64)), expected)


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Linear(4, 5), nn.ReLU()),
        nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5)),
        nn.Sequential(nn.Linear(4, 5), nn.Softmax(1)),
        Bidirectional(),
        nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 5), nn.Tanh()),
    ],
)
def test_a_network_that_does_not_end_with_a_linear_layer_is_refused(module: nn.Module) -> None:
    with pytest.raises(ValueError, match=r"the features of .* are not found"):
        wcord.features(module)(torch.randn(6, 4))
    h = wcord.features(module, "")(torch.randn(6, 4))
    assert h.ndim == 2


def test_logits_over_a_temperature_have_a_final_layer() -> None:
    module, x = Scaled(), torch.randn(5, 4)
    output, h = wcord.features(module).with_output(x)
    torch.testing.assert_close(module.fc(h) / 0.07, output["logits"])


def test_arguments_by_name_reach_the_module() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, *, values: Tensor, mask: Tensor, scale: float = 1.0) -> Any:
            return (self.fc(values * mask[:, None] * scale), "extra")

    module = Gated()
    x, mask = torch.randn(6, 4), torch.tensor([1.0, 0, 1, 1, 0, 1])
    h = wcord.features(module)(values=x, mask=mask, scale=2.0)
    assert torch.equal(h, x * mask[:, None] * 2)


def test_a_module_that_raises_keeps_no_hook() -> None:
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.broken = nn.Linear(4, 3), False

        def forward(self, x: Tensor) -> Tensor:
            out = self.fc(x)
            if self.broken:
                raise RuntimeError("no")
            return out

    module = Moody()
    take = wcord.features(module)
    take(torch.randn(3, 4))
    module.broken = True
    with pytest.raises(RuntimeError, match="no"):
        take(torch.randn(3, 4))
    assert hooks(module) == 0


class FeaturesFirst(nn.Module):
    """Returns features and logits; the features are the output of a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return h, self.fc(h)


def wrong() -> list[tuple[str, Callable[[], Any]]]:
    net = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3))
    sequence = nn.Sequential(nn.Linear(4, 5))
    shared = nn.Linear(4, 4)
    twice = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(4, 2))
    x, last = torch.randn(3, 4), torch.randn(3, 7, 7, 5)

    class Skipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused, self.fc = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x)

    return [
        ("needs a torch.nn.Module, not str", lambda: wcord.features("resnet18")),  # type: ignore
        ("no layer 'fc'; its last layers are 0, 1", lambda: wcord.features(net, "fc")),
        ("DataParallel", lambda: wcord.features(nn.DataParallel(net))),
        ("torch.jit", lambda: wcord.features(torch.jit.trace(net, x))),
        ("2 times", lambda: wcord.features(twice, "0")(x)),
        ("did not call its layer 'unused'", lambda: wcord.features(Skipping(), "unused")(x)),
        (
            r"is \(3, 7, 5\) for 3",
            lambda: wcord.features(sequence, "0")(x[:, None].expand(3, 7, 4)),
        ),
        ("needs a batch", lambda: wcord.features(net)("text")),
        ("lazy layers", lambda: wcord.features(nn.Sequential(nn.LazyLinear(3)))(x)),
        ("the input of its layer 'fc'", lambda: wcord.features(FeaturesFirst())(x)),
        ("cannot run on 2 of these samples: .*shapes", lambda: wcord.features(net)(x[:2, :3])),
        ("the name of a layer, not a int", lambda: wcord.features(net, 0)),  # type: ignore
        ("a Linear: layer='1'", lambda: wcord.features(net, net[1])),  # type: ignore
        ("channels last: .*mean", lambda: wcord.features(nn.Sequential(nn.Identity()), "0")(last)),
    ]


@pytest.mark.parametrize("number", range(14))
def test_misuse_is_one_line(number: int) -> None:
    pattern, action = wrong()[number]
    with pytest.raises(ValueError, match=pattern) as caught:
        action()
    assert "\n" not in str(caught.value)


def test_messages_name_an_argument_that_exists() -> None:
    """`classifier=` is an argument of other functions."""

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.calls = nn.Linear(4, 3), 1

        def forward(self, x: Tensor) -> Tensor:
            return sum((self.fc(x) for _ in range(self.calls)), torch.zeros(()))

    module, x = Tokens(), torch.randn(3, 4)
    take = wcord.features(module)
    take(x)
    module.calls = 2
    for action in (lambda: take(x), lambda: wcord.features(module)(x[:, None])):
        with pytest.raises(ValueError, match="layer=") as caught:
            action()
        assert "classifier=" not in str(caught.value)


def test_a_compiled_module_is_read_or_refused() -> None:
    net = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    x = torch.randn(3, 4)
    expected = wcord.features(net)(x)
    compiled = torch.compile(net, backend="eager")
    compiled(x)  # compiled before any hook
    try:
        torch.testing.assert_close(wcord.features(compiled)(x), expected)  # type: ignore[arg-type]
    except ValueError as error:
        assert "before torch.compile" in str(error)


def test_the_function_can_be_copied_with_its_module() -> None:
    take = wcord.features(nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 3)))
    x = torch.randn(3, 4)
    expected = take(x)
    other = copy.deepcopy(take)
    assert isinstance(other, Features) and other.module is not take.module
    assert torch.equal(other(x), expected)
