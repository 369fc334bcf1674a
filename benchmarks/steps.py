"""The time of a training step: its parts, the steps of eight arms, and WCoRD's step against KD's.

    python -m benchmarks.steps [--teacher resnet32x4 --student resnet8x4] [--rounds 5]

Random images and labels of the size of CIFAR-100, batch 64, banks of 50,000, 16,384 negatives.
One thread, float32, thread time, rounds interleaved in one process; printed are medians over
rounds, and ratios within a round with minimum and maximum. The eager loop of the published form
gathers (16384, 128) negatives for every anchor.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.interleaved import time_interleaved
from benchmarks.negatives import Gathered
from wcord.compute.memory_format import channels_last, to_device
from wcord.models import Network, Output, build
from wcord.objectives import TERMS
from wcord.objectives.term import Batch, FirstPassBatch, Shapes
from wcord.settings.sections import OptimizerSettings, PairingSettings, ProbeSettings
from wcord.training.arm import Arm
from wcord.training.probe import Probe, measure_arm

SAMPLES, CLASSES, NEGATIVES, SHAPE = 50_000, 100, 16_384, (3, 32, 32)
CPU = torch.device("cpu")
AIM = 1.05  # of WCoRD over KD, and of eight arms over the sum of their parts
GCKT = {"negatives_count": NEGATIVES}
ARMS: dict[str, dict[str, Any]] = {
    "plain": {"ce": {}},
    "kd": {"ce": {"weight": 0.1}, "kd": {}},
    "hint": {"ce": {}, "hint": {}},
    "crd": {"ce": {}, "crd": {"negatives_count": NEGATIVES}},
    "gckt": {"ce": {}, "gckt": GCKT},
    "lckt": {"ce": {}, "lckt": {}},
    "wcord": {"ce": {}, "gckt": GCKT, "lckt": {}},
    "wcord+kd": {"ce": {}, "kd": {}, "gckt": GCKT, "lckt": {}},
}
PUBLISHED = "teacher + published WCoRD, gathered"
Action = Callable[[], Any]


class Bench:
    """One teacher and the eight arms, all on the same batch.

    Args:
        teacher, student: names of models.
        batch: images per step.
        device: device of networks, images and banks.
    """

    def __init__(self, teacher: str, student: str, batch: int, device: torch.device = CPU) -> None:
        torch.manual_seed(0)
        self.device = device
        self.teacher, self.student = (
            to_device(Network(build(name, SHAPE[0], SHAPE[1:], CLASSES), SHAPE), device)
            for name in (teacher, student)
        )
        self.teacher.requires_grad_(False).eval()
        self.images = channels_last(torch.randn(batch, *SHAPE).to(device))
        labels = torch.randint(CLASSES, (SAMPLES,)).to(device)
        index = torch.randperm(SAMPLES)[:batch].to(device)
        self.batch = Batch(
            index, labels[index], torch.ones_like(index, dtype=torch.bool), labels[index], 0, 0
        )
        t, s = self.teacher, self.student
        self.shapes = Shapes(t.feature_dim, s.feature_dim, CLASSES, CLASSES, True, SAMPLES)
        self.labels = labels
        self.precision = "float32"
        self.teacher_output = self.teacher_forward()
        self.optimizer = OptimizerSettings(name="sgd", lr=1e-3, schedule="constant")
        self.arms = {name: self.arm(terms) for name, terms in ARMS.items()}

    def arm(self, terms: dict[str, Any]) -> Arm:
        """Return an arm whose banks hold random features."""
        settings = {name: TERMS[name].Settings.model_validate(s) for name, s in terms.items()}
        arm = Arm("arm", settings, self.student, self.shapes, self.optimizer, 0, self.device)
        arm.fill_banks(self.passes)
        return arm

    def passes(self) -> Iterator[FirstPassBatch]:
        """Yield random features of all samples."""
        draw = torch.Generator().manual_seed(1)
        sizes = self.shapes.teacher_dim, self.shapes.student_dim
        for index in torch.arange(SAMPLES, device=self.device).split(5000):
            sides = [torch.randn(len(index), d, generator=draw).relu() for d in sizes]
            outputs = [Output(s.to(self.device), s[:, :1].to(self.device)) for s in sides]
            yield FirstPassBatch(index, self.labels[index], outputs[0], outputs[1])

    @torch.no_grad()
    def teacher_forward(self) -> Output:
        """Return the teacher's output for the batch."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision != "float32"):
            return self.teacher(self.images).at_least_float32()

    def step(self, *names: str) -> None:
        """Run a whole step of some arms: the teacher once, then every arm."""
        teacher = self.teacher_forward()
        for name in names:
            self.arms[name].step(self.batch, teacher, self.images, 1e-3, self.precision)

    def bfloat16_step(self) -> None:
        """Run a whole step of WCoRD with networks in bfloat16."""
        self.precision = "bfloat16"
        self.step("wcord")
        self.precision = "float32"

    def term(self, name: str, settings: dict[str, Any]) -> Action:
        """Return forward and backward pass of one term alone, on given features."""
        arm = self.arm({name: settings})
        with torch.no_grad():
            student = arm.student(self.images)
        outputs = student.features, student.logits

        def run() -> None:
            features, logits = (tensor.clone().requires_grad_() for tensor in outputs)
            total, _ = arm.objective(self.batch, self.teacher_output, Output(features, logits))
            total.backward()
            arm.objective.update()

        return run

    def eager(self) -> Action:
        """Return a step of the published form: teacher, student, CE, gathered negatives, LCKT."""
        gathered = Gathered() if self.shapes.teacher_dim == self.shapes.student_dim == 256 else None
        if gathered is None:
            raise ValueError("the published form is written for features of 256 on both sides")
        gathered.to(self.device)
        arm = self.arm({"ce": {}, "lckt": {}})
        parameters = [*arm.parameters, *gathered.parameters()]
        optimizer = torch.optim.SGD(parameters, 1e-3, momentum=0.9)

        def run() -> None:
            with torch.no_grad():
                teacher = self.teacher(self.images)
            student = arm.student.train()(self.images)
            total, _ = arm.objective(self.batch, teacher, student)
            draws = torch.randint(SAMPLES, (len(self.images), NEGATIVES), device=self.device)
            rows = torch.cat([self.batch.index[:, None], draws], 1)
            (total + gathered(teacher.features, student.features, rows)).backward()
            torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            optimizer.step()
            optimizer.zero_grad()

        return run

    def networks(self) -> dict[str, Action]:
        """Return the passes of the networks alone, by name."""
        arm = self.arms["plain"]

        def student() -> None:
            output = arm.student.train()(self.images)
            F.cross_entropy(output.logits, self.batch.label).backward()

        return {"teacher forward": self.teacher_forward, "student forward + backward": student}


