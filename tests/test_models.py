"""Networks: sizes, blocks and features against closed forms and torchvision."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as tv
from torchvision.models.mobilenetv2 import InvertedResidual as TorchvisionInverted
from torchvision.models.resnet import BasicBlock as TorchvisionBasic
from torchvision.models.resnet import Bottleneck as TorchvisionBottleneck
from torchvision.models.shufflenetv2 import InvertedResidual as TorchvisionShuffle

from wcord.models import MODELS, Network, build, check_model, parameter_count
from wcord.models.layers import conv_norm
from wcord.models.mobilenet import InvertedResidual
from wcord.models.resnet import BasicBlock, Bottleneck, cifar_resnet
from wcord.models.shufflenet import DownBlock, SplitBlock, shuffle
from wcord.models.wide_resnet import WideBlock, WideResNet

# Millions of parameters for 100 classes, as others print them: ResNet-50 in the table of
# rentainhe/pytorch-models, the rest in public reproductions of the CRD benchmark. Nobody was found
# who prints ResNet-32 for 100 classes: He et al. (2016), table 6, have 0.46 for ten classes and
# shortcuts without parameters, to which 90 classes and two projections add 0.009. The closed forms
# below count, layer by layer, what the published code (HobbitLong/RepDistiller, models/) builds.
PUBLISHED = {
    "resnet20": 0.28,
    "resnet32": 0.47,
    "resnet56": 0.86,
    "resnet110": 1.74,
    "resnet8x4": 1.23,
    "resnet32x4": 7.43,
    "wrn-16-2": 0.70,
    "wrn-40-2": 2.26,
    "vgg8": 3.97,
    "vgg13": 9.46,
    "mobilenetv2": 0.81,
    "resnet50": 23.71,
}


def images(n: int, channels: int = 3, height: int = 32, width: int = 32) -> Tensor:
    return torch.randn((n, channels, height, width), generator=torch.Generator().manual_seed(1))


# --- sizes -------------------------------------------------------------------------------------


def conv(inputs: int, outputs: int, kernel: int = 3, groups: int = 1) -> int:
    """Parameters of a convolution without bias and the batch norm after it."""
    return inputs // groups * outputs * kernel * kernel + 2 * outputs


def resnet_count(
    blocks: tuple[int, ...], stem: int, widths: tuple[int, ...], bottleneck: bool
) -> int:
    total, inputs = conv(3, stem), stem
    for stage, (count, width) in enumerate(zip(blocks, widths, strict=True)):
        outputs = 4 * width if bottleneck else width
        for block in range(count):
            if bottleneck:
                total += conv(inputs, width, 1) + conv(width, width) + conv(width, outputs, 1)
            else:
                total += conv(inputs, width) + conv(width, width)
            if inputs != outputs or (stage and not block):
                total += conv(inputs, outputs, 1)
            inputs = outputs
    return total + 100 * inputs + 100


def wide_count(depth: int, factor: int) -> int:
    total, inputs = 3 * 16 * 9, 16
    for width in (16 * factor, 32 * factor, 64 * factor):
        for _ in range((depth - 4) // 6):
            total += 2 * inputs + 9 * inputs * width + 2 * width + 9 * width * width
            total += inputs * width if inputs != width else 0
            inputs = width
    return total + 2 * inputs + 100 * inputs + 100


def vgg_count(repeat: int) -> int:
    total, inputs = 0, 3
    for width in (64, 128, 256, 512, 512):
        for _ in range(repeat):
            total += conv(inputs, width) + width  # these convolutions have biases
            inputs = width
    return total + 100 * 512 + 100


def mobile_count() -> int:
    rows = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
    total, inputs = conv(3, 16), 16
    for expansion, width, count in rows:
        for _ in range(count):
            inner, outputs = inputs * expansion, width // 2
            total += conv(inputs, inner, 1) + conv(inner, inner, 3, inner) + conv(inner, outputs, 1)
            inputs = outputs
    return total + conv(inputs, 1280, 1) + 1280 * 100 + 100


def shuffle_v1_count() -> int:
    total, inputs = conv(3, 24, 1), 24
    for width, count in ((240, 4), (480, 8), (960, 4)):
        for block in range(count):
            added = width - inputs if block == 0 else width
            inner = added // 4
            total += conv(inputs, inner, 1, 1 if inputs == 24 else 3)
            total += conv(inner, inner, 3, inner) + conv(inner, added, 1, 3)
            inputs = width
    return total + 960 * 100 + 100


def shuffle_v2_count() -> int:
    total, inputs = conv(3, 24, 1), 24
    for width, count in ((116, 3), (232, 7), (464, 3)):
        half = width // 2
        total += conv(inputs, inputs, 3, inputs) + conv(inputs, half, 1)
        total += (1 + count) * (conv(half, half, 3, half) + conv(half, half, 1))
        total += conv(inputs, half, 1) + count * conv(half, half, 1)
        inputs = width
    return total + conv(464, 1024, 1) + 1024 * 100 + 100


THIN, THICK = (16, 32, 64), (64, 128, 256)
COUNTS = {
    "resnet8": resnet_count((1,) * 3, 16, THIN, False),
    "resnet14": resnet_count((2,) * 3, 16, THIN, False),
    "resnet20": resnet_count((3,) * 3, 16, THIN, False),
    "resnet32": resnet_count((5,) * 3, 16, THIN, False),
    "resnet44": resnet_count((7,) * 3, 16, THIN, False),
    "resnet56": resnet_count((9,) * 3, 16, THIN, False),
    "resnet110": resnet_count((18,) * 3, 16, THIN, False),
    "resnet8x4": resnet_count((1,) * 3, 32, THICK, False),
    "resnet32x4": resnet_count((5,) * 3, 32, THICK, False),
    "resnet50": resnet_count((3, 4, 6, 3), 64, (64, 128, 256, 512), True),
    "wrn-16-1": wide_count(16, 1),
    "wrn-16-2": wide_count(16, 2),
    "wrn-40-1": wide_count(40, 1),
    "wrn-40-2": wide_count(40, 2),
    "vgg8": vgg_count(1),
    "vgg13": vgg_count(2),
    "mobilenetv2": mobile_count(),
    "shufflenetv1": shuffle_v1_count(),
    "shufflenetv2": shuffle_v2_count(),
}


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_counted_as_in_the_literature(name: str) -> None:
    count = parameter_count(build(name, 3, (32, 32), 100))
    assert count == COUNTS[name]
    if name in PUBLISHED:
        assert round(count / 1e6, 2) == PUBLISHED[name]


def test_every_name_is_counted_and_the_small_ones_are_small() -> None:
    assert set(MODELS) - set(COUNTS) == {"digits-teacher", "digits-student", "mlp", "mlp-small"}
    assert parameter_count(build("digits-teacher", 1, (8, 8), 10)) == 36_010
    assert parameter_count(build("digits-student", 1, (8, 8), 10)) == 1_046
    same = build("small:4-8-16", 1, (8, 8), 10, seed=3).state_dict()
    for key, value in build("digits-student", 1, (8, 8), 10, seed=3).state_dict().items():
        assert torch.equal(same[key], value)


# --- blocks, against torchvision's with the same weights -----------------------------------------


def same_weights(ours: nn.Module, theirs: nn.Module) -> None:
    """Copy weights in order of definition, with batch norms that have seen something."""
    for layer in ours.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -1, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
            nn.init.uniform_(layer.weight, 0.5, 2)
    values = list(ours.state_dict().values())
    names = list(theirs.state_dict())
    theirs.load_state_dict(dict(zip(names, values, strict=True)))
    ours.eval(), theirs.eval()


def down(inputs: int, outputs: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def block_pairs() -> dict[str, tuple[nn.Module, nn.Module, int]]:
    return {
        "basic": (BasicBlock(8, 8, 1), TorchvisionBasic(8, 8), 8),
        "basic down": (BasicBlock(8, 16, 2), TorchvisionBasic(8, 16, 2, down(8, 16, 2)), 8),
        "bottleneck": (Bottleneck(32, 8, 1), TorchvisionBottleneck(32, 8), 32),
        "bottleneck down": (
            Bottleneck(8, 8, 2),
            TorchvisionBottleneck(8, 8, 2, down(8, 32, 2)),
            8,
        ),
        "shuffle": (SplitBlock(16), TorchvisionShuffle(16, 16, 1), 16),
        "shuffle down": (DownBlock(8, 16), TorchvisionShuffle(8, 16, 2), 8),
        "inverted": (InvertedResidual(8, 8, 1, 6), TorchvisionInverted(8, 8, 1, 6), 8),
        "inverted down": (InvertedResidual(8, 12, 2, 6), TorchvisionInverted(8, 12, 2, 6), 8),
    }


@pytest.mark.parametrize("kind", block_pairs())
def test_blocks_equal_torchvisions(kind: str) -> None:
    ours, theirs, inputs = block_pairs()[kind]
    for parent in list(theirs.modules()):  # torchvision's MobileNetV2 cuts off at 6, ours does not
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU6):
                setattr(parent, name, nn.ReLU())
    same_weights(ours, theirs)
    x = images(3, inputs, 8, 8)
    with torch.no_grad():
        assert torch.allclose(ours(x), theirs(x), atol=1e-5)


def test_wide_blocks_activate_before_they_convolve() -> None:
    """x + W₂ relu(bn₂(W₁ relu(bn₁ x))); where widths differ, the shortcut takes relu(bn₁ x)."""
    for inputs, outputs, stride in ((8, 8, 1), (8, 16, 2)):
        block = WideBlock(inputs, outputs, stride).eval()
        x = images(2, inputs, 8, 8)
        with torch.no_grad():
            a = F.relu(x / (1 + 1e-5) ** 0.5)
            h = F.relu(F.conv2d(a, block.body[0].weight, None, stride, 1) / (1 + 1e-5) ** 0.5)
            expected = F.conv2d(h, block.body[3].weight, None, 1, 1)
            if block.shortcut is None:
                expected = expected + x
            else:
                expected = expected + F.conv2d(a, block.shortcut.weight, None, stride)
            assert torch.allclose(block(x), expected, atol=1e-5)


def test_shuffle_interleaves_groups() -> None:
    x = images(2, 12, 3, 3)
    assert torch.equal(shuffle(x, 3), nn.ChannelShuffle(3)(x))
    assert torch.equal(shuffle(x, 3)[:, 1], x[:, 4])  # second of the new is first of group two


def test_depths_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="6n \\+ 2, not 21"):
        cifar_resnet(21, 3, 10)
    with pytest.raises(ValueError, match="6n \\+ 4, not 20"):
        WideResNet(20, 1, 3, 10)


# --- features ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in MODELS if n not in ("resnet50", "resnet110")])
@pytest.mark.parametrize("form", [(1, 8, 8), (2, 16, 16), (3, 24, 32)])
def test_logits_are_a_linear_map_of_the_features(name: str, form: tuple[int, int, int]) -> None:
    module = build(name, form[0], form[1:], 7)
    network = Network(module).eval()
    with torch.no_grad():
        out = network(images(3, *form), maps=True)
        last = [layer for layer in module.modules() if isinstance(layer, nn.Linear)][-1]
        assert torch.allclose(last(out.features), out.logits, atol=1e-6)
        assert torch.equal(out.logits, module(images(3, *form)))
    assert out.features.shape == (3, network.feature_dim) and out.logits.shape == (3, 7)
    assert tuple(m.shape[1:] for m in out.maps) == network.map_shapes
    sides = [m.shape[2] for m in out.maps]
    assert sides == sorted(sides, reverse=True)
    assert (len(out.maps) >= 1) != name.startswith("mlp")


def test_features_and_maps_of_a_torchvision_model_are_its_own() -> None:
    module = build("torchvision:resnet18", 3, (64, 64), 5, seed=1).eval()
    assert isinstance(module, tv.ResNet)
    network = Network(module, (3, 64, 64))
    x = images(2, 3, 64, 64)
    with torch.no_grad():
        out = network(x, maps=True)
        stem = F.relu(module.bn1(module.conv1(x)))
        stages = [stem]
        maps = module.maxpool(stem)
        for stage in (module.layer1, module.layer2, module.layer3, module.layer4):
            maps = stage(maps)
            stages.append(maps)
    assert len(out.maps) == 5
    for got, expected in zip(out.maps, stages, strict=True):
        assert torch.equal(got, expected)
    assert torch.equal(out.features, stages[-1].mean((2, 3)))


@pytest.mark.parametrize(
    ("name", "dim"),
    [
        ("squeezenet1_1", 512),
        ("mobilenet_v3_small", 1024),
        ("shufflenet_v2_x0_5", 1024),
        ("alexnet", 4096),
        ("googlenet", 1024),
        ("vit_b_32", 768),
        ("efficientnet_b0", 1280),
        ("convnext_tiny", 768),
    ],
)
def test_torchvision_classifiers_by_name(name: str, dim: int) -> None:
    module = build(f"torchvision:{name}", 1, (64, 64), 7)
    network = Network(module, (1, 64, 64))
    assert (network.feature_dim, network.classes) == (dim, 7)


def test_cifar_maps_are_the_three_stages() -> None:
    network = Network(build("resnet8x4", 3, (32, 32), 10), (3, 32, 32))
    assert network.map_shapes == ((64, 32, 32), (128, 16, 16), (256, 8, 8))
    blocks = Network(build("mobilenetv2", 3, (32, 32), 10), (3, 32, 32))
    assert blocks.map_shapes[:3] == ((12, 16, 16), (16, 8, 8), (48, 4, 4))


class Scaled(nn.Module):
    """A user's own network: logits are scaled, handed out in a tuple, features are dropped out."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(12, 6)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, str]:
        return self.head(self.drop(F.relu(self.body(x.flatten(1))))) * 3, "and more"


