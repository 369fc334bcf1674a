"""Modules of a user's own: whatever they return or hold, read right and left as they were."""

from __future__ import annotations

import copy
import threading
from collections import UserDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import wcord
from wcord.models import Network, build
from wcord.models.copy_module import copy_module
from wcord.models.user_modules import wrap_user_module
from wcord.training.evaluation import outputs

SHAPE = (1, 8, 8)


def images(n: int = 4) -> Tensor:
    return torch.rand((n, *SHAPE), generator=torch.Generator().manual_seed(3))


class Net(nn.Module):
    """Convolution, norm, mean over positions, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 6, 3, 2, 1), nn.BatchNorm2d(6)
        self.drop, self.fc = nn.Dropout(0.2), nn.Linear(6, 3)

    def features(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(self.conv(x)).relu().mean((2, 3)))

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.features(x))


# --- what a module returns -----------------------------------------------------------------------


Pair = namedtuple("Pair", ["loss", "logits"])


@dataclass
class Answer:
    logits: Any
    hidden: Any = None


Wrap = Callable[[Tensor, Any], Any]  # of the logits, and of something else
EXTRAS: tuple[Any, ...] = (None, 0.5, "text", torch.zeros(()), torch.zeros(4, 6, 2, 2))
WRAPS: dict[str, Wrap] = {
    "tensor": lambda logits, other: logits,
    "tuple": lambda logits, other: (logits, other),
    "tuple of one": lambda logits, other: (logits,),
    "list": lambda logits, other: [logits, other],
    "nested": lambda logits, other: ((logits, other), other),
    "dict": lambda logits, other: {"other": other, "logits": logits},
    "dict with features": lambda logits, other: {"f": torch.ones(len(logits), 9), "logits": logits},
    "dict with out": lambda logits, other: {"out": logits, "aux": logits * 2},
    "dict of one tensor that fits": lambda logits, other: {"a": other, "scores": logits},
    "mapping": lambda logits, other: UserDict(logits=logits, other=other),
    "namedtuple": lambda logits, other: Pair(other, logits),
    "dataclass": lambda logits, other: Answer(logits, other),
    "object": lambda logits, other: SimpleNamespace(logits=logits, loss=other),
    "dict of an object": lambda logits, other: {"out": Answer(logits)},
}


class Returning(Net):
    """Logits are a weighted sum of several passes, wrapped in either mode as it is drawn."""

    def __init__(self, wraps: dict[bool, Wrap], other: Any, weights: list[float]) -> None:
        super().__init__()
        self.wraps, self.other, self.weights = wraps, other, weights

    def inputs(self, x: Tensor) -> list[Tensor]:
        return [self.features(x * (place + 1)) for place in range(len(self.weights))]

    def forward(self, x: Tensor) -> Any:
        total = 0
        for weight, h in zip(self.weights, self.inputs(x), strict=True):
            total += weight * self.fc(h)
        return self.wraps[self.training](total, self.other)  # type: ignore[arg-type]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    wraps=st.tuples(st.sampled_from(sorted(WRAPS)), st.sampled_from(sorted(WRAPS))),
    other=st.sampled_from(EXTRAS),
    weights=st.lists(st.floats(0.25, 2) | st.floats(-2, -0.25), min_size=1, max_size=4),
    side=st.sampled_from(["teacher", "student"]),
    seed=st.integers(0, 99),
)
def test_any_output_is_read(
    wraps: tuple[str, str], other: Any, weights: list[float], side: str, seed: int
) -> None:
    """features = Σ c h / Σ |c| by a loop; logits as the module itself has them."""
    torch.manual_seed(seed)
    by_mode = {mode: WRAPS[name] for mode, name in zip((False, True), wraps, strict=True)}
    module = Returning(by_mode, other, weights)
    module.norm.running_mean.uniform_()  # type: ignore[union-attr]
    network, x = wrap_user_module(module, SHAPE, 3, side), images()
    assert network.classifier == "fc"
    with torch.no_grad():
        got, inputs = network.eval()(x), module.eval().inputs(x)
        logits = sum(w * module.fc(h) for w, h in zip(weights, inputs, strict=True))
    if len(weights) == 1:
        weights = [1.0]  # features are what enters the classifier, however logits are scaled
    parts = [w * h for w, h in zip(weights, inputs, strict=True)]
    expected = torch.stack(parts).sum(0) / np.abs(weights).sum()
    torch.testing.assert_close(got.logits, logits)
    torch.testing.assert_close(got.features, expected, rtol=1e-4, atol=1e-4)
    trained = network.train()(x)
    assert trained.logits.shape == (4, 3) and trained.features.shape == (4, 6)
    trained.logits.sum().backward()
    assert network.module.fc.weight.grad is not None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda y: None, "it returns NoneType"),
        (lambda y: y[:, 0], r"it returns \(2,\) float32"),
        (lambda y: y.T, r"it returns \(3, 2\) float32"),
        (lambda y: y.argmax(1, keepdim=True), r"it returns \(2, 1\) int64"),
        (lambda y: (), "it returns tuple"),
        (lambda y: "logits", "it returns str"),
        (lambda y: {"a": y, "b": y}, "a dict with 'a', 'b': put its logits under the key 'logits'"),
        (lambda y: {}, "a dict with nothing"),
        (lambda y: {"logits": None}, "it returns NoneType"),
        (lambda y: y / 0, "logits of Odd are NaN or infinite"),
    ],
)
@pytest.mark.parametrize("side", ["teacher", "student"])
def test_outputs_without_logits_are_refused(answer: Any, reason: str, side: str) -> None:
    class Odd(Net):
        def forward(self, x: Tensor) -> Any:
            return answer(super().forward(x))

    with pytest.raises(ValueError, match=f"^{side}: .*{reason}") as caught:
        wrap_user_module(Odd(), SHAPE, 3, side)
    assert "\n" not in str(caught.value)


def test_a_student_is_tried_in_training_mode_before_anything_trains() -> None:
    class Losing(Net):
        def forward(self, x: Tensor) -> Any:
            logits = super().forward(x)
            return {"loss": logits.sum()} if self.training else logits

    class Needing(Net):
        def forward(self, x: Tensor, targets: Tensor | None = None) -> Any:
            if self.training and targets is None:
                raise AssertionError("targets should not be none when in training mode")
            return super().forward(x)

    class Detached(Net):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x).detach()

    for module, reason in (
        (Losing(), "in training mode .* a dict with 'loss'"),
        (Needing(), "in training mode .* targets should not be none"),
        (Detached(), "carry no gradient"),
        (Net().requires_grad_(False), "has requires_grad, so none can be trained"),
    ):
        with pytest.raises(ValueError, match=f"^student: .*{reason}"):
            wrap_user_module(module, SHAPE, 3, "student")
        assert wrap_user_module(module, SHAPE, 3, "teacher").feature_dim == 6


# --- a classifier that is called several times ---------------------------------------------------


class TwoDepths(Net):
    """fc(b) + 0.3 fc(a): no mean, but a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Conv2d(6, 6, 3, 1, 1)

    def depths(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = self.conv(x).relu()
        return a.mean((2, 3)), self.more(a).relu().mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.depths(x)
        return self.fc(b) + 0.3 * self.fc(a)


@pytest.mark.parametrize("classifier", [None, "fc"])
def test_a_classifier_at_two_depths_keeps_its_maps(classifier: str | None) -> None:
    module = TwoDepths().eval()
    network, x = Network(module, SHAPE, classifier), images()
    a, b = module.depths(x)
    out = network(x, maps=True)
    torch.testing.assert_close(out.features, (b + 0.3 * a) / 1.3)
    torch.testing.assert_close(out.logits, 1.3 * module.fc(out.features))
    assert network.map_shapes == ((6, 4, 4),) and len(out.maps) == 1


class Averaged(Net):
    """The logarithm of the mean probability of two views is no sum of their logits."""

    def forward(self, x: Tensor) -> Tensor:
        views = [self.fc(self.features(v)).softmax(1) for v in (x, x.flip(3))]
        return (views[0] + views[1]).log()


class Early(Net):
    """Deep supervision: two exits in training, the last one afterwards."""

    def forward(self, x: Tensor) -> Any:
        h = self.features(x)
        return (self.fc(h), self.fc(2 * h)) if self.training else self.fc(h)


class Cancelling(Net):
    """Logits are 0 whatever the calls of the classifier give."""

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.features(x)) - self.fc(self.features(x))