def rounds(actions: dict[str, Action], count: int) -> dict[str, list[float]]:
    """Return milliseconds of thread time of every action, one value per round."""
    seconds = time_interleaved(actions, count, clock=time.thread_time)
    return {name: [1e3 * value for value in values] for name, values in seconds.items()}


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the ratio within a round: median, minimum and maximum."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})"


def probe_action(bench: Bench) -> Action:
    """Return a probe of one WCoRD arm on 256 held-out images."""
    few = 256
    images = torch.randn(few, *SHAPE)
    labels = torch.arange(few) % 10
    draw = torch.Generator().manual_seed(2)
    teacher = Output(
        torch.randn(few, bench.shapes.teacher_dim, generator=draw).relu(), torch.zeros(few, CLASSES)
    )
    probe = Probe(ProbeSettings(), images, teacher, labels, torch.arange(few), PairingSettings())
    return lambda: measure_arm(probe, bench.arms["wcord"])


def _print(title: str, ms: dict[str, list[float]]) -> None:
    print(f"\n{title}")
    for name, values in ms.items():
        print(f"  {name:44}{statistics.median(values):9.1f} ms")


def main() -> None:
    """Print the parts of a step, whole steps, and ratios with their aims."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--teacher", default="resnet32x4")
    parser.add_argument("--student", default="resnet8x4")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(options.teacher, options.student, options.batch)
    print(
        f"{options.teacher} -> {options.student}, batch {options.batch}, {NEGATIVES:,} negatives "
        f"of {SAMPLES:,}, one thread, float32, torch {torch.__version__}, {options.rounds} rounds"
    )
    title = "parts (terms on given features, forward + backward + banks)"
    _print(title, rounds(parts(bench), options.rounds))
    ms = rounds(whole_steps(bench), options.rounds)
    _print("whole steps", ms)
    print()
    wcord, kd = ms["teacher + wcord"], ms["teacher + kd"]
    print(f"WCoRD step / KD step: {ratio(wcord, kd)} (aim {AIM})")
    if PUBLISHED in ms:
        print(f"published form / WCoRD step: {ratio(ms[PUBLISHED], wcord)}")
    print(f"bfloat16 / float32: {ratio(ms['teacher + wcord, bfloat16'], wcord)}")
    _print_eight(ms)


def parts(bench: Bench) -> dict[str, Action]:
    """Return the parts of a step: passes of the networks, terms, and a probe."""
    actions = bench.networks()
    for name in ("ce", "kd", "hint", "lckt"):
        actions[f"term {name}"] = bench.term(name, {})
    actions["term crd"] = bench.term("crd", {"negatives_count": NEGATIVES})
    actions["term gckt (wasserstein)"] = bench.term("gckt", GCKT)
    actions["term gckt (nce)"] = bench.term("gckt", GCKT | {"form": "nce"})
    actions["probe of one arm, 256 held-out images"] = probe_action(bench)
    return actions


def whole_steps(bench: Bench) -> dict[str, Action]:
    """Return whole steps: of one arm, of several, in the published form, and in bfloat16."""
    steps: dict[str, Action] = {f"teacher + {name}": partial(bench.step, name) for name in ARMS}
    if bench.shapes.teacher_dim == bench.shapes.student_dim == 256:
        steps[PUBLISHED] = bench.eager()
    for count in (2, 4, 8):
        steps[f"teacher + first {count} arms"] = partial(bench.step, *list(ARMS)[:count])
    steps["teacher alone"] = bench.teacher_forward
    steps["teacher + wcord, bfloat16"] = bench.bfloat16_step
    return steps


def _print_eight(ms: dict[str, list[float]]) -> None:
    teacher, eight = ms["teacher alone"], ms["teacher + first 8 arms"]
    students = [
        [ms[f"teacher + {name}"][r] - teacher[r] for name in ARMS] for r in range(len(teacher))
    ]
    each = [t + sum(s) for t, s in zip(teacher, students, strict=True)]
    plain = [t + 8 * s[0] for t, s in zip(teacher, students, strict=True)]
    print(
        f"eight arms: teacher {statistics.median(teacher):.0f} ms, plain student "
        f"{statistics.median(s[0] for s in students):.0f} ms, teacher + eight arms "
        f"{statistics.median(eight):.0f} ms"
    )
    print(f"  / (teacher + the sum of the arms alone): {ratio(eight, each)} (aim {AIM})")
    print(f"  / (teacher + 8 x plain student): {ratio(eight, plain)} (aim {AIM})")


if __name__ == "__main__":
    main()