def test_a_users_own_module_is_left_as_it_is() -> None:
    module = Scaled()
    module.body.eval()
    network = Network(module, (3, 2, 2))
    assert (network.feature_dim, network.classes, network.map_shapes) == (6, 4, ())
    assert module.training and not module.body.training
    assert list(network.state_dict()) == list(module.state_dict())
    with torch.no_grad():
        out = network(images(5, 3, 2, 2))
        assert torch.allclose(3 * module.head(out.features), out.logits, atol=1e-6)
    assert Network(network).module is module


def test_modules_that_cannot_be_read_are_refused_in_one_line() -> None:
    cases = (
        (build("vgg8", 3, (32, 32), 4), (1, 32, 32), "VGG cannot take images of 1×32×32"),
        (nn.Sequential(nn.Flatten(), nn.Bilinear(1, 1, 1)), (1, 1, 1), "cannot take images"),
        (nn.Flatten(), (1, 2, 2), "no linear layer gives the logits"),
        (nn.Conv2d(1, 2, 1), (1, 4, 4), "must return logits"),
    )
    for module, shape, message in cases:
        with pytest.raises(ValueError, match=message) as caught:
            Network(module, shape)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="Scaled has no layer 'fc'"):
        Network(Scaled(), (3, 2, 2), classifier="fc")
    assert Network(Scaled(), (3, 2, 2), classifier="head").feature_dim == 6


