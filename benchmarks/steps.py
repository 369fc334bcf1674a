"""Where a step's time goes, what eight arms cost, and WCoRD's step against KD's.

    python -m benchmarks.steps [--teacher resnet32x4 --student resnet8x4] [--rounds 5]

Random images and labels of the size of CIFAR-100, batch 64, banks of 50,000, 16,384 negatives.
One thread, float32, thread time, rounds interleaved in one process; printed are medians over
rounds, and ratios within a round with their least and greatest. The plain eager loop is the
published way: for every anchor it gathers its own (16384, 128) negatives.
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

from benchmarks.negatives import Gathered
from wcord.compute.memory_format import channels_last, to_device
from wcord.models import Network, Output, build
from wcord.objectives import TERMS
from wcord.objectives.term import Batch, FirstPassBatch, Shapes
from wcord.settings.sections import OptimizerSettings
from wcord.training.arm import Arm

SAMPLES, CLASSES, NEGATIVES, SHAPE = 50_000, 100, 16_384, (3, 32, 32)
CPU = torch.device("cpu")
AIM_WCORD, AIM_ARMS = 1.05, 1.05
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
Action = Callable[[], Any]


class Bench:
    """One teacher and the eight arms, all on the same batch.

    Args:
        teacher, student: names of models.
        batch: images a step.
        device: where all of it lies.
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
        self.answer = self.ask()
        self.optimizer = OptimizerSettings(name="sgd", lr=1e-3, schedule="constant")
        self.arms = {name: self.arm(terms) for name, terms in ARMS.items()}

    def arm(self, terms: dict[str, Any]) -> Arm:
        """Return an arm whose banks hold random features."""
        asked = {name: TERMS[name].Settings.model_validate(s) for name, s in terms.items()}
        arm = Arm("arm", asked, self.student, self.shapes, self.optimizer, 0, self.device)
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
    def ask(self) -> Output:
        """The teacher's forward pass."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision != "float32"):
            return self.teacher(self.images).float()

    def step(self, *names: str) -> None:
        """A whole step of some arms: the teacher once, then every arm."""
        answer = self.ask()
        for name in names:
            self.arms[name].step(self.batch, answer, self.images, 1e-3, self.precision)

    def halved(self) -> None:
        """A whole step of WCoRD, its networks in bfloat16."""
        self.precision = "bfloat16"
        self.step("wcord")
        self.precision = "float32"

    def term(self, name: str, settings: dict[str, Any]) -> Action:
        """Return forward and backward of one term alone, on given features."""
        arm = self.arm({name: settings})
        with torch.no_grad():
            seen = arm.student(self.images)

        def once() -> None:
            features, logits = (t.clone().requires_grad_() for t in (seen.features, seen.logits))
            total, _ = arm.objective(self.batch, self.answer, Output(features, logits))
            total.backward()
            arm.objective.update()

        return once

    def eager(self) -> Action:
        """Return a step of the published form: teacher, student, CE, gathered negatives, LCKT."""
        gathered = Gathered() if self.shapes.teacher_dim == self.shapes.student_dim == 256 else None
        if gathered is None:
            raise ValueError("the published form is written for features of 256 on both sides")
        gathered.to(self.device)
        arm = self.arm({"ce": {}, "lckt": {}})
        parameters = [*arm.parameters, *gathered.parameters()]
        optimizer = torch.optim.SGD(parameters, 1e-3, momentum=0.9)

        def once() -> None:
            with torch.no_grad():
                answer = self.teacher(self.images)
            student = arm.student.train()(self.images)
            total, _ = arm.objective(self.batch, answer, student)
            draws = torch.randint(SAMPLES, (len(self.images), NEGATIVES), device=self.device)
            rows = torch.cat([self.batch.index[:, None], draws], 1)
            (total + gathered(answer.features, student.features, rows)).backward()
            torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            optimizer.step()
            optimizer.zero_grad()

        return once

    def networks(self) -> dict[str, Action]:
        """Return the passes of the networks alone."""
        arm = self.arms["plain"]

        def student() -> None:
            output = arm.student.train()(self.images)
            F.cross_entropy(output.logits, self.batch.label).backward()

        return {"teacher forward": self.ask, "student forward + backward": student}


def rounds(actions: dict[str, Action], count: int) -> dict[str, list[float]]:
    """Return milliseconds of thread time, a list over rounds for each action, taken in turns."""
    for action in actions.values():
        action()
    taken: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for turn in range(count):
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            began = time.thread_time()
            actions[name]()
            taken[name].append(1e3 * (time.thread_time() - began))
    return taken


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the median ratio within a round and its spread."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})"


def probe(bench: Bench) -> Action:
    """Return what a probe of one WCoRD arm costs on 256 held-out images."""
    from wcord.settings.sections import ProbeSettings
    from wcord.training.probe import Probe, measure_arm

    few = 256
    images = torch.randn(few, *SHAPE)
    labels = torch.arange(few) % 10
    draw = torch.Generator().manual_seed(2)
    teacher = Output(
        torch.randn(few, bench.shapes.teacher_dim, generator=draw).relu(), torch.zeros(few, CLASSES)
    )
    look = Probe.build(ProbeSettings(), images, teacher, labels, torch.arange(few))
    return lambda: measure_arm(look, bench.arms["wcord"])


def _print(title: str, taken: dict[str, list[float]]) -> None:
    print(f"\n{title}")
    for name, values in taken.items():
        print(f"  {name:44}{statistics.median(values):9.1f} ms")


def main() -> None:
    """Print the split, the eight arms, and the ratios with their aims."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--teacher", default="resnet32x4")
    parser.add_argument("--student", default="resnet8x4")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(asked.teacher, asked.student, asked.batch)
    print(
        f"{asked.teacher} -> {asked.student}, batch {asked.batch}, {NEGATIVES:,} negatives of "
        f"{SAMPLES:,}, one thread, float32, torch {torch.__version__}, {asked.rounds} rounds"
    )
    split = bench.networks()
    for name, settings in {"ce": {}, "kd": {}, "hint": {}, "lckt": {}}.items():
        split[f"term {name}"] = bench.term(name, settings)
    split["term crd"] = bench.term("crd", {"negatives_count": NEGATIVES})
    split["term gckt (wasserstein)"] = bench.term("gckt", GCKT)
    split["term gckt (nce)"] = bench.term("gckt", GCKT | {"form": "nce"})
    split["probe of one arm, 256 held-out images"] = probe(bench)
    title = "split (terms on given features, forward + backward + banks)"
    _print(title, rounds(split, asked.rounds))
    whole: dict[str, Action] = {f"teacher + {name}": partial(bench.step, name) for name in ARMS}
    if bench.shapes.teacher_dim == bench.shapes.student_dim == 256:
        whole["teacher + published WCoRD, gathered"] = bench.eager()
    for count in (2, 4, 8):
        whole[f"teacher + first {count} arms"] = partial(bench.step, *list(ARMS)[:count])
    whole["teacher alone"] = bench.ask
    whole["teacher + wcord, bfloat16"] = bench.halved
    taken = rounds(whole, asked.rounds)
    _print("whole steps", taken)
    print()
    wcord, kd = taken["teacher + wcord"], taken["teacher + kd"]
    print(f"WCoRD step / KD step: {ratio(wcord, kd)} (aim {AIM_WCORD})")
    if "teacher + published WCoRD, gathered" in taken:
        published = taken["teacher + published WCoRD, gathered"]
        print(f"published form / WCoRD step: {ratio(published, wcord)}")
    print(f"bfloat16 / float32: {ratio(taken['teacher + wcord, bfloat16'], wcord)}")
    _eight(taken)


def _eight(taken: dict[str, list[float]]) -> None:
    teacher, eight = taken["teacher alone"], taken["teacher + first 8 arms"]
    students = [
        [taken[f"teacher + {name}"][r] - teacher[r] for name in ARMS] for r in range(len(teacher))
    ]
    each = [t + sum(s) for t, s in zip(teacher, students, strict=True)]
    plain = [t + 8 * s[0] for t, s in zip(teacher, students, strict=True)]
    print(
        f"eight arms: teacher {statistics.median(teacher):.0f} ms, plain student "
        f"{statistics.median(s[0] for s in students):.0f} ms, teacher + eight arms "
        f"{statistics.median(eight):.0f} ms"
    )
    print(f"  / (teacher + the sum of the arms alone): {ratio(eight, each)} (aim {AIM_ARMS})")
    print(f"  / (teacher + 8 x plain student): {ratio(eight, plain)} (aim {AIM_ARMS})")


if __name__ == "__main__":
    main()
