"""Faster ways say the same as the plain one, and a step on an accelerator asks the host nothing.

There need not be a GPU: a step is taken on torch's meta device, where every read of a number by
the host is an error, and every copy from the host is seen.
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
from wcord.compute.seeds import Recipe, forbid_drawing
from wcord.models import Network, build
from wcord.objectives import TERMS
from wcord.training import accelerate, network_input
from wcord.training import task as tasks
from wcord.training.accelerate import accelerated, cast_weights
from wcord.training.arm import Arm
from wcord.training.arms_step import ArmsStep
from wcord.training.network_input import NetworkInput
from wcord.training.prepare import read_data
from wcord.training.step_graph import Inputs
from wcord.training.task import Task

META = torch.device("meta")
READS = ("_local_scalar_dense", "is_nonzero", "nonzero", "masked_select", "equal", "_unique2")


class Watching(TorchDispatchMode):
    """Objects to every operation for which the host would wait."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        if name in ("_to_copy", "copy_") and not kwargs.get("non_blocking"):
            places = [a.device.type for a in args if isinstance(a, Tensor)]
            places.append(torch.device(kwargs.get("device") or places[0]).type)
            if "meta" in places:
                assert set(places) == {"meta"}, f"{name} from {places[0]} to {places[-1]}"
        if any(isinstance(a, Tensor) and a.device.type == "meta" for a in args):
            assert name not in READS, f"the host waits for {name}"
        return func(*args, **kwargs)


class Descent(torch.optim.Optimizer):
    """Plain descent: fused optimizers, which run on CUDA, know no meta device."""

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.data.sub_(parameter.grad * group["lr"])


@contextmanager
def on_meta(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let arms and tasks be built on a device of shapes without numbers."""

    def send(values: Tensor, device: torch.device) -> Tensor:
        return torch.empty_like(values, device=device)  # as `memory_format.send`: nobody waits

    with monkeypatch.context() as patch:
        patch.setattr(
            "wcord.training.arm.build_optimizer",
            lambda _, parameters: Descent(parameters, {}),
        )
        patch.setattr("wcord.objectives.term.send", send)
        patch.setattr("wcord.training.task.send", send)
        patch.setattr("wcord.data.epochs.send", send)
        patch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        channels = torch.zeros(1), torch.ones(1)
        patch.setattr(network_input, "mean_and_deviation", lambda *_: channels)
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
    **{name: {name: {}} for name in TERMS if name != "ce"},
    "nce": {"gckt": {"form": "nce", "negatives_count": 50}},
    "crd drawn": {"crd": {"negatives_count": 50}},
    "joint": {"gckt": {"critic": "joint"}},
    "infonce": {"gckt": {"form": "infonce", "normalise": "after"}},
    "debiased": {"lckt": {"debias": True}},
    "ipot": {"lckt": {"plan": "ipot", "share": False}},
    "shuffled": {"lckt": {"plan": "shuffled"}},
}


@pytest.mark.parametrize("terms", FREE.values(), ids=FREE)
def test_the_host_waits_for_nothing_in_a_step(
    monkeypatch: pytest.MonkeyPatch, terms: dict[str, Any]
) -> None:
    """Batch, augmentation, teacher, student, objective, backward, weights, banks."""
    experiment = settings_of({"ce": {}} | terms)
    with on_meta(monkeypatch):
        data = read_data(experiment).to(META)
        sights = [NetworkInput(side, data, 0) for side in (experiment.teacher, experiment.student)]
        teacher, student = (network.to(META) for network in networks(experiment))
        maps = any(TERMS[name].needs_maps for name in terms)
        task = Task(experiment, data, sights[0], sights[1], teacher, maps)
        shapes = task.shapes(student)
        arm = Arm("it", experiment.arms["it"], student, shapes, experiment.optimizer, 0, META)
        arm.host_checks = False
        for step in range(2):
            task.at(step)  # an epoch begins: its order is copied to the device
            with Watching():
                given = task.at(step)
                arm.step(given.batch, given.teacher, given.images, 0.1, "float32")
        replayed(task, arm)
    assert arm._fault is not None and arm.latest.device == META


def replayed(task: Task, arm: Arm) -> None:
    """Take the step as a graph captures it: all that changes lies on the device already."""
    fixed = {"index": torch.arange(64), "rate": torch.tensor(0.1), "step_tensor": torch.tensor(3)}
    inputs = {name: value.to(META) for name, value in fixed.items()}

    def draws(purpose: str, recipe: Recipe) -> Tensor:
        return torch.empty_like(recipe(torch.Generator()), device=META)

    with Watching(), forbid_drawing():
        ArmsStep(task, [arm]).compute(Inputs(step=3, draws=draws, **inputs))


def test_the_watch_sees_a_wait() -> None:
    """An oracle that never objects proves nothing."""
    values = torch.zeros(3, device=META)
    with Watching(), pytest.raises((AssertionError, RuntimeError)):
        values.sum().item()
    with Watching(), pytest.raises((AssertionError, RuntimeError, NotImplementedError)):
        values[values > 0]
    with Watching(), pytest.raises(AssertionError, match="from cpu to meta"):
        torch.zeros(3).to(META)


# -- other ways of computing a student ----------------------------------------------------


def test_graphs_without_cuda_go_on_plainly_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    _, student = networks(settings_of({"ce": {}}))
    before = deepcopy(student.state_dict())
    accelerate.print_once.cache_clear()
    for _ in range(2):
        assert accelerated(student.train(), "graphs", torch.rand(4, 1, 8, 8), False) is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "'graphs' cannot be had here" in said
    assert all(torch.equal(student.state_dict()[name], value) for name, value in before.items())


def test_a_compiled_student_says_the_same() -> None:
    """Traced and differentiated ahead of time (no C++ compiler is asked for): within 1e-5."""
    _, student = networks(settings_of({"ce": {}}))
    other = deepcopy(student)
    images = torch.rand(8, 1, 8, 8)
    forward = accelerated(other.train(), "compile", images, False, backend="aot_eager")
    assert forward is not None
    for network, output in ((student, student.train()(images)), (other, forward(images))):
        (output.logits.square().mean() + output.features.square().mean()).backward()
        assert all(p.grad is not None for p in network.parameters())
    for ours, theirs in zip(student.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-5)
    for name, value in student.state_dict().items():  # running statistics moved once, both
        torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["resnet8", "wrn-16-1", "vgg8", "mobilenetv2", "shufflenetv2"])
def test_weights_that_are_cast_once_answer_to_the_bit(name: str) -> None:
    """Under autocast, with maps; the network itself keeps float32."""
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
    """A weight-normalised layer goes on computing its weight in float32."""
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
def test_networks_that_would_answer_otherwise_are_kept(module: nn.Module) -> None:
    network = Network(module, (1, 8, 8)).requires_grad_(False).eval()
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    copy = cast_weights(network, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(copy(images).logits, network(images).logits)


def test_a_compiled_teacher_answers_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = settings_of({"ce": {}, "kd": {}})
    data = read_data(experiment)
    sights = [NetworkInput(side, data, 0) for side in (experiment.teacher, experiment.student)]
    task = Task(experiment, data, sights[0], sights[1], networks(experiment)[0])
    plain = task.at(3).teacher
    monkeypatch.setattr(tasks, "accelerated", partial(accelerated, backend="aot_eager"))
    task.accelerate("compile")
    assert task._forward is not None
    compiled = task.at(3).teacher
    torch.testing.assert_close(compiled.features, plain.features, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(compiled.logits, plain.logits, rtol=1e-5, atol=1e-5)