class InPlace(Net):
    """Writes into what its classifier returned."""

    def forward(self, x: Tensor) -> Tensor:
        logits = self.fc(self.features(x))
        logits += self.fc(self.features(x.flip(3)))
        return logits.mul_(0.5)


def test_shares_of_several_calls() -> None:
    x = images()
    for module, expected in ((Averaged(), (0.5, 0.5)), (InPlace(), (0.5, 0.5))):
        network = Network(module.eval(), SHAPE)
        inputs = [module.features(x), module.features(x.flip(3))]
        features = expected[0] * inputs[0] + expected[1] * inputs[1]
        torch.testing.assert_close(network(x).features, features)
        assert network.map_shapes == ()
    same = Cancelling().eval()
    torch.testing.assert_close(Network(same, SHAPE)(x).features, same.features(x))
    module = Early()
    module.drop.p = 0.0
    network = Network(module, SHAPE)
    for mode in (True, False):
        out = network.train(mode)(x)
        torch.testing.assert_close(module.fc(out.features), out.logits)


def test_several_calls_compile_to_the_same() -> None:
    network, x = Network(TwoDepths().eval(), SHAPE), images()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    for maps in (False, True):
        got, expected = compiled(x, maps=maps), network(x, maps=maps)
        torch.testing.assert_close(got.features, expected.features)
        assert len(got.maps) == len(expected.maps) == maps


