"""Faster ways give the outputs of the plain one, and on a GPU the host waits for nothing in a step.

No GPU is needed: a step is taken on torch's meta device, where the tests see every copy from the
host, and every read of a number by the host is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import wcord
from wcord.compute.random_draws import Distribution
from wcord.compute.seeds import forbid_drawing
from wcord.models import Network, build
from wcord.objectives import TERMS
from wcord.training import faster_networks, inputs
from wcord.training import task as tasks
from wcord.training.arm import Arm
from wcord.training.arms_step import ArmsStep
from wcord.training.faster_networks import cast_weights, faster_forward
from wcord.training.inputs import network_inputs, read_data
from wcord.training.prepare import needs_maps
from wcord.training.step_graph import StepArguments
from wcord.training.task import Task

META = torch.device("meta")
READS = ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "_unique2")


class Watching(TorchDispatchMode):
    """Raises at every operation for which the host would wait."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        if name in ("_to_copy", "copy_") and not kwargs.get("non_blocking"):
            devices = [a.device.type for a in args if isinstance(a, Tensor)]
            devices.append(torch.device(kwargs.get("device") or devices[0]).type)
            if "meta" in devices:
                assert set(devices) == {"meta"}, f"{name} from {devices[0]} to {devices[-1]}"
        if any(isinstance(a, Tensor) and a.device.type == "meta" for a in args):
            assert name not in READS, f"the host waits for {name}"
        return func(*args, **kwargs)


class Descent(torch.optim.Optimizer):
    """Gradient descent; torch's fused optimizers do not run on the meta device."""

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.data.sub_(parameter.grad * group["lr"])


