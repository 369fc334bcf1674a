"""An arm: a student and a weighted sum of terms, with the state that training changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from wcord.compute import ranks
from wcord.compute.memory_format import to_device
from wcord.compute.seeds import seed_of
from wcord.models import Network, Output
from wcord.objectives import Objective
from wcord.objectives.term import Batch, FirstPass, Shapes, TermSettings
from wcord.settings.sections import OptimizerSettings
from wcord.training.cuda_graph import has_dropout
from wcord.training.faster_networks import Forward, faster_forward
from wcord.training.optimizer import build_optimizer, optimizer_state, set_learning_rate


class Arm:
    """A student in training: network, objective and optimizer.

    Every arm starts from a copy of the same student, and its draws depend on (seed, purpose, step)
    alone. So its results do not depend on the other arms of the run.

    Args:
        name: as in the settings; used in messages and files, never in a draw.
        terms: settings of its terms.
        student: the network that all arms start from; copied.
        shapes: sizes of features, classes and feature maps.
        optimizer: settings of the optimizer.
        seed: the run's seed.
        device: of the training.
    """

    def __init__(
        self,
        name: str,
        terms: Mapping[str, TermSettings],
        student: Network,
        shapes: Shapes,
        optimizer: OptimizerSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.name = name
        self.seed = seed
        self.student = to_device(deepcopy(student), device)
        self.objective = Objective(dict(terms), shapes, seed).to(device)
        self.maps = self.objective.needs_maps
        self.parameters = [p for p in self._parts().parameters() if p.requires_grad]
        self.optimizer = build_optimizer(optimizer, self.parameters)
        self.names: tuple[str, ...] = ()  # of the scalars of a step: total, terms, logs
        self.latest = self.sums = torch.zeros(0, device=device)  # (names,)
        self.summed = torch.zeros((), device=device)  # number of steps in `sums`
        self.frozen: str | None = None  # why the arm is not trained any more
        self._forward: Forward | None = None
        self.host_checks = device.type != "cuda"  # whether the host reads every step's loss
        self._fault: Tensor | None = None  # (2 + terms,): step, total, losses at the fault
        self._pending: tuple[int | Tensor, Tensor, dict[str, Tensor]] | None = None
        self._has_dropout = has_dropout(student)

    def _parts(self) -> nn.ModuleDict:
        return nn.ModuleDict({"student": self.student, "objective": self.objective})

    def fill_banks(self, first_pass: FirstPass) -> None:
        """Fill banks and centres with real features, before the first step."""
        self.objective.fill_banks(first_pass)

    def accelerate(self, speed: str, images: Tensor, dtype: Any) -> None:
        """Use a faster forward pass of the student from now on, if there is one (`speed`)."""
        self._forward = faster_forward(self.student.train(), speed, images, dtype == "bfloat16")

    def step(self, batch: Batch, teacher: Output, images: Tensor, rate: float, dtype: Any) -> None:
        """Take one training step: forward, losses, backward, optimizer, banks.

        A loss or gradient that is not finite freezes the arm before its weights move.
        """
        self.compute_gradients(batch, teacher, images, dtype)
        self.optimizer_step(rate)

    def compute_gradients(self, batch: Batch, teacher: Output, images: Tensor, dtype: Any) -> None:
        """Compute the losses of a batch and their gradients.

        Args:
            batch, teacher: the whole batch, and the teacher's output of it.
            images: the student's images of this rank's rows (of all rows in a single process).
            dtype: "bfloat16" for the student's forward pass; losses are float32 at least.
        """
        if not self.frozen:
            self.backward(batch, teacher, self.student_forward(batch, images, dtype))

    def student_forward(self, batch: Batch, images: Tensor, dtype: Any) -> Output:
        """Return the student's output of this rank's images (see `compute_gradients`)."""
        self.student.train()
        if self._has_dropout:
            rank = (ranks.rank(),) if ranks.size() > 1 else ()
            torch.manual_seed(seed_of(self.seed, "dropout", batch.step, *rank))
        with torch.autocast(images.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            if self._forward is not None and not self.maps:
                return self._forward(images)
            return self.student(images, maps=self.maps)

    def backward(self, batch: Batch, teacher: Output, student: Output) -> None:
        """Compute the losses of the outputs of `student_forward`, and their gradients."""
        total, losses = self.objective(batch, teacher, ranks.gather(student.at_least_float32()))
        self.optimizer.zero_grad(set_to_none=True)
        if total.requires_grad:  # false where every weight is 0
            total.backward()
        step = batch.step if batch.step_tensor is None else batch.step_tensor
        self._pending = step, total.detach(), losses

    def optimizer_step(self, rate: float | Tensor) -> None:
        """Change the weights by the gradients of `compute_gradients`, and write the banks.

        Args:
            rate: the learning rate, a number or a float32 scalar on the device.
        """
        if self._pending is None:
            return
        step, total, losses = self._pending
        self._pending = None
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        finite = torch.isfinite(total + torch.nn.utils.get_total_norm(gradients))
        scalars = {"total": total, **losses, **self.objective.logs}
        if self.host_checks:
            if not finite:
                values = {term: loss.item() for term, loss in losses.items()}
                self.frozen = self._reason(int(step), values)
                return
        else:
            self._record_fault(step, finite, torch.stack([total, *losses.values()]).detach())
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.objective.update()
        self._add(scalars)

    def _record_fault(self, step: int | Tensor, finite: Tensor, losses: Tensor) -> None:
        """Record on the device the first step that is not finite; the optimizer then stops.

        The host does not wait: fused optimizers read `found_inf` on the device. Banks and running
        statistics are still updated until `freeze_if_broken` reads the record.
        """
        if self._fault is None:
            self._fault = torch.full((1 + len(losses),), -1.0, device=losses.device)
        step = torch.zeros_like(losses[:1]).add_(step)
        record = torch.cat([step, losses]).to(self._fault.dtype)
        self._fault.copy_(torch.where((self._fault[0] < 0) & ~finite, record, self._fault))
        self.optimizer.found_inf = (self._fault[0] >= 0).float()  # type: ignore[attr-defined]
        self.optimizer.grad_scale = None  # type: ignore[attr-defined]

    def fault(self) -> str | None:
        """Return why the arm is or will be frozen, else None; the host waits for the device."""
        if self._fault is None or self.frozen:
            return self.frozen
        step, _, *losses = self._fault.tolist()
        if step < 0:
            return None
        return self._reason(int(step), dict(zip(self.objective.weights, losses, strict=True)))

    def freeze_if_broken(self) -> None:
        """Freeze the arm if a loss or gradient since the last call was not finite.

        All ranks freeze it at the same step.
        """
        self.frozen = self.fault()

    def _reason(self, step: int, losses: dict[str, float]) -> str:
        """Return why the arm froze: the first loss that was not finite, else the gradient."""
        broken = [term for term, loss in losses.items() if not math.isfinite(loss)]
        reason = f"{broken[0]} became {losses[broken[0]]:g}" if broken else ""
        if not broken:
            reason = f"the gradient of {' + '.join(losses)} became infinite or NaN"
        return f"arm {self.name!r} froze at step {step}: {reason}"

    @property
    def last(self) -> dict[str, float]:
        """The scalars of the last step."""
        return dict(zip(self.names, self.latest.tolist(), strict=True))

    def _add(self, scalars: dict[str, Tensor]) -> None:
        """Add the scalars of a step to the sums, on the device."""
        names = tuple(scalars)
        values = torch.stack([value.detach() for value in scalars.values()])
        if names != self.names:  # the first step, or a term that logs something new
            before = dict(zip(self.names, self.sums, strict=True))
            zero = torch.zeros((), device=values.device, dtype=values.dtype)
            self.sums = torch.stack([before.get(name, zero) for name in names])
            self.names, self.latest = names, torch.full_like(self.sums, math.nan)
        if self._fault is None:
            self.sums.add_(values)
            self.summed.add_(1)
        else:
            no_fault = self._fault[0] < 0
            values = torch.where(no_fault, values, self.latest)
            self.sums.copy_(torch.where(no_fault, self.sums + values, self.sums))
            self.summed.add_(no_fault)
        self.latest.copy_(values)

    def losses(self) -> dict[str, float]:
        """Return the mean of every scalar since the last call, and set the sums to 0."""
        count = self.summed.item()
        if not count:
            return {}
        means = dict(zip(self.names, (self.sums.double() / count).tolist(), strict=True))
        self.sums.zero_()
        self.summed.zero_()
        return {name: means[name] for name in sorted(means, key=_sort_key)}

    # -- state, for resuming ---------------------------------------------------------------

    def state(self) -> dict[str, Tensor]:
        """Return everything that training changes, as named tensors."""
        state = dict(self._parts().state_dict())
        for index, entry in self.optimizer.state_dict()["state"].items():
            for key, value in entry.items():
                if value is not None:
                    state[f"optimizer/{index}/{key}"] = torch.as_tensor(value)
        for name, value in zip(self.names, self.sums, strict=True):
            state[f"sums/{name}"] = value
        state["summed"] = self.summed
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Load the tensors that `state` returned.

        Raises:
            RuntimeError: the tensors belong to another arm.
        """
        modules = {k: v for k, v in state.items() if k.startswith(("student.", "objective."))}
        self._parts().load_state_dict(modules)
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("optimizer/"):
                _, index, name = key.split("/")
                moments.setdefault(int(index), {})[name] = self._in_layout(int(index), value)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
        device = self.parameters[0].device
        sums = {k.removeprefix("sums/"): v for k, v in state.items() if k.startswith("sums/")}
        self.names = tuple(sums)
        if sums:
            self.sums = torch.stack(list(sums.values())).to(device)
            self.latest = torch.full_like(self.sums, math.nan)  # no step in this process yet
        self.summed = state["summed"].to(device, copy=True)

    def _in_layout(self, index: int, value: Tensor) -> Tensor:
        """Return a moment of Adam or SGD in the memory layout of its weight.

        Fused optimizers need this on CUDA.
        """
        weight = self.parameters[index]
        if value.shape != weight.shape:  # the value is the number of steps
            return value
        return torch.empty_like(weight, dtype=value.dtype, device=value.device).copy_(value)

    # -- for steps that are replayed as a CUDA graph -----------------------------------------

    @property
    def capture_obstacle(self) -> str | None:
        """Why a step of this arm cannot be captured as a CUDA graph; None where it can."""
        if self._has_dropout:
            return f"arm {self.name!r}: its student has dropout, which draws from torch's generator"
        obstacle = self.objective.capture_obstacle
        return f"arm {self.name!r}: {obstacle}" if obstacle else None

    def changed_tensors(self) -> dict[str, Tensor]:
        """Return every tensor that a step changes in place, by name (after the first step)."""
        changed: dict[str, Tensor] = dict(self._parts().named_parameters("weights"))
        changed |= dict(self._parts().named_buffers())
        changed |= optimizer_state(self.optimizer)
        changed |= {"sums": self.sums, "latest": self.latest, "summed": self.summed}
        if self._fault is not None:
            changed["fault"] = self._fault
        return changed


def _sort_key(name: str) -> tuple[bool, bool, str]:
    """Return the key that sorts scalars: the total first, then the terms, then logs of terms."""
    return name != "total", "." in name, name
