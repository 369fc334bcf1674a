"""A replayed step changes every arm as a plain step does.

A CPU has no graphs to capture: here a "graph" calls the step's own code again with the arguments of
its capture, in which only the numbers at fixed addresses change. A number that is drawn or read
elsewhere stays as it was, and the tests see it. They do not see what the code counts on the host.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_faster_networks import FREE, networks, settings_of
from torch import Tensor, nn

import wcord
from wcord.compute.memory_format import to_device
from wcord.compute.random_draws import Permutation
from wcord.compute.seeds import forbid_drawing, generator
from wcord.training import faster_networks, loop, step_graph
from wcord.training import teacher as teachers
from wcord.training.arms_step import ArmsStep
from wcord.training.cuda_graph import AHEAD, CaptureError, InputBlock
from wcord.training.inputs import NetworkInput, network_inputs, read_data
from wcord.training.prepare import build_arms, needs_maps
from wcord.training.step_graph import StepArguments, StepGraph, Stepper, gaps
from wcord.training.task import Task
from wcord.training.teacher import TeacherStep

CPU = torch.device("cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
STEPS = 14  # the digits have 11 an epoch: a second one begins


class Anywhere(ArmsStep):
    """A step that counts as capturable on a CPU."""

    @property
    def capture_obstacle(self) -> str | None:
        return next((why for arm in self.arms if (why := arm.capture_obstacle)), None)


class TeacherAnywhere(TeacherStep):
    """The teacher's step, capturable on a CPU."""

    @property
    def capture_obstacle(self) -> str | None:
        return None


def called_again(body: Callable[[], None], device: torch.device) -> Callable[[], None]:
    return body


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a graph call the step again."""
    monkeypatch.setattr(step_graph, "capture", called_again)


def step_of(experiment: wcord.Experiment) -> Anywhere:
    """Return a step of the digits with random networks and filled banks."""
    data = read_data(experiment)
    inputs = network_inputs(experiment, data)
    teacher, student = networks(experiment)
    task = Task(experiment, data, *inputs, teacher, needs_maps(experiment))
    arms = build_arms(experiment, task, student, CPU)
    for arm in arms:
        arm.host_checks = False  # as on a device: `freeze_if_broken` finds a loss that broke
    return Anywhere(task, arms)


def ends(step: step_graph.Step, graph: bool, steps: int = STEPS) -> dict[str, Tensor]:
    """Return a copy of every changed tensor after some steps."""
    take = Stepper(step, graph, steps)
    for number in range(steps):
        take(number)
    assert (take.graph is not None) == graph
    return {name: value.clone() for name, value in step.changed_tensors().items()}


@pytest.mark.parametrize("terms", FREE.values(), ids=FREE)
@pytest.mark.usefixtures("graphs")
def test_replayed_steps_end_where_plain_ones_do(terms: dict[str, Any]) -> None:
    """Weights, moments, banks, centres, sums of losses: equal to the rounding of the rate."""
    experiment = settings_of({"ce": {}} | terms).replace({"pairing": {"broken": 0.5}})
    plain, replayed = (ends(step_of(experiment), graph) for graph in (False, True))
    assert plain.keys() == replayed.keys()
    for name, value in plain.items():
        torch.testing.assert_close(
            replayed[name], value, rtol=2e-4, atol=2e-5, equal_nan=True, msg=name
        )


@pytest.mark.usefixtures("graphs")
def test_a_replayed_teacher_ends_where_a_plain_one_does() -> None:
    experiment = settings_of({"ce": {}})
    data = read_data(experiment)
    teacher_input = NetworkInput(experiment.teacher, data, 0)
    both = []
    for graph in (False, True):
        step = TeacherAnywhere(experiment, data, teacher_input, networks(experiment)[0].train(), 0)
        both.append(ends(step, graph))
    for name, value in both[0].items():
        torch.testing.assert_close(both[1][name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert both[0]["losses"].all()  # every step of the second epoch, or of the first, wrote one


@pytest.mark.usefixtures("graphs")
def test_a_run_by_graphs_has_the_results_of_plain_steps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the setting `speed: graphs`, teacher included."""
    faster_networks.print_once.cache_clear()
    monkeypatch.setattr(loop, "ArmsStep", Anywhere)
    monkeypatch.setattr(teachers, "TeacherStep", TeacherAnywhere)
    changes = {"epochs": 2, "teacher.epochs": 2, "probe.features": 64, "probe.batch": 16}
    arms = {"kd": {"ce": 1, "kd": 1}, "wcord": {"ce": 1, "gckt": 5, "lckt": 0.5}}
    asked = wcord.load("digits-compression").replace(changes | {"arms": arms})
    accuracies = []
    for way in ("plain", "graphs"):
        monkeypatch.setenv("WCORD_RUNS", str(tmp_path / way))
        run = wcord.distill(asked.replace({"speed": way}), tmp_path / way / "run", progress=False)
        assert run.summary is not None
        accuracies.append([run.summary["teacher"], *run.summary["arms"].values()])
    for plain, graph in zip(*accuracies, strict=True):
        assert plain["test_accuracy"] == pytest.approx(graph["test_accuracy"], abs=0.5)
    assert "plain steps" not in capsys.readouterr().err  # the graphs were used