@contextmanager
def on_meta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let arms and tasks be built on a device of shapes without numbers."""

    def send(values: Tensor, device: torch.device) -> Tensor:
        return torch.empty_like(values, device=device)  # as `memory_format.send`: no wait

    with monkeypatch.context() as patch:
        patch.setattr(
            "wcord.training.arm.build_optimizer",
            lambda _, parameters: Descent(parameters, {}),
        )
        patch.setattr("wcord.objectives.term.send", send)
        patch.setattr("wcord.training.task.send", send)
        patch.setattr("wcord.data.sampler.send", send)
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        channels = torch.zeros(1), torch.ones(1)
        patch.setattr(inputs, "mean_and_deviation", lambda *_: channels)
        yield


def settings_of(terms: dict[str, Any]) -> wcord.Experiment:
    changes = {"arms": {"it": terms}, "data.augment": "crop-flip", "teacher.scale_features": False}
    return wcord.load("digits-compression").replace(changes)


def networks(experiment: wcord.Experiment) -> tuple[Network, Network]:
    teacher, student = (
        Network(build(side.model, 1, (8, 8), 10, 0), (1, 8, 8))
        for side in (experiment.teacher, experiment.student)
    )
    return teacher, student


FREE = {
    **{name: {name: {}} for name, term in TERMS.items() if term.targets is None},
    "nce": {"gckt": {"form": "nce", "negatives_count": 50}},
    "crd drawn": {"crd": {"negatives_count": 50}},
    "joint": {"gckt": {"critic": "joint"}},
    "infonce": {"gckt": {"form": "infonce", "normalise": "after"}},
    "debiased": {"lckt": {"debias": True}},
    "ipot": {"lckt": {"plan": "ipot", "share": False}},
    "ipot, two inner steps": {"lckt": {"plan": "ipot", "inner": 2}},
    "standardised": {"kd": {"standardise": True}},
    "shuffled": {"lckt": {"plan": "shuffled"}},
}


@pytest.mark.parametrize("broken", [0.0, 0.5])
@pytest.mark.parametrize("terms", FREE.values(), ids=FREE)
def test_the_host_waits_for_nothing_in_a_step(
    monkeypatch: pytest.MonkeyPatch, terms: dict[str, Any], broken: float
) -> None:
    """Batch, augmentation, teacher, student, objective, backward, weights, banks."""
    experiment = settings_of({"ce": {}} | terms).replace({"pairing.broken": broken})
    with on_meta(monkeypatch):
        data = read_data(experiment).to(META)
        teacher, student = (network.to(META) for network in networks(experiment))
        inputs = network_inputs(experiment, data)
        task = Task(experiment, data, *inputs, teacher, needs_maps(experiment))
        shapes = task.shapes(student)
        arm = Arm("it", experiment.arms["it"], student, shapes, experiment.optimizer, 0, META)
        arm.host_checks = False
        for step in range(2):
            task.at(step)  # an epoch begins: its order is copied to the device
            with Watching():
                step_inputs = task.at(step)
                arm.step(step_inputs.batch, step_inputs.teacher, step_inputs.images, 0.1, "float32")
        compute_as_captured(task, arm)
    assert arm._fault is not None and arm.latest.device == META


def compute_as_captured(task: Task, arm: Arm) -> None:
    """Take the step as a graph captures it: with all arguments on the device already."""
    values = {"index": torch.arange(64), "rate": torch.tensor(0.1), "step_tensor": torch.tensor(3)}
    tensors = {name: value.to(META) for name, value in values.items()}

    def draws(purpose: str, distribution: Distribution) -> Tensor:
        return torch.empty_like(distribution(torch.Generator()), device=META)

    with Watching(), forbid_drawing():
        ArmsStep(task, [arm]).compute(StepArguments(step=3, draws=draws, **tensors))


def test_the_watch_sees_a_wait() -> None:
    """An oracle that never raises proves nothing."""
    values = torch.zeros(3, device=META)
    with Watching(), pytest.raises((AssertionError, RuntimeError)):
        values.sum().item()
    with Watching(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        values[values > 0]
    with Watching(), pytest.raises(AssertionError, match="from cpu to meta"):
        torch.zeros(3).to(META)


# -- other ways of computing a student ----------------------------------------------------


def test_without_cuda_steps_are_plain_and_the_reason_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, student = networks(settings_of({"ce": {}}))
    before = deepcopy(student.state_dict())
    faster_networks.print_once.cache_clear()
    for _ in range(2):
        assert faster_forward(student.train(), "graphs", torch.rand(4, 1, 8, 8), False) is None
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "'graphs' is not available here" in printed
    assert all(torch.equal(student.state_dict()[name], value) for name, value in before.items())


def test_a_compiled_student_has_the_same_gradients() -> None:
    """Traced and differentiated ahead of time (without a C++ compiler): within 1e-5."""
    _, student = networks(settings_of({"ce": {}}))
    other = deepcopy(student)
    images = torch.rand(8, 1, 8, 8)
    forward = faster_forward(other.train(), "compile", images, False, backend="aot_eager")
    assert forward is not None
    for network, output in ((student, student.train()(images)), (other, forward(images))):
        (output.logits.square().mean() + output.features.square().mean()).backward()
        assert all(p.grad is not None for p in network.parameters())
    for ours, theirs in zip(student.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)
    for name, value in student.state_dict().items():  # both have changed once
        torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet8", "wrn-16-1", "vgg8", "mobilenetv2", "shufflenetv2"])
def test_outputs_of_weights_that_are_cast_once_are_equal_to_the_bit(name: str) -> None:
    """Under autocast, with feature maps; the network itself keeps float32."""
    network = Network(build(name, 3, (32, 32), 10), (3, 32, 32)).requires_grad_(False).eval()
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    copy = cast_weights(network, images[:2])
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = copy(images, maps=True), network(images, maps=True)
    assert torch.equal(ours.features, theirs.features) and torch.equal(ours.logits, theirs.logits)
    assert all(torch.equal(a, b) for a, b in zip(ours.maps, theirs.maps, strict=True))
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert torch.bfloat16 in {p.dtype for p in copy.parameters()}


def test_computed_weights_are_not_cast() -> None:
    """A weight-normalised layer computes its weight in float32, as before."""
    layers = [
        nn.Flatten(),
        nn.utils.parametrizations.weight_norm(nn.Linear(64, 8)),
        nn.Linear(8, 3),
    ]
    network = Network(nn.Sequential(*layers), (1, 8, 8)).eval()
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert torch.equal(cast_weights(network, images)(images).logits, network(images).logits)


class Standardised(nn.Linear):
    """A layer that computes with its weight before it multiplies by it."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean(1, keepdim=True)
        return nn.functional.linear(x, weight, self.bias)


class WideHead(nn.Module):
    """A network that leaves autocast for its last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 8), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images.flatten(1))
        with torch.autocast("cpu", enabled=False):
            return self.last(x.float())


@pytest.mark.parametrize(
    "module", [nn.Sequential(nn.Flatten(), Standardised(64, 8), nn.Linear(8, 3)), WideHead()]
)
def test_a_network_whose_outputs_would_change_is_not_cast(module: nn.Module) -> None:
    network = Network(module, (1, 8, 8)).requires_grad_(False).eval()
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    copy = cast_weights(network, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(copy(images).logits, network(images).logits)


def test_a_compiled_teacher_has_the_same_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = settings_of({"ce": {}, "kd": {}})
    data = read_data(experiment)
    task = Task(experiment, data, *network_inputs(experiment, data), networks(experiment)[0])
    plain = task.at(3).teacher
    monkeypatch.setattr(tasks, "faster_forward", partial(faster_forward, backend="aot_eager"))
    task.accelerate("compile")
    assert task._forward is not None
    compiled = task.at(3).teacher
    torch.testing.assert_close(compiled.features, plain.features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(compiled.logits, plain.logits, rtol=1e-5, atol=1e-5)