def test_a_number_of_calls_that_changes_is_refused() -> None:
    class Growing(Net):
        calls = 1

        def forward(self, x: Tensor) -> Tensor:
            h = self.features(x)
            return torch.stack([self.fc(h) for _ in range(self.calls)]).sum(0)

    network = Network(Growing().eval(), SHAPE)
    network.module.calls = 3  # type: ignore[assignment]
    with pytest.raises(ValueError, match="evaluation mode calls its classifier 'fc' 3 times, and"):
        network(images())


def test_a_layer_is_found_under_each_of_its_names_and_by_keyword() -> None:
    class Shared(Net):
        def __init__(self) -> None:
            super().__init__()
            self.head = self.fc
            self.spare = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(input=self.features(x))

    assert Network(Shared(), SHAPE, "head").feature_dim == 6
    assert Network(Shared(), SHAPE).feature_dim == 6
    for name, reason in (
        ("spare", "Shared does not call its layer 'spare'"),
        ("last", r"Shared has no layer 'last': .* \(its last layers are drop, fc, spare\)"),
    ):
        with pytest.raises(ValueError, match=reason):
            Network(Shared(), SHAPE, name)


# --- what a module holds -------------------------------------------------------------------------


class Keeping(Net):
    """Keeps what it computed, in several places."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.features(x)
        self.kept.append({"answers": [Answer(self.last)]})
        self.register_buffer("mean", self.last.mean(0))
        return self.fc(self.last)


def changed(change: Callable[[Net], Any], module: type[Net] = Net) -> Net:
    made = module()
    change(made)
    return made


HOLDING: dict[str, Callable[[], Net]] = {
    "weight_norm": lambda: changed(lambda m: nn.utils.weight_norm(m.fc)),
    "spectral_norm": lambda: changed(lambda m: nn.utils.spectral_norm(m.conv)),
    "weight_norm, parametrised": lambda: changed(lambda m: parametrizations.weight_norm(m.fc)),
    "spectral_norm, parametrised": lambda: changed(lambda m: parametrizations.spectral_norm(m.fc)),
    "pruning": lambda: changed(lambda m: prune.l1_unstructured(m.fc, "weight", 0.3)),
    "kept activations": Keeping,
    "a gradient with a graph": lambda: changed(
        lambda m: m(images()).sum().backward(create_graph=True)
    ),
    "a hook that keeps": lambda: changed(
        lambda m: m.conv.register_forward_hook(lambda layer, i, o: setattr(layer, "seen", o))
    ),
}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:Using backward")
@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("name", HOLDING)
def test_modules_that_hold_graphs_can_be_copied_at_any_time(name: str, used: bool) -> None:
    torch.manual_seed(0)
    module, x = HOLDING[name](), images()
    if used:
        module(x).sum().backward()
    for side in ("teacher", "student"):
        network = wrap_user_module(module, SHAPE, 3, side)
        twins = [network, copy.deepcopy(network)]
        network.train()(x)
        twins.append(copy.deepcopy(network))  # between forward and backward
        network(x).logits.sum().backward()
        twins.append(copy_module(network))
    assert not {id(p) for p in module.parameters()} & {id(p) for p in network.parameters()}
    with torch.no_grad():
        expected = module.eval()(x)
        for twin in twins:
            twin.load_state_dict(module.state_dict(), strict=False)
            torch.testing.assert_close(twin.eval()(x).logits, expected)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_trained_students_can_be_deep_copied_as_plain_modules() -> None:
    network = wrap_user_module(HOLDING["weight_norm"](), SHAPE, 3, "student").train()
    network(images()).logits.sum().backward()
    outputs(network, images())  # as at the end of a run
    copy.deepcopy(network.module)


def state(module: nn.Module) -> dict[str, Any]:
    """All that a module holds: modes, hooks, values, and which objects its attributes are."""
    held: dict[str, Any] = {}
    for name, layer in module.named_modules():
        held |= {f"{name}/{key}": (id(value), layer.training) for key, value in vars(layer).items()}
        hooks = (layer._forward_hooks, layer._forward_pre_hooks)
        held |= {f"{name} hooks": [dict(h) for h in hooks], f"{name}/kept": len(vars(layer))}
    held |= {name: (id(p.grad), p.requires_grad) for name, p in module.named_parameters()}
    return held


class Restless(Keeping):
    """Draws, counts and keeps whatever its mode."""

    fails = False

    def forward(self, x: Tensor) -> Tensor:
        self.count = getattr(self, "count", 0) + 1
        self.norm.running_mean.add_(1)  # type: ignore[union-attr, operator]
        np.testing.assert_(len(self.kept) < 9)
        if self.fails:
            raise KeyError("labels")
        return super().forward(x) + torch.rand(1)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("wrap", [wrap_user_module, Network])
def test_a_callers_module_is_left_as_it_was(wrap: Any, fails: bool) -> None:
    module = Restless()
    nn.utils.spectral_norm(module.fc)
    module(images()).sum().backward()
    module.norm.eval()
    module.fails = fails
    values = {key: value.clone() for key, value in module.state_dict().items()}
    before, kept = state(module), len(module.kept)
    torch.manual_seed(1)
    drawn = torch.rand(2)
    torch.manual_seed(1)
    try:
        if wrap is wrap_user_module:
            wrap_user_module(module, SHAPE, 3, "student")
        else:
            Network(module, SHAPE)
    except ValueError as error:
        assert fails and "labels" in str(error)
    else:
        assert not fails
    assert torch.equal(torch.rand(2), drawn)
    assert all(torch.equal(value, values[key]) for key, value in module.state_dict().items())
    assert len(module.kept) == kept and module.count == 1
    if wrap is wrap_user_module or fails:
        assert state(module) == before
    else:  # `Network` adds hooks
        assert {k: v for k, v in state(module).items() if "hooks" not in k} == {
            k: v for k, v in before.items() if "hooks" not in k
        }


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_what_cannot_be_taken_is_refused_with_the_reason() -> None:
    holder = Net()
    holder.lock = threading.Lock()  # type: ignore[assignment]
    broken, endless = Net(), Net()
    broken.norm.running_var[0] = torch.nan  # type: ignore[index]
    endless.fc.bias.data[1] = torch.inf
    masked = Net()
    masked.register_buffer("mask", torch.full((2,), -torch.inf))
    assert wrap_user_module(masked, SHAPE, 3, "student").classes == 3
    with torch.device("meta"):
        empty = Net()

    class Two(Net):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
            return self.fc(self.features(x) + y)

    cases: tuple[tuple[Any, str], ...] = (
        ("a name", "a torch.nn.Module is needed, not str"),
        (Net, "a torch.nn.Module is needed, not type"),
        (holder, "Net cannot be copied: cannot pickle '_thread.lock'"),
        (broken, "Net has NaN in norm.running_var"),
        (endless, "Net has infinity in fc.bias"),
        (empty, "meta device"),
        (changed(lambda m: setattr(m, "fc", nn.LazyLinear(3))), "lazy layers .* run it on a batch"),
        (changed(lambda m: setattr(m, "norm", nn.LazyBatchNorm2d())), "lazy layers"),
        (Net().double(), "weights are torch.float64, so give module.float()"),
        (Net().half(), "weights are torch.float16, so give module.float()"),
        (torch.jit.trace(Net().eval(), images()), "is a torch.jit module"),
        (
            changed(lambda m: setattr(m, "fc", nn.Linear(6, 2))),
            "returns 2 logits an image, .* has 3 classes",
        ),
        (Two(), r"Two cannot take images of 1×8×8 .*missing 1 required positional argument"),
        (build("vgg8", 3, (32, 32), 3), "VGG cannot take images of 1×8×8"),
        (nn.Sequential(Net(), nn.Softmax(1)), "returns probabilities, .* remove its softmax"),
    )
    for module, reason in cases:
        for side in ("teacher", "student"):
            with pytest.raises(ValueError, match=f"^{side}: .*{reason}") as caught:
                wrap_user_module(module, SHAPE, 3, side)
            assert "\n" not in str(caught.value)


def test_probabilities_are_right_where_labels_are_no_classes_and_log_probabilities_everywhere() -> (
    None
):
    wrap_user_module(nn.Sequential(Net(), nn.Softmax(1)), SHAPE, 3, "student", None, "regression")
    wrap_user_module(nn.Sequential(Net(), nn.LogSoftmax(1)), SHAPE, 3, "teacher")


def test_wrapped_modules_are_taken_out_of_their_wrappers() -> None:
    x = images()
    for wrap in (nn.DataParallel, torch.compile, Network, lambda m: torch.compile(Network(m))):
        module = Net().eval()
        network = wrap_user_module(wrap(module), SHAPE, 3, "student")
        assert list(network.state_dict()) == list(module.state_dict())
        assert not network.training and not network.module.training
        torch.testing.assert_close(network(x).logits, module(x))
    named = Network(Net(), SHAPE, classifier="conv")
    assert wrap_user_module(named, SHAPE, 3, "teacher").classifier == "conv"
    assert wrap_user_module(named, SHAPE, 3, "teacher", "fc").classifier == "fc"
    last = Net().to(memory_format=torch.channels_last)
    kept = wrap_user_module(last, SHAPE, 3, "student").module.conv.weight
    assert kept.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]


# --- frozen by hand ------------------------------------------------------------------------------


def two_norms() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(64, 3),
    )  # fmt: skip


def moved(network: nn.Module) -> dict[str, bool]:
    """Whether the statistics of each norm move in a training step after an evaluation."""
    network.train()
    outputs(network, images())
    before = {key: value.clone() for key, value in network.named_buffers()}
    network(images())
    return {
        key.removeprefix("module."): not torch.equal(value, before[key])
        for key, value in network.named_buffers()
        if "running_mean" in key
    }


@pytest.mark.parametrize("side", ["teacher", "student"])
def test_norms_frozen_by_hand_stay_frozen(side: str) -> None:
    free, still, weightless = two_norms(), two_norms(), two_norms()
    still[1].eval(), still[6].eval()
    weightless[4].requires_grad_(False)
    for module, expected, modes in (
        (free, (True, True), (True, True, True)),
        (still, (False, True), (False, True, False)),
        (weightless, (True, False), (True, False, True)),
        (two_norms().eval(), (True, True), (True, True, True)),  # evaluated, not frozen
    ):
        network = wrap_user_module(module, SHAPE, 3, side)
        for twin in (network, copy.deepcopy(network), Network(network, SHAPE)):
            assert tuple(moved(twin).values()) == expected
            layers = list(twin.train().module)  # type: ignore[call-overload]
            assert tuple(layers[place].training for place in (1, 4, 6)) == modes
            assert not any(layer.training for layer in twin.eval().modules())


def test_a_module_that_freezes_in_its_own_train_does_so_still() -> None:
    class Frozen(Net):
        def train(self, mode: bool = True) -> Frozen:
            super().train(mode)
            self.norm.eval()
            return self

    assert moved(wrap_user_module(Frozen(), SHAPE, 3, "student")) == {"norm.running_mean": False}
    assert moved(wrap_user_module(Net(), SHAPE, 3, "student")) == {"norm.running_mean": True}


# --- through the whole way -----------------------------------------------------------------------


@pytest.fixture
def quick() -> wcord.Experiment:
    changes = {"epochs": 1, "batch": 8, "data.labels_per_class": None, "teacher.epochs": 1}
    return wcord.load("digits-compression").replace(changes | {"arms": {"kd": {"ce": 1, "kd": 1}}})


@pytest.fixture
def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    return {
        "images_train": rng.integers(0, 255, (60, 8, 8), dtype=np.uint8),
        "labels_train": labels,
    }


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_a_run_with_modules_of_ones_own(
    quick: wcord.Experiment, arrays: dict[str, Any], tmp_path: Any
) -> None:
    weights = [0.5, 0.5]
    teacher = Returning({False: WRAPS["dict"], True: WRAPS["tensor"]}, None, weights)
    student = HOLDING["weight_norm"]()
    student.norm.eval()
    student(images())
    before = [state(module) for module in (teacher, student)]
    run = wcord.distill(
        quick, tmp_path / "run", False, teacher=teacher, student=student, data=arrays
    )
    assert [state(module) for module in (teacher, student)] == before
    trained = run.student("kd")
    assert torch.equal(trained.norm.running_mean, student.norm.running_mean)  # type: ignore
    assert not torch.equal(trained.fc.weight_g, student.fc.weight_g)  # type: ignore
    with pytest.raises(ValueError, match="at compares feature maps, but a network offers none"):
        wcord.distill(
            quick.replace({"arms": {"at": {"ce": 1, "at": 1}}}), tmp_path / "maps", False,
            teacher=teacher, student=Net(), data=arrays,
        )  # fmt: skip