@pytest.mark.usefixtures("graphs")
def test_an_arm_that_froze_leaves_the_graph() -> None:
    experiment = settings_of({"ce": {}}).replace({"arms": {"a": {"ce": 1}, "b": {"ce": 1}}})
    step = step_of(experiment)
    take = Stepper(step, True, 100)
    for number in range(3):
        take(number)
    first = take.graph
    assert first is not None
    with torch.no_grad():
        next(step.arms[0].student.parameters()).fill_(torch.nan)
    take(3)
    step.arms[0].freeze_if_broken()
    assert step.arms[0].frozen == "arm 'a' froze at step 3: ce became nan"
    assert step.arms[1].fault() is None
    take(4)
    assert take.graph is not None and take.graph is not first and step.parts == ("b",)
    assert not any(name.startswith("a/") for name in step.changed_tensors())


# -- what cannot be captured ---------------------------------------------------------------


class Drawing(nn.Module):
    """A step that draws from a generator."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.zeros(3)
        self.seed, self.device, self.precision = 0, CPU, "float32"
        self.parts, self.capture_obstacle = ("it",), None

    def rows(self, step: int) -> Tensor:
        return torch.arange(3) + step

    def rate(self, step: int) -> float:
        return 0.1

    def compute(self, arguments: StepArguments) -> None:
        self.kept += torch.randn(3, generator=generator(0, "own", arguments.step))

    def changed_tensors(self) -> dict[str, Tensor]:
        return {"it.kept": self.kept}


class Stale(Drawing):
    """A step that reads its number on the host."""

    def compute(self, arguments: StepArguments) -> None:
        self.kept += arguments.step * arguments.index


class Replaced(Drawing):
    """A step that replaces its tensor."""

    def compute(self, arguments: StepArguments) -> None:
        self.kept = self.kept + arguments.index


def runs_once(body: Callable[[], None], device: torch.device) -> Callable[[], None]:
    body()  # as a capture does
    return body


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Drawing, "drawn by a generator"),
        (Stale, "of its change away from plain steps"),
        (Replaced, "replaced in a step"),
    ],
)
def test_a_step_that_cannot_be_replayed_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: type[Drawing], reason: str
) -> None:
    monkeypatch.setattr(step_graph, "capture", runs_once if kind is Drawing else called_again)
    step = kind()
    step.kept += 1
    before = step.kept.clone()
    with pytest.raises(RuntimeError, match=reason):
        StepGraph(step, 1)
    assert torch.equal(step.kept, before)  # as before the attempt


def test_any_failure_leaves_every_tensor_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture that fails after a buffer was replaced; too little memory after plain steps."""

    def failing(body: Callable[[], None], device: torch.device) -> Callable[[], None]:
        body()
        raise RuntimeError("captured nothing")

    step = Replaced()
    step.kept += 1
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="captured nothing"):
        patch.setattr(step_graph, "capture", failing)
        StepGraph(step, 1)
    assert step.kept.tolist() == [1, 1, 1]

    copies = iter([step_graph._copies])

    def full(step: step_graph.Step) -> dict[str, Tensor]:
        try:
            return next(copies)(step)
        except StopIteration:
            raise torch.OutOfMemoryError("no memory left") from None

    monkeypatch.setattr(step_graph, "_copies", full)
    with pytest.raises(torch.OutOfMemoryError):
        StepGraph(step, 1)
    assert step.kept.tolist() == [1, 1, 1]