# --- as a module -------------------------------------------------------------------------------


@pytest.fixture
def network() -> Network:
    return Network(build("digits-student", 1, (8, 8), 10, seed=2), (1, 8, 8)).eval()


def test_copies_and_pickles_listen_to_themselves(network: Network) -> None:
    x = images(4, 1, 8, 8)
    before = network(x, maps=True)
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        with torch.no_grad():
            for parameter in twin.parameters():
                parameter.mul_(-1)
        changed = twin(x, maps=True)
        assert not torch.equal(changed.features, before.features)
        assert torch.equal(network(x).features, before.features)
    network.train()
    network(x).logits.sum().backward()
    copy.deepcopy(network)  # no graph is held that could not be copied


def test_state_has_no_prefix_alone_and_inside_another_module(network: Network) -> None:
    outer = nn.ModuleDict({"student": network, "head": nn.Linear(2, 2)})
    state = {key: value + 1 for key, value in outer.state_dict().items()}
    assert set(state) == {f"student.{key}" for key in network.module.state_dict()} | {
        "head.weight",
        "head.bias",
    }
    outer.load_state_dict(state)
    assert torch.equal(network.module.classifier.bias, state["student.classifier.bias"])  # type: ignore[union-attr, arg-type]
    network.load_state_dict(build("digits-student", 1, (8, 8), 10, seed=5).state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        network.load_state_dict({})


def test_maps_are_given_only_when_asked_for(network: Network) -> None:
    x = images(2, 1, 8, 8)
    assert network(x).maps == ()
    assert len(network(x, maps=True).maps) == len(network.map_shapes) == 3
    assert network(x).maps == ()


def test_sizes_are_found_on_the_first_batch_too() -> None:
    late = Network(build("resnet8", 3, (32, 32), 10))
    state = {key: value.clone() for key, value in late.state_dict().items()}
    late.train()
    late(images(4))
    assert late.feature_dim == 64 and late.training
    moved = [k for k, v in late.state_dict().items() if not torch.equal(v, state[k])]
    assert all("running" in key or "batches" in key for key in moved)
    assert late.state_dict()["stem.1.num_batches_tracked"] == 1  # the look at it is not counted


def test_compiled_autocast_and_channels_last_give_the_same(network: Network) -> None:
    x = images(4, 1, 8, 8)
    plain = network(x, maps=True)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    for maps in (False, True):
        out = compiled(x, maps=maps)
        assert torch.allclose(out.features, plain.features, atol=1e-6)
        assert len(out.maps) == 3 * maps
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    assert torch.allclose(last(x).features, plain.features, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(x)
    assert half.logits.dtype == torch.bfloat16
    assert torch.allclose(half.logits.float(), plain.logits, atol=0.1)


def test_weights_are_a_pure_function_of_the_seed() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    one = build("wrn-16-1", 3, (32, 32), 10, seed=4)
    assert torch.equal(torch.rand(3), expected)  # the global stream is not touched
    two = build("wrn-16-1", 3, (32, 32), 10, seed=4)
    three = build("wrn-16-1", 3, (32, 32), 10, seed=5)
    pairs = zip(one.parameters(), two.parameters(), three.parameters(), strict=True)
    same, other = [], []
    for a, b, c in pairs:
        same.append(torch.equal(a, b))
        other.append(torch.equal(a, c))
    assert all(same) and not all(other)


def test_names_are_forgiving_where_they_are_clear() -> None:
    assert check_model("WRN_16_2") == "wrn-16-2"
    for name, message in (
        ("resnet33", "did you mean resnet32"),
        ("transformer", "use one of digits-teacher"),
        ("small:4", "write small:4-8-16"),
        ("small:", "write small:4-8-16"),
    ):
        with pytest.raises(ValueError, match=message):
            check_model(name)
    with pytest.raises(ValueError, match="did you mean torchvision:resnet18"):
        build("torchvision:resnet19", 3, (32, 32), 10)


def test_conv_norm_keeps_the_size_or_halves_it() -> None:
    x = images(2, 3, 9, 8)
    assert conv_norm(3, 4, 3)(x).shape == (2, 4, 9, 8)
    assert conv_norm(3, 4, 3, 2)(x).shape == (2, 4, 5, 4)
    assert conv_norm(3, 4, 1, relu=False)(x).min() < 0 <= conv_norm(3, 4, 1)(x).min()
