"""A folded network says what the network says, with fewer layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from wcord.models import MODELS, Network, build
from wcord.models.folded import folded

SHAPE = (3, 32, 32)


def trained(module: nn.Module) -> Network:
    """Return a frozen network whose normalisations have statistics and weights of their own."""
    draw = torch.Generator().manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.copy_(torch.randn(layer.num_features, generator=draw) * 0.3)
            layer.running_var.copy_(torch.rand(layer.num_features, generator=draw) + 0.5)
            with torch.no_grad():
                layer.weight.copy_(torch.rand(layer.num_features, generator=draw) + 0.5)
                layer.bias.copy_(torch.randn(layer.num_features, generator=draw) * 0.3)
    return Network(module, SHAPE).requires_grad_(False).eval()


def norms(network: Network) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


@pytest.mark.parametrize("name", [n for n in MODELS if n not in ("resnet110", "resnet50")])
def test_every_model_says_the_same(name: str) -> None:
    """Features and logits within 1e-4 of their norm, on images that it was not folded with."""
    channels, size = SHAPE[0], SHAPE[1:]
    network = trained(build(name, channels, size, 10))
    images = torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(2))
    copy = folded(network, images[:3])
    for ours, theirs in (
        (copy(images).features, network(images).features),
        (copy(images).logits, network(images).logits),
    ):
        assert (ours - theirs).norm() <= 1e-4 * theirs.norm()
    if "digits" not in name and not name.startswith("wrn"):
        assert norms(copy) == 0 < norms(network)


class Shared(nn.Module):
    """A convolution whose output is read before its normalisation, too."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        inner = self.conv(images)
        return self.last((inner + self.norm(inner)).mean((2, 3)))


class Twice(Shared):
    """Layers that are used twice."""

    def forward(self, images: Tensor) -> Tensor:
        first, second = (self.norm(self.conv(x)) for x in (images, images.flip(3)))
        return self.last((first + second).mean((2, 3)))


@pytest.mark.parametrize("kind", [Shared, Twice])
def test_what_cannot_be_folded_stays(kind: type[nn.Module]) -> None:
    network = trained(kind())
    images = torch.randn(4, *SHAPE)
    copy = folded(network, images)
    assert torch.equal(copy(images).logits, network(images).logits) and norms(copy) == 1


def test_half_precision_differs_by_its_rounding() -> None:
    network = trained(build("resnet8", 3, (32, 32), 10))
    images = torch.randn(4, *SHAPE)
    copy = folded(network, images, half=True)
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = copy(images).features.float(), network(images).features.float()
    assert (ours - theirs).norm() <= 0.02 * theirs.norm()
    assert {p.dtype for p in network.parameters()} == {torch.float32}