@pytest.mark.usefixtures("graphs")
def test_a_run_by_graphs_resumes_to_the_same_results(
    monkeypatch: pytest.MonkeyPatch, short: wcord.Experiment, tmp_path: Path
) -> None:
    """Interrupted after step 7 of 33: the graph is captured again, and nothing changes."""
    monkeypatch.setattr(loop, "ArmsStep", Anywhere)
    asked = short.replace({"speed": "graphs", "arms": {"wcord": {"ce": 1, "gckt": 5, "lckt": 1}}})
    whole = wcord.distill(asked, tmp_path / "whole", progress=False)
    monkeypatch.setattr(loop, "CHECKPOINT_EVERY", 0.0)
    original = loop.checkpoints.write

    def stop_at_seven(folder: Path, step: int, *rest: Any) -> None:
        original(folder, step, *rest)
        if step == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop.checkpoints, "write", stop_at_seven)
        wcord.distill(asked, tmp_path / "cut", progress=False)
    resumed = wcord.resume(tmp_path / "cut", progress=False)
    losses = [run.metrics().query("name == 'total'") for run in (whole, resumed)]
    assert losses[0]["step"].tolist() == losses[1]["step"].tolist()
    assert losses[0]["value"].tolist() == pytest.approx(losses[1]["value"].tolist(), rel=1e-4)


def test_plain_steps_and_one_line_without_cuda(capsys: pytest.CaptureFixture[str]) -> None:
    """The numbers are those of plain steps."""
    faster_networks.print_once.cache_clear()
    experiment = settings_of({"ce": {}})
    step, plain = step_of(experiment), step_of(experiment)
    take = Stepper(step, True, 100)
    for number in range(4):
        take(number)
        plain.compute(StepArguments(plain.rows(number), number, plain.rate(number)))
    assert take.graph is None
    for name, value in plain.changed_tensors().items():
        assert torch.equal(step.changed_tensors()[name], value), name
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "CUDA graphs need a CUDA device" in printed


def test_terms_that_need_the_host_are_named() -> None:
    step = step_of(settings_of({"ce": {}, "lckt": {"plan": "exact"}}))
    assert (
        step.capture_obstacle == "arm 'it': lckt solves its plan 'exact' on the CPU in every step"
    )
    with pytest.raises(CaptureError, match="plan 'exact'"):
        StepGraph(step, 1)


# -- inputs --------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.sampled_from(["long", "float", "bool", "double"]), st.integers(0, 9))))
def test_a_block_holds_the_values_that_filled_it(fields: list[tuple[str, int]]) -> None:
    """Any types and sizes, scalars too, over more fillings than there are slots."""

    def values(turn: int) -> dict[int, Tensor]:
        draw = torch.Generator().manual_seed(turn)
        tensors = {}
        for key, (kind, size) in enumerate(fields):
            shape = (size,) if size else ()
            numbers = torch.randint(-9, 9, shape, generator=draw)
            tensors[key] = numbers.to(getattr(torch, kind))
        return tensors

    block = InputBlock(values(0), CPU)
    for turn in range(AHEAD + 2):
        block.fill(values(turn))
        for key, value in values(turn).items():
            assert torch.equal(block.tensors[key], value)


def test_gaps_are_shares_of_the_change() -> None:
    x, y, bank = "a/weights.student.x", "a/weights.student.y", "a/objective.bank"
    zero = {x: torch.zeros(2), y: torch.zeros(1), bank: torch.zeros(1)}
    plain = {x: torch.tensor([3.0, 0.0]), y: torch.tensor([4.0]), bank: torch.zeros(1)}
    replayed = plain | {x: torch.tensor([3.0, 0.5])}
    assert gaps(zero, plain, replayed) == {"a/weights.student": pytest.approx(0.1), bank: 0.0}
    assert gaps(zero, plain, replayed | {bank: torch.ones(1)})[bank] == float("inf")
    unset = {name: torch.full_like(value, torch.nan) for name, value in plain.items()}
    assert set(gaps(unset, unset, unset).values()) == {0.0}
    assert gaps(zero, plain, unset)["a/weights.student"] != 0


@pytest.mark.parametrize(
    "still", ["critic.project_student", "optimizer.exp_avg_sq", "teacher_bank", "running_var"]
)
def test_a_tensor_that_a_replay_leaves_unchanged_is_found(still: str) -> None:
    """Even a small one: its gap is above every tolerance."""
    step = step_of(settings_of({"ce": {}, "gckt": {}}))
    take = Stepper(step, False, 100)
    ends = []
    for number in range(4):
        take(number)
        ends.append({name: value.clone() for name, value in step.changed_tensors().items()})
    words = still.split(".")
    unchanged = {name: v for name, v in ends[0].items() if all(word in name for word in words)}
    assert unchanged
    largest = max(gaps(ends[0], ends[3], ends[3] | unchanged).values())
    assert largest > max(step_graph.TOLERANCE.values())


# -- draws ---------------------------------------------------------------------------------


def test_draws_are_a_function_of_their_purpose_and_step() -> None:
    task = step_of(settings_of({"ce": {}})).task
    batches = [task.batch(torch.arange(4), step) for step in (3, 3, 4)]
    a, b, c = (batch.draw("it", Permutation(50)) for batch in batches)
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert not torch.equal(a, batches[0].draw("other", Permutation(50)))
    assert torch.equal(a, Permutation(50)(generator(0, "it", 3)))
    with forbid_drawing(), pytest.raises(RuntimeError, match=r"Batch\.draw"):
        batches[0].draw("it", Permutation(50))


# -- on CUDA ------------------------------------------------------------------------------


def on_cuda(experiment: wcord.Experiment) -> ArmsStep:
    """Return a step of the digits on CUDA."""
    device = torch.device("cuda")
    data = read_data(experiment).to(device)
    inputs = network_inputs(experiment, data)
    teacher, student = networks(experiment)
    task = Task(experiment, data, *inputs, to_device(teacher, device), needs_maps(experiment))
    return ArmsStep(task, build_arms(experiment, task, student.to(device), device))


@pytest.mark.cuda
@needs_cuda
@pytest.mark.parametrize("terms", FREE.values(), ids=FREE)
def test_a_graph_on_cuda_changes_what_plain_steps_change(terms: dict[str, Any]) -> None:
    """The graph is accepted; in a second epoch it is within 5 % of what plain steps change."""
    experiment = settings_of({"ce": {}} | terms).replace({"pairing": {"broken": 0.5}})
    begin = on_cuda(experiment)
    Stepper(begin, False, STEPS)(0)
    before = {name: value.clone() for name, value in begin.changed_tensors().items()}
    ways = [ends(on_cuda(experiment), graph) for graph in (False, True)]
    assert max(gaps(before, *ways).values()) < 0.05


@pytest.mark.cuda
@needs_cuda
def test_fifty_steps_plain_compiled_and_captured_agree() -> None:
    """The mean losses of 50 steps of four arms lie within 1 % of each other."""
    arms = {"plain": {"ce": 1}, "kd": {"ce": 1, "kd": 1}, "crd": {"ce": 1, "crd": 0.8}}
    arms["wcord"] = {"ce": 1, "gckt": 5, "lckt": 0.5}
    experiment = settings_of({"ce": {}}).replace({"arms": arms})
    last: dict[str, dict[str, dict[str, float]]] = {}
    for way in ("plain", "compile", "graphs"):
        step = on_cuda(experiment)
        if way == "compile":
            step.task.accelerate("compile")
            for arm in step.arms:
                arm.accelerate("compile", step.task.at(0).images, "float32")
        ends(step, way == "graphs", 50)
        last[way] = {arm.name: arm.losses() for arm in step.arms}
    for way in ("compile", "graphs"):
        for arm in arms:
            for name, value in last["plain"][arm].items():
                if "." not in name:  # logs of terms have no bound
                    assert last[way][arm][name] == pytest.approx(value, rel=0.01, abs=0.01), way


@pytest.mark.cuda
@needs_cuda
def test_a_replayed_arm_does_not_depend_on_its_neighbours() -> None:
    """Alone, or beside three others on their streams: the same losses."""
    wanted = {"ce": 1, "gckt": 5, "lckt": 0.5}
    others = {"a": {"ce": 1}, "it": wanted, "b": {"ce": 1, "crd": 0.8}, "c": {"ce": 1, "rkd": 1}}
    losses = []
    for arms in ({"it": wanted}, others):
        step = on_cuda(settings_of({"ce": {}}).replace({"arms": arms}))
        ends(step, True, 30)
        losses.append(next(arm for arm in step.arms if arm.name == "it").losses())
    assert losses[0] == pytest.approx(losses[1], rel=5e-3, abs=1e-6)


@pytest.mark.cuda
@needs_cuda
def test_the_host_never_waits_for_a_replay() -> None:
    step = on_cuda(settings_of({"ce": {}, "gckt": {"negatives_count": 50}, "lckt": {}}))
    take = Stepper(step, True, 100)
    for number in range(3):
        take(number)
    assert take.graph is not None
    torch.cuda.synchronize()
    try:
        torch.cuda.set_sync_debug_mode("error")
        for number in range(3, 10):
            take(number)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert step.arms[0].fault() is None


@pytest.mark.cuda
@needs_cuda
def test_training_continues_after_a_failed_capture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A term reads the device during the capture: one line, and plain steps."""
    faster_networks.print_once.cache_clear()
    step = on_cuda(settings_of({"ce": {}, "gckt": {}}))
    term: Any = step.arms[0].objective.terms["gckt"]
    original = term.update

    def waiting() -> None:
        original()
        float(term.teacher_bank.embeddings.sum())

    monkeypatch.setattr(term, "update", waiting)
    take = Stepper(step, True, 100)
    for number in range(6):
        take(number)
    assert take.graph is None and step.arms[0].fault() is None
    assert capsys.readouterr().err.count("plain steps are taken") == 1


@pytest.mark.cuda
@needs_cuda
def test_a_graph_of_the_teacher_on_cuda_changes_what_plain_steps_change() -> None:
    experiment = settings_of({"ce": {}})
    device = torch.device("cuda")
    data = read_data(experiment).to(device)
    teacher_input = NetworkInput(experiment.teacher, data, 0)
    both = []
    for graph in (False, True):
        network = to_device(networks(experiment)[0], device).train()
        both.append(ends(TeacherStep(experiment, data, teacher_input, network, 0), graph))
    torch.testing.assert_close(both[0]["losses"], both[1]["losses"], rtol=0.01, atol=0.01)
